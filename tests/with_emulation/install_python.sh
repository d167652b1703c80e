#!/usr/bin/env bash
# install_python.sh FOLDER: makes FOLDER a virtual environment of an emulated Python 3.11 for aarch64.
#
# qemu and Python are Debian 12's packages, unpacked in FOLDER: nothing is installed in the system. apt's lists are in
# FOLDER too, because the lists of the system may be missing, and have no packages for aarch64.
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd)
command -v apt-get > /dev/null && command -v dpkg > /dev/null || {
  echo "make aarch64 needs apt-get, for the packages of Debian 12: qemu-user-static and Python 3.11 for arm64" >&2
  exit 1
}

host=$(dpkg --print-architecture)
mkdir -p "$folder"/apt/{lists/partial,cache/archives/partial} "$folder/packages" "$folder/bin"
touch "$folder/apt/status"
cat > "$folder/apt/apt.conf" << CONFIGURATION
Dir::State "$folder/apt";
Dir::State::status "$folder/apt/status";
Dir::Cache "$folder/apt/cache";
APT::Architecture "$host";
APT::Architectures { "$host"; "arm64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
CONFIGURATION
export APT_CONFIG=$folder/apt/apt.conf
apt-get update -qq

cd "$folder/packages"
emulated=(libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libssl3 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libcrypt1
  python3.11-minimal libpython3.11-minimal libpython3.11-stdlib)
apt-get download -qq "qemu-user-static:$host" "${emulated[@]/%/:arm64}" || {
  echo "make aarch64 needs the packages of Debian 12: qemu-user-static and Python 3.11 for arm64" >&2
  exit 1
}
for package in *_arm64.deb; do
  dpkg -x "$package" "$folder/debian"
done
dpkg --fsys-tarfile qemu-user-static_*.deb | tar -x -C "$folder/bin" --strip-components=3 ./usr/bin/qemu-aarch64-static
cd "$folder"
rm -r packages apt

# -0 is the program's own name. From it Python finds pyvenv.cfg and so the packages of FOLDER, and sys.executable starts
# another emulated Python.
cat > bin/python << WRAPPER
#!/bin/sh
exec "$folder/bin/qemu-aarch64-static" -L "$folder/debian" -0 "\$0" "$folder/debian/usr/bin/python3.11" "\$@"
WRAPPER
chmod +x bin/python
echo "home = $folder/debian/usr/bin" > pyvenv.cfg

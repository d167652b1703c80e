# make demo | check | test | bench | lint: each target installs its requirements into .venv. Later runs work offline.
#
#   make demo      train spiking networks on handwritten digits and spoken vowels; pictures in out/demo
#   make check     run selected tests seconds after an edit of Python or C++: make check T=tests/spike/test_contract.py
#   make test      run the test suite
#   make bench     compare speed with jax.numpy and braintools; tables, JSON and plots in out/bench (20 minutes)
#   make lint      run ruff, mypy and clang-format
#   make libraries test the spike in braintools, brainpy.state, BrainPy, spyx, equinox and flax, in two separate environments
#   make torch     compare lif with SpikingJelly and snnTorch, spike by spike, with a CPU build of torch
#   make peers     compare speed with spyx, brainpy.state, SpikingJelly, snnTorch, Norse and plain jax on two cores: tables,
#                  JSON and plots in out/peers (15 minutes; PEERS=--quick for a trial of 2 minutes)
#   make peers-page  write the results in out/peers into docs/peers.md
#   make cuda      check the CUDA module without a GPU: its machine code, and XLA compiling for an H100
#   make counts    write the tables of docs/machine_code.md from the built CUDA module
#   make docs      build the documentation site in out/docs, and check every link and page
#   make gallery   draw each surrogate for docs/gallery.md
#   make gpu-dry-run  run the GPU check on a CPU with tiny sizes: its selections, time limits and report (1 minute)
#   make fuzz      call every FFI handler at random, 100,000 times (15 minutes; CALLS=n)
#   make soak      run random operations in threads for five minutes, and check results and memory (SOAK_SECONDS=n)
#   make aarch64   cross-compile for aarch64, and test in an emulated Python (AARCH64_TESTS=selection); needs Debian 12
#   make wheel     build and audit the wheels of a release in dist, CPython 3.11, and 3.12 and newer, for x86-64 and aarch64
#                  with glibc 2.17, and test the wheels for x86-64
#   make wheel-aarch64  test the aarch64 wheels that make wheel builds, in the emulated Python
#   make release-check  everything that must hold before a release: tests, wheels, site, versions, changelog, age of the figures
#   make gpu-check check an installation on a GPU: tests, time, report in out/gpu_check; fails without a GPU
#   make installs  check builds: rejected compiler flags, each Python's jaxlib, a read-only source tree
#   make versions  run four cases of each test on the oldest supported and the newest jax
#   make policies  test the primitives' rules with the default kernel policy, and sharding and threads without kernels
#   make asan      run the kernel tests and 10,000 random calls under AddressSanitizer and UndefinedBehaviorSanitizer
#   make tsan      run the threading tests under ThreadSanitizer
#   make clang     build and test with clang++ (must be installed)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: demo check test gpu-dry-run bench peers peers-page docs gallery lint format libraries torch cuda counts installs versions policies fuzz soak aarch64 wheel wheel-aarch64 release-check gpu-check environments asan tsan clang clean

comma := ,

# The Python of a version: from PATH if it runs (a pyenv shim may not), otherwise from pyenv's versions.
find-python = $(firstword $(shell python$(1) -c 'import sys; print(sys.executable)' 2>/dev/null || \
	ls -d $$(pyenv root 2>/dev/null)/versions/$(1).*/bin/python 2>/dev/null))
PYTHON311 ?= $(call find-python,3.11)
PYTHON312 ?= $(call find-python,3.12)
PYTHON313 ?= $(call find-python,3.13)

SOURCES := $(shell find csrc python cmake tests/csrc -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml README.md LICENSE
# Prints build-system.requires.
BUILD_NEEDS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
# Prints an extra's requirements.
extra = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$(1)"], sep="\n")
# The same compiler packages as a build with SPIKEGRAD_CUDA=wheels (pyproject.toml).
CUDA_NEEDS := $(foreach package,cuda-nvcc cuda-crt nvvm cuda-runtime cuda-cccl,"nvidia-$(package)==13.0.*")
PIP := -m pip install --quiet --disable-pip-version-check

# .venv/build-V has all requirements for a wheel for Python V. .venv/wheel-V/done marks that wheel. The 3.11 wheel contains
# the test modules. The 3.13 wheel has the kernels of the 3.11 build, and of the test modules contains only the profiler's
# recorder.
.venv/build-%/done: pyproject.toml
	python=$(PYTHON$(subst .,,$*)); test -n "$$python" || { echo "needs Python $*"; exit 1; }; "$$python" -m venv $(@D)
	$(@D)/bin/python -c '$(BUILD_NEEDS)' > $(@D)/requirements.txt
	$(@D)/bin/python $(PIP) -r $(@D)/requirements.txt pybind11 cmake ninja $(CUDA_NEEDS)
	touch $@

build-wheel = rm -rf $(1) && SPIKEGRAD_CUDA=$(4) .venv/build-$(2)/bin/python -m pip wheel --quiet --disable-pip-version-check \
	--no-build-isolation --no-deps --wheel-dir $(1) -Cbuild-dir=build/$(notdir $(1)) -Ccmake.define.SPIKEGRAD_TESTING=ON $(3) . \
	&& touch $(1)/done

.venv/wheel-3.11/done: .venv/build-3.11/done $(SOURCES)
	$(call build-wheel,$(@D),3.11,,ON)

.venv/wheel-3.13/done: .venv/build-3.13/done .venv/wheel-3.11/done
	$(call build-wheel,$(@D),3.13,-Ccmake.define.SPIKEGRAD_KERNELS=$(CURDIR)/build/wheel-3.11 \
	  "-Cbuild.targets=_cpu;_cuda;spikegrad_nvtx_recorder" "-Cinstall.components=_cpu;_cuda;nvtx_recorder",ON)

# An environment: $(call environment,name,python,wheel,jax,extras). Python 3.12 uses the 3.13 wheel, without the test
# modules.
define environment
.venv/$(1)/packages: .venv/wheel-$(3)/done pyproject.toml
	test -n "$$(PYTHON$(subst .,,$(2)))" || { echo "needs Python $(2)"; exit 1; }
	test -x .venv/$(1)/bin/python || $$(PYTHON$(subst .,,$(2))) -m venv .venv/$(1)
	cmp -s pyproject.toml .venv/$(1)/pyproject.toml || { \
	  .venv/$(1)/bin/python $$(PIP) "$$$$(ls .venv/wheel-$(3)/*.whl)[$(5)]" $(4) && cp pyproject.toml .venv/$(1)/pyproject.toml; }
	touch $$@
.venv/$(1)/done: .venv/$(1)/packages .venv/wheel-$(3)/done
	.venv/$(1)/bin/python $$(PIP) --no-deps --force-reinstall .venv/wheel-$(3)/*.whl
	touch $$@
endef
$(eval $(call environment,main,3.11,3.11,jax==0.10.2 jaxlib==0.10.2,test$(comma)demo$(comma)bench$(comma)lint))
$(eval $(call environment,oldest,3.11,3.11,jax==0.8.0 jaxlib==0.8.0,test))
$(eval $(call environment,newest,3.13,3.13,,test))
$(eval $(call environment,libraries,3.11,3.11,jax==0.10.2 jaxlib==0.10.2,test$(comma)libraries))
$(eval $(call environment,libraries-newest,3.12,3.13,jax==0.12.0.1 jaxlib==0.12.0.1,test$(comma)libraries-newest))
$(eval $(call environment,peers-jax,3.12,3.13,jax==0.12.0.1 jaxlib==0.12.0.1,peers-jax))

RUN := .venv/main/bin/python
# --cases n runs at most n cases of each test, drawn at random but always the same. `make test` runs all cases.
PYTEST := -m pytest -q -n auto

# CMake finds the FFI headers of the oldest jaxlib before the jaxlib that runs the tests.
WITH_HEADERS := PYTHONPATH=$(CURDIR)/.venv/check/headers

# The environment for work on the code: an editable installation, and a CPU module that ninja rebuilds in build/check.
# A debug build compiles in a fifth of the time. scikit-build-core could rebuild at each import
# (editable.rebuild); then every process that a test starts would do so.
.venv/check/done: pyproject.toml
	test -n "$(PYTHON311)" || { echo "needs Python 3.11"; exit 1; }
	test -x $(@D)/bin/python || "$(PYTHON311)" -m venv $(@D)
	$(@D)/bin/python -c '$(BUILD_NEEDS)' > $(@D)/build.txt
	grep '^jaxlib' $(@D)/build.txt > $(@D)/headers.txt
	{ grep -v '^jaxlib' $(@D)/build.txt; $(@D)/bin/python -c '$(call extra,test)'; \
	  $(@D)/bin/python -c '$(call extra,lint)'; } > $(@D)/requirements.txt
	rm -rf $(@D)/headers && $(@D)/bin/python $(PIP) --no-deps --no-compile --target $(@D)/headers -r $(@D)/headers.txt
	$(@D)/bin/python $(PIP) -r $(@D)/requirements.txt pybind11 cmake ninja jax==0.10.2 jaxlib==0.10.2
	$(WITH_HEADERS) $(@D)/bin/python $(PIP) --no-deps --no-build-isolation -Cbuild-dir=build/check -Ccmake.build-type=Debug \
	  -Ccmake.define.SPIKEGRAD_CUDA=OFF -Ccmake.define.SPIKEGRAD_TESTING=ON -Cbuild.targets=_cpu -Cinstall.components=_cpu \
	  --editable .
	touch $@

# A pytest selection: files, folders, test::names and options.
T ?= tests/spike/test_contract.py tests/neurons/test_lif.py -k "documented or docstring or special_values and float32"
# Only the kernel tests use the test modules, which take a minute to build.
NEEDS_TEST_MODULES := $(findstring tests/kernels,$(T))
check: export SPIKEGRAD_REQUIRE_TEST_MODULES := $(if $(NEEDS_TEST_MODULES),1)
check: .venv/check/done
	MAKEFLAGS= $(WITH_HEADERS) .venv/check/bin/cmake --build build/check --target $(if $(NEEDS_TEST_MODULES),all,_cpu)
	site=$$(.venv/check/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))'); \
	  for component in _cpu $(if $(NEEDS_TEST_MODULES),testing); do \
	    .venv/check/bin/cmake --install build/check --component $$component --prefix "$$site" > /dev/null; done
	.venv/check/bin/python -m pytest -q $(T)

demo: .venv/main/done
	$(RUN) examples/digits.py --out out/demo
	$(RUN) examples/vowels.py --out out/demo

# Wheels of these environments must contain the CUDA module; tests fail otherwise.
test versions: export SPIKEGRAD_REQUIRE_CUDA := 1
# Only this environment must have the packages for the benchmarks.
test: export SPIKEGRAD_REQUIRE_BENCHMARKS := 1
# These builds must contain the test modules.
test versions asan clang: export SPIKEGRAD_REQUIRE_TEST_MODULES := 1

test: .venv/main/done
	$(RUN) $(PYTEST)

# Documentation pages whose code needs these libraries. `make test` skips them.
libraries torch: export SPIKEGRAD_REQUIRE_LIBRARIES := 1

# Releases for Python 3.11, and the newest releases, which need Python 3.12. -W default: warnings of these libraries are
# not errors.
libraries: .venv/libraries/done .venv/libraries-newest/done
	.venv/libraries/bin/python $(PYTEST) -W default tests/with_libraries
	.venv/libraries-newest/bin/python $(PYTEST) -W default tests/with_libraries
	.venv/libraries/bin/python -m pytest -q -W default tests/process/test_docs.py -k "braintools or spyx"
	.venv/libraries-newest/bin/python -m pytest -q -W default tests/process/test_docs.py -k "braintools or spyx"

# --no-deps: .venv/main has the dependencies that are needed, and most others are not for neurons. PyPI's torch is built
# for CUDA and does not import this way. If pip has no index with CPU builds, set PIP_EXTRA_INDEX_URL to PyTorch's index
# of CPU builds.
.venv/torch/done: .venv/main/done pyproject.toml
	rm -rf $(@D)
	$(RUN) $(PIP) --no-deps --no-compile --target $(@D)/site $$($(RUN) -c '$(call extra,torch-libraries)')
	touch $@

torch: .venv/torch/done
	PYTHONPATH=.venv/torch/site $(RUN) $(PYTEST) -W default tests/with_torch
	PYTHONPATH=.venv/torch/site $(RUN) -m pytest -q -W default tests/process/test_docs.py -k "snntorch or spikingjelly"

# The torch libraries run in an environment without jax, and the jax libraries in one without torch. --no-deps for the
# same reason as in .venv/torch. Norse requires torchvision too, only for its example tasks and vision models. Inductor,
# the compiler of PyTorch, calls g++.
.venv/peers-torch/done: pyproject.toml
	test -n "$(PYTHON311)" || { echo "needs Python 3.11"; exit 1; }
	rm -rf $(@D) && "$(PYTHON311)" -m venv $(@D)
	$(@D)/bin/python -c '$(call extra,peers-torch)' > $(@D)/requirements.txt
	$(@D)/bin/python $(PIP) --no-deps -r $(@D)/requirements.txt
	touch $@

# For example PEERS=--quick, or PEERS="--rounds 15 --seconds 30".
PEERS ?=
peers: .venv/peers-jax/done .venv/peers-torch/done
	.venv/peers-jax/bin/python -m benchmarks.peers --torch-python .venv/peers-torch/bin/python --out out/peers $(PEERS)

peers-page:
	"$(PYTHON311)" -m benchmarks.peers.page --results out/peers

# XLA:GPU without a GPU. It needs ptxas and libdevice from the compiler's wheels, and no other CUDA library.
.venv/cuda/done: .venv/main/done pyproject.toml
	rm -rf $(@D)
	$(RUN) $(PIP) --no-deps --no-compile --target $(@D)/site jax-cuda13-pjrt==0.10.2 jax-cuda13-plugin==0.10.2 \
	  $(filter %nvcc==13.0.*" %nvvm==13.0.*",$(CUDA_NEEDS)) nvidia-cuda-cuobjdump==13.2.51 nvidia-cuda-nvdisasm==13.2.51 \
	  auditwheel==6.8.2 pyelftools==0.33
	touch $@

# Without the two variables jax searches for a GPU and for all CUDA libraries. --dist loadfile: one worker runs the
# whole file, so the module is disassembled once.
cuda: .venv/cuda/done
	JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 SPIKEGRAD_WHEEL=$$(ls .venv/wheel-3.11/*.whl) PYTHONPATH=.venv/cuda/site \
	  $(RUN) $(PYTEST) --dist loadfile tests/with_cuda_tools

counts: .venv/cuda/done
	JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 PYTHONPATH=.venv/cuda/site $(RUN) tests/with_cuda_tools/counts_page.py

installs: .venv/main/done .venv/build-3.11/done
	SPIKEGRAD_BUILD_PYTHON=.venv/build-3.11/bin/python $(RUN) $(PYTEST) tests/with_installs

gpu-dry-run: .venv/main/done
	$(RUN) -m benchmarks.gpu_check --dry-run --out out/gpu_dry_run

# With jax's CUDA plugin beside the packages of .venv/main.
.venv/gpu/done: .venv/main/done
	rm -rf $(@D)
	$(RUN) $(PIP) --no-compile --target $(@D)/site "jax[cuda13]==0.10.2"
	touch $@

gpu-check: .venv/gpu/done
	PYTHONPATH=.venv/gpu/site $(RUN) -m benchmarks.gpu_check --wheel $$(ls .venv/wheel-3.11/*.whl) --out out/gpu_check

bench: .venv/main/done
	$(RUN) -m benchmarks --out out/bench

# The API pages are generated from the sources, so the site needs neither jax nor a compiled module.
.venv/docs/done: pyproject.toml
	test -n "$(PYTHON311)" || { echo "needs Python 3.11"; exit 1; }
	test -x $(@D)/bin/python || "$(PYTHON311)" -m venv $(@D)
	$(@D)/bin/python -c '$(call extra,docs)' > $(@D)/requirements.txt
	$(@D)/bin/python $(PIP) -r $(@D)/requirements.txt
	touch $@

docs: .venv/docs/done
	NO_MKDOCS_2_WARNING=1 .venv/docs/bin/python -m mkdocs build --strict
	@echo "built: out/docs/index.html"

gallery: .venv/main/done
	$(RUN) examples/gallery.py --out docs/gallery

lint: .venv/check/done
	.venv/check/bin/ruff check .
	.venv/check/bin/ruff format --check .
	.venv/check/bin/mypy
	.venv/check/bin/clang-format --dry-run --Werror $$(find csrc tests/csrc -name '*.h' -o -name '*.cc' -o -name '*.cu')

format: .venv/check/done
	.venv/check/bin/ruff check --fix .
	.venv/check/bin/ruff format .
	.venv/check/bin/clang-format -i $$(find csrc tests/csrc -name '*.h' -o -name '*.cc' -o -name '*.cu')

# One surrogate is enough, because the rules are the same for all.
policies tsan: export SPIKEGRAD_ONE_SURROGATE := 1

# Without XLA's optimisation tests take a quarter less time. The optimisation level affects neither the jax version nor
# the kernel policy under test. Another jax version breaks a rule, not one of its cases. So 4 cases of each test are
# enough here; `make wheel` runs all cases of one surrogate on these versions.

versions policies: export XLA_FLAGS := --xla_backend_optimization_level=0
versions: .venv/oldest/done .venv/newest/done
	.venv/oldest/bin/python $(PYTEST) --cases 4 tests/spike tests/neurons tests/process
	.venv/newest/bin/python $(PYTEST) --cases 4 tests/spike tests/neurons tests/process

# `make test` runs with all kernels and with none. This target uses the default policy, under which some small arrays
# have kernels. A layer of the sizes in tests always has its kernel.
policies: .venv/main/done
	SPIKEGRAD_KERNELS=auto $(RUN) $(PYTEST) --cases 8 -m each_policy
	SPIKEGRAD_KERNELS=0 $(RUN) $(PYTEST) --cases 8 tests/spike/test_partitioning.py tests/process/test_threads.py

CALLS ?= 100000
fuzz: .venv/main/done
	$(RUN) tests/fuzz/handlers.py --calls $(CALLS)

SOAK_SECONDS ?= 300
soak: .venv/main/done
	$(RUN) tests/fuzz/soak.py --seconds $(SOAK_SECONDS)

# Installation waits for the network and for one core. So CI creates two environments at a time (make -j2).
environments: .venv/check/done .venv/main/done .venv/libraries/done .venv/libraries-newest/done .venv/oldest/done \
  .venv/newest/done .venv/cuda/done .venv/asan/done .venv/tsan/done .venv/torch/done .venv/docs/done .venv/zig/done .venv/aarch64/done

# Sanitizers instrument only this project's code. Their runtimes must be loaded before Python starts.
.venv/asan/done: .venv/build-3.11/done .venv/main/done $(SOURCES)
	$(call build-wheel,$(@D),3.11,-Ccmake.define.SPIKEGRAD_SANITIZE=address$(comma)undefined -Cinstall.strip=false,OFF)
	$(RUN) $(PIP) --no-deps --target $(@D)/site $(@D)/*.whl

.venv/tsan/done: .venv/build-3.11/done .venv/main/done $(SOURCES)
	$(call build-wheel,$(@D),3.11,-Ccmake.define.SPIKEGRAD_SANITIZE=thread -Cinstall.strip=false \
	  -Cbuild.targets=_cpu -Cinstall.components=_cpu,OFF)
	$(RUN) $(PIP) --no-deps --target $(@D)/site $(@D)/*.whl

preload = LD_PRELOAD="$$(gcc -print-file-name=lib$(1).so) $$(g++ -print-file-name=libstdc++.so)"

asan: .venv/main/done .venv/asan/done
	PYTHONPATH=.venv/asan/site ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $(call preload,asan) \
	  $(RUN) $(PYTEST) --cases 72 tests/kernels
	PYTHONPATH=.venv/asan/site ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $(call preload,asan) \
	  $(RUN) tests/fuzz/handlers.py --calls 10000

tsan: .venv/main/done .venv/tsan/done
	PYTHONPATH=.venv/tsan/site TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1 $(call preload,tsan) \
	  $(RUN) $(PYTEST) tests/process/test_threads.py tests/kernels/test_handlers.py

.venv/clang/done: .venv/build-3.11/done .venv/main/done $(SOURCES)
	CC=clang CXX=clang++ $(call build-wheel,$(@D),3.11,,OFF)
	$(RUN) $(PIP) --no-deps --target $(@D)/site $(@D)/*.whl

clang: .venv/main/done .venv/clang/done
	PYTHONPATH=.venv/clang/site $(RUN) $(PYTEST) tests/kernels/test_accuracy.py tests/kernels/test_handlers.py tests/spike/test_contract.py

# zig compiles and links for glibc 2.17, and carries its own libc++, so the modules need no library but glibc. nanobind
# doesn't include cstdio, which libc++ needs.
ZIG = $(CURDIR)/.venv/zig/ziglang/zig c++ -target $(1)-linux-gnu.2.17
ZIG_FLAGS := -include cstdio

# A build for aarch64 with the headers of this machine's Python, which are the same for both processors:
# $(call aarch64-wheel,python,build folder,options and source).
aarch64-wheel = CXX="$(call ZIG,aarch64)" CXXFLAGS="$(ZIG_FLAGS)" SPIKEGRAD_CUDA=OFF _PYTHON_HOST_PLATFORM=linux-aarch64 \
	SETUPTOOLS_EXT_SUFFIX=.cpython-$(subst .,,$(1))-aarch64-linux-gnu.so .venv/build-$(1)/bin/python -m pip wheel --quiet \
	--disable-pip-version-check --no-build-isolation --no-deps --wheel-dir $(2) -Cbuild-dir=$(CURDIR)/$(2) \
	-Ccmake.args=-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/cmake/aarch64_linux.cmake $(3)

# The last line compiles zig's C++ library, which zig keeps for later builds.
.venv/zig/done: .venv/build-3.11/done pyproject.toml
	rm -rf $(@D)
	.venv/build-3.11/bin/python $(PIP) --no-compile --target $(@D) $$(.venv/build-3.11/bin/python -c '$(call extra,zig)')
	echo '#include <cstdio>' | $(call ZIG,aarch64) -x c++ -O3 -fPIC -shared -Wl,-s - -o $(@D)/empty.so
	touch $@

# An emulated Python with jax.
AARCH64 := .venv/aarch64/bin/python
AARCH64_SITE := .venv/aarch64/lib/python3.11/site-packages
.venv/aarch64/done: .venv/build-3.11/done tests/with_emulation/install_python.sh pyproject.toml
	rm -rf $(@D)
	tests/with_emulation/install_python.sh $(@D)
	.venv/build-3.11/bin/python -m compileall -q $(@D)/debian/usr/lib/python3.11
	.venv/build-3.11/bin/python -c '$(call extra,test)' > $(@D)/requirements.txt
	.venv/build-3.11/bin/python $(PIP) --target $(AARCH64_SITE) --python-version 3.11 --only-binary=:all: \
	  $(foreach tag,2014 _2_17 _2_27 _2_28,--platform manylinux$(tag)_aarch64) -r $(@D)/requirements.txt jax==0.10.2 jaxlib==0.10.2
	touch $@

# The modules under test.
.venv/aarch64/module: .venv/aarch64/done .venv/zig/done $(SOURCES)
	rm -rf build/aarch64/*.whl $(AARCH64_SITE)/spikegrad*
	$(call aarch64-wheel,3.11,build/aarch64,-Ccmake.define.SPIKEGRAD_TESTING=ON \
	  "-Cbuild.targets=_cpu;spikegrad_scalar" -Cinstall.components=_cpu .)
	.venv/build-3.11/bin/python -m zipfile -e build/aarch64/*.whl $(AARCH64_SITE)
	cp build/aarch64/spikegrad_scalar.*.so $(AARCH64_SITE)/spikegrad_scalar.so
	touch $@

# A selection for pytest. All cases of these files, and of tests/neurons/test_lif.py, take 14 minutes of CPU time.
AARCH64_TESTS ?= --cases 2 -k "not fused" tests/kernels/test_accuracy.py tests/kernels/test_instruction_sets.py \
  tests/spike/test_contract.py
aarch64 wheel-aarch64: export XLA_FLAGS := --xla_backend_optimization_level=0
aarch64: export SPIKEGRAD_REQUIRE_TEST_MODULES := 1
aarch64: .venv/aarch64/module .venv/main/done
	$(AARCH64) $(PYTEST) $(AARCH64_TESTS)
	SPIKEGRAD_AARCH64_PYTHON=$(CURDIR)/$(AARCH64) $(RUN) -m pytest -q tests/with_emulation

# The wheels of a release.
MANYLINUX := manylinux_2_17_x86_64
.venv/release/done: pyproject.toml
	test -n "$(PYTHON312)" || { echo "needs Python 3.12"; exit 1; }
	rm -rf $(@D) && "$(PYTHON312)" -m venv $(@D)
	$(@D)/bin/python $(PIP) $$($(@D)/bin/python -c '$(call extra,release)')
	touch $@

# From the source distribution, so that it is complete, but with the kernels of .venv/wheel-3.11. So the wheels have the
# machine code that was tested and measured. CMake looks for nvcc because the CUDA runtime is linked.
release-wheel = CXX="$(call ZIG,x86_64)" CXXFLAGS="$(ZIG_FLAGS)" CUDAHOSTCXX=g++ SPIKEGRAD_CUDA=ON .venv/build-$(1)/bin/python -m pip wheel \
	--quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir build/release \
	-Cbuild-dir=$(CURDIR)/build/release-$(1) -Ccmake.define.SPIKEGRAD_KERNELS=$(CURDIR)/build/wheel-3.11 dist/*.tar.gz

dist/done: .venv/release/done .venv/zig/done .venv/wheel-3.11/done .venv/build-3.13/done
	rm -rf dist build/release*
	.venv/release/bin/python -m build --sdist --outdir dist . > /dev/null
	$(call release-wheel,3.11)
	$(call release-wheel,3.13)
	PATH="$(CURDIR)/.venv/release/bin:$$PATH" .venv/release/bin/auditwheel repair --plat $(MANYLINUX) --wheel-dir dist build/release/*.whl
	.venv/release/bin/abi3audit --strict --verbose dist/*abi3*.whl
	.venv/release/bin/check-wheel-contents dist/*.whl
	.venv/release/bin/twine check --strict dist/*.whl dist/*.tar.gz
	for wheel in dist/*.whl; do test $$(stat -c %s $$wheel) -le 8000000 || { echo "$$wheel has more than 8 MB"; exit 1; }; done
	touch $@

# auditwheel accepts no foreign platform by name, but finds the oldest glibc that a wheel runs with.
dist/aarch64-done: dist/done .venv/zig/done
	rm -rf dist/*aarch64.whl build/aarch64-3.11 build/aarch64-3.13
	$(foreach python,3.11 3.13,$(call aarch64-wheel,$(python),build/aarch64-$(python),dist/*.tar.gz) &&) true
	PATH="$(CURDIR)/.venv/release/bin:$$PATH" .venv/release/bin/auditwheel repair --plat auto --wheel-dir dist build/aarch64-3.*/*.whl
	test $$(find dist -name '*manylinux_2_17_aarch64.whl' -size -2000k | wc -l) = 2
	.venv/release/bin/abi3audit --strict --verbose dist/*abi3*aarch64.whl
	.venv/release/bin/check-wheel-contents dist/*aarch64.whl
	.venv/release/bin/twine check --strict dist/*aarch64.whl
	touch $@

# Only the wheel for Python 3.11 can be run: Debian 12 has no later Python.
wheel-aarch64: dist/aarch64-done .venv/aarch64/done
	rm -rf build/aarch64-installed
	.venv/build-3.11/bin/python -m zipfile -e dist/*cp311*aarch64.whl build/aarch64-installed
	PYTHONPATH=build/aarch64-installed $(AARCH64) -m spikegrad
	PYTHONPATH=build/aarch64-installed $(AARCH64) $(PYTEST) $(filter-out tests/kernels/%,$(AARCH64_TESTS))

# Each wheel in a fresh environment, with no compiler on PATH: $(call from-wheel,python,tag,jax).
define from-wheel
.venv/from-wheel-$(1)/done: dist/done
	rm -rf $$(@D) && "$$(PYTHON$(subst .,,$(1)))" -m venv $$(@D)
	PATH="$$(CURDIR)/$$(@D)/bin" $$(@D)/bin/python $$(PIP) "$$$$(echo dist/*$(2)*x86_64.whl)[test]" $(3)
	touch $$@
wheel-$(1): .venv/from-wheel-$(1)/done
	PATH="$$(CURDIR)/.venv/from-wheel-$(1)/bin" .venv/from-wheel-$(1)/bin/python $$(PYTEST) tests/spike tests/neurons tests/process
endef
$(eval $(call from-wheel,3.11,cp311,jax==0.8.0 jaxlib==0.8.0))
$(eval $(call from-wheel,3.12,abi3,))
$(eval $(call from-wheel,3.13,abi3,))
WHEEL_TESTS := wheel-3.11 wheel-3.12 wheel-3.13 wheel-cuda
.PHONY: $(WHEEL_TESTS)
$(WHEEL_TESTS): export SPIKEGRAD_REQUIRE_CUDA := 1
$(WHEEL_TESTS): export SPIKEGRAD_ONE_SURROGATE := 1
$(WHEEL_TESTS): export XLA_FLAGS := --xla_backend_optimization_level=0
wheel: $(WHEEL_TESTS) dist/aarch64-done

# The machine code of the CUDA module that ships: spills, 128-bit accesses, architectures.
wheel-cuda: dist/done .venv/cuda/done
	rm -rf .venv/from-wheel-cuda && $(RUN) $(PIP) --no-deps --target .venv/from-wheel-cuda dist/*cp311*x86_64.whl
	JAX_PLATFORMS=cpu SPIKEGRAD_WHEEL=$$(echo dist/*cp311*x86_64.whl) PYTHONPATH=.venv/from-wheel-cuda:.venv/cuda/site \
	  $(RUN) $(PYTEST) --dist loadfile tests/with_cuda_tools/test_machine_code.py tests/with_cuda_tools/test_wheel.py

# The tests, the wheels and their tests, the site, then the points that only a release must meet.
release-check: lint test wheel docs
	$(RUN) tests/release/check.py

clean:
	rm -rf .venv build dist out

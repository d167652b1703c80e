"""What must hold before a release: `make release-check` runs this after the tests, the wheels and the documentation.

Prints every point, and fails if one does not hold.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def text(name: str) -> str:
    return (ROOT / name).read_text()


def points() -> Iterator[tuple[str, bool]]:
    """Each point and whether it holds."""
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    yield f"CITATION.cff has version {version}", f"\nversion: {version}\n" in text("CITATION.cff")
    sections = re.split(r"^## ", text("CHANGELOG.md"), flags=re.M)[1:]
    unreleased, newest = sections[0].split("\n", 1), sections[1].split("\n", 1)
    yield (
        "CHANGELOG.md has nothing under Unreleased",
        unreleased[0] == "Unreleased" and unreleased[1].strip() == "Nothing yet.",
    )
    yield f"CHANGELOG.md has a section for {version}", newest[0].split()[0] == version

    yield "every file is committed", not git("status", "--porcelain")
    tags = git("tag", "--points-at", "HEAD").split()
    yield f"a tag of this commit, if any, is v{version}", not tags or f"v{version}" in tags

    found = sorted(path.name for path in (ROOT / "dist").glob("spikegrad-*"))
    for tag, processor in itertools.product(("cp311-cp311", "cp312-abi3"), ("x86_64", "aarch64")):
        pattern = rf"spikegrad-{version}-{tag}-.*manylinux_2_17_{processor}\.whl"
        named = [name for name in found if re.fullmatch(pattern, name)]
        yield f"dist has one wheel for {tag}, {processor} and glibc 2.17", len(named) == 1
    yield "dist has the source distribution", f"spikegrad-{version}.tar.gz" in found

    measured = re.search(r"commit ([0-9a-f]{7,})", text("docs/measured.md"))
    commit = measured[1] if measured else ""
    kernels = git(
        "log", "-1", "--format=%h", "--", "csrc", "python/spikegrad/fused.py", "python/spikegrad/kernel_policy.py"
    )
    newer = commit and subprocess.run(["git", "merge-base", "--is-ancestor", kernels, commit], cwd=ROOT).returncode == 0
    yield (
        f"the speed figures, of commit {commit}, are not older than the last change of kernels, {kernels}",
        bool(newer),
    )


def main() -> None:
    all_hold = True
    for what, holds in points():
        print("ok    " if holds else "FAILED", what)
        all_hold &= holds
    sys.exit(not all_hold)


if __name__ == "__main__":
    main()

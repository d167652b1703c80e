"""The build rejects compiler flags that give wrong results or a module that crashes on other CPUs."""

import json
import platform
import shlex
import subprocess

import pytest
from building import PYTHON, ROOT, pip_wheel, run

CHANGE_RESULTS = [
    "-ffast-math",
    "-Ofast",
    "-funsafe-math-optimizations",
    "-ffinite-math-only",
    "-fassociative-math",
    "-freciprocal-math",
    "-fno-signed-zeros",
    "-ffp-contract=fast",
    "-fsingle-precision-constant",
    "-mdaz-ftz",
    "-mfpmath=387",
    "-fast",
    "-fapprox-func",
    "-fno-honor-nans",
    "-fno-honor-infinities",
    "-ffp-model=fast",
    "-ffp-model=aggressive",
    "-fdenormal-fp-math=preserve-sign",
]
NEED_A_CPU = ["-march=native", "-mcpu=native", "-mavx2", "-mavx512f", "-mfma", "-msse4.2"]
OF_NVCC = ["--use_fast_math", "-use_fast_math", "--ftz=true", "-prec-div=false", "--prec-sqrt=false", "-fmad=true"]

needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64")


def configure(folder, *options, cuda="OFF", **variables):
    """Run cmake's configuration. Returns the status and the output as one line."""
    nanobind = subprocess.check_output([PYTHON, "-m", "nanobind", "--cmake_dir"], text=True).strip()
    command = [PYTHON.parent / "cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, f"-DPython_EXECUTABLE={PYTHON}"]
    command += [
        f"-Dnanobind_DIR={nanobind}",
        f"-DSPIKEGRAD_CUDA={cuda}",
        "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        *options,
    ]
    result = run(command, **variables)
    return result.returncode, " ".join(result.stdout.split())


def refused(flag, variable):
    return f" {flag} in {variable}: "


@pytest.mark.parametrize("flag", [*CHANGE_RESULTS, *NEED_A_CPU])
def test_a_flag_is_refused_by_its_name_and_its_variable(tmp_path, flag):
    status, output = configure(tmp_path, CXXFLAGS=f"-O2 {flag} -g")
    assert status != 0
    assert refused(flag, "CXXFLAGS") in output
    assert "Remove them there and build again" in output


@pytest.mark.parametrize("variable", ["CXX", "CXXFLAGS", "LDFLAGS"])
def test_every_variable_of_the_environment_that_cmake_reads(tmp_path, variable):
    status, output = configure(tmp_path, **{variable: "g++ -ffast-math -march=native"})
    assert status != 0
    assert refused("-ffast-math", variable) in output
    assert refused("-march=native", variable) in output


@pytest.mark.parametrize(
    "variable", ["CXX_FLAGS", "CXX_FLAGS_RELEASE", "MODULE_LINKER_FLAGS", "SHARED_LINKER_FLAGS_RELEASE"]
)
def test_every_variable_of_cmake(tmp_path, variable):
    status, output = configure(tmp_path, f"-DCMAKE_{variable}=-O2 -Ofast")
    assert status != 0
    assert refused("-Ofast", f"CMAKE_{variable}") in output


@pytest.mark.parametrize("variable", ["CUDAFLAGS", "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "CMAKE_CUDA_FLAGS"])
def test_every_variable_of_nvcc(tmp_path, variable):
    flags = [*OF_NVCC, "-Xcompiler=-g,-ffast-math", "-Xcompiler -Ofast", "--compiler-options -march=native"]
    value = " ".join([*flags, "--ftz true"])
    if variable.startswith("CMAKE_"):
        status, output = configure(tmp_path, f"-D{variable}={value}", cuda="ON")
    else:
        status, output = configure(tmp_path, cuda="ON", **{variable: value})
    assert status != 0
    for flag in (*OF_NVCC, "-ffast-math", "-Ofast", "-march=native"):
        assert refused(flag, variable) in output
    assert output.count(refused("--ftz=true", variable)) == 2  # one for each spelling


def test_nvcc_flags_do_not_matter_without_a_cuda_module(tmp_path):
    status, output = configure(tmp_path, NVCC_APPEND_FLAGS="--use_fast_math", CUDAFLAGS="--use_fast_math")
    assert status == 0, output


@pytest.mark.parametrize(
    "variables, settings, variable",
    [
        ({"CXXFLAGS": "-O2 -ffast-math"}, [], "CXXFLAGS"),
        ({"CMAKE_ARGS": "-DCMAKE_CXX_FLAGS_RELEASE=-ffast-math"}, [], "CMAKE_CXX_FLAGS_RELEASE"),
        ({}, ["-Ccmake.define.CMAKE_MODULE_LINKER_FLAGS=-ffast-math"], "CMAKE_MODULE_LINKER_FLAGS"),
    ],
)
def test_pip_shows_the_message(tmp_path, variables, settings, variable):
    result = run(pip_wheel(ROOT, tmp_path / "wheel", f"-Cbuild-dir={tmp_path / 'build'}", *settings), **variables)
    assert result.returncode != 0
    assert refused("-ffast-math", variable) in result.stdout


def test_a_build_folder_does_not_remember_a_refused_flag(tmp_path):
    assert configure(tmp_path, CXXFLAGS="-ffast-math", LDFLAGS="-ffast-math")[0] != 0
    status, output = configure(tmp_path)
    assert status == 0, output


def commands(folder):
    return json.loads((folder / "compile_commands.json").read_text())


def test_harmless_flags_reach_the_compiler(tmp_path):
    status, output = configure(tmp_path, CXXFLAGS="-O2 -g -fno-math-errno -mtune=native", LDFLAGS="-Wl,-O2 -Wl,-z,now")
    assert status == 0, output
    assert all("-O2 -g -fno-math-errno -mtune=native" in command["command"] for command in commands(tmp_path))


@pytest.mark.parametrize("variable", ["CFLAGS", "CPPFLAGS"])
def test_variables_that_cmake_does_not_read_for_c_plus_plus(tmp_path, variable):
    """A flag in such a variable has no effect."""
    status, output = configure(tmp_path, **{variable: "-ffast-math"})
    assert status == 0, output
    assert "-ffast-math" not in (tmp_path / "build.ninja").read_text()


@needs_x86
@pytest.mark.parametrize("march", ["x86-64", "nocona", "haswell", "skylake-avx512"])
def test_the_baseline_needs_no_more_than_x86_64(tmp_path, march):
    """A packager's -march has no effect. conda sets nocona for every package."""
    status, output = configure(tmp_path, CXXFLAGS=f"-march={march} -mtune=haswell -O2")
    assert status == 0, output
    checked = set()
    for command in commands(tmp_path):
        compiler, *flags = shlex.split(command["command"])
        flags = flags[: flags.index("-o")]
        macros = subprocess.check_output([compiler, *flags, "-dM", "-E", "-x", "c++", "/dev/null"], text=True)
        if "spikegrad_kernels_avx" in command["command"]:
            assert "#define __AVX2__ " in macros
        else:
            assert not {"__SSE3__", "__SSE4_2__", "__AVX__"} & set(macros.split())
            checked.add("nanobind" if "/nanobind/" in command["file"] else command["file"].rpartition("/")[2])
    assert {"kernels.cc", "layer_kernels.cc", "spike_handlers.cc", "module.cc", "nanobind"} <= checked


@pytest.mark.parametrize(
    "flag",
    ["-ffast-math", "-funsafe-math-optimizations", "-ffinite-math-only", "-freciprocal-math", "-fno-signed-zeros"],
)
def test_a_flag_that_no_variable_shows_stops_the_compiler(flag):
    """A compiler wrapper or a toolchain file may add such a flag."""
    command = ["g++", "-std=c++17", "-fsyntax-only", "-x", "c++", ROOT / "csrc/math/scalar.h"]
    assert run(command).returncode == 0
    result = run([*command, flag])
    assert result.returncode != 0
    assert "can't be compiled with -ffast-math or a part of it" in result.stdout

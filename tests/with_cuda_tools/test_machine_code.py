"""The machine code in the CUDA module, for each architecture: no local memory, wide accesses, early loads."""

import collections
import functools
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from spikegrad import _cuda

DTYPES = ("Float16", "BFloat16", "float", "double")
FAMILIES = (", GaussianMixture", ", Sigmoid")


def of_every_type(kernel, families):
    return {f"{kernel}<{dtype}{family}>" for dtype in DTYPES for family in families}


ELEMENTWISE = (
    of_every_type("spike", ("",))
    | of_every_type("surrogate_gradient", FAMILIES)
    | of_every_type("surrogate_derivative", FAMILIES)
)
LIF = of_every_type("lif", ("",)) | of_every_type("lif_tangent", FAMILIES) | of_every_type("lif_cotangent", FAMILIES)
KERNELS = ELEMENTWISE | LIF
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")


def tool():
    """cuobjdump of a toolkit or of its wheel, which finds nvdisasm beside itself."""
    import nvidia

    folders = [Path(root) / "cu13/bin" for root in nvidia.__path__]
    found = shutil.which("cuobjdump", path=":".join(map(str, folders))) or shutil.which("cuobjdump")
    assert found, "no cuobjdump: install nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm"
    return found


def cuobjdump(*options):
    return subprocess.run([tool(), *options, _cuda.__file__], check=True, capture_output=True, text=True).stdout


def by_kernel(text):
    """The lines of each (kernel, architecture)."""
    architecture = kernel = None
    found = collections.defaultdict(list)
    for line in text.splitlines():
        if match := re.match(r"\s*arch = (sm_\w+)", line):
            architecture, kernel = match[1], None
        elif match := re.match(r"\s*Function\s*:?\s*(\w+):?\s*$", line):
            kernel = readable(match[1])
        elif architecture and kernel:
            found[kernel, architecture].append(line)
    return found


@functools.cache
def readable(symbol):
    name = subprocess.run(["c++filt", symbol], check=True, capture_output=True, text=True).stdout.strip()
    return re.sub(r"^void |spikegrad::(cuda::)?|\(.*", "", name)


@functools.cache
def resources():
    return {
        key: {name: int(value) for name, value in re.findall(r"(\w+)(?:\[\d+\])?:(\d+)", "".join(lines))}
        for key, lines in by_kernel(cuobjdump("-res-usage")).items()
    }


@functools.cache
def instructions():
    pattern = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")
    return {
        key: [match[1] for line in lines if (match := pattern.match(line))]
        for key, lines in by_kernel(cuobjdump("-sass")).items()
    }


def test_every_kernel_is_there_for_every_architecture():
    expected = {(kernel, architecture) for kernel in KERNELS for architecture in ARCHITECTURES}
    assert set(resources()) == expected
    assert set(instructions()) == expected


def test_there_is_ptx_for_the_devices_to_come():
    assert re.search(r"sm_100\.ptx", cuobjdump("-lptx"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_no_spills_and_no_local_memory(kernel, architecture):
    used = resources()[kernel, architecture]
    assert used["STACK"] == used["LOCAL"] == 0, f"{used}"
    local = [name for name in instructions()[kernel, architecture] if name.split(".")[0] in ("LDL", "STL")]
    assert not local


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(ELEMENTWISE))
def test_vectors_are_loaded_and_stored_whole(kernel, architecture):
    """x alone, and x and t where that is an array too; one element at a time only in the remainder."""
    used = collections.Counter(instructions()[kernel, architecture])

    def wide(name):
        return sum(n for op, n in used.items() if op.split(".")[0] == name and ".128" in op)

    loads = 1 if kernel.startswith("spike") else 3
    assert wide("LDG") >= loads
    assert wide("STG") >= 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(LIF))
def test_several_steps_are_loaded_at_once(kernel, architecture):
    """Before anything is stored or branched upon; and from what is known to be global memory."""
    code = [name.split(".")[0] for name in instructions()[kernel, architecture]]
    assert not {"LD", "ST"} & set(code)
    at_once = max(
        sum(name == "LDG" for name in stretch)
        for stores_or_jumps, stretch in itertools.groupby(code, lambda name: name in ("STG", "BRA", "CALL"))
        if not stores_or_jumps
    )
    # 16 bytes of doubles and floats a thread for each array of a derivative, and twice that of the forward.
    assert at_once >= (4 if "double" in kernel else 8)


def test_subnormals_are_kept():
    """Else a GPU would differ from a CPU."""
    ptx = cuobjdump("-ptx")
    assert "fma.rn.f32" in ptx
    assert ".ftz" not in ptx

"""The machine code in the CUDA module, for each architecture: no local memory, wide accesses, instructions a step."""

import collections
import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from instruction_paths import parsed, shortest_run, shortest_turn
from spikegrad import _cuda

DTYPES = ("Float16", "BFloat16", "float", "double")
FAMILIES = (", GaussianMixture", ", Sigmoid")


def of_every_type(kernel, families):
    return {f"{kernel}<{dtype}{family}>" for dtype in DTYPES for family in families}


SPIKE = of_every_type("spike", ("",))
GRADIENT = of_every_type("surrogate_gradient", (", GaussianMixture, 1", ", GaussianMixture, 3", ", Sigmoid, 1"))
ELEMENTWISE = SPIKE | GRADIENT | of_every_type("surrogate_derivative", FAMILIES)
# By whether the charge comes first, the reset (none, subtract, zero) and whether its spike is detached.
RULES = [
    f"StaticRule<{charge_first}, (Reset){reset}, {detached}>"
    for charge_first in ("true", "false")
    for reset, detached in ((0, "false"), (1, "false"), (1, "true"), (2, "false"), (2, "true"))
]
DEFAULT_RULE = "StaticRule<true, (Reset)1, false>"


def forward_kernel(dtype, lanes, steps, rule=DEFAULT_RULE):
    return f"layer<{dtype}, Lif, Form<{lanes}, {steps}>, {rule}>"


def cotangent_kernel(dtype, lanes, steps, rule=DEFAULT_RULE, family="GaussianMixture"):
    return f"layer_cotangent<{dtype}, Lif, Form<{lanes}, {steps}>, {rule}, {family}>"


FORWARD_FORMS = {
    dtype: ((1, 16), (2, 8)) if dtype == "double" else ((1, 16), (1, 32), (2, 16), (4, 4)) for dtype in DTYPES
}
COTANGENT_FORMS = {"float": ((1, 16), (2, 8), (4, 4)), "BFloat16": ((1, 16), (4, 4))}
LIF = (
    {
        forward_kernel(dtype, *form, rule)
        for dtype, forms in FORWARD_FORMS.items()
        for form in forms
        for rule in RULES
        if "true>" not in rule
    }
    | {
        cotangent_kernel(dtype, *form, rule, family)
        for dtype, forms in COTANGENT_FORMS.items()
        for form in forms
        for rule in RULES
        for family in ("GaussianMixture", "Sigmoid")
    }
    | of_every_type("layer_any", (", Lif",))
    | of_every_type("layer_tangent", [f", Lif{family}" for family in FAMILIES])
    | of_every_type("layer_cotangent_any", [f", Lif{family}" for family in FAMILIES])
)
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
    name = subprocess.run(["c++filt", "-p", symbol], check=True, capture_output=True, text=True).stdout.strip()
    return re.sub(r"^void |spikegrad::(cuda::)?", "", name).replace("> >", ">>")


@functools.cache
def resources():
    return {
        key: {name: int(value) for name, value in re.findall(r"(\w+)(?:\[\d+\])?:(\d+)", "".join(lines))}
        for key, lines in by_kernel(cuobjdump("-res-usage")).items()
    }


@functools.cache
def code():
    return {key: parsed(lines) for key, lines in by_kernel(cuobjdump("-sass")).items()}


def test_every_kernel_is_there_for_every_architecture():
    expected = {(kernel, architecture) for kernel in KERNELS for architecture in ARCHITECTURES}
    assert set(resources()) == expected
    assert set(code()) == expected


def test_there_is_ptx_for_the_devices_to_come():
    assert re.search(r"sm_100\.ptx", cuobjdump("-lptx"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_no_spills_and_no_local_memory(kernel, architecture):
    used = resources()[kernel, architecture]
    assert used["STACK"] == used["LOCAL"] == 0, f"{used}"
    assert not [at for at in code()[kernel, architecture] if at.operation in ("LDL", "STL")]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(SPIKE | GRADIENT))
def test_vectors_are_loaded_and_stored_whole(kernel, architecture):
    """x alone, and x and t where that is an array too; one element at a time only in the remainder."""
    used = collections.Counter(
        at.operation for at in code()[kernel, architecture] if at.operation in ("LDG", "STG") and ".128" in at.name
    )
    assert used["LDG"] >= (1 if kernel in SPIKE else 2)
    assert used["STG"] >= 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(SPIKE | GRADIENT))
def test_registers_of_the_elementwise_kernels(kernel, architecture):
    """For 8 blocks of 128 threads a multiprocessor; with three terms to prepare, for 6."""
    blocks = 6 if kernel.endswith("GaussianMixture, 3>") else 8
    assert -(-resources()[kernel, architecture]["REG"] // 8) * 8 <= 65536 // (128 * blocks)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(LIF))
def test_global_memory_is_known_to_be_global(kernel, architecture):
    assert not {"LD", "ST"} & {at.operation for at in code()[kernel, architecture]}


# The instructions of a neuron's step by the default rule, in a chunk whose successor is loaded meanwhile: (forward,
# back). They are for sm_90, whose times were measured; ptxas may take a tenth more for the others.
BOUNDS = {"float": (16, 60), "BFloat16": (17, 66)}


def bounds(dtype, architecture):
    return [bound * (1 if architecture == "sm_90" else 1.1) for bound in BOUNDS[dtype]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype, form", [(dtype, form) for dtype in BOUNDS for form in FORWARD_FORMS[dtype]])
def test_instructions_of_a_step_forward(dtype, form, architecture):
    lanes, steps = form
    kernel = code()[forward_kernel(dtype, *form), architecture]
    assert shortest_turn(kernel, {"LDG": steps, "STG": steps}) <= bounds(dtype, architecture)[0] * lanes * steps


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype, form", [(dtype, form) for dtype in BOUNDS for form in COTANGENT_FORMS[dtype]])
def test_instructions_of_a_step_back(dtype, form, architecture):
    lanes, steps = form
    kernel = code()[cotangent_kernel(dtype, *form), architecture]
    assert shortest_turn(kernel, {"LDG": 2 * steps, "STG": steps}) <= bounds(dtype, architecture)[1] * lanes * steps


# Of a fast gradient by one Gaussian, with an fma for each.
GRADIENT_FMAS = 11


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_instructions_of_four_steps(dtype, architecture):
    """Of the whole kernel at T = 4, but for the one thread of a block that prepares the parameters."""
    # Beside the arrays over time decay, threshold and v of each of four neurons, and its last v.
    run = shortest_run(code()[forward_kernel(dtype, 4, 4), architecture], {"LDG": 4 + 3 * 4, "STG": 4 + 4})
    assert run <= 1.5 * bounds(dtype, architecture)[0] * 4 * 4
    # A checkpoint, the membrane's cotangent, and of each neuron decay, threshold and the last cotangent.
    wanted = {"LDG": 2 * 4 + 2 + 3 * 4, "STG": 4 + 4, "FFMA": 4 * 4 * GRADIENT_FMAS}
    run = shortest_run(code()[cotangent_kernel(dtype, 4, 4), architecture], wanted)
    assert run <= 1.5 * bounds(dtype, architecture)[1] * 4 * 4


def test_subnormals_are_kept():
    """Else a GPU would differ from a CPU."""
    ptx = cuobjdump("-ptx")
    assert "fma.rn.f32" in ptx
    assert ".ftz" not in ptx

"""The CUDA module's machine code on each architecture: no local memory, wide accesses, instructions a step."""

import collections
import functools
import re

import pytest
from counts_page import PAGE, page
from instruction_counts import COUNTS, measured
from kernel_names import BYTES, DERIVATIVE, GRADIENT, KERNELS, LAYER, LAYER_COTANGENT, LIF, SPIKE
from machine_code import ARCHITECTURES, blocks_of_128, code, cuobjdump, resources


@functools.cache
def operations(kernel, architecture):
    """The number of each (operation, bits) in a kernel."""
    return collections.Counter((at.operation, at.bits) for at in code()[kernel, architecture])


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
    assert not {"LDL", "STL"} & {operation for operation, _ in operations(kernel, architecture)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(SPIKE | GRADIENT))
def test_vectors_are_loaded_and_stored_whole(kernel, architecture):
    """16-byte accesses for x, and for t if it is an array. Only the remainder goes element by element."""
    used = operations(kernel, architecture)
    assert used["LDG", "128"] >= (1 if kernel in SPIKE else 2)
    assert used["STG", "128"] >= 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(LAYER | LAYER_COTANGENT))
def test_rows_of_neurons_are_loaded_and_stored_whole(kernel, architecture):
    """One access for each row of a thread's neurons: 16 bytes for 4 neurons in float32 or 2 in float64."""
    dtype, (lanes, steps) = (LAYER | LAYER_COTANGENT)[kernel]
    bits = str(8 * BYTES[dtype] * lanes)
    used = operations(kernel, architecture)
    assert used["LDG", bits] >= steps * (1 if kernel in LAYER else 2)
    assert used["STG", bits] >= steps


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(SPIKE | GRADIENT))
def test_registers_of_the_elementwise_kernels(kernel, architecture):
    assert blocks_of_128(resources()[kernel, architecture]["REG"]) >= 8


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(DERIVATIVE))
def test_registers_of_the_higher_orders(kernel, architecture):
    """Higher orders are bound by double arithmetic, and with registers for 8 blocks the sigmoid's kernels spill."""
    assert blocks_of_128(resources()[kernel, architecture]["REG"]) >= 4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(LIF))
def test_registers_of_the_lif_kernels(kernel, architecture):
    assert blocks_of_128(resources()[kernel, architecture]["REG"]) >= 3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", sorted(LIF))
def test_global_memory_is_known_to_be_global(kernel, architecture):
    assert not {"LD", "ST"} & {operation for operation, _ in operations(kernel, architecture)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("count", COUNTS, ids=lambda count: f"{count.kernel}-{count.label}")
def test_instructions(count, architecture):
    """Counts need a path with full-width accesses. If the compiler split the accesses, there is no such path."""
    instructions = measured(count, architecture)
    assert instructions is not None
    assert instructions <= count.bound_for(architecture)


def test_the_page_has_the_counts_of_this_module():
    text = PAGE.read_text()
    assert page(text) == text, "docs/machine_code.md has other counts than the built module: run `make counts`"


def test_subnormals_are_kept():
    """Otherwise GPU results would differ from CPU results."""
    ptx = cuobjdump("-ptx")
    assert "fma.rn.f32" in ptx
    assert ".ftz" not in ptx

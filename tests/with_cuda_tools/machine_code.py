"""The machine code in the CUDA module: instructions and resources of each kernel, for each architecture."""

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from spikegrad import _cuda

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
INSTRUCTION_BYTES = 16
JUMPS = {"BRA", "JMP", "BRX", "JMX", "CALL"}


@dataclass(frozen=True, eq=False, slots=True)
class Instruction:
    """One instruction. Equal instructions share one object, because the module has two million instructions."""

    predicate: str
    name: str
    operands: str  # for jumps
    operation: str
    bits: str  # for memory accesses


@functools.cache
def tool(name):
    """The path of a program from a CUDA toolkit or its wheel."""
    import nvidia

    folders = [Path(root) / "cu13/bin" for root in nvidia.__path__]
    found = shutil.which(name, path=":".join(map(str, folders))) or shutil.which(name)
    assert found, f"no {name}: install nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm"
    return found


def cuobjdump(*options, **kwargs):
    command = [tool("cuobjdump"), *options, _cuda.__file__]
    return subprocess.run(command, check=True, capture_output=True, text=True, **kwargs).stdout


@functools.cache
def readable(symbol):
    name = subprocess.run(["c++filt", "-p", symbol], check=True, capture_output=True, text=True).stdout.strip()
    return re.sub(r"^void |spikegrad::(cuda::)?", "", name).replace("> >", ">>")


@functools.cache
def resources():
    """{(kernel, architecture): {"REG": registers, "STACK": bytes, "LOCAL": bytes, ...}}."""
    architecture = kernel = None
    found = {}
    for line in cuobjdump("-res-usage").splitlines():
        if match := re.match(r"\s*arch = (sm_\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function\s*:?\s*(\w+):?\s*$", line):
            kernel = readable(match[1])
        elif kernel and "REG:" in line:
            found[kernel, architecture] = {name: int(value) for name, value in re.findall(r"(\w+):(\d+)", line)}
    return found


@functools.cache
def _instruction(predicate, name, operands):
    operation, *modifiers = name.split(".")
    bits = next((bits for bits in ("128", "64", "U16", "S16", "U8", "S8") if bits in modifiers), "32").lstrip("US")
    return Instruction(predicate, name, operands, operation, bits)


def _disassembled(cubin):
    # Skip the data-flow analysis, which is slow and warns about table jumps.
    command = [tool("nvdisasm"), "-json", "-ndf", cubin]
    header, functions = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    architecture = "sm_{major}{minor}".format(**header["SM"]["version"])
    found = {}
    for piece in functions:
        # The functions that a kernel calls follow it in the same section.
        symbol, start = piece["function-name"], piece["start"] // INSTRUCTION_BYTES
        if not symbol.startswith("$"):
            function = found[readable(symbol), architecture] = []
        assert len(function) == start
        for at in piece["sass-instructions"]:
            operands = at.get("operands", "") if at["opcode"].split(".")[0] in JUMPS else ""
            function.append(_instruction(at.get("predicate", ""), at["opcode"], operands))
    return found


@functools.cache
def code():
    """{(kernel, architecture): instructions}."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        cuobjdump("-xelf", "all", cwd=folder)
        cubins = sorted(Path(folder).glob("*.cubin"), key=lambda path: -path.stat().st_size)
        return {key: function for found in pool.map(_disassembled, cubins) for key, function in found.items()}


def blocks_of_128(registers):
    """How many blocks of 128 threads fit into a multiprocessor's registers, at most 16."""
    return min(16, 65536 // (128 * (-(-registers // 8) * 8)))

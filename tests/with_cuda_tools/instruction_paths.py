"""The instructions that a warp issues on its way through a kernel's machine code, counted on the shortest such way.

A path is described by what it must do: so many instructions of some operations, such as loads from and stores to
global memory. Of all paths that do, the shortest is the one of a full chunk: it takes no branch for a remainder, a
checkpoint or an operand that isn't there. Instructions with a predicate are issued and counted, but don't count as
done. A jump by table (BRX) may go to any block. A call goes on after it, without the instructions of the function, or
at its target, where ptxas has put the end of a loop.
"""

import heapq
import itertools
import re
from typing import NamedTuple

_LINE = re.compile(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);")
_JUMPS = {"BRA", "JMP", "BRX", "JMX", "CALL"}
_EXIT = -1


class Instruction(NamedTuple):
    address: int
    predicate: str
    name: str
    operands: str

    @property
    def operation(self):
        return self.name.split(".")[0]


def parsed(lines):
    """The instructions in lines of `cuobjdump -sass`."""
    found = [match for line in lines if (match := _LINE.match(line))]
    return [Instruction(int(m[1], 16), m[2] or "", m[3], m[4].strip()) for m in found]


def _blocks(code):
    """{address: (instructions, addresses of the blocks that may follow)}; none follow an exit or a return."""
    targets = {}
    for at in code:
        if at.operation in _JUMPS and (match := re.search(r"(0x[0-9a-f]+)\s*$", at.operands)):
            targets[at.address] = int(match[1], 16)
    starts = {code[0].address, *targets.values()}
    starts |= {after.address for at, after in itertools.pairwise(code) if at.operation in (*_JUMPS, "EXIT", "RET")}
    blocks, block = {}, []
    for i, at in enumerate(code):
        block.append(at)
        after = code[i + 1].address if i + 1 < len(code) else None
        ends = at.operation in (*_JUMPS, "EXIT", "RET")
        if not ends and after not in starts and after is not None:
            continue
        conditional = bool(at.predicate) or re.match(r"!?U?P\d", at.operands) is not None
        follow = list(starts) if at.operation in ("BRX", "JMX") else []
        if at.address in targets:
            follow.append(targets[at.address])
        if after is not None and (not ends or conditional or at.operation == "CALL"):
            follow.append(after)
        blocks[block[0].address] = (block, follow)
        block = []
    return blocks


def _shortest(blocks, start, is_end, wanted):
    """The fewest instructions from the begin of a block to an end, with so many of each operation between."""
    operations = tuple(wanted)
    done_by = {
        at: tuple(sum(i.operation == name and not i.predicate for i in block) for name in operations)
        for at, (block, _) in blocks.items()
    }
    enough = tuple(wanted.values())
    queue = [(0, start, (0,) * len(operations))]
    best = {}
    while queue:
        length, at, done = heapq.heappop(queue)
        if is_end(at) and length and done == enough:
            return length
        if at not in blocks or best.get((at, done), length + 1) <= length:
            continue
        best[at, done] = length
        block, follow = blocks[at]
        done = tuple(min(most, n + more) for most, n, more in zip(enough, done, done_by[at], strict=True))
        if block[-1].operation == "EXIT":
            follow = [*follow, _EXIT]
        for successor in follow:
            heapq.heappush(queue, (length + len(block), successor, done))
    return None


def shortest_turn(code, wanted):
    """The instructions of a turn of the loop around the longest stretch of code."""
    blocks = _blocks(code)
    start = max(blocks, key=lambda at: len(blocks[at][0]))
    return _shortest(blocks, start, lambda at: at == start, wanted)


def shortest_run(code, wanted):
    """The instructions of a whole kernel."""
    return _shortest(_blocks(code), code[0].address, lambda at: at == _EXIT, wanted)

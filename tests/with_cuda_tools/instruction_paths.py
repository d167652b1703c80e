"""The instructions that a warp issues on its way through a kernel's machine code, counted on the shortest such way.

A path is described by what it must do: so many loads from and stores to global memory. Of all paths that do, the
shortest is the one of a full chunk: it takes no branch for a remainder, a checkpoint or an operand that isn't there.
"""

import collections
import heapq
import re
from typing import NamedTuple

_LINE = re.compile(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);")
# Jumps that end a path or continue at their target; a call returns to the next instruction and its body isn't counted.
_JUMPS = {"BRA", "JMP", "BRX", "JMX"}


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
    """{address: (instructions, addresses of the blocks that may follow)}; none follow an exit."""
    targets = {}
    for at in code:
        if at.operation in _JUMPS and (match := re.search(r"(0x[0-9a-f]+)\s*$", at.operands)):
            targets[at.address] = int(match[1], 16)
    starts = {code[0].address, *targets.values()}
    starts |= {
        after.address for at, after in zip(code, code[1:], strict=False) if at.operation in (*_JUMPS, "EXIT", "RET")
    }
    blocks, block = {}, []
    for i, at in enumerate(code):
        block.append(at)
        after = code[i + 1].address if i + 1 < len(code) else None
        ends = at.operation in (*_JUMPS, "EXIT", "RET")
        if not ends and after not in starts and after is not None:
            continue
        follow = []
        conditional = bool(at.predicate) or re.match(r"!?U?P\d", at.operands) is not None
        if at.address in targets:
            follow.append(targets[at.address])
        if after is not None and (not ends or conditional):
            follow.append(after)
        blocks[block[0].address] = (block, follow)
        block = []
    return blocks


def _does(block, predicates_count):
    """(loads, stores) that a block is sure to do, or all of them."""
    done = collections.Counter(
        at.operation for at in block if at.operation in ("LDG", "STG") and (predicates_count or not at.predicate)
    )
    return done["LDG"], done["STG"]


def _shortest(blocks, starts, is_end, loads, stores):
    """The fewest instructions from the begin of one of `starts` to an end, with so many loads and stores between."""
    queue = [(0, start, 0, 0) for start in starts]
    best = {}
    while queue:
        length, at, loaded, stored = heapq.heappop(queue)
        if is_end(at) and length and loaded >= loads and stored >= stores:
            return length
        if best.get((at, loaded, stored), length + 1) <= length:
            continue
        best[at, loaded, stored] = length
        if at not in blocks:
            continue
        block, follow = blocks[at]
        more_loads, more_stores = _does(block, predicates_count=False)
        state = min(loads, loaded + more_loads), min(stores, stored + more_stores)
        for next_one in follow or [None]:
            heapq.heappush(queue, (length + len(block), -1 if next_one is None else next_one, *state))
    return None


def shortest_turn(code, loads, stores):
    """The instructions of a turn of the loop around the longest stretch of code, with so many loads and stores."""
    blocks = _blocks(code)
    start = max(blocks, key=lambda at: len(blocks[at][0]))
    return _shortest(blocks, [start], lambda at: at == start, loads, stores)


def shortest_run(code, loads, stores):
    """The instructions of a whole kernel that loads and stores so much."""
    return _shortest(_blocks(code), [code[0].address], lambda at: at == -1, loads, stores)

"""Count the instructions that a warp issues on the shortest path through a kernel's machine code.

A path is described by the instructions that it must contain, such as loads from and stores to global memory. The
shortest such path is the path of a full chunk: it takes no branch for a remainder, a checkpoint or a missing operand.
Predicated instructions are issued and counted, but don't satisfy the requirement. Exceptions are loads, since ptxas
predicates some full chunks, and stores in a whole kernel. Paths contain no function calls and no table jumps: calls
belong to the fallbacks of divisions and rare parameters, and tables to partial chunks.
"""

import functools
import heapq
import re

from machine_code import INSTRUCTION_BYTES, JUMPS

_ENDS = (*JUMPS, "EXIT", "RET")
_EXIT = -1


def _blocks(code):
    """{index: (instructions, indices of possible successor blocks)}. An exit or a return has no successor."""
    targets = {}
    for i, at in enumerate(code):
        if at.operation in JUMPS:
            target = at.operands.split(",")[-1]
            if re.fullmatch("0x[0-9a-f]+", target):
                targets[i] = int(target, 16) // INSTRUCTION_BYTES
    starts = {0, *targets.values(), *(i + 1 for i, at in enumerate(code) if at.operation in _ENDS)} - {len(code)}
    begins = sorted(starts)
    blocks = {}
    for begin, end in zip(begins, [*begins[1:], len(code)], strict=True):
        last = code[end - 1]
        conditional = bool(last.predicate) or re.match(r"!?U?P\d", last.operands) is not None
        follow = [targets[end - 1]] if end - 1 in targets else []
        if end < len(code) and (last.operation not in _ENDS or conditional):
            follow.append(end)
        blocks[begin] = (code[begin:end], follow)
    return blocks


@functools.cache
def _does(at, wanted, predicated):
    """Whether this is a `wanted` instruction: an operation, or operation.bits for memory accesses."""
    operation, _, bits = wanted.partition(".")
    return at.operation == operation and bits in ("", at.bits) and (not at.predicate or operation in predicated)


def _shortest(blocks, start, end, wanted, predicated):
    """The minimum number of instructions between the starts of two blocks, with the wanted operations between."""
    done_by = {
        begin: tuple(sum(_does(at, name, predicated) for at in block) for name in wanted)
        for begin, (block, _) in blocks.items()
    }
    enough = tuple(wanted.values())
    queue = [(0, start, (0,) * len(wanted))]
    best = {}
    while queue:
        length, begin, done = heapq.heappop(queue)
        if begin == end and length and done == enough:
            return length
        if begin not in blocks or best.get((begin, done), length + 1) <= length:
            continue
        best[begin, done] = length
        block, follow = blocks[begin]
        done = tuple(min(most, n + more) for most, n, more in zip(enough, done, done_by[begin], strict=True))
        if block[-1].operation == "EXIT":
            follow = [*follow, _EXIT]
        for successor in follow:
            heapq.heappush(queue, (length + len(block), successor, done))
    return None


def shortest_turn(code, wanted):
    """Count a turn of the loop around the block with the most loads, which every full chunk passes."""
    blocks = _blocks(code)
    load = next(name for name in wanted if name.startswith("LDG"))
    for predicated in ((), ("LDG",)):  # ptxas predicates some full chunks
        loads = {begin: sum(_does(at, load, predicated) for at in block) for begin, (block, _) in blocks.items()}
        for most in sorted(set(loads.values()) - {0}, reverse=True):
            starts = [begin for begin, count in loads.items() if count == most]
            turns = [_shortest(blocks, start, start, wanted, predicated) for start in starts]
            if any(turns):
                return min(filter(None, turns))
    return None


def shortest_run(code, wanted):
    """Count the instructions of a whole kernel."""
    return _shortest(_blocks(code), 0, _EXIT, wanted, ("LDG", "STG"))

"""Write the tables of docs/machine_code.md from the built module: `make counts`."""

import itertools
import sys
from pathlib import Path

from instruction_counts import COUNTS, measured
from machine_code import ARCHITECTURES, blocks_of_128, resources

PAGE = Path(__file__).parents[2] / "docs/machine_code.md"
BEGIN, END = "<!-- make counts writes from here -->\n", "<!-- to here -->\n"


def _cell(count, architecture):
    instructions = measured(count, architecture)
    registers = resources()[count.kernel, architecture]["REG"]
    missed = " (missed)" if instructions > count.bound else ""
    return f"{instructions:.1f}{missed}, {registers}, {blocks_of_128(registers)}"


def tables():
    lines = []
    for section, counts in itertools.groupby(COUNTS, lambda count: count.section):
        lines += [
            f"## {section}",
            "",
            f"| | bound | {' | '.join(ARCHITECTURES)} |",
            "|---" * (2 + len(ARCHITECTURES)) + "|",
        ]
        for count in counts:
            cells = " | ".join(_cell(count, architecture) for architecture in ARCHITECTURES)
            lines.append(f"| {count.label} | {count.bound:g} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def page(text):
    """The page with tables from the built module."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n" + tables() + END + after


if __name__ == "__main__":
    text = page(PAGE.read_text())
    PAGE.write_text(text)
    sys.stdout.write(text)

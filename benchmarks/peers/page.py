"""Write the results of `make peers` into docs/peers.md, and the plot beside it: `make peers-page`."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- make peers-page writes from here -->\n", "<!-- to here -->\n"


def with_report(page: str, report: str) -> str:
    """The page with this report instead of the one that it has. The report's title is left out."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    _, sections = report.split("\n", 1)
    return before + BEGIN + sections + "\n" + END + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("out/peers"), help="the folder of the results (out/peers)")
    options = parser.parse_args()
    page = DOCS / "peers.md"
    report = (options.results / "peers.md").read_text(encoding="utf-8")
    page.write_text(with_report(page.read_text(encoding="utf-8"), report), encoding="utf-8")
    shutil.copy(options.results / "peers.svg", DOCS / "drawings/peers.svg")
    print(f"written: {page}")


if __name__ == "__main__":
    main()

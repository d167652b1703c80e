"""The code of README and docs: the Python blocks of a page run in order and print what the page says.

The blocks of a page share one namespace. A fenced block `output` is the expected output of the Python block before it,
and a Python block with `>>>` is a doctest. Numbers with a decimal point may differ by 0.1 %.

A page about another library is skipped where the library is missing. `make libraries` and `make torch` have the
libraries. They set SPIKEGRAD_REQUIRE_LIBRARIES=1, which turns the skip into a failure.
"""

import ast
import contextlib
import doctest
import importlib.util
import io
import itertools
import math
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
import spikegrad
from requirements import is_required
from spikegrad.kernel_policy import current_policy

pytestmark = pytest.mark.host_only

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHER_LIBRARIES = {"braintools", "flax", "snntorch", "spikingjelly", "spyx", "torch"}

FENCE = re.compile(r"^ *```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"((?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)")


class SameNumbers(doctest.OutputChecker):
    """Compare text without white space. Numbers with a decimal point may differ slightly."""

    def check_output(self, want, got, optionflags):
        expected, printed = NUMBER.split(want), NUMBER.split(got)
        return len(expected) == len(printed) and all(
            self._same_number(a, b) if i % 2 else a.split() == b.split()
            for i, (a, b) in enumerate(zip(expected, printed, strict=True))
        )

    @staticmethod
    def _same_number(want, got):
        if re.fullmatch(r"[-+]?\d+", want):
            return want == got
        return math.isclose(float(want), float(got), rel_tol=1e-3, abs_tol=1e-6)


@dataclass
class Block:
    page: Path
    line: int  # of the first line of code, counted from 1
    code: str
    output: str | None

    def run(self, namespace):
        if ">>>" in self.code:
            test = doctest.DocTestParser().get_doctest(self.code, {}, self.page.name, str(self.page), self.line - 1)
            test.globs = namespace
            report = io.StringIO()
            doctest.DocTestRunner(SameNumbers(), verbose=False).run(test, out=report.write, clear_globs=False)
            assert not report.getvalue(), report.getvalue()
            return
        # Empty lines in front give each line of code its line number in the page, for tracebacks.
        program = compile("\n" * (self.line - 1) + self.code, self.page, "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(program, namespace)
        if self.output is not None:
            got = printed.getvalue()
            assert SameNumbers().check_output(self.output, got, 0), (
                f"{self.page}:{self.line}: the block prints\n{got}but the page says\n{self.output}"
            )

    def imports(self):
        code = "".join(example.source for example in doctest.DocTestParser().get_examples(self.code)) or self.code
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.split(".")[0]


def python_blocks(page):
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    for block, after in itertools.zip_longest(found, found[1:]):
        if block["language"] == "python":
            output = textwrap.dedent(after["body"]) if after and after["language"] == "output" else None
            line = text.count("\n", 0, block.start("body")) + 1
            yield Block(page, line, textwrap.dedent(block["body"]), output)


WITH_PYTHON = [page for page in PAGES if any(python_blocks(page))]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of(page, tmp_path, monkeypatch):
    blocks = list(python_blocks(page))
    libraries = OTHER_LIBRARIES.intersection(name for block in blocks for name in block.imports())
    missing = sorted(name for name in libraries if importlib.util.find_spec(name) is None)
    if missing and not is_required("SPIKEGRAD_REQUIRE_LIBRARIES"):
        pytest.skip(f"needs {', '.join(missing)} (SPIKEGRAD_REQUIRE_LIBRARIES=1 makes this fail)")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": page.stem}
    policy = current_policy()
    spikegrad.use_kernels("auto")  # the default, which the pages describe
    try:
        for block in blocks:
            block.run(namespace)
    finally:
        spikegrad.use_kernels(policy)


def test_there_are_pages_with_code():
    assert {"README.md", "quickstart.md"} <= {page.name for page in WITH_PYTHON}


@pytest.mark.parametrize(
    "want, got, same",
    [
        ("Array([0.054 , 0.3989], dtype=float32)", "Array([0.05401, 0.3989], dtype=float32)", True),
        ("Array([0.054 , 0.3989], dtype=float32)", "Array([0.0551, 0.3989], dtype=float32)", False),
        ("(4, 3) 1.5e-05", "(4, 3)  1.5001e-05\n", True),
        ("(4, 3)", "(4, 2)", False),
        ("0.5 of them", "0.5 of all", False),
    ],
)
def test_outputs_are_compared_by_value(want, got, same):
    assert SameNumbers().check_output(want, got, 0) is same

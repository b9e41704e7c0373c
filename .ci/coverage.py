"""Reads the counts of a `coverage` build, carries them back to the kernels' source and holds them against the gates.

gcov counts lines and branches of the C that Cython made. Above each piece of that C Cython names the source line it
came from; this module follows those names, so a count lands on a line of a .pyx or .pxd. An inline function of a .pxd
is compiled into every module that uses it: its counts are added up.

A branch counts as one of ours when its C line holds no Python machinery: a check for a raised exception or a failed
allocation of an object is Cython's branch, not the author's. So in code that runs without the interpreter lock, which
is all hot code, every `if`, `while` and `and` is counted both ways; in Python faces only what is plain C. An `assert`
states what always holds: its other way is a defect that a test finds, never one that it passes by.

Gates: 95 % of lines for every kernel and 95 % of lines and branches for the plain Python; 100 % of lines and branches
for the families in WHOLE (`risk` is risk.pyx, risk.pxd and every risk_*), whose every path decides whether an order
may leave.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES_LEAST = 95.0
WHOLE = ("breaker", "risk", "validate")
_MARK = re.compile(r'^\s*/\* "([^"]+\.p(?:yx|xd))":(\d+)\s*$')
# Cython's own code behind the last line of a function, and the tables at the end of the file.
_OURS_ENDS = re.compile(r"^\s*/\* function exit code \*/|^static .*\{$|^/\* (?:Python|Late includes|#### )")
_MACHINERY = re.compile(
    r"__PYX_ERR|__Pyx_|\bPy[A-Z_]|(?<!_)\b(?:un)?likely\(|__pyx_L\d+_error|PyErr|goto __pyx_L\d+_error|if \(exc_type\)"
)
# Before it wraps memory as an array Cython asks whether the address is NULL: a branch on the line above this one.
_NO_ARRAY = "Cannot create cython.array from NULL pointer"
# `except BaseException` takes whatever was raised: that it did not match is a branch which cannot be.
_TAKES_ALL = "ExceptionMatches(((PyObject *)(((PyTypeObject*)PyExc_BaseException))))"


@dataclass
class Counts:
    """Of one source file: how often each line ran, and how often each of its branches was taken."""

    lines: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    branches: dict[tuple[int, str, int], int] = field(default_factory=lambda: defaultdict(int))

    def share(self, counts: dict) -> float:
        return 100.0 * sum(1 for count in counts.values() if count) / len(counts) if counts else 100.0

    @property
    def lines_share(self) -> float:
        return self.share(self.lines)

    @property
    def branches_share(self) -> float:
        return self.share(self.branches)


def source_lines(c_text: str) -> dict[int, tuple[str, int]]:
    """For each line of generated C the line of source it came from; C that belongs to no line is left out."""
    owner: tuple[str, int] | None = None
    owned: dict[int, tuple[str, int]] = {}
    in_mark = False
    for number, line in enumerate(c_text.splitlines(), 1):
        if mark := _MARK.match(line):
            owner, in_mark = (mark[1], int(mark[2])), True
        elif in_mark:
            # The mark is a comment that quotes the source around the line.
            in_mark = "*/" not in line
        elif _OURS_ENDS.match(line):
            owner = None
        elif owner:
            owned[number] = owner
    return owned


@cache
def asserts(source: Path) -> frozenset[int]:
    """The lines of a source file that are an `assert`."""
    lines = source.read_text().splitlines()
    return frozenset(number for number, line in enumerate(lines, 1) if line.lstrip().startswith("assert "))


def is_whole(source: str) -> bool:
    stem = Path(source).stem
    return any(stem == family or stem.startswith(f"{family}_") for family in WHOLE)


def add_module(report: dict, c_text: str, into: dict[str, Counts], tree: Path = ROOT) -> None:
    """Add what gcov counted in one module's C file."""
    owned, text = source_lines(c_text), c_text.splitlines()
    for line in report["lines"]:
        number = line["line_number"]
        if number not in owned:
            continue
        source, at = owned[number]
        counts = into[source]
        counts.lines[at] = max(counts.lines[at], line["count"])
        # __pyx_f_: a C function; __pyx_pf_: the body of a Python one. The rest unpacks arguments.
        written = line.get("function_name", "").startswith(("__pyx_f_", "__pyx_pf_"))
        if not written or _MACHINERY.search(text[number - 1]) or _TAKES_ALL in text[number - 2]:
            continue
        if _NO_ARRAY in text[number] or at in asserts(tree / source):
            continue
        for index, branch in enumerate(line["branches"]):
            if not branch["throw"]:
                # The text of the C line, not its number: an inline function has other numbers in other modules.
                counts.branches[at, text[number - 1].strip(), index] += branch["count"]


def collect(tree: Path) -> dict[str, Counts]:
    into: dict[str, Counts] = defaultdict(Counts)
    # A module that no test ever loaded has notes and no data: it counts as nothing covered.
    # The bench loops are modules too: what a kernel's inline functions do when another kernel calls them is there.
    for notes in sorted((tree / "build").rglob("*.gcno")):
        run = subprocess.run(
            ["gcov", "--json-format", "--stdout", "--branch-probabilities", str(notes)],
            cwd=tree, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for file in json.loads(run.stdout)["files"]:
            if file["file"].endswith(".c") and (tree / file["file"]).is_file():
                add_module(file, (tree / file["file"]).read_text(), into, tree)
    return {source: counts for source, counts in sorted(into.items()) if source.startswith("engine/")}


def verdicts(counts: dict[str, Counts]) -> list[str]:
    """What falls short of its gate, one line each."""
    short = []
    for source, count in counts.items():
        whole = is_whole(source)
        if count.lines_share < (100.0 if whole else LINES_LEAST):
            missed = ", ".join(str(line) for line, ran in sorted(count.lines.items()) if not ran)
            short.append(f"{source}: {count.lines_share:.1f} % of lines; not run: {missed}")
        if whole and count.branches_share < 100.0:
            missed = ", ".join(sorted({str(key[0]) for key, taken in count.branches.items() if not taken}))
            short.append(f"{source}: {count.branches_share:.1f} % of branches; not both ways: {missed}")
    return short


def plain_python() -> int:
    """Join what every process measured, print it, and say whether it falls short."""

    def measured(*words: str) -> int:
        command = [sys.executable, "-m", "coverage", words[0], "--rcfile=.ci/coverage.rc", *words[1:]]
        return subprocess.run(command, cwd=ROOT, env=os.environ | {"BOT4_TREE": str(ROOT)}, check=False).returncode

    if any((ROOT / "build" / "coverage").glob("data.*")):
        measured("combine", "--append", "--quiet")
    return measured("report", "--skip-covered", "--show-missing", f"--fail-under={LINES_LEAST:.0f}")


def main() -> int:
    counts = collect(ROOT)
    if not counts:
        print("no counts: is this a coverage build whose tests have run?")
        return 1
    print(f"{'kernel':34} {'lines':>6} {'run':>7} {'branches':>9} {'taken':>7}")
    for source, count in counts.items():
        shares = f"{count.lines_share:6.1f}% {len(count.branches):9} {count.branches_share:6.1f}%"
        print(f"{source:34} {len(count.lines):6} {shares}")
    short = verdicts(counts)
    if plain_python():
        short.append(f"the plain Python falls short of {LINES_LEAST:.0f} %")
    print("\n".join(short) if short else "coverage: every gate is met")
    return bool(short)


if __name__ == "__main__":
    sys.exit(main())

"""The page that names tests names tests that are there, and none of its rows is missing."""

from __future__ import annotations

import ast
import re

import pytest

from tests.source.files import ROOT

PAGE = ROOT / "docs" / "regressions.md"
ROW = re.compile(r"^\| ([^|]+) \|.*`([\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)
# What the requirements list; a row's own word may follow behind a colon.
CONTRACTS = {
    "limits", "margin", "liquidation", "validator", "biases", "fees", "breaker", "pipeline", "execution", "portfolio",
    "regime", "allocator",
}  # fmt: skip
FOUND = [(first, path, name) for first, path, name in ROW.findall(PAGE.read_text())]


def tests_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", FOUND, ids=[name for _, _, name in FOUND])
def test_the_named_test_is_there(row):
    _, path, name = row
    assert name in tests_of(path), f"docs/regressions.md names {path}::{name}"


def test_no_bug_and_no_contract_is_left_out():
    firsts = [first for first, _, _ in FOUND]
    assert [int(first) for first in firsts if first.isdigit()] == list(range(1, 38))
    assert {first.partition(":")[0] for first in firsts if not first.isdigit()} == CONTRACTS
    # Every row of the page was understood: one that is not would go unheld.
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "::" in line]
    assert len(rows) == len(FOUND)

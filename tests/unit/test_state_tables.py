"""The documents' state tables are the ones the kernels run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine._core import bracket_table
from engine._core.bracket_table import BracketPhase, BracketSign
from engine.model.tables import PAGES, tables, with_table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(tables()))
def test_the_document_shows_the_table_of_the_kernel(name):
    text = (ROOT / PAGES[name]).read_text()
    assert with_table(text, tables()[name]) == text, "run `python -m engine.model.tables --write`"


def test_every_phase_but_the_last_has_a_deadline_and_each_sign_at_most_one_way():
    rows = bracket_table.transitions()
    assert len({row[:2] for row in rows}) == len(rows)
    phases = {p for p in BracketPhase if BracketPhase.PHASE_FREE < p < BracketPhase.PHASE_COUNT}
    assert {phase for phase, sign, _ in rows if sign == BracketSign.SIGN_LATE} == phases - {BracketPhase.PHASE_CLOSED}

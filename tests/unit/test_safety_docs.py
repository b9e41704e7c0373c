"""The state table and the sample file in the documentation are the ones of the code."""

from __future__ import annotations

from pathlib import Path

from engine._core.breaker import TRANSITIONS, Change, Reason, State
from engine._core.latch import Latch

DOCUMENTS = Path(__file__).parents[2] / "docs" / "kernels"


def test_the_documented_state_table_is_the_one_of_the_code():
    rows = [
        f"| {State(before).name} | {State(after).name} | {Change(change).name} | "
        f"{', '.join(Reason(reason).name for reason in reasons)} |"
        for before, after, change, reasons in TRANSITIONS
    ]
    text = (DOCUMENTS / "breaker.md").read_text().split("\n")
    start = text.index("| from | to | change | reasons |") + 2
    assert text[start : start + len(rows) + 1] == [*rows, ""]


def test_the_documented_latch_file_is_one_that_a_start_takes(tmp_path):
    sample = (DOCUMENTS / "latch.md").read_text().split("```\n")[1]
    (tmp_path / "latch").write_text(sample)
    latch = Latch(tmp_path / "latch")
    assert (latch.first, latch.reasons) == ("drawdown", ("signal", "drawdown"))

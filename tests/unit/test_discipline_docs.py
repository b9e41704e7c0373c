"""The tables in the documents of discipline and modes are the ones of the code."""

from __future__ import annotations

from pathlib import Path

from engine._core import discipline, modes

DOCUMENTS = Path(__file__).parents[2] / "docs" / "kernels"


def _table(document: str, head: str) -> list[str]:
    lines = (DOCUMENTS / document).read_text().split("\n")
    start = lines.index(head) + 2
    return lines[start : lines.index("", start)]


def _names(mask, enum):
    return ", ".join(one.name for one in enum if mask & one.value) or "-"


def test_the_documented_switches_are_the_ones_of_the_code():
    assert _table("modes.md", "| from | to | who may ask | what must be true |") == [
        f"| {modes.Mode(before).name} | {modes.Mode(to).name} | {_names(who, modes.Who)} | {_names(need, modes.Need)} |"
        for before, to, who, need in modes.SWITCHES
    ]


def test_the_documented_states_of_the_plan_are_the_ones_of_the_code():
    assert _table("modes.md", "| state | over when | then | deadline |") == [
        f"| {modes.Phase(phase).name} | {over} | {', '.join(modes.Phase(p).name for p in then)} | {by or '-'} |"
        for phase, over, then, by in modes.PHASES
    ]


def test_the_documented_biases_are_the_ones_of_the_code():
    assert _table("discipline.md", "| bias | rule | cooldown stands at | action | cooldown |") == [
        f"| {discipline.Bias(bias).name} | {met} | {where} | {discipline.Corrective(kind).name} | {cooldown or '-'} |"
        for bias, met, where, kind, cooldown in discipline.BIASES
    ]

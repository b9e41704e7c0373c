"""The state tables as Markdown, drawn from the data the kernels run on: `python -m engine.model.tables`.

`--write` brings the marked parts of docs/kernels/orders.md, brackets.md and of ARCHITECTURE.md in step; a test fails
when they are not. ARCHITECTURE.md has the overview: which state leads to which; the pages say by what.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

from engine._core import bracket_table, modes, order_table

DOCS = {"orders": order_table, "brackets": bracket_table}
PAGES = {name: Path("docs", "kernels", f"{name}.md") for name in DOCS} | {"overview": Path("ARCHITECTURE.md")}
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def _short(member: IntEnum) -> str:
    return member.name.split("_", 1)[1]


def markdown(rows: Iterable[tuple[IntEnum, IntEnum, IntEnum]]) -> str:
    """One line a state: what may happen in it, and where that leads."""
    rows = list(rows)
    lines = ["| in | what happens or is found → then |", "|---|---|"]
    for state in dict.fromkeys(row[0] for row in rows):
        cells = []
        for _, event, target in (row for row in rows if row[0] == state):
            goal = (
                "stays"
                if target == state
                else f"*{_short(target)}*"
                if target.name.startswith("TO_")
                else _short(target)
            )
            cells.append(f"{_short(event)} → {goal}")
        lines.append(f"| **{_short(state)}** | {'; '.join(cells)} |")
    lines.append(f"\n{len(rows)} rows. Every other pair is refused, counted, and changes nothing.")
    return "\n".join(lines)


def _leads(rows: Iterable[tuple[IntEnum, IntEnum, IntEnum]]) -> list[tuple[str, str]]:
    """Each state with the states that it leads to."""
    rows = list(rows)
    out = []
    for state in dict.fromkeys(row[0] for row in rows):
        targets = dict.fromkeys(row[2] for row in rows if row[0] == state and row[2] != state)
        names = [f"*{_short(t)}*" if t.name.startswith("TO_") else _short(t) for t in targets]
        out.append((_short(state), ", ".join(names) or "-"))
    return out


def overview() -> str:
    """Every machine with a data table: its states and where each leads."""
    switches: dict[str, list[str]] = {}
    for before, after, *_ in modes.SWITCHES:
        switches.setdefault(_short(modes.Mode(before)), []).append(_short(modes.Mode(after)))
    plan = [
        (_short(modes.Phase(a)), ", ".join(_short(modes.Phase(b)) for b in after)) for a, _, after, _ in modes.PHASES
    ]
    machines = {
        "order": _leads(order_table.transitions()),
        "bracket": _leads(bracket_table.transitions()),
        "mode": [(mode, ", ".join(targets)) for mode, targets in switches.items()],
        "flatten plan": plan,
    }
    lines = ["| machine | in | leads to |", "|---|---|---|"]
    lines += [f"| {name} | {state} | {to} |" for name, rows in machines.items() for state, to in rows]
    return "\n".join(lines)


def tables() -> dict[str, str]:
    return {name: markdown(module.transitions()) for name, module in DOCS.items()} | {"overview": overview()}


def with_table(text: str, table: str) -> str:
    """A document with what stands between its two marks replaced."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(arguments: list[str]) -> None:
    for name, table in tables().items():
        if "--write" in arguments:
            path = PAGES[name]
            path.write_text(with_table(path.read_text(), table))
        else:
            sys.stdout.write(f"## {name}\n\n{table}\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Writes docs/features-reference.md from the registry: run it after a change of the table.

Example: python docs/make_features.py
"""

from __future__ import annotations

from pathlib import Path

from engine._core.features_table import TABLE

PAGE = Path(__file__).with_name("features-reference.md")
HEAD = """# Feature reference

Generated from the registry by `docs/make_features.py`; `bot4 features show NAME` says the same. `n` is the window.
A family times a window is one feature. A feature is NaN before its warm-up, counted in updates; a value outside its
bounds is set to the bound and flagged. What the formulas share and their proof: [features](kernels/features.md).
"""


def page() -> str:
    groups = list(dict.fromkeys(row.group for row in TABLE))
    lines = [HEAD, f"{len(TABLE)} families, {len(TABLE) * 8} features with the eight default windows.", ""]
    for group in groups:
        lines += [f"## {group}", "", "| name | unit | bounds | warm-up | meaning |", "|---|---|---|---|---|"]
        for row in TABLE:
            if row.group == group:
                meaning = row.meaning.replace("|", "\\|")
                lines.append(f"| `{row.name}` | {row.unit} | {row.low:g} .. {row.high:g} | {row.warm} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())

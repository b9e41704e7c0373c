"""Writes docs/features-reference.md from the registry: run it after a change of the table.

Example: python docs/make_features.py
"""

from __future__ import annotations

from pathlib import Path

from engine.research.catalogue import entries

PAGE = Path(__file__).with_name("features-reference.md")
HEAD = """# Feature reference

Generated from the registry by `docs/make_features.py`; `bot4 features show NAME` says the same. `n` is the window.
A family times a window is one feature. A feature is NaN before its warm-up, counted in updates; a value outside its
bounds is set to the bound and flagged. What the formulas share and their proof: [features](kernels/features.md) of
a price stream, [flow](kernels/flow.md) for microstructure, [season](kernels/season.md) for sessions and seasonality.
Those two keep within their bounds because of what they accept.
"""


def page() -> str:
    table = entries()
    groups = list(dict.fromkeys(row.group for row in table))
    lines = [HEAD, f"{len(table)} families, {sum(row.windows for row in table)} features with eight windows each.", ""]
    for group in groups:
        lines += [f"## {group}", "", "| name | unit | bounds | warm-up | meaning |", "|---|---|---|---|---|"]
        for row in table:
            if row.group == group:
                meaning = row.meaning.replace("|", "\\|")
                lines.append(f"| `{row.name}` | {row.unit} | {row.low:g} .. {row.high:g} | {row.warm} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())

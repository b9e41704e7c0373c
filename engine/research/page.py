"""Parts of a page that needs nothing from outside: styles, tables and drawings inside, no script.

Owns: how figures look on paper. Does not own: which figures are told (report.py, sweep_report.py).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
WIDTH, HEIGHT, POINTS = 960, 240, 1_200

STYLE = """
:root{color-scheme:light dark}
:root{--ink:#1b1f24;--soft:#6a737d;--line:#d0d7de;--page:#fff}
:root{--a:#0969da;--bad:#cf222e;--good:#1a7f37}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#8b949e;--line:#30363d;--page:#0d1117}}
@media(prefers-color-scheme:dark){:root{--a:#58a6ff;--bad:#ff7b72;--good:#56d364}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page)}
body{max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}svg{width:100%;height:auto;border:1px solid var(--line)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .6rem;text-align:right}
td,th{border-bottom:1px solid var(--line)}
td:first-child,th:first-child{text-align:left}.soft{color:var(--soft)}.bad{color:var(--bad)}.box{overflow:auto;max-height:30rem}
.curve{fill:none;stroke:var(--a);stroke-width:1.5}.fall{fill:var(--bad);fill-opacity:.35;stroke:none}
.dot{fill:var(--a);fill-opacity:.6}.bar{fill:var(--good);fill-opacity:.6}
.buy{fill:var(--good)}.sell{fill:var(--bad)}text{font-size:12px;fill:var(--soft)}
"""


def document(title: str, parts: Iterable[str]) -> str:
    """The whole page as one file."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escaped(title)}</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def escaped(text: str) -> str:
    return html.escape(text)


def words(name: str) -> str:
    return name.replace("_", " ")


def cell(value: Any) -> str:
    if not isinstance(value, float):
        return "-" if value is None else f"{value}"
    # Amounts keep their cents, small shares their first digits.
    return f"{value:,.2f}" if abs(value) >= 1e5 else f"{value:,.6g}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return '<p class="soft">none</p>'
    return f"<table><tr>{''.join(f'<th>{escaped(head)}</th>' for head in heads)}</tr>{body}</table>"


class Scale:
    """Data to drawing: x to the right, y upward."""

    def __init__(self, x: Floats, y: Floats) -> None:
        good = y[np.isfinite(y)]
        self.low, self.high = (float(good.min()), float(good.max())) if good.size else (0.0, 1.0)
        if self.high == self.low:
            self.low, self.high = self.low - 1, self.high + 1
        self.first, self.width = float(x[0]), max(float(x[-1] - x[0]), 1e-9)

    def x(self, value: float) -> float:
        return (value - self.first) / self.width * WIDTH

    def y(self, value: float) -> float:
        return HEIGHT - 8 - (value - self.low) / (self.high - self.low) * (HEIGHT - 16)

    def frame(self, inside: str) -> str:
        marks = f'<text x="4" y="16">{self.high:,.8g}</text><text x="4" y="{HEIGHT - 6}">{self.low:,.8g}</text>'
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{inside}{marks}</svg>'

    def line(self, x: Floats, y: Floats) -> str:
        """Points of a line; of many the lowest and the highest of each stretch stay, so no fall is smoothed away."""
        keep = np.arange(len(x))
        if len(x) > POINTS:
            stretches = np.array_split(keep, POINTS // 2)
            keep = np.unique([s[f(y[s])] for s in stretches for f in (np.argmin, np.argmax)])
        return " ".join(f"{self.x(float(x[i])):.1f},{self.y(float(y[i])):.1f}" for i in keep)


def curve(x: Floats, y: Floats, style: str, *, zero: bool = False) -> str:
    scale = Scale(x, y)
    points = scale.line(x, y)
    if zero:
        points = f"0,{scale.y(0):.1f} {points} {WIDTH},{scale.y(0):.1f}"
    return scale.frame(f'<polyline class="{style}" points="{points}"/>')

"""Twin of the windowed features to the last bit: one number at a time, in the order in which the kernel computes.

The twin beside it (features) says what a feature is, from all bars anew, and agrees with the kernel up to rounding.
This one says which doubles come out. Python's doubles are the same IEEE 754, the kernel fuses no operation and its
lanes never meet, so a window is a handful of plain numbers and nothing is left to tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine._core.features_table import TABLE, warm_up
from engine.model.features_arithmetic import larger, smaller
from engine.model.features_formulas import FORMULAS
from engine.model.features_window import Bar, Window, taken

ROWS = {row.name: row for row in TABLE}


@dataclass
class Stream:
    """One stream, with the face of the kernel's."""

    families: Sequence[str]
    windows: Sequence[int]
    bars: list[Bar] = field(default_factory=list)
    refused_count: int = 0
    anomaly_count: int = 0

    def __post_init__(self) -> None:
        self.rows = {n: Window(n, self.bars) for n in self.windows}
        self.out: dict[tuple[str, int], float] = {(name, n): math.nan for name in self.families for n in self.windows}
        self.flags: set[tuple[str, int]] = set()

    @property
    def count(self) -> int:
        return len(self.bars)

    def update(self, o: float, h: float, low: float, c: float, v: float = 0.0, ref: float = 0.0) -> bool:
        ordered = 1e-9 <= low <= min(o, c) and max(o, c) <= h <= 1e12 and not any(map(math.isnan, (o, h, low, c)))
        if not (ordered and 0.0 <= v <= 1e21 and -100.0 <= ref <= 100.0):
            self.refused_count += 1
            return False
        self.bars.append(taken(self.bars, o, h, low, c, v, ref))
        self.flags.clear()
        for n, window in self.rows.items():
            window.push(self.bars[-1])
            for name in self.families:
                self._put(name, n, window)
        self.anomaly_count += bool(self.flags)
        return True

    def update_price(self, price: float, v: float = 0.0) -> bool:
        return self.update(price, price, price, price, v)

    def _put(self, name: str, n: int, window: Window) -> None:
        """NaN before the warm-up; held within the family's bounds and flagged outside them."""
        row = ROWS[name]
        if self.count < warm_up(row.number, n):
            return
        x = FORMULAS[name](window)
        held = smaller(larger(x, row.low), row.high)
        self.out[name, n] = held
        if held != x:
            self.flags.add((name, n))

    def value(self, name: str, n: int) -> float:
        return self.out[name, n]

    def flagged(self, name: str, n: int) -> bool:
        return (name, n) in self.flags

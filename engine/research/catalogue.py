"""Every feature that a kernel computes, in one list: price stream, microstructure, clock and day.

Owns: the joining of the kernels' own tables, and the bounds that follow from what the microstructure kernel accepts.
Does not own: any formula, nor any meaning: those stand beside the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine._core import flow, season
from engine._core.features_table import TABLE

MOST = float(1 << 40)  # ticks and lots that the microstructure kernel takes
RATE_MOST = 1e12  # a thousand events in a nanosecond
FLOW_BOUNDS = {
    "spread": (0, MOST), "spread_share": (0, 2), "mid": (0, MOST), "micro": (0, MOST), "micro_gap": (-MOST, MOST),
    "imbalance": (-1, 1), "ofi": (-2e3 * MOST, 2e3 * MOST), "spread_mean": (0, MOST), "imbalance_mean": (-1, 1),
    "mid_vol": (0, MOST), "quote_rate": (0, RATE_MOST), "sign": (-1, 1), "trade_size": (0, MOST),
    "trade_rate": (0, RATE_MOST), "kyle": (-2 * MOST, 2 * MOST), "roll": (0, 4 * MOST), "effective": (0, 2 * MOST),
    "vwap_gap": (-MOST, MOST), "amihud": (0, 28), "vpin": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One feature, or one family that a window or a span makes eight of."""

    name: str
    group: str
    unit: str
    low: float
    high: float
    warm: str
    cost: str
    meaning: str
    windows: int  # features that it counts as with the default windows


def entries() -> list[Entry]:
    """Every family, in the order of the kernels."""
    out = [Entry(r.name, r.group, r.unit, r.low, r.high, r.warm, r.cost, r.meaning, 8) for r in TABLE]
    for name, (unit, meaning) in flow.PLAIN.items():
        out.append(Entry(name, "microstructure", unit, *FLOW_BOUNDS[name], "1 quote", "plain", meaning, 1))
    for name, (counts, unit, meaning) in flow.FAMILIES.items():
        out.append(Entry(name, "microstructure", unit, *FLOW_BOUNDS[name], f"n {counts}", "row", meaning, 8))
    for name, (unit, low, high, meaning) in season.PLAIN.items():
        warm = "1 day" if name.startswith("before") else "1"
        out.append(Entry(name, "sessions", unit, low, high, warm, "plain", meaning, 1))
    for name, (unit, low, high, meaning) in season.FAMILIES.items():
        out.append(Entry(name, "seasonality", unit, low, high, "n days", "row", meaning, 8))
    return out

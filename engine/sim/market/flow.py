"""Order flow fitted to recordings, as a market: parameters out of `flow.json`, turned into ticks and lots.

Owns: the file's shape, the units, the process that all symbols share. Does not own: the flow itself (orderflow.pyx),
the fit (engine.research.market_fit writes the file). A symbol that was not fitted takes the figures of one that was,
in relative terms: moves and spreads in 1/10,000 of its price, quantities in quote money. One unit of pace is recorded
time: with `pace` 60 the regimes that last hours there last minutes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import SimBadModel
from engine.sim.market.hawkes import Hawkes
from engine.sim.market.orderflow import SYMBOLS_MAX, OrderFlow
from engine.sim.market.stretches import CHUNK

REGIMES = ("calm", "trend", "crash", "gap")
KINDS = 5
FILE = Path(__file__).with_name("flow.json")
# Which fitted symbol lends its figures to one that was not fitted.
LENDER = "ETHUSDT"


@dataclass(frozen=True)
class FlowSymbol:
    """One symbol in the terms of its venue; a tick and a lot in 1e-8."""

    name: str
    px_start: int  # ticks
    tick_e8: int
    lot_e8: int
    px_max: int
    lots_max: int


@cache
def fitted() -> dict[str, Any]:
    """The parameters that ship."""
    loaded: dict[str, Any] = json.loads(FILE.read_text())
    return loaded


def process_of(fit: Mapping[str, Any], names: Sequence[str]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Base rates and children of all kinds: two common ones, then five of each symbol."""
    scales, dims = len(fit["beta"]), 2 + KINDS * len(names)
    base, alpha = np.zeros(dims), np.zeros((scales, dims, dims))
    base[:2], alpha[:, :2, :2] = fit["common_per_s"], fit["common_alpha"]
    for at, name in enumerate(names):
        row = fit["symbols"].get(name) or fit["symbols"][LENDER]
        first = 2 + KINDS * at
        own = slice(first, first + KINDS)
        base[own] = row["base"]
        children = np.array(row["alpha"])  # scales, source, target; the last two sources are the common moves
        alpha[:, own, own] = children[:, :KINDS]
        alpha[:, :2, own] = children[:, KINDS:]
    return base, alpha


class FlowMarket:
    """A `Market` of correlated symbols. `regime` fixes one; None lets them follow each other as they did."""

    def __init__(
        self,
        symbols: Sequence[FlowSymbol],
        *,
        seed: int,
        start_ns: int,
        regime: str | None = None,
        pace: float = 1.0,
        depth: bool = True,
        fit: Mapping[str, Any] | None = None,
    ) -> None:
        if not 1 <= len(symbols) <= SYMBOLS_MAX:
            raise SimBadModel(f"order flow of {len(symbols)} symbols: 1 to {SYMBOLS_MAX}")
        if regime is not None and regime not in REGIMES:
            raise SimBadModel(f"regime {regime!r}: one of {', '.join(REGIMES)}")
        if not 0 < pace <= 1e6:
            raise SimBadModel(f"pace {pace}")
        fit = fitted() if fit is None else fit
        base, alpha = process_of(fit, [symbol.name for symbol in symbols])
        process = Hawkes(base, alpha, fit["beta"], seed=seed, start_ns=start_ns)
        self.flow = OrderFlow(
            process,
            grid=fit["grid"],
            common=fit["common_bp"],
            gap_bp=fit["gap_bp"],
            symbols=[_row(fit, symbol) for symbol in symbols],
            regimes=[
                {**fit["regimes"][name], "next": [fit["regimes"][name]["next"][other] for other in REGIMES]}
                for name in REGIMES
            ],
            regime=REGIMES.index(regime or "calm"),
            fixed=regime is not None,
            pace=pace,
            depth=depth,
        )
        self._end_ns = start_ns

    @property
    def end_ns(self) -> int:
        return self._end_ns

    @property
    def regimes(self) -> list[tuple[int, str]]:
        """When each regime began, and which."""
        return [(ns, REGIMES[which]) for ns, which in self.flow.regimes_so_far]

    def stretch(self, count: int = CHUNK) -> npt.NDArray[Any]:
        events = self.flow.stretch(count)
        self._end_ns = int(events["ts_recv_ns"][-1])
        return events


def _row(fit: Mapping[str, Any], symbol: FlowSymbol) -> dict[str, Any]:
    if not 1 <= symbol.px_start < symbol.px_max or symbol.lots_max < 1:
        raise SimBadModel(f"{symbol.name}: starts at {symbol.px_start} of {symbol.px_max} ticks")
    row = fit["symbols"].get(symbol.name) or fit["symbols"][LENDER]
    return {
        **row,
        "px_start": symbol.px_start,
        "px_max": symbol.px_max,
        "lots_max": symbol.lots_max,
        "money_lot": symbol.tick_e8 * symbol.lot_e8 / 1e16,
    }

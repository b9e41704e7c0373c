"""Where a result came from: months, trips from flat to flat, exposure, what orders waited and paid, and its luck.

Owns: how a run is taken apart. Does not own: the run (backtest.py), single figures (figures.py), how it is told
(report.py, report_page.py). Every split adds up: the parts of an attribution are the net result.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.research import figures
from engine.research.backtest import Fill, Run
from engine.sim import draws

Floats = npt.NDArray[np.float64]
E8 = 10**8
HOUR_NS = 3_600 * 10**9
ROLLED = 12  # stretches that a rolling ratio is taken over are a twelfth of the run


@dataclass(frozen=True)
class Trip:
    """A position of one symbol from flat to flat; a turn through zero ends one and begins another."""

    symbol: int
    short: bool
    opened_ns: int
    closed_ns: int
    lots: int  # the most that was held
    entry_ticks: float
    exit_ticks: float
    gross: float  # before fees
    fees: float

    @property
    def net(self) -> float:
        return self.gross - self.fees


@dataclass(frozen=True)
class Bootstrap:
    """The Sharpe ratio a period of the run's own periods, drawn in blocks with replacement."""

    count: int
    block: int
    mean: float
    error: float
    low: float  # 2.5 of 100 draws are below
    high: float


def months(run: Run) -> list[tuple[str, float]]:
    """(month, return) of each calendar month in UTC that the run touches; of parts of months too."""
    month = run.times_ns.astype("M8[ns]").astype("M8[M]")
    out, before = [], float(run.start_equity)
    for one in np.unique(month):
        end = float(run.equity[np.flatnonzero(month == one)[-1]])
        out.append((str(one), end / before - 1.0))
        before = end
    return out


def trips(fills: Sequence[Fill], units: Sequence[float]) -> tuple[list[Trip], list[Trip]]:
    """(closed, still open) trips, oldest first. One still open has no exit; its gross is what it cost so far."""
    done: list[Trip] = []
    held: dict[int, _Open] = {}
    for fill in fills:
        left, fee = fill.lots, fill.fee / E8
        while left:
            one = held.get(fill.symbol)
            if one is None:
                one = held[fill.symbol] = _Open(fill.sell, fill.ts_ns)
            part = left if one.short == fill.sell else min(left, one.lots)
            one.take(fill, part, fee * part / fill.lots)
            left -= part
            if not one.lots:
                done.append(one.trip(fill.symbol, fill.ts_ns, units[fill.symbol]))
                del held[fill.symbol]
    last = fills[-1].ts_ns if fills else 0
    return done, [one.trip(symbol, last, units[symbol]) for symbol, one in sorted(held.items())]


class _Open:
    """A trip that is being made."""

    def __init__(self, short: bool, opened_ns: int) -> None:
        self.short, self.opened_ns = short, opened_ns
        self.lots = self.most = self.bought = self.sold = 0
        self.paid = self.got = self.fees = 0.0

    def take(self, fill: Fill, lots: int, fee: float) -> None:
        self.lots += lots if fill.sell == self.short else -lots
        self.most = max(self.most, self.lots)
        self.fees += fee
        if fill.sell:
            self.sold, self.got = self.sold + lots, self.got + lots * fill.px_ticks
        else:
            self.bought, self.paid = self.bought + lots, self.paid + lots * fill.px_ticks

    def trip(self, symbol: int, closed_ns: int, unit: float) -> Trip:
        bought = self.paid / self.bought if self.bought else 0.0
        sold = self.got / self.sold if self.sold else 0.0
        entry, leaving = (sold, bought) if self.short else (bought, sold)
        return Trip(symbol, self.short, self.opened_ns, closed_ns, self.most, entry, leaving,
                    (self.got - self.paid) * unit, self.fees)  # fmt: skip


def attribution(run: Run, units: Sequence[float], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The net result by symbol, by side, by hour of the entry and by role of the fills; each sums to the same net."""
    closed, still = trips(_known(run), units)
    worth = [one.gross + _value_of(run, one, units) for one in still]
    net = float(run.equity[-1] - run.start_equity) / E8
    parts: dict[str, dict[str, float]] = {
        name: defaultdict(float) for name in ("symbol", "side", "hour of entry (UTC)", "fate")
    }
    for trip, gross in [*((t, t.gross) for t in closed), *zip(still, worth, strict=True)]:
        earned = gross - trip.fees
        parts["symbol"][names[trip.symbol]] += earned
        parts["side"]["short" if trip.short else "long"] += earned
        parts["hour of entry (UTC)"][f"{trip.opened_ns // HOUR_NS % 24:02}"] += earned
        parts["fate"]["still open" if trip in still else "won" if earned > 0 else "lost"] += earned
    for split in parts.values():
        split["funding"] = run.funding / E8
        # Spot fees taken from what was bought, and valuation between two samples.
        split["not attributed"] = net - sum(split.values())
    return {name: dict(sorted(split.items())) for name, split in parts.items()}


def _known(run: Run) -> Sequence[Fill]:
    """The fills that the last sample of equity knows of: the report of a later one was still under way."""
    held = np.zeros(run.positions.shape[1], np.int64)
    for fill in run.fills:
        held[fill.symbol] += -fill.lots if fill.sell else fill.lots
    for count in range(len(run.fills), -1, -1):
        if np.array_equal(held, run.positions[-1]):
            return run.fills[:count]
        if count:
            last = run.fills[count - 1]
            held[last.symbol] -= -last.lots if last.sell else last.lots
    return run.fills


def _value_of(run: Run, trip: Trip, units: Sequence[float]) -> float:
    """What an open trip's lots are worth at the last mid: signed, since they were paid for in its gross."""
    return float(run.positions[-1, trip.symbol]) * float(run.prices[-1, trip.symbol]) * units[trip.symbol]


def exposure(run: Run, units: Sequence[float]) -> tuple[Floats, Floats]:
    """(gross, net) value held as a share of equity, at every sample."""
    value = run.positions * run.prices * np.asarray(units)
    equity = run.equity / E8
    return np.abs(value).sum(axis=1) / equity, value.sum(axis=1) / equity


def slippage(run: Run) -> dict[str, float]:
    """What takers paid against the mid of their decision, in ticks, and how long fills took, in milliseconds."""
    taken = [fill for fill in run.fills if not fill.maker]
    paid = np.array([(f.px_ticks - f.mid_decided_ticks) * (-1 if f.sell else 1) for f in taken])
    out = {"takers": float(len(taken)), "makers": float(len(run.fills) - len(taken))}
    for share in (50, 95, 99):
        out[f"ticks, p{share}"] = float(np.percentile(paid, share)) if len(paid) else math.nan
    for role, chosen in (("taker", taken), ("maker", [fill for fill in run.fills if fill.maker])):
        waited = np.array([(f.ts_ns - f.ts_decided_ns) / 1e6 for f in chosen])
        for share in (50, 95, 99):
            out[f"{role} ms, p{share}"] = float(np.percentile(waited, share)) if len(waited) else math.nan
    return out


def bootstrap_sharpe(returns: Floats, *, seed: int, count: int = 500) -> Bootstrap | None:
    """None where nothing varies: a ratio of nothing has no error."""
    if not figures.sharpe_error(returns) > 0:
        return None
    block = max(1, round(math.cbrt(len(returns))))
    drawn = np.array([figures.sharpe(returns[at]) for at in draws.resamples(seed, len(returns), block, count)])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 2:
        return None
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Bootstrap(count, block, float(drawn.mean()), float(drawn.std(ddof=1)), float(low), float(high))


def rolling_sharpe(returns: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """(index of each last period, ratio of the stretch that ends there); empty where the run is too short."""
    window = len(returns) // ROLLED
    if window < 8:
        return np.zeros(0, np.int64), np.zeros(0)
    rows = np.lib.stride_tricks.sliding_window_view(returns, window)
    spread = rows.std(axis=1, ddof=1)
    flat = spread <= 1e-15 * np.abs(rows).max(axis=1, initial=0.0)
    ratio = np.where(flat, 0.0, rows.mean(axis=1) / np.where(flat, 1.0, spread))
    return np.arange(window - 1, len(returns)), ratio

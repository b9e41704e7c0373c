"""What a backtest plays where the data does not hold a book: quotes, trades alone, or bars.

Each event gets a route: to the venue's book, to the core, or to both. Where something had to be assumed it is said in
one sentence that the report repeats, and it is assumed to our disadvantage:

    book, quotes   nothing: what was recorded is played
    trades         the touch stands `away` ticks beyond the last trade of each side, as large as that trade. A resting
                   order fills only when a trade goes through its price, and of that no more than was traded
    bars           the same around a path inside the bar. The core sees a bar when it has closed and the touch at its
                   close. The path walks open, one extreme, the other, close, STEPS steps a leg, the volume in equal
                   parts. Which extreme comes first is chosen against us when the bar opens: what is held meets its
                   stop before its target, and a resting entry gets its fill and then the worst of the bar

Owns: routes, paths, the sentence. Does not own: who plays them (backtest.py), which fills follow (sim/venue).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import BAR_PRICES, BAR_TOTALS, EVENT, QUOTE, TRADE, Flag, Kind
from engine.research.lockstep import Route
from engine.sim.venue.recorded import QueueModel

Records = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Part = tuple[Records, npt.NDArray[np.uint8]]

BASES = ("book", "quotes", "trades", "bars")
AWAY_TICKS = 1
STEPS = 3
CHUNK = 4_096  # bars that are laid out at a time
WHOLE = int(Flag.FLAG_FIRST | Flag.FLAG_LAST)
BOTH = int(Route.ROUTE_VENUE | Route.ROUTE_CORE)
_TRADES = (int(Kind.KIND_TRADE), int(Kind.KIND_AGG_TRADE))


@dataclass(frozen=True)
class Market:
    """How the events of one run are played."""

    basis: str
    away_ticks: int = AWAY_TICKS

    @property
    def queue(self) -> QueueModel:
        return QueueModel.QUEUE_SHARE if self.basis in ("book", "quotes") else QueueModel.QUEUE_THROUGH

    @property
    def text(self) -> str:
        beyond = f"{self.away_ticks} tick{'s' * (self.away_ticks != 1)} beyond"
        through = "a resting order fills only when the price goes through it"
        return {
            "book": "recorded depth and trades; queue by the share of what stands before and behind",
            "quotes": "recorded quotes and trades, no depth behind the touch; queue by share",
            "trades": f"trades alone: the touch is assumed {beyond} the last trade of its side, of its size; {through}",
            "bars": f"bars: open, extremes, close in {3 * STEPS} steps, the worse extreme first; the touch is assumed "
            f"{beyond} the price, with an equal part of the volume; {through}",
        }[self.basis]

    def parts(self, events: Records) -> Iterator[Part]:
        """The events as they are played, oldest first, each with its route. Several symbols are laid out whole."""
        last = int(events["symbol"].max(initial=0))
        if last and int(events["symbol"].min()) < last:
            return iter([_together([_of_symbol(self, events, symbol) for symbol in range(last + 1)])])
        if self.basis == "bars":
            return _bars(events, self.away_ticks)
        return iter([_trades(events, self.away_ticks) if self.basis == "trades" else _as_recorded(events)])


def basis_of(events: Records) -> str | None:
    """The best that the data can be played as; None when there is nothing in it to trade on."""
    kinds = set(np.unique(events["kind"]).tolist())
    if int(Kind.KIND_QUOTE) in kinds:
        return "book" if int(Kind.KIND_BOOK_LEVEL) in kinds else "quotes"
    if kinds & set(_TRADES):
        return "trades"
    return "bars" if int(Kind.KIND_BAR_PRICES) in kinds else None


def quotes_of(market: Market, events: Records) -> Records:
    """The touch that the core sees, for whoever measures a fill against it."""
    found = []
    for part, route in market.parts(events):
        mine = (part["kind"] == int(Kind.KIND_QUOTE)) & ((route & int(Route.ROUTE_CORE)) != 0)
        found.append(np.ascontiguousarray(part[mine]).view(QUOTE))
    return np.concatenate(found)


def _of_symbol(market: Market, events: Records, symbol: int) -> Part:
    parts = list(market.parts(np.ascontiguousarray(events[events["symbol"] == symbol])))
    rows = np.concatenate([part for part, _ in parts])
    rows["symbol"] = symbol
    return rows, np.concatenate([route for _, route in parts])


def _together(parts: list[Part]) -> Part:
    """Several symbols in the order of time; of one moment in the order of symbols, each as it was laid out."""
    rows, route = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(rows["ts_recv_ns"], kind="stable")
    return np.ascontiguousarray(rows[order]), np.ascontiguousarray(route[order])


def _as_recorded(events: Records) -> Part:
    kinds = events["kind"]
    route = np.full(len(events), int(Route.ROUTE_VENUE), np.uint8)
    route[np.isin(kinds, (int(Kind.KIND_QUOTE), *_TRADES))] = BOTH
    route[kinds == int(Kind.KIND_MARK)] = int(Route.ROUTE_CORE | Route.ROUTE_MARK)
    route[np.isin(kinds, (int(Kind.KIND_BAR_PRICES), int(Kind.KIND_BAR_TOTALS)))] = int(Route.ROUTE_CORE)
    return events, route


# -------------------------------------------------------------------------------------------------------- trades alone
def _latest(values: Ints, there: npt.NDArray[np.bool_], otherwise: Ints) -> Ints:
    """The last value at or before each place that is there; before the first one what stands in `otherwise`."""
    at = np.where(there, np.arange(len(values)), -1)
    at = np.maximum.accumulate(at)
    return np.where(at >= 0, values[np.maximum(at, 0)], otherwise)


def touch_of(px: Ints, lots: Ints, sold: npt.NDArray[np.bool_], away: int) -> tuple[Ints, Ints, Ints, Ints]:
    """(bid, its lots, ask, its lots) after each trade: each side `away` beyond its last trade, never crossed."""
    bid = _latest(px, sold, px) - away
    ask = _latest(px, ~sold, px) + away
    bid_lots, ask_lots = _latest(lots, sold, lots), _latest(lots, ~sold, lots)
    # The side that the newest trade did not speak of gives way.
    crossed = bid >= ask
    ask = np.where(crossed & sold, np.maximum(px, bid) + 1, ask)
    bid = np.where(crossed & ~sold, np.minimum(px, ask) - 1, bid)
    return bid, bid_lots, ask, ask_lots


def quotes_from(at_ns: Ints, touch: tuple[Ints, Ints, Ints, Ints], ids: Ints) -> Records:
    out = np.zeros(len(at_ns), QUOTE)
    out["kind"], out["flags"] = Kind.KIND_QUOTE, WHOLE
    out["ts_recv_ns"] = out["ts_venue_ns"] = at_ns
    out["bid_px_ticks"], out["bid_qty_lots"], out["ask_px_ticks"], out["ask_qty_lots"] = touch
    out["id_book"] = ids
    return out.view(EVENT)


def _trades(events: Records, away: int) -> Part:
    """A quote behind every trade; what else there is stands where it stood."""
    mine = np.isin(events["kind"], _TRADES)
    rows = np.ascontiguousarray(events[mine]).view(TRADE)
    sold = (rows["flags"] & int(Flag.FLAG_SELL | Flag.FLAG_BUYER_MAKER)) != 0
    touch = touch_of(rows["px_ticks"].astype(np.int64), rows["qty_lots"].astype(np.int64), sold, away)
    made = quotes_from(rows["ts_recv_ns"].astype(np.int64), touch, np.arange(1, len(rows) + 1))
    made["ts_venue_ns"] = rows["ts_venue_ns"]
    # A touch at no price or of nothing is no touch.
    good = (touch[0] > 0) & (rows["qty_lots"] > 0)
    whole = np.insert(events, np.flatnonzero(mine)[good] + 1, made[good])
    return _as_recorded(np.ascontiguousarray(whole))


# ---------------------------------------------------------------------------------------------------------------- bars
def _bars(events: Records, away: int) -> Iterator[Part]:
    done = events[(events["flags"] & int(Flag.FLAG_CLOSED)) != 0]
    prices = np.ascontiguousarray(done[done["kind"] == int(Kind.KIND_BAR_PRICES)]).view(BAR_PRICES)
    totals = np.ascontiguousarray(done[done["kind"] == int(Kind.KIND_BAR_TOTALS)]).view(BAR_TOTALS)
    marks = events[events["kind"] == int(Kind.KIND_MARK)]
    for start in range(0, len(prices), CHUNK):
        part, route = _chunk(prices[start : start + CHUNK], totals[start : start + CHUNK], start, away)
        last = start + CHUNK >= len(prices)
        now = marks if last else marks[marks["ts_recv_ns"] < part["ts_recv_ns"][-1]]
        marks = marks[len(now) :]
        at = np.searchsorted(part["ts_recv_ns"], now["ts_recv_ns"], side="right")
        hears = int(Route.ROUTE_CORE | Route.ROUTE_MARK)
        yield np.ascontiguousarray(np.insert(part, at, now)), np.insert(route, at, hears).astype(np.uint8)


def path_of(bars: Records, *, low_first: bool) -> Ints:
    """Prices along the path of each bar: the open, then STEPS steps to each extreme and to the close."""
    columns = ("low_ticks", "high_ticks") if low_first else ("high_ticks", "low_ticks")
    corners = np.stack([bars[name].astype(np.int64) for name in ("open_ticks", *columns, "close_ticks")], axis=1)
    steps = np.arange(1, STEPS + 1)
    legs = corners[:, :-1, None] + (np.diff(corners, axis=1)[:, :, None] * steps) // STEPS
    return np.concatenate([corners[:, :1], legs.reshape(len(bars), -1)], axis=1)


def _chunk(prices: Records, totals: Records, first: int, away: int) -> Part:
    """One fork a bar, both paths, then what the core is told when the bar has closed."""
    count, points = len(prices), 1 + 3 * STEPS
    traded = prices["volume_lots"] > 0
    opened, closed = totals["ts_open_ns"].astype(np.int64), prices["ts_recv_ns"].astype(np.int64)
    share = np.maximum(prices["volume_lots"] // points, 1)
    width = 1 + 4 * points + 4
    out = np.zeros((count, width), EVENT)
    route = np.zeros((count, width), np.uint8)
    out[:, 0] = prices.view(EVENT)
    out["ts_recv_ns"][:, 0] = opened
    route[:, 0] = int(Route.ROUTE_FORK)
    at_ns = opened[:, None] + (closed - opened)[:, None] * np.arange(points) // points
    for low_first in (True, False):
        path = path_of(prices, low_first=low_first)
        # The two paths lie side by side, so that the whole stays in the order of time.
        begin = 1 if low_first else 3
        slots = begin + 4 * np.arange(points)
        only = int(Route.ROUTE_LOW_FIRST if low_first else Route.ROUTE_HIGH_FIRST) | int(Route.ROUTE_VENUE)
        falls = np.diff(path, axis=1, prepend=path[:, :1]) < 0
        trade = np.zeros((count, points), TRADE)
        trade["kind"], trade["px_ticks"], trade["qty_lots"] = Kind.KIND_TRADE, path, share[:, None]
        trade["flags"] = WHOLE | np.where(falls, int(Flag.FLAG_SELL | Flag.FLAG_BUYER_MAKER), 0)
        trade["ts_recv_ns"] = trade["ts_venue_ns"] = at_ns
        lots = np.repeat(share[:, None], points, axis=1).ravel()
        touch = (np.maximum(path.ravel() - away, 1), lots, path.ravel() + away, lots)
        quote = quotes_from(at_ns.ravel(), touch, np.zeros(count * points, np.int64)).reshape(count, points)
        # The touch first: a stop that the trade sets off meets it, and not an empty book.
        out[:, slots], out[:, slots + 1] = quote, trade.view(EVENT)
        route[:, slots] = route[:, slots + 1] = np.where(traded, only, 0)[:, None]
    out[:, -4], out[:, -3] = prices.view(EVENT), totals.view(EVENT)
    out[:, -2:] = _told(prices, closed, share, first, away)
    route[:, -4:-2] = int(Route.ROUTE_CORE)
    # A bar without a trade says nothing of the price now: the core's own price grows old.
    route[:, -2:] = np.where(traded, int(Route.ROUTE_CORE), 0)[:, None]
    kept = route.ravel() != 0
    return np.ascontiguousarray(out.reshape(-1)[kept]), route.reshape(-1)[kept]


def _told(prices: Records, closed: Ints, share: Ints, first: int, away: int) -> Records:
    """The close as a trade and the touch around it: all that is known of a price when a bar has closed."""
    count, close = len(prices), prices["close_ticks"].astype(np.int64)
    number = np.arange(first + 1, first + count + 1)
    trade = np.zeros(count, TRADE)
    trade["kind"], trade["flags"] = Kind.KIND_TRADE, WHOLE
    trade["ts_recv_ns"] = trade["ts_venue_ns"] = closed
    trade["px_ticks"], trade["qty_lots"] = close, np.maximum(prices["volume_lots"], 1)
    trade["id_trade"] = trade["id_first"] = trade["id_last"] = number
    quote = quotes_from(closed, (np.maximum(close - away, 1), share, close + away, share), number)
    return np.stack([trade.view(EVENT), quote], axis=1)

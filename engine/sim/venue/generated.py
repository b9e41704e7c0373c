"""The market behind `bot4 venue`: a generated one, walks unless told otherwise, played into the books as time passes.

Owns: which events are due, the crowd's levels behind the touch. Does not own: the market (engine.sim.market), how an
event becomes orders of the crowd (recorded.pyx), time. The same seed, start and times of asking give the same market
as long as nobody trades. Cost: about 15 us an event, 1,500 a second with three symbols.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, LEVEL, Flag, Kind
from engine.errors import SimUnknownSymbol
from engine.sim.market import FlowMarket, FlowSymbol, Market, Walk, WalkMarket
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.recorded import Recorded

LEVELS = 40


# A step is worth what makes, with some 14 steps a second's deviation, about 65 % a year; a unit of size is 100 lots.
WALKS = {"BTCUSDT": Walk(6_000_000, 50, 100), "ETHUSDT": Walk(300_000, 2, 100), "BNBUSDT": Walk(60_000, 1, 100)}
# The same prices in the steps of USD-M: tenths, and thousandths of a coin.
PERPETUAL_WALKS = {"BTCUSDT": Walk(600_000, 5, 1), "ETHUSDT": Walk(300_000, 2, 10)}


def flow_market(
    exchange: Exchange, *, seed: int, start_ns: int, regime: str | None = None, pace: float = 1.0
) -> FlowMarket:
    """Fitted order flow of the exchange's symbols, from where their walks would begin."""
    symbols = []
    for name, market in exchange.markets.items():
        if name not in WALKS:
            raise SimUnknownSymbol(f"no starting price of {name}")
        i = market.instrument
        symbols.append(FlowSymbol(name, WALKS[name].px_start, i.tick_e8, i.lot_e8, i.px_max_ticks, i.qty_max_lots))
    return FlowMarket(symbols, seed=seed, start_ns=start_ns, regime=regime, pace=pace)


class GeneratedMarket:
    """`advance(now)` lets every market of the exchange move to `now`."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        seed: int,
        start_ns: int,
        walks: dict[str, Walk] | None = None,
        market: Market | None = None,
    ) -> None:
        """`market` takes the walks' place: it brings its own levels behind the touch."""
        self._exchange = exchange
        self._names = list(exchange.markets)
        table = WALKS if walks is None else walks
        if unknown := [name for name in self._names if name not in table]:
            raise SimUnknownSymbol(f"no walk for {', '.join(unknown)}")
        self._walks = [table[name] for name in self._names]
        self._books = [exchange.market(name).book for name in self._names]
        self._recorded = [Recorded(book) for book in self._books]
        self._market = WalkMarket(self._walks, seed=seed, start_ns=start_ns) if market is None else market
        self._deepens = market is None
        self._rng = np.random.default_rng(seed)
        self._events: npt.NDArray[Any] = np.empty(0, EVENT)
        self._at = 0
        for symbol, walk in enumerate(self._walks):
            px = walk.px_start // walk.step * walk.step
            self._books[symbol].set_last(px)
            if self._deepens:
                self._touch(symbol, px, px + walk.step)
                self._deepen(symbol)
        if not self._deepens:
            # A market of its own begins with an image of every book, a nanosecond after its start.
            self.advance(start_ns + 1)

    @property
    def refused(self) -> int:
        """Events outside a book's range."""
        return sum(recorded.counts[1] for recorded in self._recorded)

    def advance(self, now_ns: int) -> int:
        """Play what is due by `now_ns`; returns how many events that were."""
        played = 0
        while True:
            if self._at == len(self._events):
                if self._market.end_ns >= now_ns:
                    break
                self._events, self._at = self._market.stretch(), 0
            end = int(np.searchsorted(self._events["ts_recv_ns"], now_ns, side="right"))
            if end == self._at:
                break
            for at in range(self._at, end):
                self._play(self._events[at : at + 1])
            played += end - self._at
            self._at = end
        if played and self._deepens:
            for symbol in range(len(self._names)):
                self._deepen(symbol)
        return played

    def _play(self, event: npt.NDArray[Any]) -> None:
        symbol = int(event["symbol"][0])
        # A request may have moved the exchange's time past an event that was not played yet.
        self._exchange.advance(max(int(event["ts_recv_ns"][0]), self._exchange.now_ns))
        self._apply(symbol, event)

    def _apply(self, symbol: int, events: npt.NDArray[Any]) -> None:
        # Trades among the crowd are published too, so nothing is dropped and nothing stops the playing.
        self._recorded[symbol].apply(events.view(np.uint8), stop_at_own=False)
        self._exchange.absorb(self._names[symbol])

    def _touch(self, symbol: int, bid: int, ask: int) -> None:
        self._levels(symbol, [(False, bid, 100), (True, ask, 100)])

    def _levels(self, symbol: int, rows: list[tuple[bool, int, int]]) -> None:
        events = np.zeros(len(rows), EVENT)
        events["kind"] = Kind.KIND_BOOK_LEVEL
        events["symbol"] = symbol
        levels = events.view(LEVEL)
        for at, (sell, px, units) in enumerate(rows):
            events["flags"][at] = Flag.FLAG_ASK if sell else 0
            levels["px_ticks"][at], levels["qty_lots"][at] = px, units * self._walks[symbol].lots
        self._apply(symbol, events)

    def _deepen(self, symbol: int) -> None:
        """Fill the holes that the walk left behind the touch, and drop what it left far behind."""
        book, step = self._books[symbol], self._walks[symbol].step
        rows: list[tuple[bool, int, int]] = []
        for sell, best, away in ((False, book.best_bid, -step), (True, book.best_ask, step)):
            if not best:
                continue
            # The walk's grid, also where somebody's own order is the touch.
            first = best - best % step if not sell else best + -best % step
            wanted = [px for px in range(first, first + away * LEVELS, away) if px > 0]
            sizes = self._rng.integers(50, 1_000, len(wanted)).tolist()
            rows += [
                (sell, px, size) for px, size in zip(wanted, sizes, strict=True) if px != best and not book.lots_at(px)
            ]
            edge = first + away * LEVELS * 2
            rows += [(sell, px, 0) for px, _ in book.depth(sell, 10 * LEVELS) if (px > edge if sell else px < edge)]
        if rows:
            self._levels(symbol, rows)

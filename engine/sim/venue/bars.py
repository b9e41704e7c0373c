"""Closed bars of an embedded market, as its venue would tell them: from its trades, at the end of each interval.

Owns: the bars that are open. Does not own: trades, who wants bars. Invariants: an interval in which nobody traded is
a bar of no volume at the last price, as real venues tell it; a bar stands behind every event of its interval and ahead
of those of the next one; before a symbol's first trade it has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import BAR_PRICES, BAR_TOTALS, EVENT, TRADE, Flag, Kind

Events = npt.NDArray[Any]
_TRADE = int(Kind.KIND_TRADE)


class ClosedBars:
    def __init__(self, lots_e8: dict[int, int], every_ns: int, now_ns: int) -> None:
        """`lots_e8`: of each symbol that is wanted, what a tick of a lot is worth in 1e-8 of the quote asset."""
        self._worth, self._every_ns = lots_e8, every_ns
        self._end_ns = now_ns - now_ns % every_ns + every_ns
        self._trades: dict[int, list[Events]] = {symbol: [] for symbol in lots_e8}
        self._last: dict[int, int] = {}

    def among(self, events: Events) -> Events:
        """Events in their order, with the bars that close meanwhile."""
        parts = []
        while len(events) and int(events["ts_recv_ns"][-1]) >= self._end_ns:
            cut = int(np.searchsorted(events["ts_recv_ns"], self._end_ns))
            self._take(events[:cut])
            parts += [events[:cut], self._close()]
            events = events[cut:]
        self._take(events)
        return np.concatenate([*parts, events]) if parts else events

    def _take(self, events: Events) -> None:
        trades = events[events["kind"] == _TRADE]
        for symbol in set(trades["symbol"].tolist()) & self._trades.keys():
            self._trades[symbol].append(trades[trades["symbol"] == symbol].view(TRADE).copy())

    def _close(self) -> Events:
        bars = [self._bar(symbol) for symbol in self._trades if self._trades[symbol] or symbol in self._last]
        self._end_ns += self._every_ns
        return np.concatenate(bars) if bars else np.zeros(0, EVENT)

    def _bar(self, symbol: int) -> Events:
        trades = np.concatenate([*self._trades[symbol], np.zeros(0, TRADE)])
        self._trades[symbol] = []
        px, lots = trades["px_ticks"], trades["qty_lots"]
        if len(trades):
            self._last[symbol] = int(px[-1])
        prices, totals = np.zeros(1, BAR_PRICES), np.zeros(1, BAR_TOTALS)
        prices["kind"], prices["flags"] = Kind.KIND_BAR_PRICES, Flag.FLAG_FIRST | Flag.FLAG_CLOSED
        totals["kind"], totals["flags"] = Kind.KIND_BAR_TOTALS, Flag.FLAG_LAST | Flag.FLAG_CLOSED
        for one in (prices, totals):
            one["symbol"], one["ts_recv_ns"], one["ts_venue_ns"] = symbol, self._end_ns, self._end_ns
        first = int(px[0]) if len(px) else self._last[symbol]
        prices["open_ticks"], prices["high_ticks"] = first, px.max(initial=first)
        prices["low_ticks"] = px.min(initial=first)
        prices["close_ticks"], prices["volume_lots"] = self._last[symbol], lots.sum()
        totals["ts_open_ns"], totals["ts_close_ns"] = self._end_ns - self._every_ns, self._end_ns - 1
        totals["trade_count"] = len(trades)
        totals["quote_volume_e8"] = int((px * lots).sum()) * self._worth[symbol]
        totals["taker_buy_lots"] = lots[trades["flags"] & int(Flag.FLAG_SELL) == 0].sum()
        return np.concatenate([prices.view(EVENT), totals.view(EVENT)])

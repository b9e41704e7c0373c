"""The same underlying on a second venue: its market follows that of the first, a moment later, a few ticks beside.

Owns: the delay and the distance, both from the seed. Does not own: the market that is followed. What is repeated are
all events of a symbol, so sizes and trades agree; the distance changes every so many events and never by more than a
tick. Assumed, not recorded: that the second venue has the first one's depth. The same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, LEVEL, QUOTE, TRADE, Kind
from engine.sim.market.stretches import Market

DELAY_NS = 50_000
AWAY_MOST = 2  # ticks
KEPT = 64  # events for which a distance stands
_PRICES: dict[Kind, tuple[npt.DTypeLike, tuple[str, ...]]] = {
    Kind.KIND_QUOTE: (QUOTE, ("bid_px_ticks", "ask_px_ticks")),
    Kind.KIND_TRADE: (TRADE, ("px_ticks",)),
    Kind.KIND_AGG_TRADE: (TRADE, ("px_ticks",)),
    Kind.KIND_BOOK_LEVEL: (LEVEL, ("px_ticks",)),
}


class Echo:
    """One symbol that follows another: what it repeats stands `away` ticks beside."""

    def __init__(self, symbol: int, lead: int, *, seed: int) -> None:
        self.symbol, self.lead = symbol, lead
        self._rng = np.random.default_rng([seed, symbol, lead])
        self._away = 0
        self._at = 0

    def of(self, events: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The lead's part of these events as this symbol tells them."""
        out: npt.NDArray[Any] = events[events["symbol"] == self.lead].copy()
        away = self._distance(len(out))
        out["symbol"] = self.symbol
        out["ts_recv_ns"] += DELAY_NS
        out["ts_venue_ns"] += DELAY_NS
        for kind, (dtype, names) in _PRICES.items():
            at = out["kind"] == int(kind)
            for name in names:
                out.view(dtype)[name][at] += away[at]
        return out

    def _distance(self, count: int) -> npt.NDArray[np.int64]:
        away = np.zeros(count, np.int64)
        for i in range(count):
            if self._at % KEPT == 0:
                step = int(self._rng.integers(-1, 2))
                self._away = max(-AWAY_MOST, min(AWAY_MOST, self._away + step))
            self._at += 1
            away[i] = self._away
        return away


class EchoMarket:
    """A market whose symbols `symbols` are generated and whose echoes repeat one of them each."""

    def __init__(self, inner: Market, symbols: Sequence[int], echoes: Mapping[int, int], *, seed: int) -> None:
        """`symbols[i]` is the number that the inner market's symbol i has here; `echoes` names the lead of each."""
        self._inner = inner
        self._symbols = np.array(symbols, np.uint16)
        self._echoes = [Echo(symbol, lead, seed=seed) for symbol, lead in sorted(echoes.items())]
        self._held: npt.NDArray[Any] = np.empty(0, EVENT)

    @property
    def end_ns(self) -> int:
        return self._inner.end_ns

    def stretch(self) -> npt.NDArray[Any]:
        events = self._inner.stretch().copy()
        events["symbol"] = self._symbols[events["symbol"]]
        every = np.concatenate([self._held, events, *(echo.of(events) for echo in self._echoes)])
        every = every.take(np.argsort(every["ts_recv_ns"], kind="stable"))
        # What an echo tells later than the lead's stretch goes belongs to the next one.
        later = every["ts_recv_ns"] > self._inner.end_ns
        self._held = every[later]
        now: npt.NDArray[Any] = every[~later]
        return now

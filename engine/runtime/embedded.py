"""Paper's exchange: a generated market and the embedded venue in this process, both on the engine's time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, Kind
from engine.settings.schema import Settings
from engine.settings.trading import Instrument as Row
from engine.sim.market import random_walk
from engine.sim.venue.embedded import EmbeddedConfig, EmbeddedVenue
from engine.sim.venue.instruments import Instrument

CHUNK = 4_096
# No intent arrives sooner than this, so no event within it can depend on an answer to another one.
REACH_NS = 2_000_000


class EmbeddedExchange:
    """Gives market events and reports in one order of time; takes intents."""

    def __init__(self, settings: Settings, start_ns: int) -> None:
        instruments = [venue_instrument(name, row) for name, row in settings.instruments.items()]
        assets = {settings.account.asset: 0} | {i.base: 1 + at for at, i in enumerate(instruments)}
        self.venue = EmbeddedVenue(
            EmbeddedConfig(
                instruments=instruments,
                deposits={settings.account.asset: settings.account.capital},
                assets=assets,
                report_fees=True,
                start_ns=start_ns,
            ),
            settings.engine.seed,
        )
        self._seed = settings.engine.seed
        self._px_ticks = [row.ticks(row.px_start) for row in settings.instruments.values()]
        self._chunks = 0
        self._events = np.empty(0, EVENT)
        self._at = 0
        self._end_ns = start_ns

    def poll(self, until_ns: int) -> npt.NDArray[Any]:
        while True:
            market_ns = self._next_market_ns()
            due = self.venue.next_due_ns()
            if due is not None and due <= min(until_ns, market_ns):
                reports = self.venue.advance(due)
                if len(reports):
                    return reports
                continue
            if market_ns > until_ns:
                return np.empty(0, EVENT)
            last = min(until_ns, market_ns + REACH_NS, until_ns if due is None else due - 1)
            end = int(np.searchsorted(self._events["ts_recv_ns"], last, side="right"))
            batch = self._events[self._at : end]
            self._at = end
            kept = self.venue.market(batch)
            if len(kept):
                return kept

    def submit(self, outputs: npt.NDArray[Any]) -> None:
        self.venue.submit(outputs)

    async def start(self, engine: object) -> None:
        """Nothing has to be opened: it is polled."""

    async def close(self) -> None:
        """Nothing is left behind."""

    def _next_market_ns(self) -> int:
        if self._at == len(self._events):
            self._generate()
        return int(self._events["ts_recv_ns"][self._at])

    def _generate(self) -> None:
        """One more stretch of every symbol, merged by time; each goes on from its last price."""
        parts = []
        for symbol, px in enumerate(self._px_ticks):
            seed = (self._seed * 1_000 + symbol) * 1_000_003 + self._chunks
            parts.append(
                random_walk(
                    seed=seed, count=CHUNK, start_ns=self._end_ns + 1, px_ticks=px, symbol=symbol,
                    first_id=1 + self._chunks * CHUNK,
                )
            )  # fmt: skip
        # Up to the end of the shortest, so that no symbol runs ahead of the others.
        self._end_ns = min(int(part["ts_recv_ns"][-1]) for part in parts)
        kept = [part[part["ts_recv_ns"] <= self._end_ns] for part in parts]
        for symbol, part in enumerate(kept):
            quotes = part[part["kind"] == int(Kind.KIND_QUOTE)]
            if len(quotes):
                self._px_ticks[symbol] = int(quotes["word"][-1, 0])
        events = np.concatenate(kept)
        self._events = events.take(np.argsort(events["ts_recv_ns"], kind="stable"))
        self._at, self._chunks = 0, self._chunks + 1


def venue_instrument(name: str, row: Row) -> Instrument:
    """The venue's side of an instrument of the settings: the same steps, limits and fees."""
    return Instrument(
        symbol=name,
        base=row.base,
        quote=row.quote,
        tick_e8=row.tick,
        lot_e8=row.lot,
        px_max_ticks=row.px_range_ticks[1],
        qty_max_lots=row.qty_range_lots[1],
        qty_min_lots=row.qty_range_lots[0],
        notional_min=max(1, -(-row.notional_min // 10**8)),
        perpetual=row.market == "linear",
        fees=((row.fee_maker, row.fee_taker),) * 10,
    )

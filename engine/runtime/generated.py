"""An exchange out of a generated market and the venue in this process, on the engine's time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.settings.schema import Settings
from engine.sim.market import random_walk
from engine.sim.venue import InProcessVenue

CHUNK = 4_096


class GeneratedExchange:
    def __init__(self, settings: Settings, start_ns: int) -> None:
        self.venue = InProcessVenue()
        # An intent needs this long to arrive and a report as long to come back, so no event within it can depend on
        # an answer to another one.
        self._reach_ns = self.venue.latency_ns // 2
        self._seed = settings.engine.seed
        self._px_ticks = [i.ticks(i.px_start) for i in settings.instruments.values()]
        self._chunks = 0
        self._events = self._generate(start_ns)
        self._at = 0

    def poll(self, until_ns: int) -> npt.NDArray[Any]:
        times = self._events["ts_recv_ns"]
        due = self.venue.next_due_ns()
        if due is not None and due <= min(until_ns, int(times[self._at])):
            return self.venue.pop_due()
        last = min(until_ns, int(times[self._at]) + self._reach_ns)
        if due is not None:
            last = min(last, due - 1)
        end = int(np.searchsorted(times, last, side="right"))
        batch = self._events[self._at : end]
        for event in batch:
            self.venue.on_market(event)
        self._at = end
        if end == len(self._events):
            self._events, self._at = self._generate(int(times[-1]) + 1), 0
        return batch

    def submit(self, outputs: npt.NDArray[Any]) -> None:
        self.venue.on_intents(outputs)

    def _generate(self, start_ns: int) -> npt.NDArray[Any]:
        """One more stretch of every symbol, merged by time; each goes on from its last price."""
        parts = []
        for symbol, px in enumerate(self._px_ticks):
            seed = (self._seed * 1_000 + symbol) * 1_000_003 + self._chunks
            part = random_walk(seed=seed, count=CHUNK, start_ns=start_ns, px_ticks=px, symbol=symbol)
            quotes = part[part["kind"] == 2]
            self._px_ticks[symbol] = int(quotes["word"][-1, 0])
            parts.append(part)
        self._chunks += 1
        # Up to the end of the shortest, so that no symbol runs ahead of the others.
        events = np.concatenate(parts)
        return events[np.argsort(events["ts_recv_ns"], kind="stable")]

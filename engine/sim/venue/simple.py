"""The venue as the first composition root drives it: one symbol, a fixed latency, one report at a time.

A thin face over `EmbeddedVenue` in its recorded form; new callers take that one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT
from engine.sim.venue.embedded import EmbeddedConfig, EmbeddedVenue, Latency
from engine.sim.venue.instruments import E8, Instrument
from engine.sim.venue.recorded import QueueModel

WHOLE = 10**9


class InProcessVenue:
    def __init__(self, *, latency_ns: int = 300_000, instrument: Instrument | None = None) -> None:
        instrument = instrument or Instrument(
            "AAABBB", "AAA", "BBB", 1_000_000, 100_000, 10_000_000, 10_000_000, notional_min=0, orders_max=10_000,
            algo_orders_max=1000, percent_up_ppm=0, percent_down_ppm=0,
        )  # fmt: skip
        # All of the latency lies on the way back: an intent meets the market that made it.
        config = EmbeddedConfig(
            instruments=(instrument,),
            deposits={instrument.base: WHOLE * E8, instrument.quote: WHOLE * E8},
            latency_out=Latency(fixed_ns=0),
            latency_back=Latency(fixed_ns=latency_ns),
            queue_model=QueueModel.QUEUE_BACK,
        )
        self.venue = EmbeddedVenue(config, seed=0)
        self._ready: list[npt.NDArray[Any]] = []

    def on_intents(self, outputs: npt.NDArray[Any]) -> None:
        """Take the intents among a step's outputs."""
        self.venue.submit(outputs)
        while (at := self.venue.next_arrival_ns()) is not None:
            self.venue.pass_time(at)

    def on_market(self, event: npt.NDArray[Any]) -> None:
        """Play one market event into the book."""
        self.venue.market(event.reshape(1))

    def next_due_ns(self) -> int | None:
        return int(self._ready[0]["ts_recv_ns"][0]) if self._ready else self.venue.next_due_ns()

    def pop_due(self) -> npt.NDArray[Any]:
        """The next report, as one EVENT record."""
        if not self._ready:
            due = self.venue.next_due_ns()
            arrived = self.venue.advance(due) if due is not None else np.empty(0, EVENT)
            self._ready = [arrived[i : i + 1] for i in range(len(arrived))]
        return self._ready.pop(0)

    @property
    def resting_count(self) -> int:
        return self.venue.resting_count

"""The engine: one core, what records it, and the exchange it trades at, joined in time order.

Everything that changes the core passes `take`: it is on the record before it is stepped, and what comes out is on
the record before the exchange has it. Drivers differ only in where events come from (`Exchange.poll`) and in who
moves the clock; this file reads none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from engine._core.histogram import Histogram
from engine._core.order_table import OrderState
from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.world import World
from engine.journal.port import VenueView
from engine.journal.reconcile import Row
from engine.runtime.drive import pump
from engine.runtime.events import Records, timer_event
from engine.strategy.meter import Meter

Watcher = Callable[[Records], None]
# Bids and asks, each level's ticks and lots, best first.
Depth = tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]
TIMER_NS = 100_000_000  # deadlines, schedules and staleness are looked at this often


_MAY_BE_OPEN = (
    OrderState.STATE_SENT, OrderState.STATE_OPEN, OrderState.STATE_PARTIAL, OrderState.STATE_PENDING_CANCEL,
    OrderState.STATE_PENDING_REPLACE, OrderState.STATE_UNKNOWN,
)  # fmt: skip


def at_venue(world: World) -> Records:
    """The live orders that the venue may have. A stop that waits here for its price is not among them."""
    rows = world.live_orders()
    kept: Records = rows[np.isin(rows["state"], _MAY_BE_OPEN) & (rows["trigger"] == 0)]
    return kept


class Exchange(Protocol):
    """Where events come from and intents go: real sockets, the embedded venue, or both."""

    def poll(self, until_ns: int) -> Records:
        """The next events up to `until_ns` in time order; empty when there are none.

        It never gives an event that an intent answered to an earlier event of the same batch could have changed: a
        batch is at most as long as an intent needs to arrive.
        """
        ...

    def submit(self, outputs: Records) -> None:
        """Take the outputs of one step. Intents among them are sent; the rest is not for the exchange."""
        ...

    def positions(self) -> Mapping[int, int]:
        """The venue's own word of what is held, in lots by symbol; a symbol is missing while it has not said."""
        ...

    def equity(self) -> int:
        """The account's worth by the venue's own figures, in account units; 0 while they are not known."""
        ...

    def depth(self, symbol: int, levels: int) -> Depth:
        """The best levels of a symbol's book, for people: nothing is decided by them."""
        ...

    def look(self, next_trade: Mapping[int, int], take: Callable[[VenueView], None]) -> None:
        """Have `take` called with the venue's books and its trades from these numbers on: at once, or when they came.

        Between two events. A look that is under way is not begun again.
        """
        ...

    def settled(self) -> list[Row]:
        """What was settled with the venue since this was last asked: what was believed, what it said, what followed."""
        ...


class Engine:
    def __init__(
        self, core: Core, tape: Tape, exchange: Exchange, *, now_ns: int = 0, meter: Meter | None = None
    ) -> None:
        self.core, self.tape, self.exchange = core, tape, exchange
        self.step_ns, self.order_ns = Histogram(), Histogram()  # of every message, and of those that made an intent
        self.now_ns = now_ns
        self.meter = meter
        self._timer_due_ns = now_ns
        self.input_watchers: list[Watcher] = []
        self.output_watchers: list[Watcher] = []

    def watch(self, inputs: Watcher, outputs: Watcher) -> None:
        """Have everything shown that goes in and that comes out, after it was recorded and stepped."""
        self.input_watchers.append(inputs)
        self.output_watchers.append(outputs)

    def take(self, events: Records) -> None:
        """Step events that happened, in their order; hand out what the core wants done."""
        at = 0
        while at < len(events):
            at += pump(self.core, self.tape, events[at:], self.step_ns, self.order_ns)
            outputs = self.core.outputs()
            if len(outputs):
                self.exchange.submit(outputs)
                for watcher in self.output_watchers:
                    watcher(outputs)
        for watcher in self.input_watchers:
            watcher(events)
        if self.meter is not None and self.meter.pending_count:
            self.stop_slow()

    def stop_slow(self) -> None:
        """A strategy overran its time: a fact of this run, so it enters as an event and a replay needs no clock."""
        assert self.meter is not None
        self.take(self.meter.stop_events(self.now_ns))

    def advance(self, until_ns: int) -> None:
        """Let time pass up to `until_ns`: the exchange's events and the core's timers, merged."""
        if not self._timer_due_ns:
            self._timer_due_ns = until_ns
        while True:
            stop_ns = min(until_ns, self._timer_due_ns)
            while len(events := self.exchange.poll(stop_ns)):
                self.take(events)
            self.now_ns = stop_ns
            if stop_ns < self._timer_due_ns:
                return
            self.take(timer_event(stop_ns))
            self._timer_due_ns += TIMER_NS
            if stop_ns == until_ns:
                return

"""The checkers of the seeded world: what must hold after every event, and what must hold once everything is settled.

Each is one sentence that a counterexample prints. They look at the core's world from outside and at the venue's truth;
nothing here changes either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from engine._core.bracket_table import BracketPhase
from engine.errors import WorldFoundBreak
from engine.journal.compare import glance, guarded, live_orders, owned_lots
from engine.journal.show import text
from engine.sim.world.engine import Engine, Setup
from engine.sim.world.faults import START_NS, S
from engine.sim.world.outcome import Outcome
from engine.sim.world.venue import Venue
from engine.sim.world.wire import Ask

CHECK_EACH = 64  # events between two walks over all of the core's invariants
OVERSHOT = (BracketPhase.PHASE_OVER, BracketPhase.PHASE_STUCK)
BARE_MOST_NS = 300 * S  # three attempts in a row that go wrong: docs/journal/world.md


class Promises:
    def __init__(self, setup: Setup, engine: Engine, venue: Venue, outcome: Outcome, now_ns: Callable[[], int]) -> None:
        self.setup, self.engine, self.venue, self.outcome = setup, engine, venue, outcome
        self.last: deque[Any] = deque(maxlen=12)
        self.latched = False
        self.disk_full = False
        self._now_ns = now_ns
        self._asked: dict[int, int] = {}  # lots of requests that are under way, by order
        self._bare_since: dict[int, int] = {}  # a side (1 long, -1 short) held without protection: since when
        self.bare_most_ns = 0

    def expect(self, holds: bool, checker: str, detail: str) -> None:
        if not holds:
            self.outcome.checker = checker
            self.outcome.last = [text(event) for event in self.last]
            raise WorldFoundBreak(
                f"{checker}: {detail}; seed {self.outcome.seed}, event {self.outcome.events:,}, "
                f"{(self._now_ns() - START_NS) / S:.3f} s."
            )

    # --------------------------------------------------------------------------------------------------- what is sent
    def placing(self, ask: Ask) -> None:
        """An order leaves the engine. One that only reduces is what the latch is for."""
        if not ask.reduce_only:
            self.expect(not self.latched, "silence after the latch", f"order {ask.id_order} was sent")
        self.expect(not self.disk_full, "no order that cannot be recorded", f"order {ask.id_order} was sent")
        if ask.reduce_only:
            return
        lots = -ask.qty_lots if ask.sell else ask.qty_lots
        # At its worst: what is open, what was asked and has neither arrived nor been lost, and this one are filled.
        under_way = sum(other for other in self._asked.values() if (other < 0) == ask.sell)
        px_ticks = ask.px_ticks or max(self.venue.touch)
        value = abs(self.venue.worst_lots(ask.sell) + under_way + lots) * px_ticks * self.setup.unit_value
        self.expect(
            value <= self.setup.exposure_max * 1.02, "exposure within its limit",
            f"{value:,} with order {ask.id_order}, {self.setup.exposure_max:,} allowed",
        )  # fmt: skip
        self._asked[ask.id_order] = lots

    def arrived(self, id_order: int) -> None:
        """A request has reached the venue, or never will."""
        self._asked.pop(id_order, None)

    def no_id_twice(self) -> None:
        self.expect(not self.venue.reused, "no client id twice", f"{self.venue.reused}")

    # ---------------------------------------------------------------------------------------------- after every event
    def always(self) -> None:
        world = self.engine.core.world
        lots, bought, sold, _ = glance(world, 0)
        if lots != bought - sold:
            self.expect(False, "position = sum of fills", f"{lots}, {bought} bought, {sold} sold")
        if self.outcome.events % CHECK_EACH == 0:
            self.sound()

    def sound(self) -> None:
        try:
            self.engine.core.world.check()
        except (AssertionError, ValueError, ArithmeticError) as error:
            self.expect(False, "the ledger balances", str(error))

    def protected(self, *, reachable: bool) -> None:
        """Nothing that a bracket holds stays without a living stop, nor sold more than once, beyond the deadline.

        Time in which the venue cannot be reached does not count, and each time that it is reached again the deadline
        begins anew. Nor does what has no owner: power took the record of an order whose trades are at the venue. An
        incident names them, and a person has to look: what the strategy believes is not what may be closed.
        """
        now, world = self._now_ns(), self.engine.core.world
        lots, bare, worst = glance(world, 0)[0], {1: 0, -1: 0}, ""
        for phase, side, held, covered in guarded(world):
            said = f"{held} lots held, {covered} covered, {BracketPhase(phase).name}"
            # Sold more than was held: that has a name, an incident, and a way back.
            self.expect(held > 0 or phase in OVERSHOT, "both exits filled has its name", said)
            bare[side if held > 0 else -side] += max(0, held - covered) if held > 0 else -held
            worst = worst if 0 < held <= covered else said
        for side, open_lots in bare.items():
            # Two brackets may hold against each other; at risk is what the account holds.
            if not reachable or min(open_lots, side * lots) <= 0 or lots != owned_lots(world, 0):
                self._bare_since.pop(side, None)
                continue
            lasts = now - self._bare_since.setdefault(side, now)
            self.bare_most_ns = max(self.bare_most_ns, lasts)
            self.expect(lasts <= BARE_MOST_NS, "nothing held without protection", f"{worst} for {lasts / S:.0f} s")

    @property
    def at_risk(self) -> bool:
        """Whether something was held without protection when last looked at."""
        return bool(self._bare_since)

    def forget(self) -> None:
        """The process has ended, and what it had on its way with it."""
        self._bare_since.clear()

    # --------------------------------------------------------------------------------------------------- once settled
    def settled(self) -> None:
        """What holds when the venue was asked and no message is on its way."""
        world, venue = self.engine.core.world, self.venue
        lots = glance(world, 0)[0]
        self.expect(lots == venue.lots, "position = the venue's fills", f"{lots} here, {venue.lots} there")
        # A stop that waits here for its price is not at the venue.
        here = {int(o["id_order"]): int(o["filled_lots"]) for o in live_orders(world) if not o["trigger"]}
        there = {o.id_order: o.filled_lots for o in venue.open.values()}
        self.expect(not there.keys() - here.keys(), "no orphan at the venue", f"{sorted(there.keys() - here.keys())}")
        self.expect(not here.keys() - there.keys(), "no ghost in the table", f"{sorted(here.keys() - there.keys())}")
        self.expect(here == there, "filled quantities agree", f"{here} / {there}")

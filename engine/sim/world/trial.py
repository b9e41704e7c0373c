"""One run of the world under one seed: time, messages and faults in one queue, checkers after every event.

Everything that happens is a function of (seed, hours, faults, muted messages). A checker that finds a break raises
WorldFoundBreak, which says which promise, when, and after which event.
"""

from __future__ import annotations

import heapq
import itertools
from pathlib import Path
from typing import Any

from engine._core.step import Core
from engine._core.types import Flag, Kind
from engine.errors import JournalError, ReplayDiverged, WorldFoundBreak
from engine.journal.compare import glance
from engine.journal.layout import find_session
from engine.journal.reconcile import report as make_report
from engine.journal.replay import replay_session
from engine.sim.distributions import Chances
from engine.sim.world.engine import Death, Engine, Setup
from engine.sim.world.faults import (
    BAN,
    CLOCK,
    CUT,
    DEATHS,
    DISK_FULL,
    FLIP,
    HALT,
    KILL,
    LATCH,
    LATE,
    LOST,
    POWER,
    SNAPSHOT,
    START_NS,
    TEAR,
    THROTTLED,
    TWICE,
    Fates,
    Fault,
    Rates,
    S,
    schedule,
)  # fmt: skip
from engine.sim.world.lives import Lives
from engine.sim.world.market import QUOTE, TRADE, Moment, moments
from engine.sim.world.outcome import Outcome
from engine.sim.world.promises import Promises
from engine.sim.world.venue import Resting, Venue
from engine.sim.world.wire import AMEND, CANCEL, CANCEL_ALL, FILL, PLACE, SELL, Ask, record

TIMER, WHOLE = int(Kind.KIND_TIMER), int(Flag.FLAG_FIRST | Flag.FLAG_LAST)
TRADED_LOTS = 3


class Trial(Lives):
    def __init__(
        self,
        setup: Setup,
        core: Core,
        root: Path,
        *,
        seed: int,
        hours: float,
        rates: Rates | None = None,
        faults: list[Fault] | None = None,
        muted: frozenset[int] = frozenset(),
        engine: type[Engine] = Engine,
        quote_gap_s: float = 4.0,
    ) -> None:
        self.setup, self.seed, self.hours = setup, seed, hours
        self.rates = rates or Rates()
        self.faults = schedule(seed, hours, self.rates) if faults is None else faults
        self.fates = Fates(seed, self.rates, muted)
        self.gap_ns = int(quote_gap_s * S)
        self.now_ns = START_NS
        self.engine = engine(core, root, seed=seed, send=self._wire)
        self.venue = Venue(seed, self._on_venue)
        self.outcome = Outcome(seed, hours, faults=self.faults)
        self.promises = Promises(setup, self.engine, self.venue, self.outcome, lambda: self.now_ns)
        self._network = Chances(f"{seed} network")
        self._queue: list[tuple[int, int, str, Any]] = []
        self._order = itertools.count()
        self._flying = 0
        self._down_until = 0  # connection
        self._clock_off = 0
        self._sent: set[int] = set()  # by this life of the process
        self._death = ""
        self._power_ns = 0
        self._told = self._updates = 0  # what the venue counts of its market, and of the account
        self._image = bytes(memoryview(core.world))

    # ------------------------------------------------------------------------------------------------------- the clock
    def run(self) -> Outcome:
        try:
            self._run()
        except WorldFoundBreak as found:
            self.outcome.failure = found.detail
            self.outcome.at_ns = self.now_ns - START_NS
        finally:
            self.outcome.fated = self.fates.met
            if self.engine.writer is not None:
                self.engine.writer.close()
        return self.outcome

    def _run(self) -> None:
        self._tick()
        self.engine.begin(self._image)
        end = START_NS + int(self.hours * 3600 * S)
        for fault in self.faults:
            if fault.at_ns + START_NS < end:
                self._later(fault.at_ns + START_NS, "fault", fault)
        self._later(START_NS + 5 * S, "timer", None)
        self._later(START_NS + 60 * S, "reconcile", None)
        market = moments(
            self.setup.market, seed=self.seed, px_ticks=self.setup.px_ticks, gap_ns=self.gap_ns, end_ns=end
        )
        for moment in market:
            while self._queue and self._queue[0][0] <= moment.now_ns:
                self._pop()
            self.now_ns = moment.now_ns
            self._market(moment)
        self._settle_down(end)

    def _pop(self) -> None:
        self.now_ns, _, what, payload = heapq.heappop(self._queue)
        getattr(self, "_on_" + what)(payload)

    # ------------------------------------------------------------------------------------------------------ the engine
    def _give(self, event: Any) -> None:
        """One event to the engine, which may die of it; then every checker that holds at all times."""
        self._tick()
        self.outcome.events += 1
        self.promises.last.append(event)
        death, self._death = self._death, ""
        try:
            if death:
                self.engine.handle(event, death)
            elif event["kind"][0] >= 64 and event["kind"][0] < 96:
                self.engine.on_report(event)
            else:
                self.engine.handle(event)
        except Death:
            self._down(event)
            return
        self.promises.always()

    def _market(self, moment: Moment) -> None:
        now, bid, ask, sold = moment
        if sold:
            # At the touch of before: who trades comes first, and then the touch is another one.
            self._traded(sold > 0, now)
        self._touch(bid, ask)

    def _touch(self, bid: int, ask: int) -> None:
        bid_lots, ask_lots = self.venue.move(bid, ask, self.now_ns)
        self._told += 1
        if self._hears:
            self._give_market(QUOTE, WHOLE, bid, bid_lots, ask, ask_lots, self._told)

    def _traded(self, sold: bool, now: int) -> None:
        px = self.venue.touch[0 if sold else 1]
        if not px:
            return
        self.venue.trade(sold, px, TRADED_LOTS, now)
        self._told += 1
        if self._hears:
            self._give_market(TRADE, WHOLE | SELL if sold else WHOLE, px, TRADED_LOTS, self._told)

    def _give_market(self, kind: int, flags: int, *words: int) -> None:
        now = self.now_ns
        self._give(record(kind, *words, now_ns=now + self._clock_off, flags=flags, ts_venue_ns=now))

    @property
    def _hears(self) -> bool:
        return self._alive and not self.venue.halted and self.now_ns >= self._down_until

    @property
    def _answered(self) -> bool:
        """Whether the venue answers what this process asks."""
        return self._alive and self.now_ns >= self._down_until and self.now_ns >= self.venue.banned_until_ns

    @property
    def _reachable(self) -> bool:
        """Whether an order could be placed now."""
        return self._answered and not self.venue.halted and not self.promises.disk_full

    def _on_timer(self, _: Any) -> None:
        lots, _, _, live = glance(self.engine.core.world, 0)
        busy = self._alive and (live > 0 or lots != 0)
        if self._alive and self.promises.at_risk:
            # The market that the world shows is a thinned one: what a bracket's alarm does meets a price of now.
            self._touch(*self.venue.touch)
        if self._alive:
            self._give(record(TIMER, now_ns=self.now_ns + self._clock_off))
            self.promises.protected(reachable=self._reachable)
        self._later(self.now_ns + (5 if busy else 20) * S, "timer", None)

    def _on_reconcile(self, _: Any) -> None:
        if self._answered:
            self._reconcile()
        self._later(self.now_ns + 60 * S, "reconcile", None)

    def _reconcile(self) -> None:
        self._tick()
        sent = self.outcome.orders
        plan = self.engine.reconcile(self.venue)
        self.outcome.events += len(plan.events)
        # Only a loss of power makes us forget what was sent; a request of that life may still have been on its way.
        if self.now_ns - self._power_ns > 300 * S:
            self.promises.expect(not plan.foreign, "no orphan at the venue", f"{[o.id_order for o in plan.foreign]}")
        self.promises.always()
        # The evidence may have led to a new order: it is looked at the next time.
        if not plan.waiting and not self._flying and sent == self.outcome.orders:
            self.promises.settled()

    # ----------------------------------------------------------------------------------------------------- the network
    def _fly(self, what: str, payload: Any) -> bool:
        """Send one message: it comes, comes twice, comes late, or does not come. Whether it will be seen as it is."""
        number = self.outcome.messages
        self.outcome.messages += 1
        fate = self.fates.of(number)
        delay = self._network.latency_ns()
        if fate == LOST or self.now_ns < self._down_until:
            return False
        if fate == THROTTLED and what == "place":
            self._flying += 1
            self._later(self.now_ns + delay, "throttled", payload)
            return False
        for copy in range(2 if fate == TWICE else 1):
            late = (2 + 6 * self._network.uniform()) * S if fate == LATE else 0
            self._flying += 1
            self._later(self.now_ns + delay + int(late) + copy * delay, what, payload)
        return True

    def _wire(self, kind: int, ask: Ask, sent_ns: int) -> None:
        """What the engine sends passes here, and so do the checkers of what it may send."""
        if kind == PLACE:
            self.outcome.orders += 1
            self.promises.placing(ask)
            self._sent.add(ask.id_order)
            if not self._fly("place", (ask, sent_ns)):
                self.promises.arrived(ask.id_order)
        elif kind == AMEND:
            self._fly("amend", ask)
        elif kind == CANCEL_ALL:
            self._fly("cancel_all", None)
        else:
            self._fly("cancel" if kind == CANCEL else "query", ask.id_order)

    def _on_place(self, payload: Any) -> None:
        self._flying -= 1
        ask, sent_ns = payload
        self.promises.arrived(ask.id_order)
        self.venue.place(ask, sent_ns=sent_ns, now_ns=self.now_ns)
        self.promises.no_id_twice()

    def _on_amend(self, ask: Ask) -> None:
        self._flying -= 1
        self.venue.amend(ask.id_order, px_ticks=ask.px_ticks, qty_lots=ask.qty_lots, now_ns=self.now_ns)

    def _on_cancel(self, id_order: int) -> None:
        self._flying -= 1
        self.venue.take_away(id_order, self.now_ns)

    def _on_cancel_all(self, _: Any) -> None:
        self._flying -= 1
        self.venue.take_all_away(self.now_ns)

    def _on_query(self, id_order: int) -> None:
        self._flying -= 1
        if id_order:
            self.venue.query(id_order, self.now_ns)
        elif self.now_ns >= self.venue.banned_until_ns:
            # Not about an order: a plan wants to hear what is held.
            self._updates += 1
            words = (self.venue.lots, 0, 0, 0, self._updates)
            self._fly("report", (int(Kind.KIND_POSITION), words, 0, self.now_ns))

    def _on_throttled(self, payload: Any) -> None:
        """429: the request was not taken, and the answer says so."""
        self._flying -= 1
        if self._alive and self.now_ns >= self._down_until:
            self._give(make_report(
                Kind.KIND_ORDER_REJECTED, id_order=payload[0].id_order, symbol=0, sell=payload[0].sell,
                now_ns=self.now_ns,
            ))  # fmt: skip

    def _on_venue(
        self, kind: int, order: Resting, now_ns: int, *, px_ticks: int, qty_lots: int = 0, id_venue: int = 0
    ) -> None:
        if kind == FILL:
            self.outcome.fills += 1
        words = (order.id_order, px_ticks, qty_lots, order.filled_lots, id_venue)
        self._fly("report", (int(kind), words, SELL if order.sell else 0, now_ns))

    def _on_report(self, payload: Any) -> None:
        self._flying -= 1
        if self._alive and self.now_ns >= self._down_until:
            kind, words, flags, at = payload
            self._give(record(kind, *words, now_ns=self.now_ns + self._clock_off, flags=flags, ts_venue_ns=at))

    # ------------------------------------------------------------------------------------------------------ the faults
    def _on_fault(self, fault: Fault) -> None:
        if fault.kind in (KILL, POWER, TEAR, FLIP):
            if self._alive:
                self._death = DEATHS[fault.number % len(DEATHS)] if fault.kind == KILL else "after the send"
                self._dying = fault
        elif fault.kind == CUT:
            self._down_until = max(self._down_until, self.now_ns + (1 + fault.number % 60) * S)
            self._later(self._down_until, "reconnect", None)
        elif fault.kind == HALT:
            self.venue.halted = True
            self._later(self.now_ns + (30 + fault.number % 300) * S, "resume", None)
        elif fault.kind == BAN:
            self.venue.banned_until_ns = self.now_ns + (30 + fault.number % 120) * S
        elif fault.kind == CLOCK:
            self._clock_off = (fault.number % 4001 - 2000) * 1_000_000
            self._later(self.now_ns + 120 * S, "clock_well", None)
        elif fault.kind == DISK_FULL and self._alive:
            self.promises.disk_full = True
            self.engine.disk(0)
            self._later(self.now_ns + 300 * S, "disk_well", None)
        elif fault.kind == SNAPSHOT and self._alive:
            self.engine.snapshot()
        elif fault.kind == LATCH and self._alive:
            self._give(record(Kind.KIND_CONTROL, 1, now_ns=self.now_ns))
            self.promises.latched = True

    def _on_reconnect(self, _: Any) -> None:
        if self._answered:
            self._reconcile()

    def _on_resume(self, _: Any) -> None:
        self.venue.halted = False

    def _on_clock_well(self, _: Any) -> None:
        self._clock_off = 0

    def _on_disk_well(self, _: Any) -> None:
        self.promises.disk_full = False
        self.engine.disk(1 << 40)

    # ------------------------------------------------------------------------------------------------------- the end
    def _settle_down(self, end: int) -> None:
        """The faults end; within minutes everything must agree, and every session must replay to its bytes."""
        self.now_ns = end
        self.fates.over = True
        self._down_until, self.venue.halted, self.venue.banned_until_ns, self._death = 0, False, 0, ""
        self._clock_off = 0
        for until in range(end + 180 * S, end + 300 * S, 10 * S):
            while self._queue and self._queue[0][0] <= until:
                self._pop()
            self.now_ns = until
            self._tick()
            self.promises.expect(self._alive, "a process that died comes back", "")
            plan = self.engine.reconcile(self.venue)
            # What the evidence decides may lead to a request: that has to arrive, too.
            if not plan.events and not self._flying:
                break
        self.promises.expect(not plan.waiting, "everything is settled in the end", f"{plan.rows}")
        self.promises.settled()
        self.promises.no_id_twice()
        self.promises.sound()
        live = self.engine.core.world.state_hash()
        assert self.engine.writer is not None
        self.engine.writer.close()
        self.engine.writer = None
        try:
            done = replay_session(self.engine.core, find_session(self.engine.root))
        except (ReplayDiverged, JournalError) as error:
            self.promises.expect(False, "the tape replays to the same bytes", str(error))
        else:
            self.promises.expect(done.state_hash == live, "the tape replays to the same state", done.state_hash)

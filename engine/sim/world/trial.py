"""One run of the world under one seed: time, messages and faults in one queue, checkers after every event.

Everything that happens is a function of (seed, hours, faults, muted messages). A checker that finds a break raises
WorldFoundBreak, which says which promise, when, and after which event.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine._core.step import Core
from engine._core.types import Flag, Kind
from engine.errors import JournalError, RecoveryRefused, ReplayDiverged, WorldFoundBreak
from engine.journal.compare import glance, live_orders
from engine.journal.layout import find_session, read_session
from engine.journal.reader import open_session
from engine.journal.reconcile import report as make_report
from engine.journal.replay import replay_session
from engine.journal.show import text
from engine.sim.distributions import Chances
from engine.sim.market import FlowMarket, FlowSymbol
from engine.sim.world.engine import CANCEL, FILL, PLACE, QUERY, Death, Engine, Setup, record
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
    TEAR,
    THROTTLED,
    TWICE,
    Fates,
    Fault,
    Rates,
    S,
    schedule,
)  # fmt: skip
from engine.sim.world.venue import Venue

START_NS = 1_700_000_000 * S
FLOW_PACE = 60  # so that ten hours see every regime
BLOCK, HEAD, PER_BLOCK = 4096, 320, 59
QUOTE, WHOLE = int(Kind.KIND_QUOTE), int(Flag.FLAG_FIRST | Flag.FLAG_LAST)


@dataclass
class Outcome:
    seed: int
    hours: float
    events: int = 0
    orders: int = 0
    fills: int = 0
    lives: int = 1
    refused: int = 0  # damaged journals that were refused, as they must be
    messages: int = 0
    failure: str = ""
    checker: str = ""
    at_ns: int = 0
    faults: list[Fault] = field(default_factory=list)
    fated: list[int] = field(default_factory=list)
    last: list[str] = field(default_factory=list)


class Trial:
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
        self.gap_ns = quote_gap_s * S
        self.now_ns = START_NS
        self.engine = engine(core, root, seed=seed, send=self._wire)
        self.venue = Venue(seed, self._on_venue)
        self.outcome = Outcome(seed, hours, faults=self.faults)
        self._network = Chances(f"{seed} network")
        self._queue: list[tuple[int, int, str, Any]] = []
        self._order = itertools.count()
        self._flying = 0
        self._down_until = 0  # connection
        self._dead_until = 0  # process
        self._clock_off = 0
        self._latched = False
        self._sent: set[int] = set()  # by this life of the process
        self._disk_full = False
        self._death = ""
        self._power_ns = 0
        self._last: deque[Any] = deque(maxlen=12)
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
        for now, bid, ask in self._market(end):
            while self._queue and self._queue[0][0] <= now:
                self._pop()
            self.now_ns = now
            self._quote(bid, ask)
        self._settle_down(end)

    def _later(self, at_ns: int, what: str, payload: Any) -> None:
        heapq.heappush(self._queue, (at_ns, next(self._order), what, payload))

    def _pop(self) -> None:
        self.now_ns, _, what, payload = heapq.heappop(self._queue)
        getattr(self, "_on_" + what)(payload)

    def _tick(self) -> None:
        self.engine.now_ns = self.now_ns + self._clock_off

    def _market(self, end: int) -> Any:
        return self._walk(end) if self.setup.market == "walk" else self._flow(end)

    def _flow(self, end: int) -> Any:
        """The touch of fitted order flow, seen as often as the walk's; each stretch begins where the price began."""
        at, gap, stretches = START_NS, int(self.gap_ns), itertools.count(self.seed * 1_000_003)
        start = self.setup.px_ticks
        while at < end:
            symbol = FlowSymbol("BTCUSDT", start, 10**6, 10**5, 10 * start, 10**9)
            market = FlowMarket([symbol], seed=next(stretches), start_ns=at, pace=FLOW_PACE, depth=False)
            bid = start
            # No price leaves the instrument's range in a long run: beyond a tenth the market opens anew.
            while at < end and abs(bid - start) < start // 10:
                events = market.stretch()
                quotes = events[events["kind"] == QUOTE]
                times = quotes["ts_recv_ns"]
                shown = np.flatnonzero(np.diff(times // gap, append=-1))
                for i in shown.tolist():
                    if times[i] >= end:
                        return
                    bid = int(quotes["word"][i, 0])
                    yield int(times[i]), bid, int(quotes["word"][i, 2])
                at = market.end_ns

    def _walk(self, end: int) -> Any:
        """The touch, a seeded walk; in chunks, so that a thousand hours need no memory."""
        rng = np.random.default_rng(self.seed)
        at, bid = START_NS, self.setup.px_ticks
        while at < end:
            times = at + np.cumsum(rng.exponential(self.gap_ns, 4096).astype(np.int64) + 1)
            # Pulled back to where it began, so that no price leaves the instrument's range in a long run.
            steps = rng.choice([-2, -1, 0, 1, 2], 4096)
            spread = rng.choice([1, 1, 2, 3], 4096)
            for now, step, wide in zip(times.tolist(), steps.tolist(), spread.tolist(), strict=True):
                if now >= end:
                    return
                bid += step - (bid > self.setup.px_ticks + 500) + (bid < self.setup.px_ticks - 500)
                yield now, bid, bid + wide
            at = int(times[-1])

    # ------------------------------------------------------------------------------------------------------ the engine
    @property
    def _alive(self) -> bool:
        return self.engine.writer is not None

    def _give(self, event: Any) -> None:
        """One event to the engine, which may die of it; then every checker that holds at all times."""
        self._tick()
        self.outcome.events += 1
        self._last.append(event)
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
        self._always()

    def _quote(self, bid: int, ask: int) -> None:
        self.venue.move(bid, ask, self.now_ns)
        if not self._alive or self.venue.halted or self.now_ns < self._down_until:
            return
        now = self.now_ns
        self._give(record(QUOTE, bid, 100, ask, 100, now_ns=now + self._clock_off, flags=WHOLE, ts_venue_ns=now))

    def _on_timer(self, _: Any) -> None:
        busy = False
        if self._alive:
            busy = glance(self.engine.core.world, 0)[3] > 0
            self._give(record(Kind.KIND_TIMER, now_ns=self.now_ns + self._clock_off))
        self._later(self.now_ns + (5 if busy else 20) * S, "timer", None)

    def _on_reconcile(self, _: Any) -> None:
        if self._alive and self.now_ns >= self._down_until and self.now_ns >= self.venue.banned_until_ns:
            self._reconcile()
        self._later(self.now_ns + 60 * S, "reconcile", None)

    def _reconcile(self) -> None:
        self._tick()
        plan = self.engine.reconcile(self.venue)
        self.outcome.events += len(plan.events)
        # Only a loss of power makes us forget what was sent; a request of that life may still have been on its way.
        if self.now_ns - self._power_ns > 300 * S:
            self._expect(not plan.foreign, "no orphan at the venue", f"{[o.id_order for o in plan.foreign]}")
        self._always()
        if not plan.waiting and not self._flying:
            self._settled()

    # ----------------------------------------------------------------------------------------------------- the network
    def _fly(self, what: str, payload: Any) -> None:
        """Send one message: it comes, comes twice, comes late, or does not come."""
        number = self.outcome.messages
        self.outcome.messages += 1
        fate = self.fates.of(number)
        delay = self._network.latency_ns()
        if fate == LOST or self.now_ns < self._down_until:
            return
        if fate == THROTTLED and what == "place":
            self._flying += 1
            self._later(self.now_ns + delay, "throttled", payload)
            return
        for copy in range(2 if fate == TWICE else 1):
            late = (2 + 6 * self._network.uniform()) * S if fate == LATE else 0
            self._flying += 1
            self._later(self.now_ns + delay + int(late) + copy * delay, what, payload)

    def _wire(self, kind: int, id_order: int, sell: bool, px_ticks: int, qty_lots: int, sent_ns: int) -> None:
        """What the engine sends passes here, and so do the checkers of what it may send."""
        if kind == PLACE:
            self.outcome.orders += 1
            self._expect(not self._latched, "silence after the latch", f"order {id_order} was sent")
            self._expect(not self._disk_full, "no order that cannot be recorded", f"order {id_order} was sent")
            worst = self.venue.worst_lots(sell) + (-qty_lots if sell else qty_lots)
            value = abs(worst) * px_ticks * self.setup.unit_value
            self._expect(
                value <= self.setup.exposure_max * 1.02, "exposure within its limit",
                f"{value:,} with order {id_order}, {self.setup.exposure_max:,} allowed",
            )  # fmt: skip
            self._sent.add(id_order)
            self._fly("place", (id_order, sell, px_ticks, qty_lots, sent_ns))
        elif kind == CANCEL:
            self._fly("cancel", id_order)
        elif kind == QUERY:
            self._fly("query", id_order)

    def _on_place(self, payload: Any) -> None:
        self._flying -= 1
        id_order, sell, px, qty, sent = payload
        self.venue.place(id_order, sell=sell, px_ticks=px, qty_lots=qty, sent_ns=sent, now_ns=self.now_ns)
        self._expect(not self.venue.reused, "no client id twice", f"order {self.venue.reused}")

    def _on_cancel(self, id_order: int) -> None:
        self._flying -= 1
        self.venue.take_away(id_order, self.now_ns)

    def _on_query(self, id_order: int) -> None:
        self._flying -= 1
        self.venue.query(id_order, self.now_ns)

    def _on_throttled(self, payload: Any) -> None:
        """429: the request was not taken, and the answer says so."""
        self._flying -= 1
        if self._alive and self.now_ns >= self._down_until:
            self._give(make_report(
                Kind.KIND_ORDER_REJECTED, id_order=payload[0], symbol=0, sell=payload[1], now_ns=self.now_ns,
            ))  # fmt: skip

    def _on_venue(self, kind: int, order: Any, now_ns: int, *, qty_lots: int = 0, id_venue: int = 0) -> None:
        if kind == FILL:
            self.outcome.fills += 1
        words = (order.id_order, order.px_ticks, qty_lots, order.filled_lots, id_venue)
        self._fly("report", (int(kind), words, int(Flag.FLAG_SELL) if order.sell else 0, now_ns))

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
            self._disk_full = True
            self.engine.disk(0)
            self._later(self.now_ns + 300 * S, "disk_well", None)
        elif fault.kind == SNAPSHOT and self._alive:
            self.engine.snapshot()
        elif fault.kind == LATCH and self._alive:
            self._give(record(Kind.KIND_CONTROL, 1, now_ns=self.now_ns))
            self._latched = True

    def _on_reconnect(self, _: Any) -> None:
        if self._alive and self.now_ns >= self._down_until and self.now_ns >= self.venue.banned_until_ns:
            self._reconcile()

    def _on_resume(self, _: Any) -> None:
        self.venue.halted = False

    def _on_clock_well(self, _: Any) -> None:
        self._clock_off = 0

    def _on_disk_well(self, _: Any) -> None:
        self._disk_full = False
        self.engine.disk(1 << 40)

    _dying: Fault = Fault(0, KILL, 0)

    def _down(self, _: Any) -> None:
        """The process has died; the disk keeps what this kind of death leaves."""
        fault = self._dying
        durable, count = self.engine.tape.durable, self.engine.tape.count
        tape_path = self.engine.session_path()
        self.engine.die()
        self._recorded(tape_path)
        if fault.kind == POWER:
            # Another boot: the pages that were only in memory are gone.
            self._power_ns = self.now_ns
            self.engine.boot = f"boot {self.outcome.lives:<11}".encode()
            _lose_pages(tape_path, durable, count, fault.number)
        elif fault.kind == TEAR:
            _tear(tape_path, count, fault.number)
        elif fault.kind == FLIP:
            self._flipped(tape_path, count, fault.number)
        self._later(self.now_ns + (6 + fault.number % 60) * S, "revive", None)

    def _recorded(self, path: Path) -> None:
        """Whatever was sent by the life that has just ended is in the page cache."""
        rows = open_session(read_session(path), boot=self.engine.boot, chain=False).records()
        missing = self._sent - {int(x) for x in rows["word"][rows["kind"] == PLACE, 0]}
        self._expect(not missing, "what was sent is recorded", f"{sorted(missing)}")
        self._sent.clear()

    def _flipped(self, path: Path, count: int, number: int) -> None:
        """A bit of a record turns: the journal must refuse by name. Then the file comes back from its copy."""
        spot = _spot(path, number % max(1, count), 64)
        if spot is None:
            return
        file, at = spot
        at += number % 64
        before = _poke(file, at, None)
        _poke(file, at, bytes([before ^ 1 << number % 8]))
        last = number % max(1, count) == count - 1
        try:
            self._tick()
            self.engine.revive(self.venue)
        except JournalError as error:
            self.outcome.refused += 1
            self._expect(file.name in str(error), "damage is named", str(error))
        except RecoveryRefused as error:
            self._expect(False, "damage is found by its sum", str(error))
        else:
            # The very last record may be half written: that is cut, and the venue is asked.
            self._expect(last, "damage is refused", f"record {number % max(1, count)} of {count}")
            self._revived()
            return
        _poke(file, at, bytes([before]))

    def _on_revive(self, _: Any) -> None:
        if self._alive:
            return
        if self.now_ns < self._down_until or self.now_ns < self.venue.banned_until_ns:
            self._later(max(self._down_until, self.venue.banned_until_ns) + S, "revive", None)
            return
        self._tick()
        try:
            self.engine.revive(self.venue)
        except (JournalError, RecoveryRefused, ReplayDiverged) as error:
            self._expect(False, "a process that died can be recovered", str(error))
        self._revived()

    def _revived(self) -> None:
        self.outcome.lives += 1
        self.engine.forget_old_sessions()
        self._always()
        world = self.engine.core.world
        before = {int(o["id_order"]) for o in live_orders(world)}
        plan = self.engine.reconcile(self.venue)
        self._expect(not plan.events, "recovery reaches a fixed point", f"{[r.action for r in plan.rows]}")
        self._expect({int(o["id_order"]) for o in live_orders(world)} == before, "recovery reaches a fixed point", "")
        if not plan.waiting:
            self._settled()

    # ---------------------------------------------------------------------------------------------------- the checkers
    def _expect(self, holds: bool, checker: str, detail: str) -> None:
        if not holds:
            self.outcome.checker = checker
            self.outcome.last = [text(event) for event in self._last]
            raise WorldFoundBreak(
                f"{checker}: {detail}; seed {self.seed}, event {self.outcome.events:,}, "
                f"{(self.now_ns - START_NS) / S:.3f} s."
            )

    def _always(self) -> None:
        """What holds after every event."""
        lots, bought, sold, _ = glance(self.engine.core.world, 0)
        if lots != bought - sold:
            self._expect(False, "position = sum of fills", f"{lots}, {bought} bought, {sold} sold")
        if self.outcome.events % 64 == 0:
            try:
                self.engine.core.world.check()
            except (AssertionError, ValueError, ArithmeticError) as error:
                self._expect(False, "the ledger balances", str(error))

    def _settled(self) -> None:
        """What holds when the venue was asked and no message is on its way."""
        world = self.engine.core.world
        lots = glance(world, 0)[0]
        self._expect(lots == self.venue.lots, "position = the venue's fills", f"{lots} here, {self.venue.lots} there")
        here = {int(o["id_order"]): int(o["filled_lots"]) for o in live_orders(world)}
        there = {o.id_order: o.filled_lots for o in self.venue.open.values()}
        self._expect(not there.keys() - here.keys(), "no orphan at the venue", f"{sorted(there.keys() - here.keys())}")
        self._expect(not here.keys() - there.keys(), "no ghost in the table", f"{sorted(here.keys() - there.keys())}")
        self._expect(here == there, "filled quantities agree", f"{here} / {there}")

    def _settle_down(self, end: int) -> None:
        """The faults end; within two minutes everything must agree, and every session must replay to its bytes."""
        self.now_ns = end
        self.fates.over = True
        self._down_until, self.venue.halted, self.venue.banned_until_ns, self._death = 0, False, 0, ""
        self._clock_off = 0
        while self._queue and self._queue[0][0] <= end + 180 * S:
            self._pop()
        self.now_ns = end + 181 * S
        self._tick()
        self._expect(self._alive, "a process that died comes back", "")
        plan = self.engine.reconcile(self.venue)
        self._expect(not plan.waiting, "everything is settled in the end", f"{plan.rows}")
        self._settled()
        self._expect(not self.venue.reused, "no client id twice", f"{self.venue.reused}")
        self.engine.core.world.check()
        live = self.engine.core.world.state_hash()
        assert self.engine.writer is not None
        self.engine.writer.close()
        self.engine.writer = None
        try:
            done = replay_session(self.engine.core, find_session(self.engine.root))
        except (ReplayDiverged, JournalError) as error:
            self._expect(False, "the tape replays to the same bytes", str(error))
        else:
            self._expect(done.state_hash == live, "the tape replays to the same state", done.state_hash)


# ------------------------------------------------------------------------------------------------- what deaths leave
def _spot(path: Path, record_number: int, size: int) -> tuple[Path, int] | None:
    """File and offset of a record of a session."""
    for file in sorted((path / "segments").glob("*.b4t")):
        data = file.read_bytes()
        first = int.from_bytes(data[128:136], "little")
        room = (len(data) // BLOCK - 1) * PER_BLOCK
        if data[140:144] != bytes(4) and first <= record_number < first + room:
            block, slot = divmod(record_number - first, PER_BLOCK)
            at = BLOCK * (1 + block) + HEAD + 64 * slot
            return (file, at) if at + size <= len(data) else None
    return None


def _poke(file: Path, at: int, data: bytes | None) -> int:
    """Change bytes of a file; returns the first byte that stood there."""
    with file.open("r+b") as out:
        out.seek(at)
        before = out.read(1)[0]
        if data is not None:
            out.seek(at)
            out.write(data)
    return before


def _tear(path: Path, count: int, number: int) -> None:
    """The first bytes of a record that was being written."""
    spot = _spot(path, count, 64)
    if spot is not None:
        _poke(*spot, bytes([2] * (1 + number % 63)))


def _lose_pages(path: Path, durable: int, count: int, number: int) -> None:
    """Power: of the pages that were not written, some are on the disk and some are not, in any order."""
    for index, start in enumerate(range(durable - durable % PER_BLOCK, count, PER_BLOCK)):
        if (number >> index % 30) & 1 and start >= durable:
            continue
        for record_number in range(max(start, durable), min(start + PER_BLOCK, count)):
            spot = _spot(path, record_number, 64)
            if spot is not None:
                file, at = spot
                _poke(file, at, bytes(64))
                slot = (at % BLOCK - HEAD) // 64
                _poke(file, at - at % BLOCK + 84 + 4 * slot, bytes(4))

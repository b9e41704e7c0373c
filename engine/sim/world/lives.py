"""Where one life of the engine ends and the next begins: what death leaves on the disk, what recovery makes of it.

Half of a trial, whose state it works on. Owns: the damage, the recovery, the checkers of both. Does not own: when a
process dies, and the network that it comes back to (trial.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import JournalError, RecoveryRefused, ReplayDiverged
from engine.journal.compare import live_orders
from engine.journal.layout import read_session
from engine.journal.reader import open_session
from engine.sim.world.disk import lose_pages, poke, spot_of, tear
from engine.sim.world.engine import Engine
from engine.sim.world.faults import FLIP, KILL, POWER, TEAR, Fault, S
from engine.sim.world.outcome import Outcome
from engine.sim.world.promises import Promises
from engine.sim.world.venue import Venue
from engine.sim.world.wire import PLACE


class Lives:
    """The half of a trial in which a process dies and another one is started."""

    engine: Engine
    venue: Venue
    outcome: Outcome
    promises: Promises
    now_ns: int
    _sent: set[int]
    _down_until: int
    _power_ns: int
    _dying: Fault = Fault(0, KILL, 0)

    _queue: list[tuple[int, int, str, Any]]
    _order: Iterator[int]
    _clock_off: int

    def _later(self, at_ns: int, what: str, payload: Any) -> None:
        """Have something happen at its time; what falls on one moment happens in the order that it was asked for."""
        heapq.heappush(self._queue, (at_ns, next(self._order), what, payload))

    def _tick(self) -> None:
        self.engine.now_ns = self.now_ns + self._clock_off

    @property
    def _alive(self) -> bool:
        return self.engine.writer is not None

    def _down(self, _: Any) -> None:
        """The process has died; the disk keeps what this kind of death leaves."""
        fault = self._dying
        durable, count = self.engine.tape.durable, self.engine.tape.count
        tape_path = self.engine.session_path()
        self.engine.die()
        self.promises.forget()
        self._recorded(tape_path)
        if fault.kind == POWER:
            # Another boot: the pages that were only in memory are gone.
            self._power_ns = self.now_ns
            self.engine.boot = f"boot {self.outcome.lives:<11}".encode()
            lose_pages(tape_path, durable, count, fault.number)
        elif fault.kind == TEAR:
            tear(tape_path, count, fault.number)
        elif fault.kind == FLIP:
            self._flipped(tape_path, count, fault.number)
        self._later(self.now_ns + (6 + fault.number % 60) * S, "revive", None)

    def _recorded(self, path: Path) -> None:
        """Whatever was sent by the life that has just ended is in the page cache."""
        rows = open_session(read_session(path), boot=self.engine.boot, chain=False).records()
        missing = self._sent - {int(x) for x in rows["word"][rows["kind"] == PLACE, 0]}
        self.promises.expect(not missing, "what was sent is recorded", f"{sorted(missing)}")
        self._sent.clear()

    def _flipped(self, path: Path, count: int, number: int) -> None:
        """A bit of a record turns: the journal must refuse by name. Then the file comes back from its copy."""
        spot = spot_of(path, number % max(1, count), 64)
        if spot is None:
            return
        file, at = spot
        at += number % 64
        before = poke(file, at, None)
        poke(file, at, bytes([before ^ 1 << number % 8]))
        last = number % max(1, count) == count - 1
        try:
            self._tick()
            self.engine.revive(self.venue)
        except JournalError as error:
            self.outcome.refused += 1
            self.promises.expect(file.name in str(error), "damage is named", str(error))
        except RecoveryRefused as error:
            self.promises.expect(False, "damage is found by its sum", str(error))
        else:
            # The very last record may be half written: that is cut, and the venue is asked.
            self.promises.expect(last, "damage is refused", f"record {number % max(1, count)} of {count}")
            self._revived()
            return
        poke(file, at, bytes([before]))

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
            self.promises.expect(False, "a process that died can be recovered", str(error))
        self._revived()

    def _revived(self) -> None:
        self.outcome.lives += 1
        self.engine.forget_old_sessions()
        self.promises.always()
        world = self.engine.core.world
        before = {int(o["id_order"]) for o in live_orders(world)}
        plan = self.engine.reconcile(self.venue)
        self.promises.expect(not plan.events, "recovery reaches a fixed point", f"{[r.action for r in plan.rows]}")
        self.promises.expect(
            {int(o["id_order"]) for o in live_orders(world)} == before, "recovery reaches a fixed point", ""
        )
        if not plan.waiting:
            self.promises.settled()

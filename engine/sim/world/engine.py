"""The engine as the world runs it: the real core, the real journal, the real recovery; only the loop around is short.

What the live loop does is here in its order - input to the tape, step, outputs to the tape, send - with the places
where a process can die between them. A life ends with `die`, the next begins with `revive`, which is `recover` and
`JournalWriter` as the live engine calls them. Each defence is one small method, so that a test can take it away.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine._core.step import Core
from engine.journal.breaks import Tolerances
from engine.journal.compare import epoch_of, feed, live_orders, made
from engine.journal.layout import find_session
from engine.journal.port import VenuePort, look
from engine.journal.reconcile import Plan, settle
from engine.journal.recovery import Recovered, recover
from engine.journal.snapshot import write_snapshot
from engine.journal.writer import NO_NEW_ORDERS, JournalConfig, JournalWriter
from engine.sim.world.wire import FILL, PLACE, REJECTED, SELL, Ask, intents, record

TURN_EACH = 16  # events between two turns of the journal's thread


class Death(Exception):  # noqa: N818  (an end, not an error)
    """The process is gone; nothing behind this line of it was done."""


@dataclass(frozen=True)
class Setup:
    """What is certified: a core with its strategies, as it stands before its first event."""

    name: str
    make_core: Callable[[], Core]
    exposure_max: int  # quote units that the worst case of the position may reach
    unit_value: int  # quote units of one tick x one lot
    px_ticks: int = 50_000
    market: str = "walk"  # or "flow": order flow fitted to recordings, its regimes sixty times as fast


class Engine:
    def __init__(self, core: Core, root: Path, *, seed: int, send: Callable[[int, Ask, int], None]) -> None:
        self.core, self.root, self.seed = core, root, seed
        self.now_ns = 0
        self.boot = b"first boot      "
        self.tolerances = Tolerances()
        self.config = JournalConfig(segment_bytes=1 << 18, disk_free_bytes=1, compress=False, disk_cap_bytes=1 << 40)
        self.booked: set[tuple[int, bool, int]] = set()
        self.acknowledged = 0
        self.disk_free = 1 << 40
        self.writer: JournalWriter | None = None
        self._send = send
        self._events = 0

    # ------------------------------------------------------------------------------------------------------- one life
    def begin(self, image: bytes) -> None:
        self.core.world.load(image)
        self.writer = self._write(epoch=epoch_of(self.core.world))

    def _write(self, *, epoch: int, **more: Any) -> JournalWriter:
        return JournalWriter(
            self.root, self.config, seed=self.seed, now_ns=lambda: self.now_ns, epoch=epoch, world=self.core.world,
            boot=self.boot, free_bytes=lambda: self.disk_free, **more,
        )  # fmt: skip

    @property
    def tape(self) -> Any:
        assert self.writer is not None
        return self.writer.tape

    def handle(self, event: Any, death: str = "") -> None:
        """One event, from the tape to the wire."""
        if death:
            self._handle_dying(event, death)
        else:
            feed(self.core, self.tape, event)
            self._dispatch(made(self.core))
        self._events += 1
        if self._events % TURN_EACH == 0:
            self.turn()

    def _handle_dying(self, event: Any, death: str) -> None:
        if death == "before the input":
            raise Death
        self.tape.append(event)
        if death == "after the input":
            raise Death
        self._record_and_send(self.core.step(event)[1], death)
        raise Death

    def _record_and_send(self, outputs: Any, death: str) -> None:
        if death == "before the outputs":
            raise Death
        self.tape.append(outputs)
        if death == "before the send":
            raise Death
        self._dispatch(outputs.tobytes())

    def _dispatch(self, data: bytes) -> None:
        """Send what is to be sent; it is on the tape."""
        for kind, now_ns, ask in intents(data) if data else ():
            if kind == PLACE and not self.may_send():
                # It never left, so its end is certain.
                self.handle(record(REJECTED, ask.id_order, now_ns=now_ns, flags=SELL if ask.sell else 0))
                continue
            self._send(kind, ask, self.now_ns)

    def may_send(self) -> bool:
        """Nothing new goes out while the journal is not well."""
        assert self.writer is not None
        return not self.writer.health & NO_NEW_ORDERS

    def on_report(self, event: Any) -> None:
        """A report of the venue: noted, so that its trade is not asked for again, and handled."""
        if event["kind"][0] == FILL:
            self.book(event)
        self.handle(event)

    def book(self, event: Any) -> bool:
        """Whether this fill is news."""
        key = (0, bool(event["flags"][0] & SELL), int(event["word"][0, 4]))
        new = key not in self.booked
        self.booked.add(key)
        return new

    def turn(self) -> None:
        """What the journal's thread does every few milliseconds."""
        assert self.writer is not None
        self.writer.tape.turn()
        if self.writer.tape.needs_segment or self.writer.tape.closed_waits:
            self.writer.turn()

    def disk(self, free: int) -> None:
        """The simulated disk's room has changed, and the journal's thread looks."""
        self.disk_free = free
        if self.writer is not None:
            self.writer.watch_disk()

    def snapshot(self) -> None:
        assert self.writer is not None
        write_snapshot(self.writer.session, self.core.world, record_number=self.tape.count)

    def reconcile(self, port: VenuePort) -> Plan:
        """On a timer and after each reconnect: what the venue's books decide."""
        live = live_orders(self.core.world)
        view = look(port, trades_since=self.acknowledged, ask=[int(x) for x in live["id_order"]])
        plan = settle(live, view, self.booked, now_ns=self.now_ns, tolerances=self.tolerances)
        for event in plan.events:
            self.on_report(event)
        self.sweep(plan, port)
        for trade in view.trades:
            self.acknowledged = trade.id_trade
        return plan

    def sweep(self, plan: Plan, port: VenuePort) -> None:
        """Open orders that nobody here knows are ended."""
        for order in plan.foreign:
            port.cancel(order)

    # -------------------------------------------------------------------------------------------------- its end, again
    def die(self) -> None:
        """Nothing is ended in order: memory goes, the page cache stays, the lock is the kernel's to give back."""
        assert self.writer is not None
        os.close(self.writer._lock)
        self.writer._closed = True
        self.writer = None

    def revive(self, port: VenuePort) -> Recovered:
        found = recover(self.root, self.core, port, now_ns=self.now_ns, tolerances=self.tolerances, boot=self.boot)
        self.booked, self.acknowledged = set(found.booked), found.trades_acknowledged
        self.writer = self._write(
            epoch=found.next_epoch, previous=found.session, previous_count=found.records, meta=found.meta()
        )
        for event in found.plan.events:
            self.on_report(event)
        return found

    def forget_old_sessions(self, keep: int = 2) -> None:
        """Retention, in a world that lives a thousand hours."""
        for path in sorted(self.root.glob("s-[0-9]*"))[:-keep]:
            for file in sorted(path.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            path.rmdir()

    def session_path(self) -> Path:
        return find_session(self.root).path

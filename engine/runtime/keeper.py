"""What a running session does for its record beside writing it: snapshots on a timer, and what is old goes.

A snapshot costs the core one copy of its world; summing and writing it is another thread's. The sweep over older
sessions, once at the start and then daily, is a thread of its own too. Trouble is kept for the status, not raised.
"""

from __future__ import annotations

import threading

from engine._core.clock import monotonic_ns, utc_ns
from engine._core.world import World
from engine.errors import Bot4Error
from engine.journal.layout import sessions
from engine.journal.segments import Retention, retain
from engine.journal.snapshot import Snapshotter
from engine.journal.writer import JournalWriter
from engine.settings.schema import Settings

DAY_NS = 86_400 * 10**9


class Keeper:
    def __init__(self, writer: JournalWriter, world: World, settings: Settings) -> None:
        self._writer, self._world = writer, world
        self._policy = Retention(
            market_days=settings.journal.retention_days, audit_days=settings.journal.retention_orders_days
        )
        self._snapshots = Snapshotter(writer.session, world, keep=settings.snapshot.keep)
        self._every_ns = settings.snapshot.interval_s * 10**9
        self._snapshot_due_ns = monotonic_ns() + self._every_ns
        self._sweep_due_ns = 0
        self._writing: threading.Thread | None = None
        self._sweeping: threading.Thread | None = None
        self.done: list[str] = []  # what the sweeps did, in words

    def turn(self, now_ns: int) -> None:
        """Between two events. `now_ns` is monotonic."""
        if now_ns >= self._snapshot_due_ns:
            self._snapshot_due_ns = now_ns + self._every_ns
            self._writing = self._snapshots.take(self._writer.tape.count) or self._writing
        if now_ns >= self._sweep_due_ns:
            self._sweep_due_ns = now_ns + DAY_NS
            self._sweeping = threading.Thread(target=self._sweep, name="retention", daemon=True)
            self._sweeping.start()

    @property
    def problem(self) -> str:
        return str(self._snapshots.problem or "")

    def close(self) -> None:
        """The world at the end: the next session begins here and steps through nothing."""
        for thread in (self._writing, self._sweeping):
            if thread is not None:
                thread.join()
        self._writer.snapshot(self._world)

    def _sweep(self) -> None:
        for session in sessions(self._writer.root):
            if session.path != self._writer.session.path:
                try:
                    self.done += retain(session, utc_ns(), self._policy)
                except (OSError, Bot4Error) as error:
                    self.done.append(f"{session.path.name}: {error}")

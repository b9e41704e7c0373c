"""Writes a session: makes segments ahead of the appender, closes them behind it, watches the disk.

The core's thread appends to `writer.tape` (C-level: `tape_append`, `tape_commit`), which never waits and never asks
the system for anything. One thread here turns every few milliseconds: it chains, writes to the disk, makes the next
segment and closes the last; a second one compresses what was closed. Trouble is a bit in `writer.health`, which the
loop reads before it lets an order out; nothing is raised from a thread into a trade.

Without `start()` no thread runs and the owner calls `turn()` itself: the simulator and the tests do.
"""

from __future__ import annotations

import fcntl
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from engine._core.tape import Health, Mode, Segment, Tape
from engine.errors import JournalError, SessionLocked
from engine.journal.layout import (
    FORMAT,
    SEGMENT,
    Session,
    SessionFile,
    boot_id,
    read_session,
    session_id,
    sessions,
    sync_directory,
    write_session,
)  # fmt: skip
from engine.journal.segments import compress, used_bytes
from engine.journal.snapshot import write_snapshot

MODES = {"off": Mode.TAPE_SYNC_OFF, "group": Mode.TAPE_SYNC_GROUP, "each": Mode.TAPE_SYNC_EACH}
NO_NEW_ORDERS = int(
    Health.HEALTH_DISK_LOW | Health.HEALTH_CAP | Health.HEALTH_SYNC_FAILED | Health.HEALTH_NO_SEGMENT
    | Health.HEALTH_REFUSED
)  # fmt: skip
HEALTH_TEXT = {
    Health.HEALTH_DISK_LOW: "the disk is nearly full",
    Health.HEALTH_CAP: "the journal has nearly used its share of the disk",
    Health.HEALTH_SYNC_FAILED: "the disk refused a write",
    Health.HEALTH_NO_SEGMENT: "the next segment could not be made",
    Health.HEALTH_REFUSED: "a record found no room",
}


@dataclass(frozen=True, kw_only=True)
class JournalConfig:
    sync: str = "group"  # off | group | each
    group_ms: float = 5.0
    segment_bytes: int = 64 << 20
    segment_age_s: float = 3600.0
    disk_cap_bytes: int = 20 << 30
    disk_free_bytes: int = 2 << 30  # below it: no new orders
    compress: bool = True
    compress_level: int = 3
    klass: str = "session"  # session | market

    def __post_init__(self) -> None:
        if self.sync not in MODES:
            raise ValueError(f"sync={self.sync!r}: one of {', '.join(MODES)}")
        if not 0.1 <= self.group_ms <= 10_000:
            raise ValueError(f"group_ms={self.group_ms}: from 0.1 to 10,000")
        if self.segment_bytes < 8192:
            raise ValueError(f"segment_bytes={self.segment_bytes}: at least 8192")
        # The journal stands in the way of new orders while there is still room for two whole segments.
        if self.disk_cap_bytes < 4 * self.segment_bytes:
            raise ValueError(f"disk_cap_bytes={self.disk_cap_bytes}: at least four segments")


class JournalWriter:
    """One session of a journal, open for writing. Made before anything is traded; closed after everything."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        config: JournalConfig | None = None,
        *,
        seed: int,
        now_ns: Callable[[], int],
        epoch: int = 1,
        world: Any = None,
        previous: Session | None = None,
        previous_count: int = 0,
        meta: dict[str, Any] | None = None,
        boot: bytes | None = None,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self.root = Path(root)
        self.config = config or JournalConfig()
        self.now_ns = now_ns
        self.seed, self.epoch = seed, epoch
        self.boot = boot_id() if boot is None else boot
        self.problem: BaseException | None = None
        self._free_bytes = free_bytes or self._ask_the_disk
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._finished: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        self.session = self._begin(previous, previous_count, meta or {})
        if world is not None:
            write_snapshot(self.session, world, record_number=0)
        blocks = self.config.segment_bytes // 4096 - 1
        self._blocks, self._number = blocks, 0
        self.tape = Tape(self.session.segments_path, segment=self._make(), mode=int(MODES[self.config.sync]))
        # Last: a session without its file never began, so a crash before here leaves nothing to recover.
        write_session(self.session.path, self._file)
        self.session = read_session(self.session.path)
        self.turn()

    def _take_lock(self) -> int:
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise SessionLocked(f"{self.root}.") from error
        return handle

    def _begin(self, previous: Session | None, previous_count: int, meta: dict[str, Any]) -> Session:
        taken = [session.path.name for session in sessions(self.root)]
        number = 1 + max((int(name[2:]) for name in taken), default=0)
        path = self.root / f"s-{number:06d}"
        if path.is_dir():
            # Begun by a process that died before it wrote session.json: nothing was ever appended there.
            for file in sorted(path.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
        for folder in (path, path / "segments", path / "snapshots"):
            folder.mkdir(exist_ok=True)
        created = self.now_ns()
        name = session_id(number, self.seed, self.epoch, created, self.boot)
        self._file = SessionFile(
            format=FORMAT, session=name.hex(), number=number, seed=self.seed, epoch=self.epoch, created_ns=created,
            boot=self.boot.hex(), klass=self.config.klass, previous=previous.path.name if previous else "",
            previous_count=previous_count, meta=meta,
        )  # fmt: skip
        sync_directory(self.root)
        return Session(path, self._file)

    def _make(self) -> Segment:
        path = self.session.segments_path / f"{self._number:06d}{SEGMENT}"
        segment = Segment(
            path, blocks=self._blocks, number=self._number, epoch=self.epoch, ts_created_ns=self.now_ns(),
            klass=int(self.config.klass == "market"), session=bytes.fromhex(self._file.session), boot=self.boot,
        )  # fmt: skip
        segment.touch(256)
        segment.sync()
        sync_directory(path.parent)
        self._number += 1
        return segment

    # -------------------------------------------------------------------------------------------- the journal's thread
    def start(self) -> None:
        """Run the turns, and the compression, in threads of their own."""
        for name, body in (("journal", self._run), ("journal-archive", self._archive)):
            thread = threading.Thread(target=body, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        period_ns = int(self.config.group_ms * 1e6)
        turns = max(1, 10**9 // period_ns)
        try:
            while not self._closed:
                self.tape.run(period_ns, turns)
                self._serve()
        except (OSError, JournalError) as error:
            self._failed(error)

    def _archive(self) -> None:
        while (path := self._finished.get()) is not None:
            self._compress(path)

    def turn(self) -> None:
        """One turn by hand, with everything that the threads would do."""
        self.tape.turn()
        self._serve()
        if not self._threads:
            while not self._finished.empty():
                path = self._finished.get()
                if path is not None:
                    self._compress(path)

    def _serve(self) -> None:
        if self.tape.closed_waits:
            self._finished.put(Path(self.tape.take()))
        if self.tape.needs_segment:
            try:
                self.tape.offer(self._make())
                self.tape.set_health(Health.HEALTH_NO_SEGMENT, False)
            except OSError as error:
                self._failed(error)
        used, first_ns, last_ns = self.tape.current_used
        if used and last_ns - first_ns > self.config.segment_age_s * 1e9:
            self.tape.rotate()
        self.watch_disk()

    def watch_disk(self) -> None:
        """Say "nearly full" while there is still room to end everything in order."""
        self.tape.set_health(Health.HEALTH_DISK_LOW, self._free_bytes() < self.config.disk_free_bytes)
        reserve = 2 * self.config.segment_bytes
        self.tape.set_health(Health.HEALTH_CAP, used_bytes(self.root) > self.config.disk_cap_bytes - reserve)

    def _ask_the_disk(self) -> int:
        disk = os.statvfs(self.root)
        return disk.f_bavail * disk.f_frsize

    def _compress(self, path: Path) -> None:
        if not self.config.compress:
            return
        try:
            compress(path, level=self.config.compress_level)
        except (OSError, JournalError) as error:
            # The plain segment stays and is as good; only the disk fills faster.
            self.problem = error

    def _failed(self, error: BaseException) -> None:
        self.problem = error
        self.tape.set_health(Health.HEALTH_NO_SEGMENT, True)

    # ------------------------------------------------------------------------------------------------ what others read
    @property
    def health(self) -> int:
        """A word of Health bits; 0 is well. Any bit of NO_NEW_ORDERS means: cancels and reductions only."""
        return self.tape.health

    def health_text(self) -> str:
        found = [text for bit, text in HEALTH_TEXT.items() if self.health & bit]
        return "; ".join(found) + (f" ({self.problem})" if self.problem else "") if found else "well"

    def snapshot(self, world: Any) -> Path:
        """Keep the world as it is now, at this record. Between two events only."""
        return write_snapshot(self.session, world, record_number=self.tape.count)

    def close(self) -> None:
        """End the session in order: everything on the disk, the last segment closed. Twice is fine."""
        if self._closed:
            return
        self._closed = True
        self.tape.stop()
        if self._threads:
            self._threads[0].join()
        try:
            if self.tape.turn():
                self._finished.put(Path(self.tape.take()))
            self.tape.close()
        finally:
            self._finished.put(None)
            for thread in self._threads[1:]:
                thread.join()
            if not self._threads:
                self._archive()
            self._drop_unused()
            os.close(self._lock)

    def _drop_unused(self) -> None:
        """The segment that was made ahead and never entered."""
        plain = sorted(self.session.segments_path.glob(f"*{SEGMENT}"))
        last = self.session.segments_path / f"{self._number - 1:06d}{SEGMENT}"
        with last.open("rb") as file:
            file.seek(140)
            if file.read(4) == bytes(4) and last in plain:
                last.unlink()

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

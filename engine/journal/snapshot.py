"""The world, kept between two events: copied, summed and written by whoever may block.

`Snapshotter.copy` is all that the core waits for: one memcpy of a small world into memory that was taken and touched at
start; of a large one no more than its pages' right to be written to (cow.pyx). `write` - the rest of the copy, sum,
file, fsync, rename, fsync of the directory - belongs to another thread. A snapshot cut short at any byte does not
exist; one that was changed afterwards does not load.

    128 bytes   magic, version, size, record number, events stepped, session, BLAKE2b-256 of the world, CRC-32C
    then the world, as it stood in memory
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine._core.checksum import blake2b, crc32c
from engine.errors import SnapshotBad, SnapshotMissing
from engine.journal.cow import PageCopy
from engine.journal.layout import SNAPSHOT, Session, write_whole

MAGIC, VERSION = b"B4SNAP01", 1
PAGES_FROM = 4 << 20  # bytes; what is smaller is copied in half a millisecond
HEAD = struct.Struct("<8sIIQQ16s32s44sI")


@dataclass(frozen=True)
class Snapshot:
    """A loaded snapshot: the world before the record of this number."""

    path: Path
    record_number: int
    event_count: int
    image: bytes
    digest: bytes


class Snapshotter:
    """Takes snapshots of one world while it runs, and keeps the last few."""

    def __init__(self, session: Session, world: Any, *, keep: int = 3) -> None:
        self.session, self.keep = session, keep
        self._world = np.frombuffer(world, np.uint8)
        self._counted = world
        # Touched here, so that the copy meets no page fault.
        self._copy = np.ones(self._world.size, np.uint8)
        self._pages = PageCopy(world, self._copy) if self._world.size >= PAGES_FROM else None
        self._taken: tuple[int, int] | None = None
        self._writing = threading.Lock()
        self.problem: OSError | None = None
        self.skipped_count = 0

    def copy(self, record_number: int) -> bool:
        """Between two events. False, and counted, when the last copy is still being written."""
        if not self._writing.acquire(blocking=False):
            self.skipped_count += 1
            return False
        if self._pages is None:
            np.copyto(self._copy, self._world)
        else:
            self._pages.begin()
        self._taken = (record_number, int(self._counted.event_count))
        return True

    def write(self) -> Path:
        """Write what was copied; in a thread that may block."""
        if self._taken is None:
            raise SnapshotMissing("Nothing was copied.")
        try:
            number, events = self._taken
            if self._pages is not None:
                self._pages.finish()
            path = _write(self.session, self._copy.data, number, events)
            prune(self.session, self.keep)
            return path
        finally:
            self._taken = None
            self._writing.release()

    def take(self, record_number: int) -> threading.Thread | None:
        """Copy now, write behind."""
        if not self.copy(record_number):
            return None
        thread = threading.Thread(target=self._write_behind, name="snapshot", daemon=True)
        thread.start()
        return thread

    def _write_behind(self) -> None:
        try:
            self.write()
        except OSError as error:
            self.problem = error


def _write(session: Session, image: Any, record_number: int, event_count: int) -> Path:
    view = memoryview(image).cast("B")
    head = HEAD.pack(
        MAGIC, VERSION, 0, len(view), record_number, session.session_id, blake2b(view),
        struct.pack("<Q", event_count).ljust(44, b"\0"), 0,
    )  # fmt: skip
    head = head[:-4] + struct.pack("<I", crc32c(head[:-4]))
    path = session.snapshots_path / f"{record_number:012d}{SNAPSHOT}"
    write_whole(path, head + bytes(view))
    return path


def write_snapshot(session: Session, world: Any, *, record_number: int) -> Path:
    """Copy and write at once: at the start and the end of a session."""
    return _write(session, world, record_number, int(world.event_count))


def read_snapshot(session: Session, path: Path) -> Snapshot:
    data = path.read_bytes()
    if len(data) < HEAD.size:
        raise SnapshotBad(f"{path}: {len(data)} bytes.")
    magic, version, _, size, number, name, digest, rest, crc = HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION or crc32c(data[: HEAD.size - 4]) != crc:
        raise SnapshotBad(f"{path}: its header is damaged or of another version.")
    if name != session.session_id:
        raise SnapshotBad(f"{path}: it belongs to another session.")
    image = data[HEAD.size :]
    if len(image) != size or blake2b(image) != digest:
        raise SnapshotBad(f"{path}: {len(image):,} of {size:,} bytes, or one of them changed.")
    return Snapshot(path, number, struct.unpack_from("<Q", rest)[0], image, digest)


def latest(session: Session, *, at_most: int | None = None) -> tuple[Snapshot, list[str]]:
    """The newest snapshot that loads and that the journal reaches, and what was wrong with newer ones."""
    problems = []
    for path in reversed(session.snapshots()):
        try:
            found = read_snapshot(session, path)
        except SnapshotBad as error:
            problems.append(str(error))
            continue
        if at_most is not None and found.record_number > at_most:
            # Under `off` and `group` a snapshot may be on the disk before the records that led to it.
            problems.append(f"{path}: of record {found.record_number}, and the journal ends at {at_most}.")
            continue
        return found, problems
    raise SnapshotMissing(f"{session.path}. {' '.join(problems)}".strip())


def prune(session: Session, keep: int) -> None:
    """Keep the newest, and the first: from that one the whole session replays."""
    for path in session.snapshots()[1:-keep]:
        path.unlink()

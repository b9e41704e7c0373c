"""Reads a session: every segment held against its sums, its chain and its neighbours, and what is wrong said in words.

One rule decides between a torn end, which is cut, and damage, which is refused. The journal ends at its first record
that does not count. Behind that:

    nothing, or one half-written record     a process died here: cut
    more, before the last durable mark      the disk had it and lost it: damage
    more, after the mark, machine restarted power went before the pages were written, in any order: cut
    more, after the mark, same boot         the page cache does not lose pages: damage
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.tape import ScanView, header, records, scan
from engine._core.types import Status
from engine.errors import ArchiveBad, JournalChain, JournalCorrupt
from engine.journal.layout import Session, boot_id
from engine.journal.segments import image

BLOCK, PER_BLOCK = 4096, 59
RESTORE = "restore this file from a copy"
CUT = "`bot4 journal cut` keeps what is before it, with the damaged file set aside; then recovery asks the venue"


@dataclass(frozen=True)
class Damage:
    """Where a journal is not what was written, and what can be done."""

    file: Path
    block: int
    record: int  # number in the session
    what: str
    remedy: str
    chain: bool = False

    def text(self) -> str:
        return f"{self.file}, block {self.block}, record {self.record:,}: {self.what}. What can be done: {self.remedy}."


@dataclass
class Part:
    """One segment, read."""

    path: Path
    image: npt.NDArray[np.uint8]
    first_record: int
    count: int


@dataclass
class Opened:
    """A session's records as far as they are good."""

    session: Session
    parts: list[Part] = field(default_factory=list)
    count: int = 0
    torn: str = ""  # what was cut at the end, or nothing
    damage: Damage | None = None
    chained_blocks: int = 0

    def must_be_sound(self) -> Opened:
        if self.damage is not None:
            raise (JournalChain if self.damage.chain else JournalCorrupt)(self.damage.text())
        return self

    def slices(self, first: int = 0, count: int | None = None) -> Iterator[npt.NDArray[Any]]:
        """EVENT arrays, one a segment, of the records from `first` on."""
        end = self.count if count is None else min(self.count, first + count)
        for part in self.parts:
            low, high = max(first, part.first_record), min(end, part.first_record + part.count)
            if low < high:
                yield records(part.image, low - part.first_record, high - low)

    def records(self, first: int = 0, count: int | None = None) -> npt.NDArray[Any]:
        parts = list(self.slices(first, count))
        return np.concatenate(parts) if parts else records(np.zeros(BLOCK, np.uint8), 0, 0)


def open_session(session: Session, *, boot: bytes | None = None, chain: bool = True) -> Opened:
    """Read every segment. Damage is noted, not raised: `must_be_sound` raises."""
    here = boot_id() if boot is None else boot
    out = Opened(session)
    paths = session.segments()
    check, running = 0, bytes(32)
    for index, path in enumerate(paths):
        try:
            data = image(path)
        except ArchiveBad as error:
            out.damage = Damage(path, 0, out.count, str(error.detail), RESTORE)
            return out
        found = scan(data, chain=chain)
        problem = _out_of_place(session, path, index, data, found, out.count, check, running, chain)
        if problem:
            out.damage = problem
            return out
        if not found.good:
            if found.dirty or any(len(image(later)) >= BLOCK and scan(image(later), chain=False).good
                                  for later in paths[index + 1 :]):  # fmt: skip
                _end(out, path, data, found, here, later=True)
            return out
        out.parts.append(Part(path, data, found.first_record, found.good))
        out.count = found.first_record + found.good
        out.chained_blocks += found.chained
        check, running = found.check, found.chain
        followed = index + 1 < len(paths) and _is_entered(paths[index + 1])
        if found.status != Status.OK or (followed and not _may_be_followed(data, found)):
            _end(out, path, data, found, here, later=followed)
            return out
    return out


def _is_entered(path: Path) -> bool:
    data = image(path)
    return len(data) >= 2 * BLOCK and bool(data[144 - 4 : 144].any())


def _may_be_followed(data: npt.NDArray[np.uint8], found: ScanView) -> bool:
    """A segment may be left before it is closed: full, or rotated by age with the closing still to come."""
    return header(data).closed or found.status == Status.OK


def _out_of_place(  # noqa: PLR0911  (one answer a line)
    session: Session, path: Path, index: int, data: npt.NDArray[np.uint8], found: ScanView, count: int, check: int,
    running: bytes, chain: bool,
) -> Damage | None:  # fmt: skip
    """What a segment's header says against what stands before it."""
    if len(data) < BLOCK or (found.status == Status.TAPE_CORRUPT and not found.good and found.first_record == 0
                             and not header(data).closed):  # fmt: skip
        if index and not np.asarray(data[:BLOCK]).any():
            return None  # made ahead when the power went; its header never reached the disk
        return Damage(path, 0, count, "its header is not one that this engine wrote", RESTORE)
    head = header(data)
    if session.file is not None and head.session != session.session_id:
        return Damage(path, 0, count, "it belongs to another session", RESTORE)
    if head.number != index:
        return Damage(path, 0, count, f"segment {index} is missing; this is number {head.number}", RESTORE)
    if not found.good:
        return None
    if found.first_record != count or head.check_before != check:
        return Damage(path, 0, count, f"it begins at record {found.first_record:,} and does not follow", RESTORE, True)
    if chain and any(head.chain_before) and any(running) and head.chain_before != running:
        return Damage(path, 0, count, "its chain does not follow the segment before it", RESTORE, True)
    return None


def _end(out: Opened, path: Path, data: npt.NDArray[np.uint8], found: ScanView, here: bytes, *, later: bool) -> None:
    """Judge what stands behind the last good record."""
    head = header(data)
    record = found.first_record + found.good
    block = found.good // PER_BLOCK
    if found.status == Status.TAPE_CHAIN:
        out.damage = Damage(path, block, record, "the block is not the one that was chained", RESTORE, True)
    elif head.closed:
        out.damage = Damage(path, block, record, "a closed segment has changed", RESTORE)
    elif record < found.mark:
        out.damage = Damage(
            path,
            block,
            record,
            f"it was on the disk (everything before {found.mark:,} was) and is gone",
            f"{RESTORE}, or {CUT}",
        )
    elif head.boot == here and (found.resumes or later):
        out.damage = Damage(path, block, record, "records stand behind one that is broken", f"{RESTORE}, or {CUT}")
    else:
        power = found.resumes or later
        out.torn = f"{path.name}: cut at record {record:,}; " + (
            "the power went before everything was written" if power else "the last record was half written"
        )

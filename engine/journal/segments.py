"""Closed segments: compressed, thinned and thrown away by the policy of their class; and how much disk that takes.

A closed segment is compressed with zstd beside itself, read back, and only then replaces the plain one. When its market
data is past its time, a segment is thinned: an archive keeps every record that is not market data, with the closing
chain of the segment it came from, and the segment goes. A thinned session no longer replays; it still says what was
ordered, filled, refused and why. The archive goes when the audit's time is over.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from backports import zstd

from engine._core.tape import header, records, scan
from engine._core.types import EVENT, Kind, Status
from engine.errors import ArchiveBad, JournalCorrupt
from engine.journal.layout import ARCHIVED, COMPRESSED, SEGMENT, Session, write_whole

DAY_NS = 86_400 * 10**9
ARCHIVE_MAGIC = b"B4AUDIT1"
MARKET_LAST = 63


@dataclass(frozen=True)
class Retention:
    """How long what is kept, from a segment's last record on."""

    market_days: int = 30
    audit_days: int = 7 * 366
    recorded_days: int = 30  # of `bot4 record`: market data alone


def image(path: Path) -> npt.NDArray[np.uint8]:
    """A segment's bytes, mapped or unpacked."""
    if path.name.endswith(COMPRESSED):
        try:
            return np.frombuffer(zstd.decompress(path.read_bytes()), np.uint8)
        except zstd.ZstdError as error:
            raise ArchiveBad(f"{path}: {error}") from error
    if path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, "r")


def compress(path: Path, *, level: int = 3) -> Path:
    """Replace a closed segment by its compressed form. Cut short at any point it leaves one of both, whole."""
    plain = path.read_bytes()
    packed = path.with_name(path.name + ".zst")
    write_whole(packed, zstd.compress(_used(plain), level))
    if scan(image(packed)).status != Status.OK:
        packed.unlink()
        raise ArchiveBad(f"{path}: what was compressed does not read back.")
    path.unlink()
    return packed


def _used(plain: bytes) -> bytes:
    """Without the blocks that a segment left early never used; the reader takes the file's size for the end."""
    found = scan(plain)
    if found.status != Status.OK or not header(plain).closed:
        raise JournalCorrupt("Only a whole, closed segment is compressed.")
    return plain[: 4096 * (1 + -(-found.good // 59))]


def thin(path: Path) -> Path:
    """Keep what is not market data, and the proof of what it was taken from. The segment goes."""
    data = image(path)
    head, found = header(data), scan(data)
    if found.status != Status.OK:
        raise JournalCorrupt(f"{path}: a damaged segment is kept as it is.")
    rows = records(data, 0, found.good)
    kept = rows["kind"] > MARKET_LAST
    numbers = (head.first_record + np.flatnonzero(kept)).astype("<u8")
    body = ARCHIVE_MAGIC + head.session + head.chain_before + found.chain
    body += np.array([head.number, head.first_record, found.good, len(numbers), found.ts_last_ns], "<u8").tobytes()
    body += numbers.tobytes() + rows[kept].tobytes()
    target = path.with_name(path.name.split(".")[0] + ARCHIVED)
    write_whole(target, zstd.compress(body, 9))
    path.unlink()
    return target


def read_archive(path: Path) -> tuple[npt.NDArray[np.uint64], npt.NDArray[Any], int]:
    """(numbers, records, time of the segment's last record) of a thinned segment."""
    try:
        body = zstd.decompress(path.read_bytes())
    except zstd.ZstdError as error:
        raise ArchiveBad(f"{path}: {error}") from error
    if body[:8] != ARCHIVE_MAGIC:
        raise ArchiveBad(f"{path}: not an archive of this version.")
    _, _, _, count, last_ns = (int(x) for x in np.frombuffer(body, "<u8", 5, 88))
    numbers = np.frombuffer(body, "<u8", count, 128)
    return numbers, np.frombuffer(body, EVENT, count, 128 + 8 * count), last_ns


def retain(session: Session, now_ns: int, policy: Retention, *, writing: bool = False) -> list[str]:
    """Apply the policy to one session; says what was done. The newest segment of a running session is never touched."""
    done = []
    recorded = session.file is not None and session.file.klass == "market"
    segments = session.segments()
    for path in segments[:-1] if writing else segments:
        if path.suffix == ".b4":
            continue
        data = image(path)
        if len(data) < 256 or not header(data).closed:
            continue
        age_days = (now_ns - scan(data, chain=False).ts_last_ns) // DAY_NS
        if recorded and age_days > policy.recorded_days:
            path.unlink()
            done.append(f"{path.name}: recorded market data of {age_days} days, deleted")
        elif not recorded and age_days > policy.market_days:
            done.append(f"{path.name}: market data of {age_days} days, kept as {thin(path).name}")
    for path in sorted(session.segments_path.glob(f"*{ARCHIVED}")):
        age_days = (now_ns - read_archive(path)[2]) // DAY_NS
        if age_days > policy.audit_days:
            path.unlink()
            done.append(f"{path.name}: audit records of {age_days} days, deleted")
    return done


def used_bytes(root: Path) -> int:
    """What a journal takes on the disk, preallocated space included."""
    # `os.walk` passes over a folder that vanishes under it; `_blocks` over a file.
    return 512 * sum(_blocks(Path(folder, name)) for folder, _, names in os.walk(root) for name in names)


def _blocks(file: Path) -> int:
    # The archive's thread puts a packed segment where a plain one was: a name that was listed may be gone by now, and
    # the journal's own thread, which asks at every turn, must not end over it.
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0
    return found.st_blocks if stat.S_ISREG(found.st_mode) else 0


def is_market(kind: int) -> bool:
    return Kind.KIND_NONE < kind <= MARKET_LAST


__all__ = [
    "SEGMENT", "Retention", "compress", "image", "is_market", "read_archive", "retain", "thin", "used_bytes",
]  # fmt: skip

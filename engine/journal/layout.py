"""Where a journal's files stand, and what they are called.

    journal/                     one per engine; `lock` is held while an engine writes
        s-000001/                one per start of the engine
            session.json         who wrote it: format, ids, seed, epoch, what it continues
            segments/            000000.b4t, 000001.b4t.zst, ...
            snapshots/           000000000000.b4w: the world before the event of that number

A restart begins a new session: its first snapshot is the recovered world. So every session replays from its own files,
and nothing is ever appended to a file that was open when something died.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from engine._core.checksum import blake2b
from engine.errors import SessionMissing

FORMAT = 1
SEGMENT, COMPRESSED, ARCHIVED, SNAPSHOT = ".b4t", ".b4t.zst", ".b4a.zst", ".b4w"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SessionFile(msgspec.Struct, frozen=True, kw_only=True):
    """What session.json holds."""

    format: int
    session: str
    number: int
    seed: int
    epoch: int
    created_ns: int
    boot: str
    klass: str = "session"
    previous: str = ""
    previous_count: int = 0
    meta: dict[str, Any] = {}


@dataclass(frozen=True)
class Session:
    """One session's directory."""

    path: Path
    file: SessionFile | None = field(default=None)

    @property
    def segments_path(self) -> Path:
        return self.path / "segments"

    @property
    def snapshots_path(self) -> Path:
        return self.path / "snapshots"

    @property
    def session_id(self) -> bytes:
        return bytes.fromhex(self.file.session) if self.file else bytes(16)

    def segments(self) -> list[Path]:
        """The segments in order; of one that is there twice (a compression that was cut short) the plain one."""
        single = self.path / "tape.b4"
        if single.is_file():
            return [single]
        found: dict[int, Path] = {}
        for path in sorted(self.segments_path.glob("*.b4*")) if self.segments_path.is_dir() else []:
            if path.name.endswith((SEGMENT, COMPRESSED)):
                number = int(path.name.split(".")[0])
                if number not in found or path.name.endswith(SEGMENT):
                    found[number] = path
        return [found[number] for number in sorted(found)]

    def snapshots(self) -> list[Path]:
        return sorted(self.snapshots_path.glob(f"*{SNAPSHOT}")) if self.snapshots_path.is_dir() else []


def boot_id() -> bytes:
    """Which start of the machine this is; zeros where the kernel does not say, which counts as always the same."""
    try:
        return bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def session_id(number: int, seed: int, epoch: int, created_ns: int, boot: bytes) -> bytes:
    """A name for a session: nothing is drawn, its circumstances are summed."""
    return blake2b(f"bot4 session {number} {seed} {epoch} {created_ns} {boot.hex()} {os.getpid()}".encode())[:16]


def read_session(path: Path) -> Session:
    if (path / "session.json").is_file():
        text = (path / "session.json").read_bytes()
        try:
            return Session(path, msgspec.json.decode(text, type=SessionFile))
        except msgspec.ValidationError:
            # One tape alone: the short form that single-segment drivers write.
            return Session(path)
    raise SessionMissing(f"{path} holds no session.json.")


def sessions(root: Path) -> list[Session]:
    """Every session of a journal, oldest first. One that died before its file was whole never began."""
    return [
        read_session(path)
        for path in sorted(root.glob("s-[0-9]*"))
        if path.is_dir() and (path / "session.json").is_file()
    ]


def last_epoch(root: Path) -> int:
    """Of every session that a journal holds; 0 where there is none."""
    found = sessions(root) if root.is_dir() else []
    return max((session.file.epoch for session in found if session.file is not None), default=0)


def find_session(path: Path) -> Session:
    """The session that a directory is, or the newest one in it."""
    if (path / "session.json").is_file():
        return read_session(path)
    found = sessions(path) if path.is_dir() else []
    if not found:
        raise SessionMissing(f"{path} is neither a session nor a journal.")
    return found[-1]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a loss of power."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temporary.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_session(path: Path, file: SessionFile) -> None:
    write_whole(path / "session.json", json.dumps(msgspec.to_builtins(file), indent=1).encode() + b"\n")

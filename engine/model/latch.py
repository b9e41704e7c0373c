"""Twin of the latch: a dictionary, and the file written and read with the standard library alone.

It is also the specification of the file: what a stranger's program must do to read it stands in `parse`.
"""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path

from engine import errors
from engine._core.types import Status

REASONS = (
    *("unknown", "switch", "tamper", "command", "signal", "drawdown", "daily-loss", "breaker-cascade"),
    *("journal-failure", "heartbeat-stall", "clock", "reader-disagreement", "equity-disagreement"),
    *("safety-exception", "file-bad", "disk", "unfinished"),
)
NOTE_SIZE = 128
FILE_SIZE = 4096


def render(first: str, record: dict[str, tuple[int, int]], note: str) -> bytes:
    lines = ["bot4-latch 1", "state tripped", f"first {first}"]
    lines += [f"reason {name} at_ns {record[name][0]} value {record[name][1]}" for name in REASONS if name in record]
    if note:
        lines.append(f"note {note}")
    body = "".join(line + "\n" for line in lines).encode("ascii")
    return body + f"crc32 {zlib.crc32(body):08x}\n".encode("ascii")


def parse(raw: bytes) -> tuple[str, dict[str, tuple[int, int]], str]:
    """First reason, all reasons with time and value, note. ValueError for anything `render` would not write."""
    lines = raw.decode("ascii").split("\n")
    first = lines[2].removeprefix("first ")
    record, note = {}, ""
    for line in lines[3:]:
        if line.startswith("reason "):
            _, name, _, at_ns, _, value = line.split(" ")
            record[name] = (int(at_ns), int(value))
        elif line.startswith("note "):
            note = line.removeprefix("note ")
    numbers_fit = all(0 < at_ns < 2**63 and -(2**63) <= value < 2**63 for at_ns, value in record.values())
    printable = len(note) <= NOTE_SIZE and all(" " <= c <= "~" for c in note)
    if first not in record or not set(record) <= set(REASONS) or not numbers_fit or not printable:
        raise ValueError("not a latch file of this version")
    if render(first, record, note) != raw:
        raise ValueError("the checksum or the form is wrong")
    return first, record, note


class Latch:
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._file = Path(self.path)
        self._known: dict[str, tuple[int, int]] = {}
        self.first: str | None = None
        self.note = ""
        self._stored: dict[str, tuple[int, int]] = {}
        self._stored_note = ""
        self.trip_count = 0
        self.failed_count = 0
        self.start_status = Status.OK
        self.start_detail = ""
        self._keep_bad = False
        self._closed = False
        if not self._file.name or len(os.fsencode(self._file.name)) > 59:
            raise ValueError(f"latch file name {self._file.name!r}: 1 to 59 bytes")
        if not self._file.parent.is_dir():
            self._start("disk", Status.LATCH_NOT_DURABLE, "no such directory")
            self._closed = True
            return
        self._load()
        if self._beside(".tmp").exists() or self._beside(".tmp").is_symlink():
            self._start("unfinished", Status.LATCH_TRIPPED, "a process died while it wrote its trip")
        self._probe()

    def _beside(self, suffix: str) -> Path:
        return self._file.with_name(self._file.name + suffix)

    def _start(self, reason: str, status: Status, detail: str) -> None:
        self.trip(reason, detail)
        if status > self.start_status or self.start_status == Status.OK:
            self.start_status, self.start_detail = status, detail

    def _load(self) -> None:
        try:
            if not stat.S_ISREG(os.lstat(self._file).st_mode):
                raise ValueError("not a regular file")
            self.first, self._known, self.note = parse(self._file.read_bytes()[: FILE_SIZE + 1])
        except FileNotFoundError:
            return
        except (OSError, ValueError, IndexError) as error:
            self._keep_bad = True
            self._start("file-bad", Status.LATCH_BAD_FILE, str(error))
        else:
            self._stored, self._stored_note = dict(self._known), self.note
            self.start_status = Status.LATCH_TRIPPED
            self.start_detail = f"tripped before: {', '.join(self.reasons)}"

    def _probe(self) -> None:
        try:
            self._write(self._beside(".new"), bytes(FILE_SIZE))
        except OSError as error:
            self._start("disk", Status.LATCH_NOT_DURABLE, str(error))
        self._beside(".new").unlink(missing_ok=True)

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        try:
            if os.write(fd, data) != len(data):
                raise OSError("short write")
            os.fsync(fd)
        finally:
            os.close(fd)

    def trip(self, reason: object, detail: object = "", *, value: object = 0, now_ns: object = None) -> bool:
        self.trip_count += 1
        name = reason if isinstance(reason, str) else None
        if isinstance(reason, int) and 0 <= reason < len(REASONS):
            name = REASONS[reason]
        if name not in REASONS or not isinstance(value, int) or not isinstance(now_ns, int | None):
            name, detail = "unknown", detail or repr(reason)
        text = str(detail)[:NOTE_SIZE]
        first = not self._known
        at_ns = now_ns if isinstance(now_ns, int) and now_ns > 0 else 1
        self._known.setdefault(name, (at_ns, value if isinstance(value, int) else 0))
        if first:
            self.first = name
        if not self.note:
            self.note = "".join(c if " " <= c <= "~" else "?" for c in text)
        return first

    def persist(self) -> None:
        if not self._known or (self._known == self._stored and self.note == self._stored_note):
            return
        assert self.first is not None
        try:
            if self._closed:
                raise OSError("closed")
            self._write(self._beside(".tmp"), render(self.first, self._known, self.note))
            if self._keep_bad and not self._beside(".bad").exists():
                os.link(self._file, self._beside(".bad"), follow_symlinks=False)
            self._keep_bad = False
            self._beside(".tmp").rename(self._file)
            directory = os.open(self._file.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            self.failed_count += 1
            self.trip("disk")
            raise errors.LatchNotDurable(str(error)) from error
        self._stored, self._stored_note = dict(self._known), self.note

    def require_clear(self) -> None:
        if self.tripped:
            by_status = {Status.LATCH_BAD_FILE: errors.LatchBadFile, Status.LATCH_NOT_DURABLE: errors.LatchNotDurable}
            raise by_status.get(self.start_status, errors.LatchTripped)(", ".join(self.reasons))

    @property
    def tripped(self) -> bool:
        return bool(self._known)

    @property
    def durable(self) -> bool:
        return bool(self._stored)

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(name for name in REASONS if name in self._known)

    @property
    def pending(self) -> tuple[str, ...]:
        return tuple(name for name in self.reasons if name not in self._stored)

    def record(self) -> tuple[tuple[str, int, int], ...]:
        return tuple((name, *self._known[name]) for name in self.reasons)

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> Latch:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def check(self) -> None:
        assert (self.first is None) == (not self._known)
        assert self.first is None or self.first in self._known
        assert set(self._stored) <= set(self._known)

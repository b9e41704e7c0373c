"""The audit: what was done, by whom and why, in a file that shows every later change.

One line per record: a compact JSON object, a tab, and the record's mark. The mark is an HMAC-SHA256, under a key that
is a credential of the service, over the mark before it and the object's bytes; so the records form one chain from the
first line of the first segment on. Files are only appended to; a full segment is closed and the next goes on from its
last mark.

The newest (number, mark) is the anchor. It is copied out after every durable write: to a file - best on
another machine's disk - and to the journal of systemd. The chain alone shows an edit, a deletion inside, a change of
order, a foreign record; the anchor shows what the chain cannot: that the end was cut off, or the whole audit replaced
by an older copy.

The claim is tamper-evident, not tamper-proof: who holds the key and every copy of the anchor can write a new past.

`append` returns when the record is durable and raises AuditWriteFailed when it is not: what must not happen
unrecorded calls it first. `note` only queues (order intents, denials); a thread writes the queue in groups, and a full
queue leaves a record that says how many are missing. A torn last line, left by a power cut, is cut off and recorded.

Cost: an append is one write and one fdatasync; a note 2 us; the key is used once a record.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine._core.clock import utc_ns
from engine.errors import AuditBadKey, AuditLocked, AuditTampered, AuditWriteFailed
from engine.settings.redact import REDACTOR

FIRST_MARK = "0" * 64
SEGMENT_BYTES = 64 << 20
KEY_BYTES_MIN = 32
JOURNAL_SOCKET = Path("/run/systemd/journal/socket")


class Kind(StrEnum):
    """What a record is about. A closed list: a reader must know all of them."""

    OPENED = "opened"  # the first record of an audit
    START = "start"
    STOP = "stop"
    TRIP = "trip"
    SEQUENCE = "sequence"  # one step of the sequence after a trip
    MODE = "mode"
    BREAKER = "breaker"  # a component stopped being called, or is tried again
    TIER = "tier"  # another capital tier is in force
    RESET = "reset"
    CONFIG = "config"
    KEY = "key"  # a credential was read or used
    DENIALS = "denials"  # a summary of what the gate refused
    INTENT = "intent"
    OUTCOME = "outcome"
    HUMAN = "human"
    APPROVAL = "approval"  # a person's word: asked for, given, used, refused, or not given in time
    DRILL = "drill"
    STALL = "stall"
    BOOKS = "books"  # our books and the venue's were compared, differ, agree again
    MISSING = "missing"  # notes that a full queue did not take
    TORN = "torn"  # a last line that a power cut left half written


@dataclass(frozen=True, slots=True)
class Entry:
    """What a caller says. Time, number and mark are added by the writer."""

    kind: Kind
    action: str
    trigger: str = ""
    rule: str = ""
    affected: str = ""
    actor: str = "engine"
    explanation: str = ""
    human: bool = False  # a person overrode or commanded
    data: Mapping[str, Any] = field(default_factory=dict)
    at_ns: int = 0  # 0: now


@dataclass(frozen=True, slots=True)
class Record:
    number: int
    at_ns: int
    entry: Entry
    mark: str
    place: str

    @property
    def audit_id(self) -> str:
        """What a person quotes: the number and the beginning of the mark, which no other audit shares."""
        return f"A{self.number}-{self.mark[:8]}"


@dataclass(frozen=True, slots=True)
class Anchor:
    number: int
    mark: str

    def text(self) -> str:
        return f"bot4-audit {self.number} {self.mark}\n"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """The last whole line of an anchor file."""
        words = text.rstrip("\n").rsplit("\n", 1)[-1].split(" ")
        if len(words) != 3 or words[0] != "bot4-audit" or not words[1].isdigit() or len(words[2]) != 64:
            raise ValueError("not an anchor")
        return cls(int(words[1]), words[2])


def checked_key(key: bytes) -> bytes:
    if len(key) < KEY_BYTES_MIN:
        raise AuditBadKey(f"{len(key)} bytes")
    return key


def mark_of(key: bytes, before: str, body: bytes) -> str:
    return hmac.new(key, before.encode() + b"\n" + body, hashlib.sha256).hexdigest()


def body_of(number: int, at_ns: int, entry: Entry) -> bytes:
    return json.dumps(
        {
            "n": number,
            "at_ns": at_ns,
            "kind": entry.kind.value,
            "action": entry.action,
            "trigger": entry.trigger,
            "rule": entry.rule,
            "affected": entry.affected,
            "actor": entry.actor,
            # What is kept for seven years and copied out holds no secret, whatever an error's text had in it.
            "explanation": REDACTOR.text(entry.explanation),
            "human": entry.human,
            "data": dict(entry.data),
        },
        separators=(",", ":"),
        ensure_ascii=True,
        default=str,
    ).encode()


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("audit-*.log"))


# ------------------------------------------------------------------------------------------------------------- reading
@dataclass(frozen=True, slots=True)
class Finding:
    place: str
    text: str


@dataclass
class Report:
    """What `verify` found."""

    records: int = 0
    findings: list[Finding] = field(default_factory=list)
    last: Anchor = Anchor(0, FIRST_MARK)
    torn: bytes = b""

    @property
    def whole(self) -> bool:
        return not self.findings


def read(directory: Path, key: bytes | None, report: Report) -> Iterator[Record]:
    """Every record in order. What is wrong goes into the report; without a key the marks are taken as they stand."""
    before, number = FIRST_MARK, 0
    files = segments(directory)
    for index, path in enumerate(files, 1):
        if path.name != f"audit-{index:08d}.log":
            report.findings.append(Finding(path.name, f"segment {index} is missing"))
        raw = path.read_bytes()
        lines = raw.split(b"\n")
        if lines[-1]:
            if path == files[-1]:
                report.torn = lines[-1]
            else:
                report.findings.append(Finding(path.name, "ends in the middle of a line"))
        for line_number, line in enumerate(lines[:-1], 1):
            place = f"{path.name}:{line_number}"
            body, tab, mark_raw = line.rpartition(b"\t")
            record = _parse(body, mark_raw, place) if tab else None
            if record is None:
                report.findings.append(Finding(place, "not a record"))
                continue
            if key is not None and not hmac.compare_digest(mark_of(key, before, body), record.mark):
                report.findings.append(Finding(place, f"the mark of record {record.number} does not fit: it was "
                                                      "changed, moved, or something before it is missing"))  # fmt: skip
            if record.number != number + 1:
                report.findings.append(Finding(place, f"record {record.number} follows record {number}"))
            before, number = record.mark, record.number
            report.records += 1
            report.last = Anchor(number, before)
            yield record


def _parse(body: bytes, mark_raw: bytes, place: str) -> Record | None:
    try:
        mark = mark_raw.decode("ascii")
        value = json.loads(body)
        entry = Entry(
            kind=Kind(value["kind"]),
            action=value["action"],
            trigger=value["trigger"],
            rule=value["rule"],
            affected=value["affected"],
            actor=value["actor"],
            explanation=value["explanation"],
            human=value["human"],
            data=value["data"],
        )
        return Record(int(value["n"]), int(value["at_ns"]), entry, mark, place) if len(mark) == 64 else None
    except (ValueError, KeyError, TypeError):
        return None


def verify(directory: Path, key: bytes, anchors: Iterable[Anchor] = ()) -> Report:
    """Walk the whole chain and hold every anchor against it. Nothing is written."""
    report = Report()
    marks = {record.number: record.mark for record in read(directory, checked_key(key), report)}
    if report.torn:
        report.findings.append(
            Finding(segments(directory)[-1].name, "the last line is torn: a power cut, or a cut file")
        )
    if not marks:
        report.findings.append(Finding(str(directory), "there is no audit"))
    for anchor in anchors:
        if anchor.number > report.last.number:
            missing = anchor.number - report.last.number
            report.findings.append(Finding("the end", f"an anchor knows record {anchor.number}: {missing} are cut off"))
        elif anchor.number and marks.get(anchor.number) != anchor.mark:
            report.findings.append(Finding(f"record {anchor.number}", "is not the one that the anchor knows: replaced"))
    return report


# ------------------------------------------------------------------------------------------------------------- writing
class Audit:
    """The one writer of a directory. Opening walks the last segment; a chain that does not hold is refused."""

    def __init__(
        self,
        directory: Path,
        key: bytes,
        *,
        anchor_files: Iterable[Path] = (),
        journal_socket: Path | None = JOURNAL_SOCKET,
        queue_max: int = 65_536,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._key = checked_key(key)
        self.directory = directory
        self._anchor_files = [directory / "anchor", *anchor_files]
        self._journal_socket = journal_socket
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._queue: deque[Entry] = deque()
        self._queue_max = queue_max
        self._missing = 0
        self._wake = threading.Event()
        self._closed = False
        self._broken = ""
        self.anchor_errors: list[str] = []
        self._file = -1
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(self._directory_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AuditLocked(str(directory)) from None
            self._open()
        except BaseException:
            os.close(self._directory_fd)
            raise
        self._thread = threading.Thread(target=self._write_notes, name="audit", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        report = Report()
        # The whole chain: an engine that starts on a changed audit would cover the change with its own records.
        for _ in read(self.directory, self._key, report):
            continue
        if report.findings:
            raise AuditTampered("; ".join(f"{f.place}: {f.text}" for f in report.findings[:3]))
        anchor = self._own_anchor()
        if anchor is not None and anchor.number > report.last.number:
            raise AuditTampered(
                f"{self._anchor_files[0]} knows record {anchor.number}, the last one is {report.last.number}"
            )
        self._last = report.last
        files = segments(self.directory)
        self._segment = max(1, len(files))
        self._open_segment()
        if report.torn:
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(report.torn))
            digest = hashlib.sha256(report.torn).hexdigest()
            self.append(
                Entry(
                    Kind.TORN,
                    "cut",
                    trigger="start",
                    rule="safety/audit",
                    affected="audit",
                    explanation=f"{len(report.torn)} bytes of a half written record",
                    data={"sha256": digest},
                )
            )
        if self._last.number == 0:
            self.append(
                Entry(
                    Kind.OPENED,
                    "open",
                    trigger="start",
                    rule="safety/audit",
                    affected="audit",
                    explanation="the first record",
                )
            )

    def _own_anchor(self) -> Anchor | None:
        try:
            return Anchor.parse(self._anchor_files[0].read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise AuditTampered(f"{self._anchor_files[0]}: {error}") from error

    def _open_segment(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        path = self.directory / f"audit-{self._segment:08d}.log"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.fsync(self._directory_fd)

    def append(self, entry: Entry) -> Record:
        """Write one record and everything queued before it; durable on return."""
        with self._lock:
            return self._write([*self._take(), entry])[-1]

    def note(self, entry: Entry) -> bool:
        """Queue one record; never blocks and never raises. False: the queue is full, and a record will say so."""
        if len(self._queue) >= self._queue_max:
            self._missing += 1
            return False
        self._queue.append(entry)
        self._wake.set()
        return True

    @property
    def last(self) -> Anchor:
        return self._last

    @property
    def healthy(self) -> bool:
        """Whether the last write reached the disk and no note was lost."""
        return not self._broken and not self._missing

    def _take(self) -> list[Entry]:
        entries = [self._queue.popleft() for _ in range(len(self._queue))]
        if self._missing:
            missing, self._missing = self._missing, 0
            text = f"{missing} notes did not fit into the queue"
            entries.append(
                Entry(Kind.MISSING, "lost", trigger="queue", rule="safety/audit", affected="audit", explanation=text,
                      data={"count": missing})
            )  # fmt: skip
        return entries

    def _write(self, entries: list[Entry]) -> list[Record]:
        if self._broken:
            raise AuditWriteFailed(self._broken)
        if self._closed:
            raise AuditWriteFailed("the audit is closed")
        records, text, last = [], bytearray(), self._last
        for entry in entries:
            number, at_ns = last.number + 1, entry.at_ns or utc_ns()
            body = body_of(number, at_ns, entry)
            last = Anchor(number, mark_of(self._key, last.mark, body))
            text += body + b"\t" + last.mark.encode() + b"\n"
            records.append(Record(number, at_ns, entry, last.mark, f"audit-{self._segment:08d}.log"))
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, text) != len(text):
                raise OSError("short write: the disk is full")
            os.fdatasync(self._file)
        except OSError as error:
            # Half a line would make the next record part of it. If even the cut fails, nothing is written any more.
            try:
                os.ftruncate(self._file, size)
            except OSError as second:
                self._broken = f"{error}, and the half line stays: {second}"
            raise AuditWriteFailed(str(error)) from error
        self._last = last
        self._copy_anchor()
        if size + len(text) >= self._segment_bytes:
            self._segment += 1
            self._open_segment()
        return records

    def _copy_anchor(self) -> None:
        """After the records are durable, so that an anchor never knows more than the file."""
        text = self._last.text()
        for path in self._anchor_files:
            try:
                temporary = path.with_name(path.name + ".new")
                temporary.write_text(text)
                temporary.replace(path)
            except OSError as error:
                self.anchor_errors = [*self.anchor_errors[-9:], f"{path}: {error}"]
        if self._journal_socket is not None and self._journal_socket.exists():
            fields = (
                f"MESSAGE={text.rstrip()}\nPRIORITY=5\nSYSLOG_IDENTIFIER=bot4-audit\n"
                f"BOT4_AUDIT_NUMBER={self._last.number}\nBOT4_AUDIT_MARK={self._last.mark}\n"
            )
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                    channel.setblocking(False)
                    channel.sendto(fields.encode(), str(self._journal_socket))
            except OSError as error:
                self.anchor_errors = [*self.anchor_errors[-9:], f"{self._journal_socket}: {error}"]

    def _write_notes(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                entries = self._take()
                if entries and not self._closed:
                    self._write_or_count(entries)

    def _write_or_count(self, entries: list[Entry]) -> None:
        try:
            self._write(entries)
        except AuditWriteFailed:
            # A later append says how many are missing, once the disk takes records again.
            self._missing += len(entries)

    def close(self) -> None:
        """Write what is queued and give the lock back. Twice is fine."""
        with self._lock:
            if self._closed:
                return
            entries = self._take()
            if entries:
                self._write_or_count(entries)
            self._closed = True
        self._wake.set()
        self._thread.join()
        os.close(self._file)
        os.close(self._directory_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

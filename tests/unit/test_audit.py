"""The audit: what was written is found again, and every way to change it is found out."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import AuditBadKey, AuditLocked, AuditTampered, AuditWriteFailed
from engine.safety.audit import Anchor, Audit, Entry, Kind, Report, read, segments, verify

KEY = bytes(range(32))
ENTRY = Entry(Kind.TRIP, "trip", trigger="switch", rule="6.2", affected="all", actor="pin 17", explanation="pressed")


def written(tmp_path, count=6, *, segment_bytes=1 << 20):
    with Audit(tmp_path / "audit", KEY, journal_socket=None, segment_bytes=segment_bytes) as audit:
        for n in range(count):
            audit.append(Entry(Kind.MODE, f"action {n}", data={"n": n}, at_ns=1000 + n))
        return audit.directory, audit.last


def lines_of(directory):
    (path,) = segments(directory)
    return path, path.read_bytes().split(b"\n")[:-1]


def records(directory):
    return list(read(directory, KEY, Report()))


def test_every_field_comes_back(tmp_path):
    with Audit(tmp_path / "audit", KEY, journal_socket=None) as audit:
        made = audit.append(
            Entry(
                **{
                    **{name: getattr(ENTRY, name) for name in ENTRY.__slots__},
                    "human": True,
                    "data": {"a": [1, "é"]},
                    "at_ns": 5,
                }
            )
        )
        assert made.audit_id.startswith("A2-")
    first, found = records(audit.directory)
    assert first.entry.kind == Kind.OPENED
    assert (found.at_ns, found.entry.kind, found.entry.trigger, found.entry.human) == (5, Kind.TRIP, "switch", True)
    assert (found.entry.data, found.mark) == ({"a": [1, "é"]}, made.mark)
    assert verify(audit.directory, KEY).whole


def test_the_next_run_goes_on_with_the_chain(tmp_path):
    directory, last = written(tmp_path)
    with Audit(directory, KEY, journal_socket=None) as audit:
        assert audit.last == last
        audit.append(ENTRY)
    report = verify(directory, KEY, [last])
    assert (report.whole, report.records) == (True, 8)


def test_a_full_segment_is_closed_and_the_chain_runs_through(tmp_path):
    directory, last = written(tmp_path, count=20, segment_bytes=700)
    assert len(segments(directory)) > 5
    assert verify(directory, KEY, [last]).whole
    with Audit(directory, KEY, journal_socket=None) as audit:
        audit.append(ENTRY)
    assert verify(directory, KEY).records == 22


# ------------------------------------------------------------------------------------------------------ every change
@settings(max_examples=int(40 * float(os.environ.get("BOT4_STRESS", "1"))))
@given(st.data())
def test_any_changed_byte_is_found(tmp_path_factory, data):
    directory, last = written(tmp_path_factory.mktemp("a"), count=3)
    path, _ = lines_of(directory)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    assert not verify(directory, KEY, [last]).whole


@pytest.mark.parametrize("gone", range(7))
def test_a_deleted_record_is_found_wherever_it_stood(gone, tmp_path):
    directory, last = written(tmp_path)
    path, lines = lines_of(directory)
    path.write_bytes(b"".join(line + b"\n" for i, line in enumerate(lines) if i != gone))
    assert not verify(directory, KEY, [last]).whole


@pytest.mark.parametrize("left", range(7))
def test_a_cut_end_is_found_by_the_anchor_alone(left, tmp_path):
    directory, last = written(tmp_path)
    path, lines = lines_of(directory)
    path.write_bytes(b"".join(line + b"\n" for line in lines[:left]))
    report = verify(directory, KEY, [last])
    assert any(f"{7 - left} are cut off" in finding.text for finding in report.findings)
    # The chain itself is whole: this is what the anchor is copied out for.
    assert verify(directory, KEY).whole or left == 0
    with pytest.raises(AuditTampered, match="knows record 7"):
        Audit(directory, KEY, journal_socket=None)


@pytest.mark.parametrize("at", range(6))
def test_changed_order_is_found(at, tmp_path):
    directory, last = written(tmp_path)
    path, lines = lines_of(directory)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert not verify(directory, KEY, [last]).whole


def test_a_repeated_record_is_found(tmp_path):
    directory, last = written(tmp_path)
    path, lines = lines_of(directory)
    path.write_bytes(b"".join(line + b"\n" for line in [*lines, lines[-1]]))
    assert not verify(directory, KEY, [last]).whole


def test_a_whole_audit_of_somebody_elses_is_found(tmp_path):
    directory, last = written(tmp_path)
    other = tmp_path / "other"
    with Audit(other, bytes(32), journal_socket=None) as audit:
        for _ in range(6):
            audit.append(ENTRY)
    lines_of(directory)[0].write_bytes(segments(other)[0].read_bytes())
    assert not verify(directory, KEY).whole
    # Even the key does not help against an anchor that was copied out.
    forged = tmp_path / "forged"
    with Audit(forged, KEY, journal_socket=None) as audit:
        for _ in range(6):
            audit.append(ENTRY)
    assert verify(forged, KEY).whole
    assert [f.text for f in verify(forged, KEY, [last]).findings] == ["is not the one that the anchor knows: replaced"]


def test_a_missing_segment_is_found(tmp_path):
    directory, last = written(tmp_path, count=20, segment_bytes=700)
    for path in segments(directory)[:-1]:
        kept = path.read_bytes()
        path.unlink()
        assert not verify(directory, KEY, [last]).whole
        path.write_bytes(kept)
    segments(directory)[-2].unlink()
    with pytest.raises(AuditTampered):
        Audit(directory, KEY, journal_socket=None)


def test_no_audit_at_all_is_a_finding(tmp_path):
    directory, last = written(tmp_path)
    lines_of(directory)[0].unlink()
    assert not verify(directory, KEY, [last]).whole
    assert not verify(directory, KEY).whole
    with pytest.raises(AuditTampered):
        Audit(directory, KEY, journal_socket=None)


def test_an_engine_does_not_start_on_a_changed_audit(tmp_path):
    directory, _ = written(tmp_path)
    path, _ = lines_of(directory)
    path.write_bytes(path.read_bytes().replace(b"action 3", b"action 9"))
    with pytest.raises(AuditTampered, match=r"audit-00000001\.log:5"):
        Audit(directory, KEY, journal_socket=None)


# ------ what goes wrong
@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_line_is_cut_off_and_recorded(cut, tmp_path):
    directory, _ = written(tmp_path)
    path, lines = lines_of(directory)
    # A power cut before the sync: the line never became durable, so no anchor knows it.
    half = lines[-1][:cut]
    with path.open("ab") as file:
        file.write(half)
    assert not verify(directory, KEY).whole
    with Audit(directory, KEY, journal_socket=None):
        pass
    report = verify(directory, KEY)
    assert (report.whole, report.records) == (True, 8)
    assert records(directory)[-1].entry.kind == Kind.TORN


def test_a_second_writer_is_refused(tmp_path):
    with Audit(tmp_path / "audit", KEY, journal_socket=None), pytest.raises(AuditLocked):
        Audit(tmp_path / "audit", KEY, journal_socket=None)


@pytest.mark.parametrize("key", [b"", b"short", bytes(31)])
def test_a_weak_key_is_refused(key, tmp_path):
    with pytest.raises(AuditBadKey):
        Audit(tmp_path / "audit", key)


FULL = """
import resource, signal, sys
from pathlib import Path
from engine.errors import AuditWriteFailed
from engine.safety.audit import Audit, Entry, Kind
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
audit = Audit(Path(sys.argv[1]), bytes(range(32)), journal_socket=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
refused = 0
for n in range(20):
    try:
        audit.append(Entry(Kind.MODE, f"action {n}"))
    except AuditWriteFailed:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
audit.append(Entry(Kind.MODE, "room again"))
audit.close()
sys.stdout.write(str(refused))
"""


@pytest.mark.parametrize("size", [600, 1500, 2000])
def test_a_full_disk_is_told_to_the_caller_and_leaves_no_half_record(size, tmp_path):
    """A real limit of the kernel on the size of a file: the write itself comes back short."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "audit"), str(size)], capture_output=True, text=True, check=True
    )
    refused = int(done.stdout)
    report = verify(tmp_path / "audit", KEY)
    assert refused > 10
    assert (report.whole, report.records) == (True, 22 - refused)
    assert records(tmp_path / "audit")[-1].entry.action == "room again"


KILLED = """
import sys
from pathlib import Path
from engine.safety.audit import Audit, Entry, Kind
audit = Audit(Path(sys.argv[1]), bytes(range(32)), journal_socket=None)
while True:
    record = audit.append(Entry(Kind.MODE, "action"))
    sys.stdout.write(f"{record.number}\\n")
    sys.stdout.flush()
"""


def test_after_a_kill_every_record_that_was_acknowledged_is_there(tmp_path):
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / "audit")], stdout=subprocess.PIPE, text=True
        )
        for _ in range(20):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split("\n")[:-1])])
        process.wait()
        process.stdout.close()
        with Audit(tmp_path / "audit", KEY, journal_socket=None) as audit:
            assert audit.last.number >= acknowledged
        assert verify(tmp_path / "audit", KEY).whole


# ------ notes, anchor
def test_notes_come_before_a_later_append_and_in_order(tmp_path):
    with Audit(tmp_path / "audit", KEY, journal_socket=None) as audit:
        for n in range(500):
            assert audit.note(Entry(Kind.INTENT, f"intent {n}"))
        audit.append(ENTRY)
    actions = [record.entry.action for record in records(audit.directory)]
    assert actions == ["open", *(f"intent {n}" for n in range(500)), "trip"]


def test_notes_of_many_threads_are_all_there(tmp_path):
    with Audit(tmp_path / "audit", KEY, journal_socket=None) as audit:
        threads = [
            threading.Thread(target=lambda t=t: [audit.note(Entry(Kind.INTENT, f"{t} {n}")) for n in range(200)])
            for t in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [record.entry.action for record in records(audit.directory)][1:]
    assert len(found) == 800
    for t in range(4):
        assert [a for a in found if a.startswith(f"{t} ")] == [f"{t} {n}" for n in range(200)]
    assert verify(audit.directory, KEY).whole


def test_what_a_full_queue_did_not_take_is_counted_in_the_audit(tmp_path):
    audit = Audit(tmp_path / "audit", KEY, journal_socket=None, queue_max=10)
    with audit._lock:  # the writing thread cannot empty the queue meanwhile
        taken = [audit.note(Entry(Kind.INTENT, f"{n}")) for n in range(25)]
        assert not audit.healthy
    audit.append(ENTRY)
    audit.close()
    assert taken.count(False) == 15
    lost = [record.entry.data["count"] for record in records(audit.directory) if record.entry.kind == Kind.MISSING]
    assert lost == [15]


def test_the_anchor_is_copied_to_files_and_to_the_journal(tmp_path):
    address = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(address))
        elsewhere = tmp_path / "elsewhere" / "anchor"
        elsewhere.parent.mkdir()
        with Audit(tmp_path / "audit", KEY, anchor_files=[elsewhere], journal_socket=address) as audit:
            assert b"BOT4_AUDIT_NUMBER=1\n" in journal.recv(4096)
            record = audit.append(ENTRY)
        assert f"BOT4_AUDIT_MARK={record.mark}\n".encode() in journal.recv(4096)
    assert Anchor.parse(elsewhere.read_text()) == Anchor.parse((tmp_path / "audit" / "anchor").read_text())
    assert Anchor.parse(elsewhere.read_text()) == Anchor(2, record.mark)


def test_an_anchor_that_cannot_be_copied_is_said_and_holds_up_nothing(tmp_path):
    with Audit(tmp_path / "audit", KEY, anchor_files=[tmp_path / "no" / "such"], journal_socket=None) as audit:
        audit.append(ENTRY)
        assert os.strerror(errno.ENOENT) in audit.anchor_errors[-1]


def test_a_closed_audit_takes_nothing(tmp_path):
    audit = Audit(tmp_path / "audit", KEY, journal_socket=None)
    audit.close()
    audit.close()
    with pytest.raises(AuditWriteFailed):
        audit.append(ENTRY)

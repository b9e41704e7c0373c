"""The latch and its twin: what trips, what is kept, what a start finds; then the disk that fails."""

from __future__ import annotations

import os
import re
import resource
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import errors
from engine._core import latch as core
from engine._core.types import Status
from engine.model import latch as model

STEM = "latch"
INT64_MAX = 2**63 - 1
SWAPPED = ("tamper", "switch")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "latch"


def names_in(folder: Path):
    return sorted(entry.name for entry in folder.iterdir())


# ----------------------------------------------------------------------------------------------------- the memory
def test_no_file_in_a_writable_directory_is_clear_and_leaves_nothing_behind(impl, path):
    latch = impl.Latch(path)
    latch.check()
    assert (latch.tripped, latch.start_status, latch.first, latch.reasons) == (False, Status.OK, None, ())
    latch.require_clear()
    latch.persist()
    assert names_in(path.parent) == []


def test_the_first_reason_wins_and_all_are_kept_with_their_first_time_and_value(impl, path):
    latch = impl.Latch(path)
    assert latch.trip("drawdown", value=1520, now_ns=1000) is True
    assert latch.trip("switch", value=-1, now_ns=900) is False
    assert latch.trip("drawdown", value=9999, now_ns=5000) is False
    latch.check()
    assert (latch.first, latch.reasons) == ("drawdown", ("switch", "drawdown"))
    assert latch.record() == (("switch", 900, -1), ("drawdown", 1000, 1520))
    assert latch.trip_count == 3


def test_a_time_that_is_not_known_is_kept_as_one(impl, path):
    latch = impl.Latch(path)
    latch.trip("clock", now_ns=0)
    latch.trip("tamper", now_ns=-5)
    assert latch.record() == (("tamper", 1, 0), ("clock", 1, 0))


@pytest.mark.parametrize("reason", ["no such reason", 17, 31, 10**30, -1, None, 2.5j, object()])
def test_a_reason_that_nobody_knows_trips_all_the_same(impl, path, reason):
    latch = impl.Latch(path)
    latch.trip(reason, now_ns=1)
    assert (latch.tripped, latch.first) == (True, "unknown")
    latch.persist()
    assert impl.Latch(path).first == "unknown"


@pytest.mark.parametrize("arguments", [{"value": "x"}, {"now_ns": "x"}])
def test_arguments_that_make_no_sense_trip_all_the_same(impl, path, arguments):
    latch = impl.Latch(path)
    latch.trip("switch", **arguments)
    assert latch.tripped


def test_the_first_text_is_kept_cut_and_made_printable(impl, path):
    latch = impl.Latch(path)
    latch.trip("command", "stop\nnow é" + "x" * 200, now_ns=5)
    latch.trip("command", "another", now_ns=5)
    assert latch.note == ("stop?now ?" + "x" * 200)[:128]
    latch.persist()
    assert impl.Latch(path).note == latch.note


def test_a_tripped_latch_names_its_reasons_when_asked(impl, path):
    latch = impl.Latch(path)
    latch.trip("daily-loss", now_ns=5)
    with pytest.raises(errors.LatchTripped, match="daily-loss"):
        latch.require_clear()


def test_no_public_name_clears_a_latch(impl, path):
    public = {name for name in dir(impl.Latch) if not name.startswith("_")}
    assert not {name for name in public if re.search("reset|clear|untrip|release|set", name)} - {"require_clear"}


# ------------------------------------------------------------------------------------------------------- the file
def test_a_persisted_trip_is_there_after_a_restart(impl, path):
    latch = impl.Latch(path)
    latch.trip("equity-disagreement", "venue 1, book 2", value=-7, now_ns=INT64_MAX)
    latch.trip("switch", value=-(2**63), now_ns=3)
    assert (latch.durable, latch.pending) == (False, ("switch", "equity-disagreement"))
    latch.persist()
    assert (latch.durable, latch.pending, names_in(path.parent)) == (True, (), ["latch"])
    again = impl.Latch(path)
    again.check()
    assert again.start_status == Status.LATCH_TRIPPED
    assert (again.first, again.record(), again.note) == (latch.first, latch.record(), latch.note)
    assert (again.durable, again.pending) == (True, ())


def test_a_reason_after_the_file_was_written_is_pending_until_it_is_written_too(impl, path):
    latch = impl.Latch(path)
    latch.trip("signal", now_ns=1)
    latch.persist()
    latch.trip("tamper", now_ns=2)
    assert (latch.durable, latch.pending) == (True, ("tamper",))
    latch.persist()
    again = impl.Latch(path)
    assert (again.first, again.reasons) == ("signal", ("tamper", "signal"))


def test_twin_and_kernel_write_the_same_bytes_and_a_stranger_reads_them(tmp_path):
    files = []
    for name, impl in (("core", core), ("model", model)):
        latch = impl.Latch(tmp_path / name)
        for i, reason in enumerate(core.REASONS):
            latch.trip(reason, f"reason {i}", value=(-1) ** i * (INT64_MAX - i), now_ns=INT64_MAX - i)
        latch.persist()
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert len(files[0]) <= 4096
    assert core.REASONS == model.REASONS
    body, _, crc = files[0].rpartition(b"crc32 ")
    assert int(crc, 16) == zlib.crc32(body)
    assert model.parse(files[0])[0] == "unknown"


@given(
    trips=st.lists(
        st.tuples(st.sampled_from(core.REASONS), st.integers(-(2**63), INT64_MAX), st.integers(-3, INT64_MAX)),
        min_size=1,
    ),
    note=st.text(max_size=140),
)
@settings(max_examples=60)
def test_any_trips_survive_the_file_on_both_sides(tmp_path_factory, trips, note):
    folder = tmp_path_factory.mktemp("latch")
    latches = [core.Latch(folder / "core"), model.Latch(folder / "model")]
    for latch in latches:
        for reason, value, now_ns in trips:
            latch.trip(reason, note, value=value, now_ns=now_ns)
        latch.persist()
        latch.check()
    assert (folder / "core").read_bytes() == (folder / "model").read_bytes()
    # Each reads what the other wrote.
    for latch in (core.Latch(folder / "model"), model.Latch(folder / "core")):
        assert (latch.first, latch.record(), latch.note) == (latches[0].first, latches[0].record(), latches[0].note)
        latch.close()


def good_file(path):
    latch = core.Latch(path)
    latch.trip("drawdown", "15.2 %", value=1520, now_ns=1_790_000_000_000_000_000)
    latch.trip("signal", value=15, now_ns=1_790_000_000_000_000_001)
    latch.persist()
    return path.read_bytes()


def test_a_file_damaged_at_any_byte_is_bad_and_never_clear(impl, path):
    raw = good_file(path)
    for at in range(len(raw)):
        for damaged in (raw[at] ^ 1, 255):
            if damaged == raw[at]:
                continue
            path.write_bytes(raw[:at] + bytes([damaged]) + raw[at + 1 :])
            latch = impl.Latch(path)
            assert (latch.start_status, latch.first) == (Status.LATCH_BAD_FILE, "file-bad"), at
            latch.close()


def test_a_file_cut_or_lengthened_anywhere_is_bad(impl, path):
    raw = good_file(path)
    cuts = [raw[:at] for at in range(len(raw))]
    for foreign in [*cuts, raw + b"\n", raw + b"x", raw + raw, b"\0" * 4096, b"x" * 5000]:
        path.write_bytes(foreign)
        with impl.Latch(path) as latch:
            assert (latch.start_status, latch.reasons) == (Status.LATCH_BAD_FILE, ("file-bad",))


@pytest.mark.parametrize(
    "lines",
    [
        ["bot4-latch 1", "state clear", "first switch", "reason switch at_ns 1 value 0"],
        ["bot4-latch 2", "state tripped", "first switch", "reason switch at_ns 1 value 0"],
        ["bot4-latch 1", "state tripped", "first tamper", "reason switch at_ns 1 value 0"],
        ["bot4-latch 1", "state tripped", "first switch", "reason switch at_ns 0 value 0"],
        ["bot4-latch 1", "state tripped", "first switch", "reason switch at_ns 01 value 0"],
        ["bot4-latch 1", "state tripped", "first switch", "reason switch at_ns 1 value -0"],
        ["bot4-latch 1", "state tripped", "first switch", "reason switch at_ns 1 value 9223372036854775808"],
        ["bot4-latch 1", "state tripped", "first switch", "reason switch at_ns 9999999999999999999 value 0"],
        ["bot4-latch 1", "state tripped", "first switch", *["reason switch at_ns 1 value 0"] * 2],
        [
            "bot4-latch 1",
            "state tripped",
            "first switch",
            *[f"reason {r} at_ns 1 value 0" for r in ("tamper", "switch")],
        ],
        ["bot4-latch 1", "state tripped", "first switch"],
        ["bot4-latch 1", "state tripped", "first switch", "reason switch at_ns 1 value 0", "note "],
    ],
)
def test_a_right_checksum_does_not_make_a_wrong_file_good(impl, path, lines):
    body = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(body + f"crc32 {zlib.crc32(body):08x}\n".encode())
    assert impl.Latch(path).start_status == Status.LATCH_BAD_FILE


def test_what_is_not_a_regular_file_is_bad(impl, tmp_path):
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    good_file(tmp_path / "target")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")
    for name in ("directory", "dangling", "link", "pipe"):
        latch = impl.Latch(tmp_path / name)
        assert (latch.tripped, latch.start_status) == (True, Status.LATCH_BAD_FILE), name
        with pytest.raises(errors.LatchBadFile):
            latch.require_clear()


def test_a_bad_file_is_kept_beside_the_one_that_replaces_it(impl, path):
    path.write_bytes(b"somebody was here")
    latch = impl.Latch(path)
    assert path.read_bytes() == b"somebody was here"
    latch.persist()
    assert path.with_name("latch.bad").read_bytes() == b"somebody was here"
    assert impl.Latch(path).first == "file-bad"


def test_a_temporary_file_left_by_a_dead_process_is_a_trip(impl, path):
    path.with_name("latch.tmp").write_bytes(b"")
    latch = impl.Latch(path)
    assert (latch.first, latch.start_status) == ("unfinished", Status.LATCH_TRIPPED)
    latch.persist()
    assert names_in(path.parent) == ["latch"]


@pytest.mark.parametrize("path", ["/", "/tmp/" + "x" * 60])
def test_a_name_that_no_latch_file_can_have_is_refused(impl, path):
    with pytest.raises(ValueError, match="1 to 59"):
        impl.Latch(path)


# --------------------------------------------------------------------------------------------------- the bad disk
def test_a_directory_that_is_not_there_trips_at_start_and_cannot_persist(impl, tmp_path):
    latch = impl.Latch(tmp_path / "no" / "latch")
    assert (latch.first, latch.start_status, latch.durable) == ("disk", Status.LATCH_NOT_DURABLE, False)
    with pytest.raises(errors.LatchNotDurable):
        latch.require_clear()
    with pytest.raises(errors.LatchNotDurable):
        latch.persist()
    assert (latch.tripped, latch.durable, latch.failed_count) == (True, False, 1)


def test_a_directory_that_cannot_be_written_trips_at_start(impl):
    # No file can be made in /proc, by root either.
    latch = impl.Latch("/proc/latch")
    assert (latch.first, latch.start_status) == ("disk", Status.LATCH_NOT_DURABLE)
    with pytest.raises(errors.LatchNotDurable):
        latch.persist()


@pytest.fixture
def limit_file_size():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_disk_that_fills_up_reports_not_durable_and_the_next_start_is_tripped(impl, path, limit_file_size, room):
    latch = impl.Latch(path)
    latch.trip("journal-failure", "no room", now_ns=5)
    limit_file_size(room)
    with pytest.raises(errors.LatchNotDurable):
        latch.persist()
    limit_file_size(resource.RLIM_INFINITY)
    assert (latch.tripped, latch.durable, latch.reasons) == (True, False, ("journal-failure", "disk"))
    # The attempt itself left its mark: even the trip that could not be written is not forgotten.
    assert impl.Latch(path).first == "unfinished"
    latch.persist()
    assert impl.Latch(path).reasons == ("journal-failure", "disk")


@pytest.mark.parametrize("room", [0, 4095])
def test_a_disk_without_room_for_the_largest_file_trips_at_start(impl, path, limit_file_size, room):
    limit_file_size(room)
    latch = impl.Latch(path)
    limit_file_size(resource.RLIM_INFINITY)
    assert (latch.first, latch.start_status) == ("disk", Status.LATCH_NOT_DURABLE)
    assert names_in(path.parent) == []


def test_a_file_that_was_good_stays_good_when_a_later_write_fails(impl, path, limit_file_size):
    raw = good_file(path)
    latch = impl.Latch(path)
    latch.trip("tamper", now_ns=9)
    limit_file_size(0)
    with pytest.raises(errors.LatchNotDurable):
        latch.persist()
    limit_file_size(resource.RLIM_INFINITY)
    assert path.read_bytes() == raw
    assert latch.durable
    assert latch.pending == ("tamper", "disk")


def test_a_directory_in_the_files_place_fails_at_the_rename(path):
    latch = core.Latch(path)
    path.mkdir()
    latch.trip("signal", now_ns=1)
    with pytest.raises(errors.LatchNotDurable, match="LATCH_STEP_RENAME"):
        latch.persist()
    assert core.Latch(path).start_status == Status.LATCH_BAD_FILE


def test_a_closed_latch_still_trips_and_says_that_it_cannot_persist(impl, path):
    latch = impl.Latch(path)
    latch.close()
    latch.close()
    latch.trip("command", now_ns=1)
    assert latch.tripped
    with pytest.raises(errors.LatchNotDurable):
        latch.persist()

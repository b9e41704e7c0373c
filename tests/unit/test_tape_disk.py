"""The tape where the disk refuses, where a segment ends, and where a file is no segment."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from engine._core import tape as core
from engine._core.types import EVENT, Status
from engine.errors import JournalClosed, JournalCorrupt
from tests.support.refusing import refusing

RECORDS, BLOCK = 59, 4096
OFF, GROUP, EACH = core.Mode.TAPE_SYNC_OFF, core.Mode.TAPE_SYNC_GROUP, core.Mode.TAPE_SYNC_EACH
SYNC_FAILED = core.Health.HEALTH_SYNC_FAILED

WRITE_ONE = """
import sys
import numpy as np
from engine._core import tape
from engine._core.checksum import by_instruction
from engine._core.types import EVENT
rows = np.zeros(150, EVENT)
rows["kind"], rows["seq"], rows["ts_recv_ns"] = 2, np.arange(150), np.arange(150)
with tape.Tape(sys.argv[1], capacity=200, write=True) as one:
    one.append(rows[:70])
    one.append(rows[70:])
print(by_instruction(), tape.scan(open(sys.argv[1], "rb").read()).good)
"""


def events(count: int, *, start: int = 0) -> np.ndarray:
    rows = np.zeros(count, EVENT)
    rows["kind"], rows["seq"] = 2, np.arange(start, start + count)
    rows["ts_recv_ns"] = 10 * rows["seq"]
    return rows


def tape_of(path, *, blocks=4, mode=GROUP):
    return core.Tape(path, segment=core.Segment(path, blocks=blocks), mode=mode)


# ------------------------------------------------------------------------------------------------- the disk refuses
def test_a_commit_that_the_disk_refuses_is_told_and_nothing_is_durable(tmp_path):
    tape = tape_of(tmp_path / "a", mode=EACH)
    tape.append(events(3))
    with pytest.raises(JournalClosed, match="the disk refused"):
        refusing(tape.commit, msync=errno.EIO)
    assert (tape.durable, tape.health) == (0, SYNC_FAILED)
    # The pages may be gone from the cache: a later success does not take the word back.
    tape.commit()
    assert (tape.durable, tape.health) == (3, SYNC_FAILED)


def test_a_turn_that_the_disk_refuses_leaves_what_was_durable(tmp_path):
    tape = tape_of(tmp_path / "a")
    tape.append(events(3))
    assert tape.turn() is False
    tape.append(events(4, start=3))
    refusing(tape.turn, msync=errno.EIO)
    assert (tape.durable, tape.health, tape.sync_count) == (3, SYNC_FAILED, 1)


def test_the_thread_of_turns_comes_back_when_the_disk_refuses(tmp_path):
    tape = tape_of(tmp_path / "a")
    tape.offer(core.Segment(tmp_path / "b", blocks=2))
    tape.append(events(3))
    assert refusing(lambda: tape.run(1, 1_000_000), msync=errno.EIO) == -1


@pytest.mark.parametrize("mode", [OFF, GROUP])
def test_a_segment_that_the_disk_refuses_to_close_stays_open(tmp_path, mode):
    tape = tape_of(tmp_path / "a", mode=mode)
    tape.append(events(3))
    if mode == GROUP:
        tape.turn()  # all is written: what is refused is the header's second half
    with pytest.raises(JournalClosed, match="the disk refused"):
        refusing(tape.close, msync=errno.EIO)
    assert tape.health & SYNC_FAILED
    # It stands in the page cache all the same, and reads back.
    assert core.scan((tmp_path / "a").read_bytes()).good == 3


def test_a_full_disk_makes_no_segment_and_leaves_no_file(tmp_path):
    with pytest.raises(OSError, match="No space left"):
        refusing(lambda: core.Segment(tmp_path / "a", blocks=2), fallocate=errno.ENOSPC)
    assert not (tmp_path / "a").exists()


def test_a_mapping_that_is_refused_makes_no_segment(tmp_path):
    with pytest.raises(OSError, match="Cannot allocate memory"):
        refusing(lambda: core.Segment(tmp_path / "a", blocks=2), mmap=errno.ENOMEM)


def test_a_header_that_the_disk_refuses_is_told(tmp_path):
    segment = core.Segment(tmp_path / "a", blocks=2)
    segment.sync()
    with pytest.raises(OSError, match=str(tmp_path)):
        refusing(segment.sync, msync=errno.EIO)


# ----------------------------------------------------------------------------------------------------- every commit
def test_a_commit_of_nothing_is_no_write(tmp_path):
    tape = tape_of(tmp_path / "a", mode=EACH)
    tape.commit()
    tape.append(events(RECORDS))
    tape.commit()
    # The block is full and written, the next has nothing yet: a disk that refuses everything is not asked.
    refusing(tape.commit, msync=errno.EIO)
    assert (tape.durable, tape.health) == (RECORDS, 0)
    tape.close()
    tape.commit()


def test_under_each_a_left_segment_is_written_before_the_next_is_entered(tmp_path):
    tape = tape_of(tmp_path / "a", blocks=1, mode=EACH)
    tape.append(events(10))
    tape.commit()
    tape.offer(core.Segment(tmp_path / "b", blocks=2))
    tape.append(events(60, start=10))
    tape.commit()
    assert tape.durable == 70
    assert tape.turn() is True
    assert tape.take() == str(tmp_path / "a")
    assert tape.turn() is False
    assert [core.scan((tmp_path / name).read_bytes()).good for name in "ab"] == [59, 11]
    tape.close()
    assert core.header((tmp_path / "b").read_bytes()).check_before == core.header((tmp_path / "a").read_bytes()).check


# ----------------------------------------------------------------------------------------------------- the two sides
def test_one_segment_stands_ready_and_only_a_closed_one_is_taken(tmp_path):
    tape = tape_of(tmp_path / "a", blocks=1)
    with pytest.raises(JournalClosed, match="no closed segment"):
        tape.take()
    tape.offer(core.Segment(tmp_path / "b", blocks=1))
    with pytest.raises(JournalClosed, match="stands ready"):
        tape.offer(core.Segment(tmp_path / "c", blocks=1))
    tape.append(events(60))
    with pytest.raises(JournalClosed, match="no closed segment"):
        tape.take()  # left, and not closed yet
    with pytest.raises(JournalClosed, match="stands ready"):
        tape.offer(core.Segment(tmp_path / "d", blocks=1))
    assert not tape.needs_segment
    # The turns still stand in the segment that was left: of the current one they know nothing.
    assert tape.current_used == (0, 0, 0)
    assert tape.turn()
    assert tape.closed_waits
    tape.take()
    assert (tape.needs_segment, tape.closed_waits, tape.current_used) == (True, False, (1, 590, 590))


def test_the_thread_of_turns_ends_by_its_count_by_its_work_and_by_a_stop(tmp_path):
    tape = tape_of(tmp_path / "a")
    assert tape.run(1, 5) == 0  # a segment is to be made
    tape.offer(core.Segment(tmp_path / "b", blocks=1))
    tape.append(events(3))
    assert tape.run(1, 5) == 0
    assert (tape.durable, tape.sync_count) == (3, 1)
    tape.append(events(1, start=3))
    tape.stop()
    assert tape.run(1, 5) == 0
    assert tape.durable == 3


def test_a_closed_tape_answers_and_turns_no_more(tmp_path):
    with tape_of(tmp_path / "a") as tape:
        assert tape.capacity == 4 * RECORDS
        tape.append(events(2))
    assert (tape.turn(), tape.capacity, len(tape.records()), tape.current_used) == (False, 0, 0, (0, 0, 0))
    assert not tape.needs_segment
    reader = core.Tape(tmp_path / "a")
    reader.close()
    assert len(reader.records()) == 2
    assert reader.append(events(0)) is None


def test_a_long_segment_is_touched_ahead_and_no_further_than_its_end(tmp_path):
    tape = tape_of(tmp_path / "a", blocks=300)
    for _ in range(3):
        tape.append(events(RECORDS * 30))
        tape.turn()
    tape.append(events(RECORDS * 170))
    tape.turn()
    found = core.scan((tmp_path / "a").read_bytes())
    assert (found.status, found.good, tape.durable) == (Status.OK, 260 * RECORDS, 260 * RECORDS)
    segment = core.Segment(tmp_path / "b", blocks=3)
    for pages in (1, 1000):
        segment.touch(pages)
    assert core.scan((tmp_path / "b").read_bytes()).status == Status.OK


# ------------------------------------------------------------------------------------------------------- the reader
@pytest.mark.parametrize("wrong", [{"blocks": 0}, {"session": b"x" * 15}, {"boot": b"x" * 17}], ids=str)
def test_a_segment_that_cannot_be_is_refused_before_it_is_made(tmp_path, wrong):
    with pytest.raises(JournalCorrupt):
        core.Segment(tmp_path / "a", **({"blocks": 1} | wrong))
    assert not (tmp_path / "a").exists()


def test_what_is_not_there_cannot_be_read(tmp_path):
    tape_of(tmp_path / "a").append(events(3))
    image = (tmp_path / "a").read_bytes()
    with pytest.raises(JournalCorrupt, match="no segment"):
        core.header(image[: BLOCK - 1])
    with pytest.raises(JournalCorrupt):
        core.records(image, 0, 4 * RECORDS + 1)
    assert len(core.records(image, 4 * RECORDS, 0)) == 0
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(JournalCorrupt):
        core.Tape(tmp_path / "empty")


def test_a_segment_that_was_never_entered_holds_nothing_else(tmp_path):
    core.Segment(tmp_path / "a", blocks=2)
    image = bytearray((tmp_path / "a").read_bytes())
    assert core.scan(bytes(image)).status == Status.OK
    image[-1] = 1
    assert core.scan(bytes(image)).status == Status.TAPE_CORRUPT


def test_the_first_record_of_a_time_is_found_by_halves(tmp_path):
    tape_of(tmp_path / "a").append(events(130))
    image = (tmp_path / "a").read_bytes()
    for ts_ns, first in ((-5, 0), (0, 0), (1, 1), (580, 58), (590, 59), (595, 60), (1290, 129), (1291, 130)):
        assert core.first_at(image, 130, ts_ns) == first
    assert core.first_at(image, 0, 5) == 0


# ----------------------------------------------------------------------------------------------- without instructions
def test_the_tables_write_the_bytes_that_the_instruction_writes(tmp_path):
    seen = {}
    for level in ("", "baseline"):
        path = tmp_path / (level or "chosen")
        done = subprocess.run(
            [sys.executable, "-c", WRITE_ONE, str(path)],
            env=os.environ | ({"BOT4_ISA": level} if level else {}), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split()[1] == "150"
        assert not level or done.stdout.split()[0] == "False"
        seen[level] = hashlib.sha256(path.read_bytes()).hexdigest()
    assert seen[""] == seen["baseline"]

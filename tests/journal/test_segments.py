"""A session's files: written through many segments, read back, refused or cut when they are not what was written."""

from __future__ import annotations

import os
import random
import sys
import threading

import numpy as np
import pytest

from engine._core.tape import Health
from engine.errors import ArchiveBad, JournalChain, JournalCorrupt, JournalFull, SessionLocked, SessionMissing
from engine.journal.layout import Session, find_session, read_session, sessions
from engine.journal.reader import open_session
from engine.journal.segments import DAY_NS, Retention, read_archive, retain, used_bytes
from engine.journal.writer import JournalConfig
from tests.support.journal import BLOCK, PER_BLOCK, SMALL, abandon, fill, rows, small_journal

PER_SEGMENT = SMALL * PER_BLOCK
HERE, OTHER = b"this boot is one", b"after power came"


def opened(root, boot=HERE):
    return open_session(find_session(root), boot=boot)


def poke(path, at, data):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def place(record):
    """(segment, offset of the record, offset of its check)."""
    segment, inside = divmod(record, PER_SEGMENT)
    block, slot = divmod(inside, PER_BLOCK)
    at = BLOCK * (1 + block)
    return segment, at + 320 + 64 * slot, at + 84 + 4 * slot


def segment_file(root, number):
    return find_session(root).segments_path / f"{number:06d}.b4t"


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_many_segments_read_back_as_one(tmp_path, compress, closed):
    journal = small_journal(tmp_path, compress=compress)
    fill(journal, 1000)
    if closed:
        journal.close()
    found = opened(tmp_path).must_be_sound()
    assert (found.count, found.torn, len(found.parts)) == (1000, "", 5)
    assert found.records().tobytes() == rows(1000).tobytes()
    assert found.records(230, 20).tobytes() == rows(20, start=230).tobytes()
    assert {p.path.name.endswith(".zst") for p in found.parts[:4]} == {compress}
    journal.close()


def test_a_closed_session_leaves_no_empty_segment_and_can_be_closed_twice(tmp_path):
    with small_journal(tmp_path) as journal:
        fill(journal, 300)
    journal.close()
    assert len(find_session(tmp_path).segments()) == 2


def test_threads_turn_compress_and_end_without_being_told_more(tmp_path):
    journal = small_journal(tmp_path, compress=True, group_ms=0.2)
    journal.start()
    done = 0
    while done < 2000:
        try:
            journal.tape.append(rows(20, start=done))
        except JournalFull:
            # The next segment is being made, nothing was written; a thread that has ended makes none.
            assert journal.problem is None
            os.sched_yield()
            continue
        done += 20
    journal.close()
    found = opened(tmp_path).must_be_sound()
    assert found.records().tobytes() == rows(2000).tobytes()
    assert journal.tape.durable == 2000
    assert journal.problem is None


def test_files_that_come_and_go_while_the_disk_is_counted_do_not_end_the_count(tmp_path):
    # As the archive's thread does it: a packed segment appears, the plain one goes.
    for number in range(40):
        (tmp_path / f"{number}.b4t").write_bytes(bytes(4096))
    least = used_bytes(tmp_path)
    ended = threading.Event()

    def come_and_go():
        for turn in range(4_000):
            name = tmp_path / f"{turn % 40}.b4t.zst"
            name.write_bytes(b"packed")
            name.unlink()
        ended.set()

    thread = threading.Thread(target=come_and_go)
    usual = sys.getswitchinterval()
    # The two take turns within one count, not between two of them.
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        counted = []
        while not ended.is_set():
            counted.append(used_bytes(tmp_path))
        thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert counted
    assert min(counted) == least > 0


def test_age_ends_a_segment_at_the_next_record(tmp_path):
    journal = small_journal(tmp_path, segment_age_s=10e-9)
    fill(journal, 40, at_once=5)
    abandon(journal)
    found = opened(tmp_path).must_be_sound()
    assert len(found.parts) > 2
    assert found.records().tobytes() == rows(40).tobytes()


def test_two_engines_on_one_journal_are_refused(tmp_path):
    journal = small_journal(tmp_path)
    with pytest.raises(SessionLocked):
        small_journal(tmp_path)
    journal.close()
    small_journal(tmp_path).close()
    assert [s.path.name for s in sessions(tmp_path)] == ["s-000001", "s-000002"]


def test_a_session_that_died_before_its_file_was_written_never_began(tmp_path):
    small_journal(tmp_path).close()
    (tmp_path / "s-000002" / "segments").mkdir(parents=True)
    (tmp_path / "s-000002" / "segments" / "000000.b4t").write_bytes(b"half")
    assert find_session(tmp_path).path.name == "s-000001"
    small_journal(tmp_path).close()
    assert find_session(tmp_path).path.name == "s-000002"


def test_a_directory_without_a_session_is_named(tmp_path):
    with pytest.raises(SessionMissing, match="neither"):
        find_session(tmp_path)
    with pytest.raises(SessionMissing):
        read_session(tmp_path)


# ------------------------------------------------------------------------------------------------------- the disk
def test_a_disk_that_is_nearly_full_says_so_while_appends_still_work(tmp_path):
    journal = small_journal(tmp_path, disk_free_bytes=1 << 60)
    assert journal.health == Health.HEALTH_DISK_LOW
    fill(journal, 10)
    assert "nearly full" in journal.health_text()
    journal.close()


def test_the_cap_on_the_journals_share_speaks_two_segments_ahead(tmp_path):
    journal = small_journal(tmp_path, disk_cap_bytes=8 * (1 + SMALL) * BLOCK)
    at = 0
    while not journal.health:
        fill(journal, 50, start=at)
        at += 50
    assert journal.health == Health.HEALTH_CAP
    fill(journal, 50, start=at)
    assert journal.tape.refused_count == 0
    journal.close()


def test_without_a_next_segment_nothing_is_half_written(tmp_path):
    journal = small_journal(tmp_path)
    with pytest.raises(JournalFull):
        fill(journal, 3 * PER_SEGMENT, turn=False)
    assert journal.health == Health.HEALTH_REFUSED
    whole = journal.tape.count
    assert whole == (2 * PER_SEGMENT) // 50 * 50
    abandon(journal)
    assert opened(tmp_path).must_be_sound().count == whole


def test_a_segment_that_cannot_be_made_is_a_bit_and_not_an_exception(tmp_path):
    journal = small_journal(tmp_path)
    folder = find_session(tmp_path).segments_path
    (folder / "000002.b4t").write_bytes(b"in the way")
    fill(journal, PER_SEGMENT + 10)
    assert journal.health & Health.HEALTH_NO_SEGMENT
    (folder / "000002.b4t").unlink()
    journal.turn()
    assert not journal.health
    journal.close()


@pytest.mark.parametrize("wrong", [{"sync": "maybe"}, {"group_ms": 0}, {"segment_bytes": 100}, {"disk_cap_bytes": 1}])
def test_an_impossible_setting_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        JournalConfig(**wrong)


# ------------------------------------------------------------------------------------------------ tears and damage
def unsynced(root, count=400):
    """A journal whose second segment was never written to the disk by us: no marks there."""
    journal = small_journal(root, sync="off")
    fill(journal, count)
    abandon(journal)


@pytest.mark.parametrize("keep", [0, 1, 24, 63])
def test_a_half_written_last_record_is_cut(tmp_path, keep):
    unsynced(tmp_path)
    segment, at, _ = place(400)
    poke(segment_file(tmp_path, segment), at, rows(1, start=400).tobytes()[:keep])
    found = opened(tmp_path).must_be_sound()
    assert found.count == 400
    assert bool(found.torn) == (keep > 0)


def test_a_hole_is_damage_while_the_machine_has_not_restarted(tmp_path):
    unsynced(tmp_path)
    segment, at, _ = place(300)
    poke(segment_file(tmp_path, segment), at, bytes(64))
    found = opened(tmp_path)
    assert found.count == 300
    with pytest.raises(JournalCorrupt, match=r"000001\.b4t, block 1, record 300: .*What can be done: "):
        found.must_be_sound()


def test_the_same_hole_is_a_torn_end_after_a_loss_of_power(tmp_path):
    unsynced(tmp_path)
    segment, at, _ = place(300)
    poke(segment_file(tmp_path, segment), at, bytes(64))
    found = opened(tmp_path, OTHER).must_be_sound()
    assert found.count == 300
    assert "power" in found.torn


def test_what_was_on_the_disk_must_be_there_after_a_loss_of_power_too(tmp_path):
    journal = small_journal(tmp_path, sync="group")
    fill(journal, 420)
    abandon(journal)
    segment, at, _ = place(300)
    poke(segment_file(tmp_path, segment), at, bytes(64))
    with pytest.raises(JournalCorrupt, match="was on the disk"):
        opened(tmp_path, OTHER).must_be_sound()


def test_any_flipped_bit_in_a_closed_segment_is_refused_by_name(tmp_path):
    with small_journal(tmp_path) as journal:
        fill(journal, 500)
    path = segment_file(tmp_path, 1)
    whole = path.read_bytes()
    draw = random.Random(11)
    for _ in range(150):
        at, bit = draw.randrange(len(whole)), draw.randrange(8)
        if draw.random() < 0.3:
            at = at % 320  # the header, where every field counts
        poke(path, at, bytes([whole[at] ^ 1 << bit]))
        found = opened(tmp_path)
        header = at < BLOCK
        reserved = 176 <= at < 192 or at >= 248 if header else 8 <= at % BLOCK < 16 or 48 <= at % BLOCK < 84
        # Reserved words and marks say nothing about a record; everything else does.
        assert (found.damage is None) == reserved, (at, bit)
        if found.damage is not None:
            assert found.damage.file == path
        assert found.records().tobytes() == rows(found.count).tobytes()
        poke(path, at, whole[at : at + 1])


def test_a_missing_segment_is_named(tmp_path):
    with small_journal(tmp_path) as journal:
        fill(journal, 800)
    segment_file(tmp_path, 1).unlink()
    with pytest.raises(JournalCorrupt, match="segment 1 is missing"):
        opened(tmp_path).must_be_sound()


def test_a_segment_of_another_session_is_named(tmp_path):
    for name in ("a", "b", "b"):
        with small_journal(tmp_path / name) as journal:
            fill(journal, 800)
    foreign = segment_file(tmp_path / "b", 1).read_bytes()
    segment_file(tmp_path / "a", 1).write_bytes(foreign)
    with pytest.raises(JournalCorrupt, match="another session"):
        opened(tmp_path / "a").must_be_sound()


def test_a_session_whose_records_are_forged_breaks_its_chain(tmp_path):
    with small_journal(tmp_path) as journal:
        fill(journal, 500)
    path = segment_file(tmp_path, 0)
    image = bytearray(path.read_bytes())
    image[176 + 16 + 20] ^= 1  # the closing chain alone
    path.write_bytes(image)
    with pytest.raises((JournalChain, JournalCorrupt)):
        opened(tmp_path).must_be_sound()


def test_a_compressed_segment_that_does_not_unpack_is_named(tmp_path):
    with small_journal(tmp_path, compress=True) as journal:
        fill(journal, 500)
    path = find_session(tmp_path).segments()[0]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(JournalCorrupt, match="restore this file"):
        opened(tmp_path).must_be_sound()


def test_a_compression_cut_short_leaves_one_of_both(tmp_path):
    with small_journal(tmp_path, compress=True) as journal:
        fill(journal, 500)
    path = find_session(tmp_path).segments()[0]
    (path.parent / "000000.b4t.zst.tmp").write_bytes(b"half")
    assert opened(tmp_path).must_be_sound().count == 500


# ------------------------------------------------------------------------------------------------------- retention
def test_market_data_goes_first_and_the_audit_stays(tmp_path):
    with small_journal(tmp_path) as journal:
        for at in range(0, 500, 50):
            journal.tape.append(rows(40, start=at))
            journal.tape.append(rows(10, start=at + 40, kind=128))
            journal.turn()
    session = find_session(tmp_path)
    assert retain(session, 10 * DAY_NS, Retention()) == []
    assert len(retain(session, 32 * DAY_NS, Retention())) == 3
    assert session.segments() == []
    archives = sorted(session.segments_path.glob("*.b4a.zst"))
    kept = np.concatenate([read_archive(path)[1] for path in archives])
    numbers = np.concatenate([read_archive(path)[0] for path in archives])
    assert len(kept) == 100
    assert (kept["kind"] == 128).all()
    assert numbers.tolist() == kept["seq"].tolist()
    assert retain(session, 6 * 365 * DAY_NS, Retention()) == []
    assert len(retain(session, 8 * 366 * DAY_NS, Retention())) == 3
    assert list(session.segments_path.iterdir()) == []


def test_recorded_market_data_is_simply_deleted_when_its_time_is_over(tmp_path):
    with small_journal(tmp_path, klass="market") as journal:
        fill(journal, 500)
    session = find_session(tmp_path)
    assert len(retain(session, 32 * DAY_NS, Retention())) == 3
    assert list(session.segments_path.iterdir()) == []


def test_a_damaged_archive_is_named(tmp_path):
    with small_journal(tmp_path) as journal:
        fill(journal, 10)
    session = find_session(tmp_path)
    retain(session, 32 * DAY_NS, Retention())
    path = next(session.segments_path.glob("*.b4a.zst"))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ArchiveBad):
        read_archive(path)


def test_a_session_without_segments_is_empty(tmp_path):
    assert open_session(Session(tmp_path)).count == 0

"""The tape's bytes: what the kernel writes is what the layout says, and both walks judge every damage alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine._core import tape as core
from engine._core.types import EVENT, Status
from engine.errors import JournalClosed, JournalCorrupt, JournalFull
from engine.model import tape as model

STEM = "tape"
RECORDS, BLOCK = model.RECORDS, model.BLOCK


def events(count: int, *, start: int = 0) -> np.ndarray:
    rows = np.zeros(count, EVENT)
    number = np.arange(start, start + count)
    rows["kind"] = 2 + number % 3
    rows["seq"] = number
    rows["ts_recv_ns"] = 1_000 + number
    rows["word"] = number[:, None] * [1, -1, 7, 1 << 40, -(1 << 50)]
    return rows


def cut(rows: np.ndarray) -> list[bytes]:
    data = rows.tobytes()
    return [data[at : at + 64] for at in range(0, len(data), 64)]


def written(path, rows, *, blocks=3, closed=False, turn=False, **fields) -> bytes:
    segment = core.Segment(path, blocks=blocks, **fields)
    tape = core.Tape(path, segment=segment)
    tape.append(rows)
    if turn:
        tape.turn()
    if closed:
        tape.close()
    return path.read_bytes()


@pytest.mark.parametrize("count", [0, 1, 58, 59, 60, 118, 177])
@pytest.mark.parametrize("form", ["open", "chained", "closed"])
def test_the_kernel_writes_the_bytes_of_the_layout(tmp_path, count, form):
    if form == "closed" and not count:
        return
    rows = events(count)
    fields = {"number": 4, "epoch": 9, "ts_created_ns": 77, "klass": 2, "session": b"s" * 16, "boot": b"b" * 16}
    image = written(tmp_path / "a", rows, closed=form == "closed", turn=form == "chained", **fields)
    if form == "closed":
        # The closing turn wrote a mark; everything else is the layout's.
        place = BLOCK + (count - 1) // RECORDS * BLOCK + 8
        image = image[:place] + bytes(8) + image[place + 8 :]
    twin = model.build(cut(rows), blocks=3, chained=form == "chained", closed=form == "closed", **fields)
    assert image == twin


@pytest.mark.parametrize("count", [0, 1, 59, 60, 177])
def test_a_tape_in_memory_holds_what_one_in_a_file_does(tmp_path, count):
    rows = events(count)
    kept, passing = core.Tape(tmp_path / "a", capacity=177, write=True), core.Tape(None, capacity=177, write=True)
    for tape in (kept, passing):
        tape.append(rows)
    assert passing.records().tobytes() == kept.records().tobytes() == rows.tobytes()
    assert passing.count == kept.count
    with pytest.raises(JournalFull, match="memory"):
        passing.append(events(178 - count))


@pytest.mark.parametrize("closed", [True, False])
def test_a_whole_segment_is_read_back(impl, tmp_path, closed):
    rows = events(130)
    image = written(tmp_path / "a", rows, closed=closed)
    found = impl.scan(image)
    assert (found.status, found.good, found.dirty) == (Status.OK, 130, False)
    assert (found.ts_first_ns, found.ts_last_ns) == (1_000, 1_129)
    assert core.records(image, 0, 130).tobytes() == rows.tobytes()
    assert core.records(image, 57, 5).tobytes() == rows[57:62].tobytes()


def test_an_empty_or_foreign_file_is_no_segment(impl):
    for image in (b"", b"x" * 100, bytes(BLOCK), b"y" * 3 * BLOCK):
        assert impl.scan(image).status == Status.TAPE_CORRUPT


def test_a_segment_that_was_never_entered_is_empty_and_good(impl, tmp_path):
    core.Segment(tmp_path / "a", blocks=2)
    found = impl.scan((tmp_path / "a").read_bytes())
    assert (found.status, found.good) == (Status.OK, 0)


@pytest.mark.parametrize("cut_at", [0, 1, 30, 63])
def test_a_half_written_last_record_is_a_torn_end(impl, tmp_path, cut_at):
    image = bytearray(written(tmp_path / "a", events(70)))
    at = BLOCK + BLOCK + model.RECORDS_AT + 11 * 64
    check = BLOCK + BLOCK + model.CHECKS_AT + 4 * 11
    image[at : at + 64] = events(1, start=70).tobytes()[:cut_at].ljust(64, b"\0")
    found = impl.scan(bytes(image))
    assert found.good == 70
    assert found.status == (Status.TAPE_TORN if any(image[at : at + 64]) else Status.OK)
    assert not found.resumes
    assert not any(image[check : check + 4])


def test_a_page_that_never_reached_the_disk_is_a_hole_that_resumes(impl, tmp_path):
    image = bytearray(written(tmp_path / "a", events(170)))
    image[2 * BLOCK : 3 * BLOCK] = bytes(BLOCK)
    found = impl.scan(bytes(image))
    assert (found.status, found.good, found.resumes) == (Status.TAPE_TORN, 59, True)


def test_a_block_of_another_place_does_not_count(impl, tmp_path):
    image = bytearray(written(tmp_path / "a", events(170)))
    image[2 * BLOCK : 3 * BLOCK], image[3 * BLOCK : 4 * BLOCK] = (
        image[3 * BLOCK : 4 * BLOCK],
        image[2 * BLOCK : 3 * BLOCK],
    )
    assert impl.scan(bytes(image)).good == 59


def test_a_block_of_another_session_does_not_count(impl, tmp_path):
    one = bytearray(written(tmp_path / "a", events(170), session=b"1" * 16))
    other = written(tmp_path / "b", events(170), session=b"2" * 16)
    one[2 * BLOCK : 3 * BLOCK] = other[2 * BLOCK : 3 * BLOCK]
    assert impl.scan(bytes(one)).good == 59


def test_a_forged_record_with_a_right_sum_breaks_the_chain(impl, tmp_path):
    rows = events(118)
    image = bytearray(written(tmp_path / "a", rows, turn=True))
    rows["word"][20, 0] += 1
    forged = model.build(cut(rows), blocks=3)
    for at in (BLOCK, 2 * BLOCK):  # every sum is made anew, the chain is left
        image[at + model.CHECKS_AT : at + BLOCK] = forged[at + model.CHECKS_AT : at + BLOCK]
    found = impl.scan(bytes(image))
    assert (found.status, found.good) == (Status.TAPE_CHAIN, 0)
    assert impl.scan(bytes(image), chain=False).status == Status.OK


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_bit_is_seen_alike_by_both_walks(tmp_path_factory, data):
    count = data.draw(st.sampled_from([1, 59, 61, 118, 130]))
    closed = data.draw(st.booleans())
    image = bytearray(model.build(cut(events(count)), blocks=3, chained=True, closed=closed))
    used = BLOCK * (1 + -(-count // RECORDS))
    bit = data.draw(st.integers(0, 8 * used - 1))
    image[bit // 8] ^= 1 << bit % 8
    kernel, twin = core.scan(bytes(image)), model.scan(bytes(image))
    assert kernel == twin
    within = bit // 8 % BLOCK
    if bit // 8 >= BLOCK and within >= model.CHECKS_AT:
        record = (bit // 8 // BLOCK - 1) * RECORDS + (
            (within - model.RECORDS_AT) // 64 if within >= model.RECORDS_AT else (within - model.CHECKS_AT) // 4
        )
        if record < count:
            assert kernel.status != Status.OK
            assert kernel.good <= record
        else:
            assert kernel.good == count
            assert kernel.dirty


@settings(max_examples=40)
@given(st.data())
def test_a_segment_cut_at_any_byte_keeps_a_prefix(data):
    rows = events(130)
    image = model.build(cut(rows), blocks=3)
    size = data.draw(st.integers(0, len(image)))
    torn = image[:size]
    kernel, twin = core.scan(torn), model.scan(torn)
    assert kernel == twin
    whole_blocks = max(0, size // BLOCK - 1)
    assert kernel.good == min(130, whole_blocks * RECORDS)


def test_a_full_tape_refuses_whole_and_counts(tmp_path):
    tape = core.Tape(tmp_path / "a", capacity=100, write=True)
    tape.append(events(90))
    with pytest.raises(JournalFull):
        tape.append(events(11, start=90))
    assert (tape.count, tape.refused_count, tape.health) == (90, 1, core.Health.HEALTH_REFUSED)
    tape.append(events(10, start=90))
    assert tape.records().tobytes() == events(100).tobytes()


def test_a_closed_tape_takes_nothing(tmp_path):
    tape = core.Tape(tmp_path / "a", capacity=100, write=True)
    tape.append(events(3))
    tape.close()
    tape.close()
    with pytest.raises(JournalClosed):
        tape.append(events(1, start=3))
    assert core.Tape(tmp_path / "a").records().tobytes() == events(3).tobytes()


def test_reading_what_is_no_tape_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"z" * 9000)
    with pytest.raises(JournalCorrupt):
        core.Tape(tmp_path / "a")


def test_what_is_durable_follows_the_turns_and_the_marks_say_so(tmp_path):
    segment = core.Segment(tmp_path / "a", blocks=8)
    tape = core.Tape(tmp_path / "a", segment=segment, mode=core.Mode.TAPE_SYNC_GROUP)
    tape.append(events(70))
    assert tape.durable == 0
    tape.turn(sync=False)
    assert tape.durable == 0
    tape.turn()
    assert tape.durable == 70
    tape.append(events(10, start=70))
    tape.turn()
    found = core.scan((tmp_path / "a").read_bytes())
    # The mark on the disk is the one before: it is written with the data that it does not yet speak of.
    assert (tape.durable, found.mark, found.chained) == (80, 70, 1)


def test_under_each_a_commit_makes_everything_durable(tmp_path):
    tape = core.Tape(tmp_path / "a", segment=core.Segment(tmp_path / "a", blocks=8), mode=core.Mode.TAPE_SYNC_EACH)
    for at in range(0, 100, 10):
        tape.append(events(10, start=at))
        tape.commit()
        assert tape.durable == at + 10
    assert core.scan((tmp_path / "a").read_bytes()).mark == 90


class Machine(RuleBasedStateMachine):
    """Many small segments: appends of any size, turns, rotations, offers and takes in any order."""

    @initialize(tmp=st.just(None))
    def begin(self, tmp):
        self.directory = Machine.directory / str(Machine.runs)
        Machine.runs += 1
        self.directory.mkdir()
        self.made = 1
        self.next = 0
        self.closed: list[int] = []
        first = self.directory / "0"
        self.tape = core.Tape(first, segment=core.Segment(first, blocks=2), mode=core.Mode.TAPE_SYNC_GROUP)
        self.left, self.offered, self.rotating = 118, False, False

    @rule(count=st.integers(1, 130))
    def append(self, count):
        if self.rotating and self.offered and self.left < 118:
            self.left, self.offered, self.rotating = 118, False, False
        fits = count <= self.left + (118 if self.offered else 0)
        try:
            self.tape.append(events(count, start=self.next))
        except JournalFull:
            assert not fits
            return
        assert fits
        self.next += count
        self.left -= count
        if self.left < 0:
            self.left, self.offered, self.rotating = self.left + 118, False, False

    @rule(sync=st.booleans())
    def turn(self, sync):
        if self.tape.turn(sync=sync):
            path = self.tape.take()
            self.closed.append(int(path.rsplit("/", 1)[1]))
            assert core.header((self.directory / str(self.closed[-1])).read_bytes()).closed

    @precondition(lambda self: self.tape.needs_segment)
    @rule()
    def offer(self):
        path = self.directory / str(self.made)
        self.tape.offer(core.Segment(path, blocks=2, number=self.made))
        self.made += 1
        self.offered = True

    @rule()
    def rotate(self):
        self.tape.rotate()
        self.rotating = True

    @invariant()
    def everything_appended_reads_back_in_order(self):
        if not hasattr(self, "tape"):
            return
        parts, check, chain = [], 0, bytes(32)
        for number in range(self.made):
            image = (self.directory / str(number)).read_bytes()
            found = core.scan(image)
            assert found.status == Status.OK
            if found.good:
                assert core.header(image).check_before == check
                check = found.check
            parts.append(core.records(image, 0, found.good))
        rows = np.concatenate(parts)
        assert rows.tobytes() == events(self.next).tobytes()
        assert self.closed == list(range(len(self.closed)))
        assert self.tape.durable <= self.tape.count == self.next
        for number in self.closed:
            head = core.header((self.directory / str(number)).read_bytes())
            assert head.chain_before == chain
            chain = head.chain


def test_any_order_of_appends_turns_and_rotations_keeps_every_record(tmp_path):
    Machine.directory, Machine.runs = tmp_path, 0
    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None))

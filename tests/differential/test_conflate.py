"""Conflation against the definition: a receiver behind a tiny ring ends with the book of one that saw every message."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import conflate as core
from engine._core.ring import EventClass, Policy
from engine._core.types import EVENT, LEVEL, Flag, Kind, Status
from engine.errors import RingBadSize
from engine.model import conflate as model

STEM = "conflate"
CONFLATE = {EventClass.RING_CLASS_BOOK: Policy.RING_POLICY_CONFLATE}
FIRST, LAST, ASK, SNAPSHOT, CONFLATED = (
    int(flag) for flag in (Flag.FLAG_FIRST, Flag.FLAG_LAST, Flag.FLAG_ASK, Flag.FLAG_SNAPSHOT, Flag.FLAG_CONFLATED)
)


def depth(first, last, levels, *, prev=-1, symbol=0, flags=0):
    """One depth message; levels are (price, quantity), a negative price stands on the ask side."""
    out = np.zeros(len(levels), dtype=LEVEL)
    for row, (px, qty) in zip(out, levels, strict=True):
        row["px_ticks"], row["qty_lots"], row["flags"] = abs(px), qty, flags | (ASK if px < 0 else 0)
    out["kind"], out["symbol"], out["ts_recv_ns"] = Kind.KIND_BOOK_LEVEL, symbol, last
    out["id_first"], out["id_last"], out["id_prev"] = first, last, prev
    out["flags"][0] |= FIRST
    out["flags"][-1] |= LAST
    return out.view(EVENT)


def single(kind, symbol=0, word=0, flags=0):
    out = np.zeros(1, dtype=EVENT)
    out["kind"], out["symbol"], out["ts_recv_ns"] = kind, symbol, word
    out["flags"] = FIRST | LAST | flags
    return out


def ring_of(impl, capacity, policy=CONFLATE):
    """The ring of the same kind: a twin's table fills a twin's ring."""
    package = impl.__name__.rpartition(".")[0]
    return importlib.import_module(f"{package}.ring").Ring(capacity, policy=policy)


def full_ring(impl, capacity=8):
    ring = ring_of(impl, capacity)
    for _ in range(capacity):
        assert ring.publish(single(Kind.KIND_TRADE)) == Status.OK
    return ring


def drain(ring):
    got = ring.poll().view(LEVEL)
    return got[got["kind"] != Kind.KIND_TRADE]


def test_two_messages_become_one_that_spans_their_ids(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=2, levels_max=8)
    assert table.offer(ring, depth(11, 12, [(100, 5), (-101, 3)])) == Status.OK
    assert table.offer(ring, depth(13, 15, [(100, 0), (99, 7)])) == Status.OK
    table.check()
    assert (ring.waited()[0], table.waiting_count) == (1, 1)
    ring.poll()
    assert table.flush(ring) == Status.OK
    table.check()
    got = drain(ring)
    assert got[["px_ticks", "qty_lots"]].tolist() == [(100, 0), (101, 3), (99, 7)]
    assert got["flags"].tolist() == [FIRST | CONFLATED, ASK | CONFLATED, LAST | CONFLATED]
    assert {(int(e["id_first"]), int(e["id_last"]), int(e["ts_recv_ns"])) for e in got} == {(11, 15, 15)}
    assert table.counts(0) == {"delayed": 2, "conflated": 1, "gap": 0, "stale": 0, "flushed": 1}
    assert table.counts(1)["delayed"] == 0


def test_a_message_that_only_waited_comes_out_as_it_was(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=8)
    message = depth(11, 12, [(100, 5), (-101, 3)], prev=10)
    table.offer(ring, message)
    ring.poll()
    table.flush(ring)
    got = drain(ring)
    got["seq"] = 0
    assert got.tobytes() == message.tobytes()


@pytest.mark.parametrize("prev", [-1, 14])
def test_a_loss_on_the_wire_stays_visible(impl, prev):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=8)
    table.offer(ring, depth(11, 12, [(100, 5)], prev=10 if prev > 0 else -1))
    table.offer(ring, depth(13, 13, [(101, 5)], prev=12 if prev > 0 else -1))
    table.offer(ring, depth(15, 16, [(99, 7)], prev=prev))
    table.check()
    ring.poll()
    table.flush(ring)
    got = drain(ring)
    assert got[["px_ticks", "id_first", "id_last"]].tolist() == [(99, 15, 16)]
    assert table.counts(0) == {"delayed": 3, "conflated": 0, "gap": 2, "stale": 0, "flushed": 1}


def test_an_older_message_does_not_undo_a_newer_one(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=8)
    table.offer(ring, depth(11, 20, [(100, 5)], flags=SNAPSHOT))
    table.offer(ring, depth(12, 13, [(100, 9)]))
    table.check()
    ring.poll()
    table.flush(ring)
    assert drain(ring)["qty_lots"].tolist() == [5]
    assert table.counts(0)["stale"] == 1


def test_a_snapshot_replaces_what_waits_and_the_next_change_may_straddle_it(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=8)
    table.offer(ring, depth(11, 12, [(100, 5), (98, 1)]))
    table.offer(ring, depth(0, 20, [(99, 4)], flags=SNAPSHOT))
    table.offer(ring, depth(19, 22, [(99, 6)], prev=18))
    table.check()
    ring.poll()
    table.flush(ring)
    got = drain(ring)
    assert got[["px_ticks", "qty_lots", "id_last"]].tolist() == [(99, 6, 22)]
    assert got["flags"].tolist() == [FIRST | LAST | SNAPSHOT | CONFLATED]


def test_an_image_without_levels_comes_out_as_one(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=8)
    table.offer(ring, depth(11, 12, [(100, 5)]))
    table.offer(ring, single(Kind.KIND_BOOK_CLEAR, flags=SNAPSHOT))
    table.check()
    ring.poll()
    table.flush(ring)
    got = drain(ring)
    assert got[["kind", "flags"]].tolist() == [(Kind.KIND_BOOK_CLEAR, FIRST | LAST | SNAPSHOT | CONFLATED)]


def test_a_clear_takes_all_that_waits_and_stays_ahead_of_the_next_image(impl):
    """An image that hid it would leave the book's old numbers standing, and be taken for an old image."""
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=8)
    table.offer(ring, depth(11, 12, [(100, 5)]))
    table.offer(ring, single(Kind.KIND_QUOTE, word=1))
    table.offer(ring, single(Kind.KIND_BOOK_CLEAR))
    table.check()
    table.offer(ring, depth(3, 4, [(99, 5)], flags=SNAPSHOT))
    table.check()
    ring.poll()
    assert table.flush(ring) == Status.OK
    got = drain(ring)
    assert got[["kind", "px_ticks", "flags"]].tolist() == [
        (Kind.KIND_BOOK_CLEAR, 0, FIRST | LAST | CONFLATED),
        (Kind.KIND_BOOK_LEVEL, 99, FIRST | LAST | SNAPSHOT),
    ]
    assert table.counts(0) == {"delayed": 4, "conflated": 2, "gap": 0, "stale": 0, "flushed": 2}


def test_updates_after_a_clear_never_pass_for_an_image(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=8)
    table.offer(ring, single(Kind.KIND_BOOK_CLEAR))
    table.offer(ring, depth(13, 14, [(100, 5)]))
    table.check()
    ring.poll()
    table.flush(ring)
    got = drain(ring)
    assert got[["kind", "flags"]].tolist() == [(Kind.KIND_BOOK_CLEAR, FIRST | LAST)]
    assert table.counts(0) == {"delayed": 2, "conflated": 0, "gap": 1, "stale": 0, "flushed": 1}


def test_the_newest_quote_of_each_symbol_survives_in_order_of_waiting(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=3, levels_max=8)
    for word, symbol in enumerate([2, 0, 2, 2]):
        table.offer(ring, single(Kind.KIND_QUOTE, symbol, word))
    table.check()
    ring.poll()
    table.flush(ring)
    got = drain(ring)
    assert got[["symbol", "ts_recv_ns"]].tolist() == [(2, 3), (0, 1)]
    assert [bool(f & CONFLATED) for f in got["flags"]] == [True, False]


def test_a_message_with_no_room_even_here_changes_nothing_and_waits(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=3)
    table.offer(ring, depth(11, 12, [(100, 5), (99, 5)]))
    assert table.offer(ring, depth(13, 14, [(100, 1), (98, 1), (97, 1)])) == Status.RING_WAIT
    table.check()
    assert table.refused_count == 1
    assert table.offer(ring, depth(13, 14, [(100, 1), (98, 1)])) == Status.OK
    ring.poll()
    table.flush(ring)
    assert drain(ring)[["px_ticks", "qty_lots"]].tolist() == [(100, 1), (99, 5), (98, 1)]


def test_a_pending_state_that_does_not_fit_waits_whole(impl):
    ring, table = full_ring(impl, 4), impl.Conflation(symbol_count=1, levels_max=4)
    table.offer(ring, depth(1, 1, [(1, 1), (2, 1), (3, 1)]))
    ring.poll(most=2)
    assert table.flush(ring) == Status.RING_FULL
    assert ring.next == 4
    ring.poll(most=2)
    assert table.flush(ring) == Status.OK
    assert len(drain(ring)) == 3


def test_trades_are_never_taken_into_the_table(impl):
    ring, table = full_ring(impl), impl.Conflation(symbol_count=1, levels_max=8)
    assert table.offer(ring, single(Kind.KIND_TRADE)) == Status.RING_WAIT
    assert table.put(single(Kind.KIND_TRADE)) == Status.RING_BAD_MESSAGE
    assert table.waiting_count == 0


@pytest.mark.parametrize("broken", ["no first", "no last", "two symbols", "mixed", "stranger", "half image", "nothing"])
def test_what_is_not_one_whole_message_is_refused(impl, broken):
    table = impl.Conflation(symbol_count=2, levels_max=8)
    message = depth(11, 12, [(100, 5), (99, 5), (98, 5)])
    if broken == "no first":
        message = message[1:]
    elif broken == "no last":
        message = message[:-1]
    elif broken == "two symbols":
        message["symbol"][1] = 1
    elif broken == "mixed":
        message["kind"][1] = Kind.KIND_TRADE
    elif broken == "stranger":
        message["symbol"] = 2
    elif broken == "half image":
        message["flags"][1] |= SNAPSHOT
    else:
        message = message[:0]
    assert table.put(message) == Status.RING_BAD_MESSAGE
    table.check()
    assert table.waiting_count == 0


def test_an_impossible_shape_is_refused(impl):
    for shape in ((0, 4), (1, 0), (65537, 4), (1, 2**20 + 1)):
        with pytest.raises(RingBadSize):
            impl.Conflation(symbol_count=shape[0], levels_max=shape[1])
    table = impl.Conflation(symbol_count=1, levels_max=8)
    with pytest.raises(RingBadSize):
        table.flush(ring_of(impl, 4))
    with pytest.raises(RingBadSize):
        table.counts(1)


class Receiver:
    """A book that applies whole messages and trusts nothing: every message must follow the one before."""

    def __init__(self):
        self.levels, self.last, self.open = {}, 0, False

    def take(self, e):
        if e["flags"] & FIRST:
            assert not self.open, "a message began inside another"
            self.open = True
            if e["flags"] & SNAPSHOT:
                self.levels.clear()
            else:
                assert e["id_first"] <= self.last + 1 <= e["id_last"] + 1, "a number is missing"
        assert self.open, "half a message"
        self.levels[bool(e["flags"] & ASK), int(e["px_ticks"])] = int(e["qty_lots"])
        if e["flags"] & LAST:
            self.open, self.last = False, int(e["id_last"])

    def book(self):
        return {key: qty for key, qty in self.levels.items() if qty}


MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.lists(st.tuples(st.integers(-6, 6).filter(bool), st.integers(0, 3)), min_size=1, max_size=5),
        st.booleans(),
        st.integers(0, 6),
    ),
    max_size=40,
)


@given(MESSAGES)
@settings(max_examples=300)
def test_a_slow_receiver_ends_with_the_same_book_and_misses_no_number(messages):
    ring, table = ring_of(core, 16), core.Conflation(symbol_count=2, levels_max=12)
    fast, slow, last = [Receiver(), Receiver()], [Receiver(), Receiver()], [0, 0]
    for symbol, levels, image, read in messages:
        message = depth(
            last[symbol] + 1, last[symbol] + 2, levels, symbol=symbol, flags=SNAPSHOT * (image and read == 0)
        )
        last[symbol] += 2
        assert table.offer(ring, message) == Status.OK
        table.check()
        for e in message.view(LEVEL):
            fast[symbol].take(e)
        for e in ring.poll(most=read).view(LEVEL):
            slow[e["symbol"]].take(e)
    while table.waiting_count or ring.next > ring.cursor():
        for e in ring.poll().view(LEVEL):
            slow[e["symbol"]].take(e)
        table.flush(ring)
        table.check()
    assert [r.book() for r in slow] == [r.book() for r in fast]
    assert [r.last for r in slow] == last
    for symbol in (0, 1):
        counts = table.counts(symbol)
        assert counts["delayed"] == counts["conflated"] + counts["flushed"]


class Twins(RuleBasedStateMachine):
    """Kernel and twin behind tiny rings, fed alike: whole and broken messages, gaps, old ones, images, clears."""

    @initialize(
        capacity=st.sampled_from([4, 8]),
        levels_max=st.integers(1, 4),
        policy=st.sampled_from([CONFLATE, CONFLATE, {}, {EventClass.RING_CLASS_BOOK: Policy.RING_POLICY_REFUSE}]),
    )
    def start(self, capacity, levels_max, policy):
        self.pair = [
            (ring_of(impl, capacity, policy), impl.Conflation(symbol_count=2, levels_max=levels_max))
            for impl in (core, model)
        ]
        self.number = 10

    def give(self, message, door):
        ours, theirs = (
            table.put(message) if door == "put" else table.offer(ring, message) for ring, table in self.pair
        )
        assert ours == theirs

    @rule(
        to=st.tuples(st.sampled_from(["offer", "offer", "put"]), st.integers(0, 1)),
        levels=st.lists(st.tuples(st.integers(-3, 3).filter(bool), st.integers(0, 2)), min_size=1, max_size=4),
        numbers=st.tuples(st.integers(-2, 2), st.sampled_from([None, 0, -1])),
        flags=st.sampled_from([0, 0, 0, SNAPSHOT, int(Flag.FLAG_NO_VENUE_TIME)]),
        broken=st.integers(0, 15),
    )
    def send_depth(self, to, levels, numbers, flags, broken):
        (door, symbol), (step, linked) = to, numbers
        first = self.number + step
        self.number = max(self.number, first + 1)
        prev = -1 if linked is None else first - 1 + linked
        message = depth(first, first + 1, levels, prev=prev, symbol=symbol, flags=flags)
        if broken == 0:
            message["flags"][0] ^= FIRST
        elif broken == 1:
            message["flags"][-1] ^= LAST | SNAPSHOT
        self.give(message, door)

    @rule(
        door=st.sampled_from(["offer", "put"]),
        kind=st.sampled_from([Kind.KIND_QUOTE, Kind.KIND_BOOK_CLEAR, Kind.KIND_TRADE, Kind.KIND_ORDER_ACK]),
        symbol=st.integers(0, 2),
        flags=st.sampled_from([0, SNAPSHOT]),
    )
    def send_single(self, door, kind, symbol, flags):
        self.number += 1
        self.give(single(kind, symbol, self.number, flags), door)

    @rule(most=st.integers(1, 8))
    def read(self, most):
        (ring, _), (twin, _) = self.pair
        expected, got = twin.poll(most=most), []
        # The compiled ring may show fewer than there are, never none.
        while sum(map(len, got)) < len(expected):
            got.append(ring.poll(most=len(expected) - sum(map(len, got))))
            assert len(got[-1])
        assert b"".join(part.tobytes() for part in got) == expected.tobytes()

    @rule()
    def flush(self):
        ours, theirs = (table.flush(ring) for ring, table in self.pair)
        assert ours == theirs

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        (ring, ours), (twin_ring, twin) = self.pair
        ours.check()
        twin.check()
        assert (ours.waiting_count, ours.refused_count) == (twin.waiting_count, twin.refused_count)
        assert [ours.counts(i) for i in (0, 1)] == [twin.counts(i) for i in (0, 1)]
        assert (ring.next, ring.waited(), ring.refused()) == (twin_ring.next, twin_ring.waited(), twin_ring.refused())


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)

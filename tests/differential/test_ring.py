"""The compiled ring and its twin in one thread. Threads: tests/stress. Wake-ups: tests/unit/test_ring_wake.py."""

from __future__ import annotations

import select

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import ring as core
from engine._core.ring import EventClass, Policy, Wait
from engine._core.types import EVENT, Kind, Status
from engine.errors import RingBadPolicy, RingBadSize, RingClosed, RingConsumersExhausted
from engine.model import ring as model

STEM = "ring"
BOOK, MARKET, TRADE = EventClass.RING_CLASS_BOOK, EventClass.RING_CLASS_MARKET, EventClass.RING_CLASS_TRADE
CONFLATE, REFUSE, WAIT = Policy.RING_POLICY_CONFLATE, Policy.RING_POLICY_REFUSE, Policy.RING_POLICY_WAIT


def events(count: int, kind: int = Kind.KIND_TRADE, first: int = 0) -> np.ndarray:
    out = np.zeros(count, dtype=EVENT)
    out["kind"] = kind
    out["seq"] = 0xDEAD  # the ring numbers events itself
    out["ts_recv_ns"] = np.arange(first, first + count)
    out["word"] = np.arange(count * 5).reshape(count, 5) * -7
    return out


@pytest.fixture(params=[False, True], ids=["one_producer", "many_producers"])
def many(request):
    return request.param


def test_events_come_out_whole_numbered_and_in_order(impl, many):
    ring = impl.Ring(4, many=many)
    for turn in range(5):
        sent = events(3, first=turn * 3)
        assert ring.publish(sent) == Status.OK
        ring.check()
        got = np.concatenate([ring.poll(), ring.poll()])
        assert got["seq"].tolist() == [turn * 3, turn * 3 + 1, turn * 3 + 2]
        assert all((got[name] == sent[name]).all() for name in EVENT.names if name != "seq")


def test_a_batch_that_does_not_fit_is_not_half_published(impl, many):
    ring = impl.Ring(4, many=many)
    ring.publish(events(3))
    assert ring.publish(events(2)) == Status.RING_WAIT
    assert ring.next == 3
    assert len(ring.poll()) == 3


def test_a_batch_larger_than_the_ring_is_an_error(impl, many):
    ring = impl.Ring(4, many=many)
    for count in (0, 5):
        with pytest.raises(RingBadSize):
            ring.publish(events(count))


def test_the_producer_waits_for_the_slowest_consumer(impl, many):
    ring = impl.Ring(2, many=many, behind=(0, 0))
    ring.publish(events(2))
    assert len(ring.poll(0)) == 2
    assert ring.publish(events(1)) == Status.RING_WAIT
    assert len(ring.poll(1, most=1)) == 1
    assert ring.publish(events(1)) == Status.OK


def test_a_consumer_never_overtakes_the_one_it_is_behind(impl, many):
    ring = impl.Ring(4, many=many, behind=(0, 1))
    ring.publish(events(3))
    assert len(ring.poll(1)) == 0
    ring.poll(0, most=2)
    ring.check()
    assert ring.poll(1)["ts_recv_ns"].tolist() == [0, 1]


def test_a_closed_ring_is_drained_and_then_says_so(impl, many):
    ring = impl.Ring(4, many=many, behind=(0, 1))
    ring.publish(events(2))
    ring.close()
    ring.close()
    assert ring.closed
    assert ring.publish(events(1)) == Status.RING_CLOSED
    assert len(ring.poll(1)) == 0, "the one ahead has not read: not the end yet"
    assert len(ring.poll(0)) == 2
    with pytest.raises(RingClosed):
        ring.poll(0)
    assert len(ring.poll(1)) == 2
    with pytest.raises(RingClosed):
        ring.poll(1)


@pytest.mark.parametrize(
    ("kind", "policy", "status"),
    [
        (Kind.KIND_BOOK_LEVEL, {BOOK: CONFLATE}, Status.RING_CONFLATE),
        (Kind.KIND_QUOTE, {BOOK: REFUSE}, Status.RING_FULL),
        (Kind.KIND_BOOK_CLEAR, {}, Status.RING_WAIT),
        (Kind.KIND_MARK, {MARKET: REFUSE}, Status.RING_FULL),
        (Kind.KIND_DECISION, {EventClass.RING_CLASS_REPORT: REFUSE}, Status.RING_FULL),
        (Kind.KIND_TRADE, {MARKET: REFUSE, BOOK: REFUSE}, Status.RING_WAIT),
        (Kind.KIND_ORDER_FILL, {}, Status.RING_WAIT),
        (Kind.KIND_TIMER, {}, Status.RING_WAIT),
        (Kind.KIND_CONTROL, {}, Status.RING_WAIT),
        (Kind.KIND_INTENT_CANCEL, {}, Status.RING_WAIT),
        (255, {MARKET: REFUSE, BOOK: REFUSE}, Status.RING_WAIT),
    ],
)
def test_a_full_ring_does_what_the_class_says_and_counts_it(impl, many, kind, policy, status):
    ring = impl.Ring(1, many=many, policy=policy)
    ring.publish(events(1))
    before = sum(ring.refused()) + sum(ring.waited())
    assert ring.publish(events(1, kind)) == status
    assert sum(ring.refused()) == (status == Status.RING_FULL)
    assert before == 0
    assert sum(ring.waited()) == (status != Status.RING_FULL)


@pytest.mark.parametrize("event_class", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("policy", [REFUSE, CONFLATE])
def test_what_must_never_be_dropped_cannot_be_configured_away(impl, event_class, policy):
    with pytest.raises(RingBadPolicy):
        impl.Ring(4, policy={event_class: policy})


@pytest.mark.parametrize("policy", [{8: 0}, {-1: 0}, {0: 3}, {0: -1}, {MARKET: CONFLATE}])
def test_an_unknown_class_or_policy_is_refused(impl, policy):
    with pytest.raises(RingBadPolicy):
        impl.Ring(4, policy=policy)


@pytest.mark.parametrize("capacity", [0, 3, 6, 1000])
def test_a_capacity_that_is_no_power_of_two_is_refused(impl, capacity):
    with pytest.raises(RingBadSize):
        impl.Ring(capacity)


@pytest.mark.parametrize("behind", [(), (0,) * 9, (1,), (0, 2), (0, 0, 4)])
def test_no_consumer_too_many_or_a_circle_is_refused(impl, behind):
    with pytest.raises(RingConsumersExhausted):
        impl.Ring(4, behind=behind)


def test_a_consumer_that_does_not_exist_is_an_error(impl):
    with pytest.raises(RingConsumersExhausted):
        impl.Ring(4).poll(1)


def test_waiting_reports_what_came_about(many):
    ring = core.Ring(2, many=many)
    for mode in Wait:
        assert ring.wait(mode=mode, spins=3, timeout_ms=0) == Status.RING_EMPTY
        assert ring.wait_room(mode=mode, spins=3, timeout_ms=0) == Status.OK
    ring.publish(events(2))
    assert ring.wait() == Status.OK
    assert ring.wait_room(spins=3, timeout_ms=0) == Status.RING_FULL
    ring.close()
    assert ring.wait_room() == Status.RING_CLOSED
    ring.poll()
    assert ring.wait() == Status.RING_CLOSED
    assert ring.parks() == (1, 0)


def test_a_parked_producer_finds_its_descriptor_readable_after_a_release():
    ring = core.Ring(1)
    ring.publish(events(1))
    assert ring.wait_room(spins=0, timeout_ms=0) == Status.RING_FULL
    ring.poll()
    assert not select.select([ring.room_fd()], [], [], 0)[0], "nobody waits any more: no wake is owed"


class Twins(RuleBasedStateMachine):
    """Random traffic on rings of a few slots; everything a caller can see must agree after every step."""

    @initialize(
        bits=st.integers(0, 3),
        many=st.booleans(),
        behind=st.sampled_from([(0,), (0, 0), (0, 1), (0, 1, 2), (0, 0, 3), (0, 1, 1, 0)]),
        book=st.sampled_from(list(Policy)),
    )
    def start(self, bits, many, behind, book):
        shape = {"many": many, "behind": behind, "policy": {BOOK: book}}
        self.pair = (core.Ring(1 << bits, **shape), model.Ring(1 << bits, **shape))
        self.sent = 0

    @rule(count=st.integers(1, 9), kind=st.sampled_from([Kind.KIND_TRADE, Kind.KIND_QUOTE, Kind.KIND_MARK, 200]))
    def publish(self, count, kind):
        batch = events(min(count, self.pair[0].capacity), kind, self.sent)
        self.sent += len(batch)
        ours, twin = (ring.publish(batch) for ring in self.pair)
        assert ours == twin

    @rule(consumer=st.integers(0, 3), most=st.integers(0, 9))
    def poll(self, consumer, most):
        ours, twin = self.pair
        if consumer >= twin.consumer_count:
            return
        # The compiled ring may show fewer than there are, never none: ask until it has nothing more.
        got = []
        try:
            expected = twin.poll(consumer, most)
        except RingClosed:
            with pytest.raises(RingClosed):
                ours.poll(consumer, most)
            return
        while sum(map(len, got)) < len(expected):
            got.append(ours.poll(consumer, len(expected) - sum(map(len, got))))
            assert len(got[-1])
        assert b"".join(part.tobytes() for part in got) == expected.tobytes()

    @rule(really=st.integers(0, 9))
    def close(self, really):
        if really == 0:
            for ring in self.pair:
                ring.close()

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        ours, twin = self.pair
        ours.check()
        twin.check()
        assert (ours.next, ours.closed, ours.refused(), ours.waited()) == (
            twin.next,
            twin.closed,
            twin.refused(),
            twin.waited(),
        )
        assert [ours.cursor(i) for i in range(ours.consumer_count)] == twin.cursors


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

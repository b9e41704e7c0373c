"""The bounded memory against an ordered dictionary: what is remembered, what is forgotten, and that no key is lost."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bench.loops import probe_recent

Recent = probe_recent.Recent
KEEP_NS = 10


def test_a_key_that_is_put_again_keeps_its_value_and_is_young_again():
    memory = Recent(3, KEEP_NS)
    assert memory.put(7, 1, 0, 111) == 111
    assert memory.put(7, 1, 9, 222) == 111
    assert memory.find(7, 1, 19) == 111
    assert memory.find(7, 1, 20) is None
    assert memory.count == 1


def test_the_two_parts_of_a_key_are_two():
    memory = Recent(4, KEEP_NS)
    memory.put(7, 1, 0, 10)
    memory.put(7, 2, 0, 20)
    memory.put(8, 1, 0, 30)
    assert [memory.find(*key, 0) for key in ((7, 1), (7, 2), (8, 1), (8, 2))] == [10, 20, 30, None]


def test_when_full_the_oldest_place_is_given_away_and_too_early_is_counted():
    memory = Recent(2, KEEP_NS)
    for at, key in enumerate((1, 2, 3)):
        memory.put(key, 1, at, key)
    assert [memory.find(key, 1, 2) for key in (1, 2, 3)] == [None, 2, 3]
    assert memory.early_count == 1
    memory.put(4, 1, 100, 4)
    assert memory.early_count == 1
    assert memory.check()


def test_dropping_what_is_not_there_changes_nothing():
    memory = Recent(4, KEEP_NS)
    memory.put(1, 1, 0, 1)
    memory.drop_from_index(2, 1)
    assert memory.check()
    assert memory.find(1, 1, 0) == 1


@pytest.mark.parametrize(
    "spoil", [lambda m: m.drop_from_index(1, 1), lambda m: setattr(m, "count", 1), lambda m: setattr(m, "count", 9)]
)
def test_check_sees_an_entry_without_an_index_and_a_count_that_is_wrong(spoil):
    memory = Recent(4, KEEP_NS)
    memory.put(1, 1, 0, 1)
    memory.put(2, 1, 0, 2)
    assert memory.check()
    spoil(memory)
    assert not memory.check()


class Twins(RuleBasedStateMachine):
    """Few keys and a tiny table: runs collide, wrap round the end and are closed all the time."""

    @initialize(capacity=st.integers(1, 6))
    def start(self, capacity):
        self.memory, self.capacity, self.now, self.next = Recent(capacity, KEEP_NS), capacity, 0, 1
        self.twin: OrderedDict[tuple[int, int], tuple[int, int]] = OrderedDict()
        self.early = 0

    @rule(a=st.integers(0, 11), b=st.integers(1, 2))
    def put(self, a, b):
        value = self.memory.put(a, b, self.now, self.next)
        if (a, b) in self.twin:
            self.twin[a, b] = (self.now, self.twin[a, b][1])
        else:
            if len(self.twin) == self.capacity:
                # Forgotten by place: renewing a key does not move it.
                _, (ts, _) = self.twin.popitem(last=False)
                self.early += self.now - ts <= KEEP_NS
            self.twin[a, b] = (self.now, self.next)
        assert value == self.twin[a, b][1]
        self.next += 1

    @rule(step=st.integers(0, 6))
    def wait(self, step):
        self.now += step

    @invariant()
    def both_remember_the_same(self):
        if not hasattr(self, "memory"):
            return
        assert self.memory.check()
        assert (self.memory.count, self.memory.early_count) == (len(self.twin), self.early)
        for a in range(12):
            for b in (1, 2):
                ts, value = self.twin.get((a, b), (self.now - KEEP_NS - 1, None))
                assert self.memory.find(a, b, self.now) == (value if self.now - ts <= KEEP_NS else None)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

"""The compiled pool and its twin; threads on a shared pool are in tests/stress."""

from __future__ import annotations

import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import pool as core
from engine.errors import BadHandle, BadSize, Bot4Error, DoubleFree, PoolExhausted, StaleHandle, WrongThread
from engine.model import pool as model

STEM = "pool"
LIVES_MAX = 2**33 - 1


def test_a_new_object_is_zero_whatever_was_there_before(impl):
    pool = impl.Pool(1, object_size=16)
    first = pool.alloc()
    pool.write(first, b"\xff" * 16)
    pool.free(first)
    assert pool.read(pool.alloc()) == bytes(16)
    pool.check()


def test_an_old_handle_never_reaches_the_next_object(impl):
    pool = impl.Pool(1)
    old = pool.alloc()
    pool.free(old)
    new = pool.alloc()
    assert old != new
    assert (pool.alive(old), pool.alive(new)) == (False, True)
    for use in (pool.read, pool.free, lambda h: pool.write(h, b"x")):
        with pytest.raises(StaleHandle):
            use(old)
    assert pool.read(new) == bytes(64)


def test_a_second_free_is_named_as_such(impl):
    pool = impl.Pool(2)
    handle = pool.alloc()
    pool.free(handle)
    with pytest.raises(DoubleFree):
        pool.free(handle)
    with pytest.raises(StaleHandle):
        pool.read(handle)
    pool.check()


def test_a_handle_that_was_never_given_out_is_refused(impl):
    pool = impl.Pool(3, tag=7)
    good = pool.alloc()
    index = 2**22 - 1
    foreign = impl.Pool(3, tag=8).alloc()
    strange = [0, 2**64 - 1, foreign, good | index, good + (1 << 22), good + (2 << 22), good ^ (1 << 63)]
    for handle in strange:
        for use in (pool.read, pool.free):
            with pytest.raises(BadHandle):
                use(handle)
    assert pool.alive(good)


def test_a_full_pool_says_so_and_recovers(impl):
    pool = impl.Pool(2)
    handles = [pool.alloc(), pool.alloc()]
    with pytest.raises(PoolExhausted):
        pool.alloc()
    assert pool.exhausted_count == 1
    pool.free(handles[0])
    pool.alloc()
    assert pool.live_count == 2


def test_a_slot_that_lived_all_its_lives_is_retired_not_reused(impl):
    pool = impl.Pool(2)
    pool.age(0, LIVES_MAX)
    last = pool.alloc()
    assert last >> 22 & (2**34 - 1) == 2**34 - 1
    pool.free(last)
    pool.check()
    assert (pool.retired_count, pool.alive(last)) == (1, False)
    with pytest.raises(DoubleFree):
        pool.free(last)
    pool.alloc()
    with pytest.raises(PoolExhausted):
        pool.alloc()


def test_only_a_free_slot_of_the_pool_can_be_aged(impl):
    pool = impl.Pool(1)
    for index, lives in ((1, 0), (0, LIVES_MAX + 1)):
        with pytest.raises(BadSize):
            pool.age(index, lives)
    pool.alloc()
    with pytest.raises(BadHandle):
        pool.age(0, 5)


def test_writing_past_the_object_is_refused(impl):
    pool = impl.Pool(1, object_size=8)
    handle = pool.alloc()
    pool.write(handle, b"")
    with pytest.raises(BadSize):
        pool.write(handle, bytes(9))


@pytest.mark.parametrize(
    "shape",
    [
        {"capacity": 0},
        {"capacity": 2**22},
        {"capacity": 1, "object_size": 0},
        {"capacity": 1, "object_size": 12},
        {"capacity": 1, "object_size": 2**20 + 8},
        {"capacity": 1, "tag": 0},
        {"capacity": 1, "tag": 256},
    ],
)
def test_an_impossible_shape_is_refused(impl, shape):
    with pytest.raises(BadSize):
        impl.Pool(**shape)


@pytest.mark.parametrize("capacity", [10_000, 100_000, 1_000_000])
def test_every_capacity_named_gives_that_many_objects(capacity):
    pool = core.Pool(capacity, object_size=8)
    handles = {pool.alloc() for _ in range(capacity)}
    assert len(handles) == pool.live_count == capacity
    with pytest.raises(PoolExhausted):
        pool.alloc()
    pool.check()


@pytest.mark.parametrize("capacity", [1, 63, 64, 65, 200, 1000])
def test_a_cache_gives_every_object_of_a_shared_pool_and_takes_it_back(capacity):
    pool = core.Pool(capacity, shared=True)
    cache = pool.cache()
    handles = [cache.alloc() for _ in range(capacity)]
    with pytest.raises(PoolExhausted):
        cache.alloc()
    assert pool.live_count == len(set(handles)) == capacity
    pool.check(cache)
    for handle in handles:
        cache.free(handle)
        with pytest.raises(DoubleFree):
            cache.free(handle)
    assert cache.held_count <= 128
    pool.check(cache)
    cache.flush()
    pool.check()
    assert (pool.live_count, cache.held_count) == (0, 0)


def test_a_cache_refuses_handles_that_are_not_alive():
    pool = core.Pool(1, shared=True)
    cache = pool.cache()
    old = cache.alloc()
    cache.free(old)
    cache.alloc()
    with pytest.raises(StaleHandle):
        cache.free(old)
    for handle in (0, old + (4 << 22), old ^ (1 << 60), old | 1):
        with pytest.raises(BadHandle):
            cache.free(handle)


def test_a_shared_slot_retires_too():
    pool = core.Pool(1, shared=True)
    cache = pool.cache()
    pool.age(0, LIVES_MAX)
    cache.free(cache.alloc())
    pool.check(cache)
    assert pool.retired_count == 1
    with pytest.raises(PoolExhausted):
        cache.alloc()


def test_a_cache_works_only_on_the_thread_that_made_it():
    pool = core.Pool(4, shared=True)
    cache = pool.cache()
    handle = cache.alloc()
    caught = []

    def elsewhere():
        for use in (cache.alloc, lambda: cache.free(handle), cache.flush):
            try:
                use()
            except WrongThread as error:
                caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(caught) == 3
    assert pool.alive(handle)


def test_the_two_forms_do_not_mix():
    with pytest.raises(WrongThread):
        core.Pool(4).cache()
    shared = core.Pool(4, shared=True)
    for use in (shared.alloc, lambda: shared.free(1)):
        with pytest.raises(WrongThread):
            use()


class Twins(RuleBasedStateMachine):
    """Random lives in a pool of a few slots, with handles of all ages; both must give the same answers."""

    @initialize(capacity=st.integers(1, 4))
    def start(self, capacity):
        self.pair = (core.Pool(capacity, object_size=8, tag=3), model.Pool(capacity, object_size=8, tag=3))
        self.handles = [0]

    def _both(self, call):
        results = []
        for pool in self.pair:
            try:
                results.append(call(pool))
            except Bot4Error as error:
                results.append(type(error))
        assert results[0] == results[1]
        return results[0]

    @rule()
    def alloc(self):
        handle = self._both(lambda pool: pool.alloc())
        if isinstance(handle, int):
            self.handles.append(handle)

    @rule(at=st.integers(0, 30), nudge=st.sampled_from([0, 0, 0, 1, 1 << 22, 1 << 23, 1 << 56]))
    def free(self, at, nudge):
        handle = self.handles[-1 - at % len(self.handles)] ^ nudge
        self._both(lambda pool: pool.free(handle))

    @rule(at=st.integers(0, 30), data=st.binary(max_size=9))
    def write_and_read(self, at, data):
        handle = self.handles[-1 - at % len(self.handles)]
        self._both(lambda pool: pool.write(handle, data))
        self._both(lambda pool: pool.read(handle))

    @rule(index=st.integers(0, 4), lives=st.sampled_from([LIVES_MAX, LIVES_MAX - 1]))
    def age(self, index, lives):
        # Never backwards: a second life under an old number is what ageing must not make.
        if index < self.pair[1].capacity and self.pair[1].generations[index] <= lives * 2:
            self._both(lambda pool: pool.age(index, lives))

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        ours, twin = self.pair
        ours.check()
        twin.check()
        names = ("live_count", "retired_count", "exhausted_count")
        assert [getattr(ours, name) for name in names] == [getattr(twin, name) for name in names]
        assert [ours.alive(h) for h in self.handles] == [twin.alive(h) for h in self.handles]


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

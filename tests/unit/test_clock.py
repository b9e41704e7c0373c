"""The clock: one word that never runs backwards, moved by the hardware or by hand."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.loops import probe_clock
from engine._core import clock as core
from engine.errors import ClockBackwards, ClockError
from engine.model import clock as model
from tests.support import virtual

STEM = "clock"
INT64_MAX = 2**63 - 1


def test_a_manual_clock_stands_still_until_it_is_set(impl):
    clock = impl.Clock(manual=True, start_ns=50)
    clock.check()
    assert (clock.now_ns, clock.stamp(), clock.stamp()) == (50, 50, 50)
    clock.anchor()
    clock.set(51)
    assert (clock.now_ns, clock.stamp(), clock.backwards_count) == (51, 51, 0)


def test_setting_a_manual_clock_back_is_refused_and_changes_nothing(impl):
    clock = impl.Clock(manual=True, start_ns=1000)
    with pytest.raises(ClockBackwards, match="999 after 1000"):
        clock.set(999)
    assert clock.now_ns == 1000
    clock.set(1000)
    clock.set(INT64_MAX)
    with pytest.raises(ClockBackwards):
        clock.set(INT64_MAX - 1)
    clock.check()


@given(steps=st.lists(st.integers(-5, INT64_MAX), max_size=40))
def test_twin_and_kernel_hold_the_same_time_after_every_step(steps):
    pair = core.Clock(manual=True), model.Clock(manual=True)
    for wanted in steps:
        outcomes = []
        for clock in pair:
            try:
                clock.set(wanted)
                outcomes.append("set")
            except ClockBackwards:
                outcomes.append("refused")
            clock.check()
        assert outcomes[0] == outcomes[1]
        assert pair[0].now_ns == pair[1].now_ns


def test_the_hardware_clock_cannot_be_set():
    with pytest.raises(ClockError, match="manual=True"):
        core.Clock().set(5)


def test_stamps_of_the_hardware_never_run_backwards():
    clock = core.Clock()
    stamps = [clock.stamp() for _ in range(20_000)]
    assert stamps == sorted(stamps)
    assert stamps[-1] > stamps[0]
    assert clock.now_ns == stamps[-1]
    clock.check()


def test_anchoring_again_never_moves_the_word_back():
    clock = core.Clock()
    last = clock.now_ns
    for _ in range(500):
        clock.anchor()
        now = clock.stamp()
        assert now >= last
        last = now


@pytest.mark.parametrize("invariant", [True, False])
def test_a_step_back_of_the_systems_clock_is_held_and_counted(invariant):
    if invariant and not core.counter_invariant():
        pytest.skip("this CPU has no invariant counter")
    clock = core.Clock()
    probe_clock.rule(clock, invariant=invariant, ahead_ns=3_600 * 10**9)
    ahead = clock.now_ns
    # An hour ahead of UTC: a stamp for which the system has gone back is the last one again.
    assert [clock.stamp() for _ in range(3)] == [ahead] * 3
    assert clock.backwards_count == 3
    clock.check()


def test_a_clock_without_an_invariant_counter_reads_the_systems_own():
    clock = core.Clock()
    probe_clock.rule(clock, invariant=False, ahead_ns=0)
    before = core.utc_ns()
    stamp = clock.stamp()
    assert clock.now_ns == stamp
    assert before <= stamp <= core.utc_ns()


def test_a_clock_says_who_drives_it():
    assert core.Clock(manual=True).manual is True
    assert core.Clock().manual is False


def test_utc_lies_between_two_readings_of_the_system():
    before = time.time_ns()
    now = core.utc_ns()
    assert before <= now <= time.time_ns()


def test_monotonic_time_lies_between_two_readings_of_the_system():
    before = time.monotonic_ns()
    now = core.monotonic_ns()
    assert before <= now <= time.monotonic_ns()


def _spin_until_monotonic(target_ns: int) -> None:
    while core.monotonic_ns() < target_ns:
        core.cycles()


@pytest.mark.skipif(not core.counter_invariant(), reason="this CPU has no invariant counter")
def test_the_counter_and_the_systems_clock_run_at_the_same_rate():
    # A ratio, not a time: both intervals are measured over the same work, and the bracket of each pair of readings
    # is part of the bound, so a preempted reading widens the bound instead of failing the test.
    def reading() -> tuple[int, int, int]:
        return min(((core.cycles(), core.monotonic_ns(), core.cycles()) for _ in range(50)), key=lambda r: r[2] - r[0])

    scale = core.ns_per_cycle()
    first = reading()
    _spin_until_monotonic(first[1] + 50_000_000)
    last = reading()
    elapsed = last[1] - first[1]
    uncertain = ((first[2] - first[0]) + (last[2] - last[0])) * scale
    counted = (last[0] - first[0]) * scale
    # Calibration over 20 ms in brackets of some 100 ns is good to tens of parts per million; 1000 leaves room for
    # a virtual machine whose host steals both.
    assert abs(counted - elapsed) <= elapsed * 1e-3 + uncertain


def test_utc_from_the_counter_stays_with_the_systems_utc():
    clock = core.Clock()
    start = core.monotonic_ns()
    _spin_until_monotonic(start + 20_000_000)
    # The stamp is taken between two readings of the system; beyond them it may stand by the counter's drift since
    # the anchor, a thousandth of the interval.
    before = core.utc_ns()
    stamp = clock.stamp()
    after = core.utc_ns()
    drift = (core.monotonic_ns() - start) * 1e-3 + 2_000
    assert before - drift <= stamp <= after + drift
    clock.anchor()
    clock.check()


def test_the_twin_has_no_hardware():
    with pytest.raises(ClockBackwards):
        model.Clock(manual=False)


def test_a_time_before_1970_breaks_the_invariant(impl):
    with pytest.raises(AssertionError):
        impl.Clock(manual=True, start_ns=-1).check()


def test_a_held_clock_says_what_it_was_told_until_it_is_given_back():
    real = core.utc_ns()
    try:
        core.hold(5_000, 700)
        assert (core.utc_ns(), core.monotonic_ns(), core.utc_ns()) == (5_000, 700, 5_000)
        with pytest.raises(ClockBackwards):
            core.hold(-1, 0)
        assert core.utc_ns() == 5_000
    finally:
        core.hold(0, 0)
    assert core.utc_ns() >= real


def test_on_a_loop_with_time_of_its_own_an_hour_passes_in_no_time_and_in_order():
    order = []

    async def main():
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        for seconds in (3600, 60, 0.5):
            loop.call_later(seconds, lambda seconds=seconds: order.append((seconds, core.utc_ns() - start)))
        loop.call_later(3601, ended.set)
        await ended.wait()

    start = virtual.START_NS + 1_000 * 10**9
    virtual.run(main())
    assert [seconds for seconds, _ in order] == [0.5, 60, 3600]
    assert all(0 <= at_ns - int(seconds * 10**9) < 1_000 for seconds, at_ns in order)

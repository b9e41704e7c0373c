"""A call under a breaker, its guard and its subscribers, on kernel and twin; then what the kernel alone promises."""

from __future__ import annotations

import itertools
import logging

import pytest

from engine import errors
from engine._core import breaker as core
from engine._core.clock import utc_ns
from engine._core.memory import AllocationProbe
from tests.support.breakers import CLOSED, HALF_OPEN, OPEN, TICK, clock_of, fail, family, one

STEM = "breaker"


# ---------------------------------------------------------------------------------------------- calls and callbacks
class RefusedError(Exception):
    pass


def boom(error):
    raise error


def test_a_call_records_its_own_outcome(impl):
    breaker = one(impl, ignore=(RefusedError,))
    assert breaker.call(lambda *xs: sum(xs)) == 0
    assert breaker.call(lambda *xs: sum(xs), 1) == 1
    assert breaker.call(lambda *xs: sum(xs), 1, 2) == 3
    assert breaker.call(lambda *xs: sum(xs), 1, 2, 3, 4) == 10
    with pytest.raises(ConnectionError):
        breaker.call(boom, ConnectionError())
    with pytest.raises(RefusedError):
        breaker.call(boom, RefusedError())
    with pytest.raises(KeyboardInterrupt):
        breaker.call(boom, KeyboardInterrupt())
    metrics = breaker.metrics()
    assert (metrics["success"], metrics["failure"], metrics["released"], metrics["allowed"]) == (5, 1, 1, 7)


def test_a_call_to_an_open_component_does_not_run(impl):
    breaker = one(impl)
    breaker.trip(0)
    ran = []
    with pytest.raises(errors.BreakerOpen):
        breaker.call(ran.append, 1)
    with pytest.raises(errors.BreakerOpen), breaker.guard():
        ran.append(2)
    assert ran == []


def test_a_guard_records_its_own_outcome_and_can_be_used_again(impl):
    breaker = one(impl, error_rate=0)
    guard = breaker.guard()
    for _ in range(3):
        with guard:
            assert breaker.state == CLOSED
    for _ in range(3):
        with pytest.raises(ValueError, match="venue said no"), guard:
            raise ValueError("venue said no")
    assert (breaker.state, breaker.metrics()["failure"]) == (OPEN, 3)


def test_a_guard_is_entered_by_one_caller_at_a_time(impl):
    breaker = one(impl)
    guard = breaker.guard()
    with guard:
        with pytest.raises(RuntimeError, match="already entered"), guard:
            pass
        with breaker.guard():
            pass
    assert breaker.metrics()["success"] == 2


def test_only_the_named_exceptions_count_as_failures(impl):
    breaker = one(impl, failure_on=(OSError,), failures_in_a_row=1)
    with pytest.raises(ZeroDivisionError):
        breaker.call(boom, ZeroDivisionError())
    assert breaker.state == CLOSED
    with pytest.raises(ConnectionResetError):
        breaker.call(boom, ConnectionResetError())
    assert breaker.state == OPEN


def test_a_trip_can_be_raised_in_place_of_the_last_failure(impl):
    breaker = one(impl, raise_on_trip=True, failures_in_a_row=1)
    with pytest.raises(errors.BreakerTooManyFailures) as caught:
        breaker.call(boom, OSError("down"))
    assert isinstance(caught.value.__context__, OSError)
    other = one(impl, raise_on_trip=True, failures_in_a_row=1)
    with pytest.raises(errors.BreakerTooManyFailures), other.guard():
        raise OSError("down")
    assert other.state == OPEN


def test_a_call_is_a_trial_when_the_cooldown_is_over(impl):
    breakers = impl.Breakers(open_share=0, clock=(clock := clock_of(impl)))
    breaker = breakers.declare("venue", cooldown_ns=4 * TICK, tokens=2)
    breaker.trip(0)
    clock.set(4 * TICK)
    assert breaker.call(lambda: breaker.state) == HALF_OPEN
    assert breaker.call(lambda: breaker.state) == HALF_OPEN
    assert breaker.call(lambda: breaker.state) == CLOSED


def test_a_guard_closes_after_a_trial_and_measures_time_by_its_clock(impl):
    breakers = impl.Breakers(open_share=0, clock=(clock := clock_of(impl)))
    breaker = breakers.declare("venue", cooldown_ns=4 * TICK, failures_in_a_row=1)
    guard = breaker.guard()
    with pytest.raises(ConnectionError), guard:
        raise ConnectionError
    clock.set(4 * TICK - 1)
    with pytest.raises(errors.BreakerOpen), guard:
        pass
    clock.set(4 * TICK)
    with guard:
        assert breaker.state == HALF_OPEN
    assert breaker.state == CLOSED


def test_a_subscriber_that_raises_harms_nobody(impl):
    breakers = family(impl)
    seen = []
    breakers.subscribe(lambda event: boom(RefusedError(event.component)))
    breakers.subscribe(seen.append)
    breakers["database"].trip(0)
    drained = breakers.drain()
    breakers.check()
    assert seen == drained
    assert len(seen) == 1
    assert breakers.callback_errors == 1
    assert isinstance(breakers.callback_error_last, RefusedError)
    assert breakers.drain() == []


def test_an_interrupt_in_a_subscriber_stops_the_process_and_not_only_the_subscriber(impl):
    breakers = family(impl)
    breakers.subscribe(lambda event: boom(KeyboardInterrupt()))
    breakers["database"].trip(0)
    with pytest.raises(KeyboardInterrupt):
        breakers.drain()
    assert (breakers.callback_errors, breakers["database"].state) == (0, OPEN)


def test_a_full_record_loses_events_by_count_and_never_state(impl):
    breakers = impl.Breakers(event_capacity=2, open_share=0, clock=clock_of(impl))
    breaker = breakers.declare("venue", cooldown_ns=TICK)
    for i in range(5):
        breaker.trip(10 * i * TICK)
    assert (breaker.state, breakers.events_lost, len(breakers.drain())) == (OPEN, 3, 2)
    for i in range(7):
        breaker.trip((100 + i) * TICK)
        assert len(breakers.drain()) == 1
    breakers.check()


# --------------------------------------------------------------------------------------------------- the kernel alone
def test_the_block_is_small_and_a_copy_of_it_is_equal():
    breakers = core.Breakers(event_capacity=1024)
    for i in range(64):
        breakers.declare(f"c{i}")
    image = breakers.image()
    assert len(image) == 192 + 64 * 128 + 1024 * 64
    assert len(image) < 10 * 1024 * 1024
    assert image == breakers.image()


def test_equal_histories_give_equal_bytes():
    images = []
    for _ in range(2):
        breakers = family(core)
        fail(breakers["venue"], 3, 5 * TICK)
        breakers.drain()
        breakers.tick(50 * TICK)
        images.append(breakers.image())
    assert images[0] == images[1]


def test_a_guard_in_use_allocates_nothing():
    breaker = core.Breakers().declare("venue")
    guard = breaker.guard()
    # Bound once: the two bound methods that a `with` statement makes each time are the interpreter's own.
    enter, leave, call = guard.__enter__, guard.__exit__, breaker.call

    def use(times):
        with AllocationProbe() as probe:
            for _ in itertools.repeat(None, times):
                enter()
                leave(None, None, None)
                call(abs, 5)
        return probe.python_calls

    use(40)
    assert use(5000) == use(20)
    assert breaker.metrics()["success"] == 2 * 5060


def test_every_change_is_logged_with_its_reason(caplog):
    breakers = family(core)
    with caplog.at_level(logging.WARNING, logger="engine.breaker"):
        fail(breakers["database"], 3)
        breakers.drain()
    assert [r.getMessage() for r in caplog.records] == [
        "breaker database: CHANGE_CLOSED_TO_OPEN (REASON_FAILURES_IN_A_ROW, epoch 1, detail 3)"
    ]


def test_without_a_given_clock_the_hardware_one_is_read():
    breakers = core.Breakers(open_share=0)
    before_ns = utc_ns()
    with pytest.raises(ConnectionError):
        breakers.declare("venue", failures_in_a_row=1).call(boom, ConnectionError())
    (event,) = breakers.drain()
    # Within an hour: the clock is UTC, whatever its drift.
    assert abs(event.now_ns - before_ns) < 3_600_000_000_000


def test_an_epoch_counts_every_transition():
    breaker = one(core, cooldown_ns=1, failures_in_a_row=1)
    now = 0
    for _ in range(3):
        breaker.trip(now)
        now += 2 * TICK
        permit = breaker.allow(now)
        breaker.success(permit, now)
    assert (breaker.epoch, breaker.state) == (9, CLOSED)

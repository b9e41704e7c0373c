"""The breakers and their twin: the rules one by one, then every short sequence, then random ones."""

from __future__ import annotations

import importlib
import itertools
import logging

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine import errors
from engine._core import breaker as core
from engine._core.clock import utc_ns
from engine._core.memory import AllocationProbe
from engine._core.types import Status
from engine.model import breaker as model

STEM = "breaker"
TICK = core.TICK_NS
CLOSED, OPEN, HALF_OPEN = 0, 1, 2


def clock_of(impl, start_ns=0):
    package = impl.__name__.rpartition(".")[0]
    return importlib.import_module(f"{package}.clock").Clock(manual=True, start_ns=start_ns)


def one(impl, *, tables=None, **config):
    config = {"cooldown_ns": 4 * TICK, "window": 4, "minimum_calls": 4, "failures_in_a_row": 3} | config
    return impl.Breakers(open_share=0, clock=clock_of(impl), **(tables or {})).declare("venue", **config)


def fail(breaker, times, now_ns=0):
    return [int(breaker.failure(breaker.allow(now_ns), now_ns)) for _ in range(times)]


def succeed(breaker, times, now_ns=0):
    return [int(breaker.success(breaker.allow(now_ns), now_ns)) for _ in range(times)]


# ------------------------------------------------------------------------------------------------ when it trips
def test_failures_in_a_row_trip_before_the_minimum_of_calls(impl):
    breaker = one(impl, failures_in_a_row=2, minimum_calls=4)
    assert fail(breaker, 2) == [Status.BREAKER_MINIMUM_CALLS_NOT_MET, Status.BREAKER_TOO_MANY_FAILURES]
    assert breaker.state == OPEN


def test_a_success_between_ends_the_row(impl):
    breaker = one(impl, failures_in_a_row=2, error_rate=0)
    for _ in range(20):
        fail(breaker, 1)
        succeed(breaker, 1)
    assert (breaker.state, breaker.failures_in_a_row) == (CLOSED, 0)


def test_the_rate_alone_waits_for_the_minimum_of_calls(impl):
    breaker = one(impl, failures_in_a_row=0, minimum_calls=4)
    assert fail(breaker, 3) == [Status.BREAKER_MINIMUM_CALLS_NOT_MET] * 3
    assert fail(breaker, 1) == [Status.BREAKER_TOO_MANY_FAILURES]
    assert breaker.state == OPEN


def test_a_success_that_completes_the_minimum_can_trip_by_rate(impl):
    breaker = one(impl, failures_in_a_row=0, minimum_calls=4)
    fail(breaker, 2)
    assert succeed(breaker, 2) == [Status.BREAKER_MINIMUM_CALLS_NOT_MET, Status.BREAKER_TOO_MANY_FAILURES]
    assert breaker.state == OPEN


def test_old_failures_slide_out_of_the_window(impl):
    breaker = one(impl, failures_in_a_row=0, error_rate=0.5, window=4)
    fail(breaker, 1)
    succeed(breaker, 3)
    assert breaker.error_rate() == 0.25
    fail(breaker, 1)
    assert (breaker.state, breaker.error_rate()) == (CLOSED, 0.25)


@pytest.mark.parametrize("window", [1, 2, 31, 32, 39, 40])
def test_every_size_of_window_counts_exactly(impl, window):
    breaker = one(impl, window=window, minimum_calls=window, failures_in_a_row=0, error_rate=1.0)
    succeed(breaker, 1)
    for _ in range(window - 1):
        fail(breaker, 1)
    assert (breaker.state, breaker.calls) == (CLOSED, window)
    fail(breaker, 1)
    assert breaker.state == OPEN


def test_a_whole_window_of_failures_counts_as_that_many_in_a_row(impl):
    breaker = one(impl, window=40, minimum_calls=40, failures_in_a_row=40, error_rate=0)
    fail(breaker, 39)
    assert (breaker.state, breaker.failures_in_a_row) == (CLOSED, 39)
    fail(breaker, 1)
    assert breaker.state == OPEN


def test_the_error_rate_of_too_few_calls_is_refused(impl):
    breaker = one(impl)
    succeed(breaker, 3)
    with pytest.raises(errors.BreakerMinimumCallsNotMet):
        breaker.error_rate()


def test_a_component_that_is_not_closed_has_no_error_rate(impl):
    breaker = one(impl)
    fail(breaker, 3)
    with pytest.raises(errors.BreakerMinimumCallsNotMet):
        breaker.error_rate()


# -------------------------------------------------------------------------------------- open, half-open, closed again
@pytest.mark.parametrize("now_ns", [0, 1, TICK - 1, TICK, 1_790_000_000_000_000_001])
def test_the_cooldown_is_never_short_and_at_most_a_tick_long(impl, now_ns):
    cooldown_ns = 3 * TICK
    breaker = one(impl, cooldown_ns=cooldown_ns)
    fail(breaker, 3, now_ns)
    for later in (0, 1, cooldown_ns - 1):
        with pytest.raises(errors.BreakerOpen):
            breaker.allow(now_ns + later)
    assert breaker.state == OPEN
    breaker.allow(now_ns + cooldown_ns + TICK - 1)
    assert breaker.state == HALF_OPEN


def test_half_open_grants_its_tokens_and_no_more(impl):
    breaker = one(impl, tokens=3)
    fail(breaker, 3)
    permits = [breaker.allow(4 * TICK) for _ in range(3)]
    assert len(set(permits)) == 1
    with pytest.raises(errors.BreakerHalfOpenExhausted):
        breaker.allow(4 * TICK)
    assert [int(breaker.success(p, 4 * TICK)) for p in permits] == [0, 0, 0]
    assert breaker.state == CLOSED


def test_the_default_is_one_trial(impl):
    breaker = one(impl)
    fail(breaker, 3)
    breaker.allow(4 * TICK)
    with pytest.raises(errors.BreakerHalfOpenExhausted):
        breaker.allow(4 * TICK)


def test_a_failed_trial_opens_again_for_a_whole_cooldown(impl):
    breaker = one(impl, tokens=2)
    fail(breaker, 3)
    first, second = breaker.allow(4 * TICK), breaker.allow(4 * TICK)
    assert breaker.success(first, 4 * TICK) == Status.OK
    assert breaker.failure(second, 5 * TICK) == Status.BREAKER_TOO_MANY_FAILURES
    with pytest.raises(errors.BreakerOpen):
        breaker.allow(9 * TICK - 1)
    breaker.allow(9 * TICK)


def test_a_trial_that_never_reports_is_a_failed_one(impl):
    breaker = one(impl)
    fail(breaker, 3)
    lost = breaker.allow(4 * TICK)
    with pytest.raises(errors.BreakerHalfOpenExhausted):
        breaker.allow(8 * TICK - 1)
    with pytest.raises(errors.BreakerOpen):
        breaker.allow(8 * TICK)
    assert breaker.metrics()["half_open_to_open"] == 1
    breaker.success(lost, 8 * TICK)
    assert (breaker.state, breaker.metrics()["stale"]) == (OPEN, 1)
    breaker.success(breaker.allow(12 * TICK), 12 * TICK)
    assert breaker.state == CLOSED


def test_a_clock_that_steps_back_neither_loses_a_trial_nor_shortens_a_cooldown(impl):
    breaker = one(impl)
    fail(breaker, 3, 100 * TICK)
    with pytest.raises(errors.BreakerOpen):
        breaker.allow(-5)
    breaker.allow(104 * TICK)
    with pytest.raises(errors.BreakerHalfOpenExhausted):
        breaker.allow(90 * TICK)
    assert breaker.state == HALF_OPEN


def test_an_outcome_from_before_a_trip_counts_for_nothing_later(impl):
    breaker = one(impl)
    old = breaker.allow(0)
    fail(breaker, 3)
    assert breaker.success(old, 0) == Status.OK
    assert breaker.state == OPEN
    trial = breaker.allow(4 * TICK)
    breaker.success(old, 4 * TICK)
    breaker.failure(old, 4 * TICK)
    assert breaker.state == HALF_OPEN
    breaker.success(trial, 4 * TICK)
    breaker.failure(old, 4 * TICK)
    assert (breaker.state, breaker.calls, breaker.metrics()["stale"]) == (CLOSED, 0, 4)


def test_a_trial_reported_more_often_than_granted_is_stale(impl):
    breaker = one(impl, tokens=3)
    fail(breaker, 3)
    permit = breaker.allow(4 * TICK)
    breaker.success(permit, 4 * TICK)
    breaker.success(permit, 4 * TICK)
    assert (breaker.state, breaker.metrics()["stale"]) == (HALF_OPEN, 1)


def test_a_released_trial_frees_its_token(impl):
    breaker = one(impl)
    fail(breaker, 3)
    breaker.release(breaker.allow(4 * TICK))
    breaker.success(breaker.allow(4 * TICK), 4 * TICK)
    assert (breaker.state, breaker.metrics()["released"]) == (CLOSED, 1)


# ------------------------------------------------------------------------------------------------------- by hand
def test_a_reset_is_honoured_after_the_cooldown_and_into_half_open_only(impl):
    breaker = one(impl)
    breaker.reset(0)
    fail(breaker, 3)
    with pytest.raises(errors.BreakerCooldown):
        breaker.reset(4 * TICK - 1)
    assert breaker.state == OPEN
    breaker.reset(4 * TICK)
    assert breaker.state == HALF_OPEN
    breaker.allow(4 * TICK)
    breaker.reset(4 * TICK)
    with pytest.raises(errors.BreakerHalfOpenExhausted):
        breaker.allow(4 * TICK)
    metrics = breaker.metrics()
    assert (metrics["resets_honoured"], metrics["resets_refused"], metrics["resets_needless"]) == (1, 1, 2)


def test_a_trip_by_hand_opens_any_state_and_starts_the_cooldown_anew(impl):
    breaker = one(impl)
    breaker.trip(0)
    assert breaker.state == OPEN
    breaker.trip(3 * TICK)
    with pytest.raises(errors.BreakerOpen):
        breaker.allow(7 * TICK - 1)
    breaker.allow(7 * TICK)
    breaker.trip(7 * TICK)
    assert (breaker.state, breaker.metrics()["trips_by_hand"]) == (OPEN, 3)


def test_a_trip_by_hand_with_an_older_time_never_shortens_the_cooldown(impl):
    breaker = one(impl)
    breaker.trip(50 * TICK)
    breaker.trip(1)
    with pytest.raises(errors.BreakerOpen):
        breaker.allow(54 * TICK - 1)


# ------------------------------------------------------------------------------------------------ cascade and global
def family(impl, **tables):
    breakers = impl.Breakers(**({"open_share": 0, "clock": clock_of(impl)} | tables))
    for name, below in (("network", ()), ("venue", ("network",)), ("strategy", ("venue",)), ("database", ())):
        breakers.declare(name, cooldown_ns=4 * TICK, depends_on=below)
    return breakers


def test_an_open_component_denies_all_that_depend_on_it_and_nothing_else(impl):
    breakers = family(impl)
    breakers["network"].trip(0)
    for name in ("venue", "strategy"):
        with pytest.raises(errors.BreakerDependencyOpen):
            breakers[name].allow(0)
        assert breakers[name].state == CLOSED
    breakers["database"].allow(0)
    assert [(e.component, int(e.change)) for e in breakers.drain()] == [("network", 0), ("venue", 4), ("strategy", 4)]
    breakers["venue"].allow(4 * TICK)
    assert [(e.component, int(e.change)) for e in breakers.drain()] == [("network", 1), ("venue", 5), ("strategy", 5)]
    breakers.check()


def test_a_component_denied_by_two_is_free_when_both_recovered(impl):
    breakers = family(impl)
    breakers["network"].trip(0)
    breakers["venue"].trip(TICK)
    assert [(e.component, int(e.change)) for e in breakers.drain()] == [
        *[("network", 0), ("venue", 4), ("strategy", 4)],
        ("venue", 0),
    ]
    breakers.tick(4 * TICK)
    with pytest.raises(errors.BreakerDependencyOpen):
        breakers["strategy"].allow(4 * TICK)
    assert breakers.tick(5 * TICK) == 1
    breakers["strategy"].allow(5 * TICK)


def test_a_circle_is_refused_and_changes_nothing(impl):
    breakers = family(impl)
    for name, on in (("network", "strategy"), ("network", "venue"), ("network", "network")):
        with pytest.raises(errors.BreakerCycle):
            breakers.depend(name, on)
    breakers.check()
    breakers["strategy"].trip(0)
    breakers["network"].allow(0)


def test_a_dependency_declared_later_reaches_everyone_above(impl):
    breakers = family(impl)
    breakers.depend("network", "database")
    breakers.check()
    breakers["database"].trip(0)
    for name in ("network", "venue", "strategy"):
        with pytest.raises(errors.BreakerDependencyOpen):
            breakers[name].allow(0)


def test_the_whole_opens_at_the_share_and_denies_everyone(impl):
    breakers = family(impl, open_share=0.5)
    breakers["database"].trip(0)
    assert not breakers.global_open
    breakers["strategy"].trip(0)
    assert breakers.global_open
    for name in ("network", "venue", "strategy", "database"):
        with pytest.raises(errors.BreakerGlobalOpen):
            breakers[name].allow(0)
        assert breakers[name].metrics()["denied_global"] == 1
    with pytest.raises(errors.BreakerGlobalOpen, match="strategy, database"):
        breakers.require_global_closed()
    # Time alone frees it, though nobody asks for the two that failed.
    breakers["network"].allow(4 * TICK)
    breakers.require_global_closed()
    assert [int(e.change) for e in breakers.drain() if e.change in (6, 7)] == [6, 7]


def test_one_critical_component_opens_the_whole(impl):
    breakers = family(impl)
    breakers.declare("latch file", critical=True, cooldown_ns=TICK)
    breakers["latch file"].trip(0)
    assert breakers.global_open
    events = breakers.drain()
    assert (int(events[-1].change), int(events[-1].reason)) == (6, 10)


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


# ---------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    "config",
    [
        {"cooldown_ns": 0},
        {"cooldown_ns": -1},
        {"cooldown_ns": 2**62},
        {"window": 0},
        {"window": 41},
        {"window": -1},
        {"minimum_calls": 0},
        {"minimum_calls": 5},
        {"failures_in_a_row": 5},
        {"failures_in_a_row": -1},
        {"error_rate": -0.1},
        {"error_rate": 1.1},
        {"error_rate": 0, "failures_in_a_row": 0},
        {"tokens": 0},
        {"tokens": 16},
        {"tokens": 2, "successes_to_close": 3},
        {"successes_to_close": 0},
    ],
)
def test_an_impossible_setting_is_refused(impl, config):
    with pytest.raises(errors.BreakerBadConfig):
        one(impl, **config)


@pytest.mark.parametrize(
    "config",
    [
        {"count_max": 0},
        {"count_max": 65},
        {"event_capacity": 1},
        {"event_capacity": 3},
        {"event_capacity": 131_072},
        {"open_share": 1.1},
        {"open_share": -0.1},
    ],
)
def test_an_impossible_table_is_refused(impl, config):
    with pytest.raises(errors.BreakerBadConfig):
        impl.Breakers(**config)


def test_names_are_unique_known_and_limited(impl):
    breakers = impl.Breakers(count_max=2)
    breakers.declare("a")
    with pytest.raises(errors.BreakerBadConfig):
        breakers.declare("a")
    with pytest.raises(errors.BreakerUnknownComponent):
        breakers.declare("b", depends_on=("c",))
    with pytest.raises(errors.BreakerUnknownComponent):
        breakers["b"]
    breakers.declare("b")
    with pytest.raises(errors.BreakerTableFull):
        breakers.declare("c")
    assert len(breakers) == 2


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


# ----------------------------------------------------------------------------------------------- every short sequence
OPERATIONS = ("allow", "success", "failure", "release", "wait", "reset", "trip")


def seen_by(breakers, breaker, status):
    state = (int(breaker.state), breaker.epoch, breaker.calls, breaker.failures_in_a_row)
    return status, state, breaker.metrics(), breakers.drain()


class Driver:
    """One breaker and the permits its caller holds; the oldest is settled first."""

    def __init__(self, impl, **config):
        self.breakers = impl.Breakers(open_share=0.6, clock=clock_of(impl), event_capacity=64)
        self.breaker = self.breakers.declare("venue", **config)
        self.permits = []
        self.now_ns = 0

    def do(self, operation):
        status = 0
        try:
            if operation == "allow":
                self.permits.append(self.breaker.allow(self.now_ns))
            elif operation == "wait":
                self.now_ns += TICK
            elif operation in ("trip", "reset"):
                getattr(self.breaker, operation)(self.now_ns)
            elif self.permits:
                permit = self.permits.pop(0)
                if operation == "release":
                    self.breaker.release(permit)
                else:
                    status = int(getattr(self.breaker, operation)(permit, self.now_ns))
        except errors.BreakerError as error:
            status = error.code
        return seen_by(self.breakers, self.breaker, status)


@pytest.mark.parametrize(
    "config",
    [
        {"window": 2, "minimum_calls": 2, "failures_in_a_row": 2, "tokens": 1, "cooldown_ns": TICK},
        {"window": 1, "minimum_calls": 1, "failures_in_a_row": 0, "tokens": 2, "cooldown_ns": TICK},
        {"window": 3, "minimum_calls": 2, "error_rate": 0.67, "failures_in_a_row": 0, "tokens": 2,
         "successes_to_close": 1, "cooldown_ns": 1},
    ],
)  # fmt: skip
def test_every_sequence_of_six_operations_agrees_with_the_twin(config, caplog):
    caplog.set_level(logging.CRITICAL, logger="engine.breaker")
    met, count = set(), 0
    for sequence in itertools.product(OPERATIONS, repeat=6):
        # What is asked first decides the rest; a sequence that starts by settling nothing is another one's tail.
        if sequence[0] not in ("allow", "trip"):
            continue
        ours, twin = Driver(core, **config), Driver(model, **config)
        for operation in sequence:
            one_side, other = ours.do(operation), twin.do(operation)
            assert one_side == other, sequence
            met |= {(int(e[1]), int(e[2])) for e in one_side[-1]}
        ours.breakers.check()
        count += 1
    assert count == 2 * 7**5
    allowed = {(int(change), int(reason)) for _, _, change, reasons in core.TRANSITIONS for reason in reasons}
    assert {pair for pair in met if pair[0] < 4} <= allowed
    assert {change for change, _ in met} >= {0, 1, 2, 3, 6, 7, 8}


class Twins(RuleBasedStateMachine):
    """Several components with random dependencies; everything a caller can see agrees after every step."""

    @initialize(
        share=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        configs=st.lists(
            st.fixed_dictionaries(
                {
                    "window": st.integers(1, 6),
                    "error_rate": st.sampled_from([0.2, 0.5, 1.0]),
                    "failures_in_a_row": st.integers(0, 1),
                    "tokens": st.integers(1, 3),
                    "cooldown_ns": st.integers(1, 4 * TICK),
                    "critical": st.booleans(),
                }
            ),
            min_size=1,
            max_size=5,
        ),
        edges=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8),
    )
    def start(self, share, configs, edges):
        self.now_ns = 0
        self.permits = []
        self.sides = [m.Breakers(open_share=share, event_capacity=16, clock=clock_of(m)) for m in (core, model)]
        self.count = len(configs)
        for side in self.sides:
            for i, config in enumerate(configs):
                side.declare(str(i), minimum_calls=min(2, config["window"]), **config)
        for above, below in edges:
            if above < self.count and below < self.count:
                self.both(lambda side, a=above, b=below: side.depend(str(a), str(b)))

    def both(self, act):
        results = []
        for side in self.sides:
            try:
                results.append(act(side))
            except errors.BreakerError as error:
                results.append(error.code)
        assert results[0] == results[1]
        return results[0]

    @rule(i=st.integers(0, 4))
    def allow(self, i):
        name = str(i % self.count)
        permit = self.both(lambda side: side[name].allow(self.now_ns))
        if isinstance(permit, int):
            self.permits.append((name, permit))

    @rule(which=st.integers(0, 30), failed=st.booleans(), keep=st.booleans())
    def settle(self, which, failed, keep):
        if self.permits:
            name, permit = self.permits[which % len(self.permits)]
            if not keep:
                self.permits.pop(which % len(self.permits))
            self.both(lambda side: int((side[name].failure if failed else side[name].success)(permit, self.now_ns)))

    @rule(which=st.integers(0, 30))
    def release(self, which):
        if self.permits:
            name, permit = self.permits.pop(which % len(self.permits))
            self.both(lambda side: side[name].release(permit))

    @rule(step=st.integers(-TICK, 3 * TICK))
    def wait(self, step):
        self.now_ns += step

    @rule(i=st.integers(0, 4), how=st.sampled_from(["trip", "reset"]))
    def by_hand(self, i, how):
        self.both(lambda side: getattr(side[str(i % self.count)], how)(self.now_ns))

    @rule()
    def tick(self):
        self.both(lambda side: side.tick(self.now_ns))

    @rule()
    def drain(self):
        self.both(lambda side: [tuple(e) for e in side.drain()])

    @invariant()
    def both_agree(self):
        if not hasattr(self, "sides"):
            return
        ours, twin = self.sides
        ours.check()
        twin.check()
        assert ours.metrics() == twin.metrics()
        assert (ours.global_open, ours.open_names(), ours.events_lost) == (
            twin.global_open,
            twin.open_names(),
            twin.events_lost,
        )
        for i in range(self.count):
            a, b = ours[str(i)], twin[str(i)]
            assert (a.state, a.epoch, a.calls, a.failures_in_a_row) == (b.state, b.epoch, b.calls, b.failures_in_a_row)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

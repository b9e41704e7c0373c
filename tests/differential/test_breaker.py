"""The breakers and their twin, the rules one by one: tripping, recovery, by hand, what depends on it."""

from __future__ import annotations

import pytest

from engine import errors
from engine._core.types import Status
from tests.support.breakers import CLOSED, HALF_OPEN, OPEN, TICK, fail, family, one, succeed

STEM = "breaker"


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

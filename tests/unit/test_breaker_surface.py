"""The breakers' C surface: what another kernel may ask, and what `check` sees in a table that was spoiled."""

from __future__ import annotations

import struct

import pytest

from bench.loops import probe_breaker
from engine._core.breaker import TICK_NS, Breaker, Breakers, Guard
from engine._core.clock import Clock
from engine._core.types import Status

GOOD = {
    "cooldown_ns": TICK_NS, "error_rate_bp": 5000, "window": 4, "minimum_calls": 4, "failures_in_a_row": 3,
    "tokens": 2, "successes_to_close": 2, "critical": 0,
}  # fmt: skip
# Where the fields stand in the table: the header, then one row of two cache lines per component.
HEADER, ROW = 192, 128
WORD, DEPENDS, DEPENDENTS, SUCCESSES, TRANSITIONS = 0, 8, 16, 40, 96
OPEN_MASK, EVENT_HEAD, EVENT_TAIL = 0, 64, 128
CLOSED, OPEN, HALF_OPEN = 0, 1, 2
PAYLOAD = 22


def table(*names: str) -> Breakers:
    breakers = Breakers(count_max=4, event_capacity=16, open_share=0, clock=Clock(manual=True, start_ns=0))
    for name in names:
        breakers.declare(name, cooldown_ns=TICK_NS, window=4, minimum_calls=4, tokens=2)
    return breakers


@pytest.mark.parametrize("operation", ["allow", "success", "failure", "release", "trip", "reset"])
@pytest.mark.parametrize("component", [1, 2, 2**32 - 1])
def test_a_component_that_does_not_exist_is_named_by_every_operation_and_touches_nothing(operation, component):
    breakers = table("venue")
    before = breakers.image()
    assert getattr(probe_breaker, operation)(breakers, component, 5) == Status.BREAKER_UNKNOWN_COMPONENT
    assert breakers.image() == before
    # The only component there is answers: a lone failure is too few calls for the rate, all else is well.
    answer = Status.BREAKER_MINIMUM_CALLS_NOT_MET if operation == "failure" else Status.OK
    assert getattr(probe_breaker, operation)(breakers, 0, 5) == answer


def test_a_success_on_a_clean_full_window_writes_nothing_but_its_count():
    breakers = table("venue")
    breaker = breakers["venue"]
    for _ in range(4):
        breaker.success(breaker.allow(5), 5)
    before = breakers.image()
    assert probe_breaker.settle(breakers, 0, 5, breaker.allow(5)) == Status.OK
    at = HEADER + SUCCESSES
    (count,) = struct.unpack_from("<Q", before, at)
    assert breakers.image() == before[:at] + struct.pack("<Q", count + 1) + before[at + 8 :]


@pytest.mark.parametrize(("above", "below"), [(0, 2), (2, 0), (2, 2)])
def test_a_dependency_on_or_of_nothing_is_refused_and_changes_nothing(above, below):
    breakers = table("venue", "network")
    before = breakers.image()
    assert probe_breaker.depend(breakers, above, below) == Status.BREAKER_UNKNOWN_COMPONENT
    assert breakers.image() == before
    assert probe_breaker.depend(breakers, 0, 1) == Status.OK
    breakers.check()


@pytest.mark.parametrize(
    ("count_max", "event_capacity", "share_bp"),
    [(0, 2, 0), (65, 2, 0), (1, 2, 10_001), (1, 0, 0), (1, 1, 0), (1, 3, 0), (1, 131_072, 0)],
)
def test_a_table_that_cannot_be_is_refused(count_max, event_capacity, share_bp):
    breakers = table("venue")
    before = breakers.image()
    assert probe_breaker.init(breakers, count_max, event_capacity, share_bp) == Status.BREAKER_BAD_CONFIG
    assert breakers.image() == before


@pytest.mark.parametrize(("count_max", "event_capacity", "share_bp"), [(1, 2, 0), (64, 65_536, 10_000)])
def test_the_smallest_and_the_largest_table_are_taken(count_max, event_capacity, share_bp):
    breakers = Breakers(count_max=64, event_capacity=65_536, clock=Clock(manual=True, start_ns=0))
    assert probe_breaker.init(breakers, count_max, event_capacity, share_bp) == Status.OK
    breakers.check()


@pytest.mark.parametrize(
    "change",
    [
        {"cooldown_ns": 0},
        {"cooldown_ns": 31 * 86_400 * 10**9},
        {"error_rate_bp": 10_001},
        {"window": 0},
        {"window": 41},
        {"minimum_calls": 0},
        {"minimum_calls": 5},
        {"failures_in_a_row": 5},
        {"error_rate_bp": 0, "failures_in_a_row": 0},
        {"tokens": 0, "successes_to_close": 0},
        {"tokens": 16},
        {"successes_to_close": 0},
        {"successes_to_close": 3},
    ],
)
def test_a_component_that_cannot_be_is_refused_and_takes_no_row(change):
    breakers = table()
    before = breakers.image()
    assert probe_breaker.declare(breakers, **GOOD | change) == Status.BREAKER_BAD_CONFIG
    assert breakers.image() == before
    assert len(breakers) == 0


@pytest.mark.parametrize(
    "change", [{}, {"error_rate_bp": 0}, {"failures_in_a_row": 0}, {"tokens": 15, "successes_to_close": 15}]
)
def test_a_component_at_the_edge_of_what_can_be_is_taken(change):
    breakers = table()
    assert probe_breaker.declare(breakers, **GOOD | change) == Status.OK
    assert len(breakers) == 1
    breakers.check()


def test_a_full_table_takes_no_more():
    breakers = table("a", "b", "c", "d")
    assert probe_breaker.declare(breakers, **GOOD) == Status.BREAKER_TABLE_FULL


@pytest.mark.parametrize(("made", "by"), [(Breaker, "Breakers.declare"), (Guard, "Breaker.guard")])
def test_what_a_table_makes_cannot_be_made_without_it(made, by):
    with pytest.raises(TypeError, match=by):
        made()


# ------------------------------------------------------------------------------------------------- `check` sees it
def word(state: int, payload: int, epoch: int = 0) -> bytes:
    return struct.pack("<Q", state | epoch << 2 | payload << PAYLOAD)


def half_open(granted: int, succeeded: int) -> bytes:
    return word(HALF_OPEN, granted | succeeded << 4)


@pytest.mark.parametrize(
    ("offset", "value", "seen"),
    [
        (HEADER + WORD, word(3, 1), "no such state"),
        (HEADER + WORD, word(CLOSED, 1, epoch=1), "epoch and transitions disagree"),
        (HEADER + TRANSITIONS, struct.pack("<I", 1), "epoch and transitions disagree"),
        (HEADER + TRANSITIONS + 8, struct.pack("<I", 1 << 20), "left half-open more than entered"),
        (HEADER + WORD, word(CLOSED, 0), "marker outside the window"),
        (HEADER + WORD, word(CLOSED, 1 << 5), "marker outside the window"),
        (HEADER + WORD, word(OPEN, 0), "open mask and words disagree"),
        (OPEN_MASK, struct.pack("<Q", 2), "open mask and words disagree"),
        (HEADER + WORD, half_open(3, 0), "more trials than tokens"),
        (HEADER + WORD, half_open(0, 1), "more trials than tokens"),
        (HEADER + WORD, half_open(2, 2), "enough successes and not closed"),
        (HEADER + DEPENDS, struct.pack("<Q", 1), "depends on itself"),
        (HEADER + DEPENDS, struct.pack("<Q", 4), "masks are not each other's inverse"),
        (HEADER + ROW + DEPENDS, struct.pack("<QQ", 4, 1), "closure is not closed"),
        (EVENT_TAIL, struct.pack("<Q", 1), "event cursors"),
        (EVENT_HEAD, struct.pack("<Q", 17), "event cursors"),
    ],
)
def test_check_sees_every_invariant_that_was_broken(offset, value, seen):
    breakers = table("above", "middle", "below")
    breakers.depend("above", "middle")
    breakers.check()
    if seen == "closure is not closed":
        # middle needs below, and below knows it; above needs middle and was not told.
        probe_breaker.poke(breakers, HEADER + 2 * ROW + DEPENDENTS, struct.pack("<Q", 2))
    probe_breaker.poke(breakers, offset, value)
    with pytest.raises(AssertionError, match=seen):
        breakers.check()

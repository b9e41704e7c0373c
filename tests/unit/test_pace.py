"""How the engine's time follows the machine's."""

from __future__ import annotations

from engine._core.clock import monotonic_ns, utc_ns
from engine.runtime.lifecycle import Pace

MOST_NS = int(50 * 0.002 * 1e9)


def test_on_paper_it_counts_from_its_own_start_at_its_own_speed():
    pace, since_ns = Pace(1_000, speed=4.0), monotonic_ns()
    before = monotonic_ns()
    now_ns = pace.now_ns(since_ns)
    assert 1_000 + 4 * (before - since_ns) <= now_ns <= 1_000 + 4 * (monotonic_ns() - since_ns)


def test_at_a_venue_over_sockets_it_is_utc_however_long_the_building_took():
    """What arrives is stamped with UTC: an engine that counted from its start would lag by the time that start took."""
    pace = Pace(utc_ns() - 10**11, wall=True)
    before = utc_ns()
    assert before <= pace.now_ns(monotonic_ns()) <= utc_ns()


def test_a_leap_forward_is_caught_up_step_by_step_and_it_never_goes_back():
    pace, now_ns = Pace(0, wall=True), utc_ns()
    assert pace.until_ns(monotonic_ns(), now_ns - 3_600 * 10**9) == now_ns - 3_600 * 10**9 + MOST_NS
    ahead_ns = now_ns + 3_600 * 10**9
    assert pace.until_ns(monotonic_ns(), ahead_ns) == ahead_ns

"""The rate budget against a venue that counts by its own clock and bans whoever goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.net.budget import NEVER, SECOND, BudgetConfig, Deny, Lane, Limit, LimitKind, RateBudget

MINUTE = 60 * SECOND
WEIGHT = Limit(LimitKind.WEIGHT, MINUTE, 100)
ORDERS = Limit(LimitKind.ORDERS, 10 * SECOND, 10)
T0 = 1_700_000_040 * SECOND  # a whole minute


def _budget(*limits, **config):
    return RateBudget(limits or (WEIGHT, ORDERS), BudgetConfig(**config))


def test_a_new_order_leaves_the_reserves_of_the_lanes_before_it():
    budget = _budget(WEIGHT)
    sent = 0
    while budget.take(Lane.NEW, T0).ok:
        sent += 1
    assert sent == 60
    while budget.take(Lane.RECONCILE, T0).ok:
        sent += 1
    assert sent == 75
    while budget.take(Lane.CANCEL, T0).ok:
        sent += 1
    assert sent == 95
    assert budget.denied_count == {Lane.CANCEL: 1, Lane.RECONCILE: 1, Lane.NEW: 1}


def test_a_refusal_says_which_limit_and_when_there_is_room():
    budget = _budget(WEIGHT)
    assert budget.take(Lane.NEW, T0 + 20 * SECOND, weight=60).ok
    verdict = budget.take(Lane.NEW, T0 + 20 * SECOND)
    assert (verdict.deny, verdict.wait_ns, verdict.limit) == (Deny.LIMIT, 40 * SECOND, WEIGHT)
    assert budget.take(Lane.NEW, T0 + MINUTE).ok


def test_a_request_heavier_than_its_share_never_passes():
    assert _budget(WEIGHT).ask(Lane.NEW, T0, weight=61).deny is Deny.TOO_HEAVY
    assert _budget(WEIGHT).ask(Lane.CANCEL, T0, weight=61).ok


def test_what_was_sent_just_before_a_window_counts_in_it_too():
    budget = _budget(WEIGHT)
    assert budget.take(Lane.CANCEL, T0 + MINUTE - SECOND // 2, weight=90).ok
    assert not budget.take(Lane.CANCEL, T0 + MINUTE + 1, weight=6).ok
    assert budget.usage(T0 + MINUTE + 1)["weight_60s"] == (90, 100)


def test_the_venues_own_count_only_raises_ours():
    budget = _budget(WEIGHT)
    budget.take(Lane.NEW, T0, weight=5)
    budget.told(LimitKind.WEIGHT, MINUTE, 80, T0)
    assert budget.usage(T0)["weight_60s"] == (80, 100)
    budget.told(LimitKind.WEIGHT, MINUTE, 3, T0)
    assert budget.usage(T0)["weight_60s"] == (80, 100)
    assert not budget.ask(Lane.NEW, T0).ok
    assert budget.ask(Lane.CANCEL, T0, weight=15).ok


def test_after_a_429_only_a_few_cancels_pass_and_then_nothing():
    budget = _budget()
    budget.too_many(T0, 30 * SECOND)
    assert budget.open_until(T0) == 0
    verdicts = [budget.take(lane, T0 + SECOND).ok for lane in (Lane.NEW, Lane.RECONCILE, *[Lane.CANCEL] * 5)]
    assert verdicts == [False, False, True, True, True, False, False]
    assert budget.ask(Lane.NEW, T0 + SECOND).deny is Deny.BACK_OFF
    assert budget.ask(Lane.NEW, T0 + 30 * SECOND).ok


def test_each_further_429_doubles_the_pause():
    budget = _budget(back_off_ns=SECOND, back_off_most_ns=10 * SECOND)
    now, waits = T0, []
    for _ in range(6):
        budget.too_many(now, 0)
        waits.append((budget.back_off_until_ns - now) // SECOND)
        now = budget.back_off_until_ns
    assert waits == [1, 2, 4, 8, 10, 10]
    # Replies to what was under way when the first one came are one strike, not many.
    budget.too_many(now, 0)
    until = budget.back_off_until_ns
    budget.too_many(now + 1, 0)
    assert budget.back_off_until_ns <= until + 1


def test_under_a_ban_nothing_passes():
    budget = _budget()
    budget.banned(T0, T0 + 120 * SECOND)
    for lane in Lane:
        verdict = budget.take(lane, T0 + 119 * SECOND)
        assert (verdict.deny, verdict.wait_ns) == (Deny.BANNED, SECOND)
    assert budget.take(Lane.NEW, T0 + 120 * SECOND).ok


def test_an_order_count_used_up_stops_new_orders_alone():
    budget = _budget()
    budget.too_many_orders(T0, 10 * SECOND)
    assert not budget.take(Lane.NEW, T0, orders=1).ok
    assert budget.take(Lane.CANCEL, T0).ok
    assert budget.take(Lane.RECONCILE, T0).ok
    assert budget.take(Lane.NEW, T0 + 10 * SECOND, orders=1).ok


def test_a_first_fill_gives_its_order_back():
    budget = _budget(ORDERS)
    while budget.take(Lane.NEW, T0, orders=1).ok:
        pass
    budget.give_back(LimitKind.ORDERS, 1, T0)
    assert budget.take(Lane.NEW, T0, orders=1).ok


def test_the_forecast_follows_the_pace_of_the_window():
    budget = _budget(WEIGHT)
    assert budget.forecast_ns(T0 + SECOND) == NEVER
    budget.take(Lane.NEW, T0 + 10 * SECOND, weight=30)
    assert budget.forecast_ns(T0 + 10 * SECOND) == 10 * SECOND
    assert budget.forecast_ns(T0 + 59 * SECOND) == NEVER
    budget.take(Lane.NEW, T0 + 59 * SECOND, weight=30)
    assert budget.forecast_ns(T0 + 59 * SECOND) == 0


def test_new_limits_keep_the_counts():
    budget = _budget(WEIGHT)
    budget.take(Lane.NEW, T0, weight=50)
    budget.resize([Limit(LimitKind.WEIGHT, MINUTE, 200), ORDERS])
    assert budget.usage(T0) == {"weight_60s": (50, 200), "orders_10s": (0, 10)}


def test_settings_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="leave nothing"):
        BudgetConfig(margin=0.5, reserve_cancel=0.5)
    with pytest.raises(ValueError, match="positive"):
        Limit(LimitKind.RAW, 0, 1)
    with pytest.raises(ValueError, match="twice"):
        RateBudget([WEIGHT, WEIGHT])


@given(
    asks=st.lists(
        st.tuples(st.integers(0, 20 * SECOND), st.sampled_from(list(Lane)), st.integers(0, 30), st.integers(0, 2)),
        max_size=60,
    ),
    offset=st.integers(-SECOND // 2, SECOND // 2),
    delay=st.integers(0, SECOND // 2 - 1),
)
def test_the_venue_never_counts_more_than_its_limit(asks, offset, delay):
    """The venue's clock is off by `offset` and requests arrive `delay` late: within the guard, no limit is passed."""
    budget, now = _budget(), T0
    counts: dict[tuple[int, int], int] = {}
    for pause, lane, weight, orders in asks:
        now += pause
        verdict = budget.take(lane, now, weight=weight, orders=orders)
        budget.check()
        assert verdict.ok or verdict.wait_ns > 0
        if verdict.ok:
            # It arrives between now and guard later on the venue's clock, never before.
            at = now + max(0, offset) + delay
            for limit, count in ((WEIGHT, weight), (ORDERS, orders)):
                key = limit.kind, at // limit.interval_ns
                counts[key] = counts.get(key, 0) + count
    assert all(n <= (100 if kind == LimitKind.WEIGHT else 10) for (kind, _), n in counts.items())


@given(
    events=st.lists(
        st.tuples(st.integers(0, 40 * SECOND), st.sampled_from(["ask", "429", "418"]), st.sampled_from(list(Lane))),
        max_size=40,
    )
)
def test_nothing_is_ever_sent_into_a_ban_and_little_into_a_back_off(events):
    budget, now, banned_until, backed_until, in_back_off = _budget(), T0, 0, 0, 0
    for pause, what, lane in events:
        now += pause
        if what == "418":
            budget.banned(now)
            banned_until = max(banned_until, now + 120 * SECOND)
        elif what == "429":
            if now >= backed_until:
                in_back_off = 0
            budget.too_many(now, 20 * SECOND)
            backed_until = max(backed_until, now + 20 * SECOND)
        elif budget.take(lane, now).ok:
            assert now >= banned_until
            if now < backed_until:
                assert lane is Lane.CANCEL
                in_back_off += 1
                assert in_back_off <= 3

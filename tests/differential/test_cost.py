"""Cost of an order: every part against fractions, the break-even against its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from engine._core import cost as core
from engine.errors import (
    Bot4Error,
    CostBadInput,
    CostDepthShort,
    CostOverflow,
    FeesBadSchedule,
    FeesStale,
    FeesUnknownVenue,
)
from engine.model import cost as model

STEM = "cost"
SECOND = 10**9
WHOLE = 10**8


def levels(*pairs):
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])


def table(impl):
    """Binance spot's first tiers: regular, VIP 1, VIP 3, and one with a rebate."""
    fees = impl.FeeTable(2)
    for volume, maker, taker in (
        (0, 100_000, 100_000),
        (10, 90_000, 100_000),
        (20, 42_000, 60_000),
        (30, -5_000, 30_001),
    ):
        fees.add_tier(0, volume, maker, taker)
    return fees


ASKS = levels((101, 5), (102, 5), (110, 90))
BIDS = levels((99, 5), (98, 5), (90, 90))
BASE = {"unit_value": 1000, "bid_px_ticks": 99, "ask_px_ticks": 101, "maker_e8": 20_000, "taker_e8": 50_000}


# ------------------------------------------------------------------------------------------------------------ fee table
@pytest.mark.parametrize(
    ("age_s", "answer"), [(-1, FeesStale), (0, False), (60, False), (60.1, True), (300, True), (300.1, FeesStale)]
)
def test_fee_table_warns_after_a_minute_and_refuses_after_five(impl, age_s, answer):
    fees = table(impl)
    fees.refresh(0, 100_000, 110_000, 1000 * SECOND)
    now_ns = 1000 * SECOND + int(age_s * SECOND)
    if answer is FeesStale:
        with pytest.raises(FeesStale):
            fees.rate(0, True, now_ns=now_ns)
    else:
        assert fees.rate(0, True, now_ns=now_ns) == (100_000, answer)
        assert fees.rate(0, False, now_ns=now_ns) == (110_000, answer)


def test_fee_table_that_was_never_refreshed_is_stale_and_an_unknown_venue_unknown(impl):
    fees = table(impl)
    with pytest.raises(FeesStale):
        fees.rate(0, True, now_ns=0)
    for row in (1, 2):
        with pytest.raises(FeesUnknownVenue):
            fees.rate(row, True, now_ns=0)


@pytest.mark.parametrize(
    ("volume", "maker"), [(-1, 100_000), (9, 100_000), (10, 90_000), (29, 42_000), (10**15, -5_000)]
)
def test_fee_vip_tier_follows_the_volume(impl, volume, maker):
    fees = table(impl)
    fees.refresh(0, 1, 1, 0)
    fees.set_volume(0, volume)
    assert fees.rate(0, True, now_ns=0) == (maker, False)


def test_fee_discount_applies_to_what_is_paid_and_never_to_a_rebate(impl):
    fees = table(impl)
    fees.refresh(0, 1, 1, 0)
    fees.set_discount(0, 75_000_000, asset=2, pays=True)
    fees.set_tier(0, 3)
    assert fees.rate(0, True, now_ns=0)[0] == -5_000
    assert fees.rate(0, False, now_ns=0)[0] == 22_501  # 22,500.75 rounded up
    fees.set_discount(0, 75_000_000, asset=2, pays=False)
    assert fees.rate(0, False, now_ns=0)[0] == 30_001


def test_fee_answer_older_than_the_one_held_is_dropped(impl):
    fees = table(impl)
    fees.refresh(0, 7, 8, 100)
    with pytest.raises(FeesStale):
        fees.refresh(0, 1, 1, 99)
    assert fees.rate(0, True, now_ns=100) == (7, False)


@pytest.mark.parametrize(
    "tier", [(0, 1, 2), (31, 3, 2), (31, 0, 3), (31, -5_001, 30_002), (31, -(10**7) - 1, 0), (31, -2, -1), (-1, 0, 0)]
)
def test_fee_tier_out_of_order_is_refused(impl, tier):
    with pytest.raises(FeesBadSchedule):
        table(impl).add_tier(0, *tier)


# ----------------------------------------------------------------------------------------------------- maker or taker
@pytest.mark.parametrize(
    "shape", [{"rows": 0}, {"rows": 4097}, {"rows": 1, "warn_ns": 2, "refuse_ns": 1}, {"rows": 1, "warn_ns": -1}]
)
def test_a_fee_table_that_cannot_be_is_refused(impl, shape):
    with pytest.raises(FeesBadSchedule):
        impl.FeeTable(**shape)


def test_a_tier_a_rate_or_a_discount_that_the_schedule_has_not_is_refused_and_changes_nothing(impl):
    fees = table(impl)
    fees.refresh(0, 7, 9, 1000 * SECOND)
    for change in (
        lambda: fees.set_tier(0, 4),
        lambda: fees.refresh(0, 10_000_001, 10_000_001, 1001 * SECOND),
        lambda: fees.refresh(0, 5, -10_000_001, 1001 * SECOND),
        lambda: fees.set_discount(0, -1, asset=1, pays=True),
        lambda: fees.set_discount(0, WHOLE + 1, asset=1, pays=True),
    ):
        with pytest.raises(FeesBadSchedule):
            change()
    assert [fees.rate(0, maker, now_ns=1000 * SECOND) for maker in (True, False)] == [(7, False), (9, False)]


def test_the_tier_that_the_venue_names_is_in_force_without_its_volume(impl):
    fees = table(impl)
    fees.set_tier(0, 3)
    fees.refresh(0, 5, 6, 1000 * SECOND)
    assert fees.rate(0, True, now_ns=1000 * SECOND) == (5, False)
    for change in (
        lambda: fees.set_tier(1, 0),
        lambda: fees.set_volume(1, 5),
        lambda: fees.set_discount(2, WHOLE, asset=0, pays=False),
        lambda: fees.refresh(9, 1, 1, 1),
        lambda: fees.add_tier(2, 0, 1, 1),
    ):
        with pytest.raises(FeesUnknownVenue):
            change()


def test_fee_is_maker_only_when_post_only_or_not_crossing(impl):
    for px, sell, post_only in itertools.product((0, 98, 99, 100, 101, 102), (False, True), (False, True)):
        crosses = px == 0 or (px <= 99 if sell else px >= 101)
        maker = impl.is_maker(sell=sell, px_ticks=px, bid_px_ticks=99, ask_px_ticks=101, post_only=post_only)
        assert maker == (post_only or not crosses)


def test_a_resting_order_pays_maker_and_no_slippage(impl):
    out = impl.estimate(*ASKS, sell=False, qty=10, limit_ticks=100, **BASE)
    assert (out["value"], out["fee_entry"], out["slippage"]) == (1_000_000, 200, 0)


def test_a_crossing_limit_pays_taker_for_what_it_takes_and_maker_for_what_rests(impl):
    out = impl.estimate(*ASKS, sell=False, qty=12, limit_ticks=102, **BASE)
    taken, rested = (5 * 101 + 5 * 102) * 1000, 2 * 102 * 1000
    assert out["taken_lots"] == 10
    assert out["worst_px_ticks"] == 102
    assert out["value"] == taken + rested
    assert out["fee_entry"] == -(-taken * 5 // 10_000) + -(-rested * 2 // 10_000)


def test_a_market_order_beyond_the_depth_has_no_cost(impl):
    with pytest.raises(CostDepthShort):
        impl.estimate(*ASKS, sell=False, qty=101, **BASE)


# ------------------------------------------------------------------------------------------------------- complete cost
def test_fee_complete_cost_breakdown_adds_up(impl):
    out = impl.estimate(*ASKS, sell=False, qty=8, funding_rate_e8=10_000, funding_count=3, network_fee=777, **BASE)
    assert out["total"] == sum(out[part] for part in ("fee_entry", "fee_exit", "slippage", "funding", "network"))
    assert out["slippage"] == (5 * 1 + 3 * 2) * 1000
    assert out["funding"] == 3 * 82  # 811,000 x 0.01 %, each settlement rounded up
    assert out["network"] == 777


def test_funding_is_paid_by_longs_and_received_by_shorts_rounded_against_us(impl):
    assert impl.funding(10_001, 10_000, short_side=False) == 2
    assert impl.funding(10_001, 10_000, short_side=True) == -1
    assert impl.funding(10_001, -10_000, short_side=True) == 2


def test_fee_rounds_up_and_a_rebate_towards_zero(impl):
    assert (impl.fee(1, 1), impl.fee(WHOLE, 3), impl.fee(WHOLE + 1, 3)) == (1, 3, 4)
    assert (impl.fee(1, -1), impl.fee(2 * WHOLE - 1, -3)) == (0, -5)


@given(
    sell=st.booleans(),
    qty=st.integers(1, 20),
    unit_value=st.integers(1, 1000),
    taker=st.integers(-(10**5), 10**7),
    network=st.integers(0, 500),
    steps=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=4, max_size=8),
)
@settings(max_examples=600)
def test_exit_at_break_even_loses_nothing_and_one_tick_worse_loses(*, sell, qty, unit_value, taker, network, steps):
    """Walks the definition: fill, pay, exit at a price as taker, count what is left."""
    px, rows = 1000, []
    for step, lots in steps:
        px += -step if sell else step
        rows.append((px, lots + 5))
    out = core.estimate(
        *levels(*rows),
        sell=sell,
        qty=qty,
        unit_value=unit_value,
        bid_px_ticks=rows[0][0] if sell else 1000,
        ask_px_ticks=1000 if sell else rows[0][0],
        maker_e8=taker,
        taker_e8=taker,
        network_fee=network,
    )

    def left(exit_ticks):
        value = exit_ticks * qty * unit_value
        gain = out["value"] - value if sell else value - out["value"]
        return gain - out["fee_entry"] - network - core.fee(value, taker)

    even = out["break_even_px_ticks"]
    if sell:
        assert even == 0 or left(even) >= 0
        assert left(even + 1) < 0
    else:
        assert left(even) >= 0
        assert even == 1 or left(even - 1) < 0


@pytest.mark.parametrize(
    "change",
    [
        {"qty": 0},
        {"unit_value": 0},
        {"bid_px_ticks": 0},
        {"ask_px_ticks": 99},
        {"limit_ticks": -1},
        {"post_only": True},
        {"taker_e8": 10**7 + 1},
        {"network_fee": -1},
        {"funding_count": -1},
    ],
)
def test_an_order_that_makes_no_sense_has_no_cost(change):
    with pytest.raises(CostBadInput):
        core.estimate(*ASKS, **({"sell": False, "qty": 1} | BASE | change))


@pytest.mark.parametrize("rows", [((101, 5), (101, 5)), ((102, 1), (101, 5)), ((101, 0), (102, 9)), ((0, 9),)])
def test_levels_out_of_order_are_no_book(impl, rows):
    with pytest.raises(CostBadInput):
        impl.walk(*levels(*rows), sell=False, want_lots=9)


def test_a_walk_takes_level_by_level_up_to_its_limit(impl):
    assert impl.walk(*ASKS, sell=False, want_lots=7) == (7, 5 * 101 + 2 * 102, 102)
    assert impl.walk(*BIDS, sell=True, want_lots=100) == (100, 5 * 99 + 5 * 98 + 90 * 90, 90)
    for sell, rows, limit, want in ((False, ASKS, 102, 11), (True, BIDS, 98, 11), (False, ASKS, 0, 101)):
        with pytest.raises(CostDepthShort):
            impl.walk(*rows, sell=sell, want_lots=want, limit_ticks=limit)


def test_rows_that_do_not_pair_and_orders_for_nothing_are_refused():
    # The kernel's own bounds: the twin counts in numbers of any size.
    prices, quantities = ASKS
    for call in (
        lambda: core.walk(prices, quantities[:2], sell=False, want_lots=1),
        lambda: core.walk(prices, quantities, sell=False, want_lots=0),
        lambda: core.estimate(prices[:1], quantities, sell=False, qty=1, **BASE),
        lambda: core.fee(1 << 60, 1),
        lambda: core.fee(1, 10_000_001),
        lambda: core.funding(-(1 << 60), 1, short_side=True),
        lambda: core.funding(1, -10_000_001, short_side=False),
    ):
        with pytest.raises(CostBadInput):
            call()


@pytest.mark.parametrize(
    ("rows", "change"),
    [
        # The value of what is taken, the slippage, the funding of many settlements: each alone passes 2**60.
        (((2**30, 2**20),), {"ask_px_ticks": 2**30, "bid_px_ticks": 2**30 - 1, "qty": 2**20, "unit_value": 2**20}),
        (((2**58, 1),), {"ask_px_ticks": 5, "bid_px_ticks": 4, "qty": 1, "unit_value": 8}),
        (((2**30, 2**10),), {"ask_px_ticks": 2**30, "bid_px_ticks": 2**30 - 1, "qty": 2**10, "unit_value": 2**10,
                             "funding_rate_e8": 10_000_000, "funding_count": 1_000_000}),
    ],
)  # fmt: skip
def test_a_part_that_passes_the_limit_leaves_no_estimate(rows, change):
    with pytest.raises(CostOverflow):
        core.estimate(*levels(*rows), sell=False, **(BASE | change))


def test_amounts_beyond_the_limit_are_refused():
    with pytest.raises(CostOverflow):
        core.estimate(*levels((2**40, 2**40)), sell=False, qty=2**30, **(BASE | {"ask_px_ticks": 2**40}))
    with pytest.raises(CostOverflow):
        core.estimate(*ASKS, sell=False, qty=2**58, limit_ticks=100, **BASE)


@given(
    steps=st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 9)), max_size=6),
    sell=st.booleans(),
    qty=st.integers(0, 30),
    limit=st.integers(0, 60),
    post_only=st.booleans(),
    rates=st.tuples(
        st.integers(-(10**5), 10**6), st.integers(0, 10**6), st.integers(-(10**6), 10**6), st.integers(0, 4)
    ),
    unit_value=st.integers(1, 2000),
)
@settings(max_examples=1000)
def test_kernel_and_twin_agree_on_every_estimate(*, steps, sell, qty, limit, post_only, rates, unit_value):
    px, rows = 30, []
    for step, lots in steps:
        px += -step if sell else step
        rows.append((px, lots))
    maker, taker, funding_rate, funding_count = rates
    request = {
        "sell": sell,
        "qty": qty,
        "unit_value": unit_value,
        "bid_px_ticks": 29,
        "ask_px_ticks": 31,
        "maker_e8": maker,
        "taker_e8": taker,
        "limit_ticks": limit,
        "post_only": post_only,
        "funding_rate_e8": funding_rate,
        "funding_count": funding_count,
        "network_fee": limit,
    }
    results = []
    for impl in (core, model):
        try:
            results.append(impl.estimate(*levels(*rows), **request))
        except Bot4Error as error:
            results.append(type(error))
    assert results[0] == results[1]


RATES = st.one_of(st.integers(-20, 20), st.integers(-(10**7) - 2, 10**7 + 2))


class Tables(RuleBasedStateMachine):
    """Random schedules, refreshes and ages: the same rate, the same refusal."""

    @initialize()
    def start(self):
        self.pair = core.FeeTable(2), model.FeeTable(2)
        self.now = 0

    def both(self, call):
        results = []
        for fees in self.pair:
            try:
                results.append(call(fees))
            except Bot4Error as error:
                results.append(type(error))
        assert results[0] == results[1]

    @rule(row=st.integers(0, 2), volume=st.integers(-1, 30), maker=RATES, taker=RATES)
    def add(self, row, volume, maker, taker):
        self.both(lambda fees: fees.add_tier(row, volume, maker, taker))

    @rule(row=st.integers(0, 2), maker=RATES, taker=RATES, back=st.integers(-1, 3))
    def refresh(self, row, maker, taker, back):
        self.both(lambda fees: fees.refresh(row, maker, taker, self.now - back))

    @rule(row=st.integers(0, 2), tier=st.integers(0, 4))
    def tier(self, row, tier):
        self.both(lambda fees: fees.set_tier(row, tier))

    @rule(row=st.integers(0, 2), volume=st.integers(-1, 40))
    def volume(self, row, volume):
        self.both(lambda fees: fees.set_volume(row, volume))

    @rule(row=st.integers(0, 2), discount=st.integers(-1, 10**8 + 1), pays=st.booleans())
    def discount(self, row, discount, pays):
        self.both(lambda fees: fees.set_discount(row, discount, asset=1, pays=pays))

    @rule(step=st.sampled_from([0, 1, 59 * SECOND, SECOND, 240 * SECOND]))
    def time_passes(self, step):
        self.now += step

    @rule()
    def read(self):
        for row, maker in itertools.product(range(3), (False, True)):
            self.both(lambda fees, r=row, m=maker: fees.rate(r, m, now_ns=self.now))


TestTables = Tables.TestCase
TestTables.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)

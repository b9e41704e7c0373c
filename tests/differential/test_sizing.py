"""Sizing: the largest quantity that every cap allows, and not one lot more."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core import sizing as core
from engine.errors import Bot4Error, CostBadInput, CostOverflow, SizeBelowMinimum
from engine.model import sizing as model
from engine.model.sizing import Cap

STEM = "sizing"
E8 = 10**8
ORDER = {"equity": 10**6, "px_ticks": 100, "stop_px_ticks": 90, "unit_value": 1}


def test_position_limit_two_percent_of_equity(impl):
    assert impl.largest(**ORDER) == (200, Cap.CAP_NOTIONAL)
    assert impl.notional(10**6, 2_000_000, px_ticks=100, unit_value=1) == 200


def test_position_limit_counts_what_is_held(impl):
    assert impl.largest(**ORDER, held_value=15_001) == (49, Cap.CAP_NOTIONAL)
    with pytest.raises(SizeBelowMinimum):
        impl.largest(**ORDER, held_value=20_000)


def test_position_limit_one_percent_when_capped(impl):
    assert impl.largest(**ORDER, notional_share_e8=1_000_000) == (100, Cap.CAP_NOTIONAL)


def test_both_two_percent_rules_hold_and_the_tighter_decides(impl):
    # 2 % at risk over a stop 90 % away allows 222 lots, over one at double the price 200 of the notional rule.
    far = ORDER | {"stop_px_ticks": 10, "notional_share_e8": E8}
    assert impl.largest(**far) == (222, Cap.CAP_RISK)
    assert impl.largest(**(far | {"notional_share_e8": 2_000_000})) == (200, Cap.CAP_NOTIONAL)


def test_stop_loss_required_for_a_size(impl):
    for stop in (0, 100):
        with pytest.raises(CostBadInput):
            impl.largest(**(ORDER | {"stop_px_ticks": stop}))


def test_risk_counts_the_fees_of_both_ways(impl):
    whole = {"px_ticks": 10_000, "stop_px_ticks": 9_000, "unit_value": 1}
    assert impl.risk(10**6, 2_000_000, **whole) == 20
    assert impl.risk(10**6, 2_000_000, fee_rate_e8=1_000_000, **whole) == 16  # 1,190 a lot


@pytest.mark.parametrize(
    ("win", "payoff", "half"), [(60, 1, 10_000_000), (50, 1, 0), (40, 1, 0), (50, 2, 12_500_000), (100, 1, 50_000_000)]
)
def test_kelly_fraction_is_edge_over_odds_and_half_of_it(impl, win, payoff, half):
    assert impl.kelly_e8(win * 10**6, payoff * E8) == half


def test_kelly_is_capped_and_only_ever_lowers_a_size(impl):
    assert impl.kelly_e8(E8, E8, cap_e8=3) == 3
    assert impl.largest(**ORDER, kelly_e8=1_000_000) == (100, Cap.CAP_KELLY)
    assert impl.largest(**ORDER, kelly_e8=E8) == (200, Cap.CAP_NOTIONAL)
    with pytest.raises(SizeBelowMinimum):
        impl.largest(**ORDER, kelly_e8=0)


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        ({"margin_headroom": 1_050, "leverage": 10}, (105, Cap.CAP_MARGIN)),
        ({"margin_headroom": 0}, None),
        ({"position_room_lots": 7}, (7, Cap.CAP_POSITION)),
        ({"depth_lots": 9}, (9, Cap.CAP_DEPTH)),
        ({"depth_lots": 0}, None),
        ({"qty_max_lots": 11}, (11, Cap.CAP_VENUE)),
        ({"qty_step_lots": 30}, (180, Cap.CAP_NOTIONAL)),
        ({"qty_step_lots": 201}, None),
        ({"qty_min_lots": 201}, None),
        ({"notional_min": 20_001}, None),
        ({"notional_min": 20_000}, (200, Cap.CAP_NOTIONAL)),
    ],
)
def test_the_smallest_cap_decides_and_names_itself(impl, cap, expected):
    if expected is None:
        with pytest.raises(SizeBelowMinimum):
            impl.largest(**ORDER, **cap)
    else:
        assert impl.largest(**ORDER, **cap) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"equity": 0},
        {"equity": -5},
        {"px_ticks": 0},
        {"unit_value": 0},
        {"held_value": -1},
        {"qty_step_lots": 0},
        {"depth_lots": -2},
        {"position_room_lots": -1},
        {"notional_share_e8": E8 + 1},
        {"fee_rate_e8": -1},
        {"margin_headroom": -2},
        {"margin_headroom": 1, "leverage": 0},
    ],
)
def test_a_missing_or_impossible_input_is_an_error_and_not_a_size(impl, change):
    with pytest.raises(CostBadInput):
        impl.largest(**(ORDER | change))


def test_amounts_beyond_the_limit_are_refused():
    with pytest.raises(CostOverflow):
        core.largest(**(ORDER | {"px_ticks": 2**40, "unit_value": 2**30}))
    with pytest.raises(CostOverflow):
        core.largest(**(ORDER | {"margin_headroom": 2**59, "leverage": 125}))


def test_floor_to_lot_rounds_down_and_never_below_zero(impl):
    for lots, step in itertools.product(range(-5, 40), range(1, 9)):
        rounded = impl.to_lot(lots, step)
        assert rounded % step == 0
        assert rounded <= max(0, lots) < rounded + step


SMALL = st.integers(0, 3)
REQUEST = st.fixed_dictionaries(
    {
        "equity": st.one_of(SMALL, st.integers(-5, 10**12)),
        "px_ticks": st.one_of(SMALL, st.integers(1, 10**5)),
        "stop_px_ticks": st.one_of(SMALL, st.integers(1, 10**5)),
        "unit_value": st.integers(0, 1000),
        "notional_share_e8": st.integers(0, E8),
        "risk_share_e8": st.integers(0, E8),
        "fee_rate_e8": st.integers(0, 10**6),
        "held_value": st.integers(0, 10**9),
    },
    optional={
        "kelly_e8": st.integers(-1, E8),
        "margin_headroom": st.integers(-1, 10**9),
        "leverage": st.integers(0, 125),
        "position_room_lots": st.integers(0, 1000),
        "depth_lots": st.integers(-1, 1000),
        "qty_min_lots": st.integers(0, 50),
        "qty_max_lots": st.integers(0, 1000),
        "qty_step_lots": st.integers(0, 20),
        "notional_min": st.integers(0, 10**6),
    },
)


@given(REQUEST)
@settings(max_examples=1000)
def test_kernel_and_twin_agree_on_every_size(request):
    results = []
    for impl in (core, model):
        try:
            results.append(impl.largest(**request))
        except Bot4Error as error:
            results.append(type(error))
    assert results[0] == results[1]


@given(st.integers(0, E8), st.integers(0, 10**12 + 1), st.integers(0, E8), st.integers(0, E8))
@settings(max_examples=1000)
def test_kernel_and_twin_agree_on_kelly(win, payoff, share, cap):
    results = []
    for impl in (core, model):
        try:
            results.append(impl.kelly_e8(win, payoff, share_e8=share, cap_e8=cap))
        except Bot4Error as error:
            results.append(type(error))
    assert results[0] == results[1]


@given(st.integers(1, 10**9), st.integers(1, 1000), st.integers(1, 1000), st.integers(0, 10**6), st.integers(1, 9))
@settings(max_examples=500)
def test_the_largest_size_passes_both_rules_and_a_step_more_breaks_one(equity, px, stop, rate, step):
    if px == stop:
        return
    try:
        lots, _ = core.largest(
            equity=equity, px_ticks=px, stop_px_ticks=stop, unit_value=1, fee_rate_e8=rate, qty_step_lots=step
        )
    except SizeBelowMinimum:
        lots = 0
    loss = abs(px - stop) + -(-(px + stop) * rate // E8)

    def passes(size):
        return size * px * 50 <= equity and size * loss * 50 <= equity

    assert passes(lots)
    assert not passes(lots + step)

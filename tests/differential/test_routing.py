"""Smart routing: each policy, each reason to pass a venue over, and what no plan may ever do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import errors
from engine._core import routing as core
from engine._core.routing import Against, Life, Policy
from engine._core.types import Status
from engine.model import routing as model

STEM = "routing"
NOW = 10**12
BEST, FEE, SMART = Policy.POLICY_BEST_PRICE, Policy.POLICY_LOWEST_FEE, Policy.POLICY_SMART


def venue(levels=((100, 50),), **more):
    facts = {
        "levels": list(levels), "symbol": 1, "against": 0, "unit_value": 1000, "lot_units": 10, "qty_lots_min": 1,
        "qty_lots_max": 10**6, "px_rest_ticks": 99, "ts_book_ns": NOW, "balance": 10**12, "budget": 5,
        "fee_maker_e8": 10_000, "fee_taker_e8": 50_000, "slippage_e8": 0, "latency_e8": 0,
    }  # fmt: skip
    return facts | more


def plan(impl, venues, lots=10, policy=SMART, **more):
    return impl.Routing().plan(venues, qty_units=lots * 10, policy=policy, now_ns=NOW, **more)


def chosen(impl, *args, **more):
    status, parts, _ = plan(impl, *args, **more)
    assert status == Status.OK
    return [(part[0], part[1]) for part in parts]


def test_best_price_walks_the_book_for_the_whole_quantity(impl):
    shallow = venue([(99, 5), (120, 100)], fee_taker_e8=0)
    deep = venue([(100, 100)], fee_taker_e8=10**6)
    assert chosen(impl, [shallow, deep], lots=5, policy=BEST) == [(0, 5)]
    assert chosen(impl, [shallow, deep], lots=10, policy=BEST) == [(1, 10)]
    # Selling wants the most: there the same two books answer the other way round.
    assert chosen(impl, [shallow, deep], lots=10, policy=BEST, sell=True) == [(0, 10)]


def test_lowest_fee_ignores_the_price(impl):
    cheap_fee = venue([(110, 100)], fee_taker_e8=100)
    cheap_price = venue([(90, 100)])
    assert chosen(impl, [cheap_price, cheap_fee], policy=FEE) == [(1, 10)]
    # A maker's rates are other rates.
    assert chosen(impl, [cheap_price, venue(fee_maker_e8=-1000)], policy=FEE, maker=True) == [(1, 10)]


@pytest.mark.parametrize("name", ["fee_taker_e8", "slippage_e8", "latency_e8"])
def test_smart_counts_fee_slippage_and_latency(impl, name):
    nominal, real = venue([(100, 100)], **{name: 10**6}), venue([(100, 100)], **{name: 10**6 - 10_000})
    assert chosen(impl, [nominal, real]) == [(1, 10)]
    assert chosen(impl, [real, nominal]) == [(0, 10)]


def test_a_fee_rounds_up_and_a_rebate_down_against_us(impl):
    for rate, fee in ((1, 1), (-1, 0), (50_000, 500), (50_001, 501), (-50_001, -500)):
        ((_, _, _, value, paid, cost),) = plan(impl, [venue(fee_taker_e8=rate)])[1]
        assert (value, paid, cost) == (10**6, fee, 10**6 + fee)


def test_smart_splits_where_it_is_cheaper_and_the_parts_sum_to_the_quantity(impl):
    a, b = venue([(100, 6), (110, 90)]), venue([(101, 5), (109, 90)])
    assert chosen(impl, [a, b], parts_max=2) == [(0, 6), (1, 4)]
    assert chosen(impl, [a, b], parts_max=1) == [(0, 10)]
    assert chosen(impl, [a, b], policy=BEST, parts_max=2) == [(0, 10)]


def test_smart_splits_what_no_venue_could_take_alone(impl):
    thin = [venue([(100, 4)]), venue([(101, 4)]), venue([(102, 4)])]
    assert plan(impl, thin) == (Status.ROUTE_NONE, [], [Against.AGAINST_THIN] * 3)
    status, parts, against = plan(impl, thin, parts_max=3)
    assert (status, [p[:2] for p in parts], against) == (Status.OK, [(0, 4), (1, 4), (2, 2)], [0, 0, 0])
    # Never more parts than allowed, and never a part below the venue's smallest order.
    assert plan(impl, thin, parts_max=2)[0] == Status.ROUTE_NONE
    assert plan(impl, [*thin[:2], thin[2] | {"qty_lots_min": 3}], parts_max=3)[0] == Status.ROUTE_NONE


def test_lots_of_different_size_meet_in_units(impl):
    small = venue([(100, 60)], lot_units=1, unit_value=100)
    big = venue([(100, 60)], fee_taker_e8=40_000)
    assert chosen(impl, [small, big], lots=4) == [(1, 4)]
    got = impl.Routing().plan([small, big], qty_units=43, policy=SMART, now_ns=NOW, parts_max=2)
    assert [p[:2] for p in got[1]] == [(0, 3), (1, 4)]
    got = impl.Routing().plan([small, big], qty_units=43, policy=SMART, now_ns=NOW)
    assert [p[:2] for p in got[1]] == [(0, 43)]
    assert got[2] == [0, Against.AGAINST_LOTS]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"against": Against.AGAINST_HALTED}, Against.AGAINST_HALTED),
        ({"against": Against.AGAINST_UNTRUSTED}, Against.AGAINST_UNTRUSTED),
        ({"against": Against.AGAINST_BREAKER}, Against.AGAINST_BREAKER),
        ({"against": Against.AGAINST_EXCLUDED}, Against.AGAINST_EXCLUDED),
        ({"ts_book_ns": NOW - 500_000_000}, 0),
        ({"ts_book_ns": NOW - 500_000_001}, Against.AGAINST_STALE),
        ({"ts_book_ns": NOW + 1}, Against.AGAINST_STALE),
        ({"ts_book_ns": 0}, Against.AGAINST_STALE),
        ({"ts_book_ns": -(2**63)}, Against.AGAINST_STALE),
        ({"budget": 0}, Against.AGAINST_BUDGET),
        ({"balance": 1_000_500}, 0),
        ({"balance": 1_000_499}, Against.AGAINST_BALANCE),
        ({"levels": [(100, 9)]}, Against.AGAINST_THIN),
        ({"levels": []}, Against.AGAINST_THIN),
        ({"levels": [(0, 50)]}, Against.AGAINST_THIN),
        ({"levels": [(100, -1), (100, 50)]}, Against.AGAINST_THIN),
        ({"levels": [(2**63 - 1, 50)]}, Against.AGAINST_THIN),
        ({"levels": [(2**50, 50)]}, Against.AGAINST_INPUT),
        ({"qty_lots_min": 10}, 0),
        ({"qty_lots_min": 11}, Against.AGAINST_LOTS),
        ({"qty_lots_max": 9}, Against.AGAINST_LOTS),
        ({"lot_units": 3}, Against.AGAINST_LOTS),
        ({"lot_units": 0}, Against.AGAINST_INPUT),
        ({"unit_value": 2**40}, Against.AGAINST_INPUT),
        ({"balance": -1}, Against.AGAINST_INPUT),
        ({"fee_taker_e8": 10**8}, Against.AGAINST_INPUT),
        ({"latency_e8": -1}, Against.AGAINST_INPUT),
    ],
)
def test_a_venue_is_passed_over_with_its_reason(impl, change, why):
    status, parts, against = plan(impl, [venue(**change)])
    assert (against, bool(parts)) == ([why], why == 0)
    assert status == (Status.ROUTE_NONE if why else Status.OK)
    # Beside a good but dearer one, the order goes there.
    assert chosen(impl, [venue(**change), venue([(150, 50)])]) == [(int(why != 0), 10)]


def test_what_cannot_be_sold_is_not_routed(impl):
    assert chosen(impl, [venue(balance=100)], sell=True) == [(0, 10)]
    assert plan(impl, [venue(balance=99)], sell=True)[2] == [Against.AGAINST_BALANCE]


def test_smart_spends_on_each_venue_what_it_has_there(impl):
    poor = venue([(100, 50)], balance=500_251)
    rich = venue([(101, 50)])
    assert chosen(impl, [poor, rich], parts_max=2) == [(0, 5), (1, 5)]
    assert chosen(impl, [poor | {"balance": 500_250}, rich], parts_max=2) == [(0, 4), (1, 6)]


def test_no_route_is_an_error(impl):
    assert plan(impl, []) == (Status.ROUTE_NONE, [], [])
    assert errors.by_status(Status.ROUTE_NONE) is errors.RouteNone


@pytest.mark.parametrize("ask", [{"lots": 0}, {"lots": -1}, {"policy": 3}, {"parts_max": 0}, {"lots": 2**58}])
def test_an_impossible_ask_is_refused(impl, ask):
    assert plan(impl, [venue()], **ask)[0] == Status.ROUTE_BAD_ASK


@pytest.mark.parametrize(
    ("life", "filled", "expected"),
    [
        (Life.LIFE_NEVER_SENT, 0, (Status.OK, 10)),
        (Life.LIFE_ENDED, 4, (Status.OK, 6)),
        (Life.LIFE_ENDED, 10, (Status.ROUTE_NONE, 0)),
        (Life.LIFE_LIVE, 0, (Status.ROUTE_ORDER_LIVE, 0)),
        (Life.LIFE_UNKNOWN, 0, (Status.ROUTE_ORDER_LIVE, 0)),
        (4, 0, (Status.ROUTE_ORDER_LIVE, 0)),
        (Life.LIFE_ENDED, 11, (Status.ROUTE_BAD_ASK, 0)),
        (Life.LIFE_ENDED, -1, (Status.ROUTE_BAD_ASK, 0)),
        (Life.LIFE_NEVER_SENT, 1, (Status.ROUTE_BAD_ASK, 0)),
    ],
)
def test_venue_failover_only_for_orders_known_not_live(impl, life, filled, expected):
    """D-24."""
    assert impl.rest(life, 10, filled) == expected


def test_groups_hold_each_instrument_once(impl):
    r = impl.Routing(groups=2)
    for symbol in range(8):
        r.add(1, symbol)
    r.check()
    assert (r.members(0), r.members(1)) == ([], list(range(8)))
    bad = ((1, 3, "BadConfig"), (1, 9, "BadConfig"), (2, 0, "UnknownGroup"), (0, 65536, "BadConfig"))
    for group, symbol, error in bad:
        with pytest.raises(getattr(errors, f"Route{error}")):
            r.add(group, symbol)


# ------------------------------------------------------------------------------------------------- properties
@st.composite
def facts(draw):
    sell = draw(st.booleans())
    step = -1 if sell else 1
    px, levels = draw(st.integers(95, 105)), []
    for _ in range(draw(st.integers(0, 4))):
        levels.append((px, draw(st.integers(1, 6))))
        px += step * draw(st.integers(1, 3))
    return levels


@st.composite
def situations(draw):
    sell = draw(st.booleans())
    venues = []
    for _ in range(draw(st.integers(0, 5))):
        levels = sorted(draw(facts()), reverse=sell)
        lot = draw(st.sampled_from([1, 1, 1, 2, 5]))
        venues.append(
            venue(
                levels,
                lot_units=lot,
                unit_value=draw(st.sampled_from([100, 100, 7])) * lot,
                against=draw(st.sampled_from([0, 0, 0, 0, 0, 1, 8])),
                budget=draw(st.sampled_from([1, 1, 1, 1, 0])),
                balance=draw(st.sampled_from([10**9, 10**9, 60_000, 5])),
                qty_lots_min=draw(st.sampled_from([1, 1, 3])),
                qty_lots_max=draw(st.sampled_from([1000, 1000, 4])),
                px_rest_ticks=draw(st.integers(95, 105)),
                fee_maker_e8=draw(st.integers(-100_000, 100_000)),
                fee_taker_e8=draw(st.integers(-100_000, 2_000_000)),
                slippage_e8=draw(st.integers(0, 100_000)),
                latency_e8=draw(st.sampled_from([0, 500_000])),
            )
        )
    ask = {
        "qty_units": draw(st.integers(1, 30)), "policy": draw(st.sampled_from([BEST, FEE, SMART, SMART, SMART])),
        "sell": sell, "maker": draw(st.sampled_from([False, False, True])), "parts_max": draw(st.integers(1, 4)),
        "now_ns": NOW,
    }  # fmt: skip
    return venues, ask


@given(situations())
@settings(max_examples=1500, deadline=None)
def test_every_plan_agrees_with_the_twin_and_keeps_its_promises(situation):
    venues, ask = situation
    status, parts, against = core.Routing().plan(venues, **ask)
    assert (status, parts, against) == model.Routing().plan(venues, **ask)
    assert (status == Status.OK) == bool(parts)
    if not parts:
        return
    assert sum(lots * venues[v]["lot_units"] for v, lots, *_ in parts) == ask["qty_units"]
    assert len(parts) <= (ask["parts_max"] if ask["policy"] == SMART else 1)
    assert len({part[0] for part in parts}) == len(parts)
    for v, lots, worst, value, fee, _ in parts:
        f = venues[v]
        assert against[v] == 0
        assert (f["against"], f["budget"] > 0) == (0, True)
        assert f["qty_lots_min"] <= lots <= f["qty_lots_max"]
        assert (lots * f["lot_units"] if ask["sell"] else value + max(fee, 0)) <= f["balance"]
        if not ask["maker"]:
            assert sum(qty for px, qty in f["levels"] if (px >= worst if ask["sell"] else px <= worst)) >= lots
    # Each venue alone, by the same measure: none of them is better.
    total = sum(part[5] for part in parts)
    for one in venues:
        _, alone, _ = core.Routing().plan([one], **ask)
        if alone and ask["policy"] == SMART:
            assert total <= alone[0][5]
        elif alone and ask["policy"] == FEE:
            assert parts[0][4] <= alone[0][4]
        elif alone:
            assert (parts[0][3] >= alone[0][3]) if ask["sell"] else (parts[0][3] <= alone[0][3])

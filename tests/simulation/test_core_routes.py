"""Routing, correlation and the schedule of Reduced through the whole step. Each test states one fact."""

from __future__ import annotations

import pytest

from engine._core import types
from engine._core.modes import Mode, Outcome, Who
from engine._core.risk import Rule
from engine._core.routing import Against, Policy
from engine._core.types import Feed, Flag, Kind, Stage
from engine.errors import BadLayout
from tests.support.desks import SECOND, Desk, serve


def rules(decision) -> set[Rule]:
    return {rule for rule in Rule if int(decision["reasons"]) >> int(rule) & 1}


# -------------------------------------------------------------------------------------------------------------- routing
def routed(**instruments) -> Desk:
    """Three venues of one underlying; the strategy stands on the first of them."""
    desk = Desk(symbols=3, strategies=1, venues=3, groups=1, brackets=0)
    for symbol in range(3):
        desk.world.set_instrument(symbol, venue=symbol)
    for symbol, fields in instruments.items():
        desk.world.set_instrument(int(symbol[1:]), **fields)
    desk.world.set_group(0, [0, 1, 2])
    return desk


def touches(desk: Desk, *asks: int) -> None:
    """The touch of each venue, the strategy's own last, so that it is asked with all of them fresh."""
    for symbol in reversed(range(3)):
        desk.quote(asks[symbol] - 1, asks[symbol], symbol=symbol)


def test_an_order_goes_to_the_venue_on_which_it_costs_least():
    desk = routed()
    desk.wants(px_ticks=50_010, stop_px_ticks=49_900)
    touches(desk, 50_003, 50_001, 50_002)
    assert desk.places["symbol"].tolist() == [1]


def test_a_fee_may_cost_more_than_a_tick():
    desk = routed(_1={"fee_taker_e8": 10_000_000})
    desk.wants(px_ticks=50_010, stop_px_ticks=49_900)
    touches(desk, 50_003, 50_001, 50_002)
    assert desk.places["symbol"].tolist() == [2]


@pytest.mark.parametrize(
    ("policy", "to"), [(Policy.POLICY_BEST_PRICE, 1), (Policy.POLICY_LOWEST_FEE, 0), (Policy.POLICY_SMART, 2)]
)
def test_each_group_is_routed_by_its_own_policy(policy, to):
    # The best price takes the dearest fee, the lowest fee the worst price; both together are least on the third.
    desk = routed(_0={"fee_taker_e8": 10_000}, _1={"fee_taker_e8": 10_000_000}, _2={"fee_taker_e8": 20_000})
    desk.world.set_group(0, [], policy=int(policy))
    desk.wants(px_ticks=50_300, stop_px_ticks=49_900)
    touches(desk, 50_200, 50_001, 50_010)
    assert desk.places["symbol"].tolist() == [to]


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(BadLayout):
        routed().world.set_group(0, [], policy=3)


def test_a_maker_goes_where_resting_is_cheapest():
    desk = routed(_0={"fee_maker_e8": 50_000}, _1={"fee_maker_e8": 20_000}, _2={"fee_maker_e8": -10_000})
    desk.wants(px_ticks=49_990)
    touches(desk, 50_003, 50_001, 50_002)
    assert desk.places["symbol"].tolist() == [2]


def test_one_venue_that_would_fill_it_makes_it_a_taker():
    desk = routed(_2={"fee_maker_e8": -10_000})
    desk.wants(px_ticks=50_001, stop_px_ticks=49_900)
    touches(desk, 50_005, 50_001, 50_005)
    assert desk.places["symbol"].tolist() == [1]


def halted_by_an_event(desk: Desk) -> None:
    desk.say(Kind.KIND_SYMBOL, types.SYMBOL, symbol=1, halt=1)


def cut_off(desk: Desk) -> None:
    desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=Feed.FEED_ORDERS, venue=1, up=0)


def not_compared(desk: Desk) -> None:
    desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=Feed.FEED_USER, venue=1, up=1)


def market_lost(desk: Desk) -> None:
    desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=Feed.FEED_MARKET, venue=1, up=0)


@pytest.mark.parametrize("against", [halted_by_an_event, cut_off, not_compared, market_lost])
def test_a_venue_that_the_gate_would_deny_is_passed_over(against):
    desk = routed()
    touches(desk, 50_003, 50_001, 50_002)
    against(desk)
    desk.wants(px_ticks=50_010, stop_px_ticks=49_900)
    desk.quote(50_002, 50_003, symbol=0)
    assert (desk.places["symbol"].tolist(), len(desk.denials)) == ([2], 0)


def test_a_stale_venue_is_passed_over():
    desk = routed()
    touches(desk, 50_003, 50_001, 50_002)
    desk.now += SECOND
    desk.quote(50_001, 50_002, symbol=2)
    desk.wants(px_ticks=50_010, stop_px_ticks=49_900)
    desk.quote(50_002, 50_003, symbol=0)
    assert desk.places["symbol"].tolist() == [2]


def test_venues_that_count_in_other_steps_are_no_choice():
    desk = routed(_1={"lot_e8": 200_000})
    desk.wants(px_ticks=50_010, stop_px_ticks=49_900)
    touches(desk, 50_003, 50_001, 50_002)
    assert desk.places["symbol"].tolist() == [2]


def test_no_route_is_denied_whole_with_what_stands_against_each_venue():
    desk = routed()
    touches(desk, 50_003, 50_001, 50_002)
    for symbol in range(3):
        desk.say(Kind.KIND_SYMBOL, types.SYMBOL, symbol=symbol, halt=1)
    desk.wants(px_ticks=50_010, stop_px_ticks=49_900)
    desk.quote(50_002, 50_003, symbol=0)
    denial = desk.denials[0]
    assert (Stage(int(denial["origin"]) >> 32), int(denial["reasons"]) & Against.AGAINST_HALTED) == (
        Stage.STAGE_ROUTE, Against.AGAINST_HALTED,
    )  # fmt: skip
    assert len(desk.places) == 0


def test_a_routed_order_is_amended_and_reported_where_it_rests():
    desk = routed()
    desk.wants(px_ticks=49_990)
    touches(desk, 50_003, 50_001, 50_002)
    order = desk.places[0]
    desk.ack(order)
    desk.wants(px_ticks=49_991)
    desk.quote(50_002, 50_003, symbol=0)
    amend = desk.these(Kind.KIND_INTENT_AMEND)[0]
    assert (amend["id_order"], amend["symbol"]) == (order["id_order"], order["symbol"])
    desk.fill(order)
    assert int(desk.world.positions()["lots"][int(order["symbol"])]) == 5
    assert int(desk.world.strategies()["position_lots"][0]) == 5


def test_a_reduction_stays_on_its_own_venue():
    desk = routed()
    desk.wants(px_ticks=50_010, stop_px_ticks=49_900)
    touches(desk, 50_001, 50_003, 50_003)
    order = desk.places[0]
    assert order["symbol"] == 0
    desk.fill(order)
    desk.wants_nothing()
    desk.wants("ask", px_ticks=49_999, flags=2, stop_px_ticks=0)
    touches(desk, 50_001, 50_009, 50_009)
    assert desk.places["symbol"].tolist() == [0]


# ---------------------------------------------------------------------------------------------------------- correlation
def correlated(way: int, *, samples: int = 12) -> Desk:
    """Two tracked symbols whose prices go together (+1), against each other (-1); the first one is held."""
    desk = Desk(symbols=2, strategies=2, tracked=2, brackets=0, sample_ns=SECOND, samples_min=5, sample_weight=0.2,
                validate=False, limits={"book_age_ns": 10 * SECOND})  # fmt: skip
    desk.world.set_tracked([0, 1])
    mids = [50_000, 50_000]
    for turn in range(samples):
        by = 20 if turn % 2 else -20
        mids = [mids[0] + by, mids[1] + way * by]
        for symbol in range(2):
            desk.quote(mids[symbol], mids[symbol] + 1, symbol=symbol)
        desk.timer(by=SECOND)
    desk.wants(strategy=0, px_ticks=mids[0] - 1, stop_px_ticks=mids[0] - 100)
    desk.quote(mids[0], mids[0] + 1, symbol=0)
    assert len(desk.places) == 1
    desk.fill(desk.places[0])
    desk.wants_nothing(strategy=0)
    desk.mids = mids  # type: ignore[attr-defined]
    return desk


def asks(desk: Desk, side: str) -> None:
    mid = desk.mids[1]  # type: ignore[attr-defined]
    way = -1 if side == "bid" else 1
    desk.wants(side, strategy=1, px_ticks=mid + 2 * way, stop_px_ticks=mid + 100 * way)
    desk.quote(mid, mid + 1, symbol=1)


@pytest.mark.parametrize(("way", "side", "passes"), [(1, "bid", False), (1, "ask", True), (-1, "bid", True),
                                                     (-1, "ask", False)])  # fmt: skip
def test_correlation_with_what_is_held_denies_the_same_bet_twice_and_lets_a_hedge_pass(way, side, passes):
    desk = correlated(way)
    asks(desk, side)
    assert len(desk.places) == passes
    assert passes or [rules(d) for d in desk.denials] == [{Rule.RULE_CORRELATION}]


def test_too_few_samples_are_unknown_which_fails_while_something_is_held():
    desk = correlated(-1, samples=2)
    asks(desk, "bid")
    assert Rule.RULE_CORRELATION in rules(desk.denials[0])


def test_flat_again_nothing_is_correlated_with_anything():
    desk = correlated(1)
    mid = desk.mids[0]
    desk.wants("ask", strategy=0, px_ticks=mid, flags=2, stop_px_ticks=0)
    desk.quote(mid, mid + 1, symbol=0)
    desk.fill(desk.places[0])
    desk.wants_nothing(strategy=0)
    assert desk.lots == 0
    asks(desk, "bid")
    assert len(desk.places) == 1


# -------------------------------------------------------------------------------------------------------------- Reduced
PLAN = {"reduce_interval_ns": 10 * SECOND, "reduce_share_ppm": 250_000, "reduce_target_ppm": 500_000}


def holding(lots: int, sell: bool = False, **options) -> Desk:
    desk = Desk(brackets=0, modes=PLAN, limits={"position_share_ppm": 10**6}, **options)
    desk.wants("ask" if sell else "bid", qty_lots=lots)
    desk.quote()
    desk.fill(desk.places[0])
    desk.wants_nothing()
    return desk


@pytest.mark.parametrize("sell", [False, True])
def test_reduced_shrinks_by_its_share_an_interval_down_to_its_target(sell):
    desk = holding(20, sell)
    start = desk.now
    desk.control(mode=Mode.MODE_REDUCED, who=Who.WHO_HUMAN)
    seen = [abs(desk.lots)]
    for _ in range(140):
        desk.quote(by=SECOND // 4)
        desk.timer(by=1)
        assert all(bool(plan["flags"] & Flag.FLAG_SELL) != sell for plan in serve(desk))
        passed = (desk.now - start) // (10 * SECOND)
        # Never ahead of the schedule: a quarter of the twenty an interval, half of them at the most.
        assert abs(desk.lots) >= max(20 - 5 * passed, 10)
        seen.append(abs(desk.lots))
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == 10


def test_reduced_takes_entries_back_and_lets_nothing_new_in():
    desk = holding(20)
    desk.wants(px_ticks=49_990, tag=1)
    desk.quote()
    entry = desk.places[0]
    desk.ack(entry)
    desk.control(mode=Mode.MODE_REDUCED, who=Who.WHO_HUMAN)
    assert desk.cancels["id_order"].tolist() == [entry["id_order"]]
    desk.canceled(entry)
    desk.wants(px_ticks=49_990, tag=0)
    desk.quote()
    assert next(rules(d) for d in desk.denials if int(d["origin"]) & 0xFFFF == 0) >= {Rule.RULE_MODE}


def test_reduced_counts_what_a_strategy_closes_by_itself():
    desk = holding(20)
    desk.control(mode=Mode.MODE_REDUCED, who=Who.WHO_HUMAN)
    desk.wants("ask", qty_lots=10, px_ticks=50_000, flags=2, stop_px_ticks=0)
    desk.quote()
    mine = desk.places[0]
    desk.ack(mine)
    desk.now += 11 * SECOND
    desk.quote()
    assert len([p for p in desk.places if int(p["terms"]) & 0xFFFF == 0xFFFF]) == 0  # ten are being closed already
    desk.fill(mine)
    desk.wants_nothing()
    for _ in range(10):
        desk.now += 11 * SECOND
        desk.quote()
        assert len(desk.places) == 0
    assert desk.lots == 10


def test_an_emergency_in_the_middle_of_reduced_closes_everything():
    desk = holding(20)
    desk.control(mode=Mode.MODE_REDUCED, who=Who.WHO_HUMAN)
    desk.now += 11 * SECOND
    desk.quote()
    desk.timer(by=1)
    desk.control(mode=Mode.MODE_EMERGENCY, who=Who.WHO_HUMAN, aggressive=1, equity=desk.world.account()["equity"])
    for _ in range(60):
        serve(desk)
        desk.quote(by=SECOND // 4)
        serve(desk)
        desk.timer(by=SECOND // 4)
    assert desk.world.modes["outcome"] == Outcome.OUTCOME_FLAT
    assert desk.lots == 0

"""What an order may cost and how large it gets, inside the step: fees that age, sizing, slippage, the break-even."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core import cost, sizing
from engine._core.discipline import Discipline
from engine._core.risk import Rule
from engine._core.strategy import SizeBy, StrategyRule
from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import Kind, Stage
from engine.runtime.events import fees_event
from engine.runtime.wiring import ACCOUNT, INSTRUMENT
from tests.support.desks import SECOND, START, Desk

UNIT = INSTRUMENT["tick_e8"] * INSTRUMENT["lot_e8"] // 10**8
TAKER = INSTRUMENT["fee_taker_e8"]
AGE = 300 * SECOND
STAKE = 4 * 10**12
GOOD = [40_000, -20_000, 40_000, 40_000] * 3
PLENTY = {"order_notional": 10**15, "position_share_ppm": 1_000_000}


def desk_of(*, limits=None, instrument=None, **shape) -> Desk:
    desk = Desk(cash=None, limits=PLENTY, instrument={"qty_max_lots": 100_000} | (instrument or {}), **shape)
    desk.world.set_gate_symbol(0, qty_max_lots=100_000)
    desk.world.set_strategy(0, 0, limits=limits or {})
    return desk


def rules(desk: Desk) -> set[Rule]:
    reasons = int(desk.denials[0]["reasons"])
    return {rule for rule in Rule if rule < Rule.RULE_COUNT and reasons >> int(rule) & 1}


def refused(desk: Desk) -> list[StrategyRule]:
    """Why the strategy's own limits refused the newest wish."""
    decision = desk.denials[0]
    assert int(decision["origin"]) >> 32 == Stage.STAGE_STRATEGY
    return [rule for rule in StrategyRule if int(decision["reasons"]) >> int(rule) & 1]


def heard(desk: Desk, taker: int = TAKER) -> None:
    desk.step(fees_event(START + desk.tick(1), 0, 0, taker))


# ----------------------------------------------------------------------------------------------------------------- fees
def test_fees_that_age_must_be_heard_before_the_first_order():
    desk = desk_of(instrument={"fees_age_ns": AGE}, brackets=0)
    desk.wants()
    desk.quote()
    assert rules(desk) == {Rule.RULE_FEES_STALE}
    heard(desk)
    desk.quote()
    assert len(desk.places) == 1


def test_fees_not_heard_of_for_five_minutes_stop_what_is_new_and_let_a_reduction_pass():
    desk = desk_of(instrument={"fees_age_ns": AGE}, brackets=0)
    heard(desk)
    desk.wants()
    desk.quote()
    desk.fill(desk.places[0])
    desk.quote(by=AGE - 2_000_000)
    second = desk.places
    assert len(second) == 1
    desk.canceled(second[0])
    desk.quote(by=2 * SECOND)
    assert rules(desk) == {Rule.RULE_FEES_STALE}
    desk.wants("ask", flags=2, stop_px_ticks=0)
    desk.quote()
    assert len(desk.places) == 1
    heard(desk)
    desk.wants()
    desk.quote()
    assert len(desk.places) == 1


def test_fees_of_the_set_up_do_not_age():
    desk = desk_of(brackets=0)
    desk.wants()
    desk.quote(by=10**6 * SECOND)
    assert len(desk.places) == 1


# ----------------------------------------------------------------------------------------------------------- how large
def test_a_fixed_fraction_of_the_equity_is_the_size_and_the_wish_its_most():
    desk = desk_of(limits={"size_by": int(SizeBy.SIZE_BY_FRACTION), "size_share_ppm": 1_000}, brackets=0)
    desk.wants(qty_lots=50_000)
    desk.quote()
    lots = sizing.notional(ACCOUNT["equity"], 100_000, px_ticks=49_999, unit_value=UNIT)
    assert 0 < lots < 50_000
    assert desk.places["qty_lots"].tolist() == [lots]
    desk.canceled(desk.places[0])
    desk.wants(qty_lots=lots - 1)
    desk.quote()
    assert desk.places["qty_lots"].tolist() == [lots - 1]


def test_what_is_lost_at_the_stop_and_on_fees_bounds_the_size():
    limits = {"size_by": int(SizeBy.SIZE_BY_FRACTION), "size_share_ppm": 900_000, "size_risk_ppm": 100}
    desk = desk_of(limits=limits, brackets=0)
    desk.wants(qty_lots=50_000, stop_px_ticks=49_500)
    desk.quote()
    lots = sizing.risk(ACCOUNT["equity"], 10_000, px_ticks=49_999, stop_px_ticks=49_500, unit_value=UNIT,
                       fee_rate_e8=TAKER)  # fmt: skip
    assert 0 < lots < 50_000
    assert desk.places["qty_lots"].tolist() == [lots]


def test_what_is_held_counts_in_the_fraction_and_nothing_is_left_when_it_is_reached():
    desk = desk_of(limits={"size_by": 1, "size_share_ppm": 1_000}, brackets=0)
    desk.wants(qty_lots=50_000)
    desk.quote()
    desk.fill(desk.places[0])
    desk.quote()
    assert refused(desk) == [StrategyRule.STRATEGY_RULE_SIZE]


def test_a_size_stays_with_its_order_however_the_equity_moves():
    desk = desk_of(limits={"size_by": 1, "size_share_ppm": 1_000}, brackets=0)
    desk.wants(qty_lots=50_000)
    desk.quote()
    desk.ack(desk.places[0])
    desk.world.set_account(equity=2 * ACCOUNT["equity"], peak=2 * ACCOUNT["equity"])
    desk.quote()
    assert len(desk.out) == 0


def test_without_equity_there_is_no_size():
    desk = desk_of(limits={"size_by": 1, "size_share_ppm": 1_000}, brackets=0)
    desk.world.set_account(equity=0, peak=0)
    desk.wants(qty_lots=50_000)
    desk.quote()
    assert refused(desk) == [StrategyRule.STRATEGY_RULE_SIZE]


def test_without_a_stop_there_is_no_size_and_a_malformed_wish_is_told_as_one():
    desk = desk_of(limits={"size_by": 1}, brackets=0)
    desk.wants(stop_px_ticks=0)
    desk.quote()
    assert refused(desk) == [StrategyRule.STRATEGY_RULE_SIZE]
    desk.wants(qty_lots=0)
    desk.quote()
    assert refused(desk) == [StrategyRule.STRATEGY_RULE_WISH]


def test_a_reduction_is_as_large_as_it_is_wished():
    desk = desk_of(limits={"size_by": 1, "size_share_ppm": 1_000}, brackets=0)
    desk.wants(qty_lots=50_000)
    desk.quote()
    held = int(desk.places[0]["qty_lots"])
    desk.fill(desk.places[0])
    desk.wants("ask", flags=2, stop_px_ticks=0, qty_lots=held)
    desk.quote()
    assert desk.places[-1]["qty_lots"] == held


def kelly_desk(pnls: list[int], **limits: int) -> Desk:
    rule = {"paper": 1, "validator": 1, "samples_min": 10}
    desk = desk_of(limits={"size_by": int(SizeBy.SIZE_BY_KELLY), **limits}, brackets=0, discipline=rule)
    table = Discipline(strategies=1, symbols=1, **rule)
    for at, pnl in enumerate(pnls):
        # Stakes of the size that is asked for: a bet far beyond the usual one is a bias.
        table.result(0, 0, pnl=pnl * STAKE // 10**6, notional=STAKE, now_ns=START + at, stop_ppm=1_000)
    desk.world.put_discipline(table.image())
    desk.quote(by=4 * 3600 * SECOND)
    return desk


def confirmed(desk: Desk, **fields: int) -> None:
    """A bid that several sources confirm."""
    desk.wants(qty_lots=90_000, **fields)
    wish = desk.wish[0]

    def decide(view, wishes):
        wishes["signal"]["valid"], wishes["signal"]["sources"] = 1, 7
        wish(view, wishes)

    desk.wish[0] = decide
    desk.quote()


@pytest.mark.parametrize(
    ("pnls", "fraction_e8"),
    [
        # Three wins of 4 % and a loss of 2 %: 0.75 - 0.25 / 2 = 0.625, of which half; the cap is a whole.
        (GOOD, 31_250_000),
        # Half won, as much as was lost: no edge is no bet.
        ([10_000, -10_000] * 6, 0),
        # Nothing but losses.
        ([-10_000] * 12, 0),
        # Too few results to judge: what exploring may risk, 0.1 %.
        ([10_000, 10_000], 100_000),
    ],
)
def test_kelly_bets_what_the_strategys_own_record_speaks_for(pnls, fraction_e8):
    desk = kelly_desk(pnls, kelly_cap_ppm=1_000_000, size_share_ppm=1_000_000, size_risk_ppm=1_000_000)
    confirmed(desk)
    if fraction_e8 == 0:
        assert refused(desk) == [StrategyRule.STRATEGY_RULE_SIZE]
        return
    lots = sizing.notional(ACCOUNT["equity"], fraction_e8, px_ticks=49_999, unit_value=UNIT)
    assert desk.places["qty_lots"].tolist() == [min(lots, 90_000)]


def test_kelly_is_capped_and_without_a_record_there_is_no_size():
    desk = kelly_desk(GOOD)
    confirmed(desk)
    assert desk.denials.size == 0
    lots = sizing.notional(ACCOUNT["equity"], 2_000_000, px_ticks=49_999, unit_value=UNIT)
    assert desk.places["qty_lots"].tolist() == [lots]
    desk = desk_of(limits={"size_by": int(SizeBy.SIZE_BY_KELLY)}, brackets=0)
    desk.wants()
    desk.quote()
    assert refused(desk) == [StrategyRule.STRATEGY_RULE_SIZE]


# --------------------------------------------------------------------------------------------------------- at what cost
def test_a_target_must_lie_beyond_the_break_even_of_the_complete_cost():
    desk = desk_of(limits={"earns": 1})
    touch = {"bid_px_ticks": 50_000, "ask_px_ticks": 50_001}
    fees = {"maker_e8": INSTRUMENT["fee_maker_e8"], "taker_e8": TAKER}
    even = cost.estimate(np.array([50_001]), np.array([50]), sell=False, qty=5, unit_value=UNIT, limit_ticks=49_999,
                         **touch, **fees)  # fmt: skip
    least = even["break_even_px_ticks"]
    assert least > 50_000
    desk.wants(target_px_ticks=least - 1)
    desk.quote()
    assert refused(desk) == [StrategyRule.STRATEGY_RULE_COST]
    desk.wants(target_px_ticks=least)
    desk.quote()
    assert len(desk.places) == 1


def test_fees_that_were_heard_are_the_fees_of_the_break_even():
    desk = desk_of(limits={"earns": 1})
    desk.step(fees_event(START + desk.tick(1), 0, 0, 0))
    desk.wants(target_px_ticks=50_000)
    desk.quote()
    assert len(desk.places) == 1


def test_what_the_live_book_would_fill_too_far_from_the_mid_is_not_asked_for():
    desk = desk_of(limits={"slippage_ppm_max": 20}, brackets=0)
    desk.wants(type=int(WishType.TYPE_MARKET), tif=int(WishTif.TIF_IOC), px_ticks=0)
    desk.quote(50_000, 50_001)
    assert len(desk.places) == 1
    desk.canceled(desk.places[0])
    desk.quote(50_000, 50_004)
    assert refused(desk) == [StrategyRule.STRATEGY_RULE_SLIPPAGE]
    # More than stands there cannot be estimated.
    desk.wants(type=int(WishType.TYPE_MARKET), tif=int(WishTif.TIF_IOC), px_ticks=0, qty_lots=51)
    desk.quote(50_000, 50_001)
    assert refused(desk) == [StrategyRule.STRATEGY_RULE_SLIPPAGE]
    assert desk.these(Kind.KIND_INTENT_PLACE).size == 0

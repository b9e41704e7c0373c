"""The contracts that go through the whole core, under the names that the requirements give them."""

from __future__ import annotations

import pytest

from engine._core.risk import Rule
from engine._core.types import Stage
from engine.settings.tiers import choose, read_ladder
from tests.source.files import ROOT
from tests.support.desks import Desk

UNIT = 10**8


def rules(desk: Desk) -> list[set[Rule]]:
    return [{rule for rule in Rule if int(d["reasons"]) >> int(rule) & 1} for d in desk.denials]


def test_drawdown_limit_denies_and_trips():
    desk = Desk(brackets=0, limits={"position_share_ppm": 10**6, "order_notional": 10**15, "drawdown_ppm": 10})
    desk.wants(qty_lots=1_000, px_ticks=50_000, stop_px_ticks=40_000)
    desk.quote()
    desk.fill(desk.places[0])
    desk.wants_nothing()
    desk.quote(49_800, 49_801)
    assert desk.world.account()["latch"] != 0
    desk.wants(px_ticks=49_799, stop_px_ticks=40_000)
    desk.quote(49_800, 49_801)
    assert len(desk.places) == 0
    assert {Rule.RULE_DRAWDOWN, Rule.RULE_LATCH} <= rules(desk)[0]


def test_pipeline_data_that_is_refused_reaches_no_strategy():
    desk = Desk()
    called = []
    desk.wish[0] = lambda view, _wishes: called.append((int(view["bid_px_ticks"]), int(view["ask_px_ticks"])))
    desk.quote(50_000, 50_001)
    desk.quote(50_005, 50_001)
    desk.quote(-1, 50_001)
    desk.quote(50_000, 50_002)
    assert called == [(50_000, 50_001), (50_000, 50_002)]


@pytest.mark.parametrize("denied", [0, 1])
def test_execution_needs_the_gates_approval_and_closed_breakers(denied):
    desk = Desk(brackets=0)
    desk.quote()
    desk.world.set_account(breaker_denied=denied)
    desk.wants()
    desk.quote()
    assert [int(place["token"]) != 0 for place in desk.places] == [True] * (1 - denied)
    assert rules(desk) == [{Rule.RULE_BREAKER}] * denied
    assert {int(d["origin"]) >> 32 for d in desk.denials} <= {Stage.STAGE_GATE}


def test_regime_leverage_of_zero_lets_nothing_in_and_everything_out():
    desk = Desk(brackets=0)
    desk.wants()
    desk.quote()
    order = desk.places[0]
    desk.ack(order)
    desk.fill(order)
    desk.world.set_limits(leverage_regime_ppm=0)
    desk.wants(qty_lots=3, px_ticks=49_998)
    desk.quote()
    assert (len(desk.places), Rule.RULE_LEVERAGE in rules(desk)[0]) == (0, True)
    desk.wants("ask", px_ticks=50_000, stop_px_ticks=0, flags=2)
    desk.quote()
    assert [int(p["qty_lots"]) for p in desk.places] == [5]


def test_allocator_gives_the_tier_of_the_capital():
    ladder = read_ladder(ROOT / "config" / "tiers")
    found = {capital: choose(ladder, capital * UNIT) for capital in (1_999, 2_000, 5_000, 5_001, 10**9)}
    names = {capital: None if at is None else ladder[at].tier.name for capital, at in found.items()}
    assert names == {1_999: None, 2_000: "survival", 5_000: "survival", 5_001: "growth", 10**9: "whale"}
    # One tier up needs its bound cleared by the hysteresis, down is at once.
    assert choose(ladder, 5_001 * UNIT, current="survival", hysteresis_ppm=50_000) == found[2_000]
    assert choose(ladder, 5_000 * UNIT, current="growth", hysteresis_ppm=50_000) == found[2_000]

"""Sizes and costs in a session of `bot4 run`: what the settings say of a strategy decides how much it gets."""

from __future__ import annotations

import pytest

from engine._core import sizing, types
from engine._core.strategy import SizeBy, StrategyRule
from engine._core.strategy_abi import WishType
from engine._core.types import Kind, Stage
from engine.observe.decisions import explain
from tests.simulation.test_run_parents import PARENT, Run

MOST = 1_000  # lots that the strategy wishes for
SIZED = PARENT.replace("nets = {nets}, share_ppm = 500_000", "{limits}").replace("qty = 6", f"qty = {MOST}")


@pytest.fixture
def session(tmp_path):
    made: list[Run] = []

    def make(limits: str, kind: WishType = WishType.TYPE_LIMIT) -> Run:
        made.append(Run(tmp_path, SIZED.format(kind=int(kind), limits=limits)))
        return made[0]

    yield make
    for run in made:
        run.close()


def entry(run: Run):
    """The first order that opened something, and what sizing says of it with what the core knew then."""
    run.until(lambda: len(run.of(Kind.KIND_INTENT_PLACE)) > 0)
    return run.of(Kind.KIND_INTENT_PLACE).view(types.INTENT)[0]


def test_a_strategy_sized_by_a_fraction_gets_that_fraction_of_the_capital(session):
    run = session(f"size_by = {int(SizeBy.SIZE_BY_FRACTION)}, size_share_ppm = 900")
    capital = run.session.settings.account.capital
    first = entry(run)
    row = run.session.engine.core.world.instruments()[0]
    unit = int(row["tick_e8"]) * int(row["lot_e8"]) // 10**8
    px = int(first["px_ticks"])
    lots = sizing.largest(equity=capital, px_ticks=px, stop_px_ticks=px - 5_000, unit_value=unit,
                          notional_share_e8=90_000, fee_rate_e8=int(row["fee_taker_e8"]))[0]  # fmt: skip
    assert 0 < lots < MOST
    assert int(first["qty_lots"]) == lots


def test_kelly_without_results_bets_what_exploring_may(session):
    run = session(f"size_by = {int(SizeBy.SIZE_BY_KELLY)}, size_share_ppm = 20_000")
    capital = run.session.settings.account.capital
    first = entry(run)
    row = run.session.engine.core.world.instruments()[0]
    unit = int(row["tick_e8"]) * int(row["lot_e8"]) // 10**8
    share = 100_000  # 0.1 %, in 1e-8
    assert int(first["qty_lots"]) == sizing.notional(capital, share, px_ticks=int(first["px_ticks"]), unit_value=unit)


def test_what_would_slip_too_far_is_not_asked_for_and_why_names_it(session):
    run = session("slippage_ppm_max = 1", WishType.TYPE_MARKET)
    run.until(lambda: len(run.of(Kind.KIND_DECISION)) > 0)
    decision = run.of(Kind.KIND_DECISION).view(types.DECISION)[0]
    assert int(decision["origin"]) >> 32 == Stage.STAGE_STRATEGY
    assert int(decision["reasons"]) == 1 << StrategyRule.STRATEGY_RULE_SLIPPAGE
    assert "too far from the mid" in str(explain(decision))
    assert run.of(Kind.KIND_INTENT_PLACE).size == 0

"""The compiled ledger and its twin: every unit accounted for after every event."""

from __future__ import annotations

import itertools
import os
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import ledger as core
from engine.errors import (
    Bot4Error,
    LedgerBadAmount,
    LedgerBadSetup,
    LedgerNoBase,
    LedgerOverflow,
    LedgerStaleMark,
    LedgerUnbalanced,
    LedgerUnknownAsset,
    LedgerUnknownSymbol,
    LedgerUnreconciled,
)
from engine.model import ledger as model
from engine.model.ledger import (
    ADJUSTMENT,
    CAPITAL,
    CASH,
    COUNTER,
    FEES,
    FUNDING,
    POSITION,
    REALISED,
    Account,
    Base,
)

STEM = "ledger"
USDT, BTC, BNB, ETH = range(4)
SPOT, PERP, CROSS = range(3)
BUY, SELL = False, True
WHOLE = 10**8
SECOND = 10**9


def make(impl, *, fifo=4, funds=10**6 * WHOLE):
    """USDT reported; BTCUSDT spot, BTCUSDT perpetual, ETHBTC spot. A tick is 0.01, a lot 0.001."""
    ledger = impl.Ledger(assets=4, symbols=4, fifo=fifo)
    for asset in range(4):
        ledger.set_asset(asset)
    ledger.set_symbol(SPOT, linear=False, base=BTC, quote=USDT, unit_value=1000, lot_units=10**5, tick_e8=10**6)
    ledger.set_symbol(PERP, linear=True, quote=USDT, unit_value=1000, tick_e8=10**6)
    ledger.set_symbol(CROSS, linear=False, base=ETH, quote=BTC, unit_value=1, lot_units=10**5, tick_e8=1000)
    if funds:
        ledger.transfer(USDT, funds)
    return ledger


def accounts(ledger, asset):
    return {a: ledger.balance(asset, a) for a in Account if ledger.balance(asset, a)}


# ------------------------------------------------------------------------------------------------ postings and accounts
def test_a_spot_buy_moves_cash_into_a_position_at_cost(impl):
    ledger = make(impl, funds=0)
    ledger.fill(SPOT, BUY, 100, 7)
    assert accounts(ledger, USDT) == {CASH: -700_000, POSITION: 700_000}
    assert accounts(ledger, BTC) == {CASH: 700_000, COUNTER: -700_000}
    ledger.check()


def test_a_perpetual_opens_without_cash_and_settles_its_profit_in_cash(impl):
    ledger = make(impl, funds=0)
    ledger.fill(PERP, BUY, 100, 7)
    assert accounts(ledger, USDT) == {POSITION: 700_000, COUNTER: -700_000}
    ledger.fill(PERP, SELL, 110, 7)
    assert accounts(ledger, USDT) == {CASH: 70_000, REALISED: -70_000}
    ledger.check()


def test_every_posting_sums_to_zero_in_each_asset(impl):
    ledger = make(impl)
    legs = ledger.fill(SPOT, BUY, 100, 7, fee=3, fee_asset=BNB)
    for asset in range(4):
        assert sum(amount for a, _, amount in legs if a == asset) == 0


def test_a_flip_through_zero_closes_at_cost_and_opens_at_the_new_price(impl):
    ledger = make(impl)
    ledger.fill(PERP, BUY, 100, 5)
    ledger.fill(PERP, SELL, 120, 8)
    position = ledger.position(PERP)
    assert (position["lots"], position["cost"], position["realised"]) == (-3, -3 * 120_000, 5 * 20_000)
    assert ledger.lots(PERP) == [(3, -360_000)]
    ledger.check()


def test_average_cost_and_fifo_split_the_same_total_differently(impl):
    ledger = make(impl)
    for px in (100, 200):
        ledger.fill(SPOT, BUY, px, 1)
    ledger.fill(SPOT, SELL, 200, 1)
    position = ledger.position(SPOT)
    assert (position["realised"], position["realised_fifo"]) == (50_000, 100_000)
    ledger.mark(SPOT, 2 * WHOLE, 0)
    for fifo in (False, True):
        unrealised = ledger.unrealised(SPOT, now_ns=0, age_max_ns=1, fifo=fifo)
        assert position["realised_fifo" if fifo else "realised"] + unrealised == 100_000


def test_the_division_of_a_cost_is_never_in_our_favour_and_leaves_no_residue(impl):
    ledger = impl.Ledger(assets=2, symbols=1, fifo=4)
    ledger.set_asset(0)
    ledger.set_asset(1)
    ledger.set_symbol(0, linear=True, quote=0, unit_value=1, tick_e8=1)
    ledger.fill(0, BUY, 1, 2)
    ledger.fill(0, BUY, 2, 1)  # cost 4 over 3 lots
    ledger.fill(0, SELL, 2, 1)
    assert ledger.position(0)["cost"] == 2  # 4/3 rounded up to 2 has left
    assert ledger.position(0)["realised"] == 0
    ledger.fill(0, SELL, 2, 2)
    assert (ledger.position(0)["cost"], ledger.position(0)["realised"]) == (0, 2)
    ledger.check()


def test_a_short_pays_the_same_rounding(impl):
    ledger = impl.Ledger(assets=1, symbols=1, fifo=4)
    ledger.set_asset(0)
    ledger.set_symbol(0, linear=True, quote=0, unit_value=1, tick_e8=1)
    ledger.fill(0, SELL, 1, 2)
    ledger.fill(0, SELL, 2, 1)
    ledger.fill(0, BUY, 1, 1)  # 4/3 received for it: 1/3 earned, shown as 0
    assert ledger.position(0)["realised"] == 0
    ledger.check()


# ----------------------------------------------------------------------------------------------------------------- fees
def test_fee_in_a_third_asset_is_a_leg_of_its_own_and_counted_once(impl):
    ledger = make(impl)
    ledger.fill(SPOT, BUY, 100, 7, fee=75, fee_asset=BNB)
    assert accounts(ledger, BNB) == {CASH: -75, FEES: 75}
    assert ledger.balance(USDT, FEES) == 0
    assert ledger.position(SPOT)["cost"] == 700_000


def test_fee_in_the_bought_asset_lowers_the_wallet_and_not_the_fills(impl):
    ledger = make(impl)
    ledger.fill(SPOT, BUY, 100, 7, fee=700, fee_asset=BTC)
    assert accounts(ledger, BTC) == {CASH: 699_300, COUNTER: -700_000, FEES: 700}
    assert ledger.position(SPOT)["lots"] == 7
    ledger.check()


def test_rebate_is_a_negative_fee(impl):
    ledger = make(impl, funds=0)
    ledger.fill(PERP, BUY, 100, 7, fee=-70, fee_asset=USDT)
    assert (ledger.balance(USDT, CASH), ledger.balance(USDT, FEES)) == (70, -70)


def test_a_fee_that_arrives_later_posts_like_one_with_its_fill(impl):
    together, apart = make(impl), make(impl)
    together.fill(SPOT, BUY, 100, 7, fee=75, fee_asset=BNB)
    apart.fill(SPOT, BUY, 100, 7)
    apart.fee(BNB, 75)
    assert accounts(together, BNB) == accounts(apart, BNB)


# ------------------------------------------------------------------------------------------- late fills and corrections
def test_a_late_fill_after_cancel_posts_like_any_other(impl):
    ours, late = make(impl), make(impl)
    assert ours.fill(PERP, SELL, 90, 3, fee=5, fee_asset=USDT, now_ns=10) == late.fill(
        PERP, SELL, 90, 3, fee=5, fee_asset=USDT, now_ns=10**15
    )
    assert accounts(ours, USDT) == accounts(late, USDT)


def test_a_correction_takes_back_cash_position_and_fee_to_the_unit(impl):
    ledger = make(impl)
    before = [accounts(ledger, a) for a in range(4)]
    ledger.fill(SPOT, BUY, 100, 7, fee=75, fee_asset=BNB)
    ledger.fill(SPOT, BUY, 100, 7, fee=75, fee_asset=BNB, correction=True)
    assert [accounts(ledger, a) for a in range(4)] == before
    position = ledger.position(SPOT)
    assert (position["lots"], position["bought_lots"], position["sold_lots"], position["correction_count"]) == (
        0,
        0,
        0,
        1,
    )
    ledger.check()


def test_a_correction_of_what_was_never_filled_is_refused(impl):
    ledger = make(impl)
    ledger.fill(SPOT, BUY, 100, 2)
    with pytest.raises(LedgerBadAmount):
        ledger.fill(SPOT, SELL, 100, 1, correction=True)
    with pytest.raises(LedgerBadAmount):
        ledger.fill(SPOT, BUY, 100, 3, correction=True)
    assert ledger.counts["refused"] == 2
    ledger.check()


# -------------------------------------------------------------------------------------------------------- the FIFO ring
def test_a_full_fifo_ring_joins_the_newest_lot_and_loses_nothing(impl):
    ledger = make(impl, fifo=2)
    for px in (10, 20, 30):
        ledger.fill(PERP, BUY, px, 1)
    assert ledger.lots(PERP) == [(1, 10_000), (2, 50_000)]
    assert ledger.position(PERP)["fifo_merged_count"] == 1
    ledger.check()


def test_fills_at_the_same_price_share_a_lot_and_are_not_counted_as_merged(impl):
    ledger = make(impl, fifo=2)
    for px in (10, 20, 20, 20):
        ledger.fill(PERP, SELL, px, 1)
    assert ledger.lots(PERP) == [(1, -10_000), (3, -60_000)]
    assert ledger.position(PERP)["fifo_merged_count"] == 0


# ------------------------------------------------------------------------------------------------ funding and transfers
def test_funding_is_cash_against_its_own_account_and_no_trade(impl):
    ledger = make(impl)
    ledger.fill(PERP, BUY, 100, 1)
    ledger.funding(PERP, 30)
    ledger.funding(PERP, -50)
    assert ledger.balance(USDT, FUNDING) == -20
    assert ledger.position(PERP)["funding"] == -20
    assert ledger.position(PERP)["realised"] == 0
    ledger.check()


def test_spot_has_no_funding(impl):
    with pytest.raises(LedgerUnknownSymbol):
        make(impl).funding(SPOT, 1)


def test_reconcile_of_cash_start_and_flows_less_fees_is_cash_end(impl):
    ledger = make(impl)
    ledger.fill(PERP, BUY, 100, 10, fee=11, fee_asset=USDT)
    ledger.fill(PERP, SELL, 130, 4, fee=12, fee_asset=USDT)
    ledger.funding(PERP, 7)
    ledger.transfer(USDT, -1000)
    flows = {a: ledger.balance(USDT, a) for a in (CAPITAL, REALISED, FEES, FUNDING)}
    assert ledger.balance(USDT, CASH) == -sum(flows.values())
    assert flows == {CAPITAL: -(10**14) + 1000, REALISED: -120_000, FEES: 23, FUNDING: 7}


def test_reconcile_halts_beyond_the_tolerance_and_an_adjustment_stays_visible(impl):
    ledger = make(impl)
    ours = ledger.balance(USDT, CASH)
    assert ledger.reconcile(USDT, ours) == 0
    assert ledger.reconcile(USDT, ours + 5, tolerance=5) == 5
    with pytest.raises(LedgerUnreconciled):
        ledger.reconcile(USDT, ours - 6, tolerance=5)
    ledger.adjust(USDT, -6)
    assert ledger.reconcile(USDT, ours - 6) == 0
    assert ledger.balance(USDT, ADJUSTMENT) == 6


def test_legs_made_elsewhere_must_balance_and_leave_positions_alone(impl):
    ledger = make(impl)
    ledger.post([(USDT, FEES, 5), (USDT, CASH, -5)])
    with pytest.raises(LedgerUnbalanced):
        ledger.post([(USDT, FEES, 5), (BTC, CASH, -5)])
    with pytest.raises(LedgerBadAmount):
        ledger.post([(USDT, REALISED, 5), (USDT, CASH, -5)])
    with pytest.raises(LedgerUnknownAsset):
        ledger.post([(9, FEES, 5), (9, CASH, -5)])
    ledger.check()


# ------------------------------------------------------------------------------------------------------------ valuation
def test_portfolio_equity_values_every_asset_at_its_mark(impl):
    ledger = make(impl)
    ledger.fill(SPOT, BUY, 100, 1000, fee=WHOLE, fee_asset=BNB)  # 1 BTC at 1 USDT, fee 1 BNB
    ledger.fill(PERP, SELL, 100, 1000)
    for symbol in (SPOT, PERP):
        ledger.mark(symbol, 3 * WHOLE, 5)
    ledger.mark_asset(BTC, 3 * WHOLE, 5)
    ledger.mark_asset(BNB, 600 * WHOLE, 4)
    equity = ledger.equity(now_ns=6, age_max_ns=10)
    assert equity["equity"] == (10**6 - 1 + 3 - 600 - 2) * WHOLE
    assert (equity["gross"], equity["net"], equity["largest"]) == (6 * WHOLE, 0, 3 * WHOLE)
    assert equity["oldest_ns"] == 4


@pytest.mark.parametrize(("now_ns", "fresh"), [(4, False), (5, True), (15, True), (16, False)])
def test_a_stale_mark_gives_no_value(impl, now_ns, fresh):
    ledger = make(impl)
    ledger.fill(PERP, BUY, 100, 1)
    ledger.mark(PERP, WHOLE, 5)
    if fresh:
        assert ledger.equity(now_ns=now_ns, age_max_ns=10)["unrealised"] == 0
    else:
        with pytest.raises(LedgerStaleMark):
            ledger.equity(now_ns=now_ns, age_max_ns=10)


def test_a_missing_mark_is_no_value_and_a_zero_balance_needs_none(impl):
    ledger = make(impl)
    assert ledger.equity(now_ns=0, age_max_ns=0)["equity"] == 10**6 * WHOLE
    ledger.fee(BNB, 1)
    with pytest.raises(LedgerStaleMark):
        ledger.equity(now_ns=0, age_max_ns=0)


def test_an_older_mark_never_replaces_a_newer_one(impl):
    ledger = make(impl)
    ledger.mark(PERP, WHOLE, 5)
    with pytest.raises(LedgerStaleMark):
        ledger.mark(PERP, 2 * WHOLE, 4)


def test_deposits_are_not_profit_and_withdrawals_not_drawdown(impl):
    ledger = make(impl, funds=1000)
    at = {"now_ns": 0, "age_max_ns": 10}
    ledger.revalue(**at)
    ledger.transfer(USDT, 500)
    ledger.revalue(**at)
    assert [ledger.pnl(base, **at) for base in Base] == [0, 0, 0]
    ledger.transfer(USDT, -1200)
    ledger.revalue(**at)
    assert ledger.drawdown_e8(**at) == 0


def test_drawdown_is_measured_from_the_peak_and_rounded_up(impl):
    ledger = make(impl, funds=3)
    at = {"now_ns": 0, "age_max_ns": 10}
    ledger.revalue(**at)
    ledger.fee(USDT, 1)
    ledger.revalue(**at)
    assert ledger.drawdown_e8(**at) == 33_333_334
    assert ledger.pnl(Base.BASE_PEAK, **at) == -1


def test_daily_pnl_begins_anew_at_the_cut_and_the_session_does_not(impl):
    day = 86_400 * SECOND
    ledger = impl.Ledger(assets=1, symbols=1, day_cut_ns=8 * 3600 * SECOND)
    ledger.set_asset(0)
    ledger.transfer(0, 100)
    for now_ns, fee in ((7 * 3600 * SECOND, 10), (8 * 3600 * SECOND, 5), (day, 1)):
        ledger.revalue(now_ns=now_ns, age_max_ns=day)
        ledger.fee(0, fee)
    ledger.revalue(now_ns=day, age_max_ns=day)
    assert ledger.pnl(Base.BASE_DAY, now_ns=day, age_max_ns=0) == -6
    assert ledger.pnl(Base.BASE_SESSION, now_ns=day, age_max_ns=0) == -16


def test_equity_that_is_old_or_was_never_made_answers_nothing(impl):
    ledger = make(impl)
    with pytest.raises(LedgerNoBase):
        ledger.pnl(Base.BASE_DAY, now_ns=0, age_max_ns=10)
    ledger.revalue(now_ns=0, age_max_ns=10)
    with pytest.raises(LedgerStaleMark):
        ledger.drawdown_e8(now_ns=11, age_max_ns=10)


# --------------------------------------------------------------------------------------------------- refusals, overflow
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((SPOT, BUY, 0, 1), LedgerBadAmount),
        ((SPOT, BUY, 1, 0), LedgerBadAmount),
        ((SPOT, BUY, -1, 1), LedgerBadAmount),
        ((3, BUY, 1, 1), LedgerUnknownSymbol),
        ((9, BUY, 1, 1), LedgerUnknownSymbol),
        ((SPOT, BUY, 2**40, 2**40), LedgerOverflow),
        ((PERP, BUY, 1, 2**60), LedgerOverflow),
        ((SPOT, BUY, 1, 2**45), LedgerOverflow),
        ((PERP, BUY, 2**50, 1000), LedgerOverflow),
    ],
)
def test_a_refused_fill_changes_nothing(impl, arguments, error):
    ledger = make(impl)
    before = [accounts(ledger, a) for a in range(4)]
    with pytest.raises(error):
        ledger.fill(*arguments)
    assert [accounts(ledger, a) for a in range(4)] == before
    assert ledger.counts == {"postings": 1, "refused": 1}
    ledger.check()


def test_a_balance_at_its_limit_refuses_the_whole_posting(impl):
    ledger = impl.Ledger(assets=2, symbols=1)
    ledger.set_asset(0)
    ledger.set_asset(1)
    ledger.set_symbol(0, linear=True, quote=0, unit_value=1, tick_e8=1)
    for _ in range(4):
        ledger.adjust(1, 2**60 - 1)
    ledger.adjust(1, 3)  # the balance is 2**62 - 1 now, the largest there is
    with pytest.raises(LedgerOverflow):
        ledger.fill(0, BUY, 5, 5, fee=-1, fee_asset=1)
    assert ledger.position(0)["lots"] == 0
    assert accounts(ledger, 0) == {}
    ledger.check()


@pytest.mark.parametrize("shape", [{"assets": 0}, {"symbols": 0}, {"fifo": 3}, {"fifo": 0}, {"fifo": 2**17}])
def test_an_impossible_shape_is_refused(impl, shape):
    with pytest.raises(LedgerBadSetup):
        impl.Ledger(**({"assets": 1, "symbols": 1} | shape))


def test_an_instrument_needs_whole_unit_values_and_known_assets(impl):
    ledger = make(impl)
    ledger.fill(SPOT, BUY, 1, 1)
    whole = {"linear": True, "quote": USDT, "unit_value": 1, "tick_e8": 1}
    for symbol, change, error in (
        (SPOT, {}, LedgerBadSetup),  # it has fills
        (3, {"unit_value": 0}, LedgerBadSetup),
        (3, {"tick_e8": 0}, LedgerBadSetup),
        (3, {"quote": 7}, LedgerUnknownAsset),
        (3, {"linear": False}, LedgerUnknownAsset),
        (3, {"linear": False, "base": USDT, "lot_units": 1}, LedgerBadSetup),
        (4, {}, LedgerUnknownSymbol),
    ):
        with pytest.raises(error):
            ledger.set_symbol(symbol, **(whole | change))


# ------------------------------------------------------------------------------------------------ exhaustive and random
def test_every_short_sequence_of_fills_conserves_cash_and_position():
    """All 8**5 sequences of five fills of 1 or 2 lots at two prices: the identity of flow, cost and profit holds."""
    moves = list(itertools.product((BUY, SELL), (3, 7), (1, 2)))
    for sequence in itertools.product(moves, repeat=5):
        ledger = core.Ledger(assets=1, symbols=1, fifo=2)
        ledger.set_asset(0)
        ledger.set_symbol(0, linear=True, quote=0, unit_value=1, tick_e8=1)
        lots = flow = 0
        for sell, px, qty in sequence:
            ledger.fill(0, sell, px, qty)
            lots += -qty if sell else qty
            flow += px * qty if sell else -px * qty
        position = ledger.position(0)
        assert (position["lots"], position["cash_value"]) == (lots, flow)
        assert ledger.balance(0, REALISED) == -(flow + position["cost"])
        if lots == 0:
            assert ledger.balance(0, CASH) == flow
            assert position["cost"] == position["cost_fifo"] == 0
        else:
            ledger.check()


FILL = st.tuples(
    st.sampled_from([SPOT, PERP, CROSS]), st.booleans(), st.integers(1, 10**6), st.integers(1, 99), st.integers(-9, 99)
)


@given(st.lists(FILL, max_size=30), st.integers(-(10**6), 10**6))
@settings(max_examples=200)
def test_daily_tie_out_with_the_venues_own_wallets_is_exact(fills, funding):
    """The venue's side of the story: wallets per asset, perpetuals settled when they close. Fees are in BNB."""
    ledger = make(core, fifo=2, funds=0)
    wallet = [0, 0, 0, 0]
    lots = flow = 0
    for symbol, sell, px, qty, fee in fills:
        ledger.fill(symbol, sell, px, qty, fee=fee, fee_asset=BNB)
        wallet[BNB] -= fee
        sign = -1 if sell else 1
        if symbol == PERP:
            lots += sign * qty
            flow -= sign * qty * px * 1000
        else:
            base, quote, unit = (BTC, USDT, 1000) if symbol == SPOT else (ETH, BTC, 1)
            wallet[base] += sign * qty * 10**5
            wallet[quote] -= sign * qty * px * unit
    ledger.funding(PERP, funding)
    if lots:
        ledger.fill(PERP, lots > 0, 7, abs(lots))
    wallet[USDT] += flow + lots * 7 * 1000 - funding
    for asset in range(4):
        assert ledger.reconcile(asset, wallet[asset]) == 0
    ledger.check()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 50), st.integers(1, 9)), min_size=1, max_size=40))
@settings(max_examples=200)
def test_average_cost_stays_within_one_unit_a_close_of_the_exact_fraction(fills):
    ledger = core.Ledger(assets=1, symbols=1, fifo=64)
    ledger.set_asset(0)
    ledger.set_symbol(0, linear=True, quote=0, unit_value=1, tick_e8=1)
    lots, cost, closes = 0, Fraction(0), 0
    for sell, px, qty in fills:
        ledger.fill(0, sell, px, qty)
        sign = -1 if sell else 1
        closing = min(qty, abs(lots)) if lots * sign < 0 else 0
        if closing:
            cost -= cost * Fraction(closing, abs(lots))
            closes += 1
        cost += sign * (qty - closing) * px
        lots += sign * qty
        # Rounded up as it leaves, so what stays is never more than the exact cost.
        assert 0 <= cost - ledger.position(0)["cost"] <= closes


AMOUNTS = st.one_of(st.integers(-3, 3), st.integers(-(10**9), 10**9), st.sampled_from([2**60 - 1, 1 - 2**60, 2**60]))


class Twins(RuleBasedStateMachine):
    """Fills in three instruments, fees in every asset, funding, transfers, marks: both agree on every figure."""

    @initialize(fifo=st.sampled_from([1, 2, 4, 8]))
    def start(self, fifo):
        self.pair = tuple(make(impl, fifo=fifo) for impl in (core, model))
        self.now = 0

    def both(self, call):
        """The same result or the same error from both."""
        results = []
        for ledger in self.pair:
            try:
                results.append(call(ledger))
            except Bot4Error as error:
                results.append(type(error))
        assert results[0] == results[1]
        return results[0]

    @rule(
        symbol=st.integers(0, 3),
        sell=st.booleans(),
        px=st.one_of(st.integers(0, 9), st.integers(1, 10**7)),
        qty=st.one_of(st.integers(0, 9), st.integers(1, 10**6)),
        fee=st.one_of(st.integers(-5, 5), AMOUNTS),
        fee_asset=st.integers(0, 4),
        correction=st.booleans(),
    )
    def fill(self, *, symbol, sell, px, qty, fee, fee_asset, correction):
        legs = self.both(
            lambda ledger: ledger.fill(
                symbol, sell, px, qty, fee=fee, fee_asset=fee_asset, correction=correction, now_ns=self.now
            )
        )
        if isinstance(legs, list):
            for asset in range(4):
                assert sum(amount for a, _, amount in legs if a == asset) == 0

    @rule(symbol=st.integers(0, 3), sell=st.booleans(), px=st.integers(1, 3), qty=st.integers(1, 4))
    def small_fill(self, symbol, sell, px, qty):
        self.both(lambda ledger: ledger.fill(symbol, sell, px, qty))

    @rule(symbol=st.integers(0, 3))
    def close(self, symbol):
        lots = self.pair[0].position(symbol)["lots"]
        if lots:
            self.both(lambda ledger: ledger.fill(symbol, lots > 0, 5, abs(lots)))

    @rule(asset=st.integers(0, 4), amount=AMOUNTS, what=st.sampled_from(["transfer", "adjust", "fee"]))
    def move(self, asset, amount, what):
        self.both(lambda ledger: getattr(ledger, what)(asset, amount))

    @rule(symbol=st.integers(0, 3), paid=AMOUNTS)
    def funding(self, symbol, paid):
        self.both(lambda ledger: ledger.funding(symbol, paid, now_ns=self.now))

    @rule(symbol=st.integers(0, 3), px=st.integers(0, 10**13), back=st.integers(0, 20))
    def mark(self, symbol, px, back):
        self.both(lambda ledger: ledger.mark(symbol, px, self.now - back))

    @rule(asset=st.integers(0, 4), px=st.integers(0, 10**13), back=st.integers(0, 20))
    def mark_asset(self, asset, px, back):
        self.both(lambda ledger: ledger.mark_asset(asset, px, self.now - back))

    @rule(step=st.sampled_from([0, 1, 5, 30, 86_400 * SECOND]))
    def time_passes(self, step):
        self.now += step

    @rule()
    def mark_everything(self):
        for at in range(1, 4):
            self.both(lambda ledger, at=at: ledger.mark_asset(at, at * WHOLE, self.now))
            self.both(lambda ledger, at=at: ledger.mark(at - 1, at * WHOLE + 1, self.now))

    @rule(age=st.integers(0, 40))
    def revalue(self, age):
        self.both(lambda ledger: ledger.revalue(now_ns=self.now, age_max_ns=age))

    @rule(age=st.integers(0, 40))
    def read(self, age):
        at = {"now_ns": self.now, "age_max_ns": age}
        self.both(lambda ledger: ledger.equity(**at))
        self.both(lambda ledger: ledger.drawdown_e8(**at))
        for symbol in range(4):
            for fifo in (False, True):
                self.both(lambda ledger, s=symbol, f=fifo: ledger.unrealised(s, fifo=f, **at))
        for base in range(-1, 4):
            self.both(lambda ledger, b=base: ledger.pnl(b, **at))

    @invariant()
    def agree(self):
        ours, twin = self.pair
        ours.check()
        twin.check()
        assert ours.counts == twin.counts
        assert ours.bases() == twin.bases()
        for symbol in range(4):
            assert ours.position(symbol) == twin.position(symbol)
            assert ours.lots(symbol) == twin.lots(symbol)
        for asset in range(4):
            assert [ours.balance(asset, a) for a in Account] == [twin.balance(asset, a) for a in Account]


TestTwins = Twins.TestCase
STRESS = int(os.environ.get("BOT4_STRESS", "1"))
TestTwins.settings = settings(max_examples=200 * STRESS, stateful_step_count=30, deadline=None)

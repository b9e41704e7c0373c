"""The ledger and its twin where the numbers end: every sum that does not fit is refused, and nothing has changed."""

from __future__ import annotations

import pytest

from engine._core import ledger as core
from engine.errors import (
    LedgerBadAmount,
    LedgerBadSetup,
    LedgerNoBase,
    LedgerOverflow,
    LedgerStaleMark,
    LedgerUnknownAsset,
    LedgerUnknownSymbol,
)
from engine.model.ledger import ADJUSTMENT, CASH, FEES, Base

STEM = "ledger"
BUY, SELL = False, True
WHOLE = 10**8
AMOUNT_MAX = 2**60 - 1
NOW = {"now_ns": 0, "age_max_ns": 1}


def make(impl, *, symbols=2, linear=True, quote=0, assets=4):
    """Symbols of which one lot at one tick is one unit: amounts are prices times lots, nothing is rounded."""
    ledger = impl.Ledger(assets=assets, symbols=symbols, fifo=4)
    for asset in range(assets):
        ledger.set_asset(asset)
    for symbol in range(symbols):
        ledger.set_symbol(symbol, linear=linear, base=1 + symbol, quote=quote, unit_value=1, lot_units=1, tick_e8=WHOLE)
    return ledger


def adjust(ledger, asset, amount):
    """By as many postings as it needs."""
    while amount:
        part = max(-AMOUNT_MAX, min(AMOUNT_MAX, amount))
        ledger.adjust(asset, part)
        amount -= part


# -------------------------------------------------------------------------------------------------------------- set-up
def test_an_asset_is_set_up_once_and_within_the_ledger(impl):
    ledger = make(impl)
    for asset, units, error in (
        (4, 1, LedgerUnknownAsset),
        (0, 1, LedgerBadSetup),  # it has a unit already
    ):
        with pytest.raises(error):
            ledger.set_asset(asset, units_per_whole=units)
    fresh = impl.Ledger(assets=1, symbols=1)
    for units in (0, 2**60):
        with pytest.raises(LedgerBadSetup):
            fresh.set_asset(0, units_per_whole=units)
    fresh.set_asset(0, units_per_whole=AMOUNT_MAX)


def test_what_the_ledger_does_not_hold_is_named_in_every_question(impl):
    ledger = make(impl)
    for ask in (
        lambda: ledger.position(2),
        lambda: ledger.lots(2),
        lambda: ledger.mark(2, 1, 0),
        lambda: ledger.mark_value(2, **NOW),
        lambda: ledger.unrealised(2, **NOW),
        lambda: ledger.funding(2, 1),
        lambda: ledger.fill(2, BUY, 1, 1),
    ):
        with pytest.raises(LedgerUnknownSymbol):
            ask()
    for ask in (
        lambda: ledger.balance(4, CASH),
        lambda: ledger.balance(0, 9),
        lambda: ledger.balance(0, -1),
        lambda: ledger.value(4, 1, **NOW),
        lambda: ledger.mark_asset(4, 1, 0),
        lambda: ledger.reconcile(4, 0),
        lambda: ledger.adjust(4, 1),
        lambda: ledger.transfer(4, 1),
    ):
        with pytest.raises(LedgerUnknownAsset):
            ask()
    bare = impl.Ledger(assets=1, symbols=1)
    with pytest.raises(LedgerUnknownAsset):
        bare.value(0, 1, **NOW)
    with pytest.raises(LedgerUnknownSymbol):
        bare.mark(0, 1, 0)


def test_a_statement_that_cannot_be_is_no_difference(impl):
    ledger = make(impl)
    for cash, tolerance in ((2**62, 0), (-(2**62), 0), (0, -1)):
        with pytest.raises(LedgerBadAmount):
            ledger.reconcile(0, cash, tolerance=tolerance)


def test_legs_made_elsewhere_have_a_number_and_a_size(impl):
    ledger = make(impl)
    for legs, error in (
        ([(0, CASH, 2**60), (0, FEES, -(2**60))], LedgerOverflow),
        ([(0, CASH, -(2**60)), (0, FEES, 2**60)], LedgerOverflow),
        ([(0, CASH, 1), (0, FEES, -1)] * 4 + [(0, CASH, 1), (0, FEES, -1)], LedgerBadAmount),
    ):
        with pytest.raises(error):
            ledger.post(legs)
    ledger.post([(0, CASH, AMOUNT_MAX), (0, ADJUSTMENT, -AMOUNT_MAX)])
    assert ledger.balance(0, CASH) == AMOUNT_MAX


# ------------------------------------------------------------------------------------------------------------- amounts
def test_a_transfer_that_does_not_fit_is_not_a_flow(impl):
    ledger = make(impl)
    for amount in (2**60, -(2**60)):
        with pytest.raises(LedgerOverflow):
            ledger.transfer(0, amount)
    # What waits for the next valuation has a limit of its own, on both sides.
    for sign in (1, -1):
        other = make(impl)
        other.transfer(0, sign * AMOUNT_MAX)
        other.transfer(0, sign * AMOUNT_MAX)
        with pytest.raises(LedgerOverflow):
            other.transfer(0, 2 * sign)
    full = make(impl)
    adjust(full, 0, 2**62 - 1)
    with pytest.raises(LedgerOverflow):
        full.transfer(0, 1)
    # The refused one is no pending flow: the first valuation moves no base by it.
    full.revalue(**NOW)
    assert full.bases()[Base.BASE_SESSION] == (2**62 - 1, 0)


def test_funding_that_does_not_fit_is_not_paid(impl):
    ledger = make(impl)
    for paid in (2**60, -(2**60)):
        with pytest.raises(LedgerOverflow):
            ledger.funding(0, paid)
    adjust(ledger, 0, 2**62 - 1)
    with pytest.raises(LedgerOverflow):
        ledger.funding(0, -1)
    assert ledger.position(0)["funding"] == 0
    for sign in (1, -1):
        other = make(impl)
        for _ in range(4):
            other.funding(0, sign * AMOUNT_MAX)
            adjust(other, 0, sign * AMOUNT_MAX)
        with pytest.raises(LedgerOverflow):
            other.funding(0, sign * 4)
        assert other.position(0)["funding"] == sign * 4 * AMOUNT_MAX
        other.check()


def test_units_of_the_base_asset_that_do_not_fit_are_refused(impl):
    ledger = impl.Ledger(assets=2, symbols=1)
    ledger.set_asset(0)
    ledger.set_asset(1)
    ledger.set_symbol(0, linear=False, base=1, quote=0, unit_value=1, lot_units=2**40, tick_e8=1)
    for lots in (2**20, 2**40):  # above the largest amount, and above the largest number
        with pytest.raises(LedgerOverflow):
            ledger.fill(0, BUY, 1, lots)
    ledger.fill(0, BUY, 1, 2**20 - 1)


@pytest.mark.parametrize("sell", [BUY, SELL])
def test_a_position_costs_what_its_limit_allows_and_not_a_unit_more(impl, sell):
    ledger = make(impl)
    for _ in range(2):
        ledger.fill(0, sell, AMOUNT_MAX, 1)
    before = ledger.position(0)
    with pytest.raises(LedgerOverflow):
        ledger.fill(0, sell, 2, 1)
    assert ledger.position(0) == before
    ledger.fill(0, sell, 1, 1)
    ledger.check()


def test_cash_that_has_flowed_has_a_limit_beyond_that_of_the_cost(impl):
    ledger = make(impl)
    # Sold high and bought back at one, again and again: the position is flat, the flow grows.
    for _ in range(2):
        ledger.fill(0, SELL, AMOUNT_MAX, 1)
        ledger.fill(0, BUY, 1, 1)
    with pytest.raises(LedgerOverflow):
        ledger.fill(0, SELL, AMOUNT_MAX, 1)
    ledger.check()


def test_lots_held_and_lots_counted_have_a_limit(impl):
    ledger = make(impl)
    ledger.fill(0, BUY, 1, AMOUNT_MAX)
    with pytest.raises(LedgerOverflow):
        ledger.fill(0, BUY, 1, 1)
    for _ in range(3):
        ledger.fill(0, SELL, 1, AMOUNT_MAX)
        ledger.fill(0, BUY, 1, AMOUNT_MAX)
    ledger.fill(0, SELL, 1, AMOUNT_MAX)
    with pytest.raises(LedgerOverflow):
        ledger.fill(0, BUY, 1, 4)
    assert ledger.position(0)["bought_lots"] == 4 * AMOUNT_MAX
    ledger.check()


def test_the_traded_value_stays_at_its_top(impl):
    ledger = make(impl)
    for _ in range(5):
        ledger.fill(0, BUY, AMOUNT_MAX, 1)
        ledger.fill(0, SELL, AMOUNT_MAX, 1)
    assert ledger.position(0)["traded_value"] == 2**63 - 1
    ledger.fill(1, BUY, 1, 1)
    assert ledger.position(1)["traded_value"] == 1


# ----------------------------------------------------------------------------------------------------------- valuation
@pytest.mark.parametrize(
    ("lots", "mark"), [(2**40, 2**62), (2, 2**61 * WHOLE), (-2, 2**61 * WHOLE)], ids=["no number", "above", "below"]
)
def test_a_value_that_does_not_fit_is_no_value(impl, lots, mark):
    ledger = impl.Ledger(assets=1, symbols=1)
    ledger.set_asset(0)
    ledger.set_symbol(0, linear=True, quote=0, unit_value=1 if abs(lots) > 2 else WHOLE, tick_e8=1)
    ledger.fill(0, lots < 0, 1, abs(lots))
    ledger.mark(0, min(mark, 2**62), 0)
    for ask in (lambda: ledger.mark_value(0, **NOW), lambda: ledger.unrealised(0, **NOW), lambda: ledger.equity(**NOW)):
        with pytest.raises(LedgerOverflow):
            ask()


def test_an_amount_is_worth_nothing_where_its_value_does_not_fit(impl):
    ledger = make(impl)
    ledger.mark_asset(1, 2 * WHOLE, 0)
    assert ledger.value(1, 2**60, **NOW) == 2**61
    for amount in (2**61, -(2**61) - 1, 2**62 - 1):
        with pytest.raises(LedgerOverflow):
            ledger.value(1, amount, **NOW)
    ledger.mark_asset(1, 2**62, 0)
    with pytest.raises(LedgerOverflow):
        ledger.value(1, 2**60, **NOW)
    for amount in (2**62, -(2**62)):
        with pytest.raises(LedgerOverflow):
            ledger.value(0, amount, **NOW)


@pytest.mark.parametrize("sign", [1, -1])
def test_assets_of_which_each_fits_may_not_fit_together(impl, sign):
    ledger = make(impl)
    ledger.mark_asset(1, WHOLE, 0)
    adjust(ledger, 0, sign * (2**62 - 1))
    adjust(ledger, 1, sign)
    with pytest.raises(LedgerOverflow):
        ledger.equity(**NOW)
    with pytest.raises(LedgerOverflow):
        ledger.revalue(**NOW)
    assert ledger.bases() is None


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("linear", [True, False])
def test_positions_of_which_each_fits_may_not_fit_together(impl, linear, sign):
    wide = impl.Ledger(assets=3, symbols=2)
    for asset in range(3):
        wide.set_asset(asset)
    for symbol in range(2):
        wide.set_symbol(symbol, linear=linear, base=1 + symbol, quote=0, unit_value=2**30, lot_units=1, tick_e8=1)
        wide.fill(symbol, sign < 0, 1, 1)
        wide.mark(symbol, 2**32 - 4, 0)
        wide.mark_asset(1 + symbol, 1, 0)
    with pytest.raises(LedgerOverflow):
        wide.equity(**NOW)


@pytest.mark.parametrize("linear", [True, False])
def test_a_position_quoted_in_an_asset_without_a_mark_has_no_value(impl, linear):
    ledger = make(impl, linear=linear, quote=3)
    ledger.fill(0, BUY, 1, 1)
    ledger.mark(0, WHOLE, 0)
    if not linear:
        ledger.mark_asset(1, WHOLE, 0)
        adjust(ledger, 3, 1)  # the price that was paid: the asset itself is at zero
    with pytest.raises(LedgerStaleMark):
        ledger.equity(**NOW)
    ledger.mark_asset(3, WHOLE, 0)
    assert ledger.equity(**NOW)["gross"] == 1


def test_the_error_names_what_has_no_value():
    ledger = make(core, quote=3)
    ledger.fill(0, BUY, 1, 1)
    with pytest.raises(LedgerStaleMark, match="symbol 0"):
        ledger.equity(**NOW)
    ledger.mark(0, WHOLE, 0)
    ledger.mark_asset(3, WHOLE, 0)
    ledger.revalue(**NOW)
    ledger.transfer(1, 7)
    with pytest.raises(LedgerStaleMark, match="asset 1"):
        ledger.equity(**NOW)
    adjust(ledger, 1, -7)
    with pytest.raises(LedgerStaleMark, match="asset 1"):
        ledger.revalue(**NOW)


# --------------------------------------------------------------------------------------------------------------- bases
def test_a_flow_without_a_value_moves_no_base_and_waits(impl):
    ledger = make(impl)
    ledger.revalue(**NOW)
    ledger.transfer(0, 5)
    ledger.transfer(1, 7)
    adjust(ledger, 1, -7)  # nothing is left of it, so the equity needs no mark of it
    with pytest.raises(LedgerStaleMark):
        ledger.revalue(**NOW)
    assert ledger.bases()[Base.BASE_SESSION] == (0, 0)
    ledger.mark_asset(1, WHOLE, 0)
    assert ledger.revalue(**NOW)["equity"] == 5
    assert ledger.bases()[Base.BASE_SESSION] == (12, 0)


def test_flows_of_which_each_fits_may_not_fit_together(impl):
    ledger = make(impl)
    ledger.revalue(**NOW)
    for asset in (1, 2, 3):
        ledger.mark_asset(asset, WHOLE, 0)
        ledger.transfer(asset, AMOUNT_MAX)
        ledger.transfer(asset, AMOUNT_MAX)
        adjust(ledger, asset, -2 * AMOUNT_MAX)
    with pytest.raises(LedgerOverflow):
        ledger.revalue(**NOW)
    assert ledger.bases()[Base.BASE_SESSION] == (0, 0)


def test_a_base_that_a_flow_would_push_over_the_edge_stays(impl):
    ledger = make(impl)
    adjust(ledger, 0, 3 * AMOUNT_MAX)
    ledger.revalue(**NOW)
    adjust(ledger, 0, -3 * AMOUNT_MAX)
    ledger.transfer(0, AMOUNT_MAX)
    ledger.transfer(0, AMOUNT_MAX)
    with pytest.raises(LedgerOverflow):
        ledger.revalue(**NOW)
    assert ledger.bases()[Base.BASE_PEAK] == (3 * AMOUNT_MAX, 0)


def test_a_peak_that_is_not_above_zero_has_no_drawdown(impl):
    ledger = make(impl)
    ledger.revalue(**NOW)
    with pytest.raises(LedgerNoBase):
        ledger.drawdown_e8(**NOW)
    adjust(ledger, 0, 1)
    ledger.revalue(**NOW)
    adjust(ledger, 0, -(2**61))
    ledger.revalue(**NOW)
    with pytest.raises(LedgerOverflow):
        ledger.drawdown_e8(**NOW)


def test_a_valuation_from_the_future_answers_nothing(impl):
    ledger = make(impl)
    ledger.revalue(now_ns=10, age_max_ns=1)
    with pytest.raises(LedgerStaleMark):
        ledger.pnl(Base.BASE_SESSION, now_ns=9, age_max_ns=1)
    for base in (-1, len(Base)):
        with pytest.raises(LedgerNoBase):
            ledger.pnl(base, now_ns=10, age_max_ns=1)

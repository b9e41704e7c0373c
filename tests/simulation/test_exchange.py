"""The exchange behind both forms of the embedded venue: money of orders, fills, lists and perpetuals."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine._core.match import ListKind, Reason
from engine._core.strategy_abi import WishTif, WishType
from engine.errors import SimBadInstrument, SimTimeBackwards, SimUnknownSymbol
from engine.sim.venue.accounts import liquidation_px_e8, margin_of
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.instruments import BTC_TIERS, E8, Instrument, MarginTier, default_perpetuals, default_spot, spot
from engine.sim.venue.orders import Refusal, Terms

LIMIT, MARKET, STOP = WishType.TYPE_LIMIT, WishType.TYPE_MARKET, WishType.TYPE_STOP
# Prices of one to a few hundred ticks and small quantities, so that everything happens all the time.
SMALL = spot("AAABBB", "AAA", "BBB", 1_000_000, 1_000_000, 100, 100, notional_min=0,
             capacity={"orders_max": 512, "pages_max": 8})  # fmt: skip


def make(*, deposits=None, instruments=(SMALL,), accounts=2):
    exchange = Exchange(instruments)
    for number in range(accounts):
        exchange.bank.open(f"key{number}", deposits or {"AAA": 50 * E8, "BBB": 50 * E8})
    return exchange, *exchange.bank.accounts.values()


def limit(side, px, qty, **more):
    return Terms(side == "sell", LIMIT, qty, px, **more)


def market(side, qty, **more):
    return Terms(side == "sell", MARKET, qty, **more)


def crowd(exchange, side, px, qty, number=10**9):
    book = exchange.markets["AAABBB"].book
    assert not book.submit(number + px, owner=0, sell=side == "sell", type=LIMIT, px_ticks=px, qty_lots=qty)
    exchange.absorb("AAABBB")


def test_an_order_locks_its_money_and_a_cancel_gives_it_back():
    exchange, one, _ = make()
    order = exchange.place(one, "AAABBB", limit("buy", 200, 300))
    held = one.balances["BBB"]
    assert (held.free, held.locked) == (50 * E8 - 6 * E8, 6 * E8)
    exchange.check()
    assert exchange.cancel(order)
    assert (held.free, held.locked) == (50 * E8, 0)
    assert [r.what for r in exchange.take_reports()] == ["NEW", "CANCELED"]
    assert not exchange.cancel(order)


def test_a_fill_at_a_better_price_gives_the_difference_back_and_pays_fees_on_what_came_in():
    exchange, one, two = make()
    exchange.place(two, "AAABBB", limit("sell", 100, 200))
    order = exchange.place(one, "AAABBB", limit("buy", 150, 200))
    assert (order.status, order.units) == ("FILLED", 20_000)
    assert one.balances["BBB"].free == 50 * E8 - 2 * E8
    assert one.balances["AAA"].free == 52 * E8 - 2 * E8 // 1000
    assert two.balances["BBB"].free == 52 * E8 - 2 * E8 // 1000
    exchange.check()


def test_an_order_without_money_is_refused_and_a_filter_is_named_before_it():
    exchange, one, _ = make(instruments=(spot("AAABBB", "AAA", "BBB", 1_000_000, 1_000_000, 100, 100, notional_min=5),))
    assert exchange.place(one, "AAABBB", limit("buy", 1000, 9000)).word == "balance"
    assert exchange.place(one, "AAABBB", limit("buy", 10, 1)).reason == Reason.REASON_NOTIONAL
    assert exchange.take_reports() == []
    exchange.check()


def test_a_market_buy_for_a_sum_spends_the_sum_and_no_more():
    exchange, one, _ = make()
    crowd(exchange, "sell", 100, 1000)
    crowd(exchange, "sell", 110, 1000)
    order = exchange.place(one, "AAABBB", Terms(False, MARKET, SMALL.qty_max_lots, quote_e8=15 * E8))
    assert order.status == "FILLED"
    assert order.units * SMALL.unit_e8 <= 15 * E8 < (order.units + 110) * SMALL.unit_e8
    assert one.balances["BBB"].locked == 0
    exchange.check()


def test_a_market_sell_for_a_sum_sells_what_is_free_and_no_more():
    exchange, one, _ = make(deposits={"AAA": 3 * E8, "BBB": E8})
    crowd(exchange, "buy", 90, 1000)
    assert not exchange.place(one, "AAABBB", limit("sell", 110, 110)).status.startswith("REJ")
    free = one.balances["AAA"].free // SMALL.lot_e8
    # A sum that needs one lot more than is free.
    order = exchange.place(
        one, "AAABBB", Terms(True, MARKET, SMALL.qty_max_lots, quote_e8=(free + 1) * 90 * SMALL.unit_e8)
    )
    assert (order.status, order.filled, one.balances["AAA"].free) == ("FILLED", free, 0)
    exchange.check()
    nothing = exchange.place(one, "AAABBB", Terms(True, MARKET, SMALL.qty_max_lots, quote_e8=E8))
    assert nothing.word == "balance"


def test_a_market_order_in_an_empty_book_expires():
    exchange, one, _ = make()
    order = exchange.place(one, "AAABBB", market("sell", 5))
    assert (order.status, one.balances["AAA"].locked) == ("EXPIRED", 0)
    assert [r.what for r in exchange.take_reports()] == ["NEW", "EXPIRED"]


def test_a_stop_buy_never_spends_more_than_it_locked():
    exchange, one, _ = make(deposits={"BBB": 11 * E8})
    exchange.markets["AAABBB"].book.set_last(90)
    order = exchange.place(one, "AAABBB", Terms(False, STOP, 1000, trigger=100))
    assert order.lock.amount == 10 * E8 * 105 // 100
    crowd(exchange, "sell", 120, 5000)
    exchange.markets["AAABBB"].book.set_last(100)
    exchange.absorb("AAABBB")
    assert order.status == "EXPIRED"
    assert 0 < order.filled < 1000
    exchange.check()


def test_the_legs_of_an_oco_share_one_lock_and_one_client_id_is_open_once():
    exchange, one, two = make()
    exchange.markets["AAABBB"].book.set_last(100)
    legs = [
        limit("sell", 120, 1000, tif=WishTif.TIF_GTX, client_id="a"),
        Terms(True, STOP, 1000, trigger=80, client_id="b"),
    ]
    made = exchange.place_list(one, "AAABBB", ListKind.LIST_OCO, legs)
    assert one.balances["AAA"].locked == 10 * E8
    assert exchange.place(one, "AAABBB", limit("buy", 50, 10, client_id="a")).reason == Reason.REASON_DUPLICATE
    exchange.place(two, "AAABBB", limit("buy", 120, 400))
    assert [o.status for o in made.orders] == ["PARTIALLY_FILLED", "EXPIRED"]
    assert one.balances["AAA"].locked == 6 * E8
    exchange.check()
    exchange.cancel(made.orders[0])
    assert (made.status, one.balances["AAA"].locked) == ("ALL_DONE", 0)
    exchange.check()


def test_an_otoco_locks_its_pair_when_the_first_order_is_whole():
    exchange, one, two = make(deposits={"BBB": 50 * E8, "AAA": 11 * E8})
    legs = [limit("buy", 100, 1000), limit("sell", 120, 1000, tif=WishTif.TIF_GTX), Terms(True, STOP, 1000, trigger=80)]
    made = exchange.place_list(one, "AAABBB", ListKind.LIST_OTOCO, legs)
    assert [o.status for o in made.orders] == ["NEW", "PENDING_NEW", "PENDING_NEW"]
    assert one.balances["AAA"].locked == 0
    exchange.place(two, "AAABBB", limit("sell", 100, 1000))
    assert [o.status for o in made.orders] == ["FILLED", "NEW", "NEW"]
    assert one.balances["AAA"].locked == 10 * E8
    exchange.check()


def test_a_pair_that_cannot_be_paid_for_expires_when_its_turn_comes():
    exchange, one, two = make(deposits={"BBB": 50 * E8})
    two.receive("AAA", 20 * E8)
    exchange.bank.deposited["AAA"] += 20 * E8
    legs = [limit("buy", 100, 1000), limit("sell", 120, 1000, tif=WishTif.TIF_GTX)]
    made = exchange.place_list(one, "AAABBB", ListKind.LIST_OTO, legs)
    exchange.place(two, "AAABBB", limit("sell", 100, 1000))
    # The commission was taken from what was bought, so the whole quantity is not there.
    assert [o.status for o in made.orders] == ["FILLED", "EXPIRED"]
    exchange.check()


def test_an_amend_that_needs_more_money_takes_it_or_is_refused():
    exchange, one, _ = make()
    order = exchange.place(one, "AAABBB", limit("buy", 100, 1000))
    assert exchange.amend(order, px=200, qty=2000) is None
    assert one.balances["BBB"].locked == 40 * E8
    assert exchange.amend(order, px=200, qty=9000).word == "balance"
    assert exchange.amend(order, px=200, qty=500, keep_only=True) is None
    assert one.balances["BBB"].locked == 10 * E8
    exchange.check()


def test_the_tier_lowers_the_fee_and_the_token_pays_it_at_a_discount():
    token = spot("BNBUSDT", "BNB", "USDT", 1_000_000, 1_000_000, 1000, 1000, notional_min=0)
    exchange, one, _ = make(instruments=(token,), deposits={"USDT": 1000 * E8, "BNB": E8})
    book = exchange.markets["BNBUSDT"].book
    assert not book.submit(10**9, owner=0, sell=True, type=LIMIT, px_ticks=20_000, qty_lots=500)
    book.set_last(20_000)
    order = exchange.place(one, "BNBUSDT", limit("buy", 20_000, 100))
    assert (order.executions[0].fee.asset, order.executions[0].fee.amount) == ("BNB", E8 // 1000)
    one.tier, one.fee_asset = 9, "BNB"
    order = exchange.place(one, "BNBUSDT", limit("buy", 20_000, 100))
    assert order.executions[0].fee.amount == E8 * 24_000 // E8
    exchange.check()


def test_volume_earns_a_tier():
    _, one, _ = make()
    one.volume_units = 6_000_000
    one.judge_tier()
    assert one.tier == 2


# ------------------------------------------------------------------------------------------------------- perpetuals
def perpetual(*, wallet=1000, accounts=2):
    exchange = Exchange(default_perpetuals())
    for number in range(accounts):
        exchange.bank.open(f"key{number}", {"USDT": wallet * E8})
    exchange.set_mark("BTCUSDT", 60_000 * E8)
    exchange.markets["BTCUSDT"].book.set_last(600_000)
    return exchange, *exchange.bank.accounts.values()


def test_a_position_is_opened_turned_and_closed_and_profits_are_exact():
    exchange, one, two = perpetual()
    exchange.place(two, "BTCUSDT", limit("sell", 600_000, 30))
    exchange.place(one, "BTCUSDT", limit("buy", 600_000, 30))
    assert (one.positions["BTCUSDT"].lots, two.positions["BTCUSDT"].lots) == (30, -30)
    exchange.place(two, "BTCUSDT", limit("buy", 601_000, 50))
    exchange.place(one, "BTCUSDT", limit("sell", 601_000, 50))
    assert (one.positions["BTCUSDT"].lots, two.positions["BTCUSDT"].lots) == (-20, 20)
    assert one.positions["BTCUSDT"].realized_e8 == 3 * E8
    assert one.positions["BTCUSDT"].entry_px_e8(exchange.markets["BTCUSDT"].instrument) == 60_100 * E8
    exchange.check()


def test_an_order_beyond_the_margin_is_refused_and_one_that_reduces_is_not():
    exchange, one, two = perpetual(wallet=100)
    assert exchange.place(one, "BTCUSDT", limit("buy", 600_000, 60)).word == "margin"
    exchange.place(two, "BTCUSDT", limit("sell", 600_000, 30))
    exchange.place(one, "BTCUSDT", limit("buy", 600_000, 30))
    assert exchange.place(one, "BTCUSDT", limit("buy", 600_000, 10)).word == "margin"
    assert exchange.place(one, "BTCUSDT", limit("sell", 610_000, 31, reduce_only=True)).word == "reduce"
    assert not isinstance(exchange.place(one, "BTCUSDT", limit("sell", 610_000, 30, reduce_only=True)), Refusal)
    exchange.check()


def test_funding_goes_from_longs_to_shorts():
    exchange, one, two = perpetual()
    exchange.place(two, "BTCUSDT", limit("sell", 600_000, 30))
    exchange.place(one, "BTCUSDT", limit("buy", 600_000, 30))
    paid = {account.owner: amount for account, amount in exchange.settle_funding("BTCUSDT", 10_000)}
    assert paid == {one.owner: -18_000_000, two.owner: 18_000_000}
    exchange.check()


def test_an_account_below_its_maintenance_margin_is_closed_out_and_nothing_is_lost():
    exchange, one, two = perpetual(wallet=100)
    exchange.place(two, "BTCUSDT", limit("sell", 600_000, 30))
    exchange.place(one, "BTCUSDT", limit("buy", 600_000, 30))
    book = exchange.markets["BTCUSDT"].book
    assert not book.submit(10**9, owner=0, sell=False, type=LIMIT, px_ticks=565_000, qty_lots=500)
    exchange.set_mark("BTCUSDT", 57_000 * E8)
    assert one.positions["BTCUSDT"].lots == 30
    exchange.set_mark("BTCUSDT", 56_700 * E8)
    assert (one.positions["BTCUSDT"].lots, exchange.liquidations) == (0, 1)
    assert one.balances["USDT"].free == 0
    assert any(r.order.client_id.startswith("autoclose-") for r in exchange.reports)
    exchange.check()


# The venue's own worked examples: one-way, isolated and cross. Figures in whole quote units.
ETH = (MarginTier(10**9, 100_000, 10, 135_365),)
BTC = (MarginTier(10**9, 25_000, 20, 16_300),)


@pytest.mark.parametrize(
    ("tiers", "wallet", "margins", "profits", "qty", "entry", "expected"),
    [
        (ETH, 1_535_443.01, 0, 0, 3683.979, 1456.84, 1114.78),
        (ETH, 1_535_443.01, 71_200.81144, -56_354.57, 3683.979, 1456.84, 1153.26),
        (BTC, 1_535_443.01, 0, 0, 109.488, 32_481.98, 18_778.73),
        (BTC, 1_535_443.01, 356_512.508, -448_192.89, 109.488, 32_481.98, 26_316.89),
        (BTC_TIERS, 6000, 0, 0, 1, 60_000, 54_221.11),
        (BTC_TIERS, 6000, 0, 0, -1, 60_000, 65_721.39),
    ],
)
def test_the_liquidation_price_is_that_of_the_worked_examples(tiers, wallet, margins, profits, qty, entry, expected):
    instrument = Instrument("X", "B", "Q", 1_000_000, 100_000, 10**7, 10**7, perpetual=True, tiers=tiers)
    px = liquidation_px_e8(
        instrument, wallet_e8=round(wallet * E8), others_margin_e8=round(margins * E8),
        others_profit_e8=round(profits * E8), lots=round(qty * 1000), entry_px_e8=round(entry * E8),
    )  # fmt: skip
    assert px / E8 == pytest.approx(expected, abs=0.01)


def test_the_maintenance_margin_is_continuous_across_its_tiers():
    instrument = default_perpetuals()[0]
    for tier in BTC_TIERS[:-1]:
        edge = tier.notional_cap * E8
        assert margin_of(instrument, edge)[0] == pytest.approx(margin_of(instrument, edge + 1)[0], abs=2)


def test_time_does_not_run_backwards_and_symbols_are_known():
    exchange, one, _ = make()
    exchange.advance(5)
    with pytest.raises(SimTimeBackwards):
        exchange.advance(4)
    with pytest.raises(SimUnknownSymbol):
        exchange.place(one, "NOPE", limit("buy", 1, 1))
    with pytest.raises(SimBadInstrument):
        Instrument("X", "A", "B", 3, 5, 10, 10)


# ------------------------------------------------------------------------------------------------------ random lives
class Money(RuleBasedStateMachine):
    """Three accounts and a crowd do anything: no balance is ever negative, nothing appears, nothing is lost."""

    def __init__(self):
        super().__init__()
        self.exchange, *self.accounts = make(accounts=3, deposits={"AAA": 3 * E8, "BBB": 4 * E8})
        self.number = 10**9
        self.now = 0

    def pick(self, back):
        orders = [o for orders in self.exchange.open.values() for o in orders.values()]
        return orders[back % len(orders)] if orders else None

    @rule(who=st.integers(0, 2), kind=st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]), sell=st.booleans(),
          px=st.integers(90, 110), trigger=st.integers(85, 115), qty=st.integers(1, 200), tif=st.integers(0, 3),
          stp=st.integers(0, 4), by_quote=st.booleans())  # fmt: skip
    def place(self, who, kind, sell, px, trigger, qty, tif, stp, by_quote):
        terms = {"px": px} if kind in (0, 3, 5, 7) else {}
        terms |= {"trigger": trigger} if 2 <= kind <= 5 else {}
        terms |= {"trail": 3} if kind == 6 else {}
        terms |= {"display": max(1, qty // 3)} if kind == 7 else {}
        if kind == 1 and by_quote:
            qty, terms["quote_e8"] = SMALL.qty_max_lots, qty * 10**6
        self.exchange.place(self.accounts[who], "AAABBB", Terms(sell, kind, qty, tif=tif, stp=stp, **terms))

    @rule(who=st.integers(0, 2), sell=st.booleans(), qty=st.integers(1, 200), up=st.integers(1, 8),
          down=st.integers(1, 8), px=st.integers(90, 110), first=st.booleans())  # fmt: skip
    def place_list(self, who, sell, qty, up, down, px, first):
        sign = 1 if sell else -1
        middle = px if first else self.exchange.markets["AAABBB"].book.last_px or px
        legs = [
            Terms(sell, 0, qty, middle + sign * up, tif=WishTif.TIF_GTX),
            Terms(sell, 2, qty, trigger=middle - sign * down),
        ]
        if first:
            legs.insert(0, Terms(not sell, 0, qty, px))
        kind = ListKind.LIST_OTOCO if first else ListKind.LIST_OCO
        self.exchange.place_list(self.accounts[who], "AAABBB", kind, legs)

    @rule(sell=st.booleans(), px=st.integers(90, 110), qty=st.integers(1, 300), tif=st.sampled_from([0, 1]))
    def crowd(self, sell, px, qty, tif):
        self.number += 1
        book = self.exchange.markets["AAABBB"].book
        book.submit(self.number, owner=0, sell=sell, type=0, px_ticks=px, qty_lots=qty, tif=tif)
        self.exchange.absorb("AAABBB")

    @rule(back=st.integers(0, 50))
    def cancel(self, back):
        if order := self.pick(back):
            assert self.exchange.cancel(order)

    @rule(back=st.integers(0, 50), px=st.integers(90, 110), qty=st.integers(1, 250))
    def amend(self, back, px, qty):
        if order := self.pick(back):
            self.exchange.amend(order, px=px, qty=qty)

    @invariant()
    def money_is_conserved(self):
        self.exchange.check()
        for report in self.exchange.take_reports():
            assert 0 <= report.filled <= report.order.qty
        for orders in self.exchange.open.values():
            for order in orders.values():
                known = self.exchange.markets["AAABBB"].book.order(order.id)
                assert known is not None
                assert (known["qty_lots"], known["filled_lots"]) == (order.qty, order.filled)


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_every_instrument_that_ships_makes_a_book():
    for instrument in (*default_spot(), *default_perpetuals()):
        assert instrument.book().live_count == 0

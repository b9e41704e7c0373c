"""USD-M without sockets: the served form's money, timer and keys, and what of an account's settings fits."""

from __future__ import annotations

import pytest

from engine.sim.venue.exchange import Exchange
from engine.sim.venue.instruments import E8, default_perpetuals
from engine.sim.venue.usdm import HOUR_NS, UsdmForm
from engine.sim.venue.wire import ApiError
from engine.venues.margin import AccountSettings

START = 1_700_000_000 * 10**9
BUY = {
    "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "60000.0"
}  # fmt: skip
SELL = BUY | {"side": "SELL"}


class Desk:
    def __init__(self, **options):
        self.exchange = Exchange(default_perpetuals(), now_ns=START)
        self.form = UsdmForm(self.exchange, **options)
        self.exchange.market("BTCUSDT").book.set_last(600_000)
        self.one, self.two = (self.exchange.bank.open(name, {"USDT": 10**5 * E8}) for name in ("one", "two"))
        self.wait(0)

    def wait(self, seconds):
        self.exchange.advance(self.exchange.now_ns + int(seconds * 10**9))
        self.form.pass_time()

    def refused(self, call, *args):
        with pytest.raises(ApiError) as error:
            call(*args)
        return error.value.code


def test_a_countdown_that_is_not_renewed_cancels_its_symbol_and_no_other():
    desk = Desk()
    desk.form.api.place(desk.one, BUY)
    other = desk.form.api.place(desk.one, BUY | {"symbol": "ETHUSDT", "price": "3000", "quantity": "0.1"})
    desk.form.api.countdown(desk.one, {"symbol": "BTCUSDT", "countdownTime": "1000"})
    desk.wait(0.9)
    desk.form.api.countdown(desk.one, {"symbol": "BTCUSDT", "countdownTime": "1000"})
    desk.wait(0.9)
    assert len(desk.form.api.open_orders(desk.one, {})) == 2
    desk.wait(0.2)
    assert [row["orderId"] for row in desk.form.api.open_orders(desk.one, {})] == [other["orderId"]]
    assert desk.form.countdown_count == 1
    desk.form.api.place(desk.one, BUY)
    desk.form.api.countdown(desk.one, {"symbol": "BTCUSDT", "countdownTime": "1000"})
    desk.form.api.countdown(desk.one, {"symbol": "BTCUSDT", "countdownTime": "0"})
    desk.wait(2)
    assert len(desk.form.api.open_orders(desk.one, {})) == 2


def test_funding_goes_from_long_to_short_once_a_period_and_is_listed():
    desk = Desk(funding_ns=HOUR_NS)
    desk.form.api.place(desk.one, BUY)
    desk.form.api.place(desk.two, SELL)
    # To the next full hour, and one more.
    desk.wait((HOUR_NS - desk.exchange.now_ns % HOUR_NS) / 10**9)
    desk.wait(3600)
    paid, received = (desk.form.api.income(a, {"startTime": "0"}) for a in (desk.one, desk.two))
    assert [row["income"] for row in paid] == ["-0.06000000"] * 2
    assert [row["income"] for row in received] == ["0.06000000"] * 2
    numbers = [row["tranId"] for row in paid + received]
    assert len(set(numbers)) == 4
    assert desk.form.api.income(desk.one, {"startTime": str(paid[1]["time"])}) == paid[1:]
    desk.exchange.check()


def test_the_account_is_told_before_the_orders_that_changed_it():
    desk = Desk()
    desk.form.api.place(desk.one, BUY)
    desk.form.api.place(desk.two, SELL)
    said = [event["e"] for owner, event in desk.form.news() if owner == desk.one.owner]
    assert said == ["ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE"]
    row = desk.form.api.positions(desk.one, {"symbol": "BTCUSDT"})[0]
    assert (row["positionAmt"], row["entryPrice"]) == ("0.01000000", "60000.00000000")
    assert float(row["liquidationPrice"]) == 0, "a tenth of a per cent of the wallet is never liquidated from below"


def test_one_listen_key_an_account_lives_an_hour_after_it_was_asked_for():
    desk = Desk()
    key = desk.form.listen("POST", desk.one)["listenKey"]
    assert desk.form.listen("POST", desk.one)["listenKey"] == key != desk.form.listen("POST", desk.two)["listenKey"]
    desk.wait(3000)
    desk.form.listen("PUT", desk.one)
    desk.wait(3000)
    assert desk.form.listener(key) is desk.one
    desk.wait(700)
    ended = [(owner, e["e"]) for owner, e in desk.form.news() if e["e"] == "listenKeyExpired"]
    assert ended[-1] == (desk.one.owner, "listenKeyExpired")
    assert desk.form.listener(key) is None
    assert desk.refused(desk.form.listen, "PUT", desk.one) == -1125


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": "STOP_MARKET"}, -4120),
        ({"positionSide": "LONG"}, -4061),
        ({"side": "HOLD"}, -1117),
        ({"timeInForce": "DAY"}, -1115),
        ({"price": "60000.05"}, -1013),
        ({"quantity": "0.0005"}, -1013),
        ({"price": "60000." + "0" * 40}, -1100),
        ({"quantity": "0.001", "price": "100.0"}, -1013),
        ({"symbol": "NOUSDT"}, -1121),
        ({"quantity": "900"}, -2019),
        ({"reduceOnly": "true"}, -2022),
        ({"selfTradePreventionMode": "DECREMENT"}, -1130),
    ],
)
def test_what_the_venue_does_not_take_has_its_code(change, code):
    desk = Desk()
    assert desk.refused(desk.form.api.place, desk.one, BUY | change) == code


def test_a_post_only_order_that_would_take_is_refused_and_hedge_mode_takes_no_plain_order():
    desk = Desk()
    desk.form.api.place(desk.two, SELL)
    assert desk.refused(desk.form.api.place, desk.one, BUY | {"timeInForce": "GTX"}) == -5022
    desk.form.api.position_side(desk.one, {"dualSidePosition": "true"})
    assert desk.refused(desk.form.api.place, desk.one, BUY) == -4061
    assert desk.refused(desk.form.api.position_side, desk.one, {"dualSidePosition": "true"}) == -4059


@pytest.mark.parametrize(
    ("dual", "kind", "leverage", "share", "why"),
    [
        (False, "CROSSED", 20, 50_000, ""),
        (False, "CROSSED", 10, 50_000, "leverage 10"),
        (False, "ISOLATED", 20, 50_000, "isolated"),
        (True, "CROSSED", 20, 50_000, "hedge mode"),
    ],
)
def test_settings_fit_or_say_why_not(dual, kind, leverage, share, why):
    found = AccountSettings(dual, {"BTCUSDT": (kind, leverage)}).why_not({"BTCUSDT": share})
    assert found == why if not why else why in found

"""The served venue's calls without sockets: what each refuses, by the venue's own code, and what its lists answer."""

from __future__ import annotations

import json

import pytest

from engine.sim.venue.exchange import Exchange
from engine.sim.venue.instruments import E8, default_perpetuals, default_spot
from engine.sim.venue.spot import SpotForm
from engine.sim.venue.streams import Streams, parse_name
from engine.sim.venue.usdm import UsdmForm
from engine.sim.venue.wire import ApiError

START = 1_700_000_000 * 10**9
BUY = {
    "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "59000.00"
}  # fmt: skip
SELL = BUY | {"side": "SELL", "price": "61000.00"}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
SYMBOL = {"symbol": "BTCUSDT"}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.01", "stopPrice": "58000.00"}
OCO = SYMBOL | {
    "side": "SELL", "quantity": "0.01", "aboveType": "LIMIT_MAKER", "abovePrice": "61000.00",
    "belowType": "STOP_LOSS", "belowStopPrice": "58000.00",
}  # fmt: skip
OTO = SYMBOL | {
    "workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "59000.00", "workingQuantity": "0.01",
    "workingTimeInForce": "GTC", "pendingType": "LIMIT_MAKER", "pendingSide": "SELL", "pendingPrice": "61000.00",
    "pendingQuantity": "0.01",
}  # fmt: skip


class Desk:
    """One account at a venue whose last price is 60,000."""

    def __init__(self, kind: str) -> None:
        self.exchange = Exchange(default_spot() if kind == "spot" else default_perpetuals(), now_ns=START)
        form = SpotForm(self.exchange) if kind == "spot" else UsdmForm(self.exchange)
        market = self.exchange.market("BTCUSDT")
        market.book.set_last(60_000 * E8 // market.instrument.tick_e8)
        self.api = form.api
        held = {"USDT": 10**6 * E8} | ({"BTC": 10 * E8} if kind == "spot" else {})
        self.one, self.two = (self.exchange.bank.open(name, held) for name in ("one", "two"))
        self.exchange.advance(START + 10**9)

    def code(self, call: str, params: dict[str, str]) -> int:
        with pytest.raises(ApiError) as error:
            self._call(call, params)
        assert error.value.msg
        return error.value.code

    def _call(self, call: str, params: dict[str, str]):
        name, _, kind = call.partition(":")
        return getattr(self.api, name)(self.one, params, *([kind] if kind else []))


@pytest.fixture
def spot():
    desk = Desk("spot")
    yield desk
    desk.exchange.check()


@pytest.fixture
def usdm():
    desk = Desk("usdm")
    yield desk
    desk.exchange.check()


@pytest.mark.parametrize(
    ("call", "params", "code"),
    [
        ("place", BUY | {"symbol": "NOBODY"}, -1121),
        ("place", BUY | {"newOrderRespType": "ALL"}, -1118),
        ("place", BUY | {"side": "LONG"}, -1117),
        ("place", BUY | {"type": "PEGGED"}, -1116),
        ("place", BUY | {"timeInForce": "DAY"}, -1115),
        ("place", MARKET | {"timeInForce": "GTC"}, -1106),
        ("place", MARKET | {"price": "1.00"}, -1106),
        ("place", BUY | {"price": "59000.001"}, -1013),
        ("place", BUY | {"quantity": "0.000001"}, -1013),
        ("place", BUY | {"quantity": "0.0100000001"}, -1111),
        ("place", BUY | {"quantity": "1e5"}, -1100),
        ("place", BUY | {"quantity": "9" * 15}, -1100),
        ("place", BUY | {"newClientOrderId": "not a name"}, -1100),
        ("place", BUY | {"selfTradePreventionMode": "PERHAPS"}, -1013),
        ("place", BUY | {"icebergQty": "0.001", "timeInForce": "IOC"}, -1128),
        ("place", MARKET | {"type": "TAKE_PROFIT", "trailingDelta": "9"}, -1106),
        ("query", SYMBOL, -1102),
        ("query", SYMBOL | {"orderId": "77"}, -2013),
        ("query", SYMBOL | {"orderId": "x"}, -1100),
        ("cancel", SYMBOL | {"origClientOrderId": "nobody"}, -2011),
        ("cancel_all", SYMBOL, -2011),
        ("cancel_replace", BUY, -1102),
        ("cancel_replace", BUY | {"cancelReplaceMode": "PERHAPS", "cancelOrderId": "1"}, -1102),
        ("cancel_replace", BUY | {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": "1"}, -2022),
        ("place_list:oco", OCO | {"side": "LONG"}, -1117),
        ("place_list:oco", OCO | {"abovePrice": "57000.00"}, -2010),
        ("place_list:oto", OTO | {"workingSide": "LONG"}, -1117),
        ("place_list:oto", OTO | {"workingType": "MARKET"}, -1116),
        ("place_list:oto", OTO | {"pendingSide": "LONG"}, -1117),
        ("query_list", {}, -1102),
        ("query_list", {"orderListId": "5"}, -2018),
        ("query_list", {"origClientOrderId": "nobody"}, -2018),
        ("cancel_list", {"listClientOrderId": "nobody"}, -2011),
    ],
)  # fmt: skip
def test_a_spot_call_that_is_wrong_gets_the_venues_code_and_changes_nothing(spot, call, params, code):
    assert spot.code(call, params) == code
    assert spot.api.open_orders(spot.one, {}) == []
    assert all(held.locked == 0 for held in spot.one.balances.values())


def test_an_account_that_may_not_trade_is_told_so(spot):
    spot.one.can_trade = False
    assert spot.code("place", BUY) == -2010
    assert spot.api.account(spot.one, {})["canTrade"] is False


def test_a_test_order_is_judged_and_never_rests(spot):
    assert spot.api.test(spot.one, BUY) == {}
    assert spot.code("test", BUY | {"price": "0.001"}) == -1013
    assert spot.api.open_orders(spot.one, {}) == []


def test_a_cancel_with_a_restriction_spares_an_order_in_another_state(spot):
    order = spot.api.place(spot.one, BUY)
    mine = SYMBOL | {"orderId": str(order["orderId"])}
    assert spot.code("cancel", mine | {"cancelRestrictions": "ONLY_PARTIALLY_FILLED"}) == -2011
    assert spot.api.cancel(spot.one, mine | {"cancelRestrictions": "ONLY_NEW"})["status"] == "CANCELED"
    assert spot.code("cancel", mine) == -2011


def test_another_accounts_order_is_as_good_as_none(spot):
    theirs = spot.api.place(spot.two, BUY)
    assert spot.code("query", SYMBOL | {"orderId": str(theirs["orderId"])}) == -2013
    made = spot.api.place_list(spot.two, OCO, "oco")
    assert spot.code("cancel_list", {"orderListId": str(made["orderListId"])}) == -2011


def test_an_order_that_grows_is_not_amended(spot):
    order = spot.api.place(spot.one, BUY)
    mine = SYMBOL | {"orderId": str(order["orderId"])}
    assert spot.code("amend", mine | {"newQty": "0.02"}) == -2038
    assert spot.api.query(spot.one, mine)["origQty"] == "0.01000000"


def test_cancel_all_ends_lists_whole_and_spares_other_symbols(spot):
    single = spot.api.place(spot.one, BUY)
    spot.api.place_list(spot.one, OCO, "oco")
    other = spot.api.place(spot.one, BUY | {"symbol": "ETHUSDT", "price": "3000.00", "quantity": "0.1"})
    said = spot.api.cancel_all(spot.one, SYMBOL)
    assert [row.get("orderId") for row in said] == [single["orderId"], None]
    assert [report["status"] for report in said[1]["orderReports"]] == ["CANCELED", "CANCELED"]
    assert [row["orderId"] for row in spot.api.open_orders(spot.one, {})] == [other["orderId"]]


@pytest.mark.parametrize("stop_limit", ["", "57900.00"])
@pytest.mark.parametrize("side", ["SELL", "BUY"])
def test_the_old_form_of_an_oco_makes_the_same_list(spot, side, stop_limit):
    price, stop = ("61000.00", "58000.00") if side == "SELL" else ("59000.00", "62000.00")
    params = SYMBOL | {
        "side": side, "quantity": "0.01", "price": price, "stopPrice": stop, "limitClientOrderId": "limit-1",
        "stopClientOrderId": "stop-1", "listClientOrderId": "both",
    }  # fmt: skip
    if stop_limit:
        params |= {"stopLimitPrice": stop_limit, "stopLimitTimeInForce": "GTC"}
    made = spot.api.legacy_oco(spot.one, params)
    rows = {row["clientOrderId"]: row for row in made["orderReports"]}
    assert (rows["limit-1"]["type"], float(rows["limit-1"]["price"])) == ("LIMIT_MAKER", float(price))
    assert rows["stop-1"]["type"] == ("STOP_LOSS_LIMIT" if stop_limit else "STOP_LOSS")
    assert float(rows["stop-1"]["stopPrice"]) == float(stop)
    assert spot.api.query_list(spot.one, {"origClientOrderId": "both"})["orderListId"] == made["orderListId"]
    assert [row["orderListId"] for row in spot.api.lists(spot.one, {}, only_open=True)] == [made["orderListId"]]
    gone = spot.api.cancel_list(spot.one, {"orderListId": str(made["orderListId"])})
    assert gone["listStatusType"] == "ALL_DONE"
    assert spot.code("cancel_list", {"orderListId": str(made["orderListId"])}) == -2011
    assert spot.api.lists(spot.one, {}, only_open=True) == []


def test_the_average_price_is_that_of_what_was_traded_and_the_last_one_where_nothing_was(spot):
    assert spot.api.avg_price(SYMBOL)["price"] == "60000.00000000"
    spot.api.place(spot.two, SELL | {"price": "60500.00"})
    spot.api.place(spot.one, MARKET)
    assert spot.api.avg_price(SYMBOL)["price"] == "60500.00000000"


@pytest.mark.parametrize(
    ("call", "params", "code"),
    [
        ("place", BUY | {"newOrderRespType": "FULL"}, -1118),
        ("query", SYMBOL, -1102),
        ("query", SYMBOL | {"orderId": "9"}, -2013),
        ("cancel", SYMBOL | {"origClientOrderId": "nobody"}, -2011),
        ("countdown", SYMBOL | {"countdownTime": "-1"}, -1130),
        ("leverage", SYMBOL | {"leverage": "500"}, -4028),
        ("margin_type", SYMBOL | {"marginType": "BOTH"}, -1130),
        ("margin_type", SYMBOL | {"marginType": "CROSSED"}, -4046),
        ("position_side", {"dualSidePosition": "false"}, -4059),
        ("batch", {"batchOrders": "[]"}, -1130),
        ("batch", {"batchOrders": "{"}, -1130),
        ("batch", {"batchOrders": json.dumps([BUY] * 11)}, -1130),
    ],
)
def test_a_usdm_call_that_is_wrong_gets_the_venues_code_and_changes_nothing(usdm, call, params, code):
    assert usdm.code(call, params) == code
    assert usdm.api.open_orders(usdm.one, {}) == []


def test_an_order_below_the_least_notional_and_a_post_only_one_that_would_take_have_usdms_own_codes(usdm):
    usdm.exchange.market("ETHUSDT").book.set_last(300_000)
    assert usdm.code("place", BUY | {"symbol": "ETHUSDT", "quantity": "0.001", "price": "2990.00"}) == -4164
    usdm.api.place(usdm.two, SELL | {"price": "60000.0"})
    assert usdm.code("place", BUY | {"price": "60000.0", "timeInForce": "GTX"}) == -5022


def test_the_other_side_of_an_order_is_another_order(usdm):
    mine = SYMBOL | {"orderId": str(usdm.api.place(usdm.one, BUY | {"price": "59000.0"})["orderId"])}
    wish = {"quantity": "0.02", "price": "59000.0"}
    assert usdm.code("modify", mine | wish | {"side": "SELL"}) == -5022
    assert usdm.api.modify(usdm.one, mine | wish | {"side": "BUY"})["origQty"] == "0.02000000"
    assert usdm.code("modify", mine | wish | {"side": "BUY"}) == -5027
    usdm.api.cancel(usdm.one, mine)
    assert usdm.code("cancel", mine) == -2011


def test_each_order_of_a_batch_is_answered_for_itself(usdm):
    orders = [BUY | {"price": "59000.0", "reduceOnly": False}, BUY | {"side": "LONG"}, "not an order"]
    good, bad, none = usdm.api.batch(usdm.one, {"batchOrders": json.dumps(orders)})
    assert (good["status"], bad["code"], none["code"]) == ("NEW", -1117, -1130)
    gone, unknown = usdm.api.cancel_batch(usdm.one, SYMBOL | {"orderidlist": json.dumps([good["orderId"], 999])})
    assert (gone["status"], unknown["code"]) == ("CANCELED", -2011)


def test_two_sided_positions_are_taken_once_and_then_no_order_for_one_side_is(usdm):
    usdm.api.position_side(usdm.one, {"dualSidePosition": "true"})
    assert usdm.code("place", BUY) == -4061
    assert usdm.code("place_algo", BUY) == -4061
    usdm.api.place(usdm.two, BUY | {"price": "59000.0"})
    with pytest.raises(ApiError) as error:
        usdm.api.position_side(usdm.two, {"dualSidePosition": "true"})
    assert error.value.code == -4068


def test_lists_of_orders_begin_where_they_are_told_to(usdm):
    numbers = [usdm.api.place(usdm.one, BUY | {"price": "59000.0"})["orderId"] for _ in range(4)]

    def found(**params: str) -> list[int]:
        return [row["orderId"] for row in usdm.api.all_orders(usdm.one, SYMBOL | params)]

    assert found() == numbers
    assert found(orderId=str(numbers[1])) == numbers[1:]
    assert found(limit="2") == numbers[-2:]
    assert found(orderId=str(numbers[0]), limit="2") == numbers[:2]
    assert usdm.api.income(usdm.one, {"incomeType": "TRANSFER"}) == []
    assert usdm.api.account_config(usdm.one, {})["dualSidePosition"] is False


@pytest.mark.parametrize(
    ("name", "futures", "there"),
    [
        ("btcusdt@trade", False, True), ("nobody@trade", False, False), ("btcusdt@kline_1m", False, True),
        ("btcusdt@kline_7m", False, False), ("btcusdt@markPrice", False, False), ("btcusdt@markPrice@1s", True, True),
        ("btcusdt@depth@500ms", False, False), ("btcusdt@depth@500ms", True, True),
        ("btcusdt@trade@100ms", False, False),
    ],
)  # fmt: skip
def test_a_stream_is_known_by_its_name_alone(spot, name, futures, there):
    assert parse_name(name, spot.exchange.markets, futures=futures) is there


def test_bars_and_tickers_of_a_stream_say_what_was_traded(spot):
    wanted = {f"btcusdt@{what}" for what in ("kline_1m", "ticker", "miniTicker", "trade")}
    streams = Streams(spot.exchange.markets)
    assert not [name for name, _ in streams.tick(spot.exchange.now_ns, wanted) if "kline" in name or "trade" in name]
    spot.api.place(spot.two, SELL | {"price": "60500.00"})
    spot.api.place(spot.one, MARKET)
    spot.exchange.advance(spot.exchange.now_ns + 10**9)
    said = dict(streams.tick(spot.exchange.now_ns, wanted))
    assert said.keys() == wanted
    bar = said["btcusdt@kline_1m"]["k"]
    assert (bar["c"], bar["v"], bar["n"], bar["x"]) == ("60500.00000000", "0.01000000", 1, False)
    assert said["btcusdt@ticker"].items() >= {"e": "24hrTicker", "c": "60500.00000000", "n": 1}.items()
    mini = said["btcusdt@miniTicker"]
    assert (mini["e"], mini["c"], "b" in mini) == ("24hrMiniTicker", "60500.00000000", False)

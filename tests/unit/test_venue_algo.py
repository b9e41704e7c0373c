"""Conditional orders of the embedded USD-M venue: touched off where each kind says, then an ordinary order."""

from __future__ import annotations

import pytest

from engine._core.types import ORDER, Kind
from engine.sim.venue.wire import ApiError
from engine.venues.binance.ids import client_id
from engine.venues.binance.user import UserStream
from engine.venues.directory import Assets, Directory, Instrument
from tests.unit.test_venue_usdm import BUY, Desk

STOP = {"symbol": "BTCUSDT", "algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.010"}


class Crowded(Desk):
    """A book with a crowd at 58,500 and 61,500, between which `trade` makes the last price what it likes."""

    def __init__(self):
        super().__init__()
        self.number = 0
        self.crowd("BUY", 58_500, 10_000)
        self.crowd("SELL", 61_500, 10_000)
        self.trade(60_000)

    def crowd(self, side, px, lots):
        self.number += 1
        book = self.exchange.market("BTCUSDT").book
        assert not book.submit(
            10**12 + self.number, owner=0, sell=side == "SELL", type=0, px_ticks=10 * px, qty_lots=lots
        )
        self.exchange.absorb("BTCUSDT")

    def trade(self, px, middle=60_000):
        if middle != 60_000:
            self.crowd("SELL", 2 * middle - 58_500, 10_000)
        self.crowd("SELL", px, 1)
        self.crowd("BUY", px, 1)
        self.wait(0.1)
        self.wait(0.1)


@pytest.fixture
def desk():
    return Crowded()


def status(desk, made):
    return desk.form.api.algo.query(desk.one, {"algoId": str(made["algoId"])})["algoStatus"]


def told(desk, what="ALGO_UPDATE"):
    return [event["o"] for owner, event in desk.form.news() if owner == desk.one.owner and event["e"] == what]


@pytest.mark.parametrize(
    ("kind", "side", "terms", "calm", "touch"),
    [
        ("STOP_MARKET", "SELL", {"triggerPrice": "59900"}, 59_950, 59_900),
        ("STOP_MARKET", "BUY", {"triggerPrice": "60100"}, 60_050, 60_100),
        ("STOP", "SELL", {"triggerPrice": "59900", "price": "59800"}, 59_901, 59_899),
        ("STOP", "BUY", {"triggerPrice": "60100", "price": "60200", "timeInForce": "IOC"}, 60_099, 60_101),
        ("TAKE_PROFIT_MARKET", "SELL", {"triggerPrice": "60100"}, 60_099, 60_100),
        ("TAKE_PROFIT_MARKET", "BUY", {"triggerPrice": "59900"}, 59_901, 59_900),
        ("TAKE_PROFIT", "SELL", {"triggerPrice": "60100", "price": "60100"}, 60_050, 60_150),
        ("TAKE_PROFIT", "BUY", {"triggerPrice": "59900", "price": "59900"}, 59_950, 59_850),
        ("TRAILING_STOP_MARKET", "SELL", {"callbackRate": "1"}, 59_500, 59_399),
        ("TRAILING_STOP_MARKET", "BUY", {"callbackRate": "1"}, 60_500, 60_601),
    ],
)
def test_each_kind_waits_for_its_price_and_then_is_an_order_of_the_book(desk, kind, side, terms, calm, touch):
    made = desk.form.api.place_algo(desk.one, STOP | {"type": kind, "side": side} | terms)
    assert (made["algoStatus"], made["orderType"], made["actualOrderId"]) == ("NEW", kind, "")
    if kind == "TRAILING_STOP_MARKET":
        desk.trade(60_000)  # the first price that it sees
    desk.trade(calm)
    assert status(desk, made) == "NEW"
    assert [row["algoId"] for row in desk.form.api.open_algos(desk.one, {})] == [made["algoId"]]
    desk.trade(touch)
    assert status(desk, made) in ("TRIGGERED", "FINISHED")
    assert desk.form.api.open_algos(desk.one, {}) == []
    number = int(desk.form.api.algo.query(desk.one, {"algoId": str(made["algoId"])})["actualOrderId"])
    order = desk.form.api.query(desk.one, {"symbol": "BTCUSDT", "orderId": str(number)})
    assert (order["type"], order["side"]) == ("LIMIT" if "price" in terms else "MARKET", side)
    states = [o["X"] for o in told(desk)]
    assert states[:3] == ["NEW", "TRIGGERING", "TRIGGERED"]


def test_a_trailing_order_follows_the_best_price_from_its_activation_on(desk):
    terms = {"type": "TRAILING_STOP_MARKET", "callbackRate": "0.5", "activatePrice": "60500"}
    made = desk.form.api.place_algo(desk.one, STOP | terms)
    for px in (59_000, 60_400, 59_500):  # not yet activated: nothing that falls sets it off
        desk.trade(px)
    assert status(desk, made) == "NEW"
    for px in (60_500, 61_000, 60_696):
        desk.trade(px)
    assert status(desk, made) == "NEW"
    desk.trade(60_695)  # half a percent below 61,000
    assert status(desk, made) != "NEW"


def test_by_the_mark_the_last_price_touches_nothing_off(desk):
    made = desk.form.api.place_algo(desk.one, STOP | {"triggerPrice": "59900", "workingType": "MARK_PRICE"})
    desk.trade(59_000, middle=60_000)
    assert status(desk, made) == "NEW"
    desk.trade(59_000, middle=59_000)
    assert status(desk, made) != "NEW"


def test_close_position_closes_what_is_held_when_it_is_touched_and_nothing_when_nothing_is(desk):
    close = {name: value for name, value in STOP.items() if name != "quantity"} | {"closePosition": "true"}
    first = desk.form.api.place_algo(desk.one, close | {"triggerPrice": "59900"})
    desk.trade(59_900)
    assert status(desk, first) == "EXPIRED"
    desk.form.api.place(desk.one, BUY | {"price": "62000", "quantity": "0.030"})
    desk.trade(60_000)
    held = desk.one.positions["BTCUSDT"].lots
    assert held > 0
    second = desk.form.api.place_algo(desk.one, close | {"triggerPrice": "59900"})
    desk.trade(59_900)
    desk.trade(59_900)
    assert (status(desk, second), desk.one.positions["BTCUSDT"].lots) == ("FINISHED", 0)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": "LIMIT"}, -1116), ({"algoType": "VP"}, -1102), ({"triggerPrice": "60100"}, -2021),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "20"}, -2007), ({"workingType": "INDEX"}, -1130),
        ({"closePosition": "true"}, -1106), ({"type": "STOP"}, -1102), ({"triggerPrice": "59900.05"}, -1013),
        ({"type": "TAKE_PROFIT_MARKET"}, -2021), ({"quantity": "0.0001"}, -1013),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_venues_code(desk, change, code):
    with pytest.raises(ApiError) as refused:
        desk.form.api.place_algo(desk.one, STOP | {"triggerPrice": "59900"} | change)
    assert refused.value.code == code
    assert desk.form.api.open_algos(desk.one, {}) == []


def test_the_same_client_id_twice_too_many_and_an_unknown_cancel_are_refused(desk):
    api, terms = desk.form.api, STOP | {"triggerPrice": "59900"}
    api.place_algo(desk.one, terms | {"clientAlgoId": "a1"})
    assert desk.refused(api.place_algo, desk.one, terms | {"clientAlgoId": "a1"}) == -4116
    most = desk.exchange.markets["BTCUSDT"].instrument.algo_orders_max
    for _ in range(most - 1):
        api.place_algo(desk.one, terms)
    assert desk.refused(api.place_algo, desk.one, terms) == -4045
    assert desk.refused(api.algo.cancel, desk.two, {"clientAlgoId": "a1"}) == -2011
    assert api.algo.cancel(desk.one, {"clientAlgoId": "a1"})["code"] == "200"
    assert desk.refused(api.algo.cancel, desk.one, {"clientAlgoId": "a1"}) == -2011
    api.cancel_algos(desk.one, {"symbol": "BTCUSDT"})
    assert api.open_algos(desk.one, {}) == []
    assert {row["algoStatus"] for row in api.all_algos(desk.one, {"symbol": "BTCUSDT"})} == {"CANCELED"}


def test_the_engines_user_stream_reads_every_step_as_one_order(desk):
    instrument = Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.1", qty_step="0.001", linear=True)
    assets = Assets()
    assets.add("USDT")
    stream = UserStream(Directory([instrument], assets))
    desk.form.api.place_algo(desk.one, STOP | {"triggerPrice": "59900", "clientAlgoId": client_id(77)})
    desk.trade(59_900)
    desk.trade(59_900)
    kinds = []
    for owner, event in desk.form.news():
        if owner == desk.one.owner:
            events = stream.on_message(event, 1)
            orders = events[(events["kind"] >= Kind.KIND_ORDER_ACK) & (events["kind"] <= Kind.KIND_ORDER_LOST)]
            kinds += [(Kind(int(row["kind"])), int(row["id_order"])) for row in orders.view(ORDER)]
    assert (Kind.KIND_ORDER_ACK, 77) in kinds
    assert (Kind.KIND_ORDER_FILL, 77) in kinds
    assert {id_order for _, id_order in kinds} == {77}

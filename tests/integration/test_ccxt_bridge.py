"""An unmodified ccxt client behind the bridge, against a server on loopback that speaks Binance's REST."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core.breaker import Breakers
from engine._core.types import INTENT, LEVEL, ORDER, Flag, Kind
from engine.errors import VenueNotSupported
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.venues.binance.ids import client_id
from engine.venues.bridge_thread import BridgeThread
from engine.venues.ccxt_bridge import CcxtBridge, trade_number
from engine.venues.ccxt_orders import meaning, order_number
from engine.venues.directory import Directory, Instrument
from engine.venues.outcome import Act, Outcome
from tests.integration.test_venue_account import Server
from tests.unit.test_venue_binance import ROW

ccxt = pytest.importorskip("ccxt", reason="ccxt is an extra: pip install bot4[ccxt]")

INFO = {
    "timezone": "UTC",
    "serverTime": 1,
    "rateLimits": [],
    "exchangeFilters": [],
    "symbols": [
        ROW
        | {
            "isSpotTradingAllowed": True,
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        }
    ],
}
ORDER_ROW = {
    "symbol": "BTCUSDT", "orderId": 28, "clientOrderId": client_id(7), "transactTime": 1, "price": "52000.00",
    "origQty": "0.01000", "executedQty": "0.00400", "cummulativeQuoteQty": "208", "status": "PARTIALLY_FILLED",
    "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "fills": [],
}  # fmt: skip


class Bridged:
    def __init__(self, answers):
        self.server = Server({"GET /api/v3/exchangeInfo": INFO} | answers)
        self.events = []

    def __enter__(self):
        import ccxt.async_support as ccxt_async  # noqa: PLC0415

        self.server.__enter__()
        self.thread = BridgeThread()
        base = f"http://127.0.0.1:{self.server.port}"
        directory = Directory([Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.00001")])
        budget = RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, 900)])
        breakers = Breakers(count_max=2)
        breakers.declare("bridge")

        async def make():
            exchange = ccxt_async.binance({
                "apiKey": "key", "secret": "secret",
                "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False,
                            "fetchMargins": False},
                "urls": {"api": {"public": f"{base}/api/v3", "private": f"{base}/api/v3"}},
            })  # fmt: skip
            return CcxtBridge(
                exchange, directory, {"BTCUSDT": "BTC/USDT"}, budget=budget,
                breaker=breakers["bridge"], deliver=self.events.append,
            )  # fmt: skip

        self.bridge = self.thread.run(make())
        return self

    def __exit__(self, *_):
        self.thread.run(self.bridge.close())
        self.thread.close()
        self.server.__exit__()

    def act(self, kind=Kind.KIND_INTENT_PLACE, **fields):
        intent = np.zeros(1, INTENT)
        values = {"kind": kind, "id_order": 7, "px_ticks": 5_200_000, "qty_lots": 1000, "token": 1} | fields
        for name, value in values.items():
            intent[name] = value
        self.events.clear()
        said = self.thread.run(self.bridge.act(intent), 20)
        return said, [(Kind(int(e["kind"][0])).name, int(e.view(ORDER)["filled_lots"][0])) for e in self.events]


def test_an_order_is_placed_asked_for_and_cancelled():
    answers = {"POST /api/v3/order": ORDER_ROW, "GET /api/v3/order": ORDER_ROW,
               "DELETE /api/v3/order": ORDER_ROW | {"status": "CANCELED"}, "GET /api/v3/myTrades": []}  # fmt: skip
    with Bridged(answers) as b:
        said, events = b.act()
        assert said.outcome is Outcome.DONE
        # Its fills come with their prices and fees, from the lane of trades.
        assert events == [("KIND_ORDER_ACK", 0)]
        assert b.act(Kind.KIND_INTENT_QUERY, token=0)[1] == [("KIND_ORDER_ACK", 400)]
        assert b.act(Kind.KIND_INTENT_CANCEL, token=0)[1] == [("KIND_ORDER_CANCELED", 400)]
        names = [name for name, _ in b.server.asked]
        # Where something was filled its trades come first, before the order's end is told.
        assert names == [
            "GET /api/v3/exchangeInfo", "POST /api/v3/order", "GET /api/v3/order", "GET /api/v3/myTrades",
            "DELETE /api/v3/order", "GET /api/v3/myTrades",
        ]  # fmt: skip


def test_a_halt_is_asked_for_at_the_last_moment_and_stops_what_is_new_alone():
    with Bridged({"POST /api/v3/order": ORDER_ROW}) as b:
        b.bridge.join(b.events.append, lambda *_: None, lambda: False, lambda _: None)
        said, events = b.act()
        assert (said.outcome, said.name, events) == (Outcome.NOT_SENT, "halted", [("KIND_ORDER_REJECTED", 0)])
        assert b.server.asked == []
        assert b.bridge.halted_count == 1
        # What closes goes out whatever is halted.
        assert b.act(terms=4 << 32)[0].outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("status", "code", "text", "event", "outcome"),
    [
        (400, -2010, "Account has insufficient balance for requested action.", "KIND_ORDER_REJECTED", Outcome.REJECTED),
        (400, -1013, "Filter failure: LOT_SIZE", "KIND_ORDER_REJECTED", Outcome.REJECTED),
        (429, -1003, "Too many requests.", "KIND_ORDER_REJECTED", Outcome.NOT_SENT),
        (504, -1007, "Timeout waiting for response.", "KIND_ORDER_LOST", Outcome.UNKNOWN),
        (400, -1021, "Timestamp outside of recvWindow.", "KIND_ORDER_REJECTED", Outcome.NOT_SENT),
    ],
)
def test_errors_come_in_our_taxonomy(status, code, text, event, outcome):
    with Bridged({"POST /api/v3/order": (status, {"code": code, "msg": text})}) as b:
        said, events = b.act()
        assert said.outcome is outcome
        assert events == [(event, 0)]


def test_what_is_not_bridged_never_leaves():
    with Bridged({}) as b:
        for fields in ({"token": 0}, {"terms": 2 << 16}, {"terms": 4 << 24}):
            said, events = b.act(**fields)
            assert said.outcome is Outcome.NOT_SENT
            assert events == [("KIND_ORDER_REJECTED", 0)]
        with pytest.raises(VenueNotSupported):
            b.act(symbol=9)
        with pytest.raises(VenueNotSupported):
            b.act(Kind.KIND_INTENT_AMEND)
        assert b.server.asked == []


def test_books_and_fills_are_exact():
    trade = {
        "symbol": "BTCUSDT",
        "id": 5,
        "orderId": 28,
        "price": "52000.10",
        "qty": "0.00007",
        "quoteQty": "3.6",
        "commission": "0.00000012",
        "commissionAsset": "BTC",
        "time": 3,
        "isBuyer": True,
        "isMaker": True,
    }
    depth = {"lastUpdateId": 9, "bids": [["0.07", "0.1"], ["0.06", "9000.00001"]], "asks": [["0.08", "0.00003"]]}
    answers = {"POST /api/v3/order": ORDER_ROW, "GET /api/v3/depth": depth, "GET /api/v3/myTrades": [trade]}
    with Bridged(answers) as b:
        b.act()
        b.events.clear()
        b.thread.run(b.bridge.refresh(), 20)
        book, fills = b.events
        assert book.view(LEVEL)["px_ticks"].tolist() == [7, 6, 8]
        assert book.view(LEVEL)["qty_lots"].tolist() == [10_000, 900_000_001, 3]
        assert book["flags"][2] & Flag.FLAG_ASK
        fill = fills[:1].view(ORDER)[0]
        assert (fill["id_order"], fill["px_ticks"], fill["qty_lots"], fill["id_venue"]) == (7, 5_200_010, 7, 5)
        assert int(fills["word"][1][3]) == 12
        assert b.bridge.refused_count == 0


def test_a_level_off_the_steps_is_refused():
    with Bridged({}) as b:
        instrument = b.bridge.directory.at(0)
        assert len(b.bridge.book(instrument, {"bids": [[0.0701, 1.0]], "asks": []})) == 0
        assert b.bridge.refused_count == 1


def test_an_exception_that_is_not_ccxts_leaves_the_order_unknown():
    assert meaning(ValueError("x")).outcome is Outcome.UNKNOWN
    assert meaning(ccxt.OnMaintenance("x")).act is Act.HALT
    assert meaning(ccxt.PermissionDenied("x")).act is Act.KEY


def _trade(number, price="52000.00", **more):
    return {
        "symbol": "BTC/USDT", "id": number, "order": "28", "info": {"clientOrderId": client_id(7)}, "side": "buy",
        "price": float(price), "amount": 0.001, "timestamp": 1_700_000_000_000, "takerOrMaker": "maker",
        "fee": {"currency": "USDT", "cost": 0.05},
    } | more  # fmt: skip


def test_a_trade_named_by_letters_is_a_fill_and_one_that_cannot_be_read_hides_none():
    letters = "TCWJEG-FL4SZ-3FKGH6"
    with Bridged({}) as bridged:
        trades = [_trade(letters), _trade("17", price="52000.001"), _trade("18"), _trade(letters)]
        events = bridged.bridge.fills(trades)
        assert bridged.bridge.refused_count == 1
    fills = events[events["kind"] == Kind.KIND_ORDER_FILL].view(ORDER)
    assert [int(n) for n in fills["id_venue"]] == [fills["id_venue"][0], 18, fills["id_venue"][0]]
    assert set(fills["px_ticks"]) == {5_200_000}
    assert fills["id_venue"][0] == trade_number(trades[0]) > 0


def test_trades_named_by_letters_are_numbered_by_their_time_and_differ():
    def number(text, at=1_700_000_000_000):
        return trade_number({"id": text, "timestamp": at})

    assert number("TZ") < number("TA", 1_700_000_000_001) < 1 << 62
    assert number("9" * 40) < 1 << 62
    assert number("17") == 17
    # Of one millisecond: a digest of twenty bits keeps a handful apart.
    assert len({number(f"T{n}") for n in range(30)}) == 30
    assert len({order_number(f"T{n}") for n in range(10_000)}) == 10_000

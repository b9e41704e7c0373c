"""Binance's account over real HTTP: what recovery and the tally ask, and the answers in ticks, lots and units."""

from __future__ import annotations

import asyncio
import threading
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from engine._core.clock import utc_ns
from engine._core.hmac import HmacKey
from engine.errors import ClockUnsure, VenueRefused, VenueUnsure
from engine.journal.port import FILLED, OPEN, VenueOrder
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.net.clocksync import ClockSync
from engine.net.http import HttpClient
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.ids import client_id
from engine.venues.binance.info import counts_of_headers
from engine.venues.binance.sign import HmacSigner
from engine.venues.directory import Directory, Instrument
from engine.venues.port import SyncPort

BTC = Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.00001")
ROW = {
    "symbol": "BTCUSDT", "orderId": 28, "clientOrderId": client_id(7), "side": "SELL", "price": "52000.00",
    "origQty": "0.01000", "executedQty": "0.00400", "status": "PARTIALLY_FILLED",
}  # fmt: skip


class Server:
    """Answers from a table, on a loop and thread of its own; every signature is checked."""

    def __init__(self, answers):
        self.answers = answers
        self.asked, self.bodies = [], []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    async def _handle(self, request):
        name = f"{request.method} {request.path}"
        query = request.rel_url.raw_query_string
        self.asked.append((name, {k: v[0] for k, v in parse_qs(query).items()}))
        self.bodies.append(await request.text())
        if "signature=" in query:
            payload, signature = query.split("&signature=")
            if HmacKey(b"secret").sign(payload.encode()).hex() != signature or request.headers["X-MBX-APIKEY"] != "key":
                return web.json_response({"code": -1022, "msg": "Signature for this request is not valid."}, status=400)
        answer = self.answers[name]
        answer = answer(self.asked[-1][1]) if callable(answer) else answer
        status, content = answer if isinstance(answer, tuple) else (200, answer)
        if isinstance(content, bytes):
            return web.Response(body=content, status=status)
        return web.json_response(content, status=status)

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = site._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()


def _port(server, market="spot", *, clock=None, instruments=(BTC,)):
    if clock is None:
        clock, now = ClockSync(), utc_ns()
        assert clock.sample(now, now, now)

    def make():
        budget = RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, 6000)])
        http = HttpClient(f"http://127.0.0.1:{server.port}", budget, counts_of=counts_of_headers)
        return BinanceAccount(market, http, HmacSigner("key", b"secret"), Directory(instruments), clock)

    return SyncPort(make)


def test_orders_trades_and_balances_come_in_the_cores_units():
    trades = [
        {
            "symbol": "BTCUSDT",
            "id": 5,
            "orderId": 28,
            "price": "52000.00",
            "qty": "0.00400",
            "commission": "0.208",
            "commissionAsset": "USDT",
            "time": 1_499_865_549_590,
            "isBuyer": False,
            "isMaker": True,
        }
    ]
    answers = {
        "GET /api/v3/openOrders": [ROW, ROW | {"clientOrderId": "web_1"}, ROW | {"symbol": "DOGEUSDT"}],
        "GET /api/v3/order": ROW | {"status": "FILLED"},
        "GET /api/v3/myTrades": trades,
        "GET /api/v3/account": {"balances": [{"asset": "BTC", "free": "0.5", "locked": "0.25"},
                                             {"asset": "XYZ", "free": "1", "locked": "0"}]},
        "DELETE /api/v3/order": {},
    }  # fmt: skip
    with Server(answers) as server, _port(server) as port:
        mine, other = port.open_orders()
        assert mine == VenueOrder(7, 28, 0, True, 5_200_000, 1000, 400, OPEN, client_id(7))
        assert other.id_order == 0
        assert port.order(7).state == FILLED
        (trade,) = port.trades_since(4)
        assert (trade.id_trade, trade.id_order, trade.qty_lots, trade.px_ticks) == (5, 7, 400, 5_200_000)
        assert (trade.fee, trade.maker, trade.sell) == (20_800_000, True, True)
        assert port.balances() == {0: 75_000_000}
        assert port.positions() == {}
        port.cancel(mine)
        asked = dict(server.asked)
        assert asked["GET /api/v3/myTrades"]["fromId"] == "5"
        assert asked["DELETE /api/v3/order"]["orderId"] == "28"


def test_an_order_that_nobody_knows_is_none_and_a_cancel_of_it_is_no_error():
    answers = {
        "GET /api/v3/order": (400, {"code": -2013, "msg": "Order does not exist."}),
        "DELETE /api/v3/order": (400, {"code": -2011, "msg": "Unknown order sent."}),
    }
    with Server(answers) as server, _port(server) as port:
        assert port.order(7) is None
        port.cancel(VenueOrder(7, 28, 0, True, 1, 1, 0))
        assert len(server.asked) == 2


def test_more_than_a_page_of_trades_is_asked_for_page_by_page():
    def page(params):
        first = int(params.get("fromId", 1))
        return [
            {"symbol": "BTCUSDT", "id": n, "orderId": 28, "price": "1.00", "qty": "0.00001", "commission": "0",
             "commissionAsset": "BNB", "time": 1, "isBuyer": True, "isMaker": False}
            for n in range(first, min(first + 1000, 2501))
        ]  # fmt: skip

    with Server({"GET /api/v3/myTrades": page, "GET /api/v3/order": ROW}) as server, _port(server) as port:
        assert [t.id_trade for t in port.trades_since(0)] == list(range(1, 2501))
        # The order behind them is asked for once.
        assert sum(name == "GET /api/v3/order" for name, _ in server.asked) == 1


def test_usdm_positions_fees_funding_and_the_dead_man():
    answers = {
        "GET /fapi/v3/positionRisk": [{"symbol": "BTCUSDT", "positionAmt": "-0.00100", "positionSide": "BOTH"}],
        "GET /fapi/v3/account": {"assets": [{"asset": "USDT", "walletBalance": "23.72469206"}]},
        "GET /fapi/v1/commissionRate": {"makerCommissionRate": "0.0002", "takerCommissionRate": "0.0004"},
        "GET /fapi/v1/income": [{"symbol": "BTCUSDT", "income": "-0.375", "asset": "USDT", "time": 1, "tranId": 99}],
        "POST /fapi/v1/countdownCancelAll": {"symbol": "BTCUSDT", "countdownTime": "60000"},
        "GET /fapi/v1/time": {"serverTime": utc_ns() // 10**6},
    }  # fmt: skip
    with Server(answers) as server, _port(server, "usdm") as port:
        assert port.positions() == {0: -100}
        assert port._run(port._account.held()) == ({0: -100}, {})
        held = {"notional": "-61.2345678", "unRealizedProfit": "0.75"}
        server.answers["GET /fapi/v3/positionRisk"][0] |= held
        assert port._run(port._account.held()) == ({0: -100}, {0: -6_198_456_780})
        assert port.balances() == {1: 2_372_469_206}
        account = port._account
        assert port._run(account.fees("BTCUSDT")) == (20_000, 40_000)
        assert port._run(account.funding_since(0)) == [(99, 0, 1, -37_500_000, 10**6)]
        port._run(account.arm_dead_man("BTCUSDT", 60_000))
        assert server.asked[-1][1]["countdownTime"] == "60000"
        assert port._run(account.measure_clock())


def test_nothing_is_signed_while_the_clock_is_unknown():
    with Server({}) as server, _port(server, clock=ClockSync()) as port:
        with pytest.raises(ClockUnsure, match="measured"):
            port.open_orders()
        assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, {"code": -1001, "msg": "Internal error"}), VenueUnsure), ((502, b"<html>"), VenueUnsure),
        ((200, b'[{"symbol"'), VenueUnsure), ((400, {"code": -2015, "msg": "Invalid API-key"}), VenueRefused),
        ((200, [ROW | {"origQty": "1" * 40}]), VenueUnsure), ((200, [ROW | {"status": "NEWS"}]), VenueUnsure),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_relied_on_is_a_typed_error(answer, error):
    with Server({"GET /api/v3/openOrders": answer}) as server, _port(server) as port, pytest.raises(error):
        port.open_orders()


ALGO = {"symbol": "BTCUSDT", "clientAlgoId": client_id(7), "algoId": 41, "side": "SELL", "price": "0.00",
        "quantity": "0.01000", "algoStatus": "NEW"}  # fmt: skip
NO_ORDER = (400, {"code": -2013, "msg": "Order does not exist."})


def test_a_conditional_order_of_usdm_is_found_apart_and_canceled_there():
    answers = {
        "GET /fapi/v1/order": NO_ORDER, "GET /fapi/v1/algoOrder": ALGO, "GET /fapi/v1/openOrders": [],
        "GET /fapi/v1/openAlgoOrders": [ALGO, ALGO | {"symbol": "DOGEUSDT"}], "DELETE /fapi/v1/algoOrder": {},
        "DELETE /fapi/v1/allOpenOrders": {}, "DELETE /fapi/v1/algoOpenOrders": {},
    }  # fmt: skip
    with Server(answers) as server, _port(server, "usdm") as port:
        found = port.order(7)
        assert (found.id_order, found.id_venue, found.qty_lots, found.state) == (7, 41, 1000, OPEN)
        assert port.open_orders() == [found]
        port.cancel(found)
        assert server.asked[-1][0] == "DELETE /fapi/v1/algoOrder"
        assert server.asked[-1][1]["algoId"] == "41"
        port._run(port._account.cancel_all(BTC))
        assert [name for name, _ in server.asked[-2:]] == [
            "DELETE /fapi/v1/allOpenOrders", "DELETE /fapi/v1/algoOpenOrders"
        ]  # fmt: skip
        server.answers["GET /fapi/v1/algoOrder"] = NO_ORDER
        assert port.order(7) is None
        server.answers["GET /fapi/v1/algoOrder"] = (400, {"code": -2015, "msg": "Invalid API-key"})
        with pytest.raises(VenueRefused, match="key"):
            port.order(7)


def test_a_conditional_order_that_was_triggered_is_what_the_order_became_that_it_made():
    def order(params):
        made = ROW | {"orderId": 90, "clientOrderId": "autoclose", "status": "FILLED", "executedQty": "0.01000"}
        return made if params.get("orderId") == "90" else NO_ORDER

    answers = {
        "GET /fapi/v1/order": order,
        "GET /fapi/v1/algoOrder": ALGO | {"algoStatus": "TRIGGERED", "actualOrderId": "90"},
    }
    with Server(answers) as server, _port(server, "usdm") as port:
        found = port.order(7)
        assert (found.id_order, found.id_venue, found.filled_lots, found.state) == (7, 90, 1000, FILLED)


def test_what_spot_does_not_have_and_what_is_not_traded_is_refused_before_it_is_asked():
    with Server({}) as server, _port(server) as port:
        with pytest.raises(VenueRefused, match="no dead-man timer"):
            port._run(port._account.arm_dead_man("BTCUSDT", 1))
        with pytest.raises(VenueRefused, match="symbol 5 is not traded here"):
            port.cancel(VenueOrder(7, 28, 5, True, 1, 1, 0))
        assert port._run(port._account.held()) == ({}, {})
        assert server.asked == []


@pytest.mark.parametrize("code", [-2015, -1013])
def test_a_question_about_one_order_that_is_refused_for_another_reason_is_no_answer(code):
    refused = {"GET /api/v3/order": (400, {"code": code, "msg": "no"}),
               "DELETE /api/v3/order": (400, {"code": code, "msg": "no"})}  # fmt: skip
    with Server(refused) as server, _port(server) as port:
        with pytest.raises(VenueRefused):
            port.order(7)
        with pytest.raises(VenueRefused):
            port.cancel(VenueOrder(7, 28, 0, True, 1, 1, 0))


def test_a_trade_that_cannot_be_read_is_a_doubt_and_never_left_out():
    row = {"symbol": "BTCUSDT", "id": 5, "orderId": 28, "price": "52000.005", "qty": "0.00400", "commission": "0",
           "commissionAsset": "USDT", "time": 1, "isBuyer": True, "isMaker": True}  # fmt: skip
    doubt = pytest.raises(VenueUnsure, match="a trade of BTCUSDT")
    with Server({"GET /api/v3/myTrades": [row]}) as server, _port(server) as port, doubt:
        port.trades_since(0)

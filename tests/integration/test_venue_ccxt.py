"""An unmodified ccxt client trades against the venue's server over real sockets."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("ccxt", reason="the ccxt extra is not installed")
import ccxt.pro

from engine._core.clock import utc_ns
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.instruments import E8, default_spot
from engine.sim.venue.server import VenueServer

# No conversation takes longer, whatever goes wrong.
WAIT_S = 120


class LocalBinance(ccxt.pro.binance):
    """Stock but for one thing: its error tables are keyed by the production host."""

    def get_exceptions_by_url(self, url, kind):
        return self.safe_dict(self.safe_dict(self.exceptions, "spot", {}), kind, {})


def client(server, key="key", secret="sek"):
    host = f"127.0.0.1:{server.port}"
    return LocalBinance({
        "apiKey": key, "secret": secret, "enableRateLimit": False,
        "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False,
                    "fetchMargins": False},
        "urls": {"api": {"public": f"http://{host}/api/v3", "private": f"http://{host}/api/v3",
                         "ws": {"spot": f"ws://{host}/stream/ws", "ws-api": {"spot": f"ws://{host}/ws-api/v3"}}}},
    })  # fmt: skip


def crowd(server, side, px, lots, number):
    market = server.exchange.markets["BTCUSDT"]
    assert not market.book.submit(10**12 + number, owner=0, sell=side == "sell", type=0, px_ticks=px, qty_lots=lots)
    server.exchange.absorb("BTCUSDT")


def session(body):
    """Run one conversation: a server with a small book, a client, and everything closed afterwards."""

    async def main():
        server = VenueServer(Exchange(default_spot()), clock=utc_ns, tick_ns=10_000_000)
        server.add_account("key", secret="sek", deposits={"BTC": 10 * E8, "USDT": 10**6 * E8})
        for i in range(20):
            crowd(server, "buy", 5_999_900 - 100 * i, 100_000, 2 * i)
            crowd(server, "sell", 6_000_100 + 100 * i, 100_000, 2 * i + 1)
        server.exchange.markets["BTCUSDT"].book.set_last(6_000_000)
        async with server:
            exchange = client(server)
            try:
                await asyncio.wait_for(body(exchange, server), WAIT_S)
            finally:
                await exchange.close()
        server.exchange.check()

    asyncio.run(main())


def test_markets_book_and_tickers_are_read():
    async def body(ex, server):
        markets = await ex.load_markets()
        assert markets["BTC/USDT"]["precision"] == {"base": 1e-8, "quote": 1e-8, "amount": 1e-05, "price": 0.01}
        book = await ex.fetch_order_book("BTC/USDT")
        assert (book["bids"][0], book["asks"][0]) == ([59_999.0, 1.0], [60_001.0, 1.0])
        assert len(book["bids"]) == 20
        await ex.create_order("BTC/USDT", "market", "buy", 0.5)
        assert (await ex.fetch_ticker("BTC/USDT"))["last"] == 60_001.0
        assert [t["price"] for t in await ex.fetch_trades("BTC/USDT")] == [60_001.0]
        assert [k[4:] for k in await ex.fetch_ohlcv("BTC/USDT", "1m")] == [[60_001.0, 0.5]]

    session(body)


@pytest.mark.parametrize(
    ("kind", "side", "amount", "price", "params", "status"),
    [
        ("limit", "buy", 0.01, 50_000, {}, "open"),
        ("limit", "buy", 0.01, 61_000, {"timeInForce": "IOC"}, "closed"),
        ("limit", "buy", 0.01, 50_000, {"timeInForce": "FOK"}, "expired"),
        ("limit", "sell", 0.01, 70_000, {"postOnly": True}, "open"),
        ("limit", "sell", 0.01, 70_000, {"icebergQty": "0.001"}, "open"),
        ("market", "sell", 0.01, None, {}, "closed"),
        ("limit", "sell", 0.01, 50_000, {"stopLossPrice": 51_000}, "open"),
        ("limit", "sell", 0.01, 70_000, {"takeProfitPrice": 69_000}, "open"),
        ("STOP_LOSS", "sell", 0.01, None, {"stopPrice": 51_000}, "open"),
        ("TAKE_PROFIT", "buy", 0.01, None, {"stopPrice": 55_000}, "open"),
        ("STOP_LOSS", "sell", 0.01, None, {"trailingDelta": 100}, "open"),
    ],
)
def test_every_kind_of_order_is_placed_fetched_and_canceled(kind, side, amount, price, params, status):
    async def body(ex, server):
        order = await ex.create_order("BTC/USDT", kind, side, amount, price, params)
        seen = await ex.fetch_order(order["id"], "BTC/USDT")
        assert (seen["status"], seen["side"], seen["amount"]) == (status, side, amount)
        assert [o["id"] for o in await ex.fetch_open_orders("BTC/USDT")] == [order["id"]] * (status == "open")
        if status == "open":
            assert (await ex.cancel_order(order["id"], "BTC/USDT"))["status"] == "canceled"
        assert (await ex.fetch_orders("BTC/USDT"))[-1]["id"] == order["id"]
        trades = await ex.fetch_my_trades("BTC/USDT")
        assert sum(t["amount"] for t in trades) == (amount if status == "closed" else 0)

    session(body)


def test_a_market_order_for_a_sum_and_balances_to_the_last_unit():
    async def body(ex, server):
        order = await ex.create_market_buy_order_with_cost("BTC/USDT", 600.6)
        assert (order["status"], order["filled"], order["cost"]) == ("closed", 0.01, 600.01)
        balance = await ex.fetch_balance()
        assert balance["USDT"] == {"free": 999_399.99, "used": 0.0, "total": 999_399.99}
        assert balance["BTC"]["free"] == 10.00999

    session(body)


def test_an_edited_order_and_cancel_all():
    async def body(ex, server):
        first = await ex.create_order("BTC/USDT", "limit", "buy", 0.01, 50_000)
        second = await ex.edit_order(first["id"], "BTC/USDT", "limit", "buy", 0.02, 51_000)
        assert (second["price"], second["amount"]) == (51_000, 0.02)
        assert (await ex.fetch_order(first["id"], "BTC/USDT"))["status"] == "canceled"
        await ex.create_order("BTC/USDT", "limit", "sell", 0.02, 71_000)
        await ex.cancel_all_orders("BTC/USDT")
        assert await ex.fetch_open_orders("BTC/USDT") == []

    session(body)


def test_an_oco_list_is_placed_and_one_leg_ends_the_other():
    async def body(ex, server):
        await ex.load_markets()
        made = await ex.privatePostOrderListOco({
            "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.01", "aboveType": "LIMIT_MAKER", "abovePrice": "60500",
            "belowType": "STOP_LOSS", "belowStopPrice": "55000",
        })  # fmt: skip
        assert (made["contingencyType"], made["listOrderStatus"]) == ("OCO", "EXECUTING")
        crowd(server, "buy", 6_050_000, 1_900_000 + 600_000, 999)
        listed = await ex.privateGetOrderList({"orderListId": made["orderListId"]})
        assert listed["listOrderStatus"] == "ALL_DONE"
        statuses = {o["info"]["type"]: o["status"] for o in await ex.fetch_orders("BTC/USDT")}
        assert statuses == {"LIMIT_MAKER": "closed", "STOP_LOSS": "expired"}

    session(body)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (("limit", "buy", 1000, 60_000), ccxt.InsufficientFunds),
        (("limit", "buy", 0.00001, 60_000), ccxt.BadRequest),
        (("limit", "buy", 0.01, 1_000), ccxt.InvalidOrder),
        (("limit", "buy", 0.01, 61_000, {"postOnly": True}), ccxt.OrderImmediatelyFillable),
        (("STOP_LOSS", "sell", 0.01, None, {"stopPrice": 61_000}), ccxt.OrderImmediatelyFillable),
    ],
)
def test_a_refused_order_raises_what_it_raises_at_the_real_venue(call, error):
    async def body(ex, server):
        with pytest.raises(error):
            await ex.create_order("BTC/USDT", *call)
        assert sum(server.errors.values()) == 1

    session(body)


def test_wrong_keys_signatures_times_and_unknown_orders():
    async def body(ex, server):
        await ex.load_markets()
        with pytest.raises(ccxt.OrderNotFound):
            await ex.cancel_order("99", "BTC/USDT")
        with pytest.raises(ccxt.OrderNotFound):
            await ex.fetch_order("99", "BTC/USDT")
        ex.secret = "other"
        with pytest.raises(ccxt.AuthenticationError):
            await ex.fetch_balance()
        ex.secret = "sek"
        ex.options["timeDifference"] = 20_000
        with pytest.raises(ccxt.InvalidNonce):
            await ex.fetch_balance()
        assert set(server.errors) == {-2011, -2013, -1022, -1021}

    session(body)


def test_streams_book_trades_and_a_gap_free_local_book():
    async def body(ex, server):
        await ex.load_markets()
        book = await ex.watch_order_book("BTC/USDT")
        assert book["bids"][0] == [59_999.0, 1.0]
        trades = asyncio.create_task(ex.watch_trades("BTC/USDT"))
        crowd(server, "buy", 6_000_000, 50_000, 500)
        while book["bids"][0] != [60_000.0, 0.5]:
            book = await ex.watch_order_book("BTC/USDT")
        while not any("@trade" in name for socket in server._sockets for name in socket.streams):
            await asyncio.sleep(0)
        crowd(server, "sell", 6_000_000, 20_000, 501)
        assert [(t["price"], t["amount"], t["side"]) for t in await trades] == [(60_000.0, 0.2, "sell")]
        while book["bids"][0] != [60_000.0, 0.3]:
            book = await ex.watch_order_book("BTC/USDT")
        assert len(book["asks"]) == 20

    session(body)


def test_the_user_stream_tells_orders_fills_and_balances_and_orders_go_over_the_socket():
    async def body(ex, server):
        await ex.load_markets()
        watching = asyncio.create_task(ex.watch_orders("BTC/USDT"))
        while not any(socket.users for socket in server._sockets):
            await asyncio.sleep(0)
        order = await ex.create_order_ws("BTC/USDT", "limit", "buy", 0.01, 59_000)
        seen = await watching
        assert (seen[-1]["id"], seen[-1]["status"]) == (order["id"], "open")
        crowd(server, "sell", 5_900_000, 2_000_000 + 1_000, 700)
        while seen[-1]["status"] != "closed":
            seen = await ex.watch_orders("BTC/USDT")
        assert (seen[-1]["filled"], seen[-1]["average"]) == (0.01, 59_000)
        other = await ex.create_order_ws("BTC/USDT", "limit", "buy", 0.01, 50_000)
        assert (await ex.cancel_order_ws(other["id"], "BTC/USDT"))["status"] == "canceled"

    session(body)

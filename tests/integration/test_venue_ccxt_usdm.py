"""An unmodified ccxt client (binanceusdm) trades perpetuals against the venue's server over real sockets."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("ccxt", reason="the ccxt extra is not installed")
import ccxt.pro

from engine._core.clock import utc_ns
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.instruments import E8, default_perpetuals
from engine.sim.venue.server import VenueServer
from engine.sim.venue.usdm import UsdmForm
from tests.support.loopback import until

# No conversation takes longer, whatever goes wrong.
WAIT_S = 120
SWAP = "BTC/USDT:USDT"
VERSIONS = {"": "v1", "V2": "v2", "V3": "v3"}


class LocalUsdm(ccxt.pro.binanceusdm):
    """Stock but for one thing: its error tables are keyed by the production host."""

    def get_exceptions_by_url(self, url, kind):
        return self.safe_dict(self.safe_dict(self.exceptions, "linear", {}), kind, {})


def client(server, key="key", secret="sek"):
    host = f"127.0.0.1:{server.port}"
    api = {
        f"fapi{side}{name}": f"http://{host}/fapi/{v}" for side in ("Public", "Private") for name, v in VERSIONS.items()
    }
    return LocalUsdm({
        "apiKey": key, "secret": secret, "enableRateLimit": False,
        "options": {"fetchCurrencies": False, "fetchMargins": False,
                    "watchPositions": {"fetchPositionsSnapshot": False}},
        "urls": {"api": api | {"ws": {"future": f"ws://{host}/ws", "ws-api": {"future": f"ws://{host}/ws-fapi/v1"}}}},
    })  # fmt: skip


class Crowd:
    """Bids below 60,000 and asks above it, one dollar and 0.1 BTC apart; `trade` moves the last price."""

    def __init__(self, exchange):
        self.exchange, self.number = exchange, 0
        exchange.market("BTCUSDT").book.set_last(600_000)
        for i in range(20):
            self.order("buy", 59_999 - i, 100)
            self.order("sell", 60_001 + i, 100)

    def order(self, side, px, lots):
        self.number += 1
        book = self.exchange.market("BTCUSDT").book
        assert not book.submit(
            10**12 + self.number, owner=0, sell=side == "sell", type=0, px_ticks=10 * px, qty_lots=lots
        )
        self.exchange.absorb("BTCUSDT")


def session(body):
    async def main():
        exchange = Exchange(default_perpetuals(), now_ns=utc_ns())
        crowd = Crowd(exchange)
        server = VenueServer(exchange, clock=utc_ns, tick_ns=10_000_000, form=UsdmForm(exchange))
        server.add_account("key", secret="sek", deposits={"USDT": 10**5 * E8})
        async with server:
            ex = client(server)
            try:
                await asyncio.wait_for(body(ex, server, crowd), WAIT_S)
            finally:
                await ex.close()
        assert server.errors[404] == 0, "a call that the venue does not have"
        exchange.check()

    asyncio.run(main())


def test_markets_book_tickers_funding_and_tiers_are_read():
    async def body(ex, server, crowd):
        market = (await ex.load_markets())[SWAP]
        assert (market["precision"]["price"], market["precision"]["amount"], market["linear"]) == (0.1, 0.001, True)
        book = await ex.fetch_order_book(SWAP)
        assert (book["bids"][0], book["asks"][0]) == ([59_999.0, 0.1], [60_001.0, 0.1])
        await ex.create_order(SWAP, "market", "buy", 0.05)
        assert (await ex.fetch_ticker(SWAP))["last"] == 60_001.0
        assert [t["price"] for t in await ex.fetch_trades(SWAP)] == [60_001.0]
        assert [k[4:] for k in await ex.fetch_ohlcv(SWAP, "1m")] == [[60_001.0, 0.05]]
        rate = await ex.fetch_funding_rate(SWAP)
        assert (rate["fundingRate"], rate["markPrice"]) == (0.0001, 60_000.0)
        tiers = (await ex.fetch_leverage_tiers([SWAP]))[SWAP]
        assert (tiers[0]["maxLeverage"], tiers[0]["maintenanceMarginRate"]) == (125, 0.004)
        assert (await ex.fetch_trading_fee(SWAP))["taker"] == 0.0005

    session(body)


@pytest.mark.parametrize(
    ("kind", "side", "amount", "price", "params", "status"),
    [
        ("limit", "buy", 0.01, 59_000, {}, "open"),
        ("limit", "buy", 0.01, 60_100, {"timeInForce": "IOC"}, "closed"),
        ("limit", "buy", 0.01, 59_000, {"timeInForce": "FOK"}, "expired"),
        ("limit", "sell", 0.01, 61_000, {"postOnly": True}, "open"),
        ("market", "sell", 0.01, None, {}, "closed"),
    ],
)
def test_every_kind_of_order_is_placed_fetched_and_canceled(kind, side, amount, price, params, status):
    async def body(ex, server, crowd):
        order = await ex.create_order(SWAP, kind, side, amount, price, params)
        seen = await ex.fetch_order(order["id"], SWAP)
        assert (seen["status"], seen["side"], seen["amount"]) == (status, side, amount)
        assert [o["id"] for o in await ex.fetch_open_orders(SWAP)] == [order["id"]] * (status == "open")
        if status == "open":
            edited = await ex.edit_order(order["id"], SWAP, kind, side, 2 * amount, price)
            assert (edited["id"], edited["amount"]) == (order["id"], 2 * amount)
            assert (await ex.cancel_order(order["id"], SWAP))["status"] == "canceled"
        assert (await ex.fetch_orders(SWAP))[-1]["id"] == order["id"]
        trades = await ex.fetch_my_trades(SWAP)
        assert sum(t["amount"] for t in trades) == (amount if status == "closed" else 0)

    session(body)


@pytest.mark.parametrize(
    ("kind", "price", "params"),
    [
        ("STOP_MARKET", None, {"stopPrice": 59_500}),
        ("STOP", 59_400, {"stopPrice": 59_500}),
        ("TAKE_PROFIT_MARKET", None, {"stopPrice": 60_500}),
        ("TAKE_PROFIT", 60_500, {"stopPrice": 60_500}),
        ("TRAILING_STOP_MARKET", None, {"callbackRate": 1.0}),
    ],
)
def test_every_conditional_order_rests_at_its_service(kind, price, params):
    async def body(ex, server, crowd):
        order = await ex.create_order(SWAP, kind, "sell", 0.01, price, params)
        by = {"trigger": True}
        assert await ex.fetch_open_orders(SWAP) == []
        assert [o["id"] for o in await ex.fetch_open_orders(SWAP, params=by)] == [order["id"]]
        seen = await ex.fetch_order(order["id"], SWAP, by)
        assert (seen["status"], seen["side"], seen["amount"]) == ("open", "sell", 0.01)
        await ex.cancel_order(order["id"], SWAP, by)
        assert await ex.fetch_open_orders(SWAP, params=by) == []
        assert (await ex.fetch_order(order["id"], SWAP, by))["status"] == "canceled"

    session(body)


def test_a_stop_that_is_touched_becomes_an_order_and_closes_the_position():
    async def body(ex, server, crowd):
        await ex.create_order(SWAP, "market", "buy", 0.05)
        stop = await ex.create_order(
            SWAP, "STOP_MARKET", "sell", None, None, {"stopPrice": 59_990, "closePosition": True}
        )
        crowd.order("sell", 59_990, 900 + 50)  # through the bids down to the stop
        number = None
        while number is None:
            row = await ex.fapiPrivateGetAlgoOrder({"algoId": stop["id"]})
            number = row["actualOrderId"] or None
        await until(lambda: server.exchange.bank.accounts[1].positions["BTCUSDT"].lots == 0)
        assert (await ex.fetch_order(number, SWAP))["status"] == "closed"
        assert await ex.fetch_positions([SWAP]) == []

    session(body)


def test_positions_balances_settings_and_batches_to_the_last_unit():
    async def body(ex, server, crowd):
        await ex.set_leverage(20, SWAP)
        assert (await ex.fetch_leverages([SWAP]))[SWAP]["longLeverage"] == 20
        assert (await ex.fetch_position_mode())["hedged"] is False
        await ex.create_order(SWAP, "market", "sell", 0.15)
        (position,) = await ex.fetch_positions([SWAP])
        # 0.1 at 59,999 and 0.05 at 59,998
        assert (position["side"], position["contracts"]) == ("short", 0.15)
        assert position["entryPrice"] == pytest.approx(59_998.66666666)
        fee = (0.1 * 59_999 + 0.05 * 59_998) * 0.0005
        balance = await ex.fetch_balance()
        assert balance["USDT"]["total"] == pytest.approx(10**5 - fee + position["unrealizedPnl"], abs=2e-8)
        await ex.create_order(SWAP, "market", "buy", 0.15, None, {"reduceOnly": True})
        assert await ex.fetch_positions([SWAP]) == []
        made = await ex.create_orders(
            [{"symbol": SWAP, "type": "limit", "side": "buy", "amount": 0.01, "price": px} for px in (59_000, 58_000)]
        )
        assert [o["price"] for o in made] == [59_000, 58_000]
        await ex.cancel_orders([o["id"] for o in made], SWAP)
        assert await ex.fetch_open_orders(SWAP) == []

    session(body)


def test_errors_are_ccxts_own_classes():
    async def body(ex, server, crowd):
        with pytest.raises(ccxt.OrderImmediatelyFillable):
            await ex.create_order(SWAP, "STOP_MARKET", "sell", 0.01, None, {"stopPrice": 61_000})
        with pytest.raises(ccxt.InvalidOrder):
            await ex.create_order(SWAP, "limit", "buy", 0.01, 61_000, {"postOnly": True})
        with pytest.raises(ccxt.OrderNotFound):
            await ex.cancel_order("4711", SWAP)
        with pytest.raises(ccxt.InvalidOrder):
            await ex.create_order(SWAP, "limit", "buy", 0.001, 1_000)

    session(body)


def test_streams_tell_book_trades_marks_orders_balances_and_positions():
    async def body(ex, server, crowd):
        await ex.load_markets()
        book = await ex.watch_order_book(SWAP)
        assert book["bids"][0][0] == 59_999.0
        orders = asyncio.create_task(ex.watch_orders(SWAP))
        positions = asyncio.create_task(ex.watch_positions([SWAP]))
        await until(lambda: any(socket.listens for socket in server._sockets))
        trades = asyncio.create_task(ex.watch_trades(SWAP))
        await until(lambda: any("btcusdt@trade" in socket.streams for socket in server._sockets))
        order = await ex.create_order_ws(SWAP, "limit", "buy", 0.01, 60_001)
        assert (await orders)[0]["id"] == order["id"]
        assert [t["price"] for t in await trades] == [60_001.0]
        assert [(p["side"], p["contracts"]) for p in await positions] == [("long", 0.01)]
        assert (await ex.watch_mark_price(SWAP))["markPrice"] > 0
        assert (await ex.fetch_balance_ws())["USDT"]["total"] == pytest.approx(10**5 - 60_001 * 0.01 * 0.0005)

    session(body)

"""Perpetuals through ccxt: what an unmodified client says of an account is what the native protocol says, to the unit.

The account is traded at the served venue and asked for twice, natively and through the bridge. Contracts that are not
of one unit of the base asset, and wallets of other exchanges, are answers in their public form from a server here.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("ccxt", reason="ccxt is an extra: pip install bot4[ccxt]")

from engine._core.breaker import Breakers
from engine._core.clock import utc_ns
from engine._core.types import INTENT, LEVEL, Flag, Kind
from engine.errors import InstrumentRefused, VenueNotSupported, VenueUnsure
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.net.clocksync import ClockSync
from engine.net.http import HttpClient
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.instruments import E8, default_perpetuals
from engine.sim.venue.server import VenueServer
from engine.sim.venue.usdm import UsdmForm
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.ids import client_id
from engine.venues.binance.info import counts_of_headers
from engine.venues.binance.sign import HmacSigner
from engine.venues.bridge_thread import BridgeThread
from engine.venues.ccxt_bridge import CcxtBridge
from engine.venues.ccxt_linear import CcxtLinear, require_linear
from engine.venues.ccxt_open import instrument_of, open_ccxt
from engine.venues.directory import Assets, Directory
from engine.venues.outcome import Outcome
from engine.venues.terms import REDUCE_ONLY
from tests.integration.test_venue_account import Server
from tests.integration.test_venue_ccxt_usdm import Crowd

BUDGET = [Limit(LimitKind.WEIGHT, 60 * SECOND, 10**6), Limit(LimitKind.ORDERS, 10 * SECOND, 10**6)]
MARKET = {
    "swap": True, "linear": True, "type": "swap", "base": "BTC", "quote": "USDT", "settle": "USDT", "active": True,
    "contractSize": 0.01, "maker": 0.0002, "taker": 0.0005, "precision": {"price": 0.1, "amount": 0.1},
    "limits": {"amount": {"min": 0.1, "max": 10000}, "price": {}, "cost": {}},
}  # fmt: skip


@contextmanager
def account_at(exchange, market, symbol, events=None):
    """A bridge on its thread with one perpetual, and its account."""
    assets = Assets()
    for name in ("USDT", "BTC"):
        assets.add(name)
    breakers, thread = Breakers(count_max=2), BridgeThread()
    breakers.declare("bridge")
    directory = Directory([instrument_of(market, 0, "BTCUSDT", 4)] if market else (), assets)
    bridge = CcxtBridge(
        exchange, directory, {"BTCUSDT": symbol}, budget=RateBudget(BUDGET), breaker=breakers["bridge"],
        deliver=(events if events is not None else []).append,
    )  # fmt: skip
    try:
        yield CcxtLinear(bridge, thread, ClockSync(), since_ns=utc_ns())
    finally:
        thread.run(bridge.close())
        thread.close()


def intent(**fields):
    out = np.zeros(1, INTENT)
    values = {"kind": Kind.KIND_INTENT_PLACE, "id_order": 7, "token": 1, "qty_lots": 50} | fields
    for name, value in values.items():
        out[name] = value
    return out


def at_the_venue(body):
    """A served venue of perpetuals whose funding is due by hand, the account through ccxt, and natively."""

    async def main():
        venue = Exchange(default_perpetuals(), now_ns=utc_ns())
        crowd, form = Crowd(venue), UsdmForm(venue)
        server = VenueServer(venue, clock=utc_ns, tick_ns=10_000_000, form=form)
        server.add_account("key", secret="sek", deposits={"USDT": 10**5 * E8})
        async with server:
            at = f"127.0.0.1:{server.port}"
            exchange = open_ccxt("binanceusdm", key="key", secret="sek", rest=f"http://{at}", stream=f"ws://{at}",
                                 api=f"ws://{at}", linear=True)  # fmt: skip
            require_linear(exchange)
            clock = ClockSync()
            with account_at(exchange, None, "BTC/USDT:USDT") as bridged:
                assert await bridged.measure_clock()
                (found,) = (await bridged.listed(["BTCUSDT"])).values()
                bridged.bridge.directory.add(found)
                http = HttpClient(f"http://{at}", RateBudget(BUDGET), counts_of=counts_of_headers)
                native = BinanceAccount("usdm", http, HmacSigner("key", b"sek"), bridged.bridge.directory, clock)
                await native.measure_clock()
                try:
                    await body(bridged, native, server, crowd)
                finally:
                    await native.close()
        venue.check()

    asyncio.run(asyncio.wait_for(main(), 120))


async def act(bridged, **fields):
    return await bridged.thread.ask(bridged.bridge.act(intent(**fields)))


def test_positions_wallet_costs_entries_and_funding_are_those_of_the_native_protocol():
    async def body(bridged, native, server, crowd):
        for sell, lots in ((True, 150), (False, 230), (True, 7)):
            number = lots + int(sell)
            done = await act(
                bridged, id_order=number, qty_lots=lots, terms=1 << 16, flags=Flag.FLAG_SELL if sell else 0
            )
            assert done.outcome is Outcome.DONE
            # The mark moves away from what was paid: wallet, profit and value differ.
            crowd.order("buy", 60_001 + 2 * lots // 100, 30)
            assert await bridged.held() == await native.held()
            assert bridged.entry_px_e8 == native.entry_px_e8
            assert await bridged.balances() == await native.balances()
        lots, costs = await bridged.held()
        assert lots == {0: 73}
        assert costs[0] % 10**8
        before = server.exchange.now_ns
        for symbol in ("BTCUSDT", "ETHUSDT"):
            server.form._settle(server.exchange.market(symbol))
        server.form._settle(server.exchange.market("BTCUSDT"))
        paid = await bridged.funding_since(before)
        assert len(paid) == 2
        assert sorted(paid) == sorted(await native.funding_since(before))
        assert await bridged.balances() == await native.balances()

    at_the_venue(body)


def test_fees_margin_and_leverage_are_those_of_the_native_protocol():
    async def body(bridged, native, server, crowd):
        ex = bridged.bridge.exchange
        await bridged.thread.ask(ex.set_leverage(17, "BTC/USDT:USDT"))
        assert (await bridged.settings()).margins == {"BTCUSDT": ("cross", 17)}
        assert (await native.settings()).margins == {"BTCUSDT": ("CROSSED", 17)}
        assert not (await bridged.settings()).why_not({"BTCUSDT": 10**6 // 17 + 1})
        assert "leverage 17" in (await bridged.settings()).why_not({"BTCUSDT": 10**6 // 17})
        assert await bridged.fees("BTCUSDT") == await native.fees("BTCUSDT")
        await bridged.thread.ask(ex.set_margin_mode("isolated", "BTC/USDT:USDT"))
        assert "isolated" in (await bridged.settings()).why_not({"BTCUSDT": 10**6})
        await bridged.thread.ask(ex.set_position_mode(True))
        assert "hedge" in (await bridged.settings()).why_not({"BTCUSDT": 10**6})

    at_the_venue(body)


def test_a_reduce_only_order_never_opens_and_its_refusal_is_certain():
    async def body(bridged, native, server, crowd):
        reduce_only = REDUCE_ONLY << 32 | 1 << 16
        said = await act(bridged, id_order=1, qty_lots=20, terms=reduce_only, flags=Flag.FLAG_SELL)
        assert (said.outcome, (await native.held())[0]) == (Outcome.REJECTED, {})
        await act(bridged, id_order=2, qty_lots=20, terms=1 << 16)
        for number, lots, outcome in ((3, 50, Outcome.REJECTED), (4, 20, Outcome.DONE)):
            said = await act(bridged, id_order=number, qty_lots=lots, terms=reduce_only, flags=Flag.FLAG_SELL)
            assert said.outcome is outcome
        assert (await bridged.held())[0] == {0: 0}
        assert server.keys["key"].account.positions["BTCUSDT"].lots == 0

    at_the_venue(body)


# ----------------------------------------------------------------------------------------- what is not of one unit
def test_contracts_are_counted_in_lots_of_the_base_asset():
    found = instrument_of(MARKET, 3, "BTCUSDT", 4)
    assert (found.qty_step, found.contract_step, found.linear) == ("0.001", "0.1", True)
    assert (found.qty_min_lots, found.qty_max_lots) == (1, 100_000)
    assert (found.contract_lots("2.5"), found.lots("0.025"), found.lot_e8) == (25, 25, 100_000)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"linear": False}, VenueNotSupported, "swap; .* settled in quote"),
        ({"settle": "BTC"}, VenueNotSupported, "settled in quote"),
        ({"swap": False, "type": "future"}, VenueNotSupported, "future; "),
        ({"contractSize": None}, InstrumentRefused, "what a contract is of"),
        ({"contractSize": -1}, InstrumentRefused, "what a contract is of"),
    ],
)
def test_a_contract_that_cannot_be_counted_is_refused_by_name(changes, error, said):
    with pytest.raises(error, match=said):
        instrument_of(MARKET | changes, 0, "BTCUSDT", 4)


def test_a_contract_whose_size_changes_stops_trading():
    directory = Directory([instrument_of(MARKET, 0, "BTCUSDT", 4)])
    other = instrument_of(MARKET | {"contractSize": 0.1, "precision": {"price": 0.1, "amount": 0.01}}, 0, "BTCUSDT", 4)
    assert other.qty_step == directory.find("BTCUSDT").qty_step
    assert directory.refresh({"BTCUSDT": other}) == ["BTCUSDT"]
    assert not directory.find("BTCUSDT").trading
    assert directory.find("BTCUSDT").contract_step == "0.1"


SWAP = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "instFamily": "BTC-USDT", "settleCcy": "USDT",
    "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "ctType": "linear", "lever": "100", "tickSz": "0.1",
    "lotSz": "0.1", "minSz": "0.1", "maxLmtSz": "10000", "maxMktSz": "10000", "state": "live", "baseCcy": "",
    "quoteCcy": "", "category": "1", "listTime": "1600000000000", "expTime": "", "optType": "", "stk": "",
}  # fmt: skip
HELD = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "mgnMode": "cross", "posSide": "net", "pos": "-2.5",
    "avgPx": "60000.1", "upl": "1.5", "notionalUsd": "1500", "lever": "20", "ccy": "USDT", "markPx": "59940",
    "uTime": "1700000000000",
    "cTime": "1700000000000", "posId": "1", "margin": "", "imr": "75", "mmr": "6", "liqPx": "", "mgnRatio": "100",
}  # fmt: skip


def okx(data):
    return {"code": "0", "msg": "", "data": data}


BALANCE = [{"details": [{"ccy": "USDT", "cashBal": "1000.25", "eq": "1001.75", "availEq": "900", "frozenBal": "0"},
                        {"ccy": "SHIB", "cashBal": "7", "eq": "7", "availEq": "7", "frozenBal": "0"}]}]  # fmt: skip


@contextmanager
def at_okx(**answers):
    """ccxt's OKX, every address of it moved to a server on this machine."""
    table = {
        "GET /api/v5/public/instruments": okx([SWAP]), "GET /api/v5/account/positions": okx([HELD]),
        "GET /api/v5/account/balance": okx(BALANCE), "GET /api/v5/asset/currencies": okx([]),
    } | answers  # fmt: skip
    with Server(table) as server:
        at, events = f"127.0.0.1:{server.port}", []
        exchange = open_ccxt("okx", key="k", secret="s", password="p", rest=f"http://{at}", stream=f"ws://{at}",
                             linear=True)  # fmt: skip
        require_linear(exchange)
        with account_at(exchange, None, "BTC/USDT:USDT", events) as account:
            (found,) = asyncio.run(account.listed(["BTCUSDT"])).values()
            account.bridge.directory.add(found)
            yield account, server, events


def test_an_exchange_of_small_contracts_is_held_and_asked_in_lots():
    with at_okx() as (account, _, events):
        assert account.bridge.directory.find("BTCUSDT").row() == ("BTCUSDT", 0, "0.1", "0.001")
        lots, costs = asyncio.run(account.held())
        # Value and profit are not said of one mark there: what it cost is not known to the unit, and is not said.
        assert (lots, costs, account.entry_px_e8) == ({0: -25}, {}, {0: 6_000_010_000_000})
        assert asyncio.run(account.balances()) == {0: 100_025_000_000}
        image = account.bridge.book(account.bridge.directory.at(0), {"bids": [[60_000.1, 2.5]], "asks": []})
        assert image.view(LEVEL)["qty_lots"].tolist() == [25]
        assert events == []


def test_an_amount_leaves_in_contracts():
    placed = okx([{"ordId": "312", "clOrdId": "", "sCode": "0", "sMsg": "", "tag": ""}])
    with at_okx(**{"POST /api/v5/trade/batch-orders": placed}) as (account, server, events):
        said = asyncio.run(act(account, px_ticks=600_001, qty_lots=25, terms=REDUCE_ONLY << 32))
        assert said.outcome is Outcome.DONE, said
        (sent,) = json.loads(server.bodies[-1])
        assert (sent["instId"], sent["side"], sent["sz"], sent["px"]) == ("BTC-USDT-SWAP", "buy", "2.5", "60000.1")
        assert (sent["reduceOnly"], sent["tdMode"], sent["clOrdId"]) == (True, "cross", client_id(7))
        assert [int(one["kind"][0]) for one in events] == [Kind.KIND_ORDER_ACK]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"pos": ""}, "cannot be read"), ({"pos": "2.51"}, "cannot be read"), ({"posSide": "both"}, "neither")],
)
def test_a_position_that_cannot_be_read_is_an_error_and_never_nothing(changes, said):
    with (
        at_okx(**{"GET /api/v5/account/positions": okx([HELD | changes])}) as (account, *_),
        pytest.raises(VenueUnsure, match=said),
    ):
        asyncio.run(account.held())


def test_two_positions_of_one_market_are_an_error():
    rows = [HELD, HELD | {"posSide": "long", "pos": "1"}]
    with (
        at_okx(**{"GET /api/v5/account/positions": okx(rows)}) as (account, *_),
        pytest.raises(VenueUnsure, match="two positions"),
    ):
        asyncio.run(account.held())


def test_a_wallet_that_is_not_where_it_was_is_an_error():
    with (
        at_okx(**{"GET /api/v5/account/balance": okx([])}) as (account, *_),
        pytest.raises(VenueUnsure, match="balance of okx"),
    ):
        asyncio.run(account.balances())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bitget", "createReduceOnlyOrder"),
        ("krakenfutures", "fetchFundingHistory"),
        ("gate", "wallet holds is not read"),
    ],
)
def test_an_exchange_that_cannot_say_what_money_depends_on_is_refused_by_name(name, said):
    with pytest.raises(VenueNotSupported, match=f"{name}.*{said}"):
        require_linear(open_ccxt(name, key="k", secret="s", linear=True))


BYBIT_BALANCE = {"list": [{"accountType": "UNIFIED", "totalEquity": "1001.75", "coin": [
    {"coin": "USDT", "walletBalance": "1000.25", "equity": "1001.75", "unrealisedPnl": "1.5"}]}]}  # fmt: skip
LINEAR = {
    "symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT",
    "settleCoin": "USDT", "launchTime": "1585526400000", "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": "2",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {"maxOrderQty": "1190.000", "minOrderQty": "0.001", "qtyStep": "0.001", "minNotionalValue": "5"},
    "unifiedMarginTrade": True, "fundingInterval": 480, "copyTrading": "none", "isPreListing": False,
}  # fmt: skip


def bybit(result):
    return {"retCode": 0, "retMsg": "OK", "result": result, "time": 1_700_000_000_000}


def test_a_wallet_of_another_exchange_is_read_without_open_profit():
    table = {
        "GET /v5/market/instruments-info": bybit({"category": "linear", "list": [LINEAR], "nextPageCursor": ""}),
        "GET /v5/asset/coin/query-info": bybit({"rows": []}),
        "GET /v5/user/query-api": bybit({"unified": 0, "uta": 1}),
        "GET /v5/account/info": bybit({"unifiedMarginStatus": 4, "marginMode": "REGULAR_MARGIN"}),
        "GET /v5/account/wallet-balance": bybit(BYBIT_BALANCE),
    }
    with Server(table) as server:
        at = f"127.0.0.1:{server.port}"
        exchange = open_ccxt("bybit", key="k", secret="s", rest=f"http://{at}", stream=f"ws://{at}", linear=True)
        require_linear(exchange)
        with account_at(exchange, None, "BTC/USDT:USDT") as account:
            (found,) = asyncio.run(account.listed(["BTCUSDT"])).values()
            assert (found.qty_step, found.contract_step) == ("0.001", "0.001")
            assert asyncio.run(account.balances()) == {0: 100_025_000_000}

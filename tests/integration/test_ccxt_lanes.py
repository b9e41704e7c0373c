"""The bridge's data lane: an unmodified ccxt.pro streams from the served venue, is cut, falls back to REST, goes on."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

pytest.importorskip("ccxt", reason="ccxt is an extra: pip install bot4[ccxt]")

import numpy as np

from engine._core.breaker import Breakers
from engine._core.types import INTENT, LEVEL, ORDER, Flag, Kind
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.venues.ccxt_bridge import CcxtBridge
from engine.venues.directory import Directory, Instrument
from tests.integration.test_venue_ccxt import crowd, session
from tests.support.loopback import until


def bridged(exchange, events):
    directory = Directory([Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.00001")])
    breakers = Breakers(count_max=2)
    breakers.declare("bridge")
    budget = RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, 10**6)])
    return CcxtBridge(
        exchange, directory, {"BTCUSDT": "BTC/USDT"}, budget=budget, breaker=breakers["bridge"], deliver=events.append
    )


async def following(bridge, body):
    task = asyncio.create_task(bridge.follow(pause_s=0.02))
    try:
        await body()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def books(events):
    return [e for e in events if e["kind"][0] == Kind.KIND_BOOK_LEVEL]


def fills(events):
    return [e[:1].view(ORDER) for e in events if e["kind"][0] == Kind.KIND_ORDER_FILL]


def test_books_and_own_fills_are_streamed_and_a_cut_stream_is_filled_by_rest():
    async def body(ex, server):
        await ex.load_markets()
        events = []
        bridge = bridged(ex, events)

        async def live():
            await until(lambda: books(events))
            intent = np.zeros(1, INTENT)
            for name, value in {"kind": Kind.KIND_INTENT_PLACE, "id_order": 7, "px_ticks": 5_950_000, "qty_lots": 1000,
                                "token": 1}.items():  # fmt: skip
                intent[name] = value
            await bridge.act(intent)
            crowd(server, "sell", 5_950_000, 2_000_000 + 400, 900)
            await until(lambda: fills(events))
            assert bridge.streamed_count > 0
            polled = bridge.polled_count
            for socket in list(server._sockets):
                socket.cut()
            await until(lambda: bridge.fallback_count > 0 and bridge.polled_count > polled)
            streamed = bridge.streamed_count
            crowd(server, "buy", 5_900_050, 50_000, 901)
            await until(lambda: bridge.streamed_count > streamed)

        await following(bridge, live)
        assert int(fills(events)[0]["id_order"][0]) == 7
        assert bridge.refused_count == 0
        image = books(events)[-1].view(LEVEL)
        asks = image["flags"] & Flag.FLAG_ASK != 0
        assert (np.diff(image["px_ticks"][~asks]) < 0).all()
        assert (np.diff(image["px_ticks"][asks]) > 0).all()

    session(body)


def test_an_exchange_without_streams_is_polled():
    async def body(ex, server):
        await ex.load_markets()
        ex.has["watchOrderBook"] = ex.has["watchMyTrades"] = False
        events = []
        bridge = bridged(ex, events)

        async def live():
            await until(lambda: len(books(events)) >= 3)

        await following(bridge, live)
        assert (bridge.streamed_count, bridge.fallback_count) == (0, 0)
        assert bridge.polled_count >= 3

    session(body)

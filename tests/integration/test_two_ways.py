"""One engine, one market, two ways to a venue: natively and through the ccxt bridge it ends equal to the last unit.

The same core with the same strategy is driven through the same seeded market twice, each time against a served venue
of its own over real sockets: once its intents leave as bytes of the native protocol over the WebSocket API, once as
calls of an unmodified ccxt client. After every move of the market both sides wait until what the venue did with the
orders is told, so both runs see the same world at the same moments; nothing else is held equal.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("ccxt", reason="ccxt is an extra: pip install bot4[ccxt]")

from engine._core.breaker import Breakers
from engine._core.clock import utc_ns
from engine._core.tape import Tape
from engine._core.types import EVENT, INTENT, ORDER, Can, Kind
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.net.transport import make as make_transport
from engine.runtime.build import build_core
from engine.runtime.engine import Engine
from engine.settings.load import load
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.generated import GeneratedMarket
from engine.sim.venue.server import VenueServer
from engine.sim.venue.spot import SpotForm
from engine.sim.venue.usdm import UsdmForm
from engine.venues import levels
from engine.venues.binance import sign
from engine.venues.binance.api import OrderApi
from engine.venues.binance.orders import Form, encoder
from engine.venues.binance.sign import HmacSigner
from engine.venues.binance.user import UserStream
from engine.venues.ccxt_bridge import CcxtBridge
from engine.venues.directory import Assets, Directory
from engine.venues.sender import Sender, SenderConfig
from tests.integration import test_venue_ccxt, test_venue_ccxt_usdm
from tests.support.loopback import (
    HOLDINGS,
    STP,
    TRADED,
    WALKS_OF,
    be_patient,
    instruments_of_venue,
    until,
    write_settings,
)

START = 1_700_000_000 * 10**9
MOVES, MOVE_NS = 140, 100_000_000
SYMBOLS = {"spot": "BTC/USDT", "usdm": "BTC/USDT:USDT"}
ENDED = ("CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH")
INTENTS = (Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_CANCEL)
_RANK = {Kind.KIND_ORDER_ACK: 0, Kind.KIND_ORDER_FILL: 1, Kind.KIND_FEE: 2, Kind.KIND_ORDER_CANCELED: 3}


def make_directory(kind):
    assets = Assets()
    assets.add("USDT")
    assets.add("BTC")
    return Directory(instruments_of_venue(kind), assets)


class Native:
    """Intents as bytes over the WebSocket API; answers and the user stream as they come."""

    def __init__(self, kind, server, deliver):
        self.kind, self.server, self.deliver = kind, server, deliver
        self.directory = make_directory(kind)
        self.user = UserStream(self.directory)
        api = OrderApi(self.directory, self.user)
        orders = encoder(kind, Form.HMAC, self.directory.rows(), api_key="key", secret=b"sek", stp=STP)
        self.sender = Sender(orders, api, RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, 10**9)]),
                             SenderConfig(again_ns=SECOND // 100))  # fmt: skip
        self.connections = []

    async def open(self):
        host, transport = f"ws://127.0.0.1:{self.server.port}", make_transport("picows")
        self.orders = await transport.connect(host + self.server.form.api_path, Lines(self._on_orders))
        self.connections.append(self.orders)
        if self.kind == "spot":
            self.orders.send(sign.subscribe_user(HmacSigner("key", b"sek"), "user", now_ms=utc_ns() // 10**6))
            await until(lambda: any(socket.users for socket in self.server._sockets))
            return
        key = self.server.form.listen("POST", self.server.keys["key"].account)["listenKey"]
        at = f"{host}{self.server.form.user_path}?listenKey={key}"
        self.connections.append(await transport.connect(at, Lines(self._on_user)))

    def _on_orders(self, payload):
        answer = self.sender.on_frame(payload, utc_ns())
        self.deliver(answer.events)

    def _on_user(self, payload):
        self.deliver(self.user.on_frame(payload, utc_ns()))

    async def act(self, intents):
        now = utc_ns()
        out = self.sender.take(intents, now, now, may_place=True)
        assert not out.wait_ns
        self.deliver(out.reports)
        for message in out.messages:
            assert self.orders.send(message)
        await until(self._is_answered)

    def _is_answered(self):
        """An order that a cancel did not find is asked for, as the live driver does."""
        now = utc_ns()
        messages, reports = self.sender.due(now, now)
        self.deliver(reports)
        for message in messages:
            assert self.orders.send(message)
        return not self.sender.under_way and not self.sender.asks

    async def close(self):
        for connection in self.connections:
            connection.close()
            await connection.wait_closed()


class Lines:
    """A handler of messages that keeps nothing else."""

    def __init__(self, take):
        self.take = take

    def on_open(self, connection):
        """Whoever connects waits for it there."""

    def on_message(self, connection, payload, ts_recv_ns):
        self.take(payload)

    def on_alive(self, connection, ts_recv_ns):
        """No test here is as long as a silence that would matter."""

    def on_close(self, connection, reason):
        """The end of the test."""


class Bridged:
    """Intents through the bridge; fills from what ccxt watches."""

    def __init__(self, kind, server, deliver):
        self.kind, self.server, self.deliver = kind, server, deliver

    async def open(self):
        exchange = (test_venue_ccxt if self.kind == "spot" else test_venue_ccxt_usdm).client(self.server)
        breakers = Breakers(count_max=2)
        breakers.declare("bridge")
        self.bridge = CcxtBridge(
            exchange, make_directory(self.kind), {"BTCUSDT": SYMBOLS[self.kind]},
            budget=RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, 10**9)]), breaker=breakers["bridge"],
            deliver=self.deliver,
        )  # fmt: skip
        await self.bridge.exchange.load_markets()
        self.following = asyncio.create_task(self.bridge.follow(pause_s=0.02))
        await until(lambda: self.bridge.streamed_count > 0)

    async def act(self, intents):
        for at in range(len(intents)):
            await self.bridge.act(intents[at : at + 1].view(INTENT))

    async def close(self):
        self.following.cancel()
        await asyncio.gather(self.following, return_exceptions=True)
        await self.bridge.close()


class Run:
    """One engine at one venue."""

    def __init__(self, folder, kind, way):
        self.kind = kind
        self.exchange = Exchange(TRADED[kind]()[:1], now_ns=utc_ns())
        self.market = GeneratedMarket(self.exchange, seed=11, start_ns=START, walks=WALKS_OF[kind])
        form = UsdmForm(self.exchange) if kind == "usdm" else SpotForm(self.exchange)
        self.server = VenueServer(self.exchange, clock=utc_ns, tick_ns=2_000_000, form=form)
        deposits = {"USDT": 10**6 * 10**8} | ({"BTC": 10 * 10**8} if kind == "spot" else {})
        self.account = self.server.add_account("key", secret="sek", deposits=deposits)
        self.server.limits.weight_max = self.server.limits.orders_10s_max = 10**9
        folder.mkdir()
        settings = load([write_settings(folder, 1, kind)], environ={}).settings
        held = HOLDINGS if kind == "spot" else {0: HOLDINGS[0]}
        core = build_core(settings, holdings=held, disciplined=False, book=(4096, 1024))
        be_patient(core)
        row = settings.instruments["BTCUSDT"]
        # What both ways have: an order changes by a cancel and another one.
        can = Can.CAN_MARKET | Can.CAN_IOC | Can.CAN_FOK | Can.CAN_POST
        core.world.set_instrument(
            0, linear=int(kind == "usdm"), cash_only=int(kind == "spot"), can=int(can), fees_age_ns=0, **row.core()
        )
        self.tape = Tape(folder / "tape.b4", capacity=1 << 20, write=True)
        self.engine = Engine(core, self.tape, self, now_ns=START)
        self.intents, self.told, self.sent = [], [], 0
        self.filled, self.over, self.said = set(), set(), set()
        self.way = way(kind, self.server, self._heard)

    # the engine's exchange: intents are kept until the step is over
    def poll(self, until_ns):
        return np.zeros(0, EVENT)

    def submit(self, outputs):
        self.intents.append(outputs[np.isin(outputs["kind"], INTENTS)].copy())

    def _heard(self, events):
        for at in range(len(events)):
            event = events[at : at + 1].copy()
            row, kind = event.view(ORDER)[0], int(event["kind"][0])
            if kind not in (*_RANK, Kind.KIND_ORDER_REJECTED, Kind.KIND_ORDER_EXPIRED):
                continue
            # One number of one trade, one fee, one answer of a kind: what is said twice is the same.
            words = event["word"][0].tolist()
            number = {Kind.KIND_ORDER_FILL: (int(row["id_venue"]),), Kind.KIND_FEE: tuple(words)}.get(kind, ())
            key = (kind, int(row["id_order"]), number)
            if kind == Kind.KIND_ORDER_FILL:
                self.filled.add(int(row["id_venue"]))
            elif kind in (Kind.KIND_ORDER_CANCELED, Kind.KIND_ORDER_REJECTED, Kind.KIND_ORDER_EXPIRED):
                self.over.add(int(row["id_order"]))
            self.told.append((key, event))

    def _is_told(self):
        """Whether everything that the venue did has been heard."""
        trades = {e.trade_id for e in self.exchange.executions.get(self.account.owner, ())}
        ours = [o for o in self.exchange.orders.values() if o.owner == self.account.owner]
        ended = {int(o.client_id[2:], 16) for o in ours if o.status in ENDED}
        return trades <= self.filled and ended <= self.over

    def _reports(self, now):
        """What was heard, once each and in an order of its own; said at this moment of the market."""
        told, self.told = {key: event for key, event in self.told if key not in self.said}, []
        self.said |= told.keys()
        # Fills in the order of their trades, each fee behind them in the same; whatever else by its order.
        place = {Kind.KIND_ORDER_FILL: lambda key: key[2][0], Kind.KIND_FEE: lambda key: key[2][1]}
        rows = sorted(
            told.items(),
            key=lambda item: (_RANK.get(item[0][0], 3), place.get(item[0][0], lambda key: key[1])(item[0]), item[0]),
        )
        out = np.concatenate([event for _, event in rows]) if rows else np.zeros(0, EVENT)
        out["ts_recv_ns"] = now
        out["ts_venue_ns"] = now
        return out

    async def live(self):
        async with self.server:
            await self.way.open()
            for move in range(1, MOVES + 1):
                now = START + move * MOVE_NS
                self.market.advance(now)
                await self._settle(now)
                # As it stands: what the venue publishes of it comes with the clock's ticks.
                bids, asks = (self.exchange.market("BTCUSDT").book.depth(sell, 40) for sell in (False, True))
                image = levels.message(0, bids, asks, ts_venue_ns=now, ts_recv_ns=now, id_last=move, snapshot=True)
                self.engine.take(image)
                self.engine.advance(now)
                await self._settle(now)
            await self.way.close()
        self.tape.close()
        self.exchange.check()

    async def _settle(self, now):
        """Until nothing is on its way in either direction."""
        while True:
            intents, self.intents = self.intents, []
            if intents and sum(map(len, intents)):
                self.sent += sum(map(len, intents))
                await self.way.act(np.concatenate(intents))
            await until(self._is_told)
            reports = self._reports(now)
            if not len(reports) and not any(map(len, self.intents)):
                return
            if len(reports):
                self.engine.take(reports)

    def ends(self):
        world = self.engine.core.world
        lots = int(world.positions()["lots"][0])
        theirs = sorted(
            (e.px, e.lots, e.order.terms.sell, e.maker) for e in self.exchange.executions[self.account.owner]
        )
        cash = [int(world.assets()["balance"][asset][0]) for asset in range(2 if self.kind == "spot" else 1)]
        return lots, cash, theirs


@pytest.mark.parametrize("kind", ["spot", "usdm"])
def test_natively_and_through_ccxt_the_engine_ends_with_the_same_position_and_money(tmp_path, kind):
    runs = {}
    for way in (Native, Bridged):
        run = runs[way] = Run(tmp_path / way.__name__, kind, way)
        asyncio.run(asyncio.wait_for(run.live(), 300))
        lots, cash, theirs = run.ends()
        assert len(theirs) > 20
        assert lots == sum(-amount if sell else amount for _, amount, sell, _ in theirs)
        balances = run.account.balances
        for asset, name in enumerate(("USDT", "BTC") if kind == "spot" else ("USDT",)):
            assert cash[asset] == balances[name].free + balances[name].locked, name
    assert runs[Native].ends() == runs[Bridged].ends()
    assert runs[Native].sent == runs[Bridged].sent

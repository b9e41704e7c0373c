"""The live driver's own cost: from the transport's callback to its write call.

Everything is the driver that trades: parser, merge, book procedure, core with its tape, encoder, budget. Only a socket
is missing: what would be written ends in a list. The quoter places a bid and an ask at each depth message, so each
sample of the first figure has two signed orders in it. Between samples, outside the clock, both are acknowledged and
cancelled.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.harness import Report, sized
from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import EVENT, ORDER, Flag, Kind
from engine._core.world import World
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.net.clocksync import ClockSync
from engine.net.http import HttpClient
from engine.net.transport import make as make_transport
from engine.runtime.engine import Engine
from engine.runtime.live import LiveConfig, LiveExchange
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS
from engine.strategy import registry
from engine.strategy.cache import Cache
from engine.venues.binance import info, market
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.orders import Form, encoder
from engine.venues.binance.sign import HmacSigner
from engine.venues.directory import Directory, Instrument
from engine.venues.driver import Light

BTC = Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.001")
WAYS = 256


class Wire:
    """Where a socket would be."""

    is_open = True

    def __init__(self) -> None:
        self.messages: list[bytes | bytearray | memoryview] = []

    def send(self, message: bytes | bytearray | memoryview) -> bool:
        self.messages.append(message)
        return True

    def ping(self) -> None:
        raise AssertionError("nobody pings a bench")

    def close(self) -> None:
        self.is_open = False

    async def wait_closed(self) -> None:
        """Nothing to wait for."""


def quoting_core() -> Core:
    """One market with its book, and the quoter on it."""
    world = World(symbols=1, strategies=1, orders=64, seed=7, book_levels=1024, book_ticks=1024)
    world.set_instrument(0, **INSTRUMENT)
    world.set_book(0, rule=1, quotes=2)
    world.set_gate_symbol(0, **GATE_SYMBOL)
    world.set_account(**ACCOUNT)
    world.set_limits(**LIMITS)
    core, cache = Core(world), Cache()
    registry.build("strategies.quoter", cache)
    registry.bind(core, 0, registry.Placement("strategies.quoter", 0), cache=cache)
    return core


def driver(folder: Path, form: Form, url: str = "ws://127.0.0.1:1") -> tuple[LiveExchange, Engine]:
    """The live driver with every light green and nothing connected yet."""
    directory, clock, signer = Directory([BTC]), ClockSync(), HmacSigner("key", b"s" * 64)
    now = time.time_ns()
    clock.sample(now, now, now)
    budget = RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, 10**12), Limit(LimitKind.ORDERS, 10 * SECOND, 10**12)])
    http = HttpClient("http://127.0.0.1:1", budget, counts_of=info.counts_of_headers)
    orders = encoder("spot", form, directory.rows(), api_key="key" * 20, secret=b"s" * 64)
    live = LiveExchange(
        LiveConfig(market.Endpoints(url, "", url, "http://127.0.0.1:1")), directory,
        signer, orders, BinanceAccount("spot", http, signer, directory, clock), make_transport("picows"),
    )  # fmt: skip
    core = quoting_core()
    engine = Engine(core, Tape(folder / f"{form.value}.b4", capacity=1 << 21, write=True), live, now_ns=now)
    live.join(engine)
    for light in Light:
        live.gate.green(light)
    live.gate.book(0, whole=True)
    return live, engine


def _on_wire(folder: Path, form: Form) -> tuple[LiveExchange, Engine, Wire]:
    live, engine = driver(folder, form)
    wire = Wire()
    live.lines._orders = live.lines._users = [wire]
    return live, engine, wire


def depth_frame(px: int, places: int, rng: random.Random, head: dict[str, object]) -> bytes:
    """A depth message of 20 + 20 levels whose best bid is `px` ticks; what the touch may have left is deleted, as the
    venue does."""
    unit = 10**places
    bids = [[f"{(px + 1) / unit:.2f}", "0.000"]] + [
        [f"{(px - k) / unit:.2f}", f"{1 + rng.random() * 8:.3f}"] for k in range(19)
    ]
    asks = [[f"{px / unit:.2f}", "0.000"]] + [
        [f"{(px + 1 + k) / unit:.2f}", f"{1 + rng.random() * 8:.3f}"] for k in range(19)
    ]
    message = {"stream": "btcusdt@depth@100ms", "data": head | {"b": bids, "a": asks}}
    return json.dumps(message, separators=(",", ":")).encode()


def market_frames(count: int, first: int) -> list[bytes]:
    """Depth messages whose touch wanders and whose book never crosses."""
    rng, out, px = random.Random(11), [], 5_000_000
    for n in range(first, first + count):
        head = {"e": "depthUpdate", "E": time.time_ns() // 10**6, "s": "BTCUSDT", "U": n, "u": n}
        out.append(depth_frame(px, 2, rng, head))
        px += rng.choice([-1, 0, 1])
    return out


def image(live: LiveExchange, first: int) -> None:
    body = {"lastUpdateId": first - 1, "bids": [["49990.00", "1.000"]], "asks": [["50010.00", "1.000"]]}
    live.feed.on_frame(market_frames(1, first)[0], 1)
    assert live.image(0, json.dumps(body).encode(), time.time_ns())


def settle(engine: Engine, live: LiveExchange) -> None:
    for row in engine.core.world.live_orders():
        for kind in (Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_CANCELED):
            event = np.zeros(1, EVENT)
            event["kind"], event["ts_recv_ns"] = kind, time.time_ns()
            event["flags"] = Flag.FLAG_SELL if row["sell"] else 0
            event.view(ORDER)["id_order"] = row["id_order"]
            engine.take(event)
    live.sender.under_way.clear()
    live.sender.placed.clear()


def _callback(form: Form, samples: int) -> tuple[np.ndarray, int]:
    with TemporaryDirectory() as folder:
        live, engine, wire = _on_wire(Path(folder), form)
        image(live, 100)
        settle(engine, live)
        wire.messages.clear()
        out, orders = np.zeros(samples), 0
        # What a connection's listener calls with each of its frames, from compiled code there.
        lane = live._lane
        assert lane is not None
        message = lane.message
        for at, frame in enumerate(market_frames(samples, 101)):
            view, now = memoryview(frame), time.time_ns()
            start = time.perf_counter_ns()
            message(view, now)
            out[at] = time.perf_counter_ns() - start
            orders += len(wire.messages)
            wire.messages.clear()
            settle(engine, live)
            # What the journal's thread does beside the loop: chain what is full, touch the pages ahead.
            engine.tape.turn(sync=False)
        assert orders >= samples, f"{orders} orders of {samples} messages"
        live.sender.encoder.check()
        engine.core.world.check()
        engine.tape.close()
    return out, orders


def test_from_the_callback_to_the_write(report: Report) -> None:
    samples = sized(4_000, 40)
    session, orders = _callback(Form.SESSION, samples)
    signed, orders_signed = _callback(Form.HMAC, samples)
    report.row("tick_to_order_callback", session / 1e3, checksum=orders)
    report.row("tick_to_order_callback_hmac", signed / 1e3, checksum=orders_signed)

"""The short way of a live message and the long one are held against each other: message by message, everything equal.

Two drivers get the same bytes in the same order. One has its lane, the other must do without; whatever a market can
send and whatever can stand in an order's way comes by chance from a seed. Times are each driver's own and are left out.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
import re
import time

import numpy as np
import pytest

from engine._core.step import Core
from engine._core.strategy import StopReason
from engine._core.tape import Tape
from engine._core.types import EVENT, ORDER, Flag, Kind
from engine._core.world import World
from engine.errors import Bot4Error
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.net.clocksync import ClockSync
from engine.net.http import HttpClient
from engine.net.transport import make as make_transport
from engine.runtime.engine import Engine
from engine.runtime.live import LiveConfig, LiveExchange
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS
from engine.strategy import registry
from engine.strategy.cache import Cache
from engine.strategy.meter import Meter
from engine.strategy.registry import Budget
from engine.venues.binance import info, market
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.orders import Form, encoder
from engine.venues.binance.sign import HmacSigner
from engine.venues.directory import Directory, Instrument
from engine.venues.driver import Light

SYMBOLS = [
    Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.001"),
    Instrument("ETHUSDT", 1, "ETH", "USDT", px_step="0.01", qty_step="0.001"),
]
MADE: list[Side] = []  # of the running test
STAMP = re.compile(rb'"timestamp":\d+')


def in_a_loop(test):
    """Within a running loop, that never turns: what a driver would ask the venue for is never asked."""

    @functools.wraps(test)
    def run(**fixtures):
        async def body():
            MADE.clear()
            try:
                test(**fixtures)
            finally:
                for side in MADE:
                    await side.live.care.stopped()
                    await side.live.account.close()

        asyncio.run(body())

    return run


class Wire:
    """A connection that keeps what it is given, and refuses when it is told to."""

    is_open = True

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.refuses = False

    def send(self, message):
        if not self.refuses:
            self.messages.append(STAMP.sub(b"", bytes(message)))
        return not self.refuses

    def ping(self):
        raise AssertionError("nobody pings here")

    def close(self):
        self.is_open = False

    async def wait_closed(self):
        """Nothing to wait for."""


class Side:
    """One driver with everything that it drives."""

    def __init__(
        self, folder, name: str, *, short: bool, orders_most: int, capacity: int = 1 << 15, budget: Budget | None = None
    ) -> None:
        directory, clock, signer = Directory(SYMBOLS), ClockSync(), HmacSigner("key", b"s" * 64)
        now = time.time_ns()
        clock.sample(now, now, now)
        limits = [Limit(LimitKind.WEIGHT, 60 * SECOND, 10**9), Limit(LimitKind.ORDERS, 86_400 * SECOND, orders_most)]
        http = HttpClient("http://127.0.0.1:1", RateBudget(limits), counts_of=info.counts_of_headers)
        url = "ws://127.0.0.1:1"
        self.live = LiveExchange(
            LiveConfig(market.Endpoints(url, "", url, "http://127.0.0.1:1")), directory, signer,
            encoder("spot", Form.SESSION, directory.rows()), BinanceAccount("spot", http, signer, directory, clock),
            make_transport("picows"),
        )  # fmt: skip
        world = World(symbols=2, strategies=2, orders=64, seed=7, book_levels=256, book_ticks=1024)
        world.set_account(**ACCOUNT)
        world.set_limits(**LIMITS)
        core, cache, meter = Core(world), Cache(), Meter() if budget else None
        registry.build("strategies.quoter", cache)
        for instrument in SYMBOLS:
            world.set_instrument(instrument.index, **INSTRUMENT)
            world.set_book(instrument.index, rule=1, quotes=2)
            world.set_gate_symbol(instrument.index, **GATE_SYMBOL)
            placement = registry.Placement("strategies.quoter", instrument.index, budget=budget)
            registry.bind(core, instrument.index, placement, cache=cache, meter=meter)
        tape = Tape(folder / f"{name}.b4", capacity=capacity, write=True)
        self.engine = Engine(core, tape, self.live, now_ns=now, meter=meter)
        self.seen: list[tuple[bool, bytes]] = []
        self.engine.watch(
            lambda events: self.seen.append((True, _timeless(events))),
            lambda events: self.seen.append((False, _timeless(events))),
        )
        self.live.join(self.engine)
        if not short:
            self.live._lane = None
        self.wire = Wire()
        self.live.lines._orders = [self.wire]
        for light in Light:
            self.live.gate.green(light)
        MADE.append(self)

    def state(self):
        live, sender = self.live, self.live.sender
        syncs = {s: (y.state, y.last_id, y.gap_count, y.stale_count) for s, y in live.feed.syncs.items()}
        orders = self.engine.core.world.live_orders()
        return {
            "messages": self.wire.messages, "marks": live.feed.marks.tolist(), "syncs": syncs, "seen": self.seen,
            "held": live.feed.held_quote_count, "refused": live.feed.refused_count, "why": live.gate.why(),
            "under_way": list(sender.under_way), "placed": list(sender.placed), "asks": list(sender.asks),
            "refused_orders": sender.refused_count, "lost": sender.lost_count, "encoder": sender.encoder.counts,
            "used": [w.used for w in live.budget.windows],
            "denied": live.budget.denied_count, "notes": list(live.notes), "queue": len(live.queue),
            "tape": self.engine.tape.count, "parser": live.feed.parser.counters()["frames"],
            "orders": [(int(o["id_order"]), int(o["state"]), int(o["px_ticks"]), int(o["qty_lots"])) for o in orders],
        }  # fmt: skip

    def check(self):
        self.engine.core.world.check()
        self.live.budget.check()
        self.live.sender.encoder.check()

    def settle(self, kinds):
        """The venue's answers to whatever lives, told as its account stream would."""
        for row in self.engine.core.world.live_orders():
            for kind in kinds:
                event = np.zeros(1, EVENT)
                event["kind"], event["symbol"], event["ts_recv_ns"] = kind, row["symbol"], time.time_ns()
                event["flags"] = Flag.FLAG_SELL if row["sell"] else 0
                event.view(ORDER)["id_order"] = row["id_order"]
                self.live.tell(event)


def _timeless(events) -> bytes:
    """Everything of the records but when they were received."""
    kept = events.copy()
    kept["ts_recv_ns"] = 0
    return kept.tobytes()


class Market:
    """What a venue may send, seeded: mostly in order, sometimes not."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.last = {0: 100, 1: 100}
        self.px = {0: 5_000_000, 1: 300_000}

    def _frame(self, symbol: int, stream: str, data: dict) -> bytes:
        text = SYMBOLS[symbol].text
        return json.dumps({"stream": f"{text.lower()}@{stream}", "data": data | {"s": text}}).encode()

    def depth(self, symbol: int, *, skip: int = 0, back: int = 0) -> bytes:
        first = self.last[symbol] + 1 + skip - back
        last = first + self.rng.randint(0, 2)
        if not back:
            self.last[symbol] = last
        px = self.px[symbol]
        self.px[symbol] = px + self.rng.choice([-1, 0, 1])
        bids = [[f"{(px + 1) / 100:.2f}", "0"]] + [[f"{(px - k) / 100:.2f}", f"{k + 1}.000"] for k in range(3)]
        asks = [[f"{px / 100:.2f}", "0"]] + [[f"{(px + 1 + k) / 100:.2f}", f"{k + 1}.000"] for k in range(3)]
        data = {"e": "depthUpdate", "E": time.time_ns() // 10**6, "U": first, "u": last, "b": bids, "a": asks}
        return self._frame(symbol, "depth@100ms", data)

    def quote(self, symbol: int, *, old: bool) -> bytes:
        number, px = self.last[symbol] - (5 if old else 0), self.px[symbol]
        data = {"u": number, "b": f"{px / 100:.2f}", "B": "1.000", "a": f"{(px + 1) / 100:.2f}", "A": "2.000"}
        return self._frame(symbol, "bookTicker", data)

    def trade(self, symbol: int, number: int) -> bytes:
        stamp = time.time_ns() // 10**6
        data = {"e": "trade", "E": stamp, "t": number, "p": f"{self.px[symbol] / 100:.2f}", "q": "0.010"}
        return self._frame(symbol, "trade", data | {"T": stamp, "m": True})

    def image(self, symbol: int) -> bytes:
        px = self.px[symbol]
        bids, asks = [[f"{(px - 9) / 100:.2f}", "1.000"]], [[f"{(px + 9) / 100:.2f}", "1.000"]]
        return json.dumps({"lastUpdateId": self.last[symbol], "bids": bids, "asks": asks}).encode()

    def junk(self) -> bytes:
        return self.rng.choice(
            [b"", b"{", b'{"result":null,"id":1}', b"\xff" * 40, b'{"stream":"x","data":{"e":"depthUpdate"}}']
        )


def _both(tmp_path, orders_most=10**6) -> list[Side]:
    return [Side(tmp_path, name, short=name == "short", orders_most=orders_most) for name in ("short", "long")]


def _go(sides, act) -> None:
    for side in sides:
        act(side)
    short, long = (side.state() for side in sides)
    assert short == long


def _end(sides) -> None:
    """All that was recorded, byte by byte, and every part's own invariants."""
    short, long = (_timeless(side.engine.tape.records()) for side in sides)
    assert short == long
    for side in sides:
        side.check()


def _images(sides, market_) -> None:
    for symbol in (0, 1):
        # The first change asks for the image.
        frame, body = market_.depth(symbol), market_.image(symbol)
        _go(sides, lambda side, frame=frame: side.live._on_market(side.wire, memoryview(frame), time.time_ns()))
        _go(sides, lambda side, s=symbol, body=body: side.live.image(s, body, time.time_ns()))


def _any_message(market_: Market) -> bytes:
    rng, symbol = market_.rng, market_.rng.randint(0, 1)
    what = rng.choices(["depth", "quote", "trade", "back", "gap", "old", "junk"], [50, 12, 12, 4, 1, 4, 3])[0]
    if what == "depth":
        return market_.depth(symbol)
    if what == "back":
        return market_.depth(symbol, back=rng.randint(1, 9))
    if what == "gap":
        return market_.depth(symbol, skip=rng.randint(1, 4))
    if what == "trade":
        return market_.trade(symbol, rng.randint(1, 400))
    return market_.quote(symbol, old=what == "old") if what in ("quote", "old") else market_.junk()


@pytest.mark.parametrize("seed", range(4))
@in_a_loop
def test_both_ways_do_the_same_with_whatever_comes(tmp_path, seed):
    sides, market_ = _both(tmp_path), Market(seed)
    rng = market_.rng
    _images(sides, market_)
    for _ in range(200):
        frame = _any_message(market_)
        payload = memoryview(frame) if rng.random() < 0.8 else frame
        _go(sides, lambda side, payload=payload: side.live._on_market(side.wire, payload, time.time_ns()))
        chance = rng.random()
        if chance < 0.6:
            ends = (Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_CANCELED) if rng.random() < 0.6 else (Kind.KIND_ORDER_ACK,)
            _go(sides, lambda side, ends=ends: side.settle(ends))
        elif chance < 0.64:
            refuses = rng.random() < 0.3
            _go(sides, lambda side, refuses=refuses: setattr(side.wire, "refuses", refuses))
        lost = [symbol for symbol in (0, 1) if not sides[0].live.feed.is_live(symbol)]
        if lost and rng.random() < 0.4:
            symbol, body = lost[0], market_.image(lost[0])
            _go(sides, lambda side, s=symbol, body=body: side.live.image(s, body, time.time_ns()))
    _end(sides)
    assert len(sides[0].wire.messages) > 50


@in_a_loop
def test_a_shut_gate_stops_new_orders_on_both_ways_and_a_cancel_leaves(tmp_path):
    sides, market_ = _both(tmp_path), Market(9)
    _images(sides, market_)
    _go(sides, lambda side: side.settle((Kind.KIND_ORDER_ACK,)))
    _go(sides, lambda side: side.live.gate.red(Light.CLOCK, "unknown"))
    before = len(sides[0].wire.messages)
    for _ in range(40):
        frame = market_.depth(0)
        _go(sides, lambda side, frame=frame: side.live._on_market(side.wire, frame, time.time_ns()))
    _end(sides)
    after = sides[0].wire.messages[before:]
    assert after
    assert all(b'"order.cancel"' in message for message in after)


@in_a_loop
def test_a_budget_that_is_used_up_denies_on_both_ways(tmp_path):
    sides, market_ = _both(tmp_path, orders_most=20), Market(10)
    _images(sides, market_)
    for _ in range(40):
        frame = market_.depth(0)
        _go(sides, lambda side, frame=frame: side.live._on_market(side.wire, frame, time.time_ns()))
        _go(sides, lambda side: side.settle((Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_CANCELED)))
    _end(sides)
    # Twenty of a day less margin and reserves leave twelve.
    assert sum(b"order.place" in message for message in sides[0].wire.messages) == 12
    assert sum(sides[0].live.budget.denied_count.values()) > 0


@in_a_loop
def test_what_the_tape_has_no_room_for_is_not_sent(tmp_path):
    side, market_ = Side(tmp_path, "full", short=True, orders_most=10**6), Market(11)
    for symbol in (0, 1):
        side.live._on_market(side.wire, market_.depth(symbol), time.time_ns())
        side.live.image(symbol, market_.image(symbol), time.time_ns())

    def until_full() -> None:
        while True:
            side.live._on_market(side.wire, market_.depth(0), time.time_ns())
            side.settle((Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_CANCELED))

    with pytest.raises(Bot4Error):
        until_full()
    assert isinstance(side.live.failure, Bot4Error)
    kinds = side.engine.tape.records()["kind"]
    intents = np.isin(kinds, (Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_CANCEL))
    # What was sent is recorded. Of the step that found no room some may be recorded, and nothing was sent.
    assert intents.sum() - 2 <= len(side.wire.messages) <= intents.sum()
    assert intents.sum() > 1_000


@pytest.mark.parametrize("short", [True, False])
@in_a_loop
def test_a_strategy_beyond_its_time_is_stopped_behind_the_message_that_showed_it(tmp_path, short):
    # A budget of nothing: any call is beyond it, on any machine. The images use up fewer than four.
    budget = Budget(budget_ns=0, hard_ns=10**15, strikes_max=4)
    side, market_ = Side(tmp_path, "slow", short=short, orders_most=10**6, budget=budget), Market(14)
    _images([side, side], market_)
    assert side.engine.core.world.strategies()["stopped"].tolist() == [0, 0]
    for _ in range(9):
        for symbol in (0, 1):
            side.live._on_market(side.wire, market_.depth(symbol), time.time_ns())
    rows = side.engine.core.world.strategies()
    assert rows["reason"].tolist() == [StopReason.STOPPED_OVERTIME] * 2
    # Nobody is asked again behind the verdict, and each has one.
    kinds = side.engine.tape.records()["kind"].tolist()
    assert rows["decided_count"].tolist() == [4, 4]
    assert kinds.count(Kind.KIND_STRATEGY) == 2
    side.check()


@in_a_loop
def test_a_message_that_comes_within_a_step_waits_for_its_turn_on_both_ways(tmp_path):
    sides, market_ = _both(tmp_path), Market(12)
    _images(sides, market_)
    first, second = market_.depth(0), market_.depth(1)
    for side in sides:
        inner = [second]

        def within(_events, side=side, inner=inner) -> None:
            while inner:
                side.live._on_market(side.wire, inner.pop(), time.time_ns())

        side.engine.watch(within, lambda _outputs: None)
    _go(sides, lambda side: side.live._on_market(side.wire, first, time.time_ns()))
    _end(sides)
    for side in sides:
        records = side.engine.tape.records()
        levels = records[records["kind"] == Kind.KIND_BOOK_LEVEL]["symbol"]
        assert {s: y.last_id for s, y in side.live.feed.syncs.items()} == market_.last
        # The whole of the message that it came within, and then the whole of it.
        assert levels[-16:].tolist() == [0] * 8 + [1] * 8


@in_a_loop
def test_a_market_message_that_the_tape_has_no_room_for_fails_the_session(tmp_path):
    side, market_ = Side(tmp_path, "full", short=True, orders_most=10**6, capacity=1 << 9), Market(13)
    _images([side, side], market_)

    def until_full() -> None:
        while True:
            side.live._on_market(side.wire, market_.depth(0), time.time_ns())

    with pytest.raises(Bot4Error):
        until_full()
    assert isinstance(side.live.failure, Bot4Error)
    taken = side.engine.tape.count
    side.live._on_market(side.wire, market_.depth(0), time.time_ns())
    assert side.engine.tape.count == taken

"""Tick to order, wire to wire over loopback: the whole live driver between two real connections, venue excluded.

The venue's end is a few lines of C that do nothing but send, count and read the clock (loop_wire), and beside it, in
the same run on the same CPUs, C answers C with the same bytes: what is above that is ours. Both ways of waiting,
asleep and spinning. The figure is the first order of two; the second is in the note.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from bench import peer_python, wire
from bench.bench_live import driver, image, market_frames, settle
from bench.harness import Report, sized
from engine.venues.binance.orders import Form

OURS_US = 5.0  # the goal: at most this above C answering C
ANSWER_BYTES = {Form.SESSION: 330, Form.HMAC: 480}


class Driver:
    """The live driver as the bench's subject."""

    orders = 2

    def __init__(self, form: Form, folder: Path) -> None:
        self._form, self._folder = form, folder

    async def start(self, url: str) -> None:
        self.live, self.engine = driver(self._folder, self._form, url)
        for link in (self.live.market_links[0], self.live.lines.order_link):
            link.start()
            while not link.is_up:
                await asyncio.sleep(0)
        self.live.lines._orders = [self.live.lines.order_link.connection]
        image(self.live, 100)
        self.settle()

    async def stop(self) -> None:
        for link in (*self.live.market_links, self.live.lines.order_link):
            await link.stop()
        self.engine.core.world.check()
        self.engine.tape.close()

    def settle(self) -> None:
        settle(self.engine, self.live)
        # What the journal's thread does beside the loop: chain what is full, touch the pages ahead.
        self.engine.tape.turn(sync=False)


def _ours(form: Form, count: int, *, spin: bool, beside: wire.Beside | None = None) -> np.ndarray:
    with TemporaryDirectory() as folder:
        frames = [wire.server_frame(frame) for frame in market_frames(count, 101)]
        return wire.rounds(Driver(form, Path(folder)), frames, spin=spin, beside=beside) / 1e3


def _parts(form: Form, count: int, *, spin: bool) -> np.ndarray:
    bot = peer_python.Bot(signed=form is Form.HMAC)
    frames = [wire.server_frame(frame) for frame in market_frames(count, 101)]
    return wire.rounds(wire.PythonParts(bot.tick), frames, spin=spin)[:, 0] / 1e3


def _limit(form: Form, count: int, *, spin: bool) -> np.ndarray:
    frame = wire.server_frame(market_frames(1, 101)[0])
    return wire.ping_pong(frame, wire.client_frame(b"x" * ANSWER_BYTES[form]), count, spin=spin) / 1e3


@pytest.mark.parametrize("spin", [False, True], ids=["block", "spin"])
@pytest.mark.parametrize("form", [Form.SESSION, Form.HMAC], ids=["session", "hmac"])
def test_wire_to_wire(report: Report, form: Form, spin: bool) -> None:
    count, warm = sized(800, 12), sized(100, 2)
    limit = [_limit(form, count // 2, spin=spin)]
    ours = _ours(form, count + warm, spin=spin)[warm:]
    limit.append(_limit(form, count // 2, spin=spin))
    parts = _parts(form, count + warm, spin=spin)[warm:]
    limits = np.concatenate(limit)
    name = "tick_to_order_wire" + ("_hmac" if form is Form.HMAC else "") + ("_spin" if spin else "")
    report.row(
        name, ours[:, 0], checksum=len(ours), peer="C answering C", peer_samples=limits,
        goal=float(np.median(limits)) + OURS_US,
        note=f"second order {np.median(ours[:, 1]):.1f} us; picows, msgspec, sortedcontainers, indicators: one order "
        f"{np.median(parts):.1f} us",
    )  # fmt: skip


def _trades(count: int) -> list[bytes]:
    out = []
    for n in range(count):
        data = {"e": "trade", "E": time.time_ns() // 10**6, "s": "BTCUSDT", "t": 1_000 + n, "p": "50000.00",
                "q": "0.010", "T": time.time_ns() // 10**6, "m": True}  # fmt: skip
        out.append(json.dumps({"stream": "btcusdt@trade", "data": data}, separators=(",", ":")).encode())
    return out


def test_a_thousand_messages_a_second_beside_it(report: Report) -> None:
    """Nine trades, one a millisecond, between every two messages that are answered; and the same with none."""
    count, warm = sized(220, 8), sized(20, 2)
    frames = [wire.server_frame(frame) for frame in _trades(9 * count)]
    loaded = _ours(Form.SESSION, count, spin=False, beside=wire.Beside(frames, 9, 1_000_000))
    alone = _ours(Form.SESSION, count, spin=False, beside=wire.Beside([], 0, 10_000_000))
    report.row(
        "tick_to_order_wire_1k", loaded[warm:, 0], checksum=count, peer="the same, nothing else on the feed",
        peer_samples=alone[warm:, 0],
    )  # fmt: skip

"""Messages a second of one core's time, from the socket to the book: frames packed as a busy venue packs them.

A loopback connection is flooded from C; the live driver - picows, its listener, parser, merge, core, tape - takes every
quote. The figure is messages by the seconds of processor time that the loop's thread spent, so a busy machine does not
change it. Beside it, in the same run, picows with msgspec to floats in a dict on the same flood; and what ccxt.pro and
nautilus_trader make of one such message, once it is received.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import picows
import uvloop

from bench import wire
from bench.bench_live import Wire, driver, image
from bench.harness import Report, heavy_peer, note, sized, time_calls
from bench.loops import loop_wire
from engine.venues.binance.orders import Form
from engine.venues.driver import Light

CHUNK = 320  # frames a send: some 64 KiB


def quotes(count: int) -> list[bytes]:
    """Best bids and asks of some 200 bytes, numbered."""
    rng, px, out = random.Random(5), 5_000_000, []
    stamp = time.time_ns() // 10**6
    for n in range(count):
        px += rng.choice([-1, 0, 1])
        data = {"e": "bookTicker", "u": 1_000 + n, "s": "BTCUSDT", "b": f"{px / 100:.2f}000000",
                "B": f"{1 + rng.random() * 8:.3f}00000", "a": f"{(px + 1) / 100:.2f}000000",
                "A": f"{1 + rng.random() * 8:.3f}00000", "T": stamp, "E": stamp}  # fmt: skip
        out.append(json.dumps({"stream": "btcusdt@bookTicker", "data": data}, separators=(",", ":")).encode())
    return out


async def _flood(
    start: Callable[[str], Any], taken: Callable[[], int], turn: Callable[[], object], frames: list[bytes]
) -> float:
    """Seconds of this thread's processor time until `taken` says that every frame was."""
    blobs = [b"".join(map(wire.server_frame, frames[at : at + CHUNK])) for at in range(0, len(frames), CHUNK)]
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted = loop.run_in_executor(None, wire.accept, server)
        await start(f"ws://127.0.0.1:{server.getsockname()[1]}")
        venue = await accepted
    # The first message is the handler's own, before the short way.
    loop_wire.plain(venue.fileno(), wire.server_frame(b'{"result":null,"id":1}'), 0)
    first = taken()
    while taken() == first:
        await asyncio.sleep(0)
    wanted = taken() + len(frames)

    def look() -> None:
        if taken() >= wanted:
            done.set()
        else:
            loop.call_later(0.001, look)

    def pump() -> None:
        for blob in blobs:
            loop_wire.plain(venue.fileno(), blob, 0)
            turn()

    sender = threading.Thread(target=pump)
    began = time.thread_time_ns()
    sender.start()
    look()
    await done.wait()
    spent = time.thread_time_ns() - began
    sender.join()
    venue.close()
    return spent / 1e9


def _ours(frames: list[bytes]) -> tuple[float, dict[str, Any]]:
    async def run(folder: Path) -> tuple[float, dict[str, Any]]:
        live, engine = driver(folder, Form.SESSION)
        live.lines._orders = live.lines._users = [Wire()]
        image(live, 100)
        # No orders here: what is measured is the way in.
        live.gate.red(Light.CLOCK, "the bench measures the way in")
        engine.core.world.set_limits(orders_per_second=1)
        link = live.market_links[0]

        async def start(url: str) -> None:
            link._url = url
            link.start()
            while not link.is_up:
                await asyncio.sleep(0)

        seconds = await _flood(
            start, lambda: live.feed.parser.counters()["frames"], lambda: engine.tape.turn(sync=False), frames
        )
        await link.stop()
        top = engine.core.world.book_top(0)
        assert live.feed.refused_count == 0
        assert top["update_id"] == 999 + len(frames)
        engine.core.world.check()
        engine.tape.close()
        return seconds, top

    with TemporaryDirectory() as folder:
        return uvloop.run(run(Path(folder)))


def _parts(frames: list[bytes]) -> float:
    """picows and msgspec, to floats in a dict."""
    decode, best, count = msgspec.json.Decoder().decode, {}, 0

    class Market(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002
            nonlocal count
            count += 1
            data = decode(frame.get_payload_as_memoryview()).get("data")
            if data:
                best[data["s"]] = (float(data["b"]), float(data["B"]), float(data["a"]), float(data["A"]))

    async def run() -> float:
        kept: list[Any] = []

        async def start(url: str) -> None:
            kept.append((await picows.ws_connect(Market, url))[0])

        seconds = await _flood(start, lambda: count, lambda: None, frames)
        kept[0].disconnect(False)
        return seconds

    return uvloop.run(run())


def _ccxt(frames: list[bytes]) -> str:
    if importlib.util.find_spec("ccxt") is None:
        return ""
    exchange, turn = importlib.import_module("ccxt.pro").binance(), iter(range(10**9))
    texts = [frame.decode() for frame in frames[:200]]

    def one() -> object:
        return exchange.parse_ws_ticker(exchange.parse_json(texts[next(turn) % len(texts)])["data"], "ticker")

    return f"ccxt.pro {np.median(time_calls(one, calls=200)) / 1e3:.0f} us"


def test_messages_a_second_from_the_socket_to_the_book(report: Report) -> None:
    frames = quotes(sized(60_000, 640))
    rates, peers, top = [], [], {}
    for _ in range(sized(5, 1)):
        seconds, top = _ours(frames)
        rates.append(len(frames) / seconds)
        peers.append(len(frames) / _parts(frames))
    heavy = heavy_peer("nautilus_trader", "quote_decode", frames[:200])
    theirs = [_ccxt(frames)] + ([f"{heavy['peer']} {heavy['peer_samples'] / 1e3:.0f} us"] if heavy else [])
    text = f"{len(frames[0])} bytes a message; to decode one: {', '.join(t for t in theirs if t)}"
    note(f"ws_ingest: {text}")
    report.row(
        "ws_ingest", rates, checksum=sorted(top.items()), peer="picows, msgspec to floats in a dict",
        peer_samples=peers, note=text,
    )  # fmt: skip

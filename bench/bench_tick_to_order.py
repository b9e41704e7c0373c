"""Tick to order in memory: the bytes of a depth message (20 + 20 levels) to the bytes of two orders, by stage.

Parse, book, step (strategy, gate, orders), encode and sign, in the order in which every driver does them. The quoter
places a bid and an ask at each message, so each figure has two orders in it; the peer writes one.

The peer is the same job from the best Python parts (peer_python), without its indicators. The table of every stage,
features, journal and sockets included, is bench_stages.
"""

from __future__ import annotations

import random

import numpy as np

from bench import peer_python
from bench.bench_live import depth_frame
from bench.harness import Report, note, sized
from bench.loops import loop_tick
from engine._core.book import Book, Rule
from engine._core.parse import Parser
from engine._core.types import Flag
from engine.runtime.wiring import make_core
from engine.venues.binance.orders import Form, encoder

SYMBOLS = [("BTCUSDT", 0, "0.10", "0.001")]
NOW_NS = 1_718_000_000 * 10**9
FRAMES = 512
STAGES = ("parse", "book", "step", "encode", "whole")


def _frames() -> list[bytes]:
    """Depth messages of one market whose touch wanders by a tick and whose book never crosses."""
    rng, out = random.Random(11), []
    steps = np.cumsum([rng.choice([-1, 0, 1]) for _ in range(FRAMES // 2)])
    # There and back, so that the last message leads to the first one again.
    for n, px in enumerate(671_234 + int(step) for step in [*steps, *steps[::-1]]):
        head = {"e": "depthUpdate", "E": 1_718_000_000_000 + n, "T": 1_718_000_000_000 + n, "s": "BTCUSDT"}
        ids = {"U": 4_500_000_000 + n, "u": 4_500_000_000 + n, "pu": 4_499_999_999 + n}
        out.append(depth_frame(px, 1, rng, head | ids))
    return out


def _run(report: Report, id_: str, form: Form) -> None:
    frames = _frames()
    starts = np.cumsum([0, *map(len, frames)]).astype(np.int64)
    parser, book, core = Parser(SYMBOLS), Book(rule=int(Rule.RULE_NONE)), make_core(seed=1)
    image = parser.parse(frames[0])
    image["flags"] |= int(Flag.FLAG_SNAPSHOT)
    book.apply(image)
    e = encoder("spot", form, SYMBOLS, api_key=peer_python.KEY, secret=peer_python.SECRET)
    out = np.zeros((sized(50_000, 200), len(STAGES)))
    orders, written, failed = loop_tick.run(parser, book, core, e, frames, (out, starts), NOW_NS)
    assert failed == 0
    # Two orders a message: nothing was denied, refused or skipped.
    assert orders == 2 * len(out)
    assert e.counts == (orders, 0)
    book.check()
    core.world.check()
    stages = ", ".join(f"{name} {np.median(out[:, n]):.0f}" for n, name in enumerate(STAGES))
    note(f"{id_}: p50 by stage, ns: {stages}")
    peer = peer_python.samples(frames * sized(4, 1), signed=form is Form.HMAC, with_indicators=False)
    report.row(id_, out[:, -1], checksum=written, peer="best Python parts, one order", peer_samples=peer, note=stages)


def bench_session(report: Report) -> None:
    _run(report, "tick_to_order_memory", Form.SESSION)


def bench_hmac(report: Report) -> None:
    _run(report, "tick_to_order_memory_hmac", Form.HMAC)

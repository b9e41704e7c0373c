"""Parse: frames of USD-M combined streams to events; msgspec typed Structs and orjson beside it, in the same run.

The kernel yields integers in ticks and lots. The peers stop at strings: their prices would still have to become
numbers. msgspec also gets the wrapper and only the fields it needs; it is the stronger of the two.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import msgspec
import numpy as np
import orjson

from bench.harness import Report, samples_array, sized, time_calls
from bench.loops import loop_parse
from engine._core.parse import Parser

SYMBOLS = [("BTCUSDT", 0, "0.10", "0.001"), ("ETHUSDT", 1, "0.01", "0.001")]
FRAMES = 512


class Depth(msgspec.Struct):
    E: int
    T: int
    s: str
    U: int
    u: int
    pu: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class AggTrade(msgspec.Struct):
    E: int
    a: int
    s: str
    p: str
    q: str
    f: int
    l: int  # noqa: E741  (the venue's name)
    T: int
    m: bool


class BookTicker(msgspec.Struct):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str
    T: int
    E: int


def _frames(stream: str, message: Callable[[random.Random, int, float], dict[str, object]]) -> list[bytes]:
    rng = random.Random(7)
    px, out = 67123.4, []
    for i in range(FRAMES):
        px = round(px + rng.choice([-1, 1]) * rng.random() * 5, 1)
        frame = {"stream": f"btcusdt@{stream}", "data": message(rng, 1718000000000 + i * 100, px)}
        out.append(json.dumps(frame, separators=(",", ":")).encode())
    return out


def _levels(rng: random.Random, px: float, sign: int) -> list[list[str]]:
    quantities = [0 if rng.random() < 0.15 else rng.random() * 8 for _ in range(20)]
    return [[f"{px + sign * (k + 1) * 0.1:.2f}", f"{qty:.3f}"] for k, qty in enumerate(quantities)]


def _depth(rng: random.Random, t: int, px: float) -> dict[str, object]:
    ids = {"U": 4_500_000_000_000 + t % 10**6, "u": 4_500_000_000_057 + t % 10**6, "pu": 4_499_999_999_999}
    head = {"e": "depthUpdate", "E": t, "T": t - 3, "s": "BTCUSDT"}
    return head | ids | {"b": _levels(rng, px, -1), "a": _levels(rng, px, 1)}


def _agg(rng: random.Random, t: int, px: float) -> dict[str, object]:
    head = {"e": "aggTrade", "E": t, "a": 2_200_000_000, "s": "BTCUSDT", "p": f"{px:.2f}"}
    ids = {"q": f"{0.001 + rng.random() * 2:.3f}", "f": 5_100_000_000, "l": 5_100_000_002}
    return head | ids | {"T": t - 2, "m": rng.random() < 0.5}


def _ticker(rng: random.Random, t: int, px: float) -> dict[str, object]:
    bid = {"b": f"{px - 0.1:.2f}", "B": f"{0.01 + rng.random() * 9:.3f}"}
    ask = {"a": f"{px:.2f}", "A": f"{0.01 + rng.random() * 9:.3f}"}
    return {"e": "bookTicker", "u": 4_500_000_000_000, "s": "BTCUSDT"} | bid | ask | {"T": t - 2, "E": t}


def _measure(report: Report, benchmark, name: str, frames: list[bytes], *, data: type, batch: int, events: int) -> None:
    starts = np.cumsum([0, *map(len, frames)]).astype(np.int64)
    parser = Parser(SYMBOLS)
    samples = samples_array(20_000)
    refused, total = loop_parse.decode(parser, b"".join(frames), starts, samples, batch)
    assert refused == 0
    counters = parser.counters()
    assert counters["fast"] == counters["frames"] == samples.size * batch
    assert counters["events"] == events * counters["frames"]

    decode = msgspec.json.Decoder(msgspec.defstruct("Frame", [("stream", str), ("data", data)])).decode
    _assert_same_prices(parser, frames, decode)
    calls = 40_000 // (events + 1)
    turn = iter(range(10**9))

    def whole_round(call: Callable[[bytes], object]) -> Callable[[], object]:
        return lambda: call(frames[next(turn) % FRAMES])

    # The cost of picking the frame is taken off, so that the peers are charged for decoding alone.
    idle = float(np.median(time_calls(whole_round(len), calls=calls)))
    typed = time_calls(whole_round(decode), calls=calls) - idle
    untyped = float(np.median(time_calls(whole_round(orjson.loads), calls=calls))) - idle
    benchmark.pedantic(parser.read, args=(frames[0],), rounds=sized(50, 2), iterations=sized(200, 2))
    report.row(
        name,
        samples,
        batch=batch,
        python=benchmark.stats["median"] * 1e9,
        peer="msgspec typed",
        peer_samples=typed,
        checksum=total,
        note=f"{sum(map(len, frames)) / FRAMES:.0f} bytes a frame; orjson {untyped:.0f} ns",
    )


def _assert_same_prices(parser: Parser, frames: list[bytes], decode: Callable[[bytes], msgspec.Struct]) -> None:
    """The peer's strings and our ticks name the same numbers: the first price of each frame."""
    for frame in frames[:: sized(1, 64)]:
        data = decode(frame).data
        text = data.b[0][0] if isinstance(data, Depth) else data.p if isinstance(data, AggTrade) else data.b
        assert parser.parse(frame)["word"][0, 0] == round(float(text) * 10)


def bench_depth40(report: Report, benchmark) -> None:
    _measure(report, benchmark, "decode_depth40", _frames("depth20@100ms", _depth), data=Depth, batch=4, events=40)


def bench_aggtrade(report: Report, benchmark) -> None:
    _measure(report, benchmark, "decode_aggtrade", _frames("aggTrade", _agg), data=AggTrade, batch=16, events=1)


def bench_bookticker(report: Report, benchmark) -> None:
    _measure(
        report, benchmark, "decode_bookticker", _frames("bookTicker", _ticker), data=BookTicker, batch=16, events=1
    )

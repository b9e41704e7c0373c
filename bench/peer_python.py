"""The same job from the best Python parts: msgspec, sortedcontainers, an indicator library, hmac. One order a message.

Decoded to floats, put into sorted containers, through the indicators, plain checks, and encoded by msgspec with a kept
HMAC state: what a careful Python bot does, with nothing in it that is slow on purpose. The indicators are
nautilus_trader's own compiled ones where it is installed - the fastest that can be streamed from Python - and talipp's
where only that is.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sortedcontainers import SortedDict

KEY, SECRET = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A", b"s" * 64
STAGES = ("parse", "book", "features", "decide", "gate", "encode", "sign")
WINDOWS = range(10, 30)


class Depth(msgspec.Struct):
    E: int
    s: str
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class Frame(msgspec.Struct):
    data: Depth


def indicators() -> tuple[str, list[Callable[[float], object]], list[Callable[[float, float, float], object]]]:
    """The library's name, a hundred updates: of a price, and of high, low and close."""
    if importlib.util.find_spec("nautilus_trader") is not None:
        core = importlib.import_module("nautilus_trader.core.nautilus_pyo3")
        plain = [core.ExponentialMovingAverage(n).update_raw for n in WINDOWS]
        plain += [core.RelativeStrengthIndex(n).update_raw for n in WINDOWS]
        plain += [core.MovingAverageConvergenceDivergence(n, 2 * n).update_raw for n in WINDOWS]
        ranged = [core.AverageTrueRange(n).update_raw for n in WINDOWS]
        return "nautilus indicators", plain, ranged + [core.BollingerBands(n, 2.0).update_raw for n in WINDOWS]
    if importlib.util.find_spec("talipp") is None:
        return "no indicators", [], []
    library = importlib.import_module("talipp.indicators")
    bar = importlib.import_module("talipp.ohlcv").OHLCV
    plain = [make(n).add for n in WINDOWS for make in (library.EMA, library.RSI)]
    plain += [library.MACD(n, 2 * n, n).add for n in WINDOWS] + [library.BB(n, 2.0).add for n in WINDOWS]
    ranges = [library.ATR(n).add for n in WINDOWS]
    return "talipp", plain, [lambda high, low, close, add=add: add(bar(close, high, low, close, 1.0)) for add in ranges]


class Bot:
    """One market, one symbol. `tick` gives the order's bytes, `spent` has the time of each stage of it."""

    def __init__(self, *, signed: bool, with_indicators: bool = True, stamped: bool = False) -> None:
        self.signed, self.stamped = signed, stamped
        self.library, self._plain, self._ranged = indicators() if with_indicators else ("none", [], [])
        self._decode = msgspec.json.Decoder(Frame, strict=False).decode
        self._encode = msgspec.json.Encoder().encode
        self._keyed = hmac.new(SECRET, digestmod=hashlib.sha256)
        self._bids: Any = SortedDict()
        self._asks: Any = SortedDict()
        self._average, self._turn = 0.0, 0
        self.spent: list[tuple[int, ...]] = []

    def _book(self, data: Depth) -> tuple[float, float]:
        for side, levels in ((self._bids, data.b), (self._asks, data.a)):
            for px, qty in levels:
                if qty:
                    side[px] = qty
                else:
                    side.pop(px, None)
        return self._bids.peekitem(-1)[0], self._asks.peekitem(0)[0]

    def _signed(self, params: dict[str, Any]) -> dict[str, Any]:
        params = {"apiKey": KEY, **params}
        one = self._keyed.copy()
        one.update("&".join(f"{k}={v}" for k, v in params.items()).encode())
        params["signature"] = one.hexdigest()
        return params

    def tick(self, frame: bytes | memoryview) -> bytes:
        clock = time.perf_counter_ns if self.stamped else int
        t0 = clock()
        data = self._decode(frame).data
        t1 = clock()
        bid, ask = self._book(data)
        t2 = clock()
        mid = (bid + ask) / 2
        for update in self._plain:
            update(mid)
        for update in self._ranged:
            update(mid + 0.1, mid - 0.1, mid)
        t3 = clock()
        self._turn += 1
        self._average += (mid - self._average) * 0.1
        sell = self._average > mid
        px = ask if sell else bid
        t4 = clock()
        if not (bid < ask and 5 < px * 0.005 < 5_000 and abs(px - mid) < 0.05 * mid):
            raise AssertionError(f"a crossed book or an order out of bounds: {bid} {ask} {px}")
        t5 = clock()
        params: dict[str, Any] = {
            "newClientOrderId": f"b4{self._turn:016x}", "newOrderRespType": "ACK", "price": f"{px:.2f}",
            "quantity": "0.005", "recvWindow": 5000, "side": "SELL" if sell else "BUY", "symbol": "BTCUSDT",
            "timeInForce": "GTC", "timestamp": data.E, "type": "LIMIT",
        }  # fmt: skip
        t6 = clock()
        if self.signed:
            params = self._signed(params)
        t7 = clock()
        order = self._encode({"id": f"p{self._turn}", "method": "order.place", "params": params})
        if self.stamped:
            self.spent.append((t1 - t0, t2 - t1, t3 - t2, t4 - t3, t5 - t4, t6 - t5 + clock() - t7, t7 - t6))
        return order


def stages(frames: list[bytes], *, signed: bool) -> tuple[str, dict[str, float]]:
    """The median of each stage over these frames, in nanoseconds, and whose indicators they are."""
    bot = Bot(signed=signed, stamped=True)
    for frame in frames:
        bot.tick(frame)
    medians = np.median(np.array(bot.spent, float), axis=0)
    return bot.library, dict(zip(STAGES, medians.tolist(), strict=True))


def samples(frames: list[bytes], *, signed: bool, with_indicators: bool = True) -> npt.NDArray[np.float64]:
    """Nanoseconds of each message, whole."""
    bot, out = Bot(signed=signed, with_indicators=with_indicators), np.zeros(len(frames))
    for at, frame in enumerate(frames):
        start = time.perf_counter_ns()
        bot.tick(frame)
        out[at] = time.perf_counter_ns() - start
    return out

"""What runs along in one window of the exact twin: means, sums and moments as the kernel runs them, and a bar's terms.

Every product and sum stands in the kernel's order and is rounded where it rounds; everything is kept for every window,
asked for or not. What a family makes of it stands in features_formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.model.features_arithmetic import larger, log, ratio, smaller


@dataclass
class Mean:
    """An exponential mean of the weight k, the plain mean of its first n values until then."""

    n: float
    k: float
    value: float = 0.0

    def push(self, x: float, count: float) -> None:
        """`count` is the number of x; before its first one nothing is learned."""
        weight = 0.0 if count < 1 else self.k if count > self.n else 1.0 / count
        self.value = self.value + weight * (x - self.value)


@dataclass
class Sum:
    """A rolling sum and one that begins anew: after a whole window the new one takes the place of the running one."""

    total: float = 0.0
    fresh: float = 0.0

    def push(self, x: float, old: float, swap: bool) -> None:
        total, fresh = self.total + x - old, self.fresh + x
        self.total, self.fresh = (fresh, 0.0) if swap else (total, fresh)


@dataclass
class Moments:
    """First, second and linearly weighted moment of the last n values around an anchor, exchanged like a sum."""

    n: float
    anchor: float = 0.0
    s1: float = 0.0
    s2: float = 0.0
    w: float = 0.0
    fresh_anchor: float = 0.0
    f1: float = 0.0
    f2: float = 0.0
    fw: float = 0.0
    fresh_count: float = 0.0

    def push(self, x: float, old: float, count: float) -> None:
        """`count` is the number of x: before its first one nothing is taken, up to n nothing leaves."""
        if count == 1:
            self.anchor = self.fresh_anchor = x
        if count < 1:
            return
        full = count > self.n
        u, v = x - self.anchor, x - self.fresh_anchor
        o = old - self.anchor if full else 0.0
        self.w = self.w + smaller(count, self.n) * u - (self.s1 if full else 0.0)
        self.s1, self.s2 = self.s1 + u - o, self.s2 + u * u - o * o
        self.fresh_count += 1.0
        self.f1, self.f2, self.fw = self.f1 + v, self.f2 + v * v, self.fw + self.fresh_count * v
        if self.fresh_count >= self.n:
            self.s1, self.s2, self.w = self.f1, self.f2, self.fw
            self.anchor, self.fresh_anchor = self.fresh_anchor, x
            self.f1 = self.f2 = self.fw = self.fresh_count = 0.0

    @property
    def weighted(self) -> float:
        return self.anchor + self.w / (self.n * (self.n + 1.0) / 2.0)


@dataclass(frozen=True)
class Bar:
    """One update: what all windows share. Terms that need the bar before are zero in the first."""

    o: float
    h: float
    low: float
    c: float
    v: float
    number: int
    d: float
    tr: float
    plus: float
    minus: float
    lr: float
    typical: float
    before: float  # the close before, at first the close itself
    terms: dict[str, float]

    @property
    def t(self) -> float:
        return float(self.number)


def taken(bars: Sequence[Bar], o: float, h: float, low: float, c: float, v: float, ref: float) -> Bar:
    """The next bar with its terms, after those before it."""
    last = bars[-1] if bars else None
    d, tr, lr, up, down = 0.0, h - low, 0.0, 0.0, 0.0
    if last is not None:
        d, lr = c - last.c, log(c / last.c)
        tr = larger(h, last.c) - smaller(low, last.c)
        up, down = h - last.h, last.low - low
    typical = (h + low + c) / 3.0
    plus, minus = (up if up > down and up > 0.0 else 0.0), (down if down > up and down > 0.0 else 0.0)
    bar = Bar(
        o=o, h=h, low=low, c=c, v=v, number=len(bars) + 1, d=d, tr=tr, plus=plus, minus=minus, lr=lr, typical=typical,
        before=last.c if last else c, terms={},
    )  # fmt: skip
    bar.terms.update(_terms(bar, last, ref))
    return bar


def _terms(k: Bar, last: Bar | None, ref: float) -> dict[str, float]:
    o, h, low, c, v, lr = k.o, k.h, k.low, k.c, k.v, k.lr
    up, down = (k.d if k.d > 0.0 else 0.0), (-k.d if k.d < 0.0 else 0.0)
    flow = 0.0 if last is None else k.typical * v
    was = 0.0 if last is None else last.lr
    hl, co, over = log(h / low), log(c / o), 0.0 if last is None else log(o / last.c)
    return {
        "VOLUME": v, "TR": 0.0 if last is None else k.tr, "LR": lr, "LR2": lr * lr, "GAIN": up, "LOSS": down,
        "ABSD": up + down, "V2": v * v, "TPV": k.typical * v, "CV": c * v,
        "MFV": (((c - low) - (h - c)) / (h - low) if h > low else 0.0) * v,
        "MFPOS": flow if last is None or k.typical > last.typical else 0.0,
        "MFNEG": flow if last is not None and k.typical < last.typical else 0.0,
        "SIGNV": v if k.d > 0.0 else -v if k.d < 0.0 else 0.0, "ILLIQ": abs(lr) / (c * v) if v > 0.0 else 0.0,
        "PK": hl * hl, "GK": 0.5 * hl * hl - 0.3862943611198906 * co * co,
        "RS": log(h / c) * log(h / o) + log(low / c) * log(low / o), "ON": over, "ON2": over * over, "OC": co,
        "OC2": co * co, "BPV": abs(lr) * abs(was), "VMP": 0.0 if last is None else abs(h - last.low),
        "VMM": 0.0 if last is None else abs(low - last.h), "DOWN2": lr * lr if lr < 0.0 else 0.0, "LRLAG": lr * was,
        "REF": ref, "REF2": ref * ref, "LRREF": lr * ref, "LR3": lr * lr * lr, "LR4": (lr * lr) * (lr * lr),
        "UP": 1.0 if k.d > 0.0 else 0.0, "BODY": abs(c - o), "RANGE": h - low, "ENGULF": _engulfs(k, last),
    }  # fmt: skip


def _engulfs(k: Bar, last: Bar | None) -> float:
    """A body that holds the one before, which had the other colour, at both ends."""
    if last is None:
        return 0.0
    if k.c > k.o and last.c < last.o and k.c >= last.o and k.o <= last.c:
        return 1.0
    return -1.0 if k.c < k.o and last.c > last.o and k.o >= last.c and k.c <= last.o else 0.0


class Window:
    """Everything that runs along in one window."""

    def __init__(self, n: int, bars: Sequence[Bar]) -> None:
        x = float(n)
        self.size, self.n, self.half, self.hull = n, x, float(max(n // 2, 1)), float(math.isqrt(n))
        self.bars = bars  # of the stream, the newest last
        slow, signal, second = (26 * n + 6) // 12, max((9 * n + 6) // 12, 1), max((13 * n + 12) // 25, 1)
        k = 2.0 / (x + 1.0)
        self.slow = float(slow)
        self.ema1, self.ema2, self.ema3, self.fast, self.ewma, self.force, self.tsi, self.tsi_way = (
            Mean(x, k) for _ in range(8)
        )
        self.rma, self.gain, self.loss, self.atr, self.plus, self.minus, self.adx = (Mean(x, 1.0 / x) for _ in range(7))
        self.slowly, self.macd_signal = Mean(float(slow), 2.0 / (slow + 1.0)), Mean(float(signal), 2.0 / (signal + 1.0))
        self.tsi2, self.tsi_way2 = (Mean(float(second), 2.0 / (second + 1.0)) for _ in range(2))
        self.third_before = self.kama = self.mcginley = self.kalman = self.kalman_p = 0.0
        steady = min(k, 0.999)
        self.kalman_q = steady * steady / (1.0 - steady)
        self.win, self.win_half, self.win_hull = Moments(x), Moments(self.half), Moments(self.hull)
        self.raws: list[float] = []  # Hull's differences
        self.sums: dict[str, Sum] = {}
        self.fresh_count = 0
        self.stoch = [0.0, 0.0, 0.0]  # the newest first

    @property
    def bar(self) -> Bar:
        return self.bars[-1]

    def back(self, n: float, of: str = "") -> float:
        """A close, or a term, of n bars ago; zero from before the first."""
        at = len(self.bars) - 1 - int(n)
        return 0.0 if at < 0 else self.bars[at].terms[of] if of else self.bars[at].c

    def sum(self, of: str) -> float:
        return self.sums[of].total

    def push(self, k: Bar) -> None:
        self._push_sums(k)
        self._push_means(k)
        self._push_adaptive(k)
        self._push_moments(k)
        window = self.bars[-self.size :]
        high, low = max(bar.h for bar in window), min(bar.low for bar in window)
        self.stoch = [100.0 * ratio(k.c - low, high - low, 0.5), *self.stoch[:2]]
        self.high, self.low = high, low

    def _push_sums(self, k: Bar) -> None:
        self.fresh_count += 1
        swap = self.fresh_count >= self.size
        for name, x in k.terms.items():
            self.sums.setdefault(name, Sum()).push(x, self.back(self.n, name), swap)
        self.fresh_count = 0 if swap else self.fresh_count

    def _push_means(self, k: Bar) -> None:
        """Each starts when its input does."""
        t, n = k.t, self.n
        self.ema1.push(k.c, t)
        self.ema2.push(self.ema1.value, t - n + 1.0)
        self.third_before = self.ema3.value
        self.ema3.push(self.ema2.value, t - 2.0 * n + 2.0)
        self.rma.push(k.c, t)
        self.fast.push(k.c, t)
        self.slowly.push(k.c, t)
        self.macd_signal.push(self.fast.value - self.slowly.value, t - self.slow + 1.0)
        self.gain.push(k.terms["GAIN"], t - 1.0)
        self.loss.push(k.terms["LOSS"], t - 1.0)
        self.atr.push(k.tr, t - 1.0)
        self.plus.push(k.plus, t - 1.0)
        self.minus.push(k.minus, t - 1.0)
        self.tsi.push(k.d, t - 1.0)
        self.tsi_way.push(abs(k.d), t - 1.0)
        self.tsi2.push(self.tsi.value, t - n)
        self.tsi_way2.push(self.tsi_way.value, t - n)
        self.ewma.push(k.lr * k.lr, t - 1.0)
        self.force.push(k.d * k.v, t - 1.0)
        plus, minus = self.directions()
        self.adx.push(100.0 * ratio(abs(plus - minus), plus + minus, 0.0), t - n)

    def directions(self) -> tuple[float, float]:
        atr = self.atr.value
        return tuple(100.0 * smaller(ratio(x.value, atr, 0.0), 1.0) for x in (self.plus, self.minus))  # type: ignore[return-value]

    def _push_adaptive(self, k: Bar) -> None:
        """The means whose weight depends on the prices."""
        c, t = k.c, k.t
        way = ratio(abs(c - self.back(self.n)), self.sum("ABSD"), 0.0)
        rate = smaller(way, 1.0) * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0
        self.kama = self.kama + rate * rate * (c - self.kama) if t > self.n else c
        quotient = c / (self.mcginley if self.mcginley > 0.0 else c)
        quotient = quotient * quotient
        rate = smaller(1.0 / larger(0.6 * self.n * quotient * quotient, 1e-12), 1.0)
        self.mcginley = self.mcginley + rate * (c - self.mcginley) if t > 1 else c
        self.kalman_p = self.kalman_p + self.kalman_q if t > 1 else 1e6
        gain = self.kalman_p / (self.kalman_p + 1.0)
        self.kalman = self.kalman + gain * (c - self.kalman) if t > 1 else c
        self.kalman_p = (1.0 - gain) * self.kalman_p

    def _push_moments(self, k: Bar) -> None:
        self.win.push(k.c, self.back(self.n), k.t)
        self.win_half.push(k.c, self.back(self.half), k.t)
        self.raws.append(2.0 * self.win_half.weighted - self.win.weighted)
        old = self.raws[-1 - int(self.hull)] if len(self.raws) > self.hull else 0.0
        self.win_hull.push(self.raws[-1], old, k.t - self.n + 1.0)

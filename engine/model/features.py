"""Twin of the windowed features: every value from its definition, over lists of all bars, anew at each question."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from engine._core.features_table import TABLE, warm_up

Series = Sequence[float]
_ROWS = {row.name: row for row in TABLE}


def _mean(x: Series) -> float:
    return math.fsum(x) / len(x)


def _variance(x: Series) -> float:
    mean = _mean(x)
    return math.fsum((v - mean) ** 2 for v in x) / len(x)


def _deviation(x: Series) -> float:
    return math.sqrt(_variance(x))


def _covariance(x: Series, y: Series) -> float:
    mx, my = _mean(x), _mean(y)
    return math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / len(x)


def _ratio(a: float, b: float, other: float = 0.0) -> float:
    return a / b if abs(b) > 1e-300 else other


def _smooth(x: Series, n: int, k: float) -> list[float]:
    """An exponential mean that starts as the plain mean of its first n values."""
    out: list[float] = []
    for i, v in enumerate(x):
        out.append(v if not out else out[-1] + (1 / (i + 1) if i < n else k) * (v - out[-1]))
    return out


def _ema(x: Series, n: int) -> list[float]:
    return _smooth(x, n, 2 / (n + 1))


def _rma(x: Series, n: int) -> list[float]:
    return _smooth(x, n, 1 / n)


def _wma(x: Series, n: int) -> float:
    return math.fsum((j + 1) * v for j, v in enumerate(x[-n:])) / (n * (n + 1) / 2)


def _line(x: Series) -> tuple[float, float, float]:
    """Slope, value at the end and correlation with time of the least-squares line."""
    n = len(x)
    time = [float(j) for j in range(n)]
    slope = _ratio(_covariance(time, x), _variance(time))
    r = _ratio(_covariance(time, x), math.sqrt(_variance(time) * _variance(x)))
    return slope, _mean(x) + slope * (n - 1) / 2, max(-1.0, min(1.0, r))


class Features:
    """The same face as the kernel's, for the parts that a definition can answer."""

    def __init__(
        self, families: Iterable[str] | None = None, *, windows: Sequence[int] = (5, 10, 14, 20, 30, 50, 100, 200)
    ) -> None:
        self.families = tuple(families) if families is not None else tuple(_ROWS)
        self.windows = tuple(windows)
        if not self.families or any(name not in _ROWS for name in self.families):
            raise ValueError("no such feature family")
        rising = all(a < b for a, b in zip(self.windows, self.windows[1:], strict=False))
        if not 1 <= len(self.windows) <= 32 or not rising or self.windows[0] < 1 or self.windows[-1] > 1000:
            raise ValueError(f"windows {self.windows}")
        self.reset()

    def reset(self) -> None:
        self.count = self.refused_count = self.anomaly_count = 0
        self.o: list[float] = []
        self.h: list[float] = []
        self.l: list[float] = []
        self.c: list[float] = []
        self.v: list[float] = []
        self.ref: list[float] = []

    def update(
        self,
        open_: float,
        high: float,
        low: float,
        close: float,
        volume: float = 0.0,
        reference: float = 0.0,
    ) -> bool:
        prices = all(1e-9 <= x <= 1e12 for x in (open_, high, low, close))
        ordered = low <= open_ <= high and low <= close <= high
        if not (prices and ordered and 0 <= volume <= 1e21 and -100 <= reference <= 100):
            self.refused_count += 1
            return False
        for series, x in zip(
            (self.o, self.h, self.l, self.c, self.v, self.ref),
            (open_, high, low, close, volume, reference),
            strict=True,
        ):
            series.append(x)
        self.count += 1
        return True

    def update_price(self, price: float, volume: float = 0.0) -> bool:
        return self.update(price, price, price, price, volume)

    def raw(self, family: str, window: int) -> float:
        """A value before its bounds are applied, NaN before its warm-up."""
        if self.count < warm_up(_ROWS[family].number, window):
            return math.nan
        return _FORMULAS[family](self, window)

    def value(self, family: str, window: int) -> float:
        if family not in self.families or window not in self.windows:
            raise KeyError((family, window))
        row = _ROWS[family]
        raw = self.raw(family, window)
        return raw if math.isnan(raw) else min(max(raw, row.low), row.high)

    def flagged(self, family: str, window: int) -> bool:
        raw = self.raw(family, window)
        return not math.isnan(raw) and not _ROWS[family].low <= raw <= _ROWS[family].high

    def check(self) -> None:
        assert len(self.c) == self.count

    # -------------------------------------------------------------------------------------------------- the series
    def changes(self) -> list[float]:
        return [b - a for a, b in zip(self.c, self.c[1:], strict=False)]

    def returns(self) -> list[float]:
        return [math.log(b / a) for a, b in zip(self.c, self.c[1:], strict=False)]

    def ranges(self) -> list[float]:
        """True ranges from the second bar on."""
        return [max(h, c) - min(low, c) for h, low, c in zip(self.h[1:], self.l[1:], self.c, strict=False)]

    def typical(self) -> list[float]:
        return [(h + low + c) / 3 for h, low, c in zip(self.h, self.l, self.c, strict=True)]

    def movements(self) -> tuple[list[float], list[float]]:
        plus, minus = [], []
        for i in range(1, self.count):
            up, down = self.h[i] - self.h[i - 1], self.l[i - 1] - self.l[i]
            plus.append(up if up > down and up > 0 else 0.0)
            minus.append(down if down > up and down > 0 else 0.0)
        return plus, minus

    def atr(self, n: int) -> float:
        return _rma(self.ranges(), n)[-1]

    def directions(self, n: int) -> tuple[list[float], list[float]]:
        plus, minus = self.movements()
        atr = _rma(self.ranges(), n)
        return tuple(
            [100 * min(_ratio(a, b), 1.0) for a, b in zip(_rma(x, n), atr, strict=True)] for x in (plus, minus)
        )  # type: ignore[return-value]

    def macd(self, n: int) -> list[float]:
        slow = (26 * n + 6) // 12
        return [a - b for a, b in zip(_ema(self.c, n), _ema(self.c, slow), strict=True)]

    def stoch(self, n: int, back: int = 0) -> float:
        end = self.count - back
        high, low = max(self.h[max(0, end - n) : end]), min(self.l[max(0, end - n) : end])
        return 100 * _ratio(self.c[end - 1] - low, high - low, 0.5)


def _trix(f: Features, n: int) -> float:
    third = _ema(_ema(_ema(f.c, n)[n - 1 :], n)[n - 1 :], n)
    return 100 * _ratio(third[-1] - third[-2], third[-2])


def _tema(f: Features, n: int) -> float:
    first = _ema(f.c, n)
    second = _ema(first[n - 1 :], n)
    return 3 * first[-1] - 3 * second[-1] + _ema(second[n - 1 :], n)[-1]


def _dema(f: Features, n: int) -> float:
    first = _ema(f.c, n)
    return 2 * first[-1] - _ema(first[n - 1 :], n)[-1]


def _kama(f: Features, n: int) -> float:
    kama = f.c[n - 1]
    for i in range(n, f.count):
        way = math.fsum(abs(f.c[j] - f.c[j - 1]) for j in range(i - n + 1, i + 1))
        rate = min(_ratio(abs(f.c[i] - f.c[i - n]), way), 1.0) * (2 / 3 - 2 / 31) + 2 / 31
        kama += rate * rate * (f.c[i] - kama)
    return kama


def _hma(f: Features, n: int) -> float:
    half, root = max(n // 2, 1), math.isqrt(n)
    raw = [2 * _wma(f.c[:i], half) - _wma(f.c[:i], n) for i in range(f.count - root + 1, f.count + 1)]
    return _wma(raw, root)


def _mcginley(f: Features, n: int) -> float:
    out = f.c[0]
    for c in f.c[1:]:
        out += min(1 / max(0.6 * n * (c / out) ** 4, 1e-12), 1.0) * (c - out)
    return out


def _macd_signal(f: Features, n: int) -> float:
    slow, signal = (26 * n + 6) // 12, max((9 * n + 6) // 12, 1)
    return _ema(f.macd(n)[slow - 1 :], signal)[-1]


def _line_error(f: Features, n: int) -> float:
    r = _line(f.c[-n:])[2]
    return _deviation(f.c[-n:]) * math.sqrt(_ratio((1 - r * r) * n, max(n - 2, 0)))


def _aroon(x: Series, n: int, best: Callable[[Iterable[float]], float]) -> float:
    window = list(x[-(n + 1) :])[::-1]
    return 100 * (n - window.index(best(window))) / n


def _adx(f: Features, n: int) -> float:
    plus, minus = f.directions(n)
    dx = [100 * _ratio(abs(p - m), p + m) for p, m in zip(plus, minus, strict=True)]
    return _rma(dx[n - 1 :], n)[-1]


def _vortex(a: Series, b: Series, f: Features, n: int) -> float:
    moves = [abs(x - y) for x, y in zip(a[1:], b, strict=False)]
    return _ratio(math.fsum(moves[-n:]), math.fsum(f.ranges()[-n:]))


def _sides(f: Features) -> tuple[list[float], list[float]]:
    return [max(d, 0.0) for d in f.changes()], [max(-d, 0.0) for d in f.changes()]


def _rsi(f: Features, n: int) -> float:
    gain, loss = (_rma(side, n)[-1] for side in _sides(f))
    return 100 * _ratio(gain, gain + loss, 0.5)


def _cmo(f: Features, n: int) -> float:
    gain, loss = (math.fsum(side[-n:]) for side in _sides(f))
    return 100 * _ratio(gain - loss, gain + loss)


def _cci(f: Features, n: int) -> float:
    window = f.typical()[-n:]
    mean = _mean(window)
    spread = _mean([abs(x - mean) for x in window])
    return _ratio(window[-1] - mean, 0.015 * spread if spread > 1e-14 * mean else 0.0)


def _tsi(f: Features, n: int) -> float:
    second = max((13 * n + 12) // 25, 1)
    change, way = f.changes(), [abs(d) for d in f.changes()]
    top, bottom = (_ema(_ema(x, n)[n - 1 :], second)[-1] for x in (change, way))
    return 100 * _ratio(top, bottom)


def _er(f: Features, n: int) -> float:
    return min(_ratio(abs(f.c[-1] - f.c[-1 - n]), math.fsum(abs(d) for d in f.changes()[-n:])), 1.0)


def _bipower(f: Features, n: int) -> float:
    r = f.returns()
    return math.pi / 2 * math.fsum(abs(a) * abs(b) for a, b in zip(r[-n:], r[-n - 1 : -1], strict=True)) / n


def _second(f: Features, n: int) -> float:
    return math.fsum(r * r for r in f.returns()[-n:]) / n


def _bars(f: Features, n: int) -> list[tuple[float, float, float, float]]:
    return list(zip(f.o[-n:], f.h[-n:], f.l[-n:], f.c[-n:], strict=True))


def _parkinson(f: Features, n: int) -> float:
    return math.sqrt(math.fsum(math.log(h / low) ** 2 for _, h, low, _ in _bars(f, n)) / (4 * math.log(2) * n))


def _garman_klass(f: Features, n: int) -> float:
    terms = [
        0.5 * math.log(h / low) ** 2 - (2 * math.log(2) - 1) * math.log(c / o) ** 2 for o, h, low, c in _bars(f, n)
    ]
    return math.sqrt(max(math.fsum(terms), 0.0) / n)


def _rogers_satchell(f: Features, n: int) -> float:
    terms = [math.log(h / c) * math.log(h / o) + math.log(low / c) * math.log(low / o) for o, h, low, c in _bars(f, n)]
    return max(math.fsum(terms), 0.0) / n


def _yang_zhang(f: Features, n: int) -> float:
    over = [math.log(o / c) for o, c in zip(f.o[-n:], f.c[-n - 1 : -1], strict=True)]
    body = [math.log(c / o) for o, _, _, c in _bars(f, n)]
    k = 0.34 / (1.34 + (n + 1) / max(n - 1, 1))
    spread = _ratio(n * _variance(over) + k * n * _variance(body), n - 1)
    return math.sqrt(spread + (1 - k) * _rogers_satchell(f, n))


def _chop(f: Features, n: int) -> float:
    way = _ratio(math.fsum(f.ranges()[-n:]), max(f.h[-n:]) - min(f.l[-n:]), 1.0)
    return 100 * _ratio(math.log(way), math.log(n), 0.5) if way > 1e-300 else 0.0


def _flow(f: Features, n: int, price: Series) -> float:
    total = math.fsum(f.v[-n:])
    return _ratio(math.fsum(p * v for p, v in zip(price[-n:], f.v[-n:], strict=True)), total, f.c[-1])


def _mfi(f: Features, n: int) -> float:
    t = f.typical()
    up = math.fsum(t[i] * f.v[i] for i in range(f.count - n, f.count) if t[i] > t[i - 1])
    down = math.fsum(t[i] * f.v[i] for i in range(f.count - n, f.count) if t[i] < t[i - 1])
    return 100 * _ratio(up, up + down, 0.5)


def _cmf(f: Features, n: int) -> float:
    place = [((c - low) - (h - c)) / (h - low) if h > low else 0.0 for _, h, low, c in _bars(f, n)]
    total = math.fsum(f.v[-n:])
    return max(-1.0, min(1.0, _ratio(math.fsum(p * v for p, v in zip(place, f.v[-n:], strict=True)), total)))


def _net_volume(f: Features, n: int) -> float:
    return math.fsum(math.copysign(v, d) if d else 0.0 for d, v in zip(f.changes()[-n:], f.v[-n:], strict=True))


def _z(window: Series, x: float, noise: float) -> float:
    spread = _variance(window)
    return _ratio(x - _mean(window), math.sqrt(spread) if spread > noise * _mean([v * v for v in window]) else 0.0)


def _skew(f: Features, n: int) -> float:
    r = f.returns()[-n:]
    return _ratio(_mean([(x - _mean(r)) ** 3 for x in r]), _steady(r) ** 1.5)


def _kurt(f: Features, n: int) -> float:
    r = f.returns()[-n:]
    return max(_ratio(_mean([(x - _mean(r)) ** 4 for x in r]), _steady(r) ** 2, 3.0) - 3, -3.0)


def _steady(r: Series) -> float:
    """A variance, zero where it is only the rounding of the squares."""
    spread = _variance(r)
    return spread if spread > 1e-13 * _mean([x * x for x in r]) else 0.0


def _correlation(x: Series, y: Series) -> float:
    return max(-1.0, min(1.0, _ratio(_covariance(x, y), math.sqrt(_steady(x) * _steady(y)))))


def _rank(window: Series) -> float:
    x = window[-1]
    return (sum(v < x for v in window) + 0.5 * sum(v == x for v in window)) / len(window)


def _kalman(f: Features, n: int) -> float:
    k = min(2 / (n + 1), 0.999)
    q, p, x = k * k / (1 - k), 1e6, f.c[0]
    p = (1 - p / (p + 1)) * p
    for c in f.c[1:]:
        p += q
        gain = p / (p + 1)
        x += gain * (c - x)
        p *= 1 - gain
    return x


def _haar(f: Features, n: int) -> float:
    half = max(n // 2, 1)
    newer = _mean(f.c[-half:])
    older = _mean(f.c[-n:-half]) if n > half else newer
    return 0.5 * (newer - older)


def _ewma(f: Features, n: int) -> float:
    return math.sqrt(_ema([r * r for r in f.returns()], n)[-1])


def _band(f: Features, n: int) -> float:
    return _ratio(f.c[-1] - _mean(f.c[-n:]), _deviation(f.c[-n:]))


def _illiquidity(f: Features, n: int) -> float:
    r = f.returns()
    return math.fsum(abs(r[i - 1]) / (f.c[i] * f.v[i]) if f.v[i] > 0 else 0.0 for i in range(f.count - n, f.count)) / n


def _span(f: Features, n: int) -> float:
    """Mean range of the n bars before the newest."""
    return _mean([h - low for h, low in zip(f.h[-n - 1 : -1], f.l[-n - 1 : -1], strict=True)])


def _mean_body(f: Features, n: int) -> float:
    return _mean([abs(c - o) for o, c in zip(f.o[-n - 1 : -1], f.c[-n - 1 : -1], strict=True)])


def _candle(f: Features) -> tuple[float, float, float, float]:
    """Body, upper and lower shadow and colour of the newest bar."""
    o, h, low, c = f.o[-1], f.h[-1], f.l[-1], f.c[-1]
    return abs(c - o), h - max(o, c), min(o, c) - low, 1.0 if c >= o else -1.0


def _marubozu(f: Features, n: int) -> float:
    body, upper, lower, sign = _candle(f)
    return sign if body > _mean_body(f, n) and max(upper, lower) < 0.1 * _span(f, n) else 0.0


def _long_line(f: Features, n: int) -> float:
    body, upper, lower, sign = _candle(f)
    shadow = 0.5 * (_span(f, n) - _mean_body(f, n))
    return sign if body > _mean_body(f, n) and max(upper, lower) < shadow else 0.0


def _spinning_top(f: Features, n: int) -> float:
    body, upper, lower, sign = _candle(f)
    return sign if body < _mean_body(f, n) and min(upper, lower) > body else 0.0


def _engulfs(f: Features, i: int) -> int:
    if i == 0:
        return 0
    (before, was), (o, c) = (f.o[i - 1], f.c[i - 1]), (f.o[i], f.c[i])
    if c > o and was < before and c >= before and o <= was:
        return 1
    return -1 if c < o and was > before and o >= was and c <= before else 0


_FORMULAS: dict[str, Callable[[Features, int], float]] = {
    "sma": lambda f, n: _mean(f.c[-n:]),
    "ema": lambda f, n: _ema(f.c, n)[-1],
    "rma": lambda f, n: _rma(f.c, n)[-1],
    "wma": lambda f, n: _wma(f.c, n),
    "dema": _dema,
    "tema": _tema,
    "trix": _trix,
    "kama": _kama,
    "hma": _hma,
    "mcginley": _mcginley,
    "macd": lambda f, n: f.macd(n)[-1],
    "macd_signal": _macd_signal,
    "macd_hist": lambda f, n: f.macd(n)[-1] - _macd_signal(f, n),
    "ppo": lambda f, n: 100 * _ratio(f.macd(n)[-1], _ema(f.c, (26 * n + 6) // 12)[-1]),
    "linreg": lambda f, n: _line(f.c[-n:])[1],
    "slope": lambda f, n: _line(f.c[-n:])[0],
    "r2": lambda f, n: _line(f.c[-n:])[2] ** 2,
    "forecast": lambda f, n: _line(f.c[-n:])[1] + _line(f.c[-n:])[0],
    "line_error": _line_error,
    "aroon_up": lambda f, n: _aroon(f.h, n, max),
    "aroon_down": lambda f, n: _aroon(f.l, n, min),
    "aroon_osc": lambda f, n: _aroon(f.h, n, max) - _aroon(f.l, n, min),
    "plus_di": lambda f, n: f.directions(n)[0][-1],
    "minus_di": lambda f, n: f.directions(n)[1][-1],
    "adx": _adx,
    "vortex_plus": lambda f, n: _vortex(f.h, f.l, f, n),
    "vortex_minus": lambda f, n: _vortex(f.l, f.h, f, n),
    "ma_gap": lambda f, n: f.c[-1] / _mean(f.c[-n:]) - 1,
    "rsi": _rsi,
    "mom": lambda f, n: f.c[-1] - f.c[-1 - n],
    "roc": lambda f, n: 100 * (f.c[-1] / f.c[-1 - n] - 1),
    "stoch_k": lambda f, n: f.stoch(n),
    "stoch_d": lambda f, n: (f.stoch(n) + f.stoch(n, 1) + f.stoch(n, 2)) / 3,
    "willr": lambda f, n: f.stoch(n) - 100,
    "cci": _cci,
    "cmo": _cmo,
    "tsi": _tsi,
    "er": _er,
    "up_share": lambda f, n: sum(d > 0 for d in f.changes()[-n:]) / n,
    "atr": lambda f, n: f.atr(n),
    "natr": lambda f, n: 100 * f.atr(n) / f.c[-1],
    "std": lambda f, n: _deviation(f.c[-n:]),
    "realised": lambda f, n: math.sqrt(_second(f, n)),
    "bipower": lambda f, n: math.sqrt(_bipower(f, n)),
    "jump": lambda f, n: max(1 - _ratio(_bipower(f, n), _second(f, n), 1.0), 0.0),
    "parkinson": _parkinson,
    "garman_klass": _garman_klass,
    "rogers_satchell": lambda f, n: math.sqrt(_rogers_satchell(f, n)),
    "yang_zhang": _yang_zhang,
    "ewma_vol": _ewma,
    "downside": lambda f, n: math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in f.returns()[-n:]) / n),
    "chop": _chop,
    "vwap": lambda f, n: _flow(f, n, f.typical()),
    "vwma": lambda f, n: _flow(f, n, f.c),
    "mfi": _mfi,
    "cmf": _cmf,
    "force": lambda f, n: _ema([d * v for d, v in zip(f.changes(), f.v[1:], strict=True)], n)[-1],
    "net_volume": _net_volume,
    "vol_mean": lambda f, n: _mean(f.v[-n:]),
    "vol_ratio": lambda f, n: _ratio(f.v[-1], _mean(f.v[-n:])),
    "vol_z": lambda f, n: _z(f.v[-n:], f.v[-1], 1e-13),
    "bb_upper": lambda f, n: _mean(f.c[-n:]) + 2 * _deviation(f.c[-n:]),
    "bb_lower": lambda f, n: _mean(f.c[-n:]) - 2 * _deviation(f.c[-n:]),
    "bb_pos": lambda f, n: 0.25 * _band(f, n) + 0.5,
    "bb_width": lambda f, n: 4 * _deviation(f.c[-n:]) / _mean(f.c[-n:]),
    "kc_upper": lambda f, n: _ema(f.c, n)[-1] + 2 * f.atr(n),
    "kc_lower": lambda f, n: _ema(f.c, n)[-1] - 2 * f.atr(n),
    "kc_pos": lambda f, n: _ratio(f.c[-1] - _ema(f.c, n)[-1], 4 * f.atr(n)) + 0.5,
    "dc_high": lambda f, n: max(f.h[-n:]),
    "dc_low": lambda f, n: min(f.l[-n:]),
    "dc_mid": lambda f, n: (max(f.h[-n:]) + min(f.l[-n:])) / 2,
    "dc_width": lambda f, n: (max(f.h[-n:]) - min(f.l[-n:])) / f.c[-1],
    "chandelier": lambda f, n: max(f.h[-n:]) - 3 * f.atr(n),
    "var": lambda f, n: _variance(f.c[-n:]),
    "skew": _skew,
    "kurt": _kurt,
    "zscore": _band,
    "autocorr": lambda f, n: _correlation(f.returns()[-n:], f.returns()[-n - 1 : -1]),
    "rank": lambda f, n: _rank(f.c[-n:]),
    "corr_ref": lambda f, n: _correlation(f.returns()[-n:], f.ref[-n:]),
    "beta_ref": lambda f, n: _ratio(_covariance(f.returns()[-n:], f.ref[-n:]), _steady(f.ref[-n:])),
    "ret_mean": lambda f, n: _mean(f.returns()[-n:]),
    "ret_sharpe": lambda f, n: _ratio(_mean(f.returns()[-n:]), math.sqrt(_steady(f.returns()[-n:]))),
    "trend": lambda f, n: _line(f.c[-n:])[2],
    "reversion": lambda f, n: max(-1.0, min(1.0, _band(f, n) / -3)),
    "vol_rank": lambda f, n: _rank(f.ranges()[-n:]),
    "illiquidity": _illiquidity,
    "vol_term": lambda f, n: _ratio(_ewma(f, n), math.sqrt(_second(f, n)), 1.0),
    "resistance": lambda f, n: _ratio(max(f.h[-n:]) - f.c[-1], f.atr(n)),
    "support": lambda f, n: _ratio(f.c[-1] - min(f.l[-n:]), f.atr(n)),
    "kalman": _kalman,
    "kalman_gap": lambda f, n: f.c[-1] / _kalman(f, n) - 1,
    "haar": _haar,
    "body": lambda f, n: _ratio(f.c[-1] - f.o[-1], _span(f, n)),
    "upper_wick": lambda f, n: _ratio(f.h[-1] - max(f.o[-1], f.c[-1]), _span(f, n)),
    "lower_wick": lambda f, n: _ratio(min(f.o[-1], f.c[-1]) - f.l[-1], _span(f, n)),
    "doji": lambda f, n: float(abs(f.c[-1] - f.o[-1]) <= 0.1 * _span(f, n)),
    "marubozu": _marubozu,
    "long_line": _long_line,
    "spinning_top": _spinning_top,
    "engulfing": lambda f, n: sum(_engulfs(f, i) for i in range(f.count - n, f.count)) / n,
    "gap": lambda f, n: _ratio(f.o[-1] - f.c[-2], _span(f, n)),
}

"""What each family is, from what runs along in its window: operation by operation as the kernel's."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from engine.model.features_arithmetic import eighths, larger, log, ratio, smaller
from engine.model.features_window import Bar, Window

Formula = Callable[[Window], float]
HALF_PI = 1.5707963267948966


def _within_one(x: float) -> float:
    return larger(smaller(x, 1.0), -1.0)


def _above(x: float, noise: float) -> float:
    """A variance, zero below the rounding of what it was made of."""
    return x if x > noise else 0.0


# ------------------------------------------------------------------------------------------- the moments of the closes
def _mean(w: Window) -> float:
    return w.win.anchor + w.win.s1 / w.n


def _std(w: Window) -> float:
    u = w.win.s1 / w.n
    var = larger(w.win.s2 / w.n - u * u, 0.0)
    return sqrt(_above(var, 1e-15 * (w.win.s2 / w.n)))


def _z(w: Window) -> float:
    return ratio(w.bar.c - _mean(w), _std(w), 0.0)


def _line(w: Window) -> tuple[float, float]:
    """Slope of the line through the closes, and their correlation with time."""
    n, weights = w.n, w.n * (w.n + 1.0) / 2.0
    squares = n * (n + 1.0) * (2.0 * n + 1.0) / 6.0
    cross = n * w.win.w - weights * w.win.s1
    det = n * squares - weights * weights
    return ratio(cross, det, 0.0), _within_one(ratio(cross, sqrt(det) * n * _std(w), 0.0))


def _line_error(w: Window) -> float:
    r = _line(w)[1]
    return _std(w) * sqrt(ratio((1.0 - r * r) * w.n, larger(w.n - 2.0, 0.0), 0.0))


def _haar(w: Window) -> float:
    """The older half is what the window holds beyond the newer one."""
    newer = w.win_half.anchor + w.win_half.s1 / w.half
    older = ratio(w.n * _mean(w) - w.half * newer, w.n - w.half, newer)
    return 0.5 * (newer - older)


# -------------------------------------------------------------------------------------------------- ranges, extremes
def _chop(w: Window) -> float:
    way = ratio(w.sum("TR"), w.high - w.low, 1.0)
    return 100.0 * ratio(log(larger(way, 1e-300)), log(w.n), 0.5) if way > 1e-300 else 0.0


def _aroon(w: Window, low: bool) -> float:
    """Bars since the newest of the extremes of n + 1."""
    last = w.bars[-w.size - 1 :][::-1]
    values = [bar.low for bar in last] if low else [bar.h for bar in last]
    age = float(values.index(min(values) if low else max(values)))
    return 100.0 * (w.n - age) / w.n


def _cci(w: Window) -> float:
    window = [bar.typical for bar in w.bars[-w.size :]]
    mean = eighths(window) / w.n
    spread = eighths(abs(x - mean) for x in window) / w.n
    return ratio(w.bar.typical - mean, 0.015 * _above(spread, 1e-14 * mean), 0.0)


def _below(window: list[float]) -> float:
    return sum(1.0 if x < window[-1] else 0.5 if x == window[-1] else 0.0 for x in window) / len(window)


# ---------------------------------------------------------------------------------------------------------- volatility
def _second(w: Window) -> float:
    return larger(w.sum("LR2"), 0.0) / w.n


def _bipower(w: Window) -> float:
    return HALF_PI * larger(w.sum("BPV"), 0.0) / w.n


def _yang_zhang(w: Window) -> float:
    n = w.n
    over = larger(w.sum("ON2") - w.sum("ON") * w.sum("ON") / n, 0.0)
    body = larger(w.sum("OC2") - w.sum("OC") * w.sum("OC") / n, 0.0)
    share = 0.34 / (1.34 + (n + 1.0) / larger(n - 1.0, 1.0))
    return sqrt(ratio(over + share * body, n - 1.0, 0.0) + (1.0 - share) * larger(w.sum("RS"), 0.0) / n)


def _volume_z(w: Window) -> float:
    mean, second = larger(w.sum("VOLUME"), 0.0) / w.n, w.sum("V2") / w.n
    return ratio(w.bar.v - mean, sqrt(_above(second - mean * mean, 1e-13 * second)), 0.0)


def _mfi(w: Window) -> float:
    up, down = larger(w.sum("MFPOS"), 0.0), larger(w.sum("MFNEG"), 0.0)
    return 100.0 * ratio(up, up + down, 0.5)


# ------------------------------------------------------------------------------------------------ statistics of returns
def _returns(w: Window) -> tuple[float, float, float]:
    """Mean, mean square and variance."""
    mean, second = w.sum("LR") / w.n, w.sum("LR2") / w.n
    return mean, second, _above(second - mean * mean, 1e-13 * second)


def _sharpe(w: Window) -> float:
    mean, _, var = _returns(w)
    return ratio(mean, sqrt(var), 0.0)


def _skew(w: Window) -> float:
    mean, second, var = _returns(w)
    third = w.sum("LR3") / w.n - 3.0 * mean * second + 2.0 * mean * mean * mean
    return ratio(third, var * sqrt(var), 0.0)


def _kurt(w: Window) -> float:
    mean, second, var = _returns(w)
    fourth = w.sum("LR4") / w.n - 4.0 * mean * (w.sum("LR3") / w.n) + 6.0 * mean * mean * second
    fourth = fourth - 3.0 * mean * mean * mean * mean
    return larger(ratio(fourth, var * var, 3.0) - 3.0, -3.0)


def _autocorr(w: Window) -> float:
    """With the window one bar older: the same sums without the newest return and with the one that left."""
    n, (mean, _, var), old = w.n, _returns(w), w.back(w.n, "LR")
    a = w.sum("LR") - w.bar.lr + old
    b = w.sum("LR2") - w.bar.lr * w.bar.lr + old * old
    older = _above(b / n - (a / n) * (a / n), 1e-13 * (b / n))
    return _within_one(ratio(w.sum("LRLAG") / n - mean * (a / n), sqrt(var * older), 0.0))


def _reference(w: Window) -> tuple[float, float]:
    """Covariance with the reference, and its variance."""
    mean, second = w.sum("REF") / w.n, w.sum("REF2") / w.n
    return w.sum("LRREF") / w.n - _returns(w)[0] * mean, _above(second - mean * mean, 1e-13 * second)


def _corr_ref(w: Window) -> float:
    both, var = _reference(w)
    return _within_one(ratio(both, sqrt(_returns(w)[2] * var), 0.0))


# ------------------------------------------------------------------------------------------------------------- candles
def _before(w: Window, of: str) -> float:
    """Mean of a term over the n bars before the newest: the window's sum without its newest and with what left."""
    return larger(w.sum(of) - w.bar.terms[of] + w.back(w.n, of), 0.0) / w.n


def _shadows(k: Bar) -> tuple[float, float, float, float]:
    """Body, the shadows above and below it, and its colour."""
    top, foot = (k.o, k.c) if k.o > k.c else (k.c, k.o)
    return top - foot, k.h - top, foot - k.low, 1.0 if k.c >= k.o else -1.0


def _tall(w: Window, shadows: float) -> float:
    body, upper, lower, sign = _shadows(w.bar)
    return sign if body > _before(w, "BODY") and shadows > upper and shadows > lower else 0.0


def _spinning_top(w: Window) -> float:
    body, upper, lower, sign = _shadows(w.bar)
    return sign if _before(w, "BODY") > body and smaller(upper, lower) > body else 0.0


FORMULAS: dict[str, Formula] = {
    "sma": _mean,
    "ema": lambda w: w.ema1.value,
    "rma": lambda w: w.rma.value,
    "wma": lambda w: w.win.weighted,
    "dema": lambda w: 2.0 * w.ema1.value - w.ema2.value,
    "tema": lambda w: 3.0 * w.ema1.value - 3.0 * w.ema2.value + w.ema3.value,
    "trix": lambda w: 100.0 * ratio(w.ema3.value - w.third_before, w.third_before, 0.0),
    "kama": lambda w: w.kama,
    "hma": lambda w: w.win_hull.weighted,
    "mcginley": lambda w: w.mcginley,
    "macd": lambda w: w.fast.value - w.slowly.value,
    "macd_signal": lambda w: w.macd_signal.value,
    "macd_hist": lambda w: w.fast.value - w.slowly.value - w.macd_signal.value,
    "ppo": lambda w: 100.0 * ratio(w.fast.value - w.slowly.value, w.slowly.value, 0.0),
    "linreg": lambda w: _mean(w) + _line(w)[0] * (0.5 * (w.n - 1.0)),
    "slope": lambda w: _line(w)[0],
    "r2": lambda w: _line(w)[1] * _line(w)[1],
    "forecast": lambda w: _mean(w) + _line(w)[0] * (0.5 * (w.n + 1.0)),
    "line_error": _line_error,
    "aroon_up": lambda w: _aroon(w, False),
    "aroon_down": lambda w: _aroon(w, True),
    "aroon_osc": lambda w: _aroon(w, False) - _aroon(w, True),
    "plus_di": lambda w: w.directions()[0],
    "minus_di": lambda w: w.directions()[1],
    "adx": lambda w: w.adx.value,
    "vortex_plus": lambda w: larger(ratio(w.sum("VMP"), w.sum("TR"), 0.0), 0.0),
    "vortex_minus": lambda w: larger(ratio(w.sum("VMM"), w.sum("TR"), 0.0), 0.0),
    "ma_gap": lambda w: ratio(w.bar.c, _mean(w), 1.0) - 1.0,
    "rsi": lambda w: 100.0 * ratio(w.gain.value, w.gain.value + w.loss.value, 0.5),
    "mom": lambda w: w.bar.c - w.back(w.n),
    "roc": lambda w: 100.0 * ratio(w.bar.c - w.back(w.n), w.back(w.n), 0.0),
    "stoch_k": lambda w: w.stoch[0],
    "stoch_d": lambda w: (w.stoch[0] + w.stoch[1] + w.stoch[2]) / 3.0,
    "willr": lambda w: w.stoch[0] - 100.0,
    "cci": _cci,
    "cmo": lambda w: (
        100.0 * ratio(
            larger(w.sum("GAIN"), 0.0) - larger(w.sum("LOSS"), 0.0),
            larger(w.sum("GAIN"), 0.0) + larger(w.sum("LOSS"), 0.0), 0.0,
        )
    ),
    "tsi": lambda w: 100.0 * ratio(w.tsi2.value, w.tsi_way2.value, 0.0),
    "er": lambda w: smaller(ratio(abs(w.bar.c - w.back(w.n)), w.sum("ABSD"), 0.0), 1.0),
    "up_share": lambda w: w.sum("UP") / w.n,
    "atr": lambda w: w.atr.value,
    "natr": lambda w: 100.0 * w.atr.value / w.bar.c,
    "std": _std,
    "realised": lambda w: sqrt(_second(w)),
    "bipower": lambda w: sqrt(_bipower(w)),
    "jump": lambda w: larger(1.0 - ratio(_bipower(w), _second(w), 1.0), 0.0),
    "parkinson": lambda w: sqrt(larger(w.sum("PK"), 0.0) / (2.772588722239781 * w.n)),
    "garman_klass": lambda w: sqrt(larger(w.sum("GK"), 0.0) / w.n),
    "rogers_satchell": lambda w: sqrt(larger(w.sum("RS"), 0.0) / w.n),
    "yang_zhang": _yang_zhang,
    "ewma_vol": lambda w: sqrt(w.ewma.value),
    "downside": lambda w: sqrt(larger(w.sum("DOWN2"), 0.0) / w.n),
    "chop": _chop,
    "vwap": lambda w: ratio(w.sum("TPV"), w.sum("VOLUME"), w.bar.c),
    "vwma": lambda w: ratio(w.sum("CV"), w.sum("VOLUME"), w.bar.c),
    "mfi": _mfi,
    "cmf": lambda w: _within_one(ratio(w.sum("MFV"), w.sum("VOLUME"), 0.0)),
    "force": lambda w: w.force.value,
    "net_volume": lambda w: w.sum("SIGNV"),
    "vol_mean": lambda w: larger(w.sum("VOLUME"), 0.0) / w.n,
    "vol_ratio": lambda w: ratio(w.bar.v, larger(w.sum("VOLUME"), 0.0) / w.n, 0.0),
    "vol_z": _volume_z,
    "bb_upper": lambda w: _mean(w) + 2.0 * _std(w),
    "bb_lower": lambda w: _mean(w) - 2.0 * _std(w),
    "bb_pos": lambda w: 0.25 * _z(w) + 0.5,
    "bb_width": lambda w: ratio(4.0 * _std(w), _mean(w), 0.0),
    "kc_upper": lambda w: w.ema1.value + 2.0 * w.atr.value,
    "kc_lower": lambda w: w.ema1.value - 2.0 * w.atr.value,
    "kc_pos": lambda w: ratio(w.bar.c - w.ema1.value, 4.0 * w.atr.value, 0.0) + 0.5,
    "dc_high": lambda w: w.high,
    "dc_low": lambda w: w.low,
    "dc_mid": lambda w: 0.5 * (w.high + w.low),
    "dc_width": lambda w: (w.high - w.low) / w.bar.c,
    "chandelier": lambda w: w.high - 3.0 * w.atr.value,
    "var": lambda w: _std(w) * _std(w),
    "skew": _skew,
    "kurt": _kurt,
    "zscore": _z,
    "autocorr": _autocorr,
    "rank": lambda w: _below([bar.c for bar in w.bars[-w.size :]]),
    "corr_ref": _corr_ref,
    "beta_ref": lambda w: ratio(*_reference(w), 0.0),
    "ret_mean": lambda w: _returns(w)[0],
    "ret_sharpe": _sharpe,
    "trend": lambda w: _line(w)[1],
    "reversion": lambda w: _within_one(_z(w) / -3.0),
    "vol_rank": lambda w: _below([bar.tr for bar in w.bars[-w.size :]]),
    "illiquidity": lambda w: larger(w.sum("ILLIQ"), 0.0) / w.n,
    "vol_term": lambda w: ratio(sqrt(w.ewma.value), sqrt(_second(w)), 1.0),
    "resistance": lambda w: ratio(w.high - w.bar.c, w.atr.value, 0.0),
    "support": lambda w: ratio(w.bar.c - w.low, w.atr.value, 0.0),
    "kalman": lambda w: w.kalman,
    "kalman_gap": lambda w: ratio(w.bar.c, w.kalman, 1.0) - 1.0,
    "haar": _haar,
    "body": lambda w: ratio(w.bar.c - w.bar.o, _before(w, "RANGE"), 0.0),
    "upper_wick": lambda w: ratio(_shadows(w.bar)[1], _before(w, "RANGE"), 0.0),
    "lower_wick": lambda w: ratio(_shadows(w.bar)[2], _before(w, "RANGE"), 0.0),
    "doji": lambda w: 1.0 if 0.1 * _before(w, "RANGE") >= _shadows(w.bar)[0] else 0.0,
    "marubozu": lambda w: _tall(w, 0.1 * _before(w, "RANGE")),
    "long_line": lambda w: _tall(w, 0.5 * (_before(w, "RANGE") - _before(w, "BODY"))),
    "spinning_top": _spinning_top,
    "engulfing": lambda w: w.sum("ENGULF") / w.n,
    "gap": lambda w: ratio(w.bar.o - w.bar.before, _before(w, "RANGE"), 0.0),
}  # fmt: skip

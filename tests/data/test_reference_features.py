"""The features against references written by others: tables beside the recorded data, TA-Lib, NumPy and SciPy."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from engine._core.features import Features
from tests.support.shared import shared_path


def _table(*parts: str) -> dict[str, np.ndarray]:
    with gzip.open(shared_path("indicators", *parts), "rt") as text:
        rows = list(csv.DictReader(text))
    names = [name for name in rows[0] if name not in ("date", "timestamp")]
    return {name: np.array([float(row[name]) if row[name] else np.nan for row in rows]) for name in names}


def _quotes() -> list[np.ndarray]:
    t = _table("skender", "quotes_default.csv.gz")
    low = np.minimum.reduce([t["low"], t["open"], t["close"]])
    high = np.maximum.reduce([t["high"], t["open"], t["close"]])
    return [np.ascontiguousarray(x) for x in (t["open"], high, low, t["close"], t["volume"])]


def _ours(family: str, window: int, bars: list[np.ndarray]) -> np.ndarray:
    return Features([family], windows=(window,)).run(*bars)[:, 0, 0]


def _agree(ours: np.ndarray, theirs: np.ndarray, skip: int, rtol: float) -> None:
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    both[:skip] = False
    assert both.sum() > 50
    assert np.allclose(ours[both], theirs[both], rtol=rtol, atol=rtol)


# family, window, table, column, values to skip while a different seed fades; Aroon's before 240 hold two ties, of which
# they take the oldest
SKENDER = [
    ("sma", 20, "sma", "sma", 0), ("ema", 20, "ema", "ema", 0), ("rsi", 14, "rsi", "rsi", 0),
    ("atr", 14, "atr", "atr", 0), ("natr", 14, "atr", "atrp", 0), ("bb_upper", 20, "bb", "upperBand", 0),
    ("bb_lower", 20, "bb", "lowerBand", 0), ("bb_pos", 20, "bb", "percentB", 0), ("bb_width", 20, "bb", "width", 0),
    ("zscore", 20, "bb", "zScore", 0), ("plus_di", 14, "adx", "pdi", 300), ("minus_di", 14, "adx", "mdi", 300),
    ("adx", 14, "adx", "adx", 400), ("aroon_up", 25, "aroon", "aroonUp", 240),
    ("aroon_down", 25, "aroon", "aroonDown", 240),
    ("cci", 20, "cci", "cci", 0), ("cmo", 14, "cmo", "cmo", 0), ("kama", 10, "kama", "kama", 200),
    ("er", 10, "kama", "er", 0), ("std", 14, "stdev", "stdDev", 0), ("tema", 20, "tema", "tema", 450),
    ("vwma", 14, "vwma", "vwma", 0), ("wma", 14, "wma", "wma", 0), ("mcginley", 14, "dynamic", "dynamic", 400),
    ("slope", 14, "slope", "slope", 0), ("r2", 14, "slope", "rSquared", 0),
    ("hma", 14, "hma", "hma", 0), ("linreg", 10, "epma", "epma", 0), ("roc", 14, "roc", "roc", 0),
    ("trix", 14, "trix", "trix", 400),
]  # fmt: skip


@pytest.mark.needs_shared
@pytest.mark.parametrize(("family", "window", "table", "column", "skip"), SKENDER)
def test_a_family_equals_the_published_table(family, window, table, column, skip):
    theirs = _table("skender", f"{table}.csv.gz")[column]
    _agree(_ours(family, window, _quotes()), theirs, skip, 1e-7 if skip else 1e-9)


def _market(count: int = 5000) -> list[np.ndarray]:
    rng = np.random.default_rng(21)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, count)))
    open_ = np.r_[close[0], close[:-1]]
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.001, count)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.001, count)))
    return [open_, high, low, close, rng.random(count) * 100]


TALIB = {
    "sma": lambda t, o, h, w, c, v, n: t.SMA(c, n),
    "ema": lambda t, o, h, w, c, v, n: t.EMA(c, n),
    "wma": lambda t, o, h, w, c, v, n: t.WMA(c, n),
    "dema": lambda t, o, h, w, c, v, n: t.DEMA(c, n),
    "tema": lambda t, o, h, w, c, v, n: t.TEMA(c, n),
    "trix": lambda t, o, h, w, c, v, n: t.TRIX(c, n),
    "kama": lambda t, o, h, w, c, v, n: t.KAMA(c, n),
    "linreg": lambda t, o, h, w, c, v, n: t.LINEARREG(c, n),
    "slope": lambda t, o, h, w, c, v, n: t.LINEARREG_SLOPE(c, n),
    "forecast": lambda t, o, h, w, c, v, n: t.TSF(c, n),
    "aroon_up": lambda t, o, h, w, c, v, n: t.AROON(h, w, n)[1],
    "aroon_down": lambda t, o, h, w, c, v, n: t.AROON(h, w, n)[0],
    "aroon_osc": lambda t, o, h, w, c, v, n: t.AROONOSC(h, w, n),
    "plus_di": lambda t, o, h, w, c, v, n: t.PLUS_DI(h, w, c, n),
    "minus_di": lambda t, o, h, w, c, v, n: t.MINUS_DI(h, w, c, n),
    "adx": lambda t, o, h, w, c, v, n: t.ADX(h, w, c, n),
    "rsi": lambda t, o, h, w, c, v, n: t.RSI(c, n),
    "mom": lambda t, o, h, w, c, v, n: t.MOM(c, n),
    "roc": lambda t, o, h, w, c, v, n: t.ROC(c, n),
    "willr": lambda t, o, h, w, c, v, n: t.WILLR(h, w, c, n),
    "cci": lambda t, o, h, w, c, v, n: t.CCI(h, w, c, n),
    "stoch_k": lambda t, o, h, w, c, v, n: t.STOCHF(h, w, c, n, 3)[0],
    "stoch_d": lambda t, o, h, w, c, v, n: t.STOCHF(h, w, c, n, 3)[1],
    "atr": lambda t, o, h, w, c, v, n: t.ATR(h, w, c, n),
    "natr": lambda t, o, h, w, c, v, n: t.NATR(h, w, c, n),
    "std": lambda t, o, h, w, c, v, n: t.STDDEV(c, n),
    "var": lambda t, o, h, w, c, v, n: t.VAR(c, n),
    "bb_upper": lambda t, o, h, w, c, v, n: t.BBANDS(c, n)[0],
    "bb_lower": lambda t, o, h, w, c, v, n: t.BBANDS(c, n)[2],
    "mfi": lambda t, o, h, w, c, v, n: t.MFI(h, w, c, v, n),
    "dc_high": lambda t, o, h, w, c, v, n: t.MAX(h, n),
    "dc_low": lambda t, o, h, w, c, v, n: t.MIN(w, n),
    "dc_mid": lambda t, o, h, w, c, v, n: t.MIDPRICE(h, w, n),
    "macd": lambda t, o, h, w, c, v, n: t.MACD(c, n, (26 * n + 6) // 12, (9 * n + 6) // 12)[0],
    "macd_signal": lambda t, o, h, w, c, v, n: t.MACD(c, n, (26 * n + 6) // 12, (9 * n + 6) // 12)[1],
    "macd_hist": lambda t, o, h, w, c, v, n: t.MACD(c, n, (26 * n + 6) // 12, (9 * n + 6) // 12)[2],
}
# Their seeds differ from ours and fade.
FADES = {"plus_di", "minus_di", "adx", "macd", "macd_signal", "macd_hist"}


@pytest.mark.parametrize("family", TALIB)
def test_a_family_equals_talib_in_the_same_run(family):
    talib = pytest.importorskip("talib", reason="TA-Lib is a reference, not a dependency")
    bars = _market()
    for n in (5, 12, 14, 30, 100):
        theirs = TALIB[family](talib, *bars, n)
        ours = _ours(family, n, bars)
        skip = 40 * n if family in FADES else 0
        # Their running sums lose digits where ours do not: slope and deviation of a price are differences of squares.
        _agree(ours, theirs, skip, 1e-7 if family in ("slope", "std", "var", "cci", "bb_upper", "bb_lower") else 1e-9)


CANDLES = {
    "doji": (10, "CDLDOJI"), "marubozu": (10, "CDLMARUBOZU"), "long_line": (10, "CDLLONGLINE"),
    "spinning_top": (10, "CDLSPINNINGTOP"), "engulfing": (1, "CDLENGULFING"),
}  # fmt: skip


@pytest.mark.parametrize("family", CANDLES)
def test_a_candle_is_recognised_where_talib_recognises_it(family):
    talib = pytest.importorskip("talib", reason="TA-Lib is a reference, not a dependency")
    window, name = CANDLES[family]
    bars = _market()
    # Every fifth bar opens beside the close before, or nothing could engulf or gap.
    bars[0][::5] *= 1.0005
    bars[1], bars[2] = np.maximum(bars[0], bars[1]), np.minimum(bars[0], bars[2])
    ours = _ours(family, window, bars)
    theirs = np.sign(getattr(talib, name)(*bars[:4]))
    assert np.count_nonzero(theirs) > 20
    assert np.array_equal(ours[20:], theirs[20:])


def _rolling(x: np.ndarray, n: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, n)


def test_the_statistics_equal_numpy_and_scipy():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is a reference, not a dependency")
    bars = _market(1500)
    close, n = bars[3], 30
    r = np.diff(np.log(close))
    rng = np.random.default_rng(5)
    ref = 0.5 * np.r_[0.0, r] + rng.normal(0, 0.001, close.size)
    names = [
        "skew",
        "kurt",
        "autocorr",
        "corr_ref",
        "beta_ref",
        "zscore",
        "trend",
        "slope",
        "line_error",
        "rank",
        "realised",
    ]
    f = Features(names, windows=(n,))
    out = dict(zip(names, f.run(*bars, ref)[:, :, 0].T, strict=True))
    windows, prices = _rolling(r, n), _rolling(close, n)
    assert np.allclose(out["skew"][n:], stats.skew(windows, axis=1), atol=1e-8)
    assert np.allclose(out["kurt"][n:], stats.kurtosis(windows, axis=1), atol=1e-8)
    assert np.allclose(out["zscore"][n - 1 :], stats.zscore(prices, axis=1)[:, -1], atol=1e-9)
    assert np.allclose(out["realised"][n:], np.sqrt(np.mean(windows**2, axis=1)), rtol=1e-10)
    for i in range(n + 1, close.size, 37):
        mine, other = r[i - n : i], ref[i - n + 1 : i + 1]
        line = stats.linregress(np.arange(n), close[i - n + 1 : i + 1])
        assert out["autocorr"][i] == pytest.approx(np.corrcoef(mine, r[i - n - 1 : i - 1])[0, 1], abs=1e-9)
        assert out["corr_ref"][i] == pytest.approx(np.corrcoef(mine, other)[0, 1], abs=1e-9)
        assert out["beta_ref"][i] == pytest.approx(stats.linregress(other, mine).slope, rel=1e-8)
        assert out["trend"][i] == pytest.approx(line.rvalue, abs=1e-9)
        assert out["slope"][i] == pytest.approx(line.slope, abs=1e-10)
        assert out["rank"][i] * 100 == pytest.approx(
            stats.percentileofscore(close[i - n + 1 : i + 1], close[i], "mean")
        )

"""Windowed features: one tick through 100 and 200 of them, bar closes of 500 symbols, and batches beside TA-Lib."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from bench.harness import SMOKE, Report, note, samples_array, sized, time_calls
from bench.loops import loop_features
from engine._core import isa
from engine._core.features import Features
from engine._core.features_panel import Panel
from engine._core.features_table import TABLE

BATCH = 16
# The five kinds that the peers have in common, for 20 windows from 10 up.
PEERS = ("ema", "rsi", "macd_hist", "atr", "bb_width")
PERIODS = tuple(range(10, 30))
# Twenty-five families of all groups for eight windows; none of them named "scan".
MIXED = ("ema sma wma kama macd rsi roc stoch_k cmo er atr std realised bipower ewma_vol zscore bb_pos slope trend "
         "dc_high dc_low ret_mean autocorr kalman vol_ratio").split()  # fmt: skip
WINDOWS = (5, 10, 14, 20, 30, 50, 100, 200)


def _bars(count: int, seed: int = 11) -> np.ndarray:
    rng = np.random.default_rng(seed)
    close = 60_000 + np.cumsum(rng.normal(0, 5, count))
    open_ = np.r_[close[0], close[:-1]]
    high = np.maximum(open_, close) + np.abs(rng.normal(0, 4, count))
    low = np.minimum(open_, close) - np.abs(rng.normal(0, 4, count))
    return np.ascontiguousarray(np.stack([open_, high, low, close, rng.random(count) * 9], axis=1))


def _ticks(families, windows, level: str | None = None) -> tuple[np.ndarray, Features]:
    bars = _bars(4096)
    f = Features(families, windows=windows, isa=level)
    samples = samples_array(20_000)
    prices = np.ascontiguousarray(bars[:, 3])
    loop_features.ticks(f, prices, np.zeros(64), BATCH)
    loop_features.ticks(f, prices, samples, BATCH)
    f.check()
    return samples, f


def _talipp(calls: int) -> np.ndarray | None:
    """100 streaming indicators of talipp, one tick, in the same run; None where it is not installed."""
    talipp = (
        pytest.importorskip("talipp.indicators", reason="talipp is a peer, not a dependency") if not SMOKE else None
    )
    if talipp is None:
        return None
    ohlcv = pytest.importorskip("talipp.ohlcv").OHLCV
    rows = _bars(2000)
    plain = [make(p) for p in PERIODS for make in (talipp.EMA, talipp.RSI)]
    plain += [talipp.MACD(p, 2 * p, p) for p in PERIODS] + [talipp.BB(p, 2.0) for p in PERIODS]
    ranged = [talipp.ATR(p) for p in PERIODS]
    out = []
    for row in rows[:calls]:
        bar = ohlcv(*row, None)
        start = time.perf_counter_ns()
        for indicator in plain:
            indicator.add(row[3])
        for indicator in ranged:
            indicator.add(bar)
        out.append(time.perf_counter_ns() - start)
    return np.array(out[100:], dtype=float)


def _peer(calls: int = 300) -> np.ndarray | None:
    try:
        return _talipp(calls)
    except pytest.skip.Exception:
        return None


def bench_features_100(report: Report) -> None:
    samples, f = _ticks(PEERS, PERIODS)
    assert f.count == (samples.size + 64) * BATCH
    peer = _peer()
    row = report.row(
        "features_100", samples, batch=BATCH, checksum=f.value("rsi", 14),
        peer="talipp" if peer is not None else None, peer_samples=peer,
    )  # fmt: skip
    for level in ("baseline", "v3"):
        if level == "v3" and isa.offered() not in ("v3", "v4"):
            continue
        slower, _ = _ticks(PEERS, PERIODS, level)
        note(f"features_100 on {level}: {np.median(slower):.0f} ns, on {isa.level()}: {row.p50:.0f} ns")


def bench_features_200(report: Report) -> None:
    assert len(MIXED) * len(WINDOWS) == 200
    samples, f = _ticks(MIXED, WINDOWS)
    report.row("features_200", samples, batch=BATCH, checksum=f.value("zscore", 20))


def bench_features_all(report: Report) -> None:
    bars = _bars(4096)
    f = Features(windows=WINDOWS)
    samples = samples_array(5_000)
    loop_features.bars(f, bars, np.zeros(64), BATCH)
    loop_features.bars(f, bars, samples, BATCH)
    f.check()
    assert len(TABLE) * len(WINDOWS) == 816
    report.row("features_all_816", samples, batch=BATCH, checksum=f.value("adx", 14))


def bench_bar_close_of_500_symbols(report: Report) -> None:
    panel = Panel(sized(500, 5), MIXED, windows=WINDOWS)
    rows = np.ascontiguousarray(np.repeat(_bars(512)[:, None, :], panel.count, axis=1))
    samples = samples_array(400, 20)
    loop_features.close_of_all(panel, rows, np.zeros(sized(250, 5)))
    loop_features.close_of_all(panel, rows, samples)
    alone = Features(MIXED, windows=WINDOWS)
    alone.restore(panel.state(panel.count - 1))
    assert alone.count == samples.size + sized(250, 5)
    report.row("features_500_symbols", samples, checksum=alone.value("rsi", 14))


def _batch(family: str, bars: list[np.ndarray]) -> np.ndarray:
    """Nanoseconds a value of one family for eight windows over an array of bars."""
    f = Features([family], windows=WINDOWS)
    out = np.zeros((len(bars[0]), 1, len(WINDOWS)))
    return time_calls(lambda: f.run(*bars, out=out), calls=1, rounds=9) / out.size


def bench_batch_beside_talib(report: Report) -> None:
    """Ours advances eight windows at once and TA-Lib one a call: both are given the same eight, per value."""
    talib = pytest.importorskip("talib", reason="TA-Lib is a peer, not a dependency")
    rows = _bars(sized(20_000, 300))
    open_, high, low, close, volume = (np.ascontiguousarray(rows[:, i]) for i in range(5))
    calls: dict[str, Callable[[int], object]] = {
        "ema": lambda n: talib.EMA(close, n),
        "rsi": lambda n: talib.RSI(close, n),
        "macd_hist": lambda n: talib.MACD(close, n, (26 * n + 6) // 12, max((9 * n + 6) // 12, 1)),
        "atr": lambda n: talib.ATR(high, low, close, n),
        "bb_upper": lambda n: talib.BBANDS(close, n),
        "wma": lambda n: talib.WMA(close, n),
        "tema": lambda n: talib.TEMA(close, n),
        "adx": lambda n: talib.ADX(high, low, close, n),
        "cci": lambda n: talib.CCI(high, low, close, n),
        "stoch_k": lambda n: talib.STOCHF(high, low, close, n, 1),
        "aroon_osc": lambda n: talib.AROONOSC(high, low, n),
        "mfi": lambda n: talib.MFI(high, low, close, volume, n),
        "linreg": lambda n: talib.LINEARREG(close, n),
        "kama": lambda n: talib.KAMA(close, n),
    }
    ratios = {}
    for family, call in calls.items():
        ours = _batch(family, [open_, high, low, close, volume])
        theirs = time_calls(lambda call=call: [call(n) for n in WINDOWS], calls=1, rounds=9) / (close.size * 8)
        ratios[family] = np.median(theirs) / np.median(ours)
        note(f"batch {family}: {np.median(ours):.2f} ns a value, TA-Lib {np.median(theirs):.2f}")
        if family == "ema":
            f = Features(["ema"], windows=WINDOWS)
            value = f.run(open_, high, low, close, volume)[-1, 0, 2]
            assert np.isclose(value, talib.EMA(close, 14)[-1], rtol=1e-12)
            report.row("features_batch", ours, peer="TA-Lib", peer_samples=theirs, checksum=value)
    note("TA-Lib over ours: " + ", ".join(f"{name} {ratio:.1f}x" for name, ratio in ratios.items()))

"""Gate: one whole verdict, every rule, with 64 open positions; and the correlation table behind it."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, heavy_peer, samples_array, sized
from bench.loops import loop_risk
from engine._core.correlation import Correlation
from engine._core.risk import Gate
from tests.differential.test_risk import ACCOUNT, LIMITS, NOW, SYMBOL

POSITIONS = 64
PX = 6_000_000
BATCH = 16


def _correlation() -> Correlation:
    """64 symbols held half long and half short, with enough samples to be known."""
    table = Correlation(tracked=POSITIONS, symbols=POSITIONS, samples_min=5, weight=0.05)
    rng = np.random.default_rng(1)
    for _ in range(50):
        for symbol, px in enumerate(1_000_000 + rng.integers(-500, 500, POSITIONS)):
            if symbol not in table.tracked:
                table.track(symbol)
            table.price(symbol, int(px))
        table.sample()
    for symbol in range(POSITIONS):
        table.hold(symbol, 1 if symbol % 2 else -1)
    return table


def _gate() -> Gate:
    """An account of 10 M in 1e-8 units, symbols like BTCUSDT: ticks of 0.01, lots of 0.00001, a price of 60,000."""
    gate = Gate(symbols=POSITIONS, seed=3)
    money = 10_000_000 * 10**8
    gate.set_limits(**LIMITS | {"correlation_ppm": 1_000_000, "order_notional": money // 10})
    gate.set_account(**ACCOUNT | {"equity": money, "peak": money, "day_base": money, "margin_available": money})
    for symbol in range(POSITIONS):
        gate.set_symbol(
            symbol,
            **SYMBOL
            | {
                "bid_px_ticks": PX - 1,
                "ask_px_ticks": PX + 1,
                "px_max_ticks": 10**9,
                "px_ref_ticks": PX,
                "qty_max_lots": 10**9,
                "value_q32": 10 << 32,
                "notional_min": 10 * 10**8,
                "notional_max": money,
            },
            lots=200 if symbol % 2 else -200,
        )
        gate.expose(symbol, PX)
    return gate


def bench_gate_all(report: Report, benchmark) -> None:
    gate, correlation = _gate(), _correlation()
    rng = np.random.default_rng(2)
    prices, symbols = rng.integers(PX - 5, PX + 6, 4096), rng.integers(0, POSITIONS, 4096)
    ask = {"px_ticks": PX, "qty_lots": 100, "px_stop_ticks": PX - 50_000, "ts_signal_ns": NOW}
    assert gate.check_order(NOW, **ask)[0] == 0
    samples = samples_array()
    passed, checksum = loop_risk.check(gate, correlation, prices, symbols, NOW, samples, BATCH)
    assert passed == samples.size * BATCH

    benchmark.pedantic(gate.check_order, args=(NOW,), kwargs=ask, rounds=sized(100, 2), iterations=sized(1000, 2))
    report.row(
        "gate_all", samples, batch=BATCH, python=benchmark.stats["median"] * 1e9, checksum=checksum,
        **heavy_peer("nautilus_trader", "risk_samples"),
    )  # fmt: skip


def bench_correlation_sample(report: Report) -> None:
    correlation = _correlation()
    samples = samples_array(5_000, 20)
    prices = 1_000_000 + np.random.default_rng(5).integers(-500, 500, (1024, POSITIONS))
    loop_risk.sample(correlation, prices, samples)
    correlation.check()
    report.row("correlation_sample", samples, checksum=round(float(correlation.matrix().sum()), 9))

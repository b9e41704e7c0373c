"""Ledger, margin, cost and sizing: one fill with its fee, one valuation, one check, one estimate."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array, time_calls
from bench.loops import loop_ledger
from engine._core import cost
from engine._core.ledger import Ledger
from engine._core.margin import MarginTiers, account_headroom

BATCH = 32
SYMBOLS = 64
WHOLE = 10**8


def _ledger() -> Ledger:
    ledger = Ledger(assets=SYMBOLS + 2, symbols=SYMBOLS)
    for asset in range(SYMBOLS + 2):
        ledger.set_asset(asset)
    for symbol in range(SYMBOLS):
        # Half spot, half perpetuals; asset 1 is what fees are paid in.
        ledger.set_symbol(
            symbol, linear=symbol % 2 == 1, base=symbol + 2, quote=0, unit_value=1000, lot_units=10**5, tick_e8=10**6
        )
    return ledger


def _fills(count: int) -> tuple[np.ndarray, ...]:
    """Random symbols, sides and sizes; the second half undoes the first, so that a round ends flat."""
    rng = np.random.default_rng(11)
    symbols = rng.integers(0, SYMBOLS, count // 2)
    sells = rng.integers(0, 2, count // 2)
    px = rng.integers(5_990_000, 6_010_000, count)
    qty = rng.integers(1, 500, count // 2)
    return (np.concatenate([symbols] * 2), np.concatenate([sells, 1 - sells]), px, np.concatenate([qty] * 2))


def bench_fill(report: Report) -> None:
    """Opens, adds, partial closes and flips in 64 symbols, each with a fee in a third asset."""
    ledger = _ledger()
    fills = _fills(4096)
    samples = samples_array(100_000)
    refused = loop_ledger.fills(ledger, *fills, 75_000, 1, samples, BATCH)
    ledger.check()
    assert refused == 0
    assert sum(ledger.position(s)["fill_count"] for s in range(SYMBOLS)) == samples.size * BATCH
    fee = ledger.balance(1, 4)
    assert fee == samples.size * BATCH * 75_000
    python = time_calls(lambda: ledger.fill(0, False, 6_000_000, 1, fee=1, fee_asset=1), calls=2000)
    report.row(
        "ledger_fill", samples, batch=BATCH, python=python, checksum=fee, note="with legs and a fee in a third asset"
    )


def bench_equity(report: Report) -> None:
    """A whole valuation of 64 open positions, half of them spot."""
    ledger = _ledger()
    for symbol in range(SYMBOLS):
        ledger.fill(symbol, symbol % 3 == 0, 6_000_000, 100)
        ledger.mark(symbol, 60_100 * WHOLE, 0)
    for asset in range(1, SYMBOLS + 2):
        ledger.mark_asset(asset, 60_100 * WHOLE, 0)
    samples = samples_array(20_000)
    total = loop_ledger.equity(ledger, samples, 4)
    assert total == ledger.equity(now_ns=0, age_max_ns=1)["equity"] * samples.size * 4
    report.row("ledger_equity64", samples, batch=4, checksum=total)


def _tiers() -> MarginTiers:
    tiers = MarginTiers()
    for cap, rate_e8, leverage in (
        (50_000, 400_000, 125),
        (600_000, 500_000, 100),
        (3_000_000, 650_000, 75),
        (12_000_000, 1_000_000, 50),
        (70_000_000, 2_000_000, 25),
        (100_000_000, 2_500_000, 20),
    ):
        tiers.add(cap * WHOLE, rate_e8, leverage_max=leverage)
    return tiers


def bench_margin(report: Report) -> None:
    rng = np.random.default_rng(12)
    qty, px = rng.integers(1, 5000, 4096), rng.integers(5_990_000, 6_010_000, 4096)
    tiers = _tiers()
    samples = samples_array(100_000)
    checksum = loop_ledger.margin(tiers, qty, px, samples, BATCH, False)
    required = tiers.order(
        position_lots=0,
        open_lots=5,
        sell=False,
        qty_lots=int(qty[0]),
        px_ticks=int(px[0]),
        unit_value=1000,
        leverage=20,
    )
    assert required == -(-int(qty[0]) * int(px[0]) * 1000 // 20)
    account = {"wallet": 10**15, "unrealised": 0, "initial": 0, "now_ns": 0, "age_max_ns": 0, "ts_ns": 0}
    python = time_calls(lambda: account_headroom(required, **account), calls=2000)
    report.row("margin_check", samples, batch=BATCH, python=python, checksum=checksum)

    samples = samples_array(100_000)
    checksum = loop_ledger.margin(tiers, qty, px, samples, BATCH, True)
    report.row("margin_liquidation", samples, batch=BATCH, checksum=checksum)


def bench_cost(report: Report) -> None:
    """Market orders that take 1 to 20 levels, ten in the mean."""
    rng = np.random.default_rng(13)
    px = np.arange(6_000_000, 6_000_020)
    lots = np.full(20, 100)
    qty = rng.integers(1, 2000, 4096)
    samples = samples_array(100_000)
    total = loop_ledger.cost(px, lots, qty, samples, BATCH)
    request = {"sell": False, "unit_value": 1000, "bid_px_ticks": 5_999_999, "ask_px_ticks": 6_000_000}
    rates = {"maker_e8": 20_000, "taker_e8": 50_000, "funding_rate_e8": 10_000, "funding_count": 3}
    each = [cost.estimate(px, lots, qty=int(q), **request, **rates)["total"] for q in qty[: BATCH * samples.size]]
    rounds, rest = divmod(samples.size * BATCH, len(each))
    assert total == sum(each) * rounds + sum(each[:rest])
    python = time_calls(lambda: cost.estimate(px, lots, qty=1000, **request, **rates), calls=2000)
    report.row("cost_estimate", samples, batch=BATCH, python=python, checksum=total)


def bench_size(report: Report) -> None:
    px = np.random.default_rng(14).integers(5_990_000, 6_010_000, 4096)
    samples = samples_array(100_000)
    total = loop_ledger.size(px, samples, BATCH)
    assert total > 0
    report.row("size_largest", samples, batch=BATCH, checksum=total)

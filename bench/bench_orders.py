"""Orders: one transition, a whole life, and a whole bracket, in the kernel."""

from __future__ import annotations

from bench.harness import Report, heavy_peer, samples_array
from bench.loops import loop_orders
from engine._core.brackets import BracketPhase, Brackets
from engine._core.order_table import OrderEvent, OrderState
from engine._core.orders import Orders

BATCH = 32


def bench_transition(report: Report, benchmark) -> None:
    orders = Orders(capacity=1024, symbols=64)
    ids = [orders.create(qty=10, tag=tag)[1] for tag in range(200)]
    one = ids[100]
    orders.send(one)
    orders.apply(one, OrderEvent.ON_ACK)
    samples = samples_array()
    loop_orders.transition(orders, one, samples, BATCH)
    orders.check()
    assert orders.find(one)["state"] == OrderState.STATE_OPEN
    assert orders.counts["illegal_count"] == 0
    benchmark.pedantic(orders.apply, args=(one, OrderEvent.ON_ACK), rounds=20, iterations=20)
    report.row(
        "order_transition", samples, batch=2 * BATCH, checksum=orders.symbol(0)["open_buy_lots"],
        python=benchmark.stats["median"] * 1e9,
    )  # fmt: skip


def bench_lifecycle(report: Report) -> None:
    orders = Orders(capacity=1024, symbols=64)
    samples = samples_array(40_000, 50)
    trades = loop_orders.lifecycle(orders, samples, BATCH, 0)
    orders.check()
    counts = orders.counts
    assert trades == samples.size * BATCH
    assert counts["illegal_count"] == counts["refused_count"] == counts["live_count"] == 0
    # 1,000 / ns: million lives a second on one core.
    # The peer's order also passes its matching; a life here ends with the fill's report.
    peer = heavy_peer("nautilus_trader", "order_path_samples")
    report.row("order_lifecycle", samples, batch=BATCH, checksum=trades, **peer)
    report.row("order_lifecycle_rate", 1000 / samples.clip(min=1), batch=BATCH, checksum=trades)


def bench_bracket(report: Report) -> None:
    orders, brackets = Orders(capacity=1024, symbols=64), Brackets(capacity=256)
    samples = samples_array(20_000, 50)
    trades, handle = loop_orders.bracket(orders, brackets, samples, BATCH, 0)
    orders.check()
    brackets.check()
    last = brackets.find(handle)
    assert (last["phase"], last["held_lots"]) == (BracketPhase.PHASE_CLOSED, 0)
    assert brackets.counts["illegal_count"] == brackets.counts["incident_count"] == 0
    assert trades == 2 * samples.size * BATCH
    report.row("bracket_lifecycle", samples, batch=BATCH, checksum=trades)

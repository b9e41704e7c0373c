"""Discipline: one whole check with evidence behind it, and one closed trade judged anew."""

from __future__ import annotations

from bench.harness import Report, samples_array, sized
from bench.loops import loop_discipline
from engine._core.discipline import Discipline
from tests.differential.test_discipline import BUY, FACTS, GOOD, T0, feed

BATCH = 16


def _table() -> Discipline:
    table = Discipline(strategies=64, symbols=1024)
    for strategy in range(64):
        feed(table, GOOD * 7, strategy=strategy, start=T0 - 2_000 * 3600 * 10**9)
    return table


def bench_check(report: Report, benchmark) -> None:
    table = _table()
    samples, refusing = samples_array(), samples_array()
    passed, checksum = loop_discipline.check(table, T0, 1_000, samples, BATCH)
    assert (passed, checksum) == (samples.size * BATCH, 0)
    # The dearer side: every signal is a size too large, so each starts a cap and leaves its reasons.
    passed, checksum = loop_discipline.check(table, T0, 2_000_000, refusing, BATCH)
    assert passed == 0
    assert checksum > 0
    table.check()
    benchmark.pedantic(table.check_signal, args=(T0, BUY, FACTS), rounds=sized(50, 2), iterations=sized(100, 2))
    note = f"refused with its cap {sorted(refusing)[refusing.size // 2]:.1f} ns"
    report.row(
        "discipline_check", samples, batch=BATCH, python=benchmark.stats["median"] * 1e9, checksum=checksum, note=note
    )


def bench_result(report: Report) -> None:
    table = _table()
    samples = samples_array(50_000)
    good = loop_discipline.result(table, T0, samples, BATCH)
    assert good == samples.size * BATCH
    table.check()
    report.row("discipline_result", samples, batch=BATCH, checksum=good)

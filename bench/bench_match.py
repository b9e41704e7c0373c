"""The matching core: commands a second in process, one core, one book.

The stream is an exchange's own mix: of a hundred commands about 52 place a resting order, 43 cancel one, 5 take. About
4,000 orders rest over some hundred levels; a tenth of the owners' orders are heard of by events. exchange-core
publishes 5 million operations a second on one core of a large server for its whole pipeline (risk, matching, journal
off); it is a Java program and cannot run here, so the figure stands in the note and no ratio is claimed.
"""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array, sized
from bench.loops import loop_match
from engine._core.match import REQUEST, Match
from engine._core.strategy_abi import WishTif, WishType

BATCH = 64


def _stream(count: int, seed: int = 11) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.zeros(count, REQUEST)
    middle = 600_000
    live: list[int] = []
    draws = rng.random((count, 3))
    away = np.minimum(rng.exponential(25.0, count).astype(np.int64) + 1, 400)
    lots = rng.integers(1, 500, count)
    for i in range(count):
        row = out[i]
        kind, side, pick = draws[i]
        if kind < 0.43 + (0.05 if len(live) > 4000 else -0.2 if len(live) < 2000 else 0.0) and live:
            at = int(pick * len(live))
            row["id"] = live[at]
            live[at] = live[-1]
            live.pop()
            continue
        sell = side < 0.5
        row["id"] = i + 1
        row["qty_lots"] = lots[i]
        row["flags"] = sell
        row["owner"] = 1 if pick < 0.1 else 0
        if kind > 0.95:
            row["type"], row["tif"] = WishType.TYPE_LIMIT, WishTif.TIF_IOC
            row["px_ticks"] = middle - 3 if sell else middle + 3
            continue
        row["px_ticks"] = middle + away[i] if sell else middle - away[i]
        live.append(i + 1)
        if pick > 0.99:
            middle += 1 if side < 0.25 else -1
    return out


def bench_orders(report: Report, benchmark) -> None:
    samples = samples_array(full=15_000, smoke=100)
    requests = _stream(samples.size * BATCH)
    book = Match(px_max=2_000_000, qty_max=10_000_000, owner_orders_max=100_000, dirty_max=0)
    accepted = loop_match.drive(book, requests, samples, BATCH)
    book.check()
    # A cancel whose order was taken meanwhile is the only command that may fail.
    assert accepted > 0.8 * requests.size

    other = Match(px_max=2_000_000, qty_max=10_000_000)
    number = iter(range(1, 10**9))

    def place_and_cancel() -> None:
        one = next(number)
        other.submit(one, owner=1, sell=False, type=0, px_ticks=50_000, qty_lots=5)
        other.cancel(one)
        other.told()

    benchmark.pedantic(place_and_cancel, rounds=sized(200, 2), iterations=sized(200, 2))
    report.row(
        "match_orders",
        1e3 / samples,
        batch=BATCH,
        python=1e3 / (benchmark.stats["median"] * 1e9 / 2),
        checksum=f"{accepted} {book.id_trade} {book.live_count}",
        note="exchange-core publishes 5 M/s a core for its pipeline, on other hardware",
    )

"""The book: a level set and the best prices read, near the touch and far from it, warm and cold; the queries.

The stream walks: inserts, changes and deletes around a touch that drifts, each event a message of its own, so every
one of them pays for the top line. Peers read the same stream in the same run.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sortedcontainers import SortedDict

from bench.harness import Report, samples_array, sized, time_calls
from bench.loops import loop_book
from engine._core.book import Book, Rule, Trust
from engine._core.types import EVENT, LEVEL, Flag, Kind

BATCH = 64
COLD_BATCH = 20
BASE = 600_000
TICK = 0.1


def near_stream(count: int, seed: int = 3) -> npt.NDArray[Any]:
    """Rows of side (1 bid), ticks, lots: about fifty levels a side around a middle that moves a tick in 3 % of steps.

    One in five touches of a standing level deletes it. Never crossed.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, int]] = []
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    middle = BASE + 4096

    def put(side: int, px: int, qty: int) -> None:
        book = bids if side else asks
        if qty:
            book[px] = qty
        else:
            book.pop(px, None)
        rows.append((side, px, qty))

    for k in range(50):
        put(1, middle - 1 - k, 100 + k)
        put(0, middle + 1 + k, 100 + k)
    while len(rows) < count:
        side, distance = int(rng.integers(2)), min(60, int(rng.exponential(6.0))) + 1
        if rng.random() < 0.03:
            up = rng.random() < 0.5 + (BASE + 4096 - middle) / 8192
            middle += 1 if up else -1
            put(0 if up else 1, middle, 0)
            continue
        px = middle - distance if side else middle + distance
        held = (bids if side else asks).get(px, 0)
        put(side, px, 0 if held and rng.random() < 0.2 else int(rng.integers(1, 5001)))
    return np.array(rows[:count], dtype=np.int64)


def far_stream(count: int, seed: int = 4) -> npt.NDArray[Any]:
    """Levels 3,000 to 60,000 ticks behind the touch, some 1,000 a side: half change, a quarter come, a quarter go."""
    rng = np.random.default_rng(seed)
    standing: tuple[list[int], list[int]] = ([], [])
    known: tuple[set[int], set[int]] = (set(), set())
    rows: list[tuple[int, int, int]] = [(1, BASE, 10), (0, BASE + 2, 10)]

    def fresh(side: int) -> None:
        distance = int(rng.integers(3000, 60_000))
        while distance in known[side]:
            distance = int(rng.integers(3000, 60_000))
        known[side].add(distance)
        standing[side].append(distance)
        rows.append((side, BASE - distance if side else BASE + 2 + distance, int(rng.integers(1, 5001))))

    for k in range(2000):
        fresh(k & 1)
    while len(rows) < count:
        side, dice = int(rng.integers(2)), rng.random()
        at = int(rng.integers(len(standing[side])))
        distance = standing[side][at]
        if dice < 0.5:
            rows.append((side, BASE - distance if side else BASE + 2 + distance, int(rng.integers(1, 5001))))
        elif dice < 0.75 and len(standing[side]) < 1200:
            fresh(side)
        elif len(standing[side]) > 800:
            standing[side][at] = standing[side][-1]
            standing[side].pop()
            known[side].discard(distance)
            rows.append((side, BASE - distance if side else BASE + 2 + distance, 0))
    return np.array(rows[:count], dtype=np.int64)


def events_of(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    out = np.zeros(len(rows), dtype=LEVEL)
    out["kind"] = Kind.KIND_BOOK_LEVEL
    out["flags"] = Flag.FLAG_FIRST | Flag.FLAG_LAST | np.where(rows[:, 0] == 1, 0, Flag.FLAG_ASK)
    out["px_ticks"], out["qty_lots"] = rows[:, 1], rows[:, 2]
    out["id_last"] = -1
    out["ts_recv_ns"] = np.arange(len(rows))
    out["flags"][0] |= Flag.FLAG_SNAPSHOT
    return out.view(EVENT)


# Peers are timed by the processor time they used: a run of theirs is long enough to be interrupted, a batch of ours
# is not, and on a busy machine that alone would flatter us.
def sorted_dict_run(rows: npt.NDArray[Any]) -> tuple[float, tuple[int, int]]:
    """Nanoseconds a level of the plain-Python book, and its best prices at the end."""
    work = [(int(side), int(px), int(qty)) for side, px, qty in rows]
    bids: SortedDict[int, int] = SortedDict()
    asks: SortedDict[int, int] = SortedDict()
    best = (0, 0)
    start = time.process_time_ns()
    for side, px, qty in work:
        book = bids if side else asks
        if qty:
            book[px] = qty
        else:
            book.pop(px, None)
        if bids and asks:
            best = bids.peekitem(-1)[0], asks.peekitem(0)[0]
    return (time.process_time_ns() - start) / len(work), best


def hftbacktest_run(rows: npt.NDArray[Any]) -> Callable[[], tuple[float, tuple[int, int]]] | None:
    """One replay through its ROI vector depth, in a numba loop that reads both best prices; None when not installed.

    Its replay keeps an exchange's and a local book, so one event is two book updates there.
    """
    if importlib.util.find_spec("hftbacktest") is None:
        return None
    import numba as nb  # noqa: PLC0415
    from hftbacktest import (  # noqa: PLC0415
        BUY_EVENT,
        DEPTH_EVENT,
        EXCH_EVENT,
        LOCAL_EVENT,
        SELL_EVENT,
        BacktestAsset,
        ROIVectorMarketDepthBacktest,
    )
    from hftbacktest.binding import event_dtype  # noqa: PLC0415

    data = np.zeros(len(rows), event_dtype)
    data["ev"] = np.where(rows[:, 0] == 1, BUY_EVENT, SELL_EVENT) | DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT
    data["exch_ts"] = 1_000_000_000 + np.arange(len(rows)) * 1000
    data["local_ts"] = data["exch_ts"] + 100
    data["px"], data["qty"] = np.round(rows[:, 1] * TICK, 1), rows[:, 2] * 0.001

    @nb.njit
    def walk(run):  # type: ignore[no-untyped-def]
        total = 0
        while run.wait_next_feed(False, 100_000_000_000) != 1:
            depth = run.depth(0)
            total += depth.best_bid_tick + depth.best_ask_tick
        depth = run.depth(0)
        return total, depth.best_bid_tick, depth.best_ask_tick

    def once() -> tuple[float, tuple[int, int]]:
        asset = (
            BacktestAsset().data([data]).linear_asset(1.0).constant_order_latency(1000, 1000).risk_adverse_queue_model()
        )
        asset = asset.no_partial_fill_exchange().trading_value_fee_model(0.0002, 0.0007).tick_size(TICK).lot_size(0.001)
        asset = (
            asset.last_trades_capacity(0).roi_lb((rows[:, 1].min() - 1) * TICK).roi_ub((rows[:, 1].max() + 1) * TICK)
        )
        run = ROIVectorMarketDepthBacktest([asset])
        start = time.process_time_ns()
        _, bid, ask = walk(run)
        taken = (time.process_time_ns() - start) / len(rows)
        run.close()
        return taken, (int(bid), int(ask))

    once()
    return once


def _level_bench(report: Report, name: str, rows: npt.NDArray[Any], benchmark: Any, fill: int) -> None:
    events = events_of(rows)
    raw = events.view(np.uint8)
    book = Book(rule=Rule.RULE_NONE)
    # A whole pass first, checked against the plain-Python book; the timed passes walk the same stream after its
    # opening image, which must not be applied twice.
    assert not book.apply(events).any()
    taken, best = sorted_dict_run(rows)
    assert (book.best_bid_ticks, book.best_ask_ticks) == best
    assert book.trust == Trust.TRUST_LIVE
    book.check()
    assert not book.apply(events[:fill]).any()
    samples = np.zeros((len(rows) - fill) // BATCH)
    checksum = loop_book.apply(book, raw[fill * 64 :], samples, BATCH)
    expected = Book(rule=Rule.RULE_NONE)
    expected.apply(events[: fill + samples.size * BATCH])
    assert expected.top()[:5] == book.top()[:5]

    plain = [taken] + [sorted_dict_run(rows)[0] for _ in range(sized(2, 1))]
    one = events[fill : fill + 1]
    benchmark.pedantic(book.apply, args=(one,), rounds=sized(200, 2), iterations=sized(500, 2))
    peer, peer_samples = "sortedcontainers.SortedDict", plain
    note = f"SortedDict {np.median(plain):.0f} ns"
    heavy = hftbacktest_run(rows)
    if heavy is not None:
        runs = [heavy() for _ in range(sized(5, 1))]
        assert all(final == best for _, final in runs)
        peer, peer_samples = "hftbacktest ROIVector", [taken for taken, _ in runs]
    report.row(
        name,
        samples,
        batch=BATCH,
        python=benchmark.stats["median"] * 1e9,
        peer=peer,
        peer_samples=peer_samples,
        checksum=checksum,
        note=note,
    )
    print(f"{name}: {note}, {samples.size * BATCH} events")


def bench_set_and_best__beside_touch(report: Report, benchmark: Any) -> None:
    _level_bench(report, "book_near", near_stream(sized(400_000, 4000)), benchmark, fill=100)


def bench_set_and_best__far_from_touch(report: Report, benchmark: Any) -> None:
    _level_bench(report, "book_far", far_stream(sized(400_000, 6000)), benchmark, fill=2002)


def bench_set_and_best__cold(report: Report) -> None:
    rows = near_stream(sized(4000, 1000))
    events = events_of(rows)
    books = [Book(rule=Rule.RULE_NONE) for _ in range(sized(1000, 20))]
    for book in books:
        assert not book.apply(events[:500]).any()
    steps = sized(300, 5)
    samples = np.zeros(len(books) * steps // COLD_BATCH)
    checksum = loop_book.apply_cold(books, events[500:].view(np.uint8), samples, COLD_BATCH)
    expected = Book(rule=Rule.RULE_NONE)
    expected.apply(events[: 500 + steps])
    assert all(book.top()[:5] == expected.top()[:5] for book in books)
    report.row("book_cold", samples, batch=COLD_BATCH, checksum=checksum)


def bench_top_read(report: Report) -> None:
    book = Book(rule=Rule.RULE_NONE)
    book.apply(events_of(near_stream(4000)))
    samples = samples_array(20_000)
    checksum = loop_book.top_read(book, samples, BATCH)
    assert checksum == samples.size * BATCH * book.best_bid_ticks
    report.row("book_top_read", samples, batch=BATCH, python=time_calls(book.top, calls=20_000), checksum=checksum)


def bench_depth_query(report: Report) -> None:
    """Price and cost of a size of about ten levels, then the depth to that price."""
    book = Book(rule=Rule.RULE_NONE)
    book.apply(events_of(near_stream(20_000)))
    reach = np.array([book.depth_to(0, int(book.levels(0, 10)[-1, 0]))] * 2, dtype=np.int64)
    reach[1] = book.depth_to(1, int(book.levels(1, 10)[-1, 0]))
    samples = samples_array(100_000)
    checksum = loop_book.depth_query(book, reach, samples)
    assert checksum == int(reach.sum()) * (samples.size // 2)
    report.row(
        "book_depth_query",
        samples,
        python=time_calls(lambda: book.cost(0, int(reach[0])), calls=5000),
        checksum=checksum,
    )


def bench_snapshot(report: Report) -> None:
    """The best 20 levels of both sides copied out."""
    book = Book(rule=Rule.RULE_NONE)
    book.apply(events_of(near_stream(20_000)))
    out = np.zeros((40, 2), dtype=np.int64)
    samples = samples_array(100_000)
    assert loop_book.snapshot(book, out, samples) == 40
    assert out[:20].tolist() == book.levels(0, 20).tolist()
    assert out[20:].tolist() == book.levels(1, 20).tolist()
    report.row(
        "book_snapshot", samples, python=time_calls(lambda: book.levels(0, 20), calls=5000), checksum=int(out.sum())
    )

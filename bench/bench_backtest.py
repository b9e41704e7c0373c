"""Backtests: quotes with ten features, and depth through the core, alone and with the venue's queues; peers beside.

Timed is the run itself, from the first event to the last: the data stands ready, core and venue are fresh. Peers get
the same rows and the same logic, an order each ten thousand, and are timed by the processor time they used.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bench.bench_book import BASE, TICK, events_of, near_stream
from bench.harness import Report, heavy_peer, sized
from engine._core import features_feed
from engine._core.tape import Tape
from engine._core.types import EVENT, LEVEL, QUOTE, Kind
from engine.research import backtest
from engine.research.assumed import Market
from engine.research.dataset import Dataset, Meta
from engine.research.lockstep import Lockstep, Route
from engine.runtime.backtest import Asked, Bench, settings_for
from engine.settings.load import config_directory, load

START = 1_700_000_000_000_000_000
MS = 1_000_000
META = Meta("BTCUSDT", 10**7, 10**5, "linear", source="made for a bench")
ROUNDS = 3
BEAT, BEAT_FEATURES = "bench.strategy_beat", "bench.strategy_beat_features"


class _Depth:
    """Every level to the core, and to the venue's book as well when queues are asked for."""

    def __init__(self, *, venue: bool) -> None:
        self.route = int(Route.ROUTE_CORE) | (int(Route.ROUTE_VENUE) if venue else 0)

    def parts(self, events: npt.NDArray[Any]) -> Any:
        return iter([(events, np.full(len(events), self.route, np.uint8))])


def quotes_of(count: int) -> npt.NDArray[Any]:
    rng = np.random.default_rng(5)
    mid = 600_000 + np.cumsum(rng.integers(-2, 3, count))
    out = np.zeros(count, QUOTE)
    out["kind"], out["flags"] = Kind.KIND_QUOTE, 3
    out["ts_recv_ns"] = out["ts_venue_ns"] = START + np.arange(count) * MS
    out["bid_px_ticks"], out["ask_px_ticks"] = mid, mid + 1
    out["bid_qty_lots"], out["ask_qty_lots"] = rng.integers(1, 5000, (2, count))
    out["id_book"] = np.arange(1, count + 1)
    return out.view(EVENT)


def _rates(events: npt.NDArray[Any], strategy: str, market: Any, *, every: int, books: bool) -> Any:
    """Million events a second of each round, and the last round's tape hash."""
    asked = Asked(strategy, {"every": every}, latency_ms=0.5, cuts=0)
    settings = settings_for(load([config_directory() / "paper.toml"]).settings, asked, (Dataset(META, events), events))
    rates, seen = [], set()
    for _ in range(sized(ROUNDS, 1)):
        bench = Bench(settings, asked, Market("book"))
        machine = bench.machine(events)
        if books:
            machine = _with_book(bench, machine, events)
        driver = backtest._Driver(machine, market, events)
        # The processor's time on both sides: a peer beside it on a busy machine is held up as often.
        start = time.process_time_ns()
        driver.run()
        rates.append(len(events) * 1e3 / (time.process_time_ns() - start))
        counts = machine.core.world.counts
        assert counts["refused"] == 0, counts
        # The first level makes no touch, so the last order may be one call short.
        assert counts["intents"] >= len(events) // every - 1, counts
        fed = features_feed.feed_of(machine.core.world, 0)
        assert (fed is not None and not np.isnan(fed[3]).any()) == (strategy == BEAT_FEATURES)
        seen.add(machine.core.world.state_hash())
    assert len(seen) == 1
    return np.array(rates), seen.pop()


def _with_book(bench: Bench, machine: backtest.Machine, events: npt.NDArray[Any]) -> backtest.Machine:
    """The same core with its own book of the depth."""
    core = bench.core(book=(4096, 1024))
    tape = Tape(None, capacity=4 * len(events) + (1 << 16), write=True)
    return backtest.Machine(core, machine.venue, Lockstep(core, tape, machine.venue.recorded(0)), tape.records)


def bench_quotes(report: Report) -> None:
    events = quotes_of(sized(300_000, 4_000))
    every = sized(10_000, 100)
    rates, checksum = _rates(events, BEAT_FEATURES, Market("quotes"), every=every, books=False)
    report.row("backtest_quotes", rates, checksum=checksum, **heavy_peer("nautilus_trader", "quotes_rate_samples"))


def bench_quotes_bare(report: Report) -> None:
    """The same without features: what a run costs before anything is computed."""
    events = quotes_of(sized(300_000, 4_000))
    rates, checksum = _rates(events, BEAT, Market("quotes"), every=sized(10_000, 100), books=False)
    report.row("backtest_quotes_bare", rates, checksum=checksum, **heavy_peer("backtrader", "bare_rate_samples"))


def _hftbacktest(rows: npt.NDArray[Any], every: int) -> Callable[[], float] | None:
    if importlib.util.find_spec("hftbacktest") is None:
        return None
    import numba as nb  # noqa: PLC0415
    from hftbacktest import (  # noqa: PLC0415
        BUY_EVENT,
        DEPTH_EVENT,
        EXCH_EVENT,
        GTC,
        LIMIT,
        LOCAL_EVENT,
        SELL_EVENT,
        BacktestAsset,
        ROIVectorMarketDepthBacktest,
    )  # fmt: skip
    from hftbacktest.binding import event_dtype  # noqa: PLC0415

    data = np.zeros(len(rows), event_dtype)
    data["ev"] = np.where(rows[:, 0] == 1, BUY_EVENT, SELL_EVENT) | DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT
    data["exch_ts"] = START + np.arange(len(rows)) * MS
    data["local_ts"] = data["exch_ts"] + 100_000
    data["px"], data["qty"] = np.round(rows[:, 1] * TICK, 1), rows[:, 2] * 0.001

    @nb.njit
    def walk(run, every):  # type: ignore[no-untyped-def]
        count = sent = total = 0
        while run.wait_next_feed(False, 100_000_000_000) != 1:
            depth = run.depth(0)
            total += depth.best_bid_tick + depth.best_ask_tick
            count += 1
            if count % every == 0:
                sent += 1
                if sent % 2 == 1:
                    run.submit_buy_order(0, sent, depth.best_ask, 0.01, GTC, LIMIT, False)
                else:
                    run.submit_sell_order(0, sent, depth.best_bid, 0.01, GTC, LIMIT, False)
                run.clear_inactive_orders(0)
        return sent

    def once() -> float:
        asset = BacktestAsset().data([data]).linear_asset(1.0).constant_order_latency(500_000, 500_000)
        asset = asset.risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0002, 0.0007)
        asset = asset.tick_size(TICK).lot_size(0.001).last_trades_capacity(0)
        asset = asset.roi_lb((rows[:, 1].min() - 1) * TICK).roi_ub((rows[:, 1].max() + 1) * TICK)
        run = ROIVectorMarketDepthBacktest([asset])
        start = time.process_time_ns()
        sent = walk(run, every)
        taken = time.process_time_ns() - start
        run.close()
        assert sent >= len(rows) // every - 1
        return len(rows) * 1e3 / taken

    once()
    return once


@pytest.mark.parametrize("name", ["replay_l2", "replay_l2_queues"])
def bench_depth(report: Report, name: str) -> None:
    rows = near_stream(sized(200_000, 4_000))
    assert rows[:, 1].min() > BASE
    events = events_of(rows)
    events["ts_recv_ns"] = events["ts_venue_ns"] = START + np.arange(len(events)) * MS
    levels = events.view(LEVEL)
    levels["id_first"] = levels["id_last"] = np.arange(1, len(levels) + 1)
    levels["id_prev"] = levels["id_last"] - 1
    every = sized(10_000, 100)
    market = _Depth(venue=name == "replay_l2_queues")
    rates, checksum = _rates(events, BEAT, market, every=every, books=True)
    peer = _hftbacktest(rows, every)
    more = {}
    if peer is not None:
        version = importlib.metadata.version("hftbacktest")
        more = {"peer": f"hftbacktest {version}", "peer_samples": [peer() for _ in range(sized(ROUNDS, 1))]}
    report.row(name, rates, checksum=checksum, **more)

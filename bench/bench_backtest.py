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
from msgspec.structs import replace

from bench.bench_book import BASE, TICK, events_of, near_stream
from bench.harness import Report, heavy_peer, sized
from engine._core import features_feed
from engine._core.tape import Tape
from engine._core.types import EVENT, LEVEL, QUOTE, TRADE, Kind
from engine.research import backtest, dataset, shipped
from engine.research.assumed import Market
from engine.research.dataset import Dataset, Meta
from engine.research.lockstep import Lockstep, Route
from engine.runtime.backtest import Asked, Bench, settings_for
from engine.settings.load import config_directory, load
from engine.settings.schema import Settings

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


def _rates(events: npt.NDArray[Any], strategy: str, market: Any, *, every: int, books: bool, calls: bool = True) -> Any:
    """Million events a second of each round, and the last round's tape hash. `calls`: each of them is decided on."""
    asked = Asked(strategy, {"every": every}, latency_ms=0.5, cuts=0)
    settings = settings_for(load([config_directory() / "paper.toml"]).settings, asked, (Dataset(META, events), events))
    settings = _deep(settings, events)
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
        assert counts["intents"] >= (len(events) // every - 1 if calls else 1), counts
        fed = features_feed.feed_of(machine.core.world, 0)
        assert (fed is not None and not np.isnan(fed[3]).any()) == (strategy == BEAT_FEATURES)
        seen.add(machine.core.world.state_hash())
    assert len(seen) == 1
    return np.array(rates), seen.pop()


def _deep(settings: Settings, events: npt.NDArray[Any]) -> Settings:
    """Prices as far as the recorded depth goes: a backtest's own core needs the touch alone."""
    levels = events[events["kind"] == int(Kind.KIND_BOOK_LEVEL)].view(LEVEL)
    if not len(levels):
        return settings
    highest = int(levels["px_ticks"].max()) * META.tick_e8
    rows = {name: replace(row, px_max=max(row.px_max, highest)) for name, row in settings.instruments.items()}
    return replace(settings, instruments=rows)


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


def _hftbacktest(data: npt.NDArray[Any], lowest: float, highest: float, every: int) -> Callable[[], float] | None:
    """Million rows of its own form a second, or nothing where it is not installed."""
    if importlib.util.find_spec("hftbacktest") is None:
        return None
    import numba as nb  # noqa: PLC0415
    from hftbacktest import GTC, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest  # noqa: PLC0415

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
        return count, sent

    def once() -> float:
        asset = BacktestAsset().data([data]).linear_asset(1.0).constant_order_latency(500_000, 500_000)
        asset = asset.risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0002, 0.0007)
        asset = asset.tick_size(TICK).lot_size(0.001).last_trades_capacity(0).roi_lb(lowest).roi_ub(highest)
        run = ROIVectorMarketDepthBacktest([asset])
        start = time.process_time_ns()
        count, sent = walk(run, every)
        taken = time.process_time_ns() - start
        run.close()
        assert count > 0
        assert sent == count // every
        return len(data) * 1e3 / taken

    once()
    return once


def _hft_rows(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Levels of the made stream in hftbacktest's form."""
    from hftbacktest import BUY_EVENT, DEPTH_EVENT, EXCH_EVENT, LOCAL_EVENT, SELL_EVENT  # noqa: PLC0415
    from hftbacktest.binding import event_dtype  # noqa: PLC0415

    data = np.zeros(len(rows), event_dtype)
    data["ev"] = np.where(rows[:, 0] == 1, BUY_EVENT, SELL_EVENT) | DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT
    data["exch_ts"] = START + np.arange(len(rows)) * MS
    data["local_ts"] = data["exch_ts"] + 100_000
    data["px"], data["qty"] = np.round(rows[:, 1] * TICK, 1), rows[:, 2] * 0.001
    return data


def _beside(peer: Callable[[], float] | None) -> dict[str, Any]:
    if peer is None:
        return {}
    version = importlib.metadata.version("hftbacktest")
    return {"peer": f"hftbacktest {version}", "peer_samples": [peer() for _ in range(sized(ROUNDS, 1))]}


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
    peer = None
    if importlib.util.find_spec("hftbacktest"):
        lowest, highest = (rows[:, 1].min() - 1) * TICK, (rows[:, 1].max() + 1) * TICK
        peer = _hftbacktest(_hft_rows(rows), lowest, highest, every)
    report.row(name, rates, checksum=checksum, **_beside(peer))


def _shifted(rows: npt.NDArray[Any], names: tuple[str, ...], count: int) -> npt.NDArray[Any]:
    """The rows so many times, each time later by the first name's span and a second."""
    later = int(rows[names[0]].max() - rows[names[0]].min()) + 10**9
    out = np.tile(rows, count)
    for name in names:
        out[name] += np.repeat(np.arange(count), len(rows)) * later
    return out


def _again(events: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Events so many times; their numbers go on rising as their times do."""
    out = _shifted(events, ("ts_recv_ns", "ts_venue_ns"), count)
    turn = np.repeat(np.arange(count), len(events)) * 10**9
    depth = out["kind"] == int(Kind.KIND_BOOK_LEVEL)
    for name in ("id_first", "id_last", "id_prev"):
        out.view(LEVEL)[name][depth] += turn[depth]
    out.view(TRADE)["id_trade"][~depth] += turn[~depth]
    return out


@pytest.mark.parametrize("name", ["replay_recorded", "replay_recorded_queues"])
def bench_recorded(report: Report, name: str) -> None:
    """A recorded perpetual future, depth and trades, a message being some fifteen levels, decided on once a message.

    The file is the package's own sample in hftbacktest's form, and both read it: ten times, one after the other, for it
    is a minute long. Counted are its rows.
    """
    path, row = shipped.find("hftbacktest")
    meta = Meta(row["symbol"], 10**7, 10**5, row["market"], source=row["source"])
    events, _ = dataset.playable(dataset.load(path, meta))
    with np.load(path) as file:
        theirs = file["data"]
    # The quotes are our import's own work, for a core without a book.
    events = events[events["kind"] != int(Kind.KIND_QUOTE)]
    assert len(events) == len(theirs)
    again = sized(10, 1)
    events, theirs = _again(events, again), _shifted(theirs, ("exch_ts", "local_ts"), again)
    every = sized(1_000, 100)
    rates, checksum = _rates(events, BEAT, _Depth(venue=name.endswith("queues")), every=every, books=True, calls=False)
    middle = float(np.median(theirs["px"]))
    # Its window of prices is a fifth around; what lies outside it leaves out, and we do not.
    peer = _hftbacktest(theirs, round(middle * 0.8, 1), round(middle * 1.2, 1), every)
    report.row(name, rates, checksum=checksum, **_beside(peer))

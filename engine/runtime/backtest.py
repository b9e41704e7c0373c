"""Puts a backtest together: settings of one strategy on one data set, a fresh core, venue and tape for every run."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import BAR_PRICES, LEVEL, QUOTE, TRADE, Can, Kind
from engine.errors import BacktestImpossible, DatasetEmpty
from engine.research import backtest, dataset
from engine.research.assumed import AWAY_TICKS, Market, basis_of
from engine.research.dataset import E8, GENERATED, Dataset, Meta
from engine.research.lockstep import TIMER_NS, Lockstep
from engine.research.report import Checked, Told
from engine.runtime.build import build_core
from engine.runtime.embedded import venue_instrument
from engine.settings.schema import Settings
from engine.settings.trading import Instrument, Strategy
from engine.sim.market import random_walk
from engine.sim.venue.embedded import EmbeddedConfig, EmbeddedVenue, Latency

Records = npt.NDArray[Any]
PACKAGE = "strategies"
# A perpetual, as the symbols of config/paper.toml are: a strategy may be short.
SAMPLE = Meta(symbol="BTCUSDT", tick_e8=10**6, lot_e8=10**5, market="linear", source=GENERATED)
SAMPLE_PX = 6_000_000
# Outputs and timers come on top of the events; a run that makes more stops with the tape's own error.
TAPE_ROOM = 1 << 16
TIMERS_MOST = 12
# Nobody asks the venue for its depth, so changed levels are not kept for anybody; pages for a deep recorded book.
BOOK_ROOM = {"dirty_max": 0, "pages_max": 1 << 10}


@dataclass(frozen=True)
class Asked:
    """One backtest as it is asked for."""

    strategy: str
    params: Mapping[str, int | float]
    seed: int = 7
    latency_ms: float | None = None
    cuts: int = 3
    trials: int = 1
    away_ticks: int = AWAY_TICKS


def sample(*, seed: int, count: int) -> Dataset:
    """A generated market; nothing recorded, so nothing licensed."""
    return Dataset(SAMPLE, random_walk(seed=seed, count=count, px_ticks=SAMPLE_PX, first_id=1))


def module_of(name: str) -> str:
    """A bare name is one of the shipped strategies, unless a module of that name is there already."""
    return name if "." in name or name in sys.modules else f"{PACKAGE}.{name}"


def settings_for(settings: Settings, asked: Asked, data: Dataset, events: Records) -> Settings:
    """The settings with this one strategy, on this one instrument."""
    meta, module = data.meta, module_of(asked.strategy)
    if meta.tick_e8 * meta.lot_e8 % E8:
        raise BacktestImpossible(f"{meta.symbol}: tick times lot is no whole number of 1e-8; give a larger --lot")
    px, lots = _most(events)
    # What the settings say of this strategy and this instrument holds; what they do not know is taken from the data.
    known = next((s for s in settings.strategies.values() if s.module == module), None)
    base = known or Strategy(module=module, symbol=meta.symbol)
    row = settings.instruments.get(meta.symbol)
    instrument = Instrument(
        base=row.base if row else meta.symbol[:3], quote=settings.account.asset, market=_market(meta),
        tick=meta.tick_e8, lot=meta.lot_e8, px_max=2 * px * meta.tick_e8, qty_max=lots * meta.lot_e8,
    )  # fmt: skip
    if row is not None:
        instrument = msgspec.structs.replace(instrument, fee_maker=row.fee_maker, fee_taker=row.fee_taker)
    strategy = msgspec.structs.replace(
        base, symbol=meta.symbol, enabled=True, params={**(base.params if known else {}), **asked.params}
    )
    return msgspec.structs.replace(
        settings,
        engine=msgspec.structs.replace(settings.engine, seed=asked.seed),
        instruments={meta.symbol: instrument},
        strategies={asked.strategy.rpartition(".")[2]: strategy},
    )


def _market(meta: Meta) -> Any:
    if meta.market not in dataset.MARKETS:
        raise BacktestImpossible(f"market {meta.market!r}: one of {', '.join(dataset.MARKETS)}")
    return meta.market


def _most(events: Records) -> tuple[int, int]:
    """(highest price, largest quantity) in the data: what the venue's and the gate's ranges must hold."""
    px, lots = 1, 10_000
    for kind, dtype, prices, sizes in (
        (Kind.KIND_QUOTE, QUOTE, ("bid_px_ticks", "ask_px_ticks"), ("bid_qty_lots", "ask_qty_lots")),
        (Kind.KIND_TRADE, TRADE, ("px_ticks",), ("qty_lots",)),
        (Kind.KIND_AGG_TRADE, TRADE, ("px_ticks",), ("qty_lots",)),
        (Kind.KIND_BOOK_LEVEL, LEVEL, (), ("qty_lots",)),
        (Kind.KIND_BAR_PRICES, BAR_PRICES, ("high_ticks",), ("volume_lots",)),
    ):
        rows = np.ascontiguousarray(events[events["kind"] == int(kind)]).view(dtype)
        if len(rows):
            # Levels count where nothing else has a price: beside quotes what is far away does not matter.
            names = ("px_ticks",) if kind == Kind.KIND_BOOK_LEVEL and px == 1 else prices
            px = max([px, *(int(rows[name].max()) for name in names)])
            lots = max([lots, *(int(rows[name].max()) for name in sizes)])
    return px, lots


class Bench:
    """Fresh machines of one backtest: the look-ahead check needs one for each cut."""

    def __init__(self, settings: Settings, asked: Asked, market: Market, directory: Path) -> None:
        self.settings, self.directory, self.market, self.made = settings, directory, market, 0
        latency = Latency() if asked.latency_ms is None else Latency(fixed_ns=int(asked.latency_ms * 1e6))
        self.latency = latency
        self.module = next(iter(settings.strategies.values())).module

    def core(self, book: tuple[int, int] | None = None) -> Core:
        # Inside a bar only the venue knows the price: there it holds stops and targets, where the core else does.
        can = int(Can.CAN_ALL) if self.market.basis == "bars" else None
        return build_core(self.settings, paper_can=can, book=book)

    def machine(self, events: Records) -> backtest.Machine:
        prepare = getattr(importlib.import_module(self.module), "prepare", None)
        if prepare is not None:
            # What a strategy works out beforehand it works out from the data of this run, cut or whole.
            prepare(events)
        core = self.core()
        name, row = next(iter(self.settings.instruments.items()))
        asset = self.settings.account.asset
        instrument = dataclasses.replace(venue_instrument(name, row), capacity=BOOK_ROOM)
        venue = EmbeddedVenue(
            EmbeddedConfig(
                instruments=[instrument], deposits={asset: self.settings.account.capital},
                assets={asset: 0, row.base: 1}, report_fees=True, latency_out=self.latency, latency_back=self.latency,
                start_ns=int(events["ts_recv_ns"][0]), queue_model=self.market.queue,
            ),
            self.settings.engine.seed,
        )  # fmt: skip
        self.made += 1
        # Behind every event come at most so many timers before the silence is long.
        apart = np.diff(events["ts_recv_ns"], prepend=events["ts_recv_ns"][:1])
        timers = int(np.minimum(apart // TIMER_NS + 1, TIMERS_MOST).sum())
        # Inside a bar there is more to fill and to answer than its two records show.
        capacity = (8 if self.market.basis == "bars" else 4) * (len(events) + timers) + TAPE_ROOM
        tape = Tape(self.directory / f"{self.made}.b4", capacity=capacity, write=True)
        return backtest.Machine(core, venue, Lockstep(core, tape, venue.recorded(0)), tape.records)


def run_backtest(settings: Settings, asked: Asked, data: Dataset) -> Told:
    """The run and, unless it is asked to leave it, the look-ahead check."""
    events, done = dataset.playable(data)
    chosen = settings_for(settings, asked, data, events)
    basis = basis_of(events)
    if basis is None:
        raise DatasetEmpty(f"{data.meta.source}: {len(events)} events, no quote, trade or bar that may be used")
    market = Market(basis, asked.away_ticks)
    with tempfile.TemporaryDirectory(prefix="bot4-backtest-") as directory:
        bench = Bench(chosen, asked, market, Path(directory))
        whole = backtest.run(bench.machine(events), market, events)
        checked = Checked()
        if asked.cuts:
            checked = Checked(*backtest.look_ahead(whole, market, events, bench.machine, cuts=asked.cuts))
    latency = "log-normal, median 49 ms" if asked.latency_ms is None else f"{asked.latency_ms:g} ms"
    params = dict(next(iter(chosen.strategies.values())).params)
    return Told(
        bench.module, params, chosen.account.asset, asked.seed, f"{latency} each way", data.meta, done, whole, checked,
        asked.trials, market.text,
    )  # fmt: skip

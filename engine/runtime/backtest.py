"""Puts a backtest together: settings of one strategy on one data set, a fresh core, venue and tape for every run."""

from __future__ import annotations

import dataclasses
import importlib
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import BAR_PRICES, LEVEL, QUOTE, TRADE, Can, Kind
from engine.errors import BacktestImpossible, DatasetEmpty
from engine.research import backtest, dataset, figures
from engine.research.assumed import AWAY_TICKS, Market, basis_of
from engine.research.dataset import E8, GENERATED, Dataset, Meta
from engine.research.lockstep import TIMER_NS, Lockstep
from engine.research.report import Checked, Told, Varied, returns_of
from engine.runtime.build import build_core
from engine.runtime.embedded import venue_instrument
from engine.settings.schema import Settings
from engine.settings.trading import Instrument, Strategy
from engine.sim import draws
from engine.sim.market import random_walk
from engine.sim.venue.embedded import EmbeddedVenue
from engine.sim.venue.embedded_config import EmbeddedConfig, Latency
from engine.strategy import registry

Records = npt.NDArray[Any]
PACKAGE = "strategies"
# A perpetual, as the symbols of config/paper.toml are: a strategy may be short.
SAMPLE = Meta(symbol="BTCUSDT", tick_e8=10**6, lot_e8=10**5, market="linear", source=GENERATED)
SAMPLE_PX = 6_000_000
# Outputs and timers come on top of the events; a run that makes more stops with the tape's own error.
TAPE_ROOM = 1 << 16
TIMERS_MOST = 12
SYMBOLS_MOST = 4
# What a run is made again with: a name, and how many times its fees and its journeys.
VARIATIONS = (
    ("no fees", 0, 1), ("twice the fees", 2, 1), ("no latency", 1, 0), ("twice the latency", 1, 2),
    ("four times the latency", 1, 4),
)  # fmt: skip
# The generated pair: the second venue is so much later, and its basis moves a step of ticks every block of events.
PAIR_LATE_NS, PAIR_BLOCK, PAIR_STEP, PAIR_PULL = 300_000_000, 500, 2_000.0, 0.98
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
    fees: Mapping[str, tuple[int, int]] | None = None  # by market: maker and taker in 1e-8, in place of the settings'
    sensitivity: bool = False  # run again with other costs and other latencies
    beside: str | None = None  # another strategy, on the first peer: what a hedge hedges


def sample(*, seed: int, count: int) -> Dataset:
    """A generated market; nothing recorded, so nothing licensed."""
    return Dataset(SAMPLE, random_walk(seed=seed, count=count, px_ticks=SAMPLE_PX, first_id=1))


def sample_pair(*, seed: int, count: int) -> tuple[Dataset, Dataset]:
    """A generated market at two venues: the second follows later, apart by a basis that comes back to zero."""
    one = sample(seed=seed, count=count)
    events = one.events.copy()
    for name in ("ts_recv_ns", "ts_venue_ns"):
        events[name] += PAIR_LATE_NS
    apart = [0.0]
    for sign in next(draws.signs(seed, count // PAIR_BLOCK + 1, 1, 1)):
        apart.append(PAIR_PULL * apart[-1] + PAIR_STEP * float(sign))
    basis = np.repeat(np.array(apart[1:]).astype(np.int64), PAIR_BLOCK)[:count]
    quotes, trades = events["kind"] == int(Kind.KIND_QUOTE), events["kind"] == int(Kind.KIND_TRADE)
    events["word"][:, 0] += np.where(quotes | trades, basis, 0)
    events["word"][:, 2] += np.where(quotes, basis, 0)
    return one, Dataset(dataclasses.replace(one.meta, source=f"{GENERATED}, a second venue"), events)


def generated(strategy: str, seed: int, count: int) -> list[Dataset]:
    """What a strategy is run on where no data are given: one market, or one at two venues for one that watches."""
    if registry.find(module_of(strategy)).peers:
        return list(sample_pair(seed=seed, count=count))
    return [sample(seed=seed, count=count)]


def module_of(name: str) -> str:
    """A bare name is one of the shipped strategies, unless a module of that name is there already."""
    return name if "." in name or name in sys.modules else f"{PACKAGE}.{name}"


def settings_for(settings: Settings, asked: Asked, *parts: tuple[Dataset, Records]) -> Settings:
    """The settings with this one strategy, on the instruments of these data sets: the first is the one it is about."""
    module = module_of(asked.strategy)
    definition = registry.find(module)
    if len(parts) != 1 + definition.peers:
        raise BacktestImpossible(f"{definition.name} wants data of {1 + definition.peers} symbols, {len(parts)} given")
    instruments: dict[str, Instrument] = {}
    for data, events in parts:
        # The same symbol of two venues is two instruments.
        name = data.meta.symbol if data.meta.symbol not in instruments else f"{data.meta.symbol}_{len(instruments) + 1}"
        row = _instrument(settings, data.meta, events)
        if asked.fees is not None:
            if row.market not in asked.fees:
                raise BacktestImpossible(f"{name}: the schedule has no rates for {row.market}")
            maker, taker = asked.fees[row.market]
            row = msgspec.structs.replace(row, fee_maker=maker, fee_taker=taker)
        if any(row.base == other.base for other in instruments.values()):
            # And two holdings: what was bought at one venue cannot be sold at the other.
            row = msgspec.structs.replace(row, base=f"{row.base[:10]}{len(instruments) + 1}")
        instruments[name] = row
    names = list(instruments)
    known = next((s for s in settings.strategies.values() if s.module == module), None)
    base = known or Strategy(module=module, symbol=names[0])
    params = {**(base.params if known else {}), **asked.params}
    short = asked.strategy.rpartition(".")[2]
    placed = {
        short: msgspec.structs.replace(base, symbol=names[0], peers=tuple(names[1:]), enabled=True, params=params)
    }
    if definition.legs == 2:
        other = (names[0], *names[2:])
        placed[f"{short}_2"] = msgspec.structs.replace(placed[short], symbol=names[1], peers=other)
    if asked.beside is not None:
        if len(names) == 1:
            raise BacktestImpossible(f"{asked.strategy} has no peer for {asked.beside} to trade")
        placed[asked.beside.rpartition(".")[2]] = Strategy(module=module_of(asked.beside), symbol=names[1])
    return msgspec.structs.replace(
        settings,
        engine=msgspec.structs.replace(settings.engine, seed=asked.seed),
        instruments=instruments,
        strategies=placed,
    )


def _instrument(settings: Settings, meta: Meta, events: Records) -> Instrument:
    """What the settings say of an instrument holds; what they do not know is taken from the data."""
    if meta.tick_e8 * meta.lot_e8 % E8:
        raise BacktestImpossible(f"{meta.symbol}: tick times lot is no whole number of 1e-8; give a larger --lot")
    px, lots = _most(events)
    row = settings.instruments.get(meta.symbol)
    instrument = Instrument(
        base=row.base if row else meta.symbol[:3], quote=settings.account.asset, market=_market(meta),
        tick=meta.tick_e8, lot=meta.lot_e8, px_max=2 * px * meta.tick_e8, qty_max=lots * meta.lot_e8,
    )  # fmt: skip
    if row is None:
        return instrument
    return msgspec.structs.replace(instrument, fee_maker=row.fee_maker, fee_taker=row.fee_taker)


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

    def __init__(self, settings: Settings, asked: Asked, market: Market) -> None:
        self.settings, self.asked, self.market = settings, asked, market
        latency = Latency() if asked.latency_ms is None else Latency(fixed_ns=int(asked.latency_ms * 1e6))
        self.latency = latency
        self.module = next(iter(settings.strategies.values())).module

    def varied(self, fees: int, journeys: int) -> Bench:
        """The same with other fees and journeys, each so many times as large."""
        rows = {
            name: msgspec.structs.replace(row, fee_maker=row.fee_maker * fees, fee_taker=row.fee_taker * fees)
            for name, row in self.settings.instruments.items()
        }
        other = Bench(msgspec.structs.replace(self.settings, instruments=rows), self.asked, self.market)
        now = self.latency
        if journeys != 1:
            fixed = 0 if journeys == 0 else None if now.fixed_ns is None else now.fixed_ns * journeys
            # A log-normal time of so many times the length is one of a median moved by its logarithm.
            other.latency = Latency(now.mu + math.log(max(journeys, 1)), now.sigma, fixed)
        return other

    def core(self, book: tuple[int, int] | None = None) -> Core:
        # Inside a bar only the venue knows the price: there it holds stops and targets, where the core else does.
        can = int(Can.CAN_ALL) if self.market.basis == "bars" else None
        return build_core(self.settings, paper_can=can, book=book, disciplined=False)

    def machine(self, events: Records) -> backtest.Machine:
        prepare = getattr(importlib.import_module(self.module), "prepare", None)
        if prepare is not None:
            # What a strategy works out beforehand it works out from the data of this run, cut or whole.
            prepare(events)
        core = self.core()
        rows = self.settings.instruments
        asset = self.settings.account.asset
        instruments = [
            dataclasses.replace(venue_instrument(name, row), capacity=BOOK_ROOM) for name, row in rows.items()
        ]
        venue = EmbeddedVenue(
            EmbeddedConfig(
                instruments=instruments, deposits={asset: self.settings.account.capital},
                assets={asset: 0, **{row.base: 1 + symbol for symbol, row in enumerate(rows.values())}},
                report_fees=True,
                latency_out=self.latency, latency_back=self.latency,
                start_ns=int(events["ts_recv_ns"][0]), queue_model=self.market.queue,
            ),
            self.settings.engine.seed,
        )  # fmt: skip
        # Behind every event come at most so many timers before the silence is long.
        apart = np.diff(events["ts_recv_ns"], prepend=events["ts_recv_ns"][:1])
        timers = int(np.minimum(apart // TIMER_NS + 1, TIMERS_MOST).sum())
        # Inside a bar there is more to fill and to answer than its two records show.
        capacity = (8 if self.market.basis == "bars" else 4) * (len(events) + timers) + TAPE_ROOM
        tape = Tape(None, capacity=capacity, write=True)
        books = [venue.recorded(symbol) for symbol in range(len(instruments))]
        return backtest.Machine(core, venue, Lockstep(core, tape, *books), tape.records)


def run_backtest(settings: Settings, asked: Asked, *data: Dataset, seen: backtest.Seen = lambda _now_ns: None) -> Told:
    """The run and, unless it is asked to leave it, the look-ahead check. Of several data sets the first is traded."""
    played = [dataset.playable(one) for one in data]
    chosen = settings_for(settings, asked, *zip(data, (events for events, _ in played), strict=True))
    if len(data) > SYMBOLS_MOST:
        raise BacktestImpossible(f"{len(data)} data sets; at most {SYMBOLS_MOST}")
    bases = {basis_of(events) for events, _ in played}
    if None in bases:
        raise DatasetEmpty(f"{data[0].meta.source}: no quote, trade or bar that may be used")
    if len(bases) > 1:
        raise BacktestImpossible(f"data of one kind are needed, not {', '.join(sorted(str(one) for one in bases))}")
    market = Market(str(bases.pop()), asked.away_ticks)
    events, done = _together(played)
    bench = Bench(chosen, asked, market)
    whole = backtest.run(bench.machine(events), market, events, seen)
    checked = Checked()
    if asked.cuts:
        checked = Checked(*backtest.look_ahead(whole, market, events, bench.machine, cuts=asked.cuts))
    varied = _varied(bench, market, events) if asked.sensitivity else ()
    latency = "log-normal, median 49 ms" if asked.latency_ms is None else f"{asked.latency_ms:g} ms"
    params = dict(next(iter(chosen.strategies.values())).params)
    return Told(
        bench.module, params, chosen.account.asset, asked.seed, f"{latency} each way", data[0].meta, done, whole,
        checked, asked.trials, market.text, tuple(one.meta for one in data[1:]), varied,
    )  # fmt: skip


def _varied(bench: Bench, market: Market, events: Records) -> tuple[Varied, ...]:
    """The run again: fees of nothing and twice theirs, journeys of no time, twice and four times theirs."""
    found = []
    for what, fees, journeys in VARIATIONS:
        other = bench.varied(fees, journeys)
        run = backtest.run(other.machine(events), market, events)
        returns = returns_of(run)
        net = float(run.equity[-1] - run.start_equity) / E8
        found.append(Varied(what, net, len(run.fills), figures.sharpe(returns), figures.sharpe_error(returns)))
    return tuple(found)


def _together(played: Sequence[tuple[Records, dict[str, int]]]) -> tuple[Records, dict[str, int]]:
    """Several symbols as one stream in the order of receipt, numbered as they were named."""
    if len(played) == 1:
        return played[0]
    parts, done = [], Counter[str]()
    for symbol, (events, notes) in enumerate(played):
        part = events.copy()
        part["symbol"] = symbol
        parts.append(part)
        done.update(notes)
    # Where one begins late nothing is known of it before: the run begins with the last of the first events.
    since = max(int(part["ts_recv_ns"][0]) for part in parts)
    until = min(int(part["ts_recv_ns"][-1]) for part in parts)
    events = np.concatenate(parts)
    events = events[(events["ts_recv_ns"] >= since) & (events["ts_recv_ns"] <= until)]
    if len(np.unique(events["symbol"])) < len(parts):
        raise DatasetEmpty("the data sets have no time in common")
    return np.ascontiguousarray(events[np.argsort(events["ts_recv_ns"], kind="stable")]), dict(done)

"""The whole step: a quote with one compiled strategy through every section, and a mode switch inside one event."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.harness import Report, note, samples_array
from bench.loops import loop_step
from engine._core.modes import Mode, Who
from engine._core.step import Core
from engine._core.types import CONTROL, EVENT, QUOTE, Can, Kind
from engine._core.world import World
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS
from engine.strategy import registry
from engine.strategy.cache import Cache

START = 1_700_000_000_000_000_000
BATCH = 16
FULL = {"brackets": 64, "triggers": 64, "algos": 4, "validate": True, "book_levels": 256}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("strategies"))


def _core(cache: Cache | None, symbols: int = 1, **shape: Any) -> Core:
    world = World(symbols=symbols, strategies=1, orders=256, **shape)
    for symbol in range(symbols):
        world.set_instrument(symbol, **INSTRUMENT, can=int(Can.CAN_ALL))
        world.set_gate_symbol(symbol, **GATE_SYMBOL | {"margin_ppm": 100_000})
    world.set_account(**ACCOUNT)
    world.set_limits(**LIMITS)
    world.set_cash(0, 100_000 * 10**8)
    core = Core(world)
    if cache is not None:
        registry.build("strategies.quoter", cache)
        registry.bind(core, 0, registry.Placement("strategies.quoter", 0), cache=cache)
    return core


def _quotes(count: int = 512) -> np.ndarray:
    """The touch stands and its sizes change: what a quoter sees most of the time. Two quotes a millisecond."""
    rng = np.random.default_rng(3)
    quotes = np.zeros(count, QUOTE)
    quotes["kind"] = Kind.KIND_QUOTE
    quotes["ts_recv_ns"] = START + np.arange(count) * 500_000
    quotes["ts_venue_ns"] = quotes["ts_recv_ns"] - 200_000
    quotes["bid_px_ticks"], quotes["ask_px_ticks"] = 50_000, 50_001
    quotes["bid_qty_lots"], quotes["ask_qty_lots"] = rng.integers(1, 500, count), rng.integers(1, 500, count)
    quotes["id_book"] = np.arange(1, count + 1)
    return quotes.view(EVENT)


def _time(core: Core, events: np.ndarray) -> tuple[np.ndarray, int]:
    samples = samples_array()
    core.step(events[:1])
    outputs, refused = loop_step.run(core, events[1:], samples, BATCH)
    assert refused == 0
    core.world.check()
    return samples, outputs


def bench_step_quote(report: Report, cache: Cache) -> None:
    """Every section on, the account kept by the ledger, two wishes that stand."""
    core = _core(cache, **FULL)
    samples, outputs = _time(core, _quotes())
    assert core.world.strategies()["decided_count"][0] > samples.size
    assert outputs == 0
    bare, _ = _time(_core(cache), _quotes())
    quiet, _ = _time(_core(None, **FULL), _quotes())
    text = f"no optional section {np.median(bare):.1f} ns; every section, no strategy {np.median(quiet):.1f} ns"
    note(f"step_quote: {text}")
    report.row("step_quote", samples, batch=BATCH, checksum=core.world.event_count)


def bench_step_switch(report: Report) -> None:
    """Paused and Reduced in turn, asked by a person, over 64 symbols that hold nothing."""
    core = _core(None, symbols=64, **FULL)
    events = np.zeros(64, CONTROL)
    events["kind"], events["who"] = Kind.KIND_CONTROL, int(Who.WHO_HUMAN)
    events["ts_recv_ns"] = START + np.arange(64) * 1_000_000
    events["mode"] = np.where(np.arange(64) % 2, int(Mode.MODE_REDUCED), int(Mode.MODE_PAUSED))
    samples = samples_array(20_000, 200)
    core.step(events.view(EVENT)[1:2])
    events["aggressive"] = 0
    # The loop moves the last word on with every pass; here it is the asker's opinion of the equity, which is not used.
    outputs, refused = loop_step.run(core, events.view(EVENT), samples, 2)
    assert refused == 0
    assert outputs >= samples.size
    report.row("step_switch", samples, batch=2, checksum=core.world.modes["mode"])

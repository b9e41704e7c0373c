"""Every shipped strategy's result on data that stands with the project: whoever changes one explains it.

Where a sample ships it is used; capture of funding needs rates, which are in the shared recordings; two venues of one
underlying at one time are in no recording here, so that pair is generated. The numbers promise nothing: most lose.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.cli.backtest import read_data
from engine.research import dataset, formats, report
from engine.research.dataset import Dataset, Meta
from engine.runtime.backtest import Asked, run_backtest, sample_pair
from engine.settings.load import config_directory, load
from engine.strategy import registry
from tests.support.shared import shared_path

BARS, BOOK = ("sample:vision-klines",), ("sample:capture",)
HOUR_NS = 3_600 * 10**9


@dataclass(frozen=True)
class Pin:
    fills: int
    net: float
    data: tuple[str, ...] = BARS
    params: dict[str, int | float] = field(default_factory=dict)
    beside: str | None = None


PINS = {
    "arbitrage": Pin(20, -50.66653346, ("generated",), {"edge_bps": 12.0, "qty": 50}),
    "breakout": Pin(462, -19.24740471, params={"bar_s": 300, "qty": 100}),
    "funding": Pin(
        18, 16.27996941, ("funding",), {"qty": 20, "cover_s": 14_400, "slip": 1_000, "enter_bps": 1.2, "exit_bps": 0.3}
    ),
    "hedge": Pin(73, 0.03069011, (*BARS, "sample:freqtrade-feather"), {"bar_s": 300, "slip": 100}, "trend"),
    "learned": Pin(143, -3.79788493, params={"qty": 100}),
    "market_maker": Pin(8, -1.11334650, BOOK, {"warm_s": 5}),
    "mean_reversion": Pin(46, -4.02384918, params={"bar_s": 300, "qty": 100}),
    "momentum": Pin(860, -21.07689945, params={"bar_s": 300, "unit": 50}),
    "quoter": Pin(42, -5.11438630, BOOK),
    "short_side": Pin(112, -6.08120957, params={"bar_s": 300, "qty": 100}),
    "swing": Pin(147, -6.59016525, params={"bar_s": 300, "qty": 100}),
    "trend": Pin(77, -3.50809841, params={"bar_s": 300, "qty": 100}),
}


def funding_data() -> list[Dataset]:
    """The first quarter of 2024: hours of the perpetual with its funding, and hours of spot."""
    perpetual = Meta("BTCUSDT", 10**7, 10**5, "linear")
    hours = dataset.load(shared_path("bars/binance_usdm_perp_1h_5sym_202401_202406.parquet"), perpetual)
    rates = dataset.load(shared_path("funding/binance_usdm_8h_5sym_202301_202406.parquet"), perpetual)
    since = int(hours.events["ts_recv_ns"][0])
    columns = pq.read_table(shared_path("bars/binance_BTCUSDT_1h_201708_202406.parquet")).to_pydict()
    kept = [at for at, opened in enumerate(columns["ts"]) if opened.year == 2024 and opened.month < 4]
    rows = {name: [columns[name][at] for at in kept] for name in ("open", "high", "low", "close")}
    # Spot counts volume in millionths; lots of a thousandth are what the other leg has.
    rows["volume"] = [round(columns["volume"][at], 3) for at in kept]
    opened = np.array([int(columns["ts"][at].timestamp()) * 10**9 for at in kept])
    events = formats.bars(formats.Grid("BTCUSDT", 10**6, 10**5), rows, opened, opened + HOUR_NS)
    both = dataset.merge([hours, dataset.between(rates, since, None)])
    return [both, Dataset(Meta("BTCUSDT", 10**6, 10**5, "spot"), events)]


def data_of(names: tuple[str, ...]) -> list[Dataset]:
    if names == ("generated",):
        return list(sample_pair(seed=7, count=100_000))
    if names == ("funding",):
        return funding_data()
    return [read_data(name, None, None, None, "spot") for name in names]


@pytest.fixture(scope="module")
def paper():
    return load([config_directory() / "paper.toml"]).settings


@pytest.mark.parametrize("name", PINS)
def test_a_strategys_result_is_the_pinned_one(name, paper):
    pin = PINS[name]
    told = run_backtest(paper, Asked(name, pin.params, cuts=0, beside=pin.beside), *data_of(pin.data))
    assert (len(told.run.fills), report.costs(told)["net"]) == (pin.fills, pytest.approx(pin.net, abs=1e-8))
    assert pin.fills > 0


def test_every_shipped_strategy_is_pinned_and_says_when_it_loses():
    shipped = {name.rpartition(".")[2]: registry.find(name) for name in registry.names()}
    assert set(shipped) == set(PINS)
    for definition in shipped.values():
        assert "Idea:" in definition.text
        assert "Loses" in definition.text


def test_both_legs_of_an_arbitrage_end_against_each_other(paper):
    pin = PINS["arbitrage"]
    run = run_backtest(paper, Asked("arbitrage", pin.params, cuts=1), *data_of(pin.data)).run
    both = run.positions[np.any(run.positions != 0, axis=1)]
    assert len(both) > 0
    # Legs are open together: alone only while the other one's order is on its way.
    assert np.mean(both.sum(axis=1) == 0) > 0.8


def test_a_hedge_holds_nothing_of_its_own_and_never_the_same_side(paper):
    pin = PINS["hedge"]
    run = run_backtest(paper, Asked("hedge", pin.params, cuts=0, beside=pin.beside), *data_of(pin.data)).run
    cover, held = run.positions[:, 0], run.positions[:, 1]
    assert np.any(cover != 0)
    same_side = np.mean((cover != 0) & (np.sign(cover) == np.sign(held)))
    assert same_side < 0.02

"""Trades and bars as a market: what is assumed is against us, what the core sees is known, every sample plays."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core.types import BAR_PRICES, EVENT, QUOTE, TRADE, Flag, Kind
from engine.cli.main import cli
from engine.errors import DatasetEmpty
from engine.research import assumed, dataset, formats, shipped
from engine.research.assumed import STEPS, Market, basis_of, path_of, touch_of
from engine.research.dataset import Dataset, Meta
from engine.research.lockstep import Route
from engine.runtime.backtest import Asked, run_backtest
from engine.settings.load import config_directory, load
from engine.strategy.contract import IOC, NONE, OK, REST

START = 1_700_000_000_000_000_000
MINUTE = 60 * 10**9
MORNING = 1_704_088_800_000_000_000
META = Meta("BTCUSDT", 10**6, 10**5, "linear", source="made by hand")
GRID = formats.Grid("BTCUSDT", 10**6, 10**5)


@pytest.fixture(scope="module")
def paper():
    return load([config_directory() / "paper.toml"]).settings


def bars(rows):
    """Rows of open, high, low, close in ticks; a thousand lots each, a minute apart."""
    opened = START + np.arange(len(rows)) * MINUTE
    columns = {name: [row[at] / 100 for row in rows] for at, name in enumerate(("open", "high", "low", "close"))}
    return Dataset(META, formats.bars(GRID, columns | {"volume": [1.0] * len(rows)}, opened, opened + MINUTE))


def trades(rows):
    """Rows of price in ticks, lots, sold; a tenth of a second apart."""
    at = START + np.arange(len(rows)) * 100_000_000
    px, lots, sold = zip(*rows, strict=True)
    ids = np.arange(1, len(rows) + 1)
    quantity = [value / 1000 for value in lots]
    return Dataset(META, formats.trades(GRID, [p / 100 for p in px], quantity, ids, np.array(sold), at, at))


@pytest.fixture
def strategy(monkeypatch):
    """A plain strategy out of a function of (number of the call, view, wishes)."""

    def make(act):
        module = ModuleType("acts_for_a_test")
        module.__doc__, module.PARAMETERS = "For a test.", ()

        class Strategy:
            def decide(self, view, wishes):
                act(int(view["state"][0]), view, wishes)
                view["state"][0] += 1
                return OK

        module.Strategy = Strategy
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module.__name__

    return make


def bid_at(px, lots=10, stop=100, target=0):
    def act(call, view, wishes):
        wish = wishes["bid"][0]
        wish["kind"] = REST if view["position_lots"] == 0 and call < 100 else NONE
        wish["px_ticks"], wish["qty_lots"], wish["stop_px_ticks"] = px, lots, px - stop
        wish["target_px_ticks"] = px + target if target else 0

    return act


# ------------------------------------------------------------------------------------------------------------- choosing
def test_the_best_that_is_there_is_played():
    quote, level, trade, bar = (np.zeros(1, EVENT) for _ in range(4))
    for row, kind in ((quote, 2), (level, 1), (trade, 3), (bar, 5)):
        row["kind"] = kind
    assert basis_of(np.concatenate([quote, level, trade, bar])) == "book"
    assert basis_of(np.concatenate([quote, trade])) == "quotes"
    assert basis_of(np.concatenate([bar, trade])) == "trades"
    assert basis_of(bar) == "bars"
    assert basis_of(level) is None


# --------------------------------------------------------------------------------------------------------- trades alone
@given(
    st.lists(st.tuples(st.integers(10, 60), st.integers(1, 9), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_the_assumed_touch_is_never_crossed_nor_inside_the_last_trade(rows, away):
    px, lots = (np.array([row[at] for row in rows], np.int64) for at in (0, 1))
    sold = np.array([row[2] for row in rows])
    bid, bid_lots, ask, ask_lots = touch_of(px, lots, sold, away)
    assert np.all(bid < ask)
    assert np.all(np.where(sold, bid <= px - away, ask >= px + away))
    assert np.all(np.where(sold, bid_lots, ask_lots) == lots)


def test_a_trade_at_the_price_of_a_resting_order_fills_nothing(paper, strategy):
    flat = [(50_000 + (n % 2), 50, bool(n % 2 == 0)) for n in range(60)]
    told = run_backtest(paper, Asked(strategy(bid_at(50_000)), {}, latency_ms=1, cuts=0), trades(flat))
    assert told.run.fills == ()
    assert "trades alone" in told.basis


def test_a_trade_through_a_resting_order_fills_no_more_than_was_traded(paper, strategy):
    rows = (
        [(50_000 + (n % 2), 50, bool(n % 2 == 0)) for n in range(20)] + [(49_990, 4, True)] + [(50_001, 50, False)] * 3
    )
    told = run_backtest(paper, Asked(strategy(bid_at(50_000, lots=30)), {}, latency_ms=1, cuts=0), trades(rows))
    assert [(fill.px_ticks, fill.lots, fill.maker) for fill in told.run.fills] == [(50_000, 4, True)]


def test_a_taker_gets_the_size_of_the_last_trade_beyond_its_price(paper, strategy):
    def act(call, view, wishes):
        wish = wishes["bid"][0]
        wish["kind"] = REST if call == 10 else NONE
        wish["tif"] = IOC
        wish["px_ticks"], wish["qty_lots"], wish["stop_px_ticks"] = 50_200, 500, 49_000

    rows = [(50_000 + 10 * (n % 2), 7, bool(n % 2 == 0)) for n in range(40)]
    told = run_backtest(paper, Asked(strategy(act), {}, latency_ms=1, cuts=0, away_ticks=3), trades(rows))
    assert [(fill.px_ticks, fill.lots) for fill in told.run.fills] == [(50_013, 7)]


# ---------------------------------------------------------------------------------------------------------------- bars
def test_a_path_goes_from_open_to_close_by_both_extremes_and_never_outside():
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(200):
        low, high = sorted(rng.integers(1_000, 1_400, 2).tolist())
        rows.append((int(rng.integers(low, high + 1)), high, low, int(rng.integers(low, high + 1))))
    events = bars(rows).events
    prices = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_BAR_PRICES)]).view(BAR_PRICES)
    for low_first in (True, False):
        path = path_of(prices, low_first=low_first)
        first, second = ("low_ticks", "high_ticks") if low_first else ("high_ticks", "low_ticks")
        corners = path[:, ::STEPS]
        for at, name in enumerate(("open_ticks", first, second, "close_ticks")):
            assert np.array_equal(corners[:, at], prices[name])
        assert np.all((path >= prices["low_ticks"][:, None]) & (path <= prices["high_ticks"][:, None]))


def test_the_core_hears_of_a_bar_when_it_has_closed_and_of_no_price_inside_it():
    rows = [(1_000, 1_050, 950, 1_010), (1_010, 1_020, 1_000, 1_005)]
    data = bars(rows)
    ((part, route),) = Market("bars").parts(data.events)
    seen = part[(route & int(Route.ROUTE_CORE)) != 0]
    closes = {START + MINUTE: 1_010, START + 2 * MINUTE: 1_005}
    assert set(seen["ts_recv_ns"].tolist()) == set(closes)
    for trade in np.ascontiguousarray(seen[seen["kind"] == int(Kind.KIND_TRADE)]).view(TRADE):
        assert trade["px_ticks"] == closes[int(trade["ts_recv_ns"])]
    for quote in np.ascontiguousarray(seen[seen["kind"] == int(Kind.KIND_QUOTE)]).view(QUOTE):
        assert (quote["bid_px_ticks"] + quote["ask_px_ticks"]) / 2 == closes[int(quote["ts_recv_ns"])]
    assert np.all(np.diff(part["ts_recv_ns"]) >= 0)


def test_where_a_bar_holds_the_stop_and_the_target_the_stop_is_met(paper, strategy):
    """Long from the second bar; the third one goes a hundred ticks beyond both."""
    flat = (50_000, 50_005, 49_995, 50_000)
    rows = [flat, (50_000, 50_005, 49_900, 49_960), (49_960, 50_400, 49_500, 50_000), flat, flat]
    name = strategy(bid_at(49_950, stop=200, target=200))
    told = run_backtest(paper, Asked(name, {}, latency_ms=1, cuts=0), bars(rows))
    entry, leave = told.run.fills[:2]
    assert (entry.px_ticks, entry.maker, entry.sell) == (49_950, True, False)
    assert leave.sell
    assert leave.px_ticks <= 49_750
    assert START + 2 * MINUTE < leave.ts_ns < START + 3 * MINUTE


def test_a_bar_that_only_touches_a_resting_order_does_not_fill_it(paper, strategy):
    flat = (50_000, 50_005, 49_995, 50_000)
    rows = [flat, (50_000, 50_005, 49_950, 50_000), flat, flat]
    told = run_backtest(paper, Asked(strategy(bid_at(49_950)), {}, latency_ms=1, cuts=0), bars(rows))
    assert told.run.fills == ()


def test_an_order_of_a_close_fills_from_the_next_open_on(paper, strategy):
    def act(call, view, wishes):
        wish = wishes["bid"][0]
        wish["kind"] = REST if call == 0 else NONE
        wish["px_ticks"], wish["qty_lots"], wish["stop_px_ticks"] = view["ask_px_ticks"] + 50, 20, 40_000

    rows = [(50_000, 50_005, 49_995, 50_000), (50_030, 50_040, 50_020, 50_035), (50_035, 50_036, 50_030, 50_031)]
    told = run_backtest(paper, Asked(strategy(act), {}, latency_ms=1, cuts=0), bars(rows))
    assert told.run.fills[0].px_ticks == 50_030 + assumed.AWAY_TICKS
    assert told.run.fills[0].ts_ns == START + MINUTE + 1_000_000


def test_funding_is_exchanged_at_its_time(paper, strategy):
    rows = [(50_000, 50_010, 49_900, 50_000)] * 6
    data = bars(rows)
    mark = np.zeros(1, EVENT)
    mark["kind"], mark["flags"] = Kind.KIND_MARK, Flag.FLAG_FIRST | Flag.FLAG_LAST
    mark["ts_recv_ns"] = mark["ts_venue_ns"] = START + 3 * MINUTE
    # Mark, index, settle, rate of 0.01 %, and when.
    mark["word"][0] = (500 * 10**8, 0, 0, 10_000, START + 4 * MINUTE)
    events = np.concatenate([data.events, mark])
    events = events.take(np.argsort(events["ts_recv_ns"], kind="stable"))
    told = run_backtest(paper, Asked(strategy(bid_at(49_950)), {}, latency_ms=1, cuts=1), Dataset(META, events))
    # Ten lots of 0.001 at 500 are 5; a long position pays a ten-thousandth of it.
    assert told.run.funding == -50_000
    assert told.check.difference is None


# ------------------------------------------------------------------------------------------------------------- samples
@pytest.mark.parametrize("name", shipped.index())
def test_every_shipped_sample_plays_as_it_is_and_after_import(name, paper, tmp_path):
    if "feather" in name and importlib.util.find_spec("pyarrow") is None:
        pytest.skip("feather is read with pyarrow, an extra")
    out = tmp_path / "out.npz"
    made = CliRunner().invoke(cli, ["data", "import", f"sample:{name}", str(out)])
    assert made.exit_code == 0, made.output
    read = CliRunner().invoke(
        cli,
        ["backtest", "quoter", "--data", f"sample:{name}", "--to", "2024-01-01T06:00", "--latency-ms", "5", "--json"],
    )
    assert read.exit_code == 0, read.output
    said = json.loads(read.output)
    assert said["look_ahead"].startswith("passed")
    assert said["measures"]["fills"] > 0
    # Nothing of it is refused: what is there is traded on.
    assert said["counts"]["refused"] == 0
    again = dataset.between(dataset.load(out), None, MORNING)
    assert run_backtest(paper, Asked("quoter", {}, latency_ms=5, cuts=0), again).run.tape_hash == said["tape"]


def test_samples_are_listed_with_their_licence():
    said = CliRunner().invoke(cli, ["data", "samples"]).output
    assert said.count("MIT") == len(shipped.index())
    for row in shipped.index().values():
        assert (shipped.HERE / row["file"]).stat().st_size < 400_000


def test_from_and_to_cut_by_the_time_of_receipt():
    data = trades([(50_000, 1, False)] * 10)
    cut = dataset.between(data, START + 200_000_000, START + 500_000_000)
    assert (cut.events["ts_recv_ns"] - START).tolist() == [200_000_000, 300_000_000, 400_000_000]
    with pytest.raises(DatasetEmpty):
        dataset.between(data, START + 10**12, None)

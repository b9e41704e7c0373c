"""Backtests: the same bytes twice, money that adds up, exact order of time, and a peek into the future caught."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from engine._core.types import EVENT, LEVEL, QUOTE, TRADE, Flag, Kind
from engine.cli.main import cli
from engine.errors import BacktestImpossible, LookAheadFound
from engine.research import backtest, dataset, report
from engine.research.assumed import Market
from engine.research.dataset import Dataset, Meta
from engine.runtime.backtest import SAMPLE, Asked, run_backtest, sample
from engine.settings.load import config_directory, load
from engine.sim.venue.embedded_config import Latency, reach_ns
from engine.strategy.contract import NONE, OK, REST, Parameter
from tests.support.shared import shared_path

COUNT = 6_000
PEEK = "peeks_for_a_test"
HONEST = "peeks_not_for_a_test"


@pytest.fixture(scope="module")
def settings():
    return load([config_directory() / "paper.toml"]).settings


@pytest.fixture(scope="module")
def quoter(settings):
    return run_backtest(settings, Asked("quoter", {}, latency_ms=5), sample(seed=7, count=COUNT))


def make_strategy(name, *, ahead):
    """A plain strategy that holds the sign of the move over `ahead` quotes, past or to come."""
    module = ModuleType(name)
    module.__doc__ = "For a test."
    module.PARAMETERS = (Parameter("qty", 1, 1, 10, "lots", "quantity"),)
    module.MIDS = np.empty(0)

    def prepare(events):
        quotes = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_QUOTE)]).view(QUOTE)
        module.MIDS = (quotes["bid_px_ticks"] + quotes["ask_px_ticks"]) / 2

    class Strategy:
        def decide(self, view, wishes):
            at = int(view["state"][0])
            view["state"][0] += 1
            there = min(max(at + ahead, 0), len(module.MIDS) - 1)
            rises = module.MIDS[max(at, there)] > module.MIDS[min(at, there)]
            wish = wishes["bid"][0]
            if at % 50 == 0 and rises:
                wish["kind"], wish["qty_lots"] = REST, 1
                wish["px_ticks"] = view["bid_px_ticks"]
                wish["stop_px_ticks"] = view["bid_px_ticks"] - 500
            elif at % 50 == 25:
                wish["kind"] = NONE
            return OK

    module.prepare, module.Strategy = prepare, Strategy
    return module


@pytest.fixture(autouse=True)
def strategies(monkeypatch):
    monkeypatch.setitem(sys.modules, PEEK, make_strategy(PEEK, ahead=40))
    monkeypatch.setitem(sys.modules, HONEST, make_strategy(HONEST, ahead=-40))


def asked(name, **more):
    return Asked(f"{name}", {}, latency_ms=5, **more)


# --------------------------------------------------------------------------------------------------------- the same run
def test_the_same_run_twice_gives_the_same_bytes(settings, quoter):
    again = run_backtest(settings, Asked("quoter", {}, latency_ms=5, cuts=0), sample(seed=7, count=COUNT))
    assert quoter.run.tape.tobytes() == again.run.tape.tobytes()
    assert (quoter.run.state_hash, quoter.run.fills) == (again.run.state_hash, again.run.fills)
    assert np.array_equal(quoter.run.equity, again.run.equity)
    assert len(quoter.run.fills) > 20


def test_another_seed_or_parameter_is_another_run(settings, quoter):
    data = sample(seed=7, count=COUNT)
    for other in (Asked("quoter", {}, seed=8, cuts=0), Asked("quoter", {"qty": 4}, latency_ms=5, cuts=0)):
        assert run_backtest(settings, other, data).run.tape_hash != quoter.run.tape_hash


def test_the_tape_is_in_order_of_time_and_holds_every_quote_once(quoter):
    tape = quoter.run.tape
    inputs = tape[tape["kind"] < int(Kind.KIND_INTENT_PLACE)]
    assert np.all(np.diff(inputs["ts_recv_ns"]) >= 0)
    events = sample(seed=7, count=COUNT).events
    for kind in (Kind.KIND_QUOTE, Kind.KIND_TRADE):
        assert tape[tape["kind"] == int(kind)].tobytes() == events[events["kind"] == int(kind)].tobytes()


def test_nothing_fills_before_its_order_could_have_arrived(quoter):
    assert all(fill.ts_ns - fill.ts_decided_ns >= 5_000_000 for fill in quoter.run.fills)


# --------------------------------------------------------------------------------------------------------------- money
def test_equity_is_what_the_fills_and_fees_say(quoter):
    unit = quoter.data.tick_e8 * quoter.data.lot_e8 // 10**8
    cash = sum((1 if f.sell else -1) * f.px_ticks * f.lots * unit for f in quoter.run.fills)
    lots = sum(-f.lots if f.sell else f.lots for f in quoter.run.fills)
    expected = cash + lots * quoter.run.mids[-1] * unit - quoter.run.fees
    # Fills after the last sample and the rounding of marks: cents on a turnover of hundreds of thousands.
    assert quoter.run.equity[-1] - quoter.run.start_equity == pytest.approx(expected, abs=10 * 10**8)
    assert quoter.run.fees > 0
    assert all(fill.fee > 0 for fill in quoter.run.fills)


def test_costs_add_up_to_the_net_result(quoter):
    parts = report.costs(quoter)
    assert parts["at mid"] - parts["fees"] - parts["spread"] - parts["funding"] == pytest.approx(parts["net"])


# ---------------------------------------------------------------------------------------------------------- look-ahead
def test_a_strategy_that_reads_prices_to_come_is_caught(settings):
    told = run_backtest(settings, asked(PEEK, cuts=4), sample(seed=7, count=COUNT))
    assert told.check.difference is not None
    assert "FAILED" in told.check.text


def test_the_same_strategy_on_prices_that_were_is_not(settings):
    told = run_backtest(settings, asked(HONEST, cuts=4), sample(seed=7, count=COUNT))
    assert (told.check.difference, told.check.cuts) == (None, 4)
    assert len(told.run.fills) > 0


def test_cuts_stand_behind_decisions(quoter):
    tape = quoter.run.tape
    made = set((tape["ts_recv_ns"][tape["kind"] >= int(Kind.KIND_INTENT_PLACE)] + 1).tolist())
    cuts = backtest.cuts_of(tape, sample(seed=7, count=COUNT).events, 5)
    assert len(cuts) == 5
    assert made >= set(cuts)


# ------------------------------------------------------------------------------------------------------------- no fills
def test_nothing_fills_while_the_book_is_broken(settings, monkeypatch):
    """An image, then a broken chain: the strategy takes the ask whenever it may and gets nothing after it."""
    start, events = 1_700_000_000_000_000_000, []

    def level(at, first, last, prev, flags=0):
        for ask in (0, 1):
            row = np.zeros(1, LEVEL)
            row["kind"], row["ts_recv_ns"], row["ts_venue_ns"] = Kind.KIND_BOOK_LEVEL, at, at
            row["flags"] = flags | (Flag.FLAG_ASK | Flag.FLAG_LAST if ask else Flag.FLAG_FIRST)
            row["px_ticks"], row["qty_lots"] = SAMPLE_TICKS + ask, 10_000
            row["id_first"], row["id_last"], row["id_prev"] = first, last, prev
            events.append(row.view(EVENT))

    level(start, -1, 10, -1, int(Flag.FLAG_SNAPSHOT))
    for number in range(400):
        row = np.zeros(1, QUOTE)
        at = start + (number + 1) * 10_000_000
        row["kind"], row["ts_recv_ns"], row["ts_venue_ns"] = Kind.KIND_QUOTE, at, at
        row["flags"] = Flag.FLAG_FIRST | Flag.FLAG_LAST
        row["bid_px_ticks"], row["ask_px_ticks"] = SAMPLE_TICKS, SAMPLE_TICKS + 1
        row["bid_qty_lots"] = row["ask_qty_lots"] = 10_000
        row["id_book"] = number + 1
        events.append(row.view(EVENT))
        if number == 200:
            level(at + 1, 20, 21, 19)
    module = make_strategy("buys_for_a_test", ahead=0)

    class Strategy:
        def decide(self, view, wishes):
            wish = wishes["bid"][0]
            wish["kind"], wish["px_ticks"], wish["qty_lots"] = REST, view["ask_px_ticks"], 1
            wish["stop_px_ticks"] = view["bid_px_ticks"] - 500
            return OK

    module.Strategy = Strategy
    monkeypatch.setitem(sys.modules, module.__name__, module)
    meta = Meta(SAMPLE.symbol, SAMPLE.tick_e8, SAMPLE.lot_e8, source="made by hand")
    told = run_backtest(settings, asked(module.__name__, cuts=0), Dataset(meta, np.concatenate(events)))
    broken = start + 201 * 10_000_000 + 1
    assert told.run.fills
    assert max(fill.ts_ns for fill in told.run.fills) < broken
    assert told.done["book_breaks"] == 1


SAMPLE_TICKS = 6_000_000


def test_events_out_of_order_are_refused():
    events = sample(seed=1, count=100).events[::-1]
    with pytest.raises(BacktestImpossible):
        backtest.run(None, Market("quotes"), events)


@pytest.mark.parametrize(("latency", "most"), [(Latency(fixed_ns=0), 0), (Latency(fixed_ns=5_000), 4_999)])
def test_the_venue_is_never_played_further_than_a_message_travels(latency, most):
    assert reach_ns((latency, Latency(fixed_ns=10**9))) == most


def test_without_any_latency_the_order_of_time_still_holds(settings):
    told = run_backtest(settings, Asked("quoter", {}, latency_ms=0, cuts=1), sample(seed=7, count=2_000))
    assert told.check.difference is None
    assert all(fill.ts_ns >= fill.ts_decided_ns for fill in told.run.fills)


# --------------------------------------------------------------------------------------------------------- command line
def test_the_command_writes_a_page_that_asks_nothing_of_anybody(tmp_path):
    page = tmp_path / "out.html"
    call = ["backtest", "quoter", "--events", "3000", "--set", "qty=3", "--latency-ms", "5", "--json"]
    result = CliRunner().invoke(cli, [*call, "--report", str(page)])
    assert result.exit_code == 0, result.output
    said = json.loads(result.output)
    assert said["look_ahead"].startswith("passed")
    assert said["params"]["qty"] == 3
    text = page.read_text()
    assert not re.search(r"<script|https?://|@import|url\(|<link|<img", text)
    assert text.count("<svg") == 4
    assert said["tape"] in text
    again = json.loads(CliRunner().invoke(cli, [*call, "--sensitivity"]).output)
    assert again == said


def test_the_command_ends_badly_when_the_strategy_peeks():
    result = CliRunner().invoke(cli, ["backtest", f"{PEEK}", "--events", "6000", "--latency-ms", "5"])
    assert isinstance(result.exception, LookAheadFound)
    kept = CliRunner().invoke(cli, ["backtest", f"{PEEK}", "--events", "6000", "--latency-ms", "5", "--no-check"])
    assert kept.exit_code == 0
    assert "not made" in kept.output


def test_import_check_and_backtest_of_one_file(tmp_path):
    np.save(tmp_path / "in.npy", sample(seed=5, count=3_000).events)
    meaning = ["--symbol", "BTCUSDT", "--tick", "0.01", "--lot", "0.001"]
    out = tmp_path / "out.npz"
    made = CliRunner().invoke(cli, ["data", "import", str(tmp_path / "in.npy"), str(out), *meaning])
    assert made.exit_code == 0, made.output
    assert "3,000 events" in made.output
    assert CliRunner().invoke(cli, ["data", "check", str(out)]).exit_code in (0, 4)
    ran = CliRunner().invoke(cli, ["backtest", "quoter", "--data", str(out), "--latency-ms", "5", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.output)["data"] == "in.npy"


# ---------------------------------------------------------------------------------------- fills against what was traded
@pytest.mark.needs_shared
def test_every_passive_fill_on_recorded_data_has_its_recorded_trades(settings):
    """By trades that reached its price, and by no more than was traded there unless the market went through it."""
    meta = Meta("BTCUSDT", 10**7, 10**5, "linear")
    whole = dataset.load(shared_path("binance_raw/usdm_btcusdt_20230404.log.gz"), meta)
    events, _ = dataset.playable(whole)
    fills = run_backtest(settings, Asked("quoter", {}, latency_ms=1, cuts=0), whole).run.fills

    def of(kind, dtype):
        return np.ascontiguousarray(events[events["kind"] == int(kind)]).view(dtype)

    trades, quotes, levels = of(Kind.KIND_TRADE, TRADE), of(Kind.KIND_QUOTE, QUOTE), of(Kind.KIND_BOOK_LEVEL, LEVEL)
    sold, asks = ((rows["flags"] & int(Flag.FLAG_SELL)) != 0 for rows in (trades, levels))
    # The venue lets an account trade with itself; such a fill has its cause in the run.
    taken = {(fill.ts_ns, fill.px_ticks, fill.sell) for fill in fills if not fill.maker}
    causes, used = Counter(), Counter()
    for fill in (one for one in fills if one.maker):
        reaching = trades["px_ticks"] >= fill.px_ticks if fill.sell else trades["px_ticks"] <= fill.px_ticks
        then = (trades["ts_recv_ns"] == fill.ts_ns) & reaching & (sold != fill.sell)
        if (fill.ts_ns, fill.px_ticks, not fill.sell) in taken:
            causes["own"] += 1
        elif then.any():
            used[fill.ts_ns, fill.sell] += fill.lots
            through = np.any(trades["px_ticks"][then] != fill.px_ticks)
            causes["through" if through else "at"] += 1
            assert through or used[fill.ts_ns, fill.sell] <= int(trades["qty_lots"][then].sum())
        else:
            # Or the other side of the recorded market stands at or beyond the order: it cannot have been left there.
            at = int(np.searchsorted(quotes["ts_recv_ns"], fill.ts_ns, side="right")) - 1
            near = (levels["ts_recv_ns"] == fill.ts_ns) & (levels["qty_lots"] > 0) & (asks != fill.sell)
            touch = [
                int(quotes["bid_px_ticks" if fill.sell else "ask_px_ticks"][at]),
                *levels["px_ticks"][near].tolist(),
            ]
            causes["crossed"] += 1
            assert max(touch) >= fill.px_ticks if fill.sell else min(touch) <= fill.px_ticks
    assert min(causes["at"], causes["through"]) > 5
    assert causes["own"] < 5


def test_a_schedule_s_tier_is_what_a_run_pays():
    call = ["backtest", "quoter", "--events", "6000", "--latency-ms", "5", "--no-check", "--json"]
    fees = {}
    for said in ("binance", "binance:5000000"):
        ran = CliRunner().invoke(cli, [*call, "--fees", said])
        assert ran.exit_code == 0, ran.output
        fees[said] = json.loads(ran.output)
    one, other = fees.values()
    # Perpetuals: 0.02 and 0.05 percent at no volume, 0.014 and 0.035 at five million; what is decided is the same.
    assert one["counts"]["fills"] == other["counts"]["fills"] > 0
    assert other["measures"]["cost_fees"] == pytest.approx(0.7 * one["measures"]["cost_fees"], rel=1e-6)
    refused = CliRunner().invoke(cli, [*call, "--fees", "binance:much"])
    assert refused.exit_code == 2
    assert "no whole volume" in refused.output

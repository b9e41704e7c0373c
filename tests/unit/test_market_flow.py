"""Generated order flow: the same for a seed, whole as a book, and as correlated, lively and regime-bound as stated."""

from __future__ import annotations

import copy
import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from engine._core.match import Match
from engine._core.strategy_abi import WishType
from engine._core.types import Flag, Kind
from engine.cli.certify import certify
from engine.cli.market import market as market_command
from engine.cli.venue import venue as venue_command
from engine.errors import SimBadModel, SimUnknownSymbol
from engine.research import market_fit
from engine.runtime.embedded import EmbeddedExchange, market_of
from engine.settings.load import load
from engine.sim import distributions as d
from engine.sim.market import REGIMES, FlowMarket, FlowSymbol, WalkMarket
from engine.sim.market.flow import fitted
from engine.sim.market.orderflow import LEVEL_COUNT, SYMBOLS_MAX
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.generated import GeneratedMarket, flow_market
from engine.sim.venue.instruments import E8, Instrument, default_spot
from engine.sim.venue.orders import Terms
from engine.sim.venue.recorded import Recorded

START = 1_800_000_000 * 10**9
SECOND = 10**9
PAIR = [
    FlowSymbol("BTCUSDT", 600_000, 10**7, 10**4, 6_000_000, 10**9),
    FlowSymbol("ETHUSDT", 300_000, 10**6, 10**4, 3_000_000, 10**9),
]


def flow(seed=1, symbols=PAIR, **options):
    return FlowMarket(symbols, seed=seed, start_ns=START, **options)


def until(market, seconds):
    parts = []
    while market.end_ns < START + seconds * SECOND:
        parts.append(market.stretch())
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def calm():
    """Ten calm minutes of two symbols."""
    return market_fit.generate(fitted(), PAIR, 600, seed=2)


# ------------------------------------------------------------------------------------------------- one seed, one market
def test_the_same_seed_gives_the_same_bytes_however_it_is_cut():
    whole, pieces = flow(5), flow(5)
    events = whole.stretch(20_000)
    cut = []
    while sum(map(len, cut)) < len(events):
        cut.append(pieces.stretch(37))
    assert np.concatenate(cut)[: len(events)].tobytes() == events.tobytes()
    assert flow(6).stretch(20_000).tobytes() != events[:20_000].tobytes()


def test_without_levels_there_are_quotes_and_trades_alone():
    kinds = set(flow(5, depth=False).stretch(20_000)["kind"].tolist())
    assert kinds == {int(Kind.KIND_QUOTE), int(Kind.KIND_TRADE)}
    assert set(flow(5).stretch(20_000)["kind"].tolist()) == kinds | {int(Kind.KIND_BOOK_LEVEL)}


def test_time_and_numbers_go_on_and_the_touch_is_never_crossed():
    market = flow(3, regime="crash")
    last, ids = START, {}
    for _ in range(20):
        events = market.stretch()
        assert events["ts_recv_ns"][0] > last
        last = market.end_ns
        assert (np.diff(events["ts_recv_ns"]) >= 0).all()
        assert (np.diff(events["ts_venue_ns"]) >= 0).all()
        assert (events["ts_venue_ns"] < events["ts_recv_ns"]).all()
        quotes = events[events["kind"] == int(Kind.KIND_QUOTE)]
        assert (quotes["word"][:, 0] > 0).all()
        assert (quotes["word"][:, 0] < quotes["word"][:, 2]).all()
        assert (quotes["word"][:, [1, 3]] > 0).all()
        for symbol in range(2):
            for kind, word in ((Kind.KIND_QUOTE, 4), (Kind.KIND_TRADE, 2)):
                mine = events[(events["symbol"] == symbol) & (events["kind"] == int(kind))]["word"][:, word]
                assert (np.diff(mine) > 0).all()
                assert mine[0] > ids.get((symbol, kind), 0)
                ids[symbol, kind] = mine[-1]


@pytest.mark.parametrize("regime", REGIMES)
def test_played_into_a_book_it_leaves_the_book_that_it_means(regime):
    market = flow(4, regime=regime)
    books = [Match(px_max=s.px_max, qty_max=s.lots_max, orders_max=4096, pages_max=512) for s in PAIR]
    recorded = [Recorded(book) for book in books]
    for _ in range(6):
        events = market.stretch(3_000)
        for symbol in range(2):
            mine = np.ascontiguousarray(events[events["symbol"] == symbol])
            recorded[symbol].apply(mine.view(np.uint8), stop_at_own=False)
            assert recorded[symbol].counts[1] == 0
            books[symbol].check()
            for sell, side in enumerate(market.flow.book(symbol)):
                assert len(side) == LEVEL_COUNT
                assert books[symbol].depth(bool(sell), 100) == side


def test_a_price_stays_between_one_tick_and_the_highest():
    low = FlowSymbol("LOWUSDT", 3, 10**6, 10**4, 40, 10**6)
    market = flow(9, symbols=[low, PAIR[0]], regime="gap")
    events = until(market, 60)
    quotes = events[(events["kind"] == int(Kind.KIND_QUOTE)) & (events["symbol"] == 0)]["word"]
    assert quotes[:, 0].min() >= 1
    assert quotes[:, 2].max() <= 40
    assert len(set(quotes[:, 0].tolist())) > 10


# ----------------------------------------------------------------------------------------------------- as it was stated
def test_volatility_is_that_of_the_closed_form(calm):
    for name, tape in calm.items():
        variance, _ = market_fit.closed_form(fitted(), name)
        assert market_fit.log_returns(tape, 2).std() * 1e4 / 2**0.5 == pytest.approx(variance**0.5, rel=0.15)


def test_symbols_are_correlated_as_the_closed_form_says(calm):
    shares = [market_fit.closed_form(fitted(), name)[1] for name in calm]
    expected = (shares[0] * shares[1]) ** 0.5
    assert 0.7 < expected < 0.85
    assert market_fit.correlation_of(*calm.values(), 2) == pytest.approx(expected, abs=0.1)


def test_without_common_moves_symbols_know_nothing_of_each_other():
    fit = copy.deepcopy(fitted())
    fit["common_per_s"] = [0.0, 0.0]
    alone = market_fit.generate(fit, PAIR, 300, seed=2)
    assert abs(market_fit.correlation_of(*alone.values(), 1)) < 0.15


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sizes_have_the_distribution_of_their_table(seed):
    fit = copy.deepcopy(fitted())
    grid = np.array(fit["grid"])
    # A table without steps, far below the touch: what is drawn is what is traded, and the test is exact.
    fit["symbols"]["BTCUSDT"]["size_money"] = (1_000 + 9_000 * grid**2).tolist()
    fit["symbols"]["BTCUSDT"]["touch_money"] = [1e6 + at for at in range(len(grid))]
    tape = market_fit.generate(fit, PAIR[:1], 120, seed=seed)["BTCUSDT"]
    money = tape.trade_qty * tape.trade_px
    u = np.interp(money, fit["symbols"]["BTCUSDT"]["size_money"], grid)
    assert len(u) > 1_000
    assert d.ks_p_value(d.ks_distance(u.tolist()), len(u)) > 0.01
    off = np.interp(money * 1.1, fit["symbols"]["BTCUSDT"]["size_money"], grid)
    assert d.ks_p_value(d.ks_distance(off.tolist()), len(off)) < 1e-6


def test_market_orders_have_the_recorded_sizes(calm):
    for name, tape in calm.items():
        table = dict(zip(fitted()["grid"], fitted()["symbols"][name]["size_money"], strict=True))
        for at in (0.25, 0.5, 0.75):
            assert np.quantile(tape.trade_qty * tape.trade_px, at) == pytest.approx(table[at], rel=0.15)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_touch_keeps_its_distribution_though_it_remembers(seed):
    tape = market_fit.generate(fitted(), PAIR[:1], 900, seed=seed)["BTCUSDT"]
    seen = tape.bid_qty[:: len(tape.bid_qty) // 400] * tape.bid[:: len(tape.bid) // 400]
    table = fitted()["symbols"]["BTCUSDT"]["touch_money"]
    u = np.interp(seen, table, fitted()["grid"])
    assert d.ks_distance(u.tolist()) < 0.15
    same = np.diff(tape.bid) == 0
    score = np.argsort(np.argsort(tape.bid_qty, kind="stable"))
    assert np.corrcoef(score[1:][same], score[:-1][same])[0, 1] > 0.9


def test_figures_that_ship_are_near_the_recorded_ones():
    near = {
        "spread settled, share of time": 0.01, "quotes a second": 0.1, "market orders a second": 0.1,
        "moves a second": 0.1, "between market orders, ms, median": 0.15, "between market orders, ms, p90": 0.1,
        "between market orders, ms, p99": 0.15, "between market orders, variation": 0.1,
        "market order, thousand, median": 0.1, "volatility of 1 s, bp a root second": 0.15,
        "volatility of 5 s, bp a root second": 0.2, "level 5, bp from the touch": 0.15,
        "level 20, bp from the touch": 0.15, "levels 2 to 20, thousand": 0.1, "touch, thousand, p90": 0.2,
        "spread, bp, time-weighted mean": 0.15,
    }  # fmt: skip
    seen = 0
    for symbol, what, recorded, generated in fitted()["provenance"]["table"]:
        if what in near:
            assert generated == pytest.approx(recorded, rel=near[what]), (symbol, what)
            seen += 1
    assert seen == 2 * len(near)


# -------------------------------------------------------------------------------------------------------------- regimes
def activity(regime):
    tape = market_fit.generate(fitted(), PAIR[:1], 200, seed=8, regime=regime)["BTCUSDT"]
    return len(tape.trade_ns) / tape.seconds, market_fit.log_returns(tape, 1).std(), np.median(tape.bid_qty)


def test_regimes_differ_as_their_hours_did():
    calm_rate, calm_sigma, calm_touch = activity("calm")
    for name in ("trend", "crash", "gap"):
        row = fitted()["regimes"][name]
        rate, sigma, touch = activity(name)
        assert rate / calm_rate == pytest.approx(row["rate"], rel=0.15)
        assert sigma / calm_sigma == pytest.approx(row["rate"] ** 0.5 * row["jump"], rel=0.25)
        assert touch / calm_touch == pytest.approx(row["depth"], rel=0.25)


def test_a_crash_falls_and_a_trend_leans_to_the_side_that_it_chose():
    fit = copy.deepcopy(fitted())
    for row in fit["regimes"].values():
        row["tilt"] = 0.9 if row["tilt"] else 0.0
    sides = set()
    for seed in range(6):
        tape = market_fit.generate(fit, PAIR[:1], 60, seed=seed, regime="crash")["BTCUSDT"]
        assert tape.trade_sell.mean() > 0.6
        assert tape.mid[-1] < tape.mid[0]
        tape = market_fit.generate(fit, PAIR[:1], 60, seed=seed, regime="trend")["BTCUSDT"]
        falls = bool(tape.mid[-1] < tape.mid[0])
        assert (tape.trade_sell.mean() > 0.5) == falls
        sides.add(falls)
    assert sides == {False, True}


def test_regimes_follow_each_other_as_long_and_as_often_as_recorded():
    market = flow(12, symbols=PAIR[:1], pace=100_000, depth=False)
    until(market, 150)
    history = market.regimes
    assert history[0] == (START, "calm")
    lengths = [(b[0] - a[0]) / SECOND * 100_000 for a, b in pairwise(history) if a[1] == "calm"]
    assert len(lengths) > 80
    mean = fitted()["regimes"]["calm"]["dwell_s"]
    u = [1 - float(np.exp(-length / mean)) for length in lengths]
    assert d.ks_p_value(d.ks_distance(u), len(u)) > 0.01
    after = [b[1] for a, b in pairwise(history) if a[1] == "calm"]
    for name in ("trend", "crash", "gap"):
        assert after.count(name) / len(after) == pytest.approx(fitted()["regimes"]["calm"]["next"][name], abs=0.15)
    assert all(a[1] != b[1] for a, b in pairwise(history))


def test_a_gap_opens_the_market_somewhere_else_for_every_symbol_at_once():
    market = flow(12, pace=100_000, depth=False)
    events = until(market, 60)
    gaps = [ns for ns, name in market.regimes if name == "gap"]
    assert len(gaps) >= 3
    for ns in gaps:
        steps = []
        for symbol in range(2):
            quotes = events[(events["symbol"] == symbol) & (events["kind"] == int(Kind.KIND_QUOTE))]
            at = int(np.searchsorted(quotes["ts_recv_ns"], ns))
            before = float(quotes["word"][at - 1, 0])
            # The gap may open in two quotes, as other moves do.
            after = quotes["word"][at : at + 40, 0]
            steps.append(float(after[np.argmax(np.abs(after - before))] / before - 1) * 1e4)
        assert steps[0] * steps[1] > 0
        assert min(map(abs, steps)) > 20


# ------------------------------------------------------------------------------------------------------- who chooses it
def test_the_settings_choose_it_and_walks_are_the_default():
    assert isinstance(market_of(load([]).settings, START), WalkMarket)
    environ = {"BOT4__MARKET__KIND": "flow", "BOT4__MARKET__REGIME": "crash", "BOT4__MARKET__PACE": "60"}
    settings = load(["config/paper.toml"], environ=environ).settings
    market = market_of(settings, START)
    assert isinstance(market, FlowMarket)
    assert market.regimes == [(START, "crash")]
    assert set(market.stretch()["symbol"].tolist()) == set(range(len(settings.instruments)))


def test_a_paper_exchange_on_order_flow_gives_touches_and_trades_in_order_of_time():
    settings = load(["config/paper.toml"], environ={"BOT4__MARKET__KIND": "flow"}).settings
    exchange = EmbeddedExchange(settings, START)
    now, last, kinds = START, START, set()
    for _ in range(2_000):
        now += SECOND // 100
        while len(events := exchange.poll(now)):
            assert last <= events["ts_recv_ns"][0]
            last = int(events["ts_recv_ns"][-1])
            assert last <= now
            kinds |= set(events["kind"].tolist())
    assert kinds == {int(Kind.KIND_QUOTE), int(Kind.KIND_TRADE)}
    for market in exchange.venue.exchange.markets.values():
        market.book.check()
        assert len(market.book.depth(False, 100)) == len(market.book.depth(True, 100)) == LEVEL_COUNT


def served(seed=7, **options):
    exchange = Exchange(default_spot(), now_ns=START)
    market = flow_market(exchange, seed=seed, start_ns=START, **options)
    return exchange, GeneratedMarket(exchange, seed=seed, start_ns=START, market=market)


def test_a_served_venue_on_order_flow_has_a_book_at_once_and_stays_sound():
    images = []
    for _ in range(2):
        exchange, market = served()
        assert all(len(m.book.depth(sell, 100)) == LEVEL_COUNT for m in exchange.markets.values() for sell in (0, 1))
        for at in range(1, 61):
            market.advance(START + at * SECOND // 10)
        assert market.refused == 0
        exchange.check()
        images.append({n: (m.book.depth(False, 50), m.book.depth(True, 50)) for n, m in exchange.markets.items()})
    assert images[0] == images[1]


def test_who_trades_in_it_is_filled_and_the_levels_come_back():
    exchange, market = served()
    account = exchange.bank.open("me", {"USDT": 10**8 * E8})
    book = exchange.market("BTCUSDT").book
    lots = sum(lots for _, lots in book.depth(True, 5)) + 1
    first = book.best_ask
    order = exchange.place(account, "BTCUSDT", Terms(sell=False, type=WishType.TYPE_MARKET, qty=lots))
    assert order.status == "FILLED"
    assert book.best_ask > first
    for at in range(1, 301):
        market.advance(START + at * SECOND // 10)
    assert len(book.depth(True, 1000)) >= LEVEL_COUNT - 5
    exchange.check()


def test_what_cannot_be_is_refused():
    with pytest.raises(SimBadModel, match="regime 'quiet'"):
        flow(regime="quiet")
    with pytest.raises(SimBadModel, match="pace 0"):
        flow(pace=0)
    with pytest.raises(SimBadModel, match="1 to 16"):
        flow(symbols=PAIR[:1] * (SYMBOLS_MAX + 1))
    with pytest.raises(SimBadModel, match="1 to 16"):
        flow(symbols=[])
    with pytest.raises(SimBadModel, match="starts at 0"):
        flow(symbols=[FlowSymbol("X", 0, 1, 1, 10, 10)])
    with pytest.raises(ValueError, match="0 events"):
        flow().stretch(0)
    odd = Instrument("ODDUSDT", "ODD", "USDT", 10**6, 10**4, 10**6, 10**9)
    with pytest.raises(SimUnknownSymbol, match="ODDUSDT"):
        flow_market(Exchange([odd], now_ns=START), seed=1, start_ns=START)
    wrong = CliRunner().invoke(venue_command, ["--regime", "crash"])
    assert wrong.exit_code == 2
    assert "--market flow" in wrong.output


def test_sixteen_symbols_are_as_well_as_two():
    many = [FlowSymbol(f"S{i}USDT", 1_000 + 977 * i, 10**6, 10**4, 10**7, 10**9) for i in range(SYMBOLS_MAX)]
    events = flow(2, symbols=many).stretch(20_000)
    assert set(events["symbol"].tolist()) == set(range(SYMBOLS_MAX))
    sells = events[events["kind"] == int(Kind.KIND_TRADE)]["flags"] & int(Flag.FLAG_SELL)
    assert 0.3 < (sells != 0).mean() < 0.7


def test_the_commands_show_it_and_certify_in_it():
    shown = CliRunner().invoke(market_command, ["show"])
    assert shown.exit_code == 0
    assert all(word in shown.output for word in ("BTCUSDT", "recorded", "generated", *REGIMES))
    raw = CliRunner().invoke(market_command, ["show", "--json"])
    assert json.loads(raw.output)["beta"] == fitted()["beta"]
    asked = ["--seeds", "1", "--hours", "0.5", "--market", "flow", "--workers", "1", "--json"]
    certified = CliRunner().invoke(certify, asked)
    assert certified.exit_code == 0, certified.output
    assert json.loads(certified.output)["passed"]

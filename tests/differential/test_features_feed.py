"""Features in the step: what a strategy sees is the kernel fed by hand, bit for bit, in every form of a run."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from engine._core import features_feed, types
from engine._core.features import Features
from engine._core.features_feed import FeedSource, feed_bytes, feed_hash, feed_init, feed_of, feed_words
from engine._core.types import BAR_PRICES, QUOTE, Flag, Kind
from engine._core.world import World
from engine.errors import StrategyNotAccepted
from engine.research import dataset, shipped
from engine.research.assumed import Market
from engine.research.dataset import Meta
from engine.runtime.backtest import Asked, run_backtest, sample
from engine.settings.load import config_directory, load
from engine.strategy import registry
from engine.strategy.contract import NONE, OK, REST, Feature
from tests.support.desks import START, Desk

STEM = "features_feed"
COUNT = 1_500
WANTED = (Feature("ema", 20), Feature("rsi", 14), Feature("zscore", 20), Feature("ema", 5), Feature("atr", 14))
SECOND = 10**9


@pytest.fixture(scope="module")
def paper():
    return load([config_directory() / "paper.toml"]).settings


@pytest.fixture
def watching(monkeypatch):
    """A plain strategy that keeps what it sees of its features, and buys now and then so that a tape has orders."""

    def make(wanted=WANTED, bars_s=None):
        module = ModuleType("watches_for_a_test")
        module.__doc__, module.PARAMETERS, module.FEATURES = "For a test.", (), wanted
        if bars_s is not None:
            module.FEATURE_BARS_S = bars_s
        module.SEEN = []

        class Strategy:
            def decide(self, view, wishes):
                middle = (int(view["bid_px_ticks"]) + int(view["ask_px_ticks"])) * 0.5
                values = view["features"][: int(view["feature_count"])].copy()
                module.SEEN.append((int(view["now_ns"]), middle, values))
                view["state"][0] += 1
                wish = wishes["bid"][0]
                wish["kind"] = REST if view["state"][0] % 100 < 50 else NONE
                wish["px_ticks"], wish["qty_lots"] = view["bid_px_ticks"], 5
                wish["stop_px_ticks"] = view["bid_px_ticks"] - 500
                return OK

        module.Strategy = Strategy
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module

    return make


def mids_of(events):
    quotes = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_QUOTE)]).view(QUOTE)
    return quotes["ts_recv_ns"], (quotes["bid_px_ticks"] + quotes["ask_px_ticks"]) * 0.5


def by_hand(wanted):
    return Features(sorted({w.family for w in wanted}), windows=tuple(sorted({w.window for w in wanted})))


def values_of(features, wanted):
    return np.array([features.value(w.family, w.window) for w in wanted])


def test_a_view_holds_what_the_kernel_gives_for_the_same_prices(paper, watching):
    module, data = watching(), sample(seed=3, count=COUNT)
    told = run_backtest(paper, Asked(module.__name__, {}, latency_ms=5, cuts=0), data)
    other = by_hand(WANTED)
    times, mids = mids_of(data.events)
    assert [at for at, _, _ in module.SEEN] == times.tolist()
    for (_, _, seen), mid in zip(module.SEEN, mids, strict=True):
        other.update_price(mid, 1.0)
        assert seen.tobytes() == values_of(other, WANTED).tobytes()
    assert not np.isnan(module.SEEN[-1][2]).any()
    assert told.run.counts["intents"] > 0


def test_bars_of_the_touch_close_with_the_first_price_of_a_later_one(paper, watching):
    module = watching(bars_s=1)
    data = dataset.load(shipped.find("tardis-quotes")[0], Meta("BTCUSDT", 10**7, 10**5, "linear"))
    run_backtest(paper, Asked(module.__name__, {}, latency_ms=5, cuts=0), data)
    other, held, bar = by_hand(WANTED), [], None
    for at, mid, seen in module.SEEN:
        if held and at // SECOND != bar:
            other.update(held[0], max(held), min(held), held[-1], float(len(held)))
            held = []
        bar = at // SECOND
        held.append(mid)
        assert seen.tobytes() == values_of(other, WANTED).tobytes()
    assert other.count > 20


def test_the_venues_closed_bars_feed_a_stream_of_bars(paper, watching):
    module = watching(bars_s=0)
    path, row = shipped.find("vision-klines")
    whole = dataset.load(path, Meta(row["symbol"], 10**6, 10**3, "linear"))
    data = dataset.between(whole, None, int(whole.events["ts_recv_ns"][0]) + 100 * 300 * SECOND)
    run_backtest(paper, Asked(module.__name__, {}, latency_ms=5, cuts=0), data)
    other = by_hand(WANTED)
    for bar in np.ascontiguousarray(data.events[data.events["kind"] == int(Kind.KIND_BAR_PRICES)]).view(BAR_PRICES):
        other.update(*(float(bar[f"{n}_ticks"]) for n in ("open", "high", "low", "close")), float(bar["volume_lots"]))
    assert module.SEEN[-1][2].tobytes() == values_of(other, WANTED).tobytes()
    assert other.count == 100
    assert Market("bars").basis == "bars"


def test_streams_are_part_of_the_world_and_of_its_hash(paper, watching):
    module, data = watching(), sample(seed=3, count=400)
    runs = [run_backtest(paper, Asked(module.__name__, {}, latency_ms=5, cuts=0), data).run for _ in range(2)]
    assert runs[0].state_hash == runs[1].state_hash
    other = watching(wanted=WANTED[:-1])
    assert (
        run_backtest(paper, Asked(other.__name__, {}, latency_ms=5, cuts=0), data).run.state_hash != runs[0].state_hash
    )


def test_the_look_ahead_check_passes_with_features(paper, watching):
    told = run_backtest(paper, Asked(watching().__name__, {}, latency_ms=5, cuts=3), sample(seed=3, count=COUNT))
    assert told.check.difference is None


def test_two_strategies_have_streams_of_their_own():
    requests = [(int(FeedSource.FEED_TOUCH), 0, (("ema", 5),)), None, (int(FeedSource.FEED_BARS), 0, (("rsi", 14),))]
    world = World(symbols=1, strategies=3, features=feed_bytes(requests))
    feed_init(world, requests)
    assert feed_of(world, 1) is None
    for slot in (0, 2):
        source, every_ns, digest, values = feed_of(world, slot)
        assert (source, every_ns, digest) == (requests[slot][0], 0, feed_hash(requests[slot]))
        assert np.isnan(values).all()


def test_a_world_for_other_features_is_refused():
    request = [(int(FeedSource.FEED_TOUCH), 0, (("ema", 5),))]
    with pytest.raises(ValueError, match="other features"):
        feed_init(World(symbols=1, strategies=1, features=4096), request)
    with pytest.raises(ValueError, match="no room"):
        feed_init(World(symbols=1, strategies=1), request)
    assert features_feed.feed_text(request[0]) == "1 0 ema:5"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ((("no_such", 5),), "no such feature family: no_such"),
        ((), "0 windows; 1 to 32"),
        (tuple(("ema", n) for n in range(2, 35)), "33 windows; 1 to 32"),
        ((("ema", 1001),), "each 1 to 1000"),
        ((("ema", 0),), "each 1 to 1000"),
    ],
)
def test_a_request_that_the_kernel_cannot_hold_is_refused_with_the_reason(wanted, said):
    with pytest.raises(ValueError, match=said):
        feed_bytes([(int(FeedSource.FEED_TOUCH), 0, wanted)])


def test_a_bar_of_negative_length_is_refused():
    request = [(int(FeedSource.FEED_TOUCH), -1, (("ema", 5),))]
    with pytest.raises(ValueError, match="every -1 ns"):
        feed_init(World(symbols=1, strategies=1, features=feed_bytes(request)), request)


def test_where_nothing_was_asked_for_there_are_no_values():
    request = [(int(FeedSource.FEED_TOUCH), 0, (("ema", 5),))]
    world = World(symbols=1, strategies=1, features=feed_bytes(request))
    feed_init(world, request)
    assert feed_of(world, 1) is None
    assert feed_of(World(symbols=1, strategies=1), 0) is None


@pytest.mark.parametrize(
    ("wanted", "bars_s", "said"),
    [
        ((Feature("emma", 5),), None, "Did you mean"),
        ((Feature("ema", 0),), None, "1 to 1000"),
        (tuple(Feature("ema", n) for n in range(1, 34)), None, "asks for 33"),
        ((Feature("ema", 5),), -1, "whole seconds"),
        (("ema",), None, "tuple of Feature"),
    ],
)
def test_a_module_that_asks_for_what_there_is_not_is_refused(watching, wanted, bars_s, said):
    with pytest.raises(StrategyNotAccepted, match=said):
        registry.define(watching(wanted=wanted, bars_s=bars_s))


# ------------------------------------------------------------------------------------------ what moves a stream
def fed(source, wanted=(("ema", 3),), **options):
    desk = Desk(features=feed_bytes([(int(source), 0, wanted)]), **options)
    feed_init(desk.world, [(int(source), 0, wanted)])
    desk.core.bind_features(features_feed.feed_address())
    return desk


def count_of(desk):
    return feed_words(desk.world, 0)["count"]


def test_a_mark_or_a_liquidation_moves_no_stream_of_the_touch():
    desk = fed(FeedSource.FEED_TOUCH)
    for _ in range(3):
        desk.quote()
    desk.say(Kind.KIND_MARK, types.MARK, mark_px_e8=50_000 * 10**6)
    desk.say(Kind.KIND_LIQUIDATION, types.LIQUIDATION, px_ticks=50_000, qty_lots=1)
    desk.say(Kind.KIND_BAR_TOTALS, types.BAR_TOTALS, ts_open_ns=1, ts_close_ns=2)
    assert count_of(desk) == 3
    assert desk.hooks[0].call_count >= 5
    desk.close()


def bar(desk, opened, *, totals=True, closed=True):
    flags = int(Flag.FLAG_CLOSED) if closed else 0
    prices = {"open_ticks": 50_000, "high_ticks": 50_003, "low_ticks": 49_998, "close_ticks": 50_001, "volume_lots": 7}
    desk.say(Kind.KIND_BAR_PRICES, types.BAR_PRICES, flags=flags, **prices)
    if totals:
        times = {"ts_open_ns": START + opened * SECOND, "ts_close_ns": START + (opened + 1) * SECOND - 1}
        desk.say(Kind.KIND_BAR_TOTALS, types.BAR_TOTALS, flags=flags, **times)


def test_a_closed_bar_that_comes_over_two_lines_is_counted_once():
    desk = fed(FeedSource.FEED_BARS)
    desk.world.set_validate(0, needs_time=0)
    for opened in (1, 1, 2, 2, 3):
        bar(desk, opened)
    assert count_of(desk) == 3
    desk.close()


def test_a_bar_is_fed_when_it_is_closed_and_whole():
    desk = fed(FeedSource.FEED_BARS)
    bar(desk, 1, closed=False)
    bar(desk, 1, totals=False)
    assert (count_of(desk), feed_words(desk.world, 0)["bar"]) == (0, 1)
    bar(desk, 1)
    assert (count_of(desk), feed_words(desk.world, 0)["bar"]) == (1, 0)
    desk.close()

"""Bars of every kind: by their rules, against the twin, and from recorded trades."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import bars as core
from engine.model import bars as model
from tests.support.shared import shared_path

STEM = "bars"
S = 1_000_000_000


def feed(bars, trades):
    return [bar for trade in trades for bar in bars.trade(*trade)]


def test_a_time_bar_closes_with_the_first_trade_past_its_end(impl):
    bars = impl.Bars("time", 60 * S)
    assert feed(bars, [(61 * S, 10, 1), (70 * S, 14, 2, True), (119 * S, 8, 1)]) == []
    (bar,) = bars.trade(120 * S, 9, 5)
    assert (bar.ts_open_ns, bar.ts_close_ns) == (60 * S, 120 * S)
    assert (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks) == (10, 14, 8, 8)
    assert (bar.volume_lots, bar.bought_lots, bar.value, bar.trade_count) == (4, 2, 10 + 28 + 8, 3)
    assert bars.current.open_ticks == 9
    bars.check()


def test_a_time_bar_closes_by_the_clock_too(impl):
    bars = impl.Bars("time", 60 * S)
    bars.trade(10 * S, 10, 1)
    assert bars.clock(59 * S) == []
    assert len(bars.clock(60 * S)) == 1
    assert bars.clock(500 * S) == []


def test_an_interval_without_trades_is_left_out_or_filled_flat(impl):
    trades = [(0, 10, 1), (185 * S, 20, 1), (240 * S, 1, 1)]
    assert [b.ts_open_ns // S for b in feed(impl.Bars("time", 60 * S), trades)] == [0, 180]
    filled = feed(impl.Bars("time", 60 * S, fill=True), trades)
    assert [(b.ts_open_ns // S, b.close_ticks, b.volume_lots) for b in filled] == [
        (0, 10, 1), (60, 10, 0), (120, 10, 0), (180, 20, 1),
    ]  # fmt: skip


def test_a_long_gap_is_filled_whole(impl):
    bars = impl.Bars("time", S, fill=True)
    bars.trade(0, 10, 1)
    assert len(bars.trade(1000 * S, 10, 1)) == 1000
    bars.check()


@pytest.mark.parametrize(("kind", "size", "counts"), [
    ("ticks", 2, [2, 2]), ("volume", 5, [2, 2]), ("value", 50, [2, 2]), ("imbalance", 4, [3]),
])  # fmt: skip
def test_a_bar_closes_with_the_trade_that_reaches_its_size(impl, kind, size, counts):
    trades = [(1, 10, 3, False), (2, 10, 2, True), (3, 10, 3, False), (4, 10, 2, True)]
    assert [bar.trade_count for bar in feed(impl.Bars(kind, size), trades)] == counts


def test_renko_needs_two_bricks_to_turn(impl):
    bars = impl.Bars("renko", 10)
    bricks = feed(bars, [(1, 100, 1), (2, 109, 1), (3, 125, 1), (4, 111, 1), (5, 100, 1), (6, 79, 1)])
    assert [(b.open_ticks, b.close_ticks) for b in bricks] == [
        (100, 110), (110, 120), (110, 100), (100, 90), (90, 80),
    ]  # fmt: skip
    assert sum(b.volume_lots for b in bricks) == 6


def test_renko_takes_a_jump_of_any_height(impl):
    bars = impl.Bars("renko", 1)
    bars.trade(1, 1000, 7)
    bricks = bars.trade(2, 2000, 5)
    assert len(bricks) == 1000
    assert [b.volume_lots for b in bricks[:2]] == [12, 0]
    bars.check()


def test_a_late_trade_is_folded_in_without_moving_the_close(impl):
    bars = impl.Bars("time", 60 * S)
    feed(bars, [(70 * S, 10, 1), (80 * S, 11, 1), (75 * S, 20, 1)])
    (bar,) = bars.trade(130 * S, 1, 1)
    assert (bar.high_ticks, bar.close_ticks, bar.volume_lots, bar.late_count) == (20, 11, 3, 1)


def test_a_trade_of_a_bar_that_is_out_gives_its_volume_alone(impl):
    bars = impl.Bars("time", 60 * S)
    feed(bars, [(10 * S, 10, 1), (70 * S, 11, 1), (20 * S, 99, 5)])
    (bar,) = bars.trade(130 * S, 1, 1)
    assert (bar.high_ticks, bar.volume_lots, bar.late_count) == (11, 6, 1)


def test_late_trades_can_be_left_out(impl):
    bars = impl.Bars("time", 60 * S, late="drop")
    feed(bars, [(70 * S, 10, 1), (65 * S, 99, 5)])
    (bar,) = bars.trade(130 * S, 1, 1)
    assert (bar.high_ticks, bar.volume_lots, bars.late_count) == (10, 1, 1)


@pytest.mark.parametrize(
    "trade", [(-1, 1, 1), (1, 0, 1), (1, -5, 1), (1, 1, 0), (1, 1, -1), (1, 2**40, 2**40), (2**63 - 1, 1, 1)]
)
def test_what_is_no_trade_is_refused(impl, trade):
    bars = impl.Bars("ticks", 1)
    assert bars.trade(*trade) == []
    assert (bars.refused_count, bars.bar_count) == (1, 0)


@pytest.mark.parametrize("bad", [("week", 5, {}), ("time", 0, {}), ("time", -1, {}), ("ticks", 5, {"late": "maybe"})])
def test_an_impossible_set_up_is_refused(impl, bad):
    with pytest.raises(ValueError, match=r"bars|size"):
        impl.Bars(bad[0], bad[1], **bad[2])


class Twins(RuleBasedStateMachine):
    """Random trades, late ones among them: the same bars after every step."""

    @initialize(kind=st.sampled_from(["time", "ticks", "volume", "value", "imbalance", "renko"]),
                size=st.integers(1, 40), late=st.sampled_from(["fold", "drop"]), fill=st.booleans())  # fmt: skip
    def start(self, kind, size, late, fill):
        self.pair = [impl.Bars(kind, size, late=late, fill=fill) for impl in (core, model)]
        self.now = 0

    @rule(
        step=st.integers(-30, 60),
        px=st.integers(-1, 60),
        qty=st.one_of(st.integers(0, 9), st.just(2**59)),
        sell=st.booleans(),
    )
    def trade(self, step, px, qty, sell):
        ts = self.now + step
        self.now = max(self.now, ts)
        ours, twin = (bars.trade(ts, px, qty, sell) for bars in self.pair)
        assert ours == twin

    @rule(step=st.integers(0, 90))
    def clock(self, step):
        self.now += step
        ours, twin = (bars.clock(self.now) for bars in self.pair)
        assert ours == twin

    @invariant()
    def both_agree(self):
        if hasattr(self, "pair"):
            ours, twin = self.pair
            ours.check()
            assert (ours.late_count, ours.refused_count, ours.bar_count) == (
                twin.late_count, twin.refused_count, twin.bar_count,
            )  # fmt: skip


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_minute_bars_of_recorded_trades_add_up():
    pa = pytest.importorskip("pyarrow.parquet", reason="pyarrow reads the recorded trades")
    path = shared_path("ticks", "tardis_binance-futures_BTCUSDT_trades_20200222.parquet")
    table = pa.read_table(path).to_pydict()
    ts = np.array(table["timestamp"], dtype=np.int64) * 1000
    px = np.rint(np.array(table["price"], dtype=float) * 100).astype(np.int64)
    qty = np.rint(np.array(table["amount"], dtype=float) * 1000).astype(np.int64)
    sell = np.array([side == "sell" for side in table["side"]], dtype=np.int64)
    order = np.argsort(ts, kind="stable")
    ts, px, qty, sell = ts[order], px[order], qty[order], sell[order]
    bars = core.Bars("time", 60 * S)
    rows = bars.run(ts, px, qty, sell)
    for row in rows:
        inside = (ts >= row[0]) & (ts < row[1])
        assert row[2:6].tolist() == [px[inside][0], px[inside].max(), px[inside].min(), px[inside][-1]]
        assert (row[6], row[7]) == (qty[inside].sum(), qty[inside & (sell == 0)].sum())
    assert rows[:, 9].sum() + bars.current.trade_count == len(ts)

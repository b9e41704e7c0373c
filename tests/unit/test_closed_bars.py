"""Closed bars of the embedded market: every trade in one bar, every interval one bar, each where its time is."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core.types import BAR_PRICES, BAR_TOTALS, EVENT, TRADE, Flag, Kind
from engine.runtime.closed_bars import span_ns
from engine.sim.venue.bars import ClosedBars

S = 10**9


def trades(*rows):
    """(when, price, lots, sold)"""
    out = np.zeros(len(rows), TRADE)
    for at, (when, px, lots, sold) in enumerate(rows):
        out["kind"][at], out["ts_recv_ns"][at] = Kind.KIND_TRADE, when
        out["px_ticks"][at], out["qty_lots"][at] = px, lots
        out["flags"][at] = Flag.FLAG_SELL if sold else 0
    return out.view(EVENT)


def bars_in(events):
    prices = events[events["kind"] == int(Kind.KIND_BAR_PRICES)].view(BAR_PRICES)
    totals = events[events["kind"] == int(Kind.KIND_BAR_TOTALS)].view(BAR_TOTALS)
    return [
        (int(p["ts_recv_ns"]), *(int(p[name]) for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks",
         "volume_lots")), int(t["trade_count"]), int(t["quote_volume_e8"]), int(t["taker_buy_lots"]))
        for p, t in zip(prices, totals, strict=True)
    ]  # fmt: skip


def test_a_bar_closes_behind_its_last_event_and_ahead_of_the_next_intervals_first():
    bars = ClosedBars({0: 10}, S, 0)
    out = bars.among(trades((1, 50, 2, False), (S // 2, 60, 1, True), (S - 1, 40, 3, False), (S, 45, 1, True)))
    assert [Kind(int(kind)).name for kind in out["kind"]] == [
        "KIND_TRADE", "KIND_TRADE", "KIND_TRADE", "KIND_BAR_PRICES", "KIND_BAR_TOTALS", "KIND_TRADE",
    ]  # fmt: skip
    assert bars_in(out) == [(S, 50, 60, 40, 40, 6, 3, (100 + 60 + 120) * 10, 5)]
    assert (np.diff(out["ts_recv_ns"]) >= 0).all()


def test_an_interval_without_a_trade_is_a_bar_at_the_last_price_and_there_is_none_before_the_first():
    bars = ClosedBars({0: 10}, S, 0)
    assert bars_in(bars.among(trades((3 * S + 5, 50, 2, False)))) == []
    out = bars.among(trades((6 * S, 70, 1, False)))
    assert bars_in(out) == [
        (4 * S, 50, 50, 50, 50, 2, 1, 1000, 2), (5 * S, 50, 50, 50, 50, 0, 0, 0, 0),
        (6 * S, 50, 50, 50, 50, 0, 0, 0, 0),
    ]  # fmt: skip


def test_what_nobody_wants_has_no_bars_and_every_trade_is_in_one():
    draw, bars = np.random.default_rng(5), ClosedBars({0: 1}, S, 7)
    when, lots = np.sort(draw.integers(8, 40 * S, 500)), 0
    out = []
    for at in range(0, 500, 9):
        part = trades(*((int(one), 100 + int(one) % 9, 1 + int(one) % 4, False) for one in when[at : at + 9]))
        part["symbol"] = np.arange(len(part)) % 2
        lots += int(part.view(TRADE)["qty_lots"][part["symbol"] == 0].sum())
        out.append(bars.among(part))
    out.append(bars.among(trades((50 * S, 1, 1, False))))
    whole = np.concatenate(out)
    closed = whole[whole["kind"] == int(Kind.KIND_BAR_PRICES)].view(BAR_PRICES)
    assert set(closed["symbol"].tolist()) == {0}
    assert int(closed["volume_lots"].sum()) == lots
    assert (np.diff(closed["ts_recv_ns"]) == S).all()
    assert (np.diff(whole["ts_recv_ns"]) >= 0).all()


@pytest.mark.parametrize(("name", "seconds"), [("1s", 1), ("15m", 900), ("4h", 14_400), ("1d", 86_400)])
def test_an_interval_is_as_long_as_it_says(name, seconds):
    assert span_ns(name) == seconds * S

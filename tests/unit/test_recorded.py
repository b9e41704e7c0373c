"""A recorded market in a matching book: what a recording may say, and where it leaves what is ours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core.match import Match
from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import EVENT, LEVEL, QUOTE, TRADE, Flag, Kind
from engine.sim.venue.recorded import QueueModel, Recorded

PX_MAX, QTY_MAX = 2_000, 1_000
OURS = 7


def level(side, px, qty, flags=0):
    record = np.zeros(1, LEVEL)
    record["kind"], record["px_ticks"], record["qty_lots"] = Kind.KIND_BOOK_LEVEL, px, qty
    record["flags"] = flags | (Flag.FLAG_ASK if side == "ask" else 0)
    return record.view(EVENT)


def trade(side, px, qty):
    record = np.zeros(1, TRADE)
    record["kind"], record["px_ticks"], record["qty_lots"] = Kind.KIND_TRADE, px, qty
    record["flags"] = Flag.FLAG_SELL if side == "sell" else 0
    return record.view(EVENT)


def quote(bid, bid_qty, ask, ask_qty):
    record = np.zeros(1, QUOTE)
    record["kind"], record["bid_px_ticks"], record["bid_qty_lots"] = Kind.KIND_QUOTE, bid, bid_qty
    record["ask_px_ticks"], record["ask_qty_lots"] = ask, ask_qty
    return record.view(EVENT)


def clear():
    record = np.zeros(1, EVENT)
    record["kind"] = Kind.KIND_BOOK_CLEAR
    return record


class Market:
    """A book with a recording in it."""

    def __init__(self, model=QueueModel.QUEUE_SHARE):
        self.book = Match(px_max=PX_MAX, qty_max=QTY_MAX, orders_max=64, lists_max=4)
        self.recorded = Recorded(self.book, model=model)

    def plays(self, *events, stop_at_own=False):
        taken = self.recorded.apply(np.concatenate(events).view(np.uint8), stop_at_own)
        self.book.check()
        return taken

    def ours(self, px, qty, side="buy"):
        self.book.submit(OURS, owner=1, sell=side == "sell", type=WishType.TYPE_LIMIT, qty_lots=qty, px_ticks=px,
                         tif=WishTif.TIF_GTC)  # fmt: skip

    @property
    def left(self):
        order = self.book.order(OURS)
        return order["left_lots"] if order else 0

    @property
    def sides(self):
        return self.book.depth(False, 9), self.book.depth(True, 9)


@pytest.mark.parametrize("model", [-1, 5])
def test_a_queue_model_that_there_is_not_is_refused(model):
    with pytest.raises(ValueError, match="0 to 4"):
        Market(model)


def test_what_lies_outside_the_books_range_is_counted_and_changes_nothing():
    market = Market()
    market.plays(level("bid", 100, 5), level("ask", 102, 6))
    before = market.sides
    wrong = [level("bid", px, qty) for px, qty in ((0, 1), (PX_MAX + 1, 1), (100, -1), (100, QTY_MAX + 1))]
    wrong += [trade("buy", px, qty) for px, qty in ((0, 1), (PX_MAX + 1, 1), (102, 0), (102, QTY_MAX + 1))]
    assert market.plays(*wrong) == 8
    assert market.sides == before
    assert market.recorded.counts == (10, 8)


@pytest.mark.parametrize(
    ("event", "after"),
    [(clear(), ([(90, 3)], [])), (level("ask", 105, 8, Flag.FLAG_SNAPSHOT | Flag.FLAG_FIRST), ([(90, 3)], [(105, 8)]))],
    ids=["a clear", "a new image"],
)
def test_what_empties_the_book_takes_the_crowd_away_and_leaves_ours(event, after):
    market = Market()
    market.plays(level("bid", 100, 5), level("bid", 90, 4), level("ask", 102, 6))
    market.ours(90, 3)
    market.plays(event)
    assert market.sides == after


@pytest.mark.parametrize("model", list(QueueModel)[:4])
@pytest.mark.parametrize(("ahead", "behind"), [(20, 10), (10, 20), (1, 2), (7, 3)])
def test_a_level_that_vanishes_leaves_ours_alone_under_every_model(model, ahead, behind):
    market = Market(model)
    market.plays(level("bid", 100, ahead))
    market.ours(100, 5)
    market.plays(level("bid", 100, ahead + behind), level("bid", 100, 0))
    assert market.sides[0] == [(100, 5)]


def test_a_touch_that_quotes_show_where_we_wait_stood_there_before_us():
    market = Market(QueueModel.QUEUE_BACK)
    market.ours(100, 5)
    market.plays(quote(100, 8, 103, 4))
    market.plays(trade("sell", 100, 8))
    assert market.left == 5
    market.plays(trade("sell", 100, 2))
    assert market.left == 3


def test_a_quote_without_depth_is_all_that_stands_and_either_side_may_be_missing():
    market = Market()
    market.plays(quote(100, 8, 103, 4), quote(98, 2, 104, 1))
    assert market.sides == ([(98, 2)], [(104, 1)])
    market.plays(quote(0, 0, 105, 3), quote(97, 6, 0, 0))
    assert market.sides == ([(97, 6)], [(105, 3)])


def test_a_quote_among_depth_takes_away_only_what_would_be_better():
    market = Market()
    market.plays(level("bid", 100, 5), level("bid", 99, 5), level("ask", 102, 6), level("ask", 103, 6))
    market.plays(quote(99, 4, 103, 3))
    assert market.sides == ([(99, 4)], [(103, 3)])


@pytest.mark.parametrize(
    ("side", "through", "taken"), [("buy", 99, 4), ("buy", 100, 0), ("sell", 101, 4), ("sell", 100, 0)]
)
def test_where_no_queue_is_known_a_trade_fills_only_what_it_went_through(side, through, taken):
    market = Market(QueueModel.QUEUE_THROUGH)
    market.ours(100, 5, side)
    market.plays(trade("sell" if side == "buy" else "buy", through, 4))
    assert market.left == 5 - taken


def test_it_stops_behind_the_event_that_touched_ours_when_it_is_told_to():
    market = Market()
    market.ours(100, 5)
    market.book.events()
    events = [level("ask", 110, 1), trade("sell", 99, 2), trade("sell", 99, 9), level("ask", 111, 1)]
    assert market.plays(*events[:1], stop_at_own=True) == 1
    assert market.plays(*events[1:], stop_at_own=True) == 1
    assert market.plays(*events[2:]) == 2
    assert market.left == 0


QUOTES = st.tuples(
    st.integers(0, 6).map(lambda px: 98 + px if px else 0), st.integers(0, 4), st.integers(1, 5), st.integers(0, 4)
).map(lambda q: quote(q[0], q[1], (q[0] or 100) + q[2], q[3]))
TRADES = st.builds(trade, st.sampled_from(["buy", "sell"]), st.integers(97, 108), st.integers(1, 3))
EVENTS = st.lists(st.one_of(QUOTES, QUOTES, QUOTES, TRADES), min_size=2, max_size=30)


@given(events=EVENTS, at=st.integers(0, 30), ours=st.booleans())
@settings(max_examples=300, deadline=None)
def test_quotes_in_one_go_leave_the_book_that_each_alone_leaves(events, at, ours):
    """The last of many quotes counts while nobody but the crowd is there; with an order of ours each one does."""
    together, alone = Market(), Market()
    for market in (together, alone):
        market.plays(quote(100, 2, 103, 2))
        if ours:
            market.ours(101, 2)
    for part in (events[:at], events[at:]):
        if part:
            together.plays(*part)
        for event in part:
            alone.plays(event)
        assert together.sides == alone.sides
        assert together.left == alone.left
        assert together.recorded.counts == alone.recorded.counts

"""A venue that is lost: its own orders stop at once, everybody's entries when what is held there has no price left."""

from __future__ import annotations

from typing import Any

import pytest

from engine._core import types
from engine._core.strategy_abi import WishFlag
from engine._core.types import Can, Feed, Kind
from engine.observe.decisions import explain
from engine.runtime.wiring import INSTRUMENT
from tests.support.desks import SECOND, Desk

AGE_S = 5  # how old an equity may be
HERE, LOST = 0, 1  # symbols, and their venues


@pytest.fixture
def desk():
    made = Desk(symbols=2, strategies=2, venues=2, brackets=0, limits={"equity_age_ns": AGE_S * SECOND})
    made.world.set_instrument(LOST, **(INSTRUMENT | {"can": int(Can.CAN_ALL), "venue": 1}))
    for _ in range(3):
        made.quote(symbol=HERE)
        made.quote(symbol=LOST)
    yield made
    made.close()


def hold(desk: Desk, symbol: int) -> None:
    desk.wants(strategy=symbol, qty_lots=3)
    desk.quote(symbol=symbol)
    order = desk.places[0]
    desk.wants_nothing(strategy=symbol)
    desk.ack(order)
    desk.fill(order)


def lose(desk: Desk) -> None:
    for feed in (Feed.FEED_MARKET, Feed.FEED_USER, Feed.FEED_ORDERS):
        desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=int(feed), venue=LOST, up=0)


def wait(desk: Desk, seconds: float) -> None:
    """Prices go on at the one that is there."""
    for _ in range(round(seconds * 4)):
        desk.quote(symbol=HERE, by=SECOND // 4)


def reasons(desk: Desk) -> set[str]:
    return {reason.rule for row in desk.denials for reason in explain(row)}


def entry(desk: Desk, tag: int = 0) -> Any:
    desk.wants(strategy=HERE, tag=tag, qty_lots=1)
    desk.quote(symbol=HERE)
    return desk.places


def test_with_nothing_held_there_a_lost_venue_stops_nobody_else(desk):
    lose(desk)
    wait(desk, 60)
    assert len(entry(desk)) == 1


def test_what_is_held_there_keeps_its_last_price_for_the_age_of_an_equity_and_no_longer(desk):
    hold(desk, LOST)
    desk.quote(symbol=LOST)
    lose(desk)
    wait(desk, AGE_S - 1)
    assert len(entry(desk)) == 1
    wait(desk, 2)
    assert len(entry(desk, tag=1)) == 0
    assert reasons(desk) == {"EQUITY_STALE"}


def test_what_is_held_here_may_be_closed_all_the_time(desk):
    hold(desk, HERE)
    hold(desk, LOST)
    lose(desk)
    wait(desk, 60)
    flags = int(WishFlag.WISH_REDUCE_ONLY)
    desk.wants("ask", strategy=HERE, qty_lots=3, flags=flags, stop_px_ticks=0)
    desk.quote(symbol=HERE)
    assert [int(row["qty_lots"]) for row in desk.places] == [3]


def test_the_lost_venues_own_entries_stop_at_once_and_come_back_when_both_sides_were_compared(desk):
    lose(desk)
    desk.wants(strategy=LOST, qty_lots=1)
    desk.quote(symbol=LOST)
    assert len(desk.places) == 0
    for feed, up in ((Feed.FEED_ORDERS, 1), (Feed.FEED_USER, 1), (Feed.FEED_MARKET, 1)):
        desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=int(feed), venue=LOST, up=up)
        desk.quote(symbol=LOST)
        assert len(desk.places) == 0
    desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=int(Feed.FEED_USER), venue=LOST, up=2)
    desk.quote(symbol=LOST)
    assert len(desk.places) == 1


def test_when_prices_are_there_again_entries_go_on(desk):
    hold(desk, LOST)
    lose(desk)
    wait(desk, 10)
    assert len(entry(desk)) == 0
    for feed, up in ((Feed.FEED_ORDERS, 1), (Feed.FEED_USER, 2), (Feed.FEED_MARKET, 1)):
        desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=int(feed), venue=LOST, up=up)
    desk.quote(symbol=LOST)
    assert len(entry(desk)) == 1

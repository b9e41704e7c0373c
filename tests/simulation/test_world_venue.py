"""The venue of the seeded world: each kind of order gets the reports that a real venue gives."""

from __future__ import annotations

import pytest

from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import Kind
from engine.journal.port import CANCELED, EXPIRED, FILLED, OPEN, REJECTED
from engine.sim.world.venue import Venue
from engine.sim.world.wire import Ask

MARKET, STOP = int(WishType.TYPE_MARKET), int(WishType.TYPE_STOP)
IOC, FOK, GTX = int(WishTif.TIF_IOC), int(WishTif.TIF_FOK), int(WishTif.TIF_GTX)


class Desk:
    """A venue whose touch is 100 to 101, and everything that it said."""

    def __init__(self):
        self.said, self.now = [], 10**9
        self.venue = Venue(3, self._hear)
        self.lots = self.venue.move(100, 101, self.now)

    def _hear(self, kind, order, now_ns, *, px_ticks, qty_lots=0, id_venue=0):
        name = Kind(int(kind)).name.removeprefix("KIND_ORDER_")
        self.said.append((name, order.id_order, px_ticks, qty_lots) if name == "FILL" else (name, order.id_order))

    def place(self, number, **terms):
        self.venue.place(Ask(number, **terms), sent_ns=self.now, now_ns=self.now)
        return self.venue.orders[number]

    def kinds(self, number):
        return [name for name, order, *_ in self.said if order == number]


def test_a_market_order_takes_what_stands_at_the_touch_and_the_rest_expires():
    desk = Desk()
    there = desk.lots[1]
    order = desk.place(1, qty_lots=there + 5, type=MARKET)
    assert (order.state, order.filled_lots, desk.venue.lots) == (EXPIRED, there, there)
    assert desk.kinds(1)[0] == "ACK"
    assert desk.kinds(1)[-1] == "EXPIRED"
    fills = [row for row in desk.said if row[0] == "FILL"]
    assert {px for _, _, px, _ in fills} == {101}
    assert sum(lots for *_, lots in fills) == there == sum(trade.qty_lots for trade in desk.venue.trades)


def test_an_ioc_beyond_its_price_expires_whole_and_a_fok_fills_whole_or_not_at_all():
    desk = Desk()
    assert desk.place(1, px_ticks=100, qty_lots=5, tif=IOC).filled_lots == 0
    assert desk.kinds(1) == ["ACK", "EXPIRED"]
    assert desk.place(2, px_ticks=101, qty_lots=desk.lots[1] + 1, tif=FOK).filled_lots == 0
    assert desk.kinds(2) == ["ACK", "EXPIRED"]
    assert desk.place(3, px_ticks=101, qty_lots=desk.lots[1], tif=FOK).state == FILLED


def test_post_only_that_would_take_is_refused():
    desk = Desk()
    assert desk.place(1, px_ticks=101, qty_lots=5, tif=GTX).state == REJECTED
    assert desk.kinds(1) == ["REJECTED"]
    assert desk.place(2, px_ticks=100, qty_lots=5, tif=GTX).state == OPEN


def test_reduce_only_that_would_not_reduce_is_refused():
    desk = Desk()
    assert desk.place(1, sell=True, px_ticks=100, qty_lots=1, reduce_only=True).state == REJECTED
    desk.place(2, qty_lots=1, type=MARKET)
    assert desk.place(3, sell=True, px_ticks=100, qty_lots=2, reduce_only=True).state == REJECTED
    assert desk.place(4, px_ticks=100, qty_lots=1, reduce_only=True).state == REJECTED
    assert desk.place(5, sell=True, qty_lots=1, type=MARKET, reduce_only=True).state == FILLED
    assert desk.venue.lots == 0


def test_a_stop_waits_for_its_price_and_fills_as_a_taker():
    desk = Desk()
    desk.place(1, qty_lots=1, type=MARKET)
    stop = desk.place(2, sell=True, qty_lots=1, type=STOP, trigger_px=90)
    desk.venue.move(91, 92, desk.now + 1)
    assert stop.state == OPEN
    desk.venue.move(88, 89, desk.now + 2)
    assert (stop.state, desk.venue.lots) == (FILLED, 0)
    assert desk.said[-1] == ("FILL", 2, 88, 1)


def test_a_resting_order_fills_at_its_price_when_the_market_comes_through_it():
    desk = Desk()
    order = desk.place(1, px_ticks=99, qty_lots=1)
    desk.venue.move(97, 98, desk.now + 1)
    assert order.state == FILLED
    assert desk.said[-1] == ("FILL", 1, 99, 1)


def test_an_amend_keeps_the_order_and_one_that_cannot_be_changes_nothing():
    desk = Desk()
    order = desk.place(1, px_ticks=99, qty_lots=5)
    desk.venue.amend(1, px_ticks=99, qty_lots=3, now_ns=desk.now)
    assert (order.qty_lots, desk.kinds(1)[-1]) == (3, "REPLACED")
    desk.venue.amend(1, px_ticks=0, qty_lots=3, now_ns=desk.now)
    assert (order.px_ticks, order.qty_lots, desk.kinds(1)[-1]) == (99, 3, "REPLACE_REFUSED")
    desk.venue.amend(9, px_ticks=99, qty_lots=3, now_ns=desk.now)
    assert desk.kinds(9) == ["REPLACE_NO_ORDER"]


@pytest.mark.parametrize("every", [False, True])
def test_cancels_say_what_became_of_the_order(every):
    desk = Desk()
    orders = [desk.place(number, px_ticks=98, qty_lots=5) for number in (1, 2)]
    desk.place(3, qty_lots=1, type=MARKET)
    if every:
        desk.venue.take_all_away(desk.now)
    else:
        for number in (1, 2, 3, 4):
            desk.venue.take_away(number, desk.now)
        assert desk.kinds(3)[-1] == "CANCEL_TOO_LATE"
        assert desk.kinds(4) == ["CANCEL_NO_ORDER"]
    assert [order.state for order in orders] == [CANCELED, CANCELED]
    assert desk.venue.open_orders() == []


def test_halted_banned_late_and_repeated_requests():
    desk = Desk()
    desk.venue.halted = True
    assert desk.place(1, px_ticks=99, qty_lots=5).state == REJECTED
    desk.venue.halted = False
    desk.venue.banned_until_ns = desk.now + 1
    desk.venue.place(Ask(2, False, 99, 5), sent_ns=desk.now, now_ns=desk.now)
    desk.venue.banned_until_ns = 0
    desk.venue.place(Ask(3, False, 99, 5), sent_ns=desk.now - 6 * 10**9, now_ns=desk.now)
    assert set(desk.venue.orders) == {1}
    for lots in (5, 5):
        desk.venue.place(Ask(4, False, 99, lots), sent_ns=desk.now, now_ns=desk.now)
    assert (desk.kinds(4), desk.venue.reused) == (["ACK"], [])
    desk.venue.place(Ask(4, False, 99, 6), sent_ns=desk.now, now_ns=desk.now)
    assert desk.venue.reused == [4]

"""What becomes of an order whose turn comes later: a leg that begins, a stop that is triggered."""

from __future__ import annotations

import pytest

from engine._core import match as core
from engine._core.match import Kind, ListKind, Reason
from engine._core.types import Status
from tests.differential.test_match_refusals import GTX, LIMIT, STOP, STOP_LIMIT, leg, make, put

STEM = "match"


def told(book):
    return [e[:2] + (e[4],) for e in (book.told() if isinstance(book, core.Match) else book.events())]


def test_a_post_only_order_that_was_triggered_ends_rather_than_takes(impl):
    book = make(impl)
    put(book, 1, "sell", 105, 1)
    put(book, 2, "sell", 106, 5)
    assert put(book, 3, "buy", 108, 2, owner=2, type=STOP_LIMIT, trigger_px=105, tif=GTX) == Status.OK
    told(book)
    put(book, 4, "buy", 105, 1, owner=3)
    assert told(book)[-2:] == [
        (Kind.MATCHED_TRIGGERED, 0, 3), (Kind.MATCHED_REJECTED, Reason.REASON_WOULD_TAKE, 3)
    ]  # fmt: skip
    assert book.depth(True, 2) == [(106, 5)]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_pending_leg_that_would_take_when_its_time_comes_ends_its_pair(impl, swapped):
    book = make(impl)
    pair = [leg(2, "sell", LIMIT, 94, tif=GTX), leg(3, "sell", STOP, 0, 90)]
    legs = [leg(1, "buy", LIMIT, 95), *(reversed(pair) if swapped else pair)]
    assert book.submit_list(ListKind.LIST_OTOCO, legs) == Status.OK
    put(book, 4, "buy", 95, 3, owner=2)
    told(book)
    # It fills the entry alone; the bid behind it at the same price is what the target would meet.
    put(book, 5, "sell", 95, 5, owner=3)
    ends = [row for row in told(book) if row[0] in (Kind.MATCHED_REJECTED, Kind.MATCHED_EXPIRED)]
    assert ends == [(Kind.MATCHED_REJECTED, Reason.REASON_WOULD_TAKE, 2), (Kind.MATCHED_EXPIRED, Reason.REASON_OCO, 3)]
    assert (book.depth(False, 2), book.live_count) == ([(95, 3)], 1)
    # What the two held is free again.
    assert put(book, 2, "sell", 110, 1) == put(book, 3, "sell", 111, 1) == Status.OK


def test_a_turn_that_comes_round_the_end_of_the_queue_is_taken(impl):
    book = make(impl, orders_max=4)
    for round_ in range(6):
        number = 10 * round_
        px = 100 - round_
        assert put(book, number + 1, "buy", px - 1, 1, owner=2) == Status.OK
        assert put(book, number + 2, "sell", 0, 1, owner=1, type=STOP, trigger_px=px - 1) == Status.OK
        book.set_last(px - 1)
        assert told(book)[-1][::2] == (Kind.MATCHED_TRADE, number + 2)
    assert (book.live_count, book.last_px) == (0, 94)

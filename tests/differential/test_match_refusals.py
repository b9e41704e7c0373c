"""What the matching core refuses: kernel and twin give the same status and reason, and the book stays as it was."""

from __future__ import annotations

import pytest

from engine._core import match as core
from engine._core.match import Flag, ListKind, Reason
from engine._core.types import Status
from engine.errors import MatchBadConfig

STEM = "match"
LIMIT, MARKET, STOP, STOP_LIMIT, TAKE, TAKE_LIMIT, TRAILING, ICEBERG = range(8)
GTC, IOC, FOK, GTX, GTD = range(5)


def make(impl, **config):
    book = impl.Match(**({"px_max": 2000, "qty_max": 1000, "orders_max": 64, "lists_max": 16} | config))
    book.set_last(100)
    return book


def leg(number, side, kind, px, trigger=0, *, qty=5, owner=1, tif=GTC):
    return {"id": number, "owner": owner, "sell": side == "sell", "type": kind, "px_ticks": px, "trigger_px": trigger,
            "qty_lots": qty, "tif": tif}  # fmt: skip


def put(book, number, side, px, qty, *, owner=1, **terms):
    status = book.submit(
        number, owner=owner, sell=side == "sell", type=terms.pop("type", LIMIT), px_ticks=px, qty_lots=qty, **terms
    )
    book.check()
    return status


# --------------------------------------------------------------------------------------------------------------- lists
ENTRY = leg(1, "buy", LIMIT, 95)
TARGET, GUARD = leg(2, "sell", LIMIT, 110, tif=GTX), leg(3, "sell", STOP, 0, 90)


@pytest.mark.parametrize(
    ("kind", "legs"),
    [
        (0, [ENTRY, GUARD]),
        (4, [ENTRY, GUARD]),
        (ListKind.LIST_OTO | 16, [ENTRY, GUARD]),
        (ListKind.LIST_OTO, [ENTRY | {"owner": 0}, GUARD | {"owner": 0}]),
        (ListKind.LIST_OTO, [ENTRY, GUARD | {"owner": 2}]),
        (ListKind.LIST_OTO, [ENTRY, GUARD | {"id": 1}]),
        (ListKind.LIST_OTO, [GUARD, TARGET]),
        (ListKind.LIST_OTOCO, [ENTRY, TARGET, GUARD | {"id": 1}]),
        (ListKind.LIST_OTOCO, [ENTRY, GUARD, leg(4, "sell", STOP, 0, 80)]),
        (ListKind.LIST_OCO, [TARGET, leg(4, "sell", LIMIT, 120, tif=GTX)]),
        (ListKind.LIST_OCO, [TARGET]),
        (ListKind.LIST_OTOCO, [ENTRY, TARGET]),
    ],
)  # fmt: skip
def test_legs_that_make_no_list_are_refused_whole(impl, kind, legs):
    book = make(impl)
    assert book.submit_list(int(kind), legs) == Status.MATCH_BAD_ORDER
    assert (book.reason, book.live_count) == (Reason.REASON_LIST, 0)
    book.check()


@pytest.mark.parametrize("swapped", [False, True])
def test_the_order_of_an_ocos_legs_is_free(impl, swapped):
    book = make(impl)
    legs = [leg(1, "sell", LIMIT, 110, tif=GTX), leg(2, "sell", STOP, 0, 90)]
    assert book.submit_list(ListKind.LIST_OCO, legs[::-1] if swapped else legs) == Status.OK
    assert book.live_count == 2


def test_a_list_must_fit_its_owners_count_as_a_whole(impl):
    book = make(impl, owner_orders_max=2)
    assert put(book, 9, "buy", 50, 1) == Status.OK
    legs = [leg(1, "sell", LIMIT, 110, tif=GTX), leg(2, "sell", STOP, 0, 90)]
    assert book.submit_list(ListKind.LIST_OCO, legs) == Status.MATCH_BAD_ORDER
    assert (book.reason, book.live_count) == (Reason.REASON_MAX_ORDERS, 1)
    book.cancel(9)
    assert book.submit_list(ListKind.LIST_OCO, legs) == Status.OK


def test_a_list_without_room_for_all_its_legs_is_refused_whole():
    book = make(core, orders_max=4)
    for number in (7, 8, 9):
        assert put(book, number, "buy", 50, 1, owner=0) == Status.OK
    legs = [leg(1, "sell", LIMIT, 110, tif=GTX), leg(2, "sell", STOP, 0, 90)]
    assert book.submit_list(ListKind.LIST_OCO, legs) == Status.MATCH_FULL
    assert (book.reason, book.live_count) == (Reason.REASON_CAPACITY, 3)
    book.cancel(9)
    assert book.submit_list(ListKind.LIST_OCO, legs) == Status.OK


# ------------------------------------------------------------------------------------------------------------- filters
def test_a_sum_below_the_least_notional_is_refused_and_one_at_it_is_not(impl):
    book = make(impl, notional_min=500)
    put(book, 1, "sell", 100, 50, owner=2)
    by_quote = {"type": MARKET, "flags": int(Flag.MATCH_BY_QUOTE)}
    assert put(book, 2, "buy", 0, 1, budget=499, **by_quote) == Status.MATCH_BAD_ORDER
    assert book.reason == Reason.REASON_NOTIONAL
    assert put(book, 2, "buy", 0, 1, budget=500, **by_quote) == Status.OK


@pytest.mark.parametrize(
    "terms",
    [
        {"px": 100, "qty": 0}, {"px": -1, "qty": 1}, {"px": 100, "qty": 1, "trigger_px": -1},
        {"px": 100, "qty": 1, "trail": -1}, {"px": 100, "qty": 1, "display_lots": -1}, {"px": 0, "qty": 1},
        {"px": 100, "qty": 1, "type": MARKET}, {"px": 0, "qty": 1, "type": STOP},
        {"px": 100, "qty": 1, "tif": GTD}, {"px": 100, "qty": 1, "expire_ns": 5},
        {"px": 0, "qty": 1, "type": MARKET, "tif": GTX}, {"px": 100, "qty": 1, "type": ICEBERG},
        {"px": 100, "qty": 4, "type": ICEBERG, "display_lots": 5},
        {"px": 100, "qty": 4, "type": ICEBERG, "display_lots": 2, "tif": IOC}, {"px": 100, "qty": 1, "stp": 9},
        {"px": 100, "qty": 1, "type": 9}, {"px": 100, "qty": 1, "tif": 9},
    ],
)  # fmt: skip
def test_terms_that_contradict_each_other_are_no_order(impl, terms):
    book = make(impl)
    terms = dict(terms)
    assert put(book, 1, "buy", terms.pop("px"), terms.pop("qty"), **terms) == Status.MATCH_BAD_ORDER
    assert (book.reason, book.live_count) == (Reason.REASON_SHAPE, 0)


# ------------------------------------------------------------------------------------------------------- later changes
def test_a_change_of_nothing_and_of_what_is_not_there_is_refused(impl):
    book = make(impl)
    put(book, 1, "buy", 50, 4)
    assert book.amend(1, px_ticks=50, qty_lots=4) == Status.MATCH_BAD_ORDER
    assert book.reason == Reason.REASON_NO_CHANGE
    assert book.amend(2, px_ticks=50, qty_lots=3) == Status.MATCH_UNKNOWN
    assert book.release(2) == book.expire(2) == book.cancel(0) == Status.MATCH_UNKNOWN
    assert book.depth(False, 1) == [(50, 4)]


def test_an_amend_is_held_against_the_filters_like_a_new_order(impl):
    book = make(impl, notional_min=100)
    put(book, 1, "buy", 50, 4)
    assert book.amend(1, px_ticks=50, qty_lots=1) == Status.MATCH_BAD_ORDER
    assert book.reason == Reason.REASON_NOTIONAL
    assert book.depth(False, 1) == [(50, 4)]


def test_an_amend_to_a_price_without_a_page_leaves_the_order_where_it_rests():
    book = make(core, px_max=100_000, pages_max=1)
    assert put(book, 1, "buy", 10, 2) == Status.OK
    assert book.amend(1, px_ticks=50_000, qty_lots=2) == Status.MATCH_FULL
    assert book.depth(False, 2) == [(10, 2)]


@pytest.mark.parametrize(
    "bad",
    [
        {"notional_min": -1}, {"bid_up_ppm": -1}, {"market_qty_max": 2000}, {"lists_max": 0}, {"owners_max": 0},
        {"pages_max": 0}, {"qty_min": 5, "qty_max": 4},
    ],
)  # fmt: skip
def test_a_shape_that_contradicts_itself_is_refused(bad):
    with pytest.raises(MatchBadConfig):
        make(core, **bad)

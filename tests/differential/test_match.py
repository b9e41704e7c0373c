"""The compiled book and its twin: facts about one order at a time, then random lives on both."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import match as core
from engine._core.match import MATCHED, Kind, ListKind, Reason, State, Stp
from engine._core.types import Status
from engine.errors import MatchBadConfig
from engine.model import match as model

STEM = "match"
LIMIT, MARKET, STOP, STOP_LIMIT, TAKE, TAKE_LIMIT, TRAILING, ICEBERG = range(8)
GTC, IOC, FOK, GTX, GTD = range(5)
FIELDS = ("kind", "reason", "flags", "owner", "id", "id_other", "px_ticks", "qty_lots", "filled_lots", "filled_other",
          "id_trade")  # fmt: skip


def told(book) -> list[tuple[int, ...]]:
    """The events as plain tuples, whichever of the two told them."""
    return book.told() if isinstance(book, core.Match) else book.events()


def kinds(book) -> list[tuple[Kind, int]]:
    return [(Kind(e[0]), e[4]) for e in told(book)]


def make(impl, **config):
    return impl.Match(**({"px_max": 2000, "qty_max": 1000, "orders_max": 64, "lists_max": 16} | config))


def put(book, number, side, px, qty, *, owner=1, **terms):
    status = book.submit(
        number, owner=owner, sell=side == "sell", type=terms.pop("type", LIMIT), px_ticks=px, qty_lots=qty, **terms
    )
    book.check()
    return status


def test_better_prices_trade_first_and_equal_ones_by_age(impl):
    book = make(impl)
    put(book, 1, "sell", 101, 5)
    put(book, 2, "sell", 100, 5)
    put(book, 3, "sell", 100, 5)
    told(book)
    put(book, 4, "buy", 101, 12, owner=2)
    trades = [(e[5], e[6], e[7]) for e in told(book) if e[0] == Kind.MATCHED_TRADE]
    assert trades == [(2, 100, 5), (3, 100, 5), (1, 101, 2)]
    assert (book.best_bid, book.best_ask) == (0, 101)


def test_a_trade_names_both_orders_and_what_they_have_filled(impl):
    book = make(impl)
    put(book, 1, "buy", 50, 10)
    put(book, 2, "sell", 50, 4, owner=2)
    trade = told(book)[-1]
    flags = core.EventFlag.MATCHED_SELL | core.EventFlag.MATCHED_TAKER_DONE | 8 | 16
    assert trade == (Kind.MATCHED_TRADE, 0, flags, 2, 2, 1, 50, 4, 4, 4, 1)


def test_what_is_left_of_a_limit_order_rests_and_of_an_ioc_order_ends(impl):
    book = make(impl)
    put(book, 1, "sell", 100, 3)
    put(book, 2, "buy", 100, 5, owner=2, tif=IOC)
    assert told(book)[-1][:2] == (Kind.MATCHED_EXPIRED, Reason.REASON_IOC)
    put(book, 3, "sell", 100, 3)
    put(book, 4, "buy", 100, 5, owner=2)
    assert book.depth(False, 5) == [(100, 2)]


def test_fill_or_kill_fills_whole_or_not_at_all(impl):
    book = make(impl)
    put(book, 1, "sell", 100, 3)
    put(book, 2, "sell", 101, 3)
    told(book)
    put(book, 3, "buy", 101, 7, owner=2, tif=FOK)
    assert kinds(book) == [(Kind.MATCHED_NEW, 3), (Kind.MATCHED_EXPIRED, 3)]
    put(book, 4, "buy", 101, 6, owner=2, tif=FOK)
    assert [k for k, _ in kinds(book)] == [Kind.MATCHED_NEW, Kind.MATCHED_TRADE, Kind.MATCHED_TRADE]


def test_fill_or_kill_does_not_count_ones_own_orders(impl):
    book = make(impl)
    put(book, 1, "sell", 100, 5, owner=2)
    put(book, 2, "sell", 100, 5)
    told(book)
    put(book, 3, "buy", 100, 6, owner=2, tif=FOK, stp=Stp.STP_EXPIRE_MAKER)
    assert kinds(book)[-1] == (Kind.MATCHED_EXPIRED, 3)


def test_a_post_only_order_that_would_take_is_refused_and_changes_nothing(impl):
    book = make(impl)
    put(book, 1, "sell", 100, 3)
    told(book)
    assert put(book, 2, "buy", 100, 1, tif=GTX) == Status.MATCH_WOULD_TAKE
    assert (told(book), book.live_count, book.reason) == ([], 1, Reason.REASON_WOULD_TAKE)
    assert put(book, 2, "buy", 99, 1, tif=GTX) == Status.OK


def test_a_market_order_takes_any_price_and_never_rests(impl):
    book = make(impl)
    put(book, 1, "sell", 100, 3)
    put(book, 2, "sell", 1900, 3)
    put(book, 3, "buy", 0, 10, owner=2, type=MARKET)
    assert told(book)[-1][:2] == (Kind.MATCHED_EXPIRED, Reason.REASON_LIQUIDITY)
    assert (book.live_count, book.last_px) == (0, 1900)


def test_a_market_order_stops_where_its_money_ends(impl):
    book = make(impl)
    put(book, 1, "sell", 100, 3)
    put(book, 2, "sell", 200, 3)
    put(book, 3, "buy", 0, 10, owner=2, type=MARKET, budget=700)
    end = told(book)[-1]
    assert end[:2] == (Kind.MATCHED_EXPIRED, Reason.REASON_BUDGET)
    assert end[8] == 5


def test_a_stop_waits_for_its_price_and_then_takes(impl):
    book = make(impl)
    put(book, 1, "buy", 90, 5)
    book.set_last(100)
    assert put(book, 2, "sell", 0, 2, owner=2, type=STOP, trigger_px=100) == Status.MATCH_WOULD_TRIGGER
    put(book, 2, "sell", 0, 2, owner=2, type=STOP, trigger_px=95)
    told(book)
    put(book, 3, "buy", 95, 1)
    put(book, 4, "sell", 95, 1, owner=3)
    assert kinds(book)[-2:] == [(Kind.MATCHED_TRIGGERED, 2), (Kind.MATCHED_TRADE, 2)]
    assert (book.last_px, book.order(2)) == (90, None)


def test_triggers_cascade_in_the_order_of_their_prices(impl):
    book = make(impl)
    put(book, 1, "buy", 80, 50)
    book.set_last(100)
    put(book, 2, "sell", 0, 1, owner=2, type=STOP, trigger_px=90)
    put(book, 3, "sell", 0, 1, owner=2, type=STOP, trigger_px=95)
    put(book, 4, "sell", 0, 1, owner=2, type=STOP, trigger_px=95)
    told(book)
    book.set_last(95)
    assert [n for k, n in kinds(book) if k == Kind.MATCHED_TRADE] == [3, 4, 2]


def test_a_take_profit_limit_rests_at_its_price_once_triggered(impl):
    book = make(impl)
    book.set_last(100)
    put(book, 1, "sell", 120, 2, type=TAKE_LIMIT, trigger_px=110)
    assert book.depth(True, 1) == []
    book.set_last(111)
    assert book.depth(True, 1) == [(120, 2)]


def test_a_trailing_stop_follows_the_price_and_never_goes_back(impl):
    book = make(impl)
    put(book, 1, "buy", 10, 9)
    book.set_last(100)
    put(book, 2, "sell", 0, 2, owner=2, type=TRAILING, trail=10)
    for px, trigger in ((105, 95), (99, 95), (120, 110), (111, 110)):
        book.set_last(px)
        assert book.order(2)["trigger_px"] == trigger
    book.set_last(110)
    assert book.order(2) is None


def test_a_trailing_stop_with_an_activation_price_sleeps_until_then(impl):
    book = make(impl)
    put(book, 1, "sell", 1000, 9)
    book.set_last(100)
    put(book, 2, "buy", 0, 2, owner=2, type=TRAILING, trail=500, trigger_px=80, flags=core.Flag.MATCH_TRAIL_BIPS)
    book.set_last(90)
    assert book.order(2)["state"] == State.STATE_ARMED
    book.set_last(80)
    assert (book.order(2)["state"], book.order(2)["trigger_px"]) == (State.STATE_TRAILING, 84)


def test_an_iceberg_shows_slices_and_each_goes_to_the_back(impl):
    book = make(impl)
    put(book, 1, "sell", 100, 10, type=ICEBERG, display_lots=4)
    put(book, 2, "sell", 100, 4)
    assert book.depth(True, 1) == [(100, 8)]
    told(book)
    put(book, 3, "buy", 100, 10, owner=2)
    assert [(e[5], e[7]) for e in told(book) if e[0] == Kind.MATCHED_TRADE] == [(1, 4), (2, 4), (1, 2)]
    assert (book.order(1)["left_lots"], book.order(1)["hidden_lots"]) == (2, 2)


def test_what_is_good_until_a_time_ends_at_that_time(impl):
    book = make(impl)
    put(book, 1, "buy", 50, 1, tif=GTD, expire_ns=20)
    put(book, 2, "buy", 50, 1, tif=GTD, expire_ns=10)
    book.advance(9)
    assert book.live_count == 2
    told(book)
    book.advance(20)
    assert [(k, n) for k, n in kinds(book)] == [(Kind.MATCHED_EXPIRED, 2), (Kind.MATCHED_EXPIRED, 1)]
    assert put(book, 3, "buy", 50, 1, tif=GTD, expire_ns=20) == Status.MATCH_BAD_ORDER


@pytest.mark.parametrize(
    ("mode", "left"),
    [
        (Stp.STP_NONE, {2: None, 1: None}),
        (Stp.STP_EXPIRE_TAKER, {2: None, 1: 5}),
        (Stp.STP_EXPIRE_MAKER, {2: 5, 1: None}),
        (Stp.STP_EXPIRE_BOTH, {2: None, 1: None}),
        (Stp.STP_DECREMENT, {2: None, 1: None}),
    ],
)
def test_self_trade_prevention_ends_whom_its_mode_names(impl, mode, left):
    book = make(impl)
    put(book, 1, "sell", 100, 5)
    put(book, 2, "buy", 100, 5, stp=mode)
    assert {n: book.order(n) and book.order(n)["left_lots"] for n in (2, 1)} == left
    traded = any(e[0] == Kind.MATCHED_TRADE for e in told(book))
    assert traded == (mode == Stp.STP_NONE)


def test_decrement_takes_the_smaller_order_out_of_both(impl):
    book = make(impl)
    put(book, 1, "sell", 100, 5)
    put(book, 2, "buy", 100, 8, stp=Stp.STP_DECREMENT)
    assert (book.order(1), book.order(2)["left_lots"], book.order(2)["prevented_lots"]) == (None, 3, 5)


def test_less_at_the_same_price_keeps_its_place_and_more_loses_it(impl):
    book = make(impl)
    for number in (1, 2, 3):
        put(book, number, "buy", 50, 5)
    assert book.amend(1, px_ticks=50, qty_lots=2) == Status.OK
    assert book.queue(50) == [1, 2, 3]
    assert book.amend(1, px_ticks=50, qty_lots=6) == Status.OK
    assert book.queue(50) == [2, 3, 1]
    assert book.amend(2, px_ticks=50, qty_lots=6, keep_only=True) == Status.MATCH_BAD_ORDER
    assert book.amend(9, px_ticks=50, qty_lots=6) == Status.MATCH_UNKNOWN
    book.check()


def test_an_amended_price_may_trade(impl):
    book = make(impl)
    put(book, 1, "sell", 60, 5)
    put(book, 2, "buy", 50, 5, owner=2)
    told(book)
    assert book.amend(2, px_ticks=60, qty_lots=6) == Status.OK
    assert kinds(book) == [(Kind.MATCHED_AMENDED, 2), (Kind.MATCHED_TRADE, 2)]
    assert book.depth(False, 1) == [(60, 1)]


def leg(number, side, kind, px=0, trigger=0, qty=5, tif=GTC, owner=1):
    return {"id": number, "owner": owner, "sell": side == "sell", "type": kind, "px_ticks": px, "trigger_px": trigger,
            "qty_lots": qty, "tif": tif}  # fmt: skip


def test_a_fill_of_one_leg_of_an_oco_ends_the_other(impl):
    book = make(impl)
    book.set_last(100)
    assert book.submit_list(ListKind.LIST_OCO, [leg(1, "sell", LIMIT, 110, tif=GTX), leg(2, "sell", STOP, 0, 90)]) == 0
    told(book)
    put(book, 3, "buy", 110, 1, owner=2)
    assert kinds(book)[1:] == [(Kind.MATCHED_TRADE, 3), (Kind.MATCHED_EXPIRED, 2)]
    assert book.order(1)["left_lots"] == 4


def test_a_triggered_leg_of_an_oco_ends_the_limit(impl):
    book = make(impl)
    put(book, 9, "buy", 80, 50, owner=2)
    book.set_last(100)
    book.submit_list(ListKind.LIST_OCO, [leg(1, "sell", LIMIT, 110, tif=GTX), leg(2, "sell", STOP, 0, 90)])
    told(book)
    book.set_last(90)
    assert kinds(book) == [(Kind.MATCHED_TRIGGERED, 2), (Kind.MATCHED_EXPIRED, 1), (Kind.MATCHED_TRADE, 2)]
    book.check()


def test_cancelling_one_leg_of_an_oco_cancels_both(impl):
    book = make(impl)
    book.set_last(100)
    book.submit_list(ListKind.LIST_OCO, [leg(1, "sell", LIMIT, 110, tif=GTX), leg(2, "sell", STOP, 0, 90)])
    told(book)
    book.cancel(2)
    assert kinds(book) == [(Kind.MATCHED_CANCELED, 2), (Kind.MATCHED_CANCELED, 1)]


@pytest.mark.parametrize(
    "legs",
    [
        [leg(1, "sell", LIMIT, 80, tif=GTX), leg(2, "sell", STOP, 0, 90)],
        [leg(1, "sell", LIMIT, 110, tif=GTX), leg(2, "sell", STOP, 0, 90, qty=4)],
        [leg(1, "sell", LIMIT, 110, tif=GTX), leg(2, "buy", STOP, 0, 130)],
        [leg(1, "sell", LIMIT, 110), leg(2, "sell", STOP, 0, 90)],
        [leg(1, "sell", STOP, 0, 95), leg(2, "sell", STOP, 0, 90)],
    ],
)
def test_an_oco_whose_legs_do_not_fit_is_refused_whole(impl, legs):
    book = make(impl)
    book.set_last(100)
    assert book.submit_list(ListKind.LIST_OCO, legs) == Status.MATCH_BAD_ORDER
    assert (book.reason, book.live_count) == (Reason.REASON_LIST, 0)


def test_an_oto_places_its_second_order_when_the_first_is_whole(impl):
    book = make(impl)
    book.submit_list(ListKind.LIST_OTO, [leg(1, "buy", LIMIT, 100), leg(2, "sell", LIMIT, 110)])
    put(book, 3, "sell", 100, 4, owner=2)
    assert book.order(2)["state"] == State.STATE_PENDING
    told(book)
    put(book, 4, "sell", 100, 1, owner=2)
    assert kinds(book)[-1] == (Kind.MATCHED_NEW, 2)
    assert book.depth(True, 1) == [(110, 5)]


def test_an_oto_whose_first_order_ends_takes_the_second_with_it(impl):
    book = make(impl)
    book.submit_list(ListKind.LIST_OTO, [leg(1, "buy", LIMIT, 100), leg(2, "sell", LIMIT, 110)])
    told(book)
    book.cancel(2)
    assert kinds(book) == [(Kind.MATCHED_CANCELED, 2), (Kind.MATCHED_CANCELED, 1)]


def test_held_legs_wait_for_their_release(impl):
    book = make(impl)
    legs = [leg(1, "buy", LIMIT, 100), leg(2, "sell", LIMIT, 110, tif=GTX), leg(3, "sell", STOP, 0, 90)]
    assert book.submit_list(ListKind.LIST_OTOCO | ListKind.LIST_HELD, legs) == Status.OK
    put(book, 4, "sell", 100, 5, owner=2)
    assert kinds(book)[-2:] == [(Kind.MATCHED_READY, 2), (Kind.MATCHED_READY, 3)]
    assert book.release(2) == Status.OK
    assert book.release(2) == Status.MATCH_BAD_ORDER
    book.release(3)
    assert (book.order(2)["state"], book.order(3)["state"]) == (State.STATE_BOOK, State.STATE_ARMED)
    book.set_last(90)
    assert book.order(2) is None
    book.check()


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"px": 5}, Reason.REASON_PRICE_FILTER),
        ({"px": 1501}, Reason.REASON_PRICE_FILTER),
        ({"px": 121}, Reason.REASON_PERCENT_PRICE),
        ({"px": 79}, Reason.REASON_PERCENT_PRICE),
        ({"qty": 1}, Reason.REASON_LOT_SIZE),
        ({"qty": 501}, Reason.REASON_LOT_SIZE),
        ({"type": MARKET, "px": 0, "qty": 101}, Reason.REASON_MARKET_LOT_SIZE),
        ({"px": 80, "qty": 2}, Reason.REASON_NOTIONAL),
        ({"type": ICEBERG, "qty": 100, "display_lots": 9}, Reason.REASON_ICEBERG_PARTS),
        ({"type": STOP, "px": 0, "trigger_px": 1600}, Reason.REASON_PRICE_FILTER),
        ({"qty": 0}, Reason.REASON_SHAPE),
        ({"type": 8}, Reason.REASON_SHAPE),
        ({"tif": 5}, Reason.REASON_SHAPE),
        ({"type": MARKET}, Reason.REASON_SHAPE),
        ({"type": STOP, "px": 0}, Reason.REASON_SHAPE),
        ({"tif": GTD}, Reason.REASON_SHAPE),
        ({"display_lots": 3}, Reason.REASON_SHAPE),
        ({"px": -3}, Reason.REASON_SHAPE),
        ({"px": 2**62}, Reason.REASON_PRICE_FILTER),
        ({"qty": 2**62}, Reason.REASON_LOT_SIZE),
        ({"owner": 64}, Reason.REASON_CAPACITY),
    ],
)
def test_each_filter_names_itself(impl, terms, reason):
    book = make(
        impl, px_min=10, px_max=1500, qty_min=2, qty_max=500, market_qty_max=100, notional_min=200,
        bid_up_ppm=1_200_000, bid_down_ppm=800_000, iceberg_parts_max=10,
    )  # fmt: skip
    book.set_last(100)
    terms = {"px": 100, "qty": 10} | terms
    put(book, 1, "buy", terms.pop("px"), terms.pop("qty"), **terms)
    assert (book.reason, book.live_count) == (reason, 0)


def test_an_owner_has_room_for_so_many_orders(impl):
    book = make(impl, owner_orders_max=3, owner_algo_max=1, owner_iceberg_max=1)
    put(book, 1, "sell", 100, 4, type=ICEBERG, display_lots=2)
    put(book, 2, "sell", 100, 4, type=ICEBERG, display_lots=2)
    assert book.reason == Reason.REASON_MAX_ICEBERG
    put(book, 2, "buy", 0, 4, type=STOP, trigger_px=200)
    put(book, 3, "buy", 0, 4, type=STOP, trigger_px=200)
    assert book.reason == Reason.REASON_MAX_ALGO
    put(book, 3, "buy", 50, 4)
    assert put(book, 4, "buy", 50, 4) == Status.MATCH_BAD_ORDER
    assert book.reason == Reason.REASON_MAX_ORDERS
    assert put(book, 4, "buy", 50, 4, owner=2) == Status.OK
    book.cancel(3)
    assert put(book, 5, "buy", 50, 4) == Status.OK
    assert book.owner_counts(1) == (3, 1, 1)


def test_a_halted_book_takes_no_order_but_lets_them_go(impl):
    book = make(impl)
    put(book, 1, "buy", 50, 4)
    book.halt(True)
    assert put(book, 2, "buy", 50, 4) == Status.MATCH_BAD_ORDER
    assert book.reason == Reason.REASON_HALTED
    assert book.cancel(1) == Status.OK


def test_a_number_in_use_is_refused_and_may_come_again_afterwards(impl):
    book = make(impl)
    put(book, 7, "buy", 50, 4)
    assert put(book, 7, "buy", 51, 4) == Status.MATCH_BAD_ORDER
    assert book.reason == Reason.REASON_DUPLICATE
    book.cancel(7)
    assert put(book, 7, "buy", 51, 4) == Status.OK
    assert book.cancel(8) == Status.MATCH_UNKNOWN


def test_the_crowd_is_heard_only_when_it_trades(impl):
    book = make(impl)
    put(book, 1, "buy", 50, 4, owner=0)
    put(book, 2, "buy", 49, 4, owner=0)
    book.cancel(2)
    assert told(book) == []
    put(book, 3, "sell", 50, 4, owner=0)
    assert [e[0] for e in told(book)] == [Kind.MATCHED_TRADE]


@pytest.mark.parametrize("bad", [{"px_max": 0}, {"px_min": 0}, {"qty_max": 0}])
def test_an_impossible_shape_is_refused(impl, bad):
    with pytest.raises(MatchBadConfig):
        make(impl, **bad)


@pytest.mark.parametrize("bad", [{"px_max": 2**28}, {"qty_max": 2**50}, {"orders_max": 1}, {"events_max": 100}])
def test_a_shape_that_could_overflow_is_refused(bad):
    with pytest.raises(MatchBadConfig):
        make(core, **bad)


# --------------------------------------------------------------------------------------- what only the kernel has
def test_a_full_table_refuses_and_keeps_what_it_has():
    book = make(core, orders_max=4)
    for number in range(1, 5):
        assert put(book, number, "buy", 50, 1, owner=0) == Status.OK
    assert put(book, 5, "buy", 50, 1, owner=0) == Status.MATCH_FULL
    book.cancel(2)
    assert put(book, 5, "buy", 50, 1, owner=0) == Status.OK


def test_prices_far_apart_use_up_the_pages_and_give_them_back():
    book = make(core, px_max=100_000, pages_max=2)
    assert put(book, 1, "buy", 10, 1) == Status.OK
    assert put(book, 2, "buy", 5000, 1) == Status.OK
    assert put(book, 3, "buy", 50_000, 1) == Status.MATCH_FULL
    book.cancel(1)
    # The level's change has not been read yet: its page is kept until then.
    assert put(book, 3, "buy", 50_000, 1) == Status.MATCH_FULL
    assert book.changed() == ([10, 5000], False)
    assert put(book, 3, "buy", 50_000, 1) == Status.OK
    assert (book.pages_live, book.best_bid) == (2, 50_000)


@given(st.sets(st.integers(1, 2**28 - 1), min_size=1, max_size=40))
@settings(max_examples=60)
def test_the_next_price_is_found_across_any_gap(prices):
    book = core.Match(px_max=2**28 - 1, qty_max=10, orders_max=64, pages_max=64)
    for number, px in enumerate(sorted(prices), 1):
        assert book.submit(number, owner=0, sell=False, type=LIMIT, px_ticks=px, qty_lots=1) == Status.OK
    book.check()
    assert [px for px, _ in book.depth(False, 99)] == sorted(prices, reverse=True)


def test_a_sweep_larger_than_the_events_have_room_for_ends_and_says_why():
    book = core.Match(px_max=1000, qty_max=1000, orders_max=8, events_max=160, iceberg_parts_max=1000)
    book.submit(1, owner=1, sell=True, type=ICEBERG, px_ticks=100, qty_lots=900, display_lots=1)
    book.submit(2, owner=2, sell=False, type=LIMIT, px_ticks=100, qty_lots=900)
    book.check()
    events = told(book)
    assert events[-1][:2] == (Kind.MATCHED_EXPIRED, Reason.REASON_NO_ROOM)
    assert sum(e[7] for e in events if e[0] == Kind.MATCHED_TRADE) == events[-1][8] == book.order(1)["filled_lots"]
    assert len(events) <= 160


def test_changed_levels_are_named_once_and_a_loss_is_owned_up_to():
    book = make(core, dirty_max=2)
    put(book, 1, "buy", 50, 1)
    put(book, 2, "buy", 50, 1)
    put(book, 3, "buy", 51, 1)
    assert book.changed() == ([50, 51], False)
    for number, px in ((4, 10), (5, 11), (6, 12)):
        put(book, number, "buy", px, 1)
    prices, lost = book.changed()
    assert (len(prices), lost) == (2, True)
    assert book.changed() == ([], False)
    book.check()


def test_a_copy_is_a_book_of_its_own():
    book = make(core)
    put(book, 1, "buy", 50, 5)
    other = book.copy()
    put(other, 2, "sell", 50, 5, owner=2)
    other.check()
    assert (other.best_bid, book.best_bid) == (0, 50)


def test_events_are_one_cache_line_and_tell_the_same_as_tuples_and_as_an_array():
    assert MATCHED.itemsize == 64
    book = make(core)
    put(book, 1, "sell", 100, 3)
    put(book, 2, "buy", 100, 5, owner=2)
    other = book.copy()
    assert [tuple(int(e[name]) for name in FIELDS) for e in book.events()] == other.told()
    assert book.events().size == 0


# ---------------------------------------------------------------------------------------------------- random lives
PRICES = st.integers(1, 24)
LOTS = st.integers(1, 12)


@st.composite
def terms(draw):
    kind = draw(st.sampled_from([LIMIT] * 6 + [MARKET, STOP, STOP_LIMIT, TAKE, TAKE_LIMIT, TRAILING, ICEBERG, ICEBERG]))
    out = {"owner": draw(st.integers(0, 3)), "sell": draw(st.booleans()), "type": kind, "qty_lots": draw(LOTS)}
    limit = kind in (LIMIT, STOP_LIMIT, TAKE_LIMIT, ICEBERG)
    if limit or (kind == TRAILING and draw(st.booleans())):
        out["px_ticks"] = draw(PRICES)
    if kind in (STOP, STOP_LIMIT, TAKE, TAKE_LIMIT) or (kind == TRAILING and draw(st.booleans())):
        out["trigger_px"] = draw(PRICES)
    if kind == TRAILING:
        out["trail"] = draw(st.integers(1, 6))
        if draw(st.booleans()):
            out |= {"flags": core.Flag.MATCH_TRAIL_BIPS, "trail": draw(st.integers(1, 5000))}
    if kind == ICEBERG:
        out["display_lots"] = draw(st.integers(1, out["qty_lots"]))
    out["stp"] = draw(st.integers(0, 4))
    out["tif"] = draw(st.sampled_from([GTC, GTC, IOC, FOK, GTX, GTD]))
    if out["tif"] == GTD:
        out["expire_ns"] = draw(st.integers(1, 40))
    if kind == MARKET and draw(st.booleans()):
        out["budget"] = draw(st.integers(1, 200))
        out["flags"] = draw(st.sampled_from([0, core.Flag.MATCH_BY_QUOTE]))
    return out


class Twins(RuleBasedStateMachine):
    """Any call to both; status, reason, events and everything that can be seen must agree after each."""

    @initialize(notional=st.sampled_from([0, 20]), band=st.booleans(), caps=st.sampled_from([(200, 50, 50), (6, 2, 1)]))
    def start(self, notional, band, caps):
        shape = {
            "px_max": 24, "qty_max": 12, "notional_min": notional, "orders_max": 4096, "owners_max": 4,
            "owner_orders_max": caps[0], "owner_algo_max": caps[1], "owner_iceberg_max": caps[2],
            "iceberg_parts_max": 6,
        }  # fmt: skip
        if band:
            shape |= {
                "bid_up_ppm": 1_500_000,
                "bid_down_ppm": 300_000,
                "ask_up_ppm": 2_000_000,
                "ask_down_ppm": 500_000,
            }
        self.pair = (core.Match(**shape), model.Match(**shape))
        self.number = 0
        self.now = 0

    def both(self, call):
        ours, twin = (call(book) for book in self.pair)
        assert ours == twin
        if ours:
            assert self.pair[0].reason == self.pair[1].reason

    def next_number(self):
        self.number += 1
        return self.number

    @rule(terms=terms())
    def submit(self, terms):
        number = self.next_number()
        self.both(lambda book: book.submit(number, **terms))

    @rule(terms=terms(), old=st.integers(-1, 60))
    def submit_a_number_again(self, terms, old):
        if old < self.number:
            self.both(lambda book: book.submit(old, **terms))

    @rule(kind=st.sampled_from([1, 2, 3, 9, 10, 11]), data=st.data())
    def submit_list(self, kind, data):
        legs = [data.draw(terms()) | {"id": self.next_number()} for _ in range(3 if kind & 7 == 3 else 2)]
        self.both(lambda book: book.submit_list(kind, legs))

    @rule(
        kind=st.sampled_from([1, 3, 11]), sell=st.booleans(), owner=st.integers(1, 3), qty=LOTS, px=PRICES,
        away=st.tuples(st.integers(1, 8), st.integers(1, 8)),
        stops=st.sampled_from([(LIMIT, STOP), (TAKE, STOP_LIMIT)]),
    )  # fmt: skip
    def submit_a_list_that_fits(self, kind, sell, owner, qty, px, away, stops):
        sign = 1 if sell else -1
        middle = self.pair[0].last_px or px
        target, stop = middle + sign * away[0], middle - sign * away[1]
        common = {"owner": owner, "sell": sell, "qty_lots": qty}
        legs = [
            common | {"type": LIMIT, "px_ticks": target, "tif": GTX}
            if stops[0] == LIMIT
            else common | {"type": TAKE, "trigger_px": target},
            common | {"type": stops[1], "trigger_px": stop} | ({"px_ticks": stop} if stops[1] == STOP_LIMIT else {}),
        ]
        if kind & 7 == 3:
            legs.insert(0, {"owner": owner, "sell": not sell, "qty_lots": qty, "type": LIMIT, "px_ticks": px})
        legs = [leg | {"id": self.next_number()} for leg in legs]
        self.both(lambda book: book.submit_list(kind, legs))

    @rule(back=st.integers(0, 25))
    def cancel(self, back):
        self.both(lambda book: book.cancel(self.number - back))

    @rule(back=st.integers(0, 25))
    def expire(self, back):
        self.both(lambda book: book.expire(self.number - back))

    @rule(back=st.integers(0, 12))
    def release(self, back):
        self.both(lambda book: book.release(self.number - back))

    @rule(back=st.integers(0, 25), px=st.integers(0, 25), qty=st.integers(0, 13), keep=st.booleans())
    def amend(self, back, px, qty, keep):
        self.both(lambda book: book.amend(self.number - back, px_ticks=px, qty_lots=qty, keep_only=keep))

    @rule(px=PRICES)
    def last(self, px):
        self.both(lambda book: book.set_last(px))

    @rule(px=st.integers(0, 24))
    def reference(self, px):
        self.both(lambda book: book.set_reference(px))

    @rule(step=st.integers(-1, 5))
    def advance(self, step):
        self.now = max(self.now, self.now + step)
        self.both(lambda book: book.advance(self.now + min(step, 0)))

    @rule(on=st.booleans())
    def halt(self, on):
        self.both(lambda book: book.halt(on))

    @rule()
    def change(self):
        self.pair[0].changed()

    @rule()
    def move_the_block(self):
        self.pair = (self.pair[0].copy(), self.pair[1])

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        ours, twin = self.pair
        assert told(ours) == told(twin)
        ours.check()
        twin.check()
        seen = ("best_bid", "best_ask", "last_px", "live_count", "id_trade", "now_ns")
        assert [getattr(ours, n) for n in seen] == [getattr(twin, n) for n in seen]
        for sell in (False, True):
            assert ours.depth(sell, 99) == twin.depth(sell, 99)
            assert ours.cost(sell, 7) == twin.cost(sell, 7)
        for px in range(1, 25):
            assert ours.queue(px) == twin.queue(px)
        for number in range(max(1, self.number - 30), self.number + 1):
            assert ours.order(number) == twin.order(number)
        for owner in range(1, 4):
            assert ours.owner_counts(owner) == twin.owner_counts(owner)


TestTwins = Twins.TestCase
TestTwins.settings = settings(
    max_examples=40 * int(os.environ.get("BOT4_STRESS", "1")), stateful_step_count=40, deadline=None
)

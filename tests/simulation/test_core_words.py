"""What the venue and the account say to the core: impossible words are refused, true ones change what they name."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core import types
from engine._core.modes import Mode
from engine._core.risk import Rule
from engine._core.types import Feed, Flag, Kind, Status
from engine._core.validate import Class
from tests.support.desks import SECOND, START, Desk

LEDGER_LATCH, DRAWDOWN_LATCH = 1 << 33, 1 << 34
FIRST, LAST, ASK, SNAPSHOT = Flag.FLAG_FIRST, Flag.FLAG_LAST, Flag.FLAG_ASK, Flag.FLAG_SNAPSHOT
HUGE = 1 << 61


def traded(desk, lots, px=50_000, *, symbol=0, number=900):
    """A fill of no order of ours: it is booked all the same."""
    sell = Flag.FLAG_SELL if lots < 0 else 0
    desk.say(Kind.KIND_ORDER_FILL, types.ORDER, symbol=symbol, flags=int(sell), id_order=number, px_ticks=px,
             qty_lots=abs(lots), id_venue=number)  # fmt: skip
    assert desk.status == Status.ORDER_UNKNOWN_ID


def latch(desk):
    return desk.world.account()["latch"]


# ------------------------------------------------------------------------------------------------------ refused whole
@pytest.mark.parametrize(
    ("kind", "dtype", "words"),
    [
        (Kind.KIND_FEED, types.FEED, {"feed": 3, "venue": 0, "up": 1}),
        (Kind.KIND_FEED, types.FEED, {"feed": 0, "venue": 1, "up": 1}),
        (Kind.KIND_FEED, types.FEED, {"feed": 0, "venue": 0, "up": 3}),
        (Kind.KIND_CLOCK, types.CLOCK, {"venue": 1}),
        (Kind.KIND_CLOCK, types.CLOCK, {"venue": 0, "offset_ns": 1 << 60}),
        (Kind.KIND_CLOCK, types.CLOCK, {"venue": 0, "uncertainty_ns": -1}),
        (Kind.KIND_SYMBOL, types.SYMBOL, {"halt": 2}),
        (Kind.KIND_SYMBOL, types.SYMBOL, {"halt": 3, "reason": 1}),
        (Kind.KIND_SYMBOL, types.SYMBOL, {"halt": 3, "reserved_0": 200, "reserved_1": 100}),
        (Kind.KIND_SYMBOL, types.SYMBOL, {"halt": 3, "reserved_1": 10**8}),
        (Kind.KIND_BALANCE, types.BALANCE, {"asset": 99, "free": 1}),
        (Kind.KIND_BALANCE, types.BALANCE, {"asset": 0, "free": -1}),
        (Kind.KIND_BALANCE, types.BALANCE, {"asset": 0, "locked": HUGE}),
        (Kind.KIND_FUNDING, types.FUNDING, {"asset": 1, "amount": 5, "id_funding": 1}),
        (Kind.KIND_BOOK_LEVEL, types.LEVEL, {"px_ticks": 50_000, "qty_lots": 1}),
    ],
)
def test_a_word_about_what_is_not_there_is_refused_and_changes_nothing(kind, dtype, words):
    desk = Desk(validate=False)
    desk.quote()
    account, venues, symbols = desk.world.account(), desk.world.venues().copy(), desk.world.symbols().copy()
    desk.say(kind, dtype, **words)
    assert desk.status == Status.WORLD_BAD_EVENT
    assert desk.world.counts["refused"] == 1
    assert desk.world.account() == account
    assert desk.world.venues().tobytes() == venues.tobytes()
    assert desk.world.symbols().tobytes() == symbols.tobytes()


def test_where_nobody_keeps_books_a_balance_says_nothing():
    desk = Desk(cash=None)
    before = desk.world.account()["equity"]
    desk.say(Kind.KIND_BALANCE, types.BALANCE, asset=0, free=5, locked=0)
    assert (desk.status, desk.incidents, desk.world.account()["equity"]) == (Status.OK, [], before)


# ------------------------------------------------------------------------------------------- what cannot be booked
def test_a_fill_too_large_to_book_trips_and_is_not_held():
    desk = Desk()
    desk.say(Kind.KIND_ORDER_FILL, types.ORDER, id_order=900, px_ticks=1 << 40, qty_lots=1 << 40, id_venue=1)
    assert desk.status not in (Status.OK, Status.ORDER_UNKNOWN_ID)
    assert desk.incidents == [types.Incident.INCIDENT_LEDGER]
    assert (latch(desk) & LEDGER_LATCH, desk.lots) == (LEDGER_LATCH, 0)


@pytest.mark.parametrize(("asset", "amount"), [(99, 5), (-1, 5), (0, -(1 << 63))])
def test_a_fee_that_cannot_be_booked_trips_and_the_fill_still_waits_for_its_fee(asset, amount):
    desk = Desk()
    traded(desk, 3)
    desk.say(Kind.KIND_FEE, types.FEE, id_order=900, id_trade=900, asset=asset, amount=amount)
    assert desk.status != Status.OK
    assert desk.incidents == [types.Incident.INCIDENT_LEDGER]
    assert latch(desk) & LEDGER_LATCH
    # The right one is booked afterwards: it was not marked as charged.
    desk.say(Kind.KIND_FEE, types.FEE, id_order=900, id_trade=900, asset=0, amount=5)
    assert desk.status == Status.OK


def test_funding_that_cannot_be_booked_trips_and_its_number_stays_free():
    desk = Desk(instrument={"linear": True})
    desk.say(Kind.KIND_FUNDING, types.FUNDING, asset=0, amount=-(1 << 63), id_funding=4)
    assert desk.status != Status.OK
    assert desk.incidents == [types.Incident.INCIDENT_LEDGER]
    assert latch(desk) & LEDGER_LATCH
    equity = desk.world.account()["equity"]
    desk.say(Kind.KIND_FUNDING, types.FUNDING, asset=0, amount=7, id_funding=4)
    assert (desk.status, abs(desk.world.account()["equity"] - equity)) == (Status.OK, 7)


def test_a_report_that_names_another_symbol_moves_its_order_and_nothing_of_that_symbol():
    desk = Desk(symbols=2, brackets=0)
    desk.wants()
    desk.quote()
    order = desk.places[0]
    other = desk.world.gate_symbols()[1].copy()
    desk.say(Kind.KIND_ORDER_ACK, types.ORDER, symbol=1, id_order=int(order["id_order"]), px_ticks=49_999, id_venue=7)
    assert desk.status == Status.OK
    assert desk.world.gate_symbols()["orders_open"].tolist() == [1, 0]
    assert desk.world.gate_symbols()[1]["open_buy_lots"] == other["open_buy_lots"] == 0
    assert desk.world.live_orders()["id_venue"].tolist() == [7]


@pytest.mark.parametrize(("lots", "shown"), [(5, 40_001), (-5, 40_000)])
def test_the_venues_liquidation_price_is_rounded_towards_the_market(lots, shown):
    desk = Desk(instrument={"linear": True})
    traded(desk, lots)
    tick = 1_000_000
    desk.say(Kind.KIND_POSITION, types.POSITION, lots=lots, liquidation_px_e8=40_000 * tick + 1)
    assert desk.world.gate_symbols()["px_liquidation_ticks"][0] == shown
    desk.say(Kind.KIND_POSITION, types.POSITION, lots=lots, liquidation_px_e8=0)
    assert desk.world.gate_symbols()["px_liquidation_ticks"][0] == 0


# -------------------------------------------------------------------------------------------------------- the equity
@pytest.mark.parametrize("linear", [False, True], ids=["spot", "perpetual"])
def test_a_large_worlds_equity_is_that_of_a_small_one(linear):
    """Past eight symbols the equity follows by changes, each of them alone: to the same sums."""
    equity = {}
    for symbols in (8, 9):
        desk = Desk(symbols=symbols, validate=False, instrument={"linear": linear}, limits={"drawdown_ppm": 10_000})
        for symbol in (0, 1):
            desk.quote(symbol=symbol)
            traded(desk, 4_000, symbol=symbol, number=900 + symbol)
        seen = []
        for bid in (50_100, 49_000, 50_000, 12_000):
            for symbol in (0, 1, 2):
                desk.quote(bid, bid + 2, symbol=symbol)
                seen.append((desk.world.account()["equity"], latch(desk)))
        equity[symbols] = seen
        assert latch(desk) & DRAWDOWN_LATCH == DRAWDOWN_LATCH
        desk.close()
    assert equity[8] == equity[9]
    assert len({value for value, _ in equity[9]}) > 4


def test_a_price_beyond_all_prices_moves_no_account():
    desk = Desk(validate=False)
    desk.quote()
    traded(desk, 3)
    before = desk.world.account()
    desk.quote(HUGE, HUGE + 1)
    assert desk.world.account()["equity"] == before["equity"]
    assert latch(desk) == before["latch"]


def test_what_is_held_in_a_symbol_that_is_not_tracked_blinds_the_correlation_until_it_is_gone():
    desk = Desk(symbols=2, strategies=1, tracked=1, validate=False, sample_ns=SECOND, samples_min=2,
                sample_weight=0.5, brackets=0)  # fmt: skip
    desk.world.set_tracked([0])
    desk.wants()
    traded(desk, 3, symbol=1)
    desk.quote()
    assert len(desk.places) == 0
    assert [int(d["reasons"]) >> Rule.RULE_CORRELATION & 1 for d in desk.denials] == [1]
    traded(desk, -3, symbol=1, number=901)
    desk.quote()
    assert len(desk.places) == 1


# ------------------------------------------------------------------------------------------------------- market data
def level(desk, px, lots, *, flags, number=10, previous=-1):
    return desk.say(Kind.KIND_BOOK_LEVEL, types.LEVEL, flags=int(flags), px_ticks=px, qty_lots=lots, id_first=number,
                    id_last=number, id_prev=previous)  # fmt: skip


def test_a_book_with_one_side_shows_no_touch():
    desk = Desk(book_levels=64, book_ticks=64, validate=False)
    desk.world.set_book(0, rule=2)
    level(desk, 50_000, 5, flags=FIRST | SNAPSHOT)
    level(desk, 50_002, 5, flags=LAST | ASK | SNAPSHOT)
    assert desk.world.instruments()["book_trusted"][0] == 1
    level(desk, 50_002, 0, flags=FIRST | LAST | ASK, number=11, previous=10)
    assert desk.world.instruments()["book_trusted"][0] == 0
    level(desk, 50_003, 2, flags=FIRST | LAST | ASK, number=12, previous=11)
    row = desk.world.instruments()[0]
    assert (row["book_trusted"], row["bid_px_ticks"], row["ask_px_ticks"]) == (1, 50_000, 50_003)


def test_a_message_refused_in_its_middle_takes_the_books_trust_away():
    desk = Desk(book_levels=64, book_ticks=64)
    desk.world.set_book(0, rule=2)
    level(desk, 50_000, 5, flags=FIRST | SNAPSHOT)
    level(desk, 50_002, 5, flags=LAST | ASK | SNAPSHOT)
    assert desk.world.instruments()["book_trusted"][0] == 1
    level(desk, 50_001, 3, flags=FIRST, number=11, previous=10)
    level(desk, -1, 3, flags=LAST, number=11, previous=10)
    assert desk.status not in (Status.OK, Status.BOOK_GAP)
    assert desk.world.instruments()["book_trusted"][0] == 0
    assert desk.out["kind"].tolist() == [Kind.KIND_REFUSAL]


def test_a_quote_that_falls_silent_is_told_once_and_stops_new_orders():
    desk = Desk(brackets=0)
    quiet = np.zeros(8, np.int64)
    quiet[Class.CLASS_QUOTE] = 5 * SECOND
    desk.world.set_validate(0, needs_id=0, needs_time=0, silent_ns_max=quiet)
    desk.quote()
    desk.timer(SECOND)
    assert Kind.KIND_REFUSAL not in desk.out["kind"]
    desk.timer(5 * SECOND)
    assert desk.out["kind"].tolist() == [Kind.KIND_REFUSAL]
    assert desk.world.gate_symbols()["book_trusted"][0] == 0
    desk.timer(SECOND)
    assert Kind.KIND_REFUSAL not in desk.out["kind"]
    # Heard again, it is usable again.
    desk.quote()
    assert desk.world.gate_symbols()["book_trusted"][0] == 1


@pytest.mark.parametrize("kind", [Kind.KIND_MARK, Kind.KIND_LIQUIDATION, Kind.KIND_BAR_PRICES, Kind.KIND_BAR_TOTALS])
def test_what_only_features_read_is_taken_and_asks_no_strategy_without_them(kind):
    desk = Desk(validate=False)
    asked = []
    desk.wish[0] = lambda view, wishes: asked.append(int(view["cause"]))
    desk.say(kind, types.EVENT)
    assert (desk.status, asked) == (Status.OK, [])
    desk.quote()
    assert asked == [Kind.KIND_QUOTE]


# -------------------------------------------------------------------------------------------------------- the modes
def test_the_user_stream_of_another_venue_stops_nothing_here():
    desk = Desk(symbols=2, venues=2, brackets=0)
    desk.world.set_instrument(1, tick_e8=1_000_000, lot_e8=100_000, venue=1, can=int(types.Can.CAN_ALL),
                              px_max_ticks=10_000_000, qty_max_lots=10_000)  # fmt: skip
    desk.say(Kind.KIND_FEED, types.FEED, feed=Feed.FEED_USER, venue=1, up=0)
    assert desk.world.gate_symbols()["halted"].astype(bool).tolist() == [False, True]
    desk.say(Kind.KIND_FEED, types.FEED, feed=Feed.FEED_USER, venue=1, up=1)
    assert desk.world.gate_symbols()["halted"].astype(bool).tolist() == [False, True]
    desk.say(Kind.KIND_FEED, types.FEED, feed=Feed.FEED_USER, venue=1, up=2)
    assert desk.world.gate_symbols()["halted"].astype(bool).tolist() == [False, False]
    assert desk.world.modes["mode"] == Mode.MODE_NORMAL
    assert desk.world.now_ns > START


@pytest.mark.parametrize("lots", [5, -5])
def test_a_fill_that_cannot_be_valued_whole_leaves_the_equity_until_it_can(lots):
    """Among many symbols the mark of one holding is too old, so a fill of another is not in the equity. The next price
    of the other must not bring its holding in alone, or a part of it out, while the cash for it is not counted."""
    desk = Desk(symbols=9, brackets=0)
    for symbol in (0, 1):
        desk.quote(symbol=symbol)
        traded(desk, 10, symbol=symbol, number=900 + symbol)
        desk.quote(symbol=symbol)
    whole = desk.world.account()["equity"]
    assert whole > 100_000 * 10**8
    desk.quote(by=6 * SECOND)
    traded(desk, lots, number=950)
    desk.quote()
    assert (desk.world.account()["equity"], latch(desk)) == (whole, 0)
    desk.quote(symbol=1)
    desk.timer(by=1)
    # Bought at the bid, half a tick below the mid; sold there, half a tick is lost.
    assert desk.world.account()["equity"] - whole == lots * 500
    desk.close()

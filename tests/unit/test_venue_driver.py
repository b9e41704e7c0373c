"""The live driver's judgements: the gate, the duties, the tally, the dead-man timer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.types import FEE, ORDER, Kind
from engine.errors import StartRefused
from engine.journal.port import VenueTrade
from engine.safety.armed import Armed
from engine.venues.driver import DUTIES, SECOND, Duties, Duty, Light, StartGate, Tally


def _green():
    gate = StartGate([0, 1])
    gate.book(0, whole=True)
    gate.book(1, whole=True)
    gate.user_stream(up=True)
    gate.orders(up=True)
    gate.clock("")
    gate.reconciled(breaks=0)
    assert gate.is_open
    return gate


def test_the_gate_says_every_reason_at_once():
    gate = StartGate([0])
    assert set(gate.why()) == {"data", "user_stream", "orders", "clock", "reconciled"}
    with pytest.raises(StartRefused, match=r"no whole book yet.*not measured yet"):
        gate.must_be_open()
    _green().must_be_open()


def test_one_book_of_many_closes_it():
    gate = _green()
    gate.book(1, whole=False)
    assert gate.why() == {"data": "no whole book of 1 of 2 symbols"}
    gate.book(7, whole=False)
    gate.book(1, whole=True)
    assert gate.is_open


def test_a_lost_user_stream_asks_for_a_new_reconciliation():
    gate = _green()
    gate.user_stream(up=False, reason="cut")
    assert set(gate.why()) == {"user_stream", "reconciled"}
    # A comparison made while the stream is away is out of date at once.
    gate.reconciled(breaks=0)
    gate.user_stream(up=True)
    assert set(gate.why()) == {"reconciled"}
    gate.reconciled(breaks=0)
    assert gate.is_open
    assert gate.closed_count == 1


def test_differences_and_a_wrong_clock_close_it():
    gate = _green()
    gate.reconciled(breaks=2)
    gate.clock("our clock is +900 ms off the venue's")
    assert "2 differences" in gate.why()["reconciled"]
    assert "900" in gate.why()["clock"]
    gate.red(Light.DUTIES, "fees are 400 s old")
    assert len(gate.why()) == 3


@given(st.lists(st.tuples(st.sampled_from(["book0", "book1", "user", "orders", "clock", "compare"]), st.booleans())))
def test_the_gate_is_open_only_when_everything_is(moves):
    gate, books, up, orders, clock, compared = StartGate([0, 1]), [False, False], False, False, False, False
    for what, good in moves:
        if what.startswith("book"):
            books[int(what[-1])] = good
            gate.book(int(what[-1]), whole=good)
        elif what == "user":
            up = good
            compared = compared and good
            gate.user_stream(up=good)
        elif what == "orders":
            orders = good
            gate.orders(up=good)
        elif what == "clock":
            clock = good
            gate.clock("" if good else "off")
        else:
            compared = good and up
            gate.reconciled(breaks=0 if good else 1)
        assert gate.is_open == (all(books) and up and orders and clock and compared)


# ------------------------------------------------------------------------------------------------------------- duties
def test_a_duty_is_due_once_until_it_is_done_and_sooner_after_a_failure():
    duties = Duties([Duty("clock", 30 * SECOND, 2 * SECOND, 100 * SECOND)], 0)
    assert duties.due(0) == ["clock"]
    assert duties.due(0) == []
    duties.failed("clock", SECOND)
    assert duties.next_ns() == 3 * SECOND
    assert duties.due(2 * SECOND) == []
    assert duties.due(3 * SECOND) == ["clock"]
    duties.done("clock", 3 * SECOND)
    assert duties.next_ns() == 33 * SECOND
    duties.at_once("clock", 5 * SECOND)
    duties.at_once("nothing of this name", 5 * SECOND)
    assert duties.due(5 * SECOND) == ["clock"]


def test_what_is_asked_for_while_a_duty_is_under_way_is_not_forgotten_with_its_end():
    duties = Duties([Duty("clock", 30 * SECOND, 2 * SECOND, 100 * SECOND)], 0)
    assert duties.due(0) == ["clock"]
    duties.at_once("clock", 5 * SECOND)
    assert duties.due(6 * SECOND) == []
    duties.done("clock", 6 * SECOND)
    assert duties.due(6 * SECOND) == ["clock"]
    # Once: the next end is followed by its whole time. A failure has a pause of its own.
    duties.done("clock", 7 * SECOND)
    assert duties.next_ns() == 37 * SECOND
    assert duties.due(37 * SECOND) == ["clock"]
    duties.at_once("clock", 37 * SECOND)
    duties.failed("clock", 38 * SECOND)
    assert duties.next_ns() == 40 * SECOND


def test_a_duty_that_could_not_begin_is_due_at_the_next_look_and_has_not_failed():
    duties = Duties([Duty("fees", 60 * SECOND, 10 * SECOND, 300 * SECOND)], 0)
    assert duties.due(0) == ["fees"]
    duties.put_off("fees")
    assert duties.due(1) == ["fees"], "it does not wait as long as after a failure"
    assert duties.due(2) == []
    duties.put_off("fees")
    assert duties.failures == {"fees": 0}
    assert duties.overdue(300 * SECOND + 1) == ["fees"]


def test_a_duty_that_keeps_failing_is_named():
    duties = Duties(DUTIES, 0)
    for second in range(302):
        for name in duties.due(second * SECOND):
            (duties.failed if name == "fees" else duties.done)(name, second * SECOND)
    assert duties.overdue(302 * SECOND) == ["fees"]
    assert duties.failures["fees"] >= 30


# -------------------------------------------------------------------------------------------------------------- tally
def _trade(number, order=7, lots=5, symbol=0, sell=False):
    return VenueTrade(number, order, symbol, sell, 100, lots, 10**9 * number, fee=3, fee_asset=1, maker=True)


def _fill(number, symbol=0, sell=False):
    row = np.zeros(1, ORDER)
    row["kind"], row["symbol"], row["flags"], row["id_venue"] = Kind.KIND_ORDER_FILL, symbol, 4 if sell else 0, number
    return row


def test_only_what_the_stream_did_not_tell_is_told_and_only_once():
    tally = Tally()
    tally.heard(_fill(1))
    told = tally.missing([_trade(2), _trade(1)], {7: 5}, 9)
    assert [int(k) for k in told["kind"]] == [Kind.KIND_ORDER_FILL, Kind.KIND_FEE]
    fill, fee = told[:1].view(ORDER)[0], told[1:].view(FEE)[0]
    assert (fill["id_venue"], fill["filled_lots"], fill["qty_lots"]) == (2, 10, 5)
    assert (fee["id_trade"], fee["amount"], fee["asset"], fee["maker"]) == (2, 3, 1, 1)
    assert len(tally.missing([_trade(2), _trade(1)], {7: 10}, 9)) == 0
    assert tally.missed_count == 1


def test_trades_of_others_are_counted_and_left_alone():
    tally = Tally()
    assert len(tally.missing([_trade(5, order=0)], {}, 9)) == 0
    assert (tally.foreign_count, tally.missed_count) == (1, 0)


def test_a_trade_with_ourselves_is_two_fills():
    tally = Tally()
    tally.heard(_fill(5))
    assert len(tally.missing([_trade(5), _trade(5, order=8, sell=True)], {}, 9)) == 2


@given(heard=st.sets(st.integers(1, 30)), asked=st.lists(st.sets(st.integers(1, 30)), max_size=5))
def test_every_trade_reaches_the_core_exactly_once(heard, asked):
    tally, told = Tally(), []
    for number in sorted(heard):
        tally.heard(_fill(number))
        told.append(number)
    for numbers in asked:
        rows = tally.missing([_trade(n) for n in numbers], {}, 9)
        told += [int(r["id_venue"]) for r in rows[rows["kind"] == Kind.KIND_ORDER_FILL].view(ORDER)]
    assert sorted(told) == sorted(heard.union(*asked))


def test_the_dead_man_says_plainly_where_it_stands():
    assert Armed(available=False).state(0) == "not available at this venue"
    timer = Armed(available=True)
    assert (timer.state(0), timer.was_armed) == ("NOT ARMED", False)
    timer.armed(0)
    assert timer.state(10 * SECOND) == "armed, 50 s left"
    timer.refused("-1022")
    assert (timer.state(20 * SECOND), timer.was_armed) == ("armed, 40 s left: -1022", True)
    assert timer.state(60 * SECOND) == "NOT ARMED: -1022"
    timer.armed(60 * SECOND)
    timer.disarmed()
    assert (timer.state(60 * SECOND), timer.was_armed) == ("NOT ARMED", False)

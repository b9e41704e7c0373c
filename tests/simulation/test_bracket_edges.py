"""Brackets at their edges: refusals, a full table, stale handles, stubborn orders, and the invariants one by one."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core.brackets import (
    BracketActionKind,
    BracketFlag,
    BracketIncident,
    BracketKind,
    BracketLeg,
    BracketPhase,
    Brackets,
)
from engine._core.order_table import OrderEvent as On
from engine._core.orders import Orders
from engine._core.types import Status
from engine.errors import BracketError
from tests.support.desk import Budget, Desk

AMENDS = BracketFlag.BRACKET_AMEND_DOWN | BracketFlag.BRACKET_AMEND_UP
ENTRY, STOP, TARGET, UNWIND = (BracketLeg(i) for i in range(4))
TERMS = {"qty": 10, "entry_px": 100, "stop_px": 90, "target_px": 110, "flags": AMENDS}
HELD = {"kind": BracketKind.BRACKET_OCO, "qty": 5, "stop_px": 90, "target_px": 110}
NONE = 0xFFFFFFFF

LEG = np.dtype([
    ("id_order", "i8"), ("qty", "i8"), ("qty_new", "i8"), ("filled", "i8"), ("total", "i8"), ("px", "i8"),
    ("stop", "i8"), ("state", "u1"), ("sell", "u1"), ("type", "u1"), ("tif", "u1"), ("places", "u2"), ("asks", "u2"),
])  # fmt: skip
SLOT = np.dtype([
    ("base", "i8"), ("over", "i8"), ("qty", "i8"), ("deadline", "i8"), ("entry_ns", "i8"), ("hold_ns", "i8"),
    ("changed", "i8"), ("handle", "u4"), ("symbol", "u2"), ("strategy", "u2"), ("signal", "u2"), ("lates", "u2"),
    ("phase", "u1"), ("kind", "u1"), ("sell", "u1"), ("flags", "u1"), ("incidents", "u4"), ("next", "u4"),
    ("outside", "i8"), ("owed", "i8"), ("reserved", "i8", 4), ("legs", LEG, 4),
])  # fmt: skip
HEADER = 192


def opened(**terms):
    desk = Desk(Orders(capacity=64, symbols=1), Brackets(capacity=2, places_max=64), Budget(9, 9, 9, 9, 9))
    desk.open(**(TERMS | terms))
    return desk


def leg(desk, which):
    return desk.brackets.find(desk.handle)["legs"][which]["id_order"]


def phase(desk):
    return desk.brackets.brief(desk.handle)[0]


def pass_on(desk):
    while moves := [m for m in desk.moves() if m[0] in ("request", "answer", "fill")]:
        desk.do(moves[0])
        desk.check()


def trade(desk, which, lots):
    desk.do(("trade", leg(desk, which), lots))
    pass_on(desk)


def protected(**terms):
    desk = opened(**terms)
    pass_on(desk)
    trade(desk, ENTRY, 10)
    assert phase(desk) == BracketPhase.PHASE_COVERED
    return desk


def edited(brackets, edit):
    """The table's image after `edit(header words, slots)`."""
    image = bytearray(brackets.image())
    edit(np.frombuffer(image, "u4", HEADER // 4), np.frombuffer(image, SLOT, offset=HEADER))
    return bytes(image)


# ------------------------------------------------------------------------------------------------------------- set-up
@pytest.mark.parametrize(
    "wrong",
    ["protect_ns", "unwind_ns", "close_ns", "alarm_ns", "places_max", "unwinds_max", "asks_max", "capacity"],
)
def test_a_table_without_a_deadline_a_cap_or_room_is_refused(wrong):
    with pytest.raises(BracketError):
        Brackets(**{wrong: 0})


def test_a_table_has_a_largest_size():
    with pytest.raises(BracketError):
        Brackets(capacity=8192)


@pytest.mark.parametrize(
    "bad",
    [
        {"stop_px": -1}, {"entry_px": -1}, {"stop_limit_px": -1}, {"target_px": -1}, {"flags": 8}, {"kind": 3},
        {"sell": 2}, {"qty": 1 << 62}, {"kind": BracketKind.BRACKET_OTO}, {"target_px": 0}, {"entry_tif": 4},
        {"kind": BracketKind.BRACKET_OCO}, {"entry_px": 0, "target_px": 80}, {"entry_tif": 200},
    ],
    ids=str,
)  # fmt: skip
def test_every_contradiction_in_the_terms_is_refused_and_counted(bad):
    brackets = Brackets()
    assert brackets.open(**(TERMS | bad))[0] == Status.BRACKET_BAD_TERMS
    assert brackets.counts["refused_count"] == 1
    with pytest.raises(BracketError, match="colour"):
        brackets.open(**TERMS, colour=1)


def test_a_full_table_refuses_and_the_place_of_the_first_closed_is_used_again():
    desk = Desk(Orders(capacity=64, symbols=1), Brackets(capacity=2), Budget())
    desk.open(**TERMS)
    first = desk.handle
    second = desk.brackets.open(**TERMS)[1]
    status, handle, actions = desk.brackets.open(**TERMS)
    assert (status, handle, actions) == (Status.BRACKET_TABLE_FULL, 0, [])
    # The first ends without a fill: its place is given out again under another generation.
    desk.do(("request", leg(desk, ENTRY)))
    desk.orders.apply(leg(desk, ENTRY), On.ON_REJECT)
    desk.brackets.on_order(desk.orders, leg(desk, ENTRY))
    assert phase(desk) == BracketPhase.PHASE_CLOSED
    third = desk.brackets.open(**TERMS)[1]
    assert (third & 0xFFFF, third >> 16) == (first & 0xFFFF, (first >> 16) + 1)
    desk.brackets.check()
    for handle in (first, 0, 0x10009):
        assert desk.brackets.find(handle) is None
        assert desk.brackets.brief(handle) is None
        assert desk.brackets.recall(handle) == desk.brackets.flatten(handle) == []
        assert desk.brackets.refused(handle, ENTRY) == []
    assert desk.brackets.find(second)["phase"] == BracketPhase.PHASE_WAITING


def test_closed_brackets_are_given_up_in_the_order_in_which_they_closed():
    orders, brackets = Orders(symbols=1), Brackets(capacity=3)
    handles = [brackets.open(**TERMS)[1] for _ in range(3)]
    for handle in reversed(handles):
        brackets.refused(handle, ENTRY)
    brackets.check()
    again = [brackets.open(**TERMS)[1] for _ in range(3)]
    assert [handle & 0xFFFF for handle in again] == [3, 2, 1]
    assert orders.counts is not None
    brackets.check()


# ------------------------------------------------------------------------------------------------------------- orders
def test_an_order_of_no_bracket_and_one_of_a_bracket_that_is_gone():
    desk = opened()
    pass_on(desk)
    entry = leg(desk, ENTRY)
    assert desk.brackets.on_order(desk.orders, 12345) == []
    desk.brackets.placed(desk.orders, 12345)
    desk.orders.create(id_order=7, sell=0, qty=1, px=1)
    assert desk.brackets.on_order(desk.orders, 7) == []
    empty = Brackets(capacity=2, places_max=64)
    # A table that starts anew knows neither the bracket nor its entry: nothing new is nothing to say, a fill is told.
    assert empty.on_order(desk.orders, entry) == []
    empty.placed(desk.orders, entry)
    assert desk.orders.fill(entry, trade=1, qty=3, sell=0) == Status.OK
    said = empty.on_order(desk.orders, entry)
    assert [(a["kind"], a["qty_lots"], a["id_order"]) for a in said] == [
        (BracketActionKind.BRACKET_INCIDENT, BracketIncident.INCIDENT_ORPHAN, entry)
    ]
    assert empty.counts["orphan_count"] == 1
    assert empty.on_order(desk.orders, entry) == []


def test_a_leg_that_has_its_order_cannot_be_refused_any_more():
    desk = opened()
    assert desk.brackets.refused(desk.handle, ENTRY) == []
    assert desk.brackets.refused(desk.handle, 4) == []
    assert phase(desk) == BracketPhase.PHASE_WAITING


def test_an_order_that_a_leg_had_before_says_nothing_about_the_one_it_has():
    desk = protected(flags=0)
    before = leg(desk, STOP)
    trade(desk, TARGET, 4)  # without amends the stop is taken back and placed anew for six
    now = leg(desk, STOP)
    assert now != before
    desk.brackets.placed(desk.orders, before)
    assert leg(desk, STOP) == now
    assert desk.brackets.find(desk.handle)["stop_open_lots"] == 6


def places(actions):
    return [(a["leg"], a["qty_lots"]) for a in actions if a["kind"] == BracketActionKind.BRACKET_PLACE]


def entry_of_ten():
    """Orders, brackets, the bracket's handle and its entry, acknowledged."""
    orders, brackets = Orders(capacity=16, symbols=1), Brackets(capacity=2)
    _, handle, _ = brackets.open(**TERMS)
    entry = orders.create(id_order=5, sell=0, qty=10, px=100, bracket=handle, leg=ENTRY)[1]
    for on in (On.ON_GATE, On.ON_JOURNAL, On.ON_SEND, On.ON_ACK):
        orders.apply(entry, on)
    brackets.placed(orders, entry)
    return orders, brackets, handle, entry


def test_an_entry_is_protected_as_far_as_its_fills_were_booked():
    # The venue's tally stands at ten with one lot booked: the others were overtaken, and nobody may close them yet.
    orders, brackets, handle, entry = entry_of_ten()
    orders.fill(entry, trade=3, qty=1, sell=0, told=10)
    assert places(brackets.on_order(orders, entry)) == [(STOP, 1)]
    assert brackets.find(handle)["held_lots"] == 1


def test_a_bracket_does_not_end_while_a_fill_of_its_entry_is_owed():
    orders, brackets, handle, entry = entry_of_ten()
    orders.apply(entry, On.ON_EXPIRE, told=4)
    assert places(brackets.on_order(orders, entry)) == []
    assert brackets.brief(handle)[0] == BracketPhase.PHASE_CLOSING
    orders.fill(entry, trade=1, qty=4, sell=0, told=4)
    assert places(brackets.on_order(orders, entry)) == [(STOP, 4)]
    assert not brackets.find(handle)["incidents"] & 1 << BracketIncident.INCIDENT_REOPENED


def test_a_stuck_bracket_tries_once_more_with_each_alarm():
    brackets = Brackets(capacity=2, places_max=64, unwinds_max=3, alarm_ns=100)
    _, handle, _ = brackets.open(**HELD)
    # Nothing can be placed, because the price is too old or the market is halted.
    for which in (STOP, UNWIND):
        brackets.refused(handle, which)
    assert brackets.brief(handle)[0] == BracketPhase.PHASE_STUCK
    for alarm in (100, 200):
        assert places(brackets.due(alarm)) == [(UNWIND, 5)]
        brackets.refused(handle, UNWIND, now=alarm)
        assert brackets.brief(handle)[0] == BracketPhase.PHASE_STUCK
        brackets.check()


def test_an_order_that_refuses_every_cancel_is_told_once_and_left_alone():
    desk = opened()
    pass_on(desk)
    entry = leg(desk, ENTRY)
    said = desk.brackets.recall(desk.handle)
    for _ in range(5):
        desk.orders.apply(entry, On.ON_CANCEL_ASKED)
        desk.brackets.placed(desk.orders, entry)
        desk.orders.apply(entry, On.ON_CANCEL_REFUSED)
        said += desk.brackets.on_order(desk.orders, entry)
    kinds = [a["kind"] for a in said]
    assert kinds.count(BracketActionKind.BRACKET_CANCEL) == 3
    assert [a["qty_lots"] for a in said if a["kind"] == BracketActionKind.BRACKET_INCIDENT] == [
        BracketIncident.INCIDENT_STUBBORN
    ]
    # A deadline is a new chance.
    late = desk.brackets.due(desk.brackets.brief(desk.handle)[2])
    assert BracketActionKind.BRACKET_CANCEL in [a["kind"] for a in late]


def test_an_unwind_that_became_the_wrong_way_is_taken_back_before_the_other_is_placed():
    desk = protected()
    stop, target = leg(desk, STOP), leg(desk, TARGET)
    desk.carry_out(desk.brackets.flatten(desk.handle))
    for one in (stop, target):
        desk.orders.apply(one, On.ON_CANCELED)
        desk.carry_out(desk.brackets.on_order(desk.orders, one))
    assert phase(desk) == BracketPhase.PHASE_UNWINDING
    unwind = leg(desk, UNWIND)
    desk.do(("request", unwind))
    desk.do(("answer", unwind))
    # Both had traded before they were cancelled, and the venue tells it late: too much at work, then the wrong way.
    said = []
    for one, lots in ((stop, 4), (target, 10)):
        desk.orders.fill(one, trade=lots, qty=lots, sell=1)
        said += desk.brackets.on_order(desk.orders, one)
    assert phase(desk) == BracketPhase.PHASE_OVER
    assert [a["leg"] for a in said if a["kind"] == BracketActionKind.BRACKET_CANCEL] == [UNWIND]
    assert BracketActionKind.BRACKET_PLACE not in [a["kind"] for a in said]


def test_a_deadline_that_is_not_here_yet_asks_nothing():
    desk = opened()
    assert desk.brackets.due(desk.brackets.brief(desk.handle)[2] - 1) == []


# -------------------------------------------------------------------------------------------------------------- adopt
def adopted(orders, one, px, **fields):
    orders.create(id_order=one, qty=7, tag=one, adopt=(one, 2, 2 * px), **({"sell": 1, "px": px} | fields))


@pytest.mark.parametrize("leg_of", ["entry", "stop", "target"])
def test_an_order_on_the_wrong_side_or_of_another_symbol_is_not_adopted(leg_of):
    orders, brackets = Orders(epoch=2, symbols=2), Brackets()
    right = int(leg_of != "entry")
    adopted(orders, 11, 90, sell=1 - right)
    adopted(orders, 12, 90, sell=right, symbol=1)
    for one in (11, 12):
        assert brackets.adopt(orders, **HELD, **{leg_of: one})[:2] == (Status.BRACKET_BAD_TERMS, 0)
    assert brackets.counts["refused_count"] == 2


def test_terms_that_cannot_be_are_not_adopted():
    brackets = Brackets()
    assert brackets.adopt(Orders(symbols=1), **(HELD | {"stop_px": 0}))[0] == Status.BRACKET_BAD_TERMS


@pytest.mark.parametrize(("told", "open_lots"), [(0, 5), (3, 4)])
def test_an_entry_that_still_works_is_adopted_with_what_it_may_bring_in(told, open_lots):
    orders, brackets = Orders(epoch=2, symbols=1), Brackets()
    adopted(orders, 11, 100, sell=0)
    assert orders.apply(11, On.ON_ACK, told=told) == Status.OK
    terms = {"qty": 2, "entry_px": 100, "stop_px": 90, "target_px": 110}
    status, handle, actions = brackets.adopt(orders, **terms, entry=11)
    assert status == Status.OK
    assert [(a["leg"], a["qty_lots"]) for a in actions if a["kind"] == BracketActionKind.BRACKET_PLACE] == [(STOP, 2)]
    bracket = brackets.find(handle)
    assert (bracket["held_lots"], bracket["qty_lots"]) == (2, 2 + open_lots)
    brackets.check()


def test_a_held_position_is_protected_without_an_entry_and_a_stop_may_have_a_limit():
    brackets = Brackets()
    status, handle, actions = brackets.open(**HELD, stop_limit_px=89)
    assert status == Status.OK
    assert [(a["leg"], a["px_ticks"], a["px_stop_ticks"]) for a in actions] == [(STOP, 89, 90)]
    assert brackets.find(handle)["held_lots"] == 5


# --------------------------------------------------------------------------------------------------------- invariants
def test_an_image_of_another_size_is_not_taken():
    with pytest.raises(BracketError, match="expected"):
        Brackets(capacity=1).load(Brackets(capacity=2).image())


def _set(field, value):
    def edit(words, slots):
        slots[0][field] = value

    return edit


def _leg(which, field, value):
    def edit(words, slots):
        slots[0]["legs"][which][field] = value

    return edit


def _unsold(words, slots):
    slots[0]["legs"][STOP]["total"], slots[0]["legs"][TARGET]["total"] = -1, 1


@pytest.mark.parametrize(
    ("invariant", "edit"),
    [
        (1, _set("handle", 0x10002)),
        (1, _set("phase", 0)),
        (1, _set("phase", 200)),
        (2, _set("deadline", 0)),
        (2, _set("deadline", 2**63 - 1)),
        (3, _set("base", 11)),
        (3, _leg(STOP, "total", 21)),
        (4, _leg(STOP, "filled", 11)),
        (4, _unsold),
        (6, _leg(STOP, "qty", 9)),
    ],
)
def test_each_invariant_is_missed_by_its_number(invariant, edit):
    desk = protected()
    desk.brackets.check()
    desk.brackets.load(edited(desk.brackets, edit))
    with pytest.raises(AssertionError, match=f"invariant {invariant}$"):
        desk.brackets.check()


@pytest.mark.parametrize("which", [STOP, TARGET, ENTRY, UNWIND])
def test_a_closed_bracket_has_no_living_leg(which):
    brackets = Brackets()
    handle = brackets.open(**TERMS)[1]
    brackets.refused(handle, ENTRY)
    brackets.check()
    brackets.load(edited(brackets, _leg(which, "state", 3)))
    with pytest.raises(AssertionError, match="invariant 5"):
        brackets.check()


def test_a_closed_bracket_holds_nothing():
    brackets = Brackets()
    brackets.refused(brackets.open(**TERMS)[1], ENTRY)
    brackets.load(edited(brackets, _set("base", 1)))
    with pytest.raises(AssertionError, match="invariant 5"):
        brackets.check()


def test_the_list_of_closed_brackets_and_the_counts_agree():
    brackets = Brackets()
    brackets.open(**TERMS)

    def in_list(words, slots):
        words[25] = 0  # closed_head

    def miscounted(words, slots):
        words[12] += 1  # live_count

    def lost(words, slots):
        slots[0]["phase"], slots[0]["deadline"] = BracketPhase.PHASE_CLOSED, 2**63 - 1
        slots[0]["legs"]["state"] = 0
        words[12] -= 1

    for edit, invariant in ((in_list, 7), (miscounted, 8), (lost, 8)):
        other = Brackets()
        other.load(edited(brackets, edit))
        with pytest.raises(AssertionError, match=f"invariant {invariant}$"):
            other.check()


def test_a_state_that_the_table_does_not_know_is_counted_and_left():
    desk = opened()
    pass_on(desk)
    desk.brackets.load(edited(desk.brackets, _set("phase", BracketPhase.PHASE_UNWINDING)))
    desk.brackets.on_order(desk.orders, leg(desk, ENTRY))
    assert desk.brackets.counts["illegal_count"] > 0
    assert phase(desk) == BracketPhase.PHASE_UNWINDING

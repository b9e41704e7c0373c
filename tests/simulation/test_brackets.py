"""Brackets with a venue: the named races, and Hypothesis over all splits of fills with large quantities."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core.brackets import BracketFlag, BracketIncident, BracketKind, BracketLeg, BracketPhase, Brackets
from engine._core.order_table import OrderEvent as On
from engine._core.orders import Orders
from engine._core.types import Status
from tests.support.desk import Budget, Desk

AMENDS = BracketFlag.BRACKET_AMEND_DOWN | BracketFlag.BRACKET_AMEND_UP
ENTRY, STOP, TARGET, UNWIND = (BracketLeg(i) for i in range(4))


def opened(**terms):
    desk = Desk(Orders(capacity=64, symbols=1), Brackets(capacity=2, places_max=64), Budget(9, 9, 9, 9, 9))
    desk.open(**{"qty": 10, "entry_px": 100, "stop_px": 90, "target_px": 110, "flags": AMENDS, **terms})
    return desk


def leg(desk, which):
    return desk.brackets.find(desk.handle)["legs"][which]["id_order"]


def phase(desk):
    return desk.brackets.brief(desk.handle)[0]


def pass_on(desk, *, fills=True):
    """Deliver everything that is on its way, requests first."""
    while desk.in_flight():
        names = ("request", "answer", "fill") if fills else ("request", "answer")
        moves = [m for m in desk.moves() if m[0] in names]
        if not moves:
            return
        desk.do(moves[0])
        desk.check()


def trade(desk, which, lots):
    desk.do(("trade", leg(desk, which), lots))
    pass_on(desk)


def protected(**terms):
    """Entry filled, stop and target at the venue."""
    desk = opened(**terms)
    pass_on(desk)
    trade(desk, ENTRY, 10)
    assert phase(desk) == BracketPhase.PHASE_COVERED
    return desk


def test_stop_loss_required():
    for terms in ({"stop_px": 0}, {"kind": BracketKind.BRACKET_OTO, "stop_px": 0, "target_px": 0}):
        status, handle, actions = Brackets().open(
            **{"qty": 1, "entry_px": 100, "stop_px": 90, "target_px": 110, **terms}
        )
        assert (status, handle, actions) == (Status.BRACKET_BAD_TERMS, 0, [])


@pytest.mark.parametrize(
    "bad",
    [{"stop_px": 101}, {"target_px": 99}, {"qty": 0}, {"sell": 1}, {"hold_ns": 0}, {"entry_ns": 0}, {"entry_tif": 4}],
)
def test_terms_that_contradict_each_other_are_refused(bad):
    status, _, _ = Brackets().open(**{"qty": 1, "entry_px": 100, "stop_px": 90, "target_px": 110, **bad})
    assert status == Status.BRACKET_BAD_TERMS


def test_peers_34_children_have_the_filled_quantity_of_the_parent():
    desk = opened()
    pass_on(desk)
    trade(desk, ENTRY, 3)
    assert [desk.orders.find(leg(desk, which))["qty_lots"] for which in (STOP, TARGET)] == [3, 3]


@pytest.mark.parametrize("flags", [AMENDS, 0, BracketFlag.BRACKET_AMEND_DOWN])
def test_peers_35_fast_fills_do_not_outrun_the_resize(flags):
    desk = opened(flags=flags)
    pass_on(desk)
    for lots in (1, 2, 3, 4):
        desk.do(("trade", leg(desk, ENTRY), lots))
    pass_on(desk)
    assert [desk.orders.find(leg(desk, which))["exposure_lots"] for which in (STOP, TARGET)] == [10, 10]


def test_a_partial_fill_of_one_leg_reduces_the_other():
    desk = protected()
    trade(desk, TARGET, 4)
    assert [desk.orders.find(leg(desk, which))["exposure_lots"] for which in (STOP, TARGET)] == [6, 6]


def test_the_fill_of_one_leg_cancels_the_other_and_closes():
    desk = protected()
    trade(desk, STOP, 10)
    assert (phase(desk), desk.true_position(), desk.incidents) == (BracketPhase.PHASE_CLOSED, 0, ())


def test_peers_36_both_legs_filled_is_named_told_and_bought_back():
    desk = protected()
    desk.do(("trade", leg(desk, STOP), 10))
    desk.do(("trade", leg(desk, TARGET), 10))
    pass_on(desk)
    assert phase(desk) == BracketPhase.PHASE_OVER
    assert desk.incidents == (BracketIncident.INCIDENT_BOTH_FILLED,)
    trade(desk, UNWIND, 10)
    assert (phase(desk), desk.true_position()) == (BracketPhase.PHASE_CLOSED, 0)


def test_a_parent_cancelled_after_a_part_fill_keeps_protecting_what_filled():
    desk = opened()
    pass_on(desk)
    trade(desk, ENTRY, 4)
    desk.carry_out(desk.brackets.recall(desk.handle))
    pass_on(desk)
    assert phase(desk) == BracketPhase.PHASE_COVERED
    assert desk.orders.find(leg(desk, STOP))["exposure_lots"] == 4


def test_a_late_fill_of_the_entry_after_the_end_is_protected():
    desk = opened()
    pass_on(desk)
    desk.carry_out(desk.brackets.recall(desk.handle))
    entry = leg(desk, ENTRY)
    # The venue forgot to count the fill in its report of the cancel.
    desk.do(("trade", entry, 2))
    desk.orders.apply(entry, On.ON_CANCELED)
    desk.carry_out(desk.brackets.on_order(desk.orders, entry))
    assert phase(desk) == BracketPhase.PHASE_CLOSED
    desk.do(("fill", entry))
    assert phase(desk) == BracketPhase.PHASE_BARE
    assert BracketIncident.INCIDENT_REOPENED in desk.incidents
    assert desk.orders.find(leg(desk, STOP))["qty_lots"] == 2


def test_a_stop_that_is_rejected_is_tried_again_and_then_the_position_is_closed():
    desk = Desk(Orders(capacity=64, symbols=1), Brackets(places_max=2), Budget(9, 0, 0, 0, 0))
    desk.open(qty=5, entry_px=100, stop_px=90, target_px=110, flags=AMENDS)
    pass_on(desk)
    desk.do(("trade", leg(desk, ENTRY), 5))
    desk.do(("fill", leg(desk, ENTRY)))
    for _ in range(2):
        one = leg(desk, STOP)
        desk.do(("reject", one))
        desk.do(("answer", one))
    assert (phase(desk), desk.incidents) == (BracketPhase.PHASE_UNWINDING, (BracketIncident.INCIDENT_UNPROTECTED,))
    pass_on(desk)
    trade(desk, UNWIND, 5)
    assert (phase(desk), desk.true_position()) == (BracketPhase.PHASE_CLOSED, 0)


def test_a_stop_that_the_gate_denies_closes_the_position():
    desk = Desk(Orders(capacity=64, symbols=1), Brackets(places_max=2), Budget(), gate_denies=(STOP,))
    desk.open(qty=5, entry_px=100, stop_px=90, target_px=110, flags=AMENDS)
    pass_on(desk)
    trade(desk, ENTRY, 5)
    assert phase(desk) == BracketPhase.PHASE_UNWINDING


def test_a_stop_without_an_answer_is_never_placed_twice():
    desk = opened()
    pass_on(desk)
    desk.do(("trade", leg(desk, ENTRY), 10))
    desk.do(("fill", leg(desk, ENTRY)))
    desk.do(("timeout", leg(desk, STOP)))
    orders = len(desk.venue)
    for _ in range(6):
        desk.do(("late",))
    assert len(desk.venue) == orders
    assert phase(desk) == BracketPhase.PHASE_STUCK
    assert BracketIncident.INCIDENT_STUCK in desk.incidents


@pytest.mark.parametrize("found", ["stop and target", "nothing"])
def test_peers_12_a_bracket_is_adopted_after_a_restart_and_a_missing_stop_placed(found):
    orders, brackets = Orders(epoch=2, symbols=1), Brackets()
    ids = {}
    if found != "nothing":
        for name, px, one in (("stop", 90, 11), ("target", 110, 12)):
            kind = {"type": 2, "px": 0, "px_stop": px} if name == "stop" else {"px": px}
            orders.create(id_order=one, sell=1, qty=7, tag=one, adopt=(one, 2, 2 * px), **kind)
            ids[name] = one
    terms = {"kind": BracketKind.BRACKET_OCO, "qty": 5, "stop_px": 90, "target_px": 110}
    status, handle, actions = brackets.adopt(orders, **terms, **ids)
    brackets.check()
    assert status == Status.OK
    if found == "nothing":
        assert [(a["leg"], a["qty_lots"]) for a in actions] == [(STOP, 5)]
    else:
        assert actions == []
        assert brackets.find(handle)["phase"] == BracketPhase.PHASE_COVERED


@given(data=st.data(), sell=st.integers(0, 1), flags=st.sampled_from([0, 1, 2, 3]), qty=st.integers(1, 10**6))
@settings(max_examples=150)
def test_any_split_of_fills_in_any_order_stays_within_the_worst_case(data, sell, flags, qty):
    prices = {"stop_px": 110, "target_px": 90} if sell else {"stop_px": 90, "target_px": 110}
    desk = Desk(Orders(capacity=128, symbols=1), Brackets(places_max=64), Budget(1, 1, 2, 1, 1))
    desk.open(qty=qty, entry_px=100, sell=sell, flags=flags, **prices)
    for _ in range(60):
        # One trade move an order instead of one for each quantity: the quantity is drawn.
        moves = list(_moves_without_sizes(desk))
        if not moves:
            break
        move = data.draw(st.sampled_from(moves))
        if move[0] == "trade":
            v = desk.venue[move[1]]
            move = (*move, data.draw(st.integers(1, v.qty - v.filled)))
        desk.do(move)
        desk.check()


def _moves_without_sizes(desk):
    real, desk.venue = desk.venue, {k: v._replace(qty=min(v.qty, v.filled + 1)) for k, v in desk.venue.items()}
    moves = [m[:2] if m[0] == "trade" else m for m in desk.moves()]
    desk.venue = real
    return moves

"""The ingest gate at its outermost edges: time zero, the whole history, one kind against the other, the bad doors."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from engine import errors
from engine._core import validate as core
from engine._core.types import BAR_PRICES, EVENT, Kind, Status
from engine._core.validate import Action
from tests.differential.test_validate import (
    LIMITS,
    NO_TIME,
    NOW,
    OK,
    PX,
    SECOND,
    WHOLE,
    bar,
    depth,
    gate,
    one,
    quote,
    record,
    statuses,
    trade,
)
from tests.support.c_doors import door

STEM = "validate"
BAND = Status.VALIDATE_BAND


# ---------------------------------------------------------------------------------------------------------- the faces
@pytest.mark.parametrize("symbols", [0, 65_536])
def test_a_table_of_no_symbols_or_too_many_is_refused(impl, symbols):
    with pytest.raises(errors.DataBadConfig):
        impl.Validate(symbols=symbols)


@pytest.mark.parametrize("limits", [{"silent_ns_max": {2: -1}}, {"silent_ns_max": {2: 2**62}}, {"needs_time": 256}])
def test_limits_of_a_class_that_cannot_be_are_refused(impl, limits):
    with pytest.raises(errors.DataBadConfig):
        impl.Validate(symbols=1).configure(0, **LIMITS | limits)


def test_a_limit_that_is_none_and_a_symbol_that_is_not_there_are_refused(impl):
    g = impl.Validate(symbols=1)
    with pytest.raises(TypeError, match="no such limit: colour"):
        g.configure(0, **LIMITS | {"colour": 1})
    with pytest.raises(errors.DataBadSymbol):
        g.configure(1, **LIMITS)
    for symbol in (0, 1):
        assert not g.usable(symbol)
        with pytest.raises(errors.DataBadSymbol):
            g.reset(symbol)
    g.configure(0, **LIMITS)
    assert [bool(g.usable(symbol)) for symbol in (0, 1, 65_535, 65_536, 1 << 31)] == [True, False, False, False, False]


def test_no_events_are_judged_as_none():
    assert len(gate(core).events(np.zeros(0, EVENT), NOW)) == 0


@pytest.mark.parametrize("offset", [1 << 62, -(1 << 62)])
def test_a_clock_beyond_all_times_is_refused_and_the_old_one_stays(offset):
    g = gate(core)
    g.clock(0, 5)
    with pytest.raises(errors.DataBadConfig):
        g.clock(0, offset)
    assert g.row(0)["clock_offset_ns"] == 5


def test_a_symbol_without_limits_is_never_silent(impl):
    g = impl.Validate(symbols=2)
    g.configure(1, **LIMITS | {"silent_ns_max": {2: SECOND}})
    assert len(g.due(NOW)) == 0
    assert g.due(NOW + 2 * SECOND)["symbol"].tolist() == [1]


# --------------------------------------------------------------------------------------------------------------- time
def test_at_the_first_instant_of_all_the_same_rules_hold(impl):
    """Zero is the sign of 'never': what happens then is kept as one nanosecond later."""
    g = gate(impl, needs_time=0, row_bad=0, window_bad=0, silent_ns_max={2: SECOND})
    words = {"now": 0, "flags": WHOLE | NO_TIME}
    assert len(g.due(0)) == 0
    assert one(g, trade(number=1, **words), 0) == OK
    assert one(g, trade(number=2, **words), 0) == OK
    assert one(g, quote(number=1, **words), 0) == OK
    assert one(g, trade(px=PX * 2, number=3, **words), 0) == BAND
    assert [g.row(0)[name] for name in ("ts_ref_ns", "ts_quote_ns", "ts_jump_ns")] == [1, 1, 1]


def test_a_bar_that_is_too_late_is_refused_and_its_totals_with_it(impl):
    g = gate(impl)
    assert statuses(g, bar(age=60 * SECOND)) == [Status.VALIDATE_STALE, Status.VALIDATE_CONDEMNED]
    assert statuses(g, bar()) == [OK, OK]


def negative_volume():
    prices = bar()[:1].view(BAR_PRICES)
    prices["volume_lots"] = -1
    return prices.view(EVENT)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (bar(prices=(PX, PX + 5, PX - 5, PX + 3))[:1], OK),
        (bar(prices=(PX, PX + 2, PX - 5, PX + 3))[:1], Status.VALIDATE_BAD_BAR),
        (negative_volume(), Status.VALIDATE_BAD_QUANTITY),
        (bar(totals={"quote_volume_e8": -1}), Status.VALIDATE_BAD_QUANTITY),
        (bar(totals={"taker_buy_lots": -2}), Status.VALIDATE_BAD_QUANTITY),
        (bar(totals={"trade_count": 0, "taker_buy_lots": -2, "quote_volume_e8": -1}), Status.VALIDATE_BAD_QUANTITY),
    ],
)
def test_every_number_of_a_bar_is_judged(impl, event, expected):
    assert one(gate(impl), event) == expected


# ----------------------------------------------------------------------------------------------- the breaker's history
def test_a_row_as_long_as_the_history_halts_at_its_last(impl):
    g = gate(impl, row_bad=64, window_bad=0)
    for n in range(63):
        one(g, trade(px=0, number=n))
        assert (g.row(0)["halted"], n) == (0, n)
    one(g, trade(px=0, number=63))
    assert (g.row(0)["halted"], g.actions & Action.ACTION_HALT) == (1, Action.ACTION_HALT)


# ---------------------------------------------------------------------------------------------------------- outliers
def test_a_good_price_takes_back_what_its_own_kind_had_said_and_no_more(impl):
    g = gate(impl, confirm_prints=9, confirm_each=2, row_bad=0, window_bad=0)
    one(g, trade())
    one(g, quote())
    assert one(g, trade(px=PX * 2, number=2)) == BAND
    assert one(g, quote(PX * 2 - 1, PX * 2 + 1, 2)) == BAND
    assert list(g.row(0)["jump_seen"]) == [1, 1]
    assert one(g, trade(number=3)) == OK
    assert sorted(g.row(0)["jump_seen"]) == [0, 1]
    assert one(g, quote(number=3)) == OK
    assert list(g.row(0)["jump_seen"]) == [0, 0]


def test_depth_far_past_the_touch_that_is_said_often_enough_is_a_jump(impl):
    g = gate(impl, confirm_prints=3, row_bad=0, window_bad=0)
    one(g, trade())
    far = [depth(("bid", PX * 2, 5), number=n) for n in (1, 2, 3, 4)]
    assert [one(g, e) for e in far[:2]] == [BAND, BAND]
    assert one(g, far[2]) == OK
    assert g.actions & Action.ACTION_JUMP
    assert one(g, far[3]) == OK


# ------------------------------------------------------------------------------------------------ reports of our own
OURS = [kind for kind in Kind if Kind.KIND_ORDER_ACK <= kind <= Kind.KIND_ORDER_LOST]


@pytest.mark.parametrize("kind", [*OURS, Kind.KIND_TIMER, Kind.KIND_CONTROL])
@pytest.mark.parametrize("symbol", [0, 9])
def test_no_report_on_an_order_of_ours_is_ever_refused(impl, kind, symbol):
    g = gate(impl)
    assert one(g, record(EVENT, kind, age=10**15, symbol=symbol)) == OK
    assert g.totals()[1] == 0


# ------------------------------------------------------------------------------------------------- doors of other C
def test_the_doors_for_other_kernels_know_what_is_not_there():
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    init = door(core, "validate_init", ctypes.c_int, pointer, ctypes.c_uint32)
    size = door(core, "validate_bytes", ctypes.c_size_t, ctypes.c_uint32)
    defaults = door(core, "validate_defaults", None, pointer)
    configure = door(core, "validate_configure", ctypes.c_int, pointer, ctypes.c_uint16, pointer)
    reset = door(core, "validate_reset", ctypes.c_int, pointer, ctypes.c_uint16, ctypes.c_int)
    clock = door(core, "validate_clock", ctypes.c_int, pointer, ctypes.c_uint16, whole)
    touch = door(core, "validate_touch", ctypes.c_int, pointer, ctypes.c_uint16, whole, whole, whole)
    room = np.zeros(size(2) + 64, np.uint8)
    table = room[-room.ctypes.data % 64 :].ctypes.data
    limits = ctypes.create_string_buffer(4096)
    assert [init(table, count) for count in (0, 65_536)] == [Status.VALIDATE_BAD_CONFIG] * 2
    assert init(table, 2) == OK
    defaults(limits)
    assert configure(table, 2, limits) == Status.VALIDATE_BAD_SYMBOL
    assert configure(table, 1, limits) == OK
    for symbol in (0, 2):  # one that nobody described, one that is not there
        assert reset(table, symbol, 0) == Status.VALIDATE_BAD_SYMBOL
        assert clock(table, symbol, 1) == Status.VALIDATE_BAD_SYMBOL
        assert touch(table, symbol, PX, PX + 1, NOW) == Status.VALIDATE_BAD_SYMBOL
    assert reset(table, 1, 0) == clock(table, 1, 1) == touch(table, 1, PX, PX + 1, NOW) == OK
    assert touch(table, 1, PX, PX, NOW) == Status.VALIDATE_CROSSED

"""The ingest gate: every reason on both sides of its limit, the breaker, the suspicions, and kernel against twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine import errors
from engine._core import validate as core
from engine._core.types import (
    BAR_PRICES,
    BAR_TOTALS,
    EVENT,
    LEVEL,
    LIQUIDATION,
    MARK,
    ORDER,
    QUOTE,
    TRADE,
    Flag,
    Kind,
    Status,
)
from engine._core.validate import Action, Class, Suspect
from engine.model import validate as model

STEM = "validate"
MS, SECOND = 10**6, 10**9
NOW = 1_000 * SECOND
PX = 100_000
WHOLE = int(Flag.FLAG_FIRST | Flag.FLAG_LAST)
NO_TIME = int(Flag.FLAG_NO_VENUE_TIME)
LIMITS = {"px_ticks_min": 10, "px_ticks_max": 1_000_000, "qty_lots_max": 1_000_000, "tick_e8": 10**6}


def record(dtype, kind, now=NOW, *, age=0, flags=WHOLE, symbol=0, seq=7, **words):
    out = np.zeros(1, dtype=dtype)
    out["kind"], out["flags"], out["symbol"], out["seq"] = kind, flags, symbol, seq
    out["ts_venue_ns"], out["ts_recv_ns"] = now - age, now
    for name, value in words.items():
        out[name] = value
    return out.view(EVENT)


def trade(px=PX, qty=5, number=1, now=NOW, kind=Kind.KIND_TRADE, **more):
    return record(TRADE, kind, now, px_ticks=px, qty_lots=qty, id_trade=number, **more)


def quote(bid=PX - 1, ask=PX + 1, number=1, now=NOW, qty=(5, 5), **more):
    return record(
        QUOTE, Kind.KIND_QUOTE, now, bid_px_ticks=bid, ask_px_ticks=ask, bid_qty_lots=qty[0], ask_qty_lots=qty[1],
        id_book=number, **more,
    )  # fmt: skip


def depth(*levels, number=1, now=NOW, snapshot=False, **more):
    """A whole message; levels are (side, px, qty)."""
    rows = []
    for i, (side, px, qty) in enumerate(levels):
        flags = (Flag.FLAG_ASK if side == "ask" else 0) | (Flag.FLAG_SNAPSHOT if snapshot else 0)
        flags |= (Flag.FLAG_FIRST if i == 0 else 0) | (Flag.FLAG_LAST if i == len(levels) - 1 else 0)
        rows.append(
            record(LEVEL, Kind.KIND_BOOK_LEVEL, now, flags=flags, px_ticks=px, qty_lots=qty, id_last=number, **more)
        )
    return np.concatenate(rows)


def mark(px=PX, now=NOW, **more):
    words = {"mark_px_e8": px * 10**6, "index_px_e8": px * 10**6, "settle_px_e8": px * 10**6}
    return record(MARK, Kind.KIND_MARK, now, **words | more)


def bar(opened=1, now=NOW, *, closed=False, prices=(PX, PX + 5, PX - 5, PX), totals=(), **more):
    flags = int(Flag.FLAG_CLOSED) if closed else 0
    names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks")
    first = record(
        BAR_PRICES, Kind.KIND_BAR_PRICES, now, flags=flags | Flag.FLAG_FIRST, volume_lots=9,
        **dict(zip(names, prices, strict=True)), **more,
    )  # fmt: skip
    words = {"ts_open_ns": opened * SECOND, "ts_close_ns": (opened + 1) * SECOND, "trade_count": 3} | dict(totals)
    second = record(BAR_TOTALS, Kind.KIND_BAR_TOTALS, now, flags=flags | Flag.FLAG_LAST, **words)
    return np.concatenate([first, second])


def gate(impl, symbols=1, **limits):
    out = impl.Validate(symbols=symbols)
    for symbol in range(symbols):
        out.configure(symbol, **LIMITS | limits)
    return out


def statuses(g, events, now=NOW):
    out = [Status(int(s)) for s in g.events(events, now)]
    g.check()
    return out


def one(g, event, now=NOW):
    return statuses(g, event, now)[-1]


OK = Status.OK


# ----------------------------------------------------------------------------------------- values (B-06 invalid)
@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (trade(px=10), OK),
        (trade(px=9), Status.VALIDATE_PX_RANGE),
        (trade(px=0), Status.VALIDATE_BAD_PRICE),
        (trade(px=-1), Status.VALIDATE_BAD_PRICE),
        (trade(px=1_000_000), OK),
        (trade(px=1_000_001), Status.VALIDATE_PX_RANGE),
        (trade(px=2**63 - 1), Status.VALIDATE_PX_RANGE),
        (trade(px=-(2**63)), Status.VALIDATE_BAD_PRICE),
        (trade(qty=1), OK),
        (trade(qty=0), Status.VALIDATE_BAD_QUANTITY),
        (trade(qty=-1), Status.VALIDATE_BAD_QUANTITY),
        (trade(qty=1_000_000), OK),
        (trade(qty=1_000_001), Status.VALIDATE_QTY_RANGE),
        (quote(bid=PX, ask=PX + 1), OK),
        (quote(bid=PX, ask=PX), Status.VALIDATE_CROSSED),
        (quote(bid=PX + 1, ask=PX), Status.VALIDATE_CROSSED),
        (quote(qty=(0, 5)), Status.VALIDATE_BAD_QUANTITY),
        (quote(qty=(5, -5)), Status.VALIDATE_BAD_QUANTITY),
        (quote(bid=0), Status.VALIDATE_BAD_PRICE),
        (depth(("bid", 10, 0)), OK),
        (depth(("bid", 9, 1)), Status.VALIDATE_PX_RANGE),
        (depth(("bid", PX, -1)), Status.VALIDATE_BAD_QUANTITY),
        (depth(("bid", PX, 1), ("ask", PX + 1, 1)), OK),
        (depth(("bid", PX, 1), ("ask", PX, 1)), Status.VALIDATE_CROSSED),
        (depth(("bid", PX, 1), ("ask", PX, 0)), OK),
        (mark(mark_px_e8=0), Status.VALIDATE_BAD_PRICE),
        (mark(index_px_e8=-1), Status.VALIDATE_BAD_PRICE),
        (mark(px=1_000_000), OK),
        (mark(px=1_000_001), Status.VALIDATE_PX_RANGE),
        (mark(mark_px_e8=2**63 - 1), Status.VALIDATE_PX_RANGE),
        (bar(prices=(PX, PX, PX, PX)), OK),
        (bar(prices=(PX, PX - 1, PX - 5, PX - 2))[:1], Status.VALIDATE_BAD_BAR),
        (bar(prices=(PX, PX + 1, PX - 5, PX - 6))[:1], Status.VALIDATE_BAD_BAR),
        (bar(totals={"ts_close_ns": 1}), Status.VALIDATE_BAD_BAR),
        (bar(totals={"trade_count": -1}), Status.VALIDATE_BAD_QUANTITY),
        (record(LIQUIDATION, Kind.KIND_LIQUIDATION, px_ticks=10, qty_lots=1), OK),
        (record(LIQUIDATION, Kind.KIND_LIQUIDATION, px_ticks=PX, qty_lots=0), Status.VALIDATE_BAD_QUANTITY),
        (record(EVENT, 0), Status.VALIDATE_BAD_KIND),
        (record(EVENT, 10), Status.VALIDATE_BAD_KIND),
        (record(EVENT, 63), Status.VALIDATE_BAD_KIND),
        (record(EVENT, Kind.KIND_INTENT_PLACE), Status.VALIDATE_BAD_KIND),
        (record(EVENT, 255), Status.VALIDATE_BAD_KIND),
        (trade(symbol=1), Status.VALIDATE_BAD_SYMBOL),
    ],
)  # fmt: skip
def test_values_are_judged_on_both_sides_of_their_limit(impl, event, expected):
    g = gate(impl)
    assert statuses(g, event)[-1] == expected
    assert g.totals()[:2] == ((len(event), 0) if expected == OK else (len(event) - 1, 1))


def test_a_refused_price_of_minus_one_reaches_nothing(impl):
    g = gate(impl)
    one(g, quote())
    before = g.row(0)
    assert one(g, trade(px=-1)) == Status.VALIDATE_BAD_PRICE
    after = g.row(0)
    assert g.counts(0) == {"VALIDATE_BAD_PRICE": 1}
    assert {k: v for k, v in after.items() if k != "history"} == {k: v for k, v in before.items() if k != "history"}


@pytest.mark.parametrize("kind", [64, 65, 68, Kind.KIND_TIMER, Kind.KIND_CONTROL])
def test_own_reports_and_control_are_never_refused_for_age_or_value(impl, kind):
    late = record(ORDER, kind, age=3600 * SECOND, symbol=999, qty_lots=-1)
    assert one(gate(impl), late) == OK


def test_the_refusal_is_a_whole_audit_record(impl):
    g = gate(impl)
    one(g, trade(number=41, age=501 * MS, seq=99))
    r = g.refusal
    got = {name: int(r[name]) for name in r.dtype.names}
    assert got == {
        "kind": Kind.KIND_REFUSAL, "flags": Class.CLASS_TRADE, "symbol": 0, "seq": 99, "ts_venue_ns": NOW - 501 * MS,
        "ts_recv_ns": NOW, "reason": Status.VALIDATE_STALE, "value": 501 * MS, "limit": 500 * MS, "id_event": 41,
        "actions": 0,
    }  # fmt: skip
    assert core.REFUSAL.itemsize == 64


def test_every_reason_has_an_error_class_of_its_kind():
    for status in Status:
        if 1001 <= status < 1030:
            assert issubclass(errors.by_status(status), errors.MarketDataError)
    assert issubclass(errors.by_status(Status.VALIDATE_NO_TIME), errors.DataMissing)
    assert issubclass(errors.by_status(Status.VALIDATE_CROSSED), errors.DataInvalid)


# ------------------------------------------------------------------------------------ time (B-07, K-04, missing)
def test_data_older_than_500_ms_is_refused(impl):
    g = gate(impl)
    assert one(g, trade(age=500 * MS)) == OK
    assert one(g, trade(number=2, age=500 * MS), NOW + 1) == Status.VALIDATE_STALE
    assert g.counts(0) == {"VALIDATE_STALE": 1}


def test_age_counts_until_judgement_and_limits_are_per_class(impl):
    g = gate(impl, stale_ns_max={Class.CLASS_TRADE: 10, Class.CLASS_QUOTE: 0})
    assert one(g, trade(), NOW + 10) == OK
    assert one(g, trade(number=2), NOW + 11) == Status.VALIDATE_STALE
    assert one(g, quote(age=10**17 if NOW > 10**17 else NOW - 1)) == OK


def test_an_event_without_venue_time_is_missing_where_its_class_needs_one(impl):
    g = gate(impl)
    assert one(g, quote(flags=WHOLE | NO_TIME)) == Status.VALIDATE_NO_TIME
    assert one(g, trade(age=NOW)) == Status.VALIDATE_NO_TIME
    g = gate(impl, needs_time=0)
    assert one(g, quote(age=NOW, flags=WHOLE | NO_TIME)) == OK
    # Then its age is that of its arrival.
    assert one(g, quote(number=2, age=NOW, flags=WHOLE | NO_TIME), NOW + 500 * MS + 1) == Status.VALIDATE_STALE


def test_a_venue_time_in_the_future_is_refused_beyond_the_drift(impl):
    g = gate(impl)
    assert one(g, trade(age=-250 * MS)) == OK
    assert one(g, trade(number=2, age=-250 * MS - 1)) == Status.VALIDATE_CLOCK
    assert int(g.refusal["value"]) == 250 * MS + 1


def test_the_measured_clock_offset_is_taken_off(impl):
    g = gate(impl)
    g.clock(0, 1270 * MS)
    assert one(g, trade(age=-1270 * MS)) == OK
    assert one(g, trade(number=2, age=-1270 * MS - 250 * MS - 1)) == Status.VALIDATE_CLOCK
    assert one(g, trade(number=2, age=-769 * MS)) == Status.VALIDATE_ORDER
    g.reset(0)
    assert one(g, trade(number=2, age=-769 * MS)) == Status.VALIDATE_STALE


@pytest.mark.parametrize("stamp", [-1, 2**62, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("which", ["ts_venue_ns", "ts_recv_ns"])
def test_a_stamp_that_is_no_time_is_refused(impl, stamp, which):
    event = trade()
    event[which] = stamp
    assert one(gate(impl), event) == Status.VALIDATE_CLOCK


def test_timestamps_strictly_increasing(impl):
    """K-04: the pair of time and number rises; where no number exists, the time alone does."""
    g = gate(impl)
    assert one(g, trade(number=1)) == OK
    assert one(g, trade(number=2)) == OK
    assert one(g, trade(number=3, age=1)) == Status.VALIDATE_ORDER
    assert one(g, mark()) == OK
    assert one(g, mark()) == Status.VALIDATE_DUPLICATE
    assert one(g, mark(age=1)) == Status.VALIDATE_ORDER
    assert statuses(g, bar(5, closed=True)) == [OK, OK]
    assert statuses(g, bar(5, closed=True)) == [OK, Status.VALIDATE_DUPLICATE]
    assert statuses(g, bar(5)) == [OK, Status.VALIDATE_ORDER]
    assert statuses(g, bar(4, closed=True)) == [OK, Status.VALIDATE_ORDER]
    assert statuses(g, bar(6)) == statuses(g, bar(6)) == statuses(g, bar(6, closed=True)) == [OK, OK]


@pytest.mark.parametrize("make", [trade, quote, lambda **m: trade(kind=Kind.KIND_AGG_TRADE, **m)])
def test_numbers_rise_and_never_repeat(impl, make):
    g = gate(impl)
    assert one(g, make(number=10)) == OK
    assert one(g, make(number=10)) == Status.VALIDATE_DUPLICATE
    assert one(g, make(number=9)) == Status.VALIDATE_ORDER
    assert one(g, make(number=-1)) == Status.VALIDATE_NO_ID
    assert one(g, make(number=10 + 2**40 + 1)) == Status.VALIDATE_ORDER
    assert one(g, make(number=12)) == OK
    g = gate(impl, needs_id=0)
    assert [one(g, make(number=n)) for n in (10, 10, 9, -1)] == [OK] * 4


def test_trades_and_aggregates_are_numbered_apart(impl):
    g = gate(impl)
    assert one(g, trade(number=100)) == OK
    assert one(g, trade(number=5, kind=Kind.KIND_AGG_TRADE)) == OK


def test_a_reset_after_a_reconnect_starts_numbers_anew_and_keeps_the_reference(impl):
    g = gate(impl)
    one(g, trade(number=100))
    g.reset(0)
    assert one(g, trade(px=PX * 2, number=1)) == Status.VALIDATE_BAND
    assert one(g, trade(number=1)) == OK
    g.reset(0, keep_reference=False)
    assert one(g, trade(px=PX * 2, number=1)) == OK


# ------------------------------------------------------------------------------------------------ whole messages
def test_the_first_bad_level_condemns_the_whole_message(impl):
    g = gate(impl)
    bad = depth(("bid", PX, 1), ("bid", -5, 1), ("ask", PX + 1, 1), ("ask", PX + 2, 1))
    assert statuses(g, bad) == [OK, Status.VALIDATE_BAD_PRICE, Status.VALIDATE_CONDEMNED, Status.VALIDATE_CONDEMNED]
    assert g.actions == Action.ACTION_BOOK
    # One refusal for the breaker, and the same number may come again.
    assert g.row(0)["history"] == 1
    assert statuses(g, depth(("bid", PX, 1))) == [OK]


def test_a_message_refused_at_its_first_level_leaves_nothing_in_the_book(impl):
    g = gate(impl)
    assert statuses(g, depth(("bid", -5, 1), ("ask", PX, 1))) == [
        Status.VALIDATE_BAD_PRICE,
        Status.VALIDATE_CONDEMNED,
    ]
    assert g.actions == Action(0)


def test_a_torn_message_is_refused_and_an_image_heals_it(impl):
    g = gate(impl)
    assert statuses(g, depth(("bid", PX, 1), ("bid", PX - 1, 1))[1:]) == [Status.VALIDATE_TORN]
    assert statuses(g, depth(("bid", PX, 1), ("bid", PX - 1, 1))[:1]) == [OK]
    assert statuses(g, depth(("bid", PX, 1), ("bid", PX - 1, 1), number=2)) == [
        Status.VALIDATE_TORN,
        Status.VALIDATE_CONDEMNED,
    ]
    assert g.actions == Action.ACTION_BOOK
    assert statuses(g, depth(("bid", PX, 1), ("bid", PX - 1, 1), number=2)[:1]) == [OK]
    assert statuses(g, depth(("bid", PX, 1), ("ask", PX + 1, 1), number=3, snapshot=True)) == [OK, OK]


def test_levels_of_another_number_tear_a_message(impl):
    g = gate(impl)
    mixed = np.concatenate(
        [depth(("bid", PX, 1), ("bid", PX, 2))[:1], depth(("a", 1, 1), ("bid", PX, 2), number=2)[1:]]
    )
    assert statuses(g, mixed) == [OK, Status.VALIDATE_TORN]


def test_deep_levels_are_no_outliers_on_their_own_side(impl):
    g = gate(impl)
    one(g, quote())
    assert statuses(g, depth(("bid", 10, 1), ("ask", 999_999, 1))) == [OK, OK]
    edge = PX * 105 // 100
    assert statuses(g, depth(("bid", edge, 1), number=2)) == [OK]
    assert statuses(g, depth(("bid", edge + 1, 1), number=3)) == [Status.VALIDATE_BAND]
    assert statuses(g, depth(("bid", edge + 1, 0), number=3)) == [OK]
    low = PX * 95 // 100
    assert statuses(g, depth(("ask", low, 1), number=4)) == [OK]
    assert statuses(g, depth(("ask", low - 1, 1), number=5)) == [Status.VALIDATE_BAND]


def test_totals_without_prices_are_no_bar(impl):
    g = gate(impl)
    assert one(g, bar()[1:]) == Status.VALIDATE_TORN
    assert statuses(g, bar(prices=(-1, PX, PX, PX))) == [Status.VALIDATE_BAD_BAR, Status.VALIDATE_CONDEMNED]


# ----------------------------------------------------------------------------------------------- outliers (B-08)
def test_outlier_detection_by_the_band_around_the_reference(impl):
    g = gate(impl, spike_ppm=1_000_000)
    one(g, trade())
    assert one(g, trade(px=PX + PX // 20, number=2)) == OK
    g = gate(impl, spike_ppm=1_000_000)
    one(g, trade())
    assert one(g, trade(px=PX + PX // 20 + 1, number=2)) == Status.VALIDATE_BAND
    # The middle of this quote is right, its sides are absurd.
    assert one(g, quote(bid=10, ask=2 * PX - 10)) == Status.VALIDATE_BAND
    assert one(g, mark(px=PX + PX // 20 + 1)) == Status.VALIDATE_BAND
    assert one(g, mark(px=PX + PX // 20)) == OK


def test_spike_filter_by_deviations_with_a_floor(impl):
    g = gate(impl)
    one(g, trade())
    assert one(g, trade(px=PX + 500, number=2)) == OK
    g = gate(impl)
    one(g, trade())
    assert one(g, trade(px=PX + 501, number=2)) == Status.VALIDATE_SPIKE
    assert (int(g.refusal["value"]), int(g.refusal["limit"])) == (1002, 1000)


def test_a_restless_market_widens_the_spike_filter(impl):
    g = gate(impl, spike_ppm=100)
    for n in range(1, 400):
        assert one(g, trade(px=PX + (4 if n % 2 else -4), number=n)) == OK
    assert g.row(0)["mad256"][1] > 256 * 10
    assert one(g, trade(px=PX + 60, number=400)) == OK
    assert one(g, trade(px=PX + 1000, number=401)) == Status.VALIDATE_SPIKE


def test_a_price_that_caught_up_with_the_quotes_counts_as_no_more_than_the_widest_step(impl):
    g = gate(impl)
    one(g, trade())
    for n in range(1, 121):
        # Quotes lead, a fortieth of the way each, until the reference is where they are.
        up = min(n, 40) * 50
        assert one(g, quote(bid=PX + up - 1, ask=PX + up + 1, number=n)) == OK
    # More than three times the widest step from the last trade, and right at the reference.
    widest = int(g.row(0)["spike2"])
    assert 3 * widest < 2 * 2_000
    assert one(g, trade(px=PX + 2_000, number=2)) == OK
    assert g.row(0)["mad256"][1] == (widest << 8) >> 5


def test_an_old_reference_judges_nothing(impl):
    g = gate(impl)
    one(g, trade())
    later = NOW + 60 * SECOND
    assert one(g, trade(px=PX * 2, number=2, now=later), later) == Status.VALIDATE_BAND
    later += 1
    assert one(g, trade(px=PX * 2, number=2, now=later), later) == OK


def test_a_crash_is_taken_in_after_five_prints_that_agree(impl):
    g = gate(impl)
    one(g, trade())
    got = [one(g, trade(px=PX // 2, number=n)) for n in range(2, 8)]
    assert got == [Status.VALIDATE_BAND] * 4 + [OK, OK]
    assert g.row(0)["jump_count"] == 1


def test_a_crash_is_taken_in_when_quotes_and_trades_agree(impl):
    g = gate(impl)
    one(g, trade())
    one(g, quote())
    crash = [trade(px=PX // 2, number=2), trade(px=PX // 2, number=3), quote(PX // 2, PX // 2 + 1, 2)]
    assert [one(g, e) for e in crash] == [Status.VALIDATE_BAND] * 3
    assert one(g, quote(PX // 2, PX // 2 + 1, 3)) == OK
    assert g.actions == Action.ACTION_JUMP
    assert one(g, trade(px=PX // 2, number=4)) == OK


def test_prints_that_contradict_each_other_confirm_nothing(impl):
    g = gate(impl, row_bad=0, window_bad=0)
    one(g, trade())
    wild = [PX * 2, PX // 2, PX * 3, PX // 3] * 5
    assert {one(g, trade(px=px, number=n + 2)) for n, px in enumerate(wild)} == {Status.VALIDATE_BAND}


def test_prints_too_far_apart_in_time_confirm_nothing(impl):
    g = gate(impl, row_bad=0, window_bad=0, ref_ns_max=3600 * SECOND)
    one(g, trade())
    for n in range(2, 20):
        now = NOW + n * (5 * SECOND + 1)
        assert one(g, trade(px=PX * 2, number=n, now=now), now) == Status.VALIDATE_BAND


def test_good_prints_between_take_back_what_outliers_said(impl):
    g = gate(impl)
    for n in range(1, 40, 2):
        assert one(g, trade(number=n)) == OK
        assert one(g, trade(px=PX * 2, number=n + 1)) == Status.VALIDATE_BAND


# ----------------------------------------------------------------------------- one source against the other (39)
def test_a_trade_far_outside_the_quote_makes_the_symbol_suspect(impl):
    g = gate(impl, spike_ppm=1_000_000)
    one(g, quote())
    assert one(g, trade(px=PX + 2000)) == OK
    assert g.row(0)["suspect"] == 0
    assert one(g, trade(px=PX + 2100, number=2)) == OK
    assert g.actions == Action.ACTION_SUSPECT
    assert g.row(0)["suspect"] == Suspect.SUSPECT_OUTSIDE
    assert not g.usable(0)


def test_a_price_that_stands_still_while_others_move_is_suspect(impl):
    """The same quote, repeated and fresh, while trades print outside it for longer than a second."""
    g = gate(impl)
    for n in range(1, 7):
        now = NOW + n * 250 * MS
        one(g, quote(number=n, now=now), now)
        assert one(g, trade(px=PX + 200, number=n, now=now), now) == OK
        assert g.row(0)["suspect"] == (Suspect.SUSPECT_FROZEN if n >= 5 else 0)
    # It clears when the quote has moved and three trades agree with it.
    now += MS
    one(g, quote(PX + 199, PX + 201, 8, now=now), now)
    for n in range(3):
        assert not g.usable(0)
        one(g, trade(px=PX + 200, number=20 + n, now=now), now)
    assert g.actions == Action.ACTION_CLEAR
    assert g.usable(0)


def test_a_burst_of_trades_through_the_quote_is_a_sweep_and_not_suspect(impl):
    g = gate(impl)
    one(g, quote())
    for n in range(1, 30):
        one(g, trade(px=PX + 200, number=n))
    assert g.usable(0)


def test_a_quote_that_stands_still_while_the_mark_moves_is_suspect(impl):
    g = gate(impl)
    for n, px in enumerate([PX, PX, PX + 200, PX + 201]):
        now = NOW + (n + 1) * SECOND
        one(g, quote(number=n + 1, now=now), now)
        one(g, mark(px, now), now)
        assert g.row(0)["suspect"] == (Suspect.SUSPECT_FROZEN if n == 3 else 0)


def test_trades_alone_that_jump_beside_a_fresh_quote_are_suspect(impl):
    g = gate(impl)
    one(g, quote())
    for n in range(1, 6):
        status = one(g, trade(px=PX * 2, number=n))
    assert status == OK
    assert g.actions == Action.ACTION_JUMP | Action.ACTION_SUSPECT
    assert g.row(0)["suspect"] & Suspect.SUSPECT_SPLIT


def test_the_touch_of_a_book_is_the_quote_where_none_is_sent(impl):
    g = gate(impl)
    assert g.touch(0, PX - 1, PX + 1, NOW) == OK
    assert g.touch(0, PX, PX, NOW) == Status.VALIDATE_CROSSED
    assert one(g, trade(px=PX * 2)) == Status.VALIDATE_BAND
    assert g.touch(0, 2 * PX - 1, 2 * PX + 1, NOW) == OK
    assert one(g, trade(px=PX * 2)) == OK


# ---------------------------------------------------------------------------------------------- silence and the breaker
def test_a_silent_symbol_is_reported_once_and_heard_again(impl):
    g = gate(impl, symbols=2, silent_ns_max={Class.CLASS_TRADE: SECOND})
    assert len(g.due(NOW)) == 0
    one(g, trade(symbol=1, now=NOW + SECOND), NOW + SECOND)
    assert len(g.due(NOW + SECOND)) == 0
    (found,) = g.due(NOW + SECOND + 1)
    assert (int(found["symbol"]), int(found["flags"]), int(found["reason"])) == (0, 3, Status.VALIDATE_SILENT)
    assert (int(found["value"]), int(found["limit"])) == (SECOND + 1, SECOND)
    assert len(g.due(NOW + SECOND + 2)) == 0
    assert (g.usable(0), g.usable(1)) == (False, True)
    # Refused data is no sign of life.
    assert one(g, trade(px=-1, now=NOW + SECOND), NOW + SECOND) == Status.VALIDATE_BAD_PRICE
    assert not g.usable(0)
    assert one(g, trade(now=NOW + SECOND), NOW + SECOND) == OK
    assert g.actions == Action.ACTION_HEARD
    assert g.usable(0)


def test_what_has_no_room_is_reported_at_the_next_timer(impl):
    g = gate(impl, symbols=3, silent_ns_max={Class.CLASS_TRADE: 1})
    g.due(NOW)
    assert [len(g.due(NOW + 2, room)) for room in (0, 2, 2, 2)] == [0, 2, 1, 0]


def test_refusals_in_a_row_halt_the_symbol_alone_until_it_has_recovered(impl):
    g = gate(impl, symbols=2, recover_count=3)
    for _ in range(10):
        assert g.usable(0)
        one(g, trade(px=-1))
    assert g.actions == Action.ACTION_HALT
    assert (g.usable(0), g.usable(1)) == (False, True)
    later = NOW + 5 * SECOND
    assert [one(g, trade(number=n + 1, now=later - 1), later - 1) for n in range(5)] == [OK] * 5
    assert not g.usable(0)
    one(g, trade(px=-1), later)
    for n in range(3):
        assert not g.usable(0)
        one(g, trade(number=n + 10, now=later), later)
    assert g.actions == Action.ACTION_RESUME
    assert (g.usable(0), g.row(0)["halt_count"]) == (True, 1)


def test_a_share_of_refusals_halts_as_well(impl):
    g = gate(impl, window=8, window_bad=4, row_bad=0)
    for n in range(3):
        one(g, trade(number=2 * n + 1))
        one(g, trade(px=-1, number=2 * n + 2))
    assert g.usable(0)
    one(g, trade(number=9))
    one(g, trade(px=-1, number=10))
    assert not g.usable(0)


def test_what_a_second_feed_repeats_does_not_halt(impl):
    g = gate(impl)
    one(g, trade(number=5))
    for _ in range(100):
        assert one(g, trade(number=5)) == Status.VALIDATE_DUPLICATE
    assert g.usable(0)


def test_symbol_actors_one_symbol_changes_only_through_its_own_events():
    """A-24, byte for byte."""
    g = gate(core, symbols=3)
    header, size = 128, (len(g.image()) - 128) // 3
    rng = np.random.default_rng(5)
    for n in range(600):
        before = g.image()
        event = [trade, quote][n % 2](number=n + 1, symbol=1)
        if rng.random() < 0.5:
            event["word"][0][rng.integers(0, 5)] = rng.integers(-(2**62), 2**62)
        g.events(event, NOW)
        after = g.image()
        for other in (0, 2):
            span = slice(header + other * size, header + (other + 1) * size)
            assert before[span] == after[span]


@pytest.mark.parametrize(
    "limits",
    [{"px_ticks_min": 0}, {"px_ticks_max": 5}, {"px_ticks_max": 2**48 + 1}, {"window": 65}, {"window": 0},
     {"spike_k": 33}, {"confirm_prints": 1}, {"outside_ppm": 30_000}, {"stale_ns_max": {0: -1}}, {"tick_e8": 0},
     {"window_bad": 65}, {"needs_id": 256}, {"clear_count": 0}, {"band_ppm": 0}],
)  # fmt: skip
def test_impossible_limits_are_refused(impl, limits):
    g = impl.Validate(symbols=1)
    with pytest.raises(errors.DataBadConfig):
        g.configure(0, **LIMITS | limits)
    assert one(g, trade()) == Status.VALIDATE_BAD_SYMBOL


def test_an_unconfigured_symbol_is_refused_and_counted(impl):
    g = impl.Validate(symbols=2)
    g.configure(1, **LIMITS)
    assert (one(g, trade()), one(g, trade(symbol=9)), one(g, trade(symbol=1))) == (
        Status.VALIDATE_BAD_SYMBOL,
        Status.VALIDATE_BAD_SYMBOL,
        OK,
    )
    assert g.totals() == (1, 2, 2)
    with pytest.raises(errors.DataBadSymbol):
        g.row(0)


# ------------------------------------------------------------------------------------------- kernel against twin
SMALL = {
    "px_ticks_min": 2, "px_ticks_max": 400, "qty_lots_max": 5, "tick_e8": 10**6, "floor_ticks": 1, "band_ppm": 60_000,
    "spike_ppm": 20_000, "spike_k": 3, "agree_ppm": 20_000, "outside_ppm": 5_000, "far_ppm": 30_000,
    "mark_ppm": 10_000, "confirm_prints": 3, "confirm_each": 1, "suspect_trades": 2, "clear_count": 2, "window": 6,
    "window_bad": 4, "row_bad": 3, "recover_count": 2, "drift_ns_max": 3, "ref_ns_max": 60, "confirm_ns": 10,
    "frozen_ns": 4, "halt_ns": 6, "stale_ns_max": dict.fromkeys(range(8), 8), "silent_ns_max": {2: 15, 3: 9},
}  # fmt: skip
PRICES = st.one_of(st.integers(98, 104), st.sampled_from([150, 151, 152, -1, 0, 1, 400, 401, 2**63 - 1, -(2**63)]))
LOTS = st.one_of(st.integers(1, 5), st.sampled_from([0, -1, 6, 2**63 - 1]))


class Twins(RuleBasedStateMachine):
    """Two symbols; most events are good, some are not; everything a caller can see agrees after every step."""

    @initialize(needs_time=st.sampled_from([0xFF, 0]), needs_id=st.sampled_from([0x3D, 0]), k=st.booleans())
    def start(self, needs_time, needs_id, k):
        self.now, self.number = 1000, 10
        self.sides = [core.Validate(symbols=2), model.Validate(symbols=2)]
        for side in self.sides:
            side.configure(0, **SMALL | {"needs_time": needs_time, "needs_id": needs_id})
            side.configure(1, **SMALL | {"row_bad": 0 if k else 2, "confirm_each": 2, "backward_ns_max": 2})

    def feed(self, events, offset=0, age=0):
        events["ts_venue_ns"] = self.now - age
        events["ts_recv_ns"] = self.now
        got = [side.events(events, self.now).tolist() for side in self.sides]
        assert got[0] == got[1]
        assert self.sides[0].actions == self.sides[1].actions
        if any(got[0]):
            a, b = (side.refusal for side in self.sides)
            assert a.tobytes() == b.tobytes(), (a, b)

    def next(self, step):
        self.number += step
        return self.number

    @rule(px=PRICES, qty=LOTS, step=st.sampled_from([1, 1, 1, 1, 0, -1]),
          age=st.sampled_from([0, 0, 0, 1, 8, 9, -3, -4]), symbol=st.integers(0, 2), agg=st.booleans())  # fmt: skip
    def trade(self, px, qty, step, age, symbol, agg):
        kind = Kind.KIND_AGG_TRADE if agg else Kind.KIND_TRADE
        self.feed(trade(px, qty, self.next(step), kind=kind, symbol=symbol), age=age)

    @rule(px=PRICES, count=st.integers(1, 4), symbol=st.integers(0, 1))
    def trades(self, px, count, symbol):
        for _ in range(count):
            self.feed(trade(px, 1, self.next(1), symbol=symbol))

    @rule(bid=PRICES, spread=st.sampled_from([1, 2, 0, -1, 60]), qty=LOTS, symbol=st.integers(0, 1),
          notime=st.booleans(), step=st.sampled_from([1, 1, 1, 0]))  # fmt: skip
    def quote(self, bid, spread, qty, symbol, notime, step):
        flags = WHOLE | (NO_TIME if notime else 0)
        ask = min(max(bid + spread, -(2**63)), 2**63 - 1)
        self.feed(quote(bid, ask, self.next(step), qty=(qty, 1), symbol=symbol, flags=flags))

    @rule(levels=st.lists(st.tuples(st.sampled_from(["bid", "ask"]), PRICES, LOTS), min_size=1, max_size=4),
          cut=st.tuples(st.sampled_from([0, 0, 0, 1]), st.sampled_from([9, 9, 9, 1])), snapshot=st.booleans(),
          step=st.sampled_from([1, 1, 0]), symbol=st.integers(0, 1))  # fmt: skip
    def depth(self, levels, cut, snapshot, step, symbol):
        events = depth(*levels, number=self.next(step), snapshot=snapshot, symbol=symbol)[cut[0] : cut[1]]
        if len(events):
            self.feed(events)

    @rule(levels=st.integers(1, 3), symbol=st.integers(0, 1))
    def good_depth(self, levels, symbol):
        self.feed(depth(*[("bid", 100 - i, 1) for i in range(levels)], number=self.next(1), symbol=symbol))

    @rule(px=PRICES, symbol=st.integers(0, 1))
    def mark(self, px, symbol):
        e8 = min(max(px, -(2**40)), 2**40) * 10**6
        self.feed(mark(symbol=symbol, mark_px_e8=e8))

    @rule(opened=st.integers(1, 6), closed=st.booleans(), low=PRICES, part=st.sampled_from([0, 0, 1]),
          count=st.sampled_from([1, 1, -1]))  # fmt: skip
    def bar(self, opened, closed, low, part, count):
        prices = (101, 102, low, 100)
        self.feed(bar(opened, closed=closed, prices=prices, totals={"trade_count": count})[part:])

    @rule(bid=PRICES, spread=st.integers(0, 3), symbol=st.integers(0, 1))
    def touch(self, bid, spread, symbol):
        ask = min(bid + spread, 2**63 - 1)
        assert len({side.touch(symbol, bid, ask, self.now) for side in self.sides}) == 1

    @rule(kind=st.integers(0, 255), symbol=st.integers(0, 3))
    def anything(self, kind, symbol):
        self.feed(record(EVENT, kind, symbol=symbol))

    @rule(step=st.sampled_from([1, 1, 2, 5, 20, 70]))
    def wait(self, step):
        self.now += step

    @rule(room=st.integers(0, 3))
    def due(self, room):
        a, b = (side.due(self.now, room) for side in self.sides)
        assert a.tobytes() == b.tobytes()

    @rule(symbol=st.integers(0, 1), keep=st.booleans())
    def reset(self, symbol, keep):
        for side in self.sides:
            side.reset(symbol, keep_reference=keep)

    @rule(symbol=st.integers(0, 1), offset=st.integers(-3, 3))
    def clock(self, symbol, offset):
        for side in self.sides:
            side.clock(symbol, offset)

    @invariant()
    def both_agree(self):
        if not hasattr(self, "sides"):
            return
        ours, twin = self.sides
        ours.check()
        twin.check()
        assert ours.totals() == twin.totals()
        for symbol in (0, 1):
            assert ours.row(symbol) == twin.row(symbol)
            assert ours.counts(symbol) == twin.counts(symbol)
            assert ours.usable(symbol) == twin.usable(symbol)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)

"""Back-off, clock distance, book procedure and merge: everything of the net that needs no socket."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.book import Rule
from engine._core.types import LEVEL, QUOTE, TRADE, Flag, Kind
from engine.net.backoff import SECOND, Backoff, BackoffConfig, draw
from engine.net.clocksync import MS, ClockLimits, ClockSync
from engine.venues.booksync import BookSync, SyncState
from engine.venues.merge import Merge


# ---------------------------------------------------------------------------------------------------------- back-off
def test_the_first_attempt_goes_at_once_and_pauses_grow_to_their_bound():
    backoff, now, pauses = Backoff(3), 0, []
    for _ in range(12):
        pause = backoff.pause_ns(now)
        pauses.append(pause)
        now += pause
        backoff.trying(now)
        backoff.failed(now)
    assert pauses[0] == 0
    for n, pause in enumerate(pauses[1:]):
        step = min(SECOND // 4 << n, 30 * SECOND)
        assert step // 2 <= pause <= step


def test_five_failures_in_a_row_still_fit_into_five_seconds():
    # The bound of "reconnected within five seconds" for a peer that answers at the fifth attempt.
    for seed in range(50):
        backoff, now = Backoff(seed), 0
        for _ in range(5):
            now += backoff.pause_ns(now)
            backoff.trying(now)
            backoff.failed(now)
        assert now < 5 * SECOND


def test_a_connection_that_lived_starts_anew_and_one_that_died_young_does_not():
    backoff = Backoff(1)
    for _ in range(4):
        backoff.trying(0)
        backoff.failed(0)
    backoff.opened(0)
    backoff.failed(SECOND)
    assert backoff.pause_ns(SECOND) > SECOND
    backoff.opened(2 * SECOND)
    backoff.failed(100 * SECOND)
    assert backoff.pause_ns(100 * SECOND) == 0


@given(seed=st.integers(0, 2**32), lives=st.lists(st.integers(0, 100 * SECOND), max_size=80))
def test_attempts_never_pass_their_budget(seed, lives):
    config = BackoffConfig(attempts=5, span_ns=60 * SECOND)
    backoff, now, tries = Backoff(seed, config), 0, []
    for life in lives:
        now += backoff.pause_ns(now)
        backoff.trying(now)
        tries.append(now)
        backoff.opened(now)
        now += life
        backoff.failed(now)
    assert all(sum(t - 60 * SECOND < s <= t for s in tries) <= 5 for t in tries)


def test_jitter_repeats_with_its_seed_and_fills_its_range():
    values = [draw(9, n) for n in range(4000)]
    assert values == [draw(9, n) for n in range(4000)]
    assert 0 <= min(values) < 0.01
    assert 0.99 < max(values) < 1
    assert 0.48 < sum(values) / len(values) < 0.52
    with pytest.raises(ValueError, match="first_ns"):
        BackoffConfig(first_ns=0)


# ------------------------------------------------------------------------------------------------------------- clock
T = 1_700_000_000 * SECOND


@given(
    offset=st.integers(-2 * SECOND, 2 * SECOND),
    trips=st.lists(st.tuples(st.integers(1, 300 * MS), st.floats(0, 1)), min_size=1, max_size=16),
)
def test_the_true_distance_lies_inside_the_stated_one(offset, trips):
    sync, now = ClockSync(), T
    for trip, share in trips:
        truth = now + int(trip * share) + offset
        assert sync.sample(now, truth // MS * MS, now + trip)
        now += trip
    best = sync.best(now)
    assert abs(best.offset_ns - offset) <= best.uncertainty_ns + 1


def test_nothing_is_signed_without_a_fresh_sample():
    sync = ClockSync()
    assert "measured" in sync.why_not_sign(T)
    sync.sample(T, T + 5 * MS, T + 10 * MS)
    assert sync.why_not_sign(T + 10 * MS) == ""
    assert "measured" in sync.why_not_sign(T + 200 * SECOND)
    sync.clear()
    assert "measured" in sync.why_not_sign(T + 10 * MS)


def test_signing_stops_when_the_clock_is_off_or_the_distance_unknown():
    sync = ClockSync()
    sync.sample(T, T + 900 * MS, T + 2 * MS)
    assert "off the venue's" in sync.why_not_sign(T + 3 * MS)
    vague = ClockSync()
    vague.sample(T, T + 500 * MS, T + SECOND)
    assert "known to" in vague.why_not_sign(T + SECOND)


def test_a_signed_request_carries_the_venues_time():
    sync = ClockSync(ClockLimits(offset_ns=SECOND))
    assert sync.venue_now_ns(T) == T
    sync.sample(T, T + 301 * MS, T + 2 * MS)
    assert abs(sync.venue_now_ns(T + 2 * MS) - (T + 302 * MS)) <= MS


def test_answers_whose_times_contradict_each_other_are_refused():
    sync = ClockSync()
    assert not sync.sample(T, T, T - 1)
    assert not sync.sample(T, T, T + 11 * SECOND)
    assert not sync.sample(T, 0, T)
    assert sync.refused_count == 3


# ---------------------------------------------------------------------------------------------------- book procedure
def _levels(first, last, prev=-1, snapshot=False):
    events = np.zeros(2, LEVEL)
    events["kind"] = Kind.KIND_BOOK_LEVEL
    events["flags"] = [Flag.FLAG_FIRST, Flag.FLAG_LAST]
    if snapshot:
        events["flags"] += int(Flag.FLAG_SNAPSHOT)
    events["id_first"], events["id_last"], events["id_prev"] = first, last, prev
    return events.view(events.dtype)


def _ids(released):
    return [(int(e["id_first"][0]), int(e["id_last"][0])) for e in released]


def _image(number):
    return _levels(number, number, snapshot=True)


def test_changes_are_held_until_the_image_and_then_let_go_in_order():
    sync = BookSync(Rule.RULE_SPOT)
    assert not sync.wants_image
    for first, last in ((157, 160), (161, 165), (166, 170)):
        assert sync.on_changes(_levels(first, last)) == []
    assert sync.wants_image
    assert _ids(sync.on_image(_image(162))) == [(162, 162), (161, 165), (166, 170)]
    assert sync.state is SyncState.LIVE
    assert _ids(sync.on_changes(_levels(171, 171))) == [(171, 171)]


def test_an_image_older_than_the_buffer_is_asked_for_again():
    sync = BookSync(Rule.RULE_SPOT)
    sync.on_changes(_levels(157, 160))
    assert sync.on_image(_image(155)) == []
    assert sync.wants_image
    assert _ids(sync.on_image(_image(156))) == [(156, 156), (157, 160)]
    assert sync.refused_image_count == 1


def test_a_gap_stops_everything_until_the_next_image():
    sync = BookSync(Rule.RULE_SPOT)
    sync.on_changes(_levels(1, 5))
    sync.on_image(_image(5))
    assert sync.on_changes(_levels(8, 9)) == []
    assert sync.wants_image
    assert sync.gap_count == 1
    assert _ids(sync.on_image(_image(8))) == [(8, 8), (8, 9)]


def test_an_old_change_is_dropped_and_is_no_gap():
    sync = BookSync(Rule.RULE_SPOT)
    sync.on_changes(_levels(1, 5))
    sync.on_image(_image(10))
    assert sync.on_changes(_levels(6, 9)) == []
    assert sync.state is SyncState.LIVE
    assert sync.stale_count == 1


def test_the_linked_rule_compares_with_the_image_itself_and_then_with_pu():
    sync = BookSync(Rule.RULE_LINKED)
    sync.on_changes(_levels(150, 155, 149))
    sync.on_changes(_levels(156, 162, 155))
    assert _ids(sync.on_image(_image(160))) == [(160, 160), (156, 162)]
    assert _ids(sync.on_changes(_levels(170, 175, 162))) == [(170, 175)]
    assert sync.on_changes(_levels(180, 181, 176)) == []
    assert sync.wants_image


def test_an_image_that_falls_between_two_linked_changes_fits_neither_and_another_is_asked_for():
    sync = BookSync(Rule.RULE_LINKED)
    sync.on_changes(_levels(150, 155, 149))
    sync.on_changes(_levels(158, 162, 155))
    sync.on_changes(_levels(163, 170, 162))
    sync.on_image(_image(156))
    assert sync.wants_image
    assert sync.gap_count == 1
    # What followed is still held: an image within it lets it go.
    assert _ids(sync.on_image(_image(160))) == [(160, 160), (158, 162), (163, 170)]
    assert sync.state is SyncState.LIVE


def test_a_hole_in_the_buffer_forgets_what_stands_before_it():
    sync = BookSync(Rule.RULE_SPOT)
    sync.on_changes(_levels(1, 5))
    sync.on_changes(_levels(9, 12))
    assert sync.on_image(_image(5)) == []
    assert _ids(sync.on_image(_image(9))) == [(9, 9), (9, 12)]


def test_a_lost_connection_starts_over():
    sync = BookSync(Rule.RULE_SPOT)
    sync.on_changes(_levels(1, 5))
    sync.on_image(_image(5))
    sync.lost()
    assert sync.state is SyncState.WAITING
    assert sync.on_changes(_levels(20, 22)) == []
    with pytest.raises(ValueError, match="stream"):
        BookSync(Rule.RULE_CHECKSUM)


@given(data=st.data(), rule=st.sampled_from([Rule.RULE_SPOT, Rule.RULE_LINKED]))
def test_what_is_released_is_always_an_image_and_all_that_follows_it(data, rule):
    """Changes with losses and repeats, images of any age: no hole ever reaches the book."""
    sync, at, end, history = BookSync(rule), 100, None, []
    for _ in range(data.draw(st.integers(1, 40))):
        what = data.draw(st.sampled_from(["change", "change", "change", "lose", "repeat", "image"]))
        released = []
        if what in ("change", "lose"):
            size = data.draw(st.integers(1, 4))
            change = (at + 1, at + size, at)
            at += size
            history.append(change)
            if what == "change":
                released = sync.on_changes(_levels(*change))
        elif what == "repeat" and history:
            released = sync.on_changes(_levels(*data.draw(st.sampled_from(history[-5:]))))
        elif what == "image" and sync.wants_image:
            released = sync.on_image(_image(data.draw(st.integers(max(1, at - 10), at))))
        for events in released:
            first, last = _ids([events])[0]
            if events["flags"][0] & Flag.FLAG_SNAPSHOT:
                end = last
            else:
                assert end is not None
                assert first <= end + 1 <= last + 1
                end = max(end, last)


# ------------------------------------------------------------------------------------------------------------- merge
def _trades(*ids, symbol=0):
    events = np.zeros(len(ids), TRADE)
    events["kind"], events["symbol"], events["id_trade"] = Kind.KIND_TRADE, symbol, ids
    return events


def test_two_connections_give_every_trade_once():
    merge, seen = Merge(), []
    one, two = [_trades(n) for n in range(100)], [_trades(n) for n in range(100)]
    rng = np.random.default_rng(5)
    while one or two:
        source = one if (one and (not two or rng.integers(2))) else two
        seen += [int(x) for x in merge.pass_on(source.pop(0))["id_trade"]]
    assert seen == list(range(100))
    assert (merge.passed_count, merge.dropped_count) == (100, 100)


def test_symbols_and_kinds_have_numbers_of_their_own():
    merge = Merge()
    quote = np.zeros(1, QUOTE)
    quote["kind"], quote["id_book"] = Kind.KIND_QUOTE, 5
    assert len(merge.pass_on(_trades(9)))
    assert len(merge.pass_on(quote))
    assert len(merge.pass_on(_trades(1, symbol=1)))
    assert not len(merge.pass_on(quote))
    assert not len(merge.pass_on(_trades(9, 8)))
    assert len(merge.pass_on(_trades(9, 10))) == 1


def test_an_image_always_passes_because_it_repairs():
    merge = Merge()
    assert len(merge.pass_on(_levels(5, 9)))
    assert not len(merge.pass_on(_levels(5, 9)))
    assert len(merge.pass_on(_image(7)))

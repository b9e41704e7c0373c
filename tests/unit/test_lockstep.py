"""The inner loop of a backtest by itself: what it refuses, where it stops, and which market plays an event."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core.match import Match
from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import EVENT, QUOTE, Kind
from engine._core.world import World
from engine.errors import Bot4Error, UnknownSymbol
from engine.research.lockstep import TIMER_NS, Lockstep, Route, Stop
from engine.sim.venue.recorded import Recorded

SECOND = 10 * TIMER_NS
START, NEVER = 1_000 * TIMER_NS, 1 << 62


def book():
    return Match(px_max=2_000, qty_max=1_000, orders_max=64, lists_max=4)


def quotes(*rows):
    """(moment, symbol, bid) each; the ask stands two ticks above."""
    events = np.zeros(len(rows), QUOTE)
    for event, (at, symbol, bid) in zip(events, rows, strict=True):
        event["kind"], event["ts_recv_ns"], event["symbol"] = Kind.KIND_QUOTE, at, symbol
        event["bid_px_ticks"], event["ask_px_ticks"] = bid, bid + 2
        event["bid_qty_lots"] = event["ask_qty_lots"] = 5
    return events.view(EVENT)


def routes(events, *bits):
    return np.array(bits or [Route.ROUTE_VENUE | Route.ROUTE_CORE] * len(events), np.uint8)


@pytest.fixture
def loop(tmp_path):
    made = []

    def make(*, markets=1, capacity=4096):
        books = [book() for _ in range(markets)]
        tape = Tape(tmp_path / f"{len(made)}.b4", capacity=capacity, write=True)
        lockstep = Lockstep(Core(World(symbols=8, strategies=1)), tape, *[Recorded(each) for each in books])
        lockstep.begin(START, START + 60_000_000_000, TIMER_NS)
        made.append(tape)
        return lockstep, tape, books

    yield make
    for tape in made:
        tape.close()


def play_out(lockstep, events, route):
    """To the end of the events, over every sample on the way."""
    at, stops = 0, 0
    while not stops & Stop.STOP_END:
        at, why = lockstep.play(events, route, at, NEVER, 0)
        stops |= why
    return at, stops


def test_each_event_needs_a_route(loop):
    lockstep, tape, _ = loop()
    with pytest.raises(ValueError, match="1 routes for 2 events"):
        lockstep.play(quotes((START, 0, 100), (START, 0, 101)), np.zeros(1, np.uint8), 0, NEVER, 0)
    assert tape.count == 0


def test_every_symbol_is_played_by_its_own_market(loop):
    lockstep, _, books = loop(markets=4)
    events = quotes(*[(START + n, n, 100 + 10 * n) for n in range(4)])
    assert lockstep.markets == 4
    assert play_out(lockstep, events, routes(events))[0] == 4
    assert [(each.best_bid, each.best_ask) for each in books] == [(100, 102), (110, 112), (120, 122), (130, 132)]


@pytest.mark.parametrize("markets", [1, 2, 3, 4])
def test_an_event_of_a_symbol_without_a_market_is_refused_and_met_by_none(loop, markets):
    lockstep, tape, books = loop(markets=markets)
    events = quotes((START, markets, 100))
    with pytest.raises(UnknownSymbol):
        play_out(lockstep, events, routes(events))
    assert all(each.best_bid == 0 for each in books)
    assert not (tape.records()["kind"] == Kind.KIND_QUOTE).any()


def test_what_the_tape_has_no_room_for_ends_the_run(loop):
    lockstep, tape, _ = loop(capacity=16)
    events = quotes(*[(START + n, 0, 100 + n % 2) for n in range(200)])
    with pytest.raises(Bot4Error, match="b4"):
        play_out(lockstep, events, routes(events))
    shown, tape, _ = loop(capacity=16)
    with pytest.raises(Bot4Error, match="b4"):
        shown.show(events)
    assert tape.count <= 16


def test_nothing_is_shown_of_nothing(loop):
    lockstep, tape, _ = loop()
    assert lockstep.show(quotes()) == 0
    assert lockstep.play(quotes(), np.zeros(0, np.uint8), 0, NEVER, 0) == (0, Stop.STOP_END)
    assert tape.count == 0


def test_where_a_path_is_chosen_it_stops_and_the_other_paths_events_are_passed_over(loop):
    lockstep, _, (market,) = loop()
    both = Route.ROUTE_VENUE | Route.ROUTE_CORE
    events = quotes(*[(START, 0, bid) for bid in (100, 90, 110)])
    route = routes(events, Route.ROUTE_FORK, both | Route.ROUTE_LOW_FIRST, both | Route.ROUTE_HIGH_FIRST)
    at, why = 0, 0
    while not why & Stop.STOP_FORK:
        at, why = lockstep.play(events, route, at, NEVER, 0)
    assert at == 1
    while not why & Stop.STOP_END:
        at, why = lockstep.play(events, route, at, NEVER, Route.ROUTE_HIGH_FIRST)
    assert (market.best_bid, market.best_ask) == (110, 112)


def test_what_is_due_comes_before_the_event_of_the_same_moment(loop):
    lockstep, _, (market,) = loop()
    events = quotes((START, 0, 100))
    assert lockstep.play(events, routes(events), 0, START, 0) == (0, Stop.STOP_DUE)
    assert market.best_bid == 0


def test_the_venues_accounts_are_marked_where_the_route_says_so(loop):
    lockstep, _, _ = loop()
    events = quotes((START, 0, 100))
    _, stops = play_out(lockstep, events, routes(events, Route.ROUTE_VENUE | Route.ROUTE_MARK))
    assert stops & Stop.STOP_MARK


def timers(tape):
    records = tape.records()
    return records["ts_recv_ns"][records["kind"] == Kind.KIND_TIMER]


def test_a_long_silence_has_its_first_second_of_timers_and_one_at_its_end(loop):
    lockstep, tape, _ = loop()
    end = START + 45 * SECOND + TIMER_NS // 2
    events = quotes((START, 0, 100), (end, 0, 101))
    play_out(lockstep, events, routes(events))
    came = timers(tape)
    # Without the leap there would be 451 of them.
    assert came[:-1].tolist() == [START + n * TIMER_NS for n in range(11)]
    assert came[-1] == end - TIMER_NS // 2
    assert tape.records()["ts_recv_ns"][-1] == end


def test_no_timer_is_for_a_moment_that_the_venue_was_played_past(loop):
    lockstep, tape, (market,) = loop()
    both, venue = Route.ROUTE_VENUE | Route.ROUTE_CORE, Route.ROUTE_VENUE
    alone = START + 30 * SECOND + TIMER_NS // 4
    events = quotes((START, 0, 100), (alone, 0, 105), (alone + 1, 0, 106), (alone + SECOND, 0, 107))
    play_out(lockstep, events, routes(events, both, venue, both, both))
    came = timers(tape)
    assert not ((came > START + SECOND + TIMER_NS) & (came < alone)).any()
    # Whole timers again from there on: the silence moved none of them off its place.
    assert came[came > alone].tolist() == [START + 30 * SECOND + n * TIMER_NS for n in range(1, 11)]
    assert np.all(np.diff(tape.records()["ts_recv_ns"]) >= 0)
    assert market.best_bid == 107

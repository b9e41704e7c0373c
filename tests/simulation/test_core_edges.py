"""The step's door and the driver's inner loop: what is no event is refused and counted, a full tape stops all."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core import types
from engine._core.histogram import Histogram
from engine._core.limits import Limit
from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import EVENT, Kind, Status
from engine._core.world import World
from engine.errors import Bot4Error, JournalFull, UnknownSymbol, WorldError
from engine.runtime.drive import pump
from tests.support.desks import Desk, event

SYMBOL_ALL = 0xFFFF


def timers(count):
    rows = np.zeros(count, EVENT)
    rows["kind"], rows["ts_recv_ns"] = Kind.KIND_TIMER, 1 + np.arange(count)
    return rows


@pytest.fixture
def desk():
    one = Desk()
    yield one
    one.close()


# ----------------------------------------------------------------------------------------------------------- the door
def test_an_event_of_no_symbol_is_refused_before_it_is_counted(desk):
    before = desk.world.event_count
    desk.step(event(Kind.KIND_TIMER, EVENT, 1, symbol=1))
    assert (desk.status, desk.world.event_count) == (Status.WORLD_UNKNOWN_SYMBOL, before)
    assert desk.world.counts["refused"] == 1


def test_a_connection_is_that_of_every_symbol_and_nothing_else_is(desk):
    feed = event(Kind.KIND_FEED, types.FEED, 1, symbol=SYMBOL_ALL, feed=types.Feed.FEED_MARKET, venue=0, up=1)
    desk.step(feed)
    assert desk.status == Status.OK
    desk.step(event(Kind.KIND_TIMER, EVENT, 2, symbol=SYMBOL_ALL))
    assert desk.status == Status.WORLD_UNKNOWN_SYMBOL


@pytest.mark.parametrize("kind", [0, 63, Kind.KIND_INTENT_PLACE, 255])
def test_a_kind_that_is_no_input_is_refused_and_changes_nothing_else(desk, kind):
    desk.step(event(Kind.KIND_TIMER, EVENT, 1))
    desk.step(event(kind, EVENT, 2))
    assert desk.status != Status.OK
    assert desk.world.counts["refused"] == 1


def test_a_limit_is_tightened_by_an_event_and_never_loosened(desk):
    def limit(which, value):
        row = event(Kind.KIND_LIMIT, EVENT, 1)
        row["word"][0, 0], row["word"][0, 1] = which, value
        desk.step(row)
        return desk.status

    assert limit(Limit.LIMIT_DRAWDOWN_PPM, 1000) == Status.OK
    assert limit(Limit.LIMIT_DRAWDOWN_PPM, 1001) != Status.OK
    for which in (-1, len(Limit), 1 << 40):
        assert limit(which, 1) == Status.WORLD_BAD_EVENT


def test_a_core_takes_whole_records_and_strategies_that_it_has():
    core = Core(World(symbols=1, strategies=1))
    for size in (0, 63, 65, 128):
        with pytest.raises(WorldError, match=f"{size} bytes"):
            core.step(np.zeros(size, np.uint8))
    with pytest.raises(UnknownSymbol, match="strategy 1"):
        core.bind(1, 0)
    core.bind_features(0)
    assert len(core.outputs()) == 0


# ----------------------------------------------------------------------------------------------------- the inner loop
def driven(desk, tape, events):
    return pump(desk.core, tape, events, Histogram(), Histogram())


def test_nothing_to_do_takes_nothing(desk, tmp_path):
    with Tape(tmp_path / "a", capacity=8, write=True) as tape:
        assert driven(desk, tape, np.zeros(0, EVENT)) == 0
        assert driven(desk, tape, timers(3)) == 3
        assert tape.count == desk.world.event_count == 3


def test_an_event_that_cannot_be_recorded_is_not_stepped(desk, tmp_path):
    with Tape(tmp_path / "a", capacity=2, write=True) as tape:
        with pytest.raises(JournalFull):
            driven(desk, tape, timers(3))
        assert tape.count == desk.world.event_count == 2


def test_outputs_that_cannot_be_recorded_are_not_handed_out(desk, tmp_path):
    # A refused quote leaves a record: the tape has room for the quote alone.
    crossed = event(Kind.KIND_QUOTE, types.QUOTE, 1, bid_px_ticks=5, bid_qty_lots=1, ask_px_ticks=5, ask_qty_lots=1)
    with Tape(tmp_path / "a", capacity=1, write=True) as tape, pytest.raises(JournalFull):
        driven(desk, tape, crossed)
    with Tape(tmp_path / "b", capacity=2, write=True) as tape:
        assert driven(desk, tape, crossed) == 1
        assert tape.records()["kind"].tolist() == [Kind.KIND_QUOTE, Kind.KIND_REFUSAL]
    with pytest.raises(Bot4Error):
        driven(desk, tape, timers(1))  # closed

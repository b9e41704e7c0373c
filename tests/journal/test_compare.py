"""The comparer and its tools at their edges: what is not there is refused, and the first difference ends all."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core import types
from engine._core.tape import Tape
from engine._core.types import EVENT, Kind, Status
from engine.errors import Bot4Error, JournalFull, WorldError
from engine.journal.compare import EQUAL, EXTRA, MISSING, OTHER, Comparer, adopt, epoch_of, feed, glance, set_epoch
from tests.support.desks import Desk, event

PER_BLOCK = 59


@pytest.fixture
def desk():
    one = Desk()
    yield one
    one.close()


def quote(now, bid=50_000):
    return event(Kind.KIND_QUOTE, types.QUOTE, now, bid_px_ticks=bid, bid_qty_lots=5, ask_px_ticks=bid + 1,
                 ask_qty_lots=5, id_book=now)  # fmt: skip


def crossed(now):
    """Refused, which leaves one record."""
    return event(Kind.KIND_QUOTE, types.QUOTE, now, bid_px_ticks=5, bid_qty_lots=1, ask_px_ticks=5, ask_qty_lots=1)


def image(*records):
    """A segment of one block: its head, then a block of records."""
    whole = np.zeros(2 * 4096, np.uint8)
    rows = np.concatenate(records)
    # A block's records stand behind its own head, at its end.
    at = 4096 + 4096 - PER_BLOCK * 64
    whole[at : at + rows.nbytes] = rows.view(np.uint8)
    return whole, len(rows)


def recorded(*events):
    """What a core makes of the events, as a tape holds it."""
    desk, out = Desk(), []
    for one in events:
        made = desk.step(one)
        out += [one, made.copy()]
    desk.close()
    return out


def test_what_was_recorded_is_met_again(desk):
    whole, count = image(*recorded(quote(1), crossed(2), quote(3)))
    comparer = Comparer(desk.core)
    assert comparer.run(whole, 0, count) == count
    assert (comparer.difference, comparer.inputs, comparer.outputs, len(comparer.pending)) == (EQUAL, 3, 1, 0)


def test_more_records_than_the_image_has_are_refused(desk):
    whole, _ = image(quote(1))
    with pytest.raises(WorldError, match=r"records 0 to 60 of 8192 bytes"):
        Comparer(desk.core).run(whole, 0, PER_BLOCK + 1)
    assert desk.world.event_count == 0


@pytest.mark.parametrize("what", ["other", "extra", "missing"])
def test_the_first_difference_ends_it_and_nothing_after_it_is_stepped(desk, what):
    parts = recorded(quote(1), crossed(2), quote(3))
    if what == "other":
        parts[3]["word"][0, 0] += 1
    elif what == "extra":
        parts.insert(4, parts[3].copy())
    else:
        parts[3] = parts[3][:0]
    whole, count = image(*parts)
    comparer = Comparer(desk.core)
    taken = comparer.run(whole, 0, count)
    assert comparer.difference == {"other": OTHER, "extra": EXTRA, "missing": MISSING}[what]
    assert (taken < count, desk.world.event_count) == (True, 2)
    assert comparer.run(whole, taken, count - taken) == 0
    assert desk.world.event_count == 2


def test_outputs_that_the_record_never_shows_are_pending(desk):
    whole, _ = image(*recorded(crossed(1)))
    comparer = Comparer(desk.core)
    comparer.run(whole, 0, 1)
    assert comparer.pending["kind"].tolist() == [Kind.KIND_REFUSAL]


def test_a_tape_without_room_for_an_event_or_for_its_outputs_ends_the_feed(desk, tmp_path):
    with Tape(tmp_path / "a", capacity=1, write=True) as tape:
        with pytest.raises(JournalFull):
            feed(desk.core, tape, np.concatenate([quote(1), quote(2)]))
        assert tape.count == desk.world.event_count == 1
    with Tape(tmp_path / "b", capacity=1, write=True) as tape, pytest.raises(JournalFull):
        feed(desk.core, tape, crossed(3))
    with pytest.raises(Bot4Error):
        feed(desk.core, tape, quote(4))  # closed
    assert feed(desk.core, tape, np.zeros(0, EVENT)) == 0


def test_a_symbol_that_is_not_there_has_no_glance(desk):
    assert glance(desk.world, 0) == (0, 0, 0, 0)
    with pytest.raises(WorldError, match="symbol 1 of 1"):
        glance(desk.world, 1)


def test_an_epoch_only_rises(desk):
    first = epoch_of(desk.world)
    set_epoch(desk.world, first + 1)
    for epoch in (first + 1, first, 1 << 22):
        with pytest.raises(WorldError, match=f"epoch {epoch} after {first + 1}"):
            set_epoch(desk.world, epoch)
    assert epoch_of(desk.world) == first + 1


def test_an_order_found_at_the_venue_is_adopted_once_and_an_impossible_one_never(desk):
    terms = {"symbol": 0, "sell": False, "px_ticks": 49_000, "filled_lots": 1, "id_venue": 9, "strategy": 0, "tag": 0,
             "now_ns": 1}  # fmt: skip
    assert adopt(desk.world, id_order=77, qty_lots=4, **terms)
    assert not adopt(desk.world, id_order=77, qty_lots=4, **terms)
    with pytest.raises(Bot4Error) as refused:
        adopt(desk.world, id_order=78, qty_lots=0, **terms)
    assert refused.value.status != Status.OK
    assert desk.world.live_orders()["id_order"].tolist() == [77]
    desk.world.check()

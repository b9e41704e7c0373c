"""The compiled book and its twin: the rules one by one, then both against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import book as core
from engine._core.book import Quotes, Rule, Trust
from engine._core.types import EVENT, Kind, Status
from engine.errors import (
    BadLayout,
    BadSize,
    BookBadPrice,
    BookBadQuantity,
    BookEmptySide,
    BookFull,
    BookOutside,
    BookTooThin,
    BookUntrusted,
)
from engine.model import book as model
from tests.support.books import clear, message, quote, random_stream

STEM = "book"
BID, ASK = 0, 1
LIVE, SUSPECT, REBUILDING, NONE = Trust.TRUST_LIVE, Trust.TRUST_SUSPECT, Trust.TRUST_REBUILDING, Trust.TRUST_NONE
IMAGE = [("bid", 100, 5), ("bid", 99, 7), ("ask", 102, 3), ("ask", 103, 9)]


def statuses(book, *events):
    return [int(status) for part in events for status in book.apply(part)]


def whole_book(book):
    return [tuple(map(tuple, book.levels(side).tolist())) for side in (BID, ASK)]


def live(impl, *, number=10, **config):
    book = impl.Book(**{"ticks": 8, "rule": Rule.RULE_SPOT, **config})
    assert set(statuses(book, message(IMAGE, last=number, snapshot=True, ts_ns=1))) == {Status.OK}
    return book


# ------------------------------------------------------------------------------------------------------- levels
def test_clearing_the_touch_exposes_the_next_level(impl):
    book = impl.Book(ticks=8)
    book.set_bid(3, 5)
    book.set_bid(6, 1)
    book.set_bid(6, 0)
    book.check()
    assert (book.best_bid_ticks, book.best_bid_lots) == (3, 5)


def test_an_empty_side_has_price_and_quantity_zero(impl):
    book = impl.Book(ticks=8)
    book.set_ask(5, 1)
    book.set_ask(5, 0)
    book.check()
    assert book.top() == (0, 0, 0, 0, -1, 0, NONE, Status.OK)
    assert (book.mid_half_ticks, book.micro_price) == (0, 0.0)


def test_deleting_an_unknown_level_changes_nothing(impl):
    book = impl.Book(ticks=8)
    for px in (1, 50, 100_000):
        book.set_bid(px, 0)
    book.set_bid(40, 2)
    for px in (1, 39, 41, 100_000):
        book.set_bid(px, 0)
    book.check()
    assert whole_book(book) == [((40, 2),), ()]


@pytest.mark.parametrize("ticks", [8, 16, 64, 128, 4096])
def test_levels_that_leave_the_window_come_back_with_it(impl, ticks):
    book = impl.Book(ticks=ticks)
    for px in range(1000, 1000 + 3 * ticks, 5):
        book.set_bid(px, px)
        book.set_ask(100_000 - px, px)
        book.check()
    expected = [(px, px) for px in reversed(range(1000, 1000 + 3 * ticks, 5))]
    assert whole_book(book)[BID] == tuple(expected)
    while expected:
        book.set_bid(expected.pop(0)[0], 0)
        book.check()
        assert book.top()[:2] == (expected[0] if expected else (0, 0))
    assert book.level_count(ASK) == len(range(1000, 1000 + 3 * ticks, 5))


def test_a_far_jump_and_back_loses_nothing(impl):
    book = impl.Book(ticks=8)
    for px in (10, 11, 12, 1 << 39, 13):
        book.set_bid(px, px)
        book.check()
    assert whole_book(book)[BID] == tuple((px, px) for px in (1 << 39, 13, 12, 11, 10))
    book.set_bid(1 << 39, 0)
    book.check()
    assert book.best_bid_ticks == 13


def test_a_full_side_drops_its_worst_level_and_remembers_where(impl):
    book = impl.Book(ticks=8, levels_max=3)
    for px in (50, 20, 40):
        book.set_bid(px, 1)
    with pytest.raises(BookFull):
        book.set_bid(30, 1)
    with pytest.raises(BookFull):
        book.set_bid(10, 1)
    book.check()
    assert (whole_book(book)[BID], book.horizon_ticks(BID)) == (((50, 1), (40, 1), (30, 1)), 20)
    book.set_bid(50, 0)
    with pytest.raises(BookFull):
        book.set_bid(20, 9)
    assert book.counts()["full_count"] == 3
    with pytest.raises(BookOutside):
        book.depth_to(BID, 20)
    assert book.depth_to(BID, 21) == 2


def test_a_side_that_thins_out_to_its_horizon_loses_trust(impl):
    book = live(impl, levels_max=2)
    statuses(book, message([("bid", 98, 1)], first=11, last=11))
    assert (book.trust, book.horizon_ticks(BID)) == (LIVE, 98)
    assert statuses(book, message([("bid", 100, 0), ("bid", 99, 0)], first=12, last=12))[-1] == Status.BOOK_OUTSIDE
    assert book.trust == REBUILDING


@pytest.mark.parametrize("px", [0, -1, -(2**63), 2**63 - 1, (1 << 40) + 1])
def test_an_impossible_price_is_refused_and_changes_nothing(impl, px):
    book = impl.Book(ticks=8)
    book.set_bid(5, 5)
    with pytest.raises(BookBadPrice):
        book.set_bid(px, 1)
    assert (whole_book(book), book.counts()["refused_count"]) == ([((5, 5),), ()], 1)


@pytest.mark.parametrize("qty", [-1, -(2**63), 2**63 - 1, (1 << 42) + 1])
def test_an_impossible_quantity_is_refused_and_changes_nothing(impl, qty):
    book = impl.Book(ticks=8)
    book.set_ask(5, 5)
    with pytest.raises(BookBadQuantity):
        book.set_ask(5, qty)
    assert whole_book(book) == [(), ((5, 5),)]


def test_the_largest_price_and_quantity_are_possible(impl):
    book = impl.Book(ticks=8, px_ticks_max=1 << 60, levels_max=2, qty_lots_max=1 << 61)
    book.set_bid(1 << 60, 1 << 61)
    book.set_bid((1 << 60) - 1, 1 << 61)
    book.set_ask(1, 1 << 61)
    book.check()
    assert book.total_lots(BID) == 1 << 62
    assert book.cost(BID, 1 << 62) == ((1 << 60) - 1, (1 << 61) * ((1 << 61) - 1))
    assert book.imbalance(5) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "config",
    [{"ticks": 4}, {"ticks": 12}, {"ticks": 8192}, {"levels_max": 0}, {"rule": 6}, {"quotes": 3}, {"crossed_trust": 1}]
    + [
        {"levels_max": 4, "depth": 3},
        {"px_ticks_max": 0},
        {"qty_lots_max": 1 << 60},
        {"px_unit": 1 << 40},
        {"qty_unit": 0},
    ],
)
def test_an_impossible_configuration_is_refused(impl, config):
    with pytest.raises(BadSize):
        impl.Book(**config)


# ------------------------------------------------------------------------------------------------------ queries
def test_the_mid_is_exact_in_half_ticks_and_the_micro_price_leans_to_the_thin_side(impl):
    book = live(impl)
    assert book.mid_half_ticks == 202
    assert book.micro_price == (100 * 3.0 + 102 * 5.0) / 8


def test_depth_cost_and_imbalance(impl):
    book = live(impl)
    assert [book.depth_to(BID, px) for px in (101, 100, 99, 1)] == [0, 5, 12, 12]
    assert [book.depth_to(ASK, px) for px in (101, 102, 103, 999)] == [0, 3, 12, 12]
    assert book.cost(ASK, 3) == (102, 306)
    assert book.cost(ASK, 4) == (103, 409)
    assert book.cost(BID, 12) == (99, 1193)
    assert book.imbalance(1) == 2 / 8
    assert book.imbalance(9) == 0.0


def test_a_size_that_is_not_there_has_no_price(impl):
    book = live(impl)
    with pytest.raises(BookTooThin):
        book.cost(ASK, 13)
    with pytest.raises(BookBadQuantity):
        book.cost(ASK, 0)
    empty = impl.Book()
    with pytest.raises(BookEmptySide):
        empty.cost(BID, 1)
    with pytest.raises(BookEmptySide):
        empty.imbalance(3)


def test_the_levels_come_out_best_first_and_no_more_than_asked(impl):
    book = live(impl)
    assert book.levels(BID, 1).tolist() == [[100, 5]]
    assert book.levels(ASK).tolist() == [[102, 3], [103, 9]]
    assert book.levels(ASK, 0).tolist() == []
    assert (book.level_count(BID), book.total_lots(BID)) == (2, 12)


# ----------------------------------------------------------------------------------------------------- messages
def test_readers_see_a_message_only_when_it_is_whole(impl):
    book = live(impl)
    before = book.top()
    events = message([("bid", 101, 4), ("ask", 102, 0)], first=11, last=11, ts_ns=9)
    assert statuses(book, events[:1]) == [Status.OK]
    assert book.top() == before
    for query in (lambda: book.levels(BID), lambda: book.depth_to(BID, 1), lambda: book.cost(BID, 1)):
        with pytest.raises(BookUntrusted):
            query()
    with pytest.raises(BookUntrusted):
        book.set_bid(1, 1)
    assert statuses(book, events[1:]) == [Status.OK]
    assert book.top() == (101, 4, 103, 9, 11, 9, LIVE, Status.OK)


def test_an_update_before_any_image_is_passed_over(impl):
    book = impl.Book(ticks=8, rule=Rule.RULE_SPOT)
    assert statuses(book, message([("bid", 5, 5)] * 3, first=1, last=2)) == [Status.BOOK_UNTRUSTED] * 3
    assert (book.trust, book.counts()["untrusted_count"], book.level_count(BID)) == (NONE, 1, 0)


def test_spot_the_first_update_straddles_the_image_and_later_ones_follow(impl):
    book = live(impl, number=10)
    assert statuses(book, message([("bid", 99, 1)], first=3, last=10)) == [Status.BOOK_STALE_UPDATE]
    assert statuses(book, message([("bid", 99, 2)], first=8, last=12)) == [Status.OK]
    assert statuses(book, message([("bid", 99, 3)], first=13, last=13)) == [Status.OK]
    assert statuses(book, message([("bid", 99, 4)], first=13, last=15)) == [Status.OK]
    counts = book.counts()
    assert (counts["overlap_count"], counts["stale_count"], counts["gap_count"], book.update_id) == (1, 1, 0, 15)
    assert book.levels(BID).tolist() == [[100, 5], [99, 4]]


def test_spot_a_jump_is_a_gap_and_only_an_image_ends_it(impl):
    book = live(impl, number=10)
    before = whole_book(book)
    assert statuses(book, message([("bid", 100, 0), ("bid", 99, 0)], first=12, last=12)) == [Status.BOOK_GAP] * 2
    assert (book.trust, book.reason, whole_book(book)) == (REBUILDING, Status.BOOK_GAP, before)
    assert statuses(book, message([("bid", 98, 1)], first=11, last=11)) == [Status.BOOK_UNTRUSTED]
    assert set(statuses(book, message(IMAGE, last=9, snapshot=True))) == {Status.OK}
    assert statuses(book, message(first=9, last=11)) == [Status.OK]
    assert (book.trust, book.update_id, book.counts()["gap_count"]) == (LIVE, 11, 1)


def test_linked_the_first_update_spans_the_image_and_later_ones_name_their_predecessor(impl):
    book = live(impl, number=10, rule=Rule.RULE_LINKED)
    assert statuses(book, message(first=1, last=9, prev=0)) == [Status.BOOK_STALE_UPDATE]
    assert statuses(book, message([("bid", 99, 2)], first=8, last=14, prev=7)) == [Status.OK]
    assert statuses(book, message([("bid", 99, 3)], first=20, last=25, prev=14)) == [Status.OK]
    assert statuses(book, message([("bid", 99, 8)], first=20, last=25, prev=14)) == [Status.BOOK_STALE_UPDATE]
    assert statuses(book, message([("bid", 99, 9)], first=27, last=28, prev=26)) == [Status.BOOK_GAP]
    assert (book.trust, book.levels(BID).tolist()[1]) == (REBUILDING, [99, 3])


def test_linked_an_image_older_than_the_stream_is_a_gap(impl):
    book = live(impl, number=10, rule=Rule.RULE_LINKED)
    assert statuses(book, message(first=12, last=14, prev=11)) == [Status.BOOK_GAP]


def test_linked_an_update_linked_to_the_image_itself_is_applied(impl):
    book = live(impl, number=10, rule=Rule.RULE_LINKED)
    assert statuses(book, message(first=12, last=14, prev=10)) == [Status.OK]


def test_contiguous_refuses_an_overlap(impl):
    book = live(impl, number=10, rule=Rule.RULE_CONTIGUOUS)
    assert statuses(book, message(first=11, last=12), message(first=13, last=13)) == [Status.OK] * 2
    assert statuses(book, message(first=13, last=14)) == [Status.BOOK_GAP]


def test_without_a_rule_every_update_is_applied(impl):
    book = live(impl, number=10, rule=Rule.RULE_NONE)
    assert statuses(book, message([("bid", 101, 1)], first=500, last=3)) == [Status.OK]
    assert (book.best_bid_ticks, book.update_id) == (101, 3)


def test_a_message_without_a_level_moves_the_sequence(impl):
    book = live(impl, number=10)
    before = whole_book(book)
    assert statuses(book, message(first=11, last=19, ts_ns=77)) == [Status.OK]
    assert (book.update_id, book.ts_ns, whole_book(book)) == (19, 77, before)


def test_an_old_image_does_not_turn_a_live_book_back(impl):
    book = live(impl, number=10)
    assert set(statuses(book, message([("bid", 1, 1)], last=9, snapshot=True))) == {Status.BOOK_STALE_UPDATE}
    assert book.best_bid_ticks == 100
    assert set(statuses(book, message([("bid", 1, 1)], last=10, snapshot=True))) == {Status.OK}
    assert whole_book(book) == [((1, 1),), ()]


def test_a_lost_end_of_a_message_is_a_gap(impl):
    book = live(impl, number=10)
    events = message([("bid", 101, 4), ("ask", 105, 1)], first=11, last=11)
    assert statuses(book, events[:1], message(first=12, last=12)) == [Status.OK, Status.BOOK_UNTRUSTED]
    assert (book.trust, book.reason) == (REBUILDING, Status.BOOK_GAP)
    with pytest.raises(BookUntrusted):
        book.levels(BID)


def test_a_lost_beginning_of_a_message_is_a_gap(impl):
    book = live(impl, number=10)
    events = message([("bid", 101, 4), ("ask", 105, 1)], first=11, last=11)
    assert statuses(book, events[1:]) == [Status.BOOK_GAP]
    assert (book.trust, book.level_count(ASK)) == (REBUILDING, 2)


@pytest.mark.parametrize(("policy", "after"), [(SUSPECT, LIVE), (REBUILDING, REBUILDING)])
def test_a_crossed_or_locked_book_is_not_trusted(impl, policy, after):
    book = live(impl, crossed_trust=policy)
    assert statuses(book, message([("bid", 102, 1)], first=11, last=11)) == [Status.BOOK_CROSSED]
    assert (book.trust, book.reason, book.counts()["crossed_count"]) == (policy, Status.BOOK_CROSSED, 1)
    statuses(book, message([("bid", 102, 0)], first=12, last=12))
    assert book.trust == after


def test_a_book_crossed_only_inside_a_message_keeps_its_trust(impl):
    book = live(impl)
    assert statuses(book, message([("bid", 103, 1), ("bid", 103, 0)], first=11, last=11)) == [Status.OK] * 2
    assert book.trust == LIVE


@pytest.mark.parametrize(
    ("bad", "status"), [(("bid", -5, 1), Status.BOOK_BAD_PRICE), (("ask", 5, -1), Status.BOOK_BAD_QUANTITY)]
)
def test_an_impossible_level_in_a_message_makes_the_book_rebuild(impl, bad, status):
    book = live(impl)
    events = message([("bid", 101, 1), bad, ("bid", 98, 1)], first=11, last=11)
    assert statuses(book, events) == [Status.OK, status, status]
    assert (book.trust, book.reason, book.best_bid_ticks, book.update_id) == (REBUILDING, status, 100, 10)
    assert statuses(book, message(first=12, last=12)) == [Status.BOOK_UNTRUSTED]


def test_an_image_without_a_level_empties_the_book(impl):
    book = live(impl)
    assert statuses(book, clear(snapshot=True, last=20)) == [Status.OK]
    assert (book.trust, book.update_id, whole_book(book)) == (LIVE, 20, [(), ()])


def test_a_clear_without_an_image_ends_trust(impl):
    book = live(impl)
    assert statuses(book, clear(snapshot=False)) == [Status.OK]
    assert book.top() == (0, 0, 0, 0, -1, 0, NONE, Status.OK)


def test_trust_can_be_lowered_from_outside_and_only_data_raises_it(impl):
    book = live(impl)
    with pytest.raises(BookUntrusted):
        book.distrust(LIVE)
    book.distrust(SUSPECT, 7)
    assert (book.trust, book.reason, book.best_bid_ticks) == (SUSPECT, 7, 100)
    assert statuses(book, message(first=11, last=11)) == [Status.OK]
    assert book.trust == LIVE
    book.distrust(REBUILDING)
    book.distrust(SUSPECT)
    assert book.trust == REBUILDING


def test_another_kind_of_event_is_not_for_the_book(impl):
    book = live(impl)
    event = np.zeros(1, dtype=EVENT)
    event["kind"] = Kind.KIND_TRADE
    assert statuses(book, event) == [Status.WORLD_BAD_EVENT]


# ------------------------------------------------------------------------------------------------------- quotes
def test_a_quote_of_the_same_number_must_agree(impl):
    book = live(impl)
    assert statuses(book, quote((100, 5), (102, 3), number=10)) == [Status.OK]
    assert statuses(book, quote((100, 5), (102, 4), number=10)) == [Status.BOOK_MISMATCH]
    assert (book.trust, book.counts()["mismatch_count"]) == (REBUILDING, 1)


def test_a_quote_ahead_is_held_against_the_book_that_catches_up(impl):
    book = live(impl)
    assert statuses(book, quote((101, 1), (102, 3), number=12)) == [Status.OK]
    assert book.best_bid_ticks == 100
    assert statuses(book, message([("bid", 101, 2)], first=11, last=12)) == [Status.BOOK_MISMATCH]


def test_a_leading_quote_is_what_the_top_line_shows_until_the_book_catches_up(impl):
    book = live(impl, quotes=Quotes.QUOTES_LEAD)
    assert statuses(book, quote((101, 1), (102, 2), number=13, ts_ns=5)) == [Status.OK]
    assert book.top() == (101, 1, 102, 2, 13, 5, LIVE, Status.OK)
    statuses(book, message(first=11, last=12, ts_ns=6))
    assert book.top()[:5] == (101, 1, 102, 2, 13)
    statuses(book, message([("bid", 100, 1)], first=13, last=14, ts_ns=7))
    assert book.top() == (100, 1, 102, 3, 14, 7, LIVE, Status.OK)
    assert statuses(book, quote((101, 1), (102, 2), number=13)) == [Status.BOOK_STALE_UPDATE]


@pytest.mark.parametrize(
    ("bid", "ask", "status"),
    [((5, 1), (5, 1), Status.BOOK_CROSSED), ((-1, 1), (5, 1), Status.BOOK_BAD_PRICE)]
    + [((1, 1), (5, 0), Status.BOOK_BAD_QUANTITY), ((1, -1), (5, 1), Status.BOOK_BAD_QUANTITY)],
)
@pytest.mark.parametrize("sequence_rule", [Rule.RULE_SPOT, Rule.RULE_QUOTE])
def test_an_impossible_quote_is_refused_and_changes_nothing(impl, bid, ask, status, sequence_rule):
    book = impl.Book(rule=sequence_rule)
    assert statuses(book, quote(bid, ask, number=3)) == [status]
    assert book.top() == (0, 0, 0, 0, -1, 0, NONE, Status.OK)


def test_a_book_of_quotes_alone_is_its_newest_quote(impl):
    book = impl.Book(ticks=8, rule=Rule.RULE_QUOTE)
    assert statuses(book, quote((10, 1), (12, 2), number=5, ts_ns=3)) == [Status.OK]
    assert book.top() == (10, 1, 12, 2, 5, 3, LIVE, Status.OK)
    assert statuses(book, quote((9, 1), (12, 2), number=4)) == [Status.BOOK_STALE_UPDATE]
    assert statuses(book, quote((0, 0), (900, 2), number=6)) == [Status.OK]
    assert whole_book(book) == [(), ((900, 2),)]
    assert statuses(book, message(IMAGE, last=9, snapshot=True)) == [Status.WORLD_BAD_EVENT] * 4


# ---------------------------------------------------------------------------------------------------- checksums
def kraken_example():
    """The venue's published book: ten levels a side, prices with one decimal, quantities with eight."""
    asks = [("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911")]
    asks += [("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000")]
    asks += [("45297.5", "0.09945542"), ("45299.5", "0.18772827")]
    bids = [("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000")]
    bids += [("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000")]
    bids += [("45277.3", "1.54602737"), ("45276.6", "0.15445238")]
    return [
        (side, int(px.replace(".", "")), int(qty.replace(".", "")))
        for side, rows in (("ask", asks), ("bid", bids))
        for px, qty in rows
    ]


def test_the_checksum_of_krakens_published_example(impl):
    book = impl.Book(ticks=64, rule=Rule.RULE_CHECKSUM, depth=10)
    assert set(statuses(book, message(kraken_example(), last=3310070434, snapshot=True))) == {Status.OK}
    assert (book.checksum(), book.trust, book.update_id) == (3310070434, LIVE, 0)


def test_a_checksum_that_disagrees_makes_the_book_rebuild(impl):
    book = impl.Book(ticks=64, rule=Rule.RULE_CHECKSUM, depth=10)
    statuses(book, message(kraken_example(), last=3310070434, snapshot=True))
    assert statuses(book, message([("bid", 452835, 1)], last=3310070434)) == [Status.BOOK_CHECKSUM]
    assert (book.trust, book.counts()["checksum_count"]) == (REBUILDING, 1)


def test_a_message_without_a_checksum_is_applied_unchecked(impl):
    book = impl.Book(ticks=64, rule=Rule.RULE_CHECKSUM, depth=10)
    statuses(book, message(kraken_example(), last=-1, snapshot=True), message([("bid", 452836, 1)], last=-1))
    assert (book.trust, book.best_bid_ticks, book.level_count(BID)) == (LIVE, 452836, 10)


def test_a_tick_of_several_smallest_decimals_prints_as_the_venue_prints_it(impl):
    coarse = impl.Book(ticks=64, rule=Rule.RULE_CHECKSUM, px_unit=5, qty_unit=10)
    fine = impl.Book(ticks=64, rule=Rule.RULE_CHECKSUM)
    statuses(coarse, message(IMAGE, snapshot=True))
    statuses(fine, message([(side, px * 5, qty * 10) for side, px, qty in IMAGE], snapshot=True))
    assert coarse.checksum() == fine.checksum()


def test_what_falls_out_of_the_venues_depth_is_forgotten_without_a_horizon(impl):
    book = live(impl, rule=Rule.RULE_NONE, depth=2)
    statuses(book, message([("bid", 101, 1), ("ask", 104, 1)]))
    assert whole_book(book) == [((101, 1), (100, 5)), ((102, 3), (103, 9))]
    assert book.horizon_ticks(BID) == 0
    statuses(book, message([("bid", 101, 0), ("bid", 99, 7)]))
    assert whole_book(book)[BID] == ((100, 5), (99, 7))


# --------------------------------------------------------------------------------------------------- the kernel
def test_an_image_of_the_block_is_the_book():
    book, other = (core.Book(ticks=8, levels_max=50, rule=Rule.RULE_SPOT) for _ in range(2))
    events = random_stream(np.random.default_rng(3), 2000, reach=9, drift=0.3)
    book.apply(events[:1000])
    other.restore(book.image())
    other.check()
    assert (other.image(), other.top()) == (book.image(), book.top())
    assert book.apply(events[1000:]).tolist() == other.apply(events[1000:]).tolist()
    assert other.image() == book.image()
    with pytest.raises(BadLayout):
        core.Book(ticks=16, levels_max=50).restore(book.image())
    with pytest.raises(BadLayout):
        other.restore(b"short")


def compare(ours, twin):
    assert ours.top() == twin.top()
    assert ours.counts() == twin.counts()
    assert (ours.mid_half_ticks, ours.micro_price) == (twin.mid_half_ticks, twin.micro_price)
    for side in (BID, ASK):
        assert ours.horizon_ticks(side) == twin.horizon_ticks(side)
        assert ours.level_count(side) == twin.level_count(side)
        assert ours.total_lots(side) == twin.total_lots(side)
        assert answer(ours.levels, side) == answer(twin.levels, side)


def answer(query, *arguments):
    """What a query says, be it a value or an error."""
    try:
        value = query(*arguments)
    except (BookUntrusted, BookOutside, BookTooThin, BookEmptySide, BookBadQuantity, BookBadPrice, BookFull) as error:
        return type(error)
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize(
    ("config", "stream"),
    [
        ({"ticks": 8, "levels_max": 4000}, {"reach": 6, "drift": 0.5}),
        ({"ticks": 8, "levels_max": 12}, {"reach": 4, "drift": 0.3}),
        ({"ticks": 64, "levels_max": 700, "rule": Rule.RULE_LINKED}, {"reach": 120, "drift": 0.2}),
        ({"ticks": 256, "levels_max": 4000, "rule": Rule.RULE_CONTIGUOUS}, {"reach": 600, "drift": 0.2}),
    ],
)
def test_a_million_random_events_leave_both_equal(config, stream):
    config = {"rule": Rule.RULE_SPOT, "crossed_trust": SUSPECT, **config}
    ours, twin = core.Book(**config), model.Book(**config)
    events = random_stream(np.random.default_rng(config["ticks"] + config["levels_max"]), 250_000, **stream)
    live_parts = 0
    for k, at in enumerate(range(0, len(events), 250)):
        part = events[at : at + 250]
        assert ours.apply(part).tolist() == twin.apply(part).tolist()
        compare(ours, twin)
        live_parts += ours.trust == LIVE
        if k % 20 == 0:
            ours.check()
            twin.check()
    assert live_parts > 200
    assert ours.counts()["gap_count"] > 50


prices, lots = st.integers(-2, 60), st.integers(-1, 9)
levels = st.lists(st.tuples(st.sampled_from(["bid", "ask"]), st.integers(1, 60), st.integers(0, 9)), max_size=8)


class Twins(RuleBasedStateMachine):
    """Random messages, cut messages, quotes and queries to both; all that a caller can see agrees after each step."""

    @initialize(
        ticks=st.sampled_from([8, 16]),
        levels_max=st.integers(1, 12),
        sequence_rule=st.sampled_from(list(Rule)),
        crossed_trust=st.sampled_from([SUSPECT, REBUILDING]),
        quotes=st.sampled_from(list(Quotes)),
        depth=st.integers(0, 6),
    )
    def start(self, ticks, levels_max, sequence_rule, crossed_trust, quotes, depth):
        config = {
            "ticks": ticks,
            "levels_max": levels_max,
            "rule": int(sequence_rule),
            "crossed_trust": int(crossed_trust),
        }
        config |= {"quotes": int(quotes), "depth": min(depth, levels_max // 2), "px_ticks_max": 59, "qty_lots_max": 8}
        self.pair = (core.Book(**config), model.Book(**config))
        self.number = 5

    def both(self, events):
        assert statuses(self.pair[0], events) == statuses(self.pair[1], events)

    @rule(rows=levels, back=st.integers(0, 2))
    def image(self, rows, back):
        self.both(message(rows, last=self.number - back, snapshot=True, ts_ns=self.number))

    @rule(rows=levels, span=st.integers(1, 3), slip=st.sampled_from([0, 0, 0, 0, -3, -1, 1]), cut=st.integers(0, 3))
    def update(self, rows, span, slip, cut):
        first = self.number + 1 + slip
        events = message(rows, first=first, last=first + span - 1, prev=first - 1, ts_ns=first)
        self.both(events[cut // 2 : len(events) - cut % 2] if cut and slip else events)
        self.number = max(self.number, first + span - 1)

    @rule(side=st.sampled_from(["set_bid", "set_ask"]), px=prices, qty=lots)
    def single(self, side, px, qty):
        assert answer(getattr(self.pair[0], side), px, qty) == answer(getattr(self.pair[1], side), px, qty)

    @rule(bid=st.tuples(prices, lots), ask=st.tuples(prices, lots), slip=st.integers(-2, 2), echo=st.booleans())
    def quoted(self, bid, ask, slip, echo):
        if echo:
            top = self.pair[1].touch()
            bid, ask, slip = top[:2], top[2:], 0
        self.both(quote(bid, ask, number=self.number + slip, ts_ns=self.number))

    @rule(snapshot=st.booleans(), flags=st.integers(0, 3))
    def cleared(self, snapshot, flags):
        self.both(clear(snapshot=snapshot, last=self.number, flags=flags))

    @rule(trust=st.sampled_from([NONE, SUSPECT, REBUILDING]))
    def distrusted(self, trust):
        for book in self.pair:
            book.distrust(int(trust), 3)

    @rule(side=st.integers(0, 1), px=st.integers(1, 60), qty=st.integers(0, 40), count=st.integers(0, 9))
    def ask(self, side, px, qty, count):
        for name, arguments in (
            ("depth_to", (side, px)),
            ("cost", (side, qty)),
            ("imbalance", (count,)),
            ("levels", (side, count)),
        ):
            assert answer(getattr(self.pair[0], name), *arguments) == answer(getattr(self.pair[1], name), *arguments)

    @invariant()
    def both_agree(self):
        if hasattr(self, "pair"):
            for book in self.pair:
                book.check()
            compare(*self.pair)
            assert self.pair[0].checksum() == self.pair[1].checksum()


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 5)), max_size=300), st.sampled_from([8, 32, 128]))
@settings(max_examples=100)
def test_any_order_of_sets_gives_the_sorted_levels(rows, ticks):
    book, expected = core.Book(ticks=ticks), {}
    for px, qty in rows:
        book.set_ask(px, qty)
        expected[px] = qty
    book.check()
    assert whole_book(book)[ASK] == tuple(sorted((px, qty) for px, qty in expected.items() if qty))

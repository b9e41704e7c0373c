"""Books rebuilt from recordings of real venues: equal to the twin, equal to the venue's own quotes, never crossed."""

from __future__ import annotations

import gzip
import json
import os

import numpy as np
import pytest

from engine._core import book as core
from engine._core.book import Rule, Trust
from engine._core.types import QUOTE, Status
from engine.model import book as model
from tests.support.books import message, recorded, to_steps
from tests.support.shared import shared_path

pytestmark = pytest.mark.needs_shared

# The twin follows the beginning of a recording, with BOT4_STRESS all of it; the venue's own quotes judge every message.
TWIN_ITEMS = 10**9 if "BOT4_STRESS" in os.environ else 3001
TOUCH = ("bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots")


def opened(names, tick_e8, lot_e8):
    """The recording in the order a client applies it: image first, then the updates buffered while it was fetched."""
    items = [item for name in names for item in recorded(shared_path("binance_raw", f"{name}.log.gz"), tick_e8, lot_e8)]
    at = next(i for i, (kind, *_) in enumerate(items) if kind == "image")
    buffered = [item for item in items[:at] if item[0] == "update"]
    return [items[at], *buffered, *items[at + 1 :]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "rule", "tick_e8", "lot_e8", "agreements"),
    [
        (["spot_btcusdt_20240808", "spot_btcusdt_20240809"], Rule.RULE_SPOT, 10**6, 1, 1000),
        (["usdm_ethusdt_20240808"], Rule.RULE_LINKED, 10**6, 10**5, 500),
        (["usdm_btcusdt_20230404"], Rule.RULE_LINKED, 10**7, 10**5, 300),
    ],
)
def test_a_recorded_book_agrees_with_its_quotes_and_with_the_twin(names, rule, tick_e8, lot_e8, agreements):
    items = opened(names, tick_e8, lot_e8)
    quotes = {number: events.view(QUOTE)[0] for kind, number, events in items if kind == "quote"}
    ours = core.Book(rule=rule, ticks=256, levels_max=16384)
    twin = model.Book(rule=rule, ticks=256, levels_max=16384)
    agreed = 0
    for k, (kind, number, events) in enumerate(items):
        statuses = ours.apply(events)
        assert set(statuses.tolist()) <= {Status.OK, Status.BOOK_STALE_UPDATE}
        if k < TWIN_ITEMS:
            assert statuses.tolist() == twin.apply(events).tolist()
            assert ours.top() == twin.top()
            if k == TWIN_ITEMS - 1 or k == len(items) - 1:
                assert ours.counts() == twin.counts()
        if kind == "update" and number in quotes and statuses[0] == Status.OK:
            assert ours.top()[:4] == tuple(int(quotes[number][word]) for word in TOUCH)
            agreed += 1
        if k % 1000 == 0:
            ours.check()
            for side in (0, 1):
                assert k >= TWIN_ITEMS or np.array_equal(ours.levels(side), twin.levels(side))
    counts = ours.counts()
    assert [counts[name] for name in ("gap_count", "crossed_count", "mismatch_count", "full_count")] == [0] * 4
    assert (ours.trust, agreed >= agreements) == (Trust.TRUST_LIVE, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "lot_e8", "agreements"),
    [(["usdm_btcusdt_20240808"], 10**5, 600), (["cm_btcusd_perp_20240808"], 10**8, 1000)],
)
def test_a_recorded_futures_book_is_whole_from_its_image_to_its_end(names, lot_e8, agreements):
    items = opened(names, 10**7, lot_e8)
    quotes = {number: events.view(QUOTE)[0] for kind, number, events in items if kind == "quote"}
    book = core.Book(rule=Rule.RULE_LINKED, ticks=64, levels_max=16384)
    agreed = 0
    for kind, number, events in items:
        statuses = book.apply(events)
        assert set(statuses.tolist()) <= {Status.OK, Status.BOOK_STALE_UPDATE}
        if kind == "update" and number in quotes and statuses[0] == Status.OK:
            assert book.top()[:4] == tuple(int(quotes[number][word]) for word in TOUCH)
            agreed += 1
    book.check()
    assert (book.trust, agreed >= agreements) == (Trust.TRUST_LIVE, True)


def test_one_lost_message_of_a_recording_is_noticed_and_nothing_after_it_is_applied(impl):
    items = [item for item in opened(["usdm_btcusdt_20230404"], 10**7, 10**5)[:3000] if item[0] != "quote"]
    book = impl.Book(rule=Rule.RULE_LINKED)
    for k, (_, _, events) in enumerate(items[:500]):
        if k != 300:
            book.apply(events)
    assert (book.trust, book.reason) == (Trust.TRUST_REBUILDING, Status.BOOK_GAP)
    assert book.update_id == items[299][1]
    assert book.counts()["gap_count"] == 1


STEM = "book"


def test_the_coinbase_fixtures_apply_as_one_contiguous_sequence(impl):
    parts = []
    for name in ("ws_l2_data_snapshot", "ws_l2_data_update"):
        text = json.loads(shared_path("fixtures", "nautilus", "coinbase", f"{name}.json").read_text())
        for event in text["events"]:
            rows = [
                (
                    "bid" if row["side"] == "bid" else "ask",
                    to_steps(row["price_level"], 10**6),
                    to_steps(row["new_quantity"], 1),
                )
                for row in event["updates"]
            ]
            parts.append((event["type"], text["sequence_num"], rows))
    assert [kind for kind, *_ in parts] == ["snapshot", "update"]
    book = impl.Book(rule=Rule.RULE_CONTIGUOUS)
    expected: dict[tuple[str, int], int] = {}
    for kind, number, rows in parts:
        # The numbers count every message of the connection, so the session hands each on as "the next one".
        first = book.update_id + 1 if kind == "update" else number
        statuses = book.apply(message(rows, first=first, last=max(first, number), snapshot=kind == "snapshot"))
        assert not statuses.any()
        expected |= {(side, px): qty for side, px, qty in rows}
    for side, name in ((0, "bid"), (1, "ask")):
        held = sorted((px, qty) for (where, px), qty in expected.items() if where == name and qty)
        assert sorted(map(tuple, book.levels(side).tolist())) == held


def test_the_hyperliquid_images_each_replace_the_book(impl):
    book = impl.Book(rule=Rule.RULE_NONE)
    seen = 0
    with gzip.open(shared_path("binance_raw", "hyperliquid_btc_20250126.log.gz"), "rt") as lines:
        for line in lines:
            parsed = json.loads(line.split(" ", 1)[1])
            if parsed.get("channel") != "l2Book":
                continue
            rows = [
                (side, to_steps(level["px"], 10**8), to_steps(level["sz"], 10**3))
                for side, levels in zip(("bid", "ask"), parsed["data"]["levels"], strict=True)
                for level in levels
            ]
            assert not book.apply(message(rows, last=parsed["data"]["time"], snapshot=True)).any()
            assert [tuple(row) for row in book.levels(0).tolist()] == [
                (px, qty) for side, px, qty in rows if side == "bid"
            ]
            assert [tuple(row) for row in book.levels(1).tolist()] == [
                (px, qty) for side, px, qty in rows if side == "ask"
            ]
            seen += 1
    assert seen > 10

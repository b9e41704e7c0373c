"""Kraken and Coinbase: the published example, recorded messages, and what is refused."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from engine._core.book import Book, Rule, Trust
from engine._core.types import LEVEL, TRADE, Flag, Kind
from engine.venues import coinbase, kraken, levels
from engine.venues.coinbase import CoinbaseMarket
from engine.venues.directory import Directory, Instrument
from engine.venues.kraken import KrakenMarket
from tests.support.shared import shared_path

XBT = Directory([Instrument("BTC/USD", 0, "BTC", "USD", px_step="0.1", qty_step="0.00000001")])


def test_times_keep_their_nanoseconds():
    assert levels.iso_ns("2023-10-06T17:35:55.440295Z") == 1_696_613_755_440_295_000
    assert levels.iso_ns("1970-01-01T00:00:01.123456789Z") == 1_123_456_789
    assert levels.iso_ns("1970-01-01T00:00:00Z") == 0


# ------------------------------------------------------------------------------------------------------------- kraken
# docs.kraken.com, guides/websockets/book-checksum-v2: the example book and its checksum.
ASKS = [("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911"),
        ("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000"),
        ("45297.5", "0.09945542"), ("45299.5", "0.18772827")]  # fmt: skip
BIDS = [("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000"),
        ("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000"),
        ("45277.3", "1.54602737"), ("45276.6", "0.15445238")]  # fmt: skip


def _kraken(kind, bids, asks, checksum):
    rows = [",".join(f'{{"price":{px},"qty":{qty}}}' for px, qty in side) for side in (bids, asks)]
    row = f'{{"symbol":"BTC/USD","bids":[{rows[0]}],"asks":[{rows[1]}],"checksum":{checksum},"timestamp":"2023-10-06T17:35:55.440295Z"}}'  # noqa: E501
    return f'{{"channel":"book","type":"{kind}","data":[{row}]}}'.encode()


def test_the_published_book_has_the_published_checksum():
    market, book = KrakenMarket(XBT), Book(rule=int(Rule.RULE_CHECKSUM), depth=10)
    events = market.on_frame(_kraken("snapshot", BIDS, ASKS, 3_310_070_434), 1)
    assert market.refused_count == 0
    assert not book.apply(events).any()
    assert (book.best_bid_ticks, book.best_ask_ticks, book.trust) == (452_835, 452_852, Trust.TRUST_LIVE)


def test_a_checksum_that_disagrees_takes_the_trust_away():
    market, book = KrakenMarket(XBT), Book(rule=int(Rule.RULE_CHECKSUM), depth=10)
    book.apply(market.on_frame(_kraken("snapshot", BIDS, ASKS, 3_310_070_434), 1))
    book.apply(market.on_frame(_kraken("update", [("45283.5", "0.20000000")], [], 1), 2))
    assert book.trust == Trust.TRUST_REBUILDING


def test_trades_name_the_takers_side():
    frame = b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":45283.5,"qty":0.1,"ord_type":"limit","trade_id":7,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'  # noqa: E501
    (row,) = KrakenMarket(XBT).on_frame(frame, 9).view(TRADE)
    assert (row["px_ticks"], row["qty_lots"], row["id_trade"]) == (452_835, 10_000_000, 7)
    assert row["flags"] & Flag.FLAG_BUYER_MAKER


def test_what_is_not_data_is_told_apart():
    market = KrakenMarket(XBT)
    for frame in (b'{"channel":"heartbeat"}', b'{"method":"pong","req_id":1}', b'{"channel":"status","data":[{}]}',
                  b'{"method":"subscribe","success":false,"error":"Currency pair not supported ABC"}'):  # fmt: skip
        assert len(market.on_frame(frame, 1)) == 0
    assert (market.heartbeat_count, market.ignored_count, market.refused_count) == (2, 1, 0)
    assert market.errors == ["Currency pair not supported ABC"]
    assert json.loads(kraken.subscribe(["BTC/USD"], depth=25))["params"]["depth"] == 25
    assert json.loads(kraken.ping()) == {"method": "ping"}
    with pytest.raises(ValueError, match="depth 7"):
        kraken.subscribe(["BTC/USD"], depth=7)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00\xff",
        b"[1,2]",
        b'{"channel":"book"}',
        b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD"}]}',
        _kraken("update", [("45283.55", "1")], [], 1),
        _kraken("update", [("1" * 40, "1")], [], 1),
        _kraken("update", [("-1.0", "1")], [], 1),
        _kraken("update", [('"x"', "1")], [], 1),
    ],
)
def test_junk_is_counted_and_gives_nothing(frame):
    market = KrakenMarket(XBT)
    assert len(market.on_frame(frame, 1)) == 0
    assert market.refused_count == 1


# ----------------------------------------------------------------------------------------------------------- coinbase
USD = [Instrument("BTC-USD", 0, "BTC", "USD", px_step="0.01", qty_step="0.00000001"),
       Instrument("ETH-USD", 1, "ETH", "USD", px_step="0.01", qty_step="0.00000001")]  # fmt: skip


def _coinbase(number, kind="update", updates=(), channel="l2_data"):
    rows = [{"side": s, "event_time": "x", "price_level": p, "new_quantity": q} for s, p, q in updates]
    events = [{"type": kind, "product_id": "BTC-USD", "updates": rows}]
    head = {"channel": channel, "timestamp": "2023-02-09T20:32:50.714964855Z", "sequence_num": number}
    return json.dumps(head | {"events": events}).encode()


def test_images_and_changes_of_coinbase():
    market, book = CoinbaseMarket(Directory(USD)), Book(rule=int(Rule.RULE_NONE))
    image = market.on_frame(_coinbase(0, "snapshot", [("bid", "21921.73", "0.06"), ("offer", "21921.80", "1")]), 5)
    assert image.view(LEVEL)["qty_lots"].tolist() == [6_000_000, 100_000_000]
    book.apply(image)
    book.apply(market.on_frame(_coinbase(1, "update", [("bid", "21921.73", "0"), ("bid", "21921.70", "2")]), 6))
    assert (book.best_bid_ticks, book.best_ask_ticks) == (2_192_170, 2_192_180)


def test_an_empty_image_empties_the_book():
    events = CoinbaseMarket(Directory(USD)).on_frame(_coinbase(0, "snapshot"), 5)
    assert [int(k) for k in events["kind"]] == [Kind.KIND_BOOK_CLEAR]
    assert events["flags"][0] & Flag.FLAG_SNAPSHOT


def test_a_jump_of_the_sequence_loses_every_book_until_it_is_renewed():
    market = CoinbaseMarket(Directory(USD))
    market.on_frame(_coinbase(0, "snapshot", [("bid", "1.00", "1")]), 1)
    market.on_frame(_coinbase(1, channel="heartbeats"), 1)
    assert market.is_whole
    assert len(market.on_frame(_coinbase(3, "update", [("bid", "1.00", "2")]), 1)) == 0
    assert (market.is_whole, market.gap_count) == (False, 1)
    assert len(market.on_frame(_coinbase(4, "update", [("bid", "1.00", "2")]), 1)) == 0
    assert market.gap_count == 1
    market.renew()
    assert len(market.on_frame(_coinbase(0, "snapshot", [("bid", "1.00", "2")]), 1)) == 1


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        _coinbase(0, "nonsense"),
        _coinbase(0, "update", [("up", "1", "1")]),
        _coinbase(0, "update", [("bid", "1.001", "1")]),
        _coinbase(0, "update", [("bid", "9" * 40, "1")]),
    ],
)
def test_a_message_that_cannot_be_read_loses_the_books(frame):
    market = CoinbaseMarket(Directory(USD))
    assert len(market.on_frame(frame, 1)) == 0
    assert (market.refused_count, market.is_whole) == (1, False)


@pytest.mark.needs_shared
def test_recorded_coinbase_messages_build_books_that_never_cross():
    market = CoinbaseMarket(Directory(USD))
    # Somebody bids for 65,000 bitcoins at four cents: in lots of 1e-8 more than a book takes by default.
    books = [Book(rule=int(Rule.RULE_NONE), levels_max=60_000, ticks=4096, qty_lots_max=2**46) for _ in USD]
    frames = crossed = applied = 0
    with gzip.open(shared_path("ws_raw", "COINBASE_20260809_first40pct.jsonl.gz"), "rt") as lines:
        for line in lines:
            record = json.loads(line)
            if record["t"] != "recv":
                continue
            frames += 1
            events = market.on_frame(record["data"].encode(), frames)
            for symbol, book in enumerate(books):
                mine = events[events["symbol"] == symbol]
                # An image of one product is one message; so is each change.
                for message in np.split(mine, np.flatnonzero(mine["flags"] & Flag.FLAG_FIRST)[1:]) if len(mine) else []:
                    book.apply(message)
                    applied += 1
                    if book.best_bid_ticks and book.best_ask_ticks:
                        crossed += book.best_bid_ticks >= book.best_ask_ticks
    assert frames > 400
    assert applied > 300
    assert (market.refused_count, market.gap_count, crossed) == (0, 0, 0)
    assert all(book.trust == Trust.TRUST_LIVE for book in books)


def test_coinbase_subscribes_to_the_heart_beats_too():
    messages = [json.loads(m) for m in coinbase.subscribe(["BTC-USD"], jwt="x")]
    assert [m["channel"] for m in messages] == ["level2", "heartbeats"]
    assert all(m["jwt"] == "x" for m in messages)

"""`bot4 record` from a venue over real sockets: what it keeps, what it says of itself, and that others can read it."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from engine._core.book import Book
from engine._core.types import Flag, Kind
from engine.journal.layout import find_session
from engine.journal.query import everything
from tests.support.served import BOT4, served


@pytest.fixture(scope="module", params=["spot", "usdm"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def venue(kind):
    with served("--kind", kind) as (_, port):
        yield f"127.0.0.1:{port}"


def bot4(*words: str, code: int = 0) -> str:
    done = subprocess.run([*BOT4, *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def kept(venue, kind, tmp_path_factory):
    root = tmp_path_factory.mktemp("market")
    said = bot4(
        "record", str(root), "--venue", f"binance_{kind}", "--symbol", "BTCUSDT", "--symbol", "ETHUSDT",
        "--seconds", "5", "--rest", f"http://{venue}", "--stream", f"ws://{venue}",
    )  # fmt: skip
    assert "records in" in said
    return root


def test_the_record_says_what_its_numbers_mean_and_where_it_is_from(kept, kind):
    meta = find_session(kept).file.meta
    assert meta["source"] == f"binance_{kind}"
    assert [row["symbol"] for row in meta["instruments"]] == ["BTCUSDT", "ETHUSDT"]
    assert {row["linear"] for row in meta["instruments"]} == {kind == "usdm"}
    assert all(row["tick_e8"] > 0 < row["lot_e8"] for row in meta["instruments"])


def test_each_book_begins_with_an_image_and_stays_whole(kept):
    events = np.concatenate([rows for _, rows in everything(find_session(kept))])
    depth = events[np.isin(events["kind"], (Kind.KIND_BOOK_LEVEL, Kind.KIND_BOOK_CLEAR))]
    for symbol in (0, 1):
        mine = depth[depth["symbol"] == symbol]
        assert len(mine) > 50
        assert mine[0]["kind"] == Kind.KIND_BOOK_CLEAR or mine[0]["flags"] & int(Flag.FLAG_SNAPSHOT)
        book = Book()
        assert not book.apply(np.ascontiguousarray(mine)).any()
        assert 0 < book.best_bid_ticks < book.best_ask_ticks


def test_quotes_come_only_when_their_book_is_there(kept):
    events = np.concatenate([rows for _, rows in everything(find_session(kept))])
    for symbol in (0, 1):
        mine = events[events["symbol"] == symbol]
        quotes = np.flatnonzero(mine["kind"] == Kind.KIND_QUOTE)
        first = np.flatnonzero(np.isin(mine["kind"], (Kind.KIND_BOOK_LEVEL, Kind.KIND_BOOK_CLEAR)))[0]
        assert len(quotes) > 0
        assert quotes[0] > first


def test_trades_come_on_both_markets_and_perpetuals_have_their_mark(kept, kind):
    events = np.concatenate([rows for _, rows in everything(find_session(kept))])
    for symbol in (0, 1):
        kinds = set(events["kind"][events["symbol"] == symbol].tolist())
        assert (Kind.KIND_AGG_TRADE if kind == "usdm" else Kind.KIND_TRADE) in kinds
        assert (Kind.KIND_MARK in kinds) == (kind == "usdm")


def test_a_symbol_that_the_venue_does_not_list_is_one_plain_line(venue, kind, tmp_path):
    said = bot4(
        "record", str(tmp_path / "m"), "--venue", f"binance_{kind}", "--symbol", "NOPEUSDT", "--seconds", "1",
        "--rest", f"http://{venue}", "--stream", f"ws://{venue}", code=1,
    )  # fmt: skip
    assert "NOPEUSDT" in said
    assert "Traceback" not in said


def test_a_venue_without_a_symbol_and_two_sources_are_refused(tmp_path):
    assert "go together" in bot4("record", str(tmp_path), "--venue", "binance_spot", code=2)
    assert "one source" in bot4("record", str(tmp_path), "--generate", "5", "--copy", str(tmp_path), code=2)


def test_a_backtest_plays_the_record_of_one_symbol(kept):
    words = ("--data", str(kept), "--symbol", "ETHUSDT", "--latency-ms", "1", "--no-check", "--json")
    told = json.loads(bot4("backtest", "quoter", *words))
    assert told["symbol"] == "ETHUSDT"
    assert told["events"] > 500
    assert "--symbol is one of BTCUSDT, ETHUSDT" in bot4("backtest", "quoter", "--data", str(kept), code=1)


def test_the_check_of_data_reads_it_too(kept):
    found = json.loads(bot4("data", "check", str(kept), "--symbol", "BTCUSDT", "--json"))
    assert found["book_breaks"] == found["duplicates"] == found["missing_trades"] == 0

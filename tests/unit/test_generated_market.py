"""The market behind the served venue: it goes on without a break, and deals with those who trade in it."""

from __future__ import annotations

import pytest

from engine._core.strategy_abi import WishType
from engine.errors import SimUnknownSymbol
from engine.sim.market import CHUNK, Walk
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.generated import LEVELS, GeneratedMarket
from engine.sim.venue.instruments import E8, default_spot
from engine.sim.venue.orders import Terms

START = 1_800_000_000 * 10**9
TICK = 10**8


def world(seed=7):
    exchange = Exchange(default_spot(), now_ns=START)
    return exchange, GeneratedMarket(exchange, seed=seed, start_ns=START)


def image(exchange):
    return {
        name: (m.book.depth(False, 100), m.book.depth(True, 100), m.book.last_px, list(m.trades))
        for name, m in exchange.markets.items()
    }


def test_there_is_a_book_before_anything_moved():
    exchange, _ = world()
    for market in exchange.markets.values():
        for sell in (False, True):
            assert len(market.book.depth(sell, 100)) == LEVELS


def test_the_same_seed_gives_the_same_market_and_another_seed_another():
    images = []
    for seed in (1, 1, 2):
        exchange, market = world(seed)
        for at in range(1, 31):
            market.advance(START + at * TICK)
        images.append(image(exchange))
    assert images[0] == images[1]
    assert images[0] != images[2]


def test_over_many_stretches_the_book_stays_whole_and_time_and_trades_go_on():
    exchange, market = world()
    played = 0
    lasts = dict.fromkeys(exchange.markets, 0)
    for at in range(1, 301):
        now = START + at * TICK
        played += market.advance(now)
        assert exchange.now_ns <= now
        for name, m in exchange.markets.items():
            bid, ask = m.book.best_bid, m.book.best_ask
            assert 0 < bid < ask
            assert all(len(m.book.depth(sell, 1000)) >= LEVELS for sell in (False, True))
            assert m.book.live_count < 20 * LEVELS
            before = lasts[name]
            assert abs(m.book.last_px - (before or m.book.last_px)) < m.book.last_px // 100
            lasts[name] = m.book.last_px
    assert played > 3 * 3 * CHUNK
    assert market.refused == 0
    for m in exchange.markets.values():
        m.book.check()
        assert [t.id for t in m.trades] == list(range(m.trades[0].id, m.trades[-1].id + 1))
        assert all(a.ts_ns <= b.ts_ns for a, b in zip(list(m.trades), list(m.trades)[1:], strict=False))
    exchange.check()


def test_time_that_a_request_has_moved_on_does_not_go_back():
    exchange, market = world()
    exchange.advance(START + 5 * TICK)
    market.advance(START + 5 * TICK)
    assert exchange.now_ns == START + 5 * TICK
    assert {t.ts_ns for m in exchange.markets.values() for t in m.trades} == {START + 5 * TICK}


def test_who_waits_at_the_touch_is_filled_by_the_market():
    exchange, market = world()
    account = exchange.bank.open("me", {"BTC": 10 * E8, "USDT": 10**7 * E8})
    book = exchange.market("BTCUSDT").book
    terms = {"type": WishType.TYPE_LIMIT, "qty": 10_000}
    mine = [
        exchange.place(account, "BTCUSDT", Terms(sell=False, px=book.best_bid, **terms)),
        exchange.place(account, "BTCUSDT", Terms(sell=True, px=book.best_ask, **terms)),
    ]
    for at in range(1, 301):
        market.advance(START + at * TICK)
        if not any(order.is_open for order in mine):
            break
    assert [order.status for order in mine] == ["FILLED", "FILLED"]
    assert all(e.maker for order in mine for e in order.executions)
    exchange.check()


def test_a_taker_goes_through_the_levels_and_the_holes_are_filled_again():
    exchange, market = world()
    account = exchange.bank.open("me", {"USDT": 10**8 * E8})
    book = exchange.market("BTCUSDT").book
    first = book.best_ask
    order = exchange.place(account, "BTCUSDT", Terms(sell=False, type=WishType.TYPE_MARKET, qty=400_000))
    assert order.status == "FILLED"
    assert book.best_ask > first
    market.advance(START + TICK)
    assert len(book.depth(True, 1000)) >= LEVELS
    exchange.check()


def test_a_symbol_without_a_walk_is_refused():
    exchange = Exchange(default_spot(), now_ns=START)
    with pytest.raises(SimUnknownSymbol, match="ETHUSDT, BNBUSDT"):
        GeneratedMarket(exchange, seed=1, start_ns=START, walks={"BTCUSDT": Walk(6_000_000, 50)})

"""The parts of the live driver that need no socket: what leaves, what is in doubt, what is released to the core."""

from __future__ import annotations

import json

import numpy as np

from engine._core.types import EVENT, FEE, LEVEL, Flag, Kind, Status
from engine.net.budget import SECOND, Lane, Limit, LimitKind, RateBudget
from engine.venues.binance.api import OrderApi
from engine.venues.binance.orders import Form, encoder
from engine.venues.binance.user import UserStream
from engine.venues.directory import Directory, Instrument
from engine.venues.feed import MarketFeed
from engine.venues.sender import Sender, SenderConfig

BTC = Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.00001")
ETH = Instrument("ETHUSDT", 1, "ETH", "USDT", px_step="0.01", qty_step="0.0001")
CONFIG = SenderConfig(recv_window_ns=5 * SECOND, answer_ns=2 * SECOND, again_ns=SECOND, grace_ns=SECOND)
T0 = 1_700_000_000 * SECOND


def sender(weight=1_000_000, orders=1_000_000):
    directory = Directory([BTC, ETH])
    rows = encoder("spot", Form.HMAC, directory.rows(), api_key="key", secret=b"secret")
    limits = [Limit(LimitKind.WEIGHT, 60 * SECOND, weight), Limit(LimitKind.ORDERS, 10 * SECOND, orders)]
    return Sender(rows, OrderApi(directory, UserStream(directory)), RateBudget(limits), CONFIG)


def intent(kind, id_order, *, sell=False, symbol=0, token=7, terms=0):
    row = np.zeros(1, EVENT)
    row["kind"], row["symbol"], row["flags"] = kind, symbol, Flag.FLAG_SELL if sell else 0
    row["word"][0] = id_order, 5_000_000, 100, token if kind == Kind.KIND_INTENT_PLACE else 0, terms
    return row


def answer(number, result=None, *, code=None, text=""):
    if code is None:
        return json.dumps({"id": number, "status": 200, "result": result}).encode()
    return json.dumps({"id": number, "status": 400, "error": {"code": code, "msg": text}}).encode()


def kinds(events):
    return [Kind(kind) for kind in events["kind"]]


def number_of(message):
    return json.loads(message)["id"]


def place(s, now=T0, **more):
    return s.take(intent(Kind.KIND_INTENT_PLACE, 9, **more), now, now, may_place=True).messages[0]


# ------------------------------------------------------------------------------------------------------- what leaves
def test_a_new_order_needs_an_open_gate_and_a_cancel_does_not():
    s = sender()
    out = s.take(intent(Kind.KIND_INTENT_PLACE, 9), T0, T0, may_place=False)
    assert (out.messages, kinds(out.reports)) == ([], [Kind.KIND_ORDER_REJECTED])
    out = s.take(intent(Kind.KIND_INTENT_CANCEL, 9), T0, T0, may_place=False)
    assert (len(out.messages), len(out.reports)) == (1, 0)
    # The flatten plan's own orders close: they go too.
    assert len(s.take(intent(Kind.KIND_INTENT_PLACE, 10, terms=4 << 32), T0, T0, may_place=False).messages) == 1


def test_without_a_connection_a_cancel_is_held_once_and_released_while_its_order_wants_it():
    s = sender()
    for now in (T0, T0 + 1, T0 + 2):
        out = s.take(intent(Kind.KIND_INTENT_CANCEL, 9), now, now, may_place=False, is_connected=False)
        assert (out.messages, len(out.reports)) == ([], 0)
    s.take(intent(Kind.KIND_INTENT_CANCEL, 10), T0, T0, may_place=False, is_connected=False)
    assert (set(s.held), s.under_way) == ({9, 10}, {})
    out = s.released({9}, T0 + 3, T0 + 3)
    assert len(out.messages) == 1
    assert s.held == {}
    assert s.released({9}, T0 + 4, T0 + 4).messages == []


def test_a_full_budget_says_how_long_to_wait_and_the_order_was_not_sent():
    s = sender(orders=1)
    place(s)
    out = s.take(intent(Kind.KIND_INTENT_PLACE, 10), T0, T0, may_place=True)
    assert kinds(out.reports) == [Kind.KIND_ORDER_REJECTED]
    assert 0 < out.wait_ns <= 10 * SECOND
    assert s.budget.denied_count[Lane.NEW] == 1


def test_a_question_about_no_order_asks_for_a_position():
    s = sender()
    out = s.take(intent(Kind.KIND_INTENT_QUERY, 0, symbol=1), T0, T0, may_place=True)
    assert (out.messages, out.verify) == ([], [1])


def test_a_book_that_refused_a_change_is_named():
    s = sender()
    row = np.zeros(1, EVENT)
    row["kind"], row["symbol"] = Kind.KIND_REFUSAL, 1
    assert s.take(row, T0, T0, may_place=True).distrusted == []
    row["word"][0, 4] = 16
    assert s.take(row, T0, T0, may_place=True).distrusted == [1]


# ----------------------------------------------------------------------------------------------------- what is in doubt
def test_an_answer_that_does_not_come_makes_the_order_unknown_and_asks_for_it():
    s = sender()
    place(s)
    assert s.due(T0 + 2 * SECOND, T0)[1].size == 0
    messages, reports = s.due(T0 + 2 * SECOND + 1, T0)
    assert (messages, kinds(reports)) == ([], [Kind.KIND_ORDER_LOST])
    messages, reports = s.due(T0 + 3 * SECOND + 1, T0)
    assert [json.loads(m)["method"] for m in messages] == ["order.status"]
    # One question at a time.
    messages, reports = s.due(T0 + 4 * SECOND, T0)
    assert (messages, len(reports)) == ([], 0)


def test_no_such_order_is_believed_only_when_the_order_can_no_longer_arrive():
    s = sender()
    place(s)
    s.gone(T0 + SECOND)
    (question,), _ = s.due(T0 + 2 * SECOND, T0)
    absent = answer(number_of(question), code=-2013, text="Order does not exist.")
    assert len(s.on_frame(absent, T0 + 2 * SECOND).events) == 0
    assert s.doubted_absent_count == 1
    assert s.due(T0 + 5 * SECOND, T0)[0] == []
    (question,), _ = s.due(T0 + 6 * SECOND, T0)
    found = s.on_frame(answer(number_of(question), code=-2013, text="Order does not exist."), T0 + 6 * SECOND)
    assert kinds(found.events) == [Kind.KIND_ORDER_ABSENT]
    assert s.asks == {}


def test_an_answer_to_a_question_settles_it():
    s = sender()
    place(s)
    s.gone(T0)
    (question,), _ = s.due(T0 + SECOND, T0)
    row = {"symbol": "BTCUSDT", "orderId": 5, "status": "NEW", "origQty": "0.00100", "price": "50000.00",
           "executedQty": "0", "clientOrderId": "b40000000000000009"}  # fmt: skip
    assert kinds(s.on_frame(answer(number_of(question), row), T0 + SECOND).events) == [Kind.KIND_ORDER_ACK]
    assert s.asks == {}
    assert s.due(T0 + 60 * SECOND, T0)[0] == []


def test_a_cancel_of_an_order_that_is_not_there_asks_what_became_of_it():
    s = sender()
    message = s.take(intent(Kind.KIND_INTENT_CANCEL, 9), T0, T0, may_place=True).messages[0]
    said = s.on_frame(answer(number_of(message), code=-2011, text="Unknown order sent."), T0)
    assert kinds(said.events) == [Kind.KIND_ORDER_CANCEL_NO_ORDER]
    assert list(s.asks) == [9]


def test_an_answer_that_comes_twice_or_late_changes_nothing_under_way():
    s = sender()
    message = place(s)
    ack = {"symbol": "BTCUSDT", "orderId": 5, "clientOrderId": "b40000000000000009", "transactTime": 1}
    for now in (T0, T0, T0 + 60 * SECOND):
        s.on_frame(answer(number_of(message), ack), now)
        assert s.under_way == {}
    assert s.lost_count == 0


# ------------------------------------------------------------------------------------------------------ market data
def depth(first, last, symbol="BTCUSDT"):
    data = {"e": "depthUpdate", "E": 1, "s": symbol, "U": first, "u": last, "b": [["1.00", "1"]], "a": []}
    return json.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": data}).encode()


def quote(number, symbol="BTCUSDT"):
    data = {"u": number, "s": symbol, "b": "1.00", "B": "1", "a": "2.00", "A": "1"}
    return json.dumps({"stream": f"{symbol.lower()}@bookTicker", "data": data}).encode()


IMAGE = b'{"lastUpdateId":%d,"bids":[["1.00","1"]],"asks":[["2.00","1"]]}'


def test_nothing_of_a_book_is_released_before_its_image_and_quotes_wait_with_it():
    feed = MarketFeed(Directory([BTC, ETH]))
    assert feed.on_frame(depth(5, 6), 1) == []
    assert feed.on_frame(quote(6), 1) == []
    assert feed.held_quote_count == 1
    assert feed.wants_image() == [0]
    assert feed.on_image(0, IMAGE % 3, 1) == []
    image, change = feed.on_image(0, IMAGE % 5, 1)
    assert int(image.view(LEVEL)["id_last"][0]) == 5
    assert int(change.view(LEVEL)["id_last"][0]) == 6
    assert feed.is_live(0)
    assert not feed.is_live(1)
    assert len(feed.on_frame(quote(7), 1)) == 1


def test_an_image_names_its_own_symbol():
    feed = MarketFeed(Directory([BTC, ETH]))
    feed.on_frame(depth(5, 6, "ETHUSDT"), 1)
    assert {int(e["symbol"][0]) for e in feed.on_image(1, IMAGE % 5, 1)} == {1}


def test_a_gap_names_the_symbol_and_wants_an_image():
    feed = MarketFeed(Directory([BTC]))
    feed.on_frame(depth(5, 6), 1)
    feed.on_image(0, IMAGE % 5, 1)
    assert feed.on_frame(depth(9, 9), 1) == []
    assert (feed.lost, feed.wants_image()) == ([0], [0])


def test_junk_is_counted_and_a_shutdown_is_heard():
    feed = MarketFeed(Directory([BTC]))
    assert feed.on_frame(b"\x00junk", 1) == []
    assert feed.on_frame(b'{"result":null,"id":1}', 1) == []
    assert (feed.refused_count, feed.shutdown_said) == (1, False)
    assert feed.on_frame(b'{"e":"serverShutdown","E":1}', 1) == []
    assert feed.shutdown_said


def test_after_a_loss_of_all_connections_numbers_begin_anew():
    feed = MarketFeed(Directory([BTC]))
    feed.on_frame(depth(5, 6), 1)
    feed.on_image(0, IMAGE % 5, 1)
    feed.down()
    assert not feed.is_live(0)
    assert feed.on_frame(depth(2, 3), 1) == []
    assert len(feed.on_image(0, IMAGE % 2, 1)) == 2


# --------------------------------------------------------------------------------------------------------------- fees
def test_the_fee_of_a_sale_finds_the_fill_of_a_sale():
    report = {
        "e": "executionReport", "E": 2, "s": "BTCUSDT", "c": "b40000000000000009", "S": "SELL", "o": "LIMIT",
        "f": "GTC", "q": "0.00100", "p": "50000.00", "C": "", "x": "TRADE", "X": "FILLED", "i": 5, "l": "0.00100",
        "z": "0.00100", "L": "50000.00", "n": "0.05", "N": "USDT", "T": 2, "t": 77, "m": True, "I": 1,
    }  # fmt: skip
    events = UserStream(Directory([BTC])).on_message({"subscriptionId": 0, "event": report}, 1)
    assert kinds(events) == [Kind.KIND_ORDER_FILL, Kind.KIND_FEE]
    assert [int(flags) & Flag.FLAG_SELL for flags in events["flags"]] == [Flag.FLAG_SELL, Flag.FLAG_SELL]
    assert int(events[1:].view(FEE)["id_trade"][0]) == 77


def test_a_message_the_encoder_cannot_write_is_a_refusal():
    s = sender()
    out = s.take(intent(Kind.KIND_INTENT_PLACE, 9, token=0), T0, T0, may_place=True)
    assert (out.messages, kinds(out.reports)) == ([], [Kind.KIND_ORDER_REJECTED])
    assert s.refused_count == 1
    assert s.encoder.encode(intent(Kind.KIND_INTENT_PLACE, 9, token=0), T0)[0] == Status.ENCODE_NO_TOKEN

"""Bad input at every door of the protocols: nothing raises, everything is counted, the next good message is taken."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from engine._core.types import Kind
from engine.venues.binance.api import OrderApi
from engine.venues.binance.ids import client_id, request_id
from engine.venues.binance.user import UserStream
from engine.venues.directory import Directory, Instrument
from tests.simulation.test_venue_cases import FRESH

DIRECTORY = Directory([Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.00001")])
PLACED = request_id("p", sell=False, id_order=7, symbol=0)
GOOD = [
    {"subscriptionId": 0, "event": FRESH | {"c": client_id(7), "I": 1, "x": "TRADE", "X": "FILLED", "l": "0.01000",
                                            "z": "0.01000", "L": "52000.00", "t": 5}},
    {"id": PLACED, "status": 200, "result": {"orderId": 28, "transactTime": 1, "origQty": "0.01000", "price": "1.00"},
     "rateLimits": [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 12}]},
    {"id": PLACED, "status": 400, "error": {"code": -2010, "msg": "Duplicate order sent."}},
    {"id": PLACED, "status": 429, "error": {"code": -1003, "msg": "Too much request weight used.",
                                            "data": {"serverTime": 1, "retryAfter": 2}}},
    {"e": "ACCOUNT_UPDATE", "T": 1, "E": 1, "a": {"m": "ORDER", "B": [{"a": "USDT", "wb": "1.5"}],
                                                  "P": [{"s": "BTCUSDT", "pa": "-1", "ep": "1", "ps": "BOTH"}]}},
    {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": FRESH | {"c": client_id(7)}},
]  # fmt: skip
_junk = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=60), st.just("9" * 40),
    st.just([]), st.just({}), st.lists(st.integers(), max_size=3), st.just("-1"), st.just("1e5"), st.just("NaN"),
)  # fmt: skip


def _places(value, path=()):
    """Every place in a message where something else can stand."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


def _put(value, path, what):
    if not path:
        return what
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _put(copy[path[0]], path[1:], what)
    return copy


def _takes_the_next_good_one(api: OrderApi) -> None:
    before = api.refused_count
    answer = api.on_frame(json.dumps({"id": PLACED, "status": 200, "result": {"orderId": 28}}).encode(), 1)
    assert [int(k) for k in answer.events["kind"]] == [Kind.KIND_ORDER_ACK]
    assert api.refused_count == before


@given(data=st.data())
def test_any_value_in_any_place_is_taken_or_counted(data):
    message = data.draw(st.sampled_from(GOOD))
    for _ in range(data.draw(st.integers(1, 3))):
        message = _put(message, data.draw(st.sampled_from(list(_places(message)))), data.draw(_junk))
    api = OrderApi(DIRECTORY, UserStream(DIRECTORY))
    answer = api.on_frame(json.dumps(message).encode(), 1)
    refused = api.refused_count + api.user.refused_count
    # What the loop reckons with are whole numbers of a size that times have: a text times a unit has no end.
    until = (answer.retry_until_ms, answer.banned_until_ms)
    assert all(ms is None or (type(ms) is int and 0 <= ms < 2**43) for ms in until)
    assert all(type(n) is int for row in answer.counts for n in row[1:])
    # A refusal gives nothing at all: half a message is worse than none.
    assert not (refused and len(answer.events))
    if refused:
        assert api.needs_tally or api.user.needs_tally
    _takes_the_next_good_one(api)


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_counted(junk):
    api = OrderApi(DIRECTORY, UserStream(DIRECTORY))
    assert len(api.on_frame(junk, 1).events) == 0
    _takes_the_next_good_one(api)


@given(message=st.sampled_from(GOOD), cut=st.integers(0, 600))
def test_a_message_cut_anywhere_is_counted(message, cut):
    whole = json.dumps(message).encode()
    api = OrderApi(DIRECTORY, UserStream(DIRECTORY))
    answer = api.on_frame(whole[: min(cut, len(whole) - 1)], 1)
    assert len(answer.events) == 0
    assert api.refused_count + api.user.refused_count == 1
    _takes_the_next_good_one(api)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=200),
    after=st.one_of(st.text(max_size=8), st.just("9" * 5_000)),
)
def test_any_rest_answer_leaves_the_order_known_or_unknown_never_forgotten(status, body, after):
    api = OrderApi(DIRECTORY)
    answer = api.on_rest(PLACED, status, {"Retry-After": after}, body, 10**18)
    kinds = [int(k) for k in answer.events["kind"]]
    told = kinds in ([Kind.KIND_ORDER_LOST], [Kind.KIND_ORDER_REJECTED], [Kind.KIND_ORDER_ACK])
    assert told or api.needs_tally

"""The parser, its twin and msgspec over examples, generated frames, broken ones and every recorded frame."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import struct
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import errors
from engine._core import parse as core
from engine._core import types
from engine._core.types import Flag, Kind, Status
from engine.model import parse as model
from engine.model.scan import MALFORMED
from tests.support import frames as f
from tests.support.shared import shared_path

STEM = "parse"
CONTEXT = {"context_symbol": "BNBBTC"}


def pair(**options):
    options = CONTEXT | options
    return (
        core.Parser(f.SYMBOLS, **options),
        core.Parser(f.SYMBOLS, general_only=True, **options),
        model.Parser(f.SYMBOLS, **options),
    )


FAST, GENERAL, TWIN = pair()


def assert_agree(frame, parsers=(FAST, GENERAL, TWIN)):
    """One answer from all three ways; the frame's status."""
    ours, general, twin = parsers
    status, events = ours.read(frame, 9)
    slow_status, slow_events = general.read(frame, 9)
    assert (status, events.tobytes()) == (slow_status, slow_events.tobytes()), frame[:300]
    assert ours.detail == general.detail
    wanted, wanted_events = twin.read(bytes(frame), 9)
    assert status == wanted or (status in MALFORMED and wanted in MALFORMED), (status, wanted, frame[:300])
    assert events.tobytes() == wanted_events.tobytes(), frame[:300]
    assert (ours.not_data, ours.detail) == (twin.not_data, twin.detail), frame[:300]
    assert status == Status.OK or not len(events)
    return status


# ------------------------------------------------------------------------------------------------------- the messages
def test_a_depth_update_is_one_event_a_level_bids_first(impl):
    events = impl.Parser(f.SYMBOLS).parse(f.MESSAGES["usdm_depth"], 42).view(types.LEVEL)
    ask, last, first = int(Flag.FLAG_ASK), int(Flag.FLAG_LAST), int(Flag.FLAG_FIRST)
    assert events["kind"].tolist() == [Kind.KIND_BOOK_LEVEL] * 4
    assert events["flags"].tolist() == [first, 0, ask, ask | last]
    assert events["px_ticks"].tolist() == [6180020, 6180010, 6180030, 1234567850]
    assert events["qty_lots"].tolist() == [2507000, 0, 3330000, 14000]
    assert set(events["ts_venue_ns"].tolist()) == {1672515782130000000}
    assert set(events["ts_recv_ns"].tolist()) == {42}
    assert {tuple(e) for e in events[["id_first", "id_last", "id_prev"]].tolist()} == {(157, 160, 149)}


def test_a_partial_depth_is_a_snapshot_of_the_streams_or_the_contexts_symbol(impl):
    partial = f.MESSAGES["spot_partial"]
    with pytest.raises(errors.FrameUnknownSymbol):
        impl.Parser(f.SYMBOLS).parse(partial)
    raw = impl.Parser(f.SYMBOLS, context_symbol="BNBBTC").parse(partial)
    named = impl.Parser(f.SYMBOLS).parse(f.combined(partial, b"bnbbtc@depth20@100ms"))
    assert raw.tobytes() == named.tobytes()
    assert all(event["flags"] & Flag.FLAG_SNAPSHOT and event["flags"] & Flag.FLAG_NO_VENUE_TIME for event in raw)
    assert raw["word"][:, 2:].tolist() == [[160, 160, -1]] * 3


def test_the_stream_or_the_context_says_that_a_depth_update_is_a_snapshot(impl):
    depth = f.MESSAGES["usdm_depth"]
    images = [
        impl.Parser(f.SYMBOLS).parse(f.combined(depth, b"btcusdt@depth10@100ms")),
        impl.Parser(f.SYMBOLS, context_snapshot=True).parse(depth),
    ]
    changes = [
        impl.Parser(f.SYMBOLS).parse(f.combined(depth, b"btcusdt@depth@100ms")),
        impl.Parser(f.SYMBOLS, context_snapshot=True).parse(f.combined(depth, b"btcusdt@depth")),
    ]
    assert all((events["flags"] & Flag.FLAG_SNAPSHOT).all() for events in images)
    assert not any((events["flags"] & Flag.FLAG_SNAPSHOT).any() for events in changes)


def test_an_empty_depth_message_still_carries_its_ids(impl):
    (event,) = impl.Parser(f.SYMBOLS).parse(f.MESSAGES["usdm_depth_empty"])
    assert (event["kind"], event["flags"]) == (Kind.KIND_BOOK_LEVEL, Flag.FLAG_FIRST | Flag.FLAG_LAST)
    assert event["word"].tolist() == [0, 0, 157, 160, 149]
    empty = b'{"lastUpdateId":160,"bids":[],"asks":[]}'
    (event,) = impl.Parser(f.SYMBOLS, **CONTEXT).parse(empty)
    assert event["kind"] == Kind.KIND_BOOK_CLEAR
    assert event["word"].tolist() == [0, 0, 160, 160, -1]


def test_the_other_messages_are_read_field_by_field(impl):
    parser = impl.Parser(f.SYMBOLS)
    sold = int(Flag.FLAG_FIRST | Flag.FLAG_LAST | Flag.FLAG_SELL | Flag.FLAG_BUYER_MAKER)
    (trade,) = parser.parse(f.MESSAGES["spot_agg"])
    assert (trade["kind"], trade["flags"], trade["symbol"]) == (Kind.KIND_AGG_TRADE, sold, 2)
    assert trade["word"].tolist() == [10, 100000, 12345, 100, 105]
    assert trade["ts_venue_ns"] == 1672515782134000000
    (quote,) = parser.parse(f.MESSAGES["spot_quote"])
    assert quote["word"].tolist() == [253519, 3121, 253652, 4066, 400900217]
    assert quote["flags"] & Flag.FLAG_NO_VENUE_TIME
    prices, totals = parser.parse(f.MESSAGES["kline"])
    assert prices["word"].tolist() == [10, 25, 15, 20, 1000000]
    assert totals["word"].tolist() == [1672515780000000000, 1672515839999000000, 100, 100000000, 500000]
    assert prices["flags"] == Flag.FLAG_FIRST | Flag.FLAG_CLOSED
    assert totals["flags"] == Flag.FLAG_LAST | Flag.FLAG_CLOSED
    (mark,) = parser.parse(f.MESSAGES["mark"])
    assert mark["word"].tolist() == [1179415000000, 1178462659091, 1178425641265, -38167, 1562306400000000000]
    (liquidation,) = parser.parse(f.MESSAGES["liquidation"])
    assert liquidation["word"].tolist() == [991000, 14000, 991012345678, 14000, 14000]
    assert liquidation["flags"] & Flag.FLAG_SELL


def test_microseconds_give_the_same_nanoseconds(impl):
    ms = impl.Parser(f.SYMBOLS).parse(f.MESSAGES["spot_trade"])
    us_text = f.MESSAGES["spot_trade"].replace(b"1672515782136", b"1672515782136000").replace(b"782134", b"782134000")
    us = impl.Parser(f.SYMBOLS, time_unit="us").parse(us_text)
    assert ms.tobytes() == us.tobytes()


def test_replies_errors_and_notices_are_told_apart(impl):
    parser = impl.Parser(f.SYMBOLS)
    for kind, name in ((1, "reply"), (2, "error"), (2, "usdm_error"), (3, "shutdown")):
        for frame in (f.REPLIES[name], f.combined(f.REPLIES[name], b"!serverShutdown")):
            assert parser.read(frame)[0] == Status.PARSE_NOT_DATA
            assert parser.not_data == kind
    assert parser.read(f.MESSAGES["mark"])[0] == Status.OK
    assert parser.not_data == 0
    counters = parser.counters()
    names = ("not_data_reply", "not_data_error", "not_data_shutdown", "PARSE_NOT_DATA")
    assert [counters[name] for name in names] == [2, 4, 2, 8]
    parser.check()


# --------------------------------------------------------------------------------------------------------- refusals
def replaced(name, old, new):
    assert old in f.MESSAGES[name]
    return f.MESSAGES[name].replace(old, new, 1)


REFUSED = {
    "unknown event": (b'{"e":"avgPrice","E":1}', Status.PARSE_UNKNOWN_EVENT),
    "unknown symbol": (replaced("spot_trade", b"BNBBTC", b"BNBBTD"), Status.PARSE_UNKNOWN_SYMBOL),
    "missing key": (replaced("spot_trade", b'"p":"0.001",', b""), Status.PARSE_MISSING_KEY),
    "duplicate key": (replaced("spot_trade", b'"p":"0.001",', b'"p":"0.001","p":"0.001",'), Status.PARSE_DUPLICATE_KEY),
    "escaped key": (replaced("spot_trade", b'"p"', b'"\\u0070"'), Status.PARSE_ESCAPE),
    "escaped symbol": (replaced("spot_trade", b"BNBBTC", b"BNB\\u0042TC"), Status.PARSE_ESCAPE),
    "number as price": (replaced("spot_trade", b'"0.001"', b"0.001"), Status.PARSE_WRONG_TYPE),
    "text as id": (replaced("spot_trade", b"12345", b'"12345"'), Status.PARSE_WRONG_TYPE),
    "fraction as id": (replaced("spot_trade", b"12345", b"12345.0"), Status.PARSE_WRONG_TYPE),
    "negative id": (replaced("spot_trade", b"12345", b"-1"), Status.PARSE_BAD_NUMBER),
    "long id": (replaced("spot_trade", b"12345", b"9223372036854775808"), Status.PARSE_BAD_NUMBER),
    "time beyond int64": (replaced("spot_trade", b"1672515782136", b"9999999999999999"), Status.PARSE_BAD_NUMBER),
    "null price": (replaced("spot_trade", b'"0.001"', b"null"), Status.PARSE_WRONG_TYPE),
    "word as flag": (replaced("spot_trade", b"true", b'"true"'), Status.PARSE_WRONG_TYPE),
    "off the step": (replaced("spot_trade", b'"0.001"', b'"0.00105"'), Status.PARSE_BAD_NUMBER),
    "price of 40 digits": (replaced("spot_trade", b'"0.001"', b'"' + b"9" * 40 + b'"'), Status.PARSE_BAD_NUMBER),
    "negative price": (replaced("usdm_depth", b"61800.20", b"-1800.20"), Status.PARSE_BAD_NUMBER),
    "price of zero": (replaced("usdm_depth", b"61800.20", b"0.00"), Status.PARSE_BAD_NUMBER),
    "level of one": (replaced("usdm_depth", b'["61800.20","2.507"]', b'["61800.20"]'), Status.PARSE_WRONG_TYPE),
    "level of three": (replaced("usdm_depth", b'"2.507"]', b'"2.507","1"]'), Status.PARSE_WRONG_TYPE),
    "object as side": (replaced("usdm_depth_empty", b'"b":[]', b'"b":{}'), Status.PARSE_WRONG_TYPE),
    "stream without data": (b'{"stream":"btcusdt@trade"}', Status.PARSE_MISSING_KEY),
    "list of messages": (f.combined(b"[" + f.MESSAGES["mark"] + b"]"), Status.PARSE_WRONG_TYPE),
    "nothing of ours": (b"{}", Status.PARSE_MISSING_KEY),
    "not an object": (b"[1]", Status.PARSE_WRONG_TYPE),
    "side of neither": (replaced("liquidation", b"SELL", b"HOLD"), Status.PARSE_WRONG_TYPE),
    "trailing junk": (f.MESSAGES["mark"] + b"x", Status.PARSE_TRAILING),
    "too deep": (replaced("mark", b"{", b'{"x":' + b"[" * 40 + b"]" * 40 + b","), Status.PARSE_TOO_DEEP),
    "empty": (b"", Status.PARSE_TRUNCATED),
    "a megabyte of junk": (random.Random(1).randbytes(1 << 20), Status.PARSE_SYNTAX),
    "a megabyte of brackets": (b"[" * (1 << 20), Status.PARSE_TOO_DEEP),
    "ten megabytes": (b" " * 10_000_000, Status.PARSE_TOO_LONG),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_fault_has_its_status_and_is_counted_under_it(name):
    frame, status = REFUSED[name]
    parsers = pair()
    assert assert_agree(frame, parsers) == status
    assert parsers[0].counters()[status.name] == 1
    assert parsers[0].counters()["frames"] == 1
    parsers[0].check()
    with pytest.raises(errors.by_status(status)):
        parsers[0].parse(frame)


def test_more_levels_than_the_limit_or_events_than_room_are_refused(impl):
    depth = f.MESSAGES["usdm_depth"]
    assert impl.Parser(f.SYMBOLS, levels_max=1).read(depth)[0] == Status.PARSE_TOO_MANY_LEVELS
    assert impl.Parser(f.SYMBOLS, levels_max=2).read(depth)[0] == Status.OK
    for room, status in ((0, Status.PARSE_NO_ROOM), (3, Status.PARSE_NO_ROOM), (4, Status.OK)):
        got, events = impl.Parser(f.SYMBOLS, room=room).read(depth)
        assert (got, len(events)) == (status, 4 if status == Status.OK else 0)
    for name in ("kline", "spot_quote", "spot_trade", "mark", "liquidation", "usdm_depth_empty"):
        assert impl.Parser(f.SYMBOLS, room=0).read(f.MESSAGES[name])[0] == Status.PARSE_NO_ROOM
    assert impl.Parser(f.SYMBOLS, frame_bytes_max=10).read(depth)[0] == Status.PARSE_TOO_LONG


@pytest.mark.parametrize("bad", [{"time_unit": "s"}, {"frame_bytes_max": 0}, {"levels_max": 0}])
def test_impossible_settings_are_refused(impl, bad):
    with pytest.raises(errors.BadSize):
        impl.Parser(f.SYMBOLS, **bad)
    with pytest.raises(errors.FrameUnknownSymbol):
        impl.Parser(f.SYMBOLS, context_symbol="NOPE")


def test_the_detail_names_the_fault_of_a_number(impl):
    parser = impl.Parser(f.SYMBOLS)
    assert parser.read(REFUSED["off the step"][0])[0] == Status.PARSE_BAD_NUMBER
    assert parser.detail == Status.DECIMAL_TOO_MANY_DIGITS
    assert parser.read(replaced("usdm_depth", b"61800.20", b"-1800.20"))[0] == Status.PARSE_BAD_NUMBER
    assert parser.detail == Status.DECIMAL_SIGN


# ------------------------------------------------------------------------------------------ cut, flipped, rearranged
EVERY_FORM = [form for text in [*f.MESSAGES.values(), *f.REPLIES.values()] for form in (text, f.combined(text))]


@pytest.mark.parametrize("frame", EVERY_FORM, ids=range(len(EVERY_FORM)))
def test_a_frame_cut_at_any_byte_is_truncated(frame):
    for size in range(len(frame)):
        assert FAST.read(frame[:size])[0] == GENERAL.read(frame[:size])[0] == Status.PARSE_TRUNCATED
        assert FAST.read(frame + frame[:1] * (size % 3 + 1))[0] == Status.PARSE_TRAILING


def test_flipped_bytes_get_one_answer_from_all_three_ways():
    rng = random.Random(11)
    seen = set()
    for frame in EVERY_FORM:
        for _ in range(250):
            bent = bytearray(frame)
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                bent[rng.randrange(len(bent))] = rng.choice((rng.randrange(256), *b'"\\{}[],:.0-9eEbauU'))
            seen.add(assert_agree(bytes(bent)))
    assert {Status.OK, Status.PARSE_SYNTAX, Status.PARSE_BAD_NUMBER, Status.PARSE_MISSING_KEY} <= seen


def blanks(rng):
    return "".join(rng.choices(" \t\r\n", k=rng.choice((0, 0, 1, 3))))


def written(value, rng):
    """The value as JSON with its members in a random order and random white space."""
    around = blanks(rng), blanks(rng)
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        members = (f"{blanks(rng)}{json.dumps(k)}{blanks(rng)}:{written(v, rng)}" for k, v in items)
        return f"{around[0]}{{{','.join(members)}{blanks(rng)}}}{around[1]}"
    if isinstance(value, list):
        return f"{around[0]}[{','.join(written(v, rng) for v in value)}{blanks(rng)}]{around[1]}"
    return around[0] + json.dumps(value) + around[1]


@given(st.sampled_from(EVERY_FORM), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=600)
def test_any_key_order_and_white_space_gives_the_same_events(frame, rng, extra):
    value = json.loads(frame)
    if extra:
        value["unknown"] = {"deep": [1.5, '\\"é', None, {}], "e": "trade"}
    bent = written(value, rng).encode()
    assert assert_agree(bent) == FAST.read(frame)[0]
    assert FAST.read(bent)[1].tobytes() == FAST.read(frame)[1].tobytes()


number = st.one_of(
    st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9})?", fullmatch=True),
    st.from_regex(r"(0|[1-9][0-9]{0,5})\.[0-9]{0,2}0{0,6}", fullmatch=True),
    st.text("0123456789.-+e ", max_size=12),
)
ids = st.integers(0, 10**19)


@given(
    st.sampled_from([s[0] for s in f.SYMBOLS]),
    st.lists(st.tuples(number, number), max_size=6),
    ids,
    ids,
    st.integers(0, 6),
)
@settings(max_examples=1500)
def test_generated_depth_messages_agree(symbol, levels, first, last, cut):
    pairs = [list(level) for level in levels]
    value = {
        "e": "depthUpdate",
        "E": first % 10**13,
        "s": symbol,
        "U": first,
        "u": last,
        "b": pairs[:cut],
        "a": pairs[cut:],
    }
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    assert_agree(text)
    assert_agree(f.combined(text, symbol.lower().encode() + b"@depth5"))


@given(
    st.tuples(number, number),
    st.tuples(ids, ids),
    st.booleans(),
    st.sampled_from(["spot_trade", "usdm_agg", "spot_agg", "usdm_trade"]),
)
@settings(max_examples=1000)
def test_generated_trades_agree(pair_of_texts, numbers, maker, name):
    (px, qty), (number_id, time) = pair_of_texts, numbers
    value = json.loads(f.MESSAGES[name]) | {"p": px, "q": qty, "T": time, "m": maker}
    value["a" if "agg" in name else "t"] = number_id
    assert_agree(json.dumps(value, separators=(",", ":")).encode())


# ---------------------------------------------------------------------------------------------------------- memory
def test_no_byte_outside_a_frame_is_read():
    """Frames laid against pages that may not be touched, behind and before: a read outside ends the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 3 * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(area))
    for guard in (base, base + 2 * page):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    seen = 0
    for frame in [*EVERY_FORM, REFUSED["price of 40 digits"][0]]:
        for size in range(1, len(frame) + 1):
            for start in (2 * page - size, page):
                ctypes.memmove(base + start, frame, size)
                for parser in (FAST, GENERAL):
                    seen += parser.read_at(base + start, size)[0] == Status.OK
    assert seen == 4 * sum(FAST.read(frame)[0] == Status.OK for frame in EVERY_FORM)
    for guard in (base, base + 2 * page):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 3) == 0


def test_what_is_read_and_refused_changes_nothing_but_counters():
    parser = core.Parser(f.SYMBOLS)
    block = (ctypes.c_char * 384).from_address(parser.address)
    before = block.raw[:32]
    for frame, _ in REFUSED.values():
        parser.read(frame)
    for frame in EVERY_FORM:
        parser.read(frame)
    assert block.raw[:32] == before
    parser.check()


# -------------------------------------------------------------------------------------------------------------- SBE
@pytest.mark.parametrize("name", f.SBE)
def test_sbe_frames_agree_with_the_twin_whole_cut_and_flipped(name):
    frame = f.SBE[name]
    rng = random.Random(3)
    bent = [frame, frame + b"\x00", *(frame[:size] for size in range(len(frame)))]
    for _ in range(1500):
        flipped = bytearray(frame)
        flipped[rng.randrange(len(frame))] = rng.choice((0, 1, 255, rng.randrange(256)))
        bent.append(bytes(flipped))
    for one in bent:
        status, events = FAST.read_sbe(one, 3)
        wanted, wanted_events = TWIN.read_sbe(one, 3)
        assert (status, events.tobytes(), FAST.detail) == (wanted, wanted_events.tobytes(), TWIN.detail), one
    assert FAST.read_sbe(frame)[0] == Status.OK
    for size in range(len(frame)):
        assert FAST.read_sbe(frame[:size])[0] == Status.PARSE_TRUNCATED


def test_sbe_and_json_give_the_same_levels(impl):
    parser = impl.Parser(f.SYMBOLS)
    binary = parser.parse_sbe(f.SBE["newer_schema"])
    text = (
        b'{"e":"depthUpdate","E":1672515782136,"s":"BTCUSDT","U":390,"u":400,'
        b'"b":[["61837.63","0.00005"]],"a":[["61837.64","0.00007"]]}'
    )
    assert binary["word"].tolist() == parser.parse(text)["word"].tolist()
    assert binary["flags"].tolist() == parser.parse(text)["flags"].tolist()
    assert binary["ts_venue_ns"].tolist() == [1672515782136123000] * 2


@pytest.mark.parametrize(
    ("at", "value", "status"),
    [
        (4, 2, Status.PARSE_BAD_SCHEMA),  # schema
        (2, 10004, Status.PARSE_BAD_SCHEMA),  # template
        (0, 25, Status.PARSE_BAD_SCHEMA),  # root block shorter than its fields
        (34, 15, Status.PARSE_BAD_SCHEMA),  # group block shorter than its fields
        (36, 9, Status.PARSE_TRUNCATED),  # more levels than bytes
    ],
)
def test_a_wrong_sbe_header_is_refused(impl, at, value, status):
    frame = bytearray(f.SBE["diff"])
    struct.pack_into("<H", frame, at, value)
    assert impl.Parser(f.SYMBOLS).read_sbe(frame)[0] == status


# --------------------------------------------------------------------------------------------------- recorded frames
class AnyMessage(msgspec.Struct):
    e: str | None = None
    s: str | None = None
    p: str | None = None
    q: str | None = None
    b: list[tuple[str, str]] | str | int | None = None
    a: list[tuple[str, str]] | str | int | None = None
    B: str | None = None
    A: str | None = None
    bids: list[tuple[str, str]] | None = None
    asks: list[tuple[str, str]] | None = None
    k: dict[str, str | int | bool] | None = None
    i: str | None = None


class Combined(msgspec.Struct):
    data: AnyMessage


DECODE_COMBINED, DECODE_RAW = msgspec.json.Decoder(Combined).decode, msgspec.json.Decoder(AnyMessage).decode


def numbers_of(frame):
    """Every price and quantity of a frame in the events' order, by msgspec."""
    data = DECODE_COMBINED(frame).data if frame.startswith(b'{"stream"') else DECODE_RAW(frame)
    if data.e == "kline":
        return [data.k[key] for key in "ohlcv"]
    if data.e == "markPriceUpdate":
        return [data.p, data.i]
    if data.e in {"trade", "aggTrade"}:
        return [data.p, data.q]
    if isinstance(data.b, str):
        return [data.b, data.B, data.a, data.A]
    levels = [*(data.b or data.bids or []), *(data.a or data.asks or [])]
    return [text for level in levels for text in level]


WORDS = {Kind.KIND_BOOK_LEVEL: 2, Kind.KIND_QUOTE: 4, Kind.KIND_TRADE: 2, Kind.KIND_AGG_TRADE: 2}
WORDS |= {Kind.KIND_BAR_PRICES: 5, Kind.KIND_MARK: 2}
# With BOT4_STRESS the twin reads every recorded frame.
WHOLE = "BOT4_STRESS" in os.environ


def scaled(text):
    """The number of a text at steps of 1e-8, exactly."""
    whole, _, part = text.partition(".")
    return int(whole + part) * 10 ** (8 - len(part))


def check_recorded(recorded, symbols, *, twin_every):
    """All ways over recorded frames, msgspec beside them: prices at steps of 1e-8 are the texts times 1e8.

    The kernel's two ways and msgspec see every frame. The twin costs a hundred times as much and sees each n-th.
    """
    options = {"context_symbol": symbols[0][0]}
    ours, general = core.Parser(symbols, **options), core.Parser(symbols, general_only=True, **options)
    twin = model.Parser(symbols, **options)
    for i, frame in enumerate(recorded):
        status, events = ours.read(frame, i)
        slow = general.read(frame, i)
        assert (status, events.tobytes()) == (slow[0], slow[1].tobytes()), frame[:300]
        assert status == Status.OK, frame[:300]
        texts = numbers_of(frame)
        kind = int(events["kind"][0])
        # A bar's prices and volume stand in the first of its two events.
        rows = events["word"][: 1 if kind == Kind.KIND_BAR_PRICES else None, : WORDS[kind]]
        got = rows.ravel().tolist()
        if texts or got != [0, 0]:
            assert got == [scaled(text) for text in texts]
        if i % twin_every == 0:
            wanted, wanted_events = twin.read(frame, i)
            assert (wanted, wanted_events.tobytes()) == (status, events.tobytes()), frame[:300]
    ours.check()
    return ours.counters()


LOGS = ["spot_btcusdt_20230405", "spot_btcusdt_20240808", "spot_btcusdt_20240809", "usdm_btcusdt_20230404"]
LOGS += ["usdm_btcusdt_20230405", "usdm_btcusdt_20240808", "usdm_ethusdt_20240808", "cm_btcusd_perp_20240808"]
LOGS += ["cm_btcusd_perp_20240809"]
FINE = [(name, i, "0.00000001", "0.00000001") for i, name in enumerate(("BTCUSDT", "ETHUSDT", "BTCUSD_PERP"))]


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", LOGS)
def test_every_frame_of_the_recorded_logs(name):
    counters = check_recorded(
        f.recorded_logs(shared_path("binance_raw", f"{name}.log.gz")), FINE, twin_every=1 if WHOLE else 199
    )
    assert counters["OK"] == counters["frames"] > 13_000
    if not name.startswith("cm_"):
        assert counters["fast"] > 0.999 * counters["frames"]


CAPTURES = ["BINANCE_20210405", "BINANCE_20211012", "BINANCE_FUTURES_20210722", "BINANCE_US_20211012"]
CAPTURES += ["BINANCE_DELIVERY_20210722"]


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", CAPTURES)
def test_every_frame_of_the_recorded_captures(name):
    recorded = list(f.recorded_captures(shared_path("ws_raw", f"{name}.jsonl.gz")))
    counters = check_recorded(recorded, f.symbols_named_in(recorded), twin_every=1 if WHOLE else 5)
    assert counters["OK"] == counters["frames"] == len(recorded) > 100


@pytest.mark.needs_shared
def test_published_examples_are_read_or_refused_alike():
    """The examples others keep of Binance's payloads, single-line or pretty-printed, known and unknown events."""
    folder = shared_path("fixtures", "nautilus", "binance")
    recorded = [path.read_bytes() for path in sorted(folder.glob("*.json"))]
    parsers = [
        core.Parser(f.symbols_named_in(recorded), frame_bytes_max=1 << 22),
        core.Parser(f.symbols_named_in(recorded), frame_bytes_max=1 << 22, general_only=True),
        model.Parser(f.symbols_named_in(recorded), frame_bytes_max=1 << 22),
    ]
    seen = [assert_agree(frame, parsers) for frame in recorded]
    assert seen.count(Status.OK) >= 8
    assert Status.PARSE_UNKNOWN_EVENT in seen


def test_decimal_text_and_ticks_name_the_same_number():
    text = b'{"u":1,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64","A":"0"}'
    (event,) = FAST.parse(text)
    assert [Decimal(int(w)) for w in event["word"][:4]] == [
        Decimal("61837.63") / Decimal("0.01"),
        Decimal("3.78826") / Decimal("0.000001"),
        Decimal("61837.64") / Decimal("0.01"),
        0,
    ]
    assert np.all(FAST.parse(text)["seq"] == 0)

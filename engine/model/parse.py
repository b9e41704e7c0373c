"""Twin of the parser: json.loads, dictionaries and decimal.Decimal. Slow and obvious.

It reads a message's fields in the order that is fixed in docs/kernels/parse.md, so a frame with several faults gets
the same status from both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine import errors
from engine._core import types
from engine._core.types import Flag, Kind, Status
from engine.model import decimal
from engine.model.scan import MARK, Malformed, Number, Object, load
from engine.model.symbols import Entry, Symbols

INT64_MAX = 2**63 - 1
NAMED = {"pu", "ap", "stream", "data", "lastUpdateId", "bids", "asks", "result", "error", "code"}
REPLY, ERROR, SHUTDOWN = 1, 2, 3
SOLD = int(Flag.FLAG_BUYER_MAKER | Flag.FLAG_SELL)
MESSAGES = {
    b"bookTicker": "_quote",
    b"aggTrade": "_aggregate",
    b"trade": "_trade",
    b"kline": "_kline",
    b"markPriceUpdate": "_mark",
    b"forceOrder": "_liquidation",
}
Fields = dict[str, Any]


class Refused(Exception):  # noqa: N818
    def __init__(self, status: Status, *, not_data: int = 0, detail: int = 0) -> None:
        super().__init__(status)
        self.status = status
        self.not_data = not_data
        self.detail = detail


def fields_of(value: Object) -> Fields:
    if any(MARK in key for key, _ in value):
        raise Refused(Status.PARSE_ESCAPE)
    ours = [key for key, _ in value if key in NAMED or (len(key) == 1 and key.isascii() and key.isalpha())]
    if len(ours) != len(set(ours)):
        raise Refused(Status.PARSE_DUPLICATE_KEY)
    return dict(value)


def get(fields: Fields, key: str) -> Any:
    if key not in fields:
        raise Refused(Status.PARSE_MISSING_KEY)
    return fields[key]


def whole(fields: Fields, key: str) -> int:
    value = get(fields, key)
    if not isinstance(value, Number) or set(value) & set(".eE"):
        raise Refused(Status.PARSE_WRONG_TYPE)
    if value.startswith("-") or len(value) > 19 or int(value) > INT64_MAX:
        raise Refused(Status.PARSE_BAD_NUMBER)
    return int(value)


def text(fields: Fields, key: str) -> bytes:
    value = get(fields, key)
    if not isinstance(value, str) or isinstance(value, Number):
        raise Refused(Status.PARSE_WRONG_TYPE)
    if MARK in value:
        raise Refused(Status.PARSE_ESCAPE)
    return value.encode()


def bad_number(error: errors.DecimalError) -> Refused:
    return Refused(Status.PARSE_BAD_NUMBER, detail=int(error.status or 0))


def steps(fields: Fields, key: str, step: bytes) -> int:
    try:
        return decimal.parse_steps(text(fields, key), step)
    except errors.DecimalError as error:
        raise bad_number(error) from None


def e8(fields: Fields, key: str) -> int:
    try:
        return decimal.parse(text(fields, key), 8)
    except errors.DecimalError as error:
        raise bad_number(error) from None


def truth(fields: Fields, key: str) -> bool:
    value = get(fields, key)
    if not isinstance(value, bool):
        raise Refused(Status.PARSE_WRONG_TYPE)
    return value


class Depth(NamedTuple):
    """What all levels of a message share."""

    entry: Entry
    flags: int
    ts: int
    ids: tuple[int, int, int]


class Parser:
    def __init__(
        self,
        symbols: Symbols | Iterable[tuple[str, int, str, str]],
        *,
        time_unit: str = "ms",
        context_symbol: str | None = None,
        context_snapshot: bool = False,
        frame_bytes_max: int = 1 << 20,
        levels_max: int = 5000,
        room: int = 10_000,
        general_only: bool = False,
    ) -> None:
        self.symbols = symbols if isinstance(symbols, Symbols) else Symbols(symbols)
        self.context: Entry | None = None
        if context_symbol is not None:
            self.context = self.symbols.entry(context_symbol.encode())
            if self.context is None:
                raise errors.FrameUnknownSymbol(context_symbol)
        if time_unit not in {"ms", "us"} or frame_bytes_max < 1 or levels_max < 1:
            raise errors.BadSize(time_unit)
        self.unit_ns = {"ms": 1_000_000, "us": 1_000}[time_unit]
        self.context_snapshot = context_snapshot
        self.frame_bytes_max, self.levels_max, self.room = frame_bytes_max, levels_max, room
        self.detail = self.not_data = 0
        self.statuses: list[tuple[Status, int]] = []

    # ------------------------------------------------------------------------------------------------ what callers see
    def read(self, frame: bytes, ts_recv_ns: int = 0) -> tuple[Status, npt.NDArray[Any]]:
        return self._guarded(self._json, bytes(frame), ts_recv_ns)

    def read_sbe(self, frame: bytes, ts_recv_ns: int = 0) -> tuple[Status, npt.NDArray[Any]]:
        return self._guarded(self._sbe, bytes(frame), ts_recv_ns)

    def parse(self, frame: bytes, ts_recv_ns: int = 0) -> npt.NDArray[Any]:
        status, events = self.read(frame, ts_recv_ns)
        if status != Status.OK:
            raise errors.by_status(status)(f"{len(frame)} bytes")
        return events

    def parse_sbe(self, frame: bytes, ts_recv_ns: int = 0) -> npt.NDArray[Any]:
        status, events = self.read_sbe(frame, ts_recv_ns)
        if status != Status.OK:
            raise errors.by_status(status)(f"{len(frame)} bytes")
        return events

    def counters(self) -> dict[str, int]:
        seen = [status for status, _ in self.statuses]
        kinds = [kind for _, kind in self.statuses]
        out = {status.name or "": seen.count(status) for status in Status if 500 < status < 532}
        out["OK"] = seen.count(Status.OK)
        for kind, name in ((REPLY, "reply"), (ERROR, "error"), (SHUTDOWN, "shutdown")):
            out[f"not_data_{name}"] = kinds.count(kind)
        return out | {"frames": len(seen)}

    def check(self) -> None:
        self.symbols.check()

    def _guarded(self, read: Any, frame: bytes, ts_recv_ns: int) -> tuple[Status, npt.NDArray[Any]]:
        self.detail = self.not_data = 0
        self.events: list[tuple[int, int, int, int, tuple[int, ...]]] = []
        try:
            if len(frame) > self.frame_bytes_max:
                raise Refused(Status.PARSE_TOO_LONG)
            if not frame:
                raise Refused(Status.PARSE_TRUNCATED)
            read(frame)
            status = Status.OK
        except Malformed:
            status, self.events = Status.PARSE_SYNTAX, []
        except Refused as refused:
            status, self.events = refused.status, []
            self.not_data, self.detail = refused.not_data, refused.detail
        self.statuses.append((status, self.not_data))
        return status, self._array(ts_recv_ns)

    def _array(self, ts_recv_ns: int) -> npt.NDArray[Any]:
        out = np.zeros(len(self.events), dtype=types.EVENT)
        for i, (kind, flags, symbol, ts, words) in enumerate(self.events):
            first = int(Flag.FLAG_FIRST) if i == 0 else 0
            last = int(Flag.FLAG_LAST) if i == len(self.events) - 1 else 0
            out[i] = (kind, flags | first | last, symbol, 0, ts, ts_recv_ns, words)
        return out

    def _emit(self, kind: Kind, flags: int, entry: Entry, ts: int, *words: int) -> None:
        if len(self.events) == self.room:
            raise Refused(Status.PARSE_NO_ROOM)
        self.events.append((int(kind), flags, entry.symbol, ts, words))

    # ----------------------------------------------------------------------------------------------------------- JSON
    def _time(self, fields: Fields, key: str) -> int:
        ns = whole(fields, key) * self.unit_ns
        if ns > INT64_MAX:
            raise Refused(Status.PARSE_BAD_NUMBER)
        return ns

    def _symbol(self, fields: Fields) -> Entry:
        entry = self.symbols.entry(text(fields, "s"))
        if entry is None:
            raise Refused(Status.PARSE_UNKNOWN_SYMBOL)
        return entry

    def _json(self, frame: bytes) -> None:
        document = load(frame)
        if not isinstance(document, Object):
            raise Refused(Status.PARSE_WRONG_TYPE)
        top = fields_of(document)
        if "stream" not in top and "data" not in top:
            self._payload(top, None)
            return
        stream = text(top, "stream")
        data = get(top, "data")
        if not isinstance(data, Object):
            raise Refused(Status.PARSE_WRONG_TYPE)
        self._payload(fields_of(data), stream)

    def _payload(self, fields: Fields, stream: bytes | None) -> None:
        if "e" not in fields:
            if "lastUpdateId" in fields:
                self._partial_depth(fields, stream)
            elif "u" in fields:
                self._quote(fields)
            elif "error" in fields or "code" in fields:
                raise Refused(Status.PARSE_NOT_DATA, not_data=ERROR)
            elif "result" in fields:
                raise Refused(Status.PARSE_NOT_DATA, not_data=REPLY)
            else:
                raise Refused(Status.PARSE_MISSING_KEY)
            return
        name = text(fields, "e")
        if name == b"serverShutdown":
            raise Refused(Status.PARSE_NOT_DATA, not_data=SHUTDOWN)
        if name == b"depthUpdate":
            self._depth_update(fields, snapshot=self._is_partial(stream))
        elif name in MESSAGES:
            getattr(self, MESSAGES[name])(fields)
        else:
            raise Refused(Status.PARSE_UNKNOWN_EVENT)

    def _is_partial(self, stream: bytes | None) -> bool:
        if stream is None:
            return self.context_snapshot
        _, _, name = stream.partition(b"@")
        return name[:5] == b"depth" and name[5:6].isdigit()

    def _depth_update(self, fields: Fields, *, snapshot: bool) -> None:
        ts = self._time(fields, "E")
        if "T" in fields:
            ts = self._time(fields, "T")
        entry = self._symbol(fields)
        ids = (whole(fields, "U"), whole(fields, "u"), whole(fields, "pu") if "pu" in fields else -1)
        flags = int(Flag.FLAG_SNAPSHOT) if snapshot else 0
        self._depth(fields, ("b", "a"), Depth(entry, flags, ts, ids))

    def _partial_depth(self, fields: Fields, stream: bytes | None) -> None:
        entry = self.context
        if stream is not None:
            entry = self.symbols.entry(stream.partition(b"@")[0], fold=True)
        if entry is None:
            raise Refused(Status.PARSE_UNKNOWN_SYMBOL)
        last = whole(fields, "lastUpdateId")
        flags, ts = int(Flag.FLAG_SNAPSHOT), 0
        if "T" in fields:
            ts = self._time(fields, "T")
        elif "E" in fields:
            ts = self._time(fields, "E")
        else:
            flags |= int(Flag.FLAG_NO_VENUE_TIME)
        self._depth(fields, ("bids", "asks"), Depth(entry, flags, ts, (last, last, -1)))

    def _depth(self, fields: Fields, keys: tuple[str, str], depth: Depth) -> None:
        for key, side in zip(keys, (0, int(Flag.FLAG_ASK)), strict=True):
            levels = get(fields, key)
            if not isinstance(levels, list) or isinstance(levels, Object):
                raise Refused(Status.PARSE_WRONG_TYPE)
            self._side(depth, side, (self._level(level, depth.entry) for level in levels), len(levels))
        self._nothing_but_ids(depth)

    def _side(self, depth: Depth, side: int, levels: Iterator[tuple[int, int]], count: int) -> None:
        for i in range(count):
            if i == self.levels_max:
                raise Refused(Status.PARSE_TOO_MANY_LEVELS)
            if len(self.events) == self.room:
                raise Refused(Status.PARSE_NO_ROOM)
            px, qty = next(levels)
            if px == 0:
                raise Refused(Status.PARSE_BAD_NUMBER)
            self._emit(Kind.KIND_BOOK_LEVEL, depth.flags | side, depth.entry, depth.ts, px, qty, *depth.ids)

    def _nothing_but_ids(self, depth: Depth) -> None:
        """A message without levels still carries its ids; a whole image without any clears the book."""
        if not self.events:
            kind = Kind.KIND_BOOK_CLEAR if depth.flags & Flag.FLAG_SNAPSHOT else Kind.KIND_BOOK_LEVEL
            self._emit(kind, depth.flags, depth.entry, depth.ts, 0, 0, *depth.ids)

    @staticmethod
    def _level(level: Any, entry: Entry) -> tuple[int, int]:
        if not isinstance(level, list) or isinstance(level, Object) or len(level) != 2:
            raise Refused(Status.PARSE_WRONG_TYPE)
        if any(not isinstance(part, str) or isinstance(part, Number) for part in level):
            raise Refused(Status.PARSE_WRONG_TYPE)
        both = {"px": level[0], "qty": level[1]}
        text(both, "px"), text(both, "qty")
        return steps(both, "px", entry.px_step), steps(both, "qty", entry.qty_step)

    def _aggregate(self, fields: Fields) -> None:
        self._trade(fields, "a", Kind.KIND_AGG_TRADE)

    def _trade(self, fields: Fields, id_key: str = "t", kind: Kind = Kind.KIND_TRADE) -> None:
        self._time(fields, "E")
        entry = self._symbol(fields)
        first = last = number = whole(fields, id_key)
        px, qty = steps(fields, "p", entry.px_step), steps(fields, "q", entry.qty_step)
        if kind == Kind.KIND_AGG_TRADE:
            first, last = whole(fields, "f"), whole(fields, "l")
        ts = self._time(fields, "T")
        flags = SOLD if truth(fields, "m") else 0
        self._emit(kind, flags, entry, ts, px, qty, number, first, last)

    def _quote(self, fields: Fields) -> None:
        book = whole(fields, "u")
        entry = self._symbol(fields)
        bid = steps(fields, "b", entry.px_step), steps(fields, "B", entry.qty_step)
        ask = steps(fields, "a", entry.px_step), steps(fields, "A", entry.qty_step)
        ts = flags = 0
        if "T" in fields:
            ts = self._time(fields, "T")
        elif "E" in fields:
            ts = self._time(fields, "E")
        else:
            flags = int(Flag.FLAG_NO_VENUE_TIME)
        self._emit(Kind.KIND_QUOTE, flags, entry, ts, *bid, *ask, book)

    def _kline(self, fields: Fields) -> None:
        ts = self._time(fields, "E")
        entry = self._symbol(fields)
        inner = get(fields, "k")
        if not isinstance(inner, Object):
            raise Refused(Status.PARSE_WRONG_TYPE)
        k = fields_of(inner)
        opened, closed = self._time(k, "t"), self._time(k, "T")
        prices = [steps(k, key, entry.px_step) for key in "ohlc"]
        volume = steps(k, "v", entry.qty_step)
        totals = (whole(k, "n"), e8(k, "q"), steps(k, "V", entry.qty_step))
        flags = int(Flag.FLAG_CLOSED) if truth(k, "x") else 0
        self._emit(Kind.KIND_BAR_PRICES, flags, entry, ts, *prices, volume)
        self._emit(Kind.KIND_BAR_TOTALS, flags, entry, ts, opened, closed, *totals)

    def _mark(self, fields: Fields) -> None:
        ts = self._time(fields, "E")
        entry = self._symbol(fields)
        mark, index = e8(fields, "p"), e8(fields, "i")
        settle = e8(fields, "P") if "P" in fields else 0
        funding = self._time(fields, "T")
        rate_text = text(fields, "r")
        rate = 0
        # Dated contracts have no funding: an empty rate with time 0.
        if rate_text or funding:
            try:
                rate = decimal.parse_signed(rate_text, 8)
            except errors.DecimalError as error:
                raise bad_number(error) from None
        self._emit(Kind.KIND_MARK, 0, entry, ts, mark, index, settle, rate, funding)

    def _liquidation(self, fields: Fields) -> None:
        self._time(fields, "E")
        inner = get(fields, "o")
        if not isinstance(inner, Object):
            raise Refused(Status.PARSE_WRONG_TYPE)
        o = fields_of(inner)
        entry = self._symbol(o)
        side = text(o, "S")
        if side not in {b"BUY", b"SELL"}:
            raise Refused(Status.PARSE_WRONG_TYPE)
        px, qty = steps(o, "p", entry.px_step), steps(o, "q", entry.qty_step)
        average = e8(o, "ap")
        last, filled = steps(o, "l", entry.qty_step), steps(o, "z", entry.qty_step)
        flags = int(Flag.FLAG_SELL) if side == b"SELL" else 0
        self._emit(Kind.KIND_LIQUIDATION, flags, entry, self._time(o, "T"), px, qty, average, last, filled)

    # ------------------------------------------------------------------------------------------------------------ SBE
    def _sbe(self, frame: bytes) -> None:
        if len(frame) < 8:
            raise Refused(Status.PARSE_TRUNCATED)
        block, template, schema, version = struct.unpack_from("<HHHH", frame)
        root = {10000: "<qqbb", 10001: "<qqbbqqqq", 10002: "<qqbb", 10003: "<qqqbb"}.get(template)
        if schema != 1 or root is None or block < struct.calcsize(root):
            raise Refused(Status.PARSE_BAD_SCHEMA)
        self._need(frame, 8 + block)
        head = struct.unpack_from(root, frame, 8)
        shapes = {10000: ["<HI"], 10001: [], 10002: ["<HH"] * 2, 10003: ["<HH"] * 2}[template]
        at, groups = 8 + block, []
        for shape in shapes:
            rows, at = self._group(frame, at, shape, "<qqqB" if template == 10000 else "<qq")
            groups.append(rows)
        self._need(frame, at + 1)
        end = at + 1 + frame[at]
        self._need(frame, end)
        if version == 0 and end != len(frame):
            raise Refused(Status.PARSE_TRAILING)
        entry = self.symbols.entry(frame[at + 1 : end])
        if entry is None:
            raise Refused(Status.PARSE_UNKNOWN_SYMBOL)
        self._sbe_message(template, head, groups, entry)

    @staticmethod
    def _need(frame: bytes, size: int) -> None:
        if len(frame) < size:
            raise Refused(Status.PARSE_TRUNCATED)

    def _group(self, frame: bytes, at: int, shape: str, row: str) -> tuple[list[tuple[int, ...]], int]:
        size = struct.calcsize(shape)
        self._need(frame, at + size)
        block, count = struct.unpack_from(shape, frame, at)
        at += size
        if block < struct.calcsize(row):
            raise Refused(Status.PARSE_BAD_SCHEMA)
        self._need(frame, at + block * count)
        return [struct.unpack_from(row, frame, at + i * block) for i in range(count)], at + block * count

    def _sbe_message(self, template: int, head: Any, groups: list[list[tuple[int, ...]]], entry: Entry) -> None:
        ts = self._microseconds(head[0])
        if template == 10001:
            _, book, px_exp, qty_exp, *both = head
            if book < 0:
                raise Refused(Status.PARSE_BAD_NUMBER)
            words = [
                self._mantissa(m, e, s) for m, e, s in zip(both, (px_exp, qty_exp) * 2, entry[1:] * 2, strict=True)
            ]
            self._emit(Kind.KIND_QUOTE, 0, entry, ts, *words, book)
            return
        px_exp, qty_exp = head[-2:]
        if template == 10000:
            self._sbe_trades(self._microseconds(head[1]), groups[0], (px_exp, qty_exp), entry)
            return
        if min(head[1:-2]) < 0:
            raise Refused(Status.PARSE_BAD_NUMBER)
        ids = (head[1], head[-3] if template == 10003 else head[1], -1)
        depth = Depth(entry, int(Flag.FLAG_SNAPSHOT) if template == 10002 else 0, ts, ids)
        for rows, side in zip(groups, (0, int(Flag.FLAG_ASK)), strict=True):
            levels = (
                (self._mantissa(px, px_exp, entry.px_step), self._mantissa(qty, qty_exp, entry.qty_step))
                for px, qty in rows
            )
            self._side(depth, side, levels, len(rows))
        self._nothing_but_ids(depth)

    def _sbe_trades(self, ts: int, rows: list[tuple[int, ...]], exponents: tuple[int, int], entry: Entry) -> None:
        for number, px, qty, maker in rows:
            if len(self.events) == self.room:
                raise Refused(Status.PARSE_NO_ROOM)
            if number < 0:
                raise Refused(Status.PARSE_BAD_NUMBER)
            ticks = self._mantissa(px, exponents[0], entry.px_step)
            lots = self._mantissa(qty, exponents[1], entry.qty_step)
            if maker > 1:
                raise Refused(Status.PARSE_WRONG_TYPE)
            self._emit(Kind.KIND_TRADE, SOLD if maker else 0, entry, ts, ticks, lots, number, number, number)

    @staticmethod
    def _microseconds(us: int) -> int:
        if us < 0 or us * 1000 > INT64_MAX:
            raise Refused(Status.PARSE_BAD_NUMBER)
        return us * 1000

    @staticmethod
    def _mantissa(mantissa: int, exponent: int, step: bytes) -> int:
        scale, size = decimal.step_of(step)
        if mantissa < 0:
            raise Refused(Status.PARSE_BAD_NUMBER, detail=int(Status.DECIMAL_SIGN))
        try:
            return decimal.to_steps(decimal.rescale(mantissa, -exponent, scale), size)
        except errors.DecimalError as error:
            raise bad_number(error) from None

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from engine._core.debug cimport debug_assert, likely, static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.parse_binance cimport binance_general
from engine._core.parse_fast cimport binance_fast
from engine._core.parse_sbe cimport sbe_frame
from engine._core.parse_state cimport NOT_DATA_SLOTS, STATUS_SLOTS, parser_symbols, sink_t
from engine._core.symbols cimport symbol_t, symbols_entries, symbols_find
from engine._core.types cimport ARENA_BAD_SIZE, OK, PARSE_TOO_LONG, PARSE_TRUNCATED, PARSE_UNKNOWN_SYMBOL, raise_status

from engine._core.types import EVENT, Status

# Spans in a frame have 32 bits.
cdef uint32_t FRAME_BYTES_LIMIT = 1 << 30


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(parser_t) == 384)
    static_assert_c(sizeof(parser_t) % 64 == 0)
    static_assert_c(sizeof(event_t) == 64)


cdef int parser_init(
    parser_t* parser,
    const symbols_t* symbols,
    int64_t time_unit_ns,
    uint32_t frame_bytes_max,
    uint32_t levels_max,
    int32_t context_symbol,
    bint context_snapshot,
) noexcept nogil:
    """Make a parser in a block of sizeof(parser_t), in the same arena as its symbol table."""
    if time_unit_ns != 1_000_000 and time_unit_ns != 1_000:
        return ARENA_BAD_SIZE
    if frame_bytes_max < 1 or frame_bytes_max > FRAME_BYTES_LIMIT or levels_max < 1:
        return ARENA_BAD_SIZE
    if context_symbol < -1 or context_symbol >= <int32_t>symbols.count:
        return PARSE_UNKNOWN_SYMBOL
    memset(parser, 0, sizeof(parser_t))
    parser.symbols_offset = <char*>symbols - <char*>parser
    parser.time_unit_ns = time_unit_ns
    parser.frame_bytes_max = frame_bytes_max
    parser.levels_max = levels_max
    parser.context_symbol = context_symbol
    parser.context_snapshot = context_snapshot
    return OK


cdef inline int _begin(parser_t* parser, size_t n, size_t* count) noexcept nogil:
    count[0] = 0
    parser.frame_count += 1
    parser.byte_count += n
    parser.detail = 0
    parser.not_data = 0
    if n > parser.frame_bytes_max:
        return PARSE_TOO_LONG
    return PARSE_TRUNCATED if n == 0 else OK


cdef inline int _end(parser_t* parser, int status, const sink_t* sink, size_t* count) noexcept nogil:
    """Count the frame; only a good one shows its events."""
    if likely(status == OK):
        count[0] = sink.count
        parser.event_count += sink.count
        parser.status_count[0] += 1
        return OK
    debug_assert(status > 500 and status < 500 + STATUS_SLOTS)
    parser.status_count[status - 500] += 1
    if parser.not_data:
        parser.not_data_count[parser.not_data] += 1
    return status


cdef int parse_frame(
    parser_t* parser, const char* p, size_t n, int64_t ts_recv_ns, event_t* out, size_t room, size_t* count
) noexcept nogil:
    """Read one JSON text frame into at most `room` events at `out`; *count says how many."""
    cdef sink_t sink
    cdef int status = _begin(parser, n, count)
    sink.out = out
    sink.room = room
    sink.count = 0
    sink.ts_recv_ns = ts_recv_ns
    if status == OK:
        if not parser.general_only:
            if likely(binance_fast(parser, p, n, &sink)):
                parser.fast_count += 1
                return _end(parser, OK, &sink, count)
            sink.count = 0
        status = binance_general(parser, p, n, &sink)
    return _end(parser, status, &sink, count)


cdef int parse_sbe_frame(
    parser_t* parser, const char* p, size_t n, int64_t ts_recv_ns, event_t* out, size_t room, size_t* count
) noexcept nogil:
    """Read one SBE binary frame, as `parse_frame`."""
    cdef sink_t sink
    cdef int status = _begin(parser, n, count)
    sink.out = out
    sink.room = room
    sink.count = 0
    sink.ts_recv_ns = ts_recv_ns
    if status == OK:
        status = sbe_frame(parser, p, n, &sink)
    return _end(parser, status, &sink, count)


@cython.final
cdef class Parser:
    """One connection's parser. `symbols` is a Symbols table or its rows: (text, index, price step, quantity step).

    `context_symbol` and `context_snapshot` say what a raw (not combined) connection carries: whose partial depth it
    is, and that its depth updates are whole images.
    """

    def __cinit__(
        self,
        symbols,
        *,
        str time_unit="ms",
        str context_symbol=None,
        bint context_snapshot=False,
        uint32_t frame_bytes_max=1 << 20,
        uint32_t levels_max=5000,
        size_t room=10_000,
        bint general_only=False,
    ):
        cdef int32_t context = -1
        cdef symbol_t* entry
        cdef bytes raw
        cdef event_t[::1] view
        self.symbols = symbols if isinstance(symbols, Symbols) else Symbols(symbols)
        if context_symbol is not None:
            raw = context_symbol.encode()
            entry = symbols_find(self.symbols.c, raw, len(raw), False)
            if entry == NULL:
                raise_status(PARSE_UNKNOWN_SYMBOL, f"context symbol {context_symbol!r}")
            context = <int32_t>(entry - symbols_entries(self.symbols.c))
        if time_unit not in ("ms", "us"):
            raise_status(ARENA_BAD_SIZE, f"time unit {time_unit!r}; ms or us")
        self.c = <parser_t*>block_new(sizeof(parser_t))
        status = parser_init(
            self.c, self.symbols.c, 1_000_000 if time_unit == "ms" else 1_000, frame_bytes_max, levels_max, context,
            context_snapshot,
        )
        if status != OK:
            raise_status(status, f"frame_bytes_max={frame_bytes_max}, levels_max={levels_max}")
        self.c.general_only = general_only
        self.room = room
        # One more than the room, so that an empty room still has an address.
        self.events = np.zeros(room + 1, dtype=EVENT)
        view = self.events
        self.out = &view[0]

    def __dealloc__(self):
        block_free(self.c)

    def read(self, const unsigned char[::1] frame not None, int64_t ts_recv_ns=0):
        """(status, events) of a JSON frame."""
        cdef const char* p = <const char*>&frame[0] if frame.shape[0] else NULL
        cdef size_t count = 0
        cdef int status
        with nogil:
            status = parse_frame(self.c, p, frame.shape[0], ts_recv_ns, self.out, self.room, &count)
        return Status(status), self.events[:count].copy()

    def read_sbe(self, const unsigned char[::1] frame not None, int64_t ts_recv_ns=0):
        """(status, events) of an SBE frame."""
        cdef const char* p = <const char*>&frame[0] if frame.shape[0] else NULL
        cdef size_t count = 0
        cdef int status
        with nogil:
            status = parse_sbe_frame(self.c, p, frame.shape[0], ts_recv_ns, self.out, self.room, &count)
        return Status(status), self.events[:count].copy()

    def parse(self, frame, int64_t ts_recv_ns=0):
        """The events of a JSON frame; raises what its status says."""
        status, events = self.read(frame, ts_recv_ns)
        if status != OK:
            raise_status(status, f"{len(frame)} bytes")
        return events

    def parse_sbe(self, frame, int64_t ts_recv_ns=0):
        status, events = self.read_sbe(frame, ts_recv_ns)
        if status != OK:
            raise_status(status, f"{len(frame)} bytes")
        return events

    def read_at(self, size_t address, size_t size, int64_t ts_recv_ns=0):
        """As `read`, of memory that the caller owns: for tests that put a frame against a guard page."""
        cdef size_t count = 0
        cdef int status = parse_frame(self.c, <const char*>address, size, ts_recv_ns, self.out, self.room, &count)
        return Status(status), self.events[:count].copy()

    @property
    def address(self):
        """Where the block stands, for a caller of the C functions."""
        return <size_t>self.c

    @property
    def detail(self):
        """The decimal status behind the last bad number, 0 when there is none."""
        return self.c.detail

    @property
    def not_data(self):
        """What the last frame was: 1 reply, 2 error, 3 shutdown notice; 0 when it was none of them."""
        return self.c.not_data

    def counters(self):
        """Frames by status name, and the totals."""
        out = {status.name: self.c.status_count[int(status) - 500] for status in Status
               if 500 < int(status) < 500 + STATUS_SLOTS}
        out["OK"] = self.c.status_count[0]
        for i, name in enumerate(("reply", "error", "shutdown"), start=1):
            out[f"not_data_{name}"] = self.c.not_data_count[i]
        return out | {"frames": self.c.frame_count, "bytes": self.c.byte_count, "events": self.c.event_count,
                      "fast": self.c.fast_count}

    def check(self):
        """Walk the invariants: every frame stands under exactly one status."""
        cdef uint64_t total = 0, not_data = 0
        cdef int i
        self.symbols.check()
        for i in range(STATUS_SLOTS):
            total += self.c.status_count[i]
        for i in range(NOT_DATA_SLOTS):
            not_data += self.c.not_data_count[i]
        assert total == self.c.frame_count, "frames and statuses disagree"
        assert not_data == self.c.status_count[14], "replies and their kinds disagree"
        assert self.c.fast_count <= self.c.status_count[0], "more fast frames than good ones"
        assert parser_symbols(self.c) == self.symbols.c, "the symbol table moved"

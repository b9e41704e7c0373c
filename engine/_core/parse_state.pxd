"""The parser's block: what one connection's parser knows and counts. One parser a connection, one writer.

The symbol table stands elsewhere in the same arena (several connections of a venue share it); the block holds its
distance in bytes, not its address, so an arena can be copied as a whole.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from engine._core.symbols cimport symbol_t, symbols_t
from engine._core.types cimport FLAG_NO_VENUE_TIME, event_t


cdef enum:
    STATUS_SLOTS = 32             # PARSE_ statuses, counted at [status - 500]; OK at [0]
    NOT_DATA_SLOTS = 4


# What a frame was that is no market data.
cdef enum not_data_t:
    NOT_DATA_NONE = 0
    NOT_DATA_REPLY = 1            # {"result":..,"id":..}
    NOT_DATA_ERROR = 2            # {"code":..,"msg":..} or {"error":{..}}
    NOT_DATA_SHUTDOWN = 3         # {"e":"serverShutdown",..}: the venue will close this connection soon


cdef struct parser_t:
    int64_t symbols_offset        # from this block to the symbol table
    int64_t time_unit_ns          # 1_000_000 for milliseconds, 1_000 for timeUnit=MICROSECOND
    uint32_t frame_bytes_max
    uint32_t levels_max           # of one side
    int32_t context_symbol        # entry of the symbol a raw partial depth speaks of, -1: none
    uint8_t context_snapshot      # raw depth updates on this connection are partial depth: whole images
    uint8_t general_only          # never the fast path: for the proof that both are equal
    uint8_t[2] reserved
    uint64_t frame_count
    uint64_t byte_count
    uint64_t event_count
    uint64_t fast_count           # frames that the fast path read
    int32_t detail                # the decimal status behind the last PARSE_BAD_NUMBER, else 0
    int32_t not_data              # not_data_t of the last PARSE_NOT_DATA, else 0
    uint64_t[NOT_DATA_SLOTS] not_data_count
    uint64_t[STATUS_SLOTS] status_count
    uint64_t[3] reserved_tail


# Where a frame's events go while it is read. They count only when the whole frame is good.
cdef struct sink_t:
    event_t* out
    size_t room
    size_t count
    int64_t ts_recv_ns


cdef inline symbols_t* parser_symbols(const parser_t* parser) noexcept nogil:
    return <symbols_t*>(<char*>parser + parser.symbols_offset)


cdef inline event_t* sink_next(sink_t* sink, uint64_t head, int64_t ts_venue_ns) noexcept nogil:
    """The next event with its head filled in. The caller has made sure that there is room."""
    cdef event_t* event = sink.out + sink.count
    # Kind, flags, symbol and sequence are the first eight bytes: one store. The sequence is the ring's to give.
    (<uint64_t*>event)[0] = head
    event.ts_venue_ns = ts_venue_ns
    event.ts_recv_ns = sink.ts_recv_ns
    sink.count += 1
    return event


cdef inline uint64_t event_head(int kind, int flags, int symbol) noexcept nogil:
    return <uint64_t>kind | (<uint64_t>flags << 8) | (<uint64_t>symbol << 16)

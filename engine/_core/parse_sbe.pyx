from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine._core.decimal cimport decimal_rescale, decimal_to_steps, mul_overflow, step_t
from engine._core.parse_state cimport event_head, parser_symbols, sink_next
from engine._core.symbols cimport symbol_t, symbols_find
from engine._core.types cimport (
    DECIMAL_SIGN,
    FLAG_ASK,
    FLAG_BUYER_MAKER,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_SELL,
    FLAG_SNAPSHOT,
    KIND_BOOK_CLEAR,
    KIND_BOOK_LEVEL,
    KIND_QUOTE,
    KIND_TRADE,
    OK,
    PARSE_BAD_NUMBER,
    PARSE_BAD_SCHEMA,
    PARSE_NO_ROOM,
    PARSE_TOO_MANY_LEVELS,
    PARSE_TRAILING,
    PARSE_TRUNCATED,
    PARSE_UNKNOWN_SYMBOL,
    PARSE_WRONG_TYPE,
    level_event_t,
    quote_event_t,
    trade_event_t,
)


cdef enum:
    HEADER_SIZE = 8
    SCHEMA_ID = 1
    TRADES = 10000
    BEST_BID_ASK = 10001
    DEPTH_SNAPSHOT = 10002
    DEPTH_DIFF = 10003


# A group's place: `count` blocks of `block` bytes at `at`.
cdef struct group_t:
    const char* at
    size_t block
    size_t count


cdef struct frame_t:
    const char* at                # what is left
    const char* end
    const char* root
    int template_id
    group_t first                 # trades, or bids
    group_t second                # asks
    const symbol_t* symbol
    int px_scale
    int qty_scale


# memcpy is the unaligned load: the compiler makes it one instruction. Little-endian is asserted in decimal.pxd.
cdef inline uint16_t _u16(const char* p) noexcept nogil:
    cdef uint16_t v
    memcpy(&v, p, 2)
    return v


cdef inline uint32_t _u32(const char* p) noexcept nogil:
    cdef uint32_t v
    memcpy(&v, p, 4)
    return v


cdef inline int64_t _i64(const char* p) noexcept nogil:
    cdef int64_t v
    memcpy(&v, p, 8)
    return v


cdef int _root(frame_t* f, const char* p, size_t n) noexcept nogil:
    """Header and root block."""
    cdef size_t block
    cdef int size
    if n < HEADER_SIZE:
        return PARSE_TRUNCATED
    block = _u16(p)
    f.template_id = _u16(p + 2)
    if _u16(p + 4) != SCHEMA_ID:
        return PARSE_BAD_SCHEMA
    if f.template_id == TRADES or f.template_id == DEPTH_SNAPSHOT:
        size = 18
    elif f.template_id == BEST_BID_ASK:
        size = 50
    elif f.template_id == DEPTH_DIFF:
        size = 26
    else:
        return PARSE_BAD_SCHEMA
    if block < <size_t>size:
        return PARSE_BAD_SCHEMA
    f.root = p + HEADER_SIZE
    f.end = p + n
    if <size_t>(f.end - f.root) < block:
        return PARSE_TRUNCATED
    f.at = f.root + block
    return OK


cdef int _group(frame_t* f, group_t* group, int size_bytes, size_t block_min) noexcept nogil:
    """A group's dimensions; steps over its blocks."""
    cdef size_t left = f.end - f.at
    if left < <size_t>(2 + size_bytes):
        return PARSE_TRUNCATED
    group.block = _u16(f.at)
    group.count = _u16(f.at + 2) if size_bytes == 2 else _u32(f.at + 2)
    group.at = f.at + 2 + size_bytes
    if group.block < block_min:
        return PARSE_BAD_SCHEMA
    # 16 bits times 32 bits: no overflow in a size_t of 64.
    if left - 2 - size_bytes < group.block * group.count:
        return PARSE_TRUNCATED
    f.at = group.at + group.block * group.count
    return OK


cdef int _symbol(frame_t* f, const parser_t* parser, uint16_t version) noexcept nogil:
    """The symbol, and that nothing stands behind it; a newer version may have more there."""
    cdef size_t size
    if f.at == f.end:
        return PARSE_TRUNCATED
    size = <uint8_t>f.at[0]
    if <size_t>(f.end - f.at) - 1 < size:
        return PARSE_TRUNCATED
    if version == 0 and f.at + 1 + size != f.end:
        return PARSE_TRAILING
    f.symbol = symbols_find(parser_symbols(parser), f.at + 1, size, False)
    return PARSE_UNKNOWN_SYMBOL if f.symbol == NULL else OK


cdef inline int _steps(parser_t* parser, const char* p, int scale, const step_t* step, int64_t* out) noexcept nogil:
    cdef int64_t mantissa = _i64(p)
    cdef int status
    if mantissa < 0:
        parser.detail = DECIMAL_SIGN
        return PARSE_BAD_NUMBER
    status = decimal_rescale(mantissa, scale, step.scale, &mantissa)
    if status == OK:
        status = decimal_to_steps(mantissa, step.step, out)
    if status != OK:
        parser.detail = status
        return PARSE_BAD_NUMBER
    return OK


cdef inline int _time(const char* p, int64_t* out) noexcept nogil:
    cdef int64_t us = _i64(p)
    return PARSE_BAD_NUMBER if us < 0 or mul_overflow(us, 1000, out) else OK


cdef inline int _id(const char* p, int64_t* out) noexcept nogil:
    out[0] = _i64(p)
    return PARSE_BAD_NUMBER if out[0] < 0 else OK


cdef int _trades(frame_t* f, parser_t* parser, sink_t* sink) noexcept nogil:
    cdef trade_event_t* event
    cdef const char* p
    cdef int64_t ts = 0, px = 0, qty = 0, number = 0
    cdef size_t i
    cdef int status = _time(f.root, &ts)
    if status == OK:
        status = _time(f.root + 8, &ts)
    if status != OK:
        return status
    for i in range(f.first.count):
        if sink.count == sink.room:
            return PARSE_NO_ROOM
        p = f.first.at + i * f.first.block
        status = _id(p, &number)
        if status == OK:
            status = _steps(parser, p + 8, f.px_scale, &f.symbol.px, &px)
        if status == OK:
            status = _steps(parser, p + 16, f.qty_scale, &f.symbol.qty, &qty)
        if status == OK and <uint8_t>p[24] > 1:
            status = PARSE_WRONG_TYPE
        if status != OK:
            return status
        event = <trade_event_t*>sink_next(
            sink, event_head(KIND_TRADE, FLAG_BUYER_MAKER | FLAG_SELL if p[24] else 0, f.symbol.symbol), ts
        )
        event.px_ticks = px
        event.qty_lots = qty
        event.id_trade = event.id_first = event.id_last = number
    return OK


cdef int _quote(frame_t* f, parser_t* parser, sink_t* sink) noexcept nogil:
    cdef quote_event_t* event
    cdef int64_t ts = 0
    cdef quote_event_t q
    cdef int status = _time(f.root, &ts)
    if status == OK:
        status = _id(f.root + 8, &q.id_book)
    if status == OK:
        status = _steps(parser, f.root + 18, f.px_scale, &f.symbol.px, &q.bid_px_ticks)
    if status == OK:
        status = _steps(parser, f.root + 26, f.qty_scale, &f.symbol.qty, &q.bid_qty_lots)
    if status == OK:
        status = _steps(parser, f.root + 34, f.px_scale, &f.symbol.px, &q.ask_px_ticks)
    if status == OK:
        status = _steps(parser, f.root + 42, f.qty_scale, &f.symbol.qty, &q.ask_qty_lots)
    if status == OK and sink.room == 0:
        status = PARSE_NO_ROOM
    if status != OK:
        return status
    event = <quote_event_t*>sink_next(sink, event_head(KIND_QUOTE, 0, f.symbol.symbol), ts)
    event.bid_px_ticks = q.bid_px_ticks
    event.bid_qty_lots = q.bid_qty_lots
    event.ask_px_ticks = q.ask_px_ticks
    event.ask_qty_lots = q.ask_qty_lots
    event.id_book = q.id_book
    return OK


cdef int _side(
    frame_t* f, parser_t* parser, const group_t* group, int flags, const level_event_t* ids, sink_t* sink
) noexcept nogil:
    cdef level_event_t* event
    cdef const char* p
    cdef int64_t px = 0, qty = 0
    cdef size_t i
    cdef int status
    for i in range(group.count):
        if i == parser.levels_max:
            return PARSE_TOO_MANY_LEVELS
        if sink.count == sink.room:
            return PARSE_NO_ROOM
        p = group.at + i * group.block
        status = _steps(parser, p, f.px_scale, &f.symbol.px, &px)
        if status == OK:
            status = _steps(parser, p + 8, f.qty_scale, &f.symbol.qty, &qty)
        if status == OK and px == 0:
            status = PARSE_BAD_NUMBER
        if status != OK:
            return status
        event = <level_event_t*>sink_next(
            sink, event_head(KIND_BOOK_LEVEL, flags, f.symbol.symbol), ids.ts_venue_ns
        )
        event.px_ticks = px
        event.qty_lots = qty
        event.id_first = ids.id_first
        event.id_last = ids.id_last
        event.id_prev = -1
    return OK


cdef int _depth(frame_t* f, parser_t* parser, sink_t* sink) noexcept nogil:
    cdef level_event_t ids
    cdef level_event_t* event
    cdef bint snapshot = f.template_id == DEPTH_SNAPSHOT
    cdef int flags = FLAG_SNAPSHOT if snapshot else 0
    cdef int status = _time(f.root, &ids.ts_venue_ns)
    if status == OK:
        status = _id(f.root + 8, &ids.id_first)
    if status == OK:
        status = _id(f.root + 8 if snapshot else f.root + 16, &ids.id_last)
    if status == OK:
        status = _side(f, parser, &f.first, flags, &ids, sink)
    if status == OK:
        status = _side(f, parser, &f.second, flags | FLAG_ASK, &ids, sink)
    if status != OK or sink.count > 0:
        return status
    # As in the JSON: a message without levels still carries its ids.
    if sink.room == 0:
        return PARSE_NO_ROOM
    event = <level_event_t*>sink_next(
        sink,
        event_head(KIND_BOOK_CLEAR if snapshot else KIND_BOOK_LEVEL, flags, f.symbol.symbol),
        ids.ts_venue_ns,
    )
    event.px_ticks = 0
    event.qty_lots = 0
    event.id_first = ids.id_first
    event.id_last = ids.id_last
    event.id_prev = -1
    return OK


cdef int sbe_frame(parser_t* parser, const char* p, size_t n, sink_t* sink) noexcept nogil:
    cdef frame_t f
    cdef int exponents_at
    cdef int status = _root(&f, p, n)
    if status == OK and f.template_id == TRADES:
        status = _group(&f, &f.first, 4, 25)
    elif status == OK and f.template_id != BEST_BID_ASK:
        status = _group(&f, &f.first, 2, 16)
        if status == OK:
            status = _group(&f, &f.second, 2, 16)
    if status == OK:
        status = _symbol(&f, parser, _u16(p + 6))
    if status != OK:
        return status
    exponents_at = 24 if f.template_id == DEPTH_DIFF else 16
    f.px_scale = -<int><int8_t>f.root[exponents_at]
    f.qty_scale = -<int><int8_t>f.root[exponents_at + 1]
    if f.template_id == TRADES:
        status = _trades(&f, parser, sink)
    elif f.template_id == BEST_BID_ASK:
        status = _quote(&f, parser, sink)
    else:
        status = _depth(&f, parser, sink)
    if status == OK and sink.count > 0:
        sink.out[0].flags |= FLAG_FIRST
        sink.out[sink.count - 1].flags |= FLAG_LAST
    return status

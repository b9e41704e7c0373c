from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from engine._core.decimal cimport decimal_parse, decimal_parse_signed, decimal_parse_steps, mul_overflow, step_t
from engine._core.parse_state cimport (
    NOT_DATA_ERROR,
    NOT_DATA_REPLY,
    NOT_DATA_SHUTDOWN,
    event_head,
    parser_symbols,
    sink_next,
)
from engine._core.scan cimport (
    SCAN_ARRAY,
    SCAN_FALSE,
    SCAN_OBJECT,
    SCAN_STRING,
    SCAN_TRUE,
    SLOT_AP,
    SLOT_ASKS,
    SLOT_BIDS,
    SLOT_CODE,
    SLOT_DATA,
    SLOT_ERROR,
    SLOT_LAST_UPDATE_ID,
    SLOT_PU,
    SLOT_RESULT,
    SLOT_STREAM,
    cursor_t,
    fields_t,
    scan_blanks,
    scan_document,
    scan_level,
    scan_object,
    scan_whole,
    slot_of_letter,
    span_t,
)
from engine._core.symbols cimport symbol_t, symbols_entries, symbols_find
from engine._core.types cimport (
    DECIMAL_OVERFLOW,
    FLAG_ASK,
    FLAG_BUYER_MAKER,
    FLAG_CLOSED,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_NO_VENUE_TIME,
    FLAG_SELL,
    FLAG_SNAPSHOT,
    KIND_AGG_TRADE,
    KIND_BAR_PRICES,
    KIND_BAR_TOTALS,
    KIND_BOOK_CLEAR,
    KIND_BOOK_LEVEL,
    KIND_LIQUIDATION,
    KIND_MARK,
    KIND_QUOTE,
    KIND_TRADE,
    OK,
    PARSE_BAD_NUMBER,
    PARSE_DUPLICATE_KEY,
    PARSE_ESCAPE,
    PARSE_MISSING_KEY,
    PARSE_NO_ROOM,
    PARSE_NOT_DATA,
    PARSE_TOO_MANY_LEVELS,
    PARSE_UNKNOWN_EVENT,
    PARSE_UNKNOWN_SYMBOL,
    PARSE_WRONG_TYPE,
    bar_prices_event_t,
    bar_totals_event_t,
    event_t,
    level_event_t,
    liquidation_event_t,
    mark_event_t,
    quote_event_t,
    trade_event_t,
)

cdef int WHOLE_MESSAGE = FLAG_FIRST | FLAG_LAST


# A reader carries the first fault of a message, so that the fields can be read one after the other without a branch
# behind each; once it is set, every further read does nothing.
cdef struct reader_t:
    fields_t* fields
    parser_t* parser
    int status


cdef inline span_t* _field(reader_t* r, int slot) noexcept nogil:
    """The span of a field that must be there, NULL (and the fault noted) when it is not or a fault came before."""
    if r.status != OK:
        return NULL
    if not (r.fields.seen >> slot & 1):
        r.status = PARSE_MISSING_KEY
        return NULL
    return &r.fields.value[slot]


cdef inline bint _has(const fields_t* fields, int slot) noexcept nogil:
    return fields.seen >> slot & 1


cdef int64_t _whole(reader_t* r, int slot) noexcept nogil:
    cdef int64_t number = 0
    cdef span_t* value = _field(r, slot)
    if value != NULL:
        r.status = scan_whole(value, &number)
    return number


cdef int64_t _time(reader_t* r, int slot) noexcept nogil:
    """A venue time in nanoseconds."""
    cdef int64_t number = _whole(r, slot)
    if r.status == OK and mul_overflow(number, r.parser.time_unit_ns, &number):
        r.status = PARSE_BAD_NUMBER
    return number


cdef span_t* _text(reader_t* r, int slot) noexcept nogil:
    """A string field without escapes."""
    cdef span_t* value = _field(r, slot)
    if value == NULL:
        return NULL
    if value.type != SCAN_STRING:
        r.status = PARSE_WRONG_TYPE
        return NULL
    if value.escaped:
        r.status = PARSE_ESCAPE
        return NULL
    return value


cdef inline void _number_status(reader_t* r, int status) noexcept nogil:
    if status != OK:
        r.parser.detail = status
        r.status = PARSE_BAD_NUMBER


cdef int64_t _steps(reader_t* r, int slot, const step_t* step) noexcept nogil:
    cdef int64_t number = 0
    cdef span_t* value = _text(r, slot)
    if value != NULL:
        _number_status(r, decimal_parse_steps(value.at, value.size, step, &number))
    return number


cdef int64_t _e8(reader_t* r, int slot) noexcept nogil:
    cdef int64_t number = 0
    cdef span_t* value = _text(r, slot)
    if value != NULL:
        _number_status(r, decimal_parse(value.at, value.size, 8, &number))
    return number


cdef bint _truth(reader_t* r, int slot) noexcept nogil:
    cdef span_t* value = _field(r, slot)
    if value == NULL:
        return False
    if value.type != SCAN_TRUE and value.type != SCAN_FALSE:
        r.status = PARSE_WRONG_TYPE
    return value.type == SCAN_TRUE


cdef symbol_t* _symbol(reader_t* r) noexcept nogil:
    cdef symbol_t* entry = NULL
    cdef span_t* value = _text(r, slot_of_letter(c"s"))
    if value != NULL:
        entry = symbols_find(parser_symbols(r.parser), value.at, value.size, False)
        if entry == NULL:
            r.status = PARSE_UNKNOWN_SYMBOL
    return entry


# -------------------------------------------------------------------------------------------------------------- depth
cdef struct depth_t:
    const symbol_t* symbol
    int64_t ts_venue_ns
    int64_t id_first
    int64_t id_last
    int64_t id_prev
    int flags                     # FLAG_SNAPSHOT, FLAG_NO_VENUE_TIME


cdef void _levels(reader_t* r, int slot, const depth_t* depth, int side, sink_t* sink) noexcept nogil:
    """One side: an event a level."""
    cdef span_t px, qty
    cdef cursor_t c
    cdef level_event_t* event
    cdef int64_t px_ticks = 0, qty_lots = 0
    cdef uint32_t count = 0
    cdef span_t* value = _field(r, slot)
    if value == NULL:
        return
    if value.type != SCAN_ARRAY:
        r.status = PARSE_WRONG_TYPE
        return
    c.at = value.at + 1
    c.end = value.at + value.size
    scan_blanks(&c)
    while c.at[0] != c"]":
        if count == r.parser.levels_max:
            r.status = PARSE_TOO_MANY_LEVELS
            return
        if sink.count == sink.room:
            r.status = PARSE_NO_ROOM
            return
        r.status = scan_level(&c, &px, &qty)
        if r.status == OK and (px.escaped or qty.escaped):
            r.status = PARSE_ESCAPE
        if r.status == OK:
            _number_status(r, decimal_parse_steps(px.at, px.size, &depth.symbol.px, &px_ticks))
        if r.status == OK:
            _number_status(r, decimal_parse_steps(qty.at, qty.size, &depth.symbol.qty, &qty_lots))
        # Price 0 is no price, and marks a message without levels: see `_depth`.
        if r.status == OK and px_ticks == 0:
            r.status = PARSE_BAD_NUMBER
        if r.status != OK:
            return
        event = <level_event_t*>sink_next(
            sink, event_head(KIND_BOOK_LEVEL, depth.flags | side, depth.symbol.symbol), depth.ts_venue_ns
        )
        event.px_ticks = px_ticks
        event.qty_lots = qty_lots
        event.id_first = depth.id_first
        event.id_last = depth.id_last
        event.id_prev = depth.id_prev
        count += 1
        scan_blanks(&c)
        if c.at[0] == c",":
            c.at += 1
            scan_blanks(&c)


cdef void _depth(reader_t* r, int bids, int asks, const depth_t* depth, sink_t* sink) noexcept nogil:
    cdef level_event_t* event
    if r.status == OK:
        _levels(r, bids, depth, 0, sink)
    if r.status == OK:
        _levels(r, asks, depth, FLAG_ASK, sink)
    if r.status != OK:
        return
    if sink.count == 0:
        # Nothing changed, but the update ids moved on: one event with price 0 and quantity 0 carries them. A whole
        # image without a level is a cleared book.
        if sink.room == 0:
            r.status = PARSE_NO_ROOM
            return
        event = <level_event_t*>sink_next(
            sink,
            event_head(
                KIND_BOOK_CLEAR if depth.flags & FLAG_SNAPSHOT else KIND_BOOK_LEVEL, depth.flags, depth.symbol.symbol
            ),
            depth.ts_venue_ns,
        )
        event.px_ticks = 0
        event.qty_lots = 0
        event.id_first = depth.id_first
        event.id_last = depth.id_last
        event.id_prev = depth.id_prev
    sink.out[0].flags |= FLAG_FIRST
    sink.out[sink.count - 1].flags |= FLAG_LAST


cdef void _depth_update(reader_t* r, bint snapshot, sink_t* sink) noexcept nogil:
    cdef depth_t depth
    cdef fields_t* f = r.fields
    depth.ts_venue_ns = _time(r, slot_of_letter(c"E"))
    if _has(f, slot_of_letter(c"T")):
        depth.ts_venue_ns = _time(r, slot_of_letter(c"T"))
    depth.symbol = _symbol(r)
    depth.id_first = _whole(r, slot_of_letter(c"U"))
    depth.id_last = _whole(r, slot_of_letter(c"u"))
    depth.id_prev = _whole(r, SLOT_PU) if _has(f, SLOT_PU) else -1
    depth.flags = FLAG_SNAPSHOT if snapshot else 0
    _depth(r, slot_of_letter(c"b"), slot_of_letter(c"a"), &depth, sink)


cdef symbol_t* _context_symbol(reader_t* r, const span_t* stream) noexcept nogil:
    """Whose book a partial depth is: the combined stream's name says it, else the connection's context."""
    cdef symbol_t* entry = NULL
    cdef uint32_t size = 0
    if stream != NULL:
        while size < stream.size and stream.at[size] != c"@":
            size += 1
        entry = symbols_find(parser_symbols(r.parser), stream.at, size, True)
    elif r.parser.context_symbol >= 0:
        entry = symbols_entries(parser_symbols(r.parser)) + r.parser.context_symbol
    if entry == NULL and r.status == OK:
        r.status = PARSE_UNKNOWN_SYMBOL
    return entry


cdef void _partial_depth(reader_t* r, const span_t* stream, sink_t* sink) noexcept nogil:
    """Spot's partial depth and the REST snapshot, which has times on USD-M."""
    cdef depth_t depth
    depth.flags = FLAG_SNAPSHOT
    depth.symbol = _context_symbol(r, stream)
    depth.id_last = depth.id_first = _whole(r, SLOT_LAST_UPDATE_ID)
    depth.id_prev = -1
    depth.ts_venue_ns = 0
    if _has(r.fields, slot_of_letter(c"T")):
        depth.ts_venue_ns = _time(r, slot_of_letter(c"T"))
    elif _has(r.fields, slot_of_letter(c"E")):
        depth.ts_venue_ns = _time(r, slot_of_letter(c"E"))
    else:
        depth.flags |= FLAG_NO_VENUE_TIME
    _depth(r, SLOT_BIDS, SLOT_ASKS, &depth, sink)


# ---------------------------------------------------------------------------------------------------- all the others
cdef inline event_t* _room_for(reader_t* r, size_t count, sink_t* sink) noexcept nogil:
    """True (not NULL) when everything was good so far and `count` events fit."""
    if r.status == OK and sink.room < count:
        r.status = PARSE_NO_ROOM
    return sink.out if r.status == OK else NULL


cdef void _trade(reader_t* r, bint aggregate, sink_t* sink) noexcept nogil:
    cdef trade_event_t* event
    cdef int64_t id_trade, id_first, id_last, px = 0, qty = 0, ts
    cdef symbol_t* symbol
    cdef bint maker
    _time(r, slot_of_letter(c"E"))
    symbol = _symbol(r)
    id_trade = id_first = id_last = _whole(r, slot_of_letter(c"a") if aggregate else slot_of_letter(c"t"))
    if r.status == OK:
        px = _steps(r, slot_of_letter(c"p"), &symbol.px)
        qty = _steps(r, slot_of_letter(c"q"), &symbol.qty)
    if aggregate:
        id_first = _whole(r, slot_of_letter(c"f"))
        id_last = _whole(r, slot_of_letter(c"l"))
    ts = _time(r, slot_of_letter(c"T"))
    maker = _truth(r, slot_of_letter(c"m"))
    if _room_for(r, 1, sink) == NULL:
        return
    event = <trade_event_t*>sink_next(
        sink,
        event_head(
            KIND_AGG_TRADE if aggregate else KIND_TRADE,
            WHOLE_MESSAGE | (FLAG_BUYER_MAKER | FLAG_SELL if maker else 0),
            symbol.symbol,
        ),
        ts,
    )
    event.px_ticks = px
    event.qty_lots = qty
    event.id_trade = id_trade
    event.id_first = id_first
    event.id_last = id_last


cdef void _quote(reader_t* r, sink_t* sink) noexcept nogil:
    """bookTicker. Spot sends no time; a side without orders has price and quantity 0."""
    cdef quote_event_t* event
    cdef int64_t id_book, ts = 0, bid_px = 0, bid_qty = 0, ask_px = 0, ask_qty = 0
    cdef int flags = WHOLE_MESSAGE
    cdef symbol_t* symbol
    id_book = _whole(r, slot_of_letter(c"u"))
    symbol = _symbol(r)
    if r.status == OK:
        bid_px = _steps(r, slot_of_letter(c"b"), &symbol.px)
        bid_qty = _steps(r, slot_of_letter(c"B"), &symbol.qty)
        ask_px = _steps(r, slot_of_letter(c"a"), &symbol.px)
        ask_qty = _steps(r, slot_of_letter(c"A"), &symbol.qty)
    if _has(r.fields, slot_of_letter(c"T")):
        ts = _time(r, slot_of_letter(c"T"))
    elif _has(r.fields, slot_of_letter(c"E")):
        ts = _time(r, slot_of_letter(c"E"))
    else:
        flags |= FLAG_NO_VENUE_TIME
    if _room_for(r, 1, sink) == NULL:
        return
    event = <quote_event_t*>sink_next(sink, event_head(KIND_QUOTE, flags, symbol.symbol), ts)
    event.bid_px_ticks = bid_px
    event.bid_qty_lots = bid_qty
    event.ask_px_ticks = ask_px
    event.ask_qty_lots = ask_qty
    event.id_book = id_book


cdef int _inner(reader_t* r, int slot, fields_t* inner) noexcept nogil:
    """The object in a field becomes what the reader reads from."""
    cdef span_t* value = _field(r, slot)
    if value != NULL:
        if value.type != SCAN_OBJECT:
            r.status = PARSE_WRONG_TYPE
        else:
            r.status = _fields_of(value, inner)
        r.fields = inner
    return r.status


cdef void _kline(reader_t* r, sink_t* sink) noexcept nogil:
    cdef fields_t k
    cdef bar_prices_event_t prices
    cdef bar_totals_event_t totals
    cdef bar_prices_event_t* first
    cdef bar_totals_event_t* second
    cdef int64_t ts = _time(r, slot_of_letter(c"E"))
    cdef symbol_t* symbol = _symbol(r)
    cdef int flags
    if _inner(r, slot_of_letter(c"k"), &k) != OK:
        return
    totals.ts_open_ns = _time(r, slot_of_letter(c"t"))
    totals.ts_close_ns = _time(r, slot_of_letter(c"T"))
    prices.open_ticks = _steps(r, slot_of_letter(c"o"), &symbol.px)
    prices.high_ticks = _steps(r, slot_of_letter(c"h"), &symbol.px)
    prices.low_ticks = _steps(r, slot_of_letter(c"l"), &symbol.px)
    prices.close_ticks = _steps(r, slot_of_letter(c"c"), &symbol.px)
    prices.volume_lots = _steps(r, slot_of_letter(c"v"), &symbol.qty)
    totals.trade_count = _whole(r, slot_of_letter(c"n"))
    totals.quote_volume_e8 = _e8(r, slot_of_letter(c"q"))
    totals.taker_buy_lots = _steps(r, slot_of_letter(c"V"), &symbol.qty)
    flags = FLAG_CLOSED if _truth(r, slot_of_letter(c"x")) else 0
    if _room_for(r, 2, sink) == NULL:
        return
    first = <bar_prices_event_t*>sink_next(sink, event_head(KIND_BAR_PRICES, flags | FLAG_FIRST, symbol.symbol), ts)
    first.open_ticks = prices.open_ticks
    first.high_ticks = prices.high_ticks
    first.low_ticks = prices.low_ticks
    first.close_ticks = prices.close_ticks
    first.volume_lots = prices.volume_lots
    second = <bar_totals_event_t*>sink_next(sink, event_head(KIND_BAR_TOTALS, flags | FLAG_LAST, symbol.symbol), ts)
    second.ts_open_ns = totals.ts_open_ns
    second.ts_close_ns = totals.ts_close_ns
    second.trade_count = totals.trade_count
    second.quote_volume_e8 = totals.quote_volume_e8
    second.taker_buy_lots = totals.taker_buy_lots


cdef void _mark(reader_t* r, sink_t* sink) noexcept nogil:
    """markPriceUpdate. Dated contracts have no funding: an empty rate with time 0."""
    cdef mark_event_t* event
    cdef int64_t mark, index, settle, rate = 0, ts_funding
    cdef int64_t ts = _time(r, slot_of_letter(c"E"))
    cdef symbol_t* symbol = _symbol(r)
    cdef span_t* text
    mark = _e8(r, slot_of_letter(c"p"))
    index = _e8(r, slot_of_letter(c"i"))
    settle = _e8(r, slot_of_letter(c"P")) if _has(r.fields, slot_of_letter(c"P")) else 0
    ts_funding = _time(r, slot_of_letter(c"T"))
    text = _text(r, slot_of_letter(c"r"))
    if text != NULL and (text.size != 0 or ts_funding != 0):
        _number_status(r, decimal_parse_signed(text.at, text.size, 8, &rate))
    if _room_for(r, 1, sink) == NULL:
        return
    event = <mark_event_t*>sink_next(sink, event_head(KIND_MARK, WHOLE_MESSAGE, symbol.symbol), ts)
    event.mark_px_e8 = mark
    event.index_px_e8 = index
    event.settle_px_e8 = settle
    event.funding_rate_e8 = rate
    event.ts_funding_ns = ts_funding


cdef void _liquidation(reader_t* r, sink_t* sink) noexcept nogil:
    cdef liquidation_event_t* event
    cdef fields_t o
    cdef symbol_t* symbol
    cdef span_t* side
    cdef bint sell = False
    cdef int64_t px, qty, avg, last, filled, ts
    _time(r, slot_of_letter(c"E"))
    if _inner(r, slot_of_letter(c"o"), &o) != OK:
        return
    symbol = _symbol(r)
    side = _text(r, slot_of_letter(c"S"))
    if side != NULL:
        sell = side.size == 4 and memcmp(side.at, b"SELL", 4) == 0
        if not sell and not (side.size == 3 and memcmp(side.at, b"BUY", 3) == 0):
            r.status = PARSE_WRONG_TYPE
    if r.status != OK:
        return
    px = _steps(r, slot_of_letter(c"p"), &symbol.px)
    qty = _steps(r, slot_of_letter(c"q"), &symbol.qty)
    avg = _e8(r, SLOT_AP)
    last = _steps(r, slot_of_letter(c"l"), &symbol.qty)
    filled = _steps(r, slot_of_letter(c"z"), &symbol.qty)
    ts = _time(r, slot_of_letter(c"T"))
    if _room_for(r, 1, sink) == NULL:
        return
    event = <liquidation_event_t*>sink_next(
        sink, event_head(KIND_LIQUIDATION, WHOLE_MESSAGE | (FLAG_SELL if sell else 0), symbol.symbol), ts
    )
    event.px_ticks = px
    event.qty_lots = qty
    event.avg_px_e8 = avg
    event.last_lots = last
    event.filled_lots = filled


# ----------------------------------------------------------------------------------------------------------- dispatch
cdef int _fields_of(const span_t* object, fields_t* fields) noexcept nogil:
    cdef int status = scan_object(object, fields)
    if status != OK:
        return status
    if fields.escaped:
        return PARSE_ESCAPE
    return PARSE_DUPLICATE_KEY if fields.duplicate else OK


cdef bint _stream_is_partial(const span_t* stream) noexcept nogil:
    """`<symbol>@depth5`, 10 or 20: a digit follows "@depth"."""
    cdef uint32_t i = 0
    while i < stream.size and stream.at[i] != c"@":
        i += 1
    return (
        i + 6 < stream.size and memcmp(stream.at + i, b"@depth", 6) == 0
        and stream.at[i + 6] >= c"0" and stream.at[i + 6] <= c"9"
    )


cdef inline bint _named(const span_t* name, const char* text, uint32_t size) noexcept nogil:
    return name.size == size and memcmp(name.at, text, size) == 0


cdef int _not_data(parser_t* parser, int kind) noexcept nogil:
    parser.not_data = kind
    return PARSE_NOT_DATA


cdef int _payload(parser_t* parser, fields_t* fields, const span_t* stream, sink_t* sink) noexcept nogil:
    """Which message it is, and its events."""
    cdef reader_t r
    cdef span_t* name
    r.fields = fields
    r.parser = parser
    r.status = OK
    if not _has(fields, slot_of_letter(c"e")):
        if _has(fields, SLOT_LAST_UPDATE_ID):
            _partial_depth(&r, stream, sink)
        elif _has(fields, slot_of_letter(c"u")):
            _quote(&r, sink)
        elif _has(fields, SLOT_ERROR) or _has(fields, SLOT_CODE):
            return _not_data(parser, NOT_DATA_ERROR)
        elif _has(fields, SLOT_RESULT):
            return _not_data(parser, NOT_DATA_REPLY)
        else:
            return PARSE_MISSING_KEY
        return r.status
    name = _text(&r, slot_of_letter(c"e"))
    if name == NULL:
        return r.status
    if _named(name, b"depthUpdate", 11):
        _depth_update(&r, parser.context_snapshot if stream == NULL else _stream_is_partial(stream), sink)
    elif _named(name, b"bookTicker", 10):
        _quote(&r, sink)
    elif _named(name, b"aggTrade", 8):
        _trade(&r, True, sink)
    elif _named(name, b"trade", 5):
        _trade(&r, False, sink)
    elif _named(name, b"kline", 5):
        _kline(&r, sink)
    elif _named(name, b"markPriceUpdate", 15):
        _mark(&r, sink)
    elif _named(name, b"forceOrder", 10):
        _liquidation(&r, sink)
    elif _named(name, b"serverShutdown", 14):
        return _not_data(parser, NOT_DATA_SHUTDOWN)
    else:
        return PARSE_UNKNOWN_EVENT
    return r.status


cdef int binance_general(parser_t* parser, const char* p, size_t n, sink_t* sink) noexcept nogil:
    cdef fields_t top, data
    cdef span_t document
    cdef reader_t r
    cdef span_t* stream
    cdef int status = scan_document(p, n, &document)
    if status != OK:
        return status
    if document.type != SCAN_OBJECT:
        return PARSE_WRONG_TYPE
    status = _fields_of(&document, &top)
    if status != OK:
        return status
    if not _has(&top, SLOT_STREAM) and not _has(&top, SLOT_DATA):
        return _payload(parser, &top, NULL, sink)
    r.fields = &top
    r.parser = parser
    r.status = OK
    stream = _text(&r, SLOT_STREAM)
    if _inner(&r, SLOT_DATA, &data) != OK:
        return r.status
    return _payload(parser, &data, stream, sink)

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp

from engine._core.debug cimport likely, unlikely
from engine._core.decimal cimport (
    POW10,
    ctz,
    decimal_parse,
    decimal_parse_signed,
    decimal_parse_steps,
    digits_of,
    eight_digits,
    load8,
    mul_overflow,
    nondigit_mask,
    step_t,
    steps_from_e8,
)
from engine._core.parse_state cimport event_head, parser_symbols, sink_next
from engine._core.scan cimport cursor_t, special_mask
from engine._core.symbols cimport symbol_t, symbols_entries, symbols_find
from engine._core.types cimport (
    FLAG_ASK,
    FLAG_BUYER_MAKER,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_NO_VENUE_TIME,
    FLAG_SELL,
    FLAG_SNAPSHOT,
    KIND_AGG_TRADE,
    KIND_BOOK_LEVEL,
    KIND_MARK,
    KIND_QUOTE,
    KIND_TRADE,
    OK,
    level_event_t,
    mark_event_t,
    quote_event_t,
    trade_event_t,
)

# No message of ours is shorter; below it the word that ends at the frame's end would begin before its start.
cdef enum:
    FRAME_BYTES_MIN = 32


cdef extern from * nogil:
    """
    // A macro, so that the length is a constant and the comparison a few word compares.
    #define bot4_lit(c, text) \\
        ((size_t)((c)->end - (c)->at) >= sizeof(text) - 1 && memcmp((c)->at, text, sizeof(text) - 1) == 0 \\
            ? ((c)->at += sizeof(text) - 1, 1) : 0)
    """
    bint lit "bot4_lit"(cursor_t* c, const char* text) noexcept


cdef inline uint64_t _load(const cursor_t* c) noexcept nogil:
    """Eight bytes at the cursor; near the end what is left of them, and zeros."""
    cdef size_t left = c.end - c.at
    if likely(left >= 8):
        return load8(c.at)
    return load8(c.end - 8) >> (64 - 8 * left) if left else 0


cdef inline bint _char_is(const cursor_t* c, char wanted) noexcept nogil:
    return c.at < c.end and c.at[0] == wanted


cdef inline bint _is_digit(const cursor_t* c) noexcept nogil:
    return c.at < c.end and c.at[0] >= c"0" and c.at[0] <= c"9"


# ------------------------------------------------------------------------------------------------------------ values
cdef inline bint _whole(cursor_t* c, int64_t* out) noexcept nogil:
    """A whole number of up to 16 digits, as JSON writes it: no zero in front."""
    cdef uint64_t digits = digits_of(_load(c)), bad = nondigit_mask(digits), value
    cdef int k
    if bad:
        k = ctz(bad) >> 3
        if unlikely(k == 0 or (k > 1 and c.at[0] == c"0")):
            return False
        out[0] = <int64_t>eight_digits(digits << (64 - 8 * k))
        c.at += k
        return True
    if unlikely(c.at[0] == c"0"):
        return False
    value = eight_digits(digits)
    c.at += 8
    digits = digits_of(_load(c))
    bad = nondigit_mask(digits)
    k = ctz(bad) >> 3 if bad else 8
    if k:
        value = value * <uint64_t>POW10[k] + eight_digits(digits << (64 - 8 * k))
        c.at += k
    out[0] = <int64_t>value
    return k < 8 or not _is_digit(c)


cdef inline bint _time(cursor_t* c, int64_t unit_ns, int64_t* out) noexcept nogil:
    cdef int64_t value = 0
    return _whole(c, &value) and not mul_overflow(value, unit_ns, out)


cdef size_t _number_size(const cursor_t* c) noexcept nogil:
    """How long the number at the cursor is: up to the first character that is neither digit, point nor minus."""
    cdef const char* at = c.at
    while at < c.end and ((at[0] >= c"0" and at[0] <= c"9") or at[0] == c"." or at[0] == c"-"):
        at += 1
    return at - c.at


cdef bint _steps_long(cursor_t* c, const step_t* s, int64_t* out) noexcept nogil:
    """A number that the short way does not take; wrong ones stay wrong."""
    cdef size_t size = _number_size(c)
    if decimal_parse_steps(c.at, size, s, out) != OK:
        return False
    c.at += size
    return True


cdef inline bint _steps(cursor_t* c, const step_t* s, int64_t* out) noexcept nogil:
    """The text of a price or quantity up to its closing quote, straight to steps.

    Up to seven digits before the point and eight behind it, which is nearly all there is. The fraction stands
    left-aligned in its word and so comes out in units of 1e-8 whatever its length.
    """
    cdef uint64_t whole = digits_of(_load(c)), bad = nondigit_mask(whole), part, value, below
    cdef cursor_t d
    cdef int k, f
    d.end = c.end
    k = ctz(bad) >> 3 if bad else 8
    if unlikely(k == 0 or k == 8):
        return _steps_long(c, s, out)
    # Most prices and quantities have at most eight characters: the point is taken out of the word and one conversion
    # does for both parts. Where the text ends before the word does, the second mark says where; else it ends at 8.
    # A frame that ends inside the word is zeros from there on, one mark beside the other: f > k + 1 keeps c.at[k] inside.
    bad &= bad - 1
    f = ctz(bad) >> 3 if bad else 8
    d.at = c.at + f
    if likely(f > k + 1 and c.at[k] == c"." and _char_is(&d, c'"')):
        below = (<uint64_t>1 << (8 * k)) - 1
        part = (whole & below) | ((whole >> 8) & ~below)
        value = eight_digits(part << (72 - 8 * f)) * <uint64_t>POW10[9 + k - f]
        if likely(steps_from_e8(value, s, out)):
            c.at = d.at
            return True
        return _steps_long(c, s, out)
    value = eight_digits(whole << (64 - 8 * k)) * 100_000_000
    d.at = c.at + k
    # The first word ended before the frame did, or `bad` would be the zero padding and this no point.
    if likely(_char_is(&d, c".")):
        d.at += 1
        part = digits_of(_load(&d))
        bad = nondigit_mask(part)
        if bad:
            f = ctz(bad) >> 3
            if unlikely(f == 0):
                return False
            part &= (<uint64_t>1 << (8 * f)) - 1
        else:
            f = 8
        value += eight_digits(part)
        d.at += f
    if unlikely(not _char_is(&d, c'"')):
        return _steps_long(c, s, out)
    if unlikely(not steps_from_e8(value, s, out)):
        return _steps_long(c, s, out)
    c.at = d.at
    return True


cdef inline bint _e8(cursor_t* c, int64_t* out) noexcept nogil:
    cdef size_t size = _number_size(c)
    if decimal_parse(c.at, size, 8, out) != OK:
        return False
    c.at += size
    return True


cdef inline bint _truth(cursor_t* c, bint* out) noexcept nogil:
    if lit(c, b"true"):
        out[0] = True
        return True
    out[0] = False
    return lit(c, b"false")


cdef inline bint _plain_text(cursor_t* c) noexcept nogil:
    """Over a string's plain ASCII text to its closing quote."""
    cdef uint64_t special
    while True:
        special = special_mask(_load(c))
        # Beyond the frame the load is zero, a control character, so the search ends there at the latest.
        if special:
            c.at += ctz(special) >> 3
            return _char_is(c, c'"')
        c.at += 8


cdef inline symbol_t* _symbol(cursor_t* c, const parser_t* parser) noexcept nogil:
    """The symbol up to its closing quote. The table holds plain text only, so what it finds needs no look."""
    cdef const char* start = c.at
    if unlikely(not _plain_text(c)):
        return NULL
    return symbols_find(parser_symbols(parser), start, c.at - start, False)


# ------------------------------------------------------------------------------------------------------------- depth
cdef inline bint _levels(
    cursor_t* c, const parser_t* parser, const symbol_t* symbol, uint64_t head, const level_event_t* ids, sink_t* sink
) noexcept nogil:
    """From behind the opening bracket of one side to behind its closing one."""
    cdef level_event_t* event
    cdef size_t left = sink.room - sink.count
    if lit(c, b"]"):
        return True
    if left > parser.levels_max:
        left = parser.levels_max
    if not lit(c, b'["'):
        return False
    while left:
        left -= 1
        event = <level_event_t*>sink_next(sink, head, ids.ts_venue_ns)
        event.id_first = ids.id_first
        event.id_last = ids.id_last
        event.id_prev = ids.id_prev
        if unlikely(not _steps(c, &symbol.px, &event.px_ticks) or not lit(c, b'","')):
            return False
        if unlikely(not _steps(c, &symbol.qty, &event.qty_lots) or event.px_ticks == 0):
            return False
        if lit(c, b'"],["'):
            continue
        return lit(c, b'"]]')
    return False


cdef inline bint _both_sides(
    cursor_t* c,
    const parser_t* parser,
    const symbol_t* symbol,
    int flags,
    const level_event_t* ids,
    const char* between,
    sink_t* sink,
) noexcept nogil:
    cdef uint64_t head = event_head(KIND_BOOK_LEVEL, flags, symbol.symbol)
    if not _levels(c, parser, symbol, head, ids, sink):
        return False
    if not (lit(c, b',"a":[') if between[0] == c"a" else lit(c, b',"asks":[')):
        return False
    if not _levels(c, parser, symbol, head | (<uint64_t>FLAG_ASK << 8), ids, sink):
        return False
    if sink.count == 0:
        return False
    sink.out[0].flags |= FLAG_FIRST
    sink.out[sink.count - 1].flags |= FLAG_LAST
    return True


cdef bint _is_partial(const char* at, size_t size) noexcept nogil:
    """A digit behind "@depth" in the stream's name."""
    cdef size_t i = 0
    while i < size and at[i] != c"@":
        i += 1
    return i + 6 < size and memcmp(at + i, b"@depth", 6) == 0 and at[i + 6] >= c"0" and at[i + 6] <= c"9"


cdef bint _depth_update(cursor_t* c, const parser_t* parser, bint partial, sink_t* sink) noexcept nogil:
    """e,E,(T),s,(ps),U,u,(pu),b,a"""
    cdef level_event_t ids
    cdef const symbol_t* symbol
    if not (lit(c, b'depthUpdate","E":') and _time(c, parser.time_unit_ns, &ids.ts_venue_ns)):
        return False
    if lit(c, b',"T":') and not _time(c, parser.time_unit_ns, &ids.ts_venue_ns):
        return False
    if not lit(c, b',"s":"'):
        return False
    symbol = _symbol(c, parser)
    if symbol == NULL or not lit(c, b'"'):
        return False
    if lit(c, b',"ps":"') and not (_plain_text(c) and lit(c, b'"')):
        return False
    if not (lit(c, b',"U":') and _whole(c, &ids.id_first) and lit(c, b',"u":') and _whole(c, &ids.id_last)):
        return False
    ids.id_prev = -1
    if lit(c, b',"pu":') and not _whole(c, &ids.id_prev):
        return False
    return lit(c, b',"b":[') and _both_sides(c, parser, symbol, FLAG_SNAPSHOT if partial else 0, &ids, b"a", sink)


cdef bint _partial_depth(
    cursor_t* c, const parser_t* parser, const char* stream, size_t stream_size, sink_t* sink
) noexcept nogil:
    """Spot: lastUpdateId,bids,asks"""
    cdef level_event_t ids
    cdef const symbol_t* symbol = NULL
    cdef size_t i = 0
    if stream != NULL:
        while i < stream_size and stream[i] != c"@":
            i += 1
        symbol = symbols_find(parser_symbols(parser), stream, i, True)
    elif parser.context_symbol >= 0:
        symbol = symbols_entries(parser_symbols(parser)) + parser.context_symbol
    if symbol == NULL or not (_whole(c, &ids.id_last) and lit(c, b',"bids":[')):
        return False
    ids.id_first = ids.id_last
    ids.id_prev = -1
    ids.ts_venue_ns = 0
    return _both_sides(c, parser, symbol, FLAG_SNAPSHOT | FLAG_NO_VENUE_TIME, &ids, b"s", sink)


# ------------------------------------------------------------------------------------------------- one-event messages
cdef bint _trade(cursor_t* c, const parser_t* parser, bint aggregate, sink_t* sink) noexcept nogil:
    """Spot e,E,s,a,p,q,f,l,T,m,(M); USD-M e,E,a,s,p,q,(nq),f,l,T,m; trade e,E,(T),s,t,p,q,(b,a),(T),(X),m,(M)."""
    cdef trade_event_t* event
    cdef const symbol_t* symbol
    cdef int64_t ts = 0, id_trade = 0, id_first, id_last, px = 0, qty = 0, ignored = 0
    cdef bint maker = False, best = False, timed = False, numbered = False
    if not (lit(c, b'","E":') and _time(c, parser.time_unit_ns, &ts)):
        return False
    if aggregate and lit(c, b',"a":'):
        numbered = True
        if not _whole(c, &id_trade):
            return False
    if not aggregate and lit(c, b',"T":'):
        timed = True
        if not _time(c, parser.time_unit_ns, &ts):
            return False
    if not lit(c, b',"s":"'):
        return False
    symbol = _symbol(c, parser)
    if symbol == NULL or not lit(c, b'"'):
        return False
    if not numbered and not ((lit(c, b',"a":') if aggregate else lit(c, b',"t":')) and _whole(c, &id_trade)):
        return False
    if not (lit(c, b',"p":"') and _steps(c, &symbol.px, &px) and lit(c, b'","q":"') and _steps(c, &symbol.qty, &qty)):
        return False
    if not lit(c, b'"'):
        return False
    id_first = id_last = id_trade
    if aggregate:
        if lit(c, b',"nq":"') and not (_plain_text(c) and lit(c, b'"')):
            return False
        if not (lit(c, b',"f":') and _whole(c, &id_first) and lit(c, b',"l":') and _whole(c, &id_last)):
            return False
    elif lit(c, b',"b":') and not (_whole(c, &ignored) and lit(c, b',"a":') and _whole(c, &ignored)):
        return False
    if not timed and not (lit(c, b',"T":') and _time(c, parser.time_unit_ns, &ts)):
        return False
    if not aggregate and lit(c, b',"X":"') and not (_plain_text(c) and lit(c, b'"')):
        return False
    if not (lit(c, b',"m":') and _truth(c, &maker)):
        return False
    if (lit(c, b',"M":') and not _truth(c, &best)) or sink.room == 0:
        return False
    event = <trade_event_t*>sink_next(
        sink,
        event_head(
            KIND_AGG_TRADE if aggregate else KIND_TRADE,
            FLAG_FIRST | FLAG_LAST | (FLAG_BUYER_MAKER | FLAG_SELL if maker else 0),
            symbol.symbol,
        ),
        ts,
    )
    event.px_ticks = px
    event.qty_lots = qty
    event.id_trade = id_trade
    event.id_first = id_first
    event.id_last = id_last
    return True


cdef bint _quote(cursor_t* c, const parser_t* parser, sink_t* sink) noexcept nogil:
    """From behind `"u":`. Spot u,s,b,B,a,A; USD-M e,u,(E,T),s,(ps),b,B,a,A,(T,E)."""
    cdef quote_event_t* event
    cdef const symbol_t* symbol
    cdef int64_t ts = 0, id_book = 0, ignored = 0, bid_px = 0, bid_qty = 0, ask_px = 0, ask_qty = 0
    cdef int flags = FLAG_FIRST | FLAG_LAST | FLAG_NO_VENUE_TIME
    cdef bint timed = False
    if not _whole(c, &id_book):
        return False
    if lit(c, b',"E":'):
        timed = True
        if not (_time(c, parser.time_unit_ns, &ignored) and lit(c, b',"T":') and _time(c, parser.time_unit_ns, &ts)):
            return False
    if not lit(c, b',"s":"'):
        return False
    symbol = _symbol(c, parser)
    if symbol == NULL or not lit(c, b'"'):
        return False
    if lit(c, b',"ps":"') and not (_plain_text(c) and lit(c, b'"')):
        return False
    if not (lit(c, b',"b":"') and _steps(c, &symbol.px, &bid_px) and lit(c, b'","B":"')
            and _steps(c, &symbol.qty, &bid_qty) and lit(c, b'","a":"') and _steps(c, &symbol.px, &ask_px)
            and lit(c, b'","A":"') and _steps(c, &symbol.qty, &ask_qty) and lit(c, b'"')):
        return False
    if not timed and lit(c, b',"T":'):
        timed = True
        if not (_time(c, parser.time_unit_ns, &ts) and lit(c, b',"E":') and _time(c, parser.time_unit_ns, &ignored)):
            return False
    if sink.room == 0:
        return False
    if timed:
        flags &= ~FLAG_NO_VENUE_TIME
    event = <quote_event_t*>sink_next(sink, event_head(KIND_QUOTE, flags, symbol.symbol), ts)
    event.bid_px_ticks = bid_px
    event.bid_qty_lots = bid_qty
    event.ask_px_ticks = ask_px
    event.ask_qty_lots = ask_qty
    event.id_book = id_book
    return True


cdef bint _mark(cursor_t* c, const parser_t* parser, sink_t* sink) noexcept nogil:
    """e,E,s,p,(ap),(P),i,(P),r,T"""
    cdef mark_event_t* event
    cdef const symbol_t* symbol
    cdef int64_t ts = 0, mark = 0, index = 0, settle = 0, rate = 0, ts_funding = 0
    cdef bint settled = False
    cdef size_t size
    if not (lit(c, b'","E":') and _time(c, parser.time_unit_ns, &ts) and lit(c, b',"s":"')):
        return False
    symbol = _symbol(c, parser)
    if symbol == NULL or not (lit(c, b'","p":"') and _e8(c, &mark) and lit(c, b'"')):
        return False
    if lit(c, b',"ap":"') and not (_plain_text(c) and lit(c, b'"')):
        return False
    if lit(c, b',"P":"'):
        settled = True
        if not (_e8(c, &settle) and lit(c, b'"')):
            return False
    if not (lit(c, b',"i":"') and _e8(c, &index) and lit(c, b'"')):
        return False
    if not settled and lit(c, b',"P":"') and not (_e8(c, &settle) and lit(c, b'"')):
        return False
    if not lit(c, b',"r":"'):
        return False
    size = _number_size(c)
    if decimal_parse_signed(c.at, size, 8, &rate) != OK:
        return False
    c.at += size
    if not (lit(c, b'","T":') and _time(c, parser.time_unit_ns, &ts_funding)) or sink.room == 0:
        return False
    event = <mark_event_t*>sink_next(sink, event_head(KIND_MARK, FLAG_FIRST | FLAG_LAST, symbol.symbol), ts)
    event.mark_px_e8 = mark
    event.index_px_e8 = index
    event.settle_px_e8 = settle
    event.funding_rate_e8 = rate
    event.ts_funding_ns = ts_funding
    return True


# ---------------------------------------------------------------------------------------------------------- dispatch
cdef inline bint _message(
    cursor_t* c, const parser_t* parser, const char* stream, size_t stream_size, sink_t* sink
) noexcept nogil:
    """From behind the opening brace of the payload to before its closing one."""
    if not lit(c, b'"e":"'):
        if lit(c, b'"u":'):
            return _quote(c, parser, sink)
        return lit(c, b'"lastUpdateId":') and _partial_depth(c, parser, stream, stream_size, sink)
    if _char_is(c, c"d"):
        return _depth_update(
            c, parser, parser.context_snapshot if stream == NULL else _is_partial(stream, stream_size), sink
        )
    if lit(c, b'bookTicker","u":'):
        return _quote(c, parser, sink)
    if lit(c, b"aggTrade"):
        return _trade(c, parser, True, sink)
    if lit(c, b"trade"):
        return _trade(c, parser, False, sink)
    return lit(c, b"markPriceUpdate") and _mark(c, parser, sink)


cdef bint binance_fast(parser_t* parser, const char* p, size_t n, sink_t* sink) noexcept nogil:
    """True when the frame was read whole. Otherwise what stands in the sink means nothing."""
    cdef cursor_t c
    cdef const char* stream = NULL
    cdef size_t stream_size = 0
    cdef int64_t ignored = 0
    if n < FRAME_BYTES_MIN:
        return False
    c.at = p
    c.end = p + n
    if lit(&c, b'{"stream":"'):
        stream = c.at
        if not _plain_text(&c):
            return False
        stream_size = c.at - stream
        if not lit(&c, b'","data":{'):
            return False
    elif not lit(&c, b"{"):
        return False
    if not _message(&c, parser, stream, stream_size, sink):
        return False
    # The venue has begun to end messages with a status and the pair's name; neither is a field of ours.
    if lit(&c, b',"st":') and not _whole(&c, &ignored):
        return False
    if lit(&c, b',"ps":"') and not (_plain_text(&c) and lit(&c, b'"')):
        return False
    if not lit(&c, b"}"):
        return False
    if stream != NULL and not lit(&c, b"}"):
        return False
    return c.at == c.end

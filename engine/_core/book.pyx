cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport debug_assert, likely, static_assert_c, unlikely
from engine._core.ladder cimport (
    LADDER_MERGE,
    LADDER_TICKS_LEAST,
    LADDER_TICKS_MOST,
    ladder_best_qty,
    ladder_bytes,
    ladder_chunk_t,
    ladder_chunks,
    ladder_clear,
    ladder_count,
    ladder_cursor,
    ladder_cursor_t,
    ladder_directory,
    ladder_drop_worst,
    ladder_entry_t,
    ladder_init,
    ladder_next,
    ladder_qty,
    ladder_set,
    ladder_t,
    ladder_words,
)
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    ARENA_BAD_SIZE,
    BOOK_BAD_PRICE,
    BOOK_BAD_QUANTITY,
    BOOK_CHECKSUM,
    BOOK_CROSSED,
    BOOK_EMPTY_SIDE,
    BOOK_FULL,
    BOOK_GAP,
    BOOK_MISMATCH,
    BOOK_OUTSIDE,
    BOOK_STALE_UPDATE,
    BOOK_TOO_THIN,
    BOOK_UNTRUSTED,
    FLAG_ASK,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_SNAPSHOT,
    KIND_BOOK_CLEAR,
    KIND_BOOK_LEVEL,
    KIND_QUOTE,
    OK,
    WORLD_BAD_EVENT,
    WORLD_BAD_LAYOUT,
    event_t,
    level_event_t,
    quote_event_t,
    raise_status,
)

Trust = trust_t
Rule = rule_t
Quotes = quotes_t
Side = book_side_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    static uint32_t bot4_crc_table[256];
    __attribute__((constructor)) static void bot4_crc_build(void) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = (c >> 1) ^ (0xEDB88320u & (0u - (c & 1u)));
            bot4_crc_table[i] = c;
        }
    }
    static inline uint32_t bot4_crc_number(uint32_t crc, uint64_t value) {
        unsigned char text[20];
        int at = 20;
        do { text[--at] = (unsigned char)('0' + value % 10); value /= 10; } while (value);
        for (; at < 20; at++) crc = (crc >> 8) ^ bot4_crc_table[(crc ^ text[at]) & 0xFF];
        return crc;
    }
    static inline void bot4_add_product(uint64_t* high, uint64_t* low, int64_t a, int64_t b) {
        unsigned __int128 sum = ((unsigned __int128)*high << 64) | *low;
        sum += (unsigned __int128)(uint64_t)a * (uint64_t)b;
        *high = (uint64_t)(sum >> 64);
        *low = (uint64_t)sum;
    }
    """
    # CRC32 as in zlib, over a number's decimal text; zero prints as one digit and never stands in a book.
    uint32_t crc_number "bot4_crc_number"(uint32_t crc, uint64_t value) noexcept
    void add_product "bot4_add_product"(uint64_t* high, uint64_t* low, int64_t a, int64_t b) noexcept


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(book_top_t) == 64)
    static_assert_c(sizeof(book_config_t) == 56)
    static_assert_c(sizeof(book_counts_t) == 128)
    static_assert_c(sizeof(ladder_t) == 128)
    static_assert_c(<size_t>&(<book_t*>NULL).message == 64)
    static_assert_c(<size_t>&(<book_t*>NULL).config == 128)
    static_assert_c(<size_t>&(<book_t*>NULL).side % 64 == 0)
    static_assert_c(sizeof(book_t) % 64 == 0)


# ------------------------------------------------------------------------------------------------- memory
cdef bint _config_ok(const book_config_t* c) noexcept nogil:
    return (
        c.ticks >= LADDER_TICKS_LEAST and c.ticks <= LADDER_TICKS_MOST and c.ticks & (c.ticks - 1) == 0
        and 1 <= c.levels_max <= 1_000_000 and c.rule <= RULE_QUOTE and c.quotes <= QUOTES_LEAD
        and c.crossed_trust in (TRUST_SUSPECT, TRUST_REBUILDING) and c.depth <= c.levels_max // 2
        and 1 <= c.px_ticks_max <= (<int64_t>1 << 60)
        # Relations between maxima: a side's total and both sides' sum stay inside 63 bits.
        and 1 <= c.qty_lots_max <= (<int64_t>1 << 62) // c.levels_max
        and 1 <= c.px_unit <= (<int64_t>1 << 62) // c.px_ticks_max
        and 1 <= c.qty_unit <= INT64_MAX // c.qty_lots_max
    )


cdef size_t book_bytes(const book_config_t* config) noexcept nogil:
    """Size of the block for this configuration, 0 when it is impossible."""
    if not _config_ok(config):
        return 0
    return sizeof(book_t) + 2 * ladder_bytes(config.ticks, config.levels_max)


cdef int book_init(book_t* b, const book_config_t* config) noexcept nogil:
    """Make an empty book without trust in a block of `book_bytes` bytes."""
    cdef size_t arrays = ladder_bytes(config.ticks, config.levels_max)
    if not _config_ok(config):
        return ARENA_BAD_SIZE
    memset(b, 0, sizeof(book_t))
    b.config = config[0]
    b.bytes = sizeof(book_t) + 2 * arrays
    b.whole = 1
    b.update_id = -1
    b.quote_id = -1
    b.top.update_id = -1
    ladder_init(&b.side[0], <char*>(b + 1), config.ticks, config.levels_max)
    ladder_init(&b.side[1], <char*>(b + 1) + arrays, config.ticks, config.levels_max)
    return OK


# ------------------------------------------------------------------------------------------------- the top line
cdef inline int64_t _bid_px(const book_t* b) noexcept nogil:
    return 0 if b.side[0].best_key == INT64_MIN else b.side[0].best_key


cdef inline int64_t _ask_px(const book_t* b) noexcept nogil:
    return 0 if b.side[1].best_key == INT64_MIN else -b.side[1].best_key


cdef inline uint64_t _trust_word(const book_t* b) noexcept nogil:
    return b.trust | <uint64_t>b.trust_reason << 32


cdef inline void _publish(book_t* b) noexcept nogil:
    """Show the state between two messages. A quote ahead of the book leads where the configuration says so."""
    cdef book_top_t new
    if unlikely(b.config.quotes == QUOTES_LEAD and b.quote_id > b.update_id):
        new.bid_px_ticks = b.quote[0]
        new.bid_qty_lots = b.quote[1]
        new.ask_px_ticks = b.quote[2]
        new.ask_qty_lots = b.quote[3]
        new.update_id = b.quote_id
    else:
        new.bid_px_ticks = _bid_px(b)
        new.bid_qty_lots = ladder_best_qty(&b.side[0])
        new.ask_px_ticks = _ask_px(b)
        new.ask_qty_lots = ladder_best_qty(&b.side[1])
        new.update_id = b.update_id
    new.ts_ns = b.ts_ns
    new.trust = _trust_word(b)
    book_top_write(&b.top, &new)


cdef void _lose_trust(book_t* b, uint32_t trust, uint32_t reason) noexcept nogil:
    """Show less trust at once, beside the prices, sequence and time that stand there: they are as old as they say."""
    cdef book_top_t new = b.top
    b.trust = trust
    b.trust_reason = reason
    new.trust = _trust_word(b)
    book_top_write(&b.top, &new)


cdef int book_distrust(book_t* b, uint32_t trust, uint32_t reason) noexcept nogil:
    """Trust lost for a reason outside the data: a silent feed, a reconnect. Nothing but data ever gives trust."""
    if trust == TRUST_LIVE or trust > TRUST_REBUILDING:
        return BOOK_UNTRUSTED
    # A book that waits for an image is not made better by being merely suspected.
    if trust == TRUST_SUSPECT and b.trust != TRUST_LIVE:
        return OK
    if b.message != MESSAGE_NONE and trust != TRUST_SUSPECT:
        if b.message != MESSAGE_SKIP:
            b.whole = 0
        b.message = MESSAGE_SKIP
        b.message_status = BOOK_UNTRUSTED
    _lose_trust(b, trust, reason)
    return OK


# ------------------------------------------------------------------------------------------------- messages
cdef void _clear(book_t* b) noexcept nogil:
    ladder_clear(&b.side[0])
    ladder_clear(&b.side[1])
    b.quote_id = -1


cdef inline int _skip(book_t* b, int status) noexcept nogil:
    b.message = MESSAGE_SKIP
    b.message_status = <uint32_t>status
    return status


cdef int _gap(book_t* b) noexcept nogil:
    # A gap is loss, not lateness: what came between is unknown, so nothing is applied until the next image.
    b.counts.gap_count += 1
    _lose_trust(b, TRUST_REBUILDING, BOOK_GAP)
    return _skip(b, BOOK_GAP)


cdef int _stale(book_t* b) noexcept nogil:
    b.counts.stale_count += 1
    return _skip(b, BOOK_STALE_UPDATE)


cdef int _begin_image(book_t* b, const level_event_t* e) noexcept nogil:
    # While the book is whole an older image would turn it back. While it rebuilds any image is welcome: buffered
    # updates may follow it. Only these two rules number images and updates alike for ever; others start again.
    if b.trust in (TRUST_LIVE, TRUST_SUSPECT) and b.config.rule in (RULE_SPOT, RULE_LINKED) and e.id_last < b.update_id:
        return _stale(b)
    _clear(b)
    b.message = MESSAGE_IMAGE
    return OK


cdef inline int _begin_update(book_t* b, const level_event_t* e) noexcept nogil:
    """Hold an update against the venue's rule before any of it is applied."""
    cdef uint32_t rule = b.config.rule
    cdef int64_t last = b.update_id
    if b.trust in (TRUST_NONE, TRUST_REBUILDING):
        b.counts.untrusted_count += 1
        return _skip(b, BOOK_UNTRUSTED)
    if rule in (RULE_SPOT, RULE_CONTIGUOUS):
        if e.id_last <= last:
            return _stale(b)
        if e.id_first > last + 1:
            return _gap(b)
        if e.id_first <= last and not b.waits_first:
            # Binance lets an update begin before the end of the last one: quantities are absolute, nothing is lost.
            if rule == RULE_CONTIGUOUS:
                return _gap(b)
            b.counts.overlap_count += 1
    elif rule == RULE_LINKED:
        # The link decides first: OKX repeats a number when nothing changed and may set it back, both linked.
        if e.id_prev != last:
            if b.waits_first:
                if e.id_last < last:
                    return _stale(b)
                if e.id_first > last:
                    return _gap(b)
            else:
                return _stale(b) if e.id_last <= last else _gap(b)
    b.message = MESSAGE_UPDATE
    return OK


cdef inline int _begin(book_t* b, const level_event_t* e) noexcept nogil:
    if unlikely(b.message in (MESSAGE_UPDATE, MESSAGE_IMAGE)):
        # The end of the message before was lost, so half of it stands in the ladders.
        b.whole = 0
        _gap(b)
    if e.flags & FLAG_SNAPSHOT:
        return _begin_image(b, e)
    return _begin_update(b, e)


cdef bint _quote_agrees(const book_t* b) noexcept nogil:
    return (
        b.quote[0] == _bid_px(b) and b.quote[1] == ladder_best_qty(&b.side[0])
        and b.quote[2] == _ask_px(b) and b.quote[3] == ladder_best_qty(&b.side[1])
    )


cdef inline int _judge(book_t* b) noexcept nogil:
    """What a whole message says about the book: crossed, out of sight, contradicted by a quote, or fine."""
    cdef int64_t bid = _bid_px(b), ask = _ask_px(b)
    cdef int s
    if unlikely(bid != 0 and ask != 0 and bid >= ask):
        b.counts.crossed_count += 1
        b.trust = b.config.crossed_trust
        b.trust_reason = BOOK_CROSSED
        return BOOK_CROSSED
    for s in range(2):
        # All that was held is gone and the next levels were dropped earlier: the touch is unknown.
        if unlikely(b.side[s].best_key == INT64_MIN and b.side[s].horizon_key != INT64_MIN and b.config.depth == 0):
            b.trust = TRUST_REBUILDING
            b.trust_reason = BOOK_OUTSIDE
            return BOOK_OUTSIDE
    if b.quote_id >= 0 and b.quote_id == b.update_id and not _quote_agrees(b):
        b.counts.mismatch_count += 1
        b.trust = TRUST_REBUILDING
        b.trust_reason = BOOK_MISMATCH
        return BOOK_MISMATCH
    return OK


cdef inline int _end(book_t* b, const level_event_t* e, int level_status) noexcept nogil:
    """The message is whole: number it, judge it, show it."""
    cdef int status = level_status, s
    b.counts.message_count += 1
    b.ts_ns = e.ts_recv_ns
    if unlikely(b.config.depth != 0):
        for s in range(2):
            while ladder_count(&b.side[s]) > b.config.depth:
                ladder_drop_worst(&b.side[s])
    # A quiet check or an image gives trust back to a suspected book; only an image to one that rebuilt.
    # Written only when they change: a message of one level is mostly stores.
    if unlikely(b.trust != TRUST_LIVE or b.waits_first or b.message == MESSAGE_IMAGE):
        b.trust = TRUST_LIVE
        b.trust_reason = OK
        b.waits_first = b.message == MESSAGE_IMAGE
        b.whole = 1
        b.counts.image_count += b.waits_first
    b.message = MESSAGE_NONE
    if b.config.rule == RULE_CHECKSUM:
        b.update_id += 1
        if e.id_last >= 0 and <int64_t>book_checksum(b) != e.id_last:
            b.counts.checksum_count += 1
            b.trust = TRUST_REBUILDING
            b.trust_reason = BOOK_CHECKSUM
            _publish(b)
            return BOOK_CHECKSUM
    elif e.id_last >= 0:
        b.update_id = e.id_last
    s = _judge(b)
    if unlikely(s != OK):
        status = s
    _publish(b)
    return status


cdef int _refuse(book_t* b, const level_event_t* e, int status) noexcept nogil:
    """An impossible level: no level changed, but the book now lacks what the venue meant, so it rebuilds."""
    b.counts.refused_count += 1
    b.whole = 0
    _lose_trust(b, TRUST_REBUILDING, <uint32_t>status)
    b.message_status = <uint32_t>status
    b.message = MESSAGE_NONE if e.flags & FLAG_LAST else MESSAGE_SKIP
    return status


cdef inline int _check_level(const book_t* b, int64_t px_ticks, int64_t qty_lots) noexcept nogil:
    # One unsigned comparison refuses zero, negatives and what is past the limit.
    if unlikely(<uint64_t>px_ticks - 1 >= <uint64_t>b.config.px_ticks_max):
        return BOOK_BAD_PRICE
    if unlikely(<uint64_t>qty_lots > <uint64_t>b.config.qty_lots_max):
        return BOOK_BAD_QUANTITY
    return OK


cdef inline int _set(book_t* b, int side, int64_t px_ticks, int64_t qty_lots) noexcept nogil:
    # A mask turns the sign: the side of an update is a coin toss.
    cdef int status = ladder_set(&b.side[side], (px_ticks ^ -<int64_t>side) + side, qty_lots)
    b.counts.full_count += status != OK
    return status


cdef int _apply_skipped(book_t* b, const level_event_t* e) noexcept nogil:
    cdef int status = <int>b.message_status
    if e.flags & FLAG_LAST:
        b.message = MESSAGE_NONE
    return status


cdef int _apply_clear(book_t* b, const level_event_t* e) noexcept nogil:
    """An image without a level, or, without FLAG_SNAPSHOT, the end of what is known: trust ends too."""
    cdef int status
    if e.flags & FLAG_SNAPSHOT:
        status = _begin(b, e)
        if b.message == MESSAGE_SKIP:
            return _apply_skipped(b, e)
        return _end(b, e, status) if e.flags & FLAG_LAST else status
    _clear(b)
    b.message = MESSAGE_NONE
    b.whole = 1
    b.trust = TRUST_NONE
    b.trust_reason = OK
    b.update_id = -1
    b.ts_ns = e.ts_recv_ns
    _publish(b)
    return OK


cdef int _check_quote(const book_t* b, const quote_event_t* q) noexcept nogil:
    """Both prices and quantities possible, each side whole or empty (0 and 0), and not crossed."""
    cdef int status = OK
    if q.bid_px_ticks != 0 or q.bid_qty_lots != 0:
        status = _check_level(b, q.bid_px_ticks, q.bid_qty_lots)
        if status == OK and q.bid_qty_lots == 0:
            status = BOOK_BAD_QUANTITY
    if status == OK and (q.ask_px_ticks != 0 or q.ask_qty_lots != 0):
        status = _check_level(b, q.ask_px_ticks, q.ask_qty_lots)
        if status == OK and q.ask_qty_lots == 0:
            status = BOOK_BAD_QUANTITY
    if status == OK and q.bid_px_ticks != 0 and q.ask_px_ticks != 0 and q.bid_px_ticks >= q.ask_px_ticks:
        status = BOOK_CROSSED
    return status


cdef int _apply_quote_alone(book_t* b, const quote_event_t* q) noexcept nogil:
    """RULE_QUOTE: the quote is the book."""
    if q.id_book >= 0 and q.id_book < b.update_id and b.trust in (TRUST_LIVE, TRUST_SUSPECT):
        b.counts.stale_count += 1
        return BOOK_STALE_UPDATE
    _clear(b)
    if q.bid_px_ticks != 0:
        _set(b, SIDE_BID, q.bid_px_ticks, q.bid_qty_lots)
    if q.ask_px_ticks != 0:
        _set(b, SIDE_ASK, q.ask_px_ticks, q.ask_qty_lots)
    if q.id_book >= 0:
        b.update_id = q.id_book
    b.counts.message_count += 1
    b.ts_ns = q.ts_recv_ns
    b.trust = TRUST_LIVE
    b.trust_reason = OK
    _publish(b)
    return OK


cdef int _apply_quote(book_t* b, const quote_event_t* q) noexcept nogil:
    """A quote beside depth: the second opinion on the touch. It never changes a level."""
    cdef int status
    if b.config.rule != RULE_QUOTE:
        if b.config.quotes == QUOTES_IGNORE:
            return OK
        # Only these rules number quotes and updates from one sequence; elsewhere "ahead" has no meaning.
        if b.config.rule not in (RULE_SPOT, RULE_LINKED) or b.message != MESSAGE_NONE:
            return WORLD_BAD_EVENT
    status = _check_quote(b, q)
    if status != OK:
        if status == BOOK_CROSSED:
            b.counts.crossed_count += 1
        b.counts.refused_count += 1
        return status
    if b.config.rule == RULE_QUOTE:
        return _apply_quote_alone(b, q)
    if b.trust not in (TRUST_LIVE, TRUST_SUSPECT):
        b.counts.untrusted_count += 1
        return BOOK_UNTRUSTED
    if q.id_book < b.update_id or q.id_book < b.quote_id:
        b.counts.stale_count += 1
        return BOOK_STALE_UPDATE
    b.quote_id = q.id_book
    memcpy(b.quote, &q.bid_px_ticks, 4 * sizeof(int64_t))
    if q.id_book > b.update_id:
        if b.config.quotes == QUOTES_LEAD:
            b.ts_ns = q.ts_recv_ns
            _publish(b)
        return OK
    if not _quote_agrees(b):
        b.counts.mismatch_count += 1
        _lose_trust(b, TRUST_REBUILDING, BOOK_MISMATCH)
        return BOOK_MISMATCH
    return OK


cdef int book_apply(book_t* b, const event_t* event) noexcept nogil:
    """Apply one event. What it returns has been counted and acted upon; the caller only needs it to ask for an image.

    Events of a message that is passed over all return the message's status; each counter counts the message once.
    """
    cdef const level_event_t* e = <const level_event_t*>event
    cdef int status
    if unlikely(e.kind != KIND_BOOK_LEVEL or b.config.rule == RULE_QUOTE):
        if e.kind == KIND_QUOTE:
            return _apply_quote(b, <const quote_event_t*>event)
        if e.kind == KIND_BOOK_CLEAR:
            return _apply_clear(b, e)
        return WORLD_BAD_EVENT
    if e.flags & FLAG_FIRST:
        _begin(b, e)
    elif unlikely(b.message == MESSAGE_NONE):
        # The beginning was lost.
        if b.trust in (TRUST_LIVE, TRUST_SUSPECT):
            _gap(b)
        else:
            b.counts.untrusted_count += 1
            _skip(b, BOOK_UNTRUSTED)
    if unlikely(b.message == MESSAGE_SKIP):
        return _apply_skipped(b, e)
    status = OK
    # Price and quantity both zero: a message without a level, which still moves the sequence.
    if likely(e.px_ticks != 0 or e.qty_lots != 0):
        status = _check_level(b, e.px_ticks, e.qty_lots)
        if unlikely(status != OK):
            return _refuse(b, e, status)
        status = _set(b, (e.flags & FLAG_ASK) != 0, e.px_ticks, e.qty_lots)
    if e.flags & FLAG_LAST:
        return _end(b, e, status)
    return status


cdef int book_set(book_t* b, int side, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns) noexcept nogil:
    """One level outside any message, shown at once. Trust and sequence stay: this is for books of our own making."""
    cdef int status
    if unlikely(b.message in (MESSAGE_UPDATE, MESSAGE_IMAGE)):
        return BOOK_UNTRUSTED
    status = _check_level(b, px_ticks, qty_lots)
    if unlikely(status != OK):
        b.counts.refused_count += 1
        return status
    status = _set(b, side, px_ticks, qty_lots)
    b.ts_ns = ts_ns
    _publish(b)
    return status


# ------------------------------------------------------------------------------------------------- queries
cdef inline bint _whole(const book_t* b) noexcept nogil:
    return b.whole and (b.message == MESSAGE_NONE or b.message == MESSAGE_SKIP)


cdef int book_depth_to(const book_t* b, int side, int64_t px_ticks, int64_t* qty_lots) noexcept nogil:
    """Lots from the touch to this price, both included; BOOK_OUTSIDE when that reaches past the horizon."""
    cdef const ladder_t* l = &b.side[side]
    cdef ladder_cursor_t cursor
    cdef int64_t key = -px_ticks if side else px_ticks, sum = 0
    qty_lots[0] = 0
    if not _whole(b):
        return BOOK_UNTRUSTED
    cursor = ladder_cursor(l)
    while ladder_next(l, &cursor) and cursor.key >= key:
        sum += cursor.qty
    qty_lots[0] = sum
    return BOOK_OUTSIDE if key <= l.horizon_key else OK


cdef int book_cost(const book_t* b, int side, int64_t qty_lots, book_cost_t* cost) noexcept nogil:
    """Take a quantity from one side, best first: the worst price touched and the exact sum of ticks times lots.

    BOOK_TOO_THIN when the side holds less, with what could be taken; BOOK_EMPTY_SIDE when it holds nothing.
    """
    cdef const ladder_t* l = &b.side[side]
    cdef ladder_cursor_t cursor
    cdef int64_t left = qty_lots, take, px
    memset(cost, 0, sizeof(book_cost_t))
    if qty_lots <= 0:
        return BOOK_BAD_QUANTITY
    if not _whole(b):
        return BOOK_UNTRUSTED
    cursor = ladder_cursor(l)
    while left > 0 and ladder_next(l, &cursor):
        take = min(left, cursor.qty)
        px = -cursor.key if side else cursor.key
        add_product(&cost.cost_high, &cost.cost_low, px, take)
        cost.px_worst_ticks = px
        left -= take
    cost.filled_lots = qty_lots - left
    if left == 0:
        return OK
    return BOOK_TOO_THIN if cost.filled_lots else BOOK_EMPTY_SIDE


cdef int book_imbalance(const book_t* b, uint32_t levels, double* value) noexcept nogil:
    """(bids - asks) / (bids + asks) over the best n levels a side, -1 to 1. For features only."""
    cdef int64_t sum[2]
    cdef ladder_cursor_t cursor
    cdef uint32_t i
    cdef int s
    value[0] = 0.0
    if not _whole(b):
        return BOOK_UNTRUSTED
    for s in range(2):
        sum[s] = 0
        cursor = ladder_cursor(&b.side[s])
        i = 0
        while i < levels and ladder_next(&b.side[s], &cursor):
            sum[s] += cursor.qty
            i += 1
    if sum[0] + sum[1] == 0:
        return BOOK_EMPTY_SIDE
    value[0] = <double>(sum[0] - sum[1]) / <double>(sum[0] + sum[1])
    return OK


cdef uint32_t book_levels(const book_t* b, int side, book_level_t* out, uint32_t room) noexcept nogil:
    """Copy the best levels of a side, at most `room`; how many."""
    cdef const ladder_t* l = &b.side[side]
    cdef ladder_cursor_t cursor
    cdef uint32_t i = 0
    if not _whole(b):
        return 0
    cursor = ladder_cursor(l)
    while i < room and ladder_next(l, &cursor):
        out[i].px_ticks = -cursor.key if side else cursor.key
        out[i].qty_lots = cursor.qty
        i += 1
    return i


cdef uint32_t book_checksum(const book_t* b) noexcept nogil:
    """Kraken's CRC32: the ten best asks from the lowest up, then the ten best bids from the highest down; of each the
    price and the quantity without point and leading zeros, which is the mantissa at the pair's scale in decimal."""
    cdef uint32_t crc = 0xFFFFFFFF
    cdef ladder_cursor_t cursor
    cdef int side, i
    for side in range(SIDE_ASK, SIDE_BID - 1, -1):
        cursor = ladder_cursor(&b.side[side])
        i = 0
        while i < CHECKSUM_LEVELS and ladder_next(&b.side[side], &cursor):
            crc = crc_number(crc, <uint64_t>((-cursor.key if side else cursor.key) * b.config.px_unit))
            crc = crc_number(crc, <uint64_t>(cursor.qty * b.config.qty_unit))
            i += 1
    return ~crc


# ------------------------------------------------------------------------------------------------- the Python face
@cython.final
cdef class Book:
    """One instrument's order book. Prices in ticks, quantities in lots; statuses come back from `apply`."""

    def __cinit__(self, *, uint32_t ticks=2048, uint32_t levels_max=8192, int rule=RULE_NONE,
                  int crossed_trust=TRUST_REBUILDING, int quotes=QUOTES_CHECK, uint32_t depth=0,
                  int64_t px_ticks_max=<int64_t>1 << 40, int64_t qty_lots_max=<int64_t>1 << 42,
                  int64_t px_unit=1, int64_t qty_unit=1):
        cdef book_config_t config
        config.ticks = ticks
        config.levels_max = levels_max
        config.rule = <uint32_t>rule
        config.crossed_trust = <uint32_t>crossed_trust
        config.quotes = <uint32_t>quotes
        config.depth = depth
        config.px_ticks_max = px_ticks_max
        config.qty_lots_max = qty_lots_max
        config.px_unit = px_unit
        config.qty_unit = qty_unit
        if book_bytes(&config) == 0:
            raise_status(ARENA_BAD_SIZE, f"ticks={ticks} levels_max={levels_max} depth={depth} rule={rule} "
                         f"qty_lots_max={qty_lots_max} px_ticks_max={px_ticks_max}")
        self.c = <book_t*>block_new(book_bytes(&config))
        book_init(self.c, &config)

    def __dealloc__(self):
        block_free(self.c)

    cdef int c_set(self, int side, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns) except -1:
        cdef int status = book_set(self.c, side, px_ticks, qty_lots, ts_ns)
        if status != OK:
            raise_status(status, f"{px_ticks} ticks, {qty_lots} lots")
        return 0

    def set_bid(self, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns=0):
        self.c_set(SIDE_BID, px_ticks, qty_lots, ts_ns)

    def set_ask(self, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns=0):
        self.c_set(SIDE_ASK, px_ticks, qty_lots, ts_ns)

    def apply(self, events):
        """Apply an array of 64-byte events in order; the status of each."""
        cdef const uint8_t[::1] raw = events.view(np.uint8)
        cdef Py_ssize_t i, count = raw.shape[0] // <Py_ssize_t>sizeof(event_t)
        statuses = np.zeros(count, dtype=np.int32)
        cdef int[::1] out = statuses
        if count:
            with nogil:
                for i in range(count):
                    out[i] = book_apply(self.c, <const event_t*>&raw[i * <Py_ssize_t>sizeof(event_t)])
        return statuses

    def distrust(self, int trust, int reason=0):
        """Lower the trust; only data raises it."""
        cdef int status = book_distrust(self.c, <uint32_t>trust, <uint32_t>reason)
        if status != OK:
            raise_status(status, f"trust {trust} cannot be declared")

    def top(self):
        """Bid price and lots, ask price and lots, sequence, time, trust, reason: one consistent reading."""
        cdef book_top_t t
        with nogil:
            book_top_read(&self.c.top, &t)
        return (t.bid_px_ticks, t.bid_qty_lots, t.ask_px_ticks, t.ask_qty_lots, t.update_id, t.ts_ns,
                <int>(t.trust & 0xFFFFFFFF), <int>(t.trust >> 32))

    @property
    def best_bid_ticks(self):
        return self.c.top.bid_px_ticks

    @property
    def best_bid_lots(self):
        return self.c.top.bid_qty_lots

    @property
    def best_ask_ticks(self):
        return self.c.top.ask_px_ticks

    @property
    def best_ask_lots(self):
        return self.c.top.ask_qty_lots

    @property
    def trust(self):
        return trust_t(self.c.trust)

    @property
    def reason(self):
        return self.c.trust_reason

    @property
    def update_id(self):
        return self.c.top.update_id

    @property
    def ts_ns(self):
        return self.c.top.ts_ns

    @property
    def mid_half_ticks(self):
        return book_mid_half_ticks(self.c)

    @property
    def micro_price(self):
        return book_micro_price(self.c)

    def level_count(self, int side):
        return ladder_count(&self.c.side[side & 1])

    def total_lots(self, int side):
        return self.c.side[side & 1].total_lots

    def horizon_ticks(self, int side):
        """The nearest price at and past which levels were lost for want of room; 0 for none."""
        cdef int64_t key = self.c.side[side & 1].horizon_key
        return 0 if key == INT64_MIN else -key if side & 1 else key

    def imbalance(self, uint32_t levels):
        cdef double value
        cdef int status = book_imbalance(self.c, levels, &value)
        if status != OK:
            raise_status(status)
        return value

    def depth_to(self, int side, int64_t px_ticks):
        cdef int64_t qty_lots
        cdef int status = book_depth_to(self.c, side & 1, px_ticks, &qty_lots)
        if status != OK:
            raise_status(status, f"{px_ticks} ticks; {qty_lots} lots up to the horizon")
        return qty_lots

    def cost(self, int side, int64_t qty_lots):
        """Worst price and exact cost, in ticks times lots, of taking a quantity from a side."""
        cdef book_cost_t cost
        cdef int status = book_cost(self.c, side & 1, qty_lots, &cost)
        if status != OK:
            raise_status(status, f"{qty_lots} lots asked, {cost.filled_lots} there")
        return cost.px_worst_ticks, (int(cost.cost_high) << 64) | cost.cost_low

    def levels(self, int side, uint32_t count=0xFFFFFFFF):
        """The best levels of a side as rows of price and quantity, best first."""
        cdef uint32_t room = min(count, ladder_count(&self.c.side[side & 1]))
        rows = np.zeros((room, 2), dtype=np.int64)
        cdef int64_t[:, ::1] view = rows
        if not _whole(self.c):
            raise_status(BOOK_UNTRUSTED, "half a message stands in it")
        if room:
            book_levels(self.c, side & 1, <book_level_t*>&view[0, 0], room)
        return rows

    def checksum(self):
        return book_checksum(self.c)

    def counts(self):
        """Every counter by its name."""
        return {name: count for name, count in (<object>self.c.counts).items() if name != "reserved"}

    def image(self):
        """The block itself, byte for byte."""
        return (<char*>self.c)[:self.c.bytes]

    def restore(self, const uint8_t[::1] image):
        """Become the book of an image that the same configuration made."""
        cdef const book_t* other = <const book_t*>&image[0] if image.shape[0] >= <Py_ssize_t>sizeof(book_t) else NULL
        if other == NULL or other.bytes != self.c.bytes or <uint64_t>image.shape[0] != self.c.bytes \
                or bytes((<char*>&other.config)[:sizeof(book_config_t)]) != \
                bytes((<char*>&self.c.config)[:sizeof(book_config_t)]):
            raise_status(WORLD_BAD_LAYOUT, f"{image.shape[0]} bytes, {self.c.bytes} expected")
        memcpy(self.c, other, self.c.bytes)

    def check(self):
        """Walk the invariants."""
        assert self.c.top.version % 2 == 0, "top line left half written"
        for side in range(2):
            _check_ladder(&self.c.side[side])
            for reserved in self.c.side[side].reserved:
                assert reserved == 0
        assert self.c.top.trust & 0xFFFFFFFF == self.c.trust, "trust shown is not the trust held"
        if _whole(self.c) and self.c.trust == TRUST_LIVE and self.c.config.quotes != QUOTES_LEAD:
            shown = (self.c.top.bid_px_ticks, self.c.top.bid_qty_lots, self.c.top.ask_px_ticks, self.c.top.ask_qty_lots)
            held = (_bid_px(self.c), ladder_best_qty(&self.c.side[0]),
                    _ask_px(self.c), ladder_best_qty(&self.c.side[1]))
            assert shown == held, f"top line shows {shown}, the ladders hold {held}"


cdef int _check_ladder(const ladder_t* l) except -1:
    cdef uint32_t slot, word
    cdef uint64_t summary = 0
    mask = l.ticks - 1
    in_window, total = {}, 0
    for slot in range(l.ticks):
        quantity = ladder_qty(l)[slot]
        bit = ladder_words(l)[slot >> 6] >> (slot & 63) & 1
        assert bit == (quantity != 0) and quantity >= 0, f"bitmap and quantity disagree at slot {slot}"
        if quantity:
            in_window[l.base_key + <int64_t>((slot - (<uint64_t>l.base_key & mask)) & mask)] = quantity
    for word in range((l.ticks + 63) // 64):
        summary |= <uint64_t>(ladder_words(l)[word] != 0) << word
    assert summary == l.summary, "summary and bitmap disagree"
    assert len(in_window) == l.window_count, "window count"
    overflow = _check_overflow(l)
    best = max(in_window) if in_window else INT64_MIN
    assert best == l.best_key, f"best is {best}, not {l.best_key}"
    assert not overflow or max(overflow) < l.base_key, "the overflow reaches into the window"
    assert in_window or not overflow, "levels in the overflow and none in the window"
    assert len(in_window) + len(overflow) <= l.levels_max, "more levels than the capacity"
    assert all(key > l.horizon_key for key in [*overflow[:1], *in_window]), "a level beyond the horizon"
    cursor = ladder_cursor(l)
    walked = []
    while ladder_next(l, &cursor):
        walked.append(cursor.key)
        total += cursor.qty
    assert walked == sorted(in_window, reverse=True) + overflow[::-1], "the walk misses levels"
    assert total == l.total_lots, "total and levels disagree"
    return 0


cdef list _check_overflow(const ladder_t* l):
    cdef const ladder_entry_t* place
    cdef const ladder_chunk_t* chunk
    cdef uint32_t entry
    keys, used = [], []
    for entry in range(l.chunk_count):
        place = &ladder_directory(l)[entry]
        chunk = &ladder_chunks(l)[place.chunk]
        assert 1 <= place.count <= 32, "an empty or overfull chunk"
        keys += [chunk.key[i] for i in range(place.count)]
        assert all(chunk.qty[i] > 0 for i in range(place.count)), "a level without quantity in the overflow"
        assert chunk.key[place.count - 1] == place.key_last, "directory and chunk disagree"
        if used:
            assert place.count + ladder_directory(l)[entry - 1].count > LADDER_MERGE, "neighbours that should be joined"
        used.append(place.chunk)
    assert keys == sorted(set(keys)), "the overflow is not sorted"
    assert len(keys) == l.over_count, "overflow count"
    assert len(set(used)) == len(used) and len(used) + l.free_count == l.chunk_max, "chunks lost or used twice"
    return keys

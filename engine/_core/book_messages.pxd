"""A message from its first event to its last: the venue's sequence rule, the levels, the verdict on the whole.

Owns: the state of the message being applied, and what trust it gives or takes. Does not own: where a level stands
(ladder), the queries (book.pyx). Invariant: the top line is written only when a message is whole or trust is lost.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine._core.book cimport (
    MESSAGE_IMAGE, MESSAGE_NONE, MESSAGE_SKIP, MESSAGE_UPDATE, QUOTES_IGNORE, QUOTES_LEAD, RULE_CHECKSUM,
    RULE_CONTIGUOUS, RULE_LINKED, RULE_QUOTE, RULE_SPOT, SIDE_ASK, SIDE_BID, TRUST_LIVE, TRUST_NONE, TRUST_REBUILDING,
    TRUST_SUSPECT, book_t,
)
from engine._core.book_sums cimport checksum_of
from engine._core.book_top cimport ask_px, bid_px, lose_trust, publish
from engine._core.debug cimport unlikely
from engine._core.ladder cimport ladder_best_qty, ladder_clear, ladder_count, ladder_drop_worst, ladder_set
from engine._core.types cimport (
    BOOK_BAD_PRICE, BOOK_BAD_QUANTITY, BOOK_CHECKSUM, BOOK_CROSSED, BOOK_GAP, BOOK_MISMATCH, BOOK_OUTSIDE,
    BOOK_STALE_UPDATE, BOOK_UNTRUSTED, FLAG_LAST, FLAG_SNAPSHOT, OK, WORLD_BAD_EVENT, level_event_t, quote_event_t,
)


cdef inline void clear(book_t* b) noexcept nogil:
    ladder_clear(&b.side[0])
    ladder_clear(&b.side[1])
    b.quote_id = -1


cdef inline int skip(book_t* b, int status) noexcept nogil:
    b.message = MESSAGE_SKIP
    b.message_status = <uint32_t>status
    return status


cdef inline int gap(book_t* b) noexcept nogil:
    # A gap is loss, not lateness: what came between is unknown, so nothing is applied until the next image.
    b.counts.gap_count += 1
    lose_trust(b, TRUST_REBUILDING, BOOK_GAP)
    return skip(b, BOOK_GAP)


cdef inline int stale(book_t* b) noexcept nogil:
    b.counts.stale_count += 1
    return skip(b, BOOK_STALE_UPDATE)


cdef inline int begin_image(book_t* b, const level_event_t* e) noexcept nogil:
    # While the book is whole an older image would turn it back. While it rebuilds any image is welcome: buffered
    # updates may follow it. Only these two rules number images and updates alike for ever; others start again.
    if b.trust in (TRUST_LIVE, TRUST_SUSPECT) and b.config.rule in (RULE_SPOT, RULE_LINKED) and e.id_last < b.update_id:
        return stale(b)
    clear(b)
    b.message = MESSAGE_IMAGE
    return OK


cdef inline int begin_update(book_t* b, const level_event_t* e) noexcept nogil:
    """Hold an update against the venue's rule before any of it is applied."""
    cdef uint32_t rule = b.config.rule
    cdef int64_t last = b.update_id
    if b.trust in (TRUST_NONE, TRUST_REBUILDING):
        b.counts.untrusted_count += 1
        return skip(b, BOOK_UNTRUSTED)
    if rule in (RULE_SPOT, RULE_CONTIGUOUS):
        if e.id_last <= last:
            return stale(b)
        if e.id_first > last + 1:
            return gap(b)
        if e.id_first <= last and not b.waits_first:
            # Binance lets an update begin before the end of the last one: quantities are absolute, nothing is lost.
            if rule == RULE_CONTIGUOUS:
                return gap(b)
            b.counts.overlap_count += 1
    elif rule == RULE_LINKED:
        # The link decides first: OKX repeats a number when nothing changed and may set it back, both linked.
        if e.id_prev != last:
            if b.waits_first:
                if e.id_last < last:
                    return stale(b)
                if e.id_first > last:
                    return gap(b)
            else:
                return stale(b) if e.id_last <= last else gap(b)
    b.message = MESSAGE_UPDATE
    return OK


cdef inline int message_begin(book_t* b, const level_event_t* e) noexcept nogil:
    if unlikely(b.message in (MESSAGE_UPDATE, MESSAGE_IMAGE)):
        # The end of the message before was lost, so half of it stands in the ladders.
        b.whole = 0
        gap(b)
    if e.flags & FLAG_SNAPSHOT:
        return begin_image(b, e)
    return begin_update(b, e)


cdef inline bint quote_agrees(const book_t* b) noexcept nogil:
    return (
        b.quote[0] == bid_px(b) and b.quote[1] == ladder_best_qty(&b.side[0])
        and b.quote[2] == ask_px(b) and b.quote[3] == ladder_best_qty(&b.side[1])
    )


cdef inline int judge(book_t* b) noexcept nogil:
    """What a whole message says about the book: crossed, out of sight, contradicted by a quote, or fine."""
    cdef int64_t bid = bid_px(b), ask = ask_px(b)
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
    if b.quote_id >= 0 and b.quote_id == b.update_id and not quote_agrees(b):
        b.counts.mismatch_count += 1
        b.trust = TRUST_REBUILDING
        b.trust_reason = BOOK_MISMATCH
        return BOOK_MISMATCH
    return OK


cdef inline int message_end(book_t* b, const level_event_t* e, int level_status) noexcept nogil:
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
        if e.id_last >= 0 and <int64_t>checksum_of(b) != e.id_last:
            b.counts.checksum_count += 1
            b.trust = TRUST_REBUILDING
            b.trust_reason = BOOK_CHECKSUM
            publish(b)
            return BOOK_CHECKSUM
    elif e.id_last >= 0:
        b.update_id = e.id_last
    s = judge(b)
    if unlikely(s != OK):
        status = s
    publish(b)
    return status


cdef inline int refuse(book_t* b, const level_event_t* e, int status) noexcept nogil:
    """An impossible level: no level changed, but the book now lacks what the venue meant, so it rebuilds."""
    b.counts.refused_count += 1
    b.whole = 0
    lose_trust(b, TRUST_REBUILDING, <uint32_t>status)
    b.message_status = <uint32_t>status
    b.message = MESSAGE_NONE if e.flags & FLAG_LAST else MESSAGE_SKIP
    return status


cdef inline int check_level(const book_t* b, int64_t px_ticks, int64_t qty_lots) noexcept nogil:
    # One unsigned comparison refuses zero, negatives and what is past the limit.
    if unlikely(<uint64_t>px_ticks - 1 >= <uint64_t>b.config.px_ticks_max):
        return BOOK_BAD_PRICE
    if unlikely(<uint64_t>qty_lots > <uint64_t>b.config.qty_lots_max):
        return BOOK_BAD_QUANTITY
    return OK


cdef inline int set_level(book_t* b, int side, int64_t px_ticks, int64_t qty_lots) noexcept nogil:
    # A mask turns the sign: the side of an update is a coin toss.
    cdef int status = ladder_set(&b.side[side], (px_ticks ^ -<int64_t>side) + side, qty_lots)
    b.counts.full_count += status != OK
    return status


cdef inline int apply_skipped(book_t* b, const level_event_t* e) noexcept nogil:
    cdef int status = <int>b.message_status
    if e.flags & FLAG_LAST:
        b.message = MESSAGE_NONE
    return status


cdef inline int apply_clear(book_t* b, const level_event_t* e) noexcept nogil:
    """An image without a level, or, without FLAG_SNAPSHOT, the end of what is known: trust ends too."""
    cdef int status
    if e.flags & FLAG_SNAPSHOT:
        status = message_begin(b, e)
        if b.message == MESSAGE_SKIP:
            return apply_skipped(b, e)
        return message_end(b, e, status) if e.flags & FLAG_LAST else status
    clear(b)
    b.message = MESSAGE_NONE
    b.whole = 1
    b.trust = TRUST_NONE
    b.trust_reason = OK
    b.update_id = -1
    b.ts_ns = e.ts_recv_ns
    publish(b)
    return OK


cdef inline int check_quote(const book_t* b, const quote_event_t* q) noexcept nogil:
    """Both prices and quantities possible, each side whole or empty (0 and 0), and not crossed."""
    cdef int status = OK
    if q.bid_px_ticks != 0 or q.bid_qty_lots != 0:
        status = check_level(b, q.bid_px_ticks, q.bid_qty_lots)
        if status == OK and q.bid_qty_lots == 0:
            status = BOOK_BAD_QUANTITY
    if status == OK and (q.ask_px_ticks != 0 or q.ask_qty_lots != 0):
        status = check_level(b, q.ask_px_ticks, q.ask_qty_lots)
        if status == OK and q.ask_qty_lots == 0:
            status = BOOK_BAD_QUANTITY
    if status == OK and q.bid_px_ticks != 0 and q.ask_px_ticks != 0 and q.bid_px_ticks >= q.ask_px_ticks:
        status = BOOK_CROSSED
    return status


cdef inline int apply_quote_alone(book_t* b, const quote_event_t* q) noexcept nogil:
    """RULE_QUOTE: the quote is the book."""
    if q.id_book >= 0 and q.id_book < b.update_id and b.trust in (TRUST_LIVE, TRUST_SUSPECT):
        b.counts.stale_count += 1
        return BOOK_STALE_UPDATE
    clear(b)
    if q.bid_px_ticks != 0:
        set_level(b, SIDE_BID, q.bid_px_ticks, q.bid_qty_lots)
    if q.ask_px_ticks != 0:
        set_level(b, SIDE_ASK, q.ask_px_ticks, q.ask_qty_lots)
    if q.id_book >= 0:
        b.update_id = q.id_book
    b.counts.message_count += 1
    b.ts_ns = q.ts_recv_ns
    b.trust = TRUST_LIVE
    b.trust_reason = OK
    publish(b)
    return OK


cdef inline int apply_quote(book_t* b, const quote_event_t* q) noexcept nogil:
    """A quote beside depth: the second opinion on the touch. It never changes a level."""
    cdef int status
    if b.config.rule != RULE_QUOTE:
        if b.config.quotes == QUOTES_IGNORE:
            return OK
        # Only these rules number quotes and updates from one sequence; elsewhere "ahead" has no meaning.
        if b.config.rule not in (RULE_SPOT, RULE_LINKED) or b.message != MESSAGE_NONE:
            return WORLD_BAD_EVENT
    status = check_quote(b, q)
    if status != OK:
        if status == BOOK_CROSSED:
            b.counts.crossed_count += 1
        b.counts.refused_count += 1
        return status
    if b.config.rule == RULE_QUOTE:
        return apply_quote_alone(b, q)
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
            publish(b)
        return OK
    if not quote_agrees(b):
        b.counts.mismatch_count += 1
        lose_trust(b, TRUST_REBUILDING, BOOK_MISMATCH)
        return BOOK_MISMATCH
    return OK


cdef inline bint is_whole(const book_t* b) noexcept nogil:
    return b.whole and (b.message == MESSAGE_NONE or b.message == MESSAGE_SKIP)

"""What the top line shows: the touch, and the trust that stands beside it in the same cache line."""
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t

from engine._core.book cimport QUOTES_LEAD, book_t, book_top_t, book_top_write
from engine._core.debug cimport unlikely
from engine._core.ladder cimport ladder_best_qty


cdef inline int64_t bid_px(const book_t* b) noexcept nogil:
    return 0 if b.side[0].best_key == INT64_MIN else b.side[0].best_key


cdef inline int64_t ask_px(const book_t* b) noexcept nogil:
    return 0 if b.side[1].best_key == INT64_MIN else -b.side[1].best_key


cdef inline uint64_t trust_word(const book_t* b) noexcept nogil:
    return b.trust | <uint64_t>b.trust_reason << 32


cdef inline void publish(book_t* b) noexcept nogil:
    """Show the state between two messages. A quote ahead of the book leads where the configuration says so."""
    cdef book_top_t new
    if unlikely(b.config.quotes == QUOTES_LEAD and b.quote_id > b.update_id):
        new.bid_px_ticks = b.quote[0]
        new.bid_qty_lots = b.quote[1]
        new.ask_px_ticks = b.quote[2]
        new.ask_qty_lots = b.quote[3]
        new.update_id = b.quote_id
    else:
        new.bid_px_ticks = bid_px(b)
        new.bid_qty_lots = ladder_best_qty(&b.side[0])
        new.ask_px_ticks = ask_px(b)
        new.ask_qty_lots = ladder_best_qty(&b.side[1])
        new.update_id = b.update_id
    new.ts_ns = b.ts_ns
    new.trust = trust_word(b)
    book_top_write(&b.top, &new)


cdef inline void lose_trust(book_t* b, uint32_t trust, uint32_t reason) noexcept nogil:
    """Show less trust at once, beside the prices, sequence and time that stand there: they are as old as they say."""
    cdef book_top_t new = b.top
    b.trust = trust
    b.trust_reason = reason
    new.trust = trust_word(b)
    book_top_write(&b.top, &new)

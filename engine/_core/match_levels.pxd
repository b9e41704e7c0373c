"""The levels of a book: pages, the floors of bits that find the next one, and queues of orders by price and time.

Owns: pages, bits, queues, best prices, the list of changed levels. Does not own: why an order comes or goes.
Invariants: a level's sums equal its orders'; a bit stands for a level with orders, on every floor; a page lives while
a level of it has orders or a change that nobody took. Cost: constant; a new best price costs one scan of the floors.
"""
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from engine._core.debug cimport debug_assert, unlikely
from engine._core.match cimport (
    MATCH_NONE, MATCH_PAGE, MATCH_PAGE_BITS, MATCH_SELL, STATE_BOOK, match_level_t, match_order_t, match_orders,
    match_page_t, match_t,
)
from engine._core.match_slots cimport directory_of, pages_of, words_at
from engine._core.strategy_abi cimport TYPE_ICEBERG


cdef extern from * nogil:
    """
    #define bot4_match_top(v) (63 - __builtin_clzll((unsigned long long)(v)))
    #define bot4_match_low(v) (__builtin_ctzll((unsigned long long)(v)))
    """
    int top_bit "bot4_match_top"(uint64_t value) noexcept
    int low_bit "bot4_match_low"(uint64_t value) noexcept


cdef inline match_level_t* find_level(const match_t* m, int64_t px) noexcept nogil:
    """The level of a price, or NULL while its page is not there."""
    cdef uint32_t page
    if px < 0 or px > m.config.px_max:
        return NULL
    page = directory_of(m)[px >> MATCH_PAGE_BITS]
    return NULL if page == MATCH_NONE else &pages_of(m)[page].levels[px & (MATCH_PAGE - 1)]


cdef inline match_level_t* level_of(const match_t* m, int64_t px) noexcept nogil:
    debug_assert(directory_of(m)[px >> MATCH_PAGE_BITS] != MATCH_NONE)
    return &pages_of(m)[directory_of(m)[px >> MATCH_PAGE_BITS]].levels[px & (MATCH_PAGE - 1)]


cdef inline bint page_fits(const match_t* m, int64_t px) noexcept nogil:
    return directory_of(m)[px >> MATCH_PAGE_BITS] != MATCH_NONE or m.free_page != MATCH_NONE


cdef inline bint page_take(match_t* m, uint64_t place) noexcept nogil:
    cdef uint32_t page = m.free_page
    if page == MATCH_NONE:
        m.pages_refused += 1
        return False
    m.free_page = pages_of(m)[page].next
    pages_of(m)[page].next = MATCH_NONE
    directory_of(m)[place] = page
    m.pages_live += 1
    return True


cdef inline void page_unuse(match_t* m, uint64_t place) noexcept nogil:
    """One user of a page less; the last one gives it back."""
    cdef uint32_t page = directory_of(m)[place]
    cdef match_page_t* p = &pages_of(m)[page]
    p.used -= 1
    if p.used == 0:
        p.next = m.free_page
        m.free_page = page
        directory_of(m)[place] = MATCH_NONE
        m.pages_live -= 1


cdef inline void bits_set(match_t* m, int64_t px) noexcept nogil:
    cdef uint64_t place = <uint64_t>px >> MATCH_PAGE_BITS
    cdef match_page_t* page = &pages_of(m)[directory_of(m)[place]]
    cdef uint64_t inside = px & (MATCH_PAGE - 1)
    page.bits[inside >> 6] |= <uint64_t>1 << (inside & 63)
    words_at(m, m.offset_a)[place >> 6] |= <uint64_t>1 << (place & 63)
    words_at(m, m.offset_b)[place >> 12] |= <uint64_t>1 << ((place >> 6) & 63)
    words_at(m, m.offset_c)[place >> 18] |= <uint64_t>1 << ((place >> 12) & 63)


cdef inline void bits_clear(match_t* m, int64_t px) noexcept nogil:
    """Take a level's bit away, and each floor's bit above that has nothing left below it."""
    cdef uint64_t place = <uint64_t>px >> MATCH_PAGE_BITS
    cdef match_page_t* page = &pages_of(m)[directory_of(m)[place]]
    cdef uint64_t inside = px & (MATCH_PAGE - 1)
    page.bits[inside >> 6] &= ~(<uint64_t>1 << (inside & 63))
    if page.bits[0] | page.bits[1] | page.bits[2] | page.bits[3]:
        return
    words_at(m, m.offset_a)[place >> 6] &= ~(<uint64_t>1 << (place & 63))
    if words_at(m, m.offset_a)[place >> 6]:
        return
    words_at(m, m.offset_b)[place >> 12] &= ~(<uint64_t>1 << ((place >> 6) & 63))
    if words_at(m, m.offset_b)[place >> 12]:
        return
    words_at(m, m.offset_c)[place >> 18] &= ~(<uint64_t>1 << ((place >> 12) & 63))


cdef inline int64_t scan_below(const uint64_t* words, int64_t at) noexcept nogil:
    """The highest set bit at or below `at` within its own word's floor of words; -1: none down to word 0."""
    cdef int64_t word = at >> 6
    cdef uint64_t bits = words[word] & (~<uint64_t>0 >> (63 - (at & 63)))
    while bits == 0:
        word -= 1
        if word < 0:
            return -1
        bits = words[word]
    return (word << 6) + top_bit(bits)


cdef inline int64_t scan_above(const uint64_t* words, int64_t count, int64_t at) noexcept nogil:
    cdef int64_t word = at >> 6
    cdef uint64_t bits = words[word] & (~<uint64_t>0 << (at & 63))
    while bits == 0:
        word += 1
        if word >= count:
            return -1
        bits = words[word]
    return (word << 6) + low_bit(bits)


cdef inline int64_t place_below(const match_t* m, int64_t place) noexcept nogil:
    """The highest page at or below `place` that holds a level: up the floors until something is there, then down."""
    cdef uint64_t bits
    cdef int64_t at = place
    if at < 0:
        return -1
    bits = words_at(m, m.offset_a)[at >> 6] & (~<uint64_t>0 >> (63 - (at & 63)))
    if bits:
        return (at >> 6 << 6) + top_bit(bits)
    at = (at >> 6) - 1
    if at < 0:
        return -1
    bits = words_at(m, m.offset_b)[at >> 6] & (~<uint64_t>0 >> (63 - (at & 63)))
    if bits == 0:
        at = (at >> 6) - 1
        if at < 0:
            return -1
        at = scan_below(words_at(m, m.offset_c), at)
        if at < 0:
            return -1
        bits = words_at(m, m.offset_b)[at]
        at = (at << 6) + top_bit(bits)
    else:
        at = (at >> 6 << 6) + top_bit(bits)
    return (at << 6) + top_bit(words_at(m, m.offset_a)[at])


cdef inline int64_t place_above(const match_t* m, int64_t place) noexcept nogil:
    cdef uint64_t bits
    cdef int64_t at = place
    if at >> 6 >= m.words_a:
        return -1
    bits = words_at(m, m.offset_a)[at >> 6] & (~<uint64_t>0 << (at & 63))
    if bits:
        return (at >> 6 << 6) + low_bit(bits)
    at = (at >> 6) + 1
    if at >> 6 >= m.words_b:
        return -1
    bits = words_at(m, m.offset_b)[at >> 6] & (~<uint64_t>0 << (at & 63))
    if bits == 0:
        at = (at >> 6) + 1
        if at >> 6 >= m.words_c:
            return -1
        at = scan_above(words_at(m, m.offset_c), m.words_c, at)
        if at < 0:
            return -1
        bits = words_at(m, m.offset_b)[at]
        at = (at << 6) + low_bit(bits)
    else:
        at = (at >> 6 << 6) + low_bit(bits)
    return (at << 6) + low_bit(words_at(m, m.offset_a)[at])


cdef inline int64_t level_below(const match_t* m, int64_t px) noexcept nogil:
    """The highest price below `px` with an order; 0: none."""
    cdef int64_t place, at
    cdef uint32_t page
    px = min(px, m.config.px_max + 1) - 1
    if px < 0:
        return 0
    place = px >> MATCH_PAGE_BITS
    page = directory_of(m)[place]
    if page != MATCH_NONE:
        at = scan_below(pages_of(m)[page].bits, px & (MATCH_PAGE - 1))
        if at >= 0:
            return (place << MATCH_PAGE_BITS) + at
    place = place_below(m, place - 1)
    if place < 0:
        return 0
    return (place << MATCH_PAGE_BITS) + scan_below(pages_of(m)[directory_of(m)[place]].bits, MATCH_PAGE - 1)


cdef inline int64_t level_above(const match_t* m, int64_t px) noexcept nogil:
    """The lowest price above `px` with an order; INT64_MAX: none."""
    cdef int64_t place, at
    cdef uint32_t page
    if px >= m.config.px_max:
        return INT64_MAX
    px = max(px, -1) + 1
    place = px >> MATCH_PAGE_BITS
    page = directory_of(m)[place]
    if page != MATCH_NONE:
        at = scan_above(pages_of(m)[page].bits, 4, px & (MATCH_PAGE - 1))
        if at >= 0:
            return (place << MATCH_PAGE_BITS) + at
    place = place_above(m, place + 1)
    if place < 0:
        return INT64_MAX
    return (place << MATCH_PAGE_BITS) + scan_above(pages_of(m)[directory_of(m)[place]].bits, 4, 0)


cdef inline void touch_level(match_t* m, match_level_t* level, int64_t px) noexcept nogil:
    """Remember that a level changed. A level that cannot be remembered is owned up to: `dirty_lost`."""
    if m.config.dirty_max == 0 or level.dirty:
        return
    if m.dirty_count == m.config.dirty_max:
        m.dirty_lost = 1
        return
    level.dirty = 1
    pages_of(m)[directory_of(m)[px >> MATCH_PAGE_BITS]].used += 1
    (<int64_t*>(<char*>m + m.offset_dirty))[m.dirty_count] = px
    m.dirty_count += 1


cdef inline bint rest_order(match_t* m, uint32_t index) noexcept nogil:
    """Put an order behind the others of its price. False: no page is left for that price."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef uint64_t place = <uint64_t>o.px_ticks >> MATCH_PAGE_BITS
    cdef match_level_t* level
    if unlikely(directory_of(m)[place] == MATCH_NONE) and not page_take(m, place):
        return False
    level = level_of(m, o.px_ticks)
    if o.type == TYPE_ICEBERG and o.display_lots < o.left_lots:
        o.hidden_lots = o.left_lots - o.display_lots
        o.left_lots = o.display_lots
    o.next = MATCH_NONE
    o.prev = level.tail
    if level.tail == MATCH_NONE:
        level.head = index
        pages_of(m)[directory_of(m)[place]].used += 1
        bits_set(m, o.px_ticks)
        if o.flags & MATCH_SELL:
            m.best_ask = min(m.best_ask, o.px_ticks)
        else:
            m.best_bid = max(m.best_bid, o.px_ticks)
    else:
        match_orders(m)[level.tail].next = index
    level.tail = index
    level.count += 1
    level.qty_lots += o.left_lots
    level.hidden_lots += o.hidden_lots
    o.state = STATE_BOOK
    touch_level(m, level, o.px_ticks)
    return True


cdef inline void unrest_order(match_t* m, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    cdef match_level_t* level = level_of(m, o.px_ticks)
    touch_level(m, level, o.px_ticks)
    if o.prev == MATCH_NONE:
        level.head = o.next
    else:
        match_orders(m)[o.prev].next = o.next
    if o.next == MATCH_NONE:
        level.tail = o.prev
    else:
        match_orders(m)[o.next].prev = o.prev
    level.count -= 1
    level.qty_lots -= o.left_lots
    level.hidden_lots -= o.hidden_lots
    if level.count == 0:
        bits_clear(m, o.px_ticks)
        if o.px_ticks == m.best_bid:
            m.best_bid = level_below(m, o.px_ticks)
        elif o.px_ticks == m.best_ask:
            m.best_ask = level_above(m, o.px_ticks)
        page_unuse(m, <uint64_t>o.px_ticks >> MATCH_PAGE_BITS)

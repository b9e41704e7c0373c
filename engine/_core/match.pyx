cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport debug_assert, likely, static_assert_c, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.strategy_abi cimport (
    TIF_COUNT,
    TIF_FOK,
    TIF_GTD,
    TIF_GTX,
    TIF_IOC,
    TYPE_COUNT,
    TYPE_ICEBERG,
    TYPE_LIMIT,
    TYPE_MARKET,
    TYPE_STOP,
    TYPE_STOP_LIMIT,
    TYPE_TAKE,
    TYPE_TAKE_LIMIT,
    TYPE_TRAILING,
)
from engine._core.types cimport (
    MATCH_BAD_CONFIG,
    MATCH_BAD_ORDER,
    MATCH_FULL,
    MATCH_UNKNOWN,
    MATCH_WOULD_TAKE,
    MATCH_WOULD_TRIGGER,
    OK,
    raise_status,
)

cdef int64_t PPM = 1_000_000
cdef uint32_t MARK_FILLED = 1, MARK_PROGRESS = 2, MARK_ENDED = 3


cdef extern from * nogil:
    """
    #define bot4_match_top(v) (63 - __builtin_clzll((unsigned long long)(v)))
    #define bot4_match_low(v) (__builtin_ctzll((unsigned long long)(v)))
    typedef __int128 bot4_match_wide_t;
    static inline int64_t bot4_match_share(int64_t px, int64_t ppm) {
        return (int64_t)((bot4_match_wide_t)px * ppm / 1000000);
    }
    """
    int top_bit "bot4_match_top"(uint64_t value) noexcept
    int low_bit "bot4_match_low"(uint64_t value) noexcept
    int64_t share_ppm "bot4_match_share"(int64_t px, int64_t ppm) noexcept


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(match_order_t) == 128)
    static_assert_c(sizeof(match_event_t) == 64)
    static_assert_c(sizeof(match_level_t) == 32)
    static_assert_c(sizeof(match_page_t) == 64 + 32 * MATCH_PAGE)
    static_assert_c(sizeof(match_request_t) == 72)


# ------------------------------------------------------------------------------------------------------------ layout
cdef inline uint64_t _lines(uint64_t size) noexcept nogil:
    return (size + 63) & ~<uint64_t>63


cdef uint64_t _place(match_t* m, const match_config_t* c) noexcept nogil:
    """Where every table stands; the same walk sizes a block and lays one out."""
    cdef uint64_t at = _lines(sizeof(match_t)), cells = 4
    cdef uint64_t pages = (<uint64_t>c.px_max >> MATCH_PAGE_BITS) + 1
    while cells < 2 * <uint64_t>c.orders_max:
        cells *= 2
    m.cell_mask = <uint32_t>(cells - 1)
    m.words_a = <uint32_t>((pages + 63) // 64)
    m.words_b = (m.words_a + 63) // 64
    m.words_c = (m.words_b + 63) // 64
    m.offset_orders = at
    at += _lines(c.orders_max * sizeof(match_order_t))
    m.offset_cells = at
    at += _lines(cells * sizeof(match_cell_t))
    m.offset_lists = at
    at += _lines(c.lists_max * sizeof(match_legs_t))
    m.offset_above = at
    at += _lines(c.orders_max * sizeof(uint32_t))
    m.offset_below = at
    at += _lines(c.orders_max * sizeof(uint32_t))
    m.offset_expire = at
    at += _lines(c.orders_max * sizeof(uint32_t))
    m.offset_work = at
    at += _lines(c.orders_max * sizeof(uint32_t))
    m.offset_owners = at
    at += _lines(c.owners_max * sizeof(match_owner_t))
    m.offset_directory = at
    at += _lines(pages * sizeof(uint32_t))
    m.offset_a = at
    at += _lines(m.words_a * sizeof(uint64_t))
    m.offset_b = at
    at += _lines(m.words_b * sizeof(uint64_t))
    m.offset_c = at
    at += _lines(m.words_c * sizeof(uint64_t))
    m.offset_pages = at
    at += _lines(c.pages_max * sizeof(match_page_t))
    m.offset_dirty = at
    at += _lines(c.dirty_max * sizeof(int64_t))
    m.offset_events = at
    at += c.events_max * sizeof(match_event_t)
    return at


cdef size_t match_bytes(const match_config_t* config) noexcept nogil:
    cdef match_t m
    return _place(&m, config)


cdef bint _config_is_bad(const match_config_t* c) noexcept nogil:
    if c.px_min < 1 or c.px_max < c.px_min or c.px_max > MATCH_PX_MOST or c.qty_min < 1 or c.qty_max < c.qty_min:
        return True
    # Every product of a price and a quantity, and their sums over a queue, must fit 63 bits.
    if c.qty_max > (INT64_MAX >> 8) // c.px_max or c.market_qty_max < c.qty_min or c.market_qty_max > c.qty_max:
        return True
    if c.notional_min < 0 or c.bid_up_ppm < 0 or c.bid_down_ppm < 0 or c.ask_up_ppm < 0 or c.ask_down_ppm < 0:
        return True
    if c.orders_max < 2 or c.orders_max > 1 << 24 or c.lists_max < 1 or c.lists_max > 1 << 24:
        return True
    if c.pages_max < 1 or c.pages_max > 1 << 20 or c.owners_max < 1 or c.owners_max > 1 << 24:
        return True
    return c.events_max < MATCH_ENDS * c.orders_max + 2 * MATCH_EVENT_RESERVE or c.dirty_max > 1 << 24


cdef int match_init(match_t* m, const match_config_t* config) noexcept nogil:
    """Make an empty book in a block of `match_bytes` bytes."""
    cdef uint32_t i
    cdef uint64_t page
    cdef match_order_t* o
    if _config_is_bad(config):
        return MATCH_BAD_CONFIG
    memset(<void*>m, 0, match_bytes(config))
    m.bytes = _place(m, config)
    m.config = config[0]
    m.best_ask = INT64_MAX
    m.trail_first = m.trail_last = MATCH_NONE
    o = match_orders(m)
    for i in range(config.orders_max):
        o[i].next = i + 1 if i + 1 < config.orders_max else MATCH_NONE
    for i in range(config.lists_max):
        _lists(m)[i].next = i + 1 if i + 1 < config.lists_max else MATCH_NONE
    for i in range(config.pages_max):
        _pages(m)[i].next = i + 1 if i + 1 < config.pages_max else MATCH_NONE
        for page in range(MATCH_PAGE):
            _pages(m)[i].levels[page].head = _pages(m)[i].levels[page].tail = MATCH_NONE
    for page in range((<uint64_t>config.px_max >> MATCH_PAGE_BITS) + 1):
        _directory(m)[page] = MATCH_NONE
    return OK


cdef inline match_cell_t* _cells(const match_t* m) noexcept nogil:
    return <match_cell_t*>(<char*>m + m.offset_cells)

cdef inline match_legs_t* _lists(const match_t* m) noexcept nogil:
    return <match_legs_t*>(<char*>m + m.offset_lists)

cdef inline match_page_t* _pages(const match_t* m) noexcept nogil:
    return <match_page_t*>(<char*>m + m.offset_pages)

cdef inline uint32_t* _directory(const match_t* m) noexcept nogil:
    return <uint32_t*>(<char*>m + m.offset_directory)

cdef inline match_owner_t* _owners(const match_t* m) noexcept nogil:
    return <match_owner_t*>(<char*>m + m.offset_owners)

cdef inline uint32_t* _numbers(const match_t* m, uint64_t offset) noexcept nogil:
    return <uint32_t*>(<char*>m + offset)

cdef inline uint64_t* _words(const match_t* m, uint64_t offset) noexcept nogil:
    return <uint64_t*>(<char*>m + offset)


# ------------------------------------------------------------------------------------------------ numbers to slots
cdef inline uint32_t _home(const match_t* m, int64_t order) noexcept nogil:
    # Fibonacci hashing: venue numbers run upward, the multiplication spreads them over the table.
    return <uint32_t>((<uint64_t>order * <uint64_t>0x9E3779B97F4A7C15) >> 32) & m.cell_mask


cdef inline uint32_t _index(const match_t* m, int64_t order) noexcept nogil:
    cdef match_cell_t* cells = _cells(m)
    cdef uint32_t at = _home(m, order)
    while cells[at].id != order:
        if cells[at].id == 0:
            return MATCH_NONE
        at = (at + 1) & m.cell_mask
    return cells[at].index


cdef inline void _cell_add(match_t* m, int64_t order, uint32_t index) noexcept nogil:
    cdef match_cell_t* cells = _cells(m)
    cdef uint32_t at = _home(m, order)
    while cells[at].id != 0:
        at = (at + 1) & m.cell_mask
    cells[at].id = order
    cells[at].index = index


cdef inline void _cell_remove(match_t* m, int64_t order) noexcept nogil:
    """Delete and close the gap: no tombstones, so the table never slows down with age."""
    cdef match_cell_t* cells = _cells(m)
    cdef uint32_t at = _home(m, order), hole, home
    while cells[at].id != order:
        at = (at + 1) & m.cell_mask
    hole = at
    while True:
        at = (at + 1) & m.cell_mask
        if cells[at].id == 0:
            break
        home = _home(m, cells[at].id)
        # The cell may move into the hole unless its home lies cyclically after the hole.
        if ((at - home) & m.cell_mask) >= ((at - hole) & m.cell_mask):
            cells[hole] = cells[at]
            hole = at
    cells[hole].id = 0
    cells[hole].index = 0


cdef match_order_t* match_find(match_t* m, int64_t order) noexcept nogil:
    cdef uint32_t index = _index(m, order) if order > 0 else MATCH_NONE
    return NULL if index == MATCH_NONE else &match_orders(m)[index]


# ------------------------------------------------------------------------------------------------------------ levels
cdef match_level_t* match_level(const match_t* m, int64_t px) noexcept nogil:
    """The level of a price, or NULL while its page is not there."""
    cdef uint32_t page
    if px < 0 or px > m.config.px_max:
        return NULL
    page = _directory(m)[px >> MATCH_PAGE_BITS]
    return NULL if page == MATCH_NONE else &_pages(m)[page].levels[px & (MATCH_PAGE - 1)]


cdef inline match_level_t* _level(const match_t* m, int64_t px) noexcept nogil:
    debug_assert(_directory(m)[px >> MATCH_PAGE_BITS] != MATCH_NONE)
    return &_pages(m)[_directory(m)[px >> MATCH_PAGE_BITS]].levels[px & (MATCH_PAGE - 1)]


cdef inline bint _page_fits(const match_t* m, int64_t px) noexcept nogil:
    return _directory(m)[px >> MATCH_PAGE_BITS] != MATCH_NONE or m.free_page != MATCH_NONE


cdef bint _page_take(match_t* m, uint64_t place) noexcept nogil:
    cdef uint32_t page = m.free_page
    if page == MATCH_NONE:
        m.pages_refused += 1
        return False
    m.free_page = _pages(m)[page].next
    _pages(m)[page].next = MATCH_NONE
    _directory(m)[place] = page
    m.pages_live += 1
    return True


cdef void _page_unuse(match_t* m, uint64_t place) noexcept nogil:
    """One user of a page less; the last one gives it back."""
    cdef uint32_t page = _directory(m)[place]
    cdef match_page_t* p = &_pages(m)[page]
    p.used -= 1
    if p.used == 0:
        p.next = m.free_page
        m.free_page = page
        _directory(m)[place] = MATCH_NONE
        m.pages_live -= 1


cdef void _bits_set(match_t* m, int64_t px) noexcept nogil:
    cdef uint64_t place = <uint64_t>px >> MATCH_PAGE_BITS
    cdef match_page_t* page = &_pages(m)[_directory(m)[place]]
    cdef uint64_t inside = px & (MATCH_PAGE - 1)
    page.bits[inside >> 6] |= <uint64_t>1 << (inside & 63)
    _words(m, m.offset_a)[place >> 6] |= <uint64_t>1 << (place & 63)
    _words(m, m.offset_b)[place >> 12] |= <uint64_t>1 << ((place >> 6) & 63)
    _words(m, m.offset_c)[place >> 18] |= <uint64_t>1 << ((place >> 12) & 63)


cdef void _bits_clear(match_t* m, int64_t px) noexcept nogil:
    """Take a level's bit away, and each floor's bit above that has nothing left below it."""
    cdef uint64_t place = <uint64_t>px >> MATCH_PAGE_BITS
    cdef match_page_t* page = &_pages(m)[_directory(m)[place]]
    cdef uint64_t inside = px & (MATCH_PAGE - 1)
    page.bits[inside >> 6] &= ~(<uint64_t>1 << (inside & 63))
    if page.bits[0] | page.bits[1] | page.bits[2] | page.bits[3]:
        return
    _words(m, m.offset_a)[place >> 6] &= ~(<uint64_t>1 << (place & 63))
    if _words(m, m.offset_a)[place >> 6]:
        return
    _words(m, m.offset_b)[place >> 12] &= ~(<uint64_t>1 << ((place >> 6) & 63))
    if _words(m, m.offset_b)[place >> 12]:
        return
    _words(m, m.offset_c)[place >> 18] &= ~(<uint64_t>1 << ((place >> 12) & 63))


cdef inline int64_t _scan_below(const uint64_t* words, int64_t at) noexcept nogil:
    """The highest set bit at or below `at` within its own word's floor of words; -1: none down to word 0."""
    cdef int64_t word = at >> 6
    cdef uint64_t bits = words[word] & (~<uint64_t>0 >> (63 - (at & 63)))
    while bits == 0:
        word -= 1
        if word < 0:
            return -1
        bits = words[word]
    return (word << 6) + top_bit(bits)


cdef inline int64_t _scan_above(const uint64_t* words, int64_t count, int64_t at) noexcept nogil:
    cdef int64_t word = at >> 6
    cdef uint64_t bits = words[word] & (~<uint64_t>0 << (at & 63))
    while bits == 0:
        word += 1
        if word >= count:
            return -1
        bits = words[word]
    return (word << 6) + low_bit(bits)


cdef int64_t _place_below(const match_t* m, int64_t place) noexcept nogil:
    """The highest page at or below `place` that holds a level: up the floors until something is there, then down."""
    cdef uint64_t bits
    cdef int64_t at = place
    if at < 0:
        return -1
    bits = _words(m, m.offset_a)[at >> 6] & (~<uint64_t>0 >> (63 - (at & 63)))
    if bits:
        return (at >> 6 << 6) + top_bit(bits)
    at = (at >> 6) - 1
    if at < 0:
        return -1
    bits = _words(m, m.offset_b)[at >> 6] & (~<uint64_t>0 >> (63 - (at & 63)))
    if bits == 0:
        at = (at >> 6) - 1
        if at < 0:
            return -1
        at = _scan_below(_words(m, m.offset_c), at)
        if at < 0:
            return -1
        bits = _words(m, m.offset_b)[at]
        at = (at << 6) + top_bit(bits)
    else:
        at = (at >> 6 << 6) + top_bit(bits)
    return (at << 6) + top_bit(_words(m, m.offset_a)[at])


cdef int64_t _place_above(const match_t* m, int64_t place) noexcept nogil:
    cdef uint64_t bits
    cdef int64_t at = place
    if at >> 6 >= m.words_a:
        return -1
    bits = _words(m, m.offset_a)[at >> 6] & (~<uint64_t>0 << (at & 63))
    if bits:
        return (at >> 6 << 6) + low_bit(bits)
    at = (at >> 6) + 1
    if at >> 6 >= m.words_b:
        return -1
    bits = _words(m, m.offset_b)[at >> 6] & (~<uint64_t>0 << (at & 63))
    if bits == 0:
        at = (at >> 6) + 1
        if at >> 6 >= m.words_c:
            return -1
        at = _scan_above(_words(m, m.offset_c), m.words_c, at)
        if at < 0:
            return -1
        bits = _words(m, m.offset_b)[at]
        at = (at << 6) + low_bit(bits)
    else:
        at = (at >> 6 << 6) + low_bit(bits)
    return (at << 6) + low_bit(_words(m, m.offset_a)[at])


cdef int64_t match_below(const match_t* m, int64_t px) noexcept nogil:
    """The highest price below `px` with an order; 0: none."""
    cdef int64_t place, at
    cdef uint32_t page
    px = min(px, m.config.px_max + 1) - 1
    if px < 0:
        return 0
    place = px >> MATCH_PAGE_BITS
    page = _directory(m)[place]
    if page != MATCH_NONE:
        at = _scan_below(_pages(m)[page].bits, px & (MATCH_PAGE - 1))
        if at >= 0:
            return (place << MATCH_PAGE_BITS) + at
    place = _place_below(m, place - 1)
    if place < 0:
        return 0
    return (place << MATCH_PAGE_BITS) + _scan_below(_pages(m)[_directory(m)[place]].bits, MATCH_PAGE - 1)


cdef int64_t match_above(const match_t* m, int64_t px) noexcept nogil:
    """The lowest price above `px` with an order; INT64_MAX: none."""
    cdef int64_t place, at
    cdef uint32_t page
    if px >= m.config.px_max:
        return INT64_MAX
    px = max(px, -1) + 1
    place = px >> MATCH_PAGE_BITS
    page = _directory(m)[place]
    if page != MATCH_NONE:
        at = _scan_above(_pages(m)[page].bits, 4, px & (MATCH_PAGE - 1))
        if at >= 0:
            return (place << MATCH_PAGE_BITS) + at
    place = _place_above(m, place + 1)
    if place < 0:
        return INT64_MAX
    return (place << MATCH_PAGE_BITS) + _scan_above(_pages(m)[_directory(m)[place]].bits, 4, 0)


cdef inline void _touch(match_t* m, match_level_t* level, int64_t px) noexcept nogil:
    """Remember that a level changed. A level that cannot be remembered is owned up to: `dirty_lost`."""
    if m.config.dirty_max == 0 or level.dirty:
        return
    if m.dirty_count == m.config.dirty_max:
        m.dirty_lost = 1
        return
    level.dirty = 1
    _pages(m)[_directory(m)[px >> MATCH_PAGE_BITS]].used += 1
    (<int64_t*>(<char*>m + m.offset_dirty))[m.dirty_count] = px
    m.dirty_count += 1


cdef bint _rest(match_t* m, uint32_t index) noexcept nogil:
    """Put an order behind the others of its price. False: no page is left for that price."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef uint64_t place = <uint64_t>o.px_ticks >> MATCH_PAGE_BITS
    cdef match_level_t* level
    if unlikely(_directory(m)[place] == MATCH_NONE) and not _page_take(m, place):
        return False
    level = _level(m, o.px_ticks)
    if o.type == TYPE_ICEBERG and o.display_lots < o.left_lots:
        o.hidden_lots = o.left_lots - o.display_lots
        o.left_lots = o.display_lots
    o.next = MATCH_NONE
    o.prev = level.tail
    if level.tail == MATCH_NONE:
        level.head = index
        _pages(m)[_directory(m)[place]].used += 1
        _bits_set(m, o.px_ticks)
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
    _touch(m, level, o.px_ticks)
    return True


cdef void _unrest(match_t* m, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    cdef match_level_t* level = _level(m, o.px_ticks)
    _touch(m, level, o.px_ticks)
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
        _bits_clear(m, o.px_ticks)
        if o.px_ticks == m.best_bid:
            m.best_bid = match_below(m, o.px_ticks)
        elif o.px_ticks == m.best_ask:
            m.best_ask = match_above(m, o.px_ticks)
        _page_unuse(m, <uint64_t>o.px_ticks >> MATCH_PAGE_BITS)


# ------------------------------------------------------------------------------------------------------------- heaps
# Three heaps of slot numbers. `which`: 0 triggers above the price, 1 below it, 2 expiry. Ties go to the older number.
cdef inline bint _before(const match_t* m, int which, uint32_t a, uint32_t b) noexcept nogil:
    cdef match_order_t* x = &match_orders(m)[a]
    cdef match_order_t* y = &match_orders(m)[b]
    cdef int64_t left, right
    if which == 2:
        left, right = x.expire_ns, y.expire_ns
    elif which == 0:
        left, right = x.trigger_px, y.trigger_px
    else:
        left, right = y.trigger_px, x.trigger_px
    return left < right or (left == right and x.id < y.id)


cdef inline uint32_t* _heap(match_t* m, int which, uint32_t** count) noexcept nogil:
    if which == 0:
        count[0] = &m.above_count
        return _numbers(m, m.offset_above)
    if which == 1:
        count[0] = &m.below_count
        return _numbers(m, m.offset_below)
    count[0] = &m.expire_count
    return _numbers(m, m.offset_expire)


cdef inline void _heap_put(match_t* m, int which, uint32_t* heap, uint32_t at, uint32_t index) noexcept nogil:
    heap[at] = index
    if which == 2:
        match_orders(m)[index].expire_at = at + 1
    else:
        match_orders(m)[index].trigger_at = at + 1


cdef void _sift(match_t* m, int which, uint32_t* heap, uint32_t count, uint32_t at, uint32_t index) noexcept nogil:
    """Let `index` find its place, up or down, from the hole at `at`."""
    cdef uint32_t child
    while at > 0 and _before(m, which, index, heap[(at - 1) // 2]):
        _heap_put(m, which, heap, at, heap[(at - 1) // 2])
        at = (at - 1) // 2
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and _before(m, which, heap[child + 1], heap[child]):
            child += 1
        if not _before(m, which, heap[child], index):
            break
        _heap_put(m, which, heap, at, heap[child])
        at = child
    _heap_put(m, which, heap, at, index)


cdef void _heap_add(match_t* m, int which, uint32_t index) noexcept nogil:
    cdef uint32_t* count
    cdef uint32_t* heap = _heap(m, which, &count)
    count[0] += 1
    _sift(m, which, heap, count[0], count[0] - 1, index)


cdef void _heap_remove(match_t* m, int which, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    cdef uint32_t* count
    cdef uint32_t* heap = _heap(m, which, &count)
    cdef uint32_t at = (o.expire_at if which == 2 else o.trigger_at) - 1
    count[0] -= 1
    if at != count[0]:
        _sift(m, which, heap, count[0], at, heap[count[0]])
    if which == 2:
        o.expire_at = 0
    else:
        o.trigger_at = 0


# ------------------------------------------------------------------------------------------------------------ events
cdef inline bint _room_for_fill(const match_t* m) noexcept nogil:
    return m.event_count + MATCH_ENDS * m.live_count + MATCH_EVENT_RESERVE < m.config.events_max


cdef void _tell(match_t* m, uint32_t index, uint8_t kind, uint8_t reason, int64_t qty_lots) noexcept nogil:
    """An event of one order. The crowd's are not told."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef match_event_t* e
    if o.owner == 0:
        return
    debug_assert(m.event_count < m.config.events_max)
    e = &match_events(m)[m.event_count]
    m.event_count += 1
    memset(e, 0, sizeof(match_event_t))
    e.kind = kind
    e.reason = reason
    e.flags = MATCHED_SELL if o.flags & MATCH_SELL else 0
    e.owner = o.owner
    e.id = o.id
    e.px_ticks = o.px_ticks
    e.qty_lots = qty_lots
    e.filled_lots = o.filled_lots


cdef inline int64_t _rest_lots(const match_order_t* o) noexcept nogil:
    return o.left_lots + o.hidden_lots


# ------------------------------------------------------------------------------------------------------ ends, lists
cdef void _unplace(match_t* m, uint32_t index) noexcept nogil:
    """Take an order out of wherever its state says it stands."""
    cdef match_order_t* o = &match_orders(m)[index]
    if o.state == STATE_BOOK:
        _unrest(m, index)
    elif o.state == STATE_ARMED:
        _heap_remove(m, 0 if o.above else 1, index)
    elif o.state == STATE_TRAILING:
        if o.prev == MATCH_NONE:
            m.trail_first = o.next
        else:
            match_orders(m)[o.prev].next = o.next
        if o.next == MATCH_NONE:
            m.trail_last = o.prev
        else:
            match_orders(m)[o.next].prev = o.prev


cdef void _free(match_t* m, uint32_t index) noexcept nogil:
    """The order is over. A slot that stands in the work queue is handed back when its turn comes."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef match_owner_t* owner = &_owners(m)[o.owner]
    if o.expire_at:
        _heap_remove(m, 2, index)
    _cell_remove(m, o.id)
    if o.owner:
        owner.orders -= 1
        owner.algo -= TYPE_STOP <= o.type <= TYPE_TRAILING
        owner.icebergs -= o.type == TYPE_ICEBERG
    m.live_count -= 1
    o.id = 0
    if o.state == STATE_QUEUED:
        o.state = STATE_DEAD
        return
    o.state = STATE_FREE
    o.next = m.free_order
    m.free_order = index


cdef void _end(match_t* m, uint32_t index, uint8_t kind, uint8_t reason) noexcept nogil:
    """An order ends unfilled: it leaves, that is told, and its list hears of it."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef uint32_t list_index = o.list
    cdef uint8_t leg = o.leg
    cdef bint pending = o.state == STATE_PENDING
    _unplace(m, index)
    _tell(m, index, kind, reason, _rest_lots(o))
    _free(m, index)
    if list_index != MATCH_NONE:
        _list_hears(m, list_index, leg, MARK_ENDED, kind, pending)


cdef void _filled(match_t* m, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    cdef uint32_t list_index = o.list
    cdef uint8_t leg = o.leg
    _unplace(m, index)
    _free(m, index)
    if list_index != MATCH_NONE:
        _list_hears(m, list_index, leg, MARK_FILLED, 0, False)


cdef void _leg_end(match_t* m, uint32_t list_index, uint8_t leg, uint8_t kind, uint8_t reason) noexcept nogil:
    """End one leg as a consequence of another: the list is not told again."""
    cdef match_legs_t* legs = &_lists(m)[list_index]
    cdef uint32_t index = legs.legs[leg]
    if index == MATCH_NONE:
        return
    legs.legs[leg] = MATCH_NONE
    legs.live -= 1
    match_orders(m)[index].list = MATCH_NONE
    _end(m, index, kind, reason)


cdef void _list_hears(match_t* m, uint32_t list_index, uint8_t leg, uint32_t mark, uint8_t kind,
                      bint pending) noexcept nogil:
    """What one leg's progress or end means for the others."""
    cdef match_legs_t* legs = &_lists(m)[list_index]
    cdef uint32_t what = legs.kind & 7
    cdef uint8_t first = 0 if what == LIST_OCO else 1
    cdef uint8_t last = 2 if what == LIST_OTOCO else 1
    cdef uint8_t other, end_kind, end_reason
    if mark != MARK_PROGRESS:
        legs.legs[leg] = MATCH_NONE
        legs.live -= 1
    end_kind = MATCHED_CANCELED if kind == MATCHED_CANCELED else MATCHED_EXPIRED
    if what != LIST_OCO and leg == 0:
        end_reason = REASON_USER if kind == MATCHED_CANCELED else REASON_OTO
        for other in range(1, last + 1):
            if mark == MARK_ENDED:
                _leg_end(m, list_index, other, end_kind, end_reason)
            elif mark == MARK_FILLED and legs.legs[other] != MATCH_NONE:
                _leg_wakes(m, legs.legs[other], legs.kind & LIST_HELD)
    else:
        end_reason = REASON_USER if kind == MATCHED_CANCELED else REASON_OCO
        if what != LIST_OTO:
            # A pair: whatever happens to one leg ends the other.
            _leg_end(m, list_index, first if leg == last else last, end_kind, end_reason)
        if pending:
            _leg_end(m, list_index, 0, end_kind, REASON_USER if kind == MATCHED_CANCELED else REASON_OTO)
    if legs.live == 0 and legs.kind:
        legs.kind = 0
        legs.next = m.free_list
        m.free_list = list_index


cdef void _leg_wakes(match_t* m, uint32_t index, bint held) noexcept nogil:
    if held:
        match_orders(m)[index].state = STATE_READY
        _tell(m, index, MATCHED_READY, REASON_NONE, match_orders(m)[index].left_lots)
    else:
        _queue(m, index)


cdef void _queue(match_t* m, uint32_t index) noexcept nogil:
    cdef uint32_t at = m.work_head + m.work_count
    match_orders(m)[index].state = STATE_QUEUED
    if at >= m.config.orders_max:
        at -= m.config.orders_max
    _numbers(m, m.offset_work)[at] = index
    m.work_count += 1


# --------------------------------------------------------------------------------------------------------- triggers
cdef inline int64_t _trail_away(const match_order_t* o, int64_t px) noexcept nogil:
    cdef int64_t away
    if not o.flags & MATCH_TRAIL_BIPS:
        return o.trail
    away = share_ppm(px, o.trail * 100)
    return away if away > 0 else 1


cdef void _fire(match_t* m, uint32_t index) noexcept nogil:
    """A trigger is reached: the order waits for its turn behind whatever is being matched."""
    cdef match_order_t* o = &match_orders(m)[index]
    _unplace(m, index)
    if o.type == TYPE_TRAILING and o.state == STATE_ARMED:
        # Its activation price: from now on it trails.
        o.trigger_px = 0
        _trail(m, index)
        return
    o.triggered = 1
    _queue(m, index)
    _tell(m, index, MATCHED_TRIGGERED, REASON_NONE, o.left_lots)
    if o.list != MATCH_NONE:
        _list_hears(m, o.list, o.leg, MARK_PROGRESS, 0, False)


cdef void _trail(match_t* m, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    o.state = STATE_TRAILING
    o.next = MATCH_NONE
    o.prev = m.trail_last
    if m.trail_last == MATCH_NONE:
        m.trail_first = index
    else:
        match_orders(m)[m.trail_last].next = index
    m.trail_last = index
    _trail_follow(m, o)


cdef inline bint _trail_follow(match_t* m, match_order_t* o) noexcept nogil:
    """Move a trailing trigger after the price; True when the price has reached it."""
    cdef int64_t trigger
    if m.last_px == 0:
        return False
    if o.flags & MATCH_SELL:
        if o.trigger_px and m.last_px <= o.trigger_px:
            return True
        trigger = m.last_px - _trail_away(o, m.last_px)
        if trigger > o.trigger_px:
            o.trigger_px = trigger
    else:
        if o.trigger_px and m.last_px >= o.trigger_px:
            return True
        trigger = m.last_px + _trail_away(o, m.last_px)
        if o.trigger_px == 0 or trigger < o.trigger_px:
            o.trigger_px = trigger
    return False


cdef void _last(match_t* m, int64_t px) noexcept nogil:
    """A trade's price: fire what it reaches, those above first, then those below, then what trails."""
    cdef uint32_t index, after
    if px == m.last_px:
        return
    m.last_px = px
    while m.above_count:
        index = _numbers(m, m.offset_above)[0]
        if match_orders(m)[index].trigger_px > px:
            break
        _fire(m, index)
    while m.below_count:
        index = _numbers(m, m.offset_below)[0]
        if match_orders(m)[index].trigger_px < px:
            break
        _fire(m, index)
    index = m.trail_first
    while index != MATCH_NONE:
        after = match_orders(m)[index].next
        if _trail_follow(m, &match_orders(m)[index]):
            _fire(m, index)
            # Its sibling may have been the next one in line; begin again, since nobody follows the same price twice.
            after = m.trail_first
        index = after


cdef inline bint _trigger_above(const match_order_t* o) noexcept nogil:
    cdef bint sell = o.flags & MATCH_SELL
    return sell if o.type == TYPE_TAKE or o.type == TYPE_TAKE_LIMIT else not sell


cdef inline bint _is_reached(const match_t* m, int64_t trigger_px, bint above) noexcept nogil:
    if m.last_px == 0:
        return False
    return m.last_px >= trigger_px if above else m.last_px <= trigger_px


cdef void _arm(match_t* m, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    if o.type == TYPE_TRAILING and (o.trigger_px == 0 or o.trigger_px == m.last_px):
        o.trigger_px = 0
        _trail(m, index)
        return
    # A trailing order's activation price may lie on either side of the last price.
    o.above = o.trigger_px > m.last_px if o.type == TYPE_TRAILING else _trigger_above(o)
    o.state = STATE_ARMED
    _heap_add(m, 0 if o.above else 1, index)


# ---------------------------------------------------------------------------------------------------------- matching
cdef inline bint _crosses(const match_t* m, const match_order_t* o, bint market) noexcept nogil:
    if o.flags & MATCH_SELL:
        return m.best_bid != 0 and (market or m.best_bid >= o.px_ticks)
    return m.best_ask != INT64_MAX and (market or m.best_ask <= o.px_ticks)


cdef bint _is_market(const match_order_t* o) noexcept nogil:
    if o.type == TYPE_TRAILING:
        return o.px_ticks == 0
    return o.type == TYPE_MARKET or o.type == TYPE_STOP or o.type == TYPE_TAKE


cdef bint _can_fill(const match_t* m, const match_order_t* o, bint market) noexcept nogil:
    """Fill-or-kill: is all of it there, at its price, from others?"""
    cdef bint sell = o.flags & MATCH_SELL
    cdef int64_t px = m.best_bid if sell else m.best_ask, found = 0, money = o.budget
    cdef match_level_t* level
    cdef uint32_t at
    cdef int64_t lots
    cdef match_order_t* maker
    while px != 0 and px != INT64_MAX and (market or (px >= o.px_ticks if sell else px <= o.px_ticks)):
        level = _level(m, px)
        lots = level.qty_lots + level.hidden_lots
        if o.owner and o.stp != STP_NONE:
            at = level.head
            while at != MATCH_NONE:
                maker = &match_orders(m)[at]
                if maker.owner == o.owner:
                    lots -= _rest_lots(maker)
                at = maker.next
        if o.budget:
            lots = min(lots, money // px)
            money -= lots * px
        found += lots
        if found >= o.left_lots:
            return True
        px = match_below(m, px) if sell else match_above(m, px)
    return False


cdef void _prevent(match_t* m, uint32_t taker_index, uint32_t maker_index) noexcept nogil:
    """Two orders of one owner meet: the taker's mode decides who gives way. No trade happens."""
    cdef match_order_t* taker = &match_orders(m)[taker_index]
    cdef match_order_t* maker = &match_orders(m)[maker_index]
    cdef match_level_t* level = _level(m, maker.px_ticks)
    cdef int64_t lots = min(taker.left_lots, maker.left_lots)
    cdef match_event_t* e
    _tell(m, taker_index, MATCHED_PREVENTED, REASON_STP, lots)
    e = &match_events(m)[m.event_count - 1]
    e.id_other = maker.id
    e.px_ticks = maker.px_ticks
    e.filled_other = maker.filled_lots
    if taker.stp == STP_DECREMENT:
        taker.left_lots -= lots
        taker.prevented_lots += lots
        maker.left_lots -= lots
        maker.prevented_lots += lots
        level.qty_lots -= lots
        _touch(m, level, maker.px_ticks)
        if maker.left_lots == 0 and not _refill(m, maker_index):
            _end(m, maker_index, MATCHED_EXPIRED, REASON_STP)
        return
    if taker.stp != STP_EXPIRE_TAKER:
        _end(m, maker_index, MATCHED_EXPIRED, REASON_STP)


cdef bint _refill(match_t* m, uint32_t index) noexcept nogil:
    """Show the next slice of an iceberg, behind the others of its price. False: nothing is left of it."""
    cdef match_order_t* o = &match_orders(m)[index]
    if o.hidden_lots == 0:
        return False
    _unrest(m, index)
    o.left_lots = o.hidden_lots
    o.hidden_lots = 0
    # Its page may have gone with it a moment ago; then it has just come free, so one is there.
    _rest(m, index)
    return True


cdef int64_t _trade(match_t* m, uint32_t taker_index, uint32_t maker_index, int64_t lots) noexcept nogil:
    cdef match_order_t* taker = &match_orders(m)[taker_index]
    cdef match_order_t* maker = &match_orders(m)[maker_index]
    cdef match_level_t* level = _level(m, maker.px_ticks)
    cdef match_event_t* e = &match_events(m)[m.event_count]
    cdef int64_t px = maker.px_ticks
    debug_assert(lots > 0 and lots <= maker.left_lots and lots <= taker.left_lots)
    taker.left_lots -= lots
    taker.filled_lots += lots
    maker.left_lots -= lots
    maker.filled_lots += lots
    level.qty_lots -= lots
    _touch(m, level, px)
    m.id_trade += 1
    m.event_count += 1
    e.kind = MATCHED_TRADE
    e.reason = REASON_NONE
    e.reserved = 0
    e.flags = ((MATCHED_SELL if taker.flags & MATCH_SELL else 0)
               | (MATCHED_TAKER_DONE if taker.left_lots == 0 else 0)
               | (MATCHED_MAKER_DONE if maker.left_lots == 0 and maker.hidden_lots == 0 else 0)
               | (MATCHED_TAKER_OWNED if taker.owner else 0) | (MATCHED_MAKER_OWNED if maker.owner else 0))
    e.owner = taker.owner
    e.id = taker.id
    e.id_other = maker.id
    e.px_ticks = px
    e.qty_lots = lots
    e.filled_lots = taker.filled_lots
    e.filled_other = maker.filled_lots
    e.id_trade = m.id_trade
    if maker.left_lots == 0:
        if maker.hidden_lots == 0:
            _filled(m, maker_index)
        else:
            if maker.list != MATCH_NONE:
                _list_hears(m, maker.list, maker.leg, MARK_PROGRESS, 0, False)
            _refill(m, maker_index)
    elif maker.list != MATCH_NONE:
        _list_hears(m, maker.list, maker.leg, MARK_PROGRESS, 0, False)
    if taker.list != MATCH_NONE and taker.left_lots:
        _list_hears(m, taker.list, taker.leg, MARK_PROGRESS, 0, False)
    _last(m, px)
    return px * lots


cdef uint8_t _take(match_t* m, uint32_t index, bint market) noexcept nogil:
    """Trade as far as price, book and money reach. Returns why the rest must end, or REASON_NONE."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef match_order_t* maker
    cdef uint32_t maker_index
    cdef int64_t px, lots, spent
    cdef bint bounded = o.budget > 0
    o.state = STATE_TAKING
    while o.left_lots and _crosses(m, o, market):
        if unlikely(not _room_for_fill(m)):
            return REASON_NO_ROOM
        px = m.best_bid if o.flags & MATCH_SELL else m.best_ask
        maker_index = _level(m, px).head
        maker = &match_orders(m)[maker_index]
        if unlikely(maker.owner == o.owner and o.owner and o.stp != STP_NONE):
            _prevent(m, index, maker_index)
            if o.stp == STP_EXPIRE_TAKER or o.stp == STP_EXPIRE_BOTH or o.left_lots == 0:
                return REASON_STP
            continue
        lots = min(o.left_lots, maker.left_lots)
        if bounded:
            lots = min(lots, o.budget // px)
            if lots == 0:
                return REASON_BUDGET
        spent = _trade(m, index, maker_index, lots)
        if bounded:
            o.budget -= spent
    return REASON_NONE


cdef void _enter(match_t* m, uint32_t index) noexcept nogil:
    """Match an order as what it is now, and rest or end what is left of it."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef bint market = _is_market(o)
    cdef uint8_t reason
    if o.tif == TIF_FOK and not _can_fill(m, o, market):
        o.state = STATE_TAKING
        _end(m, index, MATCHED_EXPIRED, REASON_FOK)
        return
    reason = _take(m, index, market)
    if o.left_lots == 0 and reason == REASON_NONE:
        _filled(m, index)
    elif reason != REASON_NONE:
        _end(m, index, MATCHED_EXPIRED, reason)
    elif market:
        _end(m, index, MATCHED_EXPIRED, REASON_LIQUIDITY)
    elif o.tif == TIF_IOC or o.tif == TIF_FOK:
        _end(m, index, MATCHED_EXPIRED, REASON_IOC)
    elif not _rest(m, index):
        _end(m, index, MATCHED_EXPIRED, REASON_CAPACITY)


cdef void _wake(match_t* m, uint32_t index) noexcept nogil:
    """A queued order's turn: one that was triggered enters; a leg begins as if it had just been sent."""
    cdef match_order_t* o = &match_orders(m)[index]
    if o.state == STATE_DEAD:
        o.state = STATE_FREE
        o.next = m.free_order
        m.free_order = index
        return
    o.state = STATE_TAKING
    if o.triggered:
        # Post-only holds for a triggered limit order too: it ends rather than takes.
        if o.tif == TIF_GTX and _crosses(m, o, False):
            _end(m, index, MATCHED_REJECTED, REASON_WOULD_TAKE)
        else:
            _enter(m, index)
        return
    _tell(m, index, MATCHED_NEW, REASON_NONE, o.left_lots)
    _start(m, index)


cdef void _start(match_t* m, uint32_t index) noexcept nogil:
    """A leg whose time has come. What a plain order would be refused for ends it here."""
    cdef match_order_t* o = &match_orders(m)[index]
    if TYPE_STOP <= o.type <= TYPE_TRAILING:
        if o.type != TYPE_TRAILING and _is_reached(m, o.trigger_px, _trigger_above(o)):
            _end(m, index, MATCHED_REJECTED, REASON_WOULD_TRIGGER)
        else:
            _arm(m, index)
    elif o.tif == TIF_GTX and _crosses(m, o, False):
        _end(m, index, MATCHED_REJECTED, REASON_WOULD_TAKE)
    else:
        _enter(m, index)


cdef bint match_run(match_t* m) noexcept nogil:
    """Work through what was triggered. False: the events must be read first; call again."""
    cdef uint32_t index
    while m.work_count:
        if not _room_for_fill(m):
            return False
        index = _numbers(m, m.offset_work)[m.work_head]
        m.work_head += 1
        if m.work_head == m.config.orders_max:
            m.work_head = 0
        m.work_count -= 1
        _wake(m, index)
    return True


# ------------------------------------------------------------------------------------------------------- the filters
cdef inline int _refuse(match_t* m, int status, uint32_t reason) noexcept nogil:
    m.reason = reason
    return status


cdef bint _shape_is_bad(const match_request_t* r) noexcept nogil:
    """Terms that contradict each other, whatever the instrument."""
    cdef bint limit = r.type == TYPE_LIMIT or r.type == TYPE_ICEBERG or r.type == TYPE_STOP_LIMIT \
        or r.type == TYPE_TAKE_LIMIT or (r.type == TYPE_TRAILING and r.px_ticks != 0)
    cdef bint triggered = TYPE_STOP <= r.type <= TYPE_TAKE_LIMIT
    if r.id < 1 or r.type >= TYPE_COUNT or r.tif >= TIF_COUNT or r.stp > STP_DECREMENT or r.qty_lots < 1:
        return True
    if r.px_ticks < 0 or r.trigger_px < 0 or r.trail < 0 or r.display_lots < 0 or r.budget < 0:
        return True
    if limit != (r.px_ticks > 0) or triggered != (r.trigger_px > 0 and r.type != TYPE_TRAILING):
        return True
    if (r.type == TYPE_TRAILING) != (r.trail > 0) or (r.type == TYPE_ICEBERG) != (r.display_lots > 0):
        return True
    if r.flags & MATCH_TRAIL_BIPS and (r.type != TYPE_TRAILING or r.trail >= 10_000):
        return True
    if (r.tif == TIF_GTD) != (r.expire_ns > 0) or r.expire_ns < 0:
        return True
    # A market order has no time in force but those that end at once; an iceberg must be able to rest.
    if not limit and (r.tif == TIF_GTX or (r.tif == TIF_FOK and r.type != TYPE_MARKET)):
        return True
    if r.type == TYPE_ICEBERG and (r.tif == TIF_IOC or r.tif == TIF_FOK or r.display_lots > r.qty_lots):
        return True
    if r.flags & MATCH_BY_QUOTE:
        return r.budget == 0 or r.type != TYPE_MARKET or r.tif == TIF_FOK
    return r.budget > 0 and (limit or r.flags & MATCH_SELL)


cdef uint32_t _filter(const match_t* m, const match_request_t* r) noexcept nogil:
    """The first of the instrument's filters that the order fails."""
    cdef const match_config_t* c = &m.config
    cdef match_owner_t* owner = &_owners(m)[r.owner]
    cdef bint sell = r.flags & MATCH_SELL
    cdef bint triggered = TYPE_STOP <= r.type <= TYPE_TRAILING, by_quote = r.flags & MATCH_BY_QUOTE
    cdef int64_t reference = m.reference_px if m.reference_px else m.last_px
    cdef int64_t up = c.ask_up_ppm if sell else c.bid_up_ppm
    cdef int64_t down = c.ask_down_ppm if sell else c.bid_down_ppm
    cdef int64_t px = r.px_ticks
    if px and (px < c.px_min or px > c.px_max):
        return REASON_PRICE_FILTER
    if r.trigger_px and (r.trigger_px < c.px_min or r.trigger_px > c.px_max):
        return REASON_PRICE_FILTER
    if px and reference:
        if up and px > share_ppm(reference, up):
            return REASON_PERCENT_PRICE
        if down and px < share_ppm(reference, down):
            return REASON_PERCENT_PRICE
    # A market order that spends a sum has no quantity of its own to hold against the step.
    if not by_quote and (r.qty_lots < c.qty_min or r.qty_lots > c.qty_max):
        return REASON_LOT_SIZE
    if px == 0 and not by_quote and r.qty_lots > c.market_qty_max:
        return REASON_MARKET_LOT_SIZE
    if px == 0:
        px = r.trigger_px if r.trigger_px else reference
    if by_quote and r.budget < c.notional_min:
        return REASON_NOTIONAL
    if px and not by_quote and px * r.qty_lots < c.notional_min:
        return REASON_NOTIONAL
    if r.type == TYPE_ICEBERG and (r.qty_lots + r.display_lots - 1) // r.display_lots > c.iceberg_parts_max:
        return REASON_ICEBERG_PARTS
    if owner.orders >= c.owner_orders_max:
        return REASON_MAX_ORDERS
    if triggered and owner.algo >= c.owner_algo_max:
        return REASON_MAX_ALGO
    if r.type == TYPE_ICEBERG and owner.icebergs >= c.owner_iceberg_max:
        return REASON_MAX_ICEBERG
    return REASON_NONE


cdef int _judge(match_t* m, const match_request_t* r) noexcept nogil:
    """Everything that can be said of an order before it has a slot."""
    cdef uint32_t reason
    if _shape_is_bad(r):
        return _refuse(m, MATCH_BAD_ORDER, REASON_SHAPE)
    if r.owner >= m.config.owners_max:
        return _refuse(m, MATCH_FULL, REASON_CAPACITY)
    if m.halted and not r.flags & MATCH_UNFILTERED:
        return _refuse(m, MATCH_BAD_ORDER, REASON_HALTED)
    if _index(m, r.id) != MATCH_NONE:
        return _refuse(m, MATCH_BAD_ORDER, REASON_DUPLICATE)
    if r.px_ticks > m.config.px_max or r.qty_lots > m.config.qty_max:
        return _refuse(m, MATCH_BAD_ORDER,
                       REASON_PRICE_FILTER if r.px_ticks > m.config.px_max else REASON_LOT_SIZE)
    if r.owner and not r.flags & MATCH_UNFILTERED:
        reason = _filter(m, r)
        if reason != REASON_NONE:
            return _refuse(m, MATCH_BAD_ORDER, reason)
    if r.expire_ns and r.expire_ns <= m.now_ns:
        return _refuse(m, MATCH_BAD_ORDER, REASON_EXPIRY)
    return OK


cdef uint32_t _make(match_t* m, const match_request_t* r) noexcept nogil:
    """A slot with the order's terms. The caller has seen that one is free."""
    cdef uint32_t index = m.free_order
    cdef match_order_t* o = &match_orders(m)[index]
    m.free_order = o.next
    memset(o, 0, sizeof(match_order_t))
    o.id = r.id
    o.px_ticks = r.px_ticks
    o.left_lots = o.qty_lots = r.qty_lots
    o.owner = r.owner
    o.type = r.type
    o.tif = r.tif
    o.stp = r.stp
    o.flags = r.flags
    o.list = MATCH_NONE
    o.display_lots = r.display_lots
    o.trigger_px = r.trigger_px
    o.trail = r.trail
    o.expire_ns = r.expire_ns
    o.budget = r.budget
    _cell_add(m, r.id, index)
    m.live_count += 1
    if r.owner:
        _owners(m)[r.owner].orders += 1
        _owners(m)[r.owner].algo += TYPE_STOP <= r.type <= TYPE_TRAILING
        _owners(m)[r.owner].icebergs += r.type == TYPE_ICEBERG
    if r.expire_ns:
        _heap_add(m, 2, index)
    return index


cdef inline bint _request_reached(const match_t* m, const match_request_t* r) noexcept nogil:
    cdef bint sell = r.flags & MATCH_SELL
    if r.type < TYPE_STOP or r.type > TYPE_TAKE_LIMIT:
        return False
    return _is_reached(m, r.trigger_px, sell if r.type >= TYPE_TAKE else not sell)


cdef inline bint _request_takes(const match_t* m, const match_request_t* r) noexcept nogil:
    if r.flags & MATCH_SELL:
        return m.best_bid != 0 and m.best_bid >= r.px_ticks
    return m.best_ask != INT64_MAX and m.best_ask <= r.px_ticks


cdef int _admit(match_t* m, const match_request_t* r) noexcept nogil:
    """What `_judge` asks, and whether it could start now."""
    cdef int status = _judge(m, r)
    if status != OK:
        return status
    if _request_reached(m, r):
        return _refuse(m, MATCH_WOULD_TRIGGER, REASON_WOULD_TRIGGER)
    if r.tif == TIF_GTX and r.type != TYPE_STOP_LIMIT and r.type != TYPE_TAKE_LIMIT and r.type != TYPE_TRAILING \
            and _request_takes(m, r):
        return _refuse(m, MATCH_WOULD_TAKE, REASON_WOULD_TAKE)
    if r.px_ticks and not _page_fits(m, r.px_ticks):
        return _refuse(m, MATCH_FULL, REASON_CAPACITY)
    return OK


cdef int match_submit(match_t* m, const match_request_t* r) noexcept nogil:
    """Take one order in. OK: its events tell the rest. Otherwise nothing changed and `reason` says why."""
    cdef int status = _admit(m, r)
    cdef uint32_t index
    if unlikely(status != OK):
        return status
    if unlikely(m.free_order == MATCH_NONE or not _room_for_fill(m)):
        return _refuse(m, MATCH_FULL, REASON_CAPACITY)
    index = _make(m, r)
    _tell(m, index, MATCHED_NEW, REASON_NONE, r.qty_lots)
    _start(m, index)
    if unlikely(m.work_count):
        match_run(m)
    return OK


cdef bint _pair_is_bad(const match_t* m, const match_request_t* a, const match_request_t* b, bint now) noexcept nogil:
    """An OCO pair: one side, one quantity; a limit that rests (or a take) on one side of the price, a stop beyond."""
    cdef const match_request_t* swap
    cdef int64_t target
    if b.type != TYPE_STOP and b.type != TYPE_STOP_LIMIT:
        swap = a
        a = b
        b = swap
    if b.type != TYPE_STOP and b.type != TYPE_STOP_LIMIT:
        return True
    if a.type == TYPE_LIMIT and a.tif != TIF_GTX:
        return True
    if a.type != TYPE_LIMIT and a.type != TYPE_TAKE and a.type != TYPE_TAKE_LIMIT:
        return True
    if (a.flags ^ b.flags) & MATCH_SELL or a.qty_lots != b.qty_lots or a.owner != b.owner or a.id == b.id:
        return True
    target = a.px_ticks if a.type == TYPE_LIMIT else a.trigger_px
    if a.flags & MATCH_SELL:
        return target <= b.trigger_px or (now and m.last_px and (target <= m.last_px or b.trigger_px >= m.last_px))
    return target >= b.trigger_px or (now and m.last_px and (target >= m.last_px or b.trigger_px <= m.last_px))


cdef int match_submit_list(match_t* m, uint32_t kind, const match_request_t* legs) noexcept nogil:
    """Two or three orders that know of each other: all of them enter, or none does."""
    cdef uint32_t what = kind & 7, count = 3 if what == LIST_OTOCO else 2, i, index, list_index
    cdef uint32_t orders, algo
    cdef int status
    cdef match_legs_t* made
    if what < LIST_OCO or what > LIST_OTOCO or kind & ~<uint32_t>(7 | LIST_HELD) or legs[0].owner == 0:
        return _refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    for i in range(count):
        status = _admit(m, &legs[i]) if i == 0 or what == LIST_OCO else _judge(m, &legs[i])
        if status != OK:
            return status
        if legs[i].owner != legs[0].owner or (i and legs[i].id == legs[i - 1].id) or legs[i].type == TYPE_TRAILING:
            return _refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    if what == LIST_OTOCO and legs[0].id == legs[2].id:
        return _refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    if what != LIST_OCO and legs[0].type != TYPE_LIMIT:
        return _refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    if (what == LIST_OCO and _pair_is_bad(m, &legs[0], &legs[1], True)) or \
            (what == LIST_OTOCO and _pair_is_bad(m, &legs[1], &legs[2], False)):
        return _refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    # Each leg was judged as if it were alone: together they must fit too.
    orders = _owners(m)[legs[0].owner].orders + count
    algo = _owners(m)[legs[0].owner].algo
    for i in range(count):
        algo += TYPE_STOP <= legs[i].type <= TYPE_TRAILING
    if orders > m.config.owner_orders_max:
        return _refuse(m, MATCH_BAD_ORDER, REASON_MAX_ORDERS)
    if algo > m.config.owner_algo_max and algo > _owners(m)[legs[0].owner].algo:
        return _refuse(m, MATCH_BAD_ORDER, REASON_MAX_ALGO)
    if m.free_list == MATCH_NONE or m.live_count + m.work_count + count > m.config.orders_max \
            or not _room_for_fill(m):
        return _refuse(m, MATCH_FULL, REASON_CAPACITY)
    list_index = m.free_list
    made = &_lists(m)[list_index]
    m.free_list = made.next
    made.kind = kind
    made.live = count
    made.legs[2] = MATCH_NONE
    for i in range(count):
        index = _make(m, &legs[i])
        made.legs[i] = index
        match_orders(m)[index].list = list_index
        match_orders(m)[index].leg = <uint8_t>i
        match_orders(m)[index].state = STATE_PENDING
    for i in range(2 if what == LIST_OCO else 1):
        index = made.legs[i]
        if index == MATCH_NONE:
            # The first leg found no page to rest on and took this one with it.
            break
        _tell(m, index, MATCHED_NEW, REASON_NONE, legs[i].qty_lots)
        match_orders(m)[index].state = STATE_TAKING
        _start(m, index)
    match_run(m)
    return OK


# ----------------------------------------------------------------------------------------------------- later changes
cdef int match_cancel(match_t* m, int64_t order) noexcept nogil:
    cdef uint32_t index = _index(m, order) if order > 0 else MATCH_NONE
    if index == MATCH_NONE:
        return _refuse(m, MATCH_UNKNOWN, REASON_STATE)
    _end(m, index, MATCHED_CANCELED, REASON_USER)
    return OK


cdef int match_expire(match_t* m, int64_t order) noexcept nogil:
    """The venue itself ends an order: no balance for it, a halt, a liquidation."""
    cdef uint32_t index = _index(m, order) if order > 0 else MATCH_NONE
    if index == MATCH_NONE:
        return _refuse(m, MATCH_UNKNOWN, REASON_STATE)
    _end(m, index, MATCHED_EXPIRED, REASON_SELF)
    return OK


cdef int match_release(match_t* m, int64_t order) noexcept nogil:
    """Start a held leg that was announced."""
    cdef uint32_t index = _index(m, order) if order > 0 else MATCH_NONE
    if index == MATCH_NONE:
        return _refuse(m, MATCH_UNKNOWN, REASON_STATE)
    if match_orders(m)[index].state != STATE_READY:
        return _refuse(m, MATCH_BAD_ORDER, REASON_STATE)
    _queue(m, index)
    match_run(m)
    return OK


cdef int match_amend(match_t* m, int64_t order, int64_t px_ticks, int64_t qty_lots, bint keep_only) noexcept nogil:
    """Change a resting order. Less at the same price keeps its place; anything else goes to the back and may trade."""
    cdef uint32_t index = _index(m, order) if order > 0 else MATCH_NONE
    cdef match_order_t* o
    cdef match_level_t* level
    cdef match_request_t r
    cdef int64_t left, cut
    cdef uint32_t reason
    if index == MATCH_NONE:
        return _refuse(m, MATCH_UNKNOWN, REASON_STATE)
    o = &match_orders(m)[index]
    if o.state != STATE_BOOK:
        return _refuse(m, MATCH_BAD_ORDER, REASON_STATE)
    left = qty_lots - o.filled_lots - o.prevented_lots
    if px_ticks < 1 or left < 1 or px_ticks > m.config.px_max or qty_lots > m.config.qty_max:
        return _refuse(m, MATCH_BAD_ORDER, REASON_SHAPE)
    if px_ticks == o.px_ticks and qty_lots == o.qty_lots:
        return _refuse(m, MATCH_BAD_ORDER, REASON_NO_CHANGE)
    if keep_only and (px_ticks != o.px_ticks or qty_lots > o.qty_lots):
        return _refuse(m, MATCH_BAD_ORDER, REASON_STATE)
    if o.owner:
        memset(&r, 0, sizeof(r))
        r.id, r.px_ticks, r.qty_lots, r.owner, r.flags = o.id, px_ticks, qty_lots, o.owner, o.flags
        # The order that is amended counts as one already: only what its new terms are is judged.
        _owners(m)[o.owner].orders -= 1
        reason = _filter(m, &r)
        _owners(m)[o.owner].orders += 1
        if reason != REASON_NONE:
            return _refuse(m, MATCH_BAD_ORDER, reason)
    if px_ticks == o.px_ticks and qty_lots < o.qty_lots:
        level = _level(m, o.px_ticks)
        cut = min(o.qty_lots - qty_lots, o.hidden_lots)
        o.hidden_lots -= cut
        level.hidden_lots -= cut
        cut = o.qty_lots - qty_lots - cut
        o.left_lots -= cut
        level.qty_lots -= cut
        o.qty_lots = qty_lots
        _touch(m, level, o.px_ticks)
        _tell(m, index, MATCHED_AMENDED, REASON_NONE, qty_lots)
        return OK
    if not _page_fits(m, px_ticks):
        return _refuse(m, MATCH_FULL, REASON_CAPACITY)
    if o.tif == TIF_GTX:
        if (m.best_bid != 0 and m.best_bid >= px_ticks) if o.flags & MATCH_SELL else m.best_ask <= px_ticks:
            return _refuse(m, MATCH_WOULD_TAKE, REASON_WOULD_TAKE)
    _unrest(m, index)
    o.px_ticks = px_ticks
    o.qty_lots = qty_lots
    o.left_lots = left
    o.hidden_lots = 0
    _tell(m, index, MATCHED_AMENDED, REASON_NONE, qty_lots)
    _enter(m, index)
    match_run(m)
    return OK


cdef int match_requeue(match_t* m, int64_t order) noexcept nogil:
    """Send a resting order to the back of its price: somebody turned out to be there before it."""
    cdef uint32_t index = _index(m, order) if order > 0 else MATCH_NONE
    if index == MATCH_NONE or match_orders(m)[index].state != STATE_BOOK:
        return _refuse(m, MATCH_UNKNOWN, REASON_STATE)
    match_orders(m)[index].left_lots += match_orders(m)[index].hidden_lots
    _level(m, match_orders(m)[index].px_ticks).hidden_lots -= match_orders(m)[index].hidden_lots
    _level(m, match_orders(m)[index].px_ticks).qty_lots += match_orders(m)[index].hidden_lots
    match_orders(m)[index].hidden_lots = 0
    _unrest(m, index)
    _rest(m, index)
    return OK


cdef int match_resize(match_t* m, int64_t order, int64_t left_lots) noexcept nogil:
    """Give an order of the crowd another quantity where it stands: a recording says what is there, not who."""
    cdef uint32_t index = _index(m, order) if order > 0 else MATCH_NONE
    cdef match_order_t* o
    cdef match_level_t* level
    if index == MATCH_NONE:
        return _refuse(m, MATCH_UNKNOWN, REASON_STATE)
    o = &match_orders(m)[index]
    if o.owner or o.state != STATE_BOOK or o.hidden_lots or left_lots < 0 or left_lots > m.config.qty_max:
        return _refuse(m, MATCH_BAD_ORDER, REASON_STATE)
    if left_lots == 0:
        _end(m, index, MATCHED_CANCELED, REASON_USER)
        return OK
    level = _level(m, o.px_ticks)
    level.qty_lots += left_lots - o.left_lots
    o.qty_lots += left_lots - o.left_lots
    o.left_lots = left_lots
    _touch(m, level, o.px_ticks)
    return OK


cdef void match_set_last(match_t* m, int64_t px) noexcept nogil:
    """A price from outside, before the first trade or from a recording: it fires triggers like a trade."""
    _last(m, px)
    match_run(m)


cdef int match_advance(match_t* m, int64_t now_ns) noexcept nogil:
    """Time passes: what was good until now ends."""
    cdef uint32_t index
    if now_ns < m.now_ns:
        return _refuse(m, MATCH_BAD_ORDER, REASON_SHAPE)
    m.now_ns = now_ns
    while m.expire_count:
        index = _numbers(m, m.offset_expire)[0]
        if match_orders(m)[index].expire_ns > now_ns:
            break
        _end(m, index, MATCHED_EXPIRED, REASON_EXPIRY)
    return OK


cdef int64_t match_cost(const match_t* m, bint sell, int64_t qty_lots) noexcept nogil:
    """What taking this much costs now, in ticks x lots; -1 when the book does not hold it."""
    cdef int64_t px = m.best_bid if sell else m.best_ask, total = 0, lots
    while qty_lots > 0 and px != 0 and px != INT64_MAX:
        lots = min(qty_lots, _level(m, px).qty_lots + _level(m, px).hidden_lots)
        total += lots * px
        qty_lots -= lots
        px = match_below(m, px) if sell else match_above(m, px)
    return -1 if qty_lots > 0 else total


# ---------------------------------------------------------------------------------------------------- the Python face
Reason = match_reason_t
Kind = match_kind_t
EventFlag = match_event_flag_t
Stp = match_stp_t
Flag = match_flag_t
ListKind = match_list_t
State = match_state_t


cdef object _array(void* first, uint64_t count, bint events):
    """A copy of `count` records as a structured array; the layout is the struct's own."""
    cdef match_event_t[::1] as_events
    cdef match_request_t[::1] as_requests
    if events:
        as_events = <match_event_t[:count]><match_event_t*>first
        return np.array(as_events)
    as_requests = <match_request_t[:count]><match_request_t*>first
    return np.array(as_requests)


cdef match_event_t _event_sample
cdef match_request_t _request_sample
MATCHED = _array(&_event_sample, 1, True).dtype
REQUEST = _array(&_request_sample, 1, False).dtype


@cython.final
cdef class Match:
    """One book. `submit` and its like return a status; `events` hands over what happened since it was last asked."""

    def __cinit__(self, *, int64_t px_max, int64_t qty_max, int64_t px_min=1, int64_t qty_min=1,
                  int64_t market_qty_max=0, int64_t notional_min=0, int64_t bid_up_ppm=0, int64_t bid_down_ppm=0,
                  int64_t ask_up_ppm=0, int64_t ask_down_ppm=0, uint32_t orders_max=1 << 14, uint32_t lists_max=1 << 10,
                  uint32_t pages_max=1 << 8, uint32_t owners_max=64, uint32_t events_max=0, uint32_t dirty_max=1 << 14,
                  uint32_t owner_orders_max=200, uint32_t owner_algo_max=5, uint32_t owner_iceberg_max=10,
                  uint32_t iceberg_parts_max=100):
        cdef match_config_t c
        memset(&c, 0, sizeof(c))
        c.px_min, c.px_max, c.qty_min, c.qty_max = px_min, px_max, qty_min, qty_max
        c.market_qty_max = market_qty_max if market_qty_max else qty_max
        c.notional_min = notional_min
        c.bid_up_ppm, c.bid_down_ppm, c.ask_up_ppm, c.ask_down_ppm = bid_up_ppm, bid_down_ppm, ask_up_ppm, ask_down_ppm
        c.orders_max, c.lists_max, c.pages_max, c.owners_max = orders_max, lists_max, pages_max, owners_max
        c.events_max = events_max if events_max else MATCH_ENDS * orders_max + 4096
        c.dirty_max = dirty_max
        c.owner_orders_max, c.owner_algo_max, c.owner_iceberg_max = owner_orders_max, owner_algo_max, owner_iceberg_max
        c.iceberg_parts_max = iceberg_parts_max
        if _config_is_bad(&c):
            raise_status(MATCH_BAD_CONFIG, f"prices {px_min} to {px_max}, quantities {qty_min} to {qty_max}, "
                                           f"{orders_max} orders, {c.events_max} events")
        self.c = <match_t*>block_new(match_bytes(&c))
        match_init(self.c, &c)

    def __dealloc__(self):
        block_free(self.c)

    def submit(self, int64_t id, *, int owner, bint sell, int type, int64_t qty_lots, int64_t px_ticks=0, int tif=0,
               int stp=0, int64_t trigger_px=0, int64_t trail=0, int64_t display_lots=0, int64_t expire_ns=0,
               int64_t budget=0, int flags=0):
        cdef match_request_t r
        _request(&r, id, owner, sell, type, qty_lots, px_ticks, tif, stp, trigger_px, trail, display_lots, expire_ns,
                 budget, flags)
        return match_submit(self.c, &r)

    def judge(self, int64_t id, *, int owner, bint sell, int type, int64_t qty_lots, int64_t px_ticks=0, int tif=0,
              int stp=0, int64_t trigger_px=0, int64_t trail=0, int64_t display_lots=0, int64_t expire_ns=0,
              int64_t budget=0, int flags=0):
        """What `submit` would say, without sending anything."""
        cdef match_request_t r
        _request(&r, id, owner, sell, type, qty_lots, px_ticks, tif, stp, trigger_px, trail, display_lots, expire_ns,
                 budget, flags)
        return _admit(self.c, &r)

    def submit_list(self, int kind, legs):
        """`legs`: two or three dictionaries of what `submit` takes."""
        cdef match_request_t[3] r
        cdef int i, count = 3 if kind & 7 == LIST_OTOCO else 2
        if len(legs) != count:
            return _refuse(self.c, MATCH_BAD_ORDER, REASON_LIST)
        for i in range(count):
            leg = {"px_ticks": 0, "tif": 0, "stp": 0, "trigger_px": 0, "trail": 0, "display_lots": 0, "expire_ns": 0,
                   "budget": 0, "flags": 0} | legs[i]
            _request(&r[i], leg["id"], leg["owner"], leg["sell"], leg["type"], leg["qty_lots"], leg["px_ticks"],
                     leg["tif"], leg["stp"], leg["trigger_px"], leg["trail"], leg["display_lots"], leg["expire_ns"],
                     leg["budget"], leg["flags"])
        return match_submit_list(self.c, <uint32_t>kind, r)

    def submit_many(self, const match_request_t[::1] requests):
        """Take a whole array in, dropping the events; returns how many were accepted."""
        cdef Py_ssize_t i, accepted = 0
        with nogil:
            for i in range(requests.shape[0]):
                accepted += match_submit(self.c, &requests[i]) == OK
                self.c.event_count = 0
        return accepted

    def cancel(self, int64_t id):
        return match_cancel(self.c, id)

    def expire(self, int64_t id):
        return match_expire(self.c, id)

    def release(self, int64_t id):
        return match_release(self.c, id)

    def amend(self, int64_t id, *, int64_t px_ticks, int64_t qty_lots, bint keep_only=False):
        return match_amend(self.c, id, px_ticks, qty_lots, keep_only)

    def advance(self, int64_t now_ns):
        return match_advance(self.c, now_ns)

    def run(self):
        """Go on with triggered orders that found no room for their events. True when none is left."""
        return match_run(self.c)

    def events(self):
        """What happened since the last call, as an array."""
        out = np.empty(self.c.event_count, MATCHED)
        cdef unsigned char[::1] view = out.view(np.uint8)
        if self.c.event_count:
            memcpy(&view[0], match_events(self.c), self.c.event_count * sizeof(match_event_t))
        self.c.event_count = 0
        return out

    def told(self):
        """The same as plain tuples, in the order of the fields without the reserved one: quicker for a few."""
        cdef match_event_t* e
        cdef uint32_t i
        cdef list out = []
        for i in range(self.c.event_count):
            e = &match_events(self.c)[i]
            out.append((e.kind, e.reason, e.flags, e.owner, e.id, e.id_other, e.px_ticks, e.qty_lots, e.filled_lots,
                        e.filled_other, e.id_trade))
        self.c.event_count = 0
        return out

    def halt(self, bint on):
        self.c.halted = on

    def set_reference(self, int64_t px_ticks):
        """The percent-price filter's reference; 0 goes back to the last price."""
        self.c.reference_px = px_ticks

    def set_last(self, int64_t px_ticks):
        match_set_last(self.c, px_ticks)

    def cost(self, bint sell, int64_t qty_lots):
        return match_cost(self.c, sell, qty_lots)

    def depth(self, bint sell, int levels):
        """The best levels of one side as (price, shown lots)."""
        cdef int64_t px = self.c.best_ask if sell else self.c.best_bid
        cdef list out = []
        while px != 0 and px != INT64_MAX and len(out) < levels:
            out.append((px, _level(self.c, px).qty_lots))
            px = match_above(self.c, px) if sell else match_below(self.c, px)
        return out

    def lots_at(self, int64_t px):
        """Shown lots at a price: positive a bid, negative an ask, 0 none."""
        cdef match_level_t* level = match_level(self.c, px)
        if level == NULL or level.count == 0:
            return 0
        return level.qty_lots if px <= self.c.best_bid else -level.qty_lots

    def changed(self):
        """Prices whose level changed since the last call, and whether some could not be remembered."""
        cdef int64_t* dirty = <int64_t*>(<char*>self.c + self.c.offset_dirty)
        cdef uint32_t i
        cdef bint lost = self.c.dirty_lost
        prices = []
        for i in range(self.c.dirty_count):
            prices.append(dirty[i])
            _level(self.c, dirty[i]).dirty = 0
            _page_unuse(self.c, <uint64_t>dirty[i] >> MATCH_PAGE_BITS)
        self.c.dirty_count = 0
        self.c.dirty_lost = 0
        return prices, lost

    def order(self, int64_t id):
        """An order's terms and state, or None."""
        cdef match_order_t* o = match_find(self.c, id)
        if o == NULL:
            return None
        return {
            "id": o.id, "owner": o.owner, "sell": bool(o.flags & MATCH_SELL), "type": o.type, "tif": o.tif,
            "px_ticks": o.px_ticks, "qty_lots": o.qty_lots, "left_lots": o.left_lots, "hidden_lots": o.hidden_lots,
            "filled_lots": o.filled_lots, "prevented_lots": o.prevented_lots, "trigger_px": o.trigger_px,
            "state": o.state, "triggered": bool(o.triggered),
        }

    def queue(self, int64_t px):
        """Order numbers at a price, oldest first."""
        cdef match_level_t* level = match_level(self.c, px)
        cdef uint32_t at = MATCH_NONE if level == NULL else level.head
        out = []
        while at != MATCH_NONE:
            out.append(match_orders(self.c)[at].id)
            at = match_orders(self.c)[at].next
        return out

    def owner_counts(self, int owner):
        """Open orders, trigger orders and icebergs of one owner."""
        cdef match_owner_t* o = &_owners(self.c)[owner]
        return o.orders, o.algo, o.icebergs

    def copy(self):
        """An independent book in the same state: the block holds no pointers."""
        cdef match_config_t* c = &self.c.config
        cdef Match other = Match(px_max=c.px_max, qty_max=c.qty_max, orders_max=c.orders_max, lists_max=c.lists_max,
                                 pages_max=c.pages_max, owners_max=c.owners_max, events_max=c.events_max,
                                 dirty_max=c.dirty_max)
        memcpy(other.c, self.c, self.c.bytes)
        return other

    @property
    def best_bid(self):
        return self.c.best_bid

    @property
    def best_ask(self):
        """0 while there is none."""
        return 0 if self.c.best_ask == INT64_MAX else self.c.best_ask

    @property
    def last_px(self):
        return self.c.last_px

    @property
    def live_count(self):
        return self.c.live_count

    @property
    def reason(self):
        return self.c.reason

    @property
    def now_ns(self):
        return self.c.now_ns

    @property
    def halted(self):
        return bool(self.c.halted)

    @property
    def id_trade(self):
        return self.c.id_trade

    @property
    def pages_live(self):
        return self.c.pages_live

    @property
    def nbytes(self):
        return self.c.bytes

    def check(self):
        """Walk the invariants."""
        cdef match_t* m = self.c
        cdef match_order_t* o
        cdef match_level_t* level
        cdef int64_t px = match_above(m, -1), shown, hidden, levels = 0
        cdef int64_t[9] states
        cdef uint32_t at, before, count, i
        cdef uint32_t which
        cdef uint32_t* sizes
        cdef uint32_t* heap
        assert m.best_bid < m.best_ask, "the book is crossed"
        memset(&states[0], 0, sizeof(states))
        for i in range(m.config.orders_max):
            o = &match_orders(m)[i]
            states[o.state] += 1
            assert (o.id == 0) == (o.state in (STATE_FREE, STATE_DEAD)), "a number without a state"
            if o.id:
                assert _index(m, o.id) == i, "an order that its number does not find"
                assert o.filled_lots + o.prevented_lots + o.left_lots + o.hidden_lots == o.qty_lots, "lots lost"
        resting = 0
        while px != INT64_MAX:
            level = _level(m, px)
            shown = hidden = count = 0
            before, at = MATCH_NONE, level.head
            while at != MATCH_NONE:
                o = &match_orders(m)[at]
                assert o.state == STATE_BOOK and o.px_ticks == px and o.prev == before, "a queue is torn"
                assert bool(o.flags & MATCH_SELL) == (px >= m.best_ask), "an order on the wrong side"
                assert o.left_lots > 0 and o.hidden_lots >= 0, "an order without lots"
                shown += o.left_lots
                hidden += o.hidden_lots
                count += 1
                before, at = at, o.next
            assert (shown, hidden, count, before) == (level.qty_lots, level.hidden_lots, level.count, level.tail)
            assert count > 0, "an empty level has its bit"
            resting += count
            levels += 1
            px = match_above(m, px)
        assert resting == states[<int>STATE_BOOK], "an order that rests nowhere"
        used = m.dirty_count
        for i in range(m.config.pages_max):
            levels -= sum(_pages(m)[i].bits[which] >> at & 1 for which in range(4) for at in range(64))
            used -= _pages(m)[i].used
        assert levels == 0 and used + len(self._prices()) == 0, "pages and levels disagree"
        for which in range(3):
            heap = _heap(m, which, &sizes)
            for i in range(1, sizes[0]):
                assert not _before(m, which, heap[i], heap[(i - 1) // 2]), "a heap out of order"
            for i in range(sizes[0]):
                o = &match_orders(m)[heap[i]]
                assert (o.expire_at if which == 2 else o.trigger_at) == i + 1, "an order that its heap does not hold"
        assert m.above_count + m.below_count == states[<int>STATE_ARMED], "armed orders and heaps disagree"
        assert m.work_count == states[<int>STATE_QUEUED] + states[<int>STATE_DEAD], "the work queue is wrong"
        assert m.live_count + states[0] + states[<int>STATE_DEAD] == m.config.orders_max, "slots lost"
        assert states[<int>STATE_TAKING] == 0, "an order was left while it matched"

    def _prices(self):
        cdef int64_t px = match_above(self.c, -1)
        out = []
        while px != INT64_MAX:
            out.append(px)
            px = match_above(self.c, px)
        return out


cdef void _request(match_request_t* r, int64_t id, int owner, bint sell, int type, int64_t qty_lots, int64_t px_ticks,
                   int tif, int stp, int64_t trigger_px, int64_t trail, int64_t display_lots, int64_t expire_ns,
                   int64_t budget, int flags) noexcept nogil:
    memset(r, 0, sizeof(match_request_t))
    r.id, r.px_ticks, r.qty_lots, r.trigger_px = id, px_ticks, qty_lots, trigger_px
    r.trail, r.display_lots, r.expire_ns, r.budget = trail, display_lots, expire_ns, budget
    r.owner = <uint32_t>owner
    # Out of range stays out of range when it is cut to eight bits.
    r.type = <uint8_t>type if 0 <= type < 256 else 255
    r.tif = <uint8_t>tif if 0 <= tif < 256 else 255
    r.stp = <uint8_t>stp if 0 <= stp < 256 else 255
    r.flags = <uint8_t>(flags | (MATCH_SELL if sell else 0))

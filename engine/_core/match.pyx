cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport debug_assert, static_assert_c, unlikely
from engine._core.match_ends cimport end_order, make_order, queue_order, room_for_fill, tell
from engine._core.match_filters cimport admit_order, failed_filter, judge_order, pair_is_bad, refuse
from engine._core.match_heaps cimport heap_before, heap_of
from engine._core.match_levels cimport (
    find_level, level_above, level_below, level_of, page_fits, page_unuse, rest_order, touch_level, unrest_order,
)
from engine._core.match_slots cimport directory_of, index_of, lists_of, numbers_at, owners_of, pages_of
from engine._core.match_taking cimport enter_order, run_work, start_order
from engine._core.match_triggers cimport last_traded
from engine._core.memory cimport block_free, block_new
from engine._core.strategy_abi cimport TIF_GTX, TYPE_LIMIT, TYPE_STOP, TYPE_TRAILING
from engine._core.types cimport (
    MATCH_BAD_CONFIG, MATCH_BAD_ORDER, MATCH_FULL, MATCH_UNKNOWN, MATCH_WOULD_TAKE, OK, raise_status,
)


cdef extern from *:
    """
    /* The parts of this stem come from .pxd files, where every function must be inline. Whether it is worth it stays the
       compiler's choice: told to inline them all, it makes the path of a plain order 4 % slower. */
    #undef CYTHON_INLINE
    #define CYTHON_INLINE
    """


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
        lists_of(m)[i].next = i + 1 if i + 1 < config.lists_max else MATCH_NONE
    for i in range(config.pages_max):
        pages_of(m)[i].next = i + 1 if i + 1 < config.pages_max else MATCH_NONE
        for page in range(MATCH_PAGE):
            pages_of(m)[i].levels[page].head = pages_of(m)[i].levels[page].tail = MATCH_NONE
    for page in range((<uint64_t>config.px_max >> MATCH_PAGE_BITS) + 1):
        directory_of(m)[page] = MATCH_NONE
    return OK


cdef match_order_t* match_find(match_t* m, int64_t order) noexcept nogil:
    cdef uint32_t index = index_of(m, order) if order > 0 else MATCH_NONE
    return NULL if index == MATCH_NONE else &match_orders(m)[index]


cdef match_level_t* match_level(const match_t* m, int64_t px) noexcept nogil:
    return find_level(m, px)

cdef int64_t match_below(const match_t* m, int64_t px) noexcept nogil:
    return level_below(m, px)

cdef int64_t match_above(const match_t* m, int64_t px) noexcept nogil:
    return level_above(m, px)

cdef bint match_run(match_t* m) noexcept nogil:
    return run_work(m)


# --------------------------------------------------------------------------------------------------------- the way in


cdef int match_submit(match_t* m, const match_request_t* r) noexcept nogil:
    """Take one order in. OK: its events tell the rest. Otherwise nothing changed and `reason` says why."""
    cdef int status = admit_order(m, r)
    cdef uint32_t index
    if unlikely(status != OK):
        return status
    if unlikely(m.free_order == MATCH_NONE or not room_for_fill(m)):
        return refuse(m, MATCH_FULL, REASON_CAPACITY)
    index = make_order(m, r)
    tell(m, index, MATCHED_NEW, REASON_NONE, r.qty_lots)
    start_order(m, index)
    if unlikely(m.work_count):
        run_work(m)
    return OK


cdef int match_submit_list(match_t* m, uint32_t kind, const match_request_t* legs) noexcept nogil:
    """Two or three orders that know of each other: all of them enter, or none does."""
    cdef uint32_t what = kind & 7, count = 3 if what == LIST_OTOCO else 2, i, index, list_index
    cdef uint32_t orders, algo
    cdef int status
    cdef match_legs_t* made
    if what < LIST_OCO or what > LIST_OTOCO or kind & ~<uint32_t>(7 | LIST_HELD) or legs[0].owner == 0:
        return refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    for i in range(count):
        status = admit_order(m, &legs[i]) if i == 0 or what == LIST_OCO else judge_order(m, &legs[i])
        if status != OK:
            return status
        if legs[i].owner != legs[0].owner or (i and legs[i].id == legs[i - 1].id) or legs[i].type == TYPE_TRAILING:
            return refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    if what == LIST_OTOCO and legs[0].id == legs[2].id:
        return refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    if what != LIST_OCO and legs[0].type != TYPE_LIMIT:
        return refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    if (what == LIST_OCO and pair_is_bad(m, &legs[0], &legs[1], True)) or \
            (what == LIST_OTOCO and pair_is_bad(m, &legs[1], &legs[2], False)):
        return refuse(m, MATCH_BAD_ORDER, REASON_LIST)
    # Each leg was judged as if it were alone: together they must fit too.
    orders = owners_of(m)[legs[0].owner].orders + count
    algo = owners_of(m)[legs[0].owner].algo
    for i in range(count):
        algo += TYPE_STOP <= legs[i].type <= TYPE_TRAILING
    if orders > m.config.owner_orders_max:
        return refuse(m, MATCH_BAD_ORDER, REASON_MAX_ORDERS)
    if algo > m.config.owner_algo_max and algo > owners_of(m)[legs[0].owner].algo:
        return refuse(m, MATCH_BAD_ORDER, REASON_MAX_ALGO)
    if m.free_list == MATCH_NONE or m.live_count + m.work_count + count > m.config.orders_max \
            or not room_for_fill(m):
        return refuse(m, MATCH_FULL, REASON_CAPACITY)
    list_index = m.free_list
    made = &lists_of(m)[list_index]
    m.free_list = made.next
    made.kind = kind
    made.live = count
    made.legs[2] = MATCH_NONE
    for i in range(count):
        index = make_order(m, &legs[i])
        made.legs[i] = index
        match_orders(m)[index].list = list_index
        match_orders(m)[index].leg = <uint8_t>i
        match_orders(m)[index].state = STATE_PENDING
    for i in range(2 if what == LIST_OCO else 1):
        index = made.legs[i]
        if index == MATCH_NONE:
            # The first leg found no page to rest on and took this one with it.
            break
        tell(m, index, MATCHED_NEW, REASON_NONE, legs[i].qty_lots)
        match_orders(m)[index].state = STATE_TAKING
        start_order(m, index)
    run_work(m)
    return OK


# ----------------------------------------------------------------------------------------------------- later changes
cdef int match_cancel(match_t* m, int64_t order) noexcept nogil:
    cdef uint32_t index = index_of(m, order) if order > 0 else MATCH_NONE
    if index == MATCH_NONE:
        return refuse(m, MATCH_UNKNOWN, REASON_STATE)
    end_order(m, index, MATCHED_CANCELED, REASON_USER)
    return OK


cdef int match_expire(match_t* m, int64_t order) noexcept nogil:
    """The venue itself ends an order: no balance for it, a halt, a liquidation."""
    cdef uint32_t index = index_of(m, order) if order > 0 else MATCH_NONE
    if index == MATCH_NONE:
        return refuse(m, MATCH_UNKNOWN, REASON_STATE)
    end_order(m, index, MATCHED_EXPIRED, REASON_SELF)
    return OK


cdef int match_release(match_t* m, int64_t order) noexcept nogil:
    """Start a held leg that was announced."""
    cdef uint32_t index = index_of(m, order) if order > 0 else MATCH_NONE
    if index == MATCH_NONE:
        return refuse(m, MATCH_UNKNOWN, REASON_STATE)
    if match_orders(m)[index].state != STATE_READY:
        return refuse(m, MATCH_BAD_ORDER, REASON_STATE)
    queue_order(m, index)
    run_work(m)
    return OK


cdef int match_amend(match_t* m, int64_t order, int64_t px_ticks, int64_t qty_lots, bint keep_only) noexcept nogil:
    """Change a resting order. Less at the same price keeps its place; anything else goes to the back and may trade."""
    cdef uint32_t index = index_of(m, order) if order > 0 else MATCH_NONE
    cdef match_order_t* o
    cdef match_level_t* level
    cdef match_request_t r
    cdef int64_t left, cut
    cdef uint32_t reason
    if index == MATCH_NONE:
        return refuse(m, MATCH_UNKNOWN, REASON_STATE)
    o = &match_orders(m)[index]
    if o.state != STATE_BOOK:
        return refuse(m, MATCH_BAD_ORDER, REASON_STATE)
    left = qty_lots - o.filled_lots - o.prevented_lots
    if px_ticks < 1 or left < 1 or px_ticks > m.config.px_max or qty_lots > m.config.qty_max:
        return refuse(m, MATCH_BAD_ORDER, REASON_SHAPE)
    if px_ticks == o.px_ticks and qty_lots == o.qty_lots:
        return refuse(m, MATCH_BAD_ORDER, REASON_NO_CHANGE)
    if keep_only and (px_ticks != o.px_ticks or qty_lots > o.qty_lots):
        return refuse(m, MATCH_BAD_ORDER, REASON_STATE)
    if o.owner:
        memset(&r, 0, sizeof(r))
        r.id, r.px_ticks, r.qty_lots, r.owner, r.flags = o.id, px_ticks, qty_lots, o.owner, o.flags
        # The order that is amended counts as one already: only what its new terms are is judged.
        owners_of(m)[o.owner].orders -= 1
        reason = failed_filter(m, &r)
        owners_of(m)[o.owner].orders += 1
        if reason != REASON_NONE:
            return refuse(m, MATCH_BAD_ORDER, reason)
    if px_ticks == o.px_ticks and qty_lots < o.qty_lots:
        level = level_of(m, o.px_ticks)
        cut = min(o.qty_lots - qty_lots, o.hidden_lots)
        o.hidden_lots -= cut
        level.hidden_lots -= cut
        cut = o.qty_lots - qty_lots - cut
        o.left_lots -= cut
        level.qty_lots -= cut
        o.qty_lots = qty_lots
        touch_level(m, level, o.px_ticks)
        tell(m, index, MATCHED_AMENDED, REASON_NONE, qty_lots)
        return OK
    if not page_fits(m, px_ticks):
        return refuse(m, MATCH_FULL, REASON_CAPACITY)
    if o.tif == TIF_GTX:
        if (m.best_bid != 0 and m.best_bid >= px_ticks) if o.flags & MATCH_SELL else m.best_ask <= px_ticks:
            return refuse(m, MATCH_WOULD_TAKE, REASON_WOULD_TAKE)
    unrest_order(m, index)
    o.px_ticks = px_ticks
    o.qty_lots = qty_lots
    o.left_lots = left
    o.hidden_lots = 0
    tell(m, index, MATCHED_AMENDED, REASON_NONE, qty_lots)
    enter_order(m, index)
    run_work(m)
    return OK


cdef int match_requeue(match_t* m, int64_t order) noexcept nogil:
    """Send a resting order to the back of its price: somebody turned out to be there before it."""
    cdef uint32_t index = index_of(m, order) if order > 0 else MATCH_NONE
    if index == MATCH_NONE or match_orders(m)[index].state != STATE_BOOK:
        return refuse(m, MATCH_UNKNOWN, REASON_STATE)
    match_orders(m)[index].left_lots += match_orders(m)[index].hidden_lots
    level_of(m, match_orders(m)[index].px_ticks).hidden_lots -= match_orders(m)[index].hidden_lots
    level_of(m, match_orders(m)[index].px_ticks).qty_lots += match_orders(m)[index].hidden_lots
    match_orders(m)[index].hidden_lots = 0
    unrest_order(m, index)
    rest_order(m, index)
    return OK


cdef int match_resize(match_t* m, int64_t order, int64_t left_lots) noexcept nogil:
    """Give an order of the crowd another quantity where it stands: a recording says what is there, not who."""
    cdef uint32_t index = index_of(m, order) if order > 0 else MATCH_NONE
    cdef match_order_t* o
    cdef match_level_t* level
    if index == MATCH_NONE:
        return refuse(m, MATCH_UNKNOWN, REASON_STATE)
    o = &match_orders(m)[index]
    if o.owner or o.state != STATE_BOOK or o.hidden_lots or left_lots < 0 or left_lots > m.config.qty_max:
        return refuse(m, MATCH_BAD_ORDER, REASON_STATE)
    if left_lots == 0:
        end_order(m, index, MATCHED_CANCELED, REASON_USER)
        return OK
    level = level_of(m, o.px_ticks)
    level.qty_lots += left_lots - o.left_lots
    o.qty_lots += left_lots - o.left_lots
    o.left_lots = left_lots
    touch_level(m, level, o.px_ticks)
    return OK


cdef int match_crowd(match_t* m, int64_t order, bint sell, int64_t px_ticks, int64_t qty_lots) noexcept nogil:
    """Rest a new order of the crowd. MATCH_WOULD_TAKE when it would meet somebody: `match_submit` is its way then.

    What `match_submit` asks of an order with a type, an owner and a number that may be somebody's is left out: the
    caller gives each number once, and has held price and quantity against the book's range.
    """
    cdef match_request_t r
    if (m.best_bid >= px_ticks and m.best_bid != 0) if sell else m.best_ask <= px_ticks:
        return MATCH_WOULD_TAKE
    if unlikely(m.halted):
        return refuse(m, MATCH_BAD_ORDER, REASON_HALTED)
    if unlikely(m.free_order == MATCH_NONE or not room_for_fill(m) or not page_fits(m, px_ticks)):
        return refuse(m, MATCH_FULL, REASON_CAPACITY)
    memset(&r, 0, sizeof(r))
    r.id, r.px_ticks, r.qty_lots = order, px_ticks, qty_lots
    r.flags = MATCH_SELL if sell else 0
    rest_order(m, make_order(m, &r))
    return OK


cdef void match_crowd_resize(match_t* m, uint32_t index, match_level_t* level, int64_t left_lots) noexcept nogil:
    """`match_resize` of an order that the caller has found on this level, the crowd's own."""
    cdef match_order_t* o = &match_orders(m)[index]
    debug_assert(o.owner == 0 and o.state == STATE_BOOK and 0 <= left_lots <= m.config.qty_max)
    if left_lots == 0:
        end_order(m, index, MATCHED_CANCELED, REASON_USER)
        return
    level.qty_lots += left_lots - o.left_lots
    o.qty_lots += left_lots - o.left_lots
    o.left_lots = left_lots
    touch_level(m, level, o.px_ticks)


cdef void match_set_last(match_t* m, int64_t px) noexcept nogil:
    """A price from outside, before the first trade or from a recording: it fires triggers like a trade."""
    last_traded(m, px)
    run_work(m)


cdef int match_advance(match_t* m, int64_t now_ns) noexcept nogil:
    """Time passes: what was good until now ends."""
    cdef uint32_t index
    if now_ns < m.now_ns:
        return refuse(m, MATCH_BAD_ORDER, REASON_SHAPE)
    m.now_ns = now_ns
    while m.expire_count:
        index = numbers_at(m, m.offset_expire)[0]
        if match_orders(m)[index].expire_ns > now_ns:
            break
        end_order(m, index, MATCHED_EXPIRED, REASON_EXPIRY)
    return OK


cdef int64_t match_cost(const match_t* m, bint sell, int64_t qty_lots) noexcept nogil:
    """What taking this much costs now, in ticks x lots; -1 when the book does not hold it."""
    cdef int64_t px = m.best_bid if sell else m.best_ask, total = 0, lots
    while qty_lots > 0 and px != 0 and px != INT64_MAX:
        lots = min(qty_lots, level_of(m, px).qty_lots + level_of(m, px).hidden_lots)
        total += lots * px
        qty_lots -= lots
        px = level_below(m, px) if sell else level_above(m, px)
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
        return admit_order(self.c, &r)

    def submit_list(self, int kind, legs):
        """`legs`: two or three dictionaries of what `submit` takes."""
        cdef match_request_t[3] r
        cdef int i, count = 3 if kind & 7 == LIST_OTOCO else 2
        if len(legs) != count:
            return refuse(self.c, MATCH_BAD_ORDER, REASON_LIST)
        for i in range(count):
            leg = {"px_ticks": 0, "tif": 0, "stp": 0, "trigger_px": 0, "trail": 0, "display_lots": 0, "expire_ns": 0,
                   "budget": 0, "flags": 0} | legs[i]
            _request(&r[i], leg["id"], leg["owner"], leg["sell"], leg["type"], leg["qty_lots"], leg["px_ticks"],
                     leg["tif"], leg["stp"], leg["trigger_px"], leg["trail"], leg["display_lots"], leg["expire_ns"],
                     leg["budget"], leg["flags"])
        return match_submit_list(self.c, <uint32_t>kind, r)

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
        return run_work(self.c)

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
            out.append((px, level_of(self.c, px).qty_lots))
            px = level_above(self.c, px) if sell else level_below(self.c, px)
        return out

    def lots_at(self, int64_t px):
        """Shown lots at a price: positive a bid, negative an ask, 0 none."""
        cdef match_level_t* level = find_level(self.c, px)
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
            level_of(self.c, dirty[i]).dirty = 0
            page_unuse(self.c, <uint64_t>dirty[i] >> MATCH_PAGE_BITS)
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
        cdef match_level_t* level = find_level(self.c, px)
        cdef uint32_t at = MATCH_NONE if level == NULL else level.head
        out = []
        while at != MATCH_NONE:
            out.append(match_orders(self.c)[at].id)
            at = match_orders(self.c)[at].next
        return out

    def owner_counts(self, int owner):
        """Open orders, trigger orders and icebergs of one owner."""
        cdef match_owner_t* o = &owners_of(self.c)[owner]
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
        cdef int64_t px = level_above(m, -1), shown, hidden, levels = 0
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
                assert index_of(m, o.id) == i, "an order that its number does not find"
                assert o.filled_lots + o.prevented_lots + o.left_lots + o.hidden_lots == o.qty_lots, "lots lost"
        resting = 0
        while px != INT64_MAX:
            level = level_of(m, px)
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
            px = level_above(m, px)
        assert resting == states[<int>STATE_BOOK], "an order that rests nowhere"
        used = m.dirty_count
        for i in range(m.config.pages_max):
            levels -= sum(pages_of(m)[i].bits[which] >> at & 1 for which in range(4) for at in range(64))
            used -= pages_of(m)[i].used
        assert levels == 0 and used + len(self._prices()) == 0, "pages and levels disagree"
        for which in range(3):
            heap = heap_of(m, which, &sizes)
            for i in range(1, sizes[0]):
                assert not heap_before(m, which, heap[i], heap[(i - 1) // 2]), "a heap out of order"
            for i in range(sizes[0]):
                o = &match_orders(m)[heap[i]]
                assert (o.expire_at if which == 2 else o.trigger_at) == i + 1, "an order that its heap does not hold"
        assert m.above_count + m.below_count == states[<int>STATE_ARMED], "armed orders and heaps disagree"
        assert m.work_count == states[<int>STATE_QUEUED] + states[<int>STATE_DEAD], "the work queue is wrong"
        assert m.live_count + states[0] + states[<int>STATE_DEAD] == m.config.orders_max, "slots lost"
        assert m.own_count == sum(owners_of(m)[i].orders for i in range(m.config.owners_max)), "orders of owners miscounted"
        assert states[<int>STATE_TAKING] == 0, "an order was left while it matched"

    def _prices(self):
        cdef int64_t px = level_above(self.c, -1)
        out = []
        while px != INT64_MAX:
            out.append(px)
            px = level_above(self.c, px)
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

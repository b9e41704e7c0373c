cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.order_table import OrderEvent, OrderState, transitions

from engine._core.debug cimport static_assert_c, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.order_table cimport order_next
from engine._core.orders_lists cimport ids_of, key_of, keys_of, link, release_oldest, retire, tally
from engine._core.orders_states cimport apply_event, drop_amend, enter
from engine._core.recent cimport (
    probe_find, probe_put, probe_slots, probe_t, recent_bytes, recent_check, recent_entry_t, recent_find,
    recent_init, recent_put,
)
from engine._core.types cimport (
    OK, ORDER_BAD_TERMS, ORDER_BUSY, ORDER_DUPLICATE_FILL, ORDER_DUPLICATE_ID, ORDER_ILLEGAL, ORDER_LATE_FILL,
    ORDER_MISMATCH, ORDER_OVERFILL, ORDER_TABLE_FULL, ORDER_UNKNOWN_ID, raise_status,
)

cdef extern from * nogil:
    """
    static inline int bot4_add_product(int64_t a, int64_t b, int64_t c, int64_t* out) {
        int64_t p;
        return __builtin_mul_overflow(b, c, &p) || __builtin_add_overflow(a, p, out);
    }
    """
    bint add_product_overflows "bot4_add_product"(int64_t a, int64_t b, int64_t c, int64_t* out) noexcept

cdef int64_t COUNTER_MASK = (<int64_t>1 << 40) - 1
cdef int RELEASED_PER_CALL = 64

OrderType = order_type_t
OrderTif = order_tif_t
OrderFlag = order_flag_t
OrderActionKind = order_action_kind_t


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(order_t) == 192)
    static_assert_c(sizeof(orders_t) == 256)
    static_assert_c(sizeof(orders_symbol_t) == 64)
    static_assert_c(sizeof(order_terms_t) == 68 + 4)
    static_assert_c(sizeof(order_fill_t) == 48)


# ------------------------------------------------------------------------------------------------------------ set-up
cdef orders_config_t orders_config(uint64_t capacity, uint64_t symbol_count, int64_t epoch) noexcept nogil:
    """Sizes and deadlines that fit most uses: four requests and eight fills remembered for each order."""
    cdef orders_config_t c
    c.capacity = capacity
    c.symbol_count = symbol_count
    c.requests_kept = 4 * capacity
    c.fills_kept = 8 * capacity
    c.epoch = epoch
    c.ack_ns = 5_000_000_000
    c.cancel_ns = 5_000_000_000
    c.replace_ns = 5_000_000_000
    c.unknown_ns = 30_000_000_000
    return c


cdef size_t orders_bytes(const orders_config_t* c) noexcept nogil:
    return (sizeof(orders_t) + c.symbol_count * sizeof(orders_symbol_t) + c.capacity * sizeof(order_t)
            + 2 * probe_slots(c.capacity) * sizeof(probe_t) + recent_bytes(c.requests_kept)
            + recent_bytes(c.fills_kept))


cdef int orders_init(orders_t* t, const orders_config_t* c) noexcept nogil:
    """Make an empty table in a block of `orders_bytes` bytes."""
    cdef uint64_t i, slots = probe_slots(c.capacity)
    if (not 1 <= c.capacity <= 65536 or not 1 <= c.symbol_count <= 1024 or c.requests_kept < c.capacity
            or not 1 <= c.fills_kept <= 1 << 24 or c.requests_kept > 1 << 24 or not 0 < c.epoch < 1 << 22
            or c.ack_ns <= 0 or c.cancel_ns <= 0 or c.replace_ns <= 0 or c.unknown_ns <= 0):
        return ORDER_BAD_TERMS
    memset(t, 0, orders_bytes(c))
    t.capacity = c.capacity
    t.symbol_count = c.symbol_count
    t.epoch = c.epoch
    t.ack_ns = c.ack_ns
    t.cancel_ns = c.cancel_ns
    t.replace_ns = c.replace_ns
    t.unknown_ns = c.unknown_ns
    t.due_least_ns = NEVER_NS
    t.index_mask = slots - 1
    t.slots_at = sizeof(orders_t) + c.symbol_count * sizeof(orders_symbol_t)
    t.ids_at = t.slots_at + c.capacity * sizeof(order_t)
    t.keys_at = t.ids_at + slots * sizeof(probe_t)
    t.requests_at = t.keys_at + slots * sizeof(probe_t)
    t.fills_at = t.requests_at + recent_bytes(c.requests_kept)
    recent_init(orders_requests(t), c.requests_kept, DAY_NS)
    recent_init(orders_fills(t), c.fills_kept, DAY_NS)
    t.live_head = t.ended_head = t.ended_tail = ORDER_NONE
    for i in range(c.symbol_count):
        orders_symbols(t)[i].head = ORDER_NONE
    for i in range(c.capacity):
        orders_slots(t)[i].next_all = <uint32_t>(i + 1) if i + 1 < c.capacity else <uint32_t>ORDER_NONE
    t.free_head = 0
    return OK


# --------------------------------------------------------------------------------------------------- lists and indexes
# ----------------------------------------------------------------------------------------------------------- creating
cdef bint terms_are_whole(const orders_t* t, const order_terms_t* a, int64_t now_ns) noexcept nogil:
    cdef bint limit = a.type in (TYPE_LIMIT, TYPE_STOP_LIMIT, TYPE_TAKE_PROFIT_LIMIT, TYPE_ICEBERG)
    cdef bint conditional = TYPE_STOP <= a.type <= TYPE_TRAILING
    cdef int64_t value = 0
    return (a.symbol < t.symbol_count and a.type < TYPE_COUNT and a.tif < TIF_COUNT and a.sell <= 1
            and (a.flags & ~ORDER_FLAGS_ASKED) == 0 and 0 < a.qty_lots <= LOTS_MAX and a.id_order >= 0
            and (a.px_ticks > 0 if limit else a.px_ticks == 0)
            and (a.px_stop_ticks > 0 if conditional else a.px_stop_ticks == 0)
            and not add_product_overflows(0, max(a.px_ticks, a.px_stop_ticks), a.qty_lots, &value)
            and (a.tif != TIF_GTX or a.type == TYPE_LIMIT)
            and (a.type != TYPE_MARKET or a.tif == TIF_IOC or a.tif == TIF_FOK)
            and (a.ts_expire_ns > now_ns if a.tif == TIF_GTD else a.ts_expire_ns == 0)
            and (0 < a.display_lots <= a.qty_lots and a.tif == TIF_GTC if a.type == TYPE_ICEBERG
                 else a.display_lots == 0))


cdef order_t* _take_slot(orders_t* t, const order_terms_t* a, int64_t id_order, uint16_t flags,
                         int64_t now_ns) noexcept nogil:
    """A record filled from the terms and known by its id; not yet in any list and without a state."""
    cdef uint32_t slot
    cdef order_t* o
    if t.free_head == <uint32_t>ORDER_NONE:
        if t.ended_head == <uint32_t>ORDER_NONE:
            return NULL
        release_oldest(t)
    slot = t.free_head
    o = &orders_slots(t)[slot]
    t.free_head = o.next_all
    memset(o, 0, sizeof(order_t))
    o.id_order = id_order
    o.qty_lots = a.qty_lots
    o.px_ticks = a.px_ticks
    o.px_stop_ticks = a.px_stop_ticks
    o.display_lots = a.display_lots
    o.ts_expire_ns = a.ts_expire_ns
    o.bracket = a.bracket
    o.leg = a.leg
    o.symbol = a.symbol
    o.strategy = a.strategy
    o.signal = a.signal
    o.tag = a.tag
    o.sell = a.sell
    o.type = a.type
    o.tif = a.tif
    o.flags = flags
    o.deadline_ns = NEVER_NS
    o.ts_created_ns = now_ns
    o.ts_changed_ns = now_ns
    probe_put(ids_of(t), t.index_mask, <uint64_t>id_order, 1, slot)
    recent_put(orders_requests(t), <uint64_t>id_order, 1, now_ns)
    if flags & ORDER_KEYED:
        probe_put(keys_of(t), t.index_mask, key_of(o.strategy, o.symbol, o.sell, o.tag), 1, slot)
    # An id given from outside never comes out of the counter again, whoever gave it.
    if (id_order >> 40) == t.epoch and (id_order & COUNTER_MASK) > t.counter:
        t.counter = id_order & COUNTER_MASK
    return o


cdef int orders_create(orders_t* t, const order_terms_t* terms, int64_t now_ns, order_t** out) noexcept nogil:
    """A new order in CREATED, counted in the exposure from now on. With an id that was seen within 24 h nothing is
    created: ORDER_DUPLICATE_ID, and the record in `out` if it is still here; `orders_answer` has the verdict."""
    cdef int64_t id_order = terms.id_order
    cdef order_t* o
    out[0] = NULL
    if unlikely(not terms_are_whole(t, terms, now_ns)):
        t.terms_count += 1
        return ORDER_BAD_TERMS
    if id_order != 0:
        out[0] = orders_find(t, id_order)
        if out[0] != NULL or recent_find(orders_requests(t), <uint64_t>id_order, 1, now_ns) != NULL:
            t.duplicate_id_count += 1
            return ORDER_DUPLICATE_ID
    if probe_find(keys_of(t), t.index_mask, key_of(terms.strategy, terms.symbol, terms.sell, terms.tag), 1).b != 0:
        t.busy_count += 1
        return ORDER_BUSY
    if id_order == 0:
        id_order = (t.epoch << 40) | (t.counter + 1)
    o = _take_slot(t, terms, id_order, terms.flags | ORDER_KEYED, now_ns)
    if unlikely(o == NULL):
        t.refused_count += 1
        return ORDER_TABLE_FULL
    o.state = STATE_CREATED
    link(t, o)
    tally(t, o, 1)
    out[0] = o
    return OK


cdef int orders_adopt(orders_t* t, const order_terms_t* terms, int64_t id_venue, int64_t filled_lots,
                      int64_t filled_value, int64_t now_ns, order_t** out) noexcept nogil:
    """An order found open at the venue: it gets every right of one of ours. Twice the same one changes nothing."""
    cdef uint16_t flags = terms.flags | ORDER_ADOPTED
    cdef order_t* o
    out[0] = NULL
    # Its good-till date may have come meanwhile; it is adopted all the same and cancelled when due.
    if unlikely(not terms_are_whole(t, terms, -1) or terms.id_order == 0
                or not 0 <= filled_lots < terms.qty_lots):
        t.terms_count += 1
        return ORDER_BAD_TERMS
    o = orders_find(t, terms.id_order)
    if o != NULL:
        out[0] = o
        t.duplicate_id_count += 1
        return ORDER_DUPLICATE_ID
    # Never dropped: when its place is taken it lives beside, outside the index, and the reader of the count is told.
    if terms.strategy != STRATEGY_NONE:
        if probe_find(keys_of(t), t.index_mask, key_of(terms.strategy, terms.symbol, terms.sell, terms.tag), 1).b == 0:
            flags |= ORDER_KEYED
        else:
            t.busy_count += 1
    o = _take_slot(t, terms, terms.id_order, flags, now_ns)
    if unlikely(o == NULL):
        t.refused_count += 1
        return ORDER_TABLE_FULL
    o.id_venue = id_venue
    o.filled_lots = filled_lots
    o.filled_value = filled_value
    o.told_lots = filled_lots
    link(t, o)
    enter(t, o, TO_WORKING, now_ns)
    tally(t, o, 1)
    out[0] = o
    return OK


# -------------------------------------------------------------------------------------------------------- transitions
cdef int orders_apply(orders_t* t, order_t* o, int what, int64_t now_ns) noexcept nogil:
    """Move an order along the table; an illegal event changes nothing, is counted and is a status."""
    return orders_report(t, o, what, 0, now_ns)


cdef int orders_report(orders_t* t, order_t* o, int what, int64_t told_lots, int64_t now_ns) noexcept nogil:
    """The same for a report that carries the venue's tally of the order's fills."""
    # These carry quantities and have functions of their own.
    if unlikely(what < 0 or what >= ON_COUNT or what == ON_FILL_PART or what == ON_FILL_REST
                or what == ON_REPLACE_ASKED or what == ON_REPLACED):
        t.illegal_count += 1
        return ORDER_ILLEGAL
    return apply_event(t, o, what, told_lots, now_ns)


cdef int orders_deny(orders_t* t, order_t* o, uint64_t reasons, int64_t now_ns) noexcept nogil:
    """The gate's no, with every rule that failed: kept, so that the same request gets the same answer."""
    if order_next(o.state, ON_DENY) != STATE_FREE:
        o.reasons = reasons
    return apply_event(t, o, ON_DENY, 0, now_ns)


cdef int orders_ask_replace(orders_t* t, order_t* o, int64_t px_ticks, int64_t qty_lots, int64_t now_ns) noexcept nogil:
    """An amend goes out. Until it is answered the order counts with the larger quantity."""
    cdef int64_t value = 0
    if order_next(o.state, ON_REPLACE_ASKED) == STATE_FREE:
        t.illegal_count += 1
        return ORDER_ILLEGAL
    if (not o.filled_lots < qty_lots <= LOTS_MAX or (px_ticks <= 0) != (o.px_ticks == 0) or px_ticks < 0
            or add_product_overflows(0, px_ticks, qty_lots, &value)):
        t.terms_count += 1
        return ORDER_BAD_TERMS
    tally(t, o, -1)
    o.qty_new_lots = qty_lots
    o.px_new_ticks = px_ticks
    enter(t, o, STATE_PENDING_REPLACE, now_ns)
    tally(t, o, 1)
    return OK


cdef int orders_replaced(orders_t* t, order_t* o, int64_t px_ticks, int64_t qty_lots, int64_t now_ns) noexcept nogil:
    """The venue amended: these are the price and quantity that hold. Fills in between stay counted."""
    cdef int target = order_next(o.state, ON_REPLACED)
    if target == STATE_FREE:
        t.illegal_count += 1
        return ORDER_ILLEGAL
    if not order_is_live(o):
        t.repeat_count += 1
        return OK
    if (qty_lots < o.filled_lots or qty_lots < o.told_lots or not 0 < qty_lots <= LOTS_MAX or px_ticks < 0
            or (px_ticks == 0) != (o.px_ticks == 0)):
        t.terms_count += 1
        return ORDER_BAD_TERMS
    tally(t, o, -1)
    o.qty_lots = qty_lots
    o.px_ticks = px_ticks
    o.qty_new_lots = 0
    o.px_new_ticks = 0
    enter(t, o, TO_WORKING if o.filled_lots >= qty_lots else target, now_ns)
    tally(t, o, 1)
    if not order_is_live(o):
        retire(t, o)
    return OK


cdef int orders_fill(orders_t* t, const order_fill_t* f, int64_t now_ns, order_t** out) noexcept nogil:
    """Book a fill on its order, once. OK and ORDER_LATE_FILL mean applied, and the caller books it in the ledger;
    ORDER_UNKNOWN_ID means a fill of no order of ours: it is remembered, the ledger takes it, someone is told."""
    cdef uint32_t b = (<uint32_t>f.symbol << 1) | (1 if f.sell else 0)
    cdef int64_t bound, value = 0
    cdef bint was_live
    cdef int target
    cdef order_t* o
    out[0] = NULL
    if unlikely(f.symbol >= t.symbol_count or f.sell > 1 or not 0 < f.qty_lots <= LOTS_MAX or f.px_ticks <= 0
                or f.id_trade < 0 or f.told_lots < 0):
        t.terms_count += 1
        return ORDER_BAD_TERMS
    b += 1
    if unlikely(recent_find(orders_fills(t), <uint64_t>f.id_trade, b, now_ns) != NULL):
        t.duplicate_fill_count += 1
        return ORDER_DUPLICATE_FILL
    o = orders_find(t, f.id_order)
    if unlikely(o == NULL):
        t.unknown_id_count += 1
        recent_put(orders_fills(t), <uint64_t>f.id_trade, b, now_ns)
        return ORDER_UNKNOWN_ID
    out[0] = o
    if unlikely(o.symbol != f.symbol or o.sell != f.sell):
        t.terms_count += 1
        return ORDER_MISMATCH
    bound = order_bound_lots(o)
    if unlikely(f.qty_lots > bound - o.filled_lots or f.told_lots > bound):
        t.overfill_count += 1
        return ORDER_OVERFILL
    target = order_next(o.state, ON_FILL_REST if f.qty_lots == bound - o.filled_lots else ON_FILL_PART)
    if unlikely(target == STATE_FREE):
        t.illegal_count += 1
        return ORDER_ILLEGAL
    if unlikely(add_product_overflows(o.filled_value, f.px_ticks, f.qty_lots, &value)):
        t.terms_count += 1
        return ORDER_BAD_TERMS
    recent_put(orders_fills(t), <uint64_t>f.id_trade, b, now_ns)
    was_live = order_is_live(o)
    tally(t, o, -1)
    o.filled_lots += f.qty_lots
    o.filled_value = value
    if o.told_lots < f.told_lots:
        o.told_lots = f.told_lots
    if o.told_lots < o.filled_lots:
        o.told_lots = o.filled_lots
    enter(t, o, target, now_ns)
    if not order_is_live(o):
        drop_amend(o)
    tally(t, o, 1)
    if not was_live:
        t.late_fill_count += 1
        return ORDER_LATE_FILL
    if not order_is_live(o):
        retire(t, o)
    return OK


# --------------------------------------------------------------------------------------------------- time and look-ups
cdef uint64_t orders_due(orders_t* t, int64_t now_ns, order_action_t* out, uint64_t out_max) noexcept nogil:
    """What time has brought: requests without an answer become UNKNOWN, dates pass, old records go. Bounded by
    `out_max`; what does not fit is due again at the next call. Free while nothing is due: one compare."""
    cdef uint64_t count = 0
    cdef uint32_t at = t.live_head
    cdef int64_t least = NEVER_NS
    cdef order_t* o
    cdef int i
    for i in range(RELEASED_PER_CALL):
        if t.ended_head == <uint32_t>ORDER_NONE or now_ns - orders_slots(t)[t.ended_head].ts_changed_ns <= DAY_NS:
            break
        release_oldest(t)
    if now_ns < t.due_least_ns:
        return 0
    while at != <uint32_t>ORDER_NONE:
        o = &orders_slots(t)[at]
        if o.deadline_ns <= now_ns and count < out_max:
            out[count].id_order = o.id_order
            out[count].slot = at
            if o.state == STATE_UNKNOWN:
                out[count].kind = ORDER_ACTION_ALARM
                o.deadline_ns = now_ns + t.unknown_ns
            elif o.state == STATE_OPEN or o.state == STATE_PARTIAL:
                # The cancel itself is the caller's; until it has asked, the date stays passed.
                out[count].kind = ORDER_ACTION_CANCEL
                o.deadline_ns = now_ns + t.cancel_ns
            else:
                out[count].kind = ORDER_ACTION_QUERY
                apply_event(t, o, ON_TIMEOUT, 0, now_ns)
            count += 1
        if o.deadline_ns < least:
            least = o.deadline_ns
        at = o.next_all
    t.due_least_ns = least
    return count


cdef order_t* orders_find(orders_t* t, int64_t id_order) noexcept nogil:
    """The record of this id, live or ended, or NULL."""
    cdef probe_t* slot = probe_find(ids_of(t), t.index_mask, <uint64_t>id_order, 1)
    return &orders_slots(t)[slot.index] if slot.b else NULL


cdef order_t* orders_find_key(orders_t* t, uint16_t strategy, uint16_t symbol, bint sell, uint16_t tag) noexcept nogil:
    """The one live order of this intent, or NULL."""
    cdef probe_t* slot = probe_find(keys_of(t), t.index_mask, key_of(strategy, symbol, sell, tag), 1)
    return &orders_slots(t)[slot.index] if slot.b else NULL


cdef void orders_answer(orders_t* t, int64_t id_order, int64_t now_ns, order_answer_t* out) noexcept nogil:
    """What became of a request, from memory: the record while it is here, the cache for 24 h."""
    cdef order_t* o = orders_find(t, id_order)
    cdef recent_entry_t* entry
    memset(out, 0, sizeof(order_answer_t))
    if o != NULL:
        out.known = 1
        out.state = o.state
        out.reasons = o.reasons
        return
    entry = recent_find(orders_requests(t), <uint64_t>id_order, 1, now_ns)
    if entry != NULL:
        out.known = 1
        out.state = entry.mark
        out.reasons = entry.value


cdef int orders_check(orders_t* t) noexcept nogil:
    """Walk every invariant; 0, or the number of the first one that is broken."""
    cdef uint64_t i, live = 0, ended = 0, free = 0
    cdef uint32_t at, before
    cdef orders_symbol_t row, sums
    cdef order_t* o
    for i in range(t.symbol_count):
        row = orders_symbols(t)[i]
        memset(&sums, 0, sizeof(sums))
        at, before = row.head, <uint32_t>ORDER_NONE
        while at != <uint32_t>ORDER_NONE:
            o = &orders_slots(t)[at]
            if o.symbol != i or not order_is_live(o) or o.prev != before:
                return 1
            sums.live_count += 1
            before, at = at, o.next
        if sums.live_count != row.live_count:
            return 2
        live += row.live_count
    if live != t.live_count:
        return 3
    at, before, live = t.live_head, <uint32_t>ORDER_NONE, 0
    while at != <uint32_t>ORDER_NONE:
        o = &orders_slots(t)[at]
        if not order_is_live(o) or o.prev_all != before or o.deadline_ns < t.due_least_ns:
            return 4
        live += 1
        before, at = at, o.next_all
    at, before = t.ended_head, <uint32_t>ORDER_NONE
    while at != <uint32_t>ORDER_NONE:
        o = &orders_slots(t)[at]
        if order_is_live(o) or o.state == STATE_FREE or o.prev_all != before or o.qty_new_lots != 0:
            return 5
        ended += 1
        before, at = at, o.next_all
    at = t.free_head
    while at != <uint32_t>ORDER_NONE:
        if orders_slots(t)[at].state != STATE_FREE:
            return 6
        free += 1
        at = orders_slots(t)[at].next_all
    if live != t.live_count or ended != t.ended_count or live + ended + free != t.capacity:
        return 7
    return records_hold(t)


cdef int records_hold(orders_t* t) noexcept nogil:
    """What holds for each record and each sum, whichever list it stands in."""
    cdef uint64_t i, k, keyed = 0, ids = 0, used
    cdef orders_symbol_t* row
    cdef orders_symbol_t sums
    cdef int64_t lots
    cdef order_t* o
    for i in range(t.symbol_count):
        row = &orders_symbols(t)[i]
        memset(&sums, 0, sizeof(sums))
        for k in range(t.capacity):
            o = &orders_slots(t)[k]
            if o.state == STATE_FREE or o.symbol != i:
                continue
            lots = order_exposure_lots(o)
            if (o.state >= STATE_COUNT or not 0 <= o.filled_lots <= o.told_lots
                    or o.told_lots > order_bound_lots(o) or lots < 0):
                return 8
            if orders_find(t, o.id_order) != o:
                return 9
            ids += 1
            if o.flags & ORDER_KEYED:
                keyed += 1
                if orders_find_key(t, o.strategy, o.symbol, o.sell, o.tag) != o:
                    return 10
            if o.sell:
                sums.open_sell_lots += lots
                sums.unknown_sell_lots += lots if o.state == STATE_UNKNOWN else 0
                sums.reduce_sell_lots += lots if o.flags & ORDER_REDUCE_ONLY else 0
            else:
                sums.open_buy_lots += lots
                sums.unknown_buy_lots += lots if o.state == STATE_UNKNOWN else 0
                sums.reduce_buy_lots += lots if o.flags & ORDER_REDUCE_ONLY else 0
        if (sums.open_buy_lots != row.open_buy_lots or sums.open_sell_lots != row.open_sell_lots
                or sums.unknown_buy_lots != row.unknown_buy_lots or sums.unknown_sell_lots != row.unknown_sell_lots
                or sums.reduce_buy_lots != row.reduce_buy_lots or sums.reduce_sell_lots != row.reduce_sell_lots):
            return 11
    used = 0
    for k in range(t.index_mask + 1):
        used += ids_of(t)[k].b
    if used != ids:
        return 12
    used = 0
    for k in range(t.index_mask + 1):
        used += keys_of(t)[k].b
    if used != keyed:
        return 13
    return 0 if recent_check(orders_requests(t)) and recent_check(orders_fills(t)) else 14


# ------------------------------------------------------------------------------------------------- the face for Python
cdef orders_symbol_t _symbol_row
ORDERS_SYMBOL = np.asarray(<orders_symbol_t[:1]>&_symbol_row).dtype


@cython.final
cdef class Orders:
    """A table of its own: for tests and tools. Methods return the status, and the record's id where there is one."""

    def __cinit__(self, *, uint64_t capacity=16, uint64_t symbols=2, int64_t epoch=1, requests_kept=None,
                  fills_kept=None, int64_t ack_ns=100, int64_t cancel_ns=100, int64_t replace_ns=100,
                  int64_t unknown_ns=1000):
        cdef orders_config_t c = orders_config(capacity, symbols, epoch)
        c.requests_kept = requests_kept or c.requests_kept
        c.fills_kept = fills_kept or c.fills_kept
        c.ack_ns, c.cancel_ns, c.replace_ns, c.unknown_ns = ack_ns, cancel_ns, replace_ns, unknown_ns
        self.size = orders_bytes(&c)
        self.c = <orders_t*>block_new(self.size)
        if orders_init(self.c, &c) != OK:
            raise_status(ORDER_BAD_TERMS, f"capacity={capacity}, symbols={symbols}, epoch={epoch}")

    def __dealloc__(self):
        block_free(self.c)

    def create(self, *, int64_t id_order=0, uint16_t symbol=0, uint16_t strategy=0, uint16_t tag=0, uint8_t sell=0,
               uint8_t type=TYPE_LIMIT, uint8_t tif=TIF_GTC, int64_t px=100, int64_t px_stop=0, int64_t qty=1,
               int64_t display=0, int64_t expire=0, uint8_t flags=0, uint16_t signal=0, uint32_t bracket=0,
               uint32_t leg=0, int64_t now=0, adopt=None):
        """(status, id). `adopt` is (id_venue, filled_lots, filled_value) of an order found at the venue."""
        cdef order_terms_t a
        cdef order_t* o = NULL
        cdef int status
        memset(&a, 0, sizeof(a))
        a.id_order, a.symbol, a.strategy, a.tag, a.sell, a.type, a.tif = id_order, symbol, strategy, tag, sell, type, tif
        a.px_ticks, a.px_stop_ticks, a.qty_lots, a.display_lots, a.ts_expire_ns = px, px_stop, qty, display, expire
        a.flags, a.signal, a.bracket, a.leg = flags, signal, bracket, leg
        if adopt is None:
            status = orders_create(self.c, &a, now, &o)
        else:
            status = orders_adopt(self.c, &a, adopt[0], adopt[1], adopt[2], now, &o)
        return status, o.id_order if o != NULL else 0

    def apply(self, int64_t id_order, int what, *, int64_t told=0, int64_t now=0):
        cdef order_t* o = orders_find(self.c, id_order)
        return ORDER_UNKNOWN_ID if o == NULL else orders_report(self.c, o, what, told, now)

    def deny(self, int64_t id_order, uint64_t reasons, *, int64_t now=0):
        cdef order_t* o = orders_find(self.c, id_order)
        return ORDER_UNKNOWN_ID if o == NULL else orders_deny(self.c, o, reasons, now)

    def send(self, int64_t id_order, *, int64_t now=0):
        """The three steps from CREATED to SENT."""
        for what in (ON_GATE, ON_JOURNAL, ON_SEND):
            status = self.apply(id_order, what, now=now)
        return status

    def ask_replace(self, int64_t id_order, *, int64_t px, int64_t qty, int64_t now=0):
        cdef order_t* o = orders_find(self.c, id_order)
        return ORDER_UNKNOWN_ID if o == NULL else orders_ask_replace(self.c, o, px, qty, now)

    def replaced(self, int64_t id_order, *, int64_t px, int64_t qty, int64_t now=0):
        cdef order_t* o = orders_find(self.c, id_order)
        return ORDER_UNKNOWN_ID if o == NULL else orders_replaced(self.c, o, px, qty, now)

    def fill(self, int64_t id_order, *, int64_t trade, int64_t qty, int64_t px=100, int64_t told=0, uint16_t symbol=0,
             uint16_t sell=0, int64_t now=0):
        cdef order_fill_t f
        cdef order_t* o = NULL
        memset(&f, 0, sizeof(f))
        f.id_order, f.id_trade, f.px_ticks, f.qty_lots, f.told_lots = id_order, trade, px, qty, told
        f.symbol, f.sell = symbol, sell
        return orders_fill(self.c, &f, now, &o)

    def due(self, int64_t now, *, uint64_t out_max=64):
        """The actions that time brings, as (kind, id)."""
        cdef order_action_t out[64]
        cdef uint64_t i, count = orders_due(self.c, now, out, out_max if out_max < <uint64_t>64 else 64)
        return [(order_action_kind_t(out[i].kind), out[i].id_order) for i in range(count)]

    def answer(self, int64_t id_order, *, int64_t now=0):
        """(state, reasons) from memory, or None."""
        cdef order_answer_t a
        orders_answer(self.c, id_order, now, &a)
        return (OrderState(a.state), a.reasons) if a.known else None

    def find(self, int64_t id_order):
        """The record as a dictionary, or None."""
        cdef order_t* o = orders_find(self.c, id_order)
        if o == NULL:
            return None
        row = <object>o[0]
        row["state"] = OrderState(row["state"])
        row["exposure_lots"] = order_exposure_lots(o)
        row["live"] = bool(order_is_live(o))
        return row

    def state(self, int64_t id_order):
        """The state alone, as a number: what enumerations ask for most."""
        cdef order_t* o = orders_find(self.c, id_order)
        return STATE_FREE if o == NULL else o.state

    @property
    def trouble_count(self):
        """Everything that was refused, for whatever reason; duplicates of ids and fills are no trouble."""
        return (self.c.refused_count + self.c.illegal_count + self.c.unknown_id_count + self.c.overfill_count
                + self.c.terms_count + self.c.busy_count)

    def open_lots(self, uint16_t symbol):
        """(worst case still to be bought, still to be sold)."""
        cdef orders_symbol_t* row = &orders_symbols(self.c)[symbol]
        return row.open_buy_lots, row.open_sell_lots

    def find_key(self, *, uint16_t strategy=0, uint16_t symbol=0, bint sell=False, uint16_t tag=0):
        cdef order_t* o = orders_find_key(self.c, strategy, symbol, sell, tag)
        return 0 if o == NULL else o.id_order

    def symbol(self, uint16_t symbol):
        """The sums of a symbol as a dictionary."""
        row = <object>orders_symbols(self.c)[symbol]
        return {key: value for key, value in row.items() if key != "head"}

    @property
    def counts(self):
        row = <object>self.c[0]
        return {key: value for key, value in row.items() if key.endswith("_count") and key != "symbol_count"}

    def ids(self):
        """Every id that has a record."""
        cdef uint64_t i
        slots = [orders_slots(self.c)[i].id_order for i in range(self.c.capacity)]
        return sorted(id_order for id_order in slots if id_order)

    def image(self):
        return (<char*>self.c)[:self.size]

    def load(self, const unsigned char[::1] image):
        """Take over an image of a table of the same shape."""
        if <size_t>image.shape[0] != self.size:
            raise_status(ORDER_BAD_TERMS, f"{image.shape[0]} bytes, {self.size} expected")
        memcpy(self.c, &image[0], self.size)

    def check(self):
        cdef int broken = orders_check(self.c)
        assert broken == 0, f"orders: invariant {broken}"

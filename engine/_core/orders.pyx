cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.debug cimport debug_assert, static_assert_c
from engine._core.types cimport OK, ORDER_ILLEGAL, ORDER_OVERFILL

# The legal transitions, and nothing else is legal: (state, what happened) -> state. Rows read as sentences.
# Races have their own rows: a fill may come before the ack, after a cancel request, and after a timeout; a fill that
# arrives for an order we believed canceled is evidence of the venue, and lives in the ledger, not in a transition.
cdef list LEGAL = [
    (STATE_CREATED, ON_GATE, STATE_GATED),
    (STATE_CREATED, ON_DENY, STATE_DENIED),
    (STATE_GATED, ON_JOURNAL, STATE_JOURNALED),
    (STATE_JOURNALED, ON_SEND, STATE_SENT),
    (STATE_JOURNALED, ON_TIMEOUT, STATE_UNKNOWN),
    (STATE_SENT, ON_ACK, STATE_OPEN),
    (STATE_SENT, ON_FILL_PART, STATE_PARTIAL),
    (STATE_SENT, ON_FILL_REST, STATE_FILLED),
    (STATE_SENT, ON_REJECT, STATE_REJECTED),
    (STATE_SENT, ON_CANCELED, STATE_CANCELED),
    (STATE_SENT, ON_EXPIRE, STATE_EXPIRED),
    (STATE_SENT, ON_CANCEL_ASKED, STATE_PENDING_CANCEL),
    (STATE_SENT, ON_TIMEOUT, STATE_UNKNOWN),
    (STATE_OPEN, ON_ACK, STATE_OPEN),
    (STATE_OPEN, ON_FILL_PART, STATE_PARTIAL),
    (STATE_OPEN, ON_FILL_REST, STATE_FILLED),
    (STATE_OPEN, ON_CANCEL_ASKED, STATE_PENDING_CANCEL),
    (STATE_OPEN, ON_REPLACE_ASKED, STATE_PENDING_REPLACE),
    (STATE_OPEN, ON_CANCELED, STATE_CANCELED),
    (STATE_OPEN, ON_EXPIRE, STATE_EXPIRED),
    (STATE_OPEN, ON_TIMEOUT, STATE_UNKNOWN),
    (STATE_PARTIAL, ON_ACK, STATE_PARTIAL),
    (STATE_PARTIAL, ON_FILL_PART, STATE_PARTIAL),
    (STATE_PARTIAL, ON_FILL_REST, STATE_FILLED),
    (STATE_PARTIAL, ON_CANCEL_ASKED, STATE_PENDING_CANCEL),
    (STATE_PARTIAL, ON_REPLACE_ASKED, STATE_PENDING_REPLACE),
    (STATE_PARTIAL, ON_CANCELED, STATE_CANCELED),
    (STATE_PARTIAL, ON_EXPIRE, STATE_EXPIRED),
    (STATE_PARTIAL, ON_TIMEOUT, STATE_UNKNOWN),
    (STATE_PENDING_CANCEL, ON_ACK, STATE_PENDING_CANCEL),
    (STATE_PENDING_CANCEL, ON_FILL_PART, STATE_PENDING_CANCEL),
    (STATE_PENDING_CANCEL, ON_FILL_REST, STATE_FILLED),
    (STATE_PENDING_CANCEL, ON_CANCEL_ASKED, STATE_PENDING_CANCEL),
    (STATE_PENDING_CANCEL, ON_CANCELED, STATE_CANCELED),
    (STATE_PENDING_CANCEL, ON_CANCEL_REFUSED, STATE_UNKNOWN),
    (STATE_PENDING_CANCEL, ON_REJECT, STATE_REJECTED),
    (STATE_PENDING_CANCEL, ON_EXPIRE, STATE_EXPIRED),
    (STATE_PENDING_CANCEL, ON_TIMEOUT, STATE_UNKNOWN),
    (STATE_PENDING_REPLACE, ON_FILL_PART, STATE_PENDING_REPLACE),
    (STATE_PENDING_REPLACE, ON_FILL_REST, STATE_FILLED),
    (STATE_PENDING_REPLACE, ON_REPLACED, STATE_OPEN),
    (STATE_PENDING_REPLACE, ON_REPLACE_REFUSED, STATE_UNKNOWN),
    (STATE_PENDING_REPLACE, ON_CANCEL_ASKED, STATE_PENDING_CANCEL),
    (STATE_PENDING_REPLACE, ON_CANCELED, STATE_CANCELED),
    (STATE_PENDING_REPLACE, ON_EXPIRE, STATE_EXPIRED),
    (STATE_PENDING_REPLACE, ON_TIMEOUT, STATE_UNKNOWN),
    (STATE_UNKNOWN, ON_ACK, STATE_OPEN),
    (STATE_UNKNOWN, ON_FILL_PART, STATE_UNKNOWN),
    (STATE_UNKNOWN, ON_FILL_REST, STATE_FILLED),
    (STATE_UNKNOWN, ON_CANCEL_ASKED, STATE_UNKNOWN),
    (STATE_UNKNOWN, ON_CANCELED, STATE_CANCELED),
    (STATE_UNKNOWN, ON_REJECT, STATE_REJECTED),
    (STATE_UNKNOWN, ON_EXPIRE, STATE_EXPIRED),
    (STATE_UNKNOWN, ON_TIMEOUT, STATE_UNKNOWN),
]

# The same table laid out for one look-up; STATE_FREE as a target means illegal.
cdef uint8_t TRANSITION[STATE_COUNT][ON_COUNT]
memset(TRANSITION, STATE_FREE, sizeof(TRANSITION))
for _state, _what, _next in LEGAL:
    TRANSITION[<int>_state][<int>_what] = <uint8_t>_next

OrderState = order_state_t
OrderEvent = order_event_kind_t


def transitions():
    """The legal transitions as (state, event, state): what the documents and the twin are drawn from."""
    return [(order_state_t(a), order_event_kind_t(b), order_state_t(c)) for a, b, c in LEGAL]


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(order_t) == 128)
    static_assert_c(sizeof(orders_t) == 128)
    static_assert_c(sizeof(orders_symbol_t) == 64)


cdef size_t orders_bytes(uint64_t capacity, uint64_t symbol_count) noexcept nogil:
    return sizeof(orders_t) + symbol_count * sizeof(orders_symbol_t) + capacity * sizeof(order_t)


cdef int orders_init(orders_t* t, uint64_t capacity, uint64_t symbol_count, int64_t epoch) noexcept nogil:
    cdef uint64_t i
    memset(t, 0, orders_bytes(capacity, symbol_count))
    t.capacity = capacity
    t.symbol_count = symbol_count
    t.epoch = epoch
    for i in range(symbol_count):
        orders_symbols(t)[i].head = ORDER_NONE
    for i in range(capacity):
        orders_slots(t)[i].next = <uint32_t>(i + 1) if i + 1 < capacity else <uint32_t>ORDER_NONE
    t.free_head = 0 if capacity else <uint32_t>ORDER_NONE
    return OK


cdef order_t* orders_create(orders_t* t, uint16_t symbol, uint16_t strategy, uint8_t tag, bint sell, int64_t px_ticks,
                            int64_t qty_lots, int64_t now_ns) noexcept nogil:
    """A new order in CREATED, counted in the exposure from now on. NULL and a counter when the table is full."""
    cdef uint32_t index = t.free_head
    cdef orders_symbol_t* row = &orders_symbols(t)[symbol]
    cdef order_t* o
    if index == <uint32_t>ORDER_NONE:
        t.refused_count += 1
        return NULL
    o = &orders_slots(t)[index]
    t.free_head = o.next
    memset(o, 0, sizeof(order_t))
    t.counter += 1
    # Epoch, counter and slot in one number: unique across restarts, and found again without a search.
    o.id_order = (t.epoch << 40) | ((t.counter & 0xFFFFFF) << 16) | index
    o.symbol = symbol
    o.strategy = strategy
    o.tag = tag
    o.sell = sell
    o.px_ticks = px_ticks
    o.qty_lots = qty_lots
    o.ts_created_ns = now_ns
    o.ts_changed_ns = now_ns
    o.state = STATE_CREATED
    o.prev = ORDER_NONE
    o.next = row.head
    if row.head != <uint32_t>ORDER_NONE:
        orders_slots(t)[row.head].prev = index
    row.head = index
    row.live_count += 1
    t.live_count += 1
    if sell:
        row.open_sell_lots += qty_lots
    else:
        row.open_buy_lots += qty_lots
    return o


cdef order_t* orders_find(orders_t* t, int64_t id_order) noexcept nogil:
    """The live order of this id, or NULL and a counter."""
    cdef uint64_t index = <uint64_t>id_order & 0xFFFF
    if index < t.capacity and orders_slots(t)[index].id_order == id_order:
        return &orders_slots(t)[index]
    t.unknown_id_count += 1
    return NULL


cdef int orders_apply(orders_t* t, order_t* o, int what, int64_t now_ns) noexcept nogil:
    """Move an order along the table; an illegal event changes nothing, is counted and is a status."""
    cdef uint8_t next_state = TRANSITION[o.state][what]
    if next_state == STATE_FREE:
        t.illegal_count += 1
        return ORDER_ILLEGAL
    o.state = next_state
    o.ts_changed_ns = now_ns
    if not order_is_live(o):
        _leave_exposure(t, o)
    return OK


cdef void _leave_exposure(orders_t* t, order_t* o) noexcept nogil:
    cdef orders_symbol_t* row = &orders_symbols(t)[o.symbol]
    if o.sell:
        row.open_sell_lots -= order_open_lots(o)
    else:
        row.open_buy_lots -= order_open_lots(o)


cdef int orders_fill(orders_t* t, order_t* o, int64_t px_ticks, int64_t qty_lots, int64_t now_ns) noexcept nogil:
    """Book a fill on its order. More than the order asked for is a status and changes nothing here."""
    cdef orders_symbol_t* row = &orders_symbols(t)[o.symbol]
    cdef int what = ON_FILL_PART
    if qty_lots <= 0 or qty_lots > order_open_lots(o):
        t.overfill_count += 1
        return ORDER_OVERFILL
    # The exposure shrinks by the fill first: `orders_apply` takes out what is left when the order ends.
    if qty_lots == order_open_lots(o):
        what = ON_FILL_REST
    if TRANSITION[o.state][what] == STATE_FREE:
        t.illegal_count += 1
        return ORDER_ILLEGAL
    o.filled_lots += qty_lots
    o.filled_value += px_ticks * qty_lots
    if o.sell:
        row.open_sell_lots -= qty_lots
    else:
        row.open_buy_lots -= qty_lots
    return orders_apply(t, o, what, now_ns)


cdef void orders_release(orders_t* t, order_t* o) noexcept nogil:
    """Give the slot of an ended order back. Its id is gone with it."""
    cdef uint32_t index = <uint32_t>(o - orders_slots(t))
    cdef orders_symbol_t* row = &orders_symbols(t)[o.symbol]
    debug_assert(not order_is_live(o) and o.state != STATE_FREE)
    if o.prev != <uint32_t>ORDER_NONE:
        orders_slots(t)[o.prev].next = o.next
    else:
        row.head = o.next
    if o.next != <uint32_t>ORDER_NONE:
        orders_slots(t)[o.next].prev = o.prev
    row.live_count -= 1
    t.live_count -= 1
    memset(o, 0, sizeof(order_t))
    o.next = t.free_head
    t.free_head = index

"""Our orders: a fixed table, a state machine that is one data table, and their worst-case exposure per symbol.

Owns: slots, states, filled quantities, the next client order id. Does not own: positions (ledger), verdicts (risk),
bytes on the wire (encode). A client order id is the session's epoch above 32 counter bits, so it is unique across
restarts and the slot is found by one probe.

Invariants: an order changes state only along `TRANSITION`; `filled_lots <= qty_lots`; a free slot is all zero; the
open quantities per symbol and side equal the sum over live orders. Cost: one table look-up a transition.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cpdef enum order_state_t:
    STATE_FREE = 0
    STATE_CREATED = 1
    STATE_GATED = 2
    STATE_JOURNALED = 3
    STATE_SENT = 4
    STATE_OPEN = 5
    STATE_PARTIAL = 6
    STATE_PENDING_CANCEL = 7
    STATE_PENDING_REPLACE = 8
    STATE_UNKNOWN = 9             # sent without an answer: held at its worst case until the venue gives evidence
    STATE_FILLED = 10
    STATE_CANCELED = 11
    STATE_REJECTED = 12
    STATE_EXPIRED = 13
    STATE_DENIED = 14             # the gate said no: never left
    STATE_COUNT = 15


cpdef enum order_event_kind_t:
    ON_GATE = 0                   # the gate passed it
    ON_DENY = 1
    ON_JOURNAL = 2                # the intent is in the page cache
    ON_SEND = 3                   # the bytes left
    ON_ACK = 4
    ON_FILL_PART = 5
    ON_FILL_REST = 6
    ON_CANCEL_ASKED = 7
    ON_CANCELED = 8
    ON_CANCEL_REFUSED = 9
    ON_REPLACE_ASKED = 10
    ON_REPLACED = 11
    ON_REPLACE_REFUSED = 12
    ON_REJECT = 13
    ON_EXPIRE = 14
    ON_TIMEOUT = 15               # no answer in time, or the connection went away
    ON_COUNT = 16


cdef struct order_t:              # two cache lines
    int64_t id_order              # client order id
    int64_t id_venue
    int64_t px_ticks
    int64_t qty_lots
    int64_t filled_lots
    int64_t filled_value          # sum of price x quantity of its fills, in ticks x lots
    int64_t ts_created_ns
    int64_t ts_changed_ns
    # line 1
    uint32_t next                 # next live order of the symbol, or the next free slot; ORDER_NONE ends the list
    uint32_t prev
    uint16_t symbol
    uint16_t strategy
    uint8_t state
    uint8_t sell
    uint8_t tag                   # which of the strategy's wishes it carries out
    uint8_t wish_cancel           # cancel as soon as the state allows
    int64_t reserved[6]


cdef struct orders_t:             # the section's header; symbol rows and slots follow
    uint64_t capacity
    uint64_t symbol_count
    uint64_t live_count
    uint64_t refused_count        # no free slot
    uint64_t illegal_count        # reports that no transition allows
    uint64_t unknown_id_count     # reports for an id that is not here
    uint64_t overfill_count
    int64_t epoch
    int64_t counter               # orders created in this session
    uint32_t free_head
    uint32_t reserved32
    int64_t reserved[6]


cdef struct orders_symbol_t:      # per symbol: its live orders and what they may still trade
    int64_t open_buy_lots
    int64_t open_sell_lots
    uint32_t head
    uint32_t live_count
    int64_t reserved[5]


cdef enum:
    ORDER_NONE = 0xFFFFFFFF


cdef size_t orders_bytes(uint64_t capacity, uint64_t symbol_count) noexcept nogil
cdef int orders_init(orders_t* t, uint64_t capacity, uint64_t symbol_count, int64_t epoch) noexcept nogil
cdef order_t* orders_create(orders_t* t, uint16_t symbol, uint16_t strategy, uint8_t tag, bint sell, int64_t px_ticks,
                            int64_t qty_lots, int64_t now_ns) noexcept nogil
cdef order_t* orders_find(orders_t* t, int64_t id_order) noexcept nogil
cdef int orders_apply(orders_t* t, order_t* o, int what, int64_t now_ns) noexcept nogil
cdef int orders_fill(orders_t* t, order_t* o, int64_t px_ticks, int64_t qty_lots, int64_t now_ns) noexcept nogil
cdef void orders_release(orders_t* t, order_t* o) noexcept nogil

cdef inline orders_symbol_t* orders_symbols(orders_t* t) noexcept nogil:
    return <orders_symbol_t*>(t + 1)

cdef inline order_t* orders_slots(orders_t* t) noexcept nogil:
    return <order_t*>(orders_symbols(t) + t.symbol_count)

cdef inline bint order_is_live(const order_t* o) noexcept nogil:
    """Not yet at an end: it may still trade, so it counts in the exposure."""
    return o.state >= STATE_CREATED and o.state <= STATE_UNKNOWN

cdef inline int64_t order_open_lots(const order_t* o) noexcept nogil:
    return o.qty_lots - o.filled_lots

"""Our orders: a fixed table, a state machine that is one data table, and their worst-case exposure per symbol.

Owns: records, states, filled quantities, the next client order id, which requests and fills were seen before,
deadlines. Does not own: positions (ledger), verdicts (risk), bytes on the wire (encode).

A client order id is `epoch << 40 | counter`: unique across restarts, found by one probe. An ended order keeps its
record until the slot is needed or 24 h have passed, so a late report still finds it; the request cache outlives the
record. Fills are remembered by (symbol, side, trade id) before anything changes; the side is part of the key because
a trade with ourselves reports one trade id twice.

Invariants: an order changes state only along the table; `filled_lots` never passes the larger of the quantity and
the one asked for by an amend; per symbol and side the open quantity is the sum of `order_exposure_lots`; a live order
that is keyed is the only one of its (strategy, symbol, side, tag). Cost: one table look-up a transition, one probe a
look-up by id, no allocation.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.order_table cimport (
    ON_ACK, ON_ABSENT, ON_CANCELED, ON_CANCEL_ASKED, ON_CANCEL_NO_ORDER, ON_CANCEL_REFUSED, ON_CANCEL_TOO_LATE,
    ON_COUNT, ON_DENY, ON_EXPIRE, ON_FILL_PART, ON_FILL_REST, ON_FIRE, ON_GATE, ON_JOURNAL, ON_REJECT, ON_REPLACED,
    ON_REPLACE_ASKED, ON_REPLACE_NO_ORDER, ON_REPLACE_REFUSED, ON_SEND, ON_TIMEOUT, STATE_CANCELED, STATE_COUNT,
    STATE_CREATED, STATE_DENIED, STATE_EXPIRED, STATE_FILLED, STATE_FREE, STATE_GATED, STATE_JOURNALED, STATE_OPEN,
    STATE_PARTIAL, STATE_PENDING_CANCEL, STATE_PENDING_REPLACE, STATE_REJECTED, STATE_SENT, STATE_UNKNOWN,
    TO_ABSENT, TO_REJECTED, TO_WORKING,
)
from engine._core.recent cimport recent_t


cpdef enum order_type_t:
    TYPE_LIMIT = 0
    TYPE_MARKET = 1
    TYPE_STOP = 2
    TYPE_STOP_LIMIT = 3
    TYPE_TAKE_PROFIT = 4
    TYPE_TAKE_PROFIT_LIMIT = 5
    TYPE_TRAILING = 6
    TYPE_ICEBERG = 7
    TYPE_COUNT = 8


cpdef enum order_tif_t:
    TIF_GTC = 0
    TIF_IOC = 1
    TIF_FOK = 2
    TIF_GTX = 3                   # post-only
    TIF_GTD = 4
    TIF_COUNT = 5


cpdef enum order_flag_t:
    ORDER_REDUCE_ONLY = 1
    ORDER_EMULATED = 2            # sent by a trigger of ours
    ORDER_ADOPTED = 4             # found at the venue
    ORDER_KEYED = 8               # stands in the (strategy, symbol, side, tag) index while live
    ORDER_FLAGS_ASKED = 3         # the ones a request may set


cpdef enum order_action_kind_t:
    ORDER_ACTION_QUERY = 1        # ask the venue by client id: the order has just become UNKNOWN
    ORDER_ACTION_CANCEL = 2       # its good-till date has passed and the venue does not keep dates
    ORDER_ACTION_ALARM = 3        # still UNKNOWN after its deadline


cdef enum:
    ORDER_NONE = 0xFFFFFFFF
    STRATEGY_NONE = 0xFFFF        # an adopted order of nobody
    TAG_BRACKET = 0x8000          # tags from here on belong to brackets


cdef extern from *:
    """
    /* Bounded where they enter: 2^16 orders of 2^40 lots still sum up within 63 bits. */
    #define BOT4_LOTS_MAX (INT64_C(1) << 40)
    #define BOT4_NEVER_NS INT64_MAX
    #define BOT4_DAY_NS INT64_C(86400000000000)
    """
    const int64_t LOTS_MAX "BOT4_LOTS_MAX"
    const int64_t NEVER_NS "BOT4_NEVER_NS"
    const int64_t DAY_NS "BOT4_DAY_NS"


cdef struct order_t:              # three cache lines
    # line 0: what a transition reads and writes
    int64_t id_order              # client order id
    int64_t qty_lots
    int64_t filled_lots
    int64_t told_lots             # the venue's own tally, from its reports; above `filled_lots` fills are missing
    int64_t qty_new_lots          # asked for by an amend in flight, 0 without one
    int64_t px_ticks
    int64_t px_new_ticks
    uint16_t symbol
    uint16_t tag                  # which of the strategy's wishes it carries out
    uint8_t state
    uint8_t sell
    uint8_t type
    uint8_t tif
    # line 1
    int64_t deadline_ns           # of the state it is in
    int64_t ts_created_ns
    int64_t ts_changed_ns
    int64_t id_venue
    int64_t filled_value          # sum of price x quantity of its fills, in ticks x lots
    uint32_t next                 # live orders of the symbol; ORDER_NONE ends a list
    uint32_t prev
    uint32_t next_all             # live orders, or ended ones by age, or free slots
    uint32_t prev_all
    uint16_t strategy
    uint16_t signal
    uint16_t flags
    uint16_t reserved16
    # line 2
    int64_t px_stop_ticks
    int64_t ts_expire_ns          # GTD
    int64_t display_lots          # iceberg
    int64_t counted_lots          # what its bracket has counted of it: written by brackets, by nobody else
    uint64_t reasons              # the gate's mask when denied
    uint32_t bracket              # index + 1, 0 without one
    uint32_t leg
    uint32_t trigger              # of ours that holds it back; 0: none, or it has fired
    uint32_t reserved32
    int64_t px_sent_ticks         # the price the gate judged: what the token of its intent is bound to


cdef struct order_terms_t:        # what is asked for
    int64_t id_order              # 0: the next one
    int64_t px_ticks
    int64_t px_stop_ticks
    int64_t qty_lots
    int64_t display_lots
    int64_t ts_expire_ns
    uint32_t bracket
    uint32_t leg
    uint16_t symbol
    uint16_t strategy
    uint16_t signal
    uint16_t tag
    uint8_t sell
    uint8_t type
    uint8_t tif
    uint8_t flags


cdef struct order_fill_t:
    int64_t id_order
    int64_t id_trade
    int64_t px_ticks
    int64_t qty_lots
    int64_t told_lots             # the venue's tally after it, 0 when it says nothing
    uint16_t symbol
    uint16_t sell
    uint32_t reserved32


cdef struct order_action_t:
    int64_t id_order
    uint32_t slot
    uint32_t kind


cdef struct order_answer_t:       # what memory says about a client id
    uint64_t reasons
    uint32_t state
    uint32_t known


cdef struct orders_config_t:
    uint64_t capacity
    uint64_t symbol_count
    uint64_t requests_kept        # bound of the 24 h request cache
    uint64_t fills_kept           # bound of the fills remembered
    int64_t epoch
    int64_t ack_ns                # from sent to UNKNOWN
    int64_t cancel_ns
    int64_t replace_ns
    int64_t unknown_ns            # from UNKNOWN to the alarm, and from alarm to alarm


cdef struct orders_t:             # the section's header; symbol rows, slots, two indexes and two memories follow
    uint64_t capacity
    uint64_t symbol_count
    uint64_t live_count
    uint64_t ended_count
    int64_t epoch
    int64_t counter               # highest counter given out in this epoch
    int64_t due_least_ns          # no live order's deadline lies before it
    uint32_t free_head
    uint32_t live_head
    # line 1: what was refused, by reason
    uint64_t refused_count        # no free slot
    uint64_t illegal_count        # reports that no transition allows
    uint64_t unknown_id_count     # reports for an id that is not here
    uint64_t overfill_count
    uint64_t terms_count          # requests and reports that contradict themselves
    uint64_t busy_count           # requests for an intent that is already alive
    uint64_t duplicate_id_count
    uint64_t duplicate_fill_count
    # line 2: what was noticed
    uint64_t late_fill_count      # fills of an order that had ended: incidents
    uint64_t repeat_count         # reports that said again what was known
    uint64_t unknown_count        # times an order became UNKNOWN
    uint64_t index_mask
    int64_t ack_ns
    int64_t cancel_ns
    int64_t replace_ns
    int64_t unknown_ns
    # line 3: where the rest begins
    uint64_t slots_at
    uint64_t ids_at
    uint64_t keys_at
    uint64_t requests_at
    uint64_t fills_at
    uint32_t ended_head           # oldest
    uint32_t ended_tail
    uint64_t reserved[2]


cdef struct orders_symbol_t:      # per symbol: its live orders and what they may still trade
    int64_t open_buy_lots         # worst case: UNKNOWN, amends in flight and missing fills at their largest
    int64_t open_sell_lots
    int64_t unknown_buy_lots      # of it, what stands in UNKNOWN: perhaps open, perhaps filled
    int64_t unknown_sell_lots
    int64_t reduce_buy_lots       # of it, what may only reduce
    int64_t reduce_sell_lots
    uint32_t head
    uint32_t live_count
    uint64_t order_count          # created since start


cdef orders_config_t orders_config(uint64_t capacity, uint64_t symbol_count, int64_t epoch) noexcept nogil
cdef size_t orders_bytes(const orders_config_t* c) noexcept nogil
cdef int orders_init(orders_t* t, const orders_config_t* c) noexcept nogil
cdef int orders_create(orders_t* t, const order_terms_t* terms, int64_t now_ns, order_t** out) noexcept nogil
cdef int orders_adopt(orders_t* t, const order_terms_t* terms, int64_t id_venue, int64_t filled_lots,
                      int64_t filled_value, int64_t now_ns, order_t** out) noexcept nogil
cdef int orders_apply(orders_t* t, order_t* o, int what, int64_t now_ns) noexcept nogil
cdef int orders_report(orders_t* t, order_t* o, int what, int64_t told_lots, int64_t now_ns) noexcept nogil
cdef int orders_deny(orders_t* t, order_t* o, uint64_t reasons, int64_t now_ns) noexcept nogil
cdef int orders_ask_replace(orders_t* t, order_t* o, int64_t px_ticks, int64_t qty_lots, int64_t now_ns) noexcept nogil
cdef int orders_replaced(orders_t* t, order_t* o, int64_t px_ticks, int64_t qty_lots, int64_t now_ns) noexcept nogil
cdef int orders_fill(orders_t* t, const order_fill_t* f, int64_t now_ns, order_t** out) noexcept nogil
cdef uint64_t orders_due(orders_t* t, int64_t now_ns, order_action_t* out, uint64_t out_max) noexcept nogil
cdef order_t* orders_find(orders_t* t, int64_t id_order) noexcept nogil
cdef order_t* orders_find_key(orders_t* t, uint16_t strategy, uint16_t symbol, bint sell, uint16_t tag) noexcept nogil
cdef void orders_answer(orders_t* t, int64_t id_order, int64_t now_ns, order_answer_t* out) noexcept nogil
cdef int orders_check(orders_t* t) noexcept nogil


cdef inline int64_t orders_id_next(const orders_t* t) noexcept nogil:
    """The id that the next order made here will carry: what the gate's token is bound to."""
    return (t.epoch << 40) | (t.counter + 1)

cdef inline orders_symbol_t* orders_symbols(orders_t* t) noexcept nogil:
    return <orders_symbol_t*>(t + 1)

cdef inline order_t* orders_slots(orders_t* t) noexcept nogil:
    return <order_t*>(<char*>t + t.slots_at)

cdef inline recent_t* orders_requests(orders_t* t) noexcept nogil:
    return <recent_t*>(<char*>t + t.requests_at)

cdef inline recent_t* orders_fills(orders_t* t) noexcept nogil:
    return <recent_t*>(<char*>t + t.fills_at)

cdef inline bint state_is_live(int state) noexcept nogil:
    return STATE_CREATED <= state <= STATE_UNKNOWN

cdef inline bint order_is_live(const order_t* o) noexcept nogil:
    """Not yet at an end: it may still trade, so it counts in the exposure."""
    return state_is_live(o.state)

cdef inline int64_t order_open_lots(const order_t* o) noexcept nogil:
    return o.qty_lots - o.filled_lots

cdef inline int64_t order_bound_lots(const order_t* o) noexcept nogil:
    """The most that its fills can sum up to: an amend in flight may or may not have been accepted."""
    return o.qty_new_lots if o.qty_new_lots > o.qty_lots else o.qty_lots

cdef inline int64_t order_exposure_lots(const order_t* o) noexcept nogil:
    """What it may still move the position by. An ended order may still owe fills that the venue has counted."""
    if order_is_live(o):
        return order_bound_lots(o) - o.filled_lots
    return o.told_lots - o.filled_lots if o.told_lots > o.filled_lots else 0


cdef class Orders:
    cdef orders_t* c
    cdef size_t size

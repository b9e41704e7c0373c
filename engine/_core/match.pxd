"""One order book of an exchange: orders in, trades out, by price and then by time.

Owns: the resting orders and their queues, trigger and trailing orders, expiry, order lists, self-trade prevention,
the filters that need no balance. Does not own: money (engine/sim/venue/accounts.py), text, time (it is told).

```
  directory: one word a 256 ticks ──► page: 256 levels, 4 words of bits ──► level: head, tail ──► orders, oldest first
  three floors of bits above the directory find the next page;    triggers and expiry: three heaps of order numbers
```

One array of levels serves both sides: the book never crosses, so all below the best bid are bids and all above the
best ask are asks, and one bitmap finds both. Orders are found by the caller's number through an open-addressed
table. Everything is an index: the block may be copied and stays a book.

Owner 0 is the crowd of a generated market: it is not counted, filtered or prevented, and only its trades are told.

Invariants: best bid < best ask; a level's sums equal its orders'; an order is in exactly one place, by its state;
nothing waits in the work queue when a call returns, unless the events have no room (then `match_run` goes on).
Cost: placing, cancelling and each fill are constant but for heap steps of trigger orders and one table probe.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef enum:
    MATCH_NONE = 0xFFFFFFFF
    MATCH_PAGE_BITS = 8
    MATCH_PAGE = 256
    MATCH_PX_MOST = 0x0FFFFFFF    # highest price in ticks that a directory can be asked to cover
    MATCH_ENDS = 4                # events kept free for each live order, so that none ends untold: fills stop short
    MATCH_EVENT_RESERVE = 64


# Beside a status: what exactly was wrong, or why an order ended.
cpdef enum match_reason_t:
    REASON_NONE = 0
    REASON_SHAPE = 1              # terms that contradict each other
    REASON_PRICE_FILTER = 2
    REASON_LOT_SIZE = 3
    REASON_MARKET_LOT_SIZE = 4
    REASON_NOTIONAL = 5
    REASON_PERCENT_PRICE = 6
    REASON_MAX_ORDERS = 7
    REASON_MAX_ALGO = 8
    REASON_MAX_ICEBERG = 9
    REASON_ICEBERG_PARTS = 10
    REASON_HALTED = 11
    REASON_DUPLICATE = 12
    REASON_STATE = 13             # no such thing can be done to this order now
    REASON_NO_CHANGE = 14
    REASON_LIST = 15              # legs of a list that do not fit together
    REASON_IOC = 16
    REASON_FOK = 17
    REASON_LIQUIDITY = 18
    REASON_BUDGET = 19            # the money given to it is spent
    REASON_STP = 20
    REASON_OCO = 21               # its sibling filled, triggered or ended
    REASON_OTO = 22               # its working order ended unfilled
    REASON_EXPIRY = 23
    REASON_USER = 24
    REASON_WOULD_TAKE = 25
    REASON_WOULD_TRIGGER = 26
    REASON_NO_ROOM = 27           # events had no room for more fills: the rest of a taker ends
    REASON_CAPACITY = 28          # no slot, page or owner left
    REASON_SELF = 29


cpdef enum match_kind_t:
    MATCHED_NEW = 1
    MATCHED_TRADE = 2
    MATCHED_CANCELED = 3
    MATCHED_EXPIRED = 4
    MATCHED_REJECTED = 5          # a leg or trigger order that could not enter when its time came
    MATCHED_TRIGGERED = 6
    MATCHED_AMENDED = 7
    MATCHED_PREVENTED = 8
    MATCHED_READY = 9             # a held leg whose working order is filled: release or cancel it


cpdef enum match_event_flag_t:
    MATCHED_SELL = 1              # the taker's side, or the order's
    MATCHED_TAKER_DONE = 2
    MATCHED_MAKER_DONE = 4
    MATCHED_TAKER_OWNED = 8       # not the crowd's
    MATCHED_MAKER_OWNED = 16


cpdef enum match_stp_t:
    STP_NONE = 0
    STP_EXPIRE_TAKER = 1
    STP_EXPIRE_MAKER = 2
    STP_EXPIRE_BOTH = 3
    STP_DECREMENT = 4


cpdef enum match_flag_t:
    MATCH_SELL = 1
    MATCH_TRAIL_BIPS = 2          # `trail` is in 1/10,000 of the price, not in ticks
    MATCH_UNFILTERED = 4          # the venue's own order: a liquidation
    MATCH_BY_QUOTE = 8            # a market order for a sum, `budget`, in place of a quantity


cpdef enum match_list_t:
    LIST_OCO = 1
    LIST_OTO = 2
    LIST_OTOCO = 3
    LIST_HELD = 8                 # or-ed: pending legs are announced (READY) and wait for `match_release`


cpdef enum match_state_t:
    STATE_FREE = 0
    STATE_TAKING = 1
    STATE_BOOK = 2
    STATE_ARMED = 3               # in a trigger heap
    STATE_TRAILING = 4
    STATE_QUEUED = 5              # triggered or released, waits for its turn in the work queue
    STATE_PENDING = 6             # a leg whose working order is not filled
    STATE_READY = 7               # a held leg that was announced
    STATE_DEAD = 8                # ended while queued: its slot is freed when its turn comes


cdef struct match_config_t:
    int64_t px_min
    int64_t px_max
    int64_t qty_min
    int64_t qty_max
    int64_t market_qty_max
    int64_t notional_min          # ticks x lots
    int64_t bid_up_ppm            # percent-price bounds; 0 switches one off
    int64_t bid_down_ppm
    int64_t ask_up_ppm
    int64_t ask_down_ppm
    uint32_t orders_max           # live orders of all owners
    uint32_t lists_max
    uint32_t pages_max
    uint32_t owners_max
    uint32_t events_max
    uint32_t dirty_max            # 0: changed levels are not recorded
    uint32_t owner_orders_max
    uint32_t owner_algo_max
    uint32_t owner_iceberg_max
    uint32_t iceberg_parts_max


cdef struct match_request_t:
    int64_t id
    int64_t px_ticks
    int64_t qty_lots
    int64_t trigger_px
    int64_t trail
    int64_t display_lots
    int64_t expire_ns
    int64_t budget                # ticks x lots that a market order may spend, or shall bring; 0 is no bound
    uint32_t owner
    uint8_t type                  # wish_type_t
    uint8_t tif                   # wish_tif_t
    uint8_t stp                   # match_stp_t
    uint8_t flags                 # match_flag_t


cdef struct match_order_t:        # two cache lines; the first is what a fill touches
    int64_t id
    int64_t px_ticks
    int64_t left_lots             # open and shown; the whole rest while it takes
    int64_t hidden_lots
    uint32_t next
    uint32_t prev
    uint32_t owner
    uint8_t type
    uint8_t tif
    uint8_t stp
    uint8_t flags
    uint8_t state
    uint8_t triggered
    uint8_t above                 # which trigger heap
    uint8_t leg
    uint32_t list
    int64_t display_lots
    # line 1
    int64_t qty_lots
    int64_t filled_lots
    int64_t prevented_lots
    int64_t trigger_px
    int64_t trail
    int64_t expire_ns
    int64_t budget
    uint32_t trigger_at           # place in its heap, from 1; 0 is none
    uint32_t expire_at


cdef struct match_level_t:        # empty: all zero, ends at MATCH_NONE
    int64_t qty_lots
    int64_t hidden_lots
    uint32_t head
    uint32_t tail
    uint32_t count
    uint32_t dirty


cdef struct match_page_t:
    uint64_t bits[4]
    uint32_t used                 # levels with orders, and levels whose change nobody has taken yet
    uint32_t next
    uint64_t reserved[3]
    match_level_t levels[256]


cdef struct match_cell_t:
    int64_t id
    uint32_t index
    uint32_t reserved


cdef struct match_owner_t:
    uint32_t orders
    uint32_t algo
    uint32_t icebergs
    uint32_t reserved


cdef struct match_legs_t:
    uint32_t kind                 # match_list_t; 0 is free
    uint32_t live
    uint32_t legs[3]              # order numbers in the slot table; MATCH_NONE when gone
    uint32_t next


cdef struct match_event_t:        # one cache line
    uint8_t kind
    uint8_t reason
    uint8_t flags
    uint8_t reserved
    uint32_t owner                # of `id`
    int64_t id                    # the order; of a trade the taker
    int64_t id_other              # of a trade the maker
    int64_t px_ticks
    int64_t qty_lots              # of this event; what is left of an order that ends
    int64_t filled_lots           # of `id` so far
    int64_t filled_other
    int64_t id_trade


cdef struct match_t:
    int64_t best_bid              # 0: none
    int64_t best_ask              # INT64_MAX: none
    int64_t last_px
    int64_t reference_px          # of the percent-price filter; 0 takes the last price
    int64_t now_ns
    int64_t id_trade
    uint32_t event_count
    uint32_t work_head
    uint32_t work_count
    uint32_t free_order
    uint32_t free_page
    uint32_t free_list
    uint32_t live_count
    uint32_t own_count            # of these the orders that are not the crowd's
    uint32_t above_count          # heap sizes
    uint32_t below_count
    uint32_t expire_count
    uint32_t trail_first
    uint32_t trail_last
    uint32_t dirty_count
    uint32_t dirty_lost           # 1: more levels changed than fit; read the whole book
    uint32_t halted
    uint32_t reason                # match_reason_t of the last refusal
    uint32_t cell_mask
    uint32_t words_a
    uint32_t words_b
    uint32_t words_c
    uint32_t pages_live
    uint32_t pages_refused        # orders that found no page to rest on
    uint32_t reserved
    uint64_t bytes
    uint64_t offset_orders
    uint64_t offset_cells
    uint64_t offset_lists
    uint64_t offset_above
    uint64_t offset_below
    uint64_t offset_expire
    uint64_t offset_work
    uint64_t offset_owners
    uint64_t offset_directory
    uint64_t offset_a
    uint64_t offset_b
    uint64_t offset_c
    uint64_t offset_pages
    uint64_t offset_dirty
    uint64_t offset_events
    match_config_t config


cdef size_t match_bytes(const match_config_t* config) noexcept nogil
cdef int match_init(match_t* m, const match_config_t* config) noexcept nogil
cdef int match_submit(match_t* m, const match_request_t* r) noexcept nogil
cdef int match_submit_list(match_t* m, uint32_t kind, const match_request_t* legs) noexcept nogil
cdef int match_cancel(match_t* m, int64_t order) noexcept nogil
cdef int match_expire(match_t* m, int64_t order) noexcept nogil
cdef int match_release(match_t* m, int64_t order) noexcept nogil
cdef int match_amend(match_t* m, int64_t order, int64_t px_ticks, int64_t qty_lots, bint keep_only) noexcept nogil
cdef int match_requeue(match_t* m, int64_t order) noexcept nogil
cdef int match_resize(match_t* m, int64_t order, int64_t left_lots) noexcept nogil
# What a recording is played by, without a search for orders that the caller has at hand: an order of the crowd that
# meets nobody rests; one by its place gets another quantity, 0: it is gone.
cdef int match_crowd(match_t* m, int64_t order, bint sell, int64_t px_ticks, int64_t qty_lots) noexcept nogil
cdef void match_crowd_resize(match_t* m, uint32_t index, match_level_t* level, int64_t left_lots) noexcept nogil
cdef void match_set_last(match_t* m, int64_t px) noexcept nogil
cdef int match_advance(match_t* m, int64_t now_ns) noexcept nogil
cdef bint match_run(match_t* m) noexcept nogil
cdef match_order_t* match_find(match_t* m, int64_t order) noexcept nogil
cdef int64_t match_below(const match_t* m, int64_t px) noexcept nogil
cdef int64_t match_above(const match_t* m, int64_t px) noexcept nogil
cdef match_level_t* match_level(const match_t* m, int64_t px) noexcept nogil
cdef int64_t match_cost(const match_t* m, bint sell, int64_t qty_lots) noexcept nogil


cdef inline match_order_t* match_orders(const match_t* m) noexcept nogil:
    return <match_order_t*>(<char*>m + m.offset_orders)

cdef inline match_event_t* match_events(const match_t* m) noexcept nogil:
    return <match_event_t*>(<char*>m + m.offset_events)


cdef class Match:
    cdef match_t* c

"""Smart routing: which venue, or which venues, take an order for one underlying.

Owns: the groups, that is which instruments are one underlying on several venues. Does not own: books, balances, fees,
budgets; the caller hands in each venue's facts, and the answer is a plan, nothing is sent. Units: quantity in whole
units of the base asset, value and cost in whole units of the quote asset, the same two assets for a whole group.

Invariants: a venue with a reason against it takes no part; the parts' quantities sum to the quantity exactly; a smart
route costs no more, by its own measure, than any single venue that could take the whole. All integers; a fee and a
penalty round up, against us. Cost: one walk of each book to the size, and for a split one merge of the walks.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t

from engine._core.book cimport book_level_t


cpdef enum policy_t:
    POLICY_BEST_PRICE = 0         # the whole size on one venue, price of the walk, fees left out
    POLICY_LOWEST_FEE = 1         # the whole size on one venue, smallest fee in money
    POLICY_SMART = 2              # price + fee + slippage + latency penalty, over several venues if that is cheaper


cpdef enum against_t:             # why a venue was passed over, or-ed
    AGAINST_HALTED = 1
    AGAINST_UNTRUSTED = 2
    AGAINST_STALE = 4
    AGAINST_BREAKER = 8
    AGAINST_BUDGET = 16           # no request left in its rate budget
    AGAINST_EXCLUDED = 32         # by the caller: where the order failed before
    AGAINST_INPUT = 64            # facts that cannot be: steps, rates, prices, an amount past 2**62
    AGAINST_LOTS = 128            # the quantity is no whole number of its lots, or outside its limits
    AGAINST_THIN = 256            # not enough depth for the whole
    AGAINST_BALANCE = 512         # not enough money, or not enough to sell, for the whole


cpdef enum life_t:                # what is known of an order that should go elsewhere
    LIFE_NEVER_SENT = 0
    LIFE_ENDED = 1                # the venue said so: rejected, canceled, expired
    LIFE_LIVE = 2
    LIFE_UNKNOWN = 3              # sent without an answer: as good as live


cdef enum:
    VENUES_MAX = 8
    # The first four bits to INPUT shut a venue out; LOTS, THIN and BALANCE only forbid it the whole.
    AGAINST_HARD = 127


cdef struct route_venue_t:        # what the caller knows of one venue now
    const book_level_t* levels    # the side that is taken from, best first; not read for a maker
    uint32_t level_count
    uint16_t symbol
    uint16_t against              # HALTED, UNTRUSTED, BREAKER, EXCLUDED as the caller sees them
    int64_t unit_value            # quote units of one tick x one lot
    int64_t lot_units             # base units of one lot
    int64_t qty_lots_min
    int64_t qty_lots_max
    int64_t px_rest_ticks         # where a maker would rest
    int64_t ts_book_ns
    int64_t balance               # what pays: quote units to buy, base units to sell
    int64_t budget                # requests left
    int64_t fee_maker_e8
    int64_t fee_taker_e8
    int64_t slippage_e8           # expected beyond the visible book
    int64_t latency_e8            # what its slowness is reckoned to cost


cdef struct route_ask_t:
    int64_t qty_units
    int64_t now_ns
    int64_t age_ns_max
    uint32_t policy
    uint32_t sell
    uint32_t maker
    uint32_t parts_max


cdef struct route_part_t:
    uint32_t venue                # index into the facts
    uint32_t symbol
    int64_t lots
    int64_t px_worst_ticks        # limit price that takes this part
    int64_t value
    int64_t fee
    int64_t cost                  # all-in; when selling, minus the proceeds


cdef struct route_t:
    uint32_t part_count
    uint32_t reserved
    int64_t cost
    uint32_t against[8]           # per venue; 0 and no part: good, but dearer
    route_part_t parts[8]         # by index of the venue


cdef struct group_t:              # 20 bytes of numbers, padded by name
    uint32_t count
    uint16_t symbols[8]
    uint32_t policy               # policy_t by which its orders are routed


cdef struct routing_t:            # header; groups follow
    uint32_t group_count
    uint32_t reserved


cdef inline group_t* routing_groups(const routing_t* r) noexcept nogil:
    return <group_t*>(<char*>r + sizeof(routing_t))


cdef size_t routing_bytes(uint32_t group_count) noexcept nogil
cdef int routing_init(routing_t* r, uint32_t group_count) noexcept nogil
cdef int routing_add(routing_t* r, uint32_t group, uint16_t symbol) noexcept nogil
cdef int route(const route_venue_t* venues, uint32_t count, const route_ask_t* ask, route_t* out) noexcept nogil
cdef int route_rest(uint32_t life, int64_t qty_units, int64_t filled_units, int64_t* rest_units) noexcept nogil


cdef class Routing:
    cdef routing_t* c
    cdef route_venue_t* venues
    cdef book_level_t* levels
    cdef route_ask_t ask
    cdef route_t out
    cdef readonly uint32_t count

    cdef int _fill(self, list venues, dict ask) except -1

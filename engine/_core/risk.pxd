"""The gate: one pass over every rule, all failures in one mask, the headroom beside it.

No order leaves without its verdict. A missing, stale or untrusted input fails. The token that the send path asks
for is made here and nowhere else; a source test holds that. Cost: a dozen compares without a branch per rule.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.instruments cimport instrument_t
from engine._core.ledger cimport position_t
from engine._core.orders cimport orders_symbol_t


cpdef enum rule_t:
    RULE_LATCH = 0
    RULE_MODE = 1
    RULE_HALTED = 2
    RULE_BOOK_UNTRUSTED = 3
    RULE_BOOK_STALE = 4
    RULE_PX_RANGE = 5
    RULE_PX_BAND = 6
    RULE_QTY_RANGE = 7
    RULE_NOTIONAL_MIN = 8
    RULE_ORDER_NOTIONAL = 9
    RULE_POSITION = 10
    RULE_OPEN_ORDERS = 11
    RULE_COUNT = 12


cdef struct limits_t:             # one cache line; words are read whole, so another thread may tighten them
    int64_t book_age_max_ns
    int64_t px_band_e8            # largest distance from the mid, as a share in 1e-8
    int64_t order_notional_max_e8
    int64_t position_lots_max
    int64_t open_orders_max
    int64_t latch
    int64_t mode
    int64_t reserved


cdef struct verdict_t:
    uint64_t failed               # bit per rule_t; 0 passes
    int64_t headroom_lots         # the largest quantity that would pass the size rules, 0 when none would
    int64_t token                 # not 0 only when passed


cdef void gate_check(const limits_t* limits, const instrument_t* i, const position_t* p, const orders_symbol_t* open,
                     bint sell, int64_t px_ticks, int64_t qty_lots, int64_t now_ns, int64_t id_order,
                     verdict_t* out) noexcept nogil

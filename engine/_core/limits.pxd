"""The limits the gate holds orders against: one word each, read whole, tightened by any thread, loosened by none.

Owns: the words, which way each one tightens, and the only function that may change one while the core runs.
`limits_tighten` moves a word in its strict direction by compare-and-swap and refuses the other; loosening is a
matter of the configuration, waits its day, and arrives as a new image at start. Readers take every word with one
relaxed load: limits are independent of each other, so no order between them is needed.
"""
from libc.stdint cimport int64_t, uint64_t

from engine._core.atomics cimport load_relaxed_i64


cpdef enum limit_t:
    LIMIT_BOOK_AGE_NS = 0                 # a touch older than this is no price
    LIMIT_PX_BAND_PPM = 1                 # distance of the order's price from the mid
    LIMIT_ORDER_NOTIONAL = 2              # account units
    LIMIT_POSITION_SHARE_PPM = 3          # one position's worst case, as a share of equity
    LIMIT_GROSS_SHARE_PPM = 4             # all positions' worst cases, as a share of equity
    LIMIT_NET_SHARE_PPM = 5               # long minus short at the worst, as a share of equity
    LIMIT_LEVERAGE_TIER_PPM = 6           # the two leverages: the smaller one rules
    LIMIT_LEVERAGE_REGIME_PPM = 7
    LIMIT_CORRELATION_PPM = 8             # with what is already held
    LIMIT_DRAWDOWN_PPM = 9                # from the peak of equity
    LIMIT_DAILY_LOSS_PPM = 10             # from the equity at the day's cut
    LIMIT_MARGIN_PPM = 11                 # available over required; a floor, so it tightens upward
    LIMIT_LIQUIDATION_PPM = 12            # distance of the mid from the liquidation price; a floor
    LIMIT_OPEN_ORDERS_SYMBOL = 13
    LIMIT_OPEN_ORDERS_ALL = 14
    LIMIT_REJECTS_IN_A_ROW = 15
    LIMIT_CLOCK_DRIFT_NS = 16
    LIMIT_SIGNAL_AGE_NS = 17
    LIMIT_EQUITY_AGE_NS = 18              # an equity older than this is no equity
    LIMIT_ORDERS_PER_SECOND = 19
    LIMIT_CANCELS_PER_SECOND = 20
    LIMIT_CHURN_PER_MINUTE = 21           # orders and cancels of one symbol
    LIMIT_APPROVAL_OVER = 22              # account units at stake: above it an entry needs a person's word (step_stake)
    LIMIT_COUNT = 23


cdef struct limits_t:                     # four cache lines
    int64_t value[LIMIT_COUNT]
    uint64_t tightened_count
    uint64_t refused_count                # attempts to loosen
    uint64_t reserved[7]


cdef int limits_tighten(limits_t* limits, int which, int64_t value) noexcept nogil
cdef bint limit_is_floor(int which) noexcept nogil

cdef inline int64_t limit(const limits_t* limits, int which) noexcept nogil:
    return load_relaxed_i64(&limits.value[which])

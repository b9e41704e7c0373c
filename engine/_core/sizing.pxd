"""How much: the largest quantity that every cap allows, in whole lots.

Pure functions; no state. Equity and money are in the instrument's quote units, shares are 1e-8. Two 2 % rules hold
at once (and 1 % in place of the first after an overconfidence cap): the position's notional, what is already held
included, and what is lost at the stop, fees both ways included. Kelly's fraction is computed from integers and only
ever lowers a size. A missing stop, price or equity is an error, not a size.

Every quantity is rounded by `floor_to_lot`, every loss and fee up. Cost: a handful of divisions, some 50 ns.
"""
from libc.stdint cimport int64_t, uint32_t


cpdef enum cap_t:                 # which cap decided
    CAP_NOTIONAL = 0
    CAP_RISK = 1
    CAP_KELLY = 2
    CAP_MARGIN = 3
    CAP_POSITION = 4
    CAP_DEPTH = 5
    CAP_VENUE = 6
    CAP_COUNT = 7


cdef struct size_request_t:
    int64_t equity
    int64_t notional_share_e8     # 2_000_000 is 2 %
    int64_t risk_share_e8
    int64_t kelly_e8              # fraction of equity that may be put up; -1: not asked
    int64_t px_ticks              # entry
    int64_t stop_px_ticks
    int64_t unit_value
    int64_t fee_rate_e8           # charged on the way in and at the stop
    int64_t held_value            # notional already held in this instrument, unsigned
    int64_t margin_headroom       # -1: not a margined instrument
    int64_t leverage
    int64_t position_room_lots
    int64_t depth_lots            # what the book holds within reach; -1: not asked
    int64_t qty_min_lots
    int64_t qty_max_lots
    int64_t qty_step_lots
    int64_t notional_min


cdef struct sized_t:
    int64_t lots
    int64_t by_cap[7]             # what each cap alone would allow, by cap_t; INT64_MAX when it was not asked
    uint32_t binding              # the first of the smallest
    uint32_t reserved


cdef int size_notional(int64_t equity, int64_t share_e8, int64_t held_value, int64_t px_ticks, int64_t unit_value,
                       int64_t* lots) noexcept nogil
cdef int size_risk(int64_t equity, int64_t share_e8, int64_t px_ticks, int64_t stop_px_ticks, int64_t unit_value,
                   int64_t fee_rate_e8, int64_t* lots) noexcept nogil
cdef int size_kelly_e8(int64_t win_e8, int64_t payoff_e8, int64_t share_e8, int64_t cap_e8,
                       int64_t* fraction_e8) noexcept nogil
cdef int size_largest(const size_request_t* r, sized_t* out) noexcept nogil


cdef inline int64_t floor_to_lot(int64_t lots, int64_t step_lots) noexcept nogil:
    """Down to a whole multiple of the step; nothing below zero."""
    return lots - lots % step_lots if lots > 0 else 0

"""Margin of linear perpetuals: brackets, requirements, liquidation prices, and the 110 % rule.

Owns: one table of brackets per instrument, in a block of its own size. Does not own: positions, wallets, marks - the
caller passes them in, with the time they were true. What is missing or old fails: an unknown account passes nothing.

Money is in quote units; prices of results are 1e-8 of a whole quote asset, as marks are; rates are 1e-8.
Formulas are the venue's (Binance USD-M, "Leverage and Margin"): maintenance = notional x rate - amount, where the
amount makes neighbouring brackets join; liquidation is where wallet - other maintenance + other unrealised P&L +
own unrealised P&L meets own maintenance, in the bracket that the notional at that price falls into.

Roundings, all against us: margins round up; the liquidation price of a long rounds up and of a short down, towards
the market; distance and available margin round down.
Cost: a few products; a scan over at most 16 brackets.
"""
from libc.stdint cimport int64_t, uint32_t


cdef enum:
    TIERS_MAX = 16


cdef struct tier_t:
    int64_t notional_cap          # this bracket holds notionals above the one before and up to this
    int64_t maintenance_e8        # rate
    int64_t amount                # "cum": taken off notional x rate
    int64_t leverage_max


cdef struct margin_tiers_t:
    uint32_t count
    uint32_t reserved_0
    int64_t reserved[3]
    tier_t tiers[TIERS_MAX]


cdef struct margin_account_t:     # one cache line; the caller keeps it up to date
    int64_t wallet
    int64_t unrealised            # of all positions, signed
    int64_t initial               # held by positions
    int64_t maintenance           # of all positions
    int64_t reserved_orders       # held by open orders
    int64_t ts_ns                 # the oldest input
    int64_t is_known              # 0: nobody ever filled this in
    int64_t reserved


cdef struct margin_position_t:    # what a liquidation price depends on
    int64_t lots                  # signed, not zero
    int64_t cost                  # signed, quote units: lots x entry price
    int64_t unit_value
    int64_t tick_e8
    int64_t wallet                # the isolated wallet, or the cross wallet
    int64_t other_maintenance     # of all other contracts; 0 when isolated
    int64_t other_unrealised
    int64_t reserved


cdef size_t margin_tiers_bytes() noexcept nogil
cdef void margin_tiers_init(margin_tiers_t* t) noexcept nogil
cdef int margin_tiers_add(margin_tiers_t* t, int64_t notional_cap, int64_t maintenance_e8, int64_t leverage_max,
                          int64_t amount) noexcept nogil
cdef int margin_maintenance(const margin_tiers_t* t, int64_t notional, int64_t* out) noexcept nogil
cdef int margin_initial(const margin_tiers_t* t, int64_t notional, int64_t leverage, int64_t* out) noexcept nogil
cdef int margin_liquidation(const margin_tiers_t* t, const margin_position_t* p, int64_t* px_e8) noexcept nogil
cdef int margin_distance_e8(int64_t lots, int64_t mark_px_e8, int64_t liquidation_px_e8, int64_t* out) noexcept nogil
cdef int margin_leverage_e8(int64_t gross, int64_t equity, int64_t* out) noexcept nogil
cdef int margin_account_check(const margin_account_t* a, int64_t required, int64_t now_ns, int64_t age_max_ns,
                              int64_t* headroom) noexcept nogil
cdef int margin_order(const margin_tiers_t* t, int64_t position_lots, int64_t open_lots, bint sell, int64_t qty_lots,
                      int64_t px_ticks, int64_t unit_value, int64_t leverage, int64_t* required) noexcept nogil
cdef int margin_reduces(int64_t position_lots, int64_t position_ts_ns, int64_t open_reducing_lots, bint sell,
                        int64_t qty_lots, int64_t now_ns, int64_t age_max_ns) noexcept nogil


cdef inline int64_t margin_available(const margin_account_t* a) noexcept nogil:
    """What new positions may use: the venue's own formula, unrealised P&L included. May be negative."""
    return a.wallet + a.unrealised - a.initial - a.reserved_orders


cdef inline int64_t exposure_added(int64_t position_lots, bint sell, int64_t qty_lots) noexcept nogil:
    """By how many lots |position| grows when the order fills; a close adds nothing, a flip what lies beyond zero."""
    cdef int64_t after = position_lots - qty_lots if sell else position_lots + qty_lots
    cdef int64_t grown = (after if after > 0 else -after) - (position_lots if position_lots > 0 else -position_lots)
    return grown if grown > 0 else 0


cdef class MarginTiers:
    cdef margin_tiers_t c

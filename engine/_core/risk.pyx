cimport cython
from libc.stdint cimport int64_t, uint64_t

from engine._core.debug cimport static_assert_c
from engine._core.instruments cimport instrument_touch_is_whole
from engine._core.ledger cimport position_worst_long, position_worst_short

cdef extern from * nogil:
    """
    /* a * b / d through 128 bits, saturating: a limit compared against it must fail closed. */
    static inline int64_t bot4_mul_div_sat(int64_t a, int64_t b, int64_t d) {
        __int128 r = (__int128)a * b / d;
        return r > INT64_MAX ? INT64_MAX : r < INT64_MIN ? INT64_MIN : (int64_t)r;
    }
    """
    int64_t mul_div_sat "bot4_mul_div_sat"(int64_t a, int64_t b, int64_t d) noexcept

cdef int64_t E8 = 100_000_000
cdef int64_t TOKEN_MASK = 0x5AFE5AFE5AFE5AFE

Rule = rule_t


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(limits_t) == 64)


cdef inline int64_t _notional_e8(const instrument_t* i, int64_t px_ticks, int64_t qty_lots) noexcept nogil:
    # Two steps, each through 128 bits: price in 1e-8 first, then times the quantity in 1e-8.
    return mul_div_sat(mul_div_sat(px_ticks, i.tick_e8, 1), mul_div_sat(qty_lots, i.lot_e8, 1), E8)


cdef void gate_check(const limits_t* limits, const instrument_t* i, const position_t* p, const orders_symbol_t* open,
                     bint sell, int64_t px_ticks, int64_t qty_lots, int64_t now_ns, int64_t id_order,
                     verdict_t* out) noexcept nogil:
    cdef int64_t notional = _notional_e8(i, px_ticks, qty_lots)
    cdef int64_t mid2 = i.bid_px_ticks + i.ask_px_ticks
    cdef int64_t away2 = 2 * px_ticks - mid2
    cdef int64_t room
    cdef uint64_t failed = 0
    if away2 < 0:
        away2 = -away2
    if sell:
        room = limits.position_lots_max + position_worst_short(p, open.open_sell_lots)
    else:
        room = limits.position_lots_max - position_worst_long(p, open.open_buy_lots)
    failed |= <uint64_t>(limits.latch != 0) << RULE_LATCH
    failed |= <uint64_t>(limits.mode != 0) << RULE_MODE
    failed |= <uint64_t>(i.halted != 0) << RULE_HALTED
    failed |= <uint64_t>(instrument_touch_is_whole(i) == 0) << RULE_BOOK_UNTRUSTED
    failed |= <uint64_t>(now_ns - i.book_ts_ns > limits.book_age_max_ns) << RULE_BOOK_STALE
    failed |= <uint64_t>(px_ticks < i.px_min_ticks or px_ticks > i.px_max_ticks) << RULE_PX_RANGE
    failed |= <uint64_t>(mul_div_sat(away2, E8, mid2 if mid2 > 0 else 1) > limits.px_band_e8) << RULE_PX_BAND
    failed |= <uint64_t>(qty_lots < i.qty_min_lots or qty_lots > i.qty_max_lots) << RULE_QTY_RANGE
    failed |= <uint64_t>(notional < i.notional_min_e8) << RULE_NOTIONAL_MIN
    failed |= <uint64_t>(notional > limits.order_notional_max_e8) << RULE_ORDER_NOTIONAL
    failed |= <uint64_t>(qty_lots > room) << RULE_POSITION
    failed |= <uint64_t>(open.live_count >= limits.open_orders_max) << RULE_OPEN_ORDERS
    out.failed = failed
    out.headroom_lots = room if room > 0 else 0
    # The id is part of the token: one verdict passes one order.
    out.token = (id_order ^ TOKEN_MASK) if failed == 0 else 0

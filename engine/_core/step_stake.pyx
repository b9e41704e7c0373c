from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from engine._core.debug cimport likely
from engine._core.instruments cimport instrument_t
from engine._core.limits cimport LIMIT_APPROVAL_OVER, limit
from engine._core.money cimport mul3_div_ceil
from engine._core.risk cimport gate_symbols
from engine._core.strategy cimport strategy_t
from engine._core.strategy_abi cimport WISH_REDUCE_ONLY, WISH_REST
from engine._core.world cimport world_gate, world_instruments, world_strategies, world_t


cdef inline int64_t _sum(int64_t a, int64_t b) noexcept nogil:
    """Lots of a hostile wish may be INT64_MAX and must not wrap."""
    return INT64_MAX if b > 0 and a > INT64_MAX - b else a + b


cdef bint needs_word(const core_t* core, uint32_t strategy, bint sell, const wish_t* wish, int64_t others_lots) noexcept nogil:
    """Whether the stake is above the amount. `others_lots`: its other live orders and parents of the side."""
    cdef const world_t* w = core.world
    cdef const strategy_t* s = &world_strategies(w)[strategy]
    cdef const instrument_t* i = &world_instruments(w)[s.symbol]
    cdef uint64_t value_q32
    cdef int64_t over = limit(&w.limits, LIMIT_APPROVAL_OVER), lots, px, value = 0
    if likely(over == INT64_MAX) or wish.kind != WISH_REST or wish.flags & WISH_REDUCE_ONLY:
        return False
    lots = _sum(_sum(others_lots, wish.qty_lots), -s.position_lots if sell else s.position_lots)
    if lots <= 0:
        return False
    px = max(max(wish.px_ticks, wish.trigger_px_ticks), i.bid_px_ticks if sell else i.ask_px_ticks)
    value_q32 = gate_symbols(world_gate(w))[s.symbol].value_q32
    # No price, no worth of a tick, a product beyond 63 bits: not known is not small.
    if px <= 0 or value_q32 == 0 or value_q32 >> 62 or mul3_div_ceil(px, lots, <int64_t>value_q32, <int64_t>1 << 32, 1, &value):
        return True
    return value > over

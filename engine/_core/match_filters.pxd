"""Whether an order may come in: terms that contradict each other, the instrument's filters, the book as it stands.

Owns: refusals and their reasons. Does not own: money, which the accounts judge. Nothing is changed here but the reason
of the last refusal. Cost: some twenty comparisons.
"""
from libc.stdint cimport INT64_MAX, int64_t, uint32_t
from engine._core.match cimport (
    MATCH_BY_QUOTE, MATCH_NONE, MATCH_SELL, MATCH_TRAIL_BIPS, MATCH_UNFILTERED, REASON_CAPACITY,
    REASON_DUPLICATE, REASON_EXPIRY, REASON_HALTED, REASON_ICEBERG_PARTS, REASON_LOT_SIZE,
    REASON_MARKET_LOT_SIZE, REASON_MAX_ALGO, REASON_MAX_ICEBERG, REASON_MAX_ORDERS, REASON_NONE, REASON_NOTIONAL,
    REASON_PERCENT_PRICE, REASON_PRICE_FILTER, REASON_SHAPE, REASON_WOULD_TAKE, REASON_WOULD_TRIGGER,
    STP_DECREMENT, match_config_t, match_owner_t, match_request_t, match_t,
)
from engine._core.match_levels cimport page_fits
from engine._core.match_slots cimport index_of, owners_of
from engine._core.match_triggers cimport is_reached, share_ppm
from engine._core.orders cimport TYPE_COUNT
from engine._core.strategy_abi cimport (
    TIF_COUNT, TIF_FOK, TIF_GTD, TIF_GTX, TIF_IOC, TYPE_ICEBERG, TYPE_LIMIT, TYPE_MARKET, TYPE_STOP,
    TYPE_STOP_LIMIT, TYPE_TAKE, TYPE_TAKE_LIMIT, TYPE_TRAILING,
)
from engine._core.types cimport MATCH_BAD_ORDER, MATCH_FULL, MATCH_WOULD_TAKE, MATCH_WOULD_TRIGGER, OK


cdef inline int refuse(match_t* m, int status, uint32_t reason) noexcept nogil:
    m.reason = reason
    return status


cdef inline bint shape_is_bad(const match_request_t* r) noexcept nogil:
    """Terms that contradict each other, whatever the instrument."""
    cdef bint limit = r.type == TYPE_LIMIT or r.type == TYPE_ICEBERG or r.type == TYPE_STOP_LIMIT \
        or r.type == TYPE_TAKE_LIMIT or (r.type == TYPE_TRAILING and r.px_ticks != 0)
    cdef bint triggered = TYPE_STOP <= r.type <= TYPE_TAKE_LIMIT
    if r.id < 1 or r.type >= TYPE_COUNT or r.tif >= TIF_COUNT or r.stp > STP_DECREMENT or r.qty_lots < 1:
        return True
    if r.px_ticks < 0 or r.trigger_px < 0 or r.trail < 0 or r.display_lots < 0 or r.budget < 0:
        return True
    if limit != (r.px_ticks > 0) or triggered != (r.trigger_px > 0 and r.type != TYPE_TRAILING):
        return True
    if (r.type == TYPE_TRAILING) != (r.trail > 0) or (r.type == TYPE_ICEBERG) != (r.display_lots > 0):
        return True
    if r.flags & MATCH_TRAIL_BIPS and (r.type != TYPE_TRAILING or r.trail >= 10_000):
        return True
    if (r.tif == TIF_GTD) != (r.expire_ns > 0) or r.expire_ns < 0:
        return True
    # A market order has no time in force but those that end at once; an iceberg must be able to rest.
    if not limit and (r.tif == TIF_GTX or (r.tif == TIF_FOK and r.type != TYPE_MARKET)):
        return True
    if r.type == TYPE_ICEBERG and (r.tif == TIF_IOC or r.tif == TIF_FOK or r.display_lots > r.qty_lots):
        return True
    if r.flags & MATCH_BY_QUOTE:
        return r.budget == 0 or r.type != TYPE_MARKET or r.tif == TIF_FOK
    return r.budget > 0 and (limit or r.flags & MATCH_SELL)


cdef inline uint32_t failed_filter(const match_t* m, const match_request_t* r) noexcept nogil:
    """The first of the instrument's filters that the order fails."""
    cdef const match_config_t* c = &m.config
    cdef match_owner_t* owner = &owners_of(m)[r.owner]
    cdef bint sell = r.flags & MATCH_SELL
    cdef bint triggered = TYPE_STOP <= r.type <= TYPE_TRAILING, by_quote = r.flags & MATCH_BY_QUOTE
    cdef int64_t reference = m.reference_px if m.reference_px else m.last_px
    cdef int64_t up = c.ask_up_ppm if sell else c.bid_up_ppm
    cdef int64_t down = c.ask_down_ppm if sell else c.bid_down_ppm
    cdef int64_t px = r.px_ticks
    if px and (px < c.px_min or px > c.px_max):
        return REASON_PRICE_FILTER
    if r.trigger_px and (r.trigger_px < c.px_min or r.trigger_px > c.px_max):
        return REASON_PRICE_FILTER
    if px and reference:
        if up and px > share_ppm(reference, up):
            return REASON_PERCENT_PRICE
        if down and px < share_ppm(reference, down):
            return REASON_PERCENT_PRICE
    # A market order that spends a sum has no quantity of its own to hold against the step.
    if not by_quote and (r.qty_lots < c.qty_min or r.qty_lots > c.qty_max):
        return REASON_LOT_SIZE
    if px == 0 and not by_quote and r.qty_lots > c.market_qty_max:
        return REASON_MARKET_LOT_SIZE
    if px == 0:
        px = r.trigger_px if r.trigger_px else reference
    if by_quote and r.budget < c.notional_min:
        return REASON_NOTIONAL
    if px and not by_quote and px * r.qty_lots < c.notional_min:
        return REASON_NOTIONAL
    if r.type == TYPE_ICEBERG and (r.qty_lots + r.display_lots - 1) // r.display_lots > c.iceberg_parts_max:
        return REASON_ICEBERG_PARTS
    if owner.orders >= c.owner_orders_max:
        return REASON_MAX_ORDERS
    if triggered and owner.algo >= c.owner_algo_max:
        return REASON_MAX_ALGO
    if r.type == TYPE_ICEBERG and owner.icebergs >= c.owner_iceberg_max:
        return REASON_MAX_ICEBERG
    return REASON_NONE


cdef inline int judge_order(match_t* m, const match_request_t* r) noexcept nogil:
    """Everything that can be said of an order before it has a slot."""
    cdef uint32_t reason
    if shape_is_bad(r):
        return refuse(m, MATCH_BAD_ORDER, REASON_SHAPE)
    if r.owner >= m.config.owners_max:
        return refuse(m, MATCH_FULL, REASON_CAPACITY)
    if m.halted and not r.flags & MATCH_UNFILTERED:
        return refuse(m, MATCH_BAD_ORDER, REASON_HALTED)
    if index_of(m, r.id) != MATCH_NONE:
        return refuse(m, MATCH_BAD_ORDER, REASON_DUPLICATE)
    if r.px_ticks > m.config.px_max or r.qty_lots > m.config.qty_max:
        return refuse(m, MATCH_BAD_ORDER,
                       REASON_PRICE_FILTER if r.px_ticks > m.config.px_max else REASON_LOT_SIZE)
    if r.owner and not r.flags & MATCH_UNFILTERED:
        reason = failed_filter(m, r)
        if reason != REASON_NONE:
            return refuse(m, MATCH_BAD_ORDER, reason)
    if r.expire_ns and r.expire_ns <= m.now_ns:
        return refuse(m, MATCH_BAD_ORDER, REASON_EXPIRY)
    return OK


cdef inline bint request_reached(const match_t* m, const match_request_t* r) noexcept nogil:
    cdef bint sell = r.flags & MATCH_SELL
    if r.type < TYPE_STOP or r.type > TYPE_TAKE_LIMIT:
        return False
    return is_reached(m, r.trigger_px, sell if r.type >= TYPE_TAKE else not sell)


cdef inline bint request_takes(const match_t* m, const match_request_t* r) noexcept nogil:
    if r.flags & MATCH_SELL:
        return m.best_bid != 0 and m.best_bid >= r.px_ticks
    return m.best_ask != INT64_MAX and m.best_ask <= r.px_ticks


cdef inline int admit_order(match_t* m, const match_request_t* r) noexcept nogil:
    """What `judge_order` asks, and whether it could start now."""
    cdef int status = judge_order(m, r)
    if status != OK:
        return status
    if request_reached(m, r):
        return refuse(m, MATCH_WOULD_TRIGGER, REASON_WOULD_TRIGGER)
    if r.tif == TIF_GTX and r.type != TYPE_STOP_LIMIT and r.type != TYPE_TAKE_LIMIT and r.type != TYPE_TRAILING \
            and request_takes(m, r):
        return refuse(m, MATCH_WOULD_TAKE, REASON_WOULD_TAKE)
    if r.px_ticks and not page_fits(m, r.px_ticks):
        return refuse(m, MATCH_FULL, REASON_CAPACITY)
    return OK


cdef inline bint pair_is_bad(const match_t* m, const match_request_t* a, const match_request_t* b, bint now) noexcept nogil:
    """An OCO pair: one side, one quantity; a limit that rests (or a take) on one side of the price, a stop beyond."""
    cdef const match_request_t* swap
    cdef int64_t target
    if b.type != TYPE_STOP and b.type != TYPE_STOP_LIMIT:
        swap = a
        a = b
        b = swap
    if b.type != TYPE_STOP and b.type != TYPE_STOP_LIMIT:
        return True
    if a.type == TYPE_LIMIT and a.tif != TIF_GTX:
        return True
    if a.type != TYPE_LIMIT and a.type != TYPE_TAKE and a.type != TYPE_TAKE_LIMIT:
        return True
    if (a.flags ^ b.flags) & MATCH_SELL or a.qty_lots != b.qty_lots or a.owner != b.owner or a.id == b.id:
        return True
    target = a.px_ticks if a.type == TYPE_LIMIT else a.trigger_px
    if a.flags & MATCH_SELL:
        return target <= b.trigger_px or (now and m.last_px and (target <= m.last_px or b.trigger_px >= m.last_px))
    return target >= b.trigger_px or (now and m.last_px and (target >= m.last_px or b.trigger_px <= m.last_px))

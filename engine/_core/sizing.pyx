from libc.stdint cimport INT64_MAX, int64_t, uint32_t
from libc.string cimport memset

from engine._core.debug cimport static_assert_c, unlikely
from engine._core.money cimport E8, mul3, mul3_div_floor, mul_div_ceil, mul_div_floor
from engine._core.types cimport COST_BAD_INPUT, COST_OVERFLOW, OK, SIZE_BELOW_MINIMUM, raise_status

cdef int64_t AMOUNT_MAX = (<int64_t>1 << 60) - 1
cdef int64_t RATE_MAX = 10_000_000
cdef int64_t PAYOFF_MAX = 1_000_000_000_000     # 10,000 to 1

Cap = cap_t


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(size_request_t) == 136)
    static_assert_c(sizeof(sized_t) == 72)


cdef inline bint _is_share(int64_t share_e8) noexcept nogil:
    return 0 <= share_e8 <= E8


cdef inline bint _is_equity(int64_t equity) noexcept nogil:
    return 1 <= equity <= AMOUNT_MAX


cdef int size_notional(int64_t equity, int64_t share_e8, int64_t held_value, int64_t px_ticks, int64_t unit_value,
                       int64_t* lots) noexcept nogil:
    """Fixed fractional: lots whose notional, with what is held, stays within the share of equity."""
    cdef int64_t budget = 0, per_lot
    if unlikely(not _is_equity(equity) or not _is_share(share_e8) or not 0 <= held_value <= AMOUNT_MAX or px_ticks < 1
                or unit_value < 1):
        return COST_BAD_INPUT
    if unlikely(mul3(px_ticks, unit_value, 1, &per_lot)):
        return COST_OVERFLOW
    mul_div_floor(equity, share_e8, E8, &budget)
    budget -= held_value
    lots[0] = budget // per_lot if budget > 0 else 0
    return OK


cdef int size_risk(int64_t equity, int64_t share_e8, int64_t px_ticks, int64_t stop_px_ticks, int64_t unit_value,
                   int64_t fee_rate_e8, int64_t* lots) noexcept nogil:
    """Lots whose loss at the stop, fees both ways included, stays within the share of equity."""
    cdef int64_t away, loss, turnover, fees = 0
    if unlikely(not _is_equity(equity) or not _is_share(share_e8) or not 1 <= px_ticks <= AMOUNT_MAX
                or not 1 <= stop_px_ticks <= AMOUNT_MAX or stop_px_ticks == px_ticks or unit_value < 1
                or not 0 <= fee_rate_e8 <= RATE_MAX):
        return COST_BAD_INPUT
    away = px_ticks - stop_px_ticks if px_ticks > stop_px_ticks else stop_px_ticks - px_ticks
    if unlikely(mul3(away, unit_value, 1, &loss) or mul3(px_ticks + stop_px_ticks, unit_value, 1, &turnover)
                or loss > AMOUNT_MAX or turnover > AMOUNT_MAX):
        return COST_OVERFLOW
    mul_div_ceil(turnover, fee_rate_e8, E8, &fees)
    # One division over everything: rounding the budget first would lose a lot here and there.
    return COST_OVERFLOW if mul3_div_floor(equity, share_e8, 1, E8, loss + fees, lots) else OK


cdef int size_kelly_e8(int64_t win_e8, int64_t payoff_e8, int64_t share_e8, int64_t cap_e8,
                       int64_t* fraction_e8) noexcept nogil:
    """Kelly's fraction p - (1 - p) / b, cut to a share of itself and to a cap, rounded down. No edge is no bet."""
    cdef int64_t loss_part = 0, fraction
    if unlikely(not _is_share(win_e8) or not 1 <= payoff_e8 <= PAYOFF_MAX or not _is_share(share_e8)
                or not _is_share(cap_e8)):
        return COST_BAD_INPUT
    # Rounded up, because it is taken off.
    mul_div_ceil(E8 - win_e8, E8, payoff_e8, &loss_part)
    fraction = win_e8 - loss_part
    if fraction <= 0:
        fraction_e8[0] = 0
        return OK
    mul_div_floor(fraction, share_e8, E8, &fraction)
    fraction_e8[0] = min(fraction, cap_e8)
    return OK


cdef int _caps(const size_request_t* r, int64_t* by_cap) noexcept nogil:
    cdef int status
    cdef int64_t per_lot = 0, power
    status = size_notional(r.equity, r.notional_share_e8, r.held_value, r.px_ticks, r.unit_value,
                           &by_cap[<int>CAP_NOTIONAL])
    if status == OK:
        status = size_risk(r.equity, r.risk_share_e8, r.px_ticks, r.stop_px_ticks, r.unit_value, r.fee_rate_e8,
                           &by_cap[<int>CAP_RISK])
    if status == OK and r.kelly_e8 != -1:
        status = size_notional(r.equity, r.kelly_e8, 0, r.px_ticks, r.unit_value, &by_cap[<int>CAP_KELLY])
    if unlikely(status != OK):
        return status
    if r.margin_headroom != -1:
        # Required is ceil(notional / leverage), so notional may reach headroom x leverage.
        mul3(r.px_ticks, r.unit_value, 1, &per_lot)
        if unlikely(r.margin_headroom < 0 or r.leverage < 1):
            return COST_BAD_INPUT
        if unlikely(mul3(r.margin_headroom, r.leverage, 1, &power)):
            return COST_OVERFLOW
        by_cap[<int>CAP_MARGIN] = power // per_lot
    if r.depth_lots != -1:
        by_cap[<int>CAP_DEPTH] = r.depth_lots
    by_cap[<int>CAP_POSITION] = r.position_room_lots
    by_cap[<int>CAP_VENUE] = r.qty_max_lots
    return OK


cdef int size_largest(const size_request_t* r, sized_t* out) noexcept nogil:
    """The largest size under every cap, on the lot step. SIZE_BELOW_MINIMUM when that is no order; `binding` and
    `by_cap` say why all the same."""
    cdef int status
    cdef int cap
    cdef int64_t notional, least = INT64_MAX
    memset(out, 0, sizeof(sized_t))
    for cap in range(<int>CAP_COUNT):
        out.by_cap[cap] = INT64_MAX
    if unlikely(r.qty_step_lots < 1 or r.qty_min_lots < 0 or r.qty_max_lots < 0 or r.notional_min < 0
                or r.position_room_lots < 0 or r.depth_lots < -1):
        return COST_BAD_INPUT
    status = _caps(r, out.by_cap)
    if unlikely(status != OK):
        return status
    for cap in range(<int>CAP_COUNT):
        if out.by_cap[cap] < least:
            least = out.by_cap[cap]
            out.binding = <uint32_t>cap
    least = floor_to_lot(least, r.qty_step_lots)
    if unlikely(mul3(least, r.px_ticks, r.unit_value, &notional)):
        return COST_OVERFLOW
    if least < 1 or least < r.qty_min_lots or notional < r.notional_min:
        return SIZE_BELOW_MINIMUM
    out.lots = least
    return OK


# ---------------------------------------------------------------------------------------------------- the Python face
cdef int _raise(int status, str detail) except -1:
    if status != OK:
        raise_status(status, detail)
    return 0


def to_lot(int64_t lots, int64_t step_lots):
    """floor_to_lot."""
    if step_lots < 1:
        raise_status(COST_BAD_INPUT, f"step {step_lots}")
    return floor_to_lot(lots, step_lots)


def notional(int64_t equity, int64_t share_e8, *, int64_t px_ticks, int64_t unit_value, int64_t held_value=0):
    cdef int64_t out = 0
    _raise(size_notional(equity, share_e8, held_value, px_ticks, unit_value, &out), f"equity {equity}, price {px_ticks}")
    return out


def risk(int64_t equity, int64_t share_e8, *, int64_t px_ticks, int64_t stop_px_ticks, int64_t unit_value,
         int64_t fee_rate_e8=0):
    cdef int64_t out = 0
    _raise(size_risk(equity, share_e8, px_ticks, stop_px_ticks, unit_value, fee_rate_e8, &out),
           f"equity {equity}, entry {px_ticks}, stop {stop_px_ticks}")
    return out


def kelly_e8(int64_t win_e8, int64_t payoff_e8, *, int64_t share_e8=50_000_000, int64_t cap_e8=100_000_000):
    """Half of Kelly unless told otherwise."""
    cdef int64_t out = 0
    _raise(size_kelly_e8(win_e8, payoff_e8, share_e8, cap_e8, &out), f"win {win_e8}, payoff {payoff_e8}")
    return out


def largest(*, int64_t equity, int64_t px_ticks, int64_t stop_px_ticks, int64_t unit_value,
            int64_t notional_share_e8=2_000_000, int64_t risk_share_e8=2_000_000, int64_t kelly_e8=-1,
            int64_t fee_rate_e8=0, int64_t held_value=0, int64_t margin_headroom=-1, int64_t leverage=1,
            int64_t position_room_lots=INT64_MAX, int64_t depth_lots=-1, int64_t qty_min_lots=1,
            int64_t qty_max_lots=INT64_MAX, int64_t qty_step_lots=1, int64_t notional_min=0):
    """(lots, the cap that binds); raises when the largest size is below the venue's minimum."""
    cdef size_request_t r = size_request_t(
        equity=equity, notional_share_e8=notional_share_e8, risk_share_e8=risk_share_e8, kelly_e8=kelly_e8,
        px_ticks=px_ticks, stop_px_ticks=stop_px_ticks, unit_value=unit_value, fee_rate_e8=fee_rate_e8,
        held_value=held_value, margin_headroom=margin_headroom, leverage=leverage,
        position_room_lots=position_room_lots, depth_lots=depth_lots, qty_min_lots=qty_min_lots,
        qty_max_lots=qty_max_lots, qty_step_lots=qty_step_lots, notional_min=notional_min)
    cdef sized_t out
    cdef int status = size_largest(&r, &out)
    if status != OK:
        raise_status(status, f"{Cap(out.binding).name} allows {min(out.by_cap[<int>i] for i in range(<int>CAP_COUNT))}")
    return out.lots, Cap(out.binding)

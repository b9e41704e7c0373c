cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memset

from engine._core.debug cimport static_assert_c, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.money cimport E8, mul3, mul3_div_ceil, mul3_div_floor, mul_div_ceil
from engine._core.types cimport (
    COST_BAD_INPUT, COST_DEPTH_SHORT, COST_OVERFLOW, FEES_BAD_SCHEDULE, FEES_OLD, FEES_STALE, FEES_UNKNOWN_VENUE, OK,
    raise_status,
)

cdef int64_t AMOUNT_MAX = (<int64_t>1 << 60) - 1
cdef int64_t RATE_MAX = 10_000_000              # 10 %: a rate beyond is a unit mistaken
cdef int64_t SETTLEMENTS_MAX = 1_000_000

WARN_NS = 60_000_000_000
REFUSE_NS = 300_000_000_000


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(fee_row_t) == 448)
    static_assert_c(sizeof(fees_t) == 64)
    static_assert_c(sizeof(cost_request_t) == 88)
    static_assert_c(sizeof(cost_t) == 80)


cdef inline bint _is_rate(int64_t rate_e8) noexcept nogil:
    return -RATE_MAX <= rate_e8 <= RATE_MAX


cdef inline bint _is_amount(int64_t value) noexcept nogil:
    return -AMOUNT_MAX <= value <= AMOUNT_MAX


# ---------------------------------------------------------------------------------------------------------- fee table
cdef size_t fees_bytes(uint32_t rows) noexcept nogil:
    return sizeof(fees_t) + rows * sizeof(fee_row_t)


cdef int fees_init(fees_t* f, uint32_t rows, int64_t warn_ns, int64_t refuse_ns) noexcept nogil:
    if rows < 1 or not 0 <= warn_ns <= refuse_ns:
        return FEES_BAD_SCHEDULE
    memset(f, 0, fees_bytes(rows))
    f.row_count = rows
    f.warn_ns = warn_ns
    f.refuse_ns = refuse_ns
    return OK


cdef int fees_add_tier(fees_t* f, uint32_t row, int64_t volume_min, int64_t maker_e8, int64_t taker_e8) noexcept nogil:
    """Append a tier: volumes rise, rates do not, and a maker never pays more than a taker. The first is in force."""
    cdef fee_row_t* r
    cdef const fee_tier_t* last
    if row >= f.row_count:
        return FEES_UNKNOWN_VENUE
    r = &fees_rows(f)[row]
    if (r.tier_count >= FEE_TIERS_MAX or not _is_rate(maker_e8) or not _is_rate(taker_e8) or maker_e8 > taker_e8
            or taker_e8 < 0 or volume_min < 0 or (r.tier_count == 0 and volume_min != 0)):
        return FEES_BAD_SCHEDULE
    if r.tier_count:
        last = &r.tiers[r.tier_count - 1]
        if volume_min <= last.volume_min or maker_e8 > last.maker_e8 or taker_e8 > last.taker_e8:
            return FEES_BAD_SCHEDULE
    r.tiers[r.tier_count].volume_min = volume_min
    r.tiers[r.tier_count].maker_e8 = maker_e8
    r.tiers[r.tier_count].taker_e8 = taker_e8
    r.tier_count += 1
    if r.tier_count == 1:
        r.is_set = 1
        r.maker_e8 = maker_e8
        r.taker_e8 = taker_e8
        r.discount_e8 = E8
    return OK


cdef inline fee_row_t* _row(const fees_t* f, uint32_t row) noexcept nogil:
    if unlikely(row >= f.row_count or not fees_rows(f)[row].is_set):
        return NULL
    return &fees_rows(f)[row]


cdef int fees_set_tier(fees_t* f, uint32_t row, uint32_t tier) noexcept nogil:
    """Put a VIP tier in force, as the venue named it. Says nothing about the age of the table."""
    cdef fee_row_t* r = _row(f, row)
    if r == NULL:
        return FEES_UNKNOWN_VENUE
    if tier >= r.tier_count:
        return FEES_BAD_SCHEDULE
    r.tier = tier
    r.maker_e8 = r.tiers[tier].maker_e8
    r.taker_e8 = r.tiers[tier].taker_e8
    return OK


cdef int fees_set_volume(fees_t* f, uint32_t row, int64_t volume) noexcept nogil:
    """Put the highest tier in force that the volume reaches."""
    cdef fee_row_t* r = _row(f, row)
    cdef uint32_t tier = 0
    if r == NULL:
        return FEES_UNKNOWN_VENUE
    while tier + 1 < r.tier_count and volume >= r.tiers[tier + 1].volume_min:
        tier += 1
    return fees_set_tier(f, row, tier)


cdef int fees_set_discount(fees_t* f, uint32_t row, int64_t discount_e8, uint16_t asset, bint pays) noexcept nogil:
    cdef fee_row_t* r = _row(f, row)
    if r == NULL:
        return FEES_UNKNOWN_VENUE
    if not 0 <= discount_e8 <= E8:
        return FEES_BAD_SCHEDULE
    r.discount_e8 = discount_e8
    r.discount_asset = asset
    r.pays_discounted = pays
    return OK


cdef int fees_refresh(fees_t* f, uint32_t row, int64_t maker_e8, int64_t taker_e8, int64_t ts_ns) noexcept nogil:
    """Take the account's own rates as the venue states them. An answer older than the one held is dropped."""
    cdef fee_row_t* r = _row(f, row)
    if r == NULL:
        return FEES_UNKNOWN_VENUE
    if not _is_rate(maker_e8) or not _is_rate(taker_e8):
        return FEES_BAD_SCHEDULE
    if r.is_refreshed and ts_ns < r.ts_ns:
        return FEES_STALE
    r.maker_e8 = maker_e8
    r.taker_e8 = taker_e8
    r.ts_ns = ts_ns
    r.is_refreshed = 1
    return OK


cdef int fees_rate(const fees_t* f, uint32_t row, bint maker, int64_t now_ns, int64_t* rate_e8) noexcept nogil:
    """The rate in force. OK and FEES_OLD give one, every other status does not."""
    cdef const fee_row_t* r = _row(f, row)
    cdef int64_t age, rate
    if unlikely(r == NULL):
        return FEES_UNKNOWN_VENUE
    age = now_ns - r.ts_ns
    # A table from the future was stamped by a wrong clock: as little use as an old one.
    if unlikely(not r.is_refreshed or age < 0 or age > f.refuse_ns):
        return FEES_STALE
    rate = r.maker_e8 if maker else r.taker_e8
    # A rebate is not discounted: the discount is on what we pay.
    if r.pays_discounted and rate > 0:
        mul_div_ceil(rate, r.discount_e8, E8, &rate)
    rate_e8[0] = rate
    return OK if age <= f.warn_ns else FEES_OLD


# --------------------------------------------------------------------------------------------------------- components
cdef int cost_walk(const int64_t* px_ticks, const int64_t* qty_lots, uint32_t levels, bint sell, int64_t limit_ticks,
                   int64_t want_lots, int64_t* taken_lots, int64_t* taken_value, int64_t* worst_px) noexcept nogil:
    """Take from the other side's levels, best first, down to a limit (0: none). Value is in ticks x lots."""
    cdef uint32_t i
    cdef int64_t lots, part, before = 0
    taken_lots[0] = 0
    taken_value[0] = 0
    worst_px[0] = 0
    for i in range(levels):
        if taken_lots[0] == want_lots or (limit_ticks and (px_ticks[i] < limit_ticks if sell
                                                           else px_ticks[i] > limit_ticks)):
            break
        # Levels out of order mean that this is no book; an estimate from it would be a guess.
        if unlikely(px_ticks[i] < 1 or qty_lots[i] < 1 or (i and (px_ticks[i] >= before if sell
                                                                   else px_ticks[i] <= before))):
            return COST_BAD_INPUT
        before = px_ticks[i]
        lots = min(qty_lots[i], want_lots - taken_lots[0])
        if unlikely(mul3(px_ticks[i], lots, 1, &part) or part > AMOUNT_MAX - taken_value[0]):
            return COST_OVERFLOW
        taken_lots[0] += lots
        taken_value[0] += part
        worst_px[0] = px_ticks[i]
    return OK if taken_lots[0] == want_lots else COST_DEPTH_SHORT


cdef int cost_fee(int64_t value, int64_t rate_e8, int64_t* fee) noexcept nogil:
    """The fee of a value, rounded up: we pay the fraction of a unit, and a rebate loses it."""
    return COST_OVERFLOW if mul_div_ceil(value, rate_e8, E8, fee) else OK


cdef int cost_funding(int64_t value, bint short_side, int64_t rate_e8, int64_t* paid) noexcept nogil:
    """One settlement's payment, rounded up: paid is rounded up, received down."""
    return COST_OVERFLOW if mul_div_ceil(value, -rate_e8 if short_side else rate_e8, E8, paid) else OK


cdef int cost_break_even(bint sell, int64_t qty_lots, int64_t unit_value, int64_t value, int64_t paid,
                         int64_t exit_rate_e8, int64_t* px_ticks) noexcept nogil:
    """The first whole tick at which an exit, its own fee included, loses nothing; 0 when no price does.

    A long needs v - ceil(v x r) >= value + paid, a short v + ceil(v x r) <= value - paid, with v = price x quantity.
    Because the right sides are whole, both are exact divisions by (1 -+ r), rounded once.
    """
    cdef int64_t per_tick, needed
    if unlikely(qty_lots < 1 or unit_value < 1 or not _is_amount(value) or not _is_amount(paid)
                or not _is_rate(exit_rate_e8) or mul3(qty_lots, unit_value, 1, &per_tick)):
        return COST_BAD_INPUT
    needed = value - paid if sell else value + paid
    px_ticks[0] = 0
    if needed <= 0:
        # A long that was paid to open breaks even at any price, the lowest being one tick; a short never does.
        px_ticks[0] = 0 if sell else 1
        return OK
    if sell:
        return COST_OVERFLOW if mul3_div_floor(needed, E8, 1, E8 + exit_rate_e8, per_tick, px_ticks) else OK
    return COST_OVERFLOW if mul3_div_ceil(needed, E8, 1, E8 - exit_rate_e8, per_tick, px_ticks) else OK


# ------------------------------------------------------------------------------------------------------- the estimate
cdef inline int _refused(const cost_request_t* r) noexcept nogil:
    return (r.qty_lots < 1 or r.unit_value < 1 or r.px_ticks < 0 or r.bid_px_ticks < 1
            or r.ask_px_ticks <= r.bid_px_ticks or not _is_amount(r.ask_px_ticks) or not _is_amount(r.px_ticks)
            or (r.post_only and r.px_ticks == 0) or not _is_rate(r.maker_e8)
            or not _is_rate(r.taker_e8) or not _is_rate(r.funding_rate_e8)
            or not 0 <= r.funding_count <= SETTLEMENTS_MAX or not 0 <= r.network_fee <= AMOUNT_MAX)


cdef int _entry(const cost_request_t* r, const int64_t* px_ticks, const int64_t* qty_lots, uint32_t levels,
                cost_t* out) noexcept nogil:
    """Value, fee and slippage of getting in: the part that takes, then the part that rests."""
    cdef int64_t taken = 0, taken_tl = 0, taken_value, resting_value = 0, fee = 0, away2
    cdef int status
    if not cost_is_maker(r.sell, r.px_ticks, r.bid_px_ticks, r.ask_px_ticks, r.post_only):
        status = cost_walk(px_ticks, qty_lots, levels, r.sell, r.px_ticks, r.qty_lots, &taken, &taken_tl,
                           &out.worst_px_ticks)
        # Only a limit order has somewhere to wait for the rest.
        if unlikely(status != OK and not (status == COST_DEPTH_SHORT and r.px_ticks)):
            return status
    out.taken_lots = taken
    if unlikely(mul3(taken_tl, r.unit_value, 1, &taken_value) or not _is_amount(taken_value)
                or mul3(r.px_ticks, r.qty_lots - taken, r.unit_value, &resting_value)
                or not _is_amount(resting_value) or not _is_amount(taken_value + resting_value)):
        return COST_OVERFLOW
    out.value = taken_value + resting_value
    cost_fee(taken_value, r.taker_e8, &out.fee_entry)
    cost_fee(resting_value, r.maker_e8, &fee)
    out.fee_entry += fee
    # Twice the distance from the mid, so that a mid between two ticks stays whole.
    if unlikely(mul3(r.bid_px_ticks + r.ask_px_ticks, taken, 1, &away2)):
        return COST_OVERFLOW
    away2 = away2 - 2 * taken_tl if r.sell else 2 * taken_tl - away2
    if away2 > 0 and unlikely(mul_div_ceil(away2, r.unit_value, 2, &out.slippage)
                              or not _is_amount(out.slippage)):
        return COST_OVERFLOW
    return OK


cdef int cost_estimate(const cost_request_t* r, const int64_t* px_ticks, const int64_t* qty_lots, uint32_t levels,
                       cost_t* out) noexcept nogil:
    """The complete cost of entering and leaving again. The levels are those of the side that the order would take."""
    cdef int status
    cdef int64_t paid
    memset(out, 0, sizeof(cost_t))
    if unlikely(_refused(r)):
        return COST_BAD_INPUT
    status = _entry(r, px_ticks, qty_lots, levels, out)
    if unlikely(status != OK):
        memset(out, 0, sizeof(cost_t))
        return status
    cost_fee(out.value, r.taker_e8, &out.fee_exit)
    cost_funding(out.value, r.sell, r.funding_rate_e8, &out.funding)
    if unlikely(mul3(out.funding, r.funding_count, 1, &out.funding) or not _is_amount(out.funding)):
        memset(out, 0, sizeof(cost_t))
        return COST_OVERFLOW
    out.network = r.network_fee
    paid = out.fee_entry + out.funding + out.network
    # Slippage is inside the entry's value already; the total states it, the break-even must not count it twice.
    out.total = paid + out.fee_exit + out.slippage
    status = cost_break_even(r.sell, r.qty_lots, r.unit_value, out.value, paid, r.taker_e8, &out.break_even_px_ticks)
    if unlikely(status != OK):
        memset(out, 0, sizeof(cost_t))
    return status


# ---------------------------------------------------------------------------------------------------- the Python face
cdef int _raise(int status, str detail) except -1:
    if status != OK:
        raise_status(status, detail)
    return 0


@cython.final
cdef class FeeTable:
    """Fees of `rows` venue markets, refused when older than five minutes."""

    def __cinit__(self, rows, *, int64_t warn_ns=WARN_NS, int64_t refuse_ns=REFUSE_NS):
        if not 1 <= rows <= 4096:
            raise_status(FEES_BAD_SCHEDULE, f"rows={rows}")
        self.c = <fees_t*>block_new(fees_bytes(rows))
        _raise(fees_init(self.c, rows, warn_ns, refuse_ns), f"warn_ns={warn_ns}, refuse_ns={refuse_ns}")

    def __dealloc__(self):
        block_free(self.c)

    def add_tier(self, uint32_t row, int64_t volume_min, int64_t maker_e8, int64_t taker_e8):
        _raise(fees_add_tier(self.c, row, volume_min, maker_e8, taker_e8),
               f"row {row}: volume {volume_min}, maker {maker_e8}, taker {taker_e8}")

    def set_tier(self, uint32_t row, uint32_t tier):
        _raise(fees_set_tier(self.c, row, tier), f"row {row}, tier {tier}")

    def set_volume(self, uint32_t row, int64_t volume):
        _raise(fees_set_volume(self.c, row, volume), f"row {row}")

    def set_discount(self, uint32_t row, int64_t discount_e8, *, uint16_t asset, bint pays):
        _raise(fees_set_discount(self.c, row, discount_e8, asset, pays), f"row {row}, discount {discount_e8}")

    def refresh(self, uint32_t row, int64_t maker_e8, int64_t taker_e8, int64_t ts_ns):
        _raise(fees_refresh(self.c, row, maker_e8, taker_e8, ts_ns), f"row {row}: {maker_e8}/{taker_e8} at {ts_ns}")

    def rate(self, uint32_t row, bint maker, *, int64_t now_ns):
        """(rate in 1e-8, is it old); raises when there is none to be used."""
        cdef int64_t out = 0
        cdef int status = fees_rate(self.c, row, maker, now_ns, &out)
        if status not in (OK, FEES_OLD):
            raise_status(status, f"row {row}")
        return out, status == FEES_OLD


def is_maker(*, bint sell, int64_t px_ticks, int64_t bid_px_ticks, int64_t ask_px_ticks, bint post_only):
    return cost_is_maker(sell, px_ticks, bid_px_ticks, ask_px_ticks, post_only)


def fee(int64_t value, int64_t rate_e8):
    cdef int64_t out = 0
    if not _is_amount(value) or not _is_rate(rate_e8):
        raise_status(COST_BAD_INPUT, f"value {value}, rate {rate_e8}")
    _raise(cost_fee(value, rate_e8, &out), f"value {value}")
    return out


def funding(int64_t value, int64_t rate_e8, *, bint short_side):
    """What one settlement takes (plus) or gives (minus)."""
    cdef int64_t out = 0
    if not _is_amount(value) or not _is_rate(rate_e8):
        raise_status(COST_BAD_INPUT, f"value {value}, rate {rate_e8}")
    _raise(cost_funding(value, short_side, rate_e8, &out), f"value {value}")
    return out


def walk(const int64_t[::1] px_ticks, const int64_t[::1] qty_lots, *, bint sell, int64_t want_lots,
         int64_t limit_ticks=0):
    """(lots taken, ticks x lots, last price) from the levels of the other side."""
    cdef int64_t taken = 0, value = 0, worst = 0
    cdef int status
    if px_ticks.shape[0] != qty_lots.shape[0] or want_lots < 1:
        raise_status(COST_BAD_INPUT, f"{px_ticks.shape[0]} prices, {qty_lots.shape[0]} quantities, {want_lots} lots")
    status = cost_walk(&px_ticks[0] if px_ticks.shape[0] else NULL, &qty_lots[0] if px_ticks.shape[0] else NULL,
                       <uint32_t>px_ticks.shape[0], sell, limit_ticks, want_lots, &taken, &value, &worst)
    _raise(status, f"{taken} of {want_lots} lots")
    return taken, value, worst


def estimate(const int64_t[::1] px_ticks, const int64_t[::1] qty_lots, *, bint sell, int64_t qty, int64_t unit_value,
             int64_t bid_px_ticks, int64_t ask_px_ticks, int64_t maker_e8, int64_t taker_e8, int64_t limit_ticks=0,
             bint post_only=False, int64_t funding_rate_e8=0, int64_t funding_count=0, int64_t network_fee=0):
    """The complete cost of an order by its parts."""
    cdef cost_request_t r
    cdef cost_t out
    memset(&r, 0, sizeof(r))
    r.px_ticks, r.qty_lots, r.unit_value = limit_ticks, qty, unit_value
    r.bid_px_ticks, r.ask_px_ticks = bid_px_ticks, ask_px_ticks
    r.maker_e8, r.taker_e8 = maker_e8, taker_e8
    r.funding_rate_e8, r.funding_count, r.network_fee = funding_rate_e8, funding_count, network_fee
    r.sell, r.post_only = sell, post_only
    if px_ticks.shape[0] != qty_lots.shape[0]:
        raise_status(COST_BAD_INPUT, f"{px_ticks.shape[0]} prices, {qty_lots.shape[0]} quantities")
    cdef int status = cost_estimate(&r, &px_ticks[0] if px_ticks.shape[0] else NULL,
                                    &qty_lots[0] if px_ticks.shape[0] else NULL, <uint32_t>px_ticks.shape[0], &out)
    _raise(status, f"{'sell' if sell else 'buy'} {qty} at {limit_ticks or 'market'}")
    return out

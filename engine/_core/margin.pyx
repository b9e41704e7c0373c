cimport cython
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from engine._core.debug cimport static_assert_c, unlikely
from engine._core.money cimport E8, mul3, mul3_div_ceil, mul3_div_floor, mul_div_ceil, mul_div_floor, product_at_least
from engine._core.types cimport (
    MARGIN_ABOVE_TIERS, MARGIN_BAD_TIERS, MARGIN_INSUFFICIENT, MARGIN_LEVERAGE, MARGIN_MISSING,
    MARGIN_NOT_REDUCING, MARGIN_NO_LIQUIDATION, MARGIN_OVERFLOW, MARGIN_STALE, OK, raise_status,
)

cdef int64_t AMOUNT_MAX = (<int64_t>1 << 60) - 1
# The rule: available margin must be at least 110 % of what is required.
cdef int64_t AVAILABLE_PARTS = 100
cdef int64_t REQUIRED_PARTS = 110


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(tier_t) == 32)
    static_assert_c(sizeof(margin_tiers_t) == 544)
    static_assert_c(sizeof(margin_account_t) == 64)
    static_assert_c(sizeof(margin_position_t) == 64)


cdef inline bint _is_amount(int64_t value) noexcept nogil:
    return -AMOUNT_MAX <= value <= AMOUNT_MAX


# ----------------------------------------------------------------------------------------------------------- brackets
cdef size_t margin_tiers_bytes() noexcept nogil:
    return sizeof(margin_tiers_t)


cdef void margin_tiers_init(margin_tiers_t* t) noexcept nogil:
    memset(t, 0, sizeof(margin_tiers_t))


cdef int margin_tiers_add(margin_tiers_t* t, int64_t notional_cap, int64_t maintenance_e8, int64_t leverage_max,
                          int64_t amount) noexcept nogil:
    """Append the next bracket. Its amount must join the bracket before; -1 has it computed, rounded down (a smaller
    amount is a larger margin)."""
    cdef const tier_t* last
    cdef tier_t* tier
    cdef int64_t joined = 0
    if t.count >= TIERS_MAX or not 0 < notional_cap <= AMOUNT_MAX or not 0 < maintenance_e8 < E8 or leverage_max < 1:
        return MARGIN_BAD_TIERS
    if t.count:
        last = &t.tiers[t.count - 1]
        if (notional_cap <= last.notional_cap or maintenance_e8 < last.maintenance_e8
                or leverage_max > last.leverage_max):
            return MARGIN_BAD_TIERS
        if mul_div_floor(last.notional_cap, maintenance_e8 - last.maintenance_e8, E8, &joined):
            return MARGIN_OVERFLOW
        joined += last.amount
        if amount != -1 and amount != joined:
            return MARGIN_BAD_TIERS
    elif amount != -1:
        if not 0 <= amount <= AMOUNT_MAX:
            return MARGIN_BAD_TIERS
        joined = amount
    tier = &t.tiers[t.count]
    tier.notional_cap = notional_cap
    tier.maintenance_e8 = maintenance_e8
    tier.leverage_max = leverage_max
    tier.amount = joined
    t.count += 1
    return OK


cdef inline int _tier(const margin_tiers_t* t, int64_t notional, const tier_t** out) noexcept nogil:
    # A scan, not a bisect: nearly every notional lies in the first few brackets.
    cdef uint32_t i
    if unlikely(t.count == 0):
        return MARGIN_MISSING
    if unlikely(notional < 0):
        return MARGIN_OVERFLOW
    for i in range(t.count):
        if notional <= t.tiers[i].notional_cap:
            out[0] = &t.tiers[i]
            return OK
    return MARGIN_ABOVE_TIERS


cdef int margin_maintenance(const margin_tiers_t* t, int64_t notional, int64_t* out) noexcept nogil:
    cdef const tier_t* tier = NULL
    cdef int64_t margin
    cdef int status = _tier(t, notional, &tier)
    if unlikely(status != OK):
        return status
    if unlikely(mul_div_ceil(notional, tier.maintenance_e8, E8, &margin)):
        return MARGIN_OVERFLOW
    margin -= tier.amount
    out[0] = margin if margin > 0 else 0
    return OK


cdef int margin_initial(const margin_tiers_t* t, int64_t notional, int64_t leverage, int64_t* out) noexcept nogil:
    cdef const tier_t* tier = NULL
    cdef int status = _tier(t, notional, &tier)
    if unlikely(status != OK):
        return status
    if unlikely(leverage < 1 or leverage > tier.leverage_max):
        return MARGIN_LEVERAGE
    return MARGIN_OVERFLOW if mul_div_ceil(notional, 1, leverage, out) else OK


# -------------------------------------------------------------------------------------------------------- liquidation
cdef int margin_liquidation(const margin_tiers_t* t, const margin_position_t* p, int64_t* px_e8) noexcept nogil:
    """The mark price at which the position is liquidated.

    In notional n at that price: a long needs wallet + n - cost = n x rate - amount, a short wallet + |cost| - n the
    same. Both sides are continuous over the brackets and cross once, so the first bracket whose own solution lies
    at or below its cap is the right one. Above the last cap the last bracket answers.
    """
    cdef int64_t size = p.lots if p.lots > 0 else -p.lots
    cdef int64_t sign = 1 if p.lots > 0 else -1
    cdef int64_t value_per_tick, lent, weight
    cdef uint32_t i
    if unlikely(t.count == 0):
        return MARGIN_MISSING
    if unlikely(p.lots == 0):
        return MARGIN_NO_LIQUIDATION
    if unlikely(not _is_amount(p.wallet) or not _is_amount(p.cost) or not _is_amount(p.other_maintenance)
                or not _is_amount(p.other_unrealised) or not _is_amount(p.lots) or p.tick_e8 < 1 or p.unit_value < 1
                or mul3(size, p.unit_value, 1, &value_per_tick)):
        return MARGIN_OVERFLOW
    i = 0
    while True:
        # `lent` is what the price has to cover: cost - wallet for a long, what a short received and holds.
        lent = sign * (p.cost - p.wallet + p.other_maintenance - p.other_unrealised - t.tiers[i].amount)
        weight = E8 - sign * t.tiers[i].maintenance_e8
        if i + 1 == t.count or product_at_least(t.tiers[i].notional_cap, weight, lent, E8):
            break
        i += 1
    if lent <= 0:
        # A long that owes nothing cannot be liquidated; a short without anything left is, at any price.
        px_e8[0] = 0
        return MARGIN_NO_LIQUIDATION if sign > 0 else OK
    if sign > 0:
        return MARGIN_OVERFLOW if mul3_div_ceil(lent, E8, p.tick_e8, weight, value_per_tick, px_e8) else OK
    return MARGIN_OVERFLOW if mul3_div_floor(lent, E8, p.tick_e8, weight, value_per_tick, px_e8) else OK


cdef int margin_distance_e8(int64_t lots, int64_t mark_px_e8, int64_t liquidation_px_e8, int64_t* out) noexcept nogil:
    """How far the mark may still move against us, as a share of the mark, rounded down; minus when it is past."""
    cdef int64_t room
    if unlikely(mark_px_e8 < 1 or liquidation_px_e8 < 0):
        return MARGIN_MISSING
    room = mark_px_e8 - liquidation_px_e8 if lots > 0 else liquidation_px_e8 - mark_px_e8
    return MARGIN_OVERFLOW if mul_div_floor(room, E8, mark_px_e8, out) else OK


cdef int margin_leverage_e8(int64_t gross, int64_t equity, int64_t* out) noexcept nogil:
    """Gross exposure over equity, rounded up. No equity, no answer."""
    if unlikely(equity < 1 or gross < 0):
        return MARGIN_MISSING
    return MARGIN_OVERFLOW if mul_div_ceil(gross, E8, equity, out) else OK


# -------------------------------------------------------------------------------------------------------- the account
cdef int margin_account_check(const margin_account_t* a, int64_t required, int64_t now_ns, int64_t age_max_ns,
                              int64_t* headroom) noexcept nogil:
    """May `required` more be used? `headroom` is the largest requirement that passes, 0 when the account is not
    known or too old."""
    cdef int64_t available
    headroom[0] = 0
    if unlikely(a.is_known == 0):
        return MARGIN_MISSING
    if unlikely(not 0 <= now_ns - a.ts_ns <= age_max_ns):
        return MARGIN_STALE
    if unlikely(not _is_amount(a.wallet) or not _is_amount(a.unrealised) or not _is_amount(a.initial)
                or not _is_amount(a.reserved_orders) or required < 0):
        return MARGIN_OVERFLOW
    available = margin_available(a)
    if available > 0:
        mul_div_floor(available, AVAILABLE_PARTS, REQUIRED_PARTS, headroom)
    return OK if product_at_least(available, AVAILABLE_PARTS, required, REQUIRED_PARTS) else MARGIN_INSUFFICIENT


cdef int margin_order(const margin_tiers_t* t, int64_t position_lots, int64_t open_lots, bint sell, int64_t qty_lots,
                      int64_t px_ticks, int64_t unit_value, int64_t leverage, int64_t* required) noexcept nogil:
    """Initial margin that an order adds. `open_lots` are the live orders of the same side: all of them may fill
    first. What only reduces requires nothing."""
    cdef int64_t before, after, added, notional, margin
    cdef int status
    required[0] = 0
    if unlikely(open_lots < 0 or qty_lots < 1 or px_ticks < 1 or unit_value < 1 or not _is_amount(position_lots)
                or not _is_amount(open_lots) or not _is_amount(qty_lots)):
        return MARGIN_OVERFLOW
    before = position_lots - open_lots if sell else position_lots + open_lots
    added = exposure_added(before, sell, qty_lots)
    if added == 0:
        return OK
    after = before - qty_lots if sell else before + qty_lots
    # The bracket follows from the whole position, the requirement from what is added.
    if unlikely(mul3(px_ticks, after if after > 0 else -after, unit_value, &notional)):
        return MARGIN_OVERFLOW
    status = margin_initial(t, notional, leverage, &margin)
    if unlikely(status != OK):
        return status
    mul3(px_ticks, added, unit_value, &notional)
    return MARGIN_OVERFLOW if mul_div_ceil(notional, 1, leverage, required) else OK


cdef int margin_reduces(int64_t position_lots, int64_t position_ts_ns, int64_t open_reducing_lots, bint sell,
                        int64_t qty_lots, int64_t now_ns, int64_t age_max_ns) noexcept nogil:
    """Does a reduce-only order really reduce? The position must be known now, and everything that already works to
    reduce it is counted as filled: two closes of the whole would flip it."""
    cdef int64_t size = position_lots if sell else -position_lots
    if unlikely(not 0 <= now_ns - position_ts_ns <= age_max_ns):
        return MARGIN_STALE
    if qty_lots < 1 or open_reducing_lots < 0 or size < open_reducing_lots or size - open_reducing_lots < qty_lots:
        return MARGIN_NOT_REDUCING
    return OK


# ---------------------------------------------------------------------------------------------------- the Python face
cdef int _raise(int status, str detail) except -1:
    if status != OK:
        raise_status(status, detail)
    return 0


@cython.final
cdef class MarginTiers:
    """The brackets of one instrument, lowest first."""

    def __cinit__(self):
        margin_tiers_init(&self.c)

    def add(self, int64_t notional_cap, int64_t maintenance_e8, *, int64_t leverage_max, int64_t amount=-1):
        _raise(margin_tiers_add(&self.c, notional_cap, maintenance_e8, leverage_max, amount),
               f"bracket {self.c.count + 1}: cap {notional_cap}, rate {maintenance_e8}, amount {amount}")

    def rows(self):
        """The brackets as (cap, rate, leverage, amount)."""
        return [(self.c.tiers[i].notional_cap, self.c.tiers[i].maintenance_e8, self.c.tiers[i].leverage_max,
                 self.c.tiers[i].amount) for i in range(self.c.count)]

    def maintenance(self, int64_t notional):
        cdef int64_t out = 0
        _raise(margin_maintenance(&self.c, notional, &out), f"notional {notional}")
        return out

    def initial(self, int64_t notional, int64_t leverage):
        cdef int64_t out = 0
        _raise(margin_initial(&self.c, notional, leverage, &out), f"notional {notional}, leverage {leverage}")
        return out

    def order(self, *, int64_t position_lots, bint sell, int64_t qty_lots, int64_t px_ticks, int64_t unit_value,
              int64_t leverage, int64_t open_lots=0):
        cdef int64_t out = 0
        _raise(margin_order(&self.c, position_lots, open_lots, sell, qty_lots, px_ticks, unit_value, leverage, &out),
               f"{'sell' if sell else 'buy'} {qty_lots} at {px_ticks}, leverage {leverage}")
        return out

    def liquidation_px_e8(self, *, int64_t lots, int64_t cost, int64_t unit_value, int64_t tick_e8, int64_t wallet,
                          int64_t other_maintenance=0, int64_t other_unrealised=0):
        """Isolated with the isolated wallet alone, cross with the others' maintenance and unrealised P&L."""
        cdef margin_position_t p = margin_position_t(
            lots=lots, cost=cost, unit_value=unit_value, tick_e8=tick_e8, wallet=wallet,
            other_maintenance=other_maintenance, other_unrealised=other_unrealised, reserved=0)
        cdef int64_t out = 0
        _raise(margin_liquidation(&self.c, &p, &out), f"{lots} lots at cost {cost}, wallet {wallet}")
        return out

    def check(self):
        """Walk the invariants: caps and rates rise, leverage falls, brackets join."""
        rows = self.rows()
        for below, above in zip(rows, rows[1:]):
            assert below[0] < above[0] and below[1] <= above[1] and below[2] >= above[2], "order of brackets"
            assert above[3] == below[0] * (above[1] - below[1]) // E8 + below[3], "brackets do not join"


def account_headroom(int64_t required=0, *, int64_t wallet, int64_t unrealised, int64_t initial, int64_t now_ns,
                     int64_t age_max_ns, int64_t ts_ns, int64_t reserved_orders=0, bint is_known=True):
    """The largest requirement that passes the 110 % rule; raises when `required` does not."""
    cdef margin_account_t a = margin_account_t(
        wallet=wallet, unrealised=unrealised, initial=initial, maintenance=0, reserved_orders=reserved_orders,
        ts_ns=ts_ns, is_known=is_known, reserved=0)
    cdef int64_t out = 0
    _raise(margin_account_check(&a, required, now_ns, age_max_ns, &out),
           f"required {required}, available {margin_available(&a)}, at most {out}")
    return out


def distance_e8(int64_t lots, int64_t mark_px_e8, int64_t liquidation_px_e8):
    cdef int64_t out = 0
    _raise(margin_distance_e8(lots, mark_px_e8, liquidation_px_e8, &out), f"mark {mark_px_e8}")
    return out


def leverage_e8(int64_t gross, int64_t equity):
    cdef int64_t out = 0
    _raise(margin_leverage_e8(gross, equity, &out), f"gross {gross}, equity {equity}")
    return out


def reduces(*, int64_t position_lots, int64_t position_ts_ns, bint sell, int64_t qty_lots, int64_t now_ns,
            int64_t age_max_ns, int64_t open_reducing_lots=0):
    """Raises unless a reduce-only order really reduces a position that is known now."""
    _raise(margin_reduces(position_lots, position_ts_ns, open_reducing_lots, sell, qty_lots, now_ns, age_max_ns),
           f"position {position_lots}, {'sell' if sell else 'buy'} {qty_lots}, already reducing {open_reducing_lots}")

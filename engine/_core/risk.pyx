cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from engine._core.limits import Limit

from engine._core.debug cimport debug_assert, static_assert_c
from engine._core.limits cimport (
    LIMIT_BOOK_AGE_NS, LIMIT_CANCELS_PER_SECOND, LIMIT_CHURN_PER_MINUTE, LIMIT_CLOCK_DRIFT_NS, LIMIT_CORRELATION_PPM,
    LIMIT_COUNT, LIMIT_DAILY_LOSS_PPM, LIMIT_DRAWDOWN_PPM, LIMIT_EQUITY_AGE_NS, LIMIT_GROSS_SHARE_PPM,
    LIMIT_LEVERAGE_REGIME_PPM, LIMIT_LEVERAGE_TIER_PPM, LIMIT_LIQUIDATION_PPM, LIMIT_MARGIN_PPM,
    LIMIT_NET_SHARE_PPM, LIMIT_OPEN_ORDERS_ALL, LIMIT_OPEN_ORDERS_SYMBOL, LIMIT_ORDERS_PER_SECOND,
    LIMIT_ORDER_NOTIONAL, LIMIT_POSITION_SHARE_PPM, LIMIT_PX_BAND_PPM, LIMIT_REJECTS_IN_A_ROW, LIMIT_SIGNAL_AGE_NS,
    limit, limits_t, limits_tighten,
)
from engine._core.memory cimport block_free, block_new
from engine._core.saturate cimport (
    abs_sat, add_sat, also, part_down, parts_of, parts_t, share_down, share_wide, sign_mask, sub_sat, units_up,
)
from engine._core.simd cimport inlined
from engine._core.types cimport OK, WORLD_UNKNOWN_SYMBOL, raise_status


cdef extern from *:
    const int64_t SECOND "INT64_C(1000000000)"
    const int64_t MINUTE "INT64_C(60000000000)"
    const int64_t PPM "INT64_C(1000000)"

Rule = rule_t
LANES = {"normal": LANE_NORMAL, "reduce": LANE_REDUCE, "protective": LANE_PROTECTIVE}
MODES = {"normal": MODE_NORMAL, "paused": MODE_PAUSED, "reduced": MODE_REDUCED, "emergency": MODE_EMERGENCY}

# What each lane is let off. The table is data: the documents and the twin are drawn from it. The normal lane must be
# let off NOT_REDUCING: `gate_check` asks for no mask where only that one is negative.
_CAPS = [
    RULE_ORDER_NOTIONAL, RULE_POSITION_SHARE, RULE_GROSS, RULE_NET, RULE_LEVERAGE, RULE_CORRELATION, RULE_DRAWDOWN,
    RULE_DAILY_LOSS, RULE_EQUITY_STALE, RULE_MARGIN, RULE_LIQUIDATION, RULE_STOP_MISSING, RULE_OPEN_ORDERS_SYMBOL,
    RULE_OPEN_ORDERS_ALL, RULE_SIGNAL_STALE, RULE_FEES_STALE,
]
_EVEN_THEN = [
    RULE_LATCH, RULE_MODE, RULE_BREAKER, RULE_SYMBOL_HALTED, RULE_BOOK_UNTRUSTED, RULE_BOOK_STALE, RULE_PX_BAND,
    RULE_ORDER_RATE, RULE_CHURN, RULE_REJECTS, RULE_CLOCK_DRIFT,
]
LANE_SKIPS = {LANE_NORMAL: [RULE_NOT_REDUCING], LANE_REDUCE: _CAPS, LANE_PROTECTIVE: _CAPS + _EVEN_THEN}
# On the ack the order is already among the live ones: what counts orders and rates would count it twice. And it rests
# already: what is not known just now (after a restart: everything), or a venue that answers badly, is no reason to take
# it back, only to add nothing.
RECHECK_SKIPS = [
    RULE_ORDER_RATE, RULE_CHURN, RULE_OPEN_ORDERS_SYMBOL, RULE_OPEN_ORDERS_ALL, RULE_DUPLICATE_INTENT,
    RULE_SELF_TRADE, RULE_SIGNAL_STALE, RULE_NOT_REDUCING, RULE_BOOK_UNTRUSTED, RULE_BOOK_STALE, RULE_EQUITY_STALE,
    RULE_CLOCK_DRIFT, RULE_REJECTS, RULE_BREAKER, RULE_NOT_OWNED, RULE_FEES_STALE,
]
# Rules that hold an order against the touch: without one there is nothing to hold it against.
RECHECK_NEEDS_TOUCH = [RULE_PX_PERCENT, RULE_PX_BAND, RULE_LIQUIDATION]

cdef uint64_t _lane_keeps[LANE_COUNT]
cdef uint64_t _recheck_keeps = ~<uint64_t>0
cdef uint64_t _recheck_touch = 0
for _lane, _rules in LANE_SKIPS.items():
    _lane_keeps[<int>_lane] = (<uint64_t>1 << RULE_COUNT) - 1
    for _rule in _rules:
        _lane_keeps[<int>_lane] &= ~(<uint64_t>1 << <int>_rule)
for _rule in RECHECK_SKIPS:
    _recheck_keeps &= ~(<uint64_t>1 << <int>_rule)
for _rule in RECHECK_NEEDS_TOUCH:
    _recheck_touch |= <uint64_t>1 << <int>_rule

# The rules whose failure a smaller order could mend.
cdef uint64_t SIZE_RULES = (
    (<uint64_t>1 << RULE_QTY_RANGE) | (<uint64_t>1 << RULE_ORDER_NOTIONAL) | (<uint64_t>1 << RULE_NOTIONAL_RANGE)
    | (<uint64_t>1 << RULE_POSITION_SHARE) | (<uint64_t>1 << RULE_GROSS) | (<uint64_t>1 << RULE_NET)
    | (<uint64_t>1 << RULE_LEVERAGE) | (<uint64_t>1 << RULE_MARGIN)
)


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(account_t) == 128)
    static_assert_c(sizeof(gate_symbol_t) == 256)
    static_assert_c(sizeof(gate_ask_t) == 80)
    static_assert_c(sizeof(gate_t) == 384)
    static_assert_c(RULE_COUNT <= 40)


cdef size_t gate_bytes(uint64_t symbol_count) noexcept nogil:
    return sizeof(gate_t) + symbol_count * sizeof(gate_symbol_t)


cdef void gate_init(gate_t* g, uint64_t symbol_count, uint64_t seed) noexcept nogil:
    memset(g, 0, gate_bytes(symbol_count))
    g.symbol_count = symbol_count
    g.secret = <uint64_t>gate_token(seed, 0, 0, 0, 0)


cdef uint64_t gate_recheck(const verdict_t* verdict, bint paused, bint cut_off) noexcept nogil:
    """Of the rules that failed, those that an acknowledged order must still pass: limits, exposure, positions, latch.

    Not those that ask for data which may be merely not there yet. A pause stops what is new and leaves what rests, and so
    does a venue that is cut off or not yet compared (`cut_off`: nothing else halts the symbol).
    """
    cdef uint64_t failed = verdict.failed & _recheck_keeps
    if verdict.headroom[<int>RULE_BOOK_UNTRUSTED] < 0 or verdict.headroom[<int>RULE_BOOK_STALE] < 0:
        failed &= ~_recheck_touch
    if paused:
        failed &= ~(<uint64_t>1 << RULE_MODE)
    if cut_off:
        failed &= ~(<uint64_t>1 << RULE_SYMBOL_HALTED)
    return failed


cdef inline int64_t _rate_headroom(int64_t tat_ns, int64_t now_ns, int64_t window_ns, int64_t count) noexcept nogil:
    # Generic cell rate: `count` at once, then one every window / count. The word is when the next one would come in
    # a perfectly even stream; it may lie at most a window less one interval ahead.
    return window_ns - window_ns // (count if count > 0 else 1) - (tat_ns - now_ns)


cdef inline int64_t _rate_take(int64_t tat_ns, int64_t now_ns, int64_t window_ns, int64_t count) noexcept nogil:
    return (tat_ns if tat_ns > now_ns else now_ns) + window_ns // (count if count > 0 else 1)


cdef inline int64_t _flag(bint bad) noexcept nogil:
    """Headroom of a rule that knows only yes and no: 0 passes, -1 fails."""
    return -<int64_t>bad


cdef inline void _note(int64_t* room, int rule, int64_t headroom) noexcept nogil:
    room[rule] = headroom


cdef inline void _put(int64_t* all, int64_t* room, int rule, int64_t headroom) noexcept nogil:
    """Notes what a rule leaves, and its sign among those of all: the sign of the OR says whether any failed."""
    room[rule] = headroom
    all[0] = also(all[0], headroom)


cdef inline int64_t _age_headroom(int64_t age_max_ns, int64_t now_ns, int64_t stamp_ns) noexcept nogil:
    # A stamp from the future is as wrong as an old one: somebody's clock is off, and the age is not known.
    cdef int64_t age = sub_sat(now_ns, stamp_ns)
    return age if age < 0 else sub_sat(age_max_ns, age)


cdef inline inlined _check_state(const limits_t* limits, const account_t* a, const gate_symbol_t* s,
                                 const gate_ask_t* ask, int64_t now_ns, int64_t* room, int64_t* all) noexcept nogil:
    """Is trading allowed at all, and is what the order rests on still true?"""
    _put(all, room, RULE_LATCH, _flag(a.latch != 0))
    # Reduced and Emergency let a reduce-only order pass; a pause only what the core itself protects with.
    _put(all, room, RULE_MODE, _flag(a.mode != MODE_NORMAL and (ask.lane == LANE_NORMAL or a.mode == MODE_PAUSED)))
    _put(all, room, RULE_BREAKER, _flag(a.breaker_denied != 0))
    _put(all, room, RULE_SYMBOL_HALTED, _flag(s.halted != 0))
    _put(all, room, RULE_BOOK_UNTRUSTED,
         _flag((s.book_trusted == 0) | (s.bid_px_ticks <= 0) | (s.ask_px_ticks <= s.bid_px_ticks)))
    _put(all, room, RULE_BOOK_STALE, _age_headroom(limit(limits, LIMIT_BOOK_AGE_NS), now_ns, s.ts_book_ns))
    _put(all, room, RULE_CLOCK_DRIFT, sub_sat(limit(limits, LIMIT_CLOCK_DRIFT_NS), abs_sat(a.clock_drift_ns)))
    _put(all, room, RULE_SIGNAL_STALE, _age_headroom(limit(limits, LIMIT_SIGNAL_AGE_NS), now_ns, ask.ts_signal_ns))
    _put(all, room, RULE_EQUITY_STALE, _age_headroom(limit(limits, LIMIT_EQUITY_AGE_NS), now_ns, a.ts_equity_ns))
    _put(all, room, RULE_FEES_STALE, sub_sat(s.fees_until_ns, now_ns) if s.fees_until_ns else 0)


cdef inline inlined _check_price(const limits_t* limits, const gate_symbol_t* s, const gate_ask_t* ask, int64_t* room,
                                 int64_t* all) noexcept nogil:
    cdef int64_t px = ask.px_ticks
    cdef int64_t mid2 = add_sat(s.bid_px_ticks, s.ask_px_ticks)
    cdef int64_t least = sub_sat(px, s.px_min_ticks), most = sub_sat(s.px_max_ticks, px)
    cdef int64_t away2 = abs_sat(sub_sat(add_sat(px, px), mid2))
    _put(all, room, RULE_PX_RANGE, least if least < most else most)
    _put(all, room, RULE_PX_BAND, sub_sat(share_down(mid2, limit(limits, LIMIT_PX_BAND_PPM)), away2))
    if s.px_liquidation_ticks <= 0:
        _note(room, RULE_LIQUIDATION, 0)
    else:
        away2 = abs_sat(sub_sat(mid2, add_sat(s.px_liquidation_ticks, s.px_liquidation_ticks)))
        _put(all, room, RULE_LIQUIDATION, sub_sat(away2, share_down(mid2, limit(limits, LIMIT_LIQUIDATION_PPM))))
    if s.px_ref_ticks <= 0:
        _put(all, room, RULE_PX_PERCENT, -1)
    elif ask.sell:
        _put(all, room, RULE_PX_PERCENT, sub_sat(px, share_down(s.px_ref_ticks, s.sell_down_ppm)))
    else:
        _put(all, room, RULE_PX_PERCENT, sub_sat(share_down(s.px_ref_ticks, s.buy_up_ppm), px))
    # A stop on the wrong side of the entry protects nothing, nor does one at a price that cannot be.
    if ask.sell:
        _put(all, room, RULE_STOP_MISSING, _flag((ask.px_stop_ticks <= px) | (ask.px_stop_ticks > s.px_max_ticks)))
        _put(all, room, RULE_SELF_TRADE, _flag((ask.px_own_opposite_ticks > 0) & (px <= ask.px_own_opposite_ticks)))
    else:
        _put(all, room, RULE_STOP_MISSING, _flag((ask.px_stop_ticks < s.px_min_ticks) | (ask.px_stop_ticks <= 0)
                                                 | (ask.px_stop_ticks >= px)))
        _put(all, room, RULE_SELF_TRADE, _flag((ask.px_own_opposite_ticks > 0) & (px >= ask.px_own_opposite_ticks)))


cdef inline int64_t _worst_lots(const gate_symbol_t* s, int64_t more_buy, int64_t more_sell) noexcept nogil:
    """The larger side of the position if everything live fills on that side and nothing on the other."""
    cdef int64_t long_side = add_sat(s.lots + s.open_buy_lots, more_buy)
    cdef int64_t short_side = add_sat(s.open_sell_lots - s.lots, more_sell)
    return long_side if long_side > short_side else short_side


cdef struct amounts_t:            # what one order would move, in account units
    int64_t notional              # at its own price
    int64_t value                 # at the dearer of its price and the ask
    int64_t held                  # the symbol's worst position with it
    int64_t added                 # what it makes that worse by
    int64_t required              # margin for it


cdef inline inlined _amounts(const gate_symbol_t* s, const gate_ask_t* ask, amounts_t* m) noexcept nogil:
    cdef int64_t qty = ask.qty_lots
    cdef int64_t buys = 0 if ask.sell else qty, sells = qty if ask.sell else 0
    # Valued at the dearer of order price and ask: a sell at the bid still has to be bought back.
    cdef int64_t px = ask.px_ticks if ask.px_ticks > s.ask_px_ticks else s.ask_px_ticks
    cdef int64_t worst = _worst_lots(s, buys, sells)
    m.notional = units_up(ask.px_ticks, qty, s.value_q32)
    m.value = units_up(px, qty, s.value_q32)
    m.held = units_up(px, worst, s.value_q32)
    m.added = units_up(px, sub_sat(worst, _worst_lots(s, 0, 0)), s.value_q32)


cdef inline inlined _check_order(const limits_t* limits, const gate_symbol_t* s, const gate_ask_t* ask, amounts_t* m,
                                 int64_t* room, int64_t* all) noexcept nogil:
    """The order's own size, and what it may close. NOT_REDUCING is noted, but not in the result: most need not."""
    cdef int64_t qty = ask.qty_lots
    cdef int64_t least = sub_sat(qty, s.qty_min_lots), most = sub_sat(s.qty_max_lots, qty)
    # Rounded up, as its share in `_check_exposure` is: both times against us.
    m.required = add_sat(share_down(m.notional, s.margin_ppm), 1)
    _put(all, room, RULE_QTY_RANGE, least if least < most else most)
    least = sub_sat(m.notional, s.notional_min)
    most = sub_sat(s.notional_max, m.notional)
    _put(all, room, RULE_NOTIONAL_RANGE, least if least < most else most)
    _put(all, room, RULE_ORDER_NOTIONAL, sub_sat(limit(limits, LIMIT_ORDER_NOTIONAL), m.notional))
    # A reduce-only order may at most close what is held and not already being closed. What counts as closing is the
    # caller's to say: an entry of the same side does not, it was judged for what it opens.
    _note(room, RULE_NOT_REDUCING, sub_sat(sub_sat(s.lots if ask.sell else -s.lots, ask.closing_lots), qty))
    # A fee in the base asset leaves less than was bought: no order may sell what the account does not have.
    _put(all, room, RULE_NOT_OWNED, sub_sat(ask.owned_lots, qty) if ask.cash_only else 0)


cdef inline inlined _check_exposure(const limits_t* limits, const account_t* a, const gate_ask_t* ask,
                                    const amounts_t* m, int64_t* room, int64_t* all) noexcept nogil:
    """What the account would hold with the order, against shares of its equity; and the margin."""
    cdef parts_t equity = parts_of(a.equity)
    cdef int64_t share = part_down(equity, limit(limits, LIMIT_POSITION_SHARE_PPM))
    cdef int64_t gross = add_sat(a.gross_worst, m.added)
    cdef int64_t leverage = limit(limits, LIMIT_LEVERAGE_TIER_PPM), regime = limit(limits, LIMIT_LEVERAGE_REGIME_PPM)
    cdef int64_t net = sub_sat(m.value, a.short_worst) if ask.sell else add_sat(a.long_worst, m.value)
    cdef int64_t margin = add_sat(share_down(m.required, limit(limits, LIMIT_MARGIN_PPM)), 1)
    _put(all, room, RULE_MARGIN, sub_sat(a.margin_available, margin))
    _put(all, room, RULE_GROSS, sub_sat(part_down(equity, limit(limits, LIMIT_GROSS_SHARE_PPM)), gross))
    _put(all, room, RULE_NET, sub_sat(part_down(equity, limit(limits, LIMIT_NET_SHARE_PPM)), net))
    _put(all, room, RULE_LEVERAGE, sub_sat(part_down(equity, leverage if leverage < regime else regime), gross))
    # The whole of a share is that share: without a cap nothing is multiplied.
    if a.position_scale_ppm != PPM:
        share = share_wide(share, a.position_scale_ppm)
    _put(all, room, RULE_POSITION_SHARE, sub_sat(share, m.held))


cdef inline inlined _check_account(const limits_t* limits, const account_t* a, const gate_ask_t* ask, int64_t* room,
                                   int64_t* all) noexcept nogil:
    _put(all, room, RULE_CORRELATION, sub_sat(limit(limits, LIMIT_CORRELATION_PPM), ask.correlation_ppm))
    cdef int64_t fall = sub_sat(a.equity, a.peak), loss = sub_sat(a.equity, a.day_base)
    fall = add_sat(share_wide(a.peak, limit(limits, LIMIT_DRAWDOWN_PPM)), fall)
    loss = add_sat(share_wide(a.day_base, limit(limits, LIMIT_DAILY_LOSS_PPM)), loss)
    # An account without a base or without equity has no room for anything.
    _put(all, room, RULE_DRAWDOWN, -1 if (a.peak <= 0) | (a.equity <= 0) else fall)
    _put(all, room, RULE_DAILY_LOSS, -1 if a.day_base <= 0 else loss)


cdef inline inlined _check_counts(const gate_t* g, const limits_t* limits, const account_t* a, const gate_symbol_t* s,
                                  const gate_ask_t* ask, int64_t now_ns, int64_t* room, int64_t* all) noexcept nogil:
    _put(all, room, RULE_ORDER_RATE,
         _rate_headroom(g.orders_tat_ns, now_ns, SECOND, limit(limits, LIMIT_ORDERS_PER_SECOND)))
    _put(all, room, RULE_CHURN, _rate_headroom(s.churn_tat_ns, now_ns, MINUTE, limit(limits, LIMIT_CHURN_PER_MINUTE)))
    # One less than the limit: this order will be one of them.
    _put(all, room, RULE_OPEN_ORDERS_SYMBOL, limit(limits, LIMIT_OPEN_ORDERS_SYMBOL) - s.orders_open - 1)
    _put(all, room, RULE_OPEN_ORDERS_ALL, limit(limits, LIMIT_OPEN_ORDERS_ALL) - a.orders_open - 1)
    _put(all, room, RULE_REJECTS, limit(limits, LIMIT_REJECTS_IN_A_ROW) - s.rejects_in_a_row - 1)
    _put(all, room, RULE_DUPLICATE_INTENT, _flag(ask.duplicate != 0))


cdef void gate_check(const gate_t* g, const limits_t* limits, const account_t* account, const gate_ask_t* ask,
                     int64_t now_ns, verdict_t* out) noexcept nogil:
    """Every rule, no early exit. A negative headroom is a failure; the lane says which failures count.

    The order of the parts is for the processor: a product that waits for a product has short rules behind it, and the
    token's four mixes, each waiting for the last, stand between the parts. The mask of the signs is made only where
    one was negative or the lane lets some off: the normal lane keeps all that `_put` notes.
    """
    cdef const gate_symbol_t* s = &gate_symbols(g)[ask.symbol]
    cdef uint64_t token = gate_mix(g.secret ^ <uint64_t>ask.id_order)
    cdef int64_t* room = out.headroom
    cdef amounts_t m
    cdef int64_t all = 0
    debug_assert(ask.symbol < g.symbol_count)
    debug_assert(ask.lane < LANE_COUNT)
    _amounts(s, ask, &m)
    _check_state(limits, account, s, ask, now_ns, room, &all)
    token = gate_mix(token ^ <uint64_t>ask.px_ticks)
    _check_order(limits, s, ask, &m, room, &all)
    _check_price(limits, s, ask, room, &all)
    token = gate_mix(token ^ <uint64_t>ask.qty_lots)
    _check_exposure(limits, account, ask, &m, room, &all)
    _check_account(limits, account, ask, room, &all)
    token = gate_mix(token ^ ((<uint32_t>ask.symbol << 1) | ask.sell))
    _check_counts(g, limits, account, s, ask, now_ns, room, &all)
    out.notional = m.notional
    out.failed = 0
    if all < 0 or ask.lane != LANE_NORMAL:
        out.failed = sign_mask(room, RULE_COUNT) & _lane_keeps[ask.lane]
    out.token = <int64_t>(token | 1) if out.failed == 0 else 0


cdef void gate_expose(gate_t* g, account_t* account, uint16_t symbol, int64_t px_ticks) noexcept nogil:
    """Bring the account's exposure up to date with one symbol: its position, its live orders and its price.

    Called whenever one of the three changed. The account's sums are the sum over all symbols at any time, without
    ever being added up: what the symbol added before is taken off, what it adds now is put on.
    """
    cdef gate_symbol_t* s = &gate_symbols(g)[symbol]
    cdef int64_t gross = units_up(px_ticks, _worst_lots(s, 0, 0), s.value_q32)
    cdef int64_t longs = units_up(px_ticks, s.lots + s.open_buy_lots, s.value_q32)
    cdef int64_t shorts = units_up(px_ticks, s.lots - s.open_sell_lots, s.value_q32)
    account.gross_worst += gross - s.gross_value
    account.long_worst += longs - s.long_value
    account.short_worst += shorts - s.short_value
    s.gross_value = gross
    s.long_value = longs
    s.short_value = shorts


cdef void gate_commit(gate_t* g, const limits_t* limits, const gate_ask_t* ask, int64_t now_ns) noexcept nogil:
    """The order is really placed: it counts against the rates from now on."""
    cdef gate_symbol_t* s = &gate_symbols(g)[ask.symbol]
    g.orders_tat_ns = _rate_take(g.orders_tat_ns, now_ns, SECOND, limit(limits, LIMIT_ORDERS_PER_SECOND))
    s.churn_tat_ns = _rate_take(s.churn_tat_ns, now_ns, MINUTE, limit(limits, LIMIT_CHURN_PER_MINUTE))
    g.passed_count += 1


cdef void gate_deny(gate_t* g, uint64_t failed) noexcept nogil:
    """Count a denial under every rule that failed, not only the first."""
    cdef int rule
    g.denied_count += 1
    for rule in range(RULE_COUNT):
        g.denied_by_rule[rule] += (failed >> rule) & 1


cdef bint gate_cancel(gate_t* g, const limits_t* limits, uint16_t symbol, int64_t now_ns) noexcept nogil:
    """May a cancel leave now? It has a rate of its own, so orders can never use up what cancels need."""
    cdef gate_symbol_t* s = &gate_symbols(g)[symbol]
    cdef int64_t per_second = limit(limits, LIMIT_CANCELS_PER_SECOND)
    if _rate_headroom(g.cancels_tat_ns, now_ns, SECOND, per_second) < 0:
        g.cancels_held_count += 1
        return False
    g.cancels_tat_ns = _rate_take(g.cancels_tat_ns, now_ns, SECOND, per_second)
    s.churn_tat_ns = _rate_take(s.churn_tat_ns, now_ns, MINUTE, limit(limits, LIMIT_CHURN_PER_MINUTE))
    return True


cdef int64_t gate_largest_lots(const gate_t* g, const limits_t* limits, const account_t* account,
                               const gate_ask_t* ask) noexcept nogil:
    """The largest quantity that would pass the size rules, found by bisection over the rules themselves.

    Every size rule gets harder as the quantity grows, so the passing quantities are one range from the smallest order
    up; asking the rules keeps this right when a rule changes. Some 60 passes of the size rules: for denials only.
    """
    cdef const gate_symbol_t* s = &gate_symbols(g)[ask.symbol]
    cdef int64_t room[RULE_COUNT]
    cdef int64_t low = 0, high, middle, all = 0
    cdef amounts_t m
    cdef gate_ask_t trial = ask[0]
    high = s.qty_max_lots if s.qty_max_lots < (<int64_t>1 << 62) else <int64_t>1 << 62
    memset(room, 0, sizeof(room))
    while low < high:
        middle = low + (high - low + 1) // 2
        trial.qty_lots = middle
        _amounts(s, &trial, &m)
        _check_order(limits, s, &trial, &m, room, &all)
        _check_exposure(limits, account, &trial, &m, room, &all)
        # The lower ends (smallest quantity, smallest notional) are looked at once, when the upper end is known.
        _note(room, RULE_QTY_RANGE, s.qty_max_lots - middle)
        _note(room, RULE_NOTIONAL_RANGE, sub_sat(s.notional_max, m.notional))
        if sign_mask(room, RULE_COUNT) & _lane_keeps[ask.lane] & (SIZE_RULES | (<uint64_t>1 << RULE_NOT_REDUCING)
                                                            | (<uint64_t>1 << RULE_NOT_OWNED)):
            high = middle - 1
        else:
            low = middle
    if low < s.qty_min_lots or units_up(ask.px_ticks, low, s.value_q32) < s.notional_min:
        return 0
    return low


cdef gate_symbol_t _symbol_row
cdef account_t _account_row
SYMBOL = np.asarray(<gate_symbol_t[:1]>&_symbol_row).dtype
ACCOUNT = np.asarray(<account_t[:1]>&_account_row).dtype


@cython.final
cdef class Gate:
    """The gate with limits, an account and symbol rows of its own: for tests, benches and questions of people."""

    def __cinit__(self, *, uint32_t symbols, uint64_t seed=0):
        self.c = <gate_t*>block_new(gate_bytes(symbols))
        gate_init(self.c, symbols, seed)
        memset(&self.limits, 0, sizeof(self.limits))
        memset(&self.account, 0, sizeof(self.account))

    def __dealloc__(self):
        block_free(self.c)

    def set_limits(self, **values):
        """By the names of Limit without their prefix, in lower case."""
        for name, value in values.items():
            self.limits.value[<int>Limit["LIMIT_" + name.upper()]] = value

    def tighten(self, str name, int64_t value):
        """Move one limit in its strict direction; a looser value is a typed error."""
        cdef int status = limits_tighten(&self.limits, <int>Limit["LIMIT_" + name.upper()], value)
        if status != OK:
            raise_status(status, f"{name} to {value}")

    def limit_values(self):
        return {Limit(i).name[len("LIMIT_"):].lower(): self.limits.value[i] for i in range(<int>LIMIT_COUNT)}

    def set_account(self, **values):
        row = np.asarray(<account_t[:1]>&self.account)
        for name, value in values.items():
            row[name][0] = value

    def set_symbol(self, uint32_t symbol, **values):
        if symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        rows = np.asarray(<gate_symbol_t[:self.c.symbol_count]>gate_symbols(self.c))
        for name, value in values.items():
            rows[name][symbol] = value

    def symbol(self, uint32_t symbol):
        """One symbol's row as a dictionary."""
        if symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        return dict(gate_symbols(self.c)[symbol])

    cdef int _fill(self, dict ask) except -1:
        memset(&self.ask, 0, sizeof(self.ask))
        self.ask.id_order = ask.get("id_order", 1)
        self.ask.px_ticks = ask["px_ticks"]
        self.ask.qty_lots = ask["qty_lots"]
        self.ask.px_stop_ticks = ask.get("px_stop_ticks", 0)
        self.ask.px_own_opposite_ticks = ask.get("px_own_opposite_ticks", 0)
        self.ask.ts_signal_ns = ask.get("ts_signal_ns", 0)
        self.ask.correlation_ppm = ask.get("correlation_ppm", -PPM)
        self.ask.closing_lots = ask.get("closing_lots", 0)
        self.ask.owned_lots = ask.get("owned_lots", 0)
        self.ask.cash_only = "owned_lots" in ask
        self.ask.sell = bool(ask.get("sell", False))
        self.ask.lane = <uint8_t>LANES[ask.get("lane", "normal")]
        self.ask.duplicate = bool(ask.get("duplicate", False))
        if ask.get("symbol", 0) >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"symbol {ask['symbol']} of {self.c.symbol_count}")
        self.ask.symbol = ask.get("symbol", 0)
        return 0

    def check_order(self, int64_t now_ns, **ask):
        """(failed mask, headroom by rule, token, notional) of one order; changes nothing."""
        cdef verdict_t verdict
        self._fill(ask)
        gate_check(self.c, &self.limits, &self.account, &self.ask, now_ns, &verdict)
        return verdict.failed, [verdict.headroom[rule] for rule in range(<int>RULE_COUNT)], verdict.token, verdict.notional

    def expose(self, uint32_t symbol, int64_t px_ticks):
        if symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        gate_expose(self.c, &self.account, <uint16_t>symbol, px_ticks)

    def account_values(self):
        return dict(self.account)

    def place(self, int64_t now_ns, **ask):
        """Check and, if it passed, count it. Returns the failed mask."""
        cdef verdict_t verdict
        self._fill(ask)
        gate_check(self.c, &self.limits, &self.account, &self.ask, now_ns, &verdict)
        if verdict.failed:
            gate_deny(self.c, verdict.failed)
        else:
            gate_commit(self.c, &self.limits, &self.ask, now_ns)
        return verdict.failed

    def largest_lots(self, **ask):
        self._fill(ask)
        return gate_largest_lots(self.c, &self.limits, &self.account, &self.ask)

    def cancel(self, int64_t now_ns, uint32_t symbol=0):
        if symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        return gate_cancel(self.c, &self.limits, <uint16_t>symbol, now_ns)

    def token_ok(self, int64_t token, int64_t id_order, int64_t px_ticks, int64_t qty_lots, uint32_t symbol, bint sell):
        return gate_token_ok(self.c, token, id_order, px_ticks, qty_lots, <uint16_t>symbol, sell)

    @property
    def counts(self):
        return {
            "passed": self.c.passed_count, "denied": self.c.denied_count, "cancels_held": self.c.cancels_held_count,
            "by_rule": {Rule(i).name: self.c.denied_by_rule[i] for i in range(<int>RULE_COUNT) if self.c.denied_by_rule[i]},
        }

    def check(self):
        assert self.c.secret != 0, "the tokens have no secret"
        for i in range(<int>RULE_COUNT):
            assert self.c.denied_by_rule[i] <= self.c.denied_count, f"rule {i} denied more than was denied"
        rows = [gate_symbols(self.c)[i] for i in range(self.c.symbol_count)]
        assert self.account.gross_worst == sum(row["gross_value"] for row in rows), "gross exposure"
        assert self.account.long_worst == sum(row["long_value"] for row in rows), "long exposure"
        assert self.account.short_worst == sum(row["short_value"] for row in rows), "short exposure"

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from engine._core.debug cimport debug_assert, static_assert_c, unlikely
from engine._core.ledger cimport (
    ACCOUNT_CASH, BASE_COUNT, BASE_DAY, BASE_PEAK, BASE_SESSION, asset_t, ledger_assets, ledger_positions,
    ledger_symbol_t, ledger_symbols, ledger_t,
)
from engine._core.money cimport E8, mul3_div_ceil, mul3_div_floor
from engine._core.positions cimport position_t
from engine._core.types cimport (
    LEDGER_BAD_AMOUNT, LEDGER_NO_BASE, LEDGER_OVERFLOW, LEDGER_STALE_MARK, LEDGER_UNKNOWN_ASSET,
    LEDGER_UNKNOWN_SYMBOL, OK,
)

cdef int64_t DAY_NS = 86_400_000_000_000
cdef int64_t BALANCE_MAX = (<int64_t>1 << 62) - 1


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(equity_t) == 64)


cdef int ledger_mark(ledger_t* l, uint32_t symbol, int64_t px_e8, int64_t ts_ns) noexcept nogil:
    """Take a symbol's mark price. One that is older than the mark held is dropped: it would hide the newer one."""
    cdef ledger_symbol_t* s
    if unlikely(symbol >= l.symbol_count or not ledger_symbols(l)[symbol].is_set):
        return LEDGER_UNKNOWN_SYMBOL
    if unlikely(px_e8 < 1):
        return LEDGER_BAD_AMOUNT
    s = &ledger_symbols(l)[symbol]
    if unlikely(s.mark_px_e8 and ts_ns < s.mark_ts_ns):
        return LEDGER_STALE_MARK
    s.mark_px_e8 = px_e8
    s.mark_ts_ns = ts_ns
    return OK


cdef int ledger_mark_asset(ledger_t* l, uint32_t asset, int64_t px_e8, int64_t ts_ns) noexcept nogil:
    cdef asset_t* a
    if unlikely(asset >= l.asset_count or ledger_assets(l)[asset].units_per_whole == 0):
        return LEDGER_UNKNOWN_ASSET
    if unlikely(px_e8 < 1 or asset == l.report_asset):
        return LEDGER_BAD_AMOUNT
    a = &ledger_assets(l)[asset]
    if unlikely(a.mark_px_e8 and ts_ns < a.mark_ts_ns):
        return LEDGER_STALE_MARK
    a.mark_px_e8 = px_e8
    a.mark_ts_ns = ts_ns
    return OK


cdef inline bint _fresh(int64_t px_e8, int64_t ts_ns, int64_t now_ns, int64_t age_max_ns) noexcept nogil:
    # A mark from the future is as wrong as an old one.
    return px_e8 > 0 and 0 <= now_ns - ts_ns <= age_max_ns


cdef int ledger_mark_value(const ledger_t* l, uint32_t symbol, int64_t now_ns, int64_t age_max_ns,
                           int64_t* value) noexcept nogil:
    """Signed value of a position at its mark, in quote units, rounded down."""
    cdef const ledger_symbol_t* s
    cdef int64_t lots
    if unlikely(symbol >= l.symbol_count or not ledger_symbols(l)[symbol].is_set):
        return LEDGER_UNKNOWN_SYMBOL
    s = &ledger_symbols(l)[symbol]
    lots = ledger_positions(l)[symbol].lots
    if lots == 0:
        value[0] = 0
        return OK
    if unlikely(not _fresh(s.mark_px_e8, s.mark_ts_ns, now_ns, age_max_ns)):
        return LEDGER_STALE_MARK
    # unit_value is for a whole tick; the mark is finer, so the division comes last.
    if unlikely(mul3_div_floor(lots, s.mark_px_e8, s.unit_value, s.tick_e8, 1, value)):
        return LEDGER_OVERFLOW
    return OK if -BALANCE_MAX <= value[0] <= BALANCE_MAX else LEDGER_OVERFLOW


cdef int ledger_unrealised(const ledger_t* l, uint32_t symbol, bint fifo, int64_t now_ns, int64_t age_max_ns,
                           int64_t* out) noexcept nogil:
    cdef int64_t value
    cdef int status = ledger_mark_value(l, symbol, now_ns, age_max_ns, &value)
    cdef const position_t* p
    if unlikely(status != OK):
        return status
    p = &ledger_positions(l)[symbol]
    out[0] = value - (p.cost_fifo if fifo else p.cost)
    return OK


cdef inline int _value(const ledger_t* l, uint32_t asset, int64_t amount, bint up, int64_t now_ns,
                       int64_t age_max_ns, int64_t* out, int64_t* oldest_ns) noexcept nogil:
    cdef const asset_t* a = &ledger_assets(l)[asset]
    cdef int64_t report = ledger_assets(l)[l.report_asset].units_per_whole
    cdef int over
    if amount == 0 or asset == l.report_asset:
        out[0] = amount
        return OK
    if unlikely(not _fresh(a.mark_px_e8, a.mark_ts_ns, now_ns, age_max_ns)):
        return LEDGER_STALE_MARK
    if up:
        over = mul3_div_ceil(amount, a.mark_px_e8, report, a.units_per_whole, E8, out)
    else:
        over = mul3_div_floor(amount, a.mark_px_e8, report, a.units_per_whole, E8, out)
    oldest_ns[0] = min(oldest_ns[0], a.mark_ts_ns)
    return OK if not over and -BALANCE_MAX <= out[0] <= BALANCE_MAX else LEDGER_OVERFLOW


cdef int ledger_value(const ledger_t* l, uint32_t asset, int64_t amount, int64_t now_ns, int64_t age_max_ns,
                      int64_t* out) noexcept nogil:
    """An amount of an asset in report units, rounded down."""
    cdef int64_t oldest_ns = now_ns
    if unlikely(asset >= l.asset_count or ledger_assets(l)[asset].units_per_whole == 0):
        return LEDGER_UNKNOWN_ASSET
    return _value(l, asset, amount, False, now_ns, age_max_ns, out, &oldest_ns)


cdef inline int _add(int64_t* into, int64_t amount) noexcept nogil:
    # Both are within 2**62, so the sum cannot wrap before it is judged.
    cdef int64_t total = into[0] + amount
    if unlikely(total > BALANCE_MAX or total < -BALANCE_MAX):
        return LEDGER_OVERFLOW
    into[0] = total
    return OK


cdef int _add_position(const ledger_t* l, uint32_t symbol, int64_t now_ns, int64_t age_max_ns,
                       equity_t* out) noexcept nogil:
    cdef const ledger_symbol_t* s = &ledger_symbols(l)[symbol]
    cdef const position_t* p = &ledger_positions(l)[symbol]
    cdef int64_t value, worth, size
    cdef int status = ledger_mark_value(l, symbol, now_ns, age_max_ns, &value)
    if unlikely(status != OK):
        return status
    out.oldest_ns = min(out.oldest_ns, s.mark_ts_ns)
    if s.linear:
        # Value and cost have the sign of the lots, so the difference of two balances is one too.
        debug_assert(-BALANCE_MAX <= value - p.cost)
        debug_assert(value - p.cost <= BALANCE_MAX)
        status = _value(l, s.quote, value - p.cost, False, now_ns, age_max_ns, &worth, &out.oldest_ns)
        if unlikely(status != OK or _add(&out.unrealised, worth) != OK):
            return status if status != OK else LEDGER_OVERFLOW
    status = _value(l, s.quote, value if value > 0 else -value, True, now_ns, age_max_ns, &size, &out.oldest_ns)
    if unlikely(status != OK or _add(&out.gross, size) != OK):
        return status if status != OK else LEDGER_OVERFLOW
    out.largest = max(out.largest, size)
    return _add(&out.net, size if value > 0 else -size)


cdef int ledger_equity(const ledger_t* l, int64_t now_ns, int64_t age_max_ns, equity_t* out) noexcept nogil:
    """Value everything at marks not older than `age_max_ns`. On any other status than OK `out` holds no value,
    only the culprit."""
    cdef uint32_t i
    cdef int64_t worth
    cdef int status = OK
    cdef bint is_symbol = False
    memset(out, 0, sizeof(equity_t))
    out.oldest_ns = now_ns
    i = 0
    while i < l.asset_count and status == OK:
        status = _value(l, i, ledger_assets(l)[i].balance[<int>ACCOUNT_CASH], False, now_ns, age_max_ns, &worth,
                        &out.oldest_ns)
        if status == OK:
            status = _add(&out.cash, worth)
        i += 1
    if status == OK:
        is_symbol = True
        i = 0
        while i < l.symbol_count and status == OK:
            if ledger_positions(l)[i].lots:
                status = _add_position(l, i, now_ns, age_max_ns, out)
            i += 1
    out.equity = out.cash
    if status == OK:
        status = _add(&out.equity, out.unrealised)
    if unlikely(status != OK):
        memset(out, 0, sizeof(equity_t))
        out.culprit = i - 1
        out.culprit_is_symbol = is_symbol
    return status


cdef int _shift_bases(ledger_t* l, int64_t now_ns, int64_t age_max_ns, equity_t* out) noexcept nogil:
    """Move every base by the transfers since the last valuation. All or nothing."""
    cdef uint32_t i
    cdef int base, status
    cdef int64_t worth, shift = 0
    for i in range(l.asset_count):
        if ledger_assets(l)[i].pending_flow:
            status = _value(l, i, ledger_assets(l)[i].pending_flow, False, now_ns, age_max_ns, &worth,
                            &out.oldest_ns)
            if status == OK:
                status = _add(&shift, worth)
            if unlikely(status != OK):
                memset(out, 0, sizeof(equity_t))
                out.culprit = i
                return status
    if l.equity_is_set:
        for base in range(<int>BASE_COUNT):
            worth = l.base_value[base]
            if unlikely(_add(&worth, shift) != OK):
                return LEDGER_OVERFLOW
        for base in range(<int>BASE_COUNT):
            l.base_value[base] += shift
    for i in range(l.asset_count):
        ledger_assets(l)[i].pending_flow = 0
    return OK


cdef inline void _set_base(ledger_t* l, int base, int64_t equity, int64_t now_ns) noexcept nogil:
    l.base_value[base] = equity
    l.base_ts_ns[base] = now_ns


cdef int ledger_revalue(ledger_t* l, int64_t now_ns, int64_t age_max_ns, equity_t* out) noexcept nogil:
    """Value everything and move the bases. Without a whole valuation nothing changes."""
    cdef int status = ledger_equity(l, now_ns, age_max_ns, out)
    cdef int64_t day = now_ns - l.day_cut_ns
    if status == OK:
        status = _shift_bases(l, now_ns, age_max_ns, out)
    if unlikely(status != OK):
        return status
    # Floor: the day before the first cut of the epoch is day -1.
    day = day // DAY_NS - (day % DAY_NS < 0)
    if not l.equity_is_set:
        _set_base(l, BASE_SESSION, out.equity, now_ns)
        _set_base(l, BASE_PEAK, out.equity, now_ns)
    if not l.equity_is_set or day > l.day_number:
        _set_base(l, BASE_DAY, out.equity, now_ns)
        l.day_number = day
    if out.equity > l.base_value[<int>BASE_PEAK]:
        _set_base(l, BASE_PEAK, out.equity, now_ns)
    l.equity_is_set = 1
    l.equity = out.equity
    l.equity_ts_ns = now_ns
    l.equity_oldest_ns = out.oldest_ns
    return OK


cdef inline int _equity_is_usable(const ledger_t* l, int64_t now_ns, int64_t age_max_ns) noexcept nogil:
    if unlikely(not l.equity_is_set):
        return LEDGER_NO_BASE
    # Judged by the oldest mark inside it: a valuation made now from old marks is old.
    if unlikely(not 0 <= now_ns - l.equity_oldest_ns <= age_max_ns):
        return LEDGER_STALE_MARK
    return OK


cdef int ledger_pnl(const ledger_t* l, int base, int64_t now_ns, int64_t age_max_ns, int64_t* out) noexcept nogil:
    """Profit since a named base, realised and unrealised, transfers apart."""
    cdef int status = _equity_is_usable(l, now_ns, age_max_ns)
    if unlikely(status != OK):
        return status
    if unlikely(not 0 <= base < BASE_COUNT):
        return LEDGER_NO_BASE
    out[0] = l.equity - l.base_value[base]
    return OK


cdef int ledger_drawdown_e8(const ledger_t* l, int64_t now_ns, int64_t age_max_ns, int64_t* out) noexcept nogil:
    """Loss from the peak as a share of the peak, rounded up. A peak that is not above zero has no share."""
    cdef int status = _equity_is_usable(l, now_ns, age_max_ns)
    cdef int64_t peak = l.base_value[<int>BASE_PEAK]
    if unlikely(status != OK):
        return status
    if unlikely(peak < 1):
        return LEDGER_NO_BASE
    return LEDGER_OVERFLOW if mul3_div_ceil(peak - l.equity, E8, 1, peak, 1, out) else OK

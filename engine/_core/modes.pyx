cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    MODE_BAD_CONFIG, MODE_ILLEGAL, MODE_NOT_READY, MODE_NOT_YOURS, MODE_UNKNOWN_SYMBOL, OK, raise_status,
)

cdef extern from * nogil:
    """
    #include <stdint.h>
    static inline int64_t bot4m_add(int64_t a, int64_t b) {
        int64_t r;
        return __builtin_add_overflow(a, b, &r) ? (a < 0 ? INT64_MIN : INT64_MAX) : r;
    }
    static inline int64_t bot4m_sub(int64_t a, int64_t b) {
        int64_t r;
        return __builtin_sub_overflow(a, b, &r) ? (a < 0 ? INT64_MIN : INT64_MAX) : r;
    }
    static inline int64_t bot4m_abs(int64_t a) { return a == INT64_MIN ? INT64_MAX : a < 0 ? -a : a; }
    /* base * ppm / 1e6 rounded down; every base here is positive. */
    static inline int64_t bot4m_share(int64_t base, int64_t ppm) { return (int64_t)((__int128)base * ppm / 1000000); }
    /* The price of an attempt: from the near touch a step further with each, never past the band around the mid. */
    static inline int64_t bot4m_price(int64_t bid, int64_t ask, int sell, int64_t give_ppm, int64_t band_ppm) {
        __int128 mid2 = (__int128)bid + ask, give, edge;
        if (sell) {
            give = bid - (__int128)bid * give_ppm / 1000000;
            edge = (mid2 * (1000000 - band_ppm) + 1999999) / 2000000;
            give = give < edge ? edge : give;
            return give < 1 ? 1 : give > bid ? bid : (int64_t)give;
        }
        give = ask + (__int128)ask * give_ppm / 1000000;
        edge = mid2 * (1000000 + band_ppm) / 2000000;
        give = give > edge ? edge : give;
        return give < ask ? ask : give > INT64_MAX ? INT64_MAX : (int64_t)give;
    }
    """
    int64_t add_sat "bot4m_add"(int64_t a, int64_t b) noexcept
    int64_t sub_sat "bot4m_sub"(int64_t a, int64_t b) noexcept
    int64_t abs_sat "bot4m_abs"(int64_t a) noexcept
    int64_t share_down "bot4m_share"(int64_t base, int64_t ppm) noexcept
    int64_t attempt_price "bot4m_price"(int64_t bid, int64_t ask, bint sell, int64_t give_ppm, int64_t band_ppm) noexcept

cdef int64_t NEVER = INT64_MIN
cdef int64_t PPM = 1_000_000
cdef int64_t SECOND = 1_000_000_000

Mode = mode_t
Who = who_t
Need = need_t
Phase = phase_t
Outcome = outcome_t
Goal = goal_t
Act = act_t

_BACK = NEED_LATCH_CLEAR | NEED_COOLDOWN | NEED_RECONCILED
# from, to, who may ask, what must be true. Whoever may stop, may; the way back to Normal has conditions and nobody but
# people may ask for it; Emergency leads to Paused only. What is not here does not exist.
SWITCHES = (
    (MODE_NORMAL, MODE_PAUSED, WHO_HUMAN | WHO_ENGINE | WHO_LATCH, 0),
    (MODE_NORMAL, MODE_REDUCED, WHO_HUMAN | WHO_ENGINE, 0),
    (MODE_NORMAL, MODE_EMERGENCY, WHO_HUMAN | WHO_ENGINE | WHO_LATCH, 0),
    (MODE_PAUSED, MODE_NORMAL, WHO_HUMAN, _BACK),
    (MODE_PAUSED, MODE_REDUCED, WHO_HUMAN | WHO_ENGINE, 0),
    (MODE_PAUSED, MODE_EMERGENCY, WHO_HUMAN | WHO_ENGINE | WHO_LATCH, 0),
    (MODE_REDUCED, MODE_NORMAL, WHO_HUMAN, _BACK),
    (MODE_REDUCED, MODE_PAUSED, WHO_HUMAN | WHO_LATCH, 0),
    (MODE_REDUCED, MODE_EMERGENCY, WHO_HUMAN | WHO_ENGINE | WHO_LATCH, 0),
    (MODE_EMERGENCY, MODE_PAUSED, WHO_HUMAN, NEED_LATCH_CLEAR | NEED_RECONCILED | NEED_PLAN_ENDED),
)
# phase, what ends it, where it leads, its deadline. The documents are drawn from this table.
PHASES = (
    (PHASE_CANCEL, "a cancel was asked for every symbol with live orders", (PHASE_CONFIRM,), "cancel_ns"),
    (PHASE_CONFIRM, "no live order is left", (PHASE_FLATTEN, PHASE_REPORT), "confirm_ns"),
    (PHASE_FLATTEN, "every symbol is flat or out of attempts", (PHASE_VERIFY,), "flatten_ns"),
    (PHASE_VERIFY, "the venue says flat, or a late fill opened one again", (PHASE_REPORT, PHASE_FLATTEN), "verify_ns"),
    (PHASE_REPORT, "everything still open is named", (PHASE_ENDED,), ""),
)

cdef uint32_t _who[MODE_COUNT][MODE_COUNT]       # 0: no such switch
cdef uint32_t _need[MODE_COUNT][MODE_COUNT]
memset(_who, 0, sizeof(_who))
for _from, _to, _asker, _conditions in SWITCHES:
    _who[<int>_from][<int>_to] = _asker
    _need[<int>_from][<int>_to] = _conditions


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(modes_t) == 320)
    static_assert_c(sizeof(modes_symbol_t) == 64)
    static_assert_c(sizeof(modes_fact_t) == 64)
    static_assert_c(sizeof(modes_action_t) == 32)


# ------------------------------------------------------------------------------------------------- set-up
cdef void modes_defaults(modes_config_t* c) noexcept nogil:
    c.cooldown_ns = 900 * SECOND
    c.reduce_interval_ns, c.reduce_share_ppm, c.reduce_target_ppm = 60 * SECOND, 100_000, 500_000
    c.cancel_ns, c.confirm_ns, c.flatten_ns, c.verify_ns = 2 * SECOND, 5 * SECOND, 60 * SECOND, 10 * SECOND
    c.retry_ns, c.reprice_ns = SECOND, 3 * SECOND
    c.give_ppm, c.band_ppm = 500, 10_000
    c.attempts_standard, c.attempts_aggressive, c.cancels_max = 5, 3, 3
    c.equity_agree_ppm = 5_000


cdef bint _config_ok(const modes_config_t* c) noexcept nogil:
    if c.cooldown_ns < 0 or c.reduce_interval_ns <= 0 or not 0 < c.reduce_share_ppm <= PPM:
        return False
    if not 0 <= c.reduce_target_ppm < PPM or c.cancel_ns < 0 or c.confirm_ns < 0 or c.flatten_ns < 0 or c.verify_ns < 0:
        return False
    if c.retry_ns <= 0 or c.reprice_ns <= 0 or c.give_ppm < 0 or not 0 <= c.band_ppm < PPM or c.give_ppm > PPM:
        return False
    if not 0 <= c.attempts_standard <= 1000 or not 0 <= c.attempts_aggressive <= 1000:
        return False
    return 1 <= c.cancels_max <= 1000 and 0 <= c.equity_agree_ppm < PPM


cdef size_t modes_bytes(uint32_t symbols) noexcept nogil:
    return sizeof(modes_t) + symbols * sizeof(modes_symbol_t)


cdef void _fresh(modes_symbol_t* row) noexcept nogil:
    memset(row, 0, sizeof(modes_symbol_t))
    row.placed_ns = row.quiet_ns = row.asked_ns = row.verified_ns = row.cancel_ns = NEVER


cdef int modes_init(modes_t* m, const modes_config_t* config, uint32_t symbols) noexcept nogil:
    cdef uint32_t i
    if not _config_ok(config) or not 1 <= symbols <= 65535:
        return MODE_BAD_CONFIG
    memset(m, 0, modes_bytes(symbols))
    m.config = config[0]
    m.symbol_count = symbols
    # Nothing trades before everything that protects it is ready: a start is a pause.
    m.mode = MODE_PAUSED
    m.since_ns = NEVER
    for i in range(symbols):
        _fresh(&modes_symbols(m)[i])
    return OK


# ------------------------------------------------------------------------------------------------- switches
cdef bint _equities_agree(const modes_t* m, const modes_ready_t* r) noexcept nogil:
    if r.equity_first <= 0 or r.equity_second <= 0:
        return False
    cdef int64_t more = r.equity_first if r.equity_first > r.equity_second else r.equity_second
    return abs_sat(r.equity_first - r.equity_second) <= share_down(more, m.config.equity_agree_ppm)


cdef void _enter(modes_t* m, uint32_t phase, int64_t now_ns) noexcept nogil:
    m.phase = phase
    m.phase_ns = now_ns


cdef void _begin(modes_t* m, uint32_t goal, bint aggressive, const modes_ready_t* ready, int64_t now_ns) noexcept nogil:
    cdef const modes_config_t* c = &m.config
    cdef uint32_t i
    for i in range(m.symbol_count):
        _fresh(&modes_symbols(m)[i])
    # An equity that only one source believes in is no reason to sell everything.
    m.halted = goal == GOAL_FLATTEN and not _equities_agree(m, ready)
    m.goal = <uint32_t>GOAL_CANCEL if m.halted else goal
    m.aggressive = aggressive
    m.outcome = OUTCOME_NONE
    m.begun_ns = now_ns
    m.cancel_by_ns = add_sat(now_ns, c.cancel_ns)
    m.confirm_by_ns = add_sat(m.cancel_by_ns, c.confirm_ns)
    m.flatten_by_ns = add_sat(m.confirm_by_ns, c.flatten_ns)
    m.verify_by_ns = add_sat(m.flatten_by_ns, c.verify_ns)
    m.report_at = 0
    m.plan_count += 1
    _enter(m, PHASE_CANCEL, now_ns)
    if goal == GOAL_KEEP:
        m.outcome = OUTCOME_KEPT
        _enter(m, PHASE_REPORT, now_ns)


cdef inline bint _plan_runs(const modes_t* m) noexcept nogil:
    return m.phase != PHASE_IDLE and m.phase != PHASE_ENDED


cdef int _again(modes_t* m, uint32_t to, uint32_t who, bint aggressive, const modes_ready_t* ready,
                int64_t now_ns) noexcept nogil:
    """The mode asked for stands already: only an emergency has more to give."""
    if to == MODE_EMERGENCY and _plan_runs(m):
        m.aggressive |= aggressive
    elif to == MODE_EMERGENCY and who == WHO_HUMAN and m.outcome != OUTCOME_FLAT:
        # A person may press again; the engine never starts a plan over by itself.
        _begin(m, GOAL_FLATTEN, aggressive, ready, now_ns)
    return OK


cdef int modes_switch(modes_t* m, uint32_t to, uint32_t who, bint aggressive, const modes_ready_t* ready,
                      int64_t now_ns) noexcept nogil:
    """Change the mode now, or say why not. The mode stands when this returns; plans begin with the next step."""
    cdef uint32_t need, missing = 0
    if to == m.mode and (who == WHO_HUMAN or who == WHO_ENGINE or who == WHO_LATCH):
        return _again(m, to, who, aggressive, ready, now_ns)
    if to >= MODE_COUNT or _who[m.mode][to] == 0:
        m.refused_count += 1
        return MODE_ILLEGAL
    # One asker, exactly: a mask of several is nobody.
    if (who & (who - 1)) != 0 or _who[m.mode][to] & who == 0:
        m.refused_count += 1
        return MODE_NOT_YOURS
    need = _need[m.mode][to]
    missing |= NEED_LATCH_CLEAR * (ready.latch_clear != 1)
    missing |= NEED_RECONCILED * (ready.reconciled != 1)
    missing |= NEED_COOLDOWN * (m.since_ns != NEVER and sub_sat(now_ns, m.since_ns) < m.config.cooldown_ns)
    missing |= NEED_PLAN_ENDED * _plan_runs(m)
    # A plan that runs (on_exit) is never left half-way to trade again.
    if to == MODE_NORMAL:
        need |= NEED_PLAN_ENDED
    if missing & need:
        m.refused_count += 1
        return MODE_NOT_READY
    m.mode = to
    m.since_ns = now_ns
    m.switch_count += 1
    m.human_count += who == WHO_HUMAN
    m.captured = 0
    m.steps = 0
    if to == MODE_EMERGENCY:
        _begin(m, GOAL_FLATTEN, aggressive, ready, now_ns)
    return OK


cdef void modes_exit(modes_t* m, uint32_t goal, bint aggressive, const modes_ready_t* ready, int64_t now_ns) noexcept nogil:
    """The process wants to end: keep, cancel or flatten, as the same plan. Never a looser mode than the one that stands."""
    cdef uint32_t to = MODE_EMERGENCY if goal >= GOAL_FLATTEN else MODE_PAUSED
    if m.mode == MODE_EMERGENCY:
        return                    # its plan runs or has ended: an exit adds nothing
    m.mode = to
    m.since_ns = now_ns
    m.switch_count += 1
    _begin(m, goal if goal <= GOAL_FLATTEN else <uint32_t>GOAL_FLATTEN, aggressive, ready, now_ns)


cdef int modes_verified(modes_t* m, uint32_t symbol, int64_t lots, int64_t as_of_ns) noexcept nogil:
    """The venue said what it holds; `as_of_ns` is when it was asked, so that an old answer cannot pass for a new one."""
    if symbol >= m.symbol_count:
        return MODE_UNKNOWN_SYMBOL
    if as_of_ns > modes_symbols(m)[symbol].verified_ns:
        modes_symbols(m)[symbol].verified_ns = as_of_ns
        modes_symbols(m)[symbol].verified_lots = lots
    return OK


# ------------------------------------------------------------------------------------------------- one symbol
cdef struct pass_t:               # one call's actions
    modes_action_t* out
    uint32_t room
    uint32_t count


cdef bint _put(modes_t* m, pass_t* p, uint32_t kind, uint32_t symbol, bint sell, int64_t px, int64_t qty,
               int64_t value) noexcept nogil:
    cdef modes_action_t* a
    if p.count == p.room:
        return False
    a = &p.out[p.count]
    p.count += 1
    m.action_count += 1
    a.kind, a.symbol, a.sell, a.reserved = kind, <uint16_t>symbol, sell, 0
    a.px_ticks, a.qty_lots, a.value = px, qty, value
    return True


cdef void _cancel(modes_t* m, modes_symbol_t* row, pass_t* p, uint32_t kind, uint32_t symbol, int64_t now_ns) noexcept nogil:
    if row.cancels >= m.config.cancels_max:
        return
    if row.cancel_ns != NEVER and sub_sat(now_ns, row.cancel_ns) < m.config.retry_ns:
        return
    if _put(m, p, kind, symbol, False, 0, 0, row.cancels + 1):
        row.cancels += 1
        row.cancel_ns = now_ns


cdef bint _verify(modes_t* m, modes_symbol_t* row, pass_t* p, uint32_t symbol, int64_t now_ns) noexcept nogil:
    if row.asked_ns != NEVER and sub_sat(now_ns, row.asked_ns) < m.config.retry_ns:
        return False
    if _put(m, p, ACT_VERIFY, symbol, False, 0, 0, 0):
        row.asked_ns = now_ns
    return False


cdef inline int64_t _sellable(const modes_fact_t* f) noexcept nogil:
    """What of the position an order could close: no fee has taken it."""
    cdef int64_t held = abs_sat(f.lots)
    return held - f.dust_lots if held > f.dust_lots else 0


cdef inline bint _is_dust(const modes_fact_t* f) noexcept nogil:
    """Something is held and nothing of it can be asked for."""
    return f.lots != 0 and f.orders_live == 0 and (_sellable(f) == 0 or _sellable(f) < f.qty_min_lots)


cdef bint _close(modes_t* m, modes_symbol_t* row, const modes_fact_t* f, pass_t* p, uint32_t symbol, int64_t surplus,
                 uint32_t live, uint32_t cancel_kind, bint aggressive, int64_t attempts_max,
                 int64_t now_ns) noexcept nogil:
    """Bring one symbol `surplus` lots nearer to flat. True when nothing more is to be done for it."""
    cdef bint sell = f.lots > 0
    cdef int64_t closing = f.open_sell_lots if sell else f.open_buy_lots
    cdef int64_t need = surplus - (closing if closing > 0 else 0), px = 0
    if live > 0:
        if row.working and sub_sat(now_ns, row.placed_ns) < m.config.reprice_ns:
            return False
        if row.cancels < m.config.cancels_max or sub_sat(now_ns, row.cancel_ns) < m.config.retry_ns:
            _cancel(m, row, p, cancel_kind, symbol, now_ns)
            return False
    # Here the last attempt has ended, or its order refuses to go: then only what it does not cover may be asked for.
    if row.working:
        row.working = 0
        row.quiet_ns = now_ns
    if surplus <= 0:
        row.stuck = live > 0
        return True
    if row.attempts >= attempts_max:
        row.stuck = 1
        return True
    if row.attempts > 0 and (row.verified_ns < row.quiet_ns or row.verified_lots != f.lots):
        return _verify(m, row, p, symbol, now_ns)
    if need <= 0:
        return False
    if need < f.qty_min_lots:
        row.stuck = need == surplus
        return row.stuck
    if not aggressive:
        if not 0 < f.bid_px_ticks < f.ask_px_ticks:
            return False          # no price to ask for: wait for one, or for the aggressive part
        px = attempt_price(f.bid_px_ticks, f.ask_px_ticks, sell, m.config.give_ppm * row.attempts, m.config.band_ppm)
    if _put(m, p, ACT_PLACE_MARKET if aggressive else ACT_PLACE_LIMIT, symbol, sell, px, need, row.attempts + 1):
        row.attempts += 1
        row.placed_ns = now_ns
        row.working = 1
        row.cancels = 0
        row.cancel_ns = NEVER
    return False


# ------------------------------------------------------------------------------------------------- Reduced
cdef int64_t _target(const modes_t* m, int64_t start_lots, int64_t lots) noexcept nogil:
    """The most that may be held now, towards flat rounded: a lot less, never a lot more."""
    cdef int64_t most = PPM - m.config.reduce_target_ppm
    cdef int64_t cut = most if m.steps > most // m.config.reduce_share_ppm else m.steps * m.config.reduce_share_ppm
    if (start_lots > 0) != (lots > 0) or start_lots == 0:
        return 0                  # opened after the switch, or turned round: nothing of it was meant to stay
    return share_down(abs_sat(start_lots), PPM - (cut if cut < most else most))


cdef void _reduce(modes_t* m, const modes_fact_t* facts, int64_t now_ns, pass_t* p) noexcept nogil:
    cdef int64_t steps = sub_sat(now_ns, m.since_ns) // m.config.reduce_interval_ns, surplus
    cdef modes_symbol_t* row
    cdef uint32_t i = 0, n, symbol
    if not m.captured:
        for i in range(m.symbol_count):
            _fresh(&modes_symbols(m)[i])
            modes_symbols(m)[i].start_lots = facts[i].lots
        m.captured = 1
    if steps > m.steps:
        m.steps = steps
        for i in range(m.symbol_count):
            row = &modes_symbols(m)[i]
            # A new step, a new count of attempts; what the last one still has in the market stays its own.
            row.attempts = 1 if row.attempts > 0 else 0
            row.cancels = 0
            row.stuck = 0
    n = m.symbol_count
    for i in range(n):
        symbol = <uint32_t>((m.next_symbol + i) % n)
        row = &modes_symbols(m)[symbol]
        if facts[symbol].entries_live > 0:
            _cancel(m, row, p, ACT_CANCEL_ENTRIES, symbol, now_ns)
        if facts[symbol].lots != 0 or facts[symbol].plan_live > 0:
            surplus = abs_sat(facts[symbol].lots) - _target(m, row.start_lots, facts[symbol].lots)
            _close(m, row, &facts[symbol], p, symbol, min(surplus, _sellable(&facts[symbol])),
                   facts[symbol].plan_live, ACT_CANCEL_PLAN, False, m.config.attempts_standard + 1, now_ns)
        if p.count == p.room:
            break
    m.next_symbol = (m.next_symbol + i) % n if p.count == p.room else 0


# ------------------------------------------------------------------------------------------------- the plan
cdef inline uint32_t _live(const modes_t* m, const modes_fact_t* f) noexcept nogil:
    return f.orders_live if m.goal == GOAL_FLATTEN else f.entries_live


cdef bint _sweep(modes_t* m, const modes_fact_t* facts, int64_t now_ns, pass_t* p) noexcept nogil:
    """CANCEL and CONFIRM: ask where something is live. CANCEL is over when all were asked, CONFIRM when none is live."""
    cdef uint32_t i
    cdef bint done = True
    cdef modes_symbol_t* row
    for i in range(m.symbol_count):
        row = &modes_symbols(m)[i]
        row.touched |= facts[i].lots != 0 or facts[i].orders_live > 0
        if _live(m, &facts[i]) == 0:
            continue
        _cancel(m, row, p, ACT_CANCEL_ALL if m.goal == GOAL_FLATTEN else ACT_CANCEL_ENTRIES, i, now_ns)
        if m.phase == PHASE_CONFIRM or row.cancels == 0:
            done = False
    return done


cdef bint _flatten(modes_t* m, const modes_fact_t* facts, int64_t now_ns, pass_t* p) noexcept nogil:
    cdef uint32_t i, symbol, n = m.symbol_count
    cdef bint done = True, aggressive
    cdef modes_symbol_t* row
    # Half the time with prices, the rest without: a plan that only ever asks politely would end open.
    cdef bint late = now_ns >= sub_sat(m.flatten_by_ns, m.config.flatten_ns // 2)
    for i in range(n):
        symbol = <uint32_t>((m.next_symbol + i) % n)
        row = &modes_symbols(m)[symbol]
        row.touched |= facts[symbol].lots != 0 or facts[symbol].orders_live > 0
        if facts[symbol].orders_live == 0 and (facts[symbol].lots == 0 or _is_dust(&facts[symbol])):
            if row.working:
                row.working = 0
                row.quiet_ns = now_ns
            continue
        if row.stuck:
            continue
        aggressive = m.aggressive or late or row.attempts >= m.config.attempts_standard
        if not _close(m, row, &facts[symbol], p, symbol, _sellable(&facts[symbol]), facts[symbol].orders_live,
                      ACT_CANCEL_ALL, aggressive, m.config.attempts_standard + m.config.attempts_aggressive, now_ns):
            done = False
    m.next_symbol = (m.next_symbol + 1) % n
    return done


cdef bint _verified_flat(modes_t* m, const modes_fact_t* facts, int64_t now_ns, pass_t* p) noexcept nogil:
    """VERIFY: True when it is over. A late fill, while there is time for it, goes back to FLATTEN."""
    cdef uint32_t i
    cdef bint done = True, stuck = False, dusty = False
    cdef modes_symbol_t* row
    for i in range(m.symbol_count):
        row = &modes_symbols(m)[i]
        if _is_dust(&facts[i]):
            dusty = True
        elif facts[i].lots != 0 or facts[i].orders_live > 0:
            row.touched = 1
            if row.stuck or now_ns >= m.flatten_by_ns:
                stuck = True
                continue
            _enter(m, PHASE_FLATTEN, now_ns)
            return False
        if row.touched and (row.verified_ns < m.phase_ns or row.verified_lots != facts[i].lots):
            _verify(m, row, p, i, now_ns)
            done = False
    if done:
        m.outcome = OUTCOME_PARTIAL if stuck else OUTCOME_DUST if dusty else OUTCOME_FLAT
    return done


cdef void _report(modes_t* m, const modes_fact_t* facts, int64_t now_ns, pass_t* p) noexcept nogil:
    cdef const modes_fact_t* f
    cdef modes_symbol_t* row
    cdef bint doubtful, confirmed
    while m.report_at < m.symbol_count:
        f = &facts[m.report_at]
        row = &modes_symbols(m)[m.report_at]
        # Flat by our own book and not confirmed by the venue is open too, as far as anybody knows.
        doubtful = m.goal == GOAL_FLATTEN and row.touched and (row.verified_ns < m.phase_ns
                                                                and m.outcome == OUTCOME_PARTIAL)
        confirmed = m.goal == GOAL_FLATTEN and row.verified_ns >= m.phase_ns and row.verified_lots == f.lots
        if _is_dust(f) and confirmed:
            if not _put(m, p, ACT_DUST, <uint32_t>m.report_at, f.lots > 0, 0, f.lots, f.dust_lots):
                return
        elif f.lots != 0 or f.orders_live > 0 or doubtful:
            if not _put(m, p, ACT_OPEN, <uint32_t>m.report_at, f.lots > 0, 0, f.lots, f.orders_live):
                return
        m.report_at += 1
    if _put(m, p, ACT_ENDED, 0, False, 0, 0, m.outcome):
        _enter(m, PHASE_ENDED, now_ns)


cdef void _plan(modes_t* m, const modes_fact_t* facts, int64_t now_ns, pass_t* p) noexcept nogil:
    """Each state in turn; a state that is over leads on within the same call."""
    if m.phase == PHASE_CANCEL and (_sweep(m, facts, now_ns, p) or now_ns >= m.cancel_by_ns):
        _enter(m, PHASE_CONFIRM, now_ns)
    if m.phase == PHASE_CONFIRM:
        if _sweep(m, facts, now_ns, p):
            if m.goal == GOAL_CANCEL:
                m.outcome = OUTCOME_HALTED if m.halted else OUTCOME_CANCELED
            _enter(m, PHASE_FLATTEN if m.goal == GOAL_FLATTEN else PHASE_REPORT, now_ns)
        elif now_ns >= m.confirm_by_ns:
            if m.goal == GOAL_CANCEL:
                m.outcome = OUTCOME_HALTED if m.halted else OUTCOME_PARTIAL
            _enter(m, PHASE_FLATTEN if m.goal == GOAL_FLATTEN else PHASE_REPORT, now_ns)
    if m.phase == PHASE_FLATTEN and (_flatten(m, facts, now_ns, p) or now_ns >= m.flatten_by_ns):
        _enter(m, PHASE_VERIFY, now_ns)
    if m.phase == PHASE_VERIFY:
        if _verified_flat(m, facts, now_ns, p):
            _enter(m, PHASE_REPORT, m.phase_ns)
        elif m.phase == PHASE_VERIFY and now_ns >= m.verify_by_ns:
            m.outcome = OUTCOME_PARTIAL
            _enter(m, PHASE_REPORT, m.phase_ns)
    if m.phase == PHASE_REPORT:
        _report(m, facts, now_ns, p)


cdef uint32_t modes_work(modes_t* m, const modes_fact_t* facts, int64_t now_ns, modes_action_t* out,
                         uint32_t room) noexcept nogil:
    cdef pass_t p
    p.out, p.room, p.count = out, room, 0
    if m.phase != PHASE_IDLE and m.phase != PHASE_ENDED:
        _plan(m, facts, now_ns, &p)
    elif m.mode == MODE_REDUCED:
        _reduce(m, facts, now_ns, &p)
    return p.count


# ------------------------------------------------------------------------------------------------- the Python face
cdef enum:
    ROOM_MAX = 4096


@cython.final
cdef class Modes:
    """The modes with fact rows of their own: for tests, benches and tools."""

    def __cinit__(self, *, uint32_t symbols, **config):
        cdef modes_config_t c
        modes_defaults(&c)
        row = np.asarray(<modes_config_t[:1]>&c)
        for name, value in config.items():
            row[name][0] = value
        self.c = <modes_t*>block_new(modes_bytes(symbols))
        self.facts = <modes_fact_t*>block_new((symbols + 1) * sizeof(modes_fact_t))
        if modes_init(self.c, &c, symbols) != OK:
            raise_status(MODE_BAD_CONFIG, f"symbols={symbols}, {config}")

    def __dealloc__(self):
        block_free(self.c)
        block_free(self.facts)

    def _ready(self, ready):
        return [int(ready.get(name, 0)) for name in ("latch_clear", "reconciled", "equity_first", "equity_second")]

    def switch(self, uint32_t to, uint32_t who, int64_t now_ns, *, bint aggressive=False, **ready):
        """Returns the status: OK, or why the mode stays."""
        cdef modes_ready_t r
        r.latch_clear, r.reconciled, r.equity_first, r.equity_second = self._ready(ready)
        return modes_switch(self.c, to, who, aggressive, &r, now_ns)

    def exit(self, uint32_t goal, int64_t now_ns, *, bint aggressive=False, **ready):
        cdef modes_ready_t r
        r.latch_clear, r.reconciled, r.equity_first, r.equity_second = self._ready(ready)
        modes_exit(self.c, goal, aggressive, &r, now_ns)

    def verified(self, uint32_t symbol, int64_t lots, int64_t as_of_ns):
        return modes_verified(self.c, symbol, lots, as_of_ns)

    def fact(self, uint32_t symbol, **values):
        if symbol >= self.c.symbol_count:
            raise_status(MODE_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        rows = np.asarray(<modes_fact_t[:self.c.symbol_count]>self.facts)
        for name, value in values.items():
            rows[name][symbol] = value

    def step(self, int64_t now_ns, uint32_t room=ROOM_MAX):
        """The actions of one step: (kind, symbol, sell, price, lots, value)."""
        cdef modes_action_t out[ROOM_MAX]
        cdef uint32_t count = modes_step(self.c, self.facts, now_ns, out, room if room < ROOM_MAX else ROOM_MAX)
        return [(out[i].kind, out[i].symbol, bool(out[i].sell), out[i].px_ticks, out[i].qty_lots, out[i].value)
                for i in range(count)]

    @property
    def state(self):
        return {
            "mode": self.c.mode, "phase": self.c.phase, "outcome": self.c.outcome, "goal": self.c.goal,
            "aggressive": self.c.aggressive, "halted": self.c.halted, "steps": self.c.steps,
        }

    @property
    def counts(self):
        return {"switches": self.c.switch_count, "refused": self.c.refused_count, "plans": self.c.plan_count,
                "actions": self.c.action_count, "by_people": self.c.human_count}

    def attempts(self, uint32_t symbol):
        if symbol >= self.c.symbol_count:
            raise_status(MODE_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        return modes_symbols(self.c)[symbol].attempts

    def check(self):
        cdef modes_t* m = self.c
        cdef modes_symbol_t* row
        assert m.mode < MODE_COUNT and m.phase < PHASE_COUNT, "a state that means nothing"
        assert (m.phase != PHASE_ENDED) or m.outcome != OUTCOME_NONE, "an ended plan without an outcome"
        assert m.cancel_by_ns <= m.confirm_by_ns <= m.flatten_by_ns <= m.verify_by_ns, "deadlines"
        most = m.config.attempts_standard + m.config.attempts_aggressive + 1
        for i in range(m.symbol_count):
            row = &modes_symbols(m)[i]
            assert row.attempts <= most and row.cancels <= m.config.cancels_max, f"symbol {i}: past a cap"
            assert not row.working or row.attempts > 0, f"symbol {i}: works on nothing"

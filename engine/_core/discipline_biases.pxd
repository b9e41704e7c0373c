"""The five biases of people and what meets them: cooldowns, caps, a forced stop, more sources.

Owns: when each is seen, and the only way a cooldown changes: it ends later, never sooner. Does not own: what a strategy has
proved (discipline_record), whether a signal passes.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from engine._core.discipline cimport (
    BIAS_CONFIRMATION, BIAS_FOMO, BIAS_LOSS_AVERSION, BIAS_OVERCONFIDENCE, BIAS_REVENGE, CORRECT_BLOCK, CORRECT_CAP,
    CORRECT_CONFIRM, CORRECT_FORCE_STOP, FACT_UNKNOWN, REASON_CONFIRMATION, REASON_COOLDOWN_FOMO, REASON_COOLDOWN_REVENGE,
    REASON_FOMO, REASON_LOSS_AVERSION, REASON_OVERCONFIDENCE, REASON_REVENGE, SIGN_SIZE, SIGN_STOPS, SIGN_STREAK,
    SIGN_WARNING, corrective_action_t, discipline_config_t, discipline_strategy_t, discipline_symbol_t, discipline_symbols,
    discipline_t, discipline_verdict_t, facts_t, signal_t,
)
from engine._core.discipline_sums cimport NEVER, PPM, add_sat, share_down, size_above, sub_sat


cdef inline void arm(int64_t* until, int64_t now_ns, int64_t cooldown_ns) noexcept nogil:
    """The only way a cooldown changes: it ends later, never sooner."""
    cdef int64_t end = add_sat(now_ns, cooldown_ns)
    if end > until[0]:
        until[0] = end


cdef inline void tell_bias(discipline_t* d, discipline_verdict_t* out, uint32_t bias, uint32_t kind,
                           const signal_t* signal, int64_t until_ns, int64_t value) noexcept nogil:
    cdef corrective_action_t* action = &out.actions[out.action_count]
    out.action_count += 1
    out.detected |= <uint64_t>1 << bias
    d.detected_by_bias[<int>bias] += 1
    action.kind, action.bias = kind, bias
    action.strategy, action.symbol, action.reserved = signal.strategy, signal.symbol, 0
    action.until_ns, action.value = until_ns, value


cdef inline bint still_blocked(int64_t until_ns, int64_t now_ns, discipline_verdict_t* out) noexcept nogil:
    if now_ns >= until_ns:
        return False
    if until_ns > out.until_ns:
        out.until_ns = until_ns
    return True


cdef inline uint64_t fomo(discipline_t* d, discipline_symbol_t* y, const signal_t* signal, const facts_t* facts,
                          int64_t now_ns, discipline_verdict_t* out) noexcept nogil:
    cdef uint64_t reasons = <uint64_t>still_blocked(y.fomo_until_ns, now_ns, out) << REASON_COOLDOWN_FOMO
    cdef int64_t rise = facts.rise_ppm, sentiment = facts.sentiment_ppm
    cdef bint chases = signal.px_ticks > facts.px_band_high_ticks
    if signal.sell:
        # The mirror: selling into a fall that everybody fears. What is unknown stays unknown.
        rise = sub_sat(0, rise) if rise != FACT_UNKNOWN else rise
        sentiment = sub_sat(0, sentiment) if sentiment != FACT_UNKNOWN else sentiment
        chases = signal.px_ticks < facts.px_band_low_ticks
    if sentiment == FACT_UNKNOWN:
        sentiment = PPM
    if chases or (rise >= d.config.fomo_rise_ppm and sentiment >= d.config.fomo_sentiment_ppm):
        arm(&y.fomo_until_ns, now_ns, d.config.fomo_cooldown_ns)
        still_blocked(y.fomo_until_ns, now_ns, out)
        tell_bias(d, out, BIAS_FOMO, CORRECT_BLOCK, signal, y.fomo_until_ns, 0)
        reasons |= <uint64_t>1 << REASON_FOMO
    return reasons


cdef inline uint64_t revenge(discipline_t* d, discipline_strategy_t* s, discipline_symbol_t* y, const signal_t* signal,
                             int64_t now_ns, discipline_verdict_t* out) noexcept nogil:
    cdef int64_t window = d.config.revenge_window_ns
    cdef bint own = s.loss_ns != NEVER and sub_sat(now_ns, s.loss_ns) < window
    cdef bint same = y.loss_ns != NEVER and sub_sat(now_ns, y.loss_ns) < window
    cdef bint blocked = still_blocked(s.revenge_until_ns, now_ns, out)
    # Not `or`: both ends must be looked at, the later one is reported.
    cdef uint64_t reasons = <uint64_t>(blocked | still_blocked(y.revenge_until_ns, now_ns, out)) << REASON_COOLDOWN_REVENGE
    if own:
        arm(&s.revenge_until_ns, now_ns, d.config.revenge_cooldown_ns)
        still_blocked(s.revenge_until_ns, now_ns, out)
    if same:
        arm(&y.revenge_until_ns, now_ns, d.config.revenge_cooldown_ns)
        still_blocked(y.revenge_until_ns, now_ns, out)
    if own or same:
        tell_bias(d, out, BIAS_REVENGE, CORRECT_BLOCK, signal,
                  s.revenge_until_ns if not same or s.revenge_until_ns > y.revenge_until_ns else y.revenge_until_ns, 0)
        reasons |= <uint64_t>1 << REASON_REVENGE
    return reasons


cdef inline uint64_t overconfidence(discipline_t* d, discipline_strategy_t* s, const signal_t* signal, const facts_t* facts,
                                    int64_t now_ns, discipline_verdict_t* out) noexcept nogil:
    cdef const discipline_config_t* c = &d.config
    cdef uint32_t signs = 0
    cdef int64_t cap = share_down(facts.equity, c.cap_ppm) if facts.equity > 0 else 0
    if s.wins_in_row > c.wins_max:
        signs |= SIGN_STREAK
    if s.count > 0 and signal.notional > 0 and size_above(signal.notional, s.count, s.notional_sum, c.size_factor_ppm):
        signs |= SIGN_SIZE
    if now_ns < s.warned_until_ns and signal.notional >= s.warned_notional:
        s.ignored_warnings += 1
        signs |= SIGN_WARNING
    if signal.stop_ppm < s.stop_last_ppm and s.stops_shrunk + 1 >= c.shrinking_stops:
        signs |= SIGN_STOPS
    out.signs = signs
    if signs != 0:
        arm(&s.cap_until_ns, now_ns, c.cap_cooldown_ns)
        tell_bias(d, out, BIAS_OVERCONFIDENCE, CORRECT_CAP, signal, s.cap_until_ns, cap)
    if now_ns >= s.cap_until_ns:
        return 0
    out.notional_max = cap
    out.scale_ppm = 0
    if facts.position_share_ppm > 0:
        out.scale_ppm = PPM if facts.position_share_ppm <= c.cap_ppm else c.cap_ppm * PPM // facts.position_share_ppm
    if signal.notional <= cap:
        return 0
    still_blocked(s.cap_until_ns, now_ns, out)
    return <uint64_t>1 << REASON_OVERCONFIDENCE


cdef inline bint touch_ok(const facts_t* facts) noexcept nogil:
    return 0 < facts.bid_px_ticks < facts.ask_px_ticks


cdef inline bint beyond_stop(const facts_t* facts) noexcept nogil:
    """The side of the touch that would close the position is at its stop or past it."""
    if facts.position_lots > 0:
        return facts.bid_px_ticks <= facts.px_stop_ticks
    return facts.position_lots < 0 and facts.ask_px_ticks >= facts.px_stop_ticks


cdef inline bint stop_is_forced(discipline_t* d, uint32_t symbol, const facts_t* facts, int64_t now_ns,
                                corrective_action_t* action) noexcept nogil:
    """Ask of every price of a held symbol: whether the stop has to be forced now, and the action that says so.

    Level-triggered: the demand comes again every `stop_retry_ns` until the position is closed or back inside.
    """
    cdef discipline_symbol_t* y
    if symbol >= d.symbol_count:
        return False
    y = &discipline_symbols(d)[symbol]
    if facts.position_lots != 0 and (not touch_ok(facts) or facts.px_stop_ticks <= 0):
        return False              # not to be judged now: what was seen before stays
    if facts.position_lots == 0 or not beyond_stop(facts):
        y.beyond_ns = y.forced_ns = NEVER
        y.forced_count = 0
        return False
    if y.beyond_ns == NEVER:
        y.beyond_ns = now_ns
    if sub_sat(now_ns, y.beyond_ns) < d.config.stop_grace_ns:
        return False
    if y.forced_ns != NEVER and sub_sat(now_ns, y.forced_ns) < d.config.stop_retry_ns:
        return False
    y.forced_ns = now_ns
    y.forced_count += 1
    d.detected_by_bias[<int>BIAS_LOSS_AVERSION] += 1
    action.kind, action.bias = CORRECT_FORCE_STOP, BIAS_LOSS_AVERSION
    action.strategy, action.symbol, action.reserved = 0, <uint16_t>symbol, 0
    action.until_ns, action.value = 0, facts.position_lots
    return True


cdef inline uint64_t loss_aversion(discipline_t* d, const signal_t* signal, const facts_t* facts, int64_t now_ns,
                                   discipline_verdict_t* out) noexcept nogil:
    """Nobody adds to a position that should be closed, nor to one of which that cannot be told."""
    if facts.position_lots == 0:
        return 0
    if stop_is_forced(d, signal.symbol, facts, now_ns, &out.actions[out.action_count]):
        out.actions[out.action_count].strategy = signal.strategy
        out.action_count += 1
        out.detected |= <uint64_t>1 << BIAS_LOSS_AVERSION
    if touch_ok(facts) and facts.px_stop_ticks > 0 and not beyond_stop(facts):
        return 0
    return <uint64_t>1 << REASON_LOSS_AVERSION


cdef inline uint64_t confirmation(discipline_t* d, const signal_t* signal, discipline_verdict_t* out) noexcept nogil:
    cdef uint64_t sources = signal.sources
    cdef uint32_t count = 0
    while sources != 0 and count < d.config.confirmations_min:
        sources &= sources - 1
        count += 1
    if count >= d.config.confirmations_min:
        return 0
    tell_bias(d, out, BIAS_CONFIRMATION, CORRECT_CONFIRM, signal, 0, d.config.confirmations_min)
    return <uint64_t>1 << REASON_CONFIRMATION

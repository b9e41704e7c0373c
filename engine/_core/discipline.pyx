cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport static_assert_c, unlikely
from engine._core.discipline_biases cimport (
    arm, confirmation, fomo, loss_aversion, overconfidence, revenge, stop_is_forced, touch_ok,
)
from engine._core.discipline_record cimport critical_e6, judge, keep, student_tail
from engine._core.discipline_sums cimport NEVER, PPM, RETURN_MOST, add_sat, return_down, share_down
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    DISCIPLINE_BAD_CONFIG, DISCIPLINE_BAD_RESULT, DISCIPLINE_REFUSED, DISCIPLINE_UNKNOWN, OK, raise_status,
)

cdef int64_t HOUR = 3_600_000_000_000
cdef int64_t NOTIONAL_MOST = <int64_t>1 << 52    # so that 1,024 of them add up inside a word

cdef uint64_t RECORD_REASONS = (
    (<uint64_t>1 << REASON_TOO_FEW_SAMPLES) | (<uint64_t>1 << REASON_INSIGNIFICANT) | (<uint64_t>1 << REASON_NEGATIVE_EV)
    | (<uint64_t>1 << REASON_LOW_SHARPE) | (<uint64_t>1 << REASON_LOW_CONFIDENCE)
)

Reason = reason_t
Bias = bias_t
Corrective = corrective_t
Sign = sign_t
Claim = claim_t
Validator = validator_t
DecisionFlag = decision_flag_t
UNKNOWN = FACT_UNKNOWN

# bias, what meets it, where its cooldown stands, corrective action, cooldown. The documents are drawn from this table.
BIASES = (
    (BIAS_FOMO, "entry with a fast rise at high sentiment, or beyond the band", "symbol", CORRECT_BLOCK, "fomo_cooldown_ns"),
    (BIAS_REVENGE, "entry within the window after a loss", "symbol and strategy", CORRECT_BLOCK, "revenge_cooldown_ns"),
    (BIAS_OVERCONFIDENCE, "a streak, a size, an ignored warning or shrinking stops", "strategy", CORRECT_CAP,
     "cap_cooldown_ns"),
    (BIAS_LOSS_AVERSION, "position beyond its stop for longer than the grace", "symbol", CORRECT_FORCE_STOP, ""),
    (BIAS_CONFIRMATION, "fewer independent sources than required", "signal", CORRECT_CONFIRM, ""),
)


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(discipline_t) == 576)
    static_assert_c(sizeof(discipline_strategy_t) == 192)
    static_assert_c(sizeof(discipline_symbol_t) == 64)
    static_assert_c(sizeof(discipline_record_t) == 32)
    static_assert_c(sizeof(signal_t) == 80)
    static_assert_c(sizeof(corrective_action_t) == 32)


# ------------------------------------------------------------------------------------------------- set-up
cdef void discipline_defaults(discipline_config_t* c) noexcept nogil:
    """The rules as they were asked for. Every one of them may only be made stricter."""
    memset(c, 0, sizeof(discipline_config_t))
    c.p_max, c.sharpe_min, c.confidence_min = 0.05, 2.0, 0.75
    c.sharpe_span_min_ns = 24 * HOUR
    c.fomo_rise_ppm, c.fomo_sentiment_ppm, c.fomo_cooldown_ns = 50_000, 700_000, HOUR
    c.revenge_window_ns, c.revenge_cooldown_ns = HOUR // 4, 4 * HOUR
    c.cap_ppm, c.cap_cooldown_ns, c.size_factor_ppm = 10_000, 4 * HOUR, 1_500_000
    c.warning_window_ns = HOUR // 4
    c.stop_grace_ns, c.stop_retry_ns = 0, HOUR // 3600
    c.explore_share_ppm, c.explore_max = 1_000, 200
    c.samples_min, c.window, c.trials = 30, 256, 1
    c.wins_max, c.shrinking_stops, c.confirmations_min = 5, 3, 3


cdef bint _config_ok(const discipline_config_t* c) noexcept nogil:
    cdef discipline_config_t least
    discipline_defaults(&least)
    # Written so that a NaN fails: every comparison with it is false.
    if not (0.0 < c.p_max <= least.p_max and c.sharpe_min >= least.sharpe_min and c.sharpe_min < 1e6):
        return False
    if not (least.confidence_min <= c.confidence_min < 1.0):
        return False
    if c.fomo_cooldown_ns < least.fomo_cooldown_ns or c.revenge_cooldown_ns < least.revenge_cooldown_ns:
        return False
    if c.cap_cooldown_ns < least.cap_cooldown_ns or not 0 < c.cap_ppm <= least.cap_ppm:
        return False
    if not PPM <= c.size_factor_ppm <= least.size_factor_ppm or not 1 <= c.wins_max <= least.wins_max:
        return False
    if not least.confirmations_min <= c.confirmations_min <= 64 or not 1 <= c.shrinking_stops <= least.shrinking_stops:
        return False
    if c.fomo_rise_ppm <= 0 or not 0 < c.fomo_sentiment_ppm <= PPM or c.revenge_window_ns <= 0:
        return False
    if c.warning_window_ns <= 0 or c.stop_grace_ns < 0 or c.stop_retry_ns <= 0 or c.sharpe_span_min_ns < HOUR:
        return False
    if not 0 <= c.explore_share_ppm <= least.cap_ppm or c.paper > 1:
        return False
    # Where money is real the figures decide.
    if c.validator > <uint32_t>VALIDATOR_REHEARSE or (c.validator != <uint32_t>VALIDATOR_ENFORCE and not c.paper):
        return False
    return 10 <= c.samples_min <= c.window <= 1024 and 1 <= c.trials <= 1000


cdef size_t discipline_bytes(const discipline_config_t* c, uint32_t strategies, uint32_t symbols) noexcept nogil:
    cdef size_t critical = (2 * sizeof(int64_t) * (c.window + 1) + 63) & ~<size_t>63
    return (sizeof(discipline_t) + strategies * sizeof(discipline_strategy_t) + symbols * sizeof(discipline_symbol_t)
            + critical + <size_t>strategies * c.window * sizeof(discipline_record_t))


cdef int discipline_init(discipline_t* d, const discipline_config_t* config, uint32_t strategies,
                         uint32_t symbols) noexcept nogil:
    cdef uint32_t i
    if not _config_ok(config) or not 1 <= strategies <= 4096 or not 1 <= symbols <= 65535:
        return DISCIPLINE_BAD_CONFIG
    memset(d, 0, discipline_bytes(config, strategies, symbols))
    d.config = config[0]
    d.strategy_count, d.symbol_count = strategies, symbols
    d.symbols_at = sizeof(discipline_t) + strategies * sizeof(discipline_strategy_t)
    d.critical_at = d.symbols_at + symbols * sizeof(discipline_symbol_t)
    d.records_at = d.critical_at + ((2 * sizeof(int64_t) * (config.window + 1) + 63) & ~<size_t>63)
    for i in range(2, config.window + 1):
        discipline_critical(d)[2 * i] = critical_e6(config.p_max / config.trials, i - 1)
        discipline_critical(d)[2 * i + 1] = critical_e6(1.0 - config.confidence_min, i - 1)
    for i in range(strategies):
        discipline_strategies(d)[i].failed = RECORD_REASONS
        discipline_strategies(d)[i].revenge_until_ns = discipline_strategies(d)[i].cap_until_ns = NEVER
        discipline_strategies(d)[i].loss_ns = discipline_strategies(d)[i].warned_until_ns = NEVER
        discipline_strategies(d)[i].result_ns = NEVER
    for i in range(symbols):
        discipline_symbols(d)[i].fomo_until_ns = discipline_symbols(d)[i].revenge_until_ns = NEVER
        discipline_symbols(d)[i].loss_ns = discipline_symbols(d)[i].beyond_ns = NEVER
        discipline_symbols(d)[i].forced_ns = NEVER
    return OK


# ------------------------------------------------------------------------------------------------- the record
cdef int discipline_result(discipline_t* d, uint32_t strategy, uint32_t symbol, int64_t pnl, int64_t notional,
                           int64_t stop_ppm, int64_t now_ns) noexcept nogil:
    """One closed trade: its profit after all costs and the stake it had, in account units."""
    cdef discipline_strategy_t* s
    cdef int64_t gain
    if strategy >= d.strategy_count or symbol >= d.symbol_count:
        d.results_refused_count += 1
        return DISCIPLINE_UNKNOWN
    s = &discipline_strategies(d)[strategy]
    if notional <= 0 or notional > NOTIONAL_MOST or stop_ppm < 0 or now_ns < 0 or now_ns < s.result_ns:
        d.results_refused_count += 1
        s.refused_count += 1
        return DISCIPLINE_BAD_RESULT
    gain = return_down(pnl, notional, RETURN_MOST)
    if gain == RETURN_MOST or gain == -RETURN_MOST:
        s.clamped_count += 1
    keep(d, strategy, now_ns, gain, notional, stop_ppm)
    s.result_count += 1
    s.stops_shrunk = s.stops_shrunk + 1 if stop_ppm < s.stop_last_ppm else 0
    s.stop_last_ppm = stop_ppm
    s.wins_in_row = s.wins_in_row + 1 if pnl > 0 else 0
    if pnl < 0:
        s.loss_ns = now_ns
        if now_ns > discipline_symbols(d)[symbol].loss_ns:
            discipline_symbols(d)[symbol].loss_ns = now_ns
    judge(d, s, discipline_records(d, strategy))
    return OK


cdef int discipline_warn(discipline_t* d, uint32_t strategy, int64_t notional, int64_t now_ns) noexcept nogil:
    """A risk warning was given about a size. An entry of that size or more within the window ignores it."""
    cdef discipline_strategy_t* s
    cdef int64_t until = add_sat(now_ns, d.config.warning_window_ns)
    if strategy >= d.strategy_count:
        return DISCIPLINE_UNKNOWN
    s = &discipline_strategies(d)[strategy]
    # Two warnings at once: the smaller size and the later end rule.
    if now_ns >= s.warned_until_ns or notional < s.warned_notional:
        s.warned_notional = notional
    if until > s.warned_until_ns:
        s.warned_until_ns = until
    return OK


# ------------------------------------------------------------------------------------------------- over a restart
cdef inline void _later(int64_t* until, int64_t other) noexcept nogil:
    if other > until[0]:
        until[0] = other


cdef int discipline_carry(discipline_t* d, uint32_t to, const discipline_t* before, uint32_t strategy) noexcept nogil:
    """A strategy goes on with its record and its rests, under rules that may have become others: it is judged anew."""
    cdef discipline_strategy_t* s
    cdef const discipline_strategy_t* b
    cdef const discipline_record_t* r
    cdef uint32_t i, count, oldest
    if to >= d.strategy_count or strategy >= before.strategy_count:
        return DISCIPLINE_UNKNOWN
    s = &discipline_strategies(d)[to]
    b = &discipline_strategies(before)[strategy]
    if s.count != 0:
        return DISCIPLINE_BAD_RESULT
    count = b.count if b.count < d.config.window else d.config.window
    oldest = b.head + before.config.window - count
    for i in range(count):
        r = &discipline_records(before, strategy)[(oldest + i) % before.config.window]
        keep(d, to, r.ts_ns, r.return_e8, r.notional, r.stop_ppm)
    _later(&s.revenge_until_ns, b.revenge_until_ns)
    _later(&s.cap_until_ns, b.cap_until_ns)
    _later(&s.warned_until_ns, b.warned_until_ns)
    s.loss_ns, s.warned_notional = b.loss_ns, b.warned_notional
    s.wins_in_row, s.ignored_warnings, s.explored = b.wins_in_row, b.ignored_warnings, b.explored
    s.stop_last_ppm, s.stops_shrunk, s.result_count = b.stop_last_ppm, b.stops_shrunk, b.result_count
    s.clamped_count, s.refused_count, s.observed = b.clamped_count, b.refused_count, b.observed
    if s.count:
        judge(d, s, discipline_records(d, to))
    return OK


cdef int discipline_carry_symbol(discipline_t* d, uint32_t to, const discipline_t* before,
                                 uint32_t symbol) noexcept nogil:
    """A symbol's rests go on. Since when a position is beyond its stop is seen anew with its next price."""
    cdef discipline_symbol_t* y
    cdef const discipline_symbol_t* b
    if to >= d.symbol_count or symbol >= before.symbol_count:
        return DISCIPLINE_UNKNOWN
    y = &discipline_symbols(d)[to]
    b = &discipline_symbols(before)[symbol]
    _later(&y.fomo_until_ns, b.fomo_until_ns)
    _later(&y.revenge_until_ns, b.revenge_until_ns)
    _later(&y.loss_ns, b.loss_ns)
    return OK


cdef void discipline_rest(discipline_t* d, int64_t now_ns) noexcept nogil:
    """Nobody knows what stood before: everybody rests as after the worst of it."""
    cdef uint32_t i
    for i in range(d.strategy_count):
        arm(&discipline_strategies(d)[i].revenge_until_ns, now_ns, d.config.revenge_cooldown_ns)
        arm(&discipline_strategies(d)[i].cap_until_ns, now_ns, d.config.cap_cooldown_ns)
    for i in range(d.symbol_count):
        arm(&discipline_symbols(d)[i].fomo_until_ns, now_ns, d.config.fomo_cooldown_ns)
        arm(&discipline_symbols(d)[i].revenge_until_ns, now_ns, d.config.revenge_cooldown_ns)


# ------------------------------------------------------------------------------------------------- the check
cdef int discipline_position(discipline_t* d, uint32_t symbol, const facts_t* facts, int64_t now_ns,
                             corrective_action_t* action) noexcept nogil:
    return stop_is_forced(d, symbol, facts, now_ns, action)


cdef inline bint _reduces(const signal_t* signal, const facts_t* facts) noexcept nogil:
    """Computed from the position, never claimed: an exit up to flat."""
    if signal.qty_lots <= 0:
        return False
    if signal.sell:
        return signal.qty_lots <= facts.position_lots
    return facts.position_lots <= -signal.qty_lots


cdef inline uint64_t _input(const signal_t* signal, const facts_t* facts) noexcept nogil:
    cdef bint good = (
        signal.px_ticks > 0 and signal.qty_lots > 0 and signal.notional > 0 and signal.stop_ppm > 0
        and facts.equity > 0 and facts.position_share_ppm > 0 and facts.rise_ppm != FACT_UNKNOWN
        and 0 < facts.px_band_low_ticks < facts.px_band_high_ticks and touch_ok(facts)
    )
    return 0 if good else <uint64_t>1 << REASON_BAD_INPUT


cdef uint64_t _claimed(const discipline_config_t* c, const signal_t* signal) noexcept nogil:
    """A claim can only add reasons. Each comparison is the passing one, negated: a NaN fails it."""
    cdef uint64_t reasons = 0
    if signal.claims & CLAIM_P and not (0.0 <= signal.p < c.p_max):
        reasons |= <uint64_t>1 << REASON_INSIGNIFICANT
    if signal.claims & CLAIM_EV and not (signal.ev > 0.0):
        reasons |= <uint64_t>1 << REASON_NEGATIVE_EV
    if signal.claims & CLAIM_SHARPE and not (signal.sharpe > c.sharpe_min):
        reasons |= <uint64_t>1 << REASON_LOW_SHARPE
    if signal.claims & CLAIM_CONFIDENCE and not (c.confidence_min < signal.confidence <= 1.0):
        reasons |= <uint64_t>1 << REASON_LOW_CONFIDENCE
    return reasons


cdef inline bint _may_explore(const discipline_config_t* c, const discipline_strategy_t* s, const signal_t* signal,
                              const facts_t* facts) noexcept nogil:
    """On paper, a strategy that has too few results may earn them: small, and so many times."""
    return (c.paper != 0 and (s.failed >> REASON_TOO_FEW_SAMPLES) & 1 and s.explored < c.explore_max
            and facts.equity > 0 and signal.notional <= share_down(facts.equity, c.explore_share_ppm))


cdef void _observe(discipline_t* d, discipline_strategy_t* s, uint64_t figures, discipline_verdict_t* out) noexcept nogil:
    """It passes; what an enforcing validator has against it is counted, and told when it is another thing than before."""
    cdef int i
    out.observed = figures
    out.news = figures != s.observed
    s.observed = figures
    if figures == 0:
        return
    d.observed_count += 1
    for i in range(REASON_COUNT):
        d.observed_by_reason[i] += (figures >> i) & 1


cdef int discipline_check(discipline_t* d, const signal_t* signal, const facts_t* facts, int64_t now_ns,
                          discipline_verdict_t* out) noexcept nogil:
    """Every rule, no early exit: OK, or DISCIPLINE_REFUSED with all reasons in `out`."""
    cdef discipline_strategy_t* s
    cdef discipline_symbol_t* y
    cdef uint64_t reasons, figures, biases
    cdef bint explores, observes = d.config.validator != <uint32_t>VALIDATOR_ENFORCE
    cdef int i
    out.reasons = out.detected = out.observed = 0
    out.until_ns, out.scale_ppm, out.notional_max = 0, PPM, INT64_MAX
    out.reducing = out.explored = out.signs = out.news = out.action_count = out.reserved = 0
    d.checked_count += 1
    if unlikely(signal.strategy >= d.strategy_count or signal.symbol >= d.symbol_count):
        out.reasons = <uint64_t>1 << REASON_BAD_INPUT
        d.refused_count += 1
        d.refused_by_reason[<int>REASON_BAD_INPUT] += 1
        return DISCIPLINE_UNKNOWN
    if _reduces(signal, facts):
        out.reducing = 1
        d.reducing_count += 1
        return OK
    s = &discipline_strategies(d)[signal.strategy]
    y = &discipline_symbols(d)[signal.symbol]
    explores = _may_explore(&d.config, s, signal, facts)
    figures = s.failed | _claimed(&d.config, signal)
    if explores and not observes:
        figures = _claimed(&d.config, signal)
    reasons = _input(signal, facts) | (0 if observes else figures)
    biases = fomo(d, y, signal, facts, now_ns, out)
    biases |= revenge(d, s, y, signal, now_ns, out)
    biases |= overconfidence(d, s, signal, facts, now_ns, out)
    biases |= loss_aversion(d, signal, facts, now_ns, out)
    biases |= confirmation(d, signal, out)
    if d.config.validator == <uint32_t>VALIDATOR_REHEARSE:
        figures |= biases
        out.scale_ppm, out.notional_max = PPM, INT64_MAX
    else:
        reasons |= biases
    out.reasons = reasons
    if reasons == 0 and observes:
        _observe(d, s, figures, out)
        return OK
    if reasons == 0:
        if explores:
            out.explored = 1
            s.explored += 1
            d.explored_count += 1
        return OK
    d.refused_count += 1
    for i in range(REASON_COUNT):
        d.refused_by_reason[i] += (reasons >> i) & 1
    return DISCIPLINE_REFUSED


# ------------------------------------------------------------------------------------------------- the Python face
def tail(double t, int64_t freedom):
    """P(T > t) of Student's distribution for t >= 0: what the critical values come from."""
    return student_tail(t, freedom)


@cython.final
cdef class Discipline:
    """A table of its own: for tests, tools and questions of people. There is no way to clear anything."""

    def __cinit__(self, *, uint32_t strategies, uint32_t symbols, **rules):
        cdef discipline_config_t config
        discipline_defaults(&config)
        row = np.asarray(<discipline_config_t[:1]>&config)
        for name, value in rules.items():
            row[name][0] = value
        if not _config_ok(&config):
            raise_status(DISCIPLINE_BAD_CONFIG, str(rules))
        self.size = discipline_bytes(&config, strategies, symbols)
        self.c = <discipline_t*>block_new(self.size)
        if discipline_init(self.c, &config, strategies, symbols) != OK:
            raise_status(DISCIPLINE_BAD_CONFIG, f"strategies={strategies}, symbols={symbols}")

    def __dealloc__(self):
        block_free(self.c)

    @staticmethod
    def load(image):
        """A table from an image: a section of a world, or what `image` gave."""
        cdef const unsigned char[::1] view = image
        cdef const discipline_t* other = <const discipline_t*>&view[0]
        cdef Discipline table
        if (<size_t>view.shape[0] < sizeof(discipline_t) or not _config_ok(&other.config)
                or <size_t>view.shape[0] < discipline_bytes(&other.config, other.strategy_count, other.symbol_count)):
            raise_status(DISCIPLINE_BAD_CONFIG, f"{view.shape[0]} bytes are no table")
        names = np.asarray(<discipline_config_t[:1]>&other.config)
        rules = {name: names[name][0] for name in names.dtype.names}
        table = Discipline(strategies=other.strategy_count, symbols=other.symbol_count, **rules)
        memcpy(table.c, other, table.size)
        return table

    @property
    def rules(self):
        return {name: value for name, value in (<object>self.c.config).items() if name != "reserved_32"}

    def image(self):
        """The whole block, as a snapshot of the world holds it."""
        return (<char*>self.c)[:self.size]

    def restart(self):
        """Another table from this one's image: what comes back after a restart."""
        cdef Discipline other = Discipline(
            strategies=self.c.strategy_count, symbols=self.c.symbol_count,
            **self.rules)
        memcpy(other.c, self.c, self.size)
        return other

    def carry(self, uint32_t to, Discipline before, uint32_t strategy):
        """Take over one strategy's record and rests; returns the status."""
        return discipline_carry(self.c, to, before.c, strategy)

    def carry_symbol(self, uint32_t to, Discipline before, uint32_t symbol):
        return discipline_carry_symbol(self.c, to, before.c, symbol)

    def rest(self, int64_t now_ns):
        """Everybody rests from now on, as after the worst."""
        discipline_rest(self.c, now_ns)

    def check_signal(self, int64_t now_ns, signal, facts):
        """(status, verdict) of one signal; both arguments by the fields of their structs."""
        cdef signal_t s
        cdef facts_t f
        cdef discipline_verdict_t v
        cdef int status
        memset(&s, 0, sizeof(s))
        memset(&f, 0, sizeof(f))
        _fill(np.asarray(<signal_t[:1]>&s), signal)
        _fill(np.asarray(<facts_t[:1]>&f), facts)
        status = discipline_check(self.c, &s, &f, now_ns, &v)
        actions = [dict(v.actions[i]) for i in range(v.action_count)]
        for action in actions:
            del action["reserved"]
        return status, {
            "reasons": v.reasons, "detected": v.detected, "until_ns": v.until_ns, "scale_ppm": v.scale_ppm,
            "notional_max": v.notional_max, "reducing": v.reducing, "explored": v.explored, "signs": v.signs,
            "actions": actions, "observed": v.observed, "news": v.news,
        }

    def result(self, uint32_t strategy, uint32_t symbol, *, int64_t pnl, int64_t notional, int64_t now_ns,
               int64_t stop_ppm=0):
        """One closed trade; returns the status."""
        return discipline_result(self.c, strategy, symbol, pnl, notional, stop_ppm, now_ns)

    def warn(self, uint32_t strategy, int64_t notional, int64_t now_ns):
        return discipline_warn(self.c, strategy, notional, now_ns)

    def position(self, int64_t now_ns, uint32_t symbol, facts):
        """The action that a held position asks for, or None."""
        cdef facts_t f
        cdef corrective_action_t action
        memset(&f, 0, sizeof(f))
        _fill(np.asarray(<facts_t[:1]>&f), facts)
        if not discipline_position(self.c, symbol, &f, now_ns, &action):
            return None
        found = dict(action)
        del found["reserved"]
        return found

    def statistics(self, uint32_t strategy):
        """What the record says: with its length and its standard error, never a bare figure."""
        if strategy >= self.c.strategy_count:
            raise_status(DISCIPLINE_UNKNOWN, f"strategy {strategy}")
        cdef discipline_strategy_t* s = &discipline_strategies(self.c)[strategy]
        p = 1.0
        if s.count >= 2 and s.t != 0.0:
            p = student_tail(s.t, s.count - 1) if s.t > 0 else 1.0 - student_tail(-s.t, s.count - 1)
        return {
            "samples": s.count, "sum_e8": s.sum_e8, "ev": s.ev, "t": s.t, "p": p, "sharpe": s.sharpe,
            "sharpe_se": s.sharpe_se, "failed": s.failed, "wins_in_row": s.wins_in_row, "stops_shrunk": s.stops_shrunk,
            "notional_sum": s.notional_sum, "ignored_warnings": s.ignored_warnings, "explored": s.explored,
            "clamped": s.clamped_count, "refused": s.refused_count, "results": s.result_count,
        }

    def cooldowns(self):
        """Every end of a cooldown, by scope, index and name; None: there never was one."""
        def _end(int64_t ns):
            return None if ns == NEVER else ns
        found = {}
        for i in range(self.c.strategy_count):
            found["strategy", i, "revenge"] = _end(discipline_strategies(self.c)[i].revenge_until_ns)
            found["strategy", i, "cap"] = _end(discipline_strategies(self.c)[i].cap_until_ns)
        for i in range(self.c.symbol_count):
            found["symbol", i, "fomo"] = _end(discipline_symbols(self.c)[i].fomo_until_ns)
            found["symbol", i, "revenge"] = _end(discipline_symbols(self.c)[i].revenge_until_ns)
        return found

    @property
    def counts(self):
        return {
            "checked": self.c.checked_count, "refused": self.c.refused_count, "reducing": self.c.reducing_count,
            "explored": self.c.explored_count, "results_refused": self.c.results_refused_count,
            "observed": self.c.observed_count,
            "observed_by_reason": {Reason(i).name: self.c.observed_by_reason[i] for i in range(<int>REASON_COUNT)
                                   if self.c.observed_by_reason[i]},
            "by_reason": {Reason(i).name: self.c.refused_by_reason[i] for i in range(<int>REASON_COUNT)
                          if self.c.refused_by_reason[i]},
            "by_bias": {Bias(i).name: self.c.detected_by_bias[i] for i in range(<int>BIAS_COUNT)
                        if self.c.detected_by_bias[i]},
        }

    def check(self):
        """Walk the invariants: every sum against its record, every count against its whole."""
        cdef discipline_strategy_t* s
        cdef discipline_strategy_t again
        for i in range(self.c.strategy_count):
            s = &discipline_strategies(self.c)[i]
            records = [discipline_records(self.c, i)[j] for j in range(s.count)]
            returns = [r["return_e8"] for r in records]
            assert s.count <= self.c.config.window and s.head < self.c.config.window, "record bounds"
            assert s.sum_e8 == sum(returns), f"strategy {i}: sum of returns"
            assert s.squares_low + (<object>s.squares_high << 64) == sum(r * r for r in returns), "sum of squares"
            assert s.notional_sum == sum(r["notional"] for r in records), "sum of stakes"
            assert s.wins_in_row <= s.result_count and s.count <= s.result_count, "streak"
            assert s.explored <= self.c.config.explore_max, "exploration past its allowance"
            if s.count:
                again = s[0]
                judge(self.c, &again, discipline_records(self.c, i))
                assert again.failed == s.failed and again.sharpe == s.sharpe and again.t == s.t, "verdict of the record"
            else:
                assert s.failed == RECORD_REASONS, "an empty record proves nothing"
        assert self.c.refused_count + self.c.reducing_count <= self.c.checked_count, "counts"
        for i in range(<int>REASON_COUNT):
            assert self.c.refused_by_reason[i] <= self.c.refused_count, f"reason {i}"


cdef int _fill(row, values) except -1:
    for name, value in values.items():
        row[name][0] = value
    return 0

cimport cython
from libc.math cimport atan, sqrt
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport static_assert_c, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    DISCIPLINE_BAD_CONFIG, DISCIPLINE_BAD_RESULT, DISCIPLINE_REFUSED, DISCIPLINE_UNKNOWN, OK, raise_status,
)

cdef extern from * nogil:
    """
    #include <stdint.h>
    typedef unsigned __int128 bot4d_wide;
    static inline int64_t bot4d_add(int64_t a, int64_t b) {
        int64_t r;
        return __builtin_add_overflow(a, b, &r) ? (a < 0 ? INT64_MIN : INT64_MAX) : r;
    }
    static inline int64_t bot4d_sub(int64_t a, int64_t b) {
        int64_t r;
        return __builtin_sub_overflow(a, b, &r) ? (a < 0 ? INT64_MIN : INT64_MAX) : r;
    }
    /* A positive share of a positive base, rounded down: a cap is never a unit too generous. */
    static inline int64_t bot4d_share(int64_t base, int64_t ppm) { return (int64_t)((__int128)base * ppm / 1000000); }
    /* size > factor * mean, without a division. 63 + 10 + 20 bits on the left. */
    static inline int bot4d_above(int64_t size, int64_t count, int64_t sum, int64_t factor_ppm) {
        return (__int128)size * count * 1000000 > (__int128)sum * factor_ppm;
    }
    /* The return of a trade in 1e-8 of its stake, rounded down: against us. */
    static inline int64_t bot4d_return(int64_t pnl, int64_t notional, int64_t most) {
        __int128 v = (__int128)pnl * 100000000, q = v / notional;
        if (v < 0 && q * notional != v) q -= 1;
        return q > most ? most : q < -most ? -most : (int64_t)q;
    }
    static inline bot4d_wide bot4d_join(uint64_t low, uint64_t high) { return ((bot4d_wide)high << 64) | low; }
    static inline void bot4d_square(uint64_t* low, uint64_t* high, int64_t r, int take_off) {
        bot4d_wide sum = bot4d_join(*low, *high), square = (bot4d_wide)((__int128)r * r);
        sum = take_off ? sum - square : sum + square;
        *low = (uint64_t)sum;
        *high = (uint64_t)(sum >> 64);
    }
    /* n * sum of squares - square of the sum = n * (n - 1) * variance, exactly; never negative.
       |sum| <= 1,024 * 1e10, so both terms stay below 2**88. */
    static inline bot4d_wide bot4d_spread(int64_t n, int64_t sum, uint64_t low, uint64_t high) {
        return (bot4d_wide)n * bot4d_join(low, high) - (bot4d_wide)((__int128)sum * sum);
    }
    /* t > critical, as squares: t * t = sum * sum * (n - 1) / spread. Below 2**118 on the left; on the right a large
       critical value belongs to a small n, whose spread is small. A record without any spread proves nothing. */
    static inline int bot4d_beats(int64_t n, int64_t sum, uint64_t low, uint64_t high, int64_t critical_e6) {
        bot4d_wide spread = bot4d_spread(n, sum, low, high);
        return sum > 0 && spread > 0
            && (bot4d_wide)((__int128)sum * sum) * (uint64_t)(n - 1) * 1000000u > (bot4d_wide)critical_e6 * spread;
    }
    static inline double bot4d_spread_double(int64_t n, int64_t sum, uint64_t low, uint64_t high) {
        return (double)bot4d_spread(n, sum, low, high);
    }
    """
    int64_t add_sat "bot4d_add"(int64_t a, int64_t b) noexcept
    int64_t sub_sat "bot4d_sub"(int64_t a, int64_t b) noexcept
    int64_t share_down "bot4d_share"(int64_t base, int64_t ppm) noexcept
    bint size_above "bot4d_above"(int64_t size, int64_t count, int64_t sum, int64_t factor_ppm) noexcept
    int64_t return_down "bot4d_return"(int64_t pnl, int64_t notional, int64_t most) noexcept
    void square_add "bot4d_square"(uint64_t* low, uint64_t* high, int64_t r, bint take_off) noexcept
    bint beats "bot4d_beats"(int64_t n, int64_t sum, uint64_t low, uint64_t high, int64_t critical_e6) noexcept
    double spread_of "bot4d_spread_double"(int64_t n, int64_t sum, uint64_t low, uint64_t high) noexcept

cdef int64_t NEVER = INT64_MIN
cdef int64_t PPM = 1_000_000
cdef int64_t HOUR = 3_600_000_000_000
cdef int64_t RETURN_MOST = 10_000_000_000        # 100 times the stake, in 1e-8
cdef int64_t NOTIONAL_MOST = <int64_t>1 << 52    # so that 1,024 of them add up inside a word
cdef double YEAR_NS = 31_557_600e9               # 365.25 days: markets that never close

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


cdef double _tail(double t, int64_t freedom) noexcept nogil:
    """P(T > t) of Student's distribution, t >= 0: the finite sums for whole degrees of freedom."""
    cdef double squared = <double>freedom / (<double>freedom + t * t)    # of the cosine
    cdef double sine = t / sqrt(<double>freedom + t * t), cosine = sqrt(squared)
    cdef double term = 1.0, total = 0.0
    cdef int64_t k
    if freedom % 2 == 0:
        for k in range(0, freedom, 2):
            total += term
            term *= squared * <double>(k + 1) / <double>(k + 2)
        return 0.5 * (1.0 - sine * total)
    for k in range(1, freedom, 2):
        total += term
        term *= squared * <double>(k + 1) / <double>(k + 2)
    return 0.5 - (atan(t / sqrt(<double>freedom)) + sine * cosine * total) / 3.141592653589793


cdef int64_t _critical_e6(double alpha, int64_t freedom) noexcept nogil:
    """The square of the t that only a share `alpha` exceeds, in millionths, rounded up: against the strategy."""
    cdef double low = 0.0, high = 20_000.0, middle
    cdef int i
    for i in range(80):
        middle = 0.5 * (low + high)
        if _tail(middle, freedom) > alpha:
            low = middle
        else:
            high = middle
    return <int64_t>(high * high * 1e6) + 1


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
        discipline_critical(d)[2 * i] = _critical_e6(config.p_max / config.trials, i - 1)
        discipline_critical(d)[2 * i + 1] = _critical_e6(1.0 - config.confidence_min, i - 1)
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
cdef void _judge(discipline_t* d, discipline_strategy_t* s, const discipline_record_t* records) noexcept nogil:
    """What the record proves, anew after each result."""
    cdef int64_t n = s.count
    cdef uint64_t failed = 0
    cdef double spread, per_trade, years, span, a_year
    cdef uint32_t oldest = s.head if s.count == d.config.window else 0
    if s.count < d.config.samples_min:
        failed |= <uint64_t>1 << REASON_TOO_FEW_SAMPLES
    if s.sum_e8 <= 0:
        failed |= <uint64_t>1 << REASON_NEGATIVE_EV
    s.ev = <double>s.sum_e8 / (1e8 * <double>n)
    s.t = s.sharpe = s.sharpe_se = 0.0
    if n < 2 or not beats(n, s.sum_e8, s.squares_low, s.squares_high, discipline_critical(d)[2 * n]):
        failed |= <uint64_t>1 << REASON_INSIGNIFICANT
    if n < 2 or not beats(n, s.sum_e8, s.squares_low, s.squares_high, discipline_critical(d)[2 * n + 1]):
        failed |= <uint64_t>1 << REASON_LOW_CONFIDENCE
    spread = spread_of(n, s.sum_e8, s.squares_low, s.squares_high)
    if n >= 2 and spread > 0.0:
        s.t = <double>s.sum_e8 * sqrt(<double>(n - 1)) / sqrt(spread)
        per_trade = s.t / sqrt(<double>n)
        # A burst of trades says nothing about a year of them: the span is never taken shorter than the stated one.
        span = <double>(s.result_ns - records[oldest].ts_ns)
        if span < <double>d.config.sharpe_span_min_ns:
            span = <double>d.config.sharpe_span_min_ns
        years = span / YEAR_NS
        a_year = sqrt(<double>(n - 1) / years)
        s.sharpe = per_trade * a_year
        # Standard error of a ratio of independent returns (Lo, 2002).
        s.sharpe_se = sqrt((1.0 + 0.5 * per_trade * per_trade) / <double>n) * a_year
    if not s.sharpe > d.config.sharpe_min:
        failed |= <uint64_t>1 << REASON_LOW_SHARPE
    s.failed = failed


cdef void _keep(discipline_t* d, uint32_t strategy, int64_t ts_ns, int64_t return_e8, int64_t notional,
                int64_t stop_ppm) noexcept nogil:
    """A result into the record, in place of the oldest when it is full."""
    cdef discipline_strategy_t* s = &discipline_strategies(d)[strategy]
    cdef discipline_record_t* r = &discipline_records(d, strategy)[s.head]
    if s.count == d.config.window:
        s.sum_e8 -= r.return_e8
        s.notional_sum -= r.notional
        square_add(&s.squares_low, &s.squares_high, r.return_e8, True)
    else:
        s.count += 1
    r.ts_ns, r.return_e8, r.notional, r.stop_ppm = ts_ns, return_e8, notional, stop_ppm
    s.sum_e8 += return_e8
    s.notional_sum += notional
    square_add(&s.squares_low, &s.squares_high, return_e8, False)
    s.head = s.head + 1 if s.head + 1 < d.config.window else 0
    s.result_ns = ts_ns


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
    _keep(d, strategy, now_ns, gain, notional, stop_ppm)
    s.result_count += 1
    s.stops_shrunk = s.stops_shrunk + 1 if stop_ppm < s.stop_last_ppm else 0
    s.stop_last_ppm = stop_ppm
    s.wins_in_row = s.wins_in_row + 1 if pnl > 0 else 0
    if pnl < 0:
        s.loss_ns = now_ns
        if now_ns > discipline_symbols(d)[symbol].loss_ns:
            discipline_symbols(d)[symbol].loss_ns = now_ns
    _judge(d, s, discipline_records(d, strategy))
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
        _keep(d, to, r.ts_ns, r.return_e8, r.notional, r.stop_ppm)
    _later(&s.revenge_until_ns, b.revenge_until_ns)
    _later(&s.cap_until_ns, b.cap_until_ns)
    _later(&s.warned_until_ns, b.warned_until_ns)
    s.loss_ns, s.warned_notional = b.loss_ns, b.warned_notional
    s.wins_in_row, s.ignored_warnings, s.explored = b.wins_in_row, b.ignored_warnings, b.explored
    s.stop_last_ppm, s.stops_shrunk, s.result_count = b.stop_last_ppm, b.stops_shrunk, b.result_count
    s.clamped_count, s.refused_count, s.observed = b.clamped_count, b.refused_count, b.observed
    if s.count:
        _judge(d, s, discipline_records(d, to))
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
        _arm(&discipline_strategies(d)[i].revenge_until_ns, now_ns, d.config.revenge_cooldown_ns)
        _arm(&discipline_strategies(d)[i].cap_until_ns, now_ns, d.config.cap_cooldown_ns)
    for i in range(d.symbol_count):
        _arm(&discipline_symbols(d)[i].fomo_until_ns, now_ns, d.config.fomo_cooldown_ns)
        _arm(&discipline_symbols(d)[i].revenge_until_ns, now_ns, d.config.revenge_cooldown_ns)


# ------------------------------------------------------------------------------------------------- the biases
cdef inline void _arm(int64_t* until, int64_t now_ns, int64_t cooldown_ns) noexcept nogil:
    """The only way a cooldown changes: it ends later, never sooner."""
    cdef int64_t end = add_sat(now_ns, cooldown_ns)
    if end > until[0]:
        until[0] = end


cdef inline void _detected(discipline_t* d, discipline_verdict_t* out, uint32_t bias, uint32_t kind,
                           const signal_t* signal, int64_t until_ns, int64_t value) noexcept nogil:
    cdef corrective_action_t* action = &out.actions[out.action_count]
    out.action_count += 1
    out.detected |= <uint64_t>1 << bias
    d.detected_by_bias[<int>bias] += 1
    action.kind, action.bias = kind, bias
    action.strategy, action.symbol, action.reserved = signal.strategy, signal.symbol, 0
    action.until_ns, action.value = until_ns, value


cdef inline bint _blocked(int64_t until_ns, int64_t now_ns, discipline_verdict_t* out) noexcept nogil:
    if now_ns >= until_ns:
        return False
    if until_ns > out.until_ns:
        out.until_ns = until_ns
    return True


cdef uint64_t _fomo(discipline_t* d, discipline_symbol_t* y, const signal_t* signal, const facts_t* facts,
                    int64_t now_ns, discipline_verdict_t* out) noexcept nogil:
    cdef uint64_t reasons = <uint64_t>_blocked(y.fomo_until_ns, now_ns, out) << REASON_COOLDOWN_FOMO
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
        _arm(&y.fomo_until_ns, now_ns, d.config.fomo_cooldown_ns)
        _blocked(y.fomo_until_ns, now_ns, out)
        _detected(d, out, BIAS_FOMO, CORRECT_BLOCK, signal, y.fomo_until_ns, 0)
        reasons |= <uint64_t>1 << REASON_FOMO
    return reasons


cdef uint64_t _revenge(discipline_t* d, discipline_strategy_t* s, discipline_symbol_t* y, const signal_t* signal,
                       int64_t now_ns, discipline_verdict_t* out) noexcept nogil:
    cdef int64_t window = d.config.revenge_window_ns
    cdef bint own = s.loss_ns != NEVER and sub_sat(now_ns, s.loss_ns) < window
    cdef bint same = y.loss_ns != NEVER and sub_sat(now_ns, y.loss_ns) < window
    cdef bint blocked = _blocked(s.revenge_until_ns, now_ns, out)
    # Not `or`: both ends must be looked at, the later one is reported.
    cdef uint64_t reasons = <uint64_t>(blocked | _blocked(y.revenge_until_ns, now_ns, out)) << REASON_COOLDOWN_REVENGE
    if own:
        _arm(&s.revenge_until_ns, now_ns, d.config.revenge_cooldown_ns)
        _blocked(s.revenge_until_ns, now_ns, out)
    if same:
        _arm(&y.revenge_until_ns, now_ns, d.config.revenge_cooldown_ns)
        _blocked(y.revenge_until_ns, now_ns, out)
    if own or same:
        _detected(d, out, BIAS_REVENGE, CORRECT_BLOCK, signal,
                  s.revenge_until_ns if not same or s.revenge_until_ns > y.revenge_until_ns else y.revenge_until_ns, 0)
        reasons |= <uint64_t>1 << REASON_REVENGE
    return reasons


cdef uint64_t _overconfidence(discipline_t* d, discipline_strategy_t* s, const signal_t* signal, const facts_t* facts,
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
        _arm(&s.cap_until_ns, now_ns, c.cap_cooldown_ns)
        _detected(d, out, BIAS_OVERCONFIDENCE, CORRECT_CAP, signal, s.cap_until_ns, cap)
    if now_ns >= s.cap_until_ns:
        return 0
    out.notional_max = cap
    out.scale_ppm = 0
    if facts.position_share_ppm > 0:
        out.scale_ppm = PPM if facts.position_share_ppm <= c.cap_ppm else c.cap_ppm * PPM // facts.position_share_ppm
    if signal.notional <= cap:
        return 0
    _blocked(s.cap_until_ns, now_ns, out)
    return <uint64_t>1 << REASON_OVERCONFIDENCE


cdef inline bint _touch_ok(const facts_t* facts) noexcept nogil:
    return 0 < facts.bid_px_ticks < facts.ask_px_ticks


cdef inline bint _beyond_stop(const facts_t* facts) noexcept nogil:
    """The side of the touch that would close the position is at its stop or past it."""
    if facts.position_lots > 0:
        return facts.bid_px_ticks <= facts.px_stop_ticks
    return facts.position_lots < 0 and facts.ask_px_ticks >= facts.px_stop_ticks


cdef int discipline_position(discipline_t* d, uint32_t symbol, const facts_t* facts, int64_t now_ns,
                             corrective_action_t* action) noexcept nogil:
    """Ask of every price of a held symbol: 1 and an action when the stop has to be forced now, else 0.

    Level-triggered: the demand comes again every `stop_retry_ns` until the position is closed or back inside.
    """
    cdef discipline_symbol_t* y
    if symbol >= d.symbol_count:
        return 0
    y = &discipline_symbols(d)[symbol]
    if facts.position_lots != 0 and (not _touch_ok(facts) or facts.px_stop_ticks <= 0):
        return 0                  # not to be judged now: what was seen before stays
    if facts.position_lots == 0 or not _beyond_stop(facts):
        y.beyond_ns = y.forced_ns = NEVER
        y.forced_count = 0
        return 0
    if y.beyond_ns == NEVER:
        y.beyond_ns = now_ns
    if sub_sat(now_ns, y.beyond_ns) < d.config.stop_grace_ns:
        return 0
    if y.forced_ns != NEVER and sub_sat(now_ns, y.forced_ns) < d.config.stop_retry_ns:
        return 0
    y.forced_ns = now_ns
    y.forced_count += 1
    d.detected_by_bias[<int>BIAS_LOSS_AVERSION] += 1
    action.kind, action.bias = CORRECT_FORCE_STOP, BIAS_LOSS_AVERSION
    action.strategy, action.symbol, action.reserved = 0, <uint16_t>symbol, 0
    action.until_ns, action.value = 0, facts.position_lots
    return 1


cdef uint64_t _loss_aversion(discipline_t* d, const signal_t* signal, const facts_t* facts, int64_t now_ns,
                             discipline_verdict_t* out) noexcept nogil:
    """Nobody adds to a position that should be closed, nor to one of which that cannot be told."""
    if facts.position_lots == 0:
        return 0
    if discipline_position(d, signal.symbol, facts, now_ns, &out.actions[out.action_count]):
        out.actions[out.action_count].strategy = signal.strategy
        out.action_count += 1
        out.detected |= <uint64_t>1 << BIAS_LOSS_AVERSION
    if _touch_ok(facts) and facts.px_stop_ticks > 0 and not _beyond_stop(facts):
        return 0
    return <uint64_t>1 << REASON_LOSS_AVERSION


cdef uint64_t _confirmation(discipline_t* d, const signal_t* signal, discipline_verdict_t* out) noexcept nogil:
    cdef uint64_t sources = signal.sources
    cdef uint32_t count = 0
    while sources != 0 and count < d.config.confirmations_min:
        sources &= sources - 1
        count += 1
    if count >= d.config.confirmations_min:
        return 0
    _detected(d, out, BIAS_CONFIRMATION, CORRECT_CONFIRM, signal, 0, d.config.confirmations_min)
    return <uint64_t>1 << REASON_CONFIRMATION


# ------------------------------------------------------------------------------------------------- the check
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
        and 0 < facts.px_band_low_ticks < facts.px_band_high_ticks and _touch_ok(facts)
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
    biases = _fomo(d, y, signal, facts, now_ns, out)
    biases |= _revenge(d, s, y, signal, now_ns, out)
    biases |= _overconfidence(d, s, signal, facts, now_ns, out)
    biases |= _loss_aversion(d, signal, facts, now_ns, out)
    biases |= _confirmation(d, signal, out)
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
    return _tail(t, freedom)


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
            p = _tail(s.t, s.count - 1) if s.t > 0 else 1.0 - _tail(-s.t, s.count - 1)
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
                _judge(self.c, &again, discipline_records(self.c, i))
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

"""What a strategy's own results prove: the record, its sums, and the figures that an entry is held against.

Owns: the ring of results and what follows from it, anew after each. Does not own: which figures are asked for. The
thresholds of Student's distribution are worked out once, at set-up; a result compares squares of whole numbers with them.
"""
from libc.math cimport atan, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.discipline cimport (
    REASON_INSIGNIFICANT, REASON_LOW_CONFIDENCE, REASON_LOW_SHARPE, REASON_NEGATIVE_EV, REASON_TOO_FEW_SAMPLES,
    discipline_critical, discipline_record_t, discipline_records, discipline_strategies, discipline_strategy_t, discipline_t,
)
from engine._core.discipline_sums cimport beats, spread_of, square_add

cdef enum:
    YEAR_NS = 31_557_600_000_000_000   # 365.25 days: markets that never close


cdef inline double student_tail(double t, int64_t freedom) noexcept nogil:
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


cdef inline int64_t critical_e6(double alpha, int64_t freedom) noexcept nogil:
    """The square of the t that only a share `alpha` exceeds, in millionths, rounded up: against the strategy."""
    cdef double low = 0.0, high = 20_000.0, middle
    cdef int i
    for i in range(80):
        middle = 0.5 * (low + high)
        if student_tail(middle, freedom) > alpha:
            low = middle
        else:
            high = middle
    return <int64_t>(high * high * 1e6) + 1


cdef inline void judge(discipline_t* d, discipline_strategy_t* s, const discipline_record_t* records) noexcept nogil:
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
        years = span / <double>YEAR_NS
        a_year = sqrt(<double>(n - 1) / years)
        s.sharpe = per_trade * a_year
        # Standard error of a ratio of independent returns (Lo, 2002).
        s.sharpe_se = sqrt((1.0 + 0.5 * per_trade * per_trade) / <double>n) * a_year
    if not s.sharpe > d.config.sharpe_min:
        failed |= <uint64_t>1 << REASON_LOW_SHARPE
    s.failed = failed


cdef inline void keep(discipline_t* d, uint32_t strategy, int64_t ts_ns, int64_t return_e8, int64_t notional,
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

"""The one word of a component: its fields, the word after a change, and the verdict on a window of outcomes.

Owns: the layout of breaker.pxd's table, bit by bit. Does not own: when a word is swapped. Pure functions all.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from engine._core.breaker cimport (
    BREAKER_CLOSED, BREAKER_IS_OPEN, EPOCH_SHIFT, PAYLOAD_SHIFT, REASON_ERROR_RATE, REASON_FAILURES_IN_A_ROW,
    STATE_MASK, TICK_SHIFT, TOKENS_MAX, WINDOW_MAX, breaker_config_t, breaker_t, popcount,
)
from engine._core.types cimport BREAKER_MINIMUM_CALLS_NOT_MET, BREAKER_TOO_MANY_FAILURES, OK

cdef extern from *:
    """
    #define BOT4_SINCE_MASK  ((1ULL << 34) - 1)
    #define BOT4_RETRY_MASK  ((1ULL << 42) - 1)
    #define BOT4_COOLDOWN_NS_MAX (30LL * 86400 * 1000000000)
    #define bot4_ctz(v)      __builtin_ctzll(v)
    #define bot4_top(v)      (63 - __builtin_clzll(v))

    /* Weak: may fail although nobody was there, as an exclusive store does on aarch64. Every swap of this file stands
       in a loop that tries again. The counted build fails every seventh on purpose, so that one thread alone takes the
       way back of each loop: whether two threads meet there is up to the machine, and a gate must not be. */
    static inline int bot4_cas_weak(uint64_t *p, uint64_t *expected, uint64_t v) {
    #if defined(BOT4_SWAPS_FAIL)
        static uint64_t turn;
        if (__atomic_add_fetch(&turn, 1, __ATOMIC_RELAXED) % 7 == 0) {
            *expected = __atomic_load_n(p, __ATOMIC_ACQUIRE);
            return 0;
        }
    #endif
        return __atomic_compare_exchange_n(p, expected, v, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    """
    const uint64_t SINCE_MASK "BOT4_SINCE_MASK"
    const uint64_t RETRY_MASK "BOT4_RETRY_MASK"
    const int64_t COOLDOWN_NS_MAX "BOT4_COOLDOWN_NS_MAX"
    bint cas_weak_acq_rel "bot4_cas_weak"(uint64_t* p, uint64_t* expected, uint64_t v) noexcept nogil
    uint32_t ctz "bot4_ctz"(uint64_t v) noexcept nogil
    uint32_t top_bit "bot4_top"(uint64_t v) noexcept nogil

cdef enum:
    EPOCH_MASK = 0xfffff
    TRIAL_MASK = 15
    SUCCEEDED_SHIFT = 4
    SINCE_SHIFT = 8
    EVENT_CAPACITY_MAX = 65536



cdef inline uint32_t state_of(uint64_t word) noexcept nogil:
    return word & STATE_MASK


cdef inline uint64_t epoch_of(uint64_t word) noexcept nogil:
    return (word >> EPOCH_SHIFT) & EPOCH_MASK


cdef inline int64_t tick_of(int64_t now_ns) noexcept nogil:
    return now_ns >> TICK_SHIFT if now_ns > 0 else 0


cdef inline uint64_t word_next(uint64_t word, uint32_t state, uint64_t payload) noexcept nogil:
    """The word after a transition: the epoch moves on, so every permit given before is stale."""
    return state | (((epoch_of(word) + 1) & EPOCH_MASK) << EPOCH_SHIFT) | (payload << PAYLOAD_SHIFT)


cdef inline uint64_t retry_tick(const breaker_t* row, int64_t now_ns) noexcept nogil:
    # Rounded up: the cooldown may end a tick late and never early.
    return (tick_of(now_ns + (1 << TICK_SHIFT) - 1 if now_ns > 0 else 0) + row.cooldown_ticks) & RETRY_MASK


cdef inline uint64_t word_opened(const breaker_t* row, uint64_t word, int64_t now_ns) noexcept nogil:
    return word_next(word, BREAKER_IS_OPEN, retry_tick(row, now_ns))


cdef inline bint is_due(uint64_t word, int64_t now_ns) noexcept nogil:
    return <uint64_t>tick_of(now_ns) >= word >> PAYLOAD_SHIFT


cdef inline uint32_t granted_of(uint64_t word) noexcept nogil:
    return (word >> PAYLOAD_SHIFT) & TRIAL_MASK


cdef inline uint32_t succeeded_of(uint64_t word) noexcept nogil:
    return (word >> (PAYLOAD_SHIFT + SUCCEEDED_SHIFT)) & TRIAL_MASK


cdef inline bint is_trial_lost(const breaker_t* row, uint64_t word, int64_t now_ns) noexcept nogil:
    # Modulo 2**34 ticks (208 days). A clock that stepped back gives the upper half of the range: not lost.
    cdef uint64_t elapsed = (<uint64_t>tick_of(now_ns) - (word >> (PAYLOAD_SHIFT + SINCE_SHIFT))) & SINCE_MASK
    return elapsed >= row.cooldown_ticks and elapsed <= SINCE_MASK >> 1


cdef inline uint64_t shift_in(uint64_t outcomes, uint32_t window, uint64_t failed) noexcept nogil:
    """The outcomes with one more; the oldest falls out when the window is full. The top bit is the marker."""
    outcomes = (outcomes << 1) | failed
    if outcomes >> (window + 1):
        outcomes = (outcomes & ((<uint64_t>1 << window) - 1)) | (<uint64_t>1 << window)
    return outcomes


cdef inline uint32_t streak_of(uint64_t outcomes) noexcept nogil:
    """Failures in a row at the young end."""
    return ctz(~(outcomes ^ (<uint64_t>1 << top_bit(outcomes))))


cdef inline int judge(const breaker_t* row, uint64_t outcomes, int* reason) noexcept nogil:
    """OK, or TOO_MANY_FAILURES with its reason, or MINIMUM_CALLS_NOT_MET when only the number of calls forbids it."""
    cdef uint32_t calls = top_bit(outcomes), failures = popcount(outcomes) - 1
    if row.failures_in_a_row and streak_of(outcomes) >= row.failures_in_a_row:
        reason[0] = REASON_FAILURES_IN_A_ROW
        return BREAKER_TOO_MANY_FAILURES
    if row.error_rate_bp and failures and failures * 10_000 >= row.error_rate_bp * calls:
        # The minimum guards the rate alone: one failure of one call is no rate, three in a row are three in a row.
        if calls < row.minimum_calls:
            return BREAKER_MINIMUM_CALLS_NOT_MET
        reason[0] = REASON_ERROR_RATE
        return BREAKER_TOO_MANY_FAILURES
    return OK


cdef inline bint is_config_good(const breaker_config_t* config) noexcept nogil:
    return (0 < config.cooldown_ns <= COOLDOWN_NS_MAX
            and 1 <= config.window <= WINDOW_MAX
            and 1 <= config.minimum_calls <= config.window
            and config.error_rate_bp <= 10_000
            and config.failures_in_a_row <= config.window
            and (config.error_rate_bp or config.failures_in_a_row)
            and 1 <= config.tokens <= TOKENS_MAX
            and 1 <= config.successes_to_close <= config.tokens)


cdef inline void row_configure(breaker_t* row, const breaker_config_t* config) noexcept nogil:
    row.cooldown_ticks = <uint32_t>((config.cooldown_ns + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT)
    row.error_rate_bp = <uint16_t>config.error_rate_bp
    row.window = <uint8_t>config.window
    row.minimum_calls = <uint8_t>config.minimum_calls
    row.failures_in_a_row = <uint8_t>config.failures_in_a_row
    row.tokens = <uint8_t>config.tokens
    row.successes_to_close = <uint8_t>config.successes_to_close
    row.word = BREAKER_CLOSED | (<uint64_t>1 << PAYLOAD_SHIFT)

"""Exact sums of the discipline: shares and returns rounded against us, squares in 128 bits, a test without a root.

Owns: arithmetic. Does not own: a rule. Nothing here can wrap for the sizes that a record holds: a stake below 2**52, a
return of at most a hundred stakes, a window of at most 1,024 results.
"""
from libc.stdint cimport int64_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #define BOT4D_PPM INT64_C(1000000)
    #define BOT4D_RETURN_MOST INT64_C(10000000000)   /* 100 times the stake, in 1e-8 */
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
    const int64_t NEVER "INT64_MIN"
    const int64_t PPM "BOT4D_PPM"
    const int64_t RETURN_MOST "BOT4D_RETURN_MOST"

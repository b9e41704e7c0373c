"""Exact integer arithmetic for amounts: products through 128 bits, every rounding with a name and a direction.

A function returns 0 when the result fits into 63 bits and stands in `out`, 1 when it does not (`out` is then left
alone): the caller turns that into its own status. `d` must be positive. Nothing here is a float.

Cost: 1 ns for a product; 3 to 8 ns for a division that fits into 64 bits, which almost all do, some 25 ns beyond.
"""
from libc.stdint cimport int64_t


cdef extern from * nogil:
    """
    #include <stdint.h>
    typedef __int128 bot4_wide_t;
    static inline int bot4_money_narrow(bot4_wide_t v, int64_t* out) {
        if (v > INT64_MAX || v < INT64_MIN) return 1;
        *out = (int64_t)v;
        return 0;
    }
    /* C division truncates: one step down when there is a remainder and the value is negative, and the mirror. */
    static inline bot4_wide_t bot4_wide_floor(bot4_wide_t n, bot4_wide_t d) {
        bot4_wide_t q = n / d;
        return q - (n % d < 0);
    }
    static inline bot4_wide_t bot4_wide_ceil(bot4_wide_t n, bot4_wide_t d) {
        bot4_wide_t q = n / d;
        return q + (n % d > 0);
    }
    static inline int bot4_mul3(int64_t a, int64_t b, int64_t c, int64_t* out) {
        int64_t ab, abc;
        if (__builtin_mul_overflow(a, b, &ab) || __builtin_mul_overflow(ab, c, &abc)) return 1;
        *out = abc;
        return 0;
    }
    static inline int bot4_money_mul_div_floor(int64_t a, int64_t b, int64_t d, int64_t* out) {
        int64_t n, q;
        if (!__builtin_mul_overflow(a, b, &n)) {
            q = n / d;
            *out = q - (n % d < 0);
            return 0;
        }
        return bot4_money_narrow(bot4_wide_floor((bot4_wide_t)a * b, d), out);
    }
    static inline int bot4_money_mul_div_ceil(int64_t a, int64_t b, int64_t d, int64_t* out) {
        int64_t n, q;
        if (!__builtin_mul_overflow(a, b, &n)) {
            q = n / d;
            *out = q + (n % d > 0);
            return 0;
        }
        return bot4_money_narrow(bot4_wide_ceil((bot4_wide_t)a * b, d), out);
    }
    /* a * b * c / d, with d given as two factors because it may pass 63 bits too. */
    static inline int bot4_mul3_div_floor(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t* out) {
        bot4_wide_t n;
        if (__builtin_mul_overflow((bot4_wide_t)a * b, (bot4_wide_t)c, &n)) return 1;
        return bot4_money_narrow(bot4_wide_floor(n, (bot4_wide_t)d * e), out);
    }
    static inline int bot4_mul3_div_ceil(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t* out) {
        bot4_wide_t n;
        if (__builtin_mul_overflow((bot4_wide_t)a * b, (bot4_wide_t)c, &n)) return 1;
        return bot4_money_narrow(bot4_wide_ceil(n, (bot4_wide_t)d * e), out);
    }
    /* Is a * b >= c * d ? Exact for all values. */
    static inline int bot4_product_at_least(int64_t a, int64_t b, int64_t c, int64_t d) {
        return (bot4_wide_t)a * b >= (bot4_wide_t)c * d;
    }
    """
    int mul3 "bot4_mul3"(int64_t a, int64_t b, int64_t c, int64_t* out) noexcept
    int mul_div_floor "bot4_money_mul_div_floor"(int64_t a, int64_t b, int64_t d, int64_t* out) noexcept
    int mul_div_ceil "bot4_money_mul_div_ceil"(int64_t a, int64_t b, int64_t d, int64_t* out) noexcept
    int mul3_div_floor "bot4_mul3_div_floor"(
        int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t* out) noexcept
    int mul3_div_ceil "bot4_mul3_div_ceil"(
        int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t* out) noexcept
    bint product_at_least "bot4_product_at_least"(int64_t a, int64_t b, int64_t c, int64_t d) noexcept


cdef enum:
    E8 = 100_000_000

# No single amount that enters may pass this, no balance the next: sums of a few can then never wrap.
cdef enum:
    AMOUNT_BITS = 60
    BALANCE_BITS = 62

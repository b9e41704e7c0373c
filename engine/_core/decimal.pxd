"""Decimal text to scaled integers and back, whole steps of an instrument, and integer rounding with honest names.

A number is a mantissa and a scale: 12.34 at scale 4 is 123400. There is no float anywhere in this module. What is
refused has a status of its own and is never repaired. The order in which faults are reported is fixed, so that the
twin reports the same one: scale, empty, the first character that does not belong, empty part, digits beyond the
scale, overflow.

Mantissas are symmetric: INT64_MIN is refused, so a negation never overflows. Owns no state. Cost: 3 to 6 ns for the
usual price or quantity, some 15 ns on the general path (long, or fractions past eight digits).
"""
from libc.stdint cimport INT64_MAX, int64_t, uint64_t

from engine._core.debug cimport debug_assert, likely, static_assert_c
from engine._core.types cimport DECIMAL_BAD_STEP, DECIMAL_OFF_STEP, DECIMAL_OVERFLOW, OK


cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    #if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "eight digits at a time are read as a little-endian word"
    #endif
    static const int64_t bot4_pow10[19] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000,
        1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
        1000000000000000000};
    static inline uint64_t bot4_load8(const char* p) { uint64_t w; memcpy(&w, p, 8); return w; }
    #define bot4_ctz(v) __builtin_ctzll(v)
    #define bot4_mul_overflow(a, b, out) __builtin_mul_overflow((a), (b), (out))
    #define bot4_add_overflow(a, b, out) __builtin_add_overflow((a), (b), (out))

    // 128 bits in C: Cython has no type of that width and would narrow its temporaries. A product of two 64-bit
    // numbers has at most 127 bits, so nothing here overflows before the last look.
    static inline int bot4_narrow(__int128 v, int64_t* out) {
        if (v > INT64_MAX || v < -(__int128)INT64_MAX) return 0;
        *out = (int64_t)v;
        return 1;
    }
    static inline int bot4_mul_div_floor(int64_t a, int64_t b, int64_t c, int64_t* out) {
        __int128 product = (__int128)a * b;
        return bot4_narrow(product / c - (product % c < 0), out);
    }
    static inline int bot4_mul_div_ceil(int64_t a, int64_t b, int64_t c, int64_t* out) {
        __int128 product = (__int128)a * b;
        return bot4_narrow(product / c + (product % c > 0), out);
    }
    static inline int bot4_mul_div_half_even(int64_t a, int64_t b, int64_t c, int64_t* out) {
        __int128 product = (__int128)a * b;
        __int128 floor = product / c - (product % c < 0);
        __int128 rest = product - floor * c;
        return bot4_narrow(floor + (2 * rest > c || (2 * rest == c && (floor & 1))), out);
    }
    """
    bint mul_div_floor_c "bot4_mul_div_floor"(int64_t a, int64_t b, int64_t c, int64_t* out) noexcept
    bint mul_div_ceil_c "bot4_mul_div_ceil"(int64_t a, int64_t b, int64_t c, int64_t* out) noexcept
    bint mul_div_half_even_c "bot4_mul_div_half_even"(int64_t a, int64_t b, int64_t c, int64_t* out) noexcept
    const int64_t* POW10 "bot4_pow10"
    uint64_t load8 "bot4_load8"(const char* p) noexcept
    int ctz "bot4_ctz"(uint64_t v) noexcept
    bint mul_overflow "bot4_mul_overflow"(int64_t a, int64_t b, int64_t* out) noexcept
    bint add_overflow "bot4_add_overflow"(int64_t a, int64_t b, int64_t* out) noexcept


cdef enum:
    DECIMAL_SCALE_MAX = 18
    DECIMAL_TEXT_MAX = 24         # the longest text `decimal_format` writes: sign, 19 digits, point, "0" before it


# What an instrument needs to turn a number into whole steps. The three e8 words serve the short way: a value scaled
# by 1e8 is a multiple of d = odd * 2**shift exactly when rotate_right(value * odd**-1 mod 2**64, shift) does not
# exceed (2**64 - 1) / d, and then that is the quotient (Granlund and Montgomery, "Division by invariant integers
# using multiplication", section 9). One multiplication answers "is it on the step" and "which step" together.
cdef struct step_t:
    int64_t step                  # in units of 10**-scale, 1 and up
    uint64_t inverse_e8
    uint64_t limit_e8             # zero when the step is finer than 1e-8: then only 0 goes the short way
    int scale
    int shift_e8


cdef int step_init(step_t* s, int scale, int64_t step) noexcept nogil
cdef int step_from_text(step_t* s, const char* p, size_t n) noexcept nogil

cdef int decimal_parse_long(const char* p, size_t n, int scale, int64_t* out) noexcept nogil
cdef int decimal_parse_signed(const char* p, size_t n, int scale, int64_t* out) noexcept nogil
cdef int decimal_parse_steps(const char* p, size_t n, const step_t* s, int64_t* out) noexcept nogil
cdef int decimal_rescale(int64_t mantissa, int scale_from, int scale_to, int64_t* out) noexcept nogil
cdef size_t decimal_format(int64_t mantissa, int scale, char* out) noexcept nogil


# ------------------------------------------------------------------------------------------ eight digits at a time
cdef inline uint64_t digits_of(uint64_t word) noexcept nogil:
    """Turn ASCII digits into bytes 0 to 9; every other character becomes a byte above 9."""
    return word ^ <uint64_t>0x3030303030303030


cdef inline uint64_t nondigit_mask(uint64_t digits) noexcept nogil:
    """The high bit of each byte that is above 9. The masked addition keeps carries inside their byte."""
    return (((digits & <uint64_t>0x7F7F7F7F7F7F7F7F) + <uint64_t>0x7676767676767676) | digits) & <uint64_t>0x8080808080808080


cdef inline uint64_t eight_digits(uint64_t digits) noexcept nogil:
    """The number that eight bytes of 0 to 9 spell, most significant first in memory: pairs, fours, eight."""
    digits = digits * 10 + (digits >> 8)
    return (((digits & <uint64_t>0x000000FF000000FF) * <uint64_t>0x000F424000000064)
            + (((digits >> 16) & <uint64_t>0x000000FF000000FF) * <uint64_t>0x0000271000000001)) >> 32


cdef inline uint64_t load_up_to_8(const char* p, size_t left) noexcept nogil:
    """The first `left` bytes at p as a word, zero beyond them; reads nothing behind p + left."""
    cdef uint64_t word = 0
    cdef size_t i
    if likely(left >= 8):
        return load8(p)
    for i in range(left):
        word |= <uint64_t><unsigned char>p[i] << (8 * i)
    return word


cdef inline int decimal_parse(const char* p, size_t n, int scale, int64_t* out) noexcept nogil:
    """Read `digits[.digits]` exactly at a scale of 0 to 18. *out is written only when OK is returned.

    The short way takes up to eight digits on either side of the point when the scale keeps all of them; it accepts
    nothing that the general way refuses, and leaves every refusal to it.
    """
    cdef uint64_t whole, part, bad
    cdef size_t k, f
    if likely(3 <= n <= 17 and scale <= 10 and scale >= 0):
        whole = digits_of(load_up_to_8(p, n))
        bad = nondigit_mask(whole)
        if likely(bad != 0):
            k = ctz(bad) >> 3
            f = n - k - 1
            if likely(k > 0 and k < n and p[k] == c"." and f > 0 and f <= 8 and f <= <size_t>scale):
                part = digits_of(load_up_to_8(p + k + 1, f))
                if f < 8:
                    part &= (<uint64_t>1 << (8 * f)) - 1
                if likely(nondigit_mask(part) == 0):
                    whole = eight_digits(whole << (64 - 8 * k))
                    # The fraction stands left-aligned in its word, so it comes out scaled by 1e8 whatever its length;
                    # moved up by some bytes it has as many zeros in front, and comes out at a smaller scale.
                    if scale <= 8:
                        part = eight_digits(part << (64 - 8 * scale))
                        out[0] = <int64_t>(whole * <uint64_t>POW10[scale] + part)
                    else:
                        part = eight_digits(part)
                        out[0] = <int64_t>((whole * <uint64_t>100_000_000 + part) * <uint64_t>POW10[scale - 8])
                    return OK
    return decimal_parse_long(p, n, scale, out)


cdef inline bint steps_from_e8(uint64_t value_e8, const step_t* s, int64_t* out) noexcept nogil:
    """Divide a value scaled by 1e8 by the step; False when it is no multiple (or the step is finer than 1e-8)."""
    cdef uint64_t q = value_e8 * s.inverse_e8
    q = (q >> s.shift_e8) | (q << ((64 - s.shift_e8) & 63))
    out[0] = <int64_t>q
    return q <= s.limit_e8


# ------------------------------------------------------------------------------------------------ steps and rounding
cdef inline int64_t floor_div(int64_t a, int64_t b) noexcept nogil:
    """a / b rounded towards minus infinity, as Python's //. b is positive."""
    cdef int64_t q = a / b
    debug_assert(b > 0)
    return q - (a % b < 0)


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    """a / b rounded towards plus infinity. b is positive."""
    cdef int64_t q = a / b
    debug_assert(b > 0)
    return q + (a % b > 0)


cdef inline int64_t floor_rest(int64_t a, int64_t b) noexcept nogil:
    """What `floor_div` leaves over: 0 to b - 1, as Python's %. b is positive."""
    cdef int64_t rest = a % b
    debug_assert(b > 0)
    return rest + b if rest < 0 else rest


cdef inline int decimal_to_steps(int64_t mantissa, int64_t step, int64_t* out) noexcept nogil:
    """How many whole steps a mantissa is; DECIMAL_OFF_STEP when it lies between two."""
    if step < 1:
        return DECIMAL_BAD_STEP
    if mantissa % step != 0:
        return DECIMAL_OFF_STEP
    out[0] = mantissa / step
    return OK


cdef inline int decimal_from_steps(int64_t steps, int64_t step, int64_t* out) noexcept nogil:
    cdef int64_t mantissa
    if step < 1:
        return DECIMAL_BAD_STEP
    if mul_overflow(steps, step, &mantissa) or mantissa < -INT64_MAX:
        return DECIMAL_OVERFLOW
    out[0] = mantissa
    return OK


cdef inline int floor_to_lot(int64_t qty, int64_t lot, int64_t* out) noexcept nogil:
    """The highest multiple of `lot` not above qty."""
    if lot < 1:
        return DECIMAL_BAD_STEP
    return decimal_from_steps(floor_div(qty, lot), lot, out)


cdef inline int ceil_to_lot(int64_t qty, int64_t lot, int64_t* out) noexcept nogil:
    """The lowest multiple of `lot` not below qty."""
    if lot < 1:
        return DECIMAL_BAD_STEP
    return decimal_from_steps(ceil_div(qty, lot), lot, out)


cdef inline int round_to_tick_half_even(int64_t px, int64_t tick, int64_t* out) noexcept nogil:
    """The nearest multiple of `tick`; from the middle to the even one, so that no bias builds up."""
    cdef int64_t q, rest
    if tick < 1:
        return DECIMAL_BAD_STEP
    q = floor_div(px, tick)
    rest = floor_rest(px, tick)
    # rest > tick - rest is 2 * rest > tick without the overflow.
    if rest > tick - rest or (rest == tick - rest and (q & 1) != 0):
        q += 1
    return decimal_from_steps(q, tick, out)


cdef inline int round_to_tick_half_away(int64_t px, int64_t tick, int64_t* out) noexcept nogil:
    """The nearest multiple of `tick`; from the middle away from zero, as people round."""
    cdef int64_t q, rest
    if tick < 1:
        return DECIMAL_BAD_STEP
    q = floor_div(px, tick)
    rest = floor_rest(px, tick)
    if rest > tick - rest or (rest == tick - rest and px > 0):
        q += 1
    return decimal_from_steps(q, tick, out)


cdef inline int mul_div_floor(int64_t a, int64_t b, int64_t c, int64_t* out) noexcept nogil:
    """a * b / c through 128 bits, rounded towards minus infinity. c is positive."""
    if c < 1:
        return DECIMAL_BAD_STEP
    return OK if mul_div_floor_c(a, b, c, out) else DECIMAL_OVERFLOW


cdef inline int mul_div_ceil(int64_t a, int64_t b, int64_t c, int64_t* out) noexcept nogil:
    """a * b / c through 128 bits, rounded towards plus infinity. c is positive."""
    if c < 1:
        return DECIMAL_BAD_STEP
    return OK if mul_div_ceil_c(a, b, c, out) else DECIMAL_OVERFLOW


cdef inline int mul_div_half_even(int64_t a, int64_t b, int64_t c, int64_t* out) noexcept nogil:
    """a * b / c through 128 bits, to the nearest; from the middle to the even one. c is positive."""
    if c < 1:
        return DECIMAL_BAD_STEP
    return OK if mul_div_half_even_c(a, b, c, out) else DECIMAL_OVERFLOW

"""Saturating integer arithmetic for values that nobody has checked: what does not fit is the largest there is.

Owns: sums, differences, values of ticks x lots, shares in millionths and the sign mask of the gate. Does not own: the
amounts that were checked where they came in (money). Every function is exact or saturates towards a failed limit;
nothing wraps. Each is a short path for the values of every day, with one branch out of it, and a far path that is
never inlined and takes every value: the two agree wherever both could answer.

Cost: two instructions for a sum, twelve for a value, eight for a share, thirteen for a wide one; the far paths some 20 ns.
"""
from libc.stdint cimport int64_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #define BOT4_RARE(x) __builtin_expect(!!(x), 0)
    /* What the compiler knew about x it forgets here: where its own use of that costs more than it saves. */
    #define BOT4_FORGET(x) __asm__("" : "+r"(x))
    #define BOT4_FAR static __attribute__((noinline, cold))
    static inline int64_t bot4_sat(__int128 v) {
        return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
    }
    /* A sum that left the range has the wrong sign, which tells by which end it left: no operand need be kept. */
    static inline int64_t bot4_add_sat(int64_t a, int64_t b) {
        int64_t r;
        return BOT4_RARE(__builtin_add_overflow(a, b, &r)) ? (r < 0 ? INT64_MAX : INT64_MIN) : r;
    }
    static inline int64_t bot4_sub_sat(int64_t a, int64_t b) {
        int64_t r;
        return BOT4_RARE(__builtin_sub_overflow(a, b, &r)) ? (r < 0 ? INT64_MAX : INT64_MIN) : r;
    }
    static inline int64_t bot4_abs_sat(int64_t a) {
        int64_t r;
        if (BOT4_RARE(__builtin_sub_overflow(0, a, &r))) return INT64_MAX;
        return a < 0 ? r : a;
    }

    /* Value of ticks x lots in account units, rounded away from zero: against us. Not knowing what a tick is worth
       makes every amount the largest, which every limit fails. */
    BOT4_FAR int64_t bot4_units_far(int64_t px, int64_t qty, uint64_t value_q32) {
        if (value_q32 == 0) return INT64_MAX;
        int64_t p = bot4_sat((__int128)px * qty);
        uint64_t size = p < 0 ? -(uint64_t)p : (uint64_t)p;
        /* 63 x 64 bits fit into 127; the rounding bits are far below the top. More than 63 is the largest. */
        unsigned __int128 m = (unsigned __int128)size * value_q32 + 0xffffffffu;
        int64_t value = (uint64_t)(m >> 64) >> 31 ? INT64_MAX : (int64_t)(m >> 32);
        return p < 0 ? -value : value;
    }
    static inline int64_t bot4_units(int64_t px, int64_t qty, uint64_t value_q32) {
        int64_t p;
        if (BOT4_RARE(value_q32 == 0)) return INT64_MAX;
        if (BOT4_RARE(__builtin_mul_overflow(px, qty, &p))) return bot4_units_far(px, qty, value_q32);
        if (BOT4_RARE(p < 0)) return bot4_units_far(px, qty, value_q32);
        BOT4_FORGET(p);
        unsigned __int128 m = (unsigned __int128)(uint64_t)p * value_q32 + 0xffffffffu;
        if (BOT4_RARE((uint64_t)(m >> 64) > INT32_MAX)) return bot4_units_far(px, qty, value_q32);
        /* Added, not joined by OR: that would be one SHRD, which is many steps on AMD's cores. */
        return (int64_t)(((uint64_t)(m >> 64) << 32) + ((uint64_t)m >> 32));
    }

    /* ppm of base, rounded down: a limit is never a unit too generous. The near path takes products of 63 bits, the
       wide one of 82, the far one all. With a product of high * 2**64 + low and 2**64 = 18446744073709 * 10**6 + 551616
       the share is high * 18446744073709 + (high * 551616 + low) / 10**6 exactly. A negative product has a high part
       that is too large, looked at without its sign. */
    BOT4_FAR int64_t bot4_share_far(int64_t base, int64_t ppm) {
        __int128 v = (__int128)base * ppm;
        return bot4_sat(v >= 0 ? v / 1000000 : -((-v + 999999) / 1000000));
    }
    static inline int64_t bot4_share_wide(int64_t base, int64_t ppm) {
        __int128 v = (__int128)base * ppm;
        uint64_t high = (uint64_t)(v >> 64), rest;
        if (BOT4_RARE(high > 0x3ffff)) return bot4_share_far(base, ppm);
        if (BOT4_RARE(__builtin_add_overflow(high * 551616, (uint64_t)v, &rest))) return bot4_share_far(base, ppm);
        return (int64_t)(high * 18446744073709 + rest / 1000000);
    }
    static __attribute__((noinline)) int64_t bot4_share_apart(int64_t base, int64_t ppm) {
        return bot4_share_wide(base, ppm);
    }
    static inline int64_t bot4_share(int64_t base, int64_t ppm) {
        int64_t v;
        if (BOT4_RARE(__builtin_mul_overflow(base, ppm, &v))) return bot4_share_apart(base, ppm);
        if (BOT4_RARE(v < 0)) return bot4_share_far(base, ppm);
        return (int64_t)((uint64_t)v / 1000000);
    }

    /* A base of which several shares are asked is divided once: with base = q * 10**6 + r the share is q * ppm +
       r * ppm / 10**6 exactly. A negative base has parts that no share but that of 0 ppm can be made of without an
       overflow: so its sign is asked once, and its shares are the far path's. */
    typedef struct { int64_t base, q, r; } bot4_parts_t;
    static inline bot4_parts_t bot4_parts(int64_t base) {
        uint64_t q = (uint64_t)base / 1000000;
        bot4_parts_t p = {base, (int64_t)q, (int64_t)((uint64_t)base - q * 1000000)};
        if (BOT4_RARE(base < 0)) { p.q = INT64_MAX; p.r = 1000000; }
        return p;
    }
    static inline int64_t bot4_part(bot4_parts_t p, int64_t ppm) {
        int64_t whole, share;
        /* Up to two thousand times the base: then r * ppm is below 2**51. */
        if (BOT4_RARE((uint64_t)ppm > INT32_MAX)) return bot4_share_far(p.base, ppm);
        if (BOT4_RARE(__builtin_mul_overflow(p.q, ppm, &whole))) return bot4_share_far(p.base, ppm);
        if (BOT4_RARE(__builtin_add_overflow(whole, (int64_t)((uint64_t)(p.r * ppm) / 1000000), &share)))
            return bot4_share_far(p.base, ppm);
        return share;
    }

    /* Signs of many words in one: an OR each as it comes, or the compiler keeps them all for a tree of ORs. */
    static inline int64_t bot4_also(int64_t signs, int64_t word) {
        signs |= word;
        BOT4_FORGET(signs);
        return signs;
    }
    /* The sign bits of `count` words as a mask, bit i for word i. The upper halves of sixteen words are narrowed to
       bytes, which keeps their signs (what does not fit saturates), and the signs of sixteen bytes are one instruction
       of every x86-64. */
    #if defined(__x86_64__)
    #include <emmintrin.h>
    static inline __m128i bot4_uppers(const int64_t* words) {
        const float* halves = (const float*)words;
        return _mm_castps_si128(_mm_shuffle_ps(_mm_loadu_ps(halves), _mm_loadu_ps(halves + 4), 0xdd));
    }
    static inline uint64_t bot4_signs16(const int64_t* words) {
        __m128i low = _mm_packs_epi32(bot4_uppers(words), bot4_uppers(words + 4));
        __m128i high = _mm_packs_epi32(bot4_uppers(words + 8), bot4_uppers(words + 12));
        return (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
    }
    #endif
    static inline uint64_t bot4_signs(const int64_t* words, int count) {
        uint64_t mask = 0;
        int i = 0;
    #if defined(__x86_64__)
        for (; i + 16 <= count; i += 16) mask |= bot4_signs16(words + i) << i;
    #endif
        for (; i < count; i++) mask |= ((uint64_t)words[i] >> 63) << i;
        return mask;
    }
    """
    int64_t add_sat "bot4_add_sat"(int64_t a, int64_t b) noexcept
    int64_t sub_sat "bot4_sub_sat"(int64_t a, int64_t b) noexcept
    int64_t abs_sat "bot4_abs_sat"(int64_t a) noexcept
    int64_t units_up "bot4_units"(int64_t px_ticks, int64_t qty_lots, uint64_t value_q32) noexcept
    int64_t share_down "bot4_share"(int64_t base, int64_t ppm) noexcept
    int64_t share_wide "bot4_share_wide"(int64_t base, int64_t ppm) noexcept
    ctypedef struct parts_t "bot4_parts_t":
        pass
    parts_t parts_of "bot4_parts"(int64_t base) noexcept
    int64_t part_down "bot4_part"(parts_t parts, int64_t ppm) noexcept
    int64_t also "bot4_also"(int64_t signs, int64_t word) noexcept
    uint64_t sign_mask "bot4_signs"(const int64_t* words, int count) noexcept

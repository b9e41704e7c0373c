"""Eight doubles at a time: the vector type of the feature kernels, its leaves, and the mark that inlines.

Owns: `v8` (eight doubles, one cache line), `m8` (eight masks), the few operations on them, and a return type
that inlines. Does not own: the instruction set: a module that is compiled for one states it before anything else
(`#pragma GCC target` in its contract), because the compiler lowers vectors for the target of the function they are
written in, before it inlines.

Every operation works lane by lane: no sum runs across lanes except `sum8`, whose association is written down. So a
program of these gives the same bits whether the compiler lowers it to SSE2, AVX2, AVX-512 or NEON: IEEE 754 defines
+ - * / and square root exactly, fused multiply-add is off (-ffp-contract=off), and the logarithm is our own, because
the C library's has variants by CPU. A function with v8 in its signature must be inlined (its ABI depends on the
target), so only these leaves have one; everything else passes pointers. Cost: that of the instructions.
"""
from libc.stdint cimport int64_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    typedef double bot4_v8 __attribute__((vector_size(64), aligned(64), may_alias));
    typedef double bot4_v8u __attribute__((vector_size(64), aligned(8), may_alias));
    typedef int64_t bot4_m8 __attribute__((vector_size(64), aligned(64), may_alias));
    #define BOT4_LEAF static inline __attribute__((always_inline))
    /* As a return type of a Cython function: void, and always inlined. */
    #define BOT4_INLINED __attribute__((always_inline)) void
    /* The compiler lowers + - * / of eight doubles to whatever registers there are, but takes comparisons and roots
       apart into scalars. So those go by native pieces. */
    #if defined(__AVX512F__)
    #define BOT4_NATIVE 64
    #elif defined(__AVX__)
    #define BOT4_NATIVE 32
    #else
    #define BOT4_NATIVE 16
    #endif
    typedef double bot4_native __attribute__((vector_size(BOT4_NATIVE), may_alias));
    typedef int64_t bot4_native_mask __attribute__((vector_size(BOT4_NATIVE), may_alias));
    #define BOT4_PIECES (64 / BOT4_NATIVE)
    typedef union { bot4_v8 v; bot4_m8 m; bot4_native p[BOT4_PIECES]; bot4_native_mask q[BOT4_PIECES]; } bot4_pieces;
    #define BOT4_COMPARE(name, op) \
        BOT4_LEAF bot4_m8 name(bot4_v8 a, bot4_v8 b) { \
            bot4_pieces x, y, r; x.v = a; y.v = b; \
            _Pragma("GCC unroll 8") for (int i = 0; i < BOT4_PIECES; i++) r.q[i] = x.p[i] op y.p[i]; \
            return r.m; }
    BOT4_COMPARE(bot4_gt, >)
    BOT4_COMPARE(bot4_ge, >=)
    BOT4_COMPARE(bot4_eq, ==)
    BOT4_LEAF bot4_v8 bot4_set1(double x) { return (bot4_v8){x, x, x, x, x, x, x, x}; }
    BOT4_LEAF bot4_v8 bot4_where(bot4_m8 m, bot4_v8 a, bot4_v8 b) {
        return (bot4_v8)(((bot4_m8)a & m) | ((bot4_m8)b & ~m));
    }
    BOT4_LEAF bot4_v8 bot4_keep(bot4_m8 m, bot4_v8 a) { return (bot4_v8)((bot4_m8)a & m); }
    /* a > b ? a : b, so b for equals and for a NaN in either: what MAXPD does, and what is written out elsewhere. */
    #if defined(__AVX512F__)
    #define BOT4_MAX(a, b) __builtin_ia32_maxpd512_mask(a, b, a, -1, 4)
    #define BOT4_MIN(a, b) __builtin_ia32_minpd512_mask(a, b, a, -1, 4)
    #elif defined(__AVX__)
    #define BOT4_MAX(a, b) __builtin_ia32_maxpd256(a, b)
    #define BOT4_MIN(a, b) __builtin_ia32_minpd256(a, b)
    #elif defined(__SSE2__)
    #define BOT4_MAX(a, b) __builtin_ia32_maxpd(a, b)
    #define BOT4_MIN(a, b) __builtin_ia32_minpd(a, b)
    #endif
    #ifdef BOT4_MAX
    #define BOT4_CHOOSE(name, choose) \
        BOT4_LEAF bot4_v8 name(bot4_v8 a, bot4_v8 b) { \
            bot4_pieces x, y; x.v = a; y.v = b; \
            _Pragma("GCC unroll 8") for (int i = 0; i < BOT4_PIECES; i++) x.p[i] = choose(x.p[i], y.p[i]); \
            return x.v; }
    BOT4_CHOOSE(bot4_max8, BOT4_MAX)
    BOT4_CHOOSE(bot4_min8, BOT4_MIN)
    #else
    BOT4_LEAF bot4_v8 bot4_max8(bot4_v8 a, bot4_v8 b) { return bot4_where(bot4_gt(a, b), a, b); }
    BOT4_LEAF bot4_v8 bot4_min8(bot4_v8 a, bot4_v8 b) { return bot4_where(bot4_gt(b, a), a, b); }
    #endif
    BOT4_LEAF bot4_v8 bot4_abs8(bot4_v8 a) { return (bot4_v8)((bot4_m8)a & 0x7fffffffffffffffLL); }
    BOT4_LEAF bot4_v8 bot4_sqrt8(bot4_v8 a) {
        bot4_pieces x;
        x.v = a;
        for (int i = 0; i < BOT4_PIECES; i++)
            for (unsigned j = 0; j < BOT4_NATIVE / 8; j++) x.p[i][j] = __builtin_sqrt(x.p[i][j]);
        return x.v;
    }
    BOT4_LEAF bot4_v8 bot4_load8(const double *p) { return (bot4_v8)*(const bot4_v8u *)p; }
    /* a / b where b is clear of zero, else `other`: the quotient is formed in every lane, so no lane can trap. */
    BOT4_LEAF bot4_v8 bot4_ratio(bot4_v8 a, bot4_v8 b, bot4_v8 other) {
        bot4_m8 ok = bot4_gt(bot4_abs8(b), bot4_set1(1e-300));
        return bot4_where(ok, a / bot4_where(ok, b, bot4_set1(1.0)), other);
    }
    BOT4_LEAF bot4_v8 bot4_gather(const double *p, const int64_t *at) {
        return (bot4_v8){p[at[0]], p[at[1]], p[at[2]], p[at[3]], p[at[4]], p[at[5]], p[at[6]], p[at[7]]};
    }
    /* One fixed association: halves, quarters, eighths. */
    BOT4_LEAF double bot4_sum8(bot4_v8 a) {
        return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
    }
    /* A bit for each lane of a mask. */
    BOT4_LEAF uint8_t bot4_bits(bot4_m8 m) {
    #if defined(__AVX512DQ__)
        return (uint8_t)__builtin_ia32_cvtq2mask512((long long __attribute__((vector_size(64))))m);
    #elif defined(__AVX__)
        bot4_pieces x; x.m = m;
        return (uint8_t)(__builtin_ia32_movmskpd256(x.p[0]) | __builtin_ia32_movmskpd256(x.p[1]) << 4);
    #elif defined(__SSE2__)
        bot4_pieces x; x.m = m;
        return (uint8_t)(__builtin_ia32_movmskpd(x.p[0]) | __builtin_ia32_movmskpd(x.p[1]) << 2
                         | __builtin_ia32_movmskpd(x.p[2]) << 4 | __builtin_ia32_movmskpd(x.p[3]) << 6);
    #else
        unsigned bits = 0;
        for (int i = 0; i < 8; i++) bits |= (unsigned)(m[i] != 0) << i;
        return (uint8_t)bits;
    #endif
    }
    /* ln x for positive normal x, within 1 unit of the last place or two: x = 2^e * m, m in [sqrt(1/2), sqrt 2),
       ln m = 2 artanh((m - 1) / (m + 1)), whose series is cut where the next term is under 2^-54. */
    BOT4_LEAF double bot4_log(double x) {
        uint64_t bits; double m, s, z, p; int64_t e;
        memcpy(&bits, &x, 8);
        e = (int64_t)(bits >> 52) - 1023;
        bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
        memcpy(&m, &bits, 8);
        if (m > 1.4142135623730951) { m = m * 0.5; e = e + 1; }
        s = (m - 1.0) / (m + 1.0);
        z = s * s;
        p = 1.0 / 21.0;
        p = p * z + 1.0 / 19.0; p = p * z + 1.0 / 17.0; p = p * z + 1.0 / 15.0; p = p * z + 1.0 / 13.0;
        p = p * z + 1.0 / 11.0; p = p * z + 1.0 / 9.0; p = p * z + 1.0 / 7.0; p = p * z + 1.0 / 5.0;
        p = p * z + 1.0 / 3.0;
        return (double)e * 0.6931471805599453 + (2.0 * s + 2.0 * s * z * p);
    }
    BOT4_LEAF bot4_v8 bot4_log8(bot4_v8 a) {
        bot4_v8 r;
        for (int i = 0; i < 8; i++) r[i] = bot4_log(a[i]);
        return r;
    }

    /* A rolling sum without drift. `fresh` counts up a second sum from zero; after a whole window it holds exactly the
       window and replaces the running one. So no rounding is older than two windows, and nothing poisons it for ever. */
    BOT4_LEAF void bot4_roll(bot4_v8 *sum, bot4_v8 *fresh, double x, bot4_v8 old, bot4_m8 swap) {
        bot4_v8 s = *sum + x - old, f = *fresh + x;
        *sum = bot4_where(swap, f, s);
        *fresh = bot4_keep(~swap, f);
    }
    /* First and second moment and the linearly weighted sum of a window, by the same two sums, around an anchor that
       moves with each exchange: a price of 60,000 with a spread of 0.01 keeps its digits. */
    typedef struct {
        bot4_v8 anchor, anchor_fresh, s1, s2, w, f1, f2, fw, fresh_count;
    } bot4_window;
    BOT4_LEAF void bot4_window_push(bot4_window *a, int settled, bot4_v8 x, bot4_v8 old, bot4_v8 count, bot4_v8 n) {
        bot4_v8 one = bot4_set1(1.0), u, v, o, f1, f2, fw, fc, s1, s2, w;
        bot4_m8 swap;
        if (settled) {
            u = x - a->anchor;
            o = old - a->anchor;
            v = x - a->anchor_fresh;
            w = a->w + n * u - a->s1;
            fc = a->fresh_count + one;
        } else {
            bot4_m8 live = bot4_ge(count, one), full = bot4_gt(count, n), first = bot4_eq(count, one);
            a->anchor = bot4_where(first, x, a->anchor);
            a->anchor_fresh = bot4_where(first, x, a->anchor_fresh);
            u = bot4_keep(live, x - a->anchor);
            o = bot4_keep(full, old - a->anchor);
            v = bot4_keep(live, x - a->anchor_fresh);
            w = a->w + bot4_min8(count, n) * u - bot4_keep(full, a->s1);
            fc = a->fresh_count + bot4_keep(live, one);
        }
        s1 = a->s1 + u - o;
        s2 = a->s2 + u * u - o * o;
        f1 = a->f1 + v;
        f2 = a->f2 + v * v;
        fw = a->fw + fc * v;
        swap = bot4_ge(fc, n);
        a->s1 = bot4_where(swap, f1, s1);
        a->s2 = bot4_where(swap, f2, s2);
        a->w = bot4_where(swap, fw, w);
        a->anchor = bot4_where(swap, a->anchor_fresh, a->anchor);
        a->anchor_fresh = bot4_where(swap, x, a->anchor_fresh);
        a->f1 = bot4_keep(~swap, f1);
        a->f2 = bot4_keep(~swap, f2);
        a->fw = bot4_keep(~swap, fw);
        a->fresh_count = bot4_keep(~swap, fc);
    }
    /* An exponential mean that starts as the plain mean of its first n values: weight 1/count until then, k after. */
    BOT4_LEAF bot4_v8 bot4_weight(int settled, bot4_v8 count, bot4_v8 n, bot4_v8 k) {
        /* Settled: every lane is past its start, which the masks below would find out each time anew. */
        if (settled) return k;
        bot4_m8 live = bot4_ge(count, bot4_set1(1.0));
        return bot4_keep(live, bot4_where(bot4_gt(count, n), k, 1.0 / bot4_where(live, count, bot4_set1(1.0))));
    }
    """
    ctypedef double v8 "bot4_v8"
    ctypedef int64_t m8 "bot4_m8"
    ctypedef void inlined "BOT4_INLINED"

    ctypedef struct window_t "bot4_window":
        v8 anchor
        v8 anchor_fresh
        v8 s1                     # sum of (x - anchor)
        v8 s2
        v8 w                      # sum of j * (x - anchor), the oldest with j = 1
        v8 f1
        v8 f2
        v8 fw
        v8 fresh_count

    v8 set1 "bot4_set1"(double x) noexcept
    v8 where "bot4_where"(m8 m, v8 a, v8 b) noexcept
    v8 keep "bot4_keep"(m8 m, v8 a) noexcept
    m8 gt "bot4_gt"(v8 a, v8 b) noexcept
    m8 ge "bot4_ge"(v8 a, v8 b) noexcept
    m8 eq "bot4_eq"(v8 a, v8 b) noexcept
    v8 max8 "bot4_max8"(v8 a, v8 b) noexcept
    v8 min8 "bot4_min8"(v8 a, v8 b) noexcept
    v8 abs8 "bot4_abs8"(v8 a) noexcept
    v8 sqrt8 "bot4_sqrt8"(v8 a) noexcept
    v8 log8 "bot4_log8"(v8 a) noexcept
    v8 load8 "bot4_load8"(const double* p) noexcept
    v8 ratio "bot4_ratio"(v8 a, v8 b, v8 other) noexcept
    v8 gather "bot4_gather"(const double* p, const int64_t* at) noexcept
    double sum8 "bot4_sum8"(v8 a) noexcept
    double log_c "bot4_log"(double x) noexcept
    void roll "bot4_roll"(v8* sum, v8* fresh, double x, v8 old, m8 swap) noexcept
    void window_push "bot4_window_push"(window_t* a, bint settled, v8 x, v8 old, v8 count, v8 n) noexcept
    v8 weight "bot4_weight"(bint settled, v8 count, v8 n, v8 k) noexcept

"""A few doubles at a time: the vector type of the feature kernels, its leaves, and the mark that inlines.

Owns: `vec` (as many doubles as the target has in one register: eight with AVX-512, four with AVX2, two elsewhere),
`mask`, the few operations on them, `row_t` (eight doubles, one cache line) and a return type that inlines. Does not
own: the instruction set: a module that is compiled for one states it before anything else (`#pragma GCC target` in
its contract), because the compiler lowers vectors for the target of the function they are written in, before it
inlines.

State is rows of eight; a module walks a row in slices of its own width (`SLICES` of `WIDTH`). A pointer to a struct
of rows moved on by one slice is the same struct seen one slice further, so a formula is written once for a `vec` and
knows nothing of widths. One vector type of eight for all was tried: below AVX-512 the compiler took its comparisons
and logic apart into scalars, and AVX2 was slower than SSE2.

Every operation works lane by lane: no sum runs across lanes except those of the scans, whose association (eight
partial sums, halves, quarters, eighths) is written down. So a program of these gives the same bits on SSE2, AVX2,
AVX-512 and NEON: IEEE 754 defines + - * / and square root exactly, fused multiply-add is off (-ffp-contract=off), and
the logarithm is our own, because the C library's has variants by CPU. A function with vec in its signature must be
inlined (its ABI depends on the target). Cost: that of the instructions.
"""
from libc.stdint cimport int64_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    #define BOT4_LEAF static inline __attribute__((always_inline))
    /* As a return type of a Cython function: void, and always inlined. Unoptimised builds fold nothing away and
       those with checks fold little: there a hundred copies of the whole would take the compiler minutes. */
    #if defined(__OPTIMIZE__) && !defined(BOT4_DEBUG) && !defined(__SANITIZE_THREAD__)
    #define BOT4_INLINED __attribute__((always_inline)) void
    #else
    #define BOT4_INLINED void
    #endif
    /* The same, and never inlined. */
    #define BOT4_APART __attribute__((noinline)) void
    #if defined(__AVX512F__) && defined(__AVX512DQ__)
    #define BOT4_NATIVE 64
    #elif defined(__AVX2__)
    #define BOT4_NATIVE 32
    #else
    #define BOT4_NATIVE 16
    #endif
    #if defined(__SSE2__)
    #include <immintrin.h>
    #endif
    #define BOT4_WIDTH (BOT4_NATIVE / 8)
    #define BOT4_SLICES (64 / BOT4_NATIVE)
    #define BOT4_EACH _Pragma("GCC unroll 8") for (int i = 0; i < BOT4_WIDTH; i++)
    typedef double bot4_vec __attribute__((vector_size(BOT4_NATIVE), may_alias));
    typedef double bot4_loose __attribute__((vector_size(BOT4_NATIVE), aligned(8), may_alias));
    typedef int64_t bot4_ints __attribute__((vector_size(BOT4_NATIVE), may_alias));
    typedef int64_t bot4_loose_ints __attribute__((vector_size(BOT4_NATIVE), aligned(8), may_alias));
    typedef union { double d[8]; bot4_vec v; } bot4_row;
    BOT4_LEAF bot4_vec bot4_set1(double x) {
    #if BOT4_NATIVE == 64
        return (bot4_vec){x, x, x, x, x, x, x, x};
    #elif BOT4_NATIVE == 32
        return (bot4_vec){x, x, x, x};
    #else
        return (bot4_vec){x, x};
    #endif
    }
    BOT4_LEAF bot4_vec bot4_load(const double *p) { return (bot4_vec)*(const bot4_loose *)p; }
    BOT4_LEAF void bot4_store(double *p, bot4_vec a) { *(bot4_loose *)p = (bot4_loose)a; }

    /* Comparisons are false for a NaN. max is a > b ? a : b, so b for equals and for a NaN in either: what MAXPD does,
       and what is written out where there is no MAXPD. A mask is a bit a lane with AVX-512, a lane of ones elsewhere. */
    #if BOT4_NATIVE == 64
    typedef __mmask8 bot4_mask;
    BOT4_LEAF bot4_mask bot4_gt(bot4_vec a, bot4_vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ); }
    BOT4_LEAF bot4_mask bot4_ge(bot4_vec a, bot4_vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_GE_OQ); }
    BOT4_LEAF bot4_mask bot4_eq(bot4_vec a, bot4_vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
    BOT4_LEAF bot4_mask bot4_not(bot4_mask m) { return (bot4_mask)~m; }
    BOT4_LEAF bot4_mask bot4_both(bot4_mask m, bot4_mask n) { return m & n; }
    BOT4_LEAF unsigned bot4_bits(bot4_mask m) { return m; }
    BOT4_LEAF bot4_vec bot4_where(bot4_mask m, bot4_vec a, bot4_vec b) { return _mm512_mask_blend_pd(m, b, a); }
    BOT4_LEAF bot4_vec bot4_keep(bot4_mask m, bot4_vec a) { return _mm512_maskz_mov_pd(m, a); }
    BOT4_LEAF bot4_vec bot4_max(bot4_vec a, bot4_vec b) { return _mm512_max_pd(a, b); }
    BOT4_LEAF bot4_vec bot4_min(bot4_vec a, bot4_vec b) { return _mm512_min_pd(a, b); }
    BOT4_LEAF bot4_vec bot4_sqrt(bot4_vec a) { return _mm512_sqrt_pd(a); }
    #else
    typedef bot4_ints bot4_mask;
    BOT4_LEAF bot4_mask bot4_gt(bot4_vec a, bot4_vec b) { return a > b; }
    BOT4_LEAF bot4_mask bot4_ge(bot4_vec a, bot4_vec b) { return a >= b; }
    BOT4_LEAF bot4_mask bot4_eq(bot4_vec a, bot4_vec b) { return a == b; }
    BOT4_LEAF bot4_mask bot4_not(bot4_mask m) { return ~m; }
    BOT4_LEAF bot4_mask bot4_both(bot4_mask m, bot4_mask n) { return m & n; }
    BOT4_LEAF bot4_vec bot4_keep(bot4_mask m, bot4_vec a) { return (bot4_vec)((bot4_ints)a & m); }
    #if BOT4_NATIVE == 32
    BOT4_LEAF unsigned bot4_bits(bot4_mask m) { return (unsigned)_mm256_movemask_pd((__m256d)m); }
    BOT4_LEAF bot4_vec bot4_where(bot4_mask m, bot4_vec a, bot4_vec b) { return _mm256_blendv_pd(b, a, (__m256d)m); }
    BOT4_LEAF bot4_vec bot4_max(bot4_vec a, bot4_vec b) { return _mm256_max_pd(a, b); }
    BOT4_LEAF bot4_vec bot4_min(bot4_vec a, bot4_vec b) { return _mm256_min_pd(a, b); }
    BOT4_LEAF bot4_vec bot4_sqrt(bot4_vec a) { return _mm256_sqrt_pd(a); }
    #else
    BOT4_LEAF bot4_vec bot4_where(bot4_mask m, bot4_vec a, bot4_vec b) {
        return (bot4_vec)(((bot4_ints)a & m) | ((bot4_ints)b & ~m));
    }
    #if defined(__SSE2__)
    BOT4_LEAF unsigned bot4_bits(bot4_mask m) { return (unsigned)_mm_movemask_pd((__m128d)m); }
    BOT4_LEAF bot4_vec bot4_max(bot4_vec a, bot4_vec b) { return _mm_max_pd(a, b); }
    BOT4_LEAF bot4_vec bot4_min(bot4_vec a, bot4_vec b) { return _mm_min_pd(a, b); }
    BOT4_LEAF bot4_vec bot4_sqrt(bot4_vec a) { return _mm_sqrt_pd(a); }
    #else
    BOT4_LEAF unsigned bot4_bits(bot4_mask m) { return (unsigned)((m[0] & 1) | (m[1] & 2)); }
    BOT4_LEAF bot4_vec bot4_max(bot4_vec a, bot4_vec b) { return bot4_where(bot4_gt(a, b), a, b); }
    BOT4_LEAF bot4_vec bot4_min(bot4_vec a, bot4_vec b) { return bot4_where(bot4_gt(b, a), a, b); }
    BOT4_LEAF bot4_vec bot4_sqrt(bot4_vec a) {
        BOT4_EACH a[i] = __builtin_sqrt(a[i]);
        return a;
    }
    #endif
    #endif
    #endif
    BOT4_LEAF bot4_vec bot4_abs(bot4_vec a) { return (bot4_vec)((bot4_ints)a & 0x7fffffffffffffffLL); }
    /* a / b where b is clear of zero, else `other`: the quotient is formed in every lane, so no lane can trap. */
    BOT4_LEAF bot4_vec bot4_ratio(bot4_vec a, bot4_vec b, bot4_vec other) {
        bot4_mask ok = bot4_gt(bot4_abs(b), bot4_set1(1e-300));
        return bot4_where(ok, a / bot4_where(ok, b, bot4_set1(1.0)), other);
    }
    BOT4_LEAF bot4_vec bot4_gather(const double *p, const int64_t *at) {
    #if BOT4_NATIVE == 64
        return (bot4_vec){p[at[0]], p[at[1]], p[at[2]], p[at[3]], p[at[4]], p[at[5]], p[at[6]], p[at[7]]};
    #elif BOT4_NATIVE == 32
        return (bot4_vec){p[at[0]], p[at[1]], p[at[2]], p[at[3]]};
    #else
        return (bot4_vec){p[at[0]], p[at[1]]};
    #endif
    }
    /* to[i] = (number - back[i]) & cut, a record's place in its ring. */
    BOT4_LEAF void bot4_place(int64_t *to, const int64_t *back, int64_t number, int64_t cut) {
        *(bot4_loose_ints *)to = (bot4_loose_ints)((number - *(const bot4_ints *)back) & cut);
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
    BOT4_LEAF bot4_vec bot4_logs(bot4_vec a) {
        BOT4_EACH a[i] = bot4_log(a[i]);
        return a;
    }

    /* Eight partial sums over n values from p on, whatever the width: value j goes to sum j mod 8. */
    #define BOT4_SCAN(name, arguments, term) \
        BOT4_LEAF double name arguments { \
            bot4_row total; int64_t i; \
            for (int j = 0; j < BOT4_SLICES; j++) ((bot4_vec *)total.d)[j] = bot4_set1(0.0); \
            for (i = 0; i + 8 <= n; i += 8) \
                _Pragma("GCC unroll 4") for (int j = 0; j < BOT4_SLICES; j++) { \
                    bot4_vec x = bot4_load(p + i + j * BOT4_WIDTH); \
                    ((bot4_vec *)total.d)[j] += term; \
                } \
            for (; i < n; i++) { \
                bot4_vec x = bot4_set1(p[i]); \
                total.d[i & 7] += (term)[0]; \
            } \
            return ((total.d[0] + total.d[4]) + (total.d[2] + total.d[6])) \
                 + ((total.d[1] + total.d[5]) + (total.d[3] + total.d[7])); }
    BOT4_SCAN(bot4_sum, (const double *p, int64_t n), x)
    BOT4_SCAN(bot4_distance, (const double *p, int64_t n, double mean), bot4_abs(x - bot4_set1(mean)))
    /* How many lie below x0, equals counted half. */
    BOT4_SCAN(bot4_below, (const double *p, int64_t n, double x0),
              bot4_keep(bot4_gt(bot4_set1(x0), x), bot4_set1(1.0)) + bot4_keep(bot4_eq(bot4_set1(x0), x), bot4_set1(0.5)))

    /* A rolling sum without drift. `fresh` counts up a second sum from zero; after a whole window it holds exactly the
       window and replaces the running one. So no rounding is older than two windows, and nothing poisons it for ever. */
    BOT4_LEAF void bot4_roll(bot4_row *sum, bot4_row *fresh, double x, bot4_vec old, bot4_mask swap) {
        bot4_vec s = sum->v + x - old, f = fresh->v + x;
        sum->v = bot4_where(swap, f, s);
        fresh->v = bot4_keep(bot4_not(swap), f);
    }
    /* First and second moment and the linearly weighted sum of a window, by the same two sums, around an anchor that
       moves with each exchange: a price of 60,000 with a spread of 0.01 keeps its digits. */
    typedef struct {
        bot4_row anchor, anchor_fresh, s1, s2, w, f1, f2, fw, fresh_count;
    } bot4_window;
    BOT4_LEAF void bot4_window_push(bot4_window *a, int settled, bot4_vec x, bot4_vec old, bot4_vec count, bot4_vec n) {
        bot4_vec one = bot4_set1(1.0), u, v, o, f1, f2, fw, fc, s1, s2, w;
        bot4_mask swap, stay;
        if (settled) {
            u = x - a->anchor.v;
            o = old - a->anchor.v;
            v = x - a->anchor_fresh.v;
            w = a->w.v + n * u - a->s1.v;
            fc = a->fresh_count.v + one;
        } else {
            bot4_mask live = bot4_ge(count, one), full = bot4_gt(count, n), first = bot4_eq(count, one);
            a->anchor.v = bot4_where(first, x, a->anchor.v);
            a->anchor_fresh.v = bot4_where(first, x, a->anchor_fresh.v);
            u = bot4_keep(live, x - a->anchor.v);
            o = bot4_keep(full, old - a->anchor.v);
            v = bot4_keep(live, x - a->anchor_fresh.v);
            w = a->w.v + bot4_min(count, n) * u - bot4_keep(full, a->s1.v);
            fc = a->fresh_count.v + bot4_keep(live, one);
        }
        s1 = a->s1.v + u - o;
        s2 = a->s2.v + u * u - o * o;
        f1 = a->f1.v + v;
        f2 = a->f2.v + v * v;
        fw = a->fw.v + fc * v;
        swap = bot4_ge(fc, n);
        stay = bot4_not(swap);
        a->s1.v = bot4_where(swap, f1, s1);
        a->s2.v = bot4_where(swap, f2, s2);
        a->w.v = bot4_where(swap, fw, w);
        a->anchor.v = bot4_where(swap, a->anchor_fresh.v, a->anchor.v);
        a->anchor_fresh.v = bot4_where(swap, x, a->anchor_fresh.v);
        a->f1.v = bot4_keep(stay, f1);
        a->f2.v = bot4_keep(stay, f2);
        a->fw.v = bot4_keep(stay, fw);
        a->fresh_count.v = bot4_keep(stay, fc);
    }
    /* An exponential mean that starts as the plain mean of its first n values: weight 1/count until then, k after. */
    BOT4_LEAF bot4_vec bot4_weight(int settled, bot4_vec count, bot4_vec n, bot4_vec k) {
        /* Settled: every lane is past its start, which the masks below would find out each time anew. */
        if (settled) return k;
        bot4_mask live = bot4_ge(count, bot4_set1(1.0));
        return bot4_keep(live, bot4_where(bot4_gt(count, n), k, 1.0 / bot4_where(live, count, bot4_set1(1.0))));
    }
    """
    ctypedef double vec "bot4_vec"
    ctypedef int64_t mask "bot4_mask"
    ctypedef void inlined "BOT4_INLINED"
    ctypedef void apart "BOT4_APART"
    const int WIDTH "BOT4_WIDTH"      # lanes of a vec
    const int SLICES "BOT4_SLICES"    # of a row of eight

    ctypedef union row_t "bot4_row":
        double d[8]
        vec v                         # the first slice; of a struct moved on, the slice moved to

    ctypedef struct window_t "bot4_window":
        row_t anchor
        row_t anchor_fresh
        row_t s1                      # sum of (x - anchor)
        row_t s2
        row_t w                       # sum of j * (x - anchor), the oldest with j = 1
        row_t f1
        row_t f2
        row_t fw
        row_t fresh_count

    vec set1 "bot4_set1"(double x) noexcept
    vec load "bot4_load"(const double* p) noexcept
    void store "bot4_store"(double* p, vec a) noexcept
    vec where "bot4_where"(mask m, vec a, vec b) noexcept
    vec keep "bot4_keep"(mask m, vec a) noexcept
    mask gt "bot4_gt"(vec a, vec b) noexcept
    mask ge "bot4_ge"(vec a, vec b) noexcept
    mask eq "bot4_eq"(vec a, vec b) noexcept
    mask unless "bot4_not"(mask m) noexcept
    mask both "bot4_both"(mask m, mask n) noexcept
    unsigned int bits "bot4_bits"(mask m) noexcept
    vec larger "bot4_max"(vec a, vec b) noexcept
    vec smaller "bot4_min"(vec a, vec b) noexcept
    vec size "bot4_abs"(vec a) noexcept
    vec root "bot4_sqrt"(vec a) noexcept
    vec logs "bot4_logs"(vec a) noexcept
    vec ratio "bot4_ratio"(vec a, vec b, vec other) noexcept
    vec gather "bot4_gather"(const double* p, const int64_t* at) noexcept
    void place "bot4_place"(int64_t* to, const int64_t* back, int64_t number, int64_t cut) noexcept
    double log_c "bot4_log"(double x) noexcept
    double scan_sum "bot4_sum"(const double* p, int64_t n) noexcept
    double scan_distance "bot4_distance"(const double* p, int64_t n, double mean) noexcept
    double scan_below "bot4_below"(const double* p, int64_t n, double x) noexcept
    void roll "bot4_roll"(row_t* sum, row_t* fresh, double x, vec old, mask swap) noexcept
    void window_push "bot4_window_push"(window_t* a, bint settled, vec x, vec old, vec count, vec n) noexcept
    vec weight "bot4_weight"(bint settled, vec count, vec n, vec k) noexcept

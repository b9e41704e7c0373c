"""Sums, norms and exponentials that neither overflow on the way nor lose what is small: the arithmetic of inference.

Owns: the exponential, the logistic, log-sum-exp, softmax, the Euclidean norm and the compensated sum. Does not own:
what they are applied to. The C library's exponential has variants by CPU, so this one is our own: plain additions and
products in one written order, no fused multiply-add, the same bits on every machine; within one unit of the last
place or two. The order of every sum is the order of its values.

NaN goes in, NaN comes out. An infinity is a value like others: all of a softmax's mass goes to what is infinite.
Cost: an exponential some 6 ns, and that many for each value of a softmax.
"""
from libc.math cimport fabs, frexp, isinf, ldexp, sqrt
from libc.stdint cimport int64_t

from engine._core.simd cimport log_c

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    /* 2^n for a normal result. */
    static inline double bot4_two_to(int64_t n) {
        uint64_t bits = (uint64_t)(n + 1023) << 52;
        double out;
        memcpy(&out, &bits, 8);
        return out;
    }
    /* e^x = 2^n e^r with |r| <= ln 2 / 2. ln 2 comes in two parts, the first with so few bits that n times it is exact.
       The series of e^r is cut where the next term is under 2^-57, and summed in pairs: a chain would wait 12 times. */
    static inline double bot4_exp(double x) {
        double n, r, r2, r4, q;
        int64_t half, whole;
        if (!(x < 709.782712893384)) return x > 709.782712893384 ? __builtin_inf() : x == x ? 1.7976931348622732e308 : x;
        if (x < -745.1332191019412) return 0.0;
        n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0;
        r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
        r2 = r * r;
        r4 = r2 * r2;
        q = ((1.0 / 2.0 + 1.0 / 6.0 * r) + (1.0 / 24.0 + 1.0 / 120.0 * r) * r2)
          + ((1.0 / 720.0 + 1.0 / 5040.0 * r) + (1.0 / 40320.0 + 1.0 / 362880.0 * r) * r2) * r4
          + ((1.0 / 3628800.0 + 1.0 / 39916800.0 * r) + (1.0 / 479001600.0 + 1.0 / 6227020800.0 * r) * r2) * (r4 * r4);
        /* In two steps: the one factor of a result near either end would not be a normal number. */
        whole = (int64_t)n;
        half = whole >> 1;
        return (1.0 + (r + r2 * q)) * bot4_two_to(half) * bot4_two_to(whole - half);
    }
    """
    double exp_c "bot4_exp"(double x) noexcept


cdef inline double logistic_c(double x) noexcept nogil:
    """1 / (1 + e^-x), by an exponential that never grows: no digit is lost at either end."""
    cdef double z = exp_c(-fabs(x))
    return 1.0 / (1.0 + z) if x >= 0.0 else z / (1.0 + z)


cdef inline double _most(const double* p, int64_t n) noexcept nogil:
    """The largest value; NaN when there is one."""
    cdef double most = p[0]
    cdef int64_t i
    for i in range(1, n):
        if p[i] > most or p[i] != p[i]:
            most = p[i]
    return most


cdef inline double _below(double x, double most) noexcept nogil:
    """x - most, of an infinity and itself 0."""
    return 0.0 if x == most else x - most


cdef inline double log_sum_exp_c(const double* p, int64_t n) noexcept nogil:
    cdef double most = _most(p, n), total = 0.0
    cdef int64_t i
    if most != most or (isinf(most) and most < 0.0):
        return most
    for i in range(n):
        total += exp_c(_below(p[i], most))
    return most + log_c(total)


cdef inline void softmax_c(const double* p, int64_t n, double* out) noexcept nogil:
    """Shares that add up to one; `out` may be `p`."""
    cdef double most = _most(p, n), total = 0.0
    cdef int64_t i
    for i in range(n):
        out[i] = exp_c(_below(p[i], most)) if most == most else most
        total += out[i]
    for i in range(n):
        out[i] = out[i] / total


cdef inline double total_c(const double* p, int64_t n) noexcept nogil:
    """Neumaier's sum: what each addition rounds away is added up beside it, whichever of the two is larger."""
    cdef double total = 0.0, lost = 0.0, after
    cdef int64_t i
    for i in range(n):
        after = total + p[i]
        if fabs(total) >= fabs(p[i]):
            lost += (total - after) + p[i]
        else:
            lost += (p[i] - after) + total
        total = after
    # Of an infinity nothing was lost that could be named.
    return total + lost if lost == lost else total


cdef inline double norm_c(const double* p, int64_t n) noexcept nogil:
    """The Euclidean length, its squares taken on a scale of one: neither end of the range is out of reach."""
    cdef double most = 0.0, total = 0.0, lost = 0.0, square, after
    cdef int power = 0
    cdef int64_t i
    for i in range(n):
        if fabs(p[i]) > most or p[i] != p[i]:
            most = fabs(p[i])
    if most == 0.0 or most != most or isinf(most):
        return most
    frexp(most, &power)
    for i in range(n):
        square = ldexp(p[i], -power)
        square = square * square
        after = total + square
        lost += (total - after) + square if total >= square else (square - after) + total
        total = after
    return ldexp(sqrt(total + lost), power)

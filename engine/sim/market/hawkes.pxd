"""A multivariate Hawkes process with exponential kernels, drawn by thinning.

    intensity of d  =  base[d] * scale[d]  +  sum over k of excite[k][d]
    an event of s adds alpha[k][s][d] * beta[k] to excite[k][d], which decays as exp(-beta[k] t)

So alpha[k][s][d] is the mean number of children of kind d that an event of kind s has on time scale k, and the
spectral radius of their sum over k is the branching ratio: below one, or the process explodes and is refused.

Owns: the intensities and the random stream (xoshiro256++, seeded by splitmix64: no library's generator stands in
between, so a seed means the same next year). Does not own: what an event means.
Invariant: between two events the total intensity only falls, so its value now bounds it until the next one.
Cost: one candidate is `scales` exponentials and one pass over `dims`; about 1.5 candidates an event.
"""
from libc.stdint cimport int64_t, uint64_t


cdef enum:
    HAWKES_DIMS = 96
    HAWKES_SCALES = 4


cdef struct stream_t:             # xoshiro256++
    uint64_t s[4]


cdef inline uint64_t stream_bits(stream_t* r) noexcept nogil:
    cdef uint64_t x = r.s[0] + r.s[3], t = r.s[1] << 17
    x = ((x << 23) | (x >> 41)) + r.s[0]
    r.s[2] ^= r.s[0]
    r.s[3] ^= r.s[1]
    r.s[1] ^= r.s[2]
    r.s[0] ^= r.s[3]
    r.s[2] ^= t
    r.s[3] = (r.s[3] << 45) | (r.s[3] >> 19)
    return x


cdef inline double stream_uniform(stream_t* r) noexcept nogil:
    """From the open interval (0, 1): its logarithm is finite and below zero."""
    return (<double>(stream_bits(r) >> 11) + 0.5) * (1.0 / 9007199254740992.0)


cdef void stream_seed(stream_t* r, uint64_t seed) noexcept nogil


cdef class Hawkes:
    cdef stream_t random
    cdef int dims
    cdef int scales
    cdef int64_t now_ns
    cdef uint64_t candidates
    cdef double beta[4]
    cdef double base[96]
    cdef double scale[96]
    cdef double excite[4][96]
    cdef double alpha[4][96][96]

    cdef int next_event(self, int64_t limit_ns) noexcept nogil
    cdef void happen(self, int kind) noexcept nogil
    cdef void decay(self, double seconds) noexcept nogil

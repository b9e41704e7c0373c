cimport cython
from libc.math cimport exp, log
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset

import numpy as np

DIMS = HAWKES_DIMS
SCALES = HAWKES_SCALES


cdef void stream_seed(stream_t* r, uint64_t seed) noexcept nogil:
    """Spread a seed over the state: seeds that differ in one bit give streams that have nothing in common."""
    cdef uint64_t z
    cdef int i
    for i in range(4):
        seed += <uint64_t>0x9E3779B97F4A7C15
        z = seed
        z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
        r.s[i] = z ^ (z >> 31)


def uniforms(uint64_t seed, Py_ssize_t count):
    """The first draws of a seed's stream."""
    cdef stream_t r
    cdef Py_ssize_t i
    out = np.empty(count)
    cdef double[::1] view = out
    stream_seed(&r, seed)
    for i in range(count):
        view[i] = stream_uniform(&r)
    return out


# `self` is never None in its own methods; the debug build's check for it would need the interpreter lock.
@cython.nonecheck(False)
@cython.final
cdef class Hawkes:
    """`base` per second, `alpha[scale, source, target]` in children, `beta` per second."""

    def __cinit__(self, base, alpha, beta, *, uint64_t seed, int64_t start_ns=0):
        cdef int k, s, d
        mu = np.ascontiguousarray(base, np.float64)
        children = np.ascontiguousarray(alpha, np.float64)
        rates = np.ascontiguousarray(beta, np.float64)
        self.dims, self.scales = len(mu), len(rates)
        if not 1 <= self.dims <= HAWKES_DIMS or not 1 <= self.scales <= HAWKES_SCALES:
            raise ValueError(f"{self.dims} kinds on {self.scales} scales: {HAWKES_DIMS} and {HAWKES_SCALES} at most")
        if children.shape != (self.scales, self.dims, self.dims):
            raise ValueError(f"alpha is {children.shape}, not {(self.scales, self.dims, self.dims)}")
        if not (np.isfinite(mu).all() and np.isfinite(children).all() and np.isfinite(rates).all()):
            raise ValueError("a parameter is not a number")
        if (mu < 0).any() or (children < 0).any() or (rates <= 0).any():
            raise ValueError("a rate below zero")
        if not mu.any():
            raise ValueError("a process without arrivals from outside: nothing ever happens")
        ratio = float(np.abs(np.linalg.eigvals(children.sum(axis=0))).max())
        if ratio >= 1:
            raise ValueError(f"a branching ratio of {ratio:.3f} explodes")
        memset(&self.excite[0][0], 0, sizeof(self.excite))
        memset(&self.alpha[0][0][0], 0, sizeof(self.alpha))
        for d in range(self.dims):
            self.base[d], self.scale[d] = mu[d], 1.0
        for k in range(self.scales):
            self.beta[k] = rates[k]
            for s in range(self.dims):
                for d in range(self.dims):
                    self.alpha[k][s][d] = children[k, s, d] * rates[k]
        self.now_ns = start_ns
        stream_seed(&self.random, seed)

    cdef void decay(self, double seconds) noexcept nogil:
        cdef int k, d
        cdef double factor
        for k in range(self.scales):
            factor = exp(-self.beta[k] * seconds)
            for d in range(self.dims):
                self.excite[k][d] *= factor

    cdef void happen(self, int kind) noexcept nogil:
        cdef int k, d
        for k in range(self.scales):
            for d in range(self.dims):
                self.excite[k][d] += self.alpha[k][kind][d]

    cdef int next_event(self, int64_t limit_ns) noexcept nogil:
        """The kind of the next event, which has happened when this returns; -1: none up to the limit, time is there."""
        cdef double bound, gap, total, at
        cdef double rates[96]
        cdef int64_t step
        cdef int k, d
        while True:
            bound = 0.0
            for d in range(self.dims):
                rates[d] = self.base[d] * self.scale[d]
                for k in range(self.scales):
                    rates[d] += self.excite[k][d]
                bound += rates[d]
            gap = -log(stream_uniform(&self.random)) / bound
            # An interval beyond what nanoseconds hold is as good as for ever.
            step = <int64_t>(min(gap, 1e9) * 1e9) + 1
            if step > limit_ns - self.now_ns:
                self.decay(<double>(limit_ns - self.now_ns) * 1e-9)
                self.now_ns = limit_ns
                return -1
            self.candidates += 1
            self.now_ns += step
            self.decay(<double>step * 1e-9)
            at = stream_uniform(&self.random) * bound
            total = 0.0
            for d in range(self.dims):
                total += self.base[d] * self.scale[d]
                for k in range(self.scales):
                    total += self.excite[k][d]
                if at < total:
                    self.happen(d)
                    return d

    def simulate(self, Py_ssize_t count):
        """`count` events as two arrays: times in nanoseconds, kinds."""
        cdef Py_ssize_t i
        cdef int kind
        times, kinds = np.empty(count, np.int64), np.empty(count, np.uint8)
        cdef int64_t[::1] at = times
        cdef uint8_t[::1] what = kinds
        with nogil:
            for i in range(count):
                kind = self.next_event(<int64_t>0x7FFFFFFFFFFFFFFF)
                at[i] = self.now_ns
                what[i] = <uint8_t>kind
        return times, kinds


def history(const int64_t[::1] times_ns, const uint8_t[::1] kinds, int dims, const double[::1] beta):
    """What the fit reads: for each event, and time scale k and source s, the sum of exp(-beta_k age) over earlier ones.

    Also the integral of that kernel over each gap, which makes the time-rescaled residuals.
    """
    cdef Py_ssize_t i, n = times_ns.shape[0]
    cdef int k, s, scales = <int>beta.shape[0]
    cdef double gap, factor
    sums, areas = np.zeros((n, scales, dims)), np.zeros((n, scales, dims))
    state = np.zeros((scales, dims))
    cdef double[:, :, ::1] out = sums, area = areas
    cdef double[:, ::1] now = state
    for i in range(n):
        gap = <double>(times_ns[i] - times_ns[i - 1]) * 1e-9 if i else 0.0
        for k in range(scales):
            factor = exp(-beta[k] * gap)
            for s in range(dims):
                area[i, k, s] = now[k, s] * (1.0 - factor) / beta[k]
                now[k, s] *= factor
                out[i, k, s] = now[k, s]
            now[k, kinds[i]] += 1.0
    return sums, areas

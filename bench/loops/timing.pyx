from libc.stdint cimport uint64_t

from engine._core.clock import ns_per_cycle


cdef double _overhead = -1.0


cdef double timing_overhead_cycles() noexcept nogil:
    """The smallest distance between two readings: what an empty batch measures."""
    global _overhead
    cdef uint64_t start, least = <uint64_t>-1
    cdef int i
    if _overhead < 0:
        for i in range(10_000):
            start = timing_start()
            least = min(least, timing_stop() - start)
        _overhead = <double>least
    return _overhead


cdef double timing_ns_per_cycle() noexcept:
    return ns_per_cycle()


def overhead_ns():
    return timing_overhead_cycles() * timing_ns_per_cycle()

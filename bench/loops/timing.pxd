"""What every in-kernel loop shares: one sample is the time of one batch divided by its size.

Reading the cycle counter costs about 10 ns, as much as ten ring operations. So operations under 100 ns are timed in
batches, the size is reported with the figure, and the cost of the two readings is measured and taken off.
"""
from libc.stdint cimport uint64_t

from engine._core.clock cimport clock_cycles


cdef inline uint64_t timing_start() noexcept nogil:
    return clock_cycles()


cdef inline uint64_t timing_stop() noexcept nogil:
    return clock_cycles()


cdef double timing_overhead_cycles() noexcept nogil
cdef double timing_ns_per_cycle() noexcept

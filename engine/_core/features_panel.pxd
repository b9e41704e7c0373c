"""The same features of many instruments: one bar closes in each, all advance in one pass.

Owns: the streams' memory, in one arena on huge pages where the machine has them, and the order of the pass. Does not
own: an update (features). Invariant: stream i is to the last bit what a `Features` of its own would be. While one
stream is updated the lines of the next are already on their way: 500 streams of 200 features are more than a core's
second cache holds, and without that half of the pass is waiting. Cost: see bench_features.py, `features_500_symbols`.
"""
from libc.stdint cimport int64_t

from engine._core.features cimport Features, features_t
from engine._core.memory cimport Arena


# Rows of open, high, low, close, volume, one for each stream; how many were refused.
cdef int64_t panel_close(char* base, size_t stride, int64_t count, const double* rows, int level) noexcept nogil


cdef class Panel:
    cdef Arena arena
    cdef Features shape           # what each stream is a copy of, empty
    cdef char* base
    cdef size_t stride
    cdef readonly int64_t count

from libc.stdint cimport uint64_t

from engine._core.features cimport group_t, tick_t
from engine._core.features_batch cimport batch_of
from engine._core.features_rows cimport rows_bar, rows_group
from engine._core.features_table cimport FAMILIES, family_row
from engine._core.simd cimport apart

# The bounds as plain arrays: read in each update, so beside the code that reads them.
cdef double _low[FAMILIES]
cdef double _high[FAMILIES]


cdef apart _advance(group_t* g, tick_t* k, uint64_t needs, uint64_t sums, uint64_t parts) noexcept nogil:
    rows_group(g, k, -1, needs, sums, parts)


cdef int bar_v3(features_t* f, double o, double h, double l, double c, double v, double reference) noexcept nogil:
    cdef bint taken = False
    rows_bar(f, _low, _high, o, h, l, c, v, reference, &_advance, &taken)
    return FEATURES_OK if taken else FEATURES_REFUSED


cdef void batch_v3(features_t* f, int family, const columns_t* bars, double* out) noexcept nogil:
    batch_of(f, _low, _high, family, bars, out)


cdef int _fill() except -1:
    cdef int i
    for i in range(<int>FAMILIES):
        _low[i] = family_row(i).low
        _high[i] = family_row(i).high
    return 0


_fill()
addresses = <size_t>&bar_v3, <size_t>&batch_v3

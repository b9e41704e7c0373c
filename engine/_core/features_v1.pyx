from engine._core.features_rows cimport rows_advance


cdef void advance_v1(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    rows_advance(f, g, k)


address = <size_t>&advance_v1

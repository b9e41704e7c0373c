"""The formulas of features_rows, compiled for the baseline of the architecture.

Owns: one instance of the formulas and its addresses. Runs on every CPU. Cost: none beside the formulas' own.
"""
from engine._core.features cimport FEATURES_OK, FEATURES_REFUSED, columns_t, features_t


cdef int bar_v1(features_t* f, double o, double h, double l, double c, double v, double reference) noexcept nogil
cdef void batch_v1(features_t* f, int family, const columns_t* bars, double* out) noexcept nogil

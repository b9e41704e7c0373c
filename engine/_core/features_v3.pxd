"""The formulas of features_rows, compiled for AVX2.

Owns: one instance of the formulas and its addresses. Imported only by features, and only on a CPU that has these
instructions: the whole module is compiled for them. Cost: none beside the formulas' own.
"""
cdef extern from *:
    """
    #if defined(__x86_64__)
    #pragma GCC target("avx2,bmi,bmi2")
    #endif
    """

from engine._core.features cimport FEATURES_OK, FEATURES_REFUSED, columns_t, features_t


cdef int bar_v3(features_t* f, double o, double h, double l, double c, double v, double reference) noexcept nogil
cdef void batch_v3(features_t* f, int family, const columns_t* bars, double* out) noexcept nogil

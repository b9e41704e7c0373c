"""The formulas of features_rows, compiled for AVX2.

Owns: one instance of the formulas and its address. Imported only by features, and only on a CPU that has these
instructions: the whole module is compiled for them. Cost: none beside the formulas' own.
"""
cdef extern from *:
    """
    #if defined(__x86_64__)
    #pragma GCC target("avx2,bmi,bmi2")
    #endif
    """

from engine._core.features cimport features_t, group_t, tick_t


cdef void advance_v3(const features_t* f, group_t* g, const tick_t* k) noexcept nogil

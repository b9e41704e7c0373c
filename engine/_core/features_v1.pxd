"""The formulas of features_rows, compiled for the baseline of the architecture.

Owns: one instance of the formulas and its address. Runs on every CPU. Cost: none beside the formulas' own.
"""
from engine._core.features cimport features_t, group_t, tick_t


cdef void advance_v1(const features_t* f, group_t* g, const tick_t* k) noexcept nogil

from libc.stdint cimport int64_t, uint64_t

from engine._core.atomics cimport add_relaxed, cas_acq_rel, load_relaxed
from engine._core.debug cimport debug_assert, static_assert_c
from engine._core.types cimport LIMIT_LOOSER, OK

Limit = limit_t


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(limits_t) == 256)


cdef bint limit_is_floor(int which) noexcept nogil:
    """Whether the limit is a least value: it tightens upward where the others tighten downward."""
    return which == LIMIT_MARGIN_PPM or which == LIMIT_LIQUIDATION_PPM


cdef int limits_tighten(limits_t* limits, int which, int64_t value) noexcept nogil:
    """Make one limit stricter, from any thread. The same value is fine; a looser one is refused and counted."""
    cdef uint64_t* word = <uint64_t*>&limits.value[which]
    cdef uint64_t seen = load_relaxed(word)
    debug_assert(0 <= which and which < LIMIT_COUNT)
    while True:
        # Another thread may have tightened in between: what counts is the word as it is now.
        if (value < <int64_t>seen) if limit_is_floor(which) else (value > <int64_t>seen):
            add_relaxed(&limits.refused_count, 1)
            return LIMIT_LOOSER
        if cas_acq_rel(word, &seen, <uint64_t>value):
            add_relaxed(&limits.tightened_count, 1)
            return OK

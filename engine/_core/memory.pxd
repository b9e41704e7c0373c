"""The arena: one block of memory, taken at start, from which everything is carved.

Owns: the mapping, its alignment, its pages (touched before anyone needs them, huge and locked where the machine
allows) and the count of what was carved. Does not own: what stands in it. Invariant: `used <= size`, every carve is
zeroed and aligned, and after `seal` nothing is carved any more. Cost: a carve is a few additions; it happens at
start only.
"""
from libc.stdint cimport uint64_t


cdef struct arena_t:
    char* base
    size_t size
    size_t used
    uint64_t carved_count
    uint64_t refused_count        # carves refused: no room, or sealed
    int sealed


cdef void* arena_carve(arena_t* arena, size_t size, size_t align) noexcept nogil
cdef void arena_seal(arena_t* arena) noexcept nogil


cdef class Arena:
    cdef arena_t c
    cdef readonly str pages
    cdef readonly str locked
    cdef size_t mapped_size

    cdef void* carve_c(self, size_t size, size_t align=*) except NULL


# For a kernel's Python face that owns its memory alone (tests, research): one zeroed block of whole cache lines.
cdef void* block_new(size_t size) except NULL
cdef void block_free(void* block) noexcept

"""The arena: one block of memory, taken at start, from which everything is carved.

Owns: the mapping, its alignment, its pages (touched before anyone needs them, huge and locked where the machine
allows) and the count of what was carved. Does not own: what stands in it. Invariant: `used <= size`, every carve is
zeroed and aligned, and after `seal` nothing is carved any more. Cost: a carve is a few additions, and the touch of its
pages where the arena grows; it happens at start only.

Every kernel's Python face gets its memory by `block_new`: from the arena that is open, else - a test, a research
run - as a heap block of its own, whose two ends AddressSanitizer watches.
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
    cdef size_t touched_size      # a growing arena: pages that are there; the rest is address space alone
    cdef size_t step              # of pages, when it grows
    cdef bint lock

    cdef void* carve_c(self, size_t size, size_t align=*) except NULL
    cdef int _touch(self, size_t end) except -1


# One zeroed block of whole cache lines; a large one begins on a huge page. A block that was carved keeps its arena.
cdef void* block_new(size_t size) except NULL
cdef void block_free(void* block) noexcept

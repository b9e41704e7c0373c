"""Where an order's terms stand: the tables of a book's block, and the way from an order's number to its slot.

Owns: the addresses of the tables, the open-addressed table of numbers. Does not own: what the slots say. Deleting
closes the gap, so the table never slows down with age. Cost: one probe, about 2 ns in cache.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from engine._core.match cimport MATCH_NONE, match_cell_t, match_legs_t, match_owner_t, match_page_t, match_t


cdef inline match_cell_t* cells_of(const match_t* m) noexcept nogil:
    return <match_cell_t*>(<char*>m + m.offset_cells)

cdef inline match_legs_t* lists_of(const match_t* m) noexcept nogil:
    return <match_legs_t*>(<char*>m + m.offset_lists)

cdef inline match_page_t* pages_of(const match_t* m) noexcept nogil:
    return <match_page_t*>(<char*>m + m.offset_pages)

cdef inline uint32_t* directory_of(const match_t* m) noexcept nogil:
    return <uint32_t*>(<char*>m + m.offset_directory)

cdef inline match_owner_t* owners_of(const match_t* m) noexcept nogil:
    return <match_owner_t*>(<char*>m + m.offset_owners)

cdef inline uint32_t* numbers_at(const match_t* m, uint64_t offset) noexcept nogil:
    return <uint32_t*>(<char*>m + offset)

cdef inline uint64_t* words_at(const match_t* m, uint64_t offset) noexcept nogil:
    return <uint64_t*>(<char*>m + offset)


cdef inline uint32_t home_of(const match_t* m, int64_t order) noexcept nogil:
    # Fibonacci hashing: venue numbers run upward, the multiplication spreads them over the table.
    return <uint32_t>((<uint64_t>order * <uint64_t>0x9E3779B97F4A7C15) >> 32) & m.cell_mask


cdef inline uint32_t index_of(const match_t* m, int64_t order) noexcept nogil:
    cdef match_cell_t* cells = cells_of(m)
    cdef uint32_t at = home_of(m, order)
    while cells[at].id != order:
        if cells[at].id == 0:
            return MATCH_NONE
        at = (at + 1) & m.cell_mask
    return cells[at].index


cdef inline void cell_add(match_t* m, int64_t order, uint32_t index) noexcept nogil:
    cdef match_cell_t* cells = cells_of(m)
    cdef uint32_t at = home_of(m, order)
    while cells[at].id != 0:
        at = (at + 1) & m.cell_mask
    cells[at].id = order
    cells[at].index = index


cdef inline void cell_remove(match_t* m, int64_t order) noexcept nogil:
    """Delete and close the gap: no tombstones, so the table never slows down with age."""
    cdef match_cell_t* cells = cells_of(m)
    cdef uint32_t at = home_of(m, order), hole, home
    while cells[at].id != order:
        at = (at + 1) & m.cell_mask
    hole = at
    while True:
        at = (at + 1) & m.cell_mask
        if cells[at].id == 0:
            break
        home = home_of(m, cells[at].id)
        # The cell may move into the hole unless its home lies cyclically after the hole.
        if ((at - home) & m.cell_mask) >= ((at - hole) & m.cell_mask):
            cells[hole] = cells[at]
            hole = at
    cells[hole].id = 0
    cells[hole].index = 0

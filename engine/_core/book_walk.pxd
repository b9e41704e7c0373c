"""The levels of a book's window, copied best first, one word of the bitmap at a time.

A cursor finds each next level from nothing: three shifts and a bit scan that wait for one another. Here the word stays
in a register and loses one bit a level, and the copies overlap. Cost: some 2 ns a level.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.book cimport book_level_t
from engine._core.ladder cimport ladder_qty, ladder_t, ladder_words, top_bit_c


cdef inline uint32_t copy_window(const ladder_t* l, int side, book_level_t* out, uint32_t room) noexcept nogil:
    """As many of the window's levels as there is room for; how many."""
    cdef uint32_t mask = l.ticks - 1, best = <uint32_t>(<uint64_t>l.best_key & mask), word = best >> 6, slot
    cdef uint32_t count = room if room < l.window_count else l.window_count, i = 0
    cdef int64_t way = -<int64_t>side, key
    # The best level and what stands below it in its word; what stands above is the far end of the ring, and comes last.
    cdef uint64_t left = ladder_words(l)[word] & (~<uint64_t>0 >> (63 - (best & 63))) if count else 0
    cdef uint64_t words
    while i < count:
        if left == 0:
            # Another word has levels: fewer than the window holds were copied.
            words = l.summary & ((<uint64_t>1 << word) - 1)
            word = <uint32_t>top_bit_c(words if words else l.summary)
            left = ladder_words(l)[word]
        slot = <uint32_t>top_bit_c(left)
        left ^= <uint64_t>1 << slot
        slot += word << 6
        key = l.best_key - <int64_t>((best - slot) & mask)
        # A mask turns the sign, as where levels are set.
        out[i].px_ticks = (key ^ way) - way
        out[i].qty_lots = ladder_qty(l)[slot]
        i += 1
    return i

"""Where a wish goes: of the instruments that are one underlying the one on which its order costs least.

Owns: what routing is asked with - the gate's own words on each venue, its book or touch, its fees. Does not own: the
comparison (routing), the wish. A venue that the gate would deny is no choice; a reduction stays where it is held.
Cost: nothing for an instrument of no group; some 100 ns over four venues.
"""
from libc.stdint cimport uint16_t, uint32_t

from engine._core.book cimport book_level_t
from engine._core.step_out cimport core_t
from engine._core.strategy_abi cimport wish_t
from engine._core.types cimport event_t
from engine._core.world cimport world_t


# What an order would take from, best first: the book where depth is kept, the touch elsewhere. Returns how many; the
# first of `levels` is the touch also where the book is empty.
cdef uint32_t taken_from(const world_t* w, uint16_t symbol, bint sell, book_level_t* levels, uint32_t most) noexcept nogil
cdef uint16_t routed(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell, uint16_t symbol,
                      const wish_t* wish, bint* found) noexcept nogil

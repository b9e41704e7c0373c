"""The way of a wish: from what a strategy asks for to the order, bracket or parent that carries it out.

Owns: the order of the gates that a wish passes - its own limits, routing, cost, discipline, then `place`, which asks the
gate - and the level-triggered comparison of a wish with the order that carries it out. Does not own: any rule of
those gates, orders, brackets. One path: nothing else calls `place` for a strategy.

A wish with a stop becomes a bracket where the world has brackets, so that the stop is really placed; without that
section the stop is stated to the gate only. A wish that nobody can carry out is denied whole, never placed in part.
Cost: some 10 ns for a wish that stands already.
"""
from libc.stdint cimport int64_t, uint32_t

from engine._core.step_out cimport core_t
from engine._core.strategy cimport strategy_t
from engine._core.strategy_abi cimport wish_t
from engine._core.types cimport event_t


# The id that carries a side and tag from now on: of an order, negative of a parent, 0: nothing does.
cdef int64_t grant(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell, int64_t held,
                   const wish_t* wish) noexcept nogil
cdef void take_back_all(core_t* core, const event_t* cause, strategy_t* s) noexcept nogil

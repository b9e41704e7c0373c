"""Strategies: show the view, call, and make the live orders look like the wishes.

Owns: the order of the gates that a wish passes - its own limits, discipline, routing, then `place`, which asks the
gate - and the level-triggered comparison of a wish with the order that carries it out. Does not own: any rule of
those gates, orders, brackets. One path: nothing else calls `place` for a strategy.

A wish with a stop becomes a bracket where the world has brackets, so that the stop is really placed; without that
section the stop is stated to the gate only. A wish that nobody can carry out is denied whole, never placed in part.
Cost: some 40 ns for a quoter whose wishes stand already, its own code included.
"""
from engine._core.step_out cimport core_t
from engine._core.strategy cimport strategy_t
from engine._core.types cimport event_t


cdef void run_strategies(core_t* core, const event_t* cause) noexcept nogil
cdef void take_back_all(core_t* core, const event_t* cause, strategy_t* s) noexcept nogil
cdef int strategy_event(core_t* core, const event_t* e) noexcept nogil

"""Strategies: show the view, call, and hand what they wish for on.

Owns: who is woken by an event, what a view shows, what an answer other than OK leads to. Does not own: what becomes of a
wish (step_wishes), a strategy's limits and counts (strategy). A strategy that fails is stopped alone; the rest runs.
Cost: some 25 ns for a strategy that leaves everything as it is, its own code excluded.
"""
from engine._core.step_out cimport core_t
from engine._core.types cimport event_t


cdef void run_strategies(core_t* core, const event_t* cause) noexcept nogil
cdef int strategy_event(core_t* core, const event_t* e) noexcept nogil

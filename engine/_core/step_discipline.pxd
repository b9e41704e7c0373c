"""The rules that protect from people, inside the step: what is known when a wish comes, who says so, what a trade came to.

Owns: the facts that the rules are asked with, the sources of a signal, the trade of a strategy from flat to flat and its
result, closing what stands beyond its stop. Does not own: a rule (discipline), a wish (step_wishes), a bracket.
Cost: some 30 ns for a wish, nothing without the section.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t

from engine._core.step_out cimport core_t
from engine._core.strategy_abi cimport signal_t, wish_t
from engine._core.types cimport event_t


cdef bint disciplined(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell, uint16_t symbol,
                       int64_t px_ticks, const wish_t* wish, const signal_t* said) noexcept nogil
cdef void force_stops(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil
cdef void strategy_filled(core_t* core, uint16_t strategy, uint16_t symbol, bint sell, int64_t px_ticks,
                          int64_t qty_lots, int64_t px_stop_ticks) noexcept nogil
cdef void strategy_charged(core_t* core, uint16_t strategy, int64_t amount) noexcept nogil

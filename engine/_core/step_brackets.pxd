"""Brackets inside the step: their actions carried out, their orders' changes told to them, positions that others change.

Owns: carrying out what a bracket answers with and telling it how that went; who is told when an order has changed
(its strategy, its bracket, its parent); the stop that follows a netting strategy's position; what an order outside of
brackets closes, or a fee takes. Does not own: phases and deadlines (brackets), the gate (everything goes through step_orders).

An action may end an order at once (nothing of it had left) and so lead to more actions; each such chain is bounded by
the attempts that the machine counts. Cost: nothing while no bracket has anything to do; a reduction's fill of no bracket
walks the table once.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t

from engine._core.brackets cimport bracket_t, bracket_terms_t
from engine._core.orders cimport order_t
from engine._core.step_out cimport core_t
from engine._core.types cimport event_t


cdef int64_t open_bracket(core_t* core, const event_t* cause, const bracket_terms_t* terms, uint32_t* handle) noexcept nogil
cdef void recall_bracket(core_t* core, const event_t* cause, uint32_t handle) noexcept nogil
cdef void flatten_bracket(core_t* core, const event_t* cause, uint32_t handle) noexcept nogil
cdef void brackets_on_time(core_t* core, const event_t* cause) noexcept nogil
cdef void order_changed(core_t* core, const event_t* cause, order_t* o, int64_t filled_lots) noexcept nogil
cdef void guard_position(core_t* core, const event_t* cause, uint16_t strategy, uint16_t symbol) noexcept nogil
cdef void fee_took(core_t* core, const event_t* cause, uint16_t strategy, uint16_t symbol) noexcept nogil
cdef void take_back(core_t* core, const event_t* cause, order_t* o) noexcept nogil
cdef const order_t* sibling_of(core_t* core, const bracket_t* b, int leg) noexcept nogil

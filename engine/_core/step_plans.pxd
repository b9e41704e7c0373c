"""What stands between a wish and its orders for longer than one event: brackets, triggers, slices, the flatten plan.

Owns: carrying out the actions that these machines answer with, telling them how it went, and the records of it
(KIND_BRACKET, KIND_MODE, KIND_INCIDENT). Does not own: their states and deadlines (brackets, triggers, algos, modes), nor
the gate (everything goes through step_orders).

An action may end an order at once (nothing of it had left) and so lead to more actions; each such chain is bounded
by the attempts that its machine counts. After every report a symbol's position is held against its live stops: what
is bare without a stop on its way is an incident within that event.
Cost: nothing per event while no machine has anything to do; one walk over a symbol's live orders per report.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from engine._core.brackets cimport bracket_terms_t
from engine._core.orders cimport order_t
from engine._core.step_out cimport core_t
from engine._core.types cimport event_t


cdef enum:
    TAG_ALGO = 0x4000             # and the row of the parent; its child's number is the order's leg
    TAG_PLAN = 0x2000             # the flatten plan's own orders


cdef int64_t open_bracket(core_t* core, const event_t* cause, const bracket_terms_t* terms, uint32_t* handle) noexcept nogil
cdef void recall_bracket(core_t* core, const event_t* cause, uint32_t handle) noexcept nogil
cdef void flatten_bracket(core_t* core, const event_t* cause, uint32_t handle) noexcept nogil
cdef void order_changed(core_t* core, const event_t* cause, order_t* o, int64_t filled_lots) noexcept nogil
cdef void take_back(core_t* core, const event_t* cause, order_t* o) noexcept nogil
cdef void plans_on_price(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil
cdef void plans_on_trade(core_t* core, uint16_t symbol, int64_t qty_lots) noexcept nogil
cdef void plans_on_time(core_t* core, const event_t* cause) noexcept nogil
cdef void plans_on_report(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil
cdef void work_modes(core_t* core, const event_t* cause) noexcept nogil
cdef int switch_mode(core_t* core, const event_t* cause, int64_t to, int64_t who, bint aggressive,
                     int64_t equity) noexcept nogil

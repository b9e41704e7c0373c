"""What prices, time and modes set going: triggers, deadlines, the check of protection, the flatten plan and Reduced.

Owns: carrying out the actions that triggers and modes answer with, and the records of it (KIND_MODE, KIND_INCIDENT).
Does not own: their states and deadlines (triggers, modes), brackets (step_brackets), slices (step_algos), nor the gate
(everything goes through step_orders).

After every report a symbol's position is held against its live stops: what
is bare without a stop on its way is an incident within that event.
Cost: nothing per event while no machine has anything to do; one walk over a symbol's live orders per report.
"""
from libc.stdint cimport int64_t, uint16_t

from engine._core.step_out cimport core_t
from engine._core.types cimport event_t


cdef enum:
    TAG_PLAN = 0x2000             # the flatten plan's own orders


cdef void plans_on_price(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil
cdef void plans_on_trade(core_t* core, uint16_t symbol, int64_t qty_lots) noexcept nogil
cdef void plans_on_time(core_t* core, const event_t* cause) noexcept nogil
cdef void plans_on_report(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil
cdef void work_modes(core_t* core, const event_t* cause) noexcept nogil
cdef int switch_mode(core_t* core, const event_t* cause, int64_t to, int64_t who, bint aggressive,
                     int64_t equity) noexcept nogil

"""What the venue says about our orders, our money and our positions.

Owns: the order of things after a report - the order's own state, the ledger, the account, everybody who waits for the
order, protection - and the incidents that a report can show. Does not own: transitions (orders), amounts (ledger).

A fill is booked once and whatever happened to its order before: late, or of no order of ours. A fill that cannot be
booked is real all the same: the latch trips. A fee is booked once, with the fill it belongs to.
Cost: some 80 ns a fill with its ledger legs; a report without one some 30 ns.
"""
from engine._core.step_out cimport core_t
from engine._core.types cimport event_t


cdef int report_event(core_t* core, const event_t* event) noexcept nogil
cdef int fee_event(core_t* core, const event_t* event) noexcept nogil
cdef int funding_event(core_t* core, const event_t* event) noexcept nogil
cdef int balance_event(core_t* core, const event_t* event) noexcept nogil
cdef int position_event(core_t* core, const event_t* event) noexcept nogil

"""Market data coming in: judged, applied to the book, shown to everybody who waits for a price.

Owns: the order of things - validate, book, touch, mark, triggers, strategies - and what a refusal leads to (record,
halt, distrust). Does not own: the judgement (validate), levels and trust (book). An event that was refused changes
nothing but counts; a touch is taken over only when a message is whole and the book trusted.
Cost: some 60 ns a quote without a strategy, the ingest gate included.
"""
from engine._core.step_out cimport core_t
from engine._core.types cimport event_t


cdef int market_event(core_t* core, const event_t* event) noexcept nogil
cdef void market_on_time(core_t* core, const event_t* cause) noexcept nogil

"""The account's words, the venues' connections and clocks, the mode: what every order is judged by.

Owns: keeping equity, peak, day base and margin in step with the ledger; which venue may be traded on; who switched
what. Does not own: amounts (ledger, equity), rules (risk, modes). A valuation that cannot be made leaves the words as
they were and their age grows, so the gate's own limit on age denies.

Worlds of up to `SYMBOLS_FULL` symbols are valued whole with every price of something held; larger ones by the change
of that one holding while its position is that of the last whole valuation, and whole on fills and timers, which also
renew the age. Cost: 20 ns to some 2 us by that.
"""
from libc.stdint cimport int64_t, uint16_t

from engine._core.step_out cimport core_t
from engine._core.types cimport event_t


cdef enum:
    SYMBOLS_FULL = 8


cdef void mark_price(core_t* core, const event_t* cause, uint16_t symbol, int64_t px2_ticks) noexcept nogil
cdef void revalue(core_t* core, const event_t* cause) noexcept nogil
cdef int feed_event(core_t* core, const event_t* event) noexcept nogil
cdef int clock_event(core_t* core, const event_t* event) noexcept nogil
cdef int denied_event(core_t* core, const event_t* event) noexcept nogil
cdef int control_event(core_t* core, const event_t* event) noexcept nogil
cdef int limit_event(core_t* core, const event_t* event) noexcept nogil
cdef int symbol_event(core_t* core, const event_t* event) noexcept nogil
cdef void halt(core_t* core, uint16_t symbol, int cause_bit, bint halted) noexcept nogil

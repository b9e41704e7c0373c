"""Orders going out: what the venue can carry, the gate's verdict, the record, the intent. The only way to the wire.

Owns: the order of things - capability, gate, record, intent - and what stands in an intent. Does not own: rules (risk),
transitions (orders), when a price is reached (triggers). Whatever is placed, made larger or released by a trigger
passes `gate_check` here, and the token on its intent comes from that verdict; cancels and questions carry none.

The price on an intent is the one the gate judged and its token is bound to: the limit; without one the touch that a
market order would take, or the trigger price of a conditional one.

A conditional order that the venue lacks is emulated: its record stands OPEN in the table and counts in the exposure
like one at the venue, but nothing is sent until its trigger fires. Then it is gated anew.
Cost: some 100 ns for a placed order, the gate and the record included.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.orders cimport order_t
from engine._core.step_out cimport core_t
from engine._core.types cimport event_t


cdef enum carry_t:
    CARRY_NOT = 0
    CARRY_VENUE = 1
    CARRY_TRIGGER = 2


cdef struct place_t:              # what somebody wants placed
    int64_t px_ticks              # 0: at market, also when triggered
    int64_t qty_lots
    int64_t px_trigger_ticks      # conditional types; trailing: where it stands now
    int64_t px_protect_ticks      # the stop that an entry states: for the gate
    int64_t trail_ticks
    int64_t display_lots
    int64_t expire_ns
    const order_t* sibling        # another exit over the same position, of which only one will fill; NULL: none
    int64_t ts_signal_ns
    uint32_t bracket
    uint32_t leg
    uint16_t symbol
    uint16_t strategy
    uint16_t signal
    uint16_t tag
    uint8_t sell
    uint8_t type                  # order_type_t
    uint8_t tif
    uint8_t lane                  # lane_t
    uint8_t reduce_only
    uint8_t closing
    uint16_t reserved


cdef int carries(const core_t* core, const place_t* p) noexcept nogil
cdef order_t* place(core_t* core, const event_t* cause, const place_t* p) noexcept nogil
cdef bint amend(core_t* core, const event_t* cause, order_t* o, int64_t px_ticks, int64_t qty_lots,
                int64_t px_protect_ticks, const order_t* sibling) noexcept nogil
cdef bint cancel(core_t* core, const event_t* cause, order_t* o) noexcept nogil
cdef void fire(core_t* core, const event_t* cause, order_t* o, const order_t* sibling) noexcept nogil
cdef bint is_armed(const order_t* o) noexcept nogil
cdef void query(core_t* core, const event_t* cause, const order_t* o) noexcept nogil
cdef bint recheck(core_t* core, const event_t* cause, order_t* o) noexcept nogil

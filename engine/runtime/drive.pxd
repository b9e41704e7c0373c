"""The inner loop of every driver: record, step, record what came out.

Runs until the core has something to send or the events are used up: a driver crosses into Python once per intent, not
once per event. The input is on the tape before it is stepped, its outputs before this returns: whoever sends them
sends what is already recorded. Time is read once an event, and once for all the levels of a depth message: a figure has
its records' in it, and an order's begins with the message that led to it.
"""
from libc.stdint cimport uint64_t

from engine._core.histogram cimport histogram_t
from engine._core.step cimport core_t
from engine._core.tape cimport tape_t
from engine._core.types cimport event_t


cdef uint64_t pump_some(core_t* core, tape_t* tape, const event_t* events, uint64_t count, histogram_t* step_ns,
                        histogram_t* order_ns, int* status) noexcept nogil

"""The inner loop of every driver: record, step, record what came out.

Runs without the interpreter lock until the core has something to send or the events are used up: a driver crosses
into Python once per intent, not once per event.
"""
cimport cython
from libc.stdint cimport int64_t, uint64_t

from engine._core.clock cimport clock_cycles, clock_scale_q32
from engine._core.histogram cimport Histogram, histogram_record
from engine._core.step cimport Core, step
from engine._core.tape cimport Tape, tape_append, tape_commit
from engine._core.types cimport OK, event_t, raise_status

from engine._core.clock import ns_per_cycle

cdef uint64_t _ns_per_cycle_q32 = <uint64_t>(ns_per_cycle() * 4294967296.0)


def pump(Core core not None, Tape tape not None, events, Histogram step_ns not None, Histogram order_ns not None):
    """Take events until one makes outputs. Returns how many were taken; `core.outputs()` has what the last one made.

    The input is on the tape before it is stepped, its outputs before this returns: whoever sends them sends what is
    already recorded.
    """
    cdef const unsigned char[::1] view = memoryview(events).cast("B") if len(events) else b""
    cdef uint64_t count = view.shape[0] // sizeof(event_t), at = 0
    cdef const event_t* first = <const event_t*>&view[0] if count else NULL
    cdef uint64_t start, stop, took
    cdef int status = OK
    with nogil:
        while at < count:
            status = tape_append(&tape.c, &first[at], 1)
            if status != OK:
                break
            start = clock_cycles()
            step(core.c, &first[at])
            stop = clock_cycles()
            took = clock_scale_q32(stop - start, _ns_per_cycle_q32)
            histogram_record(step_ns.c, took)
            at += 1
            if core.c.out_count:
                histogram_record(order_ns.c, took)
                status = tape_append(&tape.c, core.c.out, core.c.out_count)
                if status == OK:
                    status = tape_commit(&tape.c)
                break
    if status != OK:
        raise_status(status, tape.path)
    return at

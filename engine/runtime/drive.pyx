from libc.stdint cimport uint64_t

from engine._core.clock cimport clock_cycles, clock_scale_q32
from engine._core.histogram cimport Histogram, histogram_record, histogram_t
from engine._core.step cimport Core, core_t, step
from engine._core.tape cimport Tape, tape_append, tape_commit, tape_t
from engine._core.types cimport FLAG_LAST, KIND_BOOK_LEVEL, OK, event_t, raise_status

from engine._core.clock import ns_per_cycle

cdef uint64_t _ns_per_cycle_q32 = <uint64_t>(ns_per_cycle() * 4294967296.0)


cdef uint64_t pump_some(core_t* core, tape_t* tape, const event_t* events, uint64_t count, histogram_t* step_ns,
                        histogram_t* order_ns, int* status) noexcept nogil:
    """Take events until one makes outputs. Returns how many were taken; on a bad status the last one was not."""
    cdef uint64_t at = 0, start = clock_cycles(), stop, took
    status[0] = OK
    while at < count:
        status[0] = tape_append(tape, &events[at], 1)
        if status[0] != OK:
            return at
        step(core, &events[at])
        if events[at].kind == KIND_BOOK_LEVEL and not events[at].flags & FLAG_LAST and not core.out_count:
            # Of a depth message: it is timed whole. Reading the counter costs as much as a level.
            at += 1
            continue
        # The end of one is the beginning of the next.
        stop = clock_cycles()
        took = clock_scale_q32(stop - start, _ns_per_cycle_q32)
        start = stop
        histogram_record(step_ns, took)
        at += 1
        if core.out_count:
            histogram_record(order_ns, took)
            status[0] = tape_append(tape, core.out, core.out_count)
            if status[0] == OK:
                status[0] = tape_commit(tape)
            return at
    return at


def pump(Core core not None, Tape tape not None, events, Histogram step_ns not None, Histogram order_ns not None):
    """Take events until one makes outputs. Returns how many were taken; `core.outputs()` has what the last one made."""
    cdef const unsigned char[::1] view = memoryview(events).cast("B") if len(events) else b""
    cdef uint64_t count = view.shape[0] // sizeof(event_t), at
    cdef const event_t* first = <const event_t*>&view[0] if count else NULL
    cdef int status = OK
    with nogil:
        at = pump_some(core.c, &tape.c, first, count, step_ns.c, order_ns.c, &status)
    if status != OK:
        raise_status(status, tape.path)
    return at

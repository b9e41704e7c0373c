from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.step cimport Core, step
from engine._core.types cimport event_t


def run(Core core not None, events, double[::1] samples_ns, int batch):
    """Step the events over and over, their times and numbers moved on at each pass; returns (outputs, statuses summed)."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef const unsigned char[::1] view = memoryview(events).cast("B")
    cdef const event_t* first = <const event_t*>&view[0]
    cdef Py_ssize_t count = view.shape[0] // sizeof(event_t), at = 0, sample
    cdef int64_t span = first[count - 1].ts_recv_ns - first[0].ts_recv_ns + 1_000_000, passes = 0
    cdef uint64_t start, stop, outputs = 0, statuses = 0
    cdef event_t e
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                e = first[at]
                e.ts_recv_ns += passes * span
                e.ts_venue_ns += passes * span
                e.word[4] += passes * count
                statuses += step(core.c, &e) != 0
                outputs += core.c.out_count
                at += 1
                if at == count:
                    at = 0
                    passes += 1
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return outputs, statuses


def steps(Core core not None, events, int64_t count):
    """Step the events over and over, `count` in all: for counting what the path allocates. Returns outputs."""
    cdef const unsigned char[::1] view = memoryview(events).cast("B")
    cdef const event_t* first = <const event_t*>&view[0]
    cdef Py_ssize_t many = view.shape[0] // sizeof(event_t), at = 0
    cdef int64_t span = first[many - 1].ts_recv_ns - first[0].ts_recv_ns + 1_000_000, passes = 0, i
    cdef uint64_t outputs = 0
    cdef event_t e
    with nogil:
        for i in range(count):
            e = first[at]
            e.ts_recv_ns += passes * span
            e.ts_venue_ns += passes * span
            e.word[4] += passes * many
            step(core.c, &e)
            outputs += core.c.out_count
            at += 1
            if at == many:
                at = 0
                passes += 1
    return outputs

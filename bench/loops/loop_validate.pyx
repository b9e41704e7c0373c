from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.types cimport OK, event_t
from engine._core.validate cimport Validate, refusal_t, validate_event, validate_reset


def judge(Validate gate not None, const unsigned char[::1] data, double[::1] samples_ns, int batch):
    """Time `batch` judgements per sample over recorded events, round and round; returns how many passed.

    A round ends where the recording ends; the numbers start anew there, so a new round is a reconnect, untimed.
    """
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = data.shape[0] // sizeof(event_t)
    cdef const event_t* events = <const event_t*>&data[0]
    cdef uint64_t start, stop, passed = 0
    cdef refusal_t out
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            if at + batch > count:
                at = 0
                validate_reset(gate.c, 0, False)
            start = timing_start()
            for i in range(batch):
                passed += validate_event(gate.c, &events[at], events[at].ts_recv_ns, &out) == OK
                at += 1
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return passed

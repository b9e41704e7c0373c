from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.match cimport Match, match_cancel, match_request_t, match_submit
from engine._core.types cimport OK


def drive(Match book not None, const match_request_t[::1] requests, double[::1] samples_ns, int batch):
    """Time `batch` commands a sample: a request whose quantity is zero cancels its number. Returns how many were OK."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, accepted = 0
    cdef uint64_t start, stop
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                if requests[at].qty_lots:
                    accepted += match_submit(book.c, &requests[at]) == OK
                else:
                    accepted += match_cancel(book.c, requests[at].id) == OK
                book.c.event_count = 0
                at += 1
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return accepted

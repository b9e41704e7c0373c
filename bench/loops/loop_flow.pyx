from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.flow cimport Flow, flow_quote, flow_trade


def events(Flow f not None, const int64_t[:, ::1] rows, double[::1] samples_ns, int batch, bint quotes):
    """Time `batch` quotes or trades a sample; the clock runs on."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0
    cdef int64_t now = 0
    cdef uint64_t start, stop
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                now += 1000
                if quotes:
                    flow_quote(f.c, now, rows[at, 0], rows[at, 1], rows[at, 0] + 2, rows[at, 2])
                else:
                    flow_trade(f.c, now, rows[at, 0], rows[at, 1], rows[at, 2] & 1)
                at += 1
                if at == rows.shape[0]:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale

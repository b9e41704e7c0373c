from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.bars cimport Bars, bar_t, bars_trade


def trades(Bars bars not None, const int64_t[:, ::1] rows, double[::1] samples_ns, int batch):
    """Time `batch` trades a sample; the number of bars closed is the checksum."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef bar_t out[64]
    cdef Py_ssize_t sample, at = 0
    cdef int64_t closed = 0, shift = 0
    cdef uint64_t start, stop
    cdef int i, count
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                bars_trade(bars.c, rows[at, 0] + shift, rows[at, 1], rows[at, 2], rows[at, 3] != 0, out, 64, &count)
                closed += count
                at += 1
                if at == rows.shape[0]:
                    at = 0
                    shift += rows[rows.shape[0] - 1, 0] + 1
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return closed

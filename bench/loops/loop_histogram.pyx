from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.histogram cimport Histogram, histogram_record


def record(Histogram histogram not None, const int64_t[::1] values, double[::1] samples_ns, int batch):
    """Time `batch` recordings per sample, walking round and round over the values."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = values.shape[0]
    cdef uint64_t start, stop
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                histogram_record(histogram.c, values[at])
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale

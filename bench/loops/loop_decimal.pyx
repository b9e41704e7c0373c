from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.decimal cimport decimal_parse


def parse(const unsigned char[::1] text, const int64_t[::1] starts, int scale, double[::1] samples_ns, int batch):
    """Time `batch` numbers per sample; number i is text[starts[i]:starts[i + 1]]. Returns the sum of one round."""
    cdef double overhead = timing_overhead_cycles(), scale_ns = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = starts.shape[0] - 1
    cdef const char* base = <const char*>&text[0]
    cdef uint64_t start, stop
    cdef int64_t value = 0, refused = 0, total = 0
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                if decimal_parse(base + starts[at], <size_t>(starts[at + 1] - starts[at]), scale, &value) != 0:
                    refused += 1
                total += value
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale_ns
    return total, refused

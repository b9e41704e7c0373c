from libc.stdint cimport uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.latch cimport Latch, latch_check
from engine._core.types cimport OK


def check(Latch latch not None, double[::1] samples_ns, int batch):
    """Time `batch` checks per sample; returns how many found the latch clear."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint64_t start, stop, clear = 0
    cdef Py_ssize_t sample
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                clear += latch_check(latch.c) == OK
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return clear

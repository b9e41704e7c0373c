from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.infer cimport Model, infer_run
from engine._core.stable cimport softmax_c


def run(Model model not None, const double[:, ::1] rows, double[::1] samples_ns, int batch):
    """Time `batch` answers per sample, walking round and round over the rows; the sum of the first outputs."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch, total = 0.0
    cdef double out[8]
    cdef Py_ssize_t sample, at = 0, count = rows.shape[0]
    cdef uint64_t start, stop
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                infer_run(model.c, &rows[at, 0], out, model.level)
                total += out[0]
                at = at + 1 if at + 1 < count else 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return total


def softmax(const double[:, ::1] rows, double[::1] samples_ns, int batch):
    """Time `batch` softmaxes of a row per sample; the sum of the first shares."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch, total = 0.0
    cdef double out[64]
    cdef Py_ssize_t sample, at = 0, count = rows.shape[0]
    cdef int64_t width = min(rows.shape[1], 64)
    cdef uint64_t start, stop
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                softmax_c(&rows[at, 0], width, out)
                total += out[0]
                at = at + 1 if at + 1 < count else 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return total

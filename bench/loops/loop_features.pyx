from libc.stdint cimport uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.features cimport Features, features_bar, features_price
from engine._core.features_panel cimport Panel, panel_close


def ticks(Features f not None, const double[::1] prices, double[::1] samples_ns, int batch):
    """Time `batch` ticks a sample, walking round and round over the prices; the sum of one value is the checksum."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch, total = 0.0
    cdef Py_ssize_t sample, at = 0
    cdef uint64_t start, stop
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                features_price(f.c, prices[at], 1.0, f.level)
                at += 1
                if at == prices.shape[0]:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
            total += prices[at]
    return total


def bars(Features f not None, const double[:, ::1] rows, double[::1] samples_ns, int batch):
    """The same with bars: rows of open, high, low, close, volume."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0
    cdef uint64_t start, stop
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                features_bar(f.c, rows[at, 0], rows[at, 1], rows[at, 2], rows[at, 3], rows[at, 4], 0.0, f.level)
                at += 1
                if at == rows.shape[0]:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale


def close_of_all(Panel panel not None, const double[:, :, ::1] rows, double[::1] samples_us):
    """One bar closes in every stream: one sample is the whole sweep, in microseconds."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / 1000.0
    cdef Py_ssize_t sample
    cdef uint64_t start, stop
    with nogil:
        for sample in range(samples_us.shape[0]):
            start = timing_start()
            panel_close(
                panel.base, panel.stride, panel.count, &rows[sample % rows.shape[0], 0, 0], panel.shape.level
            )
            stop = timing_stop()
            samples_us[sample] = (<double>(stop - start) - overhead) * scale

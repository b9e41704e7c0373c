from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.routing cimport Routing, route
from engine._core.types cimport OK


def plans(Routing router not None, const int64_t[::1] sizes, double[::1] samples_ns, int batch):
    """Time `batch` plans per sample over the facts of the last plan; returns (routed, sum of all costs)."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0
    cdef uint64_t start, stop, routed = 0
    cdef int64_t checksum = 0
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                router.ask.qty_units = sizes[at]
                routed += route(router.venues, router.count, &router.ask, &router.out) == OK
                checksum += router.out.cost
                at += 1
                if at == sizes.shape[0]:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return routed, checksum

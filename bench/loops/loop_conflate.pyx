"""In-kernel loop over the conflation table, with a ring that has no room."""
from libc.stdint cimport uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.conflate cimport Conflation, conflate_offer
from engine._core.ring cimport Ring
from engine._core.types cimport OK, event_t


def offer(Conflation table not None, Ring ring not None, const event_t[::1] events, unsigned int size,
          double[::1] samples_ns, int batch):
    """Offer messages of `size` events one after another, in a circle; `batch` a sample, per event. How many merged."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / (<double>batch * size)
    cdef uint64_t start, stop, merged = 0
    cdef Py_ssize_t sample, at = 0
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                merged += conflate_offer(table.c, ring.c, &events[at], size) == OK
                at += size
                if at == events.shape[0]:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return merged

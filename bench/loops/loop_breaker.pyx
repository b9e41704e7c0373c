from libc.stdint cimport int64_t, uint32_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.breaker cimport BREAKER_IS_OPEN, Breaker, Breakers, breaker_allow, breaker_global, breaker_success
from engine._core.types cimport OK


def allow_success(Breaker breaker not None, double[::1] samples_ns, int batch):
    """Time `batch` guarded calls of nothing per sample; returns how many were allowed."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint64_t start, stop, permit = 0, allowed = 0
    cdef Py_ssize_t sample
    cdef int64_t now_ns = 1
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                if breaker_allow(breaker.c, breaker.id, now_ns, &permit) == OK:
                    breaker_success(breaker.c, breaker.id, permit, now_ns)
                    allowed += 1
                now_ns += 1
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return allowed


def global_check(Breakers table not None, double[::1] samples_ns, int batch):
    """Time `batch` questions for the global state per sample; returns how often it was open."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint64_t start, stop, open_count = 0
    cdef Py_ssize_t sample
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                open_count += breaker_global(table.c) == BREAKER_IS_OPEN
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return open_count

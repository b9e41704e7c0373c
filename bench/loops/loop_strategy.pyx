"""Calls of a `decide` pointer and of the execution algorithms, timed in the kernel."""
from libc.stdint cimport int64_t, uint64_t, uintptr_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.algos cimport Algos, algo_action_t, algo_fill, algo_t, algo_time, algos_find, algos_volume
from engine._core.strategy_abi cimport decide_t, view_t, wishes_clear, wishes_t


cdef extern from * nogil:
    """
    /* A quote on both sides through a pointer that the compiler cannot see through: the limit of any hook. */
    static int bot4_bench_bare(void* view, void* wishes) {
        long long* v = (long long*)view;
        long long* w = (long long*)wishes;
        w[0] = 1; w[1] = v[4] - 1; w[2] = 5;
        w[24] = 1; w[25] = v[6] + 1; w[26] = 5;
        return 1;
    }
    static int (*volatile bot4_bench_bare_p)(void*, void*) = bot4_bench_bare;
    """
    int (*bot4_bench_bare_p)(void*, void*) noexcept


def bare_address():
    return <uintptr_t>bot4_bench_bare_p


def call(uintptr_t address, view, wishes, double[::1] samples_ns, int batch, bint clear):
    """Time `batch` calls per sample with the price moving; `clear` also zeroes the wishes, as the step does."""
    cdef decide_t decide = <decide_t>address
    cdef view_t* v = <view_t*><uintptr_t>view.__array_interface__["data"][0]
    cdef wishes_t* w = <wishes_t*><uintptr_t>wishes.__array_interface__["data"][0]
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint64_t start, stop
    cdef int64_t answers = 0
    cdef Py_ssize_t sample
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                if clear:
                    wishes_clear(w)
                v.bid_px_ticks += 1
                v.ask_px_ticks += 1
                answers += decide(v, w)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return answers


def algo(Algos algos not None, int64_t id_algo, int64_t step_ns, double[::1] samples_ns, int batch):
    """Time events that come `step_ns` apart, each with a trade before it; a child that is placed fills at once."""
    cdef algo_t* a = algos_find(algos.c, id_algo)
    cdef algo_action_t action
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint64_t start, stop
    cdef int64_t now = a.config.start_ns, children = 0
    cdef Py_ssize_t sample
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                algos_volume(algos.c, 0, 7)
                if algo_time(a, now, 100, 101, &action):
                    algo_fill(a, action.child, action.qty_lots)
                    children += 1
                now += step_ns
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return children

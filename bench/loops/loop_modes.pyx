from libc.stdint cimport int64_t, uint32_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.modes cimport (
    MODE_EMERGENCY, MODE_NORMAL, MODE_PAUSED, WHO_HUMAN, Modes, modes_action_t, modes_ready_t, modes_step, modes_switch,
)


cdef enum:
    ROOM = 64


def switch(Modes modes not None, double[::1] samples_ns):
    """Time one switch and the step behind it, Normal to Paused and back; returns how many were made."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef uint64_t start, stop, made = 0
    cdef modes_ready_t ready
    cdef modes_action_t out[ROOM]
    cdef int64_t now_ns = 0, wait = modes.c.config.cooldown_ns
    cdef uint32_t to
    cdef Py_ssize_t sample
    ready.latch_clear = ready.reconciled = 1
    ready.equity_first = ready.equity_second = 1_000
    with nogil:
        for sample in range(samples_ns.shape[0]):
            now_ns += wait
            to = MODE_NORMAL if modes.c.mode == MODE_PAUSED else MODE_PAUSED
            start = timing_start()
            made += modes_switch(modes.c, to, WHO_HUMAN, False, &ready, now_ns) == 0
            modes_step(modes.c, modes.facts, now_ns, out, ROOM)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return made


def emergency(Modes modes not None, double[::1] samples_ns):
    """Time the switch to Emergency with the first step of its plan; returns the actions asked for."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef uint64_t start, stop, asked = 0
    cdef modes_ready_t ready
    cdef modes_action_t out[ROOM]
    cdef Py_ssize_t sample
    ready.latch_clear = ready.reconciled = 1
    ready.equity_first = ready.equity_second = 1_000
    with nogil:
        for sample in range(samples_ns.shape[0]):
            modes.c.mode = MODE_NORMAL
            start = timing_start()
            modes_switch(modes.c, MODE_EMERGENCY, WHO_HUMAN, False, &ready, 0)
            asked += modes_step(modes.c, modes.facts, 0, out, ROOM)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return asked


def step(Modes modes not None, double[::1] samples_ns):
    """Time steps of a running plan: one pass over all symbols, each waiting for its order."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef uint64_t start, stop, asked = 0
    cdef modes_action_t out[ROOM]
    cdef Py_ssize_t sample
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            asked += modes_step(modes.c, modes.facts, 1, out, ROOM)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return asked

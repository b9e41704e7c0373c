"""Threads for the stress tests: each Python thread runs one of these loops without the interpreter lock."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.atomics cimport add_relaxed, cpu_relax, load_acquire
from engine._core.breaker cimport (
    BREAKER_HALF_OPEN, EPOCH_SHIFT, STATE_MASK, Breaker, breaker_allow, breaker_failure, breaker_release, breaker_reset,
    breaker_success, breaker_trip)
from engine._core.types cimport OK


def hammer(Breaker breaker not None, uint64_t[::1] shared, uint64_t[::1] grants, uint64_t[::1] own,
           Py_ssize_t rounds, uint64_t seed, uint64_t fail_percent, uint64_t step_ns):
    """Ask and settle `rounds` times. shared[0] = threads still to arrive, shared[1] = the time.

    grants[epoch]: trials granted in it less those given back. own: granted, denied, successes, failures, released.
    """
    cdef uint64_t permit = 0, draw = seed | 1, epoch
    cdef int64_t now_ns
    cdef Py_ssize_t i
    with nogil:
        add_relaxed(&shared[0], <uint64_t>-1)
        while load_acquire(&shared[0]) != 0:
            cpu_relax()
        for i in range(rounds):
            draw = draw * <uint64_t>6364136223846793005 + <uint64_t>1442695040888963407
            now_ns = <int64_t>add_relaxed(&shared[1], step_ns)
            if (draw >> 20) % 997 == 0:
                breaker_trip(breaker.c, breaker.id, now_ns)
            if (draw >> 24) % 991 == 0:
                breaker_reset(breaker.c, breaker.id, now_ns)
            if breaker_allow(breaker.c, breaker.id, now_ns, &permit) != OK:
                own[1] += 1
                continue
            own[0] += 1
            epoch = (permit >> EPOCH_SHIFT) % <uint64_t>grants.shape[0]
            if (permit & STATE_MASK) == BREAKER_HALF_OPEN:
                add_relaxed(&grants[epoch], 1)
            if (draw >> 40) % 100 < fail_percent:
                breaker_failure(breaker.c, breaker.id, permit, now_ns)
                own[3] += 1
            elif (draw >> 48) % 16 == 0:
                # Taken off before it is given back: the next one's grant is counted after that.
                if (permit & STATE_MASK) == BREAKER_HALF_OPEN:
                    add_relaxed(&grants[epoch], <uint64_t>-1)
                breaker_release(breaker.c, breaker.id, permit)
                own[4] += 1
            else:
                breaker_success(breaker.c, breaker.id, permit, now_ns)
                own[2] += 1


def abandon(Breaker breaker not None, uint64_t[::1] shared, uint64_t[::1] own, Py_ssize_t rounds, uint64_t step_ns):
    """Ask `rounds` times and never report: every trial is lost, and whoever asks next finds it so.

    shared: as in `hammer`. own: granted, denied. Time runs so fast that nearly every question is a transition.
    """
    cdef uint64_t permit = 0
    cdef Py_ssize_t i
    with nogil:
        add_relaxed(&shared[0], <uint64_t>-1)
        while load_acquire(&shared[0]) != 0:
            cpu_relax()
        for i in range(rounds):
            own[breaker_allow(breaker.c, breaker.id, <int64_t>add_relaxed(&shared[1], step_ns), &permit) != OK] += 1


def take_once(Breaker breaker not None, uint64_t[::1] shared, uint64_t[::1] own, int64_t now_ns):
    """Wait for all, ask once, keep the permit: own[0] counts it."""
    cdef uint64_t permit = 0
    with nogil:
        add_relaxed(&shared[0], <uint64_t>-1)
        while load_acquire(&shared[0]) != 0:
            cpu_relax()
        if breaker_allow(breaker.c, breaker.id, now_ns, &permit) == OK:
            own[0] += 1

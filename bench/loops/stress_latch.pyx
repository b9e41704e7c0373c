"""Threads and a signal handler for the latch's tests: they trip without the interpreter lock."""
from libc.signal cimport raise_, signal, sighandler_t
from libc.stdint cimport int64_t, uint64_t

from engine._core.atomics cimport add_relaxed, cpu_relax, load_acquire, store_release
from engine._core.latch cimport Latch, latch_check, latch_persist, latch_t, latch_trip
from engine._core.types cimport OK

# A word and not a pointer, stored atomically: the C library declares `raise` as a leaf, so the compiler would drop a
# plain store before it that only the handler reads.
cdef uint64_t _handled = 0


def trip_together(Latch latch not None, uint64_t[::1] shared, int reason, int64_t now_ns):
    """Wait until all have arrived (shared[0] counts down), trip; True if this one was the first."""
    cdef int status
    with nogil:
        add_relaxed(&shared[0], <uint64_t>-1)
        while load_acquire(&shared[0]) != 0:
            cpu_relax()
        status = latch_trip(latch.c, reason, now_ns, reason)
    return status == OK


def trip_when_told(Latch latch not None, uint64_t[::1] shared, int reason):
    """Announce itself in shared[0], wait for shared[1], trip: all without the interpreter lock."""
    with nogil:
        store_release(&shared[0], 1)
        while load_acquire(&shared[1]) == 0:
            cpu_relax()
        latch_trip(latch.c, reason, 1, 0)


def hold_the_interpreter(Latch latch not None, uint64_t[::1] shared, uint64_t spins_max):
    """Keep the interpreter lock, tell the other thread, spin until the latch is tripped; the spins it took."""
    cdef uint64_t spins = 0
    store_release(&shared[1], 1)
    while latch_check(latch.c) == OK and spins < spins_max:
        spins += 1
        cpu_relax()
    return spins


def persist_together(Latch latch not None, uint64_t[::1] shared, int reason):
    """Trip with an own reason and persist, all at once; the status."""
    cdef int status
    with nogil:
        add_relaxed(&shared[0], <uint64_t>-1)
        while load_acquire(&shared[0]) != 0:
            cpu_relax()
        latch_trip(latch.c, reason, 5, 0)
        status = latch_persist(latch.c, latch.file)
    return status


cdef void _on_signal(int number) noexcept nogil:
    latch_trip(<latch_t*>load_acquire(&_handled), 4, 7, number)


def trip_from_a_handler(Latch latch not None, int number):
    """Install a C handler that trips, raise the signal in this thread, put the default back."""
    cdef sighandler_t before
    store_release(&_handled, <uint64_t>latch.c)
    before = signal(number, _on_signal)
    raise_(number)
    signal(number, before)
    store_release(&_handled, 0)


def storm(Latch latch not None, int number, Py_ssize_t rounds):
    """Reasons 0 to 16 in turn while signals of a timer trip in between, in the same thread."""
    cdef sighandler_t before
    cdef Py_ssize_t i
    store_release(&_handled, <uint64_t>latch.c)
    before = signal(number, _on_signal)
    with nogil:
        for i in range(rounds):
            latch_trip(latch.c, <int>(i % 17), i + 1, i)
            if i % 64 == 0:
                raise_(number)
    signal(number, before)
    store_release(&_handled, 0)

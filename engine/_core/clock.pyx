cimport cython
from libc.stdint cimport int64_t, uint64_t

from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport CLOCK_BACKWARDS, raise_status

cdef extern from "time.h" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* out)
    const int CLOCK_REALTIME, CLOCK_MONOTONIC

cdef extern from * nogil:
    """
    #if defined(__x86_64__)
    #include <cpuid.h>
    /* Leaf 0x80000007, EDX bit 8: the counter runs at one rate in every power state. */
    static int bot4_counter_invariant(void) {
        unsigned a, b, c, d;
        return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8)) != 0;
    }
    static uint64_t bot4_counter_hz(void) { return 0; }
    #elif defined(__aarch64__)
    /* The generic timer runs at a fixed rate by definition, and says which. */
    static int bot4_counter_invariant(void) { return 1; }
    static uint64_t bot4_counter_hz(void) {
        uint64_t v; __asm__ __volatile__("mrs %0, cntfrq_el0" : "=r"(v)); return v;
    }
    #else
    static int bot4_counter_invariant(void) { return 0; }
    static uint64_t bot4_counter_hz(void) { return 0; }
    #endif
    """
    int bot4_counter_invariant() noexcept
    uint64_t bot4_counter_hz() noexcept

cdef int64_t NS = 1_000_000_000
cdef int64_t CALIBRATION_NS = 20_000_000


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(clock_word_t) == 64)


cdef inline int64_t _read(int which) noexcept nogil:
    cdef timespec t
    clock_gettime(which, &t)
    return <int64_t>t.tv_sec * NS + t.tv_nsec


# What both clocks say while somebody else owns the time of this process; 0: the kernel does. One thread: whoever plays
# a loop on time of its own (tests/support/virtual.py) starts nothing that reads it beside.
cdef int64_t _held_utc_ns = 0
cdef int64_t _held_monotonic_ns = 0


cdef int64_t clock_monotonic_ns() noexcept nogil:
    return _held_monotonic_ns if _held_utc_ns else _read(CLOCK_MONOTONIC)


cdef int64_t clock_utc_ns() noexcept nogil:
    return _held_utc_ns if _held_utc_ns else _read(CLOCK_REALTIME)


cdef void _pair(int which, uint64_t* cycles, int64_t* ns) noexcept nogil:
    # The tightest of a few brackets: an interrupt between the two readings would shift the anchor for good.
    cdef uint64_t before, after, best = <uint64_t>-1
    cdef int64_t now
    cdef int attempt
    for attempt in range(8):
        before = clock_cycles()
        now = _read(which)
        after = clock_cycles()
        if after - before < best:
            best = after - before
            cycles[0] = before + (after - before) // 2
            ns[0] = now


cdef uint64_t _calibrate_q32() noexcept nogil:
    """Nanoseconds per cycle with 32 bits behind the point, measured against the monotonic clock."""
    cdef uint64_t hz = bot4_counter_hz()
    cdef uint64_t start_cycles = 0, end_cycles = 0
    cdef int64_t start_ns = 0, end_ns = 0
    if hz != 0:
        return (<uint64_t>NS << 32) // hz
    _pair(CLOCK_MONOTONIC, &start_cycles, &start_ns)
    while _read(CLOCK_MONOTONIC) - start_ns < CALIBRATION_NS:
        pass
    _pair(CLOCK_MONOTONIC, &end_cycles, &end_ns)
    return (<uint64_t>(end_ns - start_ns) << 32) // (end_cycles - start_cycles)


# Measured once per process: it takes 20 ms, and every Clock of the process runs on the same counter.
cdef uint64_t _ns_per_cycle_q32 = 0


cdef uint64_t _calibrated() noexcept nogil:
    global _ns_per_cycle_q32
    if _ns_per_cycle_q32 == 0:
        _ns_per_cycle_q32 = _calibrate_q32()
    return _ns_per_cycle_q32


cdef void clock_anchor(clock_word_t* word) noexcept nogil:
    """Tie the counter to UTC again. Called at start and then every second by whoever drives the clock."""
    _pair(CLOCK_REALTIME, &word.anchor_cycles, &word.anchor_utc_ns)


cdef int64_t clock_stamp(clock_word_t* word) noexcept nogil:
    cdef int64_t now
    if word.manual:
        return word.now_ns
    if word.counter_invariant:
        now = word.anchor_utc_ns + clock_scale_q32(clock_cycles() - word.anchor_cycles, word.ns_per_cycle_q32)
    else:
        now = clock_utc_ns()
    # Held, not repaired: UTC may step back under us (an operator, a leap), events may not.
    if now < word.now_ns:
        word.backwards_count += 1
        return word.now_ns
    word.now_ns = now
    return now


def monotonic_ns():
    return clock_monotonic_ns()


def utc_ns():
    return clock_utc_ns()


def hold(int64_t utc_ns, int64_t monotonic_ns):
    """Both clocks stand at these until the next call; (0, 0) gives the kernel's back."""
    global _held_utc_ns, _held_monotonic_ns
    if utc_ns < 0 or monotonic_ns < 0:
        raise_status(CLOCK_BACKWARDS, f"{utc_ns}, {monotonic_ns}: before 1970")
    _held_utc_ns, _held_monotonic_ns = utc_ns, monotonic_ns


def cycles():
    return clock_cycles()


def ns_per_cycle():
    """The calibrated length of one cycle of the counter, in nanoseconds."""
    return _calibrated() / 4294967296.0


def counter_invariant():
    return bool(bot4_counter_invariant())


@cython.final
cdef class Clock:
    """The time word and its two drivers: the hardware, or with `manual=True` whoever calls `set`."""

    def __cinit__(self, *, bint manual=False, int64_t start_ns=0):
        self.c = <clock_word_t*>block_new(sizeof(clock_word_t))
        self.owns = True
        self.c.manual = manual
        if manual:
            self.c.now_ns = start_ns
            return
        self.c.counter_invariant = bot4_counter_invariant()
        self.c.ns_per_cycle_q32 = _calibrated()
        clock_anchor(self.c)
        clock_stamp(self.c)

    def __dealloc__(self):
        if self.owns:
            block_free(self.c)

    @property
    def manual(self):
        return bool(self.c.manual)

    @property
    def now_ns(self):
        """The word as it stands; reads no hardware."""
        return self.c.now_ns

    @property
    def backwards_count(self):
        return self.c.backwards_count

    def stamp(self):
        """Read the hardware into the word (a manual clock is left alone) and return it."""
        return clock_stamp(self.c)

    def anchor(self):
        if not self.c.manual:
            clock_anchor(self.c)

    def set(self, int64_t now_ns):
        """Move a manual clock forward to `now_ns`."""
        if not self.c.manual:
            raise_status(CLOCK_BACKWARDS, "this clock follows the hardware; make it with manual=True to set it")
        if now_ns < self.c.now_ns:
            raise_status(CLOCK_BACKWARDS, f"{now_ns} after {self.c.now_ns}")
        self.c.now_ns = now_ns

    def check(self):
        assert self.c.now_ns >= 0, "time before 1970"
        assert self.c.manual or not self.c.counter_invariant or self.c.ns_per_cycle_q32 > 0, "not calibrated"

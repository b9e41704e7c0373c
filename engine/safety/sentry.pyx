from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t

import os

from engine._core.atomics cimport (
    load_acquire, load_acquire_i64, load_acquire_u32, load_relaxed, store_relaxed, store_release, store_release_i64,
    store_release_u32,
)
from engine._core.clock cimport clock_monotonic_ns, clock_utc_ns
from engine._core.latch cimport (
    LATCH_HEARTBEAT_STALL, LATCH_READER_DISAGREEMENT, LATCH_SIGNAL, LATCH_SWITCH, LATCH_TAMPER, Latch, latch_check,
    latch_note, latch_persist, latch_t, latch_trip,
)
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport OK
from engine.safety.lines cimport Lines, line_event_t, lines_read
from engine.safety.pulse cimport Pulse

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <poll.h>
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <string.h>
    #include <sys/prctl.h>
    #include <time.h>
    #include <unistd.h>
    typedef void* (*bot4_thread_body)(void*);
    /* Threads of this file take no signals: the loop's thread and the handler below do. */
    static int bot4_thread(pthread_t* thread, bot4_thread_body body, void* argument) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int error = pthread_create(thread, NULL, body, argument);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return error;
    }
    static int bot4_realtime(int priority) {
        struct sched_param p; memset(&p, 0, sizeof p); p.sched_priority = priority;
        prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
        return pthread_setschedparam(pthread_self(), SCHED_FIFO, &p);
    }
    static int bot4_poll(int line_fd, int stop_fd, int64_t wait_ns) {
        struct pollfd p[2] = {{stop_fd, POLLIN, 0}, {line_fd, POLLIN, 0}};
        struct timespec t = {wait_ns / 1000000000, wait_ns % 1000000000};
        return ppoll(p, line_fd >= 0 ? 2 : 1, &t, NULL) > 0 && line_fd >= 0 && p[1].revents;
    }
    static void bot4_poke(int fd) {
        uint64_t one = 1; int keep = errno;
        if (write(fd, &one, sizeof one) < 0) { /* full counter: it is awake already */ }
        errno = keep;
    }
    static void bot4_await(int fd) { uint64_t got; while (read(fd, &got, sizeof got) < 0 && errno == EINTR) {} }
    static void bot4_pause(int64_t ns) { struct timespec t = {0, ns}; nanosleep(&t, NULL); }

    /* The trip signal. One latch per process has it; the handler uses atomics, the clock and write(2) alone. */
    static void* bot4_signal_latch; static int bot4_signal_fd = -1;
    static void (*bot4_signal_trip)(void*, int);
    static void bot4_on_signal(int number) {
        int keep = errno;
        if (bot4_signal_latch) { bot4_signal_trip(bot4_signal_latch, number); bot4_poke(bot4_signal_fd); }
        errno = keep;
    }
    static int bot4_catch(int number, void* latch, int fd, void (*trip)(void*, int)) {
        struct sigaction a; memset(&a, 0, sizeof a);
        bot4_signal_latch = latch; bot4_signal_fd = fd; bot4_signal_trip = trip;
        a.sa_handler = latch ? bot4_on_signal : SIG_IGN;
        a.sa_flags = SA_RESTART;
        return sigaction(number, &a, NULL);
    }
    """
    ctypedef unsigned long pthread_t
    int thread_start "bot4_thread"(pthread_t* thread, void* (*body)(void*) noexcept nogil, void* argument) noexcept
    int pthread_join(pthread_t thread, void** result) noexcept
    int realtime "bot4_realtime"(int priority) noexcept
    int wait_lines "bot4_poll"(int line_fd, int stop_fd, int64_t wait_ns) noexcept
    void poke "bot4_poke"(int fd) noexcept
    void await_poke "bot4_await"(int fd) noexcept
    void pause_ns "bot4_pause"(int64_t ns) noexcept
    int catch_signal "bot4_catch"(int number, void* latch, int fd, void (*trip)(void*, int) noexcept nogil) noexcept
    ssize_t read(int fd, void* data, size_t size) noexcept
    void _exit(int code) noexcept


cdef void _trip_by_signal(void* latch, int number) noexcept nogil:
    latch_trip(<latch_t*>latch, LATCH_SIGNAL, clock_utc_ns(), number)


cdef inline void _count(uint64_t* counter) noexcept nogil:
    # Each has one writer, so no locked instruction; who reads it from another thread sees a whole number, perhaps an
    # old one.
    store_relaxed(counter, counter[0] + 1)


# ----------------------------------------------------------------------------------------------------------- one line
cdef bint line_sample(line_watch_t* line, int64_t debounce_ns, int64_t latest_ns, int64_t now_ns, bint is_open) noexcept nogil:
    """One reading or edge; 1 from the trip on. The rule and its reasons stand in engine/safety/debounce.py."""
    if line.tripped:
        return True
    if line.suspect and not line.level_open and now_ns - line.level_ns >= debounce_ns:
        _count(&line.glitch_count)
        line.suspect = 0
    if not line.suspect:
        if is_open:
            line.suspect = line.level_open = 1
            line.suspect_ns = line.level_ns = now_ns
        # A debounce of nothing trips on the opening itself.
        line.tripped = is_open and debounce_ns <= 0
        return line.tripped
    if line.level_open and now_ns - line.level_ns >= debounce_ns:
        line.tripped = 1
    elif now_ns - line.suspect_ns >= latest_ns:
        line.tripped = 1
    elif is_open != line.level_open:
        line.level_open = is_open
        line.level_ns = now_ns
    return line.tripped


# ------------------------------------------------------------------------------------------------- the watching thread
cdef void _latch(sentry_t* s, int reason, int64_t at_ns, int64_t value, const char* note) noexcept nogil:
    """Trip, and remember for the drills when the cause and when the latch came. `at_ns` is monotonic."""
    cdef size_t length = 0
    if latch_trip(s.latch, reason, clock_utc_ns(), value) == OK:
        store_release_i64(&s.edge_ns, at_ns)
        store_release_i64(&s.latched_ns, clock_monotonic_ns())
    while note[length]:
        length += 1
    latch_note(s.latch, note, length)


cdef void _sample(sentry_t* s, uint32_t i, int64_t at_ns, bint is_open) noexcept nogil:
    cdef bint before = s.line[i].tripped
    if line_sample(&s.line[i], s.debounce_ns, s.latest_ns, at_ns, is_open) and not before:
        _latch(s, s.line[i].reason, s.line[i].suspect_ns, 1, "the loop is open")


cdef void _lost(sentry_t* s, int64_t now_ns) noexcept nogil:
    # A chip that does not answer is an open loop. The descriptor is left alone: every poll of it would return at once.
    s.line_fd = -1
    _latch(s, LATCH_SWITCH, now_ns, -errno, "the GPIO chip does not answer")


cdef void _lines(sentry_t* s, bint ready) noexcept nogil:
    cdef line_event_t event[16]
    cdef ssize_t got
    cdef uint64_t bits = 0
    cdef uint32_t i, k
    cdef int64_t now_ns
    while ready:
        got = read(s.line_fd, event, sizeof(event))
        if got < 0 and errno == EINTR:
            continue
        if got < 0 and errno != EAGAIN:
            _lost(s, clock_monotonic_ns())
            return
        if got <= 0:
            break
        for k in range(<uint32_t>(<size_t>got // sizeof(line_event_t))):
            _count(&s.edges)
            for i in range(s.line_count):
                if offsets_of(s)[i] == event[k].offset:
                    # The kernel stamps edges with the monotonic clock: bounces between two turns are seen in full.
                    _sample(s, i, <int64_t>event[k].timestamp_ns, event[k].id == 1)
    # The level after the edges: it carries the time on while nothing happens, and it finds what no edge told.
    if lines_read(s.line_fd, (<uint64_t>1 << s.line_count) - 1, &bits) != 0:
        _lost(s, clock_monotonic_ns())
        return
    now_ns = clock_monotonic_ns()
    store_release(&s.bits, bits)
    for i in range(s.line_count):
        _sample(s, i, now_ns, bits >> i & 1)
    _other(s, bits, now_ns)


cdef void _other(sentry_t* s, uint64_t bits, int64_t now_ns) noexcept nogil:
    """The two readers have to see the same, and the other one has to be alive."""
    cdef int64_t said_ns = load_acquire_i64(&s.other_ns)
    if said_ns == 0:
        return
    if load_acquire(&s.other_bits) == bits:
        s.differ_ns = now_ns
    if now_ns - s.differ_ns >= s.disagree_ns:
        _latch(s, LATCH_READER_DISAGREEMENT, now_ns, <int64_t>bits, "the two readers see different levels")
    elif now_ns - said_ns >= s.silent_ns:
        _latch(s, LATCH_READER_DISAGREEMENT, now_ns, now_ns - said_ns, "the other reader is silent")


cdef void _heart(sentry_t* s, int64_t now_ns, int64_t late_ns) noexcept nogil:
    cdef uint64_t beats, sequence
    if s.pulse == NULL or load_acquire(&s.pulse.armed) == 0:
        s.beat_ns = s.step_ns = now_ns
        return
    beats, sequence = load_acquire(&s.pulse.beats), load_acquire(&s.pulse.sequence)
    # Time in which this thread itself did not run says nothing about the loop: the whole machine stood still.
    s.beat_ns += late_ns
    s.step_ns += late_ns
    if beats != s.beats:
        s.beats = beats
        s.beat_ns = now_ns
    if sequence != s.sequence or load_acquire(&s.pulse.backlog) == 0:
        s.sequence = sequence
        s.step_ns = now_ns
    if now_ns - s.beat_ns >= s.stall_ns:
        _latch(s, LATCH_HEARTBEAT_STALL, s.beat_ns, <int64_t>load_acquire(&s.pulse.mark), "the loop does not turn")
    elif now_ns - s.step_ns >= s.stall_ns:
        _latch(s, LATCH_HEARTBEAT_STALL, s.step_ns, <int64_t>load_acquire(&s.pulse.mark), "events wait and the core does not take them")


cdef void* _watch(void* argument) noexcept nogil:
    cdef sentry_t* s = <sentry_t*>argument
    cdef int64_t now_ns, before_ns, late_ns
    cdef bint ready
    store_release_i64(&s.realtime_error, realtime(<int>s.priority) if s.priority > 0 else -1)
    before_ns = s.beat_ns = s.step_ns = s.differ_ns = clock_monotonic_ns()
    while load_acquire_u32(&s.stop) == 0:
        ready = wait_lines(s.line_fd, s.stop_fd, s.tick_ns)
        if s.line_fd >= 0:
            _lines(s, ready)
        now_ns = clock_monotonic_ns()
        late_ns = now_ns - before_ns - 4 * s.tick_ns
        _heart(s, now_ns, late_ns if late_ns > 0 else 0)
        if late_ns > 0:
            s.differ_ns += late_ns
        before_ns = now_ns
        store_release_i64(&s.turn_ns, now_ns)
        _count(&s.turns)
        if latch_check(s.latch) != OK:
            if s.seen_ns == 0:
                store_release_i64(&s.seen_ns, now_ns)
                poke(s.wake_fd)
                poke(s.scribe_fd)
            if s.grace_ns > 0 and now_ns - s.seen_ns >= s.grace_ns:
                # The guard had its time. Whatever holds it up holds no order back any more.
                _exit(<int>s.exit_code)
    return NULL


cdef void* _scribe(void* argument) noexcept nogil:
    cdef sentry_t* s = <sentry_t*>argument
    await_poke(s.scribe_fd)
    while load_acquire_u32(&s.stop) == 0:
        if latch_persist(s.latch, s.file) == OK:
            if s.durable_ns == 0:
                store_release_i64(&s.durable_ns, clock_monotonic_ns())
        else:
            _count(&s.persist_failures)
        # Later reasons are added to the file; a disk that refused is asked again.
        pause_ns(20_000_000)
    return NULL


cdef inline uint32_t* offsets_of(sentry_t* s) noexcept nogil:
    return <uint32_t*>(s + 1)


# -------------------------------------------------------------------------------------------------------------- Python
cdef class Sentry:
    """Start the threads over a latch, lines and a heart-beat; what is None is not watched."""

    cdef sentry_t* c
    cdef pthread_t watch
    cdef pthread_t scribe
    cdef bint started
    cdef int caught
    cdef int line_fd
    cdef readonly Latch latch
    cdef readonly Lines lines
    cdef readonly Pulse pulse

    def __cinit__(self, Latch latch, *, Lines lines=None, Pulse pulse=None, reasons=("switch", "tamper"),
                  int64_t tick_ns=2_000_000, int64_t debounce_ns=5_000_000, int64_t latest_ns=50_000_000,
                  int64_t stall_ns=2_000_000_000, int64_t disagree_ns=250_000_000, int64_t silent_ns=2_000_000_000,
                  int64_t grace_ns=0, int exit_code=70, int priority=80):
        self.c = <sentry_t*>block_new(sizeof(sentry_t) + 8 * sizeof(uint32_t))
        self.latch, self.lines, self.pulse = latch, lines, pulse
        self.line_fd = -1
        self.c.latch, self.c.file = latch.c, latch.file
        self.c.line_fd = self.c.wake_fd = self.c.stop_fd = self.c.scribe_fd = -1
        self.c.tick_ns, self.c.debounce_ns, self.c.latest_ns = tick_ns, debounce_ns, latest_ns
        self.c.stall_ns, self.c.disagree_ns, self.c.silent_ns = stall_ns, disagree_ns, silent_ns
        self.c.grace_ns, self.c.exit_code, self.c.priority = grace_ns, exit_code, priority
        self.c.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.c.stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.c.scribe_fd = os.eventfd(0, os.EFD_CLOEXEC)
        if pulse is not None:
            self.c.pulse = pulse.c
        if lines is not None:
            # A descriptor of its own: `Lines` may be closed first, and its number may be given to something else.
            self.line_fd = self.c.line_fd = os.dup(lines.fd)
            self.c.line_count = lines.count
            for i in range(lines.count):
                offsets_of(self.c)[i] = lines.offset[i]
                self.c.line[i].reason = LATCH_TAMPER if reasons[i] == "tamper" else LATCH_SWITCH

    def start(self):
        if self.started:
            return
        if thread_start(&self.scribe, _scribe, self.c) != 0:
            raise OSError("the sentry's threads cannot be made")
        if thread_start(&self.watch, _watch, self.c) != 0:
            store_release_u32(&self.c.stop, 1)
            poke(self.c.scribe_fd)
            with nogil:
                pthread_join(self.scribe, NULL)
            raise OSError("the sentry's threads cannot be made")
        self.started = True

    def catch(self, int number):
        """Trip on this signal, in a handler written in C: it does not wait for the interpreter."""
        if catch_signal(number, self.c.latch, self.c.wake_fd, _trip_by_signal) != 0:
            raise OSError(errno, os.strerror(errno))
        self.caught = number

    def report(self, uint64_t bits):
        """The other reader's levels, line by line: its sign of life."""
        store_release(&self.c.other_bits, bits)
        store_release_i64(&self.c.other_ns, clock_monotonic_ns())

    def wake(self):
        """Let the guard and the disk know at once."""
        poke(self.c.wake_fd)
        poke(self.c.scribe_fd)

    @property
    def wake_fd(self):
        return self.c.wake_fd

    @property
    def alive(self):
        """Whether the thread turned within the last second."""
        return self.started and clock_monotonic_ns() - load_acquire_i64(&self.c.turn_ns) < 1_000_000_000

    @property
    def state(self):
        return {
            "bits": load_acquire(&self.c.bits), "turns": load_relaxed(&self.c.turns),
            "edges": load_relaxed(&self.c.edges),
            "glitches": sum(load_relaxed(&self.c.line[i].glitch_count) for i in range(self.c.line_count)),
            "edge_ns": load_acquire_i64(&self.c.edge_ns), "latched_ns": load_acquire_i64(&self.c.latched_ns),
            "durable_ns": load_acquire_i64(&self.c.durable_ns), "seen_ns": load_acquire_i64(&self.c.seen_ns),
            "persist_failures": load_relaxed(&self.c.persist_failures),
        }

    @property
    def refused(self):
        """What the kernel did not grant, in words."""
        error = load_acquire_i64(&self.c.realtime_error)
        return () if error == 0 else (f"SCHED_FIFO: {'not asked for' if error < 0 else os.strerror(error)}",)

    def close(self):
        """End both threads. The latch stays as it is. Twice is fine."""
        if self.c == NULL:
            return
        if self.caught:
            catch_signal(self.caught, NULL, -1, NULL)
            self.caught = 0
        if self.started:
            store_release_u32(&self.c.stop, 1)
            poke(self.c.stop_fd)
            poke(self.c.scribe_fd)
            with nogil:
                pthread_join(self.watch, NULL)
                pthread_join(self.scribe, NULL)
            self.started = False
        for handle in (self.c.wake_fd, self.c.stop_fd, self.c.scribe_fd, self.line_fd):
            if handle >= 0:
                os.close(handle)
        self.c.wake_fd = self.c.stop_fd = self.c.scribe_fd = self.line_fd = -1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    def __dealloc__(self):
        if self.c != NULL:
            self.close()
        block_free(self.c)


def debounce(readings, int64_t debounce_ns, int64_t latest_ns):
    """(time, open) after time through the rule: the index of the reading that tripped or -1, and the glitches."""
    cdef line_watch_t line
    cdef int64_t at_ns
    line.suspect_ns = line.level_ns = 0
    line.glitch_count = 0
    line.reason = line.tripped = line.suspect = line.level_open = 0
    for i, (at_ns, is_open) in enumerate(readings):
        if line_sample(&line, debounce_ns, latest_ns, at_ns, is_open):
            return i, line.glitch_count
    return -1, line.glitch_count

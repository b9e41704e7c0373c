"""The sentry: the threads of the safety system that never need the interpreter lock.

Owns: one thread that watches the lines, the heart-beat, the other reader and the latch, and one that makes a trip durable;
the handler of the trip signal. Does not own: the trip sequence (engine/safety/guard.py), which it wakes through an
eventfd, nor the lines and words it is lent.

Invariants. It can only set the latch, never clear it. It never waits for a lock, for Python or for a disk: the disk has a
thread of its own. Once the latch is set and `grace_ns` have passed and nobody ended the process, it calls `_exit` itself.
Being late itself is not the loop's stall: time in which this thread did not run is taken off.

    watch:   poll(lines, stop; tick) -> edges, levels -> debounce -> latch
                                     -> heart-beat, backlog -> latch
                                     -> the other reader's word -> latch
                                     -> latch set? wake guard and scribe; grace over? _exit
    scribe:  wait -> latch_persist, again until the disk takes it

Cost: one turn per `tick_ns` (2 ms): one poll, one ioctl, a few loads; about 3 us. Edges are served at once.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.latch cimport latch_file_t, latch_t
from engine.safety.pulse cimport pulse_t


cdef struct line_watch_t:         # engine/safety/debounce.py is the same in words
    int64_t suspect_ns
    int64_t level_ns
    uint64_t glitch_count
    uint32_t reason
    uint32_t tripped
    uint32_t suspect
    uint32_t level_open


cdef struct sentry_t:
    latch_t* latch
    latch_file_t* file
    pulse_t* pulse
    int line_fd
    int wake_fd
    int stop_fd
    int scribe_fd
    uint32_t line_count
    uint32_t stop
    int64_t tick_ns
    int64_t debounce_ns
    int64_t latest_ns
    int64_t stall_ns
    int64_t disagree_ns
    int64_t silent_ns
    int64_t grace_ns
    int64_t exit_code
    int64_t priority
    line_watch_t line[8]
    # What the other reader says: its bits, and when it last said anything; 0 = it is not there.
    uint64_t other_bits
    int64_t other_ns
    # Written by the thread, read by anybody.
    uint64_t bits
    int64_t turn_ns
    uint64_t turns
    uint64_t edges
    int64_t edge_ns               # of the edge or reading that tripped
    int64_t latched_ns
    int64_t durable_ns
    int64_t seen_ns               # when the latch was first seen set
    int64_t realtime_error        # errno of asking for SCHED_FIFO; 0 = granted
    uint64_t persist_failures
    # The thread's own.
    int64_t beat_ns
    int64_t step_ns
    int64_t differ_ns
    uint64_t beats
    uint64_t sequence


cdef bint line_sample(line_watch_t* line, int64_t debounce_ns, int64_t latest_ns, int64_t now_ns, bint is_open) noexcept nogil

"""The heart-beat: words in memory by which one thread shows another that it moves.

Owns: one cache line of counters, written by the loop (and the core in it), read by the sentry's thread without the
interpreter lock. Does not own: what a stall leads to. Invariant: counters only grow; `mark` names what runs now, 0 when
control is back in the loop itself.

Cost: a beat or a mark is one relaxed add or one store, under 1 ns; nothing is read back by the writer.
"""
from libc.stdint cimport int64_t, uint64_t

from engine._core.atomics cimport add_relaxed, store_release


cdef struct pulse_t:              # one cache line, one writing thread
    uint64_t beats                # turns of the loop's own timer
    uint64_t sequence             # events that the core has taken
    uint64_t backlog              # events that wait for it: with work waiting, `sequence` has to move
    uint64_t mark                 # which callback or strategy is running, 0 = none
    uint64_t armed                # 1: a stall counts
    uint64_t reserved[3]


cdef inline void pulse_beat(pulse_t* pulse) noexcept nogil:
    add_relaxed(&pulse.beats, 1)

cdef inline void pulse_step(pulse_t* pulse, uint64_t count) noexcept nogil:
    add_relaxed(&pulse.sequence, count)

# Release: whoever sees the mark also sees what was written before the call that it names.
cdef inline void pulse_mark(pulse_t* pulse, uint64_t mark) noexcept nogil:
    store_release(&pulse.mark, mark)


cdef class Pulse:
    cdef pulse_t* c
    cdef list _names

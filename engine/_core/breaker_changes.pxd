"""What follows from a swap that changed a state: counts, the record of changes, the open mask and its cascade.

Owns: the event slots' writing side and `open_mask`. Does not own: the decision. Invariant: every transition is
recorded and counted by the one thread whose swap made it.
"""
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from engine._core.atomics cimport (
    add_relaxed, add_relaxed_u32, and_acq_rel, load_acquire, load_acquire_u32, load_relaxed, or_acq_rel,
    store_release_u32,
)
from engine._core.breaker cimport (
    BREAKER_HALF_OPEN, BREAKER_IS_OPEN, CHANGE_DENIED_BY_DEPENDENCY, CHANGE_FREED_BY_DEPENDENCY, CHANGE_GLOBAL_CLOSED,
    CHANGE_GLOBAL_OPENED, CHANGE_OPEN_TO_HALF_OPEN, REASON_CRITICAL_OPEN, REASON_DEPENDENCY, REASON_RECOVERED,
    REASON_SHARE_OPEN, breaker_event_t, breaker_is_global_open, breaker_row, breaker_t, breaker_table_t, popcount,
)
from engine._core.breaker_word cimport (
    SINCE_MASK, SINCE_SHIFT, cas_weak_acq_rel, ctz, epoch_of, is_due, state_of, tick_of, word_next,
)
from engine._core.types cimport KIND_BREAKER, event_t


cdef inline event_t* slots_of(const breaker_table_t* t) noexcept nogil:
    return <event_t*>(breaker_row(t, 0) + t.count_max)


cdef inline void record(breaker_table_t* t, uint32_t id, int change, int reason, uint64_t word, uint64_t mask,
                        int64_t detail, int64_t now_ns) noexcept nogil:
    """Append to the record of changes. Full: counted as lost; the state never waits for whoever reads about it."""
    cdef uint64_t pos = load_relaxed(&t.event_head)
    cdef breaker_event_t* slot
    cdef int32_t turn
    while True:
        slot = <breaker_event_t*>slots_of(t) + (pos & (t.event_capacity - 1))
        # The slot's seq says whose turn it is: pos = free for writer `pos`, pos + 1 = ready for the reader.
        turn = <int32_t>(load_acquire_u32(&slot.seq) - <uint32_t>pos)
        if turn < 0:
            add_relaxed(&t.events_lost, 1)
            return
        # Already written (turn > 0): then the head stands elsewhere, and the swap fails and says where.
        if cas_weak_acq_rel(&t.event_head, &pos, pos + 1):
            break
    slot.kind = KIND_BREAKER
    slot.flags = 0
    slot.symbol = <uint16_t>id
    slot.ts_venue_ns = 0
    slot.ts_recv_ns = now_ns
    slot.change = change
    slot.reason = reason
    slot.epoch = <int64_t>epoch_of(word)
    slot.open_mask = <int64_t>mask
    slot.detail = detail
    # Publish last: the reader copies the slot as soon as it sees this.
    store_release_u32(&slot.seq, <uint32_t>pos + 1)


cdef inline void mask_changed(breaker_table_t* t, uint32_t id, uint64_t before, uint64_t after,
                              int64_t now_ns) noexcept nogil:
    """Record what follows from one component's opening or leaving open: its dependents, and the whole."""
    cdef uint64_t above = breaker_row(t, id).dependents_mask, below, word
    cdef bint whole_before = breaker_is_global_open(t, before), whole_after = breaker_is_global_open(t, after)
    cdef uint32_t other
    while above:
        other = ctz(above)
        above &= above - 1
        below = breaker_row(t, other).depends_mask
        word = load_relaxed(&breaker_row(t, other).word)
        # `id` stands below every `other` and its bit just turned, so one side of `before` and `after` has it.
        if (before & below) == 0:
            record(t, other, CHANGE_DENIED_BY_DEPENDENCY, REASON_DEPENDENCY, word, after, id, now_ns)
        elif (after & below) == 0:
            record(t, other, CHANGE_FREED_BY_DEPENDENCY, REASON_RECOVERED, word, after, id, now_ns)
    word = load_relaxed(&breaker_row(t, id).word)
    if whole_after and not whole_before:
        record(t, id, CHANGE_GLOBAL_OPENED,
               REASON_CRITICAL_OPEN if after & t.critical_mask else REASON_SHARE_OPEN, word, after,
               popcount(after), now_ns)
    elif whole_before and not whole_after:
        record(t, id, CHANGE_GLOBAL_CLOSED, REASON_RECOVERED, word, after, popcount(after), now_ns)


cdef inline void changed(breaker_table_t* t, uint32_t id, int change, int reason, uint64_t word, int64_t detail,
                         int64_t now_ns) noexcept nogil:
    """Called by the one thread whose swap made the transition: count it, record it, let the open mask follow."""
    cdef breaker_t* row = breaker_row(t, id)
    cdef uint64_t bit = <uint64_t>1 << id, before, after
    cdef bint is_open
    add_relaxed_u32(&row.transitions[change], 1)
    record(t, id, change, reason, word, load_relaxed(&t.open_mask), detail, now_ns)
    # Two threads may make two transitions of one component and come here in the other order. So each looks at the
    # word again after writing the bit: whoever writes the bit last has, through the acquire-release chain on the
    # mask, seen the swap of everybody who wrote it before, and repairs it if it is wrong.
    while True:
        is_open = state_of(load_acquire(&row.word)) == BREAKER_IS_OPEN
        if is_open:
            before = or_acq_rel(&t.open_mask, bit)
            after = before | bit
        else:
            before = and_acq_rel(&t.open_mask, ~bit)
            after = before & ~bit
        # The read-modify-write tells exactly one thread that the bit turned.
        if before != after:
            mask_changed(t, id, before, after, now_ns)
        if (state_of(load_acquire(&row.word)) == BREAKER_IS_OPEN) == is_open:
            return


cdef inline bint half_open_if_due(breaker_table_t* t, uint32_t id, int reason, int64_t now_ns) noexcept nogil:
    cdef breaker_t* row = breaker_row(t, id)
    cdef uint64_t word = load_acquire(&row.word)
    cdef uint64_t since = (<uint64_t>tick_of(now_ns) & SINCE_MASK) << SINCE_SHIFT, after
    while state_of(word) == BREAKER_IS_OPEN and is_due(word, now_ns):
        after = word_next(word, BREAKER_HALF_OPEN, since)
        if cas_weak_acq_rel(&row.word, &word, after):
            changed(t, id, CHANGE_OPEN_TO_HALF_OPEN, reason, after, 0, now_ns)
            return True
    return False

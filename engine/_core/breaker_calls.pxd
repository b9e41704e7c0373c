"""A call from its permit to its outcome, and what people do by hand: each is one swap of the component's word.

Owns: nothing; it decides. What follows from a swap is breaker_changes. Invariant: one permit, one outcome; a swap that
fails looks at the word again and decides anew.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.atomics cimport add_relaxed, add_relaxed_u32, load_acquire, load_relaxed
from engine._core.breaker cimport (
    BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_IS_OPEN, CHANGE_CLOSED_TO_OPEN, CHANGE_COOLDOWN_EXTENDED,
    CHANGE_HALF_OPEN_TO_CLOSED, CHANGE_HALF_OPEN_TO_OPEN, PAYLOAD_SHIFT, PERMIT_MASK, REASON_BY_HAND,
    REASON_COOLDOWN_OVER, REASON_TRIALS_SUCCEEDED, REASON_TRIAL_FAILED, REASON_TRIAL_LOST, breaker_is_global_open,
    breaker_row, breaker_t, breaker_table_t, popcount,
)
from engine._core.breaker_changes cimport changed, half_open_if_due, record
from engine._core.breaker_word cimport (
    SUCCEEDED_SHIFT, cas_weak_acq_rel, ctz, granted_of, is_trial_lost, judge, retry_tick, shift_in, state_of,
    succeeded_of, word_next, word_opened,
)
from engine._core.debug cimport debug_assert
from engine._core.types cimport (
    BREAKER_COOLDOWN, BREAKER_DEPENDENCY_OPEN, BREAKER_GLOBAL_OPEN, BREAKER_HALF_OPEN_EXHAUSTED, BREAKER_OPEN,
    BREAKER_TOO_MANY_FAILURES, BREAKER_UNKNOWN_COMPONENT, OK,
)


cdef inline int tick_due(breaker_table_t* t, int64_t now_ns) noexcept nogil:
    """Move every open component whose cooldown is over to half-open; how many were. For a timer, and for denials."""
    cdef uint64_t mask = load_acquire(&t.open_mask)
    cdef int moved = 0
    while mask:
        moved += half_open_if_due(t, ctz(mask), REASON_COOLDOWN_OVER, now_ns)
        mask &= mask - 1
    return moved


cdef inline int ask(breaker_table_t* t, uint32_t id, int64_t now_ns, uint64_t* permit) noexcept nogil:
    cdef breaker_t* row = breaker_row(t, id)
    cdef uint64_t word, mask, after
    # First what time alone changes, for all: otherwise a component nobody calls would hold the whole open for ever.
    tick_due(t, now_ns)
    mask = load_acquire(&t.open_mask)
    if mask and breaker_is_global_open(t, mask):
        add_relaxed(&row.denied_global, 1)
        return BREAKER_GLOBAL_OPEN
    if mask & row.depends_mask:
        add_relaxed(&row.denied_dependency, 1)
        return BREAKER_DEPENDENCY_OPEN
    word = load_acquire(&row.word)
    while True:
        if state_of(word) == BREAKER_CLOSED:
            permit[0] = word & PERMIT_MASK
            return OK
        if state_of(word) == BREAKER_HALF_OPEN:
            if granted_of(word) < row.tokens:
                # The token is this swap: of all threads that saw it, one gets it.
                if cas_weak_acq_rel(&row.word, &word, word + (<uint64_t>1 << PAYLOAD_SHIFT)):
                    permit[0] = word & PERMIT_MASK
                    return OK
                continue
            if not is_trial_lost(row, word, now_ns):
                add_relaxed(&row.denied_half_open, 1)
                return BREAKER_HALF_OPEN_EXHAUSTED
            # A caller died with the last token. Silence is a failed trial: without this it would be denied for ever.
            after = word_opened(row, word, now_ns)
            if not cas_weak_acq_rel(&row.word, &word, after):
                continue
            changed(t, id, CHANGE_HALF_OPEN_TO_OPEN, REASON_TRIAL_LOST, after, granted_of(word), now_ns)
        add_relaxed(&row.denied_open, 1)
        return BREAKER_OPEN


cdef inline int settle(
        breaker_table_t* t, uint32_t id, uint64_t permit, uint64_t failed, int64_t now_ns) noexcept nogil:
    cdef breaker_t* row = breaker_row(t, id)
    cdef uint64_t word = load_acquire(&row.word), after, outcomes
    cdef int change, reason = 0, verdict, detail
    while True:
        # An outcome from before a transition says nothing about the state after it.
        if (word ^ permit) & PERMIT_MASK or (
                state_of(word) == BREAKER_HALF_OPEN and succeeded_of(word) >= granted_of(word)):
            add_relaxed(&row.stale_count, 1)
            return OK
        change = -1
        verdict = OK
        detail = 0
        if state_of(word) == BREAKER_CLOSED:
            outcomes = shift_in(word >> PAYLOAD_SHIFT, row.window, failed)
            after = (word & PERMIT_MASK) | (outcomes << PAYLOAD_SHIFT)
            verdict = judge(row, outcomes, &reason)
            if verdict == BREAKER_TOO_MANY_FAILURES:
                change = CHANGE_CLOSED_TO_OPEN
                detail = popcount(outcomes) - 1
                after = word_opened(row, word, now_ns)
        else:
            # Only a half-open word gives permits besides a closed one.
            debug_assert(state_of(word) == BREAKER_HALF_OPEN)
            if failed:
                verdict = BREAKER_TOO_MANY_FAILURES
                change = CHANGE_HALF_OPEN_TO_OPEN
                reason = REASON_TRIAL_FAILED
                detail = 1
                after = word_opened(row, word, now_ns)
            elif succeeded_of(word) + 1 == row.successes_to_close:
                change = CHANGE_HALF_OPEN_TO_CLOSED
                reason = REASON_TRIALS_SUCCEEDED
                after = word_next(word, BREAKER_CLOSED, 1)
            else:
                after = word + (<uint64_t>1 << (PAYLOAD_SHIFT + SUCCEEDED_SHIFT))
        if after == word or cas_weak_acq_rel(&row.word, &word, after):
            break
    add_relaxed(&row.failure_count if failed else &row.success_count, 1)
    if change >= 0:
        changed(t, id, change, reason, after, detail, now_ns)
    return verdict


cdef inline int release(breaker_table_t* t, uint32_t id, uint64_t permit) noexcept nogil:
    """Give a permit back without an outcome (a cancelled call): a trial's token is free again."""
    cdef breaker_t* row
    cdef uint64_t word
    if id >= t.count:
        return BREAKER_UNKNOWN_COMPONENT
    row = breaker_row(t, id)
    word = load_acquire(&row.word)
    while (state_of(word) == BREAKER_HALF_OPEN and ((word ^ permit) & PERMIT_MASK) == 0
           and granted_of(word) > succeeded_of(word)):
        if cas_weak_acq_rel(&row.word, &word, word - (<uint64_t>1 << PAYLOAD_SHIFT)):
            break
    add_relaxed_u32(&row.released_count, 1)
    return OK


cdef inline int trip(breaker_table_t* t, uint32_t id, int64_t now_ns) noexcept nogil:
    """Open it by hand. Already open: the cooldown starts anew. People may always stop."""
    cdef breaker_t* row
    cdef uint64_t word, after
    cdef int change
    if id >= t.count:
        return BREAKER_UNKNOWN_COMPONENT
    row = breaker_row(t, id)
    word = load_acquire(&row.word)
    while True:
        if state_of(word) == BREAKER_IS_OPEN:
            change = CHANGE_COOLDOWN_EXTENDED
            after = (word & PERMIT_MASK) | (max(word >> PAYLOAD_SHIFT, retry_tick(row, now_ns)) << PAYLOAD_SHIFT)
        else:
            change = CHANGE_CLOSED_TO_OPEN if state_of(word) == BREAKER_CLOSED else CHANGE_HALF_OPEN_TO_OPEN
            after = word_opened(row, word, now_ns)
        if cas_weak_acq_rel(&row.word, &word, after):
            break
    add_relaxed_u32(&row.trips_by_hand, 1)
    if change == CHANGE_COOLDOWN_EXTENDED:
        record(t, id, change, REASON_BY_HAND, after, load_relaxed(&t.open_mask), 0, now_ns)
    else:
        changed(t, id, change, REASON_BY_HAND, after, 0, now_ns)
    return OK


cdef inline int reset(breaker_table_t* t, uint32_t id, int64_t now_ns) noexcept nogil:
    """By hand, after the cooldown, into half-open: never past a trial. BREAKER_COOLDOWN before that."""
    cdef breaker_t* row
    if id >= t.count:
        return BREAKER_UNKNOWN_COMPONENT
    row = breaker_row(t, id)
    if half_open_if_due(t, id, REASON_BY_HAND, now_ns):
        add_relaxed_u32(&row.resets_honoured, 1)
        return OK
    if state_of(load_acquire(&row.word)) == BREAKER_IS_OPEN:
        add_relaxed_u32(&row.resets_refused, 1)
        return BREAKER_COOLDOWN
    add_relaxed_u32(&row.resets_needless, 1)
    return OK

"""A walk over the invariants of a table of breakers. Raises AssertionError with what is broken."""
from libc.stdint cimport uint32_t, uint64_t

from engine._core.breaker cimport (
    BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_IS_OPEN, PAYLOAD_SHIFT, breaker_row, breaker_t, breaker_table_t,
)
from engine._core.breaker_word cimport EPOCH_MASK, epoch_of, granted_of, state_of, succeeded_of, top_bit


cdef inline int check_table(const breaker_table_t* t) except -1:
    cdef breaker_t* row
    cdef uint64_t mask = 0, payload
    cdef uint32_t id, other
    for id in range(t.count):
        row = breaker_row(t, id)
        payload = row.word >> PAYLOAD_SHIFT
        assert state_of(row.word) <= BREAKER_HALF_OPEN, "no such state"
        assert (row.transitions[0] + row.transitions[1] + row.transitions[2] + row.transitions[3]
                ) & EPOCH_MASK == epoch_of(row.word), "epoch and transitions disagree"
        assert row.transitions[1] >= row.transitions[2] + row.transitions[3], "left half-open more than entered"
        if state_of(row.word) == BREAKER_CLOSED:
            assert payload and top_bit(payload) <= row.window, "marker outside the window"
        elif state_of(row.word) == BREAKER_IS_OPEN:
            mask |= <uint64_t>1 << id
        else:
            assert succeeded_of(row.word) <= granted_of(row.word) <= row.tokens, "more trials than tokens"
            assert succeeded_of(row.word) < row.successes_to_close, "enough successes and not closed"
        assert not row.depends_mask >> id & 1, "depends on itself"
        for other in range(t.count):
            if row.depends_mask >> other & 1:
                assert breaker_row(t, other).dependents_mask >> id & 1, "masks are not each other's inverse"
                assert breaker_row(t, other).depends_mask & ~row.depends_mask == 0, "closure is not closed"
    assert mask == t.open_mask, "open mask and words disagree"
    assert t.event_tail <= t.event_head <= t.event_tail + t.event_capacity, "event cursors"
    return 0

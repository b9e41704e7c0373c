"""What is true of a bracket now: which legs live, whether the stop covers what is held, the sign the table is asked by.

Owns: nothing; it only looks. Quantities and leg states decide, never the event that led here.
"""
from libc.stdint cimport int64_t

from engine._core.bracket_table cimport (
    PHASE_OVER, PHASE_STUCK, SIGN_BARE, SIGN_BLOCKED, SIGN_COVERED, SIGN_FLAT, SIGN_IDLE, SIGN_LINGER, SIGN_OVER,
)
from engine._core.brackets cimport (
    BRACKET_RECALLED, LEG_COUNT, LEG_ENTRY, LEG_STOP, LEG_TARGET, LEG_UNWIND, PHASE_BARE, PHASE_UNWINDING,
    SIGN_GIVE_UP, bracket_held_lots, bracket_t, brackets_t, leg_of, leg_t,
)
from engine._core.orders cimport STATE_OPEN, STATE_PARTIAL, STATE_PENDING_REPLACE, state_is_live


cdef inline bint lives(const leg_t* leg) noexcept nogil:
    return state_is_live(leg.state)


cdef inline bint settled(const leg_t* leg) noexcept nogil:
    """Nothing of ours is in flight for it and its fate is known."""
    return leg.state == STATE_OPEN or leg.state == STATE_PARTIAL


cdef inline int64_t open_of(const leg_t* leg) noexcept nogil:
    return leg.qty_lots - leg.filled_lots


cdef inline bint covers(const leg_t* stop, int64_t held) noexcept nogil:
    """The venue has confirmed a stop for all that is held; an amend in flight counts with the smaller quantity."""
    cdef int64_t least = stop.qty_lots
    if stop.state == STATE_PENDING_REPLACE and stop.qty_new_lots < least:
        least = stop.qty_new_lots
    return (settled(stop) or stop.state == STATE_PENDING_REPLACE) and least - stop.filled_lots >= held


cdef inline int sign_of(const brackets_t* t, const bracket_t* b) noexcept nogil:
    """What is true now. Quantities and leg states decide, not the event that led here."""
    cdef int64_t held = bracket_held_lots(b)
    cdef const leg_t* entry = leg_of(b, LEG_ENTRY)
    cdef const leg_t* stop = leg_of(b, LEG_STOP)
    cdef const leg_t* unwind = leg_of(b, LEG_UNWIND)
    cdef bint children = lives(stop) or lives(leg_of(b, LEG_TARGET)) or lives(unwind)
    cdef bint spent = not lives(unwind) and unwind.places >= t.config.unwinds_max
    cdef int i
    if held == 0 and not children and not lives(entry) and b.owed_lots == 0:
        return SIGN_FLAT
    if held > 0 and covers(stop, held) and not (b.phase == PHASE_STUCK and lives(unwind)):
        return SIGN_COVERED
    if b.phase == PHASE_STUCK:
        # Out of it by evidence alone: every living leg settled, and an attempt left if one is needed.
        for i in range(<int>LEG_COUNT):
            if lives(&b.legs[i]) and not settled(&b.legs[i]):
                return SIGN_BLOCKED
        if held != 0 and spent:
            return SIGN_BLOCKED
    if held < 0:
        return SIGN_GIVE_UP if b.phase == PHASE_OVER and spent else SIGN_OVER
    if held > 0:
        if b.phase == PHASE_UNWINDING and spent:
            return SIGN_GIVE_UP
        if b.phase == PHASE_BARE and not lives(stop) and stop.places >= t.config.places_max:
            return SIGN_GIVE_UP
        return SIGN_BARE
    return SIGN_IDLE if lives(entry) and not b.flags & BRACKET_RECALLED else SIGN_LINGER

"""What a bracket can stand in and what it can find when it looks: the phases, the signs and the one table.

Level-triggered: a sign is not something that happened but what is true now, worked out from quantities and leg states
after every event. So a lost or doubled event costs time, never correctness.
"""
from libc.stdint cimport uint8_t


cpdef enum bracket_phase_t:
    PHASE_FREE = 0
    PHASE_WAITING = 1             # the entry works, nothing is held
    PHASE_BARE = 2                # something is held and the stop does not cover all of it yet
    PHASE_COVERED = 3             # a live stop covers what is held
    PHASE_UNWINDING = 4           # closing at market: by time, by wish, or because no stop could be placed
    PHASE_OVER = 5                # both legs filled: more was sold than was held; the overshoot is bought back
    PHASE_CLOSING = 6             # nothing held, what still lives is being cancelled
    PHASE_STUCK = 7               # attempts used up or a leg's fate unknown for too long: an alarm until evidence comes
    PHASE_CLOSED = 8              # nothing held, nothing live
    PHASE_COUNT = 9


cpdef enum bracket_sign_t:
    SIGN_IDLE = 0                 # nothing held, the entry lives and is wanted
    SIGN_BARE = 1                 # held > 0, not covered
    SIGN_COVERED = 2              # held > 0, covered
    SIGN_OVER = 3                 # held < 0
    SIGN_LINGER = 4               # nothing held, something lives that is not wanted
    SIGN_FLAT = 5                 # nothing held, nothing live
    SIGN_LATE = 6                 # the phase's deadline has passed
    SIGN_GIVE_UP = 7              # what the phase needs can not be had any more
    SIGN_BLOCKED = 8              # stuck: something is to be done, but a leg is unsettled or no attempt is left
    SIGN_FLATTEN = 9              # somebody wants out
    SIGN_COUNT = 10


cdef uint8_t BRACKET_NEXT[PHASE_COUNT][SIGN_COUNT]     # PHASE_FREE means illegal


cdef inline int bracket_next(int phase, int sign) noexcept nogil:
    return BRACKET_NEXT[phase][sign]

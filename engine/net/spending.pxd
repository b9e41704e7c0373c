"""What of a venue's limits is used, compiled: the half of the rate budget that every order passes.

Owns: one window a limit (its number, what is used in it, what was sent shortly before it began), the lanes' shares of
it, and until when nothing may be asked. Does not own: why a request is denied and for how long, back-off and bans, what
the venue says (engine/net/budget.py, which inherits from `Spender`). Invariant: `spend` either takes from every window
or from none; where it says no, nothing is decided yet: the budget asks again and finds the reason.
Cost: some 0.1 us for two windows, from compiled code.
"""
from libc.stdint cimport int64_t

cdef enum:
    LANES = 3


cdef struct spent_t:              # what was sent at one time
    int64_t at_ns
    int64_t count


cdef class Window:
    cdef public object limit
    cdef public int64_t number
    cdef public int64_t used
    cdef spent_t* recent          # what lies inside the guard, oldest first, from `first` on
    cdef Py_ssize_t first
    cdef Py_ssize_t count_recent
    cdef Py_ssize_t room
    cdef int64_t interval_ns
    cdef int64_t shares[3]        # by lane
    cdef int kind
    cdef void _roll(self, int64_t now_ns, int64_t guard_ns)
    cdef int _make_room(self) except -1
    cdef int _spend(self, int64_t count, int64_t now_ns) except -1


cdef class Spender:
    cdef public list windows
    cdef public int64_t banned_until_ns
    cdef public int64_t back_off_until_ns
    cdef public int64_t orders_until_ns
    cdef public int64_t guard_ns
    cdef bint take_whole(self, int lane, int64_t now_ns, int64_t weight, int64_t orders) except -1

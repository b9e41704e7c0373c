"""The time word as the machine may leave it: a system clock that was set back, a CPU without an invariant counter."""
from libc.stdint cimport int64_t

from engine._core.clock cimport Clock


def rule(Clock clock not None, *, bint invariant, int64_t ahead_ns):
    """Put the word `ahead_ns` before its clock, and say whether it may use the counter."""
    clock.c.counter_invariant = invariant
    clock.c.now_ns += ahead_ns

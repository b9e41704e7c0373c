cimport cython
from libc.stdint cimport int64_t

from collections import deque

cdef enum:
    KIND_WEIGHT = 0
    KIND_ORDERS = 1
    LANE_NEW = 2


@cython.final
cdef class Window:
    """One limit's window, aligned to the wall clock as the venue's is. `shares` is what each lane may fill of it."""

    def __cinit__(self, limit, shares):
        self.number = -1
        self.recent = deque()
        self.resize(limit, shares)

    def resize(self, limit, shares):
        """The limit as the venue states it now. What is used stays used."""
        if len(shares) != LANES:
            raise ValueError(f"{len(shares)} shares for {LANES} lanes")
        self.limit = limit
        self.kind = limit.kind
        self.interval_ns = limit.interval_ns
        for lane in range(LANES):
            self.shares[lane] = shares[lane]

    cdef void _roll(self, int64_t now_ns, int64_t guard_ns):
        cdef int64_t number = now_ns // self.interval_ns
        while self.recent:
            at, _ = self.recent[0]
            if <int64_t>at > now_ns - guard_ns:
                break
            self.recent.popleft()
        # Time that runs backwards (a corrected offset) opens no new window.
        if number > self.number:
            self.number = number
            self.used = sum([count for _, count in self.recent])

    cdef void _spend(self, int64_t count, int64_t now_ns):
        if count == 0:
            return
        self.used += count
        if self.recent:
            at, before = self.recent.pop()
            if <int64_t>at == now_ns:
                count += <int64_t>before
            else:
                self.recent.append((at, before))
        self.recent.append((now_ns, count))

    def roll(self, int64_t now_ns, int64_t guard_ns):
        """Open the window that `now_ns` lies in. What was sent inside the guard before it counts in it too."""
        self._roll(now_ns, guard_ns)

    def share(self, int lane):
        return self.shares[lane]

    def count(self, int64_t weight, int64_t orders):
        """What a request takes of this limit."""
        return weight if self.kind == KIND_WEIGHT else orders if self.kind == KIND_ORDERS else 1

    def spend(self, int64_t count, int64_t now_ns):
        self._spend(count, now_ns)

    def ends_ns(self):
        return (self.number + 1) * self.interval_ns


cdef class Spender:
    """Every window of one venue. `take` is the whole of the common case: it may, and it is taken."""

    def __init__(self, list windows, dict sent_count, int64_t guard_ns):
        self.windows, self.sent_count, self.guard_ns = windows, sent_count, guard_ns

    cdef bint take_whole(self, int lane, int64_t now_ns, int64_t weight, int64_t orders):
        cdef Window w
        cdef int64_t count
        if now_ns < self.banned_until_ns or now_ns < self.back_off_until_ns:
            return False
        if lane == LANE_NEW and orders and now_ns < self.orders_until_ns:
            return False
        for w in self.windows:
            w._roll(now_ns, self.guard_ns)
            count = weight if w.kind == KIND_WEIGHT else orders if w.kind == KIND_ORDERS else 1
            if count and w.used + count > w.shares[lane]:
                return False
        for w in self.windows:
            w._spend(weight if w.kind == KIND_WEIGHT else orders if w.kind == KIND_ORDERS else 1, now_ns)
        self.sent_count[lane] += 1
        return True

    def spend(self, int lane, int64_t now_ns, *, int64_t weight=1, int64_t orders=0):
        """Take it of every window, or of none and say so."""
        return self.take_whole(lane, now_ns, weight, orders)

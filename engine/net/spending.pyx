cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int64_t
from libc.string cimport memmove

cdef enum:
    KIND_WEIGHT = 0
    KIND_ORDERS = 1
    LANE_NEW = 2


@cython.final
cdef class Window:
    """One limit's window, aligned to the wall clock as the venue's is. `shares` is what each lane may fill of it."""

    def __cinit__(self, limit, shares):
        self.number = -1
        self.room = 64
        self.recent = <spent_t*>PyMem_Malloc(self.room * sizeof(spent_t))
        if self.recent == NULL:
            raise MemoryError
        self.resize(limit, shares)

    def __dealloc__(self):
        PyMem_Free(self.recent)

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
        cdef Py_ssize_t i
        while self.count_recent and self.recent[self.first].at_ns <= now_ns - guard_ns:
            self.first += 1
            self.count_recent -= 1
        # Time that runs backwards (a corrected offset) opens no new window.
        if number > self.number:
            self.number = number
            self.used = 0
            for i in range(self.count_recent):
                self.used += self.recent[self.first + i].count

    cdef int _spend(self, int64_t count, int64_t now_ns) except -1:
        cdef spent_t* last
        if count == 0:
            return 0
        self.used += count
        if self.count_recent:
            last = &self.recent[self.first + self.count_recent - 1]
            if last.at_ns == now_ns:
                last.count += count
                return 0
        if self.first + self.count_recent == self.room:
            self._make_room()
        self.recent[self.first + self.count_recent] = spent_t(now_ns, count)
        self.count_recent += 1
        return 0

    cdef int _make_room(self) except -1:
        """What lies before `first` is free; where that is little, twice the room. It holds one second's requests."""
        cdef spent_t* larger
        if self.first > self.room // 2:
            memmove(self.recent, &self.recent[self.first], self.count_recent * sizeof(spent_t))
            self.first = 0
            return 0
        larger = <spent_t*>PyMem_Realloc(self.recent, 2 * self.room * sizeof(spent_t))
        if larger == NULL:
            raise MemoryError
        self.recent, self.room = larger, 2 * self.room
        return 0

    @property
    def recent_count(self):
        """What was sent inside the guard."""
        cdef int64_t total = 0
        cdef Py_ssize_t i
        for i in range(self.count_recent):
            total += self.recent[self.first + i].count
        return total

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

    def __init__(self, list windows, int64_t guard_ns):
        self.windows, self.guard_ns = windows, guard_ns

    cdef bint take_whole(self, int lane, int64_t now_ns, int64_t weight, int64_t orders) except -1:
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
        return True

    def spend(self, int lane, int64_t now_ns, *, int64_t weight=1, int64_t orders=0):
        """Take it of every window, or of none and say so."""
        return self.take_whole(lane, now_ns, weight, orders)

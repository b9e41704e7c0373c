from libc.stdint cimport uint64_t, uintptr_t

from engine._core.atomics cimport load_acquire, load_relaxed, store_relaxed, store_release
from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(pulse_t) == 64)


cdef class Pulse:
    """The words and the names behind the marks."""

    def __cinit__(self):
        self.c = <pulse_t*>block_new(sizeof(pulse_t))
        self._names = ["the loop"]

    def __dealloc__(self):
        block_free(self.c)

    def arm(self):
        """From now on a stall counts."""
        store_release(&self.c.armed, 1)

    def disarm(self):
        store_release(&self.c.armed, 0)

    @property
    def armed(self):
        return load_acquire(&self.c.armed) == 1

    def beat(self):
        """The loop's own timer: call it from the loop, never from a thread beside it."""
        pulse_beat(self.c)

    def step(self, uint64_t count=1):
        """The core took so many events."""
        pulse_step(self.c, count)

    def waiting(self, uint64_t count):
        """So many events wait for the core."""
        store_relaxed(&self.c.backlog, count)

    def name(self, str text):
        """The mark of a callback or a strategy, given once at start."""
        self._names.append(text)
        return len(self._names) - 1

    def mark(self, uint64_t code):
        """This part runs now; 0 gives control back to the loop."""
        pulse_mark(self.c, code)

    @property
    def running(self):
        """The name of what runs now."""
        cdef uint64_t code = load_acquire(&self.c.mark)
        return self._names[code] if code < <uint64_t>len(self._names) else f"mark {code}"

    @property
    def beats(self):
        return load_relaxed(&self.c.beats)

    @property
    def sequence(self):
        return load_relaxed(&self.c.sequence)

    @property
    def backlog(self):
        return load_relaxed(&self.c.backlog)

    @property
    def address(self):
        return <uintptr_t>self.c

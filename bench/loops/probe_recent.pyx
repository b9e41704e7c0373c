"""The bounded memory as kernels use it, entry by entry, for its test: it has no Python face of its own."""
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from engine._core.recent cimport (
    probe_drop, recent_bytes, recent_check, recent_entry_t, recent_find, recent_index, recent_init, recent_put, recent_t)


@cython.final
cdef class Recent:
    cdef recent_t* c

    def __cinit__(self, uint64_t capacity, int64_t keep_ns):
        self.c = <recent_t*>calloc(1, recent_bytes(capacity))
        if self.c == NULL:
            raise MemoryError
        recent_init(self.c, capacity, keep_ns)

    def __dealloc__(self):
        free(self.c)

    def put(self, uint64_t a, uint32_t b, int64_t now_ns, uint64_t value):
        """Remember, and give the entry a value if it is new; returns the value that stands there."""
        cdef recent_entry_t* entry = recent_put(self.c, a, b, now_ns)
        if entry.value == 0:
            entry.value = value
        return entry.value

    def find(self, uint64_t a, uint32_t b, int64_t now_ns):
        """The value of a key that is not too old, or None."""
        cdef recent_entry_t* entry = recent_find(self.c, a, b, now_ns)
        return None if entry == NULL else entry.value

    def drop_from_index(self, uint64_t a, uint32_t b):
        """Take a key out of the index alone, as only a defect would."""
        probe_drop(recent_index(self.c), self.c.index_mask, a, b)

    @property
    def count(self):
        return self.c.count

    @count.setter
    def count(self, uint64_t count):
        self.c.count = count

    @property
    def early_count(self):
        return self.c.early_count

    def check(self):
        return bool(recent_check(self.c))

cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memcpy

import numpy as np

from engine._core.features cimport FEATURES_OK, Features, features_bar, features_prefetch, features_t
from engine._core.memory cimport Arena


cdef inline features_t* _stream(char* base, size_t stride, int64_t i) noexcept nogil:
    return <features_t*>(base + stride * <size_t>i)


cdef int64_t panel_close(char* base, size_t stride, int64_t count, const double* rows, int level) noexcept nogil:
    cdef int64_t i, refused = 0
    cdef const double* r = rows
    if count > 0:
        features_prefetch(_stream(base, stride, 0))
    for i in range(count):
        if i + 1 < count:
            features_prefetch(_stream(base, stride, i + 1))
        if features_bar(_stream(base, stride, i), r[0], r[1], r[2], r[3], r[4], 0.0, level) != FEATURES_OK:
            refused += 1
        r += 5
    return refused


@cython.final
cdef class Panel:
    """`count` streams of the same families and windows."""

    def __cinit__(self, int64_t count, object families=None, *, object windows=(5, 10, 14, 20, 30, 50, 100, 200),
                  object isa=None):
        cdef int64_t i
        if not 1 <= count <= 100_000:
            raise ValueError(f"{count} streams; 1 to 100000")
        self.shape = Features(families, windows=windows, isa=isa)
        self.count = count
        # Whole lines and an odd number of them: streams must not all fall into the same sets of the cache.
        self.stride = (self.shape.c.bytes + 63) // 64 * 64
        self.stride += 64 if self.stride // 64 % 2 == 0 else 0
        self.arena = Arena(self.stride * <size_t>count, lock=False)
        self.base = <char*>self.arena.carve_c(self.stride * <size_t>count, 64)
        for i in range(count):
            memcpy(_stream(self.base, self.stride, i), self.shape.c, self.shape.c.bytes)

    def close(self, const double[:, ::1] rows):
        """One bar for each stream: rows of open, high, low, close, volume. How many were no bars and refused."""
        cdef int64_t refused
        if rows.shape[0] != self.count or rows.shape[1] != 5:
            raise ValueError(f"the rows have another shape than {(self.count, 5)}")
        with nogil:
            refused = panel_close(self.base, self.stride, self.count, &rows[0, 0], self.shape.level)
        return refused

    def _copy(self, int64_t i):
        if not 0 <= i < self.count:
            raise IndexError(i)
        memcpy(self.shape.c, _stream(self.base, self.stride, i), self.shape.c.bytes)

    def values(self):
        """A copy of all values: streams by families by windows."""
        out = np.empty((self.count, len(self.families), len(self.windows)))
        for i in range(self.count):
            self._copy(i)
            out[i] = self.shape.values()
        return out

    def state(self, int64_t i):
        """The block of one stream as bytes: what `Features.restore` takes."""
        self._copy(i)
        return self.shape.state()

    @property
    def families(self):
        return self.shape.families

    @property
    def windows(self):
        return self.shape.windows

    @property
    def pages(self):
        """In words: what the machine granted."""
        return self.arena.pages

    def check(self):
        """Walk the invariants of every stream."""
        for i in range(self.count):
            self._copy(i)
            self.shape.check()

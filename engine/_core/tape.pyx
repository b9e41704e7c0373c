cimport cython
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

import os

import numpy as np

from engine._core.types import EVENT

from engine._core.atomics cimport store_release
from engine._core.debug cimport static_assert_c
from engine._core.types cimport OK, TAPE_CORRUPT, TAPE_FULL, event_t, raise_status

cdef extern from "sys/mman.h" nogil:
    void* mmap(void* address, size_t size, int protection, int flags, int fd, long offset)
    int munmap(void* address, size_t size)
    const int PROT_READ, PROT_WRITE, MAP_SHARED
    void* MAP_FAILED

cdef uint64_t MAGIC = 0x3145504154344F42         # "BO4TAPE1"
cdef int VERSION = 1


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(tape_header_t) == 64)


cdef int tape_append(tape_t* t, const event_t* records, uint64_t count) noexcept nogil:
    """All of them or none. The page cache has them when this returns."""
    cdef uint64_t at = t.header.count
    if count > t.header.capacity - at:
        t.refused_count += 1
        return TAPE_FULL
    memcpy(&t.records[at], records, count * sizeof(event_t))
    # Publish last: a reader in another process takes `count` as the end of what is whole.
    store_release(&t.header.count, at + count)
    return OK


@cython.final
cdef class Tape:
    """One segment: made with its full size, so that a full disk is found at start and not in a trade."""

    def __cinit__(self, path, *, uint64_t capacity=0, int64_t ts_created_ns=0, bint write=False):
        cdef void* address
        self.path = os.fspath(path)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL if write else os.O_RDONLY, 0o600)
        try:
            if write:
                os.posix_fallocate(fd, 0, sizeof(tape_header_t) + capacity * sizeof(event_t))
            self.mapped_size = os.fstat(fd).st_size
            if self.mapped_size < sizeof(tape_header_t):
                raise_status(TAPE_CORRUPT, f"{self.path}: {self.mapped_size} bytes")
            address = mmap(NULL, self.mapped_size, PROT_READ | PROT_WRITE if write else PROT_READ, MAP_SHARED, fd, 0)
            if address == MAP_FAILED:
                self.c.header = NULL
                raise OSError(errno, os.strerror(errno), self.path)
        finally:
            os.close(fd)
        self.c.header = <tape_header_t*>address
        self.c.records = <event_t*>(self.c.header + 1)
        if write:
            self.c.header.magic = MAGIC
            self.c.header.version = VERSION
            self.c.header.record_size = sizeof(event_t)
            self.c.header.capacity = capacity
            self.c.header.ts_created_ns = ts_created_ns
        elif (self.c.header.magic != MAGIC or self.c.header.version != <uint64_t>VERSION
              or self.c.header.record_size != sizeof(event_t)
              or self.c.header.count > (self.mapped_size - sizeof(tape_header_t)) // sizeof(event_t)):
            raise_status(TAPE_CORRUPT, f"{self.path}: not a tape of this version")

    def __dealloc__(self):
        if self.c.header != NULL:
            munmap(self.c.header, self.mapped_size)

    def append(self, records):
        """Append EVENT records."""
        cdef const unsigned char[::1] view = memoryview(np.ascontiguousarray(records)).cast("B")
        if tape_append(&self.c, <const event_t*>&view[0], view.shape[0] // sizeof(event_t)) != OK:
            raise_status(TAPE_FULL, self.path)

    @property
    def count(self):
        return self.c.header.count

    @property
    def capacity(self):
        return self.c.header.capacity

    def records(self):
        """A copy of everything written, as an EVENT array."""
        if self.c.header.count == 0:
            return np.zeros(0, EVENT)
        return np.array(<event_t[:self.c.header.count]>self.c.records)

"""The tape: a memory-mapped file of 64-byte records, inputs and outputs in the order they happened.

The copy into the page cache happens before an intent is sent, so it survives kill -9; durability against power loss
is the sync thread's job. Owns: the mapping and the write position. The header's `count` is written after the record,
with a release store, so a reader never sees a record that is not whole.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.types cimport event_t


cdef struct tape_header_t:        # one cache line
    uint64_t magic
    uint32_t version
    uint32_t record_size
    uint64_t capacity             # records
    uint64_t count                # records written; the last store of an append
    int64_t ts_created_ns
    uint64_t reserved[3]


cdef struct tape_t:
    tape_header_t* header
    event_t* records
    uint64_t refused_count


cdef int tape_append(tape_t* t, const event_t* records, uint64_t count) noexcept nogil


cdef class Tape:
    cdef tape_t c
    cdef size_t mapped_size
    cdef readonly str path

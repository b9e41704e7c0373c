"""The tape: segments of 64-byte records in blocks of one page, each record summed, each block chained.

Owns: the mapped segments, where the next record goes, what is durable, and one word of health. Does not own: the names
of files, their retention, and the thread that calls `tape_turn`; those are engine/journal's.

    segment   a page of header, then `block_count` blocks
    block     first_record, mark, chain, 59 checks, 59 records: 4,096 bytes, so a block is one page of the disk's cache

A record counts when its check is the CRC-32C of its bytes, carried on from the record before it, over the ends of
blocks and segments too. So the first record that is not whole, not in its place or not of this session ends the tape,
and nothing else has to be trusted: no count is stored while the segment is open. The check is stored after its record,
with release: a reader in another process, or after kill -9, sees whole records only.

Three parties. The appender (the core's thread) copies, sums, and takes the next segment that stands ready; it never
waits, makes no call to the system, and takes 64 bytes to the page cache in some 15 ns. The journal's thread calls
`tape_turn`: chains the blocks that are full (BLAKE2b-256 over the chain before and the block), touches the pages ahead
so that the appender meets no page fault, writes ranges to the disk and remembers how far that is true. Its marks stand
in the blocks: everything before a mark was on the disk when the mark was written. A new segment is made by
engine/journal and offered; a full one is closed and taken away.

Invariants: one appender, one thread of turns; `durable <= count`; the appender never touches a segment it has left.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from engine._core.types cimport event_t


cpdef enum tape_mode_t:
    TAPE_SYNC_OFF = 0             # the kernel writes when it likes: what was sent may be lost with the power
    TAPE_SYNC_GROUP = 1           # the journal's thread writes every few milliseconds
    TAPE_SYNC_EACH = 2            # `tape_commit` writes before anything is sent


cpdef enum tape_health_t:         # bits; what the loop and the core read
    HEALTH_DISK_LOW = 1           # free space below its limit: no new orders
    HEALTH_CAP = 2                # the journal's own share of the disk is nearly used: no new orders
    HEALTH_SYNC_FAILED = 4        # the disk refused; sticky, because the pages may be gone from the cache
    HEALTH_NO_SEGMENT = 8         # the next segment could not be made
    HEALTH_REFUSED = 16           # an append found no room: sticky


cdef enum:
    BLOCK_SIZE = 4096
    BLOCK_RECORDS = 59


cdef struct segment_header_t:     # the first 256 bytes of the header's page
    # line 0 and 1: written when it is made
    uint64_t magic
    uint32_t version
    uint32_t record_size
    uint32_t block_size
    uint32_t block_records
    uint64_t number               # in its session, from 0
    uint64_t block_count          # room
    uint64_t epoch
    int64_t ts_created_ns
    uint32_t klass                # retention class
    uint32_t reserved_0
    uint8_t session[16]
    uint8_t boot[16]              # which start of the machine: tells a crash of the process from a loss of power
    uint32_t reserved_1[7]
    uint32_t crc                  # of the 124 bytes above; part of every check
    # line 2: written when the appender enters it
    uint64_t first_record         # its number in the session
    uint32_t check_before         # of the record before it
    uint32_t opened_crc
    uint8_t chain_before[32]      # by the journal's thread, before it chains a block here
    uint64_t reserved_2[2]
    # line 3: written when it is closed
    uint64_t record_count
    int64_t ts_last_ns
    uint8_t chain[32]
    uint32_t check
    uint32_t closed_crc           # 0 while open
    uint64_t reserved_3


cdef struct tape_block_t:
    uint64_t first_record
    uint64_t mark                 # durable count << 24 | its sum; only the journal's thread and `tape_commit` write it
    uint8_t chain[32]             # by the journal's thread, when the block is full
    uint32_t reserved[9]
    uint32_t check[59]
    event_t records[59]


cdef struct segment_t:            # one mapped segment; stands still while anybody may hold its address
    segment_header_t* header
    tape_block_t* blocks
    uint64_t capacity             # records
    uint64_t first_record
    uint64_t record_count         # written when the appender leaves it
    uint64_t mapped_size


cdef struct tape_t:
    # line 0: the appender's own
    tape_block_t* block
    uint32_t slot                 # of the next record in it
    uint32_t check                # of the last record
    uint64_t room                 # records left in the current segment
    uint32_t seed                 # header's sum of the current segment
    uint32_t by_instruction
    uint64_t refused_count
    uint64_t own_count
    uint64_t each_page            # first page of the current segment that `tape_commit` has not written
    uint64_t mode
    # line 1: published by the appender
    uint64_t count                # records since the session's start: the last store of an append
    segment_t* current
    segment_t* retired            # full, or left; the journal's thread closes it
    uint64_t reserved_1[5]
    # line 2: published by the journal's thread
    segment_t* next               # ready to be entered
    uint64_t rotate               # 1: leave the current segment at the next append
    uint64_t health
    uint64_t durable              # records known to be on the disk
    uint64_t stop                 # 1: `run` returns
    uint64_t reserved_2[3]
    # line 3: the journal's thread alone
    segment_t* turning
    uint64_t chained              # blocks of `turning`
    uint64_t touched
    uint64_t synced               # records of `turning`
    uint64_t sync_count
    uint8_t chain[32]             # of the last block chained
    uint64_t reserved_3[7]


cdef struct tape_scan_t:
    uint64_t count                # good records from the start
    uint64_t mark                 # the highest valid mark, as a number of the session
    uint64_t chained              # blocks whose chain is right
    uint64_t first_record
    int64_t ts_first_ns
    int64_t ts_last_ns
    uint32_t check
    int32_t status                # OK, TAPE_TORN, TAPE_CORRUPT, TAPE_CHAIN
    uint32_t dirty                # something stands behind the last good record
    uint32_t resumes              # and it is a record that follows a record: a hole, not an end
    uint8_t chain[32]


cdef int tape_append(tape_t* t, const event_t* records, uint64_t count) noexcept nogil
cdef int tape_commit(tape_t* t) noexcept nogil
cdef int tape_turn(tape_t* t, bint sync) noexcept nogil
cdef void segment_scan(const unsigned char* base, uint64_t size, bint chain, tape_scan_t* out) noexcept nogil


cdef class Segment:
    cdef segment_t c
    cdef readonly str path


cdef class Tape:
    cdef tape_t c
    cdef readonly str path
    cdef list segments            # what the addresses in `c` point into
    cdef bint writing
    cdef object view

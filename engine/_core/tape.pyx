cimport cython
from libc.errno cimport errno
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

import os
from collections import namedtuple

import numpy as np

from engine._core.types import EVENT

from engine._core.atomics cimport (
    and_acq_rel, load_acquire, load_relaxed, or_acq_rel, store_relaxed, store_release, store_release_u32,
)
from engine._core.checksum cimport (
    blake2b_add, blake2b_begin, blake2b_end, blake2b_t, crc32c_by_instruction, crc32c_raw, crc32c_word_by_table,
)
from engine._core.debug cimport likely, static_assert_c, unlikely
from engine._core.types cimport (
    OK, TAPE_CHAIN, TAPE_CLOSED, TAPE_CORRUPT, TAPE_FULL, TAPE_TORN, event_t, raise_status,
)

Mode = tape_mode_t
Health = tape_health_t

cdef extern from "sys/mman.h" nogil:
    void* mmap(void* address, size_t size, int protection, int flags, int fd, long offset)
    int munmap(void* address, size_t size)
    int msync(void* address, size_t size, int flags)
    const int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MS_SYNC, MADV_HUGEPAGE
    int madvise(void* address, size_t size, int advice)
    void* MAP_FAILED

cdef extern from "time.h" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int nanosleep(const timespec* wanted, timespec* left)

cdef extern from * nogil:
    """
    /* Pointers as words that two threads exchange. */
    #define bot4_load_segment(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define bot4_store_segment(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

    /* Copy and sum one run of records inside a block. Each check is stored after its record, with release: whoever
       finds the check finds the record. The eight words pass through registers once for both purposes. */
    #define BOT4_RUN(TARGET, NAME, WORD) \\
    TARGET static uint32_t NAME(char* out, uint32_t* checks, const char* in, uint64_t count, uint32_t check) { \\
        for (uint64_t i = 0; i < count; i++, in += 64, out += 64) { \\
            uint64_t w[8], c = check; \\
            memcpy(w, in, 64); \\
            for (int k = 0; k < 8; k++) c = WORD(c, w[k]); \\
            memcpy(out, w, 64); \\
            check = (uint32_t)c; \\
            __atomic_store_n(&checks[i], check, __ATOMIC_RELEASE); \\
        } \\
        return check; \\
    }
    #define BOT4_SUM(TARGET, NAME, WORD) \\
    TARGET static uint32_t NAME(const char* in, uint32_t check) { \\
        uint64_t w[8], c = check; \\
        memcpy(w, in, 64); \\
        for (int k = 0; k < 8; k++) c = WORD(c, w[k]); \\
        return (uint32_t)c; \\
    }
    #ifdef BOT4_CRC_TARGET
    BOT4_RUN(BOT4_CRC_TARGET, bot4_run_instruction, BOT4_CRC_WORD)
    BOT4_SUM(BOT4_CRC_TARGET, bot4_sum_instruction, BOT4_CRC_WORD)
    #else
    #define bot4_run_instruction(o, k, i, n, c) (c)
    #define bot4_sum_instruction(i, c) (c)
    #endif
    """
    segment_t* load_segment "bot4_load_segment"(segment_t** p) noexcept
    void store_segment "bot4_store_segment"(segment_t** p, segment_t* v) noexcept
    uint32_t bot4_run_instruction(char* out, uint32_t* checks, const char* records, uint64_t count,
                                  uint32_t check) noexcept
    uint32_t bot4_sum_instruction(const char* record, uint32_t check) noexcept

cdef enum:
    VERSION = 2
    TOUCH_AHEAD = 256             # pages: one megabyte, more than a millisecond of appends at full speed

cdef uint64_t MAGIC = 0x3245504154344F42         # "BO4TAPE2"
cdef uint32_t MARK_SEED = 0x4D41524B


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(segment_header_t) == 256)
    static_assert_c(sizeof(tape_block_t) == BLOCK_SIZE)
    static_assert_c(sizeof(tape_t) == 320)
    static_assert_c(sizeof(event_t) == 64)


# -------------------------------------------------------------------------------------------------------------- sums
cdef inline uint32_t _sum(const event_t* record, uint32_t check, bint by_instruction) noexcept nogil:
    cdef const uint64_t* words = <const uint64_t*>record
    cdef int i
    if by_instruction:
        return bot4_sum_instruction(<const char*>record, check)
    for i in range(8):
        check = crc32c_word_by_table(check, words[i])
    return check


cdef inline uint32_t _seed(uint32_t header_crc, uint32_t check, uint64_t first_record) noexcept nogil:
    """Where a block's sums begin: at the record before it, at its own place, in its own segment."""
    return crc32c_word_by_table(check, first_record) ^ header_crc


cdef inline uint64_t _mark_pack(uint64_t count) noexcept nogil:
    return count << 24 | (crc32c_word_by_table(MARK_SEED, count) & 0xFFFFFF)


cdef inline uint64_t _mark_read(uint64_t mark) noexcept nogil:
    """The count, or 0 of a mark that nobody wrote."""
    return mark >> 24 if _mark_pack(mark >> 24) == mark else 0


cdef inline uint32_t _opened_crc(const segment_header_t* h) noexcept nogil:
    return crc32c_raw(h.crc, &h.first_record, 12)


cdef inline uint32_t _closed_crc(const segment_header_t* h) noexcept nogil:
    # The lowest bit says "closed" whatever the sum: zero means open.
    return crc32c_raw(h.crc, &h.record_count, 52) | 1


cdef void _chain(const tape_block_t* b, const uint8_t* before, uint8_t* out) noexcept nogil:
    cdef blake2b_t h
    blake2b_begin(&h)
    blake2b_add(&h, before, 32)
    blake2b_add(&h, &b.first_record, 8)
    blake2b_add(&h, b.check, BLOCK_SIZE - 84)
    blake2b_end(&h, out)


# ------------------------------------------------------------------------------------------------- the appender's side
cdef void _enter(tape_t* t, segment_t* s) noexcept nogil:
    """Make a segment the current one. Its header's second half is the only thing written outside the blocks."""
    s.first_record = t.own_count
    s.header.first_record = t.own_count
    s.header.check_before = t.check
    s.header.opened_crc = _opened_crc(s.header)
    t.seed = s.header.crc
    t.block = s.blocks
    t.slot = 0
    t.room = s.capacity
    t.each_page = 0
    t.block.first_record = t.own_count
    t.check = _seed(t.seed, t.check, t.own_count)
    # Release: whoever sees it as the current one sees where it begins.
    store_segment(&t.current, s)


cdef int _rotate(tape_t* t, segment_t* s) noexcept nogil:
    cdef segment_t* old = t.current
    old.record_count = old.capacity - t.room
    if t.mode == TAPE_SYNC_EACH:
        _write_range(t, old, t.each_page, old.record_count)
    _enter(t, s)
    store_segment(&t.next, NULL)
    store_relaxed(&t.rotate, 0)
    # Last: only now may the journal's thread close the old one; this thread does not look at it again.
    store_segment(&t.retired, old)
    return OK


cdef int tape_append(tape_t* t, const event_t* records, uint64_t count) noexcept nogil:
    """All of them or none. The page cache has them when this returns."""
    cdef uint64_t left = count, n
    cdef segment_t* s
    if unlikely(t.block == NULL):
        return TAPE_CLOSED
    if unlikely(load_relaxed(&t.rotate)) and t.room < t.current.capacity:
        s = load_segment(&t.next)
        if s != NULL:
            _rotate(t, s)
    if unlikely(count > t.room):
        s = load_segment(&t.next)
        if s == NULL or count > t.room + s.capacity:
            t.refused_count += 1
            or_acq_rel(&t.health, HEALTH_REFUSED)
            return TAPE_FULL
    while left:
        if unlikely(t.slot == BLOCK_RECORDS):
            if unlikely(t.room == 0):
                _rotate(t, load_segment(&t.next))
            else:
                t.block += 1
                t.slot = 0
                t.block.first_record = t.own_count
                t.check = _seed(t.seed, t.check, t.own_count)
        n = BLOCK_RECORDS - t.slot
        n = n if n < left else left
        if likely(t.by_instruction):
            t.check = bot4_run_instruction(<char*>&t.block.records[t.slot], &t.block.check[t.slot],
                                           <const char*>records, n, t.check)
        else:
            _run_by_table(t, records, n)
        t.slot += <uint32_t>n
        t.room -= n
        t.own_count += n
        records += n
        left -= n
    # Publish last: the journal's thread takes `count` as the end of what is whole.
    store_release(&t.count, t.own_count)
    return OK


cdef void _run_by_table(tape_t* t, const event_t* records, uint64_t count) noexcept nogil:
    cdef uint64_t i
    for i in range(count):
        t.check = _sum(&records[i], t.check, False)
        t.block.records[t.slot + i] = records[i]
        store_release_u32(&t.block.check[t.slot + i], t.check)


cdef int _write_range(tape_t* t, segment_t* s, uint64_t page, uint64_t record_count) noexcept nogil:
    """Write the blocks from `page` on that hold records, and the header with the first of them."""
    cdef uint64_t end = (record_count + BLOCK_RECORDS - 1) // BLOCK_RECORDS
    cdef char* start = <char*>(s.blocks + page)
    if end <= page:
        return OK
    if page == 0:
        start = <char*>s.header
    if msync(start, <char*>(s.blocks + end) - start, MS_SYNC) != 0:
        or_acq_rel(&t.health, HEALTH_SYNC_FAILED)
        return TAPE_CLOSED
    return OK


cdef int tape_commit(tape_t* t) noexcept nogil:
    """Called before anything is sent. Under `each` it returns when everything appended is on the disk."""
    cdef uint64_t used
    if likely(t.mode != TAPE_SYNC_EACH) or t.block == NULL:
        return OK
    used = t.current.capacity - t.room
    if used:
        t.block.mark = _mark_pack(load_relaxed(&t.durable))
    if _write_range(t, t.current, t.each_page, used) != OK:
        return TAPE_CLOSED
    t.each_page = used // BLOCK_RECORDS
    store_release(&t.durable, t.own_count)
    return OK


# ------------------------------------------------------------------------------------------ the journal thread's side
cdef int tape_turn(tape_t* t, bint sync) noexcept nogil:
    """Chain, touch, write. Returns 1 when a segment waits to be taken away, -1 when the disk refused, else 0."""
    cdef segment_t* s = t.turning
    cdef bint finishing
    cdef uint64_t limit, end, page
    cdef tape_block_t* b
    if s == NULL:
        return 0
    finishing = load_segment(&t.retired) == s
    if finishing:
        limit = s.record_count
    else:
        limit = load_acquire(&t.count)
        # The count was read first: if the segment is still current, every record counted lies in it or before it.
        if load_segment(&t.current) != s:
            return 0
        limit -= s.first_record
    end = (limit + BLOCK_RECORDS - 1) // BLOCK_RECORDS if finishing else limit // BLOCK_RECORDS
    while t.chained < end:
        b = &s.blocks[t.chained]
        _chain(b, t.chain, b.chain)
        memcpy(t.chain, b.chain, 32)
        t.chained += 1
    if not finishing:
        # A store of what stands there: the marks are this thread's, so nobody else writes the word. Under `each`
        # they are the appender's, and it takes its page faults in `tape_commit`'s company.
        end = limit // BLOCK_RECORDS + TOUCH_AHEAD
        end = end if end < s.header.block_count else s.header.block_count
        page = limit // BLOCK_RECORDS + 1
        page = page if page > t.touched else t.touched
        if t.mode != TAPE_SYNC_EACH:
            while page < end:
                store_relaxed(&s.blocks[page].mark, 0)
                page += 1
        t.touched = page
    if (finishing or (sync and t.mode == TAPE_SYNC_GROUP)) and limit > t.synced:
        if t.mode != TAPE_SYNC_EACH:
            # What the last turn wrote is certain now, and this turn's page carries the news.
            store_relaxed(&s.blocks[(limit - 1) // BLOCK_RECORDS].mark, _mark_pack(load_relaxed(&t.durable)))
        # The chain of earlier blocks was written after their own pages were: one block further back.
        page = t.synced // BLOCK_RECORDS
        if _write_range(t, s, page - 1 if page else 0, limit) != OK:
            return -1
        t.synced = limit
        t.sync_count += 1
        if t.mode != TAPE_SYNC_EACH:
            store_release(&t.durable, s.first_record + limit)
    if finishing:
        return 1 if _close(t, s) == OK else -1
    return 0


cdef int _close(tape_t* t, segment_t* s) noexcept nogil:
    cdef uint64_t last = s.record_count - 1
    s.header.record_count = s.record_count
    s.header.ts_last_ns = s.blocks[last // BLOCK_RECORDS].records[last % BLOCK_RECORDS].ts_recv_ns
    memcpy(s.header.chain, t.chain, 32)
    s.header.check = s.blocks[last // BLOCK_RECORDS].check[last % BLOCK_RECORDS]
    s.header.closed_crc = _closed_crc(s.header)
    if msync(s.header, BLOCK_SIZE, MS_SYNC) != 0:
        or_acq_rel(&t.health, HEALTH_SYNC_FAILED)
        return TAPE_CLOSED
    return OK


cdef void _turn_to(tape_t* t, segment_t* s) noexcept nogil:
    t.turning = s
    t.chained = 0
    t.touched = 0
    t.synced = 0
    memcpy(s.header.chain_before, t.chain, 32)


# ------------------------------------------------------------------------------------------------------------ reading
cdef bint _any(const unsigned char* at, uint64_t size) noexcept nogil:
    cdef uint64_t i = 0
    while i + 8 <= size:
        if (<const uint64_t*>(at + i))[0]:
            return True
        i += 8
    return False


cdef void _look_behind(const segment_header_t* h, const tape_block_t* blocks, uint64_t block_count, uint64_t stop,
                       bint by_instruction, tape_scan_t* out) noexcept nogil:
    """What stands behind the first record that does not count: nothing, a torn end, or more records."""
    cdef uint64_t b, first = stop // BLOCK_RECORDS
    cdef uint32_t slot, from_slot = <uint32_t>(stop % BLOCK_RECORDS)
    cdef const tape_block_t* block
    for b in range(first, block_count):
        block = &blocks[b]
        for slot in range(from_slot, <uint32_t>BLOCK_RECORDS):
            if block.check[slot] == 0 and not _any(<const unsigned char*>&block.records[slot], 64):
                continue
            out.dirty = 1
            if slot and block.records[slot].kind and block.check[slot] == _sum(&block.records[slot],
                                                                              block.check[slot - 1], by_instruction):
                # It follows the record before it, whatever that one's own fate is: the writer came past here.
                out.resumes = 1
                return
        from_slot = 0


cdef void segment_scan(const unsigned char* base, uint64_t size, bint chain, tape_scan_t* out) noexcept nogil:
    """Walk every record of one segment. `out.count` are good; `out.status` says what ended them."""
    cdef const segment_header_t* h = <const segment_header_t*>base
    cdef const tape_block_t* blocks = <const tape_block_t*>(base + BLOCK_SIZE)
    cdef const tape_block_t* b
    cdef bint by_instruction = crc32c_by_instruction(), ended = False
    cdef uint64_t i, block_count, mark
    cdef uint32_t slot, check, sum
    cdef uint8_t digest[32]
    memset(out, 0, sizeof(tape_scan_t))
    out.status = TAPE_CORRUPT
    if size < BLOCK_SIZE or h.magic != MAGIC or h.version != VERSION or h.record_size != sizeof(event_t):
        return
    if h.block_size != BLOCK_SIZE or h.block_records != BLOCK_RECORDS or crc32c_raw(MARK_SEED, h, 124) != h.crc:
        return
    out.first_record = h.first_record
    memcpy(out.chain, h.chain_before, 32)
    if h.opened_crc != _opened_crc(h):
        # Never entered: made ahead, and empty; or the header is damaged, which its blocks give away.
        out.status = OK if not _any(base + 128, size - 128) else TAPE_CORRUPT
        return
    check = h.check_before
    block_count = (size - BLOCK_SIZE) // BLOCK_SIZE
    block_count = block_count if block_count < h.block_count else h.block_count
    for i in range(block_count):
        b = &blocks[i]
        mark = _mark_read(b.mark)
        out.mark = mark if mark > out.mark else out.mark
        if ended:
            continue              # the marks of blocks that the disk has, though one before them is gone
        if b.first_record != h.first_record + i * BLOCK_RECORDS:
            ended = True
            continue
        sum = _seed(h.crc, check, b.first_record)
        for slot in range(<uint32_t>BLOCK_RECORDS):
            if b.records[slot].kind == 0:
                ended = True
                break
            sum = _sum(&b.records[slot], sum, by_instruction)
            if sum != b.check[slot]:
                ended = True
                break
            if out.count == 0:
                out.ts_first_ns = b.records[slot].ts_recv_ns
            out.ts_last_ns = b.records[slot].ts_recv_ns
            out.count += 1
            check = sum
        if chain and (not ended or slot > 0) and _any(b.chain, 32):
            # A chained block was whole when it was chained.
            _chain(b, out.chain, digest)
            if memcmp(digest, b.chain, 32) != 0:
                if not ended:
                    out.status = TAPE_CHAIN
                    out.count -= BLOCK_RECORDS
                    out.check = check
                    return
            else:
                memcpy(out.chain, digest, 32)
                out.chained += 1
    out.check = check
    out.status = OK
    if ended:
        _look_behind(h, blocks, block_count, out.count, by_instruction, out)
    if h.closed_crc:
        if h.closed_crc != _closed_crc(h) or h.record_count != out.count or h.check != check:
            out.status = TAPE_CORRUPT
        elif chain and memcmp(h.chain, out.chain, 32) != 0:
            out.status = TAPE_CHAIN
    elif out.dirty:
        out.status = TAPE_TORN


HeaderView = namedtuple("HeaderView", "number epoch ts_created_ns klass session boot first_record block_count closed "
                                      "record_count chain_before chain check check_before crc")
ScanView = namedtuple("ScanView", "status good mark chained first_record ts_first_ns ts_last_ns check dirty resumes "
                                  "chain")


def header(const unsigned char[::1] image):
    """The header of a segment's bytes, unchecked: `scan` is what trusts it."""
    cdef const segment_header_t* h
    if image.shape[0] < BLOCK_SIZE:
        raise_status(TAPE_CORRUPT, f"{image.shape[0]} bytes are no segment")
    h = <const segment_header_t*>&image[0]
    return HeaderView(h.number, h.epoch, h.ts_created_ns, h.klass, h.session[:16], h.boot[:16], h.first_record,
                      h.block_count, h.closed_crc != 0, h.record_count, h.chain_before[:32], h.chain[:32], h.check,
                      h.check_before, h.crc)


def scan(const unsigned char[::1] image, *, bint chain=True):
    """Hold every check of a segment's bytes, and its chain; nothing is raised, the status says it."""
    cdef tape_scan_t s
    cdef uint64_t size = image.shape[0]
    with nogil:
        segment_scan(&image[0] if size else NULL, size, chain, &s)
    return ScanView(s.status, s.count, s.mark, s.chained, s.first_record, s.ts_first_ns, s.ts_last_ns, s.check,
                    s.dirty != 0, s.resumes != 0, s.chain[:32])


def records(const unsigned char[::1] image, uint64_t first, uint64_t count):
    """A copy of records of a segment, by their place in it. Whether they are good is `scan`'s to say."""
    cdef const tape_block_t* blocks
    cdef event_t[::1] rows
    cdef uint64_t at = first, n
    if (image.shape[0] // BLOCK_SIZE - 1) * BLOCK_RECORDS < <int64_t>(first + count):
        raise_status(TAPE_CORRUPT, f"records {first} to {first + count} of {image.shape[0]} bytes")
    out = np.zeros(count, EVENT)
    if count == 0:
        return out
    blocks = <const tape_block_t*>(&image[0] + BLOCK_SIZE)
    rows = out
    while at < first + count:
        n = BLOCK_RECORDS - at % BLOCK_RECORDS
        n = n if n < first + count - at else first + count - at
        memcpy(&rows[at - first], &blocks[at // BLOCK_RECORDS].records[at % BLOCK_RECORDS], n * sizeof(event_t))
        at += n
    return out


def first_at(const unsigned char[::1] image, uint64_t count, int64_t ts_ns):
    """The first record, of the `count` good ones, whose time is not before `ts_ns`: a bisection, times never fall."""
    cdef const tape_block_t* blocks = <const tape_block_t*>(&image[0] + BLOCK_SIZE)
    cdef uint64_t low = 0, high = count, at
    while low < high:
        at = (low + high) // 2
        if blocks[at // BLOCK_RECORDS].records[at % BLOCK_RECORDS].ts_recv_ns < ts_ns:
            low = at + 1
        else:
            high = at
    return low


# ------------------------------------------------------------------------------------------------------- Python's face
@cython.final
cdef class Segment:
    """One file made with its full size, so that a full disk is found when it is made and not in a trade."""

    def __cinit__(self, path, *, uint64_t blocks, uint64_t number=0, uint64_t epoch=1, int64_t ts_created_ns=0,
                  uint32_t klass=0, bytes session=bytes(16), bytes boot=bytes(16)):
        cdef void* address
        cdef uint64_t size = (1 + blocks) * BLOCK_SIZE
        cdef segment_header_t* h
        self.path = "memory" if path is None else os.fspath(path)
        if blocks == 0 or len(session) != 16 or len(boot) != 16:
            raise_status(TAPE_CORRUPT, f"{self.path}: a segment of {blocks} blocks")
        address = _map_memory(size) if path is None else _map_file(self.path, size)
        h = self.c.header = <segment_header_t*>address
        self.c.blocks = <tape_block_t*>(<char*>address + BLOCK_SIZE)
        self.c.mapped_size = size
        self.c.capacity = blocks * BLOCK_RECORDS
        h.magic = MAGIC
        h.version = VERSION
        h.record_size = sizeof(event_t)
        h.block_size = BLOCK_SIZE
        h.block_records = BLOCK_RECORDS
        h.number = number
        h.block_count = blocks
        h.epoch = epoch
        h.ts_created_ns = ts_created_ns
        h.klass = klass
        memcpy(h.session, <const char*>session, 16)
        memcpy(h.boot, <const char*>boot, 16)
        h.crc = crc32c_raw(MARK_SEED, h, 124)

    def touch(self, uint64_t pages):
        """Bring the first pages into the page cache, writable. Nobody appends here yet."""
        cdef uint64_t i
        for i in range(min(pages, self.c.header.block_count)):
            store_relaxed(&self.c.blocks[i].mark, 0)

    def sync(self):
        """Write the header, so that the file is a segment on the disk before anything is appended to it."""
        if msync(self.c.header, BLOCK_SIZE, MS_SYNC) != 0:
            raise OSError(errno, os.strerror(errno), self.path)

    def __dealloc__(self):
        if self.c.header != NULL:
            munmap(self.c.header, self.c.mapped_size)


cdef void* _map_file(str path, uint64_t size) except NULL:
    cdef void* address
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError:
            os.unlink(path)
            raise
        address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if address == MAP_FAILED:
            raise OSError(errno, os.strerror(errno), path)
    finally:
        os.close(fd)
    return address


cdef void* _map_memory(uint64_t size) except NULL:
    """Memory that nobody keeps: a run's own tape. Large pages, because nobody touches them ahead of the appender, and
    none reserved, because a run's room is an upper bound."""
    cdef void* address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if address == MAP_FAILED:
        raise OSError(errno, os.strerror(errno))
    madvise(address, size, MADV_HUGEPAGE)
    return address


@cython.final
cdef class Tape:
    """What a driver appends to: the current segment, and the one that stands ready behind it.

    `Tape(path, capacity=n, write=True)` is one segment alone, in memory where the path is None; `Tape(path)` reads one.
    engine/journal/writer.py makes it of many.
    """

    def __cinit__(self, path, *, uint64_t capacity=0, int64_t ts_created_ns=0, bint write=False,
                  Segment segment=None, int mode=TAPE_SYNC_OFF, uint64_t first_record=0, uint32_t check=0,
                  bytes chain=bytes(32)):
        self.path = "memory" if path is None else os.fspath(path)
        self.segments = []
        self.writing = write or segment is not None
        if not self.writing:
            self.view = np.memmap(self.path, np.uint8, "r") if os.path.getsize(self.path) else np.zeros(0, np.uint8)
            found = scan(self.view)
            if found.status not in (OK, TAPE_TORN):
                raise_status(found.status, f"{self.path}: at record {found.good}")
            self.c.count = self.c.own_count = found.good
            return
        if segment is None:
            blocks = (capacity + BLOCK_RECORDS - 1) // BLOCK_RECORDS
            segment = Segment(path, blocks=blocks, ts_created_ns=ts_created_ns)
            segment.c.capacity = capacity
        self.segments.append(segment)
        self.c.by_instruction = crc32c_by_instruction()
        self.c.mode = mode
        self.c.own_count = self.c.count = self.c.durable = first_record
        self.c.check = check
        memcpy(self.c.chain, <const char*>chain, 32)
        _enter(&self.c, &segment.c)
        _turn_to(&self.c, &segment.c)

    def append(self, events):
        """Append EVENT records."""
        cdef const unsigned char[::1] view
        cdef int status
        if not len(events):
            return
        view = memoryview(np.ascontiguousarray(events)).cast("B")
        status = tape_append(&self.c, <const event_t*>&view[0], view.shape[0] // sizeof(event_t))
        if status != OK:
            raise_status(status, self.path)

    def commit(self):
        """Before anything is sent: under `each`, returns when it is on the disk."""
        cdef int status
        with nogil:
            status = tape_commit(&self.c)
        if status != OK:
            raise_status(status, f"{self.path}: the disk refused")

    def turn(self, *, bint sync=True):
        """One turn of the journal's thread. True when a segment waits to be taken away."""
        cdef int answer
        with nogil:
            answer = tape_turn(&self.c, sync)
        return answer == 1

    def run(self, uint64_t period_ns, uint64_t turns):
        """Up to `turns` turns, one a period, without the interpreter lock.

        Returns early when the caller has work: a segment to take away or to make, a disk that refused, or `stop`.
        """
        cdef timespec period
        cdef uint64_t i
        cdef int answer = 0
        period.tv_sec = <long>(period_ns // 1_000_000_000)
        period.tv_nsec = <long>(period_ns % 1_000_000_000)
        with nogil:
            for i in range(turns):
                if load_acquire(&self.c.stop):
                    break
                nanosleep(&period, NULL)
                answer = tape_turn(&self.c, True)
                if answer != 0 or (load_segment(&self.c.next) == NULL and load_segment(&self.c.retired) == NULL):
                    break
        return answer

    def stop(self):
        """Make `run` return at its next turn, and at once from then on."""
        store_release(&self.c.stop, 1)

    def offer(self, Segment segment not None):
        """Give the appender its next segment. One at a time."""
        if load_segment(&self.c.next) != NULL or load_segment(&self.c.retired) != NULL:
            raise_status(TAPE_CLOSED, f"{self.path}: a segment stands ready already")
        self.segments.append(segment)
        store_segment(&self.c.next, &segment.c)

    def take(self):
        """The path of the segment that `turn` has closed; its mapping is given back."""
        cdef segment_t* old = load_segment(&self.c.retired)
        cdef Segment gone
        if old == NULL or old.header.closed_crc == 0:
            raise_status(TAPE_CLOSED, f"{self.path}: no closed segment waits")
        gone = next(s for s in self.segments if &(<Segment>s).c == old)
        self.segments.remove(gone)
        store_segment(&self.c.retired, NULL)
        _turn_to(&self.c, load_segment(&self.c.current))
        return gone.path

    def rotate(self):
        """Ask the appender to leave its segment at the next append, if another stands ready."""
        store_relaxed(&self.c.rotate, 1)

    def close(self):
        """End the current segment: chained, written, closed. Twice is fine. The appender must be gone."""
        cdef segment_t* s = self.c.current
        cdef int answer = 0
        if not self.writing or self.c.block == NULL:
            return
        self.c.block = NULL
        s.record_count = s.capacity - self.c.room
        if s.record_count:
            store_segment(&self.c.retired, s)
            with nogil:
                answer = tape_turn(&self.c, True)
            store_segment(&self.c.retired, NULL)
        self.c.turning = NULL
        self.c.current = NULL
        self.segments.clear()
        if answer < 0:
            raise_status(TAPE_CLOSED, f"{self.path}: the disk refused")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    @property
    def count(self):
        """Records since the session's start."""
        return load_acquire(&self.c.count)

    @property
    def capacity(self):
        """Records that still fit, and what stands ready, and what the current segment holds."""
        cdef segment_t* s = load_segment(&self.c.current)
        return 0 if s == NULL else s.capacity

    @property
    def durable(self):
        return load_acquire(&self.c.durable)

    @property
    def refused_count(self):
        return self.c.refused_count

    @property
    def sync_count(self):
        return self.c.sync_count

    @property
    def needs_segment(self):
        return (load_segment(&self.c.next) == NULL and load_segment(&self.c.retired) == NULL
                and self.c.block != NULL)

    @property
    def closed_waits(self):
        cdef segment_t* old = load_segment(&self.c.retired)
        return old != NULL and old.header.closed_crc != 0

    @property
    def current_used(self):
        """(records, first time, last time) of the current segment: what rotation by age asks."""
        cdef segment_t* s = self.c.turning
        cdef uint64_t count = load_acquire(&self.c.count), last
        if s == NULL or load_segment(&self.c.current) != s or count <= s.first_record:
            return 0, 0, 0
        last = count - s.first_record - 1
        return (last + 1, s.blocks[0].records[0].ts_recv_ns,
                s.blocks[last // BLOCK_RECORDS].records[last % BLOCK_RECORDS].ts_recv_ns)

    @property
    def health(self):
        return load_acquire(&self.c.health)

    def set_health(self, uint64_t bits, bint on):
        """The disk's bits, which come and go; the sticky ones only come."""
        cdef uint64_t sticky = HEALTH_SYNC_FAILED | HEALTH_REFUSED
        if on:
            or_acq_rel(&self.c.health, bits)
        else:
            and_acq_rel(&self.c.health, ~(bits & ~sticky))

    def records(self):
        """A copy of everything in this tape's own segment, as an EVENT array."""
        if not self.writing:
            return records(self.view, 0, self.c.count)
        if self.c.current == NULL:
            return np.zeros(0, EVENT)
        size = <Py_ssize_t>self.c.current.mapped_size
        return records(<unsigned char[:size]>(<unsigned char*>self.c.current.header), 0,
                       self.c.own_count - self.c.current.first_record)

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport debug_assert, static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.ring cimport (
    RING_CLASS_BOOK,
    RING_POLICY_CONFLATE,
    Ring,
    ring_claim,
    ring_class,
    ring_publish,
    ring_slot,
    ring_try_claim,
)
from engine._core.types cimport (
    FLAG_ASK,
    FLAG_CONFLATED,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_NO_VENUE_TIME,
    FLAG_SNAPSHOT,
    KIND_BOOK_CLEAR,
    KIND_BOOK_LEVEL,
    KIND_QUOTE,
    OK,
    RING_BAD_MESSAGE,
    RING_BAD_SIZE,
    RING_CONFLATE,
    RING_WAIT,
    level_event_t,
    raise_status,
)
from engine._core.types import EVENT

cdef enum:
    NONE = 0xFFFFFFFF
    SYMBOLS_MAX = 65536
    LEVELS_MAX = 1 << 20


cdef uint64_t PRIME = 0x9E3779B97F4A7C15


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(conflate_t) == 64)
    static_assert_c(sizeof(conflate_symbol_t) == 128)


cdef uint32_t _index_size(uint32_t levels_max) noexcept nogil:
    cdef uint32_t size = 16
    while size < 2 * levels_max:
        size *= 2
    return size


cdef uint64_t _stride(uint32_t levels_max) noexcept nogil:
    return (sizeof(conflate_symbol_t) + (<uint64_t>levels_max + 2) * sizeof(event_t)
            + <uint64_t>_index_size(levels_max) * sizeof(uint32_t))


cdef size_t conflate_bytes(uint32_t symbol_count, uint32_t levels_max) noexcept nogil:
    return <size_t>(sizeof(conflate_t) + symbol_count * _stride(levels_max))


cdef int conflate_init(conflate_t* c, uint32_t symbol_count, uint32_t levels_max) noexcept nogil:
    """An empty table. `levels_max` must not exceed the capacity of the rings it is flushed into."""
    if symbol_count < 1 or symbol_count > SYMBOLS_MAX or levels_max < 1 or levels_max > LEVELS_MAX:
        return RING_BAD_SIZE
    memset(c, 0, conflate_bytes(symbol_count, levels_max))
    c.symbol_count = symbol_count
    c.levels_max = levels_max
    c.index_size = _index_size(levels_max)
    c.stride = _stride(levels_max)
    c.first = c.last = NONE
    return OK


cdef inline conflate_symbol_t* _symbol(const conflate_t* c, uint32_t symbol) noexcept nogil:
    return <conflate_symbol_t*>(<char*>(c + 1) + symbol * c.stride)


cdef inline event_t* _clear(conflate_symbol_t* s) noexcept nogil:
    return <event_t*>(s + 1)


cdef inline event_t* _quote(conflate_symbol_t* s) noexcept nogil:
    return _clear(s) + 1


cdef inline level_event_t* _levels(conflate_symbol_t* s) noexcept nogil:
    return <level_event_t*>(_quote(s) + 1)


cdef inline uint32_t* _index(const conflate_t* c, conflate_symbol_t* s) noexcept nogil:
    return <uint32_t*>(_levels(s) + c.levels_max)


cdef uint32_t* _find(const conflate_t* c, conflate_symbol_t* s, const level_event_t* level) noexcept nogil:
    """The index cell of a price and side: its level's number plus one, or 0 where it would go.

    Open addressing; half of the cells are always empty, so the walk ends.
    """
    cdef uint32_t* index = _index(c, s)
    cdef level_event_t* there
    cdef uint64_t hashed = (<uint64_t>level.px_ticks * 2 + (1 if level.flags & FLAG_ASK else 0)) * PRIME
    cdef uint32_t at = <uint32_t>(hashed >> 32) & (c.index_size - 1)
    while index[at]:
        there = _levels(s) + index[at] - 1
        if there.px_ticks == level.px_ticks and not (there.flags ^ level.flags) & FLAG_ASK:
            break
        at = (at + 1) & (c.index_size - 1)
    return index + at


cdef void _forget_depth(const conflate_t* c, conflate_symbol_t* s) noexcept nogil:
    memset(_index(c, s), 0, c.index_size * sizeof(uint32_t))
    s.level_count = s.cleared = s.has_depth = s.depth_messages = 0


cdef bint _whole(const conflate_t* c, const event_t* events, uint32_t n) noexcept nogil:
    """One whole book message of one symbol that the table knows."""
    cdef uint32_t i
    if n < 1 or events[0].symbol >= c.symbol_count:
        return False
    if events[0].kind == KIND_QUOTE or events[0].kind == KIND_BOOK_CLEAR:
        return n == 1
    for i in range(n):
        if events[i].kind != KIND_BOOK_LEVEL or events[i].symbol != events[0].symbol:
            return False
        if (events[i].flags & FLAG_FIRST != 0) != (i == 0) or (events[i].flags & FLAG_LAST != 0) != (i == n - 1):
            return False
        if (events[i].flags ^ events[0].flags) & FLAG_SNAPSHOT:
            return False
    return True


cdef bint _fits(const conflate_t* c, conflate_symbol_t* s, const event_t* events, uint32_t n, bint replaces) noexcept nogil:
    cdef uint32_t i, fresh = 0
    cdef bint follows = replaces
    if n > c.levels_max:
        return False
    if follows or s.level_count + n <= c.levels_max:
        return True
    for i in range(n):
        fresh += _find(c, s, <const level_event_t*>&events[i])[0] == 0
    return s.level_count + fresh <= c.levels_max


cdef bint _follows(conflate_symbol_t* s, const level_event_t* head) noexcept nogil:
    """The message continues the pending state.

    Futures name the last id of the message before (`id_prev`); spot's first id is at most one above it. The first
    change after an image straddles the image's id in both. A venue without ids sends zeros, which always follow.
    """
    if head.id_prev >= 0 and head.id_prev == s.id_last:
        return True
    if head.id_prev >= 0 and not s.fresh_image:
        return False
    return head.id_first <= s.id_last + 1


cdef void _wait(conflate_t* c, conflate_symbol_t* s, uint32_t symbol) noexcept nogil:
    if s.waiting:
        return
    s.waiting = 1
    s.next = NONE
    if c.last == NONE:
        c.first = symbol
    else:
        _symbol(c, c.last).next = symbol
    c.last = symbol
    c.waiting_count += 1


cdef void _put_quote(conflate_symbol_t* s, const event_t* event) noexcept nogil:
    s.conflated_count += s.has_quote
    s.quote_messages += 1
    s.delayed_count += 1
    s.has_quote = 1
    memcpy(_quote(s), event, sizeof(event_t))


cdef void _put_clear(const conflate_t* c, conflate_symbol_t* s, const event_t* event) noexcept nogil:
    """What is known of the book ends here, and with it all that waits."""
    s.delayed_count += 1
    s.conflated_count += s.has_depth + s.has_quote + (s.clear_messages != 0)
    s.clear_messages += 1 + s.depth_messages + s.quote_messages
    _forget_depth(c, s)
    s.has_quote = s.quote_messages = 0
    memcpy(_clear(s), event, sizeof(event_t))


cdef void _merge_levels(const conflate_t* c, conflate_symbol_t* s, const event_t* events, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t* cell
    for i in range(n):
        cell = _find(c, s, <const level_event_t*>&events[i])
        if cell[0] == 0:
            s.level_count += 1
            cell[0] = s.level_count
        memcpy(_levels(s) + cell[0] - 1, &events[i], sizeof(event_t))


cdef int _put_depth(conflate_t* c, conflate_symbol_t* s, const event_t* events, uint32_t n) noexcept nogil:
    cdef const level_event_t* head = <const level_event_t*>events
    cdef bint image = (head.flags & FLAG_SNAPSHOT) != 0, gap
    cdef uint32_t merged
    if s.has_depth and not image and head.id_last < s.id_last:
        s.stale_count += 1
        return OK
    if s.clear_messages and not s.has_depth and not image:
        # Nothing is known that it could change.
        s.delayed_count += 1
        s.gap_count += 1
        return OK
    gap = s.has_depth and not image and not _follows(s, head)
    # From here on nothing may fail: a message is merged whole or not at all.
    if head.kind == KIND_BOOK_LEVEL and not _fits(c, s, events, n, image or gap):
        c.refused_count += 1
        return RING_WAIT
    s.delayed_count += 1
    if gap:
        # They were counted as conflated when they were merged; now they are lost to the gap, and counted as that.
        s.conflated_count -= s.depth_messages - 1
        s.gap_count += s.depth_messages
        _forget_depth(c, s)
    elif s.has_depth:
        s.conflated_count += 1
        if image:
            # An image stands for those it replaced, too.
            merged = s.depth_messages
            _forget_depth(c, s)
            s.depth_messages = merged
    s.fresh_image = image
    if image:
        s.cleared = 1
    if not s.has_depth or image:
        s.id_first, s.id_prev = head.id_first, head.id_prev
    s.has_depth = 1
    s.depth_messages += 1
    s.id_last = head.id_last
    s.ts_venue_ns, s.ts_recv_ns = head.ts_venue_ns, head.ts_recv_ns
    s.flags = head.flags & FLAG_NO_VENUE_TIME
    if head.kind == KIND_BOOK_LEVEL:
        _merge_levels(c, s, events, n)
    return OK


cdef int conflate_put(conflate_t* c, const event_t* events, uint32_t n) noexcept nogil:
    cdef conflate_symbol_t* s
    cdef int status = OK
    if not _whole(c, events, n):
        return RING_BAD_MESSAGE
    s = _symbol(c, events[0].symbol)
    if events[0].kind == KIND_QUOTE:
        _put_quote(s, events)
    elif events[0].kind == KIND_BOOK_CLEAR and not events[0].flags & FLAG_SNAPSHOT:
        _put_clear(c, s, events)
    else:
        status = _put_depth(c, s, events, n)
    if status == OK:
        # Even a stale or dropped message leaves its symbol waiting: it was dropped for what waits already.
        _wait(c, s, events[0].symbol)
    return status


cdef uint32_t _depth_events(conflate_symbol_t* s) noexcept nogil:
    """How many events the pending depth takes: its levels, or one clear."""
    return (s.level_count if s.level_count else 1) if s.has_depth else 0


cdef void _write_depth(conflate_symbol_t* s, ring_t* r, uint64_t seq, uint32_t symbol) noexcept nogil:
    cdef uint32_t i, n = _depth_events(s)
    cdef level_event_t* out
    for i in range(n):
        out = <level_event_t*>ring_slot(r, seq + i)
        if s.level_count:
            memcpy(out, _levels(s) + i, sizeof(level_event_t))
            out.flags &= FLAG_ASK
        else:
            memset(out, 0, sizeof(level_event_t))
            out.kind = KIND_BOOK_CLEAR
            out.symbol = <uint32_t>symbol & 0xFFFF
        out.flags |= <uint32_t>s.flags & 0xFF
        if s.cleared:
            out.flags |= FLAG_SNAPSHOT
        if i == 0:
            out.flags |= FLAG_FIRST
        if i == n - 1:
            out.flags |= FLAG_LAST
        if s.depth_messages > 1:
            out.flags |= FLAG_CONFLATED
        out.ts_venue_ns, out.ts_recv_ns = s.ts_venue_ns, s.ts_recv_ns
        out.id_first, out.id_last, out.id_prev = s.id_first, s.id_last, s.id_prev


cdef int _flush_single(ring_t* r, const event_t* event, bint merged) noexcept nogil:
    """A clear or a quote, as it came."""
    cdef uint64_t seq = 0
    cdef event_t* out
    cdef int status = ring_try_claim(r, 1, &seq)
    if status != OK:
        return status
    out = ring_slot(r, seq)
    memcpy(out, event, sizeof(event_t))
    if merged:
        out.flags |= FLAG_CONFLATED
    ring_publish(r, seq, 1)
    return OK


cdef int _flush_symbol(conflate_t* c, ring_t* r, uint32_t symbol) noexcept nogil:
    """Clear, depth, quote: each goes out in a claim of its own, whole; what went out is forgotten at once."""
    cdef conflate_symbol_t* s = _symbol(c, symbol)
    cdef uint64_t seq = 0
    cdef uint32_t n
    cdef int status
    if s.clear_messages:
        status = _flush_single(r, _clear(s), s.clear_messages > 1)
        if status != OK:
            return status
        s.flushed_count += 1
        s.clear_messages = 0
    n = _depth_events(s)
    if n:
        status = ring_try_claim(r, n, &seq)
        if status != OK:
            return status
        _write_depth(s, r, seq, symbol)
        ring_publish(r, seq, n)
        s.flushed_count += 1
        _forget_depth(c, s)
    if s.has_quote:
        status = _flush_single(r, _quote(s), s.quote_messages > 1)
        if status != OK:
            return status
        s.flushed_count += 1
        s.has_quote = s.quote_messages = 0
    return OK


cdef int conflate_flush(conflate_t* c, ring_t* r) noexcept nogil:
    cdef conflate_symbol_t* s
    cdef int status
    while c.first != NONE:
        status = _flush_symbol(c, r, c.first)
        if status != OK:
            return status
        s = _symbol(c, c.first)
        s.waiting = 0
        c.first = s.next
        if c.first == NONE:
            c.last = NONE
        c.waiting_count -= 1
    return OK


cdef int conflate_offer(conflate_t* c, ring_t* r, const event_t* events, uint32_t n) noexcept nogil:
    cdef uint64_t seq = 0
    cdef uint32_t i, event_class = ring_class(events[0].kind)
    cdef int status
    if c.first != NONE:
        conflate_flush(c, r)
    if event_class == RING_CLASS_BOOK and r.policy[<int>RING_CLASS_BOOK] == RING_POLICY_CONFLATE:
        if not _whole(c, events, n):
            return RING_BAD_MESSAGE
        # Behind what the symbol already has waiting, even if there is room for this one: order within a book.
        if _symbol(c, events[0].symbol).waiting:
            return conflate_put(c, events, n)
    status = ring_claim(r, n, event_class, &seq)
    if status == RING_CONFLATE:
        return conflate_put(c, events, n)
    if status != OK:
        return status
    for i in range(n):
        memcpy(ring_slot(r, seq + i), &events[i], sizeof(event_t))
    ring_publish(r, seq, n)
    return OK


# ---------------------------------------------------------------------------------------------------- the Python face
@cython.final
cdef class Conflation:
    """A conflation table in a block of its own. Messages are numpy records of dtype EVENT."""

    def __cinit__(self, *, uint32_t symbol_count, uint32_t levels_max):
        if not (1 <= symbol_count <= SYMBOLS_MAX and 1 <= levels_max <= LEVELS_MAX):
            raise_status(RING_BAD_SIZE, f"symbol_count={symbol_count}, levels_max={levels_max}")
        self.c = <conflate_t*>block_new(conflate_bytes(symbol_count, levels_max))
        conflate_init(self.c, symbol_count, levels_max)

    def __dealloc__(self):
        block_free(self.c)

    def put(self, events):
        """OK, RING_WAIT (no room for its levels) or RING_BAD_MESSAGE."""
        cdef const event_t[::1] view = np.ascontiguousarray(np.atleast_1d(events), dtype=EVENT)
        return conflate_put(self.c, &view[0] if view.shape[0] else NULL, <uint32_t>view.shape[0])

    def flush(self, Ring ring not None):
        """OK, RING_FULL while something still waits, or RING_CLOSED."""
        if self.c.levels_max > ring.c.capacity:
            raise_status(RING_BAD_SIZE, f"levels_max {self.c.levels_max} above the ring's {ring.c.capacity} slots")
        return conflate_flush(self.c, ring.c)

    def offer(self, Ring ring not None, events):
        """OK: published or merged. RING_WAIT: keep it and stop reading. RING_FULL: dropped and counted."""
        cdef const event_t[::1] view = np.ascontiguousarray(np.atleast_1d(events), dtype=EVENT)
        if self.c.levels_max > ring.c.capacity or not 1 <= view.shape[0] <= <Py_ssize_t>ring.c.capacity:
            raise_status(RING_BAD_SIZE, f"{view.shape[0]} events, levels_max {self.c.levels_max}, "
                         f"{ring.c.capacity} slots")
        return conflate_offer(self.c, ring.c, &view[0], <uint32_t>view.shape[0])

    @property
    def waiting_count(self):
        """Symbols with something pending."""
        return self.c.waiting_count

    @property
    def refused_count(self):
        return self.c.refused_count

    def counts(self, uint32_t symbol):
        """What happened to one symbol's messages."""
        cdef conflate_symbol_t* s
        if symbol >= self.c.symbol_count:
            raise_status(RING_BAD_SIZE, f"symbol {symbol} of {self.c.symbol_count}")
        s = _symbol(self.c, symbol)
        return {"delayed": s.delayed_count, "conflated": s.conflated_count, "gap": s.gap_count,
                "stale": s.stale_count, "flushed": s.flushed_count}

    def check(self):
        """Walk the invariants."""
        cdef conflate_symbol_t* s
        cdef uint32_t i, at = self.c.first, seen = 0, waiting = 0
        while at != NONE:
            s = _symbol(self.c, at)
            assert s.waiting and (s.has_depth or s.has_quote or s.clear_messages), "a symbol waits with nothing pending"
            assert s.next != NONE or self.c.last == at, "the waiting list's end is elsewhere"
            seen += 1
            at = s.next
        for at in range(self.c.symbol_count):
            s = _symbol(self.c, at)
            waiting += s.waiting
            used = [_index(self.c, s)[i] for i in range(self.c.index_size) if _index(self.c, s)[i]]
            assert sorted(used) == list(range(1, s.level_count + 1)), "index and levels disagree"
            assert s.level_count <= self.c.levels_max, "more levels than there is room for"
            for i in range(s.level_count):
                assert _find(self.c, s, _levels(s) + i)[0] == i + 1, "a level is not found"
            messages = s.flushed_count + s.conflated_count + s.gap_count
            messages += s.has_depth + s.has_quote + (s.clear_messages != 0)
            assert s.delayed_count == messages, "a message is unaccounted for"
        assert seen == waiting == self.c.waiting_count, "the waiting list lost a symbol"

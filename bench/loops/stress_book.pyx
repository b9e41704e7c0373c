"""Writer and readers of one book's top line for the tests with threads: none of them holds the interpreter lock."""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from engine._core.atomics cimport add_relaxed, load_acquire, store_release
from engine._core.book cimport TRUST_LIVE, Book, book_apply, book_top_read, book_top_t
from engine._core.types cimport FLAG_ASK, FLAG_FIRST, FLAG_LAST, KIND_BOOK_LEVEL, OK, event_t, level_event_t


cdef int64_t _touch(int64_t n) noexcept nogil:
    return 100 + n % 50


def write(Book book not None, uint64_t[::1] shared):
    """Messages 2, 3, ... until shared[0], the readers not yet content, is zero. Returns (the last one, refused events).

    Message n moves the touch to 100 + n % 50 and 101 above it; every quantity, number and time becomes n.
    """
    cdef level_event_t message[4]
    cdef int64_t n = 1
    cdef uint64_t refused = 0
    cdef int i
    memset(message, 0, sizeof(message))
    with nogil:
        for i in range(4):
            message[i].kind = KIND_BOOK_LEVEL
            message[i].flags = FLAG_ASK if i & 2 else 0
        message[0].flags |= FLAG_FIRST
        message[3].flags |= FLAG_LAST
        while load_acquire(&shared[0]) != 0:
            n += 1
            for i in range(4):
                message[i].id_first = message[i].id_last = message[i].ts_recv_ns = n
                # First the old touch goes, then the new one comes, on either side.
                message[i].px_ticks = _touch(n - 1 + (i & 1)) + (101 if i & 2 else 0)
                message[i].qty_lots = n if i & 1 else 0
                refused += book_apply(book.c, <event_t*>&message[i]) != OK
        store_release(&shared[1], 1)
    return n, refused


def read(Book book not None, uint64_t[::1] shared, uint64_t wanted):
    """Read until the writer is done, content after `wanted` readings of different messages.

    Returns (those, readings that hold parts of two messages, readings back in time, the last message).
    """
    cdef book_top_t top
    cdef uint64_t seen = 0, torn = 0, back = 0
    cdef int64_t last = 0, n
    cdef bint done = False
    with nogil:
        while not done:
            # Asked before the reading: the last one is made when all is written, and must show the end.
            done = load_acquire(&shared[1]) != 0
            book_top_read(&book.c.top, &top)
            n = top.update_id
            if (top.bid_px_ticks != _touch(n) or top.ask_px_ticks != _touch(n) + 101 or top.trust != TRUST_LIVE
                    or top.bid_qty_lots != n or top.ask_qty_lots != n or top.ts_ns != n):
                torn += 1
            if n != last:
                seen += 1
                if seen == wanted:
                    add_relaxed(&shared[0], <uint64_t>-1)
            back += n < last
            last = n
    return seen, torn, back, last

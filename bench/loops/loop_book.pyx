from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.book cimport Book, book_apply, book_cost, book_cost_t, book_depth_to, book_level_t, book_levels, book_t
from engine._core.book cimport book_top_read, book_top_t
from engine._core.types cimport event_t


def apply(Book book not None, const unsigned char[::1] events, double[::1] samples_ns, int batch):
    """Time `batch` events a sample, the best prices read after each; returns the sum of all that was read."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef const event_t* event = <const event_t*>&events[0]
    cdef Py_ssize_t sample, at = 0, count = events.shape[0] // <Py_ssize_t>sizeof(event_t)
    cdef book_t* b = book.c
    cdef uint64_t start, stop, sum = 0
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                book_apply(b, &event[at])
                sum += <uint64_t>(b.top.bid_px_ticks + b.top.ask_px_ticks)
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return sum


def apply_cold(list books not None, const unsigned char[::1] events, double[::1] samples_ns, int batch):
    """The same event to one book after another, so that each finds its lines gone from the near caches."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef const event_t* event = <const event_t*>&events[0]
    cdef Py_ssize_t sample, at = 0, count = events.shape[0] // <Py_ssize_t>sizeof(event_t)
    cdef Py_ssize_t book_count = len(books), k = 0
    cdef book_t* blocks[1024]
    cdef uint64_t start, stop, sum = 0
    cdef int i
    if book_count > 1024:
        raise ValueError("at most 1024 books")
    for k in range(book_count):
        blocks[k] = (<Book?>books[k]).c
    k = 0
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                book_apply(blocks[k], &event[at])
                sum += <uint64_t>(blocks[k].top.bid_px_ticks + blocks[k].top.ask_px_ticks)
                k += 1
                if k == book_count:
                    k = 0
                    at += 1
                    if at == count:
                        at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return sum


def top_read(Book book not None, double[::1] samples_ns, int batch):
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef book_top_t top
    cdef uint64_t start, stop, sum = 0
    cdef Py_ssize_t sample
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                book_top_read(&book.c.top, &top)
                sum += <uint64_t>top.bid_px_ticks
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return sum


def depth_query(Book book not None, const int64_t[::1] reach, double[::1] samples_ns):
    """One depth and one cost a sample, on alternating sides."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef int64_t lots, sum = 0
    cdef book_cost_t cost
    cdef uint64_t start, stop
    cdef Py_ssize_t sample
    cdef int side
    with nogil:
        for sample in range(samples_ns.shape[0]):
            side = sample & 1
            lots = reach[sample % reach.shape[0]]
            start = timing_start()
            book_cost(book.c, side, lots, &cost)
            book_depth_to(book.c, side, cost.px_worst_ticks, &lots)
            stop = timing_stop()
            sum += lots
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return sum


def snapshot(Book book not None, int64_t[:, ::1] out, double[::1] samples_ns):
    """Copy the best levels of both sides out, as many as `out` holds in each half."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef unsigned int room = <unsigned int>(out.shape[0] // 2), copied = 0
    cdef uint64_t start, stop
    cdef Py_ssize_t sample
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            copied = book_levels(book.c, 0, <book_level_t*>&out[0, 0], room)
            copied += book_levels(book.c, 1, <book_level_t*>&out[room, 0], room)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return copied

"""Frame bytes to order bytes, in memory, by stage. What every driver does, in its order, with a stamp between stages."""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles
from bench.loops.venue_part cimport ORDERS_MAX, orders_placed, orders_settle
from engine._core.book cimport Book, book_apply
from engine._core.clock cimport clock_cycles
from engine._core.encode cimport Encoder, encode_intent
from engine._core.parse cimport Parser, parse_frame
from engine._core.step cimport Core, step
from engine._core.types cimport (
    FLAG_FIRST, FLAG_LAST, KIND_INTENT_PLACE, KIND_QUOTE, OK, event_t, intent_t, quote_event_t,
)

cdef enum:
    STAGES = 5                    # parse, book, step, encode and sign, all of them together
    EVENTS_MAX = 256
    ROOM = 8192


def run(Parser parser not None, Book book not None, Core core not None, Encoder encoder not None, frames, samples_ns,
        int64_t now_ns):
    """One sample of each stage for each frame, taken in turn. Returns orders written, bytes written, failures."""
    cdef const unsigned char[::1] text = b"".join(frames)
    cdef int64_t[::1] starts = samples_ns[1]
    cdef double[:, ::1] out = samples_ns[0]
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef event_t events[EVENTS_MAX]
    cdef char room[ROOM]
    cdef intent_t placed[ORDERS_MAX]
    cdef quote_event_t quote
    cdef uint64_t t0, t1, t2, t3, t4, orders = 0, written = 0, failed = 0, i
    cdef size_t count = 0, size = 0, used
    cdef Py_ssize_t sample, frame = 0, frame_count = starts.shape[0] - 1
    memset(&quote, 0, sizeof(quote))
    quote.kind = KIND_QUOTE
    quote.flags = FLAG_FIRST | FLAG_LAST
    with nogil:
        for sample in range(out.shape[0]):
            now_ns += 1_000_000
            t0 = clock_cycles()
            failed += OK != parse_frame(parser.c, <const char*>&text[starts[frame]], starts[frame + 1] - starts[frame],
                                        now_ns, events, EVENTS_MAX, &count)
            t1 = clock_cycles()
            for i in range(count):
                failed += OK != book_apply(book.c, &events[i])
            t2 = clock_cycles()
            quote.ts_recv_ns = now_ns
            quote.bid_px_ticks = book.c.top.bid_px_ticks
            quote.bid_qty_lots = book.c.top.bid_qty_lots
            quote.ask_px_ticks = book.c.top.ask_px_ticks
            quote.ask_qty_lots = book.c.top.ask_qty_lots
            quote.id_book = book.c.top.update_id
            failed += OK != step(core.c, <event_t*>&quote)
            t3 = clock_cycles()
            used = 0
            for i in range(core.c.out_count):
                if core.c.out[i].kind == KIND_INTENT_PLACE:
                    failed += OK != encode_intent(encoder.c, <intent_t*>&core.c.out[i], NULL, now_ns, room + used,
                                                  ROOM - used, &size)
                    used += size
                    orders += 1
            t4 = clock_cycles()
            written += used
            out[sample, 0] = (<double>(t1 - t0) - overhead) * scale
            out[sample, 1] = (<double>(t2 - t1) - overhead) * scale
            out[sample, 2] = (<double>(t3 - t2) - overhead) * scale
            out[sample, 3] = (<double>(t4 - t3) - overhead) * scale
            out[sample, 4] = (<double>(t4 - t0) - 4 * overhead) * scale
            orders_settle(core.c, placed, orders_placed(core.c, placed), now_ns)
            frame += 1
            if frame == frame_count:
                frame = 0
    return orders, written, failed

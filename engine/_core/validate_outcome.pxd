"""What follows from a verdict: the counts, the record of a refusal, and the breaker that halts a symbol.

Owns: the counts of a row and the table, the history of outcomes, the halt. Does not own: the verdict. Invariant: each
event is counted once. Cost: a refusal some 20 ns, an accepted event a few stores.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from engine._core.debug cimport likely, unlikely
from engine._core.types cimport (
    FLAG_NO_VENUE_TIME, FLAG_SNAPSHOT, KIND_AGG_TRADE, KIND_BAR_TOTALS, KIND_BOOK_CLEAR, KIND_BOOK_LEVEL, KIND_QUOTE,
    KIND_REFUSAL, KIND_TRADE, bar_totals_event_t, event_t, level_event_t, quote_event_t, trade_event_t,
)
from engine._core.validate cimport (
    ACTION_HALT, ACTION_HEARD, ACTION_RESUME, CLASS_DEPTH, CLASS_IMAGE, REASON_BASE, refusal_t, validate_class_t,
    validate_row_t, validate_t,
)

cdef extern from * nogil:
    """
    static inline int64_t bot4_part_ppm(int64_t base, int64_t ppm) { return (int64_t)((__int128)base * ppm / 1000000); }
    static inline int bot4_moved_past(int64_t value, int64_t base, int64_t ppm) {
        __int128 way = (__int128)value - base;
        return (way < 0 ? -way : way) * 1000000 > (__int128)base * ppm;
    }
    /* Twice a price in 1e-8, in ticks; what does not fit is the largest, which no band holds. */
    static inline int64_t bot4_doubled(int64_t px_e8, int64_t tick_e8) {
        __int128 v = (__int128)px_e8 * 2 / tick_e8;
        return v > ((int64_t)1 << 60) ? ((int64_t)1 << 60) : (int64_t)v;
    }
    /* The pointer as it is: the compiler would form it anew from row and class wherever it is used. */
    static inline void* bot4_as_it_is(void* p) { __asm__("" : "+r"(p)); return p; }
    #define bot4_ones(x) __builtin_popcountll(x)
    /* Ones at the low end: refusals in a row. */
    #define bot4_row(x) (~(x) ? __builtin_ctzll(~(x)) : 64)
    static const uint8_t bot4_class_of[256] = {255, 0, 2, 3, 4, 5, 5, 6, 7, 0, [10 ... 255] = 255};
    """
    int64_t part_ppm "bot4_part_ppm"(int64_t base, int64_t ppm) noexcept
    bint moved_past "bot4_moved_past"(int64_t value, int64_t base, int64_t ppm) noexcept
    int64_t doubled "bot4_doubled"(int64_t px_e8, int64_t tick_e8) noexcept
    uint32_t ones "bot4_ones"(uint64_t x) noexcept
    uint32_t row_of_ones "bot4_row"(uint64_t x) noexcept
    void* as_it_is "bot4_as_it_is"(void* p) noexcept
    const uint8_t* CLASS_OF "bot4_class_of"


cdef inline int64_t number_of(const event_t* e) noexcept nogil:
    if e.kind == KIND_BOOK_LEVEL or e.kind == KIND_BOOK_CLEAR:
        return (<const level_event_t*>e).id_last
    if e.kind == KIND_QUOTE:
        return (<const quote_event_t*>e).id_book
    if e.kind == KIND_TRADE or e.kind == KIND_AGG_TRADE:
        return (<const trade_event_t*>e).id_trade
    if e.kind == KIND_BAR_TOTALS:
        return (<const bar_totals_event_t*>e).ts_open_ns
    return 0


cdef inline void record(const event_t* e, int status, int64_t value, int64_t limit, int64_t now_ns,
                        refusal_t* out) noexcept nogil:
    out.kind = KIND_REFUSAL
    out.flags = CLASS_OF[e.kind]
    if out.flags == CLASS_DEPTH and e.flags & FLAG_SNAPSHOT:
        out.flags = CLASS_IMAGE
    out.symbol = e.symbol
    out.seq = e.seq
    out.ts_venue_ns = e.ts_venue_ns
    out.ts_recv_ns = now_ns
    out.reason = status
    out.value = value
    out.limit = limit
    out.id_event = number_of(e)


cdef inline void count_bad(validate_row_t* r, int status, int64_t now_ns, refusal_t* out) noexcept nogil:
    cdef uint64_t window
    r.reason_count[status - REASON_BASE] += 1
    if not r.config.breaker_mask >> (status - REASON_BASE) & 1:
        return
    r.history = r.history << 1 | 1
    r.good_count = 0
    if r.halted:
        return
    window = r.history & (~<uint64_t>0 >> (64 - r.config.window))
    if ((r.config.window_bad and ones(window) >= r.config.window_bad)
            or (r.config.row_bad and row_of_ones(r.history) >= r.config.row_bad)):
        r.halted = 1
        r.halt_count += 1
        r.ts_halted_ns = now_ns
        r.history = 0
        out.actions |= ACTION_HALT


cdef inline void count_good(validate_row_t* r, int64_t now_ns, refusal_t* out) noexcept nogil:
    r.history <<= 1
    if unlikely(r.halted):
        # A halt ends by time and by proof: so long, and so many good ones in a row.
        r.good_count += 1
        if r.good_count >= r.config.recover_count and now_ns - r.ts_halted_ns >= r.config.halt_ns:
            r.halted = 0
            r.good_count = 0
            r.history = 0
            out.actions |= ACTION_RESUME


cdef inline int refuse(validate_t* v, validate_row_t* r, const event_t* e, int status, int64_t value, int64_t limit,
                       int64_t now_ns, refusal_t* out) noexcept nogil:
    v.refused_count += 1
    record(e, status, value, limit, now_ns, out)
    count_bad(r, status, now_ns, out)
    return status


cdef inline void accept(validate_t* v, validate_row_t* r, validate_class_t* c, const event_t* e, int64_t id,
                        int64_t now_ns, refusal_t* out) noexcept nogil:
    """The stream moved on: remember where it stands."""
    c.id_last = id
    if likely(e.ts_venue_ns > c.ts_venue_ns and not e.flags & FLAG_NO_VENUE_TIME):
        c.ts_venue_ns = e.ts_venue_ns
    c.ts_heard_ns = now_ns
    if unlikely(r.silent):
        if r.silent >> (c - &r.classes[0]) & 1:
            r.silent &= ~(<uint32_t>1 << (c - &r.classes[0]))
            out.actions |= ACTION_HEARD
    c.accepted_count += 1
    v.accepted_count += 1
    count_good(r, now_ns, out)

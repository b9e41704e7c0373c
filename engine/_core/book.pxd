"""The order book of one instrument: two ladders, the venue's sequence rule, and how far the prices may be trusted.

Owns: levels, the state of the message being applied, trust, and the top line that every reader looks at. Does not
own: parsing, which symbol an event belongs to, fetching snapshots, the limit on age (the gate judges `ts_ns`).

Nobody can read a price without its trust: best prices, trust, sequence and time share one cache line, which is
written only when a message is whole. One writer; any thread reads the line with `book_top_read`. Everything else is
the writer's thread's alone.

Invariants: the top line never shows half a message; a book that is live was built from one image and every update
since; a refused event changed no level. `check()` in the Python face walks them.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.atomics cimport cpu_relax, load_acquire, load_acquire_i64, load_relaxed, store_relaxed, store_release
from engine._core.atomics cimport store_release_i64
from engine._core.ladder cimport ladder_t
from engine._core.types cimport event_t


cpdef enum trust_t:
    TRUST_NONE = 0                # no image yet
    TRUST_LIVE = 1
    TRUST_SUSPECT = 2             # still kept up to date, but what it shows cannot be right
    TRUST_REBUILDING = 3          # something was lost: nothing is applied until the next image


cpdef enum rule_t:
    RULE_NONE = 0                 # no sequence: every update is applied
    RULE_SPOT = 1                 # U <= last u + 1 <= u
    RULE_LINKED = 2               # pu == last u; the first after an image has U <= lastUpdateId <= u (USD-M, OKX)
    RULE_CHECKSUM = 3             # id_last of a message's last event is the CRC32 of the top 10 (Kraken), -1 for none
    RULE_CONTIGUOUS = 4           # U == last u + 1, no overlap (Coinbase, Bybit full)
    RULE_QUOTE = 5                # no depth: each quote is a whole book of one level a side


cpdef enum quotes_t:
    QUOTES_IGNORE = 0
    QUOTES_CHECK = 1              # a quote and a book of the same sequence number must agree
    QUOTES_LEAD = 2               # and a quote ahead of the book is what the top line shows


cpdef enum book_side_t:
    SIDE_BID = 0
    SIDE_ASK = 1


cdef enum:
    MESSAGE_NONE = 0              # between messages
    MESSAGE_UPDATE = 1
    MESSAGE_IMAGE = 2
    MESSAGE_SKIP = 3              # the rest of the message is passed over, `message_status` says why
    CHECKSUM_LEVELS = 10


cdef struct book_top_t:           # one cache line, written under `version`
    uint64_t version              # odd while being written
    int64_t bid_px_ticks          # 0: this side holds no level
    int64_t bid_qty_lots
    int64_t ask_px_ticks
    int64_t ask_qty_lots
    int64_t update_id             # the venue's sequence number of what stands here
    int64_t ts_ns                 # receive time of the event that brought it
    uint64_t trust                # trust_t, and above bit 32 the status_t that took the trust away


cdef struct book_config_t:
    uint32_t ticks                # of the window, a power of two, 8 to 4096
    uint32_t levels_max           # a side, window and overflow together
    uint32_t rule                 # rule_t
    uint32_t crossed_trust        # what a crossed book becomes: TRUST_SUSPECT or TRUST_REBUILDING
    uint32_t quotes               # quotes_t
    uint32_t depth                # levels a side that the venue keeps for us, 0 for all: what falls out is forgotten
    int64_t px_ticks_max
    int64_t qty_lots_max          # times levels_max it must stay below 2**62: sums of quantities never overflow
    int64_t px_unit               # a tick in the venue's smallest decimal, for its checksum
    int64_t qty_unit


cdef struct book_counts_t:
    uint64_t message_count        # messages applied whole
    uint64_t image_count          # of these, images
    uint64_t gap_count
    uint64_t stale_count          # messages older than the book
    uint64_t untrusted_count      # messages passed over while waiting for an image
    uint64_t refused_count        # events with an impossible price or quantity
    uint64_t crossed_count
    uint64_t checksum_count       # checksums that disagreed
    uint64_t mismatch_count       # quotes that disagreed
    uint64_t full_count           # levels dropped or refused for want of room
    uint64_t overlap_count        # updates that began before the end of the last one
    uint64_t reserved[5]


cdef struct book_t:
    book_top_t top
    # Line 1: what each event reads.
    uint32_t message              # MESSAGE_*
    uint32_t message_status
    uint32_t trust
    uint32_t trust_reason
    uint32_t waits_first          # an image was applied, no update after it yet
    uint32_t whole                # 0 when a message was broken off and half of it stands in the ladders
    int64_t update_id
    int64_t quote_id              # of the newest quote, -1 for none
    int64_t ts_ns
    uint64_t bytes                # of the whole block
    uint64_t reserved
    # Line 2 and on.
    book_config_t config
    int64_t quote[4]              # bid px, bid qty, ask px, ask qty of the newest quote
    int64_t reserved_quote[5]
    book_counts_t counts
    ladder_t side[2]
    # The arrays of both ladders follow.


cdef struct book_level_t:
    int64_t px_ticks
    int64_t qty_lots


cdef struct book_cost_t:
    uint64_t cost_low             # ticks times lots, 128 bits
    uint64_t cost_high
    int64_t px_worst_ticks
    int64_t filled_lots


cdef size_t book_bytes(const book_config_t* config) noexcept nogil
cdef int book_init(book_t* b, const book_config_t* config) noexcept nogil
cdef int book_apply(book_t* b, const event_t* event) noexcept nogil
cdef int book_set(book_t* b, int side, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns) noexcept nogil
cdef int book_distrust(book_t* b, uint32_t trust, uint32_t reason) noexcept nogil

# Queries for the writer's thread. BOOK_UNTRUSTED while half a message stands in the ladders.
cdef int book_depth_to(const book_t* b, int side, int64_t px_ticks, int64_t* qty_lots) noexcept nogil
cdef int book_cost(const book_t* b, int side, int64_t qty_lots, book_cost_t* cost) noexcept nogil
cdef int book_imbalance(const book_t* b, uint32_t levels, double* value) noexcept nogil
cdef uint32_t book_levels(const book_t* b, int side, book_level_t* out, uint32_t room) noexcept nogil
cdef uint32_t book_checksum(const book_t* b) noexcept nogil


cdef inline void book_top_read(const book_top_t* top, book_top_t* out) noexcept nogil:
    """A consistent copy of the top line, from any thread; tries again while the writer is at work.

    No fences: the writer stores each word with release after making `version` odd. Whoever reads one of its new
    words with acquire therefore sees at least that odd version afterwards, and tries again. On x86-64 all of these
    are plain moves.
    """
    cdef uint64_t version
    while True:
        version = load_acquire(&top.version)
        if not version & 1:
            out.bid_px_ticks = load_acquire_i64(&top.bid_px_ticks)
            out.bid_qty_lots = load_acquire_i64(&top.bid_qty_lots)
            out.ask_px_ticks = load_acquire_i64(&top.ask_px_ticks)
            out.ask_qty_lots = load_acquire_i64(&top.ask_qty_lots)
            out.update_id = load_acquire_i64(&top.update_id)
            out.ts_ns = load_acquire_i64(&top.ts_ns)
            out.trust = load_acquire(&top.trust)
            if load_relaxed(&top.version) == version:
                out.version = version
                return
        cpu_relax()


cdef inline void book_top_write(book_top_t* top, const book_top_t* new) noexcept nogil:
    """The single writer's side. `new.version` is not used."""
    cdef uint64_t version = load_relaxed(&top.version)
    store_relaxed(&top.version, version + 1)
    store_release_i64(&top.bid_px_ticks, new.bid_px_ticks)
    store_release_i64(&top.bid_qty_lots, new.bid_qty_lots)
    store_release_i64(&top.ask_px_ticks, new.ask_px_ticks)
    store_release_i64(&top.ask_qty_lots, new.ask_qty_lots)
    store_release_i64(&top.update_id, new.update_id)
    store_release_i64(&top.ts_ns, new.ts_ns)
    store_release(&top.trust, new.trust)
    store_release(&top.version, version + 2)


# The writer's own thread needs no retry: between its messages the line stands still.
cdef inline int64_t book_mid_half_ticks(const book_t* b) noexcept nogil:
    """Twice the mid, exact; 0 when a side is empty."""
    if b.top.bid_px_ticks == 0 or b.top.ask_px_ticks == 0:
        return 0
    return b.top.bid_px_ticks + b.top.ask_px_ticks


cdef inline double book_micro_price(const book_t* b) noexcept nogil:
    """Mid weighted by the quantity of the other side, in ticks; 0.0 when a side is empty. For features only."""
    cdef double bid = <double>b.top.bid_qty_lots, ask = <double>b.top.ask_qty_lots
    if b.top.bid_px_ticks == 0 or b.top.ask_px_ticks == 0:
        return 0.0
    return (<double>b.top.bid_px_ticks * ask + <double>b.top.ask_px_ticks * bid) / (bid + ask)


cdef class Book:
    cdef book_t* c
    cdef int c_set(self, int side, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns) except -1

cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.book_messages cimport (
    apply_clear, apply_quote, apply_skipped, check_level, gap, is_whole, message_begin, message_end, refuse, set_level,
    skip,
)
from engine._core.book_sums cimport add_product, checksum_of
from engine._core.book_top cimport ask_px, bid_px, lose_trust, publish
from engine._core.book_walk cimport copy_window
from engine._core.debug cimport likely, static_assert_c, unlikely
from engine._core.ladder cimport (
    LADDER_TICKS_LEAST, LADDER_TICKS_MOST, ladder_best_qty, ladder_bytes, ladder_count, ladder_cursor, ladder_cursor_t,
    ladder_init, ladder_next, ladder_t,
)
from engine._core.ladder_check cimport check_ladder
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    ARENA_BAD_SIZE, BOOK_BAD_QUANTITY, BOOK_EMPTY_SIDE, BOOK_OUTSIDE, BOOK_TOO_THIN, BOOK_UNTRUSTED, FLAG_ASK,
    FLAG_FIRST, FLAG_LAST, KIND_BOOK_CLEAR, KIND_BOOK_LEVEL, KIND_QUOTE, OK, WORLD_BAD_EVENT, WORLD_BAD_LAYOUT,
    event_t, level_event_t, quote_event_t, raise_status,
)

Trust = trust_t
Rule = rule_t
Quotes = quotes_t
Side = book_side_t


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(book_top_t) == 64)
    static_assert_c(sizeof(book_config_t) == 56)
    static_assert_c(sizeof(book_counts_t) == 128)
    static_assert_c(sizeof(ladder_t) == 128)
    static_assert_c(<size_t>&(<book_t*>NULL).message == 64)
    static_assert_c(<size_t>&(<book_t*>NULL).config == 128)
    static_assert_c(<size_t>&(<book_t*>NULL).side % 64 == 0)
    static_assert_c(sizeof(book_t) % 64 == 0)


# ------------------------------------------------------------------------------------------------- memory
cdef bint _config_ok(const book_config_t* c) noexcept nogil:
    return (
        c.ticks >= LADDER_TICKS_LEAST and c.ticks <= LADDER_TICKS_MOST and c.ticks & (c.ticks - 1) == 0
        and 1 <= c.levels_max <= 1_000_000 and c.rule <= RULE_QUOTE and c.quotes <= QUOTES_LEAD
        and c.crossed_trust in (TRUST_SUSPECT, TRUST_REBUILDING) and c.depth <= c.levels_max // 2
        and 1 <= c.px_ticks_max <= (<int64_t>1 << 60)
        # Relations between maxima: a side's total and both sides' sum stay inside 63 bits.
        and 1 <= c.qty_lots_max <= (<int64_t>1 << 62) // c.levels_max
        and 1 <= c.px_unit <= (<int64_t>1 << 62) // c.px_ticks_max
        and 1 <= c.qty_unit <= INT64_MAX // c.qty_lots_max
    )


cdef size_t book_bytes(const book_config_t* config) noexcept nogil:
    """Size of the block for this configuration, 0 when it is impossible."""
    if not _config_ok(config):
        return 0
    return sizeof(book_t) + 2 * ladder_bytes(config.ticks, config.levels_max)


cdef int book_init(book_t* b, const book_config_t* config) noexcept nogil:
    """Make an empty book without trust in a block of `book_bytes` bytes."""
    cdef size_t arrays = ladder_bytes(config.ticks, config.levels_max)
    if not _config_ok(config):
        return ARENA_BAD_SIZE
    memset(b, 0, sizeof(book_t))
    b.config = config[0]
    b.bytes = sizeof(book_t) + 2 * arrays
    b.whole = 1
    b.update_id = -1
    b.quote_id = -1
    b.top.update_id = -1
    ladder_init(&b.side[0], <char*>(b + 1), config.ticks, config.levels_max)
    ladder_init(&b.side[1], <char*>(b + 1) + arrays, config.ticks, config.levels_max)
    return OK


cdef int book_distrust(book_t* b, uint32_t trust, uint32_t reason) noexcept nogil:
    """Trust lost for a reason outside the data: a silent feed, a reconnect. Nothing but data ever gives trust."""
    if trust == TRUST_LIVE or trust > TRUST_REBUILDING:
        return BOOK_UNTRUSTED
    # A book that waits for an image is not made better by being merely suspected.
    if trust == TRUST_SUSPECT and b.trust != TRUST_LIVE:
        return OK
    if b.message != MESSAGE_NONE and trust != TRUST_SUSPECT:
        if b.message != MESSAGE_SKIP:
            b.whole = 0
        b.message = MESSAGE_SKIP
        b.message_status = BOOK_UNTRUSTED
    lose_trust(b, trust, reason)
    return OK


cdef int book_apply(book_t* b, const event_t* event) noexcept nogil:
    """Apply one event. What it returns has been counted and acted upon; the caller only needs it to ask for an image.

    Events of a message that is passed over all return the message's status; each counter counts the message once.
    """
    cdef const level_event_t* e = <const level_event_t*>event
    cdef int status
    if unlikely(e.kind != KIND_BOOK_LEVEL or b.config.rule == RULE_QUOTE):
        if e.kind == KIND_QUOTE:
            return apply_quote(b, <const quote_event_t*>event)
        if e.kind == KIND_BOOK_CLEAR:
            return apply_clear(b, e)
        return WORLD_BAD_EVENT
    if e.flags & FLAG_FIRST:
        message_begin(b, e)
    elif unlikely(b.message == MESSAGE_NONE):
        # The beginning was lost.
        if b.trust in (TRUST_LIVE, TRUST_SUSPECT):
            gap(b)
        else:
            b.counts.untrusted_count += 1
            skip(b, BOOK_UNTRUSTED)
    if unlikely(b.message == MESSAGE_SKIP):
        return apply_skipped(b, e)
    status = OK
    # Price and quantity both zero: a message without a level, which still moves the sequence.
    if likely(e.px_ticks != 0 or e.qty_lots != 0):
        status = check_level(b, e.px_ticks, e.qty_lots)
        if unlikely(status != OK):
            return refuse(b, e, status)
        status = set_level(b, (e.flags & FLAG_ASK) != 0, e.px_ticks, e.qty_lots)
    if e.flags & FLAG_LAST:
        return message_end(b, e, status)
    return status


cdef int book_set(book_t* b, int side, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns) noexcept nogil:
    """One level outside any message, shown at once. Trust and sequence stay: this is for books of our own making."""
    cdef int status
    if unlikely(b.message in (MESSAGE_UPDATE, MESSAGE_IMAGE)):
        return BOOK_UNTRUSTED
    status = check_level(b, px_ticks, qty_lots)
    if unlikely(status != OK):
        b.counts.refused_count += 1
        return status
    status = set_level(b, side, px_ticks, qty_lots)
    b.ts_ns = ts_ns
    publish(b)
    return status


# ------------------------------------------------------------------------------------------------- queries
cdef int book_depth_to(const book_t* b, int side, int64_t px_ticks, int64_t* qty_lots) noexcept nogil:
    """Lots from the touch to this price, both included; BOOK_OUTSIDE when that reaches past the horizon."""
    cdef const ladder_t* l = &b.side[side]
    cdef ladder_cursor_t cursor
    cdef int64_t key = -px_ticks if side else px_ticks, sum = 0
    qty_lots[0] = 0
    if not is_whole(b):
        return BOOK_UNTRUSTED
    cursor = ladder_cursor(l)
    while ladder_next(l, &cursor) and cursor.key >= key:
        sum += cursor.qty
    qty_lots[0] = sum
    return BOOK_OUTSIDE if key <= l.horizon_key else OK


cdef int book_cost(const book_t* b, int side, int64_t qty_lots, book_cost_t* cost) noexcept nogil:
    """Take a quantity from one side, best first: the worst price touched and the exact sum of ticks times lots.

    BOOK_TOO_THIN when the side holds less, with what could be taken; BOOK_EMPTY_SIDE when it holds nothing.
    """
    cdef const ladder_t* l = &b.side[side]
    cdef ladder_cursor_t cursor
    cdef int64_t left = qty_lots, take, px
    memset(cost, 0, sizeof(book_cost_t))
    if qty_lots <= 0:
        return BOOK_BAD_QUANTITY
    if not is_whole(b):
        return BOOK_UNTRUSTED
    cursor = ladder_cursor(l)
    while left > 0 and ladder_next(l, &cursor):
        take = min(left, cursor.qty)
        px = -cursor.key if side else cursor.key
        add_product(&cost.cost_high, &cost.cost_low, px, take)
        cost.px_worst_ticks = px
        left -= take
    cost.filled_lots = qty_lots - left
    if left == 0:
        return OK
    return BOOK_TOO_THIN if cost.filled_lots else BOOK_EMPTY_SIDE


cdef int book_imbalance(const book_t* b, uint32_t levels, double* value) noexcept nogil:
    """(bids - asks) / (bids + asks) over the best n levels a side, -1 to 1. For features only."""
    cdef int64_t sum[2]
    cdef ladder_cursor_t cursor
    cdef uint32_t i
    cdef int s
    value[0] = 0.0
    if not is_whole(b):
        return BOOK_UNTRUSTED
    for s in range(2):
        sum[s] = 0
        cursor = ladder_cursor(&b.side[s])
        i = 0
        while i < levels and ladder_next(&b.side[s], &cursor):
            sum[s] += cursor.qty
            i += 1
    if sum[0] + sum[1] == 0:
        return BOOK_EMPTY_SIDE
    value[0] = <double>(sum[0] - sum[1]) / <double>(sum[0] + sum[1])
    return OK


cdef uint32_t book_levels(const book_t* b, int side, book_level_t* out, uint32_t room) noexcept nogil:
    """Copy the best levels of a side, at most `room`; how many."""
    cdef const ladder_t* l = &b.side[side]
    cdef ladder_cursor_t cursor
    cdef uint32_t i
    if not is_whole(b):
        return 0
    i = copy_window(l, side, out, room)
    cursor = ladder_cursor(l)
    cursor.left_in_window = 0
    while i < room and ladder_next(l, &cursor):
        out[i].px_ticks = -cursor.key if side else cursor.key
        out[i].qty_lots = cursor.qty
        i += 1
    return i


cdef uint32_t book_checksum(const book_t* b) noexcept nogil:
    return checksum_of(b)


# ------------------------------------------------------------------------------------------------- the Python face
@cython.final
cdef class Book:
    """One instrument's order book. Prices in ticks, quantities in lots; statuses come back from `apply`."""

    def __cinit__(self, *, uint32_t ticks=2048, uint32_t levels_max=8192, int rule=RULE_NONE,
                  int crossed_trust=TRUST_REBUILDING, int quotes=QUOTES_CHECK, uint32_t depth=0,
                  int64_t px_ticks_max=<int64_t>1 << 40, int64_t qty_lots_max=<int64_t>1 << 42,
                  int64_t px_unit=1, int64_t qty_unit=1):
        cdef book_config_t config
        config.ticks = ticks
        config.levels_max = levels_max
        config.rule = <uint32_t>rule
        config.crossed_trust = <uint32_t>crossed_trust
        config.quotes = <uint32_t>quotes
        config.depth = depth
        config.px_ticks_max = px_ticks_max
        config.qty_lots_max = qty_lots_max
        config.px_unit = px_unit
        config.qty_unit = qty_unit
        if book_bytes(&config) == 0:
            raise_status(ARENA_BAD_SIZE, f"ticks={ticks} levels_max={levels_max} depth={depth} rule={rule} "
                         f"qty_lots_max={qty_lots_max} px_ticks_max={px_ticks_max}")
        self.c = <book_t*>block_new(book_bytes(&config))
        book_init(self.c, &config)

    def __dealloc__(self):
        block_free(self.c)

    cdef int c_set(self, int side, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns) except -1:
        cdef int status = book_set(self.c, side, px_ticks, qty_lots, ts_ns)
        if status != OK:
            raise_status(status, f"{px_ticks} ticks, {qty_lots} lots")
        return 0

    def set_bid(self, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns=0):
        self.c_set(SIDE_BID, px_ticks, qty_lots, ts_ns)

    def set_ask(self, int64_t px_ticks, int64_t qty_lots, int64_t ts_ns=0):
        self.c_set(SIDE_ASK, px_ticks, qty_lots, ts_ns)

    def apply(self, events):
        """Apply an array of 64-byte events in order; the status of each."""
        cdef const uint8_t[::1] raw = events.view(np.uint8)
        cdef Py_ssize_t i, count = raw.shape[0] // <Py_ssize_t>sizeof(event_t)
        statuses = np.zeros(count, dtype=np.int32)
        cdef int[::1] out = statuses
        if count:
            with nogil:
                for i in range(count):
                    out[i] = book_apply(self.c, <const event_t*>&raw[i * <Py_ssize_t>sizeof(event_t)])
        return statuses

    def distrust(self, int trust, int reason=0):
        """Lower the trust; only data raises it."""
        cdef int status = book_distrust(self.c, <uint32_t>trust, <uint32_t>reason)
        if status != OK:
            raise_status(status, f"trust {trust} cannot be declared")

    def top(self):
        """Bid price and lots, ask price and lots, sequence, time, trust, reason: one consistent reading."""
        cdef book_top_t t
        with nogil:
            book_top_read(&self.c.top, &t)
        return (t.bid_px_ticks, t.bid_qty_lots, t.ask_px_ticks, t.ask_qty_lots, t.update_id, t.ts_ns,
                <int>(t.trust & 0xFFFFFFFF), <int>(t.trust >> 32))

    @property
    def best_bid_ticks(self):
        return self.c.top.bid_px_ticks

    @property
    def best_bid_lots(self):
        return self.c.top.bid_qty_lots

    @property
    def best_ask_ticks(self):
        return self.c.top.ask_px_ticks

    @property
    def best_ask_lots(self):
        return self.c.top.ask_qty_lots

    @property
    def trust(self):
        return trust_t(self.c.trust)

    @property
    def reason(self):
        return self.c.trust_reason

    @property
    def update_id(self):
        return self.c.top.update_id

    @property
    def ts_ns(self):
        return self.c.top.ts_ns

    @property
    def mid_half_ticks(self):
        return book_mid_half_ticks(self.c)

    @property
    def micro_price(self):
        return book_micro_price(self.c)

    def level_count(self, int side):
        return ladder_count(&self.c.side[side & 1])

    def total_lots(self, int side):
        return self.c.side[side & 1].total_lots

    def horizon_ticks(self, int side):
        """The nearest price at and past which levels were lost for want of room; 0 for none."""
        cdef int64_t key = self.c.side[side & 1].horizon_key
        return 0 if key == INT64_MIN else -key if side & 1 else key

    def imbalance(self, uint32_t levels):
        cdef double value
        cdef int status = book_imbalance(self.c, levels, &value)
        if status != OK:
            raise_status(status)
        return value

    def depth_to(self, int side, int64_t px_ticks):
        cdef int64_t qty_lots
        cdef int status = book_depth_to(self.c, side & 1, px_ticks, &qty_lots)
        if status != OK:
            raise_status(status, f"{px_ticks} ticks; {qty_lots} lots up to the horizon")
        return qty_lots

    def cost(self, int side, int64_t qty_lots):
        """Worst price and exact cost, in ticks times lots, of taking a quantity from a side."""
        cdef book_cost_t cost
        cdef int status = book_cost(self.c, side & 1, qty_lots, &cost)
        if status != OK:
            raise_status(status, f"{qty_lots} lots asked, {cost.filled_lots} there")
        return cost.px_worst_ticks, (int(cost.cost_high) << 64) | cost.cost_low

    def levels(self, int side, uint32_t count=0xFFFFFFFF):
        """The best levels of a side as rows of price and quantity, best first."""
        cdef uint32_t room = min(count, ladder_count(&self.c.side[side & 1]))
        rows = np.zeros((room, 2), dtype=np.int64)
        cdef int64_t[:, ::1] view = rows
        if not is_whole(self.c):
            raise_status(BOOK_UNTRUSTED, "half a message stands in it")
        if room:
            book_levels(self.c, side & 1, <book_level_t*>&view[0, 0], room)
        return rows

    def checksum(self):
        return book_checksum(self.c)

    def counts(self):
        """Every counter by its name."""
        return {name: count for name, count in (<object>self.c.counts).items() if name != "reserved"}

    def image(self):
        """The block itself, byte for byte."""
        return (<char*>self.c)[:self.c.bytes]

    def restore(self, const uint8_t[::1] image):
        """Become the book of an image that the same configuration made."""
        cdef const book_t* other = <const book_t*>&image[0] if image.shape[0] >= <Py_ssize_t>sizeof(book_t) else NULL
        if other == NULL or other.bytes != self.c.bytes or <uint64_t>image.shape[0] != self.c.bytes \
                or bytes((<char*>&other.config)[:sizeof(book_config_t)]) != \
                bytes((<char*>&self.c.config)[:sizeof(book_config_t)]):
            raise_status(WORLD_BAD_LAYOUT, f"{image.shape[0]} bytes, {self.c.bytes} expected")
        memcpy(self.c, other, self.c.bytes)

    def check(self):
        """Walk the invariants."""
        assert self.c.top.version % 2 == 0, "top line left half written"
        for side in range(2):
            check_ladder(&self.c.side[side])
            for reserved in self.c.side[side].reserved:
                assert reserved == 0
        assert self.c.top.trust & 0xFFFFFFFF == self.c.trust, "trust shown is not the trust held"
        if is_whole(self.c) and self.c.trust == TRUST_LIVE and self.c.config.quotes != QUOTES_LEAD:
            shown = (self.c.top.bid_px_ticks, self.c.top.bid_qty_lots, self.c.top.ask_px_ticks, self.c.top.ask_qty_lots)
            held = (bid_px(self.c), ladder_best_qty(&self.c.side[0]),
                    ask_px(self.c), ladder_best_qty(&self.c.side[1]))
            assert shown == held, f"top line shows {shown}, the ladders hold {held}"

cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.match cimport (
    MATCH_NONE,
    MATCH_SELL,
    MATCHED_MAKER_OWNED,
    MATCHED_TAKER_OWNED,
    MATCHED_TRADE,
    Match,
    match_above,
    match_advance,
    match_below,
    match_crowd,
    match_crowd_resize,
    match_event_t,
    match_events,
    match_level,
    match_level_t,
    match_order_t,
    match_orders,
    match_request_t,
    match_requeue,
    match_set_last,
    match_submit,
)
from engine._core.strategy_abi cimport TIF_GTC, TIF_IOC
from engine._core.types cimport (
    FLAG_ASK,
    FLAG_BUYER_MAKER,
    FLAG_FIRST,
    FLAG_SELL,
    FLAG_SNAPSHOT,
    KIND_AGG_TRADE,
    KIND_BOOK_CLEAR,
    KIND_BOOK_LEVEL,
    KIND_QUOTE,
    KIND_TRADE,
    MATCH_WOULD_TAKE,
    OK,
    event_t,
    level_event_t,
    quote_event_t,
    trade_event_t,
)

QueueModel = queue_model_t
# Numbers of the crowd's orders: far above those that an exchange gives out.
cdef int64_t CROWD_FIRST = <int64_t>1 << 61


# `self` is never None in its own methods; the debug build's check for it would need the interpreter lock.
@cython.nonecheck(False)
@cython.final
cdef class Recorded:
    """Plays recorded market events of one symbol into a book."""

    def __cinit__(self, Match book not None, *, int model=QUEUE_SHARE):
        if model < QUEUE_BACK or model > QUEUE_THROUGH:
            raise ValueError(f"queue model {model}: 0 to 4")
        self.book = book
        self.m = book.c
        self.model = model
        self.crowd_number = CROWD_FIRST

    def apply(self, const unsigned char[::1] events, bint stop_at_own=True):
        """Play events, whole ones of 64 bytes. Returns how many: fewer than there are once ours were touched."""
        cdef Py_ssize_t at = 0, count = events.shape[0] // sizeof(event_t)
        cdef const event_t* first = <const event_t*>&events[0] if count else NULL
        with nogil:
            while at < count:
                self.apply_one(&first[at])
                at += 1
                if stop_at_own and self.told():
                    break
            self.catch_up()
        return at

    cdef bint told(self) noexcept nogil:
        """Whether an order of ours was touched. What only concerns the crowd is dropped here."""
        cdef uint32_t i
        cdef match_event_t* e
        for i in range(self.m.event_count):
            e = &match_events(self.m)[i]
            if e.kind != MATCHED_TRADE or e.flags & (MATCHED_TAKER_OWNED | MATCHED_MAKER_OWNED):
                return True
        self.m.event_count = 0
        return False

    cdef void apply_one(self, const event_t* e) noexcept nogil:
        """Play one event. Who looks at the book afterwards, or changes it, calls `catch_up` before."""
        self.event_count += 1
        if e.kind == KIND_QUOTE and self.is_whole_book(<const quote_event_t*>e):
            self.kept = (<const quote_event_t*>e)[0]
            self.waits = True
            return
        self.catch_up()
        self.play_one(e)

    cdef void catch_up(self) noexcept nogil:
        if self.waits:
            self.waits = False
            self.play_one(<const event_t*>&self.kept)

    cdef bint is_whole_book(self, const quote_event_t* quote) noexcept nogil:
        """Whether this quote leaves nothing of what stood before, and nobody but the crowd is there to notice."""
        return (not self.has_depth and self.m.own_count == 0 and self.m.work_count == 0 and not self.m.halted
                and 1 <= quote.bid_px_ticks and quote.bid_px_ticks < quote.ask_px_ticks
                and quote.ask_px_ticks <= self.m.config.px_max
                and 1 <= quote.bid_qty_lots <= self.m.config.qty_max and 1 <= quote.ask_qty_lots <= self.m.config.qty_max)

    cdef void play_one(self, const event_t* e) noexcept nogil:
        cdef const level_event_t* level = <const level_event_t*>e
        cdef const trade_event_t* trade = <const trade_event_t*>e
        if e.ts_recv_ns > self.m.now_ns:
            match_advance(self.m, e.ts_recv_ns)
        if e.kind == KIND_BOOK_LEVEL:
            self.has_depth = True
            if e.flags & FLAG_SNAPSHOT and e.flags & FLAG_FIRST:
                self.clear_side(False)
                self.clear_side(True)
            self.set_level(e.flags & FLAG_ASK != 0, level.px_ticks, level.qty_lots)
        elif e.kind == KIND_QUOTE:
            self.play_quote(<const quote_event_t*>e)
        elif e.kind == KIND_TRADE or e.kind == KIND_AGG_TRADE:
            self.trade(e.flags & (FLAG_SELL | FLAG_BUYER_MAKER) != 0, trade.px_ticks, trade.qty_lots)
        elif e.kind == KIND_BOOK_CLEAR:
            self.clear_side(False)
            self.clear_side(True)

    cdef void play_quote(self, const quote_event_t* quote) noexcept nogil:
        """The touch says what is not there: nothing better on its own side, and without depth nothing else at all.

        What stood at its price goes on standing there: whoever waits behind it does not pass it with each quote.
        """
        if quote.bid_px_ticks:
            self.clear_better(False, quote.bid_px_ticks)
            if not self.has_depth:
                self.clear_behind(False, quote.bid_px_ticks)
            self.set_level(False, quote.bid_px_ticks, quote.bid_qty_lots)
        if quote.ask_px_ticks:
            self.clear_better(True, quote.ask_px_ticks)
            if not self.has_depth:
                self.clear_behind(True, quote.ask_px_ticks)
            self.set_level(True, quote.ask_px_ticks, quote.ask_qty_lots)

    cdef void crowd(self, bint sell, int64_t px, int64_t lots, int tif) noexcept nogil:
        cdef match_request_t r
        cdef int status = match_crowd(self.m, self.crowd_number, sell, px, lots) if tif == TIF_GTC else MATCH_WOULD_TAKE
        if status != MATCH_WOULD_TAKE:
            # Nobody to meet: what rests is nearly all that a recording shows.
            self.crowd_number += 1
            self.refused_count += status != OK
            return
        memset(&r, 0, sizeof(r))
        r.id = self.crowd_number
        r.px_ticks = px
        r.qty_lots = lots
        r.tif = <unsigned char>tif
        r.flags = MATCH_SELL if sell else 0
        self.crowd_number += 1
        if match_submit(self.m, &r) != OK:
            self.refused_count += 1

    cdef void set_level(self, bint sell, int64_t px, int64_t lots) noexcept nogil:
        """Make the crowd's part of a level what the recording says."""
        cdef match_level_t* level
        cdef match_order_t* o
        cdef uint32_t at
        cdef int64_t held = 0
        cdef bint ours = False
        if px < 1 or px > self.m.config.px_max or lots < 0 or lots > self.m.config.qty_max:
            self.refused_count += 1
            return
        if lots:
            # Orders of the crowd on the other side that this one would meet are gone; the news of them is under way.
            self.clear_better(not sell, px - 1 if sell else px + 1)
        level = match_level(self.m, px)
        at = MATCH_NONE if level == NULL else level.head
        if lots == 0 and at != MATCH_NONE and (match_orders(self.m)[at].flags & MATCH_SELL != 0) != sell:
            # The other side has come to this price before the word that this one has left it.
            return
        while at != MATCH_NONE:
            o = &match_orders(self.m)[at]
            if o.owner == 0:
                held += o.left_lots
            else:
                ours = True
            at = o.next
        if held < lots:
            at = MATCH_NONE if level == NULL else level.tail
            if at != MATCH_NONE and match_orders(self.m)[at].owner == 0:
                match_crowd_resize(self.m, at, level, match_orders(self.m)[at].left_lots + lots - held)
                return
            self.crowd(sell, px, lots - held, TIF_GTC)
            if ours and held == 0 and self.model == QUEUE_BACK and not self.has_depth:
                # A touch that arrives where we wait was there before: quotes alone had not shown it.
                level = match_level(self.m, px)
                # Unless ours on the other side took it at once: then there is nobody to stand behind.
                if level != NULL and level.tail != MATCH_NONE and match_orders(self.m)[level.tail].owner == 0:
                    while match_orders(self.m)[level.head].owner:
                        match_requeue(self.m, match_orders(self.m)[level.head].id)
        elif held > lots:
            if not ours and level.head == level.tail:
                # One order of the crowd, none of ours: no model has a say.
                match_crowd_resize(self.m, level.head, level, lots)
            else:
                self.take_away(px, held - lots)

    cdef void take_away(self, int64_t px, int64_t lots) noexcept nogil:
        """Let lots of the crowd disappear from a level without a trade, before and behind ours as the model says."""
        cdef match_level_t* level = match_level(self.m, px)
        cdef match_order_t* o
        cdef uint32_t at = level.head, after
        cdef int64_t ahead = 0, behind = 0, front, back, cut
        cdef double share
        cdef int ours = 0
        while at != MATCH_NONE:
            o = &match_orders(self.m)[at]
            if o.owner:
                ours += 1
            elif ours:
                behind += o.left_lots
            else:
                ahead += o.left_lots
            at = o.next
        if self.model == QUEUE_BACK:
            back = min(lots, behind)
        elif self.model == QUEUE_FRONT:
            back = lots - min(lots, ahead)
        else:
            share = (<double>behind / (ahead + behind) if self.model == QUEUE_SHARE
                     else <double>behind * behind / (<double>ahead * ahead + <double>behind * behind))
            back = min(<int64_t>(lots * share), behind)
        front = lots - back
        if front > ahead:
            back += front - ahead
            front = ahead
        # From the youngest to the oldest on each side of ours: the front of the queue is the last to lose its place.
        at = level.tail
        while at != MATCH_NONE and (front or back):
            o = &match_orders(self.m)[at]
            after = o.prev
            if o.owner:
                ours -= 1
            else:
                if ours:
                    cut = min(back, o.left_lots)
                    back -= cut
                else:
                    cut = min(front, o.left_lots)
                    front -= cut
                if cut:
                    match_crowd_resize(self.m, at, level, o.left_lots - cut)
            at = after

    cdef void clear_better(self, bint sell, int64_t px) noexcept nogil:
        """Take the crowd's orders away that stand at a better price than `px` on their side."""
        cdef int64_t at = self.m.best_ask if sell else self.m.best_bid, next_px
        while at != 0 and at != INT64_MAX and (at < px if sell else at > px):
            next_px = match_above(self.m, at) if sell else match_below(self.m, at)
            self.clear_level(at)
            at = next_px

    cdef void clear_behind(self, bint sell, int64_t px) noexcept nogil:
        """Take the crowd's orders away that stand at a worse price than `px` on their side."""
        cdef int64_t best = self.m.best_ask if sell else self.m.best_bid, at, next_px
        if best == 0 or best == INT64_MAX:
            return
        # From the best of this side outward: what lies between it and a price beyond it is the other side's.
        at = match_above(self.m, max(px, best - 1)) if sell else match_below(self.m, min(px, best + 1))
        while at != 0 and at != INT64_MAX:
            next_px = match_above(self.m, at) if sell else match_below(self.m, at)
            self.clear_level(at)
            at = next_px

    cdef void clear_level(self, int64_t px) noexcept nogil:
        cdef match_level_t* level = match_level(self.m, px)
        cdef uint32_t index = level.head, after
        while index != MATCH_NONE:
            after = match_orders(self.m)[index].next
            if match_orders(self.m)[index].owner == 0:
                match_crowd_resize(self.m, index, level, 0)
            index = after

    cdef void clear_side(self, bint sell) noexcept nogil:
        self.clear_better(sell, INT64_MAX if sell else 0)

    cdef void trade(self, bint sell, int64_t px, int64_t lots) noexcept nogil:
        """A recorded trade takes from the front of its price, and all of ours that stood at a better one.

        Where no queue is known it takes ours at better prices alone, and no more of them than was traded.
        """
        cdef int64_t at, better = 0
        if px < 1 or px > self.m.config.px_max or lots < 1 or lots > self.m.config.qty_max:
            self.refused_count += 1
            return
        self.clear_better(not sell, px)
        at = self.m.best_bid if sell else self.m.best_ask
        while at != 0 and at != INT64_MAX and (at > px if sell else at < px):
            better += match_level(self.m, at).qty_lots + match_level(self.m, at).hidden_lots
            at = match_below(self.m, at) if sell else match_above(self.m, at)
        if self.model != QUEUE_THROUGH:
            self.crowd(sell, px, min(lots + better, self.m.config.qty_max), TIF_IOC)
        elif better:
            self.crowd(sell, px + 1 if sell else px - 1, min(lots, better), TIF_IOC)
        match_set_last(self.m, px)

    @property
    def counts(self):
        """Events played, and those outside the book's range."""
        return self.event_count, self.refused_count

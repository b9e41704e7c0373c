"""Order flow of several symbols: what a Hawkes process says happens, done to touches, levels and trades.

Owns: each symbol's touch and levels, what a move or trade does to them, the regime of the market. Does not own: when
things happen (hawkes.pyx), where the parameters come from (flow.py). Kinds 0 and 1 are moves common to all symbols,
up and down; then five of each symbol: a market order that buys, one that sells, a move up, a move down, a change at
the touch.

The touch is told by quotes, what stands behind it by level events; levels that the touch has passed are gone.
Invariants: 0 < bid < ask <= px_max; levels of a side run away from the touch and begin with it; a stretch is in order
of time. Cost: about 0.7 us an event of two symbols with its share of the thinning; one block of memory a stretch.
"""
cimport cython
from libc.math cimport erfc, log, sqrt
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memmove, memset

import numpy as np

from engine._core.types cimport (
    FLAG_ASK,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_SELL,
    KIND_BOOK_LEVEL,
    KIND_QUOTE,
    KIND_TRADE,
    event_t,
    level_event_t,
    quote_event_t,
    trade_event_t,
)
from engine._core.types import EVENT as _EVENT
from engine.sim.market.hawkes cimport Hawkes, stream_t, stream_uniform

cdef enum:
    SYMBOLS = 16
    LEVELS = 20
    POINTS = 32
    REGIMES = 4
    KINDS = 5
    SWEEP_MOST = 8
    ROOM = SYMBOLS * 6 * LEVELS   # events that one event of the process can bring about, at most

cdef enum:
    BUY = 0
    SELL = 1
    UP = 2
    DOWN = 3
    TOUCH = 4

cdef double BP = 1e-4

SYMBOLS_MAX = SYMBOLS
LEVEL_COUNT = LEVELS
POINT_COUNT = POINTS


cdef struct side_t:
    int64_t px[20]
    int64_t lots[20]
    int count
    double score                  # normal score of the touch's quantity: it wanders, its distribution stays


cdef struct symbol_t:
    side_t side[2]                # bids, asks
    int64_t px_max
    int64_t lots_max
    int64_t id_book
    int64_t id_trade
    int64_t settle_ns             # when the touch closes again; INT64_MAX while it is settled
    int64_t settle_bid
    double money_lot              # quote money of one lot at a price of one tick
    double loading                # of a common move
    double scale                  # of its own moves
    double spread_bp
    double open_share             # of moves that open the spread before they close it
    double touch_memory
    double move[32]               # bp; quantiles at the grid
    double width[32]              # bp
    double lasting[32]            # seconds
    double size[32]               # quote money
    double touch[32]              # quote money
    double gap[20]                # bp from the level before
    double money[20]


cdef struct regime_t:
    double rate
    double jump
    double spread
    double depth
    double tilt
    double dwell_s
    double next[4]                # cumulative chances


@cython.nonecheck(False)
@cython.final
cdef class OrderFlow:
    """`stretch` gives the next events. Built by engine.sim.market.flow, which owns units and files."""

    cdef Hawkes process
    cdef symbol_t symbols[16]
    cdef regime_t regimes[4]
    cdef double grid[32]
    cdef double common[32]
    cdef double gap_bp
    cdef int count
    cdef int regime
    cdef int direction
    cdef bint depth
    cdef bint opened
    cdef bint fixed
    cdef double pace
    cdef int64_t regime_ends_ns
    cdef int64_t venue_ns
    cdef event_t* out
    cdef Py_ssize_t at
    cdef list history

    def __cinit__(self, Hawkes process not None, *, grid, common, double gap_bp, symbols, regimes, int regime,
                  bint fixed, double pace, bint depth):
        cdef int i, k
        if not 1 <= len(symbols) <= SYMBOLS or process.dims != 2 + KINDS * len(symbols):
            raise ValueError(f"{len(symbols)} symbols, {process.dims} kinds")
        self.process, self.count, self.gap_bp = process, len(symbols), gap_bp
        self.depth, self.fixed, self.pace = depth, fixed, pace
        for i in range(POINTS):
            self.grid[i], self.common[i] = grid[i], common[i]
        memset(&self.symbols[0], 0, sizeof(self.symbols))
        for k, row in enumerate(symbols):
            self._symbol(&self.symbols[k], row)
        for k in range(REGIMES):
            self._regime(&self.regimes[k], regimes[k])
        self.history = []
        self.direction = 0
        self.regime = regime
        self._enter(regime)

    cdef int _symbol(self, symbol_t* y, row) except -1:
        cdef int i
        y.px_max, y.lots_max, y.money_lot = row["px_max"], row["lots_max"], row["money_lot"]
        y.loading, y.scale, y.spread_bp = row["loading"], row["scale"], row["spread_bp"]
        y.open_share, y.touch_memory, y.settle_ns = row["open_share"], row["touch_memory"], INT64_MAX
        for i in range(POINTS):
            y.move[i], y.width[i], y.lasting[i] = row["move_bp"][i], row["width_bp"][i], row["lasting_s"][i]
            y.size[i], y.touch[i] = row["size_money"][i], row["touch_money"][i]
        for i in range(LEVELS):
            y.gap[i], y.money[i] = row["level_gap_bp"][i], row["level_money"][i]
        y.side[0].px[0] = row["px_start"]
        return 0

    cdef int _regime(self, regime_t* r, row) except -1:
        cdef int i
        r.rate, r.jump, r.spread, r.depth = row["rate"], row["jump"], row["spread"], row["depth"]
        r.tilt, r.dwell_s = row["tilt"], row["dwell_s"]
        for i in range(REGIMES):
            r.next[i] = row["next"][i] + (r.next[i - 1] if i else 0.0)
        return 0

    # ---------------------------------------------------------------------------------------------------------- draws
    cdef double _uniform(self) noexcept nogil:
        return stream_uniform(&self.process.random)

    cdef double _table(self, const double* values, double u) noexcept nogil:
        """The quantile at `u`: straight lines between the points of the grid."""
        cdef int i = 1
        while i < POINTS - 1 and self.grid[i] < u:
            i += 1
        return values[i - 1] + (values[i] - values[i - 1]) * (u - self.grid[i - 1]) / (self.grid[i] - self.grid[i - 1])

    cdef double _normal(self) noexcept nogil:
        """Twelve uniforms make a bell that is near enough to a normal one: what is read off it is its own rank."""
        cdef double total = -6.0
        cdef int i
        for i in range(12):
            total += self._uniform()
        return total

    cdef int64_t _lots(self, const symbol_t* y, double money, int64_t px) noexcept nogil:
        cdef double lots = money / (y.money_lot * <double>px)
        return max(1, min(y.lots_max, <int64_t>(min(lots, 9e15) + 0.5)))

    cdef int64_t _ticks(self, double bp, int64_t px) noexcept nogil:
        return max(1, <int64_t>(bp * BP * <double>px + 0.5))

    cdef int64_t _spread(self, const symbol_t* y) noexcept nogil:
        return self._ticks(y.spread_bp * self.regimes[self.regime].spread, y.side[0].px[0])

    cdef int64_t _touch_lots(self, symbol_t* y, int s, bint fresh) noexcept nogil:
        cdef side_t* side = &y.side[s]
        cdef double memory = 0.0 if fresh else y.touch_memory
        side.score = memory * side.score + sqrt(1.0 - memory * memory) * self._normal()
        return self._lots(y, self._table(y.touch, 0.5 * erfc(-side.score * 0.7071067811865476))
                          * self.regimes[self.regime].depth, side.px[0])

    # --------------------------------------------------------------------------------------------------------- events
    cdef event_t* _event(self, int symbol, int kind, int flags) noexcept nogil:
        cdef event_t* e = &self.out[self.at]
        self.at += 1
        memset(e, 0, sizeof(event_t))
        e.kind, e.flags, e.symbol = <unsigned char>kind, <unsigned char>flags, <unsigned short>symbol
        e.ts_recv_ns = self.process.now_ns
        # What the venue stamped later did not arrive earlier: a stream keeps its order.
        self.venue_ns = max(self.venue_ns, e.ts_recv_ns - 100_000 - <int64_t>(800_000 * self._uniform()))
        e.ts_venue_ns = self.venue_ns
        return e

    cdef void _tell_touch(self, int symbol) noexcept nogil:
        cdef symbol_t* y = &self.symbols[symbol]
        cdef quote_event_t* q = <quote_event_t*>self._event(symbol, KIND_QUOTE, FLAG_FIRST | FLAG_LAST)
        y.id_book += 1
        q.bid_px_ticks, q.bid_qty_lots = y.side[0].px[0], y.side[0].lots[0]
        q.ask_px_ticks, q.ask_qty_lots = y.side[1].px[0], y.side[1].lots[0]
        q.id_book = y.id_book

    cdef void _tell_level(self, int symbol, int s, int64_t px, int64_t lots) noexcept nogil:
        cdef symbol_t* y = &self.symbols[symbol]
        cdef level_event_t* e
        if not self.depth:
            return
        e = <level_event_t*>self._event(symbol, KIND_BOOK_LEVEL, FLAG_FIRST | FLAG_LAST | (FLAG_ASK if s else 0))
        y.id_book += 1
        e.px_ticks, e.qty_lots = px, lots
        e.id_first = e.id_last = y.id_book
        e.id_prev = -1

    # --------------------------------------------------------------------------------------------------------- levels
    cdef void _cut(self, side_t* side, int first) noexcept nogil:
        """Take the best `first` levels away."""
        side.count -= first
        memmove(&side.px[0], &side.px[first], side.count * sizeof(int64_t))
        memmove(&side.lots[0], &side.lots[first], side.count * sizeof(int64_t))

    cdef void _insert(self, int symbol, int s, int place, int64_t px, int64_t lots) noexcept nogil:
        cdef side_t* side = &self.symbols[symbol].side[s]
        if side.count == LEVELS:
            side.count -= 1
            self._tell_level(symbol, s, side.px[side.count], 0)
        memmove(&side.px[place + 1], &side.px[place], (side.count - place) * sizeof(int64_t))
        memmove(&side.lots[place + 1], &side.lots[place], (side.count - place) * sizeof(int64_t))
        side.px[place], side.lots[place] = px, lots
        side.count += 1

    cdef void _set_side(self, int symbol, int s, int64_t px) noexcept nogil:
        """Move one side's touch: passed levels go, a new touch is put in front."""
        cdef symbol_t* y = &self.symbols[symbol]
        cdef side_t* side = &y.side[s]
        cdef int passed = 0
        if side.count and side.px[0] == px:
            return
        while passed < side.count and (side.px[passed] < px if s else side.px[passed] > px):
            passed += 1
        self._cut(side, passed)
        if side.count and side.px[0] != px and passed == 0:
            # The quantity of a touch goes with it: what stays behind is a level like the others.
            side.lots[0] = self._level_lots(y, 1, side.px[0])
            self._tell_level(symbol, s, side.px[0], side.lots[0])
        if side.count == 0 or side.px[0] != px:
            self._insert(symbol, s, 0, px, 1)
        side.lots[0] = self._touch_lots(y, s, True)

    cdef void _fill_side(self, int symbol, int s) noexcept nogil:
        """Levels behind the touch: into a hole that a move left, then until there are enough."""
        cdef symbol_t* y = &self.symbols[symbol]
        cdef side_t* side = &y.side[s]
        cdef int64_t px = side.px[0]
        cdef int place = 1
        while place < LEVELS:
            px += self._ticks(-log(self._uniform()) * y.gap[place], px) * (1 if s else -1)
            if px < 1 or px > y.px_max or (place < side.count and not (px < side.px[place] if s else px > side.px[place])):
                break
            self._insert(symbol, s, place, px, self._level_lots(y, place, px))
            self._tell_level(symbol, s, px, side.lots[place])
            place += 1
        while side.count < LEVELS:
            px = side.px[side.count - 1]
            px += self._ticks(-log(self._uniform()) * y.gap[side.count], px) * (1 if s else -1)
            # A price below one tick ends the bids.
            if px < 1 or px > y.px_max:
                break
            side.px[side.count], side.lots[side.count] = px, self._level_lots(y, side.count, px)
            side.count += 1
            self._tell_level(symbol, s, px, side.lots[side.count - 1])

    cdef int64_t _level_lots(self, const symbol_t* y, int level, int64_t px) noexcept nogil:
        return self._lots(y, -log(self._uniform()) * y.money[level] * self.regimes[self.regime].depth, px)

    cdef void _set_touch(self, int symbol, int64_t bid, int64_t ask) noexcept nogil:
        self._set_side(symbol, 0, bid)
        self._set_side(symbol, 1, ask)
        self._tell_touch(symbol)
        self._fill_side(symbol, 0)
        self._fill_side(symbol, 1)

    # --------------------------------------------------------------------------------------------------- what happens
    cdef void _settle(self, int symbol) noexcept nogil:
        cdef symbol_t* y = &self.symbols[symbol]
        y.settle_ns = INT64_MAX
        self._set_touch(symbol, y.settle_bid, y.settle_bid + self._spread(y))

    cdef void _move(self, int symbol, bint up, double bp) noexcept nogil:
        """A new price: at once, or by opening the spread in its direction and closing it a little later."""
        cdef symbol_t* y = &self.symbols[symbol]
        cdef int64_t bid = y.side[0].px[0] if y.settle_ns == INT64_MAX else y.settle_bid
        cdef int64_t by = self._ticks(bp, bid), spread = self._spread(y), width
        if bid + by + 4 * spread >= y.px_max:
            up = False
        elif bid - by <= 4 * spread:
            up = True
        y.settle_bid = bid + by if up else bid - by
        if self._uniform() >= y.open_share:
            self._settle(symbol)
            return
        width = max(by + spread, self._ticks(self._table(y.width, self._uniform())
                                             * self.regimes[self.regime].spread, bid))
        y.settle_ns = self.process.now_ns + 1 + <int64_t>(1e9 * self._table(y.lasting, self._uniform()))
        if up:
            self._set_touch(symbol, bid, min(bid + width, y.px_max))
        else:
            self._set_touch(symbol, max(1, bid + spread - width), bid + spread)

    cdef void _trade(self, int symbol, bint sell) noexcept nogil:
        """A market order, through as many levels as it needs; what it emptied is closed again a little later."""
        cdef symbol_t* y = &self.symbols[symbol]
        cdef int s = 0 if sell else 1
        cdef side_t* side = &y.side[s]
        cdef int64_t left = self._lots(y, self._table(y.size, self._uniform()), side.px[0]), lots
        cdef int64_t bid = y.side[0].px[0]
        cdef trade_event_t* e
        cdef int swept = 0
        while left and swept < SWEEP_MOST and side.count > 1:
            lots = min(left, side.lots[0])
            e = <trade_event_t*>self._event(symbol, KIND_TRADE, FLAG_SELL if sell else 0)
            y.id_trade += 1
            e.px_ticks, e.qty_lots = side.px[0], lots
            e.id_trade = e.id_first = e.id_last = y.id_trade
            left -= lots
            side.lots[0] -= lots
            if side.lots[0] == 0:
                self._cut(side, 1)
                swept += 1
        self._tell_touch(symbol)
        self._fill_side(symbol, s)
        if swept and y.settle_ns == INT64_MAX:
            y.settle_bid = bid
            y.settle_ns = self.process.now_ns + 1 + <int64_t>(1e9 * self._table(y.lasting, self._uniform()))

    cdef void _change(self, int symbol) noexcept nogil:
        """Somebody comes or goes at the touch, and now and then behind it."""
        cdef symbol_t* y = &self.symbols[symbol]
        cdef int s = self._uniform() < 0.5, level
        cdef side_t* side = &y.side[s]
        cdef int64_t px
        side.lots[0] = self._touch_lots(y, s, False)
        self._tell_touch(symbol)
        if self._uniform() >= 0.2 or side.count < 3:
            return
        level = 1 + <int>(self._uniform() * (side.count - 2))
        px = side.px[level - 1]
        px += self._ticks(-log(self._uniform()) * y.gap[level], px) * (1 if s else -1)
        if px < side.px[level] if s else px > side.px[level]:
            self._insert(symbol, s, level, px, self._level_lots(y, level, px))
        else:
            side.lots[level] = self._level_lots(y, level, side.px[level])
        self._tell_level(symbol, s, side.px[level], side.lots[level])

    cdef void _common(self, bint up) noexcept nogil:
        cdef double bp = self._table(self.common, self._uniform()) * self.regimes[self.regime].jump
        cdef int i
        for i in range(self.count):
            self._move(i, up, bp * self.symbols[i].loading)

    cdef void _do(self, int kind) noexcept nogil:
        cdef int symbol = (kind - 2) // KINDS, what = (kind - 2) % KINDS
        cdef symbol_t* y = &self.symbols[symbol]
        if kind < 2:
            self._common(kind == 0)
        elif what == BUY or what == SELL:
            self._trade(symbol, what == SELL)
        elif what == TOUCH:
            self._change(symbol)
        else:
            self._move(symbol, what == UP,
                       self._table(y.move, self._uniform()) * y.scale * self.regimes[self.regime].jump)

    # -------------------------------------------------------------------------------------------------------- regimes
    cdef int _enter(self, int regime) except -1:
        """Rates and direction of a regime, until it ends. A trend has a side; a crash is one that falls."""
        cdef regime_t* r = &self.regimes[regime]
        cdef int i
        self.regime = regime
        self.direction = 0
        if regime == 1:
            self.direction = 1 if self._uniform() < 0.5 else -1
        elif regime == 2:
            self.direction = -1
        for i in range(self.process.dims):
            self.process.scale[i] = r.rate
            # Those that come from outside lean to one side: common moves and market orders.
            if i < 2 or (i - 2) % KINDS < 2:
                self.process.scale[i] *= 1.0 + self.direction * r.tilt * (-1 if (i % 2 if i < 2 else (i - 2) % KINDS % 2) else 1)
        self.regime_ends_ns = INT64_MAX if self.fixed else \
            self.process.now_ns + 1 + <int64_t>(1e9 * r.dwell_s / self.pace * -log(self._uniform()))
        self.history.append((self.process.now_ns, regime))
        return 0

    cdef void _gap(self) noexcept nogil:
        """The market opens somewhere else."""
        cdef double bp = self.gap_bp * (0.5 - 0.5 * log(self._uniform()))
        cdef bint up = self._uniform() < 0.5
        cdef int i
        for i in range(self.count):
            self._move(i, up, bp * self.symbols[i].loading)

    cdef int _turn(self) except -1:
        cdef double u = self._uniform()
        cdef int regime = 0
        while regime < REGIMES - 1 and self.regimes[self.regime].next[regime] < u:
            regime += 1
        self._enter(regime)
        if regime == 3:
            self._gap()
        return 0

    # ------------------------------------------------------------------------------------------------------- stretches
    cdef void _open(self) noexcept nogil:
        cdef int i
        cdef int64_t bid
        for i in range(self.count):
            bid = self.symbols[i].side[0].px[0]
            self.symbols[i].side[0].count = 0
            self._set_touch(i, bid, bid + self._ticks(self.symbols[i].spread_bp, bid))

    cdef Py_ssize_t _run(self, Py_ssize_t most) noexcept nogil:
        """Events until there are `most` of them or the regime ends."""
        cdef int64_t until
        cdef int i, first, kind
        while self.at < most:
            first, until = -1, self.regime_ends_ns
            for i in range(self.count):
                if self.symbols[i].settle_ns < until:
                    first, until = i, self.symbols[i].settle_ns
            kind = self.process.next_event(until)
            if kind >= 0:
                self._do(kind)
            elif first >= 0:
                self._settle(first)
            else:
                break
        return self.at

    def stretch(self, Py_ssize_t count):
        """At least `count` events, and a few more: what one event of the process brings about stays together."""
        out = np.zeros(count + ROOM, _EVENT)
        cdef unsigned char[::1] view = out.view(np.uint8)
        if count < 1:
            raise ValueError(f"a stretch of {count} events")
        self.out = <event_t*>&view[0]
        self.at = 0
        if not self.opened:
            self.process.now_ns += 1
            self._open()
            self.opened = True
        while self._run(count) < count:
            self._turn()
        self.out = NULL
        return out[:self.at].copy()

    @property
    def now_ns(self):
        return self.process.now_ns

    @property
    def regimes_so_far(self):
        """When each regime began, and which."""
        return list(self.history)

    def book(self, int symbol):
        """Bids and asks as (price, lots), best first."""
        cdef symbol_t* y = &self.symbols[symbol]
        return tuple([(y.side[s].px[i], y.side[s].lots[i]) for i in range(y.side[s].count)] for s in range(2))

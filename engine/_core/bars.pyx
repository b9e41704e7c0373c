cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memset

from collections import namedtuple

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new

cdef extern from * nogil:
    """
    #define bot4_mul_over(a, b, r) __builtin_mul_overflow(a, b, r)
    #define bot4_add_over(a, b, r) __builtin_add_overflow(a, b, r)
    """
    bint mul_over "bot4_mul_over"(int64_t a, int64_t b, int64_t* r) noexcept
    bint add_over "bot4_add_over"(int64_t a, int64_t b, int64_t* r) noexcept

cdef enum:
    ROOM = 64                     # bars a call of the Python face takes at once

# Times up to the year 2200 and prices and sizes far beyond any venue's: sums of two never overflow.
cdef int64_t TS_MOST = 7_258_118_400_000_000_000
cdef int64_t SIZE_MOST = 1 << 60


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(bar_t) == 96)
    static_assert_c(sizeof(bars_t) == 240)


cdef int bars_init(bars_t* b, int kind, int64_t size, int late, bint fill) noexcept nogil:
    memset(b, 0, sizeof(bars_t))
    if kind < 0 or kind >= <int>BAR_KINDS or size < 1 or size > SIZE_MOST or late < 0 or late > <int>LATE_DROP:
        return BARS_BAD_CONFIG
    b.kind = kind
    b.size = size
    b.late = late
    b.fill = fill
    return BARS_OK


cdef inline bint _empty(const bars_t* b) noexcept nogil:
    return b.bar.trade_count == 0


cdef void _open(bars_t* b, int64_t ts_ns, int64_t px_ticks) noexcept nogil:
    """Begin a bar at a price; a brick keeps the volume that came before its price was reached."""
    b.bar.ts_open_ns = ts_ns
    b.bar.open_ticks = px_ticks
    b.bar.high_ticks = px_ticks
    b.bar.low_ticks = px_ticks
    b.bar.close_ticks = px_ticks


cdef void _close(bars_t* b, bar_t* out, int* count) noexcept nogil:
    out[count[0]] = b.bar
    count[0] += 1
    b.bar_count += 1
    b.last_close_ticks = b.bar.close_ticks
    memset(&b.bar, 0, sizeof(bar_t))


cdef inline int64_t _floor(int64_t ts_ns, int64_t size) noexcept nogil:
    return ts_ns - ts_ns % size


# -------------------------------------------------------------------------------------------------------- time bars
cdef void _time_owed(bars_t* b, bar_t* out, int room, int* count) noexcept nogil:
    """Close what ended by `until_ns`: the bar being built, then empty ones."""
    cdef int64_t end
    while b.until_ns and count[0] < room:
        if _empty(b):
            # The next interval without a trade begins where the last bar ended.
            if not b.fill or b.bar_count == 0 or b.bar.ts_open_ns + b.size > b.until_ns:
                b.until_ns = 0
                return
            end = b.bar.ts_open_ns
            _open(b, end, b.last_close_ticks)
        end = b.bar.ts_open_ns + b.size
        if end > b.until_ns:
            b.until_ns = 0
            return
        b.bar.ts_close_ns = end
        _close(b, out, count)
        b.bar.ts_open_ns = end


cdef void _time_reach(bars_t* b, int64_t ts_ns, bar_t* out, int room, int* count) noexcept nogil:
    if _empty(b) and b.bar_count == 0:
        return
    if ts_ns >= b.bar.ts_open_ns + b.size:
        b.until_ns = _floor(ts_ns, b.size)
        _time_owed(b, out, room, count)


# ------------------------------------------------------------------------------------------------------ Renko bricks
cdef void _bricks_owed(bars_t* b, bar_t* out, int room, int* count) noexcept nogil:
    """Bricks up to the target: on in the old direction, or two bricks back."""
    cdef int64_t way, start, gap
    while count[0] < room:
        gap = b.brick_target_ticks - b.brick_end_ticks
        way = 1 if gap > 0 else -1
        if gap < 0:
            gap = -gap
        if gap < b.size or (b.brick_way and way != b.brick_way and gap < 2 * b.size):
            b.brick_target_ticks = 0
            return
        # A turn starts one brick back, where the brick before began.
        start = b.brick_end_ticks
        if b.brick_way and way != b.brick_way:
            start += way * b.size
        b.bar.open_ticks = start
        b.bar.close_ticks = start + way * b.size
        b.bar.high_ticks = start if way < 0 else b.bar.close_ticks
        b.bar.low_ticks = start if way > 0 else b.bar.close_ticks
        b.bar.ts_close_ns = b.ts_newest_ns
        b.brick_end_ticks = b.bar.close_ticks
        b.brick_way = way
        _close(b, out, count)
        b.bar.ts_open_ns = b.ts_newest_ns


cdef inline bint _owing(const bars_t* b) noexcept nogil:
    return b.until_ns != 0 or b.brick_target_ticks != 0


cdef int bars_drain(bars_t* b, bar_t* out, int room, int* count) noexcept nogil:
    count[0] = 0
    if b.until_ns:
        _time_owed(b, out, room, count)
    if b.brick_target_ticks:
        _bricks_owed(b, out, room, count)
    return BARS_MORE if _owing(b) else BARS_OK


cdef int bars_clock(bars_t* b, int64_t now_ns, bar_t* out, int room, int* count) noexcept nogil:
    count[0] = 0
    if now_ns < 0 or now_ns > TS_MOST:
        return BARS_REFUSED
    if _owing(b):
        return BARS_MORE
    if b.kind == BAR_TIME:
        _time_reach(b, now_ns, out, room, count)
        # Time told is time passed: a trade from before it belongs to a bar that is out.
        if now_ns > b.ts_newest_ns and b.bar_count:
            b.ts_newest_ns = now_ns
    return BARS_MORE if _owing(b) else BARS_OK


cdef inline bint _full(const bars_t* b) noexcept nogil:
    cdef int64_t imbalance
    if b.kind == BAR_TICKS:
        return b.bar.trade_count >= b.size
    if b.kind == BAR_VOLUME:
        return b.bar.volume_lots >= b.size
    if b.kind == BAR_VALUE:
        return b.bar.value >= b.size
    if b.kind == BAR_IMBALANCE:
        imbalance = 2 * b.bar.bought_lots - b.bar.volume_lots
        return imbalance >= b.size or -imbalance >= b.size
    return False


cdef int _add(bars_t* b, int64_t px, int64_t qty, bint sell, bint late) noexcept nogil:
    """Take a trade's volume. Only bars whose prices are trades' own move with its price."""
    cdef int64_t value, total, volume
    if mul_over(px, qty, &value) or add_over(b.bar.value, value, &total) or add_over(b.bar.volume_lots, qty, &volume):
        return BARS_REFUSED
    if volume > SIZE_MOST:
        return BARS_REFUSED
    b.bar.value = total
    b.bar.volume_lots = volume
    b.bar.bought_lots += 0 if sell else qty
    b.bar.trade_count += 1
    b.bar.late_count += late
    return BARS_OK


cdef int _late(bars_t* b, int64_t ts, int64_t px, int64_t qty, bint sell) noexcept nogil:
    """A trade from before the newest one seen."""
    b.late_count += 1
    if b.late == LATE_DROP or _empty(b):
        return BARS_LATE
    if _add(b, px, qty, sell, True) != BARS_OK:
        b.refused_count += 1
        b.late_count -= 1
        return BARS_REFUSED
    if ts < b.bar.ts_open_ns or b.kind == BAR_RENKO:
        return BARS_LATE
    # Within the bar: its price was traded in this interval, but the close stays the newest trade's.
    b.bar.high_ticks = max(b.bar.high_ticks, px)
    b.bar.low_ticks = min(b.bar.low_ticks, px)
    return BARS_OK


cdef int bars_trade(
    bars_t* b, int64_t ts, int64_t px, int64_t qty, bint sell, bar_t* out, int room, int* count
) noexcept nogil:
    cdef int status
    cdef int64_t value
    count[0] = 0
    if ts < 0 or ts > TS_MOST or px < 1 or px > SIZE_MOST or qty < 1 or qty > SIZE_MOST or mul_over(px, qty, &value):
        b.refused_count += 1
        return BARS_REFUSED
    if _owing(b):
        return BARS_MORE
    if b.trade_count and ts < b.ts_newest_ns:
        status = _late(b, ts, px, qty, sell)
        if status == BARS_REFUSED:
            return status
        b.trade_count += 1
        if status == BARS_OK and _full(b):
            b.bar.ts_close_ns = b.ts_newest_ns
            _close(b, out, count)
        return status
    if b.kind == BAR_TIME:
        _time_reach(b, ts, out, room, count)
        if _owing(b):
            # The trade has to wait for the bars before it; the caller gives it again after the drain.
            return BARS_MORE
    if _empty(b):
        _open(b, _floor(ts, b.size) if b.kind == BAR_TIME else ts, px)
    if _add(b, px, qty, sell, False) != BARS_OK:
        b.refused_count += 1
        return BARS_REFUSED
    b.ts_newest_ns = ts
    b.trade_count += 1
    if b.kind == BAR_RENKO:
        if b.brick_end_ticks == 0:
            b.brick_end_ticks = px
        b.brick_target_ticks = px
        _bricks_owed(b, out, room, count)
        return BARS_MORE if _owing(b) else BARS_OK
    b.bar.high_ticks = max(b.bar.high_ticks, px)
    b.bar.low_ticks = min(b.bar.low_ticks, px)
    b.bar.close_ticks = px
    b.bar.ts_close_ns = ts
    if _full(b):
        _close(b, out, count)
    return BARS_OK


# ------------------------------------------------------------------------------------------------------- Python face
Kind = bar_kind_t
Late = late_t
Bar = namedtuple(
    "Bar", "ts_open_ns ts_close_ns open_ticks high_ticks low_ticks close_ticks volume_lots bought_lots value "
           "trade_count late_count",
)
_KINDS = {"time": BAR_TIME, "ticks": BAR_TICKS, "volume": BAR_VOLUME, "value": BAR_VALUE,
          "imbalance": BAR_IMBALANCE, "renko": BAR_RENKO}
_LATE = {"fold": LATE_FOLD, "drop": LATE_DROP}


cdef object _bar(const bar_t* x):
    return Bar(x.ts_open_ns, x.ts_close_ns, x.open_ticks, x.high_ticks, x.low_ticks, x.close_ticks, x.volume_lots,
               x.bought_lots, x.value, x.trade_count, x.late_count)


@cython.final
cdef class Bars:
    """Bars of one kind for one instrument."""

    def __cinit__(self, str kind not None, int64_t size, *, str late="fold", bint fill=False):
        self.c = <bars_t*>block_new(sizeof(bars_t))
        if kind not in _KINDS or late not in _LATE:
            raise ValueError(f"bars {kind!r}, late trades {late!r}: {', '.join(_KINDS)}; {', '.join(_LATE)}")
        if bars_init(self.c, _KINDS[kind], size, _LATE[late], fill) != BARS_OK:
            raise ValueError(f"size {size}: 1 to {SIZE_MOST}")

    def __dealloc__(self):
        block_free(self.c)

    cdef list _rest(self, list done, int status):
        cdef bar_t out[ROOM]
        cdef int count, i
        while status == BARS_MORE:
            status = bars_drain(self.c, out, ROOM, &count)
            for i in range(count):
                done.append(_bar(&out[i]))
        return done

    def trade(self, int64_t ts_ns, int64_t px_ticks, int64_t qty_lots, bint sell=False):
        """Apply one trade; the bars that it closed."""
        cdef bar_t out[ROOM]
        cdef int count, i, status
        cdef list done = []
        while True:
            status = bars_trade(self.c, ts_ns, px_ticks, qty_lots, sell, out, ROOM, &count)
            for i in range(count):
                done.append(_bar(&out[i]))
            if status != BARS_MORE:
                return done
            again = self.c.kind == BAR_TIME
            self._rest(done, status)
            if not again:
                return done

    def clock(self, int64_t now_ns):
        """Time has come to here; the time bars that ended."""
        cdef bar_t out[ROOM]
        cdef int count, i, status = bars_clock(self.c, now_ns, out, ROOM, &count)
        done = [_bar(&out[i]) for i in range(count)]
        return self._rest(done, status)

    def run(self, const int64_t[::1] ts_ns, const int64_t[::1] px_ticks, const int64_t[::1] qty_lots, const int64_t[::1] sell):
        """Apply arrays of trades; every closed bar as a row of integers in the order of `Bar`."""
        cdef Py_ssize_t i
        done = []
        if not (ts_ns.shape[0] == px_ticks.shape[0] == qty_lots.shape[0] == sell.shape[0]):
            raise ValueError("the arrays of trades differ in length")
        for i in range(ts_ns.shape[0]):
            done.extend(self.trade(ts_ns[i], px_ticks[i], qty_lots[i], sell[i] != 0))
        return np.array(done, dtype=np.int64).reshape(-1, 11)

    @property
    def current(self):
        """The bar being built, None before its first trade."""
        return None if _empty(self.c) else _bar(&self.c.bar)

    @property
    def late_count(self):
        return self.c.late_count

    @property
    def refused_count(self):
        return self.c.refused_count

    @property
    def bar_count(self):
        return self.c.bar_count

    def check(self):
        """Walk the invariants."""
        cdef const bar_t* x = &self.c.bar
        assert not _owing(self.c), "bars are owed between two calls"
        if not _empty(self.c):
            assert 0 <= x.bought_lots <= x.volume_lots, "bought and sold"
            assert x.low_ticks <= x.open_ticks <= x.high_ticks, "open outside the range"
            assert x.low_ticks <= x.close_ticks <= x.high_ticks, "close outside the range"
            assert x.late_count <= x.trade_count, "more late trades than trades"
        assert self.c.late_count <= self.c.trade_count + self.c.refused_count, "late"

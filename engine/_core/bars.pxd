"""Bars from trades: time, tick, volume, value, imbalance and Renko bars, in whole ticks and lots.

Owns: one bar being built for one instrument, and when it closes. Does not own: what is computed from bars
(features), or the clock: time is the trade's own, or an argument.

When a bar closes. TIME: at the first trade, or the first `bars_clock`, at or past its end; its bounds are multiples of
the interval in UTC. TICKS, VOLUME, VALUE: with the trade that reaches the size, which is not split: the surplus stays
in the bar it came with. IMBALANCE: with the trade that brings |bought - sold| lots to the size. RENKO: bricks of
`size` ticks from the last brick's end, a turn needs two; a brick carries the volume since the one before.

Late trades (older than the newest trade seen): LATE_FOLD counts them and takes them into the bar being built, with
their price but without moving time back; a trade older than the bar's own beginning then belongs to a bar that is
already out, and only its volume is taken (nothing while no bar is being built). LATE_DROP counts them and leaves them
out. A closed bar never changes.

Empty intervals: with `fill` a time bar of zero volume at the last close stands for each, without it none.

One trade may close many bars (a Renko jump, filled gaps). The caller gives room; what does not fit is kept and
BARS_MORE says so: drain before the next trade, which is refused until then. Invariant: low <= open, close <= high,
volume = bought + sold, bars do not overlap. Cost: a few nanoseconds a trade, no allocation.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t


cpdef enum bar_kind_t:
    BAR_TIME = 0                  # size in nanoseconds
    BAR_TICKS = 1                 # trades
    BAR_VOLUME = 2                # lots
    BAR_VALUE = 3                 # ticks x lots
    BAR_IMBALANCE = 4             # lots bought less lots sold, either way
    BAR_RENKO = 5                 # ticks of price
    BAR_KINDS = 6


cpdef enum late_t:
    LATE_FOLD = 0
    LATE_DROP = 1


cdef enum:
    BARS_OK = 0
    BARS_REFUSED = 1              # no price, no quantity, or a product beyond 63 bits: nothing was applied
    BARS_MORE = 2                 # closed bars wait for room
    BARS_LATE = 3                 # dropped by LATE_DROP, or only its volume was taken by LATE_FOLD
    BARS_BAD_CONFIG = 4


cdef struct bar_t:                # 96 bytes
    int64_t ts_open_ns
    int64_t ts_close_ns           # the end of a time bar; of the others the last trade's time
    int64_t open_ticks
    int64_t high_ticks
    int64_t low_ticks
    int64_t close_ticks
    int64_t volume_lots
    int64_t bought_lots
    int64_t value                 # sum of ticks x lots
    int64_t trade_count
    int64_t late_count            # late trades within
    int64_t reserved


cdef struct bars_t:               # 240 bytes
    int32_t kind
    int32_t late
    int32_t fill
    uint32_t reserved
    int64_t size
    int64_t ts_newest_ns
    int64_t trade_count
    int64_t refused_count
    int64_t late_count
    int64_t bar_count             # closed so far
    int64_t last_close_ticks      # of the last closed bar, 0 before
    int64_t until_ns              # closed time bars still owed up to here
    int64_t brick_end_ticks       # Renko: where the last brick ended
    int64_t brick_way             # +1, -1, 0 before the first
    int64_t brick_target_ticks    # Renko: the price bricks are owed up to
    int64_t spare[5]
    bar_t bar                     # being built; trade_count 0 and volume 0: nothing yet


cdef int bars_init(bars_t* b, int kind, int64_t size, int late, bint fill) noexcept nogil
# Apply one trade; closed bars go to `out`, their number to `count`.
cdef int bars_trade(
    bars_t* b, int64_t ts_ns, int64_t px_ticks, int64_t qty_lots, bint sell, bar_t* out, int room, int* count
) noexcept nogil
# Time bars that have ended by `now_ns` close without a trade.
cdef int bars_clock(bars_t* b, int64_t now_ns, bar_t* out, int room, int* count) noexcept nogil
cdef int bars_drain(bars_t* b, bar_t* out, int room, int* count) noexcept nogil


cdef class Bars:
    cdef bars_t* c

    cdef list _rest(self, list done, int status)

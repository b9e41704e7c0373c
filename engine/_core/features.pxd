"""Windowed features of one price stream: up to 102 families times 32 windows, advanced together by one update.

A stream is bars or ticks of one instrument: whoever owns it pushes (open, high, low, close, volume) when a bar closes,
or one price five times for a tick. There is one definition of each feature and it is the online one: the batch form
compiles the same inlined functions with the family a constant and the state in a local copy. The last column of an
update is the log return of a reference instrument (for corr_ref and beta_ref), zero without one.

Owns: the block (header, lanes, rings) and its set-up. Does not own: names and bounds (features_table), what a family
stands on (features_needs), the formulas (features_rows), a bar's way into the rings (features_tick), what a bar is
(bars), quotes and trades (flow).

Layout. Windows are lanes: eight windows make a group, and each piece of state is a row of eight doubles, so one to
four vector operations advance a family for eight windows. What families share (moments of the window, Wilder means,
the extremes) is one row, advanced once. Records of past bars stand in one ring and hold the close and only those
terms that somebody sums; a rolling sum takes what leaves its window from there. Extremes come from blocks of doubling
length, so a window's high is the larger of two numbers.

Invariants. No input that is not a finite positive price (volume: not negative) is ever applied: it is refused,
counted, and the state stays as it was. Rolling sums and moments are replaced by freshly built ones each window, so
rounding does not pile up and a wild value leaves when its windows have passed. A value outside its family's bounds
is set to the bound and flagged. Before its warm-up a feature is NaN: a comparison with it is false. Given the same
updates the bits are the same on every instruction set. The block holds no pointer.

Cost: about 1 ns a feature with all lanes of a group in use; the families named "scan" in the table read the whole
window, eight values a step.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from engine._core.features_table cimport FAMILIES, SIGNALS
from engine._core.simd cimport row_t, window_t


cdef enum:
    LANES = 8
    GROUPS_MAX = 4
    WINDOW_MAX = 1000
    LEVELS = 10                   # blocks of 1, 2, 4 ... 512 bars
    HULL_RING = 32                # a power of two above the root of WINDOW_MAX


# What an update or a set-up says.
cdef enum:
    FEATURES_OK = 0
    FEATURES_REFUSED = 1          # an input that is no price or no volume: nothing was applied
    FEATURES_BAD_CONFIG = 2


cdef struct group_t:
    # constants of the eight windows
    row_t n
    row_t half
    row_t hull
    row_t slow
    row_t signal
    row_t second
    row_t k_ema
    row_t k_rma
    row_t k_slow
    row_t k_signal
    row_t k_second
    row_t weight_sum              # 1 + 2 + .. + n
    row_t weight_det              # n * sum of squares - square of the sum
    row_t weight_root             # the root of weight_det, times n
    row_t weight_half             # 1 + 2 + .. + half
    row_t weight_hull
    row_t kalman_q
    row_t log_n
    int64_t window[8]
    int64_t back_n[8]             # doubles back in the ring of records: a window ..
    int64_t back_half[8]          # .. and half of one
    int64_t back_hull[8]
    int64_t level[8]              # of the largest block in a window
    int64_t back_block[8]         # doubles back in the ring of extremes: to the older block ..
    int64_t level1[8]             # .. and the same of the window one longer
    int64_t back_block1[8]
    # shared state
    window_t win
    window_t win_half
    window_t win_hull
    row_t fresh_count
    row_t ema1
    row_t ema2
    row_t ema3
    row_t ema3_before
    row_t rma
    row_t kama
    row_t mcginley
    row_t macd_fast
    row_t macd_slow
    row_t macd_signal
    row_t gain
    row_t loss
    row_t atr
    row_t dm_plus
    row_t dm_minus
    row_t adx
    row_t tsi_change
    row_t tsi_change2
    row_t tsi_way
    row_t tsi_way2
    row_t ewma
    row_t force
    row_t kalman
    row_t kalman_p
    row_t stoch1
    row_t stoch2
    row_t sum[37]                 # SIGNALS
    row_t fresh[37]
    row_t hull_ring[32]           # HULL_RING
    # results
    row_t warm[102]               # FAMILIES
    row_t out[102]
    uint8_t flag[120]             # a bit for each lane
    uint8_t any_flag
    uint8_t reserved[7]


cdef struct features_t:
    uint64_t bytes
    uint64_t needs
    uint64_t sums                 # a bit for each rolling sum that is kept
    uint64_t parts                # which formulas have work
    int64_t count                 # updates applied
    int64_t refused_count
    int64_t anomaly_count         # updates with at least one feature set to its bound
    int64_t settled_count         # updates until every start lies behind
    int64_t ring_mask
    uint32_t group_count
    uint32_t window_count
    uint32_t sum_count
    uint32_t family_count
    uint32_t record_shift         # a record is 1 << this doubles: the close, then the sums' terms in rising order
    uint32_t extreme_shift        # a bar's extremes: the highs by level, and in the second half the lows
    uint32_t level_count
    uint32_t reserved
    double open_before
    double close_before
    double high_before
    double low_before
    double typical_before
    double return_before
    uint64_t at_records           # offsets from the header
    uint64_t at_extremes
    uint64_t at_times
    uint64_t at_typical           # mirrors: written twice, so that every window is one run of memory
    uint64_t at_closes
    uint64_t at_ranges
    uint8_t signal[40]            # the sums that are kept
    uint8_t on[128]               # a byte for each family
    uint64_t reserved1[2]
    # group_t groups[group_count], then the rings


# What one update computes once for all windows, and where the block's parts lie.
cdef struct tick_t:
    double o
    double c
    double h
    double l
    double d                      # close - close before, 0 at first
    double change_up
    double change_down
    double tr
    double dm_plus
    double dm_minus
    double log_return
    double volume
    double typical
    double close_before           # the close itself at first
    double count
    int64_t number
    bint settled                  # every family is past its warm-up in every window
    int lane                      # the first of the slice at hand
    uint8_t* flag                 # of the group at hand
    uint8_t* any_flag
    const uint8_t* on
    const uint8_t* signal
    uint32_t sum_count
    const double* low             # bounds by family
    const double* high
    int record_shift
    int64_t record_cut
    double* records
    double* now                   # this update's record
    int extreme_shift
    int64_t extreme_cut
    int64_t lows                  # where the lows begin in a bar's extremes
    double* extremes
    double* extremes_now
    double* times
    double* times_now
    const double* typicals        # one past the newest value of each mirror
    const double* closes
    const double* ranges
    int64_t at_n[8]               # of the slice at hand: places in the rings
    int64_t at_half[8]
    int64_t at_block[8]
    int64_t at_block1[8]
    int64_t at_hull[8]


# Bars as columns, and where a batch writes: a row of `window_count` values a bar.
cdef struct columns_t:
    const double* open
    const double* high
    const double* low
    const double* close
    const double* volume
    const double* reference
    int64_t count


# One compiled version of the formulas: an update, and the batch of one family for up to eight windows.
ctypedef int (*bar_t)(features_t* f, double o, double h, double l, double c, double v, double reference) noexcept nogil
ctypedef void (*batch_t)(features_t* f, int family, const columns_t* bars, double* out) noexcept nogil


cdef inline group_t* features_groups(features_t* f) noexcept nogil:
    return <group_t*>(<char*>f + sizeof(features_t))


cdef inline unsigned int features_lanes(const features_t* f, uint64_t group) noexcept nogil:
    """A bit for each lane of a group that has a window of its own."""
    return (1 << min(<uint64_t>LANES, f.window_count - group * LANES)) - 1


cdef inline double features_value(features_t* f, int family, int lane) noexcept nogil:
    """A feature's value: NaN before its warm-up and for a family that is off."""
    return features_groups(f)[lane // LANES].out[family].d[lane % LANES]


cdef size_t features_bytes(const uint8_t* on, const int32_t* windows, int window_count) noexcept nogil
cdef int features_init(features_t* f, const uint8_t* on, const int32_t* windows, int window_count) noexcept nogil
cdef void features_reset(features_t* f) noexcept nogil
# `level` is the caller's isa_level(): asked once, outside its loop.
cdef int features_bar(
    features_t* f, double open_, double high, double low, double close, double volume, double reference, int level
) noexcept nogil
cdef int features_price(features_t* f, double price, double volume, int level) noexcept nogil
# Have the lines fetched that the next update will read; for whoever updates many streams in turn.
cdef void features_prefetch(const features_t* f) noexcept nogil


cdef class Features:
    cdef features_t* c
    cdef int level
    cdef readonly tuple families
    cdef readonly tuple windows

"""Windowed features of one price stream: up to 93 families times 32 windows, advanced together by one update.

A stream is bars or ticks of one instrument: whoever owns it pushes (open, high, low, close, volume) when a bar closes,
or one price five times for a tick. There is one definition of each feature and it is the online one; a batch is the
same update in a loop. The last column of an update is the log return of a reference instrument (for corr_ref and
beta_ref), zero without one.

Owns: the block (header, lanes, rings) and every formula. Does not own: names and bounds (features_table), what a bar
is (bars), quotes and trades (flow).

Layout. Windows are lanes: eight windows make a group, and each piece of state is a row of eight doubles, so one
vector operation advances a family for eight windows. What families share (moments of the window, Wilder means, the
extremes) is one row, advanced once. Records of past bars stand in one ring; a rolling sum takes what leaves its
window from there. Extremes come from blocks of doubling length, so a window's high is the larger of two numbers.

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
from engine._core.simd cimport v8, window_t


cdef enum:
    LANES = 8
    GROUPS_MAX = 4
    WINDOW_MAX = 1000
    LEVELS = 10                   # blocks of 1, 2, 4 ... 512 bars
    EXTREME = 24                  # doubles of extremes a bar: highs from 0, lows from 12
    HULL_RING = 32                # a power of two above the root of WINDOW_MAX


# What an update or a set-up says.
cdef enum:
    FEATURES_OK = 0
    FEATURES_REFUSED = 1          # an input that is no price or no volume: nothing was applied
    FEATURES_BAD_CONFIG = 2


# The formulas by the function that holds them; each range is given by families in features.pyx.
cdef enum:
    PART_RING = 1
    PART_TREND = 2
    PART_DIRECTION = 4
    PART_MOMENTUM = 8
    PART_VOLATILITY = 16
    PART_VOLUME = 32
    PART_STATISTICS = 64


cdef struct group_t:
    # constants of the eight windows
    v8 n
    v8 half
    v8 hull
    v8 slow
    v8 signal
    v8 second
    v8 k_ema
    v8 k_rma
    v8 k_slow
    v8 k_signal
    v8 k_second
    v8 weight_sum                 # 1 + 2 + .. + n
    v8 weight_det                 # n * sum of squares - square of the sum
    v8 kalman_q
    v8 log_n
    int64_t window[8]
    int64_t level[8]              # of the largest block in a window
    int64_t at_n[8]               # this update's record indices: n bars ago ..
    int64_t at_half[8]            # .. half a window ago ..
    int64_t at_block[8]           # .. the older block of the extremes ..
    int64_t at_block1[8]          # .. and of the window one longer
    int64_t level1[8]
    # shared state
    window_t win
    window_t win_half
    window_t win_hull
    v8 fresh_count
    v8 ema1
    v8 ema2
    v8 ema3
    v8 ema3_before
    v8 rma
    v8 kama
    v8 mcginley
    v8 macd_fast
    v8 macd_slow
    v8 macd_signal
    v8 gain
    v8 loss
    v8 atr
    v8 dm_plus
    v8 dm_minus
    v8 adx
    v8 tsi_change
    v8 tsi_change2
    v8 tsi_way
    v8 tsi_way2
    v8 ewma
    v8 force
    v8 kalman
    v8 kalman_p
    v8 stoch1
    v8 stoch2
    v8 sum[34]                    # SIGNALS
    v8 fresh[34]
    v8 hull_ring[32]              # HULL_RING
    # results
    v8 warm[93]                   # FAMILIES
    v8 out[93]
    uint8_t flag[96]              # a bit for each lane
    uint8_t any_flag
    uint8_t reserved[31]


cdef struct features_t:
    uint64_t bytes
    uint64_t needs
    int64_t count                 # updates applied
    int64_t refused_count
    int64_t anomaly_count         # updates with at least one feature set to its bound
    int64_t ring_mask
    uint32_t group_count
    uint32_t window_count
    uint32_t signal_count
    uint32_t family_count
    double close_before
    double high_before
    double low_before
    double typical_before
    double return_before
    uint64_t at_records           # offsets from the header
    uint64_t at_extremes
    uint64_t at_times
    uint64_t at_mirrors
    uint8_t signal[40]            # the sums that are kept
    uint8_t on[96]                # a byte for each family
    int64_t settled_count         # updates until then
    uint64_t parts                # which formulas have work
    uint64_t reserved[4]
    # group_t groups[group_count], then the rings


# What one update computes once for all windows.
cdef struct tick_t:
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
    double count
    const double* low             # bounds by family
    const double* high
    const int64_t* zeros
    int64_t number
    bint settled                  # every family is past its warm-up in every window
    const double* records
    const double* now             # this update's record
    const double* extremes
    const double* extremes_now
    const int64_t* times
    const int64_t* times_now
    const double* mirror_typical  # one past the newest value
    const double* mirror_close
    const double* mirror_range


ctypedef void (*advance_t)(const features_t* f, group_t* g, const tick_t* k) noexcept nogil


cdef inline group_t* features_groups(features_t* f) noexcept nogil:
    return <group_t*>(<char*>f + sizeof(features_t))


cdef inline double features_value(features_t* f, int family, int lane) noexcept nogil:
    """A feature's value: NaN before its warm-up and for a family that is off."""
    return (<double*>&features_groups(f)[lane // LANES].out[family])[lane % LANES]


cdef size_t features_bytes(const uint8_t* on, const int32_t* windows, int window_count) noexcept nogil
cdef int features_init(features_t* f, const uint8_t* on, const int32_t* windows, int window_count) noexcept nogil
cdef void features_reset(features_t* f) noexcept nogil
# `level` is the caller's isa_level(): asked once, outside its loop.
cdef int features_bar(
    features_t* f, double open_, double high, double low, double close, double volume, double reference, int level
) noexcept nogil
cdef int features_price(features_t* f, double price, double volume, int level) noexcept nogil


cdef class Features:
    cdef features_t* c
    cdef int level
    cdef readonly tuple families
    cdef readonly tuple windows

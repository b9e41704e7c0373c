cimport cython
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.features_table cimport *
from engine._core.isa cimport ISA_BASELINE, ISA_V3, ISA_V4, isa_detect, isa_level
from engine._core.memory cimport block_free, block_new
from engine._core.simd cimport (
    abs8, any8, eq, for_v3, for_v4, gather, ge, gt, inlined, keep, load8, log8, log_c, m8, max8, min8, ratio, roll,
    set1, sqrt8, sum8, v8, weight, where, window_push, window_t,
)

from engine._core.features_table import TABLE

cdef extern from * nogil:
    """
    BOT4_LEAF void bot4_emit(bot4_v8 *out, bot4_m8 *flag, bot4_m8 *any, bot4_v8 v, double low, double high,
                             bot4_v8 warm, bot4_v8 count) {
        bot4_v8 lo = bot4_set1(low), hi = bot4_set1(high);
        bot4_m8 live = count >= warm, bad = ((v >= lo) & (v <= hi)) == 0;
        v = bot4_where(v == v, v, lo);
        v = bot4_min8(bot4_max8(v, lo), hi);
        *flag = bad & live;
        *any |= bad & live;
        *out = bot4_where(live, v, bot4_set1(__builtin_nan("")));
    }
    BOT4_LEAF bot4_m8 bot4_first(int64_t n) {
        bot4_m8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
        return lane < n;
    }
    /* The two extremes of a window: the newer block of doubling length and the older one. */
    BOT4_LEAF bot4_v8 bot4_gather_level(const double *p, const int64_t *at, const int64_t *level) {
        return (bot4_v8){p[at[0] + level[0]], p[at[1] + level[1]], p[at[2] + level[2]], p[at[3] + level[3]],
                         p[at[4] + level[4]], p[at[5] + level[5]], p[at[6] + level[6]], p[at[7] + level[7]]};
    }
    """
    void emit "bot4_emit"(v8* out, m8* flag, m8* any_, v8 v, double low, double high, v8 warm, v8 count) noexcept
    m8 first_lanes "bot4_first"(int64_t n) noexcept
    v8 gather_level "bot4_gather_level"(const double* p, const int64_t* at, const int64_t* level) noexcept

cdef enum:
    # What a set of sums asks of a record, beside the table's own bits.
    NEED_TERMS = 1 << 24          # any sum at all
    NEED_LOGS = 1 << 25           # logarithms of the four prices
    NEED_RETURN = 1 << 26         # the log return

# Prices between these, volumes up to the last: squares and products of them stay far from overflow.
cdef double PRICE_LEAST = 1e-9
cdef double PRICE_MOST = 1e12
cdef double VOLUME_MOST = 1e21
cdef double LN_4_TIMES_4 = 2.772588722239781
cdef double GK_FACTOR = 0.3862943611198906
cdef double HALF_PI = 1.5707963267948966

# The bounds again as plain arrays: read in each update, so beside the code that reads them.
cdef double _low[FAMILIES]
cdef double _high[FAMILIES]


cdef int64_t _zeros[8]


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(features_t) == 320)
    static_assert_c(sizeof(group_t) % 64 == 0)
    static_assert_c(SIGNALS == 34)
    static_assert_c(FAMILIES == 93)


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
    int64_t number
    const double* records
    const double* now             # this update's record
    const double* extremes
    const double* extremes_now
    const int64_t* times
    const int64_t* times_now
    const double* mirror_typical  # one past the newest value
    const double* mirror_close
    const double* mirror_range


cdef inline bint on(const features_t* f, int family) noexcept nogil:
    return f.on[family]


cdef inline inlined put(const features_t* f, group_t* g, int family, v8 value, v8 count) noexcept nogil:
    emit(&g.out[family], &g.flag[family], &g.any_flag, value, _low[family], _high[family], g.warm[family], count)


# ------------------------------------------------------------------------------------------------ the shared rows
cdef inline inlined _indices(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef int i
    cdef int64_t mask = f.ring_mask
    for i in range(LANES):
        g.at_n[i] = ((k.number - g.window[i]) & mask) * RECORD
    if f.needs & NEED_HALF:
        for i in range(LANES):
            g.at_half[i] = ((k.number - <int64_t>(g.window[i] // 2 if g.window[i] > 1 else 1)) & mask) * RECORD
    if f.needs & (NEED_EXT | NEED_EXT1):
        for i in range(LANES):
            g.at_block[i] = ((k.number - g.window[i] + (<int64_t>1 << g.level[i])) & mask) * EXTREME
            g.at_block1[i] = ((k.number - g.window[i] - 1 + (<int64_t>1 << g.level1[i])) & mask) * EXTREME


cdef inline inlined _sums(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 fresh_count = g.fresh_count + 1.0
    cdef m8 swap = ge(fresh_count, g.n)
    cdef uint64_t j
    cdef int s
    g.fresh_count = keep(~swap, fresh_count)
    for j in range(f.signal_count):
        s = f.signal[j]
        roll(&g.sum[s], &g.fresh[s], k.now[s], gather(k.records + s, g.at_n), swap)


cdef inline inlined _means(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """The exponential means: each starts when its input does."""
    cdef v8 c = set1(k.c), t = set1(k.count), d = set1(k.d)
    cdef v8 by_change = weight(t - 1.0, g.n, g.k_rma), macd
    if f.needs & NEED_EMA1:
        g.ema1 = g.ema1 + weight(t, g.n, g.k_ema) * (c - g.ema1)
    if f.needs & NEED_EMA2:
        g.ema2 = g.ema2 + weight(t - g.n + 1.0, g.n, g.k_ema) * (g.ema1 - g.ema2)
    if f.needs & NEED_EMA3:
        g.ema3_before = g.ema3
        g.ema3 = g.ema3 + weight(t - 2.0 * g.n + 2.0, g.n, g.k_ema) * (g.ema2 - g.ema3)
    if f.needs & NEED_RMA:
        g.rma = g.rma + weight(t, g.n, g.k_rma) * (c - g.rma)
    if f.needs & NEED_MACD:
        g.macd_fast = g.macd_fast + weight(t, g.n, g.k_ema) * (c - g.macd_fast)
        g.macd_slow = g.macd_slow + weight(t, g.slow, g.k_slow) * (c - g.macd_slow)
        macd = g.macd_fast - g.macd_slow
        g.macd_signal = g.macd_signal + weight(t - g.slow + 1.0, g.signal, g.k_signal) * (macd - g.macd_signal)
    if f.needs & NEED_RSI:
        g.gain = g.gain + by_change * (k.change_up - g.gain)
        g.loss = g.loss + by_change * (k.change_down - g.loss)
    if f.needs & NEED_ATR:
        g.atr = g.atr + by_change * (k.tr - g.atr)
    if f.needs & NEED_DM:
        g.dm_plus = g.dm_plus + by_change * (k.dm_plus - g.dm_plus)
        g.dm_minus = g.dm_minus + by_change * (k.dm_minus - g.dm_minus)
    if f.needs & NEED_TSI:
        g.tsi_change = g.tsi_change + weight(t - 1.0, g.n, g.k_ema) * (d - g.tsi_change)
        g.tsi_way = g.tsi_way + weight(t - 1.0, g.n, g.k_ema) * (abs8(d) - g.tsi_way)
        g.tsi_change2 = g.tsi_change2 + weight(t - g.n, g.second, g.k_second) * (g.tsi_change - g.tsi_change2)
        g.tsi_way2 = g.tsi_way2 + weight(t - g.n, g.second, g.k_second) * (g.tsi_way - g.tsi_way2)
    if f.needs & NEED_EWMA:
        g.ewma = g.ewma + weight(t - 1.0, g.n, g.k_ema) * (k.log_return * k.log_return - g.ewma)
    if f.needs & NEED_FORCE:
        g.force = g.force + weight(t - 1.0, g.n, g.k_ema) * (k.d * k.volume - g.force)


cdef inline inlined _adaptive(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """The means whose weight depends on the prices."""
    cdef v8 c = set1(k.c), t = set1(k.count), way, rate, quotient, gain
    if f.needs & NEED_KAMA:
        way = ratio(abs8(c - gather(k.records + <int>S_CLOSE, g.at_n)), g.sum[<int>S_ABSD], set1(0.0))
        rate = min8(way, set1(1.0)) * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0
        # Until its window is full it stands on the close, and moves from there.
        g.kama = where(gt(t, g.n), g.kama + rate * rate * (c - g.kama), c)
    if f.needs & NEED_MCG:
        quotient = c / where(gt(g.mcginley, set1(0.0)), g.mcginley, c)
        quotient = quotient * quotient
        # The factor falls with the fourth power when the price collapses; a weight above one would overshoot.
        rate = min8(set1(1.0) / max8(0.6 * g.n * quotient * quotient, set1(1e-12)), set1(1.0))
        g.mcginley = where(gt(t, set1(1.0)), g.mcginley + rate * (c - g.mcginley), c)
    if f.needs & NEED_KALMAN:
        g.kalman_p = where(gt(t, set1(1.0)), g.kalman_p + g.kalman_q, set1(1e6))
        gain = g.kalman_p / (g.kalman_p + 1.0)
        g.kalman = where(gt(t, set1(1.0)), g.kalman + gain * (c - g.kalman), c)
        g.kalman_p = (1.0 - gain) * g.kalman_p


cdef inline inlined _windows(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """Moments and weighted sums of the window, of its newer half, and of Hull's difference of the two."""
    cdef v8 c = set1(k.c), t = set1(k.count), raw, mean, mean_half
    cdef int64_t at[8]
    cdef int i
    window_push(&g.win, c, gather(k.records + <int>S_CLOSE, g.at_n), t, g.n)
    if not f.needs & NEED_HALF:
        return
    window_push(&g.win_half, c, gather(k.records + <int>S_CLOSE, g.at_half), t, g.half)
    mean = g.win.anchor + g.win.w / g.weight_sum
    mean_half = g.win_half.anchor + g.win_half.w / (0.5 * g.half * (g.half + 1.0))
    raw = 2.0 * mean_half - mean
    g.hull_ring[k.number & (HULL_RING - 1)] = raw
    for i in range(LANES):
        at[i] = ((k.number - <int64_t>(<double*>&g.hull)[i]) & (HULL_RING - 1)) * LANES + i
    window_push(&g.win_hull, raw, gather(<double*>&g.hull_ring[0], at), t - g.n + 1.0, g.hull)


# ----------------------------------------------------------------------------------------------------- the features
cdef inline inlined _trend(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 c = set1(k.c), t = set1(k.count), zero = set1(0.0)
    if on(f, F_EMA):
        put(f, g, F_EMA, g.ema1, t)
    if on(f, F_RMA):
        put(f, g, F_RMA, g.rma, t)
    if on(f, F_DEMA):
        put(f, g, F_DEMA, 2.0 * g.ema1 - g.ema2, t)
    if on(f, F_TEMA):
        put(f, g, F_TEMA, 3.0 * g.ema1 - 3.0 * g.ema2 + g.ema3, t)
    if on(f, F_TRIX):
        put(f, g, F_TRIX, 100.0 * ratio(g.ema3 - g.ema3_before, g.ema3_before, zero), t)
    if on(f, F_KAMA):
        put(f, g, F_KAMA, g.kama, t)
    if on(f, F_MCGINLEY):
        put(f, g, F_MCGINLEY, g.mcginley, t)
    if on(f, F_MACD):
        put(f, g, F_MACD, g.macd_fast - g.macd_slow, t)
    if on(f, F_MACD_SIGNAL):
        put(f, g, F_MACD_SIGNAL, g.macd_signal, t)
    if on(f, F_MACD_HIST):
        put(f, g, F_MACD_HIST, g.macd_fast - g.macd_slow - g.macd_signal, t)
    if on(f, F_PPO):
        put(f, g, F_PPO, 100.0 * ratio(g.macd_fast - g.macd_slow, g.macd_slow, zero), t)
    if on(f, F_KALMAN):
        put(f, g, F_KALMAN, g.kalman, t)
    if on(f, F_KALMAN_GAP):
        put(f, g, F_KALMAN_GAP, ratio(c, g.kalman, set1(1.0)) - 1.0, t)


cdef inline inlined _window_features(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """All that comes from the moments of the window: means, bands, the line through it."""
    cdef v8 c = set1(k.c), t = set1(k.count), zero = set1(0.0), one = set1(1.0)
    cdef v8 mean_u = g.win.s1 / g.n
    cdef v8 mean = g.win.anchor + mean_u
    cdef v8 var = max8(g.win.s2 / g.n - mean_u * mean_u, zero)
    # Below the rounding of the sums themselves a variance says nothing.
    cdef v8 std = sqrt8(keep(gt(var, 1e-15 * (g.win.s2 / g.n)), var))
    cdef v8 cross, slope, r, z
    z = ratio(c - mean, std, zero)
    if on(f, F_SMA):
        put(f, g, F_SMA, mean, t)
    if on(f, F_WMA):
        put(f, g, F_WMA, g.win.anchor + g.win.w / g.weight_sum, t)
    if on(f, F_MA_GAP):
        put(f, g, F_MA_GAP, ratio(c, mean, one) - 1.0, t)
    if on(f, F_STD):
        put(f, g, F_STD, std, t)
    if on(f, F_VAR):
        put(f, g, F_VAR, std * std, t)
    if on(f, F_ZSCORE):
        put(f, g, F_ZSCORE, z, t)
    if on(f, F_REVERSION):
        put(f, g, F_REVERSION, max8(min8(z / set1(-3.0), one), set1(-1.0)), t)
    if on(f, F_BB_UPPER):
        put(f, g, F_BB_UPPER, mean + 2.0 * std, t)
    if on(f, F_BB_LOWER):
        put(f, g, F_BB_LOWER, mean - 2.0 * std, t)
    if on(f, F_BB_POS):
        put(f, g, F_BB_POS, 0.25 * z + 0.5, t)
    if on(f, F_BB_WIDTH):
        put(f, g, F_BB_WIDTH, ratio(4.0 * std, mean, zero), t)
    if f.needs & NEED_HALF:
        if on(f, F_HMA):
            put(f, g, F_HMA, g.win_hull.anchor + g.win_hull.w / (0.5 * g.hull * (g.hull + 1.0)), t)
        if on(f, F_HAAR):
            # The older half is what the window holds beyond the newer one.
            r = g.win_half.anchor + g.win_half.s1 / g.half
            z = ratio(g.n * mean - g.half * r, g.n - g.half, r)
            put(f, g, F_HAAR, 0.5 * (r - z), t)
    cross = g.n * g.win.w - g.weight_sum * g.win.s1
    slope = ratio(cross, g.weight_det, zero)
    r = ratio(cross, sqrt8(g.weight_det) * g.n * std, zero)
    r = max8(min8(r, one), set1(-1.0))
    if on(f, F_LINREG):
        put(f, g, F_LINREG, mean + slope * (0.5 * (g.n - 1.0)), t)
    if on(f, F_FORECAST):
        put(f, g, F_FORECAST, mean + slope * (0.5 * (g.n + 1.0)), t)
    if on(f, F_SLOPE):
        put(f, g, F_SLOPE, slope, t)
    if on(f, F_TREND):
        put(f, g, F_TREND, r, t)
    if on(f, F_R2):
        put(f, g, F_R2, r * r, t)
    if on(f, F_LINE_ERROR):
        put(f, g, F_LINE_ERROR, std * sqrt8(ratio((1.0 - r * r) * g.n, max8(g.n - 2.0, zero), zero)), t)


cdef inline inlined _range_features(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """Extremes of the window and all that is placed between them."""
    cdef v8 c = set1(k.c), t = set1(k.count), half = set1(50.0), high, low, stoch
    cdef const double* lows = k.extremes + 12
    high = max8(
        gather_level(k.extremes_now, _zeros, g.level), gather_level(k.extremes, g.at_block, g.level)
    )
    low = min8(
        gather_level(k.extremes_now + 12, _zeros, g.level), gather_level(lows, g.at_block, g.level)
    )
    stoch = 100.0 * ratio(c - low, high - low, set1(0.5))
    if on(f, F_STOCH_K):
        put(f, g, F_STOCH_K, stoch, t)
    if on(f, F_STOCH_D):
        put(f, g, F_STOCH_D, (stoch + g.stoch1 + g.stoch2) / set1(3.0), t)
    g.stoch2 = g.stoch1
    g.stoch1 = stoch
    if on(f, F_WILLR):
        put(f, g, F_WILLR, stoch - 100.0, t)
    if on(f, F_DC_HIGH):
        put(f, g, F_DC_HIGH, high, t)
    if on(f, F_DC_LOW):
        put(f, g, F_DC_LOW, low, t)
    if on(f, F_DC_MID):
        put(f, g, F_DC_MID, 0.5 * (high + low), t)
    if on(f, F_DC_WIDTH):
        put(f, g, F_DC_WIDTH, (high - low) / c, t)
    if on(f, F_CHOP):
        # Without a range there is no way either: such a window counts 0.
        stoch = ratio(g.sum[<int>S_TR], high - low, set1(1.0))
        put(f, g, F_CHOP, where(gt(stoch, set1(1e-300)), 100.0 * ratio(log8(max8(stoch, set1(1e-300))), g.log_n, half),
                                set1(0.0)), t)
    if f.needs & NEED_ATR:
        if on(f, F_CHANDELIER):
            put(f, g, F_CHANDELIER, high - 3.0 * g.atr, t)
        if on(f, F_RESISTANCE):
            put(f, g, F_RESISTANCE, ratio(high - c, g.atr, set1(0.0)), t)
        if on(f, F_SUPPORT):
            put(f, g, F_SUPPORT, ratio(c - low, g.atr, set1(0.0)), t)


cdef inline void _aroon(const features_t* f, group_t* g, const tick_t* k, double* up, double* down) noexcept nogil:
    """Ages of the extremes of n + 1 bars: the newer block wins a tie, as it does inside the blocks."""
    cdef int i
    cdef int64_t level, old, since
    for i in range(LANES):
        level = g.level1[i]
        old = g.at_block1[i]
        since = k.times_now[level] if k.extremes_now[level] >= k.extremes[old + level] else k.times[old + level]
        up[i] = 100.0 * (<double>g.window[i] - <double>(k.number - since)) / <double>g.window[i]
        level += 12
        since = k.times_now[level] if k.extremes_now[level] <= k.extremes[old + level] else k.times[old + level]
        down[i] = 100.0 * (<double>g.window[i] - <double>(k.number - since)) / <double>g.window[i]


cdef inline inlined _direction(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """What Wilder's means of gains, ranges and directional movements say."""
    cdef v8 c = set1(k.c), t = set1(k.count), zero = set1(0.0), plus, minus, up, down, width
    if on(f, F_RSI):
        put(f, g, F_RSI, 100.0 * ratio(g.gain, g.gain + g.loss, set1(0.5)), t)
    if on(f, F_TSI):
        put(f, g, F_TSI, 100.0 * ratio(g.tsi_change2, g.tsi_way2, zero), t)
    if f.needs & NEED_ATR:
        if on(f, F_ATR):
            put(f, g, F_ATR, g.atr, t)
        if on(f, F_NATR):
            put(f, g, F_NATR, 100.0 * g.atr / c, t)
        if f.needs & NEED_EMA1:
            width = 4.0 * g.atr
            if on(f, F_KC_UPPER):
                put(f, g, F_KC_UPPER, g.ema1 + 2.0 * g.atr, t)
            if on(f, F_KC_LOWER):
                put(f, g, F_KC_LOWER, g.ema1 - 2.0 * g.atr, t)
            if on(f, F_KC_POS):
                put(f, g, F_KC_POS, ratio(c - g.ema1, width, zero) + 0.5, t)
    if f.needs & NEED_DM:
        plus = 100.0 * min8(ratio(g.dm_plus, g.atr, zero), set1(1.0))
        minus = 100.0 * min8(ratio(g.dm_minus, g.atr, zero), set1(1.0))
        up = 100.0 * ratio(abs8(plus - minus), plus + minus, zero)
        g.adx = g.adx + weight(t - g.n, g.n, g.k_rma) * (up - g.adx)
        if on(f, F_PLUS_DI):
            put(f, g, F_PLUS_DI, plus, t)
        if on(f, F_MINUS_DI):
            put(f, g, F_MINUS_DI, minus, t)
        if on(f, F_ADX):
            put(f, g, F_ADX, g.adx, t)
    if f.needs & NEED_EXT1:
        up = zero
        down = zero
        _aroon(f, g, k, <double*>&up, <double*>&down)
        if on(f, F_AROON_UP):
            put(f, g, F_AROON_UP, up, t)
        if on(f, F_AROON_DOWN):
            put(f, g, F_AROON_DOWN, down, t)
        if on(f, F_AROON_OSC):
            put(f, g, F_AROON_OSC, up - down, t)
    if on(f, F_FORCE):
        put(f, g, F_FORCE, g.force, t)


cdef inline inlined _momentum(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 c = set1(k.c), t = set1(k.count), zero = set1(0.0), old, a, b
    if f.needs & NEED_LAG:
        old = gather(k.records + <int>S_CLOSE, g.at_n)
        if on(f, F_MOM):
            put(f, g, F_MOM, c - old, t)
        if on(f, F_ROC):
            put(f, g, F_ROC, 100.0 * ratio(c - old, old, zero), t)
        if on(f, F_ER):
            put(f, g, F_ER, min8(ratio(abs8(c - old), g.sum[<int>S_ABSD], zero), set1(1.0)), t)
    if on(f, F_CMO):
        a = max8(g.sum[<int>S_GAIN], zero)
        b = max8(g.sum[<int>S_LOSS], zero)
        put(f, g, F_CMO, 100.0 * ratio(a - b, a + b, zero), t)
    if on(f, F_UP_SHARE):
        put(f, g, F_UP_SHARE, g.sum[<int>S_UP] / g.n, t)
    if on(f, F_VORTEX_PLUS):
        put(f, g, F_VORTEX_PLUS, max8(ratio(g.sum[<int>S_VMP], g.sum[<int>S_TR], zero), zero), t)
    if on(f, F_VORTEX_MINUS):
        put(f, g, F_VORTEX_MINUS, max8(ratio(g.sum[<int>S_VMM], g.sum[<int>S_TR], zero), zero), t)


cdef inline inlined _volatility(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 t = set1(k.count), zero = set1(0.0), n = g.n, a, b, w
    cdef v8 second = max8(g.sum[<int>S_LR2], zero) / n
    if on(f, F_REALISED):
        put(f, g, F_REALISED, sqrt8(second), t)
    if on(f, F_BIPOWER):
        put(f, g, F_BIPOWER, sqrt8(HALF_PI * max8(g.sum[<int>S_BPV], zero) / n), t)
    if on(f, F_JUMP):
        a = ratio(HALF_PI * max8(g.sum[<int>S_BPV], zero) / n, second, set1(1.0))
        put(f, g, F_JUMP, max8(1.0 - a, zero), t)
    if on(f, F_PARKINSON):
        put(f, g, F_PARKINSON, sqrt8(max8(g.sum[<int>S_PK], zero) / (LN_4_TIMES_4 * n)), t)
    if on(f, F_GARMAN_KLASS):
        put(f, g, F_GARMAN_KLASS, sqrt8(max8(g.sum[<int>S_GK], zero) / n), t)
    if on(f, F_ROGERS_SATCHELL):
        put(f, g, F_ROGERS_SATCHELL, sqrt8(max8(g.sum[<int>S_RS], zero) / n), t)
    if on(f, F_YANG_ZHANG):
        a = max8(g.sum[<int>S_ON2] - g.sum[<int>S_ON] * g.sum[<int>S_ON] / n, zero)
        b = max8(g.sum[<int>S_OC2] - g.sum[<int>S_OC] * g.sum[<int>S_OC] / n, zero)
        w = set1(0.34) / (1.34 + (n + 1.0) / max8(n - 1.0, set1(1.0)))
        a = ratio(a + w * b, n - 1.0, zero) + (1.0 - w) * max8(g.sum[<int>S_RS], zero) / n
        put(f, g, F_YANG_ZHANG, sqrt8(a), t)
    if on(f, F_EWMA_VOL):
        put(f, g, F_EWMA_VOL, sqrt8(g.ewma), t)
    if on(f, F_DOWNSIDE):
        put(f, g, F_DOWNSIDE, sqrt8(max8(g.sum[<int>S_DOWN2], zero) / n), t)
    if on(f, F_VOL_TERM):
        put(f, g, F_VOL_TERM, ratio(sqrt8(g.ewma), sqrt8(second), set1(1.0)), t)
    if on(f, F_ILLIQUIDITY):
        put(f, g, F_ILLIQUIDITY, max8(g.sum[<int>S_ILLIQ], zero) / n, t)


cdef inline inlined _volume(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 c = set1(k.c), t = set1(k.count), zero = set1(0.0), total = g.sum[<int>S_VOLUME], mean, a, b
    if on(f, F_VWAP):
        put(f, g, F_VWAP, ratio(g.sum[<int>S_TPV], total, c), t)
    if on(f, F_VWMA):
        put(f, g, F_VWMA, ratio(g.sum[<int>S_CV], total, c), t)
    if on(f, F_CMF):
        put(f, g, F_CMF, max8(min8(ratio(g.sum[<int>S_MFV], total, zero), set1(1.0)), set1(-1.0)), t)
    if on(f, F_MFI):
        a = max8(g.sum[<int>S_MFPOS], zero)
        b = max8(g.sum[<int>S_MFNEG], zero)
        put(f, g, F_MFI, 100.0 * ratio(a, a + b, set1(0.5)), t)
    if on(f, F_NET_VOLUME):
        put(f, g, F_NET_VOLUME, g.sum[<int>S_SIGNV], t)
    mean = max8(total, zero) / g.n
    if on(f, F_VOL_MEAN):
        put(f, g, F_VOL_MEAN, mean, t)
    if on(f, F_VOL_RATIO):
        put(f, g, F_VOL_RATIO, ratio(set1(k.volume), mean, zero), t)
    if on(f, F_VOL_Z):
        a = g.sum[<int>S_V2] / g.n
        b = a - mean * mean
        b = sqrt8(keep(gt(b, 1e-13 * a), b))
        put(f, g, F_VOL_Z, ratio(k.volume - mean, b, zero), t)


cdef inline inlined _statistics(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """Moments of log returns and their correlations. The mean of returns is small, so their sums need no anchor."""
    cdef v8 t = set1(k.count), zero = set1(0.0), one = set1(1.0), n = g.n, lo = set1(-1.0)
    cdef v8 mean = g.sum[<int>S_LR] / n, m2 = g.sum[<int>S_LR2] / n, var, a, b, c, old, new
    var = m2 - mean * mean
    var = keep(gt(var, 1e-13 * m2), var)
    if on(f, F_RET_MEAN):
        put(f, g, F_RET_MEAN, mean, t)
    if on(f, F_RET_SHARPE):
        put(f, g, F_RET_SHARPE, ratio(mean, sqrt8(var), zero), t)
    if on(f, F_SKEW):
        a = g.sum[<int>S_LR3] / n - 3.0 * mean * m2 + 2.0 * mean * mean * mean
        put(f, g, F_SKEW, ratio(a, var * sqrt8(var), zero), t)
    if on(f, F_KURT):
        a = g.sum[<int>S_LR4] / n - 4.0 * mean * (g.sum[<int>S_LR3] / n) + 6.0 * mean * mean * m2
        a = a - 3.0 * mean * mean * mean * mean
        b = ratio(a, var * var, set1(3.0)) - 3.0
        put(f, g, F_KURT, max8(b, set1(-3.0)), t)
    if on(f, F_AUTOCORR):
        # The window one bar older: the same sums without the newest return and with the one that left.
        old = gather(k.records + <int>S_LR, g.at_n)
        new = set1(k.log_return)
        a = g.sum[<int>S_LR] - new + old
        b = g.sum[<int>S_LR2] - new * new + old * old
        c = b / n - (a / n) * (a / n)
        c = keep(gt(c, 1e-13 * (b / n)), c)
        a = g.sum[<int>S_LRLAG] / n - mean * (a / n)
        put(f, g, F_AUTOCORR, max8(min8(ratio(a, sqrt8(var * c), zero), one), lo), t)
    a = g.sum[<int>S_REF] / n
    b = g.sum[<int>S_REF2] / n - a * a
    b = keep(gt(b, 1e-13 * (g.sum[<int>S_REF2] / n)), b)
    c = g.sum[<int>S_LRREF] / n - mean * a
    if on(f, F_CORR_REF):
        put(f, g, F_CORR_REF, max8(min8(ratio(c, sqrt8(var * b), zero), one), lo), t)
    if on(f, F_BETA_REF):
        put(f, g, F_BETA_REF, ratio(c, b, zero), t)


# ------------------------------------------------------------------------------------------------------- the scans
cdef inline inlined _deviation(const double* end, int64_t n, double* mean_out, double* deviation_out) noexcept nogil:
    """Mean and mean absolute deviation of the n values before `end`: eight partial sums, then one fixed order."""
    cdef v8 total = set1(0.0), mean
    cdef int64_t i
    cdef m8 tail = first_lanes(n & 7)
    cdef const double* start = end - n
    for i in range(n >> 3):
        total = total + load8(start + 8 * i)
    if n & 7:
        total = total + keep(tail, load8(start + (n & ~<int64_t>7)))
    mean_out[0] = sum8(total) / <double>n
    mean = set1(mean_out[0])
    total = set1(0.0)
    for i in range(n >> 3):
        total = total + abs8(load8(start + 8 * i) - mean)
    if n & 7:
        total = total + keep(tail, abs8(load8(start + (n & ~<int64_t>7)) - mean))
    deviation_out[0] = sum8(total) / <double>n


cdef inline inlined _rank(const double* end, int64_t n, double x, double* out) noexcept nogil:
    """Share of the n values before `end` that lie below x, equals counted half."""
    cdef v8 total = set1(0.0), value, newest = set1(x)
    cdef int64_t i
    cdef m8 tail = first_lanes(n & 7)
    cdef const double* start = end - n
    for i in range(n >> 3):
        value = load8(start + 8 * i)
        total = total + keep(gt(newest, value), set1(1.0)) + keep(eq(newest, value), set1(0.5))
    if n & 7:
        value = load8(start + (n & ~<int64_t>7))
        total = total + keep(gt(newest, value) & tail, set1(1.0)) + keep(eq(newest, value) & tail, set1(0.5))
    out[0] = sum8(total) / <double>n


cdef inline inlined _scans(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 t = set1(k.count), a = set1(0.0), b = set1(0.0)
    cdef int i
    if f.needs & NEED_SCANTP:
        for i in range(LANES):
            _deviation(k.mirror_typical, g.window[i], &(<double*>&a)[i], &(<double*>&b)[i])
        b = keep(gt(b, 1e-14 * a), b)
        put(f, g, F_CCI, ratio(k.typical - a, 0.015 * b, set1(0.0)), t)
    if f.needs & NEED_SCANC:
        for i in range(LANES):
            _rank(k.mirror_close, g.window[i], k.c, &(<double*>&a)[i])
        put(f, g, F_RANK, a, t)
    if f.needs & NEED_SCANTR:
        for i in range(LANES):
            _rank(k.mirror_range, g.window[i], k.tr, &(<double*>&a)[i])
        put(f, g, F_VOL_RANK, a, t)


# -------------------------------------------------------------------------------------------------------- an update
cdef inline inlined _group(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    g.any_flag = first_lanes(0)
    _indices(f, g, k)
    _sums(f, g, k)
    _means(f, g, k)
    _adaptive(f, g, k)
    if f.needs & NEED_WIN:
        _windows(f, g, k)
        _window_features(f, g, k)
    _trend(f, g, k)
    _direction(f, g, k)
    if f.needs & NEED_EXT:
        _range_features(f, g, k)
    _momentum(f, g, k)
    if f.signal_count:
        _volatility(f, g, k)
        _volume(f, g, k)
        _statistics(f, g, k)
    if f.needs & (NEED_SCANTP | NEED_SCANC | NEED_SCANTR):
        _scans(f, g, k)


cdef for_v4 _group_v4(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    _group(f, g, k)


cdef for_v3 _group_v3(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    _group(f, g, k)


cdef void _group_base(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    _group(f, g, k)


cdef inline double _max(double a, double b) noexcept nogil:
    return a if a > b else b


cdef inline double _min(double a, double b) noexcept nogil:
    return a if a < b else b


cdef inline double* _records(const features_t* f) noexcept nogil:
    return <double*>(<char*>f + f.at_records)


cdef void _record(
    features_t* f, tick_t* k, double* r, double o, double v, double reference
) noexcept nogil:
    """Fill this bar's record: the terms of the rolling sums. What needs a bar before is zero in the first one."""
    cdef double before = f.close_before, d = k.d, hl = 0.0, co = 0.0, x = 0.0, flow, place
    cdef bint first = f.count == 1
    r[<int>S_CLOSE] = k.c
    r[<int>S_VOLUME] = v
    r[<int>S_TR] = 0.0 if first else k.tr
    r[<int>S_LR] = k.log_return
    r[<int>S_LR2] = k.log_return * k.log_return
    r[<int>S_GAIN] = k.change_up
    r[<int>S_LOSS] = k.change_down
    r[<int>S_ABSD] = k.change_up + k.change_down
    r[<int>S_V2] = v * v
    r[<int>S_TPV] = k.typical * v
    r[<int>S_CV] = k.c * v
    place = ((k.c - k.l) - (k.h - k.c)) / (k.h - k.l) if k.h > k.l else 0.0
    r[<int>S_MFV] = place * v
    flow = 0.0 if first else k.typical * v
    r[<int>S_MFPOS] = flow if k.typical > f.typical_before else 0.0
    r[<int>S_MFNEG] = flow if k.typical < f.typical_before else 0.0
    r[<int>S_SIGNV] = v if d > 0.0 else -v if d < 0.0 else 0.0
    r[<int>S_ILLIQ] = abs(k.log_return) / (k.c * v) if v > 0.0 else 0.0
    if f.needs & NEED_LOGS:
        hl = log_c(k.h / k.l)
        co = log_c(k.c / o)
        r[<int>S_PK] = hl * hl
        r[<int>S_GK] = 0.5 * hl * hl - GK_FACTOR * co * co
        r[<int>S_RS] = log_c(k.h / k.c) * log_c(k.h / o) + log_c(k.l / k.c) * log_c(k.l / o)
        x = 0.0 if first else log_c(o / before)
        r[<int>S_ON] = x
        r[<int>S_ON2] = x * x
        r[<int>S_OC] = co
        r[<int>S_OC2] = co * co
    r[<int>S_BPV] = abs(k.log_return) * abs(f.return_before)
    r[<int>S_VMP] = 0.0 if first else abs(k.h - f.low_before)
    r[<int>S_VMM] = 0.0 if first else abs(k.l - f.high_before)
    r[<int>S_DOWN2] = k.log_return * k.log_return if k.log_return < 0.0 else 0.0
    r[<int>S_LRLAG] = k.log_return * f.return_before
    r[<int>S_REF] = reference
    r[<int>S_REF2] = reference * reference
    r[<int>S_LRREF] = k.log_return * reference
    r[<int>S_LR3] = k.log_return * k.log_return * k.log_return
    r[<int>S_LR4] = r[<int>S_LR2] * r[<int>S_LR2]
    r[<int>S_UP] = 1.0 if d > 0.0 else 0.0


cdef void _extremes(features_t* f, tick_t* k) noexcept nogil:
    """The blocks of 1, 2, 4 .. bars that end here: each is the larger of two of half its length."""
    cdef double* all_ = <double*>(<char*>f + f.at_extremes)
    cdef int64_t* times = <int64_t*>(<char*>f + f.at_times)
    cdef int64_t mask = f.ring_mask, now = (f.count & mask) * EXTREME, old
    cdef int level
    cdef bint timed = f.needs & NEED_EXT1
    all_[now] = k.h
    all_[now + 12] = k.l
    k.extremes = all_
    k.extremes_now = all_ + now
    k.times = times
    k.times_now = times + now
    if timed:
        times[now] = f.count
        times[now + 12] = f.count
    for level in range(LEVELS - 1):
        old = ((f.count - (<int64_t>1 << level)) & mask) * EXTREME + level
        now = (f.count & mask) * EXTREME + level
        if timed:
            # The newer of equals: its age is the shorter one.
            times[now + 1] = times[now] if all_[now] >= all_[old] else times[old]
            times[now + 13] = times[now + 12] if all_[now + 12] <= all_[old + 12] else times[old + 12]
        all_[now + 1] = _max(all_[now], all_[old])
        all_[now + 13] = _min(all_[now + 12], all_[old + 12])


cdef void _mirror(features_t* f, tick_t* k) noexcept nogil:
    """Values written twice, a ring apart, so that every window is one run of memory."""
    cdef int64_t size = f.ring_mask + 1, at = f.count & f.ring_mask
    cdef double* m = <double*>(<char*>f + f.at_mirrors)
    # Eight doubles of room behind each: the last vector of a scan may read past the newest value.
    cdef int64_t stride = 2 * size + 8
    m[at] = k.typical
    m[at + size] = k.typical
    k.mirror_typical = m + at + size + 1
    m += stride
    m[at] = k.c
    m[at + size] = k.c
    k.mirror_close = m + at + size + 1
    m += stride
    m[at] = k.tr
    m[at + size] = k.tr
    k.mirror_range = m + at + size + 1


cdef inline bint _price(double x) noexcept nogil:
    # False for NaN and both infinities too.
    return x >= PRICE_LEAST and x <= PRICE_MOST


cdef int features_bar(
    features_t* f, double o, double h, double l, double c, double v, double reference, int level
) noexcept nogil:
    """Apply one bar. FEATURES_REFUSED, and nothing changes but a counter, when it is none."""
    cdef tick_t k
    cdef double up, down
    cdef group_t* g = features_groups(f)
    cdef uint64_t i
    if not (
        _price(o) and _price(h) and _price(l) and _price(c) and l <= o and l <= c and o <= h and c <= h
        and v >= 0.0 and v <= VOLUME_MOST and reference >= -100.0 and reference <= 100.0
    ):
        f.refused_count += 1
        return FEATURES_REFUSED
    f.count += 1
    k.number = f.count
    k.count = <double>f.count
    k.c = c
    k.h = h
    k.l = l
    k.volume = v
    k.typical = (h + l + c) / 3.0
    k.d = 0.0
    k.dm_plus = 0.0
    k.dm_minus = 0.0
    k.log_return = 0.0
    k.tr = h - l
    if f.count > 1:
        k.d = c - f.close_before
        k.tr = _max(h, f.close_before) - _min(l, f.close_before)
        if f.needs & NEED_RETURN:
            k.log_return = log_c(c / f.close_before)
        up = h - f.high_before
        down = f.low_before - l
        k.dm_plus = up if up > down and up > 0.0 else 0.0
        k.dm_minus = down if down > up and down > 0.0 else 0.0
    k.change_up = k.d if k.d > 0.0 else 0.0
    k.change_down = -k.d if k.d < 0.0 else 0.0
    k.records = _records(f)
    k.now = _records(f) + (f.count & f.ring_mask) * RECORD
    if f.needs & NEED_TERMS:
        _record(f, &k, <double*>k.now, o, v, reference)
    else:
        (<double*>k.now)[<int>S_CLOSE] = c
    if f.needs & (NEED_EXT | NEED_EXT1):
        _extremes(f, &k)
    if f.needs & (NEED_SCANTP | NEED_SCANC | NEED_SCANTR):
        _mirror(f, &k)
    up = 0.0
    for i in range(f.group_count):
        if level >= ISA_V4:
            _group_v4(f, &g[i], &k)
        elif level >= ISA_V3:
            _group_v3(f, &g[i], &k)
        else:
            _group_base(f, &g[i], &k)
        if any8(g[i].any_flag):
            up = 1.0
    f.anomaly_count += <int64_t>up
    f.close_before = c
    f.high_before = h
    f.low_before = l
    f.typical_before = k.typical
    f.return_before = k.log_return
    return FEATURES_OK


cdef int features_price(features_t* f, double price, double volume, int level) noexcept nogil:
    """Apply one tick: a bar of one price."""
    return features_bar(f, price, price, price, price, volume, 0.0, level)


# ------------------------------------------------------------------------------------------------------- the set-up
cdef uint64_t _needs(const uint8_t* on_, uint64_t* signals) noexcept nogil:
    cdef uint64_t needs = 0
    cdef int i
    signals[0] = 0
    for i in range(<int>FAMILIES):
        if on_[i]:
            needs |= family_row(i).needs
            signals[0] |= family_row(i).signals
    if signals[0]:
        needs |= NEED_TERMS
    for i in range(<int>S_PK, <int>S_OC2 + 1):
        if signals[0] >> i & 1:
            needs |= NEED_LOGS
    # Fewer questions than savings: every sum beyond the plain ones is of returns, and so is the volatility's mean.
    if signals[0] or needs & NEED_EWMA:
        needs |= NEED_RETURN
    return needs


cdef int64_t _ring(const int32_t* windows, int count) noexcept nogil:
    """Records kept: a power of two above the longest window and the bar before it."""
    cdef int64_t size = 8
    cdef int i
    for i in range(count):
        while size < windows[i] + 2:
            size *= 2
    return size


cdef inline uint64_t _lines(uint64_t size) noexcept nogil:
    return (size + 63) & ~<uint64_t>63


cdef uint64_t _place(features_t* f, uint64_t needs, int64_t ring, int groups) noexcept nogil:
    """Lay the sections out behind the header; what nobody needs takes no room."""
    cdef uint64_t at = sizeof(features_t) + groups * sizeof(group_t)
    f.at_records = at
    at += ring * RECORD * 8
    f.at_extremes = at
    if needs & (NEED_EXT | NEED_EXT1):
        at += _lines(ring * EXTREME * 8)
    f.at_times = at
    if needs & NEED_EXT1:
        at += _lines(ring * EXTREME * 8)
    f.at_mirrors = at
    if needs & (NEED_SCANTP | NEED_SCANC | NEED_SCANTR):
        at += _lines(3 * (2 * ring + 8) * 8)
    return at


cdef bint _sane(const int32_t* windows, int count) noexcept nogil:
    cdef int i
    if windows == NULL or count < 1 or count > LANES * GROUPS_MAX:
        return False
    for i in range(count):
        if windows[i] < 1 or windows[i] > WINDOW_MAX or (i > 0 and windows[i] <= windows[i - 1]):
            return False
    return True


cdef size_t features_bytes(const uint8_t* on_, const int32_t* windows, int window_count) noexcept nogil:
    """Size of a block for these families (a byte each) and windows; 0 when they cannot be."""
    cdef features_t f
    cdef uint64_t signals
    if not _sane(windows, window_count):
        return 0
    return _place(&f, _needs(on_, &signals), _ring(windows, window_count), (window_count + 7) // LANES)


cdef inline void _set(v8* row, int lane, double x) noexcept nogil:
    (<double*>row)[lane] = x


cdef void _lane(group_t* g, int lane, int n) noexcept nogil:
    """The constants of one window."""
    cdef double x = n, k = 2.0 / (x + 1.0), steady
    cdef int half = max(n // 2, 1), family, level = 0
    cdef double s1 = x * (x + 1.0) / 2.0, s2 = x * (x + 1.0) * (2.0 * x + 1.0) / 6.0
    _set(&g.n, lane, x)
    _set(&g.half, lane, half)
    _set(&g.hull, lane, window_hull(n))
    _set(&g.slow, lane, window_slow(n))
    _set(&g.signal, lane, window_signal(n))
    _set(&g.second, lane, window_second(n))
    _set(&g.k_ema, lane, k)
    _set(&g.k_rma, lane, 1.0 / x)
    _set(&g.k_slow, lane, 2.0 / (window_slow(n) + 1.0))
    _set(&g.k_signal, lane, 2.0 / (window_signal(n) + 1.0))
    _set(&g.k_second, lane, 2.0 / (window_second(n) + 1.0))
    _set(&g.weight_sum, lane, s1)
    _set(&g.weight_det, lane, x * s2 - s1 * s1)
    # The noise that gives a local-level filter the ema's weight once it has settled.
    steady = _min(k, 0.999)
    _set(&g.kalman_q, lane, steady * steady / (1.0 - steady))
    _set(&g.log_n, lane, log_c(x))
    g.window[lane] = n
    while 2 << level <= n:
        level += 1
    g.level[lane] = level
    while 2 << level <= n + 1:
        level += 1
    g.level1[lane] = level
    for family in range(<int>FAMILIES):
        _set(&g.warm[family], lane, family_warm(family, n))


cdef int features_init(features_t* f, const uint8_t* on_, const int32_t* windows, int window_count) noexcept nogil:
    """Make an empty stream in a block of `features_bytes` bytes, aligned to a cache line. Windows rise strictly."""
    cdef uint64_t signals, needs
    cdef int i, groups = (window_count + 7) // LANES
    cdef int64_t ring
    if not _sane(windows, window_count):
        return FEATURES_BAD_CONFIG
    needs = _needs(on_, &signals)
    ring = _ring(windows, window_count)
    memset(f, 0, features_bytes(on_, windows, window_count))
    f.bytes = _place(f, needs, ring, groups)
    f.needs = needs
    f.ring_mask = ring - 1
    f.group_count = groups
    f.window_count = window_count
    for i in range(<int>FAMILIES):
        f.on[i] = on_[i] != 0
        f.family_count += f.on[i]
    for i in range(<int>SIGNALS):
        if signals >> i & 1:
            f.signal[f.signal_count] = i
            f.signal_count += 1
    features_reset(f)
    for i in range(groups * LANES):
        # Lanes without a window of their own run a window of one bar, which costs nothing and disturbs nobody.
        _lane(&features_groups(f)[i // LANES], i % LANES, windows[i] if i < window_count else 1)
    return FEATURES_OK


cdef void _forget(group_t* g) noexcept nogil:
    cdef char* begin = <char*>&g.win
    cdef int i
    memset(begin, 0, <char*>&g.warm[0] - begin)
    for i in range(<int>FAMILIES):
        g.out[i] = set1(NAN)
        g.flag[i] = first_lanes(0)
    g.any_flag = first_lanes(0)


cdef void features_reset(features_t* f) noexcept nogil:
    """Forget every update; the configuration stays."""
    cdef double* extremes = <double*>(<char*>f + f.at_extremes)
    cdef int64_t i
    cdef uint64_t j
    f.count = 0
    f.refused_count = 0
    f.anomaly_count = 0
    f.close_before = 0.0
    f.high_before = 0.0
    f.low_before = 0.0
    f.typical_before = 0.0
    f.return_before = 0.0
    memset(<char*>f + f.at_records, 0, f.bytes - f.at_records)
    if f.needs & (NEED_EXT | NEED_EXT1):
        # An untouched low must lose every comparison; an untouched high is zero and does.
        for i in range((f.ring_mask + 1) * EXTREME):
            extremes[i] = 1e300 if i % EXTREME >= 12 else 0.0
    for j in range(f.group_count):
        _forget(&features_groups(f)[j])


cdef double _drift(const features_t* f) noexcept nogil:
    """The largest distance of a rolling sum from its window added up anew, as a part of the window's magnitude."""
    cdef const double* records = _records(f)
    cdef const group_t* g
    cdef double total, size, worst = 0.0
    cdef uint64_t s
    cdef int64_t i
    cdef uint32_t lane
    for lane in range(f.window_count):
        g = &features_groups(<features_t*>f)[lane // LANES]
        for s in range(f.signal_count):
            total = 0.0
            size = 0.0
            for i in range(g.window[lane % LANES]):
                total += records[((f.count - i) & f.ring_mask) * RECORD + f.signal[s]]
                size += abs(records[((f.count - i) & f.ring_mask) * RECORD + f.signal[s]])
            if size > 0.0:
                worst = _max(worst, abs((<const double*>&g.sum[f.signal[s]])[lane % LANES] - total) / size)
    return worst


# ------------------------------------------------------------------------------------------------------ Python face
_NUMBER = {row.name: row.number for row in TABLE}
_LEVELS = {"baseline": ISA_BASELINE, "v3": ISA_V3, "v4": ISA_V4}


def _bounds():
    for row in TABLE:
        _low[row.number] = row.low
        _high[row.number] = row.high


_bounds()


cdef void _copy(features_t* f, double* out, const int* numbers, int count) noexcept nogil:
    """All values, families by windows, into a plain array."""
    cdef int i, w
    for i in range(count):
        for w in range(<int>f.group_count):
            memcpy(
                out + i * f.window_count + w * LANES, &features_groups(f)[w].out[numbers[i]],
                min(LANES, <int>f.window_count - w * LANES) * 8,
            )


@cython.final
cdef class Features:
    """One stream: the families named (all of the table without names) for windows that rise strictly."""

    def __cinit__(self, object families=None, *, object windows=(5, 10, 14, 20, 30, 50, 100, 200), object isa=None):
        cdef uint8_t on_[96]
        cdef int32_t w[32]
        cdef size_t size
        names = tuple(families) if families is not None else tuple(_NUMBER)
        unknown = [name for name in names if name not in _NUMBER]
        if unknown or not names:
            raise ValueError(f"no such feature family: {', '.join(unknown) or 'none given'}")
        memset(on_, 0, sizeof(on_))
        for name in names:
            on_[<int>_NUMBER[name]] = 1
        self.windows = tuple(int(n) for n in windows)
        if not 1 <= len(self.windows) <= LANES * GROUPS_MAX:
            raise ValueError(f"{len(self.windows)} windows; 1 to {LANES * GROUPS_MAX}")
        for i, n in enumerate(self.windows):
            w[<int>i] = max(min(n, WINDOW_MAX + 1), 0)
        size = features_bytes(on_, w, len(self.windows))
        if size == 0:
            raise ValueError(f"windows {self.windows}: each 1 to {WINDOW_MAX}, rising")
        if isa is not None and (isa not in _LEVELS or _LEVELS[isa] > isa_detect()):
            raise ValueError(f"instruction set {isa!r} is not one of this machine's")
        self.level = isa_level() if isa is None else _LEVELS[isa]
        self.families = names
        self.c = <features_t*>block_new(size)
        features_init(self.c, on_, w, len(self.windows))

    def __dealloc__(self):
        block_free(self.c)

    def update(self, double open, double high, double low, double close, double volume=0.0, double reference=0.0):
        """Apply one bar; False when it is none and was refused."""
        return features_bar(self.c, open, high, low, close, volume, reference, self.level) == FEATURES_OK

    def update_price(self, double price, double volume=0.0):
        """Apply one tick; False when it is no price and was refused."""
        return features_price(self.c, price, volume, self.level) == FEATURES_OK

    def value(self, str family, int window):
        """A feature's value: NaN before its warm-up."""
        return features_value(self.c, self._family(family), self._lane(window))

    def flagged(self, str family, int window):
        """Whether the last value lay outside the family's bounds and was set to the nearer one."""
        cdef int lane = self._lane(window)
        return (<int64_t*>&features_groups(self.c)[lane // LANES].flag[<int>self._family(family)])[lane % LANES] != 0

    def _family(self, str name):
        if name not in self.families:
            raise KeyError(name)
        return _NUMBER[name]

    def _lane(self, int window):
        if window not in self.windows:
            raise KeyError(window)
        return self.windows.index(window)

    def values(self):
        """A copy of all values: families by windows, in the order of `families` and `windows`."""
        out = np.empty((1, len(self.families), len(self.windows)))
        cdef double[:, :, ::1] view = out
        cdef int numbers[96]
        for i, name in enumerate(self.families):
            numbers[<int>i] = _NUMBER[name]
        _copy(self.c, &view[0, 0, 0], numbers, len(self.families))
        return out[0]

    def run(
        self, const double[::1] open, const double[::1] high, const double[::1] low, const double[::1] close,
        const double[::1] volume, object reference=None, *, object out=None,
    ):
        """Apply arrays of bars and give every value of every bar: bars by families by windows.

        The batch form: the same update in a loop. A refused bar leaves the values before it in its place. Without
        `out` a new array is made.
        """
        cdef Py_ssize_t i, count = close.shape[0], width = len(self.families) * len(self.windows)
        cdef const double[::1] other
        cdef double[:, :, ::1] view
        cdef int numbers[96]
        cdef int families = len(self.families)
        if not (open.shape[0] == high.shape[0] == low.shape[0] == volume.shape[0] == count):
            raise ValueError("the arrays of bars differ in length")
        other = np.zeros(count) if reference is None else reference
        if other.shape[0] != count:
            raise ValueError("the reference differs in length")
        if out is None:
            out = np.empty((count, families, len(self.windows)))
        view = out
        if view.shape[0] != count or view.shape[1] != families or view.shape[2] != self.c.window_count:
            raise ValueError(f"the result has another shape than {(count, families, len(self.windows))}")
        for n, name in enumerate(self.families):
            numbers[<int>n] = _NUMBER[name]
        with nogil:
            for i in range(count):
                features_bar(self.c, open[i], high[i], low[i], close[i], volume[i], other[i], self.level)
                if width:
                    _copy(self.c, &view[i, 0, 0], numbers, families)
        return out

    def reset(self):
        features_reset(self.c)

    def state(self):
        """The block as bytes: what a snapshot holds."""
        return (<const char*>self.c)[:self.c.bytes]

    def restore(self, bytes state not None):
        """Continue from a block of the same families and windows."""
        cdef const features_t* other = <const features_t*>(<const char*>state)
        if len(state) != <Py_ssize_t>self.c.bytes or other.bytes != self.c.bytes or other.needs != self.c.needs:
            raise ValueError("a state of other families or windows")
        memcpy(self.c, <const char*>state, self.c.bytes)

    @property
    def count(self):
        return self.c.count

    @property
    def refused_count(self):
        return self.c.refused_count

    @property
    def anomaly_count(self):
        return self.c.anomaly_count

    @property
    def nbytes(self):
        return self.c.bytes

    def drift(self):
        """How far a rolling sum is from its window added up anew, at most, as a part of the window's magnitude."""
        return _drift(self.c)

    def check(self):
        """Walk the invariants."""
        cdef uint64_t i
        cdef int lane
        cdef group_t* g
        assert self.c.count >= 0 and self.c.refused_count >= 0, "counts"
        for i in range(self.c.group_count):
            g = &features_groups(self.c)[i]
            for lane in range(LANES):
                assert 0 <= (<double*>&g.fresh_count)[lane] < (<double*>&g.n)[lane], "a fresh sum outlived its window"
                assert (<double*>&g.win.fresh_count)[lane] < (<double*>&g.n)[lane], "fresh moments outlived theirs"
        values = self.values()
        for row, name in zip(values, self.families):
            low, high = TABLE[_NUMBER[name]].low, TABLE[_NUMBER[name]].high
            known = row[~np.isnan(row)]
            assert ((known >= low) & (known <= high)).all(), f"{name} outside its bounds"
        assert _drift(self.c) < 1e-9, "a rolling sum drifted"

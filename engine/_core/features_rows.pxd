"""The formulas of the windowed features: one group of eight windows advanced by one bar.

Owns: every formula, once. Does not own: the block they run on (features) or which instructions they become: the
modules features_v1, features_v3 and features_v4 each compile this file for one instruction set. Everything here is
inlined and works on whole rows of eight windows, lane by lane, so all three give the same bits.
Cost: a row of state in, a row out; a feature that is off costs one test.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from engine._core.features cimport *
from engine._core.features_table cimport *
from engine._core.simd cimport *

cdef extern from * nogil:
    """
    /* NaN loses against the lower bound, and differs from everything: it becomes the bound and is flagged. */
    BOT4_LEAF void bot4_emit(bot4_v8 *out, uint8_t *flag, uint8_t *any, int settled, bot4_v8 v, double low, double high,
                             bot4_v8 warm, bot4_v8 count) {
        bot4_v8 held = bot4_min8(bot4_max8(v, bot4_set1(low)), bot4_set1(high));
        bot4_m8 bad = ~bot4_eq(held, v);
        if (!settled) {
            bot4_m8 live = bot4_ge(count, warm);
            bad &= live;
            held = bot4_where(live, held, bot4_set1(__builtin_nan("")));
        }
        *flag = bot4_bits(bad);
        *any |= *flag;
        *out = held;
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
    void emit "bot4_emit"(
        v8* out, uint8_t* flag, uint8_t* any_, bint settled, v8 v, double low, double high, v8 warm, v8 count
    ) noexcept
    m8 first_lanes "bot4_first"(int64_t n) noexcept
    v8 gather_level "bot4_gather_level"(const double* p, const int64_t* at, const int64_t* level) noexcept


cdef inline bint on(const features_t* f, int family) noexcept nogil:
    return f.on[family]


cdef inline inlined put(const tick_t* k, group_t* g, int family, v8 value, v8 count) noexcept nogil:
    emit(
        &g.out[family], &g.flag[family], &g.any_flag, k.settled, value, k.low[family], k.high[family], g.warm[family],
        count,
    )


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
    cdef v8 by_change = weight(k.settled, t - 1.0, g.n, g.k_rma), macd
    if f.needs & NEED_EMA1:
        g.ema1 = g.ema1 + weight(k.settled, t, g.n, g.k_ema) * (c - g.ema1)
    if f.needs & NEED_EMA2:
        g.ema2 = g.ema2 + weight(k.settled, t - g.n + 1.0, g.n, g.k_ema) * (g.ema1 - g.ema2)
    if f.needs & NEED_EMA3:
        g.ema3_before = g.ema3
        g.ema3 = g.ema3 + weight(k.settled, t - 2.0 * g.n + 2.0, g.n, g.k_ema) * (g.ema2 - g.ema3)
    if f.needs & NEED_RMA:
        g.rma = g.rma + weight(k.settled, t, g.n, g.k_rma) * (c - g.rma)
    if f.needs & NEED_MACD:
        g.macd_fast = g.macd_fast + weight(k.settled, t, g.n, g.k_ema) * (c - g.macd_fast)
        g.macd_slow = g.macd_slow + weight(k.settled, t, g.slow, g.k_slow) * (c - g.macd_slow)
        macd = g.macd_fast - g.macd_slow
        g.macd_signal = g.macd_signal + weight(k.settled, t - g.slow + 1.0, g.signal, g.k_signal) * (macd - g.macd_signal)
    if f.needs & NEED_RSI:
        g.gain = g.gain + by_change * (k.change_up - g.gain)
        g.loss = g.loss + by_change * (k.change_down - g.loss)
    if f.needs & NEED_ATR:
        g.atr = g.atr + by_change * (k.tr - g.atr)
    if f.needs & NEED_DM:
        g.dm_plus = g.dm_plus + by_change * (k.dm_plus - g.dm_plus)
        g.dm_minus = g.dm_minus + by_change * (k.dm_minus - g.dm_minus)
    if f.needs & NEED_TSI:
        g.tsi_change = g.tsi_change + weight(k.settled, t - 1.0, g.n, g.k_ema) * (d - g.tsi_change)
        g.tsi_way = g.tsi_way + weight(k.settled, t - 1.0, g.n, g.k_ema) * (abs8(d) - g.tsi_way)
        g.tsi_change2 = g.tsi_change2 + weight(k.settled, t - g.n, g.second, g.k_second) * (g.tsi_change - g.tsi_change2)
        g.tsi_way2 = g.tsi_way2 + weight(k.settled, t - g.n, g.second, g.k_second) * (g.tsi_way - g.tsi_way2)
    if f.needs & NEED_EWMA:
        g.ewma = g.ewma + weight(k.settled, t - 1.0, g.n, g.k_ema) * (k.log_return * k.log_return - g.ewma)
    if f.needs & NEED_FORCE:
        g.force = g.force + weight(k.settled, t - 1.0, g.n, g.k_ema) * (k.d * k.volume - g.force)


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
    window_push(&g.win, k.settled, c, gather(k.records + <int>S_CLOSE, g.at_n), t, g.n)
    if not f.needs & NEED_HALF:
        return
    window_push(&g.win_half, k.settled, c, gather(k.records + <int>S_CLOSE, g.at_half), t, g.half)
    mean = g.win.anchor + g.win.w / g.weight_sum
    mean_half = g.win_half.anchor + g.win_half.w / (0.5 * g.half * (g.half + 1.0))
    raw = 2.0 * mean_half - mean
    g.hull_ring[k.number & (HULL_RING - 1)] = raw
    for i in range(LANES):
        at[i] = ((k.number - <int64_t>(<double*>&g.hull)[i]) & (HULL_RING - 1)) * LANES + i
    window_push(&g.win_hull, k.settled, raw, gather(<double*>&g.hull_ring[0], at), t - g.n + 1.0, g.hull)


# ----------------------------------------------------------------------------------------------------- the features
cdef inline inlined _trend(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 c = set1(k.c), t = set1(k.count), zero = set1(0.0)
    if on(f, F_EMA):
        put(k, g, F_EMA, g.ema1, t)
    if on(f, F_RMA):
        put(k, g, F_RMA, g.rma, t)
    if on(f, F_DEMA):
        put(k, g, F_DEMA, 2.0 * g.ema1 - g.ema2, t)
    if on(f, F_TEMA):
        put(k, g, F_TEMA, 3.0 * g.ema1 - 3.0 * g.ema2 + g.ema3, t)
    if on(f, F_TRIX):
        put(k, g, F_TRIX, 100.0 * ratio(g.ema3 - g.ema3_before, g.ema3_before, zero), t)
    if on(f, F_KAMA):
        put(k, g, F_KAMA, g.kama, t)
    if on(f, F_MCGINLEY):
        put(k, g, F_MCGINLEY, g.mcginley, t)
    if on(f, F_MACD):
        put(k, g, F_MACD, g.macd_fast - g.macd_slow, t)
    if on(f, F_MACD_SIGNAL):
        put(k, g, F_MACD_SIGNAL, g.macd_signal, t)
    if on(f, F_MACD_HIST):
        put(k, g, F_MACD_HIST, g.macd_fast - g.macd_slow - g.macd_signal, t)
    if on(f, F_PPO):
        put(k, g, F_PPO, 100.0 * ratio(g.macd_fast - g.macd_slow, g.macd_slow, zero), t)
    if on(f, F_KALMAN):
        put(k, g, F_KALMAN, g.kalman, t)
    if on(f, F_KALMAN_GAP):
        put(k, g, F_KALMAN_GAP, ratio(c, g.kalman, set1(1.0)) - 1.0, t)


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
        put(k, g, F_SMA, mean, t)
    if on(f, F_WMA):
        put(k, g, F_WMA, g.win.anchor + g.win.w / g.weight_sum, t)
    if on(f, F_MA_GAP):
        put(k, g, F_MA_GAP, ratio(c, mean, one) - 1.0, t)
    if on(f, F_STD):
        put(k, g, F_STD, std, t)
    if on(f, F_VAR):
        put(k, g, F_VAR, std * std, t)
    if on(f, F_ZSCORE):
        put(k, g, F_ZSCORE, z, t)
    if on(f, F_REVERSION):
        put(k, g, F_REVERSION, max8(min8(z / set1(-3.0), one), set1(-1.0)), t)
    if on(f, F_BB_UPPER):
        put(k, g, F_BB_UPPER, mean + 2.0 * std, t)
    if on(f, F_BB_LOWER):
        put(k, g, F_BB_LOWER, mean - 2.0 * std, t)
    if on(f, F_BB_POS):
        put(k, g, F_BB_POS, 0.25 * z + 0.5, t)
    if on(f, F_BB_WIDTH):
        put(k, g, F_BB_WIDTH, ratio(4.0 * std, mean, zero), t)
    if f.needs & NEED_HALF:
        if on(f, F_HMA):
            put(k, g, F_HMA, g.win_hull.anchor + g.win_hull.w / (0.5 * g.hull * (g.hull + 1.0)), t)
        if on(f, F_HAAR):
            # The older half is what the window holds beyond the newer one.
            r = g.win_half.anchor + g.win_half.s1 / g.half
            z = ratio(g.n * mean - g.half * r, g.n - g.half, r)
            put(k, g, F_HAAR, 0.5 * (r - z), t)
    cross = g.n * g.win.w - g.weight_sum * g.win.s1
    slope = ratio(cross, g.weight_det, zero)
    r = ratio(cross, sqrt8(g.weight_det) * g.n * std, zero)
    r = max8(min8(r, one), set1(-1.0))
    if on(f, F_LINREG):
        put(k, g, F_LINREG, mean + slope * (0.5 * (g.n - 1.0)), t)
    if on(f, F_FORECAST):
        put(k, g, F_FORECAST, mean + slope * (0.5 * (g.n + 1.0)), t)
    if on(f, F_SLOPE):
        put(k, g, F_SLOPE, slope, t)
    if on(f, F_TREND):
        put(k, g, F_TREND, r, t)
    if on(f, F_R2):
        put(k, g, F_R2, r * r, t)
    if on(f, F_LINE_ERROR):
        put(k, g, F_LINE_ERROR, std * sqrt8(ratio((1.0 - r * r) * g.n, max8(g.n - 2.0, zero), zero)), t)


cdef inline inlined _range_features(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """Extremes of the window and all that is placed between them."""
    cdef v8 c = set1(k.c), t = set1(k.count), high, low, stoch
    cdef const double* lows = k.extremes + 12
    high = max8(
        gather_level(k.extremes_now, k.zeros, g.level), gather_level(k.extremes, g.at_block, g.level)
    )
    low = min8(
        gather_level(k.extremes_now + 12, k.zeros, g.level), gather_level(lows, g.at_block, g.level)
    )
    stoch = 100.0 * ratio(c - low, high - low, set1(0.5))
    if on(f, F_STOCH_K):
        put(k, g, F_STOCH_K, stoch, t)
    if on(f, F_STOCH_D):
        put(k, g, F_STOCH_D, (stoch + g.stoch1 + g.stoch2) / set1(3.0), t)
    g.stoch2 = g.stoch1
    g.stoch1 = stoch
    if on(f, F_WILLR):
        put(k, g, F_WILLR, stoch - 100.0, t)
    if on(f, F_DC_HIGH):
        put(k, g, F_DC_HIGH, high, t)
    if on(f, F_DC_LOW):
        put(k, g, F_DC_LOW, low, t)
    if on(f, F_DC_MID):
        put(k, g, F_DC_MID, 0.5 * (high + low), t)
    if on(f, F_DC_WIDTH):
        put(k, g, F_DC_WIDTH, (high - low) / c, t)
    if on(f, F_CHOP):
        # Without a range there is no way either: such a window counts 0.
        stoch = ratio(g.sum[<int>S_TR], high - low, set1(1.0))
        put(k, g, F_CHOP, where(gt(stoch, set1(1e-300)), 100.0 * ratio(log8(max8(stoch, set1(1e-300))), g.log_n, set1(0.5)),
                                set1(0.0)), t)
    if f.needs & NEED_ATR:
        if on(f, F_CHANDELIER):
            put(k, g, F_CHANDELIER, high - 3.0 * g.atr, t)
        if on(f, F_RESISTANCE):
            put(k, g, F_RESISTANCE, ratio(high - c, g.atr, set1(0.0)), t)
        if on(f, F_SUPPORT):
            put(k, g, F_SUPPORT, ratio(c - low, g.atr, set1(0.0)), t)


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
        put(k, g, F_RSI, 100.0 * ratio(g.gain, g.gain + g.loss, set1(0.5)), t)
    if on(f, F_TSI):
        put(k, g, F_TSI, 100.0 * ratio(g.tsi_change2, g.tsi_way2, zero), t)
    if f.needs & NEED_ATR:
        if on(f, F_ATR):
            put(k, g, F_ATR, g.atr, t)
        if on(f, F_NATR):
            put(k, g, F_NATR, 100.0 * g.atr / c, t)
        if f.needs & NEED_EMA1:
            width = 4.0 * g.atr
            if on(f, F_KC_UPPER):
                put(k, g, F_KC_UPPER, g.ema1 + 2.0 * g.atr, t)
            if on(f, F_KC_LOWER):
                put(k, g, F_KC_LOWER, g.ema1 - 2.0 * g.atr, t)
            if on(f, F_KC_POS):
                put(k, g, F_KC_POS, ratio(c - g.ema1, width, zero) + 0.5, t)
    if f.needs & NEED_DM:
        plus = 100.0 * min8(ratio(g.dm_plus, g.atr, zero), set1(1.0))
        minus = 100.0 * min8(ratio(g.dm_minus, g.atr, zero), set1(1.0))
        up = 100.0 * ratio(abs8(plus - minus), plus + minus, zero)
        g.adx = g.adx + weight(k.settled, t - g.n, g.n, g.k_rma) * (up - g.adx)
        if on(f, F_PLUS_DI):
            put(k, g, F_PLUS_DI, plus, t)
        if on(f, F_MINUS_DI):
            put(k, g, F_MINUS_DI, minus, t)
        if on(f, F_ADX):
            put(k, g, F_ADX, g.adx, t)
    if f.needs & NEED_EXT1:
        up = zero
        down = zero
        _aroon(f, g, k, <double*>&up, <double*>&down)
        if on(f, F_AROON_UP):
            put(k, g, F_AROON_UP, up, t)
        if on(f, F_AROON_DOWN):
            put(k, g, F_AROON_DOWN, down, t)
        if on(f, F_AROON_OSC):
            put(k, g, F_AROON_OSC, up - down, t)
    if on(f, F_FORCE):
        put(k, g, F_FORCE, g.force, t)


cdef inline inlined _momentum(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 c = set1(k.c), t = set1(k.count), zero = set1(0.0), old, a, b
    if f.needs & NEED_LAG:
        old = gather(k.records + <int>S_CLOSE, g.at_n)
        if on(f, F_MOM):
            put(k, g, F_MOM, c - old, t)
        if on(f, F_ROC):
            put(k, g, F_ROC, 100.0 * ratio(c - old, old, zero), t)
        if on(f, F_ER):
            put(k, g, F_ER, min8(ratio(abs8(c - old), g.sum[<int>S_ABSD], zero), set1(1.0)), t)
    if on(f, F_CMO):
        a = max8(g.sum[<int>S_GAIN], zero)
        b = max8(g.sum[<int>S_LOSS], zero)
        put(k, g, F_CMO, 100.0 * ratio(a - b, a + b, zero), t)
    if on(f, F_UP_SHARE):
        put(k, g, F_UP_SHARE, g.sum[<int>S_UP] / g.n, t)
    if on(f, F_VORTEX_PLUS):
        put(k, g, F_VORTEX_PLUS, max8(ratio(g.sum[<int>S_VMP], g.sum[<int>S_TR], zero), zero), t)
    if on(f, F_VORTEX_MINUS):
        put(k, g, F_VORTEX_MINUS, max8(ratio(g.sum[<int>S_VMM], g.sum[<int>S_TR], zero), zero), t)


cdef inline inlined _volatility(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 t = set1(k.count), zero = set1(0.0), n = g.n, a, b, w
    cdef v8 second = max8(g.sum[<int>S_LR2], zero) / n
    if on(f, F_REALISED):
        put(k, g, F_REALISED, sqrt8(second), t)
    if on(f, F_BIPOWER):
        put(k, g, F_BIPOWER, sqrt8(1.5707963267948966 * max8(g.sum[<int>S_BPV], zero) / n), t)
    if on(f, F_JUMP):
        a = ratio(1.5707963267948966 * max8(g.sum[<int>S_BPV], zero) / n, second, set1(1.0))
        put(k, g, F_JUMP, max8(1.0 - a, zero), t)
    if on(f, F_PARKINSON):
        put(k, g, F_PARKINSON, sqrt8(max8(g.sum[<int>S_PK], zero) / (2.772588722239781 * n)), t)
    if on(f, F_GARMAN_KLASS):
        put(k, g, F_GARMAN_KLASS, sqrt8(max8(g.sum[<int>S_GK], zero) / n), t)
    if on(f, F_ROGERS_SATCHELL):
        put(k, g, F_ROGERS_SATCHELL, sqrt8(max8(g.sum[<int>S_RS], zero) / n), t)
    if on(f, F_YANG_ZHANG):
        a = max8(g.sum[<int>S_ON2] - g.sum[<int>S_ON] * g.sum[<int>S_ON] / n, zero)
        b = max8(g.sum[<int>S_OC2] - g.sum[<int>S_OC] * g.sum[<int>S_OC] / n, zero)
        w = set1(0.34) / (1.34 + (n + 1.0) / max8(n - 1.0, set1(1.0)))
        a = ratio(a + w * b, n - 1.0, zero) + (1.0 - w) * max8(g.sum[<int>S_RS], zero) / n
        put(k, g, F_YANG_ZHANG, sqrt8(a), t)
    if on(f, F_EWMA_VOL):
        put(k, g, F_EWMA_VOL, sqrt8(g.ewma), t)
    if on(f, F_DOWNSIDE):
        put(k, g, F_DOWNSIDE, sqrt8(max8(g.sum[<int>S_DOWN2], zero) / n), t)
    if on(f, F_VOL_TERM):
        put(k, g, F_VOL_TERM, ratio(sqrt8(g.ewma), sqrt8(second), set1(1.0)), t)
    if on(f, F_ILLIQUIDITY):
        put(k, g, F_ILLIQUIDITY, max8(g.sum[<int>S_ILLIQ], zero) / n, t)


cdef inline inlined _volume(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    cdef v8 c = set1(k.c), t = set1(k.count), zero = set1(0.0), total = g.sum[<int>S_VOLUME], mean, a, b
    if on(f, F_VWAP):
        put(k, g, F_VWAP, ratio(g.sum[<int>S_TPV], total, c), t)
    if on(f, F_VWMA):
        put(k, g, F_VWMA, ratio(g.sum[<int>S_CV], total, c), t)
    if on(f, F_CMF):
        put(k, g, F_CMF, max8(min8(ratio(g.sum[<int>S_MFV], total, zero), set1(1.0)), set1(-1.0)), t)
    if on(f, F_MFI):
        a = max8(g.sum[<int>S_MFPOS], zero)
        b = max8(g.sum[<int>S_MFNEG], zero)
        put(k, g, F_MFI, 100.0 * ratio(a, a + b, set1(0.5)), t)
    if on(f, F_NET_VOLUME):
        put(k, g, F_NET_VOLUME, g.sum[<int>S_SIGNV], t)
    mean = max8(total, zero) / g.n
    if on(f, F_VOL_MEAN):
        put(k, g, F_VOL_MEAN, mean, t)
    if on(f, F_VOL_RATIO):
        put(k, g, F_VOL_RATIO, ratio(set1(k.volume), mean, zero), t)
    if on(f, F_VOL_Z):
        a = g.sum[<int>S_V2] / g.n
        b = a - mean * mean
        b = sqrt8(keep(gt(b, 1e-13 * a), b))
        put(k, g, F_VOL_Z, ratio(k.volume - mean, b, zero), t)


cdef inline inlined _statistics(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    """Moments of log returns and their correlations. The mean of returns is small, so their sums need no anchor."""
    cdef v8 t = set1(k.count), zero = set1(0.0), one = set1(1.0), n = g.n, lo = set1(-1.0)
    cdef v8 mean = g.sum[<int>S_LR] / n, m2 = g.sum[<int>S_LR2] / n, var, a, b, c, old, new
    var = m2 - mean * mean
    var = keep(gt(var, 1e-13 * m2), var)
    if on(f, F_RET_MEAN):
        put(k, g, F_RET_MEAN, mean, t)
    if on(f, F_RET_SHARPE):
        put(k, g, F_RET_SHARPE, ratio(mean, sqrt8(var), zero), t)
    if on(f, F_SKEW):
        a = g.sum[<int>S_LR3] / n - 3.0 * mean * m2 + 2.0 * mean * mean * mean
        put(k, g, F_SKEW, ratio(a, var * sqrt8(var), zero), t)
    if on(f, F_KURT):
        a = g.sum[<int>S_LR4] / n - 4.0 * mean * (g.sum[<int>S_LR3] / n) + 6.0 * mean * mean * m2
        a = a - 3.0 * mean * mean * mean * mean
        b = ratio(a, var * var, set1(3.0)) - 3.0
        put(k, g, F_KURT, max8(b, set1(-3.0)), t)
    if on(f, F_AUTOCORR):
        # The window one bar older: the same sums without the newest return and with the one that left.
        old = gather(k.records + <int>S_LR, g.at_n)
        new = set1(k.log_return)
        a = g.sum[<int>S_LR] - new + old
        b = g.sum[<int>S_LR2] - new * new + old * old
        c = b / n - (a / n) * (a / n)
        c = keep(gt(c, 1e-13 * (b / n)), c)
        a = g.sum[<int>S_LRLAG] / n - mean * (a / n)
        put(k, g, F_AUTOCORR, max8(min8(ratio(a, sqrt8(var * c), zero), one), lo), t)
    a = g.sum[<int>S_REF] / n
    b = g.sum[<int>S_REF2] / n - a * a
    b = keep(gt(b, 1e-13 * (g.sum[<int>S_REF2] / n)), b)
    c = g.sum[<int>S_LRREF] / n - mean * a
    if on(f, F_CORR_REF):
        put(k, g, F_CORR_REF, max8(min8(ratio(c, sqrt8(var * b), zero), one), lo), t)
    if on(f, F_BETA_REF):
        put(k, g, F_BETA_REF, ratio(c, b, zero), t)


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
        put(k, g, F_CCI, ratio(k.typical - a, 0.015 * b, set1(0.0)), t)
    if f.needs & NEED_SCANC:
        for i in range(LANES):
            _rank(k.mirror_close, g.window[i], k.c, &(<double*>&a)[i])
        put(k, g, F_RANK, a, t)
    if f.needs & NEED_SCANTR:
        for i in range(LANES):
            _rank(k.mirror_range, g.window[i], k.tr, &(<double*>&a)[i])
        put(k, g, F_VOL_RANK, a, t)


# -------------------------------------------------------------------------------------------------------- an update
cdef inline inlined rows_advance(const features_t* f, group_t* g, const tick_t* k) noexcept nogil:
    g.any_flag = 0
    if f.parts & PART_RING:
        _indices(f, g, k)
        _sums(f, g, k)
    _means(f, g, k)
    if f.needs & (NEED_KAMA | NEED_MCG | NEED_KALMAN):
        _adaptive(f, g, k)
    if f.needs & NEED_WIN:
        _windows(f, g, k)
        _window_features(f, g, k)
    if f.parts & PART_TREND:
        _trend(f, g, k)
    if f.parts & PART_DIRECTION:
        _direction(f, g, k)
    if f.needs & NEED_EXT:
        _range_features(f, g, k)
    if f.parts & PART_MOMENTUM:
        _momentum(f, g, k)
    if f.parts & PART_VOLATILITY:
        _volatility(f, g, k)
    if f.parts & PART_VOLUME:
        _volume(f, g, k)
    if f.parts & PART_STATISTICS:
        _statistics(f, g, k)
    if f.needs & (NEED_SCANTP | NEED_SCANC | NEED_SCANTR):
        _scans(f, g, k)

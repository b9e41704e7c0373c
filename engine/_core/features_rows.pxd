"""The formulas of the windowed features: one group of eight windows advanced by one bar.

Owns: every formula, once, in two forms of use: an update of all families that are on, and the batch of one family.
Does not own: the block they run on (features), how a bar gets into it (features_tick) or which instructions they
become: the modules features_v1, features_v3 and features_v4 each compile this file for one instruction set.
Everything here is inlined and works lane by lane, so all three, and both forms, give the same bits.
Cost: a row of state in, a row out; a feature that is off costs one test.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from engine._core.features cimport *
from engine._core.features_needs cimport *
from engine._core.features_table cimport *
from engine._core.features_tick cimport lowest_bit, popcount, tick_bar, tick_open
from engine._core.simd cimport *

cdef extern from * nogil:
    """
    /* NaN loses against the lower bound, and differs from everything: it becomes the bound and is flagged. */
    BOT4_LEAF void bot4_emit(bot4_vec *out, uint8_t *flag, uint8_t *any, int lane, int settled, bot4_vec v, double low,
                             double high, bot4_vec warm, bot4_vec count) {
        bot4_vec held = bot4_min(bot4_max(v, bot4_set1(low)), bot4_set1(high));
        bot4_mask bad = bot4_not(bot4_eq(held, v));
        unsigned bits;
        if (!settled) {
            bot4_mask live = bot4_ge(count, warm);
            bad = bot4_both(bad, live);
            held = bot4_where(live, held, bot4_set1(__builtin_nan("")));
        }
        bits = bot4_bits(bad) << lane;
        *flag = (uint8_t)(lane == 0 ? bits : *flag | bits);
        *any |= (uint8_t)bits;
        *out = held;
    }
    #define BOT4_ASKED(on, only, family) ((only) < 0 ? (on)[family] : (only) == (family))
    /* An extreme of the older block of each window. */
    BOT4_LEAF bot4_vec bot4_gather_level(const double *p, const int64_t *at, const int64_t *level) {
    #if BOT4_NATIVE == 64
        return (bot4_vec){p[at[0] + level[0]], p[at[1] + level[1]], p[at[2] + level[2]], p[at[3] + level[3]],
                          p[at[4] + level[4]], p[at[5] + level[5]], p[at[6] + level[6]], p[at[7] + level[7]]};
    #elif BOT4_NATIVE == 32
        return (bot4_vec){p[at[0] + level[0]], p[at[1] + level[1]], p[at[2] + level[2]], p[at[3] + level[3]]};
    #else
        return (bot4_vec){p[at[0] + level[0]], p[at[1] + level[1]]};
    #endif
    }
    """
    void emit "bot4_emit"(
        vec* out, uint8_t* flag, uint8_t* any_, int lane, bint settled, vec v, double low, double high, vec warm, vec count
    ) noexcept
    # Whether a family is computed: the one of a batch, or one of those that are on.
    bint asked "BOT4_ASKED"(const uint8_t* on, int only, int family) noexcept
    vec gather_level "bot4_gather_level"(const double* p, const int64_t* at, const int64_t* level) noexcept


cdef inline inlined put(tick_t* k, group_t* g, int family, vec value, vec count) noexcept nogil:
    emit(
        &g.out[family].v, &k.flag[family], k.any_flag, k.lane, k.settled, value, k.low[family], k.high[family],
        g.warm[family].v, count,
    )


# ------------------------------------------------------------------------------------------------ the shared rows
cdef inline inlined _sum(group_t* g, tick_t* k, int signal, int at, mask swap) noexcept nogil:
    roll(&g.sum[signal], &g.fresh[signal], k.now[at], gather(k.records + at, k.at_n), swap)


cdef inline inlined _next_sum(group_t* g, tick_t* k, uint64_t* left, int at, mask swap) noexcept nogil:
    cdef int signal
    if left[0]:
        signal = lowest_bit(left[0])
        left[0] &= left[0] - 1
        _sum(g, k, signal, at, swap)


cdef inline inlined _sums(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """Where this update's leavers stand, and every rolling sum."""
    cdef vec fresh_count = g.fresh_count.v + 1.0
    cdef mask swap = ge(fresh_count, g.n.v)
    cdef uint64_t j, left = sums
    place(k.at_n, g.back_n, k.number << k.record_shift, k.record_cut)
    g.fresh_count.v = keep(unless(swap), fresh_count)
    if only < 0:
        for j in range(k.sum_count):
            _sum(g, k, k.signal[j], <int>j + 1, swap)
    else:
        _next_sum(g, k, &left, 1, swap)
        _next_sum(g, k, &left, 2, swap)
        _next_sum(g, k, &left, 3, swap)
        _next_sum(g, k, &left, 4, swap)
        _next_sum(g, k, &left, 5, swap)


cdef inline inlined _means(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """The exponential means: each starts when its input does."""
    cdef vec c = set1(k.c), t = set1(k.count), d = set1(k.d)
    cdef vec by_change = weight(k.settled, t - 1.0, g.n.v, g.k_rma.v), macd
    if needs & NEED_EMA1:
        g.ema1.v = g.ema1.v + weight(k.settled, t, g.n.v, g.k_ema.v) * (c - g.ema1.v)
    if needs & NEED_EMA2:
        g.ema2.v = g.ema2.v + weight(k.settled, t - g.n.v + 1.0, g.n.v, g.k_ema.v) * (g.ema1.v - g.ema2.v)
    if needs & NEED_EMA3:
        g.ema3_before.v = g.ema3.v
        g.ema3.v = g.ema3.v + weight(k.settled, t - 2.0 * g.n.v + 2.0, g.n.v, g.k_ema.v) * (g.ema2.v - g.ema3.v)
    if needs & NEED_RMA:
        g.rma.v = g.rma.v + weight(k.settled, t, g.n.v, g.k_rma.v) * (c - g.rma.v)
    if needs & NEED_MACD:
        g.macd_fast.v = g.macd_fast.v + weight(k.settled, t, g.n.v, g.k_ema.v) * (c - g.macd_fast.v)
        g.macd_slow.v = g.macd_slow.v + weight(k.settled, t, g.slow.v, g.k_slow.v) * (c - g.macd_slow.v)
        macd = g.macd_fast.v - g.macd_slow.v
        g.macd_signal.v = g.macd_signal.v + weight(k.settled, t - g.slow.v + 1.0, g.signal.v, g.k_signal.v) * (macd - g.macd_signal.v)
    if needs & NEED_RSI:
        g.gain.v = g.gain.v + by_change * (k.change_up - g.gain.v)
        g.loss.v = g.loss.v + by_change * (k.change_down - g.loss.v)
    if needs & NEED_ATR:
        g.atr.v = g.atr.v + by_change * (k.tr - g.atr.v)
    if needs & NEED_DM:
        g.dm_plus.v = g.dm_plus.v + by_change * (k.dm_plus - g.dm_plus.v)
        g.dm_minus.v = g.dm_minus.v + by_change * (k.dm_minus - g.dm_minus.v)
    if needs & NEED_TSI:
        g.tsi_change.v = g.tsi_change.v + weight(k.settled, t - 1.0, g.n.v, g.k_ema.v) * (d - g.tsi_change.v)
        g.tsi_way.v = g.tsi_way.v + weight(k.settled, t - 1.0, g.n.v, g.k_ema.v) * (size(d) - g.tsi_way.v)
        g.tsi_change2.v = g.tsi_change2.v + weight(k.settled, t - g.n.v, g.second.v, g.k_second.v) * (g.tsi_change.v - g.tsi_change2.v)
        g.tsi_way2.v = g.tsi_way2.v + weight(k.settled, t - g.n.v, g.second.v, g.k_second.v) * (g.tsi_way.v - g.tsi_way2.v)
    if needs & NEED_EWMA:
        g.ewma.v = g.ewma.v + weight(k.settled, t - 1.0, g.n.v, g.k_ema.v) * (k.log_return * k.log_return - g.ewma.v)
    if needs & NEED_FORCE:
        g.force.v = g.force.v + weight(k.settled, t - 1.0, g.n.v, g.k_ema.v) * (k.d * k.volume - g.force.v)


cdef inline inlined _adaptive(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """The means whose weight depends on the prices."""
    cdef vec c = set1(k.c), t = set1(k.count), way, rate, quotient, gain
    if needs & NEED_KAMA:
        way = ratio(size(c - gather(k.records, k.at_n)), g.sum[<int>S_ABSD].v, set1(0.0))
        rate = smaller(way, set1(1.0)) * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0
        # Until its window is full it stands on the close, and moves from there.
        g.kama.v = where(gt(t, g.n.v), g.kama.v + rate * rate * (c - g.kama.v), c)
    if needs & NEED_MCG:
        quotient = c / where(gt(g.mcginley.v, set1(0.0)), g.mcginley.v, c)
        quotient = quotient * quotient
        # The factor falls with the fourth power when the price collapses; a weight above one would overshoot.
        rate = smaller(set1(1.0) / larger(0.6 * g.n.v * quotient * quotient, set1(1e-12)), set1(1.0))
        g.mcginley.v = where(gt(t, set1(1.0)), g.mcginley.v + rate * (c - g.mcginley.v), c)
    if needs & NEED_KALMAN:
        g.kalman_p.v = where(gt(t, set1(1.0)), g.kalman_p.v + g.kalman_q.v, set1(1e6))
        gain = g.kalman_p.v / (g.kalman_p.v + 1.0)
        g.kalman.v = where(gt(t, set1(1.0)), g.kalman.v + gain * (c - g.kalman.v), c)
        g.kalman_p.v = (1.0 - gain) * g.kalman_p.v


cdef inline inlined _windows(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """Moments and weighted sums of the window, of its newer half, and of Hull's difference of the two."""
    cdef vec c = set1(k.c), t = set1(k.count), raw, mean, mean_half
    cdef int i
    window_push(&g.win, k.settled, c, gather(k.records, k.at_n), t, g.n.v)
    if not needs & NEED_HALF:
        return
    place(k.at_half, g.back_half, k.number << k.record_shift, k.record_cut)
    window_push(&g.win_half, k.settled, c, gather(k.records, k.at_half), t, g.half.v)
    mean = g.win.anchor.v + g.win.w.v / g.weight_sum.v
    mean_half = g.win_half.anchor.v + g.win_half.w.v / g.weight_half.v
    raw = 2.0 * mean_half - mean
    g.hull_ring[k.number & (HULL_RING - 1)].v = raw
    place(k.at_hull, g.back_hull, k.number * LANES, HULL_RING * LANES - 1)
    for i in range(WIDTH):
        k.at_hull[i] += i
    window_push(&g.win_hull, k.settled, raw, gather(&g.hull_ring[0].d[0], k.at_hull), t - g.n.v + 1.0, g.hull.v)


# ----------------------------------------------------------------------------------------------------- the features
cdef inline inlined _trend(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    cdef vec c = set1(k.c), t = set1(k.count), zero = set1(0.0)
    if asked(k.on, only, F_EMA):
        put(k, g, F_EMA, g.ema1.v, t)
    if asked(k.on, only, F_RMA):
        put(k, g, F_RMA, g.rma.v, t)
    if asked(k.on, only, F_DEMA):
        put(k, g, F_DEMA, 2.0 * g.ema1.v - g.ema2.v, t)
    if asked(k.on, only, F_TEMA):
        put(k, g, F_TEMA, 3.0 * g.ema1.v - 3.0 * g.ema2.v + g.ema3.v, t)
    if asked(k.on, only, F_TRIX):
        put(k, g, F_TRIX, 100.0 * ratio(g.ema3.v - g.ema3_before.v, g.ema3_before.v, zero), t)
    if asked(k.on, only, F_KAMA):
        put(k, g, F_KAMA, g.kama.v, t)
    if asked(k.on, only, F_MCGINLEY):
        put(k, g, F_MCGINLEY, g.mcginley.v, t)
    if asked(k.on, only, F_MACD):
        put(k, g, F_MACD, g.macd_fast.v - g.macd_slow.v, t)
    if asked(k.on, only, F_MACD_SIGNAL):
        put(k, g, F_MACD_SIGNAL, g.macd_signal.v, t)
    if asked(k.on, only, F_MACD_HIST):
        put(k, g, F_MACD_HIST, g.macd_fast.v - g.macd_slow.v - g.macd_signal.v, t)
    if asked(k.on, only, F_PPO):
        put(k, g, F_PPO, 100.0 * ratio(g.macd_fast.v - g.macd_slow.v, g.macd_slow.v, zero), t)
    if asked(k.on, only, F_KALMAN):
        put(k, g, F_KALMAN, g.kalman.v, t)
    if asked(k.on, only, F_KALMAN_GAP):
        put(k, g, F_KALMAN_GAP, ratio(c, g.kalman.v, set1(1.0)) - 1.0, t)


cdef inline inlined _window_features(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """All that comes from the moments of the window: means, bands, the line through it."""
    cdef vec c = set1(k.c), t = set1(k.count), zero = set1(0.0), one = set1(1.0)
    cdef vec mean_u = g.win.s1.v / g.n.v
    cdef vec mean = g.win.anchor.v + mean_u
    cdef vec var = larger(g.win.s2.v / g.n.v - mean_u * mean_u, zero)
    # Below the rounding of the sums themselves a variance says nothing.
    cdef vec std = root(keep(gt(var, 1e-15 * (g.win.s2.v / g.n.v)), var))
    cdef vec cross, slope, r, z
    z = ratio(c - mean, std, zero)
    if asked(k.on, only, F_SMA):
        put(k, g, F_SMA, mean, t)
    if asked(k.on, only, F_WMA):
        put(k, g, F_WMA, g.win.anchor.v + g.win.w.v / g.weight_sum.v, t)
    if asked(k.on, only, F_MA_GAP):
        put(k, g, F_MA_GAP, ratio(c, mean, one) - 1.0, t)
    if asked(k.on, only, F_STD):
        put(k, g, F_STD, std, t)
    if asked(k.on, only, F_VAR):
        put(k, g, F_VAR, std * std, t)
    if asked(k.on, only, F_ZSCORE):
        put(k, g, F_ZSCORE, z, t)
    if asked(k.on, only, F_REVERSION):
        put(k, g, F_REVERSION, larger(smaller(z / set1(-3.0), one), set1(-1.0)), t)
    if asked(k.on, only, F_BB_UPPER):
        put(k, g, F_BB_UPPER, mean + 2.0 * std, t)
    if asked(k.on, only, F_BB_LOWER):
        put(k, g, F_BB_LOWER, mean - 2.0 * std, t)
    if asked(k.on, only, F_BB_POS):
        put(k, g, F_BB_POS, 0.25 * z + 0.5, t)
    if asked(k.on, only, F_BB_WIDTH):
        put(k, g, F_BB_WIDTH, ratio(4.0 * std, mean, zero), t)
    if needs & NEED_HALF:
        if asked(k.on, only, F_HMA):
            put(k, g, F_HMA, g.win_hull.anchor.v + g.win_hull.w.v / g.weight_hull.v, t)
        if asked(k.on, only, F_HAAR):
            # The older half is what the window holds beyond the newer one.
            r = g.win_half.anchor.v + g.win_half.s1.v / g.half.v
            z = ratio(g.n.v * mean - g.half.v * r, g.n.v - g.half.v, r)
            put(k, g, F_HAAR, 0.5 * (r - z), t)
    cross = g.n.v * g.win.w.v - g.weight_sum.v * g.win.s1.v
    slope = ratio(cross, g.weight_det.v, zero)
    r = ratio(cross, g.weight_root.v * std, zero)
    r = larger(smaller(r, one), set1(-1.0))
    if asked(k.on, only, F_LINREG):
        put(k, g, F_LINREG, mean + slope * (0.5 * (g.n.v - 1.0)), t)
    if asked(k.on, only, F_FORECAST):
        put(k, g, F_FORECAST, mean + slope * (0.5 * (g.n.v + 1.0)), t)
    if asked(k.on, only, F_SLOPE):
        put(k, g, F_SLOPE, slope, t)
    if asked(k.on, only, F_TREND):
        put(k, g, F_TREND, r, t)
    if asked(k.on, only, F_R2):
        put(k, g, F_R2, r * r, t)
    if asked(k.on, only, F_LINE_ERROR):
        put(k, g, F_LINE_ERROR, std * root(ratio((1.0 - r * r) * g.n.v, larger(g.n.v - 2.0, zero), zero)), t)


cdef inline inlined _range_features(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """Extremes of the window and all that is placed between them."""
    cdef vec c = set1(k.c), t = set1(k.count), high, low, stoch
    place(k.at_block, g.back_block, k.number << k.extreme_shift, k.extreme_cut)
    high = larger(gather(k.extremes_now, g.level), gather_level(k.extremes, k.at_block, g.level))
    low = smaller(
        gather(k.extremes_now + k.lows, g.level), gather_level(k.extremes + k.lows, k.at_block, g.level)
    )
    stoch = 100.0 * ratio(c - low, high - low, set1(0.5))
    if asked(k.on, only, F_STOCH_K):
        put(k, g, F_STOCH_K, stoch, t)
    if asked(k.on, only, F_STOCH_D):
        put(k, g, F_STOCH_D, (stoch + g.stoch1.v + g.stoch2.v) / set1(3.0), t)
    g.stoch2.v = g.stoch1.v
    g.stoch1.v = stoch
    if asked(k.on, only, F_WILLR):
        put(k, g, F_WILLR, stoch - 100.0, t)
    if asked(k.on, only, F_DC_HIGH):
        put(k, g, F_DC_HIGH, high, t)
    if asked(k.on, only, F_DC_LOW):
        put(k, g, F_DC_LOW, low, t)
    if asked(k.on, only, F_DC_MID):
        put(k, g, F_DC_MID, 0.5 * (high + low), t)
    if asked(k.on, only, F_DC_WIDTH):
        put(k, g, F_DC_WIDTH, (high - low) / c, t)
    if asked(k.on, only, F_CHOP):
        # Without a range there is no way either: such a window counts 0.
        stoch = ratio(g.sum[<int>S_TR].v, high - low, set1(1.0))
        put(k, g, F_CHOP, where(gt(stoch, set1(1e-300)), 100.0 * ratio(logs(larger(stoch, set1(1e-300))), g.log_n.v, set1(0.5)),
                                set1(0.0)), t)
    if needs & NEED_ATR:
        if asked(k.on, only, F_CHANDELIER):
            put(k, g, F_CHANDELIER, high - 3.0 * g.atr.v, t)
        if asked(k.on, only, F_RESISTANCE):
            put(k, g, F_RESISTANCE, ratio(high - c, g.atr.v, set1(0.0)), t)
        if asked(k.on, only, F_SUPPORT):
            put(k, g, F_SUPPORT, ratio(c - low, g.atr.v, set1(0.0)), t)


cdef inline inlined _since(
    const double* e, const double* times, const double* now, const double* times_now, const int64_t* at,
    const int64_t* level, bint lows, vec* out,
) noexcept nogil:
    """When the extreme of a window was: the newer block wins a tie, as it does inside the blocks."""
    cdef vec new = gather(now, level), old = gather_level(e, at, level)
    cdef mask newer = ge(old, new) if lows else ge(new, old)
    out[0] = where(newer, gather(times_now, level), gather_level(times, at, level))


cdef inline inlined _aroon(group_t* g, tick_t* k, vec* up, vec* down) noexcept nogil:
    """Ages of the extremes of n + 1 bars."""
    cdef vec since = set1(0.0), t = set1(k.count)
    cdef int64_t lows = k.lows
    place(k.at_block1, g.back_block1, k.number << k.extreme_shift, k.extreme_cut)
    _since(k.extremes, k.times, k.extremes_now, k.times_now, k.at_block1, g.level1, False, &since)
    up[0] = 100.0 * (g.n.v - (t - since)) / g.n.v
    _since(k.extremes + lows, k.times + lows, k.extremes_now + lows, k.times_now + lows, k.at_block1, g.level1, True,
           &since)
    down[0] = 100.0 * (g.n.v - (t - since)) / g.n.v


cdef inline inlined _direction(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """What Wilder's means of gains, ranges and directional movements say."""
    cdef vec c = set1(k.c), t = set1(k.count), zero = set1(0.0), plus, minus, up, down, width
    if asked(k.on, only, F_RSI):
        put(k, g, F_RSI, 100.0 * ratio(g.gain.v, g.gain.v + g.loss.v, set1(0.5)), t)
    if asked(k.on, only, F_TSI):
        put(k, g, F_TSI, 100.0 * ratio(g.tsi_change2.v, g.tsi_way2.v, zero), t)
    if needs & NEED_ATR:
        if asked(k.on, only, F_ATR):
            put(k, g, F_ATR, g.atr.v, t)
        if asked(k.on, only, F_NATR):
            put(k, g, F_NATR, 100.0 * g.atr.v / c, t)
        if needs & NEED_EMA1:
            width = 4.0 * g.atr.v
            if asked(k.on, only, F_KC_UPPER):
                put(k, g, F_KC_UPPER, g.ema1.v + 2.0 * g.atr.v, t)
            if asked(k.on, only, F_KC_LOWER):
                put(k, g, F_KC_LOWER, g.ema1.v - 2.0 * g.atr.v, t)
            if asked(k.on, only, F_KC_POS):
                put(k, g, F_KC_POS, ratio(c - g.ema1.v, width, zero) + 0.5, t)
    if needs & NEED_DM:
        plus = 100.0 * smaller(ratio(g.dm_plus.v, g.atr.v, zero), set1(1.0))
        minus = 100.0 * smaller(ratio(g.dm_minus.v, g.atr.v, zero), set1(1.0))
        up = 100.0 * ratio(size(plus - minus), plus + minus, zero)
        g.adx.v = g.adx.v + weight(k.settled, t - g.n.v, g.n.v, g.k_rma.v) * (up - g.adx.v)
        if asked(k.on, only, F_PLUS_DI):
            put(k, g, F_PLUS_DI, plus, t)
        if asked(k.on, only, F_MINUS_DI):
            put(k, g, F_MINUS_DI, minus, t)
        if asked(k.on, only, F_ADX):
            put(k, g, F_ADX, g.adx.v, t)
    if needs & NEED_EXT1:
        up = zero
        down = zero
        _aroon(g, k, &up, &down)
        if asked(k.on, only, F_AROON_UP):
            put(k, g, F_AROON_UP, up, t)
        if asked(k.on, only, F_AROON_DOWN):
            put(k, g, F_AROON_DOWN, down, t)
        if asked(k.on, only, F_AROON_OSC):
            put(k, g, F_AROON_OSC, up - down, t)
    if asked(k.on, only, F_FORCE):
        put(k, g, F_FORCE, g.force.v, t)


cdef inline inlined _momentum(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    cdef vec c = set1(k.c), t = set1(k.count), zero = set1(0.0), old, a, b
    if needs & NEED_LAG:
        old = gather(k.records, k.at_n)
        if asked(k.on, only, F_MOM):
            put(k, g, F_MOM, c - old, t)
        if asked(k.on, only, F_ROC):
            put(k, g, F_ROC, 100.0 * ratio(c - old, old, zero), t)
        if asked(k.on, only, F_ER):
            put(k, g, F_ER, smaller(ratio(size(c - old), g.sum[<int>S_ABSD].v, zero), set1(1.0)), t)
    if asked(k.on, only, F_CMO):
        a = larger(g.sum[<int>S_GAIN].v, zero)
        b = larger(g.sum[<int>S_LOSS].v, zero)
        put(k, g, F_CMO, 100.0 * ratio(a - b, a + b, zero), t)
    if asked(k.on, only, F_UP_SHARE):
        put(k, g, F_UP_SHARE, g.sum[<int>S_UP].v / g.n.v, t)
    if asked(k.on, only, F_VORTEX_PLUS):
        put(k, g, F_VORTEX_PLUS, larger(ratio(g.sum[<int>S_VMP].v, g.sum[<int>S_TR].v, zero), zero), t)
    if asked(k.on, only, F_VORTEX_MINUS):
        put(k, g, F_VORTEX_MINUS, larger(ratio(g.sum[<int>S_VMM].v, g.sum[<int>S_TR].v, zero), zero), t)


cdef inline inlined _volatility(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    cdef vec t = set1(k.count), zero = set1(0.0), n = g.n.v, a, b, w
    cdef vec second = larger(g.sum[<int>S_LR2].v, zero) / n
    if asked(k.on, only, F_REALISED):
        put(k, g, F_REALISED, root(second), t)
    if asked(k.on, only, F_BIPOWER):
        put(k, g, F_BIPOWER, root(1.5707963267948966 * larger(g.sum[<int>S_BPV].v, zero) / n), t)
    if asked(k.on, only, F_JUMP):
        a = ratio(1.5707963267948966 * larger(g.sum[<int>S_BPV].v, zero) / n, second, set1(1.0))
        put(k, g, F_JUMP, larger(1.0 - a, zero), t)
    if asked(k.on, only, F_PARKINSON):
        put(k, g, F_PARKINSON, root(larger(g.sum[<int>S_PK].v, zero) / (2.772588722239781 * n)), t)
    if asked(k.on, only, F_GARMAN_KLASS):
        put(k, g, F_GARMAN_KLASS, root(larger(g.sum[<int>S_GK].v, zero) / n), t)
    if asked(k.on, only, F_ROGERS_SATCHELL):
        put(k, g, F_ROGERS_SATCHELL, root(larger(g.sum[<int>S_RS].v, zero) / n), t)
    if asked(k.on, only, F_YANG_ZHANG):
        a = larger(g.sum[<int>S_ON2].v - g.sum[<int>S_ON].v * g.sum[<int>S_ON].v / n, zero)
        b = larger(g.sum[<int>S_OC2].v - g.sum[<int>S_OC].v * g.sum[<int>S_OC].v / n, zero)
        w = set1(0.34) / (1.34 + (n + 1.0) / larger(n - 1.0, set1(1.0)))
        a = ratio(a + w * b, n - 1.0, zero) + (1.0 - w) * larger(g.sum[<int>S_RS].v, zero) / n
        put(k, g, F_YANG_ZHANG, root(a), t)
    if asked(k.on, only, F_EWMA_VOL):
        put(k, g, F_EWMA_VOL, root(g.ewma.v), t)
    if asked(k.on, only, F_DOWNSIDE):
        put(k, g, F_DOWNSIDE, root(larger(g.sum[<int>S_DOWN2].v, zero) / n), t)
    if asked(k.on, only, F_VOL_TERM):
        put(k, g, F_VOL_TERM, ratio(root(g.ewma.v), root(second), set1(1.0)), t)
    if asked(k.on, only, F_ILLIQUIDITY):
        put(k, g, F_ILLIQUIDITY, larger(g.sum[<int>S_ILLIQ].v, zero) / n, t)


cdef inline inlined _volume(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    cdef vec c = set1(k.c), t = set1(k.count), zero = set1(0.0), total = g.sum[<int>S_VOLUME].v, mean, a, b
    if asked(k.on, only, F_VWAP):
        put(k, g, F_VWAP, ratio(g.sum[<int>S_TPV].v, total, c), t)
    if asked(k.on, only, F_VWMA):
        put(k, g, F_VWMA, ratio(g.sum[<int>S_CV].v, total, c), t)
    if asked(k.on, only, F_CMF):
        put(k, g, F_CMF, larger(smaller(ratio(g.sum[<int>S_MFV].v, total, zero), set1(1.0)), set1(-1.0)), t)
    if asked(k.on, only, F_MFI):
        a = larger(g.sum[<int>S_MFPOS].v, zero)
        b = larger(g.sum[<int>S_MFNEG].v, zero)
        put(k, g, F_MFI, 100.0 * ratio(a, a + b, set1(0.5)), t)
    if asked(k.on, only, F_NET_VOLUME):
        put(k, g, F_NET_VOLUME, g.sum[<int>S_SIGNV].v, t)
    mean = larger(total, zero) / g.n.v
    if asked(k.on, only, F_VOL_MEAN):
        put(k, g, F_VOL_MEAN, mean, t)
    if asked(k.on, only, F_VOL_RATIO):
        put(k, g, F_VOL_RATIO, ratio(set1(k.volume), mean, zero), t)
    if asked(k.on, only, F_VOL_Z):
        a = g.sum[<int>S_V2].v / g.n.v
        b = a - mean * mean
        b = root(keep(gt(b, 1e-13 * a), b))
        put(k, g, F_VOL_Z, ratio(k.volume - mean, b, zero), t)


cdef inline inlined _statistics(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """Moments of log returns and their correlations. The mean of returns is small, so their sums need no anchor."""
    cdef vec t = set1(k.count), zero = set1(0.0), one = set1(1.0), n = g.n.v, lo = set1(-1.0)
    cdef vec mean = g.sum[<int>S_LR].v / n, m2 = g.sum[<int>S_LR2].v / n, var, a, b, c, old, new
    var = m2 - mean * mean
    var = keep(gt(var, 1e-13 * m2), var)
    if asked(k.on, only, F_RET_MEAN):
        put(k, g, F_RET_MEAN, mean, t)
    if asked(k.on, only, F_RET_SHARPE):
        put(k, g, F_RET_SHARPE, ratio(mean, root(var), zero), t)
    if asked(k.on, only, F_SKEW):
        a = g.sum[<int>S_LR3].v / n - 3.0 * mean * m2 + 2.0 * mean * mean * mean
        put(k, g, F_SKEW, ratio(a, var * root(var), zero), t)
    if asked(k.on, only, F_KURT):
        a = g.sum[<int>S_LR4].v / n - 4.0 * mean * (g.sum[<int>S_LR3].v / n) + 6.0 * mean * mean * m2
        a = a - 3.0 * mean * mean * mean * mean
        b = ratio(a, var * var, set1(3.0)) - 3.0
        put(k, g, F_KURT, larger(b, set1(-3.0)), t)
    if asked(k.on, only, F_AUTOCORR):
        # The window one bar older: the same sums without the newest return and with the one that left.
        old = gather(k.records + 1 + popcount(sums & (sum_of(S_LR) - 1)), k.at_n)
        new = set1(k.log_return)
        a = g.sum[<int>S_LR].v - new + old
        b = g.sum[<int>S_LR2].v - new * new + old * old
        c = b / n - (a / n) * (a / n)
        c = keep(gt(c, 1e-13 * (b / n)), c)
        a = g.sum[<int>S_LRLAG].v / n - mean * (a / n)
        put(k, g, F_AUTOCORR, larger(smaller(ratio(a, root(var * c), zero), one), lo), t)
    a = g.sum[<int>S_REF].v / n
    b = g.sum[<int>S_REF2].v / n - a * a
    b = keep(gt(b, 1e-13 * (g.sum[<int>S_REF2].v / n)), b)
    c = g.sum[<int>S_LRREF].v / n - mean * a
    if asked(k.on, only, F_CORR_REF):
        put(k, g, F_CORR_REF, larger(smaller(ratio(c, root(var * b), zero), one), lo), t)
    if asked(k.on, only, F_BETA_REF):
        put(k, g, F_BETA_REF, ratio(c, b, zero), t)


# ------------------------------------------------------------------------------------------------------- the scans
cdef inline inlined _scans(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    cdef vec t = set1(k.count)
    cdef row_t a, b
    cdef int i
    cdef int64_t n
    if needs & NEED_SCANTP:
        for i in range(WIDTH):
            n = g.window[i]
            a.d[i] = scan_sum(k.typicals - n, n) / <double>n
            b.d[i] = scan_distance(k.typicals - n, n, a.d[i]) / <double>n
        b.v = keep(gt(b.v, 1e-14 * a.v), b.v)
        put(k, g, F_CCI, ratio(k.typical - a.v, 0.015 * b.v, set1(0.0)), t)
    if needs & NEED_SCANC:
        for i in range(WIDTH):
            n = g.window[i]
            a.d[i] = scan_below(k.closes - n, n, k.c) / <double>n
        put(k, g, F_RANK, a.v, t)
    if needs & NEED_SCANTR:
        for i in range(WIDTH):
            n = g.window[i]
            a.d[i] = scan_below(k.ranges - n, n, k.tr) / <double>n
        put(k, g, F_VOL_RANK, a.v, t)


# -------------------------------------------------------------------------------------------------------- the candles
cdef inline inlined _candles(group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums) noexcept nogil:
    """Shapes of the newest bar beside the n bars before it: their sums are the window's without its newest term."""
    cdef vec t = set1(k.count), zero = set1(0.0), one = set1(1.0), n = g.n.v, span, body, sign, shadows
    cdef double top = k.o if k.o > k.c else k.c, foot = k.c if k.o > k.c else k.o
    cdef double upper = k.h - top, lower = foot - k.l, tall = top - foot
    cdef int at = 1 + popcount(sums & (sum_of(S_RANGE) - 1))
    span = zero
    body = zero
    if sums & sum_of(S_RANGE):
        span = larger(g.sum[<int>S_RANGE].v - k.now[at] + gather(k.records + at, k.at_n), zero) / n
    if sums & sum_of(S_BODY):
        at = 1 + popcount(sums & (sum_of(S_BODY) - 1))
        body = larger(g.sum[<int>S_BODY].v - k.now[at] + gather(k.records + at, k.at_n), zero) / n
    sign = set1(1.0 if k.c >= k.o else -1.0)
    if asked(k.on, only, F_BODY):
        put(k, g, F_BODY, ratio(set1(k.c - k.o), span, zero), t)
    if asked(k.on, only, F_UPPER_WICK):
        put(k, g, F_UPPER_WICK, ratio(set1(upper), span, zero), t)
    if asked(k.on, only, F_LOWER_WICK):
        put(k, g, F_LOWER_WICK, ratio(set1(lower), span, zero), t)
    if asked(k.on, only, F_DOJI):
        put(k, g, F_DOJI, keep(ge(0.1 * span, set1(tall)), one), t)
    if asked(k.on, only, F_MARUBOZU):
        shadows = 0.1 * span
        put(k, g, F_MARUBOZU, keep(both(gt(set1(tall), body), both(gt(shadows, set1(upper)), gt(shadows, set1(lower)))),
                                   sign), t)
    if asked(k.on, only, F_LONG_LINE):
        shadows = 0.5 * (span - body)
        put(k, g, F_LONG_LINE, keep(both(gt(set1(tall), body), both(gt(shadows, set1(upper)), gt(shadows, set1(lower)))),
                                    sign), t)
    if asked(k.on, only, F_SPINNING_TOP):
        put(k, g, F_SPINNING_TOP, keep(both(gt(body, set1(tall)), gt(set1(upper if upper < lower else lower), set1(tall))),
                                       sign), t)
    if asked(k.on, only, F_ENGULFING):
        put(k, g, F_ENGULFING, g.sum[<int>S_ENGULF].v / n, t)
    if asked(k.on, only, F_GAP):
        put(k, g, F_GAP, ratio(set1(k.o - k.close_before), span, zero), t)


# -------------------------------------------------------------------------------------------------------- an update
cdef inline inlined _rows(
    group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums, uint64_t parts
) noexcept nogil:
    """One slice of a group. Stubbornly in this order: what is shared first, then what stands on it."""
    if parts & PART_RING:
        _sums(g, k, only, needs, sums)
    _means(g, k, only, needs, sums)
    if needs & (NEED_KAMA | NEED_MCG | NEED_KALMAN):
        _adaptive(g, k, only, needs, sums)
    if needs & NEED_WIN:
        _windows(g, k, only, needs, sums)
        _window_features(g, k, only, needs, sums)
    if parts & PART_TREND:
        _trend(g, k, only, needs, sums)
    if parts & PART_DIRECTION:
        _direction(g, k, only, needs, sums)
    if needs & NEED_EXT:
        _range_features(g, k, only, needs, sums)
    if parts & PART_MOMENTUM:
        _momentum(g, k, only, needs, sums)
    if parts & PART_VOLATILITY:
        _volatility(g, k, only, needs, sums)
    if parts & PART_VOLUME:
        _volume(g, k, only, needs, sums)
    if parts & PART_STATISTICS:
        _statistics(g, k, only, needs, sums)
    if parts & PART_CANDLES:
        _candles(g, k, only, needs, sums)
    if needs & (NEED_SCANTP | NEED_SCANC | NEED_SCANTR):
        _scans(g, k, only, needs, sums)


# A whole group, compiled apart: inlined into the loop over groups, the bounds of all families would be its invariants,
# and the compiler would spread two hundred of them over the stack before each update.
ctypedef void (*advance_t)(group_t* g, tick_t* k, uint64_t needs, uint64_t sums, uint64_t parts) noexcept nogil


cdef inline inlined rows_group(
    group_t* g, tick_t* k, int only, uint64_t needs, uint64_t sums, uint64_t parts
) noexcept nogil:
    cdef int i
    k.flag = g.flag
    k.any_flag = &g.any_flag
    g.any_flag = 0
    for i in range(SLICES):
        k.lane = i * WIDTH
        # The same struct a slice further: see simd.
        _rows(<group_t*>(<char*>g + i * WIDTH * 8), k, only, needs, sums, parts)


cdef inline inlined rows_bar(
    features_t* f, const double* low, const double* high, double o, double h, double l, double c, double v,
    double reference, advance_t advance, bint* taken,
) noexcept nogil:
    """One update of every family that is on; nothing is taken when the bar is none."""
    cdef tick_t k
    cdef group_t* g = features_groups(f)
    cdef uint64_t i
    cdef bint flagged = False
    tick_open(f, &k, <char*>f, low, high)
    tick_bar(f, &k, <char*>f, o, h, l, c, v, reference, -1, f.needs, f.sums, f.parts, taken)
    if not taken[0]:
        return
    for i in range(f.group_count):
        advance(&g[i], &k, f.needs, f.sums, f.parts)
        flagged |= (g[i].any_flag & features_lanes(f, i)) != 0
    f.anomaly_count += flagged


cdef inline inlined rows_batch(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out, uint64_t part,
    uint64_t needs_most, uint64_t sums_most,
) noexcept nogil:
    """The same update over columns of bars, for a stream of one family and one group.

    `family` is a constant where this is inlined: what remains is its own few lines. Header and group are local
    copies, so that the compiler knows that no output is written over them and keeps the state in registers.
    """
    cdef tick_t k
    cdef features_t head = f[0]
    # Two, of which one is used: a slice's struct reaches past the end of the first.
    cdef group_t g[2]
    # What cannot be is said in bits, which the compiler follows before it knows the family.
    cdef int only = family & 127
    cdef uint64_t sums = 0, needs = 0, parts = 0
    cdef int64_t i
    cdef uint32_t j
    cdef bint taken = False
    g[0] = features_groups(f)[0]
    sums_of(only, &sums)
    sums &= sums_most
    needs_of(only, &needs)
    needs_whole(needs & needs_most, sums, &needs)
    parts_whole(part, needs, sums, &parts)
    tick_open(&head, &k, <char*>f, low, high)
    for i in range(b.count):
        tick_bar(&head, &k, <char*>f, b.open[i], b.high[i], b.low[i], b.close[i], b.volume[i], b.reference[i],
                 only, needs, sums, parts, &taken)
        if taken:
            rows_group(&g[0], &k, only, needs, sums, parts)
            head.anomaly_count += (g[0].any_flag & features_lanes(&head, 0)) != 0
        if head.window_count == LANES:
            for j in range(<uint32_t>SLICES):
                store(out + j * WIDTH, load(&g[0].out[only].d[j * WIDTH]))
        else:
            for j in range(head.window_count):
                out[j] = g[0].out[only].d[j]
        out += head.window_count
    f[0] = head
    features_groups(f)[0] = g[0]

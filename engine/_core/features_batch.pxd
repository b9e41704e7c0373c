"""The batch of each family: the one update of features_rows, compiled for that family alone.

Owns: the jump from a family to its loop. Does not own: any formula. A part is narrowed first (only what its families
may stand on is left of the update) and then compiled for each of its families: narrowing a hundred times the whole
would take the compiler minutes. What a narrowing leaves out by mistake shows at once as a batch that differs from the
online form; the tests compare all of them, byte for byte. Cost: by family in docs/kernels/features.md.
"""
from libc.stdint cimport uint64_t

from engine._core.features cimport columns_t, features_t
from engine._core.features_needs cimport sum_of
from engine._core.features_rows cimport rows_batch
from engine._core.features_table cimport *
from engine._core.simd cimport inlined


cdef inline inlined _trend_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, PART_TREND, NEED_EMA1 | NEED_EMA2 | NEED_EMA3 | NEED_RMA | NEED_KAMA | NEED_MCG | NEED_MACD | NEED_KALMAN,
        sum_of(S_ABSD),
    )


cdef inline void batch_trend(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_EMA:
        _trend_of(f, low, high, F_EMA, b, out)
    elif family == F_RMA:
        _trend_of(f, low, high, F_RMA, b, out)
    elif family == F_DEMA:
        _trend_of(f, low, high, F_DEMA, b, out)
    elif family == F_TEMA:
        _trend_of(f, low, high, F_TEMA, b, out)
    elif family == F_TRIX:
        _trend_of(f, low, high, F_TRIX, b, out)
    elif family == F_KAMA:
        _trend_of(f, low, high, F_KAMA, b, out)
    elif family == F_MCGINLEY:
        _trend_of(f, low, high, F_MCGINLEY, b, out)
    elif family == F_MACD:
        _trend_of(f, low, high, F_MACD, b, out)
    elif family == F_MACD_SIGNAL:
        _trend_of(f, low, high, F_MACD_SIGNAL, b, out)
    elif family == F_MACD_HIST:
        _trend_of(f, low, high, F_MACD_HIST, b, out)
    elif family == F_PPO:
        _trend_of(f, low, high, F_PPO, b, out)
    elif family == F_KALMAN:
        _trend_of(f, low, high, F_KALMAN, b, out)
    elif family == F_KALMAN_GAP:
        _trend_of(f, low, high, F_KALMAN_GAP, b, out)


cdef inline inlined _window_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, 0, NEED_WIN | NEED_HALF,
        0,
    )


cdef inline void batch_window(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_SMA:
        _window_of(f, low, high, F_SMA, b, out)
    elif family == F_WMA:
        _window_of(f, low, high, F_WMA, b, out)
    elif family == F_HMA:
        _window_of(f, low, high, F_HMA, b, out)
    elif family == F_LINREG:
        _window_of(f, low, high, F_LINREG, b, out)
    elif family == F_SLOPE:
        _window_of(f, low, high, F_SLOPE, b, out)
    elif family == F_R2:
        _window_of(f, low, high, F_R2, b, out)
    elif family == F_FORECAST:
        _window_of(f, low, high, F_FORECAST, b, out)
    elif family == F_LINE_ERROR:
        _window_of(f, low, high, F_LINE_ERROR, b, out)
    elif family == F_MA_GAP:
        _window_of(f, low, high, F_MA_GAP, b, out)
    elif family == F_STD:
        _window_of(f, low, high, F_STD, b, out)
    elif family == F_BB_UPPER:
        _window_of(f, low, high, F_BB_UPPER, b, out)
    elif family == F_BB_LOWER:
        _window_of(f, low, high, F_BB_LOWER, b, out)
    elif family == F_BB_POS:
        _window_of(f, low, high, F_BB_POS, b, out)
    elif family == F_BB_WIDTH:
        _window_of(f, low, high, F_BB_WIDTH, b, out)
    elif family == F_VAR:
        _window_of(f, low, high, F_VAR, b, out)
    elif family == F_ZSCORE:
        _window_of(f, low, high, F_ZSCORE, b, out)
    elif family == F_TREND:
        _window_of(f, low, high, F_TREND, b, out)
    elif family == F_REVERSION:
        _window_of(f, low, high, F_REVERSION, b, out)
    elif family == F_HAAR:
        _window_of(f, low, high, F_HAAR, b, out)


cdef inline inlined _direction_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, PART_DIRECTION, NEED_RSI | NEED_TSI | NEED_ATR | NEED_EMA1 | NEED_DM | NEED_EXT1 | NEED_FORCE,
        0,
    )


cdef inline void batch_direction(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_RSI:
        _direction_of(f, low, high, F_RSI, b, out)
    elif family == F_TSI:
        _direction_of(f, low, high, F_TSI, b, out)
    elif family == F_ATR:
        _direction_of(f, low, high, F_ATR, b, out)
    elif family == F_NATR:
        _direction_of(f, low, high, F_NATR, b, out)
    elif family == F_KC_UPPER:
        _direction_of(f, low, high, F_KC_UPPER, b, out)
    elif family == F_KC_LOWER:
        _direction_of(f, low, high, F_KC_LOWER, b, out)
    elif family == F_KC_POS:
        _direction_of(f, low, high, F_KC_POS, b, out)
    elif family == F_PLUS_DI:
        _direction_of(f, low, high, F_PLUS_DI, b, out)
    elif family == F_MINUS_DI:
        _direction_of(f, low, high, F_MINUS_DI, b, out)
    elif family == F_ADX:
        _direction_of(f, low, high, F_ADX, b, out)
    elif family == F_AROON_UP:
        _direction_of(f, low, high, F_AROON_UP, b, out)
    elif family == F_AROON_DOWN:
        _direction_of(f, low, high, F_AROON_DOWN, b, out)
    elif family == F_AROON_OSC:
        _direction_of(f, low, high, F_AROON_OSC, b, out)
    elif family == F_FORCE:
        _direction_of(f, low, high, F_FORCE, b, out)


cdef inline inlined _range_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, 0, NEED_EXT | NEED_ATR,
        sum_of(S_TR),
    )


cdef inline void batch_range(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_STOCH_K:
        _range_of(f, low, high, F_STOCH_K, b, out)
    elif family == F_STOCH_D:
        _range_of(f, low, high, F_STOCH_D, b, out)
    elif family == F_WILLR:
        _range_of(f, low, high, F_WILLR, b, out)
    elif family == F_CHOP:
        _range_of(f, low, high, F_CHOP, b, out)
    elif family == F_DC_HIGH:
        _range_of(f, low, high, F_DC_HIGH, b, out)
    elif family == F_DC_LOW:
        _range_of(f, low, high, F_DC_LOW, b, out)
    elif family == F_DC_MID:
        _range_of(f, low, high, F_DC_MID, b, out)
    elif family == F_DC_WIDTH:
        _range_of(f, low, high, F_DC_WIDTH, b, out)
    elif family == F_CHANDELIER:
        _range_of(f, low, high, F_CHANDELIER, b, out)
    elif family == F_RESISTANCE:
        _range_of(f, low, high, F_RESISTANCE, b, out)
    elif family == F_SUPPORT:
        _range_of(f, low, high, F_SUPPORT, b, out)


cdef inline inlined _momentum_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, PART_MOMENTUM, NEED_LAG,
        sum_of(S_GAIN) | sum_of(S_LOSS) | sum_of(S_ABSD) | sum_of(S_UP) | sum_of(S_VMP) | sum_of(S_VMM) |
        sum_of(S_TR),
    )


cdef inline void batch_momentum(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_MOM:
        _momentum_of(f, low, high, F_MOM, b, out)
    elif family == F_ROC:
        _momentum_of(f, low, high, F_ROC, b, out)
    elif family == F_ER:
        _momentum_of(f, low, high, F_ER, b, out)
    elif family == F_CMO:
        _momentum_of(f, low, high, F_CMO, b, out)
    elif family == F_UP_SHARE:
        _momentum_of(f, low, high, F_UP_SHARE, b, out)
    elif family == F_VORTEX_PLUS:
        _momentum_of(f, low, high, F_VORTEX_PLUS, b, out)
    elif family == F_VORTEX_MINUS:
        _momentum_of(f, low, high, F_VORTEX_MINUS, b, out)


cdef inline inlined _volatility_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, PART_VOLATILITY, NEED_EWMA,
        sum_of(S_LR2) | sum_of(S_BPV) | sum_of(S_PK) | sum_of(S_GK) | sum_of(S_RS) | sum_of(S_ON) |
        sum_of(S_ON2) | sum_of(S_OC) | sum_of(S_OC2) | sum_of(S_DOWN2) | sum_of(S_ILLIQ),
    )


cdef inline void batch_volatility(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_REALISED:
        _volatility_of(f, low, high, F_REALISED, b, out)
    elif family == F_BIPOWER:
        _volatility_of(f, low, high, F_BIPOWER, b, out)
    elif family == F_JUMP:
        _volatility_of(f, low, high, F_JUMP, b, out)
    elif family == F_PARKINSON:
        _volatility_of(f, low, high, F_PARKINSON, b, out)
    elif family == F_GARMAN_KLASS:
        _volatility_of(f, low, high, F_GARMAN_KLASS, b, out)
    elif family == F_ROGERS_SATCHELL:
        _volatility_of(f, low, high, F_ROGERS_SATCHELL, b, out)
    elif family == F_YANG_ZHANG:
        _volatility_of(f, low, high, F_YANG_ZHANG, b, out)
    elif family == F_EWMA_VOL:
        _volatility_of(f, low, high, F_EWMA_VOL, b, out)
    elif family == F_DOWNSIDE:
        _volatility_of(f, low, high, F_DOWNSIDE, b, out)
    elif family == F_VOL_TERM:
        _volatility_of(f, low, high, F_VOL_TERM, b, out)
    elif family == F_ILLIQUIDITY:
        _volatility_of(f, low, high, F_ILLIQUIDITY, b, out)


cdef inline inlined _volume_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, PART_VOLUME, 0,
        sum_of(S_VOLUME) | sum_of(S_TPV) | sum_of(S_CV) | sum_of(S_MFV) | sum_of(S_MFPOS) | sum_of(S_MFNEG)
        | sum_of(S_SIGNV) | sum_of(S_V2),
    )


cdef inline void batch_volume(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_VWAP:
        _volume_of(f, low, high, F_VWAP, b, out)
    elif family == F_VWMA:
        _volume_of(f, low, high, F_VWMA, b, out)
    elif family == F_CMF:
        _volume_of(f, low, high, F_CMF, b, out)
    elif family == F_MFI:
        _volume_of(f, low, high, F_MFI, b, out)
    elif family == F_NET_VOLUME:
        _volume_of(f, low, high, F_NET_VOLUME, b, out)
    elif family == F_VOL_MEAN:
        _volume_of(f, low, high, F_VOL_MEAN, b, out)
    elif family == F_VOL_RATIO:
        _volume_of(f, low, high, F_VOL_RATIO, b, out)
    elif family == F_VOL_Z:
        _volume_of(f, low, high, F_VOL_Z, b, out)


cdef inline inlined _statistics_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, PART_STATISTICS, 0,
        sum_of(S_LR) | sum_of(S_LR2) | sum_of(S_LRLAG) | sum_of(S_REF) | sum_of(S_REF2) | sum_of(S_LRREF) |
        sum_of(S_LR3) | sum_of(S_LR4),
    )


cdef inline void batch_statistics(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_RET_MEAN:
        _statistics_of(f, low, high, F_RET_MEAN, b, out)
    elif family == F_RET_SHARPE:
        _statistics_of(f, low, high, F_RET_SHARPE, b, out)
    elif family == F_SKEW:
        _statistics_of(f, low, high, F_SKEW, b, out)
    elif family == F_KURT:
        _statistics_of(f, low, high, F_KURT, b, out)
    elif family == F_AUTOCORR:
        _statistics_of(f, low, high, F_AUTOCORR, b, out)
    elif family == F_CORR_REF:
        _statistics_of(f, low, high, F_CORR_REF, b, out)
    elif family == F_BETA_REF:
        _statistics_of(f, low, high, F_BETA_REF, b, out)


cdef inline inlined _candles_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, PART_CANDLES, 0,
        sum_of(S_BODY) | sum_of(S_RANGE) | sum_of(S_ENGULF),
    )


cdef inline void batch_candles(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_BODY:
        _candles_of(f, low, high, F_BODY, b, out)
    elif family == F_UPPER_WICK:
        _candles_of(f, low, high, F_UPPER_WICK, b, out)
    elif family == F_LOWER_WICK:
        _candles_of(f, low, high, F_LOWER_WICK, b, out)
    elif family == F_DOJI:
        _candles_of(f, low, high, F_DOJI, b, out)
    elif family == F_MARUBOZU:
        _candles_of(f, low, high, F_MARUBOZU, b, out)
    elif family == F_LONG_LINE:
        _candles_of(f, low, high, F_LONG_LINE, b, out)
    elif family == F_SPINNING_TOP:
        _candles_of(f, low, high, F_SPINNING_TOP, b, out)
    elif family == F_ENGULFING:
        _candles_of(f, low, high, F_ENGULFING, b, out)
    elif family == F_GAP:
        _candles_of(f, low, high, F_GAP, b, out)


cdef inline inlined _scans_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    rows_batch(
        f, low, high, family, b, out, 0, NEED_SCANTP | NEED_SCANC | NEED_SCANTR,
        0,
    )


cdef inline void batch_scans(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    if family == F_CCI:
        _scans_of(f, low, high, F_CCI, b, out)
    elif family == F_RANK:
        _scans_of(f, low, high, F_RANK, b, out)
    elif family == F_VOL_RANK:
        _scans_of(f, low, high, F_VOL_RANK, b, out)


cdef inline inlined batch_of(
    features_t* f, const double* low, const double* high, int family, const columns_t* b, double* out
) noexcept nogil:
    """Each knows its own families and leaves the others alone."""
    batch_trend(f, low, high, family, b, out)
    batch_window(f, low, high, family, b, out)
    batch_direction(f, low, high, family, b, out)
    batch_range(f, low, high, family, b, out)
    batch_momentum(f, low, high, family, b, out)
    batch_volatility(f, low, high, family, b, out)
    batch_volume(f, low, high, family, b, out)
    batch_statistics(f, low, high, family, b, out)
    batch_candles(f, low, high, family, b, out)
    batch_scans(f, low, high, family, b, out)

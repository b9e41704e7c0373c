"""What each feature family is computed from, where the compiler can see it.

Owns: by family the shared parts of the state (NEED_) and the rolling sums (S_) that it stands on. Asked with a constant
family these fold away, which is what lets the batch form be one tight loop a family; asked at run time they are a
switch. Does not own: names, bounds and warm-up (features_table). Cost: none, or a jump.
"""
from libc.stdint cimport uint64_t

from engine._core.features_table cimport *
from engine._core.simd cimport inlined


cdef extern from *:
    """
    #define BOT4_SUM(signal) (UINT64_C(1) << (signal))
    """
    uint64_t sum_of "BOT4_SUM"(int signal) noexcept nogil


cdef inline inlined needs_of(int family, uint64_t* out) noexcept nogil:
    """The shared parts, without those that the sums bring with them."""
    if (
        family == F_SMA or family == F_WMA or family == F_LINREG or family == F_SLOPE or family == F_R2 or
        family == F_FORECAST or family == F_LINE_ERROR or family == F_MA_GAP or family == F_STD or family ==
        F_BB_UPPER or family == F_BB_LOWER or family == F_BB_POS or family == F_BB_WIDTH or family == F_VAR or
        family == F_ZSCORE or family == F_TREND or family == F_REVERSION
    ):
        out[0] = NEED_WIN
    elif family == F_EMA:
        out[0] = NEED_EMA1
    elif family == F_RMA:
        out[0] = NEED_RMA
    elif family == F_DEMA:
        out[0] = NEED_EMA1 | NEED_EMA2
    elif family == F_TEMA or family == F_TRIX:
        out[0] = NEED_EMA1 | NEED_EMA2 | NEED_EMA3
    elif family == F_KAMA:
        out[0] = NEED_KAMA
    elif family == F_HMA or family == F_HAAR:
        out[0] = NEED_WIN | NEED_HALF
    elif family == F_MCGINLEY:
        out[0] = NEED_MCG
    elif family == F_MACD or family == F_MACD_SIGNAL or family == F_MACD_HIST or family == F_PPO:
        out[0] = NEED_MACD
    elif family == F_AROON_UP or family == F_AROON_DOWN or family == F_AROON_OSC:
        out[0] = NEED_EXT1
    elif family == F_PLUS_DI or family == F_MINUS_DI or family == F_ADX:
        out[0] = NEED_DM | NEED_ATR
    elif family == F_RSI:
        out[0] = NEED_RSI
    elif family == F_MOM or family == F_ROC or family == F_ER:
        out[0] = NEED_LAG
    elif (
        family == F_STOCH_K or family == F_STOCH_D or family == F_WILLR or family == F_CHOP or family ==
        F_DC_HIGH or family == F_DC_LOW or family == F_DC_MID or family == F_DC_WIDTH
    ):
        out[0] = NEED_EXT
    elif family == F_CCI:
        out[0] = NEED_SCANTP
    elif family == F_TSI:
        out[0] = NEED_TSI
    elif family == F_ATR or family == F_NATR:
        out[0] = NEED_ATR
    elif family == F_EWMA_VOL or family == F_VOL_TERM:
        out[0] = NEED_EWMA
    elif family == F_FORCE:
        out[0] = NEED_FORCE
    elif family == F_KC_UPPER or family == F_KC_LOWER or family == F_KC_POS:
        out[0] = NEED_EMA1 | NEED_ATR
    elif family == F_CHANDELIER or family == F_RESISTANCE or family == F_SUPPORT:
        out[0] = NEED_EXT | NEED_ATR
    elif family == F_RANK:
        out[0] = NEED_SCANC
    elif family == F_VOL_RANK:
        out[0] = NEED_SCANTR
    elif family == F_KALMAN or family == F_KALMAN_GAP:
        out[0] = NEED_KALMAN
    else:
        out[0] = 0


cdef inline inlined sums_of(int family, uint64_t* out) noexcept nogil:
    """The rolling sums, a bit each."""
    if family == F_KAMA or family == F_ER:
        out[0] = sum_of(S_ABSD)
    elif family == F_VORTEX_PLUS:
        out[0] = sum_of(S_VMP) | sum_of(S_TR)
    elif family == F_VORTEX_MINUS:
        out[0] = sum_of(S_VMM) | sum_of(S_TR)
    elif family == F_CMO:
        out[0] = sum_of(S_GAIN) | sum_of(S_LOSS)
    elif family == F_UP_SHARE:
        out[0] = sum_of(S_UP)
    elif family == F_REALISED or family == F_VOL_TERM:
        out[0] = sum_of(S_LR2)
    elif family == F_BIPOWER:
        out[0] = sum_of(S_BPV)
    elif family == F_JUMP:
        out[0] = sum_of(S_LR2) | sum_of(S_BPV)
    elif family == F_PARKINSON:
        out[0] = sum_of(S_PK)
    elif family == F_GARMAN_KLASS:
        out[0] = sum_of(S_GK)
    elif family == F_ROGERS_SATCHELL:
        out[0] = sum_of(S_RS)
    elif family == F_YANG_ZHANG:
        out[0] = sum_of(S_RS) | sum_of(S_ON) | sum_of(S_ON2) | sum_of(S_OC) | sum_of(S_OC2)
    elif family == F_DOWNSIDE:
        out[0] = sum_of(S_DOWN2)
    elif family == F_CHOP:
        out[0] = sum_of(S_TR)
    elif family == F_VWAP:
        out[0] = sum_of(S_VOLUME) | sum_of(S_TPV)
    elif family == F_VWMA:
        out[0] = sum_of(S_VOLUME) | sum_of(S_CV)
    elif family == F_MFI:
        out[0] = sum_of(S_MFPOS) | sum_of(S_MFNEG)
    elif family == F_CMF:
        out[0] = sum_of(S_MFV) | sum_of(S_VOLUME)
    elif family == F_NET_VOLUME:
        out[0] = sum_of(S_SIGNV)
    elif family == F_VOL_MEAN or family == F_VOL_RATIO:
        out[0] = sum_of(S_VOLUME)
    elif family == F_VOL_Z:
        out[0] = sum_of(S_VOLUME) | sum_of(S_V2)
    elif family == F_SKEW:
        out[0] = sum_of(S_LR) | sum_of(S_LR2) | sum_of(S_LR3)
    elif family == F_KURT:
        out[0] = sum_of(S_LR) | sum_of(S_LR2) | sum_of(S_LR3) | sum_of(S_LR4)
    elif family == F_AUTOCORR:
        out[0] = sum_of(S_LR) | sum_of(S_LR2) | sum_of(S_LRLAG)
    elif family == F_CORR_REF:
        out[0] = sum_of(S_LR) | sum_of(S_LR2) | sum_of(S_REF) | sum_of(S_REF2) | sum_of(S_LRREF)
    elif family == F_BETA_REF:
        out[0] = sum_of(S_LR) | sum_of(S_REF) | sum_of(S_REF2) | sum_of(S_LRREF)
    elif family == F_RET_MEAN:
        out[0] = sum_of(S_LR)
    elif family == F_RET_SHARPE:
        out[0] = sum_of(S_LR) | sum_of(S_LR2)
    elif family == F_ILLIQUIDITY:
        out[0] = sum_of(S_ILLIQ)
    elif family == F_BODY or family == F_UPPER_WICK or family == F_LOWER_WICK or family == F_DOJI or family == F_GAP:
        out[0] = sum_of(S_RANGE)
    elif family == F_MARUBOZU or family == F_LONG_LINE:
        out[0] = sum_of(S_BODY) | sum_of(S_RANGE)
    elif family == F_SPINNING_TOP:
        out[0] = sum_of(S_BODY)
    elif family == F_ENGULFING:
        out[0] = sum_of(S_ENGULF)
    else:
        out[0] = 0


cdef inline inlined needs_whole(uint64_t needs, uint64_t sums, uint64_t* out) noexcept nogil:
    """The needs with what the sums ask of a record."""
    if sums:
        needs |= NEED_TERMS
    if sums & ((sum_of(S_OC2) << 1) - sum_of(S_PK)):
        needs |= NEED_LOGS
    # Fewer questions than savings: every sum beyond the plain ones is of returns, and so is the volatility's mean.
    if sums or needs & NEED_EWMA:
        needs |= NEED_RETURN
    out[0] = needs


cdef inline inlined part_of(int family, uint64_t* out) noexcept nogil:
    if (
        family == F_EMA or family == F_RMA or family == F_DEMA or family == F_TEMA or family == F_TRIX or family
        == F_KAMA or family == F_MCGINLEY or family == F_MACD or family == F_MACD_SIGNAL or family ==
        F_MACD_HIST or family == F_PPO or family == F_KALMAN or family == F_KALMAN_GAP
    ):
        out[0] = PART_TREND
    elif (
        family == F_RSI or family == F_TSI or family == F_ATR or family == F_NATR or family == F_KC_UPPER or
        family == F_KC_LOWER or family == F_KC_POS or family == F_PLUS_DI or family == F_MINUS_DI or family ==
        F_ADX or family == F_AROON_UP or family == F_AROON_DOWN or family == F_AROON_OSC or family == F_FORCE
    ):
        out[0] = PART_DIRECTION
    elif (
        family == F_MOM or family == F_ROC or family == F_ER or family == F_CMO or family == F_UP_SHARE or
        family == F_VORTEX_PLUS or family == F_VORTEX_MINUS
    ):
        out[0] = PART_MOMENTUM
    elif (
        family == F_REALISED or family == F_BIPOWER or family == F_JUMP or family == F_PARKINSON or family ==
        F_GARMAN_KLASS or family == F_ROGERS_SATCHELL or family == F_YANG_ZHANG or family == F_EWMA_VOL or
        family == F_DOWNSIDE or family == F_VOL_TERM or family == F_ILLIQUIDITY
    ):
        out[0] = PART_VOLATILITY
    elif (
        family == F_VWAP or family == F_VWMA or family == F_CMF or family == F_MFI or family == F_NET_VOLUME or
        family == F_VOL_MEAN or family == F_VOL_RATIO or family == F_VOL_Z
    ):
        out[0] = PART_VOLUME
    elif (
        family == F_RET_MEAN or family == F_RET_SHARPE or family == F_SKEW or family == F_KURT or family ==
        F_AUTOCORR or family == F_CORR_REF or family == F_BETA_REF
    ):
        out[0] = PART_STATISTICS
    elif (
        family == F_BODY or family == F_UPPER_WICK or family == F_LOWER_WICK or family == F_DOJI or family ==
        F_MARUBOZU or family == F_LONG_LINE or family == F_SPINNING_TOP or family == F_ENGULFING or family ==
        F_GAP
    ):
        out[0] = PART_CANDLES
    else:
        out[0] = 0


cdef inline inlined parts_whole(uint64_t parts, uint64_t needs, uint64_t sums, uint64_t* out) noexcept nogil:
    """The parts with the ring, where anything looks back."""
    if sums or needs & (NEED_WIN | NEED_HALF | NEED_LAG | NEED_KAMA):
        parts |= PART_RING
    out[0] = parts

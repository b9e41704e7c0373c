"""Every windowed feature of a price stream: number, name, unit, bounds, warm-up and what it is computed from.

Owns: the one table that the kernel, its twin, the command line and the documentation read. A family times a window is
one feature; `n` below is the window. Does not own: any formula (features_rows), nor what a family is computed from (features_needs). Invariant: the
numbers of families never change meaning; new ones go to the end, because trained models name them by hash.
Cost: data, filled at import.
"""

cpdef enum family_t:
    F_SMA = 0
    F_EMA = 1
    F_RMA = 2
    F_WMA = 3
    F_DEMA = 4
    F_TEMA = 5
    F_TRIX = 6
    F_KAMA = 7
    F_HMA = 8
    F_MCGINLEY = 9
    F_MACD = 10
    F_MACD_SIGNAL = 11
    F_MACD_HIST = 12
    F_PPO = 13
    F_LINREG = 14
    F_SLOPE = 15
    F_R2 = 16
    F_FORECAST = 17
    F_LINE_ERROR = 18
    F_AROON_UP = 19
    F_AROON_DOWN = 20
    F_AROON_OSC = 21
    F_PLUS_DI = 22
    F_MINUS_DI = 23
    F_ADX = 24
    F_VORTEX_PLUS = 25
    F_VORTEX_MINUS = 26
    F_MA_GAP = 27
    F_RSI = 28
    F_MOM = 29
    F_ROC = 30
    F_STOCH_K = 31
    F_STOCH_D = 32
    F_WILLR = 33
    F_CCI = 34
    F_CMO = 35
    F_TSI = 36
    F_ER = 37
    F_UP_SHARE = 38
    F_ATR = 39
    F_NATR = 40
    F_STD = 41
    F_REALISED = 42
    F_BIPOWER = 43
    F_JUMP = 44
    F_PARKINSON = 45
    F_GARMAN_KLASS = 46
    F_ROGERS_SATCHELL = 47
    F_YANG_ZHANG = 48
    F_EWMA_VOL = 49
    F_DOWNSIDE = 50
    F_CHOP = 51
    F_VWAP = 52
    F_VWMA = 53
    F_MFI = 54
    F_CMF = 55
    F_FORCE = 56
    F_NET_VOLUME = 57
    F_VOL_MEAN = 58
    F_VOL_RATIO = 59
    F_VOL_Z = 60
    F_BB_UPPER = 61
    F_BB_LOWER = 62
    F_BB_POS = 63
    F_BB_WIDTH = 64
    F_KC_UPPER = 65
    F_KC_LOWER = 66
    F_KC_POS = 67
    F_DC_HIGH = 68
    F_DC_LOW = 69
    F_DC_MID = 70
    F_DC_WIDTH = 71
    F_CHANDELIER = 72
    F_VAR = 73
    F_SKEW = 74
    F_KURT = 75
    F_ZSCORE = 76
    F_AUTOCORR = 77
    F_RANK = 78
    F_CORR_REF = 79
    F_BETA_REF = 80
    F_RET_MEAN = 81
    F_RET_SHARPE = 82
    F_TREND = 83
    F_REVERSION = 84
    F_VOL_RANK = 85
    F_ILLIQUIDITY = 86
    F_VOL_TERM = 87
    F_RESISTANCE = 88
    F_SUPPORT = 89
    F_KALMAN = 90
    F_KALMAN_GAP = 91
    F_HAAR = 92
    F_BODY = 93
    F_UPPER_WICK = 94
    F_LOWER_WICK = 95
    F_DOJI = 96
    F_MARUBOZU = 97
    F_LONG_LINE = 98
    F_SPINNING_TOP = 99
    F_ENGULFING = 100
    F_GAP = 101
    FAMILIES = 102


# Parts of the state that families share: each advances once, whoever needs it.
cdef enum:
    NEED_WIN = 1
    NEED_HALF = 2
    NEED_EMA1 = 4
    NEED_EMA2 = 8
    NEED_EMA3 = 16
    NEED_RMA = 32
    NEED_KAMA = 64
    NEED_MCG = 128
    NEED_MACD = 256
    NEED_EXT = 512
    NEED_EXT1 = 1024
    NEED_DM = 2048
    NEED_ATR = 4096
    NEED_RSI = 8192
    NEED_LAG = 16384
    NEED_SCANTP = 32768
    NEED_TSI = 65536
    NEED_EWMA = 131072
    NEED_FORCE = 262144
    NEED_SCANC = 524288
    NEED_SCANTR = 1048576
    NEED_KALMAN = 2097152
    # What sums ask of a record: any at all, logarithms of the four prices, the log return.
    NEED_TERMS = 1 << 24
    NEED_LOGS = 1 << 25
    NEED_RETURN = 1 << 26


# The formulas by the function that holds them; families behind a need of their own have none.
cdef enum:
    PART_RING = 1
    PART_TREND = 2
    PART_DIRECTION = 4
    PART_MOMENTUM = 8
    PART_VOLATILITY = 16
    PART_VOLUME = 32
    PART_STATISTICS = 64
    PART_CANDLES = 128


# Fields of a bar's record in the ring, those that rolling sums are kept of.
cdef enum:
    S_CLOSE = 0
    S_VOLUME = 1
    S_TR = 2
    S_LR = 3
    S_LR2 = 4
    S_GAIN = 5
    S_LOSS = 6
    S_ABSD = 7
    S_V2 = 8
    S_TPV = 9
    S_CV = 10
    S_MFV = 11
    S_MFPOS = 12
    S_MFNEG = 13
    S_SIGNV = 14
    S_ILLIQ = 15
    S_PK = 16
    S_GK = 17
    S_RS = 18
    S_ON = 19
    S_ON2 = 20
    S_OC = 21
    S_OC2 = 22
    S_BPV = 23
    S_VMP = 24
    S_VMM = 25
    S_DOWN2 = 26
    S_LRLAG = 27
    S_REF = 28
    S_REF2 = 29
    S_LRREF = 30
    S_LR3 = 31
    S_LR4 = 32
    S_UP = 33
    S_BODY = 34
    S_RANGE = 35
    S_ENGULF = 36
    SIGNALS = 37


cdef struct family_row_t:
    double low
    double high


cdef const family_row_t* family_row(int family) noexcept nogil
# Updates until the first value of a window; -1 for a family that does not exist.
cdef int family_warm(int family, int window) noexcept nogil
cdef int window_slow(int window) noexcept nogil
cdef int window_signal(int window) noexcept nogil
cdef int window_second(int window) noexcept nogil
cdef int window_hull(int window) noexcept nogil

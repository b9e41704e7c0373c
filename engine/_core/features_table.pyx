"""Fills the table at import and shows it to Python."""
from libc.stdint cimport uint64_t

from collections import namedtuple

# What each column says: see docs/features.md, which is generated from it.
Family = namedtuple("Family", "number name group unit low high warm needs signals cost meaning")

Number = family_t

_NEEDS = (
    "WIN HALF EMA1 EMA2 EMA3 RMA KAMA MCG MACD EXT EXT1 DM ATR RSI LAG SCANTP TSI EWMA FORCE SCANC SCANTR KALMAN "
).split()
_SIGNALS = (
    "CLOSE VOLUME TR LR LR2 GAIN LOSS ABSD V2 TPV CV MFV MFPOS MFNEG SIGNV ILLIQ PK GK RS ON ON2 OC OC2 BPV VMP VMM "
    "DOWN2 LRLAG REF REF2 LRREF LR3 LR4 UP "
).split()

# name | group | unit | low | high | warm-up | shared parts | sums | cost | meaning
_ROWS = """
sma|trend|price|0|2e12|n|WIN||row|mean of the last n closes
ema|trend|price|0|2e12|n|EMA1||row|exponential mean, weight 2/(n+1), started as the mean of the first n
rma|trend|price|0|2e12|n|RMA||row|Wilder's mean, weight 1/n, started as the mean of the first n
wma|trend|price|0|2e12|n|WIN||row|linearly weighted mean, the newest close with weight n
dema|trend|price|-4e12|6e12|2n-1|EMA1 EMA2||row|2 EMA - EMA(EMA)
tema|trend|price|-1e13|1e13|3n-2|EMA1 EMA2 EMA3||row|3 EMA - 3 EMA(EMA) + EMA(EMA(EMA))
trix|trend|percent|-1e18|1e18|3n-1|EMA1 EMA2 EMA3||row|change of the triple exponential mean in one bar
kama|trend|price|0|2e12|n+1|KAMA|ABSD|row|Kaufman's adaptive mean, fast 2, slow 30, started at the close before
hma|trend|price|-1e13|1e13|hull|WIN HALF||rows|Hull: WMA(sqrt n) of 2 WMA(n/2) - WMA(n)
mcginley|trend|price|0|2e12|n|MCG||row|McGinley dynamic, factor 0.6
macd|trend|price|-2e12|2e12|slow|MACD||row|EMA(n) - EMA(slow), slow = round(26 n/12)
macd_signal|trend|price|-2e12|2e12|slow+sig-1|MACD||row|EMA of macd over round(9 n/12)
macd_hist|trend|price|-2e12|2e12|slow+sig-1|MACD||row|macd - macd_signal
ppo|trend|percent|-1e6|1e24|slow|MACD||row|macd as a part of its slow mean
linreg|trend|price|-1e13|1e13|n|WIN||row|end of the least-squares line through n closes
slope|trend|price per bar|-2e12|2e12|n|WIN||row|slope of that line
r2|trend|ratio|0|1|n|WIN||row|share of the variance that the line explains
forecast|trend|price|-1e13|1e13|n|WIN||row|that line one bar ahead
line_error|trend|price|0|2e12|n|WIN||row|root of the mean squared distance from the line, n-2 in the divisor
aroon_up|trend|percent|0|100|n+1|EXT1||row|100 (n - bars since the highest high of n+1 bars) / n, the newest of equals
aroon_down|trend|percent|0|100|n+1|EXT1||row|the same of the lowest low
aroon_osc|trend|percent|-100|100|n+1|EXT1||row|aroon_up - aroon_down
plus_di|trend|percent|0|100|n+1|DM ATR||row|Wilder's +DM over his true range
minus_di|trend|percent|0|100|n+1|DM ATR||row|Wilder's -DM over his true range
adx|trend|percent|0|100|2n|DM ATR||row|Wilder's mean of |+DI - -DI| / (+DI + -DI)
vortex_plus|trend|ratio|0|1e6|n+1||VMP TR|row|sum of |high - low before| over the sum of true ranges
vortex_minus|trend|ratio|0|1e6|n+1||VMM TR|row|sum of |low - high before| over the sum of true ranges
ma_gap|trend|ratio|-1|1e21|n|WIN||row|close / sma - 1
rsi|momentum|percent|0|100|n+1|RSI||row|100 gain / (gain + loss), Wilder's means; 50 where nothing moved
mom|momentum|price|-2e12|2e12|n+1|LAG||row|close - close n bars ago
roc|momentum|percent|-100|1e24|n+1|LAG||row|the same as a part of the old close
stoch_k|momentum|percent|0|100|n|EXT||row|place of the close between the lowest low and highest high; 50 without a range
stoch_d|momentum|percent|0|100|n+2|EXT||row|mean of the last 3 stoch_k
willr|momentum|percent|-100|0|n|EXT||row|Williams %R: stoch_k - 100
cci|momentum|ratio|-1e6|1e6|n|SCANTP||scan|(typical - mean) / (0.015 mean deviation); 0 without deviation
cmo|momentum|percent|-100|100|n+1||GAIN LOSS|row|100 (gains - losses) / (gains + losses), plain sums
tsi|momentum|percent|-100|100|n+m|TSI||row|twice smoothed change over twice smoothed |change|, second mean round(13 n/25)
er|momentum|ratio|0|1|n+1|LAG|ABSD|row|efficiency: |close - close n ago| over the way gone
up_share|momentum|ratio|0|1|n+1||UP|row|share of bars that closed higher
atr|volatility|price|0|2e12|n+1|ATR||row|Wilder's mean of the true range
natr|volatility|percent|0|1e24|n+1|ATR||row|atr as a part of the close
std|volatility|price|0|2e12|n|WIN||row|standard deviation of n closes, divisor n
realised|volatility|per bar|0|100|n+1||LR2|row|root of the mean squared log return
bipower|volatility|per bar|0|100|n+2||BPV|row|root of pi/2 times the mean of |r| |r before|: jumps do not enter
jump|volatility|ratio|0|1|n+2||LR2 BPV|row|share of the realised variance beyond bipower
parkinson|volatility|per bar|0|100|n||PK|row|from high / low
garman_klass|volatility|per bar|0|100|n||GK|row|from high / low and close / open
rogers_satchell|volatility|per bar|0|100|n||RS|row|from all four, free of drift
yang_zhang|volatility|per bar|0|100|n+1||RS ON ON2 OC OC2|row|overnight, open to close and Rogers-Satchell together
ewma_vol|volatility|per bar|0|100|n+1|EWMA||row|root of the exponential mean of squared log returns
downside|volatility|per bar|0|100|n+1||DOWN2|row|root of the mean squared negative log return
chop|volatility|percent|0|1e4|n+1|EXT|TR|row|100 log(sum of true ranges / range) / log n
vwap|volume|price|0|2e12|n||VOLUME TPV|row|volume-weighted typical price; its plain place without volume is the close
vwma|volume|price|0|2e12|n||VOLUME CV|row|volume-weighted close; the close without volume
mfi|volume|percent|0|100|n+1||MFPOS MFNEG|row|money flow index; 50 where nothing flowed
cmf|volume|ratio|-1|1|n||MFV VOLUME|row|Chaikin money flow; 0 without volume
force|volume|price x volume|-1e33|1e33|n+1|FORCE||row|exponential mean of change x volume
net_volume|volume|volume|-1e24|1e24|n+1||SIGNV|row|volume of rising bars less that of falling ones
vol_mean|volume|volume|0|1e21|n||VOLUME|row|mean volume
vol_ratio|volume|ratio|0|1e6|n||VOLUME|row|volume over its mean; 0 without volume
vol_z|volume|deviations|-1e4|1e4|n||VOLUME V2|row|volume in deviations from its mean; 0 without deviation
bb_upper|bands|price|-4e12|1e13|n|WIN||row|sma + 2 std
bb_lower|bands|price|-1e13|4e12|n|WIN||row|sma - 2 std
bb_pos|bands|ratio|-1e4|1e4|n|WIN||row|place of the close in the band, 0 low, 1 high; 0.5 without width
bb_width|bands|ratio|0|1e6|n|WIN||row|width of the band over its middle
kc_upper|bands|price|-4e12|1e13|n+1|EMA1 ATR||row|Keltner: ema + 2 atr
kc_lower|bands|price|-1e13|4e12|n+1|EMA1 ATR||row|Keltner: ema - 2 atr
kc_pos|bands|ratio|-1e4|1e4|n+1|EMA1 ATR||row|place of the close between the two; 0.5 without width
dc_high|bands|price|0|2e12|n|EXT||row|Donchian: highest high
dc_low|bands|price|0|2e12|n|EXT||row|Donchian: lowest low
dc_mid|bands|price|0|2e12|n|EXT||row|the middle of the two (Ichimoku's lines are this)
dc_width|bands|ratio|0|1e21|n|EXT||row|their distance over the close
chandelier|bands|price|-1e13|2e12|n+1|EXT ATR||row|highest high less 3 atr: a long position's trailing stop
var|statistics|price^2|0|4e24|n|WIN||row|variance of n closes, divisor n
skew|statistics|ratio|-1e4|1e4|n+1||LR LR2 LR3|row|skewness of log returns; 0 without deviation
kurt|statistics|ratio|-3|1e6|n+1||LR LR2 LR3 LR4|row|excess kurtosis of log returns; 0 without deviation
zscore|statistics|deviations|-1e4|1e4|n|WIN||row|close in deviations from its mean; 0 without deviation
autocorr|statistics|ratio|-1|1|n+2||LR LR2 LRLAG|row|correlation of log returns with those one bar before
rank|statistics|ratio|0|1|n|SCANC||scan|share of the window's closes below the newest, ties count half
corr_ref|statistics|ratio|-1|1|n+1||LR LR2 REF REF2 LRREF|row|correlation of log returns with the reference's
beta_ref|statistics|ratio|-1e4|1e4|n+1||LR REF REF2 LRREF|row|beta of log returns to the reference's
ret_mean|statistics|per bar|-100|100|n+1||LR|row|mean log return
ret_sharpe|statistics|ratio|-1e4|1e4|n+1||LR LR2|row|mean log return over its deviation; 0 without deviation
trend|regime|ratio|-1|1|n|WIN||row|correlation of closes with time: strength and direction of the trend
reversion|regime|ratio|-1|1|n|WIN||row|-zscore/3, held within one: pull back to the mean
vol_rank|regime|ratio|0|1|n+1|SCANTR||scan|share of the window's true ranges below the newest, ties count half
illiquidity|regime|1/notional|0|1e9|n+1||ILLIQ|row|Amihud: mean of |log return| / (close x volume)
vol_term|regime|ratio|0|1e6|n+1|EWMA|LR2|row|ewma_vol over realised: above 1 volatility is rising
resistance|levels|atr|0|1e9|n+1|EXT ATR||row|distance up to the highest high in atr
support|levels|atr|0|1e9|n+1|EXT ATR||row|distance down to the lowest low in atr
kalman|filters|price|0|2e12|n|KALMAN||row|local-level filter whose steady gain is that of the ema
kalman_gap|filters|ratio|-1|1e21|n|KALMAN||row|close / kalman - 1
haar|filters|price|-2e12|2e12|n|WIN HALF||row|Haar wavelet detail: half the mean of the newer n/2 closes less that of the older
""".strip().splitlines()

_WARM = ("n", "n+1", "n+2", "2n", "2n-1", "3n-2", "3n-1", "hull", "slow", "slow+sig-1", "n+m")

cdef family_row_t _table[FAMILIES]
cdef int _warm_kind[FAMILIES]


cdef int window_slow(int window) noexcept nogil:
    """MACD's slow window: 26 for 12."""
    return (window * 26 + 6) // 12


cdef int window_signal(int window) noexcept nogil:
    """MACD's signal window: 9 for 12."""
    return max((window * 9 + 6) // 12, 1)


cdef int window_second(int window) noexcept nogil:
    """The true strength index's second window: 13 for 25."""
    return max((window * 13 + 12) // 25, 1)


cdef int window_hull(int window) noexcept nogil:
    """The whole part of the window's square root."""
    cdef int root = 1
    while (root + 1) * (root + 1) <= window:
        root += 1
    return root


cdef const family_row_t* family_row(int family) noexcept nogil:
    return &_table[family]


cdef int family_warm(int family, int n) noexcept nogil:
    cdef int kind
    if family < 0 or family >= <int>FAMILIES:
        return -1
    kind = _warm_kind[family]
    if kind == 0:
        return n
    if kind == 1:
        return n + 1
    if kind == 2:
        return n + 2
    if kind == 3:
        return 2 * n
    if kind == 4:
        return 2 * n - 1
    if kind == 5:
        return 3 * n - 2
    if kind == 6:
        return 3 * n - 1
    if kind == 7:
        return n + window_hull(n) - 1
    if kind == 8:
        return window_slow(n)
    if kind == 9:
        return window_slow(n) + window_signal(n) - 1
    if kind == 10:
        return n + window_second(n)
    return -1


cdef uint64_t _bits(list names, str words) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t bits = 0
    for word in words.split():
        bits |= <uint64_t>1 << <int>names.index(word)
    return bits


cdef list _fill():
    cdef list out = []
    cdef int number
    if len(_ROWS) != <int>FAMILIES:
        raise AssertionError("the table and the enumeration of families differ in length")
    for number, line in enumerate(_ROWS):
        name, group, unit, low, high, warm, needs, signals, cost, meaning = line.split("|", 9)
        if int(Number["F_" + name.upper()]) != number:
            raise AssertionError(f"family {name} stands at {number} in the table and elsewhere in the enumeration")
        _table[number] = family_row_t(float(low), float(high), _bits(_NEEDS, needs), _bits(_SIGNALS, signals))
        _warm_kind[number] = _WARM.index(warm)
        out.append(Family(number, name, group, unit, float(low), float(high), warm,
                          tuple(needs.split()), tuple(signals.split()), cost, meaning))
    return out


TABLE = tuple(_fill())


def warm_up(int family, int window):
    """Updates until a feature's first value."""
    return family_warm(family, window)

"""Fills the table at import and shows it to Python."""
from libc.stdint cimport uint64_t

from engine._core.features_needs cimport needs_of, sums_of

from collections import namedtuple

# What each column says: see docs/features.md, which is generated from it.
Family = namedtuple("Family", "number name group unit low high warm needs signals cost meaning")

Number = family_t

_NEEDS = (
    "WIN HALF EMA1 EMA2 EMA3 RMA KAMA MCG MACD EXT EXT1 DM ATR RSI LAG SCANTP TSI EWMA FORCE SCANC SCANTR KALMAN "
).split()
_SIGNALS = (
    "CLOSE VOLUME TR LR LR2 GAIN LOSS ABSD V2 TPV CV MFV MFPOS MFNEG SIGNV ILLIQ PK GK RS ON ON2 OC OC2 BPV VMP VMM "
    "DOWN2 LRLAG REF REF2 LRREF LR3 LR4 UP BODY RANGE ENGULF "
).split()

# name | group | unit | low | high | warm-up | cost | meaning
_ROWS = """
sma|trend|price|0|2e12|n|row|mean of the last n closes
ema|trend|price|0|2e12|n|row|exponential mean, weight 2/(n+1), started as the mean of the first n
rma|trend|price|0|2e12|n|row|Wilder's mean, weight 1/n, started as the mean of the first n
wma|trend|price|0|2e12|n|row|linearly weighted mean, the newest close with weight n
dema|trend|price|-4e12|6e12|2n-1|row|2 EMA - EMA(EMA)
tema|trend|price|-1e13|1e13|3n-2|row|3 EMA - 3 EMA(EMA) + EMA(EMA(EMA))
trix|trend|percent|-1e18|1e18|3n-1|row|change of the triple exponential mean in one bar
kama|trend|price|0|2e12|n+1|row|Kaufman's adaptive mean, fast 2, slow 30, started at the close before
hma|trend|price|-1e13|1e13|hull|rows|Hull: WMA(sqrt n) of 2 WMA(n/2) - WMA(n)
mcginley|trend|price|0|2e12|n|row|McGinley dynamic, factor 0.6
macd|trend|price|-2e12|2e12|slow|row|EMA(n) - EMA(slow), slow = round(26 n/12)
macd_signal|trend|price|-2e12|2e12|slow+sig-1|row|EMA of macd over round(9 n/12)
macd_hist|trend|price|-2e12|2e12|slow+sig-1|row|macd - macd_signal
ppo|trend|percent|-1e6|1e24|slow|row|macd as a part of its slow mean
linreg|trend|price|-1e13|1e13|n|row|end of the least-squares line through n closes
slope|trend|price per bar|-2e12|2e12|n|row|slope of that line
r2|trend|ratio|0|1|n|row|share of the variance that the line explains
forecast|trend|price|-1e13|1e13|n|row|that line one bar ahead
line_error|trend|price|0|2e12|n|row|root of the mean squared distance from the line, n-2 in the divisor
aroon_up|trend|percent|0|100|n+1|row|100 (n - bars since the highest high of n+1 bars) / n, the newest of equals
aroon_down|trend|percent|0|100|n+1|row|the same of the lowest low
aroon_osc|trend|percent|-100|100|n+1|row|aroon_up - aroon_down
plus_di|trend|percent|0|100|n+1|row|Wilder's +DM over his true range
minus_di|trend|percent|0|100|n+1|row|Wilder's -DM over his true range
adx|trend|percent|0|100|2n|row|Wilder's mean of |+DI - -DI| / (+DI + -DI)
vortex_plus|trend|ratio|0|1e6|n+1|row|sum of |high - low before| over the sum of true ranges
vortex_minus|trend|ratio|0|1e6|n+1|row|sum of |low - high before| over the sum of true ranges
ma_gap|trend|ratio|-1|1e21|n|row|close / sma - 1
rsi|momentum|percent|0|100|n+1|row|100 gain / (gain + loss), Wilder's means; 50 where nothing moved
mom|momentum|price|-2e12|2e12|n+1|row|close - close n bars ago
roc|momentum|percent|-100|1e24|n+1|row|the same as a part of the old close
stoch_k|momentum|percent|0|100|n|row|place of the close between the lowest low and highest high; 50 without a range
stoch_d|momentum|percent|0|100|n+2|row|mean of the last 3 stoch_k
willr|momentum|percent|-100|0|n|row|Williams %R: stoch_k - 100
cci|momentum|ratio|-1e6|1e6|n|scan|(typical - mean) / (0.015 mean deviation); 0 without deviation
cmo|momentum|percent|-100|100|n+1|row|100 (gains - losses) / (gains + losses), plain sums
tsi|momentum|percent|-100|100|n+m|row|twice smoothed change over twice smoothed |change|, second mean round(13 n/25)
er|momentum|ratio|0|1|n+1|row|efficiency: |close - close n ago| over the way gone
up_share|momentum|ratio|0|1|n+1|row|share of bars that closed higher
atr|volatility|price|0|2e12|n+1|row|Wilder's mean of the true range
natr|volatility|percent|0|1e24|n+1|row|atr as a part of the close
std|volatility|price|0|2e12|n|row|standard deviation of n closes, divisor n
realised|volatility|per bar|0|100|n+1|row|root of the mean squared log return
bipower|volatility|per bar|0|100|n+2|row|root of pi/2 times the mean of |r| |r before|: jumps do not enter
jump|volatility|ratio|0|1|n+2|row|share of the realised variance beyond bipower
parkinson|volatility|per bar|0|100|n|row|from high / low
garman_klass|volatility|per bar|0|100|n|row|from high / low and close / open
rogers_satchell|volatility|per bar|0|100|n|row|from all four, free of drift
yang_zhang|volatility|per bar|0|100|n+1|row|overnight, open to close and Rogers-Satchell together
ewma_vol|volatility|per bar|0|100|n+1|row|root of the exponential mean of squared log returns
downside|volatility|per bar|0|100|n+1|row|root of the mean squared negative log return
chop|volatility|percent|0|1e4|n+1|row|100 log(sum of true ranges / range) / log n
vwap|volume|price|0|2e12|n|row|volume-weighted typical price; its plain place without volume is the close
vwma|volume|price|0|2e12|n|row|volume-weighted close; the close without volume
mfi|volume|percent|0|100|n+1|row|money flow index; 50 where nothing flowed
cmf|volume|ratio|-1|1|n|row|Chaikin money flow; 0 without volume
force|volume|price x volume|-1e33|1e33|n+1|row|exponential mean of change x volume
net_volume|volume|volume|-1e24|1e24|n+1|row|volume of rising bars less that of falling ones
vol_mean|volume|volume|0|1e21|n|row|mean volume
vol_ratio|volume|ratio|0|1e6|n|row|volume over its mean; 0 without volume
vol_z|volume|deviations|-1e4|1e4|n|row|volume in deviations from its mean; 0 without deviation
bb_upper|bands|price|-4e12|1e13|n|row|sma + 2 std
bb_lower|bands|price|-1e13|4e12|n|row|sma - 2 std
bb_pos|bands|ratio|-1e4|1e4|n|row|place of the close in the band, 0 low, 1 high; 0.5 without width
bb_width|bands|ratio|0|1e6|n|row|width of the band over its middle
kc_upper|bands|price|-4e12|1e13|n+1|row|Keltner: ema + 2 atr
kc_lower|bands|price|-1e13|4e12|n+1|row|Keltner: ema - 2 atr
kc_pos|bands|ratio|-1e4|1e4|n+1|row|place of the close between the two; 0.5 without width
dc_high|bands|price|0|2e12|n|row|Donchian: highest high
dc_low|bands|price|0|2e12|n|row|Donchian: lowest low
dc_mid|bands|price|0|2e12|n|row|the middle of the two (Ichimoku's lines are this)
dc_width|bands|ratio|0|1e21|n|row|their distance over the close
chandelier|bands|price|-1e13|2e12|n+1|row|highest high less 3 atr: a long position's trailing stop
var|statistics|price^2|0|4e24|n|row|variance of n closes, divisor n
skew|statistics|ratio|-1e4|1e4|n+1|row|skewness of log returns; 0 without deviation
kurt|statistics|ratio|-3|1e6|n+1|row|excess kurtosis of log returns; 0 without deviation
zscore|statistics|deviations|-1e4|1e4|n|row|close in deviations from its mean; 0 without deviation
autocorr|statistics|ratio|-1|1|n+2|row|correlation of log returns with those one bar before
rank|statistics|ratio|0|1|n|scan|share of the window's closes below the newest, ties count half
corr_ref|statistics|ratio|-1|1|n+1|row|correlation of log returns with the reference's
beta_ref|statistics|ratio|-1e4|1e4|n+1|row|beta of log returns to the reference's
ret_mean|statistics|per bar|-100|100|n+1|row|mean log return
ret_sharpe|statistics|ratio|-1e4|1e4|n+1|row|mean log return over its deviation; 0 without deviation
trend|regime|ratio|-1|1|n|row|correlation of closes with time: strength and direction of the trend
reversion|regime|ratio|-1|1|n|row|-zscore/3, held within one: pull back to the mean
vol_rank|regime|ratio|0|1|n+1|scan|share of the window's true ranges below the newest, ties count half
illiquidity|regime|1/notional|0|1e9|n+1|row|Amihud: mean of |log return| / (close x volume)
vol_term|regime|ratio|0|1e6|n+1|row|ewma_vol over realised: above 1 volatility is rising
resistance|levels|atr|0|1e9|n+1|row|distance up to the highest high in atr
support|levels|atr|0|1e9|n+1|row|distance down to the lowest low in atr
kalman|filters|price|0|2e12|n|row|local-level filter whose steady gain is that of the ema
kalman_gap|filters|ratio|-1|1e21|n|row|close / kalman - 1
haar|filters|price|-2e12|2e12|n|row|Haar wavelet detail: half the mean of the newer n/2 closes less that of the older
body|candles|ratio|-1e6|1e6|n+1|row|close less open over the mean range of the n bars before; 0 without range
upper_wick|candles|ratio|0|1e6|n+1|row|shadow above the body over that mean range
lower_wick|candles|ratio|0|1e6|n+1|row|shadow below the body over that mean range
doji|candles|flag|0|1|n+1|row|1 where the body is at most a tenth of that mean range
marubozu|candles|sign|-1|1|n+1|row|sign of a body above the mean body before, both shadows under a tenth of the mean range
long_line|candles|sign|-1|1|n+1|row|sign of a body above the mean body before, both shadows under half their mean sum
spinning_top|candles|sign|-1|1|n+1|row|sign of a body under the mean body before, both shadows longer than it
engulfing|candles|ratio|-1|1|n+1|row|bodies that engulf the one before of other colour: rising less falling ones, as a share of n bars
gap|candles|ratio|-1e9|1e9|n+1|row|open less the close before over the mean range of the n bars before
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


cdef tuple _words(list names, uint64_t bits):
    return tuple(name for i, name in enumerate(names) if bits >> <int>i & 1)


cdef list _fill():
    cdef list out = []
    cdef uint64_t needs = 0, sums = 0
    cdef int number
    if len(_ROWS) != <int>FAMILIES:
        raise AssertionError("the table and the enumeration of families differ in length")
    for number, line in enumerate(_ROWS):
        name, group, unit, low, high, warm, cost, meaning = line.split("|", 7)
        if int(Number["F_" + name.upper()]) != number:
            raise AssertionError(f"family {name} stands at {number} in the table and elsewhere in the enumeration")
        _table[number] = family_row_t(float(low), float(high))
        _warm_kind[number] = _WARM.index(warm)
        needs_of(number, &needs)
        sums_of(number, &sums)
        out.append(Family(number, name, group, unit, float(low), float(high), warm,
                          _words(_NEEDS, needs), _words(_SIGNALS, sums), cost, meaning))
    return out


TABLE = tuple(_fill())


def warm_up(int family, int window):
    """Updates until a feature's first value."""
    return family_warm(family, window)

cimport cython
from libc.math cimport NAN, fabs
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

import numpy as np

from engine._core.memory cimport block_free, block_new
from engine._core.simd cimport log_c

cdef double PX_LEAST = 1e-9, PX_MOST = 1e12, VOLUME_MOST = 1e21, RATIO_MOST = 1e6
cdef int64_t TS_MOST = 7_258_118_400_000_000_000
cdef int64_t DAY = 86_400_000_000_000, WEEK = 7 * DAY, SLOT = 900_000_000_000, FUNDING = 28_800_000_000_000
cdef int64_t HOUR = 3_600_000_000_000
# 1970 began on a Thursday: weeks count from Monday.
cdef int64_t MONDAY = 3 * DAY

# name: (unit, lowest, highest, meaning)
PLAIN = {
    "day_share": ("ratio", 0, 1, "share of the UTC day that is over"),
    "week_share": ("ratio", 0, 1, "share of the week from Monday that is over"),
    "day_wave": ("ratio", -1, 1, "a wave through the day, 0 at midnight and noon, 1 at six: parabolas for a sine"),
    "week_wave": ("ratio", -1, 1, "the same through the week from Monday"),
    "funding_share": ("ratio", 0, 1, "share of the eight hours between fundings (00, 08, 16 UTC) that is over"),
    "asia": ("flag", 0, 1, "1 from 00:00 to 09:00 UTC"),
    "europe": ("flag", 0, 1, "1 from 07:00 to 16:00 UTC"),
    "america": ("flag", 0, 1, "1 from 13:00 to 22:00 UTC"),
    "weekend": ("flag", 0, 1, "1 on Saturday and Sunday"),
    "day_gap": ("ratio", -1, 1e21, "close over the day's first close, less 1"),
    "day_place": ("ratio", 0, 1, "place of the close between the day's low and high so far; 0.5 without a range"),
    "day_vwap_gap": ("ratio", -1, 1e21, "close over the day's volume-weighted close, less 1; 0 without volume"),
    "before_high_gap": ("ratio", -1, 1e21, "close over the high of the day before, less 1"),
    "before_low_gap": ("ratio", -1, 1e21, "close over the low of the day before, less 1"),
}
# name: (unit, lowest, highest, meaning); the span is in days
FAMILIES = {
    "season_return": ("per quarter hour", -100, 100, "usual log return of the quarter hour that begins"),
    "season_vol": ("ratio", 0, 1e6, "size of the log return of the quarter hour that ended, over its usual size"),
    "season_volume": ("ratio", 0, 1e6, "volume of the quarter hour that ended over its usual volume"),
}


cdef int season_init(season_t* s, const int32_t* spans, int span_count) noexcept nogil:
    cdef int i, j
    memset(s, 0, sizeof(season_t))
    if span_count < 1 or span_count > SEASON_LANES:
        return SEASON_BAD_CONFIG
    for i in range(SEASON_LANES):
        s.span[i] = spans[i] if i < span_count else 1
        if s.span[i] < 1 or s.span[i] > SEASON_SPAN_MAX:
            return SEASON_BAD_CONFIG
    s.span_count = span_count
    for i in range(<int>SEASON_PLAINS):
        s.plain[i] = NAN
    for i in range(<int>SEASON_FAMILIES):
        for j in range(SEASON_LANES):
            s.out[i][j] = NAN
    return SEASON_OK


cdef inline double _wave(double share) noexcept nogil:
    """Two parabolas in place of a sine: plain arithmetic has the same last bit on every machine."""
    cdef double x = 2.0 * share if share < 0.5 else 2.0 * share - 1.0
    return 4.0 * x * (1.0 - x) if share < 0.5 else -4.0 * x * (1.0 - x)


cdef inline double _ratio(double value, double usual) noexcept nogil:
    if not usual > 0.0:
        return 1.0 if value == 0.0 else RATIO_MOST
    return min(value / usual, RATIO_MOST)


cdef void _fold(season_t* s, int64_t into) noexcept nogil:
    """The quarter of an hour that ended: held against what was usual, then part of it. `into` is the one that begins."""
    cdef int64_t at = s.slot % SEASON_SLOTS, next_at = into % SEASON_SLOTS
    cdef double change = log_c(s.close / s.slot_open), n, weight, known
    cdef double terms[3]
    cdef int lane, k
    terms[0], terms[1], terms[2] = change, fabs(change), s.slot_volume
    known = s.visits[at]
    s.visits[at] += 1.0
    for lane in range(SEASON_LANES):
        n = <double>s.span[lane]
        if known >= n:
            s.out[<int>SEASON_VOL_RATIO][lane] = _ratio(terms[1], s.mean[at][1][lane])
            s.out[<int>SEASON_VOLUME_RATIO][lane] = _ratio(terms[2], s.mean[at][2][lane])
        # The plain mean of the first n days, then the weight of an exponential one.
        weight = 1.0 / (known + 1.0) if known < n else 2.0 / (n + 1.0)
        for k in range(3):
            s.mean[at][k][lane] += (terms[k] - s.mean[at][k][lane]) * weight
        s.out[<int>SEASON_RETURN][lane] = s.mean[next_at][0][lane] if s.visits[next_at] >= n else NAN


cdef void _new_day(season_t* s, int64_t day, double high, double low, double close) noexcept nogil:
    # Only the day right before counts as the day before; a hole in the data leaves none.
    s.before_known = s.count > 0 and s.day + 1 == day
    s.before_high, s.before_low = s.high, s.low
    s.day, s.open_, s.high, s.low = day, close, high, low
    s.value = s.volume = 0.0


cdef int season_bar(season_t* s, int64_t ts, double high, double low, double close, double volume) noexcept nogil:
    cdef int64_t into, slot, since_week
    cdef double share
    if not (
        PX_LEAST <= low and low <= close and close <= high and high <= PX_MOST and 0.0 <= volume
        and volume <= VOLUME_MOST and ts >= s.ts_ns and ts <= TS_MOST
    ):
        s.refused_count += 1
        return SEASON_REFUSED
    slot = ts // SLOT
    if s.count == 0:
        s.slot, s.slot_open = slot, close
    elif slot != s.slot:
        _fold(s, slot)
        s.slot, s.slot_open, s.slot_volume = slot, s.close, 0.0
    if s.count == 0 or ts // DAY != s.day:
        _new_day(s, ts // DAY, high, low, close)
    s.count += 1
    s.ts_ns, s.close = ts, close
    s.high, s.low = max(s.high, high), min(s.low, low)
    s.slot_volume += volume
    s.value += close * volume
    s.volume += volume
    into, since_week = ts % DAY, (ts + MONDAY) % WEEK
    share = <double>into / <double>DAY
    s.plain[<int>SEASON_DAY_SHARE], s.plain[<int>SEASON_DAY_WAVE] = share, _wave(share)
    share = <double>since_week / <double>WEEK
    s.plain[<int>SEASON_WEEK_SHARE], s.plain[<int>SEASON_WEEK_WAVE] = share, _wave(share)
    s.plain[<int>SEASON_FUNDING_SHARE] = <double>(ts % FUNDING) / <double>FUNDING
    s.plain[<int>SEASON_ASIA] = 1.0 if into < 9 * HOUR else 0.0
    s.plain[<int>SEASON_EUROPE] = 1.0 if 7 * HOUR <= into and into < 16 * HOUR else 0.0
    s.plain[<int>SEASON_AMERICA] = 1.0 if 13 * HOUR <= into and into < 22 * HOUR else 0.0
    s.plain[<int>SEASON_WEEKEND] = 1.0 if since_week >= 5 * DAY else 0.0
    s.plain[<int>SEASON_DAY_GAP] = close / s.open_ - 1.0
    s.plain[<int>SEASON_DAY_PLACE] = (close - s.low) / (s.high - s.low) if s.high > s.low else 0.5
    s.plain[<int>SEASON_DAY_VWAP_GAP] = close * s.volume / s.value - 1.0 if s.value > 0.0 else 0.0
    s.plain[<int>SEASON_BEFORE_HIGH_GAP] = close / s.before_high - 1.0 if s.before_known else NAN
    s.plain[<int>SEASON_BEFORE_LOW_GAP] = close / s.before_low - 1.0 if s.before_known else NAN
    return SEASON_OK


# ------------------------------------------------------------------------------------------------------- Python face
Plain = season_plain_t
Family = season_family_t
_PLAIN = {name: number for number, name in enumerate(PLAIN)}
_FAMILY = {name: number for number, name in enumerate(FAMILIES)}


@cython.final
cdef class Season:
    """Features of the clock and of the day of one instrument, for up to eight spans of days."""

    def __cinit__(self, *, object spans=(2, 5, 10, 20, 30, 60, 90, 180)):
        cdef int32_t w[8]
        self.spans = tuple(int(n) for n in spans)
        self.c = <season_t*>block_new(sizeof(season_t))
        for i, n in enumerate(self.spans[:8]):
            w[<int>i] = max(min(n, SEASON_SPAN_MAX + 1), 0)
        if season_init(self.c, w, len(self.spans)) != SEASON_OK:
            raise ValueError(f"spans {self.spans}: 1 to 8 of 1 to {SEASON_SPAN_MAX} days")

    def __dealloc__(self):
        block_free(self.c)

    def bar(self, int64_t ts_ns, double high, double low, double close, double volume=0.0):
        """Apply a bar by the time of its close; False when it is none and was refused."""
        return season_bar(self.c, ts_ns, high, low, close, volume) == SEASON_OK

    def run(self, const int64_t[::1] ts_ns, const double[::1] high, const double[::1] low, const double[::1] close,
            const double[::1] volume):
        """The same update over arrays: a row a bar, the plain values first, then each family by its spans."""
        cdef Py_ssize_t at, count = ts_ns.shape[0]
        cdef int i, j, width = <int>SEASON_PLAINS + <int>SEASON_FAMILIES * len(self.spans)
        cdef double[:, ::1] out
        if not (high.shape[0] == low.shape[0] == close.shape[0] == volume.shape[0] == count):
            raise ValueError("the arrays of bars differ in length")
        made = np.empty((count, width))
        out = made
        with nogil:
            for at in range(count):
                season_bar(self.c, ts_ns[at], high[at], low[at], close[at], volume[at])
                for i in range(<int>SEASON_PLAINS):
                    out[at, i] = self.c.plain[i]
                for i in range(<int>SEASON_FAMILIES):
                    for j in range(self.c.span_count):
                        out[at, <int>SEASON_PLAINS + i * self.c.span_count + j] = self.c.out[i][j]
        return made

    def plain(self, str name not None):
        """A value of the last bar: NaN before the first, and of the day before until there was one."""
        return self.c.plain[<int>_PLAIN[name]]

    def value(self, str family not None, int span):
        """A value with a span of days: NaN before that quarter of an hour was seen so often."""
        if span not in self.spans:
            raise KeyError(span)
        return self.c.out[<int>_FAMILY[family]][<int>self.spans.index(span)]

    def state(self):
        """The block as bytes."""
        return (<const char*>self.c)[:sizeof(season_t)]

    @property
    def count(self):
        return self.c.count

    @property
    def refused_count(self):
        return self.c.refused_count

    def check(self):
        """Walk the invariants."""
        cdef season_t* s = self.c
        assert s.count == 0 or s.low <= s.close <= s.high, "the close lies outside its day"
        assert s.slot == s.ts_ns // SLOT, "the quarter of an hour is another"
        assert s.volume >= 0.0 and s.slot_volume >= 0.0, "volume of less than nothing"
        for at in range(SEASON_SLOTS):
            assert s.visits[at] >= 0 and s.mean[at][1][0] >= 0.0 and s.mean[at][2][0] >= 0.0, "a usual size below 0"

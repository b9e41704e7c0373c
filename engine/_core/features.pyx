cimport cython
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.features_table cimport *
from engine._core.isa cimport ISA_BASELINE, ISA_V3, ISA_V4, isa_detect, isa_level
from engine._core.memory cimport block_free, block_new
from engine._core.simd cimport log_c, set1, v8

from engine._core.features_table import TABLE as _TABLE
from engine._core.features_v1 import address as _address_v1

cdef enum:
    # What a set of sums asks of a record, beside the table's own bits.
    NEED_TERMS = 1 << 24          # any sum at all
    NEED_LOGS = 1 << 25           # logarithms of the four prices
    NEED_RETURN = 1 << 26         # the log return

# Prices between these, volumes up to the last: squares and products of them stay far from overflow.
cdef double PRICE_LEAST = 1e-9
cdef double PRICE_MOST = 1e12
cdef double VOLUME_MOST = 1e21
cdef double GK_FACTOR = 0.3862943611198906

# The bounds again as plain arrays: read in each update, so beside the code that reads them.
cdef double _low[FAMILIES]
cdef double _high[FAMILIES]
cdef uint8_t _part[FAMILIES]      # by family: the function that writes it, 0 for those behind a need of their own


# By instruction set: the widest compiled version that a level may use.
cdef advance_t _advance[5]
cdef int64_t _zeros[8]


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(features_t) == 320)
    static_assert_c(sizeof(group_t) % 64 == 0)
    static_assert_c(SIGNALS == 34)
    static_assert_c(FAMILIES == 93)


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
    k.low = _low
    k.high = _high
    k.zeros = _zeros
    k.number = f.count
    k.settled = f.count >= f.settled_count
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
        _advance[level](f, &g[i], &k)
        if g[i].any_flag:
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


cdef uint64_t _parts(const uint8_t* on_, uint64_t needs, uint64_t signals) noexcept nogil:
    cdef uint64_t parts = 0
    cdef int i
    if signals or needs & (NEED_WIN | NEED_HALF | NEED_LAG | NEED_KAMA | NEED_EXT | NEED_EXT1):
        parts |= PART_RING
    for i in range(<int>FAMILIES):
        if on_[i]:
            parts |= _part[i]
    return parts


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
    f.parts = _parts(on_, needs, signals)
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
    # The latest start of all is the third exponential mean's, or MACD's signal; the rest lies well before both.
    f.settled_count = 4 * windows[window_count - 1] + 16
    return FEATURES_OK


cdef void _forget(group_t* g) noexcept nogil:
    cdef char* begin = <char*>&g.win
    cdef int i
    memset(begin, 0, <char*>&g.warm[0] - begin)
    memset(g.flag, 0, sizeof(g.flag))
    g.any_flag = 0
    for i in range(<int>FAMILIES):
        g.out[i] = set1(NAN)


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
_NUMBER = {row.name: row.number for row in _TABLE}
_LEVELS = {"baseline": ISA_BASELINE, "v3": ISA_V3, "v4": ISA_V4}


_PARTS = {
    PART_TREND: "ema rma dema tema trix kama mcginley macd macd_signal macd_hist ppo kalman kalman_gap",
    PART_DIRECTION: "rsi tsi atr natr kc_upper kc_lower kc_pos plus_di minus_di adx aroon_up aroon_down aroon_osc force",
    PART_MOMENTUM: "mom roc er cmo up_share vortex_plus vortex_minus",
    PART_VOLATILITY: "realised bipower jump parkinson garman_klass rogers_satchell yang_zhang ewma_vol downside "
                     "vol_term illiquidity",
    PART_VOLUME: "vwap vwma cmf mfi net_volume vol_mean vol_ratio vol_z",
    PART_STATISTICS: "ret_mean ret_sharpe skew kurt autocorr corr_ref beta_ref",
}


def _bounds():
    for part, names in _PARTS.items():
        for name in names.split():
            _part[<int>_NUMBER[name]] = part
    for row in _TABLE:
        _low[row.number] = row.low
        _high[row.number] = row.high


_bounds()


def _versions():
    """Take in the compiled versions that this CPU can run: a module compiled for wider registers is not even imported."""
    cdef int level
    for level in range(1, 5):
        _advance[level] = <advance_t><size_t>_address_v1
    if isa_detect() >= ISA_V3:
        from engine._core.features_v3 import address
        _advance[<int>ISA_V3] = _advance[<int>ISA_V4] = <advance_t><size_t>address
    if isa_detect() >= ISA_V4:
        from engine._core.features_v4 import address
        _advance[<int>ISA_V4] = <advance_t><size_t>address


_versions()


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

    def update(self, double open_, double high, double low, double close, double volume=0.0, double reference=0.0):
        """Apply one bar; False when it is none and was refused."""
        return features_bar(self.c, open_, high, low, close, volume, reference, self.level) == FEATURES_OK

    def update_price(self, double price, double volume=0.0):
        """Apply one tick; False when it is no price and was refused."""
        return features_price(self.c, price, volume, self.level) == FEATURES_OK

    def value(self, str family, int window):
        """A feature's value: NaN before its warm-up."""
        return features_value(self.c, self._family(family), self._lane(window))

    def flagged(self, str family, int window):
        """Whether the last value lay outside the family's bounds and was set to the nearer one."""
        cdef int lane = self._lane(window)
        return (features_groups(self.c)[lane // LANES].flag[<int>self._family(family)] >> lane % LANES & 1) != 0

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
        self, const double[::1] open_, const double[::1] high, const double[::1] low, const double[::1] close,
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
        if not (open_.shape[0] == high.shape[0] == low.shape[0] == volume.shape[0] == count):
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
                features_bar(self.c, open_[i], high[i], low[i], close[i], volume[i], other[i], self.level)
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
            low, high = _TABLE[_NUMBER[name]].low, _TABLE[_NUMBER[name]].high
            known = row[~np.isnan(row)]
            assert ((known >= low) & (known <= high)).all(), f"{name} outside its bounds"
        assert _drift(self.c) < 1e-9, "a rolling sum drifted"

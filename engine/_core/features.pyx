cimport cython
from libc.math cimport NAN, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.features_needs cimport needs_of, needs_whole, part_of, parts_whole, sums_of
from engine._core.features_table cimport *
from engine._core.isa cimport ISA_BASELINE, ISA_V3, ISA_V4, isa_detect, isa_level
from engine._core.memory cimport block_free, block_new
from engine._core.simd cimport log_c, row_t

from engine._core.features_table import TABLE as _TABLE
from engine._core.features_v1 import addresses as _addresses_v1

# By instruction set: the widest compiled version that a level may use.
cdef bar_t _bar[5]
cdef batch_t _batch[5]


cdef extern from *:
    void prefetch "__builtin_prefetch"(const void* line) noexcept nogil


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(features_t) == 384)
    static_assert_c(sizeof(group_t) % 64 == 0)
    static_assert_c(sizeof(row_t) == 64)
    static_assert_c(SIGNALS == 37)
    static_assert_c(FAMILIES == 102)


cdef inline double* _records(const features_t* f) noexcept nogil:
    return <double*>(<char*>f + f.at_records)


cdef int features_bar(
    features_t* f, double o, double h, double l, double c, double v, double reference, int level
) noexcept nogil:
    """Apply one bar. FEATURES_REFUSED, and nothing changes but a counter, when it is none."""
    return _bar[level](f, o, h, l, c, v, reference)


cdef int features_price(features_t* f, double price, double volume, int level) noexcept nogil:
    """Apply one tick: a bar of one price."""
    return features_bar(f, price, price, price, price, volume, 0.0, level)


# ------------------------------------------------------------------------------------------------------- the set-up
cdef void _wanted(const uint8_t* on_, features_t* f) noexcept nogil:
    """What these families stand on together."""
    cdef uint64_t needs = 0, sums = 0, parts = 0, more = 0
    cdef int i
    for i in range(<int>FAMILIES):
        if on_[i]:
            needs_of(i, &more)
            needs |= more
            sums_of(i, &more)
            sums |= more
            part_of(i, &more)
            parts |= more
    f.sums = sums
    needs_whole(needs, sums, &f.needs)
    parts_whole(parts, f.needs, sums, &f.parts)


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


cdef void _place(features_t* f, const int32_t* windows, int count) noexcept nogil:
    """Lay the sections out behind the header; what nobody needs takes no room."""
    cdef uint64_t at, needs = f.needs, ring = _ring(windows, count)
    cdef int i
    f.ring_mask = ring - 1
    f.group_count = (count + 7) // LANES
    f.window_count = count
    f.sum_count = 0
    for i in range(<int>SIGNALS):
        if f.sums >> i & 1:
            f.signal[f.sum_count] = i
            f.sum_count += 1
    f.record_shift = 0
    while <uint32_t>1 << f.record_shift < f.sum_count + 1:
        f.record_shift += 1
    f.level_count = 1
    while 2 << (f.level_count - 1) <= windows[count - 1] + 1:
        f.level_count += 1
    f.extreme_shift = 1
    while <uint32_t>1 << (f.extreme_shift - 1) < f.level_count:
        f.extreme_shift += 1
    at = sizeof(features_t) + f.group_count * sizeof(group_t)
    f.at_records = at
    if f.parts & PART_RING:
        at += _lines(ring * 8 << f.record_shift)
    f.at_extremes = at
    if needs & (NEED_EXT | NEED_EXT1):
        at += _lines(ring * 8 << f.extreme_shift)
    f.at_times = at
    if needs & NEED_EXT1:
        at += _lines(ring * 8 << f.extreme_shift)
    f.at_typical = at
    if needs & NEED_SCANTP:
        at += _lines(2 * ring * 8)
    f.at_closes = at
    if needs & NEED_SCANC:
        at += _lines(2 * ring * 8)
    f.at_ranges = at
    if needs & NEED_SCANTR:
        at += _lines(2 * ring * 8)
    f.bytes = at


cdef int64_t _starts(uint64_t needs, int n) noexcept nogil:
    """Updates after which every mean that these needs advance has started, in a window of n."""
    cdef int64_t last = n + 2
    if needs & NEED_HALF:
        last = max(last, n + window_hull(n) + 1)
    if needs & NEED_EMA2:
        last = max(last, 2 * n)
    if needs & NEED_EMA3:
        last = max(last, 3 * n)
    if needs & NEED_MACD:
        last = max(last, window_slow(n) + window_signal(n) + 1)
    if needs & NEED_DM:
        last = max(last, 2 * n + 1)
    if needs & NEED_TSI:
        last = max(last, n + window_second(n) + 1)
    return last


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
    if not _sane(windows, window_count):
        return 0
    _wanted(on_, &f)
    _place(&f, windows, window_count)
    return f.bytes


cdef inline void _set(row_t* row, int lane, double x) noexcept nogil:
    row.d[lane] = x


cdef void _lane(const features_t* f, group_t* g, int lane, int n) noexcept nogil:
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
    _set(&g.weight_root, lane, sqrt(x * s2 - s1 * s1) * x)
    _set(&g.weight_half, lane, 0.5 * half * (half + 1.0))
    _set(&g.weight_hull, lane, 0.5 * window_hull(n) * (window_hull(n) + 1.0))
    # The noise that gives a local-level filter the ema's weight once it has settled.
    steady = min(k, 0.999)
    _set(&g.kalman_q, lane, steady * steady / (1.0 - steady))
    _set(&g.log_n, lane, log_c(x))
    g.window[lane] = n
    g.back_n[lane] = <int64_t>n << f.record_shift
    g.back_half[lane] = <int64_t>half << f.record_shift
    g.back_hull[lane] = <int64_t>window_hull(n) * LANES
    while 2 << level <= n:
        level += 1
    g.level[lane] = level
    g.back_block[lane] = (n - (<int64_t>1 << level)) << f.extreme_shift
    while 2 << level <= n + 1:
        level += 1
    g.level1[lane] = level
    g.back_block1[lane] = (n + 1 - (<int64_t>1 << level)) << f.extreme_shift
    for family in range(<int>FAMILIES):
        _set(&g.warm[family], lane, family_warm(family, n))


cdef int features_init(features_t* f, const uint8_t* on_, const int32_t* windows, int window_count) noexcept nogil:
    """Make an empty stream in a block of `features_bytes` bytes, aligned to a cache line. Windows rise strictly."""
    cdef int i
    if not _sane(windows, window_count):
        return FEATURES_BAD_CONFIG
    memset(f, 0, features_bytes(on_, windows, window_count))
    _wanted(on_, f)
    _place(f, windows, window_count)
    for i in range(<int>FAMILIES):
        f.on[i] = on_[i] != 0
        f.family_count += f.on[i]
    features_reset(f)
    for i in range(<int>f.group_count * LANES):
        # Lanes without a window of their own run a window of one bar, which costs nothing and disturbs nobody.
        _lane(f, &features_groups(f)[i // LANES], i % LANES, windows[i] if i < window_count else 1)
    f.settled_count = _starts(f.needs, windows[window_count - 1])
    return FEATURES_OK


cdef void _forget(group_t* g) noexcept nogil:
    cdef char* begin = <char*>&g.win
    cdef int i, lane
    memset(begin, 0, <char*>&g.warm[0] - begin)
    memset(g.flag, 0, sizeof(g.flag))
    g.any_flag = 0
    for i in range(<int>FAMILIES):
        for lane in range(LANES):
            g.out[i].d[lane] = NAN


cdef void features_reset(features_t* f) noexcept nogil:
    """Forget every update; the configuration stays."""
    cdef double* extremes = <double*>(<char*>f + f.at_extremes)
    cdef int64_t i, lows = (<int64_t>1 << f.extreme_shift) >> 1
    cdef uint64_t j
    f.count = 0
    f.refused_count = 0
    f.anomaly_count = 0
    f.open_before = 0.0
    f.close_before = 0.0
    f.high_before = 0.0
    f.low_before = 0.0
    f.typical_before = 0.0
    f.return_before = 0.0
    memset(<char*>f + f.at_records, 0, f.bytes - f.at_records)
    if f.needs & (NEED_EXT | NEED_EXT1):
        # An untouched low must lose every comparison; an untouched high is zero and does.
        for i in range((f.ring_mask + 1) << f.extreme_shift):
            extremes[i] = 1e300 if i & lows else 0.0
    for j in range(f.group_count):
        _forget(&features_groups(f)[j])


cdef void features_prefetch(const features_t* f) noexcept nogil:
    """Ask for the lines of the next update: where its record and extremes go, and what leaves its windows.

    The rows of a group lie one behind another, which the machine finds by itself; places in the rings it cannot guess.
    """
    cdef const group_t* g = <const group_t*>(<const char*>f + sizeof(features_t))
    cdef const char* records = <const char*>f + f.at_records
    cdef const char* extremes = <const char*>f + f.at_extremes
    cdef int64_t number = f.count + 1, ring = f.ring_mask + 1, at
    cdef uint32_t i
    cdef int64_t level
    for at in range(0, <int64_t>sizeof(features_t), 64):
        prefetch(<const char*>f + at)
    if f.parts & PART_RING:
        prefetch(records + ((number & f.ring_mask) << f.record_shift) * 8)
    for i in range(f.window_count):
        if f.parts & PART_RING:
            at = (((number << f.record_shift) - g[i // LANES].back_n[i % LANES]) & ((ring << f.record_shift) - 1)) * 8
            for level in range(0, 8 << f.record_shift, 64):
                prefetch(records + at + level)
        if f.needs & NEED_EXT:
            at = (((number << f.extreme_shift) - g[i // LANES].back_block[i % LANES])
                  & ((ring << f.extreme_shift) - 1)) * 8
            prefetch(extremes + at)
            prefetch(extremes + at + (4 << f.extreme_shift))


cdef double _drift(const features_t* f) noexcept nogil:
    """The largest distance of a rolling sum from its window added up anew, as a part of the window's magnitude."""
    cdef const double* records = _records(f)
    cdef const group_t* g
    cdef double total, size, x, worst = 0.0
    cdef uint64_t s
    cdef int64_t i
    cdef uint32_t lane
    for lane in range(f.window_count):
        g = &features_groups(<features_t*>f)[lane // LANES]
        for s in range(f.sum_count):
            total = 0.0
            size = 0.0
            for i in range(g.window[lane % LANES]):
                x = records[(((f.count - i) & f.ring_mask) << f.record_shift) + <int64_t>s + 1]
                total += x
                size += abs(x)
            if size > 0.0:
                worst = max(worst, abs(g.sum[f.signal[s]].d[lane % LANES] - total) / size)
    return worst


# ------------------------------------------------------------------------------------------------------ Python face
_NUMBER = {row.name: row.number for row in _TABLE}
_LEVELS = {"baseline": ISA_BASELINE, "v3": ISA_V3, "v4": ISA_V4}


def _versions():
    """Take in the compiled versions that this CPU can run: a module compiled for wider registers is not even imported."""
    cdef int level
    for level in range(1, 5):
        _bar[level] = <bar_t><size_t>_addresses_v1[0]
        _batch[level] = <batch_t><size_t>_addresses_v1[1]
    if isa_detect() >= ISA_V3:
        from engine._core.features_v3 import addresses
        for level in (<int>ISA_V3, <int>ISA_V4):
            _bar[level] = <bar_t><size_t>addresses[0]
            _batch[level] = <batch_t><size_t>addresses[1]
    if isa_detect() >= ISA_V4:
        from engine._core.features_v4 import addresses
        _bar[<int>ISA_V4] = <bar_t><size_t>addresses[0]
        _batch[<int>ISA_V4] = <batch_t><size_t>addresses[1]


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
        cdef uint8_t on_[128]
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
        cdef int numbers[128]
        for i, name in enumerate(self.families):
            numbers[<int>i] = _NUMBER[name]
        _copy(self.c, &view[0, 0, 0], numbers, len(self.families))
        return out[0]

    def run(
        self, const double[::1] open_, const double[::1] high, const double[::1] low, const double[::1] close,
        const double[::1] volume, object reference=None, *, object out=None,
    ):
        """Apply arrays of bars and give every value of every bar: bars by families by windows.

        The batch form: the same update in a loop, and of one family in at most eight windows a loop of that family
        alone. A refused bar leaves the values before it in its place. Without `out` a new array is made.
        """
        cdef Py_ssize_t i, count = close.shape[0], width = len(self.families) * len(self.windows)
        cdef const double[::1] other
        cdef double[:, :, ::1] view
        cdef int numbers[128]
        cdef int families = len(self.families)
        cdef columns_t bars
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
        if count == 0 or width == 0:
            return out
        bars = columns_t(&open_[0], &high[0], &low[0], &close[0], &volume[0], &other[0], count)
        with nogil:
            if families == 1 and self.c.group_count == 1:
                _batch[self.level](self.c, numbers[0], &bars, &view[0, 0, 0])
                count = 0
            for i in range(count):
                features_bar(self.c, open_[i], high[i], low[i], close[i], volume[i], other[i], self.level)
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
                assert 0 <= g.fresh_count.d[lane] < g.n.d[lane], "a fresh sum outlived its window"
                assert g.win.fresh_count.d[lane] < g.n.d[lane], "fresh moments outlived theirs"
        values = self.values()
        for row, name in zip(values, self.families):
            low, high = _TABLE[_NUMBER[name]].low, _TABLE[_NUMBER[name]].high
            known = row[~np.isnan(row)]
            assert ((known >= low) & (known <= high)).all(), f"{name} outside its bounds"
        assert _drift(self.c) < 1e-9, "a rolling sum drifted"

"""A bar's way into a stream: judged, split into the terms that families share, and written into the rings.

Owns: what is no bar, the terms of a record, the blocks of extremes, the mirrors for scans. Does not own: the rows of
windows (features_rows) or the block (features). Everything is inlined into the modules of one instruction set: with a
constant `only` whatever that family does not use folds away.
Cost: 3 to 8 ns a bar; a term of logarithms some 10 ns more.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from engine._core.features cimport LEVELS, features_t, tick_t
from engine._core.features_needs cimport sum_of
from engine._core.features_table cimport *
from engine._core.simd cimport inlined, log_c

cdef extern from *:
    int popcount "__builtin_popcountll"(uint64_t x) nogil
    int lowest_bit "__builtin_ctzll"(uint64_t x) nogil

# Prices between these, volumes up to the last: squares and products of them stay far from overflow.
cdef extern from *:
    """
    #define BOT4_PRICE_LEAST 1e-9
    #define BOT4_PRICE_MOST 1e12
    #define BOT4_VOLUME_MOST 1e21
    #define BOT4_GARMAN_KLASS 0.3862943611198906
    """
    const double PRICE_LEAST "BOT4_PRICE_LEAST"
    const double PRICE_MOST "BOT4_PRICE_MOST"
    const double VOLUME_MOST "BOT4_VOLUME_MOST"
    const double GARMAN_KLASS "BOT4_GARMAN_KLASS"


cdef inline double _max(double a, double b) noexcept nogil:
    return a if a > b else b


cdef inline double _min(double a, double b) noexcept nogil:
    return a if a < b else b


cdef inline inlined tick_open(
    features_t* f, tick_t* k, char* block, const double* low, const double* high
) noexcept nogil:
    """Where everything lies. `f` may be a copy of the header that stands at `block`."""
    k.on = f.on
    k.signal = f.signal
    k.sum_count = f.sum_count
    k.low = low
    k.high = high
    k.record_shift = f.record_shift
    k.record_cut = ((f.ring_mask + 1) << f.record_shift) - 1
    k.records = <double*>(block + f.at_records)
    k.extreme_shift = f.extreme_shift
    k.extreme_cut = ((f.ring_mask + 1) << f.extreme_shift) - 1
    k.lows = (<int64_t>1 << f.extreme_shift) >> 1
    k.extremes = <double*>(block + f.at_extremes)
    k.times = <double*>(block + f.at_times)
    # What no part needs points somewhere too: an update sets these before it reads them.
    k.now = k.records
    k.extremes_now = k.extremes
    k.times_now = k.times
    k.typicals = k.closes = k.ranges = k.records


cdef inline inlined _term(tick_t* k, const double* r, uint64_t* left, int place) noexcept nogil:
    cdef int s
    if left[0]:
        s = lowest_bit(left[0])
        left[0] &= left[0] - 1
        k.now[place] = r[s]


cdef inline inlined _record(
    const features_t* f, tick_t* k, double reference, int only, uint64_t needs, uint64_t sums
) noexcept nogil:
    """Fill this bar's record: the terms of the rolling sums. What needs a bar before is zero in the first one."""
    cdef double before = f.close_before, d = k.d, v = k.volume, hl, co, x, flow, place
    cdef double r[SIGNALS]
    cdef bint first = k.number == 1
    cdef uint64_t left = sums
    cdef uint64_t j
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
    r[<int>S_MFV] = 0.0
    if sums & sum_of(S_MFV):
        place = ((k.c - k.l) - (k.h - k.c)) / (k.h - k.l) if k.h > k.l else 0.0
        r[<int>S_MFV] = place * v
    flow = 0.0 if first else k.typical * v
    r[<int>S_MFPOS] = flow if k.typical > f.typical_before else 0.0
    r[<int>S_MFNEG] = flow if k.typical < f.typical_before else 0.0
    r[<int>S_SIGNV] = v if d > 0.0 else -v if d < 0.0 else 0.0
    r[<int>S_ILLIQ] = 0.0
    if sums & sum_of(S_ILLIQ):
        r[<int>S_ILLIQ] = abs(k.log_return) / (k.c * v) if v > 0.0 else 0.0
    r[<int>S_PK] = r[<int>S_GK] = r[<int>S_RS] = r[<int>S_ON] = r[<int>S_ON2] = r[<int>S_OC] = r[<int>S_OC2] = 0.0
    if needs & NEED_LOGS:
        hl = log_c(k.h / k.l)
        co = log_c(k.c / k.o)
        r[<int>S_PK] = hl * hl
        r[<int>S_GK] = 0.5 * hl * hl - GARMAN_KLASS * co * co
        r[<int>S_RS] = log_c(k.h / k.c) * log_c(k.h / k.o) + log_c(k.l / k.c) * log_c(k.l / k.o)
        x = 0.0 if first else log_c(k.o / before)
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
    r[<int>S_BODY] = abs(k.c - k.o)
    r[<int>S_RANGE] = k.h - k.l
    # A body that holds the one before, which had the other colour, at both ends.
    r[<int>S_ENGULF] = 0.0
    if not first:
        if k.c > k.o and before < f.open_before and k.c >= f.open_before and k.o <= before:
            r[<int>S_ENGULF] = 1.0
        elif k.c < k.o and before > f.open_before and k.o >= before and k.c <= f.open_before:
            r[<int>S_ENGULF] = -1.0
    if only < 0:
        for j in range(k.sum_count):
            k.now[j + 1] = r[k.signal[j]]
    else:
        # One family has five sums at most: written out, its record folds to what it uses.
        _term(k, r, &left, 1)
        _term(k, r, &left, 2)
        _term(k, r, &left, 3)
        _term(k, r, &left, 4)
        _term(k, r, &left, 5)


cdef inline inlined _extremes(const features_t* f, tick_t* k, bint timed) noexcept nogil:
    """The blocks of 1, 2, 4 .. bars that end here: each is the larger of two of half its length."""
    cdef int64_t now = (k.number << k.extreme_shift) & k.extreme_cut, old, lows = k.lows
    cdef double* e = k.extremes
    cdef double* t = k.times
    cdef double high = k.h, low = k.l, high_time = k.count, low_time = k.count
    cdef int64_t level
    k.extremes_now = e + now
    k.times_now = t + now
    e[now] = high
    e[now + lows] = low
    if timed:
        t[now] = high_time
        t[now + lows] = low_time
    for level in range(<int64_t>f.level_count - 1):
        old = (((k.number - (<int64_t>1 << level)) << k.extreme_shift) & k.extreme_cut) + level
        if timed:
            # The newer of equals: its age is the shorter one.
            high_time = high_time if high >= e[old] else t[old]
            low_time = low_time if low <= e[old + lows] else t[old + lows]
            t[now + level + 1] = high_time
            t[now + lows + level + 1] = low_time
        high = _max(high, e[old])
        low = _min(low, e[old + lows])
        e[now + level + 1] = high
        e[now + lows + level + 1] = low


cdef inline inlined _mirror(double* m, int64_t number, int64_t ring_mask, double x, const double** end) noexcept nogil:
    cdef int64_t at = number & ring_mask, size = ring_mask + 1
    m[at] = x
    m[at + size] = x
    end[0] = m + at + size + 1


cdef inline bint _price(double x) noexcept nogil:
    # False for NaN and both infinities too.
    return x >= PRICE_LEAST and x <= PRICE_MOST


cdef inline inlined tick_bar(
    features_t* f, tick_t* k, char* block, double o, double h, double l, double c, double v, double reference,
    int only, uint64_t needs, uint64_t sums, uint64_t parts, bint* taken,
) noexcept nogil:
    """Take a bar into the stream; nothing changes but a counter when it is none."""
    cdef double up, down
    # Lows in order bound the rest: two prices are judged, the others by their place between them.
    if not (
        l >= PRICE_LEAST and h <= PRICE_MOST and l <= o and l <= c and o <= h and c <= h
        and v >= 0.0 and v <= VOLUME_MOST and reference >= -100.0 and reference <= 100.0
    ):
        f.refused_count += 1
        taken[0] = False
        return
    taken[0] = True
    f.count += 1
    k.number = f.count
    k.settled = f.count >= f.settled_count
    k.count = <double>f.count
    k.o = o
    k.c = c
    k.h = h
    k.l = l
    k.volume = v
    k.typical = (h + l + c) / 3.0
    k.close_before = f.close_before if f.count > 1 else c
    k.d = 0.0
    k.dm_plus = 0.0
    k.dm_minus = 0.0
    k.log_return = 0.0
    k.tr = h - l
    if f.count > 1:
        k.d = c - f.close_before
        k.tr = _max(h, f.close_before) - _min(l, f.close_before)
        if needs & NEED_RETURN:
            k.log_return = log_c(c / f.close_before)
        up = h - f.high_before
        down = f.low_before - l
        k.dm_plus = up if up > down and up > 0.0 else 0.0
        k.dm_minus = down if down > up and down > 0.0 else 0.0
    k.change_up = k.d if k.d > 0.0 else 0.0
    k.change_down = -k.d if k.d < 0.0 else 0.0
    if parts & PART_RING:
        k.now = k.records + ((f.count << k.record_shift) & k.record_cut)
        k.now[0] = c
        if needs & NEED_TERMS:
            _record(f, k, reference, only, needs, sums)
    if needs & (NEED_EXT | NEED_EXT1):
        _extremes(f, k, (needs & NEED_EXT1) != 0)
    if needs & NEED_SCANTP:
        _mirror(<double*>(block + f.at_typical), f.count, f.ring_mask, k.typical, &k.typicals)
    if needs & NEED_SCANC:
        _mirror(<double*>(block + f.at_closes), f.count, f.ring_mask, c, &k.closes)
    if needs & NEED_SCANTR:
        _mirror(<double*>(block + f.at_ranges), f.count, f.ring_mask, k.tr, &k.ranges)
    f.open_before = o
    f.close_before = c
    f.high_before = h
    f.low_before = l
    f.typical_before = k.typical
    f.return_before = k.log_return

cimport cython
from libc.math cimport INFINITY, ceil, sqrt
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.isa cimport ISA_V3, isa_level
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport CORRELATION_BAD_SHAPE, CORRELATION_FULL, OK, raise_status

cdef extern from * nogil:
    """
    #include <math.h>
    #include <stdint.h>

    #define BOT4_PAIRS 64

    /* One symbol against `count` others: its correlation with each, times the direction in which the other is held,
       goes into the symbol's own extremes (returned) and, if it is held itself, into the others' (most, least).

       Plain loops over one chunk, because a loop of one kind becomes vector code and a mixed one does not. A maximum
       of doubles is exact in any order, so neither the chunks nor four maxima side by side can change a bit. */
    static inline __attribute__((always_inline)) void bot4_pairs_(const double *restrict row, const double *restrict variance, const double *restrict way,
                           uint32_t count, double variance_mine, double way_mine, double *restrict most,
                           double *restrict least, double *restrict most_mine, double *restrict least_mine)
    {
        double correlation[BOT4_PAIRS], up[BOT4_PAIRS], down[BOT4_PAIRS], high[4], low[4];
        for (int k = 0; k < 4; k++) {
            high[k] = *most_mine;
            low[k] = *least_mine;
        }
        for (uint32_t start = 0; start < count; start += BOT4_PAIRS) {
            uint32_t size = count - start < BOT4_PAIRS ? count - start : BOT4_PAIRS, j;
            for (j = 0; j < size; j++) {
                double variances = variance_mine * variance[start + j];
                double ratio = row[start + j] / sqrt(variances);
                /* Two variances so small that their product is none: as good as equal, which fails closed. */
                correlation[j] = variances > 0.0 ? ratio : 1.0;
            }
            if (way_mine != 0.0) {
                for (j = 0; j < size; j++) {
                    double mine = correlation[j] * way_mine;
                    most[start + j] = mine > most[start + j] ? mine : most[start + j];
                    least[start + j] = mine < least[start + j] ? mine : least[start + j];
                }
            }
            for (j = 0; j < size; j++) {
                double theirs = correlation[j] * way[start + j];
                up[j] = way[start + j] != 0.0 ? theirs : -INFINITY;
                down[j] = way[start + j] != 0.0 ? theirs : INFINITY;
            }
            /* Filled up to whole fours with what is no extreme. */
            for (; j & 3; j++) {
                up[j] = -INFINITY;
                down[j] = INFINITY;
            }
            for (uint32_t at = 0; at < j; at += 4)
                for (int k = 0; k < 4; k++) {
                    high[k] = up[at + k] > high[k] ? up[at + k] : high[k];
                    low[k] = down[at + k] < low[k] ? down[at + k] : low[k];
                }
        }
        for (int k = 0; k < 4; k++) {
            *most_mine = high[k] > *most_mine ? high[k] : *most_mine;
            *least_mine = low[k] < *least_mine ? low[k] : *least_mine;
        }
    }

    /* One sample into one row of covariances. The two returns are multiplied first, because a product commutes to the
       bit and (weight x a) x b does not: the matrix stays symmetric exactly. */
    static inline __attribute__((always_inline)) void bot4_fade_(double *restrict row, const double *restrict returns,
                                                                 uint32_t count, double keep, double weight, double mine)
    {
        for (uint32_t j = 0; j < count; j++)
            row[j] = keep * row[j] + weight * (mine * returns[j]);
    }

    /* Every operation is exact or rounded alone in its lane, so both versions give the same bits. */
    #if defined(__x86_64__)
    #define BOT4_WIDE __attribute__((target("avx2")))
    #else
    #define BOT4_WIDE
    #endif
    #define BOT4_PAIRS_OF(name, mark) mark \
    static void name(const double *row, const double *variance, const double *way, uint32_t count, double variance_mine, \
                     double way_mine, double *most, double *least, double *most_mine, double *least_mine) \
    { bot4_pairs_(row, variance, way, count, variance_mine, way_mine, most, least, most_mine, least_mine); }
    #define BOT4_FADE_OF(name, mark) mark \
    static void name(double *row, const double *returns, uint32_t count, double keep, double weight, double mine) \
    { bot4_fade_(row, returns, count, keep, weight, mine); }
    BOT4_PAIRS_OF(bot4_pairs, )
    BOT4_FADE_OF(bot4_fade, )
    BOT4_PAIRS_OF(bot4_pairs_wide, BOT4_WIDE)
    BOT4_FADE_OF(bot4_fade_wide, BOT4_WIDE)
    """
    void pairs "bot4_pairs"(const double* row, const double* variance, const double* way, uint32_t count,
                            double variance_mine, double way_mine, double* most, double* least, double* most_mine,
                            double* least_mine) noexcept
    void pairs_wide "bot4_pairs_wide"(const double* row, const double* variance, const double* way, uint32_t count,
                                      double variance_mine, double way_mine, double* most, double* least,
                                      double* most_mine, double* least_mine) noexcept
    void fade "bot4_fade"(double* row, const double* returns, uint32_t count, double keep, double weight,
                          double mine) noexcept
    void fade_wide "bot4_fade_wide"(double* row, const double* returns, uint32_t count, double keep, double weight,
                                    double mine) noexcept

cdef bint _wide = isa_level() >= ISA_V3

cdef enum:
    LANES = 5                     # returns, variances, directions, and each symbol's highest and lowest ratio

cdef double PPM = 1e6


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(correlation_t) == 128)
    static_assert_c(sizeof(correlation_slot_t) == 64)


cdef inline size_t _line_up(size_t size) noexcept nogil:
    return (size + 63) & ~<size_t>63


cdef size_t correlation_bytes(uint32_t tracked_max, uint32_t symbol_count) noexcept nogil:
    return (sizeof(correlation_t) + tracked_max * sizeof(correlation_slot_t)
            + _line_up(symbol_count * sizeof(uint16_t)) + <size_t>tracked_max * tracked_max * sizeof(double)
            + <size_t>LANES * tracked_max * sizeof(double))


cdef int correlation_init(correlation_t* c, uint32_t tracked_max, uint32_t symbol_count, uint32_t samples_min,
                          double weight) noexcept nogil:
    cdef uint32_t i
    if (tracked_max < 1 or tracked_max >= CORRELATION_SLOT_BLIND or symbol_count < 1 or samples_min < 2
            or not 0.0 < weight < 1.0):
        return CORRELATION_BAD_SHAPE
    memset(c, 0, correlation_bytes(tracked_max, symbol_count))
    c.tracked_max = tracked_max
    c.symbol_count = symbol_count
    c.samples_min = samples_min
    c.weight = weight
    c.slots_at = sizeof(correlation_t)
    c.slot_of_symbol_at = c.slots_at + tracked_max * sizeof(correlation_slot_t)
    c.matrix_at = c.slot_of_symbol_at + _line_up(symbol_count * sizeof(uint16_t))
    c.lanes_at = c.matrix_at + <size_t>tracked_max * tracked_max * sizeof(double)
    for i in range(symbol_count):
        (<uint16_t*>(<char*>c + c.slot_of_symbol_at))[i] = CORRELATION_SLOT_NONE
    return OK


cdef int correlation_track(correlation_t* c, uint16_t symbol) noexcept nogil:
    """Follow a symbol from now on; twice is fine."""
    cdef correlation_slot_t* s
    if symbol >= c.symbol_count:
        return CORRELATION_BAD_SHAPE
    if correlation_slot(c, symbol) < CORRELATION_SLOT_BLIND:
        return OK
    if c.tracked_count == c.tracked_max:
        return CORRELATION_FULL
    s = &correlation_slots(c)[c.tracked_count]
    s.symbol = symbol
    (<uint16_t*>(<char*>c + c.slot_of_symbol_at))[symbol] = <uint16_t>c.tracked_count
    c.tracked_count += 1
    _read_worst(c)
    return OK


cdef inline double* _lane(const correlation_t* c, uint32_t lane) noexcept nogil:
    return <double*>(<char*>c + c.lanes_at) + <size_t>lane * c.tracked_max


cdef void _take_returns(correlation_t* c) noexcept nogil:
    cdef double* returns = _lane(c, 0)
    cdef correlation_slot_t* s
    cdef uint32_t i
    for i in range(c.tracked_count):
        s = &correlation_slots(c)[i]
        returns[i] = s.return_last = 0.0
        if s.px_now <= 0:
            continue
        if s.px_sampled > 0:
            returns[i] = s.return_last = <double>(s.px_now - s.px_sampled) / <double>s.px_sampled
            s.samples += 1
        s.px_sampled = s.px_now


cdef void correlation_sample(correlation_t* c) noexcept nogil:
    """Take one return of every tracked symbol into the covariances."""
    cdef double* returns = _lane(c, 0)
    cdef double keep = 1.0 - c.weight, weight = c.weight
    cdef uint32_t i
    _take_returns(c)
    # The whole row, not half of it: a full row is one straight pass.
    for i in range(c.tracked_count):
        if _wide:
            fade_wide(correlation_row(c, i), returns, c.tracked_count, keep, weight, returns[i])
        else:
            fade(correlation_row(c, i), returns, c.tracked_count, keep, weight, returns[i])
    c.sample_count += 1
    _read_worst(c)


cdef inline double _correlation(const correlation_t* c, uint32_t i, uint32_t j) noexcept nogil:
    cdef double variances = correlation_row(c, i)[i] * correlation_row(c, j)[j]
    # A price that never moved has no correlation to speak of; it is as good as equal, which fails closed.
    if not variances > 0.0:
        return 1.0
    return correlation_row(c, i)[j] / sqrt(variances)


cdef double correlation_of(const correlation_t* c, uint16_t symbol, uint16_t other) noexcept nogil:
    return _correlation(c, correlation_slot(c, symbol), correlation_slot(c, other))


cdef int64_t _ppm_up(double ratio) noexcept nogil:
    """A ratio in millionths, rounded against us."""
    return <int64_t>ceil(ratio * PPM)


cdef void _read_worst(correlation_t* c) noexcept nogil:
    """Per symbol: the worst correlation with anything held, if we bought it and if we sold it.

    Each pair once: the matrix is symmetric to the bit, so what i finds with j is what j finds with i. The extremes are
    taken of the ratios and rounded once, because rounding up keeps their order.
    """
    cdef correlation_slot_t* slots = correlation_slots(c)
    cdef double* variance = _lane(c, 1)
    cdef double* way = _lane(c, 2)
    cdef double* most = _lane(c, 3)
    cdef double* least = _lane(c, 4)
    cdef uint32_t i, held = 0, held_unknown = 0, mine, mine_unknown
    cdef bint known
    for i in range(c.tracked_count):
        known = slots[i].samples >= c.samples_min and correlation_row(c, i)[i] > 0.0
        # An unknown symbol's figures are not used; one keeps its ratios finite.
        variance[i] = correlation_row(c, i)[i] if known else 1.0
        way[i] = <double>slots[i].direction
        most[i], least[i] = -INFINITY, INFINITY
        held += slots[i].direction != 0
        held_unknown += slots[i].direction != 0 and not known
    for i in range(c.tracked_count if held else 0):
        if _wide:
            pairs_wide(correlation_row(c, i), variance, way, i, variance[i], way[i], most, least, &most[i], &least[i])
        else:
            pairs(correlation_row(c, i), variance, way, i, variance[i], way[i], most, least, &most[i], &least[i])
    for i in range(c.tracked_count):
        known = slots[i].samples >= c.samples_min and correlation_row(c, i)[i] > 0.0
        mine = slots[i].direction != 0
        mine_unknown = mine and not known
        if held == mine:
            # Nothing else is held.
            slots[i].worst_buy_ppm = slots[i].worst_sell_ppm = CORRELATION_LEAST
        elif not known or held_unknown > mine_unknown:
            slots[i].worst_buy_ppm = slots[i].worst_sell_ppm = CORRELATION_UNKNOWN
        else:
            slots[i].worst_buy_ppm = max(CORRELATION_LEAST, _ppm_up(most[i]))
            slots[i].worst_sell_ppm = max(CORRELATION_LEAST, _ppm_up(-least[i]))


cdef void _go_blind(correlation_t* c, uint16_t symbol) noexcept nogil:
    # Held and not followed: nothing can be said about any order, so nothing passes. Fail closed, never silent.
    if correlation_slot(c, symbol) != CORRELATION_SLOT_BLIND:
        (<uint16_t*>(<char*>c + c.slot_of_symbol_at))[symbol] = CORRELATION_SLOT_BLIND
        c.blind_count += 1


cdef int _see_again(correlation_t* c, uint16_t symbol) noexcept nogil:
    if correlation_slot(c, symbol) == CORRELATION_SLOT_BLIND:
        (<uint16_t*>(<char*>c + c.slot_of_symbol_at))[symbol] = CORRELATION_SLOT_NONE
        c.blind_count -= 1
    return OK


cdef int correlation_hold(correlation_t* c, uint16_t symbol, int64_t lots) noexcept nogil:
    """What is held of a symbol changed; only its direction matters, and only a change of that costs anything."""
    cdef int64_t direction = 1 if lots > 0 else -1 if lots < 0 else 0
    cdef correlation_slot_t* s
    cdef int status
    if direction == 0 and correlation_slot(c, symbol) >= CORRELATION_SLOT_BLIND:
        return _see_again(c, symbol)
    status = correlation_track(c, symbol)
    if status == CORRELATION_FULL:
        _go_blind(c, symbol)
    if status != OK:
        return status
    s = &correlation_slots(c)[correlation_slot(c, symbol)]
    if s.direction == direction:
        return OK
    if s.direction == 0:
        c.held_count += 1
    elif direction == 0:
        c.held_count -= 1
    s.direction = direction
    _read_worst(c)
    return OK


@cython.final
cdef class Correlation:
    """The tracked symbols, their covariances and what each order would add."""

    def __cinit__(self, *, uint32_t tracked, uint32_t symbols, uint32_t samples_min=30, double weight=0.02):
        self.c = <correlation_t*>block_new(correlation_bytes(tracked, symbols))
        if correlation_init(self.c, tracked, symbols, samples_min, weight) != OK:
            raise_status(CORRELATION_BAD_SHAPE, f"tracked={tracked}, symbols={symbols}, "
                                                f"samples_min={samples_min}, weight={weight}")

    def __dealloc__(self):
        block_free(self.c)

    cdef int _known(self, uint32_t symbol) except -1:
        if symbol >= self.c.symbol_count:
            raise_status(CORRELATION_BAD_SHAPE, f"symbol {symbol} of {self.c.symbol_count}")
        return 0

    def track(self, uint32_t symbol):
        self._known(symbol)
        cdef int status = correlation_track(self.c, <uint16_t>symbol)
        if status != OK:
            raise_status(status, f"{self.c.tracked_max} symbols are tracked")

    def price(self, uint32_t symbol, int64_t px2_ticks):
        self._known(symbol)
        correlation_price(self.c, <uint16_t>symbol, px2_ticks)

    def sample(self):
        correlation_sample(self.c)

    def hold(self, uint32_t symbol, int64_t lots):
        """Returns the status: a full table is not an exception here, it makes everything unknown."""
        self._known(symbol)
        return correlation_hold(self.c, <uint16_t>symbol, lots)

    def worst(self, uint32_t symbol, bint sell):
        """In millionths; None while unknown."""
        self._known(symbol)
        cdef int64_t ppm = correlation_worst(self.c, <uint16_t>symbol, sell)
        return None if ppm == CORRELATION_UNKNOWN else ppm

    def matrix(self):
        """The correlations of the tracked symbols, in the order in which they were tracked."""
        count = self.c.tracked_count
        return np.array([[_correlation(self.c, i, j) for j in range(count)] for i in range(count)])

    @property
    def tracked(self):
        return [correlation_slots(self.c)[i].symbol for i in range(self.c.tracked_count)]

    def check(self):
        cdef uint32_t i, j
        held = sum(1 for i in range(self.c.tracked_count) if correlation_slots(self.c)[i].direction)
        assert held == self.c.held_count, "count of what is held"
        for i in range(self.c.tracked_count):
            s = correlation_slots(self.c)[i]
            assert correlation_slot(self.c, <uint16_t>s.symbol) == i, f"slot {i} and symbol {s.symbol}"
            for j in range(i):
                assert correlation_row(self.c, i)[j] == correlation_row(self.c, j)[i], f"not symmetric at {i}, {j}"

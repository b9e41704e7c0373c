"""Correlation of every tracked symbol with what is held, kept up to date so that the gate reads one word.

Owns: the last price of each tracked symbol, an exponentially weighted covariance of their returns, the direction of
what is held, and per symbol the worst correlation that buying or selling it would add. `correlation_sample` takes
one return of every symbol at a regular time (a timer event); its cost is one pass over the square of the tracked
symbols. A change of what is held re-reads the covariances, and costs tracked x held.

The numbers are doubles and only ever compared with a limit; they decide no amount. Each covariance is its own
sum in a fixed order, so vector widths cannot change a bit. Too few samples is not "uncorrelated": it is unknown, and
the gate fails it. Returns have no mean taken off: over a sampling interval it is far below the noise.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    CORRELATION_SLOT_NONE = 0xFFFF
    CORRELATION_SLOT_BLIND = 0xFFFE       # held, but the table was full: everything is unknown until it is flat

cdef extern from *:
    """
    #define BOT4_CORRELATION_UNKNOWN INT64_MAX
    #define BOT4_CORRELATION_LEAST   (-1000000)
    """
    const int64_t CORRELATION_LEAST "BOT4_CORRELATION_LEAST"
    const int64_t CORRELATION_UNKNOWN "BOT4_CORRELATION_UNKNOWN"


cdef struct correlation_t:        # the header: two cache lines; slots, slot numbers and the matrix follow
    uint32_t tracked_max
    uint32_t tracked_count
    uint32_t symbol_count
    uint32_t samples_min          # a pair with fewer is unknown
    double weight                 # of the newest return; 1 - weight stays with the past
    uint64_t sample_count
    uint64_t slots_at
    uint64_t slot_of_symbol_at
    uint64_t matrix_at
    uint64_t held_count
    uint64_t blind_count
    uint64_t lanes_at             # arrays of one double per slot: a pass over all symbols is one straight pass
    int64_t reserved[6]


cdef struct correlation_slot_t:   # one cache line
    int64_t px_now                # twice the mid, in ticks; 0 while unknown
    int64_t px_sampled            # at the last sample
    double return_last
    int64_t samples
    int64_t worst_buy_ppm         # the correlation that buying adds; CORRELATION_UNKNOWN fails
    int64_t worst_sell_ppm
    int64_t direction             # of what is held: -1, 0, +1
    int64_t symbol


cdef size_t correlation_bytes(uint32_t tracked_max, uint32_t symbol_count) noexcept nogil
cdef int correlation_init(correlation_t* c, uint32_t tracked_max, uint32_t symbol_count, uint32_t samples_min,
                          double weight) noexcept nogil
cdef int correlation_track(correlation_t* c, uint16_t symbol) noexcept nogil
cdef void correlation_sample(correlation_t* c) noexcept nogil
cdef int correlation_hold(correlation_t* c, uint16_t symbol, int64_t lots) noexcept nogil
cdef double correlation_of(const correlation_t* c, uint16_t symbol, uint16_t other) noexcept nogil

cdef inline correlation_slot_t* correlation_slots(const correlation_t* c) noexcept nogil:
    return <correlation_slot_t*>(<char*>c + c.slots_at)

cdef inline uint16_t correlation_slot(const correlation_t* c, uint16_t symbol) noexcept nogil:
    return (<uint16_t*>(<char*>c + c.slot_of_symbol_at))[symbol]

cdef inline double* correlation_row(const correlation_t* c, uint32_t slot) noexcept nogil:
    return <double*>(<char*>c + c.matrix_at) + <size_t>slot * c.tracked_max

cdef inline void correlation_price(correlation_t* c, uint16_t symbol, int64_t px2_ticks) noexcept nogil:
    """Tell the newest price of a symbol: called on every whole book, so it is one store."""
    cdef uint16_t slot = correlation_slot(c, symbol)
    if slot < CORRELATION_SLOT_BLIND:
        correlation_slots(c)[slot].px_now = px2_ticks

cdef inline int64_t correlation_worst(const correlation_t* c, uint16_t symbol, bint sell) noexcept nogil:
    """What the gate reads: the worst correlation that this order would add. An untracked symbol is unknown."""
    cdef uint16_t slot = correlation_slot(c, symbol)
    if c.blind_count:
        return CORRELATION_UNKNOWN
    if slot >= CORRELATION_SLOT_BLIND:
        # Nothing held means nothing to be correlated with.
        return CORRELATION_UNKNOWN if c.held_count else CORRELATION_LEAST
    return correlation_slots(c)[slot].worst_sell_ppm if sell else correlation_slots(c)[slot].worst_buy_ppm


cdef class Correlation:
    cdef correlation_t* c

    cdef int _known(self, uint32_t symbol) except -1

"""Log-linear histogram of non-negative integers: constant relative error, constant cost, no allocation.

A value v below 2**sub_bits has its own bucket; above, each power of two is cut into 2**sub_bits equal buckets, so
a bucket is never wider than v / 2**sub_bits. Values above the highest one are counted in the last bucket and in
`above_count`: never lost, never an error on the hot path. One writer; any thread may read the counts at any time
and sees each bucket whole (64-bit relaxed loads), though not all buckets at the same instant.

Relocatable: the counts follow the header directly and nothing holds a pointer, so a histogram may live in the
world and be copied with it. Cost: one leading-zero count, two shifts, four stores; 1 to 2 ns.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.debug cimport debug_assert


cdef struct histogram_t:
    uint64_t total_count
    uint64_t above_count          # values above value_max
    int64_t value_least           # INT64_MAX while empty
    int64_t value_most
    int64_t value_sum             # wraps after 2**63 ns-counts, some 292 years of summed latency
    int64_t value_max             # the highest value with a bucket of its own
    uint32_t sub_bits
    uint32_t bucket_count
    int64_t reserved
    # uint64_t counts[bucket_count] follows: 64 bytes on, see `histogram_counts`.


cdef extern from * nogil:
    """
    #define bot4_log2(v) (63 - __builtin_clzll((unsigned long long)(v)))
    """
    int log2_c "bot4_log2"(uint64_t value) noexcept


cdef size_t histogram_bytes(uint32_t sub_bits, int64_t value_max) noexcept nogil
cdef int histogram_init(histogram_t* h, uint32_t sub_bits, int64_t value_max) noexcept nogil
cdef int histogram_merge(histogram_t* into, const histogram_t* other) noexcept nogil
cdef int64_t histogram_percentile(const histogram_t* h, double percent) noexcept nogil
cdef void histogram_reset(histogram_t* h) noexcept nogil


cdef inline uint64_t* histogram_counts(const histogram_t* h) noexcept nogil:
    return <uint64_t*>(h + 1)


cdef inline uint32_t histogram_index(uint32_t sub_bits, int64_t value) noexcept nogil:
    # The octave starts at 0 for everything that fits into sub_bits, so both halves meet without a branch per octave.
    cdef int octave
    if value < (<int64_t>1 << sub_bits):
        return <uint32_t>value
    octave = log2_c(<uint64_t>value) - <int>sub_bits
    return (<uint32_t>octave << sub_bits) + <uint32_t>(value >> octave)


cdef inline void histogram_record(histogram_t* h, int64_t value) noexcept nogil:
    """Count one value. A negative one (a clock that stepped back) counts as zero: it has no bucket of its own."""
    cdef uint64_t* counts = histogram_counts(h)
    cdef uint32_t index
    if value < 0:
        value = 0
    if value > h.value_max:
        h.above_count += 1
        index = h.bucket_count - 1
    else:
        index = histogram_index(h.sub_bits, value)
    debug_assert(index < h.bucket_count)
    counts[index] += 1
    h.total_count += 1
    h.value_sum += value
    if value < h.value_least:
        h.value_least = value
    if value > h.value_most:
        h.value_most = value


cdef class Histogram:
    cdef histogram_t* c

cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport HISTOGRAM_MISMATCH, HISTOGRAM_OUT_OF_RANGE, OK, raise_status

cdef uint32_t SUB_BITS_MAX = 14


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(histogram_t) == 64)


cdef size_t histogram_bytes(uint32_t sub_bits, int64_t value_max) noexcept nogil:
    return sizeof(histogram_t) + (<size_t>histogram_index(sub_bits, value_max) + 1) * sizeof(uint64_t)


cdef int histogram_init(histogram_t* h, uint32_t sub_bits, int64_t value_max) noexcept nogil:
    """Make an empty histogram in a block of `histogram_bytes` bytes."""
    if sub_bits < 1 or sub_bits > SUB_BITS_MAX or value_max < 1:
        return HISTOGRAM_OUT_OF_RANGE
    h.sub_bits = sub_bits
    h.bucket_count = histogram_index(sub_bits, value_max) + 1
    h.value_max = value_max
    histogram_reset(h)
    return OK


cdef void histogram_reset(histogram_t* h) noexcept nogil:
    h.total_count = 0
    h.above_count = 0
    h.value_least = INT64_MAX
    h.value_most = 0
    h.value_sum = 0
    memset(histogram_counts(h), 0, h.bucket_count * sizeof(uint64_t))


cdef int histogram_merge(histogram_t* into, const histogram_t* other) noexcept nogil:
    cdef uint32_t i
    if into.sub_bits != other.sub_bits or into.value_max != other.value_max:
        return HISTOGRAM_MISMATCH
    for i in range(into.bucket_count):
        histogram_counts(into)[i] += histogram_counts(other)[i]
    into.total_count += other.total_count
    into.above_count += other.above_count
    into.value_sum += other.value_sum
    into.value_least = min(into.value_least, other.value_least)
    into.value_most = max(into.value_most, other.value_most)
    return OK


cdef inline int64_t _bucket_top(uint32_t sub_bits, uint32_t index) noexcept nogil:
    """The highest value that falls into a bucket."""
    cdef int octave
    if index < (<uint32_t>2 << sub_bits):
        return index
    octave = <int>(index >> sub_bits) - 1
    return ((<int64_t>(index - (<uint32_t>octave << sub_bits)) + 1) << octave) - 1


cdef int64_t histogram_percentile(const histogram_t* h, double percent) noexcept nogil:
    """The value that at least `percent` of all values do not exceed, rounded up to its bucket's top.

    -1 while empty. Never above the largest value seen, so p100 is exact.
    """
    cdef uint64_t wanted, seen = 0
    cdef uint32_t i
    if h.total_count == 0:
        return -1
    # Ceiling, so that p50 of two values is the first one and p100 the last one.
    wanted = <uint64_t>(percent / 100.0 * <double>h.total_count)
    if <double>wanted < percent / 100.0 * <double>h.total_count:
        wanted += 1
    if wanted < 1:
        wanted = 1
    for i in range(h.bucket_count):
        seen += histogram_counts(h)[i]
        if seen >= wanted:
            # The last bucket also holds what lies above value_max, so its top is the largest value seen.
            if i == h.bucket_count - 1:
                return h.value_most
            return min(_bucket_top(h.sub_bits, i), h.value_most)
    return h.value_most


@cython.final
cdef class Histogram:
    """Counts values up to `value_max` with a relative error of at most 2**-sub_bits."""

    def __cinit__(self, *, int64_t value_max=60_000_000_000, uint32_t sub_bits=7):
        if sub_bits < 1 or sub_bits > SUB_BITS_MAX or value_max < 1:
            raise_status(HISTOGRAM_OUT_OF_RANGE, f"sub_bits={sub_bits} (1 to 14), value_max={value_max} (1 and up)")
        self.c = <histogram_t*>block_new(histogram_bytes(sub_bits, value_max))
        histogram_init(self.c, sub_bits, value_max)

    def __dealloc__(self):
        block_free(self.c)

    def record(self, int64_t value):
        histogram_record(self.c, value)

    def record_many(self, const int64_t[:] values):
        cdef Py_ssize_t i
        with nogil:
            for i in range(values.shape[0]):
                histogram_record(self.c, values[i])

    def merge(self, Histogram other not None):
        if histogram_merge(self.c, other.c) != OK:
            raise_status(HISTOGRAM_MISMATCH)

    def reset(self):
        histogram_reset(self.c)

    def percentile(self, double percent):
        if not 0.0 <= percent <= 100.0:
            raise_status(HISTOGRAM_OUT_OF_RANGE, f"percentile {percent}; 0 to 100")
        return histogram_percentile(self.c, percent)

    @property
    def count(self):
        return self.c.total_count

    @property
    def above_count(self):
        return self.c.above_count

    @property
    def least(self):
        """The smallest value, -1 while empty."""
        return self.c.value_least if self.c.total_count else -1

    @property
    def most(self):
        return self.c.value_most if self.c.total_count else -1

    @property
    def mean(self):
        return self.c.value_sum / <double>self.c.total_count if self.c.total_count else float("nan")

    @property
    def value_max(self):
        return self.c.value_max

    @property
    def sub_bits(self):
        return self.c.sub_bits

    def counts(self):
        """A copy of all buckets as an array."""
        cdef uint64_t[::1] view = <uint64_t[:self.c.bucket_count]>histogram_counts(self.c)
        return np.array(view)

    def bucket_tops(self):
        """The highest value of each bucket, beside `counts`."""
        return np.array([_bucket_top(self.c.sub_bits, i) for i in range(self.c.bucket_count)], dtype=np.int64)

    def text(self, str unit="ns"):
        """One line for people."""
        if self.c.total_count == 0:
            return "no values"
        rows = [f"{name} {histogram_percentile(self.c, p)}" for name, p in
                (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9))]
        return f"{', '.join(rows)}, max {self.c.value_most} {unit} ({self.c.total_count} values)"

    def check(self):
        """Walk the invariants."""
        counts = self.counts()
        assert int(counts.sum()) == self.c.total_count, "buckets and total disagree"
        assert self.c.above_count <= counts[self.c.bucket_count - 1], "more above the range than in the last bucket"
        assert self.c.bucket_count == histogram_index(self.c.sub_bits, self.c.value_max) + 1, "bucket count"
        if self.c.total_count:
            assert 0 <= self.c.value_least <= self.c.value_most, "least above most"

"""Features of the clock and of the day: where in its sessions a market stands, and what is usual at this time of day.

Owns: the block with the day that is being traded, the day before it, and what was usual in each quarter of an hour.
Does not own: bars, or features that count updates (features). A quarter of an hour is judged when it ends: its log
return, the size of that and its volume are held against exponential means of the same quarter of earlier days, each
for up to eight spans of days. UTC throughout; no time zone is looked up, so summer time shifts an exchange's hours.

Invariants: a bar that is none (no finite positive price, time going back, negative volume) is refused and counted, and
changes nothing; a mean is NaN before its span of days was seen in that quarter, and finite ever after. No pointers.
Cost: some 20 ns a bar inside a quarter of an hour, 100 ns where one ends.
"""
from libc.stdint cimport int32_t, int64_t


cdef enum:
    SEASON_LANES = 8
    SEASON_SLOTS = 96
    SEASON_SPAN_MAX = 1000
    SEASON_OK = 0
    SEASON_REFUSED = 1
    SEASON_BAD_CONFIG = 2


# Plain values, as they stand after the last bar.
cpdef enum season_plain_t:
    SEASON_DAY_SHARE = 0
    SEASON_WEEK_SHARE = 1
    SEASON_DAY_WAVE = 2
    SEASON_WEEK_WAVE = 3
    SEASON_FUNDING_SHARE = 4
    SEASON_ASIA = 5
    SEASON_EUROPE = 6
    SEASON_AMERICA = 7
    SEASON_WEEKEND = 8
    SEASON_DAY_GAP = 9
    SEASON_DAY_PLACE = 10
    SEASON_DAY_VWAP_GAP = 11
    SEASON_BEFORE_HIGH_GAP = 12
    SEASON_BEFORE_LOW_GAP = 13
    SEASON_PLAINS = 14


# Values with a span in days, as they stand after the last quarter of an hour that ended.
cpdef enum season_family_t:
    SEASON_RETURN = 0             # usual log return of the quarter that begins
    SEASON_VOL_RATIO = 1          # the one that ended: size of its return over the usual size
    SEASON_VOLUME_RATIO = 2       # and its volume over the usual volume
    SEASON_FAMILIES = 3


cdef struct season_t:
    int64_t span[8]
    int64_t span_count
    int64_t count
    int64_t refused_count
    int64_t ts_ns
    int64_t day                   # since 1970
    int64_t slot                  # number of the quarter of an hour since 1970
    int64_t before_known          # a whole day was seen before this one
    double open_
    double high
    double low
    double value                  # of the day so far: price times volume
    double volume
    double before_high
    double before_low
    double slot_open              # the close before the quarter began
    double slot_volume
    double close
    double plain[14]
    double out[3][8]
    double visits[96]
    double mean[96][3][8]


cdef int season_init(season_t* s, const int32_t* spans, int span_count) noexcept nogil
cdef int season_bar(season_t* s, int64_t ts_ns, double high, double low, double close, double volume) noexcept nogil


cdef class Season:
    cdef season_t* c
    cdef readonly tuple spans

"""Market-microstructure features of one instrument: from best quotes, trades and depth, for eight windows.

Owns: the block with its two rings (quotes, trades), its volume buckets and every formula here. Does not own: the
book, or bars (features). Prices are ticks and quantities lots; the results are floats that decide no amount.

Plain values follow each quote; windowed ones count quotes, trades or volume buckets, as the table in flow.pyx says.
Invariants: an input that is no quote or trade (crossed, empty, not positive, time before the last) is refused and
counted, and changes nothing; rolling sums are replaced by freshly built ones each window, so rounding does not pile
up; a value is NaN before its window is full and finite ever after. No pointers inside.
Cost: some 40 ns a quote or trade for all its windows.
"""
from libc.stdint cimport int32_t, int64_t


cdef enum:
    FLOW_LANES = 8
    FLOW_RING = 1024
    FLOW_WINDOW_MAX = 1000
    QUOTE_SUMS = 4
    TRADE_SUMS = 9

    FLOW_OK = 0
    FLOW_REFUSED = 1
    FLOW_BAD_CONFIG = 2


# Plain values, as they stand after the last quote.
cpdef enum flow_plain_t:
    PLAIN_SPREAD = 0
    PLAIN_SPREAD_SHARE = 1
    PLAIN_MID = 2
    PLAIN_MICRO = 3
    PLAIN_MICRO_GAP = 4
    PLAIN_IMBALANCE = 5
    PLAINS = 6


# Windowed values.
cpdef enum flow_family_t:
    FLOW_OFI = 0
    FLOW_SPREAD_MEAN = 1
    FLOW_IMBALANCE_MEAN = 2
    FLOW_MID_VOL = 3
    FLOW_QUOTE_RATE = 4
    FLOW_SIGN = 5
    FLOW_TRADE_SIZE = 6
    FLOW_TRADE_RATE = 7
    FLOW_KYLE = 8
    FLOW_ROLL = 9
    FLOW_EFFECTIVE = 10
    FLOW_VWAP_GAP = 11
    FLOW_AMIHUD = 12
    FLOW_VPIN = 13
    FLOW_FAMILIES = 14


cdef struct flow_t:
    int64_t window[8]
    int64_t window_count
    int64_t bucket_lots           # volume of a VPIN bucket
    int64_t quote_count
    int64_t trade_count
    int64_t refused_count
    int64_t bid_ticks
    int64_t bid_lots
    int64_t ask_ticks
    int64_t ask_lots
    int64_t quote_ns
    int64_t trade_ns
    int64_t trade_px_ticks
    int64_t bucket_bought
    int64_t bucket_volume
    int64_t bucket_count
    double change_before          # the trade before the last one's change of price
    double plain[6]
    double quote_sum[4][8]
    double quote_fresh[4][8]
    int64_t quote_fresh_count[8]
    double trade_sum[9][8]
    double trade_fresh[9][8]
    int64_t trade_fresh_count[8]
    double bucket_sum[8]
    double bucket_fresh[8]
    int64_t bucket_fresh_count[8]
    double out[14][8]
    double quotes[1024][4]        # terms of the sums
    double trades[1024][9]
    double buckets[1024]
    int64_t quote_times[1024]
    int64_t trade_times[1024]


cdef int flow_init(flow_t* f, const int32_t* windows, int window_count, int64_t bucket_lots) noexcept nogil
cdef int flow_quote(
    flow_t* f, int64_t ts_ns, int64_t bid_ticks, int64_t bid_lots, int64_t ask_ticks, int64_t ask_lots
) noexcept nogil
cdef int flow_trade(flow_t* f, int64_t ts_ns, int64_t px_ticks, int64_t qty_lots, bint sell) noexcept nogil
# (bid - ask) / (bid + ask) quantity over the first `levels`; 0 of an empty book.
cdef double flow_imbalance(const int64_t* bid_lots, const int64_t* ask_lots, int levels) noexcept nogil


cdef class Flow:
    cdef flow_t* c
    cdef readonly tuple windows

"""The world's own rows: what belongs to no single stem because it ties several of them together.

Owns: per symbol the prices that "a fast rise" is measured from, the value of a holding at its last valuation and
whether its stop was missed; per venue which of its connections are up and whether it was reconciled since; per strategy
the trade that is open, so that its result can be told to discipline when it closes; the shape a world was made with.
Invariants: every word is a plain number and all padding is named, because the world is hashed. Cost: none of its own.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef struct world_symbol_t:       # two cache lines
    int64_t anchor_px2            # bid + ask some time ago: between one and two windows
    int64_t anchor_ns
    int64_t next_px2              # the one that becomes the anchor
    int64_t next_ns
    int64_t value                 # of the holding, report units, as it stands in the account's equity
    int64_t venue_lots            # what the venue last stated
    int64_t venue_ns
    int64_t unprotected_lots      # alarmed as held without a live stop
    int64_t stop_px_ticks         # of the nearest live stop
    uint32_t book_on              # depth is kept for it
    uint32_t halted_by            # halt_cause_t, or-ed
    int64_t dust_lots             # of the position, not owned: fees in the base asset took them
    int64_t mark_px_e8            # the venue's last word on its mark and its funding; 0 where it says none
    int64_t funding_rate_e8
    int64_t funding_ns
    int64_t value_lots            # the position that `value` is that of
    int64_t reserved


cdef enum halt_cause_t:
    HALT_EVENT = 1                # KIND_SYMBOL
    HALT_VALIDATE = 2             # the breaker on refused data
    HALT_POSITION = 4             # the venue holds another position than we believe
    HALT_BOOKS = 8                # a comparison of our books with the venue's found a break


cdef struct world_venue_t:        # one cache line
    uint32_t feeds_down           # a bit per feed_t that is known to be down
    uint32_t unreconciled         # the user stream came back, and nobody has compared since
    int64_t feed_ns               # of the last change
    int64_t offset_ns             # the venue's clock less ours
    int64_t uncertainty_ns
    int64_t clock_ns              # when that was measured
    uint32_t synchronised
    uint32_t reserved_0
    int64_t reserved[2]


cdef struct world_trade_t:        # one cache line: a strategy's trade from flat to flat
    int64_t cash                  # what the fills so far brought in, fees taken off; account units
    int64_t stake                 # largest value held
    int64_t stop_ppm              # of the first entry
    int64_t ts_open_ns
    int64_t result_count
    int64_t px_stop_ticks[2]      # last stated with a buy, with a sell, by one whose sides net
    uint32_t guards[2]            # brackets over its net position: while long, while short


cdef struct world_shape_t:        # three cache lines: everything that sizes a section
    uint32_t symbols
    uint32_t strategies
    uint32_t orders
    uint32_t brackets
    uint32_t triggers
    uint32_t algos
    uint32_t groups
    uint32_t tracked
    uint32_t venues
    uint32_t assets
    uint32_t fifo_lots
    uint32_t book_levels          # 0: no books
    uint32_t book_ticks
    uint32_t validate             # 0: market data are taken as they come
    uint32_t discipline           # 0: no rules on signals
    uint32_t reserved_0
    uint64_t features             # bytes
    int64_t epoch
    int64_t sample_ns             # between two samples of the correlation
    int64_t rise_ns               # window of "a fast rise"
    int64_t mark_age_ns           # older marks value nothing
    int64_t reserved[11]

"""The features that strategies asked for: one stream a strategy, inside the world, advanced by the step itself.

Owns: the world's features section: per strategy what it asked for, the bar that is being built, its stream, and the hash
of the request. Does not own: an update (features), the view that is filled (strategy_abi). The same function runs live,
on paper, in a backtest and in a replay, because it runs in the step; what a strategy sees of a feature is a function of
the events alone.

A stream takes one of three: the middle of the touch each time it is told (`every_ns` 0), bars of that middle of a fixed length,
or the venue's own closed bars, each once its totals have passed the ingest gate. Bars of the touch close with the first price of a later one; their volume counts prices.

A strategy that names a model (infer) has it behind its stream, in the section too. It answers when the stream moved, and
its outputs stand behind the features in the view: NaN until every feature is warm, because it was learned on warm ones.

Invariants: a row's lanes point into its own stream; the section's bytes are a function of the requests and the events, so
they are hashed, copied and recovered with the world. Cost: copying what was asked for, some ns a feature, and the
update of the stream: see bench_features.py.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from engine._core.strategy_abi cimport view_t
from engine._core.types cimport event_t


cpdef enum feed_source_t:
    FEED_NONE = 0
    FEED_TOUCH = 1                # the middle of the touch, each time it is told or in bars of it
    FEED_BARS = 2                 # closed bars as the venue tells them


cdef struct feed_row_t:
    uint64_t at                   # of the stream, from the section's start
    uint32_t source
    uint32_t count                # of values
    int64_t every_ns
    int64_t bar                   # number of the bar that is being built; of the venue's, 1 while one waits for its totals
    int64_t prices                # in it; of the venue's, its volume in lots
    uint64_t at_model             # from the section's start; 0 without one
    uint32_t outputs              # of the model: values behind the features
    uint32_t reserved
    double open_
    double high
    double low
    double close
    uint8_t hash[32]              # of the request: SHA-256 of its text, which names the model by its own
    int32_t family[32]
    int32_t lane[32]
    double value[32]


cdef struct feed_t:
    uint64_t bytes
    uint32_t strategies
    uint32_t reserved


# The hook that the step calls before a strategy decides: returns how many values stand in the view.
cdef int features_feed(void* section, const event_t* event, uint32_t strategy, view_t* view) noexcept nogil

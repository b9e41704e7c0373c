"""A recorded market in a matching book: the crowd's orders follow the recording, ours stand among them.

Owns: which of the crowd's orders stand for a recorded level, and the queue model. Does not own: the book, our orders.
The recording says how much rests at a price, not who came when. Trades take from the front of the queue, as they do;
of what disappears without a trade the model says how much stood before us.

Where quotes are all there is, each says what the whole book is. One that meets no order of ours is kept, and played
when something else happens or somebody looks (`catch_up`): of a thousand quotes in a row the last one counts.

Invariant: after a whole message the crowd's lots at each price are the recording's, less what our own orders took.
Cost: one walk over the few orders of a level an event, about 100 ns; a quote that is only kept, 5 ns; no memory but
the book's.
"""
from libc.stdint cimport int64_t, uint64_t

from engine._core.match cimport Match, match_t
from engine._core.types cimport event_t, quote_event_t


cpdef enum queue_model_t:
    QUEUE_BACK = 0                # what is cancelled stood behind us: we move up by trades alone
    QUEUE_SHARE = 1               # cancelled in proportion to what stands before and behind
    QUEUE_SQUARE = 2              # in proportion to the squares: the long part loses more
    QUEUE_FRONT = 3               # what is cancelled stood before us
    QUEUE_THROUGH = 4             # no depth was recorded: a trade fills only what it went through


cdef class Recorded:
    cdef Match book
    cdef match_t* m
    cdef int model
    cdef int64_t crowd_number
    cdef bint has_depth
    cdef bint waits               # `kept` is not in the book yet
    cdef quote_event_t kept
    cdef uint64_t event_count
    cdef uint64_t refused_count

    cdef void apply_one(self, const event_t* e) noexcept nogil
    cdef void catch_up(self) noexcept nogil
    cdef void play_one(self, const event_t* e) noexcept nogil
    cdef void play_quote(self, const quote_event_t* quote) noexcept nogil
    cdef bint is_whole_book(self, const quote_event_t* quote) noexcept nogil
    cdef void set_level(self, bint sell, int64_t px, int64_t lots) noexcept nogil
    cdef void clear_better(self, bint sell, int64_t px) noexcept nogil
    cdef void clear_behind(self, bint sell, int64_t px) noexcept nogil
    cdef void clear_level(self, int64_t px) noexcept nogil
    cdef void clear_side(self, bint sell) noexcept nogil
    cdef void take_away(self, int64_t px, int64_t lots) noexcept nogil
    cdef void trade(self, bint sell, int64_t px, int64_t lots) noexcept nogil
    cdef void crowd(self, bint sell, int64_t px, int64_t lots, int tif) noexcept nogil
    cdef bint told(self) noexcept nogil

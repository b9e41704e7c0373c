"""Conflation table: what becomes of book updates while a ring has no room.

Owns: per symbol the newest pending state of its book, and the order in which symbols wait. One producer's thread owns
the whole table. Does not own: the ring, nor the book; it knows what a depth message is, not what the book looks like.

A message (FLAG_FIRST .. FLAG_LAST, one symbol) is merged whole or not at all. Levels are absolute, so the newest
quantity of a price stands for all before it; the merged message spans the ids from the first pending to the last, so
the receiver's sequence check still sees every number. A message that does not follow the pending one is a loss on the
wire and must be seen as one: the older part is dropped and counted, so the gap shows. An older message than the
pending state is stale, counted and ignored, as the book would. A snapshot replaces the depth that waits.
A clear that is no snapshot ends what is known of the book, so it takes everything pending with it, its quote too, and
comes out as itself, ahead of what follows: merged into the next image it would be forgotten, and updates after it
would pass for an image. Updates that follow it without an image are dropped and counted with the gaps, as the book
would pass them over.
Once a symbol waits, its later messages wait behind it, so nothing overtakes within a symbol's book. Trades and other
classes do overtake; their own order is untouched.

Invariants: a symbol is on the waiting list exactly if it holds something; level_count <= levels_max <= half of the
index; clear, depth and quote are flushed in a claim each, whole. Cost: some 10 ns a level, on a path that runs only when behind.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.ring cimport ring_t
from engine._core.types cimport event_t


cdef struct conflate_symbol_t:    # two lines, followed by clear, quote, levels and index of this symbol
    uint32_t next                 # waiting list
    uint32_t waiting
    uint32_t level_count
    uint32_t cleared              # the pending depth replaces the book: an image
    uint32_t has_depth
    uint32_t has_quote
    uint32_t depth_messages       # merged into the pending state
    uint32_t quote_messages
    int64_t id_first
    int64_t id_last
    int64_t id_prev
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    uint64_t flags                # FLAG_NO_VENUE_TIME of the newest message
    uint64_t conflated_count      # messages that lost their identity: merged into another, or replaced by it
    uint64_t delayed_count        # messages that went through the table
    uint64_t gap_count            # messages dropped because what followed them did not follow on
    uint64_t stale_count
    uint64_t flushed_count        # messages that came out
    uint32_t fresh_image          # 1: an image, and no change on top of it yet
    uint32_t clear_messages       # that end what is known, waiting as one; 0: none


cdef struct conflate_t:
    uint32_t symbol_count
    uint32_t levels_max
    uint32_t index_size           # power of two, at least twice levels_max
    uint32_t waiting_count
    uint32_t first                # waiting list, oldest first
    uint32_t last
    uint64_t stride               # bytes per symbol
    uint64_t refused_count        # messages with no room here either: their source waits
    uint64_t reserved[3]


cdef size_t conflate_bytes(uint32_t symbol_count, uint32_t levels_max) noexcept nogil
cdef int conflate_init(conflate_t* c, uint32_t symbol_count, uint32_t levels_max) noexcept nogil

# Merge one whole book message. RING_BAD_MESSAGE or RING_WAIT (no room for its levels): nothing was changed.
cdef int conflate_put(conflate_t* c, const event_t* events, uint32_t n) noexcept nogil

# Move waiting symbols into the ring, oldest first, until all are out (OK) or one does not fit (RING_FULL).
cdef int conflate_flush(conflate_t* c, ring_t* r) noexcept nogil

# The producer's one door: flush what waits, then publish the message, or do what its class's policy says.
# OK: published or merged. RING_WAIT: keep it and stop reading. RING_FULL: dropped and counted.
cdef int conflate_offer(conflate_t* c, ring_t* r, const event_t* events, uint32_t n) noexcept nogil


cdef class Conflation:
    cdef conflate_t* c

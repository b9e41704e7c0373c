"""Ring of 64-byte events between threads: one or many producers, several consumers, nothing allocated, no lock.

Owns: the slots, the numbers (`seq`), who may write and who may read. Does not own: what an event means, the table of
conflated book updates (conflate.pxd), the eventfds (made and closed by the Python face or by wiring).

Events are numbered from 0 without a gap; number n lives in slot n & mask. Invariants:
    cursor of a consumer <= cursor of every consumer it is behind <= published <= least cursor + capacity.
One block: config line, producer's line, published line, wake line, two lines of counts, one line per consumer,
stamps (many producers only), slots. Nothing holds a pointer.

One producer: `published` is the only word that makes events visible. Claim, write, publish; one claim at a time;
publishing fewer than claimed gives the rest back. Many producers: a claim moves `next` by compare-and-swap and each
slot has a stamp (its round) that is released when the slot is written, so a slow producer hides its own slot and
those after it, and never exposes an unwritten one. Many producers publish exactly what they claimed.

Closing: with many producers any thread may close, as the closed bit lives in the word that claims go through. With
one, its producer closes (or anyone once it has stopped). Consumers read what is left, then see RING_CLOSED.

Cost: 3 to 6 ns for claim + publish + peek + release in one thread, about 1 ns an event in batches of 64.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from engine._core.atomics cimport (
    fence_compiler,
    load_acquire,
    load_relaxed,
    load_relaxed_u32,
    store_relaxed,
    store_release,
    store_release_u32,
)
from engine._core.debug cimport debug_assert, likely, unlikely
from engine._core.types cimport RING_CLOSED, RING_FULL, event_t


cpdef enum ring_class_t:          # who may be dropped: overflow policy and counts are kept per class
    RING_CLASS_BOOK = 0           # levels, quotes, clears
    RING_CLASS_MARKET = 1         # bars, mark prices, liquidations
    RING_CLASS_TRADE = 2
    RING_CLASS_ORDER = 3
    RING_CLASS_TIMER = 4
    RING_CLASS_CONTROL = 5        # and every kind this list does not know
    RING_CLASS_INTENT = 6
    RING_CLASS_REPORT = 7


cpdef enum ring_policy_t:
    RING_POLICY_WAIT = 0          # RING_WAIT: the source stops reading its socket
    RING_POLICY_REFUSE = 1        # RING_FULL: the caller drops it, the ring counts it
    RING_POLICY_CONFLATE = 2      # RING_CONFLATE: the caller hands the message to its conflation table


cpdef enum ring_wait_t:
    RING_WAIT_SPIN = 0
    RING_WAIT_YIELD = 1
    RING_WAIT_PARK = 2


cdef enum:
    RING_CONSUMERS_MAX = 8
    RING_CLASSES = 8
    RING_PRODUCER = 8             # as a number where a consumer's is asked for: the producer waiting for room


cdef struct ring_consumer_t:      # one line, written by its consumer alone
    uint64_t cursor               # next number it will read; the release store that frees slots
    uint64_t seen                 # stale copy: all below is visible to this consumer
    uint32_t behind               # mask of the consumers that must have read an event first; 0: published is enough
    uint32_t leads                # 1 when another consumer is behind this one
    int32_t fd                    # eventfd to park on, -1 without
    uint32_t reserved32
    uint64_t parked_count
    uint64_t lost_count           # parks that timed out although events were there: a broken wake-up, must stay 0
    uint64_t reserved[2]


cdef struct ring_t:
    # Line 0: set at start, then only read.
    uint64_t capacity
    uint64_t mask
    uint64_t stamps_at            # offsets from the start of the block
    uint64_t slots_at
    uint32_t shift                # log2 of the capacity: number >> shift is the round
    uint32_t many                 # 1: several producers
    uint32_t consumer_count
    uint32_t gate_mask            # the consumers that nobody is behind: the producer waits for these
    uint8_t policy[8]
    int32_t room_fd               # eventfd of a producer that waits for room, -1 without
    uint32_t wake_base            # RING_WAKE_FENCE where the kernel has no membarrier, else 0
    # Line 1: the producers'. Apart from `published`, which consumers poll: writing here must not disturb them.
    uint64_t next                 # next number to claim; bit 63 (many only): closed
    uint64_t gate_cache           # stale copy of the least consumer cursor
    uint64_t reserved1[6]
    # Line 2: one producer only.
    uint64_t published            # all below is written
    uint64_t reserved2[7]
    # Line 3: wake words, all but always zero and unshared: the check after a publish stays in the first-level cache.
    uint32_t parked               # mask of consumers asleep until something is published
    uint32_t closed
    uint32_t parked_behind[8]     # per consumer: mask of consumers asleep until it moves on
    uint32_t room_wanted          # the producer sleeps until a consumer moves on
    uint32_t reserved3[5]
    # Lines 4 and 5: touched only when the ring is full.
    uint64_t refused_count[8]
    uint64_t waited_count[8]
    # ring_consumer_t consumers[consumer_count], uint32_t stamps[capacity] if many, event_t slots[capacity] follow.


cdef enum:
    RING_WAKE_FENCE = 0x80000000

cdef extern from *:
    """
    #define BOT4_RING_CLOSED_BIT ((uint64_t)1 << 63)
    """
    const uint64_t RING_CLOSED_BIT "BOT4_RING_CLOSED_BIT"


cdef size_t ring_bytes(uint64_t capacity, bint many, uint32_t consumer_count) noexcept nogil
cdef int ring_init(ring_t* r, uint64_t capacity, bint many, uint32_t consumer_count, const uint32_t* behind,
                   const uint8_t* policy) noexcept nogil
cdef void ring_close(ring_t* r) noexcept nogil
cdef uint64_t ring_gate(ring_t* r) noexcept nogil
cdef int ring_claim_slow(ring_t* r, uint64_t n, uint64_t* seq) noexcept nogil
cdef int ring_refuse(ring_t* r, uint32_t event_class, int status) noexcept nogil
cdef uint64_t ring_refresh(ring_t* r, ring_consumer_t* c) noexcept nogil
cdef void ring_wake(ring_t* r, uint32_t* word) noexcept nogil
cdef void ring_publish_many(ring_t* r, uint64_t seq, uint64_t n) noexcept nogil
cdef int ring_empty_status(ring_t* r, uint32_t consumer) noexcept nogil
cdef int ring_wait(ring_t* r, uint32_t consumer, int mode, uint32_t spins, int timeout_ms) noexcept nogil
cdef int ring_wait_room(ring_t* r, uint64_t n, int mode, uint32_t spins, int timeout_ms) noexcept nogil
cdef uint32_t ring_class(uint8_t kind) noexcept nogil


cdef inline ring_consumer_t* ring_consumer(ring_t* r, uint32_t consumer) noexcept nogil:
    debug_assert(consumer < r.consumer_count)
    return <ring_consumer_t*>(r + 1) + consumer


cdef inline event_t* ring_slot(ring_t* r, uint64_t seq) noexcept nogil:
    return <event_t*>(<char*>r + r.slots_at) + (seq & r.mask)


cdef inline uint32_t* ring_stamp(ring_t* r, uint64_t seq) noexcept nogil:
    return <uint32_t*>(<char*>r + r.stamps_at) + (seq & r.mask)


cdef inline int ring_try_claim(ring_t* r, uint64_t n, uint64_t* seq) noexcept nogil:
    """Room for n events, from number `seq` on; RING_FULL without it. Counts nothing: `ring_claim` does."""
    cdef uint64_t at
    debug_assert(n > 0)
    if likely(not r.many):
        # Plain on purpose: with one producer nobody else touches line 1.
        at = r.next
        if likely(at + n - r.gate_cache <= r.capacity and not load_relaxed_u32(&r.closed)):
            seq[0] = at
            return 0
    return ring_claim_slow(r, n, seq)


cdef inline int ring_claim(ring_t* r, uint64_t n, uint32_t event_class, uint64_t* seq) noexcept nogil:
    """Room for n events of one class, all or nothing. Without room: what the class's policy says, counted."""
    cdef int status = ring_try_claim(r, n, seq)
    if likely(status == 0):
        return 0
    return ring_refuse(r, event_class, status)


cdef inline void ring_publish(ring_t* r, uint64_t seq, uint64_t n) noexcept nogil:
    """Make the n events from `seq` on visible, numbered. One producer: n may be less than was claimed."""
    cdef uint64_t i
    if r.many:
        ring_publish_many(r, seq, n)
        return
    debug_assert(seq == r.next and seq + n - r.gate_cache <= r.capacity)
    for i in range(n):
        ring_slot(r, seq + i).seq = <uint32_t>(seq + i)
    r.next = seq + n
    # Publish last: every slot must be visible before `published` moves. Pairs with the acquire in `ring_peek`.
    store_release(&r.published, seq + n)
    # Store, then load: the processor may swap these two, and a consumer about to park would be missed. We pay nothing
    # for that here, because the one who parks makes every processor of this process pass a full barrier
    # (`ring_heavy_fence`). Only the compiler has to be held.
    fence_compiler()
    if unlikely(load_relaxed_u32(&r.parked)):
        ring_wake(r, &r.parked)


cdef inline uint64_t ring_peek(ring_t* r, uint32_t consumer) noexcept nogil:
    """How many events wait for this consumer, from its cursor on. At least one if there is any; the stale copy may
    know of fewer than there are. 0: ask `ring_empty_status` whether that is for ever."""
    cdef ring_consumer_t* c = ring_consumer(r, consumer)
    cdef uint64_t count = c.seen - load_relaxed(&c.cursor)
    if count:
        return count
    if likely(not r.many and not c.behind):
        # Acquire: what the producer wrote into the slots before its release store is visible after this load.
        c.seen = load_acquire(&r.published)
        return c.seen - load_relaxed(&c.cursor)
    return ring_refresh(r, c)


cdef inline uint64_t ring_cursor(ring_t* r, uint32_t consumer) noexcept nogil:
    """The number of the next event this consumer reads. Only its own thread may act on it."""
    return load_relaxed(&ring_consumer(r, consumer).cursor)


cdef inline void ring_release(ring_t* r, uint32_t consumer, uint64_t n) noexcept nogil:
    """Give the n oldest events back; their slots must not be read afterwards."""
    cdef ring_consumer_t* c = ring_consumer(r, consumer)
    debug_assert(n <= c.seen - load_relaxed(&c.cursor))
    # Release: our reads of the slots are done before the producer, who acquires this cursor, writes over them; and
    # a consumer behind us, who acquires it too, sees what the producer published to us.
    store_release(&c.cursor, load_relaxed(&c.cursor) + n)
    fence_compiler()                          # as in `ring_publish`
    if unlikely(load_relaxed_u32(&r.room_wanted)):
        ring_wake(r, &r.room_wanted)
    if c.leads and unlikely(load_relaxed_u32(&r.parked_behind[consumer])):
        ring_wake(r, &r.parked_behind[consumer])


cdef class Ring:
    cdef ring_t* c

    cdef uint32_t _number(self, uint32_t consumer) except? 4294967295

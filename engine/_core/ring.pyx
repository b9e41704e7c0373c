cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.atomics cimport (
    add_relaxed,
    and_acq_rel_u32,
    cas_acq_rel,
    cpu_relax,
    exchange_acq_rel_u32,
    fence_seq_cst,
    load_acquire_u32,
    or_acq_rel,
    or_acq_rel_u32,
)
from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    KIND_AGG_TRADE,
    KIND_BAR_PRICES,
    KIND_BAR_TOTALS,
    KIND_BOOK_CLEAR,
    KIND_BOOK_LEVEL,
    KIND_DECISION,
    KIND_INTENT_CANCEL,
    KIND_INTENT_PLACE,
    KIND_LIQUIDATION,
    KIND_MARK,
    KIND_ORDER_ACK,
    KIND_ORDER_EXPIRED,
    KIND_QUOTE,
    KIND_TIMER,
    KIND_TRADE,
    OK,
    RING_BAD_POLICY,
    RING_BAD_SIZE,
    RING_CONFLATE,
    RING_EMPTY,
    RING_NO_CONSUMER_SLOT,
    RING_WAIT,
    raise_status,
)
from engine._core.types import EVENT

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <poll.h>
    #include <sched.h>
    #include <sys/eventfd.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    /* 8: PRIVATE_EXPEDITED, 16: its registration (linux/membarrier.h, 4.14 and later). */
    static int bot4_membarrier_register(void) {
    #ifdef __NR_membarrier
        return (int)syscall(__NR_membarrier, 16, 0, 0);
    #else
        return -1;
    #endif
    }
    static int bot4_membarrier(void) {
    #ifdef __NR_membarrier
        return (int)syscall(__NR_membarrier, 8, 0, 0);
    #else
        return -1;
    #endif
    }
    static int bot4_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }
    static void bot4_eventfd_post(int fd) {
        uint64_t one = 1;
        ssize_t done;
        /* EAGAIN means that the counter is at its maximum: the sleeper is awake already. */
        do { done = write(fd, &one, sizeof one); } while (done < 0 && errno == EINTR);
    }
    static void bot4_eventfd_take(int fd) {
        uint64_t count;
        ssize_t done;
        do { done = read(fd, &count, sizeof count); } while (done < 0 && errno == EINTR);
    }
    static int bot4_sleep_on(int fd, int timeout_ms) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        return poll(&p, 1, timeout_ms);
    }
    static void bot4_close(int fd) { if (fd >= 0) close(fd); }
    static void bot4_yield(void) { sched_yield(); }
    """
    int membarrier_register "bot4_membarrier_register"() noexcept
    int membarrier_private "bot4_membarrier"() noexcept
    int eventfd_new "bot4_eventfd"() noexcept
    void eventfd_post "bot4_eventfd_post"(int fd) noexcept
    void eventfd_take "bot4_eventfd_take"(int fd) noexcept
    int sleep_on "bot4_sleep_on"(int fd, int timeout_ms) noexcept
    void close_fd "bot4_close"(int fd) noexcept
    void yield_processor "bot4_yield"() noexcept

# The Python faces of the enums.
EventClass = ring_class_t
Policy = ring_policy_t
Wait = ring_wait_t

cdef uint64_t CAPACITY_MAX = <uint64_t>1 << 31
# A consumer scans at most this many stamps in one peek, so that a peek has a bounded cost.
cdef uint64_t SCAN_MAX = 256


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(ring_t) == 384)
    static_assert_c(sizeof(ring_consumer_t) == 64)
    static_assert_c(<size_t>&(<ring_t*>NULL).next == 64)
    static_assert_c(<size_t>&(<ring_t*>NULL).published == 128)
    static_assert_c(<size_t>&(<ring_t*>NULL).parked == 192)
    static_assert_c(<size_t>&(<ring_t*>NULL).refused_count == 256)


cdef size_t _stamp_bytes(uint64_t capacity, bint many) noexcept nogil:
    return <size_t>((capacity * sizeof(uint32_t) + 63) & ~<uint64_t>63) if many else 0


cdef size_t ring_bytes(uint64_t capacity, bint many, uint32_t consumer_count) noexcept nogil:
    return (sizeof(ring_t) + consumer_count * sizeof(ring_consumer_t) + _stamp_bytes(capacity, many)
            + <size_t>capacity * sizeof(event_t))


cdef inline bint _lossless(uint32_t event_class) noexcept nogil:
    return RING_CLASS_TRADE <= event_class <= RING_CLASS_INTENT


cdef uint32_t ring_class(uint8_t kind) noexcept nogil:
    if kind == KIND_BOOK_LEVEL or kind == KIND_QUOTE or kind == KIND_BOOK_CLEAR:
        return RING_CLASS_BOOK
    if kind == KIND_TRADE or kind == KIND_AGG_TRADE:
        return RING_CLASS_TRADE
    if kind == KIND_BAR_PRICES or kind == KIND_BAR_TOTALS or kind == KIND_MARK or kind == KIND_LIQUIDATION:
        return RING_CLASS_MARKET
    if KIND_ORDER_ACK <= kind <= KIND_ORDER_EXPIRED:
        return RING_CLASS_ORDER
    if kind == KIND_TIMER:
        return RING_CLASS_TIMER
    if kind == KIND_INTENT_PLACE or kind == KIND_INTENT_CANCEL:
        return RING_CLASS_INTENT
    if kind == KIND_DECISION:
        return RING_CLASS_REPORT
    return RING_CLASS_CONTROL


cdef int ring_init(ring_t* r, uint64_t capacity, bint many, uint32_t consumer_count, const uint32_t* behind,
                   const uint8_t* policy) noexcept nogil:
    """Make an empty ring in a block of `ring_bytes` bytes that starts on a cache line.

    behind[i] is the mask of consumers that consumer i must stay behind, all of lower number (so no circle can be
    declared). policy has one entry per class.
    """
    cdef uint32_t i
    cdef uint64_t slot
    cdef ring_consumer_t* c
    if capacity < 1 or capacity > CAPACITY_MAX or capacity & (capacity - 1):
        return RING_BAD_SIZE
    if consumer_count < 1 or consumer_count > RING_CONSUMERS_MAX:
        return RING_NO_CONSUMER_SLOT
    for i in range(consumer_count):
        if behind[i] >> i:
            return RING_NO_CONSUMER_SLOT
    for i in range(<uint32_t>RING_CLASSES):
        if policy[i] > RING_POLICY_CONFLATE or (policy[i] == RING_POLICY_CONFLATE and i != RING_CLASS_BOOK):
            return RING_BAD_POLICY
        if _lossless(i) and policy[i] != RING_POLICY_WAIT:
            return RING_BAD_POLICY
    memset(r, 0, ring_bytes(capacity, many, consumer_count))
    r.capacity = capacity
    r.mask = capacity - 1
    r.many = many
    while <uint64_t>1 << r.shift < capacity:
        r.shift += 1
    r.stamps_at = sizeof(ring_t) + consumer_count * sizeof(ring_consumer_t)
    r.slots_at = r.stamps_at + _stamp_bytes(capacity, many)
    r.consumer_count = consumer_count
    r.gate_mask = (<uint32_t>1 << consumer_count) - 1
    r.room_fd = -1
    memcpy(r.policy, policy, RING_CLASSES)
    for i in range(consumer_count):
        c = ring_consumer(r, i)
        c.behind = behind[i]
        c.fd = -1
        # Whoever is behind j is never ahead of it: the producer need not look at j as well.
        r.gate_mask &= ~behind[i]
        for slot in range(i):
            if behind[i] >> slot & 1:
                ring_consumer(r, <uint32_t>slot).leads = 1
    # Without membarrier the publisher must fence for itself. The bit sits in the wake words for ever, so that the
    # common case is still one load of a word that is zero.
    r.wake_base = 0 if membarrier_register() == 0 else RING_WAKE_FENCE
    r.parked = r.room_wanted = r.wake_base
    for i in range(<uint32_t>RING_CONSUMERS_MAX):
        r.parked_behind[i] = r.wake_base
    return OK


cdef uint64_t ring_gate(ring_t* r) noexcept nogil:
    """The least cursor of all consumers that gate the producer."""
    cdef uint64_t least = <uint64_t>-1, cursor
    cdef uint32_t i
    for i in range(r.consumer_count):
        if r.gate_mask >> i & 1:
            # Acquire: pairs with the release in `ring_release`; the reads of the slot happened before our writes.
            cursor = load_acquire(&ring_consumer(r, i).cursor)
            if cursor < least:
                least = cursor
    return least


cdef int ring_claim_slow(ring_t* r, uint64_t n, uint64_t* seq) noexcept nogil:
    cdef uint64_t at, gate
    if n > r.capacity:
        return RING_BAD_SIZE
    if not r.many:
        if load_acquire_u32(&r.closed):
            return RING_CLOSED
        r.gate_cache = ring_gate(r)
        if r.next + n - r.gate_cache > r.capacity:
            return RING_FULL
        seq[0] = r.next
        return OK
    # Relaxed: the compare-and-swap below confirms the value, and it carries no data.
    at = load_relaxed(&r.next)
    while True:
        if at & RING_CLOSED_BIT:
            return RING_CLOSED
        # Acquire on the shared copy, release where it is stored: the consumer's reads happened before the store, so
        # they happened before our writes although we never looked at the cursor ourselves. An older value may
        # overwrite a newer one; it is smaller, so it only costs a look.
        gate = load_acquire(&r.gate_cache)
        # Signed: `at` may be stale and then lie below the gate.
        if <int64_t>(at + n - gate) > <int64_t>r.capacity:
            gate = ring_gate(r)
            store_release(&r.gate_cache, gate)
            if <int64_t>(at + n - gate) > <int64_t>r.capacity:
                return RING_FULL
        if cas_acq_rel(&r.next, &at, at + n):
            seq[0] = at
            return OK


cdef int ring_refuse(ring_t* r, uint32_t event_class, int status) noexcept nogil:
    """Turn RING_FULL into what the class's policy says, and count it."""
    debug_assert(event_class < RING_CLASSES)
    if status != RING_FULL:
        return status
    if r.policy[event_class] == RING_POLICY_REFUSE:
        add_relaxed(&r.refused_count[event_class], 1)
        return RING_FULL
    add_relaxed(&r.waited_count[event_class], 1)
    return RING_CONFLATE if r.policy[event_class] == RING_POLICY_CONFLATE else RING_WAIT


cdef void ring_publish_many(ring_t* r, uint64_t seq, uint64_t n) noexcept nogil:
    cdef uint64_t i
    for i in range(n):
        ring_slot(r, seq + i).seq = <uint32_t>(seq + i)
        # Release, one per slot: the slot is written before its stamp says so. A stamp is the round plus one, so a
        # zeroed ring has published nothing, and the stamp of the round before never equals it.
        store_release_u32(ring_stamp(r, seq + i), <uint32_t>((seq + i) >> r.shift) + 1)
    fence_compiler()                          # as in `ring_publish`
    if unlikely(load_relaxed_u32(&r.parked)):
        ring_wake(r, &r.parked)


cdef uint64_t ring_refresh(ring_t* r, ring_consumer_t* c) noexcept nogil:
    """Look again: at the consumers ahead of this one, or at the stamps."""
    cdef uint64_t limit, cursor = load_relaxed(&c.cursor), ahead
    cdef uint32_t i
    if c.behind:
        limit = <uint64_t>-1
        for i in range(r.consumer_count):
            if c.behind >> i & 1:
                # Acquire: the one ahead acquired the producer's release before it released this cursor, so the
                # slots are visible to us too; and its own reads and writes of them are done.
                ahead = load_acquire(&ring_consumer(r, i).cursor)
                if ahead < limit:
                    limit = ahead
        c.seen = limit
    elif not r.many:
        c.seen = load_acquire(&r.published)
    else:
        # Ends by itself at cursor + capacity: that slot still has the stamp of an older round, as nobody may claim
        # it before we release.
        limit = cursor
        while (limit - cursor < SCAN_MAX
               and load_acquire_u32(ring_stamp(r, limit)) == <uint32_t>(limit >> r.shift) + 1):
            limit += 1
        c.seen = limit
    return c.seen - cursor


cdef int ring_empty_status(ring_t* r, uint32_t consumer) noexcept nogil:
    """RING_CLOSED when this consumer has read everything there will ever be, OK when there is something, else
    RING_EMPTY."""
    cdef uint64_t last
    if ring_peek(r, consumer):
        return OK
    # Acquire: pairs with the release in `ring_close`. Everything claimed before closing is in `next` by now, and
    # nothing can be claimed after it, so `last` is final.
    if not load_acquire_u32(&r.closed):
        return RING_EMPTY
    last = load_acquire(&r.next) & ~RING_CLOSED_BIT if r.many else load_acquire(&r.published)
    return RING_CLOSED if ring_cursor(r, consumer) == last else RING_EMPTY


cdef void ring_close(ring_t* r) noexcept nogil:
    """Refuse every later claim. Twice is fine. What was claimed before may and must still be published."""
    cdef uint32_t i
    if r.many:
        or_acq_rel(&r.next, RING_CLOSED_BIT)
    # Release: whatever the closer published, and the closed bit, are visible to whoever sees this word.
    store_release_u32(&r.closed, 1)
    fence_seq_cst()
    ring_wake(r, &r.parked)
    ring_wake(r, &r.room_wanted)
    for i in range(r.consumer_count):
        ring_wake(r, &r.parked_behind[i])


# ------------------------------------------------------------------------------------------------ parking and waking
# Lost wake-ups. The waker stores its cursor (C) and loads the wake word (W); the sleeper stores W and loads C. If both
# loads may run before both stores, the waker sees nobody asleep and the sleeper sees no news: it sleeps for ever.
# One full barrier on each side forbids it. The waker is the hot side, so its barrier is done for it: the sleeper
# calls membarrier, which makes every running thread of this process pass a full barrier between the sleeper's store
# and load (a thread that does not run passes one when it is switched in). If C was stored before that point, the
# sleeper's load sees it; if after, the waker's load of W, later in program order, sees the bit.
# tests/unit/test_ring_wake.py walks every interleaving of this with store buffers, with and without the barrier.

cdef void ring_heavy_fence(ring_t* r) noexcept nogil:
    # The fence of our own comes with it in both cases: membarrier is a full barrier for its caller as well.
    if r.wake_base or membarrier_private() != 0:
        fence_seq_cst()


cdef void ring_wake(ring_t* r, uint32_t* word) noexcept nogil:
    """Wake all whose bit stands in the word. Spurious wakes are allowed: sleepers look again."""
    cdef uint32_t asleep = load_relaxed_u32(word), i
    if asleep & RING_WAKE_FENCE:
        # No membarrier on this machine: the barrier between our store and this load is ours to pay.
        fence_seq_cst()
        asleep = load_relaxed_u32(word)
    if not asleep & ~<uint32_t>RING_WAKE_FENCE:
        return
    # Exchange: of two wakers only one posts. Acquire and release, so that the sleeper's bit and the post stay in order.
    asleep = exchange_acq_rel_u32(word, r.wake_base)
    for i in range(r.consumer_count):
        if asleep >> i & 1:
            eventfd_post(ring_consumer(r, i).fd)
    if asleep >> RING_PRODUCER & 1:
        eventfd_post(r.room_fd)


cdef void _set_bit(ring_t* r, ring_consumer_t* c, uint32_t bit) noexcept nogil:
    cdef uint32_t i
    if not c.behind:
        or_acq_rel_u32(&r.parked, bit)
        return
    for i in range(r.consumer_count):
        if c.behind >> i & 1:
            or_acq_rel_u32(&r.parked_behind[i], bit)


cdef void _clear_bit(ring_t* r, ring_consumer_t* c, uint32_t bit) noexcept nogil:
    cdef uint32_t i
    if not c.behind:
        and_acq_rel_u32(&r.parked, ~bit)
        return
    for i in range(r.consumer_count):
        if c.behind >> i & 1:
            and_acq_rel_u32(&r.parked_behind[i], ~bit)


cdef int ring_wait(ring_t* r, uint32_t consumer, int mode, uint32_t spins, int timeout_ms) noexcept nogil:
    """Wait until this consumer has something to read: OK. RING_CLOSED at the end, RING_EMPTY when time is up.

    Looks `spins` times (telling the core that it spins, or yielding it); RING_WAIT_PARK then sleeps on the eventfd
    for up to `timeout_ms` (-1: for ever).
    """
    cdef ring_consumer_t* c = ring_consumer(r, consumer)
    cdef uint32_t i, bit = <uint32_t>1 << consumer
    cdef int status, woken
    for i in range(spins):
        if ring_peek(r, consumer):
            return OK
        if load_relaxed_u32(&r.closed):
            break
        if mode == RING_WAIT_YIELD:
            yield_processor()
        else:
            cpu_relax()
    status = ring_empty_status(r, consumer)
    if status != RING_EMPTY or mode != RING_WAIT_PARK or c.fd < 0:
        return status
    while True:
        _set_bit(r, c, bit)
        ring_heavy_fence(r)
        status = ring_empty_status(r, consumer)
        if status != RING_EMPTY:
            _clear_bit(r, c, bit)
            return status
        c.parked_count += 1
        woken = sleep_on(c.fd, timeout_ms)
        # A post may be left over from a wake that we did not need; then this round is one look too many.
        eventfd_take(c.fd)
        status = ring_empty_status(r, consumer)
        if status != RING_EMPTY or woken == 0:
            if woken == 0 and status == OK and load_relaxed_u32(&r.parked if not c.behind else
                                                                &r.parked_behind[_first(c.behind)]) & bit:
                c.lost_count += 1
            _clear_bit(r, c, bit)
            return status


cdef uint32_t _first(uint32_t mask) noexcept nogil:
    cdef uint32_t i = 0
    while not mask >> i & 1:
        i += 1
    return i


cdef int ring_wait_room(ring_t* r, uint64_t n, int mode, uint32_t spins, int timeout_ms) noexcept nogil:
    """Wait until n events may fit: OK; RING_CLOSED; RING_FULL when time is up. With many producers a claim may still
    fail afterwards, and only one of them may park here."""
    cdef uint32_t i = 0
    cdef int woken = 1
    while True:
        # Acquire, as the caller writes into the slots on the strength of it (its claim looks again all the same).
        if load_acquire_u32(&r.closed):
            return RING_CLOSED
        if <int64_t>((load_relaxed(&r.next) & ~RING_CLOSED_BIT) + n - ring_gate(r)) <= <int64_t>r.capacity:
            return OK
        if i >= spins:
            break
        i += 1
        if mode == RING_WAIT_YIELD:
            yield_processor()
        else:
            cpu_relax()
    if mode != RING_WAIT_PARK or r.room_fd < 0:
        return RING_FULL
    while True:
        or_acq_rel_u32(&r.room_wanted, <uint32_t>1 << RING_PRODUCER)
        ring_heavy_fence(r)
        if load_acquire_u32(&r.closed):
            return RING_CLOSED
        if <int64_t>((load_relaxed(&r.next) & ~RING_CLOSED_BIT) + n - ring_gate(r)) <= <int64_t>r.capacity:
            and_acq_rel_u32(&r.room_wanted, ~(<uint32_t>1 << RING_PRODUCER))
            return OK
        if woken == 0:
            and_acq_rel_u32(&r.room_wanted, ~(<uint32_t>1 << RING_PRODUCER))
            return RING_FULL
        woken = sleep_on(r.room_fd, timeout_ms)
        eventfd_take(r.room_fd)


# ---------------------------------------------------------------------------------------------------- the Python face
@cython.final
cdef class Ring:
    """A ring in a block of its own, for tests, research and wiring. Events are numpy records of dtype EVENT."""

    def __cinit__(self, uint64_t capacity, *, bint many=False, behind=(0,), policy=None):
        cdef uint32_t masks[RING_CONSUMERS_MAX]
        cdef uint8_t policies[RING_CLASSES]
        cdef uint32_t i
        cdef int status
        if not 1 <= len(behind) <= RING_CONSUMERS_MAX:
            raise_status(RING_NO_CONSUMER_SLOT, f"{len(behind)} consumers; 1 to {RING_CONSUMERS_MAX}")
        if not 1 <= capacity <= CAPACITY_MAX:
            raise_status(RING_BAD_SIZE, f"capacity {capacity}; a power of two up to {CAPACITY_MAX}")
        for i in range(<uint32_t>len(behind)):
            masks[i] = behind[i]
        memset(policies, RING_POLICY_WAIT, RING_CLASSES)
        for key, value in (policy or {}).items():
            if not 0 <= key < RING_CLASSES or not 0 <= value <= RING_POLICY_CONFLATE:
                raise_status(RING_BAD_POLICY, f"class {key}, policy {value}")
            policies[<uint32_t>key] = value
        self.c = <ring_t*>block_new(ring_bytes(capacity, many, <uint32_t>len(behind)))
        status = ring_init(self.c, capacity, many, <uint32_t>len(behind), masks, policies)
        if status != OK:
            raise_status(status, f"capacity={capacity}, behind={behind}, policy={policy}")
        for i in range(self.c.consumer_count):
            ring_consumer(self.c, i).fd = eventfd_new()
        self.c.room_fd = eventfd_new()

    def __dealloc__(self):
        cdef uint32_t i
        if self.c != NULL:
            # A block whose init was refused is still all zero: it has no consumer and no descriptor.
            for i in range(self.c.consumer_count):
                close_fd(ring_consumer(self.c, i).fd)
            if self.c.consumer_count:
                close_fd(self.c.room_fd)
        block_free(self.c)

    cdef uint32_t _number(self, uint32_t consumer) except? 4294967295:
        if consumer >= self.c.consumer_count:
            raise_status(RING_NO_CONSUMER_SLOT, f"consumer {consumer} of {self.c.consumer_count}")
        return consumer

    def publish(self, events):
        """Publish all events or none. The status: OK, RING_FULL, RING_WAIT, RING_CONFLATE or RING_CLOSED."""
        cdef const event_t[::1] view = np.ascontiguousarray(np.atleast_1d(events), dtype=EVENT)
        cdef uint64_t seq = 0, i, n = <uint64_t>view.shape[0]
        cdef int status
        if n == 0 or n > self.c.capacity:
            raise_status(RING_BAD_SIZE, f"{n} events into {self.c.capacity} slots")
        status = ring_claim(self.c, n, ring_class(view[0].kind), &seq)
        if status == OK:
            for i in range(n):
                memcpy(ring_slot(self.c, seq + i), &view[<Py_ssize_t>i], sizeof(event_t))
            ring_publish(self.c, seq, n)
        return status

    def poll(self, uint32_t consumer=0, uint64_t most=<uint64_t>-1):
        """Up to `most` events for one consumer, released at once. Empty when there are none; RingClosed at the end."""
        cdef uint64_t n, i, at
        cdef event_t[::1] view
        self._number(consumer)
        n = ring_peek(self.c, consumer)
        if n == 0 and ring_empty_status(self.c, consumer) == RING_CLOSED:
            raise_status(RING_CLOSED)
        n = min(n, most)
        out = np.zeros(n, dtype=EVENT)
        if n:
            view = out
            at = ring_cursor(self.c, consumer)
            for i in range(n):
                memcpy(&view[<Py_ssize_t>i], ring_slot(self.c, at + i), sizeof(event_t))
            ring_release(self.c, consumer, n)
        return out

    def wait(self, uint32_t consumer=0, *, int mode=RING_WAIT_PARK, uint32_t spins=100, int timeout_ms=-1):
        """OK, RING_EMPTY (time is up) or RING_CLOSED."""
        self._number(consumer)
        with nogil:
            mode = ring_wait(self.c, consumer, mode, spins, timeout_ms)
        return mode

    def wait_room(self, uint64_t n=1, *, int mode=RING_WAIT_PARK, uint32_t spins=100, int timeout_ms=-1):
        """OK, RING_FULL (time is up) or RING_CLOSED."""
        if not 1 <= n <= self.c.capacity:
            raise_status(RING_BAD_SIZE, f"room for {n} in {self.c.capacity} slots")
        with nogil:
            mode = ring_wait_room(self.c, n, mode, spins, timeout_ms)
        return mode

    def close(self):
        ring_close(self.c)

    def use_fences(self):
        """Behave as on a machine without membarrier: every publish fences. Before the first use only."""
        cdef uint32_t i
        self.c.wake_base = self.c.parked = self.c.room_wanted = RING_WAKE_FENCE
        for i in range(<uint32_t>RING_CONSUMERS_MAX):
            self.c.parked_behind[i] = RING_WAKE_FENCE

    @property
    def closed(self):
        return bool(load_relaxed_u32(&self.c.closed))

    @property
    def capacity(self):
        return self.c.capacity

    @property
    def consumer_count(self):
        return self.c.consumer_count

    @property
    def next(self):
        """The number the next claim gets."""
        # One producer keeps `next` to itself; what others may read is `published`.
        return load_acquire(&self.c.next) & ~RING_CLOSED_BIT if self.c.many else load_acquire(&self.c.published)

    def cursor(self, uint32_t consumer=0):
        return load_acquire(&ring_consumer(self.c, self._number(consumer)).cursor)

    def room_fd(self):
        """The descriptor that becomes readable when a producer that parked may have room."""
        return self.c.room_fd

    def refused(self):
        """Claims refused per class: what a class with RING_POLICY_REFUSE lost."""
        return [load_relaxed(&self.c.refused_count[i]) for i in range(RING_CLASSES)]

    def waited(self):
        """Claims that had to wait or to be conflated, per class."""
        return [load_relaxed(&self.c.waited_count[i]) for i in range(RING_CLASSES)]

    def parks(self, uint32_t consumer=0):
        """How often this consumer slept, and how often it slept on although there was something."""
        cdef ring_consumer_t* c = ring_consumer(self.c, self._number(consumer))
        return c.parked_count, c.lost_count

    def check(self):
        """Walk the invariants, while no other thread uses the ring."""
        cdef ring_t* r = self.c
        cdef uint32_t i, j
        cdef uint64_t number, least = ring_gate(r), end = self.next
        assert <size_t>r % 64 == 0 and r.slots_at % 64 == 0, "slots are not on cache lines"
        assert end - least <= r.capacity, "the producer overran a consumer"
        assert r.many or r.published == end, "one producer: the claim was not published"
        for i in range(r.consumer_count):
            assert ring_consumer(r, i).cursor >= least, "a consumer is behind the gate"
            assert ring_consumer(r, i).cursor <= ring_consumer(r, i).seen <= end, "a consumer read what is not there"
            for j in range(i):
                if ring_consumer(r, i).behind >> j & 1:
                    assert ring_consumer(r, i).cursor <= ring_consumer(r, j).cursor, "a consumer overtook its leader"
        for number in range(least, end):
            assert ring_slot(r, number).seq == <uint32_t>number, "a slot holds another number"
            if r.many:
                assert ring_stamp(r, number)[0] == <uint32_t>(number >> r.shift) + 1, "a slot has another stamp"

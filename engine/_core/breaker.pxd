"""Circuit breakers: one table of components, their dependencies and the state derived from them, in one block.

Owns: who may call which component now, the window of outcomes that decides it, the counts, and the record of every
change. Does not own: the calls, the time (an argument everywhere), the reaction of the engine.

Everything that decides stands in one 64-bit word per component, changed by compare-and-swap alone, so no thread
ever sees half a transition:

    bits 0..1    state
    bits 2..21   epoch: counts the transitions; with the state it is the permit that an outcome must bring back
    bits 22..63  closed:    the last outcomes, one bit each (1 = failure), below a marker bit that shows how many
                 open:      the tick from which a trial is allowed
                 half-open: trials granted (4), succeeded (4), the tick it began (34)

A window of outcomes, not of time buckets: it fits into the word, so recording an outcome, judging the window and
tripping are one swap; it is exact, where buckets forget in jumps; and a component called once an hour is judged by
its last calls and not by an empty minute. A success on a full window without failures changes nothing and therefore
writes nothing: the healthy path loads the word and counts.

The second word that matters is `open_mask`, one bit per open component. The cascade (a component is denied while one
it depends on is open) and the global state are functions of it, computed when asked: they cannot disagree with it.
It follows a component's word within the same call, so another thread may see it a few nanoseconds later.

Ticks are 2**20 ns (1.05 ms). A cooldown is rounded up to ticks and ends at most one tick late, never early.
Relocatable: rows and event slots follow the header, nothing holds a pointer. Lock-free; no allocation after init.
Cost of allow + success on the healthy path: three loads and one counter increment; 2 to 3 ns.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.atomics cimport add_relaxed, load_acquire
from engine._core.clock cimport Clock
from engine._core.debug cimport likely, unlikely
from engine._core.types cimport BREAKER_UNKNOWN_COMPONENT, OK, event_t


cpdef enum breaker_state_t:
    BREAKER_CLOSED = 0
    BREAKER_IS_OPEN = 1
    BREAKER_HALF_OPEN = 2


# The four transitions come first: `transitions[change]` counts them.
cpdef enum breaker_change_t:
    CHANGE_CLOSED_TO_OPEN = 0
    CHANGE_OPEN_TO_HALF_OPEN = 1
    CHANGE_HALF_OPEN_TO_CLOSED = 2
    CHANGE_HALF_OPEN_TO_OPEN = 3
    CHANGE_DENIED_BY_DEPENDENCY = 4
    CHANGE_FREED_BY_DEPENDENCY = 5
    CHANGE_GLOBAL_OPENED = 6
    CHANGE_GLOBAL_CLOSED = 7
    CHANGE_COOLDOWN_EXTENDED = 8


cpdef enum breaker_reason_t:
    REASON_ERROR_RATE = 1
    REASON_FAILURES_IN_A_ROW = 2
    REASON_TRIAL_FAILED = 3
    REASON_TRIAL_LOST = 4         # every trial was granted and none reported within one cooldown
    REASON_TRIALS_SUCCEEDED = 5
    REASON_COOLDOWN_OVER = 6
    REASON_BY_HAND = 7
    REASON_DEPENDENCY = 8
    REASON_SHARE_OPEN = 9
    REASON_CRITICAL_OPEN = 10
    REASON_RECOVERED = 11


cdef struct breaker_config_t:
    int64_t cooldown_ns
    uint32_t error_rate_bp        # 1 to 10,000; 0 = this rule is off
    uint32_t window               # outcomes kept, 1 to 40
    uint32_t minimum_calls        # before the rate may trip; up to the window
    uint32_t failures_in_a_row    # 0 = this rule is off; up to the window
    uint32_t tokens               # trials while half-open, 1 to 15
    uint32_t successes_to_close   # 1 to tokens
    uint32_t critical


cdef struct breaker_t:            # two cache lines
    uint64_t word
    uint64_t depends_mask         # everything below, direct or not
    uint64_t dependents_mask      # everything above, direct or not
    uint32_t cooldown_ticks
    uint16_t error_rate_bp
    uint8_t window
    uint8_t minimum_calls
    uint8_t failures_in_a_row
    uint8_t tokens
    uint8_t successes_to_close
    uint8_t reserved
    uint32_t resets_refused
    uint64_t success_count
    uint64_t failure_count
    uint64_t stale_count          # outcomes whose permit is of another epoch
    # The second line: written only when something is wrong.
    uint64_t denied_open
    uint64_t denied_half_open
    uint64_t denied_dependency
    uint64_t denied_global
    uint32_t transitions[4]
    uint32_t released_count
    uint32_t trips_by_hand
    uint32_t resets_honoured
    uint32_t resets_needless      # asked while it was not open


cdef struct breaker_table_t:
    # Line 0 is read by every call and written only when a component opens or leaves open.
    uint64_t open_mask
    uint64_t critical_mask
    uint32_t count
    uint32_t count_max
    uint32_t open_limit           # so many open components open the whole
    uint32_t open_share_bp
    uint32_t event_capacity       # power of two
    uint32_t reserved
    uint64_t reserved_line[3]
    # Line 1 belongs to whoever records a change, line 2 to the owner who drains.
    uint64_t event_head
    uint64_t events_lost
    uint64_t reserved_head[6]
    uint64_t event_tail
    uint64_t reserved_tail[7]
    # breaker_t rows[count_max], then event_t slots[event_capacity].


cdef struct breaker_event_t:      # a view of event_t; `symbol` is the component
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns           # unused, zero
    int64_t ts_recv_ns
    int64_t change                # breaker_change_t
    int64_t reason                # breaker_reason_t
    int64_t epoch                 # of the component after the change: orders its changes among threads
    int64_t open_mask             # as it stood when the change was recorded
    int64_t detail                # failures seen (trip), cause component (cascade), open components (global)


cdef enum:
    STATE_MASK = 3
    EPOCH_SHIFT = 2
    PAYLOAD_SHIFT = 22
    WINDOW_MAX = 40
    TOKENS_MAX = 15
    COMPONENTS_MAX = 64
    TICK_SHIFT = 20

cdef extern from *:
    """
    #define BOT4_PERMIT_MASK 0x3fffffULL
    """
    const uint64_t PERMIT_MASK "BOT4_PERMIT_MASK"

cdef extern from *:
    """
    /* By halves: the baseline instruction set has no population count, and its library call costs 2 ns more. */
    static inline uint32_t bot4_popcount(uint64_t v) {
        v = v - ((v >> 1) & 0x5555555555555555ULL);
        v = (v & 0x3333333333333333ULL) + ((v >> 2) & 0x3333333333333333ULL);
        v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
        return (uint32_t)((v * 0x0101010101010101ULL) >> 56);
    }
    """
    uint32_t popcount "bot4_popcount"(uint64_t v) noexcept nogil


cdef size_t breaker_bytes(uint32_t count_max, uint32_t event_capacity) noexcept nogil
cdef int breaker_init(breaker_table_t* t, uint32_t count_max, uint32_t event_capacity, uint32_t open_share_bp) noexcept nogil
# Declarations belong to the start, before any other thread sees the table.
cdef int breaker_declare(breaker_table_t* t, const breaker_config_t* config, uint32_t* id) noexcept nogil
cdef int breaker_depend(breaker_table_t* t, uint32_t id, uint32_t on) noexcept nogil

cdef int breaker_allow_slow(breaker_table_t* t, uint32_t id, int64_t now_ns, uint64_t* permit) noexcept nogil
cdef int breaker_settle_slow(
    breaker_table_t* t, uint32_t id, uint64_t permit, uint64_t failed, int64_t now_ns) noexcept nogil
cdef int breaker_release(breaker_table_t* t, uint32_t id, uint64_t permit) noexcept nogil
cdef int breaker_trip(breaker_table_t* t, uint32_t id, int64_t now_ns) noexcept nogil
cdef int breaker_reset(breaker_table_t* t, uint32_t id, int64_t now_ns) noexcept nogil
cdef int breaker_tick(breaker_table_t* t, int64_t now_ns) noexcept nogil
cdef int breaker_event_take(breaker_table_t* t, event_t* out) noexcept nogil


cdef inline breaker_t* breaker_row(const breaker_table_t* t, uint32_t id) noexcept nogil:
    return <breaker_t*>(t + 1) + id


cdef inline bint breaker_allow_quick(breaker_table_t* t, uint32_t id, uint64_t* permit) noexcept nogil:
    """Allowed without asking the time: this component is closed and none is open. False says nothing."""
    # Acquire: whoever sees the breaker closed again also sees what the thread that closed it had repaired before.
    cdef uint64_t word = load_acquire(&breaker_row(t, id).word)
    if likely((word & STATE_MASK) == BREAKER_CLOSED and load_acquire(&t.open_mask) == 0):
        permit[0] = word & PERMIT_MASK
        return True
    return False


cdef inline int breaker_allow(breaker_table_t* t, uint32_t id, int64_t now_ns, uint64_t* permit) noexcept nogil:
    """OK and a permit, or the reason of the denial. Every permit is settled once: success, failure or release."""
    if unlikely(id >= t.count):
        return BREAKER_UNKNOWN_COMPONENT
    if likely(breaker_allow_quick(t, id, permit)):
        return OK
    return breaker_allow_slow(t, id, now_ns, permit)


cdef inline bint breaker_success_quick(breaker_table_t* t, uint32_t id, uint64_t permit) noexcept nogil:
    """Counted without asking the time: the outcome changes nothing but the count. False did nothing."""
    cdef breaker_t* row = breaker_row(t, id)
    # One comparison says: closed, of the permit's epoch, window full and without a failure. Then a success leaves the
    # word as it is, and a swap that changes nothing may be left out.
    if likely(load_acquire(&row.word) == (permit | (<uint64_t>1 << (PAYLOAD_SHIFT + row.window)))
              and (permit & STATE_MASK) == BREAKER_CLOSED):
        add_relaxed(&row.success_count, 1)
        return True
    return False


cdef inline int breaker_success(breaker_table_t* t, uint32_t id, uint64_t permit, int64_t now_ns) noexcept nogil:
    """OK, or BREAKER_TOO_MANY_FAILURES when this call made the window large enough for the rate to trip."""
    if unlikely(id >= t.count):
        return BREAKER_UNKNOWN_COMPONENT
    if likely(breaker_success_quick(t, id, permit)):
        return OK
    return breaker_settle_slow(t, id, permit, 0, now_ns)


cdef inline int breaker_failure(breaker_table_t* t, uint32_t id, uint64_t permit, int64_t now_ns) noexcept nogil:
    """OK, BREAKER_TOO_MANY_FAILURES (this one tripped) or BREAKER_MINIMUM_CALLS_NOT_MET (the rate would have)."""
    if unlikely(id >= t.count):
        return BREAKER_UNKNOWN_COMPONENT
    return breaker_settle_slow(t, id, permit, 1, now_ns)


cdef inline bint breaker_is_global_open(const breaker_table_t* t, uint64_t open_mask) noexcept nogil:
    return (open_mask & t.critical_mask) != 0 or popcount(open_mask) >= t.open_limit


cdef inline int breaker_global(const breaker_table_t* t) noexcept nogil:
    """BREAKER_IS_OPEN while the share or a critical component is open, else BREAKER_CLOSED."""
    cdef uint64_t mask = load_acquire(&t.open_mask)
    if likely(mask == 0):
        return BREAKER_CLOSED
    return BREAKER_IS_OPEN if breaker_is_global_open(t, mask) else BREAKER_CLOSED


cdef class Breakers:
    cdef breaker_table_t* c
    cdef Clock clock
    cdef bint owns_clock
    cdef list breakers
    cdef dict by_name
    cdef list subscribers
    cdef readonly uint64_t callback_errors
    cdef readonly object callback_error_last
    cdef int64_t now_c(self) noexcept


cdef class Breaker:
    cdef Breakers table
    cdef breaker_table_t* c
    cdef readonly uint32_t id
    cdef readonly str name
    cdef object failure_on
    cdef object ignore
    cdef bint raise_on_trip
    cdef bint settle_error(self, uint64_t permit, object error_type, object error) except -1


cdef class Guard:
    cdef Breaker breaker
    cdef uint64_t permit
    cdef bint entered

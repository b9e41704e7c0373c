cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import logging
from collections import namedtuple

from engine._core.atomics cimport (
    add_relaxed, add_relaxed_u32, and_acq_rel, load_acquire, load_acquire_u32, load_relaxed,
    load_relaxed_u32, or_acq_rel, store_release, store_release_u32)
from engine._core.clock cimport Clock, clock_now, clock_stamp
from engine._core.debug cimport debug_assert, static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    BREAKER_BAD_CONFIG, BREAKER_COOLDOWN, BREAKER_CYCLE, BREAKER_DEPENDENCY_OPEN, BREAKER_GLOBAL_OPEN,
    BREAKER_HALF_OPEN_EXHAUSTED, BREAKER_MINIMUM_CALLS_NOT_MET, BREAKER_OPEN, BREAKER_TABLE_FULL,
    BREAKER_TOO_MANY_FAILURES, BREAKER_UNKNOWN_COMPONENT, KIND_BREAKER, OK, RING_EMPTY, event_t, raise_status)

cdef extern from *:
    """
    #define bot4_ctz(v)      __builtin_ctzll(v)
    #define bot4_top(v)      (63 - __builtin_clzll(v))

    /* Weak: may fail although nobody was there, as an exclusive store does on aarch64. Every swap of this file stands
       in a loop that tries again. The counted build fails every seventh on purpose, so that one thread alone takes the
       way back of each loop: whether two threads meet there is up to the machine, and a gate must not be. */
    static inline int bot4_cas_weak(uint64_t *p, uint64_t *expected, uint64_t v) {
    #if defined(BOT4_SWAPS_FAIL)
        static uint64_t turn;
        if (__atomic_add_fetch(&turn, 1, __ATOMIC_RELAXED) % 7 == 0) {
            *expected = __atomic_load_n(p, __ATOMIC_ACQUIRE);
            return 0;
        }
    #endif
        return __atomic_compare_exchange_n(p, expected, v, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    """
    bint cas_weak_acq_rel "bot4_cas_weak"(uint64_t* p, uint64_t* expected, uint64_t v) noexcept nogil
    uint32_t ctz "bot4_ctz"(uint64_t v) noexcept nogil
    uint32_t top_bit "bot4_top"(uint64_t v) noexcept nogil

cdef enum:
    EPOCH_MASK = 0xfffff
    TRIAL_MASK = 15
    SUCCEEDED_SHIFT = 4
    SINCE_SHIFT = 8
    EVENT_CAPACITY_MAX = 65536

cdef uint64_t SINCE_MASK = (<uint64_t>1 << 34) - 1
cdef uint64_t RETRY_MASK = (<uint64_t>1 << 42) - 1
cdef int64_t COOLDOWN_NS_MAX = <int64_t>30 * 86_400 * 1_000_000_000

TICK_NS = 1 << TICK_SHIFT
State = breaker_state_t
Change = breaker_change_t
Reason = breaker_reason_t
BreakerEvent = namedtuple("BreakerEvent", "component change reason epoch now_ns open detail")

# The whole machine as data: (from, to, the reasons that may cause it). The documentation's table and the exhaustive
# test are held against this; `check` and the debug build against the same pairs.
TRANSITIONS = (
    (BREAKER_CLOSED, BREAKER_IS_OPEN, CHANGE_CLOSED_TO_OPEN,
     (REASON_ERROR_RATE, REASON_FAILURES_IN_A_ROW, REASON_BY_HAND)),
    (BREAKER_IS_OPEN, BREAKER_HALF_OPEN, CHANGE_OPEN_TO_HALF_OPEN, (REASON_COOLDOWN_OVER, REASON_BY_HAND)),
    (BREAKER_HALF_OPEN, BREAKER_CLOSED, CHANGE_HALF_OPEN_TO_CLOSED, (REASON_TRIALS_SUCCEEDED,)),
    (BREAKER_HALF_OPEN, BREAKER_IS_OPEN, CHANGE_HALF_OPEN_TO_OPEN,
     (REASON_TRIAL_FAILED, REASON_TRIAL_LOST, REASON_BY_HAND)),
)


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(breaker_t) == 128)
    static_assert_c(sizeof(breaker_table_t) == 192)
    static_assert_c(sizeof(breaker_event_t) == sizeof(event_t))
    static_assert_c(<size_t>&(<breaker_t*>NULL).denied_open == 64)
    static_assert_c(<size_t>&(<breaker_table_t*>NULL).event_head == 64)
    static_assert_c(<size_t>&(<breaker_table_t*>NULL).event_tail == 128)
    static_assert_c(<size_t>&(<breaker_event_t*>NULL).change == 24)


# ------------------------------------------------------------------ the word
cdef inline uint32_t _state(uint64_t word) noexcept nogil:
    return word & STATE_MASK


cdef inline uint64_t _epoch(uint64_t word) noexcept nogil:
    return (word >> EPOCH_SHIFT) & EPOCH_MASK


cdef inline int64_t _tick(int64_t now_ns) noexcept nogil:
    return now_ns >> TICK_SHIFT if now_ns > 0 else 0


cdef inline uint64_t _next(uint64_t word, uint32_t state, uint64_t payload) noexcept nogil:
    """The word after a transition: the epoch moves on, so every permit given before is stale."""
    return state | (((_epoch(word) + 1) & EPOCH_MASK) << EPOCH_SHIFT) | (payload << PAYLOAD_SHIFT)


cdef inline uint64_t _retry_tick(const breaker_t* row, int64_t now_ns) noexcept nogil:
    # Rounded up: the cooldown may end a tick late and never early.
    return (_tick(now_ns + (1 << TICK_SHIFT) - 1 if now_ns > 0 else 0) + row.cooldown_ticks) & RETRY_MASK


cdef inline uint64_t _opened(const breaker_t* row, uint64_t word, int64_t now_ns) noexcept nogil:
    return _next(word, BREAKER_IS_OPEN, _retry_tick(row, now_ns))


cdef inline bint _is_due(uint64_t word, int64_t now_ns) noexcept nogil:
    return <uint64_t>_tick(now_ns) >= word >> PAYLOAD_SHIFT


cdef inline uint32_t _granted(uint64_t word) noexcept nogil:
    return (word >> PAYLOAD_SHIFT) & TRIAL_MASK


cdef inline uint32_t _succeeded(uint64_t word) noexcept nogil:
    return (word >> (PAYLOAD_SHIFT + SUCCEEDED_SHIFT)) & TRIAL_MASK


cdef inline bint _is_trial_lost(const breaker_t* row, uint64_t word, int64_t now_ns) noexcept nogil:
    # Modulo 2**34 ticks (208 days). A clock that stepped back gives the upper half of the range: not lost.
    cdef uint64_t elapsed = (<uint64_t>_tick(now_ns) - (word >> (PAYLOAD_SHIFT + SINCE_SHIFT))) & SINCE_MASK
    return elapsed >= row.cooldown_ticks and elapsed <= SINCE_MASK >> 1


cdef inline uint64_t _shift_in(uint64_t outcomes, uint32_t window, uint64_t failed) noexcept nogil:
    """The outcomes with one more; the oldest falls out when the window is full. The top bit is the marker."""
    outcomes = (outcomes << 1) | failed
    if outcomes >> (window + 1):
        outcomes = (outcomes & ((<uint64_t>1 << window) - 1)) | (<uint64_t>1 << window)
    return outcomes


cdef inline uint32_t _streak(uint64_t outcomes) noexcept nogil:
    """Failures in a row at the young end."""
    return ctz(~(outcomes ^ (<uint64_t>1 << top_bit(outcomes))))


cdef int _judge(const breaker_t* row, uint64_t outcomes, int* reason) noexcept nogil:
    """OK, or TOO_MANY_FAILURES with its reason, or MINIMUM_CALLS_NOT_MET when only the number of calls forbids it."""
    cdef uint32_t calls = top_bit(outcomes), failures = popcount(outcomes) - 1
    if row.failures_in_a_row and _streak(outcomes) >= row.failures_in_a_row:
        reason[0] = REASON_FAILURES_IN_A_ROW
        return BREAKER_TOO_MANY_FAILURES
    if row.error_rate_bp and failures and failures * 10_000 >= row.error_rate_bp * calls:
        # The minimum guards the rate alone: one failure of one call is no rate, three in a row are three in a row.
        if calls < row.minimum_calls:
            return BREAKER_MINIMUM_CALLS_NOT_MET
        reason[0] = REASON_ERROR_RATE
        return BREAKER_TOO_MANY_FAILURES
    return OK


# ------------------------------------------------------------------- changes
cdef inline event_t* _slots(const breaker_table_t* t) noexcept nogil:
    return <event_t*>(breaker_row(t, 0) + t.count_max)


cdef void _record(breaker_table_t* t, uint32_t id, int change, int reason, uint64_t word, uint64_t mask,
                  int64_t detail, int64_t now_ns) noexcept nogil:
    """Append to the record of changes. Full: counted as lost; the state never waits for whoever reads about it."""
    cdef uint64_t pos = load_relaxed(&t.event_head)
    cdef breaker_event_t* slot
    cdef int32_t turn
    while True:
        slot = <breaker_event_t*>_slots(t) + (pos & (t.event_capacity - 1))
        # The slot's seq says whose turn it is: pos = free for writer `pos`, pos + 1 = ready for the reader.
        turn = <int32_t>(load_acquire_u32(&slot.seq) - <uint32_t>pos)
        if turn < 0:
            add_relaxed(&t.events_lost, 1)
            return
        # Already written (turn > 0): then the head stands elsewhere, and the swap fails and says where.
        if cas_weak_acq_rel(&t.event_head, &pos, pos + 1):
            break
    slot.kind = KIND_BREAKER
    slot.flags = 0
    slot.symbol = <uint16_t>id
    slot.ts_venue_ns = 0
    slot.ts_recv_ns = now_ns
    slot.change = change
    slot.reason = reason
    slot.epoch = <int64_t>_epoch(word)
    slot.open_mask = <int64_t>mask
    slot.detail = detail
    # Publish last: the reader copies the slot as soon as it sees this.
    store_release_u32(&slot.seq, <uint32_t>pos + 1)


cdef int breaker_event_take(breaker_table_t* t, event_t* out) noexcept nogil:
    """The oldest change not yet taken, or RING_EMPTY. One reader at a time."""
    cdef uint64_t pos = t.event_tail
    cdef event_t* slot = _slots(t) + (pos & (t.event_capacity - 1))
    if load_acquire_u32(&slot.seq) != <uint32_t>pos + 1:
        return RING_EMPTY
    out[0] = slot[0]
    out.seq = <uint32_t>pos
    t.event_tail = pos + 1
    # Release: the copy above is finished before a writer may reuse the slot.
    store_release_u32(&slot.seq, <uint32_t>pos + t.event_capacity)
    return OK


cdef void _mask_changed(breaker_table_t* t, uint32_t id, uint64_t before, uint64_t after, int64_t now_ns) noexcept nogil:
    """Record what follows from one component's opening or leaving open: its dependents, and the whole."""
    cdef uint64_t above = breaker_row(t, id).dependents_mask, below, word
    cdef bint whole_before = breaker_is_global_open(t, before), whole_after = breaker_is_global_open(t, after)
    cdef uint32_t other
    while above:
        other = ctz(above)
        above &= above - 1
        below = breaker_row(t, other).depends_mask
        word = load_relaxed(&breaker_row(t, other).word)
        # `id` stands below every `other` and its bit just turned, so one side of `before` and `after` has it.
        if (before & below) == 0:
            _record(t, other, CHANGE_DENIED_BY_DEPENDENCY, REASON_DEPENDENCY, word, after, id, now_ns)
        elif (after & below) == 0:
            _record(t, other, CHANGE_FREED_BY_DEPENDENCY, REASON_RECOVERED, word, after, id, now_ns)
    word = load_relaxed(&breaker_row(t, id).word)
    if whole_after and not whole_before:
        _record(t, id, CHANGE_GLOBAL_OPENED,
                REASON_CRITICAL_OPEN if after & t.critical_mask else REASON_SHARE_OPEN, word, after, popcount(after), now_ns)
    elif whole_before and not whole_after:
        _record(t, id, CHANGE_GLOBAL_CLOSED, REASON_RECOVERED, word, after, popcount(after), now_ns)


cdef void _changed(breaker_table_t* t, uint32_t id, int change, int reason, uint64_t word, int64_t detail,
                   int64_t now_ns) noexcept nogil:
    """Called by the one thread whose swap made the transition: count it, record it, let the open mask follow."""
    cdef breaker_t* row = breaker_row(t, id)
    cdef uint64_t bit = <uint64_t>1 << id, before, after
    cdef bint is_open
    add_relaxed_u32(&row.transitions[change], 1)
    _record(t, id, change, reason, word, load_relaxed(&t.open_mask), detail, now_ns)
    # Two threads may make two transitions of one component and come here in the other order. So each looks at the
    # word again after writing the bit: whoever writes the bit last has, through the acquire-release chain on the
    # mask, seen the swap of everybody who wrote it before, and repairs it if it is wrong.
    while True:
        is_open = _state(load_acquire(&row.word)) == BREAKER_IS_OPEN
        if is_open:
            before = or_acq_rel(&t.open_mask, bit)
            after = before | bit
        else:
            before = and_acq_rel(&t.open_mask, ~bit)
            after = before & ~bit
        # The read-modify-write tells exactly one thread that the bit turned.
        if before != after:
            _mask_changed(t, id, before, after, now_ns)
        if (_state(load_acquire(&row.word)) == BREAKER_IS_OPEN) == is_open:
            return


cdef bint _half_open_if_due(breaker_table_t* t, uint32_t id, int reason, int64_t now_ns) noexcept nogil:
    cdef breaker_t* row = breaker_row(t, id)
    cdef uint64_t word = load_acquire(&row.word)
    cdef uint64_t since = (<uint64_t>_tick(now_ns) & SINCE_MASK) << SINCE_SHIFT, after
    while _state(word) == BREAKER_IS_OPEN and _is_due(word, now_ns):
        after = _next(word, BREAKER_HALF_OPEN, since)
        if cas_weak_acq_rel(&row.word, &word, after):
            _changed(t, id, CHANGE_OPEN_TO_HALF_OPEN, reason, after, 0, now_ns)
            return True
    return False


# --------------------------------------------------------------- the surface
cdef size_t breaker_bytes(uint32_t count_max, uint32_t event_capacity) noexcept nogil:
    return (sizeof(breaker_table_t) + count_max * sizeof(breaker_t) + event_capacity * sizeof(event_t))


cdef int breaker_init(breaker_table_t* t, uint32_t count_max, uint32_t event_capacity, uint32_t open_share_bp) noexcept nogil:
    """Make an empty table in a block of `breaker_bytes` bytes. `open_share_bp` of 0 turns the share rule off."""
    cdef uint32_t i
    if count_max < 1 or count_max > COMPONENTS_MAX or open_share_bp > 10_000:
        return BREAKER_BAD_CONFIG
    # Two slots at least: with one, "ready" and "free for the next round" would be the same number.
    if event_capacity < 2 or event_capacity > EVENT_CAPACITY_MAX or event_capacity & (event_capacity - 1):
        return BREAKER_BAD_CONFIG
    memset(t, 0, breaker_bytes(count_max, event_capacity))
    t.count_max = count_max
    t.event_capacity = event_capacity
    t.open_share_bp = open_share_bp
    t.open_limit = COMPONENTS_MAX + 1
    for i in range(event_capacity):
        _slots(t)[i].seq = i
    return OK


cdef bint _is_config_good(const breaker_config_t* config) noexcept nogil:
    return (0 < config.cooldown_ns <= COOLDOWN_NS_MAX
            and 1 <= config.window <= WINDOW_MAX
            and 1 <= config.minimum_calls <= config.window
            and config.error_rate_bp <= 10_000
            and config.failures_in_a_row <= config.window
            and (config.error_rate_bp or config.failures_in_a_row)
            and 1 <= config.tokens <= TOKENS_MAX
            and 1 <= config.successes_to_close <= config.tokens)


cdef int breaker_declare(breaker_table_t* t, const breaker_config_t* config, uint32_t* id) noexcept nogil:
    cdef breaker_t* row
    if not _is_config_good(config):
        return BREAKER_BAD_CONFIG
    if t.count >= t.count_max:
        return BREAKER_TABLE_FULL
    id[0] = t.count
    row = breaker_row(t, t.count)
    row.cooldown_ticks = <uint32_t>((config.cooldown_ns + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT)
    row.error_rate_bp = <uint16_t>config.error_rate_bp
    row.window = <uint8_t>config.window
    row.minimum_calls = <uint8_t>config.minimum_calls
    row.failures_in_a_row = <uint8_t>config.failures_in_a_row
    row.tokens = <uint8_t>config.tokens
    row.successes_to_close = <uint8_t>config.successes_to_close
    row.word = BREAKER_CLOSED | (<uint64_t>1 << PAYLOAD_SHIFT)
    if config.critical:
        t.critical_mask |= <uint64_t>1 << t.count
    t.count += 1
    if t.open_share_bp:
        t.open_limit = (t.open_share_bp * t.count + 9_999) // 10_000
    return OK


cdef int breaker_depend(breaker_table_t* t, uint32_t id, uint32_t on) noexcept nogil:
    """Declare that `id` needs `on`. The masks stay transitively closed, so a circle shows at once."""
    cdef uint64_t below, above
    cdef uint32_t i
    if id >= t.count or on >= t.count:
        return BREAKER_UNKNOWN_COMPONENT
    below = breaker_row(t, on).depends_mask | (<uint64_t>1 << on)
    above = breaker_row(t, id).dependents_mask | (<uint64_t>1 << id)
    if below & above:
        return BREAKER_CYCLE
    for i in range(t.count):
        if above >> i & 1:
            breaker_row(t, i).depends_mask |= below
        if below >> i & 1:
            breaker_row(t, i).dependents_mask |= above
    return OK


cdef int breaker_tick(breaker_table_t* t, int64_t now_ns) noexcept nogil:
    """Move every open component whose cooldown is over to half-open; how many were. For a timer, and for denials."""
    cdef uint64_t mask = load_acquire(&t.open_mask)
    cdef int moved = 0
    while mask:
        moved += _half_open_if_due(t, ctz(mask), REASON_COOLDOWN_OVER, now_ns)
        mask &= mask - 1
    return moved


cdef int breaker_allow_slow(breaker_table_t* t, uint32_t id, int64_t now_ns, uint64_t* permit) noexcept nogil:
    cdef breaker_t* row = breaker_row(t, id)
    cdef uint64_t word, mask, after
    # First what time alone changes, for all: otherwise a component nobody calls would hold the whole open for ever.
    breaker_tick(t, now_ns)
    mask = load_acquire(&t.open_mask)
    if mask and breaker_is_global_open(t, mask):
        add_relaxed(&row.denied_global, 1)
        return BREAKER_GLOBAL_OPEN
    if mask & row.depends_mask:
        add_relaxed(&row.denied_dependency, 1)
        return BREAKER_DEPENDENCY_OPEN
    word = load_acquire(&row.word)
    while True:
        if _state(word) == BREAKER_CLOSED:
            permit[0] = word & PERMIT_MASK
            return OK
        if _state(word) == BREAKER_HALF_OPEN:
            if _granted(word) < row.tokens:
                # The token is this swap: of all threads that saw it, one gets it.
                if cas_weak_acq_rel(&row.word, &word, word + (<uint64_t>1 << PAYLOAD_SHIFT)):
                    permit[0] = word & PERMIT_MASK
                    return OK
                continue
            if not _is_trial_lost(row, word, now_ns):
                add_relaxed(&row.denied_half_open, 1)
                return BREAKER_HALF_OPEN_EXHAUSTED
            # A caller died with the last token. Silence is a failed trial: without this it would be denied for ever.
            after = _opened(row, word, now_ns)
            if not cas_weak_acq_rel(&row.word, &word, after):
                continue
            _changed(t, id, CHANGE_HALF_OPEN_TO_OPEN, REASON_TRIAL_LOST, after, _granted(word), now_ns)
        add_relaxed(&row.denied_open, 1)
        return BREAKER_OPEN


cdef int breaker_settle_slow(
        breaker_table_t* t, uint32_t id, uint64_t permit, uint64_t failed, int64_t now_ns) noexcept nogil:
    cdef breaker_t* row = breaker_row(t, id)
    cdef uint64_t word = load_acquire(&row.word), after, outcomes
    cdef int change, reason = 0, verdict, detail
    while True:
        # An outcome from before a transition says nothing about the state after it.
        if (word ^ permit) & PERMIT_MASK or (
                _state(word) == BREAKER_HALF_OPEN and _succeeded(word) >= _granted(word)):
            add_relaxed(&row.stale_count, 1)
            return OK
        change = -1
        verdict = OK
        detail = 0
        if _state(word) == BREAKER_CLOSED:
            outcomes = _shift_in(word >> PAYLOAD_SHIFT, row.window, failed)
            after = (word & PERMIT_MASK) | (outcomes << PAYLOAD_SHIFT)
            verdict = _judge(row, outcomes, &reason)
            if verdict == BREAKER_TOO_MANY_FAILURES:
                change = CHANGE_CLOSED_TO_OPEN
                detail = popcount(outcomes) - 1
                after = _opened(row, word, now_ns)
        else:
            # Only a half-open word gives permits besides a closed one.
            debug_assert(_state(word) == BREAKER_HALF_OPEN)
            if failed:
                verdict = BREAKER_TOO_MANY_FAILURES
                change = CHANGE_HALF_OPEN_TO_OPEN
                reason = REASON_TRIAL_FAILED
                detail = 1
                after = _opened(row, word, now_ns)
            elif _succeeded(word) + 1 == row.successes_to_close:
                change = CHANGE_HALF_OPEN_TO_CLOSED
                reason = REASON_TRIALS_SUCCEEDED
                after = _next(word, BREAKER_CLOSED, 1)
            else:
                after = word + (<uint64_t>1 << (PAYLOAD_SHIFT + SUCCEEDED_SHIFT))
        if after == word or cas_weak_acq_rel(&row.word, &word, after):
            break
    add_relaxed(&row.failure_count if failed else &row.success_count, 1)
    if change >= 0:
        _changed(t, id, change, reason, after, detail, now_ns)
    return verdict


cdef int breaker_release(breaker_table_t* t, uint32_t id, uint64_t permit) noexcept nogil:
    """Give a permit back without an outcome (a cancelled call): a trial's token is free again."""
    cdef breaker_t* row
    cdef uint64_t word
    if id >= t.count:
        return BREAKER_UNKNOWN_COMPONENT
    row = breaker_row(t, id)
    word = load_acquire(&row.word)
    while (_state(word) == BREAKER_HALF_OPEN and ((word ^ permit) & PERMIT_MASK) == 0
           and _granted(word) > _succeeded(word)):
        if cas_weak_acq_rel(&row.word, &word, word - (<uint64_t>1 << PAYLOAD_SHIFT)):
            break
    add_relaxed_u32(&row.released_count, 1)
    return OK


cdef int breaker_trip(breaker_table_t* t, uint32_t id, int64_t now_ns) noexcept nogil:
    """Open it by hand. Already open: the cooldown starts anew. People may always stop."""
    cdef breaker_t* row
    cdef uint64_t word, after
    cdef int change
    if id >= t.count:
        return BREAKER_UNKNOWN_COMPONENT
    row = breaker_row(t, id)
    word = load_acquire(&row.word)
    while True:
        if _state(word) == BREAKER_IS_OPEN:
            change = CHANGE_COOLDOWN_EXTENDED
            after = (word & PERMIT_MASK) | (max(word >> PAYLOAD_SHIFT, _retry_tick(row, now_ns)) << PAYLOAD_SHIFT)
        else:
            change = CHANGE_CLOSED_TO_OPEN if _state(word) == BREAKER_CLOSED else CHANGE_HALF_OPEN_TO_OPEN
            after = _opened(row, word, now_ns)
        if cas_weak_acq_rel(&row.word, &word, after):
            break
    add_relaxed_u32(&row.trips_by_hand, 1)
    if change == CHANGE_COOLDOWN_EXTENDED:
        _record(t, id, change, REASON_BY_HAND, after, load_relaxed(&t.open_mask), 0, now_ns)
    else:
        _changed(t, id, change, REASON_BY_HAND, after, 0, now_ns)
    return OK


cdef int breaker_reset(breaker_table_t* t, uint32_t id, int64_t now_ns) noexcept nogil:
    """By hand, after the cooldown, into half-open: never past a trial. BREAKER_COOLDOWN before that."""
    cdef breaker_t* row
    if id >= t.count:
        return BREAKER_UNKNOWN_COMPONENT
    row = breaker_row(t, id)
    if _half_open_if_due(t, id, REASON_BY_HAND, now_ns):
        add_relaxed_u32(&row.resets_honoured, 1)
        return OK
    if _state(load_acquire(&row.word)) == BREAKER_IS_OPEN:
        add_relaxed_u32(&row.resets_refused, 1)
        return BREAKER_COOLDOWN
    add_relaxed_u32(&row.resets_needless, 1)
    return OK


# ---------------------------------------------------------------- the Python face
_log = logging.getLogger("engine.breaker")
cdef object _NONE = object()
_COUNTERS = ("success", "failure", "stale", "released", "denied_open", "denied_half_open", "denied_dependency",
             "denied_global", "closed_to_open", "open_to_half_open", "half_open_to_closed", "half_open_to_open",
             "trips_by_hand", "resets_honoured", "resets_refused", "resets_needless")


@cython.final
cdef class Breakers:
    """A table of breakers. Declare the components at start, then hand each one's `Breaker` to who calls it.

    Without a clock it keeps a hardware one of its own and reads it when a state needs the time.
    """

    def __cinit__(self, *, int count_max=64, int event_capacity=1024, double open_share=0.5, Clock clock=None):
        if (not 1 <= count_max <= COMPONENTS_MAX or not 2 <= event_capacity <= EVENT_CAPACITY_MAX
                or not 0.0 <= open_share <= 1.0):
            raise_status(BREAKER_BAD_CONFIG, f"count_max={count_max} (1 to 64), event_capacity={event_capacity} "
                                             f"(power of two, 2 to 65536), open_share={open_share} (0 to 1)")
        self.c = <breaker_table_t*>block_new(breaker_bytes(count_max, event_capacity))
        if breaker_init(self.c, count_max, event_capacity, <uint32_t>(open_share * 10_000 + 0.5)) != OK:
            raise_status(BREAKER_BAD_CONFIG, f"event_capacity={event_capacity} is not a power of two")
        self.owns_clock = clock is None
        self.clock = Clock() if clock is None else clock
        self.breakers = []
        self.by_name = {}
        self.subscribers = []

    def __dealloc__(self):
        block_free(self.c)

    cdef int64_t now_c(self) noexcept:
        return clock_stamp(self.clock.c) if self.owns_clock else clock_now(self.clock.c)

    def declare(self, str name not None, *, int64_t cooldown_ns=60_000_000_000, int window=20, int minimum_calls=10,
                double error_rate=0.5, int failures_in_a_row=3, int tokens=1, successes_to_close=None,
                bint critical=False, depends_on=(), failure_on=(Exception,), ignore=(), bint raise_on_trip=False):
        """Add a component. `error_rate=0` or `failures_in_a_row=0` turns that rule off; not both."""
        cdef breaker_config_t config
        cdef uint32_t id = 0
        cdef int closes = tokens if successes_to_close is None else successes_to_close
        cdef Breaker breaker, below
        below_all = [self[on] for on in depends_on]
        shown = (f"{name}: cooldown_ns={cooldown_ns}, window={window}, minimum_calls={minimum_calls}, "
                 f"error_rate={error_rate}, failures_in_a_row={failures_in_a_row}, tokens={tokens}, "
                 f"successes_to_close={closes}")
        if (name in self.by_name or not 0.0 <= error_rate <= 1.0
                or min(window, minimum_calls, failures_in_a_row, tokens, closes) < 0):
            raise_status(BREAKER_BAD_CONFIG, shown)
        config.cooldown_ns = cooldown_ns
        config.error_rate_bp = <uint32_t>(error_rate * 10_000 + 0.5)
        config.window = window
        config.minimum_calls = minimum_calls
        config.failures_in_a_row = failures_in_a_row
        config.tokens = tokens
        config.successes_to_close = closes
        config.critical = critical
        status = breaker_declare(self.c, &config, &id)
        if status != OK:
            raise_status(status, shown)
        breaker = Breaker.__new__(Breaker)
        breaker.table = self
        breaker.c = self.c
        breaker.id = id
        breaker.name = name
        breaker.failure_on = tuple(failure_on)
        breaker.ignore = tuple(ignore)
        breaker.raise_on_trip = raise_on_trip
        self.breakers.append(breaker)
        self.by_name[name] = breaker
        for below in below_all:
            breaker_depend(self.c, id, below.id)
        return breaker

    def depend(self, str name not None, str on not None):
        """`name` needs `on`: while `on` is open, `name` is denied."""
        cdef Breaker above = self[name], below = self[on]
        status = breaker_depend(self.c, above.id, below.id)
        if status != OK:
            raise_status(status, f"{name} needs {on}, which needs {name}")

    def __getitem__(self, name):
        found = self.by_name.get(name)
        if found is None:
            raise_status(BREAKER_UNKNOWN_COMPONENT, repr(name))
        return found

    def __len__(self):
        return self.c.count

    def tick(self, int64_t now_ns):
        """Move what is due to half-open; returns how many moved."""
        return breaker_tick(self.c, now_ns)

    @property
    def global_open(self):
        return breaker_global(self.c) == BREAKER_IS_OPEN

    def require_global_closed(self):
        if breaker_global(self.c) == BREAKER_IS_OPEN:
            raise_status(BREAKER_GLOBAL_OPEN, ", ".join(self.open_names()))

    def open_names(self):
        return self._names(load_acquire(&self.c.open_mask))

    def _names(self, uint64_t mask):
        return tuple((<Breaker>b).name for b in self.breakers if mask >> (<Breaker>b).id & 1)

    def subscribe(self, callback):
        """Call `callback(event)` for every change, from `drain`."""
        self.subscribers.append(callback)

    def drain(self):
        """Take all recorded changes: log each, hand each to every subscriber, return them.

        A subscriber that raises is counted and the rest go on: the change has long happened.
        """
        cdef event_t raw
        cdef breaker_event_t* view = <breaker_event_t*>&raw
        out = []
        while breaker_event_take(self.c, &raw) == OK:
            event = BreakerEvent((<Breaker>self.breakers[view.symbol]).name, Change(view.change),
                                 Reason(view.reason), view.epoch, view.ts_recv_ns,
                                 self._names(<uint64_t>view.open_mask), view.detail)
            out.append(event)
            _log.warning("breaker %s: %s (%s, epoch %d, detail %d)", event.component, event.change.name,
                         event.reason.name, event.epoch, event.detail)
            for callback in self.subscribers:
                try:
                    callback(event)
                except Exception as error:
                    self.callback_errors += 1
                    self.callback_error_last = error
        return out

    @property
    def events_lost(self):
        return load_relaxed(&self.c.events_lost)

    def metrics(self):
        return {(<Breaker>b).name: (<Breaker>b).metrics() for b in self.breakers}

    def image(self):
        """A copy of the whole block: there is no pointer in it."""
        return (<char*>self.c)[:breaker_bytes(self.c.count_max, self.c.event_capacity)]

    def check(self):
        """Walk the invariants; for a moment when no other thread is inside."""
        cdef breaker_t* row
        cdef uint64_t mask = 0, payload
        cdef uint32_t id, other
        for id in range(self.c.count):
            row = breaker_row(self.c, id)
            payload = row.word >> PAYLOAD_SHIFT
            assert _state(row.word) <= BREAKER_HALF_OPEN, "no such state"
            assert (row.transitions[0] + row.transitions[1] + row.transitions[2] + row.transitions[3]
                    ) & EPOCH_MASK == _epoch(row.word), "epoch and transitions disagree"
            assert row.transitions[1] >= row.transitions[2] + row.transitions[3], "left half-open more than entered"
            if _state(row.word) == BREAKER_CLOSED:
                assert payload and top_bit(payload) <= row.window, "marker outside the window"
            elif _state(row.word) == BREAKER_IS_OPEN:
                mask |= <uint64_t>1 << id
            else:
                assert _succeeded(row.word) <= _granted(row.word) <= row.tokens, "more trials than tokens"
                assert _succeeded(row.word) < row.successes_to_close, "enough successes and not closed"
            assert not row.depends_mask >> id & 1, "depends on itself"
            for other in range(self.c.count):
                if row.depends_mask >> other & 1:
                    assert breaker_row(self.c, other).dependents_mask >> id & 1, "masks are not each other's inverse"
                    assert breaker_row(self.c, other).depends_mask & ~row.depends_mask == 0, "closure is not closed"
        assert mask == self.c.open_mask, "open mask and words disagree"
        assert self.c.event_tail <= self.c.event_head <= self.c.event_tail + self.c.event_capacity, "event cursors"


cdef int _deny(Breaker breaker, int status) except -1:
    raise_status(status, breaker.name)


@cython.final
cdef class Breaker:
    """One component. Made by `Breakers.declare`.

    `call` and `guard` settle by themselves: an exception of `ignore` is a success (the component answered), one of
    `failure_on` a failure, any other (a cancelled task, a keyboard interrupt) gives the permit back unjudged.
    """

    def __init__(self):
        raise TypeError("made by Breakers.declare")

    @property
    def state(self):
        return State(_state(load_acquire(&breaker_row(self.c, self.id).word)))

    @property
    def epoch(self):
        return _epoch(load_acquire(&breaker_row(self.c, self.id).word))

    def allow(self, int64_t now_ns):
        """A permit, to be settled once; or the error that names why not."""
        cdef uint64_t permit = 0
        cdef int status = breaker_allow(self.c, self.id, now_ns, &permit)
        if status != OK:
            _deny(self, status)
        return permit

    def success(self, uint64_t permit, int64_t now_ns):
        return breaker_success(self.c, self.id, permit, now_ns)

    def failure(self, uint64_t permit, int64_t now_ns):
        """The status: OK, TOO_MANY_FAILURES (it tripped), or MINIMUM_CALLS_NOT_MET (it would have)."""
        return breaker_failure(self.c, self.id, permit, now_ns)

    def release(self, uint64_t permit):
        breaker_release(self.c, self.id, permit)

    def trip(self, int64_t now_ns):
        breaker_trip(self.c, self.id, now_ns)

    def reset(self, int64_t now_ns):
        """Into half-open, after the cooldown; before it, BreakerCooldown."""
        cdef int status = breaker_reset(self.c, self.id, now_ns)
        if status != OK:
            raise_status(status, self.name)

    @property
    def calls(self):
        """Outcomes in the window; 0 while not closed."""
        cdef uint64_t word = load_acquire(&breaker_row(self.c, self.id).word)
        return top_bit(word >> PAYLOAD_SHIFT) if _state(word) == BREAKER_CLOSED else 0

    @property
    def failures_in_a_row(self):
        cdef uint64_t word = load_acquire(&breaker_row(self.c, self.id).word)
        return _streak(word >> PAYLOAD_SHIFT) if _state(word) == BREAKER_CLOSED else 0

    def error_rate(self):
        """Failures per call in the window; BreakerMinimumCallsNotMet while too few stand in it."""
        cdef breaker_t* row = breaker_row(self.c, self.id)
        cdef uint64_t word = load_acquire(&row.word), outcomes = word >> PAYLOAD_SHIFT
        cdef uint32_t calls = top_bit(outcomes) if _state(word) == BREAKER_CLOSED else 0
        if calls < row.minimum_calls:
            raise_status(BREAKER_MINIMUM_CALLS_NOT_MET, f"{self.name}: {calls} of {row.minimum_calls}")
        return (popcount(outcomes) - 1) / <double>calls

    cdef bint settle_error(self, uint64_t permit, object error_type, object error) except -1:
        cdef int status = OK
        if self.ignore and issubclass(error_type, self.ignore):
            status = breaker_success(self.c, self.id, permit, self.table.now_c())
        elif issubclass(error_type, self.failure_on):
            status = breaker_failure(self.c, self.id, permit, self.table.now_c())
        else:
            breaker_release(self.c, self.id, permit)
        if status == BREAKER_TOO_MANY_FAILURES and self.raise_on_trip:
            raise_status(status, f"{self.name}: {error!r}")
        return True

    def call(self, f, a=_NONE, b=_NONE, *rest):
        """f(*args) under the breaker. Keywords: bind them first, or use `guard`."""
        cdef uint64_t permit = 0
        cdef int status = OK
        if not breaker_allow_quick(self.c, self.id, &permit):
            status = breaker_allow(self.c, self.id, self.table.now_c(), &permit)
            if status != OK:
                _deny(self, status)
        try:
            # Up to two arguments travel without a tuple: that is 8 ns of the call.
            if a is _NONE:
                result = f()
            elif b is _NONE:
                result = f(a)
            elif not rest:
                result = f(a, b)
            else:
                result = f(a, b, *rest)
        except BaseException as error:
            self.settle_error(permit, type(error), error)
            raise
        if not breaker_success_quick(self.c, self.id, permit):
            breaker_success(self.c, self.id, permit, self.table.now_c())
        return result

    def guard(self):
        """A context manager that settles by itself. Reusable any number of times, by one caller at a time."""
        cdef Guard guard = Guard.__new__(Guard)
        guard.breaker = self
        return guard

    def metrics(self):
        """All counts. Every permit that was reported is one of success, failure, stale and released: `allowed`."""
        cdef breaker_t* row = breaker_row(self.c, self.id)
        cdef uint32_t i
        counts = [load_relaxed(&row.success_count), load_relaxed(&row.failure_count), load_relaxed(&row.stale_count),
                  load_relaxed_u32(&row.released_count), load_relaxed(&row.denied_open),
                  load_relaxed(&row.denied_half_open), load_relaxed(&row.denied_dependency),
                  load_relaxed(&row.denied_global)]
        counts += [load_relaxed_u32(&row.transitions[i]) for i in range(4)]
        counts += [load_relaxed_u32(&row.trips_by_hand), load_relaxed_u32(&row.resets_honoured),
                   load_relaxed_u32(&row.resets_refused), load_relaxed_u32(&row.resets_needless)]
        return {"allowed": sum(counts[:4]), **dict(zip(_COUNTERS, counts, strict=True))}


@cython.final
cdef class Guard:
    """`with guard:` asks, runs, settles. Nothing is allocated after it was made."""

    def __init__(self):
        raise TypeError("made by Breaker.guard")

    def __enter__(self):
        cdef Breaker breaker = self.breaker
        cdef int status
        if self.entered:
            raise RuntimeError(f"this guard of {breaker.name} is already entered; each caller makes its own")
        if not breaker_allow_quick(breaker.c, breaker.id, &self.permit):
            status = breaker_allow(breaker.c, breaker.id, breaker.table.now_c(), &self.permit)
            if status != OK:
                _deny(breaker, status)
        self.entered = True
        return self

    def __exit__(self, error_type, error, traceback):
        cdef Breaker breaker = self.breaker
        self.entered = False
        if error_type is not None:
            breaker.settle_error(self.permit, error_type, error)
        elif not breaker_success_quick(breaker.c, breaker.id, self.permit):
            breaker_success(breaker.c, breaker.id, self.permit, breaker.table.now_c())
        return False

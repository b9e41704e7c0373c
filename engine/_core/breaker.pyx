cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

import logging
from collections import namedtuple

from engine._core.atomics cimport load_acquire, load_acquire_u32, load_relaxed, load_relaxed_u32, store_release_u32
from engine._core.breaker_calls cimport ask, release, reset, settle, tick_due, trip
from engine._core.breaker_changes cimport slots_of
from engine._core.breaker_check cimport check_table
from engine._core.breaker_word cimport (
    EVENT_CAPACITY_MAX, epoch_of, is_config_good, row_configure, state_of, streak_of, top_bit,
)
from engine._core.clock cimport Clock, clock_now, clock_stamp
from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    BREAKER_BAD_CONFIG, BREAKER_CYCLE, BREAKER_GLOBAL_OPEN, BREAKER_MINIMUM_CALLS_NOT_MET, BREAKER_TABLE_FULL,
    BREAKER_TOO_MANY_FAILURES, BREAKER_UNKNOWN_COMPONENT, OK, RING_EMPTY, event_t, raise_status,
)

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
        slots_of(t)[i].seq = i
    return OK


cdef int breaker_declare(breaker_table_t* t, const breaker_config_t* config, uint32_t* id) noexcept nogil:
    cdef breaker_t* row
    if not is_config_good(config):
        return BREAKER_BAD_CONFIG
    if t.count >= t.count_max:
        return BREAKER_TABLE_FULL
    id[0] = t.count
    row = breaker_row(t, t.count)
    row_configure(row, config)
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


cdef int breaker_event_take(breaker_table_t* t, event_t* out) noexcept nogil:
    """The oldest change not yet taken, or RING_EMPTY. One reader at a time."""
    cdef uint64_t pos = t.event_tail
    cdef event_t* slot = slots_of(t) + (pos & (t.event_capacity - 1))
    if load_acquire_u32(&slot.seq) != <uint32_t>pos + 1:
        return RING_EMPTY
    out[0] = slot[0]
    out.seq = <uint32_t>pos
    t.event_tail = pos + 1
    # Release: the copy above is finished before a writer may reuse the slot.
    store_release_u32(&slot.seq, <uint32_t>pos + t.event_capacity)
    return OK


# The contract's names for what stands in breaker_calls.pxd.
cdef int breaker_tick(breaker_table_t* t, int64_t now_ns) noexcept nogil:
    return tick_due(t, now_ns)

cdef int breaker_allow_slow(breaker_table_t* t, uint32_t id, int64_t now_ns, uint64_t* permit) noexcept nogil:
    return ask(t, id, now_ns, permit)

cdef int breaker_settle_slow(
        breaker_table_t* t, uint32_t id, uint64_t permit, uint64_t failed, int64_t now_ns) noexcept nogil:
    return settle(t, id, permit, failed, now_ns)

cdef int breaker_release(breaker_table_t* t, uint32_t id, uint64_t permit) noexcept nogil:
    return release(t, id, permit)

cdef int breaker_trip(breaker_table_t* t, uint32_t id, int64_t now_ns) noexcept nogil:
    return trip(t, id, now_ns)

cdef int breaker_reset(breaker_table_t* t, uint32_t id, int64_t now_ns) noexcept nogil:
    return reset(t, id, now_ns)


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
        check_table(self.c)


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
        return State(state_of(load_acquire(&breaker_row(self.c, self.id).word)))

    @property
    def epoch(self):
        return epoch_of(load_acquire(&breaker_row(self.c, self.id).word))

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
        return top_bit(word >> PAYLOAD_SHIFT) if state_of(word) == BREAKER_CLOSED else 0

    @property
    def failures_in_a_row(self):
        cdef uint64_t word = load_acquire(&breaker_row(self.c, self.id).word)
        return streak_of(word >> PAYLOAD_SHIFT) if state_of(word) == BREAKER_CLOSED else 0

    def error_rate(self):
        """Failures per call in the window; BreakerMinimumCallsNotMet while too few stand in it."""
        cdef breaker_t* row = breaker_row(self.c, self.id)
        cdef uint64_t word = load_acquire(&row.word), outcomes = word >> PAYLOAD_SHIFT
        cdef uint32_t calls = top_bit(outcomes) if state_of(word) == BREAKER_CLOSED else 0
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

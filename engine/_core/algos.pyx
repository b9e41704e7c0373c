cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    ALGO_BAD_CONFIG, ALGO_NOT_LIVE, ALGO_TABLE_FULL, ALGO_UNKNOWN, ALGO_UNKNOWN_CHILD, OK, raise_status,
)


cdef extern from * nogil:
    """
    #include <stdint.h>
    /* floor(a * b / c) for a, b >= 0 and c > 0; what does not fit is INT64_MAX. */
    static inline int64_t bot4_mul_div(int64_t a, int64_t b, int64_t c) {
        unsigned __int128 whole = (unsigned __int128)(uint64_t)a * (uint64_t)b / (uint64_t)c;
        return whole > INT64_MAX ? INT64_MAX : (int64_t)whole;
    }
    /* floor(qty * (before * span + weight * part) / (sum * span)): the bounds of algos.pxd keep it below 2**127. */
    static inline int64_t bot4_profile(int64_t qty, int64_t before, int64_t weight, int64_t part, int64_t span,
                                       int64_t sum) {
        unsigned __int128 above = (unsigned __int128)before * (uint64_t)span + (unsigned __int128)weight * (uint64_t)part;
        return (int64_t)((unsigned __int128)(uint64_t)qty * above / ((unsigned __int128)sum * (uint64_t)span));
    }
    """
    int64_t mul_div "bot4_mul_div"(int64_t a, int64_t b, int64_t c) noexcept
    int64_t profile_c "bot4_profile"(int64_t qty, int64_t before, int64_t weight, int64_t part, int64_t span,
                                     int64_t sum) noexcept


cdef int64_t E8 = 100_000_000


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(algo_config_t) == 384)
    static_assert_c(sizeof(algo_t) == 576)
    static_assert_c(sizeof(algo_action_t) == 64)
    static_assert_c(sizeof(algos_t) == 64)
    static_assert_c(sizeof((<algo_config_t*>NULL).weights) == PROFILE_MAX * 8)


cdef algo_config_t _config
cdef algo_t _row
CONFIG = np.asarray(<algo_config_t[:1]>&_config).dtype
ALGO = np.asarray(<algo_t[:1]>&_row).dtype
AlgoKind = algo_kind_t
CatchUp = algo_catch_up_t
Style = algo_style_t
EndPolicy = algo_end_t
AlgoState = algo_state_t
ActionKind = algo_action_kind_t


# --------------------------------------------------------------------------------------------------------- the table
cdef size_t algos_bytes(uint64_t capacity) noexcept nogil:
    return sizeof(algos_t) + capacity * sizeof(algo_t)


cdef int algos_init(algos_t* t, uint64_t capacity) noexcept nogil:
    if capacity < 1 or capacity > 65535:
        return ALGO_BAD_CONFIG
    memset(t, 0, algos_bytes(capacity))
    t.capacity = capacity
    return OK


cdef bint _config_is_good(const algo_config_t* c, int64_t* weight_sum) noexcept nogil:
    cdef int64_t i
    weight_sum[0] = 0
    if c.kind < <int64_t>ALGO_TWAP or c.kind > <int64_t>ALGO_ICEBERG or c.sell not in (0, 1) or c.symbol < 0:
        return False
    if c.catch_up < 0 or c.catch_up > <int64_t>CATCH_UP_AT_ONCE or c.style not in (STYLE_TAKE, STYLE_REST):
        return False
    if c.end_policy not in (END_SHORT, END_SWEEP) or c.limit_px_ticks < 0:
        return False
    if c.start_ns < 0 or c.slice_ns <= 0:
        return False
    # A span is never negative and never beyond its bits: the subtraction is safe because both are non-negative.
    if c.kind != ALGO_ICEBERG and (c.end_ns <= c.start_ns or (c.end_ns - c.start_ns) >> ALGO_NS_BITS):
        return False
    if c.slice_min_lots < 1 or c.qty_lots < c.slice_min_lots or c.qty_lots >> ALGO_QTY_BITS:
        return False
    if c.slice_max_lots < 0 or (c.slice_max_lots and c.slice_max_lots < c.slice_min_lots):
        return False
    if c.cap_e8 < 0 or c.cap_e8 > E8 or (c.kind == ALGO_POV and c.cap_e8 == 0):
        return False
    if c.kind == ALGO_ICEBERG and (c.end_ns or c.cap_e8 or not c.limit_px_ticks or not c.slice_max_lots
                                   or c.style != STYLE_REST or c.end_policy != END_SHORT):
        return False              # what only a schedule has
    if c.kind != ALGO_VWAP:
        return c.bucket_count == 0
    if not 1 <= c.bucket_count <= PROFILE_MAX:
        return False
    for i in range(c.bucket_count):
        if c.weights[i] < 0 or c.weights[i] >> ALGO_WEIGHT_BITS:
            return False
        weight_sum[0] += c.weights[i]
    return weight_sum[0] > 0


cdef int algos_start(algos_t* t, const algo_config_t* config, int64_t* id_algo) noexcept nogil:
    """Take a free row for a parent order. Nothing happens before its first time event."""
    cdef algo_t* a = NULL
    cdef int64_t weight_sum
    cdef uint64_t at
    if not _config_is_good(config, &weight_sum):
        t.refused_count += 1
        return ALGO_BAD_CONFIG
    for at in range(t.capacity):
        if algos_rows(t)[at].state == ALGO_FREE:
            a = &algos_rows(t)[at]
            break
    if a == NULL:
        t.refused_count += 1
        return ALGO_TABLE_FULL
    memset(a, 0, sizeof(algo_t))
    t.counter += 1
    t.live_count += 1
    a.config = config[0]
    # The row's number below, a running one above: an id of a released row is never found again.
    a.id_algo = t.counter << 16 | <int64_t>at
    a.state = ALGO_WAITING
    a.slice_index = -1
    a.slice_count = (config.end_ns - config.start_ns + config.slice_ns - 1) // config.slice_ns
    if config.kind == ALGO_ICEBERG or config.slice_ns >= config.end_ns - config.start_ns:
        a.slice_count = 1         # the sum above may pass 63 bits for a slice that long
    a.weight_sum = weight_sum
    id_algo[0] = a.id_algo
    return OK


cdef algo_t* algos_find(algos_t* t, int64_t id_algo) noexcept nogil:
    cdef uint64_t at = <uint64_t>(id_algo & 0xFFFF)
    if id_algo <= 0 or at >= t.capacity or algos_rows(t)[at].id_algo != id_algo:
        return NULL
    return &algos_rows(t)[at]


cdef int algos_release(algos_t* t, int64_t id_algo) noexcept nogil:
    """Give an ended parent's row back."""
    cdef algo_t* a = algos_find(t, id_algo)
    if a == NULL:
        return ALGO_UNKNOWN
    if algo_is_live(a):
        return ALGO_NOT_LIVE
    memset(a, 0, sizeof(algo_t))
    t.live_count -= 1
    return OK


cdef void algos_volume(algos_t* t, int64_t symbol, int64_t qty_lots) noexcept nogil:
    """A trade in the market. Everybody's trades, our own fills among them; only what is traded after the start."""
    cdef algo_t* a
    cdef uint64_t at
    for at in range(t.capacity):
        a = &algos_rows(t)[at]
        if a.state >= ALGO_WORKING and a.config.symbol == symbol and qty_lots > 0:
            a.volume_lots = a.volume_lots + qty_lots if a.volume_lots <= INT64_MAX - qty_lots else INT64_MAX


# ------------------------------------------------------------------------------------------------------ the schedule
cdef int64_t _schedule(const algo_t* a, int64_t index) noexcept nogil:
    """Lots that may be filled or out by the end of a slice; for POV, by now. Monotone, at most the parent."""
    cdef const algo_config_t* c = &a.config
    cdef int64_t span = c.end_ns - c.start_ns, passed, bucket, before = 0, i
    if c.kind == ALGO_ICEBERG:
        return c.qty_lots
    if c.kind == ALGO_POV:
        return min(c.qty_lots, mul_div(a.volume_lots, c.cap_e8, E8))
    if index < 0:
        return 0
    if index >= a.slice_count - 1:
        return c.qty_lots
    if c.kind == ALGO_TWAP:
        return mul_div(c.qty_lots, index + 1, a.slice_count)
    # The profile is linear inside a bucket. bucket_count x span stays below 2**52.
    passed = (index + 1) * c.slice_ns * c.bucket_count
    bucket = passed // span
    for i in range(bucket):
        before += c.weights[i]
    return profile_c(c.qty_lots, before, c.weights[bucket], passed - bucket * span, span, a.weight_sum)


cdef inline int64_t _cap_room(const algo_t* a) noexcept nogil:
    """What the participation cap leaves. Our own fills count against it."""
    if a.config.cap_e8 == 0:
        return INT64_MAX
    return mul_div(a.volume_lots, a.config.cap_e8, E8) - a.filled_lots


cdef void _settle(algo_t* a) noexcept nogil:
    """Fix what this slice may do, at the first moment in it at which nothing is out."""
    cdef const algo_config_t* c = &a.config
    cdef int64_t before, target, arrears, slices_left = a.slice_count - a.slice_index
    target = _schedule(a, a.slice_index)
    if c.kind == ALGO_ICEBERG:
        a.schedule_lots = a.release_lots = target
        a.settled = 1
        return
    # Slices that nobody saw - no event came - are missed ones. POV's base is what was released, by volume.
    before = a.schedule_lots if c.kind == ALGO_POV else _schedule(a, a.slice_index - 1)
    arrears = before - a.filled_lots - a.given_up_lots
    if arrears < 0:
        arrears = 0               # late fills put us ahead
    if c.catch_up == CATCH_UP_NEVER:
        # What was too small to be placed was not missed: it is carried on.
        a.given_up_lots += max(0, arrears - a.held_lots)
        arrears = min(arrears, a.held_lots)
    elif c.catch_up == CATCH_UP_SPREAD:
        arrears = (arrears + slices_left - 1) // slices_left
    a.schedule_lots = target
    a.release_lots = min(target, a.filled_lots + a.given_up_lots + arrears + target - before)
    a.settled = 1


# ------------------------------------------------------------------------------------------------------- the actions
cdef int _ask_cancel(algo_t* a, algo_action_t* out) noexcept nogil:
    if a.cancel_asked:
        return 0
    a.cancel_asked = 1
    memset(out, 0, sizeof(algo_action_t))
    out.kind = ACTION_CANCEL
    out.id_algo = a.id_algo
    out.child = a.child
    out.sell = a.config.sell
    out.qty_lots = a.open_lots
    out.px_ticks = a.child_px_ticks
    return 1


cdef int64_t _price(const algo_t* a, int64_t bid_px_ticks, int64_t ask_px_ticks, bint takes) noexcept nogil:
    """The child's price; 0 when there is none to have: no touch, or the market is beyond the limit."""
    cdef int64_t limit = a.config.limit_px_ticks
    cdef int64_t px = ask_px_ticks if takes != <bint>a.config.sell else bid_px_ticks
    if px <= 0:
        return 0
    if limit and ((px < limit) if a.config.sell else (px > limit)):
        return 0 if takes else limit
    return px


cdef int _place(algo_t* a, int64_t qty_lots, int64_t px_ticks, bint immediate, algo_action_t* out) noexcept nogil:
    a.child += 1
    a.child_slice = a.slice_index
    a.child_px_ticks = px_ticks
    a.open_lots = qty_lots
    a.cancel_asked = 0
    memset(out, 0, sizeof(algo_action_t))
    out.kind = ACTION_PLACE
    out.id_algo = a.id_algo
    out.child = a.child
    out.sell = a.config.sell
    out.qty_lots = qty_lots
    out.px_ticks = px_ticks
    out.immediate = immediate
    return 1


cdef int64_t _size(algo_t* a, int64_t due) noexcept nogil:
    """Cut what is due to a child that may be placed, or 0. What the smallest size holds back is remembered."""
    cdef const algo_config_t* c = &a.config
    cdef int64_t left = c.qty_lots - a.filled_lots - a.given_up_lots, most
    due = min(min(due, left), _cap_room(a))
    if c.slice_max_lots:
        due = min(due, c.slice_max_lots)
    most = max(due, 0)
    # Never leave a rest that is too small to be placed later.
    if 0 < left - due < c.slice_min_lots:
        due = left - c.slice_min_lots
    if due < c.slice_min_lots:
        due = 0
    a.held_lots = most - due
    return due


cdef int _work(algo_t* a, int64_t bid_px_ticks, int64_t ask_px_ticks, algo_action_t* out) noexcept nogil:
    cdef int64_t index = (a.now_ns - a.config.start_ns) // a.config.slice_ns
    cdef int64_t qty, px
    cdef bint takes = a.config.style == STYLE_TAKE
    if index > a.slice_index:
        a.slice_index = index
        a.settled = 0
        a.closed = 0
    if a.open_lots:
        # Its slice is over - an iceberg's never is - or a late fill has taken its place: it goes before anything new comes.
        if (a.child_slice < a.slice_index and a.config.kind != ALGO_ICEBERG
                or a.filled_lots + a.open_lots > a.config.qty_lots):
            return _ask_cancel(a, out)
        return 0
    if a.closed:
        return 0
    if not a.settled:
        _settle(a)
    qty = _size(a, a.release_lots - a.filled_lots - a.given_up_lots)
    if qty == 0:
        return 0
    px = _price(a, bid_px_ticks, ask_px_ticks, takes)
    if px == 0:
        return 0
    if a.config.kind == ALGO_ICEBERG:
        # What is shown rests where the parent stands; a touch has to be there, so that it is judged by one.
        px = a.config.limit_px_ticks
    return _place(a, qty, px, takes, out)


cdef int _end(algo_t* a, int64_t bid_px_ticks, int64_t ask_px_ticks, algo_action_t* out) noexcept nogil:
    """The end has come: take the child back, then sweep or stop."""
    cdef int64_t qty, px
    if a.open_lots:
        return _ask_cancel(a, out)
    if a.config.end_policy == END_SWEEP:
        qty = _size(a, a.config.qty_lots)
        px = _price(a, bid_px_ticks, ask_px_ticks, True)
        if qty and px:
            a.state = ALGO_SWEEPING
            a.schedule_lots = a.release_lots = a.config.qty_lots
            return _place(a, qty, px, True, out)
    a.state = ALGO_SHORT
    return 0


cdef int algo_time(algo_t* a, int64_t now_ns, int64_t bid_px_ticks, int64_t ask_px_ticks,
                   algo_action_t* out) noexcept nogil:
    """Time has passed, the touch is this. Returns the number of actions written: 0 or 1. Time never runs backwards."""
    if now_ns > a.now_ns:
        a.now_ns = now_ns
    if a.state == ALGO_WAITING:
        if a.now_ns < a.config.start_ns:
            return 0
        a.state = ALGO_WORKING
    if a.state == ALGO_WORKING:
        if a.now_ns < a.config.end_ns or a.config.kind == ALGO_ICEBERG:
            return _work(a, bid_px_ticks, ask_px_ticks, out)
        a.state = ALGO_ENDING
    if a.state == ALGO_ENDING:
        return _end(a, bid_px_ticks, ask_px_ticks, out)
    if a.state == ALGO_CANCELING:
        return _ask_cancel(a, out)
    if a.state == ALGO_SWEEPING and a.open_lots and a.filled_lots + a.open_lots > a.config.qty_lots:
        return _ask_cancel(a, out)
    return 0


# ------------------------------------------------------------------------------------------------- what is reported
cdef void _resolve(algo_t* a) noexcept nogil:
    """Nothing is out any more, or everything is filled: is the parent over?"""
    if not algo_is_live(a) or a.open_lots:
        return
    if a.filled_lots >= a.config.qty_lots:
        a.state = ALGO_FILLED
    elif a.state == ALGO_CANCELING:
        a.state = ALGO_CANCELED
    elif a.state == ALGO_SWEEPING:
        a.state = ALGO_SHORT


cdef int algo_fill(algo_t* a, int64_t child, int64_t qty_lots) noexcept nogil:
    """A fill of a child. One after the child's end is applied all the same: it happened."""
    cdef int64_t of_child
    if child < 1 or child > a.child:
        return ALGO_UNKNOWN_CHILD
    # Twice what any parent may be: a report beyond that is none of its child's.
    if qty_lots < 1 or qty_lots >> ALGO_QTY_BITS:
        return ALGO_BAD_CONFIG
    of_child = min(qty_lots, a.open_lots) if child == a.child else 0
    a.open_lots -= of_child
    a.filled_lots += qty_lots
    a.late_lots += qty_lots - of_child
    _resolve(a)
    return OK


cdef int algo_child_ended(algo_t* a, int64_t child) noexcept nogil:
    """The child is gone with something unfilled: canceled, rejected, expired, or denied by the gate."""
    if child < 1 or child > a.child:
        return ALGO_UNKNOWN_CHILD
    if child != a.child or a.open_lots == 0:
        return OK                 # told twice
    a.open_lots = 0
    # Ended in its own slice without having been asked: the next try belongs to the next slice.
    if a.child_slice == a.slice_index:
        a.closed = 1
    _resolve(a)
    return OK


cdef int algo_cancel_refused(algo_t* a, int64_t child) noexcept nogil:
    """The venue did not cancel: ask again with the next time event."""
    if child < 1 or child > a.child:
        return ALGO_UNKNOWN_CHILD
    if child == a.child and a.open_lots:
        a.cancel_asked = 0
    return OK


cdef int algo_cancel(algo_t* a) noexcept nogil:
    """Stop the parent. Its child is taken back with the next time event."""
    if not algo_is_live(a):
        return ALGO_NOT_LIVE
    a.state = ALGO_CANCELING
    _resolve(a)
    return OK


# -------------------------------------------------------------------------------------------------------- the faces
@cython.final
cdef class Algos:
    """A table of parent orders in a block of its own. Actions come back as tuples:
    ("place", child, qty_lots, px_ticks, immediate) or ("cancel", child)."""

    def __cinit__(self, *, uint64_t capacity=16):
        if capacity < 1 or capacity > 65535:
            raise_status(ALGO_BAD_CONFIG, f"capacity {capacity}; 1 to 65535")
        self.c = <algos_t*>block_new(algos_bytes(capacity))
        algos_init(self.c, capacity)

    def __dealloc__(self):
        block_free(self.c)

    cdef algo_t* _find(self, int64_t id_algo) except NULL:
        cdef algo_t* a = algos_find(self.c, id_algo)
        if a == NULL:
            raise_status(ALGO_UNKNOWN, f"{id_algo}")
        return a

    def start(self, **fields):
        """A parent order from the fields of CONFIG; returns its id. `weights` is a sequence."""
        cdef algo_config_t config
        cdef int64_t id_algo = 0
        cdef int status
        memset(&config, 0, sizeof(config))
        rows = np.asarray(<algo_config_t[:1]>&config)
        weights = fields.pop("weights", ())
        if len(weights) > PROFILE_MAX:
            raise_status(ALGO_BAD_CONFIG, f"{len(weights)} weights; {PROFILE_MAX} at most")
        fields["bucket_count"] = len(weights)
        for at, weight in enumerate(weights):
            config.weights[at] = weight
        for name, value in fields.items():
            rows[name][0] = value
        status = algos_start(self.c, &config, &id_algo)
        if status != OK:
            raise_status(status, f"{fields}, weights {list(weights)}")
        return id_algo

    def time(self, int64_t id_algo, int64_t now_ns, int64_t bid_px_ticks, int64_t ask_px_ticks):
        cdef algo_action_t action
        cdef algo_t* a = self._find(id_algo)
        if not algo_time(a, now_ns, bid_px_ticks, ask_px_ticks, &action):
            return []
        if action.kind == ACTION_CANCEL:
            return [("cancel", action.child)]
        return [("place", action.child, action.qty_lots, action.px_ticks, bool(action.immediate))]

    def volume(self, int64_t symbol, int64_t qty_lots):
        algos_volume(self.c, symbol, qty_lots)

    def fill(self, int64_t id_algo, int64_t child, int64_t qty_lots):
        self._answer(algo_fill(self._find(id_algo), child, qty_lots), f"child {child}, {qty_lots} lots")

    def child_ended(self, int64_t id_algo, int64_t child):
        self._answer(algo_child_ended(self._find(id_algo), child), f"child {child}")

    def cancel_refused(self, int64_t id_algo, int64_t child):
        self._answer(algo_cancel_refused(self._find(id_algo), child), f"child {child}")

    def cancel(self, int64_t id_algo):
        self._answer(algo_cancel(self._find(id_algo)), f"{id_algo}")

    def release(self, int64_t id_algo):
        self._answer(algos_release(self.c, id_algo), f"{id_algo}")

    cdef int _answer(self, int status, str detail) except -1:
        if status != OK:
            raise_status(status, detail)
        return 0

    def row(self, int64_t id_algo):
        """What can be observed of a parent, by name."""
        cdef algo_t* a = self._find(id_algo)
        return {
            "state": algo_state_t(a.state), "filled_lots": a.filled_lots, "open_lots": a.open_lots,
            "given_up_lots": a.given_up_lots, "late_lots": a.late_lots, "volume_lots": a.volume_lots,
            "schedule_lots": a.schedule_lots, "release_lots": a.release_lots, "child": a.child,
            "slice_index": a.slice_index,
        }

    @property
    def live_count(self):
        return self.c.live_count

    @property
    def refused_count(self):
        return self.c.refused_count

    def check(self):
        """Walk the invariants."""
        cdef algo_t* a
        cdef uint64_t at, taken = 0
        for at in range(self.c.capacity):
            a = &algos_rows(self.c)[at]
            if a.state == ALGO_FREE:
                assert a.id_algo == 0 and a.filled_lots == 0, f"row {at} is free and not empty"
                continue
            taken += 1
            qty, proper = a.config.qty_lots, a.filled_lots - a.late_lots
            assert a.open_lots >= 0 and proper >= 0 and a.late_lots >= 0 and a.given_up_lots >= 0, f"row {at}"
            assert proper + a.open_lots <= qty, f"row {at}: more than the parent"
            assert proper + a.given_up_lots <= qty, f"row {at}: gave up what was filled"
            assert 0 <= a.schedule_lots <= qty and a.release_lots <= a.schedule_lots, f"row {at}: ahead of schedule"
            assert a.open_lots == 0 or algo_is_live(a), f"row {at}: over with a child out"
            if a.late_lots == 0:
                assert proper + a.open_lots <= a.schedule_lots, f"row {at}: early"
                assert a.open_lots == 0 or _cap_room(a) >= a.open_lots, f"row {at}: beyond the participation cap"
            if a.state == ALGO_FILLED:
                assert a.filled_lots >= qty, f"row {at}: filled and not full"
        assert taken == self.c.live_count, "rows and count disagree"

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.bracket_table import BracketPhase, BracketSign, transitions

from engine._core.bracket_table cimport bracket_next
from engine._core.brackets_ask cimport act, place_leg, tell_incident
from engine._core.brackets_look cimport covers, lives, open_of, sign_of
from engine._core.debug cimport static_assert_c, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.orders cimport (
    LOTS_MAX, NEVER_NS, ORDER_NONE, STATE_DENIED, TIF_COUNT, TIF_GTC, TIF_GTD, TIF_IOC, TYPE_LIMIT, TYPE_MARKET,
    TYPE_STOP, TYPE_STOP_LIMIT, Orders, order_t, orders_find,
)
from engine._core.types cimport BRACKET_BAD_TERMS, BRACKET_TABLE_FULL, OK, raise_status

cdef uint64_t CAPACITY_MAX = 8191                    # the tag of a leg's order is 15 bits: slot and leg
cdef int SETTLE_MAX = 4                         # phases passed in one event; the longest chain is two

BracketLeg = bracket_leg_t
BracketKind = bracket_kind_t
BracketFlag = bracket_flag_t
BracketActionKind = bracket_action_kind_t
BracketIncident = bracket_incident_t


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(leg_t) == 64)
    static_assert_c(sizeof(bracket_t) == 384)
    static_assert_c(sizeof(brackets_t) == 192)
    static_assert_c(sizeof(bracket_action_t) == 48)


# ------------------------------------------------------------------------------------------------------------ set-up
cdef brackets_config_t brackets_config(uint64_t capacity) noexcept nogil:
    """Deadlines and caps that fit most uses."""
    cdef brackets_config_t c
    c.capacity = capacity
    c.protect_ns = 3_000_000_000
    c.unwind_ns = 5_000_000_000
    c.close_ns = 10_000_000_000
    c.alarm_ns = 30_000_000_000
    c.places_max = 64
    c.unwinds_max = 5
    c.asks_max = 3
    c.lates_max = 3
    return c


cdef size_t brackets_bytes(const brackets_config_t* c) noexcept nogil:
    return sizeof(brackets_t) + c.capacity * sizeof(bracket_t)


cdef int brackets_init(brackets_t* t, const brackets_config_t* c) noexcept nogil:
    """Make an empty table in a block of `brackets_bytes` bytes."""
    cdef uint64_t i
    if (not 1 <= c.capacity <= CAPACITY_MAX or c.protect_ns <= 0 or c.unwind_ns <= 0 or c.close_ns <= 0
            or c.alarm_ns <= 0 or c.places_max == 0 or c.unwinds_max == 0 or c.asks_max == 0 or c.lates_max == 0):
        return BRACKET_BAD_TERMS
    memset(t, 0, brackets_bytes(c))
    t.config = c[0]
    t.due_least_ns = NEVER_NS
    t.closed_head = t.closed_tail = ORDER_NONE
    for i in range(c.capacity):
        brackets_slots(t)[i].next = <uint32_t>(i + 1) if i + 1 < c.capacity else <uint32_t>ORDER_NONE
    return OK


cdef inline uint32_t slot_of(brackets_t* t, const bracket_t* b) noexcept nogil:
    return <uint32_t>(b - brackets_slots(t))


cdef bracket_t* brackets_find(brackets_t* t, uint32_t handle) noexcept nogil:
    """The bracket of this handle, or NULL when its place is free or was reused."""
    cdef uint32_t slot = (handle & 0xFFFF) - 1
    if slot < t.config.capacity and brackets_slots(t)[slot].handle == handle and handle != 0:
        return &brackets_slots(t)[slot]
    return NULL


cdef bracket_t* _take_slot(brackets_t* t) noexcept nogil:
    """A free slot, or that of the bracket which closed first. The generation goes on, so old handles stay stale."""
    cdef uint32_t slot = t.free_head
    cdef bracket_t* b
    cdef uint32_t generation
    if slot != <uint32_t>ORDER_NONE:
        b = &brackets_slots(t)[slot]
        t.free_head = b.next
        generation = 1
    elif t.closed_head != <uint32_t>ORDER_NONE:
        slot = t.closed_head
        b = &brackets_slots(t)[slot]
        t.closed_head = b.next
        if t.closed_head == <uint32_t>ORDER_NONE:
            t.closed_tail = ORDER_NONE
        generation = ((b.handle >> 16) + 1) & 0xFFFF
    else:
        return NULL
    memset(b, 0, sizeof(bracket_t))
    b.handle = (generation << 16) | (slot + 1)
    b.next = ORDER_NONE
    return b


# ---------------------------------------------------------------------------------------------------- looking at a leg
# --------------------------------------------------------------------------------------------------------- what to do
cdef void stand(brackets_t* t, bracket_t* b, int phase, int sign, int64_t now_ns, bracket_action_t* out,
                 uint64_t* n) noexcept nogil:
    """Enter a phase: its deadline, what it means for the entry, and what must be told."""
    cdef int64_t wait = t.config.close_ns
    cdef int i
    if phase != b.phase:
        if phase == PHASE_OVER:
            tell_incident(t, b, INCIDENT_BOTH_FILLED, out, n)
        elif phase == PHASE_STUCK:
            tell_incident(t, b, INCIDENT_STUCK, out, n)
        elif phase == PHASE_UNWINDING and b.phase == PHASE_BARE and sign != SIGN_FLATTEN:
            tell_incident(t, b, INCIDENT_UNPROTECTED, out, n)
        if b.phase == PHASE_CLOSED:
            tell_incident(t, b, INCIDENT_REOPENED, out, n)
            leave_closed(t, b)
        b.lates = 0
    elif phase == PHASE_STUCK:
        tell_incident(t, b, INCIDENT_STILL_STUCK, out, n)
        # One more attempt with each alarm: what refused the ones before, a halt or a price too old, may be over.
        if not lives(leg_of(b, LEG_UNWIND)) and leg_of(b, LEG_UNWIND).places >= t.config.unwinds_max:
            leg_of(b, LEG_UNWIND).places = t.config.unwinds_max - 1
    # A passed deadline is a new chance for requests that were refused too often.
    for i in range(<int>LEG_COUNT):
        b.legs[i].asks = 0
    if phase == PHASE_WAITING:
        wait = b.entry_ns
    elif phase == PHASE_BARE:
        wait = t.config.protect_ns
    elif phase == PHASE_COVERED:
        wait = b.hold_ns
    elif phase == PHASE_UNWINDING or phase == PHASE_OVER:
        wait = t.config.unwind_ns
    elif phase == PHASE_STUCK:
        wait = t.config.alarm_ns
    if phase >= PHASE_UNWINDING:
        b.flags |= BRACKET_RECALLED
    b.phase = <uint8_t>phase
    b.ts_changed_ns = now_ns
    b.deadline_ns = now_ns + wait
    if phase == PHASE_CLOSED:
        b.deadline_ns = NEVER_NS
        enter_closed(t, b)
    if b.deadline_ns < t.due_least_ns:
        t.due_least_ns = b.deadline_ns


cdef void enter_closed(brackets_t* t, bracket_t* b) noexcept nogil:
    cdef uint32_t slot = slot_of(t, b)
    b.next = ORDER_NONE
    if t.closed_tail != <uint32_t>ORDER_NONE:
        brackets_slots(t)[t.closed_tail].next = slot
    else:
        t.closed_head = slot
    t.closed_tail = slot
    t.live_count -= 1


cdef void leave_closed(brackets_t* t, bracket_t* b) noexcept nogil:
    """A walk: it happens only when a fill comes after the end."""
    cdef uint32_t slot = slot_of(t, b), before = ORDER_NONE, at = t.closed_head
    while at != slot:
        before, at = at, brackets_slots(t)[at].next
    if before == <uint32_t>ORDER_NONE:
        t.closed_head = b.next
    else:
        brackets_slots(t)[before].next = b.next
    if t.closed_tail == slot:
        t.closed_tail = before
    b.next = ORDER_NONE
    t.live_count += 1


cdef bint pass_row(brackets_t* t, bracket_t* b, int sign, bint always, int64_t now_ns, bracket_action_t* out,
                uint64_t* n) noexcept nogil:
    """Follow one row of the table; whether the phase changed. A sign without a row is counted and changes nothing."""
    cdef int phase = bracket_next(b.phase, sign)
    cdef bint changed = phase != b.phase
    if unlikely(phase == PHASE_FREE):
        t.illegal_count += 1
        return False
    if changed or always:
        stand(t, b, phase, sign, now_ns, out, n)
    return changed


cdef void _settle(brackets_t* t, bracket_t* b, int64_t now_ns, bracket_action_t* out, uint64_t* n) noexcept nogil:
    cdef int i
    cdef bint changed = False
    for i in range(SETTLE_MAX):
        changed = pass_row(t, b, sign_of(t, b), False, now_ns, out, n)
        if not changed and i > 0:
            return
        # What is asked for here may change what is true: a stop that is cancelled to be resized covers no longer.
        act(t, b, out, n)


# ------------------------------------------------------------------------------------------------------ from outside
cdef bint _terms_are_whole(const bracket_terms_t* a) noexcept nogil:
    # Long: stop < entry < target; short: mirrored. An entry at market has no price to compare.
    cdef int64_t way = -1 if a.sell else 1
    cdef int64_t entry = a.entry_px_ticks
    return (a.kind <= BRACKET_OTOCO and a.sell <= 1 and 0 < a.qty_lots <= LOTS_MAX and a.stop_px_ticks > 0
            and a.entry_px_ticks >= 0 and a.stop_limit_px_ticks >= 0 and a.target_px_ticks >= 0
            and (a.flags & ~BRACKET_ASKED) == 0 and (a.kind == BRACKET_OCO or not a.flags & BRACKET_FOLLOWS)
            and ((a.target_px_ticks > 0) == (a.kind != BRACKET_OTO) or a.flags & BRACKET_FOLLOWS) and 0 < a.hold_ns and 0 < a.entry_ns
            and (a.kind != BRACKET_OCO or (entry == 0 and a.entry_tif == TIF_GTC))
            and a.entry_tif < TIF_COUNT and a.entry_tif != TIF_GTD
            and (entry == 0 or way * (entry - a.stop_px_ticks) > 0)
            and (entry == 0 or a.target_px_ticks == 0 or way * (a.target_px_ticks - entry) > 0)
            and (a.target_px_ticks == 0 or way * (a.target_px_ticks - a.stop_px_ticks) > 0))


cdef int _begin(brackets_t* t, const bracket_terms_t* a, int64_t now_ns, bracket_t** out) noexcept nogil:
    """A bracket with its terms, in WAITING, no leg placed."""
    cdef bracket_t* b
    if not _terms_are_whole(a):
        t.refused_count += 1
        return BRACKET_BAD_TERMS
    b = _take_slot(t)
    if b == NULL:
        t.refused_count += 1
        return BRACKET_TABLE_FULL
    b.symbol, b.strategy, b.signal = a.symbol, a.strategy, a.signal
    b.kind, b.sell, b.flags = a.kind, a.sell, a.flags
    b.entry_ns, b.hold_ns, b.qty_lots = a.entry_ns, a.hold_ns, a.qty_lots
    leg_of(b, LEG_ENTRY).px_ticks = a.entry_px_ticks
    leg_of(b, LEG_ENTRY).type = TYPE_LIMIT if a.entry_px_ticks else TYPE_MARKET
    leg_of(b, LEG_ENTRY).tif = a.entry_tif if a.entry_px_ticks else <uint8_t>TIF_IOC
    leg_of(b, LEG_ENTRY).sell = a.sell
    leg_of(b, LEG_STOP).px_stop_ticks = a.stop_px_ticks
    leg_of(b, LEG_STOP).px_ticks = a.stop_limit_px_ticks
    leg_of(b, LEG_STOP).type = TYPE_STOP_LIMIT if a.stop_limit_px_ticks else TYPE_STOP
    leg_of(b, LEG_TARGET).px_ticks = a.target_px_ticks
    leg_of(b, LEG_TARGET).type = TYPE_LIMIT
    leg_of(b, LEG_UNWIND).type = TYPE_MARKET
    leg_of(b, LEG_UNWIND).tif = TIF_IOC
    b.phase = PHASE_WAITING
    b.ts_changed_ns = now_ns
    b.deadline_ns = now_ns + a.entry_ns
    if b.deadline_ns < t.due_least_ns:
        t.due_least_ns = b.deadline_ns
    t.live_count += 1
    t.opened_count += 1
    out[0] = b
    return OK


cdef int brackets_open(brackets_t* t, const bracket_terms_t* terms, int64_t now_ns, bracket_action_t* out,
                       uint64_t* count, uint32_t* handle) noexcept nogil:
    """A new bracket; `out` gets its first actions: place the entry, or the stop over a position held already."""
    cdef bracket_t* b = NULL
    cdef int status = _begin(t, terms, now_ns, &b)
    count[0] = 0
    handle[0] = 0
    if status != OK:
        return status
    handle[0] = b.handle
    if terms.kind == BRACKET_OCO:
        b.base_lots = terms.qty_lots
    else:
        place_leg(b, LEG_ENTRY, terms.qty_lots, b.sell, out, count)
    _settle(t, b, now_ns, out, count)
    return OK


cdef void _mirror(bracket_t* b, leg_t* leg, const order_t* o) noexcept nogil:
    """Copy what the order says about itself."""
    cdef int64_t known = o.told_lots if o.told_lots > o.filled_lots else o.filled_lots
    if o.qty_lots != leg.qty_lots or known != leg.filled_lots:
        leg.asks = 0
    leg.state = o.state
    leg.qty_lots = o.qty_lots
    leg.qty_new_lots = o.qty_new_lots
    leg.filled_lots = known


cdef void _bind(bracket_t* b, int which, order_t* o) noexcept nogil:
    cdef leg_t* leg = &b.legs[which]
    if o == NULL:
        return
    o.bracket = b.handle
    o.leg = which
    # What it had filled before is part of the position that was found.
    o.counted_lots = o.told_lots if o.told_lots > o.filled_lots else o.filled_lots
    leg.id_order = o.id_order
    leg.sell = o.sell
    leg.places = 1
    _mirror(b, leg, o)


cdef int brackets_adopt(brackets_t* t, const bracket_terms_t* terms, order_t* entry, order_t* stop, order_t* target,
                        int64_t now_ns, bracket_action_t* out, uint64_t* count, uint32_t* handle) noexcept nogil:
    """A bracket over what was found at the venue: a position of `qty_lots` and whichever of its orders live (NULL for
    one that does not). A missing stop is placed at once."""
    cdef bracket_t* b = NULL
    cdef bint exit_side = not terms.sell
    cdef int status
    count[0] = 0
    handle[0] = 0
    if ((entry != NULL and (entry.sell != terms.sell or entry.symbol != terms.symbol))
            or (stop != NULL and (stop.sell != exit_side or stop.symbol != terms.symbol))
            or (target != NULL and (target.sell != exit_side or target.symbol != terms.symbol))):
        t.refused_count += 1
        return BRACKET_BAD_TERMS
    status = _begin(t, terms, now_ns, &b)
    if status != OK:
        return status
    handle[0] = b.handle
    b.base_lots = terms.qty_lots
    _bind(b, LEG_ENTRY, entry)
    _bind(b, LEG_STOP, stop)
    _bind(b, LEG_TARGET, target)
    if entry != NULL:
        b.qty_lots += open_of(leg_of(b, LEG_ENTRY))
    _settle(t, b, now_ns, out, count)
    return OK


cdef void brackets_placed(brackets_t* t, order_t* o) noexcept nogil:
    """The order of a PLACE action now exists: `o.bracket` and `o.leg` name its leg. Also after an amend or a cancel
    could not be asked for: the leg looks at its order again."""
    cdef bracket_t* b = brackets_find(t, o.bracket)
    cdef leg_t* leg
    if b == NULL or o.leg >= <uint32_t>LEG_COUNT:
        return
    leg = &b.legs[o.leg]
    if leg.id_order == 0:
        leg.id_order = o.id_order
    if leg.id_order == o.id_order:
        _mirror(b, leg, o)


cdef uint64_t brackets_refused(brackets_t* t, uint32_t handle, int leg, int64_t now_ns,
                               bracket_action_t* out) noexcept nogil:
    """A PLACE action was not carried out: the gate or the order table said no. Within one event they say it again, so
    an exit's attempts are used up at once: a stop that is denied is a position to be closed."""
    cdef bracket_t* b = brackets_find(t, handle)
    cdef uint64_t n = 0
    cdef uint16_t most
    if b == NULL or leg >= <int>LEG_COUNT or b.legs[leg].id_order != 0:
        return 0
    b.legs[leg].state = STATE_DENIED
    most = t.config.unwinds_max if leg == LEG_UNWIND else t.config.places_max
    if leg != LEG_ENTRY and b.legs[leg].places < most:
        b.legs[leg].places = most
    _settle(t, b, now_ns, out, &n)
    return n


cdef uint64_t brackets_on_order(brackets_t* t, order_t* o, int64_t now_ns, bracket_action_t* out) noexcept nogil:
    """Look at an order after any change of it. Idempotent: what was counted of it is written on it."""
    cdef bracket_t* b
    cdef leg_t* leg
    cdef int64_t known = o.told_lots if o.told_lots > o.filled_lots else o.filled_lots
    cdef int64_t news = known - o.counted_lots
    cdef uint64_t n = 0
    if o.bracket == 0:
        return 0
    b = brackets_find(t, o.bracket)
    if unlikely(b == NULL or o.leg >= <uint32_t>LEG_COUNT):
        if news != 0:
            o.counted_lots = known
            t.orphan_count += 1
            t.incident_count += 1
            memset(&out[0], 0, sizeof(bracket_action_t))
            out[0].kind = BRACKET_INCIDENT
            out[0].handle = o.bracket
            out[0].symbol = o.symbol
            out[0].id_order = o.id_order
            out[0].qty_lots = INCIDENT_ORPHAN
            return 1
        return 0
    leg = &b.legs[o.leg]
    if o.leg == LEG_ENTRY:
        b.owed_lots = known
        # Counted before any fill: what an adopted entry had filled is part of the position that was found.
        known = o.filled_lots if o.filled_lots > o.counted_lots else o.counted_lots
        b.owed_lots -= known
        news = known - o.counted_lots
    o.counted_lots = known
    # An unwind on the entry's side buys an overshoot back; every other child takes out of the position.
    if o.leg == LEG_UNWIND and o.sell == b.sell:
        b.over_lots += news
    else:
        leg.total_lots += news
    if leg.id_order == o.id_order:
        _mirror(b, leg, o)
    if b.flags & BRACKET_FOLLOWS and bracket_held_lots(b) < 0:
        # Beyond flat it is another position, which has a bracket of its own.
        b.base_lots -= bracket_held_lots(b)
    _settle(t, b, now_ns, out, &n)
    return n


cdef uint64_t brackets_outside(brackets_t* t, uint32_t handle, int64_t lots, int64_t now_ns,
                               bracket_action_t* out) noexcept nogil:
    """An order that is none of its legs has closed `lots` of what it holds: every exit follows at once."""
    cdef bracket_t* b = brackets_find(t, handle)
    cdef uint64_t n = 0
    if b != NULL and lots > 0:
        b.outside_lots += lots
        _settle(t, b, now_ns, out, &n)
    return n


cdef uint64_t brackets_follow(brackets_t* t, uint32_t handle, int64_t lots, int64_t now_ns,
                              bracket_action_t* out) noexcept nogil:
    """The position it protects is `lots` now, before what outside orders closed of it. By level: told twice is told once."""
    cdef bracket_t* b = brackets_find(t, handle)
    cdef uint64_t n = 0
    cdef int64_t want
    if b == NULL or not b.flags & BRACKET_FOLLOWS or b.phase == PHASE_CLOSED:
        return 0
    want = lots - b.outside_lots
    want = want if want > 0 else 0
    b.base_lots += want - bracket_held_lots(b)
    b.qty_lots = want if want > b.qty_lots else b.qty_lots
    _settle(t, b, now_ns, out, &n)
    return n


cdef uint64_t brackets_recall(brackets_t* t, uint32_t handle, int64_t now_ns, bracket_action_t* out) noexcept nogil:
    """The entry is not wanted any more. What it brought in stays protected."""
    cdef bracket_t* b = brackets_find(t, handle)
    cdef uint64_t n = 0
    if b != NULL:
        b.flags |= BRACKET_RECALLED
        _settle(t, b, now_ns, out, &n)
    return n


cdef uint64_t brackets_flatten(brackets_t* t, uint32_t handle, int64_t now_ns, bracket_action_t* out) noexcept nogil:
    """Out of everything: recall, cancel, close at market."""
    cdef bracket_t* b = brackets_find(t, handle)
    cdef uint64_t n = 0
    if b != NULL:
        pass_row(t, b, SIGN_FLATTEN, False, now_ns, out, &n)
        b.flags |= BRACKET_RECALLED
        _settle(t, b, now_ns, out, &n)
    return n


cdef uint64_t brackets_due(brackets_t* t, int64_t now_ns, bracket_action_t* out, uint64_t out_max) noexcept nogil:
    """Deadlines. What does not fit into `out_max` actions is due again at the next call."""
    cdef uint64_t i, n = 0, one
    cdef int64_t least = NEVER_NS
    cdef bracket_t* b
    if now_ns < t.due_least_ns:
        return 0
    for i in range(t.config.capacity):
        b = &brackets_slots(t)[i]
        if b.handle == 0:
            continue
        if b.deadline_ns <= now_ns and n + BRACKET_ACTIONS_MAX <= out_max:
            one = 0
            if b.lates < 0xFFFF:
                b.lates += 1
            # Tried often enough: the phase that can give up does.
            if b.lates > t.config.lates_max and bracket_next(b.phase, SIGN_GIVE_UP) != PHASE_FREE:
                pass_row(t, b, SIGN_GIVE_UP, True, now_ns, &out[n], &one)
            else:
                pass_row(t, b, SIGN_LATE, True, now_ns, &out[n], &one)
            _settle(t, b, now_ns, &out[n], &one)
            n += one
        if b.deadline_ns < least:
            least = b.deadline_ns
    t.due_least_ns = least
    return n


cdef int brackets_check(brackets_t* t) noexcept nogil:
    """Walk every invariant; 0, or the number of the first one that is broken."""
    cdef uint64_t i, live = 0, closed = 0, free = 0
    cdef uint32_t at
    cdef int64_t held
    cdef bracket_t* b
    cdef int k
    for i in range(t.config.capacity):
        b = &brackets_slots(t)[i]
        if b.handle == 0:
            free += 1
            continue
        if (b.handle & 0xFFFF) != i + 1 or not PHASE_WAITING <= b.phase < PHASE_COUNT:
            return 1
        if (b.deadline_ns == NEVER_NS) != (b.phase == PHASE_CLOSED) or b.deadline_ns < t.due_least_ns:
            return 2
        live += b.phase != PHASE_CLOSED
        held = bracket_held_lots(b)
        # The stated worst case.
        if held > b.qty_lots or held < -(b.base_lots + leg_of(b, LEG_ENTRY).total_lots + b.outside_lots):
            return 3
        for k in range(<int>LEG_COUNT):
            if b.legs[k].filled_lots > b.legs[k].qty_lots + b.legs[k].qty_new_lots or b.legs[k].total_lots < 0:
                return 4
        if b.phase == PHASE_CLOSED and (held != 0 or lives(leg_of(b, LEG_STOP)) or lives(leg_of(b, LEG_TARGET))
                                        or lives(leg_of(b, LEG_ENTRY)) or lives(leg_of(b, LEG_UNWIND))):
            return 5
        if b.phase == PHASE_COVERED and not covers(leg_of(b, LEG_STOP), held):
            return 6
    at = t.closed_head
    while at != <uint32_t>ORDER_NONE:
        if brackets_slots(t)[at].phase != PHASE_CLOSED:
            return 7
        closed += 1
        at = brackets_slots(t)[at].next
    if live != t.live_count or live + closed + free != t.config.capacity:
        return 8
    return 0


# ------------------------------------------------------------------------------------------------- the face for Python
cdef bracket_terms_t _terms_from(dict fields):
    cdef bracket_terms_t a
    memset(&a, 0, sizeof(a))
    a.kind = fields.pop("kind", BRACKET_OTOCO)
    a.sell = fields.pop("sell", 0)
    a.qty_lots = fields.pop("qty", 1)
    a.entry_px_ticks = fields.pop("entry_px", 0)
    a.stop_px_ticks = fields.pop("stop_px", 0)
    a.stop_limit_px_ticks = fields.pop("stop_limit_px", 0)
    a.target_px_ticks = fields.pop("target_px", 0)
    a.entry_ns = fields.pop("entry_ns", 1000)
    a.hold_ns = fields.pop("hold_ns", 10_000)
    a.flags = fields.pop("flags", 0)
    a.symbol = fields.pop("symbol", 0)
    a.strategy = fields.pop("strategy", 0)
    a.signal = fields.pop("signal", 0)
    a.entry_tif = fields.pop("entry_tif", 0)
    if fields:
        raise_status(BRACKET_BAD_TERMS, f"unknown terms: {sorted(fields)}")
    return a


cdef list _rows(bracket_action_t* out, uint64_t count):
    cdef uint64_t i
    rows = []
    for i in range(count):
        row = <object>out[i]
        row["kind"] = bracket_action_kind_t(row["kind"])
        row["leg"] = bracket_leg_t(row["leg"])
        rows.append(row)
    return rows


@cython.final
cdef class Brackets:
    """A table of its own: for tests and tools. Methods return the actions as dictionaries."""

    def __cinit__(self, *, uint64_t capacity=4, int64_t protect_ns=100, int64_t unwind_ns=100, int64_t close_ns=100,
                  int64_t alarm_ns=1000, uint16_t places_max=8, uint16_t unwinds_max=3, uint16_t asks_max=3,
                  uint16_t lates_max=2):
        cdef brackets_config_t c = brackets_config(capacity)
        c.protect_ns, c.unwind_ns, c.close_ns, c.alarm_ns = protect_ns, unwind_ns, close_ns, alarm_ns
        c.places_max, c.unwinds_max, c.asks_max, c.lates_max = places_max, unwinds_max, asks_max, lates_max
        self.size = brackets_bytes(&c)
        self.c = <brackets_t*>block_new(self.size)
        if brackets_init(self.c, &c) != OK:
            raise_status(BRACKET_BAD_TERMS, f"capacity={capacity}")

    def __dealloc__(self):
        block_free(self.c)

    def open(self, *, int64_t now=0, **fields):
        """(status, handle, actions)."""
        cdef bracket_action_t out[BRACKET_ACTIONS_MAX]
        cdef bracket_terms_t terms = _terms_from(fields)
        cdef uint64_t count = 0
        cdef uint32_t handle = 0
        status = brackets_open(self.c, &terms, now, out, &count, &handle)
        return status, handle, _rows(out, count)

    def adopt(self, Orders orders not None, *, int64_t entry=0, int64_t stop=0, int64_t target=0, int64_t now=0, **fields):
        """(status, handle, actions) over orders that `orders` holds, by their ids."""
        cdef bracket_action_t out[BRACKET_ACTIONS_MAX]
        cdef bracket_terms_t terms = _terms_from(fields)
        cdef uint64_t count = 0
        cdef uint32_t handle = 0
        status = brackets_adopt(self.c, &terms, orders_find(orders.c, entry), orders_find(orders.c, stop),
                                orders_find(orders.c, target), now, out, &count, &handle)
        return status, handle, _rows(out, count)

    def on_order(self, Orders orders not None, int64_t id_order, *, int64_t now=0):
        cdef bracket_action_t out[BRACKET_ACTIONS_MAX]
        cdef order_t* o = orders_find(orders.c, id_order)
        return [] if o == NULL else _rows(out, brackets_on_order(self.c, o, now, out))

    def placed(self, Orders orders not None, int64_t id_order):
        cdef order_t* o = orders_find(orders.c, id_order)
        if o != NULL:
            brackets_placed(self.c, o)

    def refused(self, uint32_t handle, int leg, *, int64_t now=0):
        cdef bracket_action_t out[BRACKET_ACTIONS_MAX]
        return _rows(out, brackets_refused(self.c, handle, leg, now, out))

    def recall(self, uint32_t handle, *, int64_t now=0):
        cdef bracket_action_t out[BRACKET_ACTIONS_MAX]
        return _rows(out, brackets_recall(self.c, handle, now, out))

    def flatten(self, uint32_t handle, *, int64_t now=0):
        cdef bracket_action_t out[BRACKET_ACTIONS_MAX]
        return _rows(out, brackets_flatten(self.c, handle, now, out))

    def outside(self, uint32_t handle, int64_t lots, *, int64_t now=0):
        cdef bracket_action_t out[BRACKET_ACTIONS_MAX]
        return _rows(out, brackets_outside(self.c, handle, lots, now, out))

    def follow(self, uint32_t handle, int64_t lots, *, int64_t now=0):
        cdef bracket_action_t out[BRACKET_ACTIONS_MAX]
        return _rows(out, brackets_follow(self.c, handle, lots, now, out))

    def due(self, int64_t now):
        cdef bracket_action_t out[4 * BRACKET_ACTIONS_MAX]
        return _rows(out, brackets_due(self.c, now, out, 4 * BRACKET_ACTIONS_MAX))

    def find(self, uint32_t handle):
        """The bracket as a dictionary, or None."""
        cdef bracket_t* b = brackets_find(self.c, handle)
        if b == NULL:
            return None
        row = <object>b[0]
        row["phase"] = BracketPhase(row["phase"])
        row["held_lots"] = bracket_held_lots(b)
        row["stop_open_lots"] = open_of(leg_of(b, LEG_STOP)) if lives(leg_of(b, LEG_STOP)) else 0
        return row

    def brief(self, uint32_t handle):
        """(phase, held, deadline, id of the stop's order) as numbers: what enumerations ask for most."""
        cdef bracket_t* b = brackets_find(self.c, handle)
        if b == NULL:
            return None
        return b.phase, bracket_held_lots(b), b.deadline_ns, leg_of(b, LEG_STOP).id_order

    @property
    def trouble_count(self):
        return self.c.refused_count + self.c.illegal_count + self.c.orphan_count

    @property
    def counts(self):
        row = <object>self.c[0]
        return {key: value for key, value in row.items() if key.endswith("_count")}

    def image(self):
        return (<char*>self.c)[:self.size]

    def load(self, const unsigned char[::1] image):
        """Take over an image of a table of the same shape."""
        if <size_t>image.shape[0] != self.size:
            raise_status(BRACKET_BAD_TERMS, f"{image.shape[0]} bytes, {self.size} expected")
        memcpy(self.c, &image[0], self.size)

    def check(self):
        cdef int broken = brackets_check(self.c)
        assert broken == 0, f"brackets: invariant {broken}"

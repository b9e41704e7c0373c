"""What a bracket asks for: its legs placed, amended, cancelled, its incidents told; at most one request a leg.

Owns: the actions in the caller's array and what a leg counts as asked for. Does not own: carrying them out (the step), the
phases (brackets). Invariant: never two exits that could both fill beyond what is held.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memset

from engine._core.bracket_table cimport PHASE_CLOSED, PHASE_COVERED, PHASE_OVER, PHASE_STUCK
from engine._core.brackets cimport (
    BRACKET_ACTIONS_MAX, BRACKET_AMEND, BRACKET_AMEND_DOWN, BRACKET_AMEND_UP, BRACKET_CANCEL, BRACKET_INCIDENT,
    BRACKET_PLACE, BRACKET_RECALLED, INCIDENT_STUBBORN, LEG_ENTRY, LEG_STOP, LEG_TARGET, LEG_UNWIND, PHASE_BARE,
    PHASE_UNWINDING, bracket_action_t, bracket_held_lots, bracket_t, brackets_t, leg_of, leg_t,
)
from engine._core.brackets_look cimport lives, open_of, settled
from engine._core.debug cimport debug_assert
from engine._core.orders cimport (
    STATE_CREATED, STATE_PENDING_CANCEL, STATE_PENDING_REPLACE, STATE_UNKNOWN, TAG_BRACKET,
)


cdef inline bracket_action_t* emit(bracket_t* b, int kind, int leg, bracket_action_t* out, uint64_t* n) noexcept nogil:
    cdef bracket_action_t* a = &out[n[0]]
    debug_assert(n[0] < BRACKET_ACTIONS_MAX)
    n[0] += 1
    memset(a, 0, sizeof(bracket_action_t))
    a.handle = b.handle
    a.symbol = b.symbol
    a.strategy = b.strategy
    a.kind = <uint8_t>kind
    a.leg = <uint8_t>leg
    a.tag = TAG_BRACKET | <uint16_t>((((b.handle & 0xFFFF) - 1) << 2) | <uint32_t>leg)
    return a


cdef inline void tell_incident(brackets_t* t, bracket_t* b, int what, bracket_action_t* out, uint64_t* n) noexcept nogil:
    emit(b, BRACKET_INCIDENT, LEG_ENTRY, out, n).qty_lots = what
    b.incidents |= <uint32_t>1 << what
    t.incident_count += 1


cdef inline void place_leg(bracket_t* b, int which, int64_t lots, bint sell, bracket_action_t* out, uint64_t* n) noexcept nogil:
    cdef leg_t* leg = &b.legs[which]
    cdef bracket_action_t* a = emit(b, BRACKET_PLACE, which, out, n)
    # Counted as asked for from now on: a second look in the same event must not place it twice.
    leg.id_order = 0
    leg.state = STATE_CREATED
    leg.sell = sell
    leg.qty_lots = lots
    leg.qty_new_lots = 0
    leg.filled_lots = 0
    leg.places += 1
    leg.asks = 0
    a.qty_lots = lots
    a.px_ticks = leg.px_ticks
    a.px_stop_ticks = leg.px_stop_ticks
    a.type = leg.type
    a.tif = leg.tif
    a.sell = sell
    a.reduce_only = which != LEG_ENTRY


cdef inline void cancel_leg(brackets_t* t, bracket_t* b, int which, bracket_action_t* out, uint64_t* n) noexcept nogil:
    cdef leg_t* leg = &b.legs[which]
    # Before it is sent there is nothing to cancel; while a cancel is on its way, nothing to add.
    if not lives(leg) or leg.id_order == 0 or leg.state == STATE_PENDING_CANCEL:
        return
    if leg.state == STATE_UNKNOWN and leg.asks:
        return                    # asked; the next deadline asks again
    if leg.asks >= t.config.asks_max:
        if not b.incidents & (<uint32_t>1 << INCIDENT_STUBBORN):
            tell_incident(t, b, INCIDENT_STUBBORN, out, n)
        return
    leg.asks += 1
    emit(b, BRACKET_CANCEL, which, out, n).id_order = leg.id_order
    if leg.state != STATE_UNKNOWN:
        leg.state = STATE_PENDING_CANCEL


cdef inline void resize_leg(brackets_t* t, bracket_t* b, int which, int64_t want, bracket_action_t* out,
                  uint64_t* n) noexcept nogil:
    """Make a child's open quantity what is wanted, by one request at most."""
    cdef leg_t* leg = &b.legs[which]
    cdef bint exit_side = not b.sell
    cdef int64_t have
    cdef int needed
    cdef bracket_action_t* a
    if not lives(leg):
        if want > 0 and leg.places < t.config.places_max:
            place_leg(b, which, want, exit_side, out, n)
        return
    if want == 0:
        cancel_leg(t, b, which, out, n)
        return
    have = open_of(leg)
    if have == want or not settled(leg):
        return
    needed = BRACKET_AMEND_DOWN if have > want else BRACKET_AMEND_UP
    # A venue that refuses the amend again and again gets a cancel instead, and a new order after it.
    if b.flags & needed and leg.asks + 1 < t.config.asks_max:
        a = emit(b, BRACKET_AMEND, which, out, n)
        a.id_order = leg.id_order
        a.px_ticks = leg.px_ticks
        a.qty_lots = leg.filled_lots + want
        leg.qty_new_lots = leg.filled_lots + want
        leg.state = STATE_PENDING_REPLACE
        leg.asks += 1
    else:
        cancel_leg(t, b, which, out, n)


cdef inline void unwind(brackets_t* t, bracket_t* b, int64_t lots, bint sell, bracket_action_t* out,
                  uint64_t* n) noexcept nogil:
    cdef leg_t* leg = leg_of(b, LEG_UNWIND)
    if lives(leg):
        # Too large or the wrong way: a late fill came in between.
        if leg.sell != sell or open_of(leg) > lots:
            cancel_leg(t, b, LEG_UNWIND, out, n)
    elif leg.places < t.config.unwinds_max:
        place_leg(b, LEG_UNWIND, lots, sell, out, n)


cdef inline void act(brackets_t* t, bracket_t* b, bracket_action_t* out, uint64_t* n) noexcept nogil:
    """Bring every leg towards what the phase and the held quantity want."""
    cdef int64_t held = bracket_held_lots(b)
    cdef int64_t target_want
    if b.flags & BRACKET_RECALLED and b.phase != PHASE_STUCK:
        cancel_leg(t, b, LEG_ENTRY, out, n)
    if b.phase == PHASE_BARE or b.phase == PHASE_COVERED:
        resize_leg(t, b, LEG_STOP, held, out, n)
        # The stop first: a target is placed and grown only over a covered position, but shrunk at once.
        target_want = held if leg_of(b, LEG_TARGET).px_ticks else 0
        if b.phase == PHASE_COVERED or (lives(leg_of(b, LEG_TARGET)) and open_of(leg_of(b, LEG_TARGET)) > held):
            resize_leg(t, b, LEG_TARGET, target_want, out, n)
    elif b.phase != PHASE_CLOSED and b.phase != PHASE_STUCK:
        resize_leg(t, b, LEG_STOP, 0, out, n)
        resize_leg(t, b, LEG_TARGET, 0, out, n)
        if b.phase == PHASE_OVER:
            unwind(t, b, -held, b.sell, out, n)
        elif b.phase != PHASE_UNWINDING:
            cancel_leg(t, b, LEG_UNWIND, out, n)
        elif not lives(leg_of(b, LEG_STOP)) and not lives(leg_of(b, LEG_TARGET)):
            # Only when no other exit lives: two at once could both fill.
            unwind(t, b, held, not b.sell, out, n)

"""Brackets: an entry with its stop and its target, as one machine. OCO, OTO, OTOCO.

Owns: which legs a bracket has, how much they filled, the phase and its deadline. Does not own: the orders of its legs
(orders), the verdict on them (risk), the sending. It reads an order after each change and answers with actions; whoever
calls it carries them out.

One number rules it: `held` = what came in (entry, or the position it was given) minus what went out (stop, target,
unwind). The wanted quantity of each child is a function of it, recomputed after every event and never accumulated; per
leg at most one order lives and at most one request is in flight. Of each order the venue's tally counts where it is
ahead of the fills, so a fill that is late or lost does not lead to a second exit.

Worst case, proved by enumeration: -(what came in) <= held <= the entry's quantity. The lower bound is the race in which
stop and target both fill; it has a name (OVER), an incident and an unwind.

Every phase but the final one has a deadline. A stop is not optional. What an order outside the bracket closes of its position is taken out of `held` as well. A bracket
that follows has no entry: it is told what is held, and beyond flat nothing is its own.

Cost: a few compares and one table look-up an
event; actions per call <= BRACKET_ACTIONS_MAX.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.bracket_table cimport (
    PHASE_BARE, PHASE_CLOSED, PHASE_CLOSING, PHASE_COUNT, PHASE_COVERED, PHASE_FREE, PHASE_OVER, PHASE_STUCK,
    PHASE_UNWINDING, PHASE_WAITING, SIGN_BARE, SIGN_BLOCKED, SIGN_COUNT, SIGN_COVERED, SIGN_FLAT, SIGN_FLATTEN,
    SIGN_GIVE_UP, SIGN_IDLE, SIGN_LATE, SIGN_LINGER, SIGN_OVER,
)
from engine._core.orders cimport order_t


cpdef enum bracket_leg_t:
    LEG_ENTRY = 0
    LEG_STOP = 1
    LEG_TARGET = 2
    LEG_UNWIND = 3
    LEG_COUNT = 4


cpdef enum bracket_kind_t:
    BRACKET_OCO = 0               # stop and target over a position that is already held
    BRACKET_OTO = 1               # entry, then stop
    BRACKET_OTOCO = 2             # entry, then stop and target


cpdef enum bracket_flag_t:
    BRACKET_AMEND_DOWN = 1        # the venue can shrink an order in place
    BRACKET_AMEND_UP = 2
    BRACKET_RECALLED = 4          # the entry is not wanted any more
    BRACKET_FOLLOWS = 8           # what it protects is a position that others change: see `brackets_follow`
    BRACKET_ASKED = 11            # the ones that terms may set


cpdef enum bracket_action_kind_t:
    BRACKET_PLACE = 1             # a new order of this leg; LEG_UNWIND is at market
    BRACKET_AMEND = 2             # to this total quantity
    BRACKET_CANCEL = 3
    BRACKET_INCIDENT = 4          # qty_lots is a bracket_incident_t


cpdef enum bracket_incident_t:
    INCIDENT_BOTH_FILLED = 1
    INCIDENT_UNPROTECTED = 2      # no stop in time, or none to be had
    INCIDENT_STUCK = 3
    INCIDENT_STILL_STUCK = 4
    INCIDENT_REOPENED = 5         # a fill after the end
    INCIDENT_STUBBORN = 6         # a leg refuses every amend and cancel
    INCIDENT_ORPHAN = 7           # a report for a bracket whose place was reused


cdef enum:
    BRACKET_ACTIONS_MAX = 12


cdef struct leg_t:                # one cache line
    int64_t id_order              # 0: none yet, or being placed
    int64_t qty_lots
    int64_t qty_new_lots          # amend in flight
    int64_t filled_lots           # of the order it has now
    int64_t total_lots            # of all its orders
    int64_t px_ticks
    int64_t px_stop_ticks
    uint8_t state                 # order_state_t
    uint8_t sell
    uint8_t type
    uint8_t tif
    uint16_t places               # orders placed so far
    uint16_t asks                 # amends and cancels since the last one that worked


cdef struct bracket_t:
    int64_t base_lots             # held before: what it was given to protect
    int64_t over_lots             # bought back after an overshoot
    int64_t qty_lots              # of the entry
    int64_t deadline_ns
    int64_t entry_ns
    int64_t hold_ns
    int64_t ts_changed_ns
    uint32_t handle               # generation << 16 | slot + 1; 0 when free
    uint16_t symbol
    uint16_t strategy
    # line 1
    uint16_t signal
    uint16_t lates                # deadlines passed in this phase
    uint8_t phase
    uint8_t kind
    uint8_t sell                  # side of the entry
    uint8_t flags
    uint32_t incidents            # bit per bracket_incident_t
    uint32_t next                 # free slots, or closed ones by age
    int64_t outside_lots          # closed by orders that are none of its legs
    int64_t owed_lots             # of the entry: the venue's tally knows of them, their fills have not come yet
    int64_t reserved[4]
    leg_t legs[4]


cdef struct bracket_terms_t:
    int64_t qty_lots              # of the entry, or held already (OCO)
    int64_t entry_px_ticks        # 0: at market
    int64_t stop_px_ticks
    int64_t stop_limit_px_ticks   # 0: at market when triggered
    int64_t target_px_ticks       # 0 only for OTO
    int64_t entry_ns              # how long the entry may work unfilled
    int64_t hold_ns               # how long the position may be held
    uint16_t symbol
    uint16_t strategy
    uint16_t signal
    uint8_t kind
    uint8_t sell
    uint8_t flags
    uint8_t entry_tif
    uint16_t reserved16
    uint32_t reserved32


cdef struct bracket_action_t:
    int64_t id_order
    int64_t px_ticks
    int64_t px_stop_ticks
    int64_t qty_lots
    uint32_t handle
    uint16_t symbol
    uint16_t tag
    uint8_t kind
    uint8_t leg
    uint8_t type
    uint8_t tif
    uint8_t sell
    uint8_t reduce_only
    uint16_t strategy


cdef struct brackets_config_t:
    uint64_t capacity             # up to 8191
    int64_t protect_ns            # from the first fill to a live stop
    int64_t unwind_ns
    int64_t close_ns
    int64_t alarm_ns
    uint16_t places_max           # orders of one leg; a resize without amend is one
    uint16_t unwinds_max
    uint16_t asks_max
    uint16_t lates_max


cdef struct brackets_t:           # the brackets follow
    brackets_config_t config
    uint64_t live_count
    uint64_t refused_count
    uint64_t illegal_count
    # line 1
    uint64_t incident_count
    uint64_t orphan_count
    int64_t due_least_ns
    uint32_t free_head
    uint32_t closed_head
    uint32_t closed_tail
    uint32_t reserved32
    uint64_t opened_count
    int64_t reserved[9]


cdef brackets_config_t brackets_config(uint64_t capacity) noexcept nogil
cdef size_t brackets_bytes(const brackets_config_t* c) noexcept nogil
cdef int brackets_init(brackets_t* t, const brackets_config_t* c) noexcept nogil
cdef int brackets_open(brackets_t* t, const bracket_terms_t* terms, int64_t now_ns, bracket_action_t* out,
                       uint64_t* count, uint32_t* handle) noexcept nogil
cdef int brackets_adopt(brackets_t* t, const bracket_terms_t* terms, order_t* entry, order_t* stop, order_t* target,
                        int64_t now_ns, bracket_action_t* out, uint64_t* count, uint32_t* handle) noexcept nogil
cdef bracket_t* brackets_find(brackets_t* t, uint32_t handle) noexcept nogil
cdef uint64_t brackets_on_order(brackets_t* t, order_t* o, int64_t now_ns, bracket_action_t* out) noexcept nogil
cdef void brackets_placed(brackets_t* t, order_t* o) noexcept nogil
cdef uint64_t brackets_refused(brackets_t* t, uint32_t handle, int leg, int64_t now_ns,
                               bracket_action_t* out) noexcept nogil
cdef uint64_t brackets_recall(brackets_t* t, uint32_t handle, int64_t now_ns, bracket_action_t* out) noexcept nogil
cdef uint64_t brackets_flatten(brackets_t* t, uint32_t handle, int64_t now_ns, bracket_action_t* out) noexcept nogil
cdef uint64_t brackets_outside(brackets_t* t, uint32_t handle, int64_t lots, int64_t now_ns,
                               bracket_action_t* out) noexcept nogil
cdef uint64_t brackets_follow(brackets_t* t, uint32_t handle, int64_t lots, int64_t now_ns,
                              bracket_action_t* out) noexcept nogil
cdef uint64_t brackets_due(brackets_t* t, int64_t now_ns, bracket_action_t* out, uint64_t out_max) noexcept nogil
cdef int brackets_check(brackets_t* t) noexcept nogil


cdef inline bracket_t* brackets_slots(brackets_t* t) noexcept nogil:
    return <bracket_t*>(t + 1)

cdef inline leg_t* leg_of(const bracket_t* b, int which) noexcept nogil:
    return <leg_t*>&b.legs[which]

cdef inline int64_t bracket_held_lots(const bracket_t* b) noexcept nogil:
    """In the direction of the entry: positive is held, negative is overshot."""
    return (b.base_lots + leg_of(b, LEG_ENTRY).total_lots + b.over_lots - leg_of(b, LEG_STOP).total_lots
            - leg_of(b, LEG_TARGET).total_lots - leg_of(b, LEG_UNWIND).total_lots - b.outside_lots)


cdef class Brackets:
    cdef brackets_t* c
    cdef size_t size

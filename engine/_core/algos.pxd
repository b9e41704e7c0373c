"""Execution algorithms: a parent order cut into children by time (TWAP), by a volume profile (VWAP), by volume (POV),
or shown a part at a time (ICEBERG, where the venue has none).

Owns: the parent's schedule, what was filled, what is out, when it is over. Does not own: orders. It answers events
with actions - place a child, cancel a child - which the step carries through the same gate as any wish; a denied
child comes back as one that ended unfilled.

One child is out at a time. The schedule is a cumulative quantity: never more than it is filled or out ("never
early"). What a slice leaves unfilled is, by the catch-up policy, added to the next one, spread over those left, or
given up. A child that ends short keeps its slice closed, so a venue that refuses is asked once a slice and not once
an event.

An iceberg has no schedule and no end: a child of the shown quantity rests at its limit, the next one follows when it is
filled, and after a child that ended short the next try waits for `slice_ns`.

Invariants: filled + out never exceed the parent, except by fills that were reported for a child after its end, which
are counted; filled + out never exceed the schedule nor the participation cap when a child is placed; an ended parent
has nothing out. Products go through 128 bits; every rounding of a schedule is down.
Cost: a time event between slices is a few compares.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t


cpdef enum algo_kind_t:
    ALGO_TWAP = 1
    ALGO_VWAP = 2
    ALGO_POV = 3
    ALGO_ICEBERG = 4              # no end: `end_ns` is 0


cpdef enum algo_catch_up_t:
    CATCH_UP_NEVER = 0            # what a slice missed is given up
    CATCH_UP_SPREAD = 1           # spread evenly over the slices that are left
    CATCH_UP_AT_ONCE = 2          # all of it in the next slice


cpdef enum algo_style_t:
    STYLE_TAKE = 0                # limit order at the opposite touch, immediate or cancel
    STYLE_REST = 1                # rests at our own touch


cpdef enum algo_end_t:
    END_SHORT = 0                 # what is left at the end stays undone
    END_SWEEP = 1                 # one last immediate-or-cancel child for it


cpdef enum algo_state_t:
    ALGO_FREE = 0
    ALGO_WAITING = 1              # its start has not come
    ALGO_WORKING = 2
    ALGO_ENDING = 3               # its end has come; a child is still out, or the sweep is due
    ALGO_SWEEPING = 4
    ALGO_CANCELING = 5            # asked to stop; a child is still out
    ALGO_FILLED = 6
    ALGO_SHORT = 7                # over with something left undone
    ALGO_CANCELED = 8


cpdef enum algo_action_kind_t:
    ACTION_NONE = 0
    ACTION_PLACE = 1
    ACTION_CANCEL = 2


cdef enum:
    PROFILE_MAX = 32
    ALGO_QTY_BITS = 43            # bounds that keep a VWAP's product below 2**127
    ALGO_NS_BITS = 47             # some 39 hours
    ALGO_WEIGHT_BITS = 31


cdef struct algo_config_t:        # 384 bytes
    int64_t kind
    int64_t symbol
    int64_t sell
    int64_t qty_lots
    int64_t limit_px_ticks        # worst price of any child; 0 for none
    int64_t start_ns
    int64_t end_ns
    int64_t slice_ns
    int64_t slice_min_lots        # no child smaller than this
    int64_t slice_max_lots        # nor larger; 0 for none
    int64_t cap_e8                # largest share of the market's volume, in 1e-8; POV's rate; 0 for none
    int64_t catch_up
    int64_t style
    int64_t end_policy
    int64_t bucket_count          # of the volume profile
    int64_t strategy
    int64_t weights[32]


cdef struct algo_t:               # 576 bytes
    int64_t id_algo
    int64_t state
    int64_t now_ns
    int64_t slice_count
    int64_t slice_index           # the slice we are in, -1 before the first
    int64_t settled               # this slice's release was computed
    int64_t closed                # nothing more is placed in this slice
    int64_t schedule_lots         # of the slices released so far
    int64_t release_lots          # filled + given up + out may not exceed this
    int64_t filled_lots
    int64_t open_lots             # of the child that is out
    int64_t given_up_lots
    int64_t volume_lots           # the market's, since the start
    int64_t child                 # number of the newest child, from 1
    int64_t child_slice
    int64_t cancel_asked
    int64_t late_lots             # filled after the child's end was reported, or beyond its quantity
    int64_t child_px_ticks
    int64_t weight_sum
    int64_t held_lots             # due, but too small to be placed: carried into the next slice, never given up
    int64_t reserved[4]
    algo_config_t config


cdef struct algo_action_t:        # one cache line
    int64_t kind
    int64_t id_algo
    int64_t child
    int64_t sell
    int64_t qty_lots
    int64_t px_ticks
    int64_t immediate             # immediate or cancel
    int64_t reserved


cdef struct algos_t:              # the section's header; rows follow
    uint64_t capacity
    uint64_t live_count
    uint64_t refused_count
    int64_t counter
    int64_t reserved[4]


cdef size_t algos_bytes(uint64_t capacity) noexcept nogil
cdef int algos_init(algos_t* t, uint64_t capacity) noexcept nogil
cdef int algos_start(algos_t* t, const algo_config_t* config, int64_t* id_algo) noexcept nogil
cdef algo_t* algos_find(algos_t* t, int64_t id_algo) noexcept nogil
cdef void algos_volume(algos_t* t, int64_t symbol, int64_t qty_lots) noexcept nogil
cdef int algos_release(algos_t* t, int64_t id_algo) noexcept nogil
cdef int algo_time(algo_t* a, int64_t now_ns, int64_t bid_px_ticks, int64_t ask_px_ticks,
                   algo_action_t* out) noexcept nogil
cdef int algo_fill(algo_t* a, int64_t child, int64_t qty_lots) noexcept nogil
cdef int algo_child_ended(algo_t* a, int64_t child) noexcept nogil
cdef int algo_cancel_refused(algo_t* a, int64_t child) noexcept nogil
cdef int algo_cancel(algo_t* a) noexcept nogil


cdef inline algo_t* algos_rows(algos_t* t) noexcept nogil:
    return <algo_t*>(t + 1)

cdef inline bint algo_is_live(const algo_t* a) noexcept nogil:
    return a.state >= <int64_t>ALGO_WAITING and a.state <= <int64_t>ALGO_CANCELING


cdef class Algos:
    cdef algos_t* c
    cdef algo_t* _find(self, int64_t id_algo) except NULL
    cdef int _answer(self, int status, str detail) except -1

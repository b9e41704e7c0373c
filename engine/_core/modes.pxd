"""Modes: Normal, Paused, Reduced, Emergency; who may switch between them, and the plans that they start.

Owns: the mode, the schedule of Reduced, the flatten plan as one state machine over all symbols with a deadline per
state, and per symbol the attempts made. Does not own: orders and positions. It is shown one fact row per symbol, asks
for what has to be done in an array of actions, and sees the outcome in the next rows.

Invariants. A table names every switch, who may ask for it and under which conditions; a start is Paused. No action asks for
more than what is held less what is already being closed, so no action of this block can turn a position round or make it
larger. Every attempt is counted and capped, a retry waits for a position that the venue confirmed after the last
attempt ended, and every plan ends by its deadlines: flat, flat but for dust, or with the exact list of what is still
open. Dust is what no order may close: lots that the account does not own, or fewer than the smallest order.

Cost: a switch is one look at the table; a step of a plan is one pass over the symbols, a step without one a comparison.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cpdef enum mode_t:                # the numbers of gate_mode_t
    MODE_NORMAL = 0
    MODE_PAUSED = 1               # no new orders, what is there stays
    MODE_REDUCED = 2              # positions shrink on a schedule
    MODE_EMERGENCY = 3            # everything is closed
    MODE_COUNT = 4


cpdef enum who_t:
    WHO_HUMAN = 1
    WHO_ENGINE = 2                # a breaker, a drawdown: anything that the core itself found
    WHO_LATCH = 4


cpdef enum need_t:                # conditions of a switch
    NEED_LATCH_CLEAR = 1
    NEED_COOLDOWN = 2
    NEED_RECONCILED = 4
    NEED_PLAN_ENDED = 8


cpdef enum phase_t:
    PHASE_IDLE = 0
    PHASE_CANCEL = 1              # ask once for every symbol with live orders
    PHASE_CONFIRM = 2             # wait until none is live
    PHASE_FLATTEN = 3
    PHASE_VERIFY = 4              # the venue's own word that it is flat
    PHASE_REPORT = 5              # name what is open
    PHASE_ENDED = 6
    PHASE_COUNT = 7


cpdef enum outcome_t:
    OUTCOME_NONE = 0
    OUTCOME_FLAT = 1
    OUTCOME_PARTIAL = 2           # a deadline or a cap came first: the list says what is open
    OUTCOME_HALTED = 3            # two sources of equity disagree: entries taken back, positions left with their stops
    OUTCOME_CANCELED = 4
    OUTCOME_KEPT = 5
    OUTCOME_DUST = 6              # flat but for what no order may sell: the list says what it is


cpdef enum goal_t:                # on_exit
    GOAL_KEEP = 0
    GOAL_CANCEL = 1               # entries only: a position keeps its protection
    GOAL_FLATTEN = 2


cpdef enum act_t:
    ACT_CANCEL_ENTRIES = 1
    ACT_CANCEL_ALL = 2
    ACT_CANCEL_PLAN = 3           # the orders of this plan alone
    ACT_VERIFY = 4                # ask the venue for the position
    ACT_PLACE_LIMIT = 5           # reduce-only
    ACT_PLACE_MARKET = 6          # reduce-only, immediate
    ACT_OPEN = 7                  # still open: `qty_lots` is the signed position, `value` the live orders
    ACT_ENDED = 8                 # `value` is the outcome
    ACT_DUST = 9                  # left because no order may sell it: `qty_lots` is the signed position


cdef struct modes_config_t:
    int64_t cooldown_ns           # before Normal, since the last switch
    int64_t reduce_interval_ns
    int64_t reduce_share_ppm      # of the position at the switch, per interval
    int64_t reduce_target_ppm     # what is left in the end
    int64_t cancel_ns             # how long each state may last
    int64_t confirm_ns
    int64_t flatten_ns
    int64_t verify_ns
    int64_t retry_ns              # between two questions or two cancels of one symbol
    int64_t reprice_ns            # an order not filled by then is taken back
    int64_t give_ppm              # how much further each attempt goes
    int64_t band_ppm              # and how far from the mid at most
    int64_t attempts_standard
    int64_t attempts_aggressive
    int64_t cancels_max           # per attempt
    int64_t equity_agree_ppm


cdef struct modes_fact_t:         # one cache line: a symbol as it is now
    int64_t lots                  # signed
    int64_t open_buy_lots         # of live orders, UNKNOWN ones included; armed stops do not count
    int64_t open_sell_lots
    int64_t bid_px_ticks          # 0: not trusted
    int64_t ask_px_ticks
    int64_t qty_min_lots
    int64_t dust_lots             # of the position, unsigned: what nobody can sell, because it is not owned
    uint16_t orders_live
    uint16_t entries_live         # of them, not reduce-only
    uint16_t plan_live            # of them, placed for this block
    uint16_t reserved


cdef struct modes_ready_t:        # what a switch is judged by
    int64_t latch_clear
    int64_t reconciled
    int64_t equity_first          # two independent sources; 0 or less: unknown
    int64_t equity_second


cdef struct modes_action_t:
    uint32_t kind                 # act_t
    uint16_t symbol
    uint8_t sell
    uint8_t reserved
    int64_t px_ticks
    int64_t qty_lots
    int64_t value                 # attempt number; live orders; outcome


cdef struct modes_symbol_t:       # one cache line
    int64_t start_lots            # at the switch to Reduced
    int64_t placed_ns
    int64_t quiet_ns              # when the last attempt was seen to have ended
    int64_t asked_ns
    int64_t verified_ns           # the venue's position was true at this time
    int64_t verified_lots
    int64_t cancel_ns
    uint16_t attempts
    uint16_t cancels
    uint8_t working
    uint8_t stuck                 # attempts or cancels used up, or less than the smallest order
    uint8_t touched               # had a position or an order during the plan
    uint8_t reserved


cdef struct modes_t:              # the header; symbol rows follow
    modes_config_t config
    uint32_t symbol_count
    uint32_t mode
    uint32_t phase
    uint32_t outcome
    uint32_t goal
    uint32_t aggressive
    uint32_t halted
    uint32_t captured             # the positions at the switch to Reduced are noted
    int64_t since_ns              # of the mode
    int64_t begun_ns              # of the plan
    int64_t phase_ns
    int64_t cancel_by_ns
    int64_t confirm_by_ns
    int64_t flatten_by_ns
    int64_t verify_by_ns
    int64_t steps                 # of the schedule, done
    uint64_t next_symbol          # where the next pass begins: a short array serves all in turn
    uint64_t report_at
    uint64_t switch_count
    uint64_t refused_count
    uint64_t plan_count
    uint64_t action_count
    uint64_t human_count          # switches made by people
    uint64_t reserved[5]


cdef size_t modes_bytes(uint32_t symbols) noexcept nogil
cdef void modes_defaults(modes_config_t* config) noexcept nogil
cdef int modes_init(modes_t* m, const modes_config_t* config, uint32_t symbols) noexcept nogil
cdef int modes_switch(modes_t* m, uint32_t to, uint32_t who, bint aggressive, const modes_ready_t* ready,
                      int64_t now_ns) noexcept nogil
cdef void modes_exit(modes_t* m, uint32_t goal, bint aggressive, const modes_ready_t* ready, int64_t now_ns) noexcept nogil
cdef int modes_verified(modes_t* m, uint32_t symbol, int64_t lots, int64_t as_of_ns) noexcept nogil
cdef uint32_t modes_work(modes_t* m, const modes_fact_t* facts, int64_t now_ns, modes_action_t* out,
                         uint32_t room) noexcept nogil

cdef inline modes_symbol_t* modes_symbols(const modes_t* m) noexcept nogil:
    return <modes_symbol_t*>(m + 1)

cdef inline uint32_t modes_step(modes_t* m, const modes_fact_t* facts, int64_t now_ns, modes_action_t* out,
                                uint32_t room) noexcept nogil:
    """What has to be done now, at most `room` actions; the rest comes with the next call."""
    if m.mode != MODE_REDUCED and (m.phase == PHASE_IDLE or m.phase == PHASE_ENDED):
        return 0
    return modes_work(m, facts, now_ns, out, room)


cdef class Modes:
    cdef modes_t* c
    cdef modes_fact_t* facts

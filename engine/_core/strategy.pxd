"""A strategy's row in the world: whether it runs, its own limits, what it holds, its view.

Owns: status and reason of a stop, the limits that are this strategy's alone, its own position, the ids of the orders
that carry out its wishes, and the view with its parameters and state. Does not own: the account's limits (risk), the
orders themselves (orders), the pointer to its code (that differs from process to process and lives in the core).

A strategy is stopped alone, for one of the reasons below; the reason is data, so `why` can tell it and a replay
repeats it. A return value of 0 is known inside the step. The time it took is not, because the step reads no clock:
the driver measures it and sends KIND_STRATEGY as an ordinary input, which stands on the tape like every other.

Invariants: `stopped` and `reason` are set together; an approval is for one order of one side and never outlives its
time; `position_lots` is the sum of this strategy's fills; a held id names a live order of this strategy, its negative a
parent of it, or is 0. Cost: the limits are six compares.
"""
from libc.stdint cimport int64_t, uint32_t

from engine._core.strategy_abi cimport signal_t, view_t, wish_t, wishes_t


cpdef enum stop_reason_t:
    STOPPED_NOT = 0
    STOPPED_RETURN = 1            # it returned something other than OK: 0, or it raised
    STOPPED_OVERTIME = 2          # the driver measured it beyond its budget
    STOPPED_OPERATOR = 3
    STOPPED_WISH = 4              # it went on asking for what cannot be carried out


# Bits of a decision's `reasons`, above those of the gate (rule_t in risk.pxd).
cpdef enum strategy_rule_t:
    STRATEGY_RULE_APPROVAL = 53   # it would hold more than may be held without a person's word: see step_stake
    STRATEGY_RULE_SLIPPAGE = 54   # the live book would fill it too far from the mid, or cannot fill it
    STRATEGY_RULE_COST = 55       # its target does not earn back what it costs
    STRATEGY_RULE_WISH = 56       # malformed: see wish_fault_t
    STRATEGY_RULE_ORDER_LOTS = 57
    STRATEGY_RULE_POSITION = 58
    STRATEGY_RULE_ORDER_COUNT = 59
    STRATEGY_RULE_PLACE_RATE = 60
    STRATEGY_RULE_CARRY = 61      # well formed, but the order path cannot carry it out: never placed in part
    STRATEGY_RULE_SIZE = 62       # no size is left of it, or none can be said: see step_size


cpdef enum size_by_t:
    SIZE_BY_WISH = 0
    SIZE_BY_FRACTION = 1          # of equity: in value and in what is lost at the stop
    SIZE_BY_KELLY = 2             # and at most the part of Kelly's fraction that its own record speaks for


# What word[1] of a KIND_STRATEGY event asks for; word[0] is the strategy, word[2] the reason, word[3] a measurement.
cpdef enum strategy_act_t:
    STRATEGY_ACT_STOP = 1
    STRATEGY_ACT_RESUME = 2
    STRATEGY_ACT_APPROVE = 3      # word[2]: lots, negative to sell; word[3]: until when. One order, if every rule passes it


cdef enum:
    STRATEGY_HELD = 4             # two sides, TAGS tags


cdef struct strategy_limits_t:    # two cache lines; 0 means "no limit of its own"
    int64_t position_lots_max     # worst case: own position plus every own order of that side
    int64_t order_lots_max        # of an order; of a sliced parent, its largest child
    int64_t order_count_max       # live orders
    int64_t place_count_max       # new orders in `place_window_ns`
    int64_t place_window_ns
    int64_t wish_fault_max        # malformed wishes in a row before it is stopped
    int64_t nets                  # 1: its two sides net against each other: one stop follows its net position
    int64_t share_ppm             # its parents' largest share of the market's volume; POV's rate
    int64_t size_by               # size_by_t; a wish's quantity is then the most it may get
    int64_t size_share_ppm        # of equity: value, what is held included; 0: 2 %
    int64_t size_risk_ppm         # of equity: lost at the stop, fees both ways included; 0: 2 %
    int64_t kelly_part_ppm        # of Kelly's fraction; 0: half
    int64_t kelly_cap_ppm         # of equity: the largest such fraction; 0: 2 %
    int64_t slippage_ppm_max      # expected against the mid, of the order's value
    int64_t earns                 # 1: a target lies beyond the break-even of the complete cost
    int64_t reserved


cdef struct strategy_t:           # 1,920 bytes, 30 cache lines
    # line 0: what the step reads first
    uint32_t stopped
    uint32_t reason               # stop_reason_t
    uint32_t symbol
    uint32_t reserved_32
    int64_t decided_count
    int64_t position_lots
    int64_t stopped_ns
    int64_t stopped_detail        # of the reason: nanoseconds taken, the value returned, the mask of faults
    int64_t refused_count         # wishes that its own limits refused
    int64_t fault_row             # malformed wishes in a row
    # line 1
    strategy_limits_t limits
    # line 3: the orders that carry out its wishes, tag by tag, bid before ask; negative: a parent, not an order
    int64_t held[4]
    int64_t bought_lots
    int64_t sold_lots
    int64_t window_start_ns       # of the rate of new orders
    int64_t window_count
    # line 4: the last signal it gave
    signal_t signal
    # line 5: what a person approved, by side; used by one order, and gone when its time is over
    int64_t approved_buy_lots
    int64_t approved_sell_lots
    int64_t approved_buy_until_ns
    int64_t approved_sell_until_ns
    int64_t approved_count
    int64_t approvals_used
    int64_t reserved_5[2]
    view_t view


cdef int strategy_check_limits(strategy_t* s, const wish_t* wish, bint sell, int64_t own_open_lots,
                               int64_t own_order_count, int64_t now_ns, int64_t* reasons) noexcept nogil
cdef void strategy_stop(strategy_t* s, uint32_t reason, int64_t detail, int64_t now_ns) noexcept nogil
cdef int strategy_act(strategy_t* s, int64_t act, int64_t reason, int64_t detail, int64_t now_ns) noexcept nogil
cdef void strategy_decided(strategy_t* s, const wishes_t* wishes) noexcept nogil


cdef inline int64_t* strategy_held(strategy_t* s, int tag, bint sell) noexcept nogil:
    return &s.held[2 * tag + (1 if sell else 0)]


cdef inline bint strategy_approves(const strategy_t* s, bint sell, int64_t qty_lots, int64_t now_ns) noexcept nogil:
    """Whether a person's word covers an order of this side and size now."""
    if sell:
        return qty_lots <= s.approved_sell_lots and now_ns < s.approved_sell_until_ns
    return qty_lots <= s.approved_buy_lots and now_ns < s.approved_buy_until_ns


cdef inline void strategy_spend(strategy_t* s, bint sell) noexcept nogil:
    """An order went out on it: it covers no other."""
    if sell:
        s.approved_sell_lots = s.approved_sell_until_ns = 0
    else:
        s.approved_buy_lots = s.approved_buy_until_ns = 0
    s.approvals_used += 1


cdef inline void strategy_placed(strategy_t* s) noexcept nogil:
    s.window_count += 1
    s.fault_row = 0


cdef inline void strategy_fill(strategy_t* s, bint sell, int64_t qty_lots) noexcept nogil:
    """Every fill of its orders, late ones too."""
    if sell:
        s.position_lots -= qty_lots
        s.sold_lots += qty_lots
    else:
        s.position_lots += qty_lots
        s.bought_lots += qty_lots


cdef class Row:
    cdef strategy_t* c

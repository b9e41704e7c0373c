cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t

import numpy as np

from engine._core.strategy_abi import VIEW as _VIEW
from engine._core.strategy_abi import WISH

from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.strategy_abi cimport STRATEGY_ABI, WISH_REDUCE_ONLY, WISH_REST, wish_check, wish_slices, wish_t, wishes_t
from engine._core.types cimport OK, STRATEGY_BAD_ACT, raise_status


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(strategy_limits_t) == 128)
    static_assert_c(sizeof(strategy_t) == 1920)
    static_assert_c(<size_t>&(<strategy_t*>NULL).limits == 64)
    static_assert_c(<size_t>&(<strategy_t*>NULL).held == 192)
    static_assert_c(<size_t>&(<strategy_t*>NULL).signal == 256)
    static_assert_c(<size_t>&(<strategy_t*>NULL).view == 384)


cdef strategy_t _row
cdef strategy_limits_t _limits


def _with_view(flat):
    """The row's dtype with the view as strategies see it."""
    fields = {name: flat.fields[name] for name in flat.names}
    return np.dtype({
        "names": list(fields),
        "formats": [_VIEW if name == "view" else kind for name, (kind, _) in fields.items()],
        "offsets": [at for _, at in fields.values()],
        "itemsize": flat.itemsize,
    })


STRATEGY = _with_view(np.asarray(<strategy_t[:1]>&_row).dtype)
STRATEGY_LIMITS = np.asarray(<strategy_limits_t[:1]>&_limits).dtype
StopReason = stop_reason_t
StrategyRule = strategy_rule_t
SizeBy = size_by_t
StrategyAct = strategy_act_t


cdef inline int64_t _bit(int rule) noexcept nogil:
    return <int64_t>1 << rule


cdef int64_t _sum_capped(int64_t a, int64_t b) noexcept nogil:
    # Both are lots of bounded orders and positions; a hostile wish may still be INT64_MAX, and must not wrap.
    if b > 0 and a > INT64_MAX - b:
        return INT64_MAX
    return a + b


cdef int strategy_check_limits(strategy_t* s, const wish_t* wish, bint sell, int64_t own_open_lots,
                               int64_t own_order_count, int64_t now_ns, int64_t* reasons) noexcept nogil:
    """All rules of this strategy's own, for one new order. Returns 1 when it may go on to the gate.

    `own_open_lots` are its live orders of this side, `own_order_count` its live orders of both. `reasons` is the
    mask of all that failed. A reduce-only order skips the position limit: the gate checks that it reduces.
    """
    cdef int64_t failed = 0, faults, after
    faults = wish_check(wish, sell, now_ns)
    if faults:
        s.fault_row += 1
        s.refused_count += 1
        reasons[0] = _bit(STRATEGY_RULE_WISH)
        if s.limits.wish_fault_max and s.fault_row >= s.limits.wish_fault_max:
            strategy_stop(s, STOPPED_WISH, faults, now_ns)
        return 0
    s.fault_row = 0
    reasons[0] = 0
    if wish.kind != WISH_REST:
        return 1                  # asks for no order: its other fields were not checked and mean nothing
    if s.limits.order_lots_max and (wish.display_lots if wish_slices(wish) else wish.qty_lots) > s.limits.order_lots_max:
        failed |= _bit(STRATEGY_RULE_ORDER_LOTS)
    if s.limits.position_lots_max and not wish.flags & WISH_REDUCE_ONLY:
        after = _sum_capped(own_open_lots, wish.qty_lots)
        after = _sum_capped(after, -s.position_lots if sell else s.position_lots)
        if after > s.limits.position_lots_max:
            failed |= _bit(STRATEGY_RULE_POSITION)
    if s.limits.order_count_max and own_order_count >= s.limits.order_count_max:
        failed |= _bit(STRATEGY_RULE_ORDER_COUNT)
    if s.limits.place_count_max:
        # A fixed window, restarted by the first order after its end: at most twice the count in any window's
        # length, which is what a budget against runaway orders needs; the venue's own budget is exact.
        if now_ns - s.window_start_ns >= s.limits.place_window_ns:
            s.window_start_ns = now_ns
            s.window_count = 0
        if s.window_count >= s.limits.place_count_max:
            failed |= _bit(STRATEGY_RULE_PLACE_RATE)
    if failed:
        s.refused_count += 1
    reasons[0] = failed
    return failed == 0


cdef void strategy_stop(strategy_t* s, uint32_t reason, int64_t detail, int64_t now_ns) noexcept nogil:
    """Stop it alone. The first reason stays: a second one is a consequence."""
    if s.stopped:
        return
    s.stopped = 1
    s.reason = reason
    s.stopped_detail = detail
    s.stopped_ns = now_ns


cdef int strategy_act(strategy_t* s, int64_t act, int64_t reason, int64_t detail, int64_t now_ns) noexcept nogil:
    """Carry out a KIND_STRATEGY event. Its state survives a stop, so a resumed strategy goes on where it was."""
    # Two plain comparisons: Cython carries a chained one through the enum, whose C type is unsigned.
    if act == STRATEGY_ACT_STOP and reason > <int64_t>STOPPED_NOT and reason <= <int64_t>STOPPED_WISH:
        strategy_stop(s, <uint32_t>reason, detail, now_ns)
        return OK
    if act == STRATEGY_ACT_RESUME:
        s.stopped = 0
        s.reason = STOPPED_NOT
        s.stopped_detail = 0
        s.stopped_ns = 0
        s.fault_row = 0
        return OK
    if act == STRATEGY_ACT_APPROVE and reason != 0 and reason != INT64_MIN and detail > now_ns:
        # A newer word takes the place of an older one: two never add up.
        if reason < 0:
            s.approved_sell_lots, s.approved_sell_until_ns = -reason, detail
        else:
            s.approved_buy_lots, s.approved_buy_until_ns = reason, detail
        s.approved_count += 1
        return OK
    return STRATEGY_BAD_ACT


cdef void strategy_decided(strategy_t* s, const wishes_t* wishes) noexcept nogil:
    s.decided_count += 1
    if wishes.signal.valid:
        s.signal = wishes.signal


@cython.final
cdef class Row:
    """One strategy row in a block of its own, for tests and tools."""

    def __cinit__(self, **limits):
        self.c = <strategy_t*>block_new(sizeof(strategy_t))
        self.c.view.abi = STRATEGY_ABI
        rows = np.asarray(<strategy_limits_t[:1]>&self.c.limits)
        for name, value in limits.items():
            rows[name][0] = value

    def __dealloc__(self):
        block_free(self.c)

    def check_limits(self, wish, bint sell, *, int64_t own_open_lots, int64_t own_order_count, int64_t now_ns):
        """(may go on, mask of reasons)"""
        cdef int64_t reasons = 0
        cdef const unsigned char[::1] view = memoryview(np.array([wish], WISH)).cast("B")
        ok = strategy_check_limits(self.c, <const wish_t*>&view[0], sell, own_open_lots, own_order_count, now_ns,
                                   &reasons)
        return bool(ok), reasons

    def placed(self):
        strategy_placed(self.c)

    def fill(self, bint sell, int64_t qty_lots):
        strategy_fill(self.c, sell, qty_lots)

    def approves(self, bint sell, int64_t qty_lots, int64_t now_ns):
        return strategy_approves(self.c, sell, qty_lots, now_ns)

    def spend(self, bint sell):
        strategy_spend(self.c, sell)

    def stop(self, uint32_t reason, int64_t detail, int64_t now_ns):
        strategy_stop(self.c, reason, detail, now_ns)

    def act(self, int64_t act, int64_t reason, int64_t detail, int64_t now_ns):
        status = strategy_act(self.c, act, reason, detail, now_ns)
        if status != OK:
            raise_status(status, f"act {act}, reason {reason}")

    @property
    def state(self):
        """What can be observed, by name."""
        cdef strategy_t* s = self.c
        return {
            "stopped": s.stopped, "reason": s.reason, "stopped_detail": s.stopped_detail, "stopped_ns": s.stopped_ns,
            "position_lots": s.position_lots, "bought_lots": s.bought_lots, "sold_lots": s.sold_lots,
            "refused_count": s.refused_count, "fault_row": s.fault_row, "window_start_ns": s.window_start_ns,
            "window_count": s.window_count,
            "approved_buy_lots": s.approved_buy_lots, "approved_sell_lots": s.approved_sell_lots,
            "approved_buy_until_ns": s.approved_buy_until_ns, "approved_sell_until_ns": s.approved_sell_until_ns,
            "approved_count": s.approved_count, "approvals_used": s.approvals_used,
        }

    def check(self):
        """Walk the invariants."""
        cdef strategy_t* s = self.c
        assert s.position_lots == s.bought_lots - s.sold_lots, "position and fills disagree"
        assert (s.stopped == 0) == (s.reason == STOPPED_NOT), "stopped without a reason, or a reason without a stop"
        assert s.stopped or (s.stopped_ns == 0 and s.stopped_detail == 0), "detail of a stop that is not"
        assert s.view.abi == STRATEGY_ABI, "view of another layout"
        assert 0 <= s.window_count, "window"
        assert s.approved_buy_lots >= 0 and s.approved_sell_lots >= 0, "approval of less than nothing"
        assert (s.approved_buy_lots == 0) == (s.approved_buy_until_ns == 0), "approval without its time"
        assert (s.approved_sell_lots == 0) == (s.approved_sell_until_ns == 0), "approval without its time"
        assert s.approvals_used <= s.approved_count, "more approvals used than given"

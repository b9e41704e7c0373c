"""The venue's part in the loops that time a tick to its orders: outside the clock, so that the next tick places anew."""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.step cimport core_t, step
from engine._core.types cimport (
    KIND_INTENT_PLACE, KIND_ORDER_ACK, KIND_ORDER_CANCELED, event_t, intent_t, order_event_t,
)

cdef enum:
    ORDERS_MAX = 8


cdef inline uint64_t orders_placed(const core_t* core, intent_t* placed) noexcept nogil:
    """The orders among the last step's outputs."""
    cdef uint64_t i, count = 0
    for i in range(core.out_count):
        if core.out[i].kind == KIND_INTENT_PLACE and count < <uint64_t>ORDERS_MAX:
            memcpy(&placed[count], &core.out[i], sizeof(event_t))
            count += 1
    return count


cdef inline void orders_settle(core_t* core, const intent_t* placed, uint64_t count, int64_t now_ns) noexcept nogil:
    """Every new order is acknowledged and cancelled."""
    cdef order_event_t report
    cdef uint64_t i
    for i in range(count):
        memset(&report, 0, sizeof(report))
        report.kind = KIND_ORDER_ACK
        report.flags = placed[i].flags
        report.symbol = placed[i].symbol
        report.ts_recv_ns = now_ns
        report.id_order = placed[i].id_order
        step(core, <event_t*>&report)
        report.kind = KIND_ORDER_CANCELED
        step(core, <event_t*>&report)

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.brackets cimport (
    BRACKET_ACTIONS_MAX, BRACKET_CANCEL, BRACKET_OTOCO, BRACKET_PLACE, Brackets, bracket_action_t,
    bracket_terms_t, brackets_on_order, brackets_open, brackets_placed,
)
from engine._core.orders cimport (
    ON_ACK, ON_CANCELED, ON_CANCEL_ASKED, ON_GATE, ON_JOURNAL, ON_REPLACE_REFUSED, ON_SEND, ORDER_REDUCE_ONLY, Orders,
    order_fill_t, order_t, order_terms_t, orders_apply, orders_ask_replace, orders_create, orders_fill, orders_find,
    orders_t,
)


def transition(Orders orders not None, int64_t id_order, double[::1] samples_ns, int batch):
    """Amend asked, amend refused: two transitions that change the exposure, found by id each time."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / (2 * batch)
    cdef orders_t* t = orders.c
    cdef Py_ssize_t sample
    cdef uint64_t start, stop
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                orders_ask_replace(t, orders_find(t, id_order), 100, 20, i)
                orders_apply(t, orders_find(t, id_order), ON_REPLACE_REFUSED, i)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale


cdef void _sent(orders_t* t, order_t* o) noexcept nogil:
    orders_apply(t, o, ON_GATE, 0)
    orders_apply(t, o, ON_JOURNAL, 0)
    orders_apply(t, o, ON_SEND, 0)


cdef order_t* _filled(orders_t* t, order_t* o, int64_t* trade) noexcept nogil:
    cdef order_fill_t f
    memset(&f, 0, sizeof(f))
    trade[0] += 1
    f.id_order = o.id_order
    f.id_trade = trade[0]
    f.px_ticks = 100
    f.qty_lots = o.qty_lots - o.filled_lots
    f.symbol = o.symbol
    f.sell = o.sell
    orders_fill(t, &f, 0, &o)
    return o


def lifecycle(Orders orders not None, double[::1] samples_ns, int batch, int64_t trade):
    """New, gated, journaled, sent, acknowledged, filled: six transitions; each order has a new id."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef orders_t* t = orders.c
    cdef order_terms_t terms
    cdef order_t* o = NULL
    cdef Py_ssize_t sample
    cdef uint64_t start, stop
    cdef int i
    memset(&terms, 0, sizeof(terms))
    terms.px_ticks, terms.qty_lots = 100, 5
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                orders_create(t, &terms, 0, &o)
                _sent(t, o)
                orders_apply(t, orders_find(t, o.id_order), ON_ACK, 0)
                _filled(t, o, &trade)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return trade


cdef uint64_t _perform(orders_t* t, Brackets brackets, bracket_action_t* actions, uint64_t count,
                       order_t** placed) noexcept nogil:
    """What the step does with a bracket's actions, without gate and wire."""
    cdef order_terms_t terms
    cdef uint64_t i, n = 0
    cdef order_t* o
    for i in range(count):
        if actions[i].kind == BRACKET_PLACE:
            memset(&terms, 0, sizeof(terms))
            terms.px_ticks, terms.px_stop_ticks = actions[i].px_ticks, actions[i].px_stop_ticks
            terms.qty_lots, terms.symbol, terms.strategy = actions[i].qty_lots, actions[i].symbol, actions[i].strategy
            terms.tag, terms.sell, terms.type, terms.tif = actions[i].tag, actions[i].sell, actions[i].type, actions[i].tif
            terms.bracket, terms.leg = actions[i].handle, actions[i].leg
            terms.flags = ORDER_REDUCE_ONLY if actions[i].reduce_only else 0
            orders_create(t, &terms, 0, &o)
            _sent(t, o)
            brackets_placed(brackets.c, o)
            placed[n] = o
            n += 1
        elif actions[i].kind == BRACKET_CANCEL:
            orders_apply(t, orders_find(t, actions[i].id_order), ON_CANCEL_ASKED, 0)
    return n


def bracket(Orders orders not None, Brackets brackets not None, double[::1] samples_ns, int batch, int64_t trade):
    """Entry, stop and target: placed, acknowledged, entry filled, target filled, stop cancelled, closed."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef bracket_action_t actions[BRACKET_ACTIONS_MAX]
    cdef order_t* placed[BRACKET_ACTIONS_MAX]
    cdef order_t* entry
    cdef order_t* stop_order
    cdef order_t* target
    cdef orders_t* t = orders.c
    cdef bracket_terms_t terms
    cdef uint64_t count = 0, start, stop
    cdef uint32_t handle = 0
    cdef Py_ssize_t sample
    cdef int i
    memset(&terms, 0, sizeof(terms))
    terms.kind, terms.qty_lots, terms.entry_px_ticks, terms.stop_px_ticks, terms.target_px_ticks = BRACKET_OTOCO, 5, 100, 90, 110
    terms.entry_ns = terms.hold_ns = 1 << 40
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                brackets_open(brackets.c, &terms, 0, actions, &count, &handle)
                _perform(t, brackets, actions, count, placed)
                entry = placed[0]
                orders_apply(t, entry, ON_ACK, 0)
                brackets_on_order(brackets.c, entry, 0, actions)
                _filled(t, entry, &trade)
                count = brackets_on_order(brackets.c, entry, 0, actions)
                _perform(t, brackets, actions, count, placed)
                stop_order = placed[0]
                orders_apply(t, stop_order, ON_ACK, 0)
                count = brackets_on_order(brackets.c, stop_order, 0, actions)
                _perform(t, brackets, actions, count, placed)
                target = placed[0]
                orders_apply(t, target, ON_ACK, 0)
                brackets_on_order(brackets.c, target, 0, actions)
                _filled(t, target, &trade)
                count = brackets_on_order(brackets.c, target, 0, actions)
                _perform(t, brackets, actions, count, placed)
                orders_apply(t, stop_order, ON_CANCELED, 0)
                brackets_on_order(brackets.c, stop_order, 0, actions)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return trade, handle

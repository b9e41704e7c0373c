from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.algos cimport (
    ACTION_PLACE, ALGO_ICEBERG, ALGO_POV, ALGO_TWAP, ALGO_VWAP, CATCH_UP_SPREAD, END_SHORT, END_SWEEP, PROFILE_MAX,
    STYLE_REST, STYLE_TAKE, algo_action_t, algo_cancel, algo_cancel_refused, algo_child_ended, algo_config_t, algo_fill,
    algo_is_live, algo_t, algo_time, algos_find, algos_release, algos_rows, algos_start, algos_t,
)
from engine._core.instruments cimport instrument_t
from engine._core.orders cimport (
    STATE_OPEN, STATE_PARTIAL, TIF_GTC, TIF_GTX, TIF_IOC, order_is_live, order_t, orders_find_key,
)
from engine._core.risk cimport LANE_NORMAL, LANE_REDUCE
from engine._core.step_orders cimport cancel, place, place_t
from engine._core.step_out cimport core_t, next_output
from engine._core.strategy cimport strategy_t
from engine._core.strategy_abi cimport (
    STATE_MAX, TYPE_ICEBERG, TYPE_TWAP, TYPE_VWAP, WISH_POST_ONLY, WISH_REDUCE_ONLY, wish_slices, wish_t,
)
from engine._core.types cimport (
    ALGO_BAD_CONFIG, CAN_ICEBERG, FLAG_SELL, KIND_ALGO, OK, SYMBOL_ALL, algo_event_t, event_t,
)
from engine._core.world cimport (
    SECTION_ALGOS, world_algos, world_has, world_instruments, world_orders, world_strategies, world_t,
)

# The words that a parent carries for its children beside its config.
cdef enum:
    CARRY_STOP = 0                # the stop that the wish stated: for the gate
    CARRY_FLAGS = 1               # WISH_REDUCE_ONLY, WISH_POST_ONLY

cdef int64_t E8_PER_PPM = 100
cdef int64_t ICEBERG_RETRY_NS = 1_000_000_000    # before the next try, after a shown part that ended short


# ------------------------------------------------------------------------------------------------------ records, the end
cdef void _say(core_t* core, const event_t* cause, algo_t* a, int64_t state_before) noexcept nogil:
    """A record of a changed state."""
    cdef algo_event_t* out
    if a.state == state_before:
        return
    out = <algo_event_t*>next_output(core, cause, KIND_ALGO)
    out.symbol = <uint16_t>a.config.symbol
    out.flags = FLAG_SELL if a.config.sell else 0
    out.id_algo = a.id_algo
    out.state = a.state
    out.filled_lots = a.filled_lots
    out.qty_lots = a.config.qty_lots
    out.strategy = a.config.strategy


cdef void forget_algo(core_t* core, const algo_t* a) noexcept nogil:
    """Its wish is another one now: the row of the ended parent is free again."""
    algos_release(world_algos(core.world), a.id_algo)


# -------------------------------------------------------------------------------------------------------------- starting
cdef bint is_sliced(const world_t* w, uint16_t symbol, const wish_t* wish) noexcept nogil:
    """A parent of the core's: by its type, or an iceberg where the venue has none."""
    return wish_slices(wish) or (wish.type == TYPE_ICEBERG and not world_instruments(w)[symbol].can & CAN_ICEBERG)


cdef inline int64_t _kind_of(const wish_t* wish) noexcept nogil:
    if wish.type == TYPE_ICEBERG:
        return ALGO_ICEBERG
    return ALGO_TWAP if wish.type == TYPE_TWAP else ALGO_VWAP if wish.type == TYPE_VWAP else ALGO_POV


cdef void _show_part(algo_config_t* c, const wish_t* wish) noexcept nogil:
    """An iceberg's terms: one shown part after the other at its own price, until all is filled or nobody wants it."""
    c.end_ns, c.slice_ns = 0, ICEBERG_RETRY_NS
    c.slice_max_lots = wish.display_lots if wish.display_lots >= c.slice_min_lots else c.slice_min_lots
    c.cap_e8, c.style, c.end_policy = 0, STYLE_REST, END_SHORT


cdef bint _configure(const world_t* w, uint32_t strategy, bint sell, const wish_t* wish, algo_config_t* c) noexcept nogil:
    """The parent's terms. As many equal slices as the largest child needs; False when there is no such schedule."""
    cdef const strategy_t* s = &world_strategies(w)[strategy]
    cdef const instrument_t* i = &world_instruments(w)[s.symbol]
    cdef int64_t slices = (wish.qty_lots - 1) // wish.display_lots + 1, span = wish.expire_ns - w.now_ns
    cdef int at
    memset(c, 0, sizeof(algo_config_t))
    c.kind = _kind_of(wish)
    c.symbol, c.strategy, c.sell = s.symbol, strategy, sell
    c.qty_lots, c.limit_px_ticks, c.start_ns = wish.qty_lots, wish.px_ticks, w.now_ns
    c.slice_min_lots = i.qty_min_lots if i.qty_min_lots > 0 else 1
    if c.kind == ALGO_ICEBERG:
        _show_part(c, wish)
        return True
    if span < slices or s.limits.share_ppm < 0 or s.limits.share_ppm > 1_000_000:
        return False
    c.end_ns, c.slice_ns = wish.expire_ns, span // slices
    c.slice_max_lots = wish.display_lots if wish.display_lots >= c.slice_min_lots else c.slice_min_lots
    c.cap_e8 = s.limits.share_ppm * E8_PER_PPM
    c.catch_up = CATCH_UP_SPREAD
    c.style = STYLE_TAKE if wish.tif == TIF_IOC else STYLE_REST
    c.end_policy = END_SHORT if wish.tif == TIF_GTX or wish.flags & WISH_POST_ONLY else END_SWEEP
    if wish.type == TYPE_VWAP:
        for at in range(PROFILE_MAX if PROFILE_MAX < STATE_MAX else STATE_MAX):
            if s.view.state[at] == 0:
                break
            c.weights[at] = s.view.state[at]
            c.bucket_count += 1
    return True


cdef int64_t start_algo(core_t* core, const event_t* cause, uint32_t strategy, bint sell, const wish_t* wish,
                        int* status) noexcept nogil:
    """A parent out of a wish that has passed its own limits and discipline. Returns its id, or 0 with the status."""
    cdef world_t* w = core.world
    cdef algo_config_t config
    cdef int64_t id_algo = 0
    cdef algo_t* a
    status[0] = ALGO_BAD_CONFIG
    if not _configure(w, strategy, sell, wish, &config):
        world_algos(w).refused_count += 1
        return 0
    status[0] = algos_start(world_algos(w), &config, &id_algo)
    if status[0] != OK:
        return 0
    a = algos_find(world_algos(w), id_algo)
    a.reserved[<int>CARRY_STOP] = wish.stop_px_ticks
    a.reserved[<int>CARRY_FLAGS] = wish.flags | (WISH_POST_ONLY if wish.tif == TIF_GTX else 0)
    _say(core, cause, a, 0)
    return id_algo


cdef algo_t* find_algo(core_t* core, int64_t id_algo) noexcept nogil:
    return algos_find(world_algos(core.world), id_algo) if world_has(core.world, SECTION_ALGOS) else NULL


cdef bint algo_looks_like(const algo_t* a, const wish_t* wish) noexcept nogil:
    """Whether the parent carries out this very wish. An iceberg that has ended is like any order that has: gone."""
    if a.config.kind != _kind_of(wish) or a.config.qty_lots != wish.qty_lots or a.config.limit_px_ticks != wish.px_ticks:
        return False
    if a.config.kind == ALGO_ICEBERG:
        return algo_is_live(a) and (a.config.slice_max_lots == wish.display_lots
                                    or a.config.slice_max_lots == a.config.slice_min_lots > wish.display_lots)
    return a.config.end_ns == wish.expire_ns


# -------------------------------------------------------------------------------------------------------------- children
cdef order_t* _child(core_t* core, const algo_t* a) noexcept nogil:
    """The order of the newest child while it lives."""
    cdef uint64_t at = <uint64_t>(a.id_algo & 0xFFFF)
    cdef order_t* o = orders_find_key(world_orders(core.world), <uint16_t>a.config.strategy, <uint16_t>a.config.symbol,
                                      a.config.sell != 0, <uint16_t>(TAG_ALGO | at))
    return o if o != NULL and o.leg == <uint32_t>a.child else NULL


cdef void _place_child(core_t* core, const event_t* cause, algo_t* a, const algo_action_t* action) noexcept nogil:
    cdef int64_t flags = a.reserved[<int>CARRY_FLAGS]
    cdef place_t p
    memset(&p, 0, sizeof(p))
    p.px_ticks, p.qty_lots = action.px_ticks, action.qty_lots
    p.symbol, p.strategy, p.sell = <uint16_t>a.config.symbol, <uint16_t>a.config.strategy, <uint8_t>action.sell
    p.tag, p.leg = <uint16_t>(TAG_ALGO | (a.id_algo & 0x1FFF)), <uint32_t>action.child
    p.signal = <uint16_t>((a.id_algo >> 16) & 0xFFFF)
    p.tif = <uint8_t>(TIF_IOC if action.immediate else TIF_GTX if flags & WISH_POST_ONLY else TIF_GTC)
    p.reduce_only = (flags & WISH_REDUCE_ONLY) != 0
    p.lane = LANE_REDUCE if p.reduce_only else LANE_NORMAL
    p.px_protect_ticks = a.reserved[<int>CARRY_STOP]
    if place(core, cause, &p) == NULL:
        algo_child_ended(a, action.child)


cdef void _work(core_t* core, const event_t* cause, algo_t* a) noexcept nogil:
    """One look at the clock and the touch for one parent."""
    cdef const instrument_t* i = &world_instruments(core.world)[a.config.symbol]
    cdef int64_t before = a.state
    cdef algo_action_t action
    cdef order_t* o
    if algo_time(a, core.world.now_ns, i.bid_px_ticks if i.book_trusted else 0, i.ask_px_ticks if i.book_trusted else 0,
                 &action):
        o = _child(core, a)
        if action.kind == ACTION_PLACE:
            _place_child(core, cause, a, &action)
        elif o == NULL:
            algo_child_ended(a, action.child)
        else:
            # Asked once; again when the venue has refused it and the order rests.
            cancel(core, cause, o)
    _say(core, cause, a, before)


cdef void work_algos(core_t* core, const event_t* cause, uint32_t symbol) noexcept nogil:
    """Slice the parents of one symbol, or of every one (SYMBOL_ALL)."""
    cdef algos_t* t = world_algos(core.world)
    cdef algo_t* a
    cdef uint64_t at
    for at in range(t.capacity):
        a = &algos_rows(t)[at]
        if algo_is_live(a) and (symbol == SYMBOL_ALL or a.config.symbol == symbol):
            _work(core, cause, a)


cdef void tell_algo(core_t* core, const event_t* cause, const order_t* o, int64_t filled_lots) noexcept nogil:
    """A child has changed. One of a parent that is gone has nobody to tell: its fill is booked all the same."""
    cdef algos_t* t = world_algos(core.world)
    cdef uint64_t at = <uint64_t>(o.tag & 0x1FFF)
    cdef int64_t before
    cdef algo_t* a
    if not world_has(core.world, SECTION_ALGOS) or at >= t.capacity:
        return
    a = &algos_rows(t)[at]
    if not algo_is_live(a) or ((a.id_algo >> 16) & 0xFFFF) != o.signal:
        return
    before = a.state
    if filled_lots:
        algo_fill(a, o.leg, filled_lots)
    if not order_is_live(o):
        algo_child_ended(a, o.leg)
    elif a.cancel_asked and (o.state == STATE_OPEN or o.state == STATE_PARTIAL):
        algo_cancel_refused(a, o.leg)
    _say(core, cause, a, before)


# ------------------------------------------------------------------------------------------------------------ calling off
cdef void call_off(core_t* core, const event_t* cause, algo_t* a) noexcept nogil:
    """Nobody wants the parent any more: its child is taken back now, and it ends when that has ended."""
    cdef int64_t before = a.state
    if algo_cancel(a) == OK and algo_is_live(a):
        _say(core, cause, a, before)
        _work(core, cause, a)
    else:
        _say(core, cause, a, before)


cdef void call_off_symbol(core_t* core, const event_t* cause, uint16_t symbol, bint entries_only) noexcept nogil:
    """Every parent of a symbol; those that only close may go on when entries alone are not wanted."""
    cdef algos_t* t = world_algos(core.world)
    cdef algo_t* a
    cdef uint64_t at
    if not world_has(core.world, SECTION_ALGOS) or t.live_count == 0:
        return
    for at in range(t.capacity):
        a = &algos_rows(t)[at]
        if not algo_is_live(a) or a.config.symbol != symbol:
            continue
        if not entries_only or not a.reserved[<int>CARRY_FLAGS] & WISH_REDUCE_ONLY:
            call_off(core, cause, a)

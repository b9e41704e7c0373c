cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.debug cimport debug_assert, static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.orders cimport LOTS_MAX
from engine._core.types cimport OK, TRIGGER_BAD_TERMS, TRIGGER_TABLE_FULL, TRIGGER_UNKNOWN, raise_status

cdef extern from * nogil:
    """
    /* The trailing distance, rounded down: the tighter stop, so rounding never gives protection away. */
    static inline int64_t bot4_trail(int64_t px, int64_t rate_e8) {
        return (int64_t)((__int128)px * rate_e8 / 100000000);
    }
    """
    int64_t trail_rounded_tighter "bot4_trail"(int64_t px, int64_t rate_e8) noexcept

cdef uint32_t NONE = 0xFFFFFFFF
cdef int64_t E8 = 100_000_000

TriggerKind = trigger_kind_t
TriggerState = trigger_state_t
TriggerSource = trigger_source_t


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(trigger_terms_t) == 64)
    static_assert_c(sizeof(trigger_t) == 128)
    static_assert_c(sizeof(trigger_action_t) == 40)
    static_assert_c(sizeof(triggers_symbol_t) == 32)
    static_assert_c(sizeof(triggers_t) == 64)


cdef size_t triggers_bytes(uint64_t capacity, uint64_t symbol_count) noexcept nogil:
    return sizeof(triggers_t) + symbol_count * sizeof(triggers_symbol_t) + capacity * sizeof(trigger_t)


cdef int triggers_init(triggers_t* t, uint64_t capacity, uint64_t symbol_count) noexcept nogil:
    """Make an empty table in a block of `triggers_bytes` bytes."""
    cdef uint64_t i
    if not 1 <= capacity <= 65535 or not 1 <= symbol_count <= 1024:
        return TRIGGER_BAD_TERMS
    memset(t, 0, triggers_bytes(capacity, symbol_count))
    t.capacity = capacity
    t.symbol_count = symbol_count
    for i in range(symbol_count):
        triggers_symbols(t)[i].head = NONE
        triggers_symbols(t)[i].above_ticks = INT64_MAX
    for i in range(capacity):
        triggers_slots(t)[i].next = <uint32_t>(i + 1) if i + 1 < capacity else NONE
    return OK


cdef trigger_t* triggers_find(triggers_t* t, uint32_t handle) noexcept nogil:
    cdef uint32_t slot = (handle & 0xFFFF) - 1
    if slot < t.capacity and triggers_slots(t)[slot].handle == handle and triggers_slots(t)[slot].state != TRIGGER_FREE:
        return &triggers_slots(t)[slot]
    return NULL


cdef bint _terms_are_whole(const triggers_t* t, const trigger_terms_t* a) noexcept nogil:
    cdef bint trailing = a.kind == TRIGGER_TRAILING
    return (a.kind < TRIGGER_KIND_COUNT and a.symbol < t.symbol_count and a.sell <= 1 and a.source < SOURCE_COUNT
            and a.reduce_only <= 1 and 0 < a.qty_lots <= LOTS_MAX and a.px_ticks >= 0 and a.px_stop_ticks >= 0
            and (a.px_stop_ticks > 0 or trailing)
            and ((a.trail_ticks > 0) != (a.trail_e8 > 0) if trailing else a.trail_ticks == 0 and a.trail_e8 == 0)
            and a.trail_ticks >= 0 and 0 <= a.trail_e8 < E8)


cdef void _note(triggers_t* t, const trigger_t* g) noexcept nogil:
    """Bring the symbol's two bounds to where this trigger fires."""
    cdef triggers_symbol_t* row = &triggers_symbols(t)[g.terms.symbol]
    if g.state != TRIGGER_ARMED:
        return
    if trigger_fires_up(g):
        row.above_ticks = min(row.above_ticks, g.px_stop_ticks)
    else:
        row.below_ticks = max(row.below_ticks, g.px_stop_ticks)


cdef void _drop(triggers_t* t, trigger_t* g) noexcept nogil:
    """Out of its list, back to the free ones. The symbol's bounds stay: a walk for nothing is the only cost."""
    cdef trigger_t* slots = triggers_slots(t)
    cdef triggers_symbol_t* row = &triggers_symbols(t)[g.terms.symbol]
    cdef uint32_t handle = g.handle, slot = <uint32_t>(g - slots)
    if g.prev != NONE:
        slots[g.prev].next = g.next
    else:
        row.head = g.next
    if g.next != NONE:
        slots[g.next].prev = g.prev
    row.trailing_count -= g.terms.kind == TRIGGER_TRAILING
    t.due_count -= g.state == TRIGGER_DUE
    t.live_count -= 1
    memset(g, 0, sizeof(trigger_t))
    g.handle = handle
    g.next = t.free_head
    t.free_head = slot


cdef trigger_action_t* _emit(const trigger_t* g, trigger_action_t* out) noexcept nogil:
    memset(out, 0, sizeof(trigger_action_t))
    out.handle = g.handle
    out.bracket = g.terms.bracket
    out.symbol = g.terms.symbol
    out.strategy = g.terms.strategy
    out.tag = g.terms.tag
    out.sell = g.terms.sell
    out.reduce_only = g.terms.reduce_only
    out.px_ticks = g.terms.px_ticks
    out.qty_lots = g.terms.qty_lots
    return out


cdef int triggers_add(triggers_t* t, const trigger_terms_t* terms, int64_t now_ns, uint32_t* handle) noexcept nogil:
    """A conditional order begins to wait."""
    cdef uint32_t slot = t.free_head
    cdef triggers_symbol_t* row
    cdef trigger_t* g
    handle[0] = 0
    if not _terms_are_whole(t, terms):
        t.refused_count += 1
        return TRIGGER_BAD_TERMS
    if slot == NONE:
        t.refused_count += 1
        return TRIGGER_TABLE_FULL
    g = &triggers_slots(t)[slot]
    row = &triggers_symbols(t)[terms.symbol]
    t.free_head = g.next
    g.handle = ((((g.handle >> 16) + 1) & 0xFFFF) << 16) | (slot + 1)
    g.terms = terms[0]
    g.px_stop_ticks = terms.px_stop_ticks
    g.ts_changed_ns = now_ns
    g.prev = NONE
    g.next = row.head
    if row.head != NONE:
        triggers_slots(t)[row.head].prev = slot
    row.head = slot
    t.live_count += 1
    handle[0] = g.handle
    if terms.kind == TRIGGER_TRAILING:
        row.trailing_count += 1
        g.state = TRIGGER_SLEEPING
    else:
        g.state = TRIGGER_ARMED
        _note(t, g)
    return OK


cdef int triggers_cancel(triggers_t* t, uint32_t handle) noexcept nogil:
    """Stop waiting."""
    cdef trigger_t* g = triggers_find(t, handle)
    if g == NULL:
        return TRIGGER_UNKNOWN
    _drop(t, g)
    return OK


cdef int triggers_resize(triggers_t* t, uint32_t handle, int64_t qty_lots, int64_t now_ns) noexcept nogil:
    """What it will trade when it fires: a bracket's stop follows what is held."""
    cdef trigger_t* g = triggers_find(t, handle)
    if g == NULL:
        return TRIGGER_UNKNOWN
    if not 0 < qty_lots <= LOTS_MAX:
        t.refused_count += 1
        return TRIGGER_BAD_TERMS
    g.terms.qty_lots = qty_lots
    g.ts_changed_ns = now_ns
    return OK


cdef void _follow(trigger_t* g, int64_t px_ticks) noexcept nogil:
    """Move a trailing stop with the best price since it woke. It only ever moves towards the price."""
    cdef bint sell = g.terms.sell
    cdef int64_t distance, stop
    if g.state == TRIGGER_SLEEPING:
        # Awake at once without an activation price; else when the price has come that far in favour.
        if g.terms.px_stop_ticks and (px_ticks < g.terms.px_stop_ticks if sell else px_ticks > g.terms.px_stop_ticks):
            return
        g.state = TRIGGER_ARMED
        g.water_ticks = px_ticks
    elif (px_ticks <= g.water_ticks) if sell else (px_ticks >= g.water_ticks):
        return
    g.water_ticks = px_ticks
    distance = g.terms.trail_ticks if g.terms.trail_ticks else trail_rounded_tighter(px_ticks, g.terms.trail_e8)
    stop = px_ticks - distance if sell else px_ticks + distance
    g.px_stop_ticks = stop if stop > 0 else 0


cdef inline bint _crossed(const trigger_t* g, int64_t px_ticks) noexcept nogil:
    return px_ticks >= g.px_stop_ticks if trigger_fires_up(g) else px_ticks <= g.px_stop_ticks


cdef uint64_t _hand_out(triggers_t* t, trigger_action_t* out, uint64_t out_max) noexcept nogil:
    """Everything that is due, in the order of the slots, as far as there is room."""
    cdef uint64_t i, n = 0
    cdef trigger_t* g
    for i in range(t.capacity):
        g = &triggers_slots(t)[i]
        if t.due_count == 0 or n == out_max:
            break
        if g.state == TRIGGER_DUE:
            _emit(g, &out[n])
            n += 1
            t.fired_count += 1
            _drop(t, g)
    return n


cdef uint64_t triggers_on_price(triggers_t* t, uint16_t symbol, int source, int64_t bid_ticks, int64_t ask_ticks,
                                int64_t now_ns, trigger_action_t* out, uint64_t out_max) noexcept nogil:
    """A trusted price: for a trade or a mark both sides are the same number. Returns how many fired into `out`."""
    cdef triggers_symbol_t* row = &triggers_symbols(t)[symbol]
    cdef int64_t px
    cdef uint32_t at
    cdef trigger_t* g
    debug_assert(symbol < t.symbol_count)
    if bid_ticks <= 0 or ask_ticks <= 0:
        return 0
    if ask_ticks < row.above_ticks and bid_ticks > row.below_ticks and row.trailing_count == 0 and t.due_count == 0:
        return 0
    row.above_ticks = INT64_MAX
    row.below_ticks = 0
    at = row.head
    while at != NONE:
        g = &triggers_slots(t)[at]
        at = g.next
        if (g.state == TRIGGER_ARMED or g.state == TRIGGER_SLEEPING) and g.terms.source == source:
            px = bid_ticks if g.terms.sell else ask_ticks
            if g.terms.kind == TRIGGER_TRAILING:
                _follow(g, px)
            if g.state == TRIGGER_ARMED and _crossed(g, px):
                g.state = TRIGGER_DUE
                g.ts_changed_ns = now_ns
                t.due_count += 1
        _note(t, g)
    return _hand_out(t, out, out_max) if t.due_count else 0


cdef int triggers_check(triggers_t* t) noexcept nogil:
    """Walk every invariant; 0, or the number of the first one that is broken."""
    cdef uint64_t i, live = 0, due = 0, free = 0, trailing
    cdef triggers_symbol_t* row
    cdef trigger_t* g
    cdef uint32_t at, before
    for i in range(t.symbol_count):
        row = &triggers_symbols(t)[i]
        at, before, trailing = row.head, NONE, 0
        while at != NONE:
            g = &triggers_slots(t)[at]
            if g.terms.symbol != i or g.state == TRIGGER_FREE or g.prev != before:
                return 1
            trailing += g.terms.kind == TRIGGER_TRAILING
            due += g.state == TRIGGER_DUE
            if g.state == TRIGGER_ARMED:
                if g.px_stop_ticks < row.above_ticks if trigger_fires_up(g) else g.px_stop_ticks > row.below_ticks:
                    return 2
                if g.terms.kind == TRIGGER_TRAILING and (g.px_stop_ticks > g.water_ticks if g.terms.sell
                                                         else g.px_stop_ticks < g.water_ticks):
                    return 3
            if not 0 < g.terms.qty_lots <= LOTS_MAX:
                return 4
            live += 1
            before, at = at, g.next
        if trailing != row.trailing_count:
            return 5
    at = t.free_head
    while at != NONE:
        if triggers_slots(t)[at].state != TRIGGER_FREE:
            return 6
        free += 1
        at = triggers_slots(t)[at].next
    return 0 if live == t.live_count and due == t.due_count and live + free == t.capacity else 7


# ------------------------------------------------------------------------------------------------- the face for Python
cdef list _rows(trigger_action_t* out, uint64_t count):
    """(handle, sell, price, quantity) of each action."""
    cdef uint64_t i
    return [(out[i].handle, out[i].sell, out[i].px_ticks, out[i].qty_lots) for i in range(count)]


@cython.final
cdef class Triggers:
    """A table of its own: for tests and tools."""

    def __cinit__(self, *, uint64_t capacity=8, uint64_t symbols=2):
        self.size = triggers_bytes(capacity, symbols)
        self.c = <triggers_t*>block_new(self.size)
        if triggers_init(self.c, capacity, symbols) != OK:
            raise_status(TRIGGER_BAD_TERMS, f"capacity={capacity}, symbols={symbols}")

    def __dealloc__(self):
        block_free(self.c)

    def add(self, *, uint8_t kind, int64_t qty=1, int64_t px_stop=0, int64_t px=0, int64_t trail=0, int64_t trail_e8=0,
            uint16_t symbol=0, uint16_t strategy=0, uint16_t tag=0, uint8_t sell=0,
            uint8_t source=SOURCE_LAST, uint8_t reduce_only=0, int64_t now=0):
        """(status, handle)."""
        cdef trigger_terms_t a
        cdef uint32_t handle = 0
        memset(&a, 0, sizeof(a))
        a.kind, a.qty_lots, a.px_stop_ticks, a.px_ticks, a.trail_ticks, a.trail_e8 = kind, qty, px_stop, px, trail, trail_e8
        a.symbol, a.strategy, a.tag, a.sell, a.source = symbol, strategy, tag, sell, source
        a.reduce_only = reduce_only
        status = triggers_add(self.c, &a, now, &handle)
        return status, handle

    def cancel(self, uint32_t handle):
        return triggers_cancel(self.c, handle)

    def resize(self, uint32_t handle, int64_t qty, *, int64_t now=0):
        return triggers_resize(self.c, handle, qty, now)

    def on_price(self, *, int64_t bid, int64_t ask, uint16_t symbol=0, int source=SOURCE_LAST, int64_t now=0,
                 uint64_t out_max=16):
        cdef trigger_action_t out[16]
        if symbol >= self.c.symbol_count or out_max > 16:
            raise_status(TRIGGER_BAD_TERMS, f"symbol={symbol}, out_max={out_max}")
        return _rows(out, triggers_on_price(self.c, symbol, source, bid, ask, now, out, out_max))

    def find(self, uint32_t handle):
        """(state, stop price, quantity) or None."""
        cdef trigger_t* g = triggers_find(self.c, handle)
        if g == NULL:
            return None
        return TriggerState(g.state), g.px_stop_ticks, g.terms.qty_lots

    @property
    def counts(self):
        return {"live": self.c.live_count, "due": self.c.due_count, "refused": self.c.refused_count,
                "fired": self.c.fired_count}

    def check(self):
        cdef int broken = triggers_check(self.c)
        assert broken == 0, f"triggers: invariant {broken}"

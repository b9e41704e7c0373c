cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.book cimport book_level_t
from engine._core.debug cimport likely, static_assert_c, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    OK, ROUTE_BAD_ASK, ROUTE_BAD_CONFIG, ROUTE_NONE, ROUTE_ORDER_LIVE, ROUTE_UNKNOWN_GROUP, raise_status,
)

from engine._core.types import Status

cdef extern from *:
    """
    typedef __int128 bot4_wide;
    /* value x rate in 1e-8, rounded up: towards what is worse for us, for a rebate too. */
    static inline int64_t bot4_rate_up(int64_t value, int64_t rate_e8) {
        __int128 p = (__int128)value * rate_e8;
        return (int64_t)(p > 0 ? (p + 99999999) / 100000000 : p / 100000000);
    }
    #define BOT4_AMOUNT_MAX ((int64_t)1 << 60)
    """
    ctypedef long long wide_t "bot4_wide"
    int64_t rate_up "bot4_rate_up"(int64_t value, int64_t rate_e8) noexcept nogil
    const int64_t AMOUNT_MAX "BOT4_AMOUNT_MAX"

cdef int64_t E8 = 100_000_000
cdef int LEVELS_MAX = 64          # of the Python face, a venue

# The state of one venue in a merge.
cdef struct walk_t:
    const book_level_t* level
    const book_level_t* end
    int64_t left_lots             # of the level it stands at
    int64_t unit_value
    int64_t lot_units
    int64_t factor                # 1e8 with all rates: what the price is multiplied by
    int64_t money                 # what is left to pay with
    int64_t lots
    int64_t value
    int64_t px_worst
    wide_t key                    # price of a lot with all rates


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(group_t) == 24)
    static_assert_c(sizeof(routing_t) == 8)
    static_assert_c(sizeof(route_part_t) == 48)


cdef size_t routing_bytes(uint32_t group_count) noexcept nogil:
    return sizeof(routing_t) + <size_t>group_count * sizeof(group_t)


cdef int routing_init(routing_t* r, uint32_t group_count) noexcept nogil:
    if group_count < 1 or group_count > 65535:
        return ROUTE_BAD_CONFIG
    memset(r, 0, routing_bytes(group_count))
    r.group_count = group_count
    return OK


cdef int routing_add(routing_t* r, uint32_t group, uint16_t symbol) noexcept nogil:
    """One more instrument of this underlying."""
    cdef group_t* g
    cdef uint32_t i
    if group >= r.group_count:
        return ROUTE_UNKNOWN_GROUP
    g = &routing_groups(r)[group]
    for i in range(g.count):
        if g.symbols[i] == symbol:
            return ROUTE_BAD_CONFIG
    if g.count == VENUES_MAX:
        return ROUTE_BAD_CONFIG
    g.symbols[g.count] = symbol
    g.count += 1
    return OK


cdef int route_rest(uint32_t life, int64_t qty_units, int64_t filled_units, int64_t* rest_units) noexcept nogil:
    """What of a failed order may go to another venue: nothing while it may still be live."""
    rest_units[0] = 0
    if life != LIFE_NEVER_SENT and life != LIFE_ENDED:
        return ROUTE_ORDER_LIVE
    if qty_units <= 0 or filled_units < 0 or filled_units > qty_units or (life == LIFE_NEVER_SENT and filled_units):
        return ROUTE_BAD_ASK
    rest_units[0] = qty_units - filled_units
    return OK if rest_units[0] else ROUTE_NONE


# ---------------------------------------------------------------------------------------------------------- one venue
cdef inline int64_t _fee_e8(const route_venue_t* v, const route_ask_t* ask) noexcept nogil:
    return v.fee_maker_e8 if ask.maker else v.fee_taker_e8


cdef inline uint32_t _against(const route_venue_t* v, const route_ask_t* ask) noexcept nogil:
    """What speaks against a venue whatever the size. Values from outside are bounded here, so that nothing below wraps."""
    cdef uint32_t why = v.against & (AGAINST_HALTED | AGAINST_UNTRUSTED | AGAINST_BREAKER | AGAINST_EXCLUDED)
    # From the future is not young: a stamp that cannot be is as bad as none.
    if v.ts_book_ns <= 0 or v.ts_book_ns > ask.now_ns or ask.now_ns - v.ts_book_ns > ask.age_ns_max:
        why |= AGAINST_STALE
    if v.budget <= 0:
        why |= AGAINST_BUDGET
    if not (0 < v.unit_value < <int64_t>1 << 40 and 0 < v.lot_units <= <int64_t>1 << 36 and 0 < v.qty_lots_min
            and v.qty_lots_min <= v.qty_lots_max and 0 <= v.balance
            and -E8 // 4 <= v.fee_maker_e8 <= E8 // 4 and -E8 // 4 <= v.fee_taker_e8 <= E8 // 4
            and 0 <= v.slippage_e8 <= E8 // 4 and 0 <= v.latency_e8 <= E8 // 4):
        why |= AGAINST_INPUT
    return why


cdef inline bint _stand(walk_t* w, const book_level_t* level) noexcept nogil:
    """Move to a level and price a lot there; False at the end, or where a price cannot be."""
    if level >= w.end:
        return False
    w.level = level
    w.left_lots = level.qty_lots
    if unlikely(level.px_ticks <= 0 or level.qty_lots <= 0 or level.px_ticks > AMOUNT_MAX // w.unit_value):
        w.end = level
        return False
    w.key = <wide_t>(level.px_ticks * w.unit_value) * w.factor
    return True


cdef inline void _start(walk_t* w, const route_venue_t* v, const route_ask_t* ask, book_level_t* rest) noexcept nogil:
    cdef int64_t rate = _fee_e8(v, ask) + v.slippage_e8 + v.latency_e8
    w.unit_value = v.unit_value
    w.lot_units = v.lot_units
    w.factor = E8 - rate if ask.sell else E8 + rate
    w.lots = w.value = w.px_worst = 0
    # One unit is kept back for the rounding of the fee.
    w.money = v.balance - 1 if not ask.sell else v.balance
    if ask.maker:
        rest.px_ticks = v.px_rest_ticks
        rest.qty_lots = v.qty_lots_max
        w.level, w.end = rest, rest + 1
    else:
        w.level, w.end = v.levels, v.levels + v.level_count


cdef inline void _take(walk_t* w, int64_t lots) noexcept nogil:
    w.lots += lots
    w.left_lots -= lots
    w.value += lots * w.level.px_ticks * w.unit_value
    w.px_worst = w.level.px_ticks


cdef inline int64_t _affordable(const walk_t* w, const route_venue_t* v, const route_ask_t* ask,
                                int64_t lots) noexcept nogil:
    """How many of these lots can be paid for. The division is only done where it bites."""
    cdef wide_t price, left
    cdef int64_t fee = max(_fee_e8(v, ask), 0)
    if ask.sell:
        return min(lots, w.money // w.lot_units - w.lots)
    price = <wide_t>(w.level.px_ticks * w.unit_value) * (E8 + fee)
    left = <wide_t>w.money * E8 - <wide_t>w.value * (E8 + fee)
    # The whole product in 128 bits: lots below 2**60 times a price below 2**88 could pass it, so divide the money.
    if left <= 0:
        return 0
    if likely(lots < <int64_t>1 << 32 and price * lots <= left):
        return lots
    left = left / price
    return lots if left > lots else <int64_t>left


cdef inline void _settle(const walk_t* w, const route_venue_t* v, const route_ask_t* ask, uint32_t venue,
                         route_part_t* part) noexcept nogil:
    part.venue = venue
    part.symbol = v.symbol
    part.lots = w.lots
    part.px_worst_ticks = w.px_worst
    part.value = w.value
    part.fee = rate_up(w.value, _fee_e8(v, ask))
    part.cost = (-w.value if ask.sell else w.value) + part.fee + rate_up(w.value, v.slippage_e8 + v.latency_e8)


cdef uint32_t _whole(const route_venue_t* v, uint32_t venue, const route_ask_t* ask, route_part_t* part) noexcept nogil:
    """The whole size on one venue; returns what speaks against it."""
    cdef walk_t w
    cdef book_level_t rest
    cdef const book_level_t* level
    cdef int64_t lots = ask.qty_units // v.lot_units, take
    if lots * v.lot_units != ask.qty_units or lots < v.qty_lots_min or lots > v.qty_lots_max:
        return AGAINST_LOTS
    _start(&w, v, ask, &rest)
    level = w.level
    while w.lots < lots:
        if not _stand(&w, level):
            return AGAINST_THIN
        take = min(w.left_lots, lots - w.lots)
        if unlikely(take > (AMOUNT_MAX - w.value) // (level.px_ticks * w.unit_value)):
            return AGAINST_INPUT
        _take(&w, take)
        level += 1
    _settle(&w, v, ask, venue, part)
    if (ask.qty_units if ask.sell else part.value + max(part.fee, 0)) > v.balance:
        return AGAINST_BALANCE
    return 0


# --------------------------------------------------------------------------------------------------------- many venues
cdef int64_t _merge(const route_venue_t* venues, uint32_t count, uint32_t active, const route_ask_t* ask,
                    walk_t* walks, book_level_t* rests) noexcept nogil:
    """Take from the cheapest lot of all active venues, all rates included, until the size is there; returns what is left.

    Greedy is exact while lots and rates are all there is: each venue's price of a lot only gets worse as it is taken.
    """
    cdef int64_t left = ask.qty_units, take
    cdef uint32_t i, best
    cdef walk_t* w
    for i in range(count):
        if active >> i & 1:
            _start(&walks[i], &venues[i], ask, &rests[i])
            if not _stand(&walks[i], walks[i].level):
                active &= ~(<uint32_t>1 << i)
    while left > 0 and active:
        best = VENUES_MAX
        for i in range(count):
            if not active >> i & 1:
                continue
            if best == VENUES_MAX or _cheaper(&walks[i], &walks[best], ask.sell):
                best = i
        w = &walks[best]
        take = min(min(w.left_lots, left // w.lot_units), venues[best].qty_lots_max - w.lots)
        take = min(take, (AMOUNT_MAX - w.value) // (w.level.px_ticks * w.unit_value))
        take = _affordable(w, &venues[best], ask, take)
        if take <= 0:
            active &= ~(<uint32_t>1 << best)
            continue
        _take(w, take)
        left -= take * w.lot_units
        if w.left_lots == 0 and not _stand(w, w.level + 1):
            active &= ~(<uint32_t>1 << best)
    return left


cdef inline bint _cheaper(const walk_t* a, const walk_t* b, bint sell) noexcept nogil:
    # Lots of one size need no common measure: keys are compared as they are.
    if likely(a.lot_units == b.lot_units):
        return a.key > b.key if sell else a.key < b.key
    if sell:
        return a.key * b.lot_units > b.key * a.lot_units
    return a.key * b.lot_units < b.key * a.lot_units


cdef bint _split(const route_venue_t* venues, uint32_t count, uint32_t active, const route_ask_t* ask,
                 route_t* plan) noexcept nogil:
    """A cheapest split within the limits on parts and smallest orders; False when there is none."""
    cdef walk_t walks[8]
    cdef book_level_t rests[8]
    cdef uint32_t i, used, worst
    cdef int64_t least, units
    while active:
        if _merge(venues, count, active, ask, walks, rests) != 0:
            return False
        used = 0
        worst = VENUES_MAX
        least = INT64_MAX
        for i in range(count):
            if not active >> i & 1 or walks[i].lots == 0:
                continue
            used += 1
            units = walks[i].lots * walks[i].lot_units
            if walks[i].lots < venues[i].qty_lots_min:
                # Too small for the venue: it leaves first, whatever the others hold.
                units = -1
            if units < least:
                least, worst = units, i
        if used <= ask.parts_max and least >= 0:
            break
        active &= ~(<uint32_t>1 << worst)
    if not active:
        return False
    plan.part_count = 0
    plan.cost = 0
    for i in range(count):
        if active >> i & 1 and walks[i].lots:
            _settle(&walks[i], &venues[i], ask, i, &plan.parts[plan.part_count])
            plan.cost += plan.parts[plan.part_count].cost
            plan.part_count += 1
    return True


cdef inline bint _better(const route_part_t* a, const route_part_t* b, const route_ask_t* ask) noexcept nogil:
    if ask.policy == POLICY_BEST_PRICE and a.value != b.value:
        return a.value > b.value if ask.sell else a.value < b.value
    if ask.policy == POLICY_LOWEST_FEE and a.fee != b.fee:
        return a.fee < b.fee
    return a.cost < b.cost


cdef int route(const route_venue_t* venues, uint32_t count, const route_ask_t* ask, route_t* out) noexcept nogil:
    """Plan an order. ROUTE_NONE leaves the reasons per venue, and no part."""
    cdef route_part_t part
    cdef route_t plan
    cdef uint32_t i, active = 0
    out.part_count = out.reserved = 0
    out.cost = 0
    for i in range(VENUES_MAX):
        out.against[i] = 0
    if (count > VENUES_MAX or ask.policy > POLICY_SMART or ask.sell > 1 or ask.maker > 1 or ask.parts_max < 1
            or not 0 < ask.qty_units <= AMOUNT_MAX):
        return ROUTE_BAD_ASK
    for i in range(count):
        out.against[i] = _against(&venues[i], ask)
        if out.against[i]:
            continue
        active |= <uint32_t>1 << i
        out.against[i] = _whole(&venues[i], i, ask, &part)
        if out.against[i] == 0 and (out.part_count == 0 or _better(&part, &out.parts[0], ask)):
            out.parts[0] = part
            out.part_count = 1
            out.cost = part.cost
    if ask.policy == POLICY_SMART and ask.parts_max > 1 and active & (active - 1):
        if _split(venues, count, active, ask, &plan) and (out.part_count == 0 or plan.cost < out.cost):
            out.part_count = plan.part_count
            out.cost = plan.cost
            for i in range(plan.part_count):
                out.parts[i] = plan.parts[i]
                # It could not take the whole, but it takes its part.
                out.against[plan.parts[i].venue] = 0
    return OK if out.part_count else ROUTE_NONE


# ---------------------------------------------------------------------------------------------------------------- Python
Policy = policy_t
Against = against_t
Life = life_t
_FACTS = (
    "symbol", "against", "unit_value", "lot_units", "qty_lots_min", "qty_lots_max", "px_rest_ticks", "ts_book_ns",
    "balance", "budget", "fee_maker_e8", "fee_taker_e8", "slippage_e8", "latency_e8",
)


def rest(life, int64_t qty_units, int64_t filled_units):
    """(status, what may be routed again) of an order that failed at its venue."""
    cdef int64_t left
    cdef int status = route_rest(life, qty_units, filled_units, &left)
    return Status(status), left


@cython.final
cdef class Routing:
    """The groups of instruments, and plans over the facts of their venues."""

    def __cinit__(self, *, uint32_t groups=1):
        if not 1 <= groups <= 65535:
            raise_status(ROUTE_BAD_CONFIG, f"{groups} groups")
        self.c = <routing_t*>block_new(routing_bytes(groups))
        routing_init(self.c, groups)
        self.venues = <route_venue_t*>block_new(VENUES_MAX * sizeof(route_venue_t))
        self.levels = <book_level_t*>block_new(VENUES_MAX * LEVELS_MAX * sizeof(book_level_t))

    def __dealloc__(self):
        block_free(self.levels)
        block_free(self.venues)
        block_free(self.c)

    def add(self, uint32_t group, uint32_t symbol):
        cdef int status = routing_add(self.c, group, <uint16_t>symbol) if symbol < 65536 else ROUTE_BAD_CONFIG
        if status != OK:
            raise_status(status, f"group {group}, symbol {symbol}")

    def members(self, uint32_t group):
        if group >= self.c.group_count:
            raise_status(ROUTE_UNKNOWN_GROUP, f"group {group}")
        cdef group_t* g = &routing_groups(self.c)[group]
        return [g.symbols[i] for i in range(g.count)]

    cdef int _fill(self, list venues, dict ask) except -1:
        cdef route_venue_t* v
        cdef Py_ssize_t i, k
        if len(venues) > VENUES_MAX or any(len(facts["levels"]) > LEVELS_MAX for facts in venues):
            raise_status(ROUTE_BAD_ASK, f"{len(venues)} venues")
        self.count = len(venues)
        for i in range(len(venues)):
            facts = dict(venues[i])
            v = &self.venues[i]
            v.levels = &self.levels[i * LEVELS_MAX]
            v.level_count = len(facts["levels"])
            for k in range(v.level_count):
                self.levels[i * LEVELS_MAX + k].px_ticks, self.levels[i * LEVELS_MAX + k].qty_lots = facts["levels"][k]
            v.symbol, v.against, v.unit_value, v.lot_units, v.qty_lots_min, v.qty_lots_max = [
                facts[name] for name in _FACTS[:6]]
            v.px_rest_ticks, v.ts_book_ns, v.balance, v.budget = [facts[name] for name in _FACTS[6:10]]
            v.fee_maker_e8, v.fee_taker_e8, v.slippage_e8, v.latency_e8 = [facts[name] for name in _FACTS[10:]]
        self.ask = ask
        return 0

    def plan(self, list venues, *, int64_t qty_units, int policy, bint sell=False, bint maker=False,
             int64_t now_ns=0, int64_t age_ns_max=500_000_000, uint32_t parts_max=1):
        """(status, parts, what speaks against each venue); a part is (venue, lots, worst price, value, fee, cost)."""
        self._fill(venues, {"qty_units": qty_units, "policy": policy, "sell": sell, "maker": maker, "now_ns": now_ns,
                            "age_ns_max": age_ns_max, "parts_max": parts_max})
        cdef int status = route(self.venues, self.count, &self.ask, &self.out)
        cdef route_part_t* p
        cdef uint32_t i
        parts = []
        for i in range(self.out.part_count):
            p = &self.out.parts[i]
            parts.append((p.venue, p.lots, p.px_worst_ticks, p.value, p.fee, p.cost))
        return Status(status), parts, [self.out.against[i] for i in range(self.count)]

    def check(self):
        for group in range(self.c.group_count):
            members = self.members(group)
            assert len(set(members)) == len(members) <= VENUES_MAX, f"group {group}"

cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t
from libc.string cimport memset

from engine._core.debug cimport debug_assert, static_assert_c, unlikely
from engine._core.equity cimport (
    equity_t, ledger_drawdown_e8, ledger_equity, ledger_mark, ledger_mark_asset, ledger_mark_value, ledger_pnl,
    ledger_revalue, ledger_unrealised, ledger_value,
)
from engine._core.memory cimport block_free, block_new
from engine._core.money cimport mul3
from engine._core.positions cimport (
    cost_leaving, fifo_close, fifo_open, lot_t, position_realised, position_realised_fifo, position_t,
)
from engine._core.types cimport (
    LEDGER_BAD_AMOUNT, LEDGER_BAD_SETUP, LEDGER_OVERFLOW, LEDGER_UNBALANCED,
    LEDGER_UNKNOWN_ASSET, LEDGER_UNKNOWN_SYMBOL, LEDGER_UNRECONCILED, OK, raise_status,
)

Account = account_t
Base = base_t

cdef int64_t AMOUNT_MAX = (<int64_t>1 << 60) - 1
cdef int64_t BALANCE_MAX = (<int64_t>1 << 62) - 1
# Flow and cost of one symbol: their sum, the realised P&L, then still is a balance.
cdef int64_t COST_MAX = (<int64_t>1 << 61) - 1
cdef uint32_t FIFO_MAX = 1 << 16


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(ledger_t) == 192)
    static_assert_c(sizeof(asset_t) == 128)
    static_assert_c(sizeof(ledger_symbol_t) == 64)
    static_assert_c(sizeof(position_t) == 128)
    static_assert_c(sizeof(lot_t) == 16)
    static_assert_c(sizeof(leg_t) == 16)
    static_assert_c(sizeof(posting_t) == 136)


cdef inline bint _in_reach(int64_t value, int64_t limit) noexcept nogil:
    return -limit <= value <= limit


# ------------------------------------------------------------------------------------------------------------- set-up
cdef size_t ledger_bytes(uint32_t assets, uint32_t symbols, uint32_t fifo_capacity) noexcept nogil:
    return (sizeof(ledger_t) + assets * sizeof(asset_t)
            + symbols * (sizeof(ledger_symbol_t) + sizeof(position_t) + fifo_capacity * sizeof(lot_t)))


cdef int ledger_init(ledger_t* l, uint32_t assets, uint32_t symbols, uint32_t fifo_capacity,
                     int64_t day_cut_ns) noexcept nogil:
    """Make an empty ledger in a block of `ledger_bytes` bytes. Asset 0 is the report asset."""
    if not 1 <= assets < ASSET_NONE or symbols < 1:
        return LEDGER_BAD_SETUP
    if not 1 <= fifo_capacity <= FIFO_MAX or fifo_capacity & (fifo_capacity - 1):
        return LEDGER_BAD_SETUP
    memset(l, 0, ledger_bytes(assets, symbols, fifo_capacity))
    l.asset_count = assets
    l.symbol_count = symbols
    l.fifo_capacity = fifo_capacity
    l.day_cut_ns = day_cut_ns
    return OK


cdef int ledger_set_asset(ledger_t* l, uint32_t asset, int64_t units_per_whole) noexcept nogil:
    if asset >= l.asset_count:
        return LEDGER_UNKNOWN_ASSET
    # Once: a unit that changes under a balance would change the balance.
    if not 1 <= units_per_whole <= AMOUNT_MAX or ledger_assets(l)[asset].units_per_whole:
        return LEDGER_BAD_SETUP
    ledger_assets(l)[asset].units_per_whole = units_per_whole
    return OK


cdef inline bint _asset_is_set(const ledger_t* l, uint16_t asset) noexcept nogil:
    return asset < l.asset_count and ledger_assets(l)[asset].units_per_whole > 0


cdef int ledger_set_symbol(ledger_t* l, uint32_t symbol, bint linear, uint16_t base, uint16_t quote,
                           int64_t unit_value, int64_t lot_units, int64_t tick_e8) noexcept nogil:
    cdef ledger_symbol_t* s
    if symbol >= l.symbol_count:
        return LEDGER_UNKNOWN_SYMBOL
    s = &ledger_symbols(l)[symbol]
    if ledger_positions(l)[symbol].fill_count or unit_value < 1 or tick_e8 < 1:
        return LEDGER_BAD_SETUP
    if not _asset_is_set(l, quote):
        return LEDGER_UNKNOWN_ASSET
    if not linear:
        if not _asset_is_set(l, base):
            return LEDGER_UNKNOWN_ASSET
        if base == quote or lot_units < 1:
            return LEDGER_BAD_SETUP
    s.linear = linear
    s.base = base
    s.quote = quote
    s.unit_value = unit_value
    s.lot_units = lot_units
    s.tick_e8 = tick_e8
    s.is_set = 1
    return OK


# ------------------------------------------------------------------------------------------------------------ posting
cdef inline void _leg(posting_t* p, uint16_t asset, int account, int64_t amount) noexcept nogil:
    cdef leg_t* leg
    if amount != 0:
        debug_assert(p.leg_count < LEGS_MAX)
        leg = &p.legs[p.leg_count]
        leg.amount = amount
        leg.asset = asset
        leg.account = <uint16_t>account
        leg.reserved = 0
        p.leg_count += 1


cdef inline void _pair(posting_t* p, uint16_t asset, int debit, int credit, int64_t amount) noexcept nogil:
    _leg(p, asset, debit, amount)
    _leg(p, asset, credit, -amount)


cdef bint posting_balances(const posting_t* p) noexcept nogil:
    """Do the legs sum to zero in each asset? A quadratic walk: there are at most eight."""
    cdef uint32_t i, j
    cdef int64_t total
    for i in range(p.leg_count):
        total = 0
        for j in range(p.leg_count):
            if p.legs[j].asset == p.legs[i].asset:
                total += p.legs[j].amount
        if total != 0:
            return False
    return True


cdef inline int _apply(ledger_t* l, const posting_t* p) noexcept nogil:
    """Add every leg to its account, or none. Balanced legs are the callers' business and debug builds check it."""
    cdef uint32_t i = 0
    cdef const leg_t* leg
    cdef int64_t* balance
    cdef int64_t total
    debug_assert(posting_balances(p))
    while i < p.leg_count:
        leg = &p.legs[i]
        balance = &ledger_assets(l)[leg.asset].balance[leg.account]
        total = balance[0] + leg.amount
        if unlikely(total > BALANCE_MAX or total < -BALANCE_MAX):
            # Two legs may meet in one account, so each is judged after the one before it - and taken back.
            while i > 0:
                i -= 1
                leg = &p.legs[i]
                ledger_assets(l)[leg.asset].balance[leg.account] -= leg.amount
            l.refused_count += 1
            return LEDGER_OVERFLOW
        balance[0] = total
        i += 1
    l.posting_count += 1
    return OK


cdef inline int _refuse(ledger_t* l, int status) noexcept nogil:
    l.refused_count += 1
    return status


cdef int ledger_post(ledger_t* l, const posting_t* p) noexcept nogil:
    """Post legs made elsewhere, after checking all of them."""
    cdef uint32_t i
    if p.leg_count > LEGS_MAX:
        return _refuse(l, LEDGER_BAD_AMOUNT)
    for i in range(p.leg_count):
        if not _asset_is_set(l, p.legs[i].asset) or p.legs[i].account >= <uint16_t>ACCOUNT_COUNT:
            return _refuse(l, LEDGER_UNKNOWN_ASSET)
        # Positions follow from fills and from nothing else, and so do the accounts that mirror them.
        if ACCOUNT_POSITION <= <int>p.legs[i].account <= ACCOUNT_REALISED or p.legs[i].account == ACCOUNT_FUNDING:
            return _refuse(l, LEDGER_BAD_AMOUNT)
        if not -AMOUNT_MAX <= p.legs[i].amount <= AMOUNT_MAX:
            return _refuse(l, LEDGER_OVERFLOW)
    if not posting_balances(p):
        return _refuse(l, LEDGER_UNBALANCED)
    return _apply(l, p)


cdef int _post_pair(ledger_t* l, uint16_t asset, int account, int64_t to_cash, posting_t* out) noexcept nogil:
    out.leg_count = 0
    out.reserved = 0
    if unlikely(not _asset_is_set(l, asset)):
        return _refuse(l, LEDGER_UNKNOWN_ASSET)
    if unlikely(not -AMOUNT_MAX <= to_cash <= AMOUNT_MAX):
        return _refuse(l, LEDGER_OVERFLOW)
    _pair(out, asset, ACCOUNT_CASH, account, to_cash)
    return _apply(l, out)


cdef int ledger_fee(ledger_t* l, uint16_t asset, int64_t paid, posting_t* out) noexcept nogil:
    """A fee that arrives apart from its fill, or one that belongs to none (a withdrawal's)."""
    return _post_pair(l, asset, ACCOUNT_FEES, -paid, out)


cdef int ledger_transfer(ledger_t* l, uint16_t asset, int64_t amount, posting_t* out) noexcept nogil:
    """A deposit (plus) or a withdrawal (minus). Not profit: the next valuation shifts the bases by it."""
    cdef int64_t pending
    if unlikely(not _asset_is_set(l, asset)):
        return _refuse(l, LEDGER_UNKNOWN_ASSET)
    pending = ledger_assets(l)[asset].pending_flow
    if unlikely(not -AMOUNT_MAX <= amount <= AMOUNT_MAX or not -COST_MAX <= pending + amount <= COST_MAX):
        return _refuse(l, LEDGER_OVERFLOW)
    cdef int status = _post_pair(l, asset, ACCOUNT_CAPITAL, amount, out)
    if status == OK:
        ledger_assets(l)[asset].pending_flow = pending + amount
    return status


cdef int ledger_adjust(ledger_t* l, uint16_t asset, int64_t amount, posting_t* out) noexcept nogil:
    """Book the difference to the venue's statement where everybody sees it: in an account of its own."""
    return _post_pair(l, asset, ACCOUNT_ADJUSTMENT, amount, out)


cdef int ledger_funding(ledger_t* l, uint32_t symbol, int64_t paid, int64_t now_ns, posting_t* out) noexcept nogil:
    """A funding payment as the venue stated it: plus is paid, minus received."""
    cdef position_t* p
    out.leg_count = 0
    if unlikely(symbol >= l.symbol_count or not ledger_symbols(l)[symbol].linear):
        return _refuse(l, LEDGER_UNKNOWN_SYMBOL)
    p = &ledger_positions(l)[symbol]
    if unlikely(not -AMOUNT_MAX <= paid <= AMOUNT_MAX or not -BALANCE_MAX <= p.funding + paid <= BALANCE_MAX):
        return _refuse(l, LEDGER_OVERFLOW)
    cdef int status = _post_pair(l, ledger_symbols(l)[symbol].quote, ACCOUNT_FUNDING, -paid, out)
    if status == OK:
        p.funding += paid
        p.ts_changed_ns = now_ns
    return status


# -------------------------------------------------------------------------------------------------------------- fills
cdef int ledger_fill(ledger_t* l, uint32_t symbol, bint sell, int64_t px_ticks, int64_t qty_lots, uint16_t fee_asset,
                     int64_t fee, bint correction, int64_t now_ns, posting_t* out) noexcept nogil:
    cdef const ledger_symbol_t* s
    cdef position_t* p
    cdef int64_t value, units = 0, lots, closing, opening, flow, cost, cost_change
    cdef bint down = sell != correction         # does the position go down?
    cdef int64_t unit_cost
    cdef lot_t* ring
    cdef int64_t* tally
    out.leg_count = 0
    out.reserved = 0
    if unlikely(symbol >= l.symbol_count or not ledger_symbols(l)[symbol].is_set):
        return _refuse(l, LEDGER_UNKNOWN_SYMBOL)
    s = &ledger_symbols(l)[symbol]
    p = &ledger_positions(l)[symbol]
    if unlikely(px_ticks < 1 or qty_lots < 1):
        return _refuse(l, LEDGER_BAD_AMOUNT)
    if unlikely(mul3(px_ticks, qty_lots, s.unit_value, &value) or value > AMOUNT_MAX or qty_lots > AMOUNT_MAX):
        return _refuse(l, LEDGER_OVERFLOW)
    if not s.linear and unlikely(mul3(qty_lots, s.lot_units, 1, &units) or units > AMOUNT_MAX):
        return _refuse(l, LEDGER_OVERFLOW)
    if fee != 0:
        if unlikely(not _asset_is_set(l, fee_asset)):
            return _refuse(l, LEDGER_UNKNOWN_ASSET)
        if unlikely(not _in_reach(fee, AMOUNT_MAX)):
            return _refuse(l, LEDGER_OVERFLOW)
    tally = &p.sold_lots if sell else &p.bought_lots
    if unlikely(correction and tally[0] < qty_lots):
        return _refuse(l, LEDGER_BAD_AMOUNT)

    # What it does to the position: a part that closes, then a part that opens; a flip has both.
    lots = p.lots - qty_lots if down else p.lots + qty_lots
    closing = 0
    if p.lots != 0 and (p.lots > 0) == down:
        closing = min(qty_lots, p.lots if p.lots > 0 else -p.lots)
    opening = qty_lots - closing
    flow = value if down else -value
    unit_cost = (-px_ticks if down else px_ticks) * s.unit_value
    cost = p.cost
    if closing:
        cost -= cost_leaving(cost, closing, p.lots if p.lots > 0 else -p.lots)
    cost += opening * unit_cost
    cost_change = cost - p.cost
    if unlikely(not _in_reach(cost, COST_MAX) or not _in_reach(p.cash_value + flow, COST_MAX)
                or not _in_reach(p.cost_fifo + opening * unit_cost, COST_MAX)
                or not _in_reach(lots, AMOUNT_MAX) or tally[0] + qty_lots > BALANCE_MAX):
        return _refuse(l, LEDGER_OVERFLOW)

    if s.linear:
        # Opening moves no cash: the cost stands against the notional that is owed. Closing settles the profit.
        _pair(out, s.quote, ACCOUNT_POSITION, ACCOUNT_COUNTER, cost_change)
        _pair(out, s.quote, ACCOUNT_CASH, ACCOUNT_REALISED, flow + cost_change)
    else:
        _leg(out, s.quote, ACCOUNT_CASH, flow)
        _leg(out, s.quote, ACCOUNT_POSITION, cost_change)
        _leg(out, s.quote, ACCOUNT_REALISED, -(flow + cost_change))
        _pair(out, s.base, ACCOUNT_CASH, ACCOUNT_COUNTER, -units if down else units)
    # The fee is a leg of its own, in whatever asset the venue took it; never part of the price.
    if fee != 0:
        _pair(out, fee_asset, ACCOUNT_FEES, ACCOUNT_CASH, -fee if correction else fee)
    if unlikely(_apply(l, out) != OK):
        return LEDGER_OVERFLOW

    # Nothing can fail from here on.
    ring = ledger_lots(l, symbol)
    if closing:
        p.cost_fifo -= fifo_close(p, ring, l.fifo_capacity - 1, closing)
    if opening:
        fifo_open(p, ring, l.fifo_capacity - 1, opening, opening * unit_cost, unit_cost)
        p.cost_fifo += opening * unit_cost
    p.lots = lots
    p.cost = cost
    p.cash_value += flow
    if correction:
        tally[0] -= qty_lots
        p.correction_count += 1
        value = -value
    else:
        tally[0] += qty_lots
        p.fill_count += 1
    p.traded_value = p.traded_value + value if p.traded_value <= INT64_MAX - AMOUNT_MAX else INT64_MAX
    p.ts_changed_ns = now_ns
    return OK


cdef int ledger_reconcile(const ledger_t* l, uint16_t asset, int64_t venue_cash, int64_t tolerance,
                          int64_t* difference) noexcept nogil:
    """Hold an asset's cash against the venue's statement. Only rounding of the venue's own deserves a tolerance."""
    if unlikely(not _asset_is_set(l, asset)):
        return LEDGER_UNKNOWN_ASSET
    if unlikely(not _in_reach(venue_cash, BALANCE_MAX) or tolerance < 0):
        return LEDGER_BAD_AMOUNT
    difference[0] = venue_cash - ledger_assets(l)[asset].balance[<int>ACCOUNT_CASH]
    return OK if _in_reach(difference[0], tolerance) else LEDGER_UNRECONCILED


# ---------------------------------------------------------------------------------------------------- the Python face
_POSITION_FIELDS = ("lots", "cash_value", "bought_lots", "sold_lots", "fill_count", "traded_value", "ts_changed_ns",
                    "cost", "cost_fifo", "funding", "fifo_merged_count", "correction_count")


cdef int _raise(int status, str detail) except -1:
    if status != OK:
        raise_status(status, detail)
    return 0


cdef list _legs(const posting_t* posting):
    return [(posting.legs[i].asset, Account(posting.legs[i].account), posting.legs[i].amount)
            for i in range(posting.leg_count)]


cdef dict _equity(int status, const equity_t* e):
    _raise(status, f"{'symbol' if e.culprit_is_symbol else 'asset'} {e.culprit}")
    return {"equity": e.equity, "cash": e.cash, "unrealised": e.unrealised, "gross": e.gross, "net": e.net,
            "largest": e.largest, "oldest_ns": e.oldest_ns}


@cython.final
cdef class Ledger:
    """Accounts of `assets` assets and positions in `symbols` symbols; asset 0 is the one that is reported in."""

    def __cinit__(self, *, uint32_t assets, uint32_t symbols, uint32_t fifo=64, int64_t day_cut_ns=0):
        if not 1 <= assets <= 4096 or not 1 <= symbols <= 4096 or fifo > FIFO_MAX:
            raise_status(LEDGER_BAD_SETUP, f"assets={assets}, symbols={symbols}, fifo={fifo}")
        self.c = <ledger_t*>block_new(ledger_bytes(assets, symbols, fifo))
        if ledger_init(self.c, assets, symbols, fifo, day_cut_ns) != OK:
            raise_status(LEDGER_BAD_SETUP, f"assets={assets}, symbols={symbols}, fifo={fifo}")

    def __dealloc__(self):
        block_free(self.c)

    def set_asset(self, uint32_t asset, *, int64_t units_per_whole=100_000_000):
        _raise(ledger_set_asset(self.c, asset, units_per_whole), f"asset {asset}")

    def set_symbol(self, uint32_t symbol, *, bint linear, uint16_t quote, int64_t unit_value, int64_t tick_e8,
                   uint16_t base=ASSET_NONE, int64_t lot_units=0):
        _raise(ledger_set_symbol(self.c, symbol, linear, base, quote, unit_value, lot_units, tick_e8),
                    f"symbol {symbol}")

    def fill(self, uint32_t symbol, bint sell, int64_t px_ticks, int64_t qty_lots, *, int64_t fee=0,
             uint16_t fee_asset=ASSET_NONE, bint correction=False, int64_t now_ns=0):
        """Post one fill, or take one back; returns its legs as (asset, account, amount)."""
        cdef posting_t out
        _raise(ledger_fill(self.c, symbol, sell, px_ticks, qty_lots, fee_asset, fee, correction, now_ns, &out),
                    f"symbol {symbol}, {'sell' if sell else 'buy'} {qty_lots} at {px_ticks}, fee {fee}")
        return _legs(&out)

    def fee(self, uint16_t asset, int64_t paid):
        cdef posting_t out
        _raise(ledger_fee(self.c, asset, paid, &out), f"asset {asset}, fee {paid}")
        return _legs(&out)

    def funding(self, uint32_t symbol, int64_t paid, *, int64_t now_ns=0):
        cdef posting_t out
        _raise(ledger_funding(self.c, symbol, paid, now_ns, &out), f"symbol {symbol}, funding {paid}")
        return _legs(&out)

    def transfer(self, uint16_t asset, int64_t amount):
        cdef posting_t out
        _raise(ledger_transfer(self.c, asset, amount, &out), f"asset {asset}, transfer {amount}")
        return _legs(&out)

    def adjust(self, uint16_t asset, int64_t amount):
        cdef posting_t out
        _raise(ledger_adjust(self.c, asset, amount, &out), f"asset {asset}, adjustment {amount}")
        return _legs(&out)

    def post(self, legs):
        """Post legs made elsewhere: fees, transfers and adjustments only."""
        cdef posting_t posting
        memset(&posting, 0, sizeof(posting))
        if len(legs) > LEGS_MAX:
            raise_status(LEDGER_BAD_AMOUNT, f"{len(legs)} legs")
        for asset, account, amount in legs:
            posting.legs[posting.leg_count].asset = asset
            posting.legs[posting.leg_count].account = account
            posting.legs[posting.leg_count].amount = amount
            posting.leg_count += 1
        _raise(ledger_post(self.c, &posting), f"{legs}")

    def reconcile(self, uint16_t asset, int64_t venue_cash, *, int64_t tolerance=0):
        """The venue's cash minus ours; raises when that is more than the tolerance."""
        cdef int64_t difference = 0
        cdef int status = ledger_reconcile(self.c, asset, venue_cash, tolerance, &difference)
        _raise(status, f"asset {asset}: venue {venue_cash}, difference {difference}, tolerance {tolerance}")
        return difference

    # ------------------------------------------------------------------------------------------------------ valuation
    def mark(self, uint32_t symbol, int64_t px_e8, int64_t ts_ns):
        _raise(ledger_mark(self.c, symbol, px_e8, ts_ns), f"symbol {symbol}, mark {px_e8} at {ts_ns}")

    def mark_asset(self, uint32_t asset, int64_t px_e8, int64_t ts_ns):
        _raise(ledger_mark_asset(self.c, asset, px_e8, ts_ns), f"asset {asset}, mark {px_e8} at {ts_ns}")

    def value(self, uint32_t asset, int64_t amount, *, int64_t now_ns, int64_t age_max_ns):
        cdef int64_t out = 0
        if not _in_reach(amount, BALANCE_MAX):
            raise_status(LEDGER_OVERFLOW, f"amount {amount}")
        _raise(ledger_value(self.c, asset, amount, now_ns, age_max_ns, &out), f"asset {asset}, amount {amount}")
        return out

    def mark_value(self, uint32_t symbol, *, int64_t now_ns, int64_t age_max_ns):
        cdef int64_t out = 0
        _raise(ledger_mark_value(self.c, symbol, now_ns, age_max_ns, &out), f"symbol {symbol}")
        return out

    def unrealised(self, uint32_t symbol, *, int64_t now_ns, int64_t age_max_ns, bint fifo=False):
        cdef int64_t out = 0
        _raise(ledger_unrealised(self.c, symbol, fifo, now_ns, age_max_ns, &out), f"symbol {symbol}")
        return out

    def equity(self, *, int64_t now_ns, int64_t age_max_ns):
        """Value everything; changes nothing."""
        cdef equity_t out
        return _equity(ledger_equity(self.c, now_ns, age_max_ns, &out), &out)

    def revalue(self, *, int64_t now_ns, int64_t age_max_ns):
        """Value everything and move the bases."""
        cdef equity_t out
        return _equity(ledger_revalue(self.c, now_ns, age_max_ns, &out), &out)

    def pnl(self, int base, *, int64_t now_ns, int64_t age_max_ns):
        cdef int64_t out = 0
        _raise(ledger_pnl(self.c, base, now_ns, age_max_ns, &out), f"base {base}")
        return out

    def drawdown_e8(self, *, int64_t now_ns, int64_t age_max_ns):
        cdef int64_t out = 0
        _raise(ledger_drawdown_e8(self.c, now_ns, age_max_ns, &out), "")
        return out

    # -------------------------------------------------------------------------------------------------------- reading
    def balance(self, uint32_t asset, int account):
        if asset >= self.c.asset_count or not 0 <= account < ACCOUNT_COUNT:
            raise_status(LEDGER_UNKNOWN_ASSET, f"asset {asset}, account {account}")
        return ledger_assets(self.c)[asset].balance[account]

    def position(self, uint32_t symbol):
        """A position's fields by name, with both realised figures."""
        if symbol >= self.c.symbol_count:
            raise_status(LEDGER_UNKNOWN_SYMBOL, f"symbol {symbol}")
        cdef position_t p = ledger_positions(self.c)[symbol]
        cdef dict row = p
        return {name: row[name] for name in _POSITION_FIELDS} | {
            "realised": position_realised(&p), "realised_fifo": position_realised_fifo(&p)}

    def lots(self, uint32_t symbol):
        """The FIFO lots as (lots, cost), oldest first."""
        if symbol >= self.c.symbol_count:
            raise_status(LEDGER_UNKNOWN_SYMBOL, f"symbol {symbol}")
        cdef position_t* p = &ledger_positions(self.c)[symbol]
        cdef lot_t* ring = ledger_lots(self.c, symbol)
        cdef uint32_t mask = self.c.fifo_capacity - 1
        return [(ring[(p.fifo_head + i) & mask].lots, ring[(p.fifo_head + i) & mask].cost)
                for i in range(p.fifo_count)]

    def bases(self):
        """Each base as (value, time), None before the first valuation."""
        if not self.c.equity_is_set:
            return None
        return {Base(i): (self.c.base_value[<int>i], self.c.base_ts_ns[<int>i]) for i in range(<int>BASE_COUNT)}

    @property
    def counts(self):
        return {"postings": self.c.posting_count, "refused": self.c.refused_count}

    def image(self):
        """A copy of the whole block."""
        return bytes((<const unsigned char*>self.c)[:ledger_bytes(self.c.asset_count, self.c.symbol_count,
                                                                  self.c.fifo_capacity)])

    def check(self):
        """Walk every invariant; cost and units are summed again from positions and lots."""
        ledger_check(self.c)


cdef int ledger_check(ledger_t* l) except -1:
    """The conservation laws, from scratch in Python integers."""
    cdef uint32_t i, j, mask = l.fifo_capacity - 1
    cdef position_t* p
    cdef ledger_symbol_t* s
    cdef lot_t* lot
    expected = {(a, account): 0 for a in range(l.asset_count)
                for account in (ACCOUNT_POSITION, ACCOUNT_COUNTER, ACCOUNT_REALISED, ACCOUNT_FUNDING)}
    for i in range(l.symbol_count):
        p, s = &ledger_positions(l)[i], &ledger_symbols(l)[i]
        assert p.lots == p.bought_lots - p.sold_lots, f"fills and position of symbol {i}"
        assert s.is_set or p.fill_count == 0, f"fills of symbol {i}, which is not set up"
        assert (p.lots > 0) <= (p.cost > 0) and (p.lots < 0) <= (p.cost < 0), f"cost of symbol {i} on the wrong side"
        assert p.lots != 0 or (p.cost == 0 and p.cost_fifo == 0), f"cost without a position in symbol {i}"
        lots, cost = 0, 0
        for j in range(l.fifo_capacity):
            lot = &ledger_lots(l, i)[(p.fifo_head + j) & mask]
            assert (lot.lots > 0) == (j < p.fifo_count), f"lot {j} of symbol {i}"
            assert lot.lots or not lot.cost, f"spent lot {j} of symbol {i} keeps a cost"
            lots += lot.lots
            cost += lot.cost
        assert lots == abs(p.lots) and cost == p.cost_fifo, f"lots of symbol {i}"
        if not s.is_set:
            continue
        expected[s.quote, ACCOUNT_POSITION] += p.cost
        expected[s.quote, ACCOUNT_REALISED] -= position_realised(p)
        expected[s.quote, ACCOUNT_FUNDING] += p.funding
        if s.linear:
            expected[s.quote, ACCOUNT_COUNTER] -= p.cost
        else:
            expected[s.base, ACCOUNT_COUNTER] -= p.lots * s.lot_units
    for i in range(l.asset_count):
        balances = [int(ledger_assets(l)[i].balance[j]) for j in range(ACCOUNT_COUNT)]
        assert sum(balances) == 0, f"asset {i} does not balance: {balances}"
        for account in (ACCOUNT_POSITION, ACCOUNT_COUNTER, ACCOUNT_REALISED, ACCOUNT_FUNDING):
            assert balances[account] == expected[i, account], f"account {account} of asset {i}"
    if l.equity_is_set:
        assert l.base_value[<int>BASE_PEAK] >= l.equity, "peak below the equity"
    return 0

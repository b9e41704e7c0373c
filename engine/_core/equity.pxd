"""What the ledger is worth: positions and balances at mark prices, and the bases that profit is measured from.

Works on a `ledger_t`; owns no state of its own. A mark that is missing or older than the caller allows gives
LEDGER_STALE_MARK and no value at all: there is no "last known" equity. Balances of zero need no mark.

Equity = sum over assets of (cash + unrealised P&L of the perpetuals quoted in it) at the asset's mark. Spot holdings
are cash of their base asset, so they are valued once. Roundings: `value rounds down` (a long is never worth more, a
short never owes less), `drawdown rounds up`, `exposure rounds up`.

Transfers are not profit: each is kept as pending and, at the next valuation, shifts every base by its value at that
valuation's marks. Cost: one pass over assets and symbols, some 2 ns for an idle symbol and 10 ns for an open one.
"""
from libc.stdint cimport int64_t, uint32_t

from engine._core.ledger cimport ledger_t


cdef struct equity_t:             # one cache line; report units
    int64_t equity
    int64_t cash
    int64_t unrealised            # of perpetuals; equity = cash + unrealised
    int64_t gross                 # sum of the absolute position values
    int64_t net
    int64_t largest               # the largest absolute position value: concentration is largest / equity
    int64_t oldest_ns             # oldest mark used; now when none was
    uint32_t culprit              # when stale: index of the asset or symbol
    uint32_t culprit_is_symbol


cdef int ledger_mark(ledger_t* l, uint32_t symbol, int64_t px_e8, int64_t ts_ns) noexcept nogil
cdef int ledger_mark_asset(ledger_t* l, uint32_t asset, int64_t px_e8, int64_t ts_ns) noexcept nogil
cdef int ledger_mark_value(const ledger_t* l, uint32_t symbol, int64_t now_ns, int64_t age_max_ns,
                           int64_t* value) noexcept nogil
cdef int ledger_unrealised(const ledger_t* l, uint32_t symbol, bint fifo, int64_t now_ns, int64_t age_max_ns,
                           int64_t* out) noexcept nogil
cdef int ledger_value(const ledger_t* l, uint32_t asset, int64_t amount, int64_t now_ns, int64_t age_max_ns,
                      int64_t* out) noexcept nogil
cdef int ledger_equity(const ledger_t* l, int64_t now_ns, int64_t age_max_ns, equity_t* out) noexcept nogil
cdef int ledger_revalue(ledger_t* l, int64_t now_ns, int64_t age_max_ns, equity_t* out) noexcept nogil
cdef int ledger_pnl(const ledger_t* l, int base, int64_t now_ns, int64_t age_max_ns, int64_t* out) noexcept nogil
cdef int ledger_drawdown_e8(const ledger_t* l, int64_t now_ns, int64_t age_max_ns, int64_t* out) noexcept nogil

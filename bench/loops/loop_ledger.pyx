from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.cost cimport cost_estimate, cost_request_t, cost_t
from engine._core.equity cimport equity_t, ledger_equity
from engine._core.ledger cimport Ledger, ledger_fill, posting_t
from engine._core.margin cimport (
    MarginTiers, margin_account_check, margin_account_t, margin_liquidation, margin_order, margin_position_t,
)
from engine._core.sizing cimport size_largest, size_request_t, sized_t
from engine._core.types cimport OK


def fills(Ledger ledger not None, const int64_t[::1] symbols, const int64_t[::1] sells, const int64_t[::1] px,
          const int64_t[::1] qty, int64_t fee, uint16_t fee_asset, double[::1] samples_ns, int batch):
    """Time `batch` fills with their fee legs per sample, walking round over the fills. Returns the refusals."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = px.shape[0]
    cdef uint64_t start, stop, refused = 0
    cdef posting_t out
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                refused += ledger_fill(ledger.c, <uint32_t>symbols[at], sells[at] != 0, px[at], qty[at], fee_asset, fee,
                                       False, sample, &out) != OK
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return refused


def equity(Ledger ledger not None, double[::1] samples_ns, int batch):
    """Time whole valuations; returns the sum of the equities."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample
    cdef uint64_t start, stop
    cdef equity_t out
    cdef int64_t total = 0
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                ledger_equity(ledger.c, i, 1_000_000, &out)
                total += out.equity
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return total


def margin(MarginTiers tiers not None, const int64_t[::1] qty, const int64_t[::1] px, double[::1] samples_ns,
           int batch, bint liquidation):
    """Time requirement and 110 % check of an order, or the liquidation price; returns a checksum."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = px.shape[0]
    cdef uint64_t start, stop
    cdef int64_t required = 0, headroom = 0, total = 0, px_e8 = 0
    cdef margin_account_t account
    cdef margin_position_t p
    cdef int i
    account = margin_account_t(wallet=10**15, unrealised=-(10**12), initial=10**13, maintenance=0, reserved_orders=10**12,
                               ts_ns=0, is_known=1, reserved=0)
    p = margin_position_t(lots=0, cost=0, unit_value=1000, tick_e8=10**6, wallet=10**12, other_maintenance=10**9,
                          other_unrealised=-(10**9), reserved=0)
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                if liquidation:
                    p.lots = qty[at]
                    p.cost = qty[at] * px[at] * 1000
                    total += margin_liquidation(&tiers.c, &p, &px_e8)
                    total += px_e8
                else:
                    total += margin_order(&tiers.c, at & 1023, 5, at & 1, qty[at], px[at], 1000, 20, &required)
                    total += margin_account_check(&account, required, 1, 10, &headroom) + required
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return total


def cost(const int64_t[::1] px, const int64_t[::1] lots, const int64_t[::1] qty, double[::1] samples_ns, int batch):
    """Time complete cost estimates of market buys; returns the sum of the totals."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = qty.shape[0]
    cdef uint64_t start, stop
    cdef int64_t total = 0
    cdef cost_request_t r
    cdef cost_t out
    cdef int i
    r.px_ticks = 0
    r.unit_value = 1000
    r.bid_px_ticks = px[0] - 1
    r.ask_px_ticks = px[0]
    r.maker_e8 = 20_000
    r.taker_e8 = 50_000
    r.funding_rate_e8 = 10_000
    r.funding_count = 3
    r.network_fee = 0
    r.sell = r.post_only = 0
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                r.qty_lots = qty[at]
                cost_estimate(&r, &px[0], &lots[0], <uint32_t>px.shape[0], &out)
                total += out.total
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return total


def size(const int64_t[::1] px, double[::1] samples_ns, int batch):
    """Time the largest size under all caps; returns the sum of the sizes."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = px.shape[0]
    cdef uint64_t start, stop
    cdef int64_t total = 0
    cdef size_request_t r
    cdef sized_t out
    cdef int i
    r = size_request_t(equity=10**15, notional_share_e8=2_000_000, risk_share_e8=2_000_000, kelly_e8=5_000_000,
                       px_ticks=1, stop_px_ticks=1, unit_value=1000, fee_rate_e8=50_000, held_value=10**11,
                       margin_headroom=10**13, leverage=20, position_room_lots=10**6, depth_lots=10**6, qty_min_lots=1,
                       qty_max_lots=10**6, qty_step_lots=5, notional_min=1)
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                r.px_ticks = px[at]
                r.stop_px_ticks = px[at] - 500
                size_largest(&r, &out)
                total += out.lots
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return total

cimport cython
from libc.math cimport NAN, sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from engine._core.memory cimport block_free, block_new
from engine._core.simd cimport log_c

# Ticks and lots below 2**40, so that products of two, and sums of a thousand of them, stay exact enough in a double.
cdef int64_t MOST = <int64_t>1 << 40
cdef int64_t TS_MOST = 7_258_118_400_000_000_000

# name: (window counts, unit, meaning)
FAMILIES = {
    "ofi": ("quotes", "lots", "order-flow imbalance: sum of what came to the bid less what came to the ask"),
    "spread_mean": ("quotes", "ticks", "mean spread"),
    "imbalance_mean": ("quotes", "ratio", "mean imbalance of the best quantities"),
    "mid_vol": ("quotes", "ticks", "root of the mean squared change of the mid"),
    "quote_rate": ("quotes", "1/s", "quotes a second over the window; 0 within one instant"),
    "sign": ("trades", "ratio", "bought less sold lots over all lots"),
    "trade_size": ("trades", "lots", "mean quantity of a trade"),
    "trade_rate": ("trades", "1/s", "trades a second over the window; 0 within one instant"),
    "kyle": ("trades", "ticks/lot", "Kyle's lambda: slope of price changes on signed lots"),
    "roll": ("trades", "ticks", "Roll's spread: 2 root of minus the autocovariance of price changes, else 0"),
    "effective": ("trades", "ticks", "mean of twice the distance of a trade from the mid before it"),
    "vwap_gap": ("trades", "ticks", "last price less the volume-weighted mean price"),
    "amihud": ("trades", "1/(tick lot)", "mean of |log price change| over the trade's value"),
    "vpin": ("buckets", "ratio", "mean of |bought - sold| / volume over buckets of equal volume"),
}
PLAIN = {
    "spread": ("ticks", "ask less bid"),
    "spread_share": ("ratio", "spread over mid"),
    "mid": ("ticks", "middle of the best prices"),
    "micro": ("ticks", "micro-price: best prices weighted with the other side's quantity"),
    "micro_gap": ("ticks", "micro-price less mid"),
    "imbalance": ("ratio", "(bid - ask) / (bid + ask) of the best quantities"),
}


cdef int flow_init(flow_t* f, const int32_t* windows, int window_count, int64_t bucket_lots) noexcept nogil:
    cdef int i, j
    memset(f, 0, sizeof(flow_t))
    if window_count < 1 or window_count > FLOW_LANES or bucket_lots < 1 or bucket_lots > MOST:
        return FLOW_BAD_CONFIG
    for i in range(FLOW_LANES):
        f.window[i] = windows[i] if i < window_count else 1
        if f.window[i] < 1 or f.window[i] > FLOW_WINDOW_MAX:
            return FLOW_BAD_CONFIG
    f.window_count = window_count
    f.bucket_lots = bucket_lots
    for i in range(<int>PLAINS):
        f.plain[i] = NAN
    for i in range(<int>FLOW_FAMILIES):
        for j in range(FLOW_LANES):
            f.out[i][j] = NAN
    return FLOW_OK


cdef inline void _roll(
    double* sums, double* fresh, const double* ring, int stride, int width, int64_t count, const double* term,
    const int64_t* window, int64_t* fresh_count,
) noexcept nogil:
    """Advance `width` rolling sums for all lanes. `count` is the number of the term; its record is already written."""
    cdef int lane, s
    cdef const double* old
    for lane in range(FLOW_LANES):
        old = ring + ((count - window[lane]) & (FLOW_RING - 1)) * stride
        fresh_count[lane] += 1
        for s in range(width):
            sums[s * FLOW_LANES + lane] += term[s] - old[s]
            fresh[s * FLOW_LANES + lane] += term[s]
            if fresh_count[lane] == window[lane]:
                # A whole window has been added up anew: it replaces the sum that carries older rounding.
                sums[s * FLOW_LANES + lane] = fresh[s * FLOW_LANES + lane]
                fresh[s * FLOW_LANES + lane] = 0.0
        if fresh_count[lane] == window[lane]:
            fresh_count[lane] = 0


cdef inline double _rate(const int64_t* times, int64_t count, int64_t window, int64_t now_ns) noexcept nogil:
    """Events a second: the window's number over the time since the one before the window."""
    cdef int64_t span = now_ns - times[(count - window) & (FLOW_RING - 1)]
    return 1e9 * <double>window / <double>span if span > 0 else 0.0


cdef inline double _ofi(const flow_t* f, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots) noexcept nogil:
    """What came to the bid less what came to the ask between two quotes (Cont, Kukanov, Stoikov)."""
    cdef double e = 0.0
    if bid >= f.bid_ticks:
        e += bid_lots
    if bid <= f.bid_ticks:
        e -= f.bid_lots
    if ask <= f.ask_ticks:
        e -= ask_lots
    if ask >= f.ask_ticks:
        e += f.ask_lots
    return e


cdef int flow_quote(flow_t* f, int64_t ts, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots) noexcept nogil:
    cdef double mid, change, n, both
    cdef double* term
    cdef int lane
    if (
        bid < 1 or ask <= bid or ask > MOST or bid_lots < 1 or bid_lots > MOST or ask_lots < 1 or ask_lots > MOST
        or ts < f.quote_ns or ts > TS_MOST
    ):
        f.refused_count += 1
        return FLOW_REFUSED
    both = <double>(bid_lots + ask_lots)
    mid = 0.5 * <double>(bid + ask)
    change = mid - f.plain[<int>PLAIN_MID] if f.quote_count else 0.0
    f.quote_count += 1
    term = f.quotes[f.quote_count & (FLOW_RING - 1)]
    term[0] = _ofi(f, bid, bid_lots, ask, ask_lots) if f.quote_count > 1 else 0.0
    term[1] = <double>(ask - bid)
    term[2] = <double>(bid_lots - ask_lots) / both
    term[3] = change * change
    f.quote_times[f.quote_count & (FLOW_RING - 1)] = ts
    _roll(
        &f.quote_sum[0][0], &f.quote_fresh[0][0], &f.quotes[0][0], QUOTE_SUMS, QUOTE_SUMS, f.quote_count, term,
        f.window, f.quote_fresh_count,
    )
    f.bid_ticks = bid
    f.bid_lots = bid_lots
    f.ask_ticks = ask
    f.ask_lots = ask_lots
    f.quote_ns = ts
    f.plain[<int>PLAIN_SPREAD] = term[1]
    f.plain[<int>PLAIN_SPREAD_SHARE] = term[1] / mid
    f.plain[<int>PLAIN_MID] = mid
    f.plain[<int>PLAIN_MICRO] = (<double>bid * ask_lots + <double>ask * bid_lots) / both
    f.plain[<int>PLAIN_MICRO_GAP] = 0.5 * term[1] * term[2]
    f.plain[<int>PLAIN_IMBALANCE] = term[2]
    for lane in range(FLOW_LANES):
        n = f.window[lane]
        if f.quote_count >= f.window[lane]:
            f.out[<int>FLOW_SPREAD_MEAN][lane] = f.quote_sum[1][lane] / n
            f.out[<int>FLOW_IMBALANCE_MEAN][lane] = f.quote_sum[2][lane] / n
        if f.quote_count > f.window[lane]:
            f.out[<int>FLOW_OFI][lane] = f.quote_sum[0][lane]
            f.out[<int>FLOW_MID_VOL][lane] = sqrt(f.quote_sum[3][lane] / n) if f.quote_sum[3][lane] > 0.0 else 0.0
            f.out[<int>FLOW_QUOTE_RATE][lane] = _rate(f.quote_times, f.quote_count, f.window[lane], ts)
    return FLOW_OK


cdef void _bucket(flow_t* f) noexcept nogil:
    """Close a bucket of exactly `bucket_lots`."""
    cdef double* slot
    cdef int lane
    f.bucket_count += 1
    slot = &f.buckets[f.bucket_count & (FLOW_RING - 1)]
    slot[0] = abs(<double>(2 * f.bucket_bought - f.bucket_lots)) / <double>f.bucket_lots
    _roll(
        f.bucket_sum, f.bucket_fresh, f.buckets, 1, 1, f.bucket_count, slot, f.window, f.bucket_fresh_count,
    )
    f.bucket_bought = 0
    f.bucket_volume = 0
    for lane in range(FLOW_LANES):
        if f.bucket_count >= f.window[lane]:
            f.out[<int>FLOW_VPIN][lane] = f.bucket_sum[lane] / <double>f.window[lane]


cdef void _fill_buckets(flow_t* f, int64_t qty, bint sell) noexcept nogil:
    """Pour a trade into the buckets, at most two rings of them."""
    cdef int64_t part, whole = qty // f.bucket_lots
    if whole > 2 * FLOW_RING:
        # Buckets beyond two rings would only overwrite equal ones.
        qty -= (whole - 2 * FLOW_RING) * f.bucket_lots
    while qty > 0:
        part = min(qty, f.bucket_lots - f.bucket_volume)
        f.bucket_volume += part
        f.bucket_bought += 0 if sell else part
        qty -= part
        if f.bucket_volume == f.bucket_lots:
            _bucket(f)


cdef int flow_trade(flow_t* f, int64_t ts, int64_t px, int64_t qty, bint sell) noexcept nogil:
    cdef double* term
    cdef double change, q = <double>qty, p = <double>px, n, a, b
    cdef int lane
    if px < 1 or px > MOST or qty < 1 or qty > MOST or ts < f.trade_ns or ts > TS_MOST:
        f.refused_count += 1
        return FLOW_REFUSED
    change = p - <double>f.trade_px_ticks if f.trade_count else 0.0
    f.trade_count += 1
    term = f.trades[f.trade_count & (FLOW_RING - 1)]
    term[0] = -q if sell else q
    term[1] = q
    term[2] = change
    term[3] = change * term[0]
    term[4] = q * q
    term[5] = change * f.change_before
    term[6] = 2.0 * abs(p - f.plain[<int>PLAIN_MID]) if f.quote_count else 0.0
    term[7] = p * q
    term[8] = abs(log_c(p / <double>f.trade_px_ticks)) / (p * q) if f.trade_count > 1 else 0.0
    f.trade_times[f.trade_count & (FLOW_RING - 1)] = ts
    _roll(
        &f.trade_sum[0][0], &f.trade_fresh[0][0], &f.trades[0][0], TRADE_SUMS, TRADE_SUMS, f.trade_count, term,
        f.window, f.trade_fresh_count,
    )
    f.trade_ns = ts
    f.trade_px_ticks = px
    for lane in range(FLOW_LANES):
        n = f.window[lane]
        if f.trade_count >= f.window[lane]:
            f.out[<int>FLOW_SIGN][lane] = f.trade_sum[0][lane] / f.trade_sum[1][lane]
            f.out[<int>FLOW_TRADE_SIZE][lane] = f.trade_sum[1][lane] / n
            f.out[<int>FLOW_VWAP_GAP][lane] = p - f.trade_sum[7][lane] / f.trade_sum[1][lane]
            f.out[<int>FLOW_EFFECTIVE][lane] = f.trade_sum[6][lane] / n
        if f.trade_count > f.window[lane]:
            a = f.trade_sum[3][lane] / n - (f.trade_sum[2][lane] / n) * (f.trade_sum[0][lane] / n)
            b = f.trade_sum[4][lane] / n - (f.trade_sum[0][lane] / n) * (f.trade_sum[0][lane] / n)
            f.out[<int>FLOW_KYLE][lane] = a / b if b > 1e-12 * f.trade_sum[4][lane] / n else 0.0
            f.out[<int>FLOW_TRADE_RATE][lane] = _rate(f.trade_times, f.trade_count, f.window[lane], ts)
            f.out[<int>FLOW_AMIHUD][lane] = f.trade_sum[8][lane] / n
        if f.trade_count > f.window[lane] + 1:
            a = f.trade_sum[5][lane] / n
            f.out[<int>FLOW_ROLL][lane] = 2.0 * sqrt(-a) if a < 0.0 else 0.0
    f.change_before = change
    _fill_buckets(f, qty, sell)
    return FLOW_OK


cdef double flow_imbalance(const int64_t* bid_lots, const int64_t* ask_lots, int levels) noexcept nogil:
    cdef double bids = 0.0, asks = 0.0
    cdef int i
    for i in range(levels):
        bids += <double>bid_lots[i]
        asks += <double>ask_lots[i]
    return (bids - asks) / (bids + asks) if bids + asks > 0.0 else 0.0


# ------------------------------------------------------------------------------------------------------- Python face
Plain = flow_plain_t
Family = flow_family_t
_FAMILY = {name: number for number, name in enumerate(FAMILIES)}
_PLAIN = {name: number for number, name in enumerate(PLAIN)}


@cython.final
cdef class Flow:
    """Microstructure features of one instrument for up to eight windows."""

    def __cinit__(self, *, object windows=(5, 10, 20, 50, 100, 200, 500, 1000), int64_t bucket_lots=1000):
        cdef int32_t w[8]
        self.windows = tuple(int(n) for n in windows)
        self.c = <flow_t*>block_new(sizeof(flow_t))
        for i, n in enumerate(self.windows[:8]):
            w[<int>i] = max(min(n, FLOW_WINDOW_MAX + 1), 0)
        if flow_init(self.c, w, len(self.windows), bucket_lots) != FLOW_OK:
            raise ValueError(f"windows {self.windows} (1 to 8 of 1 to {FLOW_WINDOW_MAX}), bucket_lots {bucket_lots}")

    def __dealloc__(self):
        block_free(self.c)

    def quote(self, int64_t ts_ns, int64_t bid_ticks, int64_t bid_lots, int64_t ask_ticks, int64_t ask_lots):
        """Apply the best quotes; False when they are none and were refused."""
        return flow_quote(self.c, ts_ns, bid_ticks, bid_lots, ask_ticks, ask_lots) == FLOW_OK

    def trade(self, int64_t ts_ns, int64_t px_ticks, int64_t qty_lots, bint sell=False):
        """Apply a trade; False when it is none and was refused."""
        return flow_trade(self.c, ts_ns, px_ticks, qty_lots, sell) == FLOW_OK

    def plain(self, str name not None):
        """A value of the last quote: NaN before the first."""
        return self.c.plain[<int>_PLAIN[name]]

    def value(self, str family not None, int window):
        """A windowed value: NaN before the window is full."""
        if window not in self.windows:
            raise KeyError(window)
        return self.c.out[<int>_FAMILY[family]][<int>self.windows.index(window)]

    @staticmethod
    def imbalance(const int64_t[::1] bid_lots, const int64_t[::1] ask_lots, int levels):
        """Imbalance of the first levels of a book."""
        if levels < 1 or levels > min(bid_lots.shape[0], ask_lots.shape[0]):
            raise ValueError(f"{levels} levels of {bid_lots.shape[0]} and {ask_lots.shape[0]}")
        return flow_imbalance(&bid_lots[0], &ask_lots[0], levels)

    def state(self):
        """The block as bytes."""
        return (<const char*>self.c)[:sizeof(flow_t)]

    @property
    def quote_count(self):
        return self.c.quote_count

    @property
    def trade_count(self):
        return self.c.trade_count

    @property
    def bucket_count(self):
        return self.c.bucket_count

    @property
    def refused_count(self):
        return self.c.refused_count

    def check(self):
        """Walk the invariants."""
        cdef int lane, s, i
        cdef double total, size
        assert 0 <= self.c.bucket_bought <= self.c.bucket_volume < self.c.bucket_lots, "the bucket being filled"
        for lane in range(FLOW_LANES):
            assert self.c.quote_fresh_count[lane] < self.c.window[lane], "a fresh sum outlived its window"
            for s in range(TRADE_SUMS):
                total = 0.0
                size = 0.0
                # What left less than a window ago may still show in the rounding.
                for i in range(min(2 * self.c.window[lane], FLOW_RING)):
                    if i < self.c.window[lane]:
                        total += self.c.trades[(self.c.trade_count - i) & (FLOW_RING - 1)][s]
                    size += abs(self.c.trades[(self.c.trade_count - i) & (FLOW_RING - 1)][s])
                assert abs(total - self.c.trade_sum[s][lane]) <= 1e-9 * size + 1e-300, "a rolling sum drifted"

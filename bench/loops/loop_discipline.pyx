from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.discipline cimport (
    Discipline, discipline_check, discipline_result, discipline_verdict_t, facts_t, signal_t,
)


def check(Discipline table not None, int64_t now_ns, int64_t notional, double[::1] samples_ns, int batch):
    """Time whole checks that walk over all strategies and symbols; returns (passed, sum of their reasons)."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint32_t strategies = table.c.strategy_count, symbols = table.c.symbol_count
    cdef uint64_t start, stop, passed = 0, checksum = 0, at = 0
    cdef discipline_verdict_t verdict
    cdef signal_t s
    cdef facts_t f
    cdef Py_ssize_t sample
    cdef int i
    memset(&s, 0, sizeof(s))
    memset(&f, 0, sizeof(f))
    s.px_ticks, s.qty_lots, s.notional, s.stop_ppm, s.sources, s.claims = 100, 10, notional, 10_000, 7, 15
    s.p, s.ev, s.sharpe, s.confidence = 0.01, 0.1, 3.0, 0.9
    f.equity, f.position_share_ppm, f.bid_px_ticks, f.ask_px_ticks = 1_000_000, 20_000, 99, 101
    f.px_band_low_ticks, f.px_band_high_ticks = 90, 110
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                s.strategy = <uint16_t>(at % strategies)
                s.symbol = <uint16_t>(at * 7 % symbols)
                f.rise_ppm = <int64_t>(at & 1023)
                discipline_check(table.c, &s, &f, now_ns, &verdict)
                passed += verdict.reasons == 0
                checksum += verdict.reasons
                at += 1
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return passed, checksum


def result(Discipline table not None, int64_t now_ns, double[::1] samples_ns, int batch):
    """Time closed trades with a full record: one out, one in, judged anew."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint32_t strategies = table.c.strategy_count
    cdef uint64_t start, stop, at = 0, good = 0
    cdef Py_ssize_t sample
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                now_ns += 1
                good += discipline_result(table.c, <uint32_t>(at % strategies), 0, <int64_t>(at & 255) - 100, 100_000,
                                          10_000, now_ns) == 0
                at += 1
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return good

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.correlation cimport Correlation, correlation_price, correlation_sample, correlation_worst
from engine._core.risk cimport Gate, gate_check, verdict_t


def check(Gate gate not None, Correlation correlation not None, const int64_t[::1] prices, const int64_t[::1] symbols,
          int64_t now_ns, double[::1] samples_ns, int batch):
    """Time whole verdicts, the correlation word read for each; returns (passed, sum of all headrooms)."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = prices.shape[0]
    cdef uint64_t start, stop, passed = 0, checksum = 0
    cdef verdict_t verdict
    cdef int i, rule
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                gate.ask.symbol = <uint16_t>symbols[at]
                gate.ask.px_ticks = prices[at]
                gate.ask.sell = at & 1
                gate.ask.px_stop_ticks = prices[at] - 50_000 + 100_000 * (at & 1)
                gate.ask.correlation_ppm = correlation_worst(correlation.c, gate.ask.symbol, gate.ask.sell)
                gate_check(gate.c, &gate.limits, &gate.account, &gate.ask, now_ns, &verdict)
                passed += verdict.failed == 0
                checksum += <uint64_t>verdict.headroom[at & 31]
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return passed, checksum


def sample(Correlation correlation not None, const int64_t[:, ::1] prices, double[::1] samples_ns):
    """Time one whole pass over the covariances, each after new prices: without returns they fade to no numbers."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef Py_ssize_t at, symbol
    cdef uint64_t start, stop
    with nogil:
        for at in range(samples_ns.shape[0]):
            for symbol in range(prices.shape[1]):
                correlation_price(correlation.c, <uint16_t>symbol, prices[at % prices.shape[0], symbol])
            start = timing_start()
            correlation_sample(correlation.c)
            stop = timing_stop()
            samples_ns[at] = (<double>(stop - start) - overhead) * scale

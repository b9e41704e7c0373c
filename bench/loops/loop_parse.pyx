from libc.stdint cimport int64_t, uint64_t

import numpy as np

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.parse cimport Parser, parse_frame
from engine._core.types cimport event_t

from engine._core.types import EVENT


def decode(
    Parser parser not None, const unsigned char[::1] text, const int64_t[::1] starts, double[::1] samples_ns, int batch
):
    """Time `batch` frames per sample; frame i is text[starts[i]:starts[i + 1]].

    Returns (frames refused, sum over all frames of count and of every word of the last event).
    """
    cdef double overhead = timing_overhead_cycles(), scale_ns = timing_ns_per_cycle() / batch
    cdef Py_ssize_t sample, at = 0, count = starts.shape[0] - 1
    cdef const char* base = <const char*>&text[0]
    cdef event_t[::1] out = np.zeros(256, dtype=EVENT)
    cdef event_t* last
    cdef uint64_t start, stop
    cdef uint64_t total = 0
    cdef size_t events = 0
    cdef int64_t refused = 0
    cdef int i, word
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                if parse_frame(parser.c, base + starts[at], <size_t>(starts[at + 1] - starts[at]), sample, &out[0], 256,
                               &events) != 0:
                    refused += 1
                else:
                    last = &out[0] + (events - 1)
                    total += events
                    for word in range(5):
                        total += <uint64_t>last.word[word]
                at += 1
                if at == count:
                    at = 0
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale_ns
    return refused, total

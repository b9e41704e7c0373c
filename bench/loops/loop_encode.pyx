from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.encode cimport Encoder, encode_intent
from engine._core.types cimport intent_t


def encode(Encoder encoder not None, unsigned char[::1] record not None, int64_t now_ns, double[::1] samples_ns, int batch):
    """Time `batch` messages per sample, each with another order number and price. Returns bytes written, failures."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef intent_t* intent = <intent_t*>&record[0]
    cdef unsigned char[::1] room = encoder.room
    cdef Py_ssize_t sample
    cdef uint64_t start, stop, written = 0
    cdef int64_t px_ticks = intent.px_ticks
    cdef size_t size = 0
    cdef int i, failed = 0
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                intent.id_order += 1
                intent.px_ticks = px_ticks + (i & 1023)
                failed |= encode_intent(encoder.c, intent, NULL, now_ns, <char*>&room[0], room.shape[0], &size)
                written += size
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return written, failed

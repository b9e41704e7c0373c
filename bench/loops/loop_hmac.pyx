from libc.stdint cimport uint8_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.hmac cimport HmacKey, hmac_sign


def sign(HmacKey key not None, uint8_t[::1] message not None, double[::1] samples_ns, int batch):
    """Time `batch` signatures per sample; every message differs in one byte. The sum of the digests' first bytes."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint8_t digest[32]
    cdef Py_ssize_t sample
    cdef uint64_t start, stop, checksum = 0
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                message[message.shape[0] - 1] = <uint8_t>(48 + (sample + i) % 10)
                hmac_sign(key.c, &message[0], message.shape[0], digest)
                checksum += digest[0]
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return checksum

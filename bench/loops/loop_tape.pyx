from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.checksum cimport crc32c_raw
from engine._core.tape cimport Tape, tape_append, tape_commit
from engine._core.types cimport OK, event_t


def append(Tape tape not None, const unsigned char[::1] record, double[::1] samples_ns, int batch):
    """Time `batch` appends of one record each; returns how many were taken."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef uint64_t start, stop, taken = 0
    cdef event_t e
    cdef Py_ssize_t sample
    cdef int i
    memcpy(&e, &record[0], sizeof(event_t))
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                e.seq += 1
                taken += tape_append(&tape.c, &e, 1) == OK
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return taken


def intent(Tape tape not None, const unsigned char[::1] records, double[::1] samples_ns):
    """Time what stands between an event with its intent and the send: two appends and the commit, one by one."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef uint64_t start, stop, taken = 0
    cdef const event_t* both = <const event_t*>&records[0]
    cdef Py_ssize_t sample
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            taken += tape_append(&tape.c, both, 1) == OK
            taken += tape_append(&tape.c, both + 1, 1) == OK
            tape_commit(&tape.c)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return taken


def crc(const unsigned char[::1] data, double[::1] samples_ns):
    """Time the sum of 64 bytes."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / 256
    cdef uint64_t start, stop
    cdef uint32_t sum = 1
    cdef Py_ssize_t sample
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(256):
                sum = crc32c_raw(sum, &data[0], 64)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return sum

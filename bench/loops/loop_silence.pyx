from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.clock cimport clock_monotonic_ns
from engine._core.latch cimport Latch, latch_check
from engine._core.types cimport OK

cdef extern from "<unistd.h>" nogil:
    ssize_t write(int fd, const void* data, size_t size) noexcept
    ssize_t read(int fd, void* data, size_t size) noexcept


def send(Latch latch not None, int fd, int64_t[::1] out):
    """Frames of 64 bytes as fast as the socket takes them, the latch asked before each write, as every send does.

    out: frames, when the last write had returned, when the loop ended. A frame begins with the time at which it was made.
    """
    cdef char frame[64]
    cdef int64_t now_ns = 0
    memset(frame, 0, sizeof(frame))
    with nogil:
        while latch_check(latch.c) == OK:
            now_ns = clock_monotonic_ns()
            memcpy(frame, &now_ns, 8)
            if write(fd, frame, sizeof(frame)) != sizeof(frame):
                break
            out[0] += 1
            out[1] = clock_monotonic_ns()
        out[2] = clock_monotonic_ns()


def receive(int fd, int64_t[::1] out):
    """The far end. out: bytes, when the last of them was there, the newest time that a frame carried."""
    cdef char data[4096]
    cdef ssize_t got
    cdef int64_t made_ns
    with nogil:
        while True:
            got = read(fd, data, sizeof(data))
            if got <= 0:
                break
            out[1] = clock_monotonic_ns()
            if out[0] % 64 == 0 and got >= 64:
                memcpy(&made_ns, data + (got // 64 - 1) * 64, 8)
                out[2] = made_ns
            out[0] += got


def hold(double seconds):
    """Hold the interpreter lock for so long: nothing else in the process runs Python meanwhile."""
    cdef int64_t end = clock_monotonic_ns() + <int64_t>(seconds * 1e9)
    cdef uint64_t turns = 0
    while clock_monotonic_ns() < end:
        turns += 1
    return turns


def now_ns():
    return clock_monotonic_ns()

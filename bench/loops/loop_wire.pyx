"""The venue's end of two loopback connections, and the C ping-pong that is the limit of what stands at the other end.

Plain C on both sides of the ping-pong: the same bytes in, the same bytes out, nothing in between. The thread that
measures sends and waits without the interpreter lock, asleep in the kernel or asking it again and again, as its other
side does. The venue does nothing with what it gets but count it, so nothing of it has to be taken off.
"""
from libc.stdint cimport int64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/types.h>
    #include <time.h>
    #include <errno.h>

    static int64_t wire_now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }

    static ssize_t wire_recv(int fd, void* to, size_t size, int spin) {
        ssize_t got;
        do got = recv(fd, to, size, spin ? MSG_DONTWAIT : 0);
        while (got < 0 && (errno == EINTR || (spin && (errno == EAGAIN || errno == EWOULDBLOCK))));
        return got;
    }

    static int wire_send(int fd, const char* from, size_t size) {
        while (size) {
            ssize_t sent = send(fd, from, size, MSG_NOSIGNAL);
            if (sent < 0) { if (errno == EINTR || errno == EAGAIN) continue; return -1; }
            from += sent;
            size -= (size_t)sent;
        }
        return 0;
    }

    /* How many whole frames of a client (masked, at most 65,535 bytes) stand in what has come so far. */
    static int wire_frames(const unsigned char* p, size_t n) {
        int count = 0;
        for (;;) {
            if (n < 6) return count;
            size_t length = p[1] & 127, head = 6;
            if (length == 126) {
                if (n < 8) return count;
                length = ((size_t)p[2] << 8) | p[3];
                head = 8;
            }
            if (n < head + length) return count;
            p += head + length;
            n -= head + length;
            count++;
        }
    }

    /* Send one message, wait for `orders` frames: the time to the first and to the last, -1 when the wire broke. */
    static int wire_round(int market, int account, const char* frame, size_t size, int orders, int spin, int64_t* out) {
        static __thread unsigned char room[65536];
        size_t have = 0;
        int seen = 0;
        int64_t start = wire_now();
        if (wire_send(market, frame, size)) return -1;
        while (seen < orders) {
            ssize_t got = wire_recv(account, room + have, sizeof room - have, spin);
            if (got <= 0) return -1;
            have += (size_t)got;
            int now_seen = wire_frames(room, have);
            if (!seen && now_seen) out[0] = wire_now() - start;
            seen = now_seen;
        }
        out[1] = wire_now() - start;
        return 0;
    }

    /* The other end of the ping-pong: so many bytes in, so many out, until the other side closes. */
    static int64_t wire_echo(int fd, size_t size, const char* answer, size_t answer_size, int spin) {
        static __thread char room[65536];
        int64_t rounds = 0;
        for (;;) {
            size_t have = 0;
            while (have < size) {
                ssize_t got = wire_recv(fd, room, sizeof room, spin);
                if (got <= 0) return rounds;
                have += (size_t)got;
            }
            if (wire_send(fd, answer, answer_size)) return rounds;
            rounds++;
        }
    }

    /* Until `at` by the clock: the scheduler's own sleep, as anybody waits who is not in a hurry. */
    static void wire_sleep(int64_t until) {
        struct timespec t = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
    }
    """
    int64_t wire_now()
    int wire_send(int fd, const char* start, size_t size)
    int wire_round(int market, int account, const char* frame, size_t size, int orders, int spin, int64_t* out)
    int64_t wire_echo(int fd, size_t size, const char* answer, size_t answer_size, int spin)
    void wire_sleep(int64_t until)


def now_ns():
    return wire_now()


def message(int market, int account, bytes frame, int orders, bint spin, int64_t at_ns):
    """At that time one message: nanoseconds to the first and to the last of its orders."""
    cdef int64_t out[2]
    cdef const char* p = frame
    cdef size_t size = len(frame)
    cdef int answer
    out[0] = out[1] = -1
    with nogil:
        wire_sleep(at_ns)
        answer = wire_round(market, account, p, size, orders, spin, out)
    if answer:
        raise ConnectionError("the engine's end is gone")
    return out[0], out[1]


def plain(int market, bytes frame, int64_t at_ns):
    """At that time one message that nobody answers."""
    cdef const char* p = frame
    cdef size_t size = len(frame)
    with nogil:
        wire_sleep(at_ns)
        wire_send(market, p, size)


def echo(int fd, size_t size, bytes answer, bint spin):
    """Be the other end until the first one closes; how often it answered."""
    cdef const char* p = answer
    cdef size_t answer_size = len(answer)
    cdef int64_t rounds
    with nogil:
        rounds = wire_echo(fd, size, p, answer_size, spin)
    return rounds

"""In-kernel loops over the ring: timed ones for the bench, checked ones for the stress test. Each runs without the
interpreter lock on the thread that calls it."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.atomics cimport cpu_relax, load_acquire, store_release
from engine._core.clock cimport clock_cycles
from engine._core.ring cimport (
    RING_CLASS_TRADE,
    RING_WAIT_PARK,
    RING_WAIT_YIELD,
    Ring,
    ring_claim,
    ring_class,
    ring_cursor,
    ring_empty_status,
    ring_peek,
    ring_publish,
    ring_release,
    ring_slot,
    ring_t,
    ring_try_claim,
    ring_wait,
    ring_wait_room,
)
from engine._core.types cimport KIND_TRADE, OK, RING_CLOSED, RING_FULL, event_t

cdef uint64_t PRIME = 0x9E3779B97F4A7C15


cdef inline void _fill(event_t* e, uint64_t payload) noexcept nogil:
    # A whole event: all 64 bytes are written and all are checked.
    cdef int i
    e.kind = KIND_TRADE
    e.flags = 0
    e.symbol = <uint32_t>payload & 0xFFFF
    e.ts_venue_ns = <int64_t>(payload * PRIME)
    e.ts_recv_ns = <int64_t>payload
    for i in range(5):
        e.word[i] = <int64_t>(payload ^ (PRIME * <uint64_t>(i + 1)))


cdef inline bint _whole(const event_t* e, uint64_t payload) noexcept nogil:
    cdef int i
    if (e.kind != KIND_TRADE or e.symbol != (<uint32_t>payload & 0xFFFF)
            or e.ts_venue_ns != <int64_t>(payload * PRIME) or e.ts_recv_ns != <int64_t>payload):
        return False
    for i in range(5):
        if e.word[i] != <int64_t>(payload ^ (PRIME * <uint64_t>(i + 1))):
            return False
    return True


def one_thread(Ring ring not None, double[::1] samples_ns, int batch):
    """Claim, write 64 bytes, publish, peek, read, release, one by one; `batch` turns a sample. Returns the sum read."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / batch
    cdef ring_t* r = ring.c
    cdef uint64_t start, stop, seq = 0, total = 0, payload = 0
    cdef Py_ssize_t sample
    cdef int i
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                if ring_claim(r, 1, RING_CLASS_TRADE, &seq) == OK:
                    _fill(ring_slot(r, seq), payload)
                    ring_publish(r, seq, 1)
                    payload += 1
                if ring_peek(r, 0):
                    total += <uint64_t>ring_slot(r, ring_cursor(r, 0)).ts_recv_ns
                    ring_release(r, 0, 1)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return total


def one_thread_batched(Ring ring not None, double[::1] samples_ns, int size, int batch):
    """The same in batches of `size`: one claim and one publish, one peek and one release; per event."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / (<double>batch * size)
    cdef ring_t* r = ring.c
    cdef uint64_t start, stop, seq = 0, total = 0, payload = 0, n, at
    cdef Py_ssize_t sample
    cdef int i, j
    with nogil:
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(batch):
                if ring_claim(r, size, RING_CLASS_TRADE, &seq) == OK:
                    for j in range(size):
                        _fill(ring_slot(r, seq + j), payload)
                        payload += 1
                    ring_publish(r, seq, size)
                n = ring_peek(r, 0)
                at = ring_cursor(r, 0)
                for j in range(<int>n):
                    total += <uint64_t>ring_slot(r, at + j).ts_recv_ns
                ring_release(r, 0, n)
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return total


def produce(Ring ring not None, uint64_t count, uint64_t batch, uint64_t first=0, uint64_t step=1, int mode=0,
            int timeout_ms=5000):
    """Send `count` whole events with payloads first, first + step, ... Returns (sent, cycle count at start, at end)."""
    cdef ring_t* r = ring.c
    cdef uint64_t seq = 0, sent = 0, n, i, start, stop
    cdef int status = OK
    with nogil:
        start = clock_cycles()
        while sent < count:
            n = batch if batch <= count - sent else count - sent
            status = ring_try_claim(r, n, &seq)
            if status == RING_FULL:
                status = ring_wait_room(r, n, mode, 200, timeout_ms)
                # With many producers another one may take the room; then this one looks again.
                if status == OK:
                    continue
                if mode == RING_WAIT_PARK:
                    break
                continue
            if status != OK:
                break
            for i in range(n):
                _fill(ring_slot(r, seq + i), first + (sent + i) * step)
            ring_publish(r, seq, n)
            sent += n
        stop = clock_cycles()
    return sent, start, stop


def consume(Ring ring not None, uint32_t consumer, uint64_t producers, int mode=0, int timeout_ms=5000):
    """Read and check until the ring is closed and drained. Producer p sends payloads p, p + producers, ...: each
    must arrive whole, once and in its own order, and the ring's numbers without a gap.

    Returns (seen, broken, cycle count at the end); broken counts torn payloads, wrong numbers, disorder, lost wakes.
    """
    cdef ring_t* r = ring.c
    cdef uint64_t expected[16]
    cdef uint64_t n, i, at, payload, lane, seen = 0, broken = 0, stop
    cdef event_t* e
    cdef int status
    if not 1 <= producers <= 16:
        raise ValueError("1 to 16 producers")
    for i in range(16):
        expected[i] = i
    with nogil:
        while True:
            n = ring_peek(r, consumer)
            if n == 0:
                status = ring_wait(r, consumer, mode, 200, timeout_ms)
                if status == RING_CLOSED:
                    break
                if status != OK and mode == RING_WAIT_PARK:
                    broken += 1
                    break
                continue
            at = ring_cursor(r, consumer)
            for i in range(n):
                e = ring_slot(r, at + i)
                payload = <uint64_t>e.ts_recv_ns
                lane = payload % producers
                if e.seq != <uint32_t>(at + i) or not _whole(e, payload) or payload != expected[lane]:
                    broken += 1
                expected[lane] = payload + producers
            seen += n
            ring_release(r, consumer, n)
        stop = clock_cycles()
    return seen, broken, stop


def send_paced(Ring ring not None, int64_t count, uint64_t gap_cycles):
    """One event every `gap_cycles`, each stamped with the counter just before its publication."""
    cdef ring_t* r = ring.c
    cdef uint64_t seq = 0, due = clock_cycles()
    cdef int64_t i
    with nogil:
        for i in range(count):
            due += gap_cycles
            while <int64_t>(clock_cycles() - due) < 0:
                cpu_relax()
            while ring_try_claim(r, 1, &seq) != OK:
                cpu_relax()
            _fill(ring_slot(r, seq), 0)
            ring_slot(r, seq).ts_recv_ns = <int64_t>clock_cycles()
            ring_publish(r, seq, 1)


def receive_paced(Ring ring not None, double[::1] samples_ns):
    """Spin for events and note how old each is. Needs a counter that runs alike on all cores."""
    cdef double scale = timing_ns_per_cycle()
    cdef ring_t* r = ring.c
    cdef Py_ssize_t i
    with nogil:
        for i in range(samples_ns.shape[0]):
            while not ring_peek(r, 0):
                pass
            samples_ns[i] = <double>(<int64_t>clock_cycles() - ring_slot(r, ring_cursor(r, 0)).ts_recv_ns) * scale
            ring_release(r, 0, 1)


def bounce(uint64_t[::1] line, uint64_t turns, uint64_t first):
    """One side of a game that moves one cache line to and fro: wait for the other's number, store the next.

    `first` is 0 for one side and 1 for the other. Returns nanoseconds a transfer: what no hand-off can be faster than.
    """
    cdef uint64_t start, stop, turn
    with nogil:
        # The first turns let both threads arrive; they are not part of the time.
        start = clock_cycles()
        for turn in range(turns + 100):
            while load_acquire(&line[0]) != 2 * turn + first:
                pass
            store_release(&line[0], 2 * turn + first + 1)
            if turn == 99:
                start = clock_cycles()
        stop = clock_cycles()
    return <double>(stop - start) * timing_ns_per_cycle() / <double>(2 * turns)

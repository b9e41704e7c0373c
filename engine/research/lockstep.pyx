"""The inner loop of a backtest: each event to the venue's book, then to the core, in one compiled loop.

Owns: the order of one moment, the clock's timers, the samples of the account, and when to come back to Python. Does not
own: the exchange, the account, journeys of messages (sim/venue/embedded.py), what is assumed of a market (assumed.py).

The venue is never ahead of the core: an event meets the book, then the core sees it, then the next one is looked at.
So an answer can meet nothing that came before it was given. Python is entered when an order of ours was touched, when
the core has something to send, and when something else is due; between those nothing of the venue but its book moves.

Timers come every 100 ms while the core heard something within the last second. In a longer silence one comes at its end:
nothing that waits for a time is decided later than the next event. Samples are taken at timers and change none.
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from engine._core.debug cimport likely, unlikely
from engine._core.step cimport Core, step
from engine._core.tape cimport Tape, tape_append
from engine._core.types cimport KIND_TIMER, OK, WORLD_UNKNOWN_SYMBOL, event_t, raise_status
from engine._core.world cimport world_instruments, world_positions, world_t
from engine.sim.venue.recorded cimport Recorded

cpdef enum route_t:               # of an event; bits
    ROUTE_VENUE = 1               # its book plays it
    ROUTE_CORE = 2                # the core sees it
    ROUTE_LOW_FIRST = 4           # only on the path that goes to the low first
    ROUTE_HIGH_FIRST = 8
    ROUTE_FORK = 16               # here the path is chosen
    ROUTE_MARK = 32               # the venue's own accounts want to hear of it

cpdef enum stop_t:                # why the loop came back; bits
    STOP_END = 1                  # no event is left
    STOP_DUE = 2                  # something is due before the next event
    STOP_TOLD = 4                 # an order of ours was touched
    STOP_OUTPUTS = 8              # the core has something to say
    STOP_FORK = 16
    STOP_MARK = 32
    STOP_SAMPLED = 64             # some more samples were taken: time to tell how far it has come

Route = route_t
Stop = stop_t
TIMER_NS = 100_000_000
cdef int64_t EVERY = 100_000_000, QUIET = 1_000_000_000
cdef Py_ssize_t TOLD_EVERY = 16   # samples


@cython.nonecheck(False)
@cython.final
cdef class Lockstep:
    """One core and up to four recorded markets, and the tape that all are written on."""
    cdef Core core
    cdef Tape tape
    # Of symbols 0 to 3: a list could not be read without the interpreter lock.
    cdef Recorded recorded, second, third, fourth
    cdef int64_t timer_ns, last_ns, sample_ns
    # A row a sample: its time and the equity, then by symbol what is held and the touch added up.
    cdef int64_t[:, ::1] rows
    cdef Py_ssize_t row_count
    cdef readonly int64_t now_ns, sample_every_ns
    cdef readonly int markets

    def __cinit__(self, Core core not None, Tape tape not None, Recorded recorded not None, Recorded second=None,
                  Recorded third=None, Recorded fourth=None):
        self.core, self.tape, self.recorded = core, tape, recorded
        # What is not there is never asked for: `play` refuses events of symbols that have no market.
        self.second, self.third, self.fourth = second or recorded, third or recorded, fourth or recorded
        self.markets = 1 + (second is not None) + (third is not None) + (fourth is not None)

    def begin(self, int64_t first_ns, int64_t last_ns, int64_t sample_every_ns):
        """The first timer and the first sample come with the first event; samples are whole timers apart."""
        self.timer_ns = self.last_ns = self.sample_ns = self.now_ns = first_ns
        self.sample_every_ns = max(EVERY, sample_every_ns - sample_every_ns % EVERY)
        # No timer comes behind the last event, so no sample does.
        self.rows = np.zeros(((last_ns - first_ns) // self.sample_every_ns + 1, 2 + 2 * self.core.c.world.symbol_count),
                             dtype=np.int64)
        self.row_count = 0

    def samples(self):
        """(times, equity, what was held by symbol, middle of the touch by symbol), a row a sample."""
        made = np.asarray(self.rows)[: self.row_count]
        symbols = (made.shape[1] - 2) // 2
        return made[:, 0].copy(), made[:, 1].copy(), made[:, 2:2 + symbols].copy(), made[:, 2 + symbols:] / 2

    cdef bint sample(self) noexcept nogil:
        """Samples up to now. True when it is time to tell how far it has come.

        In a silence that no timer broke nothing changed: its samples are all the same.
        """
        cdef const world_t* w = self.core.c.world
        cdef uint32_t symbol, symbols = w.symbol_count
        cdef Py_ssize_t before = self.row_count
        while self.sample_ns <= self.timer_ns and self.row_count < self.rows.shape[0]:
            self.rows[self.row_count, 0] = self.sample_ns
            self.rows[self.row_count, 1] = w.account.equity
            for symbol in range(symbols):
                self.rows[self.row_count, 2 + symbol] = world_positions(w)[symbol].lots
                self.rows[self.row_count, 2 + symbols + symbol] = (
                    world_instruments(w)[symbol].bid_px_ticks + world_instruments(w)[symbol].ask_px_ticks
                )
            self.row_count += 1
            self.sample_ns += self.sample_every_ns
        return self.row_count // TOLD_EVERY != before // TOLD_EVERY

    cdef inline bint meets(self, const event_t* e) noexcept nogil:
        """Let the event's own market play it. Whether an order of ours was touched."""
        if likely(e.symbol == 0):
            self.recorded.apply_one(e)
            return self.recorded.m.event_count and self.recorded.told()
        if e.symbol == 1:
            self.second.apply_one(e)
            return self.second.m.event_count and self.second.told()
        if e.symbol == 2:
            self.third.apply_one(e)
            return self.third.m.event_count and self.third.told()
        self.fourth.apply_one(e)
        return self.fourth.m.event_count and self.fourth.told()

    cdef int take(self, const event_t* event) noexcept nogil:
        """Write an event down, step it, write what came out. The tape's status."""
        cdef int status = tape_append(&self.tape.c, event, 1)
        if status != OK:
            return status
        step(self.core.c, event)
        if self.core.c.out_count:
            status = tape_append(&self.tape.c, self.core.c.out, self.core.c.out_count)
        return status

    cdef int timer(self, int64_t next_ns, int* why) noexcept nogil:
        """One timer, at the latest before the event that comes next."""
        cdef event_t e
        cdef int status
        cdef int64_t skipped
        if self.timer_ns - self.last_ns > QUIET:
            skipped = next_ns - self.timer_ns
            if skipped > 0:
                self.timer_ns += skipped - skipped % EVERY
        if self.timer_ns < self.now_ns:
            # The venue was played past it in the core's silence: an answer to it would meet a market that is ahead.
            skipped = self.now_ns - self.timer_ns
            self.timer_ns += skipped + (EVERY - skipped % EVERY) % EVERY
            return OK
        memset(&e, 0, sizeof(e))
        e.kind = KIND_TIMER
        e.ts_recv_ns = self.now_ns = self.timer_ns
        status = self.take(&e)
        if self.core.c.out_count:
            why[0] |= STOP_OUTPUTS
        if self.timer_ns >= self.sample_ns and self.sample():
            why[0] |= STOP_SAMPLED
        self.timer_ns += EVERY
        return status

    def play(self, events, const uint8_t[::1] route not None, Py_ssize_t at, int64_t due_ns, uint64_t paths):
        """From event `at` on, until something wants Python; returns (the next event, why). `paths` has a byte a symbol.

        Something due comes before a timer and a market event of the same moment: it was on its way before them.
        """
        cdef const unsigned char[::1] view = memoryview(events).cast("B") if len(events) else b""
        cdef Py_ssize_t count = view.shape[0] // <Py_ssize_t>sizeof(event_t)
        cdef const event_t* first = <const event_t*>&view[0] if count else NULL
        cdef const event_t* e
        cdef int why = 0, status = OK
        cdef uint8_t r
        if route.shape[0] != count:
            raise ValueError(f"{route.shape[0]} routes for {count} events")
        with nogil:
            while why == 0 and status == OK:
                if at >= count:
                    why = STOP_END
                    break
                e = &first[at]
                if due_ns <= e.ts_recv_ns and due_ns <= self.timer_ns:
                    why = STOP_DUE
                    break
                r = route[at]
                # In a silence of the core what the venue alone plays wants no timer.
                if self.timer_ns <= e.ts_recv_ns and (
                    r & ROUTE_CORE or due_ns <= e.ts_recv_ns or self.timer_ns - self.last_ns <= QUIET
                ):
                    status = self.timer(e.ts_recv_ns if e.ts_recv_ns < due_ns else due_ns, &why)
                    continue
                at += 1
                self.now_ns = e.ts_recv_ns
                if r & ROUTE_FORK:
                    why = STOP_FORK
                    break
                if unlikely(e.symbol >= self.markets):
                    status = WORLD_UNKNOWN_SYMBOL
                    break
                if r & (ROUTE_LOW_FIRST | ROUTE_HIGH_FIRST) and not r & <uint8_t>(paths >> 8 * e.symbol):
                    continue
                if r & ROUTE_VENUE and self.meets(e):
                    why |= STOP_TOLD
                if r & ROUTE_CORE:
                    self.last_ns = e.ts_recv_ns
                    status = self.take(e)
                    if self.core.c.out_count:
                        why |= STOP_OUTPUTS
                if r & ROUTE_MARK:
                    why |= STOP_MARK
            # Whoever is called now may look at the books.
            self.recorded.catch_up()
            self.second.catch_up()
            self.third.catch_up()
            self.fourth.catch_up()
        if status != OK:
            raise_status(status, self.tape.path)
        return at, why

    def show(self, events):
        """Reports to the core alone, until one makes it say something; returns how many were taken."""
        cdef const unsigned char[::1] view = memoryview(events).cast("B") if len(events) else b""
        cdef Py_ssize_t at = 0, count = view.shape[0] // <Py_ssize_t>sizeof(event_t)
        cdef const event_t* first = <const event_t*>&view[0] if count else NULL
        cdef int status = OK
        with nogil:
            while at < count and status == OK:
                self.now_ns = self.last_ns = first[at].ts_recv_ns
                status = self.take(&first[at])
                at += 1
                if self.core.c.out_count:
                    break
        if status != OK:
            raise_status(status, self.tape.path)
        return at

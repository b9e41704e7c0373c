"""The short way of a live message: from its bytes to the bytes of its orders without leaving compiled code.

Parses, lets the local-book procedure and the venue's numbers decide whether the message is news, records and steps it,
and writes what comes out to the order connection, the first order before the second is encoded. The tables that it
writes into (`under_way`, `placed`, the budget's windows) are those of the sender and the budget: there is one truth,
and what is not simple is left to the way that has always been there - an image, a gap, a book that waits, a request
with terms behind it, a denial, a refused encoding.

Owns: nothing but references. Invariants: it never decides otherwise than that way would (tests/unit/test_lane.py holds
the two against each other); an event is on the tape before it is stepped and an intent before it is written; the
interpreter lock is held throughout, so nobody else can be given it in the middle of a message.
Cost: bench_live, `tick_to_order_callback`.
"""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint64_t

from engine._core.clock cimport clock_utc_ns
from engine._core.encode cimport REQUEST_ID_SIZE, Encoder, encode_intent
from engine._core.histogram cimport Histogram
from engine._core.parse cimport Parser, parse_frame
from engine._core.step cimport Core, core_t
from engine._core.tape cimport Tape
from engine._core.types cimport (
    FLAG_FIRST, FLAG_SNAPSHOT, KIND_BOOK_CLEAR, KIND_BOOK_LEVEL, KIND_INTENT_CANCEL, KIND_INTENT_CANCEL_ALL,
    KIND_INTENT_PLACE, KIND_QUOTE, KIND_REFUSAL, KIND_TRADE, OK, TERMS_CLOSING, TERMS_REDUCE_ONLY, event_t, intent_t,
    level_event_t, quote_event_t, raise_status, trade_event_t,
)
from engine._core.validate cimport ACTION_BOOK, refusal_t
from engine._core.world cimport rows_copy
from engine.net.listener cimport Receiver
from engine.net.spending cimport Spender
from engine.runtime.drive cimport pump_some
from engine.runtime.turn cimport Turn
from engine.venues.booksync cimport SYNC_HELD, SYNC_LIVE, SYNC_OLD, SYNC_PASSES, BookSync

from engine._core.types import EVENT, Status

cdef enum:
    LANE_CANCEL = 0               # engine.net.budget.Lane
    LANE_NEW = 2
    ID_AT = 7                     # of a message: `{"id":"` and then the request's letters
    MARK_QUOTE = 0                # rows of the feed's marks
    MARK_TRADE = 1


@cython.final
cdef class Lane(Receiver):
    """One exchange's short way. `exchange` is what it belongs to, `engine` what it drives."""

    cdef Parser parser
    cdef Core core
    cdef Tape tape
    cdef Histogram step_ns
    cdef Histogram order_ns
    cdef Encoder encoder
    cdef Spender budget
    cdef list syncs               # the procedure of each symbol; None where the feed has no such symbol
    cdef int64_t[:, ::1] marks
    cdef dict why                 # of the driver's gate: empty while it is open
    cdef dict under_way
    cdef dict placed
    cdef object exchange
    cdef Turn turn                # the exchange once more
    cdef object lines             # of the exchange: where orders go
    cdef object engine
    cdef object queue             # of the exchange: what waits for the core
    cdef bytearray records        # and what has yet to be put there
    cdef list input_watchers
    cdef list output_watchers
    cdef object meter
    cdef public int64_t offset_ns  # the venue's clock less ours

    def __init__(self, exchange, engine):
        feed, sender = exchange.feed, exchange.sender
        self.exchange, self.engine, self.lines = exchange, engine, exchange.lines
        self.turn = exchange
        self.queue, self.records = exchange.queue, exchange.records.pending
        self.parser, self.marks = feed.parser, feed.marks
        self.syncs = [feed.syncs.get(symbol) for symbol in range(max(feed.syncs) + 1)]
        self.core, self.tape = engine.core, engine.tape
        self.step_ns, self.order_ns = engine.step_ns, engine.order_ns
        self.input_watchers, self.output_watchers = engine.input_watchers, engine.output_watchers
        self.meter = engine.meter
        self.encoder, self.budget = sender.encoder, sender.budget
        self.under_way, self.placed = sender.under_way, sender.placed
        self.why = exchange.gate.reasons

    def message(self, payload, int64_t ts_recv_ns):
        """Take one message, whatever it is."""
        cdef Py_buffer view
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            self.receive(<const char*>view.buf, view.len, ts_recv_ns)
        finally:
            PyBuffer_Release(&view)

    cdef int receive(self, const char* payload, size_t size, int64_t ts_recv_ns) except -1:
        cdef size_t count = 0
        cdef int status, answer = SYNC_HELD
        if self.turn.busy or self.queue or self.turn.failure is not None:
            # Within a step, or behind what waits for one: in its turn.
            self.exchange.released(self.exchange.feed.on_frame(payload[:size], ts_recv_ns))
            return 0
        status = parse_frame(self.parser.c, payload, size, ts_recv_ns, self.parser.out, self.parser.room, &count)
        if status == OK and count:
            answer = self._admit(self.parser.out, count)
        if answer == SYNC_HELD:
            events = rows_copy(self.parser.out, count * sizeof(event_t), EVENT)
            self.exchange.released(self.exchange.feed.on_events(Status(status), events))
        elif answer == SYNC_PASSES:
            self.turn.busy = True
            try:
                self._step(self.parser.out, count)
            except Exception as error:
                self.exchange.fail(error)
                raise
            finally:
                self.turn.busy = False
            if self.queue or self.records:
                self.exchange.flush()
        return 0

    cdef int _admit(self, const event_t* first, size_t count):
        """Whether the message is news, by the same numbers as the feed's own way."""
        cdef BookSync sync
        cdef const level_event_t* level
        cdef int64_t number
        cdef int row
        if first.symbol >= <size_t>len(self.syncs) or self.syncs[first.symbol] is None:
            return SYNC_HELD
        sync = self.syncs[first.symbol]
        if first.kind == KIND_BOOK_LEVEL or first.kind == KIND_BOOK_CLEAR:
            level = <const level_event_t*>first
            return SYNC_HELD if first.flags & FLAG_SNAPSHOT else sync.passes(level.id_first, level.id_last, level.id_prev)
        if first.kind == KIND_QUOTE and sync.stage == SYNC_LIVE:
            row, number = MARK_QUOTE, (<const quote_event_t*>first).id_book
        elif first.kind == KIND_TRADE:
            row, number = MARK_TRADE, (<const trade_event_t*>first).id_trade
        else:
            return SYNC_HELD
        if count != 1:
            return SYNC_HELD
        if number <= self.marks[row, first.symbol]:
            return SYNC_OLD
        self.marks[row, first.symbol] = number
        return SYNC_PASSES

    cdef int _step(self, const event_t* first, uint64_t count) except -1:
        cdef core_t* core = self.core.c
        cdef uint64_t at = 0
        cdef int status = OK
        while at < count:
            at += pump_some(core, &self.tape.c, &first[at], count - at, self.step_ns.c, self.order_ns.c, &status)
            if status != OK:
                raise_status(status, self.tape.path)
            if core.out_count:
                self._submit(core)
                if self.output_watchers:
                    outputs = self.core.outputs()
                    for watcher in self.output_watchers:
                        watcher(outputs)
        if self.input_watchers:
            events = rows_copy(first, count * sizeof(event_t), EVENT)
            for watcher in self.input_watchers:
                watcher(events)
        if self.meter is not None and self.meter.pending_count:
            self.engine.stop_slow()
        return 0

    # ------------------------------------------------------------------------------------------------------ going out
    cdef int _submit(self, core_t* core) except -1:
        cdef int64_t now_ns = clock_utc_ns()
        cdef bint may_place = len(self.why) == 0
        cdef object connection = None, now = now_ns
        cdef const event_t* e
        cdef uint64_t i
        for i in range(core.out_count):
            e = &core.out[i]
            if e.kind == KIND_REFUSAL:
                if not (<const refusal_t*>e).actions & ACTION_BOOK:
                    continue
            elif e.kind < KIND_INTENT_PLACE or e.kind > KIND_INTENT_CANCEL_ALL:
                continue
            else:
                connection = self.lines.connection if connection is None else connection
                if self._write(<const intent_t*>e, now_ns, now, may_place, connection):
                    continue
            # From here on in the order of the outputs, by the way that knows every case.
            self.engine.exchange.submit(rows_copy(e, (core.out_count - i) * sizeof(event_t), EVENT))
            break
        return 0

    cdef bint _write(self, const intent_t* intent, int64_t now_ns, now, bint may_place, connection) except -1:
        """Encode and send one request. False when it is not a simple one: nothing was taken or remembered then.

        `now` is the time once more, as the tables keep it.
        """
        cdef bint places = intent.kind == KIND_INTENT_PLACE
        cdef bint reduces = (intent.terms >> 32 & (TERMS_REDUCE_ONLY | TERMS_CLOSING)) != 0
        cdef int64_t venue_ns = now_ns + self.offset_ns
        cdef char* room = PyByteArray_AS_STRING(self.encoder.room)
        cdef size_t size = 0
        if not (places or intent.kind == KIND_INTENT_CANCEL) or intent.flags & FLAG_FIRST:
            return False
        if places and not reduces and not may_place:
            return False
        if connection is None and not places:
            return False
        if encode_intent(self.encoder.c, intent, NULL, venue_ns, room, PyByteArray_GET_SIZE(self.encoder.room),
                         &size) != OK:
            self.encoder.c.refused_count -= 1  # it is asked again, and counted then
            return False
        if not self.budget.take_whole(LANE_NEW if places and not reduces else LANE_CANCEL, venue_ns, 1, places):
            self.encoder.c.encoded_count -= 1
            return False
        message = PyBytes_FromStringAndSize(room, size)
        # Remembered before it leaves: an answer cannot overtake this thread, yet a send that fails looks it up.
        self.under_way[PyUnicode_DecodeASCII(room + ID_AT, REQUEST_ID_SIZE, NULL)] = now
        if places:
            self.placed[intent.id_order] = now
        if connection is None or not connection.send(message):
            self.exchange.unsent(message, now_ns)
        return True

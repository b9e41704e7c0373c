"""One depth message from a socket to a socket, stage by stage, through the kernels that the live driver uses.

A loopback connection stands at either end. Each sample puts one frame on it outside the clock, then receives, parses,
records, steps, encodes and sends. With stamps each stage has its own figure, less what the stamps cost; without them
the whole has. Features and the strategy are called through the core's own pointers, so two small functions here stand
between and read the clock: nothing of the core is copied or left out.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memset

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles
from bench.loops.venue_part cimport ORDERS_MAX, orders_placed, orders_settle
from engine._core.clock cimport clock_cycles
from engine._core.correlation cimport CORRELATION_LEAST
from engine._core.encode cimport Encoder, encode_intent
from engine._core.features cimport Features, features_price, features_value
from engine._core.features cimport features_t as features_block_t
from engine._core.instruments cimport instrument_t
from engine._core.parse cimport Parser, parse_frame
from engine._core.risk cimport LANE_NORMAL, gate_ask_t, gate_check, verdict_t
from engine._core.step cimport Core, core_t, step
from engine._core.strategy_abi cimport decide_t, view_t, wishes_t
from engine._core.tape cimport Tape, tape_append, tape_commit, tape_turn
from engine._core.types cimport FLAG_SELL, OK, event_t, intent_t
from engine._core.world cimport world_gate, world_instruments, world_t

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_recv "recv"(int fd, void* buffer, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void* buffer, size_t size, int flags)

cdef enum:
    TRANSPORT, PARSE, JOURNAL, BOOK, FEATURES, DECIDE, GATE, ORDERS, ENCODE, SIGN, WRITE, WHOLE, STAGES
    EVENTS_MAX = 256
    ROOM = 16_384
    SHOWN = 32                    # features that a view has room for
    FAMILIES_MAX = 8

# What the functions between core and strategy need. The loop runs on one thread.
cdef features_block_t* _features = NULL
cdef world_t* _world = NULL
cdef decide_t _decide = NULL
cdef int _level = 0
cdef bint _stamped = False
cdef uint64_t _features_cycles = 0
cdef uint64_t _decide_cycles = 0
cdef int _family[FAMILIES_MAX]
cdef int _family_count = 0
cdef int _lanes = 0


cdef int _with_features(void* section, const event_t* event, uint32_t strategy, view_t* view) noexcept nogil:
    """All of the block's features on the middle; the first of them are what the strategy sees."""
    global _features_cycles
    cdef uint64_t start = clock_cycles() if _stamped else 0
    cdef const instrument_t* i = &world_instruments(_world)[event.symbol]
    cdef int family, lane, at = 0
    features_price(_features, 0.5 * <double>(i.bid_px_ticks + i.ask_px_ticks), 1.0, _level)
    for family in range(_family_count):
        for lane in range(_lanes):
            if at < <int>SHOWN:
                view.features[at] = features_value(_features, _family[family], lane)
                at += 1
    if _stamped:
        _features_cycles += clock_cycles() - start
    return at


cdef int _with_stamp(view_t* view, wishes_t* wishes) noexcept nogil:
    global _decide_cycles
    cdef uint64_t start
    cdef int answer
    if not _stamped:
        return _decide(view, wishes)
    start = clock_cycles()
    answer = _decide(view, wishes)
    _decide_cycles += clock_cycles() - start
    return answer


def hook(Core core not None, Features features not None, numbers):
    """Put the two functions between the core and the strategy of slot 0. `numbers` are the block's families."""
    global _features, _world, _decide, _level, _family_count, _lanes
    _features, _world, _level = features.c, core.c.world, features.level
    _decide = core.c.decide[0]
    _family_count, _lanes = min(len(numbers), FAMILIES_MAX), len(features.windows)
    for at in range(_family_count):
        _family[at] = numbers[at]
    core.bind(0, <uintptr_t>&_with_stamp)
    core.bind_features(<uintptr_t>&_with_features, keep=features)


cdef uint64_t _gated(core_t* core, const intent_t* placed, uint64_t count) noexcept nogil:
    """Cycles that the verdicts on these orders take, asked once more: inside the step they cannot be told apart."""
    cdef gate_ask_t ask
    cdef verdict_t verdict
    cdef uint64_t start = clock_cycles(), i
    for i in range(count):
        memset(&ask, 0, sizeof(ask))
        ask.id_order = placed[i].id_order
        ask.symbol = placed[i].symbol
        ask.sell = (placed[i].flags & FLAG_SELL) != 0
        ask.lane = LANE_NORMAL
        ask.px_ticks = placed[i].px_ticks
        ask.qty_lots = placed[i].qty_lots
        ask.ts_signal_ns = core.world.now_ns
        ask.correlation_ppm = CORRELATION_LEAST
        gate_check(world_gate(core.world), &core.world.limits, &core.world.account, &ask, core.world.now_ns, &verdict)
    return clock_cycles() - start


def run(Parser parser not None, Core core not None, Tape tape not None, Encoder plain not None, Encoder signer, frames,
        fds, int64_t now_ns, double[:, ::1] out, bint stamped):
    """One row of `out` for each sample. `signer` is the signing encoder, or None: then nothing is signed.

    `frames` are whole WebSocket frames of a server with 16-bit lengths; `fds` are the venue's and the engine's end of
    the market connection and of the order connection. Returns (orders written, bytes written, failures).
    """
    global _stamped, _features_cycles, _decide_cycles
    cdef const unsigned char[::1] text = b"".join(frames)
    cdef int64_t[::1] starts = memoryview(bytearray(8 * (len(frames) + 1))).cast("q")
    cdef int venue = fds[0], market = fds[1], account = fds[2], orders_out = fds[3]
    cdef double cost = timing_overhead_cycles(), scale = timing_ns_per_cycle()
    cdef event_t events[EVENTS_MAX]
    cdef intent_t placed[ORDERS_MAX]
    cdef size_t sizes[ORDERS_MAX]
    cdef unsigned char received[ROOM]
    cdef char room[ROOM]
    cdef uint64_t t[10]
    cdef uint64_t orders = 0, written = 0, failed = 0, i, sent
    cdef size_t count = 0, size = 0, used, at
    cdef ssize_t got
    cdef Py_ssize_t sample, frame = 0, frame_count = len(frames), n
    cdef bint signs = signer is not None
    cdef Encoder last = signer if signs else plain
    for n in range(frame_count):
        starts[n + 1] = starts[n] + len(frames[n])
    _stamped = stamped
    memset(t, 0, sizeof(t))
    with nogil:
        # What the image brought about is no part of it.
        orders_settle(core.c, placed, orders_placed(core.c, placed), now_ns)
        for sample in range(out.shape[0]):
            now_ns += 1_000_000
            _features_cycles = _decide_cycles = 0
            failed += c_send(venue, &text[starts[frame]], starts[frame + 1] - starts[frame], 0) < 0
            t[0] = clock_cycles()
            got = c_recv(market, received, sizeof(received), 0)
            # A whole message in one frame, its length in two bytes: what the reader found in the header.
            size = (<size_t>received[2] << 8) | received[3]
            failed += received[0] != 0x81 or received[1] != 126 or <size_t>got != size + 4
            if stamped:
                t[1] = clock_cycles()
            failed += OK != parse_frame(parser.c, <const char*>&received[4], size, now_ns, events, EVENTS_MAX, &count)
            if stamped:
                t[2] = clock_cycles()
                failed += OK != tape_append(&tape.c, events, count)
                t[3] = clock_cycles()
                for i in range(count):
                    failed += core.c.out_count != 0 and i > 0
                    if i + 1 == count:
                        t[4] = clock_cycles()
                    step(core.c, &events[i])
                t[5] = clock_cycles()
            else:
                for i in range(count):
                    failed += OK != tape_append(&tape.c, &events[i], 1)
                    step(core.c, &events[i])
            failed += OK != tape_append(&tape.c, core.c.out, core.c.out_count)
            failed += OK != tape_commit(&tape.c)
            if stamped:
                t[6] = clock_cycles()
            used = 0
            sent = orders_placed(core.c, placed)
            for i in range(sent):
                failed += OK != encode_intent(plain.c if stamped else last.c, &placed[i], NULL, now_ns, room + used,
                                              ROOM - used, &sizes[i])
                used += sizes[i]
            if stamped:
                t[7] = clock_cycles()
                if signs:
                    # Encoded once more, signed: the difference is what the signature costs.
                    used = 0
                    for i in range(sent):
                        failed += OK != encode_intent(last.c, &placed[i], NULL, now_ns, room + used, ROOM - used, &sizes[i])
                        used += sizes[i]
                t[8] = clock_cycles()
            at = 0
            for i in range(sent):
                failed += c_send(orders_out, room + at, sizes[i], 0) != <ssize_t>sizes[i]
                at += sizes[i]
            t[9] = clock_cycles()
            out[sample, <int>WHOLE] = (<double>(t[9] - t[0]) - cost) * scale
            if stamped:
                out[sample, <int>TRANSPORT] = (<double>(t[1] - t[0]) - cost) * scale
                out[sample, <int>PARSE] = (<double>(t[2] - t[1]) - cost) * scale
                out[sample, <int>JOURNAL] = (<double>(t[3] - t[2] + t[6] - t[5]) - 2 * cost) * scale
                out[sample, <int>BOOK] = (<double>(t[4] - t[3]) - cost) * scale
                out[sample, <int>FEATURES] = (<double>_features_cycles - cost) * scale
                out[sample, <int>DECIDE] = (<double>_decide_cycles - cost) * scale
                out[sample, <int>GATE] = (<double>_gated(core.c, placed, sent) - cost) * scale
                out[sample, <int>ORDERS] = (<double>(t[5] - t[4] - _features_cycles - _decide_cycles) - 3 * cost) * scale \
                    - out[sample, <int>GATE]
                out[sample, <int>ENCODE] = (<double>(t[7] - t[6]) - cost) * scale
                out[sample, <int>SIGN] = (<double>(t[8] - t[7]) - cost) * scale - out[sample, <int>ENCODE] if signs else 0.0
                out[sample, <int>WRITE] = (<double>(t[9] - t[8]) - cost) * scale
            orders += sent
            written += used
            while used > 0:
                got = c_recv(account, received, sizeof(received), 0)
                failed += got <= 0
                used -= min(used, <size_t>max(got, 0))
                if got <= 0:
                    break
            orders_settle(core.c, placed, sent, now_ns)
            # What the journal's thread does beside the loop: chain what is full, touch the pages ahead.
            tape_turn(&tape.c, False)
            frame += 1
            if frame == frame_count:
                frame = 0
    return orders, written, failed

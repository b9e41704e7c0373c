from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

import hashlib

from engine._core.features_table import TABLE as _TABLE

from engine._core.debug cimport likely
from engine._core.features cimport (
    LANES, features_bar, features_bytes, features_groups, features_init, features_price, features_t,
)
from engine._core.infer cimport Model, infer_level, infer_run, model_t
from engine._core.isa cimport isa_level
from engine._core.strategy_abi cimport FEATURES_MAX, view_t
from engine._core.types cimport (
    FLAG_CLOSED, KIND_BAR_PRICES, KIND_BAR_TOTALS, KIND_BOOK_CLEAR, KIND_BOOK_LEVEL, KIND_QUOTE, bar_prices_event_t, event_t,
)
from engine._core.world cimport SECTION_FEATURES, World, world_has, world_section

FeedSource = feed_source_t
_NUMBER = {row.name: row.number for row in _TABLE}
cdef int _level = isa_level()
cdef int _infer_level = infer_level()


cdef inline feed_row_t* _rows(void* section) noexcept nogil:
    return <feed_row_t*>(<char*>section + 64)


cdef inline features_t* _stream(void* section, const feed_row_t* r) noexcept nogil:
    return <features_t*>(<char*>section + r.at)


cdef void _take(void* section, feed_row_t* r) noexcept nogil:
    """Keep the values that were asked for, and what the model says of them: between updates they stand still."""
    cdef features_t* f = _stream(section, r)
    cdef bint warm = True
    cdef uint32_t i
    for i in range(r.count):
        r.value[i] = features_groups(f)[r.lane[i] // LANES].out[r.family[i]].d[r.lane[i] % LANES]
        warm = warm and r.value[i] == r.value[i]
    if r.at_model == 0:
        return
    if warm:
        infer_run(<const model_t*>(<char*>section + r.at_model), r.value, r.value + r.count, _infer_level)
        return
    for i in range(r.outputs):
        r.value[r.count + i] = NAN


cdef bint _touch(void* section, feed_row_t* r, int64_t now_ns, double middle) noexcept nogil:
    """One price of the touch. True when the stream moved."""
    cdef int64_t bar
    cdef bint closed
    if r.every_ns == 0:
        features_price(_stream(section, r), middle, 1.0, _level)
        return True
    bar = now_ns // r.every_ns
    closed = r.prices > 0 and bar != r.bar
    if closed:
        features_bar(_stream(section, r), r.open_, r.high, r.low, r.close, <double>r.prices, 0.0, _level)
        r.prices = 0
    if r.prices == 0:
        r.bar = bar
        r.open_ = r.high = r.low = middle
    r.high = middle if middle > r.high else r.high
    r.low = middle if middle < r.low else r.low
    r.close = middle
    r.prices += 1
    return closed


cdef void _hold(feed_row_t* r, const bar_prices_event_t* b) noexcept nogil:
    """The prices of a closed bar wait for its totals: by these the ingest gate tells a bar that comes again, as it
    does over two lines, and it has judged the whole of it when they come."""
    r.bar = (b.flags & FLAG_CLOSED) != 0
    r.open_, r.high, r.low, r.close = b.open_ticks, b.high_ticks, b.low_ticks, b.close_ticks
    r.prices = b.volume_lots


cdef int features_feed(void* section, const event_t* event, uint32_t strategy, view_t* view) noexcept nogil:
    cdef feed_row_t* r = &_rows(section)[strategy]
    cdef bint moved = False
    if r.source == FEED_NONE:
        return 0
    if event.symbol != view.symbol:
        # A peer's event: the strategy is called, its own stream stands still.
        moved = False
    elif r.source == FEED_TOUCH:
        # A mark or a liquidation calls the strategy too, and says nothing of the touch.
        if likely(view.book_trusted and (event.kind == KIND_QUOTE or event.kind == KIND_BOOK_LEVEL
                                         or event.kind == KIND_BOOK_CLEAR)):
            moved = _touch(section, r, view.now_ns, 0.5 * <double>(view.bid_px_ticks + view.ask_px_ticks))
    elif event.kind == KIND_BAR_PRICES:
        _hold(r, <const bar_prices_event_t*>event)
    elif event.kind == KIND_BAR_TOTALS and r.bar:
        r.bar = 0
        if event.flags & FLAG_CLOSED:
            features_bar(_stream(section, r), r.open_, r.high, r.low, r.close, <double>r.prices, 0.0, _level)
            moved = True
    if moved:
        _take(section, r)
    memcpy(view.features, r.value, (r.count + r.outputs) * sizeof(double))
    return <int>(r.count + r.outputs)


# ------------------------------------------------------------------------------------------------------- Python face
def _on(families):
    on = bytearray(128)
    for name in families:
        if name not in _NUMBER:
            raise ValueError(f"no such feature family: {name}")
        on[_NUMBER[name]] = 1
    return bytes(on)


cdef size_t _size(bytes on, windows) except? 0:
    cdef int32_t w[32]
    cdef size_t size
    if not 1 <= len(windows) <= 32:
        raise ValueError(f"{len(windows)} windows; 1 to 32")
    for i, n in enumerate(windows):
        w[<int>i] = n
    size = features_bytes(<const uint8_t*><const char*>on, w, len(windows))
    if size == 0:
        raise ValueError(f"windows {windows}: each 1 to 1000")
    return (size + 63) // 64 * 64


def feed_bytes(requests):
    """Size of the section for one request a strategy: None, or (source, every_ns, ((family, window), ...)), and behind
    them the packed model where the strategy has one."""
    size = 64 + (len(requests) * sizeof(feed_row_t) + 63) // 64 * 64
    for request in requests:
        if request is not None:
            size += _size(_on({name for name, _ in request[2]}), sorted({window for _, window in request[2]}))
            size += sum(map(len, request[3:]))
    return size


def feed_text(request):
    """The request as text: what its hash is taken of."""
    source, every_ns, wanted, *model = request
    words = [f"{name}:{window}" for name, window in wanted]
    words += [f"model:{hashlib.sha256(block).hexdigest()}" for block in model]
    return f"{int(source)} {every_ns} " + " ".join(words)


def feed_hash(request):
    return hashlib.sha256(feed_text(request).encode()).digest()


def feed_address():
    """The hook's address, for `Core.bind_features`."""
    return <uintptr_t>&features_feed


def feed_init(World world not None, requests):
    """Start the section of a fresh world; it was made with `features=feed_bytes(requests)`."""
    cdef void* section
    cdef feed_row_t* r
    cdef uint64_t at
    cdef int32_t w[32]
    cdef bytes digest
    if not world_has(world.c, SECTION_FEATURES):
        raise ValueError("the world has no room for features")
    if world.c.shape.features != <uint64_t>feed_bytes(requests):
        raise ValueError("the world was made for other features")
    section = world_section(world.c, SECTION_FEATURES)
    memset(section, 0, world.c.shape.features)
    (<feed_t*>section).bytes, (<feed_t*>section).strategies = world.c.shape.features, <uint32_t>len(requests)
    at = 64 + (len(requests) * sizeof(feed_row_t) + 63) // 64 * 64
    for slot, request in enumerate(requests):
        if request is None:
            continue
        source, every_ns, wanted, *model = request
        if not 1 <= len(wanted) <= FEATURES_MAX or every_ns < 0:
            raise ValueError(f"{len(wanted)} features every {every_ns} ns; 1 to {FEATURES_MAX}")
        families, windows = {name for name, _ in wanted}, sorted({window for _, window in wanted})
        on = _on(families)
        r = &_rows(section)[<int>slot]
        r.at, r.source, r.count, r.every_ns = at, <uint32_t>int(source), <uint32_t>len(wanted), every_ns
        digest = feed_hash(request)
        memcpy(r.hash, <const char*>digest, 32)
        for i, n in enumerate(windows):
            w[<int>i] = n
        features_init(_stream(section, r), <const uint8_t*><const char*>on, w, len(windows))
        for i, (name, window) in enumerate(wanted):
            r.family[<int>i], r.lane[<int>i] = _NUMBER[name], windows.index(window)
        at += _size(on, windows)
        if model:
            at += _place(section, r, at, model[0])
        _take(section, r)


cdef uint64_t _place(void* section, feed_row_t* r, uint64_t at, bytes block) except? 0:
    """Put a model behind its stream. It is walked once before: what stands in a world is one."""
    cdef Model made = Model(block)
    if made.c.inputs != r.count or made.c.inputs + made.c.outputs > FEATURES_MAX:
        raise ValueError(f"a model of {made.inputs} features and {made.outputs} outputs for {r.count} of {FEATURES_MAX}")
    memcpy(<char*>section + at, made.c, made.c.bytes)
    r.at_model, r.outputs = at, made.c.outputs
    return made.c.bytes


def feed_of(World world not None, uint32_t strategy):
    """(source, every_ns, hash, values) of one strategy, or None: what stands in the world."""
    cdef void* section
    cdef feed_row_t* r
    if not world_has(world.c, SECTION_FEATURES) or strategy >= world.c.strategy_count:
        return None
    section = world_section(world.c, SECTION_FEATURES)
    r = &_rows(section)[strategy]
    if r.source == FEED_NONE:
        return None
    return r.source, r.every_ns, (<const char*>r.hash)[:32], [r.value[i] for i in range(<int>(r.count + r.outputs))]


def feed_words(World world not None, uint32_t strategy):
    """What a stream has counted, and the bar that is being built: for tests and tools. None where `feed_of` is."""
    cdef void* section
    cdef feed_row_t* r
    cdef features_t* f
    if feed_of(world, strategy) is None:
        return None
    section = world_section(world.c, SECTION_FEATURES)
    r = &_rows(section)[strategy]
    f = _stream(section, r)
    return {
        "count": f.count, "refused_count": f.refused_count, "anomaly_count": f.anomaly_count,
        "bar": r.bar, "prices": r.prices, "open": r.open_, "high": r.high, "low": r.low, "close": r.close,
    }

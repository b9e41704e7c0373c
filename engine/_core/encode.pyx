cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.debug cimport likely, static_assert_c, unlikely
from engine._core.decimal cimport DECIMAL_SCALE_MAX, DECIMAL_TEXT_MAX, decimal_format, mul_overflow, step_from_text, step_t
from engine._core.hmac cimport (
    SHA256_BLOCK, SHA256_SIZE, hmac_finish, hmac_is_available, hmac_key_init, hmac_key_t, sha256_add, sha256_t,
)
from engine._core.memory cimport block_free, block_new
from engine._core.orders cimport TYPE_COUNT
from engine._core.strategy_abi cimport TIF_COUNT, TIF_GTX
from engine._core.types cimport (
    ENCODE_BAD_TEMPLATE, ENCODE_BAD_TERMS, ENCODE_NO_ROOM, ENCODE_NO_TOKEN, FLAG_FIRST, FLAG_SELL, KIND_INTENT_AMEND,
    KIND_INTENT_CANCEL, KIND_INTENT_CANCEL_ALL, KIND_INTENT_PLACE, KIND_INTENT_QUERY, KIND_INTENT_TERMS, OK, SYMBOL_ALL,
    TERMS_POST_ONLY, TERMS_REDUCE_ONLY, WORLD_UNKNOWN_SYMBOL, event_t, raise_status, terms_flags, terms_tif, terms_type,
)

from engine._core.types import Status

cdef extern from *:
    """
    /* A literal is copied in whole chunks: the room behind it is ours until the next step writes there. */
    #define BOT4_CHUNK 32
    static inline void bot4_copy_chunks(char* out, const char* from, size_t n) {
        for (size_t i = 0; i < n; i += BOT4_CHUNK) memcpy(out + i, from + i, BOT4_CHUNK);
    }
    static const char bot4_pairs[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
        "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    static const char bot4_hex[] = "0123456789abcdef";
    """
    enum:
        CHUNK "BOT4_CHUNK"
    void copy_chunks "bot4_copy_chunks"(char* out, const char* at, size_t n) noexcept nogil
    const char* PAIRS "bot4_pairs"
    const char* HEX "bot4_hex"

cdef enum:
    STEPS_MAX = 64                # of one template
    # The widest value of any field but the signature's payload, which is bounded apart.
    FIELD_ROOM = 64


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(encode_symbol_t) == 64)
    static_assert_c(sizeof(encode_step_t) == 8)
    static_assert_c(sizeof(encode_template_t) == 136)
    static_assert_c(SLOT_CANCEL == TYPE_COUNT * TIF_COUNT * 2)
    static_assert_c(SLOT_QUERY == SLOT_CANCEL + TYPE_COUNT)
    static_assert_c(SLOT_CANCEL_ALL == SLOT_AMEND + 2 * TYPE_COUNT)
    static_assert_c(ENCODE_SLOT_COUNT <= 128)


# ------------------------------------------------------------------------------------------------------------- layout
cdef inline encode_symbol_t* _symbols(const encoder_t* e) noexcept nogil:
    return <encode_symbol_t*>(e + 1)


cdef inline encode_template_t* _templates(const encoder_t* e) noexcept nogil:
    return <encode_template_t*>(_symbols(e) + e.symbol_capacity)


cdef inline encode_step_t* _steps(const encoder_t* e) noexcept nogil:
    return <encode_step_t*>(_templates(e) + e.template_capacity)


cdef inline char* _literals(const encoder_t* e) noexcept nogil:
    return <char*>(_steps(e) + e.step_capacity)


cdef size_t encoder_bytes(uint32_t symbols, uint32_t templates, uint32_t steps, uint32_t literals) noexcept nogil:
    # One chunk more than the literals: the last one is read in whole chunks too.
    return (sizeof(encoder_t) + symbols * sizeof(encode_symbol_t) + templates * sizeof(encode_template_t)
            + steps * sizeof(encode_step_t) + literals + CHUNK)


cdef int encoder_init(encoder_t* e, uint32_t symbols, uint32_t templates, uint32_t steps, uint32_t literals) noexcept nogil:
    """An encoder without symbols, templates and key, in a block of `encoder_bytes`."""
    if symbols < 1 or symbols > SYMBOL_ALL or templates < 1 or templates > 254:
        return ENCODE_BAD_TEMPLATE
    memset(e, 0, encoder_bytes(symbols, templates, steps, literals))
    e.symbol_capacity = symbols
    e.template_capacity = templates
    e.step_capacity = steps
    e.literal_capacity = literals
    e.size = encoder_bytes(symbols, templates, steps, literals)
    return OK


cdef int encoder_set_symbol(encoder_t* e, uint16_t symbol, const char* text, size_t n, int px_scale, int64_t px_step,
                            int qty_scale, int64_t qty_step) noexcept nogil:
    cdef encode_symbol_t* row
    if symbol >= e.symbol_capacity:
        return WORLD_UNKNOWN_SYMBOL
    if n < 1 or n > ENCODE_TEXT_MAX or px_step < 1 or qty_step < 1:
        return ENCODE_BAD_TEMPLATE
    if not (0 <= px_scale <= DECIMAL_SCALE_MAX and 0 <= qty_scale <= DECIMAL_SCALE_MAX):
        return ENCODE_BAD_TEMPLATE
    row = _symbols(e) + symbol
    memset(row, 0, sizeof(encode_symbol_t))
    memcpy(row.text, text, n)
    row.text_length = <uint8_t>n
    row.px_scale = <uint8_t>px_scale
    row.px_step = px_step
    row.qty_scale = <uint8_t>qty_scale
    row.qty_step = qty_step
    return OK


# ---------------------------------------------------------------------------------------------------------- templates
cdef inline bint _is_field(char letter) noexcept nogil:
    return letter in (
        FIELD_TRAIL_BIPS, FIELD_TRAIL_PERCENT, FIELD_DISPLAY, FIELD_TRIGGER, FIELD_REQUEST_ID, FIELD_ORDER, FIELD_PX,
        FIELD_QTY, FIELD_SIGNATURE, FIELD_NOW_MS, FIELD_EXPIRE_MS, FIELD_SIDE, FIELD_PAYLOAD, FIELD_SYMBOL,
    )


cdef inline bint _saw(uint64_t seen, int field) noexcept nogil:
    return seen >> (field - 64) & 1


cdef int _cut(encoder_t* e, const char* text, size_t n, bint payload, uint32_t* first, size_t* room,
              uint64_t* seen) noexcept nogil:
    """Cut a text into steps; "%%" is a percent sign."""
    cdef encode_step_t* step
    cdef size_t i = 0
    cdef uint32_t at
    cdef int letter
    first[0] = e.step_count
    while True:
        if e.step_count == e.step_capacity or e.step_count - first[0] == STEPS_MAX:
            return ENCODE_NO_ROOM
        step = _steps(e) + e.step_count
        e.step_count += 1
        step.at = e.literal_count
        step.field = FIELD_END
        while i < n:
            if text[i] == c"%":
                i += 1
                if i == n:
                    return ENCODE_BAD_TEMPLATE
                if text[i] != c"%":
                    break
            if e.literal_count == e.literal_capacity or e.literal_count - step.at == 0xFFFF:
                return ENCODE_NO_ROOM
            _literals(e)[e.literal_count] = text[i]
            e.literal_count += 1
            i += 1
        step.size = <uint16_t>(e.literal_count - step.at)
        room[0] += step.size
        if i >= n:
            return OK
        letter = <uint8_t>text[i]
        i += 1
        # What is signed can hold neither its own signature nor itself.
        if not _is_field(<char>letter) or (payload and letter in (FIELD_SIGNATURE, FIELD_PAYLOAD)):
            return ENCODE_BAD_TEMPLATE
        # Its signature and its payload a message carries once: the room is laid out so.
        if letter in (FIELD_SIGNATURE, FIELD_PAYLOAD) and _saw(seen[0], letter):
            return ENCODE_BAD_TEMPLATE
        seen[0] |= <uint64_t>1 << (letter - 64)
        step.field = <uint16_t>letter
        room[0] += FIELD_ROOM


cdef int encoder_add(encoder_t* e, const char* message, size_t n, const char* payload, size_t payload_n,
                     uint32_t* index) noexcept nogil:
    """Lay a template out. A signature asks for a payload and a key, and a payload for a signature."""
    cdef encode_template_t* t
    cdef encode_step_t* step
    cdef size_t room = 0, payload_room = 0
    cdef uint64_t seen = 0, payload_seen = 0
    cdef int status
    if e.template_count == e.template_capacity:
        return ENCODE_NO_ROOM
    t = _templates(e) + e.template_count
    status = _cut(e, message, n, False, &t.step_first, &room, &seen)
    if status != OK:
        return status
    if _saw(seen, FIELD_SIGNATURE) != (payload_n > 0) or (_saw(seen, FIELD_PAYLOAD) and payload_n == 0):
        return ENCODE_BAD_TEMPLATE
    if payload_n:
        status = _cut(e, payload, payload_n, True, &t.payload_first, &payload_room, &payload_seen)
        if status != OK:
            return status
        if not e.has_key:
            return ENCODE_BAD_TEMPLATE
        t.is_signed = 1
        step = _steps(e) + t.payload_first
        # Whole blocks only: a copied state with a part of a block in it would cost the copy of that part again.
        t.head_size = step.size / SHA256_BLOCK * SHA256_BLOCK
        t.head = e.key.inner
        sha256_add(&t.head, _literals(e) + step.at, t.head_size)
    # The payload is built behind the message's room, then copied into it if it is part of it.
    t.payload_room = <uint32_t>(payload_room + CHUNK)
    t.room = <uint32_t>(room + payload_room + CHUNK) + t.payload_room
    index[0] = e.template_count
    e.template_count += 1
    return OK


# -------------------------------------------------------------------------------------------------------------- values
cdef inline char* _put_hex(uint64_t value, int digits, char* out) noexcept nogil:
    cdef int i
    for i in range(digits - 1, -1, -1):
        out[i] = HEX[value & 15]
        value >>= 4
    return out + digits


cdef inline char* _put_whole(uint64_t value, char* out) noexcept nogil:
    cdef char text[24]
    cdef int at = 24
    cdef uint64_t pair
    while value >= 100:
        pair = value % 100
        value //= 100
        at -= 2
        text[at] = PAIRS[2 * pair]
        text[at + 1] = PAIRS[2 * pair + 1]
    if value >= 10:
        at -= 2
        text[at] = PAIRS[2 * value]
        text[at + 1] = PAIRS[2 * value + 1]
    else:
        at -= 1
        text[at] = <char>(c"0" + value)
    memcpy(out, text + at, 24 - at)
    return out + (24 - at)


cdef inline char* _put_steps(int64_t steps, int64_t step, int scale, char* out) noexcept nogil:
    """A price or quantity as the venue writes it; NULL when it is not positive or too large."""
    cdef int64_t mantissa
    cdef char* end
    cdef int i
    if unlikely(steps <= 0 or mul_overflow(steps, step, &mantissa)):
        return NULL
    end = _put_whole(<uint64_t>mantissa, out)
    if scale == 0:
        return end
    if unlikely(end - out <= scale):
        return out + decimal_format(mantissa, scale, out)
    # The digits behind the point move one up. At most 18 bytes, and mostly one to eight.
    for i in range(scale):
        end[-i] = end[-i - 1]
    end[-scale] = c"."
    return end + 1


cdef struct _ask_t:               # one intent, looked at
    const intent_t* intent
    const encode_symbol_t* symbol
    int64_t trigger_px_ticks
    int64_t trail_ticks
    int64_t display_lots
    int64_t expire_ns
    int64_t now_ns
    const char* payload
    size_t payload_size
    const uint8_t* digest
    char operation


cdef inline char* _put_trail(const _ask_t* ask, bint percent, char* out) noexcept nogil:
    """How far the stop trails, as a share of its trigger price, to the nearest unit; from the middle up."""
    cdef int64_t units = 1000 if percent else 10_000, share
    if ask.trail_ticks <= 0 or ask.trigger_px_ticks <= 0 or ask.trigger_px_ticks >= <int64_t>1 << 60:
        return NULL
    if mul_overflow(2 * units, ask.trail_ticks, &share) or share >= <int64_t>1 << 62:
        return NULL
    share = (share + ask.trigger_px_ticks) / (2 * ask.trigger_px_ticks)
    if share < 1 or share >= units:
        return NULL
    if not percent:
        return _put_whole(<uint64_t>share, out)
    out = _put_whole(<uint64_t>(share / 10), out)
    out[0] = c"."
    out[1] = <char>(c"0" + share % 10)
    return out + 2


cdef inline char* _put_field(int field, const _ask_t* ask, char* out) noexcept nogil:
    """One field behind its literal; NULL when the intent does not carry it."""
    cdef const encode_symbol_t* s = ask.symbol
    cdef int i
    if field == FIELD_ORDER:
        return _put_hex(<uint64_t>ask.intent.id_order, 16, out)
    if field == FIELD_PX:
        return _put_steps(ask.intent.px_ticks, s.px_step, s.px_scale, out)
    if field == FIELD_QTY:
        return _put_steps(ask.intent.qty_lots, s.qty_step, s.qty_scale, out)
    if field == FIELD_NOW_MS:
        return _put_whole(<uint64_t>(ask.now_ns / 1_000_000), out)
    if field == FIELD_SYMBOL:
        memcpy(out, s.text, ENCODE_TEXT_MAX)
        return out + s.text_length
    if field == FIELD_SIDE:
        memcpy(out, b"SELL" if ask.intent.flags & FLAG_SELL else b"BUY ", 4)
        return out + (4 if ask.intent.flags & FLAG_SELL else 3)
    if field == FIELD_REQUEST_ID:
        out[0] = ask.operation
        out[1] = c"s" if ask.intent.flags & FLAG_SELL else c"b"
        _put_hex(<uint64_t>ask.intent.id_order, 16, out + 2)
        return _put_hex(ask.intent.symbol, 4, out + 18)
    if field == FIELD_SIGNATURE:
        for i in range(SHA256_SIZE):
            out[2 * i] = HEX[ask.digest[i] >> 4]
            out[2 * i + 1] = HEX[ask.digest[i] & 15]
        return out + 2 * SHA256_SIZE
    if field == FIELD_PAYLOAD:
        memcpy(out, ask.payload, ask.payload_size)
        return out + ask.payload_size
    if field == FIELD_TRIGGER:
        return _put_steps(ask.trigger_px_ticks, s.px_step, s.px_scale, out)
    if field == FIELD_DISPLAY:
        return _put_steps(ask.display_lots, s.qty_step, s.qty_scale, out)
    if field == FIELD_EXPIRE_MS:
        # Rounded down: an order never lives past its date.
        return _put_whole(<uint64_t>(ask.expire_ns / 1_000_000), out) if ask.expire_ns > 0 else NULL
    return _put_trail(ask, field == FIELD_TRAIL_PERCENT, out)


cdef inline char* _fill(const encoder_t* e, uint32_t first, const _ask_t* ask, char* out) noexcept nogil:
    """Walk a template's steps; NULL when a field has no value."""
    cdef const encode_step_t* step = _steps(e) + first
    while True:
        copy_chunks(out, _literals(e) + step.at, step.size)
        out += step.size
        if step.field == FIELD_END:
            return out
        out = _put_field(step.field, ask, out)
        if unlikely(out == NULL):
            return NULL
        step += 1


# ------------------------------------------------------------------------------------------------------------- intents
cdef inline int _slot(const intent_t* intent, char* operation) noexcept nogil:
    """Which template serves this intent; -1: none can."""
    cdef int64_t kind = terms_type(intent.terms), tif = terms_tif(intent.terms), flags = terms_flags(intent.terms)
    if kind >= TYPE_COUNT or tif >= TIF_COUNT:
        return -1
    if intent.kind == KIND_INTENT_PLACE:
        operation[0] = c"p"
        if flags & TERMS_POST_ONLY:
            # "Post only" beside a time in force that takes is a contradiction, not a preference.
            if tif == 1 or tif == 2:
                return -1
            tif = TIF_GTX if tif == 0 else tif
        return <int>(SLOT_PLACE + (kind * TIF_COUNT + tif) * 2 + (1 if flags & TERMS_REDUCE_ONLY else 0))
    if intent.kind == KIND_INTENT_CANCEL:
        operation[0] = c"c"
        return <int>(SLOT_CANCEL + kind)
    if intent.kind == KIND_INTENT_QUERY:
        operation[0] = c"q"
        return <int>(SLOT_QUERY + kind)
    if intent.kind == KIND_INTENT_AMEND:
        # Without a token an order may only become smaller where it stands; whether it does is the venue's to hold.
        operation[0] = c"a" if intent.token else c"k"
        return <int>(SLOT_AMEND + kind * 2 + (1 if intent.token else 0))
    if intent.kind == KIND_INTENT_CANCEL_ALL:
        operation[0] = c"x"
        return SLOT_CANCEL_ALL + (1 if intent.symbol == SYMBOL_ALL else 0)
    return -1


cdef inline int _terms(const intent_t* intent, const intent_terms_t* terms, _ask_t* ask) noexcept nogil:
    if not intent.flags & FLAG_FIRST:
        ask.trigger_px_ticks = ask.trail_ticks = ask.display_lots = ask.expire_ns = 0
        return OK
    if terms == NULL or terms.kind != KIND_INTENT_TERMS or terms.id_order != intent.id_order:
        return ENCODE_BAD_TERMS
    ask.trigger_px_ticks = terms.trigger_px_ticks
    ask.trail_ticks = terms.trail_ticks
    ask.display_lots = terms.display_lots
    ask.expire_ns = terms.expire_ns
    return OK


cdef inline int _encode(encoder_t* e, const intent_t* intent, const intent_terms_t* terms, int64_t now_ns, char* out,
                        size_t room, size_t* size) noexcept nogil:
    cdef _ask_t ask
    cdef uint8_t digest[SHA256_SIZE]
    cdef sha256_t state
    cdef const encode_template_t* t
    cdef char* payload
    cdef char* end
    cdef int slot
    # The verdict first: whatever else is wrong with it, an order without one is a bug of ours.
    if unlikely(intent.kind == KIND_INTENT_PLACE and intent.token == 0):
        return ENCODE_NO_TOKEN
    slot = _slot(intent, &ask.operation)
    if unlikely(slot < 0 or now_ns <= 0):
        return ENCODE_BAD_TERMS
    if unlikely(e.slots[slot] == 0):
        if intent.kind == KIND_INTENT_AMEND and not intent.token and e.slots[slot + 1]:
            return ENCODE_NO_TOKEN
        return ENCODE_BAD_TERMS
    if intent.symbol < e.symbol_capacity:
        ask.symbol = _symbols(e) + intent.symbol
        if unlikely(ask.symbol.text_length == 0):
            return WORLD_UNKNOWN_SYMBOL
    elif slot == SLOT_CANCEL_ALL + 1:
        ask.symbol = _symbols(e)  # never printed: the template of every symbol names none
    else:
        return WORLD_UNKNOWN_SYMBOL
    if unlikely(_terms(intent, terms, &ask) != OK):
        return ENCODE_BAD_TERMS
    t = _templates(e) + (e.slots[slot] - 1)
    if unlikely(room < t.room):
        return ENCODE_NO_ROOM
    ask.intent = intent
    ask.now_ns = now_ns
    if t.is_signed:
        payload = out + (room - t.payload_room)
        end = _fill(e, t.payload_first, &ask, payload)
        if unlikely(end == NULL):
            return ENCODE_BAD_TERMS
        ask.payload = payload
        ask.payload_size = end - payload
        ask.digest = digest
        state = t.head
        sha256_add(&state, payload + t.head_size, ask.payload_size - t.head_size)
        hmac_finish(&e.key, &state, digest)
    end = _fill(e, t.step_first, &ask, out)
    if unlikely(end == NULL):
        return ENCODE_BAD_TERMS
    size[0] = end - out
    return OK


cdef int encode_intent(encoder_t* e, const intent_t* intent, const intent_terms_t* terms, int64_t now_ns, char* out,
                       size_t room, size_t* size) noexcept nogil:
    """Write one message. `now_ns` is the venue's time as we know it; `terms` is read when the intent says so."""
    cdef int status
    size[0] = 0
    status = _encode(e, intent, terms, now_ns, out, room, size)
    if likely(status == OK):
        e.encoded_count += 1
    else:
        e.refused_count += 1
    return status


# ---------------------------------------------------------------------------------------------------------- from Python
def place_slots(types, tifs, *, reduce=(False, True)):
    """The slots of orders to place: each type with each time in force."""
    return [SLOT_PLACE + (int(k) * TIF_COUNT + int(f)) * 2 + bool(r) for k in types for f in tifs for r in reduce]


def cancel_slots(types):
    return [SLOT_CANCEL + int(k) for k in types]


def query_slots(types):
    return [SLOT_QUERY + int(k) for k in types]


def amend_slots(types, *, bint token):
    return [SLOT_AMEND + int(k) * 2 + token for k in types]


def cancel_all_slots(*, bint every):
    return [SLOT_CANCEL_ALL + every]


cdef int _must(int status, detail) except -1:
    return raise_status(status, detail) if status != OK else OK


@cython.final
cdef class Encoder:
    """One order connection's encoder.

    `symbols` has rows (text, index, price step, quantity step), steps as the venue writes them; `templates` has rows
    (slots, message, payload), the payload empty for a message that is not signed. `secret` is the HMAC key.
    """

    def __cinit__(self, symbols, templates, *, secret=None):
        cdef uint32_t index = 0
        cdef const uint8_t[::1] key
        cdef bytes text, payload
        cdef step_t px, qty
        symbols, templates = list(symbols), [(list(s), m.encode(), p.encode()) for s, m, p in templates]
        count = 1 + max((index for _, index, _, _ in symbols), default=0)
        steps = sum(m.count(b"%") + p.count(b"%") + 2 for _, m, p in templates)
        literals = sum(len(m) + len(p) for _, m, p in templates)
        if not templates or count > SYMBOL_ALL:
            raise_status(ENCODE_BAD_TEMPLATE, f"{len(templates)} templates, {count} symbols")
        self.c = <encoder_t*>block_new(encoder_bytes(count, len(templates), steps, literals))
        _must(encoder_init(self.c, count, len(templates), steps, literals), f"{len(templates)} templates")
        if secret is not None:
            if not hmac_is_available():
                raise ImportError("no libcrypto with SHA256_Init beside this interpreter: install OpenSSL's library")
            key = secret
            hmac_key_init(&self.c.key, &key[0] if key.shape[0] else NULL, key.shape[0])
            self.c.has_key = 1
        for name, number, px_step, qty_step in symbols:
            text = name.encode()
            _must(step_from_text(&px, px_step.encode(), len(px_step)), f"{name}: price step {px_step!r}")
            _must(step_from_text(&qty, qty_step.encode(), len(qty_step)), f"{name}: quantity step {qty_step!r}")
            _must(encoder_set_symbol(self.c, number, text, len(text), px.scale, px.step, qty.scale, qty.step), name)
        for slots, text, payload in templates:
            _must(encoder_add(self.c, text, len(text), payload, len(payload), &index), text.decode())
            for slot in slots:
                if not 0 <= slot < ENCODE_SLOT_COUNT or self.c.slots[slot]:
                    raise_status(ENCODE_BAD_TEMPLATE, f"slot {slot} out of range or taken: {text.decode()}")
                self.c.slots[slot] = <uint8_t>(index + 1)
        self.room = bytearray(self.room_max)

    def __dealloc__(self):
        if self.c != NULL:
            # The signing states are worth as much as the secret.
            memset(self.c, 0, self.c.size)
        block_free(self.c)

    def __reduce__(self):
        raise TypeError("an encoder holds a key and is not copied")

    def encode(self, intent, int64_t now_ns, terms=None, *, room=None):
        """(status, bytes) of one intent record, and of the terms record behind it when there is one."""
        cdef const unsigned char[::1] head = memoryview(intent).cast("B")
        cdef const unsigned char[::1] tail = memoryview(terms).cast("B") if terms is not None else None
        cdef unsigned char[::1] out = self.room if room is None else bytearray(max(1, room))
        cdef size_t size = 0
        cdef int status
        if head.shape[0] != sizeof(event_t) or (terms is not None and tail.shape[0] != sizeof(event_t)):
            raise_status(ENCODE_BAD_TERMS, "an intent has 64 bytes")
        status = encode_intent(
            self.c, <const intent_t*>&head[0], <const intent_terms_t*>&tail[0] if terms is not None else NULL, now_ns,
            <char*>&out[0], out.shape[0] if room is None else <size_t>room, &size,
        )
        return Status(status), (<char*>&out[0])[:size]

    @property
    def room_max(self):
        """The room that any message of this encoder fits into."""
        return max(_templates(self.c)[i].room for i in range(self.c.template_count))

    @property
    def counts(self):
        """Messages written, intents refused."""
        return self.c.encoded_count, self.c.refused_count

    def check(self):
        """Walk the invariants."""
        cdef uint32_t i
        assert self.c.step_count <= self.c.step_capacity, "steps past their room"
        assert self.c.literal_count <= self.c.literal_capacity, "literals past their room"
        for i in range(self.c.step_count):
            assert _steps(self.c)[i].at + _steps(self.c)[i].size <= self.c.literal_count, f"step {i} leaves the literals"
        for i in range(<uint32_t>ENCODE_SLOT_COUNT):
            assert self.c.slots[i] <= self.c.template_count, f"slot {i} names no template"

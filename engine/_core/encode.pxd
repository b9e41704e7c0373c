"""Order bytes: an intent in, the venue's message out, by filling the gaps of templates laid out at start.

A venue is a list of templates (engine/venues/*/orders.py): a text with fields, and the intents it serves. The kernel
knows no venue. A template is cut at start into literals and fields; a message is then a walk over its steps, some
ten copies and as many numbers. A message that is signed has a payload beside it, whose constant beginning is hashed
once at start.

Owns: templates, symbols' texts and steps, the signing key's states. Does not own: the transport's buffer, the clock
(the venue's time comes in), verdicts. Invariants: an intent to place, or to amend with a larger risk, without the
gate's token is refused before anything else is looked at; a type or time in force without a template is refused;
nothing is written on refusal but scratch room behind `out`. Cost: 60 to 100 ns, signed + 250 ns.

The client id is `b4` and 16 hexadecimal digits of the order's number. The request id says what was asked, of which
side, order and symbol, so that an answer finds its order without a table: see `engine/venues/binance/api.py`.

The block holds a secret: it lives outside the world.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.hmac cimport hmac_key_t, sha256_t
from engine._core.types cimport intent_t, intent_terms_t


cdef enum:
    ENCODE_TEXT_MAX = 24
    REQUEST_ID_SIZE = 22          # operation, side, 16 digits of the order, 4 of the symbol
    # Which template serves an intent: one slot per operation and what it is about.
    SLOT_PLACE = 0                # + (type * TIF_COUNT + tif) * 2 + reduce_only
    SLOT_CANCEL = 80              # + type
    SLOT_QUERY = 88               # + type
    SLOT_AMEND = 96               # + type * 2 + with the gate's token
    SLOT_CANCEL_ALL = 112         # + every symbol
    ENCODE_SLOT_COUNT = 114


# The fields of a template. The letter behind the percent sign is the number.
cdef enum encode_field_t:
    FIELD_END = 0
    FIELD_TRAIL_BIPS = 98         # b: of the trigger price, to the nearest
    FIELD_TRAIL_PERCENT = 99      # c: with one digit behind the point
    FIELD_DISPLAY = 100           # d
    FIELD_TRIGGER = 103           # g
    FIELD_REQUEST_ID = 105        # i
    FIELD_ORDER = 111             # o: 16 hexadecimal digits
    FIELD_PX = 112                # p
    FIELD_QTY = 113               # q
    FIELD_SIGNATURE = 115         # s
    FIELD_NOW_MS = 116            # t
    FIELD_EXPIRE_MS = 120         # x
    FIELD_SIDE = 68               # D: BUY or SELL
    FIELD_PAYLOAD = 80            # P: what was signed
    FIELD_SYMBOL = 83             # S


cdef struct encode_symbol_t:      # one cache line
    char text[ENCODE_TEXT_MAX]
    uint8_t text_length           # 0: not configured
    uint8_t px_scale
    uint8_t qty_scale
    uint8_t reserved[5]
    int64_t px_step               # in units of 10**-px_scale
    int64_t qty_step
    int64_t reserved_words[2]


cdef struct encode_step_t:        # a literal, then a field
    uint32_t at
    uint16_t size
    uint16_t field


cdef struct encode_template_t:
    sha256_t head                 # the key's inner state after the constant beginning of the payload
    uint32_t step_first           # the message
    uint32_t payload_first        # what is signed
    uint32_t head_size            # bytes of the payload that `head` has taken in: whole blocks
    uint32_t room                 # the longest that message and payload can be
    uint32_t payload_room         # of it, the payload's: at the end
    uint32_t is_signed


cdef struct encoder_t:
    uint32_t symbol_capacity
    uint32_t template_capacity
    uint32_t step_capacity
    uint32_t literal_capacity
    uint32_t template_count
    uint32_t step_count
    uint32_t literal_count
    uint32_t has_key
    uint64_t encoded_count
    uint64_t refused_count
    uint64_t size
    uint64_t reserved
    hmac_key_t key
    uint8_t slots[128]            # template + 1 by slot, 0: the venue has no such thing
    # symbols, templates, steps, literals follow


cdef size_t encoder_bytes(uint32_t symbols, uint32_t templates, uint32_t steps, uint32_t literals) noexcept nogil
cdef int encoder_init(encoder_t* e, uint32_t symbols, uint32_t templates, uint32_t steps, uint32_t literals) noexcept nogil
cdef int encoder_set_symbol(encoder_t* e, uint16_t symbol, const char* text, size_t n, int px_scale, int64_t px_step,
                            int qty_scale, int64_t qty_step) noexcept nogil
cdef int encoder_add(encoder_t* e, const char* message, size_t n, const char* payload, size_t payload_n,
                     uint32_t* index) noexcept nogil
cdef int encode_intent(encoder_t* e, const intent_t* intent, const intent_terms_t* terms, int64_t now_ns, char* out,
                       size_t room, size_t* size) noexcept nogil


cdef class Encoder:
    cdef encoder_t* c
    cdef bytearray room

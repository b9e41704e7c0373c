from libc.string cimport memcmp

from engine._core.debug cimport debug_assert, static_assert_c
from engine._core.decimal cimport add_overflow, load8, mul_overflow
from engine._core.types cimport (
    OK,
    PARSE_BAD_NUMBER,
    PARSE_SYNTAX,
    PARSE_TOO_DEEP,
    PARSE_TRAILING,
    PARSE_TRUNCATED,
    PARSE_WRONG_TYPE,
)


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(span_t) == 16)
    static_assert_c(SLOT_CODE < SLOT_COUNT)


# ------------------------------------------------------------------------------------------------------------ strings
cdef inline int _utf8(cursor_t* c) noexcept nogil:
    """One character beyond ASCII: shortest form only, no surrogates, nothing above U+10FFFF."""
    cdef uint8_t lead = <uint8_t>c.at[0]
    cdef uint8_t low = 0x80, high = 0xBF
    cdef int more, i
    if lead < 0xC2 or lead > 0xF4:
        return PARSE_SYNTAX
    more = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
    if lead == 0xE0:
        low = 0xA0
    elif lead == 0xED:
        high = 0x9F
    elif lead == 0xF0:
        low = 0x90
    elif lead == 0xF4:
        high = 0x8F
    for i in range(1, more + 1):
        if c.at + i == c.end:
            return PARSE_TRUNCATED
        if <uint8_t>c.at[i] < low or <uint8_t>c.at[i] > high:
            return PARSE_SYNTAX
        low, high = 0x80, 0xBF
    c.at += more + 1
    return OK


cdef inline bint _is_hex(char ch) noexcept nogil:
    return (ch >= c"0" and ch <= c"9") or (ch >= c"a" and ch <= c"f") or (ch >= c"A" and ch <= c"F")


cdef int _escape(cursor_t* c) noexcept nogil:
    """A backslash and what it stands for."""
    cdef int i
    if c.at + 1 == c.end:
        return PARSE_TRUNCATED
    if c.at[1] in (c'"', c"\\", c"/", c"b", c"f", c"n", c"r", c"t"):
        c.at += 2
        return OK
    if c.at[1] != c"u":
        return PARSE_SYNTAX
    c.at += 2
    for i in range(4):
        if c.at == c.end:
            return PARSE_TRUNCATED
        if not _is_hex(c.at[0]):
            return PARSE_SYNTAX
        c.at += 1
    return OK


cdef int _string(cursor_t* c, span_t* value) noexcept nogil:
    """A string from its opening quote to behind its closing one."""
    cdef int status
    cdef uint8_t ch
    c.at += 1
    value.type = SCAN_STRING
    value.escaped = False
    value.at = c.at
    while True:
        # Whole words of plain text first; the mark's place does not matter, the loop below finds it.
        while c.end - c.at >= 8 and special_mask(load8(c.at)) == 0:
            c.at += 8
        if c.at == c.end:
            return PARSE_TRUNCATED
        ch = <uint8_t>c.at[0]
        if ch == c'"':
            value.size = <uint32_t>(c.at - value.at)
            c.at += 1
            return OK
        if ch == c"\\":
            value.escaped = True
            status = _escape(c)
            if status != OK:
                return status
        elif ch < 0x20:
            return PARSE_SYNTAX
        elif ch >= 0x80:
            status = _utf8(c)
            if status != OK:
                return status
        else:
            c.at += 1


# ------------------------------------------------------------------------------------------------- numbers and words
cdef inline bint _digit(const cursor_t* c) noexcept nogil:
    return c.at < c.end and c.at[0] >= c"0" and c.at[0] <= c"9"


cdef int _number(cursor_t* c, span_t* value) noexcept nogil:
    value.type = SCAN_NUMBER
    value.escaped = False
    value.at = c.at
    if c.at[0] == c"-":
        c.at += 1
    if not _digit(c):
        return PARSE_TRUNCATED if c.at == c.end else PARSE_SYNTAX
    if c.at[0] == c"0":
        c.at += 1
    else:
        while _digit(c):
            c.at += 1
    if c.at < c.end and c.at[0] == c".":
        c.at += 1
        if not _digit(c):
            return PARSE_TRUNCATED if c.at == c.end else PARSE_SYNTAX
        while _digit(c):
            c.at += 1
    if c.at < c.end and (c.at[0] == c"e" or c.at[0] == c"E"):
        c.at += 1
        if c.at < c.end and (c.at[0] == c"+" or c.at[0] == c"-"):
            c.at += 1
        if not _digit(c):
            return PARSE_TRUNCATED if c.at == c.end else PARSE_SYNTAX
        while _digit(c):
            c.at += 1
    value.size = <uint32_t>(c.at - value.at)
    return OK


cdef int _word(cursor_t* c, span_t* value, const char* word, int size, uint8_t type) noexcept nogil:
    cdef int i
    value.type = type
    value.escaped = False
    value.at = c.at
    value.size = size
    for i in range(size):
        if c.at == c.end:
            return PARSE_TRUNCATED
        if c.at[0] != word[i]:
            return PARSE_SYNTAX
        c.at += 1
    return OK


cdef int _scalar(cursor_t* c, span_t* value) noexcept nogil:
    cdef char ch = c.at[0]
    if ch == c'"':
        return _string(c, value)
    if ch == c"-" or (ch >= c"0" and ch <= c"9"):
        return _number(c, value)
    if ch == c"t":
        return _word(c, value, b"true", 4, SCAN_TRUE)
    if ch == c"f":
        return _word(c, value, b"false", 5, SCAN_FALSE)
    if ch == c"n":
        return _word(c, value, b"null", 4, SCAN_NULL)
    return PARSE_SYNTAX


# ------------------------------------------------------------------------------------------------------ whole values
cdef int _key(cursor_t* c, span_t* key) noexcept nogil:
    """A member's key and its colon; the cursor stands on the key's first character, or on what is wrong."""
    cdef int status
    if c.at == c.end:
        return PARSE_TRUNCATED
    if c.at[0] != c'"':
        return PARSE_SYNTAX
    status = _string(c, key)
    if status != OK:
        return status
    scan_blanks(c)
    if c.at == c.end:
        return PARSE_TRUNCATED
    if c.at[0] != c":":
        return PARSE_SYNTAX
    c.at += 1
    scan_blanks(c)
    return OK


cdef int scan_value(cursor_t* c, span_t* value) noexcept nogil:
    """One value of any type with everything in it, from its first character to behind its last.

    No recursion: bit i of `objects` says whether level i is an object. The loop's state is "a value stands here";
    after each value it closes what can be closed and steps to the next one.
    """
    cdef uint64_t objects = 0
    cdef int depth = 0, status
    cdef span_t inner
    cdef bint closed
    value.at = c.at
    while True:
        if c.at == c.end:
            return PARSE_TRUNCATED
        if c.at[0] == c"{" or c.at[0] == c"[":
            if depth == SCAN_DEPTH_MAX:
                return PARSE_TOO_DEEP
            if c.at[0] == c"{":
                objects |= <uint64_t>1 << depth
            else:
                objects &= ~(<uint64_t>1 << depth)
            depth += 1
            c.at += 1
            scan_blanks(c)
            if c.at == c.end:
                return PARSE_TRUNCATED
            if c.at[0] != (c"}" if objects >> (depth - 1) & 1 else c"]"):
                if objects >> (depth - 1) & 1:
                    status = _key(c, &inner)
                    if status != OK:
                        return status
                continue
            closed = True
        else:
            status = _scalar(c, value if depth == 0 else &inner)
            if status != OK:
                return status
            closed = False
        # A value ended here, or an empty container is about to.
        while depth > 0:
            if not closed:
                scan_blanks(c)
                if c.at == c.end:
                    return PARSE_TRUNCATED
                if c.at[0] == c",":
                    break
                if c.at[0] != (c"}" if objects >> (depth - 1) & 1 else c"]"):
                    return PARSE_SYNTAX
            closed = False
            c.at += 1
            depth -= 1
            if depth == 0:
                value.type = SCAN_OBJECT if objects & 1 else SCAN_ARRAY
                value.escaped = False
                value.size = <uint32_t>(c.at - value.at)
        if depth == 0:
            return OK
        c.at += 1
        scan_blanks(c)
        if objects >> (depth - 1) & 1:
            status = _key(c, &inner)
            if status != OK:
                return status


cdef int scan_document(const char* p, size_t n, span_t* value) noexcept nogil:
    """Exactly one value with white space around it."""
    cdef cursor_t c
    cdef int status
    c.at = p
    c.end = p + n
    scan_blanks(&c)
    status = scan_value(&c, value)
    if status != OK:
        return status
    scan_blanks(&c)
    return OK if c.at == c.end else PARSE_TRAILING


# --------------------------------------------------------------------------------- fields of a validated document
cdef inline bint _is(const span_t* key, const char* text, uint32_t size) noexcept nogil:
    return key.size == size and memcmp(key.at, text, size) == 0


cdef int _slot_of_key(const span_t* key) noexcept nogil:
    """The slot of a key of ours, -1 of any other."""
    cdef char first
    if key.size == 0 or key.size > 12:
        return -1
    first = key.at[0]
    if key.size == 1:
        if (first >= c"A" and first <= c"Z") or (first >= c"a" and first <= c"z"):
            return slot_of_letter(first)
        return -1
    if _is(key, b"pu", 2):
        return SLOT_PU
    if _is(key, b"ap", 2):
        return SLOT_AP
    if _is(key, b"stream", 6):
        return SLOT_STREAM
    if _is(key, b"data", 4):
        return SLOT_DATA
    if _is(key, b"lastUpdateId", 12):
        return SLOT_LAST_UPDATE_ID
    if _is(key, b"bids", 4):
        return SLOT_BIDS
    if _is(key, b"asks", 4):
        return SLOT_ASKS
    if _is(key, b"result", 6):
        return SLOT_RESULT
    if _is(key, b"error", 5):
        return SLOT_ERROR
    if _is(key, b"code", 4):
        return SLOT_CODE
    return -1


cdef int scan_object(const span_t* object, fields_t* fields) noexcept nogil:
    """Note the fields of one object, which stands inside a document that `scan_document` accepted."""
    cdef cursor_t c
    cdef span_t key, value
    cdef int slot, status
    fields.seen = 0
    fields.duplicate = False
    fields.escaped = False
    c.at = object.at + 1
    c.end = object.at + object.size
    scan_blanks(&c)
    while c.at < c.end and c.at[0] != c"}":
        status = _key(&c, &key)
        if status == OK:
            status = scan_value(&c, &value)
        if status != OK:
            return status
        slot = _slot_of_key(&key)
        if key.escaped:
            fields.escaped = True
        elif slot >= 0:
            if fields.seen >> slot & 1:
                fields.duplicate = True
            fields.seen |= <uint64_t>1 << slot
            fields.value[slot] = value
        scan_blanks(&c)
        if c.at < c.end and c.at[0] == c",":
            c.at += 1
            scan_blanks(&c)
    return OK


cdef int scan_level(cursor_t* c, span_t* px, span_t* qty) noexcept nogil:
    """One `["price","quantity"]` of a validated array: exactly two strings, else PARSE_WRONG_TYPE."""
    cdef int status
    if c.at[0] != c"[":
        return PARSE_WRONG_TYPE
    c.at += 1
    scan_blanks(c)
    if c.at[0] != c'"':
        return PARSE_WRONG_TYPE
    status = _string(c, px)
    scan_blanks(c)
    if status != OK or c.at[0] != c",":
        return PARSE_WRONG_TYPE
    c.at += 1
    scan_blanks(c)
    if c.at[0] != c'"':
        return PARSE_WRONG_TYPE
    status = _string(c, qty)
    scan_blanks(c)
    if status != OK or c.at[0] != c"]":
        return PARSE_WRONG_TYPE
    c.at += 1
    return OK


cdef int scan_whole(const span_t* value, int64_t* out) noexcept nogil:
    """A number that is a whole one, 0 to 2**63 - 1."""
    cdef int64_t number = 0
    cdef uint32_t i
    if value.type != SCAN_NUMBER:
        return PARSE_WRONG_TYPE
    for i in range(value.size):
        if value.at[i] in (c".", c"e", c"E"):
            return PARSE_WRONG_TYPE
    if value.at[0] == c"-":
        return PARSE_BAD_NUMBER
    for i in range(value.size):
        if mul_overflow(number, 10, &number) or add_overflow(number, value.at[i] - c"0", &number):
            return PARSE_BAD_NUMBER
    out[0] = number
    return OK


def validate(const unsigned char[::1] document not None):
    """The status of a document: OK when it is one valid JSON value."""
    cdef span_t value
    if document.shape[0] == 0:
        return PARSE_TRUNCATED
    return scan_document(<const char*>&document[0], document.shape[0], &value)

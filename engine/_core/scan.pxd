"""JSON scanning without objects: full validation, and the places of an object's fields.

The scanner accepts exactly RFC 8259: one value, its grammar to the letter, UTF-8 in strings, nesting up to
SCAN_DEPTH_MAX. It reads nothing outside [at, end). A cut document is PARSE_TRUNCATED whenever some continuation
could have made it valid, PARSE_SYNTAX otherwise.

`scan_object` walks one object and notes where the fields stand that any message of ours uses: the 52 keys of one
ASCII letter and the named ones below. All other keys are skipped, their values validated. Owns no state; no
allocation. Cost: about 1 ns a byte.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef enum:
    SCAN_DEPTH_MAX = 32
    SLOT_COUNT = 64
    # The keys of more than one letter follow the letters: A to Z 0 to 25, a to z 26 to 51.
    SLOT_NAMED = 52
    SLOT_PU = 52
    SLOT_AP = 53
    SLOT_STREAM = 54
    SLOT_DATA = 55
    SLOT_LAST_UPDATE_ID = 56
    SLOT_BIDS = 57
    SLOT_ASKS = 58
    SLOT_RESULT = 59
    SLOT_ERROR = 60
    SLOT_CODE = 61

# What a value is, told by its first character.
cdef enum scan_type_t:
    SCAN_STRING = 1
    SCAN_NUMBER = 2
    SCAN_OBJECT = 3
    SCAN_ARRAY = 4
    SCAN_TRUE = 5
    SCAN_FALSE = 6
    SCAN_NULL = 7


cdef struct cursor_t:
    const char* at
    const char* end


# A value in the frame: for strings the text between the quotes, for all others the whole value.
cdef struct span_t:
    const char* at
    uint32_t size
    uint8_t type
    uint8_t escaped               # the string contains a backslash
    uint8_t[2] reserved


cdef struct fields_t:
    uint64_t seen                 # bit of every slot that is filled
    bint duplicate                # a key of ours stood twice
    bint escaped                  # a key was written with an escape: it could be any key
    span_t[64] value


cdef int scan_value(cursor_t* c, span_t* value) noexcept nogil
cdef int scan_document(const char* p, size_t n, span_t* value) noexcept nogil
cdef int scan_object(const span_t* object, fields_t* fields) noexcept nogil
cdef int scan_level(cursor_t* c, span_t* px, span_t* qty) noexcept nogil
cdef int scan_whole(const span_t* value, int64_t* out) noexcept nogil


cdef inline int slot_of_letter(char letter) noexcept nogil:
    if letter >= c"a":
        return 26 + letter - c"a"
    return letter - c"A"


cdef inline void scan_blanks(cursor_t* c) noexcept nogil:
    while c.at < c.end and (c.at[0] == c" " or c.at[0] == c"\n" or c.at[0] == c"\r" or c.at[0] == c"\t"):
        c.at += 1


cdef inline uint64_t special_mask(uint64_t w) noexcept nogil:
    """The high bit of every byte that ends a plain run: quote, backslash, control character, or beyond ASCII.

    Borrows may mark a byte above a true one by mistake, never below it, and only the lowest mark is used.
    """
    cdef uint64_t quote = w ^ <uint64_t>0x2222222222222222
    cdef uint64_t slash = w ^ <uint64_t>0x5C5C5C5C5C5C5C5C
    cdef uint64_t ones = <uint64_t>0x0101010101010101
    return ((quote - ones) | (slash - ones) | (w - <uint64_t>0x2020202020202020) | w) & <uint64_t>0x8080808080808080

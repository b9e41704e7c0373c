"""The symbol table: a venue's symbol text to its index and to the steps of its prices and quantities.

Built at start, read by the parser for every frame, never changed in between. Open addressing with linear probing
over twice as many slots as symbols (or more), so a lookup is a hash, one or two probes and three word compares.
Relocatable: entries and slots follow the header, nothing holds a pointer.

A text has 1 to 24 bytes, anything but control characters, blanks, quotes and backslashes; UTF-8 is welcome. Stream
names write ASCII letters small, so `symbols_find` can fold them. Cost: about 3 ns.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.decimal cimport load8, load_up_to_8, step_t
from engine._core.debug cimport likely


cdef enum:
    SYMBOL_TEXT_MAX = 24


cdef struct symbol_t:
    uint64_t[3] text              # zero-padded
    uint16_t symbol               # the instrument's index, as it stands in events
    uint8_t text_length
    uint8_t[5] reserved
    step_t px
    step_t qty


cdef struct symbols_t:
    uint32_t count
    uint32_t capacity
    uint32_t slot_count           # a power of two
    uint32_t slot_shift           # 64 - log2(slot_count)
    uint64_t[6] reserved
    # symbol_t entries[capacity]; uint16_t slots[slot_count] (0: empty, else entry + 1), padded to 64 bytes.


cdef size_t symbols_bytes(uint32_t capacity) noexcept nogil
cdef int symbols_init(symbols_t* t, uint32_t capacity) noexcept nogil
cdef int symbols_add(
    symbols_t* t, const char* text, size_t n, uint16_t symbol, const step_t* px, const step_t* qty
) noexcept nogil


cdef inline symbol_t* symbols_entries(const symbols_t* t) noexcept nogil:
    return <symbol_t*>(t + 1)


cdef inline uint16_t* symbols_slots(const symbols_t* t) noexcept nogil:
    return <uint16_t*>(symbols_entries(t) + t.capacity)


cdef inline uint32_t symbols_slot_of(const symbols_t* t, uint64_t w0, uint64_t w1, uint64_t w2) noexcept nogil:
    # Multiplicative hashing: the top bits of the product depend on every bit of the words.
    cdef uint64_t h = w0 ^ (w1 * <uint64_t>0xC2B2AE3D27D4EB4F) ^ (w2 * <uint64_t>0x165667B19E3779F9)
    h ^= h >> 29
    return <uint32_t>((h * <uint64_t>0x9E3779B97F4A7C15) >> t.slot_shift)


cdef inline uint64_t upper8(uint64_t w) noexcept nogil:
    """ASCII small letters of a word made capital: bytes a to z lose bit 5, all others stay."""
    cdef uint64_t seven = w & <uint64_t>0x7F7F7F7F7F7F7F7F
    cdef uint64_t at_least_a = seven + <uint64_t>0x1F1F1F1F1F1F1F1F
    cdef uint64_t above_z = seven + <uint64_t>0x0505050505050505
    return w ^ (((at_least_a & ~above_z & ~w) & <uint64_t>0x8080808080808080) >> 2)


cdef inline symbol_t* symbols_find(const symbols_t* t, const char* text, size_t n, bint fold) noexcept nogil:
    """The entry of a text, NULL when there is none. Reads exactly n bytes."""
    cdef uint64_t w0, w1 = 0, w2 = 0
    cdef symbol_t* entry
    cdef uint32_t slot
    cdef uint16_t index
    if n == 0 or n > SYMBOL_TEXT_MAX:
        return NULL
    w0 = load_up_to_8(text, n)
    if n > 8:
        w1 = load_up_to_8(text + 8, n - 8)
        if n > 16:
            w2 = load_up_to_8(text + 16, n - 16)
    if fold:
        w0, w1, w2 = upper8(w0), upper8(w1), upper8(w2)
    slot = symbols_slot_of(t, w0, w1, w2)
    while True:
        index = symbols_slots(t)[slot]
        if index == 0:
            return NULL
        entry = symbols_entries(t) + (index - 1)
        # The length too: a zero byte inside a text must not pass for the padding of a shorter one.
        if likely(entry.text[0] == w0 and entry.text[1] == w1 and entry.text[2] == w2 and entry.text_length == n):
            return entry
        slot = (slot + 1) & (t.slot_count - 1)


cdef class Symbols:
    cdef symbols_t* c

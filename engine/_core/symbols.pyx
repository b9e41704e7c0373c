cimport cython
from libc.string cimport memset

from engine._core.debug cimport static_assert_c
from engine._core.decimal cimport step_from_text
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport ARENA_BAD_SIZE, OK, PARSE_BAD_SYMBOL, PARSE_SYMBOLS_FULL, raise_status

cdef uint32_t CAPACITY_MAX = 32_768


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(symbols_t) == 64)
    static_assert_c(sizeof(symbol_t) == 96)
    static_assert_c(<size_t>&(<symbol_t*>NULL).px == 32)


cdef uint32_t _slot_bits(uint32_t capacity) noexcept nogil:
    cdef uint32_t bits = 2
    while (<uint32_t>1 << bits) < 2 * capacity:
        bits += 1
    return bits


cdef size_t symbols_bytes(uint32_t capacity) noexcept nogil:
    cdef size_t size = sizeof(symbols_t) + capacity * sizeof(symbol_t)
    size += sizeof(uint16_t) << _slot_bits(capacity)
    return (size + 63) & ~<size_t>63


cdef int symbols_init(symbols_t* t, uint32_t capacity) noexcept nogil:
    """Make an empty table in a block of `symbols_bytes` bytes."""
    if capacity < 1 or capacity > CAPACITY_MAX:
        return ARENA_BAD_SIZE
    memset(t, 0, symbols_bytes(capacity))
    t.capacity = capacity
    t.slot_count = <uint32_t>1 << _slot_bits(capacity)
    t.slot_shift = 64 - _slot_bits(capacity)
    return OK


cdef int symbols_add(
    symbols_t* t, const char* text, size_t n, uint16_t symbol, const step_t* px, const step_t* qty
) noexcept nogil:
    """Register one symbol. Two texts may name the same index; one text may not stand twice."""
    cdef symbol_t* entry
    cdef uint32_t slot
    cdef size_t i
    if n == 0 or n > SYMBOL_TEXT_MAX:
        return PARSE_BAD_SYMBOL
    for i in range(n):
        if <uint8_t>text[i] <= 0x20 or text[i] == c'"' or text[i] == c"\\" or <uint8_t>text[i] == 0x7F:
            return PARSE_BAD_SYMBOL
    if symbols_find(t, text, n, False) != NULL:
        return PARSE_BAD_SYMBOL
    if t.count == t.capacity:
        return PARSE_SYMBOLS_FULL
    entry = symbols_entries(t) + t.count
    entry.text[0] = load_up_to_8(text, n)
    entry.text[1] = load_up_to_8(text + 8, n - 8) if n > 8 else 0
    entry.text[2] = load_up_to_8(text + 16, n - 16) if n > 16 else 0
    entry.text_length = <uint8_t>n
    entry.symbol = symbol
    entry.px = px[0]
    entry.qty = qty[0]
    slot = symbols_slot_of(t, entry.text[0], entry.text[1], entry.text[2])
    while symbols_slots(t)[slot] != 0:
        slot = (slot + 1) & (t.slot_count - 1)
    t.count += 1
    symbols_slots(t)[slot] = <uint16_t>t.count
    return OK


@cython.final
cdef class Symbols:
    """The symbols of one venue: (text, index, price step, quantity step), steps as the venue writes them ("0.01")."""

    def __cinit__(self, rows, *, uint32_t capacity=0):
        rows = list(rows)
        capacity = capacity or max(1, len(rows))
        if capacity > CAPACITY_MAX:
            raise_status(ARENA_BAD_SIZE, f"symbol capacity {capacity}; 1 to {CAPACITY_MAX}")
        self.c = <symbols_t*>block_new(symbols_bytes(capacity))
        symbols_init(self.c, capacity)
        for text, index, px_step, qty_step in rows:
            self.add(text, index, px_step, qty_step)

    def __dealloc__(self):
        block_free(self.c)

    def add(self, str text not None, uint16_t index, str px_step not None, str qty_step not None):
        cdef step_t px, qty
        cdef bytes raw = text.encode(), px_raw = px_step.encode(), qty_raw = qty_step.encode()
        cdef int status = step_from_text(&px, px_raw, len(px_raw))
        if status == OK:
            status = step_from_text(&qty, qty_raw, len(qty_raw))
        if status == OK:
            status = symbols_add(self.c, raw, len(raw), index, &px, &qty)
        if status != OK:
            raise_status(status, f"{text!r} with steps {px_step!r} and {qty_step!r}")

    def find(self, bytes text not None, *, bint fold=False):
        """The index of a symbol, or None. `fold` takes ASCII letters of either case, as stream names have them."""
        cdef symbol_t* entry = symbols_find(self.c, text, len(text), fold)
        return None if entry == NULL else entry.symbol

    def __len__(self):
        return self.c.count

    def check(self):
        """Walk the invariants: every entry is found, and no slot names an entry that is not there."""
        cdef uint32_t i, used = 0
        cdef symbol_t* entry
        for i in range(self.c.count):
            entry = symbols_entries(self.c) + i
            assert symbols_find(self.c, <const char*>entry.text, entry.text_length, False) == entry, f"entry {i} is lost"
        for i in range(self.c.slot_count):
            assert symbols_slots(self.c)[i] <= self.c.count, f"slot {i} points nowhere"
            used += symbols_slots(self.c)[i] != 0
        assert used == self.c.count, "slots and entries disagree"

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.debug cimport debug_assert, static_assert_c


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(probe_t) == 16)
    static_assert_c(sizeof(recent_entry_t) == 32)
    static_assert_c(sizeof(recent_t) == 64)


cdef uint64_t probe_slots(uint64_t capacity) noexcept nogil:
    """Slots of an index over `capacity` entries: a power of two, at least twice as many."""
    cdef uint64_t slots = 4
    while slots < 2 * capacity:
        slots *= 2
    return slots


cdef void probe_drop(probe_t* slots, uint64_t mask, uint64_t a, uint32_t b) noexcept nogil:
    """Take a key out and close the gap: every later entry of the run that may stand there moves back."""
    cdef probe_t* found = probe_find(slots, mask, a, b)
    cdef uint64_t gap = <uint64_t>(found - slots), at, home
    if found.b == 0:
        return
    at = gap
    while True:
        at = (at + 1) & mask
        if slots[at].b == 0:
            break
        home = probe_home(mask, slots[at].a, slots[at].b)
        # It may move when its home does not lie behind the gap, counted round the end of the table.
        if ((at - home) & mask) >= ((at - gap) & mask):
            slots[gap] = slots[at]
            gap = at
    memset(&slots[gap], 0, sizeof(probe_t))


cdef size_t recent_bytes(uint64_t capacity) noexcept nogil:
    return sizeof(recent_t) + capacity * sizeof(recent_entry_t) + probe_slots(capacity) * sizeof(probe_t)


cdef void recent_init(recent_t* r, uint64_t capacity, int64_t keep_ns) noexcept nogil:
    memset(r, 0, recent_bytes(capacity))
    r.capacity = capacity
    r.index_mask = probe_slots(capacity) - 1
    r.keep_ns = keep_ns


cdef recent_entry_t* recent_find(recent_t* r, uint64_t a, uint32_t b, int64_t now_ns) noexcept nogil:
    """The entry of this key that is not older than `keep_ns`, or NULL."""
    cdef probe_t* slot = probe_find(recent_index(r), r.index_mask, a, b)
    cdef recent_entry_t* entry
    if slot.b == 0:
        return NULL
    entry = &recent_entries(r)[slot.index]
    return entry if now_ns - entry.ts_ns <= r.keep_ns else NULL


cdef recent_entry_t* recent_put(recent_t* r, uint64_t a, uint32_t b, int64_t now_ns) noexcept nogil:
    """Remember a key, in place of the oldest one when full. A key that is there keeps its place and is renewed."""
    cdef probe_t* slot = probe_find(recent_index(r), r.index_mask, a, b)
    cdef recent_entry_t* entry
    cdef uint64_t at
    debug_assert(b != 0)
    if slot.b != 0:
        entry = &recent_entries(r)[slot.index]
        entry.ts_ns = now_ns
        return entry
    if r.count == r.capacity:
        at = r.oldest
        entry = &recent_entries(r)[at]
        if now_ns - entry.ts_ns <= r.keep_ns:
            r.early_count += 1
        probe_drop(recent_index(r), r.index_mask, entry.a, entry.b)
        r.oldest = at + 1 if at + 1 < r.capacity else 0
    else:
        # Filled from the front once; from then on it turns.
        at = r.count
        r.count += 1
    entry = &recent_entries(r)[at]
    entry.a = a
    entry.b = b
    entry.ts_ns = now_ns
    entry.value = 0
    entry.mark = 0
    probe_put(recent_index(r), r.index_mask, a, b, <uint32_t>at)
    return entry


cdef bint recent_check(recent_t* r) noexcept nogil:
    cdef uint64_t i, used = 0
    cdef recent_entry_t* entry
    cdef probe_t* slot
    if r.count > r.capacity or (r.count < r.capacity and r.oldest != 0):
        return False
    for i in range(r.count):
        entry = &recent_entries(r)[i]
        slot = probe_find(recent_index(r), r.index_mask, entry.a, entry.b)
        if slot.b == 0 or slot.index != i:
            return False
    for i in range(r.index_mask + 1):
        used += recent_index(r)[i].b != 0
    return used == r.count

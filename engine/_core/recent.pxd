"""A bounded memory of recent things: a map from a two-part key that forgets the oldest when it is full.

Owns: the entries in the order of their arrival and an open-addressing index over them, also used alone (`probe_*`).
Does not own: what the value means. Fills are remembered by (trade id, symbol and side), requests by client id.

Invariants: at most `capacity` entries; a key stands once; every entry is found by its key; an index slot is empty
exactly when its `b` is 0, so `b` of a key is never 0. Deletion moves later entries of the run back, so a run has no
holes and nothing degrades with age. Pointer-free. Cost: one probe, a second one when the oldest is forgotten.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef struct probe_t:              # one slot of an index
    uint64_t a
    uint32_t b                    # 0: empty
    uint32_t index


cdef struct recent_entry_t:
    uint64_t a
    int64_t ts_ns
    uint64_t value
    uint32_t b                    # 0: never used
    uint32_t mark


cdef struct recent_t:             # entries and the index follow
    uint64_t capacity
    uint64_t index_mask
    uint64_t count
    uint64_t oldest               # where the oldest entry stands
    uint64_t early_count          # forgotten for room before `keep_ns` had passed
    int64_t keep_ns
    int64_t reserved[2]


cdef size_t recent_bytes(uint64_t capacity) noexcept nogil
cdef void recent_init(recent_t* r, uint64_t capacity, int64_t keep_ns) noexcept nogil
cdef recent_entry_t* recent_find(recent_t* r, uint64_t a, uint32_t b, int64_t now_ns) noexcept nogil
cdef recent_entry_t* recent_put(recent_t* r, uint64_t a, uint32_t b, int64_t now_ns) noexcept nogil
cdef bint recent_check(recent_t* r) noexcept nogil

cdef uint64_t probe_slots(uint64_t capacity) noexcept nogil
cdef void probe_drop(probe_t* slots, uint64_t mask, uint64_t a, uint32_t b) noexcept nogil


cdef inline uint64_t probe_home(uint64_t mask, uint64_t a, uint32_t b) noexcept nogil:
    # Client ids are consecutive and trade ids nearly so: the multiplication spreads them, its high half is well mixed.
    cdef uint64_t h = (a ^ (<uint64_t>b << 48)) * <uint64_t>0x9E3779B97F4A7C15
    return (h >> 32) & mask


cdef inline probe_t* probe_find(probe_t* slots, uint64_t mask, uint64_t a, uint32_t b) noexcept nogil:
    """The slot of this key, or the empty slot where it would stand. Ends: an index is never more than half full."""
    cdef uint64_t at = probe_home(mask, a, b)
    while slots[at].b != 0 and (slots[at].a != a or slots[at].b != b):
        at = (at + 1) & mask
    return &slots[at]


cdef inline void probe_put(probe_t* slots, uint64_t mask, uint64_t a, uint32_t b, uint32_t index) noexcept nogil:
    cdef probe_t* slot = probe_find(slots, mask, a, b)
    slot.a = a
    slot.b = b
    slot.index = index


cdef inline recent_entry_t* recent_entries(recent_t* r) noexcept nogil:
    return <recent_entry_t*>(r + 1)


cdef inline probe_t* recent_index(recent_t* r) noexcept nogil:
    return <probe_t*>(recent_entries(r) + r.capacity)

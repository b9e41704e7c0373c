"""One side of a book: a circular window of ticks around its touch, and an ordered overflow behind it.

Owns: where a level stands and how the next one is found. Does not own: trust, sequence, messages, sides (book.pyx).
A ladder speaks of keys, not prices: the key is the price for bids and its negative for asks, so "better" is always
"greater" and there is one code path for both sides.

```
  worse <-------------------------------------------------------------------------> better
  horizon |  overflow: chunks of sorted keys  | base ... window, `ticks` slots ... best . headroom . |
  unknown |  oldest drop out here first       | slot = key & (ticks - 1)                              |
```

Invariants: every overflow key < base <= best < base + ticks; a bit is set exactly where a quantity is not zero; a
summary bit exactly where a word is not zero; every key held > horizon; the window is empty only when all is empty.
Because the slot is the key modulo the size, moving the window moves no quantity: only the levels that cross its
lower edge travel, and they come and go at the overflow's near end.

Cost: a change in the window is one load and one store; an insert or delete adds two bit operations; finding the next
level takes at most three count-leading-zeros; the overflow costs two binary searches and half a chunk moved.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from engine._core.debug cimport debug_assert, likely, unlikely
from engine._core.types cimport BOOK_FULL, OK


cdef enum:
    LADDER_TICKS_LEAST = 8
    LADDER_TICKS_MOST = 4096      # 64 words of 64 bits: one summary word finds any of them
    LADDER_CHUNK = 32             # levels in a chunk: half a chunk moves in about 10 ns
    LADDER_MERGE = 16             # neighbours are joined when they hold no more than this together


cdef extern from * nogil:
    """
    #define bot4_top_bit(v) (63 - __builtin_clzll((unsigned long long)(v)))
    #define bot4_low_bit(v) (__builtin_ctzll((unsigned long long)(v)))
    """
    int top_bit_c "bot4_top_bit"(uint64_t value) noexcept
    int low_bit_c "bot4_low_bit"(uint64_t value) noexcept


cdef struct ladder_t:
    # Line 0: all that a change in the window reads.
    int64_t best_key              # LADDER_EMPTY while there is no level
    int64_t base_key              # lowest key of the window
    int64_t horizon_key           # this key and all below are unknown; INT64_MIN: nothing was ever dropped
    int64_t total_lots            # over all levels held
    uint64_t summary              # one bit a word of the bitmap
    uint32_t ticks
    uint32_t window_count
    uint32_t over_count
    uint32_t levels_max           # of window and overflow together
    uint32_t offset_words         # all offsets count from this struct, so a copy of the block is a book
    uint32_t offset_qty
    # Line 1: the overflow.
    uint32_t offset_directory
    uint32_t offset_free
    uint32_t offset_chunks
    uint32_t chunk_count          # in the directory
    uint32_t chunk_max
    uint32_t free_count
    int64_t reserved[5]


cdef struct ladder_entry_t:       # one chunk in the directory, worst first
    int64_t key_last              # its greatest key
    uint32_t chunk
    uint32_t count


cdef struct ladder_chunk_t:
    int64_t key[32]
    int64_t qty[32]


cdef struct ladder_place_t:       # where a key stands, or would stand, in the overflow
    uint32_t entry
    uint32_t at
    uint32_t found
    uint32_t reserved


cdef struct ladder_cursor_t:      # walks from the best level to the worst
    int64_t key
    int64_t qty
    uint32_t left_in_window
    uint32_t started
    uint32_t entry                # one above the directory entry being read
    uint32_t at                   # one above the next level in it


cdef inline int64_t ladder_empty() noexcept nogil:
    return INT64_MIN


cdef inline uint64_t* ladder_words(const ladder_t* l) noexcept nogil:
    return <uint64_t*>(<char*>l + l.offset_words)


cdef inline int64_t* ladder_qty(const ladder_t* l) noexcept nogil:
    return <int64_t*>(<char*>l + l.offset_qty)


cdef inline ladder_entry_t* ladder_directory(const ladder_t* l) noexcept nogil:
    return <ladder_entry_t*>(<char*>l + l.offset_directory)


cdef inline uint32_t* ladder_free(const ladder_t* l) noexcept nogil:
    return <uint32_t*>(<char*>l + l.offset_free)


cdef inline ladder_chunk_t* ladder_chunks(const ladder_t* l) noexcept nogil:
    return <ladder_chunk_t*>(<char*>l + l.offset_chunks)


cdef inline uint32_t ladder_count(const ladder_t* l) noexcept nogil:
    return l.window_count + l.over_count


cdef inline int64_t ladder_best_qty(const ladder_t* l) noexcept nogil:
    """Quantity at the touch, 0 while empty (the slot of an empty ladder's best is never read)."""
    if l.best_key == INT64_MIN:
        return 0
    return ladder_qty(l)[<uint64_t>l.best_key & (l.ticks - 1)]


# ------------------------------------------------------------------------------------------------- the bitmap
cdef inline void ladder_mark(ladder_t* l, uint32_t slot) noexcept nogil:
    ladder_words(l)[slot >> 6] |= <uint64_t>1 << (slot & 63)
    l.summary |= <uint64_t>1 << (slot >> 6)


cdef inline void ladder_unmark(ladder_t* l, uint32_t slot) noexcept nogil:
    cdef uint64_t word = ladder_words(l)[slot >> 6] & ~(<uint64_t>1 << (slot & 63))
    ladder_words(l)[slot >> 6] = word
    l.summary &= ~(<uint64_t>(word == 0) << (slot >> 6))


cdef inline uint32_t ladder_below(const ladder_t* l, uint32_t slot) noexcept nogil:
    """The nearest marked slot strictly below, going round. Needs a marked slot other than this one."""
    cdef uint32_t i = slot >> 6
    cdef uint64_t some = ladder_words(l)[i] & ((<uint64_t>1 << (slot & 63)) - 1)
    if likely(some != 0):
        return (i << 6) + <uint32_t>top_bit_c(some)
    some = l.summary & ((<uint64_t>1 << i) - 1)
    if some == 0:
        # Round the end: what is left stands above, the slot's own word included.
        some = l.summary
    i = <uint32_t>top_bit_c(some)
    return (i << 6) + <uint32_t>top_bit_c(ladder_words(l)[i])


cdef inline uint32_t ladder_from(const ladder_t* l, uint32_t slot) noexcept nogil:
    """The nearest marked slot at or above, going round. Needs a marked slot."""
    cdef uint32_t i = slot >> 6
    cdef uint64_t some = ladder_words(l)[i] & ~((<uint64_t>1 << (slot & 63)) - 1)
    if some != 0:
        return (i << 6) + <uint32_t>low_bit_c(some)
    # Two shifts: shifting by 64 at once is undefined when i is 63.
    some = l.summary & ~(((<uint64_t>1 << i) << 1) - 1)
    if some == 0:
        some = l.summary
    i = <uint32_t>low_bit_c(some)
    return (i << 6) + <uint32_t>low_bit_c(ladder_words(l)[i])


cdef inline int64_t ladder_window_worst(const ladder_t* l) noexcept nogil:
    cdef uint32_t mask = l.ticks - 1
    cdef uint32_t base = <uint32_t>(<uint64_t>l.base_key & mask)
    return l.base_key + <int64_t>((ladder_from(l, base) - base) & mask)


# ------------------------------------------------------------------------------------------------- the overflow
cdef inline ladder_place_t ladder_find(const ladder_t* l, int64_t key) noexcept nogil:
    """Lower bound, twice: the first chunk whose last key is not below, then the first such key in it."""
    cdef const ladder_entry_t* directory = ladder_directory(l)
    cdef const int64_t* keys
    cdef ladder_place_t place
    cdef uint32_t count = l.chunk_count, half, at = 0
    place.reserved = 0
    # No branch on the comparison, a mask in its place: where a far level stands is unpredictable by nature, and a
    # wrong guess costs more than the whole search.
    while count > 1:
        half = count >> 1
        at += half & (0 - <uint32_t>(directory[at + half - 1].key_last < key))
        count -= half
    if count == 1 and directory[at].key_last < key:
        at += 1
    place.entry = at
    if at == l.chunk_count:
        place.at = 0
        place.found = 0
        return place
    keys = ladder_chunks(l)[directory[at].chunk].key
    count = directory[at].count
    # Within a chunk two rounds of independent comparisons beat five dependent ones. The chunk's last key is not below,
    # so the lower bound is one of its places; what stands behind its count is masked out.
    at = 0
    for half in range(7, 24, 8):
        at += <uint32_t>(half < count) & <uint32_t>(keys[half] < key)
    at <<= 3
    place.at = at
    for half in range(8):
        place.at += <uint32_t>(at + half < count) & <uint32_t>(keys[at + half] < key)
    place.found = <uint32_t>(keys[place.at] == key)
    return place


cdef inline void ladder_chunk_open(ladder_t* l, uint32_t entry) noexcept nogil:
    """A fresh, empty chunk at this place of the directory."""
    cdef ladder_entry_t* directory = ladder_directory(l)
    debug_assert(l.free_count > 0)
    memmove(&directory[entry + 1], &directory[entry], (l.chunk_count - entry) * sizeof(ladder_entry_t))
    l.free_count -= 1
    directory[entry].chunk = ladder_free(l)[l.free_count]
    directory[entry].count = 0
    directory[entry].key_last = 0
    l.chunk_count += 1


cdef inline void ladder_chunk_close(ladder_t* l, uint32_t entry) noexcept nogil:
    cdef ladder_entry_t* directory = ladder_directory(l)
    ladder_free(l)[l.free_count] = directory[entry].chunk
    l.free_count += 1
    l.chunk_count -= 1
    memmove(&directory[entry], &directory[entry + 1], (l.chunk_count - entry) * sizeof(ladder_entry_t))


cdef inline void ladder_chunk_split(ladder_t* l, uint32_t entry) noexcept nogil:
    """The upper half of a full chunk moves into a new one behind it."""
    cdef ladder_entry_t* directory = ladder_directory(l)
    cdef ladder_chunk_t* chunks = ladder_chunks(l)
    cdef ladder_chunk_t* low
    cdef ladder_chunk_t* high
    ladder_chunk_open(l, entry + 1)
    low = &chunks[directory[entry].chunk]
    high = &chunks[directory[entry + 1].chunk]
    memcpy(high.key, &low.key[16], 16 * sizeof(int64_t))
    memcpy(high.qty, &low.qty[16], 16 * sizeof(int64_t))
    directory[entry + 1].key_last = directory[entry].key_last
    directory[entry + 1].count = 16
    directory[entry].key_last = low.key[15]
    directory[entry].count = 16


cdef inline void ladder_chunk_join(ladder_t* l, uint32_t entry) noexcept nogil:
    """Chunk entry + 1 is appended to its left neighbour."""
    cdef ladder_entry_t* directory = ladder_directory(l)
    cdef ladder_chunk_t* low = &ladder_chunks(l)[directory[entry].chunk]
    cdef ladder_chunk_t* high = &ladder_chunks(l)[directory[entry + 1].chunk]
    cdef uint32_t count = directory[entry].count, more = directory[entry + 1].count
    memcpy(&low.key[count], high.key, more * sizeof(int64_t))
    memcpy(&low.qty[count], high.qty, more * sizeof(int64_t))
    directory[entry].count = count + more
    directory[entry].key_last = directory[entry + 1].key_last
    ladder_chunk_close(l, entry + 1)


cdef inline void ladder_over_add(ladder_t* l, ladder_place_t place, int64_t key, int64_t qty) noexcept nogil:
    """Insert a key that `ladder_find` did not find."""
    cdef ladder_entry_t* directory = ladder_directory(l)
    cdef ladder_chunk_t* chunk
    cdef uint32_t entry = place.entry, at = place.at, count
    if entry == l.chunk_count:
        # Above everything: append to the last chunk while it has room. Levels that leave the window in order so
        # fill their chunks to the brim.
        if entry == 0 or directory[entry - 1].count == LADDER_CHUNK:
            ladder_chunk_open(l, entry)
            at = 0
        else:
            entry -= 1
            at = directory[entry].count
    elif directory[entry].count == LADDER_CHUNK:
        ladder_chunk_split(l, entry)
        if at > 16:
            entry += 1
            at -= 16
    chunk = &ladder_chunks(l)[directory[entry].chunk]
    count = directory[entry].count
    memmove(&chunk.key[at + 1], &chunk.key[at], (count - at) * sizeof(int64_t))
    memmove(&chunk.qty[at + 1], &chunk.qty[at], (count - at) * sizeof(int64_t))
    chunk.key[at] = key
    chunk.qty[at] = qty
    directory[entry].count = count + 1
    directory[entry].key_last = chunk.key[count]
    l.over_count += 1


cdef inline void ladder_over_remove(ladder_t* l, uint32_t entry, uint32_t at) noexcept nogil:
    cdef ladder_entry_t* directory = ladder_directory(l)
    cdef ladder_chunk_t* chunk = &ladder_chunks(l)[directory[entry].chunk]
    cdef uint32_t count = directory[entry].count - 1
    memmove(&chunk.key[at], &chunk.key[at + 1], (count - at) * sizeof(int64_t))
    memmove(&chunk.qty[at], &chunk.qty[at + 1], (count - at) * sizeof(int64_t))
    l.over_count -= 1
    directory[entry].count = count
    if count == 0:
        ladder_chunk_close(l, entry)
        # Its two neighbours have met: they must not stay small together.
        if 0 < entry < l.chunk_count and directory[entry - 1].count + directory[entry].count <= LADDER_MERGE:
            ladder_chunk_join(l, entry - 1)
        return
    directory[entry].key_last = chunk.key[count - 1]
    # Neighbours never hold LADDER_MERGE or fewer together; that bounds the chunks to levels / 8 + 2.
    if entry + 1 < l.chunk_count and count + directory[entry + 1].count <= LADDER_MERGE:
        ladder_chunk_join(l, entry)
        count = directory[entry].count
    if entry > 0 and count + directory[entry - 1].count <= LADDER_MERGE:
        ladder_chunk_join(l, entry - 1)


cdef inline int64_t ladder_over_best(const ladder_t* l) noexcept nogil:
    return ladder_directory(l)[l.chunk_count - 1].key_last


# ------------------------------------------------------------------------------------------------- the window moves
cdef inline int64_t ladder_base_for(const ladder_t* l, int64_t best) noexcept nogil:
    """A quarter of the window stays free above the touch, three quarters lie at and below it."""
    return best + <int64_t>(l.ticks >> 2) - <int64_t>(l.ticks - 1)


cdef inline void ladder_pull(ladder_t* l) noexcept nogil:
    """Levels that the window now covers come in from the overflow's near end."""
    cdef ladder_entry_t* directory = ladder_directory(l)
    cdef int64_t* quantities = ladder_qty(l)
    cdef uint32_t slot, entry, at
    cdef int64_t key
    while l.over_count > 0:
        entry = l.chunk_count - 1
        key = directory[entry].key_last
        if key < l.base_key:
            return
        at = directory[entry].count - 1
        slot = <uint32_t>(<uint64_t>key & (l.ticks - 1))
        quantities[slot] = ladder_chunks(l)[directory[entry].chunk].qty[at]
        ladder_mark(l, slot)
        l.window_count += 1
        ladder_over_remove(l, entry, at)


cdef inline void ladder_rise(ladder_t* l, int64_t best) noexcept nogil:
    """Move the window up to a new touch; what falls off its lower edge goes to the overflow, worst first."""
    cdef int64_t base = ladder_base_for(l, best), key
    cdef int64_t* quantities = ladder_qty(l)
    cdef ladder_place_t place
    cdef uint32_t slot
    while l.window_count > 0:
        key = ladder_window_worst(l)
        if key >= base:
            break
        slot = <uint32_t>(<uint64_t>key & (l.ticks - 1))
        place.entry = l.chunk_count
        place.at = 0
        place.found = 0
        place.reserved = 0
        ladder_over_add(l, place, key, quantities[slot])
        quantities[slot] = 0
        ladder_unmark(l, slot)
        l.window_count -= 1
        # The edge follows each level out: `ladder_window_worst` searches from it.
        l.base_key = key + 1
    l.base_key = base
    # An empty ladder's window may also fall: nothing to move then, and nothing in the overflow either.


cdef inline void ladder_touch_lost(ladder_t* l, int64_t key) noexcept nogil:
    """The best level is gone: find the next, and let the window sink when the touch nears its lower edge."""
    cdef uint32_t mask = l.ticks - 1
    cdef uint32_t slot = <uint32_t>(<uint64_t>key & mask)
    if likely(l.window_count > 0):
        l.best_key = key - <int64_t>((slot - ladder_below(l, slot)) & mask)
        if likely(l.best_key - l.base_key >= <int64_t>(l.ticks >> 2)):
            return
    elif l.over_count > 0:
        l.best_key = ladder_over_best(l)
    else:
        l.best_key = INT64_MIN
        return
    l.base_key = ladder_base_for(l, l.best_key)
    ladder_pull(l)


# ------------------------------------------------------------------------------------------------- one level
cdef inline void ladder_window_add(ladder_t* l, int64_t key, uint32_t slot, int64_t qty) noexcept nogil:
    ladder_qty(l)[slot] = qty
    ladder_mark(l, slot)
    l.window_count += 1
    l.total_lots += qty
    if key > l.best_key:
        l.best_key = key


cdef inline void ladder_window_remove(ladder_t* l, int64_t key, uint32_t slot) noexcept nogil:
    l.total_lots -= ladder_qty(l)[slot]
    ladder_qty(l)[slot] = 0
    ladder_unmark(l, slot)
    l.window_count -= 1
    if key == l.best_key:
        ladder_touch_lost(l, key)


cdef inline int64_t ladder_drop_worst(ladder_t* l) noexcept nogil:
    """Remove the worst level and return its key. Needs a level."""
    cdef ladder_chunk_t* chunk
    cdef int64_t key
    if l.over_count > 0:
        chunk = &ladder_chunks(l)[ladder_directory(l)[0].chunk]
        key = chunk.key[0]
        l.total_lots -= chunk.qty[0]
        ladder_over_remove(l, 0, 0)
        return key
    key = ladder_window_worst(l)
    ladder_window_remove(l, key, <uint32_t>(<uint64_t>key & (l.ticks - 1)))
    return key


cdef inline int ladder_trim(ladder_t* l) noexcept nogil:
    """After an insert: past the capacity the worst level is dropped and the horizon remembers it."""
    cdef int64_t key
    if likely(ladder_count(l) <= l.levels_max):
        return OK
    key = ladder_drop_worst(l)
    if key > l.horizon_key:
        l.horizon_key = key
    return BOOK_FULL


cdef inline int ladder_set_outside(ladder_t* l, int64_t key, int64_t qty) noexcept nogil:
    """A level off the window: a new touch above it, or the overflow below."""
    cdef ladder_place_t place
    cdef ladder_chunk_t* chunk
    if key > l.base_key or l.best_key == INT64_MIN:
        if qty == 0:
            return OK
        if key <= l.horizon_key:
            return BOOK_FULL
        ladder_rise(l, key)
        ladder_window_add(l, key, <uint32_t>(<uint64_t>key & (l.ticks - 1)), qty)
        return ladder_trim(l)
    place = ladder_find(l, key)
    if place.found:
        chunk = &ladder_chunks(l)[ladder_directory(l)[place.entry].chunk]
        l.total_lots += qty - chunk.qty[place.at]
        if qty != 0:
            chunk.qty[place.at] = qty
        else:
            ladder_over_remove(l, place.entry, place.at)
        return OK
    if qty == 0:
        return OK
    if key <= l.horizon_key:
        return BOOK_FULL
    ladder_over_add(l, place, key, qty)
    l.total_lots += qty
    return ladder_trim(l)


cdef inline int ladder_set(ladder_t* l, int64_t key, int64_t qty) noexcept nogil:
    """Set one level to an absolute quantity, 0 deletes; BOOK_FULL when a level, this or a worse one, was lost.

    Change, insert and delete are one straight line: which of them an update is nobody can predict, so the bit, the
    counts and the best are computed for all three, and only losing the touch branches off.
    """
    cdef int64_t* quantities = ladder_qty(l)
    cdef uint64_t* words = ladder_words(l)
    cdef int64_t old, best = l.best_key, better
    cdef uint64_t present = qty != 0, word
    cdef uint32_t slot, i
    if unlikely(<uint64_t>key - <uint64_t>l.base_key >= l.ticks):
        return ladder_set_outside(l, key, qty)
    if unlikely(key <= l.horizon_key):
        # Nothing is held there, so there is nothing to change or delete.
        return BOOK_FULL if present else OK
    slot = <uint32_t>(<uint64_t>key & (l.ticks - 1))
    i = slot >> 6
    old = quantities[slot]
    quantities[slot] = qty
    word = (words[i] & ~(<uint64_t>1 << (slot & 63))) | present << (slot & 63)
    words[i] = word
    l.summary = (l.summary & ~(<uint64_t>1 << i)) | <uint64_t>(word != 0) << i
    l.total_lots += qty - old
    l.window_count += <uint32_t>present - <uint32_t>(old != 0)
    better = key if present else INT64_MIN
    l.best_key = better if better > best else best
    if unlikely((key == best) & (present == 0)):
        ladder_touch_lost(l, key)
    return ladder_trim(l)


# ------------------------------------------------------------------------------------------------- the walk
cdef inline ladder_cursor_t ladder_cursor(const ladder_t* l) noexcept nogil:
    cdef ladder_cursor_t cursor
    cursor.key = l.best_key
    cursor.qty = 0
    cursor.left_in_window = l.window_count
    cursor.started = 0
    cursor.entry = l.chunk_count
    cursor.at = ladder_directory(l)[l.chunk_count - 1].count if l.chunk_count > 0 else 0
    return cursor


cdef inline bint ladder_next(const ladder_t* l, ladder_cursor_t* cursor) noexcept nogil:
    """Step to the next worse level; false behind the last one."""
    cdef uint32_t mask = l.ticks - 1, slot
    cdef const ladder_chunk_t* chunk
    if cursor.left_in_window > 0:
        if cursor.started:
            slot = <uint32_t>(<uint64_t>cursor.key & mask)
            cursor.key -= <int64_t>((slot - ladder_below(l, slot)) & mask)
        cursor.started = 1
        cursor.left_in_window -= 1
        cursor.qty = ladder_qty(l)[<uint64_t>cursor.key & mask]
        return True
    if cursor.entry == 0:
        return False
    chunk = &ladder_chunks(l)[ladder_directory(l)[cursor.entry - 1].chunk]
    cursor.at -= 1
    cursor.key = chunk.key[cursor.at]
    cursor.qty = chunk.qty[cursor.at]
    if cursor.at == 0:
        cursor.entry -= 1
        if cursor.entry > 0:
            cursor.at = ladder_directory(l)[cursor.entry - 1].count
    return True


# ------------------------------------------------------------------------------------------------- memory
cdef inline size_t ladder_round(size_t size) noexcept nogil:
    return (size + 63) & ~<size_t>63


cdef inline uint32_t ladder_chunk_max(uint32_t levels_max) noexcept nogil:
    return levels_max // 8 + 2


cdef inline size_t ladder_bytes(uint32_t ticks, uint32_t levels_max) noexcept nogil:
    """Bytes of the arrays behind the header."""
    cdef size_t chunks = ladder_chunk_max(levels_max)
    return (ladder_round(<size_t>((ticks + 63) // 64) * 8) + ladder_round(<size_t>ticks * 8)
            + ladder_round(chunks * sizeof(ladder_entry_t)) + ladder_round(chunks * 4)
            + ladder_round(chunks * sizeof(ladder_chunk_t)))


cdef inline void ladder_clear(ladder_t* l) noexcept nogil:
    """Forget every level and the horizon. The window stays where it was: the next touch is likely near."""
    cdef uint32_t i
    if l.window_count > 0:
        memset(ladder_qty(l), 0, <size_t>l.ticks * 8)
        memset(ladder_words(l), 0, <size_t>((l.ticks + 63) // 64) * 8)
    l.best_key = INT64_MIN
    l.horizon_key = INT64_MIN
    l.total_lots = 0
    l.summary = 0
    l.window_count = 0
    l.over_count = 0
    l.chunk_count = 0
    l.free_count = l.chunk_max
    for i in range(l.chunk_max):
        ladder_free(l)[i] = l.chunk_max - 1 - i


cdef inline void ladder_init(ladder_t* l, char* arrays, uint32_t ticks, uint32_t levels_max) noexcept nogil:
    """Lay the arrays out in `ladder_bytes` zeroed bytes at `arrays`, which follow the header in the same block."""
    cdef size_t at = <size_t>(arrays - <char*>l)
    memset(l, 0, sizeof(ladder_t))
    l.ticks = ticks
    l.levels_max = levels_max
    l.chunk_max = ladder_chunk_max(levels_max)
    l.offset_words = <uint32_t>at
    at += ladder_round(<size_t>((ticks + 63) // 64) * 8)
    l.offset_qty = <uint32_t>at
    at += ladder_round(<size_t>ticks * 8)
    l.offset_directory = <uint32_t>at
    at += ladder_round(<size_t>l.chunk_max * sizeof(ladder_entry_t))
    l.offset_free = <uint32_t>at
    at += ladder_round(<size_t>l.chunk_max * 4)
    l.offset_chunks = <uint32_t>at
    memset(arrays, 0, ladder_bytes(ticks, levels_max))
    ladder_clear(l)

"""A walk over the invariants of a ladder, for `check` of the books. Raises AssertionError with what is broken."""
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t

from engine._core.ladder cimport (
    LADDER_MERGE, ladder_chunk_t, ladder_chunks, ladder_cursor, ladder_directory, ladder_entry_t, ladder_next,
    ladder_qty, ladder_t, ladder_words,
)


cdef inline int check_ladder(const ladder_t* l) except -1:
    cdef uint32_t slot, word
    cdef uint64_t summary = 0
    mask = l.ticks - 1
    in_window, total = {}, 0
    for slot in range(l.ticks):
        quantity = ladder_qty(l)[slot]
        bit = ladder_words(l)[slot >> 6] >> (slot & 63) & 1
        assert bit == (quantity != 0) and quantity >= 0, f"bitmap and quantity disagree at slot {slot}"
        if quantity:
            in_window[l.base_key + <int64_t>((slot - (<uint64_t>l.base_key & mask)) & mask)] = quantity
    for word in range((l.ticks + 63) // 64):
        summary |= <uint64_t>(ladder_words(l)[word] != 0) << word
    assert summary == l.summary, "summary and bitmap disagree"
    assert len(in_window) == l.window_count, "window count"
    overflow = check_overflow(l)
    best = max(in_window) if in_window else INT64_MIN
    assert best == l.best_key, f"best is {best}, not {l.best_key}"
    assert not overflow or max(overflow) < l.base_key, "the overflow reaches into the window"
    assert in_window or not overflow, "levels in the overflow and none in the window"
    assert len(in_window) + len(overflow) <= l.levels_max, "more levels than the capacity"
    # No generators here: an inline function cannot hold one.
    for key in [*overflow[:1], *in_window]:
        assert key > l.horizon_key, "a level beyond the horizon"
    cursor = ladder_cursor(l)
    walked = []
    while ladder_next(l, &cursor):
        walked.append(cursor.key)
        total += cursor.qty
    assert walked == sorted(in_window, reverse=True) + overflow[::-1], "the walk misses levels"
    assert total == l.total_lots, "total and levels disagree"
    return 0


cdef inline list check_overflow(const ladder_t* l):
    cdef const ladder_entry_t* place
    cdef const ladder_chunk_t* chunk
    cdef uint32_t entry
    keys, used = [], []
    for entry in range(l.chunk_count):
        place = &ladder_directory(l)[entry]
        chunk = &ladder_chunks(l)[place.chunk]
        assert 1 <= place.count <= 32, "an empty or overfull chunk"
        keys += [chunk.key[i] for i in range(place.count)]
        assert min([chunk.qty[i] for i in range(place.count)]) > 0, "a level without quantity in the overflow"
        assert chunk.key[place.count - 1] == place.key_last, "directory and chunk disagree"
        if used:
            assert place.count + ladder_directory(l)[entry - 1].count > LADDER_MERGE, "neighbours that should be joined"
        used.append(place.chunk)
    assert keys == sorted(set(keys)), "the overflow is not sorted"
    assert len(keys) == l.over_count, "overflow count"
    assert len(set(used)) == len(used) and len(used) + l.free_count == l.chunk_max, "chunks lost or used twice"
    return keys

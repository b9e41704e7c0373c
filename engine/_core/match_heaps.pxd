"""Three heaps of slot numbers: triggers above the price, triggers below it, expiry.

Owns: their order, and each order's place in them. Does not own: what happens to the first one. Ties go to the older
number. `which` is 0, 1 and 2 in the order above. Cost: a step for each doubling of the orders that wait.
"""
from libc.stdint cimport int64_t, uint32_t
from engine._core.match cimport match_order_t, match_orders, match_t
from engine._core.match_slots cimport numbers_at


cdef inline bint heap_before(const match_t* m, int which, uint32_t a, uint32_t b) noexcept nogil:
    cdef match_order_t* x = &match_orders(m)[a]
    cdef match_order_t* y = &match_orders(m)[b]
    cdef int64_t left, right
    if which == 2:
        left, right = x.expire_ns, y.expire_ns
    elif which == 0:
        left, right = x.trigger_px, y.trigger_px
    else:
        left, right = y.trigger_px, x.trigger_px
    return left < right or (left == right and x.id < y.id)


cdef inline uint32_t* heap_of(match_t* m, int which, uint32_t** count) noexcept nogil:
    if which == 0:
        count[0] = &m.above_count
        return numbers_at(m, m.offset_above)
    if which == 1:
        count[0] = &m.below_count
        return numbers_at(m, m.offset_below)
    count[0] = &m.expire_count
    return numbers_at(m, m.offset_expire)


cdef inline void heap_put(match_t* m, int which, uint32_t* heap, uint32_t at, uint32_t index) noexcept nogil:
    heap[at] = index
    if which == 2:
        match_orders(m)[index].expire_at = at + 1
    else:
        match_orders(m)[index].trigger_at = at + 1


cdef inline void heap_sift(match_t* m, int which, uint32_t* heap, uint32_t count, uint32_t at, uint32_t index) noexcept nogil:
    """Let `index` find its place, up or down, from the hole at `at`."""
    cdef uint32_t child
    while at > 0 and heap_before(m, which, index, heap[(at - 1) // 2]):
        heap_put(m, which, heap, at, heap[(at - 1) // 2])
        at = (at - 1) // 2
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and heap_before(m, which, heap[child + 1], heap[child]):
            child += 1
        if not heap_before(m, which, heap[child], index):
            break
        heap_put(m, which, heap, at, heap[child])
        at = child
    heap_put(m, which, heap, at, index)


cdef inline void heap_add(match_t* m, int which, uint32_t index) noexcept nogil:
    cdef uint32_t* count
    cdef uint32_t* heap = heap_of(m, which, &count)
    count[0] += 1
    heap_sift(m, which, heap, count[0], count[0] - 1, index)


cdef inline void heap_remove(match_t* m, int which, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    cdef uint32_t* count
    cdef uint32_t* heap = heap_of(m, which, &count)
    cdef uint32_t at = (o.expire_at if which == 2 else o.trigger_at) - 1
    count[0] -= 1
    if at != count[0]:
        heap_sift(m, which, heap, count[0], at, heap[count[0]])
    if which == 2:
        o.expire_at = 0
    else:
        o.trigger_at = 0

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.atomics cimport add_relaxed, load_relaxed_u32, store_relaxed_u32
from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport ARENA_BAD_SIZE, raise_status

cdef uint32_t INDEX_MASK = (<uint32_t>1 << POOL_INDEX_BITS) - 1
# The highest index stands for "none" in the 22 bits of a chain's link.
cdef uint64_t CAPACITY_MAX = INDEX_MASK
cdef uint64_t OBJECT_MAX = <uint64_t>1 << 20


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(pool_t) == 192)
    static_assert_c(sizeof(pool_slot_t) == 16)
    static_assert_c(sizeof(pool_cache_t) == 64)
    static_assert_c(<size_t>&(<pool_t*>NULL).free_first == 64)
    static_assert_c(<size_t>&(<pool_t*>NULL).shared == 128)
    static_assert_c(POOL_CHAIN < 1024)


cdef uint64_t _objects_at(uint64_t capacity) noexcept nogil:
    return (sizeof(pool_t) + capacity * sizeof(pool_slot_t) + 63) & ~<uint64_t>63


cdef size_t pool_bytes(uint64_t capacity, uint64_t object_size) noexcept nogil:
    return <size_t>(_objects_at(capacity) + capacity * object_size)


cdef int pool_init(pool_t* p, uint64_t capacity, uint64_t object_size, uint32_t tag, bint shared) noexcept nogil:
    """Make a pool with every object free in a block of `pool_bytes` bytes that starts on a cache line."""
    cdef uint32_t i, first, length
    if capacity < 1 or capacity > CAPACITY_MAX or tag < 1 or tag > 255:
        return ARENA_BAD_SIZE
    if object_size < 8 or object_size > OBJECT_MAX or object_size % 8:
        return ARENA_BAD_SIZE
    memset(p, 0, pool_bytes(capacity, object_size))
    p.capacity = <uint32_t>capacity
    p.tag = tag
    p.object_size = object_size
    p.objects_at = _objects_at(capacity)
    p.free_first = POOL_NONE
    p.shared = INDEX_MASK
    if not shared:
        for i in range(p.capacity):
            pool_slot(p, i).next = i + 1 if i + 1 < p.capacity else POOL_NONE
        p.free_first = 0
        return OK
    # From the top down, so that the first chain handed out is the one with the lowest indices.
    first = (p.capacity - 1) // POOL_CHAIN * POOL_CHAIN
    while True:
        length = min(<uint32_t>POOL_CHAIN, p.capacity - first)
        for i in range(length):
            pool_slot(p, first + i).next = first + i + 1 if i + 1 < length else POOL_NONE
        _push(p, first, length)
        if first == 0:
            return OK
        first -= POOL_CHAIN


cdef int pool_why(const pool_t* p, uint64_t handle, bint freeing) noexcept nogil:
    """What is wrong with a handle; OK when its object lives."""
    cdef uint64_t generation = pool_generation(handle), current
    if not pool_fits(p, handle) or not generation & 1:
        return POOL_BAD_HANDLE
    current = load_acquire(&pool_slot(p, pool_index(handle)).generation)
    if generation == current:
        return OK
    if generation > current:
        return POOL_BAD_HANDLE                # a life that has not begun: this pool never gave it out
    # Freed and not yet reused: certainly a second free. Later the slot has a new life and nobody can tell any more
    # whether the handle's holder freed it; then it is stale.
    return POOL_DOUBLE_FREE if freeing and generation + 1 == current else POOL_STALE_HANDLE


cdef void pool_retire(pool_t* p) noexcept nogil:
    add_relaxed(&p.retired_count, 1)


# ------------------------------------------------------------------------------------------------- the shared list
cdef void _push(pool_t* p, uint32_t first, uint32_t length) noexcept nogil:
    """Put a chain on the shared list."""
    cdef uint64_t top = load_relaxed(&p.shared)
    while True:
        # Relaxed: read by others only between their load of the top and a compare-and-swap that then fails.
        store_relaxed_u32(&pool_slot(p, first).next_chain, length << POOL_INDEX_BITS | (<uint32_t>top & INDEX_MASK))
        # Release: the links of the chain are written before anyone can take it.
        if cas_acq_rel(&p.shared, &top, ((top >> 32) + 1) << 32 | first):
            return


cdef uint32_t _pop(pool_t* p, uint32_t* length) noexcept nogil:
    """Take a chain from the shared list; POOL_NONE when it is empty."""
    # Acquire, here and in the failing compare-and-swap: the link we read next was written before the top was.
    cdef uint64_t top = load_acquire(&p.shared)
    cdef uint32_t first, link
    while True:
        first = <uint32_t>top & INDEX_MASK
        if first == INDEX_MASK:
            return POOL_NONE
        # Another thread may take this chain now, hand out its slots and push it back with another link. The version
        # in the upper half has moved then and our swap fails. It would have to move 2**32 times in between to fool us.
        link = load_relaxed_u32(&pool_slot(p, first).next_chain)
        if cas_acq_rel(&p.shared, &top, ((top >> 32) + 1) << 32 | (link & INDEX_MASK)):
            length[0] = link >> POOL_INDEX_BITS
            return first


cdef void pool_cache_init(pool_cache_t* cache) noexcept nogil:
    """An empty cache that belongs to the calling thread."""
    memset(cache, 0, sizeof(pool_cache_t))
    cache.owner = thread_token()
    cache.active_first = cache.spare_first = POOL_NONE


cdef int pool_cache_refill(pool_t* p, pool_cache_t* cache) noexcept nogil:
    cdef uint32_t length = 0, first
    if cache.spare_count:
        cache.active_first, cache.active_count = cache.spare_first, cache.spare_count
        cache.spare_first, cache.spare_count = POOL_NONE, 0
        return OK
    first = _pop(p, &length)
    if first == POOL_NONE:
        cache.exhausted_count += 1
        return POOL_EXHAUSTED
    cache.refilled_count += 1
    cache.active_first, cache.active_count = first, length
    return OK


cdef void pool_cache_spill(pool_t* p, pool_cache_t* cache) noexcept nogil:
    """The active chain is full: make it the spare, and give the old spare to everybody."""
    if cache.spare_count:
        _push(p, cache.spare_first, cache.spare_count)
    cache.spare_first, cache.spare_count = cache.active_first, cache.active_count
    cache.active_first, cache.active_count = POOL_NONE, 0


cdef int pool_cache_flush(pool_t* p, pool_cache_t* cache) noexcept nogil:
    """Give every free slot back, before the thread ends; what a cache holds is out of the others' reach."""
    if cache.owner != thread_token():
        return POOL_WRONG_THREAD
    if cache.active_count:
        _push(p, cache.active_first, cache.active_count)
    if cache.spare_count:
        _push(p, cache.spare_first, cache.spare_count)
    cache.active_first = cache.spare_first = POOL_NONE
    cache.active_count = cache.spare_count = 0
    return OK


# ---------------------------------------------------------------------------------------------------- the Python face
cdef object _read(const pool_t* p, uint64_t handle):
    cdef void* at = pool_get(p, handle)
    if at == NULL:
        raise_status(pool_why(p, handle, False), f"handle {handle:#x}")
    return (<const char*>at)[:p.object_size]


@cython.final
cdef class Pool:
    """A pool in a block of its own. With `shared=True` it is used through one `cache()` per thread."""

    def __cinit__(self, uint64_t capacity, *, uint64_t object_size=64, uint32_t tag=1, bint shared=False):
        if not (1 <= capacity <= CAPACITY_MAX and 8 <= object_size <= OBJECT_MAX and object_size % 8 == 0
                and 1 <= tag <= 255):
            raise_status(ARENA_BAD_SIZE, f"capacity={capacity}, object_size={object_size}, tag={tag}")
        self.c = <pool_t*>block_new(pool_bytes(capacity, object_size))
        self.shared = shared
        pool_init(self.c, capacity, object_size, tag, shared)

    def __dealloc__(self):
        block_free(self.c)

    def alloc(self):
        """A handle to a zeroed object."""
        cdef uint64_t handle = 0
        cdef int status = POOL_WRONG_THREAD if self.shared else pool_alloc(self.c, &handle)
        if status != OK:
            raise_status(status, f"capacity {self.c.capacity}")
        return handle

    def free(self, uint64_t handle):
        cdef int status = POOL_WRONG_THREAD if self.shared else pool_free(self.c, handle)
        if status != OK:
            raise_status(status, f"handle {handle:#x}")

    def cache(self):
        """This thread's cache of a shared pool."""
        if not self.shared:
            raise_status(POOL_WRONG_THREAD, "the pool was not made with shared=True")
        return PoolCache(self)

    def read(self, uint64_t handle):
        """A copy of the object's bytes."""
        return _read(self.c, handle)

    def write(self, uint64_t handle, const uint8_t[::1] data not None):
        """Overwrite the object's first bytes."""
        cdef void* at = pool_get(self.c, handle)
        if at == NULL:
            raise_status(pool_why(self.c, handle, False), f"handle {handle:#x}")
        if <uint64_t>data.shape[0] > self.c.object_size:
            raise_status(ARENA_BAD_SIZE, f"{data.shape[0]} bytes into {self.c.object_size}")
        if data.shape[0]:
            memcpy(at, &data[0], data.shape[0])

    def alive(self, uint64_t handle):
        return pool_get(self.c, handle) != NULL

    def age(self, uint32_t index, uint64_t lives):
        """Make a free slot look as if it had lived `lives` times: the way to see a slot retire without 2**33 turns."""
        cdef pool_slot_t* slot
        if index >= self.c.capacity or lives > POOL_GENERATION_MAX // 2:
            raise_status(ARENA_BAD_SIZE, f"slot {index}, lives {lives}")
        slot = pool_slot(self.c, index)
        if slot.generation & 1:
            raise_status(POOL_BAD_HANDLE, f"slot {index} is live")
        slot.generation = lives * 2

    @property
    def capacity(self):
        return self.c.capacity

    @property
    def object_size(self):
        return self.c.object_size

    @property
    def live_count(self):
        """Objects alive. Of a shared pool: counted over all slots, exact while no other thread uses it."""
        cdef uint64_t count = 0
        cdef uint32_t i
        if not self.shared:
            return self.c.live_count
        for i in range(self.c.capacity):
            count += load_acquire(&pool_slot(self.c, i).generation) & 1
        return count

    @property
    def retired_count(self):
        return load_relaxed(&self.c.retired_count)

    @property
    def exhausted_count(self):
        return self.c.exhausted_count

    def check(self, *caches):
        """Walk the invariants, while no other thread uses the pool. Of a shared pool: name all its caches."""
        cdef pool_t* p = self.c
        cdef PoolCache cache
        cdef uint32_t first
        cdef uint64_t top = load_acquire(&p.shared)
        free = _walk(p, p.free_first)
        for cache in caches:
            for first, count in ((cache.c.active_first, cache.c.active_count),
                                 (cache.c.spare_first, cache.c.spare_count)):
                chain = _walk(p, first)
                assert len(chain) == count <= POOL_CHAIN, "a cache's chain has another length"
                free += chain
        first = <uint32_t>top & INDEX_MASK
        while first != INDEX_MASK:
            chain = _walk(p, first)
            link = pool_slot(p, first).next_chain
            assert len(chain) == link >> POOL_INDEX_BITS, "a shared chain has another length"
            free += chain
            first = link & INDEX_MASK
        assert len(set(free)) == len(free), "a slot is free twice"
        for index in free:
            assert not pool_slot(p, index).generation & 1, "a live slot is on a free list"
        assert len(free) + self.live_count + self.retired_count == p.capacity, "a slot was lost"


cdef list _walk(pool_t* p, uint32_t index):
    cdef list found = []
    while index != POOL_NONE:
        assert index < p.capacity and len(found) <= p.capacity, "a free list is broken"
        found.append(index)
        index = pool_slot(p, index).next
    return found


@cython.final
cdef class PoolCache:
    """One thread's way into a shared pool; made by `Pool.cache` on that thread."""

    def __cinit__(self, Pool pool not None):
        self.pool = pool
        self.c = <pool_cache_t*>block_new(sizeof(pool_cache_t))
        pool_cache_init(self.c)

    def __dealloc__(self):
        block_free(self.c)

    def alloc(self):
        cdef uint64_t handle = 0
        cdef int status = pool_cache_alloc(self.pool.c, self.c, &handle)
        if status != OK:
            raise_status(status, f"capacity {self.pool.c.capacity}")
        return handle

    def free(self, uint64_t handle):
        cdef int status = pool_cache_free(self.pool.c, self.c, handle)
        if status != OK:
            raise_status(status, f"handle {handle:#x}")

    def flush(self):
        """Give the free slots held here back to everybody."""
        cdef int status = pool_cache_flush(self.pool.c, self.c)
        if status != OK:
            raise_status(status)

    @property
    def held_count(self):
        """Free slots out of other threads' reach; at most two chains."""
        return self.c.active_count + self.c.spare_count

"""Pool: a fixed number of objects of one size in one block, named by handles that cannot go stale unnoticed.

Owns: the objects' memory, their free list (indices, no pointers), their generations. Does not own: what is in them;
an object is zeroed when it is given out.

A handle is 64 bits: tag of the pool (8), generation (34), index (22). The generation of a slot grows by one at
every alloc and at every free, so it is odd while the object lives, and a handle is valid for exactly one life. It
never wraps: a slot that has lived 2**33 - 1 times is retired, not reused (one slot alloc'd and freed every 10 ns
without pause lasts 86 s and costs one slot then; 1000 such slots are 1000 seats of 2**33 lives each). Handle 0 is
never given out.

Two forms over the same block. Core form (`pool_alloc`, `pool_free`): one thread at a time, plain words. Thread-local
form (`pool_cache_*`): each thread allocs from and frees to a cache of its own and exchanges chains of CHAIN free
slots with the shared list; any thread may free what another one alloc'd. A block is used through one form only.

Invariants: every slot is exactly one of live, free (in one list) or retired; live + free + retired = capacity.
Cost: 2 to 4 ns alloc + free in the core form (zeroing 64 bytes included), about 10 in the thread-local one.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from engine._core.atomics cimport cas_acq_rel, load_acquire, load_relaxed, store_relaxed
from engine._core.debug cimport debug_assert, likely, unlikely
from engine._core.types cimport (
    OK,
    POOL_BAD_HANDLE,
    POOL_DOUBLE_FREE,
    POOL_EXHAUSTED,
    POOL_STALE_HANDLE,
    POOL_WRONG_THREAD,
)


cdef enum:
    POOL_INDEX_BITS = 22
    POOL_NONE = 0xFFFFFFFF        # end of a list
    POOL_CHAIN = 64               # free slots that change hands at once between a cache and the shared list

cdef extern from * nogil:
    """
    #include <pthread.h>
    #define BOT4_POOL_GENERATION_MAX (((uint64_t)1 << 34) - 1)
    /* The thread's own address is one load; where the compiler cannot say it, a call to libpthread. */
    #if defined(__has_builtin)
    #if __has_builtin(__builtin_thread_pointer)
    #define bot4_thread_token() ((uint64_t)(uintptr_t)__builtin_thread_pointer())
    #endif
    #endif
    #ifndef bot4_thread_token
    #define bot4_thread_token() ((uint64_t)pthread_self())
    #endif
    """
    const uint64_t POOL_GENERATION_MAX "BOT4_POOL_GENERATION_MAX"
    uint64_t thread_token "bot4_thread_token"() noexcept


cdef struct pool_slot_t:          # apart from the objects: four of them share a line, and a handle check reads one
    uint64_t generation           # odd while live
    uint32_t next                 # in a free list: the slot after this one
    uint32_t next_chain           # first slot of a chain in the shared list: its length (10), first of the chain below (22)


cdef struct pool_t:
    # Line 0: set at start, then only read.
    uint32_t capacity
    uint32_t tag                  # 1 to 255
    uint64_t object_size          # a multiple of 8
    uint64_t objects_at           # offset from the start of the block
    uint64_t reserved0[5]
    # Line 1: core form.
    uint32_t free_first
    uint32_t live_count
    uint64_t exhausted_count
    uint64_t reserved1[6]
    # Line 2: thread-local form. Chains of free slots: low half the first slot of the top chain, high half a version
    # that every change raises, so that a chain which left and came back is not mistaken for the old one (ABA).
    uint64_t shared
    uint64_t retired_count        # both forms
    uint64_t reserved2[6]
    # pool_slot_t slots[capacity], then the objects on cache lines, follow.


cdef struct pool_cache_t:         # one line, one thread
    uint64_t owner
    uint32_t active_first
    uint32_t active_count
    uint32_t spare_first          # a whole chain in hand, so that alloc, free, alloc at a boundary never thrashes
    uint32_t spare_count
    uint64_t alloc_count
    uint64_t free_count
    uint64_t exhausted_count
    uint64_t refilled_count
    uint64_t reserved


cdef size_t pool_bytes(uint64_t capacity, uint64_t object_size) noexcept nogil
cdef int pool_init(pool_t* p, uint64_t capacity, uint64_t object_size, uint32_t tag, bint shared) noexcept nogil
cdef int pool_why(const pool_t* p, uint64_t handle, bint freeing) noexcept nogil
cdef int pool_cache_refill(pool_t* p, pool_cache_t* cache) noexcept nogil
cdef void pool_cache_spill(pool_t* p, pool_cache_t* cache) noexcept nogil
cdef void pool_cache_init(pool_cache_t* cache) noexcept nogil
cdef int pool_cache_flush(pool_t* p, pool_cache_t* cache) noexcept nogil


cdef inline pool_slot_t* pool_slot(const pool_t* p, uint32_t index) noexcept nogil:
    debug_assert(index < p.capacity)
    return <pool_slot_t*>(p + 1) + index


cdef inline void* pool_object(const pool_t* p, uint32_t index) noexcept nogil:
    return <char*>p + p.objects_at + index * p.object_size


cdef inline uint32_t pool_index(uint64_t handle) noexcept nogil:
    return <uint32_t>(handle & ((<uint64_t>1 << POOL_INDEX_BITS) - 1))


cdef inline uint64_t pool_generation(uint64_t handle) noexcept nogil:
    return (handle >> POOL_INDEX_BITS) & POOL_GENERATION_MAX


cdef inline uint64_t pool_handle(const pool_t* p, uint32_t index, uint64_t generation) noexcept nogil:
    return <uint64_t>p.tag << 56 | generation << POOL_INDEX_BITS | index


cdef inline bint pool_fits(const pool_t* p, uint64_t handle) noexcept nogil:
    """The handle could be one of this pool's: right tag, index in range."""
    return handle >> 56 == p.tag and pool_index(handle) < p.capacity


cdef inline void pool_clear(const pool_t* p, uint32_t index) noexcept nogil:
    # One line is by far the commonest size; a memset of known length is four stores, one of unknown length a call.
    if likely(p.object_size == 64):
        memset(pool_object(p, index), 0, 64)
    else:
        memset(pool_object(p, index), 0, p.object_size)


cdef inline void* pool_get(const pool_t* p, uint64_t handle) noexcept nogil:
    """The object, or NULL when the handle is not that of a living object (`pool_why` then says what it is)."""
    # Acquire: whoever sees the generation of a life also sees the zeroing that preceded it. That the object is not
    # freed while it is used is for its holders to agree on, as with any pointer.
    if unlikely(not pool_fits(p, handle)
                or load_acquire(&pool_slot(p, pool_index(handle)).generation) != pool_generation(handle)
                or not pool_generation(handle) & 1):
        return NULL
    return pool_object(p, pool_index(handle))


cdef inline int pool_alloc(pool_t* p, uint64_t* handle) noexcept nogil:
    """Core form: one zeroed object, or POOL_EXHAUSTED."""
    cdef uint32_t index = p.free_first
    cdef pool_slot_t* slot
    if unlikely(index == POOL_NONE):
        p.exhausted_count += 1
        return POOL_EXHAUSTED
    slot = pool_slot(p, index)
    p.free_first = slot.next
    slot.generation += 1
    p.live_count += 1
    pool_clear(p, index)
    handle[0] = pool_handle(p, index, slot.generation)
    return OK


cdef inline int pool_free(pool_t* p, uint64_t handle) noexcept nogil:
    """Core form: end one life. Nothing changes unless the status is OK."""
    cdef uint32_t index = pool_index(handle)
    cdef pool_slot_t* slot
    if unlikely(pool_get(p, handle) == NULL):
        return pool_why(p, handle, True)
    slot = pool_slot(p, index)
    p.live_count -= 1
    if unlikely(slot.generation == POOL_GENERATION_MAX):
        # The last life this slot had. Its generation stays odd and no handle of it is valid any more: see `pool_why`.
        slot.generation = POOL_GENERATION_MAX + 1
        p.retired_count += 1
        return OK
    slot.generation += 1
    slot.next = p.free_first
    p.free_first = index
    return OK


cdef inline int pool_cache_alloc(pool_t* p, pool_cache_t* cache, uint64_t* handle) noexcept nogil:
    """Thread-local form: one zeroed object; POOL_EXHAUSTED when neither this cache nor the shared list has one."""
    cdef uint32_t index
    cdef uint64_t generation
    cdef pool_slot_t* slot
    cdef int status
    if unlikely(cache.owner != thread_token()):
        return POOL_WRONG_THREAD
    if unlikely(cache.active_count == 0):
        status = pool_cache_refill(p, cache)
        if status != OK:
            return status
    index = cache.active_first
    slot = pool_slot(p, index)
    cache.active_first = slot.next
    cache.active_count -= 1
    cache.alloc_count += 1
    pool_clear(p, index)
    # Relaxed: the slot is ours alone. Holders of old handles may read this word and must only not see it torn; who
    # gets the new handle gets it through a ring or a lock, which orders the zeroing before it.
    generation = load_relaxed(&slot.generation) + 1
    store_relaxed(&slot.generation, generation)
    handle[0] = pool_handle(p, index, generation)
    return OK


cdef inline int pool_cache_free(pool_t* p, pool_cache_t* cache, uint64_t handle) noexcept nogil:
    """Thread-local form: end one life, whichever thread began it. Of two threads that free it at once one succeeds."""
    cdef uint32_t index = pool_index(handle)
    cdef uint64_t expected = pool_generation(handle)
    cdef pool_slot_t* slot
    if unlikely(cache.owner != thread_token()):
        return POOL_WRONG_THREAD
    if unlikely(not pool_fits(p, handle) or not expected & 1):
        return POOL_BAD_HANDLE
    slot = pool_slot(p, index)
    # Compare-and-swap: the judge between two frees. Release: our use of the object is over before anyone reuses it.
    if unlikely(not cas_acq_rel(&slot.generation, &expected, pool_generation(handle) + 1)):
        return pool_why(p, handle, True)
    cache.free_count += 1
    if unlikely(pool_generation(handle) == POOL_GENERATION_MAX):
        pool_retire(p)
        return OK
    if unlikely(cache.active_count == POOL_CHAIN):
        pool_cache_spill(p, cache)
    slot.next = cache.active_first
    cache.active_first = index
    cache.active_count += 1
    return OK


cdef void pool_retire(pool_t* p) noexcept nogil


cdef class Pool:
    cdef pool_t* c
    cdef readonly bint shared


cdef class PoolCache:
    cdef Pool pool
    cdef pool_cache_t* c

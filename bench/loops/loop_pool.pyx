"""In-kernel loops over the pool: timed ones for the bench, checked ones for the stress test."""
from libc.stdint cimport int64_t, uint64_t

from bench.loops.timing cimport timing_ns_per_cycle, timing_overhead_cycles, timing_start, timing_stop
from engine._core.pool cimport (
    Pool,
    PoolCache,
    pool_alloc,
    pool_cache_alloc,
    pool_cache_flush,
    pool_cache_free,
    pool_cache_init,
    pool_cache_t,
    pool_free,
    pool_get,
    pool_t,
)
from engine._core.types cimport OK, POOL_DOUBLE_FREE, POOL_STALE_HANDLE

from engine._core.atomics cimport exchange_acq_rel


def alloc_free(Pool pool not None, double[::1] samples_ns, uint64_t[::1] held):
    """Per alloc + free of objects held in a window: sample i frees the window's oldest and allocs in its place, once
    round the whole window. Returns the count of objects freed."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / held.shape[0]
    cdef pool_t* p = pool.c
    cdef uint64_t start, stop, freed = 0, handle = 0
    cdef Py_ssize_t sample, i
    with nogil:
        for i in range(held.shape[0]):
            pool_alloc(p, &held[i])
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(held.shape[0]):
                freed += pool_free(p, held[i]) == OK
                if pool_alloc(p, &handle) == OK:
                    held[i] = handle
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return freed


def alloc_free_cache(PoolCache cache not None, double[::1] samples_ns, uint64_t[::1] held):
    """The same through a thread's cache."""
    cdef double overhead = timing_overhead_cycles(), scale = timing_ns_per_cycle() / held.shape[0]
    cdef pool_t* p = cache.pool.c
    cdef uint64_t start, stop, freed = 0, handle = 0
    cdef Py_ssize_t sample, i
    with nogil:
        for i in range(held.shape[0]):
            pool_cache_alloc(p, cache.c, &held[i])
        for sample in range(samples_ns.shape[0]):
            start = timing_start()
            for i in range(held.shape[0]):
                freed += pool_cache_free(p, cache.c, held[i]) == OK
                if pool_cache_alloc(p, cache.c, &handle) == OK:
                    held[i] = handle
            stop = timing_stop()
            samples_ns[sample] = (<double>(stop - start) - overhead) * scale
    return freed


def churn(Pool pool not None, uint64_t[::1] mailbox, uint64_t turns, uint64_t seed):
    """Alloc, own, check, and free: half of the objects here, half in whichever thread finds them in the mailbox.

    An object carries its handle in every word. If two threads were ever given the same slot,
    one of them finds the other's words. Each handle is freed twice; the second time must be refused.
    Returns (allocs, frees, broken).
    """
    cdef pool_t* p = pool.c
    cdef pool_cache_t cache
    cdef uint64_t turn, at, handle = 0, other, allocs = 0, frees = 0, broken = 0, random = seed | 1
    cdef uint64_t held[256]
    cdef uint64_t* words
    cdef int64_t k, count = 0
    cdef int status
    with nogil:
        pool_cache_init(&cache)
        for turn in range(turns):
            # xorshift: a run repeats from its seed.
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            other = 0
            if count < 256 and random & 1 and pool_cache_alloc(p, &cache, &handle) == OK:
                allocs += 1
                words = <uint64_t*>pool_get(p, handle)
                for k in range(8):
                    broken += words[k] != 0
                    words[k] = handle
                if random & 6:
                    held[count] = handle
                    count += 1
                else:
                    at = (random >> 8) % <uint64_t>mailbox.shape[0]
                    # Release our words to the finder, acquire those of whoever was there before.
                    other = exchange_acq_rel(&mailbox[at], handle)
            elif count:
                at = (random >> 8) % <uint64_t>count
                other = held[at]
                count -= 1
                held[at] = held[count]
            if other:
                words = <uint64_t*>pool_get(p, other)
                if words == NULL:
                    broken += 1
                else:
                    for k in range(8):
                        broken += words[k] != other
                status = pool_cache_free(p, &cache, other)
                frees += status == OK
                broken += status != OK
                status = pool_cache_free(p, &cache, other)
                broken += status != POOL_DOUBLE_FREE and status != POOL_STALE_HANDLE
        for k in range(count):
            status = pool_cache_free(p, &cache, held[k])
            frees += status == OK
            broken += status != OK
        pool_cache_flush(p, &cache)
    return allocs, frees, broken

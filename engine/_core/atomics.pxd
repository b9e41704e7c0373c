"""Atomic loads, stores and read-modify-writes, with the memory order in the name.

Owns nothing: every function is a compiler builtin behind a name. The order is part of the name so that a reader
of a kernel sees it at the call, and so that a review can grep for every release store in the engine. Correct on
x86-64 and on aarch64; on x86-64 an acquire load and a release store are plain moves, on aarch64 they are not.

Rule: a word that two threads touch is touched through these functions only, by both.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from * nogil:
    """
    #define bot4_load_relaxed(p)        __atomic_load_n((p), __ATOMIC_RELAXED)
    #define bot4_load_acquire(p)        __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define bot4_load_seq_cst(p)        __atomic_load_n((p), __ATOMIC_SEQ_CST)
    #define bot4_store_relaxed(p, v)    __atomic_store_n((p), (v), __ATOMIC_RELAXED)
    #define bot4_store_release(p, v)    __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define bot4_store_seq_cst(p, v)    __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
    #define bot4_add_relaxed(p, v)      __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
    #define bot4_add_acq_rel(p, v)      __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
    #define bot4_or_acq_rel(p, v)       __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
    #define bot4_and_acq_rel(p, v)      __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
    #define bot4_exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
    #define bot4_cas_acq_rel(p, e, v)   __atomic_compare_exchange_n((p), (e), (v), 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
    #define bot4_fence_seq_cst()        __atomic_thread_fence(__ATOMIC_SEQ_CST)
    #define bot4_fence_compiler()       __atomic_signal_fence(__ATOMIC_SEQ_CST)
    #if defined(__x86_64__)
    #define bot4_cpu_relax()            __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define bot4_cpu_relax()            __asm__ __volatile__("yield" ::: "memory")
    #else
    #define bot4_cpu_relax()            __asm__ __volatile__("" ::: "memory")
    #endif
    """
    uint8_t load_relaxed_u8 "bot4_load_relaxed"(const uint8_t* p) noexcept
    uint8_t load_acquire_u8 "bot4_load_acquire"(const uint8_t* p) noexcept
    void store_release_u8 "bot4_store_release"(uint8_t* p, uint8_t v) noexcept
    uint32_t load_relaxed_u32 "bot4_load_relaxed"(const uint32_t* p) noexcept
    uint32_t load_acquire_u32 "bot4_load_acquire"(const uint32_t* p) noexcept
    void store_relaxed_u32 "bot4_store_relaxed"(uint32_t* p, uint32_t v) noexcept
    void store_release_u32 "bot4_store_release"(uint32_t* p, uint32_t v) noexcept
    uint32_t or_acq_rel_u32 "bot4_or_acq_rel"(uint32_t* p, uint32_t v) noexcept
    uint32_t and_acq_rel_u32 "bot4_and_acq_rel"(uint32_t* p, uint32_t v) noexcept
    uint32_t exchange_acq_rel_u32 "bot4_exchange_acq_rel"(uint32_t* p, uint32_t v) noexcept
    uint32_t add_relaxed_u32 "bot4_add_relaxed"(uint32_t* p, uint32_t v) noexcept
    bint cas_acq_rel_u32 "bot4_cas_acq_rel"(uint32_t* p, uint32_t* expected, uint32_t v) noexcept

    int64_t load_relaxed_i64 "bot4_load_relaxed"(const int64_t* p) noexcept
    int64_t load_acquire_i64 "bot4_load_acquire"(const int64_t* p) noexcept
    void store_relaxed_i64 "bot4_store_relaxed"(int64_t* p, int64_t v) noexcept
    void store_release_i64 "bot4_store_release"(int64_t* p, int64_t v) noexcept

    uint64_t load_relaxed "bot4_load_relaxed"(const uint64_t* p) noexcept
    uint64_t load_acquire "bot4_load_acquire"(const uint64_t* p) noexcept
    uint64_t load_seq_cst "bot4_load_seq_cst"(const uint64_t* p) noexcept
    void store_relaxed "bot4_store_relaxed"(uint64_t* p, uint64_t v) noexcept
    void store_release "bot4_store_release"(uint64_t* p, uint64_t v) noexcept
    void store_seq_cst "bot4_store_seq_cst"(uint64_t* p, uint64_t v) noexcept
    uint64_t add_relaxed "bot4_add_relaxed"(uint64_t* p, uint64_t v) noexcept
    uint64_t add_acq_rel "bot4_add_acq_rel"(uint64_t* p, uint64_t v) noexcept
    uint64_t or_acq_rel "bot4_or_acq_rel"(uint64_t* p, uint64_t v) noexcept
    uint64_t and_acq_rel "bot4_and_acq_rel"(uint64_t* p, uint64_t v) noexcept
    uint64_t exchange_acq_rel "bot4_exchange_acq_rel"(uint64_t* p, uint64_t v) noexcept
    bint cas_acq_rel "bot4_cas_acq_rel"(uint64_t* p, uint64_t* expected, uint64_t v) noexcept
    void fence_seq_cst "bot4_fence_seq_cst"() noexcept

    # Orders the compiler only, at no cost. The processor is ordered by the other side: see `ring_wait`.
    void fence_compiler "bot4_fence_compiler"() noexcept

    # Says to the core "I am spinning": frees the sibling hyper-thread and saves power. Not a scheduler call.
    void cpu_relax "bot4_cpu_relax"() noexcept

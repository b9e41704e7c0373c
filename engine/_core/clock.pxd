"""The only module that reads a clock.

Everything else is told the time: it stands in the events, and in one word that the driver stamps once a message.
With `manual` set the word moves only when somebody sets it: replay, backtest and tests own the time then.

Reading the cycle counter costs about 10 ns in a virtual machine, the kernel's clock about 25, the word about 1.
UTC is never derived from the counter alone: it is re-anchored to the kernel's clock at every `clock_anchor`, which
bounds the drift to the counter's error over that interval. Invariant: the word never runs backwards.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef struct clock_word_t:         # one cache line, one writer, any number of readers
    int64_t now_ns                # UTC
    int64_t anchor_utc_ns
    uint64_t anchor_cycles
    uint64_t ns_per_cycle_q32     # nanoseconds per cycle, 32 bits behind the point
    uint32_t manual
    uint32_t counter_invariant    # 0: the counter is not used, the kernel's clock is
    uint64_t backwards_count      # readings that would have run backwards and were held
    int64_t reserved[2]


cdef int64_t clock_monotonic_ns() noexcept nogil
cdef int64_t clock_utc_ns() noexcept nogil

cdef extern from * nogil:
    """
    #include <stdint.h>
    #if defined(__x86_64__)
    #include <x86intrin.h>
    static inline uint64_t bot4_cycles(void) { return __rdtsc(); }
    #elif defined(__aarch64__)
    static inline uint64_t bot4_cycles(void) {
        uint64_t v; __asm__ __volatile__("isb; mrs %0, cntvct_el0" : "=r"(v)); return v;
    }
    #else
    #include <time.h>
    static inline uint64_t bot4_cycles(void) {
        struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    #endif
    static inline int64_t bot4_scale_q32(uint64_t cycles, uint64_t ns_per_cycle_q32) {
        return (int64_t)(((unsigned __int128)cycles * ns_per_cycle_q32) >> 32);
    }
    """
    uint64_t clock_cycles "bot4_cycles"() noexcept
    int64_t clock_scale_q32 "bot4_scale_q32"(uint64_t cycles, uint64_t ns_per_cycle_q32) noexcept


# Stamp the word from the hardware and return it. A manual word is returned as it is.
cdef int64_t clock_stamp(clock_word_t* word) noexcept nogil

# The word as it stands: what the hot path calls "now".
cdef inline int64_t clock_now(const clock_word_t* word) noexcept nogil:
    return word.now_ns

cdef void clock_anchor(clock_word_t* word) noexcept nogil


cdef class Clock:
    cdef clock_word_t* c
    cdef bint owns

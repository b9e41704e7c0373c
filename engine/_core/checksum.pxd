"""Two sums over bytes: CRC-32C, which finds damage, and BLAKE2b-256, which a forger cannot meet.

Owns: the polynomial's tables and the choice of instruction. Does not own: what is summed; the tape puts the first on
every record and the second on every block. CRC-32C (Castagnoli, reflected 0x82F63B78) runs on the SSE4.2 or ARMv8
instruction where the CPU has it and on eight tables where not; both give the same bits. `crc32c_*` here are raw: no
inversion at either end, so that a sum can be carried on from record to record. BLAKE2b follows RFC 7693, unkeyed.

Invariant: the chosen instruction is never visible in a result. Cost: 64 bytes are eight dependent instructions, about
8 ns; by table about 40. BLAKE2b takes about 1 ns a byte and runs on the journal's thread only.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__x86_64__)
    #include <immintrin.h>
    #define BOT4_CRC_TARGET __attribute__((target("sse4.2")))
    #define BOT4_CRC_WORD(crc, word) _mm_crc32_u64((crc), (word))
    #elif defined(__aarch64__)
    #include <sys/auxv.h>
    #ifndef HWCAP_CRC32
    #define HWCAP_CRC32 (1 << 7)
    #endif
    #define BOT4_CRC_TARGET __attribute__((target("+crc")))
    #define BOT4_CRC_WORD(crc, word) __builtin_aarch64_crc32cx((uint32_t)(crc), (word))
    #endif
    """


cdef struct blake2b_t:
    uint64_t h[8]
    uint64_t size                 # bytes taken in so far, the buffer's not counted
    uint64_t held                 # bytes in the buffer
    uint8_t buffer[128]


cdef bint crc32c_by_instruction() noexcept nogil
# One aligned-or-not 64-bit word by the tables: the fallback of every loop that has the instruction.
cdef uint32_t crc32c_word_by_table(uint32_t crc, uint64_t word) noexcept nogil
cdef uint32_t crc32c_raw(uint32_t crc, const void* data, size_t size) noexcept nogil

cdef void blake2b_begin(blake2b_t* b) noexcept nogil
cdef void blake2b_add(blake2b_t* b, const void* data, size_t size) noexcept nogil
cdef void blake2b_end(blake2b_t* b, uint8_t* digest_32) noexcept nogil

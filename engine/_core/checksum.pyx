from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import os

from engine._core.isa cimport ISA_V2, isa_level

cdef extern from * nogil:
    """
    static uint32_t bot4_crc_tables[8][256];
    static void bot4_crc_make_tables(void) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = (c >> 1) ^ (0x82F63B78u & (0u - (c & 1)));
            bot4_crc_tables[0][i] = c;
        }
        for (int t = 1; t < 8; t++)
            for (int i = 0; i < 256; i++) {
                uint32_t c = bot4_crc_tables[t - 1][i];
                bot4_crc_tables[t][i] = (c >> 8) ^ bot4_crc_tables[0][c & 255];
            }
    }
    /* Eight look-ups that do not wait for each other: table t holds what a byte does t places further on. */
    static inline uint32_t bot4_crc_word_table(uint32_t crc, uint64_t word) {
        word ^= crc;
        return bot4_crc_tables[7][word & 255] ^ bot4_crc_tables[6][(word >> 8) & 255]
             ^ bot4_crc_tables[5][(word >> 16) & 255] ^ bot4_crc_tables[4][(word >> 24) & 255]
             ^ bot4_crc_tables[3][(word >> 32) & 255] ^ bot4_crc_tables[2][(word >> 40) & 255]
             ^ bot4_crc_tables[1][(word >> 48) & 255] ^ bot4_crc_tables[0][word >> 56];
    }
    static uint32_t bot4_crc_tail(uint32_t crc, const unsigned char *p, size_t size) {
        while (size--) crc = (crc >> 8) ^ bot4_crc_tables[0][(crc ^ *p++) & 255];
        return crc;
    }
    static uint32_t bot4_crc_table(uint32_t crc, const unsigned char *p, size_t size) {
        uint64_t w;
        for (; size >= 8; size -= 8, p += 8) { memcpy(&w, p, 8); crc = bot4_crc_word_table(crc, w); }
        return bot4_crc_tail(crc, p, size);
    }
    #ifdef BOT4_CRC_TARGET
    BOT4_CRC_TARGET static uint32_t bot4_crc_instruction(uint32_t crc, const unsigned char *p, size_t size) {
        uint64_t w;
        for (; size >= 8; size -= 8, p += 8) { memcpy(&w, p, 8); crc = (uint32_t)BOT4_CRC_WORD(crc, w); }
        return bot4_crc_tail(crc, p, size);
    }
    #else
    #define bot4_crc_instruction bot4_crc_table
    #endif
    static int bot4_crc_offered(int isa_has_it) {
    #if defined(__x86_64__)
        return isa_has_it;
    #elif defined(__aarch64__)
        (void)isa_has_it;
        return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
    #else
        (void)isa_has_it;
        return 0;
    #endif
    }

    /* BLAKE2b, RFC 7693: twelve rounds of eight mixes; the message words of a round in the order of its row. */
    static const uint64_t bot4_b2_iv[8] = {
        0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
        0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u};
    static const uint8_t bot4_b2_order[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};
    #define BOT4_ROTR(x, n) (((x) >> (n)) | ((x) << (64 - (n))))
    #define BOT4_MIX(a, b, c, d, x, y) do { \\
        a += b + (x); d = BOT4_ROTR(d ^ a, 32); c += d; b = BOT4_ROTR(b ^ c, 24); \\
        a += b + (y); d = BOT4_ROTR(d ^ a, 16); c += d; b = BOT4_ROTR(b ^ c, 63); } while (0)
    static void bot4_b2_block(uint64_t *h, const void *data, uint64_t size, uint64_t last) {
        uint64_t v[16], m[16];
        memcpy(m, data, 128);
        memcpy(v, h, 64);
        memcpy(v + 8, bot4_b2_iv, 64);
        v[12] ^= size;
        v[14] ^= last;
        for (int r = 0; r < 12; r++) {
            const uint8_t *s = bot4_b2_order[r % 10];
            BOT4_MIX(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
            BOT4_MIX(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
            BOT4_MIX(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
            BOT4_MIX(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
            BOT4_MIX(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
            BOT4_MIX(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
            BOT4_MIX(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
            BOT4_MIX(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
        }
        for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    }
    """
    const uint64_t bot4_b2_iv[8]
    void bot4_crc_make_tables() noexcept
    uint32_t bot4_crc_word_table(uint32_t crc, uint64_t word) noexcept
    uint32_t bot4_crc_table(uint32_t crc, const unsigned char* data, size_t size) noexcept
    uint32_t bot4_crc_instruction(uint32_t crc, const unsigned char* data, size_t size) noexcept
    int bot4_crc_offered(int isa_has_it) noexcept
    void bot4_b2_block(uint64_t* h, const void* data, uint64_t size, uint64_t last) noexcept

# Both written once, under the import lock, before any kernel can ask.
bot4_crc_make_tables()
# BOT4_ISA=baseline means the tables on every machine, also where the baseline has no levels above it.
cdef bint _by_instruction = bot4_crc_offered(isa_level() >= ISA_V2) and os.environ.get("BOT4_ISA") != "baseline"


cdef bint crc32c_by_instruction() noexcept nogil:
    return _by_instruction


cdef uint32_t crc32c_word_by_table(uint32_t crc, uint64_t word) noexcept nogil:
    return bot4_crc_word_table(crc, word)


cdef uint32_t crc32c_raw(uint32_t crc, const void* data, size_t size) noexcept nogil:
    if _by_instruction:
        return bot4_crc_instruction(crc, <const unsigned char*>data, size)
    return bot4_crc_table(crc, <const unsigned char*>data, size)


# ------------------------------------------------------------------------------------------------------------ BLAKE2b
cdef void blake2b_begin(blake2b_t* b) noexcept nogil:
    memset(b, 0, sizeof(blake2b_t))
    memcpy(b.h, bot4_b2_iv, 64)
    b.h[0] ^= 0x01010000 ^ 32     # no key, one leaf, a digest of 32 bytes


cdef void blake2b_add(blake2b_t* b, const void* data, size_t size) noexcept nogil:
    cdef const uint8_t* at = <const uint8_t*>data
    cdef size_t room
    while size:
        # A full buffer is taken in only when more follows: the last block is marked as the last.
        if b.held == 128:
            b.size += 128
            bot4_b2_block(b.h, b.buffer, b.size, 0)
            b.held = 0
        room = 128 - b.held
        room = room if room < size else size
        memcpy(&b.buffer[b.held], at, room)
        b.held += room
        at += room
        size -= room


cdef void blake2b_end(blake2b_t* b, uint8_t* digest_32) noexcept nogil:
    memset(&b.buffer[b.held], 0, 128 - b.held)
    b.size += b.held
    bot4_b2_block(b.h, b.buffer, b.size, ~<uint64_t>0)
    memcpy(digest_32, b.h, 32)


# ------------------------------------------------------------------------------------------------------- Python's face
def crc32c(const unsigned char[::1] data, uint32_t crc=0):
    """The usual CRC-32C: inverted at both ends, carried on from `crc`."""
    return ~crc32c_raw(~crc, &data[0] if data.shape[0] else NULL, data.shape[0]) & 0xFFFFFFFF


def crc32c_by_table(const unsigned char[::1] data, uint32_t crc=0):
    """The same by the tables, whatever the CPU offers: for the tests that hold one against the other."""
    return ~bot4_crc_table(~crc, &data[0] if data.shape[0] else NULL, data.shape[0]) & 0xFFFFFFFF


def blake2b(const unsigned char[::1] data, size_t cut=0):
    """BLAKE2b-256, taken in two parts at `cut`."""
    cdef blake2b_t b
    cdef uint8_t digest[32]
    cdef size_t size = data.shape[0]
    blake2b_begin(&b)
    if size:
        blake2b_add(&b, &data[0], cut if cut < size else size)
        if cut < size:
            blake2b_add(&b, &data[cut], size - cut)
    blake2b_end(&b, digest)
    return digest[:32]


def by_instruction():
    return bool(_by_instruction)

"""Sums over a book's levels: the venue's checksum, and ticks times lots in 128 bits."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.book cimport CHECKSUM_LEVELS, SIDE_ASK, SIDE_BID, book_t
from engine._core.ladder cimport ladder_cursor, ladder_cursor_t, ladder_next

cdef extern from * nogil:
    """
    #include <stdint.h>
    static uint32_t bot4_crc_table[256];
    __attribute__((constructor)) static void bot4_crc_build(void) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = (c >> 1) ^ (0xEDB88320u & (0u - (c & 1u)));
            bot4_crc_table[i] = c;
        }
    }
    static inline uint32_t bot4_crc_number(uint32_t crc, uint64_t value) {
        unsigned char text[20];
        int at = 20;
        do { text[--at] = (unsigned char)('0' + value % 10); value /= 10; } while (value);
        for (; at < 20; at++) crc = (crc >> 8) ^ bot4_crc_table[(crc ^ text[at]) & 0xFF];
        return crc;
    }
    static inline void bot4_add_product(uint64_t* high, uint64_t* low, int64_t a, int64_t b) {
        unsigned __int128 sum = ((unsigned __int128)*high << 64) | *low;
        sum += (unsigned __int128)(uint64_t)a * (uint64_t)b;
        *high = (uint64_t)(sum >> 64);
        *low = (uint64_t)sum;
    }
    """
    # CRC32 as in zlib, over a number's decimal text; zero prints as one digit and never stands in a book.
    uint32_t crc_number "bot4_crc_number"(uint32_t crc, uint64_t value) noexcept
    void add_product "bot4_add_product"(uint64_t* high, uint64_t* low, int64_t a, int64_t b) noexcept


cdef inline uint32_t checksum_of(const book_t* b) noexcept nogil:
    """Kraken's CRC32: the ten best asks from the lowest up, then the ten best bids from the highest down; of each the
    price and the quantity without point and leading zeros, which is the mantissa at the pair's scale in decimal."""
    cdef uint32_t crc = 0xFFFFFFFF
    cdef ladder_cursor_t cursor
    cdef int side, i
    for side in range(SIDE_ASK, SIDE_BID - 1, -1):
        cursor = ladder_cursor(&b.side[side])
        i = 0
        while i < CHECKSUM_LEVELS and ladder_next(&b.side[side], &cursor):
            crc = crc_number(crc, <uint64_t>((-cursor.key if side else cursor.key) * b.config.px_unit))
            crc = crc_number(crc, <uint64_t>(cursor.qty * b.config.qty_unit))
            i += 1
    return ~crc

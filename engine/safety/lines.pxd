"""Input lines of a GPIO chip, through the kernel's character device, ABI version 2.

Owns: one line request (the switch and the tamper loop, both edges, bias, optional kernel debounce) and its file
descriptor. A line has one requester in the whole system; both readers of the engine read through this one request:
the sentry takes edges and levels without the interpreter lock, gpiozero's side reads levels (engine/safety/pins.py).
The structures of the ABI are written down here, since the headers of older build images do not have them; their sizes
are asserted.

Cost: a reading is one ioctl, about 1 us.
"""
from libc.stdint cimport int32_t, uint32_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <sys/ioctl.h>
    typedef struct { uint32_t id, padding; union { uint64_t flags; uint64_t values; uint32_t debounce_us; } u; }
        bot4_line_attribute;
    typedef struct { bot4_line_attribute attr; uint64_t mask; } bot4_line_config_attribute;
    typedef struct { uint64_t flags; uint32_t num_attrs; uint32_t padding[5]; bot4_line_config_attribute attrs[10]; }
        bot4_line_config;
    typedef struct { uint32_t offsets[64]; char consumer[32]; bot4_line_config config; uint32_t num_lines;
                     uint32_t event_buffer_size; uint32_t padding[5]; int32_t fd; } bot4_line_request;
    typedef struct { uint64_t bits, mask; } bot4_line_values;
    typedef struct { uint64_t timestamp_ns; uint32_t id, offset, seqno, line_seqno, padding[6]; } bot4_line_event;
    _Static_assert(sizeof(bot4_line_request) == 592, "gpio_v2_line_request");
    _Static_assert(sizeof(bot4_line_event) == 48, "gpio_v2_line_event");
    #define BOT4_GET_LINE _IOWR(0xB4, 0x07, bot4_line_request)
    #define BOT4_GET_VALUES _IOWR(0xB4, 0x0E, bot4_line_values)
    """
    ctypedef struct line_event_t "bot4_line_event":
        uint64_t timestamp_ns
        uint32_t id                # 1 rising, 2 falling
        uint32_t offset
    ctypedef struct line_values_t "bot4_line_values":
        uint64_t bits
        uint64_t mask
    int ioctl(int fd, unsigned long request, void* argument) noexcept
    const unsigned long GET_VALUES "BOT4_GET_VALUES"


cdef inline int lines_read(int fd, uint64_t mask, uint64_t* bits) noexcept nogil:
    """The levels of the lines in `mask`; -1 with errno when the chip does not answer."""
    cdef line_values_t values
    values.bits = 0
    values.mask = mask
    if ioctl(fd, GET_VALUES, &values) != 0:
        return -1
    bits[0] = values.bits & mask
    return 0


cdef class Lines:
    cdef int fd
    cdef uint64_t mask
    cdef uint32_t[8] offset
    cdef readonly uint32_t count
    cdef readonly str chip
    cdef readonly tuple offsets

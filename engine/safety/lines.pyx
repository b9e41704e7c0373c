from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

import os

from engine.errors import LineLost, LineRefused

cdef extern from * nogil:
    """
    #define BOT4_LINE_INPUT (1u << 2)
    #define BOT4_LINE_EDGES ((1u << 4) | (1u << 5))
    #define BOT4_LINE_PULL_UP (1u << 8)
    #define BOT4_LINE_BIAS_DISABLED (1u << 10)
    static int bot4_request(int chip, const uint32_t* offsets, uint32_t count, uint64_t bias, uint32_t debounce_us) {
        bot4_line_request r;
        memset(&r, 0, sizeof r);
        for (uint32_t i = 0; i < count; i++) r.offsets[i] = offsets[i];
        memcpy(r.consumer, "bot4", 5);
        r.config.flags = BOT4_LINE_INPUT | BOT4_LINE_EDGES | bias;
        r.num_lines = count;
        r.event_buffer_size = 64;
        if (debounce_us) {
            r.config.num_attrs = 1;
            r.config.attrs[0].attr.id = 3;
            r.config.attrs[0].attr.u.debounce_us = debounce_us;
            r.config.attrs[0].mask = (1ull << count) - 1;
        }
        return ioctl(chip, BOT4_GET_LINE, &r) == 0 ? r.fd : -1;
    }
    """
    int request "bot4_request"(int chip, const uint32_t* offsets, uint32_t count, uint64_t bias, uint32_t debounce_us) noexcept
    const uint64_t LINE_PULL_UP "BOT4_LINE_PULL_UP"
    const uint64_t LINE_BIAS_DISABLED "BOT4_LINE_BIAS_DISABLED"


cdef class Lines:
    """The request of some lines of one chip. A level of 1 is an open loop: the pull-up won."""

    def __cinit__(self, str chip, offsets, *, str bias="pull-up", uint32_t kernel_debounce_us=0):
        cdef uint64_t flags = {"pull-up": LINE_PULL_UP, "external": LINE_BIAS_DISABLED, "as-is": 0}[bias]
        self.fd = -1
        self.chip = chip
        self.offsets = tuple(offsets)
        if not 1 <= len(self.offsets) <= 8:
            raise LineRefused(f"{chip}: {len(self.offsets)} lines; one to eight")
        self.count = len(self.offsets)
        for i in range(self.count):
            self.offset[i] = self.offsets[i]
        self.mask = (<uint64_t>1 << self.count) - 1
        try:
            handle = os.open(chip, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise LineRefused(f"{chip}: {error.strerror}") from error
        try:
            self.fd = request(handle, self.offset, self.count, flags, kernel_debounce_us)
            if self.fd < 0:
                raise LineRefused(f"{chip}, lines {self.offsets}: {os.strerror(errno)}")
        finally:
            os.close(handle)
        os.set_inheritable(self.fd, False)
        os.set_blocking(self.fd, False)

    def __dealloc__(self):
        self.close()

    def level(self, int offset):
        """0 or 1 now; LineLost when the chip is gone."""
        cdef uint64_t bits = 0
        if self.fd < 0 or lines_read(self.fd, self.mask, &bits) != 0:
            raise LineLost(f"{self.chip}: {os.strerror(errno) if self.fd >= 0 else 'closed'}")
        return <int>(bits >> self.offsets.index(offset) & 1)

    def fileno(self):
        return self.fd

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

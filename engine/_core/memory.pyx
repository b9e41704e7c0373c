cimport cython

import errno as _errno
import os

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from engine._core.atomics cimport add_relaxed, load_relaxed
from engine._core.types cimport ARENA_BAD_SIZE, ARENA_EXHAUSTED, ARENA_SEALED, CACHE_LINE, raise_status

cdef extern from "sys/mman.h" nogil:
    void* mmap(void* address, size_t size, int protection, int flags, int fd, long offset)
    int munmap(void* address, size_t size)
    int madvise(void* address, size_t size, int advice)
    int mlock(const void* address, size_t size)
    int mprotect(void* address, size_t size, int protection)
    const int PROT_NONE, PROT_READ, PROT_WRITE
    const int MAP_PRIVATE, MAP_ANONYMOUS, MAP_HUGETLB
    void* MAP_FAILED

cdef extern from "stdlib.h" nogil:
    void* aligned_alloc(size_t align, size_t size)

cdef extern from * nogil:
    """
    #include <sys/mman.h>
    #include <malloc.h>
    /* Newer than the headers of the oldest supported system; the kernel says EINVAL where it does not know them. */
    #ifndef MADV_HUGEPAGE
    #define MADV_HUGEPAGE 14
    #endif
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif
    #if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 33))
    static size_t bot4_heap_bytes(void) { struct mallinfo2 m = mallinfo2(); return m.uordblks + m.hblkhd; }
    #else
    static size_t bot4_heap_bytes(void) { return 0; }
    #endif
    """
    const int MADV_HUGEPAGE, MADV_POPULATE_WRITE
    size_t bot4_heap_bytes()

cdef size_t HUGE_PAGE = 2 * 1024 * 1024
cdef size_t PAGE = 4096
cdef size_t ARENA_SIZE_MAX = <size_t>1 << 40


cdef inline size_t _round_up(size_t value, size_t step) noexcept nogil:
    return (value + step - 1) & ~(step - 1)


cdef void* arena_carve(arena_t* arena, size_t size, size_t align) noexcept nogil:
    """A zeroed block of `size` bytes, or NULL: no room, sealed, or an alignment that is no power of two."""
    cdef size_t start, base = <size_t>arena.base
    if arena.sealed or size == 0 or align == 0 or (align & (align - 1)) != 0:
        arena.refused_count += 1
        return NULL
    # The address is rounded, not the offset: the mapping itself is aligned to a page only. A huge alignment wraps to
    # an offset beyond the arena and is refused below; there too, start + size could wrap.
    start = _round_up(base + arena.used, align) - base
    if start > arena.size or size > arena.size - start:
        arena.refused_count += 1
        return NULL
    arena.used = start + size
    arena.carved_count += 1
    return arena.base + start


cdef void arena_seal(arena_t* arena) noexcept nogil:
    arena.sealed = 1


# Arenas that were opened and still stand: a block says by its address which of them it was carved from. The
# interpreter lock guards the table.
cdef enum:
    OPENED_MAX = 64
cdef PyObject* _opened[OPENED_MAX]
cdef Arena _open = None
cdef uint64_t _heap_blocks = 0


cdef void* block_new(size_t size) except NULL:
    global _heap_blocks
    # A large block stands on huge pages where the machine gives them: fewer misses, and its protection changes fast.
    cdef size_t align = HUGE_PAGE if size >= 2 * HUGE_PAGE else CACHE_LINE
    cdef size_t whole = _round_up(size, align)
    cdef void* block
    if _open is not None:
        block = _open.carve_c(whole, align)
        Py_INCREF(_open)
        return block
    block = aligned_alloc(align, whole)
    if block == NULL:
        raise_status(ARENA_EXHAUSTED, f"{size} bytes")
    if align == HUGE_PAGE:
        madvise(block, whole, MADV_HUGEPAGE)
    memset(block, 0, whole)
    _heap_blocks += 1
    return block


cdef void block_free(void* block) noexcept:
    cdef Arena arena
    cdef int i
    if block == NULL:
        return
    for i in range(OPENED_MAX):
        if _opened[i] != NULL:
            arena = <Arena>_opened[i]
            if <char*>block >= arena.c.base and <char*>block < arena.c.base + arena.c.size:
                # What was carved is not carved again: the arena goes as a whole, with the last that stands in it.
                Py_DECREF(arena)
                return
    free(block)


def heap_blocks():
    """How many blocks were made outside an arena so far."""
    return _heap_blocks


cdef void* _map(size_t size, int protection) noexcept:
    """A mapping that begins on a huge page: the part before it and the part behind are given back."""
    cdef size_t room = size + HUGE_PAGE
    cdef char* got = <char*>mmap(NULL, room, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    cdef size_t skipped
    if <void*>got == MAP_FAILED:
        return MAP_FAILED
    skipped = _round_up(<size_t>got, HUGE_PAGE) - <size_t>got
    if skipped:
        munmap(got, skipped)
    munmap(got + skipped + size, HUGE_PAGE - skipped)
    return got + skipped


@cython.final
cdef class Arena:
    """One mapping, carved at start and sealed.

    `pages` and `locked` say in words what the machine granted: a refusal is never silent, and never fatal. With
    `grows`, `size` is address space alone and a carve takes its pages when it is made: for a start whose sum is known
    only at its end. `seal` then gives back the rest.
    """

    def __cinit__(self, size, *, huge_pages=True, lock=True, grows=False):
        if not isinstance(size, int) or size <= 0 or size > ARENA_SIZE_MAX:
            raise_status(ARENA_BAD_SIZE, f"arena size {size!r}; 1 to {ARENA_SIZE_MAX} bytes")
        self.c.size, self.lock = <size_t>size, lock
        cdef bint huge = huge_pages and size >= HUGE_PAGE
        # A carve may ask for cache-line alignment only; huge pages need whole huge pages.
        self.step = HUGE_PAGE if huge else PAGE
        self.mapped_size = _round_up(self.c.size, self.step)
        cdef void* address = MAP_FAILED
        reserved = "an arena that grows takes none"
        self.pages = "4 KiB: huge pages were not asked for"
        if huge and not grows:
            address = mmap(NULL, self.mapped_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0)
            self.pages = "2 MiB, reserved"
            reserved = f"none reserved: {_errno.errorcode.get(errno, str(errno))}"
        if address == MAP_FAILED:
            address = _map(self.mapped_size, PROT_NONE if grows else PROT_READ | PROT_WRITE)
            if address == MAP_FAILED:
                raise_status(ARENA_EXHAUSTED, f"mmap of {self.mapped_size} bytes: {os.strerror(errno)}")
            if huge:
                if madvise(address, self.mapped_size, MADV_HUGEPAGE) == 0:
                    self.pages = f"2 MiB where the kernel finds them ({reserved})"
                else:
                    self.pages = f"4 KiB: huge pages refused ({reserved}, {os.strerror(errno)})"
        self.c.base = <char*>address
        self.locked = "yes" if lock else "no: not asked for"
        if not grows:
            self._touch(self.mapped_size)

    def __dealloc__(self):
        cdef int i
        for i in range(OPENED_MAX):
            if _opened[i] == <PyObject*>self:
                _opened[i] = NULL
        if self.mapped_size and self.c.base != NULL:
            munmap(self.c.base, self.mapped_size)

    cdef int _touch(self, size_t end) except -1:
        """Touch every page up to `end` now: the first write of the day must not wait for the kernel."""
        cdef char* first = self.c.base + self.touched_size
        cdef size_t size
        end = min(_round_up(end, self.step), self.mapped_size)
        size = end - self.touched_size
        if mprotect(first, size, PROT_READ | PROT_WRITE) != 0:
            raise_status(ARENA_EXHAUSTED, f"{size} bytes more: {os.strerror(errno)}")
        if madvise(first, size, MADV_POPULATE_WRITE) != 0:
            memset(first, 0, size)
        if self.lock and mlock(first, size) != 0:
            self.locked = f"no: {os.strerror(errno)}; raise LimitMEMLOCK or grant CAP_IPC_LOCK"
        self.touched_size = end
        return 0

    cdef void* carve_c(self, size_t size, size_t align=CACHE_LINE) except NULL:
        cdef size_t before = self.c.used
        cdef void* block = arena_carve(&self.c, size, align)
        if block == NULL:
            if self.c.sealed:
                raise_status(ARENA_SEALED, f"{size} bytes")
            if size == 0 or align == 0 or (align & (align - 1)) != 0:
                raise_status(ARENA_BAD_SIZE, f"{size} bytes at alignment {align}")
            raise_status(ARENA_EXHAUSTED, f"{size} bytes asked, {self.c.size - self.c.used} left of {self.c.size}")
        if self.c.used > self.touched_size:
            try:
                self._touch(self.c.used)
            except Exception:
                self.c.used = before
                self.c.carved_count -= 1
                self.c.refused_count += 1
                raise
        return block

    def carve(self, size_t size, size_t align=CACHE_LINE):
        """Carve a zeroed block and return it as a writable memoryview, which keeps the arena alive."""
        cdef size_t start = <char*>self.carve_c(size, align) - self.c.base
        return memoryview(self)[start:start + size]

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.c.base, min(self.c.size, self.touched_size), 0, flags)

    def open(self):
        """From now on, until it is sealed, every kernel that this process makes stands in this arena."""
        global _open
        cdef int i
        if _open is not None or self.c.sealed:
            raise_status(ARENA_SEALED, "another arena is open" if _open is not None else "")
        for i in range(OPENED_MAX):
            if _opened[i] == NULL:
                _opened[i] = <PyObject*>self
                _open = self
                return
        raise_status(ARENA_EXHAUSTED, f"{OPENED_MAX} arenas stand")

    def seal(self):
        """From now on a carve is refused and counted; what was never taken goes back. Twice is fine."""
        global _open
        arena_seal(&self.c)
        if _open is self:
            _open = None
        if self.touched_size < self.mapped_size:
            munmap(self.c.base + self.touched_size, self.mapped_size - self.touched_size)
            self.mapped_size = self.touched_size
            self.c.size = min(self.c.size, self.touched_size)

    @property
    def size(self):
        return self.c.size

    @property
    def used(self):
        return self.c.used

    @property
    def sealed(self):
        return bool(self.c.sealed)

    @property
    def carved_count(self):
        return self.c.carved_count

    @property
    def refused_count(self):
        return self.c.refused_count

    @property
    def address(self):
        return <size_t>self.c.base

    def check(self):
        """Walk the invariants; raises AssertionError with what is broken."""
        assert self.c.base != NULL, "no mapping"
        assert <size_t>self.c.base % CACHE_LINE == 0, "base is not cache-line aligned"
        assert self.c.used <= self.c.size <= self.mapped_size, "used more than there is"
        assert (self.c.carved_count == 0) == (self.c.used == 0), "count and use disagree"


# ------------------------------------------------------------------------------------------- counting allocations
# The proof that a hot path allocates nothing. Python's three allocator domains get a counting wrapper for the time
# of the probe; it delegates, so blocks may be freed after it is gone. Plain C allocation is seen through the
# heap's byte count; tests/support/malloc_count.c counts every single call when that is not enough.
cdef extern from "Python.h" nogil:
    ctypedef struct PyMemAllocatorEx:
        void* ctx
        void* (*malloc)(void* ctx, size_t size) noexcept nogil
        void* (*calloc)(void* ctx, size_t count, size_t size) noexcept nogil
        void* (*realloc)(void* ctx, void* block, size_t size) noexcept nogil
        void (*free)(void* ctx, void* block) noexcept nogil
    ctypedef enum PyMemAllocatorDomain:
        PYMEM_DOMAIN_RAW
        PYMEM_DOMAIN_MEM
        PYMEM_DOMAIN_OBJ
    void PyMem_GetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx* allocator)
    void PyMem_SetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx* allocator)

cdef PyMemAllocatorEx _wrapped[3]
cdef PyMemAllocatorEx _counting[3]
cdef uint64_t _python_calls = 0
cdef bint _probing = False


cdef void* _count_malloc(void* ctx, size_t size) noexcept nogil:
    cdef PyMemAllocatorEx* below = <PyMemAllocatorEx*>ctx
    add_relaxed(&_python_calls, 1)
    return below.malloc(below.ctx, size)


cdef void* _count_calloc(void* ctx, size_t count, size_t size) noexcept nogil:
    cdef PyMemAllocatorEx* below = <PyMemAllocatorEx*>ctx
    add_relaxed(&_python_calls, 1)
    return below.calloc(below.ctx, count, size)


cdef void* _count_realloc(void* ctx, void* block, size_t size) noexcept nogil:
    cdef PyMemAllocatorEx* below = <PyMemAllocatorEx*>ctx
    add_relaxed(&_python_calls, 1)
    return below.realloc(below.ctx, block, size)


cdef void _pass_free(void* ctx, void* block) noexcept nogil:
    cdef PyMemAllocatorEx* below = <PyMemAllocatorEx*>ctx
    below.free(below.ctx, block)


@cython.final
cdef class AllocationProbe:
    """Counts allocations between `with` and now: `python_calls` exactly, `heap_bytes` as growth of the C heap.

    The probe's own properties allocate (they return Python numbers), so read each once, after the block under test.
    """
    cdef uint64_t calls_at_start
    cdef uint64_t calls_at_end
    cdef int64_t heap_at_start
    cdef int64_t heap_at_end

    def __enter__(self):
        global _probing
        cdef int domain
        if _probing:
            raise RuntimeError("another AllocationProbe is active in this process")
        _probing = True
        for domain in range(3):
            PyMem_GetAllocator(<PyMemAllocatorDomain>domain, &_wrapped[domain])
            _counting[domain].ctx = &_wrapped[domain]
            _counting[domain].malloc = _count_malloc
            _counting[domain].calloc = _count_calloc
            _counting[domain].realloc = _count_realloc
            _counting[domain].free = _pass_free
            PyMem_SetAllocator(<PyMemAllocatorDomain>domain, &_counting[domain])
        self.heap_at_start = <int64_t>bot4_heap_bytes()
        self.calls_at_start = load_relaxed(&_python_calls)
        return self

    def __exit__(self, *exc):
        global _probing
        cdef int domain
        self.calls_at_end = load_relaxed(&_python_calls)
        self.heap_at_end = <int64_t>bot4_heap_bytes()
        for domain in range(3):
            PyMem_SetAllocator(<PyMemAllocatorDomain>domain, &_wrapped[domain])
        _probing = False

    @property
    def python_calls(self):
        return self.calls_at_end - self.calls_at_start

    @property
    def heap_bytes(self):
        return self.heap_at_end - self.heap_at_start

"""A copy of a large block as it stands now, made while its owner goes on writing to it.

`begin` takes the right to write away from the block's pages: that is all that the owner waits for. Whoever then writes
to a chunk first copies it, in the signal that the write raises, and gets the right back; `finish`, in another thread,
does the same to every chunk that nobody wrote to. A chunk is copied once, before its first change, so the copy is the
block at the moment of `begin`, whatever was written since.

Owns: the protection of the pages between `begin` and the end of `finish`, this process's SIGSEGV handler (what is not
a write to such a chunk goes on to the handler that was there before). Does not own: the two blocks. Invariants: a chunk
is writable only when its state is COPIED; the block is not handed to a system call that writes into it meanwhile (it would
answer EFAULT). Cost: bench/bench_journal.py; a first write to a chunk some 20 us, at most once a chunk and snapshot.
"""
cimport cython
from libc.stdint cimport uint64_t, uintptr_t
from libc.stdlib cimport calloc, free

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <signal.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <unistd.h>

    enum { COW_CHUNK = 65536, COW_REGIONS = 16 };
    enum { COW_WAITS = 0, COW_COPYING = 1, COW_COPIED = 2 };

    typedef struct {
        char* base;               /* first whole page of the block */
        char* copy;
        uint64_t size;            /* of the whole pages */
        uint64_t chunks;
        unsigned char* state;     /* one of COW_* for each chunk */
        uint64_t fault_count;
    } cow_t;

    static cow_t* cow_regions[COW_REGIONS];
    static struct sigaction cow_before;
    static int cow_forwarded;

    /* Copies a chunk, or waits for whoever does. */
    static int cow_copy(cow_t* c, uint64_t k, uint64_t from, uint64_t size) {
        unsigned char waits = COW_WAITS;
        if (__atomic_compare_exchange_n(&c->state[k], &waits, COW_COPYING, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
            memcpy(c->copy + from, c->base + from, size);
            /* Release: whoever sees COPIED may open the chunk, and the copy is whole before that. */
            __atomic_store_n(&c->state[k], COW_COPIED, __ATOMIC_RELEASE);
            return 1;
        }
        while (__atomic_load_n(&c->state[k], __ATOMIC_ACQUIRE) != COW_COPIED) { }
        return 0;
    }

    static uint64_t cow_size(const cow_t* c, uint64_t from) {
        return c->size - from < COW_CHUNK ? c->size - from : COW_CHUNK;
    }

    static void cow_take(cow_t* c, uint64_t k) {
        uint64_t from = k * COW_CHUNK, size = cow_size(c, from);
        /* Opened by whoever copied it; who came second writes again, and raises again until it is open. */
        if (cow_copy(c, k, from, size) && mprotect(c->base + from, size, PROT_READ | PROT_WRITE) != 0) {
            /* No room for another mapping: then all of it is opened as one, after all of it was copied. */
            for (uint64_t i = 0; i < c->chunks; i++)
                cow_copy(c, i, i * COW_CHUNK, cow_size(c, i * COW_CHUNK));
            if (mprotect(c->base, c->size, PROT_READ | PROT_WRITE) != 0)
                abort();
        }
    }

    static void cow_on_fault(int number, siginfo_t* info, void* context) {
        (void)number, (void)context;
        int before = errno;
        char* at = (char*)info->si_addr;
        for (int i = 0; i < COW_REGIONS; i++) {
            cow_t* c = __atomic_load_n(&cow_regions[i], __ATOMIC_ACQUIRE);
            if (c != NULL && at >= c->base && at < c->base + c->size) {
                __atomic_fetch_add(&c->fault_count, 1, __ATOMIC_RELAXED);
                cow_take(c, (uint64_t)(at - c->base) / COW_CHUNK);
                errno = before;
                return;
            }
        }
        /* Not ours: the same access meets the handler that was there before. One that was put in again behind us hands
           it back (faulthandler does), and then the access ends the process as it would have. */
        if (!__atomic_exchange_n(&cow_forwarded, 1, __ATOMIC_ACQ_REL))
            sigaction(SIGSEGV, &cow_before, NULL);
        else
            signal(SIGSEGV, SIG_DFL);
    }

    /* Others install handlers too (faulthandler does): ours is put in front again whenever it is needed. */
    static int cow_listen(void) {
        struct sigaction now, ours;
        if (sigaction(SIGSEGV, NULL, &now) != 0)
            return -1;
        if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == cow_on_fault)
            return 0;
        cow_before = now;
        cow_forwarded = 0;
        memset(&ours, 0, sizeof(ours));
        ours.sa_sigaction = cow_on_fault;
        ours.sa_flags = SA_SIGINFO;
        sigemptyset(&ours.sa_mask);
        return sigaction(SIGSEGV, &ours, NULL);
    }

    static int cow_begin(cow_t* c) {
        memset(c->state, COW_WAITS, c->chunks);
        for (int i = 0; i < COW_REGIONS; i++) {
            cow_t* none = NULL;
            if (__atomic_compare_exchange_n(&cow_regions[i], &none, c, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                if (cow_listen() == 0 && mprotect(c->base, c->size, PROT_READ) == 0)
                    return 0;
                mprotect(c->base, c->size, PROT_READ | PROT_WRITE);
                __atomic_store_n(&cow_regions[i], NULL, __ATOMIC_RELEASE);
                return -1;
            }
        }
        return -1;
    }

    static void cow_finish(cow_t* c) {
        for (uint64_t k = 0; k < c->chunks; k++)
            cow_take(c, k);
        /* A fault that was raised before its chunk was opened may still be on its way to the handler, and finds the
           region there: it stays until the next `begin` of the same block, or its end. */
    }

    static void cow_forget(cow_t* c) {
        for (int i = 0; i < COW_REGIONS; i++) {
            cow_t* mine = c;
            __atomic_compare_exchange_n(&cow_regions[i], &mine, NULL, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        }
    }

    static uint64_t cow_page(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }
    """
    enum: COW_CHUNK
    ctypedef struct cow_t:
        char* base
        char* copy
        uint64_t size
        uint64_t chunks
        unsigned char* state
        uint64_t fault_count
    int cow_begin(cow_t* c)
    void cow_finish(cow_t* c)
    void cow_forget(cow_t* c)
    uint64_t cow_page()
    void* memcpy(void* to, const void* source, size_t size)

CHUNK = COW_CHUNK


@cython.nonecheck(False)
@cython.final
cdef class PageCopy:
    """Copies `block` into `copy`, of the same size. One at a time: `begin`, then `finish`, then `begin` again."""
    cdef const unsigned char[::1] block
    cdef unsigned char[::1] copy
    cdef cow_t c
    cdef bint under_way

    def __cinit__(self, block not None, copy not None):
        cdef uint64_t page = cow_page()
        self.block, self.copy = memoryview(block).cast("B"), memoryview(copy).cast("B")
        if self.block.shape[0] != self.copy.shape[0] or <uint64_t>self.block.shape[0] < 2 * page:
            raise ValueError(f"a copy of {self.block.shape[0]} bytes in {self.copy.shape[0]}")
        cdef uintptr_t first = <uintptr_t>&self.block[0], end = first + <uint64_t>self.block.shape[0]
        cdef uintptr_t base = (first + page - 1) & ~(page - 1)
        self.c.base = <char*>base
        self.c.copy = <char*>&self.copy[0] + (base - first)
        self.c.size = (end & ~(page - 1)) - base
        self.c.chunks = (self.c.size + COW_CHUNK - 1) // COW_CHUNK
        self.c.state = <unsigned char*>calloc(self.c.chunks, 1)
        if self.c.state == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.under_way:
            cow_finish(&self.c)
        cow_forget(&self.c)
        free(self.c.state)

    def begin(self):
        """From here on the copy will be the block as it is now. False: it could not be, and was made at once."""
        cdef char* first = <char*>&self.block[0]
        cdef char* copied = <char*>&self.copy[0]
        cdef uint64_t head = self.c.base - first, tail = head + self.c.size, size = self.block.shape[0]
        if self.under_way:
            raise ValueError("the copy before this one is not finished")
        # The ends share their pages with others' memory: they are copied here, and are smaller than a page each.
        memcpy(copied, first, head)
        memcpy(copied + tail, first + tail, size - tail)
        cow_forget(&self.c)
        if cow_begin(&self.c) != 0:
            memcpy(copied, first, size)
            return False
        self.under_way = True
        return True

    def finish(self):
        """Copy what nobody wrote to. Without the interpreter's lock; nothing to do where `begin` did it."""
        if self.under_way:
            with nogil:
                cow_finish(&self.c)
            self.under_way = False

    @property
    def fault_count(self):
        """Chunks that a writer copied, since this was made."""
        return self.c.fault_count

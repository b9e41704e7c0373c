"""The latch: one word in memory that every send reads, and one small file that outlives the process.

Owns: the word (a mask of reasons and which came first), the first time and value of each reason, one text, and the
file. Does not own: what happens after a trip, and the reset; nothing here clears a bit.

Two halves. `latch_t` is the memory: pointer-free, tripped from any thread or signal handler with C atomics only, and
in force at once. `latch_file_t` is this process's way to the disk (a directory handle, names, a buffer); whoever may
block calls `latch_persist`, which writes a temporary file, syncs it, renames it over the old one and syncs the
directory. Only then is the trip durable. States: clear, tripped, tripped and durable; there is no way back.

At start everything but "there is no file, and the directory takes one" is a trip: a damaged or foreign file, a
directory that cannot be written, a temporary file left by a process that died between trip and rename.

    bits 0..31   one bit per reason          bits 32..39  the reason that came first

Cost: a check is one load (under 1 ns); a trip two swaps; a persist two disk syncs.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.atomics cimport load_acquire
from engine._core.debug cimport likely
from engine._core.types cimport LATCH_TRIPPED, OK


cpdef enum latch_reason_t:        # stable: the numbers stand in files
    LATCH_UNKNOWN = 0
    LATCH_SWITCH = 1
    LATCH_TAMPER = 2
    LATCH_COMMAND = 3
    LATCH_SIGNAL = 4
    LATCH_DRAWDOWN = 5
    LATCH_DAILY_LOSS = 6
    LATCH_BREAKER_CASCADE = 7
    LATCH_JOURNAL_FAILURE = 8
    LATCH_HEARTBEAT_STALL = 9
    LATCH_CLOCK = 10
    LATCH_READER_DISAGREEMENT = 11
    LATCH_EQUITY_DISAGREEMENT = 12
    LATCH_SAFETY_EXCEPTION = 13
    LATCH_FILE_BAD = 14           # found at start
    LATCH_DISK = 15               # the file cannot be written
    LATCH_UNFINISHED = 16         # found at start: a process died while it wrote its trip


cdef enum:
    LATCH_REASONS_MAX = 32
    LATCH_FIRST_SHIFT = 32
    LATCH_NOTE_SIZE = 128
    LATCH_NAME_SIZE = 64
    LATCH_FILE_SIZE = 4096

cpdef enum latch_step_t:          # where a persist stopped
    LATCH_STEP_NONE = 0
    LATCH_STEP_OPEN = 1
    LATCH_STEP_WRITE = 2
    LATCH_STEP_SYNC = 3
    LATCH_STEP_RENAME = 4
    LATCH_STEP_SYNC_DIRECTORY = 5


cdef struct latch_t:
    uint64_t word
    uint64_t durable              # the reasons that the file holds; 0 = the file does not say tripped
    uint64_t trip_count           # all calls, also those that added nothing: counted instead of logged
    uint64_t note_state           # 0 none, 1 being written, 2 there
    uint64_t note_length
    uint64_t note_durable         # 1: the file holds the note
    uint64_t reserved[2]
    int64_t at_ns[32]             # first time of each reason; 1 = the caller knew none
    int64_t value[32]             # what that caller gave with it
    char note[128]


cdef struct latch_file_t:
    int directory_fd              # -1: the directory could not be opened
    int keep_bad                  # 1: a bad file stands there; it is kept beside the new one
    int error_last                # errno of the last failed persist
    int step_last                 # latch_step_t
    uint64_t busy                 # 1: a thread is inside latch_persist
    uint64_t persist_count
    uint64_t failed_count
    char name[64]
    char name_temporary[64]
    char name_kept[64]
    char buffer[4096]


cdef int latch_trip(latch_t* latch, int reason, int64_t now_ns, int64_t value) noexcept nogil
cdef int latch_note(latch_t* latch, const char* text, size_t length) noexcept nogil
cdef int latch_persist(latch_t* latch, latch_file_t* file) noexcept nogil
cdef size_t latch_format(const latch_t* latch, uint64_t word, bint with_note, char* out) noexcept nogil


cdef inline int latch_check(const latch_t* latch) noexcept nogil:
    # Acquire: whoever sees the trip also sees its reason's time and value. On x86-64 it is a plain load.
    return OK if likely(load_acquire(&latch.word) == 0) else LATCH_TRIPPED


cdef class Latch:
    cdef latch_t* c
    cdef latch_file_t* file
    cdef readonly str path
    cdef readonly object start_status
    cdef readonly str start_detail

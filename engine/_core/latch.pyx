cimport cython
from libc.errno cimport EEXIST, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy

import os
import re
import stat

from engine._core.atomics cimport add_relaxed, cas_acq_rel, load_acquire, load_relaxed, or_acq_rel, store_release
from engine._core.clock cimport clock_utc_ns
from engine._core.debug cimport debug_assert, static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport LATCH_BAD_FILE, LATCH_NOT_DURABLE, LATCH_TRIPPED, OK, raise_status

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <sys/stat.h>
    #include <sys/types.h>
    #include <time.h>
    #include <unistd.h>
    /* Interrupted calls are taken up again: a signal is exactly when this runs. */
    static int bot4_openat(int dir, const char* name, int flags, unsigned mode) {
        int fd; do { fd = openat(dir, name, flags, mode); } while (fd < 0 && errno == EINTR); return fd;
    }
    static int bot4_fsync(int fd) { int r; do { r = fsync(fd); } while (r < 0 && errno == EINTR); return r; }
    /* Waits a moment for another thread's persist; the disk takes far longer than this. */
    static void bot4_latch_wait(void) { struct timespec t = {0, 50000}; nanosleep(&t, 0); }
    #define BOT4_LATCH_FLAGS (O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW)
    """
    int openat_c "bot4_openat"(int directory, const char* name, int flags, unsigned mode) noexcept
    int fsync_c "bot4_fsync"(int fd) noexcept
    void latch_wait "bot4_latch_wait"() noexcept
    const int LATCH_FLAGS "BOT4_LATCH_FLAGS"
    ssize_t write(int fd, const void* data, size_t size) noexcept
    int close(int fd) noexcept
    int renameat(int from_directory, const char* old, int to_directory, const char* new) noexcept
    int linkat(int from_directory, const char* old, int to_directory, const char* new, int flags) noexcept

# What the file says for each reason; also the names that `trip` takes. Never renumbered.
REASONS = ("unknown", "switch", "tamper", "command", "signal", "drawdown", "daily-loss", "breaker-cascade",
           "journal-failure", "heartbeat-stall", "clock", "reader-disagreement", "equity-disagreement",
           "safety-exception", "file-bad", "disk", "unfinished")
Step = latch_step_t

cdef const char* _NAMES[17]
_NAMES[:] = [
    "unknown", "switch", "tamper", "command", "signal", "drawdown", "daily-loss", "breaker-cascade",
             "journal-failure", "heartbeat-stall", "clock", "reader-disagreement", "equity-disagreement",
             "safety-exception", "file-bad", "disk", "unfinished"]
cdef enum:
    REASON_COUNT = 17
    WAITS_MAX = 1_200_000         # a minute: longer than a disk takes that will ever answer


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(latch_t) == 704)
    static_assert_c(LATCH_UNFINISHED + 1 == REASON_COUNT)
    # The longest file: head, every reason with the longest numbers, the note, the checksum.
    static_assert_c(<int>(96 + REASON_COUNT * 96 + LATCH_NOTE_SIZE + 32) < <int>LATCH_FILE_SIZE)


# ------------------------------------------------------------------ the trip
cdef int latch_trip(latch_t* latch, int reason, int64_t now_ns, int64_t value) noexcept nogil:
    """Trip. From any thread and from a signal handler: C atomics only, no lock, no allocation, no errno.

    Always trips, whatever the arguments: an unknown reason is LATCH_UNKNOWN. LATCH_TRIPPED if it already was, else OK.
    """
    cdef uint64_t before, after, bit, none = 0
    if reason < 0 or reason >= REASON_COUNT:
        reason = LATCH_UNKNOWN
    bit = <uint64_t>1 << reason
    add_relaxed(&latch.trip_count, 1)
    before = load_acquire(&latch.word)
    if before & bit:
        return LATCH_TRIPPED
    # The time is claimed first and by one thread, so that nobody who sees the bit finds no time beside it. It costs
    # the stop one swap, some 10 ns.
    if cas_acq_rel(<uint64_t*>&latch.at_ns[reason], &none, <uint64_t>(now_ns if now_ns > 0 else 1)):
        store_release(<uint64_t*>&latch.value[reason], <uint64_t>value)
    while True:
        after = before | bit
        if before == 0:
            after |= <uint64_t>reason << LATCH_FIRST_SHIFT
        # Release: the time above is there before the bit. One thread alone can swap out the zero: the first reason.
        if cas_acq_rel(&latch.word, &before, after):
            return LATCH_TRIPPED if before else OK


cdef int latch_note(latch_t* latch, const char* text, size_t length) noexcept nogil:
    """Keep a text for people; the first one stays. Printable ASCII, anything else becomes a question mark."""
    cdef uint64_t none = 0
    cdef size_t i
    if length == 0 or not cas_acq_rel(&latch.note_state, &none, 1):
        return OK
    length = min(length, <size_t>LATCH_NOTE_SIZE)
    for i in range(length):
        latch.note[i] = text[i] if 32 <= text[i] < 127 else c'?'
    latch.note_length = length
    store_release(&latch.note_state, 2)
    return OK


# ------------------------------------------------------------------ the file
cdef inline char* _text(char* at, const char* text) noexcept nogil:
    while text[0]:
        at[0] = text[0]
        at += 1
        text += 1
    return at


cdef inline char* _number(char* at, int64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int count = 0
    cdef uint64_t left = <uint64_t>value
    if value < 0:
        at[0] = c'-'
        at += 1
        left = 0 - left
    while count == 0 or left:
        digits[count] = <char>(c'0' + left % 10)
        left //= 10
        count += 1
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


cdef inline uint32_t _crc32(const char* data, size_t size) noexcept nogil:
    """The CRC of zip and zlib, bit by bit: small files, and no table to keep."""
    cdef uint32_t crc = ~<uint32_t>0
    cdef size_t i
    cdef int k
    for i in range(size):
        crc ^= <unsigned char>data[i]
        for k in range(8):
            crc = (crc >> 1) ^ (<uint32_t>0xedb88320 if crc & 1 else <uint32_t>0)
    return ~crc


cdef size_t latch_format(const latch_t* latch, uint64_t word, bint with_note, char* out) noexcept nogil:
    """The file's text for these reasons, at most LATCH_FILE_SIZE bytes."""
    cdef char* at = _text(out, b"bot4-latch 1\nstate tripped\nfirst ")
    cdef uint32_t crc, first = (word >> LATCH_FIRST_SHIFT) & 0xff
    cdef int shift, reason
    at = _text(at, _NAMES[first])
    at = _text(at, b"\n")
    for reason in range(REASON_COUNT):
        if word >> reason & 1:
            at = _text(at, b"reason ")
            at = _text(at, _NAMES[reason])
            at = _text(at, b" at_ns ")
            at = _number(at, latch.at_ns[reason])
            at = _text(at, b" value ")
            at = _number(at, <int64_t>load_acquire(<uint64_t*>&latch.value[reason]))
            at = _text(at, b"\n")
    if with_note:
        at = _text(at, b"note ")
        memcpy(at, latch.note, latch.note_length)
        at += latch.note_length
        at = _text(at, b"\n")
    crc = _crc32(out, at - out)
    at = _text(at, b"crc32 ")
    for shift in range(28, -4, -4):
        at[0] = b"0123456789abcdef"[(crc >> shift) & 15]
        at += 1
    at = _text(at, b"\n")
    debug_assert(at - out <= <int>LATCH_FILE_SIZE)
    return at - out


cdef inline int _failed(latch_t* latch, latch_file_t* file, int step, int error) noexcept nogil:
    file.error_last = error
    file.step_last = step
    file.failed_count += 1
    # A latch that cannot be written is itself a reason; a process that could not persist must not go on either.
    latch_trip(latch, LATCH_DISK, 0, error)
    return LATCH_NOT_DURABLE


cdef int _write_file(latch_t* latch, latch_file_t* file, size_t size) noexcept nogil:
    cdef size_t done = 0
    cdef ssize_t count
    cdef int error
    cdef int fd = openat_c(file.directory_fd, file.name_temporary, LATCH_FLAGS, 0o644)
    if fd < 0:
        return _failed(latch, file, LATCH_STEP_OPEN, errno)
    while done < size:
        count = write(fd, file.buffer + done, size - done)
        if count < 0 and errno == EINTR:
            continue
        if count <= 0:
            error = errno
            close(fd)
            return _failed(latch, file, LATCH_STEP_WRITE, error)
        done += count
    if fsync_c(fd) < 0:
        # After a failed sync the kernel may have dropped the pages: the next attempt writes everything anew.
        error = errno
        close(fd)
        return _failed(latch, file, LATCH_STEP_SYNC, error)
    close(fd)
    return OK


cdef int _persist(latch_t* latch, latch_file_t* file) noexcept nogil:
    cdef uint64_t word = load_acquire(&latch.word), none = 0
    cdef bint with_note = load_acquire(&latch.note_state) == 2
    cdef uint64_t reasons = <uint32_t>word
    if reasons == 0:
        return OK
    if (reasons & ~load_acquire(&latch.durable)) == 0 and load_relaxed(&latch.note_durable) == <uint64_t>with_note:
        return OK
    if file.directory_fd < 0:
        return _failed(latch, file, LATCH_STEP_OPEN, file.error_last)
    if _write_file(latch, file, latch_format(latch, word, with_note, file.buffer)) != OK:
        return LATCH_NOT_DURABLE
    # A file that somebody else wrote is evidence: it keeps a second name before ours takes its place. Where the file
    # system has no links it is lost, because the trip matters more.
    if file.keep_bad and (linkat(file.directory_fd, file.name, file.directory_fd, file.name_kept, 0) == 0
                          or errno == EEXIST):
        file.keep_bad = 0
    if renameat(file.directory_fd, file.name_temporary, file.directory_fd, file.name) != 0:
        return _failed(latch, file, LATCH_STEP_RENAME, errno)
    # Without this the rename may not outlive a power cut, though the file's bytes do.
    if fsync_c(file.directory_fd) < 0:
        return _failed(latch, file, LATCH_STEP_SYNC_DIRECTORY, errno)
    file.persist_count += 1
    or_acq_rel(&latch.durable, reasons)
    store_release(&latch.note_durable, with_note)
    return OK


cdef int latch_persist(latch_t* latch, latch_file_t* file) noexcept nogil:
    """Write what the word says. OK: on disk, and every later start is tripped. May block; not for signal handlers."""
    cdef uint64_t idle = 0
    cdef int status, waits = 0
    # One writer at a time: two would share the temporary file. The loser waits, because its caller wants to hear
    # "durable" and not "somebody is at it"; and it then writes what the winner did not know yet.
    while not cas_acq_rel(&file.busy, &idle, 1):
        idle = 0
        waits += 1
        if waits > WAITS_MAX:
            latch_trip(latch, LATCH_DISK, 0, 0)
            return LATCH_NOT_DURABLE
        latch_wait()
    status = _persist(latch, file)
    store_release(&file.busy, 0)
    return status


# ---------------------------------------------------------------- the Python face
_NAME = "|".join(REASONS)
_REASON_LINE = re.compile(rf"reason ({_NAME}) at_ns (\d{{1,19}}) value (-?\d{{1,19}})\n")
_FILE = re.compile(
    rf"bot4-latch 1\nstate tripped\nfirst ({_NAME})\n((?:reason (?:{_NAME}) at_ns \d{{1,19}} value -?\d{{1,19}}\n){{1,17}})"
    rf"(?:note ([ -~]{{1,128}})\n)?crc32 [0-9a-f]{{8}}\n")


@cython.final
cdef class Latch:
    """The latch over the file at `path`. Making it reads the file: everything but "no file" is a trip.

    `start_status` says what was found: OK, LATCH_TRIPPED, LATCH_BAD_FILE or LATCH_NOT_DURABLE. The constructor raises
    only for a path that no file could have. `close` gives the directory handle back and leaves the word as it is.
    """

    def __cinit__(self, path):
        self.path = os.fspath(path)
        directory, name = os.path.split(os.path.abspath(self.path))
        raw = os.fsencode(name)
        if not raw or len(raw) > LATCH_NAME_SIZE - 5:
            raise ValueError(f"latch file name {name!r}: 1 to {LATCH_NAME_SIZE - 5} bytes")
        self.c = <latch_t*>block_new(sizeof(latch_t))
        self.file = <latch_file_t*>block_new(sizeof(latch_file_t))
        memcpy(self.file.name, <char*>raw, len(raw))
        temporary, kept = raw + b".tmp", raw + b".bad"
        memcpy(self.file.name_temporary, <char*>temporary, len(temporary))
        memcpy(self.file.name_kept, <char*>kept, len(kept))
        self.start_status = OK
        self.start_detail = ""
        try:
            self.file.directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self.file.directory_fd = -1
            self.file.error_last = error.errno or 0
            self._start(LATCH_DISK, LATCH_NOT_DURABLE, str(error))
            return
        try:
            self._load(name)
            self._find_unfinished(name)
            self._probe(name)
        except Exception as error:
            # An exception in a safety path is a trip, whatever it was.
            self._start(LATCH_SAFETY_EXCEPTION, LATCH_BAD_FILE, repr(error))

    def __dealloc__(self):
        if self.file != NULL and self.file.directory_fd > 0:
            close(self.file.directory_fd)
        block_free(self.c)
        block_free(self.file)

    def _start(self, int reason, int status, str detail):
        """Trip for something found at start. The worst finding names the status."""
        self.trip(reason, detail)
        if status > self.start_status or self.start_status == OK:
            self.start_status = status
            self.start_detail = detail

    def _load(self, str name):
        cdef bytes raw
        try:
            # O_NONBLOCK: a pipe in the file's place must not hold the start up.
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.file.directory_fd)
        except FileNotFoundError:
            return
        except OSError as error:
            self._bad(str(error))
            return
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                self._bad("not a regular file")
                return
            raw = os.read(fd, LATCH_FILE_SIZE + 1)
        except OSError as error:
            self._bad(str(error))
            return
        finally:
            os.close(fd)
        problem = self._parse(raw)
        if problem:
            self._bad(problem)
        else:
            self.start_status = LATCH_TRIPPED
            self.start_detail = f"tripped before: {', '.join(self.reasons)}"

    def _bad(self, str detail):
        self.file.keep_bad = 1
        self._start(LATCH_FILE_BAD, LATCH_BAD_FILE, detail)

    def _parse(self, bytes raw):
        """Take the trip of a valid file over, or say what is wrong with it and take nothing."""
        cdef latch_t found
        cdef uint64_t mask = 0
        cdef size_t size
        cdef char again[LATCH_FILE_SIZE]
        cdef bytes note
        cdef int reason
        match = _FILE.fullmatch(raw.decode("latin-1"))
        if match is None:
            return "not a latch file of this version"
        for name, at_ns, value in _REASON_LINE.findall(match[2]):
            reason = REASONS.index(name)
            if not 1 <= int(at_ns) < 2**63 or not -(2**63) <= int(value) < 2**63:
                return "a number is out of range"
            found.at_ns[reason] = int(at_ns)
            found.value[reason] = int(value)
            mask |= <uint64_t>1 << reason
        first = REASONS.index(match[1])
        if not mask >> first & 1:
            return "the first reason is not among the reasons"
        note = (match[3] or "").encode("ascii")
        found.note_length = len(note)
        memcpy(found.note, <char*>note, len(note))
        # Written again it must be the same text: that checks the order, the repeats, the zeros and the checksum.
        mask |= <uint64_t>first << LATCH_FIRST_SHIFT
        size = latch_format(&found, mask, bool(note), again)
        if again[:size] != raw:
            return "the checksum or the form is wrong"
        for reason in range(REASON_COUNT):
            if mask >> reason & 1:
                self.c.at_ns[reason] = found.at_ns[reason]
                self.c.value[reason] = found.value[reason]
        latch_note(self.c, found.note, found.note_length)
        self.c.durable = <uint32_t>mask
        self.c.note_durable = bool(note)
        store_release(&self.c.word, mask)
        return ""

    def _find_unfinished(self, str name):
        try:
            os.stat(name + ".tmp", dir_fd=self.file.directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        self._start(LATCH_UNFINISHED, LATCH_TRIPPED, "a process died while it wrote its trip")

    def _probe(self, str name):
        """Write, sync and remove a file of the largest size: a trip must not be the first to learn that it cannot."""
        probe = name + ".new"
        try:
            fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600,
                         dir_fd=self.file.directory_fd)
            try:
                if os.write(fd, bytes(LATCH_FILE_SIZE)) != LATCH_FILE_SIZE:
                    raise OSError("short write")
                os.fsync(fd)
            finally:
                os.close(fd)
                os.unlink(probe, dir_fd=self.file.directory_fd)
            os.fsync(self.file.directory_fd)
        except OSError as error:
            self.file.error_last = error.errno or 0
            self._start(LATCH_DISK, LATCH_NOT_DURABLE, str(error))

    def trip(self, reason, detail="", *, value=0, now_ns=None):
        """Trip now; True if this call was the first. Never raises: what it does not understand, it trips on too."""
        cdef int code = LATCH_UNKNOWN
        cdef int64_t number = 0, at_ns = 0
        cdef int status
        cdef bytes text
        try:
            code = REASONS.index(reason) if isinstance(reason, str) else int(reason)
            number = value
            at_ns = clock_utc_ns() if now_ns is None else now_ns
        except Exception as error:
            detail = f"{reason!r:.40} {detail!s:.40} {error!r:.40}"
        status = latch_trip(self.c, code, at_ns, number)
        text = str(detail).encode("ascii", "replace")
        latch_note(self.c, text, len(text))
        return status == OK

    def persist(self):
        """Make the trip durable; LatchNotDurable if the disk refuses. Without a trip there is nothing to write."""
        cdef int status
        with nogil:
            status = latch_persist(self.c, self.file)
        if status != OK:
            raise_status(status, f"{self.path}: {Step(self.file.step_last).name}, {os.strerror(self.file.error_last)}")

    def require_clear(self):
        """Return while clear; else raise LatchTripped, or what was found at start: LatchBadFile, LatchNotDurable."""
        if latch_check(self.c) != OK:
            raise_status(self.start_status or LATCH_TRIPPED, f"{', '.join(self.reasons)}. {self.note}")

    @property
    def tripped(self):
        return latch_check(self.c) != OK

    @property
    def durable(self):
        """True when the file says tripped, so that every later start is tripped too."""
        return load_acquire(&self.c.durable) != 0

    @property
    def pending(self):
        """The reasons that the file does not hold yet."""
        return self._names(<uint32_t>load_acquire(&self.c.word) & ~load_acquire(&self.c.durable))

    @property
    def first(self):
        """The reason that came first, or None."""
        cdef uint64_t word = load_acquire(&self.c.word)
        return REASONS[(word >> LATCH_FIRST_SHIFT) & 0xff] if word else None

    @property
    def reasons(self):
        return self._names(load_acquire(&self.c.word))

    def _names(self, uint64_t mask):
        return tuple(name for i, name in enumerate(REASONS) if mask >> i & 1)

    def record(self):
        """(reason, time, value) of each, in their fixed order."""
        mask = load_acquire(&self.c.word)
        return tuple((REASONS[i], self.c.at_ns[i], self.c.value[i]) for i in range(REASON_COUNT) if mask >> i & 1)

    @property
    def note(self):
        if load_acquire(&self.c.note_state) != 2:
            return ""
        return self.c.note[:self.c.note_length].decode("ascii")

    @property
    def trip_count(self):
        return load_relaxed(&self.c.trip_count)

    @property
    def failed_count(self):
        return self.file.failed_count

    @property
    def address(self):
        """Of the memory word: for a reader in another library. Read it, never write it."""
        return <uintptr_t>&self.c.word

    def close(self):
        """Give the directory handle back; a later persist fails. The word stays. Twice is fine."""
        if self.file.directory_fd >= 0:
            close(self.file.directory_fd)
        self.file.directory_fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def check(self):
        """Walk the invariants."""
        cdef uint64_t word = load_acquire(&self.c.word), first = (word >> LATCH_FIRST_SHIFT) & 0xff
        cdef int reason
        assert word >> 40 == 0 and <uint32_t>word >> REASON_COUNT == 0, "a bit that means nothing"
        assert (word == 0) or (word >> first & 1), "the first reason is not among the reasons"
        assert load_acquire(&self.c.durable) & ~word == 0, "the file holds a reason that the word does not"
        for reason in range(LATCH_REASONS_MAX):
            assert not (word >> reason & 1) or self.c.at_ns[reason] > 0, "a reason without a time"
        assert self.c.note_state <= 2 and self.c.note_length <= LATCH_NOTE_SIZE, "note"

"""Loads a built strategy: dlopen, a check of its stamp, one address. No compiler, no writable code.

Owns the handle. The address is valid as long as this object lives; `Core.bind` keeps it. What it does not do is
decide whether the file may be trusted: cache.py checked its hash before.
"""
cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t, uintptr_t

from engine.errors import StrategyCacheCorrupt

from engine._core.strategy_abi cimport STRATEGY_ABI, decide_t, view_t, wishes_t
from engine._core.types cimport STRATEGY_BAD_ABI, raise_status

from engine._core.strategy_abi import VIEW, WISHES


cdef extern from "dlfcn.h" nogil:
    void* dlopen(const char* path, int flags)
    void* dlsym(void* handle, const char* name)
    int dlclose(void* handle)
    char* dlerror()
    int RTLD_NOW
    int RTLD_LOCAL


cdef struct stamp_t:
    uint64_t magic
    int64_t abi
    int64_t view_bytes
    int64_t wishes_bytes
    char key[64]


cdef uint64_t MAGIC = 0x3153545254423442


cdef uintptr_t _address(record, dtype) except 0:
    if record.dtype != dtype:
        raise TypeError(f"a record of {dtype.itemsize} bytes in the contract's layout is needed, not {record.dtype}")
    return record.__array_interface__["data"][0]


def call(uintptr_t address, view, wishes):
    """Call a `decide` pointer on one VIEW and one WISHES record. For tests and research; the core calls it itself."""
    cdef view_t* v = <view_t*>_address(view, VIEW)
    cdef wishes_t* w = <wishes_t*>_address(wishes, WISHES)
    cdef int answer
    with nogil:
        answer = (<decide_t>address)(v, w)
    return answer


@cython.final
cdef class Library:
    """One built strategy in this process."""

    cdef void* handle
    cdef readonly uintptr_t address
    cdef readonly str path
    cdef readonly str key

    def __cinit__(self, str path, str key):
        cdef bytes name = path.encode()
        cdef stamp_t* stamp
        self.path = path
        self.key = key
        self.handle = dlopen(name, RTLD_NOW | RTLD_LOCAL)
        if self.handle == NULL:
            raise StrategyCacheCorrupt(dlerror().decode())
        stamp = <stamp_t*>dlsym(self.handle, b"bot4_strategy")
        if stamp == NULL or stamp.magic != MAGIC:
            raise StrategyCacheCorrupt(f"{path} is not a built strategy.")
        if PyBytes_FromStringAndSize(stamp.key, 64).decode("ascii", "replace") != key:
            raise StrategyCacheCorrupt(f"{path} was built for another key.")
        if (stamp.abi != STRATEGY_ABI or stamp.view_bytes != <int64_t>sizeof(view_t)
                or stamp.wishes_bytes != <int64_t>sizeof(wishes_t)):
            raise_status(STRATEGY_BAD_ABI, f"{path}: layout {stamp.abi}, this engine has {STRATEGY_ABI}.")
        self.address = <uintptr_t>dlsym(self.handle, b"bot4_decide")
        if self.address == 0:
            raise StrategyCacheCorrupt(f"{path} has no entry.")

    def __dealloc__(self):
        if self.handle != NULL:
            dlclose(self.handle)

    def __call__(self, view, wishes):
        return call(self.address, view, wishes)

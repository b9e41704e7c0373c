"""What the operating system refuses: a real failure of a real call, for one thread and as long as it lives.

A seccomp filter answers the named calls with an error number before they reach the disk. It holds for the thread that
set it and cannot be taken back, so everything happens in a thread of its own, and the rest of the process sees nothing.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

NUMBERS = {
    "x86_64": {"mmap": 9, "msync": 26, "fsync": 74, "fdatasync": 75, "fallocate": 285},
    "aarch64": {"mmap": 222, "msync": 227, "fsync": 82, "fdatasync": 83, "fallocate": 47},
}
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER_AT, FLAGS_AT = 0, 16 + 3 * 8  # in struct seccomp_data: the call's number, the low word of its fourth argument
SHARED = 1
NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("size", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _filter(refused: dict[str, int]) -> bytes:
    """The program: each named call ends with its error number, a mapping only when it is a shared one."""
    numbers = NUMBERS[platform.machine()]
    code = []
    for name, number in refused.items():
        code.append((LOAD, 0, 0, NUMBER_AT))
        if name == "mmap":  # the allocator maps too, privately, and is left alone
            code += [(EQUAL, 0, 3, numbers[name]), (LOAD, 0, 0, FLAGS_AT), (EQUAL, 0, 1, SHARED)]
        else:
            code.append((EQUAL, 0, 1, numbers[name]))
        code.append((RETURN, 0, 0, ERRNO | number))
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def refusing(act: Callable[[], Any], **refused: int) -> Any:
    """What `act` returns or raises where each named call fails with its error number: refusing(f, fsync=errno.EIO)."""
    if platform.machine() not in NUMBERS:
        pytest.skip(f"no call numbers for {platform.machine()}")
    out: list[Any] = []

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        code = _filter(refused)
        program = _Program(len(code) // 8, code)
        # Lines of the tracer, if there is one, are written by other threads: this one may do as it likes.
        if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0):
            out.append(errno.errorcode[ctypes.get_errno()])
            return
        try:
            out.append((act(), None))
        except BaseException as raised:  # noqa: BLE001 - handed on below, in the thread that asked
            out.append((None, raised))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(out[0], str):
        pytest.skip(f"this machine sets no filters: {out[0]}")
    value, raised = out[0]
    if raised is not None:
        raise raised
    return value

"""On the path of every process of a coverage run: a process that leaves by os._exit writes its counts first.

A worker of pytest's, a process of a pool and a halted engine leave so. gcov writes when the C library ends the process
and coverage.py when Python does; os._exit skips both. So here it saves what coverage.py saw and leaves by the C
library's exit, which runs the counted modules' writers and nothing of Python. The lock is kept meanwhile, so that no
other thread of Python goes on. Only a process that is killed, or left by C's own _exit, writes nothing.
"""

from __future__ import annotations

import ctypes
import os
from typing import NoReturn

import coverage

_leave = ctypes.PyDLL(None).exit


def _exit(status: int) -> NoReturn:
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.save()
    _leave(status)
    raise SystemExit(status)


os._exit = _exit

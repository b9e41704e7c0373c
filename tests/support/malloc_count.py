"""Counts the allocations of a piece of Python in a child process, call by call, below Python and C alike."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine._core.isa import profile

SOURCE = Path(__file__).with_name("malloc_count.c")
# CC may hold more than a name: `ccache gcc`.
CC = shlex.split(os.environ.get("CC", "cc"))
ROOT = Path(__file__).resolve().parents[2]

# Sanitizers replace the allocator themselves; two replacements in one process cannot be.
needs_own_allocator = pytest.mark.skipif(
    profile() in ("sanitize", "thread"), reason="the sanitizer's allocator stands where the counting one would"
)

_PRELUDE = """
import ctypes, gc, json
_count = ctypes.CDLL(None).bot4_allocation_calls
_count.restype = ctypes.c_uint64
def calls(work, *args):
    # The collector would run inside the block under test; the first reading makes what ctypes makes only once.
    gc.collect(); gc.disable(); _count()
    before = _count(); work(*args); after = _count()
    gc.enable()
    return after - before
result = {}
"""


def run_counted(script: str, folder: Path) -> dict[str, Any]:
    """Run a script that fills `result` with what `calls(function)` counts; built into `folder` first."""
    library = folder / "malloc_count.so"
    subprocess.run(
        [*CC, "-std=gnu11", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(library)],
        check=True,
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{_PRELUDE}\n{script}\nprint(json.dumps(result))"],
        cwd=ROOT, env=os.environ | {"LD_PRELOAD": str(library)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counted: dict[str, Any] = json.loads(done.stdout)
    return counted

"""The sanitized builds see a planted defect, made in a temporary folder with the project's own flags and gone after."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source.files import ROOT

PLANTED = """
from libc.stdlib cimport free, malloc

cdef extern from *:
    '''
    /* volatile: each round is a store of its own, not one sum at the end. */
    static volatile long planted_shared;
    static void planted_add(long value) { planted_shared += value; }
    '''
    void planted_add(long value) noexcept nogil

def write(int at, size_t size=64):
    # The size comes from outside, so that the compiler cannot know it and only the allocator's guard is left.
    cdef char* block = <char*>malloc(size)
    block[at] = 1
    kept = block[0]
    free(block)
    return kept

def shift(int by):
    cdef int one = 1
    return one << by

def count(long times):
    cdef long i
    with nogil:
        for i in range(times):
            planted_add(i)
"""
RACE = """
import threading
from engine import planted
# Long enough that the second is under way before the first is done: the interpreter lock orders short ones.
threads = [threading.Thread(target=planted.count, args=(5_000_000,)) for _ in range({threads})]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
needs_sanitizers = pytest.mark.skipif(
    bool(os.environ.get("LD_PRELOAD")), reason="already inside a sanitized run, which cannot start another"
)


def _library(name: str) -> str:
    done = subprocess.run(
        [os.environ.get("CC", "cc"), f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _build(folder: Path, profile: str) -> Path:
    (folder / "engine").mkdir()
    (folder / "engine" / "planted.pyx").write_text(PLANTED)
    environment = {k: v for k, v in os.environ.items() if k != "BOT4_BENCH"} | {"BOT4_PROFILE": profile}
    done = subprocess.run(
        [sys.executable, str(ROOT / "setup.py"), "build_ext", "--inplace"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _run(folder: Path, code: str, runtime: str, *prefix: str, **options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | options | {"LD_PRELOAD": runtime, "PYTHONMALLOC": "malloc"}
    return subprocess.run(
        [*prefix, sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@needs_sanitizers
def test_the_sanitize_profile_sees_an_overflow_and_undefined_behaviour(tmp_path):
    folder = _build(tmp_path, "sanitize")
    runtime = f"{_library('libasan.so')} {_library('libubsan.so')}"
    if not Path(_library("libasan.so")).is_absolute():
        pytest.skip("the compiler came without AddressSanitizer's runtime")
    leaks = {"ASAN_OPTIONS": "detect_leaks=0"}
    good = _run(folder, "from engine import planted; planted.write(63); planted.shift(30)", runtime, **leaks)
    assert good.returncode == 0, good.stderr
    over = _run(folder, "from engine import planted; planted.write(64)", runtime, **leaks)
    assert over.returncode != 0
    assert "heap-buffer-overflow" in over.stderr
    shift = _run(folder, "from engine import planted; planted.shift(77)", runtime, **leaks)
    assert shift.returncode != 0
    assert "runtime error: shift exponent" in shift.stderr


@pytest.mark.slow
@needs_sanitizers
@pytest.mark.skipif(shutil.which("setarch") is None, reason="setarch is not installed")
def test_the_thread_profile_sees_a_race(tmp_path):
    folder = _build(tmp_path, "thread")
    if not Path(_library("libtsan.so")).is_absolute():
        pytest.skip("the compiler came without ThreadSanitizer's runtime")
    options = {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66"}
    alone = _run(folder, RACE.format(threads=1), _library("libtsan.so"), "setarch", "-R", **options)
    assert alone.returncode == 0, alone.stderr
    race = _run(folder, RACE.format(threads=4), _library("libtsan.so"), "setarch", "-R", **options)
    assert race.returncode == 66
    assert "data race" in race.stderr

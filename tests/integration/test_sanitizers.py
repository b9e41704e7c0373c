"""The sanitized builds see a planted defect, made in a temporary folder with the project's own flags and gone after."""

from __future__ import annotations

import os
import shlex
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
# The top line's own reader and writer, cut out of book.pxd, around one line that two threads share.
TOP_LINE = """
from libc.stdint cimport int64_t, uint64_t
from engine._core.atomics cimport (add_relaxed, cpu_relax, load_acquire, load_acquire_i64, load_relaxed, store_relaxed,
                                   store_release, store_release_i64)

{cut}
cdef book_top_t line

def write(uint64_t[::1] shared, long times):
    cdef book_top_t new
    cdef long n = 0
    new.version = 0
    with nogil:
        add_relaxed(&shared[0], <uint64_t>-1)
        while load_acquire(&shared[0]) != 0:
            cpu_relax()
        while n < times and not load_acquire(&shared[2]):
            n += 1
            new.bid_px_ticks = new.bid_qty_lots = new.ask_px_ticks = new.ask_qty_lots = n
            new.update_id = new.ts_ns = n
            new.trust = <uint64_t>n
            book_top_write(&line, &new)
        store_release(&shared[1], 1)

def read(uint64_t[::1] shared):
    cdef book_top_t top
    cdef bint torn = False
    with nogil:
        add_relaxed(&shared[0], <uint64_t>-1)
        while load_acquire(&shared[0]) != 0:
            cpu_relax()
        while not torn and not load_acquire(&shared[1]):
            book_top_read(&line, &top)
            torn = (top.bid_px_ticks != top.update_id or top.bid_qty_lots != top.update_id
                    or top.ask_px_ticks != top.update_id or top.ask_qty_lots != top.update_id
                    or top.ts_ns != top.update_id or <int64_t>top.trust != top.update_id)
        store_release(&shared[2], 1)
    return torn
"""
TOP_LINE_RUN = """
import threading
from engine import {module} as top
shared = memoryview(bytearray(24)).cast("Q")
shared[0] = 2
writer = threading.Thread(target=top.write, args=(shared, {times}))
writer.start()
print("torn" if top.read(shared) else "whole")
writer.join()
"""
# CC may hold more than a name: `ccache gcc`.
CC = shlex.split(os.environ.get("CC", "cc"))
needs_sanitizers = pytest.mark.skipif(
    bool(os.environ.get("LD_PRELOAD")), reason="already inside a sanitized run, which cannot start another"
)


def _library(name: str) -> str:
    done = subprocess.run([*CC, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _build(folder: Path, profile: str, modules: dict[str, str]) -> Path:
    (folder / "engine" / "_core").mkdir(parents=True)
    shutil.copy(ROOT / "engine" / "_core" / "atomics.pxd", folder / "engine" / "_core")
    for name, text in modules.items():
        (folder / "engine" / f"{name}.pyx").write_text(text)
    environment = {k: v for k, v in os.environ.items() if k != "BOT4_BENCH"} | {"BOT4_PROFILE": profile}
    done = subprocess.run(
        [sys.executable, str(ROOT / "setup.py"), "build_ext", "--inplace"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _run(folder: Path, code: str, runtime: str, *prefix: str, **options: str) -> subprocess.CompletedProcess[str]:
    # The folder holds an `engine` of its own: a path that leads to another checkout would hide it.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = own | options | {"LD_PRELOAD": runtime, "PYTHONMALLOC": "malloc"}
    return subprocess.run(
        [*prefix, sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@needs_sanitizers
def test_the_sanitize_profile_sees_an_overflow_and_undefined_behaviour(tmp_path):
    folder = _build(tmp_path, "sanitize", {"planted": PLANTED})
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
    folder = _build(tmp_path, "thread", {"planted": PLANTED})
    if not Path(_library("libtsan.so")).is_absolute():
        pytest.skip("the compiler came without ThreadSanitizer's runtime")
    options = {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66"}
    alone = _run(folder, RACE.format(threads=1), _library("libtsan.so"), "setarch", "-R", **options)
    assert alone.returncode == 0, alone.stderr
    race = _run(folder, RACE.format(threads=4), _library("libtsan.so"), "setarch", "-R", **options)
    assert race.returncode == 66
    assert "data race" in race.stderr


def _top_line(replaced: str = "", by: str = "") -> str:
    text = (ROOT / "engine" / "_core" / "book.pxd").read_text()
    struct = text[text.index("cdef struct book_top_t") : text.index("cdef struct book_config_t")]
    functions = text[text.index("cdef inline void book_top_read") : text.index("# The writer's own thread")]
    assert functions.count(replaced) == 1 or not replaced
    return TOP_LINE.format(cut=struct + (functions.replace(replaced, by) if replaced else functions))


@pytest.mark.slow
@needs_sanitizers
@pytest.mark.skipif(shutil.which("setarch") is None, reason="setarch is not installed")
def test_the_top_line_has_no_race_and_its_broken_forms_are_seen(tmp_path):
    modules = {
        "whole": _top_line(),
        # A word that is not stored atomically may reach the reader before the version that guards it.
        "plain": _top_line("store_release_i64(&top.ts_ns, new.ts_ns)", "top.ts_ns = new.ts_ns"),
        # Without the odd version a reading that overlaps a write looks whole.
        "even": _top_line("    store_relaxed(&top.version, version + 1)\n", ""),
    }
    folder = _build(tmp_path, "thread", modules)
    if not Path(_library("libtsan.so")).is_absolute():
        pytest.skip("the compiler came without ThreadSanitizer's runtime")
    options = {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66"}

    def run(module: str, times: int) -> subprocess.CompletedProcess[str]:
        code = TOP_LINE_RUN.format(module=module, times=times)
        return _run(folder, code, _library("libtsan.so"), "setarch", "-R", **options)

    whole = run("whole", 500_000)
    assert (whole.returncode, whole.stdout) == (0, "whole\n"), whole.stderr
    plain = run("plain", 500_000)
    assert plain.returncode == 66
    assert "data race" in plain.stderr
    # The writer goes on until the reader has seen it.
    even = run("even", 2_000_000_000)
    assert (even.returncode, even.stdout) == (0, "torn\n"), even.stderr

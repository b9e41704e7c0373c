"""The arena is aligned, zeroed, touched and sealed, and says honestly what the machine granted; the probes see."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.histogram import Histogram
from engine._core.isa import profile
from engine._core.memory import AllocationProbe, Arena, heap_blocks
from engine._core.world import World
from engine.errors import ArenaExhausted, ArenaSealed, BadSize
from tests.support.malloc_count import needs_own_allocator, run_counted

PAGE = mmap.PAGESIZE
locks_are_real = pytest.mark.skipif(
    profile() in ("sanitize", "thread"), reason="the sanitizers answer mlock with success and lock nothing"
)
EMULATED = bool(os.environ.get("BOT4_EMULATED"))
MIB = 1 << 20


def _address(block: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(block))


def _mapping(address: int) -> str:
    """What the kernel says about the mapping that holds an address."""
    entries = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    for entry in entries:
        low, high = (int(part, 16) for part in entry.split(" ", 1)[0].split("-"))
        if low <= address < high:
            return entry
    raise AssertionError("no such mapping")


@given(carves=st.lists(st.tuples(st.integers(1, 300), st.sampled_from([1, 2, 8, 64, 256, 4096, 16384])), max_size=30))
def test_carves_are_aligned_zeroed_inside_and_apart(carves):
    arena = Arena(64 * 1024, huge_pages=False, lock=False)
    spans, refused = [], 0
    for size, align in carves:
        try:
            block = arena.carve(size, align)
        except ArenaExhausted:
            refused += 1
            continue
        address = _address(block)
        assert address % align == 0
        assert len(block) == size
        assert bytes(block) == bytes(size)
        block[:] = b"\xff" * size
        spans.append((address, address + size))
        arena.check()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert all(arena.address <= start and end <= arena.address + arena.size for start, end in spans)
    assert (arena.carved_count, arena.refused_count) == (len(spans), refused)


def test_the_last_byte_can_be_carved_and_not_one_more():
    arena = Arena(PAGE, huge_pages=False, lock=False)
    arena.carve(PAGE - 64, 1)
    assert len(arena.carve(64, 64)) == 64
    assert arena.used == arena.size == PAGE
    with pytest.raises(ArenaExhausted, match="1 bytes asked, 0 left"):
        arena.carve(1, 1)
    arena.check()


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 2**64 - 64])
def test_a_size_that_would_wrap_is_refused(size):
    arena = Arena(PAGE, huge_pages=False, lock=False)
    arena.carve(64)
    with pytest.raises(ArenaExhausted):
        arena.carve(size)
    with pytest.raises(ArenaExhausted):
        arena.carve(64, 2**63)
    assert (arena.used, arena.refused_count) == (64, 2)


@pytest.mark.parametrize(("size", "align"), [(0, 64), (64, 0), (64, 3), (64, 96)])
def test_a_carve_without_size_or_with_a_bad_alignment_is_refused_and_counted(size, align):
    arena = Arena(PAGE, huge_pages=False, lock=False)
    with pytest.raises(BadSize):
        arena.carve(size, align)
    assert (arena.refused_count, arena.carved_count, arena.used) == (1, 0, 0)


@pytest.mark.parametrize("size", [0, -1, (1 << 40) + 1, 1.5, "4096", None])
def test_an_arena_of_no_size_is_refused(size):
    with pytest.raises(BadSize):
        Arena(size)


@pytest.mark.skipif(EMULATED, reason="under emulation the kernel's answers about memory are the emulator's")
def test_an_arena_larger_than_the_machine_is_refused_in_plain_words():
    limit = resource.getrlimit(resource.RLIMIT_AS)
    if profile() in ("sanitize", "thread"):
        pytest.skip("a sanitizer's shadow memory is larger than any limit")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    resource.setrlimit(resource.RLIMIT_AS, (used + 256 * MIB, limit[1]))
    try:
        with pytest.raises(ArenaExhausted, match="mmap of"):
            Arena(1 << 30, huge_pages=False, lock=False)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)


def test_a_sealed_arena_refuses_every_carve_and_counts_it():
    arena = Arena(PAGE, huge_pages=False, lock=False)
    kept = arena.carve(64)
    arena.seal()
    arena.seal()
    assert arena.sealed
    for _ in range(3):
        with pytest.raises(ArenaSealed):
            arena.carve(1)
    assert (arena.used, arena.carved_count, arena.refused_count) == (64, 1, 3)
    kept[0] = 7
    assert kept[0] == 7


def test_a_growing_arena_has_the_pages_that_were_carved_and_gives_back_the_rest():
    arena = Arena(1 << 34, huge_pages=False, lock=False, grows=True)
    before = _resident()
    block = arena.carve(3 * PAGE)
    block[:] = b"\x07" * len(block)
    assert "---p" in _mapping(arena.address + 4 * PAGE)
    assert _resident() - before < 1000
    arena.seal()
    arena.check()
    assert arena.size == 3 * PAGE
    assert bytes(block) == b"\x07" * (3 * PAGE)
    with pytest.raises(ArenaSealed):
        arena.carve(1)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(EMULATED, reason="under emulation the kernel's answers about memory are the emulator's")
def test_a_growing_arena_that_gets_no_more_memory_is_as_it_was():
    if profile() in ("sanitize", "thread"):
        pytest.skip("a sanitizer's shadow memory is larger than any limit")
    script = f"""
import resource
from engine._core.memory import Arena
from engine.errors import ArenaExhausted
arena = Arena(1 << 32, huge_pages=False, lock=False, grows=True)
arena.carve(100)
data = next(int(l.split()[1]) << 10 for l in open("/proc/self/status") if l.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (data + {64 * MIB}, -1))
try:
    arena.carve(1 << 31)
except ArenaExhausted as error:
    assert "bytes more" in str(error), error
    arena.check()
    print(arena.used, arena.carved_count, arena.refused_count)
arena.carve(100)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "100 1 1\n", "")


def test_kernels_made_while_an_arena_is_open_stand_in_it_and_keep_it():
    arena, outside = Arena(1 << 30, lock=False, grows=True), heap_blocks()
    arena.open()
    with pytest.raises(ArenaSealed, match="another arena"):
        Arena(PAGE).open()
    kept, dropped = Histogram(), Histogram()
    arena.seal()
    assert (arena.carved_count, heap_blocks()) == (2, outside)
    assert Histogram().count == 0
    assert heap_blocks() == outside + 1
    del dropped
    watched = _mapping(arena.address).split(" ", 1)[0]
    del arena
    kept.record_many(np.arange(1000, dtype=np.int64))
    assert kept.count == 1000
    assert watched in Path("/proc/self/maps").read_text()
    del kept
    assert watched not in Path("/proc/self/maps").read_text()


def test_a_large_block_of_an_arena_begins_on_a_huge_page():
    arena = Arena(1 << 30, lock=False, grows=True)
    arena.open()
    small, world = Histogram(), World(symbols=64, strategies=4, orders=4096, book_levels=4096, book_ticks=4096)
    arena.seal()
    assert small.count == 0
    address = np.frombuffer(world, np.uint8).ctypes.data
    assert address % (2 * MIB) == 0 < arena.address <= address
    world.check()


def test_a_sealed_arena_cannot_be_opened_again():
    arena = Arena(PAGE, huge_pages=False, lock=False)
    arena.seal()
    with pytest.raises(ArenaSealed):
        arena.open()


def test_a_carved_block_keeps_its_arena_alive():
    block = Arena(PAGE, huge_pages=False, lock=False).carve(128)
    block[:] = bytes(range(128))
    assert bytes(block) == bytes(range(128))


@pytest.mark.skipif(EMULATED, reason="under emulation the kernel's answers about memory are the emulator's")
@pytest.mark.parametrize("huge_pages", [False, True])
def test_every_page_is_resident_before_anyone_needs_it(huge_pages):
    arena = Arena(8 * MIB, huge_pages=huge_pages, lock=False)
    resident = (ctypes.c_ubyte * (arena.size // PAGE))()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mincore(ctypes.c_void_p(arena.address), ctypes.c_size_t(arena.size), resident) == 0
    assert all(flag & 1 for flag in resident)


@pytest.mark.skipif(EMULATED, reason="under emulation the kernel's answers about memory are the emulator's")
def test_writing_to_the_arena_faults_no_page_in():
    pages = 2048
    arena = Arena(pages * PAGE, huge_pages=False, lock=False)
    touched = np.frombuffer(arena.carve(pages * PAGE), dtype=np.uint8)
    fresh_map = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    fresh_map.madvise(mmap.MADV_NOHUGEPAGE)
    fresh = np.frombuffer(fresh_map, dtype=np.uint8)

    def faults(block: np.ndarray) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block[::PAGE] = 1
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    # The fresh mapping shows that the counter counts; a few faults may be the interpreter's own.
    assert faults(fresh) >= pages
    assert faults(touched) < pages / 100


@locks_are_real
@pytest.mark.skipif(EMULATED, reason="under emulation the kernel's answers about memory are the emulator's")
@pytest.mark.parametrize(("huge_pages", "lock"), [(False, False), (False, True), (True, False), (True, True)])
def test_what_the_arena_reports_is_what_the_kernel_granted(huge_pages, lock):
    arena = Arena(4 * MIB, huge_pages=huge_pages, lock=lock)
    flags = re.search(r"VmFlags: (.*)", _mapping(arena.address))
    assert flags is not None
    granted = flags[1].split()
    assert (arena.locked == "yes") == ("lo" in granted)
    assert arena.locked == "yes" or arena.locked.startswith("no: ")
    assert arena.pages.startswith("2 MiB, reserved") == ("ht" in granted)
    assert arena.pages.startswith("2 MiB where") == ("hg" in granted)
    assert huge_pages or arena.pages.startswith("4 KiB")
    assert lock or arena.locked == "no: not asked for"


@locks_are_real
def test_a_refused_lock_is_said_and_not_fatal():
    # A child gives up the right to lock memory, so that the refusal is real on every machine.
    script = """
import ctypes, resource
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
class Head(ctypes.Structure): _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
nothing = (ctypes.c_uint32 * 6)()    # effective, permitted, inheritable; twice 32 bits of each
assert ctypes.CDLL(None).capset(ctypes.byref(Head(0x20080522, 0)), nothing) == 0
from engine._core.memory import Arena
arena = Arena(1 << 20, huge_pages=False, lock=True)
arena.check()
print(arena.locked)
from engine.safety.tuning import arena_row
print(arena_row(arena).text(), arena_row(Arena(1 << 20, huge_pages=False, lock=False)).granted)
grown = Arena(1 << 30, lock=True, grows=True)
grown.carve(1)
print(grown.locked)
"""

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, row, grown = done.stdout.splitlines()
    assert whole.startswith("no: ")
    assert "LimitMEMLOCK" in whole
    assert row.startswith("arena: REFUSED, 0.0 MiB in 0 blocks; pages of 4 KiB")
    assert row.endswith(f"locked: {whole} True")
    assert grown == whole


# ------------------------------------------------------------------------------------------------ counting allocations
def test_the_probe_sees_python_objects_made():
    with AllocationProbe() as probe:
        kept = [bytes(1000) for _ in range(100)]
    assert probe.python_calls >= 100
    assert len(kept) == 100


@pytest.mark.skipif(profile() in ("sanitize", "thread"), reason="mallinfo2 does not know the sanitizer's heap")
def test_the_probe_sees_the_c_heap_grow():
    with AllocationProbe() as probe:
        kept = Histogram()
    assert probe.heap_bytes >= kept.counts().nbytes


def test_recording_a_million_values_makes_no_object():
    histogram, values = Histogram(), np.arange(1_000_000, dtype=np.int64)
    one = values[:1]
    with AllocationProbe() as small:
        histogram.record_many(one)
    with AllocationProbe() as large:
        histogram.record_many(values)
    # What a call costs in objects for its arguments, it costs once, not per value.
    assert large.python_calls == small.python_calls < 50
    assert large.heap_bytes <= small.heap_bytes + 4096
    assert histogram.count == 1_000_001


def test_two_probes_at_once_are_refused_and_the_first_still_works():
    with AllocationProbe() as outer:
        with pytest.raises(RuntimeError), AllocationProbe():
            pass
        kept = bytearray(5000)
    assert outer.python_calls >= 1
    assert len(kept) == 5000
    with AllocationProbe() as again:
        kept = bytearray(5000)
    assert again.python_calls >= 1


@needs_own_allocator
def test_a_million_records_and_stamps_call_no_allocator_and_a_growing_list_does(tmp_path):
    counted = run_counted(
        """
import numpy as np
from itertools import repeat
from engine._core.clock import Clock
from engine._core.histogram import Histogram
values, histogram, clock = np.arange(1_000_000, dtype=np.int64), Histogram(), Clock()
def stamps(count):
    stamp = clock.stamp
    for _ in repeat(None, count): stamp()
def grow(count):
    kept = []
    for _ in repeat(None, count): kept.append(None)
for warm in range(2): histogram.record_many(values[:1]); stamps(10); grow(10)
result["record_one"] = calls(histogram.record_many, values[:1])
result["record_million"] = calls(histogram.record_many, values)
result["stamp_ten"] = calls(stamps, 10)
result["stamp_million"] = calls(stamps, 1_000_000)
result["grow"] = calls(grow, 1_000_000)
result["count"] = histogram.count
""",
        tmp_path,
    )
    assert counted["count"] == 1_000_003
    # The numpy and ctypes calls around the block may allocate once; a call that allocated per value shows a million.
    assert counted["record_million"] <= counted["record_one"] < 20
    assert counted["stamp_million"] <= counted["stamp_ten"] + 2 < 20
    assert counted["grow"] > 50


@needs_own_allocator
def test_the_arena_is_one_mapping_and_its_carves_call_no_allocator(tmp_path):
    counted = run_counted(
        """
from engine._core.memory import Arena
def make(): result["arena"] = Arena(1 << 20, huge_pages=False, lock=False)
result["make"] = calls(make)
arena = result.pop("arena")
def carve(): [arena.carve(64) for _ in range(1000)] and None
carve()
result["carve"] = calls(carve)
result["carved"] = arena.carved_count
""",
        tmp_path,
    )
    assert counted["carved"] == 2000
    assert 1 <= counted["make"] < 20
    # A thousand Python views are made around the carves and die again: pymalloc serves them from what it has.
    assert counted["carve"] < 100

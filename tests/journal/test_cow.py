"""A copy of a block that is written to meanwhile: it is the block as it stood, whoever writes, wherever it lies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from engine._core.step import Core
from engine._core.types import EVENT, Kind
from engine._core.world import World
from engine.journal import snapshot
from engine.journal.cow import CHUNK, PageCopy
from engine.journal.layout import find_session
from engine.journal.replay import replay_session
from engine.journal.snapshot import Snapshotter, read_snapshot
from engine.journal.writer import JournalConfig, JournalWriter

PAGE = os.sysconf("SC_PAGESIZE")


def block(size, offset=0):
    """A view of `size` bytes that begins `offset` bytes behind a page."""
    room = np.zeros(size + 2 * PAGE, np.uint8)
    start = -room.ctypes.data % PAGE + offset
    view = room[start : start + size]
    view[:] = np.arange(size, dtype=np.uint64).view(np.uint8)[:size]
    return view


@pytest.mark.parametrize("offset", [0, 1, 64, PAGE - 1])
@pytest.mark.parametrize("size", [2 * PAGE, CHUNK - 1, CHUNK + 3 * PAGE, 5 * CHUNK + 17])
def test_the_copy_is_the_block_as_it_was_when_it_began(size, offset):
    live, kept, rng = block(size, offset), np.zeros(size, np.uint8), random.Random(size + offset)
    pages = PageCopy(live, kept)
    for _ in range(5):
        before = live.copy()
        assert pages.begin()
        for _ in range(200):
            live[rng.randrange(size)] ^= 1 + rng.randrange(255)
        live[0] ^= 1
        live[-1] ^= 1
        pages.finish()
        assert (kept == before).all()
        assert (live != before).any()
        # Everything may be written to again, without a word.
        faults = pages.fault_count
        live[:] ^= 255
        assert pages.fault_count == faults


def test_writers_in_other_threads_change_nothing_of_the_copy():
    size = 64 * CHUNK
    live, kept = block(size), np.zeros(size, np.uint8)
    pages, stop = PageCopy(live, kept), threading.Event()

    def write(seed):
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            live[rng.integers(0, size, 64)] += 1

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    before = live.copy()
    assert pages.begin()
    for thread in writers:
        thread.start()
    pages.finish()
    stop.set()
    for thread in writers:
        thread.join()
    assert (kept == before).all()


def test_only_what_was_written_to_was_copied_by_a_writer():
    live, kept = block(10 * CHUNK), np.zeros(10 * CHUNK, np.uint8)
    pages = PageCopy(live, kept)
    assert pages.begin()
    for chunk in (7, 2, 7, 7, 2):
        live[chunk * CHUNK + 5] += 1
    assert pages.fault_count == 2
    pages.finish()
    assert pages.fault_count == 2


def test_two_blocks_at_once_do_not_disturb_each_other():
    blocks = [block(4 * CHUNK) for _ in range(4)]
    copies = [np.zeros(4 * CHUNK, np.uint8) for _ in blocks]
    pages = [PageCopy(live, kept) for live, kept in zip(blocks, copies, strict=True)]
    before = [live.copy() for live in blocks]
    assert all(page.begin() for page in pages)
    for live in blocks:
        live[:] = 9
    for page in pages:
        page.finish()
    assert all((kept == was).all() for kept, was in zip(copies, before, strict=True))


def test_a_second_begin_before_the_end_is_refused_and_more_blocks_than_there_is_room_for_are_copied_at_once():
    live, kept = block(4 * CHUNK), np.zeros(4 * CHUNK, np.uint8)
    pages = PageCopy(live, kept)
    assert pages.begin()
    with pytest.raises(ValueError, match="not finished"):
        pages.begin()
    others = [PageCopy(block(2 * PAGE), np.zeros(2 * PAGE, np.uint8)) for _ in range(16)]
    began = [other.begin() for other in others]
    assert began == [True] * 15 + [False]
    pages.finish()
    with pytest.raises(ValueError, match="a copy of"):
        PageCopy(live, kept[:-1])


def test_a_handler_that_came_later_is_put_behind_again_and_gets_what_is_not_ours():
    code = """
import faulthandler, numpy as np, ctypes
from engine.journal.cow import PageCopy
live, kept = np.zeros(1 << 20, np.uint8), np.zeros(1 << 20, np.uint8)
pages = PageCopy(live, kept)
pages.begin(); live[:] = 1; pages.finish()
faulthandler.enable()
pages.begin(); live[:] = 2; pages.finish()
assert (kept == 1).all()
print("went on", flush=True)
ctypes.string_at(8)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "went on\n"
    assert done.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in done.stderr


def test_a_large_world_is_kept_as_it_stood_while_it_goes_on_and_replays_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "PAGES_FROM", 1 << 16)
    core = Core(World(symbols=64, orders=4_096))
    for symbol in range(64):
        core.world.set_instrument(symbol, tick_e8=10**6, lot_e8=10**6)
    config = JournalConfig(segment_bytes=1 << 20, disk_free_bytes=0, compress=False)
    rng = np.random.default_rng(4)

    def trade(journal, count):
        events = np.zeros(count, EVENT)
        events["kind"], events["symbol"] = Kind.KIND_QUOTE, rng.integers(0, 64, count)
        events["ts_recv_ns"] = 10**18 + np.arange(count) + journal.tape.count
        events["word"][:, 0] = rng.integers(100, 200, count)
        events["word"][:, 1], events["word"][:, 3] = 5, 5
        events["word"][:, 2] = events["word"][:, 0] + 1
        for at in range(count):
            journal.tape.append(events[at : at + 1])
            journal.tape.append(core.step(events[at : at + 1])[1])

    with JournalWriter(tmp_path, config, seed=1, now_ns=lambda: 1, world=core.world) as journal:
        keeper = Snapshotter(journal.session, core.world)
        for _ in range(3):
            trade(journal, 200)
            state = core.world.state_hash()
            assert keeper.copy(journal.tape.count)
            trade(journal, 200)  # the world goes on before the copy is made
            assert core.world.state_hash() != state
            kept = read_snapshot(journal.session, keeper.write())
            again = World(image=kept.image)
            assert again.state_hash() == state
    done = replay_session(Core(World(symbols=64, orders=4_096)), find_session(tmp_path))
    assert (done.state_hash, done.snapshots_met) == (core.world.state_hash(), 3)

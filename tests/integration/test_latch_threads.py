"""The latch under threads, signals and kill -9: real threads without the interpreter lock, real processes and files."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bench.loops import stress_latch
from engine._core.latch import REASONS, Latch
from engine._core.types import Status

pytestmark = pytest.mark.threads
STRESS = float(os.environ.get("BOT4_STRESS", "1"))
THREADS = 6


def run_together(*calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def words(*values):
    return np.array(values, dtype=np.uint64)


def test_of_many_who_trip_at_once_exactly_one_is_first(tmp_path):
    for _ in range(int(100 * STRESS)):
        latch, shared, firsts = Latch(tmp_path / "latch"), words(THREADS), {}

        def trip(reason, latch=latch, shared=shared, firsts=firsts):
            firsts[reason] = stress_latch.trip_together(latch, shared, reason, 100 + reason)

        run_together(*(lambda r=r, t=trip: t(r) for r in range(1, THREADS + 1)))
        latch.check()
        (winner,) = [reason for reason, was_first in firsts.items() if was_first]
        assert latch.first == REASONS[winner]
        assert latch.record() == tuple((REASONS[r], 100 + r, r) for r in range(1, THREADS + 1))


def test_many_who_persist_at_once_all_hear_durable_and_the_file_holds_every_reason(tmp_path):
    for _ in range(int(20 * STRESS)):
        path = tmp_path / "latch"
        path.unlink(missing_ok=True)
        latch, shared, answers = Latch(path), words(THREADS), []
        run_together(
            *(
                lambda r=r, la=latch, s=shared, a=answers: a.append(stress_latch.persist_together(la, s, r))
                for r in range(THREADS)
            )
        )
        assert answers == [Status.OK] * THREADS
        assert latch.pending == ()
        assert Latch(path).reasons == REASONS[:THREADS]


def test_a_thread_trips_while_another_holds_the_interpreter_lock(tmp_path):
    latch, shared = Latch(tmp_path / "latch"), words(0, 0)
    thread = threading.Thread(target=stress_latch.trip_when_told, args=(latch, shared, 1))
    thread.start()
    while shared[0] == 0:
        os.sched_yield()
    limit = 20_000_000_000
    assert stress_latch.hold_the_interpreter(latch, shared, limit) < limit
    thread.join()
    assert latch.first == "switch"


def test_a_signal_handler_in_c_trips(tmp_path):
    latch = Latch(tmp_path / "latch")
    stress_latch.trip_from_a_handler(latch, signal.SIGUSR1)
    latch.check()
    assert latch.record() == (("signal", 7, int(signal.SIGUSR1)),)


def test_handlers_that_interrupt_trips_leave_the_latch_whole(tmp_path):
    latch = Latch(tmp_path / "latch")
    # Ignored before the timer starts: the first signal comes soon, and its default action ends the process.
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    # Besides the raised ones a timer's signals fall between any two instructions of the same thread.
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        stress_latch.storm(latch, signal.SIGALRM, int(300_000 * STRESS))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    latch.check()
    assert latch.reasons == REASONS
    assert latch.trip_count > 300_000 * STRESS


CHILD = """
import sys
import engine
from engine._core.latch import Latch
latch = Latch(sys.argv[1])
sys.stdout.write("clear\\n" if not latch.tripped else "tripped\\n"); sys.stdout.flush()
sys.stdin.readline()
latch.trip("drawdown", "a child that dies", value=1)
latch.persist()
sys.stdout.write("durable\\n"); sys.stdout.flush()
sys.stdin.readline()
"""


def child(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def folders(tmp_path):
    yield tmp_path
    if os.access("/dev/shm", os.W_OK):
        memory = Path("/dev/shm") / f"bot4-latch-{os.getpid()}"
        memory.mkdir()
        try:
            yield memory
        finally:
            for entry in memory.iterdir():
                entry.unlink()
            memory.rmdir()


def test_after_kill_9_a_trip_reported_durable_is_never_clear(tmp_path):
    for folder in folders(tmp_path):
        path = folder / "latch"
        with child(path) as process:
            assert process.stdout.readline() == "clear\n"
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "durable\n"
            process.kill()
        with Latch(path) as latch:
            assert (latch.first, latch.note) == ("drawdown", "a child that dies")


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_clear_only_if_durable_was_not_reported(tmp_path):
    draw = random.Random(5)
    found = {}
    for i in range(int(12 * STRESS)):
        path = tmp_path / f"latch{i}"
        with child(path) as process:
            process.stdout.readline()
            process.stdin.write("\n")
            process.stdin.flush()
            # A few hundred system calls' worth of spinning, so that the kill falls before, within or after the persist.
            for _ in range(draw.randrange(0, 20_000)):
                os.getppid()
            process.kill()
            reported = "durable" in process.stdout.read()
        with Latch(path) as latch:
            assert latch.tripped or not reported
            assert latch.first in (None, "drawdown", "unfinished")
            assert latch.start_status in (Status.OK, Status.LATCH_TRIPPED)
            found[latch.first] = found.get(latch.first, 0) + 1
    assert sum(found.values()) == int(12 * STRESS)


@pytest.mark.parametrize("call", ["openat", "write", "fsync", "renameat"])
def test_what_each_system_call_of_a_persist_leaves_behind_is_a_trip(tmp_path, call):
    """The file as each call leaves it, made by hand: what a start finds after a death between two of them."""
    path, temporary = tmp_path / "latch", tmp_path / "latch.tmp"
    whole = Latch(tmp_path / "other")
    whole.trip("drawdown", now_ns=5)
    whole.persist()
    raw = (tmp_path / "other").read_bytes()
    left = {"openat": b"", "write": raw[: len(raw) // 2], "fsync": raw, "renameat": None}[call]
    if left is None:
        path.write_bytes(raw)
    else:
        temporary.write_bytes(left)
    latch = Latch(path)
    assert latch.first == ("drawdown" if left is None else "unfinished")
    latch.persist()
    assert Latch(path).tripped
    assert not temporary.exists()

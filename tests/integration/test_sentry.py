"""The sentry's threads: stalls of every kind, signals, and the last resort, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from engine._core import isa
from engine._core.clock import monotonic_ns
from engine._core.latch import Latch
from engine.safety.pulse import Pulse
from engine.safety.sentry import Sentry
from engine.safety.stall import StallWatch
from tests.support.shared import ROOT

MS = 1_000_000
WAIT_NS = 30_000 * MS


def until(condition):
    """Give the threads the processor until it holds; the limit is where a test fails."""
    end = monotonic_ns() + WAIT_NS
    while not condition():
        if monotonic_ns() > end:
            return False
        threading.Event().wait(0.001)
    return True


def turns(sentry, count):
    before = sentry.state["turns"]
    return until(lambda: sentry.state["turns"] >= before + count)


@pytest.fixture
def latch(tmp_path):
    with Latch(tmp_path / "latch") as made:
        yield made


def test_a_loop_that_stops_turning_trips_and_is_made_durable_without_python(latch):
    pulse = Pulse()
    with Sentry(latch, pulse=pulse, stall_ns=50 * MS, priority=0) as sentry:
        pulse.mark(pulse.name("a strategy"))
        pulse.arm()
        assert until(lambda: latch.tripped and latch.durable)
        assert latch.record()[0][::2] == ("heartbeat-stall", 1)  # the value is the mark of what ran
        assert sentry.state["latched_ns"] - sentry.state["edge_ns"] >= 50 * MS


def test_a_loop_that_turns_while_events_wait_untaken_trips(latch):
    pulse = Pulse()
    with Sentry(latch, pulse=pulse, stall_ns=100 * MS, priority=0):
        pulse.waiting(3)
        pulse.arm()

        def beat():
            pulse.beat()
            return latch.tripped

        assert until(beat)
    assert latch.note == "events wait and the core does not take them"


def test_a_loop_that_turns_and_takes_its_events_does_not_trip(latch):
    pulse = Pulse()
    with Sentry(latch, pulse=pulse, stall_ns=5_000 * MS, priority=0) as sentry:
        pulse.arm()
        for _ in range(30):
            pulse.beat()
            pulse.step()
            pulse.waiting(1)
            assert turns(sentry, 1)
        assert not latch.tripped


def test_an_idle_loop_is_no_stall_and_nothing_counts_before_it_is_armed(latch):
    pulse = Pulse()
    with Sentry(latch, pulse=pulse, stall_ns=1, priority=0) as sentry:
        assert turns(sentry, 20)
        assert not latch.tripped
        pulse.arm()
        assert until(lambda: latch.tripped)


def test_it_can_only_set_the_latch(latch):
    latch.trip("drawdown", "before")
    with Sentry(latch, priority=0) as sentry:
        assert until(lambda: latch.durable)
        assert turns(sentry, 5)
    assert latch.reasons == ("drawdown",)
    sentry.close()
    assert not sentry.alive


CHILD = """
import os, signal, sys
from pathlib import Path
from bench.loops import loop_silence
from engine._core.latch import Latch
from engine.safety.pulse import Pulse
from engine.safety.sentry import Sentry
latch, pulse = Latch(Path(sys.argv[1]) / "latch"), Pulse()
sentry = Sentry(latch, pulse=pulse, stall_ns=int(sys.argv[2]), grace_ns=int(sys.argv[3]), priority=0)
sentry.start()
sentry.catch(signal.SIGUSR1)
if sys.argv[4] == "beat":
    pulse.arm()
    sys.stdout.write("up\\n"); sys.stdout.flush()
    import threading
    while not latch.tripped:
        pulse.beat()
        threading.Event().wait(0.01)
        if os.path.exists(sys.argv[1] + "/end"):
            sys.exit(0)
    sys.exit(1)
sys.stdout.write("up\\n"); sys.stdout.flush()
loop_silence.hold(3600)
"""


def child(tmp_path, stall_ns, grace_ns, what):
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), str(stall_ns), str(grace_ns), what],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    return process


def test_with_the_lock_held_for_ever_it_ends_the_process_itself_after_the_grace(tmp_path):
    process = child(tmp_path, 10**15, 100 * MS, "hold")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 70
    process.stdout.close()
    assert Latch(tmp_path / "latch").reasons == ("signal",)


def test_time_in_which_the_whole_process_stood_still_is_no_stall_of_its_loop(tmp_path):
    process = child(tmp_path, 1000 * MS, 0, "beat")
    process.send_signal(signal.SIGSTOP)
    threading.Event().wait(1.6)  # longer than the limit: the machine was suspended
    process.send_signal(signal.SIGCONT)
    (tmp_path / "end").touch()
    assert process.wait(60) == 0
    process.stdout.close()


def test_a_handler_is_given_back_when_the_sentry_ends(latch):
    with Sentry(latch, priority=0) as sentry:
        sentry.catch(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)  # ignored from now on: neither a trip nor the end of the process
    assert not latch.tripped
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


# ---------------------------------------------------------------------------------------------------------- stall watch
def test_the_stack_behind_a_stall_is_taken_once_and_names_what_ran():
    pulse, release, inside = Pulse(), threading.Event(), threading.Event()

    def a_callback_that_waits():
        pulse.mark(1)
        inside.set()
        release.wait(60)

    pulse.name("feed parser")
    loop = threading.Thread(target=a_callback_that_waits)
    loop.start()
    try:
        assert inside.wait(30)
        pulse.arm()
        watch = StallWatch(pulse, warn_s=0.25, loop_thread=loop.ident)
        assert watch.turn(0) is None
        assert watch.turn(249 * MS) is None
        found = watch.turn(250 * MS)
        assert found.running == "feed parser"
        assert found.seconds == 0.25
        assert any("a_callback_that_waits" in frame for frame in found.stack)
        assert watch.turn(900 * MS) is None
        assert watch.stuck_ns(900 * MS) == 900 * MS
        pulse.beat()
        assert watch.turn(901 * MS) is None
        assert watch.stuck_ns(901 * MS) == 0
    finally:
        release.set()
        loop.join()


def test_with_the_lock_held_every_stack_is_written_by_c(tmp_path):
    path = tmp_path / "stacks"
    code = (
        "import sys\nfrom bench.loops import loop_silence\nfrom engine.safety.pulse import Pulse\n"
        "from engine.safety.stall import StallWatch\n"
        "def a_strategy_in_c():\n    loop_silence.hold(0.5)\n"
        "with open(sys.argv[1], 'w') as file:\n"
        "    watch = StallWatch(Pulse(), warn_s=0.05, stack_file=file)\n    watch.turn(0)\n    a_strategy_in_c()\n"
        "    watch.close()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, timeout=60)
    assert "a_strategy_in_c" in path.read_text()


def test_started_twice_it_is_one_sentry_and_a_signal_that_cannot_be_caught_is_said(latch):
    with Sentry(latch, priority=0) as sentry:
        sentry.start()
        with pytest.raises(OSError, match="Invalid argument"):
            sentry.catch(signal.SIGKILL)
        assert turns(sentry, 2)
    sentry.close()
    assert not sentry.alive


CRAMPED = """
import resource, sys, threading
from pathlib import Path
from engine._core.latch import Latch
from engine.safety.sentry import Sentry
latch = Latch(Path(sys.argv[1]) / "latch")
sentry = Sentry(latch, priority=0)
stack = 8 << 20
resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))
room = int(sys.argv[2]) * stack // 2
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
try:
    sentry.start()
except OSError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(sentry.alive, threading.active_count(), len(list(Path("/proc/self/task").iterdir())))
sentry.start()
sentry.close()
"""


@pytest.mark.skipif(isa.profile() in ("sanitize", "thread"), reason="a sanitizer's shadow takes all address room")
@pytest.mark.parametrize("halves", [1, 3], ids=["for none", "for one"])
def test_without_room_for_its_threads_it_says_so_and_leaves_none_behind(tmp_path, halves):
    done = subprocess.run(
        [sys.executable, "-c", CRAMPED, str(tmp_path), str(halves)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == ["the sentry's threads cannot be made", "False 1 1"], done.stderr
    assert done.returncode == 0

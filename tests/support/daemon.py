"""A small engine process for the unit's tests: the safety classes wired as the engine does, over an empty account.

Started by the real unit under the real manager. SIGHUP reloads, SIGTERM stops, SIGUSR1 trips (in C), SIGUSR2 sticks the
loop for ever. With `BOT4_TEST_PROBE` it tries at start what the hardening forbids; the answers go into the state
directory.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import mmap
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from engine._core.clock import monotonic_ns
from engine._core.latch import Latch
from engine._core.modes import Goal
from engine.safety.audit import Audit
from engine.safety.guard import EXIT_TRIPPED, Guard, Plan
from engine.safety.notify import Notifier, Watchdog
from engine.safety.pulse import Pulse
from engine.safety.sentry import Sentry
from engine.safety.stall import StallWatch
from tests.support.desk_ports import Account, DeskPorts


def _attempt(call):
    try:
        call()
    except OSError as error:
        return os.strerror(error.errno)
    return "allowed"


def _executable_memory():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    if (
        libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, flags, -1, 0)
        == ctypes.c_void_p(-1).value
    ):
        raise OSError(ctypes.get_errno(), "mmap")


def probe(state: Path) -> None:
    found = {
        "write /etc": _attempt(lambda: Path("/etc/bot4-probe").write_text("x")),
        "write state": _attempt(lambda: (state / "probe").write_text("x")),
        "packet socket": _attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
        "netlink socket": _attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
        "inet socket": _attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()),
        "executable memory": _attempt(_executable_memory),
        "kernel memory": _attempt(lambda: Path("/dev/kmsg").read_bytes()),
        "home": _attempt(lambda: list(Path("/root").iterdir())),
        "set affinity": _attempt(lambda: os.sched_setaffinity(0, {0})),
        "mount": _attempt(_mount),
        "user": str(os.getuid() != 0),
        "credential": str(_credential("audit-key") is not None),
    }
    (state / "probe.json").write_text(json.dumps(found))


def _mount():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def _credential(name: str) -> bytes | None:
    path = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere")) / f"bot4_{name}"
    return path.read_bytes() if path.exists() else None


async def engine(state: Path) -> None:
    notifier, pulse = Notifier(), Pulse()
    latch = Latch(state / "latch")
    if latch.tripped:
        notifier.stopping(f"halted: {', '.join(latch.reasons)}; bot4 reset")
        sys.exit(EXIT_TRIPPED)
    audit = Audit(state / "audit", _credential("audit-key") or bytes(32))
    sentry = Sentry(latch, pulse=pulse, stall_ns=60_000_000_000, grace_ns=20_000_000_000)
    account = Account(lots=[0])
    guard = Guard(
        latch, DeskPorts(account), plan=Plan(Goal.GOAL_FLATTEN), audit=audit, sentry=sentry, pulse=pulse,
        stall=StallWatch(pulse), handover=state / "handover.json",
    )  # fmt: skip
    guard.start()
    sentry.catch(signal.SIGUSR1)
    stop, reloads = asyncio.Event(), [0]
    loop = asyncio.get_running_loop()

    def reload() -> None:
        notifier.reloading("reloading")
        reloads[0] += 1
        notifier.ready(f"running, reloaded {reloads[0]}")

    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR2, threading.Event().wait)
    dog = Watchdog(notifier, {"guard": guard._thread.is_alive, "audit": lambda: audit.healthy})
    pulse.arm()
    guard_ready = False
    while not stop.is_set():
        pulse.beat()
        dog.turn(monotonic_ns())
        if not guard_ready and sentry.alive:
            guard.require_ready()
            guard_ready = True
            notifier.ready("running")
        try:
            await asyncio.wait_for(stop.wait(), 0.05)
        except TimeoutError:
            continue
    notifier.stopping("stopped in order")
    guard.close()
    audit.close()


def main() -> None:
    state = Path(os.environ["STATE_DIRECTORY"])
    if os.environ.get("BOT4_TEST_PROBE"):
        probe(state)
    asyncio.run(engine(state))


if __name__ == "__main__":
    main()

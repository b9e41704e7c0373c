"""Runs inside a machine with a real GPIO character device (gpio-sim) and says in JSON what each case did.

$GPIO_SIM is where the level of each line is pushed and read: `pull-down` is a closed loop, `pull-up` an open one. A
file of its own because the kernel that has the chip is booted for it; tests/integration/test_gpio_chip.py asserts.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine._core.clock import monotonic_ns
from engine._core.latch import Latch
from engine.errors import LineRefused, SwitchOpen
from engine.safety.lines import Lines
from engine.safety.pins import Lamps, Pins, SharedFactory
from engine.safety.sentry import Sentry

SIM = Path(os.environ.get("GPIO_SIM", "/nowhere"))
CHIP = "/dev/gpiochip0"
MS = 1_000_000
PRESSES = 8


def tell(result: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def drive(line: int, *, opened: bool) -> None:
    (SIM / f"sim_gpio{line}" / "pull").write_text("pull-up" if opened else "pull-down")


def level(line: int) -> int:
    return int((SIM / f"sim_gpio{line}" / "value").read_text())


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = monotonic_ns() + int(seconds * 1e9)
    while not condition():
        if monotonic_ns() > end:
            return False
        pause(0.0005)
    return True


class Rig:
    """Both readers on the real lines; `bias` is external, since gpio-sim's own level is what plays the wire."""

    def __init__(self, *, start: bool = True, debounce_ns: int = 5 * MS, kernel_us: int = 0, **more: Any) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.latch = Latch(Path(self.directory.name) / "latch")
        self.lines = Lines(CHIP, [17, 27], bias="external", kernel_debounce_us=kernel_us)
        self.sentry = Sentry(self.latch, lines=self.lines, debounce_ns=debounce_ns, **more)
        self.pins = Pins(
            lambda reason, detail: self.latch.trip(reason, f"gpiozero: {detail}"), factory=SharedFactory(self.lines),
            report=self.sentry.report,
        )  # fmt: skip
        if start:
            self.sentry.start()

    def close(self) -> None:
        self.sentry.close()
        self.pins.close()
        self.lines.close()
        self.latch.close()
        self.directory.cleanup()


@contextmanager
def rig(**more: Any) -> Iterator[Rig]:
    for line in (17, 27):
        drive(line, opened=False)
    made = Rig(**more)
    try:
        yield made
    finally:
        made.close()
        for line in (17, 27):
            drive(line, opened=False)


def press() -> dict[str, Any]:
    took, reasons = [], set()
    for _ in range(PRESSES):
        with rig() as r:
            r.pins.self_test()
            before = monotonic_ns()
            drive(17, opened=True)
            until(lambda r=r: r.latch.tripped)
            reasons.add(r.latch.reasons)
            took.append((r.sentry.state["latched_ns"] - before) / 1e6)
    took.sort()
    return {
        "reasons": sorted(reasons), "median_ms": statistics.median(took), "max_ms": took[-1], "count": len(took),
        "debounce_ms": 5.0,
    }  # fmt: skip


def edge_to_latch() -> dict[str, Any]:
    """Without debounce: what the path from the edge's time stamp in the kernel to the latch takes."""
    took = []
    for _ in range(PRESSES):
        with rig(debounce_ns=0) as r:
            drive(17, opened=True)
            until(lambda r=r: r.latch.tripped)
            took.append((r.sentry.state["latched_ns"] - r.sentry.state["edge_ns"]) / 1e6)
            refused = r.sentry.refused
    took.sort()
    return {"median_ms": statistics.median(took), "max_ms": took[-1], "refused": refused}


def tamper() -> dict[str, Any]:
    with rig() as r:
        drive(27, opened=True)
        until(lambda: r.latch.tripped)
        return {"reasons": r.latch.reasons}


def held_at_start() -> dict[str, Any]:
    drive(17, opened=True)
    made = Rig()
    try:
        refused = ""
        try:
            made.pins.self_test()
        except SwitchOpen as error:
            refused = error.code
        return {"refused": refused, "tripped": until(lambda: made.latch.tripped), "reasons": made.latch.reasons}
    finally:
        made.close()
        drive(17, opened=False)


def bounce() -> dict[str, Any]:
    """Openings shorter than the debounce, each settling: no trip, and each is counted."""
    with rig(debounce_ns=400 * MS, latest_ns=4_000 * MS) as r:
        for _ in range(3):
            drive(17, opened=True)
            pause(0.002)
            drive(17, opened=False)
            pause(0.12)
        pause(0.1)
        drive(27, opened=False)
        state = r.sentry.state
        return {"tripped": r.latch.tripped, "edges": state["edges"], "turns": state["turns"]}


def toggle() -> dict[str, Any]:
    """Opened and closed again as fast as the interface goes."""
    with rig(debounce_ns=400 * MS, latest_ns=4_000 * MS) as r:
        handle = os.open(SIM / "sim_gpio17" / "pull", os.O_WRONLY)
        before = monotonic_ns()
        os.pwrite(handle, b"pull-up", 0)
        os.pwrite(handle, b"pull-down", 0)
        took = monotonic_ns() - before
        os.close(handle)
        pause(0.2)
        return {"tripped": r.latch.tripped, "open_us": took / 1000, "level": level(17)}


def chatter() -> dict[str, Any]:
    """A line that never settles trips by the stated latest time, where the kernel's debounce would wait for ever."""
    with rig(debounce_ns=40 * MS, latest_ns=100 * MS) as r:
        begin = monotonic_ns()
        while not r.latch.tripped and monotonic_ns() - begin < 5_000 * MS:
            for opened in (True, False):
                drive(17, opened=opened)
                pause(0.003)
        return {"reasons": r.latch.reasons, "took_ms": (r.sentry.state["latched_ns"] - begin) / 1e6}


def kernel_debounce() -> dict[str, Any]:
    """The ABI's debounce attribute is taken, and a press still passes it."""
    with rig(kernel_us=2000) as r:
        pause(0.05)
        drive(17, opened=True)
        return {"tripped": until(lambda: r.latch.tripped), "reasons": r.latch.reasons}


def lock_held() -> dict[str, Any]:
    """Nobody can run Python while the press comes: C holds the interpreter lock."""
    with rig() as r:
        before = monotonic_ns()
        presser = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.2; echo pull-up > {SIM}/sim_gpio17/pull; sleep 0.4"])
        ctypes.PyDLL(None).waitpid(presser.pid, None, 0)  # PyDLL keeps the lock until the presser has ended
        held_until = monotonic_ns()
        presser.returncode = 0  # waited for above
        latched = r.sentry.state["latched_ns"]
        return {
            "reasons": r.latch.reasons, "while_held": before < latched < held_until, "durable": r.latch.durable,
            "ms_before_release": (held_until - latched) / 1e6,
        }  # fmt: skip


def gpiozero_alone() -> dict[str, Any]:
    """The C reader is not even started: gpiozero's side suffices."""
    with rig(start=False) as r:
        drive(17, opened=True)
        polls = 0
        while not r.latch.tripped and polls < 1000:
            r.pins.poll()
            polls += 1
            pause(0.001)
        return {"reasons": r.latch.reasons, "note": r.latch.note}


def disagreement() -> dict[str, Any]:
    """One reader says open, the other closed: for longer than the limit that is a trip."""
    with rig(disagree_ns=50 * MS) as r:
        for _ in range(2000):
            if r.latch.tripped:
                break
            r.sentry.report(1)
            pause(0.001)
        return {"reasons": r.latch.reasons, "note": r.latch.note}


def silence() -> dict[str, Any]:
    """The other reader was there and says nothing any more."""
    with rig(silent_ns=80 * MS) as r:
        r.pins.poll()
        until(lambda: r.latch.tripped)
        return {"reasons": r.latch.reasons, "note": r.latch.note}


def busy() -> dict[str, Any]:
    """Nobody else gets the lines."""
    with rig():
        try:
            Lines(CHIP, [17], bias="external").close()
        except LineRefused as error:
            return {"code": error.code, "text": str(error)}
    return {}


def lamps() -> dict[str, Any]:
    """The lamps' real levels, through lgpio, mode after mode."""
    made, seen = Lamps(), {}
    for mode in ("starting", "normal", "paused", "emergency", "halted"):
        made.show(mode, 0)
        made.turn(0, made._progress + 1)
        seen[mode] = [level(line) for line in (22, 23, 24)]
    made.close()
    return {"seen": seen, "errors": made.error_last}


def chip_removed() -> dict[str, Any]:
    """Last: the chip vanishes while both readers use it."""
    with rig() as r:
        r.pins.poll()
        Path(os.environ["GPIO_SIM_CONFIG"], "live").write_text("0")
        tripped = until(lambda: r.latch.tripped)
        first = (r.latch.first, r.latch.note)
        r.pins.poll()
        refused = ""
        try:
            r.pins.self_test()
        except SwitchOpen as error:
            refused = error.code
        result = {"tripped": tripped, "first": first, "errors": r.pins.error_count, "refused": refused}
        r.close()
        tell({"chip_removed": result})
        # The lines cannot be driven any more, nor is there anything to put back.
        os._exit(0)


def missing() -> dict[str, Any]:
    try:
        Lines(CHIP, [17])
    except LineRefused as error:
        return {"code": error.code}
    return {}


CASES = (
    press, edge_to_latch, tamper, held_at_start, bounce, toggle, chatter, kernel_debounce, lock_held, gpiozero_alone,
    disagreement, silence, busy, lamps, chip_removed,
)  # fmt: skip


def main() -> None:
    cases = (missing,) if "--no-chip" in sys.argv else CASES
    for case in cases:
        try:
            result = case()
        except Exception:  # noqa: BLE001 - told to the test, which fails on it
            result = {"error": traceback.format_exc()}
        tell({case.__name__: result})


if __name__ == "__main__":
    main()

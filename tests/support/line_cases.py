"""Runs beside a real systemd that is nested in a machine with a real GPIO chip: the shipped unit, the shipped engine,
and the line that halts it.

$GPIO_SIM is bound in; a file there plays the wire. tests/integration/test_line.py boots both machines and asserts.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from engine.cli.main import cli
from engine.safety.audit import Kind, Report, read
from tests.support import engine_cases
from tests.support.daemon_cases import sh, show
from tests.support.daemon_cases import until as until_within
from tests.support.engine_cases import STATE, UNIT, state

SIM = Path("/run/gpio-sim")
SETTINGS = """
[dashboard]
enabled = false
[metrics]
enabled = false
[journal]
segment_bytes = 1048576
disk_free_min_bytes = 33554432
[safety]
switch = "gpio"
bias = "external"
debounce_us = 100000
stall_ms = 30000
"""
# Longer than a machine with two busy cores holds one process up between two writes.
DEBOUNCE_MS = 100
PATIENCE_S = 120
LOOK_S = 0.5  # the machine has one CPU: who looks all the time keeps the engine from running


def until(condition: Any, look_s: float = LOOK_S) -> bool:
    return until_within(condition, PATIENCE_S, look_s=look_s)


def say(text: str) -> None:
    sys.stderr.write(f"{time.monotonic():.1f} {text}\n")


def drive(line: int, *, opened: bool) -> None:
    (SIM / f"sim_gpio{line}" / "pull").write_text("pull-up" if opened else "pull-down")


def lamp(line: int) -> int:
    return int((SIM / f"sim_gpio{line}" / "value").read_text())


def ended() -> dict[str, Any]:
    """How the unit ended, once it has, and what is left of it."""
    until(lambda: state() == "failed")
    found: dict[str, Any] = show("Result", "ExecMainStatus", "NRestarts", unit=UNIT)
    found["latch"] = (STATE / "latch").read_text().splitlines() if (STATE / "latch").exists() else []
    return found


def handed_over() -> dict[str, Any]:
    told = json.loads((STATE / "handover.json").read_text())
    return {name: told[name] for name in ("verified", "outcome", "open", "keep")}


def steps() -> dict[str, float]:
    """Of the last sequence: milliseconds since the edge, as the kernel stamped it."""
    entries = [record.entry for record in read(STATE / "audit", None, Report())]
    (*_, last) = [entry for entry in entries if entry.kind is Kind.SEQUENCE]
    edge_ns = last.data["edge_ns"]
    rows = [("LATCH", last.data["latched_ns"]), *last.data["steps"]]
    return {name: (at_ns - edge_ns) / 1e6 for name, at_ns in rows} if edge_ns else {}


def command(*words: str, typed: str = "") -> Any:
    """The command line, in this process: to start another one takes seconds in here."""
    return CliRunner().invoke(cli, list(words), input=typed)


def reset() -> str:
    """Empty when it was reset, or why it was refused."""
    done = command("reset", "--state", str(STATE), "--reason", "a test", typed="I have found the cause\n")
    return "" if done.exit_code == 0 else str(done.exception or done.output)


def status() -> dict[str, Any]:
    done = command("status", "--json", "-d", str(STATE))
    return json.loads(done.stdout) if done.stdout else {"mode": done.output, "counts": {"intents": 0}}


def trading() -> bool:
    """Normal, and orders go out."""
    if command("resume", "-d", str(STATE)).exit_code:
        # After a reset it waits for the operator's word.
        command("approve", "1", "--yes", "-d", str(STATE))
    return until(lambda: (found := status())["mode"] == "Normal" and found["counts"]["intents"] > 0)


# ---------------------------------------------------------------------------------------------------------------- cases
def press() -> dict[str, Any]:
    """It trades, its heart blinks; then the line opens."""
    started = engine_cases.start()
    text = show("StatusText", unit=UNIT)["StatusText"]
    traded = trading()
    heart = set()
    until(lambda: heart.add(lamp(22)) or len(heart) == 2, 0.02)
    drive(17, opened=True)
    found = ended()
    return {
        "started": started, "text": text, "traded": traded, "heart": sorted(heart), "handover": handed_over(),
        "steps": steps(), **found,
    }  # fmt: skip


def reset_while_open() -> dict[str, Any]:
    """Only the closed line lets it start again, and then it is Paused."""
    refused = reset()
    drive(17, opened=False)
    return {"refused": refused, "reset": reset(), "started": engine_cases.start(), "mode": status()["mode"]}


def toggle() -> dict[str, Any]:
    """Opened and closed again as fast as the interface goes: no trip, and it goes on trading."""
    traded, tries, open_ms = trading(), 0, float("inf")
    handle = os.open(SIM / "sim_gpio17" / "pull", os.O_WRONLY)
    while open_ms >= DEBOUNCE_MS / 2 and tries < 3:
        if tries:
            # This machine stood still between the two: that was a press, and says nothing about a toggle.
            ended()
            reset()
            engine_cases.start()
            traded = trading()
        before = time.monotonic_ns()
        os.pwrite(handle, b"pull-up", 0)
        os.pwrite(handle, b"pull-down", 0)
        open_ms = (time.monotonic_ns() - before) / 1e6
        tries += 1
    os.close(handle)
    intents = status()["counts"]["intents"]
    later = until(lambda: status()["counts"]["intents"] > intents)
    return {
        "traded": traded,
        "tries": tries,
        "open_ms": open_ms,
        "state": state(),
        "mode": status()["mode"],
        "later": later,
    }


def tamper() -> dict[str, Any]:
    """The other loop is cut, while it trades."""
    drive(27, opened=True)
    found = ended()
    drive(27, opened=False)
    return {"handover": handed_over(), "reset": reset(), **found}


def open_at_the_start() -> dict[str, Any]:
    """Nothing trades before the line was seen closed."""
    drive(17, opened=True)
    started = engine_cases.start()
    found = ended()
    drive(17, opened=False)
    return {"started": started, "reset": reset(), **found}


def chip_removed() -> dict[str, Any]:
    """Last: the chip vanishes while both readers use it."""
    started = engine_cases.start()
    traded = trading()
    Path("/run/gpio-config/live").write_text("0")
    found = ended()
    return {"started": started, "traded": traded, "handover": handed_over(), "reset": reset(), **found}


def install() -> None:
    engine_cases.SETTINGS = SETTINGS
    engine_cases.install(switch=True)
    # What it compiles before a start was compiled before the machine was: in here that takes minutes.
    dropin = Path(f"/etc/systemd/system/{UNIT}.d")
    dropin.mkdir(parents=True)
    (dropin / "built.conf").write_text(
        "[Service]\nExecStartPre=\nTimeoutStartSec=300\nWatchdogSec=120\n"
        "BindReadOnlyPaths=/run/pi-cpuinfo:/proc/cpuinfo\n"
    )
    sh("systemctl", "daemon-reload", check=True)
    sh("chgrp", "gpio", "/dev/gpiochip0", check=True)
    Path("/dev/gpiochip0").chmod(0o660)
    for line in (17, 27):
        drive(line, opened=False)


def main() -> None:
    say("begun")
    install()
    say("installed")
    for name in sys.argv[1:]:
        begun = time.monotonic()
        try:
            result = globals()[name]()
        except Exception:  # noqa: BLE001 - told to the test, which fails on it
            result = {"error": traceback.format_exc()}
        result["journal"] = sh("journalctl", "-n200", "-ocat").stdout
        result["took_s"] = time.monotonic() - begun
        sys.stdout.write(json.dumps({name: result}) + "\n")
        sys.stdout.flush()
        say(name)


if __name__ == "__main__":
    main()

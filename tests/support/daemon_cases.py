"""Runs inside the sandbox, as root beside a real systemd: drives the units and says in JSON what they did.

tests/integration/test_systemd.py boots the machine and asserts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from tests.support.rest_venue import KEY, SECRET, RestVenue

UNIT = "bot4@test.service"
STATE = Path("/var/lib/bot4/test")


def sh(*command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=check)


def show(*names: str, unit: str = UNIT) -> dict[str, str]:
    text = sh("systemctl", "show", unit, *(f"-p{name}" for name in names)).stdout
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


def until(condition: Any, seconds: float = 30.0, *, look_s: float = 0.02) -> bool:
    """Wait for something that another process does; the limit is where the case fails."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(look_s)
    return True


def state_of(unit: str = UNIT) -> str:
    return show("ActiveState", unit=unit)["ActiveState"]


def kill(number: str) -> None:
    sh("systemctl", "kill", "--kill-who=main", f"--signal={number}", UNIT, check=True)


def start() -> int:
    sh("systemctl", "reset-failed", UNIT)
    return sh("systemctl", "start", UNIT).returncode


def install(venue: RestVenue) -> None:
    tree = Path(os.environ["BOT4_TREE"])
    sh("systemd-sysusers", str(tree / "systemd/bot4.sysusers.conf"), check=True)
    sh("systemd-tmpfiles", "--create", str(tree / "systemd/bot4.tmpfiles.conf"), check=True)
    library = Path("/usr/local/lib/bot4")
    library.mkdir(parents=True, exist_ok=True)
    (library / "bot4-courier").write_bytes((tree / "engine/safety/courier.py").read_bytes())
    credentials = Path("/etc/bot4/credentials/test")
    for name, text in (("bot4_audit-key", bytes(range(32))), ("courier_v", f"key={KEY}\nsecret={SECRET}\n".encode())):
        owner, file = name.split("_")
        path = credentials / ("engine" if owner == "bot4" else owner) / file
        path.parent.mkdir(parents=True)
        seal = ["systemd-creds", "encrypt", f"--name={name}", "-", str(path)]
        subprocess.run(seal, input=text, capture_output=True, check=True)
    Path("/etc/bot4/courier-test.toml").write_text(
        '[courier]\nsettle_s = 0.05\ndeadline_s = 20\n[[venue]]\nname = "v"\nkind = "binance-spot"\n'
        f'base_url = "{venue.base_url}"\n'
    )
    sh("chgrp", "-R", "bot4", "/etc/bot4/courier-test.toml", check=True)
    dropin = Path(f"/etc/systemd/system/{UNIT}.d")
    dropin.mkdir(parents=True)
    (dropin / "test.conf").write_text(
        # The system's Python with the built tree: as the installed environment, but without installing it again.
        "[Service]\nExecStartPre=\nExecStart=\nExecStart=/usr/bin/python3 -m tests.support.daemon\n"
        f"Environment=PYTHONPATH={tree}:{os.environ['BOT4_PACKAGES']} BOT4_TEST_PROBE=1\n"
        "WatchdogSec=2\nRestartSec=100ms\nTimeoutStartSec=40\n"
    )
    (dropin / "no-gpio.conf").write_text((tree / "systemd/no-gpio.conf").read_text())
    sh("systemctl", "daemon-reload", check=True)


# ---------------------------------------------------------------------------------------------------------------- cases
def ready(venue: RestVenue) -> dict[str, Any]:
    return {"started": start(), **show("ActiveState", "StatusText", "Type")}


def hardening(venue: RestVenue) -> dict[str, Any]:
    pid = show("MainPID")["MainPID"]
    status = Path(f"/proc/{pid}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in status.split("\n") if ":\t" in line)
    return {
        "probe": json.loads((STATE / "probe.json").read_text()), "seccomp": lines["Seccomp"], "caps": lines["CapBnd"],
        "no_new": lines["NoNewPrivs"],
    }  # fmt: skip


def reload(venue: RestVenue) -> dict[str, Any]:
    code = sh("systemctl", "reload", UNIT).returncode
    until(lambda: "reloaded" in show("StatusText")["StatusText"])
    return {"code": code, **show("ActiveState", "StatusText", "NRestarts")}


def clean_stop(venue: RestVenue) -> dict[str, Any]:
    venue.add("BTCUSDT", "stays")
    asked = len(venue.seen)
    sh("systemctl", "stop", UNIT)
    result = {**show("ActiveState", "Result"), "asked": len(venue.seen) - asked, "orders": len(venue.orders)}
    venue.orders.clear()
    return result


def crash(venue: RestVenue) -> dict[str, Any]:
    """kill -9: the courier cancels, then the unit is restarted."""
    start()
    for n in range(3):
        venue.add("BTCUSDT", f"order {n}")
    died = time.monotonic_ns()
    kill("SIGKILL")
    gone = until(lambda: not venue.orders)
    took_s = (time.monotonic_ns() - died) / 1e9
    back = until(lambda: show("NRestarts")["NRestarts"] == "1" and state_of() == "active")
    reports = sorted((STATE / "courier").glob("courier-*.json"))
    told = json.loads(reports[-1].read_text()) if reports else {}
    return {
        "cancelled": gone,
        "took_s": took_s,
        "restarted": back,
        "report": told.get("after"),
        "done": told.get("done"),
    }


def watchdog(venue: RestVenue) -> dict[str, Any]:
    """The loop sticks in user code: nobody feeds the watchdog, systemd ends the process, the courier cancels."""
    start()
    venue.add("ETHUSDT", "order")
    before = int(show("NRestarts")["NRestarts"])
    kill("SIGUSR2")
    gone = until(lambda: not venue.orders)
    back = until(lambda: int(show("NRestarts")["NRestarts"]) > before and state_of() == "active")
    reports = sorted((STATE / "courier").glob("courier-*.json"))
    return {"cancelled": gone, "restarted": back, "after": json.loads(reports[-1].read_text())["after"]}


def courier_killed(venue: RestVenue) -> dict[str, Any]:
    """Engine and courier are killed both: the courier's own unit, started by hand or by OnFailure, finishes."""
    start()
    venue.add("BTCUSDT", "order")
    venue.hold.clear()
    kill("SIGKILL")
    until(lambda: show("ControlPID")["ControlPID"] != "0")
    sh("kill", "-9", show("ControlPID")["ControlPID"])
    left = len(venue.orders)
    venue.hold.set()
    code = sh("systemctl", "start", "bot4-courier@test.service").returncode
    until(lambda: state_of() == "active")
    return {
        "left_by_the_killed": left,
        "code": code,
        "orders": len(venue.orders),
        **show("Result", unit="bot4-courier@test.service"),
    }


def trip(venue: RestVenue) -> dict[str, Any]:
    """SIGUSR1, taken in C: 70, not restarted, and the next start stays halted."""
    sh("systemctl", "stop", UNIT)
    start()
    kill("SIGUSR1")
    until(lambda: state_of() == "failed")
    first = show("ActiveState", "Result", "ExecMainStatus", "NRestarts")
    again = start()
    until(lambda: state_of() == "failed")
    latch = (STATE / "latch").read_text()
    handover = json.loads((STATE / "handover.json").read_text())
    courier = show("ActiveState", "Result", unit="bot4-courier@test.service")
    second = show("ActiveState", "ExecMainStatus", "StatusText")
    return {"first": first, "again": again, "second": second, "latch": latch,
            "handover": handover, "courier": courier}  # fmt: skip


def main() -> None:
    names = sys.argv[1:]
    with RestVenue() as venue:
        install(venue)
        for name in names:
            try:
                result = globals()[name](venue)
            except Exception:  # noqa: BLE001 - told to the test, which fails on it
                result = {"error": traceback.format_exc(), "journal": sh("journalctl", "-n40", "-ocat").stdout}
            sys.stdout.write(json.dumps({name: result}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

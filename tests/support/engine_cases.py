"""Runs inside the sandbox, as root beside a real systemd: the unit as it ships, with the engine that it starts.

Only the environment is not installed: `current/bin/bot4` is the system's Python over the built tree.
tests/integration/test_systemd.py boots the machine and asserts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.support.daemon_cases import sh, show, until

NAME = "real"
UNIT = f"bot4@{NAME}.service"
STATE = Path("/var/lib/bot4") / NAME
CURRENT = Path("/usr/local/lib/bot4/current/bin")
SETTINGS = """
[dashboard]
port = 0
[metrics]
port = 0
[safety]
stall_ms = 30000
"""


def bot4(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """The command line as root at the machine."""
    return subprocess.run([str(CURRENT / "bot4"), *words], capture_output=True, text=True, input=typed, check=False)


def state() -> str:
    return show("ActiveState", unit=UNIT)["ActiveState"]


def install(*, switch: bool = False) -> None:
    """`switch`: with the GPIO chip, as the unit is written; without, as its drop-in for such machines has it."""
    tree = Path(os.environ["BOT4_TREE"])
    sh("systemd-sysusers", str(tree / "systemd/bot4.sysusers.conf"), check=True)
    sh("systemd-tmpfiles", "--create", str(tree / "systemd/bot4.tmpfiles.conf"), check=True)
    CURRENT.mkdir(parents=True)
    command = CURRENT / "bot4"
    path = f"{tree}:{os.environ['BOT4_PACKAGES']}"
    command.write_text(
        f"#!/bin/sh\nPYTHONPATH={path} exec /usr/bin/python3 -c 'from engine.cli.main import main; main()' \"$@\"\n"
    )
    command.chmod(0o755)
    (CURRENT.parents[1] / "bot4-courier").write_bytes((tree / "engine/safety/courier.py").read_bytes())
    credentials = Path("/etc/bot4/credentials") / NAME / "engine"
    credentials.mkdir(parents=True)
    (credentials.parent / "courier").mkdir()
    seal = ["systemd-creds", "encrypt", "--name=bot4_audit-key", "-", str(credentials / "audit-key")]
    subprocess.run(seal, input=bytes(range(32)), capture_output=True, check=True)
    Path(f"/etc/bot4/{NAME}.toml").write_text((tree / "config/paper.toml").read_text() + SETTINGS)
    Path(f"/etc/bot4/courier-{NAME}.toml").write_text('[courier]\naccount = "none"\n')
    sh("chgrp", "-R", "bot4", f"/etc/bot4/{NAME}.toml", f"/etc/bot4/courier-{NAME}.toml", check=True)
    if not switch:
        dropin = Path(f"/etc/systemd/system/{UNIT}.d")
        dropin.mkdir(parents=True)
        (dropin / "no-gpio.conf").write_text((tree / "systemd/no-gpio.conf").read_text())
    sh("systemctl", "daemon-reload", check=True)


def start() -> int:
    sh("systemctl", "reset-failed", UNIT)
    return sh("systemctl", "start", UNIT).returncode


# ---------------------------------------------------------------------------------------------------------------- cases
def trades() -> dict[str, Any]:
    """Ready, trading, asked over its socket, reloaded, stopped in order."""
    started = start()
    first = show("ActiveState", "StatusText", unit=UNIT)

    def asked() -> dict[str, Any]:
        done = bot4("status", "--json", "-d", str(STATE))
        return json.loads(done.stdout) if done.stdout else {"counts": {"intents": 0}, "error": done.stderr}

    until(lambda: asked()["counts"]["intents"] > 0)
    status = asked()
    reloaded = sh("systemctl", "reload", UNIT).returncode
    until(lambda: "no limit changed" in show("StatusText", unit=UNIT)["StatusText"])
    text = show("StatusText", unit=UNIT)["StatusText"]
    sh("systemctl", "stop", UNIT)
    return {
        "started": started, "first": first, "intents": status["counts"]["intents"], "mode": status.get("mode"),
        "reloaded": reloaded, "reload_text": text, "end": show("ActiveState", "Result", unit=UNIT),
    }  # fmt: skip


def halts() -> dict[str, Any]:
    """SIGUSR1: 70, not restarted, halted at the next start, Paused after a reset."""
    start()
    sh("systemctl", "kill", "--kill-who=main", "--signal=SIGUSR1", UNIT, check=True)
    until(lambda: state() == "failed")
    first = show("Result", "ExecMainStatus", "NRestarts", unit=UNIT)
    again = start()
    until(lambda: state() == "failed")
    second = show("ExecMainStatus", unit=UNIT)["ExecMainStatus"]
    reset = bot4("reset", "--state", str(STATE), "--reason", "a test",
                 typed="I have found the cause\n")  # fmt: skip
    third = start()
    status = json.loads(bot4("status", "--json", "-d", str(STATE)).stdout or "{}")
    verified = bot4("audit", "verify", "--state", str(STATE))
    sh("systemctl", "stop", UNIT)
    replayed = bot4("replay", str(STATE / "journal"), "--verify")
    return {
        "first": first, "again": again, "second": second, "reset": reset.returncode, "reset_text": reset.stderr,
        "third": third, "mode": status.get("mode"), "audit": verified.stdout + verified.stderr,
        "replay": replayed.stdout + replayed.stderr,
    }  # fmt: skip


def main() -> None:
    install()
    for name in sys.argv[1:]:
        try:
            result = globals()[name]()
        except Exception:  # noqa: BLE001 - told to the test, which fails on it
            result = {"error": traceback.format_exc()}
        result["journal"] = sh("journalctl", "-n60", "-ocat").stdout
        sys.stdout.write(json.dumps({name: result}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The units under a real systemd: booted once in namespaces of its own, driven by tests/support/daemon_cases.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support import machines
from tests.support.shared import ROOT

UNITS = ROOT / "systemd"
PACKAGES = Path(np.__file__).parents[1]
CASES = ("ready", "hardening", "reload", "clean_stop", "crash", "watchdog", "courier_killed", "trip")


def system_python() -> str:
    """The hardened unit cannot see anybody's home; the tree's kernels have to fit the system's own Python."""
    python = shutil.which("python3", path="/usr/bin:/bin")
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = subprocess.run([python or "false", "-V"], capture_output=True, text=True, check=False).stdout
    if f" {wanted}." not in found:
        pytest.skip(f"the system's Python is {found.strip() or 'missing'}, the kernels are built for {wanted}")
    return str(python)


def drive(
    command: list[str], cases: tuple[str, ...], *, seconds: int, tree: Path = ROOT, module: str = "daemon_cases"
) -> dict:
    packages = tree / PACKAGES.relative_to(ROOT) if PACKAGES.is_relative_to(ROOT) else PACKAGES
    environment = {"BOT4_TREE": str(tree), "BOT4_PACKAGES": str(packages), "PYTHONPATH": f"{tree}:{packages}"}
    setting = " ".join(f"{name}='{value}'" for name, value in environment.items())
    done = machines.run(
        [
            *command,
            "--",
            "bash",
            "-c",
            f"cd {tree}; {setting} {system_python()} -m tests.support.{module} {' '.join(cases)}",
        ],
        seconds=seconds,
    )
    found = {}
    for line in done.stdout.split("\n"):
        if line.startswith("{"):
            found.update(json.loads(line))
    assert set(found) == set(cases), done.stdout[-2000:] + done.stderr[-2000:]
    errors = [f"{name}:\n{case['error']}\n{case['journal']}" for name, case in found.items() if "error" in case]
    assert not errors, "\n".join(errors)
    return found


def units(*more: str) -> list[str]:
    files = ("bot4@.service", "bot4-courier@.service", "bot4.slice")
    return ["-t", "120", *more, *(word for name in files for word in ("-u", str(UNITS / name)))]


@pytest.fixture(scope="module")
def cases():
    return drive([*machines.systemd_machine(), *units()], CASES, seconds=150, tree=machines.INSIDE)


def test_the_unit_is_up_when_the_engine_says_ready(cases):
    assert cases["ready"] == {"started": 0, "Type": "notify", "StatusText": "running", "ActiveState": "active"}


def test_what_the_hardening_forbids_fails_and_what_the_engine_needs_works(cases):
    probe = cases["hardening"]["probe"]
    allowed = {name for name, answer in probe.items() if answer == "allowed"}
    assert allowed == {"write state", "inet socket", "set affinity"}
    assert probe["executable memory"] == "Operation not permitted"
    assert (probe["user"], probe["credential"]) == ("True", "True")
    assert (cases["hardening"]["seccomp"], cases["hardening"]["no_new"]) == ("2", "1")
    assert int(cases["hardening"]["caps"], 16) == 0


def test_a_reload_is_told_and_restarts_nothing(cases):
    case = cases["reload"]
    assert (case["code"], case["StatusText"], case["NRestarts"]) == (0, "running, reloaded 1", "0")


def test_after_a_clean_stop_the_courier_asks_nobody(cases):
    assert cases["clean_stop"] == {"Result": "success", "ActiveState": "inactive", "asked": 0, "orders": 1}


def test_killed_by_9_its_orders_are_cancelled_and_it_is_started_again(cases):
    case = cases["crash"]
    assert (case["cancelled"], case["restarted"], case["done"]) == (True, True, True)
    assert (case["report"]["SERVICE_RESULT"], case["report"]["EXIT_STATUS"]) == ("signal", "KILL")


def test_a_loop_that_sticks_is_ended_by_the_watchdog_and_its_orders_cancelled(cases):
    case = cases["watchdog"]
    assert (case["cancelled"], case["restarted"]) == (True, True)
    assert case["after"]["SERVICE_RESULT"] == "watchdog"


def test_engine_and_courier_killed_both_the_couriers_own_unit_finishes(cases):
    case = cases["courier_killed"]
    assert (case["left_by_the_killed"], case["code"], case["orders"], case["Result"]) == (1, 0, 0, "success")


def test_a_trip_ends_with_70_is_not_restarted_and_stays_halted_at_the_next_start(cases):
    case = cases["trip"]
    assert case["first"] == {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "70", "NRestarts": "0"}
    assert case["again"] != 0
    assert (case["second"]["ExecMainStatus"], case["second"]["StatusText"]) == ("70", "halted: signal; bot4 reset")
    assert "first signal\n" in case["latch"]
    assert case["handover"]["verified"] is True


# ------------------------------------------------------------------------------- the unit and the engine, as they ship
@pytest.fixture(scope="module")
def shipped():
    return drive(
        [*machines.systemd_machine(), *units()], ("trades", "halts"), seconds=150, tree=machines.INSIDE,
        module="engine_cases",
    )  # fmt: skip


def test_the_engine_itself_runs_below_the_hardened_unit(shipped):
    case = shipped["trades"]
    assert case["started"] == 0, case["journal"]
    assert case["first"]["ActiveState"] == "active"
    assert case["first"]["StatusText"].startswith("paper session s-000001; kill switch: simulated")
    assert (case["mode"], case["intents"] > 0) == ("Normal", True)
    assert (case["reloaded"], case["reload_text"]) == (0, "no limit changed.")
    assert case["end"] == {"ActiveState": "inactive", "Result": "success"}, case["journal"]


def test_halted_it_stays_halted_until_a_person_has_reset_it_and_then_it_is_paused(shipped):
    case = shipped["halts"]
    assert case["first"] == {"Result": "exit-code", "ExecMainStatus": "70", "NRestarts": "0"}, case["journal"]
    assert (case["again"] != 0, case["second"]) == (True, "70")
    assert case["reset"] == 0, case["reset_text"]
    assert (case["third"], case["mode"]) == (0, "Paused"), case["journal"]
    assert "whole" in case["audit"]
    assert case["replay"].startswith("equal:")


# ------------------------------------------------------------------------------------------------- without a manager
def analyze(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize(
    ("unit", "dropin", "tenths"),
    [("bot4@.service", None, 17), ("bot4@.service", "no-gpio.conf", 12), ("bot4-courier@.service", None, 12)],
)
def test_the_exposure_is_within_its_limit(unit, dropin, tenths, tmp_path):
    text = (UNITS / unit).read_text()
    if dropin:
        # Offline, systemd-analyze takes one file: the drop-in's settings come last, as the manager would take them.
        text = text.replace("[Install]", "[X-Install]") + (UNITS / dropin).read_text()
    (tmp_path / unit).write_text(text)
    done = analyze("security", "--offline=yes", f"--threshold={tenths}", unit, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_every_setting_is_one_that_this_systemd_knows(tmp_path):
    for path in UNITS.glob("*"):
        name = path.name.replace("@.", "@i.")
        text = path.read_text().replace("/usr/local/lib/bot4/current/bin/bot4", "/bin/true")
        if path.suffix in (".service", ".slice"):
            (tmp_path / name).write_text(text)
    done = analyze(
        "verify", "--recursive-errors=no", "--man=no", "./bot4@i.service", "./bot4-courier@i.service", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")

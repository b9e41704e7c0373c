"""`bot4 run` below its own unit, halted by the real line: a kernel with a GPIO chip, in it a systemd, in it the engine.

Both machines are booted once; tests/support/line_cases.py drives them. What has to happen stands in
docs/safety/wiring.md.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.integration.test_systemd import PACKAGES, drive, system_python, units
from tests.support import machines
from tests.support.shared import ROOT

# Beside a whole suite such machines are too slow to be judged: .ci/run has a step for them alone.
pytestmark = pytest.mark.skipif(
    not os.environ.get("BOT4_NESTED"), reason="boots two machines, one in the other: BOT4_NESTED=1 runs it"
)
CASES = ("press", "reset_while_open", "toggle", "tamper", "open_at_the_start", "chip_removed")
HALTED = ("exit-code", "70", "0")
# Where the machine is free it takes a minute. A kernel that does not switch itself off at the end is ended then, with
# what its cases said.
SECONDS = 480


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    kernel, manager = machines.gpio_machine(), machines.systemd_machine()
    # As before each start of the unit, with the Python that it will run: in the machine it would take minutes.
    built = tmp_path_factory.mktemp("strategies")
    done = subprocess.run(
        [
            system_python(),
            "-c",
            "from engine.cli.main import main; main()",
            "strategy",
            "build",
            "--config",
            "paper",
            "--directory",
            str(built),
        ],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{PACKAGES}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    binds = (
        "-b /dev/gpiochip0:/dev/gpiochip0:rw -b $GPIO_SIM:/run/gpio-sim:rw -b $GPIO_SIM_CONFIG:/run/gpio-config:rw "
        f"-b /run/cpuinfo:/run/pi-cpuinfo -c {built}:/var/cache/bot4 -t {SECONDS}"
    )
    inner = f'exec {" ".join(manager)} {" ".join(units())} {binds} "$@"'
    return drive(
        [*kernel, "-m", "1G", "-t", str(SECONDS), "--", "bash", "-c", inner, "bash"], CASES, seconds=SECONDS + 20,
        tree=machines.INSIDE, module="line_cases",
    )  # fmt: skip


def halted(case: dict) -> tuple[str, ...]:
    return case["Result"], case["ExecMainStatus"], case["NRestarts"]


def assert_only_protection_stands(case: dict) -> None:
    """By the plan of `safety.plan = "cancel"`: entries are gone, what is held is named and keeps its stop."""
    told = case["handover"]
    assert (told["verified"], told["outcome"]) == (True, "canceled")
    assert all(row["lots"] for row in told["open"] if row["orders"])
    assert len(told["keep"]) == sum(row["orders"] for row in told["open"])


def test_it_starts_with_the_line_closed_and_says_which_switch_it_has(cases):
    case = cases["press"]
    assert case["started"] == 0, case["journal"]
    assert case["text"].endswith("kill switch: on GPIO; dead-man timer: not available at this venue")
    assert case["traded"], case["journal"]


def test_the_heart_lamp_follows_the_core(cases):
    assert cases["press"]["heart"] == [0, 1]


def test_a_press_cancels_all_ends_with_70_and_is_not_restarted(cases):
    case = cases["press"]
    assert halted(case) == HALTED, case["journal"]
    assert "first switch" in case["latch"]
    assert_only_protection_stands(case)
    steps = case["steps"]
    assert 0 < steps["LATCH"] <= steps["REFUSE"] <= steps["CANCEL"] <= steps["RECORD"]


def test_a_reset_is_refused_while_the_line_is_open_and_then_the_start_is_paused(cases):
    case = cases["reset_while_open"]
    assert "line 17 of /dev/gpiochip0 is open" in case["refused"]
    assert (case["reset"], case["started"], case["mode"]) == ("", 0, "Paused"), case["journal"]


def test_a_toggle_within_microseconds_leaves_it_trading(cases):
    case = cases["toggle"]
    if case["tries"] == 3 and case["open_ms"] >= 50:
        pytest.skip(f"this machine cannot toggle a line in less than {case['open_ms']:.0f} ms just now")
    assert (case["traded"], case["state"], case["mode"], case["later"]) == (True, "active", "Normal", True), case


def test_a_cut_tamper_loop_halts_with_its_own_reason(cases):
    case = cases["tamper"]
    assert halted(case) == HALTED, case["journal"]
    assert "first tamper" in case["latch"]
    assert_only_protection_stands(case)
    assert case["reset"] == ""


def test_with_the_line_open_it_does_not_start(cases):
    case = cases["open_at_the_start"]
    assert case["started"] != 0
    assert case["ExecMainStatus"] == "70", case["journal"]
    assert "first switch" in case["latch"]
    assert case["reset"] == ""


def test_a_chip_that_vanishes_halts_it_and_without_it_there_is_no_reset(cases):
    case = cases["chip_removed"]
    assert (case["started"], case["traded"]) == (0, True), case["journal"]
    assert halted(case) == HALTED, case["journal"]
    assert "first switch" in case["latch"]
    assert_only_protection_stands(case)
    assert any("does not answer" in line for line in case["latch"])
    assert "BOT4-13" in case["reset"]

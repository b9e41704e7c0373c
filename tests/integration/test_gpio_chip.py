"""Both readers on a real GPIO character device: a kernel with gpio-sim is booted once, and every case runs in it.

What a press, a cut wire, a bounce or a vanished chip must do is stated in docs/safety/wiring.md.
"""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.support import gpio_cases, machines


@pytest.fixture(scope="module")
def cases():
    done = machines.run(
        [*machines.gpio_machine(), "-t", "60", "--", sys.executable, "-m", "tests.support.gpio_cases"], seconds=75
    )
    machines.require_boot(done)
    found = {}
    for line in done.stdout.split("\n"):
        if line.startswith("{"):
            found.update(json.loads(line))
    assert found, done.stderr[-2000:]
    errors = {name: case["error"] for name, case in found.items() if "error" in case}
    assert not errors, errors
    assert set(found) == {case.__name__ for case in gpio_cases.CASES}
    return found


def test_every_press_trips_and_only_with_its_own_reason(cases):
    assert cases["press"]["reasons"] == [["switch"]]
    assert cases["press"]["count"] == gpio_cases.PRESSES
    # Never before the debounce is over: what is shorter is a glitch.
    assert cases["press"]["median_ms"] >= cases["press"]["debounce_ms"]


def test_a_cut_tamper_loop_trips(cases):
    assert cases["tamper"]["reasons"] == ["tamper"]


def test_held_at_the_start_trips_and_fails_the_self_test(cases):
    assert cases["held_at_start"] == {"refused": "BOT4-1303", "tripped": True, "reasons": ["switch"]}


def test_bounces_that_settle_do_not_trip(cases):
    assert cases["bounce"]["tripped"] is False
    assert cases["bounce"]["edges"] >= 2


def test_a_toggle_within_microseconds_does_not_trip(cases):
    assert (cases["toggle"]["tripped"], cases["toggle"]["level"]) == (False, 0)


def test_a_line_that_chatters_for_ever_trips(cases):
    assert cases["chatter"]["reasons"] == ["switch"]


def test_the_kernels_own_debounce_is_taken_and_lets_a_press_through(cases):
    assert cases["kernel_debounce"] == {"tripped": True, "reasons": ["switch"]}


def test_a_press_trips_and_is_durable_while_the_interpreter_lock_is_held(cases):
    case = cases["lock_held"]
    assert (case["reasons"], case["while_held"], case["durable"]) == (["switch"], True, True)


def test_gpiozeros_side_suffices_alone(cases):
    assert cases["gpiozero_alone"]["reasons"] == ["switch"]
    assert cases["gpiozero_alone"]["note"].startswith("gpiozero: ")


@pytest.mark.parametrize(("case", "text"), [("disagreement", "different levels"), ("silence", "silent")])
def test_readers_that_disagree_trip(case, text, cases):
    assert cases[case]["reasons"] == ["reader-disagreement"]
    assert text in cases[case]["note"]


def test_the_lines_belong_to_one_process(cases):
    assert cases["busy"]["code"] == "BOT4-1301"
    assert "busy" in cases["busy"]["text"]


def test_the_lamps_really_light(cases):
    assert cases["lamps"]["errors"] == ""
    seen = cases["lamps"]["seen"]
    assert (seen["starting"], seen["emergency"], seen["halted"]) == ([1, 1, 1], [0, 0, 1], [0, 0, 1])


def test_a_chip_that_vanishes_in_use_trips_once_and_is_not_ready_again(cases):
    case = cases["chip_removed"]
    assert case["first"] == ["switch", "the GPIO chip does not answer"]
    assert case["refused"] == "BOT4-1303"


@pytest.mark.skipif(not os.environ.get("BOT4_NESTED"), reason="boots another kernel, one without a chip: BOT4_NESTED=1")
def test_a_machine_without_a_chip_is_refused_by_name():
    done = machines.run(
        [
            *machines.gpio_machine(),
            "-n",
            "-t",
            "60",
            "--",
            sys.executable,
            "-m",
            "tests.support.gpio_cases",
            "--no-chip",
        ],
        seconds=90,
    )
    assert json.loads(done.stdout.strip()) == {"missing": {"code": "BOT4-1301"}}

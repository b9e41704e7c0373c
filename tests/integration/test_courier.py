"""The courier as a real process against a real order server: it ends with an empty list, or says what may be open."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.runtime.ports import standing_of
from engine.safety import courier
from engine.venues.binance.ids import order_of
from tests.support.desks import Desk
from tests.support.rest_venue import KEY, SECRET, RestVenue

COURIER = Path(courier.__file__)
CRASHED = {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}
CLEAN = {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}


def configure(
    tmp_path, *venues, general="deadline_s = 20\nsettle_s = 0.01\nbackoff_s = 0.01\nbackoff_max_s = 0.05", secret=SECRET
):
    """A configuration with one credential file per venue; returns the command."""
    text = f'[courier]\n{general}\nreport = "{tmp_path}/reports"\nhandover = "{tmp_path}/handover.json"\n'
    for number, (kind, url, more) in enumerate(venues):
        text += f'[[venue]]\nname = "v{number}"\nkind = "{kind}"\nbase_url = "{url}"\n{more}\n'
        (tmp_path / f"courier_v{number}").write_text(f"key={KEY}\nsecret={secret}\n")
    (tmp_path / "courier.toml").write_text(text)
    # -I -S: neither the environment nor any site-packages; as it is when the engine's venv is gone.
    return [sys.executable, "-I", "-S", str(COURIER), "--config", str(tmp_path / "courier.toml")]


def start(command, tmp_path, *options, **environment):
    return subprocess.Popen(
        [*command, *options],
        env={"CREDENTIALS_DIRECTORY": str(tmp_path), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip


def run(command, tmp_path, *options, **environment):
    process = start(command, tmp_path, *options, **environment)
    text, _ = process.communicate(timeout=60)
    return process.returncode, text


def report(tmp_path):
    (path,) = (tmp_path / "reports").glob("courier-*.json")
    return json.loads(path.read_text())


def test_after_a_crash_every_order_of_every_venue_is_cancelled(tmp_path):
    with RestVenue() as spot, RestVenue() as futures:
        for n in range(3):
            spot.add("BTCUSDT", f"b{n}")
            spot.add("ETHUSDT", f"e{n}")
        futures.add("BTCUSDT", "f0")
        futures.add("BTCUSDT", "stop", algo=True)
        command = configure(tmp_path, ("binance-spot", spot.base_url, ""), ("binance-usdm", futures.base_url, ""))
        code, text = run(command, tmp_path, "--after-engine", **CRASHED)
    assert (code, spot.orders, futures.orders) == (0, [], []), text
    told = report(tmp_path)
    assert told["done"] is True
    assert told["after"]["SERVICE_RESULT"] == "signal"
    assert [venue["seen_open"] for venue in told["venues"]] == [6, 2]
    assert ("DELETE", "/fapi/v1/algoOpenOrders") in futures.seen


@pytest.mark.parametrize(
    "ending",
    [
        CRASHED,
        {"SERVICE_RESULT": "watchdog", "EXIT_CODE": "dumped", "EXIT_STATUS": "ABRT"},
        {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "70"},
        {"SERVICE_RESULT": "oom-kill", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"},
        {"SERVICE_RESULT": "success", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"},
        {},
    ],
    ids=lambda ending: ending.get("SERVICE_RESULT", "nothing") + ending.get("EXIT_STATUS", ""),
)
def test_whatever_does_not_say_clean_is_an_unclean_end(ending):
    assert not courier.ended_cleanly(ending)


def test_after_a_clean_end_no_venue_is_even_asked(tmp_path):
    with RestVenue() as venue:
        venue.add("BTCUSDT", "stays")
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        code, _ = run(command, tmp_path, "--after-engine", **CLEAN)
        assert (code, venue.seen, len(venue.orders)) == (0, [], 1)
        # A person who starts it means it, whatever the last end was.
        code, _ = run(command, tmp_path, **CLEAN)
        assert (code, venue.orders) == (0, [])


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("kind", ["500", "drop", "lost-ack", "429", "html"])
def test_trouble_at_any_request_is_retried_until_the_list_is_empty(kind, first, tmp_path):
    with RestVenue() as venue:
        venue.add("BTCUSDT", "b0")
        venue.add("ETHUSDT", "e0")
        venue.trouble = [""] * first + [kind] * 2
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        settings = courier.load(tmp_path / "courier.toml", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
        del command
        assert courier.run(settings, CRASHED) == courier.EXIT_DONE
        assert venue.orders == []


def test_an_order_that_lands_after_the_first_empty_list_is_found(tmp_path):
    lists = []

    def late(venue, method, path):
        if method == "GET" and path.endswith("openOrders"):
            lists.append(path)
        if len(lists) == 2 and not late.done:
            late.done = True
            venue.add("BTCUSDT", "was-on-its-way")

    late.done = False
    with RestVenue(on_request=late) as venue:
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        code, _ = run(command, tmp_path, **CRASHED)
        assert (code, venue.orders) == (0, [])
    assert report(tmp_path)["venues"][0]["cancelled"] == ["BTCUSDT was-on-its-way"]


def test_a_venue_that_is_down_holds_up_no_other_and_is_named(tmp_path):
    with RestVenue() as gone:
        dead_url = gone.base_url
    with RestVenue() as venue:
        venue.add("BTCUSDT", "b0")
        command = configure(
            tmp_path, ("binance-spot", dead_url, ""), ("binance-spot", venue.base_url, ""),
            general="deadline_s = 0.5\nsettle_s = 0.01\nbackoff_s = 0.01",
        )  # fmt: skip
        code, text = run(command, tmp_path, **CRASHED)
        assert (code, venue.orders) == (1, [])
    assert "v0: MAY STILL BE OPEN" in text
    assert [row["confirmed"] for row in report(tmp_path)["venues"]] == [False, True]


def test_a_wrong_key_is_said_at_once_and_is_no_success(tmp_path):
    with RestVenue() as venue:
        venue.add("BTCUSDT", "b0")
        command = configure(
            tmp_path, ("binance-spot", venue.base_url, ""), secret="another", general="deadline_s = 600"
        )
        code, text = run(command, tmp_path, **CRASHED)
    assert code == 1
    assert "-1022" in text
    assert "another" not in text


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 3_600_000])
def test_a_machine_without_the_right_time_still_cancels(ahead_ms, tmp_path):
    with RestVenue(clock_ahead_ms=ahead_ms) as venue:
        venue.add("BTCUSDT", "b0")
        code, _ = run(configure(tmp_path, ("binance-spot", venue.base_url, "")), tmp_path, **CRASHED)
        assert (code, venue.orders) == (0, [])


def test_stops_that_a_finished_trip_left_standing_are_spared_for_this_run_alone(tmp_path):
    with RestVenue() as venue:
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        handover = tmp_path / "handover.json"
        handover.write_text(json.dumps({"verified": True, "invocation": "this-run", "keep": ["stop-1"]}))
        venue.add("BTCUSDT", "stop-1")
        venue.add("BTCUSDT", "entry")
        code, _ = run(command, tmp_path, **CRASHED, INVOCATION_ID="this-run")
        assert (code, [order.client_id for order in venue.orders]) == (0, ["stop-1"])
        assert report(tmp_path)["venues"][0]["kept"] == ["stop-1"]
        # The same file, one run later: it says nothing about that one.
        code, _ = run(command, tmp_path, **CRASHED, INVOCATION_ID="the-next-run")
        assert (code, venue.orders) == (0, [])


def test_an_order_of_the_engine_is_spared_by_the_name_that_the_venue_knows_it_by(tmp_path):
    desk = Desk()
    desk.wants()
    desk.quote()
    (order,) = desk.world.live_orders()
    (name,) = standing_of(desk.world.live_orders())
    desk.close()
    # What stands is named as the encoder sends it and as the venue's reports are read.
    assert order_of(name) == int(order["id_order"])
    with RestVenue() as venue:
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        told = {"verified": True, "invocation": "this-run", "keep": [name]}
        (tmp_path / "handover.json").write_text(json.dumps(told))
        venue.add("BTCUSDT", name)
        venue.add("BTCUSDT", f"{name[:-1]}x")
        code, _ = run(command, tmp_path, **CRASHED, INVOCATION_ID="this-run")
        assert (code, [order.client_id for order in venue.orders]) == (0, [name])


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"verified": 1, "invocation": "x", "keep": []}',
     '{"verified": true, "invocation": "x", "keep": 5}',
     '{"verified": true, "invocation": "", "keep": []}', '{"verified": true, "invocation": "x"}'],
)  # fmt: skip
def test_a_handover_that_is_not_whole_keeps_nothing(text, tmp_path):
    (tmp_path / "h").write_text(text)
    assert not courier.kept_by_handover(tmp_path / "h", {"INVOCATION_ID": "x"})


def test_a_dry_run_lists_and_leaves(tmp_path):
    with RestVenue() as venue:
        venue.add("BTCUSDT", "b0")
        code, text = run(
            configure(tmp_path, ("binance-spot", venue.base_url, 'symbols = ["BTCUSDT"]')), tmp_path, "--dry-run"
        )
        assert (code, len(venue.orders)) == (1, 1)
        assert "left: BTCUSDT b0" in text


def test_killed_at_work_and_started_again_it_finishes(tmp_path):
    with RestVenue() as venue:
        venue.add("BTCUSDT", "b0")
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        venue.hold.clear()
        first = start(command, tmp_path, **CRASHED)
        first.send_signal(signal.SIGKILL)
        assert first.wait(60) == -signal.SIGKILL
        first.stdout.close()
        venue.hold.set()
        code, _ = run(command, tmp_path, **CRASHED)
        assert (code, venue.orders) == (0, [])


def test_a_report_that_cannot_be_written_stops_nothing(tmp_path):
    with RestVenue() as venue:
        venue.add("BTCUSDT", "b0")
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        (tmp_path / "reports").write_text("a file where the directory should be")
        code, text = run(command, tmp_path, **CRASHED)
        assert (code, venue.orders) == (0, [])
        assert "report not written" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("kind = ", "kin = "), "kind is none of"),
        (('base_url = "http://', 'base_url = "http://venue.example/'), "has to be https"),
        (("name = ", "colour = 1\nname = "), "colour"),
        (("[courier]", "[curier]"), "unknown table"),
        (("[[venue]]", "["), "toml"),
    ],
)
def test_a_configuration_that_is_not_understood_is_refused_and_counts_as_open(change, reason, tmp_path):
    with RestVenue() as venue:
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
    path = tmp_path / "courier.toml"
    path.write_text(path.read_text().replace(*change))
    code, text = run(command, tmp_path)
    assert code == courier.EXIT_UNUSABLE
    assert reason in text
    assert "may still be open" in text


def test_a_paper_instance_says_in_words_that_it_has_no_account(tmp_path):
    (tmp_path / "courier.toml").write_text('[courier]\naccount = "none"\n')
    command = [sys.executable, "-I", "-S", str(COURIER), "--config", str(tmp_path / "courier.toml")]
    assert run(command, tmp_path, "--after-engine", **CRASHED)[0] == 0
    (tmp_path / "courier.toml").write_text("")
    assert run(command, tmp_path, "--after-engine", **CRASHED)[0] == courier.EXIT_UNUSABLE


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("python3", path="/usr/bin:/bin") is None,
    reason="only root can become somebody else, and that somebody needs a Python",
)
def test_started_by_root_it_becomes_the_service_user_for_the_network(tmp_path):
    seen = []

    def note(venue, method, path):
        # The process behind the connection, while it waits for this answer.
        status = Path(f"/proc/{child[0].pid}/status").read_text()
        seen.append(next(line for line in status.split("\n") if line.startswith("Uid:")).split()[1:])

    child = []
    with RestVenue(on_request=note) as venue:
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        command[0] = shutil.which("python3", path="/usr/bin:/bin")  # readable for everybody, as where it is installed
        venue.hold.clear()
        child.append(start(command, tmp_path, "--user", "nobody", **CRASHED))
        venue.hold.set()
        text, _ = child[0].communicate(timeout=60)
    assert child[0].returncode == 0, text
    assert {tuple(ids) for ids in seen} == {("65534",) * 4}


def test_it_runs_alone_with_no_packages_at_all(tmp_path):
    alone = tmp_path / "bot4-courier"
    shutil.copy(COURIER, alone)
    with RestVenue() as venue:
        venue.add("BTCUSDT", "b0")
        command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
        python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
        assert os.access(alone, os.R_OK)
        code, text = run([python, "-I", "-S", str(alone), *command[4:]], tmp_path, **CRASHED)
        assert (code, venue.orders) == (0, []), text


def test_every_import_is_of_the_standard_library():
    imported = {
        line.split()[1].split(".")[0]
        for line in COURIER.read_text().split("\n")
        if line.startswith(("import ", "from "))
    }
    assert imported <= sys.stdlib_module_names | {"__future__"}
    assert "engine" not in imported

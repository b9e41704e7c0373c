"""The safety chain of `bot4 run` as a process: whatever trips it, it ends with 70, on record, and stays halted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine._core.latch import Latch
from engine.errors import LatchTripped
from engine.safety.audit import Kind, Report, read, verify
from engine.safety.life import PHRASE, audit_key
from tests.integration.test_run import BOT4, FREE_PORTS, Running, nothing_is_left_behind  # noqa: F401 (a fixture)
from tests.support.shared import ROOT


def audited(state: Path, kind: Kind) -> list:
    return [record.entry for record in read(state / "audit", None, Report()) if record.entry.kind is kind]


def bot4(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BOT4, *words], capture_output=True, text=True, timeout=60, check=False, input=typed,
        env=os.environ | FREE_PORTS,
    )  # fmt: skip


def test_a_signal_halts_it_and_only_a_person_lets_it_trade_again(tmp_path):
    running = Running(tmp_path, "--seconds", "60")
    running.until_answers()
    running.process.send_signal(signal.SIGUSR1)
    code, summary = running.wait()
    assert (code, summary["exit_code"], summary["reason"]) == (70, 70, "the latch is tripped")
    assert summary["left_open"] == 0
    with pytest.raises(LatchTripped), Latch(tmp_path / "latch") as latch:
        latch.require_clear()
    handover = json.loads((tmp_path / "handover.json").read_text())
    assert (handover["verified"], handover["outcome"]) == (True, "canceled")
    assert [entry.trigger for entry in audited(tmp_path, Kind.TRIP)] == ["signal"]
    assert verify(tmp_path / "audit", audit_key("", state=tmp_path), ()).whole

    again = bot4("run", "--plain", "-d", str(tmp_path))
    assert (again.returncode, "BOT4-801" in again.stderr) == (70, True)

    reset = bot4("reset", "--state", str(tmp_path), "--reason", "a test", typed=f"{PHRASE}\n")
    assert reset.returncode == 0, reset.stderr
    running = Running(tmp_path, "--seconds", "60")
    assert running.until_answers()["mode"] == "Paused"
    # After an emergency one key stroke is not enough: the way back waits for the operator's signature.
    wanted = running.ask("resume")
    assert (wanted.returncode, "bot4 approve 1" in wanted.stderr) == (1, True)
    assert running.until_answers()["mode"] == "Paused"
    assert running.ask("approve", "1", "--yes").returncode == 0
    assert running.until_answers()["mode"] == "Normal"
    running.process.send_signal(signal.SIGINT)
    assert running.wait()[0] == 0
    assert [entry.explanation for entry in audited(tmp_path, Kind.HUMAN)] == ["Normal asked for"]
    # Whoever has resumed once is not asked again.
    running = Running(tmp_path, "--seconds", "0.1")
    assert running.wait()[1]["status"]["mode"] == "Paused"
    assert not (tmp_path / "paused").exists()


def test_a_loop_that_sticks_trips_and_the_process_ends_without_it(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("[safety]\nstall_ms = 400\ngrace_ms = 800\n")
    files = (str(ROOT / "config/paper.toml"), str(mine))
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.stuck_session", str(tmp_path), *files],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 70, done.stderr
    assert "halted by heartbeat-stall" in done.stderr
    assert "heartbeat-stall" in (tmp_path / "latch").read_text()
    assert any("held_by_a_callback" in entry.explanation for entry in audited(tmp_path, Kind.STALL))
    # Nobody could say what stands at the venue: the courier must not spare anything.
    assert json.loads((tmp_path / "handover.json").read_text())["verified"] is False


def test_by_the_standard_plan_a_trip_ends_flat_and_the_venue_says_so(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('[safety]\nplan = "standard"\ngrace_ms = 30000\n')
    running = Running(tmp_path / "state", "--seconds", "120", "--speed", "4", "-c", "paper.toml", "-c", str(mine))
    while running.until_answers()["counts"]["fills"] < 20:
        assert running.process.poll() is None
    running.process.send_signal(signal.SIGUSR1)
    code, summary = running.wait()
    assert code == 70
    handover = json.loads((tmp_path / "state" / "handover.json").read_text())
    assert (handover["verified"], handover["outcome"], handover["open"]) == (True, "flat", [])
    assert [symbol["position"] for symbol in summary["status"]["symbols"]] == [0, 0, 0]
    (ended,) = audited(tmp_path / "state", Kind.SEQUENCE)
    assert "VERIFY" in [name for name, _ in ended.data["steps"]]


def test_a_person_may_liquidate_and_it_ends_flat_and_goes_on_running(tmp_path):
    running = Running(tmp_path / "state", "--seconds", "120", "--speed", "4")
    while running.until_answers()["counts"]["fills"] < 20:
        assert running.process.poll() is None
    assert running.ask("liquidate", "--yes").returncode == 0
    while (status := running.until_answers())["counts"]["live_orders"] or any(
        symbol["position"] for symbol in status["symbols"]
    ):
        assert status["mode"] == "Emergency"
    running.process.send_signal(signal.SIGTERM)
    code, summary = running.wait()
    assert code == 0
    assert [symbol["position"] for symbol in summary["status"]["symbols"]] == [0, 0, 0]


def test_a_fall_from_the_peak_trips(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("[limits]\ndrawdown_ppm = 1\ndaily_loss_ppm = 1\n")
    running = Running(tmp_path / "state", "--seconds", "40", "--speed", "20", "-c", "paper.toml", "-c", str(mine))
    code, _ = running.wait()
    assert code == 70
    (trip,) = audited(tmp_path / "state", Kind.TRIP)
    assert trip.trigger == "drawdown"
    assert "limit 1 ppm" in trip.explanation


@pytest.mark.parametrize("text", ["[limits]\nopen_orders_all = -1\n", "[nothing]\n"])
def test_wrong_settings_end_it_with_78_so_that_nobody_starts_it_again(tmp_path, text):
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    done = bot4("run", "--plain", "-d", str(tmp_path / "state"), "-c", "paper.toml", "-c", str(mine))
    assert done.returncode == 78
    assert "BOT4-" in done.stderr
    assert not (tmp_path / "state").exists()


def test_every_session_gives_numbers_of_its_own(tmp_path):
    """Two runs on one folder: no order number of the second was ever one of the first."""
    epochs = []
    for _ in range(2):
        assert Running(tmp_path, "--seconds", "0.1").wait()[0] == 0
        newest = sorted((tmp_path / "journal").glob("s-*"))[-1]
        epochs.append(json.loads((newest / "session.json").read_text())["epoch"])
    assert epochs == [1, 2]

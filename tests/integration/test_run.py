"""`bot4 run` as a process: it trades, is asked and told over its socket, stops in order, and replays to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine._core.types import DECISION, Kind
from engine.cli.main import cli
from engine.journal.layout import sessions
from engine.journal.reader import open_session
from engine.observe.decisions import explain, is_refusal
from tests.support.shared import ROOT

# A machine that builds and tests may well hold a loop for longer than one that trades.
FREE_PORTS = {"BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__SAFETY__STALL_MS": "30000"}
# Long enough for a machine that is busy with other things: each of these sessions is told to end.
LONG = ("--seconds", "900")
PATIENCE_S = 300
RUNNING: list[Running] = []
BOT4 = (sys.executable, "-c", "from engine.cli.main import main; main()")


class Running:
    """A session in a process of its own; `wait` gives its exit code and its summary."""

    def __init__(self, directory: Path, *options: str, **settings: str) -> None:
        self.directory = directory
        RUNNING.append(self)
        self.process = subprocess.Popen(
            [*BOT4, "run", "--plain", "--json", "--directory", str(directory), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | FREE_PORTS | settings,
        )  # fmt: skip

    def until_answers(self) -> dict:
        """The first picture that its control socket gives."""
        for _ in range(600):
            if self.process.poll() is not None:
                pytest.fail(f"it ended: {self.process.communicate()}")
            done = subprocess.run(
                [*BOT4, "status", "--json", "-d", str(self.directory)], capture_output=True, text=True, check=False
            )
            if done.returncode in (0, 4) and done.stdout:
                return json.loads(done.stdout)
        pytest.fail("it never answered")

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*BOT4, *words, "-d", str(self.directory)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    def end(self) -> None:
        with self.process:
            self.process.kill()

    def wait(self) -> tuple[int, dict]:
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"it did not end: {self.process.communicate()}")
        assert out, err
        return self.process.returncode, json.loads(out)


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """A test that fails leaves no process and no pipe: neither would be this test's trouble any more."""
    yield
    while RUNNING:
        RUNNING.pop().end()


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """One finished session of some simulated seconds."""
    running = Running(tmp_path_factory.mktemp("run"), "--seconds", "4", "--speed", "5", BOT4__SNAPSHOT__INTERVAL_S="1")
    code, summary = running.wait()
    return running.directory, code, summary


def test_a_session_on_paper_trades_and_ends_in_order(session):
    _, code, summary = session
    counts = summary["status"]["counts"]
    assert code == 0
    assert counts["events"] > 1_000
    assert counts["intents"] > 20
    assert counts["fills"] > 0
    assert summary["left_open"] == 0
    assert counts["illegal_reports"] == 0
    strategies = summary["status"]["strategies"]
    assert {row["name"] for row in strategies} == {"quoter_btc", "quoter_eth", "breakout_sol"}
    assert sum(row.get("intents", 0) for row in strategies) > 20
    assert sum(row.get("denied", 0) for row in strategies) == counts["denied"]


def test_its_record_replays_to_the_same_bytes_and_the_same_state(session):
    directory, _, summary = session
    done = CliRunner().invoke(cli, ["replay", str(directory / "journal"), "--json"])
    assert done.exit_code == 0, done.output
    replayed = json.loads(done.output)
    assert replayed["equal"]
    assert replayed["state"] == summary["state_hash"]
    # Those of the timer, and the one at the end.
    assert replayed["snapshots"] >= 3


def test_a_second_engine_on_the_same_folder_is_refused(tmp_path):
    running = Running(tmp_path, *LONG)
    running.until_answers()
    second = subprocess.run(
        [*BOT4, "run", "--plain", "-d", str(tmp_path)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=os.environ | FREE_PORTS,
    )  # fmt: skip
    assert second.returncode == 1
    assert "BOT4-" in second.stderr
    running.process.send_signal(signal.SIGINT)
    code, summary = running.wait()
    assert (code, summary["reason"]) == (0, "SIGINT received")


def test_a_person_may_pause_and_halt_and_the_halt_ends_it_with_seventy(tmp_path):
    running = Running(tmp_path, *LONG)
    assert running.until_answers()["mode"] == "Normal"
    assert running.ask("pause").returncode == 0
    assert running.until_answers()["mode"] == "Paused"
    halted = running.ask("halt", "--reason", "a test")
    assert halted.returncode == 0, halted.stderr
    code, summary = running.wait()
    assert code == 70
    assert summary["left_open"] == 0


# One symbol, so that nothing but its own losses stands in its way; it loses with one of its first round trips.
ALONE = """
[venues.paper]
[instruments.BTCUSDT]
market = "linear"
base = "BTC"
tick = "0.01"
lot = "0.001"
qty_max = "10"
px_max = "1000000"
px_start = "60000"
[strategies.alone]
module = "strategies.quoter"
symbol = "BTCUSDT"
params = { qty = 5, position_max = 5 }
limits = { nets = 1 }
"""


def test_a_signal_while_a_halted_engine_leaves_does_not_change_its_exit_code(tmp_path):
    running = Running(tmp_path)
    running.until_answers()
    assert running.ask("halt").returncode == 0
    # One after the other until nobody is there to hear them: one of them meets the process on its way out.
    while running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(timeout=0.002)
    code, summary = running.wait()
    assert code == 70, summary


def refusals(running: Running) -> list[dict]:
    """What discipline refused so far, once there is something."""
    running.until_answers()
    for _ in range(600):
        told = running.ask("why", "--json", "-n", "1000")
        assert told.returncode == 0, told.stderr
        found = [row for row in json.loads(told.stdout) if {"REVENGE", "COOLDOWN_REVENGE"} & set(row["reasons"])]
        if found:
            return found
    pytest.fail("nothing was refused")


def test_a_loss_rests_its_strategy_by_name_and_the_rest_outlives_kill_nine(tmp_path):
    mine, state = tmp_path / "alone.toml", tmp_path / "state"
    mine.write_text(ALONE)
    running = Running(state, *LONG, "--speed", "20", "--config", str(mine), BOT4__SNAPSHOT__INTERVAL_S="1")
    first = refusals(running)
    assert not any(row.get("observed", False) for row in first)
    assert "REVENGE" in running.ask("why", "-n", "1000").stdout
    running.process.kill()
    running.process.wait()
    again = Running(state, *LONG, "--config", str(mine))
    # By the rest that stood already: this session has traded nothing that it could have lost with.
    assert all("COOLDOWN_REVENGE" in row["reasons"] for row in refusals(again))
    assert again.until_answers()["counts"]["fills"] == 0
    again.process.send_signal(signal.SIGINT)
    code, summary = again.wait()
    assert (code, summary["left_open"]) == (0, 0)
    done = CliRunner().invoke(cli, ["replay", str(state / "journal"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["equal"]


def test_what_the_validator_would_have_refused_is_noted_on_paper(session):
    directory, _, _ = session
    rows = open_session(sessions(directory / "journal")[-1]).records()
    noted = rows[rows["kind"] == int(Kind.KIND_DECISION)].view(DECISION)
    noted = noted[~is_refusal(noted)]
    assert {reason.rule for row in noted for reason in explain(row)} >= {"TOO_FEW_SAMPLES", "LOW_SHARPE"}


def test_a_stricter_limit_acts_at_once_and_a_looser_one_waits_its_day(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("[limits]\nopen_orders_all = 300\nrejects_in_a_row = 3\n")
    running = Running(tmp_path / "state", *LONG, "--config", "paper.toml", "--config", str(mine))
    running.until_answers()
    mine.write_text("[limits]\nopen_orders_all = 200\nrejects_in_a_row = 4\n")
    told = running.ask("reload")
    assert told.returncode == 0, told.stderr
    assert "limits.open_orders_all in force" in told.stdout
    assert "1 looser values wait" in told.stdout
    assert running.until_answers()["waiting"] == 1
    assert running.ask("tighten", "open_orders_all", "250").returncode == 1
    running.process.send_signal(signal.SIGTERM)
    code, summary = running.wait()
    assert (code, summary["reason"]) == (0, "SIGTERM received")
    replayed = CliRunner().invoke(cli, ["replay", str(tmp_path / "state" / "journal"), "--json"])
    assert json.loads(replayed.output)["state"] == summary["state_hash"]


def test_live_is_refused_before_anything_starts(tmp_path):
    live = tmp_path / "live.toml"
    live.write_text('[engine]\nmode = "live"\n')
    done = subprocess.run(
        [*BOT4, "run", "--plain", "-d", str(tmp_path / "state"), "--config", "paper.toml", "--config", str(live)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=os.environ | FREE_PORTS,
    )  # fmt: skip
    assert done.returncode == 78
    assert "BOT4-" in done.stderr
    assert not (tmp_path / "state" / "journal").exists()


STOPPED_WITHIN_THE_START = """
import asyncio, os, signal, sys
from pathlib import Path
from engine.runtime.session import Session
from tests.support.hand import paper
session = Session(paper(Path(sys.argv[1])))
ended = asyncio.run(session.run(seconds=60, ready=lambda: os.kill(os.getpid(), signal.SIGINT)))
print(ended.exit_code, ended.left_open, ended.reason)
"""


def test_a_signal_within_the_start_is_an_orderly_end(tmp_path):
    """The view is drawn and the unit ready before the first turn: from then on somebody may press Ctrl-C."""
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_WITHIN_THE_START, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stdout == "0 0 SIGINT received\n", done.stderr

"""A person's word in `bot4 run` as a process: asked for, signed, used once; forged or replayed it lets nothing go."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine._core.types import INTENT, Flag, Kind
from engine.cli.main import cli
from engine.errors import ControlRefused
from engine.journal.layout import sessions
from engine.journal.reader import open_session
from engine.observe.client import ControlClient
from engine.observe.commands import Approve, Deny
from engine.safety.approval import Request, new_pair, sign
from engine.safety.audit import Kind as About
from engine.safety.audit import Report, read, verify
from engine.safety.life import audit_key
from tests.integration.test_run import LONG, Running, nothing_is_left_behind  # noqa: F401 (a fixture)
from tests.support.shared import ROOT

# One quoter, whose every order is worth some 300: each waits for a word.
MINE = """
[limits]
approval_over = "100"
[approval]
timeout_s = 3600
[strategies.quoter_eth]
enabled = false
[strategies.breakout_sol]
enabled = false
"""


class Asking(Running):
    """A session whose quoter needs a word for each order that opens something."""

    def __init__(self, folder: Path) -> None:
        mine = folder / "mine.toml"
        mine.write_text(MINE)
        super().__init__(folder / "state", *LONG, "-c", str(ROOT / "config/paper.toml"), "-c", str(mine))
        self.until_answers()

    def client(self) -> ControlClient:
        return ControlClient(self.directory / "control.sock", timeout_s=60)

    def until_asked(self, side: str) -> Request:
        with self.client() as client:
            while True:
                for one in client.approvals():
                    if one.side == side:
                        return one

    def until_said(self, action: str) -> None:
        """Until the audit has it."""
        while action not in [done for done, _ in said(self.directory)]:
            assert self.process.poll() is None, self.process.communicate()

    def refuses(self, number: int, signature: str) -> str:
        with self.client() as client, pytest.raises(ControlRefused) as refused:
            client.call(Approve(number, signature))
        return refused.value.detail

    def stop(self) -> dict:
        self.process.send_signal(signal.SIGINT)
        code, summary = self.wait()
        assert code == 0
        return summary


def said(state: Path) -> list[tuple[str, str]]:
    found = [record.entry for record in read(state / "audit", None, Report())]
    return [(entry.action, entry.affected) for entry in found if entry.kind is About.APPROVAL]


def bought(state: Path) -> list[int]:
    """Lots of each buy that left, by session."""
    found = []
    for session in sessions(state / "journal"):
        records = open_session(session).records()
        places = records[records["kind"] == int(Kind.KIND_INTENT_PLACE)].view(INTENT)
        found += [int(row["qty_lots"]) for row in places if not row["flags"] & Flag.FLAG_SELL]
    return found


def test_no_order_of_high_stakes_leaves_without_a_signed_word_of_its_own(tmp_path):
    state = tmp_path / "state"
    running = Asking(tmp_path)
    buy, sell = running.until_asked("buy"), running.until_asked("sell")
    assert (buy.strategy, buy.symbol, buy.lots, buy.what) == ("quoter_btc", "BTCUSDT", 5, "order")
    pem = (state / "approval.key").read_bytes()

    # Forged, for the other request, for nobody's: each is refused, and nothing has left.
    assert "1363" in running.refuses(buy.number, sign(new_pair()[0], buy))
    assert "1363" in running.refuses(buy.number, sign(pem, sell))
    assert "1363" in running.refuses(buy.number, "")
    assert "1362" in running.refuses(99, sign(pem, buy))
    listed = json.loads(running.ask("approve", "--json").stdout)
    assert {one["number"] for one in listed} >= {buy.number, sell.number}
    assert running.until_answers()["counts"]["intents"] == 0

    # A no needs no signature; a word is given, used by one order, and does not fit a second time.
    with running.client() as client:
        assert client.call(Deny(sell.number)).ok
    done = running.ask("approve", str(buy.number), "--yes")
    assert done.returncode == 0, done.stderr
    running.until_said("used")
    assert "1362" in running.refuses(buy.number, sign(pem, buy))
    running.until_asked("buy")
    running.stop()

    assert bought(state) == [5]
    actions = said(state)
    whose = "quoter_btc BTCUSDT buy"
    assert [action for action, whom in actions if whom == whose][:5] == [
        "asked",
        "refused",
        "refused",
        "refused",
        "approved",
    ]
    assert ("used", whose) in actions
    assert ("denied", "quoter_btc BTCUSDT sell") in actions
    assert verify(state / "audit", audit_key("", state=state), ()).whole
    replayed = CliRunner().invoke(cli, ["replay", str(state / "journal"), "--json"])
    assert json.loads(replayed.output)["equal"], replayed.output

"""`bot4 run` against a venue whose books are made to differ: it stops, says why, and goes on when they agree.

Once at a venue in a process of its own, where somebody else trades with the same key; once at the embedded one, whose
money can only be changed from within the session's process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from engine._core.clock import utc_ns
from engine._core.types import INCIDENT, Incident, Kind
from engine.cli.main import cli
from engine.errors import ControlUnreachable
from engine.journal.layout import find_session
from engine.journal.reader import open_session
from engine.observe.client import ControlClient
from engine.observe.commands import Watch
from engine.observe.status import Status
from engine.safety.audit import Kind as About
from engine.safety.audit import Report, read
from engine.venues.binance.sign import HmacSigner, query
from tests.support.loopback import write_settings
from tests.support.served import BOT4, served

# A machine that builds and tests may well hold a loop for longer than one that trades.
QUICK = {
    "BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__SAFETY__STALL_MS": "30000",
    "BOT4__RECONCILE__INTERVAL_S": "1", "BOT4__RECONCILE__YOUNG_MS": "500",
}  # fmt: skip
# Each look costs a venue's weight; the test looks once a second.
ROOM = {"BOT4__VENUES__PAPER__WEIGHT_PER_MINUTE": "1000000"}
PATIENCE_S = 600


@pytest.fixture
def venue(request):
    """A venue in a process of its own, spot unless it is asked for perpetuals, and its port."""
    with served("--kind", getattr(request, "param", "spot")) as child_and_port:
        yield child_and_port


@pytest.fixture
def port(venue):
    return venue[1]


def by_hand(port: int, method: str, path: str, **params: object):
    """Somebody else with the same key."""
    text = query(HmacSigner("key", b"secret"), params, now_ms=utc_ns() // 10**6)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}?{text}", headers={"X-MBX-APIKEY": "key"}, method=method
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


class Engine:
    """`bot4 run` in a process of its own."""

    def __init__(self, settings: Path, state: Path, **more: str) -> None:
        self.state = state
        self.child = subprocess.Popen(
            [*BOT4, "run", "--plain", "--json", "--config", str(settings), "--directory", str(state)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | QUICK | ROOM | more,
        )  # fmt: skip

    def until(self, condition) -> Status:
        """The first picture that shows it, of those that come by themselves."""
        while True:
            assert self.child.poll() is None, self.child.communicate()
            try:
                client = ControlClient(self.state / "control.sock", timeout_s=PATIENCE_S)
            except ControlUnreachable:
                continue
            break
        with client:
            for reply in client.stream(Watch(rate_hz=10)):
                found = msgspec.convert(reply.data, Status)
                if condition(found):
                    return found
        raise AssertionError(self.child.communicate())

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *failure: object) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.communicate()

    def end(self) -> dict:
        self.child.send_signal(signal.SIGTERM)
        out, err = self.child.communicate(timeout=PATIENCE_S)
        assert self.child.returncode == 0, err
        return json.loads(out)


def told(state: Path, *options: str):
    done = CliRunner().invoke(cli, ["books", "-d", str(state), "--json", *options])
    return done.exit_code, json.loads(done.output)


def actions(state: Path) -> list[str]:
    shown = CliRunner().invoke(cli, ["audit", "show", "--state", str(state), "--kind", "books", "--json"])
    return [json.loads(line)["action"] for line in shown.output.splitlines()]


def records(state: Path):
    return open_session(find_session(state / "journal")).records()


def replays(state: Path, summary: dict) -> None:
    done = CliRunner().invoke(cli, ["replay", str(state / "journal"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["state"] == summary["state_hash"]


def test_what_somebody_else_does_at_the_venue_is_cancelled_or_stops_its_symbol(tmp_path, port):
    state = tmp_path / "state"
    with Engine(write_settings(tmp_path, port), state) as engine:
        first = engine.until(lambda s: s.books.looks >= 2)
        assert first.books.breaks == ()
        bid = float(by_hand(port, "GET", "/api/v3/ticker/bookTicker", symbol="BTCUSDT")["bidPrice"])
        order = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01"}
        by_hand(port, "POST", "/api/v3/order", **order, type="LIMIT", timeInForce="GTC", price=f"{bid * 0.9:.2f}",
                newClientOrderId="by-hand")  # fmt: skip
        engine.until(
            lambda _: (
                by_hand(port, "GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="by-hand")["status"]
                == "CANCELED"
            )
        )
        by_hand(port, "POST", "/api/v3/order", **order, type="MARKET")
        found = engine.until(lambda s: s.books.breaks)
        assert found.books.blocked == ("BTCUSDT",)
        assert "of nobody here is not booked" in found.books.breaks[0]
        assert any(word.startswith("books: executions") for word in found.unhealthy)
        assert not found.healthy
        later = engine.until(lambda s: s.books.looks >= found.books.looks + 2)
        assert later.strategies[0].intents == found.strategies[0].intents
        summary = engine.end()

    rows = records(state)
    # The comparison's own word is on the record as an input, what the core makes of it as an incident.
    said = rows[(rows["kind"] == Kind.KIND_SYMBOL) & (rows["word"][:, 0] == 2)]["word"]
    assert [(int(word[1]), int(word[2])) for word in said] == [(Incident.INCIDENT_UNKNOWN_FILL, 0)] * len(said)
    found = rows[rows["kind"] == Kind.KIND_INCIDENT].view(INCIDENT)
    assert {int(i["id_order"]) for i in found} >= {int(word[4]) for word in said}
    code, every = told(state, "--all")
    table = [row for told in every["comparisons"] for row in told["rows"]]
    assert code == 4
    assert [(row["believed"], row["action"]) for row in table if "by-hand" in row["what"]] == [
        ("not ours", "cancelled")
    ]
    assert {row["action"] for row in table if row["what"].startswith("executions")} == {"no new orders of its symbol"}
    assert actions(state)[0] == "compared"
    assert "break" in actions(state)
    replays(state, summary)


@pytest.mark.parametrize("venue", ["usdm"], indirect=True)
def test_a_wallet_that_pays_for_what_was_never_traded_here_stops_all_new_orders(tmp_path, port):
    with Engine(write_settings(tmp_path, port, "usdm"), tmp_path / "state") as engine:
        # With something open: the wallet alone says nothing then, cost and wallet together do.
        held = engine.until(lambda s: s.books.looks >= 3 and any(i.position for i in s.symbols))
        assert not any(told.startswith("cash") for told in held.books.breaks)
        # Bought and sold again of a symbol that is not traded here: no position, no execution of ours, only the fees.
        for side in ("BUY", "SELL"):
            by_hand(port, "POST", "/fapi/v1/order", symbol="ETHUSDT", side=side, type="MARKET", quantity="1")
        found = engine.until(lambda s: any(told.startswith("cash") for told in s.books.breaks))
        # What closes may go on; what opens is denied.
        engine.until(lambda s: s.strategies[0].denied > found.strategies[0].denied)
        summary = engine.end()
    code, every = told(tmp_path / "state", "--all")
    assert code == 4
    rows = [row for told in every["comparisons"] for row in told["rows"]]
    assert {row["action"] for row in rows if row["what"].startswith("cash")} == {"no new orders"}
    replays(tmp_path / "state", summary)


def session(folder: Path, *words: str, **settings: str) -> tuple[int, dict, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.richer_session", str(folder), "2", *words],
        capture_output=True, text=True, check=False, env=os.environ | QUICK | settings, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_money_that_appears_stops_all_new_orders_until_it_is_gone(tmp_path):
    code, summary, err = session(tmp_path, "returns")
    assert (code, summary["reason"]) == (0, "it agrees again"), err
    assert "breaks" not in summary["status"]["books"]
    rows = records(tmp_path)
    events = rows[rows["kind"] == Kind.KIND_SYMBOL]
    said = events[events["word"][:, 0] == 2]["word"]
    assert [(int(word[1]), int(word[3] - word[2])) for word in said] == [(Incident.INCIDENT_BALANCE, 7 * 10**8)]
    assert sorted((int(row["symbol"]), int(row["word"][0])) for row in events if row["word"][0] < 2) == [
        (symbol, halt) for symbol in range(3) for halt in (0, 1)
    ]
    code, every = told(tmp_path, "--all")
    assert code == 0
    assert {row["action"] for told in every["comparisons"] for row in told["rows"]} == {"no new orders"}
    assert {"break", "healed"} <= set(actions(tmp_path))
    replays(tmp_path, summary)


def test_a_break_past_its_grace_trips(tmp_path):
    code, summary, err = session(tmp_path, "keeps", BOT4__RECONCILE__GRACE_S="3")
    assert code == 70, err
    status = summary["status"]
    assert status["latch"]["reasons"][0] == "equity-disagreement"
    assert status["books"]["blocked"] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert any(word.startswith("books: cash") for word in status["unhealthy"])
    code, last = told(tmp_path)
    assert (code, last["agrees"]) == (4, False)


def test_a_venue_that_does_not_answer_the_last_look_trips_nothing(tmp_path, venue):
    """The look takes longer than what a loop may stand still, and the loop turns all the while."""
    child, port = venue
    settings = write_settings(tmp_path, port)
    with Engine(settings, tmp_path / "state", BOT4__SAFETY__STALL_MS="5000", BOT4__SAFETY__GRACE_MS="500") as engine:
        engine.until(lambda status: status.counts["fills"] > 0)
        child.send_signal(signal.SIGSTOP)
        try:
            engine.child.send_signal(signal.SIGTERM)
            out, err = engine.child.communicate(timeout=PATIENCE_S)
        finally:
            child.send_signal(signal.SIGCONT)
    summary = json.loads(out)
    assert engine.child.returncode in (0, 5), err
    assert (summary["exit_code"], summary["left_open"] > 0) in ((0, False), (5, True))
    about = [
        entry
        for entry in read(tmp_path / "state" / "audit", None, Report())
        if entry.entry.kind in (About.MODE, About.STOP)
    ]
    assert about[-1].at_ns - about[-2].at_ns > 5 * 10**9, "it was longer than the stall that trips"
    assert not (tmp_path / "state" / "latch").exists()

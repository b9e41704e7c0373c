"""`bot4 run` and `bot4 venue` as two processes: they trade over loopback, and their books of trades are one.

The nightly form lives ten minutes (BOT4_NIGHTLY=1); the usual one until there is something to compare.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine._core.clock import utc_ns
from engine._core.types import ORDER, Kind
from engine.cli.main import cli
from engine.errors import RehearsalMissing
from engine.journal.layout import sessions
from engine.journal.reader import open_session
from engine.runtime import rehearsal
from engine.runtime.evidence import gather
from engine.runtime.lifecycle import EXIT_TRIPPED
from engine.safety.audit import Kind as About
from engine.safety.audit import Report, read
from engine.safety.life import PHRASE
from engine.settings.load import load
from engine.venues.binance.sign import HmacSigner, query
from tests.support.loopback import write_settings
from tests.support.served import BOT4, served

# A machine that builds and tests may well hold a loop for longer than one that trades.
FREE_PORTS = {"BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__SAFETY__STALL_MS": "30000"}
FILLS = 12
LEAST_S = {"spot": 30.0, "usdm": 0.0}  # one form lives half a minute whatever happens


@pytest.fixture(params=["spot"])
def kind(request):
    return request.param


@pytest.fixture
def venue(kind):
    """The port of a venue in a process of its own, which ends in order and finds its books sound."""
    with served("--kind", kind) as (child, port):
        yield port
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, "books and balances are sound" in out) == (0, True), err


PATHS = {"spot": "/api/v3/myTrades", "usdm": "/fapi/v1/userTrades"}
STEPS = {"spot": (100, 100_000), "usdm": (10, 1000)}  # ticks and lots of one unit


def their_trades(port: int, kind: str = "spot") -> list[tuple]:
    """The account's trades as the venue lists them, asked for by somebody else than the engine."""
    signer, rows, first = HmacSigner("key", b"secret"), [], 1
    while True:
        text = query(signer, {"symbol": "BTCUSDT", "limit": 1000, "fromId": first}, now_ms=utc_ns() // 10**6)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{PATHS[kind]}?{text}", headers={"X-MBX-APIKEY": "key"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            page = json.load(answer)
        rows += page
        if len(page) < 1000:
            break
        first = page[-1]["id"] + 1
    ticks, lots = STEPS[kind]
    return sorted(
        (row["id"], not row.get("isBuyer", row.get("buyer")), round(float(row["price"]) * ticks),
         round(float(row["qty"]) * lots))
        for row in rows
    )  # fmt: skip


def our_trades(journal: Path) -> list[tuple]:
    """What all sessions of the journal booked."""
    found = set()
    for session in sessions(journal):
        records = open_session(session).records()
        fills = records[records["kind"] == Kind.KIND_ORDER_FILL].view(ORDER)
        found |= {
            (int(row["id_venue"]), bool(row["flags"] & 4), int(row["px_ticks"]), int(row["qty_lots"])) for row in fills
        }
    return sorted(found)


def status(directory: Path) -> dict | None:
    done = subprocess.run(
        [*BOT4, "status", "--json", "-d", str(directory)], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode in (0, 4) and done.stdout else None


def trade(tmp_path: Path, port: int, enough, *, end: int = signal.SIGINT, kind: str = "spot", **environ: str) -> dict:
    """Run the engine until `enough` says so of its status, and end it; its summary, or its last picture when killed."""
    settings = write_settings(tmp_path, port, kind)
    state = tmp_path / "state"
    child = subprocess.Popen(
        [*BOT4, "run", "--plain", "--json", "--config", str(settings), "--directory", str(state)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | FREE_PORTS | environ,
    )  # fmt: skip
    try:
        for _ in range(20_000):
            assert child.poll() is None, child.communicate()
            found = status(state)
            if found is not None and enough(found):
                break
        else:
            pytest.fail(f"never enough: {found}")
        child.send_signal(end)
        out, err = child.communicate(timeout=120)
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
    if end == signal.SIGKILL:
        return found
    assert child.returncode == (EXIT_TRIPPED if end == signal.SIGUSR1 else 0), err
    return json.loads(out)


def compare(tmp_path: Path, port: int, summary: dict, kind: str = "spot") -> None:
    ours, theirs = our_trades(Path(summary["directory"]).parent), their_trades(port, kind)
    assert ours == theirs
    net = sum(-lots if sell else lots for _, sell, _, lots in theirs)
    symbol = summary["status"]["symbols"][0]
    assert round(symbol["position"] * STEPS[kind][1]) == net
    counts = summary["status"]["counts"]
    assert (summary["left_open"], counts["illegal_reports"]) == (0, 0)
    done = CliRunner().invoke(cli, ["replay", str(tmp_path / "state" / "journal"), "--json"])
    assert done.exit_code == 0, done.output
    replayed = json.loads(done.output)
    assert replayed["equal"]
    assert replayed["state"] == summary["state_hash"]


@pytest.mark.parametrize("kind", ["spot", "usdm"], indirect=True)
def test_two_processes_trade_over_loopback_and_their_books_of_trades_are_one(tmp_path, venue, kind):
    end, levels = time.monotonic() + LEAST_S[kind], []

    def enough(found: dict) -> bool:
        symbol = found["symbols"][0]
        bids, asks = ([px for px, _ in symbol.get(side, ())] for side in ("bids", "asks"))
        assert [*reversed(bids), *asks] == sorted({*bids, *asks})
        levels.append(min(len(bids), len(asks)))
        return bool(found["counts"]["fills"] >= FILLS and time.monotonic() > end)

    summary = trade(tmp_path, venue, enough, kind=kind)
    assert max(levels) > 1, "a person sees the depth of the core's own book"
    assert len(their_trades(venue, kind)) >= FILLS
    compare(tmp_path, venue, summary, kind)


def test_killed_in_the_middle_it_goes_on_from_its_record_and_the_books_are_one(tmp_path, venue):
    killed = trade(tmp_path, venue, lambda found: found["counts"]["fills"] >= FILLS, end=signal.SIGKILL)
    first = killed["counts"]["fills"]
    summary = trade(
        tmp_path, venue, lambda found: found["symbols"][0].get("trusted") and found["counts"]["fills"] >= first
    )
    # One world: its counters, its position and its numbers went on, in an epoch of its own.
    one, two = sessions(tmp_path / "state" / "journal")
    assert (two.file.previous, two.file.epoch) == (one.path.name, one.file.epoch + 1)
    compare(tmp_path, venue, summary)
    starts = [r.entry for r in read(tmp_path / "state" / "audit", None, Report()) if r.entry.kind is About.START]
    assert ["goes on from" in entry.explanation for entry in starts] == [False, True]
    assert f"s-000001, {open_session(one).count:,} records" in starts[1].explanation
    # Stopped in order it ended Paused, and that goes on too, with what it holds.
    third = trade(tmp_path, venue, lambda found: found["symbols"][0].get("trusted"))
    assert third["status"]["mode"] == "Paused"
    assert third["status"]["symbols"][0]["position"] == summary["status"]["symbols"][0]["position"]
    compare(tmp_path, venue, third)


def test_after_a_reset_a_world_that_was_normal_goes_on_paused(tmp_path, venue):
    """A loop that stuck never told its core of the trip: the record ends Normal, the reset's mark says otherwise."""
    killed = trade(tmp_path, venue, lambda found: found["counts"]["fills"] >= FILLS, end=signal.SIGKILL)
    assert killed["mode"] == "Normal"
    (tmp_path / "state" / "paused").write_text("reset after heartbeat-stall\n")
    modes = []
    summary = trade(tmp_path, venue, lambda found: modes.append(found["mode"]) or found["symbols"][0].get("trusted"))
    assert set(modes) == {"Paused"}
    compare(tmp_path, venue, summary)


def test_behind_a_trip_and_its_reset_the_next_start_is_paused_and_says_what_normal_wants(tmp_path, venue):
    """The record ends in Emergency, from where nothing leads to Normal; the reset was a person's word."""
    halted = trade(tmp_path, venue, lambda found: found["counts"]["fills"] >= FILLS, end=signal.SIGUSR1)
    assert halted["status"]["mode"] == "Emergency"
    reset = subprocess.run(
        [*BOT4, "reset", "--state", str(tmp_path / "state"), "--reason", "a test"],
        capture_output=True, text=True, check=False, input=f"{PHRASE}\n", timeout=120,
    )  # fmt: skip
    assert reset.returncode == 0, reset.stderr
    told = []

    def asked(found: dict) -> bool:
        if not found["symbols"][0].get("trusted"):
            return False
        told.append(found["mode"])
        for words in (("resume",), ("approve", "1", "--yes")):
            done = subprocess.run(
                [*BOT4, *words, "-d", str(tmp_path / "state")], capture_output=True, text=True, check=False, timeout=120
            )
            assert done.returncode == 1
            told.append(done.stderr)
        return True

    summary = trade(tmp_path, venue, asked)
    mode, wanted, refused = told
    assert (mode, summary["status"]["mode"]) == ("Paused", "Paused")
    assert "bot4 approve 1" in wanted
    assert "Paused stands: the cooldown has" in refused
    compare(tmp_path, venue, summary)


def test_with_something_open_the_world_cannot_be_another(tmp_path, venue):
    trade(tmp_path, venue, lambda found: found["counts"]["live_orders"] and found["symbols"][0].get("position"),
          end=signal.SIGKILL)  # fmt: skip
    other = tmp_path / "other.toml"
    other.write_text("[capacity]\norders = 512\n")
    settings = write_settings(tmp_path, venue)
    done = subprocess.run(
        [*BOT4, "run", "--plain", "-c", str(settings), "-c", str(other), "-d", str(tmp_path / "state")],
        capture_output=True, text=True, check=False, env=os.environ | FREE_PORTS, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "capacity changed since s-000001" in done.stderr
    assert len(sessions(tmp_path / "state" / "journal")) == 1


@pytest.mark.skipif(not os.environ.get("BOT4_NIGHTLY"), reason="the nightly form: BOT4_NIGHTLY=1 runs ten minutes")
@pytest.mark.parametrize("kind", ["spot", "usdm"], indirect=True)
def test_ten_minutes_over_loopback_end_with_one_book_of_trades(tmp_path, venue, kind):
    end = time.monotonic() + 600
    summary = trade(tmp_path, venue, lambda _found: time.monotonic() > end, kind=kind)
    assert len(their_trades(venue, kind)) > 100
    compare(tmp_path, venue, summary, kind)


def test_paper_never_leaves_this_machine(tmp_path):
    settings = write_settings(tmp_path, 1).read_text().replace("http://127.0.0.1:1", "https://api.binance.com")
    (tmp_path / "far.toml").write_text(settings)
    done = subprocess.run(
        [*BOT4, "run", "--plain", "--config", str(tmp_path / "far.toml"), "-d", str(tmp_path / "far")],
        capture_output=True, text=True, check=False, env=os.environ | FREE_PORTS,
    )  # fmt: skip
    assert done.returncode == 78
    assert "on paper" in done.stderr
    assert not (tmp_path / "far" / "journal").exists()


REHEARSAL = {
    "BOT4__ENGINE__MODE": "live", "BOT4__DISCIPLINE__BIASES": "enforce", "BOT4__MODES__COOLDOWN_NS": "0",
    "BOT4__VENUES__PAPER__CREDENTIAL": "account", "BOT4__RECONCILE__INTERVAL_S": "1",
}  # fmt: skip


def rehearse(tmp_path: Path, port: int, least_s: int) -> dict:
    """Live at a venue without money, its key in the keystore: it starts Paused, and a person lets it go on."""
    state, secret = tmp_path / "state", tmp_path / "passphrase"
    secret.write_text("a long enough one\n")
    secret.chmod(0o600)
    added = subprocess.run(
        [*BOT4, "keys", "add", "account", "-d", str(state)], input="key=key\nsecret=secret\n", capture_output=True,
        text=True, check=False, env=os.environ | {"BOT4_PASSPHRASE_FILE": str(secret)},
    )  # fmt: skip
    assert added.returncode == 0, added.stderr

    def enough(found: dict) -> bool:
        assert found["run"] == "rehearsal"
        if found["mode"] == "Paused":
            subprocess.run([*BOT4, "resume", "-d", str(state)], capture_output=True, check=False)
        books = found["books"]
        return bool(found["mode"] == "Normal" and books.get("looks") and books.get("trades"))

    environ = REHEARSAL | {"BOT4_PASSPHRASE_FILE": str(secret), "BOT4__SAFETY__REHEARSAL_S": str(least_s)}
    return trade(tmp_path, port, enough, **environ)


def test_a_rehearsal_trades_as_if_live_and_its_evidence_allows_real_money(tmp_path, venue):
    state = tmp_path / "state"
    settings = load([write_settings(tmp_path, venue)]).settings
    with pytest.raises(RehearsalMissing, match="none for binance_spot"):
        rehearsal.require(state, settings, "binance_spot", utc_ns())
    held = rehearse(tmp_path, venue, 1)
    assert held["rehearsed"] == "real money at binance_spot is allowed"
    found = rehearsal.require(state, settings, "binance_spot", utc_ns())
    assert found.session == Path(held["directory"]).name
    assert found.trades >= 1
    with pytest.raises(RehearsalMissing, match="31 days old"):
        rehearsal.require(state, settings, "binance_spot", utc_ns() + 31 * 86_400 * 10**9 + 10**12)
    with pytest.raises(RehearsalMissing, match="none for binance_usdm"):
        rehearsal.require(state, settings, "binance_usdm", utc_ns())
    records = [record.entry for record in read(state / "audit", None, Report())]
    keys = [(entry.affected, entry.explanation) for entry in records if entry.kind is About.KEY]
    assert keys == [("account", "the engine read it from keystore")]
    assert [entry.action for entry in records if entry.kind is About.DRILL] == ["rehearsal"]
    # Days without money earn no tier.
    assert gather(state, 0).evidence.days_clean == 0


def test_a_rehearsal_that_was_too_short_is_no_evidence_and_says_so(tmp_path, venue):
    short = rehearse(tmp_path, venue, 86_400)
    assert short["rehearsed"].startswith("no evidence: it lasted")
    settings = load([write_settings(tmp_path, venue)]).settings
    with pytest.raises(RehearsalMissing, match="none for binance_spot"):
        rehearsal.require(tmp_path / "state", settings, "binance_spot", utc_ns())

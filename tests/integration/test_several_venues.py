"""One session at two venues: routed to the better one, one lost and the other goes on, killed and gone on.

Each venue is a `bot4 venue` in a process of its own with a market of its own. Where the moment counts the engine runs
in this process over real sockets, so that what it saw at each order can be asked; else it is `bot4 run`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine._core.clock import utc_ns
from engine._core.modes import Mode, Who
from engine._core.types import ORDER, Kind
from engine.cli.main import cli
from engine.journal.layout import sessions
from engine.journal.reader import open_session
from engine.runtime.control import LATCH_FILE
from engine.runtime.engine import at_venue
from engine.runtime.events import control_event
from engine.runtime.ports import account_of
from engine.venues.binance.sign import HmacSigner, query
from tests.integration.test_paper_loopback import FREE_PORTS, status, their_trades
from tests.support.served import BOT4, served
from tests.support.trading import Trading

VENUE = """
[venues.{name}]
protocol = "binance_spot"
rest = "http://127.0.0.1:{port}"
stream = "ws://127.0.0.1:{port}"
api = "ws://127.0.0.1:{port}/ws-api/v3"
dead_man = false
weight_per_minute = 1000000
orders_per_10s = 1000
reconnect_ms_max = 200
[instruments.BTC_{name}]
venue = "{name}"
symbol = "BTCUSDT"
base = "BTC"
tick = "0.01"
lot = "0.00001"
qty_max = "10"
px_max = "1000000"
notional_min = "5"
[strategies.quoter_{name}]
module = "strategies.quoter"
symbol = "BTC_{name}"
features = ["market_making"]
enabled = {quoter}
params = {{ qty = 1000, position_max = 20000, skew_lots = 4000, stop_ticks = 5000 }}
limits = {{ nets = 1 }}
"""
HEAD = """
[engine]
mode = "paper"
name = "several"
[account]
capital = "4000000"
[limits]
order_notional = "5000"
[discipline]
biases = "observe"
[reconcile]
interval_s = 1
[features]
enabled = ["ta_basic", "market_making"]
"""
ROUTE = """
[routes.btc]
instruments = ["BTC_one", "BTC_two"]
policy = "best_price"
[strategies.asks]
module = "tests.support.strategies.asks"
symbol = "BTC_one"
params = { kind = 1, qty = 600, part = 200, seconds = 6, away = 1000 }
limits = { nets = 0, share_ppm = 500_000 }
"""
NAMES = ("one", "two")


@pytest.fixture
def venues():
    """Two of them, by name: the process and its port."""
    with ExitStack() as running:
        yield {name: running.enter_context(served("--seed", str(7 + at))) for at, name in enumerate(NAMES)}


def settings_at(folder: Path, venues, *, quoting: tuple[str, ...] = NAMES, more: str = "") -> Path:
    path = folder / "several.toml"
    texts = [
        VENUE.format(name=name, port=port, quoter=str(name in quoting).lower()) for name, (_, port) in venues.items()
    ]  # fmt: skip
    path.write_text(HEAD + "".join(texts) + more)
    return path


def test_a_route_sends_each_order_to_the_venue_whose_price_is_better(tmp_path, venues):
    trading = Trading(tmp_path, settings_at(tmp_path, venues, quoting=(), more=ROUTE))

    async def live():
        async with trading.running():
            await trading.until(lambda: sum(trading.world.positions()["lots"].tolist()) >= 600)
            return await trading.look()

    view = asyncio.run(live())
    # It buys at market: each time the cheaper one of those that have a book.
    buys = [(asks[symbol], asks) for symbol, asks, sell in trading.placed if not sell]
    assert buys
    assert all(paid == min(ask for ask in asks if ask) for paid, asks in buys), "the other one was cheaper"
    # One look over both: the shared asset is the sum, each base asset its venue's own.
    traded = {trade.symbol for trade in view.trades}
    assert traded == {symbol for symbol, _, _ in trading.placed}
    assert view.covers is None
    assert set(view.balances) == {0, 1, 2}
    assert view.balances[0] < 2 * 10**6 * 10**8
    assert trading.world.instruments()["venue"].tolist() == [0, 1]


def test_one_venue_lost_blocks_its_own_orders_and_the_other_goes_on(tmp_path, venues):
    # One of them trades: what would be held at the other is, once that is lost, correlated with everything.
    trading = Trading(tmp_path, settings_at(tmp_path, venues, quoting=NAMES[:1]))

    def halted():
        return [bool(word) for word in trading.world.gate_symbols()["halted"]]

    async def live():
        async with trading.running():
            await trading.until(lambda: trading.filled.count(0) >= 2 and not any(halted()))
            venues["two"][0].kill()
            await trading.until(lambda: trading.lost == {1})
            # At one it may be a moment's limit of the venue's own; the other stays shut.
            await trading.until(lambda: halted() == [False, True] and trading.exchange.parts["one"].gate.is_open)
            assert not trading.exchange.parts["two"].gate.is_open
            filled = trading.filled.count(0)
            await trading.until(lambda: trading.filled.count(0) >= filled + 3)
            assert halted()[1]
            # The books of the one that is there are still compared; of the other nothing is said.
            view = await trading.look()
            assert view.covers == {0}
            assert set(view.balances) == {1}
            # A pause is everybody's.
            event = control_event(trading.engine.now_ns, mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_HUMAN))
            trading.engine.take(event)
            await trading.until(lambda: not (at_venue(trading.world)["symbol"] == 0).any())
            assert trading.world.modes["mode"] == Mode.MODE_PAUSED

    asyncio.run(live())
    trading.world.check()


def trades_of(journal: Path, symbol: int) -> list[tuple]:
    found = set()
    for session in sessions(journal):
        records = open_session(session).records()
        for row in records[records["kind"] == int(Kind.KIND_ORDER_FILL)].view(ORDER):
            if row["symbol"] == symbol:
                found.add((int(row["id_venue"]), bool(row["flags"] & 4), int(row["px_ticks"]), int(row["qty_lots"])))
    return sorted(found)


@contextmanager
def running_until(tmp_path: Path, settings: Path, enough) -> Iterator[tuple[subprocess.Popen[str], dict]]:
    """A session at both venues, and what it shows of itself once that is enough."""
    state = tmp_path / "state"
    with subprocess.Popen(
        [*BOT4, "run", "--plain", "--json", "--config", str(settings), "--directory", str(state)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | FREE_PORTS,
    ) as child:  # fmt: skip
        try:
            while (found := status(state)) is None or not enough(found):
                assert child.poll() is None, child.communicate()
            yield child, found
        finally:
            child.kill()


def run(tmp_path: Path, settings: Path, enough, end: int) -> dict:
    with running_until(tmp_path, settings, enough) as (child, found):
        child.send_signal(end)
        out, err = child.communicate(timeout=300)
    assert end == signal.SIGKILL or child.returncode == 0, err
    return found if end == signal.SIGKILL else json.loads(out)


def test_killed_it_goes_on_at_both_and_each_venues_book_of_trades_is_ours(tmp_path, venues):
    settings = settings_at(tmp_path, venues)
    killed = run(tmp_path, settings, lambda found: found["counts"]["fills"] >= 6, signal.SIGKILL)
    assert {(feed["name"], feed["venue"]) for feed in killed["feeds"]} >= {
        ("one market", "one"), ("two market", "two")}  # fmt: skip
    assert [row["venue"] for row in killed["symbols"]] == ["one", "two"]
    first = killed["counts"]["fills"]
    summary = run(
        tmp_path, settings,
        lambda found: all(row.get("trusted") for row in found["symbols"]) and found["counts"]["fills"] >= first + 2
        and found["books"].get("looks"),
        signal.SIGINT,
    )  # fmt: skip
    assert (summary["left_open"], summary["status"]["counts"]["illegal_reports"]) == (0, 0)
    assert not summary["status"]["books"].get("breaks")
    for at, name in enumerate(NAMES):
        theirs = their_trades(venues[name][1])
        assert trades_of(tmp_path / "state" / "journal", at) == theirs
        net = sum(-lots if sell else lots for _, sell, _, lots in theirs)
        assert round(summary["status"]["symbols"][at]["position"] * 100_000) == net
    done = CliRunner().invoke(cli, ["replay", str(tmp_path / "state" / "journal"), "--json"])
    assert json.loads(done.output)["equal"]


# --------------------------------------------------------------------------------------------------------- the trip
# At market, once: something is held within the first messages.
BUYS = """
[strategies.buys_{0}]
module = "tests.support.strategies.asks"
symbol = "BTC_{0}"
params = {{ kind = 0, qty = 600, away = 1000 }}
limits = {{ nets = 1 }}
"""
TRIP = """
[safety]
plan = "standard"
grace_ms = {grace_ms}
"""


def open_at(port: int) -> list[str]:
    """Client ids of the orders that rest at a venue, asked for by somebody else than the engine."""
    signer = HmacSigner("key", b"secret")
    text = query(signer, {"symbol": "BTCUSDT"}, now_ms=utc_ns() // 10**6)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v3/openOrders?{text}", headers={"X-MBX-APIKEY": "key"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [row["clientOrderId"] for row in json.load(answer)]


def net_at(port: int) -> int:
    return sum(-lots if sell else lots for _, sell, _, lots in their_trades(port))


def trip(tmp_path: Path, settings: Path, ready, before_trip) -> tuple[int, dict, dict]:
    """A session that trades at both is halted: exit code, its summary, and what it hands over to the courier."""
    with running_until(tmp_path, settings, ready) as (child, _):
        before_trip()
        child.send_signal(signal.SIGUSR1)
        out, err = child.communicate(timeout=300)
    assert out, err
    return child.returncode, json.loads(out), json.loads((tmp_path / "state" / "handover.json").read_text())


def holds_at_both(found: dict) -> bool:
    return all(row.get("trusted") and row.get("position") for row in found["symbols"])


def test_a_trip_with_one_venue_gone_goes_flat_at_the_other_and_takes_no_old_word_for_a_new_one(tmp_path, venues):
    trading = Trading(tmp_path, settings_at(tmp_path, venues, quoting=(), more="".join(map(BUYS.format, NAMES))))
    # Not known in the first half minute; what it does has tests of its own.
    trading.world.set_limits(correlation_ppm=2**63 - 1)

    def lots() -> list[int]:
        return trading.world.positions()["lots"].tolist()

    async def live():
        async with trading.running():
            doors = trading.exchange.parts.values()
            await trading.until(lambda: all(lots()))
            for door in doors:
                door.care.at_once("tally", utc_ns())
            await trading.until(lambda: {symbol for symbol, _ in account_of(trading.engine).venue_lots} == {0, 1})
            venues["two"][0].kill()
            await trading.until(lambda: trading.lost == {1})
            held = lots()[1]
            event = control_event(
                trading.engine.now_ns, latch=LATCH_FILE, mode=int(Mode.MODE_EMERGENCY), who=int(Who.WHO_LATCH),
                equity=trading.exchange.equity(),
            )  # fmt: skip
            trading.engine.take(event)
            # What fees took of the last lot is left: no order may sell it.
            least = int(trading.world.instruments()["qty_min_lots"][0])
            await trading.until(lambda: abs(lots()[0]) <= least and not (at_venue(trading.world)["symbol"] == 0).any())
            account = account_of(trading.engine)
            # What two said before it was lost is no word on now; what is believed of it is named as open.
            assert {symbol for symbol, _ in account.venue_lots} == {0}
            assert account.facts[1]["lots"] == held

    asyncio.run(live())
    assert open_at(venues["one"][1]) == []


NIGHTLY = pytest.mark.skipif(not os.environ.get("BOT4_NIGHTLY"), reason="the nightly form: BOT4_NIGHTLY=1 runs it")


@NIGHTLY
def test_a_trip_cancels_flattens_and_verifies_at_both_venues(tmp_path, venues):
    settings = settings_at(tmp_path, venues, more=TRIP.format(grace_ms=60_000))
    code, summary, handover = trip(tmp_path, settings, holds_at_both, lambda: None)
    assert (code, summary["left_open"]) == (70, 0)
    assert (handover["outcome"], handover["verified"], handover["open"], handover["keep"]) == ("flat", True, [], [])
    for at, name in enumerate(NAMES):
        port = venues[name][1]
        assert open_at(port) == []
        theirs = their_trades(port)
        assert trades_of(tmp_path / "state" / "journal", at) == theirs
        # Both venues are silent from then on, and what is left is less than a lot that may be sold.
        assert abs(summary["status"]["symbols"][at]["position"]) < 0.001
        assert their_trades(port) == theirs


@NIGHTLY
def test_a_trip_with_one_venue_gone_ends_flat_at_the_other_and_says_what_is_open_there(tmp_path, venues):
    settings = settings_at(tmp_path, venues, more=TRIP.format(grace_ms=12_000))

    def lose_two() -> None:
        venues["two"][0].kill()
        venues["two"][0].wait()

    code, summary, handover = trip(tmp_path, settings, holds_at_both, lose_two)
    assert code == 70
    # Nobody can say that it is flat there: the courier has its turn, with nothing to be spared.
    assert (handover["verified"], handover["keep"]) == (False, [])
    assert {row["symbol"] for row in handover["open"]} == {1}, handover
    held = summary["status"]["symbols"][1]["position"]
    assert [row["lots"] for row in handover["open"]] == [round(held * 100_000)]
    assert open_at(venues["one"][1]) == []
    assert abs(summary["status"]["symbols"][0]["position"]) < 0.001

"""`bot4 run` against a venue whose books are made to differ: it stops, says why, and goes on when they agree.

The venue is the served one, on a loop of this process, so that money and orders can be changed behind the engine's
back; the engine is the shipped command in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
from click.testing import CliRunner

from engine._core.clock import utc_ns
from engine._core.strategy_abi import WishType
from engine._core.types import INCIDENT, Incident, Kind
from engine.cli.main import cli
from engine.journal.layout import find_session
from engine.journal.reader import open_session
from engine.observe.client import ControlClient
from engine.observe.commands import Watch
from engine.observe.status import Status
from engine.sim.venue.exchange import Exchange, Order, Terms
from engine.sim.venue.generated import GeneratedMarket
from engine.sim.venue.instruments import E8, default_spot
from engine.sim.venue.server import VenueServer
from tests.support.loopback import write_settings

BOT4 = (sys.executable, "-c", "from engine.cli.main import main; main()")
QUICK = {
    "BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__SAFETY__STALL_MS": "30000",
    "BOT4__RECONCILE__INTERVAL_S": "1", "BOT4__RECONCILE__YOUNG_MS": "500",
    # Each look costs a venue's weight; the tests look once a second.
    "BOT4__VENUES__PAPER__WEIGHT_PER_MINUTE": "1000000",
}  # fmt: skip
PATIENCE_S = 240


class Venue:
    """A served venue with a generated market, and its one account."""

    def __init__(self):
        self.exchange = Exchange(default_spot(), now_ns=(start := utc_ns()))
        market = GeneratedMarket(self.exchange, seed=3, start_ns=start)
        self.server = VenueServer(self.exchange, clock=utc_ns, generate=market.advance, tick_ns=20_000_000)
        self.account = self.server.add_account("key", secret="secret")
        self.server.limits.weight_max = self.server.limits.orders_10s_max = 10**9

    def rest_of_somebody(self):
        """An order of the same account that no engine placed, too far off to be filled."""
        px = self.exchange.market("BTCUSDT").book.best_bid * 9 // 10
        terms = Terms(sell=False, type=int(WishType.TYPE_LIMIT), qty=10_000, px=px, client_id="by-hand")
        order = self.exchange.place(self.account, "BTCUSDT", terms)
        assert isinstance(order, Order)
        return order


async def answers(state: Path) -> bool:
    child = await asyncio.create_subprocess_exec(
        *BOT4, "status", "--json", "-d", str(state), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    await child.communicate()
    return child.returncode in (0, 4)


def first(state: Path, condition):
    """The first picture that shows it, of those that come by themselves."""
    with ControlClient(state / "control.sock", timeout_s=PATIENCE_S) as client:
        for reply in client.stream(Watch(rate_hz=10)):
            found = msgspec.convert(reply.data, Status)
            if condition(found):
                return found
    raise AssertionError("it ended")


@contextlib.asynccontextmanager
async def engine(settings, state):
    """`bot4 run`, and how to wait until its picture shows something. A test that fails kills it."""
    child = await asyncio.create_subprocess_exec(
        *BOT4, "run", "--plain", "--json", "--config", str(settings), "--directory", str(state),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ | QUICK,
    )  # fmt: skip

    async def until(condition):
        # The venue lives on this loop: waiting for the engine is another thread's.
        async with asyncio.timeout(PATIENCE_S):
            while not until.ready:
                assert child.returncode is None, await child.communicate()
                until.ready = await answers(state)
            return await asyncio.to_thread(first, state, condition)

    async def end():
        child.terminate()
        out, err = await child.communicate()
        assert child.returncode == 0, err
        return json.loads(out)

    until.end, until.ready = end, False
    try:
        yield until
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()


def told(state: Path, *options: str):
    done = CliRunner().invoke(cli, ["books", "-d", str(state), "--json", *options])
    return done.exit_code, json.loads(done.output)


def replays(state: Path, summary):
    done = CliRunner().invoke(cli, ["replay", str(state / "journal"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["state"] == summary["state_hash"]


def test_money_that_appears_stops_all_new_orders_until_it_is_gone_and_a_foreign_order_is_cancelled(tmp_path):
    async def main():
        venue, state = Venue(), tmp_path / "state"
        async with venue.server:
            settings = write_settings(tmp_path, venue.server.port)
            async with engine(settings, state) as until:
                await until(lambda s: s.counts["fills"] >= 4 and s.books.trades and not s.books.breaks)
                venue.account.receive("USDT", 5 * E8)
                found = await until(lambda s: s.books.breaks)
                assert found.books.blocked == ("BTCUSDT",)
                assert any(word.startswith("books: cash") for word in found.unhealthy)
                assert not found.healthy
                later = await until(lambda s: s.books.looks >= found.books.looks + 2)
                placed = found.strategies[0].intents
                assert later.strategies[0].intents == placed
                venue.account.balances["USDT"].free -= 5 * E8
                healed = await until(lambda s: not s.books.breaks)
                assert not healed.books.blocked
                await until(lambda s: s.strategies[0].intents > placed)
                order = venue.rest_of_somebody()
                await until(lambda _: not order.is_open)
                summary = await until.end()
        return state, summary

    state, summary = asyncio.run(main())
    rows = open_session(find_session(state / "journal")).records()
    # The comparison's own word is on the record as an input, what the core makes of it as an incident.
    said = rows[(rows["kind"] == Kind.KIND_SYMBOL) & (rows["word"][:, 0] == 2)]["word"]
    assert [(int(word[1]), int(word[3] - word[2])) for word in said] == [(Incident.INCIDENT_BALANCE, 5 * E8)]
    found = rows[rows["kind"] == Kind.KIND_INCIDENT].view(INCIDENT)
    assert {(int(i["believed"]), int(i["found"])) for i in found} >= {(int(word[2]), int(word[3])) for word in said}
    code, all_of_it = told(state, "--all")
    assert code == 0
    rows = [row for told in all_of_it["comparisons"] for row in told["rows"] if row["what"].startswith("cash")]
    assert {row["action"] for row in rows} == {"no new orders"}
    strange = [row for told in all_of_it["comparisons"] for row in told["rows"] if "by-hand" in row["what"]]
    assert [(row["believed"], row["action"]) for row in strange] == [("not ours", "cancelled")]
    shown = CliRunner().invoke(cli, ["audit", "show", "--state", str(state), "--kind", "books", "--json"])
    actions = [json.loads(line)["action"] for line in shown.output.splitlines()]
    assert actions[0] == "compared"
    assert {"break", "healed"} <= set(actions)
    replays(state, summary)


def test_the_embedded_venue_is_compared_too_and_a_break_past_its_grace_trips(tmp_path):
    """The embedded venue lives in the session's process: only from within can its money be changed."""
    environ = os.environ | QUICK | {"BOT4__RECONCILE__GRACE_S": "3"}
    environ.pop("BOT4__VENUES__PAPER__WEIGHT_PER_MINUTE")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.richer_session", str(tmp_path), "2"],
        capture_output=True, text=True, check=False, env=environ, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 70, done.stderr
    status = json.loads(done.stdout)["status"]
    assert status["latch"]["reasons"][0] == "equity-disagreement"
    assert status["books"]["blocked"] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert any(word.startswith("books: cash") for word in status["unhealthy"])
    rows = open_session(find_session(tmp_path / "journal")).records()
    halts = rows[rows["kind"] == Kind.KIND_SYMBOL]
    assert sorted(int(row["symbol"]) for row in halts if row["word"][0] == 1) == [0, 1, 2]
    assert np.count_nonzero(halts["word"][:, 0] == 2) == 1
    code, last = told(tmp_path)
    assert (code, last["agrees"]) == (4, False)

"""Sliced orders and routed ones in a session of `bot4 run`: asked for in settings, traded at the embedded venue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine._core import types
from engine._core.algos import AlgoState
from engine._core.orders import OrderType
from engine._core.strategy_abi import WishType
from engine._core.types import Flag, Kind, Stage
from engine.errors import SettingsInvalid, VenueNotSupported
from engine.runtime.exchanges import open_exchange
from engine.settings.secrets import Secrets
from engine.sim.market import Echo, random_walk
from tests.support.desks import terms_of
from tests.support.hand import Hand, paper

PARENT = """
[strategies.quoter_btc]
enabled = false
[strategies.quoter_eth]
enabled = false
[strategies.breakout_sol]
enabled = false
[strategies.asks]
module = "tests.support.strategies.asks"
symbol = "BTCUSDT"
params = {{ kind = {kind}, qty = 6, part = 2, seconds = 6, away = 200 }}
limits = {{ nets = {nets}, share_ppm = 500_000 }}
"""
ROUTED = """
[venues.second]
protocol = "embedded"
dead_man = false
[instruments.BTCUSDT]
market = "{market}"
fee_taker = "{first}"
fee_maker = "0"
base = "BTC"
tick = "0.01"
lot = "0.001"
qty_max = "10"
px_max = "1000000"
px_start = "60000"
[instruments.BTCUSDT2]
venue = "second"
market = "{market}"
fee_taker = "{second}"
fee_maker = "0"
base = "BTC"
tick = "0.01"
lot = "0.001"
qty_max = "10"
px_max = "1000000"
[routes.btc]
instruments = ["BTCUSDT", "BTCUSDT2"]
policy = "{policy}"
"""
ASKS = PARENT.format(kind=int(WishType.TYPE_LIMIT), nets=0)
FEES = {"first": "0.05", "second": "0.05"}


class Run(Hand):
    """A session moved by hand, with all that its core put out."""

    def __init__(self, folder: Path, text: str) -> None:
        mine = folder / "mine.toml"
        mine.write_text(text)
        super().__init__(folder / "state", mine)
        self.outputs: list[np.ndarray] = []
        self.session.engine.watch(lambda _events: None, lambda outputs: self.outputs.append(outputs.copy()))

    def of(self, kind: Kind) -> np.ndarray:
        every = np.concatenate([np.zeros(0, types.EVENT), *self.outputs])
        return every[every["kind"] == int(kind)]

    def until(self, holds, seconds: int = 60) -> None:
        for _ in range(seconds * 10):
            if holds():
                return
            self.run(100)
        raise AssertionError("it did not come to it")

    @property
    def lots(self) -> list[int]:
        return self.session.engine.core.world.positions()["lots"].tolist()


@pytest.fixture
def session(tmp_path):
    made: list[Run] = []

    def make(text: str) -> Run:
        made.append(Run(tmp_path, text))
        return made[0]

    yield make
    for run in made:
        run.close()


@pytest.mark.parametrize("kind", [WishType.TYPE_TWAP, WishType.TYPE_VWAP, WishType.TYPE_POV, WishType.TYPE_ICEBERG])
def test_a_parent_of_a_strategy_is_sliced_through_the_gate_and_filled(session, kind):
    run = session(PARENT.format(kind=int(kind), nets=1))
    run.until(lambda: run.lots[0] == 6)
    told = run.of(Kind.KIND_ALGO).view(types.ALGO)
    assert [int(row["qty_lots"]) for row in told if row["state"] == AlgoState.ALGO_FILLED] == [6]
    children = [p for p in run.of(Kind.KIND_INTENT_PLACE).view(types.INTENT) if terms_of(p)[0] == OrderType.TYPE_LIMIT]
    assert len(children) >= 3
    assert {int(child["qty_lots"]) for child in children} <= {1, 2}
    assert all(child["token"] for child in children)
    stops = [o for o in run.session.engine.core.world.live_orders() if o["type"] == OrderType.TYPE_STOP]
    assert [int(o["qty_lots"]) for o in stops] == [6]


def test_without_room_for_parents_the_wish_is_denied_and_why_says_so(session):
    run = session("[capacity]\nparents = 0\n" + PARENT.format(kind=int(WishType.TYPE_TWAP), nets=1))
    run.until(lambda: len(run.of(Kind.KIND_DECISION)) > 0)
    assert {int(d["origin"]) >> 32 for d in run.of(Kind.KIND_DECISION).view(types.DECISION)} == {Stage.STAGE_STRATEGY}
    assert run.lots[0] == 0


@pytest.mark.parametrize(
    ("market", "policy", "fees", "to"),
    [
        ("spot", "lowest_fee", {"first": "0.05", "second": "0.01"}, 1),
        ("linear", "lowest_fee", {"first": "0.01", "second": "0.05"}, 0),
        ("linear", "smart", {"first": "0.05", "second": "0.01"}, 1),
        ("spot", "smart", {"first": "0.01", "second": "0.05"}, 0),
    ],
)
def test_an_order_goes_to_the_venue_that_the_routes_policy_prefers(session, market, policy, fees, to):
    run = session(ROUTED.format(policy=policy, market=market, **fees) + ASKS)
    index = [0, 3][to]  # of the instruments, in the order of the settings
    run.until(lambda: sum(run.lots) >= 6)
    places = run.of(Kind.KIND_INTENT_PLACE).view(types.INTENT)
    entries = [p for p in places if not int(p["flags"]) & Flag.FLAG_SELL]
    assert {int(p["symbol"]) for p in entries} == {index}
    assert run.lots[index] == 6
    assert run.session.exchange.positions()[index] in ((6,) if market == "linear" else (5, 6))
    assert run.session.engine.core.world.instruments()["venue"].tolist() == [0, 0, 0, 1]


def test_best_price_takes_the_venue_whose_touch_is_better(session):
    run = session(ROUTED.format(policy="best_price", market="linear", **FEES) + ASKS)
    seen = []
    run.until(lambda: seen.append(run.session.engine.core.world.instruments()["ask_px_ticks"].copy()) or sum(run.lots))
    entry = run.of(Kind.KIND_INTENT_PLACE).view(types.INTENT)[0]
    mine = int(entry["symbol"])
    assert mine in (0, 3)
    # The two venues' touches differ in the course of it: the choice is one.
    assert {int(np.sign(asks[0] - asks[3])) for asks in seen if asks[0] and asks[3]} != {0}


def test_no_route_is_an_error_with_its_own_stage(session):
    run = session(ROUTED.format(policy="smart", market="linear", **FEES) + ASKS)
    engine = run.session.engine
    for symbol in (0, 3):
        event = np.zeros(1, types.SYMBOL)
        event["kind"], event["symbol"], event["halt"] = Kind.KIND_SYMBOL, symbol, 1
        event["ts_recv_ns"] = engine.now_ns
        engine.take(event.view(types.EVENT))
    run.until(lambda: len(run.of(Kind.KIND_DECISION)) > 0)
    told = run.of(Kind.KIND_DECISION).view(types.DECISION)
    assert {int(d["origin"]) >> 32 for d in told} == {Stage.STAGE_ROUTE}
    assert len(run.of(Kind.KIND_INTENT_PLACE)) == 0


WRONG = {
    "one instrument": ('"BTCUSDT", "BTCUSDT2"]', '"BTCUSDT"]', "two to 8"),
    "no such instrument": ('"BTCUSDT2"]', '"BTCUSD"]', "an entry of"),
    "twice the same": ('"BTCUSDT2"]', '"BTCUSDT"]', "each instrument once"),
    "one venue": ('venue = "second"', 'venue = "paper"', "of different venues"),
    "another asset": ('base = "BTC"\ntick = "0.01"\nlot = "0.001"\nqty_max = "10"\npx_max = "1000000"\n[routes',
                      'base = "ETH"\ntick = "0.01"\nlot = "0.001"\nqty_max = "10"\npx_max = "1000000"\n[routes',
                      "agree in base"),
    "a strategy that nets": ("nets = 0", "nets = 1", "spreads BTCUSDT over venues"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_route_that_cannot_be_is_refused_before_anything_starts(tmp_path, wrong):
    old, new, said = WRONG[wrong]
    text = ROUTED.format(policy="smart", market="linear", **FEES) + ASKS
    assert text.count(old) == 1
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace(old, new))
    with pytest.raises(SettingsInvalid, match=said):
        paper(tmp_path, mine)


def test_a_venue_in_this_process_and_one_over_sockets_make_no_session(tmp_path):
    mine = tmp_path / "mine.toml"
    over = ROUTED.format(policy="smart", market="linear", **FEES).replace(
        '[venues.second]\nprotocol = "embedded"', '[venues.second]\nprotocol = "binance_usdm"'
    )
    mine.write_text(over + ASKS)
    with pytest.raises(VenueNotSupported, match="keeps a time of its own"):
        open_exchange(paper(tmp_path, mine).settings, 1, Secrets({}))


def test_an_echo_repeats_its_lead_within_two_ticks_and_by_its_seed():
    events = random_walk(seed=5, count=3_000)
    told = [Echo(3, 0, seed=seed).of(events) for seed in (1, 1, 2)]
    assert told[0].tobytes() == told[1].tobytes() != told[2].tobytes()
    quotes = events["kind"] == Kind.KIND_QUOTE
    away = told[0].view(types.QUOTE)["ask_px_ticks"][quotes] - events.view(types.QUOTE)["ask_px_ticks"][quotes]
    assert set(away.tolist()) <= {-2, -1, 0, 1, 2}
    assert len(set(away.tolist())) > 1
    assert (told[0]["ts_recv_ns"] > events["ts_recv_ns"]).all()
    assert set(told[0]["symbol"].tolist()) == {3}

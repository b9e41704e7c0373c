"""The guard over its second port, against a real order server: stuck loop, dead first port, trouble on the wire."""

from __future__ import annotations

import json
import threading
from decimal import Decimal

import pytest

from engine._core.latch import Latch
from engine._core.modes import Goal
from engine.safety import courier
from engine.safety.guard import Guard, Plan
from engine.safety.rest_ports import PLAN_PREFIX, Symbol, UsdmPorts
from tests.support.desk_ports import Account, DeskPorts
from tests.support.rest_venue import KEY, SECRET, RestVenue

MS = 1_000_000
LIMITS = {"cancel_ns": 500 * MS, "confirm_ns": 500 * MS, "flatten_ns": 2_000 * MS, "verify_ns": 1_000 * MS,
          "retry_ns": 5 * MS, "reprice_ns": 50 * MS}  # fmt: skip
SYMBOLS = [Symbol("BTCUSDT", Decimal("0.1"), Decimal("0.001")), Symbol("ETHUSDT", Decimal("0.01"), Decimal("0.01"))]


@pytest.fixture
def venue():
    with RestVenue(positions={"BTCUSDT": "0.005", "ETHUSDT": "-0.30"}) as made:
        made.add("BTCUSDT", "entry", side="BUY", qty="0.002")
        made.add("BTCUSDT", "stop", algo=True, side="SELL", qty="0.005", reduce_only=True)
        made.add("ETHUSDT", "target", side="BUY", qty="0.30", reduce_only=True)
        yield made


def trip(tmp_path, venue, *, goal=Goal.GOAL_FLATTEN, aggressive=False):
    """A guard whose first port is dead, run to its end."""
    ended, codes = threading.Event(), []
    second = UsdmPorts(
        courier.Venue("v", "binance-usdm", venue.base_url, KEY, SECRET, timeout_s=2), SYMBOLS,
        equity=lambda: (1_000_000, 1_000_000), stop=codes.append, refresh_s=0.01,
    )  # fmt: skip
    guard = Guard(
        Latch(tmp_path / "latch"), DeskPorts(Account([0, 0]), dead=True), fallback=second, symbols=2, grace_s=10,
        plan=Plan(goal, aggressive, LIMITS), handover=tmp_path / "handover.json", last_words=lambda text: None,
        exit=lambda code: ended.set(), environment={"INVOCATION_ID": "run"},
    )  # fmt: skip
    with guard:
        guard.trip("command")
        assert ended.wait(60)
    second._client.close()
    return guard.ending, json.loads((tmp_path / "handover.json").read_text())


@pytest.mark.parametrize("aggressive", [False, True])
def test_with_the_first_port_dead_the_account_is_emptied_over_rest(aggressive, tmp_path, venue):
    ending, told = trip(tmp_path, venue, aggressive=aggressive)
    assert venue.orders == []
    assert {name: Decimal(amount) for name, amount in venue.positions.items()} == {"BTCUSDT": 0, "ETHUSDT": 0}
    assert (ending.outcome, ending.fallback, told["verified"], told["keep"]) == ("flat", True, True, [])


def test_a_plan_that_keeps_positions_keeps_their_stops_and_names_them(tmp_path, venue):
    ending, told = trip(tmp_path, venue, goal=Goal.GOAL_CANCEL)
    assert [order.client_id for order in venue.orders] == ["stop", "target"]
    assert venue.positions["BTCUSDT"] == "0.005"
    assert (ending.outcome, told["keep"]) == ("canceled", ["stop", "target"])


def test_a_limit_that_nobody_takes_is_taken_back_and_the_market_closes_it(tmp_path, venue):
    venue.rest_limits = True
    ending, _ = trip(tmp_path, venue)
    assert (ending.outcome, venue.orders) == ("flat", [])
    first_order = venue.seen.index(("POST", "/fapi/v1/order"))
    later = [method for method, _ in venue.seen[first_order:]]
    assert "DELETE" in later
    assert later.count("POST") > 2


@pytest.mark.parametrize("kind", ["500", "drop", "lost-ack", "429", "html"])
@pytest.mark.parametrize("first", [0, 3, 6, 9])
def test_trouble_on_the_wire_is_worked_through(kind, first, tmp_path, venue):
    venue.trouble = [""] * first + [kind] * 2
    ending, told = trip(tmp_path, venue)
    assert ending.errors
    assert (ending.outcome, venue.orders, told["verified"]) == ("flat", [], True)


def test_quantities_and_prices_cross_exactly():
    symbol = SYMBOLS[0]
    for lots in (-7, 0, 1, 10**9):
        assert symbol.lots(symbol.qty(lots)) == lots
    assert (symbol.qty(5), symbol.px(1001)) == ("0.005", "100.1")
    assert symbol.lots("0.0019") == 1
    assert PLAN_PREFIX

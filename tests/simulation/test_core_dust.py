"""Spot, where a fee in the base asset takes a part of what was bought: nobody sells what the account does not have."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engine._core import types
from engine._core.modes import Act, Mode, Outcome, Phase, Who
from engine._core.risk import Rule
from engine._core.types import Can, Incident, Kind
from engine.runtime.build import build_core
from engine.runtime.embedded import EmbeddedExchange
from engine.runtime.events import control_event, timer_event
from engine.runtime.wiring import INSTRUMENT
from engine.settings.schema import Engine, Settings, Venue
from engine.settings.trading import Account, Instrument, Strategy
from tests.support.desks import SECOND, START, Desk, serve

LOT = INSTRUMENT["lot_e8"]
REDUCE = {"flags": 2, "stop_px_ticks": 0}


def spot(**options) -> Desk:
    return Noted(instrument={"cash_only": 1}, **options)


def bought(desk: Desk, lots: int, fee: int, **wish: int) -> None:
    """Buy `lots` and pay a fee of `fee` in 1e-8 of the base asset."""
    desk.wants(qty_lots=lots, **wish)
    desk.quote()
    order = desk.places[0]
    desk.wants_nothing()
    desk.fill(order)
    serve(desk)
    pay(desk, order, fee)
    serve(desk)


def pay(desk: Desk, order, fee: int) -> None:
    desk.say(Kind.KIND_FEE, types.FEE, id_order=int(order["id_order"]), id_trade=desk.trades, asset=1, amount=fee)


def rules(decision) -> set[Rule]:
    return {rule for rule in Rule if int(decision["reasons"]) >> int(rule) & 1 and rule < Rule.RULE_COUNT}


@pytest.mark.parametrize(("fee", "most"), [(0, 5), (1, 4), (LOT + 1, 3)])
def test_a_reduction_that_goes_at_once_is_cut_to_the_whole_lots_that_are_owned(fee, most):
    desk = spot(brackets=0)
    bought(desk, 5, fee)
    desk.wants("ask", qty_lots=5, tif=1, **REDUCE)
    desk.quote()
    assert [int(order["qty_lots"]) for order in desk.places] == [most]


@pytest.mark.parametrize(("fee", "most"), [(0, 5), (1, 4), (LOT, 4), (LOT + 1, 3)])
def test_a_reduction_may_sell_whole_lots_that_are_owned_and_no_more(fee, most):
    desk = spot(brackets=0)
    bought(desk, 5, fee)
    desk.wants("ask", qty_lots=most + 1, **REDUCE)
    desk.quote()
    assert Rule.RULE_NOT_OWNED in rules(desk.denials[0])
    assert desk.denials[0]["headroom_lots"] == most
    desk.wants("ask", qty_lots=most, **REDUCE)
    desk.quote()
    assert [int(order["qty_lots"]) for order in desk.places] == [most]


def test_an_entry_that_sells_what_nobody_owns_is_denied_by_name():
    desk = spot(brackets=0)
    desk.wants("ask", qty_lots=1)
    desk.quote()
    assert rules(desk.denials[0]) == {Rule.RULE_NOT_OWNED}


def test_what_was_held_before_may_be_sold_and_only_once():
    desk = spot(brackets=0)
    desk.world.set_cash(1, 3 * LOT + LOT // 2)
    desk.wants("ask", qty_lots=2)
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants("ask", tag=1, qty_lots=2, px_ticks=50_003)
    desk.quote()
    assert rules(desk.denials[0]) == {Rule.RULE_NOT_OWNED}
    desk.wants("ask", tag=1, qty_lots=1, px_ticks=50_003)
    desk.quote()
    assert len(desk.places) == 1


def test_a_perpetual_is_sold_short_as_before():
    desk = Desk(brackets=0, instrument={"linear": 1})
    desk.wants("ask", qty_lots=1)
    desk.quote()
    assert len(desk.places) == 1


def test_a_stop_that_waits_here_shrinks_at_once_to_what_the_fee_has_left():
    desk = spot(can=int(Can.CAN_MARKET))
    bought(desk, 5, 3)
    stops = [order for order in desk.world.live_orders() if order["sell"]]
    assert [int(order["qty_lots"]) for order in stops] == [4]
    assert desk.incidents == []


def test_a_stop_at_the_venue_is_amended_to_what_the_fee_has_left():
    desk = spot()
    desk.wants(qty_lots=5)
    desk.quote()
    order = desk.places[0]
    desk.wants_nothing()
    desk.fill(order)
    stop = desk.places[0]
    pay(desk, order, 3)
    assert int(stop["qty_lots"]) == 5
    desk.ack(stop)
    assert [int(amend["qty_lots"]) for amend in desk.these(Kind.KIND_INTENT_AMEND)] == [4]
    assert desk.incidents == []


def test_the_stop_of_a_net_position_covers_what_is_owned():
    desk = Desk(instrument={"cash_only": 1}, can=int(Can.CAN_MARKET))
    desk.world.set_strategy(0, 0, limits={"nets": 1})
    bought(desk, 5, 3)
    stops = [order for order in desk.world.live_orders() if order["sell"]]
    assert [int(order["qty_lots"]) for order in stops] == [4]
    assert desk.incidents == []


class Noted(Desk):
    """A desk that keeps what the plan said."""

    def step(self, record):
        out = super().step(record)
        self.said = getattr(self, "said", [])
        self.said += [(int(m["action"]), int(m["value"])) for m in self.these(Kind.KIND_MODE) if m["action"]]
        return out


def flattened(desk: Desk) -> None:
    """An emergency at an honest venue: it fills what closes, and says what is held."""
    desk.control(mode=int(Mode.MODE_EMERGENCY), who=int(Who.WHO_HUMAN), equity=desk.world.account()["equity"])
    for _ in range(40):
        serve(desk)
        assert desk.world.assets()["balance"][1, 0] >= 0  # never sold what was not there
        if desk.world.modes["phase"] == Phase.PHASE_ENDED:
            break
        desk.quote()
        serve(desk)
        desk.timer()


@pytest.mark.parametrize("brackets", [0, 16])
@pytest.mark.parametrize("fee", [1, LOT // 2, LOT, 2 * LOT + 1])
def test_the_plan_sells_what_is_owned_and_names_the_dust_to_the_last_unit(fee, brackets):
    desk = spot(brackets=brackets)
    bought(desk, 5, fee)
    flattened(desk)
    left = 5 * LOT - fee - (5 * LOT - fee) // LOT * LOT
    assert desk.world.modes["outcome"] == Outcome.OUTCOME_DUST
    assert desk.said[-2:] == [(Act.ACT_DUST, left), (Act.ACT_ENDED, Outcome.OUTCOME_DUST)]
    assert int(desk.world.assets()["balance"][1, 0]) == left
    assert Incident.INCIDENT_PLAN not in desk.incidents


def test_without_a_fee_the_same_plan_ends_flat():
    desk = spot()
    bought(desk, 5, 0)
    flattened(desk)
    assert (desk.world.modes["outcome"], desk.lots) == (Outcome.OUTCOME_FLAT, 0)


# ------------------------------------------------------------------------------------------------ at the embedded venue
SPOT = Settings(
    account=Account(capital=100_000 * 10**8),
    venues={"paper": Venue()},
    strategies={"q": Strategy(module="strategies.quoter", symbol="BTCUSDT", params={"qty": 5}, limits={"nets": 1})},
    instruments={"BTCUSDT": Instrument(base="BTC", tick=10**6, lot=10**5, px_start=500 * 10**8, qty_max=10**10,
                                       fee_maker=100_000, fee_taker=100_000)},
)  # fmt: skip


def drive(core, exchange, until_ns: int, records: list) -> None:
    """Let time pass, a tenth of a second at a time, until then or until a plan has ended."""

    def take(event) -> None:
        _, out = core.step(event)
        if len(out):
            records.append(out)
            exchange.submit(out)

    for now in range(int(core.world.now_ns) or START, until_ns, SECOND // 10):
        while len(events := exchange.poll(now)):
            for event in events:
                take(event.reshape(1))
        take(timer_event(now))
        core.world.check()
        if core.world.modes["phase"] == Phase.PHASE_ENDED:
            return


@pytest.mark.parametrize("seed", [1, 2])
def test_at_the_embedded_venue_with_spot_fees_an_emergency_ends_flat_but_for_dust(seed):
    settings = msgspec.structs.replace(SPOT, engine=Engine(seed=seed))
    core, exchange = build_core(settings, disciplined=False), EmbeddedExchange(settings, START)
    records: list = []
    drive(core, exchange, START + 5 * SECOND, records)
    held = int(core.world.positions()["lots"][0])
    owned = int(core.world.assets()["balance"][1, 0])
    assert held > owned // LOT  # the fees of the buys took a part of a lot at least
    _, out = core.step(
        control_event(
            core.world.now_ns, mode=int(Mode.MODE_EMERGENCY), who=int(Who.WHO_HUMAN), equity=exchange.equity()
        )
    )
    exchange.submit(out)
    records.append(out)
    drive(core, exchange, core.world.now_ns + 120 * SECOND, records)
    modes = core.world.modes
    assert (modes["phase"], modes["outcome"]) == (Phase.PHASE_ENDED, Outcome.OUTCOME_DUST)
    balance = exchange.venue.account.balance("BTC")
    assert 0 < balance.free + balance.locked < LOT
    said = np.concatenate(records)
    dust = said[said["kind"] == Kind.KIND_MODE].view(types.MODE)
    assert [int(row["value"]) for row in dust if row["action"] == Act.ACT_DUST] == [balance.free + balance.locked]
    incidents = said[said["kind"] == Kind.KIND_INCIDENT].view(types.INCIDENT)
    assert Incident.INCIDENT_PLAN not in incidents["what"].tolist()

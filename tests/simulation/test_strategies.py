"""Strategies inside the step: stopped alone, held to their own limits, measured without a clock in the core."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from engine._core.clock import monotonic_ns
from engine._core.risk import Rule
from engine._core.step import Core
from engine._core.strategy import StopReason, StrategyAct, StrategyRule
from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import DECISION, EVENT, INTENT, ORDER, Flag, Kind, Status
from engine._core.world import World
from engine.errors import BadLayout, StrategyBadAct, StrategyBadParameter, StrategySlotsFull, UnknownSymbol
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS
from engine.strategy.cache import Cache
from engine.strategy.contract import KEEP, NONE, OK, REST
from engine.strategy.hook import HOOKS_MAX, PythonHook
from engine.strategy.meter import Meter
from engine.strategy.registry import Budget, Placement, bind, build

START = 1_700_000_000_000_000_000


def quote(now, bid=100, ask=101, symbol=0):
    event = np.zeros(1, EVENT)
    event["kind"], event["symbol"], event["ts_recv_ns"] = Kind.KIND_QUOTE, symbol, START + now
    event["word"][0] = (bid, 50, ask, 50, now)
    return event


def report(kind, id_order, now, *, qty=0, px=100, filled=0, id_venue=1, sell=False):
    record = np.zeros(1, ORDER)
    record["flags"] = Flag.FLAG_SELL if sell else 0
    record["kind"], record["id_order"], record["ts_recv_ns"] = kind, id_order, START + now
    record["qty_lots"], record["px_ticks"], record["filled_lots"], record["id_venue"] = qty, px, filled, id_venue
    return record.view(EVENT)


def control(strategy, act, reason=0, detail=0, now=0):
    event = np.zeros(1, EVENT)
    event["kind"], event["ts_recv_ns"] = Kind.KIND_STRATEGY, START + now
    event["word"][0, :4] = (strategy, act, reason, detail)
    return event


def make(*decides, limits=None, symbols=1):
    """A core whose strategies are plain Python functions."""
    world = World(symbols=symbols, strategies=len(decides), orders=64)
    for symbol in range(symbols):
        world.set_instrument(symbol, **INSTRUMENT)
        world.set_gate_symbol(symbol, **GATE_SYMBOL)
    world.set_account(**ACCOUNT)
    world.set_limits(**LIMITS)
    core = Core(world)
    hooks = []
    for slot, decide in enumerate(decides):
        world.set_strategy(slot, 0, (5, 200, 20), limits=limits)
        hooks.append(PythonHook(world, slot, decide))
        core.bind(slot, hooks[-1].address, hooks[-1])
    return core, world, hooks


def rest(side="bid", tag=0, **fields):
    def decide(view, wishes):
        wish = wishes[side][tag]
        wish["kind"] = REST
        stop = {"bid": 50, "ask": 200}[side]  # the gate asks for a protective stop
        for name, value in ({"px_ticks": 99, "qty_lots": 5, "stop_px_ticks": stop} | fields).items():
            wish[name] = value
        return OK

    return decide


def places(outputs):
    return outputs[outputs["kind"] == Kind.KIND_INTENT_PLACE].view(INTENT)


def cancels(outputs):
    return outputs[outputs["kind"] == Kind.KIND_INTENT_CANCEL].view(INTENT)


def reasons(outputs):
    return outputs[outputs["kind"] == Kind.KIND_DECISION].view(DECISION)["reasons"].tolist()


# --------------------------------------------------------------------------------------------------------------- tags
def test_every_side_and_tag_has_one_order_of_its_own():
    def decide(view, wishes):
        for side in ("bid", "ask"):
            for tag in range(2):
                wishes[side][tag]["kind"] = REST
                wishes[side][tag]["px_ticks"] = (99 if side == "bid" else 102) - tag
                wishes[side][tag]["qty_lots"] = 1 + tag
                wishes[side][tag]["stop_px_ticks"] = 50 if side == "bid" else 200
        return OK

    core, world, _ = make(decide)
    assert len(places(core.step(quote(1))[1])) == 4
    assert len(core.step(quote(2))[1]) == 0
    held = world.strategies()["held"][0].tolist()
    assert sorted(held) == sorted(world.live_orders()["id_order"].tolist())
    world.check()


def test_keep_keeps_and_none_takes_back_only_its_own_tag():
    answers = iter([(REST, REST), (KEEP, NONE), (KEEP, KEEP)])

    def decide(view, wishes):
        for tag, kind in enumerate(next(answers)):
            wishes["bid"][tag]["kind"] = kind
            wishes["bid"][tag]["px_ticks"], wishes["bid"][tag]["qty_lots"] = 99 - tag, 1
            wishes["bid"][tag]["stop_px_ticks"] = 50
        return OK

    core, _, _ = make(decide)
    first = places(core.step(quote(1))[1])
    assert cancels(core.step(quote(2))[1])["id_order"].tolist() == [first["id_order"][1]]
    assert len(core.step(quote(3))[1]) == 0


def test_wishes_of_one_call_do_not_leak_into_the_next():
    seen = []

    def decide(view, wishes):
        seen.append(wishes.tobytes())
        wishes["bid"][1]["px_ticks"] = 7
        wishes["signal"]["valid"] = 1
        return OK

    core, _, _ = make(decide, decide)
    core.step(quote(1))
    core.step(quote(2))
    assert set(seen) == {bytes(448)}


# ----------------------------------------------------------------------------------------------------------- own limits
def test_position_limit_of_a_strategy_is_its_own_and_denies_with_its_reason():
    core, world, _ = make(rest(), limits={"position_lots_max": 4})
    status, outputs = core.step(quote(1))
    assert status == Status.OK
    assert reasons(outputs) == [1 << StrategyRule.STRATEGY_RULE_POSITION]
    assert world.strategies()["refused_count"][0] == 1


def test_a_strategys_position_is_the_sum_of_its_own_fills():
    core, world, _ = make(rest(), rest("ask", px_ticks=101, qty_lots=3))
    buy, sell = places(core.step(quote(1))[1])["id_order"].tolist()
    core.step(report(Kind.KIND_ORDER_FILL, buy, 2, qty=5, filled=5))
    core.step(report(Kind.KIND_ORDER_FILL, sell, 3, qty=2, px=101, filled=2, id_venue=2, sell=True))
    rows = world.strategies()
    assert rows["position_lots"].tolist() == [5, -2]
    assert world.positions()["lots"][0] == 3
    core.step(quote(4))
    views = world.strategies()["view"]
    assert views["position_lots"].tolist() == [5, -2]
    assert views["symbol_position_lots"].tolist() == [3, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": WishType.TYPE_MARKET},
        {"tif": WishTif.TIF_IOC},
        {"target_px_ticks": 120},
        {"type": WishType.TYPE_ICEBERG, "display_lots": 1},
        {"type": WishType.TYPE_STOP, "px_ticks": 0, "trigger_px_ticks": 120, "stop_px_ticks": 0},
    ],
)
def test_what_the_order_path_cannot_carry_out_is_denied_whole(fields):
    # An entry placed without the target it came with would be another trade than the one that was wished for.
    core, world, _ = make(rest(**fields))
    _, outputs = core.step(quote(1))
    assert reasons(outputs) == [1 << StrategyRule.STRATEGY_RULE_CARRY]
    assert world.live_orders().size == 0


def test_a_reduce_only_wish_without_a_position_is_denied_by_the_gate():
    core, _, _ = make(rest(flags=2, stop_px_ticks=0))
    assert reasons(core.step(quote(1))[1]) == [1 << Rule.RULE_NOT_REDUCING]


def test_a_malformed_wish_is_denied_and_enough_of_them_stop_the_strategy():
    core, world, _ = make(rest(qty_lots=-1), rest(), limits={"wish_fault_max": 3})
    for now in range(1, 6):
        core.step(quote(now))
    rows = world.strategies()
    assert rows["reason"].tolist() == [StopReason.STOPPED_WISH, StopReason.STOPPED_NOT]
    assert rows["decided_count"].tolist() == [3, 5]


# -------------------------------------------------------------------------------------------------------- stopped alone
@pytest.mark.parametrize("answer", [0, 2, None, "one", False])
def test_a_strategy_that_does_not_answer_ok_is_stopped_alone_and_its_orders_are_taken_back(answer):
    answers = iter([OK, answer])

    def decide(view, wishes):
        rest()(view, wishes)
        return next(answers)

    core, world, hooks = make(decide, rest(px_ticks=98))
    first = places(core.step(quote(1))[1])
    assert cancels(core.step(quote(2))[1])["id_order"].tolist() == [first["id_order"][0]]
    core.step(quote(3))
    assert world.strategies()["stopped"].tolist() == [1, 0]
    assert world.strategies()["decided_count"].tolist() == [2, 3]
    assert world.counts["stopped"] == 1
    assert hooks[0].error is None


def test_a_strategy_that_raises_is_stopped_alone_and_the_error_is_kept():
    def decide(view, wishes):
        rest()(view, wishes)
        raise ZeroDivisionError("by design")

    core, world, hooks = make(decide, rest())
    assert len(places(core.step(quote(1))[1])) == 1
    assert isinstance(hooks[0].error, ZeroDivisionError)
    assert world.strategies()["reason"].tolist() == [StopReason.STOPPED_RETURN, 0]


def test_a_stopped_strategys_order_is_taken_back_even_if_the_first_cancel_was_too_early():
    def decide(view, wishes):
        rest()(view, wishes)
        return OK

    core, world, _ = make(decide)
    id_order = int(places(core.step(quote(1))[1])["id_order"][0])
    core.step(control(0, StrategyAct.STRATEGY_ACT_STOP, StopReason.STOPPED_OPERATOR))
    core.step(report(Kind.KIND_ORDER_CANCELED, id_order, 3))
    assert world.live_orders().size == 0
    assert world.strategies()["held"][0].tolist() == [0, 0, 0, 0]


def test_the_operator_stops_and_resumes_a_strategy_by_an_event():
    core, world, _ = make(rest())
    core.step(quote(1))
    status, outputs = core.step(control(0, StrategyAct.STRATEGY_ACT_STOP, StopReason.STOPPED_OPERATOR, 42, now=2))
    assert (status, len(cancels(outputs))) == (Status.OK, 1)
    core.step(quote(3))
    row = world.strategies()[0]
    assert (row["stopped"], row["reason"], row["stopped_detail"], row["decided_count"]) == (1, 3, 42, 1)
    core.step(control(0, StrategyAct.STRATEGY_ACT_RESUME, now=4))
    core.step(quote(5))
    assert world.strategies()["decided_count"][0] == 2


@pytest.mark.parametrize(
    "event",
    [control(1, 1, 1), control(-1, 1, 1), control(2**40, 1, 1), control(0, 0), control(0, 1, 0), control(0, 9, 1)],
)
def test_an_event_for_no_strategy_or_without_meaning_is_refused_and_changes_nothing(event):
    core, world, _ = make(rest())
    before = world.strategies().tobytes()
    status, outputs = core.step(event)
    assert status in (Status.WORLD_BAD_EVENT, Status.STRATEGY_BAD_ACT)
    assert len(outputs) == 0
    assert world.strategies().tobytes() == before


# -------------------------------------------------------------------------------------------------------------- meter
def metered(decide, **budget):
    core, world, hooks = make(decide, rest("ask", px_ticks=102))
    meter = Meter()
    core.bind(0, meter.wrap(0, hooks[0].address, keep=hooks[0], **budget), meter)
    return core, world, meter


def test_a_strategy_beyond_its_time_is_stopped_by_an_event_that_a_replay_repeats():
    # A budget of zero: any call is beyond it, on any machine.
    core, world, meter = metered(rest(), budget_ns=0, hard_ns=10**12, strikes_max=3)
    inputs = []
    for now in range(1, 10):
        inputs.append(quote(now))
        core.step(inputs[-1])
        if meter.pending_count:
            for event in meter.stop_events(START + now):
                inputs.append(event.reshape(1))
                core.step(inputs[-1])
    rows = world.strategies()
    assert rows["reason"].tolist() == [StopReason.STOPPED_OVERTIME, 0]
    assert rows["decided_count"].tolist() == [3, 9]
    assert rows["stopped_detail"][0] >= 0

    again, replayed, _ = make(rest(), rest("ask", px_ticks=102))
    for event in inputs:
        again.step(event)
    assert replayed.state_hash() == world.state_hash()


def test_one_call_beyond_the_hard_limit_stops_at_once():
    core, _, meter = metered(rest(), budget_ns=0, hard_ns=0, strikes_max=1_000)
    core.step(quote(1))
    events = meter.stop_events(START + 1)
    assert (len(events), events["word"][0, 0], events["word"][0, 2]) == (1, 0, StopReason.STOPPED_OVERTIME)
    assert len(meter.stop_events(START + 1)) == 0


def test_a_strategy_inside_its_budget_is_left_alone_and_its_worst_call_is_known():
    core, world, meter = metered(rest(), budget_ns=10**12, hard_ns=10**12)
    for now in range(1, 50):
        core.step(quote(now))
    assert meter.pending_count == 0
    figures = meter.figures()[0]
    assert (figures["calls"], figures["over"], figures["strikes"]) == (49, 0, 0)
    assert 0 < figures["worst_ns"] < 10**12
    assert world.strategies()["stopped"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "budget",
    [{"budget_ns": -1, "hard_ns": 5}, {"budget_ns": 6, "hard_ns": 5}, {"budget_ns": 1, "hard_ns": 5, "strikes_max": 0}],
)
def test_a_budget_that_contradicts_itself_is_refused(budget):
    with pytest.raises(StrategyBadAct):
        Meter().wrap(0, 1, **budget)


def test_calls_in_time_take_a_strike_away_again():
    # Late is a call that waits until it is; in time is any other, unless the machine makes it late, and then the
    # next are asked: strikes only ever go down by calls in time, so the loop ends where they are forgiven.
    late = [True]

    def decide(view, wishes):
        start = monotonic_ns()
        while late[0] and monotonic_ns() - start < 30_000_000:
            pass
        return OK

    core, _, meter = metered(decide, budget_ns=20_000_000, hard_ns=10**15, strikes_max=10**6, forgive_count=3)
    core.step(quote(1))
    assert meter.figures()[0]["strikes"] == 1
    late[0] = False
    calls = 0
    while meter.figures()[0]["strikes"]:
        calls += 1
        core.step(quote(1 + calls))
    assert calls >= 3
    assert meter.figures()[0]["over"] >= 1
    assert meter.pending_count == 0


def test_more_strategies_than_a_process_can_meter_are_refused_and_a_meter_gives_its_places_back():
    def fill():
        meter = Meter()
        for strategy in range(257):
            meter.wrap(strategy, 1, budget_ns=1, hard_ns=1)

    with pytest.raises(StrategySlotsFull, match="256 in use"):
        fill()
    gc.collect()
    assert Meter().wrap(0, 1, budget_ns=1, hard_ns=1)


# ---------------------------------------------------------------------------------------------------- Python strategies
def test_a_class_strategy_keeps_its_state_in_the_view_and_it_is_part_of_the_world():
    class Counting:
        def decide(self, view, wishes):
            view["state"][3] += view["bid_px_ticks"]
            view["state_f64"][1] = 0.5
            return OK

    core, world, hooks = make(Counting().decide)
    core.step(quote(1, bid=7, ask=9))
    core.step(quote(2, bid=8, ask=9))
    view = world.strategies()["view"][0]
    assert (view["state"][3], view["state_f64"][1]) == (15, 0.5)
    assert hooks[0].call_count == 2


def test_a_strategy_that_keeps_its_view_keeps_the_world_alive_and_no_more():
    kept = []

    def decide(view, wishes):
        kept.append((view, wishes))
        return OK

    core, world, hooks = make(decide)
    core.step(quote(1))
    del core, world, hooks
    gc.collect()
    view, wishes = kept[0]
    assert view["bid_px_ticks"] == 100
    wishes["bid"][0]["kind"] = REST
    assert view["abi"] == 3


def test_the_slots_for_python_strategies_are_bounded_and_come_back():
    world = World(symbols=1, strategies=1)
    gc.collect()
    hooks = []
    with pytest.raises(StrategySlotsFull):
        hooks.extend(PythonHook(world, 0, rest()) for _ in range(HOOKS_MAX + 1))
    assert len({hook.address for hook in hooks}) == len(hooks)
    hooks.clear()
    gc.collect()
    assert PythonHook(world, 0, rest()).address


def test_a_hook_for_a_slot_that_is_not_there_is_refused():
    with pytest.raises(UnknownSymbol):
        PythonHook(World(symbols=1, strategies=1), 1, rest())


def test_a_hook_bound_to_another_world_stops_instead_of_showing_the_wrong_view():
    calls = []
    core, world, _ = make(rest())
    other = World(symbols=1, strategies=1)
    stray = PythonHook(other, 0, lambda view, wishes: calls.append(1) or OK)
    core.bind(0, stray.address, stray)
    core.step(quote(1))
    assert (world.strategies()["stopped"][0], calls) == (1, [])


# --------------------------------------------------------------------------------------------------- the placement
def test_a_placement_brings_parameters_limits_and_code_together(tmp_path):
    cache = Cache(tmp_path / "cache")
    build("strategies.quoter", cache)
    world = World(symbols=1, strategies=1, orders=64)
    world.set_instrument(0, **INSTRUMENT)
    world.set_gate_symbol(0, **GATE_SYMBOL)
    world.set_account(**ACCOUNT)
    world.set_limits(**LIMITS)
    core = Core(world)
    placement = Placement("strategies.quoter", 0, {"qty": 3}, {"order_lots_max": 2}, Budget())
    bind(core, 0, placement, cache=cache, meter=Meter())
    _, outputs = core.step(quote(1, bid=1000, ask=1001))
    assert reasons(outputs) == [1 << StrategyRule.STRATEGY_RULE_ORDER_LOTS] * 2
    assert world.strategies()["view"]["params"][0, :3].tolist() == [3, 200, 20]


# ------------------------------------------------------------------------------------------------------------- peers
def mark(now, symbol, *, px_e8=0, rate_e8=0, funding_ns=0):
    event = np.zeros(1, EVENT)
    event["kind"], event["symbol"], event["ts_recv_ns"] = Kind.KIND_MARK, symbol, START + now
    event["word"][0] = (px_e8, 0, 0, rate_e8, funding_ns)
    return event


def watching(decide, peers, symbols=3):
    """A core with one strategy on symbol 0 that watches others."""
    core, world, hooks = make(decide, symbols=symbols)
    world.set_strategy(0, 0, (5, 200, 20), peers=peers)
    return core, world, hooks


def test_a_peers_touch_wakes_the_strategy_and_a_strangers_does_not():
    causes = []

    def decide(view, wishes):
        causes.append((int(view["bid_px_ticks"]), int(view["peers"][0]["bid_px_ticks"])))
        return OK

    core, world, _ = watching(decide, (1,))
    core.step(quote(1, bid=100, ask=101))
    core.step(quote(2, bid=200, ask=203, symbol=1))
    core.step(quote(3, bid=300, ask=301, symbol=2))
    assert causes == [(100, 0), (100, 200)]
    peer = world.strategies()["view"]["peers"][0, 0]
    assert (peer["symbol"], peer["ask_px_ticks"], peer["book_ns"], peer["book_trusted"]) == (1, 203, START + 2, 1)
    assert (peer["tick_e8"], peer["lot_e8"]) == (INSTRUMENT["tick_e8"], INSTRUMENT["lot_e8"])


def test_an_order_made_on_a_peers_touch_is_one_of_the_own_symbol():
    core, _, _ = watching(rest(), (1,))
    core.step(quote(1))
    core.step(mark(2, 1))
    core, _, _ = watching(lambda view, wishes: rest()(view, wishes) if view["peers"][0]["book_ns"] else OK, (1,))
    assert len(places(core.step(quote(1))[1])) == 0
    placed = places(core.step(quote(2, symbol=1))[1])
    assert (placed["symbol"].tolist(), placed["px_ticks"].tolist()) == ([0], [99])


def test_marks_and_funding_stand_in_the_view_of_their_symbol_and_of_those_that_watch_it():
    seen = []

    def decide(view, wishes):
        peer = view["peers"][0]
        seen.append([int(v) for v in (view["funding_rate_e8"], peer["funding_rate_e8"], peer["mark_px_e8"])])
        return OK

    core, world, _ = watching(decide, (1,))
    core.step(mark(1, 0, px_e8=7, rate_e8=-30, funding_ns=START + 99))
    core.step(mark(2, 1, px_e8=8, rate_e8=40, funding_ns=START + 99))
    core.step(quote(3))
    assert seen == [[-30, 40, 8]]
    view = world.strategies()["view"][0]
    assert (view["mark_px_e8"], view["funding_ns"]) == (7, START + 99)


def test_the_accounts_position_in_a_peer_is_seen():
    seen = []

    def decide(view, wishes):
        seen.append(int(view["peers"][0]["position_lots"]))
        return OK

    core, world, _ = make(decide, rest(), symbols=2)
    world.set_strategy(0, 0, peers=(1,))
    world.set_strategy(1, 1)
    buy = int(places(core.step(quote(1, symbol=1))[1])["id_order"][0])
    fill = report(Kind.KIND_ORDER_FILL, buy, 2, qty=3, filled=3)
    fill["symbol"] = 1
    core.step(fill)
    core.step(quote(3))
    assert seen[-1] == 3


@pytest.mark.parametrize("peers", [(0,), (1, 1), (3,), (1, 2, 3, 4, 5)])
def test_peers_that_are_the_own_symbol_twice_the_same_or_not_there_are_refused(peers):
    world = World(symbols=3, strategies=1)
    with pytest.raises((BadLayout, UnknownSymbol)):
        world.set_strategy(0, 0, peers=peers)


def test_a_strategy_that_is_given_another_number_of_peers_than_it_watches_is_refused():
    core = Core(World(symbols=2, strategies=1))
    with pytest.raises(StrategyBadParameter, match="0 other symbols, and 1"):
        bind(core, 0, Placement("strategies.quoter", 0, peers=(1,)), cache=Cache())

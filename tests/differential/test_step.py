"""The step and its plain-Python twin, driven by the same random histories: the same words follow each event."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine._core import types
from engine._core.discipline import DecisionFlag, Discipline
from engine._core.orders import OrderType
from engine._core.step import Core
from engine._core.types import Can, Flag, Kind
from engine.model.step import SAYS, Step
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS
from tests.support.desks import SECOND, START, Desk, terms_of

STEM = "step"
CASES = int(os.environ.get("BOT4_STRESS", "0")) * 1000 or 40
QTY_MOST = 40
# Short spans, so that every state of the plan and every step of the schedule is passed in a few moves.
PLAN = {
    "cooldown_ns": SECOND, "reduce_interval_ns": 2 * SECOND, "reduce_share_ppm": 300_000, "reduce_target_ppm": 200_000,
    "cancel_ns": SECOND, "confirm_ns": 5 * SECOND, "flatten_ns": 20 * SECOND, "verify_ns": 8 * SECOND,
    "attempts_standard": 2, "attempts_aggressive": 2,
}  # fmt: skip
# Few attempts and short waits: every state of a bracket is passed in a few moves.
RULES = {
    "protect_ns": SECOND, "unwind_ns": SECOND, "close_ns": 2 * SECOND, "alarm_ns": 3 * SECOND, "places_max": 4,
    "unwinds_max": 2, "asks_max": 2, "lates_max": 1,
}  # fmt: skip
AMENDS = Can.CAN_AMEND | Can.CAN_AMEND_DOWN
SUITES: dict[str, dict[str, Any]] = {
    "amends": {"can": int(Can.CAN_ALL)},
    "cancel and replace": {"can": 0},
    "amends downward": {"can": int(Can.CAN_AMEND_DOWN | Can.CAN_IOC)},
    "two symbols": {"symbols": 2, "strategies": 2},
    "two strategies": {"strategies": 2},
    "a full table": {"orders": 3},
    "own limits": {"own": {"position_lots_max": 12, "order_lots_max": 7, "wish_fault_max": 2, "order_count_max": 3}},
    "a rate": {"limits": {"orders_per_second": 3, "churn_per_minute": 9}},
    "a small account": {"limits": {"order_notional": 12 * 50_000 * 1000, "position_share_ppm": 10}},
    "modes": {"modes": PLAN, "symbols": 2, "strategies": 2},
    "modes without market orders or amends": {"modes": PLAN, "can": int(Can.CAN_REDUCE)},
    "spot without a loan": {"modes": PLAN, "cash_only": 1},
    "spot without a loan, several hands": {"modes": PLAN, "cash_only": 1, "symbols": 2, "strategies": 3, "can": 0},
    "discipline": {"discipline": {}},
    "discipline that explores": {"discipline": {"paper": 1, "samples_min": 10, "explore_share_ppm": 10_000}},
    "discipline that observes": {
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10},
        "modes": PLAN,
        "strategies": 2,
    },
    "discipline that observes at a venue that amends nothing": {
        "discipline": {"paper": 1, "validator": 1},
        "can": 0,
        "symbols": 2,
        "strategies": 2,
    },
    "brackets": {"brackets": 16, "orders": 24},
    "brackets of a venue that amends nothing": {"brackets": 16, "orders": 24, "can": int(Can.CAN_ALL) & ~int(AMENDS)},
    "brackets that only shrink, two symbols, two strategies": {
        "brackets": 8,
        "orders": 32,
        "symbols": 2,
        "strategies": 2,
        "can": int(Can.CAN_ALL) & ~int(Can.CAN_AMEND) | int(Can.CAN_AMEND_DOWN),
    },
    "few brackets in a full table": {"brackets": 2, "orders": 5},
    "brackets without stops at the venue": {"brackets": 8, "orders": 24, "can": int(Can.CAN_ALL) & ~int(Can.CAN_STOP)},
    "brackets and modes": {"brackets": 8, "orders": 32, "modes": PLAN, "symbols": 2, "strategies": 2},
    "brackets on spot without a loan": {"brackets": 8, "orders": 32, "modes": PLAN, "cash_only": 1},
    "brackets and discipline": {
        "brackets": 8,
        "orders": 32,
        "modes": PLAN,
        "strategies": 2,
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10},
    },
    "few open orders": {"limits": {"open_orders_all": 2, "open_orders_symbol": 1, "rejects_in_a_row": 2}},
}
WISH = st.tuples(st.integers(0, 1), st.booleans(), st.integers(0, 2), st.integers(-1, 12), st.integers(-8, 8),
                 st.integers(0, 3), st.integers(0, 3), st.integers(-2, 60))  # fmt: skip
MOVE = st.one_of(
    st.tuples(st.just("quote"), st.integers(-5, 5), st.integers(0, 3), st.integers(0, 1), st.lists(WISH, max_size=3)),
    st.tuples(st.just("quote"), st.integers(-1, 1), st.integers(1, 2), st.integers(0, 1), st.lists(WISH, max_size=3)),
    st.tuples(st.just("report"), st.integers(0, 9), st.sampled_from(sorted(SAYS)), st.integers(0, 9)),
    st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 9), st.integers(0, 3)),
    st.tuples(st.just("replaced"), st.integers(0, 9), st.integers(1, 9)),
    st.tuples(st.just("fee"), st.integers(0, 9), st.integers(-9, 99), st.just(0)),
    st.tuples(st.just("fee"), st.integers(0, 9), st.sampled_from([1, 50_000, 100_000, 250_000]), st.just(1)),
    st.tuples(st.just("timer"), st.sampled_from([1, SECOND, 6 * SECOND, 31 * SECOND])),
    st.tuples(st.just("feed"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("halt"), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.just("strategy"), st.integers(0, 3), st.integers(0, 4)),
    st.tuples(st.just("control"), st.integers(0, 4), st.sampled_from([0, 1, 1, 1, 2, 3, 4]), st.booleans(),
              st.booleans(), st.sampled_from([0, 0, 0, 0, 1])),
    st.tuples(st.just("denied"), st.sampled_from([0, 0, 2])),
    st.tuples(st.just("position"), st.integers(0, 1), st.integers(-2, 2)),
)  # fmt: skip


class Pair:
    """The two, side by side. Every word that can be observed is compared after every event."""

    def __init__(self, *, symbols: int = 1, strategies: int = 1, orders: int = 12, can: int = int(Can.CAN_ALL),
                 own: dict[str, int] | None = None, limits: dict[str, int] | None = None,
                 modes: dict[str, int] | None = None, cash_only: int = 0, brackets: int = 0,
                 discipline: dict[str, Any] | None = None) -> None:  # fmt: skip
        self.symbols, self.strategies = symbols, strategies
        shape: dict[str, Any] = {"bracket_rules": RULES} if brackets else {}
        instrument = INSTRUMENT | {"qty_max_lots": QTY_MOST, "cash_only": cash_only}
        self.desk = Desk(symbols=symbols, strategies=strategies, orders=orders, can=can, cash=None, validate=False,
                         brackets=brackets, triggers=0, algos=0, instrument=instrument,
                         limits=limits, modes=modes, discipline=discipline, **shape)  # fmt: skip
        gate_symbol = GATE_SYMBOL | {"margin_ppm": 100_000, "qty_max_lots": QTY_MOST}
        for symbol in range(symbols):
            self.desk.world.set_gate_symbol(symbol, **gate_symbol)
        for strategy in range(strategies):
            self.desk.world.set_strategy(strategy, min(strategy, symbols - 1), limits=own)
        self.twin = Step(
            symbols=symbols, strategies=strategies, orders=orders, can=can, account=ACCOUNT,
            limits=LIMITS | {"equity_age_ns": 10**18} | (limits or {}), gate_symbol=gate_symbol, own=own or {},
            unit_value=1_000, tick_e8=INSTRUMENT["tick_e8"], lot_units=INSTRUMENT["lot_e8"], modes=modes,
            cash_only=bool(cash_only), discipline=discipline, brackets=brackets, **shape,
        )  # fmt: skip
        self.sent: list[Any] = []
        self.trades = 0
        self.mid = 50_000

    # ------------------------------------------------------------------------------------------------------------ moves
    def act(self, move: tuple[Any, ...]) -> None:
        status, out = getattr(self, f"_{move[0]}")(*move[1:])
        assert self.desk.status == status, (move, types.Status(self.desk.status), types.Status(status))
        assert self._words(self.desk.out) == out, move
        self._compare()
        self.sent.extend(self.desk.places)

    def _now(self) -> int:
        return START + self.desk.now

    def _quote(self, by: int, wide: int, symbol: int, wishes: list[tuple[Any, ...]]) -> Any:
        symbol %= self.symbols
        self.mid += by
        stated: dict[tuple[int, bool], dict[str, int]] = {}
        for tag, sell, kind, qty, away, tif, flags, stop in wishes:
            way = 1 if sell else -1
            px = self.mid + way * 2 + away
            stated[tag, sell] = {
                "kind": kind, "px_ticks": px, "qty_lots": qty, "type": 0, "tif": tif, "flags": flags,
                "stop_px_ticks": 0 if flags & 2 else px + way * stop,
                # Every third trade has a target as well: nearer than its stop, or beyond it.
                "target_px_ticks": 0 if flags & 2 or stop % 3 else px - way * (stop // 2 + 1), "trigger_px_ticks": 0,
                "trail_ticks": 0, "display_lots": 0, "expire_ns": 0,
            }  # fmt: skip

        # Two sources of its own and the quotes are enough; one is not.
        sources = 1 if by == 0 else 3

        def wish(view: Any, out: Any) -> None:
            out["signal"]["valid"], out["signal"]["sources"] = 1, sources
            for (tag, sell), fields in stated.items():
                for name, value in fields.items():
                    out["ask" if sell else "bid"][tag][name] = value

        for strategy in range(self.strategies):
            self.desk.wish[strategy] = wish
            self.twin.decide[strategy] = lambda: stated
        if self.twin.judge:
            # A signal is heard when its strategy is called, and stands until the next.
            called = [i for i, at in enumerate(self.twin.symbol_of) if at == symbol]
            running = [i for i in called if not self.twin.rows[i].state["stopped"]]
            self.twin.judge.said.update(dict.fromkeys(running, sources))
        self.desk.quote(self.mid, self.mid + wide, symbol=symbol)
        return self.twin.step(Kind.KIND_QUOTE, now=self._now(), symbol=symbol, bid=self.mid, ask=self.mid + wide)

    def _order(self, at: int) -> Any:
        if not self.sent:
            empty = np.zeros(1, types.INTENT)
            empty["id_order"], empty["px_ticks"], empty["qty_lots"] = 5, 50_000, 1
            return empty[0]
        return self.sent[-1 - at % len(self.sent)]

    def _about(self, order: Any, **words: Any) -> dict[str, Any]:
        sell = bool(int(order["flags"]) & Flag.FLAG_SELL)
        return {"now": self._now(), "symbol": int(order["symbol"]), "sell": sell, "id_order": int(order["id_order"]),
                "px": int(order["px_ticks"])} | words  # fmt: skip

    def _leg(self, order: Any) -> Any:
        """The record of a bracket's order. Of those the venue contradicts itself in no word: what has ended trades no
        more, and nothing grows that was not asked to. That is what a bracket's worst case rests on."""
        o = self.twin.orders.records.get(int(order["id_order"]))
        return o if o is not None and o.terms["bracket"] else None

    def _report(self, at: int, kind: int, told: int) -> Any:
        order = self._order(at)
        leg = self._leg(order)
        if leg is not None and not leg.live:
            told = min(told, leg.told)
        self.desk.report(kind, order, filled_lots=told)
        return self.twin.step(kind, **self._about(order, told=told))

    def _fill(self, at: int, lots: int, again: int) -> Any:
        order = self._order(at)
        leg = self._leg(order)
        if leg is not None and leg.terms["leg"] and not leg.live:
            return self._report(at, Kind.KIND_ORDER_ACK, 0)
        self.trades += again != 0
        self.desk.report(Kind.KIND_ORDER_FILL, order, qty_lots=lots, id_venue=self.trades)
        return self.twin.step(Kind.KIND_ORDER_FILL, **self._about(order, qty=lots, id_venue=self.trades))

    def _replaced(self, at: int, lots: int) -> Any:
        order = self._order(at)
        leg = self._leg(order)
        if leg is not None:
            lots = min(lots, leg.bound)
        # An order at market, triggered or not, has no price to be changed to.
        px = int(order["px_ticks"]) if terms_of(order)[0] == OrderType.TYPE_LIMIT else 0
        self.desk.report(Kind.KIND_ORDER_REPLACED, order, qty_lots=lots, px_ticks=px)
        return self.twin.step(Kind.KIND_ORDER_REPLACED, **self._about(order, qty=lots, px=px))

    def _fee(self, at: int, amount: int, base: int) -> Any:
        order = self._order(at)
        about = self._about(order)
        self.desk.say(Kind.KIND_FEE, types.FEE, symbol=about["symbol"], flags=4 * about["sell"],
                      id_order=about["id_order"], id_trade=self.trades, asset=base * (1 + about["symbol"]),
                      amount=amount)  # fmt: skip
        return self.twin.step(
            Kind.KIND_FEE,
            **(about | {"now": self._now(), "id_trade": self.trades, "amount": amount}),
            asset=base * (1 + about["symbol"]),
        )

    def _timer(self, by: int) -> Any:
        self.desk.timer(by=by)
        return self.twin.step(Kind.KIND_TIMER, now=self._now())

    def _feed(self, feed: int, up: int) -> Any:
        self.desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=feed, up=up)
        return self.twin.step(Kind.KIND_FEED, now=self._now(), feed=feed, up=up)

    def _halt(self, symbol: int, halted: int) -> Any:
        self.desk.say(Kind.KIND_SYMBOL, types.SYMBOL, symbol=symbol % self.symbols, halt=halted)
        return self.twin.step(Kind.KIND_SYMBOL, now=self._now(), symbol=symbol % self.symbols, halt=halted)

    def _control(self, mode: int, who: int, aggressive: bool, agree: bool, latch: int) -> Any:
        equity = self.desk.world.account()["equity"] if agree else 0
        words = {"latch": latch, "mode": mode, "who": who, "aggressive": int(aggressive), "equity": equity}
        self.desk.control(**words)
        return self.twin.step(Kind.KIND_CONTROL, now=self._now(), **words)

    def _denied(self, mask: int) -> Any:
        record = np.zeros(1, types.EVENT)
        self.desk.now += 1
        record["kind"], record["ts_recv_ns"] = Kind.KIND_DENIED, self._now()
        record["word"][0, 0] = mask
        self.desk.step(record)
        return self.twin.step(Kind.KIND_DENIED, now=self._now(), denied=mask)

    def _position(self, symbol: int, off: int) -> Any:
        symbol %= self.symbols
        lots = int(self.desk.world.positions()["lots"][symbol]) + off
        self.desk.say(Kind.KIND_POSITION, types.POSITION, symbol=symbol, lots=lots)
        return self.twin.step(Kind.KIND_POSITION, now=self._now(), symbol=symbol, lots=lots)

    def _strategy(self, act: int, reason: int) -> Any:
        record = np.zeros(1, types.EVENT)
        self.desk.now += 1
        record["kind"], record["ts_recv_ns"] = Kind.KIND_STRATEGY, self._now()
        record["word"][0, :3] = (0, act, reason)
        self.desk.step(record)
        return self.twin.step(Kind.KIND_STRATEGY, now=self._now(), strategy=0, act=act, reason=reason)

    # -------------------------------------------------------------------------------------------------------- comparing
    @staticmethod
    def _words(out: Any) -> list[tuple[Any, ...]]:
        words: list[tuple[Any, ...]] = []
        for raw in out:
            kind = Kind(int(raw["kind"]))
            if kind == Kind.KIND_DECISION:
                r = raw.reshape(1).view(types.DECISION)[0]
                origin = int(r["origin"])
                who = (origin & 0xFFFF, origin >> 16 & 0xFFFF, origin >> 32)
                what = tuple(int(r[name]) for name in ("px_ticks", "qty_lots", "reasons", "headroom_lots"))
                said = "observed" if r["flags"] & DecisionFlag.DECISION_OBSERVED else kind
                words.append((said, *who, bool(r["flags"] & 4), *what))
            elif kind == Kind.KIND_MODE:
                r = raw.reshape(1).view(types.MODE)[0]
                names = ("symbol", "mode", "phase", "outcome", "action", "value")
                words.append((kind, *(int(r[name]) for name in names)))
            elif kind == Kind.KIND_INTENT_TERMS:
                r = raw.reshape(1).view(types.INTENT_TERMS)[0]
                names = ("symbol", "id_order", "trigger_px_ticks", "trail_ticks", "display_lots", "expire_ns")
                words.append((kind, bool(r["flags"] & Flag.FLAG_SELL), *(int(r[name]) for name in names)))
            elif kind == Kind.KIND_BRACKET:
                r = raw.reshape(1).view(types.BRACKET)[0]
                names = ("bracket", "phase", "phase_before", "held_lots", "strategy")
                words.append((kind, int(r["symbol"]), bool(r["flags"] & Flag.FLAG_SELL), *(int(r[n]) for n in names)))
            elif kind == Kind.KIND_INCIDENT:
                r = raw.reshape(1).view(types.INCIDENT)[0]
                words.append((kind, int(r["what"]), int(r["symbol"]), int(r["id_order"])))
            else:
                r = raw.reshape(1).view(types.INTENT)[0]
                words.append((kind, bool(r["flags"] & Flag.FLAG_SELL), int(r["symbol"]), int(r["id_order"]),
                              int(r["px_ticks"]), int(r["qty_lots"]), *terms_of(r)))  # fmt: skip
        return words

    def _compare(self) -> None:
        world, twin = self.desk.world, self.twin
        live = {int(o["id_order"]): o for o in world.live_orders()}
        assert set(live) == {i for i, o in twin.orders.records.items() if o.live}
        for i, o in live.items():
            t = twin.orders.records[i]
            assert (o["state"], o["qty_lots"], o["filled_lots"], o["px_ticks"]) == (t.state, t.qty, t.filled, t.px)
        assert world.positions()["lots"].tolist() == twin.lots
        assert world.assets()["balance"][0, 0] == twin.ledger.balance(0, 0)
        assert world.assets()["balance"][0, 4] == twin.ledger.balance(0, 4)
        rows, account = world.gate_symbols(), world.account()
        for symbol in range(self.symbols):
            expected = twin.gate.symbol(symbol)
            found = {name: int(rows[name][symbol]) for name in expected}
            # The kernel keeps who halted it, a bit each; the gate asks whether anybody did.
            assert found | {"halted": int(found["halted"] != 0)} == expected
        assert {name: world.modes[name] for name in ("mode", "phase", "outcome", "steps")} == {
            name: twin.modes.state[name] for name in ("mode", "phase", "outcome", "steps")
        }
        expected = twin.gate.account_values()
        assert {name: account[name] for name in expected} == expected
        strategies = world.strategies()
        for strategy in range(self.strategies):
            expected = twin.rows[strategy].state
            assert {name: int(strategies[name][strategy]) for name in expected} == expected
        if twin.brackets:
            self._compare_brackets()
        # The verdicts are among the words of every event; the statistics behind them are dear to read.
        if twin.judge and world.event_count % 8 == 0:
            table = Discipline.load(world.discipline())
            table.check()
            assert table.cooldowns() == twin.judge.table.cooldowns()
            assert table.counts == twin.judge.table.counts
            samples = [table.statistics(i)["sum_e8"] for i in range(self.strategies)]
            assert samples == [twin.judge.table.statistics(i)["sum_e8"] for i in range(self.strategies)]

    def _compare_brackets(self) -> None:
        world, twin = self.desk.world, self.twin
        assert twin.brackets is not None
        twin.brackets.check()
        rows = {int(row["handle"]): row for row in world.brackets()}
        assert set(rows) == {b.handle for b in twin.brackets.slots if b is not None}
        for handle, row in rows.items():
            assert bracket_facts(row) == twin.brackets.facts(handle)
        symbols = world.symbols()
        assert symbols["unprotected_lots"].tolist() == twin.unprotected
        assert symbols["stop_px_ticks"].tolist() == twin.stop_px


def bracket_facts(row: Any) -> dict[str, Any]:
    """A bracket's row in the words of the twin."""
    legs = row["legs"]
    out = sum(legs[i]["total_lots"] for i in (1, 2, 3))
    names = ("handle", "phase", "flags", "base_lots", "over_lots", "outside_lots", "qty_lots", "deadline_ns", "lates",
             "incidents")  # fmt: skip
    leg = ("id_order", "qty_lots", "filled_lots", "total_lots", "state", "places", "asks")
    held = row["base_lots"] + legs[0]["total_lots"] + row["over_lots"] - out - row["outside_lots"]
    return {name: int(row[name]) for name in names} | {
        "held_lots": held, "legs": [tuple(int(one[name]) for name in leg) for one in legs]
    }  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_agree_after_every_event(suite):
    @settings(
        max_examples=CASES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
    )
    @given(st.lists(MOVE, min_size=1, max_size=25))
    def run(moves: list[tuple[Any, ...]]) -> None:
        pair = Pair(**SUITES[suite])
        try:
            for move in moves:
                pair.act(move)
            assert pair.desk.world.event_count == len(moves)
        finally:
            pair.desk.close()

    run()


def test_a_core_is_bound_to_the_world_it_was_made_with():
    desk = Desk()
    assert isinstance(desk.core, Core)
    assert desk.core.world is desk.world

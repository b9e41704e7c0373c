"""Twin of the step: the order path and the money path over the stems' own twins, one plain function an event.

Covers quotes, wishes of limit orders (place, amend, cancel) alone and with their brackets, own limits, the rules on
signals, the gate with its rates, reports in any order, fills, fees, deadlines, connections, halts, forced stops,
strategies' stops, the latch and the modes with their plans. Four layers, each calling downward: step_orders (gate and
wire), step_brackets, step_plans (deadlines, protection, modes), and here what an event means. Triggers, slices, routes,
correlation and books are sections with proofs of their own; a world without them is what this twin describes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine._core.order_table import OrderEvent as On
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderType
from engine._core.strategy import StopReason, StrategyRule
from engine._core.strategy_abi import WISH
from engine._core.types import Can, Feed, Incident, Kind, Stage, Status
from engine.errors import StrategyBadAct
from engine.model.step_orders import NOBODY, Asked
from engine.model.step_plans import PlanSide

KEEP, REST = 0, 1
SAYS = {
    Kind.KIND_ORDER_ACK: On.ON_ACK, Kind.KIND_ORDER_CANCELED: On.ON_CANCELED, Kind.KIND_ORDER_REJECTED: On.ON_REJECT,
    Kind.KIND_ORDER_EXPIRED: On.ON_EXPIRE, Kind.KIND_ORDER_CANCEL_REFUSED: On.ON_CANCEL_REFUSED,
    Kind.KIND_ORDER_CANCEL_TOO_LATE: On.ON_CANCEL_TOO_LATE, Kind.KIND_ORDER_CANCEL_NO_ORDER: On.ON_CANCEL_NO_ORDER,
    Kind.KIND_ORDER_REPLACE_REFUSED: On.ON_REPLACE_REFUSED, Kind.KIND_ORDER_REPLACE_NO_ORDER: On.ON_REPLACE_NO_ORDER,
    Kind.KIND_ORDER_ABSENT: On.ON_ABSENT, Kind.KIND_ORDER_LOST: On.ON_TIMEOUT,
}  # fmt: skip
Decide = Callable[[], dict[tuple[int, bool], dict[str, int]]]


class Step(PlanSide):
    """One world. `step` takes an event as a dictionary and answers (status, what came out)."""

    def __init__(self, *, strategies: int, **shape: Any) -> None:
        super().__init__(strategies=strategies, **shape)
        self.decide: list[Decide] = [dict for _ in range(strategies)]

    # ---------------------------------------------------------------------------------------------------------- events
    def step(self, kind: int, **e: Any) -> tuple[int, list[tuple[Any, ...]]]:
        self.out = []
        self.now = max(self.now, e["now"])
        if kind == Kind.KIND_QUOTE:
            self.touch[e["symbol"]] |= {
                "bid": e["bid"], "ask": e["ask"], "ts": self.now, "trusted": int(0 < e["bid"] < e["ask"]),
            }  # fmt: skip
            self._expose(e["symbol"])
            if self.judge and self.touch[e["symbol"]]["trusted"]:
                self.judge.price(e["symbol"], e["bid"], e["ask"], self.now)
                self._force_stops(e["symbol"])
            for strategy, symbol in enumerate(self.symbol_of):
                if symbol == e["symbol"]:
                    self._run(strategy)
            return Status.OK, self.out
        if kind in {Kind.KIND_ORDER_FILL, Kind.KIND_ORDER_REPLACED, *SAYS}:
            return self._report(kind, e), self.out
        if kind == Kind.KIND_FEE:
            return self._fee(e), self.out
        if kind == Kind.KIND_TIMER:
            self._timer()
            return Status.OK, self.out
        if kind == Kind.KIND_SYMBOL:
            self.touch[e["symbol"]]["halted"] = e["halt"]
            self._expose(e["symbol"])
            return Status.OK, self.out
        if kind == Kind.KIND_FEED:
            self._feed(e["feed"], e["up"])
            return Status.OK, self.out
        if kind == Kind.KIND_CONTROL:
            return self._control(e), self.out
        if kind == Kind.KIND_DENIED:
            self.gate.set_account(breaker_denied=e["denied"])
            return Status.OK, self.out
        if kind == Kind.KIND_POSITION:
            self._position(e["symbol"], e["lots"])
            return Status.OK, self.out
        return self._strategy(e), self.out

    # ---------------------------------------------------------------------------------------------------------- wishes
    def _passes_own(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> bool:
        own = [(side, self.orders.records[i]) for (_, side), i in self.held[strategy].items() if i]
        open_lots = sum(o.qty - o.filled for side, o in own if side == sell)
        record = np.zeros(1, WISH)[0]
        for name, value in wish.items():
            record[name] = value
        ok, reasons = self.rows[strategy].check_limits(
            record, sell, own_open_lots=open_lots, own_order_count=len(own), now_ns=self.now
        )
        if not ok:
            ask = {"sell": sell, "px_ticks": wish["px_ticks"], "qty_lots": wish["qty_lots"]}
            self._deny(strategy, tag, Stage.STAGE_STRATEGY, ask, reasons)
        return ok

    def _disciplined(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> bool:
        """The rules that protect from people. What an observing validator has against a signal is told once."""
        if self.judge is None:
            return True
        symbol, account = self.symbol_of[strategy], self.gate.account
        passes, verdict = self.judge.check(
            self.now, strategy, symbol, sell, wish, touch=self.touch[symbol], lots=self.lots[symbol],
            equity=account["equity"], share_ppm=self.gate.limits["position_share_ppm"],
            value_q32=self.gate.rows[symbol]["value_q32"], stop=self.stop_px[symbol],
        )  # fmt: skip
        ask = {"sell": sell, "px_ticks": wish["px_ticks"], "qty_lots": wish["qty_lots"]}
        if not passes:
            self._deny(strategy, tag, Stage.STAGE_DISCIPLINE, ask, verdict["reasons"])
            return False
        if not verdict["reducing"]:
            account["position_scale_ppm"] = verdict["scale_ppm"]
        if verdict["news"]:
            self._deny(strategy, tag, Stage.STAGE_DISCIPLINE, ask, verdict["observed"], wish["qty_lots"])
            self.out[-1] = ("observed", *self.out[-1][1:])
        return True

    def _place(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> int:
        symbol = self.symbol_of[strategy]
        if not self._passes_own(strategy, tag, sell, wish):
            return 0
        tif, reduces = self._entry_tif(wish), bool(wish["flags"] & 2)
        nets = self.rows[strategy].limits.get("nets", 0)
        bracketed = bool(self.brackets and wish["stop_px_ticks"] > 0 and not reduces and not nets)
        # A target is part of the trade that was asked for: without brackets nobody would place it.
        if not self._carries(int(OrderType.TYPE_LIMIT), tif) or (wish["target_px_ticks"] and not bracketed):
            ask = {"sell": sell, "px_ticks": wish["px_ticks"], "qty_lots": wish["qty_lots"]}
            self._deny(strategy, tag, Stage.STAGE_STRATEGY, ask, 1 << StrategyRule.STRATEGY_RULE_CARRY)
            return 0
        if not self._disciplined(strategy, tag, sell, wish):
            return 0
        if bracketed:
            id_order = self._open_bracket(strategy, tag, sell, symbol, wish, tif)
        else:
            id_order = self._put(Asked(
                symbol, strategy, tag, sell, wish["qty_lots"], px=wish["px_ticks"], protect=wish["stop_px_ticks"],
                tif=tif, lane="reduce" if reduces else "normal", reduces=reduces,
            ))  # fmt: skip
        if id_order:
            self.rows[strategy].placed()
        return id_order

    def _run(self, strategy: int) -> None:
        row = self.rows[strategy]
        if row.state["stopped"]:
            self._take_back_all(strategy)
            return
        for (tag, sell), wish in sorted(self.decide[strategy]().items()):
            if wish["kind"] != KEEP:
                self.held[strategy][tag, sell] = self._grant(strategy, tag, sell, wish)
        if row.state["stopped"]:
            self._take_back_all(strategy)

    def _take_back_all(self, strategy: int) -> None:
        for _, id_order in sorted(self.held[strategy].items()):
            if id_order:
                self._take_back(id_order)

    def _grant(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> int:
        id_order = self.held[strategy].get((tag, sell), 0)
        if not id_order:
            return self._place(strategy, tag, sell, wish) if wish["kind"] == REST else 0
        o = self.orders.records[id_order]
        if wish["kind"] == REST:
            if o.qty - o.filled == wish["qty_lots"] and o.px == wish["px_ticks"]:
                return id_order
            down = wish["px_ticks"] == o.px and wish["qty_lots"] < o.qty - o.filled
            able = self.can & Can.CAN_AMEND or (self.can & Can.CAN_AMEND_DOWN and down)
            settled = o.state in (State.STATE_OPEN, State.STATE_PARTIAL)
            if (
                able
                and settled
                and not o.terms["bracket"]
                and self._passes_own(strategy, tag, sell, wish)
                and self._disciplined(strategy, tag, sell, wish)
                and self._amend(id_order, wish["px_ticks"], o.filled + wish["qty_lots"], wish["stop_px_ticks"])
            ):
                return id_order
        self._take_back(id_order)
        return self.held[strategy].get((tag, sell), 0)

    # --------------------------------------------------------------------------------------------------------- reports
    def _fill(self, e: dict[str, Any]) -> int:
        sell, symbol = bool(e["sell"]), e["symbol"]
        status = self.orders.fill(e["id_order"], trade=e["id_venue"], qty=e["qty"], px=e["px"], told=e.get("told", 0),
                                  symbol=symbol, sell=int(sell), now=self.now)  # fmt: skip
        if status in (Status.ORDER_MISMATCH, Status.ORDER_OVERFILL):
            self._incident(Incident.INCIDENT_TERMS, symbol, e["id_order"])
            self.unreconciled = True
        if status not in (Status.OK, Status.ORDER_LATE_FILL, Status.ORDER_UNKNOWN_ID):
            return status
        self.ledger.fill(symbol, sell, e["px"], e["qty"], now_ns=self.now)
        self.lots[symbol] += -e["qty"] if sell else e["qty"]
        if status == Status.ORDER_UNKNOWN_ID:
            self._incident(Incident.INCIDENT_UNKNOWN_FILL, symbol, e["id_order"])
        elif status == Status.ORDER_LATE_FILL:
            self._incident(Incident.INCIDENT_LATE_FILL, symbol, e["id_order"])
        if status != Status.ORDER_UNKNOWN_ID:
            order = self.orders.records[e["id_order"]]
            strategy = order.terms["strategy"]
            if strategy != NOBODY:
                before = self.rows[strategy].state["position_lots"]
                self.rows[strategy].fill(sell, e["qty"])
                if self.judge:
                    self.judge.filled(self.now, strategy, symbol, sell, e["px"], e["qty"], before,
                                      self.gate.rows[symbol]["value_q32"], self._stop_of(order))  # fmt: skip
        return status

    def _report(self, kind: int, e: dict[str, Any]) -> int:
        o = self.orders.records.get(e["id_order"])
        before = o.state if o else State.STATE_FREE
        if kind == Kind.KIND_ORDER_FILL:
            status = self._fill(e)
        elif o is None:
            self.orders.tally["unknown_id"] += 1
            return Status.ORDER_UNKNOWN_ID
        elif kind == Kind.KIND_ORDER_REPLACED:
            status = self.orders.replaced(e["id_order"], px=e["px"], qty=e["qty"], now=self.now)
        else:
            status = self.orders.apply(e["id_order"], SAYS[Kind(kind)], told=e.get("told", 0), now=self.now)
        row = self.gate.rows[e["symbol"]]
        if status == Status.OK and kind == Kind.KIND_ORDER_REJECTED:
            row["rejects_in_a_row"] += 1
        if status == Status.OK and kind == Kind.KIND_ORDER_ACK:
            row["rejects_in_a_row"] = 0
        self._expose(e["symbol"])
        filled = 0
        if kind == Kind.KIND_ORDER_FILL and status in (Status.OK, Status.ORDER_LATE_FILL):
            filled = e["qty"]
        if o is not None and o.terms["symbol"] != e["symbol"]:
            self._expose(o.terms["symbol"])
        if o is not None and status != Status.ORDER_DUPLICATE_FILL:
            self._order_changed(o, filled)
            acked = kind == Kind.KIND_ORDER_ACK and status == Status.OK and before != o.state and o.live
            exits = o.terms["bracket"] and o.terms["leg"]
            if acked and not self._passes_again(o.id_order) and not exits:
                self._take_back(o.id_order)
        self._after_report(e["symbol"])
        return status

    def _fee(self, e: dict[str, Any]) -> int:
        key = (e["symbol"], int(bool(e["sell"])), e["id_trade"])
        if key not in self.orders.fills:
            self.orders.tally["unknown_id"] += 1
            return Status.ORDER_UNKNOWN_ID
        if key in self.paid:
            return Status.ORDER_DUPLICATE_FILL
        self.paid.add(key)
        self.ledger.fee(e["asset"], e["amount"])
        order = self.orders.records.get(e["id_order"])
        if self.judge and e["asset"] == 0 and order is not None and order.terms["strategy"] != NOBODY:
            self.judge.charged(order.terms["strategy"], e["amount"])
        if self.cash_only and e["asset"] != 0:
            self._fee_took(order.terms["strategy"] if order is not None else NOBODY, e["symbol"])
            self._after_report(e["symbol"])
        return Status.OK

    # --------------------------------------------------------------------------------------------- feeds, strategies
    def _feed(self, feed: int, up: int) -> None:
        newest_first = [o for o in reversed(self.orders.records.values()) if o.live]
        if up == 2:
            self.unreconciled = False
        elif up == 1:
            self.down.discard(feed)
            self.unreconciled |= feed == Feed.FEED_USER
            for o in newest_first if feed != Feed.FEED_MARKET else ():
                if o.state == State.STATE_UNKNOWN:
                    self._emit(Kind.KIND_INTENT_QUERY, o.id_order, self.sent_px[o.id_order], o.qty - o.filled)
        else:
            self.down.add(feed)
            for o in newest_first if feed != Feed.FEED_MARKET else ():
                if o.state not in (State.STATE_UNKNOWN, State.STATE_OPEN, State.STATE_PARTIAL):
                    self.orders.apply(o.id_order, On.ON_TIMEOUT, now=self.now)
                    self._expose(o.terms["symbol"])
                    self._order_changed(o, 0)
            for touch in self.touch if feed == Feed.FEED_MARKET else ():
                touch["trusted"] = 0
        for symbol in range(len(self.touch)):
            self._expose(symbol)

    def _strategy(self, e: dict[str, Any]) -> int:
        row = self.rows[e["strategy"]]
        before = row.state["stopped"]
        try:
            row.act(e["act"], e["reason"], 0, self.now)
        except StrategyBadAct:
            return Status.STRATEGY_BAD_ACT
        if row.state["stopped"] and not before:
            self._take_back_all(e["strategy"])
        return Status.OK

    def stopped_by_wishes(self, strategy: int) -> bool:
        return self.rows[strategy].state["reason"] == StopReason.STOPPED_WISH

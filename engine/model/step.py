"""Twin of the step: the order path and the money path over the stems' own twins, one plain function an event.

Covers market data with the ingest gate, quotes and books, wishes of every type (place, amend, cancel) alone, with their
brackets, held back by triggers, sliced and routed, own limits, the rules on signals, the gate with its rates and the
correlation, reports in any order, fills, fees, deadlines, connections, halts, forced stops, strategies' stops, what the
account is worth, the latch and the modes with their plans, what a strategy is shown of itself and its peers, the
features that it asked for and what a model says of them, clocks, limits, balances, funding. Layers, each calling
downward: step_gate, step_orders (wire), step_algos, step_brackets, step_plans (deadlines, protection, modes),
step_account, step_size, step_view (step_features beside it), step_wishes, step_market, step_venue, and here what an
event means. Of one venue and one quote asset.
"""

from __future__ import annotations

from typing import Any

from engine._core.order_table import OrderEvent as On
from engine._core.order_table import OrderState as State
from engine._core.strategy import StopReason
from engine._core.types import Feed, Incident, Kind, Status
from engine.errors import StrategyBadAct
from engine.model.step_gate import NOBODY
from engine.model.step_venue import SAID, VenueSide

SAYS = {
    Kind.KIND_ORDER_ACK: On.ON_ACK, Kind.KIND_ORDER_CANCELED: On.ON_CANCELED, Kind.KIND_ORDER_REJECTED: On.ON_REJECT,
    Kind.KIND_ORDER_EXPIRED: On.ON_EXPIRE, Kind.KIND_ORDER_CANCEL_REFUSED: On.ON_CANCEL_REFUSED,
    Kind.KIND_ORDER_CANCEL_TOO_LATE: On.ON_CANCEL_TOO_LATE, Kind.KIND_ORDER_CANCEL_NO_ORDER: On.ON_CANCEL_NO_ORDER,
    Kind.KIND_ORDER_REPLACE_REFUSED: On.ON_REPLACE_REFUSED, Kind.KIND_ORDER_REPLACE_NO_ORDER: On.ON_REPLACE_NO_ORDER,
    Kind.KIND_ORDER_ABSENT: On.ON_ABSENT, Kind.KIND_ORDER_LOST: On.ON_TIMEOUT,
}  # fmt: skip


class Step(VenueSide):
    """One world. `step` takes an event as a dictionary and answers (status, what came out). Market data come as the
    record that they are, `raw`: what is judged in them is its bytes."""

    # ---------------------------------------------------------------------------------------------------------- events
    def step(self, kind: int, **e: Any) -> tuple[int, list[tuple[Any, ...]]]:
        self.out, self.shown = [], []
        self.now = max(self.now, e["now"])
        if "raw" in e:
            return self._market(e["raw"]), self.out
        if kind in {Kind.KIND_ORDER_FILL, Kind.KIND_ORDER_REPLACED, *SAYS}:
            return self._report(kind, e), self.out
        if kind == Kind.KIND_FEE:
            return self._fee(e), self.out
        if kind == Kind.KIND_TIMER:
            self._market_on_time()
            self._revalue()
            self._timer()
            return Status.OK, self.out
        if kind in SAID:
            return self._says(kind, e), self.out
        if kind == Kind.KIND_FEED:
            self._feed(e["feed"], e["up"])
            return Status.OK, self.out
        if kind == Kind.KIND_CONTROL:
            return self._control(e), self.out
        if kind == Kind.KIND_DENIED:
            self.gate.set_account(breaker_denied=e["denied"])
            return Status.OK, self.out
        return self._strategy(e), self.out

    # --------------------------------------------------------------------------------------------------------- reports
    def _fill(self, e: dict[str, Any]) -> int:
        sell, symbol = bool(e["sell"]), e["symbol"]
        status = self.orders.fill(e["id_order"], trade=e["id_venue"], qty=e["qty"], px=e["px"], told=e.get("told", 0),
                                  symbol=symbol, sell=int(sell), now=self.now)  # fmt: skip
        if status in (Status.ORDER_MISMATCH, Status.ORDER_OVERFILL):
            self._incident(Incident.INCIDENT_TERMS, symbol, e["id_order"])
            self.unreconciled = True
            for other in range(len(self.touch)):
                self._expose(other)
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
        if filled or status == Status.ORDER_UNKNOWN_ID:
            self._revalue()
        if o is not None and status != Status.ORDER_DUPLICATE_FILL:
            self._order_changed(o, filled)
            if filled:
                self._guard(o.terms["strategy"], e["symbol"])
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
        if order is not None and order.terms["strategy"] != NOBODY:
            self._charged(order.terms["strategy"], e["asset"], e["amount"])
        self._revalue()
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
                if o.state == State.STATE_UNKNOWN and o.id_order not in self.waiting:
                    self._emit(Kind.KIND_INTENT_QUERY, o.id_order, self.sent_px[o.id_order], o.qty - o.filled)
        else:
            self.down.add(feed)
            for o in newest_first if feed != Feed.FEED_MARKET else ():
                settled = o.state in (State.STATE_UNKNOWN, State.STATE_OPEN, State.STATE_PARTIAL)
                if o.live and not settled and o.id_order not in self.waiting:
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
            row.act(e["act"], e["reason"], e.get("detail", 0), self.now)
        except StrategyBadAct:
            return Status.STRATEGY_BAD_ACT
        if row.state["stopped"] and not before:
            self._take_back_all(e["strategy"])
        return Status.OK

    def stopped_by_wishes(self, strategy: int) -> bool:
        return self.rows[strategy].state["reason"] == StopReason.STOPPED_WISH

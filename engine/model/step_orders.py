"""Twin of the step's way out: an order placed, held back by a trigger of ours, released, amended, taken back."""

from __future__ import annotations

from typing import Any

from engine._core.modes import Mode
from engine._core.order_table import OrderEvent as On
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderFlag, OrderTif, OrderType
from engine._core.risk import Rule
from engine._core.triggers import TriggerKind, TriggerSource
from engine._core.types import Can, Incident, Kind, Stage, Status, TermsFlag
from engine.model.risk import SKIPS
from engine.model.step_gate import NOBODY, NOT_AGAIN, SECOND, WAITS_FOR_A_PRICE, Asked, GateSide

TIF_NEEDS = {
    OrderTif.TIF_IOC: Can.CAN_IOC, OrderTif.TIF_FOK: Can.CAN_FOK, OrderTif.TIF_GTX: Can.CAN_POST,
}  # fmt: skip
TYPE_NEEDS = {
    OrderType.TYPE_MARKET: Can.CAN_MARKET, OrderType.TYPE_STOP: Can.CAN_STOP,
    OrderType.TYPE_STOP_LIMIT: Can.CAN_STOP_LIMIT, OrderType.TYPE_TAKE_PROFIT: Can.CAN_TAKE,
    OrderType.TYPE_TAKE_PROFIT_LIMIT: Can.CAN_TAKE_LIMIT, OrderType.TYPE_TRAILING: Can.CAN_TRAILING,
    OrderType.TYPE_ICEBERG: Can.CAN_ICEBERG,
}  # fmt: skip
NEITHER, VENUE, OURS = 0, 1, 2  # who carries an order


class OrderSide(GateSide):
    # --------------------------------------------------------------------------------------------------------- placing
    def _carries(self, kind: int, tif: int, px: int = 1) -> int:
        """Whether the venue takes it, or a trigger of ours stands in: what comes out of that must be what it takes."""
        if kind != OrderType.TYPE_MARKET and TIF_NEEDS.get(OrderTif(tif), 0) & ~self.can:
            return NEITHER
        if not TYPE_NEEDS.get(OrderType(kind), 0) & ~self.can:
            return VENUE
        if not self.triggers or kind in (OrderType.TYPE_MARKET, OrderType.TYPE_ICEBERG):
            return NEITHER
        return OURS if px or self.can & Can.CAN_MARKET else NEITHER

    def _judged_px(self, p: Asked) -> int:
        return p.px or p.trigger or self.gate.rows[p.symbol]["bid_px_ticks" if p.sell else "ask_px_ticks"]

    def _put(self, p: Asked) -> int:
        """Gate, create and emit one order; 0 when it was refused."""
        px = self._judged_px(p)
        ask = self._ask(p.symbol, p.sell, px, p.qty, p.protect, p.lane)
        ask["duplicate"] = self.orders.find_key(strategy=p.strategy, symbol=p.symbol, sell=p.sell, tag=p.tag) != 0
        failed = self._failed(ask, sibling=p.sibling, armed=p.type in WAITS_FOR_A_PRICE)
        if failed:
            self._deny_by_gate(p.strategy, p.tag, ask, failed)
            return 0
        status, id_order, how = 0, 0, self._carries(p.type, p.tif, p.px)
        if how != NEITHER:
            flags = (OrderFlag.ORDER_REDUCE_ONLY if p.reduces else 0) | (OrderFlag.ORDER_EMULATED if how == OURS else 0)
            status, id_order = self.orders.create(
                symbol=p.symbol, strategy=p.strategy, tag=p.tag, sell=int(p.sell), type=p.type, tif=p.tif, px=p.px,
                px_stop=p.trigger, qty=p.qty, flags=int(flags), bracket=p.bracket, leg=p.leg, display=p.display,
                expire=p.expire, signal=p.signal, now=self.now,
            )  # fmt: skip
        if not id_order or status != Status.OK:
            self._deny(p.strategy, p.tag, Stage.STAGE_ORDERS, ask, int(status))
            return 0
        self.gate.place(self.now, **ask)
        self.orders.send(id_order, now=self.now)
        self.sent_px[id_order] = px
        if how == VENUE:
            self._send(id_order, p, px)
        elif not self._hold_back(id_order, p):
            self.orders.apply(id_order, On.ON_CANCELED, now=self.now)
            self._deny(p.strategy, p.tag, Stage.STAGE_ORDERS, ask, 0)
            id_order = 0
        self._expose(p.symbol)
        return id_order

    def _send(self, id_order: int, p: Asked, px: int) -> None:
        """The intent, and beside it whatever a price and a quantity do not say."""
        dated = p.tif == OrderTif.TIF_GTD and bool(self.can & Can.CAN_GTD)
        undated = p.tif == OrderTif.TIF_GTD and not dated
        self._emit(Kind.KIND_INTENT_PLACE, id_order, px, p.qty, tif=int(OrderTif.TIF_GTC) if undated else p.tif)
        if p.trigger or p.trail or p.display or dated:
            self.out.append((Kind.KIND_INTENT_TERMS, p.sell, p.symbol, id_order, p.trigger, p.trail, p.display,
                             p.expire if dated else 0))  # fmt: skip

    # ---------------------------------------------------------------------------------------------------- held back
    def _hold_back(self, id_order: int, p: Asked) -> bool:
        """Let a trigger of ours wait for the price. The record then stands as if the venue had it."""
        assert self.triggers is not None
        trailing = p.type == OrderType.TYPE_TRAILING
        stop = p.type in (OrderType.TYPE_STOP, OrderType.TYPE_STOP_LIMIT)
        kind = (
            TriggerKind.TRIGGER_TRAILING
            if trailing
            else TriggerKind.TRIGGER_STOP
            if stop
            else TriggerKind.TRIGGER_TAKE_PROFIT
        )
        status, handle = self.triggers.add(
            kind=int(kind), qty=p.qty, px_stop=0 if trailing else p.trigger, px=p.px, trail=p.trail if trailing else 0,
            symbol=p.symbol, strategy=p.strategy, tag=p.tag, sell=int(p.sell), source=int(TriggerSource.SOURCE_TOUCH),
            reduce_only=int(p.reduces), now=self.now,
        )  # fmt: skip
        if status != Status.OK:
            return False
        self.waiting[id_order] = handle
        self.orders.apply(id_order, On.ON_ACK, now=self.now)
        return True

    def _fire(self, id_order: int, sibling: Any = None) -> None:
        """Its price was reached: gated anew, then let go, or it ends here."""
        o = self.orders.records[id_order]
        t, sell = o.terms, bool(o.terms["sell"])
        self.waiting.pop(id_order)
        px, left = o.px or self.gate.rows[t["symbol"]]["bid_px_ticks" if sell else "ask_px_ticks"], o.qty - o.filled
        ask = self._ask(t["symbol"], sell, px, left, px + 1 if sell else px - 1, self._lane_of(o))
        failed = self._failed(ask, o, sibling=sibling)
        if failed:
            self._deny_by_gate(t["strategy"], t["tag"], ask, failed)
            self.orders.apply(id_order, On.ON_CANCEL_ASKED, now=self.now)
            self.orders.apply(id_order, On.ON_CANCELED, now=self.now)
            self._expose(t["symbol"])
            return
        self._commit(t["symbol"])
        self.orders.apply(id_order, On.ON_FIRE, now=self.now)
        self.sent_px[id_order] = px
        kind, tif = (OrderType.TYPE_LIMIT, OrderTif.TIF_GTC) if o.px else (OrderType.TYPE_MARKET, OrderTif.TIF_IOC)
        self._emit(Kind.KIND_INTENT_PLACE, id_order, px, left, kind=int(kind), tif=int(tif))
        self._expose(t["symbol"])

    # ------------------------------------------------------------------------------------------ intents, later words
    def _emit(self, what: Kind, id_order: int, px: int, qty: int, *, kind: int | None = None,
              tif: int | None = None) -> None:  # fmt: skip
        """An intent of an order. What a trigger let go is of another type than its record."""
        t = self.orders.records[id_order].terms
        kind, tif = t["type"] if kind is None else kind, t["tif"] if tif is None else tif
        flags = 0
        if what in (Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_AMEND):
            flags |= TermsFlag.TERMS_POST_ONLY if t["tif"] == OrderTif.TIF_GTX else 0
            reduces = t["flags"] & OrderFlag.ORDER_REDUCE_ONLY and self.can & Can.CAN_REDUCE
            flags |= TermsFlag.TERMS_REDUCE_ONLY if reduces else 0
            flags |= TermsFlag.TERMS_CLOSING if t["strategy"] == NOBODY else 0
        self.out.append((what, bool(t["sell"]), t["symbol"], id_order, px, qty, kind, tif, int(flags)))

    def _cancel(self, id_order: int) -> bool:
        """Ask for its end. True when it has ended here and now, because nothing of it had left."""
        o = self.orders.records[id_order]
        if o.state == State.STATE_PENDING_CANCEL:
            return False
        if self.orders.apply(id_order, On.ON_CANCEL_ASKED, now=self.now) != Status.OK:
            return False
        if id_order in self.waiting:
            assert self.triggers is not None
            self.triggers.cancel(self.waiting.pop(id_order))
            self.orders.apply(id_order, On.ON_CANCELED, now=self.now)
            self._expose(o.terms["symbol"])
            return True
        self.gate.cancel(self.now, o.terms["symbol"])
        self._emit(Kind.KIND_INTENT_CANCEL, id_order, self.sent_px[id_order], o.qty - o.filled)
        return False

    def _amend(self, id_order: int, px: int, qty: int, protect: int, sibling: Any = None) -> bool:
        """To another price and whole quantity, gated anew. A stop at market keeps the price it was judged by."""
        o = self.orders.records[id_order]
        t, judged = o.terms, px or self.sent_px[id_order]
        ask = self._ask(t["symbol"], bool(t["sell"]), judged, qty, protect, self._lane_of(o))
        failed = self._failed(ask, o, o.filled, sibling=sibling)
        if failed:
            self._deny_by_gate(t["strategy"], t["tag"], ask, failed)
            return False
        if self.orders.ask_replace(id_order, px=px, qty=qty, now=self.now) != Status.OK:
            return False
        if id_order in self.waiting:
            # Nothing of it has left, so it is what it shall be at once.
            assert self.triggers is not None
            self.triggers.resize(self.waiting[id_order], qty - o.filled, now=self.now)
            self.orders.replaced(id_order, px=px, qty=qty, now=self.now)
            self._expose(t["symbol"])
            return True
        self._commit(t["symbol"])
        self.sent_px[id_order] = judged
        self._emit(Kind.KIND_INTENT_AMEND, id_order, judged, qty)
        self._expose(t["symbol"])
        return True

    def _commit(self, symbol: int) -> None:
        """What a placed order takes out of the rates."""
        g, row = self.gate, self.gate.rows[symbol]
        g.orders_tat_ns = g._take(g.orders_tat_ns, self.now, SECOND, g.limits["orders_per_second"])
        row["churn_tat_ns"] = g._take(row["churn_tat_ns"], self.now, 60 * SECOND, g.limits["churn_per_minute"])

    def _passes_again(self, id_order: int) -> bool:
        """The gate again on the ack; what would not pass is an incident."""
        o = self.orders.records[id_order]
        t, px = o.terms, self.sent_px[id_order]
        if o.qty - o.filled <= 0:
            return True
        ask = self._ask(t["symbol"], bool(t["sell"]), px, o.qty - o.filled, px + 1 if t["sell"] else px - 1,
                        self._lane_of(o))  # fmt: skip
        failed = self._failed(ask, o)
        if any(failed >> int(Rule["RULE_" + name]) & 1 for name in self._asked_again(ask)):
            self._incident(Incident.INCIDENT_GATE_ON_ACK, t["symbol"], id_order)
            return False
        return True

    def _asked_again(self, ask: dict[str, Any]) -> set[str]:
        """Limits, exposure, positions, latch; not what asks for data that may be merely not there yet."""
        rules = {rule.name.removeprefix("RULE_") for rule in Rule if rule != Rule.RULE_COUNT}
        room = self.gate.headroom(self.now, ask)
        if room["BOOK_UNTRUSTED"] < 0 or room["BOOK_STALE"] < 0:
            rules -= {"PX_PERCENT", "PX_BAND", "LIQUIDATION"}
        if self.gate.account["mode"] == Mode.MODE_PAUSED:
            rules -= {"MODE"}
        touch = self.touch[ask["symbol"]]
        if not (touch["halted"] or touch["books"] or touch["other"] or touch["data"]):
            rules -= {"SYMBOL_HALTED"}
        return rules - NOT_AGAIN - SKIPS[ask["lane"]]

    def _newest_first(self, symbol: int) -> list[Any]:
        return [o for o in reversed(self.orders.records.values()) if o.live and o.terms["symbol"] == symbol]

    def _incident(self, what: Incident, symbol: int, id_order: int) -> None:
        self.out.append((Kind.KIND_INCIDENT, what, symbol, id_order))

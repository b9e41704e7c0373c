"""Twin of the step's way out: what is exposed, the gate's questions, an order placed, amended, taken back.

The lowest of four layers, like the kernel's: orders, then brackets, then plans, then events; each calls downward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine._core.modes import Mode
from engine._core.order_table import OrderEvent as On
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderFlag, OrderTif, OrderType
from engine._core.risk import Rule
from engine._core.types import Can, Feed, Incident, Kind, Stage, Status, TermsFlag
from engine.model.brackets import Brackets
from engine.model.ledger import Ledger
from engine.model.modes import Modes
from engine.model.orders import Orders
from engine.model.risk import SKIPS, Gate
from engine.model.step_discipline import Judge
from engine.model.strategy import Row

SECOND = 10**9
NOBODY, EVERY = 0xFFFF, 0xFFFF  # no strategy: the engine itself; no one symbol: all of them
TIF_NEEDS = {
    OrderTif.TIF_IOC: Can.CAN_IOC, OrderTif.TIF_FOK: Can.CAN_FOK, OrderTif.TIF_GTX: Can.CAN_POST,
}  # fmt: skip
TYPE_NEEDS = {
    OrderType.TYPE_MARKET: Can.CAN_MARKET, OrderType.TYPE_STOP: Can.CAN_STOP,
    OrderType.TYPE_STOP_LIMIT: Can.CAN_STOP_LIMIT,
}  # fmt: skip
# The kernel's own: docs/kernels/brackets.md.
BRACKET_RULES = {
    "protect_ns": 3 * SECOND, "unwind_ns": 5 * SECOND, "close_ns": 10 * SECOND, "alarm_ns": 30 * SECOND,
    "places_max": 64, "unwinds_max": 5, "asks_max": 3, "lates_max": 3,
}  # fmt: skip
WAITS_FOR_A_PRICE = (OrderType.TYPE_STOP, OrderType.TYPE_STOP_LIMIT, OrderType.TYPE_TRAILING)
# On the ack the order is already among the live ones: what counts orders and rates would count it twice. And it rests
# already: what is not known just now is no reason to take it back.
NOT_AGAIN = {
    "ORDER_RATE", "CHURN", "OPEN_ORDERS_SYMBOL", "OPEN_ORDERS_ALL", "DUPLICATE_INTENT", "SELF_TRADE", "SIGNAL_STALE",
    "NOT_REDUCING", "NOT_OWNED", "BOOK_UNTRUSTED", "BOOK_STALE", "EQUITY_STALE", "CLOCK_DRIFT", "REJECTS", "BREAKER",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What somebody wants placed."""

    symbol: int
    strategy: int
    tag: int
    sell: bool
    qty: int
    px: int = 0  # 0: at market, also when triggered
    trigger: int = 0
    protect: int = 0  # the stop that an entry states: for the gate
    type: int = 0
    tif: int = 0
    lane: str = "normal"
    reduces: bool = False
    bracket: int = 0
    leg: int = 0
    sibling: Any = None  # another exit over the same position, of which only one will fill


class OrderSide:
    def __init__(self, *, symbols: int, strategies: int, orders: int, can: int, account: dict[str, int],
                 limits: dict[str, int], gate_symbol: dict[str, int], own: dict[str, int], unit_value: int,
                 tick_e8: int, lot_units: int, modes: dict[str, int] | None = None,
                 cash_only: bool = False, discipline: dict[str, Any] | None = None,
                 brackets: int = 0, bracket_rules: dict[str, int] | None = None) -> None:  # fmt: skip
        self.now = 0
        self.judge = None if discipline is None else Judge(strategies, symbols, **discipline)
        self.lot_units, self.cash_only = lot_units, cash_only
        self.modes = Modes(symbols=symbols, **(modes or {}))
        self.modes.mode = Mode.MODE_NORMAL
        self.can = can
        self.gate = Gate(symbols=symbols)
        self.gate.set_limits(**limits)
        self.gate.set_account(**account)
        self.orders = Orders(capacity=orders, symbols=symbols, ack_ns=5 * SECOND, cancel_ns=5 * SECOND,
                             replace_ns=5 * SECOND, unknown_ns=30 * SECOND)  # fmt: skip
        self.ledger = Ledger(assets=1 + symbols, symbols=symbols)
        for asset in range(1 + symbols):
            self.ledger.set_asset(asset)
        for symbol in range(symbols):
            self.gate.set_symbol(symbol, **gate_symbol)
            self.ledger.set_symbol(symbol, linear=False, base=1 + symbol, quote=0, unit_value=unit_value,
                                   lot_units=lot_units, tick_e8=tick_e8)  # fmt: skip
        self.touch = [{"bid": 0, "ask": 0, "ts": 0, "trusted": 0, "halted": 0, "other": 0} for _ in range(symbols)]
        self.lots = [0] * symbols
        self.rows = [Row(**own) for _ in range(strategies)]
        self.held: list[dict[tuple[int, bool], int]] = [{} for _ in range(strategies)]
        self.symbol_of = [min(i, symbols - 1) for i in range(strategies)]
        self.sent_px: dict[int, int] = {}
        self.down: set[int] = set()
        self.unreconciled = False
        self.paid: set[tuple[int, int, int]] = set()
        self.out: list[tuple[Any, ...]] = []
        self.brackets = Brackets(capacity=brackets, **(BRACKET_RULES | (bracket_rules or {}))) if brackets else None
        self.dust = [0] * symbols
        self.stop_px = [0] * symbols  # of the nearest live stop
        self.unprotected = [0] * symbols

    def _expose(self, symbol: int) -> None:
        touch, sums = self.touch[symbol], self.orders.symbol(symbol)
        blocked = bool(self.down & {Feed.FEED_USER, Feed.FEED_ORDERS}) or self.unreconciled
        self.gate.set_symbol(
            symbol, bid_px_ticks=touch["bid"], ask_px_ticks=touch["ask"], ts_book_ns=touch["ts"],
            book_trusted=touch["trusted"], px_ref_ticks=touch["ask"],
            halted=int(bool(touch["halted"] or touch["other"] or blocked)),
            lots=self.lots[symbol], open_buy_lots=sums["open_buy_lots"], open_sell_lots=sums["open_sell_lots"],
            orders_open=sums["live_count"],
        )  # fmt: skip
        live = sum(o.live for o in self.orders.records.values())
        self.gate.set_account(orders_open=live, ts_equity_ns=self.now)
        self.gate.expose(symbol, touch["ask"])

    # ---------------------------------------------------------------------------------------------------------- gating
    @staticmethod
    def _armed(o: Any) -> bool:
        """A stop that waits for its price: it closes nothing yet."""
        return o.terms["type"] in WAITS_FOR_A_PRICE

    def _closing(self, symbol: int, sell: bool, own: Any, sibling: Any, armed: bool) -> int:
        """What other reduce-only orders of a side close: those that wait for a price if this one does, else others."""
        every = self.orders.symbol(symbol)["reduce_sell_lots" if sell else "reduce_buy_lots"]
        waiting = 0
        for o in self.orders.records.values():
            mine = o.live and o.terms["symbol"] == symbol and bool(o.terms["sell"]) == sell
            if not mine or not o.terms["flags"] & OrderFlag.ORDER_REDUCE_ONLY:
                continue
            if o is own or o is sibling:
                every -= o.exposure
            elif self._armed(o):
                waiting += o.exposure
        return waiting if armed else every - waiting

    def _failed(self, ask: dict[str, Any], own: Any = None, filled: int = 0, *, sibling: Any = None,
                armed: bool = False) -> int:  # fmt: skip
        """The gate's answer. `own` lives already and is not counted twice; the quantity asked for includes `filled`."""
        row = self.gate.rows[ask["symbol"]]
        side = "open_sell_lots" if ask["sell"] else "open_buy_lots"
        off = (own.exposure if own else 0) + (sibling.exposure if sibling else 0) + filled
        ask["closing_lots"] = 0
        if ask["lane"] != "normal":
            waits = self._armed(own) if own else armed
            ask["closing_lots"] = self._closing(ask["symbol"], bool(ask["sell"]), own, sibling, waits) - filled
        if ask["sell"] and self.cash_only:
            bespoken = ask["closing_lots"] if ask["lane"] != "normal" else row[side] - off
            ask["owned_lots"] = self._owned(ask["symbol"]) - bespoken
        row[side] -= off
        failed = self.gate.failed(self.now, ask)
        row[side] += off
        return failed

    def _base(self, symbol: int) -> int:
        """What the account has of a symbol's base asset, in its units."""
        return self.ledger.balance(1 + symbol, 0)

    def _owned(self, symbol: int) -> int:
        return max(0, self._base(symbol)) // self.lot_units

    def _dust(self, symbol: int) -> int:
        """Lots of a long position that fees have taken a part of."""
        return max(0, self.lots[symbol] - self._owned(symbol)) if self.cash_only and self.lots[symbol] > 0 else 0

    def _ask(self, symbol: int, sell: bool, px: int, qty: int, stop: int, lane: str) -> dict[str, Any]:
        return {
            "symbol": symbol, "sell": sell, "px_ticks": px, "qty_lots": qty, "px_stop_ticks": stop,
            "ts_signal_ns": self.now, "lane": lane,
        }  # fmt: skip

    @staticmethod
    def _lane_of(o: Any) -> str:
        t = o.terms
        reduces = bool(t["flags"] & OrderFlag.ORDER_REDUCE_ONLY)
        if (t["bracket"] and t["leg"]) or (reduces and t["strategy"] == NOBODY):
            return "protective"
        return "reduce" if reduces else "normal"

    def _deny(self, strategy: int, tag: int, stage: Stage, ask: dict[str, Any], reasons: int, largest: int = 0) -> None:
        self.out.append((Kind.KIND_DECISION, strategy, tag, stage, bool(ask["sell"]), ask["px_ticks"], ask["qty_lots"],
                         reasons, largest))  # fmt: skip

    def _deny_by_gate(self, strategy: int, tag: int, ask: dict[str, Any], failed: int) -> None:
        self._deny(strategy, tag, Stage.STAGE_GATE, ask, failed, self.gate.largest_lots(**ask))

    # --------------------------------------------------------------------------------------------------------- placing
    def _carries(self, kind: int, tif: int) -> bool:
        """Whether the venue takes it. No trigger of ours stands in: this twin has none."""
        if kind != OrderType.TYPE_MARKET and TIF_NEEDS.get(OrderTif(tif), 0) & ~self.can:
            return False
        return not TYPE_NEEDS.get(OrderType(kind), 0) & ~self.can

    def _put(self, p: Asked) -> int:
        """Gate, create and emit one order; 0 when it was refused."""
        row = self.gate.rows[p.symbol]
        px = p.px or p.trigger or row["bid_px_ticks" if p.sell else "ask_px_ticks"]
        ask = self._ask(p.symbol, p.sell, px, p.qty, p.protect, p.lane)
        ask["duplicate"] = self.orders.find_key(strategy=p.strategy, symbol=p.symbol, sell=p.sell, tag=p.tag) != 0
        failed = self._failed(ask, sibling=p.sibling, armed=p.type in WAITS_FOR_A_PRICE)
        if failed:
            self._deny_by_gate(p.strategy, p.tag, ask, failed)
            return 0
        status, id_order = 0, 0
        if self._carries(p.type, p.tif):
            status, id_order = self.orders.create(
                symbol=p.symbol, strategy=p.strategy, tag=p.tag, sell=int(p.sell), type=p.type, tif=p.tif, px=p.px,
                px_stop=p.trigger, qty=p.qty, flags=int(OrderFlag.ORDER_REDUCE_ONLY) if p.reduces else 0,
                bracket=p.bracket, leg=p.leg, now=self.now,
            )  # fmt: skip
        if not id_order or status != Status.OK:
            self._deny(p.strategy, p.tag, Stage.STAGE_ORDERS, ask, int(status))
            return 0
        self.gate.place(self.now, **ask)
        self.orders.send(id_order, now=self.now)
        self.sent_px[id_order] = px
        self._emit(Kind.KIND_INTENT_PLACE, id_order, px, p.qty)
        if p.trigger:
            self.out.append((Kind.KIND_INTENT_TERMS, p.sell, p.symbol, id_order, p.trigger, 0, 0, 0))
        self._expose(p.symbol)
        return id_order

    def _emit(self, kind: Kind, id_order: int, px: int, qty: int) -> None:
        t = self.orders.records[id_order].terms
        flags = 0
        if kind in (Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_AMEND):
            flags |= TermsFlag.TERMS_POST_ONLY if t["tif"] == OrderTif.TIF_GTX else 0
            reduces = t["flags"] & OrderFlag.ORDER_REDUCE_ONLY and self.can & Can.CAN_REDUCE
            flags |= TermsFlag.TERMS_REDUCE_ONLY if reduces else 0
            flags |= TermsFlag.TERMS_CLOSING if t["strategy"] == NOBODY else 0
        self.out.append((kind, bool(t["sell"]), t["symbol"], id_order, px, qty, t["type"], t["tif"], int(flags)))

    def _cancel(self, id_order: int) -> None:
        o = self.orders.records[id_order]
        if o.state == State.STATE_PENDING_CANCEL:
            return
        if self.orders.apply(id_order, On.ON_CANCEL_ASKED, now=self.now) != Status.OK:
            return
        self.gate.cancel(self.now, o.terms["symbol"])
        self._emit(Kind.KIND_INTENT_CANCEL, id_order, self.sent_px[id_order], o.qty - o.filled)

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
        if not touch["halted"] and not touch["other"]:
            rules -= {"SYMBOL_HALTED"}
        return rules - NOT_AGAIN - SKIPS[ask["lane"]]

    def _newest_first(self, symbol: int) -> list[Any]:
        return [o for o in reversed(self.orders.records.values()) if o.live and o.terms["symbol"] == symbol]

    def _incident(self, what: Incident, symbol: int, id_order: int) -> None:
        self.out.append((Kind.KIND_INCIDENT, what, symbol, id_order))

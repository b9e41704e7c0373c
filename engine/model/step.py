"""Twin of the step: the order path and the money path over the stems' own twins, one plain function an event.

Covers quotes and trades, wishes of limit orders (place, amend, cancel), own limits, the gate with its rates, reports in
any order, fills, fees, deadlines, connections, halts, strategies' stops, the latch and the modes with their plans: what
Reduced and the flatten plan place, take back and verify. Brackets, triggers, slices, books and discipline are sections
of their own with proofs of their own; a world without them is what this twin describes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine._core.modes import Act, Mode, Outcome, Phase
from engine._core.order_table import OrderEvent as On
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderActionKind, OrderFlag, OrderTif, OrderType
from engine._core.risk import Rule
from engine._core.strategy import StopReason, StrategyRule
from engine._core.strategy_abi import WISH
from engine._core.types import Can, Feed, Incident, Kind, Stage, Status, TermsFlag
from engine.errors import StrategyBadAct
from engine.model.ledger import Ledger
from engine.model.modes import Modes
from engine.model.orders import Orders
from engine.model.risk import SKIPS, Gate
from engine.model.strategy import Row

SECOND = 10**9
KEEP, REST = 0, 1
NOBODY, EVERY = 0xFFFF, 0xFFFF  # no strategy: the engine itself; no one symbol: all of them
PLAN = 0x2000  # the tag of what the plan places
SAYS = {
    Kind.KIND_ORDER_ACK: On.ON_ACK, Kind.KIND_ORDER_CANCELED: On.ON_CANCELED, Kind.KIND_ORDER_REJECTED: On.ON_REJECT,
    Kind.KIND_ORDER_EXPIRED: On.ON_EXPIRE, Kind.KIND_ORDER_CANCEL_REFUSED: On.ON_CANCEL_REFUSED,
    Kind.KIND_ORDER_CANCEL_TOO_LATE: On.ON_CANCEL_TOO_LATE, Kind.KIND_ORDER_CANCEL_NO_ORDER: On.ON_CANCEL_NO_ORDER,
    Kind.KIND_ORDER_REPLACE_REFUSED: On.ON_REPLACE_REFUSED, Kind.KIND_ORDER_REPLACE_NO_ORDER: On.ON_REPLACE_NO_ORDER,
    Kind.KIND_ORDER_ABSENT: On.ON_ABSENT, Kind.KIND_ORDER_LOST: On.ON_TIMEOUT,
}  # fmt: skip
TIF_NEEDS = {
    OrderTif.TIF_IOC: Can.CAN_IOC, OrderTif.TIF_FOK: Can.CAN_FOK, OrderTif.TIF_GTX: Can.CAN_POST,
}  # fmt: skip
# On the ack the order is already among the live ones: what counts orders and rates would count it twice. And it rests
# already: what is not known just now is no reason to take it back.
NOT_AGAIN = {
    "ORDER_RATE", "CHURN", "OPEN_ORDERS_SYMBOL", "OPEN_ORDERS_ALL", "DUPLICATE_INTENT", "SELF_TRADE", "SIGNAL_STALE",
    "NOT_REDUCING", "NOT_OWNED", "BOOK_UNTRUSTED", "BOOK_STALE", "EQUITY_STALE", "CLOCK_DRIFT", "REJECTS", "BREAKER",
}  # fmt: skip
Decide = Callable[[], dict[tuple[int, bool], dict[str, int]]]


class Step:
    """One world. `step` takes an event as a dictionary and answers (status, what came out)."""

    def __init__(self, *, symbols: int, strategies: int, orders: int, can: int, account: dict[str, int],
                 limits: dict[str, int], gate_symbol: dict[str, int], own: dict[str, int], unit_value: int,
                 tick_e8: int, lot_units: int, modes: dict[str, int] | None = None,
                 cash_only: bool = False) -> None:  # fmt: skip
        self.now = 0
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
        self.decide: list[Decide] = [dict for _ in range(strategies)]
        self.sent_px: dict[int, int] = {}
        self.down: set[int] = set()
        self.unreconciled = False
        self.paid: set[tuple[int, int, int]] = set()
        self.out: list[tuple[Any, ...]] = []

    # ---------------------------------------------------------------------------------------------------------- events
    def step(self, kind: int, **e: Any) -> tuple[int, list[tuple[Any, ...]]]:
        self.out = []
        self.now = max(self.now, e["now"])
        if kind == Kind.KIND_QUOTE:
            self.touch[e["symbol"]] |= {
                "bid": e["bid"], "ask": e["ask"], "ts": self.now, "trusted": int(0 < e["bid"] < e["ask"]),
            }  # fmt: skip
            self._expose(e["symbol"])
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
    def _failed(self, ask: dict[str, Any], own: Any = None, filled: int = 0) -> int:
        """The gate's answer. `own` lives already and is not counted twice; the quantity asked for includes `filled`."""
        row = self.gate.rows[ask["symbol"]]
        side = "open_sell_lots" if ask["sell"] else "open_buy_lots"
        off = (own.exposure if own else 0) + filled
        reducing = self.orders.symbol(ask["symbol"])["reduce_sell_lots" if ask["sell"] else "reduce_buy_lots"]
        if own and own.terms["flags"] & OrderFlag.ORDER_REDUCE_ONLY:
            reducing -= own.exposure
        ask["closing_lots"] = reducing - filled if ask["lane"] != "normal" else 0
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

    def _ask(self, symbol: int, sell: bool, px: int, qty: int, stop: int, reduces: bool,
             strategy: int = 0) -> dict[str, Any]:  # fmt: skip
        lane = "normal" if not reduces else "protective" if strategy == NOBODY else "reduce"
        return {
            "symbol": symbol, "sell": sell, "px_ticks": px, "qty_lots": qty, "px_stop_ticks": stop,
            "ts_signal_ns": self.now, "lane": lane,
        }  # fmt: skip

    def _deny(self, strategy: int, tag: int, stage: Stage, ask: dict[str, Any], reasons: int, largest: int = 0) -> None:
        self.out.append((Kind.KIND_DECISION, strategy, tag, stage, ask["sell"], ask["px_ticks"], ask["qty_lots"],
                         reasons, largest))  # fmt: skip

    def _deny_by_gate(self, strategy: int, tag: int, ask: dict[str, Any], failed: int) -> None:
        self._deny(strategy, tag, Stage.STAGE_GATE, ask, failed, self.gate.largest_lots(**ask))

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

    def _place(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> int:
        symbol = self.symbol_of[strategy]
        if not self._passes_own(strategy, tag, sell, wish):
            return 0
        tif = OrderTif.TIF_GTX if wish["flags"] & 1 else OrderTif(wish["tif"])
        reduces = bool(wish["flags"] & 2)
        ask = self._ask(symbol, sell, wish["px_ticks"], wish["qty_lots"], wish["stop_px_ticks"], reduces)
        if TIF_NEEDS.get(tif, 0) & ~self.can:
            self._deny(strategy, tag, Stage.STAGE_STRATEGY, ask, 1 << StrategyRule.STRATEGY_RULE_CARRY)
            return 0
        ask["duplicate"] = self.orders.find_key(strategy=strategy, symbol=symbol, sell=sell, tag=tag) != 0
        failed = self._failed(ask)
        if failed:
            self._deny_by_gate(strategy, tag, ask, failed)
            return 0
        status, id_order = self.orders.create(
            symbol=symbol, strategy=strategy, tag=tag, sell=int(sell), tif=int(tif), px=wish["px_ticks"],
            qty=wish["qty_lots"], flags=int(OrderFlag.ORDER_REDUCE_ONLY) if reduces else 0, now=self.now,
        )  # fmt: skip
        if status != Status.OK:
            self._deny(strategy, tag, Stage.STAGE_ORDERS, ask, int(status))
            return 0
        self.gate.place(self.now, **ask)
        self.orders.send(id_order, now=self.now)
        self.sent_px[id_order] = wish["px_ticks"]
        self._emit(Kind.KIND_INTENT_PLACE, id_order, wish["px_ticks"], wish["qty_lots"])
        self._expose(symbol)
        self.rows[strategy].placed()
        return id_order

    def _emit(self, kind: Kind, id_order: int, px: int, qty: int) -> None:
        t = self.orders.records[id_order].terms
        flags = 0
        if kind in (Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_AMEND):
            flags |= TermsFlag.TERMS_POST_ONLY if t["tif"] == OrderTif.TIF_GTX else 0
            reduces = t["flags"] & OrderFlag.ORDER_REDUCE_ONLY and self.can & Can.CAN_REDUCE
            flags |= TermsFlag.TERMS_REDUCE_ONLY if reduces else 0
            flags |= TermsFlag.TERMS_CLOSING if t["strategy"] == NOBODY else 0
        self.out.append((kind, bool(t["sell"]), t["symbol"], id_order, px, qty, t["tif"], int(flags)))

    def _cancel(self, id_order: int) -> None:
        o = self.orders.records[id_order]
        if o.state == State.STATE_PENDING_CANCEL:
            return
        if self.orders.apply(id_order, On.ON_CANCEL_ASKED, now=self.now) != Status.OK:
            return
        self.gate.cancel(self.now, o.terms["symbol"])
        self._emit(Kind.KIND_INTENT_CANCEL, id_order, self.sent_px[id_order], o.qty - o.filled)

    def _amend(self, id_order: int, wish: dict[str, int]) -> bool:
        o = self.orders.records[id_order]
        t = o.terms
        qty = o.filled + wish["qty_lots"]
        ask = self._ask(t["symbol"], bool(t["sell"]), wish["px_ticks"], qty, wish["stop_px_ticks"],
                        bool(t["flags"] & OrderFlag.ORDER_REDUCE_ONLY))  # fmt: skip
        failed = self._failed(ask, o, o.filled)
        if failed:
            self._deny_by_gate(t["strategy"], t["tag"], ask, failed)
            return False
        if self.orders.ask_replace(id_order, px=wish["px_ticks"], qty=qty, now=self.now) != Status.OK:
            return False
        self._commit(t["symbol"])
        self.sent_px[id_order] = wish["px_ticks"]
        self._emit(Kind.KIND_INTENT_AMEND, id_order, wish["px_ticks"], qty)
        self._expose(t["symbol"])
        return True

    def _commit(self, symbol: int) -> None:
        """What a placed order takes out of the rates."""
        g, row = self.gate, self.gate.rows[symbol]
        g.orders_tat_ns = g._take(g.orders_tat_ns, self.now, SECOND, g.limits["orders_per_second"])
        row["churn_tat_ns"] = g._take(row["churn_tat_ns"], self.now, 60 * SECOND, g.limits["churn_per_minute"])

    # ---------------------------------------------------------------------------------------------------------- wishes
    def _run(self, strategy: int) -> None:
        row = self.rows[strategy]
        if row.state["stopped"]:
            self._take_back(strategy)
            return
        for (tag, sell), wish in sorted(self.decide[strategy]().items()):
            if wish["kind"] != KEEP:
                self.held[strategy][tag, sell] = self._grant(strategy, tag, sell, wish)
        if row.state["stopped"]:
            self._take_back(strategy)

    def _take_back(self, strategy: int) -> None:
        for _, id_order in sorted(self.held[strategy].items()):
            if id_order:
                self._cancel(id_order)

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
            if able and settled and self._passes_own(strategy, tag, sell, wish) and self._amend(id_order, wish):
                return id_order
        self._cancel(id_order)
        return id_order

    # --------------------------------------------------------------------------------------------------------- reports
    def _forget(self, id_order: int) -> None:
        for held in self.held:
            for key, value in held.items():
                if value == id_order:
                    held[key] = 0

    def _incident(self, what: Incident, symbol: int, id_order: int) -> None:
        self.out.append((Kind.KIND_INCIDENT, what, symbol, id_order))

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
            strategy = self.orders.records[e["id_order"]].terms["strategy"]
            if strategy != NOBODY:
                self.rows[strategy].fill(sell, e["qty"])
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
        if o is not None and status != Status.ORDER_DUPLICATE_FILL:
            if o.terms["symbol"] != e["symbol"]:
                self._expose(o.terms["symbol"])
            if not o.live:
                self._forget(o.id_order)
            if kind == Kind.KIND_ORDER_ACK and status == Status.OK and before != o.state and o.live:
                self._recheck(o.id_order)
        self._work_modes()
        return status

    def _recheck(self, id_order: int) -> None:
        """The gate again on the ack; what would not pass is an incident and goes back."""
        o = self.orders.records[id_order]
        t, px = o.terms, self.sent_px[id_order]
        if o.qty - o.filled <= 0:
            return
        ask = self._ask(t["symbol"], bool(t["sell"]), px, o.qty - o.filled, px + 1 if t["sell"] else px - 1,
                        bool(t["flags"] & OrderFlag.ORDER_REDUCE_ONLY), t["strategy"])  # fmt: skip
        failed = self._failed(ask, o)
        if any(failed >> int(Rule["RULE_" + name]) & 1 for name in self._asked_again(ask)):
            self._incident(Incident.INCIDENT_GATE_ON_ACK, t["symbol"], id_order)
            self._cancel(id_order)

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

    def _fee(self, e: dict[str, Any]) -> int:
        key = (e["symbol"], int(bool(e["sell"])), e["id_trade"])
        if key not in self.orders.fills:
            self.orders.tally["unknown_id"] += 1
            return Status.ORDER_UNKNOWN_ID
        if key in self.paid:
            return Status.ORDER_DUPLICATE_FILL
        self.paid.add(key)
        self.ledger.fee(e["asset"], e["amount"])
        if self.cash_only and e["asset"] != 0:
            self._work_modes()
        return Status.OK

    # ------------------------------------------------------------------------------------------ time, feeds, strategies
    def _timer(self) -> None:
        for action, id_order in self.orders.due(self.now):
            o = self.orders.records[id_order]
            if action == OrderActionKind.ORDER_ACTION_CANCEL:
                self._cancel(id_order)
                continue
            self._emit(Kind.KIND_INTENT_QUERY, id_order, self.sent_px[id_order], o.qty - o.filled)
            if action == OrderActionKind.ORDER_ACTION_ALARM:
                self._incident(Incident.INCIDENT_OVERDUE, o.terms["symbol"], id_order)
        self._work_modes()

    # ----------------------------------------------------------------------------------------------------------- modes
    def _position(self, symbol: int, lots: int) -> None:
        """What the venue holds: explained by our position and live orders, or the symbol is halted."""
        row, touch = self.gate.rows[symbol], self.touch[symbol]
        mine = self.lots[symbol]
        explained = mine - row["open_sell_lots"] <= lots <= mine + row["open_buy_lots"]
        self.modes.verified(symbol, lots, self.now)
        if not explained and not touch["other"]:
            self._incident(Incident.INCIDENT_POSITION, symbol, 0)
        touch["other"] = int(not explained)
        self._expose(symbol)
        self._work_modes()

    def _say_mode(self, symbol: int, action: int, value: int) -> None:
        m = self.modes
        self.out.append((Kind.KIND_MODE, symbol, int(m.mode), int(m.phase), int(m.outcome), int(action), int(value)))

    def _control(self, e: dict[str, Any]) -> int:
        account, m = self.gate.account, self.modes
        account["latch"] |= e["latch"]
        if e["who"] == 0:
            return Status.OK
        before = (m.mode, m.phase)
        status = m.switch(
            e["mode"], e["who"], self.now, aggressive=bool(e["aggressive"]), latch_clear=int(account["latch"] == 0),
            reconciled=int(not self.down and not self.unreconciled), equity_first=account["equity"],
            equity_second=e["equity"],
        )  # fmt: skip
        account["mode"] = int(m.mode)
        if status != Status.OK:
            self._say_mode(EVERY, 0, status)
            return status
        if (m.mode, m.phase) != before:
            self._say_mode(EVERY, 0, 0)
        self._work_modes()
        return Status.OK

    def _newest_first(self, symbol: int) -> list[Any]:
        return [o for o in reversed(self.orders.records.values()) if o.live and o.terms["symbol"] == symbol]

    def _fact(self, symbol: int) -> dict[str, int]:
        live, row = self._newest_first(symbol), self.gate.rows[symbol]
        reducing = [o for o in live if o.terms["flags"] & OrderFlag.ORDER_REDUCE_ONLY]
        trusted = row["book_trusted"]
        return {
            "lots": self.lots[symbol], "qty_min_lots": row["qty_min_lots"], "dust_lots": self._dust(symbol),
            "bid_px_ticks": row["bid_px_ticks"] if trusted else 0,
            "ask_px_ticks": row["ask_px_ticks"] if trusted else 0,
            "orders_live": len(live), "entries_live": len(live) - len(reducing),
            "plan_live": sum(o.terms["tag"] == PLAN for o in live),
            "open_buy_lots": sum(o.exposure for o in live if not o.terms["sell"]),
            "open_sell_lots": sum(o.exposure for o in live if o.terms["sell"]),
        }  # fmt: skip

    def _work_modes(self) -> None:
        """One step of Reduced or of the flatten plan, when there is one: facts first, then all its actions in turn."""
        m = self.modes
        if m.mode != Mode.MODE_REDUCED and m.phase in (Phase.PHASE_IDLE, Phase.PHASE_ENDED):
            return
        before = m.phase
        for symbol in range(len(self.touch)):
            m.fact(symbol, **self._fact(symbol))
        actions = m.step(self.now, 256)
        if m.phase != before:
            self._say_mode(EVERY, 0, 0)
        for kind, symbol, sell, px, qty, value in actions:
            self._say_mode(symbol, kind, self._left(symbol, qty) if kind == Act.ACT_DUST else value)
            if kind in (Act.ACT_CANCEL_ENTRIES, Act.ACT_CANCEL_ALL, Act.ACT_CANCEL_PLAN):
                self._sweep(symbol, Act(kind))
            elif kind in (Act.ACT_PLACE_LIMIT, Act.ACT_PLACE_MARKET):
                self._close(symbol, sell, px, qty, at_market=kind == Act.ACT_PLACE_MARKET)
            elif kind == Act.ACT_VERIFY:
                self.out.append((Kind.KIND_INTENT_QUERY, False, symbol, 0, 0, 0, 0, 0))
            elif kind == Act.ACT_ENDED and value == Outcome.OUTCOME_PARTIAL:
                self._incident(Incident.INCIDENT_PLAN, EVERY, 0)

    def _left(self, symbol: int, lots: int) -> int:
        """What dust there is, in units of the base asset."""
        return self._base(symbol) if self.cash_only else lots * self.lot_units

    def _sweep(self, symbol: int, act: Act) -> None:
        for o in self._newest_first(symbol):
            planned = o.terms["tag"] == PLAN
            reduces = bool(o.terms["flags"] & OrderFlag.ORDER_REDUCE_ONLY)
            if planned if act == Act.ACT_CANCEL_PLAN else act == Act.ACT_CANCEL_ALL or not reduces:
                self._cancel(o.id_order)

    def _close(self, symbol: int, sell: bool, px: int, qty: int, *, at_market: bool) -> None:
        """The plan's own order: reduce-only, in the protective lane; where there are no market orders, at the touch."""
        row = self.gate.rows[symbol]
        touch = row["bid_px_ticks"] if sell else row["ask_px_ticks"]
        market = at_market and bool(self.can & Can.CAN_MARKET)
        px = 0 if market else touch if at_market else px
        ask = self._ask(symbol, sell, px or touch, qty, 0, True, NOBODY)
        ask["duplicate"] = self.orders.find_key(strategy=NOBODY, symbol=symbol, sell=sell, tag=PLAN) != 0
        failed = self._failed(ask)
        if failed:
            self._deny_by_gate(NOBODY, PLAN, ask, failed)
            return
        status, id_order = self.orders.create(
            symbol=symbol, strategy=NOBODY, tag=PLAN, sell=int(sell), px=px, qty=qty, now=self.now,
            type=int(OrderType.TYPE_MARKET if market else OrderType.TYPE_LIMIT),
            tif=int(OrderTif.TIF_IOC if market else OrderTif.TIF_GTC), flags=int(OrderFlag.ORDER_REDUCE_ONLY),
        )  # fmt: skip
        if status != Status.OK:
            self._deny(NOBODY, PLAN, Stage.STAGE_ORDERS, ask, int(status))
            return
        self.gate.place(self.now, **ask)
        self.orders.send(id_order, now=self.now)
        self.sent_px[id_order] = px or touch
        self._emit(Kind.KIND_INTENT_PLACE, id_order, px or touch, qty)
        self._expose(symbol)

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
            self._take_back(e["strategy"])
        return Status.OK

    def stopped_by_wishes(self, strategy: int) -> bool:
        return self.rows[strategy].state["reason"] == StopReason.STOPPED_WISH

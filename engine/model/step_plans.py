"""Twin of the step's plans: deadlines, what is protected, the modes with Reduced and the flatten plan, forced stops."""

from __future__ import annotations

from typing import Any

from engine._core.modes import Act, Mode, Outcome, Phase
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderActionKind, OrderFlag, OrderTif, OrderType
from engine._core.triggers import TriggerSource
from engine._core.types import Can, Incident, Kind, Status
from engine.model.step_brackets import BracketSide
from engine.model.step_gate import EVERY, NOBODY, WAITS_FOR_A_PRICE, Asked

PLAN = 0x2000  # the tag of what the plan places
NOT_STANDING = (State.STATE_PENDING_CANCEL, State.STATE_UNKNOWN)


class PlanSide(BracketSide):
    # ------------------------------------------------------------------------------------------------------------ time
    def _timer(self) -> None:
        for action, id_order in self.orders.due(self.now):
            o = self.orders.records[id_order]
            if action == OrderActionKind.ORDER_ACTION_CANCEL:
                if self._cancel(id_order):
                    self._order_changed(o, 0)
                continue
            self._emit(Kind.KIND_INTENT_QUERY, id_order, self.sent_px[id_order], o.qty - o.filled)
            if action == OrderActionKind.ORDER_ACTION_ALARM:
                self._incident(Incident.INCIDENT_OVERDUE, o.terms["symbol"], id_order)
            else:
                self._order_changed(o, 0)
        self._brackets_due()
        self._work_algos(EVERY)
        self._work_modes()

    def _price_came(self, symbol: int) -> None:
        """A touch that is believed: what waits for it is let go, what is sliced is worked."""
        touch = self.touch[symbol]
        if self.triggers and self.gate.rows[symbol]["book_trusted"]:
            fired = self.triggers.on_price(
                bid=touch["bid"], ask=touch["ask"], symbol=symbol, source=int(TriggerSource.SOURCE_TOUCH), now=self.now,
                out_max=1 << 16,
            )  # fmt: skip
            holders = {handle: id_order for id_order, handle in self.waiting.items()}
            for handle, *_ in fired:
                if holders[handle] not in self.waiting:
                    continue  # what fired before it ended it
                o = self.orders.records[holders[handle]]
                b = self.brackets.get(o.terms["bracket"]) if self.brackets and o.terms["bracket"] else None
                self._fire(o.id_order, self._sibling(b, o.terms["leg"]) if b else None)
                self._order_changed(o, 0)
        self._work_algos(symbol)

    # ------------------------------------------------------------------------------------------------------ protection
    def _after_report(self, symbol: int) -> None:
        """Is what is held protected? And does the plan, if one runs, have something to do?"""
        lots = self.lots[symbol]
        open_lots, nearest, sell = abs(lots) - self._dust(symbol), 0, lots > 0
        for o in self._newest_first(symbol):
            t = o.terms
            stands = o.state not in NOT_STANDING and t["flags"] & OrderFlag.ORDER_REDUCE_ONLY
            protects = stands and t["type"] in (*WAITS_FOR_A_PRICE, OrderType.TYPE_MARKET)
            if not lots or bool(t["sell"]) != sell or not protects:
                continue
            open_lots -= o.qty - o.filled
            if t["px_stop"] and (nearest == 0 or (t["px_stop"] > nearest) == sell):
                nearest = t["px_stop"]
        self.stop_px[symbol] = nearest
        if self.brackets:
            if open_lots <= 0:
                self.unprotected[symbol] = 0
            elif not self.unprotected[symbol]:
                self.unprotected[symbol] = open_lots
                self._incident(Incident.INCIDENT_UNPROTECTED, symbol, 0)
        self._work_modes()

    def _force_stops(self, symbol: int) -> None:
        """A position beyond its stop that is still there is closed: brackets first, then what none of them holds."""
        if not self.judge or not self.lots[symbol]:
            return
        touch = self.touch[symbol] | {"trusted": self.gate.rows[symbol]["book_trusted"]}
        action = self.judge.position(self.now, symbol, touch=touch, lots=self.lots[symbol],
                                     equity=self.gate.account["equity"], stop=self.stop_px[symbol],
                                     share_ppm=self.gate.limits["position_share_ppm"])  # fmt: skip
        if action is None:
            return
        holds = False
        for b in self._brackets_of(symbol):
            holds |= b.held != 0
            self._flatten_bracket(b.handle)
        sell = self.lots[symbol] > 0
        if holds or self.orders.find_key(strategy=NOBODY, symbol=symbol, sell=sell, tag=PLAN):
            return
        self._close(symbol, sell, 0, abs(self.lots[symbol]), at_market=True)

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
        self._after_report(symbol)

    def _say_mode(self, symbol: int, action: int, value: int) -> None:
        m = self.modes
        self.out.append((Kind.KIND_MODE, symbol, int(m.mode), int(m.phase), int(m.outcome), int(action), int(value)))

    def _control(self, e: dict[str, Any]) -> int:
        self.gate.account["latch"] |= e["latch"]
        if e["who"] == 0:
            return Status.OK
        return self._switch(e["mode"], e["who"], aggressive=bool(e["aggressive"]), equity=e["equity"])

    def _switch(self, to: int, who: int, *, aggressive: bool, equity: int) -> int:
        """Change the mode inside this event, or leave a record of why not."""
        account, m = self.gate.account, self.modes
        before = (m.mode, m.phase)
        status = m.switch(
            to, who, self.now, aggressive=aggressive, latch_clear=int(account["latch"] == 0),
            reconciled=int(not self.down and not self.unreconciled), equity_first=account["equity"],
            equity_second=equity or self.venue_equity,
        )  # fmt: skip
        account["mode"] = int(m.mode)
        if status != Status.OK:
            self._say_mode(EVERY, 0, status)
            return status
        if (m.mode, m.phase) != before:
            self._say_mode(EVERY, 0, 0)
        self._work_modes()
        return Status.OK

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
            "open_buy_lots": sum(o.exposure for o in live if not o.terms["sell"] and not self._armed(o)),
            "open_sell_lots": sum(o.exposure for o in live if o.terms["sell"] and not self._armed(o)),
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
                self.out.append((Kind.KIND_INTENT_QUERY, False, symbol, 0, 0, 0, 0, 0, 0))
            elif kind == Act.ACT_ENDED and value == Outcome.OUTCOME_PARTIAL:
                self._incident(Incident.INCIDENT_PLAN, EVERY, 0)

    def _left(self, symbol: int, lots: int) -> int:
        """What dust there is, in units of the base asset."""
        return self._base(symbol) if self.cash_only else lots * self.lot_units

    def _sweep(self, symbol: int, act: Act) -> None:
        """Cancel the orders of a symbol that an action names. Brackets are told, so that they do not place anew."""
        if act != Act.ACT_CANCEL_PLAN:
            self._call_off_symbol(symbol, entries_only=act == Act.ACT_CANCEL_ENTRIES)
        if act == Act.ACT_CANCEL_ALL:
            for b in self._brackets_of(symbol):
                self._flatten_bracket(b.handle)
        for o in self._newest_first(symbol):
            t = o.terms
            planned, reduces = t["tag"] == PLAN, bool(t["flags"] & OrderFlag.ORDER_REDUCE_ONLY)
            meant = planned if act == Act.ACT_CANCEL_PLAN else act == Act.ACT_CANCEL_ALL or not reduces
            if meant and not (t["bracket"] and t["leg"]):
                self._take_back(o.id_order)

    def _close(self, symbol: int, sell: bool, px: int, qty: int, *, at_market: bool) -> None:
        """The plan's own order: reduce-only, in the protective lane; where there are no market orders, at the touch."""
        market = at_market and bool(self.can & Can.CAN_MARKET)
        if at_market and not market:
            px = self.gate.rows[symbol]["bid_px_ticks" if sell else "ask_px_ticks"]
        self._put(Asked(
            symbol, NOBODY, PLAN, sell, qty, px=0 if market else px, lane="protective", reduces=True,
            type=int(OrderType.TYPE_MARKET if market else OrderType.TYPE_LIMIT),
            tif=int(OrderTif.TIF_IOC if market else OrderTif.TIF_GTC),
        ))  # fmt: skip

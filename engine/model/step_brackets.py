"""Twin of the step's brackets: an action carried out, an order that changed told to whoever waits for it."""

from __future__ import annotations

from typing import Any

from engine._core.bracket_table import BracketPhase as Phase
from engine._core.brackets import BracketActionKind, BracketFlag, BracketKind, BracketLeg
from engine._core.orders import OrderFlag, OrderTif, OrderType
from engine._core.types import Can, Incident, Kind, Stage, Status
from engine.model.brackets import Bracket
from engine.model.step_algos import TAG_ALGO, AlgoSide
from engine.model.step_gate import NOBODY, SECOND, Asked

ENTRY_NS, HOLD_NS, GUARD_NS = 3_600 * SECOND, 30 * 24 * 3_600 * SECOND, 365 * 24 * 3_600 * SECOND
EXITS = (BracketLeg.LEG_STOP, BracketLeg.LEG_TARGET, BracketLeg.LEG_UNWIND)
TOLD = {1: Incident.INCIDENT_BOTH_FILLED, 2: Incident.INCIDENT_UNPROTECTED}


class BracketSide(AlgoSide):
    def _brackets_of(self, symbol: int) -> list[Bracket]:
        return [b for b in self.brackets.live if b.terms["symbol"] == symbol] if self.brackets else []

    def _phase(self, handle: int) -> int:
        b = self.brackets.get(handle) if self.brackets else None
        return int(b.phase) if b else 0

    def _say_bracket(self, handle: int, before: int) -> None:
        assert self.brackets is not None
        b = self.brackets.get(handle)
        if b is not None and b.phase != before:
            self.out.append((Kind.KIND_BRACKET, b.terms["symbol"], b.sell, b.handle, int(b.phase), before, b.held,
                             b.terms["strategy"]))  # fmt: skip

    def _sibling(self, b: Bracket, leg: int) -> Any:
        """The bracket's other exit: only one of the two will close the position."""
        other = {BracketLeg.LEG_STOP: BracketLeg.LEG_TARGET, BracketLeg.LEG_TARGET: BracketLeg.LEG_STOP}.get(
            BracketLeg(leg)
        )
        return None if other is None else self.orders.records.get(b.legs[other].id_order)

    def _carry_out(self, actions: list[dict[str, Any]]) -> None:
        assert self.brackets is not None
        for a in actions:
            kind, b = a["kind"], self.brackets.get(a["handle"])
            if kind == BracketActionKind.BRACKET_INCIDENT:
                what = TOLD.get(a["qty_lots"], Incident.INCIDENT_BRACKET)
                self._incident(what, a["symbol"], a["id_order"])
                continue
            assert b is not None
            if kind == BracketActionKind.BRACKET_PLACE:
                self._place_leg(a, b)
                continue
            id_order = a["id_order"]
            if id_order not in self.orders.records:
                continue
            if kind == BracketActionKind.BRACKET_AMEND:
                self._amend(id_order, a["px_ticks"], a["qty_lots"], 0, self._sibling(b, a["leg"]))
                self.brackets.placed(self.orders, id_order)
                if id_order in self.waiting:
                    self._order_changed(self.orders.records[id_order], 0)
            elif self._cancel(id_order):
                self._order_changed(self.orders.records[id_order], 0)
            else:
                self.brackets.placed(self.orders, id_order)

    def _place_leg(self, a: dict[str, Any], b: Bracket) -> None:
        assert self.brackets is not None
        entry = a["leg"] == BracketLeg.LEG_ENTRY
        id_order = self._put(Asked(
            a["symbol"], a["strategy"], a["tag"], bool(a["sell"]), a["qty_lots"], px=a["px_ticks"],
            trigger=a["px_stop_ticks"], protect=b.legs[BracketLeg.LEG_STOP].px_stop, type=a["type"], tif=a["tif"],
            lane="normal" if entry else "protective", reduces=bool(a["reduce_only"]), bracket=a["handle"],
            leg=int(a["leg"]), sibling=self._sibling(b, a["leg"]),
        ))  # fmt: skip
        if id_order:
            self.brackets.placed(self.orders, id_order)
            if id_order in self.waiting:
                # Held back here, so it stands at once: nobody will report that it does.
                self._order_changed(self.orders.records[id_order], 0)
        else:
            self._carry_out(self.brackets.refused(a["handle"], a["leg"], now=self.now))

    def _open_bracket(self, p: Asked, wish: dict[str, int]) -> int:
        """An entry with its exits; the id of the entry's order, or 0."""
        assert self.brackets is not None
        kind = BracketKind.BRACKET_OTOCO if wish["target_px_ticks"] else BracketKind.BRACKET_OTO
        status, handle, actions = self.brackets.open(
            now=self.now, kind=int(kind), sell=int(p.sell), qty=p.qty, entry_px=p.px,
            stop_px=wish["stop_px_ticks"], target_px=wish["target_px_ticks"], entry_ns=ENTRY_NS, hold_ns=HOLD_NS,
            flags=self._amending(), symbol=p.symbol, strategy=p.strategy,
            entry_tif=p.tif if p.type == OrderType.TYPE_LIMIT else int(OrderTif.TIF_IOC),
        )  # fmt: skip
        if status != Status.OK:
            ask = {"symbol": p.symbol, "sell": p.sell, "px_ticks": p.px, "qty_lots": p.qty}
            self._deny(p.strategy, p.tag, Stage.STAGE_ORDERS, ask, 0)
            return 0
        self._carry_out(actions)
        self._say_bracket(handle, 0)
        b = self.brackets.get(handle)
        return b.legs[BracketLeg.LEG_ENTRY].id_order if b is not None and b.phase != Phase.PHASE_CLOSED else 0

    def _recall_bracket(self, handle: int) -> None:
        assert self.brackets is not None
        before = self._phase(handle)
        self._carry_out(self.brackets.recall(handle, now=self.now))
        self._say_bracket(handle, before)

    def _flatten_bracket(self, handle: int) -> None:
        assert self.brackets is not None
        before = self._phase(handle)
        self._carry_out(self.brackets.flatten(handle, now=self.now))
        self._say_bracket(handle, before)

    def _brackets_due(self) -> None:
        if self.brackets is None:
            return
        for _ in self.brackets.slots:
            actions = self.brackets.due(self.now)
            self._carry_out(actions)
            if not actions:
                return

    def _close_outside(self, strategy: int, symbol: int, sell: bool, lots: int) -> None:
        """What brackets hold was closed by something that is none of their legs: their exits shrink by it."""
        assert self.brackets is not None
        for b in self._brackets_of(symbol):
            mine = strategy == NOBODY or (b.terms["strategy"] == strategy and not b.flags & BracketFlag.BRACKET_FOLLOWS)
            if b.sell == sell or b.held <= 0 or not mine or b.phase == Phase.PHASE_CLOSED:
                continue
            part, before = min(lots, b.held), int(b.phase)
            self._carry_out(self.brackets.outside(b.handle, part, now=self.now))
            self._say_bracket(b.handle, before)
            lots -= part
            if not lots:
                return

    def _fee_took(self, strategy: int, symbol: int) -> None:
        """A fee in the base asset took a part of what is held: brackets protect and close what is owned."""
        more = self._dust(symbol) - self.dust[symbol]
        self.dust[symbol] += more
        if self.brackets and more > 0:
            self._close_outside(strategy, symbol, True, more)
        self._guard(strategy, symbol)

    # -------------------------------------------------------------------------------------- the stop of a net position
    def _amending(self) -> int:
        """How a bracket may change its exits at this venue."""
        if self.can & Can.CAN_AMEND:
            return int(BracketFlag.BRACKET_AMEND_DOWN | BracketFlag.BRACKET_AMEND_UP)
        return int(BracketFlag.BRACKET_AMEND_DOWN) if self.can & Can.CAN_AMEND_DOWN else 0

    def _owed(self, b: Bracket) -> int:
        """Fills of its exits that the venue's tally knows and that have not come yet."""
        found = (self.orders.records.get(b.legs[leg].id_order) for leg in EXITS)
        return sum(max(o.told - o.filled, 0) for o in found if o is not None)

    def _note_stop(self, strategy: int, sell: bool, wish: dict[str, int]) -> None:
        """Where the stop over the net position shall stand, should this order open it."""
        if self.rows[strategy].limits.get("nets", 0) and wish["stop_px_ticks"] > 0:
            self.stops[strategy][sell] = wish["stop_px_ticks"]

    def _guard(self, strategy: int, symbol: int) -> None:
        """Bring the stop of a strategy whose sides net to its net position: by level, after each of its fills."""
        if strategy == NOBODY or self.brackets is None or not self.rows[strategy].limits.get("nets", 0):
            return
        if self.symbol_of[strategy] != symbol or symbol in self.group_of:
            return
        for short in (False, True):
            position = self.rows[strategy].state["position_lots"]
            lots = max(-position if short else position - self._dust(symbol), 0)
            b = self.brackets.get(self.guards[strategy][short])
            if b is not None and b.phase != Phase.PHASE_CLOSED:
                before = int(b.phase)
                self._carry_out(self.brackets.follow(b.handle, max(lots - self._owed(b), 0), now=self.now))
                self._say_bracket(b.handle, before)
            elif lots and self.stops[strategy][short] > 0:
                self._open_guard(strategy, symbol, short=short, lots=lots)

    def _open_guard(self, strategy: int, symbol: int, *, short: bool, lots: int) -> None:
        assert self.brackets is not None
        status, handle, actions = self.brackets.open(
            now=self.now, kind=int(BracketKind.BRACKET_OCO), sell=int(short), qty=lots,
            stop_px=self.stops[strategy][short], entry_ns=GUARD_NS, hold_ns=GUARD_NS,
            flags=int(BracketFlag.BRACKET_FOLLOWS) | self._amending(), symbol=symbol, strategy=strategy,
        )  # fmt: skip
        if status == Status.OK:
            self.guards[strategy][short] = handle
            self._carry_out(actions)
            self._say_bracket(handle, 0)

    # ------------------------------------------------------------------------------------------ after an order changed
    def _forget(self, id_order: int) -> None:
        for held in self.held:
            for key, value in held.items():
                if value == id_order:
                    held[key] = 0

    def _order_changed(self, o: Any, filled: int) -> None:
        """Tell everybody who waits for this order. `filled` is new in it."""
        if not o.live:
            self._forget(o.id_order)
        t = o.terms
        if t["bracket"] and self.brackets:
            before = self._phase(t["bracket"])
            self._carry_out(self.brackets.on_order(self.orders, o.id_order, now=self.now))
            self._say_bracket(t["bracket"], before)
            return
        if filled and t["flags"] & OrderFlag.ORDER_REDUCE_ONLY and self.brackets:
            self._close_outside(t["strategy"], t["symbol"], bool(t["sell"]), filled)
        if t["tag"] & 0xC000 == TAG_ALGO:
            self._tell_algo(o, filled)

    def _take_back(self, id_order: int) -> None:
        """Somebody does not want this order any more. A bracket's entry is recalled, its exits stay."""
        o = self.orders.records[id_order]
        t = o.terms
        if not t["bracket"]:
            if self._cancel(id_order):
                self._order_changed(o, 0)
        elif t["leg"] == BracketLeg.LEG_ENTRY:
            self._recall_bracket(t["bracket"])

    def _stop_of(self, o: Any) -> int:
        """Where the stop of an order's bracket stands."""
        b = self.brackets.get(o.terms["bracket"]) if self.brackets and o.terms["bracket"] else None
        return b.legs[BracketLeg.LEG_STOP].px_stop if b else 0

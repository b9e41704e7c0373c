"""Brackets, orders and a tiny honest venue, with every message between them in the open.

The venue has its own truth. A request reaches it when the test says so; its answers and its fills come back on two
channels of their own, so that either may overtake the other. Whoever drives a desk picks one of `moves()` at a time:
taking every one of them in every order is what "every interleaving" means here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine._core.brackets import BracketActionKind, BracketKind, BracketLeg, BracketPhase
from engine._core.order_table import OrderEvent as On
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderTif
from engine._core.types import Status


class Budget(NamedTuple):
    """How often each kind of trouble may happen on one path."""

    rejects: int = 1
    timeouts: int = 1
    duplicates: int = 1
    lates: int = 1
    cancels: int = 1  # the venue ends an order by itself
    recalls: int = 0


class VenueOrder(NamedTuple):
    sell: bool
    qty: int
    immediate: bool
    filled: int = 0
    status: str = "unborn"  # open, ended
    requests: tuple[tuple[str, int], ...] = ()
    answers: tuple[tuple[int, int, int], ...] = ()  # event, told, quantity
    fills: tuple[tuple[int, int], ...] = ()  # trade, quantity


@dataclass
class Desk:
    orders: Any
    brackets: Any
    budget: Budget
    can_amend: bool = True
    gate_denies: tuple[BracketLeg, ...] = ()
    now: int = 0
    handle: int = 0
    known: int = 0  # booked fills, signed
    venue: dict[int, VenueOrder] = field(default_factory=dict)
    incidents: tuple[int, ...] = ()
    sell: bool = False
    base: int = 0
    qty: int = 0

    def _set(self, id_order: int, **fields: Any) -> None:
        self.venue[id_order] = self.venue[id_order]._replace(**fields)

    def image(self) -> tuple[Any, ...]:
        """Everything, to come back to."""
        return (
            self.orders.image(), self.brackets.image(), dict(self.venue), self.budget, self.now, self.known,
            self.incidents,
        )  # fmt: skip

    def load(self, image: tuple[Any, ...]) -> None:
        orders, brackets, venue, self.budget, self.now, self.known, self.incidents = image
        self.orders.load(orders)
        self.brackets.load(brackets)
        self.venue = dict(venue)

    def key(self) -> tuple[Any, ...]:
        """What decides everything that can follow: the state without its counters and without the order of memories.

        Which fills were seen follows from the records, because fills of one order come in order."""
        orders = self.orders.image()
        (records_end,) = struct.unpack_from("<Q", orders, 216)
        brackets = self.brackets.image()
        return (orders[256:records_end], brackets[192:], tuple(self.venue.items()), self.budget, self.now, self.known)

    # ------------------------------------------------------------------------------------------------- our own side
    def open(self, **terms: Any) -> None:
        self.sell = bool(terms.get("sell", 0))
        oco = terms.get("kind") == BracketKind.BRACKET_OCO
        self.base, self.qty = (terms["qty"], 0) if oco else (0, terms["qty"])
        status, self.handle, actions = self.brackets.open(now=self.now, **terms)
        assert status == Status.OK
        self.carry_out(actions)

    def carry_out(self, actions: list[dict[str, Any]]) -> None:
        """What the step does with the actions of a bracket."""
        for action in actions:
            kind, id_order = action["kind"], action["id_order"]
            if kind == BracketActionKind.BRACKET_INCIDENT:
                self.incidents += (action["qty_lots"],)
            elif kind == BracketActionKind.BRACKET_PLACE:
                self._place(action)
            elif kind == BracketActionKind.BRACKET_AMEND:
                status = self.orders.ask_replace(id_order, px=action["px_ticks"], qty=action["qty_lots"], now=self.now)
                if status == Status.OK:
                    self._ask(id_order, "amend", action["qty_lots"])
                self.brackets.placed(self.orders, id_order)
            else:
                status = self.orders.apply(id_order, On.ON_CANCEL_ASKED, now=self.now)
                if status == Status.OK:
                    self._ask(id_order, "cancel", 0)
                self.brackets.placed(self.orders, id_order)

    def _ask(self, id_order: int, what: str, qty: int) -> None:
        self._set(id_order, requests=(*self.venue[id_order].requests, (what, qty)))

    def _say(self, id_order: int, event: int, told: int, quantity: int = 0, **fields: Any) -> None:
        self._set(id_order, answers=(*self.venue[id_order].answers, (event, told, quantity)), **fields)

    def _place(self, action: dict[str, Any]) -> None:
        if action["leg"] in self.gate_denies:
            self.carry_out(self.brackets.refused(self.handle, action["leg"], now=self.now))
            return
        status, id_order = self.orders.create(
            symbol=action["symbol"], strategy=action["strategy"], tag=action["tag"], sell=action["sell"],
            type=action["type"], tif=action["tif"], px=action["px_ticks"], px_stop=action["px_stop_ticks"],
            qty=action["qty_lots"], flags=action["reduce_only"], bracket=action["handle"], leg=int(action["leg"]),
            now=self.now,
        )  # fmt: skip
        assert status == Status.OK, Status(status).name
        self.orders.send(id_order, now=self.now)
        self.brackets.placed(self.orders, id_order)
        self.venue[id_order] = VenueOrder(
            bool(action["sell"]), action["qty_lots"], action["tif"] == OrderTif.TIF_IOC, requests=(("place", 0),)
        )

    def _changed(self, id_order: int) -> None:
        self.carry_out(self.brackets.on_order(self.orders, id_order, now=self.now))

    # -------------------------------------------------------------------------------------------------------- moves
    def moves(self) -> list[tuple[Any, ...]]:
        """Everything that can happen next."""
        out: list[tuple[Any, ...]] = []
        for id_order, v in self.venue.items():
            if v.requests:
                out.append(("request", id_order))
                if v.requests[0][0] == "place" and self.budget.rejects:
                    out.append(("reject", id_order))
            if v.status == "open":
                out += [("trade", id_order, lots) for lots in range(1, v.qty - v.filled + 1)]
                if v.immediate:
                    out.append(("rest", id_order))
                elif self.budget.cancels:
                    out.append(("venue_cancel", id_order))
            if v.answers:
                out.append(("answer", id_order))
            if v.fills:
                out.append(("fill", id_order))
            if self.budget.duplicates and (v.answers or v.fills):
                out.append(("answer_twice" if v.answers else "fill_twice", id_order))
            state = self.orders.state(id_order)
            if self.budget.timeouts and state in (
                State.STATE_SENT,
                State.STATE_PENDING_CANCEL,
                State.STATE_PENDING_REPLACE,
            ):
                out.append(("timeout", id_order))
            # A query is answered when nothing about the order is on its way any more.
            if state == State.STATE_UNKNOWN and not (v.requests or v.answers or v.fills):
                out.append(("query", id_order))
        if self.budget.lates and self.brackets.brief(self.handle)[0] != BracketPhase.PHASE_CLOSED:
            out.append(("late",))
        if self.budget.recalls:
            out.append(("recall",))
        return out

    def _spend(self, name: str) -> None:
        self.budget = self.budget._replace(**{name: getattr(self.budget, name) - 1})

    def do(self, move: tuple[Any, ...]) -> None:
        getattr(self, f"_do_{move[0]}")(*move[1:])

    def _do_request(self, id_order: int) -> None:
        (what, qty), *rest = self.venue[id_order].requests
        self._set(id_order, requests=tuple(rest))
        v = self.venue[id_order]
        if what == "place":
            self._say(id_order, On.ON_ACK, 0, status="open")
        elif v.status != "open":
            late = On.ON_CANCEL_TOO_LATE if v.filled == v.qty else On.ON_CANCEL_NO_ORDER
            self._say(id_order, On.ON_REPLACE_NO_ORDER if what == "amend" else late, v.filled)
        elif what == "cancel":
            self._say(id_order, On.ON_CANCELED, v.filled, status="ended")
        elif qty > v.filled and self.can_amend:
            self._say(id_order, On.ON_REPLACED, v.filled, qty, qty=qty)
        else:
            self._say(id_order, On.ON_REPLACE_REFUSED, v.filled)

    def _do_reject(self, id_order: int) -> None:
        self._spend("rejects")
        self._say(id_order, On.ON_REJECT, 0, status="ended", requests=self.venue[id_order].requests[1:])

    def _do_trade(self, id_order: int, lots: int) -> None:
        v = self.venue[id_order]
        # The trade's number is its place in its order's fills: the same on every path.
        trade = id_order % 1000 * 1_000_000 + v.filled
        ended = v.filled + lots == v.qty
        self._set(
            id_order,
            fills=(*v.fills, (trade, lots)), filled=v.filled + lots, status="ended" if ended else "open",
        )  # fmt: skip

    def _do_rest(self, id_order: int) -> None:
        self._say(id_order, On.ON_EXPIRE, self.venue[id_order].filled, status="ended")

    def _do_venue_cancel(self, id_order: int) -> None:
        self._spend("cancels")
        self._say(id_order, On.ON_CANCELED, self.venue[id_order].filled, status="ended")

    def _do_answer(self, id_order: int, *, keep: bool = False) -> None:
        v = self.venue[id_order]
        event, told, qty = v.answers[0]
        if not keep:
            self._set(id_order, answers=v.answers[1:])
        if event == On.ON_REPLACED:
            px = self.orders.find(id_order)["px_ticks"]
            status = self.orders.replaced(id_order, px=px, qty=qty, now=self.now)
        else:
            status = self.orders.apply(id_order, event, told=told, now=self.now)
        assert status == Status.OK, (On(event).name, Status(status).name, self.orders.find(id_order))
        self._changed(id_order)

    def _do_fill(self, id_order: int, *, keep: bool = False) -> None:
        v = self.venue[id_order]
        trade, lots = v.fills[0]
        if not keep:
            self._set(id_order, fills=v.fills[1:])
        status = self.orders.fill(id_order, trade=trade, qty=lots, sell=int(v.sell), now=self.now)
        assert status in (Status.OK, Status.ORDER_LATE_FILL, Status.ORDER_DUPLICATE_FILL), Status(status).name
        if status != Status.ORDER_DUPLICATE_FILL:
            self.known += -lots if v.sell else lots
        self._changed(id_order)

    def _do_answer_twice(self, id_order: int) -> None:
        self._spend("duplicates")
        self._do_answer(id_order, keep=True)

    def _do_fill_twice(self, id_order: int) -> None:
        self._spend("duplicates")
        self._do_fill(id_order, keep=True)

    def _do_timeout(self, id_order: int) -> None:
        self._spend("timeouts")
        assert self.orders.apply(id_order, On.ON_TIMEOUT, now=self.now) == Status.OK
        self._changed(id_order)

    def _do_query(self, id_order: int) -> None:
        v = self.venue[id_order]
        if v.status == "open":
            event = On.ON_REPLACED if self.orders.find(id_order)["qty_new_lots"] else On.ON_ACK
        else:
            event = On.ON_CANCELED if v.filled or self.orders.find(id_order)["told_lots"] else On.ON_ABSENT
        self._say(id_order, event, v.filled, v.qty)

    def _do_late(self) -> None:
        self._spend("lates")
        self.now = max(self.now, self.brackets.brief(self.handle)[2])
        self.carry_out(self.brackets.due(self.now))

    def _do_recall(self) -> None:
        self._spend("recalls")
        self.carry_out(self.brackets.recall(self.handle, now=self.now))

    # -------------------------------------------------------------------------------------------------- what must hold
    def true_position(self) -> int:
        return sum(-v.filled if v.sell else v.filled for v in self.venue.values())

    def in_flight(self) -> bool:
        return any(v.requests or v.answers or v.fills for v in self.venue.values())

    def check(self) -> None:
        self.orders.check()
        self.brackets.check()
        assert self.orders.trouble_count == 0, self.orders.counts
        assert self.brackets.trouble_count == 0, self.brackets.counts
        # What we believe and what may still come always contains what is true at the venue.
        buys, sells = self.orders.open_lots(0)
        true = self.true_position()
        assert self.known - sells <= true <= self.known + buys, (true, self.known, buys, sells)
        held = self.base + (-true if self.sell else true)
        came_in = self.base + sum(v.filled for v in self.venue.values() if v.sell == self.sell)
        assert -came_in <= held <= self.base + self.qty, (held, came_in)
        if not self.in_flight():
            self._check_quiet(held)

    def _check_quiet(self, held: int) -> None:
        """Nothing is on its way: what we know is the truth, and what is held is protected."""
        if any(self.orders.state(i) == State.STATE_UNKNOWN for i in self.venue):
            return  # its deadline and its query are on their way
        phase, believed, _, id_stop = self.brackets.brief(self.handle)
        assert believed == held
        exits = [v.qty - v.filled for v in self.venue.values() if v.status == "open" and v.sell != self.sell]
        stop = self.venue.get(id_stop)
        covered = stop is not None and stop.status == "open" and stop.qty - stop.filled >= held
        if phase == BracketPhase.PHASE_STUCK:
            assert self.incidents, "stuck without an incident"
        elif held > 0:
            # An unwind at market is working; when it has ended the next one takes what is then held.
            assert covered or (phase == BracketPhase.PHASE_UNWINDING and sum(exits) > 0), (phase, held, stop, exits)
        elif held < 0:
            back = sum(v.qty - v.filled for v in self.venue.values() if v.status == "open" and v.sell == self.sell)
            assert phase == BracketPhase.PHASE_OVER, (phase, held, back)
            assert back > 0, (phase, held, back)

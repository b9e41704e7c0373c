"""Holds the orders that we believe in against what the venue says. A world and one look in, a plan out.

Whatever the venue's evidence decides becomes the report that should have come, as an event for the core - nothing in
the world is changed here. What no evidence decides yet waits, at its worst case. Sorted input, no clock, no chance: the
same look gives the same plan, and a plan that was carried out gives an empty one. The sums are books.py's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.order_table import OrderState as State
from engine._core.types import EVENT, ORDER, Flag, Kind
from engine.journal.breaks import Tolerances
from engine.journal.port import CANCELED, EXPIRED, OPEN, REJECTED, VenueOrder, VenueTrade, VenueView

FOREIGN_BIT = 1 << 61  # ids of adopted orders that carry no client id of ours


@dataclass(frozen=True)
class Row:
    """One line of the table that a start shows."""

    what: str
    believed: str
    venue: str
    action: str


@dataclass
class Plan:
    """What the venue's evidence decides, as reports for the core; and what it does not."""

    rows: list[Row] = field(default_factory=list)
    events: list[npt.NDArray[Any]] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    foreign: list[VenueOrder] = field(default_factory=list)

    @property
    def changes(self) -> int:
        return len(self.events)

    def records(self) -> npt.NDArray[Any]:
        return np.concatenate(self.events) if self.events else np.zeros(0, EVENT)


def report(
    kind: int, *, id_order: int, symbol: int, sell: bool, now_ns: int, px_ticks: int = 0, qty_lots: int = 0,
    filled_lots: int = 0, id_venue: int = 0, ts_venue_ns: int = 0,
) -> npt.NDArray[Any]:  # fmt: skip
    """One record of KIND_ORDER_*, as the user stream would have brought it."""
    row = np.zeros(1, ORDER)
    row["kind"], row["symbol"], row["flags"] = kind, symbol, Flag.FLAG_SELL if sell else 0
    row["ts_recv_ns"], row["ts_venue_ns"] = now_ns, ts_venue_ns or now_ns
    row["id_order"], row["px_ticks"], row["qty_lots"] = id_order, px_ticks, qty_lots
    row["filled_lots"], row["id_venue"] = filled_lots, id_venue
    return row.view(EVENT)


def state_name(state: int) -> str:
    return State(state).name.removeprefix("STATE_").lower()


_ENDS = {CANCELED: Kind.KIND_ORDER_CANCELED, REJECTED: Kind.KIND_ORDER_REJECTED, EXPIRED: Kind.KIND_ORDER_EXPIRED}
_UNANSWERED = {State.STATE_CREATED, State.STATE_GATED, State.STATE_JOURNALED, State.STATE_SENT, State.STATE_UNKNOWN}


def settle(
    orders: npt.NDArray[Any], view: VenueView, booked: set[tuple[int, bool, int]], *, now_ns: int,
    tolerances: Tolerances, known: Iterable[int] = (), unsent: Iterable[int] = (),
) -> Plan:  # fmt: skip
    """Decide every live order of ours, and every open order of the venue that is not ours.

    `booked` has (symbol, sell, trade id) of every fill that the core has seen; `known` the ids that this engine gave
    out; `unsent` those whose intent was never recorded, and so never sent.
    """
    plan = Plan()
    missing: dict[int, list[VenueTrade]] = defaultdict(list)
    for trade in view.trades:
        if (trade.symbol, trade.sell, trade.id_trade) not in booked:
            missing[trade.id_order].append(trade)
    at_venue = {o.id_order: o for o in view.open_orders if o.id_order}
    live = {}
    for o in orders:
        id_order = int(o["id_order"])
        # A stop that waits here for its price was never sent, so that the venue has not heard of it proves nothing. Has
        # it heard of it, then the record of its leaving is lost and its number is used up: it ends here.
        if not o["trigger"] or (id_order not in at_venue and (view.asked.get(id_order) or id_order in missing)):
            live[id_order] = o
        elif id_order in at_venue:
            _left(plan, o, at_venue[id_order], now_ns)
    never = set(unsent)
    for id_order in sorted(live):
        _one(
            plan,
            live[id_order],
            at_venue.get(id_order),
            view,
            missing.pop(id_order, []),
            now_ns,
            tolerances,
            id_order in never,
        )
    for id_order in sorted(missing):
        for trade in missing[id_order]:
            # Of an order that has ended here, or that nobody knows: booked all the same, the core calls it an incident.
            plan.events.append(_fill(trade, now_ns))
            plan.rows.append(Row(f"trade {trade.id_trade}", "not seen", _trade_text(trade), "book it, an incident"))
    given = set(known)
    for order in view.open_orders:
        if order.id_order not in live:
            plan.foreign.append(order)
            ours = order.id_order in given
            plan.rows.append(
                Row(f"order {order.id_order or order.id_venue}", "ended" if ours else "not ours", _order_text(order),
                    tolerances.foreign)
            )  # fmt: skip
    return plan


def _one(
    plan: Plan, o: Any, there: VenueOrder | None, view: VenueView, trades: list[VenueTrade], now_ns: int,
    tolerances: Tolerances, unsent: bool,
) -> None:  # fmt: skip
    """One live order: first its fills, then what became of the rest."""
    id_order, symbol, sell, state = int(o["id_order"]), int(o["symbol"]), bool(o["sell"]), State(int(o["state"]))
    believed = f"{state_name(state)}, {int(o['filled_lots'])} of {int(o['qty_lots'])} at {int(o['px_ticks'])}"
    filled = int(o["filled_lots"]) + sum(t.qty_lots for t in trades)
    for trade in trades:
        plan.events.append(_fill(trade, now_ns))
    actions = [f"book {len(trades)} fills"] if trades else []
    say: dict[str, Any] = {"id_order": id_order, "symbol": symbol, "sell": sell, "now_ns": now_ns}
    answer = there or view.asked.get(id_order)
    if filled >= int(o["qty_lots"]):
        text = "filled"
    elif there is not None:
        text = _order_text(there)
        arriving = now_ns - int(o["ts_changed_ns"]) < tolerances.inflight_ns
        actions += _confirm(plan, o, state, there, say, filled, arriving=arriving)
    elif answer is None:
        text = "unheard of"
        if filled:
            # Fills without an order: its record is gone at the venue, its trades are not.
            plan.events.append(report(Kind.KIND_ORDER_CANCELED, filled_lots=filled, **say))
            actions.append("ended with what was filled")
        elif not unsent and now_ns - int(o["ts_created_ns"]) < tolerances.inflight_ns:
            plan.waiting.append(id_order)
            actions.append("wait: the request may still arrive")
        else:
            if state != State.STATE_UNKNOWN:
                # The table takes "absent" for an order that is in doubt, and this one is by now.
                plan.events.append(report(Kind.KIND_ORDER_LOST, **say))
            plan.events.append(report(Kind.KIND_ORDER_ABSENT, **say))
            actions.append("never arrived")
    elif answer.state in _ENDS and filled >= answer.filled_lots:
        text = answer.state
        plan.events.append(report(_ENDS[answer.state], filled_lots=answer.filled_lots, id_venue=answer.id_venue, **say))
        actions.append(answer.state)
    else:
        # The venue counts fills that its list of trades does not show yet, or it opened between two questions.
        text = _order_text(answer)
        plan.waiting.append(id_order)
        actions.append("wait for its trades" if answer.state != OPEN else "wait")
    if actions:
        plan.rows.append(Row(f"order {id_order}", believed, text, ", ".join(actions)))


def _left(plan: Plan, o: Any, there: VenueOrder, now_ns: int) -> None:
    """What waits here works there: nobody here knows that one, and it is treated like everything foreign."""
    id_order = int(o["id_order"])
    plan.events.append(
        report(Kind.KIND_ORDER_CANCELED, id_order=id_order, symbol=int(o["symbol"]), sell=bool(o["sell"]),
               now_ns=now_ns, filled_lots=there.filled_lots)
    )  # fmt: skip
    plan.rows.append(Row(f"order {id_order}", "waits here for its price", _order_text(there), "its number is used up"))


def _confirm(
    plan: Plan, o: Any, state: State, there: VenueOrder, say: dict[str, Any], filled: int, *, arriving: bool
) -> list[str]:
    """The venue has it open. What was asked a moment ago may still arrive: that is no evidence yet."""
    actions = []
    told: dict[str, Any] = {"filled_lots": there.filled_lots, "id_venue": there.id_venue}
    unchanged = there.qty_lots == o["qty_lots"] and there.px_ticks == o["px_ticks"]
    if state in _UNANSWERED:
        plan.events.append(report(Kind.KIND_ORDER_ACK, **told, **say))
        actions.append("open")
    elif state == State.STATE_PENDING_CANCEL and arriving:
        plan.waiting.append(int(o["id_order"]))
        actions.append("wait: the cancel may still arrive")
    elif state == State.STATE_PENDING_CANCEL:
        plan.events.append(report(Kind.KIND_ORDER_CANCEL_REFUSED, **told, **say))
        actions.append("the cancel did not arrive: open")
    elif state == State.STATE_PENDING_REPLACE and arriving and unchanged:
        plan.waiting.append(int(o["id_order"]))
        actions.append("wait: the amend may still arrive")
    elif state == State.STATE_PENDING_REPLACE or not unchanged:
        plan.events.append(
            report(Kind.KIND_ORDER_REPLACED, px_ticks=there.px_ticks, qty_lots=there.qty_lots,
                   id_venue=there.id_venue, filled_lots=there.filled_lots, **say)
        )  # fmt: skip
        actions.append("the venue's terms hold")
    if there.filled_lots > filled:
        plan.waiting.append(int(o["id_order"]))
        actions.append("wait for its trades")
    return actions


def _fill(trade: VenueTrade, now_ns: int) -> npt.NDArray[Any]:
    return report(
        Kind.KIND_ORDER_FILL, id_order=trade.id_order, symbol=trade.symbol, sell=trade.sell, now_ns=now_ns,
        px_ticks=trade.px_ticks, qty_lots=trade.qty_lots, id_venue=trade.id_trade, ts_venue_ns=trade.ts_ns,
    )  # fmt: skip


def _order_text(order: VenueOrder) -> str:
    return f"{order.state}, {order.filled_lots} of {order.qty_lots} at {order.px_ticks}"


def _trade_text(trade: VenueTrade) -> str:
    side = "sold" if trade.sell else "bought"
    return f"{side} {trade.qty_lots} at {trade.px_ticks} for order {trade.id_order}"

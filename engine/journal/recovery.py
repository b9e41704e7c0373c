"""From a journal that ended somehow to an engine that may go on: load, step the tail, ask the venue, settle, begin.

    recover(root, core, port)   reads and decides; nothing is written, nothing is sent but the cancels of a policy
    Recovered.begin(tape)       in a new session whose first snapshot is this world: the evidence is its first events

What cannot be known is not guessed: damage refuses, a world that does not replay to its own record refuses, an order
without evidence stays UNKNOWN at its worst case. Run again after `begin`, or after dying in the middle of either, it
comes to the same state: evidence that is booked is not booked twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import Flag, Kind
from engine.errors import RecoveryRefused, ReplayDiverged
from engine.journal.breaks import Break, Tolerances, order_breaks
from engine.journal.compare import adopt, epoch_of, set_epoch
from engine.journal.layout import Session, find_session
from engine.journal.port import VenueOrder, VenuePort, look
from engine.journal.reader import open_session
from engine.journal.reconcile import FOREIGN_BIT, Plan, Row, settle
from engine.journal.replay import replay_session
from engine.journal.snapshot import latest

STRATEGY_NONE = 0xFFFF


@dataclass
class Recovered:
    """A world that stands where the journal ended, and what the venue's evidence makes of it."""

    core: Core
    session: Session
    records: int
    next_epoch: int
    plan: Plan
    from_record: int
    notes: list[str] = field(default_factory=list)
    adopted: list[int] = field(default_factory=list)
    canceled: list[int] = field(default_factory=list)
    trades_acknowledged: int = 0
    breaks: list[Break] = field(default_factory=list)
    booked: set[tuple[int, bool, int]] = field(default_factory=set)

    @property
    def green(self) -> bool:
        """Whether orders may go out: nothing waits for evidence, nothing differs."""
        return not self.plan.waiting and not self.breaks

    def meta(self) -> dict[str, Any]:
        """What the new session's file must say, for the recovery after the next crash."""
        beyond = sorted(key for key in self.booked if key[2] > self.trades_acknowledged)
        return {"trades_acknowledged": self.trades_acknowledged, "booked": [list(key) for key in beyond]}

    def begin(self, tape: Tape) -> int:
        """Journal and step the evidence, each event before its outputs. Returns how many events."""
        return apply(self.core, tape, self.plan.records())

    def table(self) -> list[Row]:
        return self.plan.rows

    def ask_again(self, tape: Tape, port: VenuePort, *, now_ns: int, tolerances: Tolerances | None = None) -> Plan:
        """Look once more, for what waits: after `begin`, on a timer, after each reconnect."""
        self.booked |= booked_fills(self.plan.records())
        live = self.core.world.live_orders()
        view = look(port, trades_since=self.trades_acknowledged, ask=[int(x) for x in live["id_order"]])
        self.plan = settle(live, view, self.booked, now_ns=now_ns, tolerances=tolerances or Tolerances())
        apply(self.core, tape, self.plan.records())
        return self.plan


def apply(core: Core, tape: Tape, events: npt.NDArray[Any]) -> int:
    """Take events in outside the driver's loop: to the tape, through the core, its outputs to the tape."""
    for at in range(len(events)):
        tape.append(events[at : at + 1])
        _, made = core.step(events[at : at + 1])
        tape.append(made)
    return len(events)


def booked_fills(rows: npt.NDArray[Any]) -> set[tuple[int, bool, int]]:
    """(symbol, sell, trade id) of every fill that a journal brought to the core."""
    fills = rows[rows["kind"] == Kind.KIND_ORDER_FILL]
    return {
        (int(symbol), bool(flags & Flag.FLAG_SELL), int(word[4]))
        for symbol, flags, word in zip(fills["symbol"], fills["flags"], fills["word"], strict=True)
    }


def recover(
    root: Path,
    core: Core,
    port: VenuePort,
    *,
    now_ns: int,
    tolerances: Tolerances | None = None,
    boot: bytes | None = None,
) -> Recovered:
    """Bring a core, bound to its strategies, to where the journal's newest session ended; then ask the venue."""
    limits = tolerances or Tolerances()
    session = find_session(root)
    opened = open_session(session, boot=boot).must_be_sound()
    snapshot, problems = latest(session, at_most=opened.count)
    try:
        done = replay_session(core, session, opened=opened, start=snapshot)
    except ReplayDiverged as error:
        raise RecoveryRefused(
            f"{session.path.name} does not replay on this build, so its world is not known: {error.detail}"
        ) from error
    notes = [*problems, *([opened.torn] if opened.torn else [])]
    if len(done.pending):
        notes.append(f"{len(done.pending)} outputs of the last event were never recorded, so never sent")

    meta = session.file.meta if session.file else {}
    acknowledged = int(meta.get("trades_acknowledged", 0))
    rows = opened.records()
    booked = booked_fills(rows) | {(int(a), bool(b), int(c)) for a, b, c in meta.get("booked", [])}
    now_ns = max(now_ns, core.world.now_ns)
    live = core.world.live_orders()
    view = look(port, trades_since=acknowledged, ask=[int(x) for x in live["id_order"]])
    places = rows[rows["kind"] == Kind.KIND_INTENT_PLACE]
    unsent = done.pending[done.pending["kind"] == Kind.KIND_INTENT_PLACE] if len(done.pending) else places[:0]
    plan = settle(
        live, view, booked, now_ns=now_ns, tolerances=limits, known={int(x) for x in places["word"][:, 0]},
        unsent={int(x) for x in unsent["word"][:, 0]},
    )  # fmt: skip
    out = Recovered(
        core, session, opened.count, epoch_of(core.world) + 1, plan, snapshot.record_number, notes, booked=booked
    )
    set_epoch(core.world, out.next_epoch)
    _foreign(out, port, limits, now_ns)
    # Only what the world itself holds is acknowledged: if we die before `begin` has journaled the rest, the next
    # recovery must find it again.
    out.trades_acknowledged = acknowledged
    for trade in view.trades:
        if (trade.symbol, trade.sell, trade.id_trade) not in booked:
            break
        out.trades_acknowledged = trade.id_trade
    return out


def _foreign(out: Recovered, port: VenuePort, limits: Tolerances, now_ns: int) -> None:
    """Adopt or cancel what the venue has open and we do not; or refuse to start."""
    if out.plan.foreign and limits.foreign == "refuse":
        names = ", ".join(str(order.id_order or order.id_venue) for order in out.plan.foreign)
        raise RecoveryRefused(f"Open orders that are not ours: {names}. Cancel them, or set foreign = adopt or cancel.")
    for order in out.plan.foreign:
        if limits.foreign == "adopt":
            if adopt(
                out.core.world, id_order=adopted_id(order), symbol=order.symbol, sell=order.sell,
                px_ticks=order.px_ticks, qty_lots=order.qty_lots, filled_lots=order.filled_lots,
                id_venue=order.id_venue, strategy=STRATEGY_NONE, tag=0, now_ns=now_ns,
            ):  # fmt: skip
                out.adopted.append(adopted_id(order))
        else:
            port.cancel(order)
            out.canceled.append(order.id_order or order.id_venue)


def adopted_id(order: VenueOrder) -> int:
    """The client id of an adopted order: its own, or one made of the venue's number; never one that we could give."""
    return order.id_order or FOREIGN_BIT | order.id_venue & (FOREIGN_BIT - 1)


def verify(recovered: Recovered, port: VenuePort, *, base_lots: dict[int, int] | None = None,
           tolerances: Tolerances | None = None) -> list[Break]:  # fmt: skip
    """After `begin`: does the world now hold what the venue says? What it does not keeps the engine from green."""
    limits = tolerances or Tolerances()
    world = recovered.core.world
    view = look(port, trades_since=recovered.trades_acknowledged, ask=[])
    held = world.positions()["lots"]
    found = order_breaks(world.live_orders(), view)
    if limits.foreign == "adopt":
        mine = {int(x) for x in world.live_orders()["id_order"]}
        found = [b for b in found if b.what != "foreign" or not mine & {adopted_id(o) for o in view.open_orders}]
    for symbol, lots in sorted(view.positions.items()):
        here = int(held[symbol]) + (base_lots or {}).get(symbol, 0)
        if abs(lots - here) > limits.position_lots:
            found.append(Break("position", symbol, here, lots))
    waiting = {int(o["symbol"]) for o in world.live_orders() if int(o["id_order"]) in recovered.plan.waiting}
    recovered.breaks = [b for b in found if b.symbol not in waiting]
    return recovered.breaks

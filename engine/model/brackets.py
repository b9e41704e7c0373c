"""Twin of the brackets: one object a bracket, quantities added up from its legs, the phases in plain words.

The transitions are written down a second time here; a test holds the two tables together. What a bracket asks for comes
back as dictionaries, like the kernel's. Orders are the records of the orders' twin: read, never changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine._core.bracket_table import BracketPhase as Phase
from engine._core.bracket_table import BracketSign as Sign
from engine._core.brackets import BracketActionKind as Act
from engine._core.brackets import BracketFlag as Flag
from engine._core.brackets import BracketIncident as Incident
from engine._core.brackets import BracketKind as Kind
from engine._core.brackets import BracketLeg as Leg
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderTif, OrderType
from engine._core.types import Status

NEVER_NS = 2**63 - 1
LOTS_MAX = 2**40
TAG = 0x8000
DUE_MAX, ONE_MAX = 48, 12  # actions of one look at the deadlines, and of one bracket in it
WAITS = "covered>COVERED over>OVER linger>CLOSING flat>CLOSED"
TEXT = {
    "WAITING": f"idle>= bare>BARE {WAITS} late>CLOSING flatten>CLOSING",
    "BARE": f"idle>WAITING bare>= {WAITS} late>UNWINDING give_up>UNWINDING flatten>UNWINDING",
    "COVERED": f"idle>WAITING bare>BARE {WAITS} late>UNWINDING flatten>UNWINDING",
    "UNWINDING": "bare>= covered>= over>OVER linger>CLOSING flat>CLOSED late>= give_up>STUCK flatten>=",
    "OVER": "bare>UNWINDING covered>UNWINDING over>= linger>CLOSING flat>CLOSED late>= give_up>STUCK flatten>=",
    "CLOSING": f"bare>BARE {WAITS} late>= give_up>STUCK flatten>=",
    "STUCK": f"bare>UNWINDING {WAITS} late>= blocked>= flatten>=",
    "CLOSED": "bare>BARE over>OVER linger>CLOSING flat>= flatten>=",
}


def _rows() -> dict[tuple[Phase, Sign], Phase]:
    out: dict[tuple[Phase, Sign], Phase] = {}
    for name, row in TEXT.items():
        for pair in row.split():
            sign, goal = pair.split(">")
            out[Phase[f"PHASE_{name}"], Sign[f"SIGN_{sign.upper()}"]] = Phase[f"PHASE_{name if goal == '=' else goal}"]
    return out


TABLE = _rows()
SETTLED = (State.STATE_OPEN, State.STATE_PARTIAL)


@dataclass
class LegRow:
    id_order: int = 0
    qty: int = 0
    qty_new: int = 0
    filled: int = 0  # of the order it has now
    total: int = 0  # of all its orders
    px: int = 0
    px_stop: int = 0
    state: State = State.STATE_FREE
    sell: bool = False
    type: int = 0
    tif: int = 0
    places: int = 0
    asks: int = 0

    @property
    def lives(self) -> bool:
        return State.STATE_CREATED <= self.state <= State.STATE_UNKNOWN

    @property
    def settled(self) -> bool:
        return self.state in SETTLED

    @property
    def open(self) -> int:
        return self.qty - self.filled

    def covers(self, held: int) -> bool:
        amending = self.state == State.STATE_PENDING_REPLACE
        least = min(self.qty, self.qty_new) if amending else self.qty
        return (self.settled or amending) and least - self.filled >= held


@dataclass
class Bracket:
    handle: int
    terms: dict[str, int]
    base: int = 0
    over: int = 0
    outside: int = 0
    owed: int = 0
    qty: int = 0
    flags: int = 0
    phase: Phase = Phase.PHASE_WAITING
    deadline: int = 0
    changed: int = 0
    lates: int = 0
    incidents: set[Incident] = field(default_factory=set)
    legs: dict[Leg, LegRow] = field(default_factory=dict)

    @property
    def sell(self) -> bool:
        return bool(self.terms["sell"])

    @property
    def held(self) -> int:
        came = self.base + self.legs[Leg.LEG_ENTRY].total + self.over
        return came - sum(self.legs[one].total for one in (Leg.LEG_STOP, Leg.LEG_TARGET, Leg.LEG_UNWIND)) - self.outside


DEFAULTS = {
    "kind": int(Kind.BRACKET_OTOCO), "sell": 0, "qty": 1, "entry_px": 0, "stop_px": 0, "stop_limit_px": 0,
    "target_px": 0, "entry_ns": 1_000, "hold_ns": 10_000, "flags": 0, "symbol": 0, "strategy": 0, "signal": 0,
    "entry_tif": 0,
}  # fmt: skip


def _whole(t: dict[str, int]) -> bool:
    """Long: stop < entry < target; short: mirrored. An entry at market has no price to compare."""
    way, entry, target, stop = (-1 if t["sell"] else 1), t["entry_px"], t["target_px"], t["stop_px"]
    follows = bool(t["flags"] & Flag.BRACKET_FOLLOWS)
    oco = t["kind"] == Kind.BRACKET_OCO
    return all((
        0 <= t["kind"] <= Kind.BRACKET_OTOCO, t["sell"] in (0, 1), 0 < t["qty"] <= LOTS_MAX, stop > 0,
        entry >= 0, t["stop_limit_px"] >= 0, target >= 0, not t["flags"] & ~int(Flag.BRACKET_ASKED),
        oco or not follows, (target > 0) == (t["kind"] != Kind.BRACKET_OTO) or follows,
        t["hold_ns"] > 0, t["entry_ns"] > 0, not oco or (entry == 0 and t["entry_tif"] == OrderTif.TIF_GTC),
        t["entry_tif"] < OrderTif.TIF_COUNT, t["entry_tif"] != OrderTif.TIF_GTD,
        entry == 0 or way * (entry - stop) > 0, entry == 0 or target == 0 or way * (target - entry) > 0,
        target == 0 or way * (target - stop) > 0,
    ))  # fmt: skip


class Brackets:
    def __init__(self, *, capacity: int = 4, protect_ns: int = 100, unwind_ns: int = 100, close_ns: int = 100,
                 alarm_ns: int = 1_000, places_max: int = 8, unwinds_max: int = 3, asks_max: int = 3,
                 lates_max: int = 2) -> None:  # fmt: skip
        self.wait = {
            Phase.PHASE_BARE: protect_ns, Phase.PHASE_UNWINDING: unwind_ns, Phase.PHASE_OVER: unwind_ns,
            Phase.PHASE_CLOSING: close_ns, Phase.PHASE_STUCK: alarm_ns,
        }  # fmt: skip
        self.places_max, self.unwinds_max, self.asks_max, self.lates_max = places_max, unwinds_max, asks_max, lates_max
        self.slots: list[Bracket | None] = [None] * capacity
        self.closed: list[int] = []  # slots of closed brackets, the first to close first
        self.counted: dict[int, int] = {}  # what was counted of each order
        self.tally = dict.fromkeys(("refused", "illegal", "incident", "orphan", "opened"), 0)
        self._out: list[dict[str, Any]] = []

    # ------------------------------------------------------------------------------------------------ what is true now
    def _sign(self, b: Bracket) -> Sign:
        held, legs = b.held, b.legs
        entry, stop, unwind = legs[Leg.LEG_ENTRY], legs[Leg.LEG_STOP], legs[Leg.LEG_UNWIND]
        exits = stop.lives or legs[Leg.LEG_TARGET].lives or unwind.lives
        spent = not unwind.lives and unwind.places >= self.unwinds_max
        if held == 0 and not exits and not entry.lives and not b.owed:
            return Sign.SIGN_FLAT
        if held > 0 and stop.covers(held) and not (b.phase == Phase.PHASE_STUCK and unwind.lives):
            return Sign.SIGN_COVERED
        flying = any(leg.lives and not leg.settled for leg in legs.values())
        if b.phase == Phase.PHASE_STUCK and (flying or (held != 0 and spent)):
            return Sign.SIGN_BLOCKED
        if held < 0:
            return Sign.SIGN_GIVE_UP if b.phase == Phase.PHASE_OVER and spent else Sign.SIGN_OVER
        if held > 0:
            bare = b.phase == Phase.PHASE_BARE and not stop.lives and stop.places >= self.places_max
            gives_up = bare or (b.phase == Phase.PHASE_UNWINDING and spent)
            return Sign.SIGN_GIVE_UP if gives_up else Sign.SIGN_BARE
        return Sign.SIGN_IDLE if entry.lives and not b.flags & Flag.BRACKET_RECALLED else Sign.SIGN_LINGER

    # ------------------------------------------------------------------------------------------------------ what to do
    def _emit(self, b: Bracket, kind: Act, leg: Leg, **fields: Any) -> None:
        t = b.terms
        row = {
            "kind": kind, "leg": leg, "handle": b.handle, "symbol": t["symbol"], "strategy": t["strategy"],
            "tag": TAG | ((b.handle & 0xFFFF) - 1) << 2 | leg, "id_order": 0, "px_ticks": 0, "px_stop_ticks": 0,
            "qty_lots": 0, "type": 0, "tif": 0, "sell": 0, "reduce_only": 0,
        }  # fmt: skip
        self._out.append(row | fields)

    def _incident(self, b: Bracket, what: Incident) -> None:
        self._emit(b, Act.BRACKET_INCIDENT, Leg.LEG_ENTRY, qty_lots=int(what))
        b.incidents.add(what)
        self.tally["incident"] += 1

    def _place(self, b: Bracket, which: Leg, lots: int, sell: bool) -> None:
        leg = b.legs[which]
        leg.id_order, leg.state, leg.sell = 0, State.STATE_CREATED, sell
        leg.qty, leg.qty_new, leg.filled, leg.asks = lots, 0, 0, 0
        leg.places += 1
        self._emit(b, Act.BRACKET_PLACE, which, qty_lots=lots, px_ticks=leg.px, px_stop_ticks=leg.px_stop,
                   type=leg.type, tif=leg.tif, sell=int(sell), reduce_only=int(which != Leg.LEG_ENTRY))  # fmt: skip

    def _cancel(self, b: Bracket, which: Leg) -> None:
        leg = b.legs[which]
        if not leg.lives or not leg.id_order or leg.state == State.STATE_PENDING_CANCEL:
            return
        if leg.state == State.STATE_UNKNOWN and leg.asks:
            return
        if leg.asks >= self.asks_max:
            if Incident.INCIDENT_STUBBORN not in b.incidents:
                self._incident(b, Incident.INCIDENT_STUBBORN)
            return
        leg.asks += 1
        self._emit(b, Act.BRACKET_CANCEL, which, id_order=leg.id_order)
        if leg.state != State.STATE_UNKNOWN:
            leg.state = State.STATE_PENDING_CANCEL

    def _resize(self, b: Bracket, which: Leg, want: int) -> None:
        """An exit's open quantity is what is wanted, by one request at most."""
        leg = b.legs[which]
        if not leg.lives:
            if want > 0 and leg.places < self.places_max:
                self._place(b, which, want, not b.sell)
            return
        if want == 0:
            self._cancel(b, which)
            return
        if leg.open == want or not leg.settled:
            return
        needed = Flag.BRACKET_AMEND_DOWN if leg.open > want else Flag.BRACKET_AMEND_UP
        if not b.flags & needed or leg.asks + 1 >= self.asks_max:
            self._cancel(b, which)
            return
        self._emit(b, Act.BRACKET_AMEND, which, id_order=leg.id_order, px_ticks=leg.px, qty_lots=leg.filled + want)
        leg.qty_new, leg.state = leg.filled + want, State.STATE_PENDING_REPLACE
        leg.asks += 1

    def _unwind(self, b: Bracket, lots: int, sell: bool) -> None:
        leg = b.legs[Leg.LEG_UNWIND]
        if leg.lives:
            if leg.sell != sell or leg.open > lots:
                self._cancel(b, Leg.LEG_UNWIND)
        elif leg.places < self.unwinds_max:
            self._place(b, Leg.LEG_UNWIND, lots, sell)

    def _act(self, b: Bracket) -> None:
        stop, target = b.legs[Leg.LEG_STOP], b.legs[Leg.LEG_TARGET]
        if b.flags & Flag.BRACKET_RECALLED and b.phase != Phase.PHASE_STUCK:
            self._cancel(b, Leg.LEG_ENTRY)
        if b.phase in (Phase.PHASE_BARE, Phase.PHASE_COVERED):
            self._resize(b, Leg.LEG_STOP, b.held)
            # Shrunk at once; placed and grown only over what is covered.
            if b.phase == Phase.PHASE_COVERED or (target.lives and target.open > b.held):
                self._resize(b, Leg.LEG_TARGET, b.held if target.px else 0)
        elif b.phase not in (Phase.PHASE_CLOSED, Phase.PHASE_STUCK):
            self._resize(b, Leg.LEG_STOP, 0)
            self._resize(b, Leg.LEG_TARGET, 0)
            if b.phase == Phase.PHASE_OVER:
                self._unwind(b, -b.held, b.sell)
            elif b.phase != Phase.PHASE_UNWINDING:
                self._cancel(b, Leg.LEG_UNWIND)
            elif not stop.lives and not target.lives:
                self._unwind(b, b.held, not b.sell)

    # ---------------------------------------------------------------------------------------------------------- phases
    def _stand(self, b: Bracket, phase: Phase, sign: Sign, now: int) -> None:
        slot = (b.handle & 0xFFFF) - 1
        if phase != b.phase:
            if phase == Phase.PHASE_OVER:
                self._incident(b, Incident.INCIDENT_BOTH_FILLED)
            elif phase == Phase.PHASE_STUCK:
                self._incident(b, Incident.INCIDENT_STUCK)
            elif (phase, b.phase) == (Phase.PHASE_UNWINDING, Phase.PHASE_BARE) and sign != Sign.SIGN_FLATTEN:
                self._incident(b, Incident.INCIDENT_UNPROTECTED)
            if b.phase == Phase.PHASE_CLOSED:
                self._incident(b, Incident.INCIDENT_REOPENED)
                self.closed.remove(slot)
            b.lates = 0
        elif phase == Phase.PHASE_STUCK:
            self._incident(b, Incident.INCIDENT_STILL_STUCK)
            unwind = b.legs[Leg.LEG_UNWIND]
            if not unwind.lives:
                unwind.places = min(unwind.places, self.unwinds_max - 1)
        for leg in b.legs.values():
            leg.asks = 0
        wait = {Phase.PHASE_WAITING: b.terms["entry_ns"], Phase.PHASE_COVERED: b.terms["hold_ns"]} | self.wait
        if phase >= Phase.PHASE_UNWINDING:
            b.flags |= Flag.BRACKET_RECALLED
        b.phase, b.changed = phase, now
        b.deadline = NEVER_NS if phase == Phase.PHASE_CLOSED else now + wait[phase]
        if phase == Phase.PHASE_CLOSED:
            self.closed.append(slot)

    def _pass(self, b: Bracket, sign: Sign, now: int, *, always: bool = False) -> bool:
        phase = TABLE.get((b.phase, sign))
        if phase is None:
            self.tally["illegal"] += 1
            return False
        changed = phase != b.phase
        if changed or always:
            self._stand(b, phase, sign, now)
        return changed

    def _settle(self, b: Bracket, now: int) -> None:
        for turn in range(4):
            if not self._pass(b, self._sign(b), now) and turn:
                return
            self._act(b)

    def _said(self) -> list[dict[str, Any]]:
        out, self._out = self._out, []
        return out

    # ---------------------------------------------------------------------------------------------------- from outside
    def get(self, handle: int) -> Bracket | None:
        slot = (handle & 0xFFFF) - 1
        b = self.slots[slot] if 0 <= slot < len(self.slots) else None
        return b if b is not None and b.handle == handle else None

    def _begin(self, t: dict[str, int], now: int) -> tuple[Status, Bracket | None]:
        if not _whole(t):
            self.tally["refused"] += 1
            return Status.BRACKET_BAD_TERMS, None
        if None in self.slots:
            slot, generation = self.slots.index(None), 1
        elif self.closed:
            slot = self.closed.pop(0)
            before = self.slots[slot]
            assert before is not None
            generation = ((before.handle >> 16) + 1) & 0xFFFF
        else:
            self.tally["refused"] += 1
            return Status.BRACKET_TABLE_FULL, None
        limit, market = int(OrderType.TYPE_LIMIT), int(OrderType.TYPE_MARKET)
        b = Bracket(generation << 16 | slot + 1, t, qty=t["qty"], flags=t["flags"], changed=now)
        b.deadline = now + t["entry_ns"]
        b.legs = {
            Leg.LEG_ENTRY: LegRow(px=t["entry_px"], sell=bool(t["sell"]), type=limit if t["entry_px"] else market,
                                  tif=t["entry_tif"] if t["entry_px"] else int(OrderTif.TIF_IOC)),
            Leg.LEG_STOP: LegRow(px=t["stop_limit_px"], px_stop=t["stop_px"],
                                 type=int(OrderType.TYPE_STOP_LIMIT if t["stop_limit_px"] else OrderType.TYPE_STOP)),
            Leg.LEG_TARGET: LegRow(px=t["target_px"], type=limit),
            Leg.LEG_UNWIND: LegRow(type=market, tif=int(OrderTif.TIF_IOC)),
        }  # fmt: skip
        self.slots[slot] = b
        self.tally["opened"] += 1
        return Status.OK, b

    def open(self, *, now: int = 0, **terms: int) -> tuple[Status, int, list[dict[str, Any]]]:
        t = DEFAULTS | terms
        status, b = self._begin(t, now)
        if b is None:
            return status, 0, []
        if t["kind"] == Kind.BRACKET_OCO:
            b.base = t["qty"]
        else:
            self._place(b, Leg.LEG_ENTRY, t["qty"], b.sell)
        self._settle(b, now)
        return Status.OK, b.handle, self._said()

    def _mirror(self, leg: LegRow, o: Any) -> None:
        known = max(o.told, o.filled)
        if (o.qty, known) != (leg.qty, leg.filled):
            leg.asks = 0
        leg.state, leg.qty, leg.qty_new, leg.filled = o.state, o.qty, o.new[1] if o.new else 0, known

    def _bind(self, b: Bracket, which: Leg, o: Any) -> None:
        leg = b.legs[which]
        o.terms["bracket"], o.terms["leg"] = b.handle, int(which)
        self.counted[o.id_order] = max(o.told, o.filled)
        leg.id_order, leg.sell, leg.places = o.id_order, bool(o.terms["sell"]), 1
        self._mirror(leg, o)

    def adopt(self, orders: Any, *, entry: int = 0, stop: int = 0, target: int = 0, now: int = 0,
              **terms: int) -> tuple[Status, int, list[dict[str, Any]]]:  # fmt: skip
        """Over what was found at the venue: a position and whichever of its orders live."""
        t = DEFAULTS | terms
        found = {Leg.LEG_ENTRY: entry, Leg.LEG_STOP: stop, Leg.LEG_TARGET: target}
        rows = {leg: orders.records[number] for leg, number in found.items() if number in orders.records}
        for leg, o in rows.items():
            side = t["sell"] if leg == Leg.LEG_ENTRY else 1 - t["sell"]
            if (o.terms["sell"], o.terms["symbol"]) != (side, t["symbol"]):
                self.tally["refused"] += 1
                return Status.BRACKET_BAD_TERMS, 0, []
        status, b = self._begin(t, now)
        if b is None:
            return status, 0, []
        b.base = t["qty"]
        for leg, o in rows.items():
            self._bind(b, leg, o)
        if Leg.LEG_ENTRY in rows:
            b.qty += b.legs[Leg.LEG_ENTRY].open
        self._settle(b, now)
        return Status.OK, b.handle, self._said()

    def placed(self, orders: Any, id_order: int) -> None:
        o = orders.records.get(id_order)
        if o is None:
            return
        b = self.get(o.terms["bracket"])
        if b is None:
            return
        leg = b.legs[Leg(o.terms["leg"])]
        leg.id_order = leg.id_order or o.id_order
        if leg.id_order == o.id_order:
            self._mirror(leg, o)

    def refused(self, handle: int, which: int, *, now: int = 0) -> list[dict[str, Any]]:
        b = self.get(handle)
        if b is None or which >= Leg.LEG_COUNT or b.legs[Leg(which)].id_order:
            return []
        leg = b.legs[Leg(which)]
        leg.state = State.STATE_DENIED
        if which != Leg.LEG_ENTRY:
            # Asked again in the same event it would be denied again: its attempts are used up.
            leg.places = max(leg.places, self.unwinds_max if which == Leg.LEG_UNWIND else self.places_max)
        self._settle(b, now)
        return self._said()

    def on_order(self, orders: Any, id_order: int, *, now: int = 0) -> list[dict[str, Any]]:
        o = orders.records.get(id_order)
        if o is None or not o.terms["bracket"]:
            return []
        before = self.counted.get(o.id_order, 0)
        known = told = max(o.told, o.filled)
        b = self.get(o.terms["bracket"])
        if b is not None and o.terms["leg"] == Leg.LEG_ENTRY:
            # The fills of the entry alone: what is not booked nobody may close.
            known = max(o.filled, before)
            b.owed = told - known
        news = known - before
        self.counted[o.id_order] = known
        if b is None:
            if news:
                self.tally["orphan"] += 1
                self.tally["incident"] += 1
                return [{"kind": Act.BRACKET_INCIDENT, "leg": Leg.LEG_ENTRY, "handle": o.terms["bracket"],
                         "symbol": o.terms["symbol"], "id_order": o.id_order, "strategy": 0, "tag": 0,
                         "qty_lots": int(Incident.INCIDENT_ORPHAN), "px_ticks": 0, "px_stop_ticks": 0, "type": 0,
                         "tif": 0, "sell": 0, "reduce_only": 0}]  # fmt: skip
            return []
        which = Leg(o.terms["leg"])
        if which == Leg.LEG_UNWIND and bool(o.terms["sell"]) == b.sell:
            b.over += news
        else:
            b.legs[which].total += news
        if b.legs[which].id_order == o.id_order:
            self._mirror(b.legs[which], o)
        if b.flags & Flag.BRACKET_FOLLOWS and b.held < 0:
            b.base -= b.held
        self._settle(b, now)
        return self._said()

    def outside(self, handle: int, lots: int, *, now: int = 0) -> list[dict[str, Any]]:
        b = self.get(handle)
        if b is None or lots <= 0:
            return []
        b.outside += lots
        self._settle(b, now)
        return self._said()

    def follow(self, handle: int, lots: int, *, now: int = 0) -> list[dict[str, Any]]:
        b = self.get(handle)
        if b is None or not b.flags & Flag.BRACKET_FOLLOWS or b.phase == Phase.PHASE_CLOSED:
            return []
        want = max(0, lots - b.outside)
        b.base += want - b.held
        b.qty = max(b.qty, want)
        self._settle(b, now)
        return self._said()

    def recall(self, handle: int, *, now: int = 0) -> list[dict[str, Any]]:
        b = self.get(handle)
        if b is None:
            return []
        b.flags |= Flag.BRACKET_RECALLED
        self._settle(b, now)
        return self._said()

    def flatten(self, handle: int, *, now: int = 0) -> list[dict[str, Any]]:
        b = self.get(handle)
        if b is None:
            return []
        self._pass(b, Sign.SIGN_FLATTEN, now)
        b.flags |= Flag.BRACKET_RECALLED
        self._settle(b, now)
        return self._said()

    def due(self, now: int) -> list[dict[str, Any]]:
        for b in self.slots:
            if b is None or b.deadline > now or len(self._out) + ONE_MAX > DUE_MAX:
                continue
            b.lates += 1
            gives_up = b.lates > self.lates_max and (b.phase, Sign.SIGN_GIVE_UP) in TABLE
            self._pass(b, Sign.SIGN_GIVE_UP if gives_up else Sign.SIGN_LATE, now, always=True)
            self._settle(b, now)
        return self._said()

    # --------------------------------------------------------------------------------------------------------- reading
    def facts(self, handle: int) -> dict[str, Any] | None:
        """What can be observed of a bracket, by the kernel's names."""
        b = self.get(handle)
        if b is None:
            return None
        return {
            "handle": b.handle, "phase": int(b.phase), "flags": b.flags, "held_lots": b.held, "base_lots": b.base,
            "over_lots": b.over, "outside_lots": b.outside, "qty_lots": b.qty, "deadline_ns": b.deadline,
            "lates": b.lates, "incidents": sum(1 << one for one in b.incidents),
            "legs": [(leg.id_order, leg.qty, leg.filled, leg.total, int(leg.state), leg.places, leg.asks)
                     for leg in b.legs.values()],
        }  # fmt: skip

    def brief(self, handle: int) -> tuple[Phase, int, int, int] | None:
        b = self.get(handle)
        return None if b is None else (b.phase, b.held, b.deadline, b.legs[Leg.LEG_STOP].id_order)

    @property
    def trouble_count(self) -> int:
        return self.tally["refused"] + self.tally["illegal"] + self.tally["orphan"]

    @property
    def live(self) -> list[Bracket]:
        return [b for b in self.slots if b is not None and b.phase != Phase.PHASE_CLOSED]

    @property
    def counts(self) -> dict[str, int]:
        return {f"{name}_count": value for name, value in self.tally.items()} | {"live_count": len(self.live)}

    def check(self) -> None:
        for slot, b in enumerate(self.slots):
            if b is None:
                continue
            came = b.base + b.legs[Leg.LEG_ENTRY].total + b.outside
            assert -came <= b.held <= b.qty
            assert (b.deadline == NEVER_NS) == (b.phase == Phase.PHASE_CLOSED) == (slot in self.closed)
            if b.phase == Phase.PHASE_CLOSED:
                assert b.held == 0
                assert not any(leg.lives for leg in b.legs.values())

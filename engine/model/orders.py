"""Twin of the orders: dictionaries of records, sums worked out anew at each question.

The transitions are written down a second time here, by state and in plain words; a test holds the two tables together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine._core.order_table import OrderEvent as On
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderActionKind, OrderFlag, OrderTif, OrderType
from engine._core.types import Status

NEVER_NS = 2**63 - 1
DAY_NS = 86_400_000_000_000
LOTS_MAX = 2**40
LIVE = [state for state in State if State.STATE_CREATED <= state <= State.STATE_UNKNOWN]

_ENDS = "canceled>CANCELED reject>?REJECTED expire>EXPIRED"
_LATE = "cancel_too_late>UNKNOWN cancel_no_order>UNKNOWN replace_no_order>UNKNOWN"
_SENT = f"ack>?WORKING fill_part>PARTIAL fill_rest>FILLED cancel_asked>PENDING_CANCEL {_ENDS} timeout>UNKNOWN"
_GONE = "fill_rest>FILLED cancel_no_order>= replace_no_order>= expire>= send>= fill_part>="
_OVER = f"{_GONE} ack>= canceled>= cancel_refused>= cancel_too_late>= replaced>= replace_refused>="
_RESTS = (
    f"ack>= fill_part>PARTIAL fill_rest>FILLED cancel_asked>PENDING_CANCEL cancel_refused>= "
    f"replace_asked>PENDING_REPLACE replaced>?WORKING replace_refused>= {_ENDS} {_LATE} timeout>UNKNOWN"
)
TEXT = {
    "CREATED": "gate>GATED deny>DENIED",
    "GATED": "journal>JOURNALED deny>DENIED",
    "JOURNALED": f"send>SENT {_SENT}",
    "SENT": _SENT,
    "OPEN": f"{_RESTS} fire>SENT",
    "PARTIAL": _RESTS,
    "PENDING_CANCEL": (
        f"send>= ack>= fill_part>= fill_rest>FILLED cancel_asked>= cancel_refused>?WORKING replaced>= "
        f"replace_refused>= {_ENDS} {_LATE} timeout>UNKNOWN"
    ),
    "PENDING_REPLACE": (
        f"ack>= fill_part>= fill_rest>FILLED cancel_asked>PENDING_CANCEL cancel_refused>= replaced>?WORKING "
        f"replace_refused>?WORKING {_ENDS} {_LATE} timeout>UNKNOWN"
    ),
    "UNKNOWN": (
        f"send>= ack>?WORKING fill_part>= fill_rest>FILLED cancel_asked>= cancel_refused>?WORKING replaced>?WORKING "
        f"replace_refused>?WORKING {_ENDS} {_LATE} timeout>= absent>?ABSENT"
    ),
    "FILLED": "send>= ack>= cancel_refused>= cancel_too_late>= cancel_no_order>= replaced>= replace_refused>= "
    "replace_no_order>=",
    "CANCELED": _OVER,
    "REJECTED": f"{_GONE} reject>= absent>=",
    "EXPIRED": _OVER,
}


def _rows() -> dict[tuple[State, On], State]:
    out: dict[tuple[State, On], State] = {}
    for name, row in TEXT.items():
        for pair in row.split():
            event, target = pair.split(">")
            goal = name if target == "=" else target
            member = State[f"TO_{goal[1:]}"] if goal.startswith("?") else State[f"STATE_{goal}"]
            out[State[f"STATE_{name}"], On[f"ON_{event.upper()}"]] = member
    return out


TABLE = _rows()


def transitions() -> list[tuple[State, On, State]]:
    return [(state, event, target) for (state, event), target in TABLE.items()]


@dataclass
class _Order:
    terms: dict[str, int]
    id_order: int
    qty: int
    px: int
    state: State = State.STATE_CREATED
    filled: int = 0
    told: int = 0
    value: int = 0
    new: tuple[int, int] | None = None
    deadline: int = NEVER_NS
    changed: int = 0
    reasons: int = 0
    keyed: bool = True
    stamp: int = 0

    @property
    def live(self) -> bool:
        return State.STATE_CREATED <= self.state <= State.STATE_UNKNOWN

    @property
    def bound(self) -> int:
        return max(self.qty, self.new[1]) if self.new else self.qty

    @property
    def exposure(self) -> int:
        return self.bound - self.filled if self.live else max(0, self.told - self.filled)

    def resolved(self, target: State) -> State | None:
        if target == State.TO_WORKING:
            if self.new:
                return State.STATE_PENDING_REPLACE
            if self.filled >= self.qty:
                return State.STATE_FILLED
            return State.STATE_PARTIAL if self.filled else State.STATE_OPEN
        if target in (State.TO_REJECTED, State.TO_ABSENT):
            if not self.filled and not self.told:
                return State.STATE_REJECTED
            return State.STATE_UNKNOWN if target == State.TO_REJECTED else None
        return target

    def drop_amend(self) -> None:
        if self.new and max(self.told, self.filled) > self.qty:
            self.qty = self.new[1]
        self.new = None


class Orders:
    def __init__(self, *, capacity: int = 16, symbols: int = 2, epoch: int = 1, requests_kept: int | None = None,
                 fills_kept: int | None = None, ack_ns: int = 100, cancel_ns: int = 100, replace_ns: int = 100,
                 unknown_ns: int = 1000) -> None:  # fmt: skip
        self.capacity, self.symbols, self.epoch = capacity, symbols, epoch
        self.requests_kept, self.fills_kept = requests_kept or 4 * capacity, fills_kept or 8 * capacity
        self.wait = {
            State.STATE_JOURNALED: ack_ns, State.STATE_SENT: ack_ns, State.STATE_PENDING_CANCEL: cancel_ns,
            State.STATE_PENDING_REPLACE: replace_ns, State.STATE_UNKNOWN: unknown_ns,
        }  # fmt: skip
        self.counter = 0
        self.records: dict[int, _Order] = {}
        self.ended: list[int] = []
        self.requests: dict[int, list[Any]] = {}  # id: [time, state, reasons], oldest first
        self.fills: dict[tuple[int, int, int], int] = {}
        self.tally: dict[str, int] = dict.fromkeys(
            ("refused", "illegal", "unknown_id", "overfill", "terms", "busy", "duplicate_id", "duplicate_fill",
             "late_fill", "repeat", "unknown"), 0)  # fmt: skip

    # ------------------------------------------------------------------------------------------------------ creating
    def create(self, *, id_order: int = 0, symbol: int = 0, strategy: int = 0, tag: int = 0, sell: int = 0,
               type: int = 0, tif: int = 0, px: int = 100, px_stop: int = 0, qty: int = 1, display: int = 0,  # noqa: A002
               expire: int = 0, flags: int = 0, signal: int = 0, bracket: int = 0, leg: int = 0, now: int = 0,
               adopt: tuple[int, int, int] | None = None) -> tuple[int, int]:  # fmt: skip
        terms = dict(symbol=symbol, strategy=strategy, tag=tag, sell=sell, type=type, tif=tif, px_stop=px_stop,
                     display=display, expire=expire, flags=flags, signal=signal, bracket=bracket, leg=leg)  # fmt: skip
        whole = self._whole(terms, px, qty, -1 if adopt else now)
        if not whole or (adopt and (not id_order or not 0 <= adopt[1] < qty)):
            self.tally["terms"] += 1
            return Status.ORDER_BAD_TERMS, 0
        seen = self.requests.get(id_order)
        if id_order in self.records or (not adopt and seen and now - seen[0] <= DAY_NS):
            self.tally["duplicate_id"] += 1
            return Status.ORDER_DUPLICATE_ID, id_order if id_order in self.records else 0
        keyed = adopt is None or strategy != 0xFFFF
        if keyed and self.find_key(strategy=strategy, symbol=symbol, sell=bool(sell), tag=tag):
            self.tally["busy"] += 1
            if adopt is None:
                return Status.ORDER_BUSY, 0
            keyed = False
        id_order = id_order or (self.epoch << 40) + self.counter + 1
        if len(self.records) == self.capacity:
            if not self.ended:
                self.tally["refused"] += 1
                return Status.ORDER_TABLE_FULL, 0
            del self.records[self.ended.pop(0)]
        if id_order >> 40 == self.epoch:
            self.counter = max(self.counter, id_order & (2**40 - 1))
        o = _Order(terms, id_order, qty, px, changed=now, keyed=keyed)
        self.records[id_order] = o
        self._remember(self.requests, self.requests_kept, id_order, now)
        if adopt:
            o.filled = o.told = adopt[1]
            o.value = adopt[2]
            self._enter(o, State.TO_WORKING, now)
        return Status.OK, id_order

    def _whole(self, t: dict[str, int], px: int, qty: int, now: int) -> bool:
        kind = OrderType(t["type"]) if t["type"] < OrderType.TYPE_COUNT else None
        if kind is None or t["tif"] >= OrderTif.TIF_COUNT or t["symbol"] >= self.symbols or t["sell"] > 1:
            return False
        limits = (
            OrderType.TYPE_LIMIT,
            OrderType.TYPE_STOP_LIMIT,
            OrderType.TYPE_TAKE_PROFIT_LIMIT,
            OrderType.TYPE_ICEBERG,
        )
        tif = OrderTif(t["tif"])
        conditional = OrderType.TYPE_STOP <= kind <= OrderType.TYPE_TRAILING
        return all((
            t["flags"] in (0, 1, 2, 3), 0 < qty <= LOTS_MAX, max(px, t["px_stop"]) * qty < 2**63,
            px > 0 if kind in limits else px == 0,
            t["px_stop"] > 0 if conditional else t["px_stop"] == 0,
            tif != OrderTif.TIF_GTX or kind == OrderType.TYPE_LIMIT,
            kind != OrderType.TYPE_MARKET or tif in (OrderTif.TIF_IOC, OrderTif.TIF_FOK),
            t["expire"] > now if tif == OrderTif.TIF_GTD else t["expire"] == 0,
            0 < t["display"] <= qty and tif == OrderTif.TIF_GTC if kind == OrderType.TYPE_ICEBERG else not t["display"],
        ))  # fmt: skip

    @staticmethod
    def _remember(memory: dict[Any, Any], bound: int, key: Any, now: int) -> None:
        if key in memory:
            memory[key] = [now, *memory[key][1:]] if isinstance(memory[key], list) else now
            return
        if len(memory) == bound:
            del memory[next(iter(memory))]
        memory[key] = [now, State.STATE_FREE, 0] if isinstance(key, int) else now

    # --------------------------------------------------------------------------------------------------- transitions
    def _enter(self, o: _Order, target: State, now: int) -> None:
        state = o.resolved(target)
        assert state is not None
        was_live = o.live
        self.tally["unknown"] += state == State.STATE_UNKNOWN != o.state
        if state != o.state or state == State.STATE_PENDING_CANCEL:
            o.deadline = now + self.wait[state] if state in self.wait else NEVER_NS
            if state in (State.STATE_OPEN, State.STATE_PARTIAL) and o.terms["expire"]:
                o.deadline = o.terms["expire"]
        o.state, o.changed = state, now
        if not o.live:
            o.drop_amend()
            if was_live:
                self.ended.append(o.id_order)
                o.keyed, o.deadline = False, NEVER_NS
                seen = self.requests.get(o.id_order)
                if seen and now - seen[0] <= DAY_NS:
                    seen[1:] = [state, o.reasons]

    def _count(self, what: str, status: Status) -> Status:
        self.tally[what] += 1
        return status

    def apply(self, id_order: int, what: int, *, told: int = 0, now: int = 0) -> int:
        o = self.records.get(id_order)
        if o is None:
            return Status.ORDER_UNKNOWN_ID
        carry = (On.ON_FILL_PART, On.ON_FILL_REST, On.ON_REPLACE_ASKED, On.ON_REPLACED)
        if what in carry or (o.state, what) not in TABLE:
            return self._count("illegal", Status.ORDER_ILLEGAL)
        raw = TABLE[o.state, On(what)]
        if raw == State.TO_ABSENT and (o.filled or o.told or told):
            return self._count("illegal", Status.ORDER_ILLEGAL)
        if told > o.bound:
            return self._count("overfill", Status.ORDER_OVERFILL)
        if not o.live:
            if told <= o.told:
                return self._count("repeat", Status.OK)
            o.told = told
            return Status.OK
        o.told = max(o.told, told)
        target = o.resolved(raw)
        answered = what in (On.ON_REPLACE_REFUSED, On.ON_REPLACE_NO_ORDER)
        if answered or target not in LIVE:
            o.drop_amend()
            target = o.resolved(raw)
            if o.filled >= o.qty and target in LIVE:
                target = State.STATE_FILLED
        assert target is not None
        self.tally["repeat"] += target == o.state and what != On.ON_CANCEL_ASKED
        self._enter(o, target, now)
        return Status.OK

    def deny(self, id_order: int, reasons: int, *, now: int = 0) -> int:
        o = self.records.get(id_order)
        if o and (o.state, On.ON_DENY) in TABLE:
            o.reasons = reasons
        return self.apply(id_order, On.ON_DENY, now=now)

    def send(self, id_order: int, *, now: int = 0) -> int:
        return [self.apply(id_order, what, now=now) for what in (On.ON_GATE, On.ON_JOURNAL, On.ON_SEND)][-1]

    def ask_replace(self, id_order: int, *, px: int, qty: int, now: int = 0) -> int:
        o = self.records.get(id_order)
        if o is None:
            return Status.ORDER_UNKNOWN_ID
        if (o.state, On.ON_REPLACE_ASKED) not in TABLE:
            return self._count("illegal", Status.ORDER_ILLEGAL)
        if not o.filled < qty <= LOTS_MAX or (px <= 0) != (o.px == 0) or px < 0 or px * qty >= 2**63:
            return self._count("terms", Status.ORDER_BAD_TERMS)
        o.new = (px, qty)
        self._enter(o, State.STATE_PENDING_REPLACE, now)
        return Status.OK

    def replaced(self, id_order: int, *, px: int, qty: int, now: int = 0) -> int:
        o = self.records.get(id_order)
        if o is None:
            return Status.ORDER_UNKNOWN_ID
        target = TABLE.get((o.state, On.ON_REPLACED))
        if target is None:
            return self._count("illegal", Status.ORDER_ILLEGAL)
        if not o.live:
            return self._count("repeat", Status.OK)
        if not max(o.filled, o.told, 1) <= qty <= LOTS_MAX or px < 0 or (px == 0) != (o.px == 0):
            return self._count("terms", Status.ORDER_BAD_TERMS)
        o.px, o.qty, o.new = px, qty, None
        self._enter(o, State.TO_WORKING if o.filled >= qty else target, now)
        return Status.OK

    def fill(self, id_order: int, *, trade: int, qty: int, px: int = 100, told: int = 0, symbol: int = 0, sell: int = 0,
             now: int = 0) -> int:  # fmt: skip
        if not (symbol < self.symbols and sell <= 1 and 0 < qty <= LOTS_MAX and px > 0 and trade >= 0 and told >= 0):
            return self._count("terms", Status.ORDER_BAD_TERMS)
        key = (symbol, sell, trade)
        if key in self.fills and now - self.fills[key] <= DAY_NS:
            return self._count("duplicate_fill", Status.ORDER_DUPLICATE_FILL)
        o = self.records.get(id_order)
        if o is None:
            self._remember(self.fills, self.fills_kept, key, now)
            return self._count("unknown_id", Status.ORDER_UNKNOWN_ID)
        if (o.terms["symbol"], o.terms["sell"]) != (symbol, sell):
            return self._count("terms", Status.ORDER_MISMATCH)
        left = o.bound - o.filled
        if qty > left or told > o.bound:
            return self._count("overfill", Status.ORDER_OVERFILL)
        target = TABLE.get((o.state, On.ON_FILL_REST if qty == left else On.ON_FILL_PART))
        if target is None:
            return self._count("illegal", Status.ORDER_ILLEGAL)
        if o.value + px * qty >= 2**63:
            return self._count("terms", Status.ORDER_BAD_TERMS)
        self._remember(self.fills, self.fills_kept, key, now)
        late = not o.live
        o.filled += qty
        o.value += px * qty
        o.told = max(o.told, told, o.filled)
        self._enter(o, target, now)
        return self._count("late_fill", Status.ORDER_LATE_FILL) if late else Status.OK

    # ------------------------------------------------------------------------------------------------ time, questions
    def due(self, now: int, *, out_max: int = 64) -> list[tuple[OrderActionKind, int]]:
        for id_order in self.ended[:64]:
            if now - self.records[id_order].changed <= DAY_NS:
                break
            self.ended.remove(id_order)
            del self.records[id_order]
        out = []
        # The youngest first: the order in which the kernel's list holds them.
        for o in [o for o in reversed(self.records.values()) if o.live and o.deadline <= now][:out_max]:
            if o.state == State.STATE_UNKNOWN:
                out.append((OrderActionKind.ORDER_ACTION_ALARM, o.id_order))
                o.deadline = now + self.wait[State.STATE_UNKNOWN]
            elif o.state in (State.STATE_OPEN, State.STATE_PARTIAL):
                out.append((OrderActionKind.ORDER_ACTION_CANCEL, o.id_order))
                o.deadline = now + self.wait[State.STATE_PENDING_CANCEL]
            else:
                out.append((OrderActionKind.ORDER_ACTION_QUERY, o.id_order))
                self.apply(o.id_order, On.ON_TIMEOUT, now=now)
        return out

    def answer(self, id_order: int, *, now: int = 0) -> tuple[State, int] | None:
        o = self.records.get(id_order)
        if o:
            return o.state, o.reasons
        seen = self.requests.get(id_order)
        return (seen[1], seen[2]) if seen and now - seen[0] <= DAY_NS else None

    def find(self, id_order: int) -> dict[str, Any] | None:
        o = self.records.get(id_order)
        if o is None:
            return None
        return {
            "id_order": o.id_order, "state": o.state, "qty_lots": o.qty, "px_ticks": o.px, "filled_lots": o.filled,
            "told_lots": o.told, "filled_value": o.value, "exposure_lots": o.exposure, "live": o.live,
            "deadline_ns": o.deadline, "reasons": o.reasons, "qty_new_lots": o.new[1] if o.new else 0,
            "px_new_ticks": o.new[0] if o.new else 0,
        }  # fmt: skip

    def state(self, id_order: int) -> State:
        return self.records[id_order].state if id_order in self.records else State.STATE_FREE

    def find_key(self, *, strategy: int = 0, symbol: int = 0, sell: bool = False, tag: int = 0) -> int:
        for o in self.records.values():
            t = o.terms
            if o.keyed and (t["strategy"], t["symbol"], bool(t["sell"]), t["tag"]) == (strategy, symbol, sell, tag):
                return o.id_order
        return 0

    def symbol(self, symbol: int) -> dict[str, int]:
        mine = [o for o in self.records.values() if o.terms["symbol"] == symbol]

        def total(sell: int, *, unknown: bool = False, reduce: bool = False) -> int:
            return sum(o.exposure for o in mine if o.terms["sell"] == sell
                       and (not unknown or o.state == State.STATE_UNKNOWN)
                       and (not reduce or o.terms["flags"] & OrderFlag.ORDER_REDUCE_ONLY))  # fmt: skip

        return {
            "open_buy_lots": total(0), "open_sell_lots": total(1),
            "unknown_buy_lots": total(0, unknown=True), "unknown_sell_lots": total(1, unknown=True),
            "reduce_buy_lots": total(0, reduce=True), "reduce_sell_lots": total(1, reduce=True),
            "live_count": sum(o.live for o in mine),
        }  # fmt: skip

    def ids(self) -> list[int]:
        return sorted(self.records)

    @property
    def counts(self) -> dict[str, int]:
        counts = {f"{name}_count": value for name, value in self.tally.items()}
        counts["live_count"] = sum(o.live for o in self.records.values())
        counts["ended_count"] = len(self.ended)
        return counts

    def check(self) -> None:
        for o in self.records.values():
            assert 0 <= o.filled <= o.told <= o.bound
            assert o.live or o.id_order in self.ended

"""Twin of the matching book: a dictionary of orders, sorted anew whenever somebody asks who is next.

It decides in the same order as the kernel and shares no structure with it: no levels, no heaps, no pages. What has
no meaning here (pages, room for events, slots) is unbounded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from engine._core.match import Flag, Kind, ListKind, Reason, State, Stp
from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import Status
from engine.errors import MatchBadConfig

_TRIGGERS = range(WishType.TYPE_STOP, WishType.TYPE_TRAILING + 1)
_ALONE = ("id", "owner", "sell", "type", "qty_lots")
_DEFAULTS = {
    "px_ticks": 0, "tif": 0, "stp": 0, "trigger_px": 0, "trail": 0, "display_lots": 0, "expire_ns": 0, "budget": 0,
    "flags": 0,
}  # fmt: skip


@dataclass
class _Order:
    id: int
    owner: int
    sell: bool
    type: int
    qty_lots: int
    px_ticks: int
    tif: int
    stp: int
    trigger_px: int
    trail: int
    display_lots: int
    expire_ns: int
    budget: int
    flags: int
    left_lots: int = 0
    hidden_lots: int = 0
    filled_lots: int = 0
    prevented_lots: int = 0
    state: int = State.STATE_TAKING
    triggered: bool = False
    above: bool = False
    place: int = 0  # time priority
    legs: _Legs | None = None
    leg: int = 0

    @property
    def is_market(self) -> bool:
        if self.type == WishType.TYPE_TRAILING:
            return self.px_ticks == 0
        return self.type in (WishType.TYPE_MARKET, WishType.TYPE_STOP, WishType.TYPE_TAKE)

    @property
    def rest(self) -> int:
        return self.left_lots + self.hidden_lots


@dataclass
class _Legs:
    kind: int
    held: bool
    orders: list[_Order | None]

    def pair_of(self, leg: int) -> int | None:
        first = {int(ListKind.LIST_OCO): 0, int(ListKind.LIST_OTOCO): 1}.get(self.kind)
        return None if first is None or leg < first else 2 * first + 1 - leg


class Match:
    def __init__(
        self,
        *,
        px_max: int,
        qty_max: int,
        px_min: int = 1,
        qty_min: int = 1,
        market_qty_max: int = 0,
        notional_min: int = 0,
        bid_up_ppm: int = 0,
        bid_down_ppm: int = 0,
        ask_up_ppm: int = 0,
        ask_down_ppm: int = 0,
        owner_orders_max: int = 200,
        owner_algo_max: int = 5,
        owner_iceberg_max: int = 10,
        iceberg_parts_max: int = 100,
        owners_max: int = 64,
        **_sizes: int,
    ) -> None:
        if px_min < 1 or px_max < px_min or qty_min < 1 or qty_max < qty_min:
            raise MatchBadConfig(f"prices {px_min} to {px_max}, quantities {qty_min} to {qty_max}")
        self.px_min, self.px_max, self.qty_min, self.qty_max = px_min, px_max, qty_min, qty_max
        self.market_qty_max = market_qty_max or qty_max
        self.notional_min = notional_min
        self.bounds = {False: (bid_up_ppm, bid_down_ppm), True: (ask_up_ppm, ask_down_ppm)}
        self.caps = (owner_orders_max, owner_algo_max, owner_iceberg_max)
        self.iceberg_parts_max = iceberg_parts_max
        self.owners_max = owners_max
        self.orders: dict[int, _Order] = {}
        self.work: deque[_Order] = deque()
        self.last_px = self.reference_px = self.now_ns = self.id_trade = self.reason = 0
        self.halted = False
        self._place = 0
        self._events: list[tuple[int, ...]] = []

    # ------------------------------------------------------------------------------------------------ who is next
    def _side(self, sell: bool) -> list[_Order]:
        """One side's orders, the next to trade first."""
        book = [o for o in self.orders.values() if o.state == State.STATE_BOOK and o.sell == sell]
        return sorted(book, key=lambda o: (o.px_ticks if sell else -o.px_ticks, o.place))

    @property
    def best_bid(self) -> int:
        side = self._side(False)
        return side[0].px_ticks if side else 0

    @property
    def best_ask(self) -> int:
        side = self._side(True)
        return side[0].px_ticks if side else 0

    @property
    def live_count(self) -> int:
        return len(self.orders)

    def depth(self, sell: bool, levels: int) -> list[tuple[int, int]]:
        out: dict[int, int] = {}
        for o in self._side(sell):
            out[o.px_ticks] = out.get(o.px_ticks, 0) + o.left_lots
        return list(out.items())[:levels]

    def queue(self, px: int) -> list[int]:
        book = [o for o in self.orders.values() if o.state == State.STATE_BOOK and o.px_ticks == px]
        return [o.id for o in sorted(book, key=lambda o: o.place)]

    def owner_counts(self, owner: int) -> tuple[int, int, int]:
        mine = [o for o in self.orders.values() if o.owner == owner] if owner else []
        return (len(mine), sum(o.type in _TRIGGERS for o in mine), sum(o.type == WishType.TYPE_ICEBERG for o in mine))

    def order(self, id: int) -> dict[str, Any] | None:  # noqa: A002  (the kernel's name)
        o = self.orders.get(id)
        if o is None:
            return None
        names = (
            "id owner sell type tif px_ticks qty_lots left_lots hidden_lots filled_lots prevented_lots trigger_px "
            "state triggered"
        )
        return {name: getattr(o, name) for name in names.split()}

    def cost(self, sell: bool, qty_lots: int) -> int:
        total = 0
        for o in self._side(not sell):
            lots = min(qty_lots, o.rest)
            total += lots * o.px_ticks
            qty_lots -= lots
        return total if qty_lots <= 0 else -1

    # ------------------------------------------------------------------------------------------------------ events
    def events(self) -> list[tuple[int, ...]]:
        out, self._events = self._events, []
        return out

    def _tell(self, o: _Order, kind: int, reason: int, qty_lots: int) -> None:
        if o.owner:
            self._events.append(
                (kind, reason, int(o.sell), o.owner, o.id, 0, o.px_ticks, qty_lots, o.filled_lots, 0, 0)
            )

    def _refuse(self, status: int, reason: int) -> int:
        self.reason = reason
        return status

    # ---------------------------------------------------------------------------------------------------- the door
    def _shape_is_bad(self, r: dict[str, Any]) -> bool:
        t, tif, flags = r["type"], r["tif"], r["flags"]
        if not 0 <= t < WishType.TYPE_COUNT or not 0 <= tif < WishTif.TIF_COUNT or not 0 <= r["stp"] <= 4:
            return True
        if r["id"] < 1 or r["qty_lots"] < 1:
            return True
        if min(r[name] for name in ("px_ticks", "trigger_px", "trail", "display_lots", "budget", "expire_ns")) < 0:
            return True
        trailing = t == WishType.TYPE_TRAILING
        limit = t in (0, WishType.TYPE_ICEBERG, WishType.TYPE_STOP_LIMIT, WishType.TYPE_TAKE_LIMIT)
        limit = limit or (trailing and r["px_ticks"] > 0)
        wants_trigger = t in _TRIGGERS and not trailing
        bips = bool(flags & Flag.MATCH_TRAIL_BIPS)
        ends_at_once = tif in (WishTif.TIF_IOC, WishTif.TIF_FOK)
        wrong = [
            limit != (r["px_ticks"] > 0),
            wants_trigger != (r["trigger_px"] > 0 and not trailing),
            trailing != (r["trail"] > 0),
            (t == WishType.TYPE_ICEBERG) != (r["display_lots"] > 0),
            bips and (not trailing or r["trail"] >= 10_000),
            (tif == WishTif.TIF_GTD) != (r["expire_ns"] > 0),
            not limit and (tif == WishTif.TIF_GTX or (tif == WishTif.TIF_FOK and t != WishType.TYPE_MARKET)),
            t == WishType.TYPE_ICEBERG and (ends_at_once or r["display_lots"] > r["qty_lots"]),
        ]
        if flags & Flag.MATCH_BY_QUOTE:
            wrong.append(r["budget"] == 0 or t != WishType.TYPE_MARKET or tif == WishTif.TIF_FOK)
        else:
            wrong.append(r["budget"] > 0 and (limit or r["sell"]))
        return any(wrong)

    def _filter(self, r: dict[str, Any]) -> int:
        px, qty, by_quote = r["px_ticks"], r["qty_lots"], bool(r["flags"] & Flag.MATCH_BY_QUOTE)
        reference = self.reference_px or self.last_px
        for price in (px, r["trigger_px"]):
            if price and not self.px_min <= price <= self.px_max:
                return Reason.REASON_PRICE_FILTER
        up, down = self.bounds[r["sell"]]
        above, below = reference * up // 10**6, reference * down // 10**6
        if px and reference and ((up and px > above) or (down and px < below)):
            return Reason.REASON_PERCENT_PRICE
        if not by_quote and not self.qty_min <= qty <= self.qty_max:
            return Reason.REASON_LOT_SIZE
        if not px and not by_quote and qty > self.market_qty_max:
            return Reason.REASON_MARKET_LOT_SIZE
        px = px or r["trigger_px"] or reference
        if (r["budget"] < self.notional_min) if by_quote else (px and px * qty < self.notional_min):
            return Reason.REASON_NOTIONAL
        if r["type"] == WishType.TYPE_ICEBERG and -(-qty // r["display_lots"]) > self.iceberg_parts_max:
            return Reason.REASON_ICEBERG_PARTS
        count = self.owner_counts(r["owner"])
        if count[0] >= self.caps[0]:
            return Reason.REASON_MAX_ORDERS
        if r["type"] in _TRIGGERS and count[1] >= self.caps[1]:
            return Reason.REASON_MAX_ALGO
        if r["type"] == WishType.TYPE_ICEBERG and count[2] >= self.caps[2]:
            return Reason.REASON_MAX_ICEBERG
        return Reason.REASON_NONE

    def _judge(self, r: dict[str, Any]) -> int:
        bad = Status.MATCH_BAD_ORDER
        if self._shape_is_bad(r):
            return self._refuse(bad, Reason.REASON_SHAPE)
        if not 0 <= r["owner"] < self.owners_max:
            return self._refuse(Status.MATCH_FULL, Reason.REASON_CAPACITY)
        own = bool(r["flags"] & Flag.MATCH_UNFILTERED)
        if self.halted and not own:
            return self._refuse(bad, Reason.REASON_HALTED)
        if r["id"] in self.orders:
            return self._refuse(bad, Reason.REASON_DUPLICATE)
        if r["px_ticks"] > self.px_max:
            return self._refuse(bad, Reason.REASON_PRICE_FILTER)
        if r["qty_lots"] > self.qty_max:
            return self._refuse(bad, Reason.REASON_LOT_SIZE)
        if r["owner"] and not own and (reason := self._filter(r)):
            return self._refuse(bad, reason)
        if r["expire_ns"] and r["expire_ns"] <= self.now_ns:
            return self._refuse(bad, Reason.REASON_EXPIRY)
        return Status.OK

    def _reached(self, kind: int, sell: bool, trigger_px: int) -> bool:
        if kind not in range(WishType.TYPE_STOP, WishType.TYPE_TAKE_LIMIT + 1) or not self.last_px:
            return False
        return self.last_px >= trigger_px if self._is_above(kind, sell) else self.last_px <= trigger_px

    @staticmethod
    def _is_above(kind: int, sell: bool) -> bool:
        return sell if kind in (WishType.TYPE_TAKE, WishType.TYPE_TAKE_LIMIT) else not sell

    def _takes(self, sell: bool, px: int) -> bool:
        other = self._side(not sell)
        return bool(other) and (other[0].px_ticks >= px if sell else other[0].px_ticks <= px)

    def _admit(self, r: dict[str, Any]) -> int:
        if status := self._judge(r):
            return status
        if self._reached(r["type"], r["sell"], r["trigger_px"]):
            return self._refuse(Status.MATCH_WOULD_TRIGGER, Reason.REASON_WOULD_TRIGGER)
        if r["tif"] == WishTif.TIF_GTX and r["type"] not in _TRIGGERS and self._takes(r["sell"], r["px_ticks"]):
            return self._refuse(Status.MATCH_WOULD_TAKE, Reason.REASON_WOULD_TAKE)
        return Status.OK

    def _make(self, r: dict[str, Any]) -> _Order:
        o = _Order(**{name: r[name] for name in (*_ALONE, *_DEFAULTS)}, left_lots=r["qty_lots"])
        o.sell = bool(o.sell)
        self.orders[o.id] = o
        return o

    def submit(self, id: int, **terms: Any) -> int:  # noqa: A002
        r = _DEFAULTS | terms | {"id": id}
        if status := self._admit(r):
            return status
        o = self._make(r)
        self._tell(o, Kind.MATCHED_NEW, 0, o.qty_lots)
        self._start(o)
        self._run()
        return Status.OK

    def _pair_is_bad(self, a: dict[str, Any], b: dict[str, Any], now: bool) -> bool:
        stops = (WishType.TYPE_STOP, WishType.TYPE_STOP_LIMIT)
        if b["type"] not in stops:
            a, b = b, a
        if b["type"] not in stops or a["type"] not in (0, WishType.TYPE_TAKE, WishType.TYPE_TAKE_LIMIT):
            return True
        if a["type"] == 0 and a["tif"] != WishTif.TIF_GTX:
            return True
        if any(bool(a[name]) != bool(b[name]) if name == "sell" else a[name] != b[name]
               for name in ("sell", "qty_lots", "owner")) or a["id"] == b["id"]:  # fmt: skip
            return True
        sign = 1 if a["sell"] else -1
        target, stop, last = (sign * x for x in (a["px_ticks"] if a["type"] == 0 else a["trigger_px"],
                                                 b["trigger_px"], self.last_px))  # fmt: skip
        return target <= stop or (now and last != 0 and not target > last > stop)

    def submit_list(self, kind: int, legs: list[dict[str, Any]]) -> int:
        what, held = kind & 7, bool(kind & ListKind.LIST_HELD)
        bad = Status.MATCH_BAD_ORDER
        if len(legs) != (3 if what == ListKind.LIST_OTOCO else 2):
            return self._refuse(bad, Reason.REASON_LIST)
        r = [_DEFAULTS | leg for leg in legs]
        if what not in (1, 2, 3) or kind & ~15 or r[0]["owner"] == 0:
            return self._refuse(bad, Reason.REASON_LIST)
        oco = what == ListKind.LIST_OCO
        for i, leg in enumerate(r):
            if status := (self._admit(leg) if i == 0 or oco else self._judge(leg)):
                return status
            if leg["owner"] != r[0]["owner"] or leg["id"] in [x["id"] for x in r[max(0, i - 1) : i]]:
                return self._refuse(bad, Reason.REASON_LIST)
            if leg["type"] == WishType.TYPE_TRAILING:
                return self._refuse(bad, Reason.REASON_LIST)
        if (what == ListKind.LIST_OTOCO and r[0]["id"] == r[2]["id"]) or (not oco and r[0]["type"] != 0):
            return self._refuse(bad, Reason.REASON_LIST)
        if what != ListKind.LIST_OTO and self._pair_is_bad(r[-2], r[-1], oco):
            return self._refuse(bad, Reason.REASON_LIST)
        count, algo = self.owner_counts(r[0]["owner"]), sum(x["type"] in _TRIGGERS for x in r)
        if count[0] + len(r) > self.caps[0]:
            return self._refuse(bad, Reason.REASON_MAX_ORDERS)
        if algo and count[1] + algo > self.caps[1]:
            return self._refuse(bad, Reason.REASON_MAX_ALGO)
        orders = [self._make(leg) for leg in r]
        made = _Legs(what, held, list(orders))
        for i, o in enumerate(orders):
            o.legs, o.leg, o.state = made, i, State.STATE_PENDING
        for o in orders[: 2 if oco else 1]:
            self._tell(o, Kind.MATCHED_NEW, 0, o.qty_lots)
            o.state = State.STATE_TAKING
            self._start(o)
        self._run()
        return Status.OK

    # ------------------------------------------------------------------------------------------------ ends and lists
    def _end(self, o: _Order, kind: int, reason: int) -> None:
        pending = o.state == State.STATE_PENDING
        self._tell(o, kind, reason, o.rest)
        self._gone(o)
        self._hear(o, "ended", kind, pending)

    def _gone(self, o: _Order) -> None:
        del self.orders[o.id]
        o.state = State.STATE_DEAD

    def _end_leg(self, legs: _Legs, leg: int, kind: int, reason: int) -> None:
        o, legs.orders[leg] = legs.orders[leg], None
        if o is not None:
            o.legs = None
            self._end(o, kind, reason)

    def _hear(self, o: _Order, mark: str, kind: int = 0, pending: bool = False) -> None:
        legs = o.legs
        if legs is None:
            return
        canceled = kind == Kind.MATCHED_CANCELED
        if mark != "progress":
            legs.orders[o.leg] = None
        end = (Kind.MATCHED_CANCELED, Reason.REASON_USER) if canceled else (Kind.MATCHED_EXPIRED, Reason.REASON_OTO)
        if legs.kind != ListKind.LIST_OCO and o.leg == 0:
            for leg in range(1, len(legs.orders)):
                follower = legs.orders[leg]
                if mark == "ended":
                    self._end_leg(legs, leg, *end)
                elif mark == "filled" and follower is not None and legs.held:
                    follower.state = State.STATE_READY
                    self._tell(follower, Kind.MATCHED_READY, 0, follower.left_lots)
                elif mark == "filled" and follower is not None:
                    follower.state = State.STATE_QUEUED
                    self.work.append(follower)
            return
        if (sibling := legs.pair_of(o.leg)) is not None:
            self._end_leg(legs, sibling, end[0], Reason.REASON_USER if canceled else Reason.REASON_OCO)
        if pending:
            self._end_leg(legs, 0, *end)

    # ---------------------------------------------------------------------------------------------------- triggers
    def _arm(self, o: _Order) -> None:
        if o.type == WishType.TYPE_TRAILING and o.trigger_px in (0, self.last_px):
            self._trail(o)
            return
        o.above = o.trigger_px > self.last_px if o.type == WishType.TYPE_TRAILING else self._is_above(o.type, o.sell)
        o.state = State.STATE_ARMED

    def _trail(self, o: _Order) -> None:
        o.trigger_px, o.state = 0, State.STATE_TRAILING
        self._place += 1
        o.place = self._place
        self._follow(o)

    def _follow(self, o: _Order) -> bool:
        if not self.last_px:
            return False
        away = max(1, self.last_px * o.trail // 10_000) if o.flags & Flag.MATCH_TRAIL_BIPS else o.trail
        if o.trigger_px and (self.last_px <= o.trigger_px if o.sell else self.last_px >= o.trigger_px):
            return True
        if o.sell:
            o.trigger_px = max(o.trigger_px, self.last_px - away)
        else:
            o.trigger_px = min(o.trigger_px or 2**62, self.last_px + away)
        return False

    def _fire(self, o: _Order) -> None:
        if o.type == WishType.TYPE_TRAILING and o.state == State.STATE_ARMED:
            self._trail(o)
            return
        o.triggered, o.state = True, State.STATE_QUEUED
        self.work.append(o)
        self._tell(o, Kind.MATCHED_TRIGGERED, 0, o.left_lots)
        self._hear(o, "progress")

    def set_last(self, px: int) -> None:
        self._last(px)
        self._run()

    def _last(self, px: int) -> None:
        if px == self.last_px:
            return
        self.last_px = px
        for above in (True, False):
            while True:
                sign = 1 if above else -1
                armed = [o for o in self.orders.values() if o.state == State.STATE_ARMED and o.above == above]
                reached = [o for o in armed if sign * o.trigger_px <= sign * px]
                if not reached:
                    break
                self._fire(min(reached, key=lambda o: (sign * o.trigger_px, o.id)))
        trailing = [o for o in self.orders.values() if o.state == State.STATE_TRAILING]
        for o in sorted(trailing, key=lambda o: o.place):
            if o.state == State.STATE_TRAILING and self._follow(o):
                self._fire(o)

    # ---------------------------------------------------------------------------------------------------- matching
    def _can_fill(self, o: _Order) -> bool:
        left, money = o.left_lots, o.budget
        for px, makers in self._levels(not o.sell):
            if not o.is_market and (px < o.px_ticks if o.sell else px > o.px_ticks):
                break
            lots = sum(m.rest for m in makers if not (o.owner and o.stp and m.owner == o.owner))
            if o.budget:
                lots = min(lots, money // px)
                money -= lots * px
            left -= lots
        return left <= 0

    def _levels(self, sell: bool) -> list[tuple[int, list[_Order]]]:
        out: dict[int, list[_Order]] = {}
        for o in self._side(sell):
            out.setdefault(o.px_ticks, []).append(o)
        return list(out.items())

    def _rest(self, o: _Order) -> None:
        if o.type == WishType.TYPE_ICEBERG and o.display_lots < o.left_lots:
            o.left_lots, o.hidden_lots = o.display_lots, o.left_lots - o.display_lots
        self._place += 1
        o.place, o.state = self._place, State.STATE_BOOK

    def _refill(self, o: _Order) -> bool:
        if o.hidden_lots:
            o.left_lots, o.hidden_lots = o.hidden_lots, 0
            self._rest(o)
            return True
        return False

    def _prevent(self, taker: _Order, maker: _Order) -> None:
        lots = min(taker.left_lots, maker.left_lots)
        self._events.append((
            Kind.MATCHED_PREVENTED, Reason.REASON_STP, int(taker.sell), taker.owner, taker.id, maker.id,
            maker.px_ticks, lots, taker.filled_lots, maker.filled_lots, 0,
        ))  # fmt: skip
        if taker.stp == Stp.STP_DECREMENT:
            for o in (taker, maker):
                o.left_lots -= lots
                o.prevented_lots += lots
            if maker.left_lots == 0 and not self._refill(maker):
                self._end(maker, Kind.MATCHED_EXPIRED, Reason.REASON_STP)
        elif taker.stp != Stp.STP_EXPIRE_TAKER:
            self._end(maker, Kind.MATCHED_EXPIRED, Reason.REASON_STP)

    def _trade(self, taker: _Order, maker: _Order, lots: int) -> None:
        for o in (taker, maker):
            o.left_lots -= lots
            o.filled_lots += lots
        self.id_trade += 1
        flags = (
            int(taker.sell)
            | (2 if taker.left_lots == 0 else 0)
            | (4 if maker.rest == 0 else 0)
            | (8 if taker.owner else 0)
            | (16 if maker.owner else 0)
        )
        self._events.append((
            Kind.MATCHED_TRADE, 0, flags, taker.owner, taker.id, maker.id, maker.px_ticks, lots, taker.filled_lots,
            maker.filled_lots, self.id_trade,
        ))  # fmt: skip
        if maker.rest == 0:
            self._gone(maker)
            self._hear(maker, "filled")
        else:
            self._hear(maker, "progress")
            if maker.left_lots == 0:
                self._refill(maker)
        if taker.left_lots:
            self._hear(taker, "progress")
        self._last(maker.px_ticks)

    def _take(self, o: _Order) -> int:
        bounded = o.budget > 0
        while o.left_lots:
            makers = self._side(not o.sell)
            if not makers or (not o.is_market and not self._takes(o.sell, o.px_ticks)):
                break
            maker = makers[0]
            px = maker.px_ticks
            if o.owner and maker.owner == o.owner and o.stp:
                self._prevent(o, maker)
                if o.stp in (Stp.STP_EXPIRE_TAKER, Stp.STP_EXPIRE_BOTH) or o.left_lots == 0:
                    return Reason.REASON_STP
                continue
            lots = min(o.left_lots, maker.left_lots)
            if bounded:
                lots = min(lots, o.budget // px)
                if lots == 0:
                    return Reason.REASON_BUDGET
                o.budget -= lots * px
            self._trade(o, maker, lots)
        return Reason.REASON_NONE

    def _enter(self, o: _Order) -> None:
        o.state = State.STATE_TAKING
        if o.tif == WishTif.TIF_FOK and not self._can_fill(o):
            self._end(o, Kind.MATCHED_EXPIRED, Reason.REASON_FOK)
            return
        reason = self._take(o)
        if o.left_lots == 0 and not reason:
            self._gone(o)
            self._hear(o, "filled")
        elif reason or o.is_market or o.tif in (WishTif.TIF_IOC, WishTif.TIF_FOK):
            why = reason or (Reason.REASON_LIQUIDITY if o.is_market else Reason.REASON_IOC)
            self._end(o, Kind.MATCHED_EXPIRED, why)
        else:
            self._rest(o)

    def _start(self, o: _Order) -> None:
        if o.type in _TRIGGERS:
            if o.type != WishType.TYPE_TRAILING and self._reached(o.type, o.sell, o.trigger_px):
                self._end(o, Kind.MATCHED_REJECTED, Reason.REASON_WOULD_TRIGGER)
            else:
                self._arm(o)
        elif o.tif == WishTif.TIF_GTX and self._takes(o.sell, o.px_ticks):
            self._end(o, Kind.MATCHED_REJECTED, Reason.REASON_WOULD_TAKE)
        else:
            self._enter(o)

    def _run(self) -> None:
        while self.work:
            o = self.work.popleft()
            if o.state != State.STATE_QUEUED:
                continue
            o.state = State.STATE_TAKING
            if not o.triggered:
                self._tell(o, Kind.MATCHED_NEW, 0, o.left_lots)
                self._start(o)
            elif o.tif == WishTif.TIF_GTX and self._takes(o.sell, o.px_ticks):
                self._end(o, Kind.MATCHED_REJECTED, Reason.REASON_WOULD_TAKE)
            else:
                self._enter(o)

    # ------------------------------------------------------------------------------------------------ later changes
    def _ended(self, id: int, kind: int, reason: int) -> int:  # noqa: A002
        o = self.orders.get(id)
        if o is None:
            return self._refuse(Status.MATCH_UNKNOWN, Reason.REASON_STATE)
        self._end(o, kind, reason)
        return Status.OK

    def cancel(self, id: int) -> int:  # noqa: A002
        return self._ended(id, Kind.MATCHED_CANCELED, Reason.REASON_USER)

    def expire(self, id: int) -> int:  # noqa: A002
        return self._ended(id, Kind.MATCHED_EXPIRED, Reason.REASON_SELF)

    def release(self, id: int) -> int:  # noqa: A002
        o = self.orders.get(id)
        if o is None:
            return self._refuse(Status.MATCH_UNKNOWN, Reason.REASON_STATE)
        if o.state != State.STATE_READY:
            return self._refuse(Status.MATCH_BAD_ORDER, Reason.REASON_STATE)
        o.state = State.STATE_QUEUED
        self.work.append(o)
        self._run()
        return Status.OK

    def amend(self, id: int, *, px_ticks: int, qty_lots: int, keep_only: bool = False) -> int:  # noqa: A002
        bad, o = Status.MATCH_BAD_ORDER, self.orders.get(id)
        if o is None:
            return self._refuse(Status.MATCH_UNKNOWN, Reason.REASON_STATE)
        if o.state != State.STATE_BOOK:
            return self._refuse(bad, Reason.REASON_STATE)
        left = qty_lots - o.filled_lots - o.prevented_lots
        if not 1 <= px_ticks <= self.px_max or left < 1 or qty_lots > self.qty_max:
            return self._refuse(bad, Reason.REASON_SHAPE)
        if (px_ticks, qty_lots) == (o.px_ticks, o.qty_lots):
            return self._refuse(bad, Reason.REASON_NO_CHANGE)
        keeps = px_ticks == o.px_ticks and qty_lots < o.qty_lots
        if keep_only and not keeps:
            return self._refuse(bad, Reason.REASON_STATE)
        if o.owner:
            del self.orders[id]
            terms = {"id": id, "owner": o.owner, "sell": o.sell, "type": 0, "qty_lots": qty_lots, "px_ticks": px_ticks}
            reason = self._filter(_DEFAULTS | terms)
            self.orders[id] = o
            if reason:
                return self._refuse(bad, reason)
        if keeps:
            cut = o.qty_lots - qty_lots
            hidden = min(cut, o.hidden_lots)
            o.hidden_lots -= hidden
            o.left_lots -= cut - hidden
            o.qty_lots = qty_lots
            self._tell(o, Kind.MATCHED_AMENDED, 0, qty_lots)
            return Status.OK
        if o.tif == WishTif.TIF_GTX and self._takes(o.sell, px_ticks):
            return self._refuse(Status.MATCH_WOULD_TAKE, Reason.REASON_WOULD_TAKE)
        o.px_ticks, o.qty_lots, o.left_lots, o.hidden_lots = px_ticks, qty_lots, left, 0
        o.state = State.STATE_TAKING
        self._tell(o, Kind.MATCHED_AMENDED, 0, qty_lots)
        self._enter(o)
        self._run()
        return Status.OK

    def advance(self, now_ns: int) -> int:
        if now_ns < self.now_ns:
            return self._refuse(Status.MATCH_BAD_ORDER, Reason.REASON_SHAPE)
        self.now_ns = now_ns
        while due := [o for o in self.orders.values() if o.expire_ns and o.expire_ns <= now_ns]:
            self._end(min(due, key=lambda o: (o.expire_ns, o.id)), Kind.MATCHED_EXPIRED, Reason.REASON_EXPIRY)
        return Status.OK

    def halt(self, on: bool) -> None:
        self.halted = bool(on)

    def set_reference(self, px_ticks: int) -> None:
        self.reference_px = px_ticks

    def check(self) -> None:
        bid, ask = self.best_bid, self.best_ask
        assert not (bid and ask) or bid < ask, "the book is crossed"
        assert not self.work
        for o in self.orders.values():
            assert o.filled_lots + o.prevented_lots + o.rest == o.qty_lots, "lots lost"
            assert o.rest > 0, "an order without lots"
            assert o.state not in (State.STATE_TAKING, State.STATE_QUEUED), "an order was left while it matched"

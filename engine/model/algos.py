"""Twin of the execution algorithms: the schedule as exact fractions, the state in plain names."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

from engine._core.algos import AlgoState
from engine.errors import AlgoBadConfig, AlgoNotLive, AlgoTableFull, AlgoUnknown, AlgoUnknownChild

TWAP, VWAP, POV, ICEBERG = 1, 2, 3, 4
NEVER, SPREAD, AT_ONCE = 0, 1, 2
TAKE, REST = 0, 1
SHORT, SWEEP = 0, 1
E8 = 10**8
LIVE = (
    AlgoState.ALGO_WAITING, AlgoState.ALGO_WORKING, AlgoState.ALGO_ENDING, AlgoState.ALGO_SWEEPING,
    AlgoState.ALGO_CANCELING,
)  # fmt: skip
DEFAULTS = {
    "kind": 0, "symbol": 0, "sell": 0, "qty_lots": 0, "limit_px_ticks": 0, "start_ns": 0, "end_ns": 0, "slice_ns": 0,
    "slice_min_lots": 0, "slice_max_lots": 0, "cap_e8": 0, "catch_up": 0, "style": 0, "end_policy": 0, "strategy": 0,
}  # fmt: skip


@dataclass
class Parent:
    want: dict[str, int]
    weights: tuple[int, ...]
    state: AlgoState = AlgoState.ALGO_WAITING
    now_ns: int = 0
    slice: int = -1
    settled: bool = False
    closed: bool = False
    schedule: int = 0
    release: int = 0
    fills: list[tuple[int, bool]] = field(default_factory=list)  # quantity, late
    given_up: int = 0
    open: int = 0
    child: int = 0
    child_slice: int = -1
    cancel_asked: bool = False
    volume: int = 0
    held: int = 0

    @property
    def filled(self) -> int:
        return sum(qty for qty, _ in self.fills)

    @property
    def late(self) -> int:
        return sum(qty for qty, late in self.fills if late)

    @property
    def slices(self) -> int:
        return -(-(self.want["end_ns"] - self.want["start_ns"]) // self.want["slice_ns"])

    def cumulative(self, index: int) -> int:
        """Lots that the plan has reached at the end of a slice."""
        want = self.want
        if want["kind"] == POV:
            return min(want["qty_lots"], self.by_volume())
        if want["kind"] == ICEBERG:
            return want["qty_lots"]
        if index < 0:
            return 0
        if index >= self.slices - 1:
            return want["qty_lots"]
        if want["kind"] == TWAP:
            return floor(want["qty_lots"] * Fraction(index + 1, self.slices))
        passed = Fraction((index + 1) * want["slice_ns"], want["end_ns"] - want["start_ns"]) * len(self.weights)
        share = Fraction(0)
        for at, weight in enumerate(self.weights):
            share += weight * min(Fraction(1), max(Fraction(0), passed - at))
        return floor(want["qty_lots"] * share / sum(self.weights))

    def by_volume(self) -> int:
        return floor(self.volume * Fraction(self.want["cap_e8"], E8))

    def settle(self) -> None:
        want = self.want
        target = self.cumulative(self.slice)
        if want["kind"] == ICEBERG:
            self.schedule = self.release = target
            self.settled = True
            return
        before = self.schedule if want["kind"] == POV else self.cumulative(self.slice - 1)
        arrears = max(0, before - self.filled - self.given_up)
        if want["catch_up"] == NEVER:
            self.given_up += max(0, arrears - self.held)
            arrears = min(arrears, self.held)
        elif want["catch_up"] == SPREAD:
            arrears = -(-arrears // (self.slices - self.slice))
        self.schedule = target
        self.release = min(target, self.filled + self.given_up + arrears + target - before)
        self.settled = True

    def size(self, due: int) -> int:
        want = self.want
        left = want["qty_lots"] - self.filled - self.given_up
        due = min(due, left)
        if want["cap_e8"]:
            due = min(due, self.by_volume() - self.filled)
        if want["slice_max_lots"]:
            due = min(due, want["slice_max_lots"])
        child = due
        if 0 < left - due < want["slice_min_lots"]:
            child = left - want["slice_min_lots"]
        if child < want["slice_min_lots"]:
            child = 0
        self.held = max(due, 0) - child
        return child

    def price(self, bid: int, ask: int, takes: bool) -> int:
        sell, limit = bool(self.want["sell"]), self.want["limit_px_ticks"]
        px = {(False, True): ask, (False, False): bid, (True, True): bid, (True, False): ask}[(sell, takes)]
        if px <= 0:
            return 0
        beyond = limit != 0 and (px < limit if sell else px > limit)
        if beyond:
            return 0 if takes else limit
        return px

    def place(self, qty: int, px: int, immediate: bool) -> list[tuple[Any, ...]]:
        self.child += 1
        self.child_slice = self.slice
        self.open = qty
        self.cancel_asked = False
        return [("place", self.child, qty, px, immediate)]

    def ask_cancel(self) -> list[tuple[Any, ...]]:
        if self.cancel_asked:
            return []
        self.cancel_asked = True
        return [("cancel", self.child)]

    def too_much(self) -> bool:
        return self.filled + self.open > self.want["qty_lots"]

    def work(self, bid: int, ask: int) -> list[tuple[Any, ...]]:
        index = (self.now_ns - self.want["start_ns"]) // self.want["slice_ns"]
        if index != self.slice:
            self.slice, self.settled, self.closed = index, False, False
        if self.open:
            over = self.child_slice != self.slice and self.want["kind"] != ICEBERG
            return self.ask_cancel() if over or self.too_much() else []
        if self.closed:
            return []
        if not self.settled:
            self.settle()
        takes = self.want["style"] == TAKE
        qty, px = self.size(self.release - self.filled - self.given_up), self.price(bid, ask, takes)
        if px and self.want["kind"] == ICEBERG:
            px = self.want["limit_px_ticks"]
        return self.place(qty, px, takes) if qty and px else []

    def end(self, bid: int, ask: int) -> list[tuple[Any, ...]]:
        if self.open:
            return self.ask_cancel()
        qty, px = self.size(self.want["qty_lots"]), self.price(bid, ask, True)
        if self.want["end_policy"] == SWEEP and qty and px:
            self.state = AlgoState.ALGO_SWEEPING
            self.schedule = self.release = self.want["qty_lots"]
            return self.place(qty, px, True)
        self.state = AlgoState.ALGO_SHORT
        return []

    def time(self, now_ns: int, bid: int, ask: int) -> list[tuple[Any, ...]]:
        self.now_ns = max(self.now_ns, now_ns)
        if self.state == AlgoState.ALGO_WAITING and self.now_ns >= self.want["start_ns"]:
            self.state = AlgoState.ALGO_WORKING
        ends = self.want["kind"] != ICEBERG
        if self.state == AlgoState.ALGO_WORKING and ends and self.now_ns >= self.want["end_ns"]:
            self.state = AlgoState.ALGO_ENDING
        if self.state == AlgoState.ALGO_WORKING:
            return self.work(bid, ask)
        if self.state == AlgoState.ALGO_ENDING:
            return self.end(bid, ask)
        if self.state == AlgoState.ALGO_CANCELING:
            return self.ask_cancel()
        if self.state == AlgoState.ALGO_SWEEPING and self.open and self.too_much():
            return self.ask_cancel()
        return []

    def resolve(self) -> None:
        if self.state not in LIVE or self.open:
            return
        if self.filled >= self.want["qty_lots"]:
            self.state = AlgoState.ALGO_FILLED
        elif self.state == AlgoState.ALGO_CANCELING:
            self.state = AlgoState.ALGO_CANCELED
        elif self.state == AlgoState.ALGO_SWEEPING:
            self.state = AlgoState.ALGO_SHORT


def _is_good(want: dict[str, int], weights: tuple[int, ...]) -> bool:
    span = want["end_ns"] - want["start_ns"]
    iceberg = want["kind"] == ICEBERG
    shown = (
        want["end_ns"] == 0
        and want["cap_e8"] == 0
        and want["limit_px_ticks"] > 0
        and want["slice_max_lots"] > 0
        and (want["style"], want["end_policy"]) == (REST, SHORT)
    )
    return (
        want["kind"] in (TWAP, VWAP, POV, ICEBERG)
        and (shown or not iceberg)
        and want["sell"] in (0, 1)
        and want["symbol"] >= 0
        and want["catch_up"] in (NEVER, SPREAD, AT_ONCE)
        and want["style"] in (TAKE, REST)
        and want["end_policy"] in (SHORT, SWEEP)
        and want["limit_px_ticks"] >= 0
        and want["start_ns"] >= 0
        and (iceberg or 0 < span < 2**47)
        and want["slice_ns"] > 0
        and 1 <= want["slice_min_lots"] <= want["qty_lots"] < 2**43
        and (want["slice_max_lots"] == 0 or want["slice_max_lots"] >= want["slice_min_lots"])
        and 0 <= want["cap_e8"] <= E8
        and (want["kind"] != POV or want["cap_e8"] > 0)
        and (len(weights) > 0) == (want["kind"] == VWAP)
        and len(weights) <= 32
        and all(0 <= weight < 2**31 for weight in weights)
        and (want["kind"] != VWAP or sum(weights) > 0)
    )


class Algos:
    def __init__(self, *, capacity: int = 16) -> None:
        if not 1 <= capacity <= 65535:
            raise AlgoBadConfig(f"capacity {capacity}")
        self.rows: list[int] = [0] * capacity
        self.parents: dict[int, Parent] = {}
        self.counter = 0
        self.refused_count = 0

    def _find(self, id_algo: int) -> Parent:
        if id_algo not in self.parents:
            raise AlgoUnknown(str(id_algo))
        return self.parents[id_algo]

    def start(self, *, weights: tuple[int, ...] = (), **fields: int) -> int:
        want = DEFAULTS | fields
        if not _is_good(want, tuple(weights)):
            self.refused_count += len(weights) <= 32
            raise AlgoBadConfig(str(fields))
        if 0 not in self.rows:
            self.refused_count += 1
            raise AlgoTableFull
        self.counter += 1
        at = self.rows.index(0)
        self.rows[at] = self.counter << 16 | at
        self.parents[self.rows[at]] = Parent(want, tuple(weights))
        return self.rows[at]

    def time(self, id_algo: int, now_ns: int, bid_px_ticks: int, ask_px_ticks: int) -> list[tuple[Any, ...]]:
        return self._find(id_algo).time(now_ns, bid_px_ticks, ask_px_ticks)

    def volume(self, symbol: int, qty_lots: int) -> None:
        for parent in self.parents.values():
            if parent.state != AlgoState.ALGO_WAITING and parent.want["symbol"] == symbol and qty_lots > 0:
                parent.volume = min(2**63 - 1, parent.volume + qty_lots)

    def fill(self, id_algo: int, child: int, qty_lots: int) -> None:
        parent = self._child_of(id_algo, child)
        if not 1 <= qty_lots < 2**43:
            raise AlgoBadConfig(f"{qty_lots} lots")
        proper = min(qty_lots, parent.open) if child == parent.child else 0
        parent.open -= proper
        parent.fills += [(qty, late) for qty, late in ((proper, False), (qty_lots - proper, True)) if qty]
        parent.resolve()

    def _child_of(self, id_algo: int, child: int) -> Parent:
        parent = self._find(id_algo)
        if not 1 <= child <= parent.child:
            raise AlgoUnknownChild(str(child))
        return parent

    def child_ended(self, id_algo: int, child: int) -> None:
        parent = self._child_of(id_algo, child)
        if child == parent.child and parent.open:
            parent.open = 0
            parent.closed = parent.closed or parent.child_slice == parent.slice
            parent.resolve()

    def cancel_refused(self, id_algo: int, child: int) -> None:
        parent = self._child_of(id_algo, child)
        if child == parent.child and parent.open:
            parent.cancel_asked = False

    def cancel(self, id_algo: int) -> None:
        parent = self._find(id_algo)
        if parent.state not in LIVE:
            raise AlgoNotLive(str(id_algo))
        parent.state = AlgoState.ALGO_CANCELING
        parent.resolve()

    def release(self, id_algo: int) -> None:
        if self._find(id_algo).state in LIVE:
            raise AlgoNotLive(str(id_algo))
        del self.parents[id_algo]
        self.rows[self.rows.index(id_algo)] = 0

    def row(self, id_algo: int) -> dict[str, int]:
        parent = self._find(id_algo)
        return {
            "state": parent.state,
            "filled_lots": parent.filled,
            "open_lots": parent.open,
            "given_up_lots": parent.given_up,
            "late_lots": parent.late,
            "volume_lots": parent.volume,
            "schedule_lots": parent.schedule,
            "release_lots": parent.release,
            "child": parent.child,
            "slice_index": parent.slice,
        }

    @property
    def live_count(self) -> int:
        return len(self.parents)

    def check(self) -> None:
        for parent in self.parents.values():
            proper = parent.filled - parent.late
            assert proper + parent.open <= parent.want["qty_lots"]
            assert parent.release <= parent.schedule <= parent.want["qty_lots"]
            assert not parent.open or parent.state in LIVE

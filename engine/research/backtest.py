"""A backtest: one core against the embedded venue on simulated time, in the exact order of time.

The core decides and the venue fills by the code that runs on paper; this file only says who is next. The venue is
played ahead of the core by less than any message travels, so nothing that the core answers could have changed what
was played; whether that held is checked at every answer, not assumed. Everything in and out is on one tape, and the
result is read off that tape: the same inputs give the same tape, byte for byte.

Does not own: fills (sim/venue), figures (figures.py), how core and tape are made (runtime/backtest.py).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.step import Core
from engine._core.types import DECISION, EVENT, FEE, INTENT, ORDER, QUOTE, Flag, Kind
from engine.errors import BacktestImpossible
from engine.observe.decisions import explain, is_refusal
from engine.sim.venue.embedded import EmbeddedVenue, Latency

Records = npt.NDArray[Any]
# Steps events until one of them makes outputs; answers how many were taken.
Pump = Callable[[Records], int]
TIMER_NS = 100_000_000
SAMPLES = 1_000
NO_TIME = 2**62
E8 = 10**8
# A log-normal journey shorter than eight deviations below its median comes once in 10^15 messages.
_TAIL = 8.0
_SEEN = (Kind.KIND_QUOTE, Kind.KIND_TRADE, Kind.KIND_AGG_TRADE, Kind.KIND_MARK)


@dataclass(frozen=True)
class Machine:
    """What a run is made of, fresh: nothing in it has seen an event."""

    core: Core
    venue: EmbeddedVenue
    pump: Pump
    records: Callable[[], Records]


@dataclass(frozen=True)
class Fill:
    ts_ns: int
    ts_decided_ns: int
    order: int
    sell: bool
    px_ticks: int
    lots: int
    maker: bool
    fee: int  # 1e-8 of the account's asset
    mid_ticks: float  # when it filled
    mid_decided_ticks: float  # when its order was decided


@dataclass(frozen=True)
class Run:
    """What a run leaves: its tape, its curve, and what was read off them."""

    tape: Records
    state_hash: str
    times_ns: npt.NDArray[np.int64]
    equity: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    mids: npt.NDArray[np.float64]
    fills: tuple[Fill, ...]
    denials: dict[str, int]
    counts: dict[str, int]
    venue_counts: dict[str, int]
    start_equity: int
    fees: int

    @property
    def tape_hash(self) -> str:
        return hashlib.sha256(self.tape.tobytes()).hexdigest()


def reach_ns(latencies: Sequence[Latency]) -> int:
    """How far the venue may be played ahead: less than the shortest journey of a message."""
    shortest = (
        latency.fixed_ns if latency.fixed_ns is not None else int(math.exp(latency.mu - _TAIL * latency.sigma) * 1e6)
        for latency in latencies
    )
    return max(0, min(shortest) - 1)


class _Driver:
    def __init__(self, machine: Machine, events: Records) -> None:
        self.core, self.venue, self.pump = machine.core, machine.venue, machine.pump
        self.events, self.times = events, events["ts_recv_ns"]
        self.reach = reach_ns((machine.venue.config.latency_out, machine.venue.config.latency_back))
        self.seen = np.isin(events["kind"], [int(kind) for kind in _SEEN])
        self.timer_ns = int(self.times[0])
        span = int(self.times[-1] - self.times[0])
        self.every = max(1, span // TIMER_NS // SAMPLES)
        self.ticks = 0
        self.samples: list[tuple[int, int, int, float]] = []

    def run(self) -> None:
        at, count = 0, len(self.events)
        while at < count:
            now = int(self.times[at])
            due = self.venue.next_due_ns()
            due = NO_TIME if due is None else due
            if due <= now and due <= self.timer_ns:
                # What arrives at the same moment as a market event was on its way before it.
                self._step(self.venue.advance(due))
            elif self.timer_ns <= now:
                self._timer()
            else:
                last = min(now + self.reach, due - 1, self.timer_ns - 1)
                end = max(at + 1, int(np.searchsorted(self.times, last, side="right")))
                taken = self.venue.play(self.events[at:end])
                part = slice(at, at + taken)
                self._step(self.events[part][self.seen[part]])
                at += taken

    def _timer(self) -> None:
        event = np.zeros(1, EVENT)
        event["kind"], event["ts_recv_ns"] = Kind.KIND_TIMER, self.timer_ns
        self._step(event)
        if self.ticks % self.every == 0:
            self._sample()
        self.ticks += 1
        self.timer_ns += TIMER_NS

    def _sample(self) -> None:
        world = self.core.world
        row, lots = world.instruments()[0], int(world.positions()[0]["lots"])
        mid = (int(row["bid_px_ticks"]) + int(row["ask_px_ticks"])) / 2
        self.samples.append((self.timer_ns, world.account()["equity"], lots, mid))

    def _step(self, events: Records) -> None:
        at = 0
        while at < len(events):
            at += self.pump(events[at:])
            outputs = self.core.outputs()
            if len(outputs):
                self._submit(outputs, int(events["ts_recv_ns"][at - 1]))

    def _submit(self, outputs: Records, decided_ns: int) -> None:
        before = self.venue.counts["intents"]
        self.venue.submit(outputs)
        arrival = self.venue.next_arrival_ns()
        sent = self.venue.counts["intents"] > before
        if sent and self.venue.now_ns > decided_ns and arrival is not None and arrival <= self.venue.now_ns:
            raise BacktestImpossible(
                f"an intent decided at {decided_ns} was there at {arrival}, but the venue was at {self.venue.now_ns}"
            )


def run(machine: Machine, events: Records) -> Run:
    """Run a fresh machine over the events of one symbol, oldest first."""
    if not len(events) or np.any(np.diff(events["ts_recv_ns"]) < 0) or np.any(events["symbol"] != 0):
        raise BacktestImpossible("events of symbol 0 in order of receipt are needed")
    start = machine.core.world.account()["equity"]
    driver = _Driver(machine, np.ascontiguousarray(events))
    driver.run()
    machine.core.world.check()
    tape = machine.records().copy()
    fills = _fills(tape, events, machine.venue.config.instruments[0].tick_e8)
    times, equity, position, mids = (np.array(column) for column in zip(*driver.samples, strict=True))
    return Run(
        tape=tape,
        state_hash=machine.core.world.state_hash(),
        times_ns=times.astype(np.int64),
        equity=equity.astype(np.int64),
        position=position.astype(np.int64),
        mids=mids.astype(np.float64),
        fills=fills,
        denials=_denials(tape),
        counts=machine.core.world.counts,
        venue_counts=dict(machine.venue.counts),
        start_equity=start,
        fees=sum(fill.fee for fill in fills),
    )


def _denials(tape: Records) -> dict[str, int]:
    found = np.ascontiguousarray(tape[tape["kind"] == int(Kind.KIND_DECISION)]).view(DECISION)
    found = found[is_refusal(found)]
    counts: Counter[str] = Counter()
    for record in found:
        counts.update(f"{reason.stage}: {reason.text}" for reason in explain(record))
    rejected = int(np.count_nonzero(tape["kind"] == int(Kind.KIND_ORDER_REJECTED)))
    if rejected:
        counts["venue: the venue rejected it"] = rejected
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _of(tape: Records, kind: Kind, dtype: np.dtype[Any]) -> Records:
    return np.ascontiguousarray(tape[tape["kind"] == int(kind)]).view(dtype)


def _fills(tape: Records, events: Records, tick_e8: int) -> tuple[Fill, ...]:
    """Fills with their fees, each beside the mid of its moment and of its decision."""
    fees: dict[tuple[int, int], tuple[int, bool, bool]] = {}
    for fee in _of(tape, Kind.KIND_FEE, FEE):
        fees[int(fee["id_order"]), int(fee["id_trade"])] = (int(fee["amount"]), bool(fee["maker"]), bool(fee["asset"]))
    decided = {int(r["id_order"]): int(r["ts_recv_ns"]) for r in _of(tape, Kind.KIND_INTENT_PLACE, INTENT)}
    decided |= {int(r["id_order"]): int(r["ts_recv_ns"]) for r in _of(tape, Kind.KIND_INTENT_AMEND, INTENT)}
    quotes = _of(events, Kind.KIND_QUOTE, QUOTE)
    mids = (quotes["bid_px_ticks"] + quotes["ask_px_ticks"]) / 2

    def mid(ts_ns: int) -> float:
        at = int(np.searchsorted(quotes["ts_recv_ns"], ts_ns, side="right")) - 1
        return float(mids[max(at, 0)])

    out, seen = [], set()
    for fill in _of(tape, Kind.KIND_ORDER_FILL, ORDER):
        order, trade = int(fill["id_order"]), int(fill["id_venue"])
        if (order, trade) in seen:
            continue  # an answer to a question tells a fill again
        seen.add((order, trade))
        # The venue stamps a fill when it happens; it is received a journey later.
        happened = int(fill["ts_venue_ns"])
        began = decided.get(order, happened)
        paid, maker, in_base = fees.get((order, trade), (0, False, False))
        # A spot venue takes a buyer's fee from what was bought: stated at the price of the fill.
        paid = paid * int(fill["px_ticks"]) * tick_e8 // E8 if in_base else paid
        out.append(
            Fill(
                happened, began, order, bool(int(fill["flags"]) & Flag.FLAG_SELL), int(fill["px_ticks"]),
                int(fill["qty_lots"]), maker, paid, mid(happened), mid(began),
            )
        )  # fmt: skip
    return tuple(out)


# --------------------------------------------------------------------------------------------------------- look-ahead
@dataclass(frozen=True)
class Difference:
    """Where a run on cut data stopped being the run on all of it."""

    cut_ns: int
    record: int
    ts_ns: int


def cuts_of(tape: Records, events: Records, count: int) -> list[int]:
    """Moments to cut at: just behind decisions, spread over the run; evenly where nothing was decided.

    A peek shows in the last decision before the cut, where the least of the future is left.
    """
    made = tape["ts_recv_ns"][tape["kind"] >= int(Kind.KIND_INTENT_PLACE)]
    times = np.unique(made if len(made) else events["ts_recv_ns"])
    picked = times[np.linspace(0, len(times) - 1, count + 2).astype(int)[1:-1]] + 1
    inside = picked[(picked > events["ts_recv_ns"][0]) & (picked <= events["ts_recv_ns"][-1])]
    return sorted({int(cut) for cut in inside})


def look_ahead(
    whole: Run, events: Records, machine: Callable[[Records], Machine], *, cuts: int = 3
) -> tuple[int, Difference | None]:
    """Run again on the data before each cut; every record before it must be the same. (Cuts made, first difference.)"""
    moments = cuts_of(whole.tape, events, cuts)
    for cut in moments:
        before = events[: int(np.searchsorted(events["ts_recv_ns"], cut))]
        again = run(machine(before), before).tape
        found = _difference(whole.tape, again, int(before["ts_recv_ns"][-1]) + 1)
        if found is not None:
            return len(moments), found
    return len(moments), None


def _difference(whole: Records, part: Records, cut: int) -> Difference | None:
    ours, theirs = (tape[tape["ts_recv_ns"] < cut].view(np.uint8).reshape(-1, EVENT.itemsize) for tape in (whole, part))
    shared = min(len(ours), len(theirs))
    unlike = np.flatnonzero(np.any(ours[:shared] != theirs[:shared], axis=1))
    if not len(unlike) and len(ours) == len(theirs):
        return None
    at = int(unlike[0]) if len(unlike) else shared
    longer = whole if len(ours) > at else part
    return Difference(cut, at, int(longer["ts_recv_ns"][longer["ts_recv_ns"] < cut][at]))

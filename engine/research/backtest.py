"""A backtest: one core against the embedded venue on simulated time, in the exact order of time.

The core decides and the venue fills by the code that runs on paper; this file only says who is next. Venue and core
take each event in lockstep (lockstep.pyx), so an answer never meets a market that already knew what came after it.
Everything in and out is on one tape, and the result is read off that tape: the same inputs give the same tape, byte
for byte.

Does not own: fills (sim/venue), what is assumed of a market (assumed.py), figures (figures.py), how core and tape are
made (runtime/backtest.py).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.step import Core
from engine._core.types import BAR_PRICES, DECISION, EVENT, FEE, FUNDING, INTENT, MARK, ORDER, Flag, Kind
from engine.errors import BacktestImpossible
from engine.observe.decisions import explain
from engine.research.assumed import Market, quotes_of
from engine.research.lockstep import Lockstep, Route, Stop
from engine.sim.venue.embedded import EmbeddedVenue

Records = npt.NDArray[Any]
SAMPLES = 1_000
NO_TIME = 2**62
E8 = 10**8


@dataclass(frozen=True)
class Machine:
    """What a run is made of, fresh: nothing in it has seen an event."""

    core: Core
    venue: EmbeddedVenue
    loop: Lockstep
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
    funding: int  # received, 1e-8 of the account's asset; negative when paid

    @property
    def tape_hash(self) -> str:
        return hashlib.sha256(self.tape.tobytes()).hexdigest()


class _Driver:
    """Says who is next: the market and the core in lockstep, the venue's own affairs between them."""

    def __init__(self, machine: Machine, market: Market, events: Records) -> None:
        self.core, self.venue, self.loop = machine.core, machine.venue, machine.loop
        self.market, self.events = market, events
        self.perpetual = self.venue.config.instruments[0].perpetual
        self.path = int(Route.ROUTE_LOW_FIRST)
        # When funding is exchanged next, and at which rate.
        self.funding: tuple[int, int] | None = None
        self.samples: list[tuple[int, int, int, float]] = []

    def run(self) -> None:
        times = self.events["ts_recv_ns"]
        first, last = int(times[0]), int(times[-1])
        self.loop.begin(first, (last - first) // SAMPLES)
        for part, route in self.market.parts(self.events):
            self._part(part, route)
        # What is still due at the moment of the last event belongs to it.
        while (due := self._due_ns()) <= self.loop.now_ns:
            self._advance(due)

    def _part(self, part: Records, route: npt.NDArray[np.uint8]) -> None:
        at = 0
        while True:
            due = self._due_ns()
            at, why = self.loop.play(part, route, at, due, self.path)
            if why & Stop.STOP_TOLD:
                self.venue.met(0, self.loop.now_ns)
            if why & Stop.STOP_OUTPUTS:
                self._submit()
            if why & Stop.STOP_SAMPLE:
                self._sample()
            if why & Stop.STOP_MARK and self.perpetual:
                self._mark(part[at - 1])
            if why & Stop.STOP_FORK:
                self.path = self._worse(part[at - 1])
            if why & Stop.STOP_DUE:
                self._advance(due)
            if why & Stop.STOP_END:
                return

    def _due_ns(self) -> int:
        due = self.venue.next_due_ns()
        due = NO_TIME if due is None else due
        return min(due, self.funding[0]) if self.funding else due

    def _advance(self, due: int) -> None:
        """What arrives at the same moment as a market event was on its way before it."""
        reports = self.venue.advance(due)
        if self.funding and self.funding[0] <= due:
            self.venue.settle_funding(0, self.funding[1])
            self.funding = None
        at = 0
        while at < len(reports):
            at += self.loop.show(reports[at:])
            self._submit()

    def _submit(self) -> None:
        outputs = self.core.outputs()
        if not len(outputs):
            return
        self.venue.pass_time(self.loop.now_ns)
        self.venue.submit(outputs)

    def _sample(self) -> None:
        world = self.core.world
        row, lots = world.instruments()[0], int(world.positions()[0]["lots"])
        mid = (int(row["bid_px_ticks"]) + int(row["ask_px_ticks"])) / 2
        now, every = self.loop.now_ns, self.loop.sample_every_ns
        at = self.samples[-1][0] + every if self.samples else now
        # In a silence that no timer broke nothing changed: its samples are all the same.
        while at <= now:
            self.samples.append((at, world.account()["equity"], lots, mid))
            at += every

    def _mark(self, event: Any) -> None:
        mark = np.frombuffer(event.tobytes(), MARK)[0]
        self.venue.pass_time(self.loop.now_ns)
        if mark["mark_px_e8"] > 0:
            self.venue.set_mark(0, int(mark["mark_px_e8"]))
        if int(mark["ts_funding_ns"]) > self.loop.now_ns:
            self.funding = int(mark["ts_funding_ns"]), int(mark["funding_rate_e8"])

    def _worse(self, event: Any) -> int:
        """The path against us: what is held meets the extreme that hurts first; a resting entry meets it last."""
        bar = np.frombuffer(event.tobytes(), BAR_PRICES)[0]
        held = self.venue.net_lots(0)
        buys, sells = self.venue.open_sides(0)
        low, high = int(Route.ROUTE_LOW_FIRST), int(Route.ROUTE_HIGH_FIRST)
        if held:
            return low if held > 0 else high
        if buys != sells:
            return high if buys else low
        return low if bar["open_ticks"] - bar["low_ticks"] < bar["high_ticks"] - bar["open_ticks"] else high


def run(machine: Machine, market: Market, events: Records) -> Run:
    """Run a fresh machine over the events of one symbol, oldest first."""
    if not len(events) or np.any(np.diff(events["ts_recv_ns"]) < 0) or np.any(events["symbol"] != 0):
        raise BacktestImpossible("events of symbol 0 in order of receipt are needed")
    start = machine.core.world.account()["equity"]
    driver = _Driver(machine, market, np.ascontiguousarray(events))
    driver.run()
    machine.core.world.check()
    tape = machine.records().copy()
    fills = _fills(tape, quotes_of(market, events), machine.venue.config.instruments[0].tick_e8)
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
        funding=int(_of(tape, Kind.KIND_FUNDING, FUNDING)["amount"].sum()),
    )


def _denials(tape: Records) -> dict[str, int]:
    found = np.ascontiguousarray(tape[tape["kind"] == int(Kind.KIND_DECISION)]).view(DECISION)
    counts: Counter[str] = Counter()
    for record in found:
        counts.update(f"{reason.stage}: {reason.text}" for reason in explain(record))
    rejected = int(np.count_nonzero(tape["kind"] == int(Kind.KIND_ORDER_REJECTED)))
    if rejected:
        counts["venue: the venue rejected it"] = rejected
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _of(tape: Records, kind: Kind, dtype: np.dtype[Any]) -> Records:
    return np.ascontiguousarray(tape[tape["kind"] == int(kind)]).view(dtype)


def _fills(tape: Records, quotes: Records, tick_e8: int) -> tuple[Fill, ...]:
    """Fills with their fees, each beside the mid of its moment and of its decision."""
    fees: dict[tuple[int, int], tuple[int, bool, bool]] = {}
    for fee in _of(tape, Kind.KIND_FEE, FEE):
        fees[int(fee["id_order"]), int(fee["id_trade"])] = (int(fee["amount"]), bool(fee["maker"]), bool(fee["asset"]))
    decided = {int(r["id_order"]): int(r["ts_recv_ns"]) for r in _of(tape, Kind.KIND_INTENT_PLACE, INTENT)}
    decided |= {int(r["id_order"]): int(r["ts_recv_ns"]) for r in _of(tape, Kind.KIND_INTENT_AMEND, INTENT)}
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
    whole: Run, market: Market, events: Records, machine: Callable[[Records], Machine], *, cuts: int = 3
) -> tuple[int, Difference | None]:
    """Run again on the data before each cut; every record before it must be the same. (Cuts made, first difference.)"""
    moments = cuts_of(whole.tape, events, cuts)
    for cut in moments:
        before = events[: int(np.searchsorted(events["ts_recv_ns"], cut))]
        again = run(machine(before), market, before).tape
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

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
from engine.observe.decisions import explain, is_refusal
from engine.research.assumed import Market, quotes_of
from engine.research.lockstep import Lockstep, Route, Stop
from engine.sim.venue.embedded import EmbeddedVenue

Records = npt.NDArray[Any]
# Told how far the time of the data has come, every few samples.
Seen = Callable[[int], None]
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
    symbol: int = 0


@dataclass(frozen=True)
class Run:
    """What a run leaves: its tape, its curve, and what was read off them."""

    tape: Records
    state_hash: str
    times_ns: npt.NDArray[np.int64]
    equity: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]  # a row a sample, a column a symbol; so the next
    prices: npt.NDArray[np.float64]
    fills: tuple[Fill, ...]
    denials: dict[str, int]
    counts: dict[str, int]
    venue_counts: dict[str, int]
    start_equity: int
    fees: int
    funding: int  # received, 1e-8 of the account's asset; negative when paid

    @property
    def position(self) -> npt.NDArray[np.int64]:
        """Of the symbol that the strategy is about; others are legs or watched."""
        return np.ascontiguousarray(self.positions[:, 0])

    @property
    def mids(self) -> npt.NDArray[np.float64]:
        return np.ascontiguousarray(self.prices[:, 0])

    @property
    def tape_hash(self) -> str:
        return hashlib.sha256(self.tape.tobytes()).hexdigest()


class _Driver:
    """Says who is next: the market and the core in lockstep, the venue's own affairs between them."""

    def __init__(self, machine: Machine, market: Market, events: Records, seen: Seen = lambda _now_ns: None) -> None:
        self.seen = seen
        self.core, self.venue, self.loop = machine.core, machine.venue, machine.loop
        self.market, self.events = market, events
        self.perpetual = [instrument.perpetual for instrument in self.venue.config.instruments]
        # The path inside the bar of each symbol.
        self.paths = [int(Route.ROUTE_LOW_FIRST)] * len(self.perpetual)
        # By symbol: when funding is exchanged next, and at which rate.
        self.funding: dict[int, tuple[int, int]] = {}

    def run(self) -> None:
        times = self.events["ts_recv_ns"]
        first, last = int(times[0]), int(times[-1])
        self.loop.begin(first, last, (last - first) // SAMPLES)
        for part, route in self.market.parts(self.events):
            self._part(part, route)
        # What is still due at the moment of the last event belongs to it.
        while (due := self._due_ns()) <= self.loop.now_ns:
            self._advance(due)

    def _part(self, part: Records, route: npt.NDArray[np.uint8]) -> None:
        at = 0
        while True:
            due = self._due_ns()
            packed = sum(path << 8 * symbol for symbol, path in enumerate(self.paths))
            at, why = self.loop.play(part, route, at, due, packed)
            symbol = int(part[at - 1]["symbol"]) if at else 0
            if why & Stop.STOP_TOLD:
                self.venue.met(symbol, self.loop.now_ns)
            if why & Stop.STOP_OUTPUTS:
                self._submit()
            if why & Stop.STOP_SAMPLED:
                self.seen(self.loop.now_ns)
            if why & Stop.STOP_MARK and self.perpetual[symbol]:
                self._mark(part[at - 1])
            if why & Stop.STOP_FORK:
                self.paths[symbol] = self._worse(part[at - 1])
            if why & Stop.STOP_DUE:
                self._advance(due)
            if why & Stop.STOP_END:
                return

    def _due_ns(self) -> int:
        due = self.venue.next_due_ns()
        due = NO_TIME if due is None else due
        return min([due, *(at for at, _ in self.funding.values())])

    def _advance(self, due: int) -> None:
        """What arrives at the same moment as a market event was on its way before it."""
        reports = self.venue.advance(due)
        for symbol in [symbol for symbol, (at, _) in self.funding.items() if at <= due]:
            self.venue.settle_funding(symbol, self.funding.pop(symbol)[1])
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

    def _mark(self, event: Any) -> None:
        mark = np.frombuffer(event.tobytes(), MARK)[0]
        self.venue.pass_time(self.loop.now_ns)
        if mark["mark_px_e8"] > 0:
            self.venue.set_mark(int(mark["symbol"]), int(mark["mark_px_e8"]))
        if int(mark["ts_funding_ns"]) > self.loop.now_ns:
            self.funding[int(mark["symbol"])] = int(mark["ts_funding_ns"]), int(mark["funding_rate_e8"])

    def _worse(self, event: Any) -> int:
        """The path against us: what is held meets the extreme that hurts first; a resting entry meets it last."""
        bar = np.frombuffer(event.tobytes(), BAR_PRICES)[0]
        held = self.venue.net_lots(int(bar["symbol"]))
        buys, sells = self.venue.open_sides(int(bar["symbol"]))
        low, high = int(Route.ROUTE_LOW_FIRST), int(Route.ROUTE_HIGH_FIRST)
        if held:
            return low if held > 0 else high
        if buys != sells:
            return high if buys else low
        return low if bar["open_ticks"] - bar["low_ticks"] < bar["high_ticks"] - bar["open_ticks"] else high


def run(machine: Machine, market: Market, events: Records, seen: Seen = lambda _now_ns: None) -> Run:
    """Run a fresh machine over the events of its symbols, oldest first."""
    markets = machine.loop.markets if machine is not None else 1
    if not len(events) or np.any(np.diff(events["ts_recv_ns"]) < 0) or np.any(events["symbol"] >= markets):
        raise BacktestImpossible(f"events of symbols below {markets} in order of receipt are needed")
    start = machine.core.world.account()["equity"]
    driver = _Driver(machine, market, np.ascontiguousarray(events), seen)
    driver.run()
    machine.core.world.check()
    tape = machine.records()
    fills = _fills(tape, quotes_of(market, events), [i.tick_e8 for i in machine.venue.config.instruments])
    times, equity, positions, prices = machine.loop.samples()
    return Run(
        tape=tape,
        state_hash=machine.core.world.state_hash(),
        times_ns=times,
        equity=equity,
        positions=positions,
        prices=prices,
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


def _fills(tape: Records, quotes: Records, ticks_e8: list[int]) -> tuple[Fill, ...]:
    """Fills with their fees, each beside the mid of its moment and of its decision."""
    fees: dict[tuple[int, int], tuple[int, bool, bool]] = {}
    for fee in _of(tape, Kind.KIND_FEE, FEE):
        fees[int(fee["id_order"]), int(fee["id_trade"])] = (int(fee["amount"]), bool(fee["maker"]), bool(fee["asset"]))
    decided = {int(r["id_order"]): int(r["ts_recv_ns"]) for r in _of(tape, Kind.KIND_INTENT_PLACE, INTENT)}
    decided |= {int(r["id_order"]): int(r["ts_recv_ns"]) for r in _of(tape, Kind.KIND_INTENT_AMEND, INTENT)}
    touches = [quotes[quotes["symbol"] == symbol] for symbol in range(len(ticks_e8))]

    def mid(symbol: int, ts_ns: int) -> float:
        at = max(int(np.searchsorted(touches[symbol]["ts_recv_ns"], ts_ns, side="right")) - 1, 0)
        row = touches[symbol][at]
        return (int(row["bid_px_ticks"]) + int(row["ask_px_ticks"])) / 2

    out, seen = [], set()
    for fill in _of(tape, Kind.KIND_ORDER_FILL, ORDER):
        order, trade = int(fill["id_order"]), int(fill["id_venue"])
        if (order, trade) in seen:
            continue  # an answer to a question tells a fill again
        seen.add((order, trade))
        # The venue stamps a fill when it happens; it is received a journey later.
        happened, symbol = int(fill["ts_venue_ns"]), int(fill["symbol"])
        began = decided.get(order, happened)
        paid, maker, in_base = fees.get((order, trade), (0, False, False))
        # A spot venue takes a buyer's fee from what was bought: stated at the price of the fill.
        paid = paid * int(fill["px_ticks"]) * ticks_e8[symbol] // E8 if in_base else paid
        out.append(
            Fill(
                happened, began, order, bool(int(fill["flags"]) & Flag.FLAG_SELL), int(fill["px_ticks"]),
                int(fill["qty_lots"]), maker, paid, mid(symbol, happened), mid(symbol, began), symbol,
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

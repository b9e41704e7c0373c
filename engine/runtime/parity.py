"""Runs a recorded session again, three times: its decisions alone, and in a backtest with two kinds of journeys.

Owns: how recorded inputs are fed to a fresh core, and which of them the simulated venue makes anew. Does not own: what
the runs are compared by (research/parity.py), the venue's model (sim/venue).

What the market, the clock, people and the engine's own measurements put into the session enters again at its recorded
time; what the venue reported is made anew by the embedded venue from the recorded market.
"""

from __future__ import annotations

import heapq
import tempfile
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine._core.histogram import Histogram
from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import EVENT, INTENT, Kind
from engine.errors import ParityImpossible
from engine.journal.layout import Session
from engine.journal.reader import open_session
from engine.journal.show import is_output
from engine.journal.snapshot import read_snapshot
from engine.research.parity import Parity, Tapes, Terms, compare
from engine.runtime.build import core_of
from engine.runtime.drive import pump
from engine.runtime.embedded import venue_instrument
from engine.settings.schema import Settings
from engine.sim.venue.embedded import EmbeddedVenue
from engine.sim.venue.embedded_config import EmbeddedConfig, Latency, reach_ns

Records = npt.NDArray[Any]
Step = Callable[[Records], Records]
# Answers by which it is seen when a request was there.
_ANSWERS = {
    int(Kind.KIND_INTENT_CANCEL): (
        Kind.KIND_ORDER_CANCELED, Kind.KIND_ORDER_CANCEL_REFUSED, Kind.KIND_ORDER_CANCEL_TOO_LATE,
        Kind.KIND_ORDER_CANCEL_NO_ORDER,
    ),
    int(Kind.KIND_INTENT_AMEND): (
        Kind.KIND_ORDER_REPLACED, Kind.KIND_ORDER_REPLACE_REFUSED, Kind.KIND_ORDER_REPLACE_NO_ORDER,
    ),
}  # fmt: skip
TAPE_ROOM = 1 << 16


class Journeys:
    """How long each recorded message travelled, asked for by what it was and how many of its kind came before."""

    def __init__(self, tape: Records) -> None:
        self.out: dict[tuple[int, int], deque[int]] = defaultdict(deque)
        self.back: dict[tuple[int, ...], deque[int]] = defaultdict(deque)
        reports = tape[np.isin(tape["kind"], [int(k) for k in _REPORTS])]
        answered: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row in np.ascontiguousarray(reports):
            kind, venue_ns = int(row["kind"]), int(row["ts_venue_ns"])
            self.back[key_of(row)].append(int(row["ts_recv_ns"]) - venue_ns)
            number = int(row["word"][0])
            if kind <= Kind.KIND_ORDER_LOST:
                answered[int(Kind.KIND_INTENT_PLACE), number].append(venue_ns)
                for intent, kinds in _ANSWERS.items():
                    if kind in kinds:
                        answered[intent, number].append(venue_ns)
        for intent in np.ascontiguousarray(tape[tape["kind"] >= int(Kind.KIND_INTENT_PLACE)]).view(INTENT):
            key = int(intent["kind"]), int(intent["id_order"])
            if answered.get(key):
                self.out[key].append(max(0, answered[key].pop(0) - int(intent["ts_recv_ns"])))

    @property
    def shortest_ns(self) -> int | None:
        every = [travel for queue in (*self.out.values(), *self.back.values()) for travel in queue]
        return min(every) if every else None


_REPORTS = tuple(k for k in Kind if Kind.KIND_ORDER_ACK <= k <= Kind.KIND_POSITION)


def key_of(report: Any) -> tuple[int, ...]:
    """What a report is about, so that the same report of another run is known: its kind, and order or symbol."""
    kind = int(report["kind"])
    about = int(report["word"][0]) if kind <= Kind.KIND_FEE else int(report["symbol"])
    return kind, about


class TravellingVenue(EmbeddedVenue):
    """The embedded venue, with journeys as they were recorded; what was not recorded travels by the model.

    An intent sets out when it was decided, also where the venue has been played ahead of the core.
    """

    journeys: Journeys | None = None

    def submit(self, intents: Records) -> None:
        after = {
            i - 1: record.tobytes() for i, record in enumerate(intents) if record["kind"] == Kind.KIND_INTENT_TERMS
        }
        for i, record in enumerate(intents):
            kind = int(record["kind"])
            if not Kind.KIND_INTENT_PLACE <= kind <= Kind.KIND_INTENT_CANCEL_ALL:
                continue
            self.counts["intents"] += 1
            known = self.journeys.out.get((kind, int(record["word"][0]))) if self.journeys is not None else None
            travel = known.popleft() if known else self.config.latency_out.draw(self._chances)
            arrives = max(int(record["ts_recv_ns"]) + travel, self._last_arrival, self.now_ns)
            self._last_arrival = arrives
            self._number += 1
            heapq.heappush(self._arrivals, (arrives, self._number, record.tobytes(), after.get(i, b"")))

    def _deliver(self, record: npt.NDArray[Any], fault: Any) -> None:
        one = record.view(EVENT)[0]
        known = self.journeys.back.get(key_of(one)) if self.journeys is not None else None
        if not known:
            super()._deliver(record, fault)
            return
        arrives = max(self.now_ns + known.popleft(), self._last_report)
        self._last_report = arrives
        self._push(arrives, record)


class _Recorder:
    """A fresh core of the session, with a tape of its own."""

    def __init__(self, session: Session, directory: Path, name: str, room: int) -> None:
        self.core: Core = core_of(session)
        snapshots = session.snapshots()
        if snapshots:
            first = read_snapshot(session, snapshots[0])
            if first.record_number:
                raise ParityImpossible(f"{session.path.name} has lost its first snapshot")
            self.core.world.load(first.image)
        if self.core.world.counts["live_orders"]:
            raise ParityImpossible(
                f"{session.path.name} begins with orders open, which no backtest can know the place of"
            )
        self.tape = Tape(directory / f"{name}.b4", capacity=room, write=True)
        self._step_ns, self._order_ns = Histogram(), Histogram()

    def take(self, events: Records, out: Callable[[Records], None]) -> None:
        at = 0
        while at < len(events):
            part = np.ascontiguousarray(events[at:])
            at += pump(self.core, self.tape, part, self._step_ns, self._order_ns)
            outputs = self.core.outputs()
            if len(outputs):
                out(outputs)


def _drop(_outputs: Records) -> None:
    """They are on the tape; nobody trades on them."""


def _unseen(_done: int, _total: int) -> None:
    """Nobody watches."""


def decide_again(session: Session, inputs: Records, directory: Path, room: int) -> Records:
    """The outputs that the core makes of the recorded inputs."""
    recorder = _Recorder(session, directory, "decided", room)
    recorder.take(inputs, _drop)
    return recorder.tape.records().copy()


def simulate(
    session: Session, settings: Settings, inputs: Records, directory: Path, room: int, *,
    journeys: Journeys | None, latency: Latency, progress: Callable[[int], None],
) -> Records:  # fmt: skip
    """The session in a backtest: the recorded market and everything but the venue's reports, in order of time."""
    recorder = _Recorder(session, directory, "same" if journeys is not None else "model", room)
    instruments = [venue_instrument(name, row) for name, row in settings.instruments.items()]
    assets = {settings.account.asset: 0} | {one.base: 1 + at for at, one in enumerate(instruments)}
    config = EmbeddedConfig(
        instruments=instruments, deposits={settings.account.asset: settings.account.capital}, assets=assets,
        report_fees=True, start_ns=int(inputs["ts_recv_ns"][0]), latency_out=latency, latency_back=latency,
    )  # fmt: skip
    venue = TravellingVenue(config, settings.engine.seed)
    venue.journeys = journeys
    shortest = None if journeys is None else journeys.shortest_ns
    reach = (
        reach_ns((latency, latency)) if shortest is None else max(0, min(shortest, reach_ns((latency, latency))) - 1)
    )
    kept = inputs[~np.isin(inputs["kind"], [int(kind) for kind in _REPORTS])]
    times, market = kept["ts_recv_ns"], kept["kind"] < int(Kind.KIND_ORDER_ACK)
    at, count = 0, len(kept)
    while at < count:
        now, due = int(times[at]), venue.next_due_ns()
        # What arrives at the moment of a market event was on its way before it.
        if due is not None and due <= now:
            recorder.take(venue.advance(due), venue.submit)
            continue
        end = at + 1
        if market[at]:
            last = min(now + reach, int(times[-1]) if due is None else due - 1)
            end = max(end, int(np.searchsorted(times, last, side="right")))
            others = np.flatnonzero(~market[at:end])
            end = at + int(others[0]) if len(others) else end
            recorder.take(venue.market(kept[at:end]), venue.submit)
        else:
            recorder.take(kept[at:end], venue.submit)
        at = end
        progress(at)
    return recorder.tape.records().copy()


def run_parity(
    session: Session, *, latency_ms: float | None = None, progress: Callable[[int, int], None] = _unseen
) -> Parity:
    """Hold a recorded session against its backtest."""
    if session.file is None or "settings" not in session.file.meta:
        raise ParityImpossible(f"{session.path.name} did not keep the settings that it was run with")
    settings = msgspec.convert(session.file.meta["settings"], Settings)
    tape = open_session(session, chain=False).must_be_sound().records()
    inputs = np.ascontiguousarray(tape[~is_output(tape)])
    if not np.any(inputs["kind"] == int(Kind.KIND_QUOTE)):
        raise ParityImpossible(f"{session.path.name} holds no quote")
    terms = [Terms(name, row.tick, row.lot, row.fee_maker, row.fee_taker) for name, row in settings.instruments.items()]
    latency = Latency() if latency_ms is None else replace(Latency(), fixed_ns=int(latency_ms * 1e6))
    room = 4 * len(tape) + TAPE_ROOM
    with tempfile.TemporaryDirectory(prefix="bot4-parity-") as directory:
        where = Path(directory)
        decided = decide_again(session, inputs, where, room)
        total = 2 * len(inputs)
        same = simulate(
            session, settings, inputs, where, room, journeys=Journeys(tape), latency=latency,
            progress=lambda done: progress(done, total),
        )  # fmt: skip
        model = simulate(
            session, settings, inputs, where, room, journeys=None, latency=latency,
            progress=lambda done: progress(len(inputs) + done, total),
        )  # fmt: skip
        return compare(Tapes(tape, decided, same, model), terms)

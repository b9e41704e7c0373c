"""The guard: the one path of every trip, and the sequence that follows it.

Whoever finds something wrong calls `Guard.trip`: it sets the latch, which every send reads, and wakes this module's
thread. From there on, in a thread of its own, whatever the loop does:

    REFUSE -> CANCEL -> CONFIRM -> FLATTEN -> VERIFY -> RECORD -> EXIT 70

The middle is the plan of engine/_core/modes (the same state machine, caps and deadlines that the core uses), driven
here over `Ports`: what is open, and how to act on it. Two ports may be given. The first goes through the engine's own
connections and needs its loop alive; the second is a blocking client of its own, used when the loop is stuck or when
the first one fails. The whole is bounded three times: each state by the plan's deadline, the sequence by `grace_s`, and
the process by the sentry, which calls `_exit` from C when even this thread is held up (its grace is the longer one).

RECORD leaves a handover for the courier: whether the account was verified, and which orders stand on purpose. Without
it, or with anything open that should not be, the courier cancels everything.

Fail closed: an exception in here is a trip of its own, and the sequence goes on with what is left. An audit that cannot
be written (a full disk) stops nothing: the records go to the last-words stream, and the exit code stays 70.
"""

from __future__ import annotations

import enum
import json
import os
import select
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from engine._core.clock import monotonic_ns, utc_ns
from engine._core.latch import Latch
from engine._core.modes import Act, Goal, Modes, Outcome, Phase
from engine.errors import GuardNotReady, SwitchOpen
from engine.safety.audit import Audit, Entry, Kind
from engine.safety.pins import Lamps, Pins
from engine.safety.pulse import Pulse
from engine.safety.sentry import Sentry
from engine.safety.stall import StallWatch

EXIT_TRIPPED = 70
TURN_S = 0.05
TURN_TRIPPED_S = 0.005
# Reasons after which the account's own figures cannot be trusted: entries are taken back, nothing is closed.
HALT_ONLY = frozenset({"equity-disagreement"})


class State(enum.IntEnum):
    WATCHING = 0
    REFUSE = 1
    CANCEL = 2
    CONFIRM = 3
    FLATTEN = 4
    VERIFY = 5
    RECORD = 6
    EXIT = 7


_OF_PHASE = {
    Phase.PHASE_CANCEL: State.CANCEL,
    Phase.PHASE_CONFIRM: State.CONFIRM,
    Phase.PHASE_FLATTEN: State.FLATTEN,
    Phase.PHASE_VERIFY: State.VERIFY,
}


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the plan asks for; `kind` is `modes.Act`."""

    kind: Act
    symbol: int
    sell: bool
    px_ticks: int
    qty_lots: int
    value: int


class Ports(Protocol):
    """What the guard works through. A call may raise or block: after a raise the other port is used."""

    def refuse(self) -> None:
        """Close the door behind the latch: empty what is queued to be sent."""

    def facts(self) -> Sequence[Mapping[str, int]]:
        """Each symbol as it is now, in the words of `modes_fact_t`: lots, orders_live, entries_live, touch, ..."""

    def act(self, action: Action) -> None:
        """Carry out one action: take orders back, place a reduce-only order, ask the venue for a position."""

    def verified(self) -> Iterable[tuple[int, int, int]]:
        """The venue's own word since the last call: symbol, lots, and the monotonic time it was true at."""

    def equity(self) -> tuple[int, int]:
        """Two independent sources, in account units; 0 or less when one is unknown."""

    def standing(self) -> Iterable[str]:
        """Client ids of the orders that stand now."""

    def stop(self, code: int) -> None:
        """The sequence is over: end the process in an orderly way, soon. The guard exits if nobody does."""


@dataclass(frozen=True)
class Plan:
    """What happens after the orders are cancelled. `limits` are the settings of `Modes`."""

    goal: Goal = Goal.GOAL_CANCEL
    aggressive: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Ending:
    """How a sequence went: what is recorded, handed over and shown."""

    reason: str
    outcome: str = "none"
    verified: bool = False
    open: list[dict[str, int]] = field(default_factory=list)
    standing: list[str] = field(default_factory=list)
    steps: list[tuple[str, int]] = field(default_factory=list)  # state, monotonic time it began at
    errors: list[str] = field(default_factory=list)
    fallback: bool = False
    edge_ns: int = 0  # when the line that tripped opened, as the kernel stamped it; 0: no line tripped
    latched_ns: int = 0  # when the sentry's thread had the latch set for it

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


class Guard:
    """Owns the safety thread. Build it after the latch and before anything that can send; `start` before trading."""

    def __init__(
        self,
        latch: Latch,
        ports: Ports,
        *,
        plan: Plan | None = None,
        fallback: Ports | None = None,
        audit: Audit | None = None,
        sentry: Sentry | None = None,
        pulse: Pulse | None = None,
        pins: Pins | None = None,
        lamps: Lamps | None = None,
        stall: StallWatch | None = None,
        handover: Path | None = None,
        grace_s: float = 10.0,
        symbols: int = 1,
        exit: Callable[[int], object] = os._exit,  # noqa: A002 - the word for it
        last_words: Callable[[str], object] = sys.stderr.write,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.latch = latch
        self.plan = plan or Plan()
        self.pins = pins
        self.lamps = lamps
        self.stall = stall
        self.ending: Ending | None = None
        self.state = State.WATCHING
        self.done = threading.Event()
        self._ports = ports
        self._fallback = fallback
        self._audit = audit
        self._sentry = sentry or Sentry(latch, pulse=pulse)
        self._pulse = pulse
        self._handover = handover
        self._grace_ns = int(grace_s * 1e9)
        self._symbols = symbols
        self._exit = exit
        self._last_words = last_words
        self._environment = os.environ if environment is None else environment
        self._closing = False
        self._seen_reasons: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    # ---------------------------------------------------------------------------------------------- sources of a trip
    def trip(self, reason: str, detail: str = "", *, value: int = 0) -> bool:
        """Trip. From any thread and any state; never raises. In force on return; True if it was the first."""
        first = self.latch.trip(reason, detail, value=value)
        self._sentry.wake()
        return first

    def failed(self, part: str, error: BaseException) -> None:
        """An exception in a part that safety rests on."""
        self.trip("safety-exception", f"{part}: {type(error).__name__}: {error}")

    def journal_failed(self, error: BaseException) -> None:
        self.trip("journal-failure", f"{type(error).__name__}: {error}")

    def clock_off(self, offset_ns: int, limit_ns: int) -> None:
        if abs(offset_ns) > limit_ns:
            self.trip("clock", f"{offset_ns} ns off, limit {limit_ns} ns", value=offset_ns)

    def equity_seen(self, first: int, second: int, agree_ppm: int) -> None:
        """Two sources of equity. Both are named: a record of a trip says on which inputs it was made."""
        if abs(first - second) * 1_000_000 > agree_ppm * max(abs(first), abs(second)):
            self.trip("equity-disagreement", f"{first} and {second}, limit {agree_ppm} ppm", value=first - second)

    def breakers_open(self, names: Iterable[str]) -> None:
        """The global breaker opened: the cascade went through."""
        self.trip("breaker-cascade", ", ".join(names))

    # ----------------------------------------------------------------------------------------------------- life cycle
    def require_closed(self) -> None:
        """First of all: a loop that is open at the start is a press. Nothing was sent that had to be taken back."""
        if self.pins is None:
            return
        try:
            self.pins.self_test()
        except SwitchOpen:
            self.latch.persist()
            self._record_trip(Ending(self.latch.first or "switch"))
            raise

    def start(self) -> None:
        self._sentry.start()
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def require_ready(self) -> None:
        """Before anything trades: every part of the chain stands (E-35). Raises what is missing; repairs nothing."""
        self.latch.require_clear()
        missing = [
            name
            for name, stands in (
                ("the sentry's thread does not turn", self._sentry.alive),
                ("the guard's thread does not run", self.alive),
                ("the audit cannot be written", self._audit is None or self._audit.healthy),
            )
            if not stands
        ]
        if missing:
            raise GuardNotReady("; ".join(missing))
        if self.pins is not None:
            self.pins.self_test()

    def close(self) -> None:
        """End the watching without a trip: an orderly stop. Twice is fine."""
        self._closing = True
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._sentry.wake()
            self._thread.join()
        self._sentry.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ----------------------------------------------------------------------------------------------------- the thread
    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._sentry.wake_fd, select.POLLIN)
        hurry = False
        while not self._closing and not self.latch.tripped:
            poll.poll((TURN_TRIPPED_S if hurry else TURN_S) * 1000)
            self._drain()
            try:
                hurry = self._turn()
            except Exception as error:  # noqa: BLE001 - section 6.8: an exception in a safety path is a trip
                self.failed("guard", error)
        if self.latch.tripped and not self._closing:
            self._sequence()

    def _drain(self) -> None:
        try:
            os.eventfd_read(self._sentry.wake_fd)
        except BlockingIOError:
            return

    def _turn(self) -> bool:
        now_ns = monotonic_ns()
        hurry = self.pins.poll() if self.pins is not None else False
        if self.stall is not None and (found := self.stall.turn(now_ns)) is not None:
            self._note(
                Kind.STALL, "stall", trigger="heart-beat", rule="safety/trip", affected="loop",
                explanation=found.text(), data=found.as_dict(),
            )  # fmt: skip
        if self.lamps is not None:
            self.lamps.turn(now_ns, self._pulse.beats if self._pulse is not None else 0)
        return hurry

    def _note(self, kind: Kind, action: str, **fields: Any) -> None:
        if self._audit is not None:
            self._audit.note(Entry(kind, action, **fields))

    # --------------------------------------------------------------------------------------------------- the sequence
    def _sequence(self) -> None:
        ending = self.ending = Ending(self.latch.first or "unknown")
        seen = self._sentry.state
        ending.edge_ns, ending.latched_ns = seen["edge_ns"], seen["latched_ns"]
        end_ns = monotonic_ns() + self._grace_ns
        if self.lamps is not None:
            self.lamps.show("emergency", monotonic_ns())
        self._record_trip(ending)
        parts: tuple[Callable[[], None], ...] = (
            lambda: self._refuse(ending),
            lambda: self._carry_out(ending, end_ns),
        )
        for part in parts:
            try:
                part()
            except Exception as error:  # noqa: BLE001 - as above: the rest of the sequence still runs
                ending.errors.append(f"{type(error).__name__}: {error}")
                self.failed("sequence", error)
        self._finish(ending)

    def _record_trip(self, ending: Ending) -> None:
        rows = [{"reason": reason, "at_ns": at_ns, "value": value} for reason, at_ns, value in self.latch.record()]
        self._append(
            ending,
            Entry(
                Kind.TRIP,
                "trip",
                trigger=ending.reason,
                rule="safety/trip",
                affected="all orders",
                actor="human" if ending.reason in ("switch", "command", "signal") else "engine",
                human=ending.reason in ("switch", "command"),
                explanation=self.latch.note or f"the latch was set by {ending.reason}",
                data={"reasons": rows},
            ),
        )

    def _append(self, ending: Ending, entry: Entry) -> None:
        """Durable if the disk lets us; said aloud in any case."""
        if self._audit is None:
            return
        try:
            self._audit.append(entry)
        except Exception as error:  # noqa: BLE001 - a full disk must not keep orders standing
            ending.errors.append(f"audit: {type(error).__name__}: {error}")
            self._last_words(f"bot4: not in the audit: {entry}\n")

    def _enter(self, ending: Ending, state: State) -> None:
        if state != self.state:
            self.state = state
            ending.steps.append((state.name, monotonic_ns()))

    def _port(self, ending: Ending) -> Ports:
        return self._fallback if ending.fallback and self._fallback is not None else self._ports

    def _through(self, ending: Ending, call: Callable[[Ports], Any]) -> Any:
        """One call through the port in use; through the other one from the first failure on."""
        try:
            return call(self._port(ending))
        except Exception as error:
            # Whatever broke, the other way is tried.
            ending.errors = [*ending.errors[-49:], f"{type(error).__name__}: {error}"]
            if self._fallback is None:
                raise
            ending.fallback = True
            return call(self._fallback)

    def _refuse(self, ending: Ending) -> None:
        self._enter(ending, State.REFUSE)
        # A loop that does not turn cannot send what it is asked to send.
        ending.fallback = "heartbeat-stall" in self.latch.reasons or self._loop_stuck()
        self._through(ending, lambda port: port.refuse())

    def _loop_stuck(self) -> bool:
        return self.stall is not None and self.stall.stuck_ns(monotonic_ns()) > self.stall.warn_ns

    def _carry_out(self, ending: Ending, end_ns: int) -> None:
        modes = Modes(symbols=self._symbols, **self.plan.limits)
        first, second = self._equity(ending)
        goal = self.plan.goal
        if HALT_ONLY & set(self.latch.reasons) and goal == Goal.GOAL_FLATTEN:
            goal = Goal.GOAL_CANCEL
        modes.exit(
            goal,
            monotonic_ns(),
            aggressive=self.plan.aggressive,
            reconciled=1,
            equity_first=first,
            equity_second=second,
        )
        # Its first step may pass through this state at once.
        self._enter(ending, State.CANCEL)
        pause = threading.Event()
        while monotonic_ns() < end_ns:
            try:
                if self._plan_turn(modes, ending):
                    break
            except Exception as error:  # noqa: BLE001 - both ways failed: ask again until the grace is over
                ending.errors = [*ending.errors[-49:], f"{type(error).__name__}: {error}"]
            pause.wait(TURN_TRIPPED_S)
        if modes.state["phase"] != Phase.PHASE_ENDED:
            ending.outcome = "grace over"
            ending.open = self._still_open(ending)

    def _equity(self, ending: Ending) -> tuple[int, int]:
        try:
            first, second = self._through(ending, lambda port: port.equity())
        except Exception:  # noqa: BLE001 - unknown equity is handled by the plan: it flattens nothing on it
            return 0, 0
        return first, second

    def _plan_turn(self, modes: Modes, ending: Ending) -> bool:
        """Facts in, actions out; True when the plan has ended."""
        for symbol, fact in enumerate(self._through(ending, lambda port: port.facts())):
            modes.fact(symbol, **fact)
        for symbol, lots, as_of_ns in self._through(ending, lambda port: port.verified()):
            modes.verified(symbol, lots, as_of_ns)
        actions = [Action(Act(row[0]), *row[1:]) for row in modes.step(monotonic_ns())]
        phase = Phase(modes.state["phase"])
        if phase in _OF_PHASE:
            self._enter(ending, _OF_PHASE[phase])
        for action in actions:
            if action.kind == Act.ACT_OPEN:
                ending.open.append({"symbol": action.symbol, "lots": action.qty_lots, "orders": action.value})
            elif action.kind == Act.ACT_ENDED:
                ending.outcome = str(Outcome(action.value).name).removeprefix("OUTCOME_").lower()
            else:
                self._act(ending, action)
        return phase == Phase.PHASE_ENDED

    def _act(self, ending: Ending, action: Action) -> None:
        self._through(ending, lambda port: port.act(action))

    def _still_open(self, ending: Ending) -> list[dict[str, int]]:
        try:
            facts = list(self._through(ending, lambda port: port.facts()))
        except Exception:  # noqa: BLE001 - nobody answers: every symbol may be open, and that is what is said
            return [{"symbol": symbol, "lots": 0, "orders": -1} for symbol in range(self._symbols)]
        return [
            {"symbol": symbol, "lots": fact.get("lots", 0), "orders": fact.get("orders_live", 0)}
            for symbol, fact in enumerate(facts)
            if fact.get("lots", 0) or fact.get("orders_live", 0)
        ]

    # -------------------------------------------------------------------------------------------------------- the end
    def _finish(self, ending: Ending) -> None:
        """Record, hand over, exit: each on its own, whatever failed before."""
        self._enter(ending, State.RECORD)
        try:
            # The scribe is at it since the trip, but a flat account is done with sooner than a disk: a process that
            # ended before the file said so would start again as if nothing had been.
            self.latch.persist()
        except Exception as error:  # noqa: BLE001 - a disk that refuses holds no order back; the exit code still says it
            ending.errors.append(f"latch: {type(error).__name__}: {error}")
            self._last_words(f"bot4: the trip is not on disk: {error}\n")
        try:
            self._settle(ending)
            text = f"{ending.outcome}; " + ("; ".join(map(str, ending.open)) or "nothing open")
            self._append(
                ending,
                Entry(
                    Kind.SEQUENCE,
                    "ended",
                    trigger=ending.reason,
                    rule="safety/trip",
                    affected="all orders",
                    explanation=text,
                    data=ending.as_dict(),
                ),
            )
            self._last_words(f"bot4: halted by {ending.reason}: {text}\n")
            if self._audit is not None:
                self._audit.close()
            if self.lamps is not None:
                self.lamps.show("halted", monotonic_ns())
        except Exception:  # noqa: BLE001 - the exit below is what counts now
            self._last_words(f"bot4: {traceback.format_exc()}")
        self._enter(ending, State.EXIT)
        self.done.set()
        try:
            self._ports.stop(EXIT_TRIPPED)
        finally:
            self._exit(EXIT_TRIPPED)

    def _settle(self, ending: Ending) -> None:
        """What the courier may rely on. Only a plan that ended, with its end verified, spares anything."""
        ended_well = ending.outcome in ("flat", "canceled", "kept", "halted")
        if ended_well:
            ending.standing = sorted(self._through(ending, lambda port: port.standing()))
        ending.verified = ended_well and not (ending.outcome == "flat" and (ending.open or ending.standing))
        if self._handover is not None:
            write_handover(self._handover, ending, self._environment.get("INVOCATION_ID", ""))


def write_handover(path: Path, ending: Ending, invocation: str) -> None:
    """Whole or not at all, and durable: see engine/safety/courier.py for who reads it."""
    temporary = path.with_name(path.name + ".new")
    document = {
        "verified": ending.verified,
        "invocation": invocation,
        "keep": ending.standing,
        "outcome": ending.outcome,
        "open": ending.open,
        "at_ns": utc_ns(),
    }
    with temporary.open("w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)

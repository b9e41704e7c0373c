"""The safety chain of one session, out of its settings: pins, lamps, sentry, guard, and the loop's heart-beat.

Owns what `bot4 run` needs to be stopped by a switch, a signal, a stall or its own figures. Latch and audit are given:
they were there before anything else, and are closed after it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine._core.clock import monotonic_ns, utc_ns
from engine._core.latch import Latch
from engine._core.modes import Goal, Mode, Phase
from engine.errors import LineLost
from engine.observe.status import SafetyStatus
from engine.runtime.engine import Engine
from engine.runtime.ports import EnginePorts, exit_once
from engine.safety.armed import Armed
from engine.safety.audit import Audit
from engine.safety.drill import overdue
from engine.safety.guard import Guard, Plan
from engine.safety.lines import Lines
from engine.safety.pins import Lamps, Pins, SharedFactory
from engine.safety.pulse import Pulse
from engine.safety.sentry import Sentry
from engine.safety.stall import StallWatch
from engine.safety.wiring import Wiring, remember
from engine.settings.schema import Safety, Settings

MS = 1_000_000
START_NS = 10_000 * MS  # a machine that does not run a thread within this is not one to trade on
GOALS = {"cancel": Goal.GOAL_CANCEL, "standard": Goal.GOAL_FLATTEN, "aggressive": Goal.GOAL_FLATTEN}


def plan_of(settings: Settings) -> Plan:
    safety = settings.safety
    return Plan(GOALS[safety.plan], aggressive=safety.plan == "aggressive", limits=settings.modes.core())


class Chain:
    """Built before anything can send, started before anything trades, closed last."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        latch: Latch,
        audit: Audit,
        engine: Engine,
        *,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        safety = settings.safety
        self.latch, self._engine, self._safety = latch, engine, safety
        self._drills, self._overdue_due_ns = root / "drills", 0
        self._overdue: tuple[str, ...] = ()
        self.ended = threading.Event()
        self.pulse = Pulse()
        self.ports = EnginePorts(engine, ended=self.ended, grace_s=safety.grace_ms / 1_000)
        loops = (("switch", safety.pin_switch), ("tamper", safety.pin_tamper))
        pins = tuple(pin for _, pin in loops)
        remember(root, Wiring(switch=safety.switch, chip=safety.chip, lines=pins, bias=safety.bias))
        self.lines = self._lines(safety)
        debounce_ns = safety.debounce_us * 1_000
        # A line that chatters for ever trips as late as this; a single bounce has its whole time before it.
        latest_ns = max(50 * MS, 2 * debounce_ns)
        self.sentry = Sentry(
            latch,
            lines=self.lines,
            pulse=self.pulse,
            debounce_ns=debounce_ns,
            latest_ns=latest_ns,
            stall_ns=safety.stall_ms * MS,
            # gpiozero's side needs the interpreter, as the loop does: it may be as long without it.
            silent_ns=safety.stall_ms * MS,
            # The guard has its grace first, and then the time to close the record.
            grace_ns=2 * safety.grace_ms * MS + 5_000 * MS,
        )
        self.lamps = self._lamps(safety)
        self.pins: Pins | None = None
        if self.lines is not None:
            self.pins = Pins(
                self._trip,
                loops=loops,
                factory=SharedFactory(self.lines),
                debounce_ns=debounce_ns,
                latest_ns=latest_ns,
                report=self.sentry.report,
                wake=self.sentry.wake,
            )
        self.guard = Guard(
            latch,
            self.ports,
            plan=plan_of(settings),
            audit=audit,
            sentry=self.sentry,
            pulse=self.pulse,
            pins=self.pins,
            lamps=self.lamps,
            stall=StallWatch(self.pulse),
            handover=root / "handover.json",
            grace_s=safety.grace_ms / 1_000,
            symbols=len(settings.instruments),
            exit=exit_once(self.ended, leave),
            last_words=sys.stderr.write,
        )

    def _trip(self, reason: str, detail: str) -> bool:
        return self.guard.trip(reason, detail)

    @staticmethod
    def _lines(safety: Safety) -> Lines | None:
        if safety.switch != "gpio":
            return None
        return Lines(safety.chip, [safety.pin_switch, safety.pin_tamper], bias=safety.bias)

    @staticmethod
    def _lamps(safety: Safety) -> Lamps | None:
        if safety.switch != "gpio":
            return None
        return Lamps((safety.pin_green, safety.pin_yellow, safety.pin_red))

    def start(self) -> None:
        """From here on a trip ends the process. Raises what is missing before anything trades."""
        self.guard.require_closed()
        self.guard.start()
        self.sentry.catch(signal.SIGUSR1)
        pause, end_ns = threading.Event(), monotonic_ns() + START_NS
        while not self.sentry.alive and monotonic_ns() < end_ns:
            pause.wait(0.002)
        self.guard.require_ready()

    def turn(self, now_ns: int) -> None:
        """One turn of the loop. Its heart-beat counts from the first one on: what came before was building."""
        if not self.pulse.armed:
            self.pulse.arm()
        self.pulse.beat()
        if self.latch.tripped:
            self.ports.publish()
        elif self.lamps is not None:
            mode = Mode(self._engine.core.world.modes["mode"]).name.removeprefix("MODE_").lower()
            if self.lamps.mode != mode:
                self.lamps.show(mode, now_ns)

    def status(self) -> SafetyStatus:
        """The devices as they are now. Each loop is wired closed: an open one is pressed, or cut."""
        words = {0: "closed", 1: "open"}
        phase = Phase(self._engine.core.world.modes["phase"])
        plan = "" if phase in (Phase.PHASE_IDLE, Phase.PHASE_ENDED) else phase.name.removeprefix("PHASE_").lower()
        told = SafetyStatus(
            switch=self._safety.switch,
            plan=plan,
            dead_man=Armed(available=False).state(0),
            drills_overdue=self._drills_overdue(),
        )  # fmt: skip
        if self.lines is None:
            return told
        try:
            levels = [words[self.lines.level(pin)] for pin in (self._safety.pin_switch, self._safety.pin_tamper)]
        except LineLost:
            levels = ["gone", "gone"]
        return msgspec.structs.replace(told, switch=levels[0], tamper=levels[1])

    def _drills_overdue(self) -> tuple[str, ...]:
        """Read from the folder once a minute: a drill is run by another process."""
        now_ns = monotonic_ns()
        if now_ns >= self._overdue_due_ns:
            self._overdue_due_ns = now_ns + 60_000 * MS
            self._overdue = tuple(overdue(self._drills, utc_ns()))
        return self._overdue

    @property
    def settled(self) -> bool:
        """Whether the guard's sequence is over, where there is one."""
        return not self.latch.tripped or self.guard.done.is_set()

    @property
    def alive(self) -> bool:
        return self.sentry.alive and self.guard.alive

    def close(self) -> None:
        """The loop has ended in order: nobody has to be ended by force any more."""
        self.pulse.disarm()
        self.ended.set()
        self.guard.close()
        if self.latch.tripped:
            # A trip in the very last moment had no sequence any more; the next start has to know of it all the same.
            self.latch.persist()
        for part in (self.pins, self.lamps, self.lines):
            if part is not None:
                part.close()

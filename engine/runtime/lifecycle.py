"""From start to stop: moves the clock for an engine, hears the signals, and stops in order.

A run ends because its time is over, because somebody asked (SIGINT, SIGTERM, the control socket), or because the
latch was tripped. However it ends, the order is the same: no new orders, cancel, wait until the venue confirmed,
close the record. `grace_s` bounds the wait; what is still open then is named and left to the courier.
"""

from __future__ import annotations

import asyncio
import enum
import signal
from collections.abc import Callable
from dataclasses import dataclass

from engine._core.clock import monotonic_ns, utc_ns
from engine._core.histogram import Histogram
from engine.runtime.engine import Engine

EXIT_CLEAN, EXIT_OPEN, EXIT_TRIPPED = 0, 5, 70


class Phase(enum.Enum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Pace:
    """How the engine's time follows the machine's."""

    start_ns: int  # the engine's time at the start
    speed: float = 1.0  # its seconds per second of this machine
    turn_s: float = 0.002  # between two looks at the clock
    turns_most: int = 50  # of its time that one turn catches up: a machine that is too slow still answers
    wall: bool = False  # it is the machine's UTC: where what happens is stamped with that, nothing else agrees with it

    def now_ns(self, since_ns: int) -> int:
        if self.wall:
            return utc_ns()
        return self.start_ns + int((monotonic_ns() - since_ns) * self.speed)

    def until_ns(self, since_ns: int, now_ns: int) -> int:
        """How far the next turn goes: never back, and after a leap of the clock step by step."""
        most_ns = now_ns + int(self.turns_most * self.turn_s * self.speed * 1e9)
        return max(now_ns, min(self.now_ns(since_ns), most_ns))


class Lifecycle:
    """Runs one engine on the running loop. `quiet` answers whether nothing is live at the venue any more."""

    def __init__(
        self,
        engine: Engine,
        pace: Pace,
        *,
        each_turn: Callable[[], None],
        wind_down: Callable[[], None],
        quiet: Callable[[], bool],
        tripped: Callable[[], bool] = lambda: False,
        hang_up: Callable[[], None] = lambda: None,
        grace_s: float = 5.0,
    ) -> None:
        self.engine, self.pace = engine, pace
        self.phase = Phase.STARTING
        self.reason = ""
        self.turns = 0
        self.turn_ns = Histogram()
        self.lag_ns = 0  # how much later than asked for the loop came back, the last time
        self._each_turn, self._wind_down = each_turn, wind_down
        self._quiet, self._tripped, self._grace_s = quiet, tripped, grace_s
        self._hang_up = hang_up
        self._stop = asyncio.Event()

    def stop(self, reason: str) -> None:
        """Ask for an orderly end. The first reason is the one that is kept."""
        if not self._stop.is_set():
            self.reason = reason
            self._stop.set()

    async def run(self, *, seconds: float | None = None) -> int:
        """Run until stopped or until `seconds` of this machine's time are over; returns the exit code."""
        self.hear_signals()
        since_ns = monotonic_ns()
        until_ns = None if seconds is None else since_ns + int(seconds * 1e9)
        self.phase = Phase.RUNNING
        while not self._stop.is_set():
            self._turn(since_ns)
            if self._tripped():
                self.stop("the latch is tripped")
            elif until_ns is not None and monotonic_ns() >= until_ns:
                self.stop("its time is over")
            await self._pause()
        self.phase = Phase.STOPPING
        self._wind_down()
        end_ns = monotonic_ns() + int(self._grace_s * 1e9)
        while not self._quiet() and monotonic_ns() < end_ns:
            self._turn(since_ns)
            await asyncio.sleep(self.pace.turn_s)
        self.phase = Phase.STOPPED
        if self._tripped():
            return EXIT_TRIPPED
        return EXIT_CLEAN if self._quiet() else EXIT_OPEN

    def _turn(self, since_ns: int) -> None:
        begun = monotonic_ns()
        self.engine.advance(self.pace.until_ns(since_ns, self.engine.now_ns))
        self._each_turn()
        self.turns += 1
        self.turn_ns.record(monotonic_ns() - begun)

    async def _pause(self) -> None:
        due_ns = monotonic_ns() + int(self.pace.turn_s * 1e9)
        try:
            # Not wait_for: where a time-out and a cancellation meet, it swallows the cancellation.
            async with asyncio.timeout(self.pace.turn_s):
                await self._stop.wait()
        except TimeoutError:
            self.lag_ns = max(0, monotonic_ns() - due_ns)

    def hear_signals(self) -> None:
        """From here on a signal asks for an orderly end: ahead of `run` too, for one may come within the start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop, f"{number.name} received")
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

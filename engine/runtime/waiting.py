"""How the loop's thread waits between two events: asleep in the kernel, or spinning.

A sleeping thread is woken by the kernel, which takes 10 to 25 us from another core; a loop that always has something
to do asks its sockets with a time-out of zero and never sleeps. It burns one CPU whole, so it is a choice
(`core.wait = "spin"`), for a machine that has one to spare. Timers, signals and tasks run as they always do.
Cost and gain: bench/bench_wire.py, both ways of waiting side by side.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Waiting:
    """`with Waiting(spin=True):` inside a running loop; with false it changes nothing."""

    def __init__(self, *, spin: bool) -> None:
        self.spin = spin
        self.turns = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Waiting:
        if self.spin:
            self._loop = asyncio.get_running_loop()
            self._again()
        return self

    def _again(self) -> None:
        # The next turn of the loop has this to do, so it asks the kernel what is there and does not wait.
        if self._loop is not None:
            self.turns += 1
            self._loop.call_soon(self._again)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop = None

"""An asyncio loop whose time moves only while nobody has anything to do, over real sockets.

When no socket is ready the loop's clock jumps to the next timer, and the engine's own clocks (`clock.hold`) jump with
it. So a conversation of minutes takes as long as its work, and a machine that is starved starves nobody: while code
runs, no time passes, and nothing times out because something else was computed.

What the kernel still carries between two sockets of this process is not lost: time is held back to `PACE` times the
real one whenever the loop idles, so a byte that takes a millisecond of the machine takes a tenth of a second here at
most. Everything that is tested on this loop has to live with such delays anyway.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

from engine._core import clock

START_NS = 1_800_000_000 * 10**9
PACE = 100.0
BREATH_S = 0.001
# Without a timer only a socket or a thread can go on; a loop that waits so long for one waits for ever.
STUCK_S = 60.0


class _Selector(selectors.EpollSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 1_000 * 10**9  # of the loop and of the monotonic clock
        self._unpaid_s = 0.0
        self._hold()

    def _hold(self) -> None:
        clock.hold(START_NS + self.now_ns, self.now_ns)

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            ready = super().select(STUCK_S)
            assert ready, "nothing is scheduled and no socket speaks: this loop would wait for ever"
            return ready
        self._unpaid_s += timeout
        if self._unpaid_s >= BREATH_S * PACE:
            self._unpaid_s = 0.0
            if ready := super().select(BREATH_S):
                return ready
        # Up to the timer and not a hair before it, or the loop would turn for nothing.
        self.now_ns += int(timeout * 1e9) + 1
        self._hold()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_ns / 1e9

    def close(self) -> None:
        super().close()
        clock.hold(0, 0)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """`asyncio.run` on time of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

"""Twin of the manual clock: one word that only moves forward."""

from __future__ import annotations

from engine.errors import ClockBackwards


class Clock:
    def __init__(self, *, manual: bool = True, start_ns: int = 0) -> None:
        if not manual:
            raise ClockBackwards("the twin has no hardware; use manual=True")
        self.manual = manual
        self.now_ns = start_ns
        self.backwards_count = 0

    def stamp(self) -> int:
        return self.now_ns

    def anchor(self) -> None:
        """A manual clock hangs on nothing."""

    def set(self, now_ns: int) -> None:
        if now_ns < self.now_ns:
            raise ClockBackwards(f"{now_ns} after {self.now_ns}")
        self.now_ns = now_ns

    def check(self) -> None:
        assert self.now_ns >= 0

"""Who holds the loop up: names the callback or strategy behind a stall before the sentry trips on it.

The sentry (C, no interpreter lock) trips at its own limit, whatever happens here. This watch sits in the guard's
thread, looks at the same words, and from `warn_s` on takes the stack of the loop's thread: the innermost frame outside
the engine is what a person can mend. When the interpreter lock itself is held, no Python thread runs; then
`faulthandler`'s own C thread writes every stack into `stack_file`, if one is given.

Cost: two loads a turn; a stack is taken once per stall.
"""

from __future__ import annotations

import faulthandler
import sys
import threading
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from engine.safety.pulse import Pulse

LIBRARY = str(Path(threading.__file__).parent)


@dataclass(frozen=True, slots=True)
class Stall:
    seconds: float
    running: str  # the mark that stood: callback, strategy, or the loop itself
    where: str  # file:line function, innermost outside the engine
    stack: tuple[str, ...]

    def text(self) -> str:
        return f"{self.running} held the loop for {self.seconds:.3f} s at {self.where}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class StallWatch:
    """`turn` from a thread beside the loop; `loop_thread` is the identity of the loop's."""

    pulse: Pulse
    warn_s: float = 0.25
    loop_thread: int = field(default_factory=lambda: threading.main_thread().ident or 0)
    stack_file: IO[str] | None = None
    last: Stall | None = field(default=None, init=False)
    stall_count: int = field(default=0, init=False)
    _beats: int = field(default=-1, init=False)
    _since_ns: int = field(default=0, init=False)
    _told: bool = field(default=False, init=False)

    @property
    def warn_ns(self) -> int:
        return int(self.warn_s * 1e9)

    def stuck_ns(self, now_ns: int) -> int:
        """How long the heart-beat has stood still, as far as this watch has looked."""
        return now_ns - self._since_ns if self.pulse.armed and self.pulse.beats == self._beats else 0

    def turn(self, now_ns: int) -> Stall | None:
        """A new stall, once; None while the loop turns."""
        beats = self.pulse.beats
        if beats != self._beats or not self.pulse.armed:
            self._beats, self._since_ns, self._told = beats, now_ns, False
            if self.stack_file is not None:
                # Rearmed by every turn that comes: it fires only if this thread, too, is held up by the lock.
                faulthandler.dump_traceback_later(max(self.warn_s, 0.05), file=self.stack_file)
            return None
        if self._told or now_ns - self._since_ns < self.warn_ns:
            return None
        self._told = True
        self.stall_count += 1
        self.last = self._look(now_ns - self._since_ns)
        return self.last

    def _look(self, held_ns: int) -> Stall:
        frame = sys._current_frames().get(self.loop_thread)
        rows = traceback.extract_stack(frame) if frame is not None else traceback.StackSummary()
        stack = tuple(f"{row.filename}:{row.lineno} {row.name}" for row in rows)
        # What a person can mend is neither ours nor Python's own.
        theirs = [text for text in stack if "/engine/" not in text and not text.startswith(LIBRARY)]
        return Stall(held_ns / 1e9, self.pulse.running, (theirs or list(stack) or ["unknown"])[-1], stack[-30:])

    def close(self) -> None:
        if self.stack_file is not None:
            faulthandler.cancel_dump_traceback_later()

"""When an open line counts as a trip: the same rule for both readers of a line.

A normally-closed loop that opens has tripped once it stayed open for `debounce_ns` without a break. A line that
chatters would put that off for ever - the kernel's own debounce has exactly this weakness, each edge starts it anew -
so a line that has not settled `latest_ns` after it first opened has tripped too. A shorter opening that settles closed
is a glitch: counted, no trip. Time comes in as an argument; one instance per line.

`engine/safety/sentry.pyx` carries the same rule without the interpreter lock; a test feeds both the same lines.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Debounce:
    debounce_ns: int
    latest_ns: int
    tripped: bool = False
    glitch_count: int = 0
    _suspect: bool = False
    _suspect_ns: int = 0  # when it first opened
    _level_open: bool = False
    _level_ns: int = 0  # since when the level is what it is

    def sample(self, now_ns: int, is_open: bool) -> bool:
        """Take one reading or one edge; True from the trip on."""
        if self.tripped:
            return True
        if self._suspect and not self._level_open and now_ns - self._level_ns >= self.debounce_ns:
            # It had settled closed before this reading: a glitch, and what is open now is a new one.
            self.glitch_count += 1
            self._suspect = False
        if not self._suspect:
            if is_open:
                self._suspect = self._level_open = True
                self._suspect_ns = self._level_ns = now_ns
            self.tripped = is_open and self.debounce_ns <= 0
        elif self._level_open and now_ns - self._level_ns >= self.debounce_ns:
            # The level until now was open for long enough: this has tripped even if it closes with this reading.
            self.tripped = True
        elif now_ns - self._suspect_ns >= self.latest_ns:
            self.tripped = True
        elif is_open != self._level_open:
            self._level_open, self._level_ns = is_open, now_ns
        return self.tripped

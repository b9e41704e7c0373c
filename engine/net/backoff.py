"""When to try again: growing pauses with jitter, and a bound on attempts in a span of time. No clock inside.

The first attempt after a connection that worked goes at once; then a quarter of a second, doubled up to a bound, each
pause drawn between half and the whole of its step so that many clients do not come back together. The draw is a hash of
seed and attempt: a run can be repeated. The budget of attempts is the venue's own (Binance: 300 in five minutes).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

SECOND = 1_000_000_000
_MASK = 2**64 - 1


@dataclass(frozen=True)
class BackoffConfig:
    first_ns: int = SECOND // 4
    most_ns: int = 30 * SECOND
    stable_ns: int = 60 * SECOND  # a connection that lived this long starts the pauses anew
    attempts: int = 60
    span_ns: int = 300 * SECOND

    def __post_init__(self) -> None:
        if not 0 < self.first_ns <= self.most_ns or self.attempts < 1 or self.span_ns <= 0:
            raise ValueError(f"{self}")


def draw(seed: int, number: int) -> float:
    """A number in [0, 1) that the pair always gives: splitmix64."""
    x = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return (x ^ (x >> 31)) / 2**64


class Backoff:
    """One connection's attempts."""

    def __init__(self, seed: int, config: BackoffConfig | None = None) -> None:
        self.config = config or BackoffConfig()
        self._seed = seed
        self._failures = 0
        self._opened_ns: int | None = None
        self._attempts: deque[int] = deque()
        self.attempt_count = 0

    def pause_ns(self, now_ns: int) -> int:
        """How long to wait before the next attempt."""
        c = self.config
        pause = 0
        if self._failures:
            step = min(c.first_ns << min(self._failures - 1, 40), c.most_ns)
            pause = step // 2 + int(step // 2 * draw(self._seed, self.attempt_count))
        while self._attempts and self._attempts[0] <= now_ns - c.span_ns:
            self._attempts.popleft()
        if len(self._attempts) >= c.attempts:
            pause = max(pause, self._attempts[0] + c.span_ns - now_ns)
        return pause

    def trying(self, now_ns: int) -> None:
        self.attempt_count += 1
        self._attempts.append(now_ns)

    def opened(self, now_ns: int) -> None:
        self._opened_ns = now_ns

    def failed(self, now_ns: int) -> None:
        """An attempt failed, or an open connection ended. One that ended at once counts as a failure too."""
        lived = 0 if self._opened_ns is None else now_ns - self._opened_ns
        self._opened_ns = None
        # The first attempt after a life is free; a connection that keeps dying young is not.
        self._failures = 0 if lived >= self.config.stable_ns else self._failures + 1

"""How far the venue's clock is from ours, how sure that is, and whether anything may be signed. Sans-IO.

A sample is a question answered: sent, the venue's time, received. The venue's time lies somewhere between both, so the
offset is known to half the round trip; the sample of the shortest one wins while it is fresh. Venues print
milliseconds, which adds half a millisecond. Signing stops when no sample is fresh, when the distance passes the limit,
or when it is not known well enough; a start without a sample cannot sign.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MS = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True)
class ClockLimits:
    offset_ns: int = 500 * MS  # beyond it the system's clock is wrong, and so is every time stamp of ours
    uncertainty_ns: int = 400 * MS
    age_ns: int = 120 * SECOND
    kept: int = 16


@dataclass(frozen=True)
class Sample:
    offset_ns: int
    uncertainty_ns: int
    at_ns: int


class ClockSync:
    def __init__(self, limits: ClockLimits | None = None, *, resolution_ns: int = MS) -> None:
        self.limits = limits or ClockLimits()
        self._resolution_ns = resolution_ns
        self._samples: deque[Sample] = deque(maxlen=self.limits.kept)
        self.refused_count = 0

    def sample(self, sent_ns: int, venue_ns: int, received_ns: int) -> bool:
        """Take an answer in. One whose times contradict each other is refused: our own clock was moved meanwhile."""
        trip = received_ns - sent_ns
        if trip < 0 or trip > 10 * SECOND or venue_ns <= 0:
            self.refused_count += 1
            return False
        middle = sent_ns + trip // 2
        # A printed time is rounded down: on average the venue's is half a step later.
        offset = venue_ns + self._resolution_ns // 2 - middle
        self._samples.append(Sample(offset, trip // 2 + self._resolution_ns // 2, received_ns))
        return True

    def best(self, now_ns: int) -> Sample | None:
        """The sample that knows most, of those that are fresh."""
        fresh = [s for s in self._samples if 0 <= now_ns - s.at_ns <= self.limits.age_ns]
        return min(fresh, key=lambda s: s.uncertainty_ns, default=None)

    def why_not_sign(self, now_ns: int) -> str:
        """Empty when signing is allowed, else the reason in plain words."""
        best = self.best(now_ns)
        if best is None:
            return "the venue's clock was not measured lately"
        if abs(best.offset_ns) - best.uncertainty_ns > self.limits.offset_ns:
            limit = f"the limit is {self.limits.offset_ns / MS:.0f}"
            return f"our clock is {-best.offset_ns / MS:+.0f} ms off the venue's, {limit}"
        if best.uncertainty_ns > self.limits.uncertainty_ns:
            return f"the distance is known to {best.uncertainty_ns / MS:.0f} ms only"
        return ""

    def venue_now_ns(self, now_ns: int) -> int:
        """Our time as the venue's clock would say it: what a signed request carries."""
        best = self.best(now_ns)
        return now_ns + (best.offset_ns if best is not None else 0)

    def clear(self) -> None:
        """Our clock jumped: what was measured before means nothing."""
        self._samples.clear()

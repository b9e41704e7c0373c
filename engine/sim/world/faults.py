"""What can go wrong, drawn from one seed: a schedule of events, and the fate of every message.

Nothing is drawn while the world runs. The schedule is a list that a shrinker may shorten; a message's fate depends on
the seed and the message's number alone, so that leaving one fault out does not move another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.sim.distributions import Chances

S = 10**9
MASK = (1 << 64) - 1
START_NS = 1_700_000_000 * S  # when every world begins

KILL, POWER, TEAR, FLIP, DISK_FULL, CUT, HALT, CLOCK, BAN, LATCH, SNAPSHOT = (
    "kill", "power", "tear", "flip", "disk full", "cut", "halt", "clock", "ban", "latch", "snapshot",
)  # fmt: skip
KINDS = (KILL, POWER, TEAR, FLIP, DISK_FULL, CUT, HALT, CLOCK, BAN, LATCH, SNAPSHOT)
# Where a process can die while it handles one event.
DEATHS = ("before the input", "after the input", "before the outputs", "before the send", "after the send")


@dataclass(frozen=True, order=True)
class Fault:
    at_ns: int
    kind: str
    number: int  # picks the detail: where in the event, which bit, how long

    def text(self) -> str:
        return f"{self.at_ns / S:>12.3f} s  {self.kind}  ({self.number})"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often: the scheduled ones per simulated hour, the messages' as a chance of each."""

    per_hour: dict[str, float] = field(
        default_factory=lambda: {
            KILL: 0.6, POWER: 0.2, TEAR: 0.2, FLIP: 0.1, DISK_FULL: 0.2, CUT: 1.0, HALT: 0.3, CLOCK: 0.5, BAN: 0.2,
            LATCH: 0.01, SNAPSHOT: 0.5,
        }
    )  # fmt: skip
    lost: float = 0.01
    twice: float = 0.02
    late: float = 0.03  # far beyond its turn: reordered behind everything of the next seconds
    throttled: float = 0.005  # 429

    def none(self) -> Rates:
        return Rates(per_hour={}, lost=0, twice=0, late=0, throttled=0)


def schedule(seed: int, hours: float, rates: Rates) -> list[Fault]:
    """Every scheduled fault of a run, in time order."""
    faults = []
    for kind in KINDS:
        mean = rates.per_hour.get(kind, 0.0)
        if not mean:
            continue
        chances, at = Chances(f"{seed} {kind}"), 0
        while (at := at + chances.exponential_ns(3600 * S / mean)) < hours * 3600 * S:
            faults.append(Fault(at, kind, chances.below(1 << 30)))
    return sorted(faults)


def mix(seed: int, number: int) -> float:
    """A uniform that depends on both, without a stream: splitmix64."""
    z = (seed * 0x9E3779B97F4A7C15 + (number + 1) * 0xD1B54A32D192ED03) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return ((z ^ (z >> 31)) >> 11) / (1 << 53)


LOST, TWICE, LATE, THROTTLED, WELL = "lost", "twice", "late", "throttled", ""


class Fates:
    """What happens to message number n. `muted` ones arrive well whatever the seed says."""

    def __init__(self, seed: int, rates: Rates, muted: frozenset[int] = frozenset()) -> None:
        self.seed, self.muted = seed, muted
        self._edges = []
        edge = 0.0
        for name in (LOST, TWICE, LATE, THROTTLED):
            edge += getattr(rates, name)
            self._edges.append((edge, name))
        self._most = edge
        self.met: list[int] = []  # messages that something happened to
        self.over = False  # from here on every message arrives well

    def of(self, number: int) -> str:
        u = mix(self.seed, number)
        if u >= self._most or self.over or number in self.muted:
            return WELL
        self.met.append(number)
        return next(name for edge, name in self._edges if u < edge)

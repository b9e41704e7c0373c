"""What goes wrong between an engine and a venue: by chance from a seed, or by a script.

A plan is asked once for each message and answers what happens to it. It owns its stream of chances, so that faults and
latencies of one run never depend on each other's number. Nothing here knows what a message means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from engine.errors import SimBadModel
from engine.sim.distributions import Chances


class FaultKind(StrEnum):
    LOST_ACK = "lost_ack"
    DUPLICATE_ACK = "duplicate_ack"
    LATE_ACK = "late_ack"
    REORDERED_ACK = "reordered_ack"
    LOST_FILL = "lost_fill"
    DUPLICATE_FILL = "duplicate_fill"
    LATE_FILL = "late_fill"
    REORDERED_FILL = "reordered_fill"
    GAP = "gap"  # a market message that never arrives
    TOO_MANY = "429"  # an order refused for its rate
    BANNED = "418"  # every order refused for a while
    DISCONNECT = "disconnect"
    CLOCK_JUMP = "clock_jump"
    HALT = "halt"


ON_ACK = (FaultKind.LOST_ACK, FaultKind.DUPLICATE_ACK, FaultKind.LATE_ACK, FaultKind.REORDERED_ACK)
ON_FILL = (FaultKind.LOST_FILL, FaultKind.DUPLICATE_FILL, FaultKind.LATE_FILL, FaultKind.REORDERED_FILL)
LASTING = (FaultKind.BANNED, FaultKind.DISCONNECT, FaultKind.CLOCK_JUMP, FaultKind.HALT)


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted fault. A lasting one begins at `at_ns` and ends after `span_ns`; another hits the next message."""

    kind: FaultKind
    at_ns: int
    span_ns: int = 0
    symbol: int = 0  # of a halt
    jump_ns: int = 0  # of a clock jump


@dataclass
class FaultPlan:
    """Chances per message, and a script. Empty: nothing ever goes wrong."""

    seed: int = 0
    rates: dict[FaultKind, float] = field(default_factory=dict)
    script: Sequence[Fault] = ()
    late_ns: int = 500_000_000
    ban_ns: int = 120_000_000_000
    away_ns: int = 1_000_000_000
    counts: dict[FaultKind, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, rate in self.rates.items():
            if not 0.0 <= rate <= 1.0 or kind in (FaultKind.HALT, FaultKind.CLOCK_JUMP):
                raise SimBadModel(f"{kind}: {rate}; halts and clock jumps are scripted, other rates are 0 to 1")
        self._chances = Chances(f"faults {self.seed}")
        self._once = sorted((f for f in self.script if f.kind not in LASTING), key=lambda f: f.at_ns)
        self._lasting = [f for f in self.script if f.kind in LASTING]
        self._counted: set[int] = set()

    def on(self, kinds: Sequence[FaultKind], now_ns: int) -> FaultKind | None:
        """What happens to one message of a class: a scripted fault that is due, or the first that chance picks."""
        for i, fault in enumerate(self._once):
            if fault.at_ns > now_ns:
                break
            if fault.kind in kinds:
                del self._once[i]
                return self._count(fault.kind)
        picked = None
        for kind in kinds:
            rate = self.rates.get(kind, 0.0)
            if rate and self._chances.happens(rate) and picked is None:
                picked = kind
        return self._count(picked) if picked is not None else None

    def during(self, kind: FaultKind, now_ns: int, symbol: int = 0) -> Fault | None:
        """The scripted lasting fault of a kind that holds now."""
        for i, fault in enumerate(self._lasting):
            if fault.kind == kind and fault.symbol == symbol and fault.at_ns <= now_ns < fault.at_ns + fault.span_ns:
                if i not in self._counted:
                    self._counted.add(i)
                    self._count(kind)
                return fault
        return None

    def next_edge_ns(self, now_ns: int) -> int | None:
        """When the next lasting fault begins or ends."""
        edges = [edge for f in self._lasting for edge in (f.at_ns, f.at_ns + f.span_ns) if edge > now_ns]
        return min(edges) if edges else None

    def _count(self, kind: FaultKind) -> FaultKind:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return kind

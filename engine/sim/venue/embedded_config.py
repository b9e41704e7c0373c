"""What an embedded venue in this process is made of: instruments, money, journeys of messages, faults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt

from engine.errors import SimBadModel
from engine.sim.distributions import Chances
from engine.sim.faults import FaultPlan
from engine.sim.venue.instruments import Instrument, default_spot
from engine.sim.venue.recorded import QueueModel

# A log-normal journey shorter than eight deviations below its median comes once in 10^15 messages.
_TAIL = 8.0


class Generator(Protocol):
    """A market that lives in a book: it is told how far time has come and says what it did."""

    def advance(self, until_ns: int, room: int = ...) -> npt.NDArray[Any]: ...


@dataclass(frozen=True)
class Latency:
    """How long a message travels: log-normal of `mu`, `sigma` in milliseconds, or `fixed_ns` when that is given."""

    mu: float = 3.9
    sigma: float = 0.3
    fixed_ns: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < 10 or not -20 < self.mu < 20 or (self.fixed_ns is not None and self.fixed_ns < 0):
            raise SimBadModel(f"latency mu {self.mu}, sigma {self.sigma}, fixed {self.fixed_ns}")

    def draw(self, chances: Chances) -> int:
        return self.fixed_ns if self.fixed_ns is not None else chances.latency_ns(self.mu, self.sigma)


def reach_ns(latencies: Sequence[Latency]) -> int:
    """How far the venue may be played ahead of its client: less than the shortest journey of a message."""
    shortest = (
        latency.fixed_ns if latency.fixed_ns is not None else int(math.exp(latency.mu - _TAIL * latency.sigma) * 1e6)
        for latency in latencies
    )
    return max(0, min(shortest) - 1)


@dataclass(frozen=True)
class EmbeddedConfig:
    """`instruments[i]` is the engine's symbol i; `assets` gives the ledger's number of each asset that is reported."""

    instruments: Sequence[Instrument] = field(default_factory=default_spot)
    deposits: Mapping[str, int] = field(default_factory=lambda: {"BTC": 10**10, "USDT": 10**14})
    assets: Mapping[str, int] = field(default_factory=dict)
    latency_out: Latency = field(default_factory=Latency)
    latency_back: Latency = field(default_factory=Latency)
    queue_model: int = QueueModel.QUEUE_SHARE
    split_fills: bool = False  # Poisson(3) parts of Beta(2, 5) ratios for each fill that the book gives
    report_fees: bool = False
    report_balances: bool = False
    faults: FaultPlan = field(default_factory=FaultPlan)
    start_ns: int = 0

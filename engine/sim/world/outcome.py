"""What came of one run of the world."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.sim.world.faults import Fault


@dataclass
class Outcome:
    seed: int
    hours: float
    events: int = 0
    orders: int = 0
    fills: int = 0
    lives: int = 1
    refused: int = 0  # damaged journals that were refused, as they must be
    messages: int = 0
    failure: str = ""
    checker: str = ""
    at_ns: int = 0
    faults: list[Fault] = field(default_factory=list)
    fated: list[int] = field(default_factory=list)
    last: list[str] = field(default_factory=list)

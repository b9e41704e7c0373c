"""How a venue of protocol `ccxt` is driven: what is asked how often, and how long a request may still arrive."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.net.budget import SECOND
from engine.runtime.care import CareConfig
from engine.runtime.door import MS
from engine.venues.ccxt_open import REQUEST_MS
from engine.venues.driver import DUTIES, Duty

# A venue that is asked over REST alone is asked more often: nothing else says what was missed.
BRIDGED = {"tally": Duty("tally", 5 * SECOND, SECOND, 120 * SECOND)}
OWN = (
    Duty("orders", 5 * SECOND, SECOND, 120 * SECOND), Duty("balances", 5 * SECOND, SECOND, 0),
    Duty("positions", 5 * SECOND, SECOND, 120 * SECOND),
)  # fmt: skip
BRIDGED_DUTIES = tuple(BRIDGED.get(duty.name, duty) for duty in DUTIES) + OWN


@dataclass(frozen=True)
class BridgedConfig:
    care: CareConfig = field(default_factory=lambda: CareConfig(duties=BRIDGED_DUTIES))
    dead_man_ms: int = 60_000
    tick_s: float = 0.02
    pause_s: float = 1.0  # between two questions about what an exchange does not stream
    request_ns: int = (REQUEST_MS + 1_000) * MS  # after it no request that left is carried out any more
    again_ns: int = SECOND  # between two questions about one order
    venue: int = 0

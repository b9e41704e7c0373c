"""The composition root: builds a session out of its parts. Nobody else knows them all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.histogram import Histogram
from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.world import World
from engine.runtime.drive import pump
from engine.sim.venue import InProcessVenue
from engine.strategy import registry
from engine.strategy.cache import Cache

INSTRUMENT: dict[str, int] = {
    "tick_e8": 1_000_000,
    "lot_e8": 100_000,
    "px_min_ticks": 1,
    "px_max_ticks": 10_000_000,
    "qty_min_lots": 1,
    "qty_max_lots": 10_000,
    "notional_min_e8": 0,
    "fee_maker_e8": 100_000,
    "fee_taker_e8": 100_000,
}
# Account units are 1e-8 of the quote asset here: the account trades in it.
ACCOUNT: dict[str, int] = {
    "equity": 100_000 * 10**8,
    "peak": 100_000 * 10**8,
    "day_base": 100_000 * 10**8,
    "margin_available": 100_000 * 10**8,
    "position_scale_ppm": 1_000_000,
}
GATE_SYMBOL: dict[str, int] = {
    "value_q32": INSTRUMENT["tick_e8"] * INSTRUMENT["lot_e8"] // 10**8 << 32,
    "px_min_ticks": INSTRUMENT["px_min_ticks"],
    "px_max_ticks": INSTRUMENT["px_max_ticks"],
    "qty_min_lots": INSTRUMENT["qty_min_lots"],
    "qty_max_lots": INSTRUMENT["qty_max_lots"],
    "notional_max": 10**15,
    "buy_up_ppm": 1_200_000,
    "sell_down_ppm": 800_000,
    "margin_ppm": 1_000_000,
}
LIMITS: dict[str, int] = {
    "book_age_ns": 500_000_000,
    "px_band_ppm": 50_000,
    "order_notional": 5_000 * 10**8,
    "position_share_ppm": 20_000,
    "gross_share_ppm": 1_000_000,
    "net_share_ppm": 1_000_000,
    "leverage_tier_ppm": 1_000_000,
    "leverage_regime_ppm": 1_000_000,
    "correlation_ppm": 700_000,
    "drawdown_ppm": 150_000,
    "daily_loss_ppm": 50_000,
    "margin_ppm": 1_100_000,
    "liquidation_ppm": 50_000,
    "open_orders_symbol": 16,
    "open_orders_all": 64,
    "rejects_in_a_row": 5,
    "clock_drift_ns": 500_000_000,
    "signal_age_ns": 1_000_000_000,
    "equity_age_ns": 5_000_000_000,
    "orders_per_second": 1_000_000,
    "cancels_per_second": 1_000_000,
    "churn_per_minute": 100_000_000,
}


def make_core(*, seed: int) -> Core:
    """A core of one symbol and one compiled strategy, as it stands before its first event."""
    world = World(symbols=1, strategies=1, orders=64, seed=seed)
    world.set_instrument(0, **INSTRUMENT)
    world.set_gate_symbol(0, **GATE_SYMBOL)
    world.set_account(**ACCOUNT)
    world.set_limits(**LIMITS)
    core = Core(world)
    cache = Cache()
    # Paper and replay may build what is missing, in a child process; live only loads.
    registry.build("strategies.quoter", cache)
    registry.bind(core, 0, registry.Placement("strategies.quoter", 0), cache=cache)
    return core


def session_seed(directory: Path) -> int:
    """The seed that the session in this directory was made with."""
    return int(json.loads((directory / "session.json").read_text())["seed"])


@dataclass
class PaperSession:
    """Generated or recorded events, the in-process venue, one tape. Simulated time: as fast as it goes."""

    directory: Path
    seed: int
    tape_capacity: int
    core: Core = field(init=False)
    tape: Tape = field(init=False)
    venue: InProcessVenue = field(default_factory=InProcessVenue)
    step_ns: Histogram = field(default_factory=Histogram)
    order_ns: Histogram = field(default_factory=Histogram)

    def __post_init__(self) -> None:
        (self.directory / "session.json").write_text(json.dumps({"seed": self.seed}) + "\n")
        self.core = make_core(seed=self.seed)
        self.tape = Tape(self.directory / "tape.b4", capacity=self.tape_capacity, write=True)

    def run(self, events: npt.NDArray[Any]) -> None:
        """Drive market events and the venue's reports through the core in time order."""
        at = 0
        times = events["ts_recv_ns"]
        while at < len(events):
            due = self.venue.next_due_ns()
            if due is not None and due <= times[at]:
                self._pump(self.venue.pop_due())
                continue
            # Without a live order nothing but the market can happen: hand over everything at once.
            idle = due is None and self.venue.resting_count == 0
            until = len(events) if idle else at + 1
            taken = self._pump(events[at:until])
            if not idle:
                self.venue.on_market(events[at])
            at += taken
        while self.venue.next_due_ns() is not None:
            self._pump(self.venue.pop_due())

    def _pump(self, events: npt.NDArray[Any]) -> int:
        taken = pump(self.core, self.tape, np.ascontiguousarray(events), self.step_ns, self.order_ns)
        self.venue.on_intents(self.core.outputs())
        return taken

"""Generated markets. Everything is drawn from a seed: the same call gives the same market."""

from __future__ import annotations

from engine.sim.market.echo import Echo, EchoMarket
from engine.sim.market.flow import REGIMES, FlowMarket, FlowSymbol
from engine.sim.market.stretches import CHUNK, Market, Walk, WalkMarket
from engine.sim.market.walk import random_walk

__all__ = [
    "CHUNK",
    "REGIMES",
    "Echo",
    "EchoMarket",
    "FlowMarket",
    "FlowSymbol",
    "Market",
    "Walk",
    "WalkMarket",
    "random_walk",
]

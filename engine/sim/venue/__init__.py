"""The embedded venue: a real exchange in miniature, in this process or behind a socket."""

from __future__ import annotations

from engine.sim.venue.embedded import EmbeddedVenue
from engine.sim.venue.embedded_config import EmbeddedConfig, Latency

__all__ = ["EmbeddedConfig", "EmbeddedVenue", "Latency"]

"""The embedded venue: a real exchange in miniature, in this process or behind a socket."""

from __future__ import annotations

from engine.sim.venue.embedded import EmbeddedConfig, EmbeddedVenue, Latency

__all__ = ["EmbeddedConfig", "EmbeddedVenue", "Latency"]

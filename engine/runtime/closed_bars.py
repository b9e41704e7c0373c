"""Which instruments of a session want their venue's closed bars: those whose strategies ask for features of them."""

from __future__ import annotations

from engine._core.features_feed import FeedSource
from engine.settings.schema import Settings
from engine.strategy import registry

_UNIT_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9}


def wanted(settings: Settings) -> set[str]:
    """Their names in the settings."""
    found = set()
    for strategy in settings.strategies.values():
        if strategy.enabled:
            asked = registry.find(strategy.module).features
            if asked is not None and asked[0] == int(FeedSource.FEED_BARS):
                found.add(strategy.symbol)
    return found


def span_ns(name: str) -> int:
    """Of an interval as venues spell it."""
    return int(name[:-1]) * _UNIT_NS[name[-1]]

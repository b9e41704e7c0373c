"""How many random histories a suite takes: the same ones every time, and as many thousands as BOT4_STRESS says."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def histories(usual: int) -> settings:
    """Derandomized, so that what passed once passes again: a suite is judged by what changed, not by its luck."""
    return settings(
        max_examples=int(os.environ.get("BOT4_STRESS", "0")) * 1000 or usual,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
    )

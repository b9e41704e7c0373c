"""The thread scenarios, scaled: BOT4_STRESS=10 sends 100 M events through each of the large ones."""

from __future__ import annotations

import os

import pytest

from tests.stress.ring_threads import SCENARIOS, Scenario, run_pool, run_ring

pytestmark = pytest.mark.threads
EVENTS = int(float(os.environ.get("BOT4_STRESS", "1")) * 1_000_000)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name.replace(", ", "-").replace(" ", "_"))
def test_every_event_arrives_whole_once_and_in_order(scenario: Scenario) -> None:
    assert "0 broken" in run_ring(scenario, EVENTS)


def test_threads_that_share_a_pool_never_hold_the_same_object() -> None:
    assert "0 broken" in run_pool(EVENTS)

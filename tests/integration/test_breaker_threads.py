"""Breakers under real threads without the interpreter lock: tokens are never over-granted and counts are conserved."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from bench.loops import stress_breaker
from engine._core.breaker import TICK_NS, Breakers

pytestmark = pytest.mark.threads
STRESS = float(os.environ.get("BOT4_STRESS", "1"))
THREADS = 4


def run_together(*calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def words(*values):
    return np.array(values, dtype=np.uint64)


@pytest.mark.parametrize(("tokens", "fail_percent"), [(1, 40), (3, 30), (15, 5)])
def test_counts_are_conserved_and_no_epoch_grants_more_than_its_tokens(tokens, fail_percent):
    rounds = int(150_000 * STRESS)
    breakers = Breakers(event_capacity=65536, open_share=0)
    breaker = breakers.declare("venue", cooldown_ns=1, window=8, minimum_calls=4, tokens=tokens)
    above = breakers.declare("strategy", depends_on=("venue",))
    shared, grants = words(THREADS, TICK_NS), np.zeros(1 << 20, dtype=np.uint64)
    own = [np.zeros(5, dtype=np.uint64) for _ in range(THREADS)]
    run_together(
        *(
            lambda i=i: stress_breaker.hammer(
                breaker, shared, grants, own[i], rounds, 77 + i, fail_percent, TICK_NS // 16
            )
            for i in range(THREADS)
        )
    )
    breakers.check()
    granted, denied, succeeded, failed, released = (int(n) for n in sum(own))
    metrics = breaker.metrics()
    assert granted + denied == rounds * THREADS
    assert metrics["allowed"] == granted == succeeded + failed + released
    assert metrics["success"] + metrics["failure"] + metrics["stale"] == succeeded + failed
    assert metrics["released"] == released
    assert metrics["denied_open"] + metrics["denied_half_open"] == denied
    assert metrics["open_to_half_open"] > 100
    assert metrics["half_open_to_closed"] > 10
    assert int(grants.max()) <= tokens

    # Every change was recorded once, with its epoch; those of one component follow each other without a gap.
    changes = [e for e in breakers.drain() if e.component == "venue" and e.change <= 3]
    total = sum(metrics[n] for n in ("closed_to_open", "open_to_half_open", "half_open_to_closed", "half_open_to_open"))
    if breakers.events_lost == 0:
        assert sorted(e.epoch for e in changes) == list(range(1, total + 1))
    else:
        assert len({e.epoch for e in changes}) == len(changes) < total
    assert above.metrics()["allowed"] == 0


def test_trials_that_nobody_reports_are_each_lost_once():
    rounds = int(250_000 * STRESS)
    breakers = Breakers(event_capacity=2, open_share=0)
    breaker = breakers.declare("venue", cooldown_ns=1)
    breaker.trip(TICK_NS)
    shared, own = words(THREADS, 2 * TICK_NS), [words(0, 0) for _ in range(THREADS)]
    run_together(
        *(lambda i=i: stress_breaker.abandon(breaker, shared, own[i], rounds, TICK_NS) for i in range(THREADS))
    )
    breakers.check()
    granted, denied = (int(n) for n in sum(own))
    metrics = breaker.metrics()
    assert granted + denied == rounds * THREADS
    # One token: each half-open epoch granted one trial, and only a granted one can be lost. The last may still run.
    assert 0 <= granted - metrics["half_open_to_open"] <= 1
    assert 0 <= metrics["open_to_half_open"] - granted <= 1
    assert metrics["denied_open"] + metrics["denied_half_open"] == denied
    assert metrics["allowed"] == 0


def test_of_all_who_ask_at_once_exactly_the_tokens_are_let_through():
    for tokens in (1, 2, 3):
        for _ in range(int(60 * STRESS)):
            breaker = Breakers(open_share=0).declare("venue", cooldown_ns=1, tokens=tokens)
            breaker.trip(0)
            shared = words(THREADS)
            own = [np.zeros(1, dtype=np.uint64) for _ in range(THREADS)]
            run_together(
                *(
                    lambda i=i, b=breaker, s=shared, o=own: stress_breaker.take_once(b, s, o[i], 9 * TICK_NS)
                    for i in range(THREADS)
                )
            )
            assert int(sum(own)[0]) == tokens
            assert breaker.metrics()["open_to_half_open"] == 1
            assert breaker.metrics()["denied_half_open"] == THREADS - tokens

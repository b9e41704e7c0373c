"""The breakers and their twin: every short sequence of operations, then random ones over a graph."""

from __future__ import annotations

import itertools
import logging

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine import errors
from engine._core import breaker as core
from engine.model import breaker as model
from tests.support.breakers import TICK, clock_of

STEM = "breaker"


# ----------------------------------------------------------------------------------------------- every short sequence
OPERATIONS = ("allow", "success", "failure", "release", "wait", "reset", "trip")


def seen_by(breakers, breaker, status):
    state = (int(breaker.state), breaker.epoch, breaker.calls, breaker.failures_in_a_row)
    return status, state, breaker.metrics(), breakers.drain()


class Driver:
    """One breaker and the permits its caller holds; the oldest is settled first."""

    def __init__(self, impl, **config):
        self.breakers = impl.Breakers(open_share=0.6, clock=clock_of(impl), event_capacity=64)
        self.breaker = self.breakers.declare("venue", **config)
        self.permits = []
        self.now_ns = 0

    def do(self, operation):
        status = 0
        try:
            if operation == "allow":
                self.permits.append(self.breaker.allow(self.now_ns))
            elif operation == "wait":
                self.now_ns += TICK
            elif operation in ("trip", "reset"):
                getattr(self.breaker, operation)(self.now_ns)
            elif self.permits:
                permit = self.permits.pop(0)
                if operation == "release":
                    self.breaker.release(permit)
                else:
                    status = int(getattr(self.breaker, operation)(permit, self.now_ns))
        except errors.BreakerError as error:
            status = error.code
        return seen_by(self.breakers, self.breaker, status)


@pytest.mark.parametrize(
    "config",
    [
        {"window": 2, "minimum_calls": 2, "failures_in_a_row": 2, "tokens": 1, "cooldown_ns": TICK},
        {"window": 1, "minimum_calls": 1, "failures_in_a_row": 0, "tokens": 2, "cooldown_ns": TICK},
        {"window": 3, "minimum_calls": 2, "error_rate": 0.67, "failures_in_a_row": 0, "tokens": 2,
         "successes_to_close": 1, "cooldown_ns": 1},
    ],
)  # fmt: skip
def test_every_sequence_of_six_operations_agrees_with_the_twin(config, caplog):
    caplog.set_level(logging.CRITICAL, logger="engine.breaker")
    met, count = set(), 0
    for sequence in itertools.product(OPERATIONS, repeat=6):
        # What is asked first decides the rest; a sequence that starts by settling nothing is another one's tail.
        if sequence[0] not in ("allow", "trip"):
            continue
        ours, twin = Driver(core, **config), Driver(model, **config)
        for operation in sequence:
            one_side, other = ours.do(operation), twin.do(operation)
            assert one_side == other, sequence
            met |= {(int(e[1]), int(e[2])) for e in one_side[-1]}
        ours.breakers.check()
        count += 1
    assert count == 2 * 7**5
    allowed = {(int(change), int(reason)) for _, _, change, reasons in core.TRANSITIONS for reason in reasons}
    assert {pair for pair in met if pair[0] < 4} <= allowed
    assert {change for change, _ in met} >= {0, 1, 2, 3, 6, 7, 8}


class Twins(RuleBasedStateMachine):
    """Several components with random dependencies; everything a caller can see agrees after every step."""

    @initialize(
        share=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        configs=st.lists(
            st.fixed_dictionaries(
                {
                    "window": st.integers(1, 6),
                    "error_rate": st.sampled_from([0.2, 0.5, 1.0]),
                    "failures_in_a_row": st.integers(0, 1),
                    "tokens": st.integers(1, 3),
                    "cooldown_ns": st.integers(1, 4 * TICK),
                    "critical": st.booleans(),
                }
            ),
            min_size=1,
            max_size=5,
        ),
        edges=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8),
    )
    def start(self, share, configs, edges):
        self.now_ns = 0
        self.permits = []
        self.sides = [m.Breakers(open_share=share, event_capacity=16, clock=clock_of(m)) for m in (core, model)]
        self.count = len(configs)
        for side in self.sides:
            for i, config in enumerate(configs):
                side.declare(str(i), minimum_calls=min(2, config["window"]), **config)
        for above, below in edges:
            if above < self.count and below < self.count:
                self.both(lambda side, a=above, b=below: side.depend(str(a), str(b)))

    def both(self, act):
        results = []
        for side in self.sides:
            try:
                results.append(act(side))
            except errors.BreakerError as error:
                results.append(error.code)
        assert results[0] == results[1]
        return results[0]

    @rule(i=st.integers(0, 4))
    def allow(self, i):
        name = str(i % self.count)
        permit = self.both(lambda side: side[name].allow(self.now_ns))
        if isinstance(permit, int):
            self.permits.append((name, permit))

    @rule(which=st.integers(0, 30), failed=st.booleans(), keep=st.booleans())
    def settle(self, which, failed, keep):
        if self.permits:
            name, permit = self.permits[which % len(self.permits)]
            if not keep:
                self.permits.pop(which % len(self.permits))
            self.both(lambda side: int((side[name].failure if failed else side[name].success)(permit, self.now_ns)))

    @rule(which=st.integers(0, 30))
    def release(self, which):
        if self.permits:
            name, permit = self.permits.pop(which % len(self.permits))
            self.both(lambda side: side[name].release(permit))

    @rule(step=st.integers(-TICK, 3 * TICK))
    def wait(self, step):
        self.now_ns += step

    @rule(i=st.integers(0, 4), how=st.sampled_from(["trip", "reset"]))
    def by_hand(self, i, how):
        self.both(lambda side: getattr(side[str(i % self.count)], how)(self.now_ns))

    @rule()
    def tick(self):
        self.both(lambda side: side.tick(self.now_ns))

    @rule()
    def drain(self):
        self.both(lambda side: [tuple(e) for e in side.drain()])

    @invariant()
    def both_agree(self):
        if not hasattr(self, "sides"):
            return
        ours, twin = self.sides
        ours.check()
        twin.check()
        assert ours.metrics() == twin.metrics()
        assert (ours.global_open, ours.open_names(), ours.events_lost) == (
            twin.global_open,
            twin.open_names(),
            twin.events_lost,
        )
        for i in range(self.count):
            a, b = ours[str(i)], twin[str(i)]
            assert (a.state, a.epoch, a.calls, a.failures_in_a_row) == (b.state, b.epoch, b.calls, b.failures_in_a_row)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

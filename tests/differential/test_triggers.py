"""Conditional orders of our own, on the kernel and on its twin."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine._core import triggers as core
from engine._core.triggers import TriggerKind, TriggerState
from engine._core.types import Status
from engine.model import triggers as model

STEM = "triggers"
STOP, PROFIT, TRAILING = (TriggerKind(i) for i in range(3))


def at(table, px, **kw):
    """The handles that a price lets go."""
    return [action[0] for action in table.on_price(bid=px, ask=px, **kw)]


@pytest.mark.parametrize(
    ("kind", "sell", "quiet", "fires"),
    [(STOP, 1, 101, 100), (STOP, 0, 99, 100), (PROFIT, 1, 99, 100), (PROFIT, 0, 101, 100)],
)
def test_it_fires_at_its_price_and_once(impl, kind, sell, quiet, fires):
    table = impl.Triggers()
    _, handle = table.add(kind=kind, sell=sell, px_stop=100, qty=7)
    assert at(table, quiet) == []
    assert table.on_price(bid=fires, ask=fires) == [(handle, sell, 0, 7)]
    assert at(table, fires) == []
    assert table.find(handle) is None


def test_buys_watch_the_ask_and_sells_the_bid(impl):
    table = impl.Triggers()
    table.add(kind=STOP, sell=1, px_stop=99)
    table.add(kind=STOP, sell=0, px_stop=102)
    assert table.on_price(bid=100, ask=101) == []
    assert [a[1] for a in table.on_price(bid=99, ask=101)] == [1]
    assert [a[1] for a in table.on_price(bid=100, ask=102)] == [0]


def test_a_trailing_stop_only_moves_towards_the_price(impl):
    table = impl.Triggers()
    _, handle = table.add(kind=TRAILING, sell=1, trail=10)
    stops = []
    for px in (100, 105, 98, 120, 111):
        assert at(table, px) == []
        stops.append(table.find(handle)[1])
    assert stops == [90, 95, 95, 110, 110]
    assert at(table, 110) == [handle]


def test_a_trailing_share_is_rounded_to_the_tighter_stop(impl):
    table = impl.Triggers()
    _, handle = table.add(kind=TRAILING, sell=1, trail_e8=1_500_000)
    at(table, 99)
    assert table.find(handle)[1] == 98


def test_a_trailing_stop_sleeps_until_its_activation_price(impl):
    table = impl.Triggers()
    _, handle = table.add(kind=TRAILING, sell=1, trail=5, px_stop=110)
    assert at(table, 1) == []
    assert table.find(handle)[0] == TriggerState.TRIGGER_SLEEPING
    at(table, 110)
    assert at(table, 105) == [handle]


def test_what_did_not_fit_comes_first_even_when_the_price_has_jumped_back(impl):
    table = impl.Triggers()
    for qty in (1, 2, 3):
        table.add(kind=STOP, sell=1, px_stop=100, qty=qty)
    assert len(at(table, 90, out_max=2)) == 2
    assert len(at(table, 500)) == 1


def test_another_source_or_symbol_does_not_fire_it(impl):
    table = impl.Triggers()
    _, handle = table.add(kind=STOP, sell=1, px_stop=100, source=2)
    assert at(table, 50, source=0) == at(table, 50, symbol=1, source=2) == []
    assert at(table, 50, source=2) == [handle]


def test_a_price_of_nothing_fires_nothing(impl):
    table = impl.Triggers()
    table.add(kind=STOP, sell=1, px_stop=100)
    assert table.on_price(bid=-1, ask=-1) == table.on_price(bid=0, ask=5) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": STOP}, {"kind": STOP, "px_stop": 5, "qty": 0}, {"kind": STOP, "px_stop": 5, "trail": 1},
        {"kind": TRAILING},
        {"kind": TRAILING, "trail": 1, "trail_e8": 1}, {"kind": 3, "px_stop": 5},
        {"kind": STOP, "px_stop": 5, "symbol": 2},
        {"kind": TRAILING, "trail_e8": 10**8},
    ],
)  # fmt: skip
def test_terms_that_contradict_each_other_are_refused(impl, bad):
    assert impl.Triggers().add(**bad) == (Status.TRIGGER_BAD_TERMS, 0)


def test_a_full_table_refuses_and_an_old_handle_stays_stale(impl):
    table = impl.Triggers(capacity=1)
    _, handle = table.add(kind=STOP, px_stop=5)
    assert table.add(kind=STOP, px_stop=5)[0] == Status.TRIGGER_TABLE_FULL
    assert table.cancel(handle) == Status.OK
    assert table.add(kind=STOP, px_stop=5)[0] == Status.OK
    assert table.cancel(handle) == table.resize(handle, 3) == Status.TRIGGER_UNKNOWN


class Twins(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 5))
    def start(self, capacity):
        self.pair = (core.Triggers(capacity=capacity), model.Triggers(capacity=capacity))
        self.handles = []

    def both(self, name, *args, **kw):
        ours, twin = (getattr(table, name)(*args, **kw) for table in self.pair)
        assert ours == twin, (name, args, kw)
        return ours

    @rule(
        kind=st.sampled_from([STOP, PROFIT]),
        px_stop=st.integers(0, 20),
        sell=st.integers(0, 1),
        source=st.integers(0, 1),
    )
    def add(self, kind, px_stop, sell, source):
        self.handles.append(self.both("add", kind=kind, px_stop=px_stop, sell=sell, source=source)[1])

    @rule(
        trail=st.integers(0, 4),
        rate=st.sampled_from([0, 0, 10_000_000, 33_333_333]),
        px_stop=st.integers(0, 20),
        sell=st.integers(0, 1),
    )
    def trail(self, trail, rate, px_stop, sell):
        self.handles.append(self.both("add", kind=TRAILING, trail=trail, trail_e8=rate, px_stop=px_stop, sell=sell)[1])

    @rule(bid=st.integers(-1, 21), spread=st.integers(0, 2), source=st.integers(0, 1), out_max=st.integers(1, 4))
    def price(self, bid, spread, source, out_max):
        self.both("on_price", bid=bid, ask=bid + spread, source=source, out_max=out_max)

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), qty=st.integers(-1, 12))
    def resize_or_cancel(self, data, qty):
        handle = data.draw(st.sampled_from(self.handles))
        self.both("cancel", handle) if qty < 0 else self.both("resize", handle, qty)

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        ours, twin = self.pair
        ours.check()
        twin.check()
        assert ours.counts == twin.counts
        for handle in self.handles:
            assert ours.find(handle) == twin.find(handle)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

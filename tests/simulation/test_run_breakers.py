"""The breakers of a running engine over the embedded venue: what opens one, what the core does then, what lets go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine._core import types
from engine._core.latch import Latch
from engine._core.risk import Rule
from engine._core.types import DECISION, Feed, Flag, Kind
from engine.safety.audit import Kind as About
from engine.safety.audit import Report, read
from tests.support.hand import Hand

SECOND = 10**9
BREAKER = 1 << int(Rule.RULE_BREAKER)
MINE = """
[venues.paper.breaker]
failures_in_a_row = 3
cooldown_ms = 5_000
[breakers.data]
failures_in_a_row = 2
cooldown_ms = 2_000
[breakers.clock]
failures_in_a_row = 2
[breakers.journal]
failures_in_a_row = 2
"""


class Run(Hand):
    """A session moved by hand, with what its core put out."""

    def __init__(self, folder: Path) -> None:
        mine = folder / "mine.toml"
        mine.write_text(MINE)
        self.folder = folder / "state"
        super().__init__(self.folder, mine)
        self.engine, self.board = self.session.engine, self.session.breakers
        self.outputs: list[np.ndarray] = []
        self.engine.watch(lambda _events: None, lambda outputs: self.outputs.append(outputs.copy()))

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.run(20)
            self.board.turn(self.engine.now_ns)

    def report(self, kind: Kind, count: int) -> None:
        """That many orders hear this first, and nothing else."""
        heard = 0
        for _ in range(3_000):
            rows = self.engine.core.world.live_orders()
            waiting = [row for row in rows if int(row["id_order"]) in self.board.waiting]
            if waiting:
                event = np.zeros(1, types.ORDER)
                event["kind"], event["id_order"] = kind, waiting[0]["id_order"]
                event["ts_recv_ns"] = self.engine.now_ns
                event["symbol"], event["flags"] = waiting[0]["symbol"], Flag.FLAG_SELL if waiting[0]["sell"] else 0
                self.engine.take(event.view(types.EVENT))
                heard += 1
                if heard == count:
                    return
            self.run(1)
            self.board.turn(self.engine.now_ns)
        raise AssertionError(f"only {heard} orders were under way")

    def lose(self, count: int) -> None:
        """That many orders whose answer never came: the venue says nothing of them any more."""
        self.report(Kind.KIND_ORDER_LOST, count)

    def doubt_clock(self) -> None:
        """As often as opens the clock's own."""
        event = np.zeros(1, types.CLOCK)
        event["kind"] = Kind.KIND_CLOCK
        for _ in range(2):
            event["ts_recv_ns"] = self.engine.now_ns
            self.engine.take(event.view(types.EVENT))

    def states(self) -> dict[str, str]:
        return {row.name: row.state for row in self.session.picture.status().breakers}

    def of(self, kind: Kind) -> np.ndarray:
        every = np.concatenate([np.zeros(0, types.EVENT), *self.outputs])
        return every[every["kind"] == int(kind)]

    @property
    def denied(self) -> int:
        return int(self.engine.core.world.account()["breaker_denied"])


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path)
    yield made
    made.close()


def test_every_component_is_shown_and_all_are_closed(run):
    run.pass_time(2)
    assert run.states() == {"data": "closed", "journal": "closed", "clock": "closed", "paper": "closed"}
    assert run.denied == 0
    assert run.board.table["paper"].calls > 0


def test_orders_without_an_answer_open_the_venues_breaker_and_the_gate_denies(run):
    run.lose(3)
    run.pass_time(0.1)
    assert run.states()["paper"] == "open"
    assert run.denied
    run.outputs.clear()
    run.pass_time(3)
    placed = run.of(Kind.KIND_INTENT_PLACE)
    assert len(placed) == 0, "a new order left while the venue's breaker was open"
    assert any(int(row["reasons"]) & BREAKER for row in run.of(Kind.KIND_DECISION).view(DECISION))
    assert not run.session.latch.tripped, "one venue is no cascade"


def test_after_the_cooldown_one_trial_leaves_and_its_answer_closes_it(run):
    run.lose(3)
    run.pass_time(0.1)
    opened_ns = run.engine.now_ns
    run.outputs.clear()
    run.pass_time(5.5)
    for _ in range(2_000):
        if run.states()["paper"] == "closed":
            break
        run.pass_time(0.01)
    assert run.states()["paper"] == "closed"
    assert run.denied == 0
    assert run.engine.now_ns - opened_ns >= 5 * SECOND
    assert len(run.of(Kind.KIND_INTENT_PLACE)) >= 1


def test_a_trial_without_an_answer_opens_it_again(run):
    run.lose(3)
    run.pass_time(4.8)
    run.lose(1)
    run.pass_time(0.1)
    assert run.states()["paper"] == "open"
    assert run.denied


@pytest.mark.parametrize("kind", [Kind.KIND_ORDER_EXPIRED, Kind.KIND_ORDER_ABSENT, Kind.KIND_ORDER_CANCELED])
def test_whatever_a_venue_says_first_of_an_order_is_its_answer(run, kind):
    """One that expires at once is never acknowledged: its trial must not be under way for ever."""
    run.lose(3)
    run.pass_time(4.8)
    assert run.states()["paper"] == "open"
    asked = run.engine.now_ns
    run.report(kind, 1)
    run.pass_time(0.1)
    assert run.engine.now_ns > asked
    assert run.states()["paper"] == "closed"
    assert run.denied == 0


def test_a_fallen_connection_counts_and_market_data_does_not(run):
    run.pass_time(0.5)
    event = np.zeros(1, types.FEED)
    event["kind"], event["symbol"], event["up"] = Kind.KIND_FEED, 0xFFFF, 0
    for feed, failures in ((Feed.FEED_MARKET, 0), (Feed.FEED_ORDERS, 1), (Feed.FEED_USER, 2)):
        event["feed"], event["ts_recv_ns"] = feed, run.engine.now_ns
        run.engine.take(event.view(types.EVENT))
        assert run.board.table["paper"].failures_in_a_row == failures


def test_a_clock_that_is_not_synchronised_opens_its_own(run):
    run.pass_time(0.5)
    run.doubt_clock()
    run.pass_time(0.1)
    assert run.states()["clock"] == "open"
    assert run.denied


def test_three_of_four_are_the_cascade_and_trip(run):
    run.lose(3)
    run.doubt_clock()
    run.pass_time(0.1)
    assert not run.session.latch.tripped
    for _ in range(2):
        run.board.settle("journal", good=False)
    run.pass_time(0.1)
    assert run.session.latch.tripped
    assert run.session.latch.reasons == ("breaker-cascade",)
    run.close()
    with Latch(run.folder / "latch") as latch:
        assert latch.tripped
    found = [record.entry for record in read(run.folder / "audit", None, Report())]
    assert [e.affected for e in found if e.kind is About.BREAKER].count("journal") >= 1


def test_the_record_says_when_the_gate_was_told(run):
    run.lose(3)
    run.pass_time(0.1)
    texts = [event.text for event in run.session.picture.events(0, 10_000) if event.kind == "breaker"]
    assert texts[0] == "paper: closed to open, failures in a row"

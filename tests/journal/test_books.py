"""The five checks over a real core and the embedded venue: silent while both sides are right, each by name when not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine._core.tape import Tape
from engine._core.types import FEE, ORDER, Kind
from engine.journal.books import Books
from engine.journal.breaks import ALL, Tolerances
from engine.journal.port import VenueOrder, VenueTrade
from engine.runtime.build import build_core
from engine.runtime.embedded import EmbeddedExchange
from engine.runtime.engine import Engine
from engine.runtime.reconciler import rows_of
from engine.settings.load import config_directory, load

SECOND = 10**9
YOUNG = SECOND // 2
START = 1_700_000_000 * SECOND


class Desk:
    """A paper session without its loop: core, tape, embedded venue, and the books over them."""

    def __init__(self, folder, **tolerances):
        settings = load([config_directory() / "paper.toml"], environ={}).settings
        self.exchange = EmbeddedExchange(settings, START)
        core = build_core(settings)
        self.tape = Tape(folder / "tape.b4", capacity=1 << 18, write=True)
        self.engine = Engine(core, self.tape, self.exchange, now_ns=START)
        self.world = core.world
        self.books = Books(self.world, rows_of(settings), young_ns=YOUNG, tolerances=Tolerances(**tolerances))
        self.heard = []
        self.engine.watch(self._inputs, lambda _outputs: None)

    def _inputs(self, events):
        self.heard.append(events.copy())
        self.books.heard(self.world, events)

    def run(self, seconds):
        self.engine.advance(self.engine.now_ns + int(seconds * SECOND))

    def look(self, change=lambda view: view):
        """One comparison, of the venue's books as `change` makes them."""
        views = []
        self.exchange.look(self.books.next_trade, views.append)
        return self.books.judge(self.world, change(views[0]), self.engine.now_ns)

    def lasting(self, change=lambda view: view):
        """What two looks find that lie far enough apart."""
        self.look(change)
        self.run(2 * YOUNG / SECOND)
        return self.look(change)

    @property
    def fills(self):
        return int(self.world.counts["fills"])


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    while made.fills < 8:
        made.run(0.5)
    yield made
    made.tape.close()


def names(found):
    return sorted({(b.what, b.symbol) for b in found})


def test_a_session_that_trades_has_no_break_at_any_moment(desk):
    first, at = desk.fills, 0
    while desk.fills < first + 8 or desk.books.met_count < first:
        desk.run(0.1 + 0.037 * (at % 7))
        at += 1
        assert desk.look() == []


def test_cash_that_the_venue_counts_otherwise_is_a_break_of_all(desk):
    account = desk.exchange.venue.account
    account.receive("USDT", 5 * 10**8)
    found = desk.lasting()
    assert names(found) == [("cash", ALL)]
    assert found[0].venue - found[0].believed == 5 * 10**8
    account.balances["USDT"].free -= 5 * 10**8
    assert desk.look() == []


def test_within_the_tolerance_cash_agrees(desk):
    desk.exchange.venue.account.receive("USDT", 10**6)
    assert desk.lasting() == []
    desk.exchange.venue.account.receive("USDT", 1)
    assert names(desk.lasting()) == [("cash", ALL)]


def test_a_position_that_the_venue_states_otherwise_is_a_break(desk):
    def other(view):
        return replace(view, positions=view.positions | {1: view.positions[1] + 1})

    assert names(desk.lasting(other)) == [("position", 1)]


def test_a_position_that_is_not_the_sum_of_its_fills_is_a_break(desk):
    # A fill that the core stepped and the books did not hear: as if it had booked one out of thin air.
    desk.books._base_lots[0] += 3
    assert names(desk.lasting()) == [("position", 0)]


def test_profit_that_does_not_follow_from_its_fills_is_a_break(desk):
    desk.books._base_flow[1] += 2 * 10**6
    assert names(desk.lasting()) == [("profit", 1)]


def test_a_trade_that_is_not_booked_is_on_its_way_first_and_then_a_break(desk):
    now = desk.engine.now_ns
    lost = VenueTrade(10**9, 4242, 2, True, 15_000, 7, now)

    def more(view):
        return replace(view, trades=(*view.trades, lost))

    assert desk.look(more) == []
    desk.run(2 * YOUNG / SECOND)
    desk.look()
    desk.run(2 * YOUNG / SECOND)
    found = desk.look()
    # Its money and its lots are explained by it: one cause is one break, of its symbol and not of the account.
    assert ("executions", 2) in names(found)
    assert "trade 1000000000 of order 4242 is not booked" in [b.detail for b in found]


def test_a_fill_that_the_venue_does_not_list_is_a_break(desk):
    def gone(view):
        return replace(view, trades=tuple(t for t in view.trades if t.symbol != 0))

    while ("executions", 0) not in names(desk.look(gone)):
        desk.run(2 * YOUNG / SECOND)
        assert desk.fills < 10_000


def test_a_trade_with_other_terms_than_its_fill_is_a_break(desk):
    def dearer(view):
        return replace(view, trades=tuple(replace(t, px_ticks=t.px_ticks + 1) for t in view.trades))

    found = desk.lasting(dearer)
    assert {b.what for b in found} == {"executions"}
    assert "here, order" in found[0].detail


def test_a_fee_that_is_not_told_is_missing_in_the_cash(desk):
    desk.look()
    met = desk.books.met_count
    heard = desk.books.heard
    desk.books.heard = lambda world, events: heard(world, events[events["kind"] != Kind.KIND_FEE])
    while desk.books.met_count < met + 3:
        desk.run(0.2)
        desk.look()
    # The core did hear them: so the fees are counted twice until they are too old to be on their way, and then right.
    assert desk.books._fee_due
    desk.run(10 * YOUNG / SECOND)
    assert desk.lasting() == []


def test_orders_that_one_side_alone_has_open_are_breaks(desk):
    strange = VenueOrder(0, 77, 1, False, 100, 5, 0)

    def more(view):
        return replace(view, open_orders=(*view.open_orders, strange))

    assert names(desk.lasting(more)) == [("foreign", 1)]

    def fewer(view):
        return replace(view, open_orders=())

    # A quoter's orders are young; so is whatever differs here.
    desk.books.young_ns = SECOND // 1_000
    for _ in range(400):
        desk.run(0.05)
        desk.look(fewer)
        desk.run(0.002)
        if found := [b for b in desk.look(fewer) if b.what == "orders"]:
            break
    assert "is not open there" in found[0].detail


def test_a_price_far_from_the_market_is_told_once(tmp_path):
    desk = Desk(tmp_path, price_ppm=1)
    while not (far := [b for b in desk.look() if b.what == "price"]):
        desk.run(0.2)
    assert abs(far[0].believed - far[0].venue) * 10**6 > far[0].believed
    assert desk.look() == []
    desk.tape.close()


def test_a_difference_that_changes_from_look_to_look_is_no_break(desk):
    account = desk.exchange.venue.account
    for more in range(1, 6):
        account.receive("USDT", more * 10**8)
        assert desk.look() == []
        assert desk.books.doubtful
        desk.run(2 * YOUNG / SECOND)


def test_what_is_known_from_before_is_met_and_counted_once(desk):
    views = []
    desk.exchange.look({}, views.append)
    trades = views[0].trades
    known = [(t.symbol, t.sell, t.id_trade) for t in trades]
    told = {
        (int(r["symbol"]), int(r["id_venue"]))
        for events in desk.heard
        for r in events[events["kind"] == Kind.KIND_ORDER_FILL].view(ORDER)
    }
    booked = [key for key in known if (key[0], key[2]) in told]
    rows = desk.books.rows
    desk.books = Books(desk.world, rows, young_ns=YOUNG, known=booked)
    for _ in range(20):
        desk.run(0.3)
        assert desk.look() == []


def test_fees_are_records_of_their_own(desk):
    fees = np.concatenate([e[e["kind"] == Kind.KIND_FEE] for e in desk.heard]).view(FEE)
    assert len(fees) >= 8
    assert (fees["id_trade"] > 0).all()

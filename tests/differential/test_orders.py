"""Orders: what an honest venue can say, in whatever order, on the kernel and on its twin."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine._core import order_table
from engine._core import orders as core
from engine._core.order_table import OrderEvent as On
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderActionKind, OrderTif, OrderType
from engine._core.types import Status
from engine.model import orders as model

STEM = "orders"
DAY_NS = 86_400_000_000_000


def working(impl, *, qty=10, acked=True, **kw):
    table = impl.Orders(**kw)
    _, one = table.create(qty=qty)
    table.send(one)
    if acked:
        table.apply(one, On.ON_ACK)
    return table, one


def state(table, one):
    return table.find(one)["state"]


# ------------------------------------------------------------------------------------------------------- the table
def test_both_write_the_same_table():
    assert set(order_table.transitions()) == set(model.transitions())
    assert len(order_table.transitions()) == len(set(order_table.transitions()))


def test_every_state_is_reachable_and_only_the_denied_one_has_no_way_out():
    rows = order_table.transitions()
    targets = {target for _, _, target in rows}
    ends = {State.TO_WORKING: {State.STATE_OPEN, State.STATE_PARTIAL}, State.TO_REJECTED: {State.STATE_REJECTED}}
    reached = {State.STATE_CREATED} | targets | set().union(*ends.values())
    states = {s for s in State if State.STATE_FREE < s < State.STATE_COUNT}
    assert states <= reached
    assert states - {s for s, _, _ in rows} == {State.STATE_DENIED}


def test_no_ended_order_comes_back_to_life():
    live = {s for s in State if State.STATE_CREATED <= s <= State.STATE_UNKNOWN} | {
        s for s in State if s > State.STATE_COUNT
    }
    assert [row for row in order_table.transitions() if row[0] not in live and row[2] in live] == []


def test_what_the_table_does_not_allow_changes_nothing_and_is_counted(impl):
    table, one = working(impl, acked=False)
    before = (table.find(one), table.symbol(0))
    assert table.apply(one, On.ON_REPLACE_REFUSED) == Status.ORDER_ILLEGAL
    assert (table.find(one), table.symbol(0)) == before
    assert table.counts["illegal_count"] == 1


# ------------------------------------------------------------------------------------------------------------- races
def test_fill_before_ack(impl):
    table, one = working(impl, acked=False)
    assert table.fill(one, trade=1, qty=4) == Status.OK
    assert state(table, one) == State.STATE_PARTIAL
    assert table.apply(one, On.ON_ACK) == Status.OK
    assert state(table, one) == State.STATE_PARTIAL


def test_ack_after_the_last_fill(impl):
    table, one = working(impl, acked=False)
    table.fill(one, trade=1, qty=10)
    assert table.apply(one, On.ON_ACK) == Status.OK
    assert state(table, one) == State.STATE_FILLED


def test_fill_while_the_cancel_is_on_its_way(impl):
    table, one = working(impl)
    table.apply(one, On.ON_CANCEL_ASKED)
    table.fill(one, trade=1, qty=10)
    assert state(table, one) == State.STATE_FILLED
    assert table.apply(one, On.ON_CANCEL_TOO_LATE) == Status.OK


def test_a_cancel_refused_because_filled_waits_for_the_fills(impl):
    table, one = working(impl)
    table.apply(one, On.ON_CANCEL_ASKED)
    table.apply(one, On.ON_CANCEL_TOO_LATE, told=10)
    assert state(table, one) == State.STATE_UNKNOWN
    assert table.symbol(0)["open_buy_lots"] == 10
    table.fill(one, trade=1, qty=10)
    assert state(table, one) == State.STATE_FILLED
    assert table.symbol(0)["open_buy_lots"] == 0


def test_a_cancel_refused_as_unknown_order_is_not_taken_as_an_end(impl):
    table, one = working(impl)
    table.apply(one, On.ON_CANCEL_ASKED)
    table.apply(one, On.ON_CANCEL_NO_ORDER)
    assert state(table, one) == State.STATE_UNKNOWN


def test_an_amend_accepted_after_a_fill_in_between(impl):
    table, one = working(impl)
    assert table.ask_replace(one, px=101, qty=6) == Status.OK
    table.fill(one, trade=1, qty=4)
    assert table.symbol(0)["open_buy_lots"] == 6  # the old quantity may still hold
    table.replaced(one, px=101, qty=6)
    assert (state(table, one), table.symbol(0)["open_buy_lots"]) == (State.STATE_PARTIAL, 2)


def test_an_amend_to_what_was_filled_meanwhile_ends_the_order(impl):
    table, one = working(impl)
    table.ask_replace(one, px=100, qty=6)
    table.fill(one, trade=1, qty=6)
    assert state(table, one) == State.STATE_PENDING_REPLACE
    table.replaced(one, px=100, qty=6)
    assert state(table, one) == State.STATE_FILLED


def test_an_amend_upwards_counts_as_accepted_until_it_is_answered(impl):
    table, one = working(impl)
    table.ask_replace(one, px=100, qty=15)
    assert table.symbol(0)["open_buy_lots"] == 15
    table.fill(one, trade=1, qty=10)
    assert state(table, one) == State.STATE_PENDING_REPLACE
    table.apply(one, On.ON_REPLACE_REFUSED)
    assert (state(table, one), table.symbol(0)["open_buy_lots"]) == (State.STATE_FILLED, 0)


def test_a_refused_amend_of_a_part_filled_order_leaves_it_as_it_was(impl):
    table, one = working(impl)
    table.ask_replace(one, px=100, qty=15)
    table.fill(one, trade=1, qty=3)
    table.apply(one, On.ON_REPLACE_REFUSED)
    assert (state(table, one), table.symbol(0)["open_buy_lots"]) == (State.STATE_PARTIAL, 7)


def test_a_cancel_refused_over_an_amend_in_flight_waits_for_the_amend(impl):
    table, one = working(impl)
    table.ask_replace(one, px=100, qty=15)
    table.apply(one, On.ON_CANCEL_ASKED)
    table.apply(one, On.ON_CANCEL_REFUSED)
    assert state(table, one) == State.STATE_PENDING_REPLACE


def test_the_rest_of_an_ioc_expires(impl):
    table = impl.Orders()
    _, one = table.create(qty=5, type=OrderType.TYPE_MARKET, tif=OrderTif.TIF_IOC, px=0)
    table.send(one)
    table.fill(one, trade=1, qty=2)
    table.apply(one, On.ON_EXPIRE, told=2)
    assert (state(table, one), table.symbol(0)["open_buy_lots"]) == (State.STATE_EXPIRED, 0)


def test_a_reject_of_a_part_filled_order_is_a_contradiction_and_makes_it_unknown(impl):
    table, one = working(impl)
    table.fill(one, trade=1, qty=2)
    table.apply(one, On.ON_REJECT)
    assert (state(table, one), table.symbol(0)["unknown_buy_lots"]) == (State.STATE_UNKNOWN, 8)


def test_an_in_flight_order_without_an_answer_is_unknown_and_never_rejected(impl):
    table, one = working(impl, acked=False)
    assert table.due(100) == [(OrderActionKind.ORDER_ACTION_QUERY, one)]
    assert state(table, one) == State.STATE_UNKNOWN
    assert table.symbol(0)["open_buy_lots"] == table.symbol(0)["unknown_buy_lots"] == 10
    assert table.due(1100) == [(OrderActionKind.ORDER_ACTION_ALARM, one)]
    assert table.apply(one, On.ON_ABSENT) == Status.OK
    assert state(table, one) == State.STATE_REJECTED


def test_an_order_that_had_fills_can_not_be_absent(impl):
    table, one = working(impl, acked=False)
    table.fill(one, trade=1, qty=1)
    table.apply(one, On.ON_TIMEOUT)
    assert table.apply(one, On.ON_ABSENT) == Status.ORDER_ILLEGAL
    assert state(table, one) == State.STATE_UNKNOWN


# ----------------------------------------------------------------- PEERS section 3: bugs that other engines shipped
def test_peers_1_resubmitting_a_journalled_intent_is_a_no_op(impl):
    table, one = working(impl)
    assert table.create(id_order=one, qty=10) == (Status.ORDER_DUPLICATE_ID, one)
    assert table.counts["live_count"] == 1


def test_peers_2_and_7_a_trade_counts_once(impl):
    table, one = working(impl)
    assert table.fill(one, trade=7, qty=4) == Status.OK
    before = (table.find(one), table.symbol(0))
    assert table.fill(one, trade=7, qty=4) == Status.ORDER_DUPLICATE_FILL
    assert (table.find(one), table.symbol(0)) == before


def test_a_trade_with_ourselves_counts_once_on_each_side(impl):
    table = impl.Orders()
    _, buy = table.create(qty=5)
    _, sell = table.create(qty=5, sell=1)
    table.send(buy), table.send(sell)
    assert table.fill(buy, trade=7, qty=5, sell=0) == Status.OK
    assert table.fill(sell, trade=7, qty=5, sell=1) == Status.OK


def test_peers_3_and_6_an_adopted_order_has_full_rights_and_is_adopted_once(impl):
    table = impl.Orders(epoch=3)
    old = (2 << 40) + 9
    assert table.create(id_order=old, qty=8, adopt=(77, 3, 300)) == (Status.OK, old)
    assert (state(table, old), table.symbol(0)["open_buy_lots"]) == (State.STATE_PARTIAL, 5)
    assert table.create(id_order=old, qty=8, adopt=(77, 3, 300)) == (Status.ORDER_DUPLICATE_ID, old)
    assert table.ask_replace(old, px=101, qty=7) == Status.OK
    assert table.apply(old, On.ON_CANCEL_ASKED) == Status.OK


def test_an_adopted_order_whose_place_is_taken_is_kept_beside_it(impl):
    table, one = working(impl)
    status, other = table.create(id_order=5, qty=3, adopt=(1, 0, 0))
    assert (status, table.find_key(), table.counts["live_count"]) == (Status.OK, one, 2)
    assert other == 5
    assert table.symbol(0)["open_buy_lots"] == 13


def test_peers_10_fills_that_the_venue_counted_and_did_not_send_stay_in_the_exposure(impl):
    table, one = working(impl, qty=18)
    table.fill(one, trade=1, qty=4)
    table.apply(one, On.ON_CANCELED, told=15)
    assert (state(table, one), table.symbol(0)["open_buy_lots"]) == (State.STATE_CANCELED, 11)
    assert table.fill(one, trade=2, qty=11) == Status.ORDER_LATE_FILL
    assert table.symbol(0)["open_buy_lots"] == 0


def test_peers_14_a_timed_out_order_that_filled_is_counted_at_its_worst(impl):
    table, one = working(impl, acked=False)
    table.due(100)
    table.fill(one, trade=1, qty=4)
    assert (state(table, one), table.symbol(0)["unknown_buy_lots"]) == (State.STATE_UNKNOWN, 6)


def test_a_late_fill_after_the_cancel_is_applied_and_counted(impl):
    table, one = working(impl)
    table.apply(one, On.ON_CANCELED)
    assert table.fill(one, trade=1, qty=4) == Status.ORDER_LATE_FILL
    assert (table.find(one)["filled_lots"], table.counts["late_fill_count"]) == (4, 1)
    assert state(table, one) == State.STATE_CANCELED


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 2**30)), max_size=60), st.integers(1, 2**20))
@settings(max_examples=40)
def test_peers_18_no_client_id_is_given_out_twice_across_restarts(events, epoch):
    given_out, table = set(), core.Orders(epoch=epoch, capacity=64)
    for restart, foreign in events:
        if restart:
            epoch += 1
            table = core.Orders(epoch=epoch, capacity=64)
        given = (epoch << 40) + foreign
        if given not in given_out:
            table.create(id_order=given, strategy=1, tag=len(given_out))
            given_out.add(given)
        status, one = table.create(tag=len(given_out))
        assert status == Status.OK
        assert one not in given_out
        given_out.add(one)


def test_peers_20_one_live_order_per_strategy_symbol_side_and_tag(impl):
    table, one = working(impl)
    assert table.create() == (Status.ORDER_BUSY, 0)
    assert [table.create(**other)[0] for other in ({"sell": 1}, {"tag": 1}, {"strategy": 1}, {"symbol": 1})] == [0] * 4
    table.apply(one, On.ON_CANCELED)
    assert table.create()[0] == Status.OK


# ------------------------------------------------------------------------------------------------------ idempotency
def test_a_denied_request_gets_the_same_answer_again(impl):
    table = impl.Orders()
    _, one = table.create()
    table.deny(one, 0b1010)
    assert table.create(id_order=one)[0] == Status.ORDER_DUPLICATE_ID
    assert table.answer(one) == (State.STATE_DENIED, 0b1010)


def test_the_answer_outlives_the_record_and_ends_after_a_day(impl):
    table = impl.Orders(capacity=1, requests_kept=4)
    _, one = table.create()
    table.deny(one, 6)
    _, two = table.create(now=10)
    assert table.find(one) is None
    assert table.answer(one, now=DAY_NS) == (State.STATE_DENIED, 6)
    assert table.answer(one, now=DAY_NS + 1) is None
    assert two != one


def test_the_request_memory_is_bounded(impl):
    table = impl.Orders(capacity=1, requests_kept=3)
    ids = []
    for _ in range(5):
        _, one = table.create()
        table.deny(one, 1)
        ids.append(one)
    assert [table.answer(one) is not None for one in ids] == [False, False, True, True, True]


def test_the_fill_memory_is_bounded(impl):
    table, one = working(impl, fills_kept=2)
    for trade in (1, 2, 3):
        table.fill(one, trade=trade, qty=1)
    assert table.fill(one, trade=3, qty=1) == Status.ORDER_DUPLICATE_FILL
    assert table.fill(one, trade=1, qty=1) == Status.OK


def test_a_full_table_of_live_orders_refuses_and_one_of_ended_ones_makes_room(impl):
    table = impl.Orders(capacity=2)
    _, one = table.create(tag=0)
    table.create(tag=1)
    assert table.create(tag=2) == (Status.ORDER_TABLE_FULL, 0)
    table.deny(one, 1)
    assert table.create(tag=2)[0] == Status.OK


# ------------------------------------------------------------------------------------------------------------- terms
@pytest.mark.parametrize(
    "bad",
    [
        {"qty": 0}, {"qty": -1}, {"qty": 2**40 + 1}, {"px": 0}, {"px": -5}, {"symbol": 2}, {"px": 2**40, "qty": 2**30},
        {"type": OrderType.TYPE_MARKET, "px": 0}, {"type": OrderType.TYPE_STOP, "px": 0},
        {"type": OrderType.TYPE_STOP_LIMIT}, {"tif": OrderTif.TIF_GTD},
        {"tif": OrderTif.TIF_GTD, "expire": 5, "now": 5},
        {"type": OrderType.TYPE_STOP_LIMIT, "px_stop": 5, "tif": OrderTif.TIF_GTX}, {"expire": 7}, {"display": 1},
        {"type": OrderType.TYPE_ICEBERG}, {"type": OrderType.TYPE_ICEBERG, "display": 2}, {"flags": 8}, {"type": 8},
    ],
)  # fmt: skip
def test_terms_that_contradict_each_other_are_refused(impl, bad):
    table = impl.Orders()
    assert table.create(**bad) == (Status.ORDER_BAD_TERMS, 0)
    assert table.counts["terms_count"] == 1


def test_a_good_till_date_is_cancelled_when_it_comes(impl):
    table = impl.Orders()
    _, one = table.create(tif=OrderTif.TIF_GTD, expire=500)
    table.send(one)
    table.apply(one, On.ON_ACK)
    assert table.due(499) == []
    assert table.due(500) == [(OrderActionKind.ORDER_ACTION_CANCEL, one)]
    table.apply(one, On.ON_CANCEL_ASKED, now=500)
    assert table.due(599) == []


def test_what_does_not_fit_into_the_output_is_due_again(impl):
    table = impl.Orders()
    for tag in range(3):
        _, one = table.create(tag=tag)
        table.send(one)
    assert [len(table.due(100, out_max=2)) for _ in range(3)] == [2, 1, 0]


def test_more_than_was_asked_for_is_refused(impl):
    table, one = working(impl)
    assert table.fill(one, trade=1, qty=11) == Status.ORDER_OVERFILL
    assert table.apply(one, On.ON_CANCELED, told=11) == Status.ORDER_OVERFILL
    assert table.fill(one, trade=1, qty=10) == Status.OK


# ------------------------------------------------------------------------------------------------------- both at once
EVENTS = [e for e in On if e != On.ON_COUNT]


class Twins(RuleBasedStateMachine):
    """Random requests and reports, sensible or not; everything a caller can see agrees after every step."""

    @initialize(capacity=st.integers(1, 4), requests=st.integers(4, 8), fills=st.integers(1, 6))
    def start(self, capacity, requests, fills):
        shape = {"capacity": capacity, "requests_kept": requests, "fills_kept": fills}
        self.pair = (core.Orders(**shape), model.Orders(**shape))
        self.now = 0
        self.ids = []

    def both(self, name, *args, **kw):
        ours, twin = (getattr(table, name)(*args, **kw) for table in self.pair)
        assert ours == twin, (name, args, kw)
        return ours

    def some(self, data):
        return data.draw(st.sampled_from(self.ids))

    @rule(sell=st.integers(0, 1), tag=st.integers(0, 2), qty=st.integers(0, 6), flags=st.integers(0, 4),
          kind=st.sampled_from([{}, {"tif": OrderTif.TIF_GTD, "expire": 300}, {"type": 1, "tif": 1, "px": 0}]),
          given=st.sampled_from([0, 0, 0, (1 << 40) + 3, 12]))  # fmt: skip
    def create(self, sell, tag, qty, flags, kind, given):
        status, one = self.both(
            "create", id_order=given, sell=sell, tag=tag, qty=qty, flags=flags, now=self.now, **kind
        )
        if one and one not in self.ids:
            self.ids.append(one)
        if status == Status.OK and flags != 2:
            self.both("send", one, now=self.now)

    @rule(given=st.integers(20, 22), filled=st.integers(0, 3), strategy=st.sampled_from([0, 0xFFFF]))
    def adopt(self, given, filled, strategy):
        _, one = self.both(
            "create", id_order=given, qty=3, strategy=strategy, now=self.now, adopt=(9, filled, 100 * filled)
        )
        if one and one not in self.ids:
            self.ids.append(one)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), what=st.sampled_from(EVENTS), told=st.sampled_from([0, 0, 1, 3]))
    def report(self, data, what, told):
        self.both("apply", self.some(data), what, told=told, now=self.now)

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(), trade=st.integers(-1, 30), qty=st.integers(1, 4), sell=st.integers(0, 1), told=st.integers(0, 4)
    )
    def fill(self, data, trade, qty, sell, told):
        self.both("fill", self.some(data), trade=trade, qty=qty, sell=sell, told=told, now=self.now)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), px=st.integers(0, 2), qty=st.integers(0, 8), ask=st.booleans())
    def amend(self, data, px, qty, ask):
        self.both("ask_replace" if ask else "replaced", self.some(data), px=px, qty=qty, now=self.now)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), reasons=st.integers(1, 7))
    def deny(self, data, reasons):
        self.both("deny", self.some(data), reasons, now=self.now)

    @rule(wait=st.sampled_from([0, 50, 100, 1000, DAY_NS]), out_max=st.integers(1, 4))
    def time_passes(self, wait, out_max):
        self.now += wait
        ours, twin = (table.due(self.now, out_max=out_max) for table in self.pair)
        # With room for all the order within one call is a matter of lists; with less, both take the youngest first.
        assert ours == twin

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        ours, twin = self.pair
        ours.check()
        twin.check()
        assert ours.ids() == twin.ids()
        for one in self.ids:
            a, b = ours.find(one), twin.find(one)
            assert (a is None) == (b is None)
            if a is not None:
                assert {key: a[key] for key in b} == b
            assert ours.answer(one, now=self.now) == twin.answer(one, now=self.now)
        for symbol in (0, 1):
            a, b = ours.symbol(symbol), twin.symbol(symbol)
            assert {key: a[key] for key in b} == b
        a = ours.counts
        b = twin.counts
        assert {key: a[key] for key in b} == b


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

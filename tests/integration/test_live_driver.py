"""The live driver against the embedded venue over real sockets: it trades, and both books of trades are one.

Faults come by script: a venue that restarts, a user stream that ends, answers that never leave, limits, a wrong clock.
After each of them positions and money are equal, and no order was made twice. Sockets are real, time is the loop's own.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest

from engine._core.clock import monotonic_ns, utc_ns
from engine._core.types import DECISION, INTENT, Kind
from engine.observe.decisions import explain
from engine.sim.venue.wire import MS, ApiError
from tests.support import virtual
from tests.support.loopback import Clumsy, bench

LOG = logging.getLogger(__name__)


@pytest.fixture(params=["spot", "usdm"])
def kind(request):
    """Every test of the driver holds on both markets."""
    return request.param


def run(tmp_path, body, kind="spot", **options):
    async def main():
        async with bench(tmp_path, kind=kind, symbols=1, **options) as both:
            await body(both)

    virtual.run(main())


def test_no_order_leaves_before_every_light_is_green_and_then_both_trade_the_same(tmp_path, kind):
    async def body(both):
        assert set(both.live.gate.why()) == {"data", "user_stream", "orders", "clock", "reconciled"}
        await both.fills(20)
        assert both.live.opened_count > 0
        await both.end()
        both.check()

    run(tmp_path, body, kind)


def test_answers_that_never_come_are_settled_by_asking(tmp_path, kind):
    async def body(both):
        await both.fills(5)
        numbers = iter(range(10**9))

        def drop(message):
            # Every third answer to an order, and never one to a question.
            return str(message.get("id", "")).startswith(("p", "c")) and next(numbers) % 3 == 0

        both.server.drop = drop
        await both.until(lambda: both.server.dropped >= 6, "six answers lost")
        both.server.drop = lambda _message: False
        await both.fills(5)
        await both.end()
        assert both.live.sender.lost_count > 0
        both.check()

    run(tmp_path, body, kind)


def test_fills_that_the_stream_does_not_tell_are_found_by_the_tally(tmp_path, kind):
    async def body(both):
        await both.fills(5)
        both.server.drop = is_fill
        await both.until(lambda: both.live.tally.missed_count >= 3, "three missed fills")
        both.server.drop = lambda _message: False
        await both.end()
        both.check()

    run(tmp_path, body, kind)


def test_a_lost_user_stream_stops_new_orders_until_both_sides_were_compared(tmp_path, kind):
    async def body(both):
        await both.fills(5)
        for _ in range(3):
            opened = both.live.opened_count
            for socket in list(both.server._sockets):
                if socket.users or socket.listens:
                    socket.cut()
            await both.until(lambda: not both.live.gate.is_open, "the gate's closing")
            await both.until(lambda opened=opened: both.live.opened_count > opened, "the gate's opening")
            await both.fills(3)
        await both.end()
        both.check()

    run(tmp_path, body, kind)


def test_a_venue_that_restarts_is_found_again_with_every_order_accounted_for(tmp_path, kind):
    async def body(both):
        await both.fills(5)
        for _ in range(2):
            port, opened = both.server.port, both.live.opened_count
            await both.server.close()
            await both.until(lambda: not both.live.gate.is_open, "the gate's closing")
            again = Clumsy(
                both.exchange, clock=utc_ns, port=port, generate=both.generate, tick_ns=20_000_000,
                limits=both.server.limits, form=both.server.form,
            )  # fmt: skip
            again.keys = both.server.keys
            both.server = again
            await again.start()
            await both.until(lambda opened=opened: both.live.opened_count > opened, "the gate's opening")
            await both.fills(5)
        await both.end()
        both.check()
        await both.server.close()

    run(tmp_path, body, kind)


def test_the_last_look_is_taken_again_until_the_venue_answers(tmp_path, kind):
    async def body(both):
        await both.fills(3)
        await both.quiet()
        left, weigh = iter(range(3)), both.server.limits.weigh

        def fail(address, weight, now_ns):
            if next(left, None) is None:
                return weigh(address, weight, now_ns)
            raise ApiError(-1001, "Internal error; unable to process your request.", 500)

        both.server.limits.weigh = fail
        await both.live.close()
        assert both.server.errors[-1001] == 3
        assert "settle" not in both.live.care.failures
        both.check()

    run(tmp_path, body, kind)


def test_an_announced_shutdown_replaces_every_connection_without_a_gap(tmp_path, kind):
    async def body(both):
        await both.fills(3)
        live, opened, losses = both.live, both.live.opened_count, both.live.gate.closed_count
        both.server.announce_shutdown()
        links = [*live.market_links, live.lines.order_link]
        await both.until(lambda: all(link.rollover_count for link in links), "every roll-over")
        await both.fills(3)
        assert (live.opened_count, live.gate.closed_count) == (opened, losses)
        assert not [text for name, text in live.notes if name == "book"]
        await both.end()
        both.check()

    run(tmp_path, body, kind)


def test_a_spare_of_the_market_data_goes_on_when_the_first_is_cut(tmp_path, kind):
    async def body(both):
        links = both.live.market_links
        await both.until(lambda: all(link.is_up for link in links), "both addresses")
        await both.fills(3)
        closed, images = both.live.gate.closed_count, both.live.images.count
        for link in links[: len(links) // 2]:
            await link.stop()
        await both.fills(3)
        assert not any(link.is_up for link in links[: len(links) // 2])
        assert (both.live.gate.closed_count, both.live.images.count) == (closed, images)
        await both.end()
        both.check()

    run(tmp_path, body, kind, spare=True, hot_spare=True)


def test_books_come_back_when_every_connection_of_market_data_is_cut(tmp_path, kind):
    """While it trades, in less than five seconds of the loop's time: back-off, hand-shakes and images together."""

    async def body(both):
        await both.fills(2)
        took = []
        for _ in range(5):
            before, begun = both.live.images.count, monotonic_ns()
            for socket in list(both.server._sockets):
                if socket.streams:
                    socket.cut()
            await both.until(lambda before=before: both.live.images.count > before, "an image")
            await both.until(lambda: "data" not in both.live.gate.why(), "a whole book")
            took.append((monotonic_ns() - begun) / 1e6)
        LOG.info("%s: from cut to whole book in %s ms", kind, [round(ms, 1) for ms in took])
        assert max(took) < 5_000
        await both.end()
        both.check()

    run(tmp_path, body, kind)


def test_a_limit_that_is_reached_closes_the_gate_and_opens_it_again(tmp_path, kind):
    async def body(both):
        await both.fills(3)
        left, count = iter(range(2)), both.server.limits.order

        def refuse(owner, orders, now_ns):
            if next(left, None) is None:
                return count(owner, orders, now_ns)
            raise ApiError(-1015, "Too many new orders.", 429, retryAfter=now_ns // MS + 200)

        opened, both.server.limits.order = both.live.opened_count, refuse
        await both.until(lambda: both.live.api.by_name.get("too_many_orders", 0) > 0, "a refused order")
        await both.until(lambda: both.live.opened_count > opened, "the gate's closing and opening")
        await both.fills(3)
        await both.end()
        assert both.live.gate.closed_count > 0
        both.check()

    run(tmp_path, body, kind)


def refuse_once(both, make):
    """The next order is answered with what this makes then; those behind it are taken."""
    left, count = iter(range(1)), both.server.limits.order

    def order(owner, orders, now_ns):
        if next(left, None) is None:
            return count(owner, orders, now_ns)
        raise make()

    both.server.limits.order = order


@pytest.mark.parametrize(
    ("error", "name", "light", "asks"),
    [
        (ApiError(-1021, "Timestamp for this request is outside of the recvWindow."), "timestamp", "clock", "clock"),
        (ApiError(-1013, "Filter failure: PRICE_FILTER"), "filter_price_filter", "", "instruments"),
        (ApiError(-2010, "Market is closed."), "market_closed", "", "instruments"),
    ],
)
def test_what_an_answer_says_besides_its_orders_fate_is_looked_into(tmp_path, error, name, light, asks):
    async def body(both):
        await both.fills(2)
        hurried, at_once = [], both.live.care.at_once
        both.live.care.at_once = lambda duty, now: (hurried.append(duty), at_once(duty, now))
        opened = both.live.opened_count
        refuse_once(both, lambda: error)
        await both.until(lambda: both.live.api.by_name.get(name, 0) > 0, "the refused order")
        assert asks in hurried
        if light:
            await both.until(lambda: both.live.opened_count > opened, "the gate's closing and opening")
        await both.fills(2)
        await both.end()
        both.check()

    run(tmp_path, body)


def test_a_ban_closes_the_gate_until_the_moment_that_the_venue_names(tmp_path):
    async def body(both):
        await both.fills(2)
        opened, named = both.live.opened_count, []

        def ban():
            named.append(utc_ns() // MS + 2_000)
            return ApiError(-1003, f"Way too much request weight used; IP banned until {named[0]}.", 418)

        refuse_once(both, ban)
        await both.until(lambda: both.live.api.by_name.get("banned", 0) > 0, "the ban")
        assert both.live.gate.why()
        await both.until(lambda: both.live.opened_count > opened, "the gate's opening")
        assert utc_ns() // MS >= named[0]
        await both.fills(2)
        await both.end()
        both.check()

    run(tmp_path, body)


def test_a_key_that_the_venue_refuses_sends_nothing_new_and_is_named(tmp_path):
    async def body(both):
        await both.fills(2)
        refuse_once(both, lambda: ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401))
        await both.until(lambda: both.live.api.by_name.get("key_ip_or_permission", 0) > 0, "the refused order")
        assert "refuses the key: Invalid API-key" in both.live.gate.why()["orders"]
        await both.end()
        both.check()

    run(tmp_path, body)


def test_a_clock_that_is_a_little_off_is_corrected_and_one_far_off_signs_nothing(tmp_path, kind):
    async def near(both):
        await both.fills(5)
        assert both.server.errors[-1021] == 0
        await both.end()
        both.check()

    async def far(both):
        await both.until(lambda: "off the venue's" in both.live.gate.why().get("clock", ""), "the reason")
        assert both.live.opened_count == 0
        assert both.counts["intents"] == 0

    run(_folder(tmp_path, "near"), near, kind, clock=lambda: utc_ns() - 120_000_000)
    run(_folder(tmp_path, "far"), far, kind, clock=lambda: utc_ns() + 5_000_000_000)


def test_fees_that_change_at_the_venue_reach_the_core_as_an_event_of_the_record(tmp_path, kind):
    async def body(both):
        await both.fills(2)
        row, account = both.engine.core.world.instruments, both.server.keys["key"].account
        fees = both.exchange.markets["BTCUSDT"].instrument.fees
        # So much traded in thirty days that a better tier holds, whatever is traded from now on.
        account.volume_units = 25_000_000
        account.judge_tier()
        maker, taker = fees[account.tier]
        assert taker != fees[0][1]
        both.live.care.at_once("fees", utc_ns())
        await both.until(lambda: int(row()["fee_taker_e8"][0]) == taker, "the new rate")
        assert int(row()["fee_maker_e8"][0]) == maker
        told = [events for events in both.inputs() if events["kind"][0] == Kind.KIND_SYMBOL]
        assert told[-1]["word"][0, :4].tolist() == [3, 0, maker, taker]
        await both.end()
        both.check()

    run(tmp_path, body, kind)


def test_fees_that_nobody_hears_of_any_more_stop_new_orders_by_name_and_come_back(tmp_path, kind):
    path = {"spot": "/api/v3/account/commission", "usdm": "/fapi/v1/commissionRate"}[kind]

    async def body(both):
        alone, entries = [], []  # denials for old fees and nothing else; entries that left

        def watch(outputs):
            for row in outputs[outputs["kind"] == Kind.KIND_DECISION].view(DECISION):
                alone.extend([row] if [reason.rule for reason in explain(row)] == ["FEES_STALE"] else [])
            places = outputs[outputs["kind"] == Kind.KIND_INTENT_PLACE].view(INTENT)
            entries.extend(int(row["id_order"]) for row in places if not int(row["terms"]) >> 32)

        await both.fills(3)
        both.turn_s = 0.02
        both.server.refused = frozenset({path})
        both.engine.watch(lambda _events: None, watch)
        await both.until(lambda: alone, "a denial for old fees")
        assert "fees" in both.live.care.failures
        entries.clear()
        # Nothing new leaves; what rests is taken back all the same, and what is held may be closed.
        await both.until(lambda: len(alone) >= 20, "more denials")
        assert not entries
        both.server.refused = frozenset()
        await both.until(lambda: entries, "an entry")
        assert "fees" not in both.live.care.failures
        await both.end()
        both.check()

    run(tmp_path, body, kind, fees_age_s=15, tick_ns=100_000_000)


def test_a_cancel_waits_for_its_connection_and_is_not_asked_for_again_with_every_message(tmp_path, kind):
    async def body(both):
        await both.fills(5)
        address = both.server.form.api_path
        both.server.refused = frozenset({address})
        for socket in list(both.server._sockets):
            if socket.path == address:
                socket.cut()
        await both.until(lambda: not both.live.is_connected, "the loss of the connection")
        before, events = len(both.log), both.counts["events"]
        await both.until(lambda: both.live.sender.held, "a cancel that waits")
        await both.until(lambda: both.counts["events"] >= events + 300, "300 messages of the market")
        kinds = np.concatenate([rows["kind"] for _, rows in both.log[before:]])
        held, asked = len(both.live.sender.held), int((kinds == Kind.KIND_INTENT_CANCEL).sum())
        # The order table asks again after its own deadline, seconds later; the market's messages do not.
        assert asked <= 4 * held, (asked, held)
        opened = both.live.opened_count
        both.server.refused = frozenset()
        await both.until(lambda: both.live.opened_count > opened, "the gate's opening")
        assert not both.live.sender.held
        await both.fills(3)
        await both.end()
        both.check()

    run(tmp_path, body, kind)


def is_fill(message):
    """Of either market's user stream."""
    return message.get("event", message.get("o", {})).get("x") == "TRADE"


def _folder(tmp_path, name):
    (tmp_path / name).mkdir()
    return tmp_path / name

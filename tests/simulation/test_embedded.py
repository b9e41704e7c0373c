"""The in-process venue on simulated time: travel, queue position, faults, and the same run from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import EVENT, FEE, INTENT, LEVEL, ORDER, QUOTE, TRADE, Flag, Kind
from engine.errors import SimBadModel, SimTimeBackwards
from engine.sim.faults import Fault, FaultKind, FaultPlan
from engine.sim.venue import EmbeddedConfig, EmbeddedVenue, Latency
from engine.sim.venue.instruments import E8, spot
from engine.sim.venue.recorded import QueueModel

SMALL = spot("AAABBB", "AAA", "BBB", 1_000_000, 1_000_000, 100, 100, notional_min=0, percent_up_ppm=0,
             percent_down_ppm=0, capacity={"orders_max": 512, "pages_max": 8})  # fmt: skip


def venue(*, seed=1, faults=None, **more):
    config = EmbeddedConfig(
        instruments=(SMALL,), deposits={"AAA": 1000 * E8, "BBB": 1000 * E8}, assets={"AAA": 0, "BBB": 1},
        latency_out=Latency(fixed_ns=10), latency_back=Latency(fixed_ns=5), faults=faults or FaultPlan(), **more,
    )  # fmt: skip
    return EmbeddedVenue(config, seed)


def intent(number, *, at=0, side="buy", px=100, qty=10, kind=Kind.KIND_INTENT_PLACE, tif=WishTif.TIF_GTC,
           type_=WishType.TYPE_LIMIT):  # fmt: skip
    record = np.zeros(1, INTENT)
    record["kind"], record["ts_recv_ns"], record["id_order"] = kind, at, number
    record["flags"] = Flag.FLAG_SELL if side == "sell" else 0
    record["px_ticks"], record["qty_lots"], record["terms"] = px, qty, type_ << 16 | tif << 24
    return record.view(EVENT)


def level(at, side, px, qty, flags=0):
    record = np.zeros(1, LEVEL)
    record["kind"], record["ts_recv_ns"], record["px_ticks"], record["qty_lots"] = Kind.KIND_BOOK_LEVEL, at, px, qty
    record["flags"] = flags | (Flag.FLAG_ASK if side == "ask" else 0)
    return record.view(EVENT)


def trade(at, side, px, qty):
    record = np.zeros(1, TRADE)
    record["kind"], record["ts_recv_ns"], record["px_ticks"], record["qty_lots"] = Kind.KIND_TRADE, at, px, qty
    record["flags"] = Flag.FLAG_SELL if side == "sell" else 0
    return record.view(EVENT)


def quote(at, bid, bid_qty, ask, ask_qty):
    record = np.zeros(1, QUOTE)
    record["kind"], record["ts_recv_ns"] = Kind.KIND_QUOTE, at
    record["bid_px_ticks"], record["bid_qty_lots"], record["ask_px_ticks"], record["ask_qty_lots"] = (
        bid, bid_qty, ask, ask_qty,
    )  # fmt: skip
    return record.view(EVENT)


def rows(reports):
    return [(Kind(int(r["kind"])).name.removeprefix("KIND_"), int(r["ts_recv_ns"]), int(r["id_order"]),
             int(r["qty_lots"])) for r in reports.view(ORDER)]  # fmt: skip


def test_an_intent_travels_out_and_its_report_back():
    v = venue()
    v.submit(intent(7, at=100))
    assert rows(v.advance(114)) == []
    assert v.next_due_ns() == 115
    assert rows(v.advance(115)) == [("ORDER_ACK", 115, 7, 10)]
    v.check()


def test_an_order_meets_the_market_of_its_arrival_not_of_its_sending():
    v = venue()
    v.market(quote(100, 99, 5, 100, 50))
    v.submit(intent(7, at=100, tif=WishTif.TIF_IOC))
    v.market(quote(105, 99, 5, 101, 50))
    assert [row[0] for row in rows(v.advance(200))] == ["ORDER_ACK", "ORDER_EXPIRED"]


def test_queue_position_is_what_stands_there_at_arrival_and_trades_take_it_from_the_front():
    v = venue()
    v.market(level(1, "bid", 100, 30))
    v.submit(intent(7, at=1))
    v.market(trade(20, "sell", 100, 30))
    assert [row[0] for row in rows(v.advance(30))] == ["ORDER_ACK"]
    v.market(trade(40, "sell", 100, 4))
    assert rows(v.advance(50)) == [("ORDER_FILL", 45, 7, 4)]
    v.market(trade(60, "sell", 99, 1))
    assert rows(v.advance(70)) == [("ORDER_FILL", 65, 7, 6)]
    v.check()


@pytest.mark.parametrize(
    ("model", "ahead"),
    [(QueueModel.QUEUE_BACK, 30), (QueueModel.QUEUE_SHARE, 20), (QueueModel.QUEUE_SQUARE, 24),
     (QueueModel.QUEUE_FRONT, 0)],
)  # fmt: skip
def test_what_disappears_without_a_trade_stood_before_or_behind_us_as_the_model_says(model, ahead):
    v = venue(queue_model=model)
    v.market(level(1, "bid", 100, 30))
    v.submit(intent(7, at=1))
    v.market(level(20, "bid", 100, 90))
    v.market(level(21, "bid", 100, 60))
    book = v.exchange.market("AAABBB").book
    ours = v._by_engine[7].id
    assert sum(book.order(n)["left_lots"] for n in book.queue(100)[: book.queue(100).index(ours)]) == ahead
    assert book.depth(False, 1) == [(100, 70)]
    v.check()


@pytest.mark.parametrize("model", [m for m in QueueModel if m != QueueModel.QUEUE_THROUGH])
def test_a_quote_that_says_the_same_again_lets_nobody_pass(model):
    """With quotes alone the touch is all there is: who stood before us at its price still does, less what is gone."""
    v = venue(queue_model=model)
    v.market(quote(1, 100, 30, 105, 5))
    v.submit(intent(7, at=1))
    for at in range(20, 25):
        v.market(quote(at, 100, 30, 105, 5))
    book = v.exchange.market("AAABBB").book
    ours = v._by_engine[7].id
    assert book.queue(100)[-1] == ours
    assert book.depth(False, 5) == [(100, 40)]
    # A trade of all that stood before us and of one more lot: that lot is ours.
    v.market(trade(30, "sell", 100, 31))
    assert rows(v.advance(40))[-1] == ("ORDER_FILL", 35, 7, 1)
    v.check()


def test_a_recorded_book_is_what_was_said_last():
    """Levels at random, nothing of ours: its sides are the recording's; what one side reaches the other has left."""
    v, said = venue(), {False: {}, True: {}}
    rng = np.random.default_rng(8)
    book = v.exchange.market("AAABBB").book
    for at in range(1, 600):
        sell, px, lots = bool(rng.integers(2)), int(rng.integers(80, 121)), int(rng.integers(0, 50))
        v.market(level(at, "ask" if sell else "bid", px, lots))
        said[sell].pop(px, None)
        if lots:
            said[sell][px] = lots
            for other in [p for p in said[not sell] if (p >= px if sell else p <= px)]:
                del said[not sell][other]
        for side in (False, True):
            assert book.depth(side, 50) == sorted(said[side].items(), reverse=not side)
        book.check()


def test_quotes_alone_leave_one_level_a_side_wherever_they_jump():
    v = venue()
    rng = np.random.default_rng(9)
    book = v.exchange.market("AAABBB").book
    for at in range(1, 400):
        bid, lots, ask = int(rng.integers(80, 121)), int(rng.integers(1, 50)), int(rng.integers(1, 4))
        v.market(quote(at, bid, lots, bid + ask, lots + 1))
        assert (book.depth(False, 9), book.depth(True, 9)) == ([(bid, lots)], [(bid + ask, lots + 1)])
        book.check()


def test_a_recorded_touch_that_reaches_our_price_fills_us_there():
    v = venue()
    v.market(quote(1, 99, 5, 105, 5))
    v.submit(intent(7, at=1, px=101))
    v.market(quote(30, 99, 5, 100, 4))
    assert rows(v.advance(40))[1:] == [("ORDER_FILL", 35, 7, 4)]


def test_cancel_amend_and_query_are_answered_whatever_has_become_of_the_order():
    v = venue()
    v.submit(intent(7, at=0))
    v.submit(intent(7, at=20, px=90, qty=12, kind=Kind.KIND_INTENT_AMEND))
    v.submit(intent(7, at=40, kind=Kind.KIND_INTENT_QUERY))
    v.submit(intent(7, at=60, kind=Kind.KIND_INTENT_CANCEL))
    v.submit(intent(7, at=80, kind=Kind.KIND_INTENT_CANCEL))
    v.submit(intent(8, at=100, kind=Kind.KIND_INTENT_QUERY))
    v.submit(intent(7, at=120, kind=Kind.KIND_INTENT_AMEND))
    v.submit(intent(9, at=140, qty=0))
    assert [row[0].removeprefix("ORDER_") for row in rows(v.advance(1000))] == [
        "ACK", "REPLACED", "ACK", "CANCELED", "CANCEL_NO_ORDER", "ABSENT", "REPLACE_NO_ORDER", "REJECTED",
    ]  # fmt: skip


def test_a_cancel_that_comes_after_the_fill_is_too_late():
    v = venue()
    v.submit(intent(7, at=0))
    v.market(trade(20, "sell", 100, 10))
    v.submit(intent(7, at=21, kind=Kind.KIND_INTENT_CANCEL))
    assert [row[0] for row in rows(v.advance(100))] == ["ORDER_ACK", "ORDER_FILL", "ORDER_CANCEL_TOO_LATE"]


def test_split_fills_and_their_fees_add_up_to_the_execution():
    v = venue(split_fills=True, report_fees=True)
    v.submit(intent(7, at=0, qty=97))
    v.market(trade(20, "sell", 100, 97))
    reports = v.advance(100)
    fills = reports[reports["kind"] == Kind.KIND_ORDER_FILL].view(ORDER)
    fees = reports[reports["kind"] == Kind.KIND_FEE].view(FEE)
    assert len(fills) > 1
    assert fills["filled_lots"].tolist() == np.cumsum(fills["qty_lots"]).tolist()
    assert fills["filled_lots"][-1] == 97
    assert len(set(fills["id_venue"].tolist())) == len(fills) == len(fees)
    assert int(fees["amount"].sum()) == v._by_engine[7].executions[0].fee.amount


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.LOST_ACK, []),
        (FaultKind.DUPLICATE_ACK, [("ORDER_ACK", 15), ("ORDER_ACK", 15)]),
        (FaultKind.LATE_ACK, [("ORDER_ACK", 500_000_015)]),
        (FaultKind.REORDERED_ACK, [("ORDER_ACK", 12)]),
        (FaultKind.TOO_MANY, [("ORDER_REJECTED", 15)]),
    ],
)
def test_a_scripted_fault_hits_the_next_message_of_its_kind(kind, expected):
    v = venue(faults=FaultPlan(script=[Fault(kind, 0)]))
    v.submit(intent(7, at=0))
    assert [row[:2] for row in rows(v.advance(10**9))] == expected
    assert v.config.faults.counts == {kind: 1}


def test_a_lost_fill_is_found_by_asking():
    v = venue(faults=FaultPlan(script=[Fault(FaultKind.LOST_FILL, 0)]))
    v.submit(intent(7, at=0))
    v.market(trade(20, "sell", 100, 10))
    assert [row[0] for row in rows(v.advance(100))] == ["ORDER_ACK"]
    v.submit(intent(7, at=100, kind=Kind.KIND_INTENT_QUERY))
    assert next(row[0] for row in rows(v.advance(200))) == "ORDER_FILL"


def test_a_disconnect_loses_what_is_sent_meanwhile_and_both_ends_of_it_are_told():
    v = venue(faults=FaultPlan(script=[Fault(FaultKind.DISCONNECT, 50, 100)]))
    v.submit(intent(7, at=0))
    v.submit(intent(8, at=60))
    v.submit(intent(9, at=200))
    got = v.advance(1000)
    assert got["kind"].tolist() == [Kind.KIND_ORDER_ACK, *[Kind.KIND_FEED] * 4, Kind.KIND_ORDER_ACK]
    assert (v.counts["lost"], v.resting_count) == (1, 2)


def test_a_halt_a_ban_a_gap_and_a_clock_jump_do_what_they_say():
    script = [Fault(FaultKind.HALT, 0, 50), Fault(FaultKind.BANNED, 100, 50), Fault(FaultKind.GAP, 300),
              Fault(FaultKind.CLOCK_JUMP, 400, 100, jump_ns=7_000)]  # fmt: skip
    v = venue(faults=FaultPlan(script=script))
    for number, at in ((1, 10), (2, 60), (3, 110), (4, 200), (5, 420)):
        v.submit(intent(number, at=at))
    reports = v.advance(250)
    assert [row[0] for row in rows(reports)] == ["ORDER_REJECTED", "ORDER_ACK", "ORDER_REJECTED", "ORDER_ACK"]
    assert len(v.market(quote(300, 99, 5, 105, 5))) == 0
    assert len(v.market(quote(301, 99, 5, 105, 5))) == 1
    assert int(v.advance(600)["ts_venue_ns"][0]) == 430 + 7_000


def test_time_never_runs_backwards_and_models_are_in_range():
    v = venue()
    v.advance(100)
    with pytest.raises(SimTimeBackwards):
        v.market(quote(99, 1, 1, 2, 1))
    with pytest.raises(SimBadModel):
        Latency(sigma=-1.0)
    with pytest.raises(SimBadModel):
        FaultPlan(rates={FaultKind.GAP: 2.0})


def _wild(seed, rates):
    """A random run: orders, cancels and a recorded market, with every fault by chance."""
    rng = np.random.default_rng(seed)
    faults = FaultPlan(seed=seed, rates=dict.fromkeys(rates, 0.1), late_ns=1000)
    config = EmbeddedConfig(
        instruments=(SMALL,), deposits={"AAA": 1000 * E8, "BBB": 1000 * E8}, faults=faults, split_fills=True,
        latency_out=Latency(mu=-9.0), latency_back=Latency(mu=-9.0),
    )  # fmt: skip
    v = EmbeddedVenue(config, seed)
    out = []
    for i in range(300):
        at = i * 100
        v.submit(intent(i + 1, at=at, side="sell" if rng.random() < 0.5 else "buy", px=int(rng.integers(97, 104))))
        if rng.random() < 0.5:
            v.submit(intent(int(rng.integers(1, i + 2)), at=at, kind=Kind.KIND_INTENT_CANCEL))
        bid = int(rng.integers(97, 102))
        v.market(quote(at + 10, bid, int(rng.integers(1, 50)), bid + 1, int(rng.integers(1, 50))))
        v.market(trade(at + 20, "sell" if rng.random() < 0.5 else "buy", bid, int(rng.integers(1, 20))))
        out.append(v.advance(at + 50))
        v.check()
    out.append(v.advance(10**9))
    v.check()
    return np.concatenate(out), v


@pytest.mark.parametrize("seed", range(6))
def test_every_run_is_sound_under_all_faults_and_the_same_seed_gives_the_same_bytes(seed):
    rates = [kind for kind in FaultKind if kind not in (FaultKind.HALT, FaultKind.CLOCK_JUMP, FaultKind.DISCONNECT,
                                                        FaultKind.BANNED)]  # fmt: skip
    one, v = _wild(seed, rates)
    two, _ = _wild(seed, rates)
    other, _ = _wild(seed + 100, rates)
    assert one.tobytes() == two.tobytes() != other.tobytes()
    assert set(v.config.faults.counts) == set(rates)


def test_without_faults_reported_fills_are_the_exchanges_own():
    reports, v = _wild(3, [])
    fills = reports[reports["kind"] == Kind.KIND_ORDER_FILL].view(ORDER)
    by_order: dict[int, int] = {}
    for fill in fills:
        by_order[int(fill["id_order"])] = by_order.get(int(fill["id_order"]), 0) + int(fill["qty_lots"])
    assert by_order == {number: order.filled for number, order in v._by_engine.items() if order.filled}

"""Snapshots, replay and recovery: what loads, what refuses, and what the venue's evidence makes of what we believed."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from engine._core.order_table import OrderState
from engine._core.types import EVENT, Incident, Kind
from engine.cli.events import journal as journal_command
from engine.cli.replay import parse_time
from engine.cli.replay import replay as replay_command
from engine.errors import JournalCorrupt, RecoveryRefused, ReplayDiverged, SnapshotBad, SnapshotMissing
from engine.journal.breaks import ALL, Break, Tolerances, Watch, break_events, order_breaks
from engine.journal.compare import epoch_of, feed, live_orders
from engine.journal.cut import cut
from engine.journal.layout import find_session
from engine.journal.port import CANCELED, EXPIRED, FILLED, REJECTED, VenueOrder, VenueTrade, VenueView
from engine.journal.reader import open_session
from engine.journal.reconcile import settle
from engine.journal.recovery import recover, verify
from engine.journal.replay import replay_session
from engine.journal.snapshot import Snapshotter, latest, read_snapshot
from engine.sim.world.venue import Venue
from engine.sim.world.wire import Ask
from tests.support import world
from tests.support.journal import PER_BLOCK, SMALL, abandon, small_journal, small_world
from tests.support.sessions import MARKET, NOW, trade


def inputs(root, first=0, until_ns=2**62):
    rows = open_session(find_session(root)).records(first)
    return int(((rows["kind"] < 128) & (rows["ts_recv_ns"] <= until_ns)).sum())


def timers(number):
    events = np.zeros(number, EVENT)
    events["kind"], events["ts_recv_ns"] = Kind.KIND_TIMER, int(MARKET["ts_recv_ns"][0]) - number + np.arange(number)
    return events


def fresh():
    return world.smallest()


# -------------------------------------------------------------------------------------------------------- snapshots
def test_a_snapshot_loads_to_the_same_world(tmp_path):
    core, journal = trade(tmp_path, count=500, close=False)
    path = journal.snapshot(core.world)
    found = read_snapshot(journal.session, path)
    assert found.image == bytes(memoryview(core.world))
    assert (found.record_number, found.event_count) == (journal.tape.count, core.world.event_count)
    journal.close()


@pytest.mark.parametrize("at", [0, 9, 30, 60, 127, 128, 5000])
def test_a_snapshot_with_any_changed_byte_is_bad(tmp_path, at):
    _, journal = trade(tmp_path, count=100)
    path = journal.session.snapshots()[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(SnapshotBad):
        read_snapshot(journal.session, path)
    with pytest.raises(SnapshotMissing):
        latest(journal.session)


def test_a_snapshot_cut_at_any_length_is_bad_and_the_one_before_it_is_taken(tmp_path):
    _, journal = trade(tmp_path, count=400, snapshots=(200,))
    first, second = journal.session.snapshots()
    whole = second.read_bytes()
    for size in (0, 1, 127, 128, 129, len(whole) - 1):
        second.write_bytes(whole[:size])
        found, problems = latest(journal.session)
        assert found.path == first
        assert len(problems) == 1


def test_a_snapshot_ahead_of_the_journal_is_not_used(tmp_path):
    _, journal = trade(tmp_path, count=400, snapshots=(200,))
    found, problems = latest(journal.session, at_most=100)
    assert found.record_number == 0
    assert "ends at 100" in problems[0]


def test_the_last_few_snapshots_are_kept_and_the_first(tmp_path):
    journal = small_journal(tmp_path)
    here = small_world()
    keeper = Snapshotter(journal.session, here, keep=2)
    for number in (10, 20, 30, 40):
        thread = keeper.take(number)
        assert thread is not None
        thread.join()
    assert [int(p.name.split(".")[0]) for p in journal.session.snapshots()] == [0, 30, 40]
    assert keeper.problem is None
    journal.close()


def test_a_copy_while_the_last_one_is_being_written_is_skipped_and_counted(tmp_path):
    journal = small_journal(tmp_path)
    keeper = Snapshotter(journal.session, small_world())
    assert keeper.copy(1)
    assert not keeper.copy(2)
    assert keeper.skipped_count == 1
    keeper.write()
    assert keeper.copy(3)
    journal.close()


# ----------------------------------------------------------------------------------------------------------- replay
@pytest.mark.parametrize("snapshots", [(), (700, 1500, 2900)])
def test_a_session_replays_to_its_bytes_and_meets_its_snapshots(tmp_path, snapshots):
    core, journal = trade(tmp_path, snapshots=snapshots)
    state, count = core.world.state_hash(), journal.tape.count
    done = replay_session(fresh(), find_session(tmp_path))
    assert done.state_hash == state
    assert done.snapshots_met == len(snapshots)
    assert (done.inputs, done.inputs + done.outputs) == (inputs(tmp_path), count)
    assert done.outputs > 40


def test_a_replay_may_begin_and_end_in_the_middle(tmp_path):
    core, _ = trade(tmp_path, snapshots=(1000, 2000))
    state = core.world.state_hash()
    since, until = int(MARKET["ts_recv_ns"][1500]), int(MARKET["ts_recv_ns"][2500])
    part = replay_session(fresh(), find_session(tmp_path), since_ns=since, until_ns=until)
    assert part.first_record > 1000
    assert (part.inputs, part.snapshots_met) == (inputs(tmp_path, part.first_record, until), 1)
    rest = replay_session(fresh(), find_session(tmp_path), since_ns=since)
    assert rest.state_hash == state


def forge(tmp_path, change):
    """A session whose records were changed and summed anew: only the replay can tell."""
    core, _ = trade(tmp_path / "a", snapshots=(1000,))
    rows = change(open_session(find_session(tmp_path / "a")).records())
    fresh()
    with small_journal(tmp_path / "b", world=core.world, segment_bytes=1 << 20) as other:
        for at in range(0, len(rows), 1000):
            other.tape.append(rows[at : at + 1000])
            other.turn()
    return find_session(tmp_path / "b")


def first_place(rows):
    return int(np.flatnonzero(rows["kind"] == Kind.KIND_INTENT_PLACE)[3])


def test_a_changed_output_is_shown_as_a_pair_of_records(tmp_path):
    def change(rows):
        rows["word"][first_place(rows), 2] += 1
        return rows

    with pytest.raises(ReplayDiverged, match=r"event \d+.*\n  recorded .*intent_place.*\n  replayed .*\n.*qty_lots: "):
        replay_session(fresh(), forge(tmp_path, change))


def test_a_missing_output_and_an_extra_one_are_told_apart(tmp_path):
    with pytest.raises(ReplayDiverged, match="was not recorded"):
        replay_session(fresh(), forge(tmp_path, lambda rows: np.delete(rows, first_place(rows))))
    with pytest.raises(ReplayDiverged, match="did not make"):
        replay_session(
            fresh(), forge(tmp_path / "2", lambda rows: np.insert(rows, first_place(rows), rows[first_place(rows)]))
        )


def test_a_changed_input_that_changes_no_output_is_found_by_the_next_snapshot(tmp_path):
    core, journal = trade(tmp_path, count=1000, close=False)
    core.step(MARKET[1000:1001])  # stepped, and not recorded
    journal.snapshot(core.world)
    journal.close()
    with pytest.raises(ReplayDiverged, match="world differs from"):
        replay_session(fresh(), find_session(tmp_path))


def test_a_torn_end_replays_to_what_was_recorded(tmp_path):
    _, journal = trade(tmp_path, count=2000, close=False, sync="off")
    path = journal.session.segments()[0]
    count = journal.tape.count
    journal.close()
    data = bytearray(path.read_bytes())
    data[192:256] = bytes(64)  # not closed
    block, slot = divmod(count - 1, 59)
    data[4096 * (1 + block) + 320 + 64 * slot + 5] ^= 1
    path.write_bytes(data)
    done = replay_session(fresh(), find_session(tmp_path))
    assert done.last_record == count - 1
    assert "half written" in done.torn


@pytest.mark.parametrize("lost", [True, False])
def test_outputs_lost_behind_a_full_segment_are_a_crash_and_without_a_next_one_a_difference(tmp_path, lost):
    core = fresh()
    first = 1 + next(at for at, _ in enumerate(MARKET) if core.step(MARKET[at : at + 1])[1].size)
    core = fresh()
    journal = small_journal(tmp_path, world=core.world, sync="off")
    room = SMALL * PER_BLOCK
    # The event that makes outputs is the last that the first segment holds; they begin the next one.
    feed(core, journal.tape, timers(room * (1 + first // room) - first))
    feed(core, journal.tape, MARKET[:first])
    journal.turn()
    _, behind, ahead = journal.session.segments()
    ahead.unlink()
    assert journal.tape.count > room * (1 + first // room)
    abandon(journal)
    if lost:
        # Made ahead, so its own page is on the disk; nothing that was written there is.
        behind.write_bytes(behind.read_bytes()[:128] + bytes(behind.stat().st_size - 128))
        done = replay_session(fresh(), find_session(tmp_path))
        assert (done.last_record, len(done.pending)) == (room * (1 + first // room), len(core.outputs()))
    else:
        behind.unlink()
        with pytest.raises(ReplayDiverged, match="outputs at the very end that were not recorded"):
            replay_session(fresh(), find_session(tmp_path))


def test_the_replay_command_says_equal_or_shows_the_difference(tmp_path):
    trade(tmp_path, snapshots=(1000,))
    done = CliRunner().invoke(replay_command, [str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    assert '"equal": true' in done.output
    text_form = CliRunner().invoke(replay_command, [str(tmp_path), "--no-verify", "--speed", "1000000000"])
    assert "nothing compared" in text_form.output
    assert parse_time("2026-11-21T09:30:00.25Z") == 1795253400250000000
    assert parse_time("17") == 17


# -------------------------------------------------------------------------------------------- deciding by evidence
def table(state, *, id_order=7, qty=10, filled=0, created=0, sell=False):
    rows = np.zeros(1, live_orders(fresh().world).dtype)
    rows["id_order"], rows["state"], rows["qty_lots"], rows["filled_lots"] = id_order, state, qty, filled
    rows["px_ticks"], rows["ts_created_ns"], rows["sell"] = 100, created, sell
    return rows


def there(state="open", *, filled=0, qty=10, px=100, id_order=7):
    return VenueOrder(id_order, 55, 0, False, px, qty, filled, state)


def hit(id_trade, lots, *, id_order=7):
    return VenueTrade(id_trade, id_order, 0, False, 100, lots, 5)


def decide(orders, *, open_orders=(), trades=(), asked=None, booked=(), now_ns=10**12, **more):
    view = VenueView(tuple(open_orders), tuple(trades), {}, {}, asked or {})
    return settle(orders, view, set(booked), now_ns=now_ns, tolerances=Tolerances(**more))


def kinds(plan):
    return [Kind(int(e["kind"][0])).name.removeprefix("KIND_ORDER_") for e in plan.events]


S = OrderState
CASES = [
    (S.STATE_UNKNOWN, 0, {"open_orders": [there()]}, ["ACK"]),
    (S.STATE_SENT, 0, {"open_orders": [there(filled=4)], "trades": [hit(1, 4)]}, ["FILL", "ACK"]),
    (S.STATE_OPEN, 0, {"open_orders": [there()]}, []),
    (S.STATE_PENDING_CANCEL, 0, {"open_orders": [there()]}, ["CANCEL_REFUSED"]),
    (S.STATE_PENDING_REPLACE, 0, {"open_orders": [there(px=101)]}, ["REPLACED"]),
    (S.STATE_OPEN, 0, {"open_orders": [there(qty=8)]}, ["REPLACED"]),
    (S.STATE_UNKNOWN, 0, {}, ["ABSENT"]),
    (S.STATE_SENT, 0, {}, ["LOST", "ABSENT"]),
    (S.STATE_OPEN, 3, {}, ["CANCELED"]),
    (S.STATE_UNKNOWN, 0, {"asked": {7: there(CANCELED)}}, ["CANCELED"]),
    (S.STATE_UNKNOWN, 0, {"asked": {7: there(REJECTED)}}, ["REJECTED"]),
    (S.STATE_OPEN, 0, {"asked": {7: there(FILLED, filled=10)}, "trades": [hit(1, 6), hit(2, 4)]}, ["FILL", "FILL"]),
    (S.STATE_OPEN, 0, {"asked": {7: there(CANCELED, filled=4)}, "trades": [hit(1, 4)]}, ["FILL", "CANCELED"]),
]  # fmt: skip


@pytest.mark.parametrize(("state", "filled", "evidence", "expected"), CASES)
def test_evidence_becomes_the_report_that_should_have_come(state, filled, evidence, expected):
    plan = decide(table(state, filled=filled), **evidence)
    assert kinds(plan) == expected
    assert plan.waiting == []
    assert len(plan.rows) == bool(expected)


def test_a_fill_that_is_booked_is_not_booked_again():
    booked = {(0, False, 1)}
    plan = decide(table(S.STATE_PARTIAL, filled=4), open_orders=[there(filled=4)], trades=[hit(1, 4)], booked=booked)
    assert plan.events == []


def test_an_amend_that_has_just_left_may_still_arrive_and_is_not_called_lost():
    young = table(S.STATE_PENDING_REPLACE)
    young["ts_changed_ns"] = 10**12 - 10**9
    plan = decide(young, open_orders=[there()])
    assert (kinds(plan), plan.waiting) == ([], [7])
    # One that has arrived is seen at once.
    plan = decide(young, open_orders=[there(px=101)])
    assert (kinds(plan), plan.waiting) == (["REPLACED"], [])


def test_a_stop_that_waits_here_for_its_price_is_nothing_that_the_venue_could_know():
    held_back = table(S.STATE_OPEN)
    held_back["trigger"] = 1
    plan = decide(held_back)
    assert (kinds(plan), plan.waiting, plan.rows) == ([], [], [])


@pytest.mark.parametrize(
    ("evidence", "expected", "foreign"),
    [({"asked": {7: there(EXPIRED, filled=6)}, "trades": [hit(1, 6)]}, ["FILL", "EXPIRED"], 0),
     ({"asked": {7: there(FILLED, filled=10)}, "trades": [hit(1, 10)]}, ["FILL"], 0),
     ({"trades": [hit(1, 4)]}, ["FILL", "CANCELED"], 0),
     ({"open_orders": [there(filled=2)], "trades": [hit(1, 2)]}, ["CANCELED", "FILL"], 1)],
)  # fmt: skip
def test_a_stop_whose_leaving_was_lost_with_its_record_ends_here_and_its_number_is_not_used_again(
    evidence, expected, foreign
):
    held_back = table(S.STATE_OPEN)
    held_back["trigger"] = 1
    plan = decide(held_back, **evidence)
    assert kinds(plan) == expected
    assert len(plan.foreign) == foreign
    assert plan.waiting == []


def test_without_evidence_an_order_stays_unknown():
    # It may still arrive; the venue counts fills whose trades it does not show; it is called filled without trades.
    young = decide(table(S.STATE_SENT, created=10**12 - 10**9))
    short = decide(table(S.STATE_OPEN), open_orders=[there(filled=5)], trades=[hit(1, 2)])
    silent = decide(table(S.STATE_UNKNOWN), asked={7: there(FILLED, filled=10)})
    assert (young.waiting, short.waiting, silent.waiting) == ([7], [7], [7])
    assert (kinds(young), kinds(short), kinds(silent)) == ([], ["FILL"], [])


def test_an_intent_that_was_never_recorded_was_never_sent():
    view = VenueView((), ())
    plan = settle(table(S.STATE_SENT, created=10**12), view, set(), now_ns=10**12, tolerances=Tolerances(), unsent={7})
    assert kinds(plan) == ["LOST", "ABSENT"]


def test_a_trade_of_an_order_that_has_ended_is_booked_as_an_incident():
    plan = decide(table(S.STATE_OPEN), open_orders=[there()], trades=[hit(9, 2, id_order=3)])
    assert kinds(plan) == ["FILL"]
    assert "incident" in plan.rows[0].action


def test_the_order_of_the_answers_does_not_matter():
    orders = np.concatenate([table(S.STATE_UNKNOWN, id_order=i) for i in (9, 7, 8)])
    trades = [hit(i, 1, id_order=7 + i % 3) for i in range(1, 7)]
    seen = [there(id_order=i, filled=2) for i in (7, 8, 9)]
    one = decide(orders, open_orders=seen, trades=sorted(trades, key=lambda t: t.id_trade))
    other = decide(orders[::-1], open_orders=seen, trades=sorted(trades, key=lambda t: t.id_trade))
    assert one.records().tobytes() == other.records().tobytes()


# -------------------------------------------------------------------------------------------------------- recovery
class Nobody(Venue):
    """A venue that never heard of us."""

    def __init__(self):
        super().__init__(1, lambda *args, **more: None)


def test_recovery_reaches_the_world_that_died_and_a_second_run_changes_nothing(tmp_path):
    core, journal = trade(tmp_path, snapshots=(1000, 2000), close=False)
    lots, epoch = int(core.world.positions()[0]["lots"]), epoch_of(core.world)
    live = len(live_orders(core.world))
    journal.close()
    found = recover(tmp_path, fresh(), Nobody(), now_ns=NOW + 10**12)
    assert live > 0
    assert len(found.plan.rows) == live
    assert found.next_epoch == epoch + 1 == epoch_of(found.core.world)
    assert found.from_record > 0
    with small_journal(tmp_path, world=found.core.world, segment_bytes=1 << 20) as journal:
        found.begin(journal.tape)
        assert verify(found, Nobody()) == []
    assert len(live_orders(found.core.world)) == 0
    assert int(found.core.world.positions()[0]["lots"]) == lots
    again = recover(tmp_path, fresh(), Nobody(), now_ns=NOW + 10**12)
    assert again.plan.rows == []
    assert again.plan.events == []
    assert again.green


def foreign_venue():
    venue = Nobody()
    venue.place(Ask(0x7777, False, 49_000, 3), sent_ns=1, now_ns=1)
    return venue


def test_a_foreign_order_is_cancelled_adopted_or_refused_as_configured(tmp_path):
    trade(tmp_path, count=50)
    venue = foreign_venue()
    with pytest.raises(RecoveryRefused, match=str(0x7777)):
        recover(tmp_path, fresh(), venue, now_ns=NOW + 10**12, tolerances=Tolerances(foreign="refuse"))
    adopted = recover(tmp_path, fresh(), venue, now_ns=NOW + 10**12, tolerances=Tolerances(foreign="adopt"))
    assert adopted.adopted == [0x7777]
    assert 0x7777 in live_orders(adopted.core.world)["id_order"]
    assert venue.open_orders()
    recover(tmp_path, fresh(), venue, now_ns=NOW + 10**12)
    assert venue.open_orders() == []


def test_an_adopted_order_survives_the_next_recovery(tmp_path):
    trade(tmp_path, count=50)
    venue, rules = foreign_venue(), Tolerances(foreign="adopt")
    found = recover(tmp_path, fresh(), venue, now_ns=NOW + 10**12, tolerances=rules)
    with small_journal(tmp_path, world=found.core.world) as journal:
        found.begin(journal.tape)
        assert verify(found, venue, tolerances=rules) == []
    again = recover(tmp_path, fresh(), venue, now_ns=NOW + 10**12, tolerances=rules)
    assert again.adopted == []
    assert again.plan.events == []


def test_a_world_that_does_not_replay_is_refused(tmp_path):
    def change(rows):
        rows["word"][first_place(rows), 2] += 1
        return rows

    forge(tmp_path, change)
    with pytest.raises(RecoveryRefused, match="does not replay"):
        recover(tmp_path / "b", fresh(), Nobody(), now_ns=NOW)


def test_a_damaged_journal_is_refused_until_it_is_cut_by_hand(tmp_path):
    _, journal = trade(tmp_path, count=2000)
    path = journal.session.segments()[0]
    data = bytearray(path.read_bytes())
    data[4096 * 12 + 400] ^= 4
    path.write_bytes(data)
    with pytest.raises(JournalCorrupt, match=r"000000\.b4t, block 11"):
        recover(tmp_path, fresh(), Nobody(), now_ns=NOW + 10**12)
    said = CliRunner().invoke(journal_command, ["verify", str(tmp_path)])
    assert said.exit_code == 1
    assert "DAMAGED" in said.output
    done = CliRunner().invoke(journal_command, ["cut", str(tmp_path), "--yes"])
    assert done.exit_code == 0, done.output
    assert "649" in done.output or "650" in done.output
    assert list(path.parent.glob("*.damaged"))
    assert CliRunner().invoke(journal_command, ["verify", str(tmp_path)]).exit_code == 0
    found = recover(tmp_path, fresh(), Nobody(), now_ns=NOW + 10**12)
    assert found.records in (649, 650)
    assert "not damaged" in cut(find_session(tmp_path))


# ------------------------------------------------------------------------------------------- continuous reconciliation
def test_open_orders_that_differ_or_are_not_ours_are_breaks():
    view = VenueView((there(filled=5), there(id_order=99), there(id_order=0)), ())
    found = order_breaks(table(S.STATE_OPEN, filled=4), view)
    assert [b.what for b in found] == ["orders", "foreign", "foreign"]
    assert ["ended here" in b.detail or "not ours" in b.detail for b in found] == [False, True, True]
    # What a trade on its way will add is no difference.
    assert order_breaks(table(S.STATE_OPEN, filled=4), VenueView((there(filled=5),), ()), explained={7: 1}) == []


def test_a_break_blocks_at_once_halts_after_its_grace_and_heals():
    watch = Watch(Tolerances(grace_ns=100))
    gone = Break("position", 0, 1, 2)
    first = watch.judge([gone], now_ns=1000)
    assert (first.incidents, first.blocked, first.halted) == ((gone,), frozenset({0}), False)
    later = watch.judge([gone], now_ns=1099)
    assert (later.incidents, later.halted) == ((), False)
    assert watch.judge([gone], now_ns=1100).halted
    healed = watch.judge([], now_ns=1200)
    assert (healed.healed, healed.blocked, healed.halted) == ((("position", 0, 0),), frozenset(), False)


def test_what_a_break_does_is_configured():
    cash, price = Break("cash", ALL, 1, 2), Break("price", 0, 1, 2)
    assert Watch().judge([cash], now_ns=1).blocked == {ALL}
    assert Watch().judge([price], now_ns=1).blocked == frozenset()
    strict = Watch(Tolerances(halt={"price": "all"}))
    assert strict.judge([price], now_ns=1).blocked == {ALL}


def test_breaks_become_events_and_halts_only_what_changed():
    watch, incident = Watch(), int(Incident.INCIDENT_POSITION)

    def said(verdict, halted):
        rows = break_events(verdict, halted, symbols=3, now_ns=5)
        assert (rows["kind"] == Kind.KIND_SYMBOL).all()
        return [(int(r["symbol"]), *(int(word) for word in r["word"][:4])) for r in rows]

    books = int(Incident.INCIDENT_LEDGER)
    one = watch.judge([Break("position", 1, 1, 2)], now_ns=5)
    assert said(one, []) == [(1, 2, incident, 1, 2), (1, 1, books, 0, 0)]
    both = watch.judge([Break("position", 1, 1, 2), Break("cash", ALL, 7, 8)], now_ns=6)
    cash = (0, 2, int(Incident.INCIDENT_BALANCE), 7, 8)
    assert said(both, [1]) == [cash, (0, 1, books, 0, 0), (2, 1, books, 0, 0)]
    assert said(watch.judge([], now_ns=7), [0, 1, 2]) == [(s, 0, books, 0, 0) for s in range(3)]

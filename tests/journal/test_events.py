"""The event store: what is asked by time, kind, order and correlation is found in every form that a segment has."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from engine._core.types import EVENT, ORDER, Kind, Status
from engine.cli.events import events as events_command
from engine.cli.record import record as record_command
from engine.journal.layout import find_session
from engine.journal.query import Question, ask, to_parquet
from engine.journal.reader import open_session
from engine.journal.segments import Retention, retain
from engine.journal.show import difference, fields, kind_number, order_id, text
from engine.sim.market import random_walk
from tests.support.sessions import MARKET, NOW, trade


def answers(root, **question):
    found = list(ask(find_session(root), Question(**question)))
    return np.concatenate([rows for _, rows in found]) if found else np.zeros(0, EVENT)


@pytest.mark.parametrize("compress", [True, False])
def test_events_are_found_by_time_kind_order_and_correlation(tmp_path, compress):
    trade(tmp_path, compress=compress)
    everything = open_session(find_session(tmp_path)).records()
    assert answers(tmp_path).tobytes() == everything.tobytes()
    since, until = int(MARKET["ts_recv_ns"][100]), int(MARKET["ts_recv_ns"][200])
    part = answers(tmp_path, since_ns=since, until_ns=until)
    assert (part["ts_recv_ns"] >= since).all()
    assert (part["ts_recv_ns"] <= until).all()
    assert len(part) >= 101
    places = answers(tmp_path, kinds=frozenset({int(Kind.KIND_INTENT_PLACE)}))
    one = int(places["word"][0, 0])
    story = answers(tmp_path, order=one)
    assert set(story.view(ORDER)["id_order"].tolist()) == {one}


@pytest.mark.parametrize("compress", [True, False])
def test_any_record_of_a_correlation_leads_to_the_whole_of_it(tmp_path, compress):
    # As in a session whose inputs came over no ring: nothing but the order of the records says what hangs together.
    trade(tmp_path, compress=compress)
    everything = open_session(find_session(tmp_path)).records()
    kinds = everything["kind"]
    place = int(np.flatnonzero(kinds == Kind.KIND_INTENT_PLACE)[3])
    quote = int(np.flatnonzero(kinds[:place] < 128)[-1])
    placed = {int(everything["word"][i, 0]) for i in range(quote, place + 1) if kinds[i] == Kind.KIND_INTENT_PLACE}
    hangs = answers(tmp_path, correlation=quote)
    assert hangs[0].tobytes() == everything[quote].tobytes()
    assert set(hangs["kind"].tolist()) >= {Kind.KIND_QUOTE, Kind.KIND_INTENT_PLACE, Kind.KIND_ORDER_ACK}
    for one in placed:
        assert np.isin(answers(tmp_path, order=one), hangs).all()
    assert answers(tmp_path, correlation=place).tobytes() == hangs.tobytes()
    ack = int(np.flatnonzero((kinds == Kind.KIND_ORDER_ACK) & np.isin(everything["word"][:, 0], sorted(placed)))[0])
    back = answers(tmp_path, correlation=ack)
    assert np.isin(answers(tmp_path, order=int(everything["word"][ack, 0])), back).all()
    assert len(answers(tmp_path, correlation=len(everything))) == 0


def test_a_correlation_whose_quote_was_thinned_away_still_has_its_orders(tmp_path):
    trade(tmp_path)
    everything = open_session(find_session(tmp_path)).records()
    kinds = everything["kind"]
    # One place that stands right behind its quote, and behind records of another order before that.
    behind = (kinds == Kind.KIND_INTENT_PLACE) & (np.roll(kinds, 1) == Kind.KIND_QUOTE)
    place = int(np.flatnonzero(behind)[2])
    after = int(np.flatnonzero(kinds[place:] < 128)[0]) + place
    orders = {int(everything["word"][i, 0]) for i in range(place, after) if kinds[i] == Kind.KIND_INTENT_PLACE}
    assert retain(find_session(tmp_path), NOW + 40 * 86_400 * 10**9, Retention())
    hangs = answers(tmp_path, correlation=place)
    named = {order_id(row) for row in hangs} - {0}
    assert named == orders
    assert len(answers(tmp_path, correlation=place - 1)) == 0, "the quote itself is gone"


def test_a_thinned_session_still_answers(tmp_path):
    trade(tmp_path)
    before = answers(tmp_path, kinds=frozenset({int(Kind.KIND_INTENT_PLACE)}))
    assert retain(find_session(tmp_path), NOW + 40 * 86_400 * 10**9, Retention())
    assert answers(tmp_path, kinds=frozenset({int(Kind.KIND_INTENT_PLACE)})).tobytes() == before.tobytes()
    assert len(answers(tmp_path, kinds=frozenset({int(Kind.KIND_QUOTE)}))) == 0


def test_the_events_command_prints_lines_and_refuses_what_is_no_kind(tmp_path):
    trade(tmp_path)
    lines = CliRunner().invoke(events_command, [str(tmp_path), "--type", "place", "--limit", "3", "--json"])
    assert lines.exit_code == 0, lines.output
    assert lines.output.count('"kind": "intent_place"') == 3
    rows = CliRunner().invoke(events_command, [str(tmp_path), "--limit", "2"])
    assert "quote" in rows.output or "trade" in rows.output
    assert CliRunner().invoke(events_command, [str(tmp_path), "--type", "nothing"]).exit_code == 2
    assert CliRunner().invoke(events_command, [str(tmp_path), "--since", "yesterday"]).exit_code == 2


def test_parquet_holds_the_same_records(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra: bot4[parquet]")
    trade(tmp_path)
    count = to_parquet(find_session(tmp_path), Question(), tmp_path / "all.parquet")
    table_read = pq.read_table(tmp_path / "all.parquet")
    everything = open_session(find_session(tmp_path)).records()
    assert count == len(everything) == table_read.num_rows
    assert table_read["word_2"].to_pylist() == everything["word"][:, 2].tolist()


def test_market_data_is_recorded_and_read_back(tmp_path):
    done = CliRunner().invoke(record_command, [str(tmp_path / "a"), "--generate", "20000"])
    assert done.exit_code == 0, done.output
    rows = open_session(find_session(tmp_path / "a")).must_be_sound().records()
    expected = random_walk(seed=7, count=20_000)
    expected["seq"] = np.arange(20_000)
    assert rows.tobytes() == expected.tobytes()
    copied = CliRunner().invoke(record_command, [str(tmp_path / "b"), "--copy", str(tmp_path / "a")])
    assert copied.exit_code == 0, copied.output
    assert open_session(find_session(tmp_path / "b")).records().tobytes() == rows.tobytes()
    (tmp_path / "raw").write_bytes(rows.tobytes())
    from_file = CliRunner().invoke(record_command, [str(tmp_path / "c"), "--file", str(tmp_path / "raw")])
    assert from_file.exit_code == 0, from_file.output
    assert find_session(tmp_path / "c").file.klass == "market"
    assert CliRunner().invoke(record_command, [str(tmp_path / "d")]).exit_code == 2


def test_records_are_shown_by_the_names_of_their_kind():
    row = np.zeros(1, ORDER)
    row["kind"], row["id_order"], row["qty_lots"], row["flags"] = Kind.KIND_ORDER_FILL, 42, 7, 4
    assert fields(row.view(EVENT))["qty_lots"] == 7
    assert "order_fill" in text(row.view(EVENT))
    assert "side=sell" in text(row.view(EVENT))
    assert order_id(row.view(EVENT)) == 42
    assert kind_number("order_fill") == kind_number("KIND_ORDER_FILL") == kind_number("fill") == 65
    other = row.copy()
    other["qty_lots"] = 8
    assert "qty_lots: 7 / 8" in difference(row.view(EVENT), other.view(EVENT))
    unknown = np.zeros(1, EVENT)
    unknown["kind"] = 250
    assert "kind_250" in text(unknown)
    assert Status.OK == 0

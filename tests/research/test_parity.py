"""Parity: a real session is its own backtest, parts add up, and a session that decided otherwise is caught."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from engine._core.types import EVENT, FEED, INTENT, Flag, Kind
from engine.cli.main import cli
from engine.errors import ParityBroken, ParityImpossible
from engine.journal.layout import find_session
from engine.journal.reader import open_session
from engine.journal.writer import JournalConfig, JournalWriter
from engine.research import parity
from engine.research.parity import PARTS, Fill, Seen, Terms, align
from engine.runtime.build import core_of
from engine.runtime.parity import Journeys, run_parity
from tests.support.books import quote

BOT4 = (sys.executable, "-c", "from engine.cli.main import main; main()")
TERMS = Terms("BTCUSDT", 10**6, 10**5, 100_000, 100_000)
MS = 1_000_000


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """The journal of one `bot4 run` of a few simulated seconds."""
    root = tmp_path_factory.mktemp("parity")
    done = subprocess.run(
        [*BOT4, "run", "--plain", "--json", "--seconds", "1", "--speed", "4", "--directory", str(root)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__SAFETY__STALL_MS": "30000"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root / "journal"


@pytest.fixture(scope="module")
def tape(journal):
    return open_session(find_session(journal)).must_be_sound().records()


@pytest.fixture(scope="module")
def held(journal):
    return run_parity(find_session(journal), latency_ms=10)


def written_again(root, session, rows, meta=None):
    """A session with these records under whole sums: what no checksum finds."""
    kept = session.file if meta is None else msgspec.structs.replace(session.file, meta=meta)
    ticks = iter(range(kept.created_ns, kept.created_ns + 10**6))
    with JournalWriter(
        root, JournalConfig(disk_free_bytes=0, compress=False, segment_bytes=16 << 20), seed=kept.seed,
        now_ns=lambda: next(ticks), world=core_of(replace(session, file=kept)).world, meta=kept.meta, epoch=kept.epoch,
    ) as out:  # fmt: skip
        for at in range(0, len(rows), 1_000):
            out.tape.append(np.ascontiguousarray(rows[at : at + 1_000]))
            out.turn()
    return find_session(root)


# ------------------------------------------------------------------------------------------------------ a real session
def test_with_the_recorded_journeys_the_backtest_is_the_recording_byte_for_byte(held, tape):
    assert held.same_journeys_identical
    assert np.count_nonzero(tape["kind"] == int(Kind.KIND_INTENT_PLACE)) > 10


def test_the_decision_part_of_a_real_session_is_zero_and_so_is_what_nothing_changed(held):
    assert held.holds
    assert (held.decisions_differing, held.first_difference) == (0, "")
    assert all(held.totals[part] == 0 for part in ("decision", "fee", "queue", "data"))


def test_the_parts_add_up_to_the_gap_of_every_order_and_of_the_session(held):
    assert held.recorded - held.simulated == pytest.approx(sum(held.totals.values()), abs=1e-9)
    for part in PARTS:
        assert held.totals[part] == pytest.approx(sum(row.parts[part] for row in held.rows), abs=1e-9)


def test_every_order_of_both_runs_stands_in_one_row(held, tape):
    recorded = [row.recorded.id_order for row in held.rows if row.recorded is not None]
    simulated = [row.simulated.id_order for row in held.rows if row.simulated is not None]
    assert len(set(recorded)) == len(recorded) == np.count_nonzero(tape["kind"] == int(Kind.KIND_INTENT_PLACE))
    assert len(set(simulated)) == len(simulated)
    assert all(row.simulated.arrived_ns - row.simulated.decided_ns == 10 * MS
               for row in held.rows if row.simulated is not None and row.simulated.arrived_ns is not None)  # fmt: skip


def test_the_command_tells_the_parts_and_ends_well(journal):
    done = CliRunner().invoke(cli, ["parity", str(journal), "--latency-ms", "10", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["holds"]
    assert set(told["parts"]) == set(PARTS)
    assert told["orders"]


# ---------------------------------------------------------------------------------------------------- a tampered one
def test_a_session_whose_decision_was_changed_is_caught_though_its_sums_are_whole(journal, tape, tmp_path):
    rows = tape.copy()
    placed = np.flatnonzero(rows["kind"] == int(Kind.KIND_INTENT_PLACE))
    at = placed[len(placed) // 2]
    rows[at : at + 1].view(INTENT)["px_ticks"] += 1
    session = written_again(tmp_path / "j", find_session(journal), rows)
    assert open_session(session).damage is None
    found = run_parity(session, latency_ms=10)
    assert not found.holds
    assert found.decisions_differing == 2
    assert "intent_place" in found.first_difference
    done = CliRunner().invoke(cli, ["parity", str(session.path), "--latency-ms", "10"])
    assert done.exit_code == 1
    assert isinstance(done.exception, ParityBroken)


def test_the_amount_of_an_order_that_is_not_decided_again_is_the_decisions(journal, tape, held):
    """The whole of what it earned goes into that part, and the sum still holds."""
    rows = tape.copy()
    filled = next(row.recorded for row in held.rows if row.recorded is not None and row.recorded.fills)
    intents = np.flatnonzero(rows["kind"] == int(Kind.KIND_INTENT_PLACE))
    at = next(i for i in intents if int(rows["word"][i, 0]) == filled.id_order)
    rows["word"][at, 2] += 1
    terms = [replace(TERMS, name=str(symbol)) for symbol in range(3)]
    found = parity.compare(parity.Tapes(rows, tape, tape, tape), terms)
    assert found.decisions_differing == 2
    assert found.totals["decision"] != 0
    assert found.recorded - found.simulated == pytest.approx(sum(found.totals.values()), abs=1e-9)


def test_another_parameter_of_the_strategy_is_another_decision(journal, tape, tmp_path):
    session = find_session(journal)
    meta = json.loads(json.dumps(session.file.meta))
    meta["settings"]["strategies"]["quoter_btc"]["params"]["qty"] = 6
    found = run_parity(written_again(tmp_path / "j", session, tape, meta), latency_ms=10)
    assert found.decisions_differing > 2


def test_a_session_that_kept_no_settings_is_refused(journal, tape, tmp_path):
    with pytest.raises(ParityImpossible, match="did not keep the settings"):
        run_parity(written_again(tmp_path / "j", find_session(journal), tape[:100], {"nothing": 1}))


# ----------------------------------------------------------------------------------------------------------- the parts
def order(number, *, at=0, px=100, lots=2, sell=False, fills=()):
    return Seen(number, 0, sell, at, px, lots, fills=list(fills), ended_ns=at + 5)


def test_orders_align_by_decision_first_and_then_by_nearness():
    recorded = {1: order(1, at=0), 2: order(2, at=100 * MS), 3: order(3, at=9_000 * MS), 4: order(4, px=7)}
    other = {11: order(11, at=130 * MS), 12: order(12, at=0), 13: order(13, at=20_000 * MS), 14: order(14, sell=True)}
    assert align(recorded, other) == {1: 12, 2: 11}


def test_a_fee_that_was_not_the_settings_is_the_fee_part():
    charged = Fill(5, 100, 2, maker=True, fee=3 * 10**8, in_base=False)
    seen = order(1, fills=[charged])
    assert parity.worth(seen, TERMS, 100.0) == -3.0
    model = parity.worth(seen, TERMS, 100.0, model_fees=True)
    assert model == pytest.approx(-100 * 2 * 1e-2 * 1e-3 * 1e-3)
    in_base = replace(charged, in_base=True, fee=200)
    assert parity.charged(TERMS, in_base) == pytest.approx(200e-8 * 1.0)
    assert parity.model_fee(TERMS, in_base) == pytest.approx(2 * 1e-3 * 1e-3 * 1.0)


def test_a_hole_of_the_recording_is_known_until_the_next_quote():
    down = np.zeros(1, FEED)
    down["kind"], down["symbol"], down["up"], down["ts_recv_ns"] = Kind.KIND_FEED, 0xFFFF, 0, 50
    cleared = np.zeros(1, EVENT)
    cleared["kind"], cleared["symbol"], cleared["ts_recv_ns"] = Kind.KIND_BOOK_CLEAR, 0, 200
    tape = np.concatenate([
        quote((100, 1), (101, 1), ts_ns=10), down.view(EVENT), quote((100, 1), (101, 1), ts_ns=90), cleared,
    ])  # fmt: skip
    assert parity.holes_of(tape, 2) == {0: [(50, 90), (200, 200)], 1: [(50, 200)]}
    assert parity.holes_of(tape[:1], 2) == {}


def test_journeys_are_read_off_what_the_venue_said():
    def record(kind, number, *, venue, recv, flags=0):
        out = np.zeros(1, EVENT)
        out["kind"], out["ts_venue_ns"], out["ts_recv_ns"], out["flags"] = kind, venue, recv, flags
        out["word"][0, 0] = number
        return out

    found = Journeys(np.concatenate([
        record(Kind.KIND_INTENT_PLACE, 7, venue=0, recv=100, flags=int(Flag.FLAG_SELL)),
        record(Kind.KIND_ORDER_ACK, 7, venue=130, recv=150),
        record(Kind.KIND_INTENT_CANCEL, 7, venue=0, recv=200),
        record(Kind.KIND_ORDER_CANCELED, 7, venue=260, recv=300),
        record(Kind.KIND_INTENT_PLACE, 8, venue=0, recv=400),
    ]))  # fmt: skip
    assert list(found.out[int(Kind.KIND_INTENT_PLACE), 7]) == [30]
    assert list(found.out[int(Kind.KIND_INTENT_CANCEL), 7]) == [60]
    assert (int(Kind.KIND_INTENT_PLACE), 8) not in found.out
    assert list(found.back[int(Kind.KIND_ORDER_CANCELED), 7]) == [40]
    assert found.shortest_ns == 20

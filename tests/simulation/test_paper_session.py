"""The whole path once: market, core, strategy, gate, venue, tape - and its replay, equal to the byte."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core.tape import Tape
from engine._core.types import EVENT, INTENT, Kind
from engine.errors import ReplayDiverged
from engine.journal.replay import replay
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS, PaperSession, make_core
from engine.sim.market import random_walk


def session(tmp_path, *, seed=3, count=4000):
    paper = PaperSession(tmp_path, seed=seed, tape_capacity=10 * count)
    paper.run(random_walk(seed=seed, count=count))
    return paper


def test_a_session_trades_and_its_world_is_sound(tmp_path):
    paper = session(tmp_path)
    paper.core.world.check()
    counts = paper.core.world.counts
    assert counts["intents"] > 100
    assert counts["fills"] > 10
    assert counts["illegal_reports"] == 0
    assert counts["refused"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_replay_equals_the_session_byte_for_byte(tmp_path, seed):
    paper = session(tmp_path, seed=seed)
    replayed = replay(make_core(seed=seed), Tape(paper.tape.path))
    assert replayed.state_hash == paper.core.world.state_hash()
    assert replayed.inputs + replayed.outputs == paper.tape.count


def test_a_changed_input_is_found_by_the_replay(tmp_path):
    paper = session(tmp_path)
    records = paper.tape.records()
    quote = int(np.flatnonzero(records["kind"] == Kind.KIND_QUOTE)[200])
    records["word"][quote, 0] -= 1
    changed = Tape(tmp_path / "changed.b4", capacity=len(records), write=True)
    changed.append(records)
    with pytest.raises(ReplayDiverged, match="event"):
        replay(make_core(seed=3), changed)


def test_a_removed_output_is_found_by_the_replay(tmp_path):
    paper = session(tmp_path)
    records = paper.tape.records()
    output = int(np.flatnonzero(records["kind"] == Kind.KIND_INTENT_PLACE)[5])
    changed = Tape(tmp_path / "changed.b4", capacity=len(records), write=True)
    changed.append(np.delete(records, output))
    with pytest.raises(ReplayDiverged):
        replay(make_core(seed=3), changed)


def test_the_same_seed_gives_the_same_tape_and_another_seed_another(tmp_path):
    tapes = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / name).mkdir()
        tapes.append(session(tmp_path / name, seed=seed).tape.records().tobytes())
    assert tapes[0] == tapes[1] != tapes[2]


def test_the_position_is_the_sum_of_the_fills_on_the_tape(tmp_path):
    paper = session(tmp_path)
    records = paper.tape.records()
    fills = records[records["kind"] == Kind.KIND_ORDER_FILL]
    signs = np.where(fills["flags"] & 4, -1, 1)
    position = paper.core.world.positions()[0]
    assert position["lots"] == int((signs * fills["word"][:, 2]).sum())
    unit_value = INSTRUMENT["tick_e8"] * INSTRUMENT["lot_e8"] // 10**8
    assert position["cash_value"] == -unit_value * int((signs * fills["word"][:, 1] * fills["word"][:, 2]).sum())


def test_the_position_never_passes_its_limit_even_if_everything_open_fills(tmp_path):
    paper = session(tmp_path, count=8000)
    records = paper.tape.records()
    fills = records[records["kind"] == Kind.KIND_ORDER_FILL]
    held = np.cumsum(np.where(fills["flags"] & 4, -1, 1) * fills["word"][:, 2])
    # 2 % of the equity at the market's price, in lots.
    most = ACCOUNT["equity"] * LIMITS["position_share_ppm"] // 10**6 / (GATE_SYMBOL["value_q32"] >> 32) / 49_000
    assert 0 < abs(held).max() <= most


def test_every_placed_order_carries_the_gates_token_and_an_id_of_its_own(tmp_path):
    records = session(tmp_path).tape.records()
    places = records[records["kind"] == Kind.KIND_INTENT_PLACE].view(INTENT)
    assert (places["token"] != 0).all()
    assert len(set(places["id_order"].tolist())) == len(places)


def test_the_latch_stops_every_new_order_and_lets_cancels_pass(tmp_path):
    market = random_walk(seed=3, count=4000)
    control = np.zeros(1, EVENT)
    control["kind"] = Kind.KIND_CONTROL
    control["ts_recv_ns"] = market["ts_recv_ns"][2000]
    control["word"][0, 0] = 1
    paper = PaperSession(tmp_path, seed=3, tape_capacity=40_000)
    paper.run(np.concatenate([market[:2000], control, market[2000:]]))
    records = paper.tape.records()
    after = records[int(np.flatnonzero(records["kind"] == Kind.KIND_CONTROL)[0]) :]
    assert (after["kind"] != Kind.KIND_INTENT_PLACE).all()
    assert (after["kind"] == Kind.KIND_INTENT_CANCEL).any()
    assert paper.core.world.live_orders().size == 0
    assert paper.core.world.counts["denied"] > 0

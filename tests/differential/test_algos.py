"""Execution algorithms: the kernel and its twin, and what every parent order may rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine._core import algos as core
from engine._core.algos import AlgoKind, AlgoState, CatchUp, EndPolicy, Style
from engine.errors import AlgoBadConfig, AlgoNotLive, AlgoTableFull, AlgoUnknown, AlgoUnknownChild
from engine.model import algos as model

STEM = "algos"
BID, ASK = 100, 101
BASE = {
    "kind": AlgoKind.ALGO_TWAP,
    "qty_lots": 100,
    "start_ns": 1_000,
    "end_ns": 2_000,
    "slice_ns": 100,
    "slice_min_lots": 1,
    "catch_up": CatchUp.CATCH_UP_AT_ONCE,
}


def start(impl, **fields):
    algos = impl.Algos(capacity=4)
    return algos, algos.start(**(BASE | fields))


def run_whole(algos, parent, times, *, fill=1.0, volume=0, seed=0):
    """Drive a parent; each child is filled with a share and the rest ends. Returns [(time, qty, filled)]."""
    rng = np.random.default_rng(seed)
    children = []
    for now in times:
        if volume:
            algos.volume(0, volume)
        for action in algos.time(parent, now, BID, ASK):
            if action[0] == "cancel":
                algos.child_ended(parent, action[1])
            else:
                qty = action[2]
                done = min(qty, int(rng.integers(0, qty + 1))) if fill is None else int(qty * fill)
                children.append((now, qty, done))
                if done:
                    algos.fill(parent, action[1], done)
                if done < qty:
                    algos.child_ended(parent, action[1])
        algos.check()
    return children


# ------------------------------------------------------------------------------------------------------ the schedules
def test_twap_cuts_the_parent_into_equal_slices(impl):
    algos, parent = start(impl)
    children = run_whole(algos, parent, range(1_000, 2_100, 10))
    assert [qty for _, qty, _ in children] == [10] * 10
    assert [now for now, _, _ in children] == list(range(1_000, 2_000, 100))
    assert algos.row(parent)["state"] == AlgoState.ALGO_FILLED


def test_twap_of_an_uneven_parent_loses_nothing(impl):
    algos, parent = start(impl, qty_lots=103, slice_ns=130)
    children = run_whole(algos, parent, range(1_000, 2_100, 10))
    assert sum(qty for _, qty, _ in children) == 103
    assert max(qty for _, qty, _ in children) - min(qty for _, qty, _ in children) <= 1


def test_vwap_follows_its_profile(impl):
    algos, parent = start(impl, kind=AlgoKind.ALGO_VWAP, weights=(1, 2, 6, 1), slice_ns=250)
    children = run_whole(algos, parent, range(1_000, 2_100, 10))
    assert [qty for _, qty, _ in children] == [10, 20, 60, 10]


def test_vwap_is_linear_inside_a_bucket(impl):
    algos, parent = start(impl, kind=AlgoKind.ALGO_VWAP, weights=(3, 1), slice_ns=100)
    children = run_whole(algos, parent, range(1_000, 2_100, 10))
    assert [qty for _, qty, _ in children] == [15, 15, 15, 15, 15, 5, 5, 5, 5, 5]


def test_a_bucket_without_weight_trades_nothing(impl):
    algos, parent = start(impl, kind=AlgoKind.ALGO_VWAP, weights=(1, 0, 1), slice_ns=100, end_ns=1_300)
    children = run_whole(algos, parent, range(1_000, 1_400, 10))
    assert [(now, qty) for now, qty, _ in children] == [(1_000, 50), (1_200, 50)]


def test_pov_stays_at_its_share_of_the_volume(impl):
    algos, parent = start(impl, kind=AlgoKind.ALGO_POV, cap_e8=10_000_000, slice_ns=10)
    children = run_whole(algos, parent, range(1_000, 2_000, 10), volume=7)
    row = algos.row(parent)
    assert row["filled_lots"] == sum(qty for _, qty, _ in children) == row["volume_lots"] // 10
    assert row["state"] == AlgoState.ALGO_WORKING
    run_whole(algos, parent, [2_000])
    assert algos.row(parent)["state"] == AlgoState.ALGO_SHORT


def test_pov_without_volume_does_nothing(impl):
    algos, parent = start(impl, kind=AlgoKind.ALGO_POV, cap_e8=100_000_000)
    assert run_whole(algos, parent, range(1_000, 2_100, 10)) == []
    assert algos.row(parent)["state"] == AlgoState.ALGO_SHORT


def test_volume_before_the_start_and_of_another_symbol_does_not_count(impl):
    algos, parent = start(impl, kind=AlgoKind.ALGO_POV, cap_e8=100_000_000)
    algos.volume(0, 50)
    algos.time(parent, 1_000, BID, ASK)
    algos.volume(1, 50)
    algos.volume(0, 3)
    algos.volume(0, -3)
    assert algos.row(parent)["volume_lots"] == 3


def test_the_participation_cap_holds_a_twap_back(impl):
    algos, parent = start(impl, cap_e8=20_000_000)
    children = run_whole(algos, parent, range(1_000, 2_000, 10), volume=2)
    row = algos.row(parent)
    assert 0 < row["filled_lots"] <= row["volume_lots"] // 5
    assert sum(qty for _, qty, _ in children) == row["filled_lots"]


# -------------------------------------------------------------------------------------------------------- catching up
def test_missed_slices_are_made_up_at_once(impl):
    algos, parent = start(impl)
    assert [c[1] for c in run_whole(algos, parent, [1_000, 1_350])] == [10, 30]


def test_missed_slices_are_spread_over_those_left(impl):
    algos, parent = start(impl, catch_up=CatchUp.CATCH_UP_SPREAD)
    assert [c[1] for c in run_whole(algos, parent, [1_000, 1_350])] == [10, 10 + 3]
    children = run_whole(algos, parent, range(1_400, 2_100, 100))
    assert algos.row(parent)["filled_lots"] == 100
    assert max(qty for _, qty, _ in children) <= 13


def test_missed_slices_are_given_up(impl):
    algos, parent = start(impl, catch_up=CatchUp.CATCH_UP_NEVER)
    run_whole(algos, parent, [1_000, 1_350, *range(1_400, 2_100, 100)])
    row = algos.row(parent)
    assert (row["filled_lots"], row["given_up_lots"], row["state"]) == (80, 20, AlgoState.ALGO_SHORT)


def test_a_slice_below_the_minimum_waits_for_the_next(impl):
    algos, parent = start(impl, qty_lots=20, slice_min_lots=5, catch_up=CatchUp.CATCH_UP_NEVER)
    children = run_whole(algos, parent, range(1_000, 2_100, 10))
    assert sum(qty for _, qty, _ in children) == 20
    assert min(qty for _, qty, _ in children) >= 5
    assert algos.row(parent)["given_up_lots"] == 0


def test_no_child_is_larger_than_the_maximum(impl):
    algos, parent = start(impl, slice_ns=1_000, slice_max_lots=7)
    children = run_whole(algos, parent, range(1_000, 2_000, 10))
    assert max(qty for _, qty, _ in children) == 7
    assert sum(qty for _, qty, _ in children) == 100


def test_the_rest_left_over_is_never_too_small_to_place(impl):
    algos, parent = start(impl, qty_lots=11, slice_ns=1_000, slice_min_lots=3, slice_max_lots=9)
    assert [c[1] for c in run_whole(algos, parent, range(1_000, 2_000, 10))] == [8, 3]


# ------------------------------------------------------------------------------------------------- price and the end
def test_a_taker_pays_the_touch_and_a_rester_joins_it(impl):
    for sell, style, px in ((0, 0, ASK), (0, 1, BID), (1, 0, BID), (1, 1, ASK)):
        algos, parent = start(impl, sell=sell, style=style)
        assert algos.time(parent, 1_000, BID, ASK) == [("place", 1, 10, px, style == 0)]


@pytest.mark.parametrize(("sell", "limit"), [(0, 99), (1, 102)])
def test_beyond_the_limit_a_taker_waits_and_a_rester_rests_at_it(impl, sell, limit):
    algos, parent = start(impl, sell=sell, limit_px_ticks=limit)
    assert algos.time(parent, 1_000, BID, ASK) == []
    assert len(algos.time(parent, 1_050, limit, limit)) == 1
    algos, parent = start(impl, sell=sell, limit_px_ticks=limit, style=Style.STYLE_REST)
    assert algos.time(parent, 1_000, BID, ASK)[0][3] == limit


def test_without_a_touch_nothing_is_placed(impl):
    algos, parent = start(impl)
    assert algos.time(parent, 1_000, 0, 0) == []
    assert algos.time(parent, 1_010, BID, 0) == []


def test_the_sweep_takes_what_is_left_in_one_child(impl):
    algos, parent = start(impl, end_policy=EndPolicy.END_SWEEP, catch_up=CatchUp.CATCH_UP_SPREAD)
    children = run_whole(algos, parent, range(1_000, 2_000, 100), fill=0.5)
    filled = sum(done for _, _, done in children)
    assert algos.time(parent, 2_000, BID, ASK) == [("place", len(children) + 1, 100 - filled, ASK, True)]
    algos.fill(parent, len(children) + 1, 100 - filled)
    assert algos.row(parent)["state"] == AlgoState.ALGO_FILLED


def test_the_end_waits_for_the_child_that_is_out(impl):
    algos, parent = start(impl, style=Style.STYLE_REST)
    algos.time(parent, 1_900, BID, ASK)
    assert algos.time(parent, 2_000, BID, ASK) == [("cancel", 1)]
    assert algos.time(parent, 2_010, BID, ASK) == []
    algos.fill(parent, 1, 4)
    assert algos.row(parent)["state"] == AlgoState.ALGO_ENDING
    algos.child_ended(parent, 1)
    algos.time(parent, 2_020, BID, ASK)
    assert (algos.row(parent)["state"], algos.row(parent)["filled_lots"]) == (AlgoState.ALGO_SHORT, 4)


# ----------------------------------------------------------------------------------------------------- children's fates
def test_one_child_is_out_at_a_time_and_an_old_one_is_taken_back_first(impl):
    algos, parent = start(impl, style=Style.STYLE_REST)
    assert algos.time(parent, 1_000, BID, ASK)[0][0] == "place"
    assert algos.time(parent, 1_050, BID, ASK) == []
    assert algos.time(parent, 1_100, BID, ASK) == [("cancel", 1)]
    assert algos.time(parent, 1_110, BID, ASK) == []
    algos.child_ended(parent, 1)
    assert algos.time(parent, 1_120, BID, ASK) == [("place", 2, 20, BID, False)]


def test_a_refused_cancel_is_asked_again(impl):
    algos, parent = start(impl, style=Style.STYLE_REST)
    algos.time(parent, 1_000, BID, ASK)
    algos.time(parent, 1_100, BID, ASK)
    algos.cancel_refused(parent, 1)
    assert algos.time(parent, 1_110, BID, ASK) == [("cancel", 1)]


def test_a_rejected_child_is_tried_once_a_slice_and_not_once_an_event(impl):
    algos, parent = start(impl)
    placed = 0
    for now in range(1_000, 2_000, 5):
        for action in algos.time(parent, now, BID, ASK):
            placed += 1
            algos.child_ended(parent, action[1])
    assert placed == 10


def test_a_fill_after_the_childs_end_shrinks_what_is_still_to_do(impl):
    algos, parent = start(impl)
    algos.time(parent, 1_000, BID, ASK)
    algos.child_ended(parent, 1)
    algos.fill(parent, 1, 10)
    row = algos.row(parent)
    assert (row["filled_lots"], row["late_lots"]) == (10, 10)
    children = run_whole(algos, parent, range(1_100, 2_100, 100))
    assert sum(qty for _, qty, _ in children) == 90


def test_a_late_fill_takes_back_a_child_that_would_be_too_much(impl):
    algos, parent = start(impl, slice_ns=1_000, style=Style.STYLE_REST, end_ns=2_000)
    algos.time(parent, 1_000, BID, ASK)
    algos.child_ended(parent, 1)
    algos, parent = start(impl, slice_ns=500, style=Style.STYLE_REST)
    algos.time(parent, 1_000, BID, ASK)
    algos.child_ended(parent, 1)
    assert algos.time(parent, 1_500, BID, ASK) == [("place", 2, 100, BID, False)]
    algos.fill(parent, 1, 50)
    assert algos.time(parent, 1_510, BID, ASK) == [("cancel", 2)]
    algos.check()


def test_a_fill_beyond_the_child_is_counted_as_late(impl):
    algos, parent = start(impl)
    algos.time(parent, 1_000, BID, ASK)
    algos.fill(parent, 1, 15)
    assert (algos.row(parent)["filled_lots"], algos.row(parent)["late_lots"]) == (15, 5)


def test_cancel_takes_the_child_back_and_places_nothing_more(impl):
    algos, parent = start(impl, style=Style.STYLE_REST)
    algos.time(parent, 1_000, BID, ASK)
    algos.cancel(parent)
    assert algos.time(parent, 1_010, BID, ASK) == [("cancel", 1)]
    algos.fill(parent, 1, 3)
    algos.child_ended(parent, 1)
    assert algos.row(parent)["state"] == AlgoState.ALGO_CANCELED
    assert algos.time(parent, 1_500, BID, ASK) == []


def test_cancel_before_the_start_is_over_at_once(impl):
    algos, parent = start(impl)
    algos.cancel(parent)
    assert algos.row(parent)["state"] == AlgoState.ALGO_CANCELED
    with pytest.raises(AlgoNotLive):
        algos.cancel(parent)


def test_time_that_runs_backwards_is_taken_as_now(impl):
    algos, parent = start(impl)
    algos.time(parent, 1_500, BID, ASK)
    algos.fill(parent, 1, 60)
    assert algos.time(parent, 1_000, BID, ASK) == []
    assert algos.row(parent)["slice_index"] == 5


# ------------------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    "fields",
    [
        {"kind": 0}, {"kind": 4}, {"kind": -1}, {"catch_up": -1}, {"style": -1}, {"end_policy": -1}, {"sell": -1},
        {"sell": 2}, {"symbol": -1}, {"qty_lots": 0}, {"qty_lots": -1}, {"qty_lots": 2**43},
        {"start_ns": -1}, {"end_ns": 1_000}, {"end_ns": 1_000 + 2**47}, {"slice_ns": 0}, {"slice_ns": -5},
        {"slice_min_lots": 0}, {"slice_min_lots": 101}, {"slice_max_lots": -1}, {"cap_e8": -1}, {"cap_e8": 10**8 + 1},
        {"slice_min_lots": 5, "slice_max_lots": 4}, {"catch_up": 3}, {"style": 2}, {"end_policy": 2},
        {"limit_px_ticks": -1}, {"weights": (1,)}, {"kind": AlgoKind.ALGO_POV},
        {"kind": AlgoKind.ALGO_VWAP}, {"kind": AlgoKind.ALGO_VWAP, "weights": (0, 0)},
        {"kind": AlgoKind.ALGO_VWAP, "weights": (-1, 2)}, {"kind": AlgoKind.ALGO_VWAP, "weights": (2**31,)},
        {"kind": AlgoKind.ALGO_VWAP, "weights": (1,) * 33},
    ],
)  # fmt: skip
def test_a_contradiction_in_the_settings_is_refused(impl, fields):
    algos = impl.Algos(capacity=4)
    with pytest.raises(AlgoBadConfig):
        algos.start(**(BASE | fields))
    assert algos.live_count == 0


def test_a_full_table_refuses_and_an_ended_row_can_be_given_back(impl):
    algos = impl.Algos(capacity=1)
    first = algos.start(**BASE)
    with pytest.raises(AlgoTableFull):
        algos.start(**BASE)
    with pytest.raises(AlgoNotLive):
        algos.release(first)
    algos.cancel(first)
    algos.release(first)
    second = algos.start(**BASE)
    assert second != first
    assert algos.refused_count == 1
    with pytest.raises(AlgoUnknown):
        algos.row(first)


@pytest.mark.parametrize("call", ["fill", "child_ended", "cancel_refused"])
def test_a_child_that_never_was_is_refused(impl, call):
    algos, parent = start(impl)
    algos.time(parent, 1_000, BID, ASK)
    for child in (0, 2, -1):
        with pytest.raises(AlgoUnknownChild):
            getattr(algos, call)(parent, child, *((1,) if call == "fill" else ()))


@pytest.mark.parametrize("qty", [0, -1, 2**43, 2**63 - 1])
def test_an_impossible_fill_is_refused_and_changes_nothing(impl, qty):
    algos, parent = start(impl)
    algos.time(parent, 1_000, BID, ASK)
    before = algos.row(parent)
    with pytest.raises(AlgoBadConfig):
        algos.fill(parent, 1, qty)
    assert algos.row(parent) == before


def test_the_largest_parent_keeps_its_schedule_exact(impl):
    span = 2**47 - 1
    weights = tuple(2**31 - 1 - i for i in range(32))
    algos, parent = start(
        impl, kind=AlgoKind.ALGO_VWAP, qty_lots=2**43 - 1, start_ns=0, end_ns=span, slice_ns=span // 97, weights=weights
    )
    run_whole(algos, parent, range(0, span, span // 97))
    assert algos.row(parent)["filled_lots"] == 2**43 - 1


# ------------------------------------------------------------------------------------------------------------ iceberg
def shown(impl, **fields):
    """Twenty lots, six of them shown, at 99; nobody waits longer than ten nanoseconds after a refusal."""
    return start(impl, **({"kind": AlgoKind.ALGO_ICEBERG, "qty_lots": 20, "slice_max_lots": 6, "limit_px_ticks": 99,
                           "end_ns": 0, "slice_ns": 10, "style": Style.STYLE_REST} | fields))  # fmt: skip


def test_an_iceberg_shows_one_part_after_the_other_at_its_own_price(impl):
    algos, parent = shown(impl)
    parts = []
    for child in range(1, 5):
        (action,) = algos.time(parent, 1_000 + child, BID, ASK)
        parts.append(action)
        assert algos.time(parent, 1_000 + child, BID + 5, ASK + 5) == []
        algos.fill(parent, child, action[2])
    assert parts == [("place", 1, 6, 99, False), ("place", 2, 6, 99, False), ("place", 3, 6, 99, False),
                     ("place", 4, 2, 99, False)]  # fmt: skip
    assert algos.row(parent)["state"] == AlgoState.ALGO_FILLED


def test_an_iceberg_has_no_end_and_its_part_stays_out_whatever_the_time(impl):
    algos, parent = shown(impl)
    algos.time(parent, 1_001, BID, ASK)
    for now in (2_000, 10**15, 2**62):
        assert algos.time(parent, now, BID, ASK) == []
    algos.fill(parent, 1, 2)
    assert algos.time(parent, 2**62, BID, ASK) == []
    assert (algos.row(parent)["filled_lots"], algos.row(parent)["open_lots"]) == (2, 4)


def test_an_iceberg_whose_part_was_refused_tries_again_after_its_wait(impl):
    algos, parent = shown(impl)
    algos.time(parent, 1_001, BID, ASK)
    algos.child_ended(parent, 1)
    assert algos.time(parent, 1_009, BID, ASK) == []
    assert algos.time(parent, 1_010, BID, ASK) == [("place", 2, 6, 99, False)]


@pytest.mark.parametrize(
    "wrong",
    [{"end_ns": 2_000}, {"limit_px_ticks": 0}, {"slice_max_lots": 0}, {"cap_e8": 1}, {"style": Style.STYLE_TAKE},
     {"end_policy": EndPolicy.END_SWEEP}, {"weights": (1,)}],
)  # fmt: skip
def test_an_iceberg_with_what_only_a_schedule_has_is_refused(impl, wrong):
    with pytest.raises(AlgoBadConfig):
        shown(impl, **wrong)


# ---------------------------------------------------------------------------------------------------------- properties
configs = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([1, 2, 3]),
        "sell": st.integers(0, 1),
        "qty_lots": st.integers(1, 60),
        "start_ns": st.integers(0, 20),
        "span": st.integers(1, 60),
        "slice_ns": st.integers(1, 25),
        "slice_min_lots": st.integers(1, 6),
        "slice_max_lots": st.sampled_from([0, 0, 6, 9]),
        "cap_e8": st.sampled_from([0, 10**8, 5 * 10**7, 33_333_333]),
        "catch_up": st.integers(0, 2),
        "style": st.integers(0, 1),
        "end_policy": st.integers(0, 1),
        "limit_px_ticks": st.sampled_from([0, 0, 99, 100, 101, 102]),
        "weights": st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any),
    }
)


def whole(config):
    """A drawn dictionary as settings that are accepted."""
    fields = dict(config)
    fields["end_ns"] = fields["start_ns"] + fields.pop("span")
    fields["qty_lots"] = max(fields["qty_lots"], fields["slice_min_lots"])
    fields["weights"] = tuple(fields["weights"]) if fields["kind"] == 2 else ()
    if fields["kind"] == 3 and not fields["cap_e8"]:
        fields["cap_e8"] = 25_000_000
    return fields


@given(configs, st.integers(0, 2**32), st.sampled_from([1.0, 0.0, 0.5, None]))
@settings(max_examples=300)
def test_every_parent_finishes_with_its_children_at_most_the_parent(config, seed, fill):
    fields = whole(config)
    algos = core.Algos(capacity=1)
    parent = algos.start(**fields)
    children = run_whole(algos, parent, range(fields["end_ns"] + 3), fill=fill, volume=2, seed=seed)
    row = algos.row(parent)
    assert row["state"] in (AlgoState.ALGO_FILLED, AlgoState.ALGO_SHORT)
    assert row["open_lots"] == 0
    assert sum(done for _, _, done in children) == row["filled_lots"] <= fields["qty_lots"]
    assert (row["state"] == AlgoState.ALGO_FILLED) == (row["filled_lots"] == fields["qty_lots"])
    for now, qty, _ in children:
        assert qty >= fields["slice_min_lots"]
        assert not fields["slice_max_lots"] or qty <= fields["slice_max_lots"]
        assert now >= fields["start_ns"]


@given(configs.filter(lambda c: c["kind"] != 3), st.integers(0, 2**32))
@settings(max_examples=300)
def test_no_parent_is_ever_ahead_of_its_schedule(config, seed):
    fields = whole(config) | {"cap_e8": 0}
    algos, twin = core.Algos(capacity=1), model.Algos(capacity=1)
    parent = algos.start(**fields)
    plan = twin.parents[twin.start(**fields)]
    children = run_whole(algos, parent, range(fields["end_ns"]), fill=None, seed=seed)
    filled = 0
    for now, qty, done in children:
        index = (now - fields["start_ns"]) // fields["slice_ns"]
        assert filled + qty <= plan.cumulative(index)
        filled += done


@given(configs.filter(lambda c: c["kind"] != 3))
@settings(max_examples=200)
def test_where_everything_fills_the_whole_parent_is_done(config):
    fields = whole(config) | {"cap_e8": 0, "limit_px_ticks": 0, "catch_up": 2, "slice_max_lots": 0}
    algos = core.Algos(capacity=1)
    parent = algos.start(**fields)
    run_whole(algos, parent, range(fields["end_ns"]))
    assert algos.row(parent)["state"] == AlgoState.ALGO_FILLED


class Twins(RuleBasedStateMachine):
    """The same random life of two parents in both."""

    def __init__(self):
        super().__init__()
        self.now = 0
        self.ids = []

    @initialize()
    def make(self):
        self.both = (core.Algos(capacity=2), model.Algos(capacity=2))

    def same(self, call):
        answers = []
        for algos in self.both:
            try:
                answers.append(call(algos))
            except (AlgoBadConfig, AlgoNotLive, AlgoTableFull, AlgoUnknown, AlgoUnknownChild) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[0]

    @rule(config=configs)
    def start(self, config):
        fields = whole(config)
        fields["start_ns"] += self.now
        fields["end_ns"] += self.now
        answer = self.same(lambda algos: algos.start(**fields))
        if isinstance(answer, int):
            self.ids.append(answer)

    @rule(qty=st.integers(1, 60), part=st.integers(1, 60), px=st.integers(0, 101), sell=st.integers(0, 1),
          wrong=st.sampled_from([{}, {}, {"end_ns": 9}, {"style": 0}, {"end_policy": 1}, {"cap_e8": 5}]))  # fmt: skip
    def show(self, qty, part, px, sell, wrong):
        fields = {"kind": AlgoKind.ALGO_ICEBERG, "sell": sell, "qty_lots": qty, "limit_px_ticks": px, "slice_ns": 7,
                  "slice_min_lots": 1, "slice_max_lots": part, "start_ns": self.now, "style": 1} | wrong  # fmt: skip
        answer = self.same(lambda algos: algos.start(**fields))
        if isinstance(answer, int):
            self.ids.append(answer)

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(), step=st.integers(-2, 15), bid=st.sampled_from([0, 98, 99, 100, 101]), spread=st.integers(1, 2)
    )
    def time(self, data, step, bid, spread):
        self.now = max(0, self.now + step)
        parent = data.draw(st.sampled_from(self.ids))
        self.same(lambda algos: algos.time(parent, self.now, bid, bid + spread))

    @rule(symbol=st.integers(0, 1), qty=st.sampled_from([-1, 0, 1, 5, 40, 2**62]))
    def volume(self, symbol, qty):
        self.same(lambda algos: algos.volume(symbol, qty))

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(),
        back=st.sampled_from([0, 0, 0, 1, 2]),
        qty=st.integers(0, 8),
        call=st.sampled_from(["fill", "fill", "child_ended", "cancel_refused"]),
    )
    def report(self, data, back, qty, call):
        parent = data.draw(st.sampled_from(self.ids))
        newest = self.both[0].row(parent)["child"]
        self.same(lambda algos: getattr(algos, call)(parent, newest - back, *((qty,) if call == "fill" else ())))

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), call=st.sampled_from(["cancel", "release", "release", "release"]))
    def end(self, data, call):
        parent = data.draw(st.sampled_from(self.ids))
        if self.same(lambda algos: getattr(algos, call)(parent)) is None and call == "release":
            self.ids.remove(parent)

    @invariant()
    def agree(self):
        if not hasattr(self, "both"):
            return
        for algos in self.both:
            algos.check()
        for parent in self.ids:
            self.same(lambda algos, parent=parent: algos.row(parent))
        self.same(lambda algos: (algos.live_count, algos.refused_count))


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)

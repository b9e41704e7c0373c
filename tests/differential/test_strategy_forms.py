"""One source, three forms: plain Python, njit, built pointer. The same bytes from the same view."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine._core.strategy_abi import new_view, new_wishes
from engine.strategy.cache import Cache
from engine.strategy.compile import research
from engine.strategy.dialect import reference
from engine.strategy.differential import compare, generated_views, run, same_bytes
from engine.strategy.registry import find, names

OURS = [*names(), "strategies._template"]
SAMPLES = ["arithmetic", "floats", "raising"]
ALL = OURS + [f"tests.support.strategies.{name}" for name in SAMPLES]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("strategies"))


@pytest.fixture(scope="module", params=ALL)
def forms(request, cache):
    definition = find(request.param)
    views = generated_views(11, 3_000, definition.parameters)
    jitted = research(definition.decide)

    def as_in_the_loop(view, wishes):
        try:
            answer = jitted(view, wishes)
        except Exception:  # noqa: BLE001  (research shows what the loop turns into a stop)
            return 0
        return 1 if answer == 1 else 0

    python = reference(definition.decide)
    return {
        "name": request.param,
        "views": views,
        "python": lambda view, wishes: 1 if python(view, wishes) == 1 else 0,
        "njit": as_in_the_loop,
        "built": cache.build(definition.decide, definition.parameters),
    }


def test_python_and_built_leave_the_same_bytes(forms):
    assert compare(forms["python"], forms["built"], forms["views"]) is None


def test_njit_and_built_leave_the_same_bytes(forms):
    assert compare(forms["njit"], forms["built"], forms["views"]) is None


def test_the_views_reach_more_than_one_outcome(forms):
    outcomes = (run(forms["built"], forms["views"][i : i + 1]) for i in range(1_000))
    assert len({(answer, wishes.tobytes(), view["state"].tobytes()) for answer, view, wishes in outcomes}) > 3


# Short bars and no warm-up, so that every part of a strategy speaks within one session.
QUICK = {"bar_s": 1, "rest_s": 1, "warm_bars": 5, "warm_s": 1, "hold_bars": 5, "dip_moves": 0.5, "slope_min": 0.0}


@pytest.mark.parametrize("name", names())
def test_a_whole_session_with_its_state_carried_along_is_the_same_in_all_three(cache, name):
    definition = find(name)
    own = {parameter.name for parameter in definition.parameters}
    ints, floats = definition.values({key: value for key, value in QUICK.items() if key in own})
    jitted = research(definition.decide)
    wished = []
    ends = []
    for form in (reference(definition.decide), jitted, cache.build(definition.decide, definition.parameters)):
        rng = np.random.default_rng(3)
        view, last = new_view(), 50_000
        view["params"][: len(ints)], view["params_f64"][: len(floats)] = ints, floats
        view["book_trusted"], view["tick_e8"], view["lot_e8"], view["peer_count"], seen = 1, 10**6, 10**5, 1, []
        peer = view["peers"][0]
        peer["book_trusted"], peer["tick_e8"], peer["lot_e8"] = 1, 10**6, 10**5
        for i in range(3_000):
            # A drift that turns now and then, so that trends, dips and reversals all occur.
            last += int(rng.integers(-6, 7)) + (3 if i // 500 % 2 else -3)
            wishes = new_wishes()
            view["now_ns"] = 10**18 + i * 10**8
            view["bid_px_ticks"], view["ask_px_ticks"], view["last_px_ticks"] = last - 1, last + 1, last
            view["position_lots"] = int(rng.integers(-1, 2)) * 10 if i // 50 % 2 else 0
            # Another market of the same thing: now dearer, now cheaper, paid for differently, and held as well.
            other = last + int(rng.integers(-600, 601))
            peer["bid_px_ticks"], peer["ask_px_ticks"] = other - 1, other + 1
            peer["position_lots"] = int(rng.integers(-2, 3)) * 10 if i // 70 % 2 else 0
            view["book_ns"] = peer["book_ns"] = view["funding_ns"] = peer["funding_ns"] = view["now_ns"]
            view["funding_rate_e8"], peer["funding_rate_e8"] = (int(n) for n in rng.integers(-50_000, 50_001, 2))
            # What a strategy asks the step to compute, a model's word among it, says something else each time.
            view["features"][:] = rng.random(len(view["features"]))
            assert form(view, wishes) == 1
            seen.append(wishes.tobytes())
        wished.append(seen)
        ends.append(view.tobytes())
    assert wished[0] == wished[1] == wished[2]
    assert ends[0] == ends[1] == ends[2]
    assert len(set(wished[0])) > 20


def test_floor_division_of_negatives_is_the_floor(cache):
    arithmetic = cache.build(find("tests.support.strategies.arithmetic").decide)
    view, wishes = new_view(), new_wishes()
    view["position_lots"], view["params"][0] = -7, 2
    assert arithmetic(view, wishes) == 1
    assert (wishes["bid"][0]["kind"], wishes["bid"][0]["px_ticks"]) == (-4, 1)


def test_integers_wrap_and_division_by_zero_gives_zero(cache):
    arithmetic = cache.build(find("tests.support.strategies.arithmetic").decide)
    least = -(2**63)
    view, wishes = new_view(), new_wishes()
    view["position_lots"], view["params"][0] = least, -1
    assert arithmetic(view, wishes) == 1
    bid = wishes["bid"][0]
    assert (bid["kind"], bid["px_ticks"], bid["qty_lots"], bid["flags"]) == (least, 0, 2**63 - 1, least)
    assert wishes["ask"][1]["px_ticks"] == 0
    view["position_lots"], view["params"][0] = 2**63 - 1, 0
    assert arithmetic(view, wishes) == 1
    assert (bid["kind"], bid["px_ticks"]) == (0, 0)
    assert wishes["ask"][1]["kind"] == 0


def test_an_exception_answers_zero_and_keeps_what_was_written(cache):
    raising = cache.build(find("tests.support.strategies.raising").decide)
    view, wishes = new_view(), new_wishes()
    view["symbol"] = 1
    assert raising(view, wishes) == 0
    assert (view["state"][0], wishes["bid"][0]["kind"]) == (1, 1)


@pytest.mark.parametrize("slot", [32, 63])
def test_an_index_beyond_the_state_stops_and_writes_nothing(cache, slot):
    raising = cache.build(find("tests.support.strategies.raising").decide)
    view, wishes = new_view(), new_wishes()
    view["symbol"], view["bid_qty_lots"] = 3, slot
    before = view["state_f64"].tobytes()
    assert raising(view, wishes) == 0
    assert view["state_f64"].tobytes() == before


def test_any_answer_but_ok_is_a_stop_when_built(cache):
    raising = cache.build(find("tests.support.strategies.raising").decide)
    for answer in (0, 2, -1, 2**32 + 1, -(2**63)):
        view, wishes = new_view(), new_wishes()
        view["symbol"], view["position_lots"] = 4, answer
        assert raising(view, wishes) == 0
    view["position_lots"] = 1
    assert raising(view, wishes) == 1


def test_a_comparison_that_cannot_fail_would_show():
    # The comparison itself: one bit of state, one wish, one answer apart are all found.
    views = generated_views(1, 10)
    base = lambda view, wishes: 1  # noqa: E731

    def state(view, wishes):
        view["state"][31] ^= 1
        return 1

    def wish(view, wishes):
        wishes["ask"][1]["expire_ns"] = 1
        return 1

    for other in (state, wish, lambda view, wishes: 0):
        assert compare(base, other, views) is not None
    a, b = np.array([np.nan, 1.0]), np.array([np.nan, -np.nan])
    assert same_bytes(a[:1], b[:1])
    assert not same_bytes(a, b)


def test_the_built_object_is_the_same_in_two_builds(tmp_path):
    definition = find("strategies.quoter")
    objects = []
    for name in ("a", "b"):
        library = Cache(tmp_path / name).build(definition.decide, definition.parameters)
        objects.append(Path(library.path).read_bytes())
    assert objects[0] == objects[1]


def test_the_suite_of_samples_runs_under_numbas_bounds_check(tmp_path):
    # Rejects an index that Python would accept by wrapping and that compiled code reads unchecked.
    code = (
        "from engine.strategy.compile import research\n"
        "from engine.strategy.differential import generated_views, run\n"
        "from engine.strategy.registry import find\n"
        "for name in ('strategies.quoter', 'strategies.breakout'):\n"
        "    d = find(name)\n"
        "    f = research(d.decide)\n"
        "    views = generated_views(5, 300, d.parameters)\n"
        "    good = sum(run(f, views[i:i+1])[0] for i in range(300) if i)\n"
        "    print(name, good)\n"
    )
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.count("\n") == 2

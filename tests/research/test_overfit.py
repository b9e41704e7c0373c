"""How much is luck: splits that leak nothing, and tests that find skill where it is and none where it is not."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from engine.errors import SweepImpossible
from engine.research import figures, overfit, splits
from engine.sim import draws

S = 10**9
TIMES = np.arange(1, 101, dtype=np.int64) * S


def noise(seed, periods, trials):
    return np.random.default_rng(seed).normal(0, 1e-3, (periods, trials))


# -------------------------------------------------------------------------------------------------------------- splits
@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_walk_forward_chooses_before_it_judges_and_judges_everything_after_the_first_part(folds, rolling):
    found = splits.walk_forward(TIMES, folds, purge_ns=2 * S, rolling=rolling)
    judged = np.sum([split.test for split in found], axis=0)
    assert len(found) == folds
    assert set(judged[found[0].since_ns <= TIMES]) == {1}
    assert not judged[found[0].since_ns > TIMES].any()
    for split in found:
        assert TIMES[split.train].max() < split.since_ns - 2 * S
        assert TIMES[split.test].min() >= split.since_ns
    if rolling:
        lengths = {int(split.train.sum()) for split in found}
        assert max(lengths) - min(lengths) <= 1
    else:
        assert all(np.all(a.train <= b.train) for a, b in itertools.pairwise(found))


@pytest.mark.parametrize(("purge", "embargo"), [(0, 0), (3, 0), (0, 4), (3, 4)])
def test_purged_folds_judge_each_period_once_and_keep_their_distance(purge, embargo):
    found = splits.purged_kfold(TIMES, 4, purge_ns=purge * S, embargo_ns=embargo * S)
    assert np.all(np.sum([split.test for split in found], axis=0) == 1)
    for split in found:
        assert not np.any(split.train & split.test)
        train = TIMES[split.train]
        before, after = train[train < split.since_ns], train[train >= split.until_ns]
        assert not before.size or split.since_ns - before.max() > purge * S
        assert not after.size or after.min() - split.until_ns >= (purge + embargo) * S
        # And no farther than asked: what is thrown away is only what touches.
        kept = len(before) + len(after)
        assert kept >= len(TIMES) - split.test.sum() - 2 * purge - embargo - 2


def test_a_fold_too_short_to_choose_or_judge_is_refused():
    with pytest.raises(SweepImpossible, match="fewer folds"):
        splits.make("walk-forward", TIMES, 20, purge_ns=0, embargo_ns=0)
    with pytest.raises(SweepImpossible, match="shorter purge"):
        splits.make("purged-kfold", TIMES, 2, purge_ns=60 * S, embargo_ns=0)
    assert splits.make("none", TIMES, 2, purge_ns=0, embargo_ns=0) == []


# --------------------------------------------------------------------------------------------------------- overfitting
def by_definition(returns, blocks):
    """The probability of overfitting, written from its definition with one ratio at a time."""
    parts, worse = np.array_split(returns, blocks), []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        here = np.concatenate([parts[at] for at in chosen])
        there = np.concatenate([parts[at] for at in range(blocks) if at not in chosen])
        best = int(np.argmax([figures.sharpe(column) for column in here.T]))
        outside = np.array([figures.sharpe(column) for column in there.T])
        rank = 1 + int(np.sum(outside < outside[best]))
        omega = rank / (returns.shape[1] + 1)
        worse.append(math.log(omega / (1 - omega)) <= 0)
    return float(np.mean(worse))


@pytest.mark.parametrize("seed", range(4))
def test_the_probability_of_overfitting_is_its_definition(seed):
    returns = noise(seed, 120, 7) + np.linspace(0, 3e-4, 7)
    found = overfit.probability_of_overfitting(returns, 6)
    assert found.probability == pytest.approx(by_definition(returns, 6))
    assert len(found.logits) == 20


def test_skill_is_not_called_overfitting_and_noise_is():
    skilled = noise(1, 600, 20)
    skilled[:, 7] += 1e-3
    assert overfit.probability_of_overfitting(skilled).probability == 0.0
    of_noise = [overfit.probability_of_overfitting(noise(seed, 240, 20), 8).probability for seed in range(20)]
    assert 0.35 < np.mean(of_noise) < 0.75


def test_what_fits_one_part_of_time_only_is_overfitting():
    """Each trial earns in its own half of time and loses in the other: the best of any half is wrong elsewhere."""
    returns = noise(3, 480, 2) * 0.1
    returns[:240, 0] += 1e-3
    returns[240:, 0] -= 1e-3
    returns[:, 1] = -returns[:, 0]
    assert overfit.probability_of_overfitting(returns, 8).probability > 0.7


@pytest.mark.parametrize("shape", [(10, 5), (100, 1), (47, 3)])
def test_too_little_to_halve_has_no_probability(shape):
    assert overfit.probability_of_overfitting(noise(1, *shape)) is None


def test_ratios_are_the_sharpe_ratio_of_each_column_and_zero_without_risk():
    returns = noise(2, 50, 4)
    returns[:, 2] = 1e-3
    found = overfit.ratios(returns)
    assert found[2] == 0
    for at in (0, 1, 3):
        assert found[at] == pytest.approx(figures.sharpe(returns[:, at]), rel=1e-9)


# --------------------------------------------------------------------------------------------------------------- chance
def test_the_selection_test_does_not_call_the_best_of_noise_skill():
    """Under no edge the p-value is uniform: of 60 worlds hardly more than one in twenty falls below 0.05."""
    found = [overfit.selection_test(noise(seed, 200, 10), seed=seed, count=100) for seed in range(60)]
    assert sum(p < 0.05 for p in found) <= 8
    assert 0.3 < np.mean(found) < 0.7


def test_the_selection_test_finds_an_edge_among_many_trials():
    returns = noise(5, 400, 30)
    returns[:, 11] += 5e-4
    assert overfit.selection_test(returns, seed=1, count=400) < 0.01


def test_the_timing_test_knows_timing_from_luck():
    moves = np.random.default_rng(3).normal(size=400)
    knows = np.sign(moves)
    does_not = np.sign(np.random.default_rng(4).normal(size=400))
    assert overfit.timing_test(knows, moves, seed=1, count=300) == pytest.approx(1 / 301)
    assert overfit.timing_test(does_not, moves, seed=1, count=300) > 0.05
    assert overfit.timing_test(np.zeros(400), moves, seed=1, count=300) == 1.0


def test_monte_carlo_keeps_what_does_not_depend_on_order_and_repeats_by_seed():
    steady = overfit.monte_carlo(np.full(100, 1e-3), seed=1, count=50)
    assert steady.total_5 == steady.total_95 == pytest.approx(1.001**100 - 1)
    assert (steady.loss, steady.drawdown_95) == (0.0, 0.0)
    returns = noise(6, 300, 1)[:, 0]
    one, other = (overfit.monte_carlo(returns, seed=seed, count=200) for seed in (1, 2))
    assert one == overfit.monte_carlo(returns, seed=1, count=200)
    assert one != other
    assert one.total_5 < one.total_50 < one.total_95
    assert one.drawdown_95 < one.drawdown_50 < 0


def test_the_bootstrap_has_the_spread_that_theory_gives_independent_periods():
    returns = noise(8, 1_000, 1)[:, 0]
    found = overfit.monte_carlo(returns, seed=3, count=1_000)
    assert (found.sharpe_95 - found.sharpe_5) / (2 * 1.645) == pytest.approx(figures.sharpe_error(returns), rel=0.15)


def test_draws_are_blocks_of_the_series_and_repeat_by_seed():
    one = list(draws.resamples(1, 500, 10, 5))
    assert all(np.array_equal(a, b) for a, b in zip(one, draws.resamples(1, 500, 10, 5), strict=True))
    for index in one:
        assert index.min() >= 0
        assert index.max() < 500
        breaks = np.count_nonzero(np.diff(index) % 500 != 1)
        assert 20 < breaks < 90
    for row in draws.signs(1, 95, 10, 3):
        assert len(row) == 95
        assert set(row) <= {1.0, -1.0}
        assert all(len(set(row[at : at + 10])) == 1 for at in range(0, 95, 10))
    assert all(1 <= shift < 7 for shift in draws.rotations(1, 7, 100))
    assert draws.uniforms(1, 5, 3).tolist() == draws.uniforms(1, 5, 4)[:3].tolist()
    assert draws.uniforms(1, 5, 3).tolist() != draws.uniforms(1, 6, 3).tolist()

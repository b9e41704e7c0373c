"""The Hawkes process: its stream and its thinning against plain Python, its figures against the theory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.research import hawkes_fit
from engine.sim import distributions as d
from engine.sim.market.hawkes import Hawkes, history, uniforms

MASK = 2**64 - 1
BASE = [1.0, 0.5]
ALPHA = [[[0.3, 0.1], [0.2, 0.2]], [[0.1, 0.1], [0.0, 0.2]]]
BETA = [20.0, 2.0]


class Stream:
    """xoshiro256++ seeded by splitmix64, from their authors' descriptions."""

    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & MASK
            z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
            self.s.append(z ^ (z >> 31))

    def uniform(self):
        def turn(x, k):
            return ((x << k) | (x >> (64 - k))) & MASK

        s = self.s
        out = (turn((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = turn(s[3], 45)
        return ((out >> 11) + 0.5) / 2**53


def twin(base, alpha, beta, seed, count):
    """Ogata's thinning, as one writes it down."""
    draw, dims = Stream(seed).uniform, len(base)
    excite = [[0.0] * dims for _ in beta]
    now, out = 0, []

    def rates():
        values = []
        for target in range(dims):
            rate = base[target]
            for scale in range(len(beta)):
                rate += excite[scale][target]
            values.append(rate)
        return values

    while len(out) < count:
        bound = 0.0
        for rate in rates():
            bound += rate
        step = int(-math.log(draw()) / bound * 1e9) + 1
        now += step
        for scale, b in enumerate(beta):
            factor = math.exp(-b * (step * 1e-9))
            excite[scale] = [value * factor for value in excite[scale]]
        at, total = draw() * bound, 0.0
        for target in range(dims):
            total += base[target]
            for scale in range(len(beta)):
                total += excite[scale][target]
            if at < total:
                out.append((now, target))
                for scale, b in enumerate(beta):
                    for other in range(dims):
                        excite[scale][other] += alpha[scale][target][other] * b
                break
    return out


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_the_stream_is_the_published_one(seed):
    plain = Stream(seed)
    assert uniforms(seed, 1000).tolist() == [plain.uniform() for _ in range(1000)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_stream_is_uniform(seed):
    drawn = uniforms(seed, 20_000)
    assert drawn.min() > 0
    assert drawn.max() < 1
    assert d.ks_p_value(d.ks_distance(drawn.tolist()), len(drawn)) > 0.01


@pytest.mark.parametrize("seed", [1, 7])
def test_thinning_gives_what_plain_python_gives(seed):
    times, kinds = Hawkes(BASE, ALPHA, BETA, seed=seed).simulate(2_000)
    expected = twin(BASE, ALPHA, BETA, seed, 2_000)
    assert kinds.tolist() == [kind for _, kind in expected]
    # The two may round a logarithm differently, and each event starts from the one before.
    assert np.allclose(times, [ns for ns, _ in expected], rtol=1e-9, atol=0)


def test_rates_are_those_of_the_theory():
    times, kinds = Hawkes(BASE, ALPHA, BETA, seed=5).simulate(300_000)
    seconds = times[-1] * 1e-9
    expected = hawkes_fit.rates(np.array(BASE), np.array(ALPHA))
    assert np.bincount(kinds) / seconds == pytest.approx(expected, rel=0.03)


def test_counts_vary_together_as_the_theory_says():
    times, kinds = Hawkes(BASE, ALPHA, BETA, seed=6).simulate(600_000)
    window = 60 * 10**9
    bins = np.arange(0, times[-1] - window, window)
    counts = [np.diff(np.searchsorted(times[kinds == k], bins)) for k in range(2)]
    expected = hawkes_fit.long_run_covariance(np.array(BASE), np.array(ALPHA)) * 60
    assert np.cov(counts) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rescaled_by_their_own_intensity_gaps_are_exponential(seed):
    times, kinds = Hawkes(BASE, ALPHA, BETA, seed=seed).simulate(6_000)
    _, areas = history(times, kinds, 2, np.array(BETA))
    weight = np.array(ALPHA) * np.array(BETA)[:, None, None]
    gaps = np.diff(times, prepend=times[0])[:, None] * 1e-9 * np.array(BASE)
    rescaled = np.cumsum(gaps + np.einsum("iks,ksd->id", areas, weight), axis=0)
    for kind in range(2):
        u = 1 - np.exp(-np.diff(rescaled[kinds == kind, kind]))
        assert d.ks_p_value(d.ks_distance(u.tolist()), len(u)) > 0.01
    # The same test does see a model that is wrong: without what excites, gaps are too short too often.
    plain = np.cumsum(gaps / np.array(BASE) * 3.5, axis=0)[kinds == 0, 0]
    u = 1 - np.exp(-np.diff(plain))
    assert d.ks_p_value(d.ks_distance(u.tolist()), len(u)) < 1e-6


@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.85])
def test_the_branching_ratio_is_recovered(ratio):
    shape = np.array([[[0.6, 0.2], [0.2, 0.6]]]) / 0.8
    times, kinds = Hawkes([1.0, 1.0], shape * ratio, [10.0], seed=3).simulate(40_000)
    found = hawkes_fit.fit(times, kinds, np.array([10.0]), 2)
    assert found.branching == pytest.approx(ratio, abs=0.03)
    tied = hawkes_fit.fit(times, kinds, np.array([10.0]), 2, mirror=np.array([1, 0]))
    assert tied.branching == pytest.approx(ratio, abs=0.03)
    assert tied.alpha[0, 0, 1] == pytest.approx(tied.alpha[0, 1, 0])
    assert tied.base[0] == pytest.approx(1.0, rel=0.15)


def test_who_may_have_no_children_is_found_to_have_none():
    times, kinds = Hawkes(BASE, ALPHA, BETA, seed=4).simulate(5_000)
    found = hawkes_fit.fit(times, kinds, np.array(BETA), 2, allowed=np.array([[1, 1], [0, 1]]))
    assert (found.alpha[:, 1, 0] == 0).all()
    assert (found.alpha[:, 0, 1] > 0).any()


@pytest.mark.parametrize(
    ("base", "alpha", "beta", "why"),
    [
        ([1.0], [[[1.0]]], [1.0], "explodes"),
        ([1.0], [[[0.5]], [[0.5]]], [1.0, 2.0], "explodes"),
        ([-1.0], [[[0.1]]], [1.0], "below zero"),
        ([1.0], [[[0.1]]], [0.0], "below zero"),
        ([0.0], [[[0.1]]], [1.0], "nothing ever happens"),
        ([math.nan], [[[0.1]]], [1.0], "not a number"),
        ([1.0, 1.0], [[[0.1]]], [1.0], "alpha is"),
        ([], np.zeros((1, 0, 0)), [1.0], "0 kinds"),
        ([1.0], np.zeros((5, 1, 1)), [1.0] * 5, "5 scales"),
    ],
)
def test_a_process_that_cannot_be_is_refused(base, alpha, beta, why):
    with pytest.raises(ValueError, match=why):
        Hawkes(base, alpha, beta, seed=1)

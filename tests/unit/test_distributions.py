"""The samplers against their definitions: Kolmogorov-Smirnov at fixed seeds, p-values uniform over many."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sim import distributions as d
from engine.sim.distributions import Chances

SAMPLE = 2000
MANY = 20_000


def _uniforms(name: str, chances: Chances, n: int, other: Chances | None = None) -> list[float]:
    if name == "fill_count":
        spread = other or Chances(f"spread of {n}")
        return d.spread_poisson([chances.fill_count() for _ in range(n)], [spread.uniform() for _ in range(n)])
    if name == "fill_ratio":
        return [d.beta_cdf(chances.fill_ratio()) for _ in range(n)]
    return [d.latency_cdf(chances.latency_ns()) for _ in range(n)]


def _p_value(uniforms: list[float]) -> float:
    return d.ks_p_value(d.ks_distance(uniforms), len(uniforms))


NAMES = ["fill_count", "fill_ratio", "latency"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sampler_is_not_rejected_at_one_percent(name, seed):
    assert _p_value(_uniforms(name, Chances(seed), SAMPLE, Chances(f"spread {seed}"))) > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_p_values_over_many_seeds_are_themselves_uniform(name):
    p_values = [_p_value(_uniforms(name, Chances(seed), 200, Chances(f"spread {seed}"))) for seed in range(200)]
    assert _p_value(p_values) > 0.01


@pytest.mark.parametrize(
    "wrong",
    [
        lambda c: [d.beta_cdf(c.fill_ratio(2, 6)) for _ in range(MANY)],
        lambda c: [d.latency_cdf(c.latency_ns(3.9, 0.33)) for _ in range(MANY)],
        lambda c: [d.latency_cdf(c.latency_ns(3.93, 0.3)) for _ in range(MANY)],
        lambda c: d.spread_poisson([c.fill_count(3.15) for _ in range(MANY)], [c.uniform() for _ in range(MANY)]),
    ],
)
def test_a_sampler_that_is_slightly_off_is_rejected(wrong):
    assert _p_value(wrong(Chances(11))) < 0.01


def test_the_moments_are_the_ones_that_were_asked_for():
    chances = Chances(5)
    counts = [chances.fill_count() for _ in range(20_000)]
    ratios = [chances.fill_ratio() for _ in range(20_000)]
    latencies = sorted(chances.latency_ns() for _ in range(20_001))
    assert sum(counts) / len(counts) == pytest.approx(3.0, abs=0.05)
    assert sum(ratios) / len(ratios) == pytest.approx(2 / 7, abs=0.005)
    assert latencies[10_000] / 1e6 == pytest.approx(math.exp(3.9), rel=0.01)


def test_a_seed_means_the_same_draws_for_ever():
    c = Chances(42)
    drawn = [
        (
            c.fill_count(),
            c.fill_ratio(),
            c.latency_ns(),
            c.exponential_ns(1e6),
            c.below(9),
        )
        for _ in range(2)
    ]
    assert drawn == PINNED


def test_distribution_functions_run_from_zero_to_one():
    assert (d.beta_cdf(-1), d.beta_cdf(0), d.beta_cdf(1), d.beta_cdf(2)) == (0, 0, 1, 1)
    assert (d.latency_cdf(0), d.latency_cdf(-3)) == (0, 0)
    assert d.latency_cdf(math.exp(3.9) * 1e6) == pytest.approx(0.5)
    assert d.poisson_cdf(-1) == 0
    assert d.poisson_cdf(60) == pytest.approx(1)
    assert d.poisson_mass(3) == pytest.approx(math.exp(-3) * 27 / 6)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_beta_distribution_function_never_falls(x, y):
    low, high = sorted((x, y))
    assert d.beta_cdf(low) <= d.beta_cdf(high) + 1e-12


def test_known_p_values_of_kolmogorov():
    # Kolmogorov's limits: 1.3581 and 1.6276 are the 5 % and 1 % points.
    n = 10**9
    assert d.ks_p_value(1.3581 / math.sqrt(n), n) == pytest.approx(0.05, abs=1e-4)
    assert d.ks_p_value(1.6276 / math.sqrt(n), n) == pytest.approx(0.01, abs=1e-4)
    assert d.ks_p_value(0.0, 10) == 1.0


@given(st.integers(1, 1000), st.integers(0, 2**32))
def test_a_draw_below_a_bound_lies_below_it(bound, seed):
    assert 0 <= Chances(seed).below(bound) < bound


PINNED = [(3, 0.22321073814882275, 74288395, 548046, 0), (2, 0.1988376506866485, 46168746, 1657738, 0)]

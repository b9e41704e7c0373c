"""Stable sums, norms and exponentials: kernel against twin to the bit, and both against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core import stable as core
from engine.model import stable as model

STEM = "stable"
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
LISTS = st.lists(FLOATS, min_size=1, max_size=40)
EDGES = [
    0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-300, 0.34657359, -0.34657360, 709.0, 709.782712893384, 709.7827128933841,
    710.0, -708.0, -740.0, -745.1332191019412, -745.2, 1e308, -1e308, math.inf, -math.inf, math.nan,
]  # fmt: skip


def bits(x):
    return b"nan" if math.isnan(x) else np.float64(x).tobytes()


@pytest.mark.parametrize("x", EDGES)
def test_the_exponential_has_every_edge(impl, x):
    with np.errstate(all="ignore"):
        want = float(np.exp(x))
    got = impl.exp(x)
    assert (math.isnan(got) and math.isnan(want)) or got == pytest.approx(want, rel=1e-15, abs=5e-324)


def test_the_exponential_is_within_two_units_of_the_last_place(impl):
    for x in np.random.default_rng(3).uniform(-700, 700, 4_000):
        want = math.exp(x)
        assert abs(impl.exp(float(x)) - want) <= 2 * math.ulp(want)


def test_a_logistic_loses_nothing_at_either_end(impl):
    assert impl.logistic(0.0) == 0.5
    assert impl.logistic(-740.0) == pytest.approx(math.exp(-740.0), rel=1e-2)
    assert impl.logistic(-700.0) == pytest.approx(math.exp(-700.0), rel=1e-14)
    assert impl.logistic(40.0) == 1.0
    assert (impl.logistic(math.inf), impl.logistic(-math.inf)) == (1.0, 0.0)
    assert math.isnan(impl.logistic(math.nan))


def test_a_softmax_of_huge_values_is_no_overflow(impl):
    assert impl.softmax([1e308, 1e308]).tolist() == [0.5, 0.5]
    assert impl.softmax([math.inf, 3.0, math.inf]).tolist() == [0.5, 0.0, 0.5]
    assert impl.softmax([-math.inf, 0.0]).tolist() == [0.0, 1.0]
    assert np.isnan(impl.softmax([math.nan, 0.0])).all()
    assert impl.log_sum_exp([1000.0, 1000.0]) == pytest.approx(1000.0 + math.log(2.0))
    assert impl.log_sum_exp([-math.inf, -math.inf]) == -math.inf
    assert impl.log_sum_exp([-math.inf, math.inf]) == math.inf
    assert math.isnan(impl.log_sum_exp([0.0, math.nan, 1.0]))


def test_softmax_and_log_sum_exp_are_scipys(impl):
    rng = np.random.default_rng(5)
    for scale in (1e-3, 1.0, 30.0, 500.0):
        values = rng.normal(0, scale, 17)
        assert np.allclose(impl.softmax(values), scipy.special.softmax(values), rtol=1e-13, atol=1e-300)
        assert impl.log_sum_exp(values) == pytest.approx(float(scipy.special.logsumexp(values)), rel=1e-14)


def test_a_sum_keeps_what_plain_addition_loses(impl):
    assert sum([1e16, 1.0, -1e16]) != 1.0
    assert impl.total([1e16, 1.0, -1e16]) == 1.0
    assert impl.total([1.0, 1e100, 1.0, -1e100]) == 2.0
    assert impl.total([math.inf, 1.0]) == math.inf
    assert math.isnan(impl.total([math.inf, -math.inf]))


def test_a_sum_is_the_exact_one_to_the_last_place(impl):
    rng = np.random.default_rng(9)
    for _ in range(30):
        values = rng.normal(0, 1, 300) * 10.0 ** rng.integers(-8, 9, 300)
        exact = float(sum(map(Fraction, values.tolist())))
        assert abs(impl.total(values) - exact) <= 2 * math.ulp(exact)


def test_a_norm_reaches_both_ends_of_the_range(impl):
    assert impl.norm([3e200, 4e200]) == pytest.approx(5e200, rel=1e-15)
    assert impl.norm([1.7e308, 1.7e308]) == math.inf
    assert impl.norm([3e-200, 4e-200]) == pytest.approx(5e-200, rel=1e-15)
    assert impl.norm([5e-324, 0.0]) == 5e-324
    assert (impl.norm([0.0, -0.0]), impl.norm([-math.inf, 1.0])) == (0.0, math.inf)
    assert math.isnan(impl.norm([math.nan, 1.0]))


@pytest.mark.parametrize("name", ["log_sum_exp", "softmax", "total", "norm"])
def test_nothing_has_no_sum(impl, name):
    with pytest.raises(ValueError, match="no values"):
        getattr(impl, name)([])


@settings(max_examples=300, deadline=None)
@given(LISTS)
def test_kernel_and_twin_agree_to_the_bit(values):
    with np.errstate(all="ignore"):
        for name in ("log_sum_exp", "total", "norm"):
            assert bits(getattr(core, name)(values)) == bits(getattr(model, name)(values)), name
        assert list(map(bits, core.softmax(values))) == list(map(bits, model.softmax(values)))
        for x in values:
            assert (bits(core.exp(x)), bits(core.logistic(x))) == (bits(model.exp(x)), bits(model.logistic(x)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=40))
def test_shares_add_up_to_one_and_none_is_outside(values):
    shares = core.softmax(values)
    assert abs(float(shares.sum()) - 1.0) < 1e-12
    assert np.all((shares >= 0.0) & (shares <= 1.0))

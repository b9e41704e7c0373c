"""The compiled histogram and its twin, held against each other and against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import histogram as core
from engine.errors import HistogramMismatch, HistogramOutOfRange
from engine.model import histogram as model

STEM = "histogram"
INT64_MAX = 2**63 - 1


def test_an_empty_histogram_has_no_values(impl):
    h = impl.Histogram(value_max=100, sub_bits=2)
    h.check()
    assert (h.count, h.least, h.most, h.percentile(50)) == (0, -1, -1, -1)
    assert math.isnan(h.mean)


def test_small_values_have_buckets_of_their_own(impl):
    h = impl.Histogram(value_max=1000, sub_bits=4)
    h.record_many(np.arange(16, dtype=np.int64))
    assert [h.percentile(p) for p in (0, 50, 100)] == [0, 7, 15]


def test_a_value_above_the_range_is_counted_and_seen_in_the_maximum(impl):
    h = impl.Histogram(value_max=100, sub_bits=3)
    h.record(10**9)
    h.check()
    assert (h.count, h.above_count, h.most, h.percentile(100)) == (1, 1, 10**9, 10**9)


def test_a_negative_value_counts_as_zero(impl):
    h = impl.Histogram(value_max=100, sub_bits=3)
    h.record(-5)
    assert (h.least, h.most, h.percentile(50)) == (0, 0, 0)


def test_merge_is_the_same_as_recording_both(impl):
    one, two, both = (impl.Histogram(value_max=5000, sub_bits=5) for _ in range(3))
    one.record_many(np.arange(0, 4000, 7, dtype=np.int64))
    two.record_many(np.arange(3, 9000, 11, dtype=np.int64))
    both.record_many(np.concatenate([np.arange(0, 4000, 7), np.arange(3, 9000, 11)]).astype(np.int64))
    one.merge(two)
    one.check()
    assert one.counts().tolist() == both.counts().tolist()
    assert (one.least, one.most, one.mean, one.above_count) == (both.least, both.most, both.mean, both.above_count)


def test_histograms_of_different_shape_do_not_merge(impl):
    with pytest.raises(HistogramMismatch):
        impl.Histogram(value_max=100, sub_bits=3).merge(impl.Histogram(value_max=100, sub_bits=4))


@pytest.mark.parametrize("shape", [{"sub_bits": 0}, {"sub_bits": 15}, {"value_max": 0}])
def test_an_impossible_shape_is_refused(impl, shape):
    with pytest.raises(HistogramOutOfRange):
        impl.Histogram(**shape)


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
def test_an_impossible_percentile_is_refused(impl, percent):
    with pytest.raises(HistogramOutOfRange):
        impl.Histogram(value_max=10).percentile(percent)


def test_reset_forgets_everything(impl):
    h = impl.Histogram(value_max=100, sub_bits=3)
    h.record(7)
    h.reset()
    h.check()
    assert (h.count, h.least, int(h.counts().sum())) == (0, -1, 0)


def test_the_text_names_its_percentiles():
    h = core.Histogram(value_max=100)
    assert h.text() == "no values"
    h.record(40)
    assert h.text("us") == "p50 40, p90 40, p99 40, p99.9 40, max 40 us (1 values)"


@given(st.lists(st.integers(0, INT64_MAX), min_size=1, max_size=200), st.floats(0, 100))
@settings(max_examples=300)
def test_a_percentile_is_within_the_stated_error_of_the_sorted_values(values, percent):
    h = core.Histogram(value_max=INT64_MAX, sub_bits=6)
    h.record_many(np.array(values, dtype=np.int64))
    exact = sorted(values)[max(1, math.ceil(percent / 100.0 * len(values))) - 1]
    assert exact <= h.percentile(percent) <= exact + (exact >> 6)


class Twins(RuleBasedStateMachine):
    """Random recordings to both; everything a caller can see must agree after every step."""

    @initialize(sub_bits=st.integers(1, 8), value_max=st.one_of(st.integers(1, 300), st.integers(1, 2**40)))
    def start(self, sub_bits, value_max):
        shape = {"sub_bits": sub_bits, "value_max": value_max}
        self.pair = (core.Histogram(**shape), model.Histogram(**shape))
        self.other = (core.Histogram(**shape), model.Histogram(**shape))

    @rule(value=st.integers(-3, 2**41))
    def record(self, value):
        for h in self.pair:
            h.record(value)

    @rule(values=st.lists(st.integers(0, 1000), max_size=20))
    def record_many(self, values):
        for h in self.other:
            h.record_many(np.array(values, dtype=np.int64))

    @rule()
    def merge(self):
        for h, other in zip(self.pair, self.other, strict=True):
            h.merge(other)

    @rule()
    def reset(self):
        for h in self.pair:
            h.reset()

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        ours, twin = self.pair
        ours.check()
        twin.check()
        assert (ours.count, ours.above_count, ours.least, ours.most) == (
            twin.count,
            twin.above_count,
            twin.least,
            twin.most,
        )
        for percent in (0, 25, 50, 90, 99, 99.9, 100):
            assert ours.percentile(percent) == twin.percentile(percent)
        if ours.value_max < 5000:
            assert ours.bucket_tops().tolist()[:-1] == twin.bucket_tops().tolist()[:-1]
            assert ours.counts().tolist() == twin.counts().tolist()


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)

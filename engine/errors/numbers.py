"""Histograms and clocks."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error


class HistogramOutOfRange(Bot4Error, ValueError):
    code = "BOT4-851"
    sentence = "A value or a percentile lies outside what this histogram was made for."
    remedy = "Choose a larger highest value when the histogram is made."
    status = Status.HISTOGRAM_OUT_OF_RANGE


class HistogramMismatch(Bot4Error, ValueError):
    code = "BOT4-852"
    sentence = "Two histograms of different shape cannot be merged."
    remedy = "Make both with the same precision and highest value."
    status = Status.HISTOGRAM_MISMATCH


class ClockError(Bot4Error, RuntimeError):
    code = "BOT4-870"
    sentence = "The clock cannot be used like this."


class ClockNotInvariant(ClockError):
    code = "BOT4-871"
    sentence = "This machine has no invariant cycle counter."
    remedy = "Nothing to do: the monotonic clock is used in its place, at some 20 ns a reading."
    status = Status.CLOCK_NOT_INVARIANT


class ClockBackwards(ClockError, ValueError):
    code = "BOT4-872"
    sentence = "An injected time lies before the one already set."
    status = Status.CLOCK_BACKWARDS

"""Breakers as the tests of their rules make them: small windows, short cooldowns, a clock moved by hand."""

from __future__ import annotations

import importlib

from engine._core.breaker import TICK_NS as TICK

CLOSED, OPEN, HALF_OPEN = 0, 1, 2


def clock_of(impl, start_ns=0):
    package = impl.__name__.rpartition(".")[0]
    return importlib.import_module(f"{package}.clock").Clock(manual=True, start_ns=start_ns)


def one(impl, *, tables=None, **config):
    config = {"cooldown_ns": 4 * TICK, "window": 4, "minimum_calls": 4, "failures_in_a_row": 3} | config
    return impl.Breakers(open_share=0, clock=clock_of(impl), **(tables or {})).declare("venue", **config)


def fail(breaker, times, now_ns=0):
    return [int(breaker.failure(breaker.allow(now_ns), now_ns)) for _ in range(times)]


def succeed(breaker, times, now_ns=0):
    return [int(breaker.success(breaker.allow(now_ns), now_ns)) for _ in range(times)]


def family(impl, **tables):
    breakers = impl.Breakers(**({"open_share": 0, "clock": clock_of(impl)} | tables))
    for name, below in (("network", ()), ("venue", ("network",)), ("strategy", ("venue",)), ("database", ())):
        breakers.declare(name, cooldown_ns=4 * TICK, depends_on=below)
    return breakers

"""Modes: a switch inside one step, the start of an emergency, and a step of the running flatten plan."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array
from bench.loops import loop_modes
from engine._core.modes import Modes
from tests.differential.test_modes import READY, TOUCH


def _modes(symbols: int, held: int, orders: int) -> Modes:
    modes = Modes(symbols=symbols)
    for symbol in range(symbols):
        modes.fact(symbol, **TOUCH, lots=5 if symbol < held else 0, orders_live=orders if symbol < held else 0)
    return modes


def bench_switch(report: Report) -> None:
    modes, samples, urgent = _modes(64, 64, 1), samples_array(), samples_array()
    assert loop_modes.switch(modes, samples) == samples.size
    assert modes.counts["switches"] == samples.size
    asked = loop_modes.emergency(_modes(64, 64, 1), urgent)
    assert asked == 64 * urgent.size
    modes.check()
    note = f"to Emergency with 64 cancels asked {np.median(urgent):.0f} ns"
    report.row("mode_switch", samples, checksum=asked, note=note)


def bench_flatten_step(report: Report) -> None:
    modes = _modes(64, 64, 0)
    assert modes.switch(3, 1, 0, **READY) == 0
    assert len(modes.step(0)) == 64
    for symbol in range(64):
        modes.fact(symbol, orders_live=1, plan_live=1, open_sell_lots=5)
    samples = samples_array()
    assert loop_modes.step(modes, samples) == 0
    modes.check()
    report.row("flatten_step", samples, checksum=modes.counts["actions"])

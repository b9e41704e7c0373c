"""The strategy hook, compiled and Python, and one event of an execution algorithm."""

from __future__ import annotations

import numpy as np
import pytest

from bench.harness import Report, note, samples_array, sized
from bench.loops import loop_strategy
from engine._core.algos import Algos
from engine._core.strategy_abi import OK, new_view, new_wishes
from engine._core.world import World
from engine.strategy.cache import Cache
from engine.strategy.hook import PythonHook
from engine.strategy.meter import Meter
from engine.strategy.registry import find

BATCH = 64


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("strategies"))


def _quoter_view():
    view = new_view()
    view["params"][:3] = 5, 200, 20
    view["book_trusted"], view["bid_px_ticks"], view["ask_px_ticks"], view["position_lots"] = 1, 50_000, 50_001, -7
    return view


def _time(address: int, view, wishes, *, clear: bool = False) -> np.ndarray:
    samples = samples_array()
    answers = loop_strategy.call(address, view, wishes, samples, BATCH, clear)
    assert answers == samples.size * BATCH * OK
    return samples


def bench_strategy_hook_compiled(report: Report, cache: Cache) -> None:
    """The two-sided quoter, the real one; beside it a C function that writes the same six words."""
    definition = find("strategies.quoter")
    library = cache.build(definition.decide, definition.parameters)
    view, wishes = _quoter_view(), new_wishes()
    bare = _time(loop_strategy.bare_address(), _quoter_view(), new_wishes())
    samples = _time(library.address, view, wishes)
    cleared = _time(library.address, _quoter_view(), new_wishes(), clear=True)
    meter = Meter()
    metered = _time(meter.wrap(0, library.address, budget_ns=10**9, hard_ns=10**9), _quoter_view(), new_wishes())
    # -7 // 20 is -1: both quotes lean one tick up.
    assert wishes["bid"][0]["px_ticks"] == view["bid_px_ticks"] + 1
    text = f"with the wishes cleared before it {np.median(cleared):.2f} ns, metered {np.median(metered):.2f} ns"
    note(f"strategy_hook: {text}")
    report.row(
        "strategy_hook",
        samples,
        batch=BATCH,
        checksum=int(wishes["ask"][0]["px_ticks"] - view["ask_px_ticks"]),
        peer="bare C pointer",
        peer_samples=bare,
        note=text,
    )


def bench_strategy_hook_python(report: Report) -> None:
    """An empty Python method behind the pointer: the lock, the call, the wishes copied out."""

    class Empty:
        def decide(self, view, wishes):  # noqa: ARG002  (the contract's two records)
            return OK

    world = World(symbols=1, strategies=1)
    hook = PythonHook(world, 0, Empty().decide)
    samples = np.zeros(sized(3_000, 20))
    # The very record of the world that the hook was made for.
    answers = loop_strategy.call(hook.address, hook.view, new_wishes(), samples, BATCH, False)
    assert answers == samples.size * BATCH * OK
    assert hook.call_count == samples.size * BATCH
    report.row("strategy_hook_python", samples, batch=BATCH, checksum=hook.call_count)


def bench_algo_slice(report: Report) -> None:
    """A VWAP over 24 buckets: one time event and one trade; one in eight events opens a slice and places a child."""
    samples = samples_array(50_000)
    events = samples.size * BATCH
    algos = Algos(capacity=1)
    slices = max(1, events // 8)
    parent = algos.start(
        kind=2, qty_lots=2**42, start_ns=0, end_ns=slices * 8_000 + 1, slice_ns=8_000, slice_min_lots=1, catch_up=1,
        weights=tuple(range(5, 29)),
    )  # fmt: skip
    children = loop_strategy.algo(algos, parent, 1_000, samples, BATCH)
    row = algos.row(parent)
    algos.check()
    assert children == row["child"] == slices
    report.row("algo_slice", samples, batch=BATCH, checksum=row["filled_lots"])

"""Runs one strategy as Python and as built code on the same views, and compares every byte it left behind.

The views are drawn from a seed: ordinary markets, and the edges of every number (zero, one, minus one, the ends of
int64, infinities, NaN). Used by `bot4 strategy check` and by the tests; research is held to the same by the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.strategy_abi import ABI, VIEW, WISHES
from engine.strategy.contract import Parameter

EDGES = np.array([0, 1, -1, 2, -2, 7, -7, 2**31, -(2**31), 2**53, 2**63 - 1, -(2**63), -(2**63) + 1], np.int64)
EDGES_F64 = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-300, 1e300, np.inf, -np.inf, np.nan])


@dataclass(frozen=True)
class Difference:
    index: int
    what: str


def generated_views(seed: int, count: int, parameters: tuple[Parameter, ...] = ()) -> npt.NDArray[Any]:
    """Views of which a third is an ordinary market, a third has edges in some fields and a third in all of them."""
    rng = np.random.default_rng(seed)
    views = np.zeros(count, VIEW)
    mid = rng.integers(1_000, 100_000, count)
    views["now_ns"] = 1_700_000_000_000_000_000 + np.cumsum(rng.integers(1, 10**9, count))
    views["bid_px_ticks"] = mid - rng.integers(0, 5, count)
    views["ask_px_ticks"] = mid + rng.integers(1, 5, count)
    views["last_px_ticks"] = mid + rng.integers(-3, 4, count)
    for name in ("bid_qty_lots", "ask_qty_lots", "open_buy_lots", "open_sell_lots"):
        views[name] = rng.integers(0, 500, count)
    views["position_lots"] = rng.integers(-300, 301, count)
    views["symbol_position_lots"] = views["position_lots"]
    views["book_trusted"] = rng.random(count) < 0.9
    views["tick_e8"] = views["lot_e8"] = 10**6
    views["funding_rate_e8"] = rng.integers(-100_000, 100_001, count)
    views["book_ns"] = views["now_ns"] - rng.integers(0, 2 * 10**9, count)
    views["peer_count"] = views["peers"].shape[1]
    _draw_peers(rng, views)
    views["features"] = rng.normal(0, 10, (count, views["features"].shape[1]))
    views["feature_count"] = rng.integers(0, 33, count)
    views["state"] = rng.integers(-1_000, 1_001, views["state"].shape)
    views["state_f64"] = rng.normal(0, 100, views["state_f64"].shape)
    views["params"] = rng.integers(-5, 50, views["params"].shape)
    views["params_f64"] = rng.normal(0, 3, views["params_f64"].shape)
    _draw_parameters(rng, views, parameters)

    words, floats = views.view(np.int64).reshape(count, -1), views.view(np.float64).reshape(count, -1)
    is_float = np.zeros(words.shape[1], bool)
    for name in ("features", "params_f64", "state_f64"):
        kind, at = VIEW.fields[name][:2]  # type: ignore[index]
        is_float[at // 8 : (at + kind.itemsize) // 8] = True
    share = np.repeat([0.0, 0.1, 1.0], (count + 2) // 3)[:count, None]
    hit = rng.random(words.shape) < rng.permutation(share)
    words[hit & ~is_float] = rng.choice(EDGES, int((hit & ~is_float).sum()))
    floats[hit & is_float] = rng.choice(EDGES_F64, int((hit & is_float).sum()))
    views["abi"] = ABI
    return views


def _draw_peers(rng: np.random.Generator, views: npt.NDArray[Any]) -> None:
    """Peers near the own price, some of them old, with steps of the same value."""
    peers = views["peers"]
    away = rng.integers(-40, 41, peers.shape)
    peers["bid_px_ticks"] = views["bid_px_ticks"][:, None] + away
    peers["ask_px_ticks"] = views["ask_px_ticks"][:, None] + away
    peers["bid_qty_lots"], peers["ask_qty_lots"] = rng.integers(0, 500, (2, *peers.shape))
    peers["position_lots"] = rng.integers(-300, 301, peers.shape)
    peers["book_trusted"] = rng.random(peers.shape) < 0.9
    peers["book_ns"] = views["now_ns"][:, None] - rng.integers(0, 2 * 10**9, peers.shape)
    peers["funding_rate_e8"] = rng.integers(-100_000, 100_001, peers.shape)
    peers["tick_e8"] = peers["lot_e8"] = 10**6


def _draw_parameters(rng: np.random.Generator, views: npt.NDArray[Any], parameters: tuple[Parameter, ...]) -> None:
    ints = floats = 0
    for parameter in parameters:
        if parameter.is_float:
            views["params_f64"][:, floats] = rng.uniform(parameter.low, parameter.high, len(views))
            floats += 1
        else:
            low, high = int(parameter.low), min(int(parameter.high), 10**6)
            views["params"][:, ints] = rng.integers(low, high, len(views), endpoint=True)
            ints += 1


def same_bytes(one: Any, other: Any) -> bool:
    """Equal in every byte, except that one NaN is as good as another: its payload is not part of the contract."""
    a, b = (np.frombuffer(record.tobytes(), np.int64) for record in (one, other))
    different = a != b
    if not different.any():
        return True
    x, y = a[different].view(np.float64), b[different].view(np.float64)
    return bool((np.isnan(x) & np.isnan(y)).all())


def run(decide: Callable[[Any, Any], int], view: npt.NDArray[Any]) -> tuple[int, npt.NDArray[Any], npt.NDArray[Any]]:
    """(answer, view after, wishes) of one call on a copy."""
    seen, wishes = view.reshape(1).copy(), np.zeros(1, WISHES)
    answer = decide(seen[0], wishes[0])
    return int(answer), seen, wishes


def compare(
    one: Callable[[Any, Any], int], other: Callable[[Any, Any], int], views: npt.NDArray[Any]
) -> Difference | None:
    """The first view on which two forms of a strategy differ in answer, state or wishes."""
    for index in range(len(views)):
        a, b = run(one, views[index : index + 1]), run(other, views[index : index + 1])
        if a[0] != b[0]:
            return Difference(index, f"answers {a[0]} and {b[0]}")
        if not same_bytes(a[1], b[1]):
            return Difference(index, f"views {a[1]} and {b[1]}")
        if not same_bytes(a[2], b[2]):
            return Difference(index, f"wishes {a[2]} and {b[2]}")
    return None

"""What the author of a strategy imports: the contract's words, parameters, and roundings that are the same everywhere.

Imports neither numba nor numpy's compiled helpers: a live process reads strategies through this module alone. Every
function here is itself accepted source (see dialect.py) and is compiled along with the strategy that calls it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine._core.strategy_abi import ABI, SIZES, WishFlag, WishKind, WishTif, WishType
from engine._core.strategy_abi import OK as _OK
from engine._core.strategy_abi import STOP as _STOP

OK: int = int(_OK)
STOP: int = int(_STOP)

KEEP = int(WishKind.WISH_KEEP)
REST = int(WishKind.WISH_REST)
NONE = int(WishKind.WISH_NONE)

LIMIT = int(WishType.TYPE_LIMIT)
MARKET = int(WishType.TYPE_MARKET)
STOP_MARKET = int(WishType.TYPE_STOP)
STOP_LIMIT = int(WishType.TYPE_STOP_LIMIT)
TAKE_MARKET = int(WishType.TYPE_TAKE)
TAKE_LIMIT = int(WishType.TYPE_TAKE_LIMIT)
TRAILING = int(WishType.TYPE_TRAILING)
ICEBERG = int(WishType.TYPE_ICEBERG)
TWAP = int(WishType.TYPE_TWAP)
VWAP = int(WishType.TYPE_VWAP)
POV = int(WishType.TYPE_POV)

GTC = int(WishTif.TIF_GTC)
IOC = int(WishTif.TIF_IOC)
FOK = int(WishTif.TIF_FOK)
GTX = int(WishTif.TIF_GTX)
GTD = int(WishTif.TIF_GTD)

POST_ONLY = int(WishFlag.WISH_POST_ONLY)
REDUCE_ONLY = int(WishFlag.WISH_REDUCE_ONLY)

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
# The largest double below 2**63, and -2**63 itself: what still converts.
_FLOAT_TOP = 9223372036854774784.0
_FLOAT_LOW = -9223372036854775808.0


@dataclass(frozen=True)
class Parameter:
    """One parameter: what it means, in which unit, what it is without being set, and what it may be.

    An int default makes an int parameter (`view["params"][slot]`), a float default a float one
    (`view["params_f64"][slot]`). Slots are counted per type in the order of the tuple.
    """

    name: str
    default: int | float
    low: int | float
    high: int | float
    unit: str
    text: str

    @property
    def is_float(self) -> bool:
        return isinstance(self.default, float)


@dataclass(frozen=True)
class Feature:
    """One feature that a strategy asks for, by its family and its window: `bot4 features list`.

    A module names them as `FEATURES`, a tuple; its values stand in `view["features"]` in that order, NaN before they
    are warm. They are fed the middle of the touch in ticks: each time it is told, or, where the module says
    `FEATURE_BARS_S`, in bars of so many seconds; 0 stands for the closed bars that the venue tells.
    """

    family: str
    window: int


def floor_to_int(x: float) -> Any:
    """The largest integer not above x. NaN gives 0; what does not fit gives the nearest int64."""
    if x != x:  # noqa: PLR0124  (the test for NaN that is the same in Python, numba and C)
        return np.int64(0)
    if x > _FLOAT_TOP:
        return np.int64(INT64_MAX)
    if x < _FLOAT_LOW:
        return np.int64(INT64_MIN)
    return np.int64(math.floor(x))


def ceil_to_int(x: float) -> Any:
    """The smallest integer not below x. NaN gives 0; what does not fit gives the nearest int64."""
    if x != x:  # noqa: PLR0124
        return np.int64(0)
    if x > _FLOAT_TOP:
        return np.int64(INT64_MAX)
    if x < _FLOAT_LOW:
        return np.int64(INT64_MIN)
    return np.int64(math.ceil(x))


def clamp(x: Any, low: Any, high: Any) -> Any:
    """x, but never below `low` nor above `high`."""
    if x < low:
        return low
    if x > high:
        return high
    return x


def mid_of(view: Any) -> float:
    """The middle of the touch in ticks, halves kept."""
    return 0.5 * float(view["bid_px_ticks"] + view["ask_px_ticks"])


def smooth(before: float, value: float, span: float) -> float:
    """One step of an exponential average over `span` values."""
    return before + (value - before) * 2.0 / (span + 1.0)


def take(view: Any, wish: Any, sell: int, qty: int, slip: int) -> None:
    """Wish for `qty` at once, at most `slip` ticks beyond the touch; what does not fill is gone."""
    wish["kind"] = REST
    wish["type"] = LIMIT
    wish["tif"] = IOC
    wish["qty_lots"] = qty
    wish["px_ticks"] = view["bid_px_ticks"] - slip if sell == 1 else view["ask_px_ticks"] + slip


def protect(wish: Any, sell: int, stop_ticks: int, target_ticks: int) -> None:
    """Give an entry its protective stop and, unless it is 0, its target, as distances from its price."""
    away = -1 if sell == 1 else 1
    wish["stop_px_ticks"] = wish["px_ticks"] - away * stop_ticks
    if target_ticks > 0:
        wish["target_px_ticks"] = wish["px_ticks"] + away * target_ticks


def leave(view: Any, wishes: Any, slip: int) -> None:
    """Wish to close the whole own position now, reduce-only, by the second tag of the closing side."""
    lots = view["position_lots"]
    if lots > 0:
        take(view, wishes["ask"][1], 1, lots, slip)
        wishes["ask"][1]["flags"] = REDUCE_ONLY
    elif lots < 0:
        take(view, wishes["bid"][1], 0, -lots, slip)
        wishes["bid"][1]["flags"] = REDUCE_ONLY


def leg_parameters(age: Parameter, *, slip_max: int, cover_s: int, cover_max: int) -> tuple[Parameter, ...]:
    """What every trade of two legs asks for: the first five int slots of such a strategy, `age` being the third."""
    return (
        Parameter("qty", 10, 1, 1_000_000, "lots", "quantity of a leg, in lots of the one that is entered first"),
        Parameter("slip", 2, 0, slip_max, "ticks", "how far beyond the touch an order may fill"),
        age,
        Parameter(
            "dust", 1, 0, 1_000_000, "lots", "position that counts as none: what a spot market's fees leave over"
        ),
        Parameter("cover_s", cover_s, 1, cover_max, "s", "how long a leg may stand alone"),
    )


def leg_stop(bps: float) -> Parameter:
    """A leg's own stop is far away: the other leg is what protects it."""
    return Parameter("stop_bps", bps, 1.0, 10_000.0, "bps", "distance of a leg's own stop: for a venue that goes away")


def legs_known(view: Any, peer: Any, age_ns: int) -> Any:
    """Two touches that are trusted, younger than `age_ns` and more than nothing."""
    if view["book_trusted"] == 0 or peer["book_trusted"] == 0 or view["peer_count"] < 1:
        return False
    if view["now_ns"] - min(view["book_ns"], peer["book_ns"]) > age_ns:
        return False
    least = min(view["bid_px_ticks"], peer["bid_px_ticks"])
    return least > 0 and min(view["tick_e8"], peer["tick_e8"]) > 0 and min(view["lot_e8"], peer["lot_e8"]) > 0


def enter_leg(view: Any, wish: Any, sell: int, qty: Any, slip: int, stop_bps: float, slot: int) -> None:
    """Take one leg now, behind a stop of its own; `state[slot]` keeps when, so that the answer has time to come."""
    take(view, wish, sell, qty, slip)
    protect(wish, sell, 1 + ceil_to_int(mid_of(view) * stop_bps / 10_000.0), 0)
    view["state"][slot] = view["now_ns"]


def unmatched(view: Any, peer: Any) -> float:
    """What the own position and a peer's add up to, in own lots: 0 when each leg stands against the other."""
    return float(view["position_lots"]) + float(peer["position_lots"]) * float(peer["lot_e8"]) / float(view["lot_e8"])


def alone_ns(view: Any, slot: int, alone: float, dust: int) -> Any:
    """For how long one leg has stood alone; `state[slot]` keeps since when."""
    state = view["state"]
    if abs(alone) < 1.0 + float(dust):
        state[slot] = 0
        return 0
    if state[slot] == 0:
        state[slot] = view["now_ns"]
    return view["now_ns"] - state[slot]


__all__ = [
    "ABI", "FOK", "GTC", "GTD", "GTX", "ICEBERG", "INT64_MAX", "INT64_MIN", "IOC", "KEEP", "LIMIT", "MARKET", "NONE",
    "OK", "POST_ONLY", "POV", "REDUCE_ONLY", "REST", "SIZES", "STOP", "STOP_LIMIT", "STOP_MARKET", "TAKE_LIMIT",
    "TAKE_MARKET", "TRAILING", "TWAP", "VWAP", "Feature", "Parameter", "alone_ns", "ceil_to_int",
    "clamp", "enter_leg", "floor_to_int", "leave", "leg_parameters", "leg_stop", "legs_known", "mid_of",
    "protect", "smooth", "take", "unmatched",
]  # fmt: skip

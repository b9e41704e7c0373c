"""Mean reversion: buy what fell too far from its average, sell what rose too far, leave at the average.

Idea: most short moves of a liquid price are somebody's impatience and are given back. Keep an exponential mean and
variance of the mid per bar; beyond `enter_z` deviations rest an order at the touch against the move, and leave when
the distance has shrunk to `leave_z`. The stop stands `stop_z` deviations from the entry.

Earns in a quiet market that swings around a level. Loses when the level itself moves: the first leg of a trend looks
exactly like an entry, and the stop is the only thing that knows better. It does not average down.
"""

from __future__ import annotations

import math
from typing import Any

from engine.strategy.contract import NONE, OK, REST, Parameter, ceil_to_int, leave, mid_of, protect, smooth

PARAMETERS = (
    Parameter("qty", 10, 1, 1_000_000, "lots", "quantity of an entry"),
    Parameter("bar_s", 5, 1, 86_400, "s", "length of a bar"),
    Parameter("slip", 2, 0, 1_000, "ticks", "how far beyond the touch the exit may fill"),
    Parameter("warm_bars", 40, 2, 100_000, "bars", "bars before the first entry"),
    Parameter("span", 40.0, 2.0, 100_000.0, "bars", "span of the mean and of the variance"),
    Parameter("enter_z", 2.0, 0.1, 20.0, "deviations", "distance from the mean that is entered against"),
    Parameter("leave_z", 0.25, 0.0, 20.0, "deviations", "distance from the mean at which it leaves"),
    Parameter("stop_z", 3.0, 0.1, 100.0, "deviations", "distance of the stop from the entry"),
)
QTY, BAR_S, SLIP, WARM_BARS = range(4)
SPAN, ENTER_Z, LEAVE_Z, STOP_Z = range(4)

BAR, BARS = 0, 1  # state
MEAN, VARIANCE = 0, 1  # state_f64
SECOND_NS = 1_000_000_000


def close_bar(view: Any, mid: float) -> None:
    kept, span = view["state_f64"], view["params_f64"][SPAN]
    if view["state"][BARS] == 0:
        kept[MEAN] = mid
        kept[VARIANCE] = 0.0
    else:
        away = mid - kept[MEAN]
        kept[MEAN] = smooth(kept[MEAN], mid, span)
        kept[VARIANCE] = smooth(kept[VARIANCE], away * away, span)
    view["state"][BARS] += 1


def decide(view: Any, wishes: Any) -> int:
    state, params, kept, floats = view["state"], view["params"], view["state_f64"], view["params_f64"]
    if view["book_trusted"] == 0:
        wishes["bid"][0]["kind"] = NONE
        wishes["ask"][0]["kind"] = NONE
        return OK
    mid = mid_of(view)
    bar = view["now_ns"] // (params[BAR_S] * SECOND_NS)
    if bar != state[BAR]:
        state[BAR] = bar
        close_bar(view, mid)
    deviation = math.sqrt(kept[VARIANCE])
    if state[BARS] < params[WARM_BARS] or deviation <= 0.0:
        return OK
    z = (mid - kept[MEAN]) / deviation
    lots = view["position_lots"]
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    if (lots > 0 and z > -floats[LEAVE_Z]) or (lots < 0 and z < floats[LEAVE_Z]):
        leave(view, wishes, params[SLIP])
    elif lots == 0 and z < -floats[ENTER_Z]:
        wishes["bid"][0]["kind"] = REST
        wishes["bid"][0]["px_ticks"] = view["bid_px_ticks"]
        wishes["bid"][0]["qty_lots"] = params[QTY]
        protect(wishes["bid"][0], 0, ceil_to_int(floats[STOP_Z] * deviation), 0)
    elif lots == 0 and z > floats[ENTER_Z]:
        wishes["ask"][0]["kind"] = REST
        wishes["ask"][0]["px_ticks"] = view["ask_px_ticks"]
        wishes["ask"][0]["qty_lots"] = params[QTY]
        protect(wishes["ask"][0], 1, ceil_to_int(floats[STOP_Z] * deviation), 0)
    return OK

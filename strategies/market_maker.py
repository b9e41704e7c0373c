"""Two-sided market making in the manner of Avellaneda and Stoikov, with a steady horizon.

Idea: a maker who holds something wants to be rid of it, the more so the wilder the price. So quote around a
reservation price, which stands below the mid when long and above it when short by `aversion` times the variance times
what is held, and widen both sides by what the variance and the flow of orders (`depth_k`) ask for:

    reservation = mid - lots / inventory_unit * aversion * variance * horizon
    half_spread = aversion * variance * horizon / 2 + log(1 + aversion / depth_k) / aversion

Variance is that of the mid per second, kept as an exponential average; all of it in ticks.

Earns the spread from those who cannot wait. Loses to those who know more: a fast one-way move fills one side again and
again, and the widening comes one variance too late. Quotes are post-only; a side that would cross is held back to the
touch, and beyond `position_max` the side that would add is withdrawn.
"""

from __future__ import annotations

import math
from typing import Any

from engine.strategy.contract import GTX, NONE, OK, REST, Parameter, ceil_to_int, floor_to_int, mid_of, smooth

PARAMETERS = (
    Parameter("qty", 5, 1, 1_000_000, "lots", "quantity of one quote"),
    Parameter("position_max", 100, 1, 1_000_000_000, "lots", "own position at which a side stops quoting"),
    Parameter("inventory_unit", 20, 1, 1_000_000_000, "lots", "position that counts as one in the formula"),
    Parameter("stop_ticks", 500, 1, 1_000_000_000, "ticks", "distance of a quote's protective stop"),
    Parameter("warm_s", 30, 1, 86_400, "s", "time before the first quote"),
    Parameter("aversion", 0.05, 0.000_001, 100.0, "1 / tick", "how much a held unit is disliked"),
    Parameter("depth_k", 1.5, 0.001, 1_000.0, "1 / tick", "how fast fills get rarer away from the mid"),
    Parameter("horizon", 10.0, 0.1, 86_400.0, "s", "how long a unit is expected to be held"),
    Parameter("span", 60.0, 2.0, 100_000.0, "s", "span of the variance"),
)
QTY, POSITION_MAX, INVENTORY_UNIT, STOP_TICKS, WARM_S = range(5)
AVERSION, DEPTH_K, HORIZON, SPAN = range(4)

SECOND, SECONDS = 0, 1  # state
VARIANCE, LAST_MID = 0, 1  # state_f64
SECOND_NS = 1_000_000_000


def watch(view: Any, mid: float) -> None:
    """Once a second, fold the squared move of the mid into the variance."""
    state, kept = view["state"], view["state_f64"]
    second = view["now_ns"] // SECOND_NS
    if second == state[SECOND]:
        return
    if state[SECONDS] > 0:
        move = mid - kept[LAST_MID]
        kept[VARIANCE] = smooth(kept[VARIANCE], move * move, view["params_f64"][SPAN])
    kept[LAST_MID] = mid
    state[SECOND] = second
    state[SECONDS] += 1


def quote(view: Any, wish: Any, sell: int, px: int) -> None:
    away = -1 if sell == 1 else 1
    wish["kind"] = REST
    wish["tif"] = GTX
    wish["px_ticks"] = px
    wish["qty_lots"] = view["params"][QTY]
    wish["stop_px_ticks"] = px - away * view["params"][STOP_TICKS]


def decide(view: Any, wishes: Any) -> int:
    params, floats, kept = view["params"], view["params_f64"], view["state_f64"]
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    if view["book_trusted"] == 0:
        return OK
    mid = mid_of(view)
    watch(view, mid)
    if view["state"][SECONDS] <= params[WARM_S]:
        return OK
    lots = view["position_lots"]
    risk = floats[AVERSION] * kept[VARIANCE] * floats[HORIZON]
    middle = mid - float(lots) / float(params[INVENTORY_UNIT]) * risk
    half = 0.5 * risk + math.log1p(floats[AVERSION] / floats[DEPTH_K]) / floats[AVERSION]
    if lots < params[POSITION_MAX]:
        quote(view, wishes["bid"][0], 0, min(floor_to_int(middle - half), view["bid_px_ticks"]))
    if lots > -params[POSITION_MAX]:
        quote(view, wishes["ask"][0], 1, max(ceil_to_int(middle + half), view["ask_px_ticks"]))
    return OK

"""Swing: buy the dip of a rising market, sell the bounce of a falling one, with stop and target from the start.

Idea: a market with a direction does not go there in a straight line. The direction is the slope of a slow average of
bars; the dip is a bar that closes `dip_moves` usual moves against it. Enter with the direction, the target as far away
as the dip was deep times `reward`, the stop at `risk_moves` usual moves. One position at a time; a position that
reached neither end is closed after `hold_bars` bars.

Earns when dips are bought back. Loses at the turn of the direction, where the last dip is the beginning of the way
down, and bleeds slowly where there is no direction: that is what `slope_min` is for.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import NONE, OK, Parameter, ceil_to_int, leave, mid_of, protect, smooth, take

PARAMETERS = (
    Parameter("qty", 10, 1, 1_000_000, "lots", "quantity of an entry"),
    Parameter("bar_s", 300, 1, 86_400, "s", "length of a bar"),
    Parameter("slip", 2, 0, 1_000, "ticks", "how far beyond the touch an order may fill"),
    Parameter("hold_bars", 24, 1, 100_000, "bars", "longest time in a position"),
    Parameter("warm_bars", 30, 2, 100_000, "bars", "bars before the first entry"),
    Parameter("slow", 24.0, 2.0, 100_000.0, "bars", "span of the average that gives the direction"),
    Parameter("slope_min", 0.05, 0.0, 10.0, "moves / bar", "least slope of the average, in usual bar moves"),
    Parameter("dip_moves", 1.0, 0.0, 100.0, "moves", "depth of a dip that is entered"),
    Parameter("risk_moves", 3.0, 0.1, 1_000.0, "moves", "distance of the stop"),
    Parameter("reward", 2.0, 0.1, 100.0, "1", "distance of the target, as a multiple of the stop's"),
)
QTY, BAR_S, SLIP, HOLD_BARS, WARM_BARS = range(5)
SLOW, SLOPE_MIN, DIP_MOVES, RISK_MOVES, REWARD = range(5)

BAR, BARS, ENTERED = 0, 1, 2  # state
AVERAGE, SLOPE, MOVE_AVG, CLOSE, LAST_MOVE = range(5)  # state_f64
SECOND_NS = 1_000_000_000


def close_bar(view: Any, mid: float) -> None:
    kept, slow = view["state_f64"], view["params_f64"][SLOW]
    if view["state"][BARS] == 0:
        kept[AVERAGE] = mid
    else:
        before = kept[AVERAGE]
        kept[AVERAGE] = smooth(before, mid, slow)
        kept[SLOPE] = kept[AVERAGE] - before
        kept[LAST_MOVE] = mid - kept[CLOSE]
        kept[MOVE_AVG] = smooth(kept[MOVE_AVG], abs(kept[LAST_MOVE]), slow)
    kept[CLOSE] = mid
    view["state"][BARS] += 1


def enter(view: Any, wish: Any, sell: int, move: float) -> None:
    floats = view["params_f64"]
    take(view, wish, sell, view["params"][QTY], view["params"][SLIP])
    stop = ceil_to_int(floats[RISK_MOVES] * move)
    protect(wish, sell, stop, ceil_to_int(float(stop) * floats[REWARD]))
    view["state"][ENTERED] = view["state"][BARS]


def decide(view: Any, wishes: Any) -> int:
    state, params, kept, floats = view["state"], view["params"], view["state_f64"], view["params_f64"]
    if view["book_trusted"] == 0:
        return OK
    bar = view["now_ns"] // (params[BAR_S] * SECOND_NS)
    if bar == state[BAR]:
        return OK
    state[BAR] = bar
    close_bar(view, mid_of(view))
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    move = kept[MOVE_AVG]
    if state[BARS] < params[WARM_BARS] or move <= 0.0:
        return OK
    dip = floats[DIP_MOVES] * move
    steep = floats[SLOPE_MIN] * move
    if view["position_lots"] != 0:
        if state[BARS] - state[ENTERED] >= params[HOLD_BARS]:
            leave(view, wishes, params[SLIP])
    elif kept[SLOPE] > steep and kept[LAST_MOVE] < -dip:
        enter(view, wishes["bid"][0], 0, move)
    elif kept[SLOPE] < -steep and kept[LAST_MOVE] > dip:
        enter(view, wishes["ask"][0], 1, move)
    return OK

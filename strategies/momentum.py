"""Leveraged momentum: the stronger the move against its noise, the larger the position, up to a cap.

Idea: keep a fast average of bar returns and their usual size. Their ratio, the strength, says how much of the recent
movement has one sign. The wanted position is `unit` lots for each whole step of strength beyond `strength_min`, at
most `steps_max` steps; the position follows the wanted one a step a bar, downward by orders that only reduce. Leverage
is not a setting here: the tier and the gate bound what the account may carry, and a step that would pass them is
denied with its reason.

Earns when moves feed on themselves. Loses twice as fast as it earned when they stop: the position is largest at the
end of the move. So each step carries its own stop at `stop_moves`, and a strength that falls below the entry level
closes everything at once.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import (
    NONE,
    OK,
    REDUCE_ONLY,
    Parameter,
    ceil_to_int,
    clamp,
    floor_to_int,
    leave,
    mid_of,
    protect,
    smooth,
    take,
)

PARAMETERS = (
    Parameter("unit", 5, 1, 1_000_000, "lots", "quantity of one step"),
    Parameter("steps_max", 4, 1, 100, "steps", "largest position in steps"),
    Parameter("bar_s", 15, 1, 86_400, "s", "length of a bar"),
    Parameter("slip", 2, 0, 1_000, "ticks", "how far beyond the touch an order may fill"),
    Parameter("warm_bars", 40, 2, 100_000, "bars", "bars before the first entry"),
    Parameter("span", 10.0, 1.0, 10_000.0, "bars", "span of the average move"),
    Parameter("noise_span", 40.0, 2.0, 100_000.0, "bars", "span of the usual move"),
    Parameter("strength_min", 0.3, 0.01, 1.0, "1", "strength at which the first step is taken"),
    Parameter("strength_step", 0.1, 0.001, 1.0, "1", "strength for each further step"),
    Parameter("stop_moves", 5.0, 0.5, 1_000.0, "moves", "distance of a step's stop, in usual moves"),
)
UNIT, STEPS_MAX, BAR_S, SLIP, WARM_BARS = range(5)
SPAN, NOISE_SPAN, STRENGTH_MIN, STRENGTH_STEP, STOP_MOVES = range(5)

BAR, BARS = 0, 1  # state
MOVE, NOISE, CLOSE = range(3)  # state_f64
SECOND_NS = 1_000_000_000


def close_bar(view: Any, mid: float) -> None:
    kept, floats = view["state_f64"], view["params_f64"]
    if view["state"][BARS] > 0:
        kept[MOVE] = smooth(kept[MOVE], mid - kept[CLOSE], floats[SPAN])
        kept[NOISE] = smooth(kept[NOISE], abs(mid - kept[CLOSE]), floats[NOISE_SPAN])
    kept[CLOSE] = mid
    view["state"][BARS] += 1


def steps_wanted(view: Any, strength: float) -> Any:
    """Whole steps for a strength, signed; 0 below the first level."""
    floats = view["params_f64"]
    beyond = abs(strength) - floats[STRENGTH_MIN]
    if beyond < 0.0:
        return 0
    steps = clamp(1 + floor_to_int(beyond / floats[STRENGTH_STEP]), 1, view["params"][STEPS_MAX])
    return steps if strength > 0.0 else -steps


def step_down(view: Any, wishes: Any, qty: Any) -> None:
    """One step less of what is held: reduce-only, or it would be an entry of the other side with a stop of its own."""
    sell = 1 if view["position_lots"] > 0 else 0
    wish = wishes["ask"][1] if sell == 1 else wishes["bid"][1]
    take(view, wish, sell, qty, view["params"][SLIP])
    wish["flags"] = REDUCE_ONLY


def decide(view: Any, wishes: Any) -> int:
    state, params, kept = view["state"], view["params"], view["state_f64"]
    if view["book_trusted"] == 0:
        return OK
    bar = view["now_ns"] // (params[BAR_S] * SECOND_NS)
    if bar == state[BAR]:
        return OK
    state[BAR] = bar
    close_bar(view, mid_of(view))
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    if state[BARS] < params[WARM_BARS] or kept[NOISE] <= 0.0:
        return OK
    lots = view["position_lots"]
    wanted = steps_wanted(view, kept[MOVE] / kept[NOISE]) * params[UNIT]
    stop = ceil_to_int(view["params_f64"][STOP_MOVES] * kept[NOISE])
    if wanted == 0 or (wanted > 0 and lots < 0) or (wanted < 0 and lots > 0):
        leave(view, wishes, params[SLIP])
    elif abs(wanted) < abs(lots):
        step_down(view, wishes, min(abs(lots - wanted), params[UNIT]))
    elif wanted > lots:
        take(view, wishes["bid"][0], 0, min(wanted - lots, params[UNIT]), params[SLIP])
        protect(wishes["bid"][0], 0, stop, 0)
    elif wanted < lots:
        take(view, wishes["ask"][0], 1, min(lots - wanted, params[UNIT]), params[SLIP])
        protect(wishes["ask"][0], 1, stop, 0)
    return OK

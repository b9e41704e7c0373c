"""Short side: sell the failed rally of a falling market, never buy first.

Idea: markets fall faster than they rise, and rallies in a fall are short. The fall is a mid below its slow average of
bars by `below_moves` usual moves; the rally is a mid above its fast one; the failure is a bar that closes down after
it. Sell then, with a stop above the rally's high and a target of `reward` times that distance.

Earns in the fast part of a decline. Loses when the decline is over and the failed rally was the bottom; the stop above
its high bounds that. On a venue without short positions every entry is denied by the gate, with that reason. Funding
of a crowded short is a cost that this file does not see: it stands in the ledger.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import NONE, OK, Parameter, ceil_to_int, leave, mid_of, protect, smooth, take

PARAMETERS = (
    Parameter("qty", 10, 1, 1_000_000, "lots", "quantity of an entry"),
    Parameter("bar_s", 60, 1, 86_400, "s", "length of a bar"),
    Parameter("slip", 2, 0, 1_000, "ticks", "how far beyond the touch an order may fill"),
    Parameter("hold_bars", 60, 1, 100_000, "bars", "longest time in a position"),
    Parameter("warm_bars", 40, 2, 100_000, "bars", "bars before the first entry"),
    Parameter("fast", 5.0, 1.0, 10_000.0, "bars", "span of the fast average"),
    Parameter("slow", 40.0, 2.0, 100_000.0, "bars", "span of the slow average"),
    Parameter("below_moves", 1.0, 0.0, 100.0, "moves", "how far below the slow average counts as a fall"),
    Parameter("reward", 1.5, 0.1, 100.0, "1", "distance of the target, as a multiple of the stop's"),
)
QTY, BAR_S, SLIP, HOLD_BARS, WARM_BARS = range(5)
FAST, SLOW, BELOW_MOVES, REWARD = range(4)

BAR, BARS, ENTERED, RALLIED = range(4)  # state
FAST_AVG, SLOW_AVG, MOVE_AVG, CLOSE, RALLY_HIGH, LAST_MOVE = range(6)  # state_f64
SECOND_NS = 1_000_000_000


def close_bar(view: Any, mid: float) -> None:
    state, kept, floats = view["state"], view["state_f64"], view["params_f64"]
    if state[BARS] == 0:
        kept[FAST_AVG] = mid
        kept[SLOW_AVG] = mid
    else:
        kept[LAST_MOVE] = mid - kept[CLOSE]
        kept[FAST_AVG] = smooth(kept[FAST_AVG], mid, floats[FAST])
        kept[SLOW_AVG] = smooth(kept[SLOW_AVG], mid, floats[SLOW])
        kept[MOVE_AVG] = smooth(kept[MOVE_AVG], abs(kept[LAST_MOVE]), floats[SLOW])
    kept[CLOSE] = mid
    state[BARS] += 1


def watch_rally(view: Any, mid: float) -> None:
    """A rally begins above the fast average in a fall, and is forgotten when the fall is over."""
    state, kept = view["state"], view["state_f64"]
    if mid > kept[SLOW_AVG] - view["params_f64"][BELOW_MOVES] * kept[MOVE_AVG]:
        state[RALLIED] = 0
    elif mid > kept[FAST_AVG]:
        kept[RALLY_HIGH] = max(kept[RALLY_HIGH], mid) if state[RALLIED] == 1 else mid
        state[RALLIED] = 1


def decide(view: Any, wishes: Any) -> int:
    state, params, kept = view["state"], view["params"], view["state_f64"]
    if view["book_trusted"] == 0:
        return OK
    bar = view["now_ns"] // (params[BAR_S] * SECOND_NS)
    if bar == state[BAR]:
        return OK
    state[BAR] = bar
    mid = mid_of(view)
    close_bar(view, mid)
    watch_rally(view, mid)
    wishes["ask"][0]["kind"] = NONE
    if state[BARS] < params[WARM_BARS]:
        return OK
    if view["position_lots"] != 0:
        if state[BARS] - state[ENTERED] >= params[HOLD_BARS]:
            leave(view, wishes, params[SLIP])
    elif state[RALLIED] == 1 and kept[LAST_MOVE] < 0.0:
        take(view, wishes["ask"][0], 1, params[QTY], params[SLIP])
        stop = ceil_to_int(kept[RALLY_HIGH] - float(wishes["ask"][0]["px_ticks"])) + 1
        if stop > 0:
            protect(wishes["ask"][0], 1, stop, ceil_to_int(float(stop) * view["params_f64"][REWARD]))
            state[ENTERED] = state[BARS]
            state[RALLIED] = 0
        else:
            wishes["ask"][0]["kind"] = NONE
    return OK

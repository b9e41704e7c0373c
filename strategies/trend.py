"""Trend following: two averages of the mid, entered on a clear cross, left on the cross back.

Idea: prices that have moved for a while move on a little longer than chance says, because slow money follows. Watch
the mid in bars of `bar_s` seconds; when the fast average is `clear` times the usual bar move above the slow one, be
long, and the mirror image short. The stop stands `stop_moves` usual moves away.

Earns in long one-way stretches: few trades, most of them small losses, the profit in the tail. Loses in a market that
goes sideways: each false cross costs the spread, two fees and the way to the cross back. Nothing is entered while the
averages are still filling.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import NONE, OK, Parameter, ceil_to_int, leave, mid_of, protect, smooth, take

PARAMETERS = (
    Parameter("qty", 10, 1, 1_000_000, "lots", "quantity of an entry"),
    Parameter("bar_s", 60, 1, 86_400, "s", "length of a bar"),
    Parameter("slip", 2, 0, 1_000, "ticks", "how far beyond the touch an order may fill"),
    Parameter("warm_bars", 60, 2, 100_000, "bars", "bars before the first entry"),
    Parameter("both_sides", 1, 0, 1, "0 or 1", "1 also goes short"),
    Parameter("fast", 12.0, 1.0, 10_000.0, "bars", "span of the fast average"),
    Parameter("slow", 48.0, 2.0, 100_000.0, "bars", "span of the slow average"),
    Parameter("clear", 1.0, 0.0, 100.0, "1", "gap of the averages that counts, in usual bar moves"),
    Parameter("stop_moves", 6.0, 0.5, 1_000.0, "1", "distance of the stop, in usual bar moves"),
)
QTY, BAR_S, SLIP, WARM_BARS, BOTH_SIDES = range(5)
FAST, SLOW, CLEAR, STOP_MOVES = range(4)

BAR, BARS = 0, 1  # state
FAST_AVG, SLOW_AVG, MOVE_AVG, CLOSE = range(4)  # state_f64
SECOND_NS = 1_000_000_000


def close_bar(view: Any, mid: float) -> None:
    """Fold one finished bar into the averages; the first one seeds them."""
    kept, spans = view["state_f64"], view["params_f64"]
    if view["state"][BARS] == 0:
        kept[FAST_AVG] = mid
        kept[SLOW_AVG] = mid
        kept[MOVE_AVG] = 0.0
    else:
        kept[FAST_AVG] = smooth(kept[FAST_AVG], mid, spans[FAST])
        kept[SLOW_AVG] = smooth(kept[SLOW_AVG], mid, spans[SLOW])
        kept[MOVE_AVG] = smooth(kept[MOVE_AVG], abs(mid - kept[CLOSE]), spans[SLOW])
    kept[CLOSE] = mid
    view["state"][BARS] += 1


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
    move = kept[MOVE_AVG]
    if state[BARS] < params[WARM_BARS] or move <= 0.0:
        return OK
    gap = kept[FAST_AVG] - kept[SLOW_AVG]
    lots = view["position_lots"]
    if (lots > 0 and gap < 0.0) or (lots < 0 and gap > 0.0):
        leave(view, wishes, params[SLIP])
    elif lots == 0 and gap > view["params_f64"][CLEAR] * move:
        take(view, wishes["bid"][0], 0, params[QTY], params[SLIP])
        protect(wishes["bid"][0], 0, ceil_to_int(view["params_f64"][STOP_MOVES] * move), 0)
    elif lots == 0 and gap < -view["params_f64"][CLEAR] * move and params[BOTH_SIDES] == 1:
        take(view, wishes["ask"][0], 1, params[QTY], params[SLIP])
        protect(wishes["ask"][0], 1, ceil_to_int(view["params_f64"][STOP_MOVES] * move), 0)
    return OK

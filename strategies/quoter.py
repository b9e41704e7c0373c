"""Two-sided quoter with inventory skew.

Rests one order a side at the touch and leans against what it holds: with every `skew_lots` of position both quotes
move one tick away from it. Earns the spread while the price wanders; loses when it trends through the quotes.

Parameters: quantity of a quote in lots, position at which a side stops quoting, lots of position per tick of skew,
distance of the protective stop in ticks.
"""

from __future__ import annotations

from typing import Any

QTY, POSITION_MAX, SKEW_LOTS, STOP_TICKS = 0, 1, 2, 3
REST, NONE = 1, 2
OK = 1

PARAMS = (5, 200, 20, 500)


def decide(view: Any, wishes: Any) -> int:
    lots = view["position_lots"]
    qty = view["params"][QTY]
    skew = lots // view["params"][SKEW_LOTS]

    wishes["bid"]["kind"] = REST if lots < view["params"][POSITION_MAX] else NONE
    wishes["bid"]["px_ticks"] = view["bid_px_ticks"] - skew
    wishes["bid"]["qty_lots"] = qty
    wishes["bid"]["px_stop_ticks"] = view["bid_px_ticks"] - skew - view["params"][STOP_TICKS]

    wishes["ask"]["kind"] = REST if lots > -view["params"][POSITION_MAX] else NONE
    wishes["ask"]["px_ticks"] = view["ask_px_ticks"] - skew
    wishes["ask"]["qty_lots"] = qty
    wishes["ask"]["px_stop_ticks"] = view["ask_px_ticks"] - skew + view["params"][STOP_TICKS]
    return OK

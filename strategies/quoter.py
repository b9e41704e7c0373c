"""Two-sided quoter with inventory skew.

Rests one order a side at the touch and leans against what it holds: with every `skew_lots` of position both quotes
move one tick away from it. Earns the spread while the price wanders; loses when it trends through the quotes.

Parameters: quantity of a quote in lots, position at which a side stops quoting, lots of position per tick of skew.
"""

from __future__ import annotations

from typing import Any

QTY, POSITION_MAX, SKEW_LOTS = 0, 1, 2
REST, NONE = 1, 2
OK = 1

PARAMS = (5, 200, 20)


def decide(view: Any, wishes: Any) -> int:
    lots = view["position_lots"]
    qty = view["params"][QTY]
    skew = lots // view["params"][SKEW_LOTS]

    wishes["bid"][0]["kind"] = REST if lots < view["params"][POSITION_MAX] else NONE
    wishes["bid"][0]["px_ticks"] = view["bid_px_ticks"] - skew
    wishes["bid"][0]["qty_lots"] = qty

    wishes["ask"][0]["kind"] = REST if lots > -view["params"][POSITION_MAX] else NONE
    wishes["ask"][0]["px_ticks"] = view["ask_px_ticks"] - skew
    wishes["ask"][0]["qty_lots"] = qty
    return OK

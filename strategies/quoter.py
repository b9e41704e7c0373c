"""Two-sided quoter with inventory skew.

Idea: rest one order a side at the touch and lean against what is held: with every `skew_lots` of position both
quotes move one tick away from it, and beyond `position_max` the side that would add to it is withdrawn.

Earns the spread while the price wanders. Loses when it trends through the quotes: the side that fills is then the
wrong one every time, and the skew gives way too slowly. Does nothing on a book that is not trusted.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import NONE, OK, REST, Parameter

PARAMETERS = (
    Parameter("qty", 5, 1, 1_000_000, "lots", "quantity of one quote"),
    Parameter("position_max", 200, 1, 1_000_000_000, "lots", "own position at which a side stops quoting"),
    Parameter("skew_lots", 20, 1, 1_000_000_000, "lots", "own position per tick that both quotes move"),
    Parameter("stop_ticks", 500, 1, 1_000_000_000, "ticks", "distance of a quote's protective stop"),
)
QTY, POSITION_MAX, SKEW_LOTS, STOP_TICKS = range(4)


def decide(view: Any, wishes: Any) -> int:
    if view["book_trusted"] == 0:
        wishes["bid"][0]["kind"] = NONE
        wishes["ask"][0]["kind"] = NONE
        return OK
    lots = view["position_lots"]
    qty = view["params"][QTY]
    most = view["params"][POSITION_MAX]
    # Floor division: a short position of one lot already moves the quotes a tick up, so a short is never held
    # more willingly than a long of the same size.
    skew = lots // view["params"][SKEW_LOTS]

    wishes["bid"][0]["kind"] = REST if lots < most else NONE
    wishes["bid"][0]["px_ticks"] = view["bid_px_ticks"] - skew
    wishes["bid"][0]["qty_lots"] = qty
    wishes["bid"][0]["stop_px_ticks"] = view["bid_px_ticks"] - skew - view["params"][STOP_TICKS]

    wishes["ask"][0]["kind"] = REST if lots > -most else NONE
    wishes["ask"][0]["px_ticks"] = view["ask_px_ticks"] - skew
    wishes["ask"][0]["qty_lots"] = qty
    wishes["ask"][0]["stop_px_ticks"] = view["ask_px_ticks"] - skew + view["params"][STOP_TICKS]
    return OK

"""Name of the strategy in one line.

Idea: what it waits for, what it does then, and why that should earn anything.

When it loses: the market in which it is wrong, and what each mistake costs. A strategy whose author cannot say this
is not understood yet.

Copy this file to a name without the underscore, then:

    bot4 strategy check strategies.NAME     the same results as Python and compiled
    bot4 strategy build strategies.NAME     what a live process loads

docs/strategies.md says what is in the view, what may be wished for and which source is accepted.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import NONE, OK, REST, Parameter

# Whole numbers stand in view["params"], floats in view["params_f64"], each in the order of this tuple.
PARAMETERS = (
    Parameter("qty", 1, 1, 1_000_000, "lots", "quantity of the order"),
    Parameter("away", 3, 1, 10_000, "ticks", "distance of the bid below the touch"),
)
QTY, AWAY = range(2)


def decide(view: Any, wishes: Any) -> int:
    """Called on each event of its symbol. Wishes begin as "keep what is there"; state it once and it stays true."""
    if view["book_trusted"] == 0 or view["position_lots"] > 0:
        wishes["bid"][0]["kind"] = NONE
        return OK
    wishes["bid"][0]["kind"] = REST
    wishes["bid"][0]["px_ticks"] = view["bid_px_ticks"] - view["params"][AWAY]
    wishes["bid"][0]["qty_lots"] = view["params"][QTY]
    return OK

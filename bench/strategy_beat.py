"""What the replay benches run: an order at the touch each `every` calls, bought and sold in turn.

Idea: none. It is the logic that every peer is given as well. Loses the spread each time.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import NONE, OK, Parameter, take

PARAMETERS = (Parameter("every", 10_000, 1, 1_000_000_000, "calls", "calls from one order to the next"),)


def decide(view: Any, wishes: Any) -> int:
    state = view["state"]
    state[0] += 1
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    if view["book_trusted"] == 1 and state[0] % view["params"][0] == 0:
        state[1] += 1
        if state[1] % 2 == 1:
            take(view, wishes["bid"][0], 0, 10, 0)
            wishes["bid"][0]["stop_px_ticks"] = view["bid_px_ticks"] - 5000
        else:
            take(view, wishes["ask"][0], 1, 10, 0)
            wishes["ask"][0]["stop_px_ticks"] = view["ask_px_ticks"] + 5000
    return OK

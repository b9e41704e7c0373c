"""Raises, walks out of its arrays, or answers something else than OK, after it has written."""

from engine.strategy.contract import OK, STOP

PARAMETERS = ()


def checked(value):
    if value < 0:
        raise ValueError("negative")
    return value


def decide(view, wishes):
    view["state"][0] += 1
    wishes["bid"][0]["kind"] = 1
    which = view["symbol"] % 5
    if which == 1:
        raise RuntimeError("always")
    if which == 2:
        return STOP
    if which == 3:
        # Beyond the end for half of the values: an IndexError in all three, never a neighbour's memory.
        view["state"][checked(view["bid_qty_lots"] % 64)] = 9
    if which == 4:
        return view["position_lots"]
    checked(view["position_lots"])
    return OK

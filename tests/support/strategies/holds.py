"""Buys one lot and holds it: on a market without a drift there is nothing in it."""

from engine.strategy.contract import NONE, OK, REST

PARAMETERS = ()
ENTERED, CROSS, STOP, QTY = 0, 20, 500_000, 1


def decide(view, wishes):
    if view["position_lots"] > 0:
        view["state"][ENTERED] = 1
    if view["state"][ENTERED] == 1 or view["book_trusted"] == 0:
        wishes["bid"][0]["kind"] = NONE
        return OK
    wishes["bid"][0]["kind"] = REST
    wishes["bid"][0]["px_ticks"] = view["ask_px_ticks"] + CROSS
    wishes["bid"][0]["qty_lots"] = QTY
    wishes["bid"][0]["stop_px_ticks"] = view["ask_px_ticks"] - STOP
    return OK

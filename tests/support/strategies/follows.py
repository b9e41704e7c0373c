"""One bid far below the market that follows it in steps: it is taken back and placed anew, and never filled."""

from engine.strategy.contract import OK, REST, Parameter

PARAMETERS = (
    Parameter("qty", 600, 1, 1_000_000, "lots", "of the bid"),
    Parameter("away", 30_000, 1, 1_000_000, "ticks", "below the touch"),
    Parameter("step", 300, 1, 1_000_000, "ticks", "that the touch moves before the bid does"),
)
QTY, AWAY, STEP = range(3)
TOUCH = 0
STOP = 5_000


def decide(view, wishes):
    state, params, wish = view["state"], view["params"], wishes["bid"][0]
    wishes["signal"]["valid"] = 1
    wishes["signal"]["sources"] = 3
    if view["book_trusted"] == 0:
        return OK
    if abs(view["bid_px_ticks"] - state[TOUCH]) >= params[STEP]:
        state[TOUCH] = view["bid_px_ticks"]
    wish["kind"] = REST
    wish["px_ticks"] = state[TOUCH] - params[AWAY]
    wish["qty_lots"] = params[QTY]
    wish["stop_px_ticks"] = state[TOUCH] - params[AWAY] - STOP
    return OK

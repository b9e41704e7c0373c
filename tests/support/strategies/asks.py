"""Asks for one kind of order again and again: `kind` is the order's type, `away` how far from the touch it may go."""

from engine.strategy.contract import IOC, NONE, OK, REST, Parameter

PARAMETERS = (
    Parameter("kind", 0, 0, 10, "type", "of the wish"),
    Parameter("qty", 10, 1, 1_000_000, "lots", "of the wish"),
    Parameter("part", 2, 1, 1_000_000, "lots", "largest child"),
    Parameter("seconds", 10, 1, 3_600, "s", "span of a sliced parent"),
    Parameter("away", 20, -1_000, 1_000, "ticks", "beyond the touch, or before it"),
)
KIND, QTY, PART, SECONDS, AWAY = range(5)
# A VWAP's profile is the state's first words: two equal halves.
FIRST, SECOND, PX, ENDS_NS, CALLS = 0, 1, 8, 9, 10
# By then every venue of a route has been heard.
PATIENCE = 20
STOP, SECOND_NS, ICEBERG = 5_000, 1_000_000_000, 7


def decide(view, wishes):
    state, params, wish = view["state"], view["params"], wishes["bid"][0]
    wishes["signal"]["valid"] = 1
    wishes["signal"]["sources"] = 3
    state[CALLS] += 1
    if view["book_trusted"] == 0 or state[CALLS] < PATIENCE:
        return OK
    if view["position_lots"] >= params[QTY]:
        wish["kind"] = NONE
        return OK
    if state[PX] == 0:
        # A parent is one wish: it is the same at every call until it has ended.
        state[FIRST] = 1
        state[SECOND] = 1
        state[PX] = view["ask_px_ticks"] + params[AWAY]
        state[ENDS_NS] = view["now_ns"] + params[SECONDS] * SECOND_NS
    wish["kind"] = REST
    wish["type"] = params[KIND]
    wish["px_ticks"] = state[PX]
    wish["qty_lots"] = params[QTY]
    wish["stop_px_ticks"] = state[PX] - STOP
    if params[KIND] >= ICEBERG:
        wish["display_lots"] = params[PART]
    if params[KIND] > ICEBERG:
        wish["expire_ns"] = state[ENDS_NS]
        wish["tif"] = IOC
    return OK

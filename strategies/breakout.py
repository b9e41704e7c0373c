"""Breakout with bracket exits.

Idea: watch the range of the last trades, bar by bar of `bar_s` seconds. When a trade leaves the range of the last
`BARS` bars, enter in that direction at once, at most `slip` ticks beyond the touch, with an order that carries
its protective stop and its target; the bracket does the rest. One position at a time, and `rest_s` seconds of rest
after each entry.

Earns when a range breaks and the price goes on. Loses in a market that pokes out of its range and comes back: every
poke costs the distance to the stop, the spread and two fees. It trades little; it must not be fed with a range that
is narrower than its costs, which is what `range_min` is for.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import IOC, LIMIT, NONE, OK, REST, Parameter, ceil_to_int

PARAMETERS = (
    Parameter("qty", 10, 1, 1_000_000, "lots", "quantity of an entry"),
    Parameter("bar_s", 60, 1, 86_400, "s", "length of a bar"),
    Parameter("range_min", 4, 1, 1_000_000, "ticks", "a narrower range is not traded"),
    Parameter("rest_s", 300, 0, 86_400, "s", "time after an entry without another one"),
    Parameter("slip", 2, 0, 1_000, "ticks", "how far beyond the touch the entry may fill"),
    Parameter("stop_share", 0.5, 0.05, 10.0, "1", "distance of the stop, as a share of the range"),
    Parameter("target_share", 1.5, 0.05, 50.0, "1", "distance of the target, as a share of the range"),
)
QTY, BAR_S, RANGE_MIN, REST_S, SLIP = range(5)
STOP_SHARE, TARGET_SHARE = range(2)

BARS = 8
# state: the current bar's number, high and low, when the last entry was; then a ring of highs and one of lows.
BAR, HIGH, LOW, ENTERED_NS, BAR_COUNT, HIGHS, LOWS = 0, 1, 2, 3, 4, 8, 16
SECOND_NS = 1_000_000_000


def new_bar(view: Any, bar: int, px: int) -> None:
    """Put the finished bar into the ring and begin the next one at this price."""
    state = view["state"]
    if state[BAR_COUNT] > 0:
        at = state[BAR_COUNT] % BARS
        state[HIGHS + at] = state[HIGH]
        state[LOWS + at] = state[LOW]
    state[BAR_COUNT] += 1
    state[BAR] = bar
    state[HIGH] = px
    state[LOW] = px


def share_of(ticks: int, share: float) -> Any:
    """A share of a distance in whole ticks, rounded up, so that a stop is never at the entry itself."""
    return ceil_to_int(float(ticks) * share)


def enter(view: Any, wish: Any, sell: int, ticks: int) -> None:
    params, floats = view["params"], view["params_f64"]
    away = -1 if sell == 1 else 1
    touch = view["bid_px_ticks"] if sell == 1 else view["ask_px_ticks"]
    px = touch + away * params[SLIP]
    wish["kind"] = REST
    wish["type"] = LIMIT
    wish["tif"] = IOC
    wish["px_ticks"] = px
    wish["qty_lots"] = params[QTY]
    wish["stop_px_ticks"] = px - away * share_of(ticks, floats[STOP_SHARE])
    wish["target_px_ticks"] = px + away * share_of(ticks, floats[TARGET_SHARE])
    view["state"][ENTERED_NS] = view["now_ns"]


def decide(view: Any, wishes: Any) -> int:
    state, params = view["state"], view["params"]
    px = view["last_px_ticks"]
    if px <= 0 or view["book_trusted"] == 0:
        return OK
    bar = view["now_ns"] // (params[BAR_S] * SECOND_NS)
    if bar != state[BAR] or state[BAR_COUNT] == 0:
        new_bar(view, bar, px)
    state[HIGH] = max(state[HIGH], px)
    state[LOW] = min(state[LOW], px)
    # The ring is whole after BARS finished bars, one more than the bars begun before this one.
    if state[BAR_COUNT] <= BARS:
        return OK
    high, low = state[HIGHS], state[LOWS]
    for i in range(1, BARS):
        high = max(high, state[HIGHS + i])
        low = min(low, state[LOWS + i])

    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    rested = view["now_ns"] - state[ENTERED_NS] >= params[REST_S] * SECOND_NS
    if view["position_lots"] != 0 or not rested or high - low < params[RANGE_MIN]:
        return OK
    if px > high:
        enter(view, wishes["bid"][0], 0, high - low)
    elif px < low:
        enter(view, wishes["ask"][0], 1, high - low)
    return OK

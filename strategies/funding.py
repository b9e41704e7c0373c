"""Funding-rate capture: be paid for the side of a perpetual that few want, and hold the other side elsewhere.

Idea: longs of a perpetual pay shorts, or the other way round, at fixed hours and by a rate that is told before. The leg
with the higher rate is held short, the one with the lower rate long, in equal value: what the price does to one it does
to the other with the opposite sign, and the difference of the two rates is what is earned. A spot market is a leg whose
rate is 0. Placed twice, once on each symbol, each watching the other.

A position is entered when the difference exceeds `enter_bps` at an exchange, and left when it has fallen below
`exit_bps`: rates persist, so one payment rarely pays for the four fees, and many do. With `both_ways` 0 only the side
that is short on the perpetual is taken, because a spot market cannot be sold short.

Earns where leverage is wanted on one side for long. Loses the fees where a rate turns at once, the basis when the two
prices part at the exit, and what the market does to a leg that stands alone: `cover_s` bounds that.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import (
    NONE,
    OK,
    Parameter,
    alone_ns,
    ceil_to_int,
    floor_to_int,
    leave,
    mid_of,
    protect,
    take,
    unmatched,
)

PEERS = 1
LEGS = 2
PARAMETERS = (
    Parameter("qty", 10, 1, 1_000_000, "lots", "quantity of a leg, in lots of the leg that is entered first"),
    Parameter("slip", 2, 0, 100_000, "ticks", "how far beyond the touch an order may fill"),
    Parameter("age_s", 5, 1, 86_400, "s", "age of either touch beyond which there is no price"),
    Parameter("dust", 1, 0, 1_000_000, "lots", "position that counts as none: what fees leave over on a spot market"),
    Parameter("cover_s", 30, 1, 864_000, "s", "how long a leg may stand alone"),
    Parameter("both_ways", 0, 0, 1, "switch", "whether the perpetual may be the long leg too"),
    Parameter("enter_bps", 1.0, 0.0, 1_000.0, "bps", "difference of the rates at which legs are entered"),
    Parameter("exit_bps", 0.2, -1_000.0, 1_000.0, "bps", "difference at which they are left"),
    Parameter("stop_bps", 2_000.0, 1.0, 10_000.0, "bps", "distance of a leg's own stop: for a venue that goes away"),
)
QTY, SLIP, AGE_S, DUST, COVER_S, BOTH_WAYS = range(6)
ENTER, EXIT, STOP = range(3)

ALONE_NS, TRIED_NS = range(2)  # state
BPS, RATE_BPS, SECOND_NS = 10_000.0, 1.0e-4, 1_000_000_000


def earned_bps(view: Any, peer: Any, short: int) -> float:
    """What the next exchange brings to a leg that is short here (1) or long here (0), with the other leg against it."""
    more = float(view["funding_rate_e8"] - peer["funding_rate_e8"]) * RATE_BPS
    return more if short == 1 else -more


def enter(view: Any, wish: Any, sell: int, qty: Any) -> None:
    take(view, wish, sell, qty, view["params"][SLIP])
    protect(wish, sell, 1 + ceil_to_int(mid_of(view) * view["params_f64"][STOP] / BPS), 0)
    view["state"][TRIED_NS] = view["now_ns"]


def both_are_known(view: Any, peer: Any) -> Any:
    if view["book_trusted"] == 0 or peer["book_trusted"] == 0 or view["peer_count"] < 1:
        return False
    if view["now_ns"] - min(view["book_ns"], peer["book_ns"]) > view["params"][AGE_S] * SECOND_NS:
        return False
    return min(view["lot_e8"], peer["lot_e8"]) > 0 and (view["funding_ns"] > 0 or peer["funding_ns"] > 0)


def decide(view: Any, wishes: Any) -> int:
    state, params, floats, peer = view["state"], view["params"], view["params_f64"], view["peers"][0]
    now, lots = view["now_ns"], view["position_lots"]
    if not both_are_known(view, peer) or now - state[TRIED_NS] < SECOND_NS:
        return OK
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    alone = unmatched(view, peer)
    waited = alone_ns(view, ALONE_NS, alone, params[DUST]) > params[COVER_S] * SECOND_NS
    if abs(lots) > params[DUST]:
        if waited or earned_bps(view, peer, 1 if lots < 0 else 0) <= floats[EXIT]:
            leave(view, wishes, params[SLIP])
            state[TRIED_NS] = now
        return OK
    if abs(alone - float(lots)) > float(params[DUST]):
        # The other leg stands alone: take this one up, unless what it was entered for is gone already.
        sell = 1 if alone > float(lots) else 0
        missing = floor_to_int(abs(alone))
        if missing >= 1 and earned_bps(view, peer, sell) > floats[EXIT]:
            enter(view, wishes["ask"][0] if sell == 1 else wishes["bid"][0], sell, missing)
    elif view["funding_ns"] > 0 and earned_bps(view, peer, 1) >= floats[ENTER]:
        # The perpetual goes first, the other leg follows when it sees what was filled.
        enter(view, wishes["ask"][0], 1, params[QTY])
    elif view["funding_ns"] > 0 and params[BOTH_WAYS] == 1 and earned_bps(view, peer, 0) >= floats[ENTER]:
        enter(view, wishes["bid"][0], 0, params[QTY])
    return OK

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
    enter_leg,
    floor_to_int,
    leave,
    leg_parameters,
    leg_stop,
    legs_known,
    unmatched,
)

PEERS = 1
LEGS = 2
PARAMETERS = (
    *leg_parameters(
        Parameter("age_s", 5, 1, 86_400, "s", "age of either touch beyond which there is no price"),
        slip_max=100_000, cover_s=30, cover_max=864_000,
    ),
    Parameter("both_ways", 0, 0, 1, "switch", "whether the perpetual may be the long leg too"),
    Parameter("enter_bps", 1.0, 0.0, 1_000.0, "bps", "difference of the rates at which legs are entered"),
    Parameter("exit_bps", 0.2, -1_000.0, 1_000.0, "bps", "difference at which they are left"),
    leg_stop(2_000.0),
)  # fmt: skip
QTY, SLIP, AGE_S, DUST, COVER_S, BOTH_WAYS = range(6)
ENTER, EXIT, STOP = range(3)

ALONE_NS, TRIED_NS = range(2)  # state
RATE_BPS, SECOND_NS = 1.0e-4, 1_000_000_000


def earned_bps(view: Any, peer: Any, short: int) -> float:
    """What the next exchange brings to a leg that is short here (1) or long here (0), with the other leg against it."""
    more = float(view["funding_rate_e8"] - peer["funding_rate_e8"]) * RATE_BPS
    return more if short == 1 else -more


def decide(view: Any, wishes: Any) -> int:
    state, params, floats, peer = view["state"], view["params"], view["params_f64"], view["peers"][0]
    now, lots = view["now_ns"], view["position_lots"]
    if not legs_known(view, peer, params[AGE_S] * SECOND_NS) or now - state[TRIED_NS] < SECOND_NS:
        return OK
    if view["funding_ns"] == 0 and peer["funding_ns"] == 0:
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
            wish = wishes["ask"][0] if sell == 1 else wishes["bid"][0]
            enter_leg(view, wish, sell, missing, params[SLIP], floats[STOP], TRIED_NS)
    elif view["funding_ns"] > 0 and earned_bps(view, peer, 1) >= floats[ENTER]:
        # The perpetual goes first, the other leg follows when it sees what was filled.
        enter_leg(view, wishes["ask"][0], 1, params[QTY], params[SLIP], floats[STOP], TRIED_NS)
    elif view["funding_ns"] > 0 and params[BOTH_WAYS] == 1 and earned_bps(view, peer, 0) >= floats[ENTER]:
        enter_leg(view, wishes["bid"][0], 0, params[QTY], params[SLIP], floats[STOP], TRIED_NS)
    return OK

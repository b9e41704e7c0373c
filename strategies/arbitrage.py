"""Cross-venue arbitrage: sell where the same thing is dear, buy where it is cheap, and wait until both agree.

Idea: one underlying at two venues has two prices that wander apart and come back, because others carry it across. When
one venue's bid stands above the other's ask by more than both legs cost in and out and what is to be earned, sell there
and buy here. When the gap has closed to `exit_bps`, both legs are left. Placed twice, once at each venue, each watching
the other: neither leg sends for the other, both see the same two touches and come to the same answer by themselves.

Edge and exit are shares of the price in hundredths of a percent; tick and lot may differ, values are compared.

Earns when the gap closes. Loses when it does not: a gap is often a reason (a venue that does not pay out, other money).
One leg may fill alone; the other sees the uncovered position and takes it up, and after `cover_s` seconds the leg that
is alone is left at a loss. A touch older than `age_ms` is no price: who trades against a stale screen pays for it.
On a venue without short positions the dear leg is denied by the gate, and the cheap one is left again.
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
    mid_of,
    unmatched,
)

PEERS = 1
LEGS = 2
PARAMETERS = (
    *leg_parameters(
        Parameter("age_ms", 1_000, 1, 600_000, "ms", "age of either touch beyond which there is no price"),
        slip_max=1_000, cover_s=5, cover_max=86_400,
    ),
    Parameter("edge_bps", 45.0, 0.0, 10_000.0, "bps", "least gap between bid and ask: four fees and the profit"),
    Parameter("exit_bps", 2.0, -1_000.0, 10_000.0, "bps", "gap at which both legs are left"),
    leg_stop(500.0),
)  # fmt: skip
QTY, SLIP, AGE_MS, DUST, COVER_S = range(5)
EDGE, EXIT, STOP = range(3)

ALONE_NS, TRIED_NS = range(2)  # state
BPS, MS_NS, SECOND_NS = 10_000.0, 1_000_000, 1_000_000_000
WAIT_NS = 500_000_000


def gap_bps(view: Any, peer: Any, sell: int) -> float:
    """What selling at the dear touch and buying at the cheap one brings: sell here (1) or buy here (0)."""
    if sell == 1:
        dear = float(view["bid_px_ticks"]) * float(view["tick_e8"])
        cheap = float(peer["ask_px_ticks"]) * float(peer["tick_e8"])
    else:
        dear = float(peer["bid_px_ticks"]) * float(peer["tick_e8"])
        cheap = float(view["ask_px_ticks"]) * float(view["tick_e8"])
    return BPS * (dear - cheap) / cheap


def left_bps(view: Any, peer: Any, short: int) -> float:
    """How far the mids are still apart in favour of a leg that is short here (1) or long here (0)."""
    here = mid_of(view) * float(view["tick_e8"])
    there = mid_of(peer) * float(peer["tick_e8"])
    return BPS * (here - there) / there if short == 1 else BPS * (there - here) / there


def decide(view: Any, wishes: Any) -> int:
    state, params, floats, peer = view["state"], view["params"], view["params_f64"], view["peers"][0]
    now, lots = view["now_ns"], view["position_lots"]
    # An order has the time of an answer before the next one is made.
    if not legs_known(view, peer, params[AGE_MS] * MS_NS) or now - state[TRIED_NS] < WAIT_NS:
        return OK
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    alone = unmatched(view, peer)
    waited = alone_ns(view, ALONE_NS, alone, params[DUST]) > params[COVER_S] * SECOND_NS
    if abs(lots) > params[DUST]:
        if waited or left_bps(view, peer, 1 if lots < 0 else 0) <= floats[EXIT]:
            leave(view, wishes, params[SLIP])
            state[TRIED_NS] = now
    elif abs(alone - float(lots)) > float(params[DUST]):
        # The other leg stands alone: take this one up, unless what it was entered for is gone already.
        sell = 1 if alone > float(lots) else 0
        missing = floor_to_int(abs(alone))
        if missing >= 1 and left_bps(view, peer, sell) > floats[EXIT]:
            wish = wishes["ask"][0] if sell == 1 else wishes["bid"][0]
            enter_leg(view, wish, sell, missing, params[SLIP], floats[STOP], TRIED_NS)
    elif gap_bps(view, peer, 1) >= floats[EDGE]:
        enter_leg(view, wishes["ask"][0], 1, params[QTY], params[SLIP], floats[STOP], TRIED_NS)
    elif gap_bps(view, peer, 0) >= floats[EDGE]:
        enter_leg(view, wishes["bid"][0], 0, params[QTY], params[SLIP], floats[STOP], TRIED_NS)
    return OK

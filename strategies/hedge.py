"""Emergency hedge: while what is held elsewhere falls fast, hold the opposite here until the fall is over.

Idea: a position that cannot be sold at once, or shall not be, is covered in a market that moves with it: the spot
holding by its perpetual. The peer's high is remembered and fades with a span of `fade_bars` bars; when its mid closes
`fall_bps` below that high and something is held there, this symbol is brought to `ratio` of it with the opposite sign,
and follows what is held as that changes. The cover is taken off when the peer has come back to `back_bps` below the
high, or when nothing is held any more. Insurance is not a bet: without a holding this strategy never trades.

Earns in a crash what the holding loses, less fees and the basis. Loses in every fall that turns at once: it sells low,
buys back higher, and pays two fees for it. That is its price, and `fall_bps` is how often it is paid.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import (
    NONE,
    OK,
    Parameter,
    ceil_to_int,
    floor_to_int,
    leave,
    mid_of,
    protect,
    smooth,
    take,
)

PEERS = 1
PARAMETERS = (
    Parameter("bar_s", 60, 1, 86_400, "s", "length of a bar"),
    Parameter("slip", 5, 0, 100_000, "ticks", "how far beyond the touch an order may fill"),
    Parameter("order_max", 1_000, 1, 1_000_000_000, "lots", "largest order: the cover is taken in several"),
    Parameter("age_s", 5, 1, 86_400, "s", "age of either touch beyond which it says nothing"),
    Parameter("fade_bars", 240.0, 1.0, 1_000_000.0, "bars", "span in which an old high fades towards the price"),
    Parameter("fall_bps", 100.0, 0.1, 10_000.0, "bps", "fall below the high at which the cover is taken"),
    Parameter("back_bps", 30.0, 0.0, 10_000.0, "bps", "fall at which it is taken off"),
    Parameter("ratio", 1.0, 0.01, 10.0, "1", "share of the holding that is covered"),
    Parameter("stop_bps", 1_000.0, 1.0, 10_000.0, "bps", "distance of the cover's own stop"),
)
BAR_S, SLIP, ORDER_MAX, AGE_S = range(4)
FADE, FALL, BACK, RATIO, STOP = range(5)

BAR, COVERED = range(2)  # state
HIGH = 0  # state_f64
BPS, SECOND_NS = 10_000.0, 1_000_000_000


def wanted_lots(view: Any, peer: Any) -> Any:
    """The position here that is worth as much as what is held there, with the opposite sign, in own lots."""
    there = float(peer["position_lots"]) * mid_of(peer) * float(peer["tick_e8"]) * float(peer["lot_e8"])
    here = mid_of(view) * float(view["tick_e8"]) * float(view["lot_e8"])
    lots = floor_to_int(abs(there) / here * view["params_f64"][RATIO]) if here > 0.0 else 0
    return -lots if there > 0.0 else lots


def watch(view: Any, peer: Any) -> None:
    """The high, and whether what is held there is covered now. A short holding is hurt by a rise: the mirror of it."""
    state, kept, floats = view["state"], view["state_f64"], view["params_f64"]
    mid, held = mid_of(peer), peer["position_lots"]
    if kept[HIGH] <= 0.0:
        kept[HIGH] = mid
    faded = smooth(kept[HIGH], mid, floats[FADE])
    kept[HIGH] = max(mid, faded) if held >= 0 else min(mid, faded)
    hurt = BPS * (kept[HIGH] - mid) / kept[HIGH] if held >= 0 else BPS * (mid - kept[HIGH]) / kept[HIGH]
    if held == 0 or hurt <= floats[BACK]:
        state[COVERED] = 0
    elif hurt >= floats[FALL]:
        state[COVERED] = 1


def decide(view: Any, wishes: Any) -> int:
    state, params, peer = view["state"], view["params"], view["peers"][0]
    if view["book_trusted"] == 0 or peer["book_trusted"] == 0 or view["peer_count"] < 1 or view["lot_e8"] <= 0:
        return OK
    bar = view["now_ns"] // (params[BAR_S] * SECOND_NS)
    if bar == state[BAR] or view["now_ns"] - min(view["book_ns"], peer["book_ns"]) > params[AGE_S] * SECOND_NS:
        return OK
    state[BAR] = bar
    watch(view, peer)
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    lots = view["position_lots"]
    wanted = wanted_lots(view, peer) if state[COVERED] == 1 else 0
    # A tenth too little and a fifth too much are left: to follow every tick of the price would cost more than it saves.
    most = abs(wanted) + abs(wanted) // 5
    if wanted == 0 or (wanted > 0 and lots < 0) or (wanted < 0 and lots > 0) or abs(lots) > most:
        leave(view, wishes, params[SLIP])
        return OK
    missing = min(abs(wanted) - abs(lots), params[ORDER_MAX])
    if missing < 1 or 10 * abs(lots) > 9 * abs(wanted):
        return OK
    sell = 1 if wanted < 0 else 0
    wish = wishes["ask"][0] if sell == 1 else wishes["bid"][0]
    take(view, wish, sell, missing, params[SLIP])
    protect(wish, sell, 1 + ceil_to_int(mid_of(view) * view["params_f64"][STOP] / BPS), 0)
    return OK

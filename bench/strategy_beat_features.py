"""The same orders as strategy_beat, by a strategy that reads ten features at each quote.

Idea: none. It buys and sells in turn, but not where the ten of them add up to nothing at all. Loses the spread.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import NONE, OK, Feature, Parameter, take

FEATURES = (
    Feature("ema", 20), Feature("rsi", 14), Feature("atr", 14), Feature("macd_hist", 12), Feature("bb_pos", 20),
    Feature("zscore", 20), Feature("slope", 20), Feature("std", 20), Feature("roc", 10), Feature("ema", 50),
)  # fmt: skip
PARAMETERS = (Parameter("every", 10_000, 1, 1_000_000_000, "calls", "calls from one order to the next"),)


def decide(view: Any, wishes: Any) -> int:
    state, features = view["state"], view["features"]
    state[0] += 1
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    total = 0.0
    for i in range(10):
        total += features[i]
    if total != 0.0 and view["book_trusted"] == 1 and state[0] % view["params"][0] == 0:
        state[1] += 1
        if state[1] % 2 == 1:
            take(view, wishes["bid"][0], 0, 10, 0)
            wishes["bid"][0]["stop_px_ticks"] = view["bid_px_ticks"] - 5000
        else:
            take(view, wishes["ask"][0], 1, 10, 0)
            wishes["ask"][0]["stop_px_ticks"] = view["ask_px_ticks"] + 5000
    return OK

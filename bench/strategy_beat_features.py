"""The same orders as strategy_beat, by a strategy that reads ten features at each quote.

Idea: none. It buys and sells in turn, but not where the ten of them add up to nothing at all. Loses the spread.
"""

from __future__ import annotations

from typing import Any

from bench.strategy_beat import PARAMETERS, beat
from engine.strategy.contract import Feature

FEATURES = (
    Feature("ema", 20), Feature("rsi", 14), Feature("atr", 14), Feature("macd_hist", 12), Feature("bb_pos", 20),
    Feature("zscore", 20), Feature("slope", 20), Feature("std", 20), Feature("roc", 10), Feature("ema", 50),
)  # fmt: skip
__all__ = ["FEATURES", "PARAMETERS", "decide"]


def decide(view: Any, wishes: Any) -> int:
    features = view["features"]
    total = 0.0
    for i in range(10):
        total += features[i]
    return beat(view, wishes, total != 0.0)

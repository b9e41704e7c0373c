"""The events that the engine makes itself: its timer, a person's wish, a limit that became stricter, who denies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.limits import Limit
from engine._core.strategy import StopReason, StrategyAct
from engine._core.types import CONTROL, EVENT, Kind, SymbolWord

Records = npt.NDArray[Any]


def _blank(kind: Kind, now_ns: int) -> Records:
    event = np.zeros(1, EVENT)
    event["kind"], event["ts_recv_ns"] = kind, now_ns
    return event


def timer_event(now_ns: int) -> Records:
    return _blank(Kind.KIND_TIMER, now_ns)


def control_event(now_ns: int, **words: int) -> Records:
    """The latch, a mode, or both, by the names of `control_event_t`."""
    event = _blank(Kind.KIND_CONTROL, now_ns)
    view = event.view(CONTROL)
    for name, value in words.items():
        view[name] = value
    return event


def denied_event(now_ns: int, mask: int) -> Records:
    """Which breakers on the order's way deny calls; 0: none."""
    event = _blank(Kind.KIND_DENIED, now_ns)
    event["word"][0, 0] = mask
    return event


def limit_event(now_ns: int, limit: Limit, value: int) -> Records:
    event = _blank(Kind.KIND_LIMIT, now_ns)
    event["word"][0, :2] = int(limit), value
    return event


def strategy_event(now_ns: int, slot: int, act: StrategyAct, why: StopReason) -> Records:
    """A strategy is stopped, or goes on, and for what reason."""
    event = _blank(Kind.KIND_STRATEGY, now_ns)
    event["word"][0, :3] = slot, int(act), int(why)
    return event


def strategy_word_event(now_ns: int, slot: int, act: StrategyAct, lots: int, until_ns: int) -> Records:
    """A person's word for one order of a strategy: so many lots, negative to sell, until then."""
    event = _blank(Kind.KIND_STRATEGY, now_ns)
    event["word"][0, :4] = slot, int(act), lots, until_ns
    return event


def fees_event(now_ns: int, symbol: int, maker_e8: int, taker_e8: int) -> Records:
    """What the account pays for a symbol from now on, as the venue says it."""
    event = _blank(Kind.KIND_SYMBOL, now_ns)
    event["symbol"] = symbol
    event["word"][0, :4] = int(SymbolWord.SYMBOL_FEES), 0, maker_e8, taker_e8
    return event

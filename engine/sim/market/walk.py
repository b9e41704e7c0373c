"""A generated market: quotes and trades of one symbol as a seeded random walk of the touch.

Simple on purpose: enough to drive the whole path with plausible spreads, sizes and arrival times. Everything is
drawn from the one seed, so the same call gives the same events.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, QUOTE, TRADE, Flag, Kind


def random_walk(
    *,
    seed: int,
    count: int,
    start_ns: int = 1_700_000_000_000_000_000,
    px_ticks: int = 50_000,
    symbol: int = 0,
    first_id: int = 0,
) -> npt.NDArray[Any]:
    """`count` events: about two quotes to one trade, exponential gaps with a mean of 2 ms; ids from `first_id` on."""
    rng = np.random.default_rng(seed)
    events = np.zeros(count, EVENT)
    quotes, trades = events.view(QUOTE), events.view(TRADE)

    times = start_ns + np.cumsum(rng.exponential(2_000_000, count).astype(np.int64) + 1)
    events["ts_recv_ns"] = times
    # What the venue stamped later did not arrive earlier: a stream keeps its order.
    events["ts_venue_ns"] = np.maximum.accumulate(times - rng.integers(100_000, 900_000, count))
    events["symbol"] = symbol

    bid = px_ticks + np.cumsum(rng.choice([-1, 0, 0, 0, 1], count))
    ask = bid + rng.choice([1, 1, 1, 2, 3], count)
    is_trade = rng.random(count) < 1 / 3

    at = ~is_trade
    events["kind"][at] = Kind.KIND_QUOTE
    events["flags"][at] = Flag.FLAG_FIRST | Flag.FLAG_LAST
    quotes["bid_px_ticks"][at], quotes["ask_px_ticks"][at] = bid[at], ask[at]
    quotes["bid_qty_lots"][at] = rng.integers(1, 500, at.sum())
    quotes["ask_qty_lots"][at] = rng.integers(1, 500, at.sum())
    quotes["id_book"][at] = first_id + np.arange(count)[at]

    at = is_trade
    sells = rng.random(count) < 0.5
    events["kind"][at] = Kind.KIND_TRADE
    events["flags"][at] = np.where(sells[at], Flag.FLAG_SELL, 0)
    trades["px_ticks"][at] = np.where(sells[at], bid[at], ask[at])
    trades["qty_lots"][at] = rng.integers(1, 50, at.sum())
    trades["id_trade"][at] = first_id + np.arange(count)[at]
    return events

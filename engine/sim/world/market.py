"""The market of a seeded world: what the touch is and when somebody trades there, without the engine's orders.

Two kinds. `walk` is a seeded random walk, cheap, pulled back to where it began; `flow` is order flow fitted to
recordings, its regimes sixty times as fast, slower and with trends, crashes and gaps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from engine._core.types import Kind
from engine.sim.market import FlowMarket, FlowSymbol
from engine.sim.world.faults import START_NS

FLOW_PACE = 60  # so that ten hours see every regime
TRADED = 0.3  # share of the walk's moments at which somebody trades
QUOTE, TRADE = int(Kind.KIND_QUOTE), int(Kind.KIND_TRADE)


class Moment(NamedTuple):
    now_ns: int
    bid_ticks: int
    ask_ticks: int
    sold: int  # 1: somebody sold at the bid since the last moment; -1: bought at the ask; 0: nobody traded


def moments(kind: str, *, seed: int, px_ticks: int, gap_ns: int, end_ns: int) -> Iterator[Moment]:
    make = walk if kind == "walk" else flow
    return make(seed, px_ticks, gap_ns, end_ns)


def walk(seed: int, px_ticks: int, gap_ns: int, end_ns: int) -> Iterator[Moment]:
    """In chunks, so that a thousand hours need no memory."""
    rng = np.random.default_rng(seed)
    at, bid = START_NS, px_ticks
    while at < end_ns:
        times = at + np.cumsum(rng.exponential(gap_ns, 4096).astype(np.int64) + 1)
        # Pulled back to where it began, so that no price leaves the instrument's range in a long run.
        steps = rng.choice([-2, -1, 0, 1, 2], 4096)
        spread = rng.choice([1, 1, 2, 3], 4096)
        sold = np.where(rng.random(4096) < TRADED, rng.choice([-1, 1], 4096), 0)
        for now, step, wide, took in zip(times.tolist(), steps.tolist(), spread.tolist(), sold.tolist(), strict=True):
            if now >= end_ns:
                return
            bid += step - (bid > px_ticks + 500) + (bid < px_ticks - 500)
            yield Moment(now, bid, bid + wide, took)
        at = int(times[-1])


def flow(seed: int, px_ticks: int, gap_ns: int, end_ns: int) -> Iterator[Moment]:
    """The touch of fitted order flow, seen as often as the walk's; each stretch begins where the price began."""
    at, stretches = START_NS, itertools.count(seed * 1_000_003)
    while at < end_ns:
        symbol = FlowSymbol("BTCUSDT", px_ticks, 10**6, 10**5, 10 * px_ticks, 10**9)
        market = FlowMarket([symbol], seed=next(stretches), start_ns=at, pace=FLOW_PACE, depth=False)
        bid = px_ticks
        # No price leaves the instrument's range in a long run: beyond a tenth the market opens anew.
        while at < end_ns and abs(bid - px_ticks) < px_ticks // 10:
            events = market.stretch()
            quotes = events[events["kind"] == QUOTE]
            trades = events[events["kind"] == TRADE]
            times = quotes["ts_recv_ns"]
            shown = np.flatnonzero(np.diff(times // gap_ns, append=-1))
            met = np.searchsorted(trades["ts_recv_ns"], times[shown], side="right")
            before = 0
            for i, count in zip(shown.tolist(), met.tolist(), strict=True):
                if times[i] >= end_ns:
                    return
                bid = int(quotes["word"][i, 0])
                sells = bool(trades["flags"][count - 1] & 4) if count > before else False
                took = 0 if count == before else 1 if sells else -1
                before = count
                yield Moment(int(times[i]), bid, int(quotes["word"][i, 2]), took)
            at = market.end_ns

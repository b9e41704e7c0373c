"""Closed bars over real sockets: each reaches the core once, whatever the connections do, on spot and perpetuals."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from engine._core.types import BAR_PRICES, BAR_TOTALS, Flag, Kind
from tests.support.loopback import bench

BARS = 4


def closed_of(both):
    """(when it began, its prices) of each closed bar that the core was given."""
    found = []
    for events in both.inputs():
        prices = events[events["kind"] == int(Kind.KIND_BAR_PRICES)].view(BAR_PRICES)
        totals = events[events["kind"] == int(Kind.KIND_BAR_TOTALS)].view(BAR_TOTALS)
        for p, t in zip(prices, totals, strict=True):
            if p["flags"] & Flag.FLAG_CLOSED:
                row = tuple(int(p[name]) for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"))
                found.append((int(t["ts_open_ns"]), row, int(t["trade_count"])))
    return found


@pytest.mark.parametrize(("hot_spare", "kind"), [(True, "spot"), (False, "usdm")])
def test_each_bar_that_closes_is_told_once_and_is_the_venues_own(tmp_path, hot_spare, kind):
    async def main():
        async with bench(tmp_path, symbols=1, hot_spare=hot_spare, kind=kind, bars=("BTCUSDT", "1s")) as both:
            await both.until(lambda: len(closed_of(both)) >= BARS, f"{BARS} closed bars")
            for socket in list(both.server._sockets):
                socket.cut()
            seen = len(closed_of(both))
            await both.until(lambda: len(closed_of(both)) >= seen + 2, "bars after a cut")
            told = closed_of(both)
            assert (np.diff([began for began, *_ in told]) > 0).all()
            market = both.exchange.market("BTCUSDT")
            theirs = {k.open_ns: ((k.open, k.high, k.low, k.close), k.trades) for k in market.klines["1s"].values()}
            assert all(theirs[began] == (prices, trades) for began, prices, trades in told)
            await both.end()

    asyncio.run(main())

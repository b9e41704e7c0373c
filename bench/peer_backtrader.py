"""backtrader beside a backtest of quotes: a price a bar and an order each ten thousand, driven bar by bar as live.

What is asked of it is less: its broker knows one price a bar, no book, no latency, no gate and no features.
"""

from __future__ import annotations

import time

import backtrader
import numpy as np
import numpy.typing as npt

from bench.harness import sized

DAY = 700_000.0


class _Prices(backtrader.feeds.DataBase):
    params = (("rows", None),)

    def start(self) -> None:
        super().start()
        self.at = 0

    def _load(self) -> bool:
        if self.at >= len(self.p.rows):
            return False
        lines = self.lines
        lines.datetime[0] = DAY + self.at / 86_400.0
        lines.open[0] = lines.high[0] = lines.low[0] = lines.close[0] = self.p.rows[self.at]
        lines.volume[0], lines.openinterest[0] = 1.0, 0.0
        self.at += 1
        return True


class _Beat(backtrader.Strategy):
    params = (("every", 10_000),)

    def __init__(self) -> None:
        self.count = self.sent = 0

    def next(self) -> None:
        self.count += 1
        if self.count % self.p.every == 0:
            self.sent += 1
            (self.buy if self.sent % 2 else self.sell)(size=1)


def bare_rate_samples() -> tuple[npt.NDArray[np.float64], int]:
    """Million prices a second, and the orders that were sent."""
    count, every = sized(30_000, 1_000), sized(10_000, 100)
    rows = 60_000 + 0.1 * np.random.default_rng(5).integers(-2, 3, count).cumsum()
    rates, sent = [], 0
    for _ in range(sized(3, 1)):
        run = backtrader.Cerebro(stdstats=False)
        run.adddata(_Prices(rows=rows))
        run.addstrategy(_Beat, every=every)
        start = time.process_time()
        done = run.run(runonce=False, preload=False)
        rates.append(count / (time.process_time() - start) / 1e6)
        sent = done[0].sent
    assert sent == count // every
    return np.array(rates), sent

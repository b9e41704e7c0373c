"""nautilus_trader beside the gate and the order path: its own parts, driven as its backtest engine drives them.

What is asked of it is less than what the kernels do: its risk engine checks a price, a quantity, a notional and a
balance where the gate gives a verdict on every rule. What it does more is make objects, which is how it works.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from bench.harness import sized
from bench.peer_python import indicators

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nautilus_trader.accounting.factory import AccountFactory
    from nautilus_trader.adapters.binance.common.schemas.market import BinanceOrderBookMsg, BinanceQuoteMsg
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.cache.cache import Cache
    from nautilus_trader.common.component import MessageBus, TestClock
    from nautilus_trader.common.factories import OrderFactory
    from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
    from nautilus_trader.core.uuid import UUID4
    from nautilus_trader.execution.messages import SubmitOrder
    from nautilus_trader.indicators import (
        DoubleExponentialMovingAverage,
        EfficiencyRatio,
        ExponentialMovingAverage,
        HullMovingAverage,
        MovingAverageConvergenceDivergence,
        RateOfChange,
        RelativeStrengthIndex,
        SimpleMovingAverage,
        WeightedMovingAverage,
    )
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.currencies import BTC, USDT
    from nautilus_trader.model.data import QuoteTick
    from nautilus_trader.model.enums import AccountType, BookType, OmsType, OrderSide
    from nautilus_trader.model.events import AccountState
    from nautilus_trader.model.identifiers import AccountId, StrategyId, TraderId, Venue
    from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity
    from nautilus_trader.portfolio.portfolio import Portfolio
    from nautilus_trader.risk.engine import RiskEngine
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy

    INSTRUMENT = TestInstrumentProvider.btcusdt_perp_binance()

NO_RATE_LIMIT = "100000000/00:00:01"
START_NS = 1_700_000_000_000_000_000


def _quote(px: float, at_ns: int) -> QuoteTick:
    price, size = INSTRUMENT.price_precision, INSTRUMENT.size_precision
    return QuoteTick(
        INSTRUMENT.id, Price(px, price), Price(px + 0.1, price), Quantity(1.0, size), Quantity(1.0, size), at_ns, at_ns
    )


def _risk_engine() -> tuple[RiskEngine, TestClock, list[Any]]:  # type: ignore[no-any-unimported]
    """A risk engine with an account, an instrument and a quote; what it lets pass ends in the list."""
    clock, trader = TestClock(), TraderId("BENCH-001")
    bus, cache = MessageBus(trader_id=trader, clock=clock), Cache(database=None)
    portfolio = Portfolio(msgbus=bus, cache=cache, clock=clock)
    config = RiskEngineConfig(
        max_order_submit_rate=NO_RATE_LIMIT, max_notional_per_order={str(INSTRUMENT.id): 50_000_000}
    )
    risk = RiskEngine(portfolio=portfolio, msgbus=bus, cache=cache, clock=clock, config=config)
    passed: list[Any] = []
    bus.register(endpoint="ExecEngine.execute", handler=passed.append)
    balances = [AccountBalance(Money(1e9, USDT), Money(0, USDT), Money(1e9, USDT))]
    state = AccountState(
        account_id=AccountId("BINANCE-001"), account_type=AccountType.MARGIN, base_currency=None, reported=True,
        balances=balances, margins=[], info={}, event_id=UUID4(), ts_event=0, ts_init=0,
    )  # fmt: skip
    cache.add_account(AccountFactory.create(state))
    cache.add_instrument(INSTRUMENT)
    cache.add_quote_tick(_quote(60_000.0, 0))
    return risk, clock, passed


def tick_to_order_stages(frames: list[bytes]) -> tuple[dict[str, float], int]:
    """The medians of a depth message's way through its parts, in nanoseconds: schema, deltas, book, indicators, risk.

    No adapter, no message bus between them, no order text: what those cost comes on top.
    """
    trader, strategy = TraderId("BENCH-001"), StrategyId("BENCH-001")
    risk, clock, passed = _risk_engine()
    orders = OrderFactory(trader_id=trader, strategy_id=strategy, clock=clock)
    book = OrderBook(INSTRUMENT.id, BookType.L2_MBP)
    decode = msgspec.json.Decoder(BinanceOrderBookMsg).decode
    _, plain, ranged = indicators()
    spent, now, quantity = [], time.perf_counter_ns, INSTRUMENT.make_qty(0.005)
    for at, frame in enumerate(frames):
        t0 = now()
        data = decode(frame).data
        t1 = now()
        book.apply_deltas(data.parse_to_order_book_deltas(INSTRUMENT.id, at))
        bid, ask = float(book.best_bid_price()), float(book.best_ask_price())
        t2 = now()
        mid = (bid + ask) / 2
        for update in plain:
            update(mid)
        for update in ranged:
            update(mid + 0.1, mid - 0.1, mid)
        t3 = now()
        order = orders.limit(INSTRUMENT.id, OrderSide.BUY, quantity, INSTRUMENT.make_price(bid))
        command = SubmitOrder(trader_id=trader, strategy_id=strategy, command_id=UUID4(), ts_init=0, order=order)
        t4 = now()
        risk.execute(command)
        spent.append((t1 - t0, t2 - t1, t3 - t2, t4 - t3, now() - t4))
    if len(passed) != len(frames):
        raise AssertionError(f"the peer denied {len(frames) - len(passed)} orders")
    medians = np.median(np.array(spent, float), axis=0)
    return dict(zip(("parse", "book", "features", "orders", "gate"), medians.tolist(), strict=True)), len(passed)


def quote_decode(frames: list[bytes]) -> tuple[float, int]:
    """Nanoseconds of a best bid and ask: schema, then its own quote object."""
    decode = msgspec.json.Decoder(BinanceQuoteMsg).decode
    start = time.perf_counter_ns()
    for at, frame in enumerate(frames):
        decode(frame).data.parse_to_quote_tick(INSTRUMENT.id, at)
    return (time.perf_counter_ns() - start) / len(frames), len(frames)


def risk_samples() -> tuple[npt.NDArray[np.float64], int]:
    """Nanoseconds of `RiskEngine.execute(SubmitOrder)` per limit order, orders and commands made beforehand."""
    trader = TraderId("BENCH-001")
    risk, clock, passed = _risk_engine()
    strategy = StrategyId("BENCH-001")
    orders = OrderFactory(trader_id=trader, strategy_id=strategy, clock=clock)
    quantity, price = INSTRUMENT.make_qty(0.5), INSTRUMENT.make_price(60_000.0)

    rounds, count = sized(9, 2), sized(2_000, 5)
    samples = np.zeros(rounds)
    for at in range(rounds):
        commands = [
            SubmitOrder(trader_id=trader, strategy_id=strategy, command_id=UUID4(), ts_init=0,
                        order=orders.limit(INSTRUMENT.id, OrderSide.BUY if i & 1 else OrderSide.SELL, quantity, price))
            for i in range(count)
        ]  # fmt: skip
        start = time.perf_counter_ns()
        for command in commands:
            risk.execute(command)
        samples[at] = (time.perf_counter_ns() - start) / count
    if len(passed) != rounds * count:
        raise AssertionError(f"the peer denied {rounds * count - len(passed)} orders")
    return samples, len(passed)


class _PairsConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg,misc,no-any-unimported]
    every: int


class _Pairs(Strategy):  # type: ignore[misc,no-any-unimported]
    """A market order each `every` quotes, buy and sell in turn; none when it is zero."""

    def __init__(self, config: _PairsConfig) -> None:
        super().__init__(config)
        self.seen, self.sent = 0, 0

    def on_start(self) -> None:
        self.subscribe_quote_ticks(INSTRUMENT.id)

    def on_quote_tick(self, tick: Any) -> None:  # noqa: ARG002  (the name is the peer's)
        self.seen += 1
        if self.config.every and self.seen % self.config.every == 0:
            self.sent += 1
            side = OrderSide.BUY if self.sent & 1 else OrderSide.SELL
            self.submit_order(self.order_factory.market(INSTRUMENT.id, side, INSTRUMENT.make_qty(0.01)))


def _run(quotes: list[Any], every: int, kind: type[Any] = _Pairs) -> tuple[int, int]:
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id="BENCH-001", run_analysis=False, logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(max_order_submit_rate=NO_RATE_LIMIT),
        )
    )  # fmt: skip
    engine.add_venue(
        venue=Venue("BINANCE"), oms_type=OmsType.NETTING, account_type=AccountType.MARGIN, base_currency=None,
        starting_balances=[Money(1_000_000, USDT), Money(100, BTC)], book_type=BookType.L1_MBP,
    )  # fmt: skip
    engine.add_instrument(INSTRUMENT)
    engine.add_data(quotes)
    strategy = kind(_PairsConfig(every=every))
    engine.add_strategy(strategy)
    start = time.perf_counter_ns()
    engine.run()
    took = time.perf_counter_ns() - start
    sent = strategy.sent
    engine.dispose()
    return took, sent


def order_path_samples() -> tuple[npt.NDArray[np.float64], int]:
    """Nanoseconds of one market order through its whole path, venue included: a run with orders less one without."""
    quotes = [_quote(60_000.0 + 0.1 * (i % 50), START_NS + i * 1_000_000) for i in range(sized(4_000, 200))]
    rounds = sized(5, 1)
    samples, total = np.zeros(rounds), 0
    _run(quotes[:100], 20)
    for at in range(rounds):
        idle, _ = _run(quotes, 0)
        busy, sent = _run(quotes, 20)
        samples[at] = max(busy - idle, 0) / sent
        total += sent
    return samples, total


class _Reads(_Pairs):
    """The same orders, and ten of its own indicators updated at each quote."""

    def on_start(self) -> None:
        self.indicators = [
            ExponentialMovingAverage(20), ExponentialMovingAverage(50), RelativeStrengthIndex(14), RateOfChange(10),
            MovingAverageConvergenceDivergence(12, 26), SimpleMovingAverage(20), DoubleExponentialMovingAverage(20),
            WeightedMovingAverage(20), HullMovingAverage(20), EfficiencyRatio(10),
        ]  # fmt: skip
        super().on_start()

    def on_quote_tick(self, tick: Any) -> None:
        middle = (float(tick.bid_price) + float(tick.ask_price)) / 2
        for indicator in self.indicators:
            indicator.update_raw(middle)
        super().on_quote_tick(tick)


def quotes_rate_samples() -> tuple[npt.NDArray[np.float64], int]:
    """Million quotes a second of its backtest with ten indicators and an order each 10,000 quotes."""
    count = sized(50_000, 500)
    mids = 60_000.0 + np.cumsum(np.random.default_rng(5).integers(-2, 3, count)) * 0.1
    quotes = [_quote(px, START_NS + i * 1_000_000) for i, px in enumerate(mids.tolist())]
    _run(quotes[:1000], 100, _Reads)
    runs = [_run(quotes, sized(10_000, 100), _Reads) for _ in range(sized(3, 1))]
    return np.array([count * 1e3 / took for took, _ in runs]), sum(sent for _, sent in runs)

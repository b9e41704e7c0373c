"""Paper's exchange: a generated market and the embedded venue in this process, both on the engine's time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, Kind
from engine.journal.port import VenueOrder, VenueTrade, VenueView
from engine.journal.reconcile import Row
from engine.runtime import closed_bars
from engine.runtime.engine import Depth
from engine.settings.schema import Settings
from engine.settings.trading import Instrument as InstrumentSettings
from engine.sim.market import EchoMarket, FlowMarket, FlowSymbol, Market, Walk, WalkMarket
from engine.sim.venue.bars import ClosedBars
from engine.sim.venue.embedded import EmbeddedVenue
from engine.sim.venue.embedded_config import EmbeddedConfig
from engine.sim.venue.instruments import Instrument
from engine.sim.venue.orders import Order

# No intent arrives sooner than this, so no event within it can depend on an answer to another one.
REACH_NS = 2_000_000
_LEVEL = int(Kind.KIND_BOOK_LEVEL)


class EmbeddedExchange:
    """Gives market events and reports in one order of time; takes intents."""

    def __init__(self, settings: Settings, start_ns: int) -> None:
        instruments = venue_instruments(settings)
        assets = {settings.account.asset: 0} | {i.base: 1 + at for at, i in enumerate(instruments)}
        self.venue = EmbeddedVenue(
            EmbeddedConfig(
                instruments=instruments,
                deposits={settings.account.asset: settings.account.capital},
                assets=assets,
                report_fees=True,
                start_ns=start_ns,
            ),
            settings.engine.seed,
        )
        self._asset = settings.account.asset
        bars = closed_bars.wanted(settings)
        ticks_e8 = {at: i.unit_e8 for at, i in enumerate(instruments) if i.symbol in bars}
        self._bars = ClosedBars(ticks_e8, closed_bars.span_ns(settings.features.bars), start_ns) if bars else None
        self._market = market_of(settings, start_ns)
        self._events: npt.NDArray[Any] = np.empty(0, EVENT)
        self._at = 0

    def poll(self, until_ns: int) -> npt.NDArray[Any]:
        while True:
            market_ns = self._next_market_ns()
            due = self.venue.next_due_ns()
            if due is not None and due <= min(until_ns, market_ns):
                reports = self.venue.advance(due)
                if len(reports):
                    return reports
                continue
            if market_ns > until_ns:
                return np.empty(0, EVENT)
            last = min(until_ns, market_ns + REACH_NS, until_ns if due is None else due - 1)
            end = int(np.searchsorted(self._events["ts_recv_ns"], last, side="right"))
            batch = self._events[self._at : end]
            self._at = end
            kept = self.venue.market(batch)
            # Levels behind the touch are the venue's own affair: the session's core follows quotes and trades.
            behind = kept["kind"] == _LEVEL
            if behind.any():
                kept = kept.compress(~behind)
            if len(kept):
                return kept if self._bars is None else self._bars.among(kept)

    def submit(self, outputs: npt.NDArray[Any]) -> None:
        self.venue.submit(outputs)

    def positions(self) -> dict[int, int]:
        account, found = self.venue.account, {}
        for symbol, instrument in enumerate(self.venue.config.instruments):
            if instrument.perpetual:
                found[symbol] = account.positions[instrument.symbol].lots
            else:
                held = account.balance(instrument.base)
                found[symbol] = (held.free + held.locked) // instrument.lot_e8
        return found

    def equity(self) -> int:
        """Its balances and positions at its own prices."""
        account = self.venue.account
        cash = account.balance(self._asset)
        total = cash.free + cash.locked
        for symbol, lots in self.positions().items():
            instrument = self.venue.config.instruments[symbol]
            if not lots:
                continue
            mid_e8 = self._mid_e8(instrument)
            if not mid_e8:
                return 0
            if instrument.perpetual:
                total += account.positions[instrument.symbol].unrealized_e8(mid_e8, instrument)
            else:
                total += lots * instrument.lot_e8 * mid_e8 // 10**8
        return total

    def _mid_e8(self, instrument: Instrument) -> int:
        """The middle of its book; where a side has just been traded away, the last trade. 0: neither is known."""
        book = self.venue.exchange.market(instrument.symbol).book
        whole = book.best_bid > 0 and book.best_ask > 0
        return (book.best_bid + book.best_ask if whole else 2 * book.last_px) * instrument.tick_e8 // 2

    def depth(self, symbol: int, levels: int) -> Depth:
        """Its own book, which our core on paper has the touch of."""
        book = self.venue.exchange.market(self.venue.config.instruments[symbol].symbol).book
        return book.depth(False, levels), book.depth(True, levels)

    def look(self, next_trade: Mapping[int, int], take: Callable[[VenueView], None]) -> None:
        """The account's books as they stand at the venue, at once."""
        venue, index = self.venue, {i.symbol: at for at, i in enumerate(self.venue.config.instruments)}
        owner, trades = venue.account.owner, []
        for execution in reversed(venue.exchange.executions.get(owner, ())):
            symbol = index[execution.order.symbol]
            if execution.trade_id < next_trade.get(symbol, 0):
                break
            trades.append(
                VenueTrade(
                    execution.trade_id, _number(execution.order), symbol, execution.order.terms.sell, execution.px,
                    execution.lots, execution.ts_ns, execution.fee.amount,
                    venue.config.assets.get(execution.fee.asset, -1), execution.maker,
                )
            )  # fmt: skip
        orders = [
            VenueOrder(_number(o), o.id, index[o.symbol], o.terms.sell, o.px, o.qty, o.filled)
            for o in venue.exchange.open.get(owner, {}).values()
        ]
        held = {number: venue.account.balance(asset) for asset, number in venue.config.assets.items()}
        costs = {
            index[i.symbol]: venue.account.positions[i.symbol].cost_e8 for i in venue.config.instruments if i.perpetual
        }
        perpetual = {s: lots for s, lots in self.positions().items() if s in costs}
        cash = {asset: balance.free + balance.locked for asset, balance in held.items()}
        take(VenueView(tuple(orders), tuple(reversed(trades)), cash, perpetual, costs=costs))

    def settled(self) -> list[Row]:
        """It lives in this process: there was never anything to settle."""
        return []

    async def start(self, engine: object) -> None:
        """Nothing has to be opened: it is polled."""

    async def close(self) -> None:
        """Nothing is left behind."""

    def _next_market_ns(self) -> int:
        if self._at == len(self._events):
            self._events, self._at = self._market.stretch(), 0
        return int(self._events["ts_recv_ns"][self._at])


def _number(order: Order) -> int:
    """The engine's number of an order; 0 where somebody else placed it."""
    return int(order.client_id) if order.client_id.isdigit() else 0


def market_of(settings: Settings, start_ns: int) -> Market:
    """The generated market that the settings ask for."""
    chosen, seed = settings.market, settings.engine.seed
    echoes = echoes_of(settings)
    if echoes:
        leads = [at for at in range(len(settings.instruments)) if at not in echoes]
        alone = {name: row for at, (name, row) in enumerate(settings.instruments.items()) if at not in echoes}
        inner = market_of(msgspec.structs.replace(settings, instruments=alone, routes={}), start_ns)
        return EchoMarket(inner, leads, echoes, seed=seed)
    rows = settings.instruments
    if chosen.kind == "walk":
        walks = [Walk(row.ticks(row.px_start)) for row in rows.values()]
        return WalkMarket(walks, seed=seed, start_ns=start_ns)
    symbols = [
        FlowSymbol(name, row.ticks(row.px_start), row.tick, row.lot, row.px_range_ticks[1], row.qty_range_lots[1])
        for name, row in rows.items()
    ]
    regime = None if chosen.regime == "follow" else chosen.regime
    return FlowMarket(symbols, seed=seed, start_ns=start_ns, regime=regime, pace=chosen.pace)


def echoes_of(settings: Settings) -> dict[int, int]:
    """Of each route the first instrument has a market of its own; the others follow it on their venues."""
    index = {name: at for at, name in enumerate(settings.instruments)}
    return {
        index[one]: index[route.instruments[0]] for route in settings.routes.values() for one in route.instruments[1:]
    }


def venue_instruments(settings: Settings) -> list[Instrument]:
    """Every instrument as the venue has it. What lies at one venue cannot be sold at another: spot of the same asset is
    an asset of its own at each; the quote asset is one pool."""
    out: list[Instrument] = []
    owner: dict[str, str] = {}
    for name, row in settings.instruments.items():
        mine = row
        if owner.setdefault(row.base, row.venue) != row.venue:
            mine = msgspec.structs.replace(row, base=f"{row.base}.{row.venue}")
        out.append(venue_instrument(name, mine))
    return out


def venue_instrument(name: str, row: InstrumentSettings) -> Instrument:
    """The venue's side of an instrument of the settings: the same steps, limits and fees."""
    return Instrument(
        symbol=name,
        base=row.base,
        quote=row.quote,
        tick_e8=row.tick,
        lot_e8=row.lot,
        px_max_ticks=row.px_range_ticks[1],
        qty_max_lots=row.qty_range_lots[1],
        qty_min_lots=row.qty_range_lots[0],
        notional_min=max(1, -(-row.notional_min // 10**8)),
        perpetual=row.market == "linear",
        fees=((row.fee_maker, row.fee_taker),) * 10,
    )

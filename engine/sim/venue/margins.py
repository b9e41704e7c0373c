"""Margin of perpetuals: what an account is worth, what its orders need, liquidation and funding.

Does not own: positions and wallets (accounts.py), orders and books (exchange.py). Margin is cross, positions one-way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine._core.types import Status
from engine.sim.venue.accounts import Account, margin_of
from engine.sim.venue.instruments import E8
from engine.sim.venue.market import Market
from engine.sim.venue.orders import Refusal, Terms

if TYPE_CHECKING:
    from engine.sim.venue.exchange import Exchange

LIQUIDATION_FEE_PPM = 12_500


class Margins:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.liquidations = 0

    def equity_e8(self, account: Account, asset: str = "USDT") -> tuple[int, int, int]:
        """Wallet and open profit, maintenance margin, and initial margin of positions and orders."""
        equity, maintenance, initial = account.balances[asset].free, 0, 0
        for market in self.exchange.markets.values():
            instrument = market.instrument
            if not instrument.perpetual or instrument.quote != asset:
                continue
            position = account.positions[instrument.symbol]
            mark = market.mark_px_e8 or market.book.last_px * instrument.tick_e8
            equity += position.unrealized_e8(mark, instrument)
            notional = abs(position.lots) * instrument.lot_e8 * mark // E8
            maintenance += margin_of(instrument, notional)[0]
            initial += self._initial_e8(account, market, 0, False, 0)
        return equity, maintenance, initial

    def _initial_e8(self, account: Account, market: Market, lots: int, sell: bool, px: int) -> int:
        """Initial margin of one symbol with one more order: the worse of all buys and all sells being filled."""
        instrument = market.instrument
        mark = market.mark_px_e8 or market.book.last_px * instrument.tick_e8
        position = account.positions[instrument.symbol].lots
        buys, sells = (0 if sell else lots), (lots if sell else 0)
        for order in self.exchange.open.get(account.owner, {}).values():
            if order.symbol == instrument.symbol and not order.terms.reduce_only:
                buys += 0 if order.terms.sell else order.rest
                sells += order.rest if order.terms.sell else 0
        worst = max(abs(position), abs(position + buys), abs(position - sells))
        dear = max(mark, px * instrument.tick_e8)
        return worst * instrument.lot_e8 * dear // E8 // account.leverage[instrument.symbol]

    def judge(self, account: Account, market: Market, terms: Terms) -> Refusal | None:
        instrument = market.instrument
        position = account.positions[instrument.symbol].lots
        if terms.reduce_only:
            reduces = position < 0 if not terms.sell else position > 0
            return None if reduces and terms.qty <= abs(position) else Refusal(Status.MATCH_BAD_ORDER, word="reduce")
        equity, _, initial = self.equity_e8(account, instrument.quote)
        now = self._initial_e8(account, market, 0, False, 0)
        then = self._initial_e8(account, market, terms.qty, terms.sell, terms.px or terms.trigger)
        if then > now and equity < initial - now + then:
            return Refusal(Status.MATCH_BAD_ORDER, word="margin")
        return None

    def set_mark(self, market: Market, mark_px_e8: int, index_px_e8: int) -> None:
        market.mark_px_e8, market.index_px_e8 = mark_px_e8, index_px_e8 or mark_px_e8
        for account in self.exchange.bank.accounts.values():
            if account.positions[market.instrument.symbol].lots:
                equity, maintenance, _ = self.equity_e8(account, market.instrument.quote)
                if equity < maintenance:
                    self._liquidate(account, market.instrument.quote)

    def _liquidate(self, account: Account, asset: str) -> None:
        """All orders go, then each position is closed at the market; what is missing the insurance fund pays."""
        self.liquidations += 1
        for order in list(self.exchange.open.get(account.owner, {}).values()):
            self.exchange.cancel(order)
        for market in self.exchange.markets.values():
            instrument = market.instrument
            lots = account.positions[instrument.symbol].lots
            if not instrument.perpetual or instrument.quote != asset or not lots:
                continue
            closed = self.exchange.close_out(account, market, lots)
            if closed is None:
                continue
            fee = min(closed.units * instrument.unit_e8 * LIQUIDATION_FEE_PPM // 10**6, account.balances[asset].free)
            account.balances[asset].free -= fee
            self.exchange.bank.insurance[asset] += fee

    def settle_funding(self, market: Market, rate_e8: int) -> list[tuple[Account, int]]:
        instrument = market.instrument
        mark = market.mark_px_e8 or market.book.last_px * instrument.tick_e8
        out = []
        for account in self.exchange.bank.accounts.values():
            lots = account.positions[market.instrument.symbol].lots
            if not lots:
                continue
            notional = lots * instrument.lot_e8 * mark // E8
            amount = -(notional * rate_e8 // E8)
            short = account.move_wallet(instrument.quote, amount)
            self.exchange.bank.crowd[instrument.quote] -= amount
            self.exchange.bank.insurance[instrument.quote] -= short
            out.append((account, amount))
        market.funding_rate_e8 = rate_e8
        return out

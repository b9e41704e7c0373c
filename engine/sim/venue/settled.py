"""What happens in a book, taken in: states of orders, money moves of fills, what the exchange reports of both.

Owns: records of orders and executions, how long they are kept, locks that are given back. Does not own: what is asked
(exchange.py, whose base this is), matching (the kernel), time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from engine._core.match import EventFlag, Kind, Reason
from engine.sim.venue.accounts import Account, Bank, Fee
from engine.sim.venue.instruments import E8, Instrument
from engine.sim.venue.locks import needed_for, priced
from engine.sim.venue.market import Market, PublicTrade
from engine.sim.venue.orders import Execution, Order, OrderList, Report

HISTORY_MAX = 20_000


class Settled:
    """The half of an exchange that books what its markets tell; the other half asks them."""

    def __init__(self, instruments: Iterable[Instrument], *, now_ns: int) -> None:
        self.markets: dict[str, Market] = {}
        for instrument in instruments:
            self.markets[instrument.symbol] = Market(instrument, instrument.book())
        self.bank = Bank()
        self.now_ns = now_ns
        self.orders: dict[int, Order] = {}
        self.by_client: dict[tuple[int, str, str], Order] = {}
        self.open: dict[int, dict[int, Order]] = {}
        self.lists: dict[int, OrderList] = {}
        self.executions: dict[int, deque[Execution]] = {}
        self.reports: list[Report] = []
        self._closed: deque[Order] = deque()
        self._ready: dict[int, list[Order]] = {}

    def take_reports(self) -> list[Report]:
        out, self.reports = self.reports, []
        return out

    # ---------------------------------------------------------------------------------------------------- what happened
    def _event(self, market: Market, event: tuple[int, ...]) -> None:
        kind, reason, flags, _owner, number, other, px, lots, _filled, _filled_other, trade_id = event
        if kind == Kind.MATCHED_TRADE:
            self._traded(market, flags, number, other, px, lots, trade_id)
            return
        order = self.orders[number]
        if kind == Kind.MATCHED_NEW:
            order.status = "NEW" if not order.filled else order.status
            order.working_ns = self.now_ns
            self._report("NEW", order)
        elif kind == Kind.MATCHED_READY:
            self._ready.setdefault(order.list_id, []).append(order)
        elif kind == Kind.MATCHED_TRIGGERED:
            order.working_ns = self.now_ns
            self._report("TRIGGERED", order)
        elif kind == Kind.MATCHED_AMENDED:
            self._report("REPLACED", order)
        elif kind == Kind.MATCHED_PREVENTED:
            self._prevented(order, self.orders[other], lots)
        elif kind == Kind.MATCHED_CANCELED:
            self._ended(order, "CANCELED", "CANCELED", reason)
        elif kind == Kind.MATCHED_REJECTED:
            self._ended(order, "REJECTED", "REJECTED", reason)
        elif reason == Reason.REASON_BUDGET and order.terms.quote_e8 and order.filled:
            # A market order for a sum is whole when the sum is spent.
            order.qty = order.filled
            self._ended(order, "FILLED", "", reason)
            if self.reports and self.reports[-1].order is order:
                self.reports[-1].status = "FILLED"
        else:
            status = "EXPIRED_IN_MATCH" if reason == Reason.REASON_STP else "EXPIRED"
            self._ended(order, status, "EXPIRED", reason)

    def _prevented(self, taker: Order, maker: Order, lots: int) -> None:
        for order in (taker, maker):
            # Only DECREMENT keeps both alive; the other modes end one by an event of its own.
            if taker.terms.stp == 4:
                order.prevented += lots
                self._trim(order)
            self._report("TRADE_PREVENTION", order)

    def _traded(self, market: Market, flags: int, taker: int, maker: int, px: int, lots: int, trade_id: int) -> None:
        instrument = market.instrument
        taker_sells = bool(flags & EventFlag.MATCHED_SELL)
        market.on_trade(PublicTrade(trade_id, px, lots, taker_sells, self.now_ns, taker))
        owned = (bool(flags & EventFlag.MATCHED_TAKER_OWNED), bool(flags & EventFlag.MATCHED_MAKER_OWNED))
        if not any(owned):
            return
        cost, base = px * lots * instrument.unit_e8, lots * instrument.lot_e8
        for number, is_owned, is_maker in ((maker, owned[1], True), (taker, owned[0], False)):
            sells = taker_sells != is_maker
            if is_owned:
                self._fill(market, self.orders[number], px, lots, trade_id, is_maker)
            elif not instrument.perpetual:
                self.bank.crowd[instrument.quote] += cost if sells else -cost
                self.bank.crowd[instrument.base] += -base if sells else base

    def _fill(self, market: Market, order: Order, px: int, lots: int, trade_id: int, maker: bool) -> None:
        instrument = market.instrument
        account = self.bank.accounts[order.owner]
        cost, base = px * lots * instrument.unit_e8, lots * instrument.lot_e8
        sells, profit = order.terms.sell, 0
        if instrument.perpetual:
            profit = account.fill_position(instrument, sells, px, lots)
            fee = Fee(instrument.quote, cost * self.bank.fee_rate_e8(account, instrument, maker) // E8)
            short = account.move_wallet(instrument.quote, profit - fee.amount)
            self.bank.fees[instrument.quote] += fee.amount
            self.bank.insurance[instrument.quote] -= short
            self.bank.crowd[instrument.quote] -= profit
        else:
            assert order.lock is not None
            account.spend(order.lock, base if sells else cost)
            asset, gross = (instrument.quote, cost) if sells else (instrument.base, base)
            account.receive(asset, gross)
            fee = self.bank.charge(
                account, instrument, asset=asset, gross=gross, maker=maker, token_px_e8=self._token_px_e8(account)
            )
        account.volume_units += cost // E8
        account.judge_tier()
        order.filled += lots
        order.units += px * lots
        order.updated_ns = self.now_ns
        order.status = "FILLED" if order.rest == 0 else "PARTIALLY_FILLED"
        execution = Execution(trade_id, px, lots, fee, maker, self.now_ns, order, profit)
        order.executions.append(execution)
        self.executions.setdefault(order.owner, deque(maxlen=HISTORY_MAX)).append(execution)
        self._report("TRADE", order, execution=execution)
        if order.rest == 0:
            self._close(order)
        else:
            self._trim(order)

    def _token_px_e8(self, account: Account) -> int:
        market = self.markets.get(account.fee_asset + "USDT") if account.fee_asset else None
        return market.book.last_px * market.instrument.tick_e8 if market is not None else 0

    def _ended(self, order: Order, status: str, what: str, reason: int) -> None:
        order.status = status
        order.updated_ns = self.now_ns
        self._close(order)
        if what:
            self._report(what, order, reason=reason)

    def _close(self, order: Order) -> None:
        self._release(order)
        self.open[order.owner].pop(order.id, None)
        self._closed.append(order)
        made = self.lists.get(order.list_id)
        if made is not None and not any(o.is_open for o in made.orders):
            made.status = "ALL_DONE"
        while len(self._closed) > HISTORY_MAX:
            old = self._closed.popleft()
            self.orders.pop(old.id, None)
            if self.by_client.get((old.owner, old.symbol, old.client_id)) is old:
                del self.by_client[old.owner, old.symbol, old.client_id]
            self.lists.pop(old.list_id, None)

    def _report(self, what: str, order: Order, *, reason: int = 0, execution: Execution | None = None) -> None:
        order.updated_ns = self.now_ns
        made = self.lists.get(order.list_id)
        state = (order.status, order.filled, order.units)
        self.reports.append(Report(what, order, self.now_ns, *state, reason, execution, list=made))

    # ----------------------------------------------------------------------------------------------------------- locks
    def _trim(self, order: Order) -> None:
        """Give back what the lock's holders can no longer need."""
        lock = order.lock
        if lock is None:
            return
        account = self.bank.accounts[order.owner]
        instrument = self.markets[order.symbol].instrument
        most = 0
        for holder in lock.holders:
            assert isinstance(holder, Order)
            needed = needed_for(instrument, priced(holder), holder.rest)
            most = max(most, lock.amount if needed is None else needed)
        if lock.amount > most:
            account.unlock(lock, lock.amount - most)

    def _release(self, order: Order) -> None:
        lock, order.lock = order.lock, None
        if lock is None:
            return
        lock.holders.remove(order)
        if lock.holders:
            order.lock = lock
            self._trim(order)
            order.lock = None
        else:
            self.bank.accounts[order.owner].unlock(lock, lock.amount)

"""The exchange: books, accounts and orders of all symbols behind a few calls. Both forms of the venue stand on it.

Owns: order records, numbers, list records, money moves of fills, what is reported. Does not own: matching (the
kernel), text and signatures (the server), latency and faults (the in-process form), time: every call is told it.

Reports are pulled: `take_reports` hands over what happened, in order. Nothing here draws a random number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from engine._core.match import EventFlag, Flag, Kind, ListKind, Reason
from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import Status
from engine.errors import SimTimeBackwards, SimUnknownSymbol
from engine.sim.venue.accounts import Account, Bank, Fee, Lock, margin_of
from engine.sim.venue.instruments import E8, Instrument
from engine.sim.venue.market import Market, PublicTrade

# A market buy that waits for its trigger locks this much more than its trigger's price: the book may have moved.
STOP_RESERVE_PPM = 50_000
HISTORY_MAX = 20_000
LIQUIDATION_FEE_PPM = 12_500

# Statuses as the venue writes them.
OPEN = ("NEW", "PARTIALLY_FILLED", "PENDING_NEW", "PENDING_CANCEL")


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order asks for, in ticks and lots."""

    sell: bool
    type: int
    qty: int
    px: int = 0
    tif: int = WishTif.TIF_GTC
    stp: int = 0
    trigger: int = 0
    trail: int = 0
    trail_in_bips: bool = False
    display: int = 0
    expire_ns: int = 0
    quote_e8: int = 0  # a market order for a sum
    client_id: str = ""
    reduce_only: bool = False
    strategy_id: int = 0

    @property
    def flags(self) -> int:
        by_quote = int(Flag.MATCH_BY_QUOTE) if self.quote_e8 else 0
        return by_quote | (int(Flag.MATCH_TRAIL_BIPS) if self.trail_in_bips else 0)


@dataclass(slots=True)
class Execution:
    trade_id: int
    px: int
    lots: int
    fee: Fee
    maker: bool
    ts_ns: int
    order: Order
    profit_e8: int = 0


@dataclass(slots=True, eq=False)
class Order:
    id: int
    owner: int
    symbol: str
    terms: Terms
    client_id: str
    created_ns: int
    px: int
    qty: int
    status: str = "NEW"
    filled: int = 0
    units: int = 0  # ticks x lots of all fills
    prevented: int = 0
    updated_ns: int = 0
    working_ns: int = -1
    list_id: int = -1
    lock: Lock | None = None
    executions: list[Execution] = field(default_factory=list)
    amends: int = 0
    autoclose: bool = False

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def rest(self) -> int:
        return self.qty - self.filled - self.prevented


@dataclass(slots=True)
class OrderList:
    id: int
    owner: int
    symbol: str
    kind: int
    client_id: str
    orders: list[Order]
    created_ns: int
    status: str = "EXECUTING"

    @property
    def contingency(self) -> str:
        return "OCO" if self.kind == ListKind.LIST_OCO else "OTO"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order was not taken: a status of the kernel, a reason of it, or a word of this level."""

    status: int
    reason: int = Reason.REASON_NONE
    word: str = ""


@dataclass(slots=True)
class Report:
    """One thing that happened to one order, with the order's state at that moment."""

    what: str  # NEW TRADE CANCELED EXPIRED REJECTED REPLACED TRADE_PREVENTION TRIGGERED
    order: Order
    ts_ns: int
    status: str
    filled: int
    units: int
    reason: int = 0
    execution: Execution | None = None
    cancel_id: str = ""
    list: OrderList | None = None


class Exchange:
    def __init__(self, instruments: Iterable[Instrument], *, now_ns: int = 0) -> None:
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
        self._id_order = 0
        self._id_list = 0
        self._ready: dict[int, list[Order]] = {}
        self.liquidations = 0

    # ---------------------------------------------------------------------------------------------------------- time
    def advance(self, now_ns: int) -> None:
        """Let time pass: what was good until now ends."""
        if now_ns < self.now_ns:
            raise SimTimeBackwards(f"{now_ns} after {self.now_ns}")
        self.now_ns = now_ns
        for market in self.markets.values():
            market.book.advance(now_ns)
            self._absorb(market)

    def market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            raise SimUnknownSymbol(symbol)
        return market

    def take_reports(self) -> list[Report]:
        out, self.reports = self.reports, []
        return out

    # --------------------------------------------------------------------------------------------------------- orders
    def place(self, account: Account, symbol: str, terms: Terms, *, test: bool = False) -> Order | Refusal:
        """Take one order in. Its fills are in `reports` when this returns."""
        market = self.market(symbol)
        refusal = self._judge(account, market, terms)
        if refusal is not None or test:
            return refusal or self._record(account, market, terms, store=False)
        lock, budget = self._lock_for(account, market, terms)
        if lock is None and not market.instrument.perpetual:
            return Refusal(Status.MATCH_BAD_ORDER, word="balance")
        if lock is not None and terms.sell and terms.quote_e8:
            # The sum may ask for more than there is at the prices it meets: what is locked is the most it sells.
            terms = replace(terms, qty=min(terms.qty, lock.amount // market.instrument.lot_e8))
        order = self._record(account, market, terms)
        if lock is not None:
            order.lock = lock
            lock.holders.append(order)
        status = self._submit(market, order, budget)
        if status:
            # Judged fit a moment ago: only the room of the book is left as a reason.
            self._forget(order)
            return Refusal(status, market.book.reason)
        self._absorb(market)
        return order

    def _judge(self, account: Account, market: Market, terms: Terms) -> Refusal | None:
        instrument = market.instrument
        if terms.client_id:
            known = self.by_client.get((account.owner, instrument.symbol, terms.client_id))
            if known is not None and known.is_open:
                return Refusal(Status.MATCH_BAD_ORDER, Reason.REASON_DUPLICATE)
        budget = terms.quote_e8 // instrument.unit_e8
        status = market.book.judge(
            self._id_order + 1, owner=account.owner, sell=terms.sell, type=terms.type, qty_lots=terms.qty,
            px_ticks=terms.px, tif=terms.tif, stp=terms.stp, trigger_px=terms.trigger, trail=terms.trail,
            display_lots=terms.display, expire_ns=terms.expire_ns, budget=budget, flags=terms.flags,
        )  # fmt: skip
        if status:
            return Refusal(status, market.book.reason)
        if instrument.perpetual:
            return self._judge_margin(account, market, terms)
        return None

    def _record(self, account: Account, market: Market, terms: Terms, *, store: bool = True) -> Order:
        number = self._id_order + 1
        client = terms.client_id or f"venue{number:017d}"
        order = Order(
            number, account.owner, market.instrument.symbol, terms, client, self.now_ns, terms.px, terms.qty,
            updated_ns=self.now_ns,
        )  # fmt: skip
        if store:
            self._id_order = number
            self.orders[number] = order
            self.by_client[account.owner, order.symbol, client] = order
            self.open.setdefault(account.owner, {})[number] = order
        return order

    def _forget(self, order: Order) -> None:
        self._release(order)
        self.open[order.owner].pop(order.id, None)
        self.orders.pop(order.id, None)
        self.by_client.pop((order.owner, order.symbol, order.client_id), None)

    def _request(self, order: Order, budget: int) -> dict[str, int]:
        terms = order.terms
        return {
            "id": order.id, "owner": order.owner, "sell": terms.sell, "type": terms.type, "qty_lots": terms.qty,
            "px_ticks": terms.px, "tif": terms.tif, "stp": terms.stp, "trigger_px": terms.trigger,
            "trail": terms.trail, "display_lots": terms.display, "expire_ns": terms.expire_ns, "budget": budget,
            "flags": terms.flags,
        }  # fmt: skip

    def _submit(self, market: Market, order: Order, budget: int) -> int:
        request = self._request(order, budget)
        return market.book.submit(request.pop("id"), **request)  # type: ignore[arg-type]

    # ----------------------------------------------------------------------------------------------------------- locks
    def _needed(self, instrument: Instrument, terms: Terms, rest: int) -> int | None:
        """What an order with a price needs for its rest; None for one that takes whatever price there is."""
        if terms.sell and not terms.quote_e8:
            return rest * instrument.lot_e8
        if terms.px:
            return rest * terms.px * instrument.unit_e8
        return None

    def _lock_for(self, account: Account, market: Market, terms: Terms) -> tuple[Lock | None, int]:
        """Set the order's money aside; with it the budget of a market buy, in ticks x lots."""
        instrument = market.instrument
        if instrument.perpetual:
            return None, terms.quote_e8 // instrument.unit_e8
        asset = instrument.base if terms.sell else instrument.quote
        free = account.balances[asset].free
        needed = self._needed(instrument, terms, terms.qty)
        if needed is not None:
            return account.lock(asset, needed), 0
        if terms.quote_e8:
            budget = terms.quote_e8 // instrument.unit_e8
            if terms.sell:
                # It sells until it has brought the sum in: at most every whole lot that is free.
                whole = free - free % instrument.lot_e8
                return (account.lock(asset, whole) if whole else None), budget
            return account.lock(asset, budget * instrument.unit_e8), budget
        if terms.type == WishType.TYPE_MARKET:
            cost = market.book.cost(False, terms.qty)
            amount = free if cost < 0 else cost * instrument.unit_e8
        else:
            reference = terms.trigger or market.book.last_px
            least = reference * terms.qty * instrument.unit_e8
            amount = max(least, min(free, least + least * STOP_RESERVE_PPM // 10**6))
        budget = amount // instrument.unit_e8
        return (account.lock(asset, amount) if budget else None), budget

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
            needed = self._needed(instrument, _priced(holder), holder.rest)
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

    # ----------------------------------------------------------------------------------------------------------- lists
    def place_list(
        self, account: Account, symbol: str, kind: int, legs: Sequence[Terms], *, client_id: str = ""
    ) -> OrderList | Refusal:
        """OCO, OTO or OTOCO. The money of legs that wait for another is set aside when their turn comes."""
        market = self.market(symbol)
        if market.instrument.perpetual:
            return Refusal(Status.MATCH_BAD_ORDER, Reason.REASON_LIST)
        for terms in legs:
            known = self.by_client.get((account.owner, symbol, terms.client_id)) if terms.client_id else None
            if known is not None and known.is_open:
                return Refusal(Status.MATCH_BAD_ORDER, Reason.REASON_DUPLICATE)
        lock = self._lock_legs(account, market, legs if kind == ListKind.LIST_OCO else legs[:1])
        if lock is None:
            return Refusal(Status.MATCH_BAD_ORDER, word="balance")
        orders = [self._record(account, market, terms) for terms in legs]
        for order in orders if kind == ListKind.LIST_OCO else orders[:1]:
            order.lock = lock
            lock.holders.append(order)
        requests = [self._request(order, self._stop_budget(order)) for order in orders]
        self._id_list += 1
        made = OrderList(
            self._id_list, account.owner, symbol, kind, client_id or f"list{self._id_list:018d}", orders, self.now_ns
        )
        for order in orders:
            order.list_id = made.id
        self.lists[made.id] = made
        status = market.book.submit_list(kind | ListKind.LIST_HELD, requests)
        if status:
            for order in orders:
                self._forget(order)
            del self.lists[made.id]
            return Refusal(status, market.book.reason)
        for order in orders[1:] if kind != ListKind.LIST_OCO else ():
            if order.is_open:
                order.status = "PENDING_NEW"
                self._report("PENDING_NEW", order)
        self._absorb(market)
        return made

    def _stop_budget(self, order: Order) -> int:
        """What a leg that buys at any price may spend: its trigger's cost and the reserve."""
        terms = order.terms
        if terms.sell or terms.px or terms.type == WishType.TYPE_MARKET:
            return 0
        least = terms.trigger * terms.qty
        return least + least * STOP_RESERVE_PPM // 10**6

    def _lock_legs(self, account: Account, market: Market, legs: Sequence[Terms]) -> Lock | None:
        """One lock for legs of which only one will trade: as much as the dearest of them needs."""
        instrument = market.instrument
        most = 0
        for terms in legs:
            needed = self._needed(instrument, terms, terms.qty)
            if needed is None:
                needed = terms.trigger * terms.qty
                needed = (needed + needed * STOP_RESERVE_PPM // 10**6) * instrument.unit_e8
            most = max(most, needed)
        return account.lock(instrument.base if legs[0].sell else instrument.quote, most)

    def _release_legs(self, market: Market) -> bool:
        """Start the legs whose working order is filled, if there is money for them. True: something was done."""
        ready, self._ready = self._ready, {}
        for orders in ready.values():
            account = self.bank.accounts[orders[0].owner]
            live = [order for order in orders if order.is_open]
            if not live:
                continue
            lock = self._lock_legs(account, market, [order.terms for order in live])
            for order in live:
                if lock is None:
                    market.book.expire(order.id)
                    continue
                order.lock = lock
                lock.holders.append(order)
            for order in live if lock is not None else ():
                market.book.release(order.id)
        return bool(ready)

    # ---------------------------------------------------------------------------------------------- cancel and amend
    def cancel(self, order: Order, *, cancel_id: str = "") -> bool:
        market = self.markets[order.symbol]
        if market.book.cancel(order.id):
            return False
        before = len(self.reports)
        self._absorb(market)
        for report in self.reports[before:]:
            report.cancel_id = cancel_id
        return True

    def amend(self, order: Order, *, px: int, qty: int, keep_only: bool = False) -> Refusal | None:
        """Change price or quantity of a resting order; only for less or at the same price without money checks."""
        market = self.markets[order.symbol]
        account = self.bank.accounts[order.owner]
        rest = qty - order.filled - order.prevented
        lock = order.lock
        extra = 0
        if lock is not None:
            needed = rest * (market.instrument.lot_e8 if order.terms.sell else px * market.instrument.unit_e8)
            extra = max(0, needed - lock.amount)
            held = account.balances[lock.asset]
            if held.free < extra:
                return Refusal(Status.MATCH_BAD_ORDER, word="balance")
            held.free -= extra
            held.locked += extra
            lock.amount += extra
        # The record changes first: fills of the amended order are reported while it is being amended.
        before = order.px, order.qty
        order.px, order.qty = px, qty
        if status := market.book.amend(order.id, px_ticks=px, qty_lots=qty, keep_only=keep_only):
            order.px, order.qty = before
            self._trim(order)
            return Refusal(status, market.book.reason)
        order.amends += 1
        self._absorb(market)
        if order.is_open:
            self._trim(order)
        return None

    # ---------------------------------------------------------------------------------------------------- what happened
    def absorb(self, symbol: str) -> None:
        """Take in what others (a generator, a recording) made happen in a book."""
        self._absorb(self.market(symbol))

    def _absorb(self, market: Market) -> None:
        while True:
            for event in market.book.told():
                self._event(market, event)
            if not market.book.run() or self._release_legs(market):
                continue
            events = market.book.told()
            if not events:
                return
            for event in events:
                self._event(market, event)
            if self._ready:
                self._release_legs(market)

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

    # ------------------------------------------------------------------------------------------------------ perpetuals
    def equity_e8(self, account: Account, asset: str = "USDT") -> tuple[int, int, int]:
        """Wallet and open profit, maintenance margin, and initial margin of positions and orders."""
        equity, maintenance, initial = account.balances[asset].free, 0, 0
        for market in self.markets.values():
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
        for order in self.open.get(account.owner, {}).values():
            if order.symbol == instrument.symbol and not order.terms.reduce_only:
                buys += 0 if order.terms.sell else order.rest
                sells += order.rest if order.terms.sell else 0
        worst = max(abs(position), abs(position + buys), abs(position - sells))
        dear = max(mark, px * instrument.tick_e8)
        return worst * instrument.lot_e8 * dear // E8 // account.leverage[instrument.symbol]

    def _judge_margin(self, account: Account, market: Market, terms: Terms) -> Refusal | None:
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

    def set_mark(self, symbol: str, mark_px_e8: int, index_px_e8: int = 0) -> None:
        """The mark moves: accounts below their maintenance margin are liquidated."""
        market = self.market(symbol)
        market.mark_px_e8, market.index_px_e8 = mark_px_e8, index_px_e8 or mark_px_e8
        for account in self.bank.accounts.values():
            if account.positions[symbol].lots:
                equity, maintenance, _ = self.equity_e8(account, market.instrument.quote)
                if equity < maintenance:
                    self._liquidate(account, market.instrument.quote)

    def _liquidate(self, account: Account, asset: str) -> None:
        """All orders go, then each position is closed at the market; what is missing the insurance fund pays."""
        self.liquidations += 1
        for order in list(self.open.get(account.owner, {}).values()):
            self.cancel(order)
        for market in self.markets.values():
            instrument = market.instrument
            lots = account.positions[instrument.symbol].lots
            if not instrument.perpetual or instrument.quote != asset or not lots:
                continue
            terms = Terms(
                lots > 0, WishType.TYPE_MARKET, abs(lots), client_id=f"autoclose-{self._id_order + 1}", reduce_only=True
            )
            order = self._record(account, market, terms)
            order.autoclose = True
            request = self._request(order, 0)
            request["flags"] |= Flag.MATCH_UNFILTERED
            # Larger than one order may be: the rest is closed when the mark moves again.
            request["qty_lots"] = order.qty = min(abs(lots), instrument.qty_max_lots)
            if market.book.submit(request.pop("id"), **request):  # type: ignore[arg-type]
                self._forget(order)
                continue
            self._absorb(market)
            fee = min(order.units * instrument.unit_e8 * LIQUIDATION_FEE_PPM // 10**6, account.balances[asset].free)
            account.balances[asset].free -= fee
            self.bank.insurance[asset] += fee

    def settle_funding(self, symbol: str, rate_e8: int) -> list[tuple[Account, int]]:
        """Longs pay shorts when the rate is positive; returns what each account received."""
        market = self.market(symbol)
        instrument = market.instrument
        mark = market.mark_px_e8 or market.book.last_px * instrument.tick_e8
        out = []
        for account in self.bank.accounts.values():
            lots = account.positions[symbol].lots
            if not lots:
                continue
            notional = lots * instrument.lot_e8 * mark // E8
            amount = -(notional * rate_e8 // E8)
            short = account.move_wallet(instrument.quote, amount)
            self.bank.crowd[instrument.quote] -= amount
            self.bank.insurance[instrument.quote] -= short
            out.append((account, amount))
        market.funding_rate_e8 = rate_e8
        return out

    # ------------------------------------------------------------------------------------------------------- invariants
    def check(self) -> None:
        """Books sound, balances never negative and conserved, locks equal to what open orders hold."""
        self.bank.check()
        for market in self.markets.values():
            market.book.check()
        locked: dict[tuple[int, str], int] = {}
        seen: set[int] = set()
        for orders in self.open.values():
            for order in orders.values():
                assert order.is_open, "a closed order among the open ones"
                if order.lock is not None and id(order.lock) not in seen:
                    seen.add(id(order.lock))
                    place = (order.owner, order.lock.asset)
                    locked[place] = locked.get(place, 0) + order.lock.amount
        for account in self.bank.accounts.values():
            for asset, held in account.balances.items():
                assert held.locked == locked.get((account.owner, asset), 0), f"{asset}: locked without an order"


def _priced(order: Order) -> Terms:
    """The order's terms at the price it has now: an amend may have moved it."""
    if order.px == order.terms.px:
        return order.terms
    return Terms(order.terms.sell, order.terms.type, order.qty, order.px)

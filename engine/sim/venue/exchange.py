"""The exchange: books, accounts and orders of all symbols behind a few calls. Both forms of the venue stand on it.

Owns: what may be asked, numbers, list records, money that is set aside. Does not own: what becomes of it (settled.py,
its base), matching (the kernel), text and signatures (the server), latency and faults (the in-process form), time:
every call is told it.

Reports are pulled: `take_reports` hands over what happened, in order. Nothing here draws a random number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from engine._core.match import Flag, ListKind, Reason
from engine._core.strategy_abi import WishType
from engine._core.types import Status
from engine.errors import SimTimeBackwards, SimUnknownSymbol
from engine.sim.venue.accounts import Account
from engine.sim.venue.instruments import Instrument
from engine.sim.venue.locks import lock_for, lock_legs, stop_budget
from engine.sim.venue.margins import Margins
from engine.sim.venue.market import Market
from engine.sim.venue.orders import Order, OrderList, Refusal, Terms
from engine.sim.venue.settled import Settled


class Exchange(Settled):
    def __init__(self, instruments: Iterable[Instrument], *, now_ns: int = 0) -> None:
        super().__init__(instruments, now_ns=now_ns)
        self._id_order = 0
        self._id_list = 0
        self.margins = Margins(self)

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

    # --------------------------------------------------------------------------------------------------------- orders
    def place(self, account: Account, symbol: str, terms: Terms, *, test: bool = False) -> Order | Refusal:
        """Take one order in. Its fills are in `reports` when this returns."""
        market = self.market(symbol)
        refusal = self._judge(account, market, terms)
        if refusal is not None or test:
            return refusal or self._record(account, market, terms, store=False)
        lock, budget = lock_for(account, market, terms)
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
            return self.margins.judge(account, market, terms)
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
        lock = lock_legs(account, market, legs if kind == ListKind.LIST_OCO else legs[:1])
        if lock is None:
            return Refusal(Status.MATCH_BAD_ORDER, word="balance")
        orders = [self._record(account, market, terms) for terms in legs]
        for order in orders if kind == ListKind.LIST_OCO else orders[:1]:
            order.lock = lock
            lock.holders.append(order)
        requests = [self._request(order, stop_budget(order)) for order in orders]
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

    def _release_legs(self, market: Market) -> bool:
        """Start the legs whose working order is filled, if there is money for them. True: something was done."""
        ready, self._ready = self._ready, {}
        for orders in ready.values():
            account = self.bank.accounts[orders[0].owner]
            live = [order for order in orders if order.is_open]
            if not live:
                continue
            lock = lock_legs(account, market, [order.terms for order in live])
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

    # ------------------------------------------------------------------------------------------------------ perpetuals
    def equity_e8(self, account: Account, asset: str = "USDT") -> tuple[int, int, int]:
        """Wallet and open profit, maintenance margin, and initial margin of positions and orders."""
        return self.margins.equity_e8(account, asset)

    def set_mark(self, symbol: str, mark_px_e8: int, index_px_e8: int = 0) -> None:
        """The mark moves: accounts below their maintenance margin are liquidated."""
        self.margins.set_mark(self.market(symbol), mark_px_e8, index_px_e8)

    @property
    def liquidations(self) -> int:
        return self.margins.liquidations

    def close_out(self, account: Account, market: Market, lots: int) -> Order | None:
        """Close a position at the market whatever the filters say; None: the book has no room for the order."""
        terms = Terms(
            lots > 0, WishType.TYPE_MARKET, abs(lots), client_id=f"autoclose-{self._id_order + 1}", reduce_only=True
        )
        order = self._record(account, market, terms)
        order.autoclose = True
        request = self._request(order, 0)
        request["flags"] |= Flag.MATCH_UNFILTERED
        # Larger than one order may be: the rest is closed when the mark moves again.
        request["qty_lots"] = order.qty = min(abs(lots), market.instrument.qty_max_lots)
        if market.book.submit(request.pop("id"), **request):  # type: ignore[arg-type]
            self._forget(order)
            return None
        self._absorb(market)
        return order

    def settle_funding(self, symbol: str, rate_e8: int) -> list[tuple[Account, int]]:
        """Longs pay shorts when the rate is positive; returns what each account received."""
        return self.margins.settle_funding(self.market(symbol), rate_e8)

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

"""How much money an order sets aside: what it may need, no less and not much more."""

from __future__ import annotations

from collections.abc import Sequence

from engine._core.strategy_abi import WishType
from engine.sim.venue.accounts import Account, Lock
from engine.sim.venue.instruments import Instrument
from engine.sim.venue.market import Market
from engine.sim.venue.orders import Order, Terms

# A market buy that waits for its trigger locks this much more than its trigger's price: the book may have moved.
STOP_RESERVE_PPM = 50_000


def needed_for(instrument: Instrument, terms: Terms, rest: int) -> int | None:
    """What an order with a price needs for its rest; None for one that takes whatever price there is."""
    if terms.sell and not terms.quote_e8:
        return rest * instrument.lot_e8
    if terms.px:
        return rest * terms.px * instrument.unit_e8
    return None


def lock_for(account: Account, market: Market, terms: Terms) -> tuple[Lock | None, int]:
    """Set the order's money aside; with it the budget of a market buy, in ticks x lots."""
    instrument = market.instrument
    if instrument.perpetual:
        return None, terms.quote_e8 // instrument.unit_e8
    asset = instrument.base if terms.sell else instrument.quote
    free = account.balances[asset].free
    needed = needed_for(instrument, terms, terms.qty)
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


def stop_budget(order: Order) -> int:
    """What a leg that buys at any price may spend: its trigger's cost and the reserve."""
    terms = order.terms
    if terms.sell or terms.px or terms.type == WishType.TYPE_MARKET:
        return 0
    least = terms.trigger * terms.qty
    return least + least * STOP_RESERVE_PPM // 10**6


def lock_legs(account: Account, market: Market, legs: Sequence[Terms]) -> Lock | None:
    """One lock for legs of which only one will trade: as much as the dearest of them needs."""
    instrument = market.instrument
    most = 0
    for terms in legs:
        needed = needed_for(instrument, terms, terms.qty)
        if needed is None:
            needed = terms.trigger * terms.qty
            needed = (needed + needed * STOP_RESERVE_PPM // 10**6) * instrument.unit_e8
        most = max(most, needed)
    return account.lock(instrument.base if legs[0].sell else instrument.quote, most)


def priced(order: Order) -> Terms:
    """The order's terms at the price it has now: an amend may have moved it."""
    if order.px == order.terms.px:
        return order.terms
    return Terms(order.terms.sell, order.terms.type, order.qty, order.px)

"""What recovery asks of a venue, and nothing more: six questions, of which one acts.

A port is synchronous and owns its own budget, signing and retries; it is called at start and on a timer, never on the
path of an order. Prices and quantities come in ticks and lots, times in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

OPEN, FILLED, CANCELED, REJECTED, EXPIRED, UNHEARD = "open", "filled", "canceled", "rejected", "expired", "unheard of"


@dataclass(frozen=True)
class VenueOrder:
    """An order as the venue has it. `id_order` is our client id, 0 when the order was not placed by this engine."""

    id_order: int
    id_venue: int
    symbol: int
    sell: bool
    px_ticks: int
    qty_lots: int
    filled_lots: int
    state: str = OPEN
    client_id: str = ""  # as the venue spells it


@dataclass(frozen=True)
class VenueTrade:
    id_trade: int
    id_order: int
    symbol: int
    sell: bool
    px_ticks: int
    qty_lots: int
    ts_ns: int
    fee: int = 0
    fee_asset: int = 0
    maker: bool = False


class VenuePort(Protocol):
    def open_orders(self) -> list[VenueOrder]:
        """Every open order of the account, also those of others than this engine."""

    def order(self, id_order: int) -> VenueOrder | None:
        """One order by client id, in whatever state; None when the venue never heard of it."""

    def trades_since(self, id_trade: int) -> list[VenueTrade]:
        """Every trade of the account with a higher number."""

    def balances(self) -> dict[int, int]:
        """What the account holds, by asset, in the ledger's units."""

    def positions(self) -> dict[int, int]:
        """Signed lots by symbol."""

    def cancel(self, order: VenueOrder) -> None:
        """Ask for the end of one order; that it has ended is for the next look to say."""


@dataclass(frozen=True)
class VenueView:
    """One look at a venue, taken as a whole so that a judgement is a function of it."""

    open_orders: tuple[VenueOrder, ...]
    trades: tuple[VenueTrade, ...]
    balances: dict[int, int] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    asked: dict[int, VenueOrder | None] = field(default_factory=dict)
    # Of perpetuals, by symbol: the signed cost of the open position in 1e-8 of its quote asset. With it the cash that
    # the trades must add up to does not depend on how a venue splits profit into realised and open.
    costs: dict[int, int] = field(default_factory=dict)
    covers: frozenset[int] | None = None  # the symbols that it is about; None: all


def look(port: VenuePort, *, trades_since: int, ask: list[int]) -> VenueView:
    """Ask for everything. Trades last: one that comes in between is seen rather than missed."""
    open_orders = sorted(port.open_orders(), key=lambda o: (o.id_order, o.id_venue))
    here = {order.id_order for order in open_orders}
    asked = {id_order: port.order(id_order) for id_order in sorted(set(ask) - here)}
    balances, positions = port.balances(), port.positions()
    trades = sorted(port.trades_since(trades_since), key=lambda t: t.id_trade)
    return VenueView(tuple(open_orders), tuple(trades), balances, positions, asked)

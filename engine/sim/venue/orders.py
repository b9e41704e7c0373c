"""The venue's records: what an order asks for, what became of it, lists of orders, and what is reported of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine._core.match import Flag, ListKind, Reason
from engine._core.strategy_abi import WishTif
from engine.sim.venue.accounts import Fee, Lock

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

"""What a difference between our books and the venue's means: for how long it may stand, and what it stops.

A break blocks new orders at once, of its symbol or of all as configured, and halts when it has stood for the grace
that late confirmations have. `Watch` remembers since when; `break_events` brings the core to what is blocked now, each
new break with what was believed and what was found, so that the record has it as an incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, Incident, Kind
from engine.journal.port import VenueView

ALL = -1
HALT_BOOKS = 8  # halt_cause_t of world_rows.pxd: the bit of a symbol that a break halts
REPORT, SYMBOL, EVERYTHING = "report", "symbol", "all"

# The five checks by what breaks in them; `orders` and `foreign` are two sides of the first one.
DEFAULT_HALT = {
    "orders": SYMBOL, "executions": SYMBOL, "position": SYMBOL, "profit": SYMBOL, "cash": EVERYTHING, "price": REPORT,
    "foreign": SYMBOL,
}  # fmt: skip
CODES = {
    "orders": Incident.INCIDENT_TERMS, "executions": Incident.INCIDENT_UNKNOWN_FILL,
    "position": Incident.INCIDENT_POSITION, "profit": Incident.INCIDENT_LEDGER, "cash": Incident.INCIDENT_BALANCE,
    "price": Incident.INCIDENT_TERMS, "foreign": Incident.INCIDENT_TERMS,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """What may differ, for how long, and what a break does."""

    cash: int = 10**6  # 0.01 in units of 1e-8: the venue's own rounding (K-23)
    position_lots: int = 0
    price_ppm: int = 50_000  # an execution this far from the market's price of its moment
    grace_ns: int = 30 * 60 * 10**9  # late confirmations
    inflight_ns: int = 5 * 10**9  # the venue accepts a request no longer than this after it was signed
    halt: dict[str, str] = field(default_factory=dict)  # break -> "symbol" | "all" | "report"
    foreign: str = "cancel"  # cancel | adopt | refuse


@dataclass(frozen=True)
class Break:
    """Two figures that should be one."""

    what: str
    symbol: int  # or ALL
    believed: int
    venue: int
    detail: str = ""
    id: int = 0  # of the order or trade; 0: a sum

    @property
    def key(self) -> tuple[str, int, int]:
        return self.what, self.symbol, self.id

    def text(self, names: Mapping[int, str] | None = None) -> str:
        where = "" if self.symbol == ALL else f" of {(names or {}).get(self.symbol, f'symbol {self.symbol}')}"
        more = f"; {self.detail}" if self.detail else ""
        return f"{self.what}{where}: {self.believed:,} here, {self.venue:,} at the venue{more}"


def order_breaks(
    orders: npt.NDArray[Any], view: VenueView, *, explained: Mapping[int, int] | None = None
) -> list[Break]:
    """The venue's tally of each open order against ours, and open orders that are not ours (K-19).

    `explained` has, by order, what trades that are on their way to us will add.
    """
    ours = {int(o["id_order"]): o for o in orders}
    found = []
    for other in view.open_orders:
        o = ours.get(other.id_order)
        if o is None:
            about = (
                f"order {other.id_venue} is not ours" if not other.id_order else f"order {other.id_order} ended here"
            )
            found.append(Break("foreign", other.symbol, 0, other.qty_lots, about, other.id_venue))
        elif other.filled_lots != int(o["filled_lots"]) + (explained or {}).get(other.id_order, 0):
            found.append(
                Break("orders", int(o["symbol"]), int(o["filled_lots"]), other.filled_lots,
                      f"filled of order {other.id_order}", other.id_order)
            )  # fmt: skip
    return found


@dataclass(frozen=True)
class Verdict:
    """What the breaks of one look mean."""

    incidents: tuple[Break, ...]  # new since the last look
    blocked: frozenset[int]  # symbols without new orders; ALL in it means every one
    halted: bool  # a break older than the grace
    healed: tuple[tuple[str, int, int], ...]


class Watch:
    """Remembers since when each break stands. A break blocks new orders at once and halts when its grace is over."""

    def __init__(self, tolerances: Tolerances | None = None) -> None:
        self.tolerances = tolerances or Tolerances()
        self._since: dict[tuple[str, int, int], int] = {}

    def since(self, key: tuple[str, int, int]) -> int | None:
        return self._since.get(key)

    def judge(self, found: list[Break], *, now_ns: int) -> Verdict:
        keys = {b.key for b in found}
        healed = tuple(sorted(key for key in self._since if key not in keys))
        for key in healed:
            del self._since[key]
        incidents = tuple(b for b in found if b.key not in self._since)
        for b in incidents:
            self._since.setdefault(b.key, now_ns)
        how = DEFAULT_HALT | self.tolerances.halt
        blocked = {ALL if how[b.what] == EVERYTHING else b.symbol for b in found if how[b.what] != REPORT}
        grace = self.tolerances.grace_ns
        halted = any(now_ns - self._since[b.key] >= grace for b in found if how[b.what] != REPORT)
        return Verdict(incidents, frozenset(blocked), halted, healed)


def spread(blocked: Iterable[int], symbols: int) -> set[int]:
    """Each symbol that is blocked, by itself or with all."""
    blocked = set(blocked)
    return set(range(symbols)) if ALL in blocked else blocked


def break_events(verdict: Verdict, halted: Iterable[int], *, symbols: int, now_ns: int) -> npt.NDArray[Any]:
    """KIND_SYMBOL events that bring the core from the symbols that are halted to those that are blocked now.

    Each new break comes first, as an incident that halts nothing by itself: one break may stop many symbols, and one
    symbol may have many breaks.
    """
    now, then = spread(verdict.blocked, symbols), set(halted)
    changed = sorted(now ^ then)
    rows = np.zeros(len(verdict.incidents) + len(changed), EVENT)
    rows["kind"], rows["ts_recv_ns"] = Kind.KIND_SYMBOL, now_ns
    for row, b in zip(rows, verdict.incidents, strict=False):
        row["symbol"] = max(0, b.symbol)
        row["word"][:] = 2, int(CODES[b.what]), b.believed, b.venue, b.id
    for row, symbol in zip(rows[len(verdict.incidents) :], changed, strict=True):
        row["symbol"] = symbol
        row["word"][:2] = int(symbol in now), int(Incident.INCIDENT_LEDGER)
    return rows

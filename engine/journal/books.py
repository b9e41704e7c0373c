"""The five checks of a running engine: our books against the venue's, look by look, each trade met once.

    order <-> execution      every trade of the venue is booked here with its terms, every fill here is a trade there;
                             open orders are open on both sides, their filled quantities agree
    sum of trades            the fills add up to our position, and to the venue's
    the profit's equation    bought and sold value is what the ledger has; realised profit is that plus the cost held
    the cash equation        start + flows - fees is our cash, and the venue's balance
    prices                   an execution lies near the market's price of its moment

Both sides move while they are compared: a trade that one side alone has is taken off every sum, and is a break of its
own once it is older than `young_ns`. Sums are compared where they are exact whatever is on its way: cash less the cost
of perpetuals, so that a trade changes them by its value and its fee and by nothing else. What is found counts when a
look at least `young_ns` later finds the same, to the unit.

Owns: fills and trades that have not met yet, what both sides agree on. Does not own: the venue's look, the timer, what
a break does. No clock, no chance. Cost: a fill is a dictionary's entry until it is met; a look is its new trades.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.ledger import Account
from engine._core.order_table import OrderState
from engine._core.types import FEE, ORDER, Flag, Kind
from engine._core.world import World
from engine.journal.breaks import ALL, Break, Tolerances, order_breaks
from engine.journal.port import VenueTrade, VenueView

Key = tuple[int, bool, int]  # symbol, sell, the venue's number of the trade
KEPT = 65_536
_RESTS = (
    OrderState.STATE_OPEN, OrderState.STATE_PARTIAL, OrderState.STATE_PENDING_CANCEL, OrderState.STATE_PENDING_REPLACE,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What the checks must know of one symbol."""

    linear: bool
    unit_value: int  # 1e-8 of the quote asset of one tick x one lot
    lot_units: int  # 1e-8 of the base asset
    quote: int  # the ledger's number of each asset
    base: int


@dataclass(frozen=True)
class Fill:
    id_order: int
    px_ticks: int
    lots: int  # signed


def key_of(trade: VenueTrade) -> Key:
    return trade.symbol, trade.sell, trade.id_trade


class Books:
    def __init__(
        self, world: World, rows: Mapping[int, Row], *, tolerances: Tolerances | None = None,
        young_ns: int = 5 * 10**9, next_trade: Mapping[int, int] | None = None, known: Iterable[Key] = (),
    ) -> None:  # fmt: skip
        self.rows, self.tolerances, self.young_ns = dict(rows), tolerances or Tolerances(), young_ns
        self.next_trade = dict(next_trade or {})
        positions = world.positions()
        self._base_lots = {s: int(positions[s]["lots"]) for s in self.rows}
        self._base_flow = {s: int(positions[s]["cash_value"]) for s in self.rows}
        self._met: dict[Key, None] = dict.fromkeys(known)  # of both sides, and in the base or the sums above
        self._ours: dict[Key, Fill] = {}
        self._theirs: dict[Key, VenueTrade] = {}
        self._fee_due: dict[Key, VenueTrade] = {}  # met, and its fee has not been told here
        self._fee_told: dict[Key, None] = {}
        self._differ: dict[Key, Break] = {}
        self._far: deque[Break] = deque(maxlen=256)
        self._found: dict[tuple[Any, ...], int] = {}  # what the looks before found, and when first
        self._stood: list[Break] = []  # of the look before, before it is known whether they last
        self.met_count = 0

    # ------------------------------------------------------------------------------------------------- what we heard
    def heard(self, world: World, events: npt.NDArray[Any]) -> None:
        """Inputs of the core, after it has stepped them."""
        kinds = events["kind"]
        told = np.flatnonzero((kinds == int(Kind.KIND_ORDER_FILL)) | (kinds == int(Kind.KIND_FEE)))
        for at in told:
            one = events[at : at + 1]
            if one["kind"][0] == Kind.KIND_ORDER_FILL:
                self._fill(world, one.view(ORDER)[0])
            else:
                row = one.view(FEE)[0]
                key = int(row["symbol"]), bool(row["flags"] & Flag.FLAG_SELL), int(row["id_trade"])
                if self._fee_due.pop(key, None) is None:
                    _keep(self._fee_told, key)

    def _fill(self, world: World, row: Any) -> None:
        symbol, sell = int(row["symbol"]), bool(row["flags"] & Flag.FLAG_SELL)
        key = symbol, sell, int(row["id_venue"])
        if key in self._ours or key in self._met:
            return
        lots, px = int(row["qty_lots"]), int(row["px_ticks"])
        self._ours[key] = Fill(int(row["id_order"]), px, -lots if sell else lots)
        self._base_lots[symbol] += -lots if sell else lots
        self._base_flow[symbol] += (lots if sell else -lots) * px * self.rows[symbol].unit_value
        touch = world.instruments()[symbol]
        bid, ask = int(touch["bid_px_ticks"]), int(touch["ask_px_ticks"])
        if 0 < bid <= ask and abs(2 * px - bid - ask) * 10**6 > self.tolerances.price_ppm * (bid + ask):
            self._far.append(Break("price", symbol, (bid + ask) // 2, px, f"trade {key[2]}", key[2]))

    # ------------------------------------------------------------------------------------------------------- one look
    def judge(self, world: World, view: VenueView, now_ns: int) -> list[Break]:
        """What differs now and differed `young_ns` ago. `view` has the venue's trades from `next_trade` on."""
        self._meet(view)
        away = self._on_the_way(now_ns)
        explained: dict[int, int] = {}
        for trade in self._theirs.values():
            explained[trade.id_order] = explained.get(trade.id_order, 0) + trade.qty_lots
        live = world.live_orders()
        if view.covers is not None:
            live = live[np.isin(live["symbol"], sorted(view.covers))]
        found = [
            *self._executions(away, view.covers),
            *order_breaks(live, view, explained=explained),
            *self._ghosts(live, view, explained, now_ns),
            *self._positions(world, view),
            *self._profit(world),
            *self._cash(world, view, now_ns),
        ]
        if view.covers is not None:
            # Of the rest nothing was said: what stood about it stands.
            found = [b for b in found if b.symbol in view.covers or b.symbol == ALL]
            found += [b for b in self._stood if b.symbol not in view.covers and b.symbol != ALL]
        self._stood = found
        # A price is a fact of its moment: nothing that the next look finds makes it another one.
        far, self._far = list(self._far), deque(maxlen=256)
        return [*self._lasting(found, now_ns), *far]

    @property
    def doubtful(self) -> bool:
        """Something was found once: look again soon."""
        return bool(self._found)

    def _meet(self, view: VenueView) -> None:
        for trade in view.trades:
            self.next_trade[trade.symbol] = max(self.next_trade.get(trade.symbol, 0), trade.id_trade + 1)
            if key_of(trade) not in self._met:
                self._theirs[key_of(trade)] = trade
        for key in self._ours.keys() & self._theirs.keys():
            fill, trade = self._ours.pop(key), self._theirs.pop(key)
            lots = -trade.qty_lots if trade.sell else trade.qty_lots
            if (fill.id_order, fill.px_ticks, fill.lots) != (trade.id_order, trade.px_ticks, lots):
                self._differ[key] = Break(
                    "executions", trade.symbol, fill.lots, lots,
                    f"trade {trade.id_trade}: order {fill.id_order} at {fill.px_ticks:,} here, order {trade.id_order} "
                    f"at {trade.px_ticks:,} there", trade.id_trade,
                )  # fmt: skip
            if key in self._fee_told:
                del self._fee_told[key]
            elif trade.fee:
                self._fee_due[key] = trade
            self.met_count += 1
            _keep(self._met, key)

    def _on_the_way(self, now_ns: int) -> set[Key]:
        return {key for key, trade in self._theirs.items() if now_ns - trade.ts_ns < self.young_ns}

    def _executions(self, away: set[Key], covers: frozenset[int] | None) -> list[Break]:
        found = list(self._differ.values())
        for key, trade in sorted(self._theirs.items()):
            if key not in away:
                whose = f"of order {trade.id_order}" if trade.id_order else "of nobody here"
                found.append(
                    Break("executions", trade.symbol, 0, -trade.qty_lots if trade.sell else trade.qty_lots,
                          f"trade {trade.id_trade} {whose} is not booked", trade.id_trade)
                )  # fmt: skip
        for (symbol, _, id_trade), fill in sorted(self._ours.items()):
            if covers is not None and symbol not in covers:
                continue
            # What we know the venue has known: its list should have it.
            found.append(Break("executions", symbol, fill.lots, 0, f"trade {id_trade} is not in its list", id_trade))
        return found

    def _ghosts(self, live: Any, view: VenueView, explained: Mapping[int, int], now_ns: int) -> list[Break]:
        """Orders that rest here and not there, when no trade on its way says why."""
        there = {order.id_order for order in view.open_orders}
        return [
            Break("orders", int(o["symbol"]), int(o["qty_lots"]), 0, f"order {int(o['id_order'])} is not open there",
                  int(o["id_order"]))
            for o in live
            if o["state"] in _RESTS and not o["trigger"] and int(o["id_order"]) not in there
            and int(o["id_order"]) not in explained and now_ns - int(o["ts_changed_ns"]) >= self.young_ns
        ]  # fmt: skip

    def _positions(self, world: World, view: VenueView) -> list[Break]:
        found, positions = [], world.positions()
        away, ahead = dict.fromkeys(self.rows, 0), dict.fromkeys(self.rows, 0)
        for trade in self._theirs.values():
            away[trade.symbol] += -trade.qty_lots if trade.sell else trade.qty_lots
        for key, fill in self._ours.items():
            ahead[key[0]] += fill.lots
        for symbol in self.rows:
            here = int(positions[symbol]["lots"])
            if abs(self._base_lots[symbol] - here) > self.tolerances.position_lots:
                found.append(Break("position", symbol, here, self._base_lots[symbol], "the sum of its fills"))
            said = view.positions.get(symbol)
            if said is not None and abs(said - away[symbol] + ahead[symbol] - here) > self.tolerances.position_lots:
                found.append(Break("position", symbol, here, said - away[symbol] + ahead[symbol], "", 1))
        return found

    def _profit(self, world: World) -> list[Break]:
        """Realised plus unrealised is flow + lots x mark under every cost basis; realised alone is flow + cost."""
        found, positions, assets = [], world.positions(), world.assets()
        realised: dict[int, int] = {}
        for symbol, row in self.rows.items():
            flow = int(positions[symbol]["cash_value"])
            realised[row.quote] = realised.get(row.quote, 0) + flow + int(positions[symbol]["cost"])
            if abs(self._base_flow[symbol] - flow) > self.tolerances.cash:
                found.append(Break("profit", symbol, flow, self._base_flow[symbol], "bought and sold value"))
        for asset, profit in sorted(realised.items()):
            booked = -int(assets[asset]["balance"][int(Account.ACCOUNT_REALISED)])
            if abs(booked - profit) > self.tolerances.cash:
                found.append(
                    Break("profit", ALL, booked, profit, f"realised in asset {asset}, flow and cost", 1 + asset)
                )
        return found

    def _cash(self, world: World, view: VenueView, now_ns: int) -> list[Break]:
        positions, assets = world.positions(), world.assets()
        # A fee follows its fill; one that does not come is missing in our cash, and stands there as a break.
        self._fee_due = {key: t for key, t in self._fee_due.items() if now_ns - t.ts_ns < self.young_ns}
        ours = {asset: int(assets[asset]["balance"][int(Account.ACCOUNT_CASH)]) for asset in view.balances}
        theirs = dict(view.balances)
        for symbol, row in self.rows.items():
            if row.linear and row.quote in theirs:
                if symbol not in view.costs:
                    # Without the cost of what is open a wallet says nothing to the unit.
                    del theirs[row.quote]
                    continue
                ours[row.quote] -= int(positions[symbol]["cost"])
                theirs[row.quote] -= view.costs[symbol]
        for trade in self._theirs.values():
            self._add(ours, self.rows[trade.symbol], trade.px_ticks, -trade.qty_lots if trade.sell else trade.qty_lots)
        for key, fill in self._ours.items():
            self._add(theirs, self.rows[key[0]], fill.px_ticks, fill.lots)
        for trade in [*self._theirs.values(), *self._fee_due.values()]:
            if trade.fee_asset in ours:
                ours[trade.fee_asset] -= trade.fee
        return [
            Break("cash", ALL, ours[asset], theirs[asset], f"asset {asset}", 1 + asset)
            for asset in sorted(theirs)
            if abs(ours[asset] - theirs[asset]) > self.tolerances.cash
        ]

    @staticmethod
    def _add(amounts: dict[int, int], row: Row, px_ticks: int, lots: int) -> None:
        """What one trade does to the cash of its assets."""
        if row.quote in amounts:
            amounts[row.quote] -= lots * px_ticks * row.unit_value
        if not row.linear and row.base in amounts:
            amounts[row.base] += lots * row.lot_units

    def _lasting(self, found: list[Break], now_ns: int) -> list[Break]:
        """Those that were the same, to the unit, a while ago: what is on its way changes or goes."""
        marks = {(*b.key, b.venue - b.believed): b for b in found}
        self._found = {mark: self._found.get(mark, now_ns) for mark in marks}
        return [b for mark, b in marks.items() if now_ns - self._found[mark] >= self.young_ns]


def _keep(keys: dict[Key, None], key: Key) -> None:
    keys[key] = None
    while len(keys) > KEPT:
        del keys[next(iter(keys))]

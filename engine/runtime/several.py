"""Several venues in one session: one exchange each, one core over all of them.

The core knows which venue each instrument is at; an intent goes to that venue's exchange, whichever venue's message it
answers. What one venue says reaches the core through that venue's own door, so that a venue that is lost blocks its own
orders alone: the core judges connections, reconciliation and clock by venue. A trip, a halt or a pause is the core's
and acts on all.

The account's own asset is one pool in the ledger and lies in parts at the venues: its sum is compared when all are
looked at, and no venue's word on its part is held against the whole. Invariant: each symbol has one exchange.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import Flag, Kind
from engine.journal.port import VenueView
from engine.journal.reconcile import Row
from engine.runtime.door import NOTHING, Door
from engine.runtime.engine import Depth, Engine
from engine.venues.tally import TallyStart

Events = npt.NDArray[Any]
POOL = 0  # the account's own asset in the ledger


class SeveralExchanges:
    """`parts` by the venue's name."""

    def __init__(self, parts: Mapping[str, Door]) -> None:
        self.parts = dict(parts)
        self._doors = list(self.parts.values())
        self._door_of = {i.index: door for door in self._doors for i in door.directory}
        self._part_of = np.zeros(1 + max(self._door_of), np.int64)
        for symbol, door in self._door_of.items():
            self._part_of[symbol] = self._doors.index(door)
        for door in self._doors:
            door.shares_cash = True

    # ------------------------------------------------------------------------------------------------ the engine's seam
    def poll(self, until_ns: int) -> Events:
        for door in self._doors:
            if len(events := door.poll(until_ns)):
                return events
        return NOTHING

    def submit(self, outputs: Events) -> None:
        """Each venue gets what is of its symbols, in the order in which the core made it."""
        symbols = outputs["symbol"].astype(np.int64)
        parts = self._part_of[np.minimum(symbols, len(self._part_of) - 1)]
        # The record behind a request with terms goes where that goes.
        for at in _with_terms(outputs):
            parts[at + 1] = parts[at]
        for at in np.unique(parts):
            self._doors[int(at)].submit(outputs[parts == at])

    def positions(self) -> dict[int, int]:
        return {symbol: lots for door in self._doors for symbol, lots in door.positions().items()}

    def equity(self) -> int:
        """The sum, where every venue has said its part."""
        each = [door.equity() for door in self._doors]
        return sum(each) if all(each) else 0

    def depth(self, symbol: int, levels: int) -> Depth:
        return self._door_of[symbol].depth(symbol, levels)

    def look(self, next_trade: Mapping[int, int], take: Callable[[VenueView], None]) -> None:
        """Of every venue that is there; of the others nothing is said, and what stood about them stands."""
        asked = [door for door in self._doors if door.is_connected]
        if not asked:
            return
        views: dict[int, VenueView] = {}

        def taken(at: int, view: VenueView) -> None:
            views[at] = view
            if len(views) == len(asked):
                take(self._whole([views[at] for at in sorted(views)], asked))

        for at, door in enumerate(asked):
            mine = {i.index: next_trade[i.index] for i in door.directory if i.index in next_trade}
            door.look(mine, lambda view, at=at: taken(at, view))  # type: ignore[misc]

    def _whole(self, views: Sequence[VenueView], asked: Sequence[Door]) -> VenueView:
        balances: dict[int, int] = {}
        for view in views:
            for asset, amount in view.balances.items():
                balances[asset] = balances.get(asset, 0) + amount
        covers = None
        if len(asked) < len(self._doors):
            balances.pop(POOL, None)
            covers = frozenset(i.index for door in asked for i in door.directory)
        return VenueView(
            tuple(order for view in views for order in view.open_orders),
            tuple(trade for view in views for trade in view.trades),
            balances,
            {symbol: lots for view in views for symbol, lots in view.positions.items()},
            costs={symbol: cost for view in views for symbol, cost in view.costs.items()},
            covers=covers,
        )

    def settled(self) -> list[Row]:
        return [row for door in self._doors for row in door.settled()]

    # ----------------------------------------------------------------------------------------------- the session's seam
    @property
    def next_trade(self) -> dict[int, int]:
        return {symbol: number for door in self._doors for symbol, number in door.next_trade.items()}

    def dead_man_state(self, now_ns: int) -> str:
        return "; ".join(f"{name}: {door.dead_man_state(now_ns)}" for name, door in self.parts.items())

    def go_on(self, reports: Events, start: TallyStart, orders: Iterable[int]) -> None:
        orders = tuple(orders)
        for door in self._doors:
            mine = {i.index for i in door.directory}
            door.go_on(
                reports[np.isin(reports["symbol"], sorted(mine))],
                TallyStart(
                    {symbol: n for symbol, n in start.next_trade.items() if symbol in mine},
                    {symbol: n for symbol, n in start.net_lots.items() if symbol in mine},
                    tuple(row for row in start.booked if row[0] in mine),
                ),
                # Whose they are their numbers do not say: a doubt too many costs a venue a question.
                orders,
            )

    async def start(self, engine: Engine) -> None:
        for door in self._doors:
            await door.start(engine)

    async def close(self) -> None:
        """All at once: one that does not answer holds up no other's last look. The first failure is told."""
        ended = await asyncio.gather(*(door.close() for door in self._doors), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error


def _with_terms(outputs: Events) -> list[int]:
    """Where a request stands whose terms are the record behind it."""
    kinds, firsts = outputs["kind"], outputs["flags"] & int(Flag.FLAG_FIRST) != 0
    intents = (kinds >= int(Kind.KIND_INTENT_PLACE)) & (kinds <= int(Kind.KIND_INTENT_CANCEL_ALL))
    return [int(at) for at in np.flatnonzero(intents & firsts) if at + 1 < len(outputs)]

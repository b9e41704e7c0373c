"""The one door between a venue over sockets and the core: what every exchange of a session has, whatever its protocol.

Owns: the queue of events that wait for the core, which fills were told, the venue's own word on balances and positions,
the driver's gate and its lights, tasks. Does not own: connections and requests (`live.py` natively, `bridged.py`
through ccxt), the core's judgement: the gate of the core is shut and opened by events, so a replay sees the same; the
driver's own gate stands behind it as the second line. Invariants: an event reaches the core only through `tell` and
`flush`, never inside another step; a fault of ours ends the session through `poll`, not silently in a task.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.book import Side
from engine._core.clock import utc_ns
from engine._core.order_table import OrderState
from engine._core.types import BALANCE, EVENT, ORDER, POSITION, Feed, Kind
from engine.journal.port import VenueView
from engine.journal.reconcile import Row
from engine.net.budget import RateBudget
from engine.net.clocksync import ClockSync
from engine.runtime.care import Act, Care, CareConfig
from engine.runtime.engine import Depth, Engine
from engine.runtime.seam import Asker
from engine.runtime.turn import Turn
from engine.safety.armed import Armed
from engine.venues.directory import Directory
from engine.venues.driver import StartGate, Tally
from engine.venues.records import SYMBOL_ALL, Records
from engine.venues.tally import TallyStart

Events = npt.NDArray[Any]
MS = 1_000_000
# Payments of the time between two sessions are asked for so far back.
FUNDING_BACK_NS = 7 * 86_400 * 10**9
NOTHING = np.zeros(0, EVENT)
# What a stream and the answer to a request tell both.
SENT_TWICE = (Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_CANCELED, Kind.KIND_ORDER_EXPIRED, Kind.KIND_ORDER_REJECTED)


class Door(Turn, ABC):
    """`sender` says what was asked and is not answered; a subclass sends and hears."""

    sender: Asker

    def __init__(
        self, directory: Directory, account: Any, budget: RateBudget, clock: ClockSync, *, venue: int, tick_s: float,
        care: CareConfig, dead_man: Armed, is_linear: bool,
    ) -> None:  # fmt: skip
        self.directory, self.account, self.budget, self.clock = directory, account, budget, clock
        self.venue, self.tick_s, self.is_linear, self.dead_man = venue, tick_s, is_linear, dead_man
        self.gate = StartGate(i.index for i in directory)
        self.tally = Tally()
        self.held: dict[int, tuple[int, int]] = {}  # linear: lots and entry price by symbol, as the venue said last
        self.notes: deque[tuple[str, str]] = deque(maxlen=256)
        self.balances: dict[int, int] = {}  # by the ledger's asset: the account's own first, then each base in order
        self.shares_cash = False  # other venues hold a part of the account's own asset: one's word is not the whole
        self.known: dict[tuple[int, int], int] = {}  # our order by (symbol, the venue's number)
        self.opened_count = 0  # how often the core was told that all is green
        self.told_open = False
        self.queue: deque[Events] = deque()
        self.records = Records()
        self._engine: Engine | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.care = Care(self, care)

    # ----------------------------------------------------------------------------------------- what a subclass answers
    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Orders may be sent."""

    @property
    @abstractmethod
    def is_reached(self) -> bool:
        """Orders may be sent and what becomes of them is heard."""

    @abstractmethod
    def submit(self, outputs: Events) -> None:
        """The outputs of one step: intents leave now."""

    @abstractmethod
    async def start(self, engine: Engine) -> None:
        """Open everything. Returns at once: the core stays shut until every light is green."""

    @abstractmethod
    async def close(self) -> None:
        """Take back what rests, tell the last fills, end every connection and task."""

    def acts(self) -> dict[str, Act]:
        """Duties of its own, by name."""
        return {}

    # ------------------------------------------------------------------------------------------------ the engine's seam
    def poll(self, until_ns: int) -> Events:  # noqa: ARG002  (what is here has happened)
        if self.failure is not None:
            raise self.failure
        return self.queue.popleft() if self.queue else NOTHING

    def positions(self) -> dict[int, int]:
        """By its own word; on spot by its own list of trades, as of the last tally. Nothing while it is not reached:
        what it said before is no word on now, and a trip must not take it for one."""
        if not self.is_reached:
            return {}
        return {symbol: lots for symbol, (lots, _) in self.held.items()} if self.is_linear else dict(self.care.net_lots)

    def equity(self) -> int:
        """Its own balances, as it said them last, at the middle of the books; 0 while one is not known."""
        if not self.balances or self._engine is None:
            return 0
        total, rows = self.balances.get(0, 0), self._engine.core.world.instruments()
        for instrument in self.directory:
            row = rows[instrument.index]
            bid, ask = int(row["bid_px_ticks"]), int(row["ask_px_ticks"])
            if self.is_linear:
                lots, paid_e8 = self.held.get(instrument.index, (0, 0))
                amount = lots * instrument.lot_e8
            else:
                # Each instrument's base asset follows the account's own, in their order.
                amount, paid_e8 = self.balances.get(instrument.index + 1, 0), 0
            if amount and not 0 < bid <= ask:
                return 0
            total += amount * ((bid + ask) * instrument.tick_e8 // 2 - paid_e8) // 10**8
        return total

    def depth(self, symbol: int, levels: int) -> Depth:
        """The core's own book."""
        if self._engine is None:
            return [], []
        world = self._engine.core.world
        bids, asks = (world.book_levels(symbol, side, levels).tolist() for side in (Side.SIDE_BID, Side.SIDE_ASK))
        return bids, asks

    def look(self, next_trade: Mapping[int, int], take: Callable[[VenueView], None]) -> None:
        """Its books, over REST; nothing while no stream brings what they would be held against."""
        if self.is_connected:
            self.care.look(dict(next_trade), take)

    def settled(self) -> list[Row]:
        return self.care.settled()

    def dead_man_state(self, now_ns: int) -> str:
        return self.dead_man.state(now_ns)

    @property
    def next_trade(self) -> dict[int, int]:
        return self.care.next_trade

    def go_on(self, reports: Events, start: TallyStart, orders: Iterable[int]) -> None:
        """Before `start`: what earlier sessions heard, so that no fill is told twice and none is missed.

        `orders` may be at the venue; a request that the last process wrote as it died may still be on its way.
        """
        now = utc_ns()
        self.sender.placed.update((id_order, now) for id_order in orders)
        self.tally.booked(start.keys())
        if len(reports):
            self._heard(reports)
        self.care.next_trade = dict(start.next_trade)
        self.care.net_lots = dict(start.net_lots)
        # Payments of the time between: the core knows those that it has by their number.
        self.care.linear.funding_ns -= min(self.care.linear.funding_ns, FUNDING_BACK_NS)

    # ------------------------------------------------------------------------------------------------------------- life
    @property
    def core(self) -> Any:
        assert self._engine is not None
        return self._engine.core

    def _spawn(self, what: Any) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """A fault of ours: it ends the session through `poll`, not silently in a task."""
        if self.failure is None:
            self.failure = error if isinstance(error, Exception) else RuntimeError(repr(error))

    async def _last_look(self) -> None:
        """End every task, then take back what rests and tell the last fills."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.care.stopped()
        if self._engine is not None and self.failure is None:
            await self.care.settle()

    # ------------------------------------------------------------------------------------------------ the core's door
    def tell(self, events: Events) -> None:
        """Give events to the core now, or right after the step that is under way."""
        if len(events) and len(events := self._still_meant(events)):
            self._heard(events)
            if self.shares_cash:
                events = events[(events["kind"] != Kind.KIND_BALANCE) | (events["word"][:, 0] != 0)]
            self.queue.append(events)
            self.flush()

    def flush(self) -> None:
        if len(self.records):
            self.queue.append(self.records.take())
        if self.busy or self._engine is None or self.failure is not None:
            return
        self.busy = True
        try:
            while self.queue:
                self._engine.take(self.queue.popleft())
        except Exception as error:
            self.fail(error)
            raise
        finally:
            self.busy = False

    def _heard(self, events: Events) -> None:
        """Remember which fills were told, and our numbers behind the venue's."""
        for balance in events[events["kind"] == Kind.KIND_BALANCE].view(BALANCE):
            self.balances[int(balance["asset"])] = int(balance["free"]) + int(balance["locked"])
        for position in events[events["kind"] == Kind.KIND_POSITION].view(POSITION):
            self.held[int(position["symbol"])] = int(position["lots"]), int(position["entry_px_e8"])
        if Kind.KIND_ORDER_ACK <= events["kind"][0] <= Kind.KIND_ORDER_LOST:
            self.tally.heard(events)
            for row in events[np.isin(events["kind"], SENT_TWICE)].view(ORDER):
                if row["id_venue"]:
                    self.known[int(row["symbol"]), int(row["id_venue"])] = int(row["id_order"])
            while len(self.known) > 65_536:
                del self.known[next(iter(self.known))]

    def _still_meant(self, events: Events) -> Events:
        """Doubt about an order that has ended says nothing; absence is said of an order in doubt only."""
        doubts = np.isin(events["kind"], (Kind.KIND_ORDER_LOST, Kind.KIND_ORDER_ABSENT))
        if self._engine is None or not doubts.any():
            return events
        states = {int(row["id_order"]): int(row["state"]) for row in self.core.world.live_orders()}
        parts = []
        for at, is_doubt in enumerate(doubts):
            event = events[at : at + 1]
            state = states.get(int(event.view(ORDER)["id_order"][0]))
            if is_doubt and state is None:
                continue
            if is_doubt and state != OrderState.STATE_UNKNOWN and event["kind"][0] == Kind.KIND_ORDER_ABSENT:
                lost = event.copy()
                lost["kind"] = Kind.KIND_ORDER_LOST
                parts.append(lost)
            parts.append(event)
        return np.concatenate(parts) if parts else NOTHING

    def tell_feed(self, feed: Feed, *, up: int, now: int, symbol: int = SYMBOL_ALL) -> None:
        self.records.feed(feed=int(feed), up=up, venue=self.venue, ts_recv_ns=now, symbol=symbol)

    def show_gate(self, now: int) -> None:
        """The core's own gate follows: 2 opens it; 1 shuts it until somebody has compared."""
        is_open = self.gate.is_open
        if is_open != self.told_open and self.is_reached:
            self.tell_feed(Feed.FEED_USER, up=2 if is_open else 1, now=now)
            self.opened_count += int(is_open)
        self.told_open = is_open

    def queue_records(self) -> None:
        if len(self.records):
            self.queue.append(self.records.take())

    def note(self, kind: str, text: str) -> None:
        self.notes.append((kind, text))

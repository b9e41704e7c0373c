"""What a live driver does beside the hot path: clock, tally, instruments, fees, reconciliation, the last look.

Every question goes over REST through the venue's one budget, in a task of its own; what comes of it is told to the core
as events. A question that fails is asked again later and never ends the driver; a fault of ours does.

Owns: the time table, tasks under way by name, which trades were compared. Does not own: sockets of the hot path, the
gate's meaning. Invariants: at most one task of a name; nothing is reconciled while an order of ours has no known fate.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine._core.clock import utc_ns
from engine._core.order_table import OrderState
from engine._core.types import EVENT, ORDER, SYMBOL, Kind
from engine.errors import Bot4Error, VenueUnsure
from engine.journal.port import VenueOrder, VenueTrade, VenueView
from engine.journal.reconcile import Row, state_name
from engine.net.budget import SECOND
from engine.net.clocksync import MS
from engine.runtime.engine import at_venue
from engine.runtime.events import fees_event
from engine.runtime.linear import LinearCare
from engine.venues.binance.ids import Request
from engine.venues.driver import DUTIES, Duties, Duty
from engine.venues.records import Records

if TYPE_CHECKING:
    from engine.runtime.door import Door

Act = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class CareConfig:
    duties: tuple[Duty, ...] = DUTIES  # those that the venue has
    young_ns: int = SECOND  # a trade younger than this may still be on its way over the stream
    again_s: float = 0.25  # between two tries of an image or a comparison
    settle_s: float = 10.0  # longest last look
    looks_most: int = 5  # tries of one look at the books, when trades come in between
    foreign: str = "cancel"  # open orders that are not ours; `refuse` leaves them to the books, as a break


class Care:
    def __init__(self, live: Door, config: CareConfig) -> None:
        self.live = live
        self.config = config
        self.linear = LinearCare(live)
        acts = {"clock": self._clock, "tally": self._tally, "instruments": self._instruments, "fees": self._fees}
        self._acts: dict[str, Act] = acts | (self.linear.acts() if live.is_linear else {}) | live.acts()
        self.duties = Duties((duty for duty in self.config.duties if duty.name in self._acts), utc_ns())
        self.running: dict[str, asyncio.Task[None]] = {}
        self.failures: dict[str, str] = {}  # the newest of each name
        self.next_trade: dict[int, int] = {}  # by symbol: the first number that was not compared yet
        self.net_lots: dict[int, int] = {}  # by symbol: what the venue's own list of trades adds up to
        self.stray_count = 0
        self._room_ns = 0
        self._rows: deque[Row] = deque(maxlen=256)
        self._compare = False
        self._counting = asyncio.Lock()

    # ----------------------------------------------------------------------------------------------------------- tasks
    def begin(self, name: str, make: Act) -> None:
        """A task of that name, unless one is under way."""
        if name not in self.running:
            self.running[name] = asyncio.get_running_loop().create_task(self._guarded(name, make))

    async def _guarded(self, name: str, make: Act) -> None:
        try:
            await make()
        except Bot4Error as error:
            self.failures[name] = str(error)
            self.live.note(name, str(error))
            if name in self.duties.failures:
                self.duties.failed(name, utc_ns())
        except Exception as error:  # noqa: BLE001  (handed on: `poll` raises it in the engine's own turn)
            self.live.fail(error)
        else:
            self.failures.pop(name, None)
            if name in self.duties.failures:
                self.duties.done(name, utc_ns())
        finally:
            del self.running[name]

    def stop(self) -> None:
        for task in self.running.values():
            task.cancel()

    async def stopped(self) -> None:
        self.stop()
        await asyncio.gather(*self.running.values(), return_exceptions=True)

    def tick(self, now_ns: int) -> None:
        for name in self.duties.due(now_ns):
            if name != "clock" and self.live.clock.why_not_sign(now_ns):
                # Nothing signed may leave before the clock is known: at a start all wait for its first measurement.
                self.duties.put_off(name)
            else:
                self.begin(name, self._acts[name])
        if not self.judge(now_ns) and self._compare and self.live.is_connected:
            self.begin("reconcile", self._reconcile)

    def judge(self, now_ns: int) -> bool:
        """The lights of clock, duties and budget as they are now; whether the budget is closed."""
        gate = self.live.gate
        gate.clock(self.live.clock.why_not_sign(now_ns))
        gate.duties(self.duties.overdue(now_ns))
        blocked = not self.live.budget.open_until(self.live.clock.venue_now_ns(now_ns)) or now_ns < self._room_ns
        gate.budget("the venue's limits leave no room for new orders" if blocked else "")
        return blocked

    def at_once(self, name: str, now_ns: int) -> None:
        self.duties.at_once(name, now_ns)

    def no_room(self, until_ns: int) -> None:
        self._room_ns = max(self._room_ns, min(until_ns, utc_ns() + 60 * SECOND))

    # ---------------------------------------------------------------------------------------------------------- duties
    async def _clock(self) -> None:
        await self.live.account.measure_clock()
        now = utc_ns()
        best = self.live.clock.best(now)
        if best is not None:
            records = Records()
            records.clock(
                venue=self.live.venue, offset_ns=best.offset_ns, uncertainty_ns=best.uncertainty_ns,
                synchronised=abs(best.offset_ns) <= self.live.clock.limits.offset_ns, ts_venue_ns=now + best.offset_ns,
                ts_recv_ns=now,
            )  # fmt: skip
            self.live.tell(records.take())
        doubt_ns = abs(best.offset_ns) + best.uncertainty_ns if best is not None else 0
        if self.live.clock.why_not_sign(now) or doubt_ns > self.live.clock.limits.offset_ns // 2:
            # Measured, and not good enough: again soon. The core counts the doubt as distance.
            self.duties.at_once("clock", now + self._again_ns("clock"))

    def _again_ns(self, name: str) -> int:
        return next(duty.again_ns for duty in self.config.duties if duty.name == name)

    async def _instruments(self) -> None:
        changed = self.live.directory.refresh(await self.live.account.listed(i.text for i in self.live.directory))
        for text in changed:
            instrument = self.live.directory.find(text)
            assert instrument is not None
            event = np.zeros(1, EVENT)
            event["kind"], event["symbol"], event["ts_recv_ns"] = Kind.KIND_SYMBOL, instrument.index, utc_ns()
            event.view(SYMBOL)["halt"] = int(not instrument.trading)
            self.live.note("instruments", f"{text} changed; trading: {instrument.trading}")
            self.live.tell(event)

    async def _fees(self) -> None:
        for instrument in self.live.directory:
            maker, taker = await self.live.account.fees(instrument.text)
            # Recorded and stepped like whatever else the core knows, also when they are the same: what is not heard of
            # for too long is not known any more, and the gate says so.
            self.live.tell(fees_event(utc_ns(), instrument.index, maker, taker))
            if (maker, taker) != (instrument.fee_maker_e8, instrument.fee_taker_e8):
                self.live.directory.set_fees(instrument.text, maker, taker)
                self.live.note("fees", f"{instrument.text}: maker {maker}, taker {taker} in 1e-8")

    async def _tally(self) -> None:
        await self._count_trades(young_ns=self.config.young_ns)

    async def _count_trades(self, *, young_ns: int) -> None:
        """Hold the venue's list of trades against what the stream told; tell what is missing. One at a time."""
        async with self._counting:
            await self._count_new_trades(young_ns=young_ns)

    async def _count_new_trades(self, *, young_ns: int) -> None:
        live = self.live
        for instrument in live.directory:
            symbol = instrument.index
            trades = await live.account.trades_from(instrument, self.next_trade.get(symbol, 1), live.known)
            now = utc_ns()
            oldest = live.clock.venue_now_ns(now) - young_ns
            ripe = [trade for trade in trades if trade.ts_ns <= oldest]
            if not ripe:
                continue
            self.next_trade[symbol] = ripe[-1].id_trade + 1
            signed = sum(-trade.qty_lots if trade.sell else trade.qty_lots for trade in ripe)
            self.net_lots[symbol] = self.net_lots.get(symbol, 0) + signed
            filled = {int(row["id_order"]): int(row["filled_lots"]) for row in live.core.world.live_orders()}
            missing = live.tally.missing(ripe, filled, now)
            for fill in missing[missing["kind"] == Kind.KIND_ORDER_FILL].view(ORDER):
                there = f"{fill['qty_lots']} at {fill['px_ticks']} of order {fill['id_order']}"
                self._rows.append(Row(f"trade {fill['id_venue']}", "not seen", there, "booked"))
            live.tell(missing)

    # -------------------------------------------------------------------------------------------------- reconciliation
    def reconcile(self) -> None:
        """The user stream came back: nothing new leaves before both sides were compared."""
        self._compare = True

    def _live_at_venue(self) -> dict[int, Any]:
        """Our orders that the venue may have, by id."""
        return {int(row["id_order"]): row for row in at_venue(self.live.core.world)}

    async def _reconcile(self) -> None:
        live = self.live
        self._compare = False
        try:
            await self._count_trades(young_ns=0)
            found = await live.account.open_orders()
            ours = self._live_at_venue()
            strays = [order for order in found if order.id_order not in ours]
            strays = [order for order in strays if order.id_order or self.config.foreign == "cancel"]
            await self._cancel(strays)
            now = utc_ns()
            there = {order.id_order for order in found}
            for id_order, row in ours.items():
                if id_order not in there or row["state"] == OrderState.STATE_UNKNOWN:
                    self._rows.append(_doubt(row, id_order in there))
                    live.sender.ask(Request("q", bool(row["sell"]), id_order, int(row["symbol"])), now)
            waiting = len(live.sender.asks)
            if strays or waiting:
                # Asked for now; compared again when the answers are there.
                live.gate.reconciled(breaks=len(strays) + waiting)
                await self._until_answered()
                self._compare = True
                return
            await self._count_trades(young_ns=0)
            if live.is_linear and (differences := await self.linear.differences()):
                live.gate.reconciled(breaks=differences)
                self._compare = True
                await asyncio.sleep(self.config.again_s)
                return
        except Bot4Error:
            self._compare = True
            await asyncio.sleep(self.config.again_s)
            raise
        live.gate.reconciled(breaks=0)

    async def _until_answered(self) -> None:
        tries = 0
        while self.live.sender.asks and self.live.is_connected and tries < 400:
            tries += 1
            await asyncio.sleep(self.live.tick_s)
        await asyncio.sleep(self.config.again_s)

    async def _cancel(self, orders: Iterable[VenueOrder]) -> None:
        for order in orders:
            self.stray_count += 1
            self.live.note("stray", f"{order.client_id} is open at the venue and not here: cancelled")
            whose = "ended" if order.id_order else "not ours"
            there = f"open, {order.filled_lots} of {order.qty_lots} at {order.px_ticks}"
            self._rows.append(Row(f"order {order.client_id}", whose, there, "cancelled"))
            await self.live.account.cancel(order)

    def look(self, next_trade: dict[int, int], take: Callable[[VenueView], None]) -> None:
        self.begin("books", lambda: self._look(next_trade, take))

    async def _look(self, next_trade: dict[int, int], take: Callable[[VenueView], None]) -> None:
        """What the account holds and has open, between two equal lists of trades: nothing happened meanwhile."""
        account, before = self.live.account, await self._trades(next_trade)
        for _ in range(self.config.looks_most):
            balances, orders = await account.balances(), await account.open_orders()
            lots, costs = await account.held()
            after = await self._trades(next_trade)
            if after == before:
                if self.config.foreign == "cancel":
                    await self._cancel(order for order in orders if not order.id_order)
                    orders = [order for order in orders if order.id_order]
                take(VenueView(tuple(orders), tuple(after), balances, lots, costs=costs))
                return
            before = after
        raise VenueUnsure(f"trades came in between {self.config.looks_most} times.")

    async def _trades(self, next_trade: dict[int, int]) -> list[VenueTrade]:
        live, found = self.live, list[VenueTrade]()
        for instrument in live.directory:
            first = next_trade.get(instrument.index, 1)
            found += await live.account.trades_from(instrument, first, live.known)
        return found

    def settled(self) -> list[Row]:
        """What was settled with the venue since this was last asked."""
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def cancel_all(self, symbol: int) -> None:
        """Where the order connection has no such request, REST has."""
        instrument = self.live.directory.at(symbol)
        if instrument is not None:
            self.begin(f"cancel all {symbol}", lambda: self.live.account.cancel_all(instrument))

    def verify(self, symbols: Iterable[int]) -> None:
        """The plan asks what the venue holds: its own list of trades says so."""
        names = sorted(set(symbols))
        self.begin("verify", lambda: self._verify(names))

    async def _verify(self, symbols: list[int]) -> None:
        await self._count_trades(young_ns=0)
        if self.live.is_linear:
            await self.linear.tell_positions(symbols)
            return
        records, now = Records(), utc_ns()
        for symbol in symbols:
            records.position(
                symbol=symbol, ts_venue_ns=self.live.clock.venue_now_ns(now) // MS * MS, ts_recv_ns=now,
                lots=self.net_lots.get(symbol, 0), entry_px_e8=0,
            )  # fmt: skip
        self.live.tell(records.take())

    async def settle(self) -> None:
        """The last look: what still rests is cancelled, what was filled meanwhile is told. Asked until it succeeds."""
        try:
            async with asyncio.timeout(self.config.settle_s):
                while not await self._settled():
                    await asyncio.sleep(self.config.again_s)
        except TimeoutError:
            self.live.note("settle", f"the last look at the venue failed: {self.failures.get('settle', 'no answer')}")

    async def _settled(self) -> bool:
        try:
            # Nobody else measures any more, and what is not signed is not answered.
            if self.live.clock.why_not_sign(utc_ns()):
                await self.live.account.measure_clock()
            why_not = self.live.clock.why_not_sign(utc_ns())
            if why_not and not self.live.sender.placed and not self._live_at_venue():
                self.live.note("settle", f"no last look, and nothing of ours is there: {why_not}")
                return True
            for order in await self.live.account.open_orders():
                if order.id_order:
                    await self.live.account.cancel(order)
            await self._count_trades(young_ns=0)
            if self.live.is_linear:
                await self.linear.fund()
                if self.live.dead_man.available:
                    await self.linear.disarm()
        except Bot4Error as error:
            self.failures["settle"] = str(error)
            return False
        self.failures.pop("settle", None)
        return True


def _doubt(row: Any, is_open: bool) -> Row:
    """An order of ours that the venue has to be asked about."""
    believed = f"{state_name(int(row['state']))}, {int(row['filled_lots'])} of {int(row['qty_lots'])}"
    return Row(f"order {int(row['id_order'])}", believed, "open" if is_open else "not open", "asked for")

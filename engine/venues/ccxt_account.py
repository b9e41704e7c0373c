"""An account at any ccxt exchange, over REST: what the start, the tally and the comparison of the books ask.

Questions are put on the bridge's own thread, through its budget, and are awaited on the core's loop, which goes on
meanwhile. A refusal becomes an error of our taxonomy: what was certainly not done is a refusal, else it is unsure.

Owns: the moments of trades by their numbers (an exchange is asked from a moment on). Does not own: what is asked when.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from engine._core.clock import utc_ns
from engine.errors import Bot4Error, RateDenied, VenueRefused, VenueUnsure
from engine.journal.port import OPEN, VenueOrder, VenueTrade
from engine.net.budget import Lane
from engine.net.clocksync import ClockSync
from engine.venues.binance.ids import order_of
from engine.venues.bridge_thread import BridgeThread
from engine.venues.ccxt_bridge import CcxtBridge, trade_number
from engine.venues.ccxt_open import instrument_of, rate_e8, text_of
from engine.venues.ccxt_orders import meaning, order_number
from engine.venues.directory import Instrument
from engine.venues.outcome import Act, Outcome

MS = 1_000_000
SKEW_MS = 60_000  # a moment is asked for so much earlier: clocks differ, and an exchange may round
KEPT = 65_536
_NO_ORDER = (Outcome.NO_ORDER, Outcome.TOO_LATE)


class CcxtAccount:
    def __init__(self, bridge: CcxtBridge, thread: BridgeThread, clock: ClockSync, *, since_ns: int) -> None:
        self.bridge, self.thread, self.clock = bridge, thread, clock
        self.since_ns = since_ns  # no trade that is asked for is older
        self._moments: dict[int, list[tuple[int, int]]] = {}  # by symbol: number and millisecond, rising
        self._says_fees = bridge.exchange.has.get("fetchTradingFee") is True
        self._has_said_fees = False
        self.entry_px_e8: dict[int, int] = {}  # by symbol: of the positions, as they were said last
        self.can_arm = bool(bridge.exchange.has.get("cancelAllOrdersAfter"))

    async def _ask(self, what: str, *args: Any, weight: int = 1, lane: Lane = Lane.RECONCILE, **more: Any) -> Any:
        return await self.thread.ask(
            self._once(what, lambda: getattr(self.bridge.exchange, what)(*args, **more), weight, lane)
        )

    async def _once(self, what: str, call: Callable[[], Coroutine[Any, Any, Any]], weight: int, lane: Lane) -> Any:
        """On the bridge's thread."""
        verdict = self.bridge.budget.take(lane, utc_ns(), weight=weight)
        if not verdict.ok:
            raise RateDenied(f"{what}: {verdict.deny.name.lower()}.")
        try:
            answer = await call()
        except Exception as error:
            said = meaning(error)
            if said.act is Act.SLOW:
                self.bridge.budget.too_many(utc_ns())
            kind = VenueUnsure if said.outcome is Outcome.UNKNOWN else VenueRefused
            raise kind(f"{what}: {said.name}.") from error
        self.bridge.passed(through=True)
        return answer

    def _theirs(self, i: Instrument) -> str:
        return self.bridge.symbols[i.text]

    def _ours(self, symbol: object) -> Instrument | None:
        text = next((ours for ours, theirs in self.bridge.symbols.items() if theirs == symbol), "")
        return self.bridge.directory.find(text)

    # -------------------------------------------------------------------------------------------------------- the venue
    async def measure_clock(self) -> bool:
        """One sample of the distance between the clocks; an exchange without one is taken to go as ours does."""
        sent = utc_ns()
        there = await self._ask("fetch_time") if self.bridge.exchange.has.get("fetchTime") else sent // MS
        return self.clock.sample(sent, int(there) * MS, utc_ns())

    async def listed(self, texts: Iterable[str]) -> dict[str, Instrument]:
        """Those of them that the exchange still lists, as it describes them now."""
        markets = await self._ask("load_markets", True, weight=10)
        mode, out = self.bridge.exchange.precisionMode, {}
        for at, text in enumerate(texts):
            market = markets.get(self.bridge.symbols[text])
            if market is not None:
                out[text] = instrument_of(market, at, text, mode)
        return out

    async def fees(self, text: str) -> tuple[int, int]:
        """The account's own where the exchange says them; else those that ccxt knows of the market.

        An exchange that has said them once and does not any more fails: what ccxt knows is not the account's, and the
        gate is told by silence that the fees are old.
        """
        theirs = self.bridge.symbols[text]
        said = self.bridge.exchange.markets[theirs]
        if self._says_fees:
            try:
                said = await self._ask("fetch_trading_fee", theirs, weight=10)
                self._has_said_fees = True
            except (VenueRefused, VenueUnsure):
                if self._has_said_fees:
                    raise
                self._says_fees = False
        return rate_e8(said.get("maker")), rate_e8(said.get("taker"))

    async def balances(self) -> dict[int, int]:
        said, assets = await self._ask("fetch_balance", weight=10), self.bridge.directory.assets
        return {
            asset: assets.units(asset, text_of(total))
            for name, total in said["total"].items()
            if (asset := assets.index(name)) is not None and total is not None
        }

    async def positions(self) -> dict[int, int]:
        """On spot the base asset is the position, and the ledger's own."""
        return {}

    async def held(self) -> tuple[dict[int, int], dict[int, int]]:
        return {}, {}

    async def arm_dead_man(self, text: str, after_ms: int) -> None:  # noqa: ARG002  (there it is the whole account's)
        await self._ask("cancel_all_orders_after", after_ms, lane=Lane.CANCEL)

    # ------------------------------------------------------------------------------------------------ orders and trades
    async def open_orders(self) -> list[VenueOrder]:
        found = []
        for i in self.bridge.directory:
            found += [self._order(row, i) for row in await self._ask("fetch_open_orders", self._theirs(i), weight=6)]
        return found

    def _order(self, row: Mapping[str, Any], i: Instrument) -> VenueOrder:
        number, client = str(row["id"]), str(row.get("clientOrderId") or "")
        id_order = order_of(client) or self.bridge.order_called(number) or 0
        if id_order:
            self.bridge.is_called(id_order, number)
        try:
            px, qty, filled = (text_of(row.get(key) or 0) for key in ("price", "amount", "filled"))
            return VenueOrder(
                id_order, order_number(number), i.index, row["side"] == "sell", i.ticks(px), i.contract_lots(qty),
                i.contract_lots(filled), OPEN, client or number,
            )  # fmt: skip
        except (Bot4Error, KeyError, ValueError) as error:
            raise VenueUnsure(f"order {number} of {i.text} cannot be read: {error}") from error

    async def cancel(self, order: VenueOrder) -> None:
        i = self.bridge.directory.at(order.symbol)
        assert i is not None
        await self._cancel(i, order.id_order, order.client_id)

    async def _cancel(self, i: Instrument, id_order: int, called: str) -> None:
        number = self.bridge.number_of(id_order) if id_order else called
        params = {} if number else {"clientOrderId": called}
        try:
            await self._ask("cancel_order", number or None, self._theirs(i), params, lane=Lane.CANCEL)
        except VenueRefused as error:
            # Gone already: what it became is for the next look to say.
            if "OrderNotFound" not in error.detail:
                raise

    async def cancel_all(self, instrument: Instrument) -> None:
        """Every order of a symbol, one by one: not every exchange has one request for all."""
        for order in await self.open_orders():
            if order.symbol == instrument.index:
                await self.cancel(order)

    async def last_trade(self, instrument: Instrument) -> int:
        rows = await self._ask("fetch_my_trades", self._theirs(instrument), weight=10)
        numbers = [self._remember(instrument, row) for row in rows]
        return max(numbers, default=0)

    async def trades_from(
        self, instrument: Instrument, id_trade: int, known: Mapping[tuple[int, int], int]
    ) -> list[VenueTrade]:
        """One symbol's trades from a number on, oldest first. `known`: our numbers by (symbol, the venue's number)."""
        since_ms, rows = self._moment_before(instrument.index, id_trade), dict[int, Mapping[str, Any]]()
        while True:
            page = await self._ask("fetch_my_trades", self._theirs(instrument), since_ms, weight=10)
            fresh = {self._remember(instrument, row): row for row in page}
            more = fresh.keys() - rows.keys()
            rows |= fresh
            newest_ms = max((int(row["timestamp"]) for row in page), default=since_ms)
            # A page may be all there is: asked again from its end, it brings nothing new.
            if not more or newest_ms <= since_ms:
                break
            since_ms = newest_ms
        wanted = sorted(number for number in rows if number >= id_trade)
        return [await self._trade(instrument, number, rows[number], known) for number in wanted]

    def _remember(self, i: Instrument, row: Mapping[str, Any]) -> int:
        number, moments = trade_number(row), self._moments.setdefault(i.index, [])
        at = bisect.bisect_left(moments, (number, 0))
        if at == len(moments) or moments[at][0] != number:
            moments.insert(at, (number, int(row["timestamp"])))
            del moments[:-KEPT]
        return number

    def _moment_before(self, symbol: int, id_trade: int) -> int:
        """From when on the exchange is asked, so that nothing from that number on is missed."""
        moments = self._moments.get(symbol, [])
        at = bisect.bisect_left(moments, (id_trade, 0))
        return moments[at - 1][1] if at else self.since_ns // MS - SKEW_MS

    async def _trade(
        self, i: Instrument, number: int, row: Mapping[str, Any], known: Mapping[tuple[int, int], int]
    ) -> VenueTrade:  # fmt: skip
        called, fee = str(row.get("order") or ""), row.get("fee") or {}
        id_order = known.get((i.index, order_number(called))) or self.bridge.order_called(called)
        if id_order is None:
            id_order = await self._owner(i, called)
        asset = self.bridge.directory.assets.index(str(fee.get("currency")))
        try:
            paid = self.bridge.directory.assets.units(asset, text_of(fee["cost"])) if asset is not None else 0
            return VenueTrade(
                number, id_order, i.index, row["side"] == "sell", i.ticks(text_of(row["price"])),
                i.contract_lots(text_of(row["amount"])), int(row["timestamp"]) * MS, paid,
                asset if asset is not None else -1, row.get("takerOrMaker") == "maker",
            )  # fmt: skip
        except (Bot4Error, KeyError, ValueError) as error:
            raise VenueUnsure(f"trade {number} of {i.text} cannot be read: {error}") from error

    async def _owner(self, i: Instrument, called: str) -> int:
        """Whose a trade is, by its order's client id; 0: not ours."""
        if not called:
            return 0
        row = await self._ask("fetch_order", called, self._theirs(i), weight=4)
        id_order = order_of(row.get("clientOrderId")) or 0
        if id_order:
            self.bridge.is_called(id_order, called)
        return id_order

    async def close(self) -> None:
        await self.thread.ask(self.bridge.close())

"""Any ccxt exchange as a slow-lane order and data venue: books, own trades and orders, streamed or polled.

Owns: what ccxt.pro streams or REST says, as records; which lane works. Does not own: orders going out
(`ccxt_orders.py`), the loop it runs on. ccxt decodes a depth message in 60 us, so a bridge runs on a loop and thread of
its own (`bridge_thread.py`) and hands records over; nothing of it ever runs on the core's thread.

A price or amount that comes back is printed in its shortest form and must lie on a step, or it is refused and counted.
ccxt is an extra: `pip install bot4[ccxt]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

from engine._core.breaker import Breaker
from engine._core.clock import utc_ns
from engine._core.types import Kind
from engine.errors import Bot4Error, RateDenied
from engine.net.budget import Lane, RateBudget
from engine.venues import levels
from engine.venues.binance.ids import order_of
from engine.venues.ccxt_open import text_of
from engine.venues.ccxt_orders import CcxtOrders, Deliver, meaning, order_number
from engine.venues.directory import Directory, Instrument
from engine.venues.outcome import Act
from engine.venues.records import Records

BOOK_LEVELS = 50  # of each side that are handed over: an image comes with every message


class DataLane(NamedTuple):
    """One kind of data: how ccxt.pro streams it, how REST is asked for it."""

    has: str
    watch: str
    fetch: str
    weight: int
    is_book: bool = False


BOOKS = DataLane("watchOrderBook", "watch_order_book", "fetch_order_book", 5, is_book=True)
TRADES = DataLane("watchMyTrades", "watch_my_trades", "fetch_my_trades", 10)
ORDERS = DataLane("watchOrders", "watch_orders", "fetch_open_orders", 6)
LANES = (BOOKS, TRADES)
_ENDS = {
    "canceled": Kind.KIND_ORDER_CANCELED, "expired": Kind.KIND_ORDER_EXPIRED, "rejected": Kind.KIND_ORDER_REJECTED,
}  # fmt: skip
_UNREADABLE = (Bot4Error, KeyError, TypeError, ValueError, ArithmeticError)


def trade_number(trade: Mapping[str, Any]) -> int:
    """A trade's number, rising in time. Where an exchange names its trades by letters, its millisecond and a digest."""
    text = str(trade["id"])
    if text.isascii() and text.isdigit() and int(text) < 1 << 62:
        return int(text)
    return int(trade["timestamp"]) << 20 | order_number(text) & 0xFFFFF


class CcxtBridge(CcxtOrders):
    """`lanes` are those that `follow` keeps."""

    def __init__(
        self, exchange: Any, directory: Directory, symbols: Mapping[str, str], *, budget: RateBudget, breaker: Breaker,
        deliver: Deliver, lanes: tuple[DataLane, ...] = LANES,
    ) -> None:  # fmt: skip
        super().__init__(exchange, directory, symbols, budget=budget, breaker=breaker, deliver=deliver)
        self.lanes = lanes
        self._heard: Callable[[DataLane, str, str], None] = lambda *_: None
        self.streamed_count = self.polled_count = 0
        self.fallback_count = 0  # turns in which a stream failed
        self.failed_count = 0  # and in which REST failed

    def join(
        self, deliver: Deliver, heard: Callable[[DataLane, str, str], None], may_place: Callable[[], bool],
        way: Callable[[bool], None],
    ) -> None:  # fmt: skip
        """Who gets the records, who is told that a lane has worked or why it did not, who is asked before an order,
        who is told whether requests get through."""
        self._deliver, self._heard, self._may_place, self._way = deliver, heard, may_place, way

    def book(self, i: Instrument, content: Mapping[str, Any]) -> npt.NDArray[Any]:
        """A ccxt order book as one image; nothing when a level lies off the steps."""
        try:
            sides = [
                [(i.ticks(text_of(px)), i.contract_lots(text_of(qty))) for px, qty, *_ in content[side][:BOOK_LEVELS]]
                for side in ("bids", "asks")
            ]
        except _UNREADABLE:
            self.refused_count += 1
            return levels.nothing()
        return levels.message(
            i.index, sides[0], sides[1], ts_venue_ns=int(content.get("timestamp") or 0) * 1_000_000,
            ts_recv_ns=utc_ns(), id_last=int(content.get("nonce") or 0), snapshot=True,
        )  # fmt: skip

    def fills(self, trades: list[Mapping[str, Any]]) -> npt.NDArray[Any]:
        """ccxt's own trades as fills and fees. One whose order is not ours is passed over."""
        records, texts = Records(), {theirs: ours for ours, theirs in self.symbols.items()}
        for trade in trades:
            instrument = self.directory.find(texts.get(trade["symbol"], ""))
            id_order = order_of((trade.get("info") or {}).get("clientOrderId")) or self.order_called(
                str(trade.get("order"))
            )
            if instrument is None or id_order is None:
                continue
            try:
                self._fill(records, instrument, id_order, trade)
            except _UNREADABLE:
                # One that cannot be read hides none beside it; that it is missing shows when the books are compared.
                self.refused_count += 1
        return records.take()

    def _fill(self, records: Records, i: Instrument, id_order: int, trade: Mapping[str, Any]) -> None:
        number, fee = trade_number(trade), trade.get("fee") or {}
        asset = self.directory.assets.index(str(fee.get("currency")))
        px_ticks, qty_lots = i.ticks(text_of(trade["price"])), i.contract_lots(text_of(trade["amount"]))
        paid = None
        if asset is not None and fee.get("cost") is not None:
            paid = self.directory.assets.units(asset, text_of(fee["cost"]))
        head: dict[str, Any] = {
            "symbol": i.index, "ts_venue_ns": int(trade["timestamp"]) * 1_000_000, "ts_recv_ns": utc_ns(),
            "id_order": id_order, "sell": trade["side"] == "sell",
        }  # fmt: skip
        records.order(Kind.KIND_ORDER_FILL, **head, px_ticks=px_ticks, qty_lots=qty_lots, id_venue=number)
        if asset is not None and paid is not None:
            maker = trade.get("takerOrMaker") == "maker"
            records.fee(**head, id_trade=number, asset=asset, amount=paid, maker=maker)

    def orders(self, content: list[Mapping[str, Any]]) -> npt.NDArray[Any]:
        """Ends of orders of ours that nobody here asked for. Open ones are known, filled ones told by their trades."""
        records, texts = Records(), {theirs: ours for ours, theirs in self.symbols.items()}
        for order in content:
            instrument, kind = self.directory.find(texts.get(order["symbol"], "")), _ENDS.get(str(order.get("status")))
            id_order = order_of(order.get("clientOrderId"))
            if instrument is None or kind is None or id_order is None:
                continue
            try:
                filled = instrument.contract_lots(text_of(order.get("filled") or 0))
            except _UNREADABLE:
                self.refused_count += 1
                continue
            records.order(
                kind, symbol=instrument.index, sell=order["side"] == "sell", ts_venue_ns=0, ts_recv_ns=utc_ns(),
                id_order=id_order, filled_lots=filled,
            )  # fmt: skip
        return records.take()

    async def fills_first(self, i: Instrument) -> None:
        if TRADES in self.lanes:
            try:
                await self._poll(TRADES, i.text, self.symbols[i.text])
            except Exception as error:  # noqa: BLE001  (the tally finds them; what the order became is said all the same)
                self._failed(TRADES, i.text, error)

    async def refresh(self) -> None:
        """The books and trades of every bridged symbol, once: the polling form, which every exchange has."""
        for text, theirs in self.symbols.items():
            for lane in self.lanes:
                await self._poll(lane, text, theirs)

    async def follow(self, *, pause_s: float = 1.0) -> None:
        """Every lane of every bridged symbol until cancelled: streamed where ccxt.pro can, else polled.

        A stream that fails is polled once and then tried again, so its gap is filled by what REST says; one that the
        exchange does not have is polled every `pause_s`. Own trades and orders are asked for once before they stream:
        only what happens later comes by itself.
        """
        async with asyncio.TaskGroup() as group:
            for text, theirs in self.symbols.items():
                for lane in self.lanes:
                    group.create_task(self._follow(lane, text, theirs, pause_s))

    async def _follow(self, lane: DataLane, text: str, theirs: str, pause_s: float) -> None:
        has = getattr(self.exchange, "has", {})
        is_streamed = bool(has.get(lane.has)) and hasattr(self.exchange, lane.watch)
        is_known = lane.is_book
        while True:
            if is_streamed and is_known:
                try:
                    self._take(lane, text, await getattr(self.exchange, lane.watch)(theirs))
                    self.streamed_count += 1
                    self._heard(lane, text, "")
                    continue
                except Exception as error:  # noqa: BLE001  (whatever ccxt or its libraries raise ends this turn alone)
                    self.fallback_count += 1
                    is_streamed = type(error).__name__ != "NotSupported"
                    self._heard(lane, text, f"{lane.watch}: {type(error).__name__}")
            try:
                await self._poll(lane, text, theirs)
                is_known = True
                if is_streamed and not lane.is_book:
                    continue
            except Exception as error:  # noqa: BLE001
                self._failed(lane, text, error)
            await asyncio.sleep(pause_s)

    def _failed(self, lane: DataLane, text: str, error: Exception) -> None:
        self.failed_count += 1
        act = meaning(error).act
        if act is Act.SLOW:
            self.budget.too_many(utc_ns())
        if act is Act.RETRY:
            self.passed(through=False)
        self._heard(lane, text, f"{lane.fetch}: {type(error).__name__}")

    async def _poll(self, lane: DataLane, text: str, theirs: str) -> None:
        verdict = self.budget.take(Lane.RECONCILE, utc_ns(), weight=lane.weight)
        if not verdict.ok:
            raise RateDenied(f"{text}: {verdict.deny.name.lower()}.")
        content = await getattr(self.exchange, lane.fetch)(theirs)
        self.passed(through=True)
        self._take(lane, text, content)
        self.polled_count += 1
        self._heard(lane, text, "")

    def _take(self, lane: DataLane, text: str, content: Any) -> None:
        instrument = self.directory.find(text)
        assert instrument is not None
        if lane.is_book:
            events = self.book(instrument, content)
        else:
            events = self.fills(content) if lane is TRADES else self.orders(content)
        if len(events):
            self._deliver(events)

    async def close(self) -> None:
        await self.exchange.close()

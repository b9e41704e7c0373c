"""Any ccxt exchange as a slow-lane order and data venue: floats at its edge, ticks and lots inside.

Owns: the translation of intents, answers, books and errors; its own breaker and rate budget. Does not own: the loop it
runs on. ccxt decodes a depth message in 60 us, so a bridge runs on a loop and thread of its own (`BridgeThread`) and
hands records over; nothing of it ever runs on the core's thread.

ccxt speaks in floats. An amount leaves as the exact decimal of its lots; a price or amount that comes back is printed
in its shortest form and must lie on a step, or it is refused and counted. Retries are ours alone: a request goes once,
and ccxt's own throttle is off because the budget stands before it. ccxt is an extra: `pip install bot4[ccxt]`.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy.typing as npt

from engine._core import decimal
from engine._core.breaker import Breaker
from engine._core.clock import monotonic_ns, utc_ns
from engine._core.orders import OrderTif as Tif
from engine._core.orders import OrderType as Type
from engine._core.types import INTENT, Flag, Kind
from engine.errors import Bot4Error, BreakerError, RateDenied, VenueNotSupported
from engine.net.budget import Lane, RateBudget
from engine.venues import levels
from engine.venues.binance.ids import client_id, order_of
from engine.venues.directory import Directory, Instrument
from engine.venues.outcome import Act, Meaning, Outcome
from engine.venues.records import Records

_R, _U, _N = Outcome.REJECTED, Outcome.UNKNOWN, Outcome.NOT_SENT
# ccxt's own tree, most special first; a class that is not here is judged by its nearest parent.
_MEANINGS: dict[str, tuple[Outcome, Act]] = {
    "OrderNotFound": (Outcome.NO_ORDER, Act.NONE), "DuplicateOrderId": (_U, Act.NONE),
    "InsufficientFunds": (_R, Act.NONE), "OrderImmediatelyFillable": (_R, Act.NONE), "MarketClosed": (_R, Act.HALT),
    "InvalidOrder": (_R, Act.FIX), "OnMaintenance": (_U, Act.HALT), "InvalidNonce": (_N, Act.CLOCK),
    "RateLimitExceeded": (_N, Act.SLOW), "DDoSProtection": (_N, Act.SLOW), "AuthenticationError": (_N, Act.KEY),
    "BadSymbol": (_R, Act.FIX), "BadRequest": (_R, Act.FIX), "NotSupported": (_R, Act.FIX),
    "ArgumentsRequired": (_R, Act.FIX), "OperationRejected": (_R, Act.NONE), "RequestTimeout": (_U, Act.RETRY),
    "ExchangeNotAvailable": (_U, Act.RETRY), "NetworkError": (_U, Act.RETRY), "OperationFailed": (_U, Act.RETRY),
    "ExchangeError": (_U, Act.NONE), "BaseError": (_U, Act.NONE),
}  # fmt: skip
_TYPES = {Type.TYPE_LIMIT: "limit", Type.TYPE_MARKET: "market"}
_TIFS: dict[Tif, dict[str, object]] = {
    Tif.TIF_GTC: {}, Tif.TIF_IOC: {"timeInForce": "IOC"}, Tif.TIF_FOK: {"timeInForce": "FOK"},
         Tif.TIF_GTX: {"postOnly": True}}  # fmt: skip
_STATES = {
    "open": Kind.KIND_ORDER_ACK, "closed": Kind.KIND_ORDER_ACK, "canceled": Kind.KIND_ORDER_CANCELED,
    "expired": Kind.KIND_ORDER_EXPIRED, "rejected": Kind.KIND_ORDER_REJECTED,
}  # fmt: skip
_PLACE = {_R: Kind.KIND_ORDER_REJECTED, _N: Kind.KIND_ORDER_REJECTED, Outcome.NO_ORDER: Kind.KIND_ORDER_REJECTED,
          _U: Kind.KIND_ORDER_LOST}  # fmt: skip
_CANCEL = {_R: Kind.KIND_ORDER_CANCEL_REFUSED, _N: Kind.KIND_ORDER_CANCEL_REFUSED, _U: Kind.KIND_ORDER_LOST,
           Outcome.NO_ORDER: Kind.KIND_ORDER_CANCEL_NO_ORDER}  # fmt: skip


class DataLane(NamedTuple):
    """One kind of data: how ccxt.pro streams it, how REST is asked for it."""

    has: str
    watch: str
    fetch: str
    weight: int
    is_book: bool


LANES = (
    DataLane("watchOrderBook", "watch_order_book", "fetch_order_book", 5, is_book=True),
    DataLane("watchMyTrades", "watch_my_trades", "fetch_my_trades", 10, is_book=False),
)


def meaning(error: BaseException) -> Meaning:
    """A ccxt exception in our taxonomy."""
    for cls in type(error).__mro__:
        if cls.__name__ in _MEANINGS:
            return Meaning(*_MEANINGS[cls.__name__], type(error).__name__)
    # Not ccxt's: something broke on the way, and the request may have been carried out.
    return Meaning(_U, Act.NONE, type(error).__name__)


def trade_number(text: str) -> int:
    """A trade's number. Where an exchange names its trades by letters, a digest of the name stands for it."""
    if text.isascii() and text.isdigit() and int(text) < 1 << 62:
        return int(text)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 2


def _text(value: object) -> str:
    """A float in its shortest exact form, without an exponent."""
    return format(Decimal(str(value)), "f")


class CcxtBridge:
    """`exchange` is a `ccxt.pro` instance; `symbols` maps our texts to ccxt's ("BTCUSDT" to "BTC/USDT")."""

    def __init__(
        self, exchange: Any, directory: Directory, symbols: Mapping[str, str], *, budget: RateBudget, breaker: Breaker,
        deliver: Callable[[npt.NDArray[Any]], None],
    ) -> None:  # fmt: skip
        exchange.enableRateLimit = False
        self.exchange = exchange
        self.directory = directory
        self.symbols = dict(symbols)
        self.budget = budget
        self.breaker = breaker
        self.refused_count = 0
        self.streamed_count = self.polled_count = 0
        self.fallback_count = 0  # turns in which a stream failed
        self.failed_count = 0  # and in which REST failed
        self._deliver = deliver
        self._venue_ids: dict[int, str] = {}

    # ----------------------------------------------------------------------------------------------------------- orders
    async def act(self, intent: npt.NDArray[Any]) -> Meaning:
        """Carry one intent out; its reports are delivered before this returns."""
        row = intent.view(INTENT)[0]
        kind, instrument = int(row["kind"]), self.directory.at(int(row["symbol"]))
        if instrument is None:
            raise VenueNotSupported(f"symbol {int(row['symbol'])} is not bridged.")
        if kind == Kind.KIND_INTENT_PLACE:
            return await self._place(row, instrument)
        if kind == Kind.KIND_INTENT_CANCEL:
            return await self._cancel(row, instrument)
        if kind == Kind.KIND_INTENT_QUERY:
            return await self._query(row, instrument)
        raise VenueNotSupported(f"intent {kind}: the bridge places, cancels and asks.")

    async def _place(self, row: Any, i: Instrument) -> Meaning:
        terms = int(row["terms"])
        order_type, tif, flags = (terms >> shift & 0xFF for shift in (16, 24, 32))
        tif = Tif.TIF_GTX if flags & 1 and tif == Tif.TIF_GTC else tif
        if not row["token"] or order_type not in _TYPES or tif not in _TIFS:
            # Without the gate's verdict, or of a kind that not every exchange has: it never leaves.
            self._report(row, i, Kind.KIND_ORDER_REJECTED)
            return Meaning(_N, Act.FIX, "not_bridged" if row["token"] else "no_token")
        market = order_type == Type.TYPE_MARKET
        params: dict[str, object] = {"clientOrderId": client_id(int(row["id_order"]))}
        params |= _TIFS[Tif(tif)] if not market else {}
        params |= {"reduceOnly": True} if flags & 2 and i.linear else {}
        return await self._once(
            row, i, _PLACE, Lane.CANCEL if flags & 2 else Lane.NEW, 1,
            lambda: self.exchange.create_order(
                self.symbols[i.text], _TYPES[Type(order_type)], "sell" if row["flags"] & Flag.FLAG_SELL else "buy",
                float(self._amount(i.qty_step, int(row["qty_lots"]))),
                None if market else float(self._amount(i.px_step, int(row["px_ticks"]))), params,
            ),
        )  # fmt: skip

    async def _cancel(self, row: Any, i: Instrument) -> Meaning:
        params = {"clientOrderId": client_id(int(row["id_order"]))}
        known = self._venue_ids.get(int(row["id_order"]))
        return await self._once(
            row, i, _CANCEL, Lane.CANCEL, 0,
            lambda: self.exchange.cancel_order(known, self.symbols[i.text], {} if known else params),
        )  # fmt: skip

    async def _query(self, row: Any, i: Instrument) -> Meaning:
        params = {"clientOrderId": client_id(int(row["id_order"]))}
        known = self._venue_ids.get(int(row["id_order"]))
        return await self._once(
            row, i, {Outcome.NO_ORDER: Kind.KIND_ORDER_ABSENT}, Lane.RECONCILE, 0,
            lambda: self.exchange.fetch_order(known, self.symbols[i.text], {} if known else params),
        )  # fmt: skip

    async def _once(
        self, row: Any, i: Instrument, refused: Mapping[Outcome, Kind], lane: Lane, orders: int,
        call: Callable[[], Coroutine[Any, Any, Any]],
    ) -> Meaning:  # fmt: skip
        """One request, through budget and breaker, once; its answer as a report."""
        verdict = self.budget.take(lane, utc_ns(), weight=1, orders=orders)
        permit, said = self._permit() if verdict.ok else (None, Meaning(_N, Act.SLOW, "budget"))
        if permit is not None:
            try:
                answer = await call()
                self.breaker.success(permit, monotonic_ns())
                self._answer(row, i, answer)
                return Meaning(Outcome.DONE, Act.NONE, "ok")
            except asyncio.CancelledError:
                self.breaker.release(permit)
                self._report(row, i, Kind.KIND_ORDER_LOST)
                raise
            except Exception as error:  # noqa: BLE001  (whatever ccxt or its libraries raise is an answer to be judged)
                said = meaning(error)
                self._judge(said, permit)
        kind = refused.get(said.outcome)
        if kind is not None:
            self._report(row, i, kind)
        return said

    def _permit(self) -> tuple[int | None, Meaning]:
        try:
            return self.breaker.allow(monotonic_ns()), Meaning(Outcome.DONE, Act.NONE, "ok")
        except BreakerError as error:
            return None, Meaning(_N, Act.RETRY, f"breaker: {type(error).__name__}")

    def _judge(self, said: Meaning, permit: int) -> None:
        # A rejected order is the exchange at work; only failures of the way there count against it.
        if said.outcome is _U or said.act in (Act.SLOW, Act.BAN):
            self.breaker.failure(permit, monotonic_ns())
        else:
            self.breaker.success(permit, monotonic_ns())
        if said.act is Act.SLOW:
            self.budget.too_many(utc_ns())

    def _answer(self, row: Any, i: Instrument, answer: Mapping[str, Any]) -> None:
        id_order = int(row["id_order"])
        if answer.get("id"):
            self._venue_ids[id_order] = str(answer["id"])
            while len(self._venue_ids) > 65_536:
                del self._venue_ids[next(iter(self._venue_ids))]
        kind = _STATES.get(str(answer.get("status")))
        if kind is None:
            # Many exchanges answer with a number alone: what was asked is what was done.
            kind = Kind.KIND_ORDER_CANCELED if row["kind"] == Kind.KIND_INTENT_CANCEL else Kind.KIND_ORDER_ACK
        # What a placed order filled at once is told by its trades, with their prices and fees: said ahead of them it
        # would be an order without a rest beside a position that it has not closed yet.
        filled = answer.get("filled") if row["kind"] != Kind.KIND_INTENT_PLACE else None
        self._report(row, i, kind, filled_lots=i.lots(_text(filled)) if filled is not None else 0)

    def _report(self, row: Any, i: Instrument, kind: Kind, *, filled_lots: int = 0) -> None:
        records = Records()
        records.order(
            kind, symbol=i.index, sell=bool(row["flags"] & Flag.FLAG_SELL), ts_venue_ns=0, ts_recv_ns=utc_ns(),
            id_order=int(row["id_order"]), filled_lots=filled_lots,
        )  # fmt: skip
        self._deliver(records.take())

    @staticmethod
    def _amount(step: str, count: int) -> str:
        scale, size = decimal.step_of(step.encode())
        return decimal.to_text(decimal.from_steps(count, size), scale).decode()

    # ------------------------------------------------------------------------------------------------- data and reports
    def book(self, i: Instrument, content: Mapping[str, Any]) -> npt.NDArray[Any]:
        """A ccxt order book as one image; nothing when a level lies off the steps."""
        try:
            sides = [
                [(i.ticks(_text(px)), i.lots(_text(qty))) for px, qty, *_ in content[side]] for side in ("bids", "asks")
            ]
        except (Bot4Error, KeyError, TypeError, ValueError, ArithmeticError):
            self.refused_count += 1
            return levels.nothing()
        return levels.message(
            i.index, sides[0], sides[1], ts_venue_ns=int(content.get("timestamp") or 0) * 1_000_000,
            ts_recv_ns=utc_ns(), id_last=int(content.get("nonce") or 0), snapshot=True,
        )  # fmt: skip

    def fills(self, trades: list[Mapping[str, Any]]) -> npt.NDArray[Any]:
        """ccxt's own trades as fills and fees. One whose order is not ours is passed over."""
        records, texts = Records(), {theirs: ours for ours, theirs in self.symbols.items()}
        orders = {venue: ours for ours, venue in self._venue_ids.items()}
        for trade in trades:
            instrument = self.directory.find(texts.get(trade["symbol"], ""))
            id_order = order_of((trade.get("info") or {}).get("clientOrderId")) or orders.get(str(trade.get("order")))
            if instrument is None or id_order is None:
                continue
            try:
                self._fill(records, instrument, id_order, trade)
            except (Bot4Error, KeyError, TypeError, ValueError, ArithmeticError):
                # One that cannot be read hides none beside it; that it is missing shows when the books are compared.
                self.refused_count += 1
        return records.take()

    def _fill(self, records: Records, i: Instrument, id_order: int, trade: Mapping[str, Any]) -> None:
        number, fee = trade_number(str(trade["id"])), trade.get("fee") or {}
        asset = self.directory.assets.index(str(fee.get("currency")))
        px_ticks, qty_lots = i.ticks(_text(trade["price"])), i.lots(_text(trade["amount"]))
        paid = None
        if asset is not None and fee.get("cost") is not None:
            paid = self.directory.assets.units(asset, _text(fee["cost"]))
        head: dict[str, Any] = {
            "symbol": i.index, "ts_venue_ns": int(trade["timestamp"]) * 1_000_000, "ts_recv_ns": utc_ns(),
            "id_order": id_order, "sell": trade["side"] == "sell",
        }  # fmt: skip
        records.order(Kind.KIND_ORDER_FILL, **head, px_ticks=px_ticks, qty_lots=qty_lots, id_venue=number)
        if asset is not None and paid is not None:
            maker = trade.get("takerOrMaker") == "maker"
            records.fee(**head, id_trade=number, asset=asset, amount=paid, maker=maker)

    async def refresh(self) -> None:
        """The books and trades of every bridged symbol, once: the polling form, which every exchange has."""
        for text, theirs in self.symbols.items():
            for lane in LANES:
                await self._poll(lane, text, theirs)

    async def follow(self, *, pause_s: float = 1.0) -> None:
        """Books and trades of every bridged symbol until cancelled: streamed where ccxt.pro can, else polled.

        A stream that fails is polled once and then tried again, so its gap is filled by what REST says; one that the
        exchange does not have is polled every `pause_s`.
        """
        async with asyncio.TaskGroup() as group:
            for text, theirs in self.symbols.items():
                for lane in LANES:
                    group.create_task(self._follow(lane, text, theirs, pause_s))

    async def _follow(self, lane: DataLane, text: str, theirs: str, pause_s: float) -> None:
        has = getattr(self.exchange, "has", {})
        is_streamed = bool(has.get(lane.has)) and hasattr(self.exchange, lane.watch)
        while True:
            if is_streamed:
                try:
                    self._take(lane, text, await getattr(self.exchange, lane.watch)(theirs))
                    self.streamed_count += 1
                    continue
                except Exception as error:  # noqa: BLE001  (whatever ccxt or its libraries raise ends this turn alone)
                    self.fallback_count += 1
                    is_streamed = type(error).__name__ != "NotSupported"
            try:
                await self._poll(lane, text, theirs)
            except Exception as error:  # noqa: BLE001
                self.failed_count += 1
                if meaning(error).act is Act.SLOW:
                    self.budget.too_many(utc_ns())
            await asyncio.sleep(pause_s)

    async def _poll(self, lane: DataLane, text: str, theirs: str) -> None:
        verdict = self.budget.take(Lane.RECONCILE, utc_ns(), weight=lane.weight)
        if not verdict.ok:
            raise RateDenied(f"{text}: {verdict.deny.name.lower()}.")
        self._take(lane, text, await getattr(self.exchange, lane.fetch)(theirs))
        self.polled_count += 1

    def _take(self, lane: DataLane, text: str, content: Any) -> None:
        instrument = self.directory.find(text)
        assert instrument is not None
        events = self.book(instrument, content) if lane.is_book else self.fills(content)
        if len(events):
            self._deliver(events)

    async def close(self) -> None:
        await self.exchange.close()


class BridgeThread:
    """A loop and a thread for bridges, beside the core's. `run` hands work in; records go out through `deliver`."""

    def __init__(self, name: str = "bridge") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any], timeout_s: float | None = None) -> Any:
        """Wait for it, from any thread but the bridge's own."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do not wait: what comes of it is delivered."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

"""Orders at any ccxt exchange: intents to calls, answers and exceptions to reports. Floats at its edge, lots inside.

Owns: the translation of intents, answers and errors; the exchange's names of our orders; its own breaker and budget.
Does not own: the loop it runs on, data (`ccxt_bridge.py`), who asks. ccxt speaks in floats: an amount leaves as the
exact decimal of its lots. Retries are ours alone: a request goes once, and ccxt's own throttle is off because the
budget stands before it. Invariant: a new order asks `may_place` right before it leaves.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import numpy.typing as npt

from engine._core import decimal
from engine._core.breaker import Breaker
from engine._core.clock import monotonic_ns, utc_ns
from engine._core.orders import OrderTif as Tif
from engine._core.orders import OrderType as Type
from engine._core.types import INTENT, Flag, Kind
from engine.errors import BreakerError, VenueNotSupported
from engine.net.budget import Lane, RateBudget
from engine.venues.binance.ids import client_id
from engine.venues.ccxt_open import text_of
from engine.venues.directory import Directory, Instrument
from engine.venues.outcome import Act, Meaning, Outcome
from engine.venues.records import Records
from engine.venues.terms import POST_ONLY, REDUCE_ONLY, REDUCES, unpack

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
Deliver = Callable[[npt.NDArray[Any]], None]
KEPT = 65_536


def meaning(error: BaseException) -> Meaning:
    """A ccxt exception in our taxonomy."""
    for cls in type(error).__mro__:
        if cls.__name__ in _MEANINGS:
            return Meaning(*_MEANINGS[cls.__name__], type(error).__name__)
    # Not ccxt's: something broke on the way, and the request may have been carried out.
    return Meaning(_U, Act.NONE, type(error).__name__)


def order_number(text: str) -> int:
    """An order's number. Where an exchange names its orders by letters, a digest of the name stands for it."""
    if text.isascii() and text.isdigit() and int(text) < 1 << 62:
        return int(text)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 2


class CcxtOrders:
    """`exchange` is a `ccxt.pro` instance; `symbols` maps our texts to ccxt's ("BTCUSDT" to "BTC/USDT")."""

    def __init__(
        self, exchange: Any, directory: Directory, symbols: Mapping[str, str], *, budget: RateBudget, breaker: Breaker,
        deliver: Deliver,
    ) -> None:  # fmt: skip
        exchange.enableRateLimit = False
        self.exchange = exchange
        self.directory = directory
        self.symbols = dict(symbols)
        self.budget = budget
        self.breaker = breaker
        self.refused_count = 0
        self.halted_count = 0  # orders that were not sent because of a halt
        self._deliver = deliver
        self._may_place: Callable[[], bool] = lambda: True
        self.is_through = True  # the newest request was answered, whatever the answer
        self._way: Callable[[bool], None] = lambda _: None
        self._venue_ids: dict[int, str] = {}
        self._orders: dict[str, int] = {}

    # ----------------------------------------------------------------------------------------------------------- orders
    async def act(self, intent: npt.NDArray[Any]) -> Meaning:
        """Carry one intent out; its reports are delivered before this returns.

        A cancel that was not answered is not reported: it is to be sent again.
        """
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
        order_type, tif, flags = unpack(terms)
        tif = Tif.TIF_GTX if flags & POST_ONLY and tif == Tif.TIF_GTC else tif
        if not row["token"] or order_type not in _TYPES or tif not in _TIFS:
            # Without the gate's verdict, or of a kind that not every exchange has: it never leaves.
            self._report(row, i, Kind.KIND_ORDER_REJECTED)
            return Meaning(_N, Act.FIX, "not_bridged" if row["token"] else "no_token")
        if not flags & REDUCES and not self._may_place():
            # Asked at the last moment: between the core's decision and here lies another thread's turn.
            self.halted_count += 1
            self._report(row, i, Kind.KIND_ORDER_REJECTED)
            return Meaning(_N, Act.HALT, "halted")
        market = order_type == Type.TYPE_MARKET
        params: dict[str, object] = {"clientOrderId": client_id(int(row["id_order"]))}
        params |= _TIFS[Tif(tif)] if not market else {}
        params |= {"reduceOnly": True} if flags & REDUCE_ONLY and i.linear else {}
        return await self._once(
            row, i, _PLACE, Lane.CANCEL if flags & REDUCE_ONLY else Lane.NEW, 1,
            lambda: self.exchange.create_order(
                self.symbols[i.text], _TYPES[Type(order_type)], "sell" if row["flags"] & Flag.FLAG_SELL else "buy",
                float(self._amount(i.contract_step or i.qty_step, int(row["qty_lots"]))),
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
                self.passed(through=True)
                self.breaker.success(permit, monotonic_ns())
                await self._answer(row, i, answer)
                return Meaning(Outcome.DONE, Act.NONE, "ok")
            except asyncio.CancelledError:
                self.breaker.release(permit)
                self._report(row, i, Kind.KIND_ORDER_LOST)
                raise
            except Exception as error:  # noqa: BLE001  (whatever ccxt or its libraries raise is an answer to be judged)
                said = meaning(error)
                self._judge(said, permit)
        # Ahead of the report: what the core asks for because of it finds the way as it is.
        self.passed(through=said.act is not Act.RETRY)
        kind = refused.get(said.outcome)
        if refused is _CANCEL and said.act is Act.RETRY:
            # It did not get through, or nobody said so: its order is as much in doubt while the cancel waits. Who asked
            # keeps it and sends it again.
            return said
        if kind is not None:
            self._report(row, i, kind)
        return said

    def passed(self, *, through: bool) -> None:
        """Whether a request over REST was answered. Who is told hears of changes alone."""
        if through is not self.is_through:
            self.is_through = through
            self._way(through)

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

    async def _answer(self, row: Any, i: Instrument, answer: Mapping[str, Any]) -> None:
        id_order, number = int(row["id_order"]), str(answer.get("id") or "")
        if number:
            self.is_called(id_order, number)
        kind = _STATES.get(str(answer.get("status")))
        if kind is None:
            # Many exchanges answer with a number alone: what was asked is what was done.
            kind = Kind.KIND_ORDER_CANCELED if row["kind"] == Kind.KIND_INTENT_CANCEL else Kind.KIND_ORDER_ACK
        filled = i.contract_lots(text_of(answer["filled"])) if answer.get("filled") is not None else 0
        if filled and (kind != Kind.KIND_ORDER_ACK or row["kind"] == Kind.KIND_INTENT_QUERY):
            # Its trades first, with their prices and fees: said behind the end they would be those of nobody.
            await self.fills_first(i)
        # What a placed order filled at once is told by its trades: said ahead of them it would be an order without a
        # rest beside a position that it has not closed yet.
        told = filled if row["kind"] != Kind.KIND_INTENT_PLACE else 0
        self._report(row, i, kind, filled_lots=told, id_venue=order_number(number) if number else 0)

    async def fills_first(self, i: Instrument) -> None:
        """Have the trades of a symbol delivered now, where somebody knows them."""

    def is_called(self, id_order: int, number: str) -> None:
        """What the exchange calls an order of ours."""
        self._venue_ids[id_order], self._orders[number] = number, id_order
        while len(self._venue_ids) > KEPT:
            self._orders.pop(self._venue_ids.pop(next(iter(self._venue_ids))), None)

    def number_of(self, id_order: int) -> str:
        """What the exchange calls it; empty where it has not said so yet."""
        return self._venue_ids.get(id_order, "")

    def order_called(self, number: str) -> int | None:
        return self._orders.get(number)

    def _report(self, row: Any, i: Instrument, kind: Kind, *, filled_lots: int = 0, id_venue: int = 0) -> None:
        records = Records()
        records.order(
            kind, symbol=i.index, sell=bool(row["flags"] & Flag.FLAG_SELL), ts_venue_ns=0, ts_recv_ns=utc_ns(),
            id_order=int(row["id_order"]), filled_lots=filled_lots, id_venue=id_venue,
        )  # fmt: skip
        self._deliver(records.take())

    @staticmethod
    def _amount(step: str, count: int) -> str:
        scale, size = decimal.step_of(step.encode())
        return decimal.to_text(decimal.from_steps(count, size), scale).decode()

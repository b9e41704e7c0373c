"""Answers to what we asked, over the WebSocket API or REST: order answers become reports, all others go to who asked.

Owns: the meaning of each answer, the counts the venue states with it. Does not own: sockets, the budget, states of
orders. A request's own id says which order it was about, so an answer that comes late, twice or on another connection
finds its order all the same; one that matches nothing is counted (`unmatched_count`) and dropped.

An answer reports what the venue did with the request, never a fill: fills come from the user stream or from the trades
of the account, each once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, Kind
from engine.net.budget import LimitKind
from engine.venues.binance import errors, info
from engine.venues.binance.ids import Request, order_of, request_of
from engine.venues.binance.user import BAD_MESSAGE, DECODE, MS, UserStream, _ns, _ticks
from engine.venues.directory import Directory
from engine.venues.outcome import Act, Meaning, Outcome
from engine.venues.records import Records

_NOTHING = np.zeros(0, EVENT)
_DONE = Meaning(Outcome.DONE, Act.NONE, "ok")
# What a query's status says. FILLED is told as "lives, and so much is done": its fills have to be seen one by one.
_STATES = {
    "NEW": Kind.KIND_ORDER_ACK, "PENDING_NEW": Kind.KIND_ORDER_ACK, "PARTIALLY_FILLED": Kind.KIND_ORDER_ACK,
    "FILLED": Kind.KIND_ORDER_ACK, "CANCELED": Kind.KIND_ORDER_CANCELED, "PENDING_CANCEL": Kind.KIND_ORDER_ACK,
    "REJECTED": Kind.KIND_ORDER_REJECTED, "EXPIRED": Kind.KIND_ORDER_EXPIRED,
    "EXPIRED_IN_MATCH": Kind.KIND_ORDER_EXPIRED, "NEW_INSURANCE": Kind.KIND_ORDER_ACK, "NEW_ADL": Kind.KIND_ORDER_ACK,
}  # fmt: skip
# An error on each operation, by what it means.
_REFUSED = {
    "p": {Outcome.REJECTED: Kind.KIND_ORDER_REJECTED, Outcome.NOT_SENT: Kind.KIND_ORDER_REJECTED,
          Outcome.UNKNOWN: Kind.KIND_ORDER_LOST, Outcome.NO_ORDER: Kind.KIND_ORDER_REJECTED},
    "c": {Outcome.REJECTED: Kind.KIND_ORDER_CANCEL_REFUSED, Outcome.NOT_SENT: Kind.KIND_ORDER_CANCEL_REFUSED,
          Outcome.UNKNOWN: Kind.KIND_ORDER_LOST, Outcome.NO_ORDER: Kind.KIND_ORDER_CANCEL_NO_ORDER},
    "q": {Outcome.NO_ORDER: Kind.KIND_ORDER_ABSENT},
    "a": {Outcome.REJECTED: Kind.KIND_ORDER_REPLACE_REFUSED, Outcome.NOT_SENT: Kind.KIND_ORDER_REPLACE_REFUSED,
          Outcome.UNKNOWN: Kind.KIND_ORDER_LOST, Outcome.NO_ORDER: Kind.KIND_ORDER_REPLACE_NO_ORDER},
    "x": {},
}  # fmt: skip
_REFUSED["k"] = _REFUSED["a"]


@dataclass
class Answer:
    """One answer: reports for the core, and what it says besides."""

    events: npt.NDArray[Any] = field(default_factory=lambda: _NOTHING)
    meaning: Meaning = _DONE
    counts: list[tuple[LimitKind, int, int]] = field(default_factory=list)
    retry_until_ms: int | None = None
    banned_until_ms: int | None = None
    request: Request | None = None
    request_id: Any = None
    result: Any = None  # of requests that are not about an order
    text: str = ""
    from_user_stream: bool = False


def _moment_ms(found: object) -> int | None:
    """A venue's moment; whatever is none is left out."""
    return found if type(found) is int and 0 <= found < 2**43 else None


class OrderApi:
    """The answers of one order connection. User events that share its socket go to `user`."""

    def __init__(self, directory: Directory, user: UserStream | None = None) -> None:
        self.directory = directory
        self.user = user
        self.records = Records()
        self.answer_count = 0
        self.error_count = 0
        self.refused_count = 0
        self.unmatched_count = 0
        self.needs_tally = False
        self.by_name: dict[str, int] = {}

    # ---------------------------------------------------------------------------------------------------- what comes in
    def on_frame(self, frame: bytes | memoryview, ts_recv_ns: int) -> Answer:
        try:
            message = DECODE(frame)
            if self.user is not None and ("event" in message or "e" in message):
                return Answer(events=self.user.on_message(message, ts_recv_ns), from_user_stream=True)
            if "result" not in message and "error" not in message:
                raise KeyError("result")
            return self._answer(message["id"], message, ts_recv_ns)
        except BAD_MESSAGE:
            return self._refuse()

    def on_rest(self, request_id: str, status: int, headers: Mapping[str, str], body: bytes, ts_recv_ns: int) -> Answer:
        """A REST answer, in the shape of the WebSocket API's."""
        try:
            content = DECODE(body) if body else None
        except msgspec.MsgspecError:
            content = None
        failed = status >= 400 or (isinstance(content, dict) and "code" in content and "msg" in content)
        message: dict[str, Any] = {"id": request_id, "status": status}
        if failed:
            message["error"] = content if isinstance(content, dict) and "code" in content else {"code": None, "msg": ""}
        elif content is None:
            # A body that was cut off: the order may well be there.
            message |= {"status": 599, "error": {"code": None, "msg": "unreadable answer"}}
        else:
            message["result"] = content
        try:
            answer = self._answer(request_id, message, ts_recv_ns)
        except BAD_MESSAGE:
            answer = self._refuse()
        answer.counts += info.counts_of_headers(headers)
        after = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
        if after.isascii() and after.isdigit() and len(after) < 10:
            answer.retry_until_ms = ts_recv_ns // MS + int(after) * 1000
        return answer

    def lost(self, request_id: str, ts_recv_ns: int) -> npt.NDArray[Any]:
        """The connection went away with a request, or no answer came in time: nobody knows."""
        request = request_of(request_id)
        if request is not None and request.operation in "pcak" and self.directory.at(request.symbol) is not None:
            self._order(request, Kind.KIND_ORDER_LOST, ts_recv_ns)
        return self.records.take()

    # --------------------------------------------------------------------------------------------------- what it means
    def _refuse(self) -> Answer:
        self.records.discard()
        self.refused_count += 1
        self.needs_tally = True
        return Answer(meaning=Meaning(Outcome.UNKNOWN, Act.NONE, "unreadable"))

    def _answer(self, request_id: Any, message: Mapping[str, Any], ts_recv_ns: int) -> Answer:
        self.answer_count += 1
        answer = Answer(request_id=request_id, request=request_of(request_id))
        answer.counts = info.counts_of_reply(message.get("rateLimits") or ())
        error = message.get("error")
        if error is not None:
            self.error_count += 1
            answer.text = str(error.get("msg", ""))
            answer.meaning = errors.meaning_of_http(int(message["status"]), error.get("code"), answer.text)
            data = error.get("data") or {}
            answer.retry_until_ms = _moment_ms(data.get("retryAfter")) if isinstance(data, dict) else None
            answer.banned_until_ms = errors.banned_until_ms(answer.text)
            if answer.meaning.act is Act.BAN and answer.banned_until_ms is None:
                answer.banned_until_ms = answer.retry_until_ms
        self.by_name[answer.meaning.name] = self.by_name.get(answer.meaning.name, 0) + 1
        request = answer.request
        if request is None:
            answer.result = message.get("result")
            return answer
        if self.directory.at(request.symbol) is None:
            self.unmatched_count += 1
            return answer
        if error is not None:
            self._error(request, error, answer.meaning, ts_recv_ns)
        else:
            self._result(request, message["result"], ts_recv_ns)
        answer.events = self.records.take()
        return answer

    def _order(self, request: Request, kind: Kind, ts_recv_ns: int, **fields: int) -> None:
        fields.setdefault("ts_venue_ns", 0)
        fields.setdefault("symbol", request.symbol)
        self.records.order(kind, sell=request.sell, ts_recv_ns=ts_recv_ns, id_order=request.id_order, **fields)

    def _error(self, request: Request, error: Mapping[str, Any], meaning: Meaning, ts_recv_ns: int) -> None:
        data = error.get("data") if "data" in error else error
        if request.operation == "a" and isinstance(data, dict) and "cancelResult" in data:
            self._replace_failed(request, data, ts_recv_ns)
            return
        kind = _REFUSED[request.operation].get(meaning.outcome)
        if kind is not None:
            self._order(request, kind, ts_recv_ns)

    def _replace_failed(self, request: Request, data: Mapping[str, Any], ts_recv_ns: int) -> None:
        """Cancel and new order have an answer each: which half failed decides."""
        if data["cancelResult"] == "SUCCESS":
            self._order(request, Kind.KIND_ORDER_CANCELED, ts_recv_ns)
            return
        half = data.get("cancelResponse") or {}
        meaning = errors.meaning(half.get("code", 0), str(half.get("msg", "")))
        kind = _REFUSED["a"].get(meaning.outcome, Kind.KIND_ORDER_REPLACE_REFUSED)
        self._order(request, kind, ts_recv_ns)

    def _result(self, request: Request, result: Any, ts_recv_ns: int) -> None:
        if request.operation == "x":
            self._canceled_all(result, ts_recv_ns)
            return
        if request.operation == "a" and "newOrderResponse" in result:
            result = result["newOrderResponse"]
        if request.operation == "k" and "amendedOrder" in result:
            ts_ms = result.get("transactTime", 0)
            amended = result["amendedOrder"]
            result = amended | {"origQty": amended["qty"], "transactTime": ts_ms}
        fields = self._fields(request, result)
        if request.operation == "p":
            self._order(request, Kind.KIND_ORDER_ACK, ts_recv_ns, **fields)
        elif request.operation == "c":
            # USD-M answers a cancel of a conditional order with a code of its own and no state.
            state = result.get("status", "CANCELED")
            self._order(request, _STATES[state], ts_recv_ns, **fields)
        elif request.operation == "q":
            state = result.get("status") or result["algoStatus"]
            self._order(request, _STATES.get(state, Kind.KIND_ORDER_ACK), ts_recv_ns, **fields)
            self.needs_tally |= state in ("FILLED", "PARTIALLY_FILLED") or fields.get("filled_lots", 0) > 0
        else:
            self._order(request, Kind.KIND_ORDER_REPLACED, ts_recv_ns, **fields)

    def _fields(self, request: Request, result: Mapping[str, Any]) -> dict[str, int]:
        """What an answer says of the order; the short form says its number alone."""
        instrument = self.directory.at(request.symbol)
        assert instrument is not None
        ts_ms = result.get("transactTime") or result.get("updateTime") or 0
        out = {"ts_venue_ns": _ns(ts_ms), "id_venue": int(result.get("orderId") or result.get("algoId") or 0)}
        quantity = result.get("origQty", result.get("quantity"))
        if quantity is not None:
            out["qty_lots"] = instrument.lots(quantity)
            out["px_ticks"] = _ticks(instrument, result.get("price", "0"))
            out["filled_lots"] = instrument.lots(result.get("executedQty", "0"))
        return out

    def _canceled_all(self, result: Any, ts_recv_ns: int) -> None:
        """Spot lists what it cancelled (order lists with their orders); USD-M says only that it did."""
        if not isinstance(result, list):
            self.needs_tally = True
            return
        for row in result:
            for order in row.get("orderReports", (row,)):
                id_order = order_of(order.get("origClientOrderId"))
                instrument = self.directory.find(order["symbol"])
                if id_order is None or instrument is None:
                    continue
                request = Request("c", order["side"] == "SELL", id_order, instrument.index)
                self._order(request, Kind.KIND_ORDER_CANCELED, ts_recv_ns, **self._fields(request, order))

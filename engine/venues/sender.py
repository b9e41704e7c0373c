"""Intents out, answers in: the order path of one account on a WebSocket API connection. No socket, no clock inside.

Takes the outputs of a step, asks the venue's one budget, writes the bytes through the compiled encoder and remembers
what is under way. An answer ends what is under way and becomes reports; one that does not come in time makes its order
UNKNOWN, and the order is then asked for until the venue has said what became of it.

"No such order" is believed only when the request that placed it can no longer be accepted: the venue refuses a request
older than `recv_window`, so until that has passed since it was written the answer may overtake the order, and the
question is put again later. Otherwise an order that is thought absent could come alive.

Owns: requests under way, questions to repeat. Does not own: the socket, the order table, the decision whether new
orders may leave (`may_place` comes in). Cost: 3 us an intent from Python.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.encode import Encoder
from engine._core.types import EVENT, Flag, Kind, Status
from engine._core.validate import Action
from engine.net.budget import SECOND, Lane, RateBudget
from engine.venues.binance.api import Answer, OrderApi
from engine.venues.binance.ids import Request, request_id, request_of
from engine.venues.outcome import Outcome
from engine.venues.records import Records
from engine.venues.terms import reduces

Events = npt.NDArray[Any]
PLACE, CANCEL, QUERY, AMEND, CANCEL_ALL, REFUSAL = (
    int(kind)
    for kind in (
        Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_CANCEL, Kind.KIND_INTENT_QUERY, Kind.KIND_INTENT_AMEND,
        Kind.KIND_INTENT_CANCEL_ALL, Kind.KIND_REFUSAL,
    )
)  # fmt: skip
_ROWS = struct.Struct("<BBHIqqqqqqq").iter_unpack
_BOOK, _FIRST = int(Action.ACTION_BOOK), int(Flag.FLAG_FIRST)
_ID = slice(7, 29)  # of a message: `{"id":"` and the request's 22 letters
_HEAD = b'{"id":"'


@dataclass(frozen=True)
class SenderConfig:
    recv_window_ns: int = 5 * SECOND
    answer_ns: int = 2 * SECOND  # an answer that takes longer counts as lost
    again_ns: int = SECOND  # between two questions about one order
    grace_ns: int = SECOND // 2  # beyond `recv_window`: two clocks and a path


@dataclass
class Outgoing:
    """What one step wants done: messages in order, and reports of what does not leave."""

    messages: list[bytes] = field(default_factory=list)
    reports: Events = field(default_factory=lambda: np.zeros(0, EVENT))
    verify: list[int] = field(default_factory=list)  # symbols whose position is asked for
    distrusted: list[int] = field(default_factory=list)  # symbols whose book refused what it was given
    cancel_all: list[int] = field(default_factory=list)  # symbols: the order connection has no such request
    wait_ns: int = 0  # the budget has no room for new orders that long


class Sender:
    def __init__(self, encoder: Encoder, api: OrderApi, budget: RateBudget, config: SenderConfig | None = None) -> None:
        self.encoder, self.api, self.budget = encoder, api, budget
        self.config = config or SenderConfig()
        self.records = Records()
        self.under_way: dict[str, int] = {}  # request id -> when it was written
        self.placed: dict[int, int] = {}  # order -> when the newest request that could make it live was written
        self.asks: dict[int, tuple[Request, int]] = {}  # order -> about it, when to ask
        self.held: dict[int, Events] = {}  # order -> its cancel, which no connection was there to take
        self.refused_count = 0
        self.lost_count = 0
        self.doubted_absent_count = 0

    # ------------------------------------------------------------------------------------------------------ going out
    def take(
        self, outputs: Events, now_ns: int, venue_ns: int, *, may_place: bool, is_connected: bool = True
    ) -> Outgoing:
        """The outputs of one step. `venue_ns` is now by the venue's clock.

        Without a connection a cancel is held: said to be lost it would be asked for again with every message of the
        market. Its order stays PENDING_CANCEL, which counts as whole as one in doubt, until `released`.
        """
        out = Outgoing()
        count = len(outputs)
        for at, (kind, flags, symbol, _, _, _, *words) in enumerate(_ROWS(outputs.data)):
            if kind == REFUSAL:
                if words[4] & _BOOK:
                    out.distrusted.append(symbol)
                continue
            if not PLACE <= kind <= CANCEL_ALL:
                continue
            if kind == QUERY and not words[0]:
                out.verify.append(symbol)
                continue
            if kind == CANCEL and not is_connected:
                self.held[words[0]] = outputs[at : at + 1].copy()
                continue
            terms = outputs[at + 1] if flags & _FIRST and at + 1 < count else None
            self._one(outputs[at : at + 1], terms, kind, words, now_ns, venue_ns, out, may_place=may_place)
        out.reports = self.records.take() if len(self.records) else out.reports
        return out

    def _one(
        self, row: Events, terms: Any, kind: int, words: list[int], now_ns: int, venue_ns: int, out: Outgoing, *,
        may_place: bool,
    ) -> None:  # fmt: skip
        lowers = reduces(words[4])
        grows = kind == PLACE or (kind == AMEND and words[3] != 0)
        if grows and not lowers and not may_place:
            self._not_sent(row, kind, now_ns)
            return
        lane = Lane.CANCEL if kind in (CANCEL, CANCEL_ALL) or lowers else Lane.NEW if grows else Lane.RECONCILE
        weight = 4 if kind == QUERY or (kind == AMEND and not grows) else 1
        verdict = self.budget.take(lane, venue_ns, weight=weight, orders=int(grows))
        if not verdict.ok:
            out.wait_ns = max(out.wait_ns, verdict.wait_ns) if lane is Lane.NEW else out.wait_ns
            self._not_sent(row, kind, now_ns)
            return
        status, message = self.encoder.encode(row, venue_ns, terms)
        if status != Status.OK and kind == CANCEL_ALL:
            out.cancel_all.append(int(row["symbol"][0]))
            return
        if status != Status.OK:
            self.refused_count += 1
            self._not_sent(row, kind, now_ns)
            return
        number = message[_ID].decode()
        self.under_way[number] = now_ns
        if grows:
            self.placed[words[0]] = now_ns
        out.messages.append(message)

    def released(self, still: set[int], now_ns: int, venue_ns: int) -> Outgoing:
        """A connection is there: the cancels that were held, of orders that `still` want one."""
        rows, self.held = [row for id_order, row in self.held.items() if id_order in still], {}
        return self.take(np.concatenate(rows), now_ns, venue_ns, may_place=False) if rows else Outgoing()

    def _not_sent(self, row: Events, kind: int, now_ns: int) -> None:
        """Nothing left: the core hears it as the refusal that it is. A question is put again by itself."""
        id_order, symbol, sell = int(row["word"][0, 0]), int(row["symbol"][0]), bool(row["flags"][0] & Flag.FLAG_SELL)
        says = {
            PLACE: Kind.KIND_ORDER_REJECTED, CANCEL: Kind.KIND_ORDER_CANCEL_REFUSED,
            AMEND: Kind.KIND_ORDER_REPLACE_REFUSED,
        }.get(kind)  # fmt: skip
        if says is not None:
            self.records.order(says, symbol=symbol, sell=sell, ts_venue_ns=0, ts_recv_ns=now_ns, id_order=id_order)
        elif kind == QUERY:
            self.ask(Request("q", sell, id_order, symbol), now_ns + self.config.again_ns)

    def unsent(self, message: bytes, now_ns: int) -> Events:
        """The connection did not take it. It may be half on its way, so its order is in doubt."""
        number = message[_ID].decode() if message.startswith(_HEAD) else ""
        self.under_way.pop(number, None)
        return self._lost(number, now_ns)

    # ------------------------------------------------------------------------------------------------------ coming in
    def on_frame(self, frame: memoryview | bytes, now_ns: int) -> Answer:
        answer = self.api.on_frame(frame, now_ns)
        if answer.from_user_stream or answer.request is None:
            return answer
        request = answer.request
        self.under_way.pop(answer.request_id, None)
        if request.operation == "q":
            self._asked(request, answer, now_ns)
        elif answer.meaning.outcome in (Outcome.UNKNOWN, Outcome.NO_ORDER):
            self.ask(request, now_ns + self.config.again_ns)
        return answer

    def _asked(self, request: Request, answer: Answer, now_ns: int) -> None:
        absent, settled_ns = answer.meaning.outcome is Outcome.NO_ORDER, self._settled_ns(request.id_order)
        if answer.meaning.outcome is Outcome.DONE or (absent and now_ns >= settled_ns):
            self.asks.pop(request.id_order, None)
            return
        if absent:
            self.doubted_absent_count += 1
            answer.events = np.zeros(0, EVENT)
        self.ask(request, max(now_ns + self.config.again_ns, settled_ns))

    def _settled_ns(self, id_order: int) -> int:
        """From then on a request that may still be on its way is refused by the venue for its age."""
        placed_ns = self.placed.get(id_order)
        return 0 if placed_ns is None else placed_ns + self.config.recv_window_ns + self.config.grace_ns

    def ask(self, request: Request, at_ns: int) -> None:
        """Put the question what became of an order, at `at_ns` or a little later."""
        self.asks[request.id_order] = (request._replace(operation="q"), at_ns)

    def due(self, now_ns: int, venue_ns: int) -> tuple[list[bytes], Events]:
        """Questions to send now, and reports about answers that did not come in time."""
        late = [number for number, at_ns in self.under_way.items() if now_ns - at_ns > self.config.answer_ns]
        reports = self._give_up(late, now_ns)
        messages: list[bytes] = []
        for id_order, (request, at_ns) in list(self.asks.items()):
            number = request_id("q", sell=request.sell, id_order=id_order, symbol=request.symbol)
            if at_ns > now_ns or number in self.under_way:
                continue
            if not self.budget.take(Lane.RECONCILE, venue_ns, weight=4).ok:
                break
            status, message = self.encoder.encode(_query(request), venue_ns)
            if status != Status.OK:
                del self.asks[id_order]
                self.refused_count += 1
                continue
            self.asks[id_order] = (request, now_ns + self.config.again_ns)
            self.under_way[number] = now_ns
            messages.append(message)
        self._forget(now_ns)
        return messages, reports

    def gone(self, now_ns: int) -> Events:
        """The connection ended: nobody will answer what is under way."""
        return self._give_up(list(self.under_way), now_ns)

    def _give_up(self, numbers: list[str], now_ns: int) -> Events:
        parts = []
        for number in numbers:
            del self.under_way[number]
            parts.append(self._lost(number, now_ns))
        return np.concatenate(parts) if parts else np.zeros(0, EVENT)

    def _lost(self, number: str, now_ns: int) -> Events:
        request = request_of(number)
        if request is None:
            return np.zeros(0, EVENT)
        self.lost_count += 1
        if request.id_order and request.operation != "x":
            self.ask(request, now_ns + self.config.again_ns)
        return self.api.lost(number, now_ns)

    def _forget(self, now_ns: int) -> None:
        """Orders whose request is too old to arrive need no memory of it."""
        oldest = now_ns - 2 * (self.config.recv_window_ns + self.config.grace_ns)
        while self.placed:
            id_order = next(iter(self.placed))
            if self.placed[id_order] > oldest:
                return
            del self.placed[id_order]


def _query(request: Request) -> Events:
    intent = np.zeros(1, EVENT)
    intent["kind"], intent["symbol"] = Kind.KIND_INTENT_QUERY, request.symbol
    intent["flags"] = Flag.FLAG_SELL if request.sell else 0
    intent["word"][0, 0] = request.id_order
    return intent

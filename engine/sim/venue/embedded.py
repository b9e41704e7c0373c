"""The in-process form of the embedded venue: intents in, reports out, on simulated time.

Intents travel for a latency, meet the exchange at their arrival, and its reports travel back. In between stands the
fault plan. Time is what `market` and `advance` say; nothing here has a clock, and everything random is drawn from the
seed. The market is one of three: recorded events played into the books (`market`), generators that live in the books,
or nobody but the caller's own orders.

Owns: arrivals and the order of delivery, the tie between an engine's order numbers and the exchange's. Does not own:
matching, money (exchange.py), what is told of them (embedded_reports.py), chances (distributions.py), faults
(faults.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import (
    EVENT,
    FUNDING,
    INTENT,
    INTENT_TERMS,
    Feed,
    Flag,
    Kind,
    TermsFlag,
)  # fmt: skip
from engine.errors import SimTimeBackwards
from engine.sim.distributions import Chances
from engine.sim.faults import FaultKind
from engine.sim.venue.embedded_config import EmbeddedConfig, Generator
from engine.sim.venue.embedded_reports import Reports
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.orders import Execution, Order, Refusal, Terms
from engine.sim.venue.recorded import Recorded

NS = 10**9
_MARKET_KINDS = range(1, 64)


class EmbeddedVenue(Reports):
    """One engine's account at one exchange."""

    def __init__(self, config: EmbeddedConfig, seed: int, *, generators: Mapping[int, Generator] | None = None) -> None:
        self.config = config
        self.exchange = Exchange(config.instruments, now_ns=config.start_ns)
        self.account = self.exchange.bank.open("embedded", dict(config.deposits))
        self.now_ns = config.start_ns
        self._symbols = [instrument.symbol for instrument in config.instruments]
        self._index = {symbol: i for i, symbol in enumerate(self._symbols)}
        self._recorded = [
            Recorded(self.exchange.market(symbol).book, model=config.queue_model) for symbol in self._symbols
        ]
        for market in self.exchange.markets.values():
            market.publish = False
        self._generators = dict(generators or {})
        self._chances = Chances(f"venue {seed}")
        self._splits = Chances(f"splits {seed}")
        self._number = 0  # of messages in either direction: the order of what falls on one moment
        self._updates = 0  # of balances, positions and fundings: what the venue itself counts
        self._arrivals: list[tuple[int, int, bytes, bytes]] = []
        self._due: list[tuple[int, int, bytes]] = []
        self._last_arrival = self._last_report = 0
        self._banned_until = 0
        self._away = False
        self._halted = [False] * len(self._symbols)
        self._net_lots = [0] * len(self._symbols)
        self._by_engine: dict[int, Order] = {}
        self._engine_id: dict[int, int] = {}
        self.counts = {"intents": 0, "reports": 0, "lost": 0, "refused": 0, "gaps": 0}
        self._edges()

    # ---------------------------------------------------------------------------------------------------- what comes in
    def submit(self, intents: npt.NDArray[Any]) -> None:
        """Take the intents among a step's outputs. Each sets out at the time that its own head carries."""
        after: dict[int, bytes] = {}
        for i, record in enumerate(intents):
            if record["kind"] == Kind.KIND_INTENT_TERMS:
                after[i - 1] = record.tobytes()
        for i, record in enumerate(intents):
            if not Kind.KIND_INTENT_PLACE <= record["kind"] <= Kind.KIND_INTENT_CANCEL_ALL:
                continue
            self.counts["intents"] += 1
            sent = max(int(record["ts_recv_ns"]), self.now_ns)
            # One connection: what is sent later does not arrive earlier.
            arrives = max(sent + self.config.latency_out.draw(self._chances), self._last_arrival)
            self._last_arrival = arrives
            self._number += 1
            heapq.heappush(self._arrivals, (arrives, self._number, record.tobytes(), after.get(i, b"")))

    def market(self, events: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Play recorded events, in their order. Returns those that reach the engine: a gap swallows some."""
        kept = np.ones(len(events), bool)
        for i in range(len(events)):
            record = events[i]
            self.pass_time(int(record["ts_recv_ns"]))
            kept[i] = self._play(events[i : i + 1], int(record["symbol"]))
        return events if kept.all() else events[kept]

    def play(self, events: npt.NDArray[Any]) -> int:
        """Play recorded events of one symbol at full speed until something concerns the engine.

        Returns how many were taken: it stops after an event that touched one of our orders, and before the time at
        which an intent arrives or a report is due. No gaps are made here.
        """
        if not len(events):
            return 0
        symbol = int(events["symbol"][0])
        stop = self.next_due_ns()
        times = events["ts_recv_ns"]
        until = len(events) if stop is None else max(1, int(np.searchsorted(times, stop, side="right")))
        self.pass_time(int(times[0]))
        view = np.ascontiguousarray(events[:until]).view(np.uint8)
        taken = self._recorded[symbol].apply(view)
        self.pass_time(int(times[taken - 1]))
        self.exchange.absorb(self._symbols[symbol])
        self._send_reports()
        return taken

    def recorded(self, symbol: int) -> Recorded:
        """The recorded market of a symbol, for a loop that plays it by itself and then says `met`."""
        return self._recorded[symbol]

    def met(self, symbol: int, now_ns: int) -> None:
        """A book was played up to a time by somebody else: what our orders met there is reported."""
        self.pass_time(now_ns)
        self.exchange.absorb(self._symbols[symbol])
        self._send_reports()

    def net_lots(self, symbol: int) -> int:
        """What the account's trades of a symbol add up to."""
        return self._net_lots[symbol]

    def open_sides(self, symbol: int) -> tuple[bool, bool]:
        """Whether orders of ours rest that buy, and that sell."""
        rest = [order.terms.sell for order in self.exchange.open.get(self.account.owner, {}).values()
                if order.is_open and self._index[order.symbol] == symbol]  # fmt: skip
        return not all(rest), any(rest)

    def advance(self, now_ns: int) -> npt.NDArray[Any]:
        """Let time come to `now_ns`; returns the reports that have arrived by then, as EVENT records."""
        self.pass_time(now_ns)
        out = []
        while self._due and self._due[0][0] <= now_ns:
            out.append(heapq.heappop(self._due)[2])
        return np.frombuffer(b"".join(out), EVENT).copy() if out else np.empty(0, EVENT)

    def generate(self, until_ns: int, room: int = 4096) -> npt.NDArray[Any]:
        """Let the generators run up to a time; returns their quotes and trades, oldest first."""
        parts = []
        for symbol, generator in self._generators.items():
            parts.append(generator.advance(until_ns, room))
            self.exchange.absorb(self._symbols[symbol])
            self._send_reports()
        if not parts:
            return np.empty(0, EVENT)
        events: npt.NDArray[Any] = np.concatenate(parts)
        return events.take(np.argsort(events["ts_recv_ns"], kind="stable"))

    def next_due_ns(self) -> int | None:
        """When something will happen next without the market: an intent arrives, or a report is delivered."""
        times = [heap[0][0] for heap in (self._arrivals, self._due) if heap]
        edge = self.config.faults.next_edge_ns(self.now_ns)
        if edge is not None:
            times.append(edge)
        return min(times) if times else None

    def next_arrival_ns(self) -> int | None:
        """When the next intent reaches the exchange."""
        return self._arrivals[0][0] if self._arrivals else None

    @property
    def resting_count(self) -> int:
        return len(self.exchange.open.get(self.account.owner, {}))

    def settle_funding(self, symbol: int, rate_e8: int) -> None:
        """A funding settlement, reported to the engine."""
        name = self._symbols[symbol]
        market = self.exchange.market(name)
        for account, amount in self.exchange.settle_funding(name, rate_e8):
            if account is self.account and market.instrument.quote in self.config.assets:
                self._updates += 1
                record = self._blank(FUNDING, Kind.KIND_FUNDING, symbol)
                record["id_funding"], record["asset"] = self._updates, self.config.assets[market.instrument.quote]
                record["amount"], record["rate_e8"] = amount, rate_e8
                record["mark_px_e8"] = market.mark_px_e8
                self._deliver(record, None)

    def set_mark(self, symbol: int, mark_px_e8: int) -> None:
        self.exchange.set_mark(self._symbols[symbol], mark_px_e8)
        self._send_reports()
        if self.config.instruments[symbol].perpetual:
            self._report_position(symbol)

    # ------------------------------------------------------------------------------------------------------------ time
    def pass_time(self, now_ns: int) -> None:
        """Everything that happens at the exchange up to a time, in order: arrivals, edges of faults, expiries."""
        if now_ns < self.now_ns:
            raise SimTimeBackwards(f"{now_ns} after {self.now_ns}")
        while True:
            edge = self.config.faults.next_edge_ns(self.now_ns)
            arrival = self._arrivals[0][0] if self._arrivals else None
            if edge is not None and edge <= now_ns and (arrival is None or edge <= arrival):
                self._go(edge)
                self._edges()
            elif arrival is not None and arrival <= now_ns:
                self._go(arrival)
                _, _, intent, terms = heapq.heappop(self._arrivals)
                self._arrive(np.frombuffer(intent, INTENT)[0], terms)
            else:
                break
        self._go(now_ns)
        self._edges()

    def _go(self, now_ns: int) -> None:
        if now_ns > self.now_ns:
            self.now_ns = now_ns
            self.exchange.advance(now_ns)
            self._send_reports()

    def _edges(self) -> None:
        faults = self.config.faults
        away = faults.during(FaultKind.DISCONNECT, self.now_ns) is not None
        if away != self._away:
            self._away = away
            for feed in (Feed.FEED_ORDERS, Feed.FEED_USER):
                self._report_feed(feed, up=not away)
        for symbol in range(len(self._symbols)):
            halted = faults.during(FaultKind.HALT, self.now_ns, symbol) is not None
            if halted != self._halted[symbol]:
                self._halted[symbol] = halted
                self.exchange.market(self._symbols[symbol]).book.halt(halted)

    def _play(self, event: npt.NDArray[Any], symbol: int) -> bool:
        if int(event["kind"][0]) not in _MARKET_KINDS:
            return True
        if event["kind"][0] == Kind.KIND_MARK:
            self.set_mark(symbol, int(event["word"][0, 0]))
        else:
            self._recorded[symbol].apply(np.ascontiguousarray(event).view(np.uint8))
            self.exchange.absorb(self._symbols[symbol])
            self._send_reports()
        if self.config.faults.on((FaultKind.GAP,), self.now_ns) is not None:
            self.counts["gaps"] += 1
            return False
        return True

    # -------------------------------------------------------------------------------------------------------- arrivals
    def _arrive(self, intent: Any, terms: bytes) -> None:
        faults = self.config.faults
        if self._away:
            # It never reached the venue. The transport knows that it was cut, not what became of the message.
            self.counts["lost"] += 1
            return
        if faults.during(FaultKind.BANNED, self.now_ns) or self.now_ns < self._banned_until:
            self._refuse(intent)
            return
        fault = faults.on((FaultKind.TOO_MANY, FaultKind.BANNED), self.now_ns)
        if fault is not None:
            if fault == FaultKind.BANNED:
                self._banned_until = self.now_ns + faults.ban_ns
            self._refuse(intent)
            return
        kind = int(intent["kind"])
        if kind == Kind.KIND_INTENT_PLACE:
            self._place(intent, terms)
        elif kind == Kind.KIND_INTENT_CANCEL:
            self._cancel(intent)
        elif kind == Kind.KIND_INTENT_AMEND:
            self._amend(intent)
        elif kind == Kind.KIND_INTENT_QUERY:
            self._query(intent)
        else:
            self._cancel_all(int(intent["symbol"]))
        self._send_reports()

    def _refuse(self, intent: Any) -> None:
        self.counts["refused"] += 1
        kind = {
            int(Kind.KIND_INTENT_PLACE): Kind.KIND_ORDER_REJECTED,
            int(Kind.KIND_INTENT_CANCEL): Kind.KIND_ORDER_CANCEL_REFUSED,
            int(Kind.KIND_INTENT_AMEND): Kind.KIND_ORDER_REPLACE_REFUSED,
        }.get(int(intent["kind"]))
        if kind is not None:
            self._answer(kind, intent)

    def _place(self, intent: Any, after: bytes) -> None:
        number = int(intent["id_order"])
        if number in self._by_engine:
            self._answer(Kind.KIND_ORDER_REJECTED, intent)
            return
        more = np.frombuffer(after, INTENT_TERMS)[0] if after else np.zeros(1, INTENT_TERMS)[0]
        packed = int(intent["terms"])
        kind, tif, flags = packed >> 16 & 0xFF, packed >> 24 & 0xFF, packed >> 32 & 0xFF
        if flags & TermsFlag.TERMS_POST_ONLY and kind == WishType.TYPE_LIMIT:
            tif = WishTif.TIF_GTX
        terms = Terms(
            sell=bool(intent["flags"] & Flag.FLAG_SELL), type=kind, qty=int(intent["qty_lots"]),
            px=0 if kind in (WishType.TYPE_MARKET, WishType.TYPE_STOP, WishType.TYPE_TAKE) else int(intent["px_ticks"]),
            tif=tif, trigger=int(more["trigger_px_ticks"]), trail=int(more["trail_ticks"]),
            display=int(more["display_lots"]), expire_ns=int(more["expire_ns"]), client_id=str(number),
            reduce_only=bool(flags & TermsFlag.TERMS_REDUCE_ONLY),
        )  # fmt: skip
        before = len(self.exchange.reports)
        made = self.exchange.place(self.account, self._symbols[int(intent["symbol"])], terms)
        if isinstance(made, Refusal):
            assert len(self.exchange.reports) == before
            self.counts["refused"] += 1
            self._answer(Kind.KIND_ORDER_REJECTED, intent)
            return
        self._by_engine[number] = made
        self._engine_id[made.id] = number

    def _cancel(self, intent: Any) -> None:
        order = self._by_engine.get(int(intent["id_order"]))
        if order is None:
            self._answer(Kind.KIND_ORDER_CANCEL_NO_ORDER, intent)
        elif not self.exchange.cancel(order):
            filled = order.status == "FILLED"
            self._answer(Kind.KIND_ORDER_CANCEL_TOO_LATE if filled else Kind.KIND_ORDER_CANCEL_NO_ORDER, intent, order)

    def _amend(self, intent: Any) -> None:
        order = self._by_engine.get(int(intent["id_order"]))
        if order is None or not order.is_open:
            self._answer(Kind.KIND_ORDER_REPLACE_NO_ORDER, intent, order)
        elif self.exchange.amend(order, px=int(intent["px_ticks"]), qty=int(intent["qty_lots"])) is not None:
            self._answer(Kind.KIND_ORDER_REPLACE_REFUSED, intent, order)

    def _query(self, intent: Any) -> None:
        if not intent["id_order"]:
            # Not about an order: a plan wants to hear what is held.
            self._report_position(int(intent["symbol"]))
            return
        order = self._by_engine.get(int(intent["id_order"]))
        if order is None:
            self._answer(Kind.KIND_ORDER_ABSENT, intent)
            return
        kind = {
            "CANCELED": Kind.KIND_ORDER_CANCELED, "REJECTED": Kind.KIND_ORDER_REJECTED,
            "EXPIRED": Kind.KIND_ORDER_EXPIRED, "EXPIRED_IN_MATCH": Kind.KIND_ORDER_EXPIRED,
        }.get(order.status, Kind.KIND_ORDER_ACK)  # fmt: skip
        # The trades first: what they say is the truth, and the engine knows a repeated one by its number.
        for execution in order.executions:
            self._report_fill(
                order, execution, execution.lots, execution.trade_id, self._filled_after(order, execution)
            )
        self._answer(kind, intent, order)

    @staticmethod
    def _filled_after(order: Order, last: Execution) -> int:
        total = 0
        for execution in order.executions:
            total += execution.lots
            if execution is last:
                break
        return total

    def _cancel_all(self, symbol: int) -> None:
        for order in list(self.exchange.open.get(self.account.owner, {}).values()):
            if order.is_open and (symbol == 0xFFFF or self._index[order.symbol] == symbol):
                self.exchange.cancel(order)

    def check(self) -> None:
        self.exchange.check()

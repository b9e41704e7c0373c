"""What the embedded venue tells an engine: what the exchange reports, as records on their way back, faults and all.

Owns: which record a report is, when it arrives, parts of a fill. Does not own: what happened (exchange.py), intents and
time (embedded.py), whose state it works on.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import BALANCE, FEE, FEED, ORDER, POSITION, Feed, Flag, Kind
from engine.sim.distributions import Chances
from engine.sim.faults import ON_ACK, ON_FILL, FaultKind
from engine.sim.venue.accounts import Account
from engine.sim.venue.embedded_config import EmbeddedConfig
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.orders import Execution, Order, Report


class Reports:
    """The half of a venue that speaks; the other half makes these."""

    config: EmbeddedConfig
    exchange: Exchange
    account: Account
    now_ns: int
    counts: dict[str, int]
    _index: dict[str, int]
    _net_lots: list[int]
    _engine_id: dict[int, int]
    _chances: Chances
    _splits: Chances
    _number: int
    _updates: int
    _last_report: int
    _away: bool
    _due: list[tuple[int, int, bytes]]

    def _send_reports(self) -> None:
        for report in self.exchange.take_reports():
            if report.order.owner == self.account.owner:
                self._send(report)
        if self.config.report_balances and self.account.touched:
            for asset in sorted(self.account.touched & set(self.config.assets)):
                self._updates += 1
                record = self._blank(BALANCE, Kind.KIND_BALANCE, 0)
                held = self.account.balances[asset]
                record["asset"], record["free"], record["locked"] = self.config.assets[asset], held.free, held.locked
                record["id_update"] = self._updates
                self._deliver(record, None)
            self.account.touched.clear()

    def _send(self, report: Report) -> None:
        order = report.order
        if report.what == "TRADE":
            assert report.execution is not None
            lots = report.execution.lots
            self._net_lots[self._index[order.symbol]] += -lots if order.terms.sell else lots
            self._fills(order, report.execution, report.filled)
            if self.exchange.market(order.symbol).instrument.perpetual:
                self._report_position(self._index[order.symbol])
            return
        kind = {
            "NEW": Kind.KIND_ORDER_ACK, "CANCELED": Kind.KIND_ORDER_CANCELED, "EXPIRED": Kind.KIND_ORDER_EXPIRED,
            "REJECTED": Kind.KIND_ORDER_REJECTED, "REPLACED": Kind.KIND_ORDER_REPLACED,
        }.get(report.what)  # fmt: skip
        if kind is None:
            return
        record = self._blank(ORDER, kind, self._index[order.symbol], sell=order.terms.sell)
        record["id_order"] = self._number_of(order)
        record["px_ticks"] = order.px
        record["qty_lots"] = order.qty if kind in (Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_REPLACED) else 0
        record["filled_lots"], record["id_venue"] = report.filled, order.id
        self._deliver(record, self.config.faults.on(ON_ACK, self.now_ns))

    def _number_of(self, order: Order) -> int:
        """The engine's number: its client id, also before `place` has returned."""
        return self._engine_id.get(order.id) or (int(order.client_id) if order.client_id.isdigit() else 0)

    def _fills(self, order: Order, execution: Execution, filled: int) -> None:
        """One execution as one report or, with split fills, as several that add up to it."""
        parts = [execution.lots]
        if self.config.split_fills:
            count, left = max(1, self._splits.fill_count()), execution.lots
            parts = []
            for _ in range(count - 1):
                part = max(1, int(left * self._splits.fill_ratio()))
                if part >= left:
                    break
                parts.append(part)
                left -= part
            parts.append(left)
        done = filled - execution.lots
        for i, lots in enumerate(parts):
            done += lots
            trade_id = execution.trade_id if not self.config.split_fills else execution.trade_id * 1000 + i
            fault = self.config.faults.on(ON_FILL, self.now_ns)
            self._report_fill(order, execution, lots, trade_id, done, fault, last=i == len(parts) - 1)

    def _report_fill(
        self, order: Order, execution: Execution, lots: int, trade_id: int, filled: int,
        fault: FaultKind | None = None, *, last: bool = True,
    ) -> None:  # fmt: skip
        symbol = self._index[order.symbol]
        record = self._blank(ORDER, Kind.KIND_ORDER_FILL, symbol, sell=order.terms.sell)
        record["id_order"], record["px_ticks"], record["qty_lots"] = self._number_of(order), execution.px, lots
        record["filled_lots"], record["id_venue"] = filled, trade_id
        self._deliver(record, fault)
        if self.config.report_fees and execution.fee.asset in self.config.assets and fault != FaultKind.LOST_FILL:
            amount = execution.fee.amount * lots // execution.lots
            if last:
                # The parts before were rounded down; the last one brings what is missing.
                before = execution.lots - lots
                amount = execution.fee.amount - execution.fee.amount * before // execution.lots
            fee = self._blank(FEE, Kind.KIND_FEE, symbol, sell=order.terms.sell)
            fee["id_order"], fee["id_trade"] = self._number_of(order), trade_id
            fee["asset"], fee["amount"] = self.config.assets[execution.fee.asset], amount
            fee["maker"] = execution.maker
            self._deliver(fee, None)

    def _report_position(self, symbol: int) -> None:
        """A perpetual's position; of spot, what the account's trades add up to."""
        instrument = self.config.instruments[symbol]
        self._updates += 1
        record = self._blank(POSITION, Kind.KIND_POSITION, symbol)
        if instrument.perpetual:
            position = self.account.positions[instrument.symbol]
            record["lots"], record["entry_px_e8"] = position.lots, position.entry_px_e8(instrument)
        else:
            record["lots"] = self._net_lots[symbol]
        record["id_update"] = self._updates
        self._deliver(record, None)

    def _report_feed(self, feed: Feed, *, up: bool) -> None:
        record = self._blank(FEED, Kind.KIND_FEED, 0xFFFF)
        record["feed"], record["up"] = feed, up
        # The socket's end is known here, not at the venue: it needs no journey.
        self._push(self.now_ns, record)

    def _answer(self, kind: Kind, intent: Any, order: Order | None = None) -> None:
        record = self._blank(ORDER, kind, int(intent["symbol"]), sell=bool(intent["flags"] & Flag.FLAG_SELL))
        record["id_order"] = intent["id_order"]
        if order is not None:
            record["filled_lots"], record["id_venue"], record["px_ticks"] = order.filled, order.id, order.px
            record["qty_lots"] = order.qty if kind == Kind.KIND_ORDER_ACK else 0
        self._deliver(record, self.config.faults.on(ON_ACK, self.now_ns))

    def _blank(self, dtype: np.dtype[Any], kind: Kind, symbol: int, *, sell: bool = False) -> npt.NDArray[Any]:
        record = np.zeros(1, dtype)
        record["kind"], record["symbol"] = kind, symbol
        record["flags"] = Flag.FLAG_SELL if sell else 0
        jump = self.config.faults.during(FaultKind.CLOCK_JUMP, self.now_ns)
        record["ts_venue_ns"] = self.now_ns + (jump.jump_ns if jump is not None else 0)
        return record

    def _deliver(self, record: npt.NDArray[Any], fault: FaultKind | None) -> None:
        """Send one report on its way back, as the fault has it."""
        if self._away or fault in (FaultKind.LOST_ACK, FaultKind.LOST_FILL):
            self.counts["lost"] += 1
            return
        arrives = max(self.now_ns + self.config.latency_back.draw(self._chances), self._last_report)
        if fault in (FaultKind.LATE_ACK, FaultKind.LATE_FILL):
            self._push(arrives + self.config.faults.late_ns, record)
            return
        if fault in (FaultKind.REORDERED_ACK, FaultKind.REORDERED_FILL):
            # It overtakes what is still under way: half its own journey, and nobody waits for it.
            self._push(self.now_ns + (arrives - self.now_ns) // 2, record)
            return
        self._last_report = arrives
        self._push(arrives, record)
        if fault in (FaultKind.DUPLICATE_ACK, FaultKind.DUPLICATE_FILL):
            self._push(arrives, record)

    def _push(self, arrives: int, record: npt.NDArray[Any]) -> None:
        record = record.copy()
        record["ts_recv_ns"] = arrives
        self._number += 1
        self.counts["reports"] += 1
        heapq.heappush(self._due, (arrives, self._number, record.tobytes()))

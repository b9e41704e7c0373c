"""The picture of a running engine: what `bot4 status`, `bot4 top`, the page and the metrics all show.

It reads the world and the counters, never writes, and is asked on the loop's thread between two turns. What passes by
(fills, refusals, switches) is noted when it happens, in two bounded tails.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.histogram import Histogram
from engine._core.latch import Latch
from engine._core.modes import Mode
from engine._core.order_table import OrderState
from engine._core.orders import OrderType
from engine._core.strategy import StopReason
from engine._core.types import DECISION, ORDER, Flag, Kind
from engine.observe.decisions import explain, is_refusal
from engine.observe.status import (
    AccountStatus,
    BooksStatus,
    BreakerStatus,
    Event,
    FeedStatus,
    HeadroomStatus,
    JournalStatus,
    LatchStatus,
    LatencyStatus,
    OrderStatus,
    SafetyStatus,
    Status,
    StrategyStatus,
    SymbolStatus,
    WhyNot,
)
from engine.runtime import figures
from engine.runtime.build import strategies_of, symbols_of, venues_of
from engine.runtime.endpoints import stage_of
from engine.runtime.engine import Engine
from engine.runtime.lifecycle import Lifecycle
from engine.settings.load import Loaded
from engine.settings.redact import REDACTOR
from engine.settings.schema import Settings

E8 = 10**8
DEPTH = 12  # levels of a side that people see
REPORTS = {
    Kind.KIND_ORDER_FILL: "fill",
    Kind.KIND_ORDER_CANCELED: "canceled",
    Kind.KIND_ORDER_REJECTED: "rejected",
    Kind.KIND_ORDER_EXPIRED: "expired",
}


def _latency(stage: str, taken: Histogram) -> LatencyStatus:
    if not taken.count:
        return LatencyStatus(stage=stage)
    p50, p90, p99, p999 = (taken.percentile(percent) for percent in (50, 90, 99, 99.9))
    below = np.cumsum(taken.counts())
    tops = taken.bucket_tops()
    # One bucket a power of two: what a picture needs of the thousands that the histogram has.
    marks = [2**power for power in range(5, 31)]
    at = np.searchsorted(tops, marks, side="right") - 1
    buckets = tuple((mark, int(below[i]) if i >= 0 else 0) for mark, i in zip(marks, at, strict=True))
    return LatencyStatus(
        stage=stage,
        count=taken.count,
        p50_ns=p50,
        p90_ns=p90,
        p99_ns=p99,
        p999_ns=p999,
        max_ns=taken.most,
        sum_ns=int(taken.mean * taken.count),
        buckets=buckets,
    )


def _stop_word(reason: int) -> str:
    """`overtime` of STOPPED_OVERTIME."""
    return StopReason(reason).name.removeprefix("STOPPED_").replace("_", " ").lower()


class Picture:
    """A `StatusSource` over one engine."""

    def __init__(self, loaded: Loaded, engine: Engine, latch: Latch, *, session: str, started_ns: int) -> None:
        self._settings = loaded.settings
        self._stage = stage_of(self._settings)
        self._hash = loaded.settings.hash()
        self._engine, self._latch = engine, latch
        self._session, self._started_ns = session, started_ns
        self._symbols = list(symbols_of(self._settings))
        self._rows = list(self._settings.instruments.values())
        self._slots = list(strategies_of(self._settings))
        control = self._settings.control
        self._events: deque[Event] = deque(maxlen=control.events_kept)
        self._why: deque[WhyNot] = deque(maxlen=control.why_kept)
        # By slot; one place more for what the engine itself asks.
        self._placed = np.zeros(len(self._slots) + 1, np.int64)
        self._denied = np.zeros(len(self._slots) + 1, np.int64)
        self._denied_by: Counter[str] = Counter()
        self._number = 0
        self._venues = list(venues_of(self._settings))  # as the core numbers them
        self._venue_of = np.array([self._venues.index(row.venue) for row in self._rows], np.int64)
        self._messages = np.zeros(len(self._venues), np.int64)
        self._machine, self._lag = figures.Machine(self._settings.engine.directory), figures.Lag()
        self._mode_at = ("", started_ns)
        self.host: tuple[str, ...] = ()
        self.waiting = 0  # settings that wait their day
        self.books: Callable[[int], BooksStatus] = lambda _now_ns: BooksStatus()
        self.tier: Callable[[], str] = lambda: loaded.tier.name
        self.safety: Callable[[], SafetyStatus] = lambda: SafetyStatus(switch=self._settings.safety.switch)
        self.breakers: Callable[[], tuple[BreakerStatus, ...]] = tuple
        self.life: Lifecycle | None = None  # who moves the clock, once there is somebody
        engine.watch(self._note_inputs, self._note_outputs)

    # ----------------------------------------------------------------------------------------------- what passes by
    def _note_inputs(self, events: npt.NDArray[Any]) -> None:
        kinds = events["kind"]
        market = events["symbol"][kinds < int(Kind.KIND_ORDER_ACK)]
        if len(market):
            self._messages += np.bincount(self._venue_of[market], minlength=len(self._venues))
        reports = np.flatnonzero((kinds >= int(Kind.KIND_ORDER_ACK)) & (kinds < int(Kind.KIND_TIMER)))
        for at in reports:
            name = REPORTS.get(Kind(int(kinds[at])))
            if name is not None:
                self._note_report(name, events[at : at + 1].view(ORDER)[0])

    def _note_report(self, name: str, report: Any) -> None:
        row = self._rows[int(report["symbol"])]
        symbol = self._symbols[int(report["symbol"])]
        px, qty = int(report["px_ticks"]) * row.tick / E8, int(report["qty_lots"]) * row.lot / E8
        side = "sell" if report["flags"] & Flag.FLAG_SELL else "buy"
        text = f"{side} {qty:g} at {px:g}" if name == "fill" else f"order {int(report['id_order']):x}"
        severity = "warning" if name == "rejected" else "info"
        self.note(name, int(report["ts_recv_ns"]), text, symbol=symbol, severity=severity, side=side, px=px, qty=qty)

    def _note_outputs(self, outputs: npt.NDArray[Any]) -> None:
        places = outputs[outputs["kind"] == int(Kind.KIND_INTENT_PLACE)]
        np.add.at(self._placed, np.minimum(places["word"][:, 4] & 0xFFFF, len(self._slots)), 1)
        for at in np.flatnonzero(outputs["kind"] == int(Kind.KIND_DECISION)):
            decision = outputs[at : at + 1].view(DECISION)[0]
            row = self._rows[int(decision["symbol"])]
            reasons = tuple(reason.rule for reason in explain(decision))
            refused = bool(is_refusal(decision))
            if refused:
                self._denied_by.update(reasons)
                self._denied[min(int(decision["origin"]) & 0xFFFF, len(self._slots))] += 1
            self._why.appendleft(
                WhyNot(
                    ts_ns=int(decision["ts_recv_ns"]),
                    symbol=self._symbols[int(decision["symbol"])],
                    strategy=self._slot_name(int(decision["origin"]) & 0xFFFF),
                    side="sell" if decision["flags"] & Flag.FLAG_SELL else "buy",
                    px=int(decision["px_ticks"]) * row.tick / E8,
                    qty=int(decision["qty_lots"]) * row.lot / E8,
                    reasons=reasons,
                    largest_qty=int(decision["headroom_lots"]) * row.lot / E8,
                    observed=not refused,
                )
            )

    def renewed(self, settings: Settings) -> None:
        """A reload: these are in force now."""
        self._hash = settings.hash()

    def note(self, kind: str, ts_ns: int, text: str, **fields: Any) -> None:
        """Put one line into the tail of events."""
        self._number += 1
        self._events.append(Event(number=self._number, ts_ns=ts_ns, kind=kind, text=REDACTOR.text(text), **fields))

    # ------------------------------------------------------------------------------------------------ StatusSource
    def events(self, after: int, most: int) -> Sequence[Event]:
        return list(islice((event for event in self._events if event.number > after), most))

    def latest(self, most: int) -> Sequence[Event]:
        """The newest events, oldest first."""
        return list(self._events)[-most:]

    def why(self, most: int, symbol: str | None) -> Sequence[WhyNot]:
        return list(islice((why for why in self._why if symbol in (None, why.symbol)), most))

    def status(self) -> Status:
        world, now_ns = self._engine.core.world, self._engine.now_ns
        self._machine.look()
        orders, symbols, strategies = self._order_rows(), self._symbol_rows(), self._strategy_rows()
        latch, journal, feeds = self._latch_row(), self._journal(), self._feeds()
        books = self.books(now_ns)
        words = figures.unhealthy(
            journal=figures.journal_words(self._engine.tape.health),
            durable=latch.durable,
            books=books,
            feeds=feeds,
            symbols=symbols,
            strategies=strategies,
        )
        wrong = tuple(words)
        mode = self._mode()
        if mode != self._mode_at[0]:
            self._mode_at = (mode, now_ns if self._mode_at[0] else self._started_ns)
        return Status(
            name=self._settings.engine.name,
            session=self._session,
            run=self._stage,
            ts_ns=now_ns,
            started_ns=self._started_ns,
            mode=mode,
            mode_since_ns=self._mode_at[1],
            tier=self.tier(),
            settings_hash=self._hash,
            healthy=not (wrong or latch.tripped),
            unhealthy=wrong,
            latch=latch,
            safety=self.safety(),
            headroom=self._headroom(symbols),
            feeds=feeds,
            account=self._account(symbols),
            symbols=symbols,
            orders=orders,
            latency=self._stages(),
            breakers=self.breakers(),
            journal=journal,
            books=books,
            strategies=strategies,
            denied_by_rule=dict(self._denied_by),
            counts=world.counts,
            why=tuple(islice(self._why, 5)),
            waiting=self.waiting,
            host=self.host,
            loop_lag_ns=self.life.lag_ns if self.life is not None else None,
            memory_bytes=self._machine.memory_bytes,
        )

    # ---------------------------------------------------------------------------------------------------- the parts
    def _slot_name(self, slot: int) -> str:
        return self._slots[slot] if slot < len(self._slots) else ""

    def _mode(self) -> str:
        return Mode(self._engine.core.world.modes["mode"]).name.removeprefix("MODE_").capitalize()

    def _stages(self) -> tuple[LatencyStatus, ...]:
        stages = [("tick_to_order", self._engine.order_ns), ("step", self._engine.step_ns)]
        if self.life is not None:
            stages.append(("loop_turn", self.life.turn_ns))
        return tuple(_latency(stage, taken) for stage, taken in stages)

    def _feeds(self) -> tuple[FeedStatus, ...]:
        world = self._engine.core.world
        newest = [0] * len(self._venues)
        for venue, ts_ns in zip(self._venue_of, world.instruments()["book_ts_ns"], strict=False):
            newest[venue] = max(newest[venue], int(ts_ns))
        messages = [int(count) for count in self._messages]
        return figures.feeds(world.venues(), self._venues, newest, messages, self._engine.now_ns)

    def _latch_row(self) -> LatchStatus:
        record = self._latch.record()
        return LatchStatus(
            tripped=self._latch.tripped,
            durable=self._latch.durable or not self._latch.tripped,
            reasons=self._latch.reasons,
            since_ns=record[0][1] if record else None,
            note=self._latch.note,
        )

    def _headroom(self, symbols: tuple[SymbolStatus, ...]) -> tuple[HeadroomStatus, ...]:
        """How much of the limits is used; 1,000,000 is all of it. Of a symbol's limit the fullest symbol counts."""
        a, limits = self._engine.core.world.account(), self._engine.core.world.limits()
        equity, peak, base = a["equity"], a["peak"], a["day_base"]
        if min(equity, peak, base) <= 0:
            return ()
        net = max(a["long_worst"], a["short_worst"])
        gross_ppm = a["gross_worst"] * 10**6 // equity
        largest = max(
            (abs(row.position or 0.0) * (row.bid + row.ask) / 2 for row in symbols if row.bid and row.ask), default=0
        )
        shares = {
            "drawdown": ((peak - equity) * 10**6 // peak, limits["drawdown_ppm"]),
            "daily loss": (max(0, base - equity) * 10**6 // base, limits["daily_loss_ppm"]),
            "gross exposure": (gross_ppm, limits["gross_share_ppm"]),
            "leverage": (gross_ppm, min(limits["leverage_tier_ppm"], limits["leverage_regime_ppm"])),
            "largest position": (int(largest * E8) * 10**6 // equity, limits["position_share_ppm"]),
            "net exposure": (net * 10**6 // equity, limits["net_share_ppm"]),
        }
        rows = [
            HeadroomStatus(rule=rule, unit="ppm", limit=float(most), value=float(used), used_ppm=used * 10**6 // most)
            for rule, (used, most) in shares.items()
            if most > 0
        ]
        plain = {
            "open orders": ("", a["orders_open"], limits["open_orders_all"]),
            "open orders of a symbol": ("", max(row.orders_open for row in symbols), limits["open_orders_symbol"]),
            "clock drift": ("ns", a["clock_drift_ns"], limits["clock_drift_ns"]),
        }
        rows += [
            HeadroomStatus(rule=rule, unit=unit, limit=float(most), value=float(used), used_ppm=used * 10**6 // most)
            for rule, (unit, used, most) in plain.items()
        ]
        return tuple(rows)

    def _account(self, symbols: tuple[SymbolStatus, ...]) -> AccountStatus:
        a = self._engine.core.world.account()
        equity, peak, base = a["equity"], a["peak"], a["day_base"]
        return AccountStatus(
            asset=self._settings.account.asset,
            equity=equity / E8,
            peak=peak / E8,
            day_base=base / E8,
            day_profit=(equity - base) / E8,
            drawdown_ppm=(peak - equity) * 10**6 // peak if peak > 0 else None,
            margin_available=a["margin_available"] / E8,
            gross=a["gross_worst"] / E8,
            net=max(a["long_worst"], a["short_worst"]) / E8,
            realised=sum(row.realised or 0.0 for row in symbols),
            unrealised=sum(row.unrealised or 0.0 for row in symbols),
        )

    def _symbol_rows(self) -> tuple[SymbolStatus, ...]:
        world, now_ns = self._engine.core.world, self._engine.now_ns
        open_orders = np.bincount(world.live_orders()["symbol"].astype(np.int64), minlength=len(self._symbols))
        rows = []
        for at, (name, i, p) in enumerate(zip(self._symbols, world.instruments(), world.positions(), strict=True)):
            row = self._rows[at]
            tick, lot, unit = row.tick / E8, row.lot / E8, row.tick * row.lot / E8**2
            lots, bid, ask = int(p["lots"]), int(i["bid_px_ticks"]), int(i["ask_px_ticks"])
            known = bid > 0 and ask > 0
            bids, asks = self._engine.exchange.depth(at, DEPTH) if known else ((), ())
            # The ledger keeps amounts in 1e-8 of the quote asset, ticks and lots already multiplied out.
            cost = int(p["cost"]) / E8
            value = lots * (bid + ask) / 2 * unit
            rows.append(
                SymbolStatus(
                    name=name,
                    venue=row.venue,
                    trusted=bool(i["book_trusted"]),
                    halted=bool(i["halted"]),
                    bid=bid * tick if known else None,
                    ask=ask * tick if known else None,
                    last=int(i["last_px_ticks"]) * tick or None,
                    book_age_ns=max(0, now_ns - int(i["book_ts_ns"])) if known else None,
                    bids=tuple((px * tick, lots * lot) for px, lots in bids),
                    asks=tuple((px * tick, lots * lot) for px, lots in asks),
                    position=lots * lot,
                    entry=cost / (lots * lot) if lots else None,
                    unrealised=value - cost if known else None,
                    realised=(int(p["cash_value"]) + int(p["cost"])) / E8,
                    orders_open=int(open_orders[at]),
                )
            )
        return tuple(rows)

    def _order_rows(self) -> tuple[OrderStatus, ...]:
        now_ns, rows = self._engine.now_ns, []
        for o in self._engine.core.world.live_orders():
            row = self._rows[int(o["symbol"])]
            rows.append(
                OrderStatus(
                    id=int(o["id_order"]),
                    symbol=self._symbols[int(o["symbol"])],
                    side="sell" if o["sell"] else "buy",
                    state=OrderState(int(o["state"])).name.removeprefix("STATE_").lower(),
                    type=OrderType(int(o["type"])).name.removeprefix("TYPE_").lower().replace("_", " "),
                    px=int(o["px_ticks"] or o["px_stop_ticks"]) * row.tick / E8,
                    qty=int(o["qty_lots"]) * row.lot / E8,
                    filled=int(o["filled_lots"]) * row.lot / E8,
                    strategy=self._slot_name(int(o["strategy"])),
                    age_ns=now_ns - int(o["ts_created_ns"]),
                )
            )
        return tuple(rows)

    def _strategy_rows(self) -> tuple[StrategyStatus, ...]:
        rows = []
        for at, (name, s) in enumerate(zip(self._slots, self._engine.core.world.strategies(), strict=True)):
            rows.append(
                StrategyStatus(
                    name=name,
                    symbol=self._symbols[int(s["symbol"])],
                    state=f"stopped: {_stop_word(int(s['reason']))}" if s["stopped"] else "running",
                    calls=int(s["decided_count"]),
                    intents=int(self._placed[at]),
                    denied=int(self._denied[at]),
                )
            )
        return tuple(rows)

    def _journal(self) -> JournalStatus:
        tape = self._engine.tape
        return JournalStatus(
            enabled=True,
            healthy=tape.health == 0,
            mode=self._settings.journal.mode,
            records=tape.count,
            bytes=tape.count * 64,
            lag_ns=self._lag.look(tape),
            disk_free_bytes=self._machine.disk_free_bytes,
            path=str(tape.path),
        )

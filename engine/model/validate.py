"""Twin of the ingest gate: one object a symbol, lists and dictionaries, whole numbers of Python.

Written from the contract: an event's faults are gathered one rule at a time by generators, and the first one counts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import errors
from engine._core.types import BAR_PRICES, BAR_TOTALS, EVENT, LEVEL, LIQUIDATION, MARK, QUOTE, TRADE, Flag, Kind, Status
from engine._core.validate import REFUSAL, Action, Class, Suspect, defaults

TS_END, PX_LIMIT, ID_STEP_END = 2**62, 2**48, 2**40
CLASS_OF = {
    1: (0, LEVEL), 9: (0, LEVEL), 2: (2, QUOTE), 3: (3, TRADE), 4: (4, TRADE), 5: (5, BAR_PRICES), 6: (5, BAR_TOTALS),
    7: (6, MARK), 8: (7, LIQUIDATION),
}  # fmt: skip
OURS = {*range(64, 77), 96, 97}
NUMBER = {1: "id_last", 9: "id_last", 2: "id_book", 3: "id_trade", 4: "id_trade", 6: "ts_open_ns"}
QUOTES, TRADES = 0, 1
# A fault: its status, what was measured, what it was held against.
Fault = tuple[Status, int, int]


class Event:
    def __init__(self, record: npt.NDArray[Any]) -> None:
        self.raw = record
        head = record.view(EVENT)[0]
        self.kind, self.flags, self.symbol, self.seq = (int(head[n]) for n in ("kind", "flags", "symbol", "seq"))
        self.ts_venue_ns, self.ts_recv_ns = int(head["ts_venue_ns"]), int(head["ts_recv_ns"])
        self.cls, self.view = CLASS_OF.get(self.kind, (255, EVENT))
        if self.cls == 0 and self.flags & Flag.FLAG_SNAPSHOT:
            self.cls = int(Class.CLASS_IMAGE)
        if self.cls != 255:
            row = record.view(self.view)[0]
            self.words = {name: int(row[name]) for name in (self.view.names or ())[6:]}
        self.number = self.words[NUMBER[self.kind]] if self.kind in NUMBER else 0

    def __getitem__(self, name: str) -> int:
        return self.words[name]

    def is_(self, flag: Flag) -> bool:
        return bool(self.flags & flag)


class Stream:
    def __init__(self) -> None:
        self.id_last, self.ts_venue_ns, self.ts_heard_ns, self.accepted_count = -1, 0, 0, 0


class Row:
    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.streams = [Stream() for _ in range(8)]
        self.offset = 0
        self.outcomes: deque[int] = deque([0] * 64, maxlen=64)
        self.halted, self.suspect, self.silent = False, 0, 0
        self.halt_count = self.jump_count = self.suspect_count = self.good_count = self.ts_halted_ns = 0
        self.reasons: Counter[str] = Counter()
        self.changed = False
        self.reset(keep_reference=False)

    def reset(self, *, keep_reference: bool) -> None:
        for s in self.streams:
            s.id_last, s.ts_venue_ns, s.ts_heard_ns = -1, 0, 0
        self.quote: tuple[int, int] | None = None
        self.ts_quote_ns = self.ts_changed_ns = 0
        self.message: str | None = None
        self.bar: str | None = None
        self.message_class = self.message_levels = self.message_id = 0
        self.best: list[list[int]] = [[], []]
        self.mark_anchor = self.ts_outside_ns = self.outside_count = self.agree_count = 0
        self.forget_jump()
        if not keep_reference:
            self.ref16, self.ts_ref_ns, self.widths_at = 0, 0, 0
            self.width = dict.fromkeys(("band", "spike", "agree", "outside", "far"), 0)
            self.last2, self.mad256 = [0, 0], [0, 0]

    def forget_jump(self) -> None:
        self.jump2, self.ts_jump_ns, self.jump_seen = 0, 0, [0, 0]

    # ------------------------------------------------------------------------------------------------ the reference
    @property
    def ref2(self) -> int:
        return self.ref16 // 16

    def live(self, now: int) -> bool:
        return self.ts_ref_ns != 0 and now - self.ts_ref_ns <= self.config["ref_ns_max"]

    def take_widths(self) -> None:
        self.widths_at = self.ref2
        least = 2 * self.config["floor_ticks"]
        for name in self.width:
            self.width[name] = max(least, self.ref2 * self.config[f"{name}_ppm"] // 10**6)
        self.width["far"] = max(self.width["outside"], self.ref2 * self.config["far_ppm"] // 10**6)

    def anchor(self, px2: int, now: int) -> None:
        self.ref16, self.ts_ref_ns = px2 * 16, max(now, 1)
        self.last2, self.mad256 = [px2, px2], [0, 0]
        self.take_widths()

    def confirms(self, which: int, px2: int, now: int) -> int | None:
        """None while the outlier stands alone."""
        c = self.config
        if self.ts_jump_ns == 0 or now - self.ts_jump_ns > c["confirm_ns"]:
            self.jump_seen = [0, 0]
        if abs(px2 - self.jump2) > self.width["agree"]:
            self.jump_seen = [0, 0]
        self.jump2, self.ts_jump_ns = px2, max(now, 1)
        self.jump_seen[which] += 1
        if sum(self.jump_seen) < c["confirm_prints"] and min(self.jump_seen) < c["confirm_each"]:
            return None
        actions: int = Action.ACTION_JUMP
        quote_is_fresh = self.ts_quote_ns != 0 and now - self.ts_quote_ns <= c["frozen_ns"]
        if which == TRADES and self.jump_seen[QUOTES] == 0 and quote_is_fresh:
            actions |= self.suspect_for(Suspect.SUSPECT_SPLIT)
        self.anchor(px2, now)
        self.forget_jump()
        self.jump_count += 1
        return actions

    def price(self, which: int, px2: int, now: int) -> tuple[Fault | None, int]:
        if not self.live(now):
            self.anchor(px2, now)
            self.forget_jump()
            return None, 0
        away, step = abs(px2 - self.ref2), abs(px2 - self.last2[which])
        most = max(self.width["spike"], self.config["spike_k"] * self.mad256[which] // 256)
        fault = None
        if away > self.width["band"]:
            fault = (Status.VALIDATE_BAND, away, self.width["band"])
        elif min(step, away) > most:
            fault = (Status.VALIDATE_SPIKE, min(step, away), most)
        if fault:
            jump = self.confirms(which, px2, now)
            return (fault, 0) if jump is None else (None, jump)
        if self.jump_seen[which]:
            self.jump_seen[which] = 0
            if not any(self.jump_seen):
                self.forget_jump()
        self.mad256[which] += (min(step, most) * 256 - self.mad256[which]) // 32
        self.last2[which] = px2
        self.ref16 += (px2 * 16 - self.ref16) // 8
        self.ts_ref_ns = max(now, 1)
        if abs(self.ref2 - self.widths_at) > self.widths_at // 1024:
            self.take_widths()
        return None, 0

    # --------------------------------------------------------------------------------------- one against the other
    def suspect_for(self, why: Suspect) -> int:
        self.agree_count = 0
        if self.suspect & why:
            return 0
        self.suspect |= why
        self.suspect_count += 1
        self.changed = False
        return Action.ACTION_SUSPECT

    def agree(self) -> int:
        if not self.suspect or not self.changed:
            return 0
        self.agree_count += 1
        if self.agree_count < self.config["clear_count"]:
            return 0
        self.suspect, self.agree_count = 0, 0
        return Action.ACTION_CLEAR

    def take_quote(self, bid: int, ask: int, now: int) -> None:
        if self.quote != (bid, ask):
            self.quote, self.ts_changed_ns = (bid, ask), now
            self.outside_count = self.mark_anchor = 0
            self.changed = True
        self.ts_quote_ns = max(now, 1)

    def trade_against_quote(self, px: int, now: int) -> int:
        if self.quote is None:
            return 0
        bid, ask = self.quote
        past2 = 2 * max(px - ask, bid - px)
        if past2 <= self.width["outside"]:
            self.outside_count = 0
            return self.agree()
        actions = 0
        c = self.config
        if past2 > self.width["far"] and now - self.ts_quote_ns <= c["frozen_ns"]:
            actions |= self.suspect_for(Suspect.SUSPECT_OUTSIDE)
        if self.outside_count == 0:
            self.ts_outside_ns = now
        self.outside_count = min(self.outside_count + 1, c["suspect_trades"])
        self.agree_count = 0
        if self.outside_count == c["suspect_trades"] and now - self.ts_outside_ns >= c["frozen_ns"]:
            actions |= self.suspect_for(Suspect.SUSPECT_FROZEN)
        return actions

    def mark_against_quote(self, mark_e8: int, now: int) -> int:
        if self.quote is None:
            return 0
        c, actions = self.config, 0
        moved = abs(mark_e8 - self.mark_anchor) * 10**6 > self.mark_anchor * c["mark_ppm"]
        if self.mark_anchor == 0:
            self.mark_anchor = mark_e8
        elif moved and now - self.ts_changed_ns >= c["frozen_ns"]:
            actions |= self.suspect_for(Suspect.SUSPECT_FROZEN)
        if abs(mark_e8 * 2 // c["tick_e8"] - sum(self.quote)) <= self.width["far"]:
            actions |= self.agree()
        return actions

    # ----------------------------------------------------------------------------------------------------- the rules
    def amounts(self, px: int, qty: int, least: int) -> Iterator[Fault]:
        c = self.config
        if px <= 0:
            yield Status.VALIDATE_BAD_PRICE, px, 0
        if px < c["px_ticks_min"]:
            yield Status.VALIDATE_PX_RANGE, px, c["px_ticks_min"]
        if px > c["px_ticks_max"]:
            yield Status.VALIDATE_PX_RANGE, px, c["px_ticks_max"]
        if qty < least:
            yield Status.VALIDATE_BAD_QUANTITY, qty, least
        if qty > c["qty_lots_max"]:
            yield Status.VALIDATE_QTY_RANGE, qty, c["qty_lots_max"]

    def times(self, e: Event, now: int) -> Iterator[Fault]:
        c, s = self.config, self.streams[e.cls]
        for stamp in (e.ts_venue_ns, e.ts_recv_ns):
            if not 0 <= stamp < TS_END:
                yield Status.VALIDATE_CLOCK, stamp, TS_END
        ours = e.ts_venue_ns - self.offset
        if e.ts_venue_ns == 0 or e.is_(Flag.FLAG_NO_VENUE_TIME):
            if c["needs_time"] >> e.cls & 1:
                yield Status.VALIDATE_NO_TIME, 0, 0
            ours = e.ts_recv_ns
        else:
            if e.ts_venue_ns < s.ts_venue_ns - c["backward_ns_max"]:
                yield Status.VALIDATE_ORDER, e.ts_venue_ns, s.ts_venue_ns
            if e.cls == Class.CLASS_MARK and e.ts_venue_ns == s.ts_venue_ns:
                yield Status.VALIDATE_DUPLICATE, e.ts_venue_ns, s.ts_venue_ns
        age, stale = now - ours, c["stale_ns_max"][e.cls]
        if stale and age > stale:
            yield Status.VALIDATE_STALE, age, stale
        if age < -c["drift_ns_max"]:
            yield Status.VALIDATE_CLOCK, -age, c["drift_ns_max"]

    def numbers(self, e: Event) -> Iterator[Fault]:
        last = self.streams[e.cls].id_last
        if e.cls > Class.CLASS_AGG or not self.config["needs_id"] >> e.cls & 1:
            return
        if e.number < 0:
            yield Status.VALIDATE_NO_ID, e.number, last
        if last >= 0 and e.number == last:
            yield Status.VALIDATE_DUPLICATE, e.number, last
        if last >= 0 and (e.number < last or e.number - last > ID_STEP_END):
            yield Status.VALIDATE_ORDER, e.number, last

    def bar_values(self, e: Event) -> Iterator[Fault]:
        if e.kind == Kind.KIND_BAR_PRICES:
            yield from self.amounts(e["low_ticks"], min(e["volume_lots"], 0), 0)
            yield from self.amounts(e["high_ticks"], 0, 0)
            if not e["low_ticks"] <= min(e["open_ticks"], e["close_ticks"]) <= e["high_ticks"]:
                yield Status.VALIDATE_BAD_BAR, e["low_ticks"], e["high_ticks"]
            if max(e["open_ticks"], e["close_ticks"]) > e["high_ticks"]:
                yield Status.VALIDATE_BAD_BAR, e["low_ticks"], e["high_ticks"]
            return
        if not 0 < e["ts_open_ns"] < e["ts_close_ns"] < TS_END // 2:
            yield Status.VALIDATE_BAD_BAR, e["ts_open_ns"], e["ts_close_ns"]
        least = min(e["trade_count"], e["quote_volume_e8"], e["taker_buy_lots"])
        if least < 0:
            yield Status.VALIDATE_BAD_QUANTITY, least, 0
        number, last = self.bar_number(e), self.streams[e.cls].id_last
        if self.config["needs_id"] >> e.cls & 1:
            if number < last:
                yield Status.VALIDATE_ORDER, number, last
            if number == last and number & 1:
                yield Status.VALIDATE_DUPLICATE, number, last

    @staticmethod
    def bar_number(e: Event) -> int:
        return 2 * e["ts_open_ns"] + e.is_(Flag.FLAG_CLOSED)

    def mark_values(self, e: Event, now: int) -> Iterator[Fault]:
        c = self.config
        least = min(e["mark_px_e8"], e["index_px_e8"], e["settle_px_e8"])
        if e["mark_px_e8"] <= 0 or least < 0:
            yield Status.VALIDATE_BAD_PRICE, least, 0
            return
        mark2 = min(2 * e["mark_px_e8"] // c["tick_e8"], 2**60)
        for bad, limit in (
            (mark2 > 2 * c["px_ticks_max"], c["px_ticks_max"]),
            (mark2 < 2 * c["px_ticks_min"] - 1, c["px_ticks_min"]),
        ):
            if bad:
                yield Status.VALIDATE_PX_RANGE, mark2 // 2, limit
        if self.live(now) and abs(mark2 - self.ref2) > self.width["band"]:
            yield Status.VALIDATE_BAND, abs(mark2 - self.ref2), self.width["band"]


class Validate:
    def __init__(self, *, symbols: int) -> None:
        if not 1 <= symbols <= 65535:
            raise errors.DataBadConfig(f"{symbols} symbols")
        self.symbols = symbols
        self.rows: dict[int, Row] = {}
        self.unknown_count = 0
        self.actions = 0
        self.last: dict[str, int] = {}

    def configure(self, symbol: int, **limits: Any) -> None:
        values = defaults()
        for name, value in limits.items():
            if name not in values:
                raise TypeError(f"no such limit: {name}")
            if isinstance(value, dict):
                for key, one in value.items():
                    values[name][int(key)] = one
            else:
                values[name] = value
        if symbol >= self.symbols:
            raise errors.DataBadSymbol(str(symbol))
        if not _good(values):
            raise errors.DataBadConfig(str(limits))
        self.rows[symbol] = Row(values)

    def _row(self, symbol: int) -> Row:
        if symbol not in self.rows:
            raise errors.DataBadSymbol(str(symbol))
        return self.rows[symbol]

    def events(self, events: npt.NDArray[Any], now_ns: int | None = None) -> npt.NDArray[np.int32]:
        statuses, actions, now = [], 0, now_ns or 0
        rows = np.atleast_1d(events).view(EVENT)
        for i in range(len(rows)):
            if now_ns is None and rows[i]["ts_recv_ns"] < TS_END:
                now = max(now, int(rows[i]["ts_recv_ns"]))
            statuses.append(self._judge(Event(rows[i : i + 1]), now))
            actions |= self.actions
        self.actions = actions
        return np.array(statuses, dtype=np.int32)

    def event(self, event: npt.NDArray[Any], now_ns: int) -> Status:
        return Status(int(self.events(event, now_ns)[0]))

    @property
    def refusal(self) -> npt.NDArray[Any]:
        out = np.zeros(1, dtype=REFUSAL)
        for name, value in self.last.items():
            out[name] = value
        out["actions"] = int(self.actions)
        found: npt.NDArray[Any] = out[0]
        return found

    # ---------------------------------------------------------------------------------------------------- judgement
    def _judge(self, e: Event, now: int) -> Status:
        self.actions = 0
        if e.kind in OURS:
            return Status.OK
        row = self.rows.get(e.symbol)
        if row is None:
            self.unknown_count += 1
            return self._note(e, (Status.VALIDATE_BAD_SYMBOL, e.symbol, self.symbols), now)
        if e.cls in (Class.CLASS_DEPTH, Class.CLASS_IMAGE):
            return self._depth(row, e, now)
        if e.cls == Class.CLASS_BAR:
            return self._bar(row, e, now)
        fault = next(self._faults(row, e, now), None)
        if fault is not None:
            return self._refuse(row, e, fault, now)
        return self._accept(row, e, e.number, now)

    def _faults(self, row: Row, e: Event, now: int) -> Iterator[Fault]:
        """All rules of an event that stands alone. The last of them moves the reference, so it runs last."""
        if e.cls == 255:
            yield Status.VALIDATE_BAD_KIND, e.kind, 0
        yield from row.times(e, now)
        yield from row.numbers(e)
        if e.cls == Class.CLASS_QUOTE:
            yield from self._quote(row, e, now)
        elif e.cls == Class.CLASS_MARK:
            yield from row.mark_values(e, now)
            self.actions |= row.mark_against_quote(e["mark_px_e8"], now)
        elif e.cls == Class.CLASS_LIQUIDATION:
            yield from row.amounts(e["px_ticks"], e["qty_lots"], 1)
        else:
            yield from row.amounts(e["px_ticks"], e["qty_lots"], 1)
            fault, actions = row.price(TRADES, 2 * e["px_ticks"], now)
            if fault:
                yield fault
                return
            self.actions |= actions | row.trade_against_quote(e["px_ticks"], now)

    def _quote(self, row: Row, e: Event, now: int) -> Iterator[Fault]:
        bid, ask = e["bid_px_ticks"], e["ask_px_ticks"]
        yield from row.amounts(bid, e["bid_qty_lots"], 1)
        yield from row.amounts(ask, e["ask_qty_lots"], 1)
        if bid >= ask:
            yield Status.VALIDATE_CROSSED, bid, ask
        widest = max(row.ref2 - 2 * bid, 2 * ask - row.ref2)
        if row.live(now) and widest > row.width["band"]:
            jump = row.confirms(QUOTES, bid + ask, now)
            if jump is None:
                yield Status.VALIDATE_BAND, widest, row.width["band"]
                return
            self.actions |= jump
        else:
            fault, actions = row.price(QUOTES, bid + ask, now)
            if fault:
                yield fault
                return
            self.actions |= actions
        row.take_quote(bid, ask, now)

    def _begin(self, row: Row, e: Event, now: int) -> Iterator[Fault]:
        if row.message == "open" and e.cls == Class.CLASS_DEPTH:
            yield Status.VALIDATE_TORN, e.number, row.message_id
        row.message, row.message_class, row.message_id, row.message_levels = "open", e.cls, e.number, 0
        row.best = [[], []]
        yield from row.times(e, now)
        yield from row.numbers(e)

    def _level(self, row: Row, e: Event, now: int) -> Iterator[Fault]:
        px, qty, ask = e["px_ticks"], e["qty_lots"], e.is_(Flag.FLAG_ASK)
        if e.kind == Kind.KIND_BOOK_CLEAR or (px == 0 and qty == 0):
            return
        yield from row.amounts(px, qty, 0)
        if qty == 0:
            return
        row.best[ask].append(px)
        bids, asks = row.best
        if bids and asks and max(bids) >= min(asks):
            yield Status.VALIDATE_CROSSED, max(bids), min(asks)
        past2 = row.ref2 - 2 * px if ask else 2 * px - row.ref2
        if past2 > row.width["band"] and row.live(now):
            band = row.width["band"]
            jump = row.confirms(QUOTES, 2 * px, now)
            if jump is None:
                yield Status.VALIDATE_BAND, past2, band
            else:
                self.actions |= jump

    def _depth(self, row: Row, e: Event, now: int) -> Status:
        faults: list[Fault] = []
        if e.is_(Flag.FLAG_FIRST):
            faults = list(self._first(self._begin(row, e, now)))
        elif row.message == "condemned":
            row.message = None if e.is_(Flag.FLAG_LAST) else "condemned"
            row.reasons["VALIDATE_CONDEMNED"] += 1
            return self._note(e, (Status.VALIDATE_CONDEMNED, e.number, row.message_id), now)
        elif row.message is None or (e.cls, e.number) != (row.message_class, row.message_id):
            faults = [(Status.VALIDATE_TORN, e.number, row.message_id)]
        faults = faults or list(self._first(self._level(row, e, now)))
        if faults:
            if row.message == "open" and row.message_levels:
                self.actions |= Action.ACTION_BOOK
            row.message = None if e.is_(Flag.FLAG_LAST) else "condemned"
            return self._refuse(row, e, faults[0], now)
        if e.is_(Flag.FLAG_LAST):
            row.message = None
            return self._accept(row, e, e.number, now)
        row.message_levels += 1
        row.streams[e.cls].accepted_count += 1
        return Status.OK

    @staticmethod
    def _first(faults: Iterator[Fault]) -> Iterator[Fault]:
        for fault in faults:
            yield fault
            return

    def _bar(self, row: Row, e: Event, now: int) -> Status:
        before, row.bar = row.bar, None
        totals = e.kind == Kind.KIND_BAR_TOTALS
        if totals and before == "condemned":
            row.reasons["VALIDATE_CONDEMNED"] += 1
            return self._note(e, (Status.VALIDATE_CONDEMNED, 0, 0), now)
        if totals and before is None:
            return self._refuse(row, e, (Status.VALIDATE_TORN, e.kind, int(Kind.KIND_BAR_PRICES)), now)
        fault = next(row.times(e, now), None) or next(row.bar_values(e), None)
        if not totals:
            row.bar = "condemned" if fault else "open"
        if fault:
            return self._refuse(row, e, fault, now)
        return self._accept(row, e, row.bar_number(e) if totals else row.streams[e.cls].id_last, now)

    # ------------------------------------------------------------------------------------------------------ outcome
    def _note(self, e: Event, fault: Fault, now: int) -> Status:
        self.last = {
            "kind": int(Kind.KIND_REFUSAL), "flags": e.cls, "symbol": e.symbol, "seq": e.seq,
            "ts_venue_ns": e.ts_venue_ns, "ts_recv_ns": now, "reason": int(fault[0]), "value": fault[1],
            "limit": fault[2], "id_event": e.number,
        }  # fmt: skip
        return fault[0]

    def _refuse(self, row: Row, e: Event, fault: Fault, now: int) -> Status:
        c = row.config
        row.reasons[fault[0].name or ""] += 1
        if c["breaker_mask"] >> (int(fault[0]) - 1000) & 1:
            row.outcomes.append(1)
            row.good_count = 0
            outcomes = list(row.outcomes)
            in_a_row = next((i for i, bad in enumerate(reversed(outcomes)) if not bad), 64)
            too_many = c["window_bad"] and sum(outcomes[-c["window"] :]) >= c["window_bad"]
            if not row.halted and (too_many or (c["row_bad"] and in_a_row >= c["row_bad"])):
                row.halted, row.ts_halted_ns = True, now
                row.halt_count += 1
                row.outcomes.extend([0] * 64)
                self.actions |= Action.ACTION_HALT
        return self._note(e, fault, now)

    def _accept(self, row: Row, e: Event, number: int, now: int) -> Status:
        s = row.streams[e.cls]
        s.id_last, s.ts_heard_ns = number, now
        if not e.is_(Flag.FLAG_NO_VENUE_TIME):
            s.ts_venue_ns = max(s.ts_venue_ns, e.ts_venue_ns)
        s.accepted_count += 1
        if row.silent >> e.cls & 1:
            row.silent &= ~(1 << e.cls)
            self.actions |= Action.ACTION_HEARD
        row.outcomes.append(0)
        if row.halted:
            row.good_count += 1
            if row.good_count >= row.config["recover_count"] and now - row.ts_halted_ns >= row.config["halt_ns"]:
                row.halted, row.good_count = False, 0
                row.outcomes.extend([0] * 64)
                self.actions |= Action.ACTION_RESUME
        return Status.OK

    # -------------------------------------------------------------------------------------------------- the rest
    def touch(self, symbol: int, bid_px_ticks: int, ask_px_ticks: int, now_ns: int) -> Status:
        row = self._row(symbol)
        if not row.config["px_ticks_min"] <= bid_px_ticks < ask_px_ticks <= row.config["px_ticks_max"]:
            return Status.VALIDATE_CROSSED
        fault, _ = row.price(QUOTES, bid_px_ticks + ask_px_ticks, now_ns)
        if fault:
            row.anchor(bid_px_ticks + ask_px_ticks, now_ns)
            row.forget_jump()
        row.take_quote(bid_px_ticks, ask_px_ticks, now_ns)
        return Status.OK

    def clock(self, symbol: int, offset_ns: int) -> None:
        if not -TS_END < offset_ns < TS_END:
            raise errors.DataBadConfig(str(offset_ns))
        self._row(symbol).offset = offset_ns

    def reset(self, symbol: int, *, keep_reference: bool = True) -> None:
        self._row(symbol).reset(keep_reference=keep_reference)

    def due(self, now_ns: int, room: int = 64) -> npt.NDArray[Any]:
        found: list[tuple[int, int, int, int]] = []
        for symbol, row in sorted(self.rows.items()) if room else ():
            for i, s in enumerate(row.streams):
                limit = row.config["silent_ns_max"][i]
                if not limit or row.silent >> i & 1:
                    continue
                s.ts_heard_ns = s.ts_heard_ns or max(now_ns, 1)
                if now_ns - s.ts_heard_ns > limit and len(found) < room:
                    row.silent |= 1 << i
                    row.reasons["VALIDATE_SILENT"] += 1
                    found.append((symbol, i, now_ns - s.ts_heard_ns, limit))
        out = np.zeros(len(found), dtype=REFUSAL)
        out["kind"], out["ts_recv_ns"], out["reason"] = Kind.KIND_REFUSAL, now_ns, Status.VALIDATE_SILENT
        for i, (symbol, cls, value, limit) in enumerate(found):
            out[i]["symbol"], out[i]["flags"], out[i]["value"], out[i]["limit"] = symbol, cls, value, limit
        return out

    def usable(self, symbol: int) -> bool:
        row = self.rows.get(symbol)
        return row is not None and not (row.halted or row.suspect or row.silent)

    def row(self, symbol: int) -> dict[str, Any]:
        r = self._row(symbol)
        states = {None: 0, "open": 1, "condemned": 2}
        bid, ask = r.quote or (0, 0)
        names: tuple[str, ...] = ("ref16", "ts_ref_ns", "widths_at", "ts_quote_ns", "ts_changed_ns", "last2", "mad256")
        names += ("jump2",)
        names += ("ts_jump_ns", "jump_seen", "ts_outside_ns", "outside_count", "agree_count", "good_count")
        names += ("ts_halted_ns", "message_levels", "halt_count", "jump_count", "suspect_count", "silent")
        out = {name: getattr(r, name) for name in names}
        out |= {f"{name}2": width for name, width in r.width.items()}
        out |= {
            "clock_offset_ns": r.offset, "halted": int(r.halted), "suspect": int(r.suspect), "changed": int(r.changed),
            "history": int("".join(map(str, r.outcomes)), 2), "bid_px_ticks": bid, "ask_px_ticks": ask,
            "mark_anchor_e8": r.mark_anchor, "message": states[r.message], "message_bar": states[r.bar],
        }  # fmt: skip
        for name in ("id_last", "ts_venue_ns", "ts_heard_ns", "accepted_count"):
            out[name] = [getattr(s, name) for s in r.streams]
        return out

    def counts(self, symbol: int) -> dict[str, int]:
        return {name: count for name, count in self._row(symbol).reasons.items() if count}

    def totals(self) -> tuple[int, int, int]:
        accepted = sum(s.accepted_count for row in self.rows.values() for s in row.streams)
        refused = sum(sum(row.reasons.values()) - row.reasons["VALIDATE_SILENT"] for row in self.rows.values())
        return accepted, refused + self.unknown_count, self.unknown_count

    def check(self) -> None:
        for row in self.rows.values():
            assert row.quote is None or row.quote[0] < row.quote[1]
            assert (row.ts_ref_ns == 0) == (row.ref16 == 0)
            assert (row.ts_jump_ns == 0) == (sum(row.jump_seen) == 0)
            assert row.width["outside"] <= row.width["far"]


def _good(c: dict[str, Any]) -> bool:
    times = [c[n] for n in ("drift_ns_max", "backward_ns_max", "confirm_ns", "frozen_ns", "halt_ns")]
    parts = [c[n] for n in ("band_ppm", "spike_ppm", "agree_ppm", "outside_ppm", "far_ppm", "mark_ppm")]
    return (
        all(0 <= t < TS_END for t in (*times, *c["stale_ns_max"], *c["silent_ns_max"]))
        and all(0 <= part <= 10**6 for part in parts)
        and 0 < c["ref_ns_max"] < TS_END
        and 0 < c["px_ticks_min"] <= c["px_ticks_max"] <= PX_LIMIT
        and c["qty_lots_max"] > 0
        and c["tick_e8"] > 0
        and 0 < c["floor_ticks"] <= PX_LIMIT
        and c["band_ppm"] > 0
        and c["spike_ppm"] > 0
        and c["outside_ppm"] <= c["far_ppm"]
        and 0 < c["spike_k"] <= 32
        and c["confirm_prints"] >= 2
        and min(c["confirm_each"], c["suspect_trades"], c["clear_count"], c["recover_count"]) >= 1
        and 1 <= c["window"] <= 64
        and c["window_bad"] <= c["window"]
        and c["row_bad"] <= 64
        and max(c["needs_time"], c["needs_id"]) < 256
    )

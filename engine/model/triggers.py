"""Twin of the triggers: a dictionary of what waits, every price shown to every one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine._core.triggers import TriggerKind, TriggerSource, TriggerState
from engine._core.types import Status

Action = tuple[int, int, int, int]


@dataclass
class _Waiting:
    slot: int
    terms: dict[str, int]
    state: TriggerState
    stop: int
    water: int = 0


class Triggers:
    def __init__(self, *, capacity: int = 8, symbols: int = 2) -> None:
        self.symbols = symbols
        self.free = list(range(capacity))
        self.generation = [0] * capacity
        self.waiting: dict[int, _Waiting] = {}
        self.refused = self.fired = 0

    def _whole(self, a: dict[str, int]) -> bool:
        trailing = a["kind"] == TriggerKind.TRIGGER_TRAILING
        distances = [a["trail"], a["trail_e8"]]
        return all((
            a["kind"] < TriggerKind.TRIGGER_KIND_COUNT,
            a["symbol"] < self.symbols, a["sell"] <= 1, a["source"] < TriggerSource.SOURCE_COUNT,
            a["reduce_only"] <= 1, 0 < a["qty"] <= 2**40, a["px"] >= 0,
            a["px_stop"] >= (0 if trailing else 1),
            min(distances) == 0 and max(distances) > 0 if trailing else not any(distances),
            a["trail_e8"] < 10**8,
        ))  # fmt: skip

    def add(self, *, kind: int, qty: int = 1, px_stop: int = 0, px: int = 0, trail: int = 0, trail_e8: int = 0,
            symbol: int = 0, strategy: int = 0, tag: int = 0, sell: int = 0, source: int = 0,
            reduce_only: int = 0, now: int = 0) -> tuple[int, int]:  # fmt: skip
        terms = dict(kind=kind, qty=qty, px_stop=px_stop, px=px, trail=trail, trail_e8=trail_e8,
                     symbol=symbol, sell=sell, source=source, reduce_only=reduce_only)  # fmt: skip
        if not self._whole(terms) or not self.free:
            self.refused += 1
            full = self._whole(terms)
            return (Status.TRIGGER_TABLE_FULL if full else Status.TRIGGER_BAD_TERMS), 0
        slot = self.free.pop(0)
        self.generation[slot] += 1
        handle = self.generation[slot] << 16 | slot + 1
        trailing = kind == TriggerKind.TRIGGER_TRAILING
        state = TriggerState.TRIGGER_SLEEPING if trailing else TriggerState.TRIGGER_ARMED
        self.waiting[handle] = _Waiting(slot, terms, state, px_stop)
        return Status.OK, handle

    def cancel(self, handle: int) -> int:
        w = self.waiting.pop(handle, None)
        if w is None:
            return Status.TRIGGER_UNKNOWN
        self.free.insert(0, w.slot)
        return Status.OK

    def resize(self, handle: int, qty: int, *, now: int = 0) -> int:
        w = self.waiting.get(handle)
        if w is None:
            return Status.TRIGGER_UNKNOWN
        if not 0 < qty <= 2**40:
            self.refused += 1
            return Status.TRIGGER_BAD_TERMS
        w.terms["qty"] = qty
        return Status.OK

    def on_price(self, *, bid: int, ask: int, symbol: int = 0, source: int = 0, now: int = 0,
                 out_max: int = 16) -> list[Action]:  # fmt: skip
        if bid <= 0 or ask <= 0:
            return []
        for w in self.waiting.values():
            t = w.terms
            if t["symbol"] == symbol and t["source"] == source:
                self._show(w, bid if t["sell"] else ask)
        due = sorted(
            (h for h, w in self.waiting.items() if w.state == TriggerState.TRIGGER_DUE), key=lambda h: h & 0xFFFF
        )
        out = []
        for handle in due[:out_max]:
            terms = self.waiting[handle].terms
            out.append((handle, terms["sell"], terms["px"], terms["qty"]))
            self.cancel(handle)
            self.fired += 1
        return out

    @staticmethod
    def _show(w: _Waiting, px: int) -> None:
        t = w.terms
        favour = 1 if t["sell"] else -1  # the way the best price moves
        if t["kind"] == TriggerKind.TRIGGER_TRAILING and w.state in (
            TriggerState.TRIGGER_SLEEPING,
            TriggerState.TRIGGER_ARMED,
        ):
            asleep = w.state == TriggerState.TRIGGER_SLEEPING
            if asleep and t["px_stop"] and favour * (px - t["px_stop"]) < 0:
                return
            if asleep or favour * (px - w.water) > 0:
                w.state, w.water = TriggerState.TRIGGER_ARMED, px
                w.stop = max(0, px - favour * (t["trail"] or px * t["trail_e8"] // 10**8))
        rising = (t["kind"] == TriggerKind.TRIGGER_TAKE_PROFIT) == bool(t["sell"])
        if w.state == TriggerState.TRIGGER_ARMED and (px >= w.stop if rising else px <= w.stop):
            w.state = TriggerState.TRIGGER_DUE

    def find(self, handle: int) -> tuple[Any, ...] | None:
        w = self.waiting.get(handle)
        return None if w is None else (w.state, w.stop, w.terms["qty"])

    @property
    def counts(self) -> dict[str, int]:
        due = sum(w.state == TriggerState.TRIGGER_DUE for w in self.waiting.values())
        return {"live": len(self.waiting), "due": due, "refused": self.refused, "fired": self.fired}

    def check(self) -> None:
        assert all(0 < w.terms["qty"] <= 2**40 for w in self.waiting.values())

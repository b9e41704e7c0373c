"""What the audit says of a running engine: its start and end, every order or their numbers, and what was refused.

The journal has every record to the byte; the audit is what a person shows to somebody else, for years. `each` writes
two records an order, `summary` one a minute and strategy. Nothing here waits for a disk: the audit's own thread does.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.modes import Mode
from engine._core.types import DECISION, INTENT, MODE, ORDER, Flag, Kind
from engine.observe.decisions import explain, is_refusal
from engine.runtime.build import strategies_of, symbols_of
from engine.runtime.engine import Engine
from engine.safety.audit import Audit, Entry
from engine.safety.audit import Kind as About
from engine.settings.schema import Settings

MINUTE_NS = 60 * 10**9
ENDS = {
    int(Kind.KIND_ORDER_FILL): "filled",
    int(Kind.KIND_ORDER_CANCELED): "canceled",
    int(Kind.KIND_ORDER_REJECTED): "rejected",
    int(Kind.KIND_ORDER_EXPIRED): "expired",
}
Records = npt.NDArray[Any]


class OrderAudit:
    """Watches an engine and notes; `turn` once in a while closes the minute."""

    def __init__(self, audit: Audit, engine: Engine, settings: Settings) -> None:
        self._audit, self._engine = audit, engine
        self._each = settings.safety.audit_orders == "each"
        self._symbols = [*symbols_of(settings)]
        self._slots = [*strategies_of(settings)]
        self._numbers: Counter[tuple[str, str, str]] = Counter()
        self._refused: Counter[tuple[int, int, int]] = Counter()  # origin, symbol, mask: explained once a minute
        self._samples: dict[tuple[int, int, int], Any] = {}
        self._mode = Mode(int(engine.core.world.modes["mode"]))
        self._due_ns = engine.now_ns + MINUTE_NS
        engine.watch(self._reports, self._intents)

    def turn(self) -> None:
        if self._engine.now_ns >= self._due_ns:
            self._due_ns = self._engine.now_ns + MINUTE_NS
            self.close()

    def close(self) -> None:
        """Write down the minute so far."""
        self._write(About.OUTCOME, "orders", self._numbers)
        self._write(About.DENIALS, "denied", self._denials())

    def _write(self, kind: About, action: str, counts: Counter[tuple[str, str, str]]) -> None:
        if counts:
            rows = [[*key, number] for key, number in sorted(counts.items())]
            text = f"{sum(counts.values())} in all, by strategy, symbol and what became of them"
            self._audit.note(
                Entry(kind, action, trigger="minute", rule="kernels/risk", affected="orders", explanation=text,
                      data={"counts": rows})
            )  # fmt: skip
            counts.clear()

    def _denials(self) -> Counter[tuple[str, str, str]]:
        """By strategy, symbol and rule. A denial names many rules, and the same ones thousands of times a minute."""
        found: Counter[tuple[str, str, str]] = Counter()
        for key, number in self._refused.items():
            strategy, symbol = self._slot(key[0] & 0xFFFF), self._symbols[key[1]]
            for reason in explain(self._samples[key]):
                found[strategy, symbol, reason.rule] += number
        self._refused.clear()
        self._samples.clear()
        return found

    def _intents(self, outputs: Records) -> None:
        kinds = outputs["kind"]
        for at in np.flatnonzero(kinds == int(Kind.KIND_INTENT_PLACE)):
            self._placed(outputs[at : at + 1].view(INTENT)[0])
        for at in np.flatnonzero(kinds == int(Kind.KIND_MODE)):
            self._switched(outputs[at : at + 1].view(MODE)[0])
        for at in np.flatnonzero(kinds == int(Kind.KIND_DECISION)):
            decision = outputs[at : at + 1].view(DECISION)[0]
            if not is_refusal(decision):
                continue
            key = int(decision["origin"]), int(decision["symbol"]), int(decision["reasons"])
            self._refused[key] += 1
            self._samples.setdefault(key, decision)

    def _placed(self, intent: Any) -> None:
        strategy, symbol = self._slot(int(intent["terms"]) & 0xFFFF), self._symbols[int(intent["symbol"])]
        self._numbers[strategy, symbol, "placed"] += 1
        if self._each:
            self._note(About.INTENT, "place", intent, strategy, "it passed every rule of the gate",
                       qty_lots=int(intent["qty_lots"]))  # fmt: skip

    def _reports(self, events: Records) -> None:
        kinds = events["kind"]
        for at in np.flatnonzero((kinds >= int(Kind.KIND_ORDER_ACK)) & (kinds < int(Kind.KIND_TIMER))):
            name = ENDS.get(int(kinds[at]))
            if name is None:
                continue
            report = events[at : at + 1].view(ORDER)[0]
            self._numbers["", self._symbols[int(report["symbol"])], name] += 1
            if self._each:
                self._note(About.OUTCOME, name, report, "", "the venue said so", qty_lots=int(report["qty_lots"]))

    def _switched(self, row: Any) -> None:
        """The mode as the core put it out, whoever asked: a person has a record of his own beside this one."""
        before, self._mode = self._mode, Mode(int(row["mode"]))
        if self._mode == before:
            return
        name = {mode: mode.name.removeprefix("MODE_").capitalize() for mode in (before, self._mode)}
        self._audit.note(
            Entry(
                About.MODE,
                "switch",
                trigger="core",
                rule="kernels/modes",
                affected="all symbols",
                explanation=f"{name[before]} to {name[self._mode]}",
                at_ns=int(row["ts_recv_ns"]),
            )
        )

    def _note(self, kind: About, action: str, row: Any, strategy: str, why: str, **data: int) -> None:
        self._audit.note(
            Entry(
                kind,
                action,
                trigger=strategy or "venue",
                rule="kernels/risk",
                affected=f"{self._symbols[int(row['symbol'])]} order {int(row['id_order']):x}",
                explanation=why,
                data={"sell": bool(row["flags"] & Flag.FLAG_SELL), "px_ticks": int(row["px_ticks"]), **data},
                at_ns=int(row["ts_recv_ns"]),
            )
        )

    def _slot(self, slot: int) -> str:
        return self._slots[slot] if slot < len(self._slots) else "engine"

"""Who is asked before much is at stake: requests, their time, a person's signed word, and what it lets happen (E-55).

Two things wait for a word: an entry with more at stake than `limits.approval_over`, which the core has denied
(`engine/_core/step_stake`), and the way back to Normal after an emergency. A word for an order becomes one event, on
the record like any other, so a replay needs no key; it covers one order of that strategy, side and size, within its
time, and that order still passes every rule of the gate or stays here. Nobody is asked before a halt, a cancel, a
reduction or a plan: those never come this way.

Owns: open requests and their deadlines, the desk where words are given. Does not own: what is at stake (step_stake),
keys and signatures (safety/approval). Invariants: silence is a no; a word is used at most once; a request lives in one
session and dies with it. Cost: two comparisons of a batch of outputs without a denial.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine._core.strategy import StrategyAct, StrategyRule
from engine._core.types import DECISION, Flag, Kind, Stage
from engine.errors import ApprovalBadSignature, ApprovalNoKey, ApprovalUnknown, ApprovalWanted, Bot4Error
from engine.observe.commands import Peer
from engine.runtime.build import strategies_of, symbols_of
from engine.runtime.engine import Engine
from engine.runtime.events import Records, strategy_word_event
from engine.safety.approval import Request, fingerprint, is_signed
from engine.safety.audit import Entry
from engine.safety.audit import Kind as About
from engine.settings.schema import Settings

SECOND = 10**9
BIT = np.int64(1 << StrategyRule.STRATEGY_RULE_APPROVAL)
OPEN_MOST = 256  # requests at one time: a strategy has two sides
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Given:
    """A word for an order that has not gone out yet."""

    request: Request
    until_ns: int
    used_before: int  # words that this strategy had used


class Approvals:
    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        session: str,
        public: str,
        note: Callable[..., None],
        record: Callable[[Entry], object],
    ) -> None:
        self._engine, self._name, self._session = engine, settings.engine.name, session
        self._public, self._wait_ns = public, settings.approval.timeout_s * SECOND
        self._note, self._record = note, record
        self._rows = [*settings.instruments.items()]
        self._symbols, self._slots = [*symbols_of(settings)], strategies_of(settings)
        self._names = [*self._slots]
        self._last = 0
        self._open: dict[int, Request] = {}
        self._quiet: dict[Key, int] = {}  # nobody is asked about these again before then
        self._given: dict[Key, Given] = {}
        self._resume: Callable[[Peer], str] | None = None
        engine.watch(lambda _events: None, self._outputs)

    # ------------------------------------------------------------------------------------------------------- asking
    def _outputs(self, outputs: Records) -> None:
        kinds = outputs["kind"]
        if self._given and (kinds == int(Kind.KIND_INTENT_PLACE)).any():
            self._used()
        for at in np.flatnonzero(kinds == int(Kind.KIND_DECISION)):
            decision = outputs[at : at + 1].view(DECISION)[0]
            stage = int(decision["origin"]) >> 32 & 0xFFFF
            if stage == Stage.STAGE_STRATEGY and decision["reasons"] & BIT:
                self._wanted(decision)

    def _wanted(self, decision: Any) -> None:
        """The core denied an entry for want of a word: ask, unless that was done."""
        now_ns, symbol = self._engine.now_ns, int(decision["symbol"])
        strategy = self._names[int(decision["origin"]) & 0xFFFF]
        side = "sell" if decision["flags"] & Flag.FLAG_SELL else "buy"
        key = strategy, self._symbols[symbol], side
        if self._quiet.get(key, 0) > now_ns or len(self._open) >= OPEN_MOST:
            return
        row, lots, px = self._rows[symbol][1], int(decision["qty_lots"]), int(decision["px_ticks"])
        touch = "bid_px_ticks" if side == "sell" else "ask_px_ticks"
        px = px or int(self._engine.core.world.instruments()[touch][symbol])
        value = f"{lots * row.lot * px * row.tick / 1e16:,.2f} {row.quote}"
        text = f"{strategy} would {side} {lots * row.lot / 1e8:.8g} {row.base} of {key[1]}, worth {value}"
        self._ask("order", text, key, lots=lots, value=value)

    def _ask(self, what: str, text: str, key: Key, *, lots: int = 0, value: str = "") -> Request:
        self._last += 1
        now_ns = self._engine.now_ns
        request = Request(
            number=self._last, engine=self._name, session=self._session, what=what, text=text, strategy=key[0],
            symbol=key[1], side=key[2], lots=lots, value=value, asked_ns=now_ns, until_ns=now_ns + self._wait_ns,
        )  # fmt: skip
        self._open[request.number] = request
        self._quiet[key] = request.until_ns
        self._say("asked", request, f"{text}: `bot4 approve {request.number}` within {self._wait_ns // SECOND} s")
        return request

    def to_resume(self, resume: Callable[[Peer], str]) -> ApprovalWanted:
        """The way back to Normal waits for a word; what it does then is `resume`."""
        self._resume = resume
        found = next((one for one in self._open.values() if one.what == "resume"), None)
        request = found or self._ask("resume", "back to Normal after an emergency", ("", "", "resume"))
        return ApprovalWanted(f"Request {request.number}, {request.text}: `bot4 approve {request.number}`.")

    # ------------------------------------------------------------------------------------------------------ answering
    def listed(self) -> list[Request]:
        """What waits, the oldest first."""
        self.turn(self._engine.now_ns)
        return list(self._open.values())

    def approve(self, peer: Peer, number: int, signature: str) -> str:
        request = self._waiting(number)
        if not self._public:
            raise ApprovalNoKey("approval.key is empty.")
        if not is_signed(self._public, request, signature):
            self._say("refused", request, f"a signature that is not the operator's over request {number}", str(peer))
            raise ApprovalBadSignature(f"Request {number}.")
        text = self._resumed(request, peer) if request.what == "resume" else self._granted(request)
        del self._open[number]
        words = {"signature": signature, "message": request.message().decode(), "key": fingerprint(self._public)}
        self._say("approved", request, f"{request.text}: {text}", str(peer), **words)
        return text

    def refuse(self, peer: Peer, number: int) -> str:
        """A no needs no signature."""
        request = self._waiting(number)
        del self._open[number]
        self._say("denied", request, f"no to: {request.text}", str(peer))
        return f"Request {number} is denied; nobody is asked about it again for {self._wait_ns // SECOND} s."

    def _waiting(self, number: int) -> Request:
        self.turn(self._engine.now_ns)
        request = self._open.get(number)
        if request is None:
            raise ApprovalUnknown(f"Request {number}.")
        return request

    def _granted(self, request: Request) -> str:
        """One event; the core holds the word until an order uses it or its time is over."""
        slot, now_ns = self._slots[request.strategy], self._engine.now_ns
        until_ns = now_ns + self._wait_ns
        before = self._counts(slot)
        lots = -request.lots if request.side == "sell" else request.lots
        self._engine.take(strategy_word_event(now_ns, slot, StrategyAct.STRATEGY_ACT_APPROVE, lots, until_ns))
        if self._counts(slot)[0] == before[0]:
            raise ApprovalUnknown(f"Request {request.number}: the core did not take it.")
        key = request.strategy, request.symbol, request.side
        self._quiet[key] = until_ns
        self._given[key] = Given(request, until_ns, before[1])
        # Its order may have gone out in this very event's batch.
        self._used()
        return f"approved once, for an order of at most {request.lots} lots, for {self._wait_ns // SECOND} s"

    def _resumed(self, request: Request, peer: Peer) -> str:
        assert self._resume is not None
        try:
            text = self._resume(peer)
        except Bot4Error as error:
            # Signed and not possible yet: the request stays, so the same word may be given again within its time.
            self._say("held", request, f"approved, and refused by the engine: {error}", str(peer))
            raise
        self._quiet.pop(("", "", "resume"), None)
        return text

    # --------------------------------------------------------------------------------------------------- in the course
    def _counts(self, slot: int) -> tuple[int, int]:
        row = self._engine.core.world.strategies()[slot]
        return int(row["approved_count"]), int(row["approvals_used"])

    def _used(self) -> None:
        for key, given in list(self._given.items()):
            if self._counts(self._slots[key[0]])[1] > given.used_before:
                del self._given[key]
                # From here on a further order of that kind is asked about anew.
                self._quiet.pop(key, None)
                self._say("used", given.request, f"request {given.request.number} was used by one order")

    def turn(self, now_ns: int) -> None:
        """Silence is a no."""
        for number, request in list(self._open.items()):
            if now_ns >= request.until_ns:
                del self._open[number]
                self._say("expired", request, f"no word in time is a no: {request.text}")
        for key, given in list(self._given.items()):
            if now_ns >= given.until_ns:
                del self._given[key]
                self._say("lapsed", given.request, f"request {given.request.number} was approved and not used in time")

    def _say(self, action: str, request: Request, text: str, actor: str = "engine", **more: str) -> None:
        self._note("approval", self._engine.now_ns, text, severity="warning", symbol=request.symbol)
        self._record(
            Entry(
                About.APPROVAL, action, trigger=f"request {request.number}", rule="safety/approval",
                affected=f"{request.strategy} {request.symbol} {request.side}".strip(), actor=actor, explanation=text,
                human=actor != "engine", data={"what": request.what, "lots": request.lots, **more},
            )
        )  # fmt: skip

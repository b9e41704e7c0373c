"""What a person may do to a running engine: each command becomes one event, recorded and stepped like any other.

Stopping, tightening and going flat need nobody's consent but the table of modes; there is nothing here that trades.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from engine._core.latch import Latch
from engine._core.limits import Limit
from engine._core.modes import Mode, Who
from engine.errors import ApprovalUnknown, LatchTripped, LimitLooser, ModeNotReady, SettingsError
from engine.observe.commands import Peer
from engine.runtime.approvals import Approvals
from engine.runtime.engine import Engine
from engine.runtime.events import control_event, limit_event
from engine.safety.approval import Request
from engine.safety.audit import Entry
from engine.safety.audit import Kind as About

LATCH_FILE = 1  # bit of the world's latch word: the latch of the process, whoever tripped it


class Notes(Protocol):
    def note(self, kind: str, ts_ns: int, text: str, **fields: Any) -> None: ...


class Control:
    """The handlers behind the control socket."""

    def __init__(
        self,
        engine: Engine,
        notes: Notes,
        latch: Latch,
        *,
        reload: Callable[[], str] | None = None,
        record: Callable[[Entry], object] = lambda _entry: None,
        resumed: Callable[[], object] = lambda: None,
        desk: Approvals | None = None,
        after_reset: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine, self._notes, self._latch, self._reload = engine, notes, latch, reload
        self._record, self._resumed = record, resumed
        self._desk, self._after_reset = desk, after_reset
        self._liquidated = False

    def halt(self, peer: Peer, reason: str) -> str:
        text = reason or "halted by command"
        # The word first, which every send reads; then the core's own record of it.
        self._latch.trip("command", f"{text} ({peer})")
        self._take(peer, "trip", text, latch=LATCH_FILE)
        self._latch.persist()
        return "The latch is tripped: nothing leaves any more. `bot4 reset` at the machine puts it aside."

    def pause(self, peer: Peer) -> str:
        return self._switch(peer, Mode.MODE_PAUSED)

    def resume(self, peer: Peer) -> str:
        if self._latch.tripped:
            raise LatchTripped(", ".join(self._latch.reasons))
        # After an emergency one person's key stroke is not enough; before that nothing but the table of modes is asked.
        if self._desk is not None and self._after_emergency:
            raise self._desk.to_resume(self._to_normal)
        return self._to_normal(peer)

    @property
    def _after_emergency(self) -> bool:
        stands = self._engine.core.world.modes["mode"] == Mode.MODE_EMERGENCY
        return bool(stands or self._liquidated or self._after_reset())

    def _to_normal(self, peer: Peer) -> str:
        if self._latch.tripped:
            raise LatchTripped(", ".join(self._latch.reasons))
        text = self._switch(peer, Mode.MODE_NORMAL)
        self._liquidated = False
        self._resumed()
        return text

    def approve(self, peer: Peer, number: int, signature: str) -> str:
        return self._word.approve(peer, number, signature)

    def deny(self, peer: Peer, number: int) -> str:
        return self._word.refuse(peer, number)

    def approvals(self) -> list[Request]:
        return self._word.listed()

    @property
    def _word(self) -> Approvals:
        if self._desk is None:
            raise ApprovalUnknown("Nobody is asked here.")
        return self._desk

    def reduce(self, peer: Peer) -> str:
        return self._switch(peer, Mode.MODE_REDUCED)

    def liquidate(self, peer: Peer, aggressive: bool) -> str:
        # Two sources of the equity, or the plan closes nothing: the venue's own figures are the second.
        equity = self._engine.exchange.equity()
        self._liquidated = True
        return self._switch(peer, Mode.MODE_EMERGENCY, aggressive=int(aggressive), equity=equity)

    def tighten(self, peer: Peer, limit: str, value: int) -> str:
        if f"LIMIT_{limit.upper()}" not in Limit.__members__:
            raise LimitLooser(f"There is no limit {limit!r}.")
        if not self.tighten_now(limit, value):
            raise LimitLooser(f"{limit} = {value}.")
        self._say(peer, "limit", f"{limit} is {value} now")
        return f"{limit} is {value} now."

    def tighten_now(self, limit: str, value: int) -> bool:
        """One event, recorded and stepped; false when the core refused it as looser."""
        refused = self._engine.core.world.counts["refused"]
        self._engine.take(limit_event(self._engine.now_ns, Limit[f"LIMIT_{limit.upper()}"], value))
        return bool(self._engine.core.world.counts["refused"] == refused)

    def reload(self, peer: Peer) -> str:
        if self._reload is None:
            raise SettingsError("This engine was not started from a file.")
        text = self._reload()
        self._say(peer, "settings", text)
        return text

    def _switch(self, peer: Peer, mode: Mode, **words: int) -> str:
        name = mode.name.removeprefix("MODE_").capitalize()
        self._take(peer, "mode", f"{name} asked for", mode=int(mode), who=int(Who.WHO_HUMAN), **words)
        now = self._engine.core.world.modes["mode"]
        if now != mode:
            raise ModeNotReady(f"{name} was asked for, {Mode(now).name.removeprefix('MODE_').capitalize()} stands.")
        return f"The mode is {name}."

    def _take(self, peer: Peer, kind: str, text: str, **words: int) -> None:
        self._engine.take(control_event(self._engine.now_ns, **words))
        self._say(peer, kind, text)

    def _say(self, peer: Peer, kind: str, text: str) -> None:
        """To whoever watches now, and to whoever asks in seven years."""
        self._notes.note(kind, self._engine.now_ns, f"{text} (by {peer})", severity="warning")
        self._record(
            Entry(
                About.HUMAN,
                kind,
                trigger="command",
                rule="DESIGN 6.6",
                affected="all orders",
                actor=str(peer),
                explanation=text,
                human=True,
            )
        )

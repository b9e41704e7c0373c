"""What a person may do to a running engine: each command becomes one event, recorded and stepped like any other.

Stopping, tightening and going flat need nobody's consent but the table of modes; there is nothing here that trades.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from engine._core.latch import Latch
from engine._core.limits import Limit
from engine._core.modes import Mode, Phase, Who
from engine.errors import LatchTripped, LimitLooser, ModeNotReady, SettingsError
from engine.observe.commands import Peer
from engine.runtime.approvals import Approvals
from engine.runtime.engine import Engine
from engine.runtime.events import control_event, limit_event
from engine.safety.approval import Request
from engine.safety.audit import Entry
from engine.safety.audit import Kind as About
from engine.safety.mark import Mark

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
        mark: Mark,
        desk: Approvals,
    ) -> None:
        self._engine, self._notes, self._latch, self._reload = engine, notes, latch, reload
        self._record, self._mark, self._desk = record, mark, desk

    def halt(self, peer: Peer, reason: str) -> str:
        text = reason or "halted by command"
        # The word first, which every send reads; then the core's own record of it.
        self._latch.trip("command", f"{text} ({peer})")
        self._take(peer, "trip", text, latch=LATCH_FILE)
        self._latch.persist()
        return "The latch is tripped: nothing leaves any more. `bot4 reset` at the machine puts it aside."

    def pause(self, peer: Peer) -> str:
        if self._in_emergency:
            self._remember(f"an emergency, paused by {peer}")
        return self._switch(peer, Mode.MODE_PAUSED)

    def resume(self, peer: Peer) -> str:
        if self._latch.tripped:
            raise LatchTripped(", ".join(self._latch.reasons))
        # After an emergency one person's key stroke is not enough; before that nothing but the table of modes is asked.
        if self._mark.stands and not self._in_emergency:
            raise self._desk.to_resume(self._to_normal)
        return self._to_normal(peer)

    @property
    def _in_emergency(self) -> bool:
        return bool(self._engine.core.world.modes["mode"] == Mode.MODE_EMERGENCY)

    def _to_normal(self, peer: Peer) -> str:
        if self._latch.tripped:
            raise LatchTripped(", ".join(self._latch.reasons))
        text = self._switch(peer, Mode.MODE_NORMAL)
        self._mark.clear()
        return text

    def approve(self, peer: Peer, number: int, signature: str) -> str:
        return self._desk.approve(peer, number, signature)

    def deny(self, peer: Peer, number: int) -> str:
        return self._desk.refuse(peer, number)

    def approvals(self) -> list[Request]:
        return self._desk.listed()

    def reduce(self, peer: Peer) -> str:
        return self._switch(peer, Mode.MODE_REDUCED)

    def liquidate(self, peer: Peer, aggressive: bool) -> str:
        # Two sources of the equity, or the plan closes nothing: the venue's own figures are the second.
        equity = self._engine.exchange.equity()
        try:
            return self._switch(peer, Mode.MODE_EMERGENCY, aggressive=int(aggressive), equity=equity)
        finally:
            # Behind the order to close, whatever became of that: a disk that hangs must not stand before it.
            self._remember(f"liquidated by {peer}")

    def _remember(self, text: str) -> None:
        try:
            self._mark.leave(text)
        except OSError as error:
            self._notes.note("mode", self._engine.now_ns, f"the mark is not on disk: {error}", severity="error")

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
            stands = Mode(now).name.removeprefix("MODE_").capitalize()
            raise ModeNotReady(f"{name} was asked for, {stands} stands: {self._why_not(mode)}.")
        return f"The mode is {name}."

    def _why_not(self, to: Mode) -> str:
        """What keeps the mode where it is; the core says only that something does."""
        if self._in_emergency and to != Mode.MODE_PAUSED:
            return "Emergency leads to Paused, by `bot4 pause`, and on from there"
        modes, missing = self._engine.core.world.modes, []
        left_ns = modes["since_ns"] + modes["cooldown_ns"] - self._engine.now_ns
        if to == Mode.MODE_NORMAL and left_ns > 0:
            missing.append(f"the cooldown has {math.ceil(left_ns / 1e9)} s left")
        if (phase := Phase(modes["phase"])) not in (Phase.PHASE_IDLE, Phase.PHASE_ENDED):
            missing.append(f"the plan is at {phase.name.removeprefix('PHASE_').lower()}")
        venues = self._engine.core.world.venues()
        if venues["feeds_down"].any():
            missing.append("a connection to a venue is lost")
        elif venues["unreconciled"].any():
            missing.append("a venue's books are not compared yet")
        return ", ".join(missing) or "the table of modes has no such way"

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
                rule="kernels/modes",
                affected="all orders",
                actor=str(peer),
                explanation=text,
                human=True,
            )
        )

"""The session of `bot4 run`, moved by hand: no clock, no signals; the test says how far time goes.

The same composition root, core, venue, journal, picture and handlers; only the life that moves the clock is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.observe.commands import Peer
from engine.runtime.session import Session
from engine.settings.load import load
from tests.source.files import ROOT

MS = 1_000_000
PAPER = ROOT / "config" / "paper.toml"


def paper(directory: Path, *more: Path, **environ: str) -> Any:
    """Settings of `bot4 run` with the faces on free ports."""
    ports = {"BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__ENGINE__DIRECTORY": str(directory)}
    return load([PAPER, *more], environ=ports | environ)


class Hand:
    """A session and the hand that moves it."""

    def __init__(self, directory: Path, *more: Path, faces: Callable[..., Any] | None = None, **environ: str) -> None:
        loaded = paper(directory, *more, **environ)
        self.session = Session(loaded, faces=faces, reread=lambda: loaded)
        self.picture, self.control = self.session.picture, self.session.control

    def run(self, ms: float = 100.0) -> None:
        """Let so much of the engine's time pass, the record kept up with it."""
        engine = self.session.engine
        engine.advance(engine.now_ns + int(ms * MS))
        self.session.journal.turn()

    def close(self) -> None:
        self.session.close()


class Shown(Hand):
    """The same as the faces take it: source of the picture and handlers of the commands, with who asked for what."""

    def __init__(self, directory: Path, **environ: str) -> None:
        super().__init__(directory, BOT4__MODES__COOLDOWN_NS="0", **environ)
        self.audit: list[tuple[Peer, str]] = []
        self.status, self.events, self.why = self.picture.status, self.picture.events, self.picture.why
        self.latch, self.approvals = self.session.latch, self.control.approvals
        self.pass_time()

    def pass_time(self, seconds: float = 2.0) -> None:
        for _ in range(round(seconds * 10)):
            self.run()

    @property
    def limits(self) -> dict[str, int]:
        return self.session.engine.core.world.limits()

    @property
    def numbered(self) -> int:
        """The newest event's number."""
        return self.picture.latest(1)[-1].number

    def __getattr__(self, name: str) -> Callable[..., str]:
        if name not in ("halt", "pause", "resume", "reduce", "liquidate", "tighten", "reload", "approve", "deny"):
            raise AttributeError(name)

        def act(peer: Peer, *words: Any) -> str:
            self.audit.append((peer, name))
            return getattr(self.control, name)(peer, *words)

        return act

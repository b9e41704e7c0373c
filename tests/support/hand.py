"""The session of `bot4 run`, moved by hand: no clock, no signals; the test says how far time goes.

The same composition root, core, venue, journal, picture and handlers; only the life that moves the clock is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        self.session = Session(paper(directory, *more, **environ), faces=faces)
        self.picture, self.control = self.session.picture, self.session.control

    def run(self, ms: float = 100.0) -> None:
        """Let so much of the engine's time pass, the record kept up with it."""
        engine = self.session.engine
        engine.advance(engine.now_ns + int(ms * MS))
        self.session.journal.turn()

    def close(self) -> None:
        self.session.close()

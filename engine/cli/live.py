"""The live view of `bot4 run`: drawn by a thread of its own, so that a terminal can never hold up the engine.

A terminal that is not read (Ctrl-S, a sleeping ssh) makes a write wait for ever, and laying out a screen takes
milliseconds: neither belongs on the loop. The loop hands over a picture when it has one; the thread draws the newest
and forgets what it missed. At the end it has a moment to put the terminal back; a terminal that waits is left as it is.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from engine.cli.screen import screen
from engine.observe.status import Event, Status

END_S = 2.0


class LiveView:
    """A context: inside it, `show` what is to be seen. `show` never waits."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._ready = threading.Condition()
        self._next: tuple[Status, list[Event], str] | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="live-view", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._ready:
            self._ended = True
            self._ready.notify()
        self._thread.join(END_S)

    def show(self, status: Status, events: list[Event], page: str) -> None:
        with self._ready:
            self._next = status, events, page
            self._ready.notify()

    def _take(self) -> tuple[Status, list[Event], str] | None:
        with self._ready:
            while self._next is None and not self._ended:
                self._ready.wait()
            found, self._next = self._next, None
            return None if self._ended else found

    def _run(self) -> None:
        # On a screen of its own, so that what stood in the terminal before is there again afterwards.
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while (found := self._take()) is not None:
                status, events, page = found
                live.update(screen(status, events, height=self._console.height, page=page), refresh=True)

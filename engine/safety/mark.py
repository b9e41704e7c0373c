"""The mark of an emergency: until a person took it back, the way to Normal needs a word, and a start is Paused.

Left by a reset of the latch and by a liquidation, as a file, so that a restart does not take it back. A disk that
refuses it keeps nothing from being closed: then this process alone remembers.
"""

from __future__ import annotations

from pathlib import Path

from engine.settings.files import write_durable

PAUSED_NAME = "paused"  # in the state folder


class Mark:
    def __init__(self, state: Path) -> None:
        self._path = state / PAUSED_NAME
        self._here = False

    @property
    def stands(self) -> bool:
        return self._here or self._path.exists()

    def leave(self, text: str) -> None:
        """Raises what the disk says; it stands in this process all the same."""
        self._here = True
        write_durable(self._path, f"{text}\n".encode())

    def clear(self) -> None:
        self._here = False
        self._path.unlink(missing_ok=True)

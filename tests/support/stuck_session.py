"""A paper session whose loop sticks in a callback for good. Arguments: its folder, its settings files."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

from engine.cli.run import read_settings
from engine.runtime.session import Session


class Sticky:
    """A face that takes the loop and never gives it back."""

    async def start(self) -> None:
        asyncio.get_running_loop().call_later(0.3, held_by_a_callback)

    def notify(self) -> None:
        return

    async def close(self) -> None:
        return


def held_by_a_callback() -> None:
    threading.Event().wait()


def main() -> None:
    files = tuple(Path(text) for text in sys.argv[2:])
    loaded = read_settings(files, Path(sys.argv[1]))
    session = Session(loaded, faces=lambda _settings, _source, _handlers: Sticky())
    asyncio.run(session.run(seconds=60))


if __name__ == "__main__":
    main()

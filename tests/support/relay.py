"""A relay of TCP on a thread of its own that can be cut: whoever asks through it then is heard and gets no answer."""

from __future__ import annotations

import asyncio
import contextlib

from engine.venues.bridge_thread import BridgeThread

CHUNK = 65_536


class Relay:
    """`with Relay(port) as relay`. While it is cut what is asked is kept, and its connection ends."""

    def __init__(self, target: int) -> None:
        self.target, self.port, self.is_cut = target, 0, False
        self.unanswered: list[bytes] = []
        self.passed: list[bytes] = []
        self._thread = BridgeThread("relay")
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Relay:
        self._thread.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._close())
        self._thread.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        answers = asyncio.create_task(self._back(there, writer))
        try:
            with contextlib.suppress(OSError):
                while asked := await reader.read(CHUNK):
                    if self.is_cut:
                        self.unanswered.append(asked)
                        return
                    self.passed.append(asked)
                    back.write(asked)
        finally:
            answers.cancel()
            writer.transport.abort()
            back.transport.abort()
            self._tasks.discard(task)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while answer := await reader.read(CHUNK):
                writer.write(answer)

"""A loop and a thread for what must not run on the core's: requests and decoding of the slow lane."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any


class BridgeThread:
    """A loop and a thread for bridges, beside the core's. `run` hands work in; records go out through `deliver`."""

    def __init__(self, name: str = "bridge") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any], timeout_s: float | None = None) -> Any:
        """Wait for it, from any thread but the bridge's own."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def begin(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        """Do not wait: what comes of it is delivered."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def ask(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for it on another loop, which goes on meanwhile."""
        return await asyncio.wrap_future(self.begin(work))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

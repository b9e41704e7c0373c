"""One WebSocket of the served venue: what it listens to, who it is, and what waits to be sent to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.sim.venue.accounts import Account
from engine.sim.venue.keys import Key


class Socket:
    """One WebSocket: what it listens to, who it is."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.ws, self.address = ws, request.remote or ""
        self._transport = request.transport
        self.path = ""
        self.streams: set[str] = set()
        self.combined = False
        self.key: Key | None = None
        self.users: dict[int, Account] = {}  # by subscription
        self.listens: Account | None = None  # by listen key
        self.outbox: asyncio.Queue[str] = asyncio.Queue(maxsize=20_000)

    def put(self, message: Mapping[str, Any]) -> bool:
        """False: it reads too slowly and must go."""
        try:
            self.outbox.put_nowait(json.dumps(message, separators=(",", ":")))
        except asyncio.QueueFull:
            return False
        return True

    def cut(self) -> None:
        """End the connection at once, whatever still waits to be sent."""
        self.streams.clear()
        self.users.clear()
        self.listens = None
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        while True:
            await self.ws.send_str(await self.outbox.get())

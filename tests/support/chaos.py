"""A proxy between a client and a venue that does what networks and broken peers do, by a seed.

Every connection draws a fate when it is accepted: it lives for a while, is cut, half-closed, fed with garbage in one of
the two directions, held without a byte (slow loris), or goes deaf: what the client says still arrives, no answer comes
back.
On the way back every chunk may be delayed, and whole WebSocket frames come twice. Bytes towards the venue are never
doubled: below TLS that cannot happen to a connection that lives.

`calm` ends it: broken connections are cut, new ones live.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

FATES = {"live": 20, "cut": 5, "half": 2, "garbage_back": 3, "garbage_there": 1, "loris": 2, "deaf": 4}
CHUNK = 65_536


class Frames:
    """Cuts a venue's side of a WebSocket into whole frames; before the hand-shake is over bytes pass as they come."""

    def __init__(self) -> None:
        self._bytes = b""
        self._is_open: bool | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        self._bytes += chunk
        out = []
        if self._is_open is None:
            if b"\r\n\r\n" not in self._bytes:
                return []
            head, _, rest = self._bytes.partition(b"\r\n\r\n")
            self._is_open = head.startswith(b"HTTP/1.1 101")
            out, self._bytes = [head + b"\r\n\r\n"], rest
        if not self._is_open:
            out, self._bytes = [*out, self._bytes], b""
            return [part for part in out if part]
        while (size := self._size()) and len(self._bytes) >= size:
            out.append(self._bytes[:size])
            self._bytes = self._bytes[size:]
        return out

    def _size(self) -> int:
        """Of the frame that begins here, 0 when its head is not whole. A venue's frames are not masked."""
        data = self._bytes
        if len(data) < 2:
            return 0
        short = data[1] & 0x7F
        wide = {126: 2, 127: 8}.get(short, 0)
        if len(data) < 2 + wide:
            return 0
        return 2 + wide + (int.from_bytes(data[2 : 2 + wide], "big") if wide else short)

    @property
    def is_socket(self) -> bool:
        return bool(self._is_open)


def end_writing(writer: asyncio.StreamWriter) -> None:
    """Half-close, unless the connection has gone already."""
    if not writer.is_closing():
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


class ChaosProxy:
    def __init__(self, seed: int, target: int, *, pace: float = 1.0) -> None:
        """`pace` is how many times faster than people's networks it breaks."""
        self.target, self.port, self.pace = target, 0, pace
        self.counts: Counter[str] = Counter()
        self.is_calm = False
        self.failure: BaseException | None = None
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._doomed: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()

    def calm(self) -> None:
        """No more faults: what was to be broken later ends now."""
        self.is_calm = True
        for task in list(self._doomed):
            task.cancel()

    @property
    def faults(self) -> int:
        return sum(self.counts[fate] for fate in (*FATES, "aged") if fate != "live")

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = "live" if self.is_calm else self._random.choices(list(FATES), list(FATES.values()))[0]
        self.counts[fate] += 1
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._live(fate, reader, writer))
        self._tasks.add(task)
        if fate != "live":
            self._doomed.add(task)
        elif not self.is_calm:
            loop.call_later(self._random.uniform(0.1, 1.5) / self.pace, self._age, task)
        # Also of a task that is cancelled before its first step.
        task.add_done_callback(lambda task: self._ended(task, writer))

    def _age(self, task: asyncio.Task[None]) -> None:
        """A connection that lived is cut in the middle of whatever it does."""
        if not self.is_calm and not task.done():
            self.counts["aged"] += 1
            task.cancel()

    def _ended(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        self._tasks.discard(task)
        self._doomed.discard(task)
        if not task.cancelled() and not isinstance(task.exception(), OSError | type(None)):
            self.failure = task.exception()

    async def _live(self, fate: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fate == "loris":
            await asyncio.sleep(self._random.uniform(0.05, 0.5) / self.pace)
            return
        there, back = await self._open()
        # How many bytes of the way back it stays whole.
        whole = self._random.choice([0, 200, 2_000, 20_000, 100_000])
        ways = [
            asyncio.create_task(self._there(fate, reader, back, whole)),
            asyncio.create_task(self._back(fate, there, writer, whole)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if fate == "half" and not all(way.done() for way in ways):
                # One direction is over; the other goes on for a while.
                await asyncio.wait(ways, timeout=self._random.uniform(0.02, 0.3) / self.pace)
            for way in done:
                way.result()
        except OSError:
            self.counts["broken_by_others"] += 1
        finally:
            for way in ways:
                way.cancel()
            back.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        opening = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", self.target))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The socket is there or comes: a cancelled opening would lose it unclosed.
            done, _ = await asyncio.wait((opening,))
            for it in done:
                if it.exception() is None:
                    it.result()[1].transport.abort()
            raise

    async def _there(self, fate: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: int) -> None:
        passed = 0
        while chunk := await reader.read(CHUNK):
            passed += len(chunk)
            if fate == "garbage_there" and passed > 1_000 + whole // 10:
                writer.write(self._random.randbytes(64))
                await writer.drain()
                return
            writer.write(chunk)
            await writer.drain()
        end_writing(writer)

    async def _back(self, fate: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: int) -> None:
        frames, passed = Frames(), 0
        while chunk := await reader.read(CHUNK):
            for part in frames.feed(chunk):
                passed += len(part)
                if fate != "live" and passed > whole:
                    await self._break(fate, part, writer)
                    return
                if not self.is_calm and self._random.random() < 0.1:
                    await asyncio.sleep(self._random.uniform(0.0, 0.02))
                writer.write(part)
                if frames.is_socket and not self.is_calm and self._random.random() < 0.05:
                    self.counts["twice"] += 1
                    writer.write(part)
                await writer.drain()

    async def _break(self, fate: str, part: bytes, writer: asyncio.StreamWriter) -> None:
        if fate == "cut":
            writer.write(part[: len(part) // 2])
        elif fate == "garbage_back":
            writer.write(self._random.randbytes(self._random.choice([1, 7, 300])))
            await writer.drain()
            await asyncio.sleep(0.01)
        elif fate == "half":
            end_writing(writer)
            return
        elif fate in ("deaf", "garbage_there"):
            # The other way stays open meanwhile: orders arrive, and nobody says so.
            await asyncio.sleep(self._random.uniform(0.05, 0.6))

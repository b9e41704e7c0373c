"""The control socket: a Unix socket of mode 0600 whose peers the kernel names.

Owns: the file, the connections, the lines. Does not own: what a command does (Handlers) and what is seen
(StatusSource). Everything runs on the engine's loop; a client that does not read is dropped when its buffer is full,
so nobody who looks can hold the engine up. A picture is encoded once for all who watch.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Collection
from pathlib import Path

import msgspec

from engine._core.clock import monotonic_ns
from engine.errors import (
    Bot4Error,
    ControlBadPath,
    ControlBadRequest,
    ControlBusy,
    ControlForbidden,
    ControlTaken,
)
from engine.observe import commands as c
from engine.observe.commands import LINE_MAX, AlertDesk, Handlers, Peer, Reply
from engine.observe.display import Display
from engine.observe.status import StatusSource
from engine.observe.tracing import OFF, Tracer

PATH_MAX = 107
BUFFER_MAX = 1 << 20
RATE_MAX_HZ = 20.0
SHARED_NS = 25_000_000
_UCRED = struct.Struct("3i")


class ControlServer:
    """Serves one engine. `start` binds, `close` removes the file again; twice is fine."""

    def __init__(
        self,
        path: Path,
        source: StatusSource,
        handlers: Handlers,
        *,
        display: Display | None = None,
        clients_max: int = 16,
        uids: Collection[int] | None = None,
        alerts: AlertDesk | None = None,
        tracer: Tracer = OFF,
    ) -> None:
        self.path = path
        self.source = source
        self.handlers = handlers
        self.display = display or Display(source)
        self.clients_max = clients_max
        self.alerts, self.tracer = alerts, tracer
        # Root can do all of this anyway; whoever else gets past the file's mode is refused by name.
        self.uids = frozenset(uids if uids is not None else {os.geteuid(), 0})
        self.refused_count = 0
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._decoder = msgspec.json.Decoder(c.Command)
        self._encoder = msgspec.json.Encoder()
        self._woken = asyncio.Event()
        self._encoded, self._encoded_ns, self._encoded_for = b"", 0, self._woken

    async def start(self) -> None:
        if len(os.fsencode(self.path)) > PATH_MAX:
            raise ControlBadPath(f"{self.path}: {len(os.fsencode(self.path))} bytes.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._clear_stale()
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            # The file must never exist with a wider mode, not even for the time until a chmod.
            before = os.umask(0o177)
            try:
                listener.bind(str(self.path))
            finally:
                os.umask(before)
        except OSError as error:
            raise ControlBadPath(f"{self.path}: {error.strerror}.") from None
        listener.setblocking(False)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=LINE_MAX)

    def _clear_stale(self) -> None:
        """Remove the socket of an engine that died; refuse while one answers, or when something else has the name."""
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ControlBadPath(f"{self.path} is there and is no socket.")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
            asker.settimeout(1)
            try:
                asker.connect(str(self.path))
            except OSError:
                self.path.unlink()
                return
        raise ControlTaken(f"{self.path}.")

    def notify(self) -> None:
        """Something happened that watchers should see at once: a trip, a switch of mode, a fill."""
        self._woken.set()
        self._woken = asyncio.Event()

    @property
    def client_count(self) -> int:
        return len(self._clients)

    async def close(self) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await server.wait_closed()
        self.path.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------------------- one client
    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = _peer(writer.get_extra_info("socket"))
        if peer.uid not in self.uids:
            self.refused_count += 1
            self._send(writer, _refusal(ControlForbidden(f"This is {peer}.")))
            return
        if len(self._clients) > self.clients_max:
            self._send(writer, _refusal(ControlBusy(f"It serves {self.clients_max}.")))
            return
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                # Longer than any command: the rest of it cannot be told from the next one.
                self._send(writer, _refusal(ControlBadRequest(f"A line has at most {LINE_MAX} bytes.")))
                return
            if not line:
                return
            await self._answer(line, peer, reader, writer)

    async def _answer(
        self, line: bytes, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            command = self._decoder.decode(line)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self._send(writer, _refusal(ControlBadRequest(f"{error}.")))
            return
        try:
            if isinstance(command, c.Watch):
                await self._watch(command, reader, writer)
            elif isinstance(command, c.GetEvents) and command.follow:
                await self._follow(command, reader, writer)
            else:
                with self.tracer.span("control", command=type(command).__name__.lower(), uid=peer.uid):
                    reply = self._act(command, peer)
                self._send(writer, reply)
                await writer.drain()
        except Bot4Error as error:
            self._send(writer, _refusal(error))

    def _act(self, command: c.Command, peer: Peer) -> Reply:
        answer = self._answer_of(command)
        if answer is not None:
            return answer
        do = self.handlers
        match command:
            case c.Halt(reason=reason):
                text = do.halt(peer, reason)
            case c.Pause():
                text = do.pause(peer)
            case c.Resume():
                text = do.resume(peer)
            case c.Reduce():
                text = do.reduce(peer)
            case c.Liquidate(aggressive=aggressive):
                text = do.liquidate(peer, aggressive)
            case c.Tighten(limit=limit, value=value):
                text = do.tighten(peer, limit, value)
            case c.Reload():
                text = do.reload(peer)
            case c.Approve(number=number, signature=signature):
                text = do.approve(peer, number, signature)
            case c.Deny(number=number):
                text = do.deny(peer, number)
            case c.Acknowledge(group=group):
                text = self._desk().acknowledge(peer, group)
            case _:
                raise ControlBadRequest(f"{command}.")
        self.notify()
        return Reply(True, text)

    def _answer_of(self, command: c.Command) -> Reply | None:
        """The answer to a question; None when it is none."""
        match command:
            case c.GetStatus():
                return Reply(True, kind="status", data=self.display.status())
            case c.GetWhy(most=most, symbol=symbol):
                return Reply(True, kind="why", data=list(self.display.why(most, symbol)))
            case c.GetEvents(after=after, most=most):
                return Reply(True, kind="events", data=list(self.display.events(after, most)))
            case c.GetApprovals():
                return Reply(True, kind="approvals", data=self.handlers.approvals())
            case c.GetAlerts():
                return Reply(True, kind="alerts", data=self._desk().alerts())
        return None

    def _desk(self) -> AlertDesk:
        if self.alerts is None:
            raise ControlBadRequest("This engine keeps no alerts.")
        return self.alerts

    # ---------------------------------------------------------------------------------------------------- streams
    async def _watch(self, command: c.Watch, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        period = 1.0 / min(max(command.rate_hz, 0.1), RATE_MAX_HZ)
        self._write(writer, self._picture())
        while await self._wait(reader, period):
            self._write(writer, self._picture())

    async def _follow(self, command: c.GetEvents, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        after, go_on = command.after, True
        while go_on:
            events = list(self.display.events(after, command.most))
            if events:
                after = events[-1].number
                self._send(writer, Reply(True, kind="events", data=events))
            go_on = await self._wait(reader, 0.1)

    async def _wait(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Until the time is over or something was notified; False when the client went, or spoke into its stream."""
        woken_event = self._woken
        gone = asyncio.ensure_future(reader.read(1))
        woken = asyncio.ensure_future(woken_event.wait())
        least = min(seconds, 1.0 / RATE_MAX_HZ)
        try:
            # Whatever happens in the engine, nobody gets more than the highest rate.
            await asyncio.wait({gone}, timeout=least)
            if not gone.done():
                await asyncio.wait({gone, woken}, timeout=seconds - least, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done()
        finally:
            for waiter in (gone, woken):
                waiter.cancel()
            await asyncio.gather(gone, woken, return_exceptions=True)

    def _picture(self) -> bytes:
        """The picture as a line. Those who watch at the same time share one."""
        now_ns = monotonic_ns()
        if now_ns - self._encoded_ns > SHARED_NS or self._encoded_for is not self._woken:
            self._encoded = self._line(Reply(True, kind="status", data=self.display.status()))
            self._encoded_ns, self._encoded_for = now_ns, self._woken
        return self._encoded

    def _line(self, reply: Reply) -> bytes:
        return self._encoder.encode(reply) + b"\n"

    def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        self._write(writer, self._line(reply))

    def _write(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        if writer.transport.get_write_buffer_size() > BUFFER_MAX:
            raise ConnectionError("the client does not read")
        writer.write(line)


def _peer(connection: socket.socket) -> Peer:
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid, gid)


def _refusal(error: Bot4Error) -> Reply:
    return Reply(False, str(error), error.code)

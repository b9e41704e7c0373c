"""The other end of the control socket, for the command line: plain blocking calls."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from engine.errors import ControlRefused, ControlUnreachable
from engine.observe.commands import (
    Command,
    GetAlerts,
    GetApprovals,
    GetEvents,
    GetStatus,
    GetWhy,
    OpenAlert,
    Reply,
    Watch,
)
from engine.observe.status import Event, Status, WhyNot
from engine.safety.approval import Request


class ControlClient:
    """One connection to one engine."""

    def __init__(self, path: Path, *, timeout_s: float = 5.0) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise ControlUnreachable(f"{path}: {error.strerror or error}.") from None
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def call(self, command: Command) -> Reply:
        """Send one command and wait for its answer; a refusal is raised with the engine's own words."""
        self._send(command)
        return self._reply()

    def stream(self, command: Command) -> Iterator[Reply]:
        """Answers as they come, until the engine goes."""
        self._send(command)
        while True:
            yield self._reply()

    def status(self) -> Status:
        return msgspec.convert(self.call(GetStatus()).data, Status)

    def why(self, most: int = 20, symbol: str | None = None) -> list[WhyNot]:
        return msgspec.convert(self.call(GetWhy(most, symbol)).data, list[WhyNot])

    def events(self, after: int = 0, most: int = 100) -> list[Event]:
        return msgspec.convert(self.call(GetEvents(after, most)).data, list[Event])

    def alerts(self) -> list[OpenAlert]:
        return msgspec.convert(self.call(GetAlerts()).data, list[OpenAlert])

    def approvals(self) -> list[Request]:
        return msgspec.convert(self.call(GetApprovals()).data, list[Request])

    def watch(self, rate_hz: float) -> Iterator[Status]:
        for reply in self.stream(Watch(rate_hz)):
            yield msgspec.convert(reply.data, Status)

    def follow(self, after: int = 0) -> Iterator[Event]:
        for reply in self.stream(GetEvents(after, 1_000, follow=True)):
            yield from msgspec.convert(reply.data, list[Event])

    def _send(self, command: Command) -> None:
        try:
            self._socket.sendall(msgspec.json.encode(command) + b"\n")
        except OSError as error:
            # The engine may have said why before it hung up.
            self._raise_last_words(error)

    def _reply(self) -> Reply:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise ControlUnreachable(f"{self.path}: {error.strerror or 'no answer in time'}.") from None
        if not line:
            raise ControlUnreachable(f"{self.path}: the engine has gone.")
        reply = msgspec.json.decode(line, type=Reply)
        if not reply.ok:
            raise _refused(reply)
        return reply

    def _raise_last_words(self, error: OSError) -> None:
        try:
            line: Any = self._lines.readline()
        except OSError:
            line = b""
        if line:
            raise _refused(msgspec.json.decode(line, type=Reply))
        raise ControlUnreachable(f"{self.path}: {error.strerror}.")


def _refused(reply: Reply) -> ControlRefused:
    return ControlRefused(reply.text)

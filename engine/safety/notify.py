"""Talking to systemd: readiness, status, and a watchdog that is fed only while the engine is healthy.

A datagram to $NOTIFY_SOCKET, nothing more; without the variable every call does nothing and says so by returning
False. No call raises: the service manager being away is no reason to stop an engine. `WATCHDOG=1` is sent from the
loop itself, by `Watchdog.turn`, and only when every check holds; a timer thread would go on feeding it over a dead
loop.

Cost: one system call per message.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine._core.clock import monotonic_ns


class Notifier:
    """The service manager's end of the line."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._environment = environment
        address = environment.get("NOTIFY_SOCKET", "")
        self.address = "\0" + address[1:] if address.startswith("@") else address
        self.sent_count = 0
        self.failed_count = 0

    def send(self, *lines: str) -> bool:
        """One datagram; False when nobody listens."""
        if not self.address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(lines).encode(), self.address)
        except OSError:
            self.failed_count += 1
            return False
        self.sent_count += 1
        return True

    def ready(self, status: str = "") -> bool:
        return self.send("READY=1", *self._status(status))

    def status(self, text: str) -> bool:
        return self.send(*self._status(text))

    def reloading(self, status: str = "") -> bool:
        # systemd 253 and later wait for exactly this pair in one datagram; 252 takes it and ignores the time.
        return self.send("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}", *self._status(status))

    def stopping(self, status: str = "") -> bool:
        return self.send("STOPPING=1", *self._status(status))

    def extend(self, seconds: float) -> bool:
        """Ask for so much more time to start or to stop: a recovery or a flatten plan is at work."""
        return self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def watchdog(self) -> bool:
        return self.send("WATCHDOG=1")

    @property
    def watchdog_ns(self) -> int:
        """How often systemd wants to hear; 0 when it does not, or means another process."""
        mine = self._environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        value = self._environment.get("WATCHDOG_USEC", "")
        return int(value) * 1000 if mine and value.isdigit() else 0

    @staticmethod
    def _status(text: str) -> tuple[str, ...]:
        # One line: a newline would begin another assignment.
        return (f"STATUS={' '.join(text.split())}",) if text else ()


@dataclass
class Watchdog:
    """Feeds the watchdog from the loop's own turn, while every check says yes.

    A check that raises counts as no. `turn` is cheap enough for every turn: it looks at the checks only when a message
    is due, at a third of the interval.
    """

    notifier: Notifier
    checks: dict[str, Callable[[], bool]]
    unhealthy: tuple[str, ...] = field(default=(), init=False)
    fed_count: int = field(default=0, init=False)
    _due_ns: int = field(default=0, init=False)

    def turn(self, now_ns: int) -> bool:
        """True when the watchdog was fed in this turn."""
        interval_ns = self.notifier.watchdog_ns
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + (interval_ns // 3 if interval_ns else 1_000_000_000)
        found = tuple(name for name, check in self.checks.items() if not self._holds(check))
        if found != self.unhealthy:
            self.unhealthy = found
            self.notifier.status(f"unhealthy: {', '.join(found)}; the watchdog is not fed" if found else "healthy")
        if found or not interval_ns:
            return False
        self.fed_count += 1
        return self.notifier.watchdog()

    @staticmethod
    def _holds(check: Callable[[], bool]) -> bool:
        try:
            return check() is True
        except Exception:  # noqa: BLE001 - a check that cannot be made is one that does not hold
            return False

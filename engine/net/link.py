"""A connection that comes back: back-off, silence, roll-over with overlap, hot spare.

A `Link` keeps `wanted` connections to one address (two with a hot spare) and gives every message of each to its owner,
which merges them (`engine/venues/merge.py`): a message that came over both is news once. Before the venue's own
24-hour limit, or when it announces a shutdown, a new connection is opened first and the old one closed only when the
new one has spoken: no gap, nothing doubled. A connection that says nothing for `silence_ns` is taken for dead whatever
TCP thinks; one that is merely idle is asked by a ping first.

Owns: the sockets' lives and when they are due. Does not own: what is said on them, subscriptions (`on_up` sends them),
books. Invariants: at most one attempt at a time; `on_up` and `on_down` alternate; after `stop` no task and no socket is
left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine._core.clock import monotonic_ns
from engine.errors import ConnectFailed
from engine.net.backoff import SECOND, Backoff, BackoffConfig
from engine.net.listener import Listener, Receiver
from engine.net.transport import Connection, Transport


@dataclass(frozen=True)
class LinkConfig:
    wanted: int = 1  # 2: a hot spare
    silence_ns: int = 60 * SECOND
    ping_ns: int = 20 * SECOND  # of silence, before the other side is asked
    life_ns: int = 23 * 3600 * SECOND
    tick_s: float = 0.25  # how often lives are looked at
    overlap_ns: int = 30 * SECOND  # an old connection is closed then even if its successor is silent

    def __post_init__(self) -> None:
        if self.wanted not in (1, 2) or not 0 < self.ping_ns < self.silence_ns or self.life_ns <= 0:
            raise ValueError(f"{self}")


class _Life:
    """One connection of a link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.connection: Connection | None = None
        self.opened_ns = 0
        self.heard_ns = 0
        self.pinged_ns = 0
        self.has_spoken = False
        self.retiring_ns = 0  # when its successor was asked for
        self.is_closing = False
        self.ended = False

    def on_open(self, connection: Connection) -> None:
        self.connection = connection
        self.opened_ns = self.heard_ns = monotonic_ns()
        self.link.opened(self)

    def on_message(self, connection: Connection, payload: memoryview | bytes, ts_recv_ns: int) -> None:
        self.heard_ns = monotonic_ns()
        if not self.has_spoken:
            self.has_spoken = True
            self.link.spoke(self)
            # From its second message on they take the short way, where the owner has one and the transport knows it.
            receiver = self.link.receiver() if self.link.receiver is not None else None
            if receiver is not None and isinstance(connection, Listener):
                connection.receiver = receiver
        self.link.on_message(connection, payload, ts_recv_ns)

    def last_heard_ns(self) -> int:
        connection = self.connection
        return max(self.heard_ns, connection.heard_ns) if isinstance(connection, Listener) else self.heard_ns

    def on_alive(self, connection: Connection, ts_recv_ns: int) -> None:  # noqa: ARG002
        self.heard_ns = monotonic_ns()

    def on_close(self, connection: Connection, reason: str) -> None:  # noqa: ARG002
        self.ended = True
        self.link.closed(self, reason)


class Link:
    """Call `start`, then it lives by itself until `stop`."""

    def __init__(
        self,
        transport: Transport,
        url: str | Callable[[], str],
        on_message: Callable[[Connection, memoryview | bytes, int], None],
        *,
        on_up: Callable[[Connection], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        receiver: Callable[[], Receiver | None] | None = None,
        headers: Mapping[str, str] | None = None,
        seed: int = 0,
        config: LinkConfig | None = None,
        backoff: BackoffConfig | None = None,
    ) -> None:
        self.config = config or LinkConfig()
        self.on_message = on_message
        self.receiver = receiver
        self._transport = transport
        self._url = url
        self._on_up = on_up
        self._on_down = on_down
        self._headers = dict(headers or {})
        self._backoff = Backoff(seed, backoff)
        self._lives: list[_Life] = []
        self._task: asyncio.Task[None] | None = None
        self._attempt: asyncio.Task[Connection] | None = None
        self._wake: asyncio.Event | None = None
        self._stopping = False
        self._is_up = False
        self.open_count = 0
        self.failure_count = 0
        self.silence_count = 0
        self.rollover_count = 0
        self.last_reason = ""

    # ------------------------------------------------------------------------------------------------------ the owner's
    @property
    def is_up(self) -> bool:
        return self._is_up

    @property
    def connection(self) -> Connection | None:
        """The one to send on: the newest that is open."""
        return next((life.connection for life in reversed(self._open()) if life.connection is not None), None)

    def send(self, message: bytes | bytearray | memoryview) -> bool:
        connection = self.connection
        return connection.send(message) if connection is not None else False

    def start(self) -> None:
        if self._task is None:
            self._wake = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._run())

    def roll_over(self) -> None:
        """Replace every connection, the new ones first: the venue said that it will close them."""
        now = monotonic_ns()
        for life in self._open():
            life.retiring_ns = life.retiring_ns or now
        self._nudge()

    async def stop(self) -> None:
        self._stopping = True
        self._nudge()
        if self._attempt is not None:
            # A connection that is still opening is not waited for to be used, only to be hung up.
            self._attempt.cancel()
        if self._task is not None:
            await self._task
            self._task = None

    # ------------------------------------------------------------------------------------------------- its connections
    def opened(self, life: _Life) -> None:
        self.open_count += 1
        self._backoff.opened(monotonic_ns())
        self._lives.append(life)
        self._nudge()
        if self._on_up is not None and life.connection is not None:
            self._on_up(life.connection)
        self._is_up = True

    def spoke(self, life: _Life) -> None:
        if any(other.retiring_ns for other in self._lives if other is not life):
            self._nudge()

    def closed(self, life: _Life, reason: str) -> None:
        if life in self._lives:
            self._lives.remove(life)
        self.last_reason = reason
        if not life.retiring_ns and not self._stopping:
            self.failure_count += 1
            self._backoff.failed(monotonic_ns())
        if not self._open():
            self._is_up = False
            if self._on_down is not None:
                self._on_down(reason)
        self._nudge()

    # ---------------------------------------------------------------------------------------------------------- inside
    def _open(self) -> list[_Life]:
        return [life for life in self._lives if not life.ended]

    def _nudge(self) -> None:
        if self._wake is not None:
            self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            fresh = [life for life in self._open() if not life.retiring_ns]
            if len(fresh) < self.config.wanted:
                await self._try()
            else:
                await self._rest(self.config.tick_s)
            self._look()
        for life in self._open():
            if life.connection is not None:
                life.connection.close()
        for life in list(self._lives):
            if life.connection is not None:
                await life.connection.wait_closed()

    async def _try(self) -> None:
        pause_ns = self._backoff.pause_ns(monotonic_ns())
        until_ns = monotonic_ns() + pause_ns
        while not self._stopping and (left := until_ns - monotonic_ns()) > 0:
            await self._rest(min(left / SECOND, self.config.tick_s))
            self._look()
        if self._stopping:
            return
        self._backoff.trying(monotonic_ns())
        url = self._url() if callable(self._url) else self._url
        connecting = self._transport.connect(url, _Life(self), headers=self._headers)
        self._attempt = asyncio.get_running_loop().create_task(connecting)
        # Waited for, not awaited: a cancelled attempt is told from a cancelled link.
        await asyncio.wait((self._attempt,))
        attempt, self._attempt = self._attempt, None
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            if not isinstance(error, ConnectFailed):
                raise error
            self.failure_count += 1
            self.last_reason = str(error)
            self._backoff.failed(monotonic_ns())

    async def _rest(self, seconds: float) -> None:
        assert self._wake is not None
        try:
            # Not wait_for: where a time-out and a cancellation meet, it swallows the cancellation.
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _look(self) -> None:
        """Lives that are due: too silent, too old, or replaced."""
        now = monotonic_ns()
        fresh = [life for life in self._open() if not life.retiring_ns and life.has_spoken]
        for life in self._open():
            silent = now - life.last_heard_ns()
            if life.connection is None or life.is_closing:
                continue
            if silent > self.config.silence_ns:
                self.silence_count += 1
                life.is_closing = True
                life.connection.close()
            elif silent > self.config.ping_ns and now - life.pinged_ns > self.config.ping_ns:
                life.pinged_ns = now
                life.connection.ping()
            if life.retiring_ns:
                if len(fresh) >= self.config.wanted or now - life.retiring_ns > self.config.overlap_ns:
                    self.rollover_count += 1
                    life.is_closing = True
                    life.connection.close()
            elif now - life.opened_ns > self.config.life_ns:
                life.retiring_ns = now

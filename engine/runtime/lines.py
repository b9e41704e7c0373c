"""The account's connections of a live driver: the one that orders go over, and the one that tells what became of them.

On spot both are one: the user stream is subscribed to on the order connection. USD-M has an address for each, and the
user stream's is reached with a listen key that somebody has to keep alive (`care.py`).

Owns: both links, which connections carry what, log-on and subscription. Does not own: what is said on them (the
venue's protocol), when orders may leave (the gate). Invariants: the account counts as reached while an order connection
and a user stream are up together; when either is lost nothing new leaves before a comparison; an order connection that
is up carries cancels whatever the user stream does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine._core.clock import utc_ns
from engine.net.link import Link
from engine.net.transport import Connection, Transport
from engine.venues.binance import sign

if TYPE_CHECKING:
    from engine.runtime.live import LiveExchange

MS = 1_000_000


class AccountLines:
    def __init__(self, live: LiveExchange, transport: Transport) -> None:
        self.live = live
        self.is_split = live.account.market == "usdm"
        self.listen_key = ""
        self._session = isinstance(live.signer, sign.Ed25519Signer)
        self._orders: list[Connection] = []  # may carry orders
        self._users: list[Connection] = []  # carry the user stream
        self._told = False  # that the account is reached
        self._key_failures = 0
        config, at = live.config, live.config.endpoints
        options: dict[str, Any] = {"config": config.link, "backoff": config.backoff}
        self.order_link = Link(
            transport, at.api_ws, live.hearing.on_orders, on_up=self._orders_up, on_down=self._orders_down,
            seed=config.seed + 99, **options,
        )  # fmt: skip
        self.user_link = Link(
            transport, lambda: f"{at.user_ws}/ws?listenKey={self.listen_key}", live.hearing.on_user,
            on_up=self._user_up, on_down=self._user_down, seed=config.seed + 98, **options,
        )  # fmt: skip

    # ----------------------------------------------------------------------------------------------------- the driver's
    @property
    def connection(self) -> Connection | None:
        """The newest one that orders may go over."""
        # Once an order: a generator would cost three times as much.
        for connection in reversed(self._orders):
            if connection.is_open:
                return connection
        return None

    @property
    def is_reached(self) -> bool:
        return self._told

    def start(self) -> None:
        """May be called again: what is due starts. Without its key there is no user stream of its own."""
        self.order_link.start()
        if self.is_split and self.listen_key:
            self.user_link.start()

    async def stop(self) -> None:
        await self.order_link.stop()
        await self.user_link.stop()

    def roll_over(self) -> None:
        """The venue said that it will close: new connections first."""
        self.order_link.roll_over()
        self.user_link.roll_over()

    def look(self, now: int) -> None:
        """A connection that broke without a word is found here."""
        self._orders = [c for c in self._orders if c.is_open]
        self._users = [c for c in self._users if c.is_open]
        if self._told and not (self._orders and self._users):
            self._lost("its connection is gone", now)
        if self.user_link.failure_count != self._key_failures and not self.user_link.is_up:
            # The venue may have ended the key while nobody listened.
            self._key_failures = self.user_link.failure_count
            self.live.care.at_once("listen_key", now)

    # ----------------------------------------------------------------------------------------------------------- orders
    def _orders_up(self, connection: Connection) -> None:
        now = utc_ns()
        if isinstance(self.live.signer, sign.Ed25519Signer):
            connection.send(sign.logon(self.live.signer, "logon", now_ms=self._venue_ms(now)))
        elif self.is_split:
            self.orders_ready(connection, now)
        else:
            self.subscribe(connection, now)

    def logged_on(self, connection: Connection, now: int) -> None:
        if self.is_split:
            self.orders_ready(connection, now)
        else:
            self.subscribe(connection, now)

    def subscribe(self, connection: Connection, now: int) -> None:
        """Spot: the user stream on the order connection."""
        if self._session:
            connection.send(sign.ws_plain("user", "userDataStream.subscribe"))
        else:
            connection.send(sign.subscribe_user(self.live.signer, "user", now_ms=self._venue_ms(now)))

    def subscribed(self, connection: Connection, now: int) -> None:
        self._keep(self._users, connection)
        self.orders_ready(connection, now)

    def orders_ready(self, connection: Connection, now: int) -> None:
        was_none = self.connection is None
        self._keep(self._orders, connection)
        if was_none:
            self.live.release(now)
        self._whole(now)

    def _orders_down(self, reason: str) -> None:
        self._orders.clear()
        if not self.is_split:
            self._users.clear()
        self._lost(reason, utc_ns())

    # ------------------------------------------------------------------------------------------------------ user stream
    def _user_up(self, connection: Connection) -> None:
        self._keep(self._users, connection)
        self._whole(utc_ns())

    def _user_down(self, reason: str) -> None:
        self._users.clear()
        self.live.care.at_once("listen_key", utc_ns())
        self._lost(reason, utc_ns())

    def user_ended(self, connection: Connection, now: int) -> None:
        """The venue ended the user stream, whatever the socket says."""
        self._users = [c for c in self._users if c is not connection]
        if not self._users:
            self._lost("the venue ended the user stream", now)
        if self.is_split:
            self.listen_key = ""
            self.live.care.at_once("listen_key", now)
        else:
            self.subscribe(connection, now)

    def renewed(self, listen_key: str) -> None:
        """A key of the venue's; another one than before means another connection."""
        before, self.listen_key = self.listen_key, listen_key
        if before != listen_key and self.user_link.is_up:
            self.user_link.roll_over()
        self.start()

    # ------------------------------------------------------------------------------------------------------------- both
    @staticmethod
    def _keep(those: list[Connection], connection: Connection) -> None:
        if connection not in those:
            those.append(connection)

    def _whole(self, now: int) -> None:
        if self._told or not (self._orders and self._users):
            return
        self._told = True
        self.live.hearing.reached(now)

    def _lost(self, reason: str, now: int) -> None:
        self._told = False
        self.live.hearing.lost(reason, now, orders=not self._orders)

    def _venue_ms(self, now: int) -> int:
        return self.live.clock.venue_now_ns(now) // MS

"""A venue's account over REST, and its synchronous face for those who ask at start: the port that recovery wants.

`SyncPort` runs an account's coroutines to their end, one at a time, on
a loop of its own. It is for start-up and for threads beside the loop, never for the path of an order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from engine.journal.port import VenueOrder, VenueTrade

T = TypeVar("T")


class Account(Protocol):
    """A venue's account over REST: every question costs from the venue's one budget."""

    async def open_orders(self) -> list[VenueOrder]: ...
    async def order(self, id_order: int) -> VenueOrder | None: ...
    async def trades_since(self, id_trade: int) -> list[VenueTrade]: ...
    async def balances(self) -> dict[int, int]: ...
    async def positions(self) -> dict[int, int]: ...
    async def held(self) -> tuple[dict[int, int], dict[int, int]]: ...
    async def cancel(self, order: VenueOrder) -> None: ...
    async def close(self) -> None: ...


class SyncPort:
    """An account for callers without a loop. `make` is called on the port's own loop: its sockets live there."""

    def __init__(self, make: Callable[[], Account]) -> None:
        self._runner = asyncio.Runner()
        self._account = self._run(self._make(make))

    @staticmethod
    async def _make(make: Callable[[], Account]) -> Account:
        return make()

    def _run(self, what: Awaitable[T]) -> T:
        async def wait() -> T:
            return await what

        question: Coroutine[Any, Any, T] = wait()
        return self._runner.run(question)

    def ask(self, what: Awaitable[T]) -> T:
        """Any other question of the account, to its end."""
        return self._run(what)

    def open_orders(self) -> list[VenueOrder]:
        return self._run(self._account.open_orders())

    def order(self, id_order: int) -> VenueOrder | None:
        return self._run(self._account.order(id_order))

    def trades_since(self, id_trade: int) -> list[VenueTrade]:
        return self._run(self._account.trades_since(id_trade))

    def balances(self) -> dict[int, int]:
        return self._run(self._account.balances())

    def positions(self) -> dict[int, int]:
        return self._run(self._account.positions())

    def cancel(self, order: VenueOrder) -> None:
        self._run(self._account.cancel(order))

    def close(self) -> None:
        self._run(self._account.close())
        self._runner.close()

    def __enter__(self) -> SyncPort:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

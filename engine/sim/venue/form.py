"""What a form of the served venue is: one market's addresses, calls and words over the one exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from engine.sim.venue.accounts import Account
from engine.sim.venue.exchange import Exchange

Params = Mapping[str, str]
OpenCall = Callable[[Params], Any]
SignedCall = tuple[int, int, Callable[[Account, Params], Any]]  # weight, new orders it counts as, call
OpenRoute = tuple[str, str, Any, OpenCall]  # method, path, weight or what says it, call
SignedRoute = tuple[str, str, int, int, Callable[[Account, Params], Any]]  # method, path, weight, new orders, call


class Form(Protocol):
    """Spot or USD-M. The server owns sockets, keys and limits; a form owns texts."""

    name: str
    exchange: Exchange
    rate_limits: list[dict[str, Any]]
    market_paths: tuple[str, ...]
    api_path: str
    user_path: str  # where a listen key is taken; empty: the user stream is on the WebSocket API
    listen_path: str  # where one is had
    futures: bool

    def pass_time(self) -> None: ...
    def carries(self, path: str, stream: str) -> bool: ...
    def public(self) -> list[OpenRoute]: ...
    def private(self) -> list[SignedRoute]: ...
    def open_calls(self) -> dict[str, tuple[Any, OpenCall]]: ...
    def calls(self) -> dict[str, SignedCall]: ...
    def listen(self, method: str, account: Account) -> dict[str, Any]: ...
    def listener(self, listen_key: str) -> Account | None: ...
    def news(self) -> Iterator[tuple[int, dict[str, Any]]]: ...
